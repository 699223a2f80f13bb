//! `Runner`: several runs on one loop, and one clean-up after the last. Knows no signals and no
//! inspector but through `run`.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use super::{Builder, End, Manners, clean_up, interruptible};
use crate::event_loop::{CloseError, EventLoop, RunError};
use crate::spawn::TaskInfo;

/// Runs one main future after another on the same loop, which lives until the runner is closed.
///
/// The loop is made by the first `run` or `get_loop`. What a main future leaves behind goes on in
/// the next run; the close ends it, as the end of [`run`](crate::run) does. Dropping a runner
/// closes it.
///
/// Source: asyncio's `Runner`.
///
/// ```
/// use loop_runtime::{Runner, RunError};
///
/// let runner = Runner::new();
/// let first = runner.run(async { loop_runtime::get_running_loop().unwrap().id() });
/// let second = runner.run(async { loop_runtime::get_running_loop().unwrap().id() });
/// assert_eq!(first.unwrap(), second.unwrap());
/// runner.close().unwrap();
/// assert_eq!(runner.run(async {}), Err(RunError::Closed));
/// ```
#[must_use = "a runner does nothing until `run`"]
pub struct Runner {
    builder: Builder,
    event_loop: OnceCell<EventLoop>,
    closed: Cell<bool>,
    /// How the last run ended: what Ctrl-C left is nobody's leak.
    end: Cell<End>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("event_loop", &self.event_loop.get())
            .field("closed", &self.closed.get())
            .finish_non_exhaustive()
    }
}

impl Default for Runner {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Runner {
    /// A runner whose loop is made by the process's policy; see [`new_event_loop`](crate::new_event_loop).
    #[track_caller]
    pub fn new() -> Self {
        Builder::by_policy().runner()
    }

    /// What can be chosen about a runner's loop: finish with [`Builder::runner`].
    #[track_caller]
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn with(builder: Builder) -> Self {
        Self {
            builder,
            event_loop: OnceCell::new(),
            closed: Cell::new(false),
            end: Cell::default(),
        }
    }

    /// The loop, which is made now if there was none.
    ///
    /// Errors: the runner is closed; the system refuses what a loop needs.
    /// Source: asyncio's `Runner.get_loop`.
    pub fn get_loop(&self) -> Result<&EventLoop, RunError> {
        if self.closed.get() {
            return Err(RunError::Closed);
        }
        if let Some(event_loop) = self.event_loop.get() {
            return Ok(event_loop);
        }
        let made = self.builder.make()?;
        self.builder.ready_inspector();
        // A factory that runs this very runner would have made one by now; the first stays.
        Ok(self.event_loop.get_or_init(|| made))
    }

    /// Runs `main` until it is done. Ctrl-C cancels it, unless the builder says no.
    ///
    /// Errors: `RunError`; after `Stopped` the task is still there and goes on with the next run.
    /// Panics: with the main task's own panic, after which the runner may be used again.
    /// Records: a task of kind main, spawned at this place.
    /// Source: asyncio's `Runner.run`.
    #[track_caller]
    pub fn run<F>(&self, main: F) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.run_at(Location::caller(), main)
    }

    /// Where its builder was made.
    pub(super) fn place(&self) -> &'static Location<'static> {
        self.builder.place()
    }

    pub(super) fn run_at<F>(
        &self,
        place: &'static Location<'static>,
        main: F,
    ) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let event_loop = self.get_loop()?;
        let manners = self.builder.manners();
        let (result, end, guard) =
            interruptible(event_loop, manners, place, main, |_| {}, |_| false);
        if matches!(result, Ok(Err(RunError::Forked))) {
            std::mem::forget(guard);
            return Err(RunError::Forked);
        }
        self.end.set(end);
        event_loop.enter(|| drop(guard));
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Cancels and awaits what is left, shuts the loop's executor down and closes the loop. Gives
    /// the tasks that ignored their cancellation. Closing twice is no error.
    ///
    /// Errors: `CloseError`.
    /// Records: tasks left behind, if any.
    /// Source: asyncio's `Runner.close`.
    pub fn close(&self) -> Result<Vec<TaskInfo>, CloseError> {
        self.close_with(self.builder.manners())
    }

    pub(super) fn close_with(&self, manners: &Manners) -> Result<Vec<TaskInfo>, CloseError> {
        let Some(event_loop) = self.event_loop.get() else {
            self.closed.set(true);
            return Ok(Vec::new());
        };
        if event_loop.is_running() {
            return Err(CloseError::Running);
        }
        if self.closed.replace(true) || event_loop.is_closed() {
            return Ok(Vec::new());
        }
        if event_loop.is_forked() {
            return Err(CloseError::Forked);
        }
        let ended = catch_unwind(AssertUnwindSafe(|| {
            clean_up(event_loop, manners, self.end.get(), |_| false, |_| {});
        }));
        self.builder.hand_over(event_loop);
        let left = event_loop.close();
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
        left
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Only a loop of the parent's process cannot be closed here, and it is not this one's.
        let _ = self.close();
    }
}
