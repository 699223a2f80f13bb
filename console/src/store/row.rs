//! The rows the screens show, as plain values: `Option` where the runtime may not know. Knows no protobuf and no drawing.
//! All times are of the app's monotonic clock, in nanoseconds; all spans are nanoseconds.

mod app;
mod armed;
mod awaits;
mod block;
mod finding;
mod hour;
mod loops;
mod task;
mod things;

pub use app::{Cost, Histogram, Kept, Loss, Overview};
pub use armed::{IoRow, TimerRow};
pub use awaits::AwaitStep;
pub use block::{BlockRow, Frame, Sample};
pub use finding::{Finding, Grade, LEAKS, is_problem_name};
pub use hour::{DumpCost, DumpFile, Host, Hour, PastFinding};
pub use loops::{LoopRow, SeriesRow, Standstill};
pub use task::{Awaiting, Below, CancelRequest, Ended, GroupRow, LogLine, TaskDetail, TaskRow};
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

impl Event {
    /// What it happened to beside its task, in words: `timer 5`. A finding tells that itself.
    pub fn about(&self) -> Option<String> {
        let id = self.subject?;
        let what = match self.kind.split('-').next()? {
            "blocked" | "unblocked" => "block",
            "io" => "io source",
            what @ ("timer" | "job" | "child") => what,
            "finding" => return None,
            _ => return Some(format!("#{id}")),
        };
        Some(format!("{what} {id}"))
    }
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
