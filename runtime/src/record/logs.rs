//! The last log lines of each task, for its page. Bounded, and filled only where an app installs
//! the layer that collects them. Cold: takes a lock, never on a poll's edge.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Lines kept of one task.
pub(crate) const PER_TASK: usize = 32;
/// Lines kept in all: the task that logged first loses its lines first.
const IN_ALL: usize = 16_384;
/// Bytes of a line that are kept.
pub(crate) const LONGEST: usize = 256;

/// One event of `tracing`, as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// Nanoseconds on CLOCK_MONOTONIC.
    pub(crate) at: u64,
    pub(crate) level: &'static str,
    pub(crate) target: &'static str,
    /// The message and the fields.
    pub(crate) text: String,
}

#[derive(Default)]
struct Logs {
    tasks: HashMap<u64, VecDeque<Line>>,
    /// Tasks by their first line, oldest first.
    order: VecDeque<u64>,
    lines: usize,
}

static LOGS: Mutex<Option<Logs>> = Mutex::new(None);

/// Keeps a line of `task`.
pub(crate) fn push(task: u64, mut line: Line) {
    line.text.truncate(line.text.floor_char_boundary(LONGEST));
    let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    logs.get_or_insert_default().push(task, line);
}

/// The lines of `task`, oldest first.
pub(crate) fn of(task: u64) -> Vec<Line> {
    let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = logs.as_ref().and_then(|logs| logs.tasks.get(&task));
    lines
        .map(|lines| lines.iter().cloned().collect())
        .unwrap_or_default()
}

impl Logs {
    fn push(&mut self, task: u64, line: Line) {
        let lines = self.tasks.entry(task).or_insert_with(|| {
            self.order.push_back(task);
            VecDeque::new()
        });
        lines.push_back(line);
        if lines.len() > PER_TASK {
            lines.pop_front();
        } else {
            self.lines += 1;
        }
        while self.lines > IN_ALL
            && let Some(oldest) = self.order.pop_front()
        {
            self.lines -= self.tasks.remove(&oldest).map_or(0, |lines| lines.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: impl Into<String>) -> Line {
        Line {
            at: 0,
            level: "INFO",
            target: "test",
            text: text.into(),
        }
    }

    #[test]
    fn a_task_keeps_its_last_lines() {
        let mut logs = Logs::default();
        for number in 0..PER_TASK + 3 {
            logs.push(7, line(number.to_string()));
        }
        let kept = &logs.tasks[&7];
        assert_eq!((kept.len(), logs.lines), (PER_TASK, PER_TASK));
        assert_eq!(kept[0].text, "3");
    }

    #[test]
    fn when_all_is_full_the_task_that_logged_first_goes() {
        let mut logs = Logs::default();
        for task in 0..=IN_ALL as u64 {
            logs.push(task, line("x"));
        }
        assert!(!logs.tasks.contains_key(&0) && logs.tasks.contains_key(&1));
        assert_eq!((logs.lines, logs.order.len()), (IN_ALL, IN_ALL));
    }
}
