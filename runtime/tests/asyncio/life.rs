//! B01-B17, B72: the loop and its life.

mod callbacks;
mod debug;
mod pool;
mod runner;

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    CloseError, EventLoop, RunError, create_task, get_running_loop, sleep, yield_now,
};

/// The text of the panic that `f` ends in.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("no panic")
    };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
        .expect("a panic has a text")
}

#[track_caller]
fn says(text: &impl Display, words: &[&str]) {
    let text = text.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn b10_stop_ends_after_this_iteration_and_what_it_queued_runs_next_time() {
    let el = EventLoop::new().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let local = el.local();
    {
        let (log, local) = (log.clone(), local.clone());
        el.local().call_soon(move || {
            local.stop();
            log.borrow_mut().push("stops");
            let later = log.clone();
            local.call_soon(move || later.borrow_mut().push("queued by it"));
        });
    }
    let second = log.clone();
    local.call_soon(move || second.borrow_mut().push("was ready too"));
    el.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["stops", "was ready too"]);
    el.stop();
    el.run_forever().unwrap();
    assert_eq!(log.borrow().len(), 3);
}

#[test]
fn b11_stop_before_a_run_gives_one_iteration_that_does_not_wait() {
    let el = EventLoop::new().unwrap();
    let ran = Rc::new(Cell::new(0));
    let (counted, local) = (ran.clone(), el.local());
    el.local().call_soon(move || {
        counted.set(counted.get() + 1);
        let later = counted.clone();
        local.call_soon(move || later.set(later.get() + 100));
    });
    // A wait would last until this.
    el.local().call_later(Duration::from_secs(3600), || ());
    el.stop();
    el.run_forever().unwrap();
    assert_eq!(ran.get(), 1);
    el.stop();
    el.run_forever().unwrap();
    assert_eq!(ran.get(), 101);
}

#[cfg(unix)]
#[test]
fn b11_a_readers_call_is_not_made_twice_across_stop_and_restart() {
    use std::io::{Read, Write};
    let el = EventLoop::new().unwrap();
    let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let calls = Rc::new(Cell::new(0));
    let (counted, local) = (calls.clone(), el.local());
    let mut reader = near.try_clone().unwrap();
    el.enter(|| {
        let read = move || {
            counted.set(counted.get() + 1);
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
            local.stop();
        };
        el.local().add_reader(&near, read).unwrap();
    });
    far.write_all(b"x").unwrap();
    el.run_forever().unwrap();
    for _ in 0..3 {
        el.stop();
        el.run_forever().unwrap();
    }
    assert_eq!(calls.get(), 1);
    el.enter(|| assert!(el.local().remove_reader(&near)));
}

/// A main future that stops its own run, and then goes on for two turns.
fn stops(el: &EventLoop, done: &Rc<Cell<bool>>) -> impl Future<Output = ()> + 'static {
    let (local, done) = (el.local(), done.clone());
    async move {
        local.stop();
        yield_now().await;
        yield_now().await;
        done.set(true);
    }
}

#[test]
fn b12_a_run_that_is_stopped_says_so_and_its_task_goes_on_later() {
    let el = EventLoop::new().unwrap();
    let done = Rc::new(Cell::new(false));
    let error = el.run_until_complete(stops(&el, &done)).unwrap_err();
    assert_eq!(error, RunError::Stopped);
    assert!(
        error
            .to_string()
            .contains("stopped before the future was done")
    );
    assert!(!done.get());
    assert_eq!(el.handle().all_tasks().len(), 1, "it is still pending");
    el.run_until_complete(async {
        for _ in 0..5 {
            yield_now().await;
        }
    })
    .unwrap();
    assert!(done.get());
}

#[test]
fn b12_a_task_whose_run_was_stopped_can_be_cancelled_later() {
    let el = EventLoop::new().unwrap();
    let done = Rc::new(Cell::new(false));
    assert_eq!(
        el.run_until_complete(stops(&el, &done)),
        Err(RunError::Stopped)
    );
    let [main] = el.handle().all_tasks()[..] else {
        panic!("one task")
    };
    assert!(main.cancel());
    el.run_until_complete(yield_now()).unwrap();
    assert!(el.handle().all_tasks().is_empty());
    assert!(!done.get());
}

#[test]
fn b13_a_loop_inside_itself_or_inside_another_is_refused_and_says_what_to_do() {
    let el = Rc::new(EventLoop::new().unwrap());
    let (inside, id) = (el.clone(), el.id());
    el.run_until_complete(async move {
        let again = inside.run_until_complete(async {}).unwrap_err();
        assert_eq!(again, RunError::AlreadyRunning);
        says(&again, &["already running", "await the future instead"]);
        assert_eq!(inside.run_forever(), Err(RunError::AlreadyRunning));
        let other = EventLoop::new().unwrap();
        let error = other.run_until_complete(async {}).unwrap_err();
        assert_eq!(error, RunError::OtherLoopRunning(id));
        says(
            &error,
            &["is running on this thread", "a thread of its own"],
        );
        assert_eq!(other.run_forever(), Err(RunError::OtherLoopRunning(id)));
        assert_eq!(
            loop_runtime::run(async {}),
            Err(RunError::OtherLoopRunning(id))
        );
    })
    .unwrap();
}

#[test]
fn b14_a_closed_loop_refuses_every_run_and_handle_and_closes_twice() {
    let el = EventLoop::new().unwrap();
    let handle = el.handle();
    assert!(el.close().unwrap().is_empty());
    assert!(el.close().unwrap().is_empty());
    assert!(el.is_closed());
    assert_eq!(el.run_until_complete(async {}), Err(RunError::Closed));
    assert_eq!(el.run_forever(), Err(RunError::Closed));
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
    assert!(handle.spawn(|| async {}).is_err());
    assert!(handle.stop().is_err());
    assert!(handle.is_closed());
}

#[test]
fn b14_a_closed_loop_refuses_callbacks_tasks_and_jobs_and_says_so() {
    let el = EventLoop::new().unwrap();
    let local = el.local();
    el.close().unwrap();
    let advice = ["is closed", "make a new loop"];
    let now = local.time();
    says(&panic_of(|| local.call_soon(|| ())), &advice);
    says(
        &panic_of(|| local.call_later(Duration::ZERO, || ())),
        &advice,
    );
    says(&panic_of(|| local.call_at(now, || ())), &advice);
    says(&panic_of(|| local.create_task(async {})), &advice);
    says(&panic_of(|| el.enter(|| create_task(async {}))), &advice);
    assert!(local.is_closed() && local.all_tasks().is_empty());
    local.stop();
    let mut job = Box::pin(el.enter(|| loop_runtime::run_in_executor(|| 7)));
    let mut cx = Context::from_waker(Waker::noop());
    match el.enter(|| job.as_mut().poll(&mut cx)) {
        Poll::Ready(Err(error)) => says(&error, &["shut down"]),
        other => panic!("{other:?}"),
    }
}

#[cfg(unix)]
#[test]
fn b14_a_closed_loop_has_no_readers_and_no_signal_handlers() {
    let el = EventLoop::new().unwrap();
    let (_far, near) = std::os::unix::net::UnixStream::pair().unwrap();
    let local = el.local();
    el.enter(|| local.add_reader(&near, || ()).unwrap());
    el.close().unwrap();
    el.enter(|| {
        assert!(!local.remove_reader(&near) && !local.remove_writer(&near));
        let error = local.add_reader(&near, || ()).unwrap_err();
        says(&error, &["is closed"]);
        let error = local.add_writer(&near, || ()).unwrap_err();
        says(&error, &["is closed"]);
        let signal = loop_runtime::signal::Signal::USR1;
        let error = local.add_signal_handler(signal, || ()).unwrap_err();
        says(&error, &["is closed"]);
        assert!(!local.remove_signal_handler(signal));
    });
}

#[test]
fn b14_a_running_loop_cannot_be_closed() {
    let el = Rc::new(EventLoop::new().unwrap());
    let inside = el.clone();
    el.run_until_complete(async move {
        let error = inside.close().unwrap_err();
        assert_eq!(error, CloseError::Running);
        says(&error, &["call `stop`"]);
    })
    .unwrap();
    assert!(!el.is_closed());
}

#[test]
fn b15_a_panic_of_main_passes_and_the_loop_can_run_again() {
    let el = EventLoop::new().unwrap();
    let said = panic_of(|| el.run_until_complete(async { panic!("as intended by the test") }));
    assert_eq!(said, "as intended by the test");
    assert!(!el.is_running());
    assert_eq!(el.run_until_complete(async { 7 }), Ok(7));
}

#[test]
fn b15_the_end_of_a_run_that_was_given_up_ends_no_later_run() {
    let el = EventLoop::new().unwrap();
    let done = Rc::new(Cell::new(false));
    assert_eq!(
        el.run_until_complete(stops(&el, &done)),
        Err(RunError::Stopped)
    );
    let seen = done.clone();
    let value = el.run_until_complete(async move {
        while !seen.get() {
            yield_now().await;
        }
        // The first main future is done now; its run would stop the loop here.
        for _ in 0..5 {
            yield_now().await;
        }
        7
    });
    assert_eq!(value, Ok(7));
}

#[test]
fn b37_close_names_the_tasks_it_drops() {
    let el = EventLoop::new().unwrap();
    let dropped = Rc::new(Cell::new(false));
    struct Noted(Rc<Cell<bool>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let noted = Noted(dropped.clone());
    let task = el.enter(|| {
        create_task(async move {
            let _noted = noted;
            sleep(Duration::from_secs(3600)).await;
        })
    });
    el.run_until_complete(async { yield_now().await }).unwrap();
    let left = el.close().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].spawned_at().contains("asyncio/life.rs"), "{left:?}");
    assert!(dropped.get());
    drop(task);
}

#[test]
fn run_gives_the_value_and_closes_the_loop() {
    let handle = loop_runtime::run(async { get_running_loop().unwrap().handle() }).unwrap();
    assert!(handle.is_closed());
}

#[test]
fn run_cancels_and_awaits_what_main_leaves() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = order.clone();
    struct Last(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped");
        }
    }
    loop_runtime::Builder::new()
        .grace(Duration::ZERO)
        .run(async move {
            let last = Last(log.clone());
            create_task(async move {
                let _last = last;
                sleep(Duration::from_secs(3600)).await;
            })
            .detach();
            yield_now().await;
            log.borrow_mut().push("main is done");
        })
        .unwrap();
    assert_eq!(*order.borrow(), ["main is done", "dropped"]);
}

#[test]
fn no_loop_runs_outside_a_run() {
    assert!(get_running_loop().is_err());
    let test = TestLoop::new();
    assert!(test.enter(|| get_running_loop().is_ok()));
    assert!(get_running_loop().is_err());
}

#[test]
fn the_main_task_is_known_by_the_apps_own_line() {
    let own = || async {
        let main = loop_runtime::current_task().expect("main is a task");
        main.info().expect("it lives").spawned_at()
    };
    let builder = loop_runtime::Builder::new().inspector(false);
    for place in [loop_runtime::run(own()), builder.run(own())] {
        let place = place.expect("it runs");
        assert!(place.contains("tests/asyncio/life.rs:"), "{place}");
    }
}
