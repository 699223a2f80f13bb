//! `all_tasks`, `current_task`, and tasks as seen from outside: to read, and to cancel.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::context::{self, NoRunningLoop};
use crate::executor::Shared;
use crate::id::{LoopId, TaskId};
use crate::record::bound;
use crate::record::names;
use crate::record::task::{Kind, State, TaskFacts};
use crate::record::{self, LoopRecord};

/// What a task is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskState {
    /// Inside a poll.
    Run,
    /// Woken and waiting for its turn.
    Ready,
    /// Waiting to be woken.
    Wait,
    /// Over.
    Done,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Run => "RUN",
            TaskState::Ready => "READY",
            TaskState::Wait => "WAIT",
            TaskState::Done => "DONE",
        })
    }
}

/// A task by name, so to speak: may be held, sent and asked anywhere, and keeps nothing alive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskRef {
    id: u64,
    loop_id: LoopId,
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef")
            .field("id", &self.id)
            .field("loop", &self.loop_id)
            .finish()
    }
}

impl TaskRef {
    pub(crate) fn new(id: u64, loop_id: LoopId) -> Self {
        Self { id, loop_id }
    }

    /// The task's id, as the console prints it.
    pub fn id(&self) -> TaskId {
        TaskId::from_raw(self.id).expect("a reference is made of a task that has an id")
    }

    /// The task's loop.
    pub fn loop_id(&self) -> LoopId {
        self.loop_id
    }

    /// What the task is doing now; `None` once it is gone. Any thread; walks the loop's table.
    pub fn info(&self) -> Option<TaskInfo> {
        let record = record::loops()
            .into_iter()
            .find(|record| record.id == self.loop_id)?;
        let (_, facts) = record::find_task(&record, self.id)?;
        Some(TaskInfo::new(&record, &facts))
    }

    /// Asks the task to cancel. Any thread; false if it is known to be over.
    pub fn cancel(&self) -> bool {
        let id = self.id;
        match context::current()
            .ok()
            .filter(|organs| organs.record.id == self.loop_id)
        {
            Some(organs) => organs.executor.cancel_by_id(id, None),
            None => {
                let errand = move || {
                    let _ = context::with(|organs| organs.executor.cancel_by_id(id, None));
                };
                bound::send(self.loop_id, Box::new(errand)).is_ok()
            }
        }
    }
}

/// A task at one moment.
///
/// ```
/// loop_runtime::run(async {
///     let own = loop_runtime::current_task().unwrap();
///     let info = own.info().unwrap();
///     assert_eq!((info.name(), info.state()), ("main", loop_runtime::TaskState::Run));
///     let child = loop_runtime::create_task(async {});
///     assert_eq!(child.task_ref().info().unwrap().parent(), Some(own.id()));
/// })
/// .unwrap();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskInfo {
    id: u64,
    loop_id: LoopId,
    name: String,
    state: TaskState,
    place: Option<&'static Location<'static>>,
    waiting_at: Option<&'static Location<'static>>,
    polls: u64,
    busy: Duration,
    main: bool,
    parent: u64,
}

impl fmt::Debug for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskInfo")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("state", &self.state)
            .field("spawned_at", &self.spawned_at())
            .finish_non_exhaustive()
    }
}

impl TaskInfo {
    pub(crate) fn new(record: &LoopRecord, facts: &TaskFacts) -> Self {
        let site = record.sites.get(facts.site);
        let name = match (facts.name.text(), facts.number) {
            (Some(text), number) => names::numbered(text, number),
            (None, _) => site.map_or("", |site| site.type_name()).to_owned(),
        };
        Self {
            id: facts.id,
            loop_id: record.id,
            name,
            state: match facts.state {
                State::Run => TaskState::Run,
                State::Ready => TaskState::Ready,
                State::Wait => TaskState::Wait,
                State::Done => TaskState::Done,
            },
            place: site.and_then(|site| site.place()),
            waiting_at: facts.waiting_at,
            polls: facts.polls,
            busy: Duration::from_nanos(clock::ticks_to_ns(facts.busy)),
            main: facts.kind == Kind::Main,
            parent: facts.parent,
        }
    }

    /// The task's id, as the console prints it.
    pub fn id(&self) -> TaskId {
        TaskId::from_raw(self.id).expect("a row that was read has an id")
    }

    /// The task's loop.
    pub fn loop_id(&self) -> LoopId {
        self.loop_id
    }

    /// Its name, or the type of its future.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was doing.
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// Where it was spawned: `file:line:column`; empty if that is not known.
    pub fn spawned_at(&self) -> String {
        self.place.map(ToString::to_string).unwrap_or_default()
    }

    /// Where its last await on something of ours stood; empty if there was none.
    pub fn waiting_at(&self) -> String {
        self.waiting_at.map(ToString::to_string).unwrap_or_default()
    }

    /// The task that spawned it; `None` if it was spawned outside of any.
    pub fn parent(&self) -> Option<TaskId> {
        TaskId::from_raw(self.parent)
    }

    /// How often it was polled.
    pub fn polls(&self) -> u64 {
        self.polls
    }

    /// How long its polls took in all.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// Whether it is the main task of a run.
    pub fn is_main(&self) -> bool {
        self.main
    }

    /// The task itself, to cancel it.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef::new(self.id, self.loop_id)
    }
}

/// The tasks of a loop that are not done.
pub(crate) fn tasks_of(shared: &Arc<Shared>) -> Vec<TaskRef> {
    let record = shared.record();
    let facts = record.tasks.live().filter_map(|(_, row)| row.read());
    let pending = facts.filter(|facts| facts.state != State::Done && facts.kind != Kind::Callback);
    pending
        .map(|facts| TaskRef::new(facts.id, record.id))
        .collect()
}

/// The tasks of the running loop that are not done.
///
/// Errors: no loop runs on this thread; use `LoopHandle::all_tasks` there.
/// Source: asyncio's `all_tasks`.
///
/// ```
/// loop_runtime::run(async {
///     let task = loop_runtime::create_task(std::future::pending::<()>());
///     let all = loop_runtime::all_tasks().unwrap();
///     assert_eq!(all.len(), 2, "this one and the new one");
///     all.iter().find(|other| other.id() == task.id()).unwrap().cancel();
///     assert!(task.await.is_err());
/// })
/// .unwrap();
/// ```
pub fn all_tasks() -> Result<Vec<TaskRef>, NoRunningLoop> {
    context::with(|organs| tasks_of(organs.executor.shared()))
}

/// The task that runs on this thread; `None` outside of any.
///
/// Source: asyncio's `current_task`.
///
/// ```
/// loop_runtime::run(async {
///     assert!(loop_runtime::current_task().is_some());
/// })
/// .unwrap();
/// assert!(loop_runtime::current_task().is_none());
/// ```
pub fn current_task() -> Option<TaskRef> {
    let id = record::current_task();
    let loop_id = bound::here()?;
    (id != 0).then(|| TaskRef::new(id, loop_id))
}
