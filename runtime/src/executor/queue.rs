//! The ready queue: rows linked through themselves, first in, first out. Loop's thread only.
//!
//! Holds no reference and allocates nothing. Rows are type-stable, so a row that is done is still
//! a row when its turn comes, and is passed over. A row's link says too whether it is queued, so
//! that one store does for both: see `TaskRow::link`.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use crate::record::task::TaskRow;

type Address = NonNull<TaskRow>;

#[derive(Default)]
pub(crate) struct Queue {
    head: Cell<Option<Address>>,
    tail: Cell<Option<Address>>,
    len: Cell<usize>,
}

impl Queue {
    /// Rows that wait for their turn. While a batch is out, all of it counts.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Appends a row that is in no queue. `at` gives the row at an address of this queue.
    #[inline]
    pub(crate) fn push<'a>(&self, row: &'a TaskRow, at: impl FnOnce(Address) -> &'a TaskRow) {
        row.link.store(TaskRow::LAST, Ordering::Relaxed);
        let address = NonNull::from(row);
        match self.tail.replace(Some(address)) {
            Some(tail) => at(tail).link.store(address.as_ptr(), Ordering::Relaxed),
            None => self.head.set(Some(address)),
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes all there is, to be gone through without touching the queue for each row. Goes back
    /// with `put_back`.
    #[inline]
    pub(crate) fn take(&self) -> Batch {
        Batch {
            next: self.head.take(),
            last: self.tail.take(),
            taken: 0,
        }
    }

    /// What is left of a batch goes before whatever came meanwhile.
    #[inline]
    pub(crate) fn put_back<'a>(&self, batch: &Batch, at: impl FnOnce(Address) -> &'a TaskRow) {
        self.len.set(self.len.get() - batch.taken);
        if let (Some(next), Some(last)) = (batch.next, batch.last) {
            match self.head.replace(Some(next)) {
                Some(came) => at(last).link.store(came.as_ptr(), Ordering::Relaxed),
                None => self.tail.set(Some(last)),
            }
        }
    }
}

/// What was ready when it was taken.
pub(crate) struct Batch {
    next: Option<Address>,
    last: Option<Address>,
    taken: usize,
}

impl Batch {
    /// Takes the oldest row.
    #[inline]
    pub(crate) fn pop<'a>(
        &mut self,
        at: impl FnOnce(Address) -> &'a TaskRow,
    ) -> Option<&'a TaskRow> {
        let row = at(self.next?);
        let next = row.link.load(Ordering::Relaxed);
        row.link.store(ptr::null_mut(), Ordering::Relaxed);
        self.next = NonNull::new(next).filter(|next| next.as_ptr() != TaskRow::LAST);
        self.taken += 1;
        Some(row)
    }

    /// The row that `pop` would give.
    #[inline]
    pub(crate) fn next(&self) -> Option<Address> {
        self.next
    }

    /// Rows taken so far.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}
