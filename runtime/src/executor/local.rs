//! What wakes on the loop's own thread touch: the ready queue and the counts.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::{Batch, Queue};
use super::raw::Work;
use crate::id::map::IdMap;
use crate::record::task::{Outcome, TaskRow, phase};
use crate::record::{LoopRecord, Owner};

/// The number of no loop.
pub(crate) const CLOSED: u32 = u32::MAX;

/// The loop thread's own side of an executor.
pub(crate) struct Local {
    /// `CLOSED` once the loop is: its rows are then nobody's, on this thread too.
    pub(crate) loop_id: Cell<u32>,
    pub(crate) queue: Queue,
    pub(crate) record: Arc<LoopRecord>,
    pub(crate) owner: std::rc::Rc<Owner>,
    /// Tasks (not callbacks) that are not done.
    pub(crate) live: Cell<usize>,
    /// Who hears of errors that nobody else will; `None` for the default.
    pub(crate) handler: std::cell::RefCell<Option<super::Handler>>,
    /// Entered around every poll, if anything is.
    pub(crate) around: std::cell::OnceCell<Box<dyn super::Around>>,
    /// The texts of errors that tasks returned and nobody has read, by task.
    pub(crate) failures: std::cell::RefCell<std::collections::HashMap<u64, String>>,
    /// The task whose awaiter is being woken, and how it ended.
    pub(crate) ending: Cell<Option<(u64, Outcome)>>,
    /// What is to be called when a task ends, by task: few have anything, so it is not in their
    /// boxes.
    pub(crate) callbacks: std::cell::RefCell<IdMap<Vec<super::raw::Done>>>,
    /// Set while the future of a cancelled task is dropped: what it awaited is cancelled too.
    pub(crate) cancelling: Cell<bool>,
    /// Set when code of the app ran outside a poll: the last poll's end is the next one's start no
    /// more.
    pub(crate) strayed: Cell<bool>,
}

impl Local {
    /// The row at an address that the queue keeps.
    #[inline]
    pub(crate) fn row(&self, address: NonNull<TaskRow>) -> &TaskRow {
        super::raw::row_at(address, &self.record)
    }

    #[inline]
    pub(crate) fn enqueue(&self, row: &TaskRow) {
        self.queue.push(row, |address| self.row(address));
    }

    /// Takes what is ready, to be polled in order.
    #[inline]
    pub(crate) fn ready(&self) -> Ready<'_> {
        Ready {
            local: self,
            batch: self.queue.take(),
        }
    }

    /// Empties the queue of a loop whose tasks are all done.
    pub(crate) fn settle_queued(&self) {
        let mut ready = self.ready();
        while let Some(row) = ready.next() {
            self.settle(row);
        }
    }

    /// Wakes a row on the loop's thread.
    #[inline]
    pub(crate) fn wake(&self, row: &TaskRow) {
        if row.phase.load(Ordering::Relaxed) == phase::DONE {
            return;
        }
        if !row.is_queued() {
            // Marked and enqueued before the waker's reference can be given up: whoever sees the
            // reference gone sees the mark.
            self.enqueue(row);
            row.woken(&self.record);
        } else {
            row.woken_again(&self.record);
        }
    }

    /// A waker was dropped on the loop's thread, and woke nobody.
    #[inline]
    pub(crate) fn dropped(&self, row: &TaskRow) {
        self.given_up(row);
        // After a wake the row is queued, so this is no way that a wake takes.
        if row.refs_here.load(Ordering::Relaxed) <= 0
            && row.phase.load(Ordering::Relaxed) == phase::IDLE
            && !row.is_queued()
        {
            self.last_dropped(row);
        }
    }

    #[cold]
    #[inline(never)]
    fn last_dropped(&self, row: &TaskRow) {
        let marks = row.away_marks.load(crate::atomic::Ordering::Relaxed);
        let away = row.refs_away.load(crate::atomic::Ordering::Relaxed) - (marks >> 1) as i32;
        if row.task_id() != 0 && marks & 1 == 0 && row.refs_here.load(Ordering::Relaxed) + away <= 0
        {
            self.record.last_waker_dropped(row);
        }
    }

    /// A reference was given up on the loop's thread.
    #[inline]
    pub(crate) fn given_up(&self, row: &TaskRow) {
        let left = row.refs_here.load(Ordering::Relaxed) - 1;
        row.refs_here.store(left, Ordering::Release);
        if row.phase.load(Ordering::Relaxed) == phase::DONE {
            self.settle(row);
        }
    }

    /// Reuses the row of a task that is done, once nothing refers to it.
    #[inline(never)]
    pub(crate) fn settle(&self, row: &TaskRow) {
        let unused = row.phase.load(Ordering::Relaxed) == phase::DONE
            && row.handles.load(Ordering::Relaxed) == 0
            && !row.is_queued()
            && row.away_marks.load(crate::atomic::Ordering::Acquire) == 0
            && row.refs_here.load(Ordering::Relaxed)
                + row.refs_away.load(crate::atomic::Ordering::Acquire)
                == 0
            && row.task_id() != 0;
        if !unused {
            return;
        }
        let Some(work) = Work::of(row) else { return };
        let slot = work.slot();
        Work::free(row);
        row.refs_here.store(0, Ordering::Relaxed);
        row.refs_away.store(0, crate::atomic::Ordering::Relaxed);
        row.vacate();
        self.record.tasks.give_back(&self.owner.tasks, slot);
    }
}

/// Rows that were ready when they were taken. What is left of them when this is dropped, also by a
/// panic, goes back to where it was in the queue.
pub(crate) struct Ready<'a> {
    local: &'a Local,
    batch: Batch,
}

impl<'a> Ready<'a> {
    /// The next row that is to be polled.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a TaskRow> {
        let local = self.local;
        let row = self.batch.pop(|address| local.row(address));
        // While this row is polled, what the next one is made of comes nearer, and the head of the
        // one after, which leads to its box.
        if let Some(next) = self.batch.next() {
            let next = local.row(next);
            super::raw::prefetch_work(next);
            if let Some(after) = NonNull::new(next.link.load(Ordering::Relaxed)) {
                super::raw::prefetch(after);
            }
        }
        row
    }

    /// Rows taken so far.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.batch.taken()
    }
}

impl Drop for Ready<'_> {
    #[inline]
    fn drop(&mut self) {
        let local = self.local;
        local
            .queue
            .put_back(&self.batch, |address| local.row(address));
    }
}
