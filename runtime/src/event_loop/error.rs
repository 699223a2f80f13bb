//! Why a run has no value, and why a loop cannot be closed. Knows no loop, only its number.

use std::fmt;
use std::io;

use super::Deadlock;
use crate::id::LoopId;
use crate::os::open_files;

/// Why a run has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The loop is running already, further up this thread's stack.
    AlreadyRunning,
    /// Another loop runs on this thread.
    OtherLoopRunning(LoopId),
    /// `stop` was called before the future was done; the task stays and may go on in another run.
    Stopped,
    /// The main task waits, and nothing can wake the loop any more: who waits where for what. The task
    /// stays, as after `Stopped`. See `OnDeadlock`.
    Deadlock(Deadlock),
    /// The loop is closed.
    Closed,
    /// The loop was made before a fork, in the parent.
    Forked,
    /// The main task was cancelled.
    Cancelled,
    /// Ctrl-C cancelled the main task.
    Interrupted,
    /// The system refused what a loop needs.
    Io(io::ErrorKind, String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::AlreadyRunning => f.write_str("this event loop is already running; await the future instead of running the loop inside itself"),
            RunError::OtherLoopRunning(id) => {
                write!(f, "loop {id} is running on this thread; run a second loop on a thread of its own")
            }
            RunError::Stopped => f.write_str("the event loop was stopped before the future was done; run it again to go on, or let `stop` come last"),
            RunError::Deadlock(deadlock) => deadlock.fmt(f),
            RunError::Closed => f.write_str("the event loop is closed; make a new one"),
            RunError::Forked => f.write_str("this event loop belongs to the parent process; make a new one after a fork"),
            RunError::Cancelled => f.write_str("the main task was cancelled before it was done"),
            RunError::Interrupted => f.write_str("interrupted: Ctrl-C cancelled the main task"),
            RunError::Io(_, text) => write!(f, "an event loop could not be made: {text}"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        let advice = open_files::advice(&error);
        let advice = advice.as_deref().unwrap_or(
            "the system refused what a loop waits with (epoll and its like): a sandbox may forbid it",
        );
        RunError::Io(error.kind(), format!("{error}; {advice}"))
    }
}

/// Why a loop cannot be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseError {
    /// It is running.
    Running,
    /// It was made before a fork, in the parent.
    Forked,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseError::Running => "a running event loop cannot be closed; call `stop` and close it after its run has returned",
            CloseError::Forked => "this event loop belongs to the parent process; only the parent can close it",
        })
    }
}

impl std::error::Error for CloseError {}
