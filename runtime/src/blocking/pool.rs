//! Threads and the queue that they serve. Knows no loop: a job brings what it does there.
//!
//! Threads are made when a job finds none idle, up to the limit, and end after a while without one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{ExecutorShutDown, StuckJobs};
use crate::os;
use crate::record::names::{self, NameId};
use crate::record::pool::PoolStats;

/// An idle thread ends after this long.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) struct Pool {
    /// What its threads are called.
    threads: String,
    /// What it is called in the rows of its jobs.
    pub(super) name: NameId,
    limit: usize,
    /// Forks before it was made: in the child of a later one its threads are missing.
    forks: u64,
    /// How it stands, for whoever looks.
    pub(super) stats: Arc<PoolStats>,
    inner: Mutex<Inner>,
    /// A job came, or the shutdown.
    work: Condvar,
    /// A job ended.
    ended: Condvar,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Queued>,
    running: Vec<Running>,
    threads: usize,
    idle: usize,
    shut: bool,
    /// Who waits for the last job to end.
    waiting: Vec<Waker>,
}

impl Inner {
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// Who is to be woken, now that a job is over.
    fn heard(&mut self) -> Vec<Waker> {
        match self.is_idle() {
            true => std::mem::take(&mut self.waiting),
            false => Vec::new(),
        }
    }
}

/// A job in the queue.
pub(super) struct Queued {
    pub(super) id: u64,
    /// Its name, or its place.
    pub(super) what: String,
    /// Called with the kernel's id of the thread.
    pub(super) run: Box<dyn FnOnce(u64) + Send>,
}

struct Running {
    id: u64,
    what: String,
}

impl Pool {
    pub(super) fn new(threads: String, name: &str, limit: usize) -> Arc<Self> {
        let name = names::intern(name);
        Arc::new(Self {
            threads,
            name,
            limit,
            stats: PoolStats::enlist(name, limit),
            forks: os::forks(),
            inner: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No job runs under the lock, so a poisoned one is consistent.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// States how it stands, while the lock is held.
    fn tell(&self, inner: &Inner) {
        let (busy, queued) = (inner.running.len(), inner.queue.len());
        self.stats.tell(inner.threads, busy, queued);
    }

    /// Whether a job would be taken.
    pub(super) fn is_open(&self) -> bool {
        // The lock is asked last: in the child of a fork it may be held by nobody who is there.
        self.forks == os::forks() && !self.lock().shut
    }

    /// Queues a job, if the pool is open.
    pub(super) fn submit(self: &Arc<Self>, job: Queued) -> Result<(), ExecutorShutDown> {
        let mut inner = self.lock();
        if inner.shut {
            // Dropped without the lock, since it is the app's.
            drop(inner);
            drop(job);
            return Err(ExecutorShutDown);
        }
        inner.queue.push_back(job);
        let mut more = false;
        if inner.idle >= inner.queue.len() {
            self.work.notify_one();
        } else if inner.threads < self.limit {
            inner.threads += 1;
            more = true;
        }
        self.tell(&inner);
        drop(inner);
        if more {
            self.start_thread();
        }
        Ok(())
    }

    fn start_thread(self: &Arc<Self>) {
        let pool = self.clone();
        let made = std::thread::Builder::new()
            .name(self.threads.clone())
            .spawn(move || pool.serve());
        if let Err(error) = made {
            let mut inner = self.lock();
            inner.threads -= 1;
            self.tell(&inner);
            tracing::warn!(
                %error,
                waiting = inner.queue.len(),
                threads = inner.threads,
                "no thread for the executor; jobs wait for one that is there, or for the next submission"
            );
        }
    }

    /// What a thread does until it has been idle for long, or the shutdown.
    fn serve(&self) {
        let thread = thread_id();
        // But for the time of a job, which is the app's.
        let mut ours = Some(os::ours::Ours::enter());
        let mut inner = self.lock();
        loop {
            if let Some(job) = inner.queue.pop_front() {
                inner.running.push(Running {
                    id: job.id,
                    what: job.what,
                });
                self.tell(&inner);
                drop(inner);
                drop(ours.take());
                (job.run)(thread);
                ours = Some(os::ours::Ours::enter());
                inner = self.lock();
                inner.running.retain(|running| running.id != job.id);
                self.stats.finished();
                inner = self.ended(inner);
                continue;
            }
            if inner.shut {
                break;
            }
            inner.idle += 1;
            let (woken, waited) = self
                .work
                .wait_timeout(inner, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            inner = woken;
            inner.idle -= 1;
            if waited.timed_out() && inner.queue.is_empty() {
                break;
            }
        }
        inner.threads -= 1;
        self.tell(&inner);
    }

    /// Tells whoever waits that a job is over.
    fn ended<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.tell(&inner);
        self.ended.notify_all();
        let wakers = inner.heard();
        if wakers.is_empty() {
            return inner;
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        self.lock()
    }

    /// Takes no more jobs; those that wait still run. Returns at once.
    pub(super) fn close(&self) {
        if self.forks != os::forks() {
            return;
        }
        self.lock().shut = true;
        self.work.notify_all();
    }

    /// Drops what waits for a thread.
    pub(super) fn drop_queue(&self) {
        if self.forks != os::forks() {
            return;
        }
        let mut inner = self.lock();
        let waiting = std::mem::take(&mut inner.queue);
        drop(self.ended(inner));
        drop(waiting);
    }

    /// Takes a job that has not begun out of the queue and drops it. False if it runs already or is
    /// over.
    pub(super) fn withdraw(&self, id: u64) -> bool {
        if self.forks != os::forks() {
            return false;
        }
        let mut inner = self.lock();
        let Some(at) = inner.queue.iter().position(|queued| queued.id == id) else {
            return false;
        };
        let queued = inner.queue.remove(at);
        // The last one may have been what a shutdown waits for.
        drop(self.ended(inner));
        drop(queued);
        true
    }

    /// Jobs that wait for a thread, and jobs that run.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.queue.len(), inner.running.len())
    }

    /// Blocks the thread until no job waits or runs.
    ///
    /// Errors: `until` has come, and these still do.
    pub(super) fn wait_idle(&self, until: Option<Instant>) -> Result<(), StuckJobs> {
        if self.forks != os::forks() {
            return Ok(());
        }
        let mut inner = self.lock();
        while !inner.is_idle() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            inner = match left {
                None => self
                    .ended
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    drop(inner);
                    return Err(self.stuck());
                }
                Some(left) => {
                    self.ended
                        .wait_timeout(inner, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        Ok(())
    }

    /// Ready once no job waits or runs; else gives a job that does.
    pub(crate) fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.is_idle() {
            return Poll::Ready(());
        }
        if !inner
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            inner.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The id of a job that runs or waits; 0 for none.
    pub(crate) fn some_job(&self) -> u64 {
        let inner = self.lock();
        let running = inner.running.first().map(|job| job.id);
        running
            .or_else(|| inner.queue.front().map(|job| job.id))
            .unwrap_or(0)
    }

    /// What waits and runs, by name.
    pub(crate) fn stuck(&self) -> StuckJobs {
        let inner = self.lock();
        let running = inner.running.iter().map(|job| job.what.clone());
        let queued = inner.queue.iter().map(|job| job.what.clone());
        StuckJobs {
            jobs: running.chain(queued).collect(),
        }
    }
}

/// The kernel's id of the calling thread; 0 where it has none to tell.
fn thread_id() -> u64 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_nonzero().get() as u64;
    #[cfg(not(target_os = "linux"))]
    0
}
