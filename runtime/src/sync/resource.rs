//! A thing's row in the table of resources, from its making to its drop. Knows no kind of thing.

use std::cell::OnceCell;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::context::{self, Organs};
use crate::record::names::{self, NameId};
use crate::record::resource::{Kind, ResourceRow};
use crate::record::task::{On, WaitingOn};
use crate::record::{self, current};

/// In place of a slot where the table was full.
const NONE: u32 = u32::MAX;

/// The row of one resource. Kept in the thing's `LoopBound`, so it is touched on its loop only.
pub(crate) struct Resource {
    slot: u32,
    id: NonZeroU64,
}

impl Resource {
    /// A row for a thing that the running task makes at `place`; an empty name is none.
    pub(crate) fn new(
        organs: &Organs,
        kind: Kind,
        name: &str,
        place: &'static Location<'static>,
    ) -> Self {
        let (task, now) = organs.record.polled();
        Self::of(organs, kind, names::intern(name), (task, now, place))
    }

    /// The same, of a thing that was made before: by whom, when and where.
    fn of(organs: &Organs, kind: Kind, name: NameId, made: Made) -> Self {
        let id = organs.owner.ids.next();
        let slot = match organs.record.resources.take(&organs.owner.resources) {
            Some((slot, row)) => {
                let (task, at, place) = made;
                row.made(id, kind, task, at, place);
                if name != NameId::NONE {
                    row.name.store(name.raw(), Ordering::Relaxed);
                }
                slot
            }
            None => {
                let unrecorded = &organs.record.stats.unrecorded;
                unrecorded.fetch_add(1, Ordering::Relaxed);
                NONE
            }
        };
        let id = NonZeroU64::new(id).expect("ids begin at 1");
        Self { slot, id }
    }

    /// Names it. Names are kept for ever.
    pub(crate) fn name(&self, name: &str) {
        self.state(|row| row.name.store(names::intern(name).raw(), Ordering::Relaxed));
    }

    /// What a task that waits for it states.
    #[inline]
    pub(crate) fn on(&self) -> WaitingOn {
        WaitingOn::new(On::Resource, self.id.get())
    }

    /// States something in the row. On the resource's own loop.
    #[inline]
    pub(crate) fn state(&self, facts: impl FnOnce(&ResourceRow)) {
        // Where the table was full, no row has that slot.
        current::here(|record| record.resources.get(self.slot).map(facts));
    }

    /// States that the running task has it, for itself alone: since now, or since it was granted.
    /// `at` is where it was taken; `waited` says that taking it could have meant to wait.
    #[inline]
    pub(crate) fn taken_by_current(&self, at: &'static Location<'static>, waited: bool) {
        current::here(|record| {
            if let Some(row) = record.resources.get(self.slot) {
                record::count(&row.uses);
                let (task, now) = record.polled();
                let since = match row.held_since.load(Ordering::Relaxed) {
                    0 => now,
                    granted => granted,
                };
                row.held(task, since);
                row.taken_at.set(at);
                record.orders.taken(record, (self.slot, row), waited);
            }
        });
    }

    /// States that it was granted to who waits, and is that task's since now.
    pub(crate) fn granted_to(&self, task: u64) {
        current::here(|record| {
            if let Some(row) = record.resources.get(self.slot) {
                row.held(task, record.edge());
            }
        });
    }

    /// States that who had it gave it up.
    #[inline]
    pub(crate) fn given_up(&self) {
        current::here(|record| {
            if let Some(row) = record.resources.get(self.slot) {
                record.orders.given_up(record, (self.slot, row));
                row.held(0, 0);
            }
        });
    }

    /// States that its guard may leave the task that took it.
    pub(crate) fn may_move(&self) {
        current::here(|record| {
            if let Some(row) = record.resources.get(self.slot) {
                record.orders.given_up(record, (self.slot, row));
                row.may_move();
            }
        });
    }

    /// States that the running task has `count` permits more, those in the places `slots` by name.
    #[inline]
    pub(crate) fn permits_taken(&self, count: usize, slots: u8) {
        self.state(|row| {
            let out = row.out.load(Ordering::Relaxed);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            row.out.store(out.saturating_add(count), Ordering::Relaxed);
            let task = record::current_task();
            each(slots, |at| row.permits[at].store(task, Ordering::Relaxed));
        });
    }

    /// States that `count` permits came back, or that nobody will bring them back.
    #[inline]
    pub(crate) fn permits_given_up(&self, count: usize, slots: u8) {
        self.state(|row| {
            let out = row.out.load(Ordering::Relaxed);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            row.out.store(out.saturating_sub(count), Ordering::Relaxed);
            each(slots, |at| row.permits[at].store(0, Ordering::Relaxed));
        });
    }

    /// States that the permits in these places may be any task's from now on.
    pub(crate) fn permits_may_move(&self, slots: u8) {
        self.state(|row| each(slots, |at| row.permits[at].store(0, Ordering::Relaxed)));
    }

    /// States who waits: the first of how many.
    #[inline]
    pub(crate) fn waited_for(&self, first: u64, waiters: usize) {
        self.state(|row| {
            row.waiter.store(first, Ordering::Relaxed);
            let waiters = u32::try_from(waiters).unwrap_or(u32::MAX);
            row.waiters.store(waiters, Ordering::Relaxed);
        });
    }

    /// States that it was used once more: taken, set, put to.
    #[inline]
    pub(crate) fn used(&self) {
        self.state(|row| record::count(&row.uses));
    }

    /// As `used`, with how much is left.
    #[inline]
    pub(crate) fn taken(&self, level: usize) {
        self.state(|row| {
            record::count(&row.uses);
            let level = u32::try_from(level).unwrap_or(u32::MAX);
            row.level.store(level, Ordering::Relaxed);
        });
    }

    /// States that a use has to wait, and what whoever could end that has a handle on.
    pub(crate) fn had_to_wait<T>(&self, shared: &Arc<T>) {
        self.state(|row| record::count(&row.contended));
        self.kept_in(shared);
    }

    /// States what whoever could end a wait has a handle on.
    #[inline]
    pub(crate) fn kept_in<T>(&self, shared: &Arc<T>) {
        let handle = !word_of(shared);
        self.state(|row| row.handle.store(handle, Ordering::Relaxed));
    }

    /// States the most that `level` can be; 0 for no bound.
    pub(crate) fn capacity(&self, capacity: usize) {
        self.state(|row| {
            let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
            row.capacity.store(capacity, Ordering::Relaxed);
        });
    }

    /// States a bit of `record::resource::state`.
    pub(crate) fn mark(&self, bit: u8, on: bool) {
        self.state(|row| {
            let bits = row.state.load(Ordering::Relaxed) & !bit;
            row.state
                .store(if on { bits | bit } else { bits }, Ordering::Relaxed);
        });
    }

    /// States how much there is: items, permits, arrivals.
    #[inline]
    pub(crate) fn level(&self, level: usize) {
        self.state(|row| {
            let level = u32::try_from(level).unwrap_or(u32::MAX);
            row.level.store(level, Ordering::Relaxed);
        });
    }
}

/// What a handle is in memory: the address of its counts, which lie before what is shared.
fn word_of<T>(shared: &Arc<T>) -> u64 {
    let counts = (2 * size_of::<usize>()).next_multiple_of(align_of::<T>());
    (Arc::as_ptr(shared) as usize - counts) as u64
}

/// Calls `state` with the number of each bit that is set.
#[inline]
fn each(mut bits: u8, mut state: impl FnMut(usize)) {
    while bits != 0 {
        state(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// The task, the tick and the place of a making.
type Made = (u64, u64, &'static Location<'static>);

/// The row of a thing that most often nobody waits for: it is made when somebody does.
pub(crate) struct RowOnDemand {
    row: OnceCell<Resource>,
    kind: Kind,
    name: NameId,
    made: Made,
}

impl RowOnDemand {
    /// As `Resource::new`, without a row yet.
    #[inline]
    pub(crate) fn new(
        organs: &Organs,
        kind: Kind,
        name: &str,
        place: &'static Location<'static>,
    ) -> Self {
        let (task, now) = organs.record.polled();
        let name = match name {
            "" => NameId::NONE,
            name => names::intern(name),
        };
        Self {
            row: OnceCell::new(),
            kind,
            name,
            made: (task, now, place),
        }
    }

    /// The row, for somebody who waits.
    #[inline]
    pub(crate) fn demand(&self) -> &Resource {
        self.row.get_or_init(|| {
            context::expect(|organs| Resource::of(organs, self.kind, self.name, self.made))
        })
    }

    /// The row, if somebody ever waited.
    #[inline]
    pub(crate) fn get(&self) -> Option<&Resource> {
        self.row.get()
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        if self.slot == NONE {
            return;
        }
        // No loop: it is closed, and its tables are read-only history. Another one: its rows have
        // other ids.
        let _ = context::with(|organs| {
            if let Some(row) = organs.record.resources.get(self.slot)
                && row.resource_id() == self.id.get()
            {
                row.vacate();
                organs
                    .record
                    .resources
                    .give_back(&organs.owner.resources, self.slot);
            }
        });
    }
}
