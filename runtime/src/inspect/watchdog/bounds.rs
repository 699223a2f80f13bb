//! Bounds of time: what readings of a thread prove of how long it ran, waited and slept.
//!
//! Blocked time is a bracket. The kernel adds a wait for a CPU to `schedstat` when it ends, so
//! the sum read *after* a moment at which the thread was surely not waiting holds all waits up to
//! that moment. Hence the lower end, `wall − waits since the last reading before the poll`, is
//! taken up to a *proof*: the start of a look after which the CPU clock moved, or a look that
//! found the thread asleep. Pure; knows no loop.

use crate::clock;
use crate::inspect::cause::{Reading, Window};

/// Waits for a CPU that the kernel added between two readings.
pub(super) fn delay_between(from: Reading, to: Reading) -> Option<u64> {
    Some(to.sched?.delay.saturating_sub(from.sched?.delay))
}

/// The best lower bound up to tick `until`: from each anchor, a start and a reading not later
/// than it, the wall time less all waits since that reading.
pub(super) fn bound(anchors: &[Option<(u64, Reading)>], until: u64, after: Reading) -> Option<u64> {
    anchors
        .iter()
        .flatten()
        .filter_map(|&(start, reading)| {
            let waits = delay_between(reading, after)?;
            let wall = clock::ticks_to_ns(until.saturating_sub(start));
            Some(wall.saturating_sub(waits))
        })
        .max()
}

/// Sums of the window between two readings inside a block.
pub(super) fn between(first: Reading, last: Reading) -> Window {
    Window {
        wall: clock::ticks_to_ns(last.from.saturating_sub(first.to)),
        cpu: last
            .cpu
            .zip(first.cpu)
            .map(|(last, first)| last.saturating_sub(first)),
        delay: delay_between(first, last),
        slices: last
            .sched
            .zip(first.sched)
            .map(|(last, first)| last.slices - first.slices),
    }
}

/// What can be said of `took` ticks that lie somewhere between two readings: the thread slept in
/// them no longer than in all of the time between.
pub(super) fn around(before: Option<Reading>, after: Reading, took: u64) -> Window {
    let wall = clock::ticks_to_ns(took);
    let told = before.and_then(|before| {
        let all = between(before, after);
        let (cpu, delay) = (all.cpu?, all.delay?);
        let slept = all.wall.saturating_sub(cpu + delay);
        Some(Window {
            wall,
            cpu: Some(wall.saturating_sub(slept + delay)),
            delay: Some(delay.min(wall)),
            slices: all.slices,
        })
    });
    told.unwrap_or(Window {
        wall,
        ..Window::default()
    })
}
