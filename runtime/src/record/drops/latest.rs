//! The latest rows of several writers, in a ring that overwrites its oldest: each is read whole, or
//! the ring says up to when it may have forgotten one. Knows not what a row means, but that it
//! begins with a tick.
//!
//! ```text
//! a writer, any thread                      a reader, any thread
//!   take a turn ─► its cell                   each cell: version, words, version again
//!   say what the cell will forget             then: up to when rows are forgotten
//!   claim it: version odd
//!   words, version even
//! ```
//!
//! What a claim will overwrite is told before the claim, so that a reader who finds a row missing
//! finds it told. Who finds a cell being written tells its own row as forgotten: nobody waits. Told
//! may be more than is forgotten, never less. Loom test: `record/drops/model.rs`.

use crate::atomic::{AtomicU64, Ordering, fence};

/// Words of a row; the first is its tick, and never 0.
pub(super) const WORDS: usize = 7;

struct Cell {
    /// Odd while being written.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

pub(super) struct Latest {
    cells: Box<[Cell]>,
    turns: AtomicU64,
    forgotten_until: AtomicU64,
}

impl Latest {
    pub(super) fn new(capacity: usize) -> Self {
        let cell = |_| Cell {
            version: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            cells: (0..capacity).map(cell).collect(),
            turns: AtomicU64::new(0),
            forgotten_until: AtomicU64::new(0),
        }
    }

    pub(super) fn write(&self, row: [u64; WORDS]) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let cell = &self.cells[(turn % self.cells.len() as u64) as usize];
        // Acquire: what the writer before wrote is what will be forgotten.
        let version = cell.version.load(Ordering::Acquire);
        let claimed = version.is_multiple_of(2) && {
            let old = cell.words[0].load(Ordering::Relaxed);
            if old != 0 {
                self.forgotten_until.fetch_max(old, Ordering::Relaxed);
            }
            // Release: who sees the claim sees what was told before it.
            cell.version
                .compare_exchange(version, version + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        };
        if !claimed {
            self.forgotten_until.fetch_max(row[0], Ordering::Relaxed);
            return;
        }
        // Who reads one of the words sees the claim, and so that the row is not whole.
        fence(Ordering::Release);
        for (word, value) in cell.words.iter().zip(row) {
            word.store(value, Ordering::Relaxed);
        }
        cell.version.store(version + 2, Ordering::Release);
    }

    /// Shows each row, in no order. Returns the tick up to which one may have been forgotten; 0:
    /// none was. A row whose writing is seen by the caller is shown, or its tick is not later.
    pub(super) fn read(&self, mut show: impl FnMut([u64; WORDS])) -> u64 {
        for cell in &self.cells {
            let before = cell.version.load(Ordering::Acquire);
            let row = std::array::from_fn(|at| cell.words[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            // Acquire: see the writer's claim.
            let after = cell.version.load(Ordering::Acquire);
            if before == after && before.is_multiple_of(2) && before != 0 {
                show(row);
            }
        }
        self.forgotten_until.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    /// As if somebody were writing the cell and never came back.
    #[cfg(all(test, not(loop_model)))]
    pub(super) fn claim_for_ever(&self, cell: usize) {
        self.cells[cell].version.store(1, Ordering::Relaxed);
    }
}
