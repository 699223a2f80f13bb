//! The ends of a task: it returned, panicked, was cancelled, or its loop closed.

use std::panic::Location;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::away;
use super::error::{Cancellation, ErrorContext, JoinError, Why, text_of};
use super::raw::Work;
use super::scope::{Call, Hit, Left, ScopeKey};
use super::{Executor, Local, RawTask, waker};
use crate::clock;
use crate::id::TaskId;
use crate::record;
use crate::record::asked::By;
use crate::record::current::Doing;
use crate::record::event::{Event, Kind as EventKind};
use crate::record::task::{Kind, Outcome, TaskFacts, TaskRow, flag, mark, phase};
use crate::record::wake::Cause;

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
        }
        record.emit(EventKind::TaskFinished, || {
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
        super::raw::take_result(row)
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
        super::raw::poll_result(row)
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

    #[cold]
    fn ended_badly(&self, row: &TaskRow, work: Work, outcome: Outcome, at: u64) {
        let record = &*self.record;
        let error = match outcome {
            Outcome::Failed => self.failures.borrow().get(&row.task_id()).cloned(),
            _ => work.panicked(),
        };
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
    fn unheard(&self, row: &TaskRow, work: Work) {
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
    fn dropping<R>(&self, row: &TaskRow, f: impl FnOnce() -> R) -> R {
        self.doing(Doing::Dropping, row, f)
    }

    /// The time of what happens inside is its own: a drop that takes long is a block.
    fn doing<R>(&self, doing: Doing, row: &TaskRow, f: impl FnOnce() -> R) -> R {
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

    /// Runs what the app handed in; a panic is reported and ends there.
    pub(super) fn guarded(&self, row: &TaskRow, message: &str, f: impl FnOnce()) {
        if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
            self.report(row, message, Some(text_of(&*payload).to_owned()));
        }
    }

    /// Tells of the `nth` task that goes down with its loop; of the first ones, since a loop may have
    /// a million.
    fn tell_destroyed(&self, row: &TaskRow, nth: usize) {
        const TOLD: usize = 16;
        if nth <= TOLD {
            self.report(row, "a task was destroyed but it is pending", None);
        } else if nth == TOLD + 1 {
            let what = "a task was destroyed but it is pending, and older ones may follow untold; \
                        `EventLoop::close` gives them all";
            self.report(row, what, None);
        }
    }

    /// Tells the exception handler, or whoever reads the logs.
    #[cold]
    pub(crate) fn report(&self, row: &TaskRow, message: &str, panic: Option<String>) {
        self.tell(row, &self.context_of(row, message, panic));
    }

    /// What is told of a task.
    fn context_of(&self, row: &TaskRow, message: &str, panic: Option<String>) -> ErrorContext {
        let site = self.record.sites.get(row.site());
        ErrorContext {
            message: message.to_owned(),
            panic,
            task: TaskId::from_raw(row.task_id()),
            name: name_of(&self.record, row),
            spawned_at: site
                .and_then(|site| site.place())
                .map_or_else(|| "an unknown place".to_owned(), ToString::to_string),
            loop_id: self.record.id,
        }
    }

    /// Tells the handler, on account of `row`.
    fn tell(&self, row: &TaskRow, context: &ErrorContext) {
        let handler = self.handler.borrow().clone();
        let Some(handler) = handler else {
            return default_handler(context);
        };
        let told = self.doing(Doing::Handling, row, || {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handler(context)))
        });
        if told.is_err() {
            default_handler(context);
        }
    }
}

/// The name of a task: its own, or its future's type.
pub(crate) fn name_of(record: &record::LoopRecord, row: &TaskRow) -> String {
    let name = row.name();
    let number = row.number.load(Ordering::Relaxed);
    match name.text() {
        Some(text) => record::names::numbered(text, number),
        None => record
            .sites
            .get(row.site())
            .map_or(String::new(), |site| site.type_name().to_owned()),
    }
}

/// One line for whoever reads: the log, or stderr where no log is kept.
///
/// A log that panics is passed over: whoever reports may be in the middle of the loop's own work.
fn default_handler(context: &ErrorContext) {
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tell(context)));
    if told.is_err() {
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "loop-runtime: {}",
            visible(&context.to_string())
        );
    }
}

/// `text` as one line that a terminal only shows: names and panics are texts of anybody's.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

fn tell(context: &ErrorContext) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!(target: "loop_runtime", "{context}");
    } else {
        use std::io::Write;
        // A closed stderr is no reason to fail.
        let _ = writeln!(
            std::io::stderr(),
            "loop-runtime: {}",
            visible(&context.to_string())
        );
    }
}

impl Executor {
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
        let own = super::raw::current_row(&self.local.record)
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

    fn current_raw(&self) -> Option<RawTask> {
        super::raw::current_row(&self.local.record).map(|row| RawTask::new(row, row.task_id()))
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

    fn cancel_row(
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
    fn request(&self, row: &TaskRow, message: Option<&str>) {
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

    /// The live row of a task: the one that runs, or by walking.
    pub(crate) fn find(&self, id: u64) -> Option<&TaskRow> {
        let current = super::raw::current_row(&self.local.record);
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

    fn pending(&self) -> impl Iterator<Item = &TaskRow> {
        let all = self.local.record.tasks.live().map(|(_, row)| row);
        all.filter(|row| {
            row.phase.load(Ordering::Relaxed) != phase::DONE
                && row.kind.load(Ordering::Relaxed) != Kind::Callback as u8
        })
    }

    fn rows_of<'a>(&'a self, ids: &[u64]) -> Vec<&'a TaskRow> {
        let mut rows: Vec<&TaskRow> = self
            .pending()
            .filter(|row| ids.binary_search_by(|id| row.task_id().cmp(id)).is_ok())
            .collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.task_id()));
        rows
    }

    /// Whether a task of the app is pending that was not allowed to be for ever.
    pub(crate) fn has_loose_tasks(&self) -> bool {
        self.live_tasks() > 0 && self.loose().next().is_some()
    }

    fn loose(&self) -> impl Iterator<Item = &TaskRow> {
        self.pending()
            .filter(|row| row.flags.load(Ordering::Relaxed) & (flag::FOREVER | flag::INTERNAL) == 0)
    }

    /// Visits the tasks that `has_loose_tasks` speaks of.
    pub(crate) fn for_each_loose(&self, mut each: impl FnMut(&TaskRow)) {
        self.loose().for_each(&mut each);
    }

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
        super::raw::oldest_first(&local.record, head, |item| match item {
            super::raw::Item::Row(row) => self.take_row(row),
            // Dropped unrun; whoever waits for it learns of it by the drop.
            super::raw::Item::Errand(errand) => {
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(errand)));
            }
        });
        local.settle_queued();
        drop(self.local.handler.take());
        self.fold();
        // Wakers that are dropped on this thread from now on go the way of other threads'.
        self.local.loop_id.set(super::local::CLOSED);
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

    /// Asks a task to cancel because who awaited it is cancelled, with that one's words.
    #[cold]
    fn cancel_with_awaiter(&self, row: &TaskRow) {
        let record = &self.local.record;
        let awaiter = record.current.row_id();
        let asked = record.requests.of(awaiter);
        let (place, message) = asked.map_or((None, None), |asked| (asked.place, asked.message));
        self.cancel_row(row, By::Awaiter(awaiter), place, message.as_deref());
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

    /// The task that is being polled ends with an error that somebody was told: `says` with an
    /// error's text, or with a panic. It is recorded, and reported to nobody else. Gives what would
    /// have been reported, should that somebody not pass it on.
    pub(crate) fn heard(&self, says: Option<String>, panic: &str) -> Option<ErrorContext> {
        let local = &self.local;
        let row = super::raw::current_row(&local.record)?;
        row.set_flag(flag::DETACHED, false);
        let text = says.clone().unwrap_or_else(|| panic.to_owned());
        if let Some(text) = says {
            self.state_failure(text);
        }
        let raw = RawTask::new(row, row.task_id());
        let weak = std::rc::Rc::downgrade(local);
        let read = move || {
            if let Some(local) = weak.upgrade() {
                local.row(raw.row()).set_flag(flag::UNREAD, false);
                local.failures.borrow_mut().remove(&raw.id());
            }
        };
        local.add_callback(row, Box::new(read));
        let message = "a task failed in a group that was dropped before it could tell";
        Some(local.context_of(row, message, Some(text)))
    }

    /// Tells the exception handler of what was heard and not passed on.
    pub(crate) fn unheard(&self, context: &ErrorContext) {
        match super::raw::current_row(&self.local.record) {
            Some(row) => self.local.tell(row, context),
            None => default_handler(context),
        }
    }

    /// The task that is being polled says that it is about to return an error.
    pub(crate) fn state_failure(&self, text: String) {
        if let Some(row) = super::raw::current_row(&self.local.record) {
            row.set_flag(flag::FAILED, true);
            self.local.failures.borrow_mut().insert(row.task_id(), text);
        }
    }

    /// The row of a handle, if the task is done.
    pub(crate) fn done_row(&self, raw: RawTask) -> Option<&TaskRow> {
        self.local.done_row(raw)
    }

    /// Takes the result of a task that is done.
    pub(crate) fn take_result<T>(&self, raw: RawTask) -> Option<Result<T, JoinError>> {
        self.local.take_result(raw)
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

    /// Has `waker` woken when the task is done.
    pub(crate) fn set_joiner(&self, raw: RawTask, waker: &std::task::Waker) {
        if let Some(work) = Work::of(self.local.row(raw.row())) {
            work.set_joiner(waker);
        }
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
}
