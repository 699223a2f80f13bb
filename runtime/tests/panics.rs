//! Panics: each ends where it happens, becomes a value or a report, and the loop goes on.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    ErrorContext, EventLoop, JoinError, create_task, get_running_loop, sleep, yield_now,
};

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
            assert!(context.spawned_at.contains("panics.rs"), "{context}");
            log.borrow_mut()
                .push((context.message.clone(), context.panic.clone()));
        })));
}

fn texts(heard: &Heard) -> Vec<String> {
    let heard = heard.borrow();
    heard.iter().filter_map(|(_, text)| text.clone()).collect()
}

/// Panics when dropped.
struct Mine(&'static str);

impl Drop for Mine {
    fn drop(&mut self) {
        // Not while another panic passes: that would end the process.
        if !std::thread::panicking() {
            panic!("{}", self.0);
        }
    }
}

#[test]
fn a_string_that_is_panicked_with_is_its_text_and_anything_else_is_said_to_have_none() {
    run(async |_| {
        let text = |error: JoinError| match error {
            JoinError::Panicked(panic) => panic.text().to_owned(),
            other => panic!("{other}"),
        };
        let task = create_task(async { panic!("ticket {}", 7) });
        assert_eq!(text(task.await.unwrap_err()), "ticket 7");
        let task = create_task(async { std::panic::panic_any(7_u32) });
        let JoinError::Panicked(panic) = task.await.unwrap_err() else {
            panic!()
        };
        assert_eq!(panic.text(), "(a panic without a text)");
        assert_eq!(panic.into_payload().downcast_ref(), Some(&7_u32));
    });
}

/// Ready at its first poll; panics when it is dropped after that.
struct LateTrouble {
    _mine: Mine,
}

impl Future for LateTrouble {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        Poll::Ready(7)
    }
}

#[test]
fn a_future_that_panics_while_dropped_after_its_value_keeps_the_value_and_is_heard() {
    run(async |heard| {
        let task = create_task(LateTrouble {
            _mine: Mine("in the drop"),
        });
        assert_eq!(task.await.unwrap(), 7);
        assert_eq!(texts(&heard), ["in the drop"]);
    });
}

#[test]
fn a_future_that_panics_while_dropped_by_a_cancel_is_cancelled_and_heard() {
    run(async |heard| {
        let task = create_task(async {
            let _mine = Mine("in the drop");
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(texts(&heard), ["in the drop"]);
    });
}

#[test]
fn a_future_that_panics_while_dropped_by_the_close_is_heard_and_the_close_goes_on() {
    let el = EventLoop::new().unwrap();
    let heard = Heard::default();
    el.enter(|| hear(&heard));
    let dropped = Rc::new(Cell::new(0));
    el.enter(|| {
        for i in 0..10 {
            let dropped = dropped.clone();
            create_task(async move {
                let _count = Counted(dropped);
                let _mine = (i % 2 == 0).then(|| Mine("at the close"));
                pending::<()>().await;
            })
            .detach();
        }
    });
    el.run_until_complete(yield_now()).unwrap();
    assert_eq!(el.close().unwrap().len(), 10);
    assert_eq!(dropped.get(), 10);
    assert_eq!(texts(&heard), ["at the close"; 5]);
}

struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_value_that_panics_while_dropped_is_heard() {
    run(async |heard| {
        create_task(async { Mine("the value's drop") }).detach();
        yield_now().await;
        let held = create_task(async { Mine("the held value's drop") });
        yield_now().await;
        drop(held);
        yield_now().await;
        assert_eq!(texts(&heard), ["the value's drop", "the held value's drop"]);
    });
}

struct Trouble;

impl Wake for Trouble {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[test]
fn a_joiner_whose_waker_panics_is_heard_and_the_loop_goes_on() {
    run(async |heard| {
        let mut task = create_task(async { 7 });
        let waker = Waker::from(Arc::new(Trouble));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
        yield_now().await;
        assert!(task.done());
        assert_eq!(texts(&heard), ["in a waker"]);
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn a_future_whose_waker_panics_hurts_only_who_keeps_the_promise() {
    run(async |_| {
        let (promise, mut future) = loop_runtime::create_future();
        let waker = Waker::from(Arc::new(Trouble));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
        let keeper = create_task(async move { promise.set_result(7) });
        assert!(keeper.await.unwrap_err().is_panic());
        assert_eq!(future.await, Ok(7));
    });
}

#[test]
fn a_timer_whose_waker_panics_stops_no_other_timer() {
    run(async |_| {
        let mut bad = Box::pin(sleep(Duration::from_millis(1)));
        let waker = Waker::from(Arc::new(Trouble));
        let mut cx = Context::from_waker(&waker);
        assert!(bad.as_mut().poll(&mut cx).is_pending());
        sleep(Duration::from_millis(1)).await;
        bad.await;
    });
}

#[test]
fn a_done_callback_that_panics_is_heard_and_the_others_are_called() {
    run(async |heard| {
        let called = Rc::new(Cell::new(0));
        let task = create_task(async {});
        task.add_done_callback(|_| panic!("in a done callback"));
        let seen = called.clone();
        task.add_done_callback(move |done| {
            assert_eq!(done.info(), None, "over");
            seen.set(seen.get() + 1);
        });
        task.await.unwrap();
        yield_now().await;
        yield_now().await;
        assert_eq!(
            (called.get(), texts(&heard)),
            (1, vec!["in a done callback".to_owned()])
        );
    });
}

#[test]
fn an_exception_handler_may_replace_itself_and_spawn() {
    run(async |_| {
        let again = Rc::new(Cell::new(0));
        let seen = again.clone();
        let first = move |_: &ErrorContext| {
            let seen = seen.clone();
            let el = get_running_loop().unwrap();
            el.set_exception_handler(None);
            create_task(async move { seen.set(seen.get() + 1) }).detach();
        };
        get_running_loop()
            .unwrap()
            .set_exception_handler(Some(Rc::new(first)));
        create_task(async { panic!("to the handler") }).detach();
        yield_now().await;
        yield_now().await;
        yield_now().await;
        assert_eq!(again.get(), 1);
    });
}

#[test]
fn ten_thousand_panics_among_ten_thousand_good_tasks_are_each_heard_once() {
    const EACH: usize = 10_000;
    std::panic::set_hook(Box::new(|_| {}));
    let (good, heard) = run(async |heard| {
        let good = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..2 * EACH)
            .map(|i| {
                let good = good.clone();
                create_task(async move {
                    yield_now().await;
                    assert!(i % 2 == 0, "odd");
                    good.set(good.get() + 1);
                })
            })
            .collect();
        let (read, unread): (Vec<_>, Vec<_>) =
            tasks.into_iter().enumerate().partition(|(i, _)| i % 4 == 1);
        drop(unread);
        let mut panicked = 0;
        for (_, task) in read {
            panicked += usize::from(task.await.unwrap_err().is_panic());
        }
        assert_eq!(panicked, EACH / 2);
        let heard = texts(&heard);
        assert!(heard.iter().all(|text| text.contains("odd")));
        (good.get(), heard.len())
    });
    let _ = std::panic::take_hook();
    assert_eq!((good, heard), (EACH, EACH / 2));
}
