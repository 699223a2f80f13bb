//! What keeps a loop from turning, as another thread sees it while it lasts.
//!
//! Reads the line that the loop publishes at each poll edge; needs no inspector.

use std::time::Duration;

use super::LoopHandle;
use crate::clock;
use crate::id::TaskId;
use crate::record::over::Blamed;

/// A step or a piece of the loop's own work that has lasted for longer than the loop's limit, and
/// goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Blocked {
    /// The task or callback; `None` for the loop's own work.
    pub task: Option<TaskId>,
    /// Its name, or its future's type.
    pub name: String,
    /// Where it was spawned: `file:line:column`.
    pub spawned_at: String,
    /// How long it has lasted.
    pub lasts: Duration,
}

impl LoopHandle {
    /// What blocks the loop now: the step that has taken `slow_callback_duration` or longer and has
    /// not ended. `None` while the loop turns or waits.
    ///
    /// Unlike asyncio's debug mode, which tells afterwards. The inspector's watchdog watches for
    /// this by itself, and knows the stack.
    ///
    /// ```
    /// let el = loop_runtime::EventLoop::new().unwrap();
    /// assert_eq!(el.handle().blocked(), None);
    /// ```
    pub fn blocked(&self) -> Option<Blocked> {
        let record = self.record();
        let before = record.current.read().filter(|now| now.doing.is_work())?;
        let lasts = clock::ticks().saturating_sub(before.since);
        let limit = record.budget();
        if limit == 0 || lasts < limit {
            return None;
        }
        let task = record.tasks.at(before.row).map(Blamed::of);
        // What was read is that row's only if no edge came between.
        let after = record.current.read()?;
        if (after.since, after.row, after.doing) != (before.since, before.row, before.doing) {
            return None;
        }
        Some(Blocked {
            task: task.as_ref().and_then(|task| TaskId::from_raw(task.id)),
            name: task.as_ref().map_or_else(
                || format!("the loop's own work ({:?})", before.doing),
                |task| task.name(record),
            ),
            spawned_at: task.map_or_else(String::new, |task| task.spawned_at(record)),
            lasts: Duration::from_nanos(clock::ticks_to_ns(lasts)),
        })
    }
}
