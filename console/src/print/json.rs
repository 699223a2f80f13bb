//! Rows as JSON. The names of the fields are a promise: `tests/snapshots` holds them, and they are only ever added to.

use serde_json::{Map, Value, json};

use crate::cli::What;
use crate::store::{
    App, BlockRow, Body, Finding, Frame, Goto, Grade, Hello, IoRow, LoopRow, TaskRow, TimerRow,
    Wait,
};

/// The number that changes when a field goes away or means something else.
pub const SCHEMA: u32 = 1;

/// Fields of an app, in `ps`.
pub const APP: &[&str] = &["pid", "name", "target", "up_ns", "loops", "worst"];

const TASK: &[&str] = &[
    "id",
    "name",
    "kind",
    "state",
    "loop",
    "parent",
    "spawned_at",
    "waiting_on",
    "waiting_at",
    "for_ns",
    "polls",
    "busy_ns",
    "max_poll_ns",
    "wakes",
    "detached",
    "findings",
    "age_ns",
    "scheduled_ns",
    "self_wakes",
    "wakers",
    "handles",
    "children",
    "cancel_requested",
    "future_bytes",
    "woken_by",
    "outcome",
    "error",
];
const LOOP: &[&str] = &[
    "id",
    "name",
    "thread",
    "state",
    "tasks",
    "ready",
    "busy_ratio",
    "lag_ns",
    "blocked",
    "busy_ns",
    "busy_window_ns",
    "parked_ns",
    "polls",
    "iterations",
    "blocks",
    "worst_block_ns",
    "block_budget_ns",
    "timers",
    "sources",
    "backend",
];
const TIMER: &[&str] = &[
    "id",
    "kind",
    "owner",
    "due_ns",
    "late_ns",
    "set_at",
    "loop",
    "owner_name",
    "owner_gone",
    "period_ns",
    "fired",
    "rearmed",
    "age_ns",
    "has_waker",
    "findings",
];
const IO: &[&str] = &[
    "id",
    "fd",
    "kind",
    "local",
    "peer",
    "interest",
    "ready",
    "task",
    "loop",
    "since",
    "task_name",
    "task_gone",
    "idle_ns",
    "wakes",
    "spurious",
    "place",
    "age_ns",
    "findings",
];
const LEAK: &[&str] = &[
    "name",
    "grade",
    "subject",
    "place",
    "count",
    "evidence",
    "since",
    "id",
    "loop",
    "fingerprint",
    "user",
    "age_ns",
    "measured_ns",
    "limit_ns",
];

/// The fields of a row of a list, those that scripts were promised first.
pub fn fields(what: What) -> &'static [&'static str] {
    match what {
        What::Tasks => TASK,
        What::Loops => LOOP,
        What::Timers => TIMER,
        What::Io => IO,
        What::Leaks => LEAK,
    }
}

/// A list as one document, on one line. `only`: these fields of each row; empty: all.
pub fn list(what: What, body: &Body, hello: &Hello, at_ns: u64, only: &[String]) -> String {
    let clock = Clock { hello, at_ns };
    let (rows, matched, total) = match body {
        Body::Tasks(r) => (
            r.rows.iter().map(|t| clock.task(t)).collect(),
            r.matched,
            r.total,
        ),
        Body::Loops(r) => (r.rows.iter().map(event_loop).collect(), r.matched, r.total),
        Body::Timers(r) => (
            r.rows.iter().map(|t| clock.timer(t)).collect(),
            r.matched,
            r.total,
        ),
        Body::Io(r) => (
            r.rows.iter().map(|s| clock.io(s)).collect(),
            r.matched,
            r.total,
        ),
        Body::Findings(r) | Body::Leaks(r) => (
            r.rows.iter().map(|f| clock.finding(f)).collect(),
            r.matched,
            r.total,
        ),
        _ => (Vec::new(), 0, 0),
    };
    let rows: Vec<Value> = rows.into_iter().map(|row| keep(row, only)).collect();
    let mut document = Map::new();
    document.insert("schema".into(), json!(SCHEMA));
    document.insert("app".into(), app_of(hello));
    document.insert("at".into(), json!(clock.wall(at_ns)));
    document.insert("at_ns".into(), json!(at_ns));
    document.insert("total".into(), json!(total));
    document.insert("matched".into(), json!(matched));
    document.insert(what.word().into(), Value::Array(rows));
    line(&Value::Object(document))
}

/// The apps that can be attached to.
pub fn apps(apps: &[App], only: &[String]) -> String {
    let rows: Vec<Value> = apps
        .iter()
        .map(|a| {
            let up_ns = a.up.map(|up| u64::try_from(up.as_nanos()).unwrap_or(u64::MAX));
            keep(
                json!({"pid": a.pid, "name": a.name, "target": a.target, "up_ns": up_ns, "loops": a.loops, "worst": a.worst}),
                only,
            )
        })
        .collect();
    line(&json!({"schema": SCHEMA, "ps": rows}))
}

/// One document on one line: the only line feed is at its end, and no character of it moves a terminal's cursor.
pub fn line(document: &Value) -> String {
    let mut text = loop_proto::escape::escape_json(&document.to_string()).into_owned();
    text.push('\n');
    text
}

/// Who was asked.
pub fn app_of(hello: &Hello) -> Value {
    json!({
        "name": hello.name, "version": hello.version, "pid": hello.pid, "instance": hello.instance,
        "runtime": hello.runtime_version, "protocol": hello.protocol,
    })
}

fn keep(row: Value, only: &[String]) -> Value {
    match row {
        Value::Object(mut all) if !only.is_empty() => Value::Object(
            only.iter()
                .map(|name| (name.clone(), all.remove(name).unwrap_or_default()))
                .collect(),
        ),
        row => row,
    }
}

/// `null` for a text that is not known.
fn text(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        json!(text)
    }
}

/// What a task waits for, in words; the time left is not among them: it changes by itself.
pub fn waiting(wait: &Wait) -> String {
    if wait.nothing {
        return "nothing can wake it".to_owned();
    }
    format!("{} {}", wait.kind, wait.what).trim().to_owned()
}

/// The word of a grade, as filters and the gate have it.
pub fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Certain => "certain",
        Grade::LeftBehind => "left-behind",
        Grade::Suspect => "suspect",
        Grade::Warning => "warning",
    }
}

/// What a finding is about.
pub fn subject(finding: &Finding) -> Value {
    let (kind, id) = match finding.subject {
        Some(Goto::Task(id)) => ("task", id),
        Some(Goto::Timer(id)) => ("timer", id),
        Some(Goto::Io(id)) => ("source", id),
        Some(Goto::Loop(id)) => ("loop", id),
        Some(Goto::Block(id)) => ("block", id),
        None => return Value::Null,
    };
    json!({"kind": kind, "id": id, "name": text(&finding.subject_name)})
}

fn frame(frame: &Frame) -> Value {
    json!({
        "function": text(&frame.function), "place": text(&frame.place), "kind": text(&frame.kind),
        "culprit": frame.culprit, "module": text(&frame.module), "offset": frame.offset,
    })
}

/// A block, running or over.
pub fn block(b: &BlockRow) -> Value {
    json!({
        "task": b.task, "name": text(&b.name), "place": text(&b.place), "for_ns": b.for_ns,
        "cause": if b.cause.is_empty() { "unknown" } else { &b.cause },
        "stack": b.stack.iter().map(frame).collect::<Vec<_>>(),
        "id": b.id, "loop": b.loop_id, "place_from": text(&b.place_from), "function": text(&b.function),
        "cause_reason": text(&b.cause_reason), "wall_only": b.wall_only, "at_most_ns": b.at_most_ns,
        "budget_ns": b.budget_ns, "running": b.running, "waiting_for_cpu": b.waiting_for_cpu,
        "doing": text(&b.doing), "stack_missing": text(&b.no_stack),
    })
}

fn event_loop(l: &LoopRow) -> Value {
    json!({
        "id": l.id, "name": l.name, "thread": text(&l.thread), "state": l.state, "tasks": l.tasks, "ready": l.ready,
        "busy_ratio": l.busy, "lag_ns": {"p50": l.lag_p50_ns, "p99": l.lag_p99_ns, "max": l.lag_max_ns},
        "blocked": l.blocked.as_ref().map(block), "busy_ns": l.busy_ns, "busy_window_ns": l.busy_window_ns,
        "parked_ns": l.parked_ns, "polls": l.polls, "iterations": l.iterations, "blocks": l.blocks,
        "worst_block_ns": (l.blocks > 0).then_some(l.worst_block_ns), "block_budget_ns": l.budget_ns,
        "timers": l.timers, "sources": l.sources, "backend": text(&l.backend),
    })
}

/// The app's clock at the answer, and how it becomes the wall's.
pub struct Clock<'a> {
    pub hello: &'a Hello,
    pub at_ns: u64,
}

impl Clock<'_> {
    /// A moment of the app's clock as RFC 3339, in UTC; `null` when the anchor makes no sense.
    pub fn wall(&self, app_ns: u64) -> Option<String> {
        let ns =
            i128::from(self.hello.now_unix_ns) - i128::from(self.hello.now_ns) + i128::from(app_ns);
        jiff::Timestamp::from_nanosecond(ns)
            .ok()
            .map(|t| t.to_string())
    }

    fn age(&self, then_ns: u64) -> u64 {
        self.at_ns.saturating_sub(then_ns)
    }

    /// From the answer to a moment; negative when it is past.
    fn until(&self, then_ns: u64) -> i64 {
        let ns = i128::from(then_ns) - i128::from(self.at_ns);
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// A task.
    pub fn task(&self, t: &TaskRow) -> Value {
        let ended = t.ended.as_ref();
        json!({
            "id": t.id, "name": text(&t.name), "kind": t.kind, "state": t.state.word(), "loop": t.loop_id,
            "parent": t.parent, "spawned_at": text(&t.spawned_at), "waiting_on": t.wait.as_ref().map(waiting),
            "waiting_at": text(&t.waiting_at), "for_ns": t.for_ns, "polls": t.polls, "busy_ns": t.busy_ns,
            "max_poll_ns": t.max_poll_ns, "wakes": t.wakes, "detached": t.detached, "findings": t.findings,
            "age_ns": self.age(t.spawned_ns), "scheduled_ns": t.scheduled_ns, "self_wakes": t.self_wakes,
            "wakers": t.wakers, "handles": t.handles, "children": t.kids, "cancel_requested": t.cancel_asked,
            "future_bytes": t.future_bytes, "woken_by": text(&t.woken_by),
            "outcome": ended.map(|e| &e.outcome), "error": ended.map_or(Value::Null, |e| text(&e.error)),
        })
    }

    fn timer(&self, t: &TimerRow) -> Value {
        json!({
            "id": t.id, "kind": t.kind, "owner": t.owner, "due_ns": self.until(t.due_ns), "late_ns": t.late_ns,
            "set_at": text(&t.set_at), "loop": t.loop_id, "owner_name": text(&t.owner_name), "owner_gone": t.owner_gone,
            "period_ns": t.every_ns, "fired": t.fired, "rearmed": t.rearmed, "age_ns": self.age(t.armed_ns),
            "has_waker": t.has_waker, "findings": t.findings,
        })
    }

    fn io(&self, s: &IoRow) -> Value {
        json!({
            "id": s.id, "fd": s.fd, "kind": s.kind, "local": text(&s.local), "peer": text(&s.peer),
            "interest": s.interest, "ready": s.ready, "task": s.task, "loop": s.loop_id, "since": self.wall(s.since_ns),
            "task_name": text(&s.task_name), "task_gone": s.task_gone, "idle_ns": s.last_ready_ns.map(|ns| self.age(ns)),
            "wakes": s.wakes, "spurious": s.spurious, "place": text(&s.place), "age_ns": self.age(s.since_ns),
            "findings": s.findings,
        })
    }

    /// A finding.
    pub fn finding(&self, f: &Finding) -> Value {
        json!({
            "name": f.name, "grade": grade(f.grade), "subject": subject(f), "place": text(&f.place), "count": f.count,
            "evidence": f.evidence, "since": self.wall(f.since_ns), "id": f.id, "loop": f.loop_id,
            "fingerprint": text(&f.fingerprint), "user": f.user, "age_ns": self.age(f.since_ns),
            "measured_ns": f.measured_ns, "limit_ns": f.limit_ns,
        })
    }
}
