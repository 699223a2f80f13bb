//! Errors that nobody read, and the rows of their tasks, which later ones overwrite: what was found
//! stays found and counted, and what was overwritten unseen is counted too. Knows no rule.

use std::collections::HashMap;

use super::{Held, Key};
use crate::inspect::ids::IdMap;
use crate::inspect::tables::Look;

#[derive(Default)]
struct OfLoop {
    /// Ended rows that were written when it was last looked at.
    written: u64,
    /// Of those, the ones that no look came by in time for.
    unseen: u64,
    /// Whose error was found unread in the last walk, and in this one.
    before: IdMap<Key>,
    now: IdMap<Key>,
    /// Errors whose row is gone.
    gone: HashMap<Key, u64>,
}

/// The errors of all loops.
#[derive(Default)]
pub(super) struct Errors {
    loops: HashMap<u32, OfLoop>,
    /// The findings as they were last.
    held: HashMap<Key, Held>,
}

impl Errors {
    /// A walk comes to the ended rows of a loop, of which `written` were written so far.
    pub(super) fn read_on(&mut self, id: u32, written: u64, capacity: u64) {
        let of = self.loops.entry(id).or_default();
        let fresh = written.saturating_sub(of.written);
        of.unseen += fresh.saturating_sub(capacity);
        of.written = written;
    }

    /// The error of task `task` is unread, and told by the finding of that key.
    pub(super) fn list(&mut self, id: u32, task: u64, key: Key) {
        self.loops.entry(id).or_default().now.insert(task, key);
    }

    /// At the end of a walk: adds to what it found the errors whose rows are overwritten.
    pub(super) fn settle(&mut self, look: &Look, found: &mut HashMap<Key, Held>, now: u64) {
        let lives = |id: &u32| look.loops.iter().any(|at| at.record.id.get() == *id);
        self.loops.retain(|id, _| lives(id));
        let mut gone: HashMap<Key, u64> = HashMap::new();
        for of in self.loops.values_mut() {
            for (task, key) in &of.before {
                if !of.now.contains_key(task) {
                    *of.gone.entry(*key).or_default() += 1;
                }
            }
            of.before = std::mem::take(&mut of.now);
            for (key, count) in &of.gone {
                *gone.entry(*key).or_default() += count;
            }
        }
        for (key, count) in &gone {
            let Some(old) = self.held.get(key) else {
                continue;
            };
            let told = format!("{OVERWRITTEN}{count}");
            let held = found.entry(*key).or_insert_with(|| Held {
                count: 0,
                ..old.clone()
            });
            held.count += count;
            held.last_seen_ns = now;
            if old.since_ns < held.since_ns {
                // The first of them tells what happened.
                held.since_ns = old.since_ns;
                (held.subject_id, held.subject_name) = (old.subject_id, old.subject_name);
                held.evidence.clone_from(&old.evidence);
            }
            held.evidence.retain(|line| !line.starts_with(OVERWRITTEN));
            held.evidence.push(told);
        }
        let listed = self.loops.values().flat_map(|of| of.before.values());
        let keys = listed.chain(gone.keys());
        self.held = keys
            .filter_map(|key| Some((*key, found.get(key)?.clone())))
            .collect();
    }

    /// Ended rows that were overwritten before any walk came by.
    pub(super) fn unseen(&self) -> u64 {
        self.loops.values().map(|of| of.unseen).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |of: &OfLoop| 2 * 40 * of.before.len() + 40 * of.gone.len();
        self.loops.values().map(of).sum::<usize>() + self.held.len() * size_of::<Held>()
    }
}

const OVERWRITTEN: &str = "rows of it that were overwritten since: ";
