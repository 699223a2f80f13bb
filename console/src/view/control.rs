//! What would be done to the app, over the screen: a deed before it is confirmed, a budget while it is
//! typed, and the switches of what is recorded. Draws only.

use ratatui::layout::Rect;

use super::fmt;
use super::overlay::{boxed, choices};
use super::paint::{Painter, after};
use super::theme::Role;
use crate::model::Model;
use crate::store::control::Deed;
use crate::store::{TaskRow, TaskState};
use crate::update::{control, pick};

/// A sentence that begins as one.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    let text = format!("{}{}", first.unwrap_or_default(), chars.as_str());
    if text.ends_with('.') || text.is_empty() {
        text
    } else {
        format!("{text}.")
    }
}

/// The deed with the task, its place and what will happen; greyed, with the reason, for who may only look.
pub(super) fn confirm(model: &Model, p: &mut Painter<'_>, area: Rect, deed: &Deed) {
    let task = pick::task(model).filter(|task| deed.task() == Some(task.id));
    let title = match deed {
        Deed::Cancel { .. } => "Cancel this task?",
        Deed::Nudge { .. } => "Nudge this task?",
        Deed::Budget { .. } => "Change the budget?",
        Deed::Record { .. } => "Change what is recorded?",
        Deed::Find => "Look for findings now?",
    };
    let why_not = control::why_not(model);
    let role = if why_not.is_empty() {
        Role::Plain
    } else {
        Role::Dim
    };
    let inside = boxed(p, area, title, 76, 13);
    let inside = Rect {
        width: inside.width.saturating_sub(1),
        ..after(inside, 1)
    };
    let mut y = 0;
    match task {
        Some(task) => {
            let state = task.state.word();
            let line = format!(
                "task {} {} · {state} for {} · loop {}",
                task.id,
                task.name,
                fmt::span(task.for_ns),
                task.loop_id
            );
            let line = p.clean(&line).into_owned();
            y += p.wrapped(inside, y, &line, role);
            if !task.spawned_at.is_empty() {
                let place = format!("spawned at {}", fmt::place(&task.spawned_at));
                let place = p.clean(&place).into_owned();
                y += p.wrapped(inside, y, &place, role);
            }
        }
        None => y += p.wrapped(inside, y, &deed.words(), role),
    }
    y += 1;
    y += p.wrapped(inside, y, &what_will_happen(deed, task), role);
    y += 1;
    if why_not.is_empty() {
        p.text(
            inside,
            0,
            y,
            "Enter or y: do it.   Esc or n: leave it.",
            Role::Head,
        );
    } else {
        let why = format!("Not possible: {}", sentence(&why_not));
        p.wrapped(inside, y, &why, Role::Warning);
    }
}

fn what_will_happen(deed: &Deed, task: Option<&TaskRow>) -> String {
    match deed {
        Deed::Cancel { .. } => {
            let asked = task.is_some_and(|task| task.cancel_asked);
            let mut out = match task.map(|task| task.kind.as_str()) {
                Some("main") => {
                    "It is the main task: its run ends, and what still lives then is cancelled with it. "
                        .to_owned()
                }
                Some("callback") => "A callback that has not been called yet will not be. ".to_owned(),
                _ => String::new(),
            };
            out.push_str(
                "Its future is dropped at its next step unless it catches the cancel, as Task::cancel does.",
            );
            if asked {
                out.push_str(" It was asked to cancel before, and has not ended since.");
            }
            out
        }
        Deed::Nudge { .. } => match task.map(|task| task.state) {
            Some(TaskState::Wait) | None => {
                "It is woken once, without a cause. If it waits for the same thing again, no wake was lost; if it goes on or ends, one was."
                    .to_owned()
            }
            Some(_) => {
                "It is not waiting: a nudge would show nothing about a lost wake.".to_owned()
            }
        },
        Deed::Budget { .. } => "Polls longer than that are blocks from now on.".to_owned(),
        Deed::Record { .. } => "It is so until it is changed again, for all viewers.".to_owned(),
        Deed::Find => {
            "Two walks over all tasks, 20 ms apart: what is certain is known then, what is over is cleared."
                .to_owned()
        }
    }
}

/// The line where a budget is typed.
pub(super) fn budget(
    model: &Model,
    p: &mut Painter<'_>,
    area: Rect,
    typed: &str,
    loop_id: Option<u64>,
    wrong: &str,
) {
    let inside = boxed(p, area, "How long may a poll take?", 76, 9);
    let inside = Rect {
        width: inside.width.saturating_sub(1),
        ..after(inside, 1)
    };
    let rows = &model.shown().loops.rows;
    let (of, now) = match loop_id {
        Some(id) => {
            let row = rows.iter().find(|row| row.id == id);
            let name = row.map_or(String::new(), |row| format!(" {}", row.name));
            let now = row.map_or(0, |row| row.budget_ns);
            (format!("loop {id}{name}"), vec![now])
        }
        None => {
            let mut all: Vec<u64> = rows.iter().map(|row| row.budget_ns).collect();
            all.sort_unstable();
            all.dedup();
            (format!("all {} loops", rows.len()), all)
        }
    };
    let now = now.iter().map(|ns| fmt::span(*ns)).collect::<Vec<_>>();
    let line = format!("of {of}, now {}", now.join(", "));
    let line = p.clean(&line).into_owned();
    p.text(inside, 0, 0, &line, Role::Plain);
    p.text(inside, 0, 2, &format!("block = {typed}▏"), Role::Head);
    let why_not = control::why_not(model);
    if !why_not.is_empty() {
        p.wrapped(
            inside,
            4,
            &format!("Not possible: {}", sentence(&why_not)),
            Role::Warning,
        );
    } else if wrong.is_empty() {
        let hint =
            "20ms, 1s, between 100us and 1h. Enter sets it for all viewers; Tab: another loop.";
        p.wrapped(inside, 4, hint, Role::Dim);
    } else {
        p.wrapped(inside, 4, &sentence(wrong), Role::Problem);
    }
}

/// What is recorded, one line a switch.
pub(super) fn recorded(model: &Model, p: &mut Painter<'_>, area: Rect, cursor: usize) {
    let switches = control::switches(model);
    let why_not = control::why_not(model);
    let height = switches.len() as u16 + 5;
    let inside = boxed(p, area, "What is recorded", 78, height);
    let lines: Vec<(String, String)> = switches
        .iter()
        .map(|switch| {
            let mark = if switch.on { "[x]" } else { "[ ]" };
            let line = format!("{mark} {:<13} {}", switch.what, switch.detail);
            (line, String::new())
        })
        .collect();
    choices(p, inside, cursor, &lines);
    let y = lines.len() as u16 + 1;
    let below = after(inside, 1);
    if why_not.is_empty() {
        let hint = "Space turns it on or off for all viewers; what has no switch says so.";
        p.wrapped(below, y, hint, Role::Dim);
    } else {
        let why = format!("Not possible: {}", sentence(&why_not));
        p.wrapped(below, y, &why, Role::Warning);
    }
}
