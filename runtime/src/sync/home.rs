//! State on its own loop: reached directly there, by an errand from elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use crate::context;
use crate::record::bound::{self, Errand, LoopBound, WrongLoop};

/// Something shared whose state one loop alone touches.
pub(crate) trait Home: Send + Sync + 'static {
    type State: Send + 'static;

    /// The state, on its own loop.
    fn bound(&self) -> &LoopBound<Self::State>;
}

impl<S: Send + 'static> Home for LoopBound<S> {
    type State = S;

    #[inline]
    fn bound(&self) -> &LoopBound<S> {
        self
    }
}

/// State of the running loop, shared by handles.
///
/// Panics: no loop runs on this thread.
#[inline]
#[track_caller]
pub(crate) fn share<S: Send + 'static>(
    make: impl FnOnce(&context::Organs) -> S,
) -> Arc<LoopBound<S>> {
    context::expect(|organs| LoopBound::shared(organs.record.id, || make(organs)))
}

/// The state, for a call that is to be made on its own loop. `what` is what was used.
#[inline]
#[track_caller]
pub(crate) fn here<'a, H: Home>(shared: &'a Arc<H>, what: &str) -> &'a H::State {
    match shared.bound().get() {
        Ok(state) => state,
        Err(wrong) => away(what, wrong),
    }
}

#[cold]
#[track_caller]
pub(crate) fn away(what: &str, wrong: WrongLoop) -> ! {
    panic!("a {what} was used away from its loop: {wrong}")
}

/// Has `what` done to the state on its own loop: now if that is this one, else when it takes what
/// other threads sent, in the order of sending.
///
/// Errors: the errand, where the loop is closed and nothing was done.
#[inline]
#[track_caller]
pub(crate) fn at_home<H: Home>(
    shared: &Arc<H>,
    what: impl FnOnce(&H::State) + Send + 'static,
) -> Result<(), Errand> {
    match shared.bound().get() {
        Ok(state) => {
            what(state);
            Ok(())
        }
        Err(wrong) => {
            let shared = shared.clone();
            bound::send(
                wrong.made_on,
                Box::new(move || {
                    if let Ok(state) = shared.bound().get() {
                        what(state);
                    }
                }),
            )
        }
    }
}

/// Has `take` given `item` on the loop of the state, from another thread.
///
/// Errors: the item, where the loop is closed.
#[track_caller]
pub(crate) fn send_home<H: Home, T: Send + 'static>(
    shared: &Arc<H>,
    item: T,
    take: impl FnOnce(&H::State, T) + Send + 'static,
) -> Result<(), T> {
    fn out<T>(slot: &Mutex<Option<T>>) -> Option<T> {
        slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
    // An errand that comes back does not show what it holds, so the item lies beside it.
    let slot = Arc::new(Mutex::new(Some(item)));
    let theirs = slot.clone();
    let sent = at_home(shared, move |state| {
        if let Some(item) = out(&theirs) {
            take(state, item);
        }
    });
    match sent {
        Ok(()) => Ok(()),
        Err(_) => out(&slot).map_or(Ok(()), Err),
    }
}
