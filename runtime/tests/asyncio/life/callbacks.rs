//! Callbacks and timers: who runs when. The numbers are those of the acceptance cases.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{LocalLoop, create_task, get_running_loop, sleep, yield_now};

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
    test.once();
    assert_eq!(*log.borrow(), ["a", "b", "c"]);
    test.once();
    assert_eq!(*log.borrow(), ["a", "b", "c", "d"]);
}

#[cfg(unix)]
#[test]
fn b02_between_two_iterations_the_reactor_is_asked() {
    use std::io::{Read, Write};
    let (mut test, log) = (TestLoop::new(), Log::default());
    let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let (el, reads) = (local(&test), log.clone());
    let mut reader = near.try_clone().unwrap();
    test.enter(|| {
        let read = move || {
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
            reads.borrow_mut().push("readable");
        };
        el.add_reader(&near, read).unwrap();
    });
    test.once();
    let inner = log.clone();
    el.clone().call_soon(move || {
        inner.borrow_mut().push("a");
        far.write_all(b"x").unwrap();
        let (again, last) = (el.clone(), inner.clone());
        el.call_soon(move || {
            last.borrow_mut().push("d");
            // The descriptor has been ready since `a`: it is served before what `d` queues.
            again.call_soon(note(&last, "e"));
        });
        std::mem::forget(far);
    });
    test.turn();
    let log = log.borrow();
    let at = |word| log.iter().position(|seen| *seen == word).expect(word);
    assert!(
        at("a") < at("readable") && at("readable") < at("e"),
        "{log:?}"
    );
    test.enter(|| assert!(local(&test).remove_reader(&near)));
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
fn b03_the_order_holds_before_the_loop_runs() {
    let el = loop_runtime::EventLoop::new().unwrap();
    let (log, seen) = std::sync::mpsc::channel();
    for round in 0..3 {
        let (threadsafe, plain) = (log.clone(), log.clone());
        el.handle()
            .call_soon_threadsafe(move || threadsafe.send((round, "threadsafe")).unwrap())
            .unwrap();
        el.local()
            .call_soon(move || plain.send((round, "plain")).unwrap());
    }
    el.stop();
    el.run_forever().unwrap();
    let order = (0..3).flat_map(|round| [(round, "threadsafe"), (round, "plain")]);
    assert_eq!(
        seen.try_iter().collect::<Vec<_>>(),
        order.collect::<Vec<_>>()
    );
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
    test.once();
    assert_eq!(
        *log.borrow(),
        ["soon", "nine ms ago", "five ms ago"],
        "all in one iteration"
    );
    el.call_later(Duration::ZERO, note(&log, "now"));
    test.once();
    assert_eq!(log.borrow().last(), Some(&"now"));
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
fn b06_short_sleeps_do_not_spin() {
    let el = loop_runtime::EventLoop::new().unwrap();
    let before = loop_runtime::testing::iterations(&el);
    el.run_until_complete(async {
        for exponent in [-2, -4, -6, -8, -10] {
            sleep(Duration::from_secs_f64(10_f64.powi(exponent))).await;
        }
    })
    .unwrap();
    let took = loop_runtime::testing::iterations(&el) - before;
    assert!(took <= 20, "five sleeps took {took} iterations");
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
        let task = test.enter(|| create_task(sleep(delay)));
        test.advance(Duration::from_secs(1_000_000));
        assert!(!task.done());
        assert!(task.cancel());
        test.turn();
        assert!(task.cancelled());
    }
    assert!(log.borrow().is_empty());
    assert_eq!(test.timers(), 0);
}

/// Asyncio keeps cancelled timers in its heap until they are the majority of more than a hundred.
/// Our wheel gives each back at once; so the bound is zero, and nothing is ever compacted.
#[test]
fn b08_cancelled_timers_are_gone_at_once_and_live_ones_stay() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    el.call_later(3600 * 1000 * MS, note(&log, "live"));
    for round in 0..10 {
        let cancelled: Vec<_> = (1..=2_000)
            .map(|delay| el.call_later((round + delay) * MS, note(&log, "cancelled")))
            .collect();
        assert_eq!(test.timers(), 2_001);
        for timer in &cancelled {
            timer.cancel();
        }
        assert_eq!(test.timers(), 1);
    }
    test.turn();
    assert_eq!(test.next_deadline(), Some(test.now() + 3600 * 1000 * MS));
    test.advance(3600 * 1000 * MS);
    assert_eq!(*log.borrow(), ["live"]);
}

#[test]
fn b09_a_cancelled_head_does_not_hold_up_the_next_timer() {
    let (mut test, log) = (TestLoop::new(), Log::default());
    let el = local(&test);
    let head = el.call_later(10 * MS, note(&log, "head"));
    el.call_later(20 * MS, note(&log, "next"));
    head.cancel();
    assert_eq!(test.next_deadline(), Some(test.now() + 20 * MS));
    let before = loop_runtime::testing::iterations(test.event_loop());
    test.advance(19 * MS);
    assert!(log.borrow().is_empty());
    let turned = loop_runtime::testing::iterations(test.event_loop()) - before;
    assert!(
        turned <= 2,
        "the cancelled head is waited for: {turned} iterations"
    );
    test.advance(MS);
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

#[cfg(unix)]
#[test]
fn b72_callback_task_socket_and_timer_all_get_on() {
    use std::io::{Read, Write};
    const ROUNDS: u32 = 200;
    let mut test = TestLoop::new();
    let [callbacks, turns, reads, late]: [Rc<Cell<u32>>; 4] = Default::default();
    fn again(el: LocalLoop, count: Rc<Cell<u32>>) {
        count.set(count.get() + 1);
        let next = el.clone();
        el.call_soon(move || again(next, count));
    }
    let (el, counted) = (local(&test), callbacks.clone());
    el.clone().call_soon(move || again(el, counted));
    let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let (mut reader, counted) = (near.try_clone().unwrap(), reads.clone());
    let turned = turns.clone();
    let task = test.enter(|| {
        let read = move || {
            let _ = reader.read(&mut [0; 1]).unwrap();
            counted.set(counted.get() + 1);
        };
        local(&test).add_reader(&near, read).unwrap();
        create_task(async move {
            loop {
                sleep(Duration::ZERO).await;
                turned.set(turned.get() + 1);
            }
        })
    });
    for round in 1..=ROUNDS {
        let (counted, due) = (late.clone(), Rc::new(Cell::new(false)));
        let fired = due.clone();
        local(&test).call_later(MS, move || fired.set(true));
        test.shift(MS);
        far.write_all(b"x").unwrap();
        test.once();
        if !due.get() {
            counted.set(counted.get() + 1);
            test.once();
            assert!(due.get(), "a timer was more than one iteration late");
        }
        assert!(callbacks.get() >= round && turns.get() + 2 >= round);
        assert!(reads.get() + 2 >= round, "{} reads", reads.get());
    }
    task.cancel();
    test.enter(|| assert!(local(&test).remove_reader(&near)));
    test.event_loop().close().unwrap();
}

/// Turns that another task gets while one awaits what is ready at once, a thousand times.
fn turns_beside(budget: u32) -> u32 {
    let el = loop_runtime::Builder::new()
        .inspector(false)
        .poll_budget(budget)
        .build()
        .unwrap();
    el.run_until_complete(async {
        let (turns, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counted, ended) = (turns.clone(), done.clone());
        let busy = create_task(async move {
            for n in 0..1_000_u32 {
                let (promise, future) = loop_runtime::create_future();
                promise.set_result(n).unwrap();
                assert_eq!(future.await, Ok(n));
            }
            ended.set(true);
        });
        let other = create_task(async move {
            while !done.get() {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        busy.await.unwrap();
        other.await.unwrap();
        turns.get()
    })
    .unwrap()
}

#[test]
fn b72_a_queue_that_always_has_an_item_does_not_keep_the_loop() {
    let mut test = TestLoop::new();
    let turns = Rc::new(Cell::new(0_u32));
    let counted = turns.clone();
    test.run(async move {
        let queue = loop_runtime::sync::Queue::new(0);
        let beside = create_task(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let before = turns.get();
        for n in 0..1_000_u32 {
            queue.put(n).await.unwrap();
            assert_eq!(queue.get().await, Ok(n));
        }
        assert!(turns.get() - before >= 10, "{} turns", turns.get() - before);
        beside.cancel();
    })
    .unwrap();
}

#[test]
fn b72_a_task_that_is_always_ready_gives_way_unless_the_budget_is_off() {
    assert_eq!(turns_beside(0), 0);
    let turns = turns_beside(100);
    assert!(
        (9..=11).contains(&turns),
        "{turns} turns in a thousand operations"
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
