//! How a task is spawned, where `create_task` is not enough.

use std::future::Future;
use std::panic::Location;

use super::{Task, spawn_as};
use crate::executor::How;
use crate::record::names::{self, NameId};
use crate::record::task::{Kind, flag};

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
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct TaskBuilder {
    name: NameId,
    number: u32,
    flags: u8,
}

impl TaskBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: NameId::NONE,
            number: 0,
            flags: 0,
        }
    }

    /// The task's name on the screen. Names are kept for ever, so that a row can point to them:
    /// use few, and `number` for what tells tasks of one name apart.
    pub fn name(mut self, name: &str) -> Self {
        self.name = names::intern(name);
        self
    }

    /// A number shown behind the name; 0 for none.
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

    #[track_caller]
    pub(crate) fn spawn_at<F>(self, future: F, place: &'static Location<'static>) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let how = How {
            name: self.name,
            number: self.number,
            flags: self.flags,
            ..How::new(place, Kind::Task)
        };
        spawn_as(future, how)
    }
}
