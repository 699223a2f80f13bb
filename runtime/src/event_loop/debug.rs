//! Debug mode: a warning for each callback that held the loop for longer than it may.
//!
//! What is recorded does not hang on it: it only says aloud what the record holds. Knows the log of
//! long polls, and no task.

use std::io::Write;
use std::time::Duration;

use crate::clock;
use crate::context::Organs;
use crate::handle::LocalLoop;
use crate::record::LoopRecord;
use crate::record::over::Over;

/// Whether the environment asks for debug mode: `LOOP_DEBUG`, unless it is empty or `0`.
pub(super) fn wished() -> bool {
    std::env::var_os("LOOP_DEBUG").is_some_and(|wish| !wish.is_empty() && wish != "0")
}

/// Tells of what ended over the limit since it was last called.
#[cold]
pub(super) fn tell(organs: &Organs) {
    let over = &organs.record.over;
    let written = over.written();
    let mut missed = 0;
    for number in organs.state.told.replace(written)..written {
        match over.read(number) {
            Some(over) if over.is_allowed() => {}
            Some(over) => say(&slow(&organs.record, &over)),
            None => missed += 1,
        }
    }
    if missed > 0 {
        say(&format!(
            "{missed} more were slow, and are not known any more"
        ));
    }
}

fn slow(record: &LoopRecord, over: &Over) -> String {
    let who = match &over.task {
        Some(task) => format!(
            "{} {} `{}`, spawned at {},",
            if task.is_callback() {
                "callback"
            } else {
                "task"
            },
            task.id,
            task.name(record).escape_debug(),
            task.spawned_at(record)
        ),
        None => format!("the loop's own work ({:?})", over.doing),
    };
    let took = Duration::from_nanos(clock::ticks_to_ns(over.took));
    let limit = Duration::from_nanos(record.limit_ns(over.budget));
    format!(
        "{who} took {took:.1?} on loop {} {}; from {limit:?} on that is slow: move what blocks to `run_in_executor`, or await in between",
        record.id,
        record.name().escape_debug(),
    )
}

/// The log, or stderr where none is kept.
fn say(text: &str) {
    // A log that panics must not end the run.
    let _ = std::panic::catch_unwind(|| write(text));
}

fn write(text: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::warn!(target: "loop_runtime", "{text}");
    } else {
        // A closed stderr is no reason to fail.
        let text = crate::executor::visible(text);
        let _ = writeln!(std::io::stderr(), "loop-runtime: {text}");
    }
}

impl LocalLoop {
    /// Whether the loop is in debug mode.
    ///
    /// Source: asyncio's `get_debug`.
    pub fn get_debug(&self) -> bool {
        self.organs().state.debug.get()
    }

    /// Turns debug mode on or off. On, the loop writes a warning to the log (to stderr where none is
    /// kept) for each task's step or callback that took `slow_callback_duration` or longer.
    ///
    /// What is recorded is the same with and without. The environment's `LOOP_DEBUG=1` turns it on
    /// for every loop that was not told otherwise. Calls from the wrong thread, which asyncio looks
    /// for in debug mode, are compile errors here.
    ///
    /// Source: asyncio's `set_debug`.
    ///
    /// ```
    /// let el = loop_runtime::EventLoop::new().unwrap();
    /// el.local().set_debug(true);
    /// assert!(el.local().get_debug());
    /// ```
    pub fn set_debug(&self, on: bool) {
        let organs = self.organs();
        organs.state.debug.set(on);
        organs.state.told.set(organs.record.over.written());
    }

    /// What counts as slow: in debug mode for the warning, always for the count of blocks and the
    /// watchdog.
    pub fn slow_callback_duration(&self) -> Duration {
        let record = &self.organs().record;
        Duration::from_nanos(record.limit_ns(record.budget()))
    }

    /// Sets what counts as slow; a duration of zero turns the limit off. The default is 100 ms, or
    /// what [`Builder::block_budget`](crate::Builder::block_budget) says.
    ///
    /// Source: asyncio's `loop.slow_callback_duration`.
    pub fn set_slow_callback_duration(&self, limit: Duration) {
        self.organs().record.set_budget(limit);
    }
}
