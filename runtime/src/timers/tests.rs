//! Timers on a hand-turned clock.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;
use crate::record::current::Entered;

const MS: u64 = 1_000_000;

type Lines = Arc<Mutex<Vec<(&'static str, Option<Cause>)>>>;

/// Notes its name when woken, and what the record says is the cause.
struct Noted {
    name: &'static str,
    log: Lines,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        let cause = record::current::here(LoopRecord::cause);
        self.log.lock().unwrap().push((self.name, cause));
    }
}

#[derive(Default, Clone)]
struct Log(Lines);

impl Log {
    fn waker(&self, name: &'static str) -> Waker {
        let log = self.0.clone();
        Arc::new(Noted { name, log }).into()
    }

    fn names(&self) -> Vec<&'static str> {
        self.0
            .lock()
            .unwrap()
            .drain(..)
            .map(|(name, _)| name)
            .collect()
    }
}

fn timers() -> (Timers, Arc<LoopRecord>) {
    let record = LoopRecord::new("timers", false, Location::caller());
    (Timers::new(record.clone(), Rc::default()), record)
}

fn sleep(now: u64) -> Arm {
    Arm {
        kind: Kind::Sleep,
        owner: 7,
        now,
        period: 0,
        place: Some(Location::caller()),
    }
}

#[test]
fn deadlines_fire_in_order_and_equal_ones_in_the_order_of_arming() {
    let (timers, _) = timers();
    let log = Log::default();
    for (ms, name) in [
        (30, "30"),
        (10, "10"),
        (20, "20 a"),
        (20, "20 b"),
        (20, "20 c"),
    ] {
        timers.arm(ms * MS, log.waker(name), sleep(0));
    }
    assert_eq!(timers.fire(20 * MS - 1), 1);
    assert_eq!(timers.fire(20 * MS), 3);
    assert_eq!(timers.fire(u64::MAX), 1);
    assert_eq!(log.names(), ["10", "20 a", "20 b", "20 c", "30"]);
}

#[test]
fn deadlines_in_the_past_fire_at_once_the_earlier_first() {
    let (timers, _) = timers();
    let log = Log::default();
    let now = 5_000 * MS;
    timers.fire(now);
    timers.arm(now - MS, log.waker("-1"), sleep(now));
    timers.arm(now - 2 * MS, log.waker("-2"), sleep(now));
    assert!(timers.next_deadline() <= Some(now));
    assert_eq!(timers.fire(now), 2);
    assert_eq!(log.names(), ["-2", "-1"]);
}

#[test]
fn a_deadline_at_the_end_of_time_waits_and_can_be_cancelled() {
    let (timers, _) = timers();
    let key = timers.arm(u64::MAX, Waker::noop().clone(), sleep(1));
    assert_eq!(timers.fire(u64::MAX - 1), 0);
    assert_eq!(timers.next_deadline(), Some(u64::MAX));
    assert!(timers.cancel(key));
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn a_cancelled_head_is_not_waited_for() {
    let (timers, _) = timers();
    let head = timers.arm(MS, Waker::noop().clone(), sleep(0));
    timers.arm(9 * MS, Waker::noop().clone(), sleep(0));
    timers.cancel(head);
    assert_eq!(timers.next_deadline(), Some(9 * MS));
    assert!(!timers.cancel(head), "a second cancel finds nothing");
}

#[test]
fn cancelled_timers_leave_neither_row_nor_waker() {
    let (timers, record) = timers();
    let waker = Arc::new(Noted {
        name: "",
        log: Arc::default(),
    });
    let live = timers.arm(MS, Waker::from(waker.clone()), sleep(0));
    for _ in 0..1_000 {
        let key = timers.arm(3_600_000 * MS, Waker::from(waker.clone()), sleep(0));
        assert!(timers.cancel(key));
    }
    assert_eq!((timers.len(), timers.owner.timers.live()), (1, 1));
    assert_eq!(record.timers.live().count(), 1);
    assert_eq!(Arc::strong_count(&waker), 2);
    assert!(timers.cancel(live));
    assert_eq!(
        (Arc::strong_count(&waker), record.timers.live().count()),
        (1, 0)
    );
}

#[test]
fn a_key_of_the_past_does_not_reach_the_timer_in_its_slot() {
    let (timers, _) = timers();
    let old = timers.arm(MS, Waker::noop().clone(), sleep(0));
    timers.cancel(old);
    let new = timers.arm(MS, Waker::noop().clone(), sleep(0));
    assert_eq!(old.slot, new.slot);
    assert!(!timers.cancel(old) && !timers.rearm(old, 2 * MS, 0) && !timers.is_fired(old));
    assert!(timers.cancel(new));
}

#[test]
fn a_fired_timer_says_so_until_it_is_armed_again_and_counts_its_firings() {
    let (timers, record) = timers();
    let log = Log::default();
    let key = timers.arm(MS, log.waker("tick"), sleep(0));
    assert_eq!(timers.fire(MS + 500), 1);
    assert!(timers.is_fired(key));
    assert!(!timers.rearm(key, 2 * MS, MS), "nobody to wake");
    timers.set_waker(key, &log.waker("tock"));
    assert!(timers.is_fired(key));
    assert!(timers.rearm(key, 2 * MS, MS));
    assert!(!timers.is_fired(key));
    timers.fire(5 * MS);
    assert_eq!(log.names(), ["tick", "tock"]);
    let (_, row) = record.timers.live().next().unwrap();
    let facts = row.read().unwrap();
    assert_eq!((facts.fired, facts.late, facts.armed), (2, 3 * MS, false));
    assert_eq!(facts.late_max, 3 * MS);
    assert!(!timers.cancel(key), "it has fired");
    assert_eq!(record.timers.live().count(), 0);
}

#[test]
fn a_moved_deadline_counts_as_moved_and_fires_once() {
    let (timers, record) = timers();
    let log = Log::default();
    let key = timers.arm(MS, log.waker("x"), sleep(0));
    assert!(timers.rearm(key, 3 * MS, 0));
    assert_eq!(timers.fire(2 * MS), 0);
    assert_eq!(timers.fire(3 * MS), 1);
    assert_eq!(timers.fire(9 * MS), 0);
    let facts = record.timers.live().next().unwrap().1.read().unwrap();
    assert_eq!((facts.rearmed, facts.fired), (1, 1));
}

#[test]
fn lateness_is_counted_where_it_is_noticeable() {
    let (timers, record) = timers();
    for late in [0, 100, 50_000, 2 * MS] {
        timers.arm(MS, Waker::noop().clone(), sleep(0));
        timers.fire(MS + late);
    }
    assert_eq!(record.late.filled().map(|(_, n)| n).sum::<u32>(), 2);
    assert_eq!(record.stats.late_max.load(Ordering::Relaxed), 2 * MS);
    assert_eq!(record.stats.timers_fired.load(Ordering::Relaxed), 4);
}

#[test]
fn the_timer_is_named_as_the_cause_of_what_it_wakes() {
    let (timers, record) = timers();
    let _here = Entered::new(&record);
    let log = Log::default();
    let key = timers.arm(MS, log.waker("x"), sleep(0));
    timers.fire(MS);
    assert_eq!(
        *log.0.lock().unwrap(),
        [("x", Some(Cause::Timer(key.id())))]
    );
    assert_eq!(record.cause(), Cause::Loop);
}

#[test]
fn a_waker_that_panics_harms_no_other_timer() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("on purpose: a broken waker");
        }
    }
    let (timers, _) = timers();
    let log = Log::default();
    timers.arm(MS, Waker::from(Arc::new(Broken)), sleep(0));
    timers.arm(MS, log.waker("after"), sleep(0));
    assert_eq!(timers.fire(MS), 2);
    assert_eq!(log.names(), ["after"]);
}

#[test]
fn a_call_is_gone_once_it_was_called() {
    let (timers, record) = timers();
    let calls = Rc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let call = Action::Call(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let key = timers.arm(MS, call, sleep(0));
    assert_eq!(timers.fire(MS), 1);
    assert_eq!(
        (calls.load(Ordering::Relaxed), Rc::strong_count(&calls)),
        (1, 1)
    );
    assert!(!timers.cancel(key) && !timers.is_fired(key));
    assert_eq!(record.timers.live().count(), 0);
}

#[test]
fn a_call_may_arm_and_cancel_timers() {
    let (timers, _) = timers();
    let timers = Rc::new(timers);
    let log = Log::default();
    let victim = timers.arm(2 * MS, log.waker("victim"), sleep(0));
    let (inner, waker) = (timers.clone(), log.waker("new"));
    let call = Action::Call(Box::new(move || {
        assert!(inner.cancel(victim));
        inner.arm(0, waker, sleep(MS));
    }));
    timers.arm(MS, call, sleep(0));
    assert_eq!(timers.fire(3 * MS) + timers.fire(3 * MS), 2);
    assert_eq!(log.names(), ["new"]);
}
