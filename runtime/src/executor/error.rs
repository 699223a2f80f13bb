//! How a task can fail to give a value, and what the exception handler is told.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::id::{LoopId, TaskId};
use crate::record::bound::WrongLoop;

/// Why a task has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled before it was done.
    Cancelled(Cancellation),
    /// It panicked; the panic ended here.
    Panicked(Panic),
    /// Its handle was awaited away from its loop. Use `LoopHandle::spawn` for that.
    WrongLoop(WrongLoop),
    /// The value was taken by an earlier await or `try_result`.
    Taken,
}

// Every task has room for one beside its value.
const _: () = assert!(size_of::<JoinError>() <= 16 || cfg!(not(target_pointer_width = "64")));

/// A cancel that was delivered.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Cancellation {
    /// `None`: nothing is known of it.
    why: Option<Box<Why>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Why {
    pub(crate) message: Option<String>,
    pub(crate) loop_closed: bool,
    pub(crate) by: Option<TaskId>,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl Cancellation {
    pub(crate) fn new(why: Why) -> Self {
        Self {
            why: Some(Box::new(why)),
        }
    }

    /// What was given to `cancel`.
    pub fn message(&self) -> Option<&str> {
        self.why.as_ref()?.message.as_deref()
    }

    /// Whether the loop closed with the task pending.
    pub fn loop_closed(&self) -> bool {
        self.why.as_ref().is_some_and(|why| why.loop_closed)
    }

    /// The task that asked; `None`: none did, or it is not known any more.
    pub fn by(&self) -> Option<TaskId> {
        self.why.as_ref()?.by
    }

    /// Where `cancel` was called; `None`: nowhere in the app, or it is not known any more.
    pub fn place(&self) -> Option<&'static Location<'static>> {
        self.why.as_ref()?.place
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation")
            .field("message", &self.message())
            .field("loop_closed", &self.loop_closed())
            .field("by", &self.by())
            .field("place", &self.place().map(ToString::to_string))
            .finish()
    }
}

/// A panic that was caught.
///
/// `Sync`, so that an error that holds one goes into any box of errors.
pub struct Panic {
    caught: Box<Caught>,
}

struct Caught {
    text: String,
    /// Never locked: the lock makes it `Sync`.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Self {
            caught: Box::new(Caught {
                text: text_of(&*payload).to_owned(),
                payload: Mutex::new(payload),
            }),
        }
    }

    /// The panic's text, if it had one.
    pub fn text(&self) -> &str {
        &self.caught.text
    }

    /// What was panicked with, for `std::panic::resume_unwind`.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        let payload = self.caught.payload;
        payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of a panic's payload.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a panic without a text)")
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.text()).finish()
    }
}

impl JoinError {
    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled(_))
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panicked(_))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled(how) if how.loop_closed() => {
                f.write_str("the task was pending when its loop closed; await it, or cancel it, before the run ends")
            }
            JoinError::Cancelled(how) => match how.message() {
                Some(message) => write!(f, "the task was cancelled: {message}"),
                None => f.write_str("the task was cancelled"),
            },
            JoinError::Panicked(panic) => write!(f, "the task panicked: {}; the loop goes on", panic.text()),
            JoinError::WrongLoop(wrong) => wrong.fmt(f),
            JoinError::Taken => f.write_str("the task's value was taken before; keep it where it was received"),
        }
    }
}

impl std::error::Error for JoinError {}

const _: () = {
    const fn any_box_of_errors_takes<E: std::error::Error + Send + Sync + 'static>() {}
    any_box_of_errors_takes::<JoinError>();
};

/// What went wrong where nobody was there to be told. Given to the exception handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ErrorContext {
    /// What happened, in words.
    pub message: String,
    /// The text of the panic, if it was one.
    pub panic: Option<String>,
    /// The task or callback it happened in.
    pub task: Option<TaskId>,
    /// Its name.
    pub name: String,
    /// Where it was spawned: `file:line:column`.
    pub spawned_at: String,
    /// Its loop.
    pub loop_id: LoopId,
}

impl fmt::Display for ErrorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(task) = self.task {
            write!(f, " in task {task} {}", self.name)?;
        }
        write!(
            f,
            ", spawned at {}, on loop {}",
            self.spawned_at, self.loop_id
        )?;
        match &self.panic {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}
