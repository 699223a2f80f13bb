//! The end of a loop: what is pending is dropped, newest first, and what wakers still hold is handed over. Knows no thread but the
//! loop's own.

use std::sync::atomic::Ordering;

use super::error::{Cancellation, JoinError, Why};
use super::raw::Work;
use super::report::name_of;
use super::{Executor, away, local, raw, waker};
use crate::record::task::{Kind, TaskFacts, TaskRow, flag, phase};

impl Executor {
    /// Drops all that is left, newest first, and refuses what comes later. Gives the facts of the
    /// tasks that were pending; `tell` the exception handler of those that were not allowed to be.
    /// Called with the loop entered.
    pub(crate) fn close(&self, tell: bool) -> Vec<(TaskFacts, String)> {
        let local = &*self.local;
        let mut left = Vec::new();
        let mut destroyed = 0;
        loop {
            // A drop may spawn; what it spawns is dropped as well.
            let mut rows: Vec<&TaskRow> = local
                .record
                .tasks
                .live()
                .map(|(_, row)| row)
                .filter(|row| row.phase.load(Ordering::Relaxed) != phase::DONE)
                .collect();
            if rows.is_empty() && !self.report_unread() {
                break;
            }
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.task_id()));
            for row in rows {
                if row.phase.load(Ordering::Relaxed) == phase::DONE {
                    continue;
                }
                if row.kind.load(Ordering::Relaxed) != Kind::Callback as u8
                    && let Some(facts) = row.read()
                {
                    if tell && !facts.has(flag::FOREVER) && !facts.has(flag::INTERNAL) {
                        destroyed += 1;
                        local.tell_destroyed(row, destroyed);
                    }
                    left.push((facts, name_of(&local.record, row)));
                }
                let error = Cancellation::new(Why {
                    loop_closed: true,
                    ..Why::default()
                });
                local.finish_cancelled(row, JoinError::Cancelled(error));
            }
        }
        local.settle_queued();
        let head = self.shared.stack.shut();
        raw::oldest_first(&local.record, head, |item| match item {
            raw::Item::Row(row) => self.take_row(row),
            // Dropped unrun; whoever waits for it learns of it by the drop.
            raw::Item::Errand(errand) => {
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(errand)));
            }
        });
        local.settle_queued();
        drop(self.local.handler.take());
        self.fold();
        // Wakers that are dropped on this thread from now on go the way of other threads'.
        self.local.loop_id.set(local::CLOSED);
        left
    }

    /// Reports the panics whose handles are still held, which nobody can read after the close.
    /// Tells whether there were any.
    fn report_unread(&self) -> bool {
        let local = &*self.local;
        let mut any = false;
        for (_, row) in local.record.tasks.live() {
            if row.flags.load(Ordering::Relaxed) & flag::UNREAD != 0
                && let Some(work) = Work::of(row)
            {
                any = true;
                row.set_flag(flag::UNREAD, false);
                let text = work.panicked();
                local.report(
                    row,
                    "a task panicked and was not awaited before its loop closed",
                    text,
                );
            }
        }
        any
    }

    /// Hands what is left of references and handles over to whoever drops the last.
    fn fold(&self) {
        for (_, row) in self.local.record.tasks.live() {
            let here = row.refs_here.swap(0, Ordering::AcqRel)
                + row.handles.swap(0, Ordering::AcqRel) as i32;
            waker::hold(&self.shared);
            if away::fold(row, here) {
                waker::release(&self.shared);
            }
        }
    }

    /// Whether a task of the app is pending that was not allowed to be for ever.
    pub(crate) fn has_loose_tasks(&self) -> bool {
        self.live_tasks() > 0 && self.loose().next().is_some()
    }

    /// Visits the tasks that `has_loose_tasks` speaks of.
    pub(crate) fn for_each_loose(&self, mut each: impl FnMut(&TaskRow)) {
        self.loose().for_each(&mut each);
    }

    fn loose(&self) -> impl Iterator<Item = &TaskRow> {
        self.pending()
            .filter(|row| row.flags.load(Ordering::Relaxed) & (flag::FOREVER | flag::INTERNAL) == 0)
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &TaskRow> {
        let all = self.local.record.tasks.live().map(|(_, row)| row);
        all.filter(|row| {
            row.phase.load(Ordering::Relaxed) != phase::DONE
                && row.kind.load(Ordering::Relaxed) != Kind::Callback as u8
        })
    }

    pub(super) fn rows_of<'a>(&'a self, ids: &[u64]) -> Vec<&'a TaskRow> {
        let mut rows: Vec<&TaskRow> = self
            .pending()
            .filter(|row| ids.binary_search_by(|id| row.task_id().cmp(id)).is_ok())
            .collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.task_id()));
        rows
    }
}
