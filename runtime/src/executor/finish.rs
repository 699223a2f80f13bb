//! The ends of a task: it returned, panicked, was cancelled, or its loop closed. Knows neither who asked for it nor what is said.

use std::sync::atomic::Ordering;

use super::Local;
use super::error::{JoinError, text_of};
use super::raw::Work;
use crate::clock;
use crate::record;
use crate::record::current::Doing;
use crate::record::event::{Event, Kind as EventKind};
use crate::record::task::{Kind, Outcome, TaskRow, flag, mark, phase};

pub(super) const DROP_PANICKED: &str = "a task's future panicked while it was dropped";

impl Local {
    /// States that a task is over and tells whoever waits for it. The row is `DONE` already.
    #[inline]
    pub(super) fn finish(&self, row: &TaskRow, outcome: Outcome, at: u64) {
        let relaxed = Ordering::Relaxed;
        let record = &*self.record;
        row.outcome.store(outcome as u8, relaxed);
        let callback = row.kind.load(relaxed) == Kind::Callback as u8;
        if let Some(site) = record.sites.get(row.site()) {
            record::count(&site.finished);
            record::add(&site.polls, row.polls.load(relaxed));
            record::add(&site.busy, row.busy.load(relaxed));
            record::add(&site.lived, at.saturating_sub(row.spawned_at.load(relaxed)));
            record::raise(&site.max_poll, row.max_poll.load(relaxed));
        }
        record.emit_often(EventKind::TaskFinished, || {
            Event::task_finished(at, row.task_id(), outcome as u8, row.polls.load(relaxed))
        });
        if !callback {
            record::count(&record.stats.finished);
            self.live.set(self.live.get() - 1);
        }
        if let Some(around) = self.around.get() {
            around.ended(row.task_id());
        }
        let work = Work::of(row).expect("a task that just ended has its box");
        if outcome != Outcome::Returned {
            self.ended_badly(row, work, outcome, at);
        } else {
            work.returned();
            if !callback {
                record.ended.write(row, outcome, at, "");
            }
        }
        // A callback may drop the task's own handle, the last thing that keeps its row and box.
        row.refs_here
            .store(row.refs_here.load(relaxed) + 1, relaxed);
        if let Some(joiner) = work.take_joiner() {
            self.ending.set(Some((row.task_id(), outcome)));
            self.guarded(row, "the waker of a task's awaiter panicked", || {
                joiner.wake()
            });
        }
        let marks = row.marks.load(relaxed);
        if marks != 0 {
            if marks & mark::AWAITED != 0 {
                for done in self.take_callbacks(row) {
                    self.guarded(row, "a done callback panicked", done);
                }
            }
            if row.marks.load(relaxed) & mark::CONTEXT != 0 {
                self.drop_context(row);
            }
        }
        row.refs_here
            .store(row.refs_here.load(relaxed) - 1, relaxed);
        if row.handles.load(relaxed) == 0 {
            self.unheard(row, work);
            self.settle(row);
        }
    }

    /// The task's context variables go with it, unless others share them.
    #[cold]
    fn drop_context(&self, row: &TaskRow) {
        let context = self.record.take_context(row);
        self.guarded(
            row,
            "a context variable's value panicked while it was dropped",
            || {
                self.dropping(row, || drop(context));
            },
        );
    }

    #[cold]
    fn ended_badly(&self, row: &TaskRow, work: Work, outcome: Outcome, at: u64) {
        let record = &*self.record;
        let error = match outcome {
            Outcome::Failed => self.failures.borrow().get(&row.task_id()).cloned(),
            _ => work.panicked(),
        };
        if matches!(outcome, Outcome::Failed | Outcome::Panicked)
            && let Some(site) = record.sites.get(row.site())
        {
            record::count(&site.failed);
        }
        match outcome {
            Outcome::Failed => {
                row.set_flag(flag::UNREAD, true);
            }
            Outcome::Panicked => {
                record::count(&record.stats.panicked);
                row.set_flag(flag::UNREAD, true);
                let internal = record.facts.internal
                    || row.flags.load(Ordering::Relaxed) & flag::INTERNAL != 0;
                if !internal {
                    record::alarm::panicked(
                        record.id,
                        row.task_id(),
                        error.as_deref().unwrap_or(""),
                    );
                }
            }
            Outcome::Cancelled => record::count(&record.stats.cancelled),
            _ => {}
        }
        if row.kind.load(Ordering::Relaxed) != Kind::Callback as u8 || outcome == Outcome::Panicked
        {
            record
                .ended
                .write(row, outcome, at, error.as_deref().unwrap_or(""));
        }
    }

    /// Nobody holds the task any more: its result is dropped, its panic reported.
    #[inline]
    pub(super) fn unheard(&self, row: &TaskRow, work: Work) {
        // Most results were taken, or are numbers: nothing to say and nothing that could take long.
        if !work.inert() || row.flags.load(Ordering::Relaxed) & flag::UNREAD != 0 {
            self.unheard_result(row, work);
        }
    }

    #[inline(never)]
    fn unheard_result(&self, row: &TaskRow, work: Work) {
        if row.flags.load(Ordering::Relaxed) & flag::UNREAD != 0 {
            let panic = work
                .panicked()
                .or_else(|| self.failures.borrow_mut().remove(&row.task_id()));
            let what = match row.kind.load(Ordering::Relaxed) {
                _ if row.flags.load(Ordering::Relaxed) & flag::FAILED != 0 => {
                    "a task failed and nobody awaited it"
                }
                1 => "a callback panicked",
                _ => "a task panicked and nobody awaited it",
            };
            row.set_flag(flag::UNREAD, false);
            self.record.ended.unread(row.task_id());
            self.report(row, what, panic);
        }
        if let Err(payload) = self.dropping(row, || work.drop_result()) {
            self.report(
                row,
                "the result of a task panicked while it was dropped",
                Some(text_of(&*payload).to_owned()),
            );
        }
    }

    /// Runs `f`, which may run the app's drops, with the loop marked as dropping for `row`.
    pub(super) fn dropping<R>(&self, row: &TaskRow, f: impl FnOnce() -> R) -> R {
        self.doing(Doing::Dropping, row, f)
    }

    /// The time of what happens inside is its own: a drop that takes long is a block.
    pub(super) fn doing<R>(&self, doing: Doing, row: &TaskRow, f: impl FnOnce() -> R) -> R {
        let record = &*self.record;
        let (before, since) = (record.current.doing(), record.current.since());
        let inside = super::raw::current_row(record);
        record.phase_of(doing, row, clock::ticks());
        let result = f();
        let end = clock::ticks();
        record.phase(doing, end);
        self.strayed.set(true);
        match inside {
            // What it interrupted goes on as from its own start.
            Some(row) => record.current.phase_of(before, row, since),
            None => record.current.phase(before, end),
        }
        result
    }

    /// Drops the future of a task that waits, unpolled, and finishes it.
    pub(super) fn finish_cancelled(&self, row: &TaskRow, error: JoinError) {
        let dropped = matches!(&error, JoinError::Cancelled(how) if how.loop_closed());
        let outcome = if dropped {
            Outcome::Dropped
        } else {
            Outcome::Cancelled
        };
        let Some(work) = Work::of(row) else { return };
        row.phase.store(phase::RUNNING, Ordering::Relaxed);
        let before = self.cancelling.replace(!dropped);
        let result = self.dropping(row, || work.drop_future(error));
        self.cancelling.set(before);
        row.phase.store(phase::DONE, Ordering::Release);
        row.set_flag(flag::CANCELLING, false);
        if let Err(payload) = result {
            self.report(row, DROP_PANICKED, Some(text_of(&*payload).to_owned()));
        }
        self.finish(row, outcome, clock::ticks());
    }
}
