//! Where a task waits and where it was spawned: the app's own frames, and of others how many.

use std::fmt::Write as _;

use super::super::columns::Look;
use super::super::fmt;
use super::super::theme::Role;
use super::Line;
use crate::store::{Frame, TaskDetail};

/// What stands before an await stack: how it was come by, and what is being done about it.
pub fn how(d: &TaskDetail, look: &Look) -> String {
    let a = &d.awaiting;
    let ago = || fmt::span(look.ago(a.at_ns));
    let mut text = match a.how.as_str() {
        "pending" => format!(
            "copied as it went to wait, {} ago, in {}",
            ago(),
            fmt::span(a.took_ns)
        ),
        "debug-info" => format!("read in its memory {} ago, told by the debug info", ago()),
        _ => String::new(),
    };
    let mut add = |more: &str| {
        if !more.is_empty() {
            let gap = if text.is_empty() { "" } else { " · " };
            let _ = write!(text, "{gap}{more}");
        }
    };
    add(&a.why);
    let waits_again = !d.row.wait.as_ref().is_some_and(|wait| wait.nothing);
    if a.asked && a.stack.is_empty() && waits_again {
        add("copied at its next wait");
    }
    text
}

fn name(frame: &Frame) -> String {
    if frame.function.is_empty() {
        return format!("{}+{:#x}", frame.module, frame.offset);
    }
    frame.function.clone()
}

/// Less of a function's name is not shown for the sake of its place.
const NAME: usize = 20;

/// A frame in one line of so many cells, if its place leaves its name some room.
fn line(frame: &Frame, number: usize, width: usize) -> Line {
    let place = fmt::place(&frame.place);
    let gap = if place.is_empty() { "" } else { "  " };
    let role = if frame.yours || frame.culprit {
        Role::Head
    } else {
        Role::Dim
    };
    let by = match frame.awaited_by {
        0 => String::new(),
        // The usual: it is the next one.
        by if by == number + 1 => String::new(),
        by => format!("  (awaited by {by})"),
    };
    let name = name(frame);
    let room = width.saturating_sub(7 + fmt::width(&place) + fmt::width(&by));
    let name = fmt::cut_middle(&name, room.max(NAME));
    (format!("{number:>3} {name}{gap}{place}{by}"), role)
}

/// How many frames of whom.
fn folded(frames: &[Frame]) -> Line {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for frame in frames {
        let whose = match frame.kind.as_str() {
            "" => "unknown",
            kind => kind,
        };
        match counts.iter_mut().find(|(kind, _)| *kind == whose) {
            Some((_, count)) => *count += 1,
            None => counts.push((whose, 1)),
        }
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    (format!("    … {}", parts.join(", ")), Role::Dim)
}

/// Frames, innermost first. What is not the app's own is folded, but for the innermost frame and
/// where futures join, which is what a reader looks for.
pub fn frames(stack: &[Frame], unfold: bool, width: usize) -> Vec<Line> {
    let line = |frame: &Frame, number: usize| line(frame, number, width);
    let joins = |number: usize| {
        let by = stack.iter().filter(|frame| frame.awaited_by == number);
        by.count() > 1
    };
    let mut out = Vec::new();
    let mut from = 0;
    for (index, frame) in stack.iter().enumerate() {
        let told = unfold
            || frame.yours
            || frame.culprit
            || index == 0
            || frame.awaited_by > index + 2
            || joins(index + 1)
            // A future is one of few, and its name tells what is waited for.
            || frame.awaited_by != 0;
        if !told {
            continue;
        }
        match index - from {
            0 => {}
            1 => out.push(line(&stack[from], from + 1)),
            _ => out.push(folded(&stack[from..index])),
        }
        out.push(line(frame, index + 1));
        from = index + 1;
    }
    match stack.len() - from {
        0 => {}
        1 => out.push(line(&stack[from], from + 1)),
        _ => out.push(folded(&stack[from..])),
    }
    out
}

/// Where it waits.
pub(super) fn awaits(d: &TaskDetail, look: &Look, unfold: bool, width: usize) -> Vec<Line> {
    let mut out = frames(&d.awaiting.stack, unfold, width);
    let how = how(d, look);
    if !how.is_empty() {
        out.push((how, Role::Dim));
    }
    if d.awaiting.stack.is_empty() && !d.row.waiting_at.is_empty() {
        let place = fmt::place(&d.row.waiting_at);
        out.insert(0, (format!("its .await at {place}"), Role::Plain));
    }
    if out.is_empty() {
        let text = match (&d.row.ended, d.row.state) {
            (Some(_), _) => "It ended, and waits nowhere.",
            (_, crate::store::TaskState::Run) => "It runs.",
            _ => "Not known.",
        };
        out.push((text.into(), Role::Plain));
    }
    out
}

/// Where it was spawned, by whom, and who spawned those.
pub(super) fn created(d: &TaskDetail, unfold: bool, width: usize) -> Vec<Line> {
    let place = if d.row.spawned_at.is_empty() {
        "not known".into()
    } else {
        fmt::place(&d.row.spawned_at)
    };
    let mut out = vec![(place.into_owned(), Role::Plain)];
    out.extend(frames(&d.spawn_stack, unfold, width));
    out.extend(d.parents.iter().map(|parent| {
        let place = fmt::place(&parent.spawned_at);
        let state = parent.state.word();
        let line = format!("by {} {} {state}  {place}", parent.id, parent.name);
        (line, Role::Plain)
    }));
    // The chain ends before its beginning where the last one known has a parent.
    let last = d.parents.last().unwrap_or(&d.row);
    if let Some(parent) = last.parent {
        out.push((
            format!("by {parent}, which ended and is not remembered"),
            Role::Dim,
        ));
    }
    if !d.spawn_why.is_empty() {
        out.push((format!("No stack: {}.", d.spawn_why), Role::Dim));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, kind: &str) -> Frame {
        Frame {
            function: function.to_owned(),
            kind: kind.to_owned(),
            yours: kind == "app",
            ..Frame::default()
        }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|(text, _)| text.trim()).collect()
    }

    #[test]
    fn frames_of_others_are_folded_and_counted() {
        let stack = [
            frame("park", "runtime"),
            frame("poll", "runtime"),
            frame("map", "dependency"),
            frame("app::read", "app"),
            frame("call", "std"),
            frame("app::main", "app"),
            frame("poll", "runtime"),
            frame("run_ready", "runtime"),
        ];
        assert_eq!(
            texts(&frames(&stack, false, 200)),
            [
                "1 park",
                "… 1 runtime, 1 dependency",
                "4 app::read",
                "5 call",
                "6 app::main",
                "… 2 runtime",
            ]
        );
        assert_eq!(frames(&stack, true, 200).len(), 8);
    }

    #[test]
    fn a_long_name_leaves_its_place_to_be_read() {
        let long = Frame {
            place: "src/x.rs:12:3".to_owned(),
            ..frame(&"app::".repeat(20), "app")
        };
        let (text, _) = &frames(&[long], false, 58)[0];
        assert!(
            text.ends_with("  src/x.rs:12") && text.contains('…'),
            "{text}"
        );
        assert!(fmt::width(text) <= 57, "{text}");
    }

    #[test]
    fn futures_that_are_awaited_at_once_tell_where_they_join() {
        let future = |function, awaited_by| Frame {
            awaited_by,
            ..frame(function, "app")
        };
        let stack = [
            future("app::left", 3),
            future("app::right", 3),
            future("app::both", 0),
        ];
        assert_eq!(
            texts(&frames(&stack, false, 200)),
            ["1 app::left  (awaited by 3)", "2 app::right", "3 app::both"]
        );
    }

    #[test]
    fn a_task_whose_parent_is_forgotten_says_so() {
        let mut d = TaskDetail {
            spawn_why: "spawns are not sampled".to_owned(),
            ..TaskDetail::default()
        };
        d.row.spawned_at = "src/x.rs:3:5".to_owned();
        d.row.parent = Some(7);
        assert_eq!(
            texts(&created(&d, false, 200)),
            [
                "src/x.rs:3",
                "by 7, which ended and is not remembered",
                "No stack: spawns are not sampled."
            ]
        );
    }
}
