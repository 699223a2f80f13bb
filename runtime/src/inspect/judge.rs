//! What is wrong, by the rules that both ends share, asked of the live tables in one walk. What is
//! certain is said only after a second look, a while later, at those of whom it may be said. Knows
//! no message and no viewer.

use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use loop_proto::finding::{Limits, Verdict};
use loop_proto::pb::{FindingName, Grade, Kind as Subject};

use super::blocks::Blocks;
use super::ids::{IdMap, IdSet};
use super::keepers::Keepers;
use super::stack::copies::Copies;
use super::stack::names::PlaceKind;
use super::tables::{Look, LoopLook, Spot, TaskName};
use crate::id::LoopId;
use crate::record::slab::CHUNK;

mod blocks;
mod calls;
mod doubts;
mod drops;
mod errors;
mod facts;
pub(crate) mod growth;
mod joins;
pub(crate) mod losses;
mod orders;
mod still;
mod tasks;
#[cfg(test)]
mod tests;
mod things;
mod usual;
use blocks::Fold;
use doubts::Doubts;
use drops::Drops;
use errors::Errors;
use facts::{Seen, said};
use growth::Growth;
use losses::Losses;
use tasks::{Aside, judge_task};
use things::{doors, judge_ended, judge_growth, judge_sources, judge_timers};
use usual::Usual;

/// Findings that hold no more and are kept.
const CLEARED: usize = 256;
/// A block is shown among the findings for so long after its end, nanoseconds.
const SHOWN_NS: u64 = 60_000_000_000;
/// Moments that are less apart are the same one.
const JITTER_NS: u64 = 1_000_000;
/// Facts of single tasks that are kept between two walks; more are not told apart.
const KEPT: usize = 1 << 20;

/// One fault: all subjects of one rule at one place.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: u64,
    pub(crate) name: FindingName,
    pub(crate) grade: Grade,
    pub(crate) subject: Subject,
    /// The first of them.
    pub(crate) subject_id: u64,
    pub(crate) subject_name: Option<TaskName>,
    pub(crate) loop_id: LoopId,
    pub(crate) place: Option<&'static Location<'static>>,
    /// The place in words and how it was found, of blocks: theirs is not known at compile time.
    pub(crate) culprit: Option<(String, PlaceKind)>,
    /// What stands for the subject in its fingerprint.
    pub(crate) function: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) since_ns: u64,
    pub(crate) last_seen_ns: u64,
    pub(crate) count: u64,
    pub(crate) measured_ns: Option<u64>,
    pub(crate) limit_ns: Option<u64>,
    /// It is about the app, not about the runtime.
    pub(crate) user: bool,
    pub(crate) cleared: bool,
}

/// What a finding is told from others by, walk after walk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    /// A rule, a place by its address (of late timers: their loop), and whether it is about the app.
    Place(FindingName, u64, bool),
    /// The finding's own id: `Judge::filed` says which blocks it is of.
    Blocks(u64),
}

/// What holds, and what held.
#[derive(Default)]
pub(crate) struct Judge {
    holds: HashMap<Key, Held>,
    cleared: VecDeque<Held>,
    /// The findings that the blocks which are shown belong to.
    filed: blocks::Filed,
    made: u64,
    by_task: Arc<IdMap<u64>>,
    seen: Seen,
    growth: Growth,
    usual: Usual,
    errors: Errors,
    losses: Losses,
    keepers: Keepers,
    pub(crate) limits: Limits,
    /// Where last wakers were dropped.
    pub(crate) copies: Copies,
    /// When the last walk ended, and what it cost of CPU time.
    pub(crate) at: u64,
    pub(crate) took: u64,
    pub(crate) walks: u64,
    /// Walks that ended by a panic.
    pub(crate) failed: u64,
    /// Has the next walk panic.
    #[cfg(test)]
    pub(crate) trips: bool,
    /// What changed with the last walk.
    pub(crate) news: Vec<Held>,
    /// Findings, by id, that go on as another one or at another place since then.
    pub(crate) moved: Vec<(u64, Held)>,
}

/// A walk that goes on.
pub(crate) struct Walk {
    look: Look,
    at: usize,
    slot: u32,
    found: HashMap<Key, Held>,
    blocks: Vec<blocks::One>,
    by_task: IdMap<u64>,
    seen: Seen,
    doubts: Doubts,
    drops: Drops,
    /// Sources at which visitors are waited for.
    doors: IdSet,
}

impl Judge {
    /// What holds now, in no order.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Held> {
        self.holds.values()
    }

    /// What held and no longer does, the latest first.
    pub(crate) fn cleared(&self) -> impl Iterator<Item = &Held> {
        self.cleared.iter().rev()
    }

    /// The names of what holds of each task, as bits.
    pub(crate) fn by_task(&self) -> Arc<IdMap<u64>> {
        self.by_task.clone()
    }

    /// The tasks that have all handles on the thing `id`, where two looks found that.
    pub(crate) fn keepers_of(&self, id: u64) -> Option<&[u64]> {
        self.keepers.known(id)
    }

    /// How many hold: certain, left behind, suspect, warning.
    pub(crate) fn counts(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        for held in self.holds.values() {
            let at = match held.grade {
                Grade::Certain => 0,
                Grade::LeftBehind => 1,
                Grade::Suspect => 2,
                Grade::Warning | Grade::Unspecified => 3,
            };
            counts[at] += held.count;
        }
        counts
    }

    /// Takes note of what passes whether anybody looks or not: who ended, and, once a slot of time
    /// has ended, who survives.
    pub(crate) fn note(&mut self, look: &Look) {
        self.usual.read_ended(look);
        self.growth.take(look, self.limits.slot_ns);
    }

    /// How long to wait before the next look, so that no slot of time passes unseen.
    pub(crate) fn pause(&self) -> Duration {
        const LEAST: Duration = Duration::from_millis(20);
        Duration::from_nanos(self.limits.slot_ns / 2).clamp(LEAST, Duration::from_secs(1))
    }

    /// Begins a walk.
    pub(crate) fn begin(&mut self, look: Look) -> Walk {
        #[cfg(test)]
        assert!(!std::mem::take(&mut self.trips), "a defect of the judge");
        self.note(&look);
        self.usual.begin_walk();
        Walk {
            drops: Drops::of(&look),
            doors: doors(&look),
            look,
            at: 0,
            slot: 0,
            found: HashMap::new(),
            blocks: Vec::new(),
            by_task: IdMap::default(),
            seen: Seen::default(),
            doubts: Doubts::default(),
        }
    }

    /// Walks on over `chunks` chunks of tasks. True: all are done.
    pub(crate) fn step(&mut self, walk: &mut Walk, chunks: u32) -> bool {
        let mut budget = chunks * CHUNK as u32;
        while let Some(at) = walk.look.loops.get(walk.at) {
            let slots = at.record.tasks.slots();
            let end = slots.min(walk.slot.saturating_add(budget));
            budget -= end - walk.slot;
            for slot in walk.slot..end {
                let Some(row) = at.record.tasks.get(slot) else {
                    continue;
                };
                let Some(facts) = row.read() else { continue };
                let mut note = Note {
                    look: &walk.look,
                    at,
                    found: &mut walk.found,
                    by_task: &mut walk.by_task,
                };
                let spot = Spot {
                    at: walk.at as u32,
                    slot,
                };
                judge_task(
                    &mut note,
                    row,
                    (spot, facts),
                    &self.seen,
                    &mut walk.seen,
                    &self.limits,
                    &mut Aside {
                        doubts: Some(&mut walk.doubts),
                        settled: false,
                        drops: &walk.drops,
                        doors: &walk.doors,
                        copies: &mut self.copies,
                        usual: &mut self.usual,
                    },
                );
            }
            if end < slots {
                walk.slot = end;
                return false;
            }
            (walk.at, walk.slot) = (walk.at + 1, 0);
            if budget == 0 {
                return false;
            }
        }
        true
    }

    /// All tasks were looked at. Whether some, or groups of them, are to be looked at again before
    /// the end, and that a while later: what was on its way to them has come by then.
    pub(crate) fn doubts(&mut self, walk: &mut Walk) -> bool {
        walk.doubts.groups = (walk.seen.joins).groups(&walk.look, &mut self.keepers);
        !walk.doubts.is_empty()
    }

    /// Looks again at tasks of whom one look is no proof, as many as `chunks` chunks hold. True: all
    /// are done.
    pub(crate) fn again(&mut self, walk: &mut Walk, chunks: u32) -> bool {
        for _ in 0..chunks * CHUNK as u32 {
            let Some(again) = walk.doubts.next(&walk.look) else {
                return true;
            };
            let Some(at) = walk.look.at(again.spot) else {
                continue;
            };
            let mut note = Note {
                look: &walk.look,
                at,
                found: &mut walk.found,
                by_task: &mut walk.by_task,
            };
            judge_task(
                &mut note,
                again.row(at),
                (again.spot, again.facts),
                &self.seen,
                &mut walk.seen,
                &self.limits,
                &mut Aside {
                    doubts: None,
                    settled: again.settled,
                    drops: &walk.drops,
                    doors: &walk.doors,
                    copies: &mut self.copies,
                    usual: &mut self.usual,
                },
            );
        }
        false
    }

    /// Walks from `look` to the end without a pause, on the calling thread.
    pub(crate) fn at_once(&mut self, look: Look, blocks: Option<&Blocks>, chunks: u32) {
        let mut walk = self.begin(look);
        while !self.step(&mut walk, chunks) {}
        self.doubts(&mut walk);
        while !self.again(&mut walk, chunks) {}
        self.end(walk, blocks);
    }

    /// Ends a walk: what it found holds, what it did not find is cleared.
    pub(crate) fn end(&mut self, mut walk: Walk, blocks: Option<&Blocks>) {
        let now = walk.look.now.mono;
        for at in &walk.look.loops {
            let mut note = Note {
                look: &walk.look,
                at,
                found: &mut walk.found,
                by_task: &mut walk.by_task,
            };
            let orphans = (&self.seen.orphans, &mut walk.seen.orphans);
            judge_timers(&mut note, &self.limits, self.walks, orphans);
            judge_growth(&mut note, &self.growth, &self.usual);
            judge_sources(&mut note, &self.limits);
            judge_ended(&mut note, &mut self.errors);
            calls::judge(&mut note);
            orders::judge(&mut note);
            still::judge(&mut note);
            if let Some(blocks) = blocks {
                blocks::judge(&mut note, blocks, &mut walk.blocks);
            }
        }
        if let Some(at) = walk.look.loops.first() {
            let mut note = Note {
                look: &walk.look,
                at,
                found: &mut walk.found,
                by_task: &mut walk.by_task,
            };
            let mut groups = walk.doubts.groups;
            groups.retain(|group| walk.seen.joins.is_still(group, &walk.look));
            (walk.seen.joins).still_kept(&mut groups, &walk.look, &mut self.keepers);
            walk.seen.joins.note_all(&groups, &mut note);
        }
        self.errors.settle(&walk.look, &mut walk.found, now);
        let losses = Losses {
            errors: self.errors.unseen(),
            unremembered: walk.seen.unremembered,
            unfollowed: walk.seen.joins.unfollowed(),
            ..Losses::of(&walk.look, blocks)
        };
        let found = walk.found.values_mut();
        found
            .chain(walk.blocks.iter_mut().map(|one| &mut one.held))
            .for_each(|held| losses.mark(held));
        self.losses = losses;
        self.usual.end_walk(now);
        walk.seen.settle(&walk.look, &self.seen, now);
        self.seen = walk.seen;
        self.by_task = Arc::new(walk.by_task);
        self.replace(walk.found, blocks::fold(walk.blocks), now);
        self.at = now;
        self.walks += 1;
    }

    fn replace(&mut self, found: HashMap<Key, Held>, folds: Vec<Fold>, now: u64) {
        let mut before = std::mem::replace(&mut self.holds, HashMap::with_capacity(found.len()));
        let filed = std::mem::take(&mut self.filed);
        self.news.clear();
        self.moved.clear();
        for (key, held) in found {
            let held = self.goes_on(held, before.remove(&key));
            self.holds.insert(key, held);
        }
        for fold in folds {
            let old = blocks::same_as(&fold, &filed, &mut before);
            let held = self.goes_on(fold.held, old);
            let members = fold.members.into_iter();
            self.filed.extend(members.map(|member| (member, held.id)));
            self.holds.insert(Key::Blocks(held.id), held);
        }
        for (key, mut gone) in before {
            // Its blocks are shown under another finding now: it was folded, it did not end.
            let mut members = filed.iter().filter(|(_, id)| key == Key::Blocks(**id));
            let to = members.find_map(|(member, _)| self.filed.get(member));
            if let Some(to) = to.and_then(|id| self.holds.get(&Key::Blocks(*id))) {
                self.moved.push((gone.id, to.clone()));
                continue;
            }
            gone.cleared = true;
            gone.last_seen_ns = now;
            self.news.push(gone.clone());
            self.keep_cleared(gone);
        }
        // Where one took the other's place, what holds is said last.
        self.news.sort_by_key(|held| !held.cleared);
    }

    /// `held` as what `old` was before, or as news.
    fn goes_on(&mut self, mut held: Held, old: Option<Held>) -> Held {
        match old {
            Some(old) => {
                held.id = old.id;
                if held.culprit != old.culprit {
                    self.moved.push((held.id, held.clone()));
                }
                // The same tick comes out some nanoseconds apart, as the clock's rate is refined.
                if old.since_ns < held.since_ns + JITTER_NS {
                    held.since_ns = old.since_ns;
                }
            }
            None => {
                self.made += 1;
                held.id = self.made;
                self.news.push(held.clone());
            }
        }
        held
    }

    fn keep_cleared(&mut self, held: Held) {
        if self.cleared.len() == CLEARED {
            self.cleared.pop_front();
        }
        self.cleared.push_back(held);
    }

    /// What the findings of the last walk rest on and was lost.
    pub(crate) fn losses(&self) -> Losses {
        self.losses
    }

    pub(crate) fn bytes(&self) -> usize {
        self.by_task.len() * 32
            + self.seen.bytes()
            + self.growth.bytes()
            + self.usual.bytes()
            + self.errors.bytes()
            + self.keepers.bytes()
            + self.holds.len() * size_of::<Held>()
    }
}

/// Where a walk notes what it finds.
struct Note<'a> {
    look: &'a Look,
    at: &'a LoopLook,
    found: &'a mut HashMap<Key, Held>,
    by_task: &'a mut IdMap<u64>,
}

/// Whom a verdict is about.
struct About {
    subject: Subject,
    id: u64,
    name: Option<TaskName>,
    place: Option<&'static Location<'static>>,
    function: String,
    user: bool,
    /// Where it waits; told among the evidence.
    awaits: Option<&'static Location<'static>>,
}

impl About {
    /// Under what a verdict of that name about this is kept.
    fn key(&self, name: FindingName) -> Key {
        let place = self
            .place
            .map_or(0, |place| std::ptr::from_ref(place) as u64);
        Key::Place(name, place, self.user)
    }
}

impl Note<'_> {
    /// Whether the evidence of this verdict would be shown: it is the first, or the oldest so far.
    fn would_tell(&self, verdict: &Verdict, about: &About) -> bool {
        let held = self.found.get(&about.key(verdict.name));
        held.is_none_or(|held| verdict.since_ns < held.since_ns)
    }

    fn add(&mut self, verdict: Verdict, about: &About) {
        if about.subject == Subject::Task {
            *self.by_task.entry(about.id).or_default() |= verdict.name.bit();
        }
        self.add_as(about.key(verdict.name), verdict, about);
    }

    fn add_as(&mut self, key: Key, verdict: Verdict, about: &About) {
        let now = self.look.now.mono;
        if let Some(held) = self.found.get_mut(&key) {
            held.count += 1;
            if verdict.since_ns < held.since_ns {
                held.since_ns = verdict.since_ns;
                held.measured_ns = verdict.measured_ns;
                (held.subject_id, held.subject_name) = (about.id, about.name);
                held.evidence = said(verdict.evidence, about.awaits);
                held.loop_id = self.at.record.id;
            }
            return;
        }
        let held = Held {
            id: 0,
            name: verdict.name,
            grade: verdict.grade,
            subject: about.subject,
            subject_id: about.id,
            subject_name: about.name,
            loop_id: self.at.record.id,
            place: about.place,
            culprit: None,
            function: about.function.clone(),
            evidence: said(verdict.evidence, about.awaits),
            since_ns: verdict.since_ns.min(now),
            last_seen_ns: now,
            count: 1,
            measured_ns: verdict.measured_ns,
            limit_ns: verdict.limit_ns,
            user: about.user,
            cleared: false,
        };
        self.found.insert(key, held);
    }
}
