//! Threads for calls that block: `run_in_executor`, and name lookups on a lane of their own.
//!
//! Threads are made when a job finds none idle, up to the lane's limit, and end after a while
//! without one. Every job has a row, from its submission until its result is back on the loop.
//! Knows of the loop only a way to send it an errand; nothing of tasks.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::record::bound::Errand;
use crate::record::job::JobRow;
use crate::record::names::{self, NameId};
use crate::record::{self, LoopRecord, Owner};

mod job;

pub(crate) use job::Job;

/// An idle thread ends after this long.
const IDLE: Duration = Duration::from_secs(10);
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
pub(crate) struct StuckJobs {
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
    lanes: [LaneState; 2],
    /// Slots of rows that are vacant and not given back yet, which is for the loop's thread.
    vacant: Mutex<Vec<u32>>,
}

struct LaneState {
    limit: usize,
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
}

struct Queued {
    id: u64,
    row: Option<u32>,
    what: String,
    run: Box<dyn FnOnce() + Send>,
}

struct Running {
    id: u64,
    what: String,
}

/// The executor of one loop.
pub(crate) struct Blocking {
    shared: Arc<Shared>,
    owner: Rc<Owner>,
}

impl LaneState {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            inner: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No job runs under the lock, so a poisoned one is consistent.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocking {
    /// An executor without threads yet. `home` carries errands to the loop, from any thread, and
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
        Self {
            shared: Arc::new(Shared {
                record,
                home,
                lanes: [LaneState::new(general), LaneState::new(lookup)],
                vacant: Mutex::default(),
            }),
            owner,
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
        let state = &self.shared.lanes[lane as usize];
        if state.lock().shut {
            return Err(ExecutorShutDown);
        }
        let id = self.owner.ids.next();
        let row = self.row(id, names::intern(name), place);
        let what = if name.is_empty() {
            place.to_string()
        } else {
            name.to_owned()
        };
        let (job, work) = job::pair(&self.shared, lane, id, row, run);
        let mut inner = state.lock();
        inner.queue.push_back(Queued {
            id,
            row,
            what,
            run: work,
        });
        if inner.idle >= inner.queue.len() {
            state.work.notify_one();
        } else if inner.threads < state.limit {
            inner.threads += 1;
            drop(inner);
            self.start_thread(lane);
        }
        Ok(job)
    }

    fn row(&self, id: u64, name: NameId, place: &'static Location<'static>) -> Option<u32> {
        let jobs = &self.shared.record.jobs;
        for slot in self.shared.vacant().drain(..) {
            jobs.give_back(&self.owner.jobs, slot);
        }
        let Some((slot, row)) = jobs.take(&self.owner.jobs) else {
            let stats = &self.shared.record.stats;
            stats.unrecorded.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        row.submitted(id, record::current_task(), clock::ticks(), name, place);
        Some(slot)
    }

    fn start_thread(&self, lane: Lane) {
        let shared = self.shared.clone();
        let name = match lane {
            Lane::General => format!("executor-{}", shared.record.id),
            Lane::Lookup => format!("lookup-{}", shared.record.id),
        };
        let made = std::thread::Builder::new()
            .name(name)
            .spawn(move || serve(&shared, lane));
        if let Err(error) = made {
            let state = &self.shared.lanes[lane as usize];
            let mut inner = state.lock();
            inner.threads -= 1;
            tracing::warn!(
                %error,
                waiting = inner.queue.len(),
                threads = inner.threads,
                "no thread for the executor; jobs wait for one that is there, or for the next submission"
            );
        }
    }

    /// No more jobs are taken; those that wait still run. Returns at once.
    pub(crate) fn close(&self) {
        for state in &self.shared.lanes {
            state.lock().shut = true;
            state.work.notify_all();
        }
    }

    /// Takes no more jobs and waits until all have ended, for at most `timeout`.
    ///
    /// Blocks the calling thread: for after the loop's last turn.
    ///
    /// Errors: the time is over and these still wait or run.
    pub(crate) fn shutdown(&self, timeout: Option<Duration>) -> Result<(), StuckJobs> {
        self.close();
        self.shared.wait_idle(timeout)
    }

    /// Whether a job waits or runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.counts() != (0, 0)
    }

    /// Jobs that wait for a thread, and jobs that run: of both lanes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.shared
            .lanes
            .iter()
            .fold((0, 0), |(queued, running), lane| {
                let inner = lane.lock();
                (queued + inner.queue.len(), running + inner.running.len())
            })
    }
}

impl Drop for Blocking {
    /// Asyncio's `shutdown(wait=False)`: what waits is dropped, what runs goes on unheard.
    fn drop(&mut self) {
        self.close();
        for state in &self.shared.lanes {
            let waiting = std::mem::take(&mut state.lock().queue);
            drop(waiting);
        }
        for (_, row) in self.shared.record.jobs.live() {
            row.vacate();
        }
    }
}

impl Shared {
    fn row(&self, slot: Option<u32>) -> Option<&JobRow> {
        self.record.jobs.get(slot?)
    }

    /// Withdraws a job that has not begun; its closure is dropped here. False if it runs already
    /// or is over.
    fn withdraw(&self, lane: Lane, id: u64) -> bool {
        let mut inner = self.lanes[lane as usize].lock();
        let Some(at) = inner.queue.iter().position(|queued| queued.id == id) else {
            return false;
        };
        let queued = inner.queue.remove(at).expect("the position was just found");
        drop(inner);
        self.release(queued.row);
        // The last one may have been what a shutdown waits for.
        self.lanes[lane as usize].ended.notify_all();
        true
    }

    /// Vacates a row: its job is over, or never began. Any thread.
    fn release(&self, slot: Option<u32>) {
        if let Some((slot, row)) = slot.zip(self.row(slot)) {
            row.vacate();
            self.vacant().push(slot);
        }
    }

    fn vacant(&self) -> MutexGuard<'_, Vec<u32>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_idle(&self, timeout: Option<Duration>) -> Result<(), StuckJobs> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        for state in &self.lanes {
            let mut inner = state.lock();
            while !(inner.queue.is_empty() && inner.running.is_empty()) {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                inner = match left {
                    None => state
                        .ended
                        .wait(inner)
                        .unwrap_or_else(PoisonError::into_inner),
                    Some(left) if left.is_zero() => {
                        drop(inner);
                        return Err(self.stuck());
                    }
                    Some(left) => {
                        state
                            .ended
                            .wait_timeout(inner, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
            }
        }
        Ok(())
    }

    fn stuck(&self) -> StuckJobs {
        let mut jobs = Vec::new();
        for state in &self.lanes {
            let inner = state.lock();
            jobs.extend(inner.running.iter().map(|job| job.what.clone()));
            jobs.extend(inner.queue.iter().map(|job| job.what.clone()));
        }
        StuckJobs { jobs }
    }
}

/// What a thread of the executor does until it has been idle for long, or the shutdown.
fn serve(shared: &Shared, lane: Lane) {
    let state = &shared.lanes[lane as usize];
    let thread = thread_id();
    let mut inner = state.lock();
    loop {
        if let Some(job) = inner.queue.pop_front() {
            inner.running.push(Running {
                id: job.id,
                what: job.what,
            });
            drop(inner);
            if let Some(row) = shared.row(job.row) {
                row.started(clock::ticks(), thread);
            }
            (job.run)();
            inner = state.lock();
            inner.running.retain(|running| running.id != job.id);
            state.ended.notify_all();
            continue;
        }
        if inner.shut {
            break;
        }
        inner.idle += 1;
        let (woken, waited) = state
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
}

/// The kernel's id of the calling thread; 0 where it has none to tell.
fn thread_id() -> u64 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_nonzero().get() as u64;
    #[cfg(not(target_os = "linux"))]
    0
}

#[cfg(test)]
mod tests;
