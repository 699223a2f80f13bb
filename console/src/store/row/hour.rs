//! What the app keeps of its last hour, and what its flight recorder wrote. Knows no protobuf and no drawing.

use super::{BlockRow, Finding, SeriesRow};

/// The last hour, looked at or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hour {
    /// From when on it is kept: an hour ago, or the start of the app's inspector.
    pub from_ns: u64,
    /// What holds first, then what is over, the latest first.
    pub findings: Vec<PastFinding>,
    /// Kinds of findings that had to give way, since the start.
    pub dropped: u64,
    /// The worst and the latest blocks, the newest first.
    pub blocks: Vec<BlockRow>,
    /// How many ended within the hour, and how many of them are not in `blocks`.
    pub blocks_total: u64,
    pub blocks_dropped: u64,
    /// How often findings are looked for while nobody asks.
    pub look_every_ns: u64,
    pub series: Vec<SeriesRow>,
    pub dumps: Vec<DumpFile>,
    pub host: Option<Host>,
}

/// A fault of the last hour, all times that it was there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastFinding {
    pub finding: Finding,
    pub first_ns: u64,
    pub made_ns: u64,
    /// `None`: it holds.
    pub cleared_ns: Option<u64>,
    pub times: u64,
    /// The file that was written when it was made; empty: none.
    pub dump: String,
}

/// A file that the flight recorder wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpFile {
    pub path: String,
    pub at_ns: u64,
    /// `block`, `leak`, `deadlock`, `panic`, `signal`, `asked`, `test`.
    pub cause: String,
    pub detail: String,
    pub bytes: u64,
    /// The block or finding that caused it.
    pub subject: Option<u64>,
}

/// What the flight recorder did on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpCost {
    /// Empty: it has none.
    pub directory: String,
    pub written: u64,
    pub suppressed: u64,
    pub removed: u64,
    pub failed: u64,
    pub bytes: u64,
    pub limit_bytes: u64,
    /// Why the last one could not be written; empty: it could.
    pub trouble: String,
}

/// The machine, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    pub kernel: String,
    pub cpus_online: u32,
    pub cgroup_cpus: Option<f64>,
    pub cgroup_memory: Option<u64>,
    pub cgroup_unknown: String,
    pub memory: u64,
}

impl Hour {
    /// What was wrong and is over.
    pub fn over(&self) -> impl Iterator<Item = &PastFinding> {
        self.findings
            .iter()
            .filter(|past| past.cleared_ns.is_some())
    }
}
