//! How many there are of everything, a loop and in all: one walk over the tables, kept for a
//! moment so that many viewers cost one. Knows no message.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::tables::{Look, since, state_of};
use crate::id::LoopId;
use crate::record::job;
use crate::record::source::{Kind as SourceKind, direction};
use crate::record::task::State;
use crate::record::timer::Kind as TimerKind;

/// A census is good for so long, and for longer where taking it took long.
const FRESH_NS: u64 = 200_000_000;
const COST_SHARE: u64 = 50;

/// What is alive on one loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoopCensus {
    pub(crate) tasks: u64,
    pub(crate) run: u64,
    pub(crate) ready: u64,
    pub(crate) timers: u64,
    pub(crate) next_due: Option<u64>,
    pub(crate) sources: u64,
    pub(crate) sources_ready: u64,
    pub(crate) jobs_run: u64,
    pub(crate) jobs_queued: u64,
    pub(crate) children: u64,
    pub(crate) resources: u64,
    /// The longest that a ready task waits for its turn, nanoseconds.
    pub(crate) oldest_ready: u64,
}

/// The last census.
#[derive(Default)]
pub(crate) struct Census {
    loops: HashMap<LoopId, LoopCensus>,
    /// Share of the last minute that loops were busy, and how long that minute was.
    pub(crate) busy: HashMap<LoopId, (f64, u64)>,
    at: u64,
    took: u64,
    internal: bool,
    pub(crate) rows: u64,
}

impl Census {
    /// Counts anew, unless the last census is fresh.
    pub(crate) fn take(&mut self, look: &Look) {
        let good_for = FRESH_NS.max(self.took * COST_SHARE);
        let known = look
            .loops
            .iter()
            .all(|at| self.loops.contains_key(&at.record.id));
        if known
            && self.internal == look.internal
            && look.now.mono.saturating_sub(self.at) < good_for
        {
            return;
        }
        self.loops.clear();
        self.rows = 0;
        for at in &look.loops {
            let of_loop = self.count(look, at);
            self.loops.insert(at.record.id, of_loop);
        }
        self.internal = look.internal;
        self.at = look.now.mono;
        self.took = crate::clock::mono().saturating_sub(look.now.mono);
    }

    fn count(&mut self, look: &Look, at: &super::tables::LoopLook) -> LoopCensus {
        let mut all = LoopCensus::default();
        let (record, relaxed) = (&at.record, Ordering::Relaxed);
        for (_, row) in record.tasks.live() {
            self.rows += 1;
            if !look.shows(row.flags.load(relaxed)) {
                continue;
            }
            let state = state_of(row);
            match state {
                State::Done => continue,
                State::Run => all.run += 1,
                State::Ready => {
                    all.ready += 1;
                    let waited = look.now.since(since(record, row, state));
                    all.oldest_ready = all.oldest_ready.max(waited);
                }
                State::Wait => {}
            }
            all.tasks += 1;
        }
        for (_, row) in record.timers.live() {
            let internal = row.kind.load(relaxed) == TimerKind::Internal as u8;
            if row.armed.load(relaxed) != 0 && (look.internal || !internal) {
                all.timers += 1;
                let due = row.deadline.load(relaxed);
                all.next_due = Some(all.next_due.map_or(due, |next| next.min(due)));
            }
        }
        for (_, row) in record.sources.live() {
            if look.internal || row.kind.load(relaxed) != SourceKind::Internal as u8 {
                all.sources += 1;
                let ready = row.ready.load(relaxed) & (direction::READ | direction::CLOSED);
                all.sources_ready += u64::from(ready != 0);
            }
        }
        for (_, row) in record.jobs.live() {
            match row.state.load(relaxed) {
                state if state == job::State::Queued as u8 => all.jobs_queued += 1,
                state if state == job::State::Running as u8 => all.jobs_run += 1,
                _ => {}
            }
        }
        let children = record.children.live();
        all.children = children
            .filter(|(_, row)| row.status.load(relaxed) < 0)
            .count() as u64;
        all.resources = record.resources.live().count() as u64;
        all
    }

    pub(crate) fn of(&self, id: LoopId) -> LoopCensus {
        self.loops.get(&id).copied().unwrap_or_default()
    }

    pub(crate) fn busy(&self, id: LoopId) -> Option<(f64, u64)> {
        self.busy.get(&id).copied()
    }

    /// Sums over the loops of `look`.
    pub(crate) fn sum(&self, look: &Look) -> LoopCensus {
        let mut sum = LoopCensus::default();
        for at in &look.loops {
            let one = self.of(at.record.id);
            sum.tasks += one.tasks;
            sum.run += one.run;
            sum.ready += one.ready;
            sum.timers += one.timers;
            sum.next_due = [sum.next_due, one.next_due].into_iter().flatten().min();
            sum.sources += one.sources;
            sum.sources_ready += one.sources_ready;
            sum.jobs_run += one.jobs_run;
            sum.jobs_queued += one.jobs_queued;
            sum.children += one.children;
            sum.resources += one.resources;
            sum.oldest_ready = sum.oldest_ready.max(one.oldest_ready);
        }
        sum
    }
}
