//! Who waits for whom, over rows that a test writes.

use super::*;
use crate::record::resource::{Kind as Thing, ResourceRow, state};
use crate::record::task::WaitingOn;

impl Bench {
    /// A task whose one waker lies where it waits.
    #[track_caller]
    fn waits(&self, id: u64, on: On, what: u64) -> &TaskRow {
        let row = self.lone(id, 0);
        row.refs_here.store(1, Ordering::Relaxed);
        row.waits.store(1, Ordering::Relaxed);
        let on = WaitingOn::new(on, what);
        row.waiting_on.store(on.0, Ordering::Relaxed);
        row
    }

    #[track_caller]
    fn thing(&self, id: u64, kind: Thing, waiters: u32) -> &ResourceRow {
        let (_, row) = self.record.resources.take(&self.owner.resources).unwrap();
        row.made(id, kind, 0, crate::clock::ticks(), Location::caller());
        row.waiters.store(waiters, Ordering::Relaxed);
        row
    }

    fn lock(&self, id: u64, holder: u64) -> &ResourceRow {
        let row = self.thing(id, Thing::Lock, 1);
        row.held(holder, crate::clock::ticks());
        row.taken_at.set(Location::caller());
        row
    }

    /// A semaphore all of whose permits are out: each task has one.
    fn semaphore(&self, id: u64, holders: &[u64], waiters: u32) -> &ResourceRow {
        let row = self.thing(id, Thing::Semaphore, waiters);
        row.out.store(holders.len() as u32, Ordering::Relaxed);
        for (permit, holder) in row.permits.iter().zip(holders) {
            permit.store(*holder, Ordering::Relaxed);
        }
        row
    }

    /// What a walk finds, with the grade.
    fn found(&mut self) -> Vec<(FindingName, Grade, u64)> {
        self.walk();
        let holds = self.judge.holds();
        holds
            .map(|held| (held.name, held.grade, held.count))
            .collect()
    }

    fn evidence(&self) -> Vec<String> {
        let held = self.judge.holds().next().expect("something was found");
        held.evidence.clone()
    }
}

const SUSPECT: (FindingName, Grade, u64) = (FindingName::Deadlocked, Grade::Suspect, 1);

#[test]
fn a_circle_of_joins_is_certain_and_one_of_locks_is_suspected() {
    let mut joins = Bench::new();
    joins
        .waits(1, On::Task, 2)
        .handles
        .store(1, Ordering::Relaxed);
    joins
        .waits(2, On::Task, 1)
        .handles
        .store(1, Ordering::Relaxed);
    let record = joins.record.clone();
    let row = record.tasks.get(1).unwrap();
    let polled = |_: &mut Judge| row.polls.store(2, Ordering::Relaxed);
    assert_eq!(joins.looks(polled), [], "it was polled between the looks");
    let held = |_: &mut Judge| row.handles.store(2, Ordering::Relaxed);
    assert_eq!(joins.looks(held), [], "somebody may cancel it by now");
    row.handles.store(1, Ordering::Relaxed);
    let found = joins.found();
    assert_eq!(found, [(FindingName::Deadlocked, Grade::Certain, 1)]);

    let mut locks = Bench::new();
    locks.lock(11, 1);
    locks.lock(12, 2);
    locks.waits(1, On::Resource, 12);
    locks.waits(2, On::Resource, 11);
    assert_eq!(locks.found(), [SUSPECT]);
}

#[test]
fn the_evidence_is_a_chain_that_follows_who_waits_for_whom() {
    let mut bench = Bench::new();
    for (lock, holder) in [(11, 1), (12, 2), (13, 3)] {
        bench.lock(lock, holder);
    }
    // 3 → 1 → 2 → 3, and 9 behind 2.
    for (task, lock) in [(3, 11), (1, 12), (2, 13), (9, 12)] {
        bench.waits(task, On::Resource, lock);
    }
    assert_eq!(bench.found(), [SUSPECT]);
    let evidence = bench.evidence();
    assert_eq!(evidence[0], "4 tasks can only be woken by each other");
    let order: Vec<&str> = evidence[1..5].iter().map(|line| &line[..6]).collect();
    assert_eq!(order, ["task 1", "task 2", "task 3", "task 9"]);
    assert!(evidence[5].starts_with("suspected, not certain: a guard"));
    for (line, holder) in evidence[1..5]
        .iter()
        .zip(["task 2", "task 3", "task 1", "task 2"])
    {
        assert!(line.contains(&format!("held by {holder} ")), "{line}");
        assert!(
            line.contains("taken at ") && line.contains("deadlocks.rs:"),
            "{line}"
        );
    }
}

#[test]
fn a_guard_that_may_be_anywhere_and_a_holder_that_moves_are_no_deadlock() {
    let mut bench = Bench::new();
    bench.lock(11, 1).may_move();
    bench.waits(1, On::Resource, 11);
    assert_eq!(bench.found(), [], "its guard was moved");

    let mut bench = Bench::new();
    bench.lock(11, 2);
    bench.waits(1, On::Resource, 11);
    bench.waits(2, On::Timer, 5);
    assert_eq!(bench.found(), [], "its holder sleeps");
}

#[test]
fn permits_that_are_used_up_by_who_wants_more_are_a_deadlock() {
    let mut bench = Bench::new();
    bench.semaphore(11, &[1, 2], 2);
    bench.waits(1, On::Resource, 11);
    bench.waits(2, On::Resource, 11);
    assert_eq!(bench.found(), [SUSPECT]);
    assert!(bench.evidence()[1].contains("its 2 permits are held by task 1"));
}

#[test]
fn permits_that_somebody_else_may_give_back_are_no_deadlock() {
    let of = |arrange: &dyn Fn(&Bench)| {
        let mut bench = Bench::new();
        arrange(&bench);
        bench.waits(1, On::Resource, 11);
        bench.waits(2, On::Resource, 11);
        bench.found()
    };
    let one_is_unknown = of(&|bench| {
        bench.semaphore(11, &[1, 2, 0], 2);
    });
    assert_eq!(one_is_unknown, []);
    let by_hand = of(&|bench| {
        let row = bench.semaphore(11, &[1, 2], 2);
        row.state.store(state::BY_HAND, Ordering::Relaxed);
    });
    assert_eq!(by_hand, []);
    let a_third_waits_elsewhere_too = of(&|bench| {
        bench.semaphore(11, &[1, 2], 3);
    });
    assert_eq!(a_third_waits_elsewhere_too, []);
    let nobody_took_one = of(&|bench| {
        bench.semaphore(11, &[], 2);
    });
    assert_eq!(nobody_took_one, [], "it counts something else");
    let one_can_be_cancelled = of(&|bench| {
        bench.semaphore(11, &[1, 2, 3], 3);
        let row = bench.waits(3, On::Resource, 11);
        row.handles.store(1, Ordering::Relaxed);
    });
    assert_eq!(one_can_be_cancelled, []);
}

#[test]
fn many_groups_are_counted_and_few_are_told() {
    let mut bench = Bench::new();
    for first in (1..=400).step_by(2) {
        for (task, other) in [(first, first + 1), (first + 1, first)] {
            let row = bench.waits(task, On::Task, other);
            row.handles.store(1, Ordering::Relaxed);
        }
    }
    assert_eq!(
        bench.found(),
        [(FindingName::Deadlocked, Grade::Certain, 200)]
    );
    assert_eq!(bench.judge.by_task().len(), 400);
    assert!(bench.evidence().len() > 1, "one of them is told");
}
