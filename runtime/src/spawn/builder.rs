//! How a task is spawned, where `create_task` is not enough.

use std::future::Future;
use std::panic::Location;

use super::{Task, spawn_in};
use crate::context;
use crate::executor::How;
use crate::record::names::{self, NameId};
use crate::record::task::{Kind, flag};
use crate::record::vars::Context;

/// Names a task and says what it may do, then spawns it.
///
/// ```
/// loop_runtime::run(async {
///     let task = loop_runtime::Task::<()>::builder().name("answer").spawn(async { 6 * 7 });
///     assert_eq!(task.name(), "answer");
///     assert_eq!(task.await.unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct TaskBuilder {
    name: NameId,
    number: u32,
    flags: u8,
    eager: bool,
    context: Option<Context>,
}

impl TaskBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: NameId::NONE,
            number: 0,
            flags: 0,
            eager: false,
            context: None,
        }
    }

    /// The task's name on the screen. Names are kept for ever, so that a row can point to them:
    /// use few, and `number` for what tells tasks of one name apart.
    pub fn name(mut self, name: &str) -> Self {
        self.name = names::intern(name);
        self
    }

    /// A number shown behind the name and a dash (none where the name ends with `:`, `-`, `#`, `/` or
    /// a space); 0 for none.
    pub fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// The task waits for ever on purpose: it is no leak if nothing can wake it, and none if it is
    /// left when the run ends.
    pub fn allow_forever(mut self) -> Self {
        self.flags |= flag::FOREVER;
        self
    }

    /// Whether its first poll is made at once, inside the spawn, and not when its turn comes.
    ///
    /// One that is done by then never touches the ready queue. `current_task` is the new task
    /// meanwhile, and it is in `all_tasks`. Where the loop is not running yet, or inside many eager
    /// starts of one another, it waits for its turn as others do. The poll that spawns it takes as
    /// long as both.
    ///
    /// Source: asyncio's `eager_start`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::Task::<()>::builder().eager(true).spawn(async { 6 * 7 });
    ///     assert!(task.done(), "before anything was awaited");
    ///     assert_eq!(task.await.unwrap(), 42);
    /// })
    /// .unwrap();
    /// ```
    pub fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// The task's context variables are those of `context` itself: what it sets is seen there. The
    /// default is a copy of its spawner's.
    ///
    /// Source: asyncio's `create_task(context=)`.
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// Part of the runtime or of a tool: in no count and no verdict.
    pub(crate) fn internal(mut self) -> Self {
        self.flags |= flag::INTERNAL | flag::FOREVER;
        self
    }

    /// Spawns `future` on the running loop.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_at(future, Location::caller())
    }

    /// As `spawn`, for a task whose error is to be seen: where it returns `Err`, it is listed as
    /// failed, with the error's text, and the exception handler hears of it if nobody awaits it.
    ///
    /// A plain `create_task` cannot tell an error from any other value; and of a future that returns
    /// none there is nothing to tell:
    ///
    /// ```compile_fail
    /// loop_runtime::run(async {
    ///     loop_runtime::Task::<()>::builder().spawn_fallible(async { 7 }).detach();
    /// });
    /// ```
    ///
    /// Records: the outcome `failed`; a finding `unread-error` once the handle is dropped and nobody
    /// has read the error.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::Task::<()>::builder().spawn_fallible(async {
    ///         "x".parse::<u32>()
    ///     });
    ///     assert!(task.await.unwrap().is_err());
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn spawn_fallible<F, T, E>(self, future: F) -> Task<F::Output>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: std::fmt::Display + 'static,
    {
        let place = Location::caller();
        let stating = async move {
            let result = future.await;
            if let Err(error) = &result {
                let text = error.to_string();
                // The loop is there: it is what polls this.
                let _ = context::with(|organs| organs.executor.state_failure(text));
            }
            result
        };
        self.spawn_at(stating, place)
    }

    #[track_caller]
    pub(crate) fn spawn_at<F>(self, future: F, place: &'static Location<'static>) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let how = How {
            name: self.name,
            number: self.number,
            flags: self.flags,
            eager: self.eager,
            ..How::new(place, Kind::Task)
        };
        spawn_in(future, how, self.context)
    }

    /// What a spawn came with, for a factory to change.
    pub(super) fn of(how: &How, context: Option<Context>) -> Self {
        Self {
            name: how.name,
            number: how.number,
            flags: how.flags,
            eager: how.eager,
            context,
        }
    }

    /// What a factory made of it.
    pub(super) fn apply(self, how: &mut How) -> Option<Context> {
        how.name = self.name;
        how.number = self.number;
        how.flags = self.flags;
        how.eager = self.eager;
        self.context
    }
}
