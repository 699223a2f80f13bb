//! B64: signals as an app meets them. What ends a process is tried in a child of the test.
#![cfg(unix)]

use std::cell::Cell;
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{Command, ExitStatus};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::task::Poll;

use futures_util::future::{poll_fn, select};
use loop_runtime::signal::{self, Signal};
use loop_runtime::{EventLoop, LocalLoop};
use signal_hook::low_level::raise;

/// Runs this test again in a process of its own, which takes the other branch.
fn in_a_child(test: &str) -> Option<ExitStatus> {
    if std::env::var_os("LOOP_SIGNAL_CHILD").is_some() {
        return None;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LOOP_SIGNAL_CHILD", "1")
        .status()
        .unwrap();
    Some(status)
}

/// Counts its calls.
fn counting() -> (Rc<Cell<u32>>, impl FnMut() + 'static) {
    let count = Rc::new(Cell::new(0));
    let theirs = count.clone();
    (count, move || theirs.set(theirs.get() + 1))
}

/// Lets the loop turn until there were so many calls.
fn until(count: &Rc<Cell<u32>>, calls: u32) -> impl Future<Output = ()> + use<> {
    let count = count.clone();
    poll_fn(move |cx| {
        if count.get() == calls {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Lets the loop turn until there were more calls than that.
fn until_more(count: &Rc<Cell<u32>>, calls: u32) -> impl Future<Output = ()> + use<> {
    let count = count.clone();
    poll_fn(move |cx| {
        if count.get() > calls {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

fn with_local<R>(event_loop: &EventLoop, f: impl FnOnce(&LocalLoop) -> R) -> R {
    event_loop.enter(|| f(&event_loop.local()))
}

#[test]
fn b64_a_handler_runs_in_the_loop_and_is_removed_once() {
    let event_loop = EventLoop::new().unwrap();
    let (count, handler) = counting();
    with_local(&event_loop, |local| {
        local.add_signal_handler(Signal::USR1, handler).unwrap();
    });
    raise(Signal::USR1.number()).unwrap();
    assert_eq!(count.get(), 0, "only the loop calls it");
    event_loop.run_until_complete(until(&count, 1)).unwrap();
    with_local(&event_loop, |local| {
        assert!(local.remove_signal_handler(Signal::USR1));
        assert!(!local.remove_signal_handler(Signal::USR1));
    });
}

#[test]
fn b64_a_signal_during_an_endless_wait_is_handled_in_the_loops_thread() {
    let event_loop = EventLoop::new().unwrap();
    let handled_on = Rc::new(Cell::new(None));
    let (theirs, handle) = (handled_on.clone(), event_loop.handle());
    with_local(&event_loop, |local| {
        let stop = local.clone();
        let handler = move || {
            theirs.set(Some(std::thread::current().id()));
            stop.stop();
        };
        local.add_signal_handler(Signal::CONT, handler).unwrap();
    });
    let raises = std::thread::spawn(move || {
        let (told, turned) = std::sync::mpsc::channel();
        handle
            .call_soon_threadsafe(move || told.send(()).unwrap())
            .unwrap();
        turned.recv().unwrap();
        // The loop has nothing left to do but to wait.
        raise(Signal::CONT.number()).unwrap();
    });
    event_loop.run_forever().unwrap();
    raises.join().unwrap();
    assert_eq!(handled_on.get(), Some(std::thread::current().id()));
}

#[test]
fn b64_a_storm_of_signals_keeps_no_loop_from_its_work() {
    let event_loop = EventLoop::new().unwrap();
    let (count, handler) = counting();
    with_local(&event_loop, |local| {
        local.add_signal_handler(Signal::WINCH, handler).unwrap();
    });
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ends = over.clone();
    let storm = std::thread::spawn(move || {
        let mut raised = 0_u64;
        while raised < 20_000 || !ends.load(std::sync::atomic::Ordering::Relaxed) {
            raise(Signal::WINCH.number()).unwrap();
            raised += 1;
        }
        raised
    });
    let first = until_more(&count, 0);
    let work = async {
        first.await;
        for _ in 0..100 {
            loop_runtime::sleep(std::time::Duration::from_micros(100)).await;
        }
    };
    event_loop.run_until_complete(work).unwrap();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let raised = storm.join().unwrap();
    let calls = u64::from(count.get());
    assert!(calls > 0 && calls <= raised, "{calls} of {raised}");
    // What came last is heard of, too.
    raise(Signal::WINCH.number()).unwrap();
    let heard = count.get();
    event_loop
        .run_until_complete(until_more(&count, heard))
        .unwrap();
}

#[test]
fn b64_a_later_handler_takes_the_place_of_the_earlier_one() {
    let event_loop = EventLoop::new().unwrap();
    let ((first, a), (second, b)) = (counting(), counting());
    with_local(&event_loop, |local| {
        local.add_signal_handler(Signal::WINCH, a).unwrap();
        local.add_signal_handler(Signal::WINCH, b).unwrap();
    });
    raise(Signal::WINCH.number()).unwrap();
    event_loop.run_until_complete(until(&second, 1)).unwrap();
    assert_eq!(first.get(), 0);
}

#[test]
fn b64_a_signal_that_cannot_be_handled_is_an_error_and_not_a_panic() {
    let event_loop = EventLoop::new().unwrap();
    with_local(&event_loop, |local| {
        for number in [9, 19, 11, 0, -1, 12_345] {
            let error = local
                .add_signal_handler(Signal::from_raw(number), || ())
                .unwrap_err();
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::InvalidInput,
                "{number}: {error}"
            );
            assert!(!local.remove_signal_handler(Signal::from_raw(number)));
        }
    });
}

#[test]
fn b64_without_a_loop_there_is_nothing_to_listen_with() {
    let error = signal::listen(Signal::HUP).unwrap_err();
    assert!(error.to_string().contains("no event loop"), "{error}");
}

#[test]
fn b64_two_loops_on_two_threads_both_hear_a_signal() {
    let ready = Arc::new(Barrier::new(3));
    let threads = [ready.clone(), ready.clone()].map(|ready| {
        std::thread::spawn(move || {
            let event_loop = EventLoop::new().unwrap();
            let heard = event_loop.run_until_complete(async move {
                let mut deliveries = signal::listen(Signal::USR2).unwrap();
                ready.wait();
                deliveries.next().await.unwrap();
            });
            heard.unwrap();
        })
    });
    ready.wait();
    raise(Signal::USR2.number()).unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn b64_a_delivery_that_came_while_nobody_waited_is_told_and_told_once() {
    let event_loop = EventLoop::new().unwrap();
    event_loop
        .run_until_complete(async {
            let mut deliveries = signal::listen(Signal::CHLD).unwrap();
            let mut other = signal::listen(Signal::CHLD).unwrap();
            raise(Signal::CHLD.number()).unwrap();
            other.next().await.unwrap();
            deliveries.next().await.unwrap();
            let mut next = pin!(deliveries.next());
            poll_fn(|cx| {
                assert!(next.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        })
        .unwrap();
}

#[test]
fn b64_ctrl_c_can_be_awaited() {
    // The other tests of this process have loops that a Ctrl-C would end.
    if let Some(status) = in_a_child("signals::b64_ctrl_c_can_be_awaited") {
        assert!(status.success(), "{status:?}");
        return;
    }
    let event_loop = EventLoop::new().unwrap();
    event_loop
        .run_until_complete(async {
            let raised = poll_fn(|_| {
                raise(Signal::INT.number()).unwrap();
                Poll::<()>::Pending
            });
            // The first is polled first, and listens.
            select(signal::ctrl_c(), raised).await;
        })
        .unwrap();
}

#[test]
fn b64_a_removed_handler_brings_the_default_back() {
    if let Some(status) = in_a_child("signals::b64_a_removed_handler_brings_the_default_back") {
        assert_eq!(status.signal(), Some(Signal::TERM.number()), "{status:?}");
        return;
    }
    let event_loop = EventLoop::new().unwrap();
    with_local(&event_loop, |local| {
        local.add_signal_handler(Signal::TERM, || ()).unwrap();
        raise(Signal::TERM.number()).unwrap();
        assert!(local.remove_signal_handler(Signal::TERM));
    });
    raise(Signal::TERM.number()).unwrap();
    unreachable!("the default of this signal ends the process");
}

#[test]
fn b64_the_close_of_a_loop_brings_the_default_back() {
    if let Some(status) = in_a_child("signals::b64_the_close_of_a_loop_brings_the_default_back") {
        assert_eq!(status.signal(), Some(Signal::TERM.number()), "{status:?}");
        return;
    }
    let event_loop = EventLoop::new().unwrap();
    with_local(&event_loop, |local| {
        local.add_signal_handler(Signal::TERM, || ()).unwrap();
    });
    event_loop.close().unwrap();
    raise(Signal::TERM.number()).unwrap();
    unreachable!("the default of this signal ends the process");
}
