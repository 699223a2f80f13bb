//! Blocking on purpose: what `allow_blocking` takes off a block, and what it does not.
#![allow(clippy::disallowed_methods)] // A thread's sleep inside a poll is what is allowed here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use loop_runtime::testing::Test;
use loop_runtime::{allow_blocking, create_task, get_running_loop};

const LONG: Duration = Duration::from_millis(120);

fn sleep_long() {
    thread::sleep(LONG);
}

/// What a test with a tight budget says of `body`, which runs in a task.
fn said(body: fn()) -> Result<(), String> {
    let run = || {
        Test::new("allowed").max_blocked("40ms").run(async move {
            create_task(async move { body() }).await.expect("it ends");
        });
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>();
        text.expect("a sentence").clone()
    })
}

#[test]
fn what_is_allowed_is_no_block() {
    assert_eq!(said(|| allow_blocking("a cold start", sleep_long)), Ok(()));
    let nested = || allow_blocking("outer", || allow_blocking("inner", sleep_long));
    assert_eq!(said(nested), Ok(()));
    let many = || (0..4).for_each(|_| allow_blocking("a part", sleep_long));
    assert_eq!(said(many), Ok(()));
}

#[test]
fn what_comes_before_or_after_is_held_against_the_budget_as_ever() {
    let after = || {
        allow_blocking("a cold start", || ());
        sleep_long();
    };
    let text = said(after).unwrap_err();
    assert!(text.contains("blocked: task"), "{text}");
    let inner_is_over = || {
        allow_blocking("outer", || allow_blocking("inner", || ()));
        sleep_long();
    };
    assert!(said(inner_is_over).is_err());
}

#[test]
fn a_panic_ends_what_it_leaves() {
    let body = || {
        // Without the hook, which writes a backtrace and takes its time for it.
        let panic = || std::panic::resume_unwind(Box::new("no file"));
        let panicked = catch_unwind(|| allow_blocking("a cold start", panic));
        let _: Result<(), _> = panicked.map(|()| unreachable!("it panics"));
        sleep_long();
    };
    assert!(said(body).unwrap_err().contains("blocked: task"));
}

#[test]
fn a_drop_inside_a_poll_may_be_allowed_too() {
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            allow_blocking("it flushes", sleep_long);
        }
    }
    Test::new("drops").max_blocked("40ms").run(async {
        let task = create_task(async {
            let _slow = Slow;
            std::future::pending::<()>().await;
        });
        loop_runtime::yield_now().await;
        task.cancel();
        assert!(task.await.is_err(), "it was cancelled");
    });
}

#[test]
fn outside_a_loop_it_only_runs() {
    assert_eq!(allow_blocking("no loop here", || 6 * 7), 42);
    loop_runtime::run(async {
        let el = get_running_loop().expect("it runs");
        let other = thread::spawn(|| allow_blocking("another thread", || 7));
        assert_eq!(other.join().expect("it ends"), 7);
        assert!(!el.is_closed());
    })
    .expect("it runs");
}
