//! Rows of tasks, their groups, and all that the page of one task shows. Knows no protobuf and no drawing.

use super::{
    AwaitStep, BlockRow, ChildRow, Finding, Frame, Histogram, IoRow, JobRow, ResourceRow, Strip,
    TaskState, TimerRow, Wait,
};

/// One task or callback, alive or ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRow {
    pub id: u64,
    /// How deep it lies in a tree of tasks; 0 in a list.
    pub depth: u16,
    /// What lies below it in a tree; `None` in a list.
    pub below: Option<Below>,
    /// Its name, else its type's, else empty.
    pub name: String,
    /// `async`, `callback`, `main`, `adapted`.
    pub kind: String,
    pub state: TaskState,
    pub loop_id: u64,
    pub parent: Option<u64>,
    /// Tasks spawned by this one that are alive.
    pub kids: u64,
    pub spawned_ns: u64,
    /// `file:line:column` of the spawn; empty when the executor cannot tell.
    pub spawned_at: String,
    pub wait: Option<Wait>,
    /// How many more things it waits for.
    pub more_waits: u64,
    /// The await it is at; empty when unknown.
    pub waiting_at: String,
    /// Time in this state.
    pub for_ns: u64,
    pub polls: u64,
    pub busy_ns: u64,
    pub scheduled_ns: u64,
    pub max_poll_ns: u64,
    pub wakes: u64,
    pub self_wakes: u64,
    /// Wakers alive.
    pub wakers: u64,
    /// Handles alive.
    pub handles: u64,
    pub detached: bool,
    pub cancel_asked: bool,
    pub cancel_asked_ns: Option<u64>,
    /// Busy time per slot of the window; `None` until somebody asked for it.
    pub strip: Option<Strip>,
    pub future_bytes: Option<u64>,
    pub last_woken_ns: Option<u64>,
    /// What woke it last, in words; empty when not recorded.
    pub woken_by: String,
    pub findings: Vec<String>,
    pub ended: Option<Ended>,
}

/// How and when a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub at_ns: u64,
    /// `returned`, `error`, `panicked`, `cancelled`, `closed`.
    pub outcome: String,
    /// The error or panic message.
    pub error: String,
    /// Somebody took the result.
    pub taken: bool,
}

/// The tasks of one spawn place, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRow {
    pub id: u64,
    pub place: String,
    /// The stem that all their names share; empty when they differ.
    pub name: String,
    pub live: u64,
    pub ready: u64,
    pub spawned: u64,
    pub finished: u64,
    pub failed: u64,
    pub busy_ns: u64,
    pub polls: u64,
    pub max_poll_ns: u64,
    pub oldest_ns: Option<u64>,
    /// Alive at the end of each slot.
    pub live_strip: Option<Strip>,
    pub findings: Vec<String>,
}

/// Where a task waits, as a stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Awaiting {
    /// Innermost first; empty: `why` says why, or nobody asked.
    pub stack: Vec<Frame>,
    pub at_ns: u64,
    /// `pending`: copied as it went to wait; `debug-info`: its futures, read in memory; `place`: the
    /// place of the await alone; empty: not known.
    pub how: String,
    pub why: String,
    /// It will be copied at the next wait.
    pub asked: bool,
    /// It is being read.
    pub reading: bool,
    /// What the copy took of the loop.
    pub took_ns: u64,
}

/// Everything known of one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskDetail {
    pub at_ns: u64,
    pub row: TaskRow,
    /// All it waits for.
    pub waits: Vec<Wait>,
    /// Who spawned it, the nearest first.
    pub parents: Vec<TaskRow>,
    pub children: Vec<TaskRow>,
    pub children_total: u64,
    pub findings: Vec<Finding>,
    /// Since somebody first looked; `None` on the first look.
    pub polls: Option<Histogram>,
    pub scheduled: Option<Histogram>,
    /// All polls of tasks spawned at the same place.
    pub place_polls: Option<Histogram>,
    pub blocking: Option<BlockRow>,
    pub blocks: Vec<BlockRow>,
    /// Innermost first; empty when not sampled.
    pub spawn_stack: Vec<Frame>,
    /// Why there is none.
    pub spawn_why: String,
    /// Where it waits, innermost first.
    pub awaiting: Awaiting,
    pub timers: Vec<TimerRow>,
    pub io: Vec<IoRow>,
    pub jobs: Vec<JobRow>,
    /// Those it made or holds.
    pub resources: Vec<ResourceRow>,
    /// Child processes it started.
    pub processes: Vec<ChildRow>,
    /// Tasks that wait for it to end.
    pub joined_by: Vec<u64>,
    /// What it waits for, and what the tasks behind that wait for: each step below its own.
    pub awaits: Vec<AwaitStep>,
    /// Steps that are not listed, at least.
    pub awaits_cut: u64,
    /// Since somebody first looked, how often each cause woke it; the commonest first.
    pub woken_by: Vec<(String, u64)>,
    /// Who waits for it, and who for those.
    pub awaited_by: Vec<AwaitStep>,
    pub awaited_by_cut: u64,
    /// Its last log lines, oldest first.
    pub logs: Vec<LogLine>,
    /// Who asked to cancel it; `None` where nobody did or it is forgotten.
    pub cancel: Option<CancelRequest>,
    /// Names of its context variables, sorted.
    pub variables: Vec<String>,
    pub busy: Option<Strip>,
    pub ready: Option<Strip>,
}

/// All tasks below one in a tree, as far as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Below {
    pub tasks: u64,
    /// All polls of the task and of those below it.
    pub busy_ns: u64,
    /// Tasks below it of which something is found.
    pub found: u64,
    /// They are not shown: it stands for them.
    pub folded: bool,
}

/// What was asked of a task that was asked to cancel: the last request's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CancelRequest {
    pub first_at_ns: u64,
    pub at_ns: u64,
    /// `task 7 checkout`, `Ctrl-C`, …; empty where that is not known.
    pub by: String,
    /// Empty where it was no call of the app's.
    pub place: String,
    pub message: String,
    pub times: u32,
}

/// One log line of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogLine {
    pub at_ns: u64,
    /// `ERROR`, `WARN`, …
    pub level: String,
    pub target: String,
    /// The message and its fields; escaped.
    pub text: String,
}
