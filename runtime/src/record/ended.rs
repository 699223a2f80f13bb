//! The last tasks that finished, with outcome and error text: overwrite-oldest, one writer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::names::NameId;
use super::task::{Outcome, TaskRow};

/// Finished tasks a loop remembers.
pub(crate) const CAPACITY: usize = 4096;
const ERROR_WORDS: usize = 16;
/// Bytes of an error text that are kept.
pub(crate) const ERROR_BYTES: usize = ERROR_WORDS * 8;

/// Error texts a loop remembers: the last ones, since most tasks end without.
const ERRORS: usize = 256;

/// 96 bytes, so that one finish writes two lines.
#[derive(Default)]
struct EndedRow {
    /// Odd while being written.
    version: AtomicU64,
    id: AtomicU64,
    parent: AtomicU64,
    spawned_at: AtomicU64,
    ended_at: AtomicU64,
    polls: AtomicU64,
    busy: AtomicU64,
    scheduled: AtomicU64,
    max_poll: AtomicU64,
    site: AtomicU32,
    name: AtomicU32,
    number: AtomicU32,
    /// Outcome, kind, flags, and whether its error was never read: a byte each.
    marks: AtomicU32,
    /// Number of its error text, from 1; 0 for none.
    error: AtomicU64,
}

/// An error text; rewritten once `ERRORS` more have come.
#[derive(Default)]
struct ErrorRow {
    /// The text's number; 0 while being written.
    number: AtomicU64,
    len: AtomicU32,
    words: [AtomicU64; ERROR_WORDS],
}

/// A finished task. Times in ticks.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) spawned_at: u64,
    pub(crate) ended_at: u64,
    pub(crate) polls: u64,
    pub(crate) busy: u64,
    pub(crate) scheduled: u64,
    pub(crate) max_poll: u64,
    pub(crate) site: u32,
    pub(crate) name: NameId,
    pub(crate) number: u32,
    pub(crate) outcome: Outcome,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) error: String,
    /// It had a text, which later ones overwrote.
    pub(crate) error_lost: bool,
    /// Its error was dropped unread, after its end if not then.
    pub(crate) unread: bool,
}

/// The history of one loop.
pub(crate) struct EndedRing {
    rows: Box<[EndedRow]>,
    written: AtomicU64,
    errors: Box<[ErrorRow]>,
    failed: AtomicU64,
}

impl EndedRing {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            rows: (0..capacity).map(|_| EndedRow::default()).collect(),
            written: AtomicU64::new(0),
            errors: (0..capacity.min(ERRORS))
                .map(|_| ErrorRow::default())
                .collect(),
            failed: AtomicU64::new(0),
        }
    }

    /// Finished tasks ever written here.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Rows it can hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.rows.len() as u64
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.rows) + size_of_val(&*self.errors)
    }

    /// Copies what the row of a finished task says. The loop's thread.
    pub(crate) fn write(&self, task: &TaskRow, outcome: Outcome, at: u64, error: &str) {
        let relaxed = Ordering::Relaxed;
        let written = self.written.load(relaxed);
        let row = &self.rows[(written % self.rows.len() as u64) as usize];
        row.version.store(2 * written + 1, relaxed);
        fence(Ordering::Release);
        row.id.store(task.task_id(), relaxed);
        row.parent.store(task.parent.load(relaxed), relaxed);
        row.spawned_at.store(task.spawned_at.load(relaxed), relaxed);
        row.ended_at.store(at, relaxed);
        row.polls.store(task.polls.load(relaxed), relaxed);
        row.busy.store(task.busy.load(relaxed), relaxed);
        row.scheduled.store(task.scheduled.load(relaxed), relaxed);
        row.max_poll.store(task.max_poll.load(relaxed), relaxed);
        row.site.store(task.site(), relaxed);
        row.name.store(task.name().raw(), relaxed);
        row.number.store(task.number.load(relaxed), relaxed);
        let marks = [
            outcome as u8,
            task.kind.load(relaxed),
            task.flags.load(relaxed),
            0,
        ];
        row.marks.store(u32::from_le_bytes(marks), relaxed);
        let number = if error.is_empty() {
            0
        } else {
            self.keep_error(error)
        };
        row.error.store(number, relaxed);
        row.version.store(2 * written + 2, Ordering::Release);
        self.written.store(written + 1, Ordering::Release);
    }

    /// The error of a task that ended was dropped, and nobody had read it. The loop's thread.
    #[cold]
    pub(crate) fn unread(&self, id: u64) {
        let relaxed = Ordering::Relaxed;
        let written = self.written.load(relaxed);
        let kept = (0..written).rev().take(self.rows.len());
        let mut rows = kept.map(|at| &self.rows[(at % self.rows.len() as u64) as usize]);
        if let Some(row) = rows.find(|row| row.id.load(relaxed) == id) {
            row.marks.fetch_or(1 << 24, relaxed);
        }
    }

    /// Keeps a text; gives its number.
    #[cold]
    fn keep_error(&self, error: &str) -> u64 {
        let relaxed = Ordering::Relaxed;
        let number = self.failed.load(relaxed) + 1;
        let row = &self.errors[(number % self.errors.len() as u64) as usize];
        row.number.store(0, relaxed);
        fence(Ordering::Release);
        let error = &error.as_bytes()[..error.floor_char_boundary(ERROR_BYTES)];
        row.len.store(error.len() as u32, relaxed);
        for (cell, part) in row.words.iter().zip(error.chunks(8)) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            cell.store(u64::from_le_bytes(word), relaxed);
        }
        row.number.store(number, Ordering::Release);
        self.failed.store(number, relaxed);
        number
    }

    /// The text of that number; empty for 0, and for one that was overwritten.
    fn error(&self, number: u64) -> String {
        let row = &self.errors[(number % self.errors.len() as u64) as usize];
        if number == 0 || row.number.load(Ordering::Acquire) != number {
            return String::new();
        }
        let len = row.len.load(Ordering::Relaxed) as usize;
        let words = row.words.iter();
        let bytes = words.flat_map(|cell| cell.load(Ordering::Relaxed).to_le_bytes());
        let error: Vec<u8> = bytes.take(len).collect();
        fence(Ordering::Acquire);
        if row.number.load(Ordering::Relaxed) != number {
            return String::new();
        }
        String::from_utf8_lossy(&error).into_owned()
    }

    /// The `back`-th newest; `None` beyond the history, or if it is being overwritten.
    pub(crate) fn get(&self, back: u64) -> Option<Ended> {
        let at = self.written().checked_sub(back + 1)?;
        if back >= self.rows.len() as u64 {
            return None;
        }
        let row = &self.rows[(at % self.rows.len() as u64) as usize];
        let version = row.version.load(Ordering::Acquire);
        let ended = row.read(self);
        fence(Ordering::Acquire);
        (version == 2 * at + 2 && row.version.load(Ordering::Relaxed) == version)
            .then_some(ended)
            .flatten()
    }
}

impl EndedRow {
    fn read(&self, ring: &EndedRing) -> Option<Ended> {
        let relaxed = Ordering::Relaxed;
        let [outcome, kind, flags, unread] = self.marks.load(relaxed).to_le_bytes();
        let number = self.error.load(relaxed);
        let error = ring.error(number);
        Some(Ended {
            id: self.id.load(relaxed),
            parent: self.parent.load(relaxed),
            spawned_at: self.spawned_at.load(relaxed),
            ended_at: self.ended_at.load(relaxed),
            polls: self.polls.load(relaxed),
            busy: self.busy.load(relaxed),
            scheduled: self.scheduled.load(relaxed),
            max_poll: self.max_poll.load(relaxed),
            site: self.site.load(relaxed),
            name: NameId::from_raw(self.name.load(relaxed)),
            number: self.number.load(relaxed),
            outcome: Outcome::from_raw(outcome)?,
            kind,
            flags,
            error_lost: number != 0 && error.is_empty(),
            error,
            unread: unread != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let ring = EndedRing::new(4);
        let task = TaskRow::default();
        for polls in 0..6 {
            task.polls.store(polls, Ordering::Relaxed);
            ring.write(&task, Outcome::Panicked, polls, "no such ticket: ünder");
        }
        let polls: Vec<u64> = (0..10)
            .filter_map(|back| ring.get(back))
            .map(|ended| ended.polls)
            .collect();
        assert_eq!(polls, [5, 4, 3, 2]);
        assert_eq!(ring.get(0).unwrap().error, "no such ticket: ünder");
        assert_eq!(ring.written(), 6);
    }

    #[test]
    fn a_task_keeps_its_own_error_until_many_more_have_failed() {
        let ring = EndedRing::new(2 * ERRORS);
        let task = TaskRow::default();
        for at in 0..=ERRORS as u64 {
            ring.write(&task, Outcome::Panicked, at, &format!("error {at}"));
            ring.write(&task, Outcome::Returned, at, "");
        }
        assert_eq!(ring.get(0).unwrap().error, "");
        assert_eq!(ring.get(1).unwrap().error, format!("error {ERRORS}"));
        let first_kept = 2 * ERRORS as u64 - 1;
        assert_eq!(ring.get(first_kept).unwrap().error, "error 1");
        ring.write(&task, Outcome::Panicked, 0, "one more");
        assert_eq!(
            ring.get(first_kept - 1).unwrap().error,
            "error 2",
            "only the oldest text is overwritten"
        );
    }

    #[test]
    fn a_text_that_was_overwritten_is_told_from_one_that_never_was() {
        let ring = EndedRing::new(2 * ERRORS);
        let task = TaskRow::default();
        ring.write(&task, Outcome::Panicked, 0, "");
        for at in 0..=ERRORS as u64 {
            ring.write(&task, Outcome::Panicked, at, "an error");
        }
        let lost = |back| ring.get(back).unwrap().error_lost;
        let oldest = ERRORS as u64;
        assert!(lost(oldest) && !lost(oldest - 1) && !lost(0));
        assert!(!lost(oldest + 1), "it had none");
    }

    #[test]
    fn an_error_that_is_dropped_unread_is_marked_with_its_own_task() {
        let ring = EndedRing::new(4);
        let task = TaskRow::default();
        for polls in 0..6 {
            task.spawned(&birth(polls + 1));
            ring.write(&task, Outcome::Panicked, polls, "");
        }
        ring.unread(5);
        ring.unread(1);
        let unread: Vec<bool> = (0..4).map(|back| ring.get(back).unwrap().unread).collect();
        assert_eq!(unread, [false, true, false, false]);
    }

    fn birth(id: u64) -> super::super::task::Birth {
        super::super::task::Birth {
            id,
            kind: super::super::task::Kind::Task,
            parent: 0,
            at: 0,
            site: 0,
            name: NameId::NONE,
            number: 0,
            loop_id: 1,
            flags: 0,
        }
    }

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let ring = EndedRing::new(1);
        ring.write(
            &TaskRow::default(),
            Outcome::Panicked,
            0,
            &"é".repeat(ERROR_BYTES),
        );
        let error = ring.get(0).unwrap().error;
        assert!(error.len() <= ERROR_BYTES && error.chars().all(|c| c == 'é'));
    }
}
