//! What was: a value a second for the last minute, and a value a minute for the last hour, of each
//! loop, and what was wrong meanwhile. Kept in a fixed size, looked at or not. Knows no message and
//! no task.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::census::Census;
use super::tables::{Look, Moment};
use crate::id::LoopId;
use crate::record::LoopRecord;
use crate::record::histogram;

pub(crate) mod blocks;
pub(crate) mod findings;

use findings::Findings;

/// How far the memory reaches back, nanoseconds.
pub(crate) const HOUR: u64 = 3_600 * SECOND;
/// So often findings are looked for when nobody asks, so that who comes late sees what was, in ms.
pub(crate) const UNASKED_MS: u32 = 5_000;
/// Slots of each resolution: seconds of a minute, minutes of an hour.
pub(crate) const SLOTS: usize = 60;
const SECOND: u64 = 1_000_000_000;

/// A look that comes late by more seconds than this leaves a hole: the seconds before it are forgotten,
/// and the minutes if it is longer than a minute. What is shown has no holes that look like rest.
const LATE: u64 = 4;

/// One slot. Nanoseconds, and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) lag_max: u64,
    pub(crate) busy: u64,
    pub(crate) length: u64,
    pub(crate) tasks: u64,
    pub(crate) block_max: u64,
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
}

impl Slot {
    /// One of `parts` that it is cut into, the last with what is left over. In which of them the
    /// longest was nobody knows: the last, at whose end it was seen, tells it.
    fn part(&self, at: u64, parts: u64) -> Self {
        let last = at + 1 == parts;
        let share = |all: u64| all / parts + if last { all % parts } else { 0 };
        let longest = |longest: u64| if last { longest } else { 0 };
        Self {
            lag_max: longest(self.lag_max),
            block_max: longest(self.block_max),
            busy: share(self.busy),
            length: share(self.length),
            tasks: self.tasks,
            spawned: share(self.spawned),
            finished: share(self.finished),
        }
    }

    fn add(&mut self, later: &Slot) {
        self.lag_max = self.lag_max.max(later.lag_max);
        self.block_max = self.block_max.max(later.block_max);
        self.busy += later.busy;
        self.length += later.length;
        self.spawned += later.spawned;
        self.finished += later.finished;
        self.tasks = later.tasks;
    }
}

/// The last slots of one resolution, oldest first once turned.
#[derive(Default)]
pub(crate) struct Slots {
    values: Vec<Slot>,
    next: usize,
    /// When the newest ended.
    pub(crate) end_ns: u64,
}

impl Slots {
    fn push(&mut self, slot: Slot, end_ns: u64) {
        if self.values.len() < SLOTS {
            self.values.push(slot);
        } else {
            self.values[self.next] = slot;
        }
        self.next = (self.next + 1) % SLOTS;
        self.end_ns = end_ns;
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        let turn = if self.values.len() < SLOTS {
            0
        } else {
            self.next
        };
        self.values[turn..].iter().chain(&self.values[..turn])
    }
}

/// Sums as they were at the last second.
#[derive(Clone, Copy, Default)]
struct Sums {
    busy: u64,
    spawned: u64,
    finished: u64,
}

/// One loop's past.
#[derive(Default)]
pub(crate) struct Past {
    pub(crate) seconds: Slots,
    pub(crate) minutes: Slots,
    filling: Slot,
    filled: usize,
    last: Sums,
    last_at: u64,
    /// What the lag's buckets held, to see which were reached since.
    lag: HashMap<usize, u32>,
}

/// The past of all loops.
#[derive(Default)]
pub(crate) struct History {
    loops: HashMap<LoopId, Past>,
    pub(crate) findings: Findings,
    /// When it began. 0: it has not.
    pub(crate) since_ns: u64,
}

impl History {
    /// Closes a second. `blocks`: the worst block of a loop since the last call.
    pub(crate) fn second(
        &mut self,
        look: &Look,
        census: &mut Census,
        worst_block: impl Fn(LoopId) -> u64,
    ) {
        self.findings.age(look.now.mono);
        self.loops
            .retain(|id, _| look.loops.iter().any(|at| at.record.id == *id));
        for at in &look.loops {
            let past = self.loops.entry(at.record.id).or_default();
            past.second(&at.record, &look.now, worst_block(at.record.id));
            let window: u64 = past.seconds.iter().map(|slot| slot.length).sum();
            let busy: u64 = past.seconds.iter().map(|slot| slot.busy).sum();
            if window > 0 {
                let ratio = (busy as f64 / window as f64).min(1.0);
                census.busy.insert(at.record.id, (ratio, window));
            }
        }
        census.busy.retain(|id, _| self.loops.contains_key(id));
    }

    pub(crate) fn of(&self, id: LoopId) -> Option<&Past> {
        self.loops.get(&id)
    }

    /// Of strips and findings together.
    pub(crate) fn bytes(&self) -> usize {
        self.strips() + self.findings.bytes()
    }

    /// The most that `bytes` can come to with the loops that there are.
    pub(crate) fn limit(&self) -> usize {
        self.strips() + Findings::limit()
    }

    fn strips(&self) -> usize {
        self.loops.len() * (size_of::<Past>() + 2 * SLOTS * size_of::<Slot>())
    }
}

/// Cuts a text to the room that is left, and takes that from the room.
fn text_within(text: &mut String, room: &mut usize) {
    let cut = text.floor_char_boundary(*room);
    text.truncate(cut);
    text.shrink_to_fit();
    *room -= text.len();
}

impl Past {
    fn second(&mut self, record: &LoopRecord, now: &Moment, block_max: u64) {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let stats = &record.stats;
        let sums = Sums {
            busy: load(&stats.busy),
            spawned: load(&stats.spawned),
            finished: load(&stats.finished),
        };
        let before = std::mem::replace(&mut self.last, sums);
        let since = std::mem::replace(&mut self.last_at, now.mono);
        let lag_max = self.lag_since(record, now);
        if since == 0 {
            // What was before the first look has no length.
            return;
        }
        let slot = Slot {
            lag_max,
            busy: now.ns(sums.busy.saturating_sub(before.busy)),
            length: now.mono.saturating_sub(since),
            tasks: sums.spawned.saturating_sub(sums.finished),
            block_max,
            spawned: sums.spawned.saturating_sub(before.spawned),
            finished: sums.finished.saturating_sub(before.finished),
        };
        // Half a second early or late is still the one second.
        let seconds = ((slot.length + SECOND / 2) / SECOND).max(1);
        if seconds > LATE + 1 {
            self.seconds = Slots::default();
        }
        if seconds > SLOTS as u64 {
            (self.minutes, self.filling, self.filled) = Default::default();
            return;
        }
        for at in 0..seconds {
            let part = slot.part(at, seconds);
            let end = now.mono - (seconds - 1 - at) * (slot.length / seconds);
            if seconds <= LATE + 1 {
                self.seconds.push(part, end);
            }
            self.filling.add(&part);
            self.filled += 1;
            if self.filled == SLOTS {
                self.minutes.push(std::mem::take(&mut self.filling), end);
                self.filled = 0;
            }
        }
    }

    /// The longest lag since the last call, to the width of its bucket.
    fn lag_since(&mut self, record: &LoopRecord, now: &Moment) -> u64 {
        let mut longest = 0;
        for (bucket, count) in record.lag.filled() {
            if self.lag.insert(bucket, count) != Some(count) {
                longest = histogram::lower(bucket);
            }
        }
        now.ns(longest)
    }
}

/// How long a slot of each resolution is.
pub(crate) const LENGTHS: [u64; 2] = [SECOND, 60 * SECOND];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slots_are_kept_oldest_first() {
        let mut slots = Slots::default();
        for tasks in 0..SLOTS as u64 + 5 {
            let slot = Slot {
                tasks,
                ..Slot::default()
            };
            slots.push(slot, tasks);
        }
        let kept: Vec<u64> = slots.iter().map(|slot| slot.tasks).collect();
        assert_eq!(kept, (5..SLOTS as u64 + 5).collect::<Vec<_>>());
        assert_eq!(slots.end_ns, SLOTS as u64 + 4);
    }

    #[test]
    fn a_late_look_is_spread_over_its_seconds_and_a_very_late_one_forgets_what_was_before() {
        let record = LoopRecord::new("l", false, std::panic::Location::caller());
        let mut past = Past::default();
        let mut now = Moment::now();
        let mut look = |past: &mut Past, seconds: u64, spawned: u64, block: u64| {
            record.stats.spawned.fetch_add(spawned, Ordering::Relaxed);
            now.mono += seconds * SECOND;
            past.second(&record, &now, block);
        };
        let spawned = |slots: &Slots| slots.iter().map(|slot| slot.spawned).collect::<Vec<_>>();
        look(&mut past, 0, 0, 0);
        look(&mut past, 1, 7, 0);
        // Two seconds late: as many as there were, in seconds that are as long as they say.
        look(&mut past, 3, 31, 9);
        assert_eq!(spawned(&past.seconds), [7, 10, 10, 11]);
        assert!(past.seconds.iter().all(|slot| slot.length == SECOND));
        let blocks: Vec<u64> = past.seconds.iter().map(|slot| slot.block_max).collect();
        assert_eq!(blocks, [0, 0, 0, 9]);
        // The inspector stood still for half a minute: the minute has it, no second has.
        look(&mut past, 30, 300, 0);
        assert_eq!(spawned(&past.seconds), [0; 0]);
        look(&mut past, 1, 5, 0);
        assert_eq!(spawned(&past.seconds), [5]);
        for _ in 0..25 {
            look(&mut past, 1, 0, 0);
        }
        assert_eq!(spawned(&past.minutes), [7 + 31 + 300 + 5]);
        // And for two minutes: in which of them it was nobody knows.
        look(&mut past, 120, 500, 0);
        assert_eq!(spawned(&past.minutes), [0; 0]);
        for _ in 0..60 {
            look(&mut past, 1, 1, 0);
        }
        assert_eq!(spawned(&past.minutes), [60]);
    }

    #[test]
    fn a_minute_is_what_its_seconds_were() {
        let record = LoopRecord::new("l", false, std::panic::Location::caller());
        let mut past = Past::default();
        let mut now = Moment::now();
        past.second(&record, &now, 0);
        for second in 0..SLOTS as u64 {
            record
                .stats
                .spawned
                .store(3 * (second + 1), Ordering::Relaxed);
            record.stats.finished.store(second + 1, Ordering::Relaxed);
            now.mono += SECOND;
            past.second(&record, &now, if second == 7 { 9 } else { 0 });
        }
        let minutes: Vec<&Slot> = past.minutes.iter().collect();
        assert_eq!(minutes.len(), 1);
        let minute = minutes[0];
        assert_eq!((minute.spawned, minute.finished), (180, 60));
        assert_eq!((minute.tasks, minute.block_max), (120, 9));
        assert_eq!(minute.length, 60 * SECOND);
    }
}
