//! `all_tasks`, `current_task`, and tasks as seen from outside: to read, and to cancel.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::cancel::{self, CancelRequest};
use crate::clock;
use crate::context::{self, NoRunningLoop, Organs};
use crate::executor::Shared;
use crate::id::{LoopId, TaskId};
use crate::record::bound;
use crate::record::names;
use crate::record::task::{Kind, State, TaskFacts, TaskRow};
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
        record::standstill::refer(loop_id);
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
    ///
    /// Records: who asked, where and when, with the task.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.cancel_with(None)
    }

    /// As `cancel`, with a message for whoever awaits the task.
    #[track_caller]
    pub fn cancel_message(&self, message: &str) -> bool {
        self.cancel_with(Some(message))
    }

    #[track_caller]
    fn cancel_with(&self, message: Option<&str>) -> bool {
        match self.organs() {
            Some(organs) => organs.executor.cancel_by_id(self.id, message),
            None => cancel::send(self.loop_id, self.id, message),
        }
    }

    /// How many cancels were asked for, less those withdrawn. 0 away from its loop, and once it is
    /// gone.
    ///
    /// Source: asyncio's `current_task().cancelling()`.
    pub fn cancelling(&self) -> u32 {
        let asked = |row: &TaskRow| row.cancels.load(Ordering::Relaxed).into();
        self.row(|_, row| asked(row)).unwrap_or(0)
    }

    /// Withdraws one request to cancel; gives the number of those left. 0 away from its loop, and
    /// once it is gone.
    ///
    /// Source: asyncio's `current_task().uncancel()`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use loop_runtime::{catch_cancel, create_task, current_task, sleep, yield_now};
    /// loop_runtime::run(async {
    ///     let task = create_task(async {
    ///         catch_cancel(sleep(Duration::from_secs(3600))).await.unwrap_err();
    ///         let own = current_task().unwrap();
    ///         assert_eq!((own.cancelling(), own.uncancel()), (1, 0));
    ///     });
    ///     yield_now().await;
    ///     task.cancel();
    ///     task.await.unwrap();
    /// })
    /// .unwrap();
    /// ```
    pub fn uncancel(&self) -> u32 {
        self.row(|organs, row| organs.executor.uncancel(row))
            .unwrap_or(0)
    }

    /// Names the task from now on. False away from its loop, and once it is gone. Names are kept for
    /// ever: use few of them.
    ///
    /// Source: asyncio's `current_task().set_name`.
    pub fn set_name(&self, name: &str) -> bool {
        self.row(|_, row| super::rename(row, name)).is_some()
    }

    /// The organs of its loop, if that is the one of this thread.
    fn organs(&self) -> Option<Rc<Organs>> {
        let here = context::current().ok();
        here.filter(|organs| organs.record.id == self.loop_id)
    }

    fn row<R>(&self, f: impl FnOnce(&Organs, &TaskRow) -> R) -> Option<R> {
        let organs = self.organs()?;
        let row = organs.executor.find(self.id)?;
        Some(f(&organs, row))
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
    type_name: &'static str,
    variables: Vec<&'static str>,
    cancel: Option<CancelRequest>,
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
            type_name: site.map_or("", |site| site.type_name()),
            variables: record.contexts.names(facts.id),
            cancel: (facts.cancels > 0)
                .then(|| CancelRequest::of(record, facts.id))
                .flatten(),
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

    /// The type of its future, as rustc prints it.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// The names of its context variables, in no particular order.
    pub fn variables(&self) -> &[&'static str] {
        &self.variables
    }

    /// Who asked it to cancel; `None`: nobody, or all requests were withdrawn, or thousands of other
    /// tasks were asked since.
    pub fn cancel_request(&self) -> Option<&CancelRequest> {
        self.cancel.as_ref()
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
