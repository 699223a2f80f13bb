//! The last wakers of waiting tasks that were dropped: whose, when, by whom. What a stranding is
//! explained with.
//!
//! Written where a drop leaves a task that waits without any waker, which the way of a wake never
//! does; by other threads too, which is `latest`'s concern. Knows neither executor nor stacks;
//! whoever can copy a stack says so once.

mod latest;
#[cfg(all(test, loop_model))]
mod model;

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use latest::Latest;

use super::LoopRecord;
use super::names::NameId;
use super::task::{Kind, TaskRow, phase};
use super::wake::Cause;
use crate::clock;

/// Drops that a loop remembers.
const CAPACITY: usize = 128;

/// Copies the calling thread's stack, which lies between the first two addresses and is wanted up
/// to the third. Gives the copy's number; 0: none was made.
pub(crate) type CopyStack = fn(low: u64, high: u64, base: u64) -> u64;

/// Set once, by whoever can.
pub(crate) static COPY_STACK: OnceLock<CopyStack> = OnceLock::new();

/// One drop. Times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastDrop {
    /// Whose waker it was.
    pub(crate) task: u64,
    /// Polls of that task that had begun.
    pub(crate) polls: u64,
    pub(crate) at: u64,
    pub(crate) by: Option<Cause>,
    /// Of the task that dropped it, if one did.
    pub(crate) site: u32,
    pub(crate) name: NameId,
    /// Its kind in the upper half.
    pub(crate) number: u64,
    /// The copy of the stack; 0: there is none.
    pub(crate) copy: u64,
}

/// The drops of one loop's wakers.
pub(crate) struct LastDrops(Latest);

/// What is remembered of them.
#[derive(Default)]
pub(crate) struct Remembered {
    /// In no order.
    pub(crate) drops: Vec<LastDrop>,
    /// The tick up to which a drop may have been forgotten; 0: none was.
    pub(crate) forgotten_until: u64,
}

/// The thread of a drop is not known.
pub(crate) const SOME_THREAD: Cause = Cause::Thread(0);

impl Default for LastDrops {
    fn default() -> Self {
        Self(Latest::new(CAPACITY))
    }
}

impl LoopRecord {
    /// A waiting task has lost its last waker, on the loop's thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn last_waker_dropped(&self, row: &TaskRow) {
        if row.kind.load(Ordering::Relaxed) == Kind::Callback as u8 {
            return;
        }
        let copy = COPY_STACK.get().map_or(0, |copy| {
            let [low, size] = [0, 1].map(|at| self.facts.stack[at].load(Ordering::Relaxed));
            let base = self.current.read().map_or(0, |moment| moment.base as u64);
            if size == 0 {
                0
            } else {
                copy(low, low + size, base)
            }
        });
        let (mut who, mut number) = (0, 0);
        if let Some(by) = self.tasks.at(self.current.row()) {
            who = u64::from(by.site()) << 32 | u64::from(by.name().raw());
            number = u64::from(by.kind.load(Ordering::Relaxed)) << 32
                | u64::from(by.number.load(Ordering::Relaxed));
        }
        self.drops.write(row, self.cause(), who, number, copy);
    }

    /// Another thread drops a waker of a task; it may be the last.
    #[cold]
    pub(crate) fn waker_dropped_away(&self, row: &TaskRow) {
        let relaxed = Ordering::Relaxed;
        let marks = row.away_marks.load(relaxed);
        let left = row.refs_here.load(relaxed) + row.refs_away.load(relaxed) - (marks >> 1) as i32;
        // Others may be dropping theirs at this moment: some more than one may be the last.
        if left <= FEW && row.phase.load(relaxed) != phase::DONE && !row.is_queued() {
            let by = Cause::Thread(crate::os::thread_id());
            self.drops.write(row, by, 0, 0, 0);
        }
    }

    /// The loop deducts what other threads dropped, and a waiting task is left without a waker.
    ///
    /// Who dropped the last has written so, unless more than a few did it at one moment: each of
    /// them took somebody else's for the last.
    #[cold]
    #[inline(never)]
    pub(crate) fn wakers_dropped_away(&self, row: &TaskRow) {
        let (task, polls) = (row.task_id(), row.polls.load(Ordering::Relaxed));
        let remembered = self.drops.read();
        let is_told = |drop: &LastDrop| drop.task == task && drop.polls == polls;
        let waits = row.kind.load(Ordering::Relaxed) != Kind::Callback as u8;
        if waits && task != 0 && !remembered.drops.iter().any(is_told) {
            self.drops.write(row, SOME_THREAD, 0, 0, 0);
        }
    }
}

/// With more wakers alive than this, the one that another thread drops is not the last.
const FEW: i32 = 4;

impl LastDrops {
    fn write(&self, row: &TaskRow, by: Cause, who: u64, number: u64, copy: u64) {
        let relaxed = Ordering::Relaxed;
        let running = row.phase.load(relaxed) == phase::RUNNING;
        let polls = row.polls.load(relaxed) + u64::from(running);
        let at = clock::ticks().max(1);
        self.0
            .write([at, row.task_id(), polls, by.raw(), who, number, copy]);
    }

    pub(crate) fn read(&self) -> Remembered {
        let mut all = Remembered::default();
        all.forgotten_until = self.0.read(|[at, task, polls, by, who, number, copy]| {
            all.drops.push(LastDrop {
                task,
                polls,
                at,
                by: Cause::from_raw(by),
                site: (who >> 32) as u32,
                name: NameId::from_raw(who as u32),
                number,
                copy,
            });
        });
        all
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(all(test, not(loop_model)))]
mod tests {
    use super::*;

    fn drop_of(drops: &LastDrops, polls: u64) {
        let row = TaskRow::default();
        row.spawned(&super::super::task::Birth {
            id: polls,
            kind: Kind::Task,
            parent: 0,
            at: 0,
            site: 0,
            name: NameId::NONE,
            number: 0,
            loop_id: 1,
            flags: 0,
        });
        row.polls.store(polls, Ordering::Relaxed);
        drops.write(&row, Cause::Task(7), 3 << 32, 2, 9);
    }

    #[test]
    fn the_latest_drops_are_there_and_what_was_forgotten_is_known() {
        let drops = LastDrops::default();
        let none = drops.read();
        assert_eq!((none.drops.len(), none.forgotten_until), (0, 0));
        drop_of(&drops, 1);
        let first = drops.read();
        assert_eq!(first.forgotten_until, 0);
        let first = first.drops[0];
        assert_eq!((first.task, first.polls, first.site), (1, 1, 3));
        assert_eq!(
            (first.by, first.number, first.copy),
            (Some(Cause::Task(7)), 2, 9)
        );
        for polls in 2..=CAPACITY as u64 + 1 {
            drop_of(&drops, polls);
        }
        let latest = drops.read();
        assert!(latest.drops.iter().all(|drop| drop.task != 1));
        assert_eq!(latest.drops.len(), CAPACITY);
        assert_eq!(latest.forgotten_until, first.at);
    }

    #[test]
    fn a_row_that_is_being_written_is_passed_over_and_that_is_known() {
        let drops = LastDrops::default();
        drops.0.claim_for_ever(0);
        drop_of(&drops, 1);
        let seen = drops.read();
        assert_eq!(seen.drops, []);
        assert!(seen.forgotten_until > 0);
    }
}
