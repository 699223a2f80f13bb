//! Verdicts over rows that a test writes, without executor or loop.

use std::sync::atomic::Ordering;

use super::*;
use crate::record::names::NameId;
use crate::record::task::{Birth, TaskRow, phase};
use crate::record::{LoopRecord, Owner};

struct Bench {
    record: Arc<LoopRecord>,
    owner: Owner,
    judge: Judge,
}

impl Bench {
    fn new() -> Self {
        crate::clock::anchor();
        Self {
            record: LoopRecord::new("l", false, Location::caller()),
            owner: Owner::default(),
            judge: Judge::default(),
        }
    }

    /// A task that was polled once, waits, and has no waker and no handle.
    #[track_caller]
    fn lone(&self, id: u64, flags: u8) -> &TaskRow {
        let site = self
            .record
            .sites
            .of(&self.owner.sites, Location::caller(), "shop::a", 8);
        let (_, row) = self.record.tasks.take(&self.owner.tasks).unwrap();
        row.spawned(&Birth {
            id,
            kind: Kind::Task,
            parent: 0,
            at: crate::clock::ticks(),
            site,
            name: NameId::NONE,
            number: 0,
            loop_id: self.record.id.get(),
            flags,
        });
        row.polls.store(1, Ordering::Relaxed);
        row
    }

    fn walk(&mut self) -> Vec<(FindingName, u64)> {
        let look = Look::of(vec![LoopLook::new(self.record.clone())], false);
        let mut walk = self.judge.begin(look);
        while !self.judge.step(&mut walk, 1) {}
        self.judge.end(walk, None);
        let holds = self.judge.holds();
        holds.map(|held| (held.name, held.count)).collect()
    }
}

#[test]
fn what_is_certain_is_said_after_two_walks_that_saw_the_same_poll() {
    let mut bench = Bench::new();
    bench.lone(5, 0);
    assert_eq!(bench.walk(), [], "one walk is no proof");
    assert_eq!(bench.walk(), [(FindingName::Stranded, 1)]);
    let row = bench.record.tasks.get(0).unwrap();
    row.polls.store(2, Ordering::Relaxed);
    assert_eq!(bench.walk(), [], "it was polled: all starts anew");
    assert_eq!(bench.judge.cleared().count(), 1);
}

#[test]
fn a_wake_on_its_way_a_handle_and_a_permission_are_no_strandings() {
    let mut bench = Bench::new();
    bench
        .lone(1, 0)
        .link
        .store(TaskRow::LAST, Ordering::Relaxed);
    bench.lone(2, flag::FOREVER);
    bench.lone(3, 0).refs_here.store(1, Ordering::Relaxed);
    bench
        .lone(4, 0)
        .phase
        .store(phase::RUNNING, Ordering::Relaxed);
    bench.walk();
    assert_eq!(bench.walk(), []);
    bench.lone(5, 0).handles.store(1, Ordering::Relaxed);
    bench.walk();
    assert_eq!(bench.walk(), [(FindingName::StuckAbortable, 1)]);
}

#[test]
fn subjects_of_one_place_are_one_finding_that_keeps_its_id_and_its_beginning() {
    let mut bench = Bench::new();
    for id in 1..=3000 {
        bench.lone(id, 0);
    }
    bench.walk();
    assert_eq!(bench.walk(), [(FindingName::Stranded, 3000)]);
    let first = bench.judge.holds().next().cloned().unwrap();
    bench.walk();
    let again = bench.judge.holds().next().cloned().unwrap();
    assert_eq!((first.id, first.since_ns), (again.id, again.since_ns));
    assert_eq!(bench.judge.by_task().len(), 3000);
    assert_eq!(bench.judge.counts(), [3000, 0, 0, 0]);
    assert!(bench.judge.news.is_empty());
}

#[test]
fn what_was_left_behind_is_said_at_once() {
    let mut bench = Bench::new();
    let row = bench.lone(1, flag::LEFT);
    row.refs_here.store(1, Ordering::Relaxed);
    assert_eq!(bench.walk(), [(FindingName::LeftBehind, 1)]);
}

#[test]
fn the_runtimes_own_tasks_are_no_findings() {
    let mut bench = Bench::new();
    bench.lone(1, flag::INTERNAL);
    bench.walk();
    assert_eq!(bench.walk(), []);
}
