//! The ready queue: rows linked through themselves, first in, first out. Loop's thread only.
//!
//! Holds no reference and allocates nothing. Rows are type-stable, so a row that is done is still
//! a row when its turn comes, and is passed over.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::record::task::TaskRow;

#[derive(Default)]
pub(crate) struct Queue {
    head: Cell<Option<ptr::NonNull<TaskRow>>>,
    tail: Cell<Option<ptr::NonNull<TaskRow>>>,
    len: Cell<usize>,
}

impl Queue {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Appends a row that is in no queue. `before` gives the row at an address of this queue.
    #[inline]
    pub(crate) fn push<'a>(
        &self,
        row: &'a TaskRow,
        at: impl FnOnce(ptr::NonNull<TaskRow>) -> &'a TaskRow,
    ) {
        row.queued.store(1, Ordering::Relaxed);
        row.link.store(ptr::null_mut(), Ordering::Relaxed);
        let address = ptr::NonNull::from(row);
        match self.tail.replace(Some(address)) {
            Some(tail) => at(tail).link.store(address.as_ptr(), Ordering::Relaxed),
            None => self.head.set(Some(address)),
        }
        self.len.set(self.len.get() + 1);
    }

    /// The row that `pop` would give.
    #[inline]
    pub(crate) fn first(&self) -> Option<ptr::NonNull<TaskRow>> {
        self.head.get()
    }

    /// Takes the oldest row.
    #[inline]
    pub(crate) fn pop<'a>(
        &self,
        at: impl FnOnce(ptr::NonNull<TaskRow>) -> &'a TaskRow,
    ) -> Option<&'a TaskRow> {
        let row = at(self.head.get()?);
        let next = ptr::NonNull::new(row.link.load(Ordering::Relaxed));
        self.head.set(next);
        if next.is_none() {
            self.tail.set(None);
        }
        row.queued.store(0, Ordering::Relaxed);
        self.len.set(self.len.get() - 1);
        Some(row)
    }
}
