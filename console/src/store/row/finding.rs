//! Findings, and which of them are leaks and problems. Knows no protobuf and no drawing.

use super::{Goto, Strip};

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
