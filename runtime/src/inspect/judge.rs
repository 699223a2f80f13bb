//! What is wrong, by the rules that both ends share, asked of the live tables in one walk. What is
//! certain is said only after two walks agreed. Knows no message and no viewer.

use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loop_proto::finding::{self as rules, Limits, Verdict};
use loop_proto::pb::{FindingName, Grade, Kind as Subject};

use super::blocks::Blocks;
use super::ids::{IdMap, IdSet};
use super::names;
use super::stack::copies::Copies;
use super::stack::names::PlaceKind;
use super::tables::{Look, LoopLook, Spot, TaskName, since};
use crate::id::LoopId;
use crate::record::slab::CHUNK;
use crate::record::task::{Kind, On, State, TaskFacts, TaskRow, flag};

mod blocks;
mod calls;
mod drops;
mod facts;
pub(crate) mod growth;
mod joins;
pub(crate) mod losses;
mod orders;
#[cfg(test)]
mod tests;
mod things;
mod usual;
use blocks::Fold;
use drops::Drops;
use facts::{Seen, said};
use growth::Growth;
use losses::Losses;
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
    pub(crate) limits: Limits,
    /// Where last wakers were dropped.
    pub(crate) copies: Copies,
    /// When the last walk ended, and what it cost of CPU time.
    pub(crate) at: u64,
    pub(crate) took: u64,
    pub(crate) walks: u64,
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
        }
    }

    /// Walks on over `chunks` chunks of tasks. True: all are done, call `end`.
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

    /// Ends a walk: what it found holds, what it did not find is cleared.
    pub(crate) fn end(&mut self, mut walk: Walk, blocks: Option<&Blocks>) {
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
            judge_ended(&mut note);
            calls::judge(&mut note);
            orders::judge(&mut note);
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
            let groups = walk.seen.joins.groups(&walk.look, &self.seen.joins);
            walk.seen.joins.note_all(&groups, &mut note);
        }
        let losses = Losses::of(&walk.look, blocks, walk.seen.unremembered);
        let found = walk.found.values_mut();
        found
            .chain(walk.blocks.iter_mut().map(|one| &mut one.held))
            .for_each(|held| losses.mark(held));
        let now = walk.look.now.mono;
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

    /// Tasks that the last walk had no room to remember.
    pub(crate) fn unremembered(&self) -> u64 {
        self.seen.unremembered
    }

    pub(crate) fn bytes(&self) -> usize {
        self.by_task.len() * 32
            + self.seen.bytes()
            + self.growth.bytes()
            + self.usual.bytes()
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

#[inline]
fn judge_task(
    note: &mut Note<'_>,
    row: &TaskRow,
    (spot, facts): (Spot, TaskFacts),
    before: &Seen,
    seen: &mut Seen,
    limits: &Limits,
    aside: &mut Aside<'_>,
) {
    if facts.parent != 0 {
        seen.parents.entry(facts.parent).or_default();
    }
    if facts.kind != Kind::Callback && before.parents.contains_key(&facts.id) {
        seen.alive.insert(facts.id);
    }
    if facts.state == State::Done || !note.look.shows(facts.flags) {
        return;
    }
    let now = note.look.now;
    let lone = facts.state == State::Wait && facts.polls > 0 && facts.wakers <= 0;
    let settled = lone && {
        // Said only when two walks saw the same poll: what was on its way then has come by now.
        let again = row
            .read_settled()
            .is_some_and(|again| again.id == facts.id && again.polls == facts.polls);
        if again && seen.lone.len() < KEPT {
            seen.lone.insert(facts.id, facts.polls);
        } else if again {
            seen.unremembered += 1;
        }
        again && before.lone.get(&facts.id) == Some(&facts.polls)
    };
    let on = if facts.waits > 0 {
        facts.waiting_on.kind()
    } else {
        On::Nothing
    };
    let site = note.at.site(facts.site);
    let tick = match facts.state {
        State::Run => since(&note.at.record, row, State::Run),
        _ => facts.woken_at,
    };
    let mut since_ns = now.mono.saturating_sub(now.since(tick));
    if facts.state == State::Run {
        // It runs for that much less long, as to what a poll may take.
        let allowed = note.at.record.allowed_since(tick, crate::clock::ticks());
        since_ns += crate::clock::ticks_to_ns(allowed.ticks);
    }
    let since_ns = since_ns.min(now.mono);
    seen.joins.offer(spot, &facts, since_ns);
    let usual = &mut *aside.usual;
    usual.look_at(&facts, since_ns, &now, limits.idle_ns);
    // Asked only of those of whom it may be said.
    let rests = facts.state == State::Wait
        && facts.handles == 0
        && facts.wakers > 0
        && now.mono.saturating_sub(since_ns) >= limits.idle_ns;
    let usual_idle_ns = rests
        .then(|| {
            let finished = || usual::finished(&note.at.record, facts.site);
            usual.sleep((facts.loop_id, facts.site), finished)
        })
        .flatten();
    let of_rules = rules::TaskFacts {
        at_ns: now.mono,
        state: match facts.state {
            State::Run => rules::State::Run,
            State::Ready => rules::State::Ready,
            State::Wait => rules::State::Wait,
            State::Done => rules::State::Done,
        },
        since_ns,
        settled,
        polls: facts.polls,
        wakers: facts.wakers.max(0) as u64,
        handles: facts.handles.into(),
        allowed_forever: facts.has(flag::FOREVER),
        pending_on_purpose: on == On::Forever,
        // Of several things the last is known: one of the others may be a timer.
        waits_for_timer: on == On::Timer || facts.waits > 1,
        waits_for_visitors: matches!(on, On::Signal | On::Child | On::Job | On::Task)
            || on == On::Source && aside.doors.contains(&facts.waiting_on.id()),
        parent_ended_ns: before.parent_ended(facts.parent),
        // Asked to cancel when its group was dropped; if others asked again since, it was before.
        group_dropped_ns: facts.has(flag::OUTLIVED).then(|| {
            let asked = note.at.record.requests.of(facts.id);
            asked.map_or(now.mono, |asked| now.mono_of(asked.last))
        }),
        scope_ended_ns: facts
            .has(flag::LEFT)
            .then(|| note.at.record.facts.scope_ended().unwrap_or(now.mono)),
        grace_over: facts.has(flag::LEFT),
        cancel_requested_ns: (facts.cancels > 0).then(|| {
            if let Some(asked) = note.at.record.requests.of(facts.id) {
                return now.mono_of(asked.first);
            }
            // Forgotten, since many others were asked: not before it was first seen so.
            seen.first(&before.cancelled, facts.id, now.mono, |seen| {
                &mut seen.cancelled
            })
        }),
        usual_idle_ns,
        ready_tasks: Some(note.at.record.stats.ready.load(Ordering::Relaxed).into())
            .filter(|ready| *ready > 0),
        window: seen.window(
            before,
            &facts,
            since_ns,
            now.mono,
            (spot.at, &note.at.record),
        ),
        future_bytes: Some(site.size as u64),
    };
    let verdicts = rules::of_task(&of_rules, limits);
    if verdicts.is_empty() {
        return;
    }
    let about = About {
        subject: Subject::Task,
        id: facts.id,
        name: Some(note.look.name_of(note.at, &facts)),
        place: site.place,
        function: names::of_type(site.type_name).to_owned(),
        user: !facts.has(flag::INTERNAL) && !note.at.record.facts.internal,
        awaits: (facts.waits > 0 && facts.state == State::Wait)
            .then_some(facts.waiting_at)
            .flatten()
            .filter(super::live::of_the_app),
    };
    for mut verdict in verdicts {
        if matches!(
            verdict.name,
            FindingName::Stranded | FindingName::StuckAbortable
        ) {
            // Only of the one that stands for all of its place.
            if note.would_tell(&verdict, &about) {
                let told = aside.drops.told(&facts, note, aside.copies);
                verdict.evidence.push(told);
            }
        }
        if verdict.name.is_of_leaks() && note.would_tell(&verdict, &about) {
            verdict.evidence.push(drops::origin(&facts));
        }
        note.add(verdict, &about);
    }
}

/// What a walk looks things up in.
struct Aside<'a> {
    drops: &'a Drops,
    doors: &'a IdSet,
    copies: &'a mut Copies,
    usual: &'a mut Usual,
}
