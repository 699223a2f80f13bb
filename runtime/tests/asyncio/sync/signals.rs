//! Events, conditions and barriers: tasks that wait for each other's word.

use loop_runtime::sync::{Barrier, BrokenBarrier, Condition, Event, Lock};
use loop_runtime::{Task, create_task, yield_now};

use super::{Log, run, settle};

#[test]
fn an_event_lets_all_go_who_wait_and_none_once_it_is_cleared() {
    run(async {
        let (event, log) = (Event::new(), Log::default());
        let waiter = |name: &'static str| {
            let (event, log) = (event.clone(), log.clone());
            create_task(async move {
                event.wait().await;
                log.note(name);
            })
        };
        let (_a, b, _c) = (waiter("a"), waiter("b"), waiter("c"));
        settle().await;
        b.cancel();
        settle().await;
        event.set();
        // They go on all the same: it was set while they waited.
        event.clear();
        settle().await;
        log.is("a c");
        let late = waiter("late");
        settle().await;
        assert!(!late.done() && !event.is_set());
        event.set();
        late.await.unwrap();
        event.wait().await;
        log.is("a c late");
    });
}

#[test]
fn an_event_is_set_from_any_thread() {
    loop_runtime::run(async {
        let event = Event::new();
        let theirs = event.clone();
        std::thread::spawn(move || theirs.set());
        event.wait().await;
        let theirs = event.clone();
        std::thread::spawn(move || theirs.clear()).join().unwrap();
        while event.is_set() {
            yield_now().await;
        }
    })
    .unwrap();
}

#[test]
fn an_event_of_a_loop_that_is_gone_is_set_in_vain() {
    let test = loop_runtime::testing::TestLoop::new();
    let event = test.enter(Event::new);
    drop(test);
    event.set();
}

/// A task that waits for notice and notes that it has the lock again.
fn noticed(condition: &Condition<u32>, log: &Log, name: &'static str) -> Task<()> {
    let (condition, log) = (condition.clone(), log.clone());
    create_task(async move {
        let guard = condition.lock().await;
        let guard = condition.wait(guard).await;
        log.note(format!("{name}:{}", *guard));
    })
}

#[test]
fn b59_a_condition_gives_notice_in_the_order_of_waiting_and_under_the_lock() {
    run(async {
        let (condition, log) = (Condition::new(0), Log::default());
        let tasks = ["a", "b", "c"].map(|name| noticed(&condition, &log, name));
        settle().await;
        let mut guard = condition.lock().await;
        condition.notify(&guard, 2);
        settle().await;
        log.is("");
        *guard = 7;
        drop(guard);
        settle().await;
        log.is("a:7 b:7");
        condition.notify_all(&condition.lock().await);
        for task in tasks {
            task.await.unwrap();
        }
        log.is("a:7 b:7 c:7");
    });
}

#[test]
fn b59_a_cancelled_condition_wait_has_the_lock_again_first() {
    run(async {
        let (condition, log) = (Condition::new(0), Log::default());
        let (theirs, notes) = (condition.clone(), log.clone());
        let task = create_task(async move {
            let guard = theirs.lock().await;
            let interrupted = theirs.wait_catching(guard).await.unwrap_err();
            notes.note(format!("clean-up under the lock: {}", *interrupted.guard));
            assert!(theirs.locked());
            interrupted.cancelled.message
        });
        settle().await;
        let mut guard = condition.lock().await;
        task.cancel_message("enough");
        settle().await;
        log.is("");
        // Cancelled once more while it waits for the lock: it needs it all the same.
        task.cancel_message("really");
        settle().await;
        *guard = 1;
        drop(guard);
        assert_eq!(task.await.unwrap().as_deref(), Some("enough"));
        log.is("clean-up under the lock: 1");
        assert_eq!(*condition.lock().await, 1);
    });
}

#[test]
fn a_cancelled_wait_without_a_scope_leaves_the_lock_free() {
    run(async {
        let (condition, log) = (Condition::new(0), Log::default());
        let task = noticed(&condition, &log, "never");
        settle().await;
        assert!(!condition.locked());
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!condition.locked());
        condition.notify_all(&condition.lock().await);
        log.is("");
    });
}

#[test]
fn b59_a_notice_to_one_who_is_cancelled_goes_to_the_next() {
    // At once, and while it waits for the lock with the notice in hand.
    for let_it_ask_for_the_lock in [false, true] {
        run(async move {
            let (condition, log) = (Condition::new(0), Log::default());
            let first = noticed(&condition, &log, "first");
            let second = noticed(&condition, &log, "second");
            settle().await;
            let guard = condition.lock().await;
            condition.notify(&guard, 1);
            if let_it_ask_for_the_lock {
                settle().await;
            }
            first.cancel();
            settle().await;
            drop(guard);
            second.await.unwrap();
            log.is("second:0");
        });
    }
}

#[test]
fn a_condition_waits_until_what_was_asked_for_holds() {
    run(async {
        let (condition, log) = (Condition::new(0), Log::default());
        let (theirs, notes) = (condition.clone(), log.clone());
        let task = create_task(async move {
            let guard = theirs.lock().await;
            let guard = theirs.wait_for(guard, |value| *value >= 3).await;
            notes.note(*guard);
        });
        for _ in 0..3 {
            settle().await;
            log.is("");
            let mut guard = condition.lock().await;
            *guard += 1;
            condition.notify_all(&guard);
        }
        task.await.unwrap();
        log.is("3");
    });
}

#[test]
fn two_conditions_on_one_lock_give_notice_apart() {
    run(async {
        let lock = Lock::new(0);
        let (full, empty) = (Condition::with_lock(&lock), Condition::with_lock(&lock));
        let log = Log::default();
        let waits_full = noticed(&full, &log, "full");
        let waits_empty = noticed(&empty, &log, "empty");
        settle().await;
        empty.notify_all(&lock.lock().await);
        waits_empty.await.unwrap();
        log.is("empty:0");
        full.notify_all(&empty.lock().await);
        waits_full.await.unwrap();
        log.is("empty:0 full:0");
    });
}

#[test]
fn a_condition_refuses_the_guard_of_another_lock() {
    run(async {
        let (condition, other) = (Condition::new(0), Lock::new(0));
        let task = create_task(async move {
            condition.notify(&other.lock().await, 1);
        });
        let text = task.await.unwrap_err().to_string();
        assert!(text.contains("the guard of another lock"), "{text}");
    });
}

/// A task that comes to the barrier and notes its number, or that it is broken.
fn party(barrier: &Barrier, log: &Log) -> Task<()> {
    let (barrier, log) = (barrier.clone(), log.clone());
    create_task(async move {
        match barrier.wait().await {
            Ok(number) => log.note(number),
            Err(BrokenBarrier) => log.note("broken"),
        }
    })
}

#[test]
fn a_barrier_lets_all_pass_together_and_stands_again() {
    run(async {
        let (barrier, log) = (Barrier::new(3), Log::default());
        for all in ["2 0 1", "2 0 1 2 0 1"] {
            let _tasks = [(); 2].map(|()| party(&barrier, &log));
            settle().await;
            assert_eq!((barrier.n_waiting(), barrier.parties()), (2, 3));
            let last = party(&barrier, &log);
            last.await.unwrap();
            settle().await;
            log.is(all);
            assert_eq!(barrier.n_waiting(), 0);
        }
    });
}

#[test]
fn one_who_passed_a_barrier_and_comes_again_waits_for_the_others() {
    run(async {
        let (barrier, log) = (Barrier::new(2), Log::default());
        let _first = party(&barrier, &log);
        settle().await;
        barrier.wait().await.unwrap();
        // The first has passed, and not run since.
        let again = party(&barrier, &log);
        settle().await;
        log.is("0");
        assert!(!again.done());
        barrier.wait().await.unwrap();
        again.await.unwrap();
        log.is("0 0");
    });
}

#[test]
fn one_who_is_cancelled_at_a_barrier_was_not_there() {
    run(async {
        let (barrier, log) = (Barrier::new(2), Log::default());
        let gone = party(&barrier, &log);
        settle().await;
        gone.cancel();
        settle().await;
        let (_one, _other) = (party(&barrier, &log), party(&barrier, &log));
        settle().await;
        log.is("1 0");
    });
}

#[test]
fn a_broken_barrier_is_an_error_to_all_until_it_is_reset() {
    run(async {
        let (barrier, log) = (Barrier::new(3), Log::default());
        let _tasks = [(); 2].map(|()| party(&barrier, &log));
        settle().await;
        barrier.abort();
        assert!(barrier.broken());
        assert_eq!(barrier.wait().await, Err(BrokenBarrier));
        settle().await;
        log.is("broken broken");
        barrier.reset();
        let _waits = party(&barrier, &log);
        settle().await;
        assert_eq!((barrier.n_waiting(), barrier.broken()), (1, false));
        // A reset is an error to who waits, and leaves it whole.
        barrier.reset();
        settle().await;
        log.is("broken broken broken");
        assert!(!barrier.broken());
    });
}

#[test]
#[should_panic(expected = "a barrier for nobody")]
fn a_barrier_for_nobody_is_refused() {
    run(async { drop(Barrier::new(0)) });
}
