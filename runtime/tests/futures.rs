//! `create_future`, `sleep`, `interval` and `timeout`. The numbers are those of the acceptance cases.

use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    FutureError, create_future, create_task, interval, sleep, time, timeout, yield_now,
};

const MS: Duration = Duration::from_millis(1);

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    TestLoop::new().run(future).unwrap()
}

#[test]
fn a_future_gives_what_its_promise_was_kept_with() {
    let value = run(async {
        let (promise, future) = create_future();
        let waiter = create_task(future);
        yield_now().await;
        promise.set_result("kept").unwrap();
        waiter.await.unwrap()
    });
    assert_eq!(value, Ok("kept"));
}

#[test]
fn a_promise_dropped_unkept_is_an_error_and_not_a_hang() {
    let value = run(async {
        let (promise, future) = create_future::<()>();
        create_task(async move {
            yield_now().await;
            drop(promise);
        })
        .detach();
        future.await
    });
    assert_eq!(value, Err(FutureError::BrokenPromise));
}

#[test]
fn a_cancelled_future_refuses_its_result_and_gives_it_back() {
    run(async {
        let (promise, future) = create_future();
        assert!(future.cancel());
        assert_eq!(promise.set_result(7).unwrap_err().value, 7);
        assert_eq!(future.await, Err(FutureError::Cancelled));
    });
}

#[test]
fn a_promise_dropped_on_another_thread_breaks_on_its_own_loop() {
    let value = loop_runtime::run(async {
        let (promise, future) = create_future::<()>();
        std::thread::spawn(move || drop(promise));
        future.await
    });
    assert_eq!(value, Ok(Err(FutureError::BrokenPromise)));
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines_and_never_early() {
    let ends = run(async {
        let start = time::now();
        let tasks: Vec<_> = [30, 10, 20]
            .map(|ms| {
                create_task(async move {
                    sleep(ms * MS).await;
                    (ms, time::now().duration_since(start))
                })
            })
            .into();
        let mut ends = Vec::new();
        for task in tasks {
            ends.push(task.await.unwrap());
        }
        ends.sort_by_key(|end| end.1);
        ends
    });
    assert_eq!(ends, [(10, 10 * MS), (20, 20 * MS), (30, 30 * MS)]);
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    let mut test = TestLoop::new();
    let mut nap = test.enter(|| Box::pin(sleep(MS)));
    let task = test.enter(|| create_task(std::future::poll_fn(move |cx| nap.as_mut().poll(cx))));
    test.turn();
    assert_eq!(test.timers(), 1);
    task.cancel();
    test.turn();
    assert_eq!(test.timers(), 0);
}

#[test]
fn a_sleep_of_zero_lets_the_others_run_once() {
    let log = run(async {
        let (sender, receiver) = std::sync::mpsc::channel();
        let other = sender.clone();
        let task = create_task(async move { other.send("other").unwrap() });
        sleep(Duration::ZERO).await;
        sender.send("after the nap").unwrap();
        task.await.unwrap();
        drop(sender);
        receiver.into_iter().collect::<Vec<_>>()
    });
    assert_eq!(log, ["other", "after the nap"]);
}

#[test]
fn an_interval_keeps_its_schedule_whatever_the_body_takes() {
    let due = run(async {
        let start = time::now();
        let mut ticks = interval(10 * MS);
        let mut due = Vec::new();
        for _ in 0..4 {
            due.push(ticks.tick().await.duration_since(start));
            sleep(3 * MS).await;
        }
        due
    });
    assert_eq!(due, [Duration::ZERO, 10 * MS, 20 * MS, 30 * MS]);
}

#[test]
fn missed_ticks_come_at_once_late_or_not_at_all_as_asked() {
    let due_after = |missed| {
        run(async move {
            let start = time::now();
            let mut ticks = interval(10 * MS);
            ticks.set_missed_tick(missed);
            ticks.tick().await;
            sleep(35 * MS).await;
            let mut seen = Vec::new();
            for _ in 0..3 {
                ticks.tick().await;
                seen.push(time::now().duration_since(start).as_millis());
            }
            seen
        })
    };
    assert_eq!(due_after(time::MissedTick::Burst), [35, 35, 35]);
    assert_eq!(due_after(time::MissedTick::Delay), [35, 45, 55]);
    assert_eq!(due_after(time::MissedTick::Skip), [35, 40, 50]);
}

#[test]
fn b51_a_timeout_drops_what_is_late_and_gives_what_is_not() {
    run(async {
        let late = timeout(5 * MS, sleep(10 * MS)).await;
        assert_eq!(late.unwrap_err().after, 5 * MS);
        assert_eq!(timeout(10 * MS, async { 7 }).await, Ok(7));
    });
}

#[test]
fn b52_of_two_timeouts_with_one_deadline_the_inner_is_heard_by_the_outer_first() {
    run(async {
        let inner = timeout(5 * MS, std::future::pending::<()>());
        let both = timeout(5 * MS, inner).await;
        assert!(matches!(both, Ok(Err(_)) | Err(_)));
    });
}

#[test]
fn b53_a_timeout_of_zero_still_takes_what_is_ready() {
    run(async {
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
        assert!(
            timeout(Duration::ZERO, sleep(Duration::ZERO))
                .await
                .is_err()
        );
    });
}

#[test]
fn a_sleep_polled_on_another_loop_names_both_loops() {
    let first = TestLoop::new();
    let nap = first.enter(|| sleep(MS));
    let task = TestLoop::new().run(create_on_other(nap)).unwrap();
    assert!(task.contains("belongs to loop"), "{task}");
}

async fn create_on_other(nap: loop_runtime::Sleep) -> String {
    let error = create_task(nap).await.unwrap_err();
    error.to_string()
}
