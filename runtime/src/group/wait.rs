//! `wait` and `as_completed`: several tasks, whichever ends first. Neither cancels any.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::crowd::{Crowd, When};
use crate::context;
use crate::id::map::IdMap;
use crate::spawn::Task;
use crate::time::{LoopInstant, Sleep};

/// When a `wait` is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnWhen {
    /// One task is done.
    FirstCompleted,
    /// One has panicked, or returned an error as a task of `spawn_fallible` or of a group; or all
    /// are done. A cancelled task is no exception.
    FirstException,
    /// All are done.
    AllCompleted,
}

/// The future of `wait`.
#[must_use = "a wait that is not awaited does not wait"]
pub struct Wait<T> {
    tasks: Vec<Task<T>>,
    when: ReturnWhen,
    sleep: Option<Sleep>,
    crowd: Option<Crowd>,
    place: &'static Location<'static>,
}

// A handle is not pinned, nor is anything else here.
impl<T> Unpin for Wait<T> {}

/// Waits until `when`, or for at most `limit`, and gives the tasks back: those that are done and
/// those that are not, each in the order in which they were given.
///
/// Cancels nobody; a limit that has passed is no error. All that are done at the moment of return
/// are among the first. Without tasks it returns at once.
///
/// Panics: made or polled where no loop, or another one than the tasks', runs.
/// Cancel: the tasks go on. Dropping it drops their handles; keep them by not dropping it.
/// Records: a resource of kind group, with who waits and how many tasks have not ended.
/// Source: asyncio's `wait`.
///
/// ```
/// use loop_runtime::{ReturnWhen, create_task, wait, yield_now};
/// loop_runtime::run(async {
///     let tasks = [create_task(std::future::pending()), create_task(async { 7 })];
///     let (mut done, pending) = wait(tasks, ReturnWhen::FirstCompleted, None).await;
///     assert_eq!(done.remove(0).await.unwrap(), 7);
///     assert!(!pending[0].done());
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn wait<T>(
    tasks: impl IntoIterator<Item = Task<T>>,
    when: ReturnWhen,
    limit: impl Into<Option<Duration>>,
) -> Wait<T> {
    let place = Location::caller();
    let (id, now) =
        context::expect(|organs| (organs.record.id, LoopInstant::from_nanos(organs.now())));
    let sleep = limit
        .into()
        .map(|limit| Sleep::limit(id, now + limit, place));
    Wait {
        tasks: tasks.into_iter().collect(),
        when,
        sleep,
        crowd: None,
        place,
    }
}

impl<T> Wait<T> {
    fn is_over(&self, crowd: &Crowd) -> bool {
        let pending = crowd.pending();
        pending == 0
            || match self.when {
                ReturnWhen::FirstCompleted => pending < self.tasks.len(),
                ReturnWhen::FirstException => crowd.bad().is_some(),
                ReturnWhen::AllCompleted => false,
            }
    }
}

impl<T> Future for Wait<T> {
    type Output = (Vec<Task<T>>, Vec<Task<T>>);

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let crowd = match this.crowd.take() {
            Some(crowd) => crowd,
            None => {
                let when = match this.when {
                    ReturnWhen::FirstCompleted => When::Any,
                    ReturnWhen::FirstException => When::LastOrFailed,
                    ReturnWhen::AllCompleted => When::Last,
                };
                let crowd = context::expect(|organs| Crowd::new(organs, when, this.place));
                for task in &this.tasks {
                    if let Err(wrong) = crowd.add(task) {
                        panic!("a task was waited for away from its loop: {wrong}");
                    }
                }
                crowd
            }
        };
        if !this.is_over(&crowd) {
            let elapsed = match &mut this.sleep {
                Some(sleep) => match sleep.try_poll(cx) {
                    Poll::Ready(Ok(())) => true,
                    Poll::Ready(Err(wrong)) => {
                        panic!("a wait was polled away from its loop: {wrong}")
                    }
                    Poll::Pending => false,
                },
                None => false,
            };
            if !elapsed {
                crowd.wait(cx, Location::caller());
                this.crowd = Some(crowd);
                return Poll::Pending;
            }
        }
        let tasks = std::mem::take(&mut this.tasks);
        let (done, pending): (Vec<_>, Vec<_>) = tasks.into_iter().partition(Task::done);
        // They may be awaited by others from now on.
        pending.iter().for_each(|task| crowd.remove(task));
        this.sleep = None;
        Poll::Ready((done, pending))
    }
}

/// Tasks in the order of their ends; made by `as_completed`.
#[must_use = "a stream does nothing until it is asked for its next"]
pub struct AsCompleted<T> {
    tasks: IdMap<Task<T>>,
    crowd: Crowd,
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl<T> Unpin for AsCompleted<T> {}

/// Gives the tasks back one by one as they end, done: a `Stream`, and `next` without one.
///
/// A limit of time is put around: `timeout(limit, all.next())` loses nothing.
///
/// Panics: made where no loop, or another one than the tasks', runs.
/// Cancel: dropping it drops the handles of those that are left, which go on.
/// Records: a resource of kind group, with who waits and how many tasks have not ended.
/// Source: asyncio's `as_completed`.
///
/// ```
/// use loop_runtime::{as_completed, create_task, yield_now};
/// loop_runtime::run(async {
///     let mut all = as_completed([3, 1, 2].map(|turns| {
///         create_task(async move {
///             for _ in 0..turns {
///                 yield_now().await;
///             }
///             turns
///         })
///     }));
///     let mut order = Vec::new();
///     while let Some(task) = all.next().await {
///         order.push(task.await.unwrap());
///     }
///     assert_eq!(order, [1, 2, 3]);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn as_completed<T>(tasks: impl IntoIterator<Item = Task<T>>) -> AsCompleted<T> {
    let place = Location::caller();
    let crowd = context::expect(|organs| Crowd::new(organs, When::Each, place));
    let tasks = tasks.into_iter().map(|task| {
        if let Err(wrong) = crowd.add(&task) {
            panic!("a task was waited for away from its loop: {wrong}");
        }
        (task.raw().id(), task)
    });
    AsCompleted {
        tasks: tasks.collect(),
        crowd,
    }
}

impl<T> AsCompleted<T> {
    /// The next task that has ended; `None` once all were given.
    ///
    /// Cancel: no task is lost.
    #[allow(clippy::should_implement_trait)] // As a stream's `next`, which is awaited.
    pub fn next(&mut self) -> Next<'_, T> {
        Next { all: self }
    }

    /// Tasks that were not given yet.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether all were given.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    #[track_caller]
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Option<Task<T>>> {
        if self.tasks.is_empty() {
            return Poll::Ready(None);
        }
        match self.crowd.next_ended() {
            Some(id) => {
                self.crowd.leave();
                Poll::Ready(self.tasks.remove(&id))
            }
            None => {
                self.crowd.wait(cx, Location::caller());
                Poll::Pending
            }
        }
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = Task<T>;

    #[track_caller]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Task<T>>> {
        self.poll_ended(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.tasks.len(), Some(self.tasks.len()))
    }
}

/// The future of `AsCompleted::next`.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Next<'a, T> {
    all: &'a mut AsCompleted<T>,
}

impl<T> Future for Next<'_, T> {
    type Output = Option<Task<T>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.all.poll_ended(cx)
    }
}

impl<T> Drop for Next<'_, T> {
    fn drop(&mut self) {
        // Who waited must not look as if it still did.
        self.all.crowd.leave();
    }
}
