//! One call on a source, as a future: what it has done so far lives in the call.

use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::registered::{Registered, Step};
use crate::reactor::{Direction, Ticket};

/// Tries `call` until it is done. Cancel: dropping it leaves no waiter.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Op<'a, S: mio::event::Source + Send + 'static, F> {
    on: &'a Registered<S>,
    direction: Direction,
    call: F,
    waiting: Waiting,
}

enum Waiting {
    /// The direction has one waiter at a time; whether this is it.
    Alone(bool),
    /// It is shared.
    Among(Ticket),
}

impl<'a, S, F, R> Op<'a, S, F>
where
    S: mio::event::Source + Send + 'static,
    F: FnMut(&S) -> io::Result<Step<R>>,
{
    /// For a direction that is borrowed exclusively.
    pub(crate) fn new(on: &'a Registered<S>, direction: Direction, call: F) -> Self {
        let waiting = Waiting::Alone(false);
        Self {
            on,
            direction,
            call,
            waiting,
        }
    }

    /// For a direction that others may wait for too.
    pub(crate) fn among(on: &'a Registered<S>, direction: Direction, call: F) -> Self {
        let waiting = Waiting::Among(Ticket::default());
        Self {
            on,
            direction,
            call,
            waiting,
        }
    }
}

// The call is only called, never pinned.
impl<S: mio::event::Source + Send + 'static, F> Unpin for Op<'_, S, F> {}

impl<S, F, R> Future for Op<'_, S, F>
where
    S: mio::event::Source + Send + 'static,
    F: FnMut(&S) -> io::Result<Step<R>>,
{
    type Output = io::Result<R>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let this = self.get_mut();
        let (on, direction) = (this.on, this.direction);
        match &mut this.waiting {
            Waiting::Alone(waits) => {
                let polled = on.poll_io(direction, cx, place, &mut this.call);
                *waits = polled.is_pending();
                polled
            }
            Waiting::Among(ticket) => {
                let polled = on.poll_io_among(direction, ticket, cx, place, &mut this.call);
                if polled.is_ready() {
                    // Readiness took everybody out of the line.
                    *ticket = Ticket::default();
                }
                polled
            }
        }
    }
}

impl<S: mio::event::Source + Send + 'static, F> Drop for Op<'_, S, F> {
    fn drop(&mut self) {
        match self.waiting {
            Waiting::Alone(false) => {}
            Waiting::Alone(true) => self.on.forget_one(self.direction),
            Waiting::Among(ticket) if ticket == Ticket::default() => {}
            Waiting::Among(ticket) => self.on.forget(self.direction, ticket),
        }
    }
}
