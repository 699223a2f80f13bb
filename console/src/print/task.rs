//! All that is known of one task, for people and for scripts.

use serde_json::{Value, json};

use crate::print::json::{Clock, SCHEMA, app_of, block, frame, line, waiting};
use crate::print::{Out, safe, tree};
use crate::store::{Hello, Histogram, TaskDetail, TaskRow};
use crate::view::columns::{Look, waiting_on};
use crate::view::detail::lines::by_cause;
use crate::view::detail::{cancel as cancel_line, stack};
use crate::view::fmt;

fn place(place: &str) -> &str {
    if place.is_empty() { "not known" } else { place }
}

/// Lines of `label  value`, then what it waits for, what is wrong with it, who spawned it and whom it spawned.
pub fn text(detail: &TaskDetail, look: &Look, out: Out) -> String {
    let row = &detail.row;
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut add = |label: &str, value: String| lines.push((label.to_owned(), value));
    add("task", format!("{} {}", row.id, row.name));
    add(
        "state",
        format!("{} for {}", row.state.word(), fmt::span(row.for_ns)),
    );
    add("kind", row.kind.clone());
    add("loop", row.loop_id.to_string());
    add(
        "spawned",
        format!(
            "{} ago at {}",
            fmt::span(look.ago(row.spawned_ns)),
            place(&row.spawned_at)
        ),
    );
    if detail.waits.len() < 2 {
        let label = if row.ended.is_some() {
            "ended"
        } else {
            "waits for"
        };
        add(label, waiting_on(row, look).0);
    }
    // Every arm of a `select!`.
    for wait in detail.waits.iter().filter(|_| detail.waits.len() > 1) {
        let due = wait
            .due_ns
            .and_then(|due| due.checked_sub(look.at_ns))
            .map_or_else(String::new, |left| format!(" in {}", fmt::span(left)));
        add("waits for", format!("{}{due}", waiting(wait)));
    }
    if !row.waiting_at.is_empty() {
        add("awaits at", fmt::place(&row.waiting_at).into_owned());
    }
    add(
        "polls",
        format!(
            "{}, {} in all, the longest {}",
            fmt::count(row.polls),
            fmt::span(row.busy_ns),
            fmt::span(row.max_poll_ns)
        ),
    );
    let woken = match row.wakes {
        0 => "none since its spawn".to_owned(),
        wakes => format!(
            "{}, {} of them by itself{}",
            fmt::count(wakes),
            fmt::count(row.self_wakes),
            if row.woken_by.is_empty() {
                String::new()
            } else {
                format!(", the last by {}", row.woken_by)
            }
        ),
    };
    add("wakes", woken);
    if let Some(by) = by_cause(detail, look) {
        add("", by);
    }
    add(
        "held by",
        format!(
            "{}, {}",
            fmt::many(row.wakers, "waker"),
            fmt::many(row.handles, "handle")
        ),
    );
    match &detail.cancel {
        Some(cancel) => add("cancel", cancel_line(cancel, look)),
        None if row.cancel_asked => add("cancel", "was requested".to_owned()),
        None => {}
    }
    if !detail.variables.is_empty() {
        add("variables", detail.variables.join(", "));
    }
    for (label, histogram) in [
        ("poll times", &detail.polls),
        ("ready times", &detail.scheduled),
    ] {
        // They are kept from the moment somebody looks: mostly there was no poll since.
        if let Some(h) = histogram.as_ref().filter(|h| h.count > 0) {
            add(label, quantiles(h));
        }
    }
    if let Some(b) = &detail.blocking {
        add(
            "BLOCKS",
            format!(
                "its loop for {} now, at {}",
                fmt::span(b.for_ns),
                place(&b.place)
            ),
        );
    }
    // One wait is told above already; a tree, or who waits for it, is not.
    if detail.awaits.len() + detail.awaited_by.len() > 1 || !detail.awaited_by.is_empty() {
        for step in tree::steps(detail, look) {
            add("awaits", step);
        }
    }
    for (text, _) in stack::frames(&detail.awaiting.stack, false, usize::MAX) {
        add("await stack", text);
    }
    let how = stack::how(detail, look);
    if !how.is_empty() {
        add("await stack", format!("({how})"));
    }
    for (text, _) in stack::frames(&detail.spawn_stack, false, usize::MAX) {
        add("spawned in", text);
    }
    if detail.spawn_stack.is_empty() && !detail.spawn_why.is_empty() {
        add("spawned in", format!("(no stack: {})", detail.spawn_why));
    }
    for finding in &detail.findings {
        let facts = finding.evidence.join("; ");
        add(
            "finding",
            format!("{} ({}): {facts}", finding.name, finding.grade.word()),
        );
    }
    let related = |t: &TaskRow| format!("{} {} {}", t.id, t.state.word(), t.name);
    for parent in &detail.parents {
        let place = place(&parent.spawned_at);
        add("parent", format!("{}, spawned at {place}", related(parent)));
    }
    for child in &detail.children {
        add("child", related(child));
    }
    let unlisted = detail
        .children_total
        .saturating_sub(detail.children.len() as u64);
    if unlisted > 0 {
        add("children", format!("{} more", fmt::count(unlisted)));
    }
    lines
        .into_iter()
        .map(|(label, value)| format!("{label:<11} {}\n", safe(&value, out.ascii)))
        .collect()
}

fn quantiles(h: &Histogram) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, max {} of {}",
        fmt::span(h.p50_ns),
        fmt::span(h.p90_ns),
        fmt::span(h.p99_ns),
        fmt::span(h.max_ns),
        fmt::count(h.count)
    )
}

/// One document, on one line.
pub fn json(detail: &TaskDetail, hello: &Hello) -> String {
    let clock = Clock {
        hello,
        at_ns: detail.at_ns,
    };
    let histogram = |h: &Option<Histogram>| {
        h.as_ref().map_or(Value::Null, |h| {
            json!({"count": h.count, "p50_ns": h.p50_ns, "p90_ns": h.p90_ns, "p99_ns": h.p99_ns, "max_ns": h.max_ns})
        })
    };
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let tasks = |rows: &[TaskRow]| rows.iter().map(|t| clock.task(t)).collect::<Vec<_>>();
    line(&json!({
        "schema": SCHEMA,
        "app": app_of(hello),
        "at_ns": detail.at_ns,
        "task": clock.task(&detail.row),
        "waits": detail.waits.iter().map(|w| json!({
            "waiting_on": waiting(w), "waiting_at": Some(&w.place).filter(|p| !p.is_empty()),
            "subject": w.target.map(|to| { let (kind, id) = to.named(); json!({"kind": kind, "id": id}) }),
            "holder": w.holder, "for_ns": w.since_ns.map(|ns| detail.at_ns.saturating_sub(ns)),
        })).collect::<Vec<_>>(),
        "parents": tasks(&detail.parents),
        "children": tasks(&detail.children),
        "children_total": detail.children_total,
        "findings": detail.findings.iter().map(|f| clock.finding(f)).collect::<Vec<_>>(),
        "poll": histogram(&detail.polls),
        "scheduled": histogram(&detail.scheduled),
        "woken_by": detail.woken_by.iter().map(|(cause, count)| json!({"cause": cause, "count": count})).collect::<Vec<_>>(),
        "blocking": detail.blocking.as_ref().map(block),
        "blocks": detail.blocks.iter().map(block).collect::<Vec<_>>(),
        "joined_by": detail.joined_by,
        "awaits": detail.awaits.iter().map(|s| tree::step(s, detail.at_ns)).collect::<Vec<_>>(),
        "awaited_by": detail.awaited_by.iter().map(|s| tree::step(s, detail.at_ns)).collect::<Vec<_>>(),
        "timers": detail.timers.iter().map(|t| clock.timer(t)).collect::<Vec<_>>(),
        "io": detail.io.iter().map(|s| clock.io(s)).collect::<Vec<_>>(),
        "resources": detail.resources.iter().map(|r| clock.resource(r)).collect::<Vec<_>>(),
        "jobs": detail.jobs.iter().map(|j| clock.job(j)).collect::<Vec<_>>(),
        "processes": detail.processes.iter().map(|c| clock.child(c)).collect::<Vec<_>>(),
        "cancel": detail.cancel.as_ref().map(|c| json!({
            "first_at_ns": c.first_at_ns, "at_ns": c.at_ns, "times": c.times,
            "by": Some(&c.by).filter(|t| !t.is_empty()),
            "place": Some(&c.place).filter(|t| !t.is_empty()),
            "message": Some(&c.message).filter(|t| !t.is_empty()),
        })),
        "await_stack": detail.awaiting.stack.iter().map(|f| {
            let mut frame = frame(f);
            frame["awaited_by"] = json!(Some(f.awaited_by).filter(|by| *by != 0));
            frame
        }).collect::<Vec<_>>(),
        "await_how": some(&detail.awaiting.how),
        "await_why": some(&detail.awaiting.why),
        "await_asked": detail.awaiting.asked,
        "await_at_ns": Some(detail.awaiting.at_ns).filter(|ns| *ns != 0),
        "await_took_ns": Some(detail.awaiting.took_ns).filter(|ns| *ns != 0),
        "spawn_stack": detail.spawn_stack.iter().map(frame).collect::<Vec<_>>(),
        "spawn_why": some(&detail.spawn_why),
        "variables": detail.variables,
        "logs": detail.logs.iter().map(|line| json!({
            "at_ns": line.at_ns, "level": line.level, "target": line.target, "text": line.text,
        })).collect::<Vec<_>>(),
    }))
}
