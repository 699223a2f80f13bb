//! The signals a loop listens to: for whom, how often each came, when last. A row per number.
//!
//! Made when the loop first listens; written by its thread, read by any. Knows no kernel.

use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::place::PlaceCell;

/// Numbers a signal may have are below this.
const NUMBERS: usize = 65;

#[derive(Default)]
struct SignalRow {
    /// Handlers and futures that it is for.
    listeners: AtomicU32,
    /// Times the loop found that it had come; several quick ones are one.
    deliveries: AtomicU64,
    /// Nanoseconds, CLOCK_MONOTONIC; 0 for never.
    last: AtomicU64,
    /// Of the handler, or of who listened first.
    place: PlaceCell,
}

/// A copy of one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SignalFacts {
    pub(crate) signal: i32,
    pub(crate) listeners: u32,
    pub(crate) deliveries: u64,
    pub(crate) last: u64,
    pub(crate) place: Option<&'static Location<'static>>,
}

/// The signals of one loop.
#[derive(Default)]
pub(crate) struct Signals {
    rows: OnceLock<Box<[SignalRow]>>,
    /// Handlers and futures of the app, of all numbers: what the runtime does itself about a signal
    /// that nobody listens to is not among them.
    apps: AtomicU32,
}

impl Signals {
    fn row(&self, signal: i32) -> Option<&SignalRow> {
        let rows = self
            .rows
            .get_or_init(|| (0..NUMBERS).map(|_| SignalRow::default()).collect());
        rows.get(usize::try_from(signal).ok()?)
    }

    /// So many listen to `signal` now; `place` is the handler's, or the first listener's.
    pub(crate) fn listen(
        &self,
        signal: i32,
        listeners: usize,
        place: Option<&'static Location<'static>>,
    ) {
        if let Some(row) = self.row(signal) {
            let listeners = u32::try_from(listeners).unwrap_or(u32::MAX);
            row.listeners.store(listeners, Ordering::Relaxed);
            match place {
                Some(place) => row.place.set(place),
                None => row.place.clear(),
            }
        }
    }

    /// So many of all that listen are the app's.
    pub(crate) fn set_apps(&self, listeners: usize) {
        let listeners = u32::try_from(listeners).unwrap_or(u32::MAX);
        self.apps.store(listeners, Ordering::Relaxed);
    }

    /// Handlers and futures of the app.
    pub(crate) fn apps(&self) -> u32 {
        self.apps.load(Ordering::Relaxed)
    }

    /// `signal` came.
    pub(crate) fn delivered(&self, signal: i32, now: u64) {
        if let Some(row) = self.row(signal) {
            super::count(&row.deliveries);
            row.last.store(now, Ordering::Relaxed);
        }
    }

    /// What is listened to, or was and came at least once, by number.
    pub(crate) fn read(&self) -> impl Iterator<Item = SignalFacts> {
        let rows = self.rows.get().map_or(&[][..], |rows| rows);
        let facts = rows.iter().enumerate().map(|(signal, row)| SignalFacts {
            signal: signal as i32,
            listeners: row.listeners.load(Ordering::Relaxed),
            deliveries: row.deliveries.load(Ordering::Relaxed),
            last: row.last.load(Ordering::Relaxed),
            place: row.place.get(),
        });
        facts.filter(|facts| facts.listeners != 0 || facts.deliveries != 0)
    }

    /// Bytes taken so far.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.get().map_or(0, |rows| size_of_val(&**rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_listed_once_somebody_listens_and_as_long_as_it_came() {
        let signals = Signals::default();
        assert_eq!((signals.read().count(), signals.bytes()), (0, 0));
        signals.listen(15, 1, Some(Location::caller()));
        signals.listen(2, 2, None);
        signals.delivered(15, 77);
        signals.delivered(15, 99);
        signals.listen(15, 0, None);
        signals.listen(2, 0, None);
        let left: Vec<_> = signals.read().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let facts = &left[0];
        assert_eq!((facts.signal, facts.deliveries, facts.last), (15, 2, 99));
        assert_eq!((facts.listeners, facts.place), (0, None));
    }

    #[test]
    fn a_number_that_is_no_signal_is_listed_nowhere() {
        let signals = Signals::default();
        for number in [-1, 65, i32::MAX] {
            signals.listen(number, 1, None);
            signals.delivered(number, 1);
        }
        assert_eq!(signals.read().count(), 0);
    }
}
