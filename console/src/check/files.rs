//! The gate's report as files: JUnit for CI systems, JSON for scripts. Values in, text out.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as JUnit, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use crate::check::judge::{Judged, Report};
use crate::exit::Exit;
use crate::print::json::{SCHEMA, line};
use crate::print::safe;

/// One suite a process, one case a run or test: failed when over budget, an error when nothing can be said.
pub fn junit(report: &Report) -> String {
    let mut out = JUnit::new("loop-console check");
    out.set_time(Duration::from_nanos(report.took_ns));
    let mut suites: BTreeMap<(String, u32), Vec<&Judged>> = BTreeMap::new();
    for judged in &report.judged {
        suites
            .entry((judged.evidence.process.clone(), judged.evidence.pid))
            .or_default()
            .push(judged);
    }
    for ((process, pid), all) in suites {
        let mut suite = TestSuite::new(format!("{} {pid}", safe(&process, false)));
        for (nth, judged) in all.into_iter().enumerate() {
            let name = match judged.evidence.test.as_str() {
                "" => format!("run {}", nth + 1),
                test => safe(test, false).into_owned(),
            };
            let mut case = TestCase::new(name, status(judged));
            case.set_classname(safe(&process, false).into_owned());
            case.set_time(Duration::from_nanos(judged.evidence.wall_ns));
            suite.add_test_case(case);
        }
        out.add_test_suite(suite);
    }
    let mut whole = TestSuite::new("gate");
    if !report.doubts.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status
            .set_type("inconclusive")
            .set_message(safe(&report.doubts.join("; "), false).into_owned());
        whole.add_test_case(TestCase::new("telemetry", status));
    }
    if let Some(end) = report.command {
        let mut status = TestCaseStatus::success();
        if report.exit() == Exit::Command {
            status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("command").set_message(end.words());
        }
        whole.add_test_case(TestCase::new("command", status));
    }
    if !whole.test_cases.is_empty() {
        out.add_test_suite(whole);
    }
    out.to_string().unwrap_or_else(|error| {
        // The writer only fails on what a String never does.
        format!("<!-- {error} -->\n")
    })
}

fn status(judged: &Judged) -> TestCaseStatus {
    if let Some(first) = judged.problems.first() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let names: Vec<String> = judged
            .problems
            .iter()
            .map(|p| format!("{} {}", p.name, p.place).trim().to_owned())
            .collect();
        let facts: Vec<String> = judged
            .problems
            .iter()
            .map(|p| {
                let about = format!(
                    "{} ({}) {} {}, over {}",
                    p.name, p.grade, p.place, p.subject, p.limit
                );
                let cause = if p.cause.is_empty() {
                    String::new()
                } else {
                    format!(" Cause: {}.", p.cause)
                };
                safe(&format!("{about}: {}{cause}", p.facts.join("; ")), false).into_owned()
            })
            .collect();
        status
            .set_type(first.name.clone())
            .set_message(safe(&names.join("; "), false).into_owned());
        status.set_description(facts.join("\n"));
        return status;
    }
    if !judged.doubts.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status
            .set_type("inconclusive")
            .set_message(safe(&judged.doubts.join("; "), false).into_owned());
        return status;
    }
    TestCaseStatus::success()
}

/// The whole report as one document.
pub fn json(report: &Report) -> String {
    let none = |text: &str| {
        if text.is_empty() {
            Value::Null
        } else {
            json!(text)
        }
    };
    let runs: Vec<Value> = report
        .judged
        .iter()
        .map(|j| {
            let e = &j.evidence;
            let problems: Vec<Value> = j
                .problems
                .iter()
                .map(|p| {
                    json!({
                        "name": p.name, "grade": p.grade, "limit": p.limit, "subject": none(&p.subject), "task": p.task,
                        "place": none(&p.place), "duration_ns": p.duration_ns, "cause": none(&p.cause),
                        "evidence": p.facts, "fingerprint": none(&p.fingerprint), "count": p.count,
                    })
                })
                .collect();
            let throttled: Vec<Value> = e
                .throttled()
                .map(|b| {
                    json!({
                        "place": none(&b.place), "task": b.task, "for_ns": b.for_ns, "at_most_ns": b.at_most_ns,
                        "throttled_ns": b.throttled_ns, "quota_cpus": b.quota_cpus, "reason": none(&b.cause_reason),
                    })
                })
                .collect();
            json!({
                "process": e.process, "pid": e.pid, "test": none(&e.test),
                "outcome": e.outcome.map(|o| o.as_str_name().trim_start_matches("RUN_OUTCOME_").to_lowercase()),
                "error": none(&e.error), "wall_ns": e.wall_ns, "blocks": e.blocks_total, "events_lost": e.lost,
                "host_noise": e.host_noise, "longest_poll_ns": e.poll.as_ref().map(|h| h.max_ns),
                "findings": problems, "throttled": throttled, "doubts": j.doubts,
            })
        })
        .collect();
    let exit = report.exit();
    line(&json!({
        "schema": SCHEMA,
        "check": {
            "exit": exit.code(),
            "verdict": match exit {
                Exit::Clean => "clean",
                Exit::Findings => "findings",
                Exit::Command => "command-failed",
                Exit::Interrupted => "interrupted",
                Exit::VersionGap => "version-gap",
                _ => "inconclusive",
            },
            "budget": report.budget.to_string(),
            "processes": report.processes,
            "runs": runs,
            "gaps": report.gaps,
            "doubts": report.doubts,
            "command": report.command.map(|end| end.words()),
            "took_ns": report.took_ns,
        },
    }))
}
