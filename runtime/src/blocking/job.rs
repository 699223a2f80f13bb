//! One job: the future that somebody holds, and the work that a thread runs.
//!
//! The wake is sent to the loop as an errand, so that a result is heard of there, in its turn.
//! Dropping the future withdraws a job that has not begun; one that runs goes on and is marked as
//! unwanted.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, thread};

use super::{Pool, Shared};
use crate::clock;
use crate::record;
use crate::record::bound::Errand;
use crate::record::task::{On, WaitingOn};

struct State<T> {
    result: Option<thread::Result<T>>,
    waker: Option<Waker>,
    /// The future still lives.
    wanted: bool,
}

struct Link<T> {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    id: u64,
    row: Option<u32>,
    state: Mutex<State<T>>,
}

/// The result of a job, to be awaited: its value, or what it panicked with.
///
/// Cancel: dropping it withdraws the job if it waits for a thread; a running job goes on, is
/// listed as cancelled, and its value is dropped.
#[must_use = "dropping it withdraws the job"]
pub(crate) struct Job<T> {
    link: Arc<Link<T>>,
    /// It is to run in any case.
    kept: bool,
}

/// Both halves of a new job.
pub(super) fn pair<T: Send + 'static>(
    shared: &Arc<Shared>,
    pool: &Arc<Pool>,
    id: u64,
    row: Option<u32>,
    run: impl FnOnce() -> T + Send + 'static,
) -> (Job<T>, Box<dyn FnOnce(u64) + Send>) {
    let link = Arc::new(Link {
        shared: shared.clone(),
        pool: pool.clone(),
        id,
        row,
        state: Mutex::new(State {
            result: None,
            waker: None,
            wanted: true,
        }),
    });
    let theirs = link.clone();
    let work = Box::new(move |thread| {
        if let Some(row) = theirs.shared.row(theirs.row) {
            row.started(clock::ticks(), thread);
        }
        let result = catch_unwind(AssertUnwindSafe(run));
        theirs.deliver(result);
    });
    (Job { link, kept: false }, work)
}

impl<T> Link<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Link<T> {
    /// On the executor's thread, once: the job is over.
    fn deliver(self: Arc<Self>, result: thread::Result<T>) {
        let mut state = self.lock();
        if state.wanted {
            state.result = Some(result);
            drop(state);
        } else {
            drop(state);
            // Nobody is left to hear of a value whose drop panics.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(result)));
        }
        let link = self.clone();
        let errand: Errand = Box::new(move || {
            link.shared.release(link.row);
            let waker = link.lock().waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        if let Some(row) = self.shared.row(self.row) {
            row.done();
        }
        if let Err(errand) = (self.shared.home)(errand) {
            // The loop is closed; whoever waits is a thread or another loop.
            errand();
        }
    }
}

impl<T> Job<T> {
    /// From now on it runs also if this is dropped before it has begun.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl<T> Future for Job<T> {
    type Output = thread::Result<T>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.link.lock();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        let old = match &state.waker {
            Some(old) if old.will_wake(cx.waker()) => None,
            _ => state.waker.replace(cx.waker().clone()),
        };
        drop(state);
        drop(old);
        record::waiting(
            WaitingOn::new(On::Job, self.link.id),
            std::panic::Location::caller(),
        );
        Poll::Pending
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let link = &self.link;
        let mut state = link.lock();
        state.wanted = false;
        let (result, waker) = (state.result.take(), state.waker.take());
        drop(state);
        drop((result, waker));
        if self.kept {
            return;
        }
        if link.pool.withdraw(link.id) {
            link.shared.release(link.row);
        } else if let Some(row) = link.shared.row(link.row) {
            row.unwanted(link.id);
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.link.id).finish()
    }
}
