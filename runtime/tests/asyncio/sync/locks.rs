//! Locks and semaphores: one owner, in the order of asking, whoever is cancelled meanwhile.

use std::cell::Cell;
use std::rc::Rc;

use loop_runtime::sync::{BoundedSemaphore, Lock, Semaphore};
use loop_runtime::testing::TestLoop;
use loop_runtime::{Task, create_task, yield_now};

use super::{Log, run, settle};

/// A task that takes the lock, notes that, and keeps it for one turn.
fn taker(lock: &Lock<()>, log: &Log, name: &'static str) -> Task<()> {
    let (lock, log) = (lock.clone(), log.clone());
    create_task(async move {
        let guard = lock.lock().await;
        log.note(name);
        yield_now().await;
        drop(guard);
    })
}

#[test]
fn b59_a_lock_goes_by_the_order_of_asking() {
    run(async {
        let (lock, log) = (Lock::new(()), Log::default());
        let held = lock.lock().await;
        let tasks = ["a", "b", "c"].map(|name| taker(&lock, &log, name));
        settle().await;
        log.is("");
        drop(held);
        // Free for nobody: it is the first waiter's, though that has not run yet.
        assert!(lock.locked() && lock.try_lock().is_none());
        let late = taker(&lock, &log, "late");
        for task in tasks {
            task.await.unwrap();
        }
        late.await.unwrap();
        log.is("a b c late");
        assert!(!lock.locked());
    });
}

#[test]
fn b59_a_waiter_cancelled_in_the_tick_of_the_release_lets_the_next_one_in() {
    for cancel_first in [false, true] {
        run(async move {
            let (lock, log) = (Lock::new(()), Log::default());
            let held = lock.lock().await;
            let first = taker(&lock, &log, "first");
            let second = taker(&lock, &log, "second");
            settle().await;
            if cancel_first {
                first.cancel();
                drop(held);
            } else {
                drop(held);
                first.cancel();
            }
            assert!(first.await.unwrap_err().is_cancelled());
            second.await.unwrap();
            log.is("second");
            assert!(!lock.locked());
        });
    }
}

#[test]
fn b59_a_waiter_that_is_done_waiting_and_cancelled_passes_the_lock_on() {
    // Granted while it stands in the middle of a select that another arm wins.
    run(async {
        let lock = Lock::new(());
        let held = lock.lock().await;
        let mut waits = Box::pin(lock.lock());
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        let log = Log::default();
        let next = taker(&lock, &log, "next");
        settle().await;
        drop(held);
        settle().await;
        log.is("");
        drop(waits);
        next.await.unwrap();
        log.is("next");
    });
}

#[test]
fn b59_when_all_who_wait_are_cancelled_the_lock_is_free() {
    run(async {
        let (lock, log) = (Lock::new(()), Log::default());
        let held = lock.lock().await;
        let tasks = ["a", "b", "c"].map(|name| taker(&lock, &log, name));
        settle().await;
        drop(held);
        for task in &tasks {
            task.cancel();
        }
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        log.is("");
        assert!(!lock.locked());
        drop(lock.try_lock().unwrap());
    });
}

#[test]
fn b59_a_holder_that_is_cancelled_frees_the_lock() {
    run(async {
        let lock = Lock::new(5);
        let theirs = lock.clone();
        let holder = create_task(async move {
            let mut guard = theirs.lock().await;
            *guard += 1;
            std::future::pending::<()>().await;
        });
        settle().await;
        assert!(lock.locked());
        holder.cancel();
        assert_eq!(*lock.lock().await, 6);
        assert!(holder.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b59_a_panic_under_the_lock_frees_it() {
    run(async {
        let lock = Lock::new(());
        let theirs = lock.clone();
        let task = create_task(async move {
            let _guard = theirs.lock().await;
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(lock.try_lock().is_some());
    });
}

#[test]
fn a_guard_dropped_on_another_thread_frees_the_lock_on_its_loop() {
    loop_runtime::run(async {
        let lock = Lock::new(vec![1]);
        let mut guard = lock.lock().await.into_owned();
        std::thread::spawn(move || guard.push(2));
        assert_eq!(*lock.lock().await, [1, 2]);
    })
    .unwrap();
}

#[test]
fn a_lock_used_on_another_loop_says_which_it_belongs_to() {
    let first = TestLoop::new();
    let lock = first.enter(|| Lock::new(()));
    let error = TestLoop::new()
        .run(async move {
            let task = create_task(async move { drop(lock.lock().await) });
            task.await.unwrap_err().to_string()
        })
        .unwrap();
    let belongs = format!("this belongs to loop {}", first.event_loop().id());
    assert!(error.contains(&belongs), "{error}");
}

#[test]
fn a_guard_that_outlives_its_loop_is_harmless() {
    let mut test = TestLoop::new();
    let lock = test.enter(|| Lock::new("kept"));
    let theirs = lock.clone();
    let guard = test
        .run(async move { theirs.lock().await.into_owned() })
        .unwrap();
    drop(test);
    assert_eq!(*guard, "kept");
    drop((guard, lock));
}

/// A task that takes permits, notes that, and keeps them.
fn acquirer(semaphore: &Semaphore, log: &Log, name: &'static str, count: usize) -> Task<()> {
    let (semaphore, log) = (semaphore.clone(), log.clone());
    create_task(async move {
        semaphore.acquire_many(count).await.forget();
        log.note(name);
    })
}

#[test]
fn b59_a_semaphore_goes_strictly_by_the_order_of_asking_1() {
    // One permit comes at a time; each goes to the oldest.
    run(async {
        let (semaphore, log) = (Semaphore::new(0), Log::default());
        let _tasks = ["a", "b", "c"].map(|name| acquirer(&semaphore, &log, name, 1));
        settle().await;
        for all in ["a", "a b", "a b c"] {
            semaphore.release(1);
            settle().await;
            log.is(all);
        }
    });
}

#[test]
fn b59_a_semaphore_goes_strictly_by_the_order_of_asking_2() {
    // Who asks while a permit is on its way does not pass the one it goes to.
    run(async {
        let (semaphore, log) = (Semaphore::new(1), Log::default());
        semaphore.acquire().await.forget();
        let first = acquirer(&semaphore, &log, "first", 1);
        settle().await;
        semaphore.release(1);
        assert!(semaphore.locked() && semaphore.try_acquire(1).is_none());
        let second = acquirer(&semaphore, &log, "second", 1);
        first.await.unwrap();
        semaphore.release(1);
        second.await.unwrap();
        log.is("first second");
    });
}

#[test]
fn b59_a_semaphore_goes_strictly_by_the_order_of_asking_3() {
    // One who gives its permit back and asks again at once stands at the end.
    run(async {
        let (semaphore, log) = (Semaphore::new(1), Log::default());
        let names = ["a", "b"];
        let tasks = names.map(|name| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            create_task(async move {
                for _ in 0..3 {
                    let permit = semaphore.acquire().await;
                    log.note(name);
                    yield_now().await;
                    drop(permit);
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        log.is("a b a b a b");
    });
}

#[test]
fn b59_a_semaphore_goes_strictly_by_the_order_of_asking_4() {
    // One who asks for much holds up those behind it, and lets them go when it is cancelled.
    run(async {
        let (semaphore, log) = (Semaphore::new(2), Log::default());
        let many = acquirer(&semaphore, &log, "many", 3);
        let one = acquirer(&semaphore, &log, "one", 1);
        settle().await;
        log.is("");
        assert!(semaphore.locked(), "two are free and somebody waits");
        many.cancel();
        one.await.unwrap();
        log.is("one");
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn b59_a_permit_granted_to_one_who_is_cancelled_goes_to_the_next() {
    run(async {
        let (semaphore, log) = (Semaphore::new(0), Log::default());
        let first = acquirer(&semaphore, &log, "first", 1);
        let second = acquirer(&semaphore, &log, "second", 1);
        settle().await;
        semaphore.release(1);
        first.cancel();
        second.await.unwrap();
        log.is("second");
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn a_dropped_permit_comes_back_from_any_thread() {
    loop_runtime::run(async {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire().await.into_owned();
        std::thread::spawn(move || drop(permit));
        drop(semaphore.acquire().await);
        assert_eq!(semaphore.available_permits(), 1);
    })
    .unwrap();
}

#[test]
fn a_bounded_semaphore_refuses_what_nobody_took() {
    run(async {
        let slots = BoundedSemaphore::new(2);
        let error = slots.release(1).unwrap_err();
        assert_eq!((error.held, error.count), (0, 1));
        let permit = slots.acquire().await;
        // It is out, but comes back by itself.
        assert!(slots.release(1).is_err());
        drop(permit);
        slots.acquire_many(2).await.forget();
        assert!(slots.release(3).is_err());
        assert_eq!(slots.available_permits(), 0);
        slots.release(2).unwrap();
        assert_eq!(slots.available_permits(), 2);
        let text = slots.release(1).unwrap_err().to_string();
        assert!(
            text.contains("1 permits were released and 0 are out"),
            "{text}"
        );
    });
}

#[test]
fn b59_a_lock_never_has_two_owners() {
    run(async {
        let (lock, inside) = (Lock::new(()), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                let (lock, inside) = (lock.clone(), inside.clone());
                create_task(async move {
                    for turn in 0..10 {
                        let guard = lock.lock().await;
                        assert_eq!(inside.replace(1), 0, "two owners");
                        for _ in 0..(number + turn) % 3 {
                            yield_now().await;
                        }
                        inside.set(0);
                        drop(guard);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
