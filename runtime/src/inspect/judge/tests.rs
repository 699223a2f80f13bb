//! Verdicts over rows that a test writes, without executor or loop.

use std::sync::atomic::Ordering;

use super::*;
use crate::record::names::NameId;
use crate::record::task::{Birth, Kind, On, Outcome, TaskRow, flag, phase};
use crate::record::timer::Kind as TimerKind;
use crate::record::{LoopRecord, Owner};

mod lost;

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
        self.walk_after(0)
    }

    /// A walk, with `meanwhile` between its two looks.
    fn looks(&mut self, meanwhile: impl FnOnce(&mut Judge)) -> Vec<(FindingName, u64)> {
        let look = Look::of(vec![LoopLook::new(self.record.clone())], false);
        let mut walk = self.judge.begin(look);
        while !self.judge.step(&mut walk, 1) {}
        assert!(self.judge.doubts(&mut walk));
        meanwhile(&mut self.judge);
        while !self.judge.again(&mut walk, 1) {}
        self.judge.end(walk, None);
        let holds = self.judge.holds();
        holds.map(|held| (held.name, held.count)).collect()
    }

    /// A walk so many nanoseconds from now.
    fn walk_after(&mut self, later: u64) -> Vec<(FindingName, u64)> {
        let mut look = Look::of(vec![LoopLook::new(self.record.clone())], false);
        look.now.mono += later;
        self.judge.at_once(look, None, 1);
        let holds = self.judge.holds();
        holds.map(|held| (held.name, held.count)).collect()
    }
}

#[test]
fn what_is_certain_is_said_after_a_second_look_that_saw_the_same_poll() {
    let mut bench = Bench::new();
    bench.lone(5, 0);
    let record = bench.record.clone();
    let row = record.tasks.get(0).unwrap();
    assert_eq!(bench.walk(), [(FindingName::Stranded, 1)]);
    let polled = |_: &mut Judge| row.polls.store(2, Ordering::Relaxed);
    assert_eq!(bench.looks(polled), [], "it was polled between the looks");
    assert_eq!(bench.judge.cleared().count(), 1);
    assert_eq!(bench.walk(), [(FindingName::Stranded, 1)], "and not again");
    let woken = |_: &mut Judge| row.link.store(TaskRow::LAST, Ordering::Relaxed);
    assert_eq!(bench.looks(woken), [], "it was woken between the looks");
    row.link.store(std::ptr::null_mut(), Ordering::Relaxed);
    let ended = |_: &mut Judge| row.finished(Outcome::Returned);
    assert_eq!(bench.looks(ended), [], "it ended between the looks");
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
fn a_stranding_tells_whether_the_poll_kept_no_waker_or_who_dropped_the_last() {
    let evidence = |bench: &mut Bench| {
        bench.walk();
        bench.walk();
        let held = bench.judge.holds().next().unwrap();
        held.evidence.join("; ")
    };
    let mut bench = Bench::new();
    bench.lone(1, 0);
    let told = evidence(&mut bench);
    assert!(
        told.contains("its poll returned Pending and kept no waker"),
        "{told}"
    );

    let mut bench = Bench::new();
    let row = std::ptr::from_ref(bench.lone(1, 0));
    bench
        .record
        .last_waker_dropped(bench.record.tasks.at(row).unwrap());
    let told = evidence(&mut bench);
    assert!(told.contains("its last waker was dropped "), "{told}");
    assert!(
        told.contains(" ago by the loop, outside any poll"),
        "{told}"
    );

    let mut bench = Bench::new();
    let row = std::ptr::from_ref(bench.lone(1, 0));
    let record = bench.record.clone();
    let row = record.tasks.at(row).unwrap();
    record.waker_dropped_away(row);
    let told = evidence(&mut bench);
    assert!(told.contains(" ago by thread "), "{told}");
    assert!(told.contains("where is not known"), "{told}");
    // It was polled since: that drop is no news of this wait.
    row.polls.store(2, Ordering::Relaxed);
    row.woken_at.store(crate::clock::ticks(), Ordering::Relaxed);
    let told = evidence(&mut bench);
    assert!(
        told.contains("its last poll returned Pending and kept no waker"),
        "{told}"
    );
    // Very many drops since: what they overwrote is not known.
    for _ in 0..200 {
        bench.record.last_waker_dropped(&TaskRow::default());
    }
    let told = evidence(&mut bench);
    assert!(told.contains("is not known: very many"), "{told}");
}

#[test]
fn a_timer_is_an_orphan_when_its_task_has_ended_in_two_looks_or_long_asks_no_more() {
    let mut bench = Bench::new();
    let task = std::ptr::from_ref(bench.lone(5, 0));
    let record = bench.record.clone();
    let task = record.tasks.at(task).unwrap();
    task.refs_here.store(1, Ordering::Relaxed);
    let now = crate::clock::mono();
    let (_, timer) = record.timers.take(&bench.owner.timers).unwrap();
    let asker = (std::ptr::from_ref(task).cast_mut(), 1);
    let hour = now + 3_600_000_000_000;
    timer.armed(9, TimerKind::Sleep, (5, asker), now, hour, None);
    task.handles.store(1, Ordering::Relaxed);
    task.polls.store(1_000, Ordering::Relaxed);
    assert_eq!(bench.walk_after(61_000_000_000), [], "999 polls since");
    task.polls.store(1_001, Ordering::Relaxed);
    assert_eq!(bench.walk(), [], "armed just now");
    let orphan = [(FindingName::OrphanTimer, 1)];
    assert_eq!(bench.walk_after(61_000_000_000), orphan);
    timer.asked_by((asker.0, 1_002));
    assert_eq!(bench.walk_after(62_000_000_000), [], "it asked again");
    task.finished(Outcome::Returned);
    assert_eq!(bench.walk(), [], "it may have given it away");
    assert_eq!(bench.walk(), orphan);
    timer.asked_by((std::ptr::null_mut(), 0));
    assert_eq!(bench.walk(), [], "a waker of another make");
}

fn other_place() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn late_timers_of_a_loop_are_one_finding_however_many_places_they_are_of() {
    let mut bench = Bench::new();
    let record = bench.record.clone();
    let now = crate::clock::mono();
    let places = [Location::caller(), other_place()];
    for id in 1..=12 {
        let (_, timer) = record.timers.take(&bench.owner.timers).unwrap();
        let place = places[id as usize % 2];
        let asker = (std::ptr::null_mut(), 0);
        let due = now - id * 200_000_000;
        timer.armed(id, TimerKind::Sleep, (0, asker), due - 1, due, Some(place));
    }
    assert_eq!(bench.walk(), [(FindingName::LateTimer, 12)]);
    let held = bench.judge.holds().next().unwrap().clone();
    assert_eq!(held.subject_id, 12, "the latest of them");
    assert!(
        held.evidence[0].starts_with("12 timers late at 2 places, worst 2.4"),
        "{held:?}"
    );
    // The worst one fires: the same finding goes on with the next.
    record
        .timers
        .live()
        .filter(|(_, timer)| timer.timer_id() == 12)
        .for_each(|(_, timer)| timer.vacate());
    assert_eq!(bench.walk(), [(FindingName::LateTimer, 11)]);
    let next = bench.judge.holds().next().unwrap();
    assert_eq!((next.id, next.subject_id), (held.id, 11));
    assert_eq!(bench.judge.cleared().count(), 0);
}

/// One of a place whose tasks usually sleep for 10 ms. It has a waker and no handle, and has slept
/// for `minutes`.
fn sleeper(bench: &Bench, id: u64, minutes: u64) {
    let row = bench.lone(id, 0);
    let ticks = |span| crate::clock::ns_to_ticks(span);
    let now = row.spawned_at.load(Ordering::Relaxed);
    let woken = now - ticks(Duration::from_secs(60 * minutes));
    row.refs_here.store(1, Ordering::Relaxed);
    row.polls.store(100, Ordering::Relaxed);
    row.woken_at.store(woken, Ordering::Relaxed);
    let born = woken - ticks(Duration::from_millis(990));
    row.spawned_at.store(born, Ordering::Relaxed);
}

#[test]
fn who_sleeps_far_longer_than_others_of_its_place_is_an_orphan_and_a_pool_is_not() {
    let mut bench = Bench::new();
    for id in 1..=30 {
        sleeper(&bench, id, 2);
    }
    bench.walk();
    assert_eq!(bench.walk(), [], "a pool at night");

    let mut bench = Bench::new();
    for id in 1..=30 {
        sleeper(&bench, id, if id == 7 { 2 } else { 0 });
    }
    assert_eq!(bench.walk(), [], "what is usual takes a walk");
    assert_eq!(bench.walk(), [(FindingName::IdleOrphan, 1)]);
    assert_eq!(bench.judge.holds().next().unwrap().subject_id, 7);
    let row = bench
        .record
        .tasks
        .live()
        .find(|(_, row)| row.task_id() == 7);
    row.unwrap().1.set_flag(flag::FOREVER, true);
    assert_eq!(bench.walk(), [], "a daemon");
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
fn the_end_of_a_scope_is_dated_by_the_clock_that_its_grace_was_measured_with() {
    const MS: u64 = 1_000_000;
    let mut bench = Bench::new();
    let row = bench.lone(1, flag::LEFT);
    row.refs_here.store(1, Ordering::Relaxed);
    let now = crate::clock::mono();
    let mut dated = |ended: u64, over: u64, grace: u64| {
        for (word, value) in bench
            .record
            .facts
            .scope_end
            .iter()
            .zip([ended, over, grace])
        {
            word.store(value, Ordering::Relaxed);
        }
        bench.walk();
        let held = bench.judge.holds().next().unwrap();
        let ago = held.last_seen_ns - held.since_ns;
        (held.evidence[0].clone(), ago >= 300 * MS, ago < 5_000 * MS)
    };
    // On a real clock: it ended 300 ms ago, the grace of 250 ms was over 50 ms ago.
    let (said, ..) = dated(now - 300 * MS, now - 50 * MS, 250 * MS);
    assert!(said.starts_with("its run, scope or test ended 3"), "{said}");
    // On a turned one a grace of an hour took no time; it counts all the same.
    let (said, old, young) = dated(now - 2 * MS, now - MS, 3_600_000 * MS);
    assert!(
        said.starts_with("its run, scope or test ended 1 h 0 min"),
        "{said}"
    );
    assert_eq!((old, young), (true, false));
}

#[test]
fn a_task_whose_group_was_dropped_outlives_it() {
    let mut bench = Bench::new();
    let row = bench.lone(1, flag::OUTLIVED);
    row.refs_here.store(1, Ordering::Relaxed);
    row.handles.store(1, Ordering::Relaxed);
    assert_eq!(bench.walk(), [(FindingName::OutlivedParent, 1)]);
}

#[test]
fn the_runtimes_own_tasks_are_no_findings() {
    let mut bench = Bench::new();
    bench.lone(1, flag::INTERNAL);
    bench.walk();
    assert_eq!(bench.walk(), []);
}

/// Moves the counts of `row` on as a second of life would.
fn lives(row: &TaskRow, record: &LoopRecord, polls: u64, poll_ns: u64, by_itself: bool) {
    row.polls.fetch_add(polls, Ordering::Relaxed);
    let busy = crate::clock::ns_to_ticks(std::time::Duration::from_nanos(polls * poll_ns));
    row.busy.fetch_add(busy, Ordering::Relaxed);
    if by_itself {
        record.current.enter(row, crate::clock::ticks());
    }
    for _ in 0..polls {
        row.woken_again(record);
    }
    record.current.phase(
        crate::record::current::Doing::Turning,
        crate::clock::ticks(),
    );
}

#[test]
fn who_wakes_itself_without_end_spins_and_who_is_woken_without_end_is_in_a_storm() {
    const SECOND: u64 = 1_000_000_000;
    for (polls, poll_ns, by_itself, expected) in [
        (50_000, 200, true, Some(FindingName::Spinning)),
        (50_000, 200, false, Some(FindingName::WakeStorm)),
        // It works, and gives its turn away in between.
        (20_000, 40_000, true, None),
        // It yields now and then.
        (900, 200, true, None),
        // A server's task.
        (3_000, 2_000, false, None),
    ] {
        let mut bench = Bench::new();
        let row = bench.lone(1, 0);
        row.refs_here.store(1, Ordering::Relaxed);
        row.handles.store(1, Ordering::Relaxed);
        let row = std::ptr::from_ref(row);
        let record = bench.record.clone();
        let row = record.tasks.at(row).unwrap();
        if by_itself {
            row.link.store(TaskRow::LAST, Ordering::Relaxed);
        }
        lives(row, &record, 1_000, 200, by_itself);
        assert_eq!(bench.walk_after(0), [], "one look is no rate");
        lives(row, &record, polls, poll_ns, by_itself);
        let found: Vec<_> = expected.map(|name| (name, 1)).into_iter().collect();
        assert_eq!(bench.walk_after(SECOND), found, "{polls} polls");
        assert_eq!(bench.walk_after(SECOND + SECOND / 10), found, "it holds");
        assert_eq!(bench.walk_after(3 * SECOND), [], "it has come to rest");
    }
}

#[test]
fn who_woke_itself_in_a_burst_and_waits_now_does_not_spin() {
    let mut bench = Bench::new();
    let record = bench.record.clone();
    let task = std::ptr::from_ref(bench.lone(5, 0));
    let task = record.tasks.at(task).unwrap();
    task.refs_here.store(1, Ordering::Relaxed);
    let ready = |queued: bool| {
        let link = if queued {
            TaskRow::LAST
        } else {
            std::ptr::null_mut()
        };
        task.link.store(link, Ordering::Relaxed);
    };
    let runs = |polls: u32| {
        task.polls.store(polls.into(), Ordering::Relaxed);
        task.woke_itself(polls);
    };
    let second = 1_000_000_000;
    let spinning = [(FindingName::Spinning, 1)];
    ready(true);
    runs(1_000);
    assert_eq!(bench.walk(), [], "its first look");
    runs(3_000);
    assert_eq!(bench.walk_after(second), spinning);
    // It went on for a moment after that look, and waits.
    runs(5_000);
    ready(false);
    assert_eq!(bench.walk_after(2 * second), []);
    // A burst while nobody looked, between two waits.
    runs(9_000);
    assert_eq!(bench.walk_after(3 * second), []);
    ready(true);
    runs(12_000);
    assert_eq!(
        bench.walk_after(4 * second),
        [],
        "it waited when this began"
    );
    runs(15_000);
    assert_eq!(bench.walk_after(5 * second), spinning);
}

mod deadlocks;
