//! The commands that have the app do something, and those that tell what can be switched and what all
//! of it costs. Each asks for the role it needs. Knows no screen.

use std::time::Duration;

use loop_proto::escape::escape;
use loop_proto::pb;
use serde_json::{Value, json};

use crate::cli::{Do, Global};
use crate::commands::{leave_on_interrupt, not_answered, open, options, said};
use crate::exit::{Exit, Failure};
use crate::print::json::{SCHEMA, line};
use crate::print::safe;
use crate::store::control::{Answer, Became};
use crate::store::{Body, Cost, Hello, Kept, Loss, Recorded, Table};
use crate::transport::address::Target;
use crate::transport::connect::Connector;
use crate::transport::discover::Places;
use crate::transport::on_loop;
use crate::transport::pages::{self, Question, Reader, Whole};
use crate::transport::session::refused;
use crate::view::cost::{Shown, lines};

/// The number of a one-shot's only command.
pub(crate) const SERIAL: u64 = 1;
/// Between the two answers that a rate is taken from.
const RATE: Duration = Duration::from_secs(1);

/// Has the app carry out a command: its host, and its reply or why it refused, in words.
pub(crate) fn command(
    global: &Global,
    word: Option<&str>,
    request: pb::CommandRequest,
) -> Result<(String, Result<pb::CommandReply, String>), Failure> {
    leave_on_interrupt()?;
    let target = Target::read(word)?;
    let mut options = options(global);
    options.control = true;
    on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let reply = match session.hello.role_reason.as_str() {
            "" => (session.command(request).await).map_err(|status| refused(&status)),
            why => Err(why.to_owned()),
        };
        Ok((session.hello.hostname, reply))
    })?
}

/// Has the app do one thing. Exit 0: it did, or will when its loop turns; 7: it refused.
pub fn run(global: &Global, one: &Do) -> Result<Exit, Failure> {
    let deed = &one.deed;
    let (_, reply) = command(global, one.target.as_deref(), deed.request(SERIAL))?;
    let answer = match reply {
        Ok(reply) => Answer::of(deed, reply),
        Err(why) => Answer::refused(deed, why),
    };
    let exit = match answer.became {
        Became::Done | Became::Queued => Exit::Clean,
        Became::Refused => Exit::Refused,
    };
    if one.json {
        said(line(&answer_json(&answer)))?;
        return Ok(exit);
    }
    let text = escape(&answer.sentence(), 4096).into_owned();
    if exit == Exit::Refused {
        return Err(Failure::new(exit, format!("{text}."), ""));
    }
    said(format!("{text}\n"))?;
    Ok(exit)
}

fn answer_json(answer: &Answer) -> Value {
    let text = |text: &str| {
        if text.is_empty() {
            Value::Null
        } else {
            json!(text)
        }
    };
    json!({
        "schema": SCHEMA,
        "command": {
            "status": answer.became.word(), "did": answer.did, "reason": text(&answer.reason),
            "task": answer.task, "busy_ns": answer.busy_ns, "before_ns": answer.before_ns,
            "loops": answer.loops,
            "nudged": answer.nudged.as_ref().map(|n| json!({
                "verdict": n.verdict, "says": n.says, "lost_wake": n.is_lost_wake(),
                "polls_before": n.polls_before, "polls_after": n.polls_after,
            })),
        },
    })
}

/// Prints what is recorded, and what can be turned.
pub fn recorded(global: &Global, word: Option<&str>, json: bool) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let target = Target::read(word)?;
    let options = options(global);
    let hello = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        Ok::<_, Failure>(pages::hello(&session))
    })??;
    if json {
        let rows: Vec<Value> = hello
            .recorded
            .iter()
            .map(|r| json!({"what": r.what, "on": r.on, "detail": r.detail}))
            .collect();
        return said(line(&json!({"schema": SCHEMA, "recorded": rows})));
    }
    let row = |r: &Recorded| {
        let on = if r.on { "on" } else { "off" };
        let row = format!("{:<14} {on:<4} {}", r.what, r.detail);
        format!("{}\n", safe(row.trim_end(), global.ascii))
    };
    said(hello.recorded.iter().map(row).collect::<String>())
}

/// Prints what being watched costs: once since the start, once over a second.
pub fn cost(global: &Global, word: Option<&str>, json: bool) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let target = Target::read(word)?;
    let options = options(global);
    let (hello, before, now) = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let broken = |why| not_answered("", "", why);
        let question = Question {
            table: Table::Cost,
            filter: String::new(),
            sort: String::new(),
            columns: Vec::new(),
            limit: None,
        };
        let (mut reader, first) = Reader::begin(&session, &question).await.map_err(broken)?;
        if session.recording().is_some() {
            // It is of one moment, and a rate needs two.
            return Ok((pages::hello(&session), None, first));
        }
        loop_runtime::sleep(RATE).await;
        let second = reader.again(&question).await.map_err(broken)?;
        Ok::<_, Failure>((pages::hello(&session), Some(first), second))
    })??;
    let at = |whole: Whole| match whole.body {
        Body::Cost(cost) => Some((whole.at_ns, cost)),
        _ => None,
    };
    let was = before.and_then(at);
    let Some((at_ns, is)) = at(now) else {
        return Err(Failure::new(
            Exit::NoApp,
            "The app answered something else than its cost.",
            "",
        ));
    };
    let up_ns = up(&hello, at_ns);
    let was = was.as_ref();
    let was = was.map(|(then, was)| (at_ns.saturating_sub(*then), &**was));
    if json {
        let mut value = cost_json(
            &is,
            was.map_or(&is, |(_, was)| was),
            was.map_or(0, |(span, _)| span),
            up_ns,
        );
        if let Some(about) = crate::print::json::recording(&hello) {
            value["recording"] = about;
        }
        return said(line(&value));
    }
    crate::commands::tell_recording(global, &hello);
    let shown = Shown {
        now: &is,
        before: was,
        up_ns,
        tasks: None,
        hello: Some(&hello),
    };
    let text = lines(&shown)
        .into_iter()
        .map(|(head, text, _)| format!("{}\n", safe(&format!("{head:<20} {text}"), global.ascii)));
    said(text.collect::<String>())
}

/// How long the app has been up at a moment of its clock.
fn up(hello: &Hello, at_ns: u64) -> u64 {
    let wall = hello
        .now_unix_ns
        .saturating_add(at_ns)
        .saturating_sub(hello.now_ns);
    wall.saturating_sub(hello.started_unix_ns)
}

fn cost_json(c: &Cost, before: &Cost, span: u64, up_ns: u64) -> Value {
    let losses = |losses: &[Loss]| -> Value {
        let all = losses.iter().map(|l| (l.kind.clone(), json!(l.count)));
        Value::Object(all.collect())
    };
    let share = |now: u64, was: u64| {
        let used = now.saturating_sub(was) as f64;
        if span == 0 { 0.0 } else { used / span as f64 }
    };
    let rate = |now: u64, was: u64| share(now, was) * 1e9;
    let attached: Vec<Value> = c
        .attached
        .iter()
        .map(|(who, controls)| json!({"who": who, "controls": controls}))
        .collect();
    let mut value = json!({
        "schema": SCHEMA,
        "cost": {
            "up_ns": up_ns, "window_ns": span,
            "inspector_cpu_ns": c.inspector_cpu_ns,
            "inspector_share": share(c.inspector_cpu_ns, before.inspector_cpu_ns),
            "watchdog_cpu_ns": c.watchdog_cpu_ns,
            "watchdog_share": share(c.watchdog_cpu_ns, before.watchdog_cpu_ns),
            "recorder_bytes": c.recorder_bytes, "live_bytes": c.live_bytes, "row_bytes": c.row_bytes,
            "ring_bytes": c.ring_bytes, "histogram_bytes": c.histogram_bytes, "text_bytes": c.text_bytes,
            "ring_fill": c.ring_fill, "ring_capacity": c.ring_capacity,
            "events": c.events, "events_per_s": rate(c.events, before.events),
            "lost": losses(&c.losses), "lost_total": c.lost(),
            "lost_to_viewers": losses(&c.lost_to_viewers),
            "streams": c.feeds, "viewers": c.viewers, "viewers_limit": c.viewers_limit,
            "attached": attached,
            "bytes_sent": c.bytes_sent, "bytes_per_s": rate(c.bytes_sent, before.bytes_sent),
            "texts": c.interned, "texts_limit": c.interned_limit, "texts_other": c.interned_overflow,
            "last_walk_ns": c.last_walk_ns, "last_walk_rows": c.last_walk_rows,
            "stacks_taken": c.stacks_taken, "stacks_missed": c.stacks_missed,
            "ended_overwritten": c.finished_overwritten, "watchdog_oversleeps": c.watchdog_oversleeps,
            "unrecorded": c.unrecorded, "unremembered": c.unremembered,
        },
    });
    if let Some(kept) = &c.kept {
        value["cost"]["kept"] = kept_json(kept);
    }
    value
}

fn kept_json(k: &Kept) -> Value {
    json!({
        "path": k.path, "reason": k.reason, "mapped": k.mapped, "bytes": k.bytes,
        "ring_capacity": k.ring_capacity, "loops_left_out": k.loops_left_out,
        "snapshots": k.snapshots, "snapshot_bytes": k.snapshot_bytes,
        "snapshot_ns": k.snapshot_ns, "rows_left_out": k.rows_left_out,
        "snapshot_interval_ms": (k.interval_ns != 0).then_some(k.interval_ns / 1_000_000),
    })
}
