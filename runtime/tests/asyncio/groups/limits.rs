//! B51-B55: limits of time, and what a cancel in their tick does.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::time::now;
use loop_runtime::{
    Elapsed, JoinError, LimitOver, Task, WaitError, catch_cancel, create_task, current_task, sleep,
    timeout_scope, timeout_scope_at, wait_for, yield_now,
};

use super::{HOUR, Log, MS, after, cleans_up, run};

#[test]
fn b51_a_limit_that_elapses_stops_what_is_inside() {
    run(async {
        let log = Log::default();
        let inside = log.drops("stopped");
        let start = now();
        let late = timeout_scope(10 * MS, |limit| async move {
            let _inside = inside;
            assert_eq!(limit.when(), Some(start + 10 * MS));
            assert!(!limit.expired());
            sleep(HOUR).await;
        });
        let elapsed = late.await.unwrap_err();
        assert_eq!(elapsed.after, 10 * MS);
        assert_eq!(now().duration_since(start), 10 * MS);
        assert_eq!(log.all(), ["stopped"]);

        let in_time = timeout_scope(10 * MS, |_| after(9 * MS, "value"));
        assert_eq!(in_time.await, Ok("value"));
        assert_eq!(current_task().unwrap().info().unwrap().name(), "main");
    });
}

#[test]
fn b51_a_cancel_from_outside_is_no_timeout() {
    // Long before the limit, in its very moment, while the work cleans up after it.
    for (at, expired) in [(MS, false), (10 * MS, true), (12 * MS, true)] {
        let mut test = TestLoop::new();
        let log = Log::default();
        let (noted, ended) = (log.clone(), log.clone());
        let task = Rc::new(RefCell::new(None::<Task<()>>));
        let other = task.clone();
        // Its timer is armed first, so that it comes first in the moment of both.
        test.enter(|| {
            create_task(async move {
                sleep(at).await;
                assert!(other.borrow().as_ref().unwrap().cancel());
            })
            .detach();
        });
        *task.borrow_mut() = Some(test.enter(|| {
            create_task(async move {
                let scope = timeout_scope(10 * MS, |limit| async move {
                    let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
                    noted.add(format!("expired: {}", limit.expired()));
                    sleep(5 * MS).await;
                    caught.propagate().await
                });
                let _ = scope.await;
                ended.add("went on");
            })
        }));
        test.advance(HOUR / 2);
        let task = task.borrow_mut().take().unwrap();
        assert!(task.cancelled(), "at {at:?}");
        assert_eq!(log.all(), [format!("expired: {expired}")]);
        assert_eq!(test.enter(|| task.cancelling()), 1);
    }
}

#[test]
fn b52_of_nested_limits_with_one_deadline_only_the_outermost_reports() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let deadline = now() + 10 * MS;
        let outer = timeout_scope_at(deadline, |_| async move {
            let inner = timeout_scope_at(deadline, |_| sleep(HOUR));
            let _ = inner.await;
            noted.add("the inner one reported");
        });
        assert!(outer.await.is_err());
        assert_eq!(log.all(), [""; 0]);
    });
}

#[test]
fn b52_of_nested_limits_the_inner_one_reports_its_own_and_the_outer_one_bounds_the_rest() {
    run(async {
        let start = now();
        let outer = timeout_scope(20 * MS, |_| async move {
            let inner = timeout_scope(10 * MS, |_| sleep(HOUR)).await;
            assert_eq!(inner, Err(elapsed(10 * MS, inner.err())));
            assert_eq!(now().duration_since(start), 10 * MS);
            sleep(HOUR).await;
        });
        assert!(outer.await.is_err());
        assert_eq!(now().duration_since(start), 20 * MS);
    });
}

/// What `found` is, if its limit was `after`.
fn elapsed(after: Duration, found: Option<Elapsed>) -> Elapsed {
    let found = found.expect("the time was up");
    assert_eq!(found.after, after);
    found
}

#[test]
fn b52_a_loop_that_was_blocked_past_both_limits_has_both_expire() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let noted = log.clone();
    let limits = Rc::new(RefCell::new(Vec::new()));
    let keep = limits.clone();
    let task = test.enter(|| {
        create_task(timeout_scope(100 * MS, move |outer| async move {
            let inner = timeout_scope(10 * MS, |inner| {
                keep.borrow_mut().extend([outer, inner]);
                sleep(HOUR)
            });
            if inner.await.is_err() {
                noted.add("inner");
            }
            sleep(HOUR).await;
            noted.add("the rest was not bounded");
        }))
    });
    test.turn();
    test.jump(200 * MS);
    assert!(task.done());
    assert!(test.run(task).unwrap().unwrap().is_err());
    test.enter(|| assert!(limits.borrow().iter().all(|limit| limit.expired())));
    assert!(
        !log.all()
            .iter()
            .any(|text| text == "the rest was not bounded")
    );
}

#[test]
fn b53_a_limit_of_zero_elapses_at_the_first_await() {
    run(async {
        let log = Log::default();
        for passed in [now(), now() - MS] {
            let noted = log.clone();
            let scope = timeout_scope_at(passed, |_| async move {
                noted.add("began");
                sleep(Duration::ZERO).await;
                noted.add("went on");
            });
            assert!(scope.await.is_err());
        }
        let noted = log.clone();
        let zero = timeout_scope(Duration::ZERO, |_| async move {
            noted.add("began");
            yield_now().await;
        });
        assert!(zero.await.is_err());
        assert_eq!(log.all(), ["began"; 3]);
        // Nothing to wait for, nothing to stop.
        assert_eq!(timeout_scope(Duration::ZERO, |_| async { 7 }).await, Ok(7));
    });
}

#[test]
fn b53_a_limit_can_be_taken_off_and_moved_until_the_end() {
    run(async {
        let start = now();
        let none = timeout_scope(None, |limit| async move {
            assert_eq!(limit.when(), None);
            after(HOUR, "no limit").await
        });
        assert_eq!(none.await, Ok("no limit"));

        let start = start + HOUR;
        let later = timeout_scope(10 * MS, |limit| async move {
            limit.reschedule(now() + 50 * MS).unwrap();
            assert_eq!(limit.when(), Some(start + 50 * MS));
            after(40 * MS, "later").await
        });
        assert_eq!(later.await, Ok("later"));

        let off = timeout_scope(10 * MS, |limit| async move {
            yield_now().await;
            limit.reschedule(None).unwrap();
            after(HOUR, "off").await
        });
        assert_eq!(off.await, Ok("off"));

        // Earlier, and by another task.
        let start = now();
        let sooner = timeout_scope(HOUR, |limit| async move {
            let other = create_task(async move {
                sleep(MS).await;
                limit.reschedule(now() + MS).unwrap();
            });
            sleep(HOUR).await;
            drop(other);
        });
        assert!(sooner.await.is_err());
        assert_eq!(now().duration_since(start), 2 * MS);
    });
}

#[test]
fn b53_a_limit_that_is_over_cannot_be_moved() {
    run(async {
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let done = timeout_scope(
            HOUR,
            |limit| async move { *keep.borrow_mut() = Some(limit) },
        );
        done.await.unwrap();
        let limit = kept.borrow_mut().take().unwrap();
        assert_eq!(limit.reschedule(now() + HOUR), Err(LimitOver::Finished));
        assert!(!limit.expired());

        let keep = kept.clone();
        let expired = timeout_scope(MS, |limit| async move {
            *keep.borrow_mut() = Some(limit.clone());
            let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
            assert!(limit.expired());
            assert_eq!(limit.reschedule(None), Err(LimitOver::Expired));
            caught.propagate().await
        });
        assert!(expired.await.is_err());
        let limit = kept.borrow_mut().take().unwrap();
        assert_eq!(limit.reschedule(None), Err(LimitOver::Expired));
        assert!(limit.expired());
    });
}

#[test]
fn b54_wait_for_returns_only_after_clean_up_has_ended() {
    run(async {
        let log = Log::default();
        let start = now();
        let cleaner = log.clone();
        let task = create_task(async move {
            let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
            sleep(30 * MS).await;
            cleaner.add("cleaned up");
            caught.propagate().await;
        });
        let known = task.task_ref();
        let error = wait_for(task, 10 * MS).await.unwrap_err();
        assert!(matches!(error, WaitError::Elapsed(elapsed) if elapsed.after == 10 * MS));
        assert_eq!(log.all(), ["cleaned up"]);
        assert_eq!(now().duration_since(start), 40 * MS);
        assert_eq!(known.info(), None, "it has ended");
    });
}

#[test]
fn b54_an_error_of_clean_up_and_a_value_made_of_the_cancel_win_over_the_time() {
    run(async {
        let panics = create_task(async {
            let _ = catch_cancel(sleep(HOUR)).await;
            panic!("in clean-up");
        });
        match wait_for(panics, MS).await.unwrap_err() {
            WaitError::Join(JoinError::Panicked(panic)) => assert_eq!(panic.text(), "in clean-up"),
            other => panic!("{other}"),
        }
        let fails = create_task(cleans_up(Log::default(), "", MS, Err::<(), _>("clean-up")));
        assert_eq!(wait_for(fails, MS).await.unwrap(), Err("clean-up"));
        let value = create_task(cleans_up(Log::default(), "", MS, 42));
        assert_eq!(wait_for(value, MS).await.unwrap(), 42);
        let cancelled = create_task(pending::<()>());
        cancelled.cancel();
        let error = wait_for(cancelled, HOUR).await.unwrap_err();
        assert!(matches!(error, WaitError::Join(JoinError::Cancelled(_))));
    });
}

#[test]
fn b54_with_no_time_a_task_that_has_not_begun_never_does_and_one_that_is_done_has_its_value() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let fresh = create_task(async move { noted.add("began") });
        let error = wait_for(fresh, Duration::ZERO).await.unwrap_err();
        assert!(error.is_elapsed());
        assert_eq!(log.all(), [""; 0]);

        let done = create_task(async { 7 });
        yield_now().await;
        assert!(done.done());
        assert_eq!(wait_for(done, Duration::ZERO).await.unwrap(), 7);
    });
}

#[test]
fn b55_a_cancel_in_the_tick_in_which_the_awaited_task_completes_is_not_swallowed() {
    // Before, in and after the tick of the completion, from the loop's view.
    for order in 0..3 {
        let mut test = TestLoop::new();
        let log = Log::default();
        let (noted, cut) = (log.clone(), log.drops("dropped"));
        let (promise, future) = test.enter(loop_runtime::create_future::<u32>);
        let outer = test.enter(|| {
            create_task(async move {
                let _cut = cut;
                let inner = create_task(async { future.await.unwrap() });
                let value = wait_for(inner, HOUR).await;
                noted.add(format!("{value:?}"));
            })
        });
        test.turn();
        test.enter(|| match order {
            0 => {
                outer.cancel();
                promise.set_result(1).unwrap();
            }
            1 => {
                promise.set_result(1).unwrap();
                outer.cancel();
            }
            _ => {
                promise.set_result(1).unwrap();
            }
        });
        if order == 2 {
            // The inner task has ended and the outer one is ready, not polled yet.
            test.once();
            test.enter(|| assert!(outer.cancel()));
        }
        test.turn();
        assert!(outer.cancelled(), "order {order}");
        assert_eq!(log.all(), ["dropped"], "order {order}");
        assert_eq!(test.enter(|| outer.cancelling()), 1);
    }
}

#[test]
fn b55_a_cancel_from_outside_waits_for_the_clean_up_and_is_not_swallowed_by_a_value() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let (noted, inner) = (log.clone(), log.clone());
    let outer = test.enter(|| {
        create_task(async move {
            let inner = create_task(cleans_up(inner, "inner", 5 * MS, 7));
            let value = wait_for(inner, HOUR).await;
            noted.add(format!("{value:?}"));
        })
    });
    test.turn();
    test.enter(|| outer.cancel());
    test.advance(4 * MS);
    assert!(!outer.done());
    test.advance(MS);
    assert!(outer.cancelled());
    assert_eq!(log.all(), ["inner cleaned up"]);
}
