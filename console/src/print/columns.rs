//! Which columns a printed table can have: those of the screens, and those of loops, which the screens draw as panels.

use loop_proto::filter::ParseError;

use crate::cli::What;
use crate::exit::Failure;
use crate::store::LoopRow;
use crate::view::columns::{self, Cell, Column, Head};
use crate::view::fmt;
use crate::view::theme::Role;

const fn head(
    name: &'static str,
    text: &'static str,
    min: u16,
    max: u16,
    drop: u8,
    right: bool,
) -> Head {
    Head {
        name,
        text,
        min,
        want: min,
        max,
        right,
        sort: "",
        descending: false,
        drop,
        shown: true,
        middle: false,
        help: "",
    }
}

fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Role::Plain)
}

fn or_dash(text: Option<String>) -> Cell {
    plain(text.unwrap_or_else(|| "-".to_owned()))
}

fn blocked(row: &LoopRow) -> Cell {
    or_dash(row.blocked.as_ref().map(|b| {
        let task = match b.task {
            Some(id) => format!("task {id} {}", b.name),
            None => format!("({})", b.doing),
        };
        let cause = if b.cause.is_empty() {
            "cause unknown"
        } else {
            &b.cause
        };
        format!(
            "{} by {}, {}, {cause}",
            fmt::span(b.for_ns),
            task.trim_end(),
            fmt::place(&b.place)
        )
    }))
}

/// The columns of loops.
#[rustfmt::skip]
pub static LOOPS: &[Column<LoopRow>] = &[
    Column { head: head("id", "ID", 4, 6, 0, true), cell: |r, _| plain(r.id.to_string()) },
    Column { head: head("name", "NAME", 8, 20, 0, false), cell: |r, _| plain(r.name.clone()) },
    Column { head: head("thread", "THREAD", 8, 16, 9, false), cell: |r, _| or_dash(Some(r.thread.clone()).filter(|t| !t.is_empty())) },
    Column { head: head("state", "STATE", 7, 8, 0, false), cell: |r, _| plain(standing(r)) },
    Column { head: head("tasks", "TASKS", 6, 11, 0, true), cell: |r, _| plain(fmt::count(r.tasks)) },
    Column { head: head("ready", "READY", 6, 11, 3, true), cell: |r, _| plain(fmt::count(r.ready)) },
    Column { head: head("busy", "BUSY", 6, 6, 0, true), cell: |r, _| or_dash(r.busy.map(fmt::percent)) },
    Column { head: head("lag-p50", "LAG p50", 7, 8, 5, true), cell: |r, _| or_dash(r.lag_p50_ns.map(fmt::span)) },
    Column { head: head("lag", "LAG p99", 7, 8, 2, true), cell: |r, _| or_dash(r.lag_p99_ns.map(fmt::span)) },
    Column { head: head("lag-max", "LAG max", 7, 8, 4, true), cell: |r, _| or_dash(r.lag_max_ns.map(fmt::span)) },
    Column { head: head("blocks", "BLOCKS", 6, 9, 6, true), cell: |r, _| plain(fmt::count(r.blocks)) },
    Column { head: head("worst", "WORST", 8, 8, 7, true), cell: |r, _| or_dash((r.blocks > 0).then(|| fmt::span(r.worst_block_ns))) },
    Column { head: head("blocked", "BLOCKED NOW", 12, 80, 0, false), cell: |r, _| blocked(r) },
];

/// The heads of a list, in the order in which they are printed.
pub fn heads(what: What) -> Vec<Head> {
    fn of<T>(columns: &[Column<T>]) -> Vec<Head> {
        columns.iter().map(|c| c.head).collect()
    }
    match what {
        What::Tasks => of(columns::TASKS),
        What::Loops => of(LOOPS),
        What::Timers => of(columns::TIMERS),
        What::Io => of(columns::IO),
        What::Leaks => of(columns::LEAKS),
        What::Resources => of(columns::RESOURCES),
        What::Jobs => of(columns::JOBS),
        What::Children => of(columns::CHILDREN),
        What::Signals => of(columns::SIGNALS),
        What::Blocks => of(columns::BLOCKS),
    }
}

/// A parked loop that nothing of its own can wake says by whom it can be.
fn standing(row: &LoopRow) -> String {
    match &row.standstill {
        Some(still) if still.nobody => "DEAD".to_owned(),
        Some(_) => "outside".to_owned(),
        None => row.state.clone(),
    }
}

/// Errors: a name that is no column, with those there are.
pub fn check(what: What, names: &[String]) -> Result<(), Failure> {
    let heads = heads(what);
    let text = names.join(",");
    let mut offset = 0;
    for name in names {
        if !heads.iter().any(|h| h.name == name.trim()) {
            let known: Vec<&str> = heads.iter().map(|h| h.name).collect();
            let error = ParseError {
                offset,
                length: name.len(),
                message: format!(
                    "`{}` has no such column; it has {}.",
                    what.word(),
                    known.join(", ")
                ),
                suggestion: loop_proto::suggest::nearest(name.trim(), known.iter().copied())
                    .map(str::to_owned),
            };
            return Err(crate::cli::pointed("--columns", &text, &error));
        }
        offset += name.len() + 1;
    }
    Ok(())
}
