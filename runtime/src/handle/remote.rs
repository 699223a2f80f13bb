//! A task of another thread's loop: awaitable on any executor, or by a thread that has none.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{Closed, LoopHandle};
use crate::id::LoopId;
use crate::spawn::{self, JoinError, Task, TaskRef};

/// Why a remote task has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum RemoteError {
    /// It was cancelled, or panicked.
    Join(JoinError),
    /// Its loop closed before it was done.
    LoopClosed(LoopId),
    /// `wait`'s limit passed; the task was asked to cancel.
    Elapsed(Duration),
    /// The value was taken by an earlier call.
    Taken,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::Join(error) => error.fmt(f),
            RemoteError::LoopClosed(id) => write!(
                f,
                "loop {id} closed before the task was done; keep it running until the task is awaited"
            ),
            RemoteError::Elapsed(limit) => {
                write!(f, "not done within {limit:?}; the task was asked to cancel")
            }
            RemoteError::Taken => {
                f.write_str("the task's value was taken before; keep it where it was received")
            }
        }
    }
}

impl std::error::Error for RemoteError {}

enum Slot<T> {
    Waiting {
        task: Option<TaskRef>,
        waker: Option<Waker>,
        cancel: bool,
    },
    Done(Result<T, RemoteError>),
    Taken,
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    done: Condvar,
    id: LoopId,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, result: Result<T, RemoteError>) {
        let mut slot = self.lock();
        let Slot::Waiting { waker, .. } = &mut *slot else {
            return;
        };
        let waker = waker.take();
        *slot = Slot::Done(result);
        drop(slot);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Finishes the slot even if its loop drops the work unrun.
struct Sender<T>(Arc<Shared<T>>);

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.finish(Err(RemoteError::LoopClosed(self.0.id)));
    }
}

/// A task on another thread's loop; made by `LoopHandle::spawn`.
///
/// Dropping it detaches the task.
///
/// ```
/// loop_runtime::run(async {
///     let here = loop_runtime::get_running_loop().unwrap().handle();
///     let thread = std::thread::spawn(move || here.spawn(|| async { 6 * 7 }).unwrap().wait(None));
///     let joined = loop_runtime::run_in_executor(move || thread.join().unwrap()).await;
///     assert_eq!(joined.unwrap().unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[must_use = "dropping it detaches the task; await it, wait for it or keep it"]
pub struct RemoteTask<T> {
    shared: Arc<Shared<T>>,
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTask")
            .field("loop", &self.shared.id)
            .field("done", &self.is_done())
            .finish()
    }
}

pub(super) fn spawn<F, T>(
    handle: &LoopHandle,
    place: &'static Location<'static>,
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<RemoteTask<T>, Closed>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let slot = Slot::Waiting {
        task: None,
        waker: None,
        cancel: false,
    };
    let shared = Arc::new(Shared {
        slot: Mutex::new(slot),
        done: Condvar::new(),
        id: handle.id(),
    });
    let sender = Sender(shared.clone());
    handle.send(place, move || {
        let task = spawn::create_task_at(make(), place);
        let mut slot = sender.0.lock();
        if let Slot::Waiting {
            task: here, cancel, ..
        } = &mut *slot
        {
            *here = Some(task.task_ref());
            if *cancel {
                task.cancel();
            }
        }
        drop(slot);
        deliver(task, sender);
    })?;
    Ok(RemoteTask { shared })
}

/// Hands the task's result over once it is there.
fn deliver<T: Send + 'static>(task: Task<T>, sender: Sender<T>) {
    task.when_done(move |result| sender.0.finish(result.map_err(RemoteError::Join)));
}

impl<T> RemoteTask<T> {
    /// Whether the value (or the error) is there.
    pub fn is_done(&self) -> bool {
        !matches!(*self.shared.lock(), Slot::Waiting { .. })
    }

    /// Asks the task to cancel. Any thread.
    #[track_caller]
    pub fn cancel(&self) {
        let task = match &mut *self.shared.lock() {
            Slot::Waiting { cancel, task, .. } => {
                *cancel = true;
                *task
            }
            _ => None,
        };
        // Outside the lock: on the loop's own thread the request may finish the task at once.
        if let Some(task) = task {
            task.cancel();
        }
    }

    /// Blocks this thread until the task is done, for at most `limit`.
    ///
    /// Never call it on a loop's thread: it blocks that loop, and waits for ever for a task of its
    /// own. Await the `RemoteTask` there.
    ///
    /// Errors: `RemoteError`; when the limit passes, the task is asked to cancel.
    pub fn wait(self, limit: Option<Duration>) -> Result<T, RemoteError> {
        let until = limit.map(|limit| (limit, Instant::now() + limit));
        let mut slot = self.shared.lock();
        loop {
            if !matches!(*slot, Slot::Waiting { .. }) {
                return take(&mut slot);
            }
            slot = match until {
                None => self
                    .shared
                    .done
                    .wait(slot)
                    .unwrap_or_else(PoisonError::into_inner),
                Some((limit, until)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        drop(slot);
                        self.cancel();
                        return Err(RemoteError::Elapsed(limit));
                    }
                    self.shared
                        .done
                        .wait_timeout(slot, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

fn take<T>(slot: &mut Slot<T>) -> Result<T, RemoteError> {
    match std::mem::replace(slot, Slot::Taken) {
        Slot::Done(result) => result,
        _ => Err(RemoteError::Taken),
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, RemoteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.shared.lock();
        let Slot::Waiting { waker, .. } = &mut *slot else {
            return Poll::Ready(take(&mut slot));
        };
        match waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
