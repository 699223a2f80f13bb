//! What is looked at a second time before it is said for certain: tasks that one look found without a waker, and groups that
//! seem to wait for each other. Knows no rule.

use super::KEPT;
use crate::inspect::tables::{Look, LoopLook, Spot};
use crate::record::task::{State, TaskFacts, TaskRow};

/// A task that waited without a waker at the first look.
#[derive(Clone, Copy)]
struct Doubt {
    spot: Spot,
    id: u64,
    polls: u64,
}

/// One that is looked at for the second time.
pub(super) struct Again {
    pub(super) spot: Spot,
    pub(super) facts: TaskFacts,
    /// It waits without a waker, in the same poll as at the first look.
    pub(super) settled: bool,
}

impl Again {
    pub(super) fn row<'a>(&self, at: &'a LoopLook) -> &'a TaskRow {
        let row = at.record.tasks.get(self.spot.slot);
        row.expect("a slot that was read stays")
    }
}

/// Whether it waits, was polled, and has no waker.
#[inline]
pub(super) fn is_lone(facts: &TaskFacts) -> bool {
    facts.state == State::Wait && facts.polls > 0 && facts.wakers <= 0
}

/// The doubts of one walk.
#[derive(Default)]
pub(super) struct Doubts {
    tasks: Vec<Doubt>,
    /// How many of them have been looked at again.
    done: usize,
    /// Tasks that wait for each other, as far as one look can tell.
    pub(super) groups: Vec<Vec<u64>>,
}

impl Doubts {
    /// Remembers a task for the second look. False: there is no room.
    pub(super) fn remember(&mut self, spot: Spot, facts: &TaskFacts) -> bool {
        let room = self.tasks.len() < KEPT;
        if room {
            self.tasks.push(Doubt {
                spot,
                id: facts.id,
                polls: facts.polls,
            });
        }
        room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.groups.is_empty()
    }

    /// The next task to look at again that is still there.
    pub(super) fn next(&mut self, look: &Look) -> Option<Again> {
        loop {
            let doubt = *self.tasks.get(self.done)?;
            self.done += 1;
            let at = look.at(doubt.spot)?;
            let row = at.record.tasks.get(doubt.spot.slot);
            let Some(row) = row else { continue };
            let Some(facts) = row.read().filter(|facts| facts.id == doubt.id) else {
                continue;
            };
            let same = |facts: &TaskFacts| {
                (facts.id, facts.polls) == (doubt.id, doubt.polls) && is_lone(facts)
            };
            let settled = same(&facts) && row.read_settled().is_some_and(|facts| same(&facts));
            return Some(Again {
                spot: doubt.spot,
                facts,
                settled,
            });
        }
    }
}
