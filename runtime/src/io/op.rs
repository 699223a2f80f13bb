//! One call on a source, as a future: what it has done so far lives in the call.

use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::registered::{Registered, Step};
use crate::reactor::Direction;

/// Tries `call` until it is done. Cancel: dropping it leaves no waiter.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Op<'a, S: mio::event::Source + Send + 'static, F> {
    on: &'a Registered<S>,
    direction: Direction,
    call: F,
    waits: bool,
}

impl<'a, S, F, R> Op<'a, S, F>
where
    S: mio::event::Source + Send + 'static,
    F: FnMut(&S) -> io::Result<Step<R>>,
{
    pub(crate) fn new(on: &'a Registered<S>, direction: Direction, call: F) -> Self {
        Self {
            on,
            direction,
            call,
            waits: false,
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
        let polled = this.on.poll_io(this.direction, cx, place, &mut this.call);
        this.waits = polled.is_pending();
        polled
    }
}

impl<S: mio::event::Source + Send + 'static, F> Drop for Op<'_, S, F> {
    fn drop(&mut self) {
        if self.waits {
            self.on.forget_one(self.direction);
        }
    }
}
