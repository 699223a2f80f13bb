//! What is recorded of signals.

use std::cell::Cell;
use std::rc::Rc;

use signal_hook::low_level::raise;

use super::*;
use crate::context;
use crate::event_loop::EventLoop;
use crate::record::signal::SignalFacts;

fn row(signal: Signal) -> Option<SignalFacts> {
    context::expect(|organs| {
        let mut rows = organs.record.signals.read();
        rows.find(|row| row.signal == signal.number())
    })
}

#[test]
fn a_handler_is_listed_with_its_place_its_deliveries_and_the_last_one() {
    let el = EventLoop::new().unwrap();
    let calls = Rc::new(Cell::new(0));
    let test = async move {
        let el = crate::event_loop::get_running_loop().unwrap();
        assert_eq!(row(Signal::URG), None);
        let waits = listen(Signal::URG).unwrap();
        let theirs = calls.clone();
        let count = move || theirs.set(theirs.get() + 1);
        el.add_signal_handler(Signal::URG, count).unwrap();
        let before = row(Signal::URG).unwrap();
        assert_eq!(
            (before.listeners, before.deliveries, before.last),
            (2, 0, 0)
        );
        // The handler's, though the other one came first.
        let line = before.place.unwrap().line();
        drop(waits);
        let handler_alone = row(Signal::URG).unwrap();
        assert_eq!(
            (handler_alone.listeners, handler_alone.place.unwrap().line()),
            (1, line)
        );
        raise(Signal::URG.number()).unwrap();
        while calls.get() == 0 {
            crate::spawn::yield_now().await;
        }
        let after = row(Signal::URG).unwrap();
        assert_eq!(after.deliveries, 1);
        assert!(after.last > 0);
        assert!(el.remove_signal_handler(Signal::URG));
        let removed = row(Signal::URG).unwrap();
        assert_eq!(
            (removed.listeners, removed.deliveries, removed.place),
            (0, 1, None)
        );
    };
    el.run_until_complete(test).unwrap();
}
