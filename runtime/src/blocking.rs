//! Threads for calls that block: `run_in_executor`, and name lookups on a lane of their own.
//!
//! Every job has a row, from its submission until its result is back on the loop. `pool` holds the
//! threads. Knows of the loop only a way to send it an errand; nothing of tasks.

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::record::bound::Errand;
use crate::record::job::JobRow;
use crate::record::names::{self, NameId};
use crate::record::{self, LoopRecord, Owner};

mod executor;
mod job;
mod pool;

pub use executor::Executor;
pub(crate) use job::Job;
pub(crate) use pool::Pool;
use pool::Queued;

/// Threads that look up names: few, since lookups wait for the network and share one resolver.
const LOOKUPS: usize = 4;

/// Which threads run a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// `min(32, cpus + 4)` threads, as asyncio's default executor.
    General,
    /// Name lookups, so that a full executor does not look like a slow network.
    Lookup,
}

/// The executor was shut down; the job was not taken and did not run.
///
/// Submit before `shutdown_default_executor`, or run the work on a thread of your own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ExecutorShutDown;

impl fmt::Display for ExecutorShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the loop's executor has been shut down and takes no more jobs; submit earlier or use \
             a thread of your own",
        )
    }
}

impl std::error::Error for ExecutorShutDown {}

/// Jobs that were still running when the time given to a shutdown was over.
///
/// A thread cannot be stopped from outside: they go on, and their results reach nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StuckJobs {
    /// Name (or, for a job without one, its place) of each, in the order of their start.
    pub jobs: Vec<String>,
}

impl fmt::Display for StuckJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} job(s) of the executor still run after the time given: {}; a thread cannot be \
             stopped from outside, so make what they call return",
            self.jobs.len(),
            self.jobs.join(", ")
        )
    }
}

impl std::error::Error for StuckJobs {}

type Home = Box<dyn Fn(Errand) -> Result<(), Errand> + Send + Sync>;

/// What the threads share with the loop.
struct Shared {
    record: Arc<LoopRecord>,
    /// Takes what a thread has for the loop.
    home: Home,
    /// Slots of rows that are vacant and not given back yet, which is for the loop's thread.
    vacant: Mutex<Vec<u32>>,
    /// Jobs whose end the loop has not heard of.
    under_way: AtomicUsize,
}

/// The executors of one loop.
pub(crate) struct Blocking {
    shared: Arc<Shared>,
    owner: Rc<Owner>,
    general: RefCell<Executor>,
    lookup: Executor,
}

impl Blocking {
    /// Executors without threads yet. `home` carries errands to the loop, from any thread, and
    /// gives them back once the loop is closed.
    pub(crate) fn new(record: Arc<LoopRecord>, owner: Rc<Owner>, home: Home) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(record, owner, home, (cpus + 4).min(32), LOOKUPS)
    }

    fn with_limits(
        record: Arc<LoopRecord>,
        owner: Rc<Owner>,
        home: Home,
        general: usize,
        lookup: usize,
    ) -> Self {
        let id = record.id;
        let named = |threads: String, name: &str, limit| {
            let executor = Executor::named(threads, name, limit);
            executor.pool.stats.belongs(id);
            executor
        };
        Self {
            shared: Arc::new(Shared {
                record,
                home,
                vacant: Mutex::default(),
                under_way: AtomicUsize::new(0),
            }),
            owner,
            general: RefCell::new(named(format!("executor-{id}"), "executor", general)),
            lookup: named(format!("lookup-{id}"), "lookup", lookup),
        }
    }

    /// Hands `run` to a thread. Its value, or its panic, is what the job resolves to.
    ///
    /// `name` may be empty; the job is called after its place then.
    ///
    /// Errors: shut down.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        lane: Lane,
        name: &str,
        place: &'static Location<'static>,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Job<T>, ExecutorShutDown> {
        let executor = match lane {
            Lane::General => self.general.borrow().clone(),
            Lane::Lookup => self.lookup.clone(),
        };
        self.submit_on(&executor, name, place, run)
    }

    /// As `submit`, to an executor of the app's.
    pub(crate) fn submit_on<T: Send + 'static>(
        &self,
        executor: &Executor,
        name: &str,
        place: &'static Location<'static>,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Job<T>, ExecutorShutDown> {
        let pool = &executor.pool;
        if !pool.is_open() {
            return Err(ExecutorShutDown);
        }
        let id = self.owner.ids.next();
        let row = self.row(id, names::intern(name), pool.name, place);
        let what = if name.is_empty() {
            place.to_string()
        } else {
            name.to_owned()
        };
        self.shared.under_way.fetch_add(1, Ordering::Relaxed);
        let (job, run) = job::pair(&self.shared, pool, id, row, run);
        // Shut down by another thread since it was asked: the job is dropped, and its row with it.
        if let Err(refused) = pool.submit(Queued { id, what, run }) {
            self.shared.release(row);
            return Err(refused);
        }
        Ok(job)
    }

    fn row(
        &self,
        id: u64,
        name: NameId,
        pool: NameId,
        place: &'static Location<'static>,
    ) -> Option<u32> {
        let jobs = &self.shared.record.jobs;
        for slot in self.shared.vacant().drain(..) {
            jobs.give_back(&self.owner.jobs, slot);
        }
        let Some((slot, row)) = jobs.take(&self.owner.jobs) else {
            let stats = &self.shared.record.stats;
            stats.unrecorded.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        row.submitted(
            id,
            record::current_task(),
            clock::ticks(),
            [name, pool],
            place,
        );
        Some(slot)
    }

    /// Has `executor` run the jobs that name none. The one before runs what it has, and ends.
    pub(crate) fn set_general(&self, executor: Executor) {
        let before = self.general.replace(executor);
        drop(before);
    }

    /// The executor of jobs that name none takes no more.
    pub(crate) fn close_general(&self) -> Arc<Pool> {
        let pool = self.general.borrow().pool.clone();
        pool.close();
        pool
    }

    /// No more jobs are taken; those that wait still run. Returns at once.
    pub(crate) fn close(&self) {
        self.close_general();
        self.lookup.pool.close();
    }

    /// Takes no more jobs and waits until all have ended, for at most `timeout`.
    ///
    /// Blocks the calling thread: for after the loop's last turn.
    ///
    /// Errors: the time is over and these still wait or run.
    pub(crate) fn shutdown(&self, timeout: Option<Duration>) -> Result<(), StuckJobs> {
        let general = self.close_general();
        let lookup = &self.lookup.pool;
        lookup.close();
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let ended = [general.wait_idle(until), lookup.wait_idle(until)];
        let jobs: Vec<_> = ended
            .into_iter()
            .filter_map(Result::err)
            .flat_map(|stuck| stuck.jobs)
            .collect();
        match jobs.is_empty() {
            true => Ok(()),
            false => Err(StuckJobs { jobs }),
        }
    }

    /// Whether the end of a job is still to be heard of.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.under_way.load(Ordering::Relaxed) > 0
    }

    /// Jobs that wait for a thread, and jobs that run: of both lanes.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let (general, lookup) = (
            self.general.borrow().pool.counts(),
            self.lookup.pool.counts(),
        );
        (general.0 + lookup.0, general.1 + lookup.1)
    }
}

impl Drop for Blocking {
    /// Asyncio's `shutdown(wait=False)`: what waits is dropped, what runs goes on unheard.
    fn drop(&mut self) {
        self.close();
        self.general.borrow().pool.drop_queue();
        self.lookup.pool.drop_queue();
        for (_, row) in self.shared.record.jobs.live() {
            row.vacate();
        }
    }
}

impl Shared {
    fn row(&self, slot: Option<u32>) -> Option<&JobRow> {
        self.record.jobs.get(slot?)
    }

    /// Vacates a row: its job is over, or never began. Any thread; once a job.
    fn release(&self, slot: Option<u32>) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        if let Some((slot, row)) = slot.zip(self.row(slot)) {
            row.vacate();
            self.vacant().push(slot);
        }
    }

    fn vacant(&self) -> MutexGuard<'_, Vec<u32>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
