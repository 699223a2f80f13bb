//! A connect under way. Dropping it closes the socket, whose row goes with it.

use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::family::{Family, Socket};
use super::stream::{Stream, addresses};
use crate::io::registered::Step;
use crate::os::open_files;
use crate::reactor::{Direction, Interests};
use crate::record::source::Address;

/// A connection that is being made.
///
/// Begins at its first poll.
/// Errors: the kernel's, with the address it was for.
/// Cancel: dropping it closes the socket and leaves no registration.
#[must_use = "futures do nothing unless awaited"]
pub struct Connect<F: Family> {
    target: F::Target,
    place: &'static Location<'static>,
    stream: Option<Stream<F>>,
}

impl<F: Family> Connect<F> {
    #[track_caller]
    pub(super) fn new(target: F::Target) -> Self {
        Self::at(target, Location::caller())
    }

    /// A connect that was asked for at `place`.
    pub(super) fn at(target: F::Target, place: &'static Location<'static>) -> Self {
        Self {
            target,
            place,
            stream: None,
        }
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let socket = F::connect(&self.target)?;
                empty.insert(Stream::register(
                    socket,
                    Interests::CONNECTING,
                    Address::None,
                    F::recorded_target(&self.target).0,
                    self.place,
                )?)
            }
        };
        let (local, peer) = ready!(stream.io().poll_io(Direction::Write, cx, place, |socket| {
            if let Some(error) = socket.error()? {
                return Err(error);
            }
            match socket.peer() {
                Ok(_) => Ok(Step::Done(addresses::<F>(socket))),
                // Some other event than the end of the connect.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                Err(error) => Err(error),
            }
        }))?;
        stream.io().set_addresses(local, peer);
        Poll::Ready(Ok(()))
    }
}

impl<F: Family> Unpin for Connect<F> {}

impl<F: Family> Future for Connect<F> {
    type Output = io::Result<Stream<F>>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_at(cx, Location::caller())
    }
}

impl<F: Family> Connect<F> {
    /// As `poll`, for who knows where the `.await` stands.
    pub(super) fn poll_at(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<Stream<F>>> {
        let this = self;
        let done = ready!(this.step(cx, place));
        let stream = this.stream.take();
        Poll::Ready(match done {
            Ok(()) => Ok(stream.expect("a connect ends with its stream")),
            Err(error) => Err(naming(error, &this.target)),
        })
    }
}

/// The same error, with what it was about in its text, and what to do where a descriptor was wanting.
pub(super) fn naming(error: io::Error, what: &impl std::fmt::Display) -> io::Error {
    io::Error::new(
        error.kind(),
        Named {
            what: what.to_string(),
            advice: open_files::advice(&error),
            error,
        },
    )
}

/// An error with its subject; the cause is its source.
#[derive(Debug)]
struct Named {
    what: String,
    /// As things stood when it came.
    advice: Option<String>,
    error: io::Error,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.error)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Named {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
