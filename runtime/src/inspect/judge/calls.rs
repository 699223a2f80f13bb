//! Blocking calls as findings: those of one place and one function are one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use loop_proto::finding as rules;
use loop_proto::pb::{FindingName, Kind as Subject};

use super::{Held, Key, Note};
use crate::clock;
use crate::inspect::calls;
use crate::inspect::stack::names::Place;
use crate::record::calls::Called;
use crate::record::over::Blamed;
use crate::record::task::flag;

/// All calls of one kind from one place.
struct Calls {
    facts: rules::CallFacts,
    place: Place,
    /// Who made the first.
    task: Blamed,
}

/// The calls that the loop of `note` remembers.
pub(super) fn judge(note: &mut Note<'_>) {
    let mut calls: HashMap<(String, u8, bool), Calls> = HashMap::new();
    let mut all: Vec<Called> = note.at.record.calls.all().collect();
    all.sort_by_key(|called| called.first);
    for called in all {
        let Some(task) = called.task else { continue };
        *note.by_task.entry(task.id).or_default() |= FindingName::BlockingCall.bit();
        let longest_ns = (called.longest > 0).then(|| clock::ticks_to_ns(called.longest));
        let told = calls::told(&called);
        let user = task.flags & flag::INTERNAL == 0;
        let key = (told.place.text.clone(), called.call as u8, user);
        let calls = calls.entry(key).or_insert_with(|| Calls {
            facts: rules::CallFacts {
                call: called.call.words(),
                first_ns: note.look.now.mono_of(called.first),
                count: 0,
                longest_ns: None,
                through: told.through,
            },
            place: told.place,
            task,
        });
        calls.facts.count += called.count;
        calls.facts.longest_ns = calls.facts.longest_ns.max(longest_ns);
    }
    for (key, calls) in calls {
        add(note, &key, calls);
    }
}

fn add(note: &mut Note<'_>, key: &(String, u8, bool), calls: Calls) {
    let verdict = rules::blocking_call(&calls.facts);
    let mut hash = DefaultHasher::new();
    (key, note.at.record.id.get()).hash(&mut hash);
    let (now, task) = (note.look.now.mono, calls.task);
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
        culprit: Some((calls.place.text, calls.place.kind)),
        function: calls.place.function,
        evidence: verdict.evidence,
        since_ns: verdict.since_ns.min(now),
        last_seen_ns: now,
        count: calls.facts.count,
        measured_ns: verdict.measured_ns,
        limit_ns: None,
        user: key.2,
        cleared: false,
    };
    let key = Key::Place(verdict.name, hash.finish(), key.2);
    note.found.insert(key, held);
}
