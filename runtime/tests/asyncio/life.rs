//! B01-B17, B72: the loop and its life.

mod callbacks;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{CloseError, EventLoop, RunError, create_task, get_running_loop, sleep};

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
fn b11_stop_before_a_run_gives_one_iteration() {
    let el = EventLoop::new().unwrap();
    let ran = Rc::new(Cell::new(0));
    let counted = ran.clone();
    el.local().call_soon(move || counted.set(counted.get() + 1));
    el.stop();
    el.run_forever().unwrap();
    assert_eq!(ran.get(), 1);
}

#[test]
fn b12_a_run_that_is_stopped_says_so_and_its_task_goes_on_later() {
    let el = EventLoop::new().unwrap();
    let done = Rc::new(Cell::new(false));
    let seen = done.clone();
    let local = el.local();
    let result = el.run_until_complete(async move {
        local.stop();
        loop_runtime::yield_now().await;
        loop_runtime::yield_now().await;
        seen.set(true);
    });
    assert_eq!(result, Err(RunError::Stopped));
    assert!(!done.get());
    el.run_until_complete(async {
        for _ in 0..5 {
            loop_runtime::yield_now().await;
        }
    })
    .unwrap();
    assert!(done.get());
}

#[test]
fn b13_a_loop_inside_itself_or_inside_another_is_refused() {
    let el = Rc::new(EventLoop::new().unwrap());
    let (inside, id) = (el.clone(), el.id());
    el.run_until_complete(async move {
        assert_eq!(
            inside.run_until_complete(async {}),
            Err(RunError::AlreadyRunning)
        );
        let other = EventLoop::new().unwrap();
        assert_eq!(
            other.run_until_complete(async {}),
            Err(RunError::OtherLoopRunning(id))
        );
    })
    .unwrap();
}

#[test]
fn b14_a_closed_loop_refuses_everything_and_closes_twice() {
    let el = EventLoop::new().unwrap();
    let handle = el.handle();
    assert!(el.close().unwrap().is_empty());
    assert!(el.close().unwrap().is_empty());
    assert_eq!(el.run_until_complete(async {}), Err(RunError::Closed));
    assert_eq!(el.run_forever(), Err(RunError::Closed));
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
    assert!(handle.spawn(|| async {}).is_err());
    assert!(handle.stop().is_err());
    assert!(handle.is_closed());
}

#[test]
fn b14_a_running_loop_cannot_be_closed() {
    let el = Rc::new(EventLoop::new().unwrap());
    let inside = el.clone();
    el.run_until_complete(
        async move { assert_eq!(inside.close().unwrap_err(), CloseError::Running) },
    )
    .unwrap();
}

#[test]
fn b15_a_panic_of_main_passes_and_the_loop_can_run_again() {
    let el = EventLoop::new().unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        el.run_until_complete(async { panic!("as intended by the test") })
    }));
    assert_eq!(
        result.unwrap_err().downcast_ref::<&str>(),
        Some(&"as intended by the test")
    );
    assert!(!el.is_running());
    assert_eq!(el.run_until_complete(async { 7 }), Ok(7));
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
    el.run_until_complete(async { loop_runtime::yield_now().await })
        .unwrap();
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
            loop_runtime::yield_now().await;
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
