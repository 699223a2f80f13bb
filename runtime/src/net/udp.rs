//! UDP: bind, connect, and the options for broadcast and multicast.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::Location;

use socket2::{Domain, Protocol, Type};

use super::connect::naming;
use super::datagram::{self, Datagram};
use super::family::{RecordedAddress, SourceKind};
use crate::record::source::{Address, Kind};

/// UDP over IPv4 and IPv6.
#[derive(Clone, Copy, Debug)]
pub enum Udp {}

impl datagram::Family for Udp {
    type Socket = mio::net::UdpSocket;
    type Addr = SocketAddr;

    fn recorded(address: &SocketAddr) -> RecordedAddress {
        RecordedAddress(Address::Ip(*address))
    }

    fn kind() -> SourceKind {
        datagram::kind(Kind::Udp)
    }
}

impl datagram::Socket for mio::net::UdpSocket {
    type Addr = SocketAddr;

    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }

    fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf)
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn error(&self) -> io::Result<Option<io::Error>> {
        self.take_error()
    }

    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn peer(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }

    fn number(&self) -> i64 {
        super::family::number(self)
    }
}

/// How a UDP socket is bound.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct UdpOptions {
    /// Whether others may be bound to the same address, as receivers of one multicast group must.
    /// Off.
    pub reuse_address: bool,
    /// Whether several sockets may be bound to one port, each taking a share. Off.
    pub reuse_port: bool,
    /// Whether an IPv6 socket leaves IPv4 to others. `None`: as the system has it.
    pub only_v6: Option<bool>,
    /// Bytes that the kernel keeps for us at most. `None`: as the system has it.
    pub recv_buffer: Option<usize>,
}

impl UdpOptions {
    /// Sets [`reuse_address`](Self::reuse_address).
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// Sets [`reuse_port`](Self::reuse_port).
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Sets [`only_v6`](Self::only_v6).
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// Sets [`recv_buffer`](Self::recv_buffer).
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.recv_buffer = Some(bytes);
        self
    }
}

macro_rules! options {
    ($($(#[doc = $doc:literal])* $(#[doc(alias = $alias:literal)])?
        $get:ident $set:ident: $type:ty;)*) => {
        $(
            $(#[doc = $doc])*
            pub fn $get(&self) -> io::Result<$type> {
                self.io().get()?.$get()
            }

            #[doc = concat!("Sets [`", stringify!($get), "`](Self::", stringify!($get), ").")]
            $(#[doc(alias = $alias)])?
            pub fn $set(&self, value: $type) -> io::Result<()> {
                self.io().get()?.$set(value)
            }
        )*
    };
}

impl Datagram<Udp> {
    /// A socket bound to `address`; port 0 takes a free one.
    ///
    /// Errors: the kernel's, with the address.
    ///
    /// ```
    /// use loop_runtime::net::UdpSocket;
    /// # loop_runtime::run(async {
    /// let (a, b) = (UdpSocket::bind("127.0.0.1:0".parse().unwrap())?, UdpSocket::bind("127.0.0.1:0".parse().unwrap())?);
    /// a.send_to(b"ping", b.local_addr()?).await?;
    /// let mut buf = [0; 1500];
    /// let (length, sender) = b.recv_from(&mut buf).await?;
    /// assert_eq!((&buf[..length], sender), (&b"ping"[..], a.local_addr()?));
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with(address, UdpOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    #[track_caller]
    pub fn bind_with(address: SocketAddr, options: UdpOptions) -> io::Result<Self> {
        let place = Location::caller();
        let socket = open(address, options).map_err(|error| naming(error, &address))?;
        Self::register(socket, place, None)
    }

    /// Takes over a socket of the standard library.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = mio::net::UdpSocket::from_std(socket);
        Self::register(socket, Location::caller(), None)
    }

    /// Sends by `send` to `address` from now on, and receives from nobody else.
    ///
    /// Does not wait: nothing is sent by it.
    /// Errors: the kernel's, with the address.
    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        let connected = self.io().get()?.connect(address);
        connected.map_err(|error| naming(error, &address))?;
        self.record_addresses()
    }

    /// Sends a message to `to`.
    ///
    /// Errors: the kernel's, among them that it is longer than a datagram can be, or that `to` is a
    /// broadcast address and [`broadcast`](Self::broadcast) is off.
    #[doc(alias = "sock_sendto")]
    pub fn send_to<'a>(
        &'a self,
        buf: &'a [u8],
        to: SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        self.writes(move |socket| socket.send_to(buf, to))
    }

    /// Waits for a message as [`recv_from`](Self::recv_from), and leaves it for the next receive.
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send + Unpin + 'a {
        self.reads(move |socket| socket.peek_from(buf))
    }

    options! {
        /// Whether messages may go to broadcast addresses; off at first.
        #[doc(alias = "allow_broadcast")]
        broadcast set_broadcast: bool;
        /// How many routers a message may pass.
        ttl set_ttl: u32;
        /// Whether what is sent to an IPv4 group also comes to receivers on this machine.
        multicast_loop_v4 set_multicast_loop_v4: bool;
        /// How many routers a message to an IPv4 group may pass; 1 at first.
        multicast_ttl_v4 set_multicast_ttl_v4: u32;
        /// Whether what is sent to an IPv6 group also comes to receivers on this machine.
        multicast_loop_v6 set_multicast_loop_v6: bool;
    }

    /// Receives what is sent to `group`, through the interface with the address `interface`;
    /// unspecified for the system's choice.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io().get()?.join_multicast_v4(&group, &interface)
    }

    /// Ends what [`join_multicast_v4`](Self::join_multicast_v4) began.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io().get()?.leave_multicast_v4(&group, &interface)
    }

    /// Receives what is sent to `group`, through the interface with that index; 0 for the system's
    /// choice.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io().get()?.join_multicast_v6(&group, interface)
    }

    /// Ends what [`join_multicast_v6`](Self::join_multicast_v6) began.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io().get()?.leave_multicast_v6(&group, interface)
    }

    /// Sends what is for IPv4 groups through the interface with that address.
    #[cfg(unix)]
    pub fn set_multicast_if_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        socket2::SockRef::from(self.io().get()?).set_multicast_if_v4(&interface)
    }
}

fn open(address: SocketAddr, options: UdpOptions) -> io::Result<mio::net::UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(options.reuse_address)?;
    if options.reuse_port {
        super::tcp::reuse_port(&socket)?;
    }
    if let Some(only) = options.only_v6.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only)?;
    }
    if let Some(bytes) = options.recv_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    Ok(mio::net::UdpSocket::from_std(socket.into()))
}
