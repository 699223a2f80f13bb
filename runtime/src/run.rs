//! `run`: makes a loop, runs a future on it, cleans up after it. The first Ctrl-C cancels, the
//! second ends the process.
//!
//! What happens after the main future is done, numbered as in the code:
//!
//! 1. tasks that are still there get a grace to end by themselves; what is left then is marked as
//!    left behind (not after an interrupt, which is nobody's leak, nor after a deadlock, which names
//!    them);
//! 2. they are asked to cancel, newest first, and run until they end or the limit passes;
//! 3. the executor's threads are joined, and jobs that do not end are named;
//! 4. whoever judges this process gets the last word on it, and the loop closes.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::context::Organs;
use crate::event_loop::{EventLoop, RunError};
use crate::record::task::flag;
use crate::signal;

mod builder;
pub(crate) mod entry;
mod inspector;
mod limits;
mod policy;
mod pool;
mod runner;

pub use builder::Builder;
pub use inspector::InspectorStatus;
pub(crate) use inspector::{hand_over, test_begins, test_fails};
pub use limits::LeakLimits;
pub use policy::{
    DefaultLoopPolicy, LoopPolicy, get_event_loop, get_event_loop_policy, new_event_loop,
    set_event_loop, set_event_loop_policy,
};
pub use pool::{LoopPool, PoolError, PoolServer};
pub use runner::Runner;

/// Makes an event loop, runs `main` on it and closes it.
///
/// The first Ctrl-C cancels the main task, so that its clean-up runs; the second ends the process
/// at once, also while the loop is blocked. Tasks that are left when `main` is done are cancelled
/// and awaited.
///
/// Errors: `RunError`.
/// Panics: with the main task's own panic, after the clean-up.
/// Records: a loop with a task of kind main; tasks left behind, if any.
/// Source: asyncio's `run`.
///
/// ```
/// let answer = loop_runtime::run(async { 6 * 7 });
/// assert_eq!(answer, Ok(42));
/// ```
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<F>(main: F) -> Result<F::Output, RunError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Builder::by_policy().run(main)
}

/// What `run` does around the main future.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// How long tasks that outlive main may take to end by themselves.
    pub(crate) grace: Duration,
    /// How long cancelled tasks, and then executor jobs, may take to end.
    pub(crate) limit: Duration,
    /// Whether Ctrl-C cancels main.
    pub(crate) interrupts: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            grace: Duration::from_millis(100),
            limit: Duration::from_secs(60),
            interrupts: true,
        }
    }
}

/// Runs `main` on `event_loop` and everything that comes after it, but for the closing. `each` and
/// `idle` as in `run_watched`; `left` is called when the grace is over and nothing is cancelled yet.
pub(crate) fn run_on_judged<F>(
    event_loop: &EventLoop,
    manners: &Manners,
    place: &'static Location<'static>,
    main: F,
    each: impl FnMut(&Organs),
    mut idle: impl FnMut(&Organs) -> bool,
    left: impl FnOnce(&Organs),
) -> Result<F::Output, RunError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (result, end, guard) = interruptible(event_loop, manners, place, main, each, &mut idle);
    if matches!(result, Ok(Err(RunError::Forked))) {
        // A child came back from its parent's loop: there is nothing of its own to clean up.
        std::mem::forget(guard);
        return Err(RunError::Forked);
    }
    // A panic of main must not skip the clean-up.
    clean_up(event_loop, manners, end, idle, left);
    event_loop.enter(|| drop(guard));
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What a run came to, how it ended, and what listens to Ctrl-C.
type Interruptible<T> = (
    std::thread::Result<Result<T, RunError>>,
    End,
    Option<signal::Registration>,
);

/// Runs `main`, which the first Ctrl-C cancels if the manners say so.
fn interruptible<F>(
    event_loop: &EventLoop,
    manners: &Manners,
    place: &'static Location<'static>,
    main: F,
    each: impl FnMut(&Organs),
    idle: impl FnMut(&Organs) -> bool,
) -> Interruptible<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    // Refused before a handler is set, which the loop that runs here might be using.
    if let Err(refused) = event_loop.may_run() {
        return (Ok(Err(refused)), End::Ordinary, None);
    }
    let interrupted = Rc::new(Cell::new(false));
    let guard = if manners.interrupts {
        event_loop.enter(|| on_interrupt(&interrupted))
    } else {
        None
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        event_loop.run_watched(place, main, each, idle)
    }));
    let interrupted = interrupted.get();
    let result = match result {
        Ok(Err(RunError::Cancelled)) if interrupted => Ok(Err(RunError::Interrupted)),
        result => result,
    };
    let end = match &result {
        _ if interrupted => End::Interrupted,
        Ok(Err(RunError::Deadlock(_))) => {
            // While it stands: what comes next cancels the tasks.
            inspector::deadlocked(manners.grace);
            End::Deadlocked
        }
        _ => End::Ordinary,
    };
    (result, end, guard)
}

/// The first Ctrl-C asks the main task to cancel.
fn on_interrupt(interrupted: &Rc<Cell<bool>>) -> Option<signal::Registration> {
    let seen = interrupted.clone();
    signal::on_interrupt(move || {
        let first = crate::context::with(|organs| organs.executor.cancel_main());
        if first == Ok(true) {
            seen.set(true);
        }
    })
    // Without a handler Ctrl-C ends the process, as it does where no loop runs.
    .inspect_err(|error| tracing::warn!(%error, "Ctrl-C ends the process at once: its handler could not be set"))
    .ok()
}

/// How a run ended, as far as its clean-up asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum End {
    #[default]
    Ordinary,
    Interrupted,
    Deadlocked,
}

fn clean_up(
    event_loop: &EventLoop,
    manners: &Manners,
    end: End,
    mut idle: impl FnMut(&Organs) -> bool,
    left: impl FnOnce(&Organs),
) {
    let organs = event_loop.organs();
    let executor = &organs.executor;
    // 1.
    if end == End::Ordinary {
        let grace = inspector::grace().unwrap_or(manners.grace);
        let [ended, over, took] = &organs.record.facts.scope_end;
        let began = organs.now();
        ended.store(clock::mono(), Ordering::Relaxed);
        over.store(0, Ordering::Relaxed);
        let waited = organs.clone();
        let done = move || !waited.executor.has_loose_tasks();
        let _ = event_loop.turn_until(grace, done, &mut idle);
        took.store(organs.now().saturating_sub(began), Ordering::Relaxed);
        over.store(clock::mono(), Ordering::Relaxed);
        executor.for_each_loose(|row| row.set_flag(flag::LEFT, true));
        left(organs);
        inspector::run_ended(grace);
    } else if end == End::Deadlocked {
        left(organs);
    }
    // 2.
    event_loop.enter(|| executor.cancel_all());
    let awaited = organs.clone();
    let done = move || awaited.executor.live_tasks() == 0;
    if let Err(error) = event_loop.turn_until(manners.limit, done, &mut idle) {
        tracing::warn!(%error, "tasks that were cancelled could not be awaited");
    }
    let ignoring = executor.live_tasks();
    if ignoring > 0 {
        tracing::warn!(tasks = ignoring, limit = ?manners.limit, "tasks ignored their cancellation and are dropped");
    }
    // 3.
    if let Err(stuck) = event_loop.enter(|| organs.blocking.shutdown(Some(manners.limit))) {
        tracing::warn!(%stuck, "executor jobs are left to themselves");
    }
}
