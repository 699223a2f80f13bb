//! The future of everything here that is waited for in a line: asks, waits its turn, takes.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::home::{self, Home};
use super::resource::Resource;
use super::waiters::{Left, Ticket, Waiters};
use crate::context::allowance;

pub(crate) type State<'a, A> = <<A as Ask<'a>>::Shared as Home>::State;

/// What is asked of a thing, and how its answer is taken.
pub(crate) trait Ask<'a> {
    type Shared: Home;
    type Output;
    /// The thing's word, for a panic.
    const WHAT: &'static str;

    /// The line to wait in.
    fn line<'s>(state: &'s State<'a, Self>) -> &'s Waiters;

    /// The row of the thing.
    fn resource<'s>(state: &'s State<'a, Self>) -> &'s Resource;

    /// What is asked for, where that is more or less.
    fn wants(&self) -> usize {
        1
    }

    /// The answer, where it needs no waiting.
    fn now(
        &mut self,
        shared: &'a Arc<Self::Shared>,
        state: &State<'a, Self>,
    ) -> Option<Self::Output>;

    /// The answer to one who waited and was granted `word`; `None`: it has to wait again.
    fn granted(
        &mut self,
        shared: &'a Arc<Self::Shared>,
        state: &State<'a, Self>,
        word: usize,
    ) -> Option<Self::Output>;

    /// States that it was taken, at that place.
    #[inline]
    fn taken(_state: &State<'a, Self>, _at: &'static Location<'static>) {}

    /// States in the row who waits now.
    fn seen(state: &State<'a, Self>);

    /// One who waited, or was granted something, is gone without it: passes that on.
    fn left(state: &State<'a, Self>, left: Left);
}

/// Waits for one answer.
#[must_use = "what is not awaited is not asked"]
pub(crate) struct Asking<'a, A: Ask<'a>> {
    shared: &'a Arc<A::Shared>,
    pub(crate) ask: A,
    ticket: Ticket,
}

// Nothing in it is pinned.
impl<'a, A: Ask<'a>> Unpin for Asking<'a, A> {}

impl<'a, A: Ask<'a>> Asking<'a, A> {
    #[inline]
    pub(crate) fn new(shared: &'a Arc<A::Shared>, ask: A) -> Self {
        Self {
            shared,
            ask,
            ticket: Ticket::default(),
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &'a Arc<A::Shared> {
        self.shared
    }

    /// Whether it stands in line.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.ticket.is_empty()
    }

    #[inline(never)]
    #[track_caller]
    fn wait(&mut self, state: &State<'a, A>, cx: &mut Context<'_>) -> Poll<A::Output> {
        let at = Location::caller();
        loop {
            let fresh = self.ticket.is_empty();
            let (line, on) = (A::line(state), A::resource(state).on());
            match line.poll(&mut self.ticket, self.ask.wants(), on, at, cx) {
                Poll::Ready(word) => {
                    if let Some(output) = self.ask.granted(self.shared, state, word) {
                        A::taken(state, at);
                        return Poll::Ready(output);
                    }
                }
                Poll::Pending => {
                    if fresh {
                        A::resource(state).had_to_wait(self.shared);
                        A::seen(state);
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<'a, A: Ask<'a>> Future for Asking<'a, A> {
    type Output = A::Output;

    // Always, for what needs no waiting: then the answer stays in registers.
    #[inline(always)]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        let this = self.get_mut();
        let state = match this.shared.bound().get() {
            Ok(state) => state,
            Err(wrong) => home::away(A::WHAT, wrong),
        };
        if this.ticket.is_empty() {
            // One who never has to wait would keep the loop.
            ready!(allowance::proceed(cx, Location::caller()));
            if let Some(output) = this.ask.now(this.shared, state) {
                A::taken(state, Location::caller());
                return Poll::Ready(output);
            }
            allowance::give_back();
        }
        this.wait(state, cx)
    }
}

impl<'a, A: Ask<'a>> Drop for Asking<'a, A> {
    #[inline]
    fn drop(&mut self) {
        if !self.ticket.is_empty() {
            leave::<A>(self.shared, &mut self.ticket);
        }
    }
}

#[cold]
fn leave<'a, A: Ask<'a>>(shared: &Arc<A::Shared>, ticket: &mut Ticket) {
    fn left<'a, A: Ask<'a>>(state: &State<'a, A>, mut ticket: Ticket) {
        let left = A::line(state).leave(&mut ticket);
        A::left(state, left);
    }
    // A pointer, since the type of what is asked may not outlive the errand.
    let left: fn(&State<'a, A>, Ticket) = left::<A>;
    let ticket = std::mem::take(ticket);
    // A closed loop has nobody that anything could be passed on to.
    let _ = home::at_home(shared, move |state| left(state, ticket));
}
