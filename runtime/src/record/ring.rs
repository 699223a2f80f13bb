//! Events from one producer to one consumer: bounded, and what did not fit is counted per kind.
//!
//! The producer never waits. Slots are plain atomics; the tail hands them over, once per
//! iteration, so that a consumer that looks does not pull the producer's lines at each event.
//! Loom test: `record/ring/model.rs`.

use std::sync::atomic::AtomicU64 as StdAtomicU64;

use crate::atomic::{AtomicU64, Ordering};

use super::event::{Event, KINDS};

#[cfg(all(test, loop_model))]
mod model;

/// Events a loop's ring holds.
pub(crate) const CAPACITY: usize = 1 << 16;

pub(crate) struct Ring {
    slots: Box<[[AtomicU64; 4]]>,
    /// Written by the producer alone; `published` is what the consumer may read up to.
    tail: StdAtomicU64,
    published: AtomicU64,
    head: AtomicU64,
    lost: [StdAtomicU64; KINDS],
}

impl Ring {
    /// `capacity` must be a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        assert!(
            capacity.is_power_of_two(),
            "the ring's capacity is a power of two"
        );
        let slots = (0..capacity)
            .map(|_| std::array::from_fn(|_| AtomicU64::new(0)))
            .collect();
        Self {
            slots,
            tail: StdAtomicU64::new(0),
            published: AtomicU64::new(0),
            head: AtomicU64::new(0),
            lost: Default::default(),
        }
    }

    /// Adds an event, or counts it as lost. The producer's thread.
    #[inline]
    pub(crate) fn push(&self, event: Event) {
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        let tail = self.tail.load(relaxed);
        // Acquire: the consumer has read the slot before it moved its head past it.
        if tail - self.head.load(Ordering::Acquire) >= self.slots.len() as u64 {
            let lost = &self.lost[event.kind as usize];
            lost.store(lost.load(relaxed) + 1, relaxed);
            return;
        }
        let slot = &self.slots[tail as usize & (self.slots.len() - 1)];
        for (cell, word) in slot.iter().zip(event.words()) {
            cell.store(word, Ordering::Relaxed);
        }
        self.tail.store(tail + 1, relaxed);
    }

    /// Lets the consumer see what was pushed. The producer's thread, once per iteration.
    #[inline]
    pub(crate) fn publish(&self) {
        let tail = self.tail.load(std::sync::atomic::Ordering::Relaxed);
        self.published.store(tail, Ordering::Release);
    }

    /// Takes all published events. One consumer at a time.
    pub(crate) fn drain(&self, mut take: impl FnMut(Event)) {
        let end = self.published.load(Ordering::Acquire);
        let start = self.head.load(Ordering::Relaxed);
        for at in start..end {
            let slot = &self.slots[at as usize & (self.slots.len() - 1)];
            let words = std::array::from_fn(|i| slot[i].load(Ordering::Relaxed));
            if let Some(event) = Event::from_words(words) {
                take(event);
            }
        }
        self.head.store(end, Ordering::Release);
    }

    /// Events lost so far, per kind.
    pub(crate) fn lost(&self) -> [u64; KINDS] {
        std::array::from_fn(|kind| self.lost[kind].load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Events waiting for the consumer.
    pub(crate) fn fill(&self) -> u64 {
        self.published
            .load(Ordering::Relaxed)
            .saturating_sub(self.head.load(Ordering::Relaxed))
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(all(test, not(loop_model)))]
mod tests {
    use super::super::event::Kind;
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_by_kind_and_the_rest_arrives_in_order() {
        let ring = Ring::new(4);
        for id in 0..6 {
            ring.push(Event::timer_cancelled(id, id, 0));
        }
        ring.push(Event::task_blocked(9, 9, 9));
        ring.publish();
        let mut seen = Vec::new();
        ring.drain(|event| seen.push(event.id));
        assert_eq!(seen, [0, 1, 2, 3]);
        let lost = ring.lost();
        assert_eq!(
            (
                lost[Kind::TimerCancelled as usize],
                lost[Kind::TaskBlocked as usize]
            ),
            (2, 1)
        );
        assert_eq!(lost.iter().sum::<u64>(), 3);
    }

    #[test]
    fn nothing_is_seen_before_it_is_published() {
        let ring = Ring::new(4);
        ring.push(Event::timer_cancelled(1, 1, 0));
        ring.drain(|_| panic!("not published yet"));
        assert_eq!(ring.fill(), 0);
        ring.publish();
        assert_eq!(ring.fill(), 1);
    }

    #[test]
    fn two_threads_lose_nothing_that_is_not_counted() {
        let ring = Ring::new(64);
        let total = 300_000_u64;
        let mut seen = 0;
        std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                for id in 0..total {
                    ring.push(Event::timer_cancelled(id, id, id & 0xFF));
                    if id % 16 == 0 {
                        ring.publish();
                    }
                }
                ring.publish();
            });
            let mut last = None;
            let mut drain = |seen: &mut u64| {
                ring.drain(|event| {
                    assert!(last.is_none_or(|last| event.id > last));
                    assert_eq!((event.at, event.of), (event.id, event.id & 0xFF));
                    last = Some(event.id);
                    *seen += 1;
                });
            };
            while !producer.is_finished() {
                drain(&mut seen);
            }
            drain(&mut seen);
        });
        assert_eq!(seen + ring.lost().iter().sum::<u64>(), total);
    }
}
