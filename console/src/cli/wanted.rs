//! What is to be done, as values: a command, and what it needs to know. Knows not how it was written.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use loop_proto::budget::Budget;
use loop_proto::table::Table;

use super::{Format, When};
use crate::store::control::Deed;

/// What every command heeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    pub color: When,
    pub ascii: bool,
    pub mouse: bool,
    pub timeout: Duration,
    pub via: Option<String>,
    pub control: bool,
    pub verbose: u8,
    pub quiet: bool,
}

/// What is to be done. Texts that have a grammar of their own have been read once already.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Connect {
        target: Option<String>,
    },
    Ps {
        json: Option<Vec<String>>,
    },
    List(List),
    Task {
        id: u64,
        target: Option<String>,
        json: bool,
    },
    Tree(Tree),
    Events(Events),
    History {
        target: Option<String>,
        json: bool,
    },
    Report {
        target: Option<String>,
        json: bool,
        output: Option<PathBuf>,
    },
    Dump {
        target: Option<String>,
        json: bool,
        reason: String,
    },
    /// Have the app do something.
    Do(Do),
    /// What is recorded.
    Recorded {
        target: Option<String>,
        json: bool,
    },
    Cost {
        target: Option<String>,
        json: bool,
    },
    Check(Check),
    Relay {
        target: Option<String>,
    },
    Explain {
        name: Option<String>,
    },
    Keys,
}

/// Which list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Tasks,
    Loops,
    Timers,
    Io,
    Leaks,
    Resources,
    Jobs,
    Children,
    Signals,
    Blocks,
}

impl What {
    /// The command's name, which is also the top-level key of its JSON.
    pub fn word(self) -> &'static str {
        match self {
            What::Tasks => "tasks",
            What::Loops => "loops",
            What::Timers => "timers",
            What::Io => "io",
            What::Leaks => "leaks",
            What::Resources => "resources",
            What::Jobs => "jobs",
            What::Children => "children",
            What::Signals => "signals",
            What::Blocks => "blocks",
        }
    }

    /// The table whose grammar its filter and sort key follow.
    pub fn table(self) -> Table {
        match self {
            What::Tasks => Table::Tasks,
            What::Loops => Table::Loops,
            What::Timers => Table::Timers,
            What::Io => Table::Io,
            What::Leaks => Table::Findings,
            What::Resources => Table::Resources,
            What::Jobs => Table::Jobs,
            What::Children => Table::Children,
            What::Signals => Table::Signals,
            What::Blocks => Table::Blocks,
        }
    }
}

/// A list to print.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub what: What,
    pub target: Option<String>,
    pub filter: String,
    /// As the protocol has it: `-busy`; empty: the table's own order.
    pub sort: String,
    pub columns: Vec<String>,
    /// `Some`: JSON, of these fields; empty: all.
    pub json: Option<Vec<String>>,
    pub watch: Option<Duration>,
    pub limit: Option<u64>,
}

/// Which await trees are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    pub target: Option<String>,
    pub of: Option<u64>,
    pub filter: String,
    pub json: bool,
}

/// A stream of events to print.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    pub target: Option<String>,
    pub follow: bool,
    /// The kinds by the protocol's numbers; empty: the usual ones.
    pub kinds: Vec<i32>,
    pub filter: String,
    pub json: bool,
}

/// Something to have the app do.
#[derive(Clone, Debug, PartialEq)]
pub struct Do {
    pub deed: Deed,
    pub target: Option<String>,
    pub json: bool,
}

/// What the gate judges, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub subject: Subject,
    pub time: Option<Duration>,
    pub budget: Budget,
    pub deny: Vec<Deny>,
    pub grace: Option<Duration>,
    pub junit: Option<PathBuf>,
    /// Where the processes of the command write their dumps.
    pub dumps: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub format: Format,
}

/// What the gate looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Target(Option<String>),
    Command(Vec<OsString>),
}

/// What also fails, beyond the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    Suspect,
    Warning,
    Name(loop_proto::pb::FindingName),
}
