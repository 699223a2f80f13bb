//! What one walk remembers for the next: who had no waker, who was first seen cancelled, and when
//! parents ended.

use std::panic::Location;

use super::KEPT;
use super::joins::Joins;
use crate::inspect::ids::{IdMap, IdSet};
use crate::inspect::tables::Look;
use crate::record::task::Kind;

/// A task that others name as their parent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parent {
    /// It was seen alive and is no callback: those are over when they have called.
    was_task: bool,
    ended_ns: Option<u64>,
}

#[derive(Default)]
pub(super) struct Seen {
    /// Waiting without any waker: at how many polls.
    pub(super) lone: IdMap<u64>,
    /// Who waits for whom.
    pub(super) joins: Joins,
    /// When a mark was first seen, by task.
    pub(super) left: IdMap<u64>,
    pub(super) cancelled: IdMap<u64>,
    pub(super) parents: IdMap<Parent>,
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
        }
        first
    }

    /// When that parent ended. `None`: it lives, or it is not known that it was a task.
    pub(super) fn parent_ended(&self, parent: u64) -> Option<u64> {
        self.parents
            .get(&parent)
            .filter(|parent| parent.was_task)
            .and_then(|parent| parent.ended_ns)
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
                parent.ended_ns = Some(now);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.joins.bytes()
            + 24 * (self.lone.len() + self.left.len() + self.cancelled.len())
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
