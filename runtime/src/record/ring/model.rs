//! Loom: an event that is taken is whole and in order, and each that is missing is counted, though
//! the producer writes over what is being read.
//!
//! Each ordering was weakened once to see this fail: the tail's store in `push` (a slot is taken
//! before it is written), the fence in `push` and the one in `copy` (a slot of two writings is
//! taken), the load of the tail in `totals` (totals of another moment). The producer reads its own
//! words with `own`: with loads, loom tried one order of all and passed anything.

use loom::sync::Arc;
use loom::thread;

use super::*;

/// Pushes `pushes` events on one thread while another reads twice.
fn race(capacity: usize, pushes: u64) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let ring = Arc::new(Ring::new(capacity));
        let producer = thread::spawn({
            let ring = ring.clone();
            move || {
                for id in 1..=pushes {
                    ring.push(Event::timer_cancelled(id, id, id));
                }
            }
        });
        let mut reader = Reader::default();
        let mut seen = Vec::new();
        let mut take = |reader: &mut Reader| {
            reader.drain(&ring, |event| {
                assert_eq!(
                    (event.at, event.of),
                    (event.id, event.id),
                    "an event of two writings"
                );
                seen.push(event.id);
            });
        };
        take(&mut reader);
        producer.join().expect("the producer does not panic");
        take(&mut reader);
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
        assert_eq!(seen.len() as u64 + reader.skipped, pushes);
        assert_eq!(reader.lost().iter().sum::<u64>(), reader.skipped);
    });
}

#[test]
fn a_reader_that_keeps_up_takes_whole_events() {
    race(4, 2);
}

#[test]
fn a_reader_that_is_lapped_knows_what_it_missed() {
    race(2, 3);
}

#[test]
fn totals_are_of_one_moment() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let producer = thread::spawn({
            let ring = ring.clone();
            move || {
                ring.push(Event::timer_cancelled(1, 1, 1));
                ring.push(Event::signal_received(2, 2));
            }
        });
        if let Some((tail, totals)) = ring.totals() {
            let kinds = [
                super::super::event::Kind::TimerCancelled,
                super::super::event::Kind::SignalReceived,
            ];
            let counts = kinds.map(|kind| totals[kind as usize]);
            let at_that_moment = match tail {
                0 => [0, 0],
                1 => [1, 0],
                _ => [1, 1],
            };
            assert_eq!(counts, at_that_moment);
        }
        producer.join().expect("the producer does not panic");
    });
}
