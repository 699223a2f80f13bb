//! Where the futures of tasks lie in memory: each in its task's box, and those that are boxed inside of
//! it. Knows no handle.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::Turned;
use super::memory::{Memory, Parts};
use crate::inspect::ids::IdMap;
use crate::inspect::stack::read_words;
use crate::inspect::tables::Look;
use crate::record::task::State;

/// How long a task's box may be before its future begins.
const HEAD: u64 = 48;
/// No boxed future is larger, nor aligned further.
const LARGEST: u64 = 1 << 20;
const ALIGNED: u64 = 1 << 12;
/// Boxes in boxes that are followed.
const DEEPEST: usize = 4;
/// Words of futures that are looked through for boxes.
const MOST: usize = 1 << 22;

pub(super) struct Boxes {
    /// By where they begin.
    parts: Vec<(Range<u64>, u64)>,
    parents: IdMap<u64>,
}

impl Boxes {
    /// Those of the tasks that live.
    pub(super) fn of(look: &Look) -> Self {
        let (mut parts, mut parents) = (Vec::new(), IdMap::default());
        for at in &look.loops {
            for (_, row) in at.record.tasks.live() {
                let Some(facts) = row.read().filter(|facts| facts.state != State::Done) else {
                    continue;
                };
                let work = row.work.load(Ordering::Acquire) as u64;
                if work != 0 {
                    let size = at.site(facts.site).size as u64;
                    parts.push((work..work + HEAD + size, facts.id));
                    parents.insert(facts.id, facts.parent);
                }
            }
        }
        parts.sort_unstable_by_key(|(range, _)| range.start);
        Self { parts, parents }
    }

    /// The task in whose memory that lies.
    pub(super) fn task_at(&self, address: u64) -> Option<u64> {
        let after = self
            .parts
            .partition_point(|(range, _)| range.start <= address);
        let (range, task) = self.parts.get(after.checked_sub(1)?)?;
        range.contains(&address).then_some(*task)
    }

    /// Takes in what tasks have boxed, a `Box<dyn Future>` or other trait object, as far as one of
    /// these addresses lies in it.
    pub(super) fn open(
        &mut self,
        memory: &mut Memory,
        parts: &Parts,
        addresses: impl Iterator<Item = Turned>,
    ) {
        let mut wanted: Vec<Turned> = addresses
            .filter(|at| self.task_at(at.get()).is_none())
            .collect();
        wanted.sort_unstable();
        let mut outer = self.parts.clone();
        let mut left = MOST;
        for _ in 0..DEEPEST {
            if wanted.is_empty() {
                return;
            }
            let mut inner = Vec::new();
            for (range, task) in outer {
                let count = ((range.end - range.start) / 8) as usize;
                let Some(rest) = left.checked_sub(count) else {
                    return;
                };
                left = rest;
                for pair in memory.words(range.start, count).windows(2) {
                    let found = boxed(pair, &wanted, parts);
                    inner.extend(found.map(|range| (range, task)));
                }
            }
            wanted.retain(|at| !inner.iter().any(|(range, _)| range.contains(&at.get())));
            self.parts.extend(inner.iter().cloned());
            self.parts.sort_unstable_by_key(|(range, _)| range.start);
            outer = inner;
        }
    }

    /// Of tasks in whose memory handles were found, `count` of which there are beside `others`: those
    /// who have them. What a task gave to one that it spawned often stays to be seen in its memory,
    /// so where the others have enough, it has none.
    pub(super) fn settle(&self, mut tasks: Vec<u64>, count: u64, others: u64) -> Vec<u64> {
        tasks.sort_unstable();
        tasks.dedup();
        let spawned = |by: u64| {
            let mut others = tasks.iter().filter(move |task| **task != by);
            others.any(move |task| self.parents.get(task) == Some(&by))
        };
        let last: Vec<u64> = tasks
            .iter()
            .copied()
            .filter(|task| !spawned(*task))
            .collect();
        if last.len() as u64 + others >= count {
            return last;
        }
        tasks
    }
}

/// What two words refer to, if they are a trait object's and one of `wanted` lies in it.
fn boxed(pair: &[u64], wanted: &[Turned], parts: &Parts) -> Option<Range<u64>> {
    let (data, table) = (pair[0], pair[1]);
    // The first at or after it, of numbers that are turned over.
    let after = wanted.partition_point(|at| at.get() >= data);
    let at = wanted.get(after.checked_sub(1)?)?.get();
    if at - data >= LARGEST || table % 8 != 0 || parts.are_written(table) {
        return None;
    }
    // A table begins with drop, size and alignment, and is a constant.
    let mut head = [0; 3];
    if read_words(table, &mut head) != 3 {
        return None;
    }
    let [_, size, align] = head;
    let is_table = size < LARGEST && align.is_power_of_two() && align <= ALIGNED;
    (is_table && data % align == 0 && at < data + size).then_some(data..data + size)
}
