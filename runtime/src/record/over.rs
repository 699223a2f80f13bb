//! The last polls and phases of a loop that took longer than its budget, by the loop's own clock.
//!
//! Written when one ends, so none that was too short for a look from outside is missed. One
//! writer, overwrite-oldest. Knows neither causes nor verdicts.

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use super::LoopRecord;
use super::allowed::Share;
use super::current::Doing;
use super::names::{self, NameId};
use super::place::PlaceCell;
use super::task::{Kind, TaskRow};

/// Entries a loop remembers until somebody reads them.
pub(crate) const CAPACITY: usize = 64;

#[derive(Default)]
struct Entry {
    /// Odd while being written, else twice the entry's number.
    version: AtomicU64,
    start: AtomicU64,
    took: AtomicU64,
    budget: AtomicU64,
    /// Ticks in which it was allowed to block, and why.
    allowed: AtomicU64,
    reason: AtomicU32,
    doing: AtomicU8,
    task: BlamedCell,
}

/// Room for a `Blamed`, written by one thread and read by any; torn if read meanwhile, which is for
/// what it lies in to notice.
#[derive(Default)]
pub(crate) struct BlamedCell {
    task: AtomicU64,
    parent: AtomicU64,
    site: AtomicU32,
    name: AtomicU32,
    number: AtomicU32,
    kind: AtomicU8,
    flags: AtomicU8,
    await_place: PlaceCell,
}

impl BlamedCell {
    pub(crate) fn store(&self, task: Option<Blamed>) {
        let relaxed = Ordering::Relaxed;
        self.task.store(task.map_or(0, |task| task.id), relaxed);
        self.await_place.clear();
        if let Some(task) = task {
            self.parent.store(task.parent, relaxed);
            self.site.store(task.site, relaxed);
            self.name.store(task.name.raw(), relaxed);
            self.number.store(task.number, relaxed);
            self.kind.store(task.kind, relaxed);
            self.flags.store(task.flags, relaxed);
            if let Some(place) = task.await_place {
                self.await_place.set(place);
            }
        }
    }

    pub(crate) fn load(&self) -> Option<Blamed> {
        let relaxed = Ordering::Relaxed;
        let id = self.task.load(relaxed);
        (id != 0).then(|| Blamed {
            id,
            kind: self.kind.load(relaxed),
            flags: self.flags.load(relaxed),
            parent: self.parent.load(relaxed),
            site: self.site.load(relaxed),
            name: NameId::from_raw(self.name.load(relaxed)),
            number: self.number.load(relaxed),
            await_place: self.await_place.get(),
        })
    }
}

/// One poll or phase over its budget. Times in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    pub(crate) start: u64,
    pub(crate) took: u64,
    pub(crate) budget: u64,
    /// What of it was allowed to block.
    pub(crate) allowed: Share,
    pub(crate) doing: Doing,
    /// On whose account; `None` for the loop's own work.
    pub(crate) task: Option<Blamed>,
}

/// The task or callback that a block is put down to, as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blamed {
    pub(crate) id: u64,
    /// As `TaskRow::kind`.
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) parent: u64,
    pub(crate) site: u32,
    pub(crate) name: NameId,
    pub(crate) number: u32,
    /// Where it waited before, if that is still known.
    pub(crate) await_place: Option<&'static Location<'static>>,
}

impl Blamed {
    /// Whether it is a callback rather than a task.
    pub(crate) fn is_callback(&self) -> bool {
        self.kind == Kind::Callback as u8
    }

    /// Its name, or its future's type.
    pub(crate) fn name(&self, record: &LoopRecord) -> String {
        match self.name.text() {
            Some(text) => names::numbered(text, self.number),
            None => record
                .sites
                .get(self.site)
                .map_or(String::new(), |site| site.type_name().to_owned()),
        }
    }

    /// Where it was spawned.
    pub(crate) fn spawned_at(&self, record: &LoopRecord) -> String {
        record
            .sites
            .get(self.site)
            .and_then(|site| site.place())
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string)
    }

    /// What `row` says. On the loop's thread; elsewhere the caller checks that the row stayed.
    pub(crate) fn of(row: &TaskRow) -> Self {
        let relaxed = Ordering::Relaxed;
        Self {
            id: row.task_id(),
            kind: row.kind.load(relaxed),
            flags: row.flags.load(relaxed),
            parent: row.parent.load(relaxed),
            site: row.site(),
            name: row.name(),
            number: row.number.load(relaxed),
            // What was stated since the poll began is where it waits next, not where it came from.
            await_place: (row.waits.load(relaxed) == 0)
                .then(|| row.waiting_at.get())
                .flatten(),
        }
    }
}

impl Over {
    /// Whether it was over its budget only because it was allowed to block.
    pub(crate) fn is_allowed(&self) -> bool {
        self.took.saturating_sub(self.allowed.ticks) < self.budget
    }
}

/// The log of one loop.
#[derive(Default)]
pub(crate) struct OverLog {
    entries: Box<[Entry]>,
    written: AtomicU64,
}

impl OverLog {
    pub(crate) fn new() -> Self {
        Self {
            entries: (0..CAPACITY).map(|_| Entry::default()).collect(),
            written: AtomicU64::new(0),
        }
    }

    /// Entries ever written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// States that what began at `start` ended over its budget. The loop's thread.
    #[cold]
    pub(crate) fn write(
        &self,
        doing: Doing,
        row: Option<&TaskRow>,
        times: [u64; 3],
        allowed: Share,
    ) {
        let relaxed = Ordering::Relaxed;
        let number = self.written.load(relaxed);
        let entry = &self.entries[number as usize % CAPACITY];
        entry.version.store(2 * number + 1, relaxed);
        fence(Ordering::Release);
        let [start, took, budget] = times;
        entry.start.store(start, relaxed);
        entry.took.store(took, relaxed);
        entry.budget.store(budget, relaxed);
        entry.allowed.store(allowed.ticks, relaxed);
        let reason = allowed.reason.unwrap_or(NameId::NONE);
        entry.reason.store(reason.raw(), relaxed);
        entry.doing.store(doing as u8, relaxed);
        entry.task.store(row.map(Blamed::of));
        entry.version.store(2 * number + 2, Ordering::Release);
        self.written.store(number + 1, Ordering::Release);
    }

    /// Whether what began at `start` has ended over its budget, and not before tick `at`. Any thread.
    pub(crate) fn ended_after(&self, start: u64, at: u64) -> bool {
        let written = self.written();
        let kept = written.saturating_sub(CAPACITY as u64)..written;
        let mut ended = kept.rev().filter_map(|number| self.read(number));
        ended.any(|over| over.start == start && over.start.saturating_add(over.took) >= at)
    }

    /// Entry `number`; `None` if it was overwritten. Any thread.
    pub(crate) fn read(&self, number: u64) -> Option<Over> {
        let relaxed = Ordering::Relaxed;
        let entry = &self.entries[number as usize % CAPACITY];
        let version = 2 * number + 2;
        if entry.version.load(Ordering::Acquire) != version {
            return None;
        }
        let allowed = entry.allowed.load(relaxed);
        let reason = NameId::from_raw(entry.reason.load(relaxed));
        let over = Over {
            start: entry.start.load(relaxed),
            took: entry.took.load(relaxed),
            budget: entry.budget.load(relaxed),
            allowed: Share {
                ticks: allowed,
                open: false,
                reason: (allowed > 0).then_some(reason),
            },
            doing: Doing::from_raw(entry.doing.load(relaxed)),
            task: entry.task.load(),
        };
        fence(Ordering::Acquire);
        (entry.version.load(relaxed) == version).then_some(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_the_last_entries_and_says_which_are_gone() {
        let log = OverLog::new();
        for start in 1..=CAPACITY as u64 + 3 {
            log.write(Doing::Timers, None, [start, 10, 5], Share::default());
        }
        assert_eq!(log.written(), CAPACITY as u64 + 3);
        assert!(log.read(2).is_none(), "overwritten");
        let over = log.read(3).unwrap();
        assert_eq!((over.start, over.took, over.budget), (4, 10, 5));
        assert_eq!((over.doing, over.task), (Doing::Timers, None));
        assert!(log.read(log.written()).is_none(), "not written yet");
    }

    #[test]
    fn the_log_tells_whether_something_went_on_at_a_tick() {
        let log = OverLog::new();
        log.write(Doing::Polling, None, [100, 50, 5], Share::default());
        log.write(Doing::Polling, None, [200, 50, 5], Share::default());
        assert!(log.ended_after(100, 120) && log.ended_after(100, 150));
        assert!(!log.ended_after(100, 151), "that is of what came after");
        assert!(!log.ended_after(150, 100), "it is not in the log");
    }
}
