//! A source that is registered with the reactor of one loop, for as long as it lives.
//!
//! Used elsewhere it answers `WrongLoop`; dropped elsewhere it goes home and is deregistered there.
//! Knows which call to try only from its caller.

use std::fmt;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use crate::context::{self, allowance::yield_turn};
use crate::id::LoopId;
use crate::reactor::{Direction, Interests, SourceKey, Ticket};
use crate::record::bound::{self, LoopBound};
use crate::record::source::{Address, Registration, SourceRow};

/// What a try of a call came to.
pub(crate) enum Step<R> {
    Done(R),
    /// Done, and the next call in this direction would block.
    DoneShort(R),
    /// Went on, but not to the end, and the next call would block.
    Short,
}

/// A source and its registration.
pub(crate) struct Registered<S: mio::event::Source + Send + 'static> {
    home: LoopBound<Home<S>>,
}

struct Home<S: mio::event::Source> {
    source: S,
    key: SourceKey,
    made_on: LoopId,
}

impl<S: mio::event::Source + Send + 'static> Registered<S> {
    /// Registers `source` with the loop that runs here.
    ///
    /// Errors: no loop runs here; what `Reactor::register` says.
    pub(crate) fn new(
        mut source: S,
        interests: Interests,
        registration: &Registration,
    ) -> io::Result<Self> {
        let (key, made_on) = context::with(|organs| {
            let key = organs
                .reactor
                .register(&mut source, interests, registration)?;
            io::Result::Ok((key, organs.record.id))
        })
        .map_err(io::Error::other)??;
        let home = Home {
            source,
            key,
            made_on,
        };
        Ok(Self {
            home: LoopBound::new(made_on, home),
        })
    }

    /// The source, on its own loop.
    pub(crate) fn get(&self) -> io::Result<&S> {
        match self.home.get() {
            Ok(home) => Ok(&home.source),
            Err(wrong) => Err(io::Error::other(wrong)),
        }
    }

    /// The row's id.
    pub(crate) fn id(&self) -> io::Result<u64> {
        match self.home.get() {
            Ok(home) => Ok(home.key.id()),
            Err(wrong) => Err(io::Error::other(wrong)),
        }
    }

    /// Tries `call` as soon as it is worth it and until it does not block. One waiter a direction:
    /// a later one takes the earlier one's place. Without a `place` it is not the running task that
    /// waits.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        place: impl Into<Option<&'static Location<'static>>>,
        call: impl FnMut(&S) -> io::Result<Step<R>>,
    ) -> Poll<io::Result<R>> {
        let place = place.into();
        self.poll_with(direction, cx, place, call, |reactor, key| {
            reactor.poll_ready(key, direction, cx.waker(), place)
        })
    }

    /// As `poll_io`, for one of many waiters, told apart by `ticket`; see `forget`.
    pub(crate) fn poll_io_among<R>(
        &self,
        direction: Direction,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
        call: impl FnMut(&S) -> io::Result<Step<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(direction, cx, Some(place), call, |reactor, key| {
            reactor.poll_ready_among(key, direction, ticket, cx.waker(), place)
        })
    }

    #[inline]
    fn poll_with<R>(
        &self,
        direction: Direction,
        cx: &Context<'_>,
        place: Option<&'static Location<'static>>,
        mut call: impl FnMut(&S) -> io::Result<Step<R>>,
        mut ready: impl FnMut(&crate::reactor::Reactor, SourceKey) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<R>> {
        let home = match self.home.get() {
            Ok(home) => home,
            Err(wrong) => return Poll::Ready(Err(io::Error::other(wrong))),
        };
        let tried = context::with(|organs| {
            let reactor = &organs.reactor;
            // Where no task waits, none is to be kept from going on for ever.
            if let Some(place) = place
                && !organs.allowance.take(&organs.record)
            {
                yield_turn(cx, place);
                return Poll::Pending;
            }
            loop {
                match ready(reactor, home.key) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        if place.is_some() {
                            organs.allowance.give_back();
                        }
                        return Poll::Pending;
                    }
                }
                match call(&home.source) {
                    Ok(Step::Done(value)) => {
                        reactor.proved(home.key, direction);
                        return Poll::Ready(Ok(value));
                    }
                    Ok(Step::DoneShort(value)) => {
                        reactor.clear_ready(home.key, direction);
                        return Poll::Ready(Ok(value));
                    }
                    Ok(Step::Short) => reactor.clear_ready(home.key, direction),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        reactor.would_block(home.key, direction);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        });
        tried.unwrap_or_else(|error| Poll::Ready(Err(io::Error::other(error))))
    }

    /// The holder of `ticket` waits no longer. A no-op on another loop, where nobody waits.
    pub(crate) fn forget(&self, direction: Direction, ticket: Ticket) {
        if let Ok(home) = self.home.get() {
            let _ = context::with(|organs| organs.reactor.forget(home.key, direction, ticket));
        }
    }

    /// As `forget`, for the waiter of `poll_io`.
    pub(crate) fn forget_one(&self, direction: Direction) {
        if let Ok(home) = self.home.get() {
            let _ = context::with(|organs| organs.reactor.forget_one(home.key, direction));
        }
    }

    /// A connect has come to its end.
    pub(crate) fn set_addresses(&self, local: Address, peer: Address) {
        self.with_row(|row| row.set_addresses(local, peer));
    }

    /// Adds to what is recorded; nothing, where there is no row.
    pub(crate) fn with_row(&self, add: impl FnOnce(&SourceRow)) {
        if let Ok(home) = self.home.get() {
            let _ = context::with(|organs| organs.reactor.with_row(home.key, add));
        }
    }
}

impl<S: mio::event::Source> Drop for Home<S> {
    fn drop(&mut self) {
        // Elsewhere the loop is closed, its poll set gone, and closing the descriptor suffices.
        if bound::here() == Some(self.made_on) {
            let _ = context::with(|organs| organs.reactor.deregister(&mut self.source, self.key));
        }
    }
}

impl<S: mio::event::Source + Send + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.home.get() {
            Ok(home) => f
                .debug_struct("Registered")
                .field("source", &home.source)
                .field("id", &home.key.id())
                .finish(),
            Err(wrong) => f.debug_tuple("Registered").field(&wrong).finish(),
        }
    }
}
