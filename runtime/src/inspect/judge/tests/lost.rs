//! What is said where data was lost: each test loses some, and looks whether the verdict says so.

use super::*;
use crate::record::asked::By;
use crate::record::ended;
use crate::record::site;

impl Bench {
    fn told_of(&self, name: FindingName) -> String {
        let mut holds = self.judge.holds();
        let held = holds.find(|held| held.name == name);
        held.map(|held| held.evidence.join("; "))
            .unwrap_or_default()
    }

    fn look(&self) -> Look {
        Look::of(vec![LoopLook::new(self.record.clone())], false)
    }

    /// `count` tasks of one place end, with that error; empty: well.
    #[track_caller]
    fn end(&self, ids: std::ops::Range<u64>, error: &str) {
        let outcome = match error {
            "" => Outcome::Returned,
            _ => Outcome::Panicked,
        };
        for id in ids {
            let row = self.lone(id, flag::DETACHED);
            let at = crate::clock::ticks();
            self.record.ended.write(row, outcome, at, error);
            let tasks = &self.record.tasks;
            let slot = tasks.live().find(|(_, live)| live.task_id() == id);
            let (slot, _) = slot.expect("it is one of them");
            row.vacate();
            tasks.give_back(&self.owner.tasks, slot);
        }
    }
}

/// The tick so many seconds ago.
fn ago(seconds: u64) -> u64 {
    crate::clock::ticks() - crate::clock::ns_to_ticks(Duration::from_secs(seconds))
}

const ROWS: u64 = ended::CAPACITY as u64;

#[test]
fn an_unread_error_stays_found_when_its_row_is_overwritten() {
    let mut bench = Bench::new();
    bench.end(1..4, "no such ticket");
    assert_eq!(bench.walk(), [(FindingName::UnreadError, 3)]);
    let id = bench.judge.holds().next().unwrap().id;
    bench.end(10..10 + ROWS - 1, "");
    assert_eq!(bench.walk(), [(FindingName::UnreadError, 3)]);
    let told = bench.told_of(FindingName::UnreadError);
    assert!(
        told.contains("rows of it that were overwritten since: 2"),
        "{told}"
    );
    bench.end(10_000..10_000 + ROWS, "");
    assert_eq!(bench.walk(), [(FindingName::UnreadError, 3)]);
    bench.end(20_000..20_001, "no such seat");
    let all = bench.walk();
    assert_eq!(all.len(), 2, "one of another place: {all:?}");
    let mut holds = bench.judge.holds();
    let first = holds.find(|held| held.id == id).unwrap();
    let told = first.evidence.join("; ");
    assert!(told.contains("no such ticket"), "{told}");
    assert!(told.contains("overwritten since: 3"), "{told}");
    assert!(!told.contains("from incomplete data"), "{told}");
    assert_eq!((first.count, bench.judge.cleared().count()), (3, 0));
}

#[test]
fn an_unread_error_tells_of_rows_that_nobody_saw() {
    let mut bench = Bench::new();
    bench.walk();
    // One more than the ring holds between two walks.
    bench.end(1..2 + ROWS, "no such ticket");
    let held = bench.walk();
    assert_eq!(held, [(FindingName::UnreadError, ROWS)]);
    let told = bench.told_of(FindingName::UnreadError);
    assert!(
        told.contains(
            "from incomplete data: 1 ended rows were overwritten before they were looked at"
        ),
        "{told}"
    );
    assert!(told.contains("text was overwritten"), "{told}");
    assert_eq!(bench.judge.losses().errors, 1);
}

#[test]
fn a_request_that_is_forgotten_makes_its_time_a_lower_bound() {
    let mut bench = Bench::new();
    let row = bench.lone(1, 0);
    row.refs_here.store(1, Ordering::Relaxed);
    row.cancels.store(1, Ordering::Relaxed);
    let ask = |id, at| bench.record.requests.ask(id, By::Viewer, None, None, at);
    ask(1, ago(6));
    assert_eq!(bench.walk(), [(FindingName::IgnoredCancel, 1)]);
    let told = bench.told_of(FindingName::IgnoredCancel);
    assert!(!told.contains("or more"), "{told}");
    let record = bench.record.clone();
    for id in 10..10 + ROWS {
        let now = crate::clock::ticks();
        record.requests.ask(id, By::Viewer, None, None, now);
    }
    // First seen now, and so no longer ago than that.
    assert_eq!(bench.walk(), []);
    bench.walk_after(6_000_000_000);
    let told = bench.told_of(FindingName::IgnoredCancel);
    assert!(told.contains(" ago or more: when is forgotten"), "{told}");
}

#[test]
fn a_parent_whose_ended_row_is_gone_ended_no_one_knows_when() {
    for overwrite in [false, true] {
        let mut bench = Bench::new();
        let record = bench.record.clone();
        bench.lone(1, flag::FOREVER);
        let child = bench.lone(2, 0);
        child.parent.store(1, Ordering::Relaxed);
        child.refs_here.store(1, Ordering::Relaxed);
        bench.walk();
        bench.walk();
        let parent = record.tasks.get(0).unwrap();
        record.ended.write(parent, Outcome::Returned, ago(11), "");
        parent.vacate();
        if overwrite {
            bench.end(100..100 + ROWS, "");
        }
        bench.walk();
        bench.walk_after(11_000_000_000);
        let told = bench.told_of(FindingName::OutlivedParent);
        assert!(told.contains("the task that spawned it ended"), "{told}");
        assert_eq!(
            told.contains(" ago or more: its ended row was overwritten"),
            overwrite,
            "{told}"
        );
    }
}

#[test]
fn places_that_are_not_told_apart_have_nothing_that_is_usual_and_no_size() {
    let mut bench = Bench::new();
    for number in 0..site::CAP {
        let name = &*Box::leak(format!("T{number}").into_boxed_str());
        let place = Location::caller();
        bench
            .record
            .sites
            .of(&bench.owner.sites, place, name, 1 << 20);
    }
    let large = bench.lone(1, 0);
    assert_eq!(large.site(), site::OTHER);
    large.refs_here.store(1, Ordering::Relaxed);
    crate::record::count(&bench.record.sites.get(site::OTHER).unwrap().spawned);
    // As many as make it known what is usual, of one place; and one that sleeps far longer.
    for id in 2..200 {
        sleeper(&bench, id, 0);
    }
    sleeper(&bench, 500, 5);
    bench.walk();
    assert_eq!(bench.walk(), []);
    let missing = bench
        .judge
        .losses()
        .missing(loop_proto::pb::Target::Findings);
    assert!(
        missing.contains("1 tasks were spawned at more places"),
        "{missing}"
    );
}

#[test]
fn who_sleeps_too_long_is_told_with_how_many_waits_that_is_known_from() {
    let mut bench = Bench::new();
    for id in 1..200 {
        sleeper(&bench, id, 0);
    }
    sleeper(&bench, 500, 5);
    bench.walk();
    bench.walk();
    let told = bench.told_of(FindingName::IdleOrphan);
    assert!(told.contains(" waits that were looked at"), "{told}");
    assert!(!told.contains(" by 0 waits"), "{told}");
}

#[test]
fn rows_that_found_their_table_full_are_told_by_every_suspect_and_by_nothing_certain() {
    let mut bench = Bench::new();
    let stats = &bench.record.stats.unrecorded;
    stats.store(3, Ordering::Relaxed);
    bench.lone(1, 0);
    bench.lone(2, 0).handles.store(1, Ordering::Relaxed);
    bench.walk();
    bench.walk();
    let certain = bench.told_of(FindingName::Stranded);
    assert!(
        !certain.is_empty() && !certain.contains("incomplete"),
        "{certain}"
    );
    let warning = bench.told_of(FindingName::StuckAbortable);
    assert!(
        warning.contains("from incomplete data: 3 rows found their table full"),
        "{warning}"
    );
    let look = bench.look();
    let losses = losses::Losses::of(&look, None);
    assert_eq!(losses.unrecorded, 3);
}

#[test]
fn blocking_calls_of_places_that_are_not_told_apart_are_counted() {
    let bench = Bench::new();
    let calls = &bench.record.calls;
    calls.switch(crate::record::calls::Mode::Warn, |_| String::new());
    let row = bench.lone(1, 0);
    for frame in 1..=crate::record::calls::PLACES + 2 {
        let call = crate::record::calls::Call::Read;
        calls.note(call, &[frame], row, 5, 0);
    }
    let losses = losses::Losses::of(&bench.look(), None);
    let told = losses.behind(FindingName::BlockingCall, loop_proto::pb::Grade::Warning);
    assert!(told.is_some_and(|told| told.contains("2 blocking calls from further places")));
}
