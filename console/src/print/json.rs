//! Rows as JSON. The names of the fields are a promise: `tests/snapshots` holds them, and they are only ever added to.

use serde_json::{Map, Value, json};

use crate::cli::What;
use crate::store::{
    App, BlockRow, Body, ChildPipe, ChildRow, Finding, Frame, Goto, Grade, Hello, IoRow, JobRow,
    LoopRow, ResourceRow, SignalRow, Standstill, TaskRow, TimerRow, Wait, Waiter,
};
use crate::transport::pages::Whole;

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
    "standstill",
    "busy_ns",
    "busy_window_ns",
    "parked_ns",
    "polls",
    "iterations",
    "blocks",
    "worst_block_ns",
    "block_budget_ns",
    "host_blocks",
    "throttled_blocks",
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
    "buffered_bytes",
    "place",
    "age_ns",
    "findings",
    "child",
];
const RESOURCE: &[&str] = &[
    "id",
    "kind",
    "name",
    "state",
    "loop",
    "holder",
    "waiters",
    "waiting",
    "value",
    "capacity",
    "owner",
    "place",
    "since",
    "holder_name",
    "held_ns",
    "oldest_wait_ns",
    "owner_name",
    "owner_gone",
    "uses",
    "contended",
    "age_ns",
    "findings",
];
const JOB: &[&str] = &[
    "id",
    "state",
    "name",
    "pool",
    "tid",
    "loop",
    "task",
    "place",
    "queued_at",
    "for_ns",
    "waiting",
    "task_name",
    "task_gone",
    "queued_ns",
    "age_ns",
    "findings",
];
const CHILD: &[&str] = &[
    "id",
    "pid",
    "program",
    "running",
    "exit_code",
    "signal",
    "loop",
    "task",
    "place",
    "started_at",
    "open_pipes",
    "waiters",
    "waiting",
    "task_name",
    "task_gone",
    "status_lost",
    "ended_at",
    "age_ns",
    "findings",
];
const SIGNAL: &[&str] = &[
    "number",
    "name",
    "loop",
    "listeners",
    "deliveries",
    "last_at",
    "place",
    "last_ns",
];
const BLOCK: &[&str] = &[
    "task",
    "name",
    "place",
    "for_ns",
    "cause",
    "stack",
    "id",
    "loop",
    "place_from",
    "function",
    "cause_reason",
    "wall_only",
    "at_most_ns",
    "budget_ns",
    "running",
    "waiting_for_cpu",
    "doing",
    "stack_missing",
    "call",
    "advice",
    "samples",
    "agreement",
    "waited",
    "waiting_now",
    "waited_worst_ns",
    "stack_note",
    "throttled_ns",
    "quota_cpus",
    "allowed_ns",
    "allowed",
    "allowed_now",
    "wall_ns",
    "counted",
    "at",
    "age_ns",
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
        What::Resources => RESOURCE,
        What::Jobs => JOB,
        What::Children => CHILD,
        What::Signals => SIGNAL,
        What::Blocks => BLOCK,
    }
}

/// A list as one document, on one line. `only`: these fields of each row; empty: all.
pub fn list(what: What, whole: &Whole, hello: &Hello, only: &[String]) -> String {
    let (body, at_ns) = (&whole.body, whole.at_ns);
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
        Body::Resources(r) => (
            r.rows.iter().map(|one| clock.resource(one)).collect(),
            r.matched,
            r.total,
        ),
        Body::Jobs(r) => (
            r.rows.iter().map(|one| clock.job(one)).collect(),
            r.matched,
            r.total,
        ),
        Body::Children(r) => (
            r.rows.iter().map(|one| clock.child(one)).collect(),
            r.matched,
            r.total,
        ),
        Body::Signals(r) => (
            r.rows.iter().map(|one| clock.signal(one)).collect(),
            r.matched,
            r.total,
        ),
        Body::Blocks(r) => (
            r.rows.iter().map(|one| clock.block(one)).collect(),
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
    document.insert("pages".into(), json!(whole.pages));
    if !whole.incomplete.is_empty() {
        document.insert("incomplete".into(), json!(whole.incomplete));
    }
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

/// Who can wake a parked loop that has nothing of its own to do so.
pub(crate) fn standstill(still: Standstill) -> Value {
    json!({
        "since_ns": still.since_ns, "nobody": still.nobody, "handles": still.handles, "threads": still.threads,
    })
}

/// One document on one line: the only line feed is at its end, and no character of it moves a terminal's cursor.
pub fn line(document: &Value) -> String {
    let mut text = loop_proto::escape::escape_json(&document.to_string()).into_owned();
    text.push('\n');
    text
}

/// Who was asked.
pub fn app_of(hello: &Hello) -> Value {
    let mut app = json!({
        "name": hello.name, "version": hello.version, "pid": hello.pid, "instance": hello.instance,
        "runtime": hello.runtime_version, "protocol": hello.protocol,
    });
    if let Some(about) = recording(hello) {
        app["recording"] = about;
    }
    app
}

/// The recording that was asked in the app's stead; `None`: the app answered.
pub fn recording(hello: &Hello) -> Option<Value> {
    let about = hello.recording.as_ref()?;
    let clock = Clock { hello, at_ns: 0 };
    Some(json!({
        "file": about.file, "process": about.stands.word(), "says": about.stands.long(), "reason": text(&about.reason),
        "following": about.following, "ended_at": about.ended_ns.and_then(|ns| clock.wall(ns)),
        "tables_at": about.snapshot_ns.and_then(|ns| clock.wall(ns)), "tables_at_ns": about.snapshot_ns,
        "last_event_at": about.last_event_ns.and_then(|ns| clock.wall(ns)), "last_event_ns": about.last_event_ns,
        "events": about.events, "overwritten": about.overwritten, "inspector_events": about.own_events,
        "since": {
            "spawned": about.since.spawned, "ended": about.since.ended, "long_polls": about.since.blocks,
        },
        "missing": about.doubts,
    }))
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
pub fn text(text: &str) -> Value {
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
    let Some((kind, id)) = finding.subject.map(Goto::named) else {
        return Value::Null;
    };
    json!({"kind": kind, "id": id, "name": text(&finding.subject_name)})
}

fn child_pipe(pipe: &ChildPipe) -> Value {
    json!({
        "id": pipe.child, "pid": pipe.pid, "program": text(&pipe.program), "stream": pipe.stream, "running": !pipe.ended,
    })
}

/// One frame of a stack.
pub fn frame(frame: &Frame) -> Value {
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
        "doing": text(&b.doing), "stack_missing": text(&b.no_stack), "call": text(&b.call), "advice": b.advice,
        "samples": b.samples.iter().map(|s| json!({
            "after_ns": s.at_ns.saturating_sub(b.at_ns), "common": s.common,
            "frames": s.frames.iter().map(frame).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "agreement": text(&b.agreement()), "waited": b.waited, "waiting_now": b.waiting_now,
        "waited_worst_ns": b.waited_worst_ns, "stack_note": text(&b.stack_note), "throttled_ns": b.throttled_ns, "quota_cpus": b.quota_cpus,
        "allowed_ns": b.allowed_ns, "allowed": (b.allowed_ns > 0).then(|| text(&b.allowed)), "allowed_now": b.allowed_now,
        "wall_ns": b.wall_ns, "counted": !b.is_uncounted(),
    })
}

fn event_loop(l: &LoopRow) -> Value {
    json!({
        "id": l.id, "name": l.name, "thread": text(&l.thread), "state": l.state, "tasks": l.tasks, "ready": l.ready,
        "busy_ratio": l.busy, "lag_ns": {"p50": l.lag_p50_ns, "p99": l.lag_p99_ns, "max": l.lag_max_ns},
        "blocked": l.blocked.as_ref().map(block), "standstill": l.standstill.map(standstill), "busy_ns": l.busy_ns, "busy_window_ns": l.busy_window_ns,
        "parked_ns": l.parked_ns, "polls": l.polls, "iterations": l.iterations, "blocks": l.blocks,
        "worst_block_ns": (l.blocks > 0).then_some(l.worst_block_ns), "block_budget_ns": l.budget_ns,
        "host_blocks": l.host_blocks, "throttled_blocks": l.throttled_blocks,
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

    /// A block with the moment at which it began.
    fn block(&self, b: &BlockRow) -> Value {
        let mut value = block(b);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("at".to_owned(), json!(self.wall(b.at_ns)));
            fields.insert("age_ns".to_owned(), json!(self.age(b.at_ns)));
        }
        value
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

    /// A timer.
    pub fn timer(&self, t: &TimerRow) -> Value {
        json!({
            "id": t.id, "kind": t.kind, "owner": t.owner, "due_ns": self.until(t.due_ns), "late_ns": t.late_ns,
            "set_at": text(&t.set_at), "loop": t.loop_id, "owner_name": text(&t.owner_name), "owner_gone": t.owner_gone,
            "period_ns": t.every_ns, "fired": t.fired, "rearmed": t.rearmed, "age_ns": self.age(t.armed_ns),
            "has_waker": t.has_waker, "findings": t.findings,
        })
    }

    /// An I/O source.
    pub fn io(&self, s: &IoRow) -> Value {
        json!({
            "id": s.id, "fd": s.fd, "kind": s.kind, "local": text(&s.local), "peer": text(&s.peer),
            "interest": s.interest, "ready": s.ready, "task": s.task, "loop": s.loop_id, "since": self.wall(s.since_ns),
            "task_name": text(&s.task_name), "task_gone": s.task_gone, "idle_ns": s.last_ready_ns.map(|ns| self.age(ns)),
            "wakes": s.wakes, "spurious": s.spurious, "buffered_bytes": s.buffered, "place": text(&s.place), "age_ns": self.age(s.since_ns),
            "findings": s.findings, "child": s.pipe.as_ref().map(child_pipe),
        })
    }

    fn waiting(&self, waiters: &[Waiter]) -> Vec<Value> {
        waiters
            .iter()
            .map(|w| json!({
                "task": w.task, "name": text(&w.name), "for_ns": w.since_ns.map(|ns| self.age(ns)), "place": text(&w.place),
            }))
            .collect()
    }

    /// A lock, a queue, a future.
    pub fn resource(&self, r: &ResourceRow) -> Value {
        json!({
            "id": r.id, "kind": r.kind, "name": text(&r.name), "state": text(&r.state), "loop": r.loop_id,
            "holder": r.holder, "waiters": r.waiters, "waiting": self.waiting(&r.waiting), "value": r.level,
            "capacity": r.capacity, "owner": r.owner, "place": text(&r.place), "since": self.wall(r.made_ns),
            "holder_name": text(&r.holder_name), "held_ns": r.held_since_ns.map(|ns| self.age(ns)),
            "oldest_wait_ns": r.oldest_wait_ns, "owner_name": text(&r.owner_name), "owner_gone": r.owner_gone,
            "uses": r.uses, "contended": r.contended, "age_ns": self.age(r.made_ns), "findings": r.findings,
        })
    }

    /// A job.
    pub fn job(&self, j: &JobRow) -> Value {
        json!({
            "id": j.id, "state": j.state, "name": text(&j.name), "pool": text(&j.pool), "tid": j.tid, "loop": j.loop_id,
            "task": j.task, "place": text(&j.place), "queued_at": self.wall(j.queued_ns),
            "for_ns": self.age(j.started_ns.unwrap_or(j.queued_ns)), "waiting": self.waiting(&j.waiting),
            "task_name": text(&j.task_name), "task_gone": j.task_gone,
            "queued_ns": j.started_ns.map(|ns| ns.saturating_sub(j.queued_ns)), "age_ns": self.age(j.queued_ns),
            "findings": j.findings,
        })
    }

    /// A child process.
    pub fn child(&self, c: &ChildRow) -> Value {
        json!({
            "id": c.id, "pid": c.pid, "program": text(&c.program), "running": !c.ended, "exit_code": c.exit_code,
            "signal": c.signal, "loop": c.loop_id, "task": c.task, "place": text(&c.place),
            "started_at": self.wall(c.started_ns), "open_pipes": c.pipes(), "waiters": c.waiters,
            "waiting": self.waiting(&c.waiting), "task_name": text(&c.task_name), "task_gone": c.task_gone,
            "status_lost": c.status_lost, "ended_at": c.ended_ns.and_then(|ns| self.wall(ns)),
            "age_ns": self.age(c.started_ns), "findings": c.findings,
        })
    }

    fn signal(&self, s: &SignalRow) -> Value {
        json!({
            "number": s.number, "name": text(&s.name), "loop": s.loop_id, "listeners": s.listeners,
            "deliveries": s.deliveries, "last_at": s.last_ns.and_then(|ns| self.wall(ns)), "place": text(&s.place),
            "last_ns": s.last_ns.map(|ns| self.age(ns)),
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
