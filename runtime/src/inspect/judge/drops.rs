//! How a task came to have no waker, in words: its last poll kept none, or one was dropped later,
//! and by whom.

use super::Note;
use crate::inspect::ids::IdMap;
use crate::inspect::stack::copies::{Copies, Known};
use crate::inspect::tables::Look;
use crate::record::drops::{LastDrop, SOME_THREAD};
use crate::record::task::{Kind, TaskFacts};
use crate::record::wake::Cause;

/// What the loops of one look remember.
#[derive(Default)]
pub(super) struct Drops {
    /// The latest of each task.
    by_task: IdMap<LastDrop>,
    /// A loop's number, and until when it may have forgotten one.
    forgotten: Vec<(u32, u64)>,
}

impl Drops {
    pub(super) fn of(look: &Look) -> Self {
        let mut drops = Self::default();
        for at in &look.loops {
            let remembered = at.record.drops.read();
            for drop in remembered.drops {
                let latest = drops.by_task.entry(drop.task).or_insert(drop);
                if drop.at > latest.at {
                    *latest = drop;
                }
            }
            let until = remembered.forgotten_until;
            drops.forgotten.push((at.record.id.get(), until));
        }
        drops
    }

    /// How the task of `facts`, which waits without a waker, lost the last one.
    pub(super) fn told(&self, facts: &TaskFacts, note: &Note<'_>, copies: &mut Copies) -> String {
        let of_loop = |(id, _): &&(u32, u64)| *id == facts.loop_id;
        let forgotten = self.forgotten.iter().find(of_loop);
        let drop = self.by_task.get(&facts.id);
        if let Some(drop) = drop.filter(|drop| drop.polls == facts.polls) {
            // The loop's thread knows which was the last, others write down what may be.
            let away = matches!(drop.by, Some(Cause::Thread(_)));
            let last = !away || forgotten.is_some_and(|(_, until)| drop.at > *until);
            return dropped(drop, last, note, copies);
        }
        if forgotten.is_some_and(|(_, until)| facts.woken_at > *until) {
            return match facts.polls {
                1 => "its poll returned Pending and kept no waker".to_owned(),
                _ => "its last poll returned Pending and kept no waker".to_owned(),
            };
        }
        "how its last waker went is not known: very many were dropped since".to_owned()
    }
}

/// Who spawned a task, and what woke it last.
pub(super) fn origin(facts: &TaskFacts) -> String {
    let spawned = match facts.parent {
        0 => "spawned by no task".to_owned(),
        parent => format!("spawned by task {parent}"),
    };
    let woken = match facts.woken_by {
        None | Some(Cause::Spawn) => "not woken since".to_owned(),
        Some(Cause::Task(id)) if id == facts.id => "last woken by itself".to_owned(),
        Some(Cause::Task(id)) => format!("last woken by task {id}"),
        Some(Cause::Timer(id)) => format!("last woken by timer {id}"),
        Some(Cause::Source(id)) => format!("last woken by source {id}"),
        Some(Cause::Thread(id)) => format!("last woken by thread {id}"),
        Some(Cause::Signal(id)) => format!("last woken by signal {id}"),
        Some(Cause::Nudge) => "last woken by a nudge".to_owned(),
        Some(Cause::Loop) => "last woken by the loop".to_owned(),
    };
    format!("{spawned}, {woken}")
}

/// `last`: no later one of it can have been forgotten.
fn dropped(drop: &LastDrop, last: bool, note: &Note<'_>, copies: &mut Copies) -> String {
    let ago = loop_proto::finding::span(note.look.now.since(drop.at));
    let who = match drop.by {
        Some(Cause::Task(id)) if id == drop.task => "by itself".to_owned(),
        Some(Cause::Task(id)) => {
            let kind = (drop.number >> 32) as u8;
            let number = drop.number as u32;
            let name = note
                .look
                .task_name(note.at, drop.name, number, kind, drop.site);
            let what = match kind == Kind::Callback as u8 {
                true => "callback",
                false => "task",
            };
            let number = match name.number {
                0 => String::new(),
                number => format!(" {number}"),
            };
            format!("by {what} {id} {}{number}", name.text)
        }
        Some(SOME_THREAD) => {
            return format!(
                "its last waker was dropped {ago} ago or before by another thread; by which is not known, since several dropped theirs at once"
            );
        }
        Some(Cause::Thread(id)) if !last => {
            return format!(
                "a waker of it was dropped {ago} ago by thread {id}; whether it was the last is not known: very many were dropped since"
            );
        }
        Some(Cause::Thread(id)) => {
            return format!(
                "its last waker was dropped {ago} ago by thread {id}; where is not known, since it is no loop's thread"
            );
        }
        Some(Cause::Timer(id)) => format!("when timer {id} fired"),
        Some(Cause::Source(id)) => format!("when source {id} was served"),
        Some(Cause::Signal(id)) => format!("when signal {id} came"),
        Some(Cause::Loop | Cause::Spawn | Cause::Nudge) | None => {
            "by the loop, outside any poll".to_owned()
        }
    };
    let place = match copies.place(drop.copy) {
        Known::Place(place) => format!(", {place}"),
        Known::Soon => ", at a place that is not known yet".to_owned(),
        Known::Unknown => "; where is not known".to_owned(),
    };
    format!("its last waker was dropped {ago} ago {who}{place}")
}
