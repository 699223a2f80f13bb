//! Runners, policies, and the loop of a thread: asyncio's ways to a loop.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    Builder, CloseError, EventLoop, LoopPolicy, RunError, Runner, create_task, get_event_loop,
    get_running_loop, new_event_loop, set_event_loop, sleep, yield_now,
};

fn runner() -> Runner {
    Builder::new()
        .inspector(false)
        .grace(Duration::ZERO)
        .runner()
}

#[test]
fn what_one_run_leaves_goes_on_in_the_next_and_ends_with_the_runner() {
    let runner = runner();
    let (steps, dropped) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    struct Last(Rc<Cell<bool>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let (counted, last) = (steps.clone(), Last(dropped.clone()));
    runner
        .run(async move {
            create_task(async move {
                let _last = last;
                loop {
                    counted.set(counted.get() + 1);
                    yield_now().await;
                }
            })
            .detach();
        })
        .unwrap();
    let before = steps.get();
    runner
        .run(async {
            for _ in 0..10 {
                yield_now().await;
            }
        })
        .unwrap();
    assert!(steps.get() >= before + 9);
    assert!(!dropped.get());
    assert!(runner.close().unwrap().is_empty(), "it heard its cancel");
    assert!(dropped.get());
    assert!(runner.close().unwrap().is_empty(), "twice is no error");
    assert_eq!(runner.run(async {}), Err(RunError::Closed));
    assert_eq!(runner.get_loop().unwrap_err(), RunError::Closed);
}

#[test]
fn a_runner_makes_one_loop_at_first_use_and_gives_it() {
    let runner = runner();
    let id = runner.get_loop().unwrap().id();
    let own = runner.run(async { get_running_loop().unwrap().id() });
    assert_eq!(own, Ok(id));
    let main = runner.run(async {
        let main = loop_runtime::current_task().expect("main is a task");
        main.info().expect("it lives").spawned_at()
    });
    assert!(main.unwrap().contains("life/runner.rs:"));
}

#[test]
fn a_runner_is_refused_inside_a_loop_and_cannot_be_closed_by_its_own_run() {
    let runner = Rc::new(runner());
    let inside = runner.clone();
    runner
        .run(async move {
            assert_eq!(inside.run(async {}), Err(RunError::AlreadyRunning));
            assert_eq!(inside.close().unwrap_err(), CloseError::Running);
        })
        .unwrap();
    let outer = runner.clone();
    let id = runner.get_loop().unwrap().id();
    let other = TestLoop::new().run(async move { outer.run(async {}) });
    assert!(matches!(other, Ok(Err(RunError::OtherLoopRunning(_)))));
    assert_eq!(runner.run(async { 7 }), Ok(7));
    assert_eq!(runner.get_loop().unwrap().id(), id);
}

#[test]
fn a_panic_of_one_run_leaves_the_runner_usable() {
    let runner = runner();
    let run = || runner.run(async { panic!("as intended by the test") });
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"as intended by the test"));
    assert_eq!(runner.run(async { 7 }), Ok(7));
}

#[test]
fn a_runner_takes_its_loop_from_a_factory_and_its_debug_mode_from_the_builder() {
    let runner = Builder::new()
        .inspector(false)
        .debug(true)
        .factory(|| {
            Builder::new()
                .inspector(false)
                .name("made to order")
                .build()
        })
        .runner();
    let (name, debug) = runner
        .run(async {
            let el = get_running_loop().unwrap();
            (el.name(), el.get_debug())
        })
        .unwrap();
    assert_eq!((name.as_str(), debug), ("made to order", true));
    let refused = Builder::new()
        .inspector(false)
        .factory(|| Err(std::io::Error::other("no loop today")))
        .runner();
    let error = refused.run(async {}).unwrap_err();
    assert!(error.to_string().contains("no loop today"), "{error}");
}

#[test]
fn a_dropped_runner_closes_its_loop() {
    let runner = runner();
    let handle = runner.get_loop().unwrap().handle();
    assert!(!handle.is_closed());
    drop(runner);
    assert!(handle.is_closed());
}

/// A policy is the process's, so that one test tries all of it.
#[test]
fn a_policy_makes_the_loops_that_nobody_configures_and_no_others() {
    struct Named;
    impl LoopPolicy for Named {
        fn new_event_loop(&self) -> std::io::Result<EventLoop> {
            Builder::new().inspector(false).name("by policy").build()
        }
    }
    let name = || async { get_running_loop().unwrap().name() };
    loop_runtime::set_event_loop_policy(Some(Arc::new(Named)));
    let made = [
        new_event_loop().unwrap().run_until_complete(name()),
        loop_runtime::get_event_loop_policy()
            .new_event_loop()
            .unwrap()
            .run_until_complete(name()),
        loop_runtime::run(name()),
        Runner::new().run(name()),
    ];
    let configured = Builder::new().inspector(false).name("mine").run(name());
    let plain = EventLoop::new().unwrap().run_until_complete(name());
    loop_runtime::set_event_loop_policy(None);
    assert!(
        made.iter().all(|name| name.as_deref() == Ok("by policy")),
        "{made:?}"
    );
    assert_eq!(configured.as_deref(), Ok("mine"));
    assert_ne!(plain.as_deref(), Ok("by policy"));
}

#[test]
fn the_loop_of_a_thread_is_the_running_one_else_the_one_that_was_set() {
    assert!(get_event_loop().is_err());
    let el = EventLoop::new().unwrap();
    set_event_loop(Some(&el));
    let set = get_event_loop().unwrap();
    assert_eq!(set.id(), el.id());
    assert!(get_running_loop().is_err(), "it is set, but does not run");
    std::thread::spawn(|| assert!(get_event_loop().is_err()))
        .join()
        .unwrap();
    let task = set.create_task(async { sleep(Duration::ZERO).await });
    el.run_until_complete(task).unwrap().unwrap();
    let other = TestLoop::new();
    let running = other.enter(|| get_event_loop().unwrap().id());
    assert_eq!(running, other.event_loop().id());
    drop(set);
    drop(el);
    assert!(get_event_loop().is_err(), "it keeps no loop alive");
}
