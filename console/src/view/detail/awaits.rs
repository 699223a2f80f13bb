//! The await tree of a task as lines: what it waits for and what that waits for, then who waits for it.

use super::super::columns::Look;
use super::super::theme::Role;
use super::super::{fmt, glyph};
use super::Line;
use crate::store::{AwaitStep, TaskDetail, TaskState, Wait};

/// A wait in words: what, when, where.
fn words(wait: &Wait, look: &Look) -> String {
    if wait.nothing {
        return "nothing can wake it: no waker is alive and it is not queued".into();
    }
    let due = wait
        .due_ns
        .map_or_else(String::new, |due| match due.checked_sub(look.at_ns) {
            Some(left) => format!(" in {}", fmt::span(left)),
            None => format!(" late by {}", fmt::span(look.at_ns - due)),
        });
    let gap = if wait.what.is_empty() { "" } else { " " };
    format!("{}{due}{gap}{}", wait.kind, wait.what)
}

/// Since when, and where.
fn when(wait: &Wait, look: &Look) -> String {
    let since = wait.since_ns.map_or_else(String::new, |ns| {
        format!(" for {}", fmt::span(look.ago(ns)))
    });
    let place = if wait.place.is_empty() {
        String::new()
    } else {
        format!("  {}", fmt::place(&wait.place))
    };
    format!("{since}{place}")
}

fn indent(step: &AwaitStep) -> String {
    "  ".repeat(usize::from(step.depth.clamp(1, 12)) - 1)
}

/// What a task that has to act has of the thing, for kinds that several can have to do with.
fn part(kind: &str) -> &'static str {
    match kind {
        "semaphore" => "a permit is with ",
        "future" => "its promise is with ",
        "queue" | "channel" | "event" | "condition" | "barrier" => "a handle is with ",
        _ => "",
    }
}

const RING: &str = "they wait for each other";

/// One step down: the wait, and who has to act.
pub fn down(step: &AwaitStep, look: &Look) -> Line {
    let mut line = format!("{}{}", indent(step), words(&step.wait, look));
    // A join names its task already.
    let joined = step.wait.target == step.on.map(crate::store::Goto::Task);
    if let Some(on) = step.on.filter(|_| !joined && step.wait.holder != step.on) {
        line += &format!(" → {}{on}", part(&step.wait.kind));
    }
    if !joined && !step.on_name.is_empty() {
        line += &format!(" {}", step.on_name);
    }
    if !step.on_state.is_empty() {
        line += &format!(" {}", step.on_state);
    }
    if step.ring {
        // Before what may be cut.
        line += &format!("  {} {RING}", glyph::PROBLEM);
        return (line + &when(&step.wait, look), Role::Problem);
    }
    line += &when(&step.wait, look);
    let dead = step.wait.nothing;
    let role = if dead { Role::Problem } else { Role::Plain };
    if dead {
        line = format!("{} {line}", glyph::PROBLEM);
    }
    (line, role)
}

/// One step up: who waits, and for what of it.
pub fn up(step: &AwaitStep, look: &Look) -> Line {
    let for_its_end = step.wait.target == step.on.map(crate::store::Goto::Task);
    let what = if for_its_end {
        "for its end".to_owned()
    } else {
        format!("for {}", words(&step.wait, look))
    };
    let line = format!("{}↑ {} {} waits {what}", indent(step), step.task, step.name);
    let when = when(&step.wait, look);
    if step.ring {
        return (
            format!("{line}  {} {RING}{when}", glyph::PROBLEM),
            Role::Problem,
        );
    }
    (line + &when, Role::Dim)
}

pub(super) fn lines(d: &TaskDetail, look: &Look) -> Vec<Line> {
    if let Some(ended) = &d.row.ended {
        return vec![(
            format!(
                "Nothing: it {} {} ago.",
                match ended.outcome.as_str() {
                    passive @ ("cancelled" | "dropped") => format!("was {passive}"),
                    other => other.to_owned(),
                },
                fmt::span(look.ago(ended.at_ns))
            ),
            Role::Plain,
        )];
    }
    let mut out: Vec<Line> = d.awaits.iter().map(|step| down(step, look)).collect();
    if out.is_empty() {
        let wait = d.row.wait.as_ref();
        out.push(match (d.row.state, wait) {
            (TaskState::Run, _) => ("Nothing: it runs.".into(), Role::Plain),
            (TaskState::Ready, _) => ("Only its turn: it was woken.".into(), Role::Plain),
            (_, Some(wait)) if wait.nothing => {
                let text = words(wait, look);
                (format!("{} {text}", glyph::PROBLEM), Role::Problem)
            }
            _ => (
                "Not known: nothing of this runtime holds its waker.".into(),
                Role::Plain,
            ),
        });
    }
    out.extend(d.awaited_by.iter().map(|step| up(step, look)));
    for (cut, what) in [(d.awaits_cut, "steps down"), (d.awaited_by_cut, "steps up")] {
        if cut > 0 {
            out.push((
                format!("{} or more {what} are not listed", fmt::count(cut)),
                Role::Dim,
            ));
        }
    }
    // The row counts what it waited for in its last poll; some of it may be told nowhere.
    let mut told: Vec<_> = d.awaits.iter().filter(|step| step.depth == 1).collect();
    // Several may have to act for one wait: there is a step each.
    told.dedup_by(|next, step| next.wait == step.wait);
    let told = told.len() as u64;
    let hidden = (d.row.more_waits + 1).saturating_sub(told);
    if d.row.more_waits > 0 && hidden > 0 && d.awaits_cut == 0 {
        out.push((
            format!(
                "and {}",
                fmt::many(hidden, "more wait").replace("waits", "waits that no table tells of")
            ),
            Role::Dim,
        ));
    }
    out
}

/// The row that the line of that number leads to.
pub(super) fn target(d: &TaskDetail, line: usize) -> Option<crate::store::Goto> {
    // Where nothing is waited for, one line says so.
    let down = d.awaits.len().max(1);
    match d.awaits.get(line) {
        Some(step) => step.target(),
        None => {
            let up = d.awaited_by.get(line.checked_sub(down)?)?;
            Some(crate::store::Goto::Task(up.task))
        }
    }
}
