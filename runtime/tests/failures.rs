//! Errors that a task returns, as the exception handler hears of them.

use std::cell::RefCell;
use std::rc::Rc;

use loop_runtime::testing::TestLoop;
use loop_runtime::{ErrorContext, Task, yield_now};

fn heard_after(read: bool) -> Vec<String> {
    let mut test = TestLoop::new();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let log = heard.clone();
    let handler = move |context: &ErrorContext| log.borrow_mut().push(context.to_string());
    test.event_loop()
        .local()
        .set_exception_handler(Some(Rc::new(handler)));
    test.run(async move {
        let task = Task::<()>::builder().name("parser").spawn_fallible(async {
            yield_now().await;
            "x".parse::<u32>()
        });
        if read {
            assert!(task.await.unwrap().is_err());
        } else {
            drop(task);
            yield_now().await;
            yield_now().await;
        }
    })
    .unwrap();
    heard.take()
}

#[test]
fn b38_an_error_that_nobody_awaits_is_told_once_with_its_text() {
    let heard = heard_after(false);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].contains("a task failed and nobody awaited it"),
        "{heard:?}"
    );
    assert!(
        heard[0].contains("parser") && heard[0].contains("invalid digit"),
        "{heard:?}"
    );
}

#[test]
fn b38_an_error_that_is_awaited_is_told_to_nobody_else() {
    assert!(heard_after(true).is_empty());
}
