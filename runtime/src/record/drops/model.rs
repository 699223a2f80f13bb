//! Loom: a row that was written before the reading is read whole, or told as forgotten.
//!
//! Each weakening of the protocol was seen to make one fail: the claim, the writer's look, its last
//! store or the reader's second look relaxed, either fence left out, what is overwritten not told, and
//! a row that found its cell taken not told. The reader's first look relaxed was not: the second one
//! and the claim find it out in what these two explore.

use loom::sync::Arc;
use loom::thread;

use super::latest::{Latest, WORDS};

/// The ticks that are read, each of a whole row, and up to when rows are forgotten.
fn read(latest: &Latest) -> (Vec<u64>, u64) {
    let mut ticks = Vec::new();
    let until = latest.read(|row| {
        assert!(
            row.iter().all(|word| *word == row[0]),
            "a row of two writings"
        );
        ticks.push(row[0]);
    });
    (ticks, until)
}

fn there_or_told(tick: u64, (ticks, until): &(Vec<u64>, u64)) {
    assert!(
        ticks.contains(&tick) || tick <= *until,
        "{tick} is not among {ticks:?}, and forgotten until {until}"
    );
}

#[test]
fn model_a_row_that_is_overwritten_beside_a_reading_is_read_or_told() {
    loom::model(|| {
        let latest = Arc::new(Latest::new(1));
        latest.write([1; WORDS]);
        let other = thread::spawn({
            let latest = latest.clone();
            move || latest.write([2; WORDS])
        });
        there_or_told(1, &read(&latest));
        other.join().expect("a writer does not panic");
        let last = read(&latest);
        there_or_told(1, &last);
        there_or_told(2, &last);
    });
}

#[test]
fn model_of_two_that_write_at_once_both_are_read_or_told() {
    loom::model(|| {
        let latest = Arc::new(Latest::new(1));
        // The later tick may come to its cell first.
        let writers = [3, 2].map(|tick| {
            let latest = latest.clone();
            thread::spawn(move || latest.write([tick; WORDS]))
        });
        let seen = read(&latest);
        assert!(seen.0.len() <= 1);
        for writer in writers {
            writer.join().expect("a writer does not panic");
        }
        let last = read(&latest);
        there_or_told(3, &last);
        there_or_told(2, &last);
    });
}
