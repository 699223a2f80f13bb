//! `JoinSet`: a growing set of tasks of one type, collected as they end, cancelled with the set.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::crowd::{Crowd, When};
use crate::context;
use crate::id::map::IdMap;
use crate::record::bound::WrongLoop;
use crate::record::outer::outer;
use crate::spawn::{JoinError, Task, TaskBuilder, TaskRef};

/// Tasks that are collected as they end. Dropping the set asks those that are left to cancel.
///
/// For tasks that shall fail together use a `TaskGroup`; this is for pools: spawn, collect, spawn
/// again.
///
/// Panics: made, filled or asked where no loop, or another one, runs.
/// Records: a resource of kind group, with who waits and how many tasks have not ended.
/// Source: tokio's `JoinSet`.
///
/// ```
/// use loop_runtime::JoinSet;
/// loop_runtime::run(async {
///     let mut set = JoinSet::new();
///     for n in 1..=3 {
///         set.create_task(async move { n * 10 });
///     }
///     let mut sum = 0;
///     while let Some(value) = set.join_next().await {
///         sum += value.unwrap();
///     }
///     assert_eq!(sum, 60);
/// })
/// .unwrap();
/// ```
pub struct JoinSet<T> {
    tasks: IdMap<Task<T>>,
    crowd: Crowd,
}

impl<T> Unpin for JoinSet<T> {}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet")
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> Default for JoinSet<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

fn away(wrong: WrongLoop) -> ! {
    panic!("a set of tasks was used away from its loop: {wrong}")
}

impl<T: 'static> JoinSet<T> {
    /// An empty set.
    #[track_caller]
    pub fn new() -> Self {
        let place = Location::caller();
        Self {
            tasks: IdMap::default(),
            crowd: context::expect(|organs| Crowd::new(organs, When::Each, place)),
        }
    }

    /// The set's name on the screen. Names are kept for ever: use few.
    pub fn name(self, name: &str) -> Self {
        self.crowd.name(name);
        self
    }

    /// Spawns `future` into the set.
    #[doc(alias = "spawn")]
    #[track_caller]
    pub fn create_task(&mut self, future: impl Future<Output = T> + 'static) -> TaskRef {
        self.create_task_as(Task::<()>::builder(), future)
    }

    /// As `create_task`, with what a builder says.
    #[track_caller]
    pub fn create_task_as(
        &mut self,
        builder: TaskBuilder,
        future: impl Future<Output = T> + 'static,
    ) -> TaskRef {
        self.add(builder.spawn(future))
    }

    /// Takes a task in that runs already.
    pub fn add(&mut self, task: Task<T>) -> TaskRef {
        if let Err(wrong) = self.crowd.add(&task) {
            away(wrong);
        }
        let known = task.task_ref();
        self.tasks.insert(task.raw().id(), task);
        known
    }

    /// The value of the next task that ends, or why it has none; `None` if the set is empty.
    ///
    /// Cancel: no value is lost.
    pub fn join_next(&mut self) -> JoinNext<'_, T> {
        JoinNext { set: self }
    }

    /// As `join_next`, if one has ended already.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        let id = self.crowd.next_ended()?;
        let task = self.tasks.remove(&id)?;
        task.take_result()
    }

    /// Waits for all, and gives their values in the order of their ends.
    ///
    /// Errors: the first `JoinError`; the tasks that are left are then asked to cancel.
    pub fn join_all(mut self) -> impl Future<Output = Result<Vec<T>, JoinError>> {
        outer(async move {
            let mut values = Vec::with_capacity(self.len());
            while let Some(value) = self.join_next().await {
                values.push(value?);
            }
            Ok(values)
        })
    }

    /// Asks all tasks that are left to cancel; their ends are still to be collected.
    #[doc(alias = "abort_all")]
    #[track_caller]
    pub fn cancel_all(&mut self) {
        self.cancel_from(Some(Location::caller()));
    }

    /// Cancels all tasks and waits for their ends; drops their values.
    pub fn shutdown(&mut self) -> impl Future<Output = ()> {
        outer(async move {
            self.cancel_from(None);
            while self.join_next().await.is_some() {}
        })
    }

    /// Lets all tasks run on by themselves; the set is empty then.
    pub fn detach_all(&mut self) {
        for task in self.tasks.values() {
            self.crowd.remove(task);
        }
        while self.crowd.next_ended().is_some() {}
        self.tasks.clear();
    }

    /// Tasks whose ends were not collected yet.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is nothing left to collect.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

impl<T> JoinSet<T> {
    /// Oldest first: a map has no order of its own.
    fn in_order(&self) -> Vec<&Task<T>> {
        let mut all: Vec<_> = self.tasks.values().collect();
        all.sort_unstable_by_key(|task| task.raw().id());
        all
    }

    fn cancel_from(&self, place: Option<&'static Location<'static>>) {
        for task in self.in_order() {
            task.cancel_from(place);
        }
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.cancel_from(None);
    }
}

/// The future of `JoinSet::join_next`.
#[must_use = "futures do nothing unless they are awaited"]
pub struct JoinNext<'a, T> {
    set: &'a mut JoinSet<T>,
}

impl<T: 'static> Future for JoinNext<'_, T> {
    type Output = Option<Result<T, JoinError>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.set.is_empty() {
            return Poll::Ready(None);
        }
        match self.set.try_join_next() {
            Some(value) => Poll::Ready(Some(value)),
            None => {
                self.set.crowd.wait(cx, Location::caller());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for JoinNext<'_, T> {
    fn drop(&mut self) {
        // Who waited must not look as if it still did.
        self.set.crowd.leave();
    }
}
