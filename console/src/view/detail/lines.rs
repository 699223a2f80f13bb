//! The panels of a task that are lines of text.

use super::super::columns::{self, Look, job_state, subject};
use super::super::theme::Role;
use super::super::{explain, fmt, glyph};
use super::Line;
use crate::store::{Finding, TaskDetail, is_problem_name};

pub(super) fn findings(d: &TaskDetail, look: &Look) -> Vec<Line> {
    let mut out = Vec::new();
    let mut findings: Vec<&Finding> = d.findings.iter().collect();
    // The surest first, as everywhere.
    findings.sort_by_key(|f| f.grade);
    for f in findings {
        let (sign, role) = if f.is_problem() || is_problem_name(&f.name) {
            (glyph::PROBLEM, Role::Problem)
        } else {
            (glyph::WARNING, Role::Warning)
        };
        out.push((
            format!(
                "{sign} {}  {} for {}",
                f.name,
                f.grade.word(),
                fmt::span(look.ago(f.since_ns))
            ),
            role,
        ));
        out.extend(
            f.evidence
                .iter()
                .map(|fact| (format!("  {fact}"), Role::Plain)),
        );
        if !f.place.is_empty() {
            out.push((
                format!("  {} {}", fmt::place(&f.place), subject(f)),
                Role::Plain,
            ));
        }
        if let Some(text) = explain::of(&f.name) {
            out.push((format!("  Try: {}", text.fix), Role::Plain));
        }
    }
    if out.is_empty() {
        out.push((
            "Nothing is wrong with it, as far as the rules can tell.".into(),
            Role::Plain,
        ));
    }
    out
}

/// The log lines of a task, newest first.
pub(super) fn log(d: &TaskDetail, look: &Look) -> Vec<Line> {
    d.logs
        .iter()
        .rev()
        .map(|line| {
            let role = match line.level.as_str() {
                "ERROR" => Role::Problem,
                "WARN" => Role::Warning,
                _ => Role::Plain,
            };
            let ago = fmt::span(look.ago(line.at_ns));
            let text = format!("{} {ago} ago {}: {}", line.level, line.target, line.text);
            (text, role)
        })
        .collect()
}

fn children(n: u64) -> String {
    if n == 1 {
        "1 child".to_owned()
    } else {
        format!("{} children", fmt::count(n))
    }
}

pub(super) fn task(d: &TaskDetail, look: &Look) -> Vec<Line> {
    let r = &d.row;
    // Who asked has a line of its own.
    let cancel = match (r.cancel_asked, r.cancel_asked_ns) {
        (true, Some(ns)) => format!("asked {} ago", fmt::span(look.ago(ns))),
        (true, None) => "asked".to_owned(),
        _ => "not asked".to_owned(),
    };
    let mut out: Vec<Line> = Vec::new();
    match &r.ended {
        Some(e) => {
            let taken = if e.taken {
                "result taken"
            } else {
                "result not taken"
            };
            out.push((
                format!(
                    "DONE: {} {} ago · {taken}",
                    e.outcome,
                    fmt::span(look.ago(e.at_ns))
                ),
                Role::Head,
            ));
            if !e.error.is_empty() {
                out.push((format!("error: {}", e.error), Role::Plain));
            }
        }
        None => out.push((
            format!(
                "{} on loop {} for {} · {} · cancel {cancel}",
                r.state.word(),
                r.loop_id,
                fmt::span(r.for_ns),
                r.kind
            ),
            Role::Head,
        )),
    }
    if let Some(cancel) = &d.cancel {
        let line = super::cancel(cancel, look);
        out.push((format!("cancel {line}"), Role::Plain));
    }
    let parent = r.parent.map_or_else(
        || "spawned outside any task".to_owned(),
        |id| {
            let name = d
                .parents
                .first()
                .filter(|t| t.id == id)
                .map_or("", |t| t.name.as_str());
            format!("parent {id} {name}")
        },
    );
    out.push((
        format!(
            "{parent} · {} · alive {}",
            children(d.children_total),
            fmt::span(look.ago(r.spawned_ns))
        ),
        Role::Plain,
    ));
    let since_start = look.ago(r.spawned_ns).max(1);
    let of = |ns: u64| fmt::percent(ns as f64 / since_start as f64);
    out.push((
        format!(
            "since its spawn: busy {} ({})  ready {} ({})",
            of(r.busy_ns),
            fmt::span(r.busy_ns),
            of(r.scheduled_ns),
            fmt::span(r.scheduled_ns)
        ),
        Role::Plain,
    ));
    if let Some(share) = d.busy.as_ref().and_then(|s| s.share(look.at_ns)) {
        let ready = d
            .ready
            .as_ref()
            .and_then(|s| s.share(look.at_ns))
            .map_or_else(String::new, |s| format!("  ready {}", fmt::percent(s)));
        out.push((
            format!(
                "last {}: busy {}{ready}",
                fmt::span(d.busy.as_ref().map_or(0, |s| s.covered_ns(look.at_ns))),
                fmt::percent(share)
            ),
            Role::Plain,
        ));
    }
    let woken = columns::woken(r, look);
    let by = by_cause(d, look);
    let loose = if r.detached { " · detached" } else { "" };
    out.push((
        format!(
            "{}, longest {} · {}, {} by itself · {woken}",
            fmt::many(r.polls, "poll"),
            fmt::span(r.max_poll_ns),
            fmt::many(r.wakes, "wake"),
            fmt::count(r.self_wakes)
        ),
        Role::Plain,
    ));
    if let Some(by) = by {
        out.push((by, Role::Plain));
    }
    out.push((
        format!(
            "{} · {}{loose}{}",
            fmt::many(r.wakers, "waker"),
            fmt::many(r.handles, "handle"),
            r.future_bytes
                .map_or_else(String::new, |b| format!(" · future {}", fmt::bytes(b)))
        ),
        Role::Plain,
    ));
    if !d.variables.is_empty() {
        let names = d.variables.join(", ");
        out.push((format!("context variables: {names}"), Role::Plain));
    }
    out
}

/// What woke it, by cause, since somebody looks.
pub fn by_cause(d: &TaskDetail, look: &Look) -> Option<String> {
    // A poll without a wake is an app that does not tell them apart.
    let polls = d
        .polls
        .as_ref()
        .filter(|polls| polls.count == 0 || !d.woken_by.is_empty())?;
    let all = d
        .woken_by
        .iter()
        .fold(0_u64, |sum, by| sum.saturating_add(by.1));
    let counts = d.woken_by.iter().map(|(cause, count)| {
        let share = fmt::percent(*count as f64 / all.max(1) as f64);
        format!("{cause} {} ({share})", fmt::count(*count))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let counts = if counts.is_empty() { "nobody" } else { &counts };
    Some(format!(
        "woken in the last {} by {counts}",
        fmt::span(look.ago(polls.since_ns))
    ))
}

pub(super) fn family(d: &TaskDetail) -> Vec<Line> {
    let mut out: Vec<Line> = d
        .parents
        .iter()
        .map(|t| {
            (
                format!("↑ {} {} {}", t.id, t.name, t.state.word()),
                Role::Plain,
            )
        })
        .collect();
    out.extend(d.children.iter().map(|t| {
        (
            format!("  {} {} {}", t.id, t.name, t.state.word()),
            Role::Plain,
        )
    }));
    let hidden = d.children_total.saturating_sub(d.children.len() as u64);
    if hidden > 0 {
        out.push((
            format!(
                "{} more children: filter tasks by parent={}",
                fmt::count(hidden),
                d.row.id
            ),
            Role::Dim,
        ));
    }
    if out.is_empty() {
        out.push(("Neither parents nor live children.".into(), Role::Plain));
    }
    out
}

pub(super) fn holds(d: &TaskDetail, look: &Look) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    for t in &d.timers {
        let due = match t.due_ns.checked_sub(look.at_ns) {
            Some(left) => format!("in {}", fmt::span(left)),
            None => format!("late by {}", fmt::span(look.at_ns - t.due_ns)),
        };
        out.push((
            format!("timer {} {} {due}  {}", t.id, t.kind, fmt::place(&t.set_at)),
            Role::Plain,
        ));
    }
    for s in &d.io {
        let fd = s.fd.map_or_else(String::new, |fd| format!(" fd {fd}"));
        let peer = match &s.pipe {
            Some(pipe) => pipe.words(),
            None => s.peer.clone(),
        };
        out.push((
            format!("io{fd} {} {} {peer}", s.kind, s.interest),
            Role::Plain,
        ));
    }
    for r in &d.resources {
        let held = if r.holder == Some(d.row.id) {
            "holds"
        } else {
            "made"
        };
        out.push((
            format!(
                "{held} {} {} {} {}  {}",
                r.kind,
                r.id,
                r.name,
                r.state,
                fmt::place(&r.place)
            ),
            Role::Plain,
        ));
    }
    for j in &d.jobs {
        out.push((
            format!(
                "job {} {} {} for {}",
                j.id,
                j.name,
                job_state(j).0,
                fmt::span(look.ago(j.started_ns.unwrap_or(j.queued_ns)))
            ),
            Role::Plain,
        ));
    }
    for c in &d.processes {
        out.push((
            format!("child {} {} {}", c.pid, c.program, c.state()),
            Role::Plain,
        ));
    }
    if out.is_empty() {
        out.push((
            "No timer, I/O source, resource, job or child process.".into(),
            Role::Plain,
        ));
    }
    out
}

pub(super) fn blocks(d: &TaskDetail, look: &Look) -> Vec<Line> {
    let mut out: Vec<Line> = d
        .blocks
        .iter()
        .map(|b| {
            if let Some(why) = columns::uncounted(b) {
                return (format!("{} {why}", look.time(b.at_ns)), Role::Dim);
            }
            (
                format!(
                    "{} held loop {} for {}  {} {}",
                    look.time(b.at_ns),
                    b.loop_id,
                    fmt::span(b.for_ns),
                    fmt::place(&b.place),
                    b.function
                ),
                Role::Plain,
            )
        })
        .collect();
    if let Some(last) = d.blocks.iter().find(|b| !b.stack.is_empty()) {
        let moments: Vec<String> = last
            .samples
            .iter()
            .map(|s| format!("+{}", fmt::span(s.at_ns.saturating_sub(last.at_ns))))
            .collect();
        out.push((
            format!(
                "the stack of the one at {}: {} ({})",
                look.time(last.at_ns),
                last.agreement(),
                moments.join(", ")
            ),
            Role::Head,
        ));
        let frames = last.stack.iter().filter(|f| !f.function.is_empty());
        out.extend(frames.map(|f| {
            let role = if f.culprit || f.yours {
                Role::Head
            } else {
                Role::Dim
            };
            (format!("  {} {}", f.function, fmt::place(&f.place)), role)
        }));
    }
    // Without any stack: why, of the last one.
    let without = d.blocks.iter().all(|b| b.no_stack_words().is_some());
    if let (true, Some(last)) = (without, d.blocks.first()) {
        let why = last.no_stack_words().unwrap_or_default();
        let at = look.time(last.at_ns);
        out.push((format!("the one at {at}: {why}"), Role::Dim));
    }
    if out.is_empty() {
        out.push(("None that are still kept.".into(), Role::Plain));
    }
    out
}
