//! Blocking calls as findings: those of one place and one function are one.

use std::hash::{DefaultHasher, Hash, Hasher};

use loop_proto::finding as rules;
use loop_proto::pb::Kind as Subject;

use super::{Held, Key, Note, said};
use crate::clock;
use crate::inspect::calls;
use crate::record::calls::Called;
use crate::record::task::flag;

/// The calls that the loop of `note` remembers.
pub(super) fn judge(note: &mut Note<'_>) {
    let called: Vec<Called> = note.at.record.calls.all().collect();
    for called in called {
        add(note, &called);
    }
}

fn add(note: &mut Note<'_>, called: &Called) {
    let Some(task) = called.task else { return };
    let told = calls::told(called);
    let user = task.flags & flag::INTERNAL == 0;
    let mut hash = DefaultHasher::new();
    (&told.place.text, called.call as u8).hash(&mut hash);
    let now = note.look.now;
    let facts = rules::CallFacts {
        call: called.call.words(),
        first_ns: now.mono_of(called.first),
        count: called.count,
        longest_ns: (called.longest > 0).then(|| clock::ticks_to_ns(called.longest)),
        through: told.through,
    };
    let verdict = rules::blocking_call(&facts);
    let key = Key::Place(verdict.name, hash.finish(), user);
    *note.by_task.entry(task.id).or_default() |= verdict.name.bit();
    if let Some(held) = note.found.get_mut(&key) {
        held.count += called.count;
        held.since_ns = held.since_ns.min(verdict.since_ns);
        held.measured_ns = held.measured_ns.max(verdict.measured_ns);
        return;
    }
    let name = note
        .look
        .task_name(note.at, task.name, task.number, task.kind, task.site);
    let held = Held {
        id: 0,
        name: verdict.name,
        grade: verdict.grade,
        subject: Subject::Task,
        subject_id: task.id,
        subject_name: Some(name),
        loop_id: note.at.record.id,
        place: None,
        culprit: Some((told.place.text, told.place.kind)),
        function: told.place.function,
        evidence: said(verdict.evidence, None),
        since_ns: verdict.since_ns.min(now.mono),
        last_seen_ns: now.mono,
        count: called.count,
        measured_ns: verdict.measured_ns,
        limit_ns: None,
        user,
        cleared: false,
    };
    note.found.insert(key, held);
}
