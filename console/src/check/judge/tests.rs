//! Which evidence is over which budget, and which code follows.

use loop_proto::pb;

use super::*;

const MS: u64 = 1_000_000;

fn block(at_least_ms: u64) -> BlockRow {
    BlockRow {
        id: at_least_ms,
        loop_id: 1,
        for_ns: at_least_ms * MS,
        at_most_ns: Some((at_least_ms + 1) * MS),
        budget_ns: 10 * MS,
        task: Some(12),
        name: "render".into(),
        place: "src/report.rs:88:9".into(),
        place_from: "stack".into(),
        cause: "syscall".into(),
        cause_reason: "read".into(),
        ..BlockRow::default()
    }
}

fn finding(name: &str, grade: Grade) -> Finding {
    Finding {
        id: 1,
        name: name.into(),
        grade,
        subject: Some(Goto::Task(7)),
        place: "src/ws.rs:41:9".into(),
        count: 1,
        evidence: vec!["Nothing can wake it.".into()],
        fingerprint: format!("{name}-print"),
        user: true,
        ..Finding::default()
    }
}

fn evidence() -> Evidence {
    Evidence {
        process: "shop".into(),
        pid: 7,
        recorded_from_ns: 10 * MS,
        ..Evidence::default()
    }
}

fn judged(evidence: Evidence, budget: &str, deny: &[Deny]) -> Judged {
    judge(evidence, &Budget::parse(budget).expect(budget), deny)
}

fn names(judged: &Judged) -> Vec<&str> {
    judged.problems.iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn what_was_allowed_is_no_block_and_is_told_of_one_that_is() {
    let allowed = |at_least_ms| BlockRow {
        allowed_ns: 320 * MS,
        allowed: "a cold start".into(),
        ..block(at_least_ms)
    };
    assert!(allowed(5).is_allowed() && !allowed(40).is_allowed());
    let e = Evidence {
        blocks: vec![allowed(5), allowed(40)],
        ..evidence()
    };
    let judged = judged(e, "block=10ms", &[]);
    assert_eq!(names(&judged), ["blocked"]);
    let facts = judged.problems[0].facts.join(" ");
    assert!(
        facts.contains("allowed to block for 320ms: a cold start."),
        "{facts}"
    );
}

#[test]
fn a_block_counts_by_the_lower_end_of_its_bracket() {
    let e = Evidence {
        blocks: vec![block(101), block(100), block(99)],
        blocks_total: 3,
        ..evidence()
    };
    let j = judged(e, "block=100ms", &[]);
    assert_eq!(j.problems.len(), 1, "as long as the budget is within it");
    assert_eq!(j.problems[0].duration_ns, Some(101 * MS));
    assert_eq!(j.problems[0].cause, "syscall (read)");
    assert_eq!(j.doubts, Vec::<String>::new());
}

#[test]
fn wall_time_alone_is_a_doubt_and_never_a_verdict() {
    let e = Evidence {
        blocks: vec![BlockRow {
            wall_only: true,
            at_most_ns: None,
            ..block(400)
        }],
        ..evidence()
    };
    let j = judged(e, "block=100ms", &[]);
    assert!(j.problems.is_empty());
    assert_eq!(j.doubts.len(), 1);
}

#[test]
fn a_vetoed_block_does_not_count() {
    let e = Evidence {
        blocks: vec![BlockRow {
            vetoed: true,
            ..block(400)
        }],
        ..evidence()
    };
    let j = judged(e, "block=100ms", &[]);
    assert!(j.problems.is_empty() && j.doubts.is_empty());
}

#[test]
fn a_budget_below_what_the_app_records_is_a_doubt_unless_no_poll_was_that_long() {
    let poll = |max_ns| {
        let mut h = pb::Histogram::default();
        h.record(max_ns);
        Some(h)
    };
    let doubts = |poll| {
        judged(
            Evidence {
                recorded_from_ns: 100 * MS,
                poll,
                ..evidence()
            },
            "block=50ms",
            &[],
        )
        .doubts
        .len()
    };
    assert_eq!(doubts(None), 1);
    assert_eq!(doubts(poll(70 * MS)), 1);
    assert_eq!(doubts(poll(49 * MS)), 0);
    let rounded = Evidence {
        recorded_from_ns: 100 * MS + 3,
        ..evidence()
    };
    assert!(
        judged(rounded, "block=100ms", &[]).doubts.is_empty(),
        "ticks do not divide into round numbers"
    );
}

#[test]
fn leaks_are_definite_ones_of_user_tasks() {
    let all = vec![
        finding("stranded", Grade::Certain),
        finding("left-behind", Grade::LeftBehind),
        Finding {
            user: false,
            ..finding("stranded", Grade::Certain)
        },
        finding("deadlocked", Grade::Suspect),
        finding("growing", Grade::Suspect),
        finding("unread-error", Grade::Certain),
    ];
    let j = judged(
        Evidence {
            findings: all.clone(),
            ..evidence()
        },
        "leak=0",
        &[],
    );
    assert_eq!(names(&j), ["stranded", "left-behind"]);
    assert!(
        judged(
            Evidence {
                findings: all.clone(),
                ..evidence()
            },
            "leak=2",
            &[]
        )
        .problems
        .is_empty()
    );
    // Folded findings count as often as they say.
    let folded = vec![Finding {
        count: 3,
        ..finding("stranded", Grade::Certain)
    }];
    assert_eq!(
        judged(
            Evidence {
                findings: folded,
                ..evidence()
            },
            "leak=2",
            &[]
        )
        .problems
        .len(),
        1
    );
}

#[test]
fn suspects_count_only_when_denied() {
    let all = vec![
        finding("growing", Grade::Suspect),
        finding("starved", Grade::Warning),
        finding("stranded", Grade::Certain),
    ];
    let e = || Evidence {
        findings: all.clone(),
        ..evidence()
    };
    assert_eq!(names(&judged(e(), "leak=0", &[])), ["stranded"]);
    assert_eq!(
        names(&judged(e(), "leak=0", &[Deny::Suspect])),
        ["stranded", "growing"]
    );
    assert_eq!(names(&judged(e(), "leak=5", &[Deny::Warning])), ["starved"]);
    assert_eq!(
        names(&judged(
            e(),
            "leak=5",
            &[Deny::Name(pb::FindingName::Stranded)]
        )),
        ["stranded"]
    );
    // What is over one limit is told once.
    assert_eq!(
        names(&judged(
            e(),
            "leak=0",
            &[Deny::Name(pb::FindingName::Stranded)]
        )),
        ["stranded"]
    );
}

#[test]
fn losses_make_suspects_doubtful_and_definite_verdicts_not() {
    let e = || Evidence {
        lost: 17,
        ..evidence()
    };
    assert!(judged(e(), "block=100ms,leak=0", &[]).doubts.is_empty());
    assert_eq!(judged(e(), "leak=0", &[Deny::Suspect]).doubts.len(), 1);
}

#[test]
fn a_named_finding_has_its_own_allowance() {
    let e = || Evidence {
        findings: vec![finding("unread-error", Grade::Certain)],
        ..evidence()
    };
    assert!(judged(e(), "unread-error=1", &[]).problems.is_empty());
    assert_eq!(names(&judged(e(), "unread-error=0", &[])), ["unread-error"]);
}

#[test]
fn a_percentile_needs_values_enough_and_its_lower_end_over_the_limit() {
    let lag = |n: u64, ns: u64| {
        let mut h = pb::Histogram::default();
        for _ in 0..n {
            h.record(ns);
        }
        Evidence {
            lag: Some(h),
            ..evidence()
        }
    };
    assert_eq!(
        names(&judged(lag(500, 80 * MS), "lag-p99=50ms", &[])),
        ["lag-p99"]
    );
    assert!(
        judged(lag(500, 40 * MS), "lag-p99=50ms", &[])
            .problems
            .is_empty()
    );
    let few = judged(lag(30, 80 * MS), "lag-p99=50ms", &[]);
    assert!(few.problems.is_empty() && few.doubts.len() == 1);
    assert_eq!(
        names(&judged(lag(30, 80 * MS), "lag-max=50ms", &[])),
        ["lag-max"]
    );
    assert_eq!(
        judged(evidence(), "lag-p99=50ms", &[]).doubts.len(),
        1,
        "nothing was told"
    );
}

#[test]
fn a_noisy_host_is_inconclusive_where_it_can_have_hidden_something() {
    let doubts = |noise, longest: Option<u64>, budget| {
        let poll = longest.map(|ns| {
            let mut h = pb::Histogram::default();
            h.record(ns);
            h
        });
        judged(
            Evidence {
                host_noise: Some(noise),
                poll,
                ..evidence()
            },
            budget,
            &[],
        )
        .doubts
        .len()
    };
    assert_eq!(doubts(0.3, None, "block=100ms"), 1);
    assert_eq!(doubts(0.3, Some(150 * MS), "block=100ms"), 1);
    assert_eq!(
        doubts(0.3, Some(MS), "block=100ms"),
        0,
        "no poll was that long even by the wall's clock"
    );
    assert_eq!(
        doubts(0.3, None, "leak=0"),
        0,
        "a leak is none the less for a slow host"
    );
    assert_eq!(doubts(0.1, None, "block=100ms"), 0);
}

#[test]
fn the_code_follows_from_findings_the_command_and_doubts() {
    let problem = || Judged {
        problems: vec![Problem::default()],
        ..Judged::default()
    };
    let doubt = || Judged {
        doubts: vec!["x".into()],
        ..Judged::default()
    };
    let report = |judged: Vec<Judged>, command, interrupted| {
        Report {
            judged,
            command,
            interrupted,
            ..Report::default()
        }
        .exit()
        .code()
    };
    for (judged, command, interrupted, code) in [
        (vec![], None, false, 0),
        (vec![Judged::default()], Some(End::Code(0)), false, 0),
        (vec![], Some(End::Stopped), false, 0),
        (vec![problem()], None, false, 1),
        (vec![problem(), doubt()], Some(End::Code(101)), false, 1),
        (vec![doubt()], Some(End::Code(101)), false, 6),
        (vec![], Some(End::Signal(11)), false, 6),
        (vec![doubt()], Some(End::Stopped), false, 5),
        (vec![doubt()], Some(End::Signal(2)), true, 130),
        (vec![problem()], Some(End::Signal(2)), true, 1),
    ] {
        assert_eq!(
            report(judged.clone(), command, interrupted),
            code,
            "{judged:?} {command:?} {interrupted}"
        );
    }
    let nobody = Report {
        doubts: vec!["no process connected".into()],
        command: Some(End::Code(0)),
        ..Report::default()
    };
    assert_eq!(nobody.exit().code(), 5, "never green on missing data");
    let gap = Report {
        gaps: vec!["speaks 3".into()],
        judged: vec![problem()],
        ..Report::default()
    };
    assert_eq!(gap.exit().code(), 4);
}

#[test]
fn what_is_certain_is_told_first() {
    let e = Evidence {
        findings: vec![
            finding("growing", Grade::Suspect),
            finding("left-behind", Grade::LeftBehind),
            finding("stranded", Grade::Certain),
        ],
        ..evidence()
    };
    let judged = judged(e, "growing=0,leak=0", &[]);
    assert_eq!(names(&judged), ["stranded", "left-behind", "growing"]);
}
