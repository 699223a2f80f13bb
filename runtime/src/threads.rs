//! `run_in_executor` and `to_thread`: calls that block, on threads, awaited.
//!
//! Knows the loop's thread pool; knows neither timers nor I/O.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::blocking::{Executor, ExecutorShutDown, Job, Lane, Pool, StuckJobs};
use crate::context::{self, Organs};
use crate::executor::Panic;
use crate::handle::LocalLoop;
use crate::record;
use crate::record::bound::{LoopBound, WrongLoop};
use crate::record::task::{On, WaitingOn};
use crate::record::vars;
use crate::time::{self, Sleep};

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

impl<T: Send + 'static> Stage<T> {
    fn of(organs: &Organs, submitted: Result<Job<T>, ExecutorShutDown>) -> Self {
        match submitted {
            Ok(job) => Stage::Job(LoopBound::new(organs.record.id, job)),
            Err(refused) => Stage::Refused(refused),
        }
    }
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
/// At most `min(32, cpus + 4)` calls run at once; more wait. The call sees the caller's context
/// variables.
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

/// As `run_in_executor`, on an executor of the app's own rather than the loop's.
///
/// Source: asyncio's `run_in_executor(executor, call)`.
///
/// ```
/// let database = loop_runtime::Executor::new(4, "database");
/// loop_runtime::run(async move {
///     let rows = loop_runtime::run_in_executor_on(&database, || 42);
///     assert_eq!(rows.await.unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn run_in_executor_on<T: Send + 'static>(
    executor: &Executor,
    call: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    to_thread_on(executor, "", call)
}

/// As `run_in_executor_on`, with a name for the screen.
///
/// ```
/// let database = loop_runtime::Executor::new(4, "database");
/// loop_runtime::run(async move {
///     let rows = loop_runtime::to_thread_on(&database, "count the orders", || 42);
///     assert_eq!(rows.await.unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn to_thread_on<T: Send + 'static>(
    executor: &Executor,
    name: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    let (place, call) = (Location::caller(), carried(call));
    let stage = context::expect(|organs| {
        Stage::of(
            organs,
            organs.blocking.submit_on(executor, name, place, call),
        )
    });
    BlockingTask { stage }
}

impl LocalLoop {
    /// Has `executor` run the calls that name none, and gives it to the loop, whose end shuts it
    /// down; an executor that outlives its loops is one to name in `run_in_executor_on`. The one
    /// before ends when it has run what it has.
    ///
    /// Source: asyncio's `set_default_executor`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     el.set_default_executor(loop_runtime::Executor::new(2, "two"));
    ///     let name = || std::thread::current().name().map(str::to_owned);
    ///     assert_eq!(loop_runtime::run_in_executor(name).await.unwrap().unwrap(), "two");
    /// })
    /// .unwrap();
    /// ```
    pub fn set_default_executor(&self, executor: Executor) {
        self.organs().blocking.set_general(executor);
    }

    /// Has the loop's executor take no more calls from now on; await the result until those that it
    /// has are over, or `timeout` has passed. The loop goes on meanwhile.
    ///
    /// The end of a `run` does this by itself.
    ///
    /// Errors: `StuckJobs`, by name. A thread cannot be stopped from outside: they go on.
    /// Panics: polled outside its loop.
    /// Source: asyncio's `shutdown_default_executor`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     assert!(el.shutdown_default_executor(None).await.is_ok());
    ///     assert!(loop_runtime::run_in_executor(|| 7).await.is_err());
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn shutdown_default_executor(&self, timeout: Option<Duration>) -> ShutdownExecutor {
        let place = Location::caller();
        let pool = self.organs().blocking.close_general();
        let limit = timeout.map(|timeout| sleep_from(self, timeout, place));
        ShutdownExecutor { pool, limit }
    }
}

/// A sleep on `el`, though it may not be the loop that runs.
fn sleep_from(el: &LocalLoop, timeout: Duration, place: &'static Location<'static>) -> Sleep {
    let until = el.time() + timeout;
    context::entered(el.organs(), || time::sleep_until_at(until, place))
}

/// The future of `shutdown_default_executor`.
///
/// Cancel: the executor stays shut; nobody waits for its jobs.
#[must_use = "the executor is shut, but nobody waits for its jobs"]
pub struct ShutdownExecutor {
    pool: Arc<Pool>,
    limit: Option<Sleep>,
}

impl fmt::Debug for ShutdownExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownExecutor").finish_non_exhaustive()
    }
}

impl Future for ShutdownExecutor {
    type Output = Result<(), StuckJobs>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.pool.poll_idle(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let limit = self.limit.as_mut().map(|limit| Pin::new(limit).poll(cx));
        if limit.is_some_and(|limit| limit.is_ready()) {
            return Poll::Ready(Err(self.pool.stuck()));
        }
        let job = WaitingOn::new(On::Job, self.pool.some_job());
        record::waiting(job, Location::caller());
        Poll::Pending
    }
}

/// `call`, in a copy of the caller's context: nothing that it sets stays with the thread.
fn carried<T>(call: impl FnOnce() -> T + Send) -> impl FnOnce() -> T + Send {
    let context = vars::Context::copy();
    move || context.run(call)
}

#[track_caller]
pub(crate) fn submit<T: Send + 'static>(
    name: &str,
    place: &'static Location<'static>,
    call: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    let call = carried(call);
    let stage = context::expect(|organs| {
        let submitted = organs.blocking.submit(Lane::General, name, place, call);
        Stage::of(organs, submitted)
    });
    BlockingTask { stage }
}

impl<T: Send> BlockingTask<T> {
    /// From now on the call is made also if this is dropped before it has begun.
    pub(crate) fn keep(&mut self) {
        if let Stage::Job(job) = &mut self.stage
            && let Ok(job) = job.get_mut()
        {
            job.keep();
        }
    }
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
