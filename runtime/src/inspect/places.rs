//! What lives at each spawn place, counted in one walk that may pause. Knows no message and no
//! text.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::ids::IdMap;
use super::tables::{Look, LoopLook, state_of};
use crate::record::names::NameId;
use crate::record::slab::{self, CHUNK, Row};
use crate::record::task::{Kind, State};

const MINUTE_NS: u64 = 60_000_000_000;

/// Who stands for the tasks of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Named {
    #[default]
    Nobody,
    /// All have this name, or none and are all the main task or all not.
    Alike { name: NameId, main: bool },
    /// They have different names.
    Mixed,
}

/// The live tasks of one site of one loop.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) live: u64,
    /// Those that do not wait.
    pub(crate) ready: u64,
    /// Ticks, as the next two.
    pub(crate) busy: u64,
    pub(crate) max: u64,
    /// When the oldest was spawned.
    pub(crate) oldest: Option<u64>,
    pub(crate) polls: u64,
    /// The minutes in which they were spawned.
    pub(crate) minutes: HashSet<u64>,
    last_minute: Option<u64>,
    pub(crate) named: Named,
    /// The names of what holds of them, as bits.
    pub(crate) findings: u64,
}

/// A walk that goes on, and what it counted.
#[derive(Default)]
pub(crate) struct Tally {
    /// A loop of the look each, in it the sites by their numbers.
    loops: Vec<Vec<Count>>,
    at: usize,
    slot: u32,
}

impl Tally {
    /// Walks on over `chunks` chunks of tasks. True: all are counted.
    pub(crate) fn step(&mut self, look: &Look, chunks: u32, findings: &IdMap<u64>) -> bool {
        self.loops.resize_with(look.loops.len(), Vec::new);
        let mut budget = chunks * CHUNK as u32;
        while let Some(at) = look.loops.get(self.at) {
            let slots = at.record.tasks.slots();
            let end = slots.min(self.slot.saturating_add(budget));
            budget -= end - self.slot;
            for slot in self.slot..end {
                self.count(look, at, slot, findings);
            }
            if end < slots {
                self.slot = end;
                return false;
            }
            (self.at, self.slot) = (self.at + 1, 0);
            if budget == 0 && self.at < look.loops.len() {
                return false;
            }
        }
        true
    }

    /// What was counted on the loop that is the `at`th of the look, by number of site.
    pub(crate) fn of_loop(&self, at: usize) -> impl Iterator<Item = (u32, &Count)> {
        let sites = self.loops.get(at).into_iter().flatten();
        (0..).zip(sites).filter(|(_, count)| count.live > 0)
    }

    #[inline]
    fn count(&mut self, look: &Look, at: &LoopLook, slot: u32, findings: &IdMap<u64>) {
        let relaxed = Ordering::Relaxed;
        let Some(row) = at.record.tasks.get(slot) else {
            return;
        };
        let read = slab::consistent(row.id(), |id| {
            let state = state_of(row);
            let shown = state != State::Done && look.shows(row.flags.load(relaxed));
            shown.then(|| {
                let sums = [&row.busy, &row.max_poll, &row.polls].map(|sum| sum.load(relaxed));
                let named = Named::Alike {
                    name: row.name(),
                    main: row.name() == NameId::NONE && row.kind.load(relaxed) == Kind::Main as u8,
                };
                let spawned = row.spawned_at.load(relaxed);
                (id, row.site() as usize, state, sums, named, spawned)
            })
        });
        let Some((id, site, state, [busy, max, polls], named, spawned)) = read.flatten() else {
            return;
        };
        let sites = &mut self.loops[self.at];
        if sites.len() <= site {
            sites.resize_with(site + 1, Count::default);
        }
        let count = &mut sites[site];
        count.live += 1;
        count.ready += u64::from(state != State::Wait);
        count.busy += busy;
        count.polls += polls;
        count.max = count.max.max(max);
        count.oldest = Some(count.oldest.map_or(spawned, |oldest| oldest.min(spawned)));
        let minute = look.now.mono_of(spawned) / MINUTE_NS;
        if count.last_minute.replace(minute) != Some(minute) {
            count.minutes.insert(minute);
        }
        if count.named != named {
            count.named = match count.named {
                Named::Nobody => named,
                _ => Named::Mixed,
            };
        }
        if !findings.is_empty() {
            count.findings |= findings.get(&id).copied().unwrap_or(0);
        }
    }
}
