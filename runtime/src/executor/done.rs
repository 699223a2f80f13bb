//! What a task that is done owes: its result to who holds it, a wake to who awaits it, a call to each who asked for one.
//! Knows not how it came to be done.

use std::sync::atomic::Ordering;
use std::task::Poll;

use super::raw::{Done, Work};
use super::{Executor, JoinError, Local, RawTask, raw};
use crate::record::task::{Outcome, TaskRow, flag, mark, phase};

impl Local {
    /// Has `done` called when the task of `row` ends.
    pub(crate) fn add_callback(&self, row: &TaskRow, done: Done) {
        let marks = row.marks.load(Ordering::Relaxed);
        row.marks.store(marks | mark::AWAITED, Ordering::Relaxed);
        let mut all = self.callbacks.borrow_mut();
        all.entry(row.task_id()).or_default().push(done);
    }

    /// Takes what is to be called now that the task of `row` has ended.
    #[cold]
    pub(super) fn take_callbacks(&self, row: &TaskRow) -> Vec<Done> {
        let mut all = self.callbacks.borrow_mut();
        all.remove(&row.task_id()).unwrap_or_default()
    }

    /// The row of a handle, if the task is done.
    #[inline]
    pub(crate) fn done_row(&self, raw: RawTask) -> Option<&TaskRow> {
        let row = self.row(raw.row());
        (row.phase.load(Ordering::Relaxed) == phase::DONE).then_some(row)
    }

    /// Takes the result of a task that is done.
    ///
    /// # Panics
    /// Never; `T` is what the handle's type says, which `spawn` made.
    #[inline]
    pub(crate) fn take_result<T>(&self, raw: RawTask) -> Option<Result<T, JoinError>> {
        let row = self.done_row(raw)?;
        if row.flags.load(Ordering::Relaxed) & flag::UNREAD != 0 {
            self.read(row);
        }
        raw::take_result(row)
    }

    /// The result of a task, once it is done.
    #[inline]
    pub(crate) fn poll_result<T>(&self, raw: RawTask) -> Poll<Result<T, JoinError>> {
        let Some(row) = self.done_row(raw) else {
            return Poll::Pending;
        };
        if row.flags.load(Ordering::Relaxed) & flag::UNREAD != 0 {
            self.read(row);
        }
        raw::poll_result(row)
    }

    /// Somebody reads the error of the task.
    #[cold]
    #[inline(never)]
    fn read(&self, row: &TaskRow) {
        row.set_flag(flag::UNREAD, false);
        self.failures.borrow_mut().remove(&row.task_id());
    }

    /// The handle of a task is dropped on the loop's thread: all there is to do if the task is
    /// done. False, and nothing happened, if it is not.
    #[inline]
    pub(crate) fn done_handle_dropped(&self, raw: RawTask) -> bool {
        let Some(row) = self.done_row(raw) else {
            return false;
        };
        let handles = row.handles.load(Ordering::Relaxed) - 1;
        row.handles.store(handles, Ordering::Relaxed);
        if handles == 0
            && let Some(work) = Work::of(row)
        {
            self.unheard(row, work);
        }
        self.settle(row);
        true
    }
}

impl Executor {
    /// The row of a handle, if the task is done.
    pub(crate) fn done_row(&self, raw: RawTask) -> Option<&TaskRow> {
        self.local.done_row(raw)
    }

    /// Takes the result of a task that is done.
    pub(crate) fn take_result<T>(&self, raw: RawTask) -> Option<Result<T, JoinError>> {
        self.local.take_result(raw)
    }

    /// Has `waker` woken when the task is done.
    pub(crate) fn set_joiner(&self, raw: RawTask, waker: &std::task::Waker) {
        if let Some(work) = Work::of(self.local.row(raw.row())) {
            work.set_joiner(waker);
        }
    }

    /// Nobody awaits the task for now. False if it is done.
    pub(crate) fn clear_joiner(&self, raw: RawTask) -> bool {
        let row = self.local.row(raw.row());
        if row.phase.load(Ordering::Relaxed) == phase::DONE {
            return false;
        }
        drop(Work::of(row).and_then(Work::take_joiner));
        true
    }

    /// The task whose awaiter is being woken, and how it ended.
    pub(crate) fn ending(&self) -> Option<(u64, Outcome)> {
        self.local.ending.get()
    }

    /// Has `done` called when the task is done, or at once if it is.
    pub(crate) fn when_done(&self, raw: RawTask, done: Box<dyn FnOnce()>) {
        let row = self.local.row(raw.row());
        if row.phase.load(Ordering::Relaxed) == phase::DONE {
            self.local.guarded(row, "a done callback panicked", done);
        } else {
            self.local.add_callback(row, done);
        }
    }

    /// One more handle of a task that is not over, counted and not of a type.
    pub(crate) fn hold(&self, raw: RawTask) {
        let handles = &self.local.row(raw.row()).handles;
        handles.store(handles.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Gives up what `hold` took, of a task that is just ending: its end sees to the rest.
    pub(crate) fn release(&self, raw: RawTask) {
        let handles = &self.local.row(raw.row()).handles;
        handles.store(handles.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Whoever held the task to its end is gone: it is marked until it ends.
    pub(crate) fn outlived(&self, raw: RawTask) {
        self.local.row(raw.row()).set_flag(flag::OUTLIVED, true);
        self.handle_dropped(raw, false);
    }

    /// The handle of a task is dropped on the loop's thread.
    pub(crate) fn handle_dropped(&self, raw: RawTask, awaited: bool) {
        let local = &*self.local;
        if local.done_handle_dropped(raw) {
            return;
        }
        let row = local.row(raw.row());
        let handles = row.handles.load(Ordering::Relaxed) - 1;
        row.handles.store(handles, Ordering::Relaxed);
        if handles == 0 {
            row.set_flag(flag::DETACHED, true);
            // Nobody awaits it any more: who did must not look as if this task could wake it.
            drop(Work::of(row).and_then(Work::take_joiner));
        }
        // The task was awaited by one whose cancel is being delivered: it goes with it.
        if awaited && local.cancelling.get() {
            self.cancel_with_awaiter(row);
        }
    }
}
