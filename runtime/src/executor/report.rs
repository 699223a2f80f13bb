//! What is told of a task that went wrong, to the handler or in one line of the log; and errors that somebody heard of. Knows not
//! how a task ends.

use std::sync::atomic::Ordering;

use super::error::{ErrorContext, text_of};
use super::{Executor, Local, RawTask, raw};
use crate::id::TaskId;
use crate::record;
use crate::record::current::Doing;
use crate::record::task::{TaskRow, flag};

impl Local {
    /// Tells the exception handler, or whoever reads the logs.
    #[cold]
    pub(crate) fn report(&self, row: &TaskRow, message: &str, panic: Option<String>) {
        self.tell(row, &self.context_of(row, message, panic));
    }

    /// What is told of a task.
    pub(super) fn context_of(
        &self,
        row: &TaskRow,
        message: &str,
        panic: Option<String>,
    ) -> ErrorContext {
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
    pub(super) fn tell(&self, row: &TaskRow, context: &ErrorContext) {
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

    /// Tells of the `nth` task that goes down with its loop; of the first ones, since a loop may have
    /// a million.
    pub(super) fn tell_destroyed(&self, row: &TaskRow, nth: usize) {
        const TOLD: usize = 16;
        if nth <= TOLD {
            self.report(row, "a task was destroyed but it is pending", None);
        } else if nth == TOLD + 1 {
            let what = "a task was destroyed but it is pending, and older ones may follow untold; \
                        `EventLoop::close` gives them all";
            self.report(row, what, None);
        }
    }

    /// Runs what the app handed in; a panic is reported and ends there.
    pub(super) fn guarded(&self, row: &TaskRow, message: &str, f: impl FnOnce()) {
        if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
            self.report(row, message, Some(text_of(&*payload).to_owned()));
        }
    }
}

impl Executor {
    /// The task that is being polled ends with an error that somebody was told: `says` with an
    /// error's text, or with a panic. It is recorded, and reported to nobody else. Gives what would
    /// have been reported, should that somebody not pass it on.
    pub(crate) fn heard(&self, says: Option<String>, panic: &str) -> Option<ErrorContext> {
        let local = &self.local;
        let row = raw::current_row(&local.record)?;
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
        match raw::current_row(&self.local.record) {
            Some(row) => self.local.tell(row, context),
            None => default_handler(context),
        }
    }

    /// The task that is being polled says that it is about to return an error.
    pub(crate) fn state_failure(&self, text: String) {
        if let Some(row) = raw::current_row(&self.local.record) {
            row.set_flag(flag::FAILED, true);
            self.local.failures.borrow_mut().insert(row.task_id(), text);
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
