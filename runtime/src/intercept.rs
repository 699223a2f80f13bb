//! Blocking calls in polls, found at the call itself: for tests and CI, the feature `intercept`.
//!
//! Knows what is to be done about them, and how they are put into words; `symbols` meets the calls.

use crate::inspect::calls;
use crate::record::LoopRecord;
use crate::record::calls::Mode;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod symbols;

/// What a loop does when a task of it makes a call that blocks; see
/// [`Builder::on_blocking_call`](crate::Builder::on_blocking_call).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BlockingCall {
    /// It is noted, and is a finding: `blocking-call`.
    Warn,
    /// It is noted, and the task panics when the poll that made it is over. Not in the call itself:
    /// nothing may unwind through the C library's callers.
    Panic,
}

impl BlockingCall {
    pub(crate) fn mode(self) -> Mode {
        match self {
            BlockingCall::Warn => Mode::Warn,
            BlockingCall::Panic => Mode::Panic,
        }
    }
}

/// `record`'s loop looks for blocking calls from now on. Nothing happens where there is no
/// interception: on systems other than Linux with glibc.
pub(crate) fn look(record: &LoopRecord, mode: Mode) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        symbols::arm();
        record.calls.switch(mode, calls::sentence);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = (record, mode, calls::sentence as fn(_) -> _);
}
