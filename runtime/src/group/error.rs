//! What went wrong in a group: one error of all that its tasks and its body ended with.

use std::fmt;

use crate::record::bound::WrongLoop;
use crate::spawn::{Panic, TaskRef};

/// Why one part of a group failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause<E> {
    /// It returned this error.
    Failed(E),
    /// It panicked; the panic ended there.
    Panicked(Panic),
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Failed(error) => error.fmt(f),
            Cause::Panicked(panic) => write!(f, "panicked: {}", panic.text()),
        }
    }
}

/// The failure of one task of a group, or of its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<E> {
    /// The task; `None` for the group's body.
    pub task: Option<TaskRef>,
    /// The task's name when it failed; empty for the body.
    pub name: String,
    /// What it ended with.
    pub cause: Cause<E>,
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) if self.name.is_empty() => write!(f, "task {}: ", task.id())?,
            Some(_) => write!(f, "{}: ", self.name)?,
            None => f.write_str("the body: ")?,
        }
        self.cause.fmt(f)
    }
}

/// What a group ended with, where it has no value: every failure of its tasks and its body, in the
/// order in which they came, those of clean-up too. Without failures: it was cut by
/// `TaskGroup::cancel`.
///
/// Source: asyncio's `ExceptionGroup`. A group whose error is boxed nests: `GroupError<E>` is an
/// `Error` like any other.
#[derive(Debug)]
#[non_exhaustive]
pub struct GroupError<E> {
    /// The failures, in the order in which they came.
    pub failures: Vec<Failure<E>>,
}

impl<E> GroupError<E> {
    pub(super) fn new(failures: Vec<Failure<E>>) -> Self {
        Self { failures }
    }

    /// Whether nothing failed: `TaskGroup::cancel` cut the body before it had a value.
    pub fn is_cancelled(&self) -> bool {
        self.failures.is_empty()
    }

    /// The errors that were returned, without the panics.
    pub fn errors(&self) -> impl Iterator<Item = &E> {
        self.failures
            .iter()
            .filter_map(|failure| match &failure.cause {
                Cause::Failed(error) => Some(error),
                Cause::Panicked(_) => None,
            })
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.as_slice() {
            [] => return f.write_str("the group was cancelled before its body had a value"),
            [_] => f.write_str("the group failed: ")?,
            all => write!(f, "the group failed {} times: ", all.len())?,
        }
        for (nth, failure) in self.failures.iter().enumerate() {
            if nth > 0 {
                f.write_str("; ")?;
            }
            failure.fmt(f)?;
        }
        Ok(())
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for GroupError<E> {}

/// A task of a group failed; what it failed with is the group's, in its `GroupError`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task failed; its error is in the `GroupError` of its group")
    }
}

impl std::error::Error for Failed {}

/// The group takes no more tasks: it is being cancelled, or is over, or belongs to another loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GroupClosed {
    /// A task or the body failed, or the group was cancelled: its tasks are coming to their end.
    Cancelling,
    /// All of its tasks have ended, and its scope with them.
    Over,
    /// It was used away from its loop.
    WrongLoop(WrongLoop),
}

impl fmt::Display for GroupClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupClosed::Cancelling => f.write_str(
                "the group is being cancelled and takes no more tasks; the future was dropped",
            ),
            GroupClosed::Over => f.write_str(
                "the group is over and takes no more tasks; spawn inside its scope, or with `create_task`",
            ),
            GroupClosed::WrongLoop(wrong) => wrong.fmt(f),
        }
    }
}

impl std::error::Error for GroupClosed {}
