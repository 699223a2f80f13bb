//! What one walk remembers for the next: who was first seen cancelled, what was polled how often, and
//! when parents ended.

use std::panic::Location;
use std::sync::atomic::Ordering;

use loop_proto::finding::Window;

use super::KEPT;
use super::joins::Joins;
use crate::clock;
use crate::inspect::ids::{IdMap, IdSet};
use crate::inspect::tables::Look;
use crate::os::{Sched, SchedFile};
use crate::record::LoopRecord;
use crate::record::task::{Kind, State, TaskFacts};

/// A task that others name as their parent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parent {
    /// It was seen alive and is no callback: those are over when they have called.
    was_task: bool,
    ended_ns: Option<u64>,
    /// It ended some time before that: its ended row was overwritten before it was read.
    forgotten: bool,
}

/// Tasks that there was no room to remember from walk to walk, by what is judged of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unremembered {
    /// Without a waker.
    pub(crate) lone: u64,
    /// Polled often.
    pub(crate) busy: u64,
    /// To be cancelled, by a request that is forgotten.
    pub(crate) cancelled: u64,
}

impl Unremembered {
    pub(crate) fn total(&self) -> u64 {
        self.lone + self.busy + self.cancelled
    }
}

/// The counts of a task at one moment, and what it did until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    at: u64,
    polls: u64,
    wakes: u32,
    self_wakes: u32,
    /// Ticks.
    busy: u64,
    /// Of its loop's thread; zero where the host does not tell.
    on_cpu: u64,
    no_cpu: u64,
    at_work: bool,
    window: Option<Window>,
}

/// A window shorter than this says nothing of a rate.
const WINDOW_NS: u64 = 500_000_000;
/// Who has waited for so long does nothing too often: of a million tasks few are looked at.
const REST_NS: u64 = 1_000_000_000;
/// Who was polled less often in all its life has done nothing too often in any window.
const BUSY_POLLS: u64 = 500;

impl Mark {
    fn of(facts: &TaskFacts, at: u64, sched: Option<Sched>) -> Self {
        Self {
            at,
            on_cpu: sched.map_or(0, |sched| sched.ran),
            no_cpu: sched.map_or(0, |sched| sched.delay),
            at_work: facts.state != State::Wait,
            polls: facts.polls,
            wakes: facts.wakes,
            self_wakes: facts.self_wakes,
            busy: facts.busy,
            window: None,
        }
    }

    /// The counts of a later moment, with what happened since.
    fn next(self, facts: &TaskFacts, at: u64, sched: Option<Sched>) -> Self {
        // A counter that stands at its top tells nothing.
        let counted = facts.wakes < u32::MAX;
        let next = Self::of(facts, at, sched);
        let busy = clock::ticks_to_ns(facts.busy.saturating_sub(self.busy));
        let window = Window {
            length_ns: at - self.at,
            polls: facts.polls.saturating_sub(self.polls),
            wakes: facts.wakes.saturating_sub(self.wakes).into(),
            self_wakes: facts.self_wakes.saturating_sub(self.self_wakes).into(),
            // A thread loses its CPU as often in a poll as anywhere, so the polls' share of that time
            // is as large as of the time that it had one.
            busy_ns: share(
                busy,
                next.on_cpu.saturating_sub(self.on_cpu),
                next.no_cpu.saturating_sub(self.no_cpu),
            ),
            went_on: self.at_work && next.at_work,
        };
        Self {
            window: counted.then_some(window),
            ..next
        }
    }
}

/// What of `busy` was on a CPU, if `on` of a time was and `off` was not; all of it if neither is told.
fn share(busy: u64, on: u64, off: u64) -> u64 {
    let all = u128::from(on) + u128::from(off);
    if all == 0 {
        return busy;
    }
    (u128::from(busy) * u128::from(on) / all) as u64
}

#[derive(Default)]
pub(super) struct Seen {
    /// What the kernel said of a loop's thread in this walk.
    sched: Option<(u32, Option<Sched>)>,
    /// Who waits for whom.
    pub(super) joins: Joins,
    /// Timers whose task has ended.
    pub(super) orphans: IdSet,
    /// Counts of those that were polled often.
    marks: IdMap<Mark>,
    /// When it was first seen that a task is to be cancelled.
    pub(super) cancelled: IdMap<u64>,
    pub(super) parents: IdMap<Parent>,
    /// Tasks that there was no room to remember.
    pub(super) unremembered: Unremembered,
    /// Those of the last walk's parents that live.
    pub(super) alive: IdSet,
}

impl Seen {
    /// When a mark of `id` was first seen.
    pub(super) fn first(
        &mut self,
        before: &IdMap<u64>,
        id: u64,
        now: u64,
        of: impl FnOnce(&mut Self) -> &mut IdMap<u64>,
    ) -> u64 {
        let first = before.get(&id).copied().unwrap_or(now);
        let kept = of(self);
        if kept.len() < KEPT {
            kept.insert(id, first);
        } else {
            self.unremembered.cancelled += 1;
        }
        first
    }

    /// What a task did lately. `None`: too little to be told, or not watched for long enough.
    ///
    /// Walks may come close after each other: what was found of the last window that was long
    /// enough holds until the next one is.
    pub(super) fn window(
        &mut self,
        before: &Seen,
        facts: &TaskFacts,
        since_ns: u64,
        now: u64,
        (at, record): (u32, &LoopRecord),
    ) -> Option<Window> {
        let rests = facts.state == State::Wait && now.saturating_sub(since_ns) > REST_NS;
        if rests || facts.polls < BUSY_POLLS {
            return None;
        }
        if self.marks.len() >= KEPT {
            self.unremembered.busy += 1;
            return None;
        }
        let mark = match before.marks.get(&facts.id) {
            None => Mark::of(facts, now, self.sched(at, record)),
            Some(mark) if now.saturating_sub(mark.at) < WINDOW_NS => *mark,
            Some(mark) => mark.next(facts, now, self.sched(at, record)),
        };
        self.marks.insert(facts.id, mark);
        mark.window
    }

    /// What the kernel says of the thread of the loop `at`, asked once a walk.
    fn sched(&mut self, at: u32, record: &LoopRecord) -> Option<Sched> {
        if let Some((_, sched)) = self.sched.filter(|(of, _)| *of == at) {
            return sched;
        }
        let thread = record.facts.thread.load(Ordering::Relaxed);
        let file = (thread != 0)
            .then(|| SchedFile::open(thread).ok())
            .flatten();
        let sched = file.and_then(|file| file.read());
        self.sched = Some((at, sched));
        sched
    }

    /// When that parent ended, and whether it was some time before. `None`: it lives, or it is not
    /// known that it was a task.
    pub(super) fn parent_ended(&self, parent: u64) -> Option<(u64, bool)> {
        let parent = self.parents.get(&parent).filter(|parent| parent.was_task)?;
        Some((parent.ended_ns?, parent.forgotten))
    }

    /// Decides, at the end of a walk, which parents have ended since the one before.
    pub(super) fn settle(&mut self, look: &Look, before: &Seen, now: u64) {
        let mut missing = IdSet::default();
        for (id, parent) in &mut self.parents {
            let Some(known) = before.parents.get(id) else {
                // Named for the first time: the next walk looks whether it lives.
                continue;
            };
            *parent = *known;
            if self.alive.contains(id) {
                parent.was_task = true;
            } else if parent.ended_ns.is_none() {
                missing.insert(*id);
            }
        }
        if missing.is_empty() {
            return;
        }
        for at in &look.loops {
            let mut back = 0;
            while let Some(ended) = at.record.ended.get(back) {
                back += 1;
                if missing.remove(&ended.id)
                    && let Some(parent) = self.parents.get_mut(&ended.id)
                {
                    parent.was_task = ended.kind != Kind::Callback as u8;
                    parent.ended_ns = Some(look.now.mono_of(ended.ended_at));
                }
            }
        }
        // Ended, and its row overwritten: some time before now.
        for id in missing {
            if let Some(parent) = self.parents.get_mut(&id) {
                (parent.ended_ns, parent.forgotten) = (Some(now), true);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.joins.bytes()
            + 72 * self.marks.len()
            + 24 * (self.orphans.len() + self.cancelled.len())
            + 32 * (self.parents.len() + self.alive.len())
    }
}

/// The evidence of a verdict, and where the subject waits.
pub(super) fn said(
    mut evidence: Vec<String>,
    awaits: Option<&'static Location<'static>>,
) -> Vec<String> {
    evidence.extend(awaits.map(|place| format!("it awaits at {place}")));
    evidence
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn polls_bear_their_share_of_the_time_without_a_cpu() {
        assert_eq!(share(900, 100, 800), 100);
        assert_eq!(share(500, 1_000, 0), 500);
        assert_eq!(share(500, 0, 0), 500, "the host does not tell");
        assert_eq!(share(u64::MAX, u64::MAX, u64::MAX), u64::MAX / 2);
    }
}
