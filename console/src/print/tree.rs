//! The await trees of an app: each task that nobody waits for, and below it what it waits for.

use serde_json::{Value, json};

use crate::print::json::{SCHEMA, app_of, line, text, waiting};
use crate::print::{Out, safe};
use crate::store::{AwaitStep, Hello, TaskDetail};
use crate::view::columns::Look;
use crate::view::detail::awaits;
use crate::view::fmt;

/// Trees in the order in which they were read; `left`: tasks that were not.
pub fn trees(of: &[TaskDetail], left: u64, look: &Look, out: Out) -> String {
    let mut lines: Vec<String> = Vec::new();
    for detail in of {
        let row = &detail.row;
        lines.push(format!("{} {} {}", row.id, row.name, row.state.word()));
        lines.extend(
            steps(detail, look)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
    }
    if left > 0 {
        lines.push(format!(
            "{} not read: choose with --filter, or one with --of ID",
            fmt::many(left, "more task")
        ));
    }
    if lines.is_empty() {
        lines.push("No tasks match.".to_owned());
    }
    lines
        .into_iter()
        .map(|line| safe(&line, out.ascii).trim_end().to_owned() + "\n")
        .collect()
}

/// One tree's steps, down and then up.
pub fn steps(detail: &TaskDetail, look: &Look) -> Vec<String> {
    let down = detail.awaits.iter().map(|step| awaits::down(step, look).0);
    let up = detail
        .awaited_by
        .iter()
        .map(|step| awaits::up(step, look).0);
    let cut = detail.awaits_cut.saturating_add(detail.awaited_by_cut);
    let cut = (cut > 0).then(|| format!("{} or more steps are not listed", fmt::count(cut)));
    down.chain(up).chain(cut).collect()
}

/// A step for scripts.
pub fn step(step: &AwaitStep, at_ns: u64) -> Value {
    json!({
        "depth": step.depth, "task": step.task, "name": text(&step.name),
        "waiting_on": waiting(&step.wait), "waiting_at": text(&step.wait.place),
        "for_ns": step.wait.since_ns.map(|ns| at_ns.saturating_sub(ns)),
        "on_task": step.on, "on_name": text(&step.on_name), "on_state": text(&step.on_state),
        "ring": step.ring,
    })
}

/// All trees as one document, on one line.
pub fn json(of: &[TaskDetail], left: u64, hello: &Hello) -> String {
    let tree = |detail: &TaskDetail| {
        let steps = |all: &[AwaitStep]| {
            let steps = all.iter().map(|one| step(one, detail.at_ns));
            steps.collect::<Vec<_>>()
        };
        json!({
            "id": detail.row.id, "name": text(&detail.row.name), "state": detail.row.state.word(),
            "awaits": steps(&detail.awaits), "awaits_cut": detail.awaits_cut,
            "awaited_by": steps(&detail.awaited_by), "awaited_by_cut": detail.awaited_by_cut,
        })
    };
    line(&json!({
        "schema": SCHEMA, "app": app_of(hello),
        "tree": of.iter().map(tree).collect::<Vec<_>>(), "not_read": left,
    }))
}
