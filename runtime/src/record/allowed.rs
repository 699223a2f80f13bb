//! Stretches of polls in which the app said that it blocks on purpose: since when, how much, why.
//!
//! Written by the loop's thread, and only where it says so: a poll that does not pays nothing.
//! Knows neither budgets nor verdicts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::LoopRecord;
use super::names::NameId;

/// Sums that are kept: one for each reason in each of the last polls that gave one.
const KEPT: usize = 16;
/// So often a reader tries again while the loop writes, which takes it a few stores.
const TRIES: usize = 64;

#[derive(Default)]
struct Sum {
    /// Tick at which the poll or phase began.
    phase: AtomicU64,
    /// Tick of the first scope.
    from: AtomicU64,
    /// Ticks in scopes that are over.
    spent: AtomicU64,
    reason: AtomicU32,
}

/// The allowed stretches of one loop.
#[derive(Default)]
pub(crate) struct Allowed {
    /// Odd while something is written.
    version: AtomicU64,
    /// Tick at which the outermost open scope began; 0: none is open.
    open: AtomicU64,
    /// Tick at which the poll that it is in began, and its reason.
    phase: AtomicU64,
    reason: AtomicU32,
    /// Scopes that are open, one inside the other. The loop's thread.
    depth: AtomicU32,
    /// Sums ever begun.
    written: AtomicU64,
    sums: [Sum; KEPT],
}

/// What of some time was allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Share {
    pub(crate) ticks: u64,
    /// A scope is open.
    pub(crate) open: bool,
    /// Of the scope that is open, else of those that took longest; `None` if nothing was allowed.
    pub(crate) reason: Option<NameId>,
}

impl Allowed {
    /// Whether what runs now may block. The loop's thread.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.depth.load(Ordering::Relaxed) != 0
    }

    /// A scope begins, in what began at `phase`. Of scopes inside each other the outermost counts.
    pub(crate) fn begin(&self, reason: NameId, phase: u64, now: u64) {
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth + 1, Ordering::Relaxed);
        if depth == 0 {
            self.write(|| {
                self.phase.store(phase, Ordering::Relaxed);
                self.reason.store(reason.raw(), Ordering::Relaxed);
                self.open.store(now, Ordering::Relaxed);
            });
        }
    }

    /// The innermost scope ends.
    pub(crate) fn end(&self, now: u64) {
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth.saturating_sub(1), Ordering::Relaxed);
        if depth != 1 {
            return;
        }
        let relaxed = Ordering::Relaxed;
        let from = self.open.load(relaxed);
        let (phase, reason) = (self.phase.load(relaxed), self.reason.load(relaxed));
        let took = now.saturating_sub(from);
        self.write(|| {
            self.open.store(0, relaxed);
            let known = self
                .sums
                .iter()
                .find(|sum| sum.phase.load(relaxed) == phase && sum.reason.load(relaxed) == reason);
            if let Some(sum) = known {
                super::add(&sum.spent, took);
                return;
            }
            let number = self.written.load(relaxed);
            self.written.store(number + 1, relaxed);
            let sum = &self.sums[number as usize % KEPT];
            sum.phase.store(phase, relaxed);
            sum.from.store(from, relaxed);
            sum.spent.store(took, relaxed);
            sum.reason.store(reason, relaxed);
        });
    }

    fn write(&self, change: impl FnOnce()) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        self.version.store(version + 2, Ordering::Release);
    }

    /// What was allowed of the time from tick `start`, at which a poll or phase began, to `now`.
    /// Any thread; nothing if the loop wrote each time it was read.
    pub(crate) fn since(&self, start: u64, now: u64) -> Share {
        // The usual case: nothing was ever allowed, or not since then.
        (0..TRIES)
            .find_map(|_| {
                let version = self.version.load(Ordering::Acquire);
                let share = self.sum(start, now);
                fence(Ordering::Acquire);
                (version & 1 == 0 && self.version.load(Ordering::Relaxed) == version)
                    .then_some(share)
            })
            .unwrap_or_default()
    }

    fn sum(&self, start: u64, now: u64) -> Share {
        let relaxed = Ordering::Relaxed;
        let open = self.open.load(relaxed);
        let mut share = Share::default();
        let mut longest = 0;
        for sum in &self.sums {
            // What runs inside another (a drop, an eager first step) began later than it.
            if sum.from.load(relaxed) < start.max(1) {
                continue;
            }
            let spent = sum.spent.load(relaxed);
            share.ticks += spent;
            if spent >= longest {
                longest = spent;
                share.reason = Some(NameId::from_raw(sum.reason.load(relaxed)));
            }
        }
        if open != 0 && open >= start {
            share.open = true;
            share.ticks += now.saturating_sub(open);
            share.reason = Some(NameId::from_raw(self.reason.load(relaxed)));
        }
        share
    }
}

impl LoopRecord {
    /// What of the poll or phase that began at tick `start` was allowed until `now`.
    pub(crate) fn allowed_since(&self, start: u64, now: u64) -> Share {
        self.allowed.since(start, now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn only_the_outermost_scope_counts_and_only_in_its_own_poll() {
        let allowed = Allowed::default();
        let (lock, file) = (names::intern("a lock"), names::intern("a file"));
        assert_eq!(allowed.since(1, 1_000), Share::default());
        allowed.begin(lock, 100, 110);
        allowed.begin(file, 100, 120);
        allowed.end(130);
        let open = allowed.since(100, 150);
        assert_eq!((open.ticks, open.open, open.reason), (40, true, Some(lock)));
        allowed.end(160);
        assert!(!allowed.is_open());
        let over = allowed.since(100, 900);
        assert_eq!(
            (over.ticks, over.open, over.reason),
            (50, false, Some(lock))
        );
        assert_eq!(allowed.since(200, 900), Share::default(), "another poll");
    }

    #[test]
    fn scopes_of_one_poll_are_added_up_however_many() {
        let allowed = Allowed::default();
        let (lock, file) = (names::intern("a lock"), names::intern("a file"));
        for at in (1_000..2_000).step_by(10) {
            allowed.begin(lock, 1_000, at);
            allowed.end(at + 3);
        }
        allowed.begin(file, 1_000, 2_000);
        allowed.end(2_500);
        let share = allowed.since(1_000, 9_000);
        assert_eq!((share.ticks, share.reason), (800, Some(file)));
    }

    #[test]
    fn what_a_poll_runs_inside_itself_is_part_of_it() {
        let allowed = Allowed::default();
        let drop = names::intern("a drop");
        // A future is dropped in a poll: a phase of its own, begun at 150.
        allowed.begin(drop, 150, 160);
        allowed.end(260);
        assert_eq!(allowed.since(150, 300).ticks, 100);
        assert_eq!(allowed.since(100, 300).ticks, 100, "the poll around it");
    }
}
