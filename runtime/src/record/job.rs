//! The row of an executor job: queued, running on which thread, wanted by whom.
//!
//! The loop that submits makes and frees the row; the thread that runs the job stamps it.

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::names::NameId;
use super::place::PlaceCell;
use super::slab::{self, Row};

/// How far a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    Queued = 0,
    Running = 1,
    Done = 2,
}

#[derive(Default)]
pub(crate) struct JobRow {
    id: AtomicU64,
    pub(crate) owner: AtomicU64,
    /// Ticks.
    pub(crate) submitted_at: AtomicU64,
    pub(crate) started_at: AtomicU64,
    /// The kernel's thread id while it runs.
    pub(crate) thread: AtomicU64,
    pub(crate) name: AtomicU32,
    /// The name of the pool that runs it.
    pub(crate) pool: AtomicU32,
    pub(crate) state: AtomicU8,
    /// 1 once nobody wants the result any more.
    pub(crate) cancelled: AtomicU8,
    pub(crate) place: PlaceCell,
}

impl Row for JobRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A copy of one row. Times in ticks.
#[derive(Clone, Debug)]
pub(crate) struct JobFacts {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) submitted_at: u64,
    pub(crate) started_at: u64,
    pub(crate) thread: u64,
    pub(crate) name: NameId,
    pub(crate) pool: NameId,
    pub(crate) state: State,
    pub(crate) cancelled: bool,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl JobRow {
    pub(crate) fn submitted(
        &self,
        id: u64,
        owner: u64,
        now: u64,
        [name, pool]: [NameId; 2],
        place: &'static Location<'static>,
    ) {
        let relaxed = Ordering::Relaxed;
        slab::vacate(&self.id);
        self.owner.store(owner, relaxed);
        self.submitted_at.store(now, relaxed);
        self.started_at.store(0, relaxed);
        self.thread.store(0, relaxed);
        self.name.store(name.raw(), relaxed);
        self.pool.store(pool.raw(), relaxed);
        self.state.store(State::Queued as u8, relaxed);
        self.cancelled.store(0, relaxed);
        self.place.set(place);
        self.id.store(id, Ordering::Release);
    }

    /// The executor's thread takes the job.
    pub(crate) fn started(&self, now: u64, thread: u64) {
        self.started_at.store(now, Ordering::Relaxed);
        self.thread.store(thread, Ordering::Relaxed);
        self.state.store(State::Running as u8, Ordering::Release);
    }

    /// The executor's thread is done with it; the loop has yet to hear.
    pub(crate) fn done(&self) {
        self.state.store(State::Done as u8, Ordering::Release);
    }

    /// Nobody waits for the result any more. Any thread; the row may be another job's by now.
    pub(crate) fn unwanted(&self, id: u64) {
        if self.id.load(Ordering::Acquire) == id {
            self.cancelled.store(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    pub(crate) fn read(&self) -> Option<JobFacts> {
        let relaxed = Ordering::Relaxed;
        slab::consistent(&self.id, |id| JobFacts {
            id,
            owner: self.owner.load(relaxed),
            submitted_at: self.submitted_at.load(relaxed),
            started_at: self.started_at.load(relaxed),
            thread: self.thread.load(relaxed),
            name: NameId::from_raw(self.name.load(relaxed)),
            pool: NameId::from_raw(self.pool.load(relaxed)),
            state: match self.state.load(Ordering::Acquire) {
                0 => State::Queued,
                1 => State::Running,
                _ => State::Done,
            },
            cancelled: self.cancelled.load(relaxed) != 0,
            place: self.place.get(),
        })
    }
}
