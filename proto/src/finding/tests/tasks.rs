//! The rules of one task, alive or ended.

use super::*;
use crate::pb::Outcome;

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
        went_on: true,
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
    let burst = Window {
        went_on: false,
        ..window
    };
    assert_eq!(
        names(&TaskFacts {
            window: Some(burst),
            ..spins
        }),
        Vec::<&str>::new(),
        "it waits now, or did when the window began"
    );
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
fn a_thousand_wakers_are_no_hoard_and_one_more_is() {
    let with = |wakers| TaskFacts {
        wakers,
        ..waiting()
    };
    assert_eq!(names(&with(1_000)), Vec::<&str>::new());
    assert_eq!(names(&with(1_001)), ["waker-hoard"]);
}
