//! How busy each task was lately: one value a slot of time over the last minute, kept only while
//! somebody looks. Knows no viewer.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::tables::{Look, Moment};
use crate::id::LoopId;

/// What the slots add up to.
const WINDOW_NS: u64 = 60_000_000_000;
/// Up to so many tasks the slots are a second long; beyond, memory counts and they are four.
const FINE: u32 = 65_536;

/// Turns that come late by more slots than this leave a hole: what was before it is forgotten, so that
/// no share and no strip is of a time in which nobody looked.
const LATE: u32 = 4;

/// One loop's tasks, by their slot in the table.
#[derive(Default)]
struct Cells {
    ids: Vec<u64>,
    /// Busy ticks of the task when the slot that fills began.
    bases: Vec<u64>,
    /// The slot of time in which the task was first seen.
    first: Vec<u32>,
    /// Nanoseconds; as many in a row as there are slots of time.
    values: Vec<u32>,
}

/// The slots of all tasks.
pub(crate) struct Strips {
    slot_ns: u64,
    slots: usize,
    /// When keeping began, and the slot that fills now, counted from then.
    start: u64,
    current: u32,
    loops: HashMap<LoopId, Cells>,
}

/// One task's slots.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Strip {
    pub(crate) slot_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) values: Vec<u64>,
}

impl Strips {
    /// Whether there are few tasks, so that a second's slots of all take little room.
    pub(crate) fn are_cheap(look: &Look) -> bool {
        let slots = look.loops.iter().map(|at| at.record.tasks.slots());
        slots.sum::<u32>() <= FINE
    }

    /// Begins to keep: what tasks did before is not known.
    pub(crate) fn begin(look: &Look) -> Self {
        let slot_ns = if Self::are_cheap(look) {
            1_000_000_000
        } else {
            4_000_000_000
        };
        let mut strips = Self {
            slot_ns,
            slots: (WINDOW_NS / slot_ns) as usize,
            start: look.now.mono,
            current: 0,
            loops: HashMap::new(),
        };
        strips.visit(look, |_, _, _| {});
        strips
    }

    /// When the slot that fills now ends: call `turn` then.
    pub(crate) fn due(&self) -> u64 {
        self.start + (u64::from(self.current) + 1) * self.slot_ns
    }

    /// Closes the slots that are over. Walks all tasks.
    pub(crate) fn turn(&mut self, look: &Look) {
        if look.now.mono < self.due() {
            return;
        }
        let (open, slots) = (self.current, self.slots);
        let next = ((look.now.mono - self.start) / self.slot_ns) as u32;
        let passed = next - open;
        self.current = next;
        self.visit(look, |cells, slot, busy_ns| {
            if passed > LATE {
                cells.first[slot] = next;
            }
            // For want of a turn nobody knows in which of a few slots it was.
            let each = busy_ns / u64::from(passed);
            let each = u32::try_from(each).unwrap_or(u32::MAX);
            for at in next - passed.min(slots as u32)..next {
                cells.values[slot * slots + at as usize % slots] = each;
            }
            cells.values[slot * slots + next as usize % slots] = 0;
        });
    }

    /// Meets every task with the busy time since its slot began, and begins the next.
    fn visit(&mut self, look: &Look, mut close: impl FnMut(&mut Cells, usize, u64)) {
        let (current, slots) = (self.current, self.slots);
        self.loops
            .retain(|id, _| look.loops.iter().any(|at| at.record.id == *id));
        for at in &look.loops {
            let cells = self.loops.entry(at.record.id).or_default();
            let rows = at.record.tasks.slots() as usize;
            cells.ids.resize(rows, 0);
            cells.bases.resize(rows, 0);
            cells.first.resize(rows, 0);
            cells.values.resize(rows * slots, 0);
            for (slot, row) in at.record.tasks.live() {
                let slot = slot as usize;
                let id = row.task_id();
                let busy = row.busy.load(Ordering::Relaxed);
                if cells.ids[slot] == id {
                    let spent = look.now.ns(busy.saturating_sub(cells.bases[slot]));
                    close(cells, slot, spent);
                } else {
                    cells.ids[slot] = id;
                    cells.first[slot] = current;
                    cells.values[slot * slots..(slot + 1) * slots].fill(0);
                }
                cells.bases[slot] = busy;
            }
        }
    }

    /// The slots of the task `id`, whose busy ticks are `busy` now. `None`: not met yet.
    pub(crate) fn of(
        &self,
        of: LoopId,
        slot: u32,
        id: u64,
        busy: u64,
        now: &Moment,
    ) -> Option<Strip> {
        let (cells, slot) = (self.loops.get(&of)?, slot as usize);
        if cells.ids.get(slot) != Some(&id) {
            return None;
        }
        let known = (self.current - cells.first[slot]).min(self.slots as u32 - 1);
        let row = slot * self.slots;
        let past = (self.current - known..self.current)
            .map(|at| cells.values[row + at as usize % self.slots].into());
        let filling = now.ns(busy.saturating_sub(cells.bases[slot]));
        Some(Strip {
            slot_ns: self.slot_ns,
            end_ns: self.due(),
            values: past.chain([filling]).collect(),
        })
    }

    /// The share of the window that the task was busy, from 0 to 1. `None`: not met yet.
    #[inline]
    pub(crate) fn share(
        &self,
        of: LoopId,
        slot: u32,
        id: u64,
        busy: u64,
        now: &Moment,
    ) -> Option<f64> {
        let (cells, slot) = (self.loops.get(&of)?, slot as usize);
        if cells.ids.get(slot) != Some(&id) {
            return None;
        }
        let known = (self.current - cells.first[slot]).min(self.slots as u32 - 1);
        let row = slot * self.slots;
        let past: u64 = (self.current - known..self.current)
            .map(|at| u64::from(cells.values[row + at as usize % self.slots]))
            .sum();
        let sum = past + now.ns(busy.saturating_sub(cells.bases[slot]));
        let filling = now
            .mono
            .saturating_sub(self.due() - self.slot_ns)
            .min(self.slot_ns);
        let covered = u64::from(known) * self.slot_ns + filling;
        (covered > 0).then(|| (sum as f64 / covered as f64).min(1.0))
    }

    pub(crate) fn bytes(&self) -> usize {
        let of = |cells: &Cells| cells.ids.len() * (8 + 8 + 4 + 4 * self.slots);
        self.loops.values().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inspect::tables::LoopLook;
    use crate::record::names::NameId;
    use crate::record::task::{Birth, Kind, TaskRow};
    use crate::record::{LoopRecord, Owner};

    const SECOND: u64 = 1_000_000_000;

    fn look(record: &Arc<LoopRecord>, mono: u64) -> Look {
        let mut look = Look::of(vec![LoopLook::new(record.clone())], false);
        look.now.mono = mono;
        look
    }

    fn born<'a>(record: &'a LoopRecord, owner: &Owner, id: u64) -> (u32, &'a TaskRow) {
        let (slot, row) = record.tasks.take(&owner.tasks).unwrap();
        row.spawned(&Birth {
            id,
            kind: Kind::Task,
            parent: 0,
            at: 0,
            site: 0,
            name: NameId::NONE,
            number: 0,
            loop_id: record.id.get(),
            flags: 0,
        });
        (slot, row)
    }

    #[test]
    fn a_share_is_of_the_time_since_keeping_began_and_of_a_minute_at_most() {
        crate::clock::anchor();
        let record = LoopRecord::new("l", false, std::panic::Location::caller());
        let owner = Owner::default();
        let (slot, row) = born(&record, &owner, 7);
        // What it did before anybody looked does not count.
        row.busy.store(1 << 40, Ordering::Relaxed);
        let mut now = SECOND;
        let mut strips = Strips::begin(&look(&record, now));
        let half = crate::clock::ns_to_ticks(std::time::Duration::from_millis(500));
        let share = |strips: &Strips, now: u64| {
            let busy = row.busy.load(Ordering::Relaxed);
            let look = look(&record, now);
            strips.share(record.id, slot, 7, busy, &look.now)
        };
        for _ in 0..10 {
            row.busy.fetch_add(half, Ordering::Relaxed);
            now += SECOND;
            strips.turn(&look(&record, now));
        }
        let after_ten = share(&strips, now).unwrap();
        assert!((after_ten - 0.5).abs() < 0.02, "{after_ten}");
        for _ in 0..60 {
            now += SECOND;
            strips.turn(&look(&record, now));
        }
        assert_eq!(
            share(&strips, now),
            Some(0.0),
            "the busy ten seconds are over"
        );
        let kept = strips.of(record.id, slot, 7, 1 << 40, &look(&record, now).now);
        assert_eq!(kept.unwrap().values.len(), 60);
    }

    #[test]
    fn a_late_turn_spreads_what_it_missed_and_a_very_late_one_begins_anew() {
        crate::clock::anchor();
        let record = LoopRecord::new("l", false, std::panic::Location::caller());
        let owner = Owner::default();
        let (slot, row) = born(&record, &owner, 7);
        let mut now = SECOND;
        let mut strips = Strips::begin(&look(&record, now));
        let kept = |strips: &Strips, now: u64| {
            let busy = row.busy.load(Ordering::Relaxed);
            let look = look(&record, now);
            let strip = strips.of(record.id, slot, 7, busy, &look.now).unwrap();
            (
                strip.values,
                strips.share(record.id, slot, 7, busy, &look.now),
            )
        };
        let second = crate::clock::ns_to_ticks(std::time::Duration::from_secs(1));
        now += 3 * SECOND;
        row.busy.fetch_add(second, Ordering::Relaxed);
        strips.turn(&look(&record, now));
        let (values, share) = kept(&strips, now);
        assert_eq!(
            values.len(),
            4,
            "three that are over, and the one that fills"
        );
        assert!(
            values[..3]
                .iter()
                .all(|value| value.abs_diff(SECOND / 3) < SECOND / 100)
        );
        assert!((share.unwrap() - 1.0 / 3.0).abs() < 0.01);
        // The inspector stood still for a quarter of a minute, in which the task was busy all the time.
        now += 15 * SECOND;
        row.busy.fetch_add(15 * second, Ordering::Relaxed);
        strips.turn(&look(&record, now));
        assert_eq!(
            kept(&strips, now),
            (vec![0], None),
            "nothing is known of any slot"
        );
        now += SECOND;
        strips.turn(&look(&record, now));
        assert_eq!(
            kept(&strips, now),
            (vec![0, 0], Some(0.0)),
            "since then it did nothing"
        );
    }

    #[test]
    fn a_slot_that_has_a_new_task_forgets_the_old_one() {
        let record = LoopRecord::new("l", false, std::panic::Location::caller());
        let owner = Owner::default();
        let (slot, row) = born(&record, &owner, 7);
        let mut strips = Strips::begin(&look(&record, SECOND));
        row.vacate();
        record.tasks.give_back(&owner.tasks, slot);
        assert_eq!(born(&record, &owner, 8).0, slot);
        let now = look(&record, 2 * SECOND);
        assert_eq!(strips.share(record.id, slot, 8, 0, &now.now), None);
        strips.turn(&now);
        let later = look(&record, 3 * SECOND);
        assert_eq!(strips.share(record.id, slot, 7, 0, &later.now), None);
        assert_eq!(strips.share(record.id, slot, 8, 0, &later.now), Some(0.0));
    }
}
