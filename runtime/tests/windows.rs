//! What Windows has in another way than Unix: Ctrl-C, which signals there are, the inspector's port.
//!
//! Runs under Wine too: see `tools/wine`.
#![cfg(windows)]

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::signal::{self, Signal};
use loop_runtime::{Builder, EventLoop, RunError, get_running_loop, sleep};
use signal_hook::low_level::raise;

/// A loop that no interrupt of another test reaches.
fn on_own_loop<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
    let el = EventLoop::new().unwrap();
    el.run_until_complete(main).unwrap()
}

#[test]
fn sigterm_reaches_a_handler_and_a_future_from_another_thread() {
    on_own_loop(async {
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let el = get_running_loop().unwrap();
        el.add_signal_handler(Signal::TERM, move || counted.set(counted.get() + 1))
            .unwrap();
        let mut deliveries = signal::listen(Signal::TERM).unwrap();
        for round in 1..=3 {
            // The loop sleeps by then or not: either way it hears of it.
            let thread = std::thread::spawn(|| raise(Signal::TERM.number()));
            deliveries.next().await.unwrap();
            thread.join().unwrap().unwrap();
            while calls.get() < round {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(calls.get(), round);
        }
        assert!(el.remove_signal_handler(Signal::TERM));
        assert!(!el.remove_signal_handler(Signal::TERM));
    });
}

#[test]
fn ctrl_c_is_the_apps_while_it_listens_and_else_cancels_main() {
    let ended = Builder::new().inspector(false).run(async {
        let mut heard = std::pin::pin!(signal::ctrl_c());
        // Its first poll listens.
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(heard.as_mut().poll(cx)));
        assert!(first.await.is_pending());
        raise(Signal::INT.number()).unwrap();
        heard.await.unwrap();
        raise(Signal::INT.number()).unwrap();
        sleep(Duration::from_secs(600)).await;
    });
    assert!(matches!(ended, Err(RunError::Interrupted)), "{ended:?}");
}

#[test]
fn a_signal_that_windows_does_not_tell_of_is_refused() {
    on_own_loop(async {
        let el = get_running_loop().unwrap();
        // SIGHUP, SIGSEGV, Ctrl-Break, SIGABRT.
        for number in [1, 11, 21, 22] {
            let refused = el.add_signal_handler(Signal::from_raw(number), || ());
            let kind = refused.map_err(|error| error.kind());
            assert_eq!(kind, Err(io::ErrorKind::InvalidInput), "{number}");
        }
    });
}

#[cfg(feature = "inspect")]
#[test]
fn the_inspector_has_a_port_of_this_machine_and_a_file_with_its_token() {
    use loop_runtime::InspectorStatus;
    let seen = Builder::new().interrupts(false).run(async {
        let own = get_running_loop().unwrap().handle();
        let InspectorStatus::Listening {
            socket: None,
            tcp: Some((address, token)),
        } = own.inspector()
        else {
            panic!("{}", own.inspector());
        };
        assert!(address.ip().is_loopback(), "{address}");
        // It goes with the process's last loop, and other tests have loops.
        assert_eq!(std::fs::read(&token).unwrap().len(), 64);
    });
    seen.unwrap();
}
