//! B38: what nobody reads: panics, and errors that a task states (`TaskBuilder::spawn_fallible`).
//!
//! A plain task cannot tell an error from any other value, so its `Err` is a value that may be
//! dropped like one; the doc-test of `spawn_fallible` shows what does not compile.

use std::cell::RefCell;
use std::rc::Rc;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    ErrorContext, EventLoop, JoinError, Task, create_task, get_running_loop, sleep, yield_now,
};

use super::HOUR;

type Heard = Rc<RefCell<Vec<(String, Option<String>)>>>;

/// Runs `test` on a loop whose exception handler writes to what it gives.
fn run<T: 'static>(test: impl AsyncFnOnce(Heard) -> T + 'static) -> T {
    TestLoop::new()
        .run(async move {
            let heard = Heard::default();
            hear(&heard);
            test(heard).await
        })
        .unwrap()
}

fn hear(heard: &Heard) {
    let log = heard.clone();
    get_running_loop()
        .unwrap()
        .set_exception_handler(Some(Rc::new(move |context: &ErrorContext| {
            assert!(context.spawned_at.contains("unread.rs"), "{context}");
            log.borrow_mut()
                .push((context.message.clone(), context.panic.clone()));
        })));
}

fn texts(heard: &Heard) -> Vec<String> {
    let heard = heard.borrow();
    heard.iter().filter_map(|(_, text)| text.clone()).collect()
}

/// A task named `parser` that waits once and ends with an error.
fn failing() -> Task<Result<u32, std::num::ParseIntError>> {
    Task::<()>::builder().name("parser").spawn_fallible(async {
        yield_now().await;
        "x".parse::<u32>()
    })
}

#[test]
fn b38_a_panic_that_nobody_awaits_is_heard_once() {
    run(async |heard| {
        create_task(async { panic!("unread") }).detach();
        yield_now().await;
        yield_now().await;
        assert_eq!(texts(&heard), ["unread"]);
    });
}

#[test]
fn b38_a_panic_whose_handle_is_dropped_unread_is_heard_then() {
    run(async |heard| {
        let task = create_task(async { panic!("unread") });
        yield_now().await;
        assert!(task.done() && texts(&heard).is_empty());
        drop(task);
        assert_eq!(texts(&heard), ["unread"]);
    });
}

#[test]
fn b38_a_panic_that_is_awaited_is_a_value_and_not_heard() {
    run(async |heard| {
        let task = create_task(async { panic!("read") });
        match task.await {
            Err(JoinError::Panicked(panic)) => assert_eq!(panic.text(), "read"),
            other => panic!("{other:?}"),
        }
        yield_now().await;
        assert!(texts(&heard).is_empty());
    });
}

#[test]
fn b38_a_panic_taken_by_try_result_is_not_heard() {
    run(async |heard| {
        let mut task = create_task(async { panic!("taken") });
        yield_now().await;
        assert!(task.try_result().unwrap().unwrap_err().is_panic());
        assert!(task.try_result().is_none());
        drop(task);
        assert!(texts(&heard).is_empty());
    });
}

#[test]
fn b38_a_cancelled_task_is_not_heard() {
    run(async |heard| {
        let task = create_task(sleep(HOUR));
        yield_now().await;
        task.cancel();
        drop(task);
        yield_now().await;
        assert!(heard.borrow().is_empty());
    });
}

#[test]
fn b38_a_panic_still_unread_when_the_loop_closes_is_heard_then() {
    let el = EventLoop::new().unwrap();
    let heard = Heard::default();
    el.enter(|| hear(&heard));
    let task = el.enter(|| create_task(async { panic!("never read") }));
    el.run_until_complete(yield_now()).unwrap();
    assert!(task.done() && texts(&heard).is_empty());
    el.close().unwrap();
    assert_eq!(texts(&heard), ["never read"]);
    drop(task);
    assert_eq!(texts(&heard).len(), 1);
}

#[test]
fn b38_an_error_whose_handle_is_dropped_before_it_comes_is_heard_once_with_its_text() {
    run(async |heard| {
        drop(failing());
        for _ in 0..4 {
            yield_now().await;
        }
        let heard = heard.borrow();
        let [(message, text)] = &heard[..] else {
            panic!("once: {heard:?}")
        };
        assert_eq!(message, "a task failed and nobody awaited it");
        assert!(text.as_ref().unwrap().contains("invalid digit"), "{text:?}");
    });
}

#[test]
fn b38_an_error_whose_handle_is_dropped_after_it_came_is_heard_then() {
    run(async |heard| {
        let task = failing();
        sleep(super::MS).await;
        assert!(task.done() && heard.borrow().is_empty());
        drop(task);
        assert_eq!(heard.borrow().len(), 1);
    });
}

#[test]
fn b38_an_error_that_is_read_is_heard_by_nobody_else() {
    run(async |heard| {
        assert!(failing().await.unwrap().is_err());
        let mut taken = failing();
        sleep(super::MS).await;
        assert!(taken.try_result().unwrap().unwrap().is_err());
        drop(taken);
        yield_now().await;
        assert!(heard.borrow().is_empty());
    });
}

#[test]
fn b38_a_task_that_would_have_failed_and_was_cancelled_is_not_heard() {
    run(async |heard| {
        let task = failing();
        yield_now().await;
        task.cancel();
        drop(task);
        sleep(super::MS).await;
        assert!(heard.borrow().is_empty());
    });
}

#[test]
fn b38_a_fallible_task_that_succeeds_is_not_heard() {
    run(async |heard| {
        let task = Task::<()>::builder().spawn_fallible(async { "7".parse::<u32>() });
        drop(task);
        sleep(super::MS).await;
        assert!(heard.borrow().is_empty());
    });
}

#[test]
fn b38_an_err_of_a_plain_task_is_a_value_like_any_other() {
    run(async |heard| {
        let task = create_task(async { "x".parse::<u32>() });
        drop(task);
        sleep(super::MS).await;
        assert!(heard.borrow().is_empty());
    });
}
