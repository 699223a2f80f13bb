//! Who waits for the rows of a table: the waits of all tasks the other way round. Knows no message.

use std::ops::Range;
use std::panic::Location;
use std::sync::atomic::Ordering;

use super::ids::IdMap;
use super::live::of_the_app;
use super::tables::{Look, state_of};
use crate::record::task::{On, State, WaitingOn};

/// Waiters of one row that are listed.
pub(crate) const LISTED: usize = 1000;

/// One task that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) task: u64,
    /// Nanoseconds on CLOCK_MONOTONIC.
    pub(crate) since: Option<u64>,
    pub(crate) place: Option<&'static Location<'static>>,
}

/// The waiters of rows, by what they wait for; the longest first.
#[derive(Default)]
pub(crate) struct Waiters {
    all: Vec<Waiter>,
    /// Where those of a row stand among all.
    of: IdMap<Range<usize>>,
}

impl Waiters {
    /// The waits for things of the kind `on`, as far as `wanted` says yes to their id.
    ///
    /// One pass over the tasks and one over the rows of waits.
    pub(crate) fn of(look: &Look, on: On, wanted: impl Fn(u64) -> bool) -> Self {
        let (relaxed, now) = (Ordering::Relaxed, look.now);
        let wants = |word: u64| {
            let waits = WaitingOn(word);
            (waits.kind() == on && wanted(waits.id())).then_some(waits.id())
        };
        let mut told: Vec<(u64, Waiter)> = Vec::new();
        // The rows of waits first: they know since when, however often the task was polled since.
        for at in &look.loops {
            for facts in at.record.waits.live().filter_map(|(_, row)| row.read()) {
                if let Some(id) = wants(facts.on.0) {
                    let waiter = Waiter {
                        task: facts.task,
                        since: Some(now.mono_of(facts.since)),
                        place: facts.place.filter(of_the_app),
                    };
                    told.push((id, waiter));
                }
            }
        }
        for at in &look.loops {
            for (_, row) in at.record.tasks.live() {
                let Some(id) = wants(row.waiting_on.load(relaxed)) else {
                    continue;
                };
                if row.waits.load(relaxed) == 0 || state_of(row) != State::Wait {
                    continue;
                }
                if let Some(facts) = row.read().filter(|facts| facts.waiting_on.id() == id) {
                    let waiter = Waiter {
                        task: facts.id,
                        since: Some(now.mono.saturating_sub(now.since(facts.woken_at))),
                        place: facts.waiting_at.filter(of_the_app),
                    };
                    told.push((id, waiter));
                }
            }
            let resources = at.record.resources.live().filter(|_| on == On::Resource);
            for (_, row) in resources {
                let (id, task) = (row.resource_id(), row.waiter.load(relaxed));
                if task != 0 && wanted(id) {
                    let waiter = Waiter {
                        task,
                        since: None,
                        place: None,
                    };
                    told.push((id, waiter));
                }
            }
        }
        // Several tables may tell of one wait: what any of them knows, the first one rather.
        told.sort_by_key(|(id, waiter)| (*id, waiter.task));
        told.dedup_by(|(next_id, next), (id, waiter)| {
            let same = next_id == id && next.task == waiter.task;
            if same {
                waiter.since = waiter.since.or(next.since);
                waiter.place = waiter.place.or(next.place);
            }
            same
        });
        let mut waiters = Self::default();
        waiters.all.reserve_exact(told.len());
        for group in told.chunk_by(|(id, _), (next, _)| id == next) {
            let start = waiters.all.len();
            waiters.all.extend(group.iter().map(|(_, waiter)| *waiter));
            let here = &mut waiters.all[start..];
            here.sort_by_key(|waiter| (waiter.since.unwrap_or(u64::MAX), waiter.task));
            waiters.of.insert(group[0].0, start..waiters.all.len());
        }
        waiters
    }

    /// Those that wait for the row of that id.
    #[inline]
    pub(crate) fn get(&self, id: u64) -> &[Waiter] {
        match self.of.get(&id) {
            Some(range) => &self.all[range.clone()],
            None => &[],
        }
    }

    /// The tasks that wait for the row of that id, at most `LISTED`.
    pub(crate) fn tasks(&self, id: u64) -> impl Iterator<Item = u64> {
        self.get(id).iter().take(LISTED).map(|waiter| waiter.task)
    }
}
