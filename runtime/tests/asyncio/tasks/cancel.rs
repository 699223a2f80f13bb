//! B27-B35: cancel, and the scopes that catch it.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use loop_runtime::testing::TestLoop;
use loop_runtime::{
    Canceller, FutureError, JoinError, Task, TaskState, catch_cancel, create_future, create_task,
    current_task, sleep, time, yield_now,
};

use super::{HOUR, MS, run};

/// Sets its cell when dropped.
struct Noted(Rc<Cell<bool>>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

fn noted() -> (Noted, Rc<Cell<bool>>) {
    let cell = Rc::new(Cell::new(false));
    (Noted(cell.clone()), cell)
}

/// Calls its function when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn b27_a_task_cancelled_before_its_first_step_never_runs() {
    run(async {
        let (value, dropped) = noted();
        let ran = Rc::new(Cell::new(false));
        let seen = ran.clone();
        let task = create_task(async move {
            let _value = value;
            seen.set(true);
        });
        assert!(task.cancel());
        assert!(!task.cancelled(), "not before its next step");
        yield_now().await;
        assert!(task.cancelled() && task.done() && dropped.get() && !ran.get());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b27_the_message_of_a_cancel_before_the_first_step_reaches_the_awaiter() {
    run(async {
        let task = create_task(async { panic!("the body ran") });
        assert!(task.cancel_message("too early"));
        match task.await {
            Err(JoinError::Cancelled(how)) => assert_eq!(how.message(), Some("too early")),
            other => panic!("{other:?}"),
        }
    });
}

/// What the task awaits is dropped first, then the task is done, one iteration after the request.
#[test]
fn b28_what_is_awaited_goes_first_and_the_task_ends_in_the_next_iteration() {
    let mut test = TestLoop::new();
    let seen = Rc::new(Cell::new(None));
    let state = seen.clone();
    let task = test.enter(|| {
        create_task(async move {
            let own = current_task().unwrap();
            let _first = OnDrop(|| state.set(own.info().map(|info| info.state())));
            sleep(HOUR).await;
        })
    });
    test.turn();
    assert!(test.enter(|| task.cancel()));
    assert!(!task.done() && !task.cancelled() && seen.get().is_none());
    test.once();
    assert!(task.done() && task.cancelled());
    let state = seen
        .get()
        .expect("it was still in the table when what it awaited was dropped");
    assert_ne!(state, TaskState::Done);
    assert_eq!(test.timers(), 0, "the sleep is gone with it");
}

#[test]
fn b28_a_waiting_task_is_cancelled_at_its_next_step_and_what_it_awaits_is_dropped() {
    run(async {
        let (promise, future) = create_future::<()>();
        let task = create_task(future);
        yield_now().await;
        assert!(task.cancel());
        assert!(!task.cancelled() && !promise.is_abandoned());
        yield_now().await;
        assert!(task.cancelled() && promise.is_abandoned());
        assert!(
            promise.set_result(()).is_ok(),
            "it may be kept; nobody listens"
        );
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b29_a_cancel_that_is_caught_may_end_in_a_value() {
    run(async {
        let task = create_task(async {
            match catch_cancel(sleep(HOUR)).await {
                Ok(()) => 0,
                Err(_) => 42,
            }
        });
        yield_now().await;
        assert!(task.cancel());
        yield_now().await;
        assert!(task.done() && !task.cancelled(), "a caught cancel is none");
        assert_eq!(task.await.unwrap(), 42);
    });
}

#[test]
fn b29_a_task_that_caught_a_cancel_runs_on_until_what_it_awaits_next_is_done() {
    let mut test = TestLoop::new();
    let task = test.enter(|| {
        create_task(async {
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            sleep(10 * MS).await;
            "went on"
        })
    });
    test.turn();
    assert!(task.cancel());
    test.advance(9 * MS);
    assert!(!task.done());
    test.advance(MS);
    assert!(task.done() && !task.cancelled());
    assert_eq!(test.run(task).unwrap().unwrap(), "went on");
}

#[test]
fn b30_a_task_that_cancels_itself_is_stopped_at_its_next_await() {
    run(async {
        let after = Rc::new(Cell::new(false));
        let seen = after.clone();
        let start = time::now();
        let task = create_task(async move {
            assert!(current_task().unwrap().cancel());
            sleep(HOUR).await;
            seen.set(true);
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!after.get());
        assert_eq!(time::now(), start, "at once, not an hour later");
    });
}

/// Unlike asyncio, where the cancel wins and the value is lost: documented at `Task::cancel`.
#[test]
fn b30_a_value_that_is_returned_wins_over_a_cancel_of_oneself() {
    run(async {
        let task = create_task(async {
            assert!(current_task().unwrap().cancel());
            7
        });
        yield_now().await;
        assert!(task.done() && !task.cancelled());
        assert_eq!(task.cancelling(), 1, "asked, and not delivered");
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn b31_cancelling_a_task_cancels_the_task_it_awaits() {
    run(async {
        let (value, dropped) = noted();
        let inner_ref = Rc::new(Cell::new(None));
        let shown = inner_ref.clone();
        let outer = create_task(async move {
            let inner = create_task(async move {
                let _value = value;
                sleep(HOUR).await;
            });
            shown.set(Some(inner.task_ref()));
            inner.await
        });
        yield_now().await;
        yield_now().await;
        assert!(outer.cancel());
        assert!(outer.await.unwrap_err().is_cancelled());
        yield_now().await;
        assert!(dropped.get());
        assert_eq!(inner_ref.get().unwrap().info(), None, "its row is gone");
    });
}

#[test]
fn b31_the_inner_task_ends_before_the_outer_and_knows_that_its_awaiter_was_cancelled() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let asked = Rc::new(RefCell::new(None));
        let (inside, seen) = (log.clone(), asked.clone());
        let outer = create_task(async move {
            let inner = create_task(async move {
                let own = current_task().unwrap();
                let _last = OnDrop(|| {
                    *seen.borrow_mut() = own.info().unwrap().cancel_request().cloned();
                    inside.borrow_mut().push("inner");
                });
                sleep(HOUR).await;
            });
            inner.await
        });
        for _ in 0..3 {
            yield_now().await;
        }
        let ended = log.clone();
        outer.add_done_callback(move |_| ended.borrow_mut().push("outer"));
        outer.cancel_message("all of it");
        let outer_id = outer.id();
        assert!(outer.await.unwrap_err().is_cancelled());
        yield_now().await;
        yield_now().await;
        assert_eq!(log.borrow().len(), 2, "both ended");
        let asked = asked.borrow();
        let asked = asked.as_ref().expect("it was asked to cancel");
        assert_eq!(asked.by, Canceller::Awaiter(outer_id));
        assert_eq!(asked.message.as_deref(), Some("all of it"));
        assert!(asked.place.unwrap().file().ends_with("cancel.rs"));
    });
}

#[test]
fn b31_a_scope_that_catches_cancels_the_task_it_awaited_too() {
    run(async {
        let (value, dropped) = noted();
        let outer = create_task(async move {
            let inner = create_task(async move {
                let _value = value;
                sleep(HOUR).await;
            });
            catch_cancel(inner).await.unwrap_err();
            sleep(MS).await;
        });
        yield_now().await;
        yield_now().await;
        outer.cancel();
        outer.await.unwrap();
        assert!(dropped.get());
    });
}

#[test]
fn b31_a_task_whose_awaiter_loses_interest_is_detached_and_not_cancelled() {
    run(async {
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        let task = create_task(async move {
            sleep(2 * MS).await;
            seen.set(true);
        });
        assert!(loop_runtime::timeout(MS, task).await.is_err());
        sleep(2 * MS).await;
        assert!(done.get());
    });
}

#[test]
fn b32_cancelling_a_task_that_is_done_says_so_and_changes_nothing() {
    run(async {
        let task = create_task(async { 7 });
        yield_now().await;
        assert!(task.done() && !task.cancel() && !task.cancelled());
        assert!(!task.cancel_message("late") && !task.cancelled());
        assert_eq!(task.cancelling(), 0);
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn b32_requests_to_cancel_are_counted() {
    run(async {
        let task = create_task(sleep(HOUR));
        for count in 1..=3 {
            assert!(task.cancel());
            assert_eq!(task.cancelling(), count);
        }
        assert_eq!(task.uncancel(), 2);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b33_a_task_withdraws_its_own_request_inside_a_scope_and_a_later_one_works() {
    run(async {
        let task = create_task(async {
            let own = current_task().unwrap();
            let (first, second) = (catch_cancel(sleep(HOUR)).await, own.cancelling());
            assert!(first.is_err());
            assert_eq!((second, own.uncancel(), own.cancelling()), (1, 0, 0));
            assert_eq!(own.info().unwrap().cancel_request(), None);
            catch_cancel(sleep(HOUR)).await.unwrap_err().message
        });
        yield_now().await;
        task.cancel_message("first");
        sleep(MS).await;
        assert!(!task.done());
        task.cancel_message("second");
        assert_eq!(task.await.unwrap().as_deref(), Some("second"));
    });
}

#[test]
fn b33_a_request_withdrawn_before_its_delivery_does_nothing() {
    run(async {
        let task = create_task(async {
            sleep(MS).await;
            7
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn b33_after_a_caught_and_withdrawn_cancel_a_later_one_works() {
    run(async {
        let task = Rc::new(RefCell::new(None::<Task<()>>));
        let own = task.clone();
        let (value, dropped) = noted();
        *task.borrow_mut() = Some(create_task(async move {
            let _value = value;
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            assert_eq!(own.borrow().as_ref().unwrap().uncancel(), 0);
            sleep(HOUR).await;
        }));
        yield_now().await;
        let cancel = || assert!(task.borrow().as_ref().unwrap().cancel());
        cancel();
        for _ in 0..4 {
            yield_now().await;
        }
        assert!(!dropped.get());
        cancel();
        yield_now().await;
        assert!(dropped.get());
        let task = task.take().unwrap();
        assert!(task.cancelled());
    });
}

#[test]
fn b34_the_message_of_a_cancel_reaches_the_awaiter() {
    run(async {
        let task = create_task(sleep(HOUR));
        yield_now().await;
        task.cancel_message("the shop closes");
        match task.await.unwrap_err() {
            JoinError::Cancelled(how) => {
                assert_eq!(how.message(), Some("the shop closes"));
                assert!(!how.loop_closed());
            }
            other => panic!("{other}"),
        }
    });
}

#[test]
fn b34_the_canceller_and_its_place_are_recorded_and_reach_the_awaiter() {
    run(async {
        let task = create_task(async {
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            sleep(HOUR).await;
        });
        yield_now().await;
        assert_eq!(task.task_ref().info().unwrap().cancel_request(), None);
        let asker = {
            let task = task.task_ref();
            create_task(async move { task.cancel_message("enough") })
        };
        let (asker_id, line) = (asker.id(), line!() - 2);
        assert!(asker.await.unwrap());
        yield_now().await;
        let info = task.task_ref().info().unwrap();
        let asked = info
            .cancel_request()
            .expect("asked, caught, and not withdrawn");
        assert_eq!((asked.by, asked.times), (Canceller::Task(asker_id), 1));
        assert_eq!(asked.message.as_deref(), Some("enough"));
        let place = asked.place.unwrap();
        assert!(place.file().ends_with("tasks/cancel.rs"));
        assert_eq!(place.line(), line);

        let own = current_task().unwrap().id();
        let line = line!() + 1;
        assert!(task.cancel());
        let JoinError::Cancelled(how) = task.await.unwrap_err() else {
            panic!("it was cancelled")
        };
        assert_eq!((how.message(), how.by()), (None, Some(own)));
        assert_eq!(how.place().unwrap().line(), line);
    });
}

#[test]
fn b34_a_cancel_from_another_thread_is_recorded_with_the_thread_and_its_place() {
    let mut test = TestLoop::new();
    let task = test.enter(|| {
        create_task(async {
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            let info = current_task().unwrap().info().unwrap();
            info.cancel_request().cloned().unwrap()
        })
    });
    test.turn();
    let asked = task.task_ref();
    std::thread::spawn(move || assert!(asked.cancel()))
        .join()
        .unwrap();
    let asked = test.run(task).unwrap().unwrap();
    assert!(matches!(asked.by, Canceller::Thread(_)), "{asked:?}");
    assert!(asked.place.unwrap().file().ends_with("tasks/cancel.rs"));
}

#[test]
fn b34_the_end_of_a_run_says_that_it_was_the_one_to_cancel() {
    let asked = Rc::new(RefCell::new(None));
    let seen = asked.clone();
    loop_runtime::Builder::new()
        .grace(Duration::ZERO)
        .run(async move {
            create_task(async move {
                catch_cancel(sleep(HOUR)).await.unwrap_err();
                let info = current_task().unwrap().info().unwrap();
                *seen.borrow_mut() = info.cancel_request().map(|asked| (asked.by, asked.place));
            })
            .detach();
            yield_now().await;
        })
        .unwrap();
    assert_eq!(*asked.borrow(), Some((Canceller::RunEnd, None)));
}

#[test]
fn b34_the_message_of_a_cancel_reaches_the_scope_that_catches_it() {
    run(async {
        let task = create_task(async { catch_cancel(sleep(HOUR)).await.unwrap_err().message });
        yield_now().await;
        task.cancel_message("the shop closes");
        assert_eq!(task.await.unwrap().as_deref(), Some("the shop closes"));
    });
}

#[test]
fn b34_the_message_of_a_cancel_from_another_thread_reaches_the_awaiter() {
    let mut test = TestLoop::new();
    let task = test.enter(|| create_task(sleep(HOUR)));
    let task = std::thread::spawn(move || {
        assert!(task.cancel_message("from a thread"));
        task
    })
    .join()
    .unwrap();
    let error = test.run(task).unwrap().unwrap_err();
    assert!(error.to_string().contains("from a thread"), "{error}");
}

#[test]
fn b35_a_future_kept_and_cancelled_in_one_iteration_has_one_outcome() {
    run(async {
        let (promise, future) = create_future();
        let task = create_task(future);
        yield_now().await;
        promise.set_result(7).unwrap();
        task.cancel();
        // The cancel comes first, as in asyncio: the task is not polled again.
        assert_eq!(task.task_ref().info().unwrap().polls(), 1);
        assert!(task.await.unwrap_err().is_cancelled());

        let (promise, future) = create_future::<()>();
        let ends = Rc::new(Cell::new(0));
        let task = create_task(future);
        let counted = ends.clone();
        task.add_done_callback(move |_| counted.set(counted.get() + 1));
        yield_now().await;
        assert!(promise.cancel() && task.cancel(), "both, in one iteration");
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled(), "one outcome: {error}");
        sleep(MS).await;
        assert_eq!(ends.get(), 1);

        let (promise, future) = create_future();
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let task = create_task(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                counted.set(counted.get() + 1);
                future.as_mut().poll(cx)
            })
            .await
        });
        yield_now().await;
        promise.cancel();
        assert_eq!(task.await.unwrap(), Err::<(), _>(FutureError::Cancelled));
        assert_eq!(polls.get(), 2, "one to wait, one to learn of it");
    });
}

#[test]
fn b55_a_cancel_in_the_tick_in_which_the_value_arrives_is_not_swallowed() {
    run(async {
        let (promise, future) = create_future();
        let task = create_task(async move { catch_cancel(future).await });
        yield_now().await;
        promise.set_result(7).unwrap();
        task.cancel();
        assert!(task.await.unwrap().is_err());
    });
}

#[test]
fn b29_every_innermost_scope_of_a_join_catches_and_a_branch_outside_goes_on() {
    run(async {
        let task = create_task(async {
            let both = join(catch_cancel(sleep(HOUR)), catch_cancel(pending::<()>()));
            let outside = async {
                sleep(5 * MS).await;
                "went on"
            };
            join(both, outside).await
        });
        yield_now().await;
        task.cancel();
        let ((first, second), outside) = task.await.unwrap();
        assert!(first.is_err() && second.is_err());
        assert_eq!(outside, "went on");
    });
}

#[test]
fn b29_a_scope_inside_a_select_catches() {
    run(async {
        let task = create_task(async {
            let scope = pin!(catch_cancel(sleep(HOUR)));
            let never = pin!(pending::<()>());
            match select(never, scope).await {
                futures_util::future::Either::Right((caught, _)) => caught.is_err(),
                futures_util::future::Either::Left(_) => false,
            }
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap());
    });
}

#[test]
fn b29_scopes_inside_a_futures_unordered_are_reached_through_its_own_wakers() {
    run(async {
        let task = create_task(async {
            let mut all: FuturesUnordered<_> =
                (0..10).map(|_| catch_cancel(pending::<()>())).collect();
            let mut caught = 0;
            while let Some(result) = all.next().await {
                caught += usize::from(result.is_err());
            }
            caught
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 10);
    });
}

#[test]
fn b29_of_nested_scopes_the_inner_catches_first_and_the_outer_the_next_cancel() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let seen = log.clone();
        let task = create_task(async move {
            let inner = async {
                catch_cancel(sleep(HOUR)).await.unwrap_err();
                seen.borrow_mut().push("inner");
                sleep(HOUR).await;
                seen.borrow_mut().push("not reached");
            };
            catch_cancel(inner).await.unwrap_err();
            seen.borrow_mut().push("outer");
        });
        yield_now().await;
        task.cancel();
        sleep(MS).await;
        assert_eq!(*log.borrow(), ["inner"]);
        task.cancel();
        task.await.unwrap();
        assert_eq!(*log.borrow(), ["inner", "outer"]);
    });
}

#[test]
fn b29_a_scope_that_has_ended_catches_no_more() {
    run(async {
        let task = create_task(async {
            catch_cancel(yield_now()).await.unwrap();
            sleep(HOUR).await;
        });
        sleep(MS).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b29_a_scope_that_was_never_polled_catches_nothing() {
    run(async {
        let task = create_task(async {
            let _idle = catch_cancel(sleep(HOUR));
            sleep(HOUR).await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// The scope is marked, but a sibling ends the `select!` before it is polled: the request must go
/// on to whoever is next, here the task itself.
#[test]
fn b29_a_cancel_whose_scope_is_dropped_before_it_could_catch_is_not_lost() {
    run(async {
        let (promise, future) = create_future::<()>();
        let task = create_task(async move {
            {
                let scope = pin!(catch_cancel(sleep(HOUR)));
                select(pin!(future), scope).await;
            }
            sleep(HOUR).await;
        });
        yield_now().await;
        promise.set_result(()).unwrap();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b29_a_cancel_whose_scope_is_dropped_goes_on_to_the_outer_scope() {
    run(async {
        let (promise, future) = create_future::<()>();
        let task = create_task(async move {
            let body = async move {
                {
                    let scope = pin!(catch_cancel(sleep(HOUR)));
                    select(pin!(future), scope).await;
                }
                sleep(HOUR).await;
            };
            catch_cancel(body).await.unwrap_err().message
        });
        yield_now().await;
        promise.set_result(()).unwrap();
        task.cancel_message("on to the outer");
        assert_eq!(task.await.unwrap().as_deref(), Some("on to the outer"));
    });
}

#[test]
fn b29_a_scope_catches_a_cancel_while_the_loop_awaits_clean_up_of_another_task() {
    run(async {
        let slow = create_task(async {
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            sleep(5 * MS).await;
            "slow"
        });
        let quick = create_task(async {
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            "quick"
        });
        yield_now().await;
        slow.cancel();
        quick.cancel();
        assert_eq!(quick.await.unwrap(), "quick");
        assert!(!slow.done());
        assert_eq!(slow.await.unwrap(), "slow");
    });
}

#[test]
fn b29_run_awaits_the_clean_up_of_tasks_that_catch_their_cancel() {
    let cleaned = Rc::new(Cell::new(false));
    let seen = cleaned.clone();
    loop_runtime::Builder::new()
        .grace(Duration::ZERO)
        .run(async move {
            create_task(async move {
                catch_cancel(sleep(HOUR)).await.unwrap_err();
                sleep(MS).await;
                seen.set(true);
            })
            .detach();
            yield_now().await;
        })
        .unwrap();
    assert!(cleaned.get());
}

#[test]
fn b28_a_poll_function_that_wakes_itself_for_ever_can_be_cancelled() {
    run(async {
        let task = create_task(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b09_a_timer_and_its_clone_know_of_one_cancel() {
    let mut test = TestLoop::new();
    let ran = Rc::new(Cell::new(0));
    let arm = |test: &TestLoop| {
        let seen = ran.clone();
        let run = move || seen.set(seen.get() + 1);
        test.event_loop().local().call_later(MS, run)
    };
    let first = arm(&test);
    let second = first.clone();
    second.cancel();
    assert!(first.cancelled() && second.cancelled());
    assert_eq!(test.timers(), 0);
    let late = arm(&test);
    test.advance(2 * MS);
    late.cancel();
    assert!(!late.cancelled(), "it has run");
    assert_eq!(ran.get(), 1);
}
