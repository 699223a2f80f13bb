//! The wheel against a sorted map, and what the model cannot show.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(i64),
    /// An insert close by, so that lists of several entries and equal deadlines are common.
    Near(u8),
    Cancel(usize),
    Rearm(usize, i64),
    Advance(u32),
    Leap(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = prop_oneof![
        -1_000..100_000_i64,
        0..10_000_000_000_i64,
        Just(i64::MAX),
        Just(i64::MIN)
    ];
    let step = prop_oneof![
        4 => delay.clone().prop_map(Step::Insert),
        4 => any::<u8>().prop_map(Step::Near),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), delay).prop_map(|(which, to)| Step::Rearm(which, to)),
        3 => (0..200_u32).prop_map(Step::Advance),
        1 => (0..20_000_000_000_u64).prop_map(Step::Leap),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn what_is_due_comes_in_the_order_of_a_sorted_map(start in any::<u32>(), steps in steps()) {
        let mut wheel = Wheel::new();
        let mut model: BTreeMap<(u64, u64), u32> = BTreeMap::new();
        let mut order = 0_u64;
        let mut now = u64::from(start);
        for step in steps {
            match step {
                Step::Insert(delay) => {
                    let deadline = now.saturating_add_signed(delay);
                    order += 1;
                    let index = wheel.insert(deadline, now, order);
                    model.insert((deadline, order), index);
                }
                Step::Near(delay) => {
                    order += 1;
                    let deadline = now + u64::from(delay) * 16;
                    let index = wheel.insert(deadline, now, order);
                    model.insert((deadline, order), index);
                }
                Step::Cancel(which) if !model.is_empty() => {
                    let key = *model.keys().nth(which % model.len()).unwrap();
                    let index = model.remove(&key).unwrap();
                    prop_assert!(wheel.unqueue(index));
                    prop_assert!(!wheel.unqueue(index));
                    prop_assert_eq!(wheel.free(index), Some(key.1));
                }
                Step::Rearm(which, delay) if !model.is_empty() => {
                    let key = *model.keys().nth(which % model.len()).unwrap();
                    let index = model.remove(&key).unwrap();
                    wheel.unqueue(index);
                    order += 1;
                    *wheel.get_mut(index).unwrap() = order;
                    let deadline = now.saturating_add_signed(delay);
                    wheel.queue(index, deadline, now);
                    model.insert((deadline, order), index);
                }
                Step::Cancel(_) | Step::Rearm(..) => {}
                Step::Advance(by) => now += u64::from(by),
                Step::Leap(by) => now += by,
            }
            let next = wheel.next();
            match (next, model.keys().next()) {
                (None, None) => {}
                (Some(next), Some(&(first, _))) => prop_assert!(next <= first),
                (next, first) => prop_assert!(false, "next {next:?}, first {first:?}"),
            }
            while let Some(index) = wheel.pop(now) {
                let (&key, &expected) = model.iter().next().unwrap();
                prop_assert_eq!((wheel.deadline(index), index), (key.0, expected));
                prop_assert!(key.0 <= now, "early");
                prop_assert_eq!(wheel.free(index), Some(key.1));
                model.remove(&key);
            }
            prop_assert!(model.keys().next().is_none_or(|&(first, _)| first > now), "not taken");
            prop_assert_eq!(wheel.queued(), model.len());
        }
    }
}

#[test]
fn a_cancelled_head_leaves_the_next_live_deadline() {
    let mut wheel = Wheel::new();
    let head = wheel.insert(1_000_000, 0, "head");
    wheel.insert(5_000_000, 0, "next");
    assert_eq!(wheel.next(), Some(1_000_000));
    assert!(wheel.unqueue(head));
    assert_eq!(wheel.next(), Some(5_000_000));
}

#[test]
fn cancelled_entries_leave_nothing_behind() {
    let mut wheel = Wheel::new();
    wheel.insert(u64::MAX, 0, 0);
    for round in 1..10_000 {
        let index = wheel.insert(round * 1_000_000, round, 1);
        assert!(wheel.unqueue(index));
        wheel.free(index);
    }
    assert_eq!((wheel.queued(), wheel.entries.len()), (1, 2));
}

#[test]
fn many_close_deadlines_tell_a_moment_not_after_the_first() {
    let mut wheel = Wheel::new();
    for i in 0..1_000_u64 {
        wheel.insert(1_000_000_000 + i * 1_000, 0, i);
    }
    let mut now = 0;
    let mut looks = 0;
    while let Some(next) = wheel.next().filter(|&next| next < 1_000_000_000) {
        assert!(next > now, "no turn without progress");
        now = next;
        assert_eq!(wheel.pop(now), None);
        looks += 1;
    }
    assert!(looks <= LEVELS, "{looks} looks in vain");
    assert_eq!(wheel.next(), Some(1_000_000_000));
}
