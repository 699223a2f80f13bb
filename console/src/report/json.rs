//! A report as JSON, complete. Field names are only ever added to.

use serde_json::{Value, json};

use super::facts::Facts;
use crate::print::json::{Clock, SCHEMA, block, standstill};
use crate::store::{DumpFile, Histogram, Hour, LoopRow, SeriesRow, Strip};

/// All of it, with the key `report`.
pub fn report(facts: &Facts) -> String {
    let clock = clock(facts);
    let hello = &facts.hello;
    let host = facts.hour.as_ref().and_then(|hour| hour.host.as_ref());
    let console = env!("CARGO_PKG_VERSION");
    let value = json!({
        "schema": SCHEMA,
        "report": {
            "at": clock.wall(facts.at_ns),
            "recording": facts.recording(),
            "recorded": crate::print::json::recording(hello),
            "app": {
                "name": hello.name, "version": text(&hello.version), "pid": hello.pid,
                "executable": text(&facts.executable), "build_id": text(&facts.build_id),
                "debug_build": hello.debug_build, "instance": hello.instance,
                "up_ns": u64::try_from(facts.up().as_nanos()).unwrap_or(u64::MAX),
            },
            "versions": {
                "runtime": hello.runtime_version, "protocol": hello.protocol, "console": console,
            },
            "host": {
                "name": text(&hello.hostname), "platform": hello.platform,
                "kernel": host.and_then(|host| text(&host.kernel)),
                "cpus": (facts.cpus > 0).then_some(facts.cpus),
                "cpus_online": host.map(|host| host.cpus_online).filter(|cpus| *cpus > 0),
                "cgroup_cpus": host.and_then(|host| host.cgroup_cpus),
                "cgroup_memory_bytes": host.and_then(|host| host.cgroup_memory),
                "cgroup_unknown": host.and_then(|host| text(&host.cgroup_unknown)),
                "memory_bytes": host.map(|host| host.memory).filter(|bytes| *bytes > 0),
                "ticks": hello.tick_source,
            },
            "totals": facts.overview.as_ref().map(|o| json!({
                "tasks": o.tasks, "run": o.run, "ready": o.ready, "wait": o.wait, "spawned": o.spawned,
                "finished": o.finished, "timers": o.timers, "timers_fired": o.timers_fired, "sources": o.sources,
                "io_events": o.io_events, "fds_open": o.fds_open, "fds_limit": o.fds_limit, "jobs_run": o.jobs_run,
                "jobs_queued": o.jobs_queued, "workers": o.workers, "children": o.children,
                "resources": o.resources, "blocks": o.blocks,
                "findings": {
                    "certain": o.certain, "left_behind": o.left_behind, "suspect": o.suspect, "warning": o.warning,
                },
                "poll_ns": histogram(&o.poll), "lag_ns": histogram(&o.lag), "timer_late_ns": histogram(&o.timer_late),
            })),
            "loops": facts.loops.iter().map(event_loop).collect::<Vec<_>>(),
            "findings": facts.findings.iter().map(|f| {
                let mut value = clock.finding(f);
                if let (Some(object), Some(text)) = (value.as_object_mut(), crate::view::explain::of(&f.name)) {
                    object.insert("condition".to_owned(), json!(text.condition));
                    object.insert("fix".to_owned(), json!(text.fix));
                }
                value
            }).collect::<Vec<_>>(),
            "history": facts.hour.as_ref().map(|of| hour(of, &clock)),
            "cost": facts.cost.as_ref().map(|c| json!({
                "inspector_cpu_ns": c.inspector_cpu_ns, "watchdog_cpu_ns": c.watchdog_cpu_ns,
                "recorder_bytes": c.recorder_bytes, "live_bytes": c.live_bytes,
                "hour_bytes": c.hour_bytes, "hour_limit_bytes": c.hour_limit_bytes,
                "events": c.events, "bytes_sent": c.bytes_sent, "viewers": c.viewers,
                "lost": c.losses.iter().map(|l| json!({"kind": l.kind, "count": l.count})).collect::<Vec<_>>(),
                "names_lost": c.interned_overflow, "finished_overwritten": c.finished_overwritten,
                "watchdog_oversleeps": c.watchdog_oversleeps,
                "dumps": c.dumps.as_ref().map(|d| json!({
                    "directory": text(&d.directory), "written": d.written, "suppressed": d.suppressed,
                    "removed": d.removed, "failed": d.failed, "bytes": d.bytes, "limit_bytes": d.limit_bytes,
                    "trouble": text(&d.trouble),
                })),
            })),
            "events": facts.events.iter().map(|e| json!({
                "at": clock.wall(e.at_ns), "kind": e.kind, "loop": e.loop_id, "task": e.task, "name": text(&e.name),
                "subject": e.subject, "duration_ns": e.duration_ns, "place": text(&e.place), "detail": text(&e.detail),
            })).collect::<Vec<_>>(),
            "unknown": facts.unknown(),
        }
    });
    format!("{value}\n")
}

/// The last hour, with the key `history`.
pub fn history(facts: &Facts) -> String {
    let clock = clock(facts);
    let value = json!({
        "schema": SCHEMA,
        "pid": facts.hello.pid,
        "name": facts.hello.name,
        "recorded": crate::print::json::recording(&facts.hello),
        "history": facts.hour.as_ref().map(|of| hour(of, &clock)),
    });
    format!("{value}\n")
}

fn clock(facts: &Facts) -> Clock<'_> {
    Clock {
        hello: &facts.hello,
        at_ns: facts.at_ns,
    }
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn hour(hour: &Hour, clock: &Clock<'_>) -> Value {
    let findings = hour.findings.iter().map(|past| {
        json!({
            "finding": clock.finding(&past.finding), "holds": past.cleared_ns.is_none(),
            "first_at": clock.wall(past.first_ns), "made_at": clock.wall(past.made_ns),
            "cleared_at": past.cleared_ns.and_then(|ns| clock.wall(ns)), "times": past.times,
            "dump": text(&past.dump),
        })
    });
    let blocks = hour.blocks.iter().map(|of| {
        let mut value = block(of);
        if let Some(object) = value.as_object_mut() {
            object.insert("at".to_owned(), json!(clock.wall(of.at_ns)));
        }
        value
    });
    json!({
        "from": clock.wall(hour.from_ns), "findings": findings.collect::<Vec<_>>(),
        "findings_dropped": hour.dropped, "blocks": blocks.collect::<Vec<_>>(),
        "blocks_total": hour.blocks_total, "blocks_dropped": hour.blocks_dropped,
        "look_every_ns": hour.look_every_ns,
        "series": hour.series.iter().map(|row| series(row, clock)).collect::<Vec<_>>(),
        "dumps": hour.dumps.iter().map(|file| dump(file, clock)).collect::<Vec<_>>(),
    })
}

fn dump(file: &DumpFile, clock: &Clock<'_>) -> Value {
    json!({
        "path": file.path, "at": clock.wall(file.at_ns), "cause": file.cause, "detail": text(&file.detail),
        "bytes": file.bytes, "subject": file.subject,
    })
}

fn series(row: &SeriesRow, clock: &Clock<'_>) -> Value {
    let values = |strip: &Strip| json!(strip.values);
    json!({
        "loop": row.loop_id, "slot_ns": row.lag_max.slot_ns, "end": clock.wall(row.lag_max.end_ns),
        "lag_max_ns": values(&row.lag_max), "busy_ns": values(&row.busy), "tasks": values(&row.tasks),
        "block_max_ns": values(&row.block_max), "spawned": values(&row.spawned), "finished": values(&row.finished),
    })
}

fn event_loop(l: &LoopRow) -> Value {
    json!({
        "id": l.id, "name": l.name, "thread": text(&l.thread), "state": l.state, "tasks": l.tasks, "ready": l.ready,
        "busy_ratio": l.busy, "lag_ns": {"p50": l.lag_p50_ns, "p99": l.lag_p99_ns, "max": l.lag_max_ns},
        "blocks": l.blocks, "worst_block_ns": (l.blocks > 0).then_some(l.worst_block_ns),
        "block_budget_ns": l.budget_ns, "blocked": l.blocked.as_ref().map(block),
        "stacks_off": text(&l.stacks_off), "standstill": l.standstill.map(standstill),
    })
}

fn histogram(h: &Histogram) -> Value {
    if h.count == 0 {
        return Value::Null;
    }
    json!({"count": h.count, "p50": h.p50_ns, "p90": h.p90_ns, "p99": h.p99_ns, "max": h.max_ns})
}
