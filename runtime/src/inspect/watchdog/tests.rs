//! Loops made by hand on threads of their own, looked at from outside. Real time by nature: each
//! test waits for what it wants to see and asserts no upper bound of a time.
#![allow(clippy::disallowed_methods)] // A thread's sleep inside a poll is what is looked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::super::blocks::{Block, Seen, Verdict};
use super::super::cause;
use super::super::stack::names::PlaceKind;
use super::*;
use crate::id::{self, LoopId};
use crate::record::current::Doing;
use crate::record::names;
use crate::record::site::SiteIndex;
use crate::record::slab::Slots;
use crate::record::task::{Birth, Kind};

/// One watchdog for all tests, as a process has one.
fn watchdog() -> &'static Watchdog {
    static ONE: OnceLock<Watchdog> = OnceLock::new();
    ONE.get_or_init(|| Watchdog::start(Settings::default()).unwrap())
}

/// A record that is on the list of loops while it lives.
struct Listed(Arc<LoopRecord>);

impl Listed {
    #[track_caller]
    fn new(budget: Duration) -> Self {
        let record = LoopRecord::new("toy", false, std::panic::Location::caller());
        record.set_budget(budget);
        record::enlist(&record);
        Self(record)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        record::strike(&self.0);
    }
}

/// Polls one task once, on the calling thread, and runs `poll` in it. Returns the task's id.
#[track_caller]
fn poll_once(record: &Arc<LoopRecord>, poll: impl FnOnce()) -> u64 {
    let frame = 0_u8;
    record.current.set_base(std::ptr::from_ref(&frame) as usize);
    let (slots, sites) = (Slots::default(), SiteIndex::default());
    let place = std::panic::Location::caller();
    let site = record.sites.of(&sites, place, "Toy", 1);
    let (_, row) = record.tasks.take(&slots).unwrap();
    let id = id::single();
    let now = clock::ticks();
    row.spawned(&Birth {
        id,
        kind: Kind::Task,
        parent: 0,
        at: now,
        site,
        name: names::intern("toy"),
        number: 1,
        loop_id: record.id.get(),
        flags: 0,
    });
    record.current.unpark(now);
    record.phase(Doing::Polling, now);
    row.poll_begin(record, now);
    poll();
    let end = clock::ticks();
    row.poll_end(record, now, end, true);
    record.current.phase(Doing::Turning, end);
    record.current.park(clock::ticks());
    id
}

/// Waits until `see` sees something. Half a minute is for a test that would hang, not a limit.
fn wait_for<T>(mut see: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(seen) = see() {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "never seen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn proven(id: LoopId) -> Option<Arc<Block>> {
    let block = watchdog().blocks().now(id)?;
    matches!(block.verdict, Verdict::Proven | Verdict::Soft).then_some(block)
}

fn filed(id: LoopId) -> Option<Arc<Block>> {
    watchdog().blocks().recent(id).into_iter().next()
}

#[inline(never)]
fn spin_until_told(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// A loop on a thread of its own, in the one poll that it makes.
struct Held {
    record: Arc<LoopRecord>,
    thread: JoinHandle<u64>,
}

/// Whether the watchdog knows the thread that runs a loop.
#[derive(PartialEq)]
enum Runs {
    Known,
    Unknown,
}

/// Has another thread run `poll` in a poll with that budget, and settle what came of it.
#[track_caller]
fn held(budget: Duration, runs: Runs, poll: impl FnOnce(&LoopRecord) + Send + 'static) -> Held {
    watchdog();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let listed = Listed::new(budget);
        let known = (runs == Runs::Known).then(|| listed.0.runs_here());
        tell.send(listed.0.clone()).unwrap();
        let task = poll_once(&listed.0, || poll(&listed.0));
        assert!(watchdog().catch_up());
        drop(known);
        task
    });
    let record = told.recv().unwrap();
    Held { record, thread }
}

impl Held {
    /// The task, and what was filed by the time `catch_up` returned.
    fn ended(self) -> (u64, Option<Arc<Block>>) {
        let task = self.thread.join().unwrap();
        assert!(watchdog().blocks().now(self.record.id).is_none());
        (task, filed(self.record.id))
    }
}

/// What a poll does until the other end is dropped: it waits.
fn wait_until_dropped() -> (mpsc::Sender<()>, impl FnOnce() + Send) {
    let (stop, stopped) = mpsc::channel();
    let wait = move || {
        let _ = stopped.recv();
    };
    (stop, wait)
}

/// Runs `block` in a poll on another thread, waits until `see` is content with the live block,
/// ends it with `end`, and returns the task, what was seen, and what was filed.
fn watched(
    block: impl FnOnce() + Send + 'static,
    mut see: impl FnMut(&Block) -> bool,
    end: impl FnOnce(),
) -> (u64, Arc<Block>, Arc<Block>) {
    let held = held(Duration::from_millis(20), Runs::Known, move |_| block());
    let live = wait_for(|| proven(held.record.id).filter(|block| see(block)));
    end();
    let (task, filed) = held.ended();
    (task, live, filed.expect("it is filed"))
}

#[test]
fn a_spinning_poll_is_shown_while_it_lasts_with_task_stack_and_cause() {
    let stop = Arc::new(AtomicBool::new(false));
    let inner = stop.clone();
    let stacks = watchdog().stacks_off().is_none();
    let (task, live, filed) = watched(
        move || spin_until_told(&inner),
        |block| block.cause.kind == cause::Kind::Cpu && (!stacks || block.samples.is_named()),
        || stop.store(true, Ordering::Relaxed),
    );
    assert_eq!(live.task.map(|blamed| blamed.id), Some(task));
    assert_eq!((live.doing, live.seen), (Doing::Polling, Seen::Live));
    assert_eq!(
        live.place.kind,
        PlaceKind::Spawn,
        "tests lie in the runtime's folder"
    );
    assert!(live.place.text.contains("watchdog/tests.rs"));
    if stacks {
        let shown = live.samples.shown();
        assert!(shown[0].stack.complete, "{shown:?}");
        let lines = shown[0].lines.unwrap();
        assert!(
            lines
                .iter()
                .any(|line| line.function.contains("spin_until_told")),
            "{lines:#?}"
        );
    }
    assert_eq!(filed.id, live.id);
    assert!(filed.ended.is_some());
    let held = filed.bracket.unwrap();
    assert!(filed.budget_ns < held.lower && held.lower <= held.upper);
    assert!(held.upper <= filed.wall_ns);
}

#[test]
fn a_sleeping_poll_is_put_down_to_the_sleep() {
    let stop = Arc::new(AtomicBool::new(false));
    let inner = stop.clone();
    let (_, live, _) = watched(
        move || {
            while !inner.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(1));
            }
        },
        |block| block.cause.words == "sleep" && (block.samples.taken() > 0) == stacks(),
        || stop.store(true, Ordering::Relaxed),
    );
    assert_eq!(live.cause.kind, cause::Kind::Syscall);
    assert_eq!(live.cause.call, "clock_nanosleep");
}

fn stacks() -> bool {
    watchdog().stacks_off().is_none()
}

#[test]
fn a_poll_that_waits_for_a_thread_lock_is_put_down_to_a_lock() {
    let lock = Arc::new(Mutex::new(()));
    let inner = lock.clone();
    let held = lock.lock().unwrap();
    let (_, live, _) = watched(
        move || drop(inner.lock().unwrap()),
        |block| block.cause.kind == cause::Kind::Lock,
        move || drop(held),
    );
    assert_eq!(live.cause.words, "a lock (futex)");
}

#[test]
fn a_block_that_ended_right_before_is_settled_by_catch_up() {
    watchdog();
    let mut proven = 0;
    // On a busy machine the thread's waits around a poll this short may hide it: then it is
    // counted as unproven, and another one is tried.
    while proven < 3 {
        let listed = Listed::new(Duration::from_millis(2));
        let runs = listed.0.runs_here();
        let tid = crate::os::thread::here().id;
        let cpu = || crate::os::thread::cpu_time(tid).unwrap_or_default();
        let task = poll_once(&listed.0, || {
            let until = cpu() + 3_000_000;
            while cpu() < until {
                std::hint::spin_loop();
            }
        });
        assert!(watchdog().catch_up());
        let tally = watchdog().blocks().tally(listed.0.id);
        // One, or more where the loop's own work between was held up too.
        assert!(tally.proven + tally.soft + tally.host >= 1, "{tally:?}");
        if tally.host == 0 {
            let filed = filed(listed.0.id).unwrap();
            assert_eq!(filed.task.map(|blamed| blamed.id), Some(task));
            assert!(filed.wall_ns >= 3_000_000);
            proven += 1;
        }
        drop(runs);
    }
}

#[test]
fn a_phase_of_the_loop_is_its_own_work() {
    watchdog();
    let listed = Listed::new(Duration::from_millis(2));
    let _runs = listed.0.runs_here();
    listed.0.current.unpark(clock::ticks());
    listed.0.phase(Doing::Timers, clock::ticks());
    std::thread::sleep(Duration::from_millis(100));
    listed.0.phase(Doing::Turning, clock::ticks());
    assert!(watchdog().catch_up());
    let filed =
        filed(listed.0.id).expect("slept for fifty times the budget, whatever the host does");
    assert_eq!((filed.doing, filed.task), (Doing::Timers, None));
    assert_eq!(filed.work(), "the loop's own work: firing timers");
    assert_eq!(filed.verdict, Verdict::Proven);
}

#[test]
fn a_poll_within_its_budget_is_no_block() {
    watchdog();
    let listed = Listed::new(Duration::from_secs(3600));
    let _runs = listed.0.runs_here();
    poll_once(&listed.0, || std::thread::sleep(Duration::from_millis(5)));
    assert!(watchdog().catch_up());
    assert!(filed(listed.0.id).is_none());
    assert_eq!(watchdog().blocks().tally(listed.0.id), Default::default());
}

#[test]
fn a_budget_that_is_lowered_holds_for_the_poll_that_runs() {
    let (stop, wait) = wait_until_dropped();
    let held = held(Duration::from_secs(3600), Runs::Known, move |_| wait());
    held.record.set_budget(Duration::from_millis(5));
    let block = wait_for(|| proven(held.record.id));
    assert!(block.budget_ns < 6_000_000);
    drop(stop);
    assert!(held.ended().1.is_some());
}

#[test]
fn without_a_thread_to_read_a_block_is_soft_and_says_why() {
    let (stop, wait) = wait_until_dropped();
    let held = held(Duration::from_millis(5), Runs::Unknown, move |_| wait());
    let live = wait_for(|| proven(held.record.id));
    assert_eq!((live.verdict, live.bracket), (Verdict::Soft, None));
    assert_eq!(live.stack_missing, "the loop's thread is not known");
    assert_eq!(
        live.cause.words,
        "cause unknown (the loop's thread is not known)"
    );
    drop(stop);
    assert_eq!(held.ended().1.unwrap().verdict, Verdict::Soft);
}

#[test]
fn a_loop_that_is_struck_off_leaves_its_blocks_filed() {
    watchdog();
    let listed = Listed::new(Duration::from_millis(2));
    let id = listed.0.id;
    let _runs = listed.0.runs_here();
    // A loop that comes and goes between two passes is seen by nobody who did not ask.
    assert!(watchdog().catch_up());
    poll_once(&listed.0, || std::thread::sleep(Duration::from_millis(100)));
    drop(listed);
    assert!(watchdog().catch_up());
    assert!(filed(id).is_some());
}

#[test]
fn a_watchdog_that_is_gone_answers_nobody_and_ends() {
    let own = Watchdog::start(Settings {
        no_stacks: true,
        notify: None,
    })
    .unwrap();
    assert_eq!(own.stacks_off(), Some("switched off"));
    assert!(own.catch_up());
    let shared = own.shared.clone();
    drop(own);
    assert!(shared.state().gone);
}

/// A stretch of the poll on this thread that may block.
fn allowed(record: &LoopRecord, reason: &str, f: impl FnOnce()) {
    let reason = names::intern(reason);
    let phase = record.current.since();
    record.allowed.begin(reason, phase, clock::ticks());
    f();
    record.allowed.end(clock::ticks());
}

#[test]
fn what_is_allowed_to_block_is_shown_and_filed_with_its_reason_and_is_no_block() {
    let (stop, wait) = wait_until_dropped();
    let held = held(Duration::from_millis(20), Runs::Known, |record| {
        allowed(record, "a cold start", wait);
    });
    let id = held.record.id;
    let live = wait_for(|| watchdog().blocks().now(id));
    assert_eq!(live.verdict, Verdict::Allowed);
    assert!(live.allowed.open && live.samples.taken() == 0);
    // However long ago the last look was: what goes on since then is allowed as well.
    std::thread::sleep(Duration::from_millis(60));
    let now = crate::inspect::tables::Look::new(false).now;
    let facts = crate::inspect::wire::blocks::facts(&live, &now);
    assert!(facts.wall_ns > 60_000_000);
    assert_eq!(loop_proto::finding::blocked(&facts), None, "{facts:?}");
    drop(stop);
    let filed = held.ended().1.expect("it is shown");
    let reason = filed.allowed.reason.and_then(|reason| reason.text());
    assert_eq!(
        (filed.verdict, reason),
        (Verdict::Allowed, Some("a cold start"))
    );
    assert!(clock::ticks_to_ns(filed.allowed.ticks) > 20_000_000 && !filed.allowed.open);
    let tally = watchdog().blocks().tally(id);
    assert_eq!((tally.proven, tally.soft, tally.lost), (0, 0, 0));
}

#[test]
fn what_a_poll_does_beside_what_it_may_is_held_against_its_budget() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let held = held(Duration::from_millis(20), Runs::Known, |record| {
        allowed(record, "a cold start", || {
            std::thread::sleep(Duration::from_millis(150));
        });
        spin_until_told(&STOP);
    });
    let live = wait_for(|| proven(held.record.id));
    STOP.store(true, Ordering::Relaxed);
    assert!(!live.allowed.open);
    let filed = held.ended().1.expect("it is filed");
    assert_eq!(filed.verdict, Verdict::Proven);
    let allowed = clock::ticks_to_ns(filed.allowed.ticks);
    assert!(allowed >= 150_000_000, "{allowed}");
    let held = filed.bracket.expect("this host tells");
    assert!(
        held.upper <= filed.wall_ns - allowed && held.lower > 20_000_000,
        "{held:?} of {}",
        filed.wall_ns
    );
}
