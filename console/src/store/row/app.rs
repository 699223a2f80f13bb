//! The app as a whole, and what looking at it costs. Knows no protobuf and no drawing.

use super::{DumpCost, Pool};

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
    /// The file that outlives the process; `None`: the app does not speak of one.
    pub kept: Option<Kept>,
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

/// The recording that an app keeps for who comes after its end, and what that costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Empty: there is no file, and what happened ends with the process.
    pub path: String,
    /// Why there is none, or why it gets less than it should. Empty: nothing is amiss.
    pub reason: String,
    /// Events stand in the file the moment they happen, else each snapshot takes them along.
    pub mapped: bool,
    pub bytes: u64,
    pub ring_capacity: u64,
    /// Loops whose events found no room in it.
    pub loops_left_out: u64,
    pub snapshots: u64,
    pub snapshot_bytes: u64,
    /// CPU time of the last one.
    pub snapshot_ns: u64,
    pub rows_left_out: u64,
    /// From the last snapshot to the next, if nothing happens. 0: unknown.
    pub interval_ns: u64,
}

impl Kept {
    /// Why nothing, or less than it should, will be left of the process; `None`: all of it will.
    pub fn trouble(&self) -> Option<String> {
        let why = |what: &str| match self.reason.as_str() {
            "" => what.to_owned(),
            reason => format!("{what}: {reason}"),
        };
        match (self.path.is_empty(), self.mapped) {
            (true, _) => Some(why("no recording would be left of this process")),
            (false, false) => Some(why("the recording gets events only with each snapshot")),
            (false, true) if self.loops_left_out > 0 => Some(why(&format!(
                "the recording has no room for the events of {} loops",
                self.loops_left_out
            ))),
            (false, true) => None,
        }
    }
}
