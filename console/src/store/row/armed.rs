//! Rows of what is armed: timers, and sources at the reactor. Knows no protobuf and no drawing.

use super::ChildPipe;

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
