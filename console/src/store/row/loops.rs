//! Rows of loops, and what each was like over time. Knows no protobuf and no drawing.

use super::{BlockRow, Strip};

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
    /// It is parked with nothing of its own that could wake it.
    pub standstill: Option<Standstill>,
}

/// Who can wake a parked loop that has nothing of its own to do so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standstill {
    pub since_ns: u64,
    /// Nobody can.
    pub nobody: bool,
    /// Handles of the loop.
    pub handles: u64,
    /// Threads of the process that are not the runtime's own; `None` where they are not counted.
    pub threads: Option<u64>,
}

impl Standstill {
    /// In words, after "the loop".
    #[must_use]
    pub fn words(&self) -> String {
        if self.nobody {
            return "nothing can wake it any more".to_owned();
        }
        let count = |count: u64, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let threads = match self.threads {
            Some(threads) => count(threads, "thread"),
            None => "threads, which this system does not count".to_owned(),
        };
        let handles = count(self.handles, "handle");
        format!("waits for something outside: {handles} of it, {threads} of the app")
    }
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
