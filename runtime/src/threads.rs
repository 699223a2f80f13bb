//! `run_in_executor` and `to_thread`: calls that block, on threads, awaited.
//!
//! Knows the loop's thread pool; knows neither timers nor I/O.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::blocking::{ExecutorShutDown, Job, Lane};
use crate::context;
use crate::executor::Panic;
use crate::record::bound::{LoopBound, WrongLoop};

/// Why a job has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError {
    /// It panicked on its thread; the panic ended there.
    Panicked(Panic),
    /// The executor was shut down before; the job did not run.
    ShutDown(ExecutorShutDown),
    /// It was awaited away from its loop.
    WrongLoop(WrongLoop),
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Panicked(panic) => {
                write!(f, "the job panicked on its thread: {}", panic.text())
            }
            JobError::ShutDown(error) => error.fmt(f),
            JobError::WrongLoop(wrong) => wrong.fmt(f),
        }
    }
}

impl std::error::Error for JobError {}

enum Stage<T: Send + 'static> {
    Refused(ExecutorShutDown),
    Job(LoopBound<Job<T>>),
}

/// A call on its way through a thread; await it for the value.
///
/// Cancel: dropping it withdraws a call that has not begun. One that runs goes on, is listed as
/// cancelled but running, and its value is dropped.
#[must_use = "dropping it withdraws the call"]
pub struct BlockingTask<T: Send + 'static> {
    stage: Stage<T>,
}

impl<T: Send> fmt::Debug for BlockingTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingTask").finish_non_exhaustive()
    }
}

/// Runs `call`, which may block, on a thread of the loop's executor.
///
/// At most `min(32, cpus + 4)` calls run at once; more wait.
///
/// Panics: no loop runs on this thread.
/// Records: a job, from now until its value is back: queued, running, on which thread.
/// Source: asyncio's `run_in_executor(None, call)`.
///
/// ```
/// loop_runtime::run(async {
///     let read = loop_runtime::run_in_executor(|| std::fs::read_to_string("/proc/self/comm"));
///     assert!(read.await.unwrap().is_ok());
/// })
/// .unwrap();
/// ```
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn run_in_executor<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    submit("", Location::caller(), call)
}

/// As `run_in_executor`, with a name for the screen.
///
/// Source: asyncio's `to_thread`.
///
/// ```
/// loop_runtime::run(async {
///     assert_eq!(loop_runtime::to_thread("add", || 6 * 7).await.unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn to_thread<T: Send + 'static>(
    name: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    submit(name, Location::caller(), call)
}

#[track_caller]
fn submit<T: Send + 'static>(
    name: &str,
    place: &'static Location<'static>,
    call: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    let stage =
        context::expect(
            |organs| match organs.blocking.submit(Lane::General, name, place, call) {
                Ok(job) => Stage::Job(LoopBound::new(organs.record.id, job)),
                Err(refused) => Stage::Refused(refused),
            },
        );
    BlockingTask { stage }
}

impl<T: Send> Future for BlockingTask<T> {
    type Output = Result<T, JobError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let job = match &mut self.stage {
            Stage::Refused(refused) => return Poll::Ready(Err(JobError::ShutDown(*refused))),
            Stage::Job(job) => job.get_mut(),
        };
        match job {
            Ok(job) => Pin::new(job)
                .poll(cx)
                .map(|result| result.map_err(|payload| JobError::Panicked(Panic::new(payload)))),
            Err(wrong) => Poll::Ready(Err(JobError::WrongLoop(wrong))),
        }
    }
}
