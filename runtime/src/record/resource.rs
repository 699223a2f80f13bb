//! The row of a thing that tasks wait for and that is neither timer nor I/O: a future, a lock, a
//! queue. Says who made it, who holds it and how many wait.

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::names::NameId;
use super::place::PlaceCell;
use super::slab::{self, Row};

/// What a resource is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Future = 0,
    Lock = 1,
    Event = 2,
    Condition = 3,
    Semaphore = 4,
    Barrier = 5,
    Queue = 6,
    Channel = 7,
    Group = 8,
}

impl Kind {
    fn from_raw(raw: u8) -> Self {
        use Kind::{Barrier, Channel, Condition, Event, Future, Group, Lock, Queue, Semaphore};
        [
            Future, Lock, Event, Condition, Semaphore, Barrier, Queue, Channel,
        ]
        .get(raw as usize)
        .copied()
        .unwrap_or(Group)
    }
}

/// Bits of `ResourceRow::state`.
pub(crate) mod state {
    /// A future has its result, an event is set, a queue is shut down, a channel is closed.
    pub(crate) const SET: u8 = 1;
    /// The promise was dropped without a result; a barrier is broken.
    pub(crate) const BROKEN: u8 = 2;
    /// Permits of a semaphore came or went by hand: forgotten, or added by a call.
    pub(crate) const BY_HAND: u8 = 4;
}

/// In `ResourceRow::holder`: its guard may have been moved into another task since.
pub(crate) const MOVED: u64 = 1 << 63;

/// Permits of a semaphore whose holders its row can name.
pub(crate) const LISTED: usize = 8;

#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct ResourceRow {
    // Line 1: what changes with each use.
    id: AtomicU64,
    /// The task that holds it, for a lock, with `MOVED` if its guard can leave it; 0 for none.
    holder: AtomicU64,
    /// Since when it is held, ticks; 0 while it is not.
    pub(crate) held_since: AtomicU64,
    /// Where its holder took it.
    pub(crate) taken_at: PlaceCell,
    /// How often it was taken, set, put to or sent to.
    pub(crate) uses: AtomicU64,
    /// The slot, plus 1, of the lock that is next in the list of held ones: `record::order` says.
    pub(crate) next_held: AtomicU32,
    /// Items in a queue, permits of a semaphore, arrivals at a barrier.
    pub(crate) level: AtomicU32,
    /// Permits that somebody has and gives back by dropping them.
    pub(crate) out: AtomicU32,
    /// Bits of `state`.
    pub(crate) state: AtomicU8,
    pub(crate) kind: AtomicU8,

    // Line 2: what changes when somebody waits, and the facts of the making.
    /// The first task that waits; 0 for none, or where it is no task of this loop. All waits for
    /// anything but a future have wait rows.
    pub(crate) waiter: AtomicU64,
    /// How many uses had to wait.
    pub(crate) contended: AtomicU64,
    pub(crate) waiters: AtomicU32,
    /// The task that made it.
    pub(crate) owner: AtomicU64,
    /// Ticks.
    pub(crate) since: AtomicU64,
    pub(crate) place: PlaceCell,
    /// The most that `level` can be; 0 for no bound.
    pub(crate) capacity: AtomicU32,
    pub(crate) name: AtomicU32,
    /// What a handle on it is in memory, each bit turned over so that this row does not look like
    /// one; 0 until somebody waited.
    pub(crate) handle: AtomicU64,

    // Line 3: of semaphores.
    /// Whose the permits are that are out, one each; 0 for none, or not known.
    pub(crate) permits: [AtomicU64; LISTED],
}

const _: () = assert!(size_of::<ResourceRow>() == 192);

impl Row for ResourceRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A copy of one row.
#[derive(Clone, Debug)]
pub(crate) struct ResourceFacts {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) owner: u64,
    pub(crate) holder: u64,
    /// Its guard may have been moved into another task since.
    pub(crate) moved: bool,
    /// Ticks; 0: not held.
    pub(crate) held_since: u64,
    /// Where its holder took it; only while it is held.
    pub(crate) taken_at: Option<&'static Location<'static>>,
    /// Permits that are out, and whose those are that the row can name; 0 for not known.
    pub(crate) out: u32,
    pub(crate) permits: [u64; LISTED],
    pub(crate) waiter: u64,
    /// As in the row.
    pub(crate) handle: u64,
    /// When it was made, ticks.
    pub(crate) since: u64,
    pub(crate) uses: u64,
    pub(crate) contended: u64,
    pub(crate) waiters: u32,
    pub(crate) level: u32,
    pub(crate) capacity: u32,
    pub(crate) name: NameId,
    pub(crate) state: u8,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl ResourceRow {
    /// Fills a vacant row and publishes it; `now` in ticks.
    pub(crate) fn made(
        &self,
        id: u64,
        kind: Kind,
        owner: u64,
        now: u64,
        place: &'static Location<'static>,
    ) {
        let relaxed = Ordering::Relaxed;
        slab::vacate(&self.id);
        self.owner.store(owner, relaxed);
        self.holder.store(0, relaxed);
        self.held_since.store(0, relaxed);
        self.taken_at.clear();
        self.next_held.store(0, relaxed);
        self.out.store(0, relaxed);
        if kind == Kind::Semaphore {
            for permit in &self.permits {
                permit.store(0, relaxed);
            }
        }
        self.uses.store(0, relaxed);
        self.contended.store(0, relaxed);
        self.capacity.store(0, relaxed);
        self.waiter.store(0, relaxed);
        self.handle.store(0, relaxed);
        self.since.store(now, relaxed);
        self.waiters.store(0, relaxed);
        self.level.store(0, relaxed);
        self.name.store(0, relaxed);
        self.kind.store(kind as u8, relaxed);
        self.state.store(0, relaxed);
        self.place.set(place);
        self.id.store(id, Ordering::Release);
    }

    /// The row's identity on its own loop's thread.
    pub(crate) fn resource_id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    /// The task that holds it; 0 for none.
    #[inline]
    pub(crate) fn holder(&self) -> u64 {
        self.holder.load(Ordering::Relaxed) & !MOVED
    }

    /// The guard that `holder` has may be moved into another task from now on.
    pub(crate) fn may_move(&self) {
        self.holder.store(self.holder() | MOVED, Ordering::Relaxed);
    }

    /// Whether its guard may be anywhere.
    #[inline]
    pub(crate) fn moved(&self) -> bool {
        self.holder.load(Ordering::Relaxed) & MOVED != 0
    }

    /// It is `task`'s from tick `since` on; both 0: nobody's.
    #[inline]
    pub(crate) fn held(&self, task: u64, since: u64) {
        self.holder.store(task, Ordering::Relaxed);
        self.held_since.store(since, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Option<ResourceFacts> {
        let relaxed = Ordering::Relaxed;
        slab::consistent(&self.id, |id| ResourceFacts {
            id,
            kind: Kind::from_raw(self.kind.load(relaxed)),
            owner: self.owner.load(relaxed),
            holder: self.holder(),
            moved: self.moved(),
            held_since: self.held_since.load(relaxed),
            taken_at: self
                .taken_at
                .get()
                .filter(|_| self.held_since.load(relaxed) != 0),
            out: self.out.load(relaxed),
            permits: std::array::from_fn(|at| self.permits[at].load(relaxed)),
            uses: self.uses.load(relaxed),
            contended: self.contended.load(relaxed),
            capacity: self.capacity.load(relaxed),
            waiter: self.waiter.load(relaxed),
            handle: self.handle.load(relaxed),
            since: self.since.load(relaxed),
            waiters: self.waiters.load(relaxed),
            level: self.level.load(relaxed),
            name: NameId::from_raw(self.name.load(relaxed)),
            state: self.state.load(relaxed),
            place: self.place.get(),
        })
    }
}
