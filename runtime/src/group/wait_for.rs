//! `wait_for`: awaits a task for a while, then cancels it and waits for its end.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::context;
use crate::executor::Hit;
use crate::record;
use crate::record::bound::LoopBound;
use crate::record::task::{On, WaitingOn};
use crate::spawn::{Entered, JoinError, Task};
use crate::time::{Elapsed, LoopInstant, Sleep};

/// What can be awaited and asked to cancel: a `Task`, a `Shield`, a `Gather`.
pub trait Cancellable:
    Future<Output = Result<Self::Value, JoinError>> + Unpin + sealed::Sealed
{
    /// What it gives.
    type Value;

    /// Asks it to cancel, for who was called at `place`; false if it is done.
    #[doc(hidden)]
    fn request_cancel(&mut self, place: &'static Location<'static>) -> bool;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

impl<T> sealed::Sealed for Task<T> {}

impl<T> Cancellable for Task<T> {
    type Value = T;

    fn request_cancel(&mut self, place: &'static Location<'static>) -> bool {
        self.cancel_from(Some(place))
    }
}

/// Why `wait_for` has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was up; what was awaited is cancelled and has ended.
    Elapsed(Elapsed),
    /// It ended without a value by itself: a panic, also in its clean-up, or somebody else's cancel.
    Join(JoinError),
}

impl WaitError {
    /// Whether the time was up.
    pub fn is_elapsed(&self) -> bool {
        matches!(self, WaitError::Elapsed(_))
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Elapsed(elapsed) => elapsed.fmt(f),
            WaitError::Join(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {}

/// The future of `wait_for`.
#[must_use = "a wait that is not awaited does not wait"]
pub struct WaitFor<A> {
    task: A,
    sleep: Sleep,
    after: Duration,
    entered: Option<LoopBound<Entered>>,
    elapsed: bool,
    /// A cancel that came from outside.
    outside: Hit,
    raised: bool,
    place: &'static Location<'static>,
}

/// Awaits `task` for at most `limit`; then asks it to cancel and waits until it has ended, clean-up
/// included, however long that takes.
///
/// A task that makes a value of the cancel has that value given, and a panic in its clean-up is
/// told rather than the time. With a limit of zero a task that is done gives its value, and one
/// that has not begun never does. Of a `Shield` only the wait is ended.
///
/// Errors: `WaitError`.
/// Panics: made or polled where no loop, or another one, runs.
/// Cancel: a cancel from outside is passed to `task`; once that has ended the cancel goes on, whatever
/// the task gave. A drop detaches the task.
/// Records: as `sleep`, with the kind `timeout`; the wait for the task.
/// Source: asyncio's `wait_for`; `timeout` is the one that drops.
///
/// ```
/// use std::time::Duration;
/// use loop_runtime::{create_task, wait_for};
/// loop_runtime::run(async {
///     let never = create_task(std::future::pending::<()>());
///     let error = wait_for(never, Duration::from_millis(1)).await.unwrap_err();
///     assert!(error.is_elapsed());
///     let soon = create_task(async { 7 });
///     assert_eq!(wait_for(soon, Duration::from_secs(60)).await.unwrap(), 7);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn wait_for<A: Cancellable>(task: A, limit: Duration) -> WaitFor<A> {
    let place = Location::caller();
    let (id, now) =
        context::expect(|organs| (organs.record.id, LoopInstant::from_nanos(organs.now())));
    WaitFor {
        task,
        sleep: Sleep::limit(id, now + limit, place),
        after: limit,
        entered: None,
        elapsed: false,
        outside: Hit::default(),
        raised: false,
        place,
    }
}

// Nothing in it is pinned: what it awaits is `Unpin`.
impl<A> Unpin for WaitFor<A> {}

impl<A: Cancellable> Future for WaitFor<A> {
    type Output = Result<A::Value, WaitError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.raised {
            record::waiting(WaitingOn::new(On::Turn, 0), Location::caller());
            return Poll::Pending;
        }
        let organs = context::current().unwrap_or_else(|error| panic!("{error}"));
        let executor = &organs.executor;
        let entered = this.entered.get_or_insert_with(|| {
            LoopBound::new(organs.record.id, Entered(executor.enter_scope()))
        });
        let scope = match entered.get() {
            Ok(entered) => entered.0,
            Err(wrong) => panic!("a wait was polled away from its loop: {wrong}"),
        };
        if let Some(hit) = executor.scopes().take_hit(scope) {
            if this.outside.is_none() {
                this.task.request_cancel(this.place);
            }
            this.outside.join(hit);
        }
        let polled = executor.poll_in_scope(scope, cx, |cx| Pin::new(&mut this.task).poll(cx));
        let result = match polled {
            Poll::Ready(result) => result,
            Poll::Pending => {
                if this.elapsed || !this.outside.is_none() {
                    return Poll::Pending;
                }
                match this.sleep.try_poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(wrong)) => {
                        panic!("a wait was polled away from its loop: {wrong}")
                    }
                    Poll::Ready(Ok(())) => {}
                }
                this.elapsed = true;
                this.task.request_cancel(this.place);
                match executor.poll_in_scope(scope, cx, |cx| Pin::new(&mut this.task).poll(cx)) {
                    Poll::Ready(result) => result,
                    Poll::Pending => return Poll::Pending,
                }
            }
        };
        this.entered = None;
        if !this.outside.is_none() {
            executor.raise(std::mem::take(&mut this.outside), true);
            this.raised = true;
            record::waiting(WaitingOn::new(On::Turn, 0), Location::caller());
            return Poll::Pending;
        }
        Poll::Ready(match result {
            Err(JoinError::Cancelled(_)) if this.elapsed => {
                Err(WaitError::Elapsed(Elapsed { after: this.after }))
            }
            result => result.map_err(WaitError::Join),
        })
    }
}
