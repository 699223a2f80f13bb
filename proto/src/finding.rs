//! Findings: what can be wrong, how sure each is, and what it means. The rules themselves are
//! pure functions over plain facts, so they can be asked of live tables, of a recording and of a
//! test alike. Knows neither tables nor screens.

mod deadlock;
mod explain;
mod facts;
mod fingerprint;
mod leaks;
mod order;
mod rules;
#[cfg(test)]
mod tests;

pub use deadlock::{Holder, Joined, Waits, deadlocked};
pub use explain::Explanation;
pub use facts::{
    BlockFacts, CallFacts, EndedFacts, GrowthFacts, Limits, SourceFacts, State, TaskFacts,
    TimerFacts, Window,
};
pub use fingerprint::fingerprint;
pub use leaks::{abandoned_fd, growing, orphan_timer, waker_hoard};
pub use order::{LockOrder, lock_circles};
pub use rules::{
    blocked, blocking_call, idle_orphan, ignored_cancel, large_future, late_timer, left_behind,
    never_polled, never_yields, of_task, outlived_parent, span, spinning, starved, stranded,
    stuck_abortable, unread_error, wake_storm,
};

use crate::pb::{FindingName, Grade};
use crate::table::FINDINGS;

/// What a rule says of a subject: everything of a finding but where and who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong.
    pub name: FindingName,
    /// How sure.
    pub grade: Grade,
    /// What it rests on, a fact a line.
    pub evidence: Vec<String>,
    /// Since when it holds.
    pub since_ns: u64,
    /// The quantity that was measured, in ns, if the rule has one.
    pub measured_ns: Option<u64>,
    /// The limit it was compared with, in ns.
    pub limit_ns: Option<u64>,
}

impl FindingName {
    /// Every name.
    pub const ALL: [FindingName; 22] = [
        FindingName::Blocked,
        FindingName::Stranded,
        FindingName::Deadlocked,
        FindingName::LeftBehind,
        FindingName::OutlivedParent,
        FindingName::Growing,
        FindingName::IdleOrphan,
        FindingName::StuckAbortable,
        FindingName::Starved,
        FindingName::Spinning,
        FindingName::WakeStorm,
        FindingName::NeverYields,
        FindingName::NeverPolled,
        FindingName::LateTimer,
        FindingName::OrphanTimer,
        FindingName::AbandonedFd,
        FindingName::UnreadError,
        FindingName::IgnoredCancel,
        FindingName::LargeFuture,
        FindingName::BlockingCall,
        FindingName::LockOrder,
        FindingName::WakerHoard,
    ];

    /// Its word, the same on screens, in JSON, in filters and at the gate: `left-behind`.
    #[must_use]
    pub fn word(self) -> &'static str {
        FINDINGS[self as usize]
    }

    /// The name of that word; case does not matter.
    #[must_use]
    pub fn from_word(word: &str) -> Option<FindingName> {
        FindingName::ALL
            .into_iter()
            .find(|name| name.word().eq_ignore_ascii_case(word))
    }

    /// It is a leak: `leak=0` at the gate counts these, of the user's tasks.
    #[must_use]
    pub const fn is_leak(self) -> bool {
        matches!(
            self,
            FindingName::Stranded | FindingName::Deadlocked | FindingName::LeftBehind
        )
    }

    /// It is said of a task that may never end: who spawned it and what woke it last is of interest.
    #[must_use]
    pub const fn is_of_leaks(self) -> bool {
        matches!(
            self,
            FindingName::Stranded
                | FindingName::LeftBehind
                | FindingName::OutlivedParent
                | FindingName::IdleOrphan
                | FindingName::StuckAbortable
        )
    }

    /// Its bit in [`crate::row::Value::Set`].
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }
}

impl Grade {
    /// Its word: `left-behind`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Grade::Unspecified => "",
            Grade::Certain => "certain",
            Grade::LeftBehind => "left-behind",
            Grade::Suspect => "suspect",
            Grade::Warning => "warning",
        }
    }
}

/// The bits of several names, as messages carry them.
#[must_use]
pub fn bits(names: &[i32]) -> u64 {
    names
        .iter()
        .filter_map(|name| FindingName::try_from(*name).ok())
        .fold(0, |bits, name| bits | name.bit())
}
