//! `shield`: awaits a task without taking it down when the wait is cancelled.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wait_for::{Cancellable, sealed};
use crate::context;
use crate::executor::{Cancellation, WatchKey};
use crate::record;
use crate::record::bound::LoopBound;
use crate::record::task::{On, WaitingOn};
use crate::spawn::{JoinError, Task};

/// Leaves those who watch the task when dropped.
struct Watching(WatchKey);

impl Drop for Watching {
    fn drop(&mut self) {
        // No loop: it is closed, and nobody is told anything any more.
        let _ = context::with(|organs| organs.executor.unwatch(self.0));
    }
}

/// The future of `shield`.
#[must_use = "a shield that is not awaited waits for nothing"]
pub struct Shield<'a, T> {
    task: &'a Task<T>,
    watching: Option<LoopBound<Watching>>,
    given_up: bool,
}

/// Awaits `task` and takes its value, but lets it run on if the waiting is cancelled or dropped.
///
/// The task's own cancel is the waiter's `JoinError::Cancelled`. Several may wait for one task so;
/// the first that is polled after its end has the value, the others `JoinError::Taken`.
///
/// Errors: `JoinError`.
/// Cancel: the task goes on; its handle is still the caller's.
/// Records: as for a task that is awaited.
/// Source: asyncio's `shield`.
///
/// ```
/// use std::time::Duration;
/// use loop_runtime::{create_task, shield, sleep, wait_for};
/// loop_runtime::run(async {
///     let save = create_task(async {
///         sleep(Duration::from_millis(5)).await;
///         "saved"
///     });
///     assert!(wait_for(shield(&save), Duration::from_millis(1)).await.is_err());
///     assert_eq!(save.await.unwrap(), "saved");
/// })
/// .unwrap();
/// ```
pub fn shield<T>(task: &Task<T>) -> Shield<'_, T> {
    Shield {
        task,
        watching: None,
        given_up: false,
    }
}

impl<T> sealed::Sealed for Shield<'_, T> {}

impl<T> Cancellable for Shield<'_, T> {
    type Value = T;

    /// Ends the wait; the task goes on.
    fn request_cancel(&mut self, _place: &'static Location<'static>) -> bool {
        self.given_up = !self.task.done();
        self.given_up
    }
}

impl<T> Future for Shield<'_, T> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(result) = this.task.take_result() {
            this.watching = None;
            return Poll::Ready(result);
        }
        if this.given_up {
            this.watching = None;
            return Poll::Ready(Err(JoinError::Cancelled(Cancellation::default())));
        }
        if let Err(wrong) = this.task.check_here() {
            return Poll::Ready(Err(JoinError::WrongLoop(wrong)));
        }
        let raw = this.task.raw();
        context::expect(|organs| {
            let executor = &organs.executor;
            match this
                .watching
                .as_ref()
                .and_then(|watching| watching.get().ok())
            {
                Some(watching) => executor.rewatch(watching.0, cx.waker()),
                None => {
                    let watching = Watching(executor.watch(raw, cx.waker()));
                    this.watching = Some(LoopBound::new(organs.record.id, watching));
                }
            }
        });
        record::waiting(WaitingOn::new(On::Task, raw.id()), Location::caller());
        Poll::Pending
    }
}
