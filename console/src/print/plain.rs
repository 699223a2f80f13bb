//! Rows as a table of text: columns as wide as their cells, nothing cut unless a terminal would wrap it.

use crate::cli::What;
use crate::model::List as ListState;
use crate::print::{Out, safe};
use crate::store::{Body, Hello};
use crate::view::columns::{self, Column, Head, Look};
use crate::view::fmt;

/// How cells are to be read: the app's clock, and the wall clock here.
pub fn look(hello: &Hello, at_ns: u64, utc_offset_s: i32) -> Look {
    Look {
        at_ns,
        wall_zero_ns: i128::from(hello.now_unix_ns) - i128::from(hello.now_ns),
        utc_offset_s,
        lossy: false,
    }
}

/// One list as a table, its head first. `names`: only these columns, in this order; empty: the usual ones.
pub fn list(what: What, body: &Body, look: &Look, names: &[String], out: Out) -> String {
    match (what, body) {
        (What::Tasks, Body::Tasks(rows)) => table(
            columns::TASKS,
            &rows.rows,
            look,
            names,
            out,
            "No tasks live.",
        ),
        (What::Loops, Body::Loops(rows)) => table(
            super::columns::LOOPS,
            &rows.rows,
            look,
            names,
            out,
            "No loop is running.",
        ),
        (What::Timers, Body::Timers(rows)) => table(
            columns::TIMERS,
            &rows.rows,
            look,
            names,
            out,
            "No timers are armed.",
        ),
        (What::Io, Body::Io(rows)) => table(
            columns::IO,
            &rows.rows,
            look,
            names,
            out,
            "No I/O sources are registered.",
        ),
        (What::Leaks, Body::Leaks(rows)) => table(
            columns::LEAKS,
            &rows.rows,
            look,
            names,
            out,
            "Nothing leaks. What was wrong and is over: loop-console history.",
        ),
        (What::Resources, Body::Resources(rows)) => table(
            columns::RESOURCES,
            &rows.rows,
            look,
            names,
            out,
            "No future, lock, queue or channel lives, nor anything else that tasks wait for.",
        ),
        (What::Jobs, Body::Jobs(rows)) => table(
            columns::JOBS,
            &rows.rows,
            look,
            names,
            out,
            "No jobs are queued or running.",
        ),
        (What::Children, Body::Children(rows)) => table(
            columns::CHILDREN,
            &rows.rows,
            look,
            names,
            out,
            "No child process was started, or all were forgotten.",
        ),
        (What::Blocks, Body::Blocks(rows)) => table_with(
            columns::BLOCKS,
            &rows.rows,
            look,
            names,
            out,
            "No poll was over its budget.",
            // A block without a stack, or one that counts as nothing, says why, also where that column
            // has no room.
            Some(("stack", columns::wanting)),
        ),
        (What::Signals, Body::Signals(rows)) => table(
            columns::SIGNALS,
            &rows.rows,
            look,
            names,
            out,
            "No signals are listened to.",
        ),
        _ => "The app answered something else.\n".to_owned(),
    }
}

/// What is said where a filter leaves nothing.
pub fn none_match(what: What, filter: &str) -> String {
    let noun = match what {
        What::Io => "I/O sources",
        What::Leaks => "leaks",
        What::Children => "child processes",
        other => other.word(),
    };
    format!("No {noun} match `{}`.\n", safe(filter, false))
}

fn table<T>(
    columns: &[Column<T>],
    rows: &[T],
    look: &Look,
    names: &[String],
    out: Out,
    empty: &str,
) -> String {
    table_with(columns, rows, look, names, out, empty, None)
}

/// What is said on a line below a row, in place of a column that a terminal has no room for.
type Below<T> = (&'static str, fn(&T) -> Option<String>);

fn table_with<T>(
    columns: &[Column<T>],
    rows: &[T],
    look: &Look,
    names: &[String],
    out: Out,
    empty: &str,
    below: Option<Below<T>>,
) -> String {
    if rows.is_empty() {
        return format!("{empty}\n");
    }
    let heads: Vec<Head> = columns.iter().map(|c| c.head).collect();
    let chosen: Vec<usize> = if names.is_empty() {
        // A strip of blocks is for screens; a share says the same in a number.
        (0..heads.len())
            .filter(|i| heads[*i].shown && heads[*i].name != "strip")
            .collect()
    } else {
        names
            .iter()
            .filter_map(|name| heads.iter().position(|h| h.name == name.trim()))
            .collect()
    };
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            chosen
                .iter()
                .map(|i| safe(&(columns[*i].cell)(row, look).0, out.ascii).into_owned())
                .collect()
        })
        .collect();
    let mut widths: Vec<usize> = chosen
        .iter()
        .enumerate()
        .map(|(at, i)| {
            cells
                .iter()
                .map(|row| fmt::width(&row[at]))
                .max()
                .unwrap_or(0)
                .max(fmt::width(heads[*i].text))
        })
        .collect();
    let mut shown: Vec<usize> = (0..chosen.len()).collect();
    if let (Some(room), true) = (out.width, names.is_empty()) {
        // A terminal: the screens' own order in which columns leave, and their own cuts.
        let needs: Vec<u16> = heads
            .iter()
            .enumerate()
            .map(|(i, _)| {
                chosen
                    .iter()
                    .position(|c| *c == i)
                    .map_or(0, |at| u16::try_from(widths[at]).unwrap_or(u16::MAX))
            })
            .collect();
        let mut list = ListState::default();
        list.switched.insert("strip");
        // Two blanks lie between two columns here, one on a screen.
        let taken = |placed: &[columns::Placed]| match placed.last() {
            Some(last) => usize::from(last.x + last.width) + placed.len() - 1,
            None => 0,
        };
        let mut placed = Vec::new();
        for inside in (0..=room).rev() {
            placed = columns::layout(&heads, &needs, &list, inside).0;
            if taken(&placed) <= usize::from(room) {
                break;
            }
        }
        shown = Vec::new();
        for place in placed {
            if let Some(at) = chosen.iter().position(|c| *c == place.index) {
                widths[at] = widths[at].min(usize::from(place.width));
                shown.push(at);
            }
        }
    }
    // Who asked for certain columns, or reads through a pipe, gets a row a line.
    let below = below.filter(|(name, _)| {
        let stands = shown.iter().any(|at| heads[chosen[*at]].name == *name);
        out.width.is_some() && names.is_empty() && !stands
    });
    let mut text = String::new();
    let titles: Vec<String> = chosen
        .iter()
        .map(|i| safe(heads[*i].text, out.ascii).into_owned())
        .collect();
    for (number, row) in std::iter::once(&titles).chain(&cells).enumerate() {
        let mut line = String::new();
        for (nth, at) in shown.iter().enumerate() {
            let head = &heads[chosen[*at]];
            let cell = if out.width.is_some() {
                if head.middle {
                    fmt::cut_middle(&row[*at], widths[*at])
                } else {
                    fmt::cut_end(&row[*at], widths[*at])
                }
            } else {
                row[*at].as_str().into()
            };
            let pad = " ".repeat(widths[*at].saturating_sub(fmt::width(&cell)));
            if nth > 0 {
                line.push_str("  ");
            }
            if head.right {
                line.push_str(&pad);
                line.push_str(&cell);
            } else {
                line.push_str(&cell);
                line.push_str(&pad);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
        let row = number.checked_sub(1).and_then(|at| rows.get(at));
        if let (Some(row), Some((_, words)), Some(room)) = (row, &below, out.width)
            && let Some(words) = words(row)
        {
            let room = usize::from(room.saturating_sub(2));
            text.push_str("  ");
            text.push_str(&fmt::cut_end(&safe(&words, out.ascii), room));
            text.push('\n');
        }
    }
    text
}

/// The apps that can be attached to.
pub fn apps(apps: &[crate::store::App], out: Out) -> String {
    let mut rows =
        vec![["PID", "NAME", "UP", "LOOPS", "WORST FINDING", "TARGET"].map(str::to_owned)];
    rows.extend(apps.iter().map(|app| {
        [
            app.pid.to_string(),
            safe(&app.name, out.ascii).into_owned(),
            app.up
                .map_or_else(|| "-".to_owned(), |up| fmt::uptime(up.as_secs())),
            app.loops.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            app.worst
                .as_deref()
                .map_or_else(|| "-".to_owned(), |w| safe(w, out.ascii).into_owned()),
            safe(&app.target, out.ascii).into_owned(),
        ]
    }));
    let widths: Vec<usize> = (0..6)
        .map(|c| rows.iter().map(|r| fmt::width(&r[c])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - fmt::width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
