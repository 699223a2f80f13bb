//! Callbacks and timers: who runs when. The numbers are those of the acceptance cases.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{LocalLoop, create_task, get_running_loop};

type Log = Rc<RefCell<Vec<&'static str>>>;

fn note(log: &Log, word: &'static str) -> impl FnOnce() + 'static {
    let log = log.clone();
    move || log.borrow_mut().push(word)
}

fn local(test: &TestLoop) -> LocalLoop {
    test.event_loop().local()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn b01_callbacks_run_in_order_each_once() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    for word in ["a", "b", "c"] {
        local(&test).call_soon(note(&log, word));
    }
    test.turn();
    test.turn();
    assert_eq!(*log.borrow(), ["a", "b", "c"]);
}

#[test]
fn b02_what_a_callback_queues_waits_for_those_before_it() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let (el, inner) = (local(&test), log.clone());
    el.clone().call_soon(move || {
        inner.borrow_mut().push("a");
        el.call_soon(note(&inner, "d"));
    });
    local(&test).call_soon(note(&log, "b"));
    local(&test).call_soon(note(&log, "c"));
    test.turn();
    assert_eq!(*log.borrow(), ["a", "b", "c", "d"]);
}

#[test]
fn b03_threadsafe_and_plain_callbacks_of_one_thread_keep_their_order() {
    let mut test = TestLoop::new();
    let (log, seen) = std::sync::mpsc::channel();
    let el = local(&test);
    test.enter(|| {
        el.clone().call_soon(move || {
            let plain = log.clone();
            // Sent from the loop's own thread, as asyncio's case has it.
            el.handle()
                .call_soon_threadsafe(move || log.send("threadsafe").unwrap())
                .unwrap();
            el.call_soon(move || plain.send("plain").unwrap());
        });
    });
    test.turn();
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["threadsafe", "plain"]);
}

#[test]
fn b04_timers_run_by_deadline_and_equal_deadlines_in_the_order_they_were_set() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    for (delay, word) in [
        (30, "30"),
        (10, "10 first"),
        (20, "20"),
        (10, "10 second"),
        (10, "10 third"),
    ] {
        el.call_later(delay * MS, note(&log, word));
    }
    test.advance(100 * MS);
    assert_eq!(
        *log.borrow(),
        ["10 first", "10 second", "10 third", "20", "30"]
    );
}

#[test]
fn b05_a_deadline_in_the_past_runs_after_what_is_ready() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    el.call_at(el.time() - 5 * MS, note(&log, "five ms ago"));
    el.call_at(el.time() - 9 * MS, note(&log, "nine ms ago"));
    el.call_soon(note(&log, "soon"));
    test.turn();
    assert_eq!(*log.borrow(), ["soon", "nine ms ago", "five ms ago"]);
}

#[test]
fn b06_a_timer_is_never_early() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    local(&test).call_later(100 * MS, note(&log, "due"));
    test.advance(100 * MS - Duration::from_nanos(1));
    assert!(log.borrow().is_empty());
    test.advance(Duration::from_nanos(1));
    assert_eq!(*log.borrow(), ["due"]);
}

#[test]
fn b07_a_delay_beyond_all_time_neither_overflows_nor_fires() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    for delay in [
        Duration::MAX,
        Duration::from_secs(1 << 55),
        Duration::from_secs(i64::MAX as u64),
    ] {
        let timer = el.call_later(delay, note(&log, "never"));
        test.advance(Duration::from_secs(1_000_000));
        timer.cancel();
        assert!(timer.cancelled());
    }
    assert!(log.borrow().is_empty());
}

#[test]
fn b09_a_cancelled_head_does_not_hold_up_the_next_timer() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    let head = el.call_later(10 * MS, note(&log, "head"));
    el.call_later(20 * MS, note(&log, "next"));
    head.cancel();
    test.advance(20 * MS);
    assert_eq!(*log.borrow(), ["next"]);
}

#[test]
fn a_cancelled_callback_never_runs() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let handle = local(&test).call_soon(note(&log, "cancelled"));
    handle.cancel();
    assert!(handle.cancelled());
    test.turn();
    assert!(log.borrow().is_empty());
}

#[test]
fn a_callback_that_ran_is_not_cancelled_by_a_late_cancel() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let handle = local(&test).call_soon(note(&log, "ran"));
    test.turn();
    handle.cancel();
    assert!(!handle.cancelled());
    assert_eq!(*log.borrow(), ["ran"]);
}

#[test]
fn b72_a_callback_that_reschedules_itself_starves_nobody() {
    let mut test = TestLoop::new();
    let rounds = Rc::new(Cell::new(0_u32));
    fn again(el: LocalLoop, rounds: Rc<Cell<u32>>) {
        rounds.set(rounds.get() + 1);
        if rounds.get() < 100_000 {
            let next = el.clone();
            el.call_soon(move || again(next, rounds));
        }
    }
    let (el, counted) = (local(&test), rounds.clone());
    el.clone().call_soon(move || again(el, counted));
    let seen = test
        .run({
            let rounds = rounds.clone();
            async move {
                let start = rounds.get();
                create_task(async { get_running_loop().unwrap().time() })
                    .await
                    .unwrap();
                rounds.get() - start
            }
        })
        .unwrap();
    assert!(
        seen <= 4,
        "two tasks took their turns after {seen} rounds of the callback"
    );
}

#[test]
fn a_panic_in_a_callback_leaves_the_loop_running() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    el.call_soon(|| panic!("as intended by the test"));
    el.call_soon(note(&log, "after"));
    test.turn();
    assert_eq!(*log.borrow(), ["after"]);
}
