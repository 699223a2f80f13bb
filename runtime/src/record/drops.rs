//! The last wakers of waiting tasks that were dropped: whose, when, by whom. What a stranding is
//! explained with.
//!
//! A ring of the latest, written where a drop leaves a task that waits without any waker, which the
//! way of a wake never does. Other threads write too: who finds a row being written passes it over,
//! and that is counted. Knows neither executor nor stacks; whoever can copy a stack says so once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};

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

#[derive(Default)]
struct DropRow {
    /// Odd while being written.
    version: AtomicU64,
    task: AtomicU64,
    polls: AtomicU64,
    at: AtomicU64,
    by: AtomicU64,
    /// Of the task that dropped it: site in the upper half, name in the lower.
    who: AtomicU64,
    /// And its kind, and its number.
    number: AtomicU64,
    copy: AtomicU64,
}

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
pub(crate) struct LastDrops {
    rows: Box<[DropRow]>,
    written: AtomicU64,
    /// When one was passed over last, ticks.
    missed_at: AtomicU64,
}

impl Default for LastDrops {
    fn default() -> Self {
        Self {
            rows: (0..CAPACITY).map(|_| DropRow::default()).collect(),
            written: AtomicU64::new(0),
            missed_at: AtomicU64::new(0),
        }
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
}

/// With more wakers alive than this, the one that another thread drops is not the last.
const FEW: i32 = 4;

impl LastDrops {
    fn write(&self, row: &TaskRow, by: Cause, who: u64, number: u64, copy: u64) {
        let relaxed = Ordering::Relaxed;
        let at = clock::ticks();
        let turn = self.written.fetch_add(1, relaxed);
        let cell = &self.rows[(turn % CAPACITY as u64) as usize];
        let version = cell.version.load(relaxed);
        let claimed = version.is_multiple_of(2)
            && cell
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, relaxed)
                .is_ok();
        if !claimed {
            self.missed_at.fetch_max(at, relaxed);
            return;
        }
        fence(Ordering::Release);
        let running = row.phase.load(relaxed) == phase::RUNNING;
        let polls = row.polls.load(relaxed) + u64::from(running);
        for (word, value) in [
            (&cell.task, row.task_id()),
            (&cell.polls, polls),
            (&cell.at, at),
            (&cell.by, by.raw()),
            (&cell.who, who),
            (&cell.number, number),
            (&cell.copy, copy),
        ] {
            word.store(value, relaxed);
        }
        cell.version.store(version + 2, Ordering::Release);
    }

    /// All that are remembered, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = LastDrop> {
        let written = self.written.load(Ordering::Acquire);
        let rows = self.rows.iter().take(written.min(CAPACITY as u64) as usize);
        rows.filter_map(DropRow::read)
    }

    /// The tick up to which a drop may have been forgotten; 0: none was.
    pub(crate) fn forgotten_until(&self) -> u64 {
        let wrapped = self.written.load(Ordering::Relaxed) > CAPACITY as u64;
        // Those that are there came in order: what was forgotten came before the first of them.
        let oldest = if wrapped {
            self.all().map(|drop| drop.at).min().unwrap_or(u64::MAX)
        } else {
            0
        };
        oldest.max(self.missed_at.load(Ordering::Relaxed))
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.rows)
    }
}

impl DropRow {
    fn read(&self) -> Option<LastDrop> {
        let relaxed = Ordering::Relaxed;
        let version = self.version.load(Ordering::Acquire);
        let who = self.who.load(relaxed);
        let drop = LastDrop {
            task: self.task.load(relaxed),
            polls: self.polls.load(relaxed),
            at: self.at.load(relaxed),
            by: Cause::from_raw(self.by.load(relaxed)),
            site: (who >> 32) as u32,
            name: NameId::from_raw(who as u32),
            number: self.number.load(relaxed),
            copy: self.copy.load(relaxed),
        };
        fence(Ordering::Acquire);
        let same = self.version.load(relaxed) == version && version.is_multiple_of(2);
        (same && drop.task != 0).then_some(drop)
    }
}

#[cfg(test)]
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
        assert_eq!((drops.all().count(), drops.forgotten_until()), (0, 0));
        drop_of(&drops, 1);
        let first = drops.all().next().unwrap();
        assert_eq!((first.task, first.polls, first.site), (1, 1, 3));
        assert_eq!(
            (first.by, first.number, first.copy),
            (Some(Cause::Task(7)), 2, 9)
        );
        assert_eq!(drops.forgotten_until(), 0);
        for polls in 2..=CAPACITY as u64 + 1 {
            drop_of(&drops, polls);
        }
        assert!(drops.all().all(|drop| drop.task != 1));
        assert_eq!(drops.all().count(), CAPACITY);
        let oldest = drops.all().map(|drop| drop.at).min().unwrap();
        assert_eq!(drops.forgotten_until(), oldest);
    }

    #[test]
    fn a_row_that_is_being_written_is_passed_over_and_that_is_known() {
        let drops = LastDrops::default();
        drops.rows[0].version.store(1, Ordering::Relaxed);
        drop_of(&drops, 1);
        assert_eq!(drops.all().count(), 0);
        assert!(drops.forgotten_until() > 0);
    }
}
