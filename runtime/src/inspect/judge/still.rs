//! A loop that nothing can wake any more, as the loop itself said when it parked: a finding of its own
//! beside those of its tasks. Knows no rule: what is certain was found out on the loop's thread.

use loop_proto::finding::Verdict;
use loop_proto::pb::{FindingName, Grade, Kind as Subject};

use super::{About, Note};
use crate::inspect::live::of_the_app;
use crate::inspect::names;
use crate::record;

/// The loop of `note`.
pub(super) fn judge(note: &mut Note<'_>) {
    let record = &note.at.record;
    let Some(dead) = record.still.read_dead() else {
        return;
    };
    // Where its main task, or else the first that waits, awaits; where that is not the app's, where it
    // was spawned.
    let first = record::find_task(record, dead.task);
    let awaits = first.as_ref().and_then(|(_, facts)| {
        let at = facts.waiting_at.filter(|_| facts.waits > 0);
        at.filter(|at| of_the_app(at) && !at.file().contains("/registry/src/"))
    });
    let site = first.map(|(_, facts)| note.at.site(facts.site));
    let verdict = Verdict {
        name: FindingName::Deadlocked,
        grade: Grade::Certain,
        evidence: dead.lines,
        since_ns: dead.since,
        measured_ns: None,
        limit_ns: None,
    };
    for id in dead.tasks {
        *note.by_task.entry(id).or_default() |= FindingName::Deadlocked.bit();
    }
    let about = About {
        subject: Subject::Loop,
        id: record.id.get().into(),
        name: None,
        place: awaits.or_else(|| site.as_ref().and_then(|site| site.place)),
        function: site.map_or_else(String::new, |site| {
            names::of_type(site.type_name).to_owned()
        }),
        user: !record.facts.internal,
        awaits: None,
    };
    note.add(verdict, &about);
}
