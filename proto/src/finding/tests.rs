//! Each rule just on both sides of its condition.

mod tasks;
mod things;

use proptest::prelude::*;

use super::*;

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
fn growth_is_of_generations_and_not_of_load() {
    let leak: Vec<u64> = (5..20).collect();
    let facts = |generations| GrowthFacts {
        generations,
        slot_ns: 60 * SECOND,
        at_ns: 10_000 * SECOND,
        oldest_age_ns: 900 * SECOND,
        usual_life_ns: Some(SECOND),
        usual_of: 40,
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
            parent_end_forgotten: flags[3],
            group_dropped_ns: optional[1],
            scope_ended_ns: optional[1],
            grace_over: flags[2],
            cancel_requested_ns: optional[2],
            cancel_forgotten: flags[4],
            usual_idle_ns: optional[3],
            usual_of: numbers[6],
            ready_tasks: optional[4],
            window: optional[5].map(|length_ns| Window { length_ns, polls: numbers[5], wakes: numbers[6], self_wakes: numbers[7], busy_ns: numbers[2], went_on: flags[0] }),
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
