//! In which order tasks take locks: for each two that a task had at once, which it took first, where
//! both were taken, and which others it had then. Knows no lock, only its row.
//!
//! ```text
//!   bucket of the task ──► the lock it took last ──► the one before ──► …     (slots, by `next_held`)
//! ```
//!
//! Tasks share the buckets by their ids, so whoever walks a list looks at the holder. Orders lie in
//! sets of four, by both locks; a full set forgets the one that was seen longest ago, and counts it.

use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::LoopRecord;
use super::names::NameId;
use super::place::PlaceCell;
use super::resource::ResourceRow;
use super::slab::{self, Row};

/// Lists of held locks.
const BUCKETS: usize = 64;
/// Sets of orders, and orders in a set.
const SETS: usize = 64;
const WAYS: usize = 4;
/// Further locks that an order names; more make it unknown.
pub(crate) const GATES: usize = 4;
/// So many locks of a list are looked at.
const MOST: usize = 64;

/// The lists of held locks, and the orders that were seen. One writer, the loop's thread.
pub(crate) struct Orders {
    held: [AtomicU32; BUCKETS],
    rows: OnceLock<Box<[OrderRow]>>,
    /// Orders that were forgotten for others, or never kept.
    forgotten: AtomicU64,
}

/// One order: `before` was held when `after` was taken.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct OrderRow {
    /// Numbers the order; 0 while the row is vacant.
    id: AtomicU64,
    before: AtomicU64,
    after: AtomicU64,
    /// The task that was first seen to take it.
    task: AtomicU64,
    /// Ticks, of the first and of the last time.
    first: AtomicU64,
    last: AtomicU64,
    times: AtomicU64,
    /// Other locks that were held each time, by id; 0 for none.
    gates: [AtomicU64; GATES],
    /// More were held than are kept here.
    more_gates: AtomicU32,
    /// Another task took it as well.
    by_others: AtomicU32,
    before_taken: PlaceCell,
    after_taken: PlaceCell,
    before_made: PlaceCell,
    after_made: PlaceCell,
    before_name: AtomicU32,
    after_name: AtomicU32,
}

impl Row for OrderRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A lock, as an order names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockFacts {
    pub(crate) id: u64,
    pub(crate) name: NameId,
    pub(crate) made: Option<&'static Location<'static>>,
    /// Where it was taken.
    pub(crate) taken: Option<&'static Location<'static>>,
}

/// A copy of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderFacts {
    pub(crate) before: LockFacts,
    pub(crate) after: LockFacts,
    pub(crate) task: u64,
    pub(crate) by_others: bool,
    pub(crate) gates: [u64; GATES],
    pub(crate) more_gates: bool,
    /// Ticks.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) times: u64,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            held: [const { AtomicU32::new(0) }; BUCKETS],
            rows: OnceLock::new(),
            forgotten: AtomicU64::new(0),
        }
    }
}

impl Orders {
    /// Makes room for orders: at the making of a lock, so that taking one allocates nothing.
    pub(crate) fn ready(&self) {
        self.rows
            .get_or_init(|| (0..SETS * WAYS).map(|_| OrderRow::default()).collect());
    }

    /// The holder of `row` has it now. `waited`: it would have waited for it.
    #[inline]
    pub(crate) fn taken(
        &self,
        record: &LoopRecord,
        (slot, row): (u32, &ResourceRow),
        waited: bool,
    ) {
        let bucket = &self.held[row.holder() as usize % BUCKETS];
        let below = bucket.load(Ordering::Relaxed);
        row.next_held.store(below, Ordering::Relaxed);
        bucket.store(slot + 1, Ordering::Relaxed);
        if below != 0 && waited {
            self.nested(record, row);
        }
    }

    /// The holder of `row` gives it up, or is not known for certain any more.
    #[inline]
    pub(crate) fn given_up(&self, record: &LoopRecord, (slot, row): (u32, &ResourceRow)) {
        let bucket = &self.held[row.holder() as usize % BUCKETS];
        if bucket.load(Ordering::Relaxed) == slot + 1 {
            bucket.store(row.next_held.load(Ordering::Relaxed), Ordering::Relaxed);
        } else if !row.moved() {
            self.take_out(record, bucket, slot, row);
        }
    }

    /// Takes a lock out of the middle of its list, if it is there.
    #[cold]
    fn take_out(&self, record: &LoopRecord, bucket: &AtomicU32, slot: u32, row: &ResourceRow) {
        let mut above = bucket.load(Ordering::Relaxed);
        for _ in 0..MOST {
            let Some(other) = above.checked_sub(1).and_then(|at| record.resources.get(at)) else {
                return;
            };
            let below = other.next_held.load(Ordering::Relaxed);
            if below == slot + 1 {
                let next = row.next_held.load(Ordering::Relaxed);
                other.next_held.store(next, Ordering::Relaxed);
                return;
            }
            above = below;
        }
        // A list that is longer than anybody looks is begun anew: its orders are missed.
        bucket.store(0, Ordering::Relaxed);
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls `take` with each other lock that the holder of `row` has, the one taken last first.
    fn below<'r>(
        record: &'r LoopRecord,
        row: &'r ResourceRow,
    ) -> impl Iterator<Item = &'r ResourceRow> {
        let task = row.holder();
        let next = |row: &ResourceRow| {
            let at = row.next_held.load(Ordering::Relaxed).checked_sub(1)?;
            record.resources.get(at)
        };
        std::iter::successors(next(row), move |row| next(row))
            .take(MOST)
            .filter(move |row| row.holder() == task && !row.moved())
    }

    #[cold]
    #[inline(never)]
    fn nested(&self, record: &LoopRecord, row: &ResourceRow) {
        // What no task does is no order.
        if row.holder() == 0 {
            return;
        }
        for before in Self::below(record, row) {
            self.seen(record, before, row);
        }
    }

    fn seen(&self, record: &LoopRecord, before: &ResourceRow, after: &ResourceRow) {
        let relaxed = Ordering::Relaxed;
        let Some(rows) = self.rows.get() else { return };
        let (first, second) = (before.resource_id(), after.resource_id());
        let hash = (first ^ second.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let set = hash as usize % SETS * WAYS;
        let set = &rows[set..set + WAYS];
        let is_it = |row: &&OrderRow| {
            row.before.load(relaxed) == first
                && row.after.load(relaxed) == second
                && row.id.load(relaxed) != 0
        };
        let now = record.edge();
        let gates = Self::below(record, after)
            .map(ResourceRow::resource_id)
            .filter(|id| *id != first);
        if let Some(row) = set.iter().find(is_it) {
            super::count(&row.times);
            row.last.store(now, relaxed);
            if row.task.load(relaxed) != after.holder() {
                row.by_others.store(1, relaxed);
            }
            if row.gates[0].load(relaxed) != 0 {
                row.keep_gates(gates);
            }
            return;
        }
        let age = |row: &&OrderRow| (row.id.load(relaxed) != 0, row.last.load(relaxed));
        let Some(row) = set.iter().min_by_key(age) else {
            return;
        };
        if row.id.load(relaxed) != 0 {
            self.forgotten.fetch_add(1, relaxed);
        }
        row.begin(first ^ second << 20 | 1, before, after, now, gates);
    }

    /// Copies of all orders that are kept. Any thread.
    pub(crate) fn read(&self) -> Vec<OrderFacts> {
        let rows = self.rows.get().map_or(&[][..], |rows| rows);
        rows.iter().filter_map(OrderRow::read).collect()
    }

    /// Orders that were forgotten for others, or never kept. Any thread.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.get().map_or(0, |rows| size_of_val(&rows[..]))
    }
}

impl OrderRow {
    fn begin(
        &self,
        id: u64,
        before: &ResourceRow,
        after: &ResourceRow,
        now: u64,
        gates: impl Iterator<Item = u64>,
    ) {
        let relaxed = Ordering::Relaxed;
        slab::vacate(&self.id);
        self.before.store(before.resource_id(), relaxed);
        self.after.store(after.resource_id(), relaxed);
        self.task.store(after.holder(), relaxed);
        self.first.store(now, relaxed);
        self.last.store(now, relaxed);
        self.times.store(1, relaxed);
        self.by_others.store(0, relaxed);
        let mut gates = gates.fuse();
        for gate in &self.gates {
            gate.store(gates.next().unwrap_or(0), relaxed);
        }
        self.more_gates
            .store(u32::from(gates.next().is_some()), relaxed);
        for (to, from) in [
            (&self.before_taken, before.taken_at.get()),
            (&self.after_taken, after.taken_at.get()),
            (&self.before_made, before.place.get()),
            (&self.after_made, after.place.get()),
        ] {
            match from {
                Some(place) => to.set(place),
                None => to.clear(),
            }
        }
        self.before_name.store(before.name.load(relaxed), relaxed);
        self.after_name.store(after.name.load(relaxed), relaxed);
        self.id.store(id, Ordering::Release);
    }

    /// Of the gates those stay that are among `now` too: what does not cover every time is none.
    fn keep_gates(&self, now: impl Iterator<Item = u64>) {
        let mut held = [0; GATES * 2];
        for (to, gate) in held.iter_mut().zip(now) {
            *to = gate;
        }
        let kept = self.gates.each_ref().map(|gate| {
            let gate = gate.load(Ordering::Relaxed);
            if held.contains(&gate) { gate } else { 0 }
        });
        let mut kept = kept.into_iter().filter(|gate| *gate != 0);
        for gate in &self.gates {
            gate.store(kept.next().unwrap_or(0), Ordering::Relaxed);
        }
    }

    fn read(&self) -> Option<OrderFacts> {
        let relaxed = Ordering::Relaxed;
        slab::consistent(&self.id, |_| OrderFacts {
            before: LockFacts {
                id: self.before.load(relaxed),
                name: NameId::from_raw(self.before_name.load(relaxed)),
                made: self.before_made.get(),
                taken: self.before_taken.get(),
            },
            after: LockFacts {
                id: self.after.load(relaxed),
                name: NameId::from_raw(self.after_name.load(relaxed)),
                made: self.after_made.get(),
                taken: self.after_taken.get(),
            },
            task: self.task.load(relaxed),
            by_others: self.by_others.load(relaxed) != 0,
            gates: self.gates.each_ref().map(|gate| gate.load(relaxed)),
            more_gates: self.more_gates.load(relaxed) != 0,
            first: self.first.load(relaxed),
            last: self.last.load(relaxed),
            times: self.times.load(relaxed),
        })
    }
}
