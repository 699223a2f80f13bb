//! `AsyncFd`: any descriptor with readiness, owned, and calls on it that wait for it.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::op::Op;
use super::registered::{Registered, Step};
use crate::reactor::{Direction, Interests};
use crate::record::source::{Address, Kind, Registration};

/// A descriptor of one loop that can be waited for: a pipe, a socket, a pty, an eventfd.
///
/// It should be non-blocking, or a call may block the loop. Errors, cancel and records: as
/// [`Stream`](crate::net::Stream).
pub struct AsyncFd<T: AsFd + Send + 'static> {
    io: Registered<Source<T>>,
}

struct Source<T>(T);

impl<T: AsFd> mio::event::Source for Source<T> {
    fn register(&mut self, on: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).register(on, token, interest)
    }

    fn reregister(&mut self, on: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).reregister(on, token, interest)
    }

    fn deregister(&mut self, on: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).deregister(on)
    }
}

impl<T: AsFd + Send + 'static> AsyncFd<T> {
    /// Registers the descriptor for both directions.
    ///
    /// Errors: `Unsupported`, with what to do instead, for a file without readiness.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        let registration = Registration {
            kind: Kind::Fd,
            fd: inner.as_fd().as_raw_fd().into(),
            local: Address::None,
            peer: Address::None,
            place: Some(Location::caller()),
        };
        Registered::new(Source(inner), Interests::CONNECTED, &registration).map(|io| Self { io })
    }

    /// What it owns, on its own loop.
    pub fn get(&self) -> io::Result<&T> {
        self.io.get().map(|source| &source.0)
    }

    /// Calls `read` until it does not answer `WouldBlock`, each time when there is something to
    /// read. Many may wait at once.
    pub fn read_with<'a, R: 'a>(
        &'a self,
        read: impl FnMut(&T) -> io::Result<R> + Send + 'a,
    ) -> impl Future<Output = io::Result<R>> + Send + Unpin + 'a {
        self.with(Direction::Read, read)
    }

    /// As `read_with`, each time when there is room to write.
    pub fn write_with<'a, R: 'a>(
        &'a self,
        write: impl FnMut(&T) -> io::Result<R> + Send + 'a,
    ) -> impl Future<Output = io::Result<R>> + Send + Unpin + 'a {
        self.with(Direction::Write, write)
    }

    fn with<'a, R: 'a>(
        &'a self,
        direction: Direction,
        mut call: impl FnMut(&T) -> io::Result<R> + Send + 'a,
    ) -> impl Future<Output = io::Result<R>> + Send + Unpin + 'a {
        Op::among(&self.io, direction, move |source: &Source<T>| {
            call(&source.0).map(Step::Done)
        })
    }
}

impl<T: AsFd + Send + 'static> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd")
            .field("id", &self.io.id().ok())
            .finish_non_exhaustive()
    }
}
