//! What carries a stream's bytes: a socket, a pipe, or TLS over a socket. Knows no buffers.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::path::PathBuf;
use std::task::{Context, Poll};

#[cfg(unix)]
use crate::io::registered::Registered;
#[cfg(unix)]
use crate::io::transfer::Transfer;
use crate::io::transfer::{poll_read_at, poll_write_at};
use crate::net::family::{Family, Socket};
use crate::net::stream::Stream;
use crate::reactor::Direction;
use crate::record::source::SourceRow;

/// Where an `.await` stands; `None` where it is not the running task that waits.
pub(crate) type Place = Option<&'static Location<'static>>;

/// The calls that readers and writers make, none of which blocks.
pub(crate) trait Transport: Send {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>>;

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &[u8],
    ) -> Poll<io::Result<usize>>;

    /// Ready when what was written is with the kernel, or can be used at all: a handshake is done.
    fn poll_flush(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<()>> {
        let _ = (cx, place);
        Poll::Ready(Ok(()))
    }

    /// The same connection under TLS.
    #[cfg(feature = "tls")]
    fn under(
        self: Box<Self>,
        session: rustls::Connection,
    ) -> Result<Box<dyn Transport>, Box<dyn Transport>>;

    /// Ends the direction that is written to, after all that was written.
    fn poll_end(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<()>>;

    /// Who waited to read waits no longer.
    fn forget_reader(&self);

    /// States something in the row.
    fn state(&self, facts: &dyn Fn(&SourceRow));

    fn facts(&self) -> io::Result<Facts>;
}

/// What does not change about a transport.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: u64,
    pub(crate) fd: i64,
    pub(crate) local: SocketName,
    pub(crate) peer: SocketName,
}

/// The name of one end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketName {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A socket file.
    Path(PathBuf),
    /// A name that is no file's (Linux).
    Abstract(Vec<u8>),
    /// None: a pipe, or a socket that was never bound.
    Unnamed,
}

impl SocketName {
    /// The IP address and port, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            SocketName::Ip(address) => Some(*address),
            _ => None,
        }
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketName::Ip(address) => address.fmt(f),
            SocketName::Path(path) => path.display().fmt(f),
            SocketName::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            SocketName::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl<F: Family> Transport for Stream<F> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_read_at(self.io(), cx, place, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_write_at(self.io(), cx, place, buf)
    }

    fn poll_end(&mut self, _: &mut Context<'_>, _: Place) -> Poll<io::Result<()>> {
        Poll::Ready(match self.shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }

    #[cfg(feature = "tls")]
    fn under(
        self: Box<Self>,
        session: rustls::Connection,
    ) -> Result<Box<dyn Transport>, Box<dyn Transport>> {
        Ok(Box::new(crate::net::tls::Session::new(*self, session)))
    }

    fn forget_reader(&self) {
        self.io().forget_one(Direction::Read);
    }

    fn state(&self, facts: &dyn Fn(&SourceRow)) {
        self.io().with_row(facts);
    }

    fn facts(&self) -> io::Result<Facts> {
        let socket = self.io().get()?;
        let name = |address: io::Result<F::Addr>| {
            address.map_or(SocketName::Unnamed, |address| F::name(&address))
        };
        Ok(Facts {
            id: self.io().id()?,
            fd: socket.number(),
            local: name(socket.local()),
            peer: name(socket.peer()),
        })
    }
}

/// One end of a pipe, which has one direction.
#[cfg(unix)]
pub(super) struct OneWay<S: Transfer + AsFd> {
    /// `None` once it was ended.
    io: Option<Registered<S>>,
    direction: Direction,
    fd: i64,
    id: u64,
}

#[cfg(unix)]
impl<S: Transfer + AsFd> OneWay<S> {
    pub(super) fn new(io: Registered<S>, direction: Direction) -> io::Result<Self> {
        Ok(Self {
            direction,
            fd: io.get()?.as_fd().as_raw_fd().into(),
            id: io.id()?,
            io: Some(io),
        })
    }

    fn open(&self, direction: Direction) -> io::Result<&Registered<S>> {
        match &self.io {
            Some(io) if self.direction == direction => Ok(io),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a pipe has one direction, and this is its other end",
            )),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

#[cfg(unix)]
impl<S: Transfer + AsFd> Transport for OneWay<S> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_read_at(self.open(Direction::Read)?, cx, place, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_write_at(self.open(Direction::Write)?, cx, place, buf)
    }

    fn poll_end(&mut self, _: &mut Context<'_>, _: Place) -> Poll<io::Result<()>> {
        // A pipe has no other way to say that no more comes.
        self.io = None;
        Poll::Ready(Ok(()))
    }

    #[cfg(feature = "tls")]
    fn under(
        self: Box<Self>,
        _: rustls::Connection,
    ) -> Result<Box<dyn Transport>, Box<dyn Transport>> {
        // TLS needs both directions.
        Err(self)
    }

    fn forget_reader(&self) {
        if let Some(io) = &self.io {
            io.forget_one(Direction::Read);
        }
    }

    fn state(&self, facts: &dyn Fn(&SourceRow)) {
        if let Some(io) = &self.io {
            io.with_row(facts);
        }
    }

    fn facts(&self) -> io::Result<Facts> {
        Ok(Facts {
            id: self.id,
            fd: self.fd,
            local: SocketName::Unnamed,
            peer: SocketName::Unnamed,
        })
    }
}
