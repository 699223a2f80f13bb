//! `Executor`: a pool of threads of the app's own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StuckJobs;
use super::pool::Pool;

/// A pool of threads for calls that block, which several loops may share.
///
/// For calls that must not wait behind others: a database with four connections, say, beside the
/// thumbnails of the loop's own executor. Threads are made when a job finds none idle. Once the
/// last handle is dropped what is queued still runs, and the threads end.
///
/// Records: its jobs are rows of the loop that gave them, with the pool's name.
/// Source: `concurrent.futures.ThreadPoolExecutor`.
///
/// ```
/// let database = loop_runtime::Executor::new(4, "database");
/// loop_runtime::run(async move {
///     let rows = loop_runtime::run_in_executor_on(&database, || 42).await;
///     assert_eq!(rows.unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[derive(Clone)]
pub struct Executor {
    pub(super) pool: Arc<Pool>,
    _open: Arc<Open>,
    name: Arc<str>,
}

/// Closes the pool with the last handle.
struct Open(Arc<Pool>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// A pool of at most `threads` threads, which are called `name`. There are none yet.
    ///
    /// Panics: no threads at all.
    pub fn new(threads: usize, name: &str) -> Self {
        assert!(
            threads > 0,
            "an executor without threads runs nothing; use at least 1"
        );
        Self::named(name.to_owned(), name, threads)
    }

    pub(super) fn named(threads: String, name: &str, limit: usize) -> Self {
        let pool = Pool::new(threads, name, limit);
        Self {
            _open: Arc::new(Open(pool.clone())),
            pool,
            name: name.into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes no more jobs, and waits until those that it has are over, for at most `timeout`.
    ///
    /// Blocks the calling thread, so not for inside a loop.
    ///
    /// Errors: the time is over and these jobs still wait or run.
    /// Source: `Executor.shutdown(wait=True)`.
    ///
    /// ```
    /// let database = loop_runtime::Executor::new(4, "database");
    /// assert_eq!(database.shutdown(None), Ok(()));
    /// ```
    pub fn shutdown(&self, timeout: Option<Duration>) -> Result<(), StuckJobs> {
        self.pool.close();
        self.pool
            .wait_idle(timeout.map(|timeout| Instant::now() + timeout))
    }
}
