//! What the sending ends of channels share: they are counted, so that the channel ends with the last, and they can wait until
//! nobody receives. Knows neither items nor room.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::asking::Ask;
use super::home::{Home, at_home};
use super::resource::Resource;
use super::waiters::{Left, Waiters};

/// A channel with any number of senders.
pub(crate) trait Channel: Home {
    /// Senders, and what of theirs is on its way from other threads.
    fn senders(&self) -> &AtomicUsize;

    /// No sender is left.
    fn end(state: &Self::State);
}

/// A share in a channel that keeps it from ending.
pub(crate) struct Counted<C: Channel>(Arc<C>);

impl<C: Channel> Counted<C> {
    /// The share of the first sender, which the channel was made with.
    pub(crate) fn first(channel: Arc<C>) -> Self {
        Self(channel)
    }

    /// One more, while there is one.
    pub(crate) fn of(channel: &Arc<C>) -> Self {
        channel.senders().fetch_add(1, Ordering::Relaxed);
        Self(channel.clone())
    }

    #[inline]
    pub(crate) fn channel(&self) -> &Arc<C> {
        &self.0
    }
}

impl<C: Channel> Clone for Counted<C> {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl<C: Channel> Drop for Counted<C> {
    fn drop(&mut self) {
        // What was sent from elsewhere holds a share on its way, so whoever is last knows that
        // nothing is on its way any more.
        if self.0.senders().fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = at_home(&self.0, C::end);
        }
    }
}

/// A channel that one can wait for nobody to receive from.
pub(crate) trait Closes: Home {
    /// Who waits for that.
    fn closers(state: &Self::State) -> &Waiters;
    fn row(state: &Self::State) -> &Resource;
    fn is_closed(&self, state: &Self::State) -> bool;
    /// States in the row who waits now.
    fn seen(state: &Self::State);
}

/// Asks for nobody to receive.
pub(crate) struct Closed<C>(PhantomData<fn() -> C>);

impl<C> Closed<C> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'a, C: Closes> Ask<'a> for Closed<C> {
    type Shared = C;
    type Output = ();
    const WHAT: &'static str = "channel";

    fn line(state: &C::State) -> &Waiters {
        C::closers(state)
    }

    fn resource(state: &C::State) -> &Resource {
        C::row(state)
    }

    fn now(&mut self, channel: &'a Arc<C>, state: &C::State) -> Option<()> {
        channel.is_closed(state).then_some(())
    }

    fn granted(&mut self, channel: &'a Arc<C>, state: &C::State, _word: usize) -> Option<()> {
        // Somebody may receive again since.
        self.now(channel, state)
    }

    fn seen(state: &C::State) {
        C::seen(state);
    }

    fn left(state: &C::State, _left: Left) {
        C::seen(state);
    }
}
