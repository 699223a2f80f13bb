//! What the watchdog itself overslept: time in which the host ran nobody here, so nobody is blamed.
//!
//! Its own waits for a CPU are not counted: those of the loop's thread are known exactly. Knows no
//! loop.

use std::collections::VecDeque;

use crate::clock;
use crate::os::{self, SchedFile};

/// Lateness that timers have anyway.
const USUAL_NS: u64 = 2_000_000;
const KEPT: usize = 32;

struct Gap {
    from: u64,
    to: u64,
    ns: u64,
}

/// The last gaps. Made on the watchdog's thread by its first use.
#[derive(Default)]
pub(super) struct Gaps {
    gaps: VecDeque<Gap>,
    /// How many there ever were.
    pub(super) count: u64,
    own: Option<Option<SchedFile>>,
    delay: u64,
}

impl Gaps {
    /// The watchdog wanted to wake at tick `planned` and did at `now`.
    pub(super) fn woke(&mut self, planned: u64, now: u64) {
        let own = self
            .own
            .get_or_insert_with(|| SchedFile::open(os::thread::here().id).ok());
        let delay = own.as_ref().and_then(SchedFile::read).map(|own| own.delay);
        let waited = delay.map_or(0, |delay| {
            delay.saturating_sub(std::mem::replace(&mut self.delay, delay))
        });
        let late = clock::ticks_to_ns(now.saturating_sub(planned));
        self.add(planned, now, late.saturating_sub(waited));
    }

    fn add(&mut self, from: u64, to: u64, ns: u64) {
        if ns <= USUAL_NS {
            return;
        }
        self.count += 1;
        if self.gaps.len() == KEPT {
            self.gaps.pop_front();
        }
        self.gaps.push_back(Gap { from, to, ns });
    }

    /// What was overslept between two ticks, at most: gaps that reach into it count whole.
    pub(super) fn within(&self, from: u64, to: u64) -> u64 {
        self.gaps
            .iter()
            .filter(|gap| gap.from < to && gap.to > from)
            .map(|gap| gap.ns)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_for_what_it_reaches_into() {
        let mut gaps = Gaps::default();
        gaps.add(100, 200, 50 * USUAL_NS);
        gaps.add(300, 301, USUAL_NS);
        assert_eq!(gaps.within(150, 160), 50 * USUAL_NS);
        assert_eq!(gaps.within(200, 400), 0, "what is usual is no gap");
        assert_eq!(gaps.count, 1);
    }
}
