//! What was wrong within the last hour: each fault once, with how often it was made, in a fixed
//! size. Knows no rule and no message.

use std::hash::{DefaultHasher, Hash, Hasher};

use loop_proto::pb::{FindingName, Grade};

use super::{HOUR, text_within};
use crate::inspect::judge::Held;

/// Faults that are kept.
pub(crate) const KEPT: usize = 512;
/// Bytes of text of one that are kept, its evidence and its place together.
pub(crate) const TEXT: usize = 1024;

/// Findings of one fault that are told apart.
const MOST_IDS: usize = 8;

/// A fault that holds or held.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    key: u64,
    /// The findings by which it holds; of the last one is `held`. Empty: it is over.
    ids: Vec<u64>,
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
        let ids = self.ids.capacity() * size_of::<u64>();
        size_of::<Self>() + ids + texts + culprit + held.function.len() + dump
    }

    /// It holds by `held` too.
    fn holds_by(&mut self, held: &Held) {
        self.held = short(held);
        self.cleared_ns = None;
        if !self.ids.contains(&held.id) {
            if self.ids.len() == MOST_IDS {
                self.ids.remove(0);
            }
            self.ids.push(held.id);
        }
    }

    /// `held`, by which it held, is over. It is over itself unless it holds by another one.
    fn is_over(&mut self, held: &Held, now: u64) {
        self.ids.retain(|id| *id != held.id);
        match self.ids.last() {
            Some(id) => self.held.id = *id,
            None => {
                self.held = short(held);
                self.cleared_ns = Some(now);
            }
        }
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
    ///
    /// What is over is known by its finding, since its place may have become another one; and it is
    /// taken in first, so that a fault which was made anew in the same walk holds.
    pub(crate) fn note(&mut self, news: &[Held], now: u64) {
        for held in news.iter().filter(|held| held.cleared) {
            let key = key(held);
            let same = |past: &Past| past.key == key;
            let by_id = self
                .rows
                .iter()
                .position(|past| past.ids.contains(&held.id));
            match by_id.or_else(|| self.rows.iter().position(same)) {
                // It holds by findings that go on, of which this is none.
                Some(at) if by_id.is_none() && !self.rows[at].ids.is_empty() => {}
                Some(at) => self.rows[at].is_over(held, now),
                // Made in a walk that this was not told of.
                None => self.push(Past {
                    key,
                    ids: Vec::new(),
                    held: short(held),
                    first_ns: held.since_ns.min(now),
                    made_ns: held.since_ns.min(now),
                    cleared_ns: Some(now),
                    times: 1,
                    dump: None,
                }),
            }
        }
        for held in news.iter().filter(|held| !held.cleared) {
            let key = key(held);
            match self.rows.iter_mut().find(|past| past.key == key) {
                Some(past) => {
                    past.holds_by(held);
                    past.made_ns = now;
                    past.times += 1;
                    past.dump = None;
                }
                None => self.push(Past {
                    key,
                    ids: vec![held.id],
                    held: short(held),
                    first_ns: now,
                    made_ns: now,
                    cleared_ns: None,
                    times: 1,
                    dump: None,
                }),
            }
        }
    }

    /// The finding `id` goes on as `held`: its place became known, or it was folded into another.
    pub(crate) fn moved(&mut self, id: u64, held: &Held) {
        let holds = |past: &Past| past.ids.contains(&id);
        let Some(at) = self.rows.iter().position(holds) else {
            return;
        };
        let key = key(held);
        let from = &mut self.rows[at];
        from.ids.retain(|other| *other != id);
        if from.key == key {
            from.holds_by(held);
            return;
        }
        // Others of that place stay where they are; the one that leaves was only thought to be of it.
        if let Some(id) = from.ids.last() {
            from.held.id = *id;
            from.times = from.times.saturating_sub(1).max(1);
            let mut alone = from.clone();
            alone.times = 1;
            alone.ids.clear();
            self.join(key, alone, held);
            return;
        }
        let gone = self.rows.remove(at);
        self.join(key, gone, held);
    }

    /// Puts `gone` to the fault `key`, which holds by `held`.
    fn join(&mut self, key: u64, gone: Past, held: &Held) {
        match self.rows.iter_mut().find(|past| past.key == key) {
            Some(past) => {
                past.holds_by(held);
                past.first_ns = past.first_ns.min(gone.first_ns);
                past.made_ns = past.made_ns.max(gone.made_ns);
                past.times += gone.times;
                past.dump = past.dump.take().or(gone.dump);
            }
            None => {
                let mut past = Past { key, ..gone };
                past.holds_by(held);
                self.push(past);
            }
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
        let holds = |past: &&mut Past| past.ids.contains(&id);
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
        KEPT * (size_of::<Past>() + MOST_IDS * size_of::<u64>() + TEXT + 32 * 24)
    }
}

/// The same of any two that tell of one fault: a rule at a place.
fn key(held: &Held) -> u64 {
    let mut hash = DefaultHasher::new();
    (held.name as i32, held.user).hash(&mut hash);
    match (&held.culprit, held.place) {
        // The worst of a loop's late timers is another one each time.
        _ if held.name == FindingName::LateTimer => held.loop_id.hash(&mut hash),
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
    use loop_proto::pb::Kind;

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

    /// Whether each row holds, and its place.
    fn states(kept: &Findings) -> Vec<(bool, &str)> {
        let rows = kept.rows().into_iter();
        rows.map(|past| {
            let place = past.held.culprit.as_ref().unwrap().0.as_str();
            (past.cleared_ns.is_none(), place)
        })
        .collect()
    }

    #[test]
    fn what_was_made_anew_in_the_walk_that_cleared_it_holds() {
        let at = |id| held(id, "src/a.rs:1:1", Grade::Certain);
        // In whatever order a walk tells of both.
        for made_first in [true, false] {
            let mut kept = Findings::default();
            kept.note(&[at(1)], 10);
            let mut news = [over(at(1)), at(2)];
            if made_first {
                news.reverse();
            }
            kept.note(&news, 20);
            assert_eq!(states(&kept), [(true, "src/a.rs:1:1")]);
            assert_eq!((kept.rows()[0].held.id, kept.rows()[0].times), (2, 2));
            kept.note(&[over(at(2))], 30);
            assert_eq!(states(&kept), [(false, "src/a.rs:1:1")]);
        }
    }

    #[test]
    fn a_fault_that_holds_by_two_findings_is_over_with_the_last_of_them() {
        let mut kept = Findings::default();
        let at = |id| held(id, "src/a.rs:1:1", Grade::Certain);
        kept.note(&[at(1)], 10);
        kept.note(&[at(2)], 20);
        kept.note(&[over(at(2))], 30);
        assert_eq!(states(&kept), [(true, "src/a.rs:1:1")]);
        assert_eq!(kept.rows()[0].held.id, 1, "by the one that goes on");
        kept.note(&[over(at(1))], 40);
        assert_eq!(states(&kept), [(false, "src/a.rs:1:1")]);
        // The end of what nobody heard of says nothing of one that goes on.
        kept.note(&[at(3)], 50);
        kept.note(&[over(at(9))], 60);
        assert_eq!(states(&kept), [(true, "src/a.rs:1:1")]);
    }

    #[test]
    fn late_timers_of_a_loop_are_one_fault_wherever_the_worst_of_them_was_set() {
        let late = |id, place| Held {
            name: FindingName::LateTimer,
            ..held(id, place, Grade::Warning)
        };
        let mut kept = Findings::default();
        for round in 0..2 {
            kept.note(&[late(round, "src/a.rs:1:1")], 10);
            kept.note(&[over(late(round, "src/b.rs:2:2"))], 20);
            assert_eq!(states(&kept), [(false, "src/b.rs:2:2")]);
        }
        assert_eq!(kept.rows()[0].times, 2);
    }

    #[test]
    fn one_of_two_findings_that_turns_out_to_be_of_another_place_leaves_the_other() {
        let mut kept = Findings::default();
        kept.note(&[held(1, "spawn.rs:1", Grade::Certain)], 10);
        kept.note(&[held(2, "spawn.rs:1", Grade::Certain)], 20);
        kept.moved(2, &held(2, "parse.rs:54", Grade::Certain));
        let mut now = states(&kept);
        now.sort_unstable();
        assert_eq!(now, [(true, "parse.rs:54"), (true, "spawn.rs:1")]);
        kept.note(&[over(held(1, "spawn.rs:1", Grade::Certain))], 30);
        assert_eq!(
            states(&kept),
            [(true, "parse.rs:54"), (false, "spawn.rs:1")]
        );
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
