//! B27-B41: tasks, cancel, uncancel, contexts.

mod cancel;
mod context;
mod eager;
mod unread;

use std::cell::RefCell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loop_runtime::testing::{Test, TestLoop};
use loop_runtime::{
    ErrorContext, EventLoop, FutureError, RemoteError, Task, create_future, create_task,
    get_running_loop, sleep, yield_now,
};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    TestLoop::new().run(future).unwrap()
}

#[test]
fn b36_a_future_awaited_on_another_loop_is_an_error_that_names_both() {
    let mut first = TestLoop::new();
    let (promise, future) = first.enter(create_future::<()>);
    let second = TestLoop::new();
    let second_id = second.event_loop().id();
    let mut second = second;
    let error = second.run(future).unwrap().unwrap_err();
    let FutureError::WrongLoop(wrong) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (wrong.made_on, wrong.here),
        (first.event_loop().id(), Some(second_id))
    );
    drop(promise);
    first.turn();
}

/// The way that works: the future stays on its loop, and its value crosses.
#[test]
fn b36_a_remote_task_of_one_loop_is_awaited_on_another() {
    // The first loop lives until its promise is kept, from here.
    let (sender, receiver) = std::sync::mpsc::channel();
    let first = std::thread::spawn(move || {
        loop_runtime::run(async move {
            let (promise, future) = create_future::<()>();
            let el = get_running_loop().unwrap();
            sender.send((el.id(), el.handle(), promise)).unwrap();
            future.await.unwrap();
        })
        .unwrap();
    });
    let (id, handle, promise) = receiver.recv().unwrap();
    let value = loop_runtime::run(async move {
        let here = get_running_loop().unwrap().id();
        assert_ne!(here, id);
        let remote = handle
            .spawn(move || async move {
                yield_now().await;
                get_running_loop().unwrap().id()
            })
            .unwrap();
        let value = remote.await.unwrap();
        let cancelled = handle.spawn(pending::<()>).unwrap();
        cancelled.cancel();
        assert!(matches!(cancelled.await, Err(RemoteError::Join(error)) if error.is_cancelled()));
        let keep = move || promise.set_result(()).unwrap();
        handle.call_soon_threadsafe(keep).unwrap();
        value
    })
    .unwrap();
    assert_eq!(value, id, "it ran on its own loop");
    first.join().unwrap();
}

#[test]
fn b37_a_loop_that_is_dropped_tells_of_each_pending_task_and_where_it_was_spawned() {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let log = heard.clone();
    let el = EventLoop::new().unwrap();
    let handler = move |context: &ErrorContext| {
        log.borrow_mut()
            .push((context.message.clone(), context.spawned_at.clone()))
    };
    el.local().set_exception_handler(Some(Rc::new(handler)));
    let line = line!() + 1;
    let waits = el.enter(|| create_task(sleep(HOUR)));
    let done = el.enter(|| create_task(async {}));
    el.enter(|| Task::<()>::builder().allow_forever().spawn(pending::<()>()))
        .detach();
    el.run_until_complete(yield_now()).unwrap();
    drop(el);
    let heard = heard.borrow();
    let [(message, place)] = &heard[..] else {
        panic!("the pending one, and no other: {heard:?}")
    };
    assert_eq!(message, "a task was destroyed but it is pending");
    assert!(place.contains(&format!("tasks.rs:{line}:")), "{place}");
    assert!(done.done() && !done.cancelled());
    assert!(waits.done() && waits.cancelled());
}

#[test]
fn b37_a_task_that_nothing_can_reach_any_more_is_told_with_its_spawn_place() {
    let line = line!() + 4;
    let told = std::panic::catch_unwind(|| {
        let test = Test::new("unreachable").leaks("deny").grace("1ms");
        test.run(async {
            create_task(std::future::poll_fn(|_| std::task::Poll::<()>::Pending)).detach();
            yield_now().await;
        });
    });
    let told = told.unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.contains("can never be woken again"), "{told}");
    assert!(told.contains("its last poll kept no waker"), "{told}");
    assert!(told.contains(&format!("tasks.rs:{line}:")), "{told}");
}

#[test]
fn a_task_that_lost_its_waker_in_a_test_is_told_with_who_dropped_it() {
    let told = std::panic::catch_unwind(|| {
        let test = Test::new("lost").leaks("deny").grace("1ms");
        test.run(async {
            let slot = Rc::new(RefCell::new(None));
            let own = slot.clone();
            let waits = std::future::poll_fn(move |cx| {
                *own.borrow_mut() = Some(cx.waker().clone());
                std::task::Poll::<()>::Pending
            });
            create_task(waits).detach();
            yield_now().await;
            drop(slot.borrow_mut().take());
        });
    });
    let told = told.unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.contains("its last waker was dropped "), "{told}");
    assert!(told.contains(" ago by task "), "{told}");
}

#[test]
fn b40_a_walk_from_another_thread_misses_no_task_that_is_older() {
    loop_runtime::run(async {
        let el = get_running_loop().unwrap();
        let old: Vec<_> = (0..100).map(|_| create_task(pending::<()>())).collect();
        let ids: Vec<_> = old.iter().map(Task::id).collect();
        let (handle, stop) = (el.handle(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let walker = std::thread::spawn(move || {
            let mut walks = 0;
            while !stopped.load(Ordering::Relaxed) || walks < 10 {
                let seen: Vec<_> = handle.all_tasks().iter().map(|task| task.id()).collect();
                assert!(
                    ids.iter().all(|id| seen.contains(id)),
                    "an old task is missing"
                );
                walks += 1;
            }
        });
        for _ in 0..200 {
            let young: Vec<_> = (0..50).map(|_| create_task(yield_now())).collect();
            for task in young {
                task.await.unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
        loop_runtime::run_in_executor(move || walker.join().unwrap())
            .await
            .unwrap();
        old.iter().for_each(|task| assert!(task.cancel()));
    })
    .unwrap();
}
