//! `Condition`: tasks that wait for a locked value to change, and those that say it did.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::asking::Asking;
use super::home::{at_home, away, here, share};
use super::lock::{Acquire, Lock, LockGuard};
use super::resource::Resource;
use super::waiters::{Left, Ticket, Waiters};
use crate::record::bound::LoopBound;
use crate::record::resource::Kind;
use crate::spawn::{Cancelled, CatchCancel, catch_cancel};

struct State {
    line: Waiters,
    row: Resource,
}

impl State {
    fn notify(&self, count: usize) {
        for _ in 0..count.min(self.line.len()) {
            self.line.grant(0);
        }
        self.seen();
    }

    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
    }

    /// One who waited is gone. A notice that it never took goes to the next.
    fn leave(&self, mut ticket: Ticket) {
        if let Left::Granted(_) = self.line.leave(&mut ticket) {
            self.notify(1);
        }
        self.seen();
    }
}

/// A locked value, and a way to wait for it to change.
///
/// It belongs to the loop that ran where it was made, and a clone is the same condition. Several
/// conditions may share one lock.
///
/// Records: a resource of kind condition, with who waits for a notice; the lock is a row of its own.
/// Source: asyncio's `Condition`.
///
/// ```
/// use loop_runtime::sync::Condition;
/// loop_runtime::run(async {
///     let stock = Condition::new(0);
///     let theirs = stock.clone();
///     let buyer = loop_runtime::create_task(async move {
///         let mut stock = theirs.wait_for(theirs.lock().await, |stock| *stock >= 2).await;
///         *stock -= 2;
///     });
///     for _ in 0..2 {
///         let mut guard = stock.lock().await;
///         *guard += 1;
///         stock.notify(&guard, 1);
///         drop(guard);
///         loop_runtime::yield_now().await;
///     }
///     buyer.await.unwrap();
/// })
/// .unwrap();
/// ```
#[doc(alias = "Condvar")]
pub struct Condition<T: Send + 'static> {
    lock: Lock<T>,
    shared: Arc<LoopBound<State>>,
}

impl<T: Send> Clone for Condition<T> {
    fn clone(&self) -> Self {
        Self {
            lock: self.lock.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<T: Send> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send> Condition<T> {
    /// A condition of the running loop, with a lock of its own.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::named("", &Lock::new(value))
    }

    /// A condition of the running loop on a lock that others use too.
    #[track_caller]
    pub fn with_lock(lock: &Lock<T>) -> Self {
        Self::named("", lock)
    }

    /// As `with_lock`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str, lock: &Lock<T>) -> Self {
        let place = Location::caller();
        let shared = share(|organs| State {
            line: Waiters::new(),
            row: Resource::new(organs, Kind::Condition, name, place),
        });
        Self {
            lock: lock.clone(),
            shared,
        }
    }

    /// Waits for the lock and takes it, as `Lock::lock`.
    #[doc(alias = "acquire")]
    pub fn lock(&self) -> impl Future<Output = LockGuard<'_, T>> + Send + Unpin + '_ {
        self.lock.lock()
    }

    /// Whether somebody has the lock.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn locked(&self) -> bool {
        self.lock.locked()
    }

    /// Frees the lock, waits for a notice, and takes the lock again.
    ///
    /// A notice says that the value may have changed, no more: `wait_for` looks.
    ///
    /// Panics: polled away from its loop, or the guard is another lock's.
    /// Cancel: dropping it leaves the lock free, and a notice that it was given goes to the next.
    /// What must have the lock to clean up awaits `wait_catching`.
    pub fn wait<'a>(
        &'a self,
        guard: LockGuard<'a, T>,
    ) -> impl Future<Output = LockGuard<'a, T>> + Send + Unpin + 'a {
        Waiting::new(self, guard)
    }

    /// As `wait`, until `holds` says so of the value; asks it first.
    ///
    /// ```
    /// # use loop_runtime::sync::Condition;
    /// # loop_runtime::run(async {
    /// let seven = Condition::new(7);
    /// let guard = seven.wait_for(seven.lock().await, |value| *value == 7).await;
    /// assert_eq!(*guard, 7);
    /// # }).unwrap();
    /// ```
    #[doc(alias = "wait_while")]
    pub fn wait_for<'a, F>(
        &'a self,
        guard: LockGuard<'a, T>,
        holds: F,
    ) -> impl Future<Output = LockGuard<'a, T>> + Unpin + 'a
    where
        F: FnMut(&mut T) -> bool + Unpin + 'a,
    {
        WaitFor {
            waiting: Waiting {
                condition: self,
                stage: Stage::Over(Some(guard)),
            },
            holds,
        }
    }

    /// As `wait`, but a cancel of the task that comes meanwhile is caught: the lock is taken again
    /// first, however long that takes, and given with the cancel. What follows can clean up under
    /// the lock, and ends or goes on.
    ///
    /// Errors: `Interrupted`.
    /// Source: asyncio's `Condition.wait`, which has the lock again when it raises.
    ///
    /// ```
    /// # use loop_runtime::sync::Condition;
    /// # loop_runtime::run(async {
    /// let jobs = Condition::new(1);
    /// let theirs = jobs.clone();
    /// let task = loop_runtime::create_task(async move {
    ///     let guard = theirs.lock().await;
    ///     if let Err(mut interrupted) = theirs.wait_catching(guard).await {
    ///         *interrupted.guard -= 1;
    ///     }
    /// });
    /// loop_runtime::yield_now().await;
    /// task.cancel();
    /// task.await.unwrap();
    /// assert_eq!(*jobs.lock().await, 0);
    /// # }).unwrap();
    /// ```
    pub fn wait_catching<'a>(
        &'a self,
        guard: LockGuard<'a, T>,
    ) -> impl Future<Output = Result<LockGuard<'a, T>, Interrupted<'a, T>>> + Send + Unpin + 'a
    {
        Catching {
            condition: self,
            stage: Caught::Waiting(catch_cancel(Waiting::new(self, guard))),
        }
    }

    /// Gives notice to the first `count` who wait. Who calls it holds the lock, which the guard
    /// proves, so none of them sees the value before the guard is dropped.
    ///
    /// Panics: called away from its loop, or the guard is another lock's.
    #[doc(alias = "notify_one")]
    #[track_caller]
    pub fn notify(&self, guard: &LockGuard<'_, T>, count: usize) {
        self.own(guard);
        let state = here(&self.shared, "condition");
        state.row.used();
        state.notify(count);
    }

    /// Gives notice to all who wait. As `notify` otherwise.
    #[track_caller]
    pub fn notify_all(&self, guard: &LockGuard<'_, T>) {
        self.notify(guard, usize::MAX);
    }

    #[track_caller]
    fn own(&self, guard: &LockGuard<'_, T>) {
        assert!(
            guard.is_of(&self.lock),
            "a condition was used with the guard of another lock; take it from this condition's `lock`"
        );
    }
}

enum Stage<'a, T: Send + 'static> {
    Held(LockGuard<'a, T>),
    Waiting(Ticket),
    Locking(Asking<'a, Acquire<T>>),
    /// With the guard, while `wait_for` looks at the value.
    Over(Option<LockGuard<'a, T>>),
}

struct Waiting<'a, T: Send + 'static> {
    condition: &'a Condition<T>,
    stage: Stage<'a, T>,
}

impl<T: Send> Unpin for Waiting<'_, T> {}

impl<'a, T: Send> Waiting<'a, T> {
    fn new(condition: &'a Condition<T>, guard: LockGuard<'a, T>) -> Self {
        Self {
            condition,
            stage: Stage::Held(guard),
        }
    }
}

impl<'a, T: Send> Future for Waiting<'a, T> {
    type Output = LockGuard<'a, T>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LockGuard<'a, T>> {
        let (this, at) = (self.get_mut(), Location::caller());
        let condition = this.condition;
        let state = match condition.shared.get() {
            Ok(state) => state,
            Err(wrong) => away("condition", wrong),
        };
        loop {
            match &mut this.stage {
                Stage::Held(guard) => {
                    condition.own(guard);
                    // In line first: whoever has the lock next can give notice to it.
                    let mut ticket = Ticket::default();
                    let _ = state.line.poll(&mut ticket, 1, state.row.on(), at, cx);
                    state.row.had_to_wait(&condition.shared);
                    state.seen();
                    // The guard goes with the stage.
                    this.stage = Stage::Waiting(ticket);
                    return Poll::Pending;
                }
                Stage::Waiting(ticket) => {
                    let line = &state.line;
                    if line.poll(ticket, 1, state.row.on(), at, cx).is_pending() {
                        return Poll::Pending;
                    }
                    let lock = &condition.lock.shared;
                    this.stage = Stage::Locking(Asking::new(lock, Acquire::new()));
                }
                Stage::Locking(lock) => {
                    let polled = Pin::new(lock).poll(cx);
                    if polled.is_ready() {
                        this.stage = Stage::Over(None);
                    }
                    return polled;
                }
                Stage::Over(guard) => {
                    let guard = guard.take();
                    return Poll::Ready(guard.expect("a wait is not polled after it ended"));
                }
            }
        }
    }
}

impl<T: Send> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        let shared = &self.condition.shared;
        // A closed loop has nobody to give a notice to.
        let _ = match std::mem::replace(&mut self.stage, Stage::Over(None)) {
            Stage::Waiting(ticket) => at_home(shared, move |state| state.leave(ticket)),
            // Noticed, but the lock was not had again: nobody looked at the value for this notice.
            Stage::Locking(_) => at_home(shared, |state| state.notify(1)),
            Stage::Held(_) | Stage::Over(_) => Ok(()),
        };
    }
}

struct WaitFor<'a, T: Send + 'static, F> {
    waiting: Waiting<'a, T>,
    holds: F,
}

impl<'a, T: Send, F: FnMut(&mut T) -> bool + Unpin> Future for WaitFor<'a, T, F> {
    type Output = LockGuard<'a, T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LockGuard<'a, T>> {
        let this = &mut *self;
        loop {
            let Poll::Ready(mut guard) = Pin::new(&mut this.waiting).poll(cx) else {
                return Poll::Pending;
            };
            if (this.holds)(&mut guard) {
                return Poll::Ready(guard);
            }
            this.waiting = Waiting::new(this.waiting.condition, guard);
        }
    }
}

enum Caught<'a, T: Send + 'static> {
    Waiting(CatchCancel<Waiting<'a, T>>),
    Locking(CatchCancel<Asking<'a, Acquire<T>>>, Option<Cancelled>),
}

struct Catching<'a, T: Send + 'static> {
    condition: &'a Condition<T>,
    stage: Caught<'a, T>,
}

impl<'a, T: Send> Future for Catching<'a, T> {
    type Output = Result<LockGuard<'a, T>, Interrupted<'a, T>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let (caught, before) = match &mut this.stage {
                Caught::Waiting(waiting) => match Pin::new(waiting).poll(cx) {
                    Poll::Ready(Ok(guard)) => return Poll::Ready(Ok(guard)),
                    Poll::Ready(Err(caught)) => (caught, None),
                    Poll::Pending => return Poll::Pending,
                },
                Caught::Locking(locking, cancelled) => match Pin::new(locking).poll(cx) {
                    Poll::Ready(Ok(guard)) => {
                        let cancelled = cancelled.take().expect("a cancel was caught before this");
                        return Poll::Ready(Err(Interrupted { guard, cancelled }));
                    }
                    Poll::Ready(Err(caught)) => (caught, cancelled.take()),
                    Poll::Pending => return Poll::Pending,
                },
            };
            // Cancelled again while it waits for the lock: it needs the lock all the same.
            let lock = &this.condition.lock.shared;
            let again = catch_cancel(Asking::new(lock, Acquire::new()));
            this.stage = Caught::Locking(again, Some(before.unwrap_or(caught)));
        }
    }
}

/// The task was cancelled while it waited for a notice; it has the lock again.
pub struct Interrupted<'a, T: Send + 'static> {
    /// The lock, taken again.
    pub guard: LockGuard<'a, T>,
    /// The first cancel that came.
    pub cancelled: Cancelled,
}

impl<T: Send> fmt::Debug for Interrupted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupted")
            .field("cancelled", &self.cancelled)
            .finish_non_exhaustive()
    }
}

impl<T: Send> fmt::Display for Interrupted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} while it waited for a condition", self.cancelled)
    }
}

impl<T: Send> std::error::Error for Interrupted<'_, T> {}
