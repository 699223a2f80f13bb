//! The rows the screens show, as plain values: `Option` where the runtime may not know. Knows no protobuf and no drawing.
//! All times are of the app's monotonic clock, in nanoseconds; all spans are nanoseconds.

/// Anything with an identity that outlives a change of place in a list.
pub trait Row {
    /// The number that stays when the row moves.
    fn id(&self) -> u64;
    /// When the row came to be, if it is known: a row younger than the last answer is marked new.
    fn born_ns(&self) -> Option<u64> {
        None
    }
}

/// The four words for what a task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    Run,
    Ready,
    #[default]
    Wait,
    Done,
}

impl TaskState {
    /// The word on the screen, in JSON and in the filter language.
    pub fn word(self) -> &'static str {
        match self {
            TaskState::Run => "RUN",
            TaskState::Ready => "READY",
            TaskState::Wait => "WAIT",
            TaskState::Done => "DONE",
        }
    }
}

/// How sure and how bad a finding is, worst first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Certain,
    LeftBehind,
    #[default]
    Suspect,
    Note,
}

impl Grade {
    pub fn word(self) -> &'static str {
        match self {
            Grade::Certain => "certain",
            Grade::LeftBehind => "left behind",
            Grade::Suspect => "suspect",
            Grade::Note => "note",
        }
    }
}

/// A finding's name and grade beside the row it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    pub grade: Grade,
}

/// One thing a task waits for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wait {
    /// `io`, `timer`, `lock`, `task`, `job`, `queue`, `future`, …; `none` when nothing can wake it.
    pub kind: String,
    /// The rest of the phrase: "r fd 41 10.0.4.7", "cart, held by 298".
    pub what: String,
    /// The row it points to, for `w`.
    pub target: Option<Goto>,
    /// The await's place.
    pub place: String,
    /// When it will happen, for timers.
    pub due_ns: Option<u64>,
}

/// A row of another list that a cell leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goto {
    Task(u64),
    Timer(u64),
    Io(u64),
    Loop(u64),
}

/// One task, callback or `run_in_executor` job that has a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRow {
    pub id: u64,
    pub name: String,
    /// `async`, `callback`, …
    pub kind: String,
    pub state: TaskState,
    pub loop_id: u64,
    pub parent: Option<u64>,
    /// Tasks spawned by this one that are alive.
    pub kids: u64,
    pub spawned_ns: u64,
    /// `file:line:column` of the spawn.
    pub spawned_at: String,
    /// All it waits for; empty when unknown or not waiting.
    pub waits: Vec<Wait>,
    /// Time in this state.
    pub for_ns: u64,
    pub polls: u64,
    pub busy_ns: u64,
    /// Share of the window spent being polled, 0 to 1.
    pub busy: Option<f64>,
    pub max_poll_ns: u64,
    pub wakes: u64,
    pub self_wakes: Option<u64>,
    /// Wakers alive.
    pub wakers: Option<u64>,
    /// Handles alive; 0 means detached.
    pub handles: Option<u64>,
    pub detached: bool,
    pub cancel_asked_ns: Option<u64>,
    /// Busy share per second of the window, 0 to 1, oldest first.
    pub strip: Vec<f32>,
    pub size_bytes: Option<u64>,
    pub last_woken_ns: Option<u64>,
    /// What woke it last, in words.
    pub woken_by: String,
    pub findings: Vec<Flag>,
    /// When it ended and how ("returned", "cancelled", "panicked: …").
    pub ended: Option<Ended>,
}

/// How and when something ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at_ns: u64,
    pub how: String,
}

/// The tasks of one spawn place, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRow {
    pub id: u64,
    pub place: String,
    pub name: String,
    pub live: u64,
    pub run: u64,
    pub ready: u64,
    pub wait: u64,
    pub busy: Option<f64>,
    pub polls: u64,
    pub max_poll_ns: u64,
    pub oldest_ns: u64,
    /// Only the rows at hand were counted, not all there are.
    pub partial: bool,
}

/// One loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopRow {
    pub id: u64,
    /// The thread's name.
    pub thread: String,
    /// `run`, `park`, `closed`, `blocked`.
    pub state: String,
    pub ready: u64,
    pub tasks: u64,
    /// One turn of the loop, at the median.
    pub turn_p50_ns: Option<u64>,
    pub lag_p50_ns: u64,
    pub lag_p99_ns: u64,
    pub lag_max_ns: u64,
    /// Worst lag per second, oldest first.
    pub lag_strip_ns: Vec<u64>,
    pub busy: Option<f64>,
    /// The poll that holds the loop right now, past its budget.
    pub blocked: Option<BlockRow>,
    pub budget_ns: u64,
    /// Blocks over budget since the start, and the worst of them.
    pub blocks: u64,
    pub worst_block_ns: u64,
    /// The worst block per 10 s, oldest first.
    pub block_strip_ns: Vec<u64>,
    pub iterations: u64,
    pub timers: u64,
    pub sources: u64,
    pub findings: Vec<Flag>,
}

/// One poll that held a loop longer than its budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockRow {
    pub id: u64,
    pub at_ns: u64,
    pub loop_id: u64,
    pub for_ns: u64,
    /// It has not ended.
    pub running: bool,
    pub task: Option<u64>,
    pub name: String,
    pub place: String,
    /// Which place this is: "stack", "await", "spawn".
    pub place_from: String,
    /// Tasks that were ready when it ended, and the longest wait among them.
    pub waited: Option<u64>,
    pub waited_worst_ns: Option<u64>,
    pub cause: String,
    pub stack: Vec<Frame>,
    /// Why there is no stack.
    pub no_stack: String,
    /// How long after its start the stack was taken.
    pub stack_at_ns: Option<u64>,
}

/// One frame of a stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub function: String,
    pub place: String,
    /// Whether it is the app's own code.
    pub yours: bool,
}

/// One armed timer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimerRow {
    pub id: u64,
    /// `sleep`, `call_at`, `interval`, …
    pub kind: String,
    pub owner: Option<u64>,
    pub owner_name: String,
    pub owner_gone: bool,
    pub loop_id: u64,
    /// The deadline on the app's clock.
    pub due_ns: u64,
    pub every_ns: Option<u64>,
    pub late_ns: Option<u64>,
    pub fired: Option<u64>,
    pub rearmed: Option<u64>,
    pub set_at: String,
    pub set_ns: Option<u64>,
    pub findings: Vec<Flag>,
}

/// One registration at the reactor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IoRow {
    pub id: u64,
    pub fd: Option<i64>,
    pub kind: String,
    pub local: String,
    pub peer: String,
    /// `r`, `w`, `rw`, `-`.
    pub interest: String,
    pub ready: String,
    pub task: Option<u64>,
    pub task_name: String,
    pub task_gone: bool,
    pub loop_id: u64,
    pub idle_ns: Option<u64>,
    pub wakes: Option<u64>,
    pub spurious: Option<u64>,
    pub since: String,
    pub since_ns: Option<u64>,
    pub findings: Vec<Flag>,
}

/// A verdict or a suspicion, with its evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// The fingerprint as a number.
    pub id: u64,
    /// `blocked`, `stranded`, …
    pub name: String,
    pub grade: Grade,
    /// Whether it is a problem (▲) or a warning (!).
    pub alarm: bool,
    /// The sentence: what, without the place.
    pub what: String,
    pub place: String,
    pub count: u64,
    pub growth: Option<i64>,
    pub oldest_ns: Option<u64>,
    pub since_ns: u64,
    pub evidence: Vec<String>,
    pub subject: Option<Goto>,
    /// Live count over the last 10 minutes, oldest first.
    pub strip: Vec<u64>,
    /// It belongs on the Leaks screen.
    pub leak: bool,
}

/// The app as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub loops: u64,
    pub tasks: u64,
    pub run: u64,
    pub ready: u64,
    pub wait: u64,
    pub spawned: u64,
    pub finished: u64,
    /// Per second over the window.
    pub spawn_rate: Option<f64>,
    pub finish_rate: Option<f64>,
    /// Live tasks per second, oldest first.
    pub live_strip: Vec<u64>,
    /// All polls of all loops over the window.
    pub polls: Histogram,
    pub lag_p99_ns: Option<u64>,
    pub budget_ns: u64,
    pub jobs_busy: Option<u64>,
    pub jobs_workers: Option<u64>,
    pub jobs_queued: Option<u64>,
    pub timers: u64,
    pub timer_next_ns: Option<u64>,
    pub timers_fired: Option<u64>,
    pub timer_fire_rate: Option<f64>,
    pub timer_late_p99_ns: Option<u64>,
    pub timers_cancelled: Option<u64>,
    pub fds: u64,
    pub fds_ready: u64,
    pub fd_limit: Option<u64>,
    pub io_wakes: Option<u64>,
    pub io_spurious: Option<u64>,
    pub backend: String,
    /// Losses per kind of event; all zero when nothing was lost.
    pub losses: Vec<Loss>,
    pub cost: Cost,
    /// Parts that the runtime does not record, and how to turn them on.
    pub unrecorded: Vec<(String, String)>,
}

/// Events that did not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub kind: String,
    pub count: u64,
    /// Which setting would have kept them.
    pub raise: String,
}

/// What being watched costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    pub recorder_bytes: Option<u64>,
    pub ring_fill: Option<f64>,
    pub ring_capacity: Option<u64>,
    pub inspector_cpu: Option<f64>,
    pub viewers: Option<u64>,
    pub bytes_sent: Option<u64>,
    pub walk_ns: Option<u64>,
}

/// Counts per span, as the inspector folded them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper end of each bucket and its count, ascending; the last has no upper end (`u64::MAX`).
    pub buckets: Vec<(u64, u64)>,
    pub count: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
    /// The time it covers; 0 means since the start.
    pub window_ns: u64,
}

/// Everything known of one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskDetail {
    pub row: TaskRow,
    pub parent_name: String,
    pub siblings: Option<u64>,
    /// Await tree, outermost first; `depth` says whose child a line is.
    pub tree: Vec<TreeLine>,
    pub findings: Vec<Finding>,
    pub polls: Histogram,
    pub scheduled: Histogram,
    pub fields: Vec<(String, String)>,
    pub backtrace: Vec<Frame>,
    pub ready_share: Option<f64>,
    pub wait_share: Option<f64>,
    /// Polled, ready and waiting share per second, oldest first.
    pub life: Vec<[f32; 3]>,
    /// Parts that could not be had, and why.
    pub missing: Vec<(String, String)>,
}

/// One line of an await tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeLine {
    pub depth: u16,
    pub what: String,
    pub place: String,
    pub target: Option<Goto>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub at_ns: u64,
    /// `TaskSpawned`, `LoopBlocked`, …
    pub kind: String,
    /// The sentence.
    pub text: String,
    pub alarm: bool,
    pub target: Option<Goto>,
}

macro_rules! rows {
    ($($row:ty: $born:expr),* $(,)?) => {$(
        impl Row for $row {
            fn id(&self) -> u64 {
                self.id
            }
            fn born_ns(&self) -> Option<u64> {
                let born: fn(&$row) -> Option<u64> = $born;
                born(self)
            }
        }
    )*};
}

rows! {
    TaskRow: |r| Some(r.spawned_ns),
    GroupRow: |_| None,
    LoopRow: |_| None,
    BlockRow: |r| Some(r.at_ns),
    TimerRow: |r| r.set_ns,
    IoRow: |r| r.since_ns,
    Finding: |r| Some(r.since_ns),
}
