//! Why a queue does not take or give an item.

use std::fmt;

/// The queue was shut down: it takes no items, and has none to give. Gives back what was put.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueShutDown<T = ()> {
    /// What was to be put.
    pub item: T,
}

impl<T> QueueShutDown<T> {
    pub(super) fn new(item: T) -> Self {
        Self { item }
    }
}

const SHUT_DOWN: &str =
    "the queue was shut down; stop putting once `shutdown` was called, and stop getting at this";

impl<T> fmt::Debug for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueShutDown")
    }
}

impl<T> fmt::Display for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHUT_DOWN)
    }
}

impl<T> std::error::Error for QueueShutDown<T> {}

/// Why `put_nowait` did not put the item, which it gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutError<T> {
    /// There is no room now.
    Full(T),
    /// The queue was shut down.
    ShutDown(T),
}

impl<T> PutError<T> {
    /// What was to be put.
    pub fn into_item(self) -> T {
        match self {
            PutError::Full(item) | PutError::ShutDown(item) => item,
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "Full",
            PutError::ShutDown(_) => "ShutDown",
        })
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "the queue is full; `put` waits for room",
            PutError::ShutDown(_) => SHUT_DOWN,
        })
    }
}

impl<T> std::error::Error for PutError<T> {}

/// Why `get_nowait` gave no item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GetError {
    /// There is no item now.
    Empty,
    /// The queue was shut down, and there will be none.
    ShutDown,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GetError::Empty => "the queue is empty; `get` waits for an item",
            GetError::ShutDown => SHUT_DOWN,
        })
    }
}

impl std::error::Error for GetError {}

/// `task_done` was called more often than items were put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TaskDoneTooOften;

impl fmt::Display for TaskDoneTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`task_done` was called and every item that was put is done; call it once for each item taken")
    }
}

impl std::error::Error for TaskDoneTooOften {}
