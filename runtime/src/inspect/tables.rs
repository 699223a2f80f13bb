//! The tables of all loops at one moment, read in place: what a look at a row needs to be put in
//! words. Knows neither filters nor messages.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ids::IdMap;
use super::names::{self, Names};
use crate::clock;
use crate::id::LoopId;
use crate::record::names::NameId;
use crate::record::task::{Kind, State, TaskFacts, TaskRow, phase};
use crate::record::{self, LoopRecord};

/// One moment on both clocks, and what a tick is worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Nanoseconds on CLOCK_MONOTONIC.
    pub(crate) mono: u64,
    pub(crate) ticks: u64,
    rate: f64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let rate = clock::ns_per_tick();
        Self {
            mono: clock::mono(),
            ticks: clock::ticks(),
            rate,
        }
    }

    /// A duration in ticks, in nanoseconds.
    #[inline]
    pub(crate) fn ns(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.rate) as u64
    }

    /// Nanoseconds since tick `then`; 0 for one that lies ahead.
    #[inline]
    pub(crate) fn since(&self, then: u64) -> u64 {
        self.ns(self.ticks.saturating_sub(then))
    }

    /// When tick `at` was, on CLOCK_MONOTONIC.
    #[inline]
    pub(crate) fn mono_of(&self, at: u64) -> u64 {
        if at > self.ticks {
            self.mono.saturating_add(self.ns(at - self.ticks))
        } else {
            self.mono.saturating_sub(self.since(at))
        }
    }
}

/// The loops of this process, as one look sees them.
pub(crate) struct Look {
    pub(crate) loops: Vec<LoopLook>,
    pub(crate) now: Moment,
    pub(crate) names: Names,
    /// Rows of the runtime itself and of the inspector's loop are there too.
    pub(crate) internal: bool,
}

/// One loop of a look.
pub(crate) struct LoopLook {
    pub(crate) record: Arc<LoopRecord>,
    sites: std::cell::RefCell<Vec<Option<Site>>>,
}

/// A spawn place, ready to be shown.
#[derive(Clone, Copy, Default)]
pub(crate) struct Site {
    pub(crate) place: Option<&'static Location<'static>>,
    pub(crate) type_name: &'static str,
    pub(crate) short: &'static str,
    pub(crate) size: usize,
}

impl LoopLook {
    pub(crate) fn new(record: Arc<LoopRecord>) -> Self {
        Self {
            record,
            sites: std::cell::RefCell::default(),
        }
    }

    /// The spawn place of that number.
    #[inline]
    pub(crate) fn site(&self, site: u32) -> Site {
        if let Some(Some(known)) = self.sites.borrow().get(site as usize) {
            return *known;
        }
        self.learn(site)
    }

    #[cold]
    fn learn(&self, number: u32) -> Site {
        let Some(row) = self.record.sites.get(number) else {
            return Site::default();
        };
        let site = Site {
            place: row.place(),
            type_name: row.type_name(),
            short: names::of_type(row.type_name()),
            size: row.size(),
        };
        // A place whose facts are still being written is asked for again.
        if !site.type_name.is_empty() {
            let (mut sites, at) = (self.sites.borrow_mut(), number as usize);
            if sites.len() <= at {
                sites.resize(at + 1, None);
            }
            sites[at] = Some(site);
        }
        site
    }
}

/// A row's place in a look: which loop, which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) at: u32,
    pub(crate) slot: u32,
}

impl Spot {
    pub(crate) fn raw(self) -> u64 {
        u64::from(self.at) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_raw(raw: u64) -> Self {
        Self {
            at: (raw >> 32) as u32,
            slot: raw as u32,
        }
    }
}

impl Look {
    /// A look at all loops that are not closed; `internal`: also at the inspector's own.
    pub(crate) fn new(internal: bool) -> Self {
        let loops = record::loops()
            .into_iter()
            .filter(|record| internal || !record.facts.internal)
            .map(LoopLook::new)
            .collect();
        Self::of(loops, internal)
    }

    pub(crate) fn of(loops: Vec<LoopLook>, internal: bool) -> Self {
        Self {
            loops,
            now: Moment::now(),
            names: Names::default(),
            internal,
        }
    }

    pub(crate) fn at(&self, spot: Spot) -> Option<&LoopLook> {
        self.loops.get(spot.at as usize)
    }

    pub(crate) fn of_loop(&self, id: LoopId) -> Option<(usize, &LoopLook)> {
        self.loops
            .iter()
            .enumerate()
            .find(|(_, at)| at.record.id == id)
    }

    /// The live task of that id, by walking.
    pub(crate) fn task(&self, id: u64) -> Option<(Spot, TaskFacts)> {
        self.loops.iter().enumerate().find_map(|(at, look)| {
            let (slot, facts) = record::find_task(&look.record, id)?;
            let at = at as u32;
            Some((Spot { at, slot }, facts))
        })
    }

    /// Whether a row with these flags is shown.
    #[inline]
    pub(crate) fn shows(&self, flags: u8) -> bool {
        self.internal || flags & record::task::flag::INTERNAL == 0
    }
}

/// A task's name: the interned one and its number, else what stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskName {
    pub(crate) name: NameId,
    pub(crate) number: u32,
    /// The text of the name, or of the type that stands for it.
    pub(crate) text: &'static str,
}

impl Look {
    /// The name of a task with these facts.
    #[inline]
    pub(crate) fn task_name(
        &self,
        at: &LoopLook,
        name: NameId,
        number: u32,
        kind: u8,
        site: u32,
    ) -> TaskName {
        let text = match name {
            NameId::NONE if kind == Kind::Main as u8 => "main",
            NameId::NONE => at.site(site).short,
            name => self.names.text(name),
        };
        TaskName { name, number, text }
    }

    pub(crate) fn name_of(&self, at: &LoopLook, facts: &TaskFacts) -> TaskName {
        self.task_name(at, facts.name, facts.number, facts.kind as u8, facts.site)
    }
}

/// What a task is doing, read field by field: for filters and sorts, which may be off by a poll.
#[inline]
pub(crate) fn state_of(row: &TaskRow) -> State {
    match row.phase.load(Ordering::Acquire) {
        phase::RUNNING => State::Run,
        phase::DONE => State::Done,
        _ if row.is_queued() || row.away_marks.load(Ordering::Relaxed) & 1 != 0 => State::Ready,
        _ => State::Wait,
    }
}

/// Since which tick a task has been in its state.
///
/// Exact for one that waits or is ready, but for a wake, which is dated from the start of the poll
/// that made it. Of one that runs: the start of this poll.
#[inline]
pub(crate) fn since(record: &LoopRecord, row: &TaskRow, state: State) -> u64 {
    match state {
        State::Run if std::ptr::eq(record.current.row(), row) => record.current.since(),
        _ => row
            .woken_at
            .load(Ordering::Relaxed)
            .max(row.away_woken_at.load(Ordering::Relaxed)),
    }
}

/// Counts the live tasks that each of `parents` spawned.
pub(crate) fn children_of(look: &Look, parents: impl Iterator<Item = u64>) -> IdMap<u32> {
    let mut counts: IdMap<u32> = parents.map(|parent| (parent, 0)).collect();
    if counts.is_empty() {
        return counts;
    }
    for at in &look.loops {
        for (_, row) in at.record.tasks.live() {
            let parent = row.parent.load(Ordering::Relaxed);
            if parent != 0
                && let Some(count) = counts.get_mut(&parent)
                && state_of(row) != State::Done
            {
                *count += 1;
            }
        }
    }
    counts
}
