//! Unix datagram sockets: bound to files, or unnamed; and how to wait for a receiver that is full.

use std::io;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::panic::Location;
use std::path::Path;
use std::time::Duration;

use socket2::Type;

use super::connect::naming;
use super::datagram::{self, Datagram};
use super::family::unix::recorded_unix;
use super::family::{RecordedAddress, SourceKind};
use super::unix::bind_file;
use crate::record::outer::outer;
use crate::record::source::Kind;
use crate::time::timeout;

/// How often a receiver that is full is tried again while the kernel does not tell.
const AGAIN: Duration = Duration::from_millis(10);

/// Datagrams between processes of one machine.
#[derive(Clone, Copy, Debug)]
pub enum UnixMessages {}

impl datagram::Family for UnixMessages {
    type Socket = mio::net::UnixDatagram;
    type Addr = UnixAddr;

    fn recorded(address: &UnixAddr) -> RecordedAddress {
        recorded_unix(address)
    }

    fn kind() -> SourceKind {
        datagram::kind(Kind::UnixDatagram)
    }
}

impl datagram::Socket for mio::net::UnixDatagram {
    type Addr = UnixAddr;

    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }

    fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, UnixAddr)> {
        self.recv_from(buf)
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn error(&self) -> io::Result<Option<io::Error>> {
        self.take_error()
    }

    fn local(&self) -> io::Result<UnixAddr> {
        self.local_addr()
    }

    fn peer(&self) -> io::Result<UnixAddr> {
        self.peer_addr()
    }

    fn number(&self) -> i64 {
        super::family::number(self)
    }
}

impl Datagram<UnixMessages> {
    /// A socket bound to the file `path`, which is removed when it is dropped.
    ///
    /// A socket file on which nobody answers is replaced. Only a file that is still the one made
    /// here is removed.
    /// Errors: `AddrInUse` if somebody is bound there, or it is no socket; the kernel's, with the
    /// path.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let (path, place) = (path.as_ref(), Location::caller());
        let bound = bind_file(path, Type::DGRAM, |_| Ok(()));
        let (socket, file) = bound.map_err(|error| naming(error, &path.display()))?;
        let socket = mio::net::UnixDatagram::from_std(socket.into());
        Self::register(socket, place, Some(Box::new(file)))
    }

    /// A socket without a name, which can send but not be answered.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        let socket = mio::net::UnixDatagram::unbound()?;
        Self::register(socket, Location::caller(), None)
    }

    /// Two connected sockets without names.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let (a, b) = loop_runtime::net::UnixDatagram::pair()?;
    /// a.send(b"one").await?;
    /// a.send(b"two").await?;
    /// let mut buf = [0; 64];
    /// assert_eq!(b.recv(&mut buf).await?, 3, "messages do not run together");
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[doc(alias = "socketpair")]
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = mio::net::UnixDatagram::pair()?;
        let place = Location::caller();
        Ok((
            Self::register(a, place, None)?,
            Self::register(b, place, None)?,
        ))
    }

    /// Takes over a socket of the standard library. Its file is left alone.
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = mio::net::UnixDatagram::from_std(socket);
        Self::register(socket, Location::caller(), None)
    }

    /// Sends by `send` to the socket at `path` from now on, and receives from nobody else.
    ///
    /// Errors: the kernel's, with the path.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let connected = self.io().get()?.connect(path);
        connected.map_err(|error| naming(error, &path.display()))?;
        self.record_addresses()
    }

    /// Sends a message to the socket at `path`, and waits while that one is full.
    #[doc(alias = "sock_sendto")]
    pub fn send_to(
        &self,
        buf: &[u8],
        path: impl AsRef<Path>,
    ) -> impl Future<Output = io::Result<usize>> {
        outer(async move {
            let path = path.as_ref();
            loop {
                match self.io().get()?.send_to(buf, path) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    done => return done,
                }
                // The kernel tells when our own messages are taken out, but not when those of others
                // are, so a receiver that they filled is tried now and then.
                let sends = self.writes(|socket| socket.send_to(buf, path));
                if let Ok(sent) = timeout(AGAIN, sends).await {
                    return sent;
                }
            }
        })
    }
}
