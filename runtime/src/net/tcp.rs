//! TCP: connect, bind, and the options that matter.

use std::io;
use std::net::SocketAddr;
use std::panic::Location;

use socket2::{Domain, Protocol, Socket, Type};

use super::connect::{Connect, naming};
use super::family::Tcp;
use super::listener::Listener;
use super::stream::Stream;

impl Stream<Tcp> {
    /// Connects to one address. For a host's name see [`connect_host`](Self::connect_host).
    #[doc(alias = "sock_connect")]
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Connect<Tcp> {
        Connect::new(address)
    }

    /// Takes over a connected socket of the standard library.
    #[track_caller]
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::connected(mio::net::TcpStream::from_std(socket), Location::caller())
    }

    /// Whether small writes are sent at once.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io().get()?.nodelay()
    }

    /// Sends small writes at once, rather than gathering them (Nagle's algorithm).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.io().get()?.set_nodelay(on)
    }
}

/// How a listener is bound; the default is what servers want.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections that may wait to be accepted; the kernel has its own upper limit. 1,024.
    pub backlog: u32,
    /// Whether to bind where an earlier server's connections still linger. On, except on Windows,
    /// where it would mean to share the port with a living one.
    pub reuse_address: bool,
    /// Whether several sockets may be bound to one port, each taking a share. Off.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_address: !cfg!(windows),
            reuse_port: false,
        }
    }
}

impl ListenOptions {
    /// Sets [`backlog`](Self::backlog).
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Sets [`reuse_port`](Self::reuse_port).
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }
}

impl Listener<Tcp> {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// Errors: the kernel's, with the address.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with(address, ListenOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    #[track_caller]
    pub fn bind_with(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        Self::bind_at(address, options, Location::caller())
    }

    /// As `bind_with`, for what was asked for at `place`.
    pub(super) fn bind_at(
        address: SocketAddr,
        options: ListenOptions,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let server = open(address, options).map_err(|error| naming(error, &address))?;
        Self::register(server, options.backlog, place, None)
    }

    /// Takes over a listening socket of the standard library, or one that was inherited.
    #[track_caller]
    pub fn from_std(server: std::net::TcpListener) -> io::Result<Self> {
        Self::adopt(server, 0, Location::caller())
    }

    /// As `from_std`, with what is known of the socket.
    pub(crate) fn adopt(
        server: std::net::TcpListener,
        backlog: u32,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        server.set_nonblocking(true)?;
        let server = mio::net::TcpListener::from_std(server);
        Self::register(server, backlog, place, None)
    }
}

/// Several sockets that listen on one address together; port 0 takes a free one.
///
/// Errors: the kernel's, with the address; in use by others, though they would share it.
pub(crate) fn listen_together(
    mut address: SocketAddr,
    options: ListenOptions,
    sockets: usize,
) -> io::Result<Vec<std::net::TcpListener>> {
    let named = |error| naming(error, &address);
    if sockets == 1 {
        return Ok(vec![listening(address, options).map_err(named)?.into()]);
    }
    // Nobody else may be there, with whom the kernel would share the port in silence. Whoever comes
    // between this socket's end and the next one's bind is not seen.
    let probe = bound(address, options).map_err(named)?;
    let named = |error| naming(error, &address);
    if let Some(bound) = probe.local_addr().map_err(named)?.as_socket() {
        address = bound;
    }
    drop(probe);
    let options = options.reuse_port(true);
    (0..sockets)
        .map(|_| {
            let socket = listening(address, options).map_err(|error| naming(error, &address))?;
            Ok(socket.into())
        })
        .collect()
}

fn open(address: SocketAddr, options: ListenOptions) -> io::Result<mio::net::TcpListener> {
    let socket = listening(address, options)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

fn listening(address: SocketAddr, options: ListenOptions) -> io::Result<Socket> {
    let socket = bound(address, options)?;
    socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn bound(address: SocketAddr, options: ListenOptions) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(options.reuse_address)?;
    if options.reuse_port {
        reuse_port(&socket)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(unix)]
pub(super) fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
pub(super) fn reuse_port(_socket: &Socket) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no SO_REUSEPORT; bind one listener and share what it accepts",
    ))
}
