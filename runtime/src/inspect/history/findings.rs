//! What was wrong within the last hour: each fault once, with how often it was made, in a fixed
//! size. Knows no rule and no message.

use std::hash::{DefaultHasher, Hash, Hasher};

use loop_proto::pb::Grade;

use super::{HOUR, text_within};
use crate::inspect::judge::Held;

/// Faults that are kept.
pub(crate) const KEPT: usize = 512;
/// Bytes of text of one that are kept, its evidence and its place together.
pub(crate) const TEXT: usize = 1024;

/// A fault that holds or held.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    key: u64,
    /// As it was last told.
    pub(crate) held: Held,
    pub(crate) first_ns: u64,
    pub(crate) made_ns: u64,
    pub(crate) cleared_ns: Option<u64>,
    pub(crate) times: u64,
    /// The file that the flight recorder wrote when it was made.
    pub(crate) dump: Option<Box<str>>,
}

impl Past {
    /// Who goes first when there is no room: what is over before what holds, the less certain
    /// before the more, the older before the later.
    fn worth(&self) -> (bool, u8, u64) {
        let grade = match self.held.grade {
            Grade::Certain => 3,
            Grade::LeftBehind => 2,
            Grade::Warning => 1,
            Grade::Suspect | Grade::Unspecified => 0,
        };
        let last = self.cleared_ns.unwrap_or(self.made_ns);
        (self.cleared_ns.is_none(), grade, last)
    }

    fn bytes(&self) -> usize {
        let held = &self.held;
        let texts = held
            .evidence
            .iter()
            .map(|line| line.len() + 24)
            .sum::<usize>();
        let culprit = held.culprit.as_ref().map_or(0, |(text, _)| text.len());
        let dump = self.dump.as_ref().map_or(0, |path| path.len());
        size_of::<Self>() + texts + culprit + held.function.len() + dump
    }
}

/// The faults of the last hour.
#[derive(Default)]
pub(crate) struct Findings {
    rows: Vec<Past>,
    /// Faults that had to give way.
    dropped: u64,
}

impl Findings {
    /// Takes in what a walk found made and cleared.
    pub(crate) fn note(&mut self, news: &[Held], now: u64) {
        for held in news {
            let key = key(held);
            let at = self.rows.iter().position(|past| past.key == key);
            match (at, held.cleared) {
                (Some(at), true) => {
                    let past = &mut self.rows[at];
                    past.held = short(held);
                    past.cleared_ns = Some(now);
                }
                (Some(at), false) => {
                    let past = &mut self.rows[at];
                    past.held = short(held);
                    past.made_ns = now;
                    past.cleared_ns = None;
                    past.times += 1;
                    past.dump = None;
                }
                (None, cleared) => self.push(Past {
                    key,
                    held: short(held),
                    // Made in a walk that this was not told of, if it was cleared in this one.
                    first_ns: if cleared { held.since_ns.min(now) } else { now },
                    made_ns: if cleared { held.since_ns.min(now) } else { now },
                    cleared_ns: cleared.then_some(now),
                    times: 1,
                    dump: None,
                }),
            }
        }
    }

    /// The finding `id` goes on as `held`: its place became known, or it was folded into another.
    pub(crate) fn moved(&mut self, id: u64, held: &Held) {
        let holds = |past: &Past| past.held.id == id && past.cleared_ns.is_none();
        let Some(at) = self.rows.iter().position(holds) else {
            return;
        };
        let key = key(held);
        if self.rows[at].key == key {
            return;
        }
        let gone = self.rows.remove(at);
        match self.rows.iter_mut().find(|past| past.key == key) {
            Some(past) => {
                past.held = short(held);
                past.first_ns = past.first_ns.min(gone.first_ns);
                past.made_ns = past.made_ns.max(gone.made_ns);
                past.cleared_ns = None;
                past.times += gone.times;
                past.dump = past.dump.take().or(gone.dump);
            }
            None => self.rows.push(Past {
                key,
                held: short(held),
                ..gone
            }),
        }
    }

    fn push(&mut self, past: Past) {
        if self.rows.len() < KEPT {
            self.rows.push(past);
            return;
        }
        self.dropped += 1;
        let least = self.rows.iter_mut().min_by_key(|past| past.worth());
        if let Some(least) = least.filter(|least| least.worth() <= past.worth()) {
            *least = past;
        }
    }

    /// Lets go of what was over an hour ago.
    pub(crate) fn age(&mut self, now: u64) {
        let from = now.saturating_sub(HOUR);
        self.rows
            .retain(|past| past.cleared_ns.is_none_or(|cleared| cleared >= from));
    }

    /// Notes which file tells more of the fault of that id.
    pub(crate) fn dumped(&mut self, id: u64, path: &str) {
        let holds = |past: &&mut Past| past.held.id == id && past.cleared_ns.is_none();
        if let Some(past) = self.rows.iter_mut().find(holds) {
            past.dump = Some(path.into());
        }
    }

    /// What holds first, the most certain first; then what is over, the latest first.
    pub(crate) fn rows(&self) -> Vec<&Past> {
        let mut rows: Vec<&Past> = self.rows.iter().collect();
        rows.sort_by_key(|past| {
            let (holds, grade, last) = past.worth();
            let grade = if holds { grade } else { 0 };
            std::cmp::Reverse((holds, grade, last))
        });
        rows
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.iter().map(Past::bytes).sum()
    }

    /// The most that `bytes` can come to.
    pub(crate) fn limit() -> usize {
        KEPT * (size_of::<Past>() + TEXT + 32 * 24)
    }
}

/// The same of any two that tell of one fault: a rule at a place.
fn key(held: &Held) -> u64 {
    let mut hash = DefaultHasher::new();
    (held.name as i32, held.user).hash(&mut hash);
    match (&held.culprit, held.place) {
        (Some((text, _)), _) => text.hash(&mut hash),
        (None, Some(place)) => std::ptr::from_ref(place).hash(&mut hash),
        // What has no place at all is told apart by its subject.
        (None, None) => held.subject_id.hash(&mut hash),
    }
    hash.finish()
}

/// A copy with no more text than fits.
fn short(held: &Held) -> Held {
    let mut room = TEXT;
    let mut held = held.clone();
    if let Some((text, _)) = &mut held.culprit {
        text_within(text, &mut room);
    }
    text_within(&mut held.function, &mut room);
    held.evidence.truncate(32);
    for line in &mut held.evidence {
        text_within(line, &mut room);
    }
    held.evidence.retain(|line| !line.is_empty());
    held
}

#[cfg(test)]
mod tests {
    use loop_proto::pb::{FindingName, Kind};

    use super::*;
    use crate::id::LoopId;
    use crate::inspect::stack::names::PlaceKind;

    fn held(id: u64, place: &str, grade: Grade) -> Held {
        Held {
            id,
            name: FindingName::Blocked,
            grade,
            subject: Kind::Task,
            subject_id: id,
            subject_name: None,
            loop_id: LoopId::from_raw(1),
            place: None,
            culprit: Some((place.to_owned(), PlaceKind::Culprit)),
            function: "f".repeat(700),
            evidence: vec!["e".repeat(300); 8],
            since_ns: 1,
            last_seen_ns: 1,
            count: 1,
            measured_ns: None,
            limit_ns: None,
            user: true,
            cleared: false,
        }
    }

    fn over(mut held: Held) -> Held {
        held.cleared = true;
        held
    }

    #[test]
    fn a_fault_whose_place_becomes_known_is_kept_once_and_at_its_place() {
        let mut kept = Findings::default();
        let at = |id, place| held(id, place, Grade::Certain);
        kept.note(&[at(1, "spawn.rs:1")], 10);
        kept.moved(1, &at(1, "parse.rs:54"));
        // Another one, which turns out to be the same fault.
        kept.note(&[at(2, "spawn.rs:1")], 20);
        kept.moved(2, &at(1, "parse.rs:54"));
        kept.moved(9, &at(9, "unknown.rs:1"));
        let rows = kept.rows();
        assert_eq!(rows.len(), 1);
        let place = rows[0].held.culprit.as_ref().unwrap().0.as_str();
        assert_eq!((place, rows[0].times), ("parse.rs:54", 2));
        assert_eq!((rows[0].first_ns, rows[0].made_ns), (10, 20));
    }

    #[test]
    fn an_hour_with_a_hundred_thousand_findings_stays_within_its_bound_and_says_what_it_dropped() {
        let mut kept = Findings::default();
        let second = 1_000_000_000;
        let mut most = 0;
        // A hundred thousand faults at as many places over an hour, and one that never ends.
        kept.note(&[held(1, "src/first.rs:1:1", Grade::Certain)], second);
        for number in 0..100_000_u64 {
            let now = 2 * second + number * 36_000_000;
            let fault = held(number + 2, &format!("src/{number}.rs:1:1"), Grade::Warning);
            kept.note(std::slice::from_ref(&fault), now);
            kept.note(&[over(fault)], now + 1_000_000);
            if number % 1_000 == 0 {
                kept.age(now);
                most = most.max(kept.bytes());
            }
        }
        most = most.max(kept.bytes());
        assert!(most <= Findings::limit(), "{most} of {}", Findings::limit());
        assert!(Findings::limit() <= 2 << 20, "{}", Findings::limit());
        assert_eq!(kept.rows().len(), KEPT);
        assert_eq!(kept.dropped(), 100_001 - KEPT as u64);
        let first = kept.rows()[0];
        assert_eq!(first.held.id, 1, "what holds stays, however old");
        assert_eq!(kept.rows()[1].held.id, 100_001, "then the latest");
    }

    #[test]
    fn a_fault_that_comes_and_goes_is_one_row_that_counts() {
        let mut kept = Findings::default();
        for round in 0..5 {
            let fault = held(round + 1, "src/a.rs:3:4", Grade::Warning);
            kept.note(std::slice::from_ref(&fault), 100 * round + 10);
            kept.note(&[over(fault)], 100 * round + 20);
        }
        let rows = kept.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].times, rows[0].first_ns), (5, 10));
        assert_eq!((rows[0].made_ns, rows[0].cleared_ns), (410, Some(420)));
    }

    #[test]
    fn what_was_over_an_hour_ago_is_forgotten_and_what_holds_is_not() {
        let mut kept = Findings::default();
        let (gone, holds) = (
            held(1, "src/a.rs:1:1", Grade::Certain),
            held(2, "src/b.rs:1:1", Grade::Suspect),
        );
        kept.note(&[gone.clone(), holds], 10);
        kept.note(&[over(gone)], 20);
        kept.age(20 + HOUR);
        assert_eq!(kept.rows().len(), 2);
        kept.age(21 + HOUR);
        assert_eq!(kept.rows().len(), 1);
        assert_eq!(kept.rows()[0].held.id, 2);
        assert_eq!(kept.dropped(), 0, "forgetting in time is no loss");
    }

    #[test]
    fn a_certain_finding_does_not_give_way_to_suspects() {
        let mut kept = Findings::default();
        for number in 0..KEPT as u64 {
            let fault = held(number, &format!("src/{number}.rs"), Grade::Certain);
            kept.note(std::slice::from_ref(&fault), number);
            kept.note(&[over(fault)], number);
        }
        let late = held(9_999, "src/late.rs", Grade::Suspect);
        kept.note(&[over(late)], 1_000_000);
        assert!(
            kept.rows()
                .iter()
                .all(|past| past.held.grade == Grade::Certain)
        );
        assert_eq!(kept.dropped(), 1);
    }
}
