//! Requests to cancel: who may ask whom, and how a request reaches the scopes of a task or ends it. Knows not what an end does.

use std::panic::Location;
use std::sync::atomic::Ordering;

use super::error::{Cancellation, JoinError, Why};
use super::scope::{Call, Hit, Left, ScopeKey};
use super::{Executor, RawTask, raw, waker};
use crate::clock;
use crate::id::TaskId;
use crate::record::asked::By;
use crate::record::task::{TaskRow, flag, phase};
use crate::record::wake::Cause;

impl Executor {
    /// Asks a task to cancel, on behalf of what runs now. False if it is done.
    #[track_caller]
    pub(crate) fn cancel(&self, raw: RawTask, message: Option<&str>) -> bool {
        let row = self.local.row(raw.row());
        let place = Some(Location::caller());
        row.task_id() == raw.id() && self.cancel_row(row, By::here(), place, message)
    }

    /// As `cancel`, for something that holds the task; `place` is the call of the app's that asks,
    /// if there is one.
    pub(crate) fn cancel_member(
        &self,
        raw: RawTask,
        place: Option<&'static Location<'static>>,
    ) -> bool {
        let row = self.local.row(raw.row());
        row.task_id() == raw.id() && self.cancel_row(row, By::here(), place, None)
    }

    pub(super) fn cancel_row(
        &self,
        row: &TaskRow,
        by: By,
        place: Option<&'static Location<'static>>,
        message: Option<&str>,
    ) -> bool {
        if row.phase.load(Ordering::Relaxed) == phase::DONE {
            return false;
        }
        let requests = &self.local.record.requests;
        requests.ask(row.task_id(), by, place, message, clock::ticks());
        let cancels = row.cancels.load(Ordering::Relaxed);
        row.cancels
            .store(cancels.saturating_add(1), Ordering::Relaxed);
        self.request(row, message);
        true
    }

    /// Marks a row, which is not done, for a cancel at its next step.
    pub(super) fn request(&self, row: &TaskRow, message: Option<&str>) {
        if row.phase.load(Ordering::Relaxed) == phase::DONE {
            return;
        }
        row.set_flag(flag::CANCELLING, true);
        if let Some(message) = message {
            self.messages
                .borrow_mut()
                .insert(row.task_id(), message.to_owned());
        }
        self.local.wake(row);
    }

    /// Delivers a cancel at the task's step: to its scopes, or by dropping its future. True if the
    /// task is over.
    #[cold]
    pub(super) fn deliver(&self, row: &TaskRow, now: u64) -> bool {
        // The task itself is what wakes its scopes.
        self.local.record.current.enter(row, now);
        let message = self.withdraw(row);
        if !self.scopes.is_empty()
            && let Some(calls) = self.scopes.request(row.task_id(), message.as_deref())
        {
            // The poll that follows finds the scope marked; a scope inside a `select!` or a
            // FuturesUnordered is reached through the waker of its own last poll.
            for call in calls {
                if let Call::Waker(waker) = call {
                    waker.wake();
                }
            }
            return false;
        }
        let asked = self.local.record.requests.of(row.task_id());
        let by = asked.as_ref().map(|asked| asked.by);
        let cancellation = Cancellation::new(Why {
            message,
            loop_closed: false,
            by: match by {
                Some(By::Task(id) | By::Awaiter(id)) => TaskId::from_raw(id),
                _ => None,
            },
            place: asked.and_then(|asked| asked.place),
        });
        self.local
            .finish_cancelled(row, JoinError::Cancelled(cancellation));
        if !self.scopes.is_empty() {
            self.scopes.forget(row.task_id());
        }
        true
    }

    /// Takes the request off the row, with its message.
    fn withdraw(&self, row: &TaskRow) -> Option<String> {
        row.set_flag(flag::CANCELLING, false);
        self.messages.borrow_mut().remove(&row.task_id())
    }

    /// A task ended with a request that was never delivered: its own value wins.
    #[cold]
    pub(super) fn forget_request(&self, row: &TaskRow) {
        drop(self.withdraw(row));
        if !self.scopes.is_empty() {
            self.scopes.forget(row.task_id());
        }
    }

    /// Withdraws one request. The number of those left.
    pub(crate) fn uncancel(&self, row: &TaskRow) -> u32 {
        let left = row.cancels.load(Ordering::Relaxed).saturating_sub(1);
        row.cancels.store(left, Ordering::Relaxed);
        // What a scope raised for good ends the task all the same.
        if left == 0 && self.scopes.withdraw(row.task_id()) {
            drop(self.withdraw(row));
            self.local.record.requests.withdrawn(row.task_id());
        }
        left.into()
    }

    /// Asks the task `id` to cancel, on behalf of what runs now. False if there is none, or it is
    /// done.
    #[track_caller]
    pub(crate) fn cancel_by_id(&self, id: u64, message: Option<&str>) -> bool {
        self.cancel_for(id, By::here(), Some(Location::caller()), message)
    }

    /// As `cancel_by_id`, on behalf of `by`, who called at `place`.
    pub(crate) fn cancel_for(
        &self,
        id: u64,
        by: By,
        place: Option<&'static Location<'static>>,
        message: Option<&str>,
    ) -> bool {
        self.find(id)
            .is_some_and(|row| self.cancel_row(row, by, place, message))
    }

    /// Asks a task to cancel because who awaited it is cancelled, with that one's words.
    #[cold]
    pub(super) fn cancel_with_awaiter(&self, row: &TaskRow) {
        let record = &self.local.record;
        let awaiter = record.current.row_id();
        let asked = record.requests.of(awaiter);
        let (place, message) = asked.map_or((None, None), |asked| (asked.place, asked.message));
        self.cancel_row(row, By::Awaiter(awaiter), place, message.as_deref());
    }

    /// Asks the main task to cancel: Ctrl-C. Whether it is the first to ask: a task that was being
    /// cancelled already is not interrupted.
    pub(crate) fn cancel_main(&self) -> bool {
        let main = self.main.get();
        let rows = self.rows_of(&[main]);
        let first = rows
            .first()
            .is_some_and(|row| row.cancels.load(Ordering::Relaxed) == 0);
        self.cancel_for(main, By::Interrupt, None, None) && first
    }

    /// Asks every task to cancel, newest first.
    pub(crate) fn cancel_all(&self) {
        let mut ids: Vec<u64> = self.pending().map(|row| row.task_id()).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        for row in self.rows_of(&ids) {
            self.cancel_row(row, By::RunEnd, None, None);
        }
    }

    /// Wakes the task without a cause, and it says that a viewer's nudge did. Whether it lives.
    pub(crate) fn nudge_by_id(&self, id: u64) -> bool {
        let found = self
            .find(id)
            .filter(|row| row.phase.load(Ordering::Relaxed) != phase::DONE);
        found
            .inspect(|row| {
                let wakes_it = !row.is_queued();
                self.local.wake(row);
                if wakes_it {
                    // What carries the nudge here is a callback, which would be named in its stead.
                    row.woken_by.store(Cause::Nudge.raw(), Ordering::Relaxed);
                }
            })
            .is_some()
    }

    /// The live row of a task: the one that runs, or by walking.
    pub(crate) fn find(&self, id: u64) -> Option<&TaskRow> {
        let current = raw::current_row(&self.local.record);
        if let Some(row) = current.filter(|row| row.task_id() == id) {
            return Some(row);
        }
        self.local
            .record
            .tasks
            .live()
            .map(|(_, row)| row)
            .find(|row| row.task_id() == id)
    }

    /// A scope is over. A request that it was to catch and did not goes on to the next.
    pub(crate) fn scope_left(&self, scope: ScopeKey) {
        // A task that is being dropped has been given its request already.
        let quietly = self.local.cancelling.get();
        self.carry_out(self.scopes.leave(scope, quietly));
    }

    /// The running task becomes a scope that catches, inside the one that is being polled.
    pub(crate) fn enter_scope(&self) -> ScopeKey {
        self.scopes.enter(self.current_raw())
    }

    /// Polls something inside a scope.
    pub(crate) fn poll_in_scope<R>(
        &self,
        scope: ScopeKey,
        cx: &mut std::task::Context<'_>,
        poll: impl FnOnce(&mut std::task::Context<'_>) -> R,
    ) -> R {
        let own = raw::current_row(&self.local.record)
            .is_some_and(|row| waker::lent(row).will_wake(cx.waker()));
        let waker = (!own).then(|| cx.waker().clone());
        self.scopes.polled(scope, waker.as_ref(), || poll(cx))
    }

    /// Ends what runs inside `scope`, through the scopes inside it.
    pub(crate) fn cut(&self, scope: ScopeKey) {
        for call in self.scopes.cut(scope) {
            self.call_for(call);
        }
    }

    /// What was caught by the code that runs now goes on to what is around it. `must`: that code
    /// waits for its end, so nobody can withdraw it any more.
    pub(crate) fn raise(&self, hit: Hit, must: bool) {
        self.carry_out(self.scopes.raise(self.current_raw(), hit, must));
    }

    pub(super) fn current_raw(&self) -> Option<RawTask> {
        raw::current_row(&self.local.record).map(|row| RawTask::new(row, row.task_id()))
    }

    fn carry_out(&self, left: Left) {
        if let Some(call) = left.call {
            self.call_for(call);
        }
        if let Some((task, message)) = left.request {
            let row = self.local.row(task.row());
            if row.task_id() == task.id() {
                self.request(row, message.as_deref());
            }
        }
    }

    fn call_for(&self, call: Call) {
        match call {
            Call::Waker(waker) => waker.wake(),
            Call::Task(task) => {
                let row = self.local.row(task.row());
                if row.task_id() == task.id() {
                    self.local.wake(row);
                }
            }
        }
    }

    /// Runs `drop`, which drops what a delivered cancel ends: tasks awaited there end with it.
    pub(crate) fn delivering(&self, drop: impl FnOnce()) {
        struct Back<'a>(&'a std::cell::Cell<bool>, bool);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let cancelling = &self.local.cancelling;
        let _back = Back(cancelling, cancelling.replace(true));
        drop();
    }
}
