//! The rows of what tasks wait for beside timers and I/O, and of who waits: resources, jobs, child processes, signals. Knows no
//! protobuf and no drawing.

use super::Goto;

/// One task that waits for a row of another list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiter {
    pub task: u64,
    /// Empty: it has none, or it is gone.
    pub name: String,
    /// Since when, where that is recorded.
    pub since_ns: Option<u64>,
    /// The await that waits; empty when unknown.
    pub place: String,
}

/// Who waits for one row, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub of: Goto,
    pub waiters: Vec<Waiter>,
    /// How many there are; more than are listed when there are very many.
    pub total: u64,
}

/// The child process at the other end of an I/O source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildPipe {
    pub child: u64,
    pub pid: u32,
    pub program: String,
    /// 0 stdin, 1 stdout, 2 stderr; `None`: not known, or it is no pipe.
    pub stream: Option<u32>,
    pub ended: bool,
}

impl ChildPipe {
    /// `stdout of pid 4711 (ping, alive)`.
    pub fn words(&self) -> String {
        loop_proto::row::PipeOf {
            pid: self.pid,
            program: &self.program,
            stream: self.stream,
            ended: self.ended,
        }
        .to_string()
    }
}

/// A lock, a queue, a future, or another thing that tasks wait for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceRow {
    pub id: u64,
    /// `future`, `lock`, `event`, `condition`, `semaphore`, `barrier`, `queue`, `channel`, …
    pub kind: String,
    pub name: String,
    /// `free`, `held`, `pending`, `set`, `broken`, `open`, `closed`; empty: only a count.
    pub state: String,
    pub loop_id: Option<u64>,
    pub owner: Option<u64>,
    pub owner_name: String,
    pub owner_gone: bool,
    pub holder: Option<u64>,
    pub holder_name: String,
    pub held_since_ns: Option<u64>,
    pub waiters: u64,
    /// The longest that one of them has waited.
    pub oldest_wait_ns: Option<u64>,
    /// Permits free, items queued, parties arrived.
    pub level: Option<u64>,
    /// The most that can be.
    pub capacity: Option<u64>,
    pub uses: u64,
    /// Of those, how many had to wait.
    pub contended: u64,
    pub place: String,
    pub made_ns: u64,
    /// Empty unless asked for.
    pub waiting: Vec<Waiter>,
    pub findings: Vec<String>,
}

/// A job of a pool of threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobRow {
    pub id: u64,
    /// `queued`, `run`, `abandoned`: it runs, and nobody wants its result.
    pub state: String,
    pub name: String,
    pub pool: String,
    pub loop_id: Option<u64>,
    pub task: Option<u64>,
    pub task_name: String,
    pub task_gone: bool,
    pub place: String,
    pub queued_ns: u64,
    pub started_ns: Option<u64>,
    /// The kernel's id of its thread; `None`: it is queued, or not known.
    pub tid: Option<u64>,
    /// Empty unless asked for.
    pub waiting: Vec<Waiter>,
    pub findings: Vec<String>,
}

/// Threads that run jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// `executor`, `lookup`, or as the app calls it.
    pub name: String,
    /// `None`: the app's own, which loops may share.
    pub loop_id: Option<u64>,
    pub threads: u64,
    pub busy: u64,
    pub limit: u64,
    pub queued: u64,
    pub finished: u64,
}

/// A child process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChildRow {
    pub id: u64,
    pub pid: u64,
    pub program: String,
    pub loop_id: u64,
    pub task: Option<u64>,
    pub task_name: String,
    pub task_gone: bool,
    pub place: String,
    pub started_ns: u64,
    pub ended: bool,
    pub ended_ns: Option<u64>,
    pub exit_code: Option<i64>,
    pub signal: Option<i64>,
    /// Somebody else took its exit status.
    pub status_lost: bool,
    pub waiters: u64,
    /// Bit 0 stdin, bit 1 stdout, bit 2 stderr.
    pub open_pipes: u32,
    /// Empty unless asked for.
    pub waiting: Vec<Waiter>,
    pub findings: Vec<String>,
}

impl ChildRow {
    /// How it stands, in a phrase.
    pub fn state(&self) -> String {
        match (self.exit_code, self.signal) {
            _ if !self.ended => "running".to_owned(),
            _ if self.status_lost => "ended, its status went elsewhere".to_owned(),
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "ended".to_owned(),
        }
    }

    /// The names of its open pipes.
    pub fn pipes(&self) -> Vec<&'static str> {
        let names = ["stdin", "stdout", "stderr"];
        let open = |bit: usize| self.open_pipes >> bit & 1 == 1;
        (0..3)
            .filter(|bit| open(*bit))
            .map(|bit| names[bit])
            .collect()
    }
}

/// A signal that a loop listens to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalRow {
    pub id: u64,
    pub number: i64,
    /// `SIGTERM`; empty when the app knows none.
    pub name: String,
    pub loop_id: u64,
    pub listeners: u64,
    pub deliveries: u64,
    pub last_ns: Option<u64>,
    /// Where its handler was set.
    pub place: String,
}

impl SignalRow {
    /// `SIGTERM`, or its number.
    pub fn word(&self) -> String {
        if self.name.is_empty() {
            format!("signal {}", self.number)
        } else {
            self.name.clone()
        }
    }
}
