//! B65: Ctrl-C and the end of a run. Each test is tried in a process of its own, since a signal is for
//! all runs of a process.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::signal::Signal;
use loop_runtime::{
    Builder, RunError, Runner, catch_cancel, create_task, current_task, get_running_loop, sleep,
    yield_now,
};
use signal_hook::low_level::raise;

/// Runs this test again in a process of its own, which takes the other branch.
fn in_a_child(test: &str) -> Option<Output> {
    if std::env::var_os("LOOP_INTERRUPT_CHILD").is_some() {
        return None;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("interrupt::{test}"), "--nocapture"])
        .env("LOOP_INTERRUPT_CHILD", "1")
        .output()
        .unwrap();
    Some(output)
}

#[track_caller]
fn passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{cried}");
    assert!(said.contains("1 passed"), "it ran no test: {said}");
}

fn interrupt() {
    raise(Signal::INT.number()).unwrap();
}

fn builder() -> Builder {
    Builder::new().inspector(false).grace(Duration::ZERO)
}

#[test]
fn b65_the_first_ctrl_c_cancels_main_whose_clean_up_runs() {
    if let Some(output) = in_a_child("b65_the_first_ctrl_c_cancels_main_whose_clean_up_runs") {
        return passed(&output);
    }
    let cleaned = Rc::new(Cell::new(false));
    let seen = cleaned.clone();
    let result = builder().run(async move {
        let work = async {
            interrupt();
            pending::<()>().await;
        };
        if let Err(cancelled) = catch_cancel(work).await {
            // A clean-up may await.
            sleep(Duration::from_millis(1)).await;
            seen.set(true);
            cancelled.propagate().await;
        }
    });
    assert_eq!(result, Err(RunError::Interrupted));
    assert!(cleaned.get());
}

#[test]
fn b65_a_main_that_keeps_its_value_is_not_interrupted() {
    if let Some(output) = in_a_child("b65_a_main_that_keeps_its_value_is_not_interrupted") {
        return passed(&output);
    }
    let result = builder().run(async {
        let work = async {
            interrupt();
            pending::<()>().await;
        };
        match catch_cancel(work).await {
            Ok(()) => "worked",
            Err(_) => "made do",
        }
    });
    assert_eq!(result, Ok("made do"));
}

#[test]
fn b65_a_main_that_was_being_cancelled_is_cancelled_and_not_interrupted() {
    let name = "b65_a_main_that_was_being_cancelled_is_cancelled_and_not_interrupted";
    if let Some(output) = in_a_child(name) {
        return passed(&output);
    }
    let result = builder().run(async {
        let main = current_task().unwrap();
        create_task(async move {
            yield_now().await;
            main.cancel();
            interrupt();
        })
        .detach();
        pending::<()>().await;
    });
    assert_eq!(result, Err(RunError::Cancelled));
    let result = builder().run(async {
        current_task().unwrap().cancel();
        pending::<()>().await;
    });
    assert_eq!(result, Err(RunError::Cancelled), "without a Ctrl-C too");
}

#[test]
fn b65_a_ctrl_c_in_the_clean_up_of_a_cancelled_main_does_not_interrupt_it() {
    let name = "b65_a_ctrl_c_in_the_clean_up_of_a_cancelled_main_does_not_interrupt_it";
    if let Some(output) = in_a_child(name) {
        return passed(&output);
    }
    let result = builder().run(async {
        let main = current_task().unwrap();
        create_task(async move { main.cancel() }).detach();
        let _ = catch_cancel(pending::<()>()).await;
        // Still cancelled: the request was caught and not withdrawn.
        interrupt();
        pending::<()>().await;
    });
    assert_eq!(result, Err(RunError::Cancelled));
}

#[test]
fn b65_the_second_ctrl_c_ends_the_process_though_the_loop_is_blocked() {
    let name = "b65_the_second_ctrl_c_ends_the_process_though_the_loop_is_blocked";
    if let Some(output) = in_a_child(name) {
        assert_eq!(
            output.status.signal(),
            Some(Signal::INT.number()),
            "{output:?}"
        );
        return;
    }
    let result = builder().run(async {
        let work = async {
            interrupt();
            pending::<()>().await;
        };
        let _ = catch_cancel(work).await;
        // The first was heard. The loop is in this very poll when the second comes.
        interrupt();
        unreachable!("the second ends the process where it stands");
    });
    unreachable!("{result:?}");
}

#[test]
fn b65_leftovers_are_cancelled_and_awaited_and_their_errors_are_told() {
    let name = "b65_leftovers_are_cancelled_and_awaited_and_their_errors_are_told";
    if let Some(output) = in_a_child(name) {
        return passed(&output);
    }
    let order = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (log, told) = (order.clone(), heard.clone());
    let result = builder().run(async move {
        let el = get_running_loop().unwrap();
        el.set_exception_handler(Some(Rc::new(
            move |context: &loop_runtime::ErrorContext| {
                let text = context.panic.clone();
                told.borrow_mut().push(text.unwrap_or_default());
            },
        )));
        let slow = log.clone();
        create_task(async move {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            sleep(Duration::from_millis(5)).await;
            slow.borrow_mut().push("a leftover cleaned up");
            cancelled.propagate().await;
        })
        .detach();
        create_task(async move {
            let _ = catch_cancel(pending::<()>()).await;
            panic!("while it was cancelled");
        })
        .detach();
        yield_now().await;
        log.borrow_mut().push("main is interrupted");
        interrupt();
        pending::<()>().await;
    });
    assert_eq!(result, Err(RunError::Interrupted));
    assert_eq!(
        *order.borrow(),
        ["main is interrupted", "a leftover cleaned up"]
    );
    assert_eq!(*heard.borrow(), ["while it was cancelled"]);
}

#[test]
fn b65_a_runner_that_was_interrupted_runs_again() {
    if let Some(output) = in_a_child("b65_a_runner_that_was_interrupted_runs_again") {
        return passed(&output);
    }
    let runner: Runner = builder().runner();
    for _ in 0..2 {
        let result = runner.run(async {
            interrupt();
            pending::<()>().await;
        });
        assert_eq!(result, Err(RunError::Interrupted));
        assert_eq!(runner.run(async { 7 }), Ok(7));
    }
}
