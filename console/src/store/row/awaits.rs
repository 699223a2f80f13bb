//! Steps of the await graph: who waits for what, and for whom. Knows no message.

use super::{Goto, Wait};

/// One edge: a task waits for something, behind which there may be another task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AwaitStep {
    /// Edges between it and the page's task; 1: the first.
    pub depth: u16,
    /// The task that waits.
    pub task: u64,
    pub name: String,
    pub wait: Wait,
    /// The task that has to act; `None` where it is no task or not known.
    pub on: Option<u64>,
    pub on_name: String,
    /// `WAIT`, `RUN`, …; empty: it is gone, or there is none.
    pub on_state: String,
    /// `on` stands in this chain already.
    pub ring: bool,
}

impl AwaitStep {
    /// What a task waits for, where an app tells no more than that.
    pub fn first(task: u64, name: &str, waits: &[Wait]) -> Vec<Self> {
        let step = |wait: &Wait| Self {
            depth: 1,
            task,
            name: name.to_owned(),
            wait: wait.clone(),
            on: wait.awaited(),
            ..Self::default()
        };
        waits.iter().map(step).collect()
    }

    /// The row of what is waited for, else the task that has to act.
    pub fn target(&self) -> Option<Goto> {
        self.wait.target.or(self.on.map(Goto::Task))
    }
}
