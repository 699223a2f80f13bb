//! The rows the screens show, as plain values: `Option` where the runtime may not know. Knows no protobuf and no drawing.
//! All times are of the app's monotonic clock, in nanoseconds; all spans are nanoseconds.

mod awaits;
mod hour;
mod things;

pub use awaits::AwaitStep;
pub use hour::{DumpCost, DumpFile, Host, Hour, PastFinding};
pub use things::*;

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
    Warning,
}

impl Grade {
    /// The word on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Grade::Certain => "certain",
            Grade::LeftBehind => "left behind",
            Grade::Suspect => "suspect",
            Grade::Warning => "warning",
        }
    }
}

/// One thing a task waits for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wait {
    /// `io`, `timer`, `lock`, `task`, `job`, `queue`, `future`, …; `?` when not known.
    pub kind: String,
    /// The rest of the phrase: "r fd 41 10.0.4.7", "cart, held by 298".
    pub what: String,
    /// Nobody holds a waker and it is not queued.
    pub nothing: bool,
    /// The row it points to.
    pub target: Option<Goto>,
    /// The task that holds it: that one will wake whoever waits.
    pub holder: Option<u64>,
    /// Since when, where that is recorded.
    pub since_ns: Option<u64>,
    /// The await's place.
    pub place: String,
    /// When it will happen, for timers.
    pub due_ns: Option<u64>,
}

impl Wait {
    /// The task that has to act before the wait is over, where it is known.
    pub fn awaited(&self) -> Option<u64> {
        match self.target {
            Some(Goto::Task(id)) => Some(id),
            _ => self.holder,
        }
    }
}

/// One value per slot of time, oldest first; the last slot is still filling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strip {
    pub slot_ns: u64,
    /// When the newest slot ends or will end.
    pub end_ns: u64,
    pub values: Vec<u64>,
}

impl Strip {
    /// The time it covers up to `at_ns`.
    pub fn covered_ns(&self, at_ns: u64) -> u64 {
        let whole = self.slot_ns.saturating_mul(self.values.len() as u64);
        whole.saturating_sub(self.end_ns.saturating_sub(at_ns).min(self.slot_ns))
    }

    /// The share of the covered time that the values, spans themselves, fill; `None` while nothing is covered.
    pub fn share(&self, at_ns: u64) -> Option<f64> {
        let covered = self.covered_ns(at_ns);
        let sum: u64 = self.values.iter().fold(0, |sum, v| sum.saturating_add(*v));
        (covered > 0).then(|| (sum as f64 / covered as f64).min(1.0))
    }
}

/// A row of another list that a cell leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goto {
    Task(u64),
    Timer(u64),
    Io(u64),
    Loop(u64),
    Block(u64),
    Resource(u64),
    Job(u64),
    Child(u64),
}

impl Goto {
    /// What kind of row, in a word, and its id.
    pub fn named(self) -> (&'static str, u64) {
        match self {
            Goto::Task(id) => ("task", id),
            Goto::Timer(id) => ("timer", id),
            Goto::Io(id) => ("source", id),
            Goto::Loop(id) => ("loop", id),
            Goto::Block(id) => ("block", id),
            Goto::Resource(id) => ("resource", id),
            Goto::Job(id) => ("job", id),
            Goto::Child(id) => ("child", id),
        }
    }
}

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

/// One loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopRow {
    pub id: u64,
    /// Its name, else its thread's.
    pub name: String,
    /// The thread's name; empty when nobody runs it.
    pub thread: String,
    /// `run`, `park`, `blocked`, `stopped`, `closed`.
    pub state: String,
    pub tasks: u64,
    pub ready: u64,
    pub iterations: u64,
    pub polls: u64,
    pub busy_ns: u64,
    pub parked_ns: u64,
    pub busy: Option<f64>,
    /// The time that `busy` covers.
    pub busy_window_ns: u64,
    pub lag_p50_ns: Option<u64>,
    pub lag_p99_ns: Option<u64>,
    pub lag_max_ns: Option<u64>,
    /// The poll that holds the loop right now, past its budget.
    pub blocked: Option<BlockRow>,
    pub budget_ns: u64,
    /// Blocks over budget since the start, and the worst of them.
    pub blocks: u64,
    pub worst_block_ns: u64,
    /// Steps that were over it on the wall only, waiting for a CPU; and those of them that a CPU
    /// quota explains.
    pub host_blocks: u64,
    pub throttled_blocks: u64,
    pub timers: u64,
    pub sources: u64,
    pub backend: String,
    pub oldest_ready_ns: Option<u64>,
    /// Why no stacks can be taken of it; empty: they can.
    pub stacks_off: String,
}

/// What one loop was like, a value per slot, at one resolution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesRow {
    pub loop_id: u64,
    pub lag_max: Strip,
    pub busy: Strip,
    pub tasks: Strip,
    pub block_max: Strip,
    pub spawned: Strip,
    pub finished: Strip,
}

/// One poll that held a loop longer than its budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockRow {
    pub id: u64,
    /// When the poll began.
    pub at_ns: u64,
    pub loop_id: u64,
    /// The lower bound where the host tells, else wall time.
    pub for_ns: u64,
    /// `for_ns` is wall time only: the host does not tell how much of it the thread got no CPU.
    pub wall_only: bool,
    /// The upper bound, where the host tells.
    pub at_most_ns: Option<u64>,
    pub budget_ns: u64,
    /// It has not ended.
    pub running: bool,
    /// The thread waits for a CPU: the host's doing.
    pub waiting_for_cpu: bool,
    /// The watchdog overslept meanwhile, so the gate does not count it.
    pub vetoed: bool,
    /// Time in which the app allowed it to block, beside `for_ns`, and the app's reason.
    pub allowed_ns: u64,
    pub allowed: String,
    /// It is in such a stretch now.
    pub allowed_now: bool,
    /// What the loop did: `poll`, `drop`, `handler`, `timers`, `sources`.
    pub doing: String,
    pub task: Option<u64>,
    pub name: String,
    pub place: String,
    /// Which place this is: `stack`, `await`, `spawn`; empty when there is none.
    pub place_from: String,
    pub function: String,
    /// Tasks that were seen to wait behind it, of one that is over; and the longest of those waits.
    pub waited: Option<u64>,
    pub waited_worst_ns: Option<u64>,
    /// Tasks that wait behind it now, of one that runs.
    pub waiting_now: Option<u64>,
    /// `cpu`, `syscall`, `lock`, `page-in`, `host`, `throttled`, `stopped`, or empty: unknown.
    pub cause: String,
    /// The system call that it slept in.
    pub call: String,
    /// What to do about it.
    pub advice: &'static str,
    /// What a CPU quota took meanwhile, and the quota in CPUs.
    pub throttled_ns: Option<u64>,
    pub quota_cpus: Option<f64>,
    /// What the cause rests on, or why there is none.
    pub cause_reason: String,
    /// What all samples have in common.
    pub stack: Vec<Frame>,
    /// The stacks that were taken, the first first.
    pub samples: Vec<Sample>,
    /// Why there is no stack.
    pub no_stack: String,
    /// What is wanting in the stacks.
    pub stack_note: String,
    /// When the stack was taken.
    pub stack_at_ns: Option<u64>,
}

impl BlockRow {
    /// It is over its budget only because it was allowed to block.
    pub fn is_allowed(&self) -> bool {
        self.allowed_ns > 0 && self.for_ns <= self.budget_ns
    }
}

impl LoopRow {
    /// What holds it right now by the app's own doing: neither the host's nor allowed.
    pub fn held(&self) -> Option<&BlockRow> {
        let block = self.blocked.as_ref();
        block.filter(|b| !b.waiting_for_cpu && !b.is_allowed())
    }

    /// In a few words, what it is at when a step is over its budget.
    pub fn stuck(&self) -> Option<String> {
        let block = self.blocked.as_ref()?;
        let what = match block.cause.as_str() {
            _ if block.is_allowed() => "allowed",
            "throttled" if block.waiting_for_cpu => "throttled",
            _ if block.waiting_for_cpu => "no CPU",
            _ => "blocked",
        };
        Some(what.to_owned())
    }
}

impl BlockRow {
    /// In how far its samples agree, in words; empty: there are none.
    pub fn agreement(&self) -> String {
        let samples: Vec<loop_proto::blocking::Sample<'_>> = self
            .samples
            .iter()
            .map(|sample| loop_proto::blocking::Sample {
                frames: sample
                    .frames
                    .iter()
                    .map(|frame| (frame.function.as_str(), frame.place.as_str()))
                    .collect(),
                common: sample.common,
            })
            .collect();
        loop_proto::blocking::agreement(&samples)
    }
}

/// One stack that was taken of a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub at_ns: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// So many of them, from the outermost, are the same in all samples; 0: not compared.
    pub common: usize,
}

impl Sample {
    /// The frames that not all samples have, innermost first.
    pub fn own(&self) -> &[Frame] {
        let own = self.frames.len().saturating_sub(self.common);
        &self.frames[..own]
    }
}

/// One frame of a stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub function: String,
    pub place: String,
    /// Whether it is the app's own code.
    pub yours: bool,
    /// The frame that is blamed.
    pub culprit: bool,
    /// `app`, `dependency`, `std`, `runtime`; empty when not resolved.
    pub kind: String,
    /// The object file and the address in it, for a frame without a name.
    pub module: String,
    pub offset: u64,
    /// In a stack of futures: the number, from 1, of the frame that awaits this one; 0: none does.
    pub awaited_by: usize,
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
    pub fired: u64,
    pub rearmed: u64,
    pub set_at: String,
    pub armed_ns: u64,
    /// Firing it wakes somebody.
    pub has_waker: bool,
    pub findings: Vec<String>,
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
    /// When the kernel last reported it ready; `None`: never.
    pub last_ready_ns: Option<u64>,
    pub wakes: u64,
    pub spurious: u64,
    /// Bytes that a writer holds and the kernel has not taken.
    pub buffered: u64,
    pub place: String,
    pub since_ns: u64,
    /// The child process at its other end, if the app started it.
    pub pipe: Option<ChildPipe>,
    pub findings: Vec<String>,
}

/// A verdict or a suspicion, with its evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// Stays while the finding holds.
    pub id: u64,
    /// `blocked`, `stranded`, …
    pub name: String,
    pub grade: Grade,
    pub subject: Option<Goto>,
    /// What the subject is called; empty: no name.
    pub subject_name: String,
    pub loop_id: Option<u64>,
    pub place: String,
    pub count: u64,
    pub since_ns: u64,
    pub last_seen_ns: u64,
    /// It no longer holds.
    pub cleared: bool,
    /// Facts, a sentence each.
    pub evidence: Vec<String>,
    pub fingerprint: String,
    pub measured_ns: Option<u64>,
    pub limit_ns: Option<u64>,
    /// It is about a task of the user: only these count at the gate.
    pub user: bool,
    /// The tasks alive at its place over time, where a list of places was at hand to tell.
    pub live: Option<Strip>,
}

/// Findings about things that live on without use, or whose end nobody saw.
pub const LEAKS: [&str; 11] = [
    "stranded",
    "deadlocked",
    "left-behind",
    "outlived-parent",
    "growing",
    "idle-orphan",
    "stuck-abortable",
    "orphan-timer",
    "abandoned-fd",
    "unread-error",
    "ignored-cancel",
];

impl Finding {
    /// Whether it belongs on the Leaks screen.
    pub fn is_leak(&self) -> bool {
        LEAKS.contains(&self.name.as_str())
    }

    /// Whether it is a problem (▲), not a warning (!).
    pub fn is_problem(&self) -> bool {
        is_problem_name(&self.name) || matches!(self.grade, Grade::Certain | Grade::LeftBehind)
    }
}

/// Whether a finding of this name is a problem (▲) wherever it is seen, not a warning (!).
pub fn is_problem_name(name: &str) -> bool {
    matches!(name, "blocked" | "stranded" | "deadlocked" | "left-behind")
}

/// The app as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    pub tasks: u64,
    pub run: u64,
    pub ready: u64,
    pub wait: u64,
    pub spawned: u64,
    pub finished: u64,
    pub timers: u64,
    pub next_due_ns: Option<u64>,
    pub timers_fired: u64,
    pub timers_cancelled: u64,
    pub sources: u64,
    pub sources_ready: u64,
    pub io_events: u64,
    pub io_spurious: u64,
    pub fds_open: Option<u64>,
    pub fds_limit: Option<u64>,
    pub jobs_run: u64,
    pub jobs_queued: u64,
    pub workers: u64,
    pub pools: Vec<Pool>,
    pub children: u64,
    pub resources: u64,
    pub certain: u64,
    pub left_behind: u64,
    pub suspect: u64,
    pub warning: u64,
    pub blocks: u64,
    pub poll: Histogram,
    pub lag: Histogram,
    pub timer_late: Histogram,
}

/// Events of one kind that did not fit, since the app began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub kind: String,
    pub count: u64,
}

/// What being watched costs, and what it lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    pub inspector_cpu_ns: u64,
    pub watchdog_cpu_ns: u64,
    pub recorder_bytes: u64,
    pub live_bytes: u64,
    pub ring_capacity: u64,
    pub ring_fill: u64,
    pub events: u64,
    pub losses: Vec<Loss>,
    pub viewers: u64,
    pub viewers_limit: u64,
    pub bytes_sent: u64,
    pub interned: u64,
    pub interned_limit: u64,
    pub interned_overflow: u64,
    pub last_walk_ns: u64,
    pub last_walk_rows: u64,
    pub stacks_taken: u64,
    pub stacks_missed: u64,
    pub finished_overwritten: u64,
    pub watchdog_oversleeps: u64,
    /// What the memory of the last hour takes, and the most that it may.
    pub hour_bytes: u64,
    pub hour_limit_bytes: u64,
    pub hour_dropped: u64,
    /// What the flight recorder did on disk; `None`: it was never asked for anything.
    pub dumps: Option<DumpCost>,
    /// Who is attached, in words, and whether they may command.
    pub attached: Vec<(String, bool)>,
    /// Events that viewers did not take in time.
    pub lost_to_viewers: Vec<Loss>,
    /// Bytes of one live task's row.
    pub row_bytes: u64,
    pub ring_bytes: u64,
    pub histogram_bytes: u64,
    pub text_bytes: u64,
    /// Rows that found their table full.
    pub unrecorded: u64,
    /// Tasks that the search for findings could not remember.
    pub unremembered: u64,
    /// Streams of events that are open.
    pub feeds: u64,
}

impl Cost {
    /// All events lost, of every kind.
    pub fn lost(&self) -> u64 {
        self.losses
            .iter()
            .fold(0, |sum, l| sum.saturating_add(l.count))
    }
}

/// Counts of durations, ready to draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The inclusive upper end of each bucket, in ns, and its count; ascending, empty ones left out.
    pub buckets: Vec<(u64, u64)>,
    /// All values, with those in no bucket.
    pub count: u64,
    /// Values shorter than this are only counted, in `below_floor`.
    pub floor_ns: u64,
    pub below_floor: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p95_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
    /// When counting began.
    pub since_ns: u64,
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

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub at_ns: u64,
    /// `task-spawned`, `loop-blocked`, …
    pub kind: String,
    pub loop_id: Option<u64>,
    pub task: Option<u64>,
    pub name: String,
    pub subject: Option<u64>,
    pub duration_ns: Option<u64>,
    pub place: String,
    /// Why, how it ended, or what else no other field says.
    pub detail: String,
    pub finding: Option<Box<Finding>>,
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
    TimerRow: |r| Some(r.armed_ns),
    IoRow: |r| Some(r.since_ns),
    ResourceRow: |r| Some(r.made_ns),
    JobRow: |r| Some(r.queued_ns),
    ChildRow: |r| Some(r.started_ns),
    SignalRow: |_| None,
    Finding: |r| Some(r.since_ns),
}
