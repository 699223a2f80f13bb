//! What a finding may rest on and was not kept: rows that found no place, ended rows that were
//! overwritten, tasks that a walk could not remember. Suspects, warnings and histories say so; what is
//! certain rests on none of it. Knows no rule but by its name.

use std::sync::atomic::Ordering;

use loop_proto::pb::{FindingName, Grade, Target};

use super::Held;
use crate::inspect::blocks::Blocks;
use crate::inspect::tables::Look;

/// What was lost, over all loops, since they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Ended rows that were overwritten.
    pub(crate) overwritten: u64,
    /// Rows that found their table full.
    pub(crate) unrecorded: u64,
    /// Tasks that the last walk had no room to remember.
    pub(crate) unremembered: u64,
    /// Blocks of which nothing but their number is known.
    pub(crate) blocks: u64,
}

impl Losses {
    pub(crate) fn of(look: &Look, blocks: Option<&Blocks>, unremembered: u64) -> Self {
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
            unremembered,
            blocks: records().map(|record| lost(record.id)).sum(),
        }
    }

    /// What a finding of that name and grade rests on and was lost, as a line of its evidence.
    pub(crate) fn behind(&self, name: FindingName, grade: Grade) -> Option<String> {
        if matches!(grade, Grade::Certain | Grade::LeftBehind) {
            return None;
        }
        let mut all = Vec::new();
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                all.push(format!("{count} {what}"));
            }
        };
        match name {
            FindingName::UnreadError => say(
                self.overwritten,
                "ended rows were overwritten, errors among them are not counted",
            ),
            FindingName::Blocked => say(
                self.blocks,
                "blocks were over before anything but their number was read",
            ),
            FindingName::Starved
            | FindingName::Spinning
            | FindingName::WakeStorm
            | FindingName::NeverYields
            | FindingName::IgnoredCancel
            | FindingName::OutlivedParent
            | FindingName::StuckAbortable => say(
                self.unremembered,
                "tasks were too many to be remembered from walk to walk, and are not judged by this",
            ),
            _ => {}
        }
        say(
            self.unrecorded,
            "rows found their table full, and are judged by nothing",
        );
        (!all.is_empty()).then(|| format!("from incomplete data: {}", all.join("; ")))
    }

    /// What is missing from the rows of a table, as a sentence; empty: nothing is.
    pub(crate) fn missing(&self, table: Target) -> String {
        let all = match table {
            Target::History => [
                (self.overwritten, "tasks that ended before were overwritten"),
                (0, ""),
            ],
            Target::Tasks
            | Target::Timers
            | Target::Io
            | Target::Jobs
            | Target::Resources
            | Target::Children => [(self.unrecorded, "rows found their table full"), (0, "")],
            Target::Findings => [
                (
                    self.unrecorded,
                    "rows found their table full and are not judged",
                ),
                (self.unremembered, "tasks were too many to be remembered"),
            ],
            Target::Blocks => [
                (self.blocks, "blocks are known by their number only"),
                (0, ""),
            ],
            _ => return String::new(),
        };
        let said = all.iter().filter(|(count, _)| *count > 0);
        let said: Vec<_> = said
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        said.join("; ")
    }

    /// Has a finding say what it rests on and was lost.
    pub(super) fn mark(&self, held: &mut Held) {
        held.evidence.extend(self.behind(held.name, held.grade));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Losses = Losses {
        overwritten: 5,
        unrecorded: 0,
        unremembered: 7,
        blocks: 2,
    };

    #[test]
    fn a_suspect_names_the_losses_that_it_rests_on_and_no_others() {
        let unread = ALL
            .behind(FindingName::UnreadError, Grade::Warning)
            .unwrap();
        assert!(
            unread.starts_with("from incomplete data: 5 ended rows"),
            "{unread}"
        );
        assert!(
            !unread.contains('7') && !unread.contains("blocks"),
            "{unread}"
        );
        let spins = ALL.behind(FindingName::Spinning, Grade::Warning).unwrap();
        assert!(spins.contains("7 tasks"), "{spins}");
        assert_eq!(ALL.behind(FindingName::LateTimer, Grade::Warning), None);
        let full = Losses {
            unrecorded: 3,
            ..ALL
        };
        let late = full.behind(FindingName::LateTimer, Grade::Warning).unwrap();
        assert!(late.contains("3 rows found their table full"), "{late}");
    }

    #[test]
    fn what_is_certain_rests_on_nothing_that_can_be_lost() {
        let full = Losses {
            unrecorded: 3,
            ..ALL
        };
        for grade in [Grade::Certain, Grade::LeftBehind] {
            assert_eq!(full.behind(FindingName::Stranded, grade), None);
            assert_eq!(full.behind(FindingName::LeftBehind, grade), None);
        }
    }

    #[test]
    fn a_table_tells_what_is_missing_from_it_and_nothing_else() {
        let history = ALL.missing(Target::History);
        assert_eq!(history, "5 tasks that ended before were overwritten");
        assert_eq!(ALL.missing(Target::Tasks), "");
        assert_eq!(ALL.missing(Target::Overview), "");
        assert!(ALL.missing(Target::Blocks).starts_with("2 blocks"));
    }

    #[test]
    fn where_nothing_was_lost_nothing_is_said() {
        let none = Losses::default();
        for name in FindingName::ALL {
            assert_eq!(none.behind(name, Grade::Suspect), None);
        }
    }
}
