//! A flag that tasks wait for and any thread raises. Knows nothing of what it means.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Default)]
struct State {
    raised: bool,
    waiters: Vec<Waker>,
}

/// Raised once or again and again; whoever waits takes it down if it wants to.
#[derive(Default)]
pub(crate) struct Signal(Mutex<State>);

impl Signal {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises it and wakes all who wait. Any thread.
    pub(crate) fn raise(&self) {
        let waiters = {
            let mut state = self.lock();
            state.raised = true;
            std::mem::take(&mut state.waiters)
        };
        // Outside the lock: a waker may run anything.
        waiters.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.lock().raised
    }

    /// Takes it down; tells whether it was up.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut self.lock().raised)
    }

    /// Ready once it is up, which it stays.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.raised {
            return Poll::Ready(());
        }
        if !state
            .waiters
            .iter()
            .any(|known| known.will_wake(cx.waker()))
        {
            state.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until it is up.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}
