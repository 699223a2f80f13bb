//! Datagram sockets: messages, whole or cut off, in no promised order. Knows no addresses but what
//! the family records.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::task::{Context, Poll};

use super::family::RecordedAddress;
use crate::io::op::Op;
use crate::io::registered::{Registered, Step};
use crate::reactor::{Direction, Interests};
use crate::record::source::{Address, Kind, Registration};

/// What kinds of datagram sockets differ in. Sealed: UDP and unix.
pub trait Family: Sized + Send + Sync + Unpin + 'static {
    type Socket: Socket<Addr = Self::Addr>;
    type Addr: fmt::Debug + Send + Sync + Unpin;

    fn recorded(address: &Self::Addr) -> RecordedAddress;
    fn kind() -> super::family::SourceKind;
}

/// A socket whose calls do not block.
pub trait Socket: mio::event::Source + fmt::Debug + Send + 'static {
    type Addr;

    fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Self::Addr)>;
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
    fn error(&self) -> io::Result<Option<io::Error>>;
    fn local(&self) -> io::Result<Self::Addr>;
    fn peer(&self) -> io::Result<Self::Addr>;
    fn number(&self) -> i64;
}

/// A datagram socket of one loop.
///
/// Its calls take `&self`: many tasks may share it, each message goes to one of them. What does not
/// fit the buffer of a receive is cut off, as the system does it.
/// Errors: `WrongLoop` (inside the `io::Error`) where another loop runs. An error that the network
/// reported of an earlier message (a refused one on a connected socket) is told by the next call,
/// once; the socket is as good as before.
/// Cancel: an operation that is dropped leaves no waiter and has taken or sent no message.
/// Records: `SourceRegistered`, `SourceReady` at each readiness, `SourceReleased` when dropped.
/// Source: asyncio's `create_datagram_endpoint`, `sock_recvfrom`, `sock_sendto`.
#[doc(alias = "create_datagram_endpoint")]
pub struct Datagram<F: Family> {
    io: Registered<F::Socket>,
    family: PhantomData<F>,
    /// What is to be undone with the socket: a socket file.
    _cleanup: Option<Box<dyn Send + Sync>>,
}

impl<F: Family> Datagram<F> {
    pub(super) fn register(
        socket: F::Socket,
        place: &'static Location<'static>,
        cleanup: Option<Box<dyn Send + Sync>>,
    ) -> io::Result<Self> {
        let (local, peer) = addresses::<F>(&socket);
        let registration = Registration {
            kind: F::kind().0,
            fd: socket.number(),
            local,
            peer,
            place: Some(place),
        };
        let io = Registered::new(socket, Interests::CONNECTED, &registration)?;
        Ok(Self {
            io,
            family: PhantomData,
            _cleanup: cleanup,
        })
    }

    pub(super) fn io(&self) -> &Registered<F::Socket> {
        &self.io
    }

    /// Has the row tell what the socket is bound and connected to now.
    pub(super) fn record_addresses(&self) -> io::Result<()> {
        let (local, peer) = addresses::<F>(self.io.get()?);
        self.io.set_addresses(local, peer);
        Ok(())
    }

    /// The id under which the record and the console list it.
    pub fn id(&self) -> io::Result<u64> {
        self.io.id()
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> io::Result<F::Addr> {
        self.io.get()?.local()
    }

    /// The address it is connected to.
    ///
    /// Errors: `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<F::Addr> {
        self.io.get()?.peer()
    }

    /// The error that the socket has kept for us, if any.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get()?.error()
    }

    /// Waits for a message, and gives its length.
    #[doc(alias = "sock_recv")]
    pub fn recv<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        self.reads(move |socket| socket.recv(buf))
    }

    /// Waits for a message, and gives its length and its sender.
    #[doc(alias = "sock_recvfrom")]
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, F::Addr)>> + Send + Unpin + 'a {
        self.reads(move |socket| socket.recv_from(buf))
    }

    /// Sends a message to the address that the socket is connected to.
    pub fn send<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        self.writes(move |socket| socket.send(buf))
    }

    /// As `recv_from`, for code that polls: the last task that asked is the one that is woken.
    #[track_caller]
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, F::Addr)>> {
        self.io
            .poll_io(Direction::Read, cx, Location::caller(), |socket| {
                socket.recv_from(buf).map(Step::Done)
            })
    }

    pub(super) fn reads<'a, R: 'a>(
        &'a self,
        mut call: impl FnMut(&F::Socket) -> io::Result<R> + Send + 'a,
    ) -> impl Future<Output = io::Result<R>> + Send + Unpin + 'a {
        Op::among(&self.io, Direction::Read, move |socket: &F::Socket| {
            call(socket).map(Step::Done)
        })
    }

    pub(super) fn writes<'a, R: 'a>(
        &'a self,
        mut call: impl FnMut(&F::Socket) -> io::Result<R> + Send + 'a,
    ) -> impl Future<Output = io::Result<R>> + Send + Unpin + 'a {
        Op::among(&self.io, Direction::Write, move |socket: &F::Socket| {
            call(socket).map(Step::Done)
        })
    }
}

/// What can be recorded of both ends.
fn addresses<F: Family>(socket: &F::Socket) -> (Address, Address) {
    let recorded = |address: io::Result<F::Addr>| {
        address.map_or(Address::None, |address| F::recorded(&address).0)
    };
    (recorded(socket.local()), recorded(socket.peer()))
}

/// The record's word for a kind.
pub(super) fn kind(kind: Kind) -> super::family::SourceKind {
    super::family::SourceKind(kind)
}

impl<F: Family> fmt::Debug for Datagram<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Datagram").field(&self.io).finish()
    }
}
