//! Blocks as findings: each block is known by its loop, by who ran and by when that began, so that
//! it is the same one whatever becomes known of its place; those of one place are shown as one.
//!
//! Knows neither stacks nor how a block is proven.

use std::collections::HashMap;

use loop_proto::finding as rules;
use loop_proto::pb::{FindingName, Kind as Subject};

use super::{Held, Key, Note, SHOWN_NS};
use crate::id::LoopId;
use crate::inspect::blocks::{Block, Blocks};
use crate::inspect::stack::names::PlaceKind;
use crate::record::current::Doing;
use crate::record::task::flag;

/// What a block is told from all others by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct BlockKey {
    loop_id: LoopId,
    /// The task or callback; 0 for the loop's own work.
    who: u64,
    doing: Doing,
    /// The tick at which it began to run.
    began: u64,
}

impl BlockKey {
    pub(super) fn of(block: &Block) -> Self {
        Self {
            loop_id: block.loop_id,
            who: block.task.map_or(0, |task| task.id),
            doing: block.doing,
            began: block.began,
        }
    }
}

/// Where the tasks of some blocks come from: their spawn, and the await before this poll.
type Origin = (LoopId, Doing, Option<(u32, Option<usize>)>);

/// One block that is shown.
pub(super) struct One {
    pub(super) key: BlockKey,
    pub(super) held: Held,
    origin: Origin,
    /// It has just begun, or names of its stack are on their way: its place is the one of its task.
    provisional: bool,
}

/// One finding: the blocks of one place, the oldest first.
pub(super) struct Fold {
    pub(super) members: Vec<BlockKey>,
    pub(super) held: Held,
}

/// Which finding each block that is shown belongs to.
pub(super) type Filed = HashMap<BlockKey, u64>;

/// Puts blocks of one place together; each counts once, and the oldest speaks for all.
///
/// One whose place is not known yet is taken for one more of those that its kind of task had, if
/// there are any: else each would be a finding of its own for a moment.
pub(super) fn fold(mut blocks: Vec<One>) -> Vec<Fold> {
    blocks.sort_by_key(|one| {
        let (key, since) = (one.key, one.held.since_ns);
        (one.provisional, since, key.loop_id.get(), key.began)
    });
    let mut folds: Vec<Fold> = Vec::new();
    let mut at_place: HashMap<(String, bool), usize> = HashMap::new();
    let mut of_origin: HashMap<Origin, usize> = HashMap::new();
    for one in blocks {
        let One { key, held, .. } = one;
        let text = held.culprit.as_ref().map(|(text, _)| text.clone());
        let place = (text.unwrap_or_default(), held.user);
        let alike = of_origin.get(&one.origin).filter(|_| one.provisional);
        let at = match alike {
            Some(at) => *at,
            None => *at_place.entry(place).or_insert(folds.len()),
        };
        of_origin.insert(one.origin, at);
        match folds.get_mut(at) {
            Some(fold) if fold.members.contains(&key) => {}
            Some(fold) => {
                fold.members.push(key);
                fold.held.count += 1;
            }
            None => folds.push(Fold {
                members: vec![key],
                held,
            }),
        }
    }
    folds
}

/// The finding that `fold` was before: the first of its blocks' that nobody has taken yet.
pub(super) fn same_as(fold: &Fold, filed: &Filed, before: &mut HashMap<Key, Held>) -> Option<Held> {
    let ids = fold.members.iter().filter_map(|member| filed.get(member));
    ids.into_iter()
        .find_map(|id| before.remove(&Key::Blocks(*id)))
}

/// Blocks that last, and those that ended within the last minute.
pub(super) fn judge(note: &mut Note<'_>, blocks: &Blocks, all: &mut Vec<One>) {
    let id = note.at.record.id;
    let now = note.look.now;
    let young = |tick: u64| now.since(tick) < SHOWN_NS;
    let recent = blocks.recent(id).into_iter();
    let recent = recent.filter(|block| block.ended.is_some_and(young));
    for block in recent.chain(blocks.now(id)) {
        let Some(held) = held(note, &block) else {
            continue;
        };
        let task = block.task.map(|task| {
            let awaited = task.await_place.map(|at| std::ptr::from_ref(at) as usize);
            (task.site, awaited)
        });
        let unnamed = block.place.kind != PlaceKind::Culprit;
        all.push(One {
            key: BlockKey::of(&block),
            held,
            origin: (block.loop_id, block.doing, task),
            provisional: unnamed && (block.ended.is_none() || block.samples.wants_names()),
        });
    }
}

fn held(note: &mut Note<'_>, block: &Block) -> Option<Held> {
    let facts = crate::inspect::wire::blocks::facts(block, &note.look.now);
    let mut verdict = rules::blocked(&facts)?;
    verdict.evidence.push(block.cause.words.clone());
    if let Some(behind) = block.behind.filter(|behind| behind.tasks > 0) {
        let word = if block.ended.is_some() {
            "waited"
        } else {
            "wait"
        };
        let tasks = behind.tasks;
        let some = if tasks == 1 { "task" } else { "tasks" };
        verdict
            .evidence
            .push(format!("{tasks} {some} {word} behind it"));
    }
    let (subject, subject_id, subject_name) = match block.task {
        Some(task) => {
            let name = note
                .look
                .task_name(note.at, task.name, task.number, task.kind, task.site);
            *note.by_task.entry(task.id).or_default() |= FindingName::Blocked.bit();
            (Subject::Task, task.id, Some(name))
        }
        None => {
            verdict.evidence.push(block.work().to_owned());
            (Subject::Loop, block.loop_id.get().into(), None)
        }
    };
    let internal = block
        .task
        .is_some_and(|task| task.flags & flag::INTERNAL != 0);
    let now = note.look.now.mono;
    Some(Held {
        id: 0,
        name: verdict.name,
        grade: verdict.grade,
        subject,
        subject_id,
        subject_name,
        loop_id: note.at.record.id,
        place: None,
        culprit: Some((block.place.text.clone(), block.place.kind)),
        function: block.place.function.clone(),
        evidence: verdict.evidence,
        since_ns: verdict.since_ns.min(now),
        last_seen_ns: now,
        count: 1,
        measured_ns: verdict.measured_ns,
        limit_ns: verdict.limit_ns,
        user: !internal && !note.at.record.facts.internal,
        cleared: false,
    })
}

#[cfg(test)]
mod tests {
    use loop_proto::pb::Grade;

    use super::*;
    use crate::inspect::judge::Judge;

    /// A block of task 7 that began at tick `began`, with its place as it is known at one walk.
    fn block(on: LoopId, began: u64, place: &str) -> One {
        let key = BlockKey {
            loop_id: on,
            who: 7,
            doing: Doing::Polling,
            began,
        };
        let held = Held {
            id: 0,
            name: FindingName::Blocked,
            grade: Grade::Certain,
            subject: Subject::Task,
            subject_id: 7,
            subject_name: None,
            loop_id: on,
            place: None,
            culprit: Some((place.to_owned(), PlaceKind::Culprit)),
            function: String::new(),
            evidence: Vec::new(),
            since_ns: began,
            last_seen_ns: began,
            count: 1,
            measured_ns: None,
            limit_ns: None,
            user: true,
            cleared: false,
        };
        One {
            key,
            held,
            origin: (on, Doing::Polling, Some((1, None))),
            provisional: false,
        }
    }

    /// What holds after a walk that saw `blocks`: place, count and id, the oldest first.
    fn walk(judge: &mut Judge, blocks: Vec<One>) -> Vec<(String, u64, u64)> {
        judge.replace(HashMap::new(), fold(blocks), 1_000);
        let mut held: Vec<&Held> = judge.holds().collect();
        held.sort_by_key(|held| held.since_ns);
        held.iter()
            .map(|held| (held.culprit.clone().unwrap().0, held.count, held.id))
            .collect()
    }

    fn row(place: &str, count: u64, id: u64) -> (String, u64, u64) {
        (place.to_owned(), count, id)
    }

    #[test]
    fn a_block_whose_place_becomes_known_is_still_the_same() {
        let (mut judge, on) = (Judge::default(), LoopId::next());
        let at = |place| vec![block(on, 100, place)];
        assert_eq!(
            walk(&mut judge, at("spawn.rs:1")),
            [row("spawn.rs:1", 1, 1)]
        );
        assert_eq!(judge.news.len(), 1);
        assert_eq!(
            walk(&mut judge, at("parse.rs:54")),
            [row("parse.rs:54", 1, 1)]
        );
        assert!(judge.news.is_empty(), "nobody is told of it twice");
        assert_eq!(judge.cleared().count(), 0, "nothing of it has ended");
        // The next poll of the same task is another block.
        let next = vec![block(on, 900, "spawn.rs:1")];
        assert_eq!(walk(&mut judge, next), [row("spawn.rs:1", 1, 2)]);
        assert_eq!(judge.cleared().count(), 1);
        let told: Vec<_> = judge
            .news
            .iter()
            .map(|held| (held.id, held.cleared))
            .collect();
        assert_eq!(told, [(1, true), (2, false)], "what holds is said last");
    }

    #[test]
    fn blocks_of_one_place_are_one_finding_that_counts_each_once() {
        let (mut judge, on) = (Judge::default(), LoopId::next());
        let a = || block(on, 100, "parse.rs:54");
        let b = || block(on, 200, "parse.rs:54");
        // The running block is listed among the ended ones too, for a moment.
        assert_eq!(walk(&mut judge, vec![a(), a()]), [row("parse.rs:54", 1, 1)]);
        assert_eq!(walk(&mut judge, vec![a(), b()]), [row("parse.rs:54", 2, 1)]);
        assert!(judge.news.is_empty());
        // The first is a minute old and no longer shown: the finding goes on.
        assert_eq!(walk(&mut judge, vec![b()]), [row("parse.rs:54", 1, 1)]);
        assert_eq!(judge.cleared().count(), 0);
    }

    #[test]
    fn a_block_that_turns_out_to_be_of_a_known_place_joins_it_and_clears_nothing() {
        let (mut judge, on) = (Judge::default(), LoopId::next());
        let a = || block(on, 100, "parse.rs:54");
        let unnamed = vec![a(), block(on, 200, "spawn.rs:1")];
        let both = [row("parse.rs:54", 1, 1), row("spawn.rs:1", 1, 2)];
        assert_eq!(walk(&mut judge, unnamed), both);
        let named = vec![a(), block(on, 200, "parse.rs:54")];
        assert_eq!(walk(&mut judge, named), [row("parse.rs:54", 2, 1)]);
        assert_eq!(judge.cleared().count(), 0, "it was folded, it did not end");
    }

    #[test]
    fn a_block_whose_place_is_not_known_yet_counts_with_those_of_its_kind_of_task() {
        let (mut judge, on) = (Judge::default(), LoopId::next());
        let a = || block(on, 100, "parse.rs:54");
        let begins = |provisional| One {
            provisional,
            ..block(on, 200, "spawn.rs:1")
        };
        let both = vec![a(), begins(true)];
        assert_eq!(walk(&mut judge, both), [row("parse.rs:54", 2, 1)]);
        // It ended and nobody knows more: then its place is what is known.
        let apart = [row("parse.rs:54", 1, 1), row("spawn.rs:1", 1, 2)];
        assert_eq!(walk(&mut judge, vec![a(), begins(false)]), apart);
        // Alone it is a finding at once.
        let mut judge = Judge::default();
        let alone = vec![begins(true)];
        assert_eq!(walk(&mut judge, alone), [row("spawn.rs:1", 1, 1)]);
    }

    #[test]
    fn what_a_finding_has_moved_to_is_told_to_who_keeps_findings() {
        let (mut judge, on) = (Judge::default(), LoopId::next());
        walk(&mut judge, vec![block(on, 100, "spawn.rs:1")]);
        walk(&mut judge, vec![block(on, 100, "parse.rs:54")]);
        let moved: Vec<_> = judge.moved.iter().map(|(id, to)| (*id, to.id)).collect();
        assert_eq!(moved, [(1, 1)], "its place became known");
        let parted = vec![block(on, 100, "parse.rs:54"), block(on, 200, "spawn.rs:1")];
        walk(&mut judge, parted);
        assert!(judge.moved.is_empty());
        let joined = vec![block(on, 100, "parse.rs:54"), block(on, 200, "parse.rs:54")];
        walk(&mut judge, joined);
        let moved: Vec<_> = judge.moved.iter().map(|(id, to)| (*id, to.id)).collect();
        assert_eq!(moved, [(2, 1)], "it was folded");
    }

    #[test]
    fn blocks_that_part_keep_the_finding_with_the_older_one() {
        let (mut judge, on) = (Judge::default(), LoopId::next());
        let one = vec![block(on, 100, "spawn.rs:1"), block(on, 200, "spawn.rs:1")];
        assert_eq!(walk(&mut judge, one), [row("spawn.rs:1", 2, 1)]);
        let two = vec![block(on, 100, "a.rs:1"), block(on, 200, "b.rs:2")];
        let parted = [row("a.rs:1", 1, 1), row("b.rs:2", 1, 2)];
        assert_eq!(walk(&mut judge, two), parted);
        assert_eq!(judge.news.len(), 1, "the younger one is new");
    }
}
