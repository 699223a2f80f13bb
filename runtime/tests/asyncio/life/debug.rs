//! B16, B17, B72: who hears of panics, of slow callbacks, and of a loop that is blocked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::logged::Logged;
use loop_runtime::testing::TestLoop;
use loop_runtime::{
    Blocked, ErrorContext, EventLoop, Task, create_task, get_running_loop, yield_now,
};

#[test]
fn b16_a_panic_in_a_callback_is_told_with_its_handle_and_place_and_the_loop_goes_on() {
    let heard = Rc::new(RefCell::new(Vec::<ErrorContext>::new()));
    let (log, ran) = (heard.clone(), Rc::new(Cell::new(false)));
    let mut test = TestLoop::new();
    let el = test.event_loop().local();
    el.set_exception_handler(Some(Rc::new(move |context: &ErrorContext| {
        log.borrow_mut().push(context.clone());
    })));
    let line = line!() + 1;
    el.call_soon(|| panic!("no such ticket"));
    let after = ran.clone();
    el.call_soon(move || after.set(true));
    test.turn();
    assert!(ran.get());
    let heard = heard.borrow();
    let [context] = &heard[..] else {
        panic!("told once: {heard:?}")
    };
    assert_eq!(context.message, "a callback panicked");
    assert_eq!(context.panic.as_deref(), Some("no such ticket"));
    assert!(context.task.is_some() && !context.name.is_empty());
    let place = format!("{}:{line}:", file!());
    assert!(
        context.spawned_at.contains(&place),
        "{}",
        context.spawned_at
    );
    assert_eq!(context.loop_id, el.id());
}

#[test]
fn b16_a_handler_that_panics_leaves_it_to_the_default_one_and_the_loop_goes_on() {
    let logged = Logged::default();
    logged.during(|| {
        let ran = TestLoop::new().run(async {
            let el = get_running_loop().unwrap();
            el.set_exception_handler(Some(Rc::new(|_| panic!("in the handler"))));
            create_task(async { panic!("for the handler") }).detach();
            el.call_soon(|| panic!("for the handler again"));
            yield_now().await;
            yield_now().await;
            create_task(async { "went on" }).await.unwrap()
        });
        assert_eq!(ran, Ok("went on"));
    });
    assert_eq!(logged.with("for the handler again").len(), 1);
    assert_eq!(logged.with("a task panicked").len(), 1);
}

#[test]
fn b16_a_default_handler_that_panics_does_not_hurt_the_loop_either() {
    let logged = Logged::that_panics();
    logged.during(|| {
        let ran = TestLoop::new().run(async {
            let el = get_running_loop().unwrap();
            el.call_soon(|| panic!("nobody can be told"));
            el.set_debug(true);
            yield_now().await;
            yield_now().await;
            create_task(async { "went on" }).await.unwrap()
        });
        assert_eq!(ran, Ok("went on"));
    });
    assert_eq!(logged.with("nobody can be told").len(), 1);
}

const LIMIT: Duration = Duration::from_millis(40);

/// Holds the loop until the clock says that it was for longer than the limit.
fn hold() {
    let start = Instant::now();
    while start.elapsed() <= LIMIT {
        std::hint::spin_loop();
    }
}

fn slow_ones(debug: bool) -> Logged {
    let logged = Logged::default();
    logged.during(|| {
        let el = EventLoop::new().unwrap();
        el.local().set_debug(debug);
        assert_eq!(el.local().get_debug(), debug);
        assert_eq!(
            el.local().slow_callback_duration(),
            Duration::from_millis(100)
        );
        el.local().set_slow_callback_duration(LIMIT);
        assert_eq!(el.local().slow_callback_duration(), LIMIT);
        el.local().call_soon(hold);
        el.run_until_complete(async {
            let slow = Task::<()>::builder()
                .name("thumbnails")
                .spawn(async { hold() });
            slow.await.unwrap();
        })
        .unwrap();
    });
    logged
}

#[test]
fn b17_in_debug_mode_one_warning_names_each_slow_task_and_callback_with_its_duration() {
    let logged = slow_ones(true);
    for (what, name) in [("callback ", "hold"), ("task ", "`thumbnails`")] {
        let told = logged.with(name);
        let [text] = &told[..] else {
            panic!("one warning for {name}: {told:?}")
        };
        assert!(text.starts_with(what), "{text}");
        for word in ["debug.rs:", "took ", "ms", "40ms", "run_in_executor"] {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }
}

#[test]
fn b17_without_debug_mode_nothing_is_said() {
    assert_eq!(slow_ones(false).with("took "), Vec::<String>::new());
}

/// What another thread sees of a task that holds its loop until it was seen.
fn seen_while_it_lasts() -> (Blocked, String) {
    let seen = Arc::new(AtomicBool::new(false));
    let (sender, blocked) = mpsc::channel();
    let el = EventLoop::new().unwrap();
    el.local()
        .set_slow_callback_duration(Duration::from_millis(1));
    let (handle, let_go) = (el.handle(), seen.clone());
    assert_eq!(handle.blocked(), None);
    let watcher = std::thread::spawn(move || {
        // The first step may be another's, on a machine that is busy.
        let found = loop {
            match handle.blocked() {
                Some(blocked) if blocked.name == "never awaits" => break blocked,
                _ => std::thread::yield_now(),
            }
        };
        let_go.store(true, Ordering::Release);
        sender.send(found).unwrap();
    });
    let task = el.run_until_complete(async move {
        let task = Task::<()>::builder()
            .name("never awaits")
            .spawn(async move {
                while !seen.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
            });
        let id = task.id().to_string();
        task.await.unwrap();
        id
    });
    watcher.join().unwrap();
    (blocked.recv().unwrap(), task.unwrap())
}

#[test]
fn b17_a_blocked_loop_is_seen_before_the_block_ends() {
    let (blocked, task) = seen_while_it_lasts();
    assert_eq!(blocked.task.unwrap().to_string(), task);
    assert!(blocked.lasts >= Duration::from_millis(1));
}

#[test]
fn b72_a_task_that_never_awaits_is_named_while_it_holds_the_loop() {
    let (blocked, _) = seen_while_it_lasts();
    assert_eq!(blocked.name, "never awaits");
    assert!(blocked.spawned_at.contains("debug.rs:"), "{blocked:?}");
}
