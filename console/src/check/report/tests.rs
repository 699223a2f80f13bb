//! How a report reads, in every form.

use loop_proto::budget::Budget;

use super::*;
use crate::check::evidence::Evidence;
use crate::check::files;

const MS: u64 = 1_000_000;

fn bad() -> Report {
    let mut poll = loop_proto::pb::Histogram::default();
    poll.record(412 * MS);
    Report {
        budget: Budget::default(),
        judged: vec![
            Judged {
                evidence: Evidence {
                    process: "api-3fa\u{1b}[31m".into(),
                    pid: 48211,
                    test: "tests::slow_report".into(),
                    wall_ns: 900 * MS,
                    poll: Some(poll),
                    ..Evidence::default()
                },
                problems: vec![
                    Problem {
                        limit: "block=100ms".into(),
                        name: "blocked".into(),
                        grade: "certain".into(),
                        subject: "task 12 render".into(),
                        task: Some(12),
                        place: "src/report.rs:88:9".into(),
                        duration_ns: Some(412 * MS),
                        cause: "syscall (read)".into(),
                        facts: vec![
                            "Held its loop for at least 412ms and at most 413ms (budget 100ms)."
                                .into(),
                        ],
                        fingerprint: "00112233445566ff".into(),
                        count: 1,
                    },
                    Problem {
                        limit: "leak=0".into(),
                        name: "stranded".into(),
                        grade: "certain".into(),
                        subject: "task 7 conn\n::error::forged".into(),
                        place: "src/ws.rs:41:9".into(),
                        facts: vec!["Nothing can wake it.".into()],
                        count: 3,
                        ..Problem::default()
                    },
                ],
                doubts: vec![],
            },
            Judged {
                evidence: Evidence {
                    process: "worker".into(),
                    pid: 48212,
                    ..Evidence::default()
                },
                problems: vec![],
                doubts: vec![
                    "it ended without its last word: it was killed, crashed, or called exit".into(),
                ],
            },
        ],
        processes: 2,
        command: Some(crate::check::judge::End::Code(101)),
        took_ns: 1_500 * MS,
        ..Report::default()
    }
}

fn good() -> Report {
    Report {
        budget: Budget::default(),
        judged: vec![Judged {
            evidence: Evidence {
                process: "api".into(),
                pid: 1,
                ..Evidence::default()
            },
            ..Judged::default()
        }],
        processes: 1,
        command: Some(crate::check::judge::End::Code(0)),
        took_ns: 1_500 * MS,
        ..Report::default()
    }
}

#[test]
fn problems_are_paragraphs_and_the_last_line_sums_up() {
    insta::assert_snapshot!("text_bad", text(&bad(), false, false));
}

#[test]
fn success_is_one_line_or_nothing() {
    let said = text(&good(), false, false);
    assert_eq!(said.lines().count(), 1);
    insta::assert_snapshot!("text_good", said);
    assert_eq!(text(&good(), false, true), "");
}

#[test]
fn annotations_stand_at_their_line_and_cannot_be_forged() {
    let said = github(&bad());
    assert!(
        said.lines()
            .all(|line| line.starts_with("::error ") || line.starts_with("::warning ")),
        "{said}"
    );
    assert!(said.contains("file=src/report.rs,line=88,col=9,"), "{said}");
    assert_eq!(said.lines().count(), 3);
    insta::assert_snapshot!("github_bad", said);
}

#[test]
fn nothing_of_the_app_reaches_the_terminal_unescaped() {
    for said in [
        text(&bad(), false, false),
        github(&bad()),
        files::json(&bad()),
        files::junit(&bad()),
    ] {
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn junit_parses_and_counts() {
    let xml = files::junit(&bad());
    let report = quick_junit::Report::deserialize_from_str(&xml).expect("JUnit");
    assert_eq!(report.tests, 3);
    assert_eq!(report.failures, 1);
    // The process without its last word, and the command: not counted as the command's when there are findings.
    assert_eq!(report.errors, 1);
    let slow = report
        .test_suites
        .iter()
        .flat_map(|s| &s.test_cases)
        .find(|c| c.name.as_str() == "tests::slow_report")
        .expect("the test");
    match &slow.status {
        quick_junit::TestCaseStatus::NonSuccess {
            message,
            description,
            ..
        } => {
            assert!(
                message
                    .as_ref()
                    .expect("a message")
                    .as_str()
                    .contains("src/report.rs:88:9")
            );
            let all = description.as_ref().expect("a description").as_str();
            for part in [
                "blocked",
                "stranded",
                "task 12 render",
                "Cause: syscall (read)",
                "block=100ms",
            ] {
                assert!(all.contains(part), "{part}: {all}");
            }
        }
        other => panic!("{other:?}"),
    }
    let good = quick_junit::Report::deserialize_from_str(&files::junit(&good())).expect("JUnit");
    assert_eq!((good.tests, good.failures, good.errors), (2, 0, 0));
}

#[test]
fn json_has_the_verdict_and_its_code() {
    let document: serde_json::Value = serde_json::from_str(&files::json(&bad())).expect("JSON");
    assert_eq!(document["schema"], 1);
    let check = &document["check"];
    assert_eq!(
        (&check["exit"], &check["verdict"]),
        (&serde_json::json!(1), &serde_json::json!("findings"))
    );
    assert_eq!(check["runs"][0]["test"], "tests::slow_report");
    assert_eq!(
        check["runs"][0]["findings"][0]["place"],
        "src/report.rs:88:9"
    );
    assert_eq!(check["command"], "exit code 101");
    let good: serde_json::Value = serde_json::from_str(&files::json(&good())).expect("JSON");
    assert_eq!(
        (&good["check"]["exit"], &good["check"]["verdict"]),
        (&serde_json::json!(0), &serde_json::json!("clean"))
    );
}
