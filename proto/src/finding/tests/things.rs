//! The rules of blocks, timers and I/O sources.

use super::*;

#[test]
fn a_block_is_judged_by_its_lower_end() {
    let block = BlockFacts {
        started_at_ns: 5,
        wall_ns: 900_000_000,
        lower_ns: Some(100_000_001),
        upper_ns: Some(120_000_000),
        budget_ns: 100_000_000,
        vetoed: false,
        waiting_for_cpu: false,
        allowed_ns: 0,
        allowed_reason: "",
    };
    let verdict = blocked(&block).expect("over budget");
    assert_eq!(
        (verdict.grade, verdict.measured_ns, verdict.limit_ns),
        (Grade::Certain, Some(100_000_001), Some(100_000_000))
    );
    // Long by the wall's clock only: the host kept the thread waiting.
    assert_eq!(
        blocked(&BlockFacts {
            lower_ns: Some(100_000_000),
            ..block
        }),
        None
    );
    assert_eq!(
        blocked(&BlockFacts {
            vetoed: true,
            ..block
        }),
        None
    );
    assert_eq!(
        blocked(&BlockFacts {
            waiting_for_cpu: true,
            ..block
        }),
        None
    );
    let blind = blocked(&BlockFacts {
        lower_ns: None,
        upper_ns: None,
        ..block
    })
    .expect("over budget");
    let allowed = BlockFacts {
        lower_ns: None,
        upper_ns: None,
        allowed_ns: 850_000_000,
        allowed_reason: "a cold start",
        ..block
    };
    assert_eq!(blocked(&allowed), None, "only 50 ms were not allowed");
    let too_long = blocked(&BlockFacts {
        allowed_ns: 200_000_000,
        ..allowed
    });
    let too_long = too_long.expect("700 ms were not allowed");
    assert_eq!(too_long.measured_ns, Some(700_000_000));
    let told = "and 200 ms in which it was allowed to block: a cold start";
    assert!(too_long.evidence.contains(&told.to_owned()), "{too_long:?}");
    assert_eq!(blind.grade, Grade::Suspect);
    assert!(blind.evidence[0].contains("not known on this host"));
}

#[test]
fn timers_are_late_now_or_were_late_last_time() {
    let timer = TimerFacts {
        at_ns: 10 * SECOND,
        armed_at_ns: SECOND,
        due_ns: 20 * SECOND,
        has_waker: true,
        task_gone: false,
        unasked_polls: 0,
        last_late_ns: None,
    };
    assert_eq!(late_timer(&timer, &limits()), None);
    let late = late_timer(
        &TimerFacts {
            due_ns: 6 * SECOND,
            ..timer
        },
        &limits(),
    )
    .expect("late");
    assert_eq!(
        (late.measured_ns, late.since_ns),
        (Some(4 * SECOND), 6 * SECOND)
    );
    let was = late_timer(
        &TimerFacts {
            last_late_ns: Some(SECOND),
            ..timer
        },
        &limits(),
    )
    .expect("was late");
    assert_eq!(was.measured_ns, Some(SECOND));
}

#[test]
fn a_timer_is_an_orphan_when_its_task_is_gone_or_long_asks_no_more() {
    let timer = TimerFacts {
        at_ns: 100 * SECOND,
        armed_at_ns: 40 * SECOND,
        due_ns: 200 * SECOND,
        has_waker: true,
        task_gone: false,
        unasked_polls: 999,
        last_late_ns: None,
    };
    let why = |timer: TimerFacts| {
        let verdict = orphan_timer(&timer, &limits());
        verdict.map(|verdict| verdict.evidence[0].clone())
    };
    assert_eq!(why(timer), None);
    let gone = TimerFacts {
        task_gone: true,
        ..timer
    };
    assert_eq!(why(gone).unwrap(), "the task that it would wake has ended");
    let unasked = TimerFacts {
        unasked_polls: 1_000,
        ..timer
    };
    assert!(why(unasked).unwrap().contains("polled 1000 times"));
    let fresh = TimerFacts {
        armed_at_ns: 40 * SECOND + 1,
        ..unasked
    };
    assert_eq!(why(fresh), None, "a deadline that is asked for later");
}

#[test]
fn a_source_is_abandoned_by_the_dead_or_the_stranded() {
    let source = SourceFacts {
        at_ns: 100 * SECOND,
        idle_since_ns: 40 * SECOND,
        waited_for: false,
        task_gone: true,
        task_stranded: false,
    };
    assert!(abandoned_fd(&source, &limits()).is_some());
    assert!(
        abandoned_fd(
            &SourceFacts {
                task_gone: false,
                waited_for: true,
                task_stranded: true,
                ..source
            },
            &limits()
        )
        .is_some()
    );
    assert_eq!(
        abandoned_fd(
            &SourceFacts {
                task_gone: false,
                ..source
            },
            &limits()
        ),
        None
    );
    assert_eq!(
        abandoned_fd(
            &SourceFacts {
                waited_for: true,
                ..source
            },
            &limits()
        ),
        None
    );
    assert_eq!(
        abandoned_fd(
            &SourceFacts {
                idle_since_ns: 40 * SECOND + 1,
                ..source
            },
            &limits()
        ),
        None
    );
}
