//! One waiting of one task for one resource, where the resource can have many waiters.
//!
//! Timers and sources name their waiters in their own rows; this is for locks, queues and futures,
//! so that all arms of a `select!` can be listed.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use super::place::PlaceCell;
use super::slab::{self, Row};
use super::task::WaitingOn;

#[derive(Default)]
pub(crate) struct WaitRow {
    id: AtomicU64,
    pub(crate) task: AtomicU64,
    on: AtomicU64,
    /// Ticks.
    pub(crate) since: AtomicU64,
    pub(crate) place: PlaceCell,
}

impl Row for WaitRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A copy of one row.
#[derive(Clone, Debug)]
pub(crate) struct WaitFacts {
    pub(crate) id: u64,
    pub(crate) task: u64,
    pub(crate) on: WaitingOn,
    pub(crate) since: u64,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl WaitRow {
    pub(crate) fn began(
        &self,
        id: u64,
        task: u64,
        on: WaitingOn,
        now: u64,
        place: &'static Location<'static>,
    ) {
        slab::vacate(&self.id);
        self.task.store(task, Ordering::Relaxed);
        self.on.store(on.0, Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
        self.place.set(place);
        self.id.store(id, Ordering::Release);
    }

    /// The future that waits was moved into another task.
    pub(crate) fn move_to(&self, task: u64) {
        self.task.store(task, Ordering::Relaxed);
    }

    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    pub(crate) fn read(&self) -> Option<WaitFacts> {
        slab::consistent(&self.id, |id| WaitFacts {
            id,
            task: self.task.load(Ordering::Relaxed),
            on: WaitingOn(self.on.load(Ordering::Relaxed)),
            since: self.since.load(Ordering::Relaxed),
            place: self.place.get(),
        })
    }
}
