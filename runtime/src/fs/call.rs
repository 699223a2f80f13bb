//! One call on a file system, on a thread of the loop's executor.
//!
//! The job is named after the operation and not after the path: names are kept for ever, and paths
//! have no end.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::context;
use crate::threads::{self, BlockingTask, JobError};

/// A call on the file system, on its way through a thread; await it for the value.
///
/// Errors: the system's; the executor was shut down; no loop runs here.
/// Cancel: dropping it withdraws a call that has not begun. One that runs goes on: what it does to
/// the file system is done.
/// Records: a job, named after the operation.
#[must_use = "dropping it withdraws the call"]
pub struct FileCall<T: Send + 'static>(State<T>);

enum State<T: Send + 'static> {
    Refused(Option<io::Error>),
    Job(BlockingTask<io::Result<T>>),
}

impl<T: Send> FileCall<T> {
    /// Submits `call` under the name `operation`.
    #[track_caller]
    pub(super) fn new(
        operation: &'static str,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Self {
        match context::current() {
            Ok(_) => Self(State::Job(threads::submit(
                operation,
                Location::caller(),
                call,
            ))),
            Err(no_loop) => Self(State::Refused(Some(io::Error::other(no_loop)))),
        }
    }

    /// As `new`, with a path to call it with.
    #[track_caller]
    pub(super) fn on(
        operation: &'static str,
        path: impl AsRef<Path>,
        call: fn(&Path) -> io::Result<T>,
    ) -> Self {
        let path = path.as_ref().to_owned();
        Self::new(operation, move || call(&path))
    }

    /// As `on`, with two.
    #[track_caller]
    pub(super) fn on_both(
        operation: &'static str,
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        call: fn(&Path, &Path) -> io::Result<T>,
    ) -> Self {
        let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
        Self::new(operation, move || call(&from, &to))
    }

    /// Has it run also if this is dropped.
    pub(super) fn kept(mut self) -> Self {
        if let State::Job(job) = &mut self.0 {
            job.keep();
        }
        self
    }
}

impl<T: Send> Future for FileCall<T> {
    type Output = io::Result<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
            State::Job(job) => Pin::new(job).poll(cx).map(|done| match done {
                Ok(result) => result,
                Err(JobError::WrongLoop(wrong)) => Err(io::Error::other(wrong)),
                Err(error) => Err(io::Error::other(error.to_string())),
            }),
        }
    }
}

impl<T: Send> fmt::Debug for FileCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCall").finish_non_exhaustive()
    }
}
