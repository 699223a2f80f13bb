//! What a finding may rest on and was not kept: rows that found no place, ended rows that were
//! overwritten, tasks that a walk could not remember, places that are not told apart. Suspects, warnings and histories say so; what is
//! certain rests on none of it. Knows no rule but by its name.

use std::sync::atomic::Ordering;

use loop_proto::pb::{FindingName, Grade, Target};

use super::Held;
use super::facts::Unremembered;
use crate::inspect::blocks::Blocks;
use crate::inspect::tables::Look;

/// What was lost, over all loops, since they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Ended rows that were overwritten.
    pub(crate) overwritten: u64,
    /// Of those, the ones that no walk came by in time for.
    pub(crate) errors: u64,
    /// Rows that found their table full.
    pub(crate) unrecorded: u64,
    /// Tasks that the last walk had no room to remember.
    pub(crate) unremembered: Unremembered,
    /// Waits for tasks and locks that the last walk had no room to follow.
    pub(crate) unfollowed: u64,
    /// Blocks of which nothing but their number is known.
    pub(crate) blocks: u64,
    /// Blocking calls from more places than are told apart.
    pub(crate) calls: u64,
    /// Tasks that were spawned at more places than are told apart.
    pub(crate) unplaced: u64,
    /// Walks that a defect of the inspector ended.
    pub(crate) failed: u64,
}

const ROWS: &str = "rows found their table full, and are judged by nothing";
const ERRORS: &str =
    "ended rows were overwritten before they were looked at, errors among them are not known";
const BLOCKS: &str = "blocks were over before anything but their number was read";
const CALLS: &str = "blocking calls from further places are not told apart";
const UNPLACED: &str =
    "tasks were spawned at more places than are told apart, and nothing is usual of them";
const LONE: &str = "tasks without a waker were too many to be remembered from walk to walk";
const BUSY: &str = "busy tasks were too many to be remembered from walk to walk";
const CANCELLED: &str = "tasks to be cancelled were too many to be remembered from walk to walk";
const FAILED: &str = "looks for findings failed by a defect of the inspector (its thread said where on stderr), and what they would have found is missing";
const UNFOLLOWED: &str = "waits were too many to be followed, so no deadlock is looked for";

impl Losses {
    /// What tables and blocks tell; what walks could not do is theirs to add.
    pub(crate) fn of(look: &Look, blocks: Option<&Blocks>) -> Self {
        let records = || look.loops.iter().map(|at| &at.record);
        let overwritten = records().map(|record| {
            let ended = &record.ended;
            ended.written().saturating_sub(ended.capacity())
        });
        let lost = |id| blocks.map_or(0, |blocks| blocks.tally(id).lost);
        Self {
            overwritten: overwritten.sum(),
            unrecorded: records()
                .map(|record| record.stats.unrecorded.load(Ordering::Relaxed))
                .sum(),
            blocks: records().map(|record| lost(record.id)).sum(),
            calls: records().map(|record| record.calls.beyond()).sum(),
            unplaced: records().map(|record| record.sites.beyond()).sum(),
            ..Self::default()
        }
    }

    /// What a finding of that name and grade rests on and was lost, as a line of its evidence.
    pub(crate) fn behind(&self, name: FindingName, grade: Grade) -> Option<String> {
        if matches!(grade, Grade::Certain | Grade::LeftBehind) {
            return None;
        }
        let own = match name {
            FindingName::UnreadError => (self.errors, ERRORS),
            FindingName::Blocked => (self.blocks, BLOCKS),
            FindingName::BlockingCall => (self.calls, CALLS),
            FindingName::Growing | FindingName::IdleOrphan => (self.unplaced, UNPLACED),
            FindingName::Spinning | FindingName::WakeStorm => (self.unremembered.busy, BUSY),
            FindingName::IgnoredCancel => (self.unremembered.cancelled, CANCELLED),
            FindingName::StuckAbortable => (self.unremembered.lone, LONE),
            _ => (0, ""),
        };
        let all = listed(&[own, (self.unrecorded, ROWS)]);
        (!all.is_empty()).then(|| format!("from incomplete data: {all}"))
    }

    /// What is missing from the rows of a table, as a sentence; empty: nothing is.
    pub(crate) fn missing(&self, table: Target) -> String {
        let rows = (self.unrecorded, "rows found their table full");
        match table {
            Target::History => {
                listed(&[(self.overwritten, "tasks that ended before were overwritten")])
            }
            Target::Tasks
            | Target::Timers
            | Target::Io
            | Target::Jobs
            | Target::Resources
            | Target::Children => listed(&[rows]),
            Target::Findings => listed(&[
                (self.failed, FAILED),
                (self.unrecorded, ROWS),
                (self.errors, ERRORS),
                (self.blocks, BLOCKS),
                (self.calls, CALLS),
                (self.unplaced, UNPLACED),
                (self.unremembered.lone, LONE),
                (self.unremembered.busy, BUSY),
                (self.unremembered.cancelled, CANCELLED),
                (self.unfollowed, UNFOLLOWED),
            ]),
            Target::Blocks => listed(&[(self.blocks, "blocks are known by their number only")]),
            Target::Places => listed(&[(
                self.unplaced,
                "tasks were spawned at more places than are told apart: they are together in (other)",
            )]),
            _ => String::new(),
        }
    }

    /// Has a finding say what it rests on and was lost.
    pub(super) fn mark(&self, held: &mut Held) {
        held.evidence.extend(self.behind(held.name, held.grade));
    }
}

/// Those of which there are any, with a semicolon between.
fn listed(all: &[(u64, &str)]) -> String {
    let said = all.iter().filter(|(count, _)| *count > 0);
    let said: Vec<_> = said
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Losses = Losses {
        overwritten: 900,
        errors: 5,
        unrecorded: 0,
        unremembered: Unremembered {
            lone: 6,
            busy: 7,
            cancelled: 8,
        },
        unfollowed: 9,
        blocks: 2,
        calls: 3,
        unplaced: 4,
        failed: 1,
    };

    /// Each rule, with what it says when all is lost that can be; what rests on the task's own row, or
    /// a table's, loses nothing but with that row.
    const EACH: [(FindingName, Grade, &str); 21] = [
        (FindingName::Stranded, Grade::Certain, ""),
        (FindingName::Deadlocked, Grade::Certain, ""),
        // Where one wait was lost, no group is looked for at all: what is said rests on all of them.
        (FindingName::Deadlocked, Grade::Suspect, ""),
        (FindingName::LeftBehind, Grade::LeftBehind, ""),
        (FindingName::Blocked, Grade::Certain, ""),
        (FindingName::Blocked, Grade::Suspect, "2 blocks"),
        (FindingName::UnreadError, Grade::Warning, "5 ended rows"),
        (
            FindingName::BlockingCall,
            Grade::Warning,
            "3 blocking calls",
        ),
        (FindingName::Growing, Grade::Suspect, "4 tasks"),
        (FindingName::IdleOrphan, Grade::Suspect, "4 tasks"),
        (FindingName::StuckAbortable, Grade::Warning, "6 tasks"),
        (FindingName::Spinning, Grade::Warning, "7 busy tasks"),
        (FindingName::WakeStorm, Grade::Warning, "7 busy tasks"),
        (FindingName::IgnoredCancel, Grade::Warning, "8 tasks"),
        (FindingName::OutlivedParent, Grade::Suspect, ""),
        (FindingName::Starved, Grade::Warning, ""),
        (FindingName::NeverPolled, Grade::Warning, ""),
        (FindingName::NeverYields, Grade::Warning, ""),
        (FindingName::LateTimer, Grade::Warning, ""),
        (FindingName::OrphanTimer, Grade::Warning, ""),
        (FindingName::AbandonedFd, Grade::Suspect, ""),
    ];

    #[test]
    fn each_rule_tells_what_it_rests_on_and_was_lost() {
        let full = Losses {
            unrecorded: 33,
            ..ALL
        };
        for (name, grade, lost) in EACH {
            let said = ALL.behind(name, grade);
            let definite = matches!(grade, Grade::Certain | Grade::LeftBehind);
            match lost {
                "" => assert_eq!(said, None, "{name:?}"),
                lost => {
                    let said = said.unwrap();
                    let begins = format!("from incomplete data: {lost}");
                    assert!(said.starts_with(&begins), "{name:?}: {said}");
                    assert!(!said.contains(';'), "{name:?} names others: {said}");
                }
            }
            // Rows that are in no table are judged by no rule.
            let said = full.behind(name, grade);
            assert_eq!(said.is_none(), definite, "{name:?}");
            assert!(said.is_none_or(|said| said.contains("33 rows")), "{name:?}");
        }
        let rest = FindingName::ALL.into_iter();
        let rest = rest.filter(|name| EACH.iter().all(|(of, ..)| of != name));
        let rest: Vec<_> = rest.collect();
        // Of the task's own row, as those above; the orders of locks tell themselves what they forgot.
        assert_eq!(
            rest,
            [
                FindingName::LargeFuture,
                FindingName::LockOrder,
                FindingName::WakerHoard
            ]
        );
    }

    #[test]
    fn a_table_tells_what_is_missing_from_it_and_nothing_else() {
        let history = ALL.missing(Target::History);
        assert_eq!(history, "900 tasks that ended before were overwritten");
        assert_eq!(ALL.missing(Target::Tasks), "");
        assert_eq!(ALL.missing(Target::Overview), "");
        assert!(ALL.missing(Target::Blocks).starts_with("2 blocks"));
        assert!(ALL.missing(Target::Places).starts_with("4 tasks"));
        let findings = ALL.missing(Target::Findings);
        assert_eq!(findings.matches("; ").count(), 8, "{findings}");
        assert!(
            findings.ends_with("so no deadlock is looked for"),
            "{findings}"
        );
    }

    #[test]
    fn where_nothing_was_lost_nothing_is_said() {
        let none = Losses::default();
        for name in FindingName::ALL {
            assert_eq!(none.behind(name, Grade::Suspect), None);
        }
    }
}
