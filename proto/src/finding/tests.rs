//! Each rule just on both sides of its condition.

use proptest::prelude::*;

use super::*;
use crate::pb::Outcome;

const SECOND: u64 = 1_000_000_000;

fn limits() -> Limits {
    Limits::default()
}

/// A task that waits for an hour, of which no rule speaks.
fn waiting() -> TaskFacts {
    TaskFacts {
        at_ns: 4_000 * SECOND,
        since_ns: 400 * SECOND,
        ..TaskFacts::default()
    }
}

fn names(task: &TaskFacts) -> Vec<&'static str> {
    of_task(task, &limits())
        .iter()
        .map(|verdict| verdict.name.word())
        .collect()
}

#[test]
fn an_ordinary_task_has_no_findings() {
    assert_eq!(names(&waiting()), Vec::<&str>::new());
    assert_eq!(names(&TaskFacts::default()), Vec::<&str>::new());
}

#[test]
fn stranded_needs_every_one_of_its_conditions() {
    let stranded = TaskFacts {
        wakers: 0,
        handles: 0,
        ..waiting()
    };
    assert_eq!(names(&stranded), ["stranded"]);
    let verdict = super::stranded(&stranded).expect("stranded");
    assert_eq!(
        (verdict.grade, verdict.since_ns),
        (Grade::Certain, 400 * SECOND)
    );
    assert!(
        verdict
            .evidence
            .contains(&"no waker of it is alive".to_owned())
    );
    for not in [
        TaskFacts {
            wakers: 1,
            ..stranded
        },
        TaskFacts {
            state: State::Ready,
            since_ns: stranded.at_ns,
            ..stranded
        },
        TaskFacts {
            state: State::Done,
            ..stranded
        },
        TaskFacts {
            settled: false,
            ..stranded
        },
        TaskFacts {
            polls: 0,
            ..stranded
        },
        TaskFacts {
            allowed_forever: true,
            ..stranded
        },
    ] {
        assert_eq!(names(&not), Vec::<&str>::new(), "{not:?}");
    }
}

#[test]
fn with_a_handle_it_is_stuck_but_abortable_unless_that_is_the_purpose() {
    let stuck = TaskFacts {
        wakers: 0,
        handles: 2,
        ..waiting()
    };
    assert_eq!(names(&stuck), ["stuck-abortable"]);
    assert_eq!(
        names(&TaskFacts {
            pending_on_purpose: true,
            ..stuck
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn left_behind_begins_when_the_grace_is_over() {
    let left = TaskFacts {
        scope_ended_ns: Some(4_000 * SECOND - limits().grace_ns),
        ..waiting()
    };
    assert_eq!(names(&left), ["left-behind"]);
    let verdict = left_behind(&left, &limits()).expect("left behind");
    assert_eq!(
        (verdict.grade, verdict.measured_ns),
        (Grade::LeftBehind, Some(limits().grace_ns))
    );
    assert!(
        verdict
            .evidence
            .contains(&"nobody asked it to stop".to_owned())
    );
    assert_eq!(
        names(&TaskFacts {
            scope_ended_ns: left.scope_ended_ns.map(|at| at + 1),
            ..left
        }),
        Vec::<&str>::new()
    );
    assert_eq!(
        names(&TaskFacts {
            state: State::Done,
            ..left
        }),
        Vec::<&str>::new()
    );
    assert_eq!(
        names(&TaskFacts {
            allowed_forever: true,
            ..left
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn a_task_outlives_its_parent_only_when_nobody_holds_it() {
    let orphan = TaskFacts {
        parent_ended_ns: Some(3_990 * SECOND),
        handles: 0,
        ..waiting()
    };
    assert_eq!(names(&orphan), ["outlived-parent"]);
    assert_eq!(
        names(&TaskFacts {
            handles: 1,
            ..orphan
        }),
        Vec::<&str>::new()
    );
    assert_eq!(
        names(&TaskFacts {
            parent_ended_ns: Some(3_991 * SECOND),
            ..orphan
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn a_task_whose_group_was_dropped_outlives_it_at_once_until_it_ends() {
    let left = TaskFacts {
        at_ns: 10 * SECOND,
        group_dropped_ns: Some(9 * SECOND),
        ..TaskFacts::default()
    };
    let found = outlived_parent(&left, &limits()).unwrap();
    assert_eq!(
        found.evidence[0],
        "its group was dropped unfinished, 1.0 s ago or more"
    );
    let ended = TaskFacts {
        state: State::Done,
        ..left
    };
    assert!(outlived_parent(&ended, &limits()).is_none());
}

#[test]
fn an_idle_orphan_is_judged_by_what_is_usual_and_not_at_all_without() {
    let idle = TaskFacts {
        handles: 0,
        usual_idle_ns: Some(SECOND),
        ..waiting()
    };
    assert_eq!(names(&idle), ["idle-orphan"]);
    for not in [
        TaskFacts {
            usual_idle_ns: None,
            ..idle
        },
        TaskFacts {
            usual_idle_ns: Some(181 * SECOND),
            ..idle
        },
        TaskFacts {
            waits_for_timer: true,
            ..idle
        },
        TaskFacts {
            waits_for_visitors: true,
            ..idle
        },
        TaskFacts { handles: 1, ..idle },
        TaskFacts {
            since_ns: idle.at_ns - 59 * SECOND,
            ..idle
        },
    ] {
        assert_eq!(names(&not), Vec::<&str>::new(), "{not:?}");
    }
}

#[test]
fn a_ready_task_is_starved_or_never_polled_but_not_both() {
    let ready = TaskFacts {
        state: State::Ready,
        since_ns: 3_999 * SECOND,
        ready_tasks: Some(312),
        ..waiting()
    };
    assert_eq!(names(&ready), ["starved"]);
    assert_eq!(names(&TaskFacts { polls: 0, ..ready }), ["never-polled"]);
    assert_eq!(
        names(&TaskFacts {
            since_ns: ready.since_ns + 1,
            ..ready
        }),
        Vec::<&str>::new()
    );
    let verdict = starved(&ready, &limits()).expect("starved");
    assert!(
        verdict
            .evidence
            .contains(&"tasks ready on its loop: 312".to_owned())
    );
}

#[test]
fn a_first_poll_without_end_never_yields() {
    let running = TaskFacts {
        state: State::Run,
        since_ns: 3_999 * SECOND,
        polls: 0,
        ..waiting()
    };
    assert_eq!(names(&running), ["never-yields"]);
    assert_eq!(
        names(&TaskFacts {
            polls: 1,
            ..running
        }),
        ["never-yields"]
    );
    assert_eq!(
        names(&TaskFacts {
            polls: 2,
            ..running
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn spinning_and_wake_storms_are_told_apart_by_who_wakes() {
    let window = Window {
        length_ns: SECOND,
        polls: 6_000,
        wakes: 6_000,
        self_wakes: 5_400,
        busy_ns: 6_000_000,
    };
    let spins = TaskFacts {
        window: Some(window),
        ..waiting()
    };
    assert_eq!(names(&spins), ["spinning"]);
    let storm = Window {
        self_wakes: 0,
        ..window
    };
    assert_eq!(
        names(&TaskFacts {
            window: Some(storm),
            ..spins
        }),
        ["wake-storm"]
    );
    // Who gets something done in each poll is busy, whoever wakes it.
    for polled in [window, storm] {
        let works = Window {
            busy_ns: 600_000_000,
            ..polled
        };
        assert_eq!(
            names(&TaskFacts {
                window: Some(works),
                ..spins
            }),
            Vec::<&str>::new()
        );
    }
    let short = Window {
        length_ns: SECOND / 4,
        ..window
    };
    assert_eq!(
        names(&TaskFacts {
            window: Some(short),
            ..spins
        }),
        Vec::<&str>::new()
    );
    assert_eq!(
        names(&TaskFacts {
            window: Some(Window {
                self_wakes: 5_399,
                ..window
            }),
            ..spins
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn a_cancel_may_be_ignored_for_so_long() {
    let deaf = TaskFacts {
        cancel_requested_ns: Some(3_995 * SECOND),
        ..waiting()
    };
    assert_eq!(names(&deaf), ["ignored-cancel"]);
    assert_eq!(
        names(&TaskFacts {
            cancel_requested_ns: Some(3_996 * SECOND),
            ..deaf
        }),
        Vec::<&str>::new()
    );
    assert_eq!(
        names(&TaskFacts {
            state: State::Done,
            ..deaf
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn a_future_is_large_from_its_limit_on() {
    assert_eq!(
        names(&TaskFacts {
            future_bytes: Some(16 * 1024),
            ..waiting()
        }),
        ["large-future"]
    );
    assert_eq!(
        names(&TaskFacts {
            future_bytes: Some(16 * 1024 - 1),
            ..waiting()
        }),
        Vec::<&str>::new()
    );
}

#[test]
fn an_error_is_unread_when_nobody_can_read_it_any_more() {
    let ended = EndedFacts {
        ended_at_ns: 7,
        outcome: Outcome::Panicked,
        result_taken: false,
        handles: 0,
    };
    let verdict = unread_error(&ended).expect("unread");
    assert_eq!(
        (verdict.name, verdict.grade, verdict.since_ns),
        (FindingName::UnreadError, Grade::Warning, 7)
    );
    assert!(
        unread_error(&EndedFacts {
            outcome: Outcome::Error,
            ..ended
        })
        .is_some()
    );
    for not in [
        EndedFacts {
            outcome: Outcome::Returned,
            ..ended
        },
        EndedFacts {
            outcome: Outcome::Cancelled,
            ..ended
        },
        EndedFacts {
            result_taken: true,
            ..ended
        },
        EndedFacts {
            handles: 1,
            ..ended
        },
    ] {
        assert_eq!(unread_error(&not), None, "{not:?}");
    }
}

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
fn a_thousand_wakers_are_no_hoard_and_one_more_is() {
    let with = |wakers| TaskFacts {
        wakers,
        ..waiting()
    };
    assert_eq!(names(&with(1_000)), Vec::<&str>::new());
    assert_eq!(names(&with(1_001)), ["waker-hoard"]);
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

#[test]
fn growth_is_of_generations_and_not_of_load() {
    let leak: Vec<u64> = (5..20).collect();
    let facts = |generations| GrowthFacts {
        generations,
        slot_ns: 60 * SECOND,
        at_ns: 10_000 * SECOND,
        oldest_age_ns: 900 * SECOND,
        usual_life_ns: Some(SECOND),
        live: 212,
    };
    assert_eq!(
        growing(&facts(&leak)).map(|verdict| verdict.since_ns),
        Some(9_400 * SECOND)
    );
    // A pool, a rush that is over, and too short a history.
    assert_eq!(growing(&facts(&[9; 15])), None);
    assert_eq!(growing(&facts(&[1, 1, 1, 1, 2, 3, 3, 3, 2, 2, 2, 1])), None);
    assert_eq!(growing(&facts(&leak[..10])), None);
    let young = GrowthFacts {
        usual_life_ns: Some(800 * SECOND),
        ..facts(&leak)
    };
    assert_eq!(growing(&young), None);
    // Too few have ended: users who come and stay look the same for a while.
    let long: Vec<u64> = (5..40).collect();
    let unknown = |generations| GrowthFacts {
        usual_life_ns: None,
        ..facts(generations)
    };
    assert_eq!(growing(&unknown(&leak)), None);
    assert!(growing(&unknown(&long)).is_some());
}

#[test]
fn every_name_has_a_word_a_bit_and_an_explanation() {
    for name in FindingName::ALL {
        assert_eq!(FindingName::from_word(name.word()), Some(name));
        let text = name.explain();
        for part in [
            text.name,
            text.summary,
            text.condition,
            text.cause,
            text.example,
            text.fix,
        ] {
            assert!(part.len() > 4, "{name:?}: {part}");
        }
    }
    assert_eq!(
        FindingName::ALL
            .iter()
            .fold(0, |bits, name| bits | name.bit())
            .count_ones(),
        FindingName::ALL.len() as u32
    );
    assert_eq!(
        bits(&[2, 3, 99, -1]),
        FindingName::Stranded.bit() | FindingName::Deadlocked.bit()
    );
    assert_eq!(
        FindingName::ALL
            .into_iter()
            .filter(|name| name.is_leak())
            .count(),
        3
    );
    assert_eq!(FindingName::from_word("nope"), None);
}

proptest! {
    #[test]
    fn rules_answer_whatever_the_numbers_are(
        numbers: [u64; 8], flags: [bool; 5], optional in prop::array::uniform6(prop::option::of(any::<u64>())), state in 0..4,
    ) {
        let task = TaskFacts {
            at_ns: numbers[0],
            state: [State::Run, State::Ready, State::Wait, State::Done][state as usize],
            since_ns: numbers[1],
            settled: flags[0],
            polls: numbers[2],
            wakers: numbers[3] % 3,
            handles: numbers[4] % 3,
            allowed_forever: flags[1],
            pending_on_purpose: flags[2],
            waits_for_timer: flags[3],
            waits_for_visitors: flags[4],
            parent_ended_ns: optional[0],
            group_dropped_ns: optional[1],
            scope_ended_ns: optional[1],
            grace_over: flags[2],
            cancel_requested_ns: optional[2],
            usual_idle_ns: optional[3],
            ready_tasks: optional[4],
            window: optional[5].map(|length_ns| Window { length_ns, polls: numbers[5], wakes: numbers[6], self_wakes: numbers[7], busy_ns: numbers[2] }),
            future_bytes: optional[0],
        };
        for verdict in of_task(&task, &limits()) {
            prop_assert!(!verdict.evidence.is_empty());
            prop_assert!(verdict.grade == Grade::Certain || !matches!(verdict.name, FindingName::Stranded));
        }
        // Certain is only what was read twice.
        if !task.settled {
            prop_assert!(of_task(&task, &limits()).iter().all(|verdict| verdict.grade != Grade::Certain));
        }
    }
}
