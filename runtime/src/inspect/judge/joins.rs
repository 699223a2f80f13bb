//! Tasks that wait for each other: who holds whose wakers, as far as the tables tell.

use std::sync::atomic::Ordering;

use loop_proto::finding::{Verdict, Waits};
use loop_proto::pb::{FindingName, Grade};

use super::{About, Note, Subject};
use crate::inspect::ids::{IdMap, IdSet};
use crate::inspect::keepers::{Asked, Keepers};
use crate::inspect::tables::{Look, Spot};
use crate::record::resource::{Kind as Thing, LISTED, state};
use crate::record::task::{On, State, TaskFacts, flag};

mod told;

/// More waits for tasks and locks than this are not followed.
const MOST: usize = 1 << 21;

/// So many groups have evidence of their own; the rest only counts.
const TOLD: usize = 16;

/// One task whose only waker lies where the record says.
#[derive(Clone, Copy)]
struct Wait {
    id: u64,
    spot: Spot,
    polls: u64,
    handles: u32,
    since_ns: u64,
    /// The task it joins, or the resource it waits for; 0: nobody can wake it.
    on: u64,
    thing: bool,
}

/// The waits of one walk, and afterwards of them those of whom one walk thinks that nothing can
/// wake them.
#[derive(Default)]
pub(super) struct Joins {
    waits: Vec<Wait>,
    /// Waits that there was no room for: no group is looked for then.
    unfollowed: u64,
    /// What was asked for of things whose handles were looked for and found, and who has them.
    asked: Vec<Asked>,
    kept: IdMap<Vec<u64>>,
}

/// Who has a thing that tasks wait for.
enum Has {
    Lock {
        holder: u64,
    },
    /// Its row in `Holders::semaphores`.
    Semaphore(u32),
    /// Who has the handles on it could end a wait: its row in `Holders::open`.
    Open(u32),
}

struct Semaphore {
    id: u64,
    permits: [u64; LISTED],
    waiters: u32,
}

/// What is known of the things that are waited for. What is not there can be given up by anybody.
#[derive(Default)]
struct Holders {
    of: IdMap<Has>,
    semaphores: Vec<Semaphore>,
    open: Vec<Asked>,
}

impl Holders {
    /// One pass over the tables of resources.
    fn of(look: &Look) -> Self {
        let relaxed = Ordering::Relaxed;
        let mut all = Self::default();
        for at in &look.loops {
            for (_, row) in at.record.resources.live() {
                let kind = row.kind.load(relaxed);
                if row.waiters.load(relaxed) == 0 {
                    continue;
                }
                if kind == Thing::Lock as u8 {
                    let (holder, moved) = (row.holder(), row.moved());
                    if holder != 0 && !moved {
                        all.of.insert(row.resource_id(), Has::Lock { holder });
                    }
                } else if kind == Thing::Semaphore as u8 {
                    let Some(facts) = row.read() else { continue };
                    let named = facts.permits.iter().filter(|task| **task != 0).count();
                    // Who has the others, or adds some by hand, is not known.
                    let known = named > 0
                        && named == facts.out as usize
                        && facts.state & state::BY_HAND == 0;
                    if known {
                        let number = all.semaphores.len() as u32;
                        all.of.insert(facts.id, Has::Semaphore(number));
                        all.semaphores.push(Semaphore {
                            id: facts.id,
                            permits: facts.permits,
                            waiters: facts.waiters,
                        });
                    }
                } else if row.handle.load(relaxed) != 0
                    && let Some(asked) = row.read().as_ref().and_then(Asked::of)
                {
                    all.of.insert(asked.id, Has::Open(all.open.len() as u32));
                    all.open.push(asked);
                }
            }
        }
        all
    }
}

/// What a task waits for, and whether that is a thing, where its only waker lies there. `None`: it may
/// move for another reason.
#[inline]
fn what(facts: &TaskFacts) -> Option<(u64, bool)> {
    if facts.state != State::Wait || facts.polls == 0 || facts.has(flag::FOREVER) {
        return None;
    }
    match (facts.wakers, facts.waits, facts.waiting_on.kind()) {
        (..=0, ..) => Some((0, false)),
        (1, 1, On::Task) => Some((facts.waiting_on.id(), false)),
        (1, 1, On::Resource) => Some((facts.waiting_on.id(), true)),
        _ => None,
    }
}

/// Who could wake whom, and the numbers of tasks and things in that.
struct Graph {
    waits: Waits,
    numbers: IdMap<u32>,
    open: Vec<u32>,
}

impl Graph {
    /// The waits, what is open being nobody's.
    fn of(waits: &[Wait], holders: &Holders) -> Self {
        let mut graph = Waits::for_tasks(waits.len());
        let mut numbers: IdMap<u32> = IdMap::default();
        numbers.reserve(waits.len());
        for wait in waits {
            numbers.insert(wait.id, graph.task(wait.id));
        }
        let things: Vec<u32> = holders.semaphores.iter().map(|_| graph.thing()).collect();
        let open: Vec<u32> = holders.open.iter().map(|_| graph.thing()).collect();
        let mut queued = vec![0u32; things.len()];
        let mut joiners = vec![0u32; waits.len()];
        for (wait, number) in waits.iter().zip(0..) {
            let by = match wait.thing {
                false if wait.on == 0 => continue,
                false => numbers.get(&wait.on).inspect(|number| {
                    joiners[**number as usize] += 1;
                }),
                true => match holders.of.get(&wait.on) {
                    Some(Has::Lock { holder }) => numbers.get(holder),
                    Some(Has::Semaphore(at)) => {
                        let thing = &things[*at as usize];
                        queued[*at as usize] += 1;
                        // Whoever stands before it and leaves lets it have its turn.
                        graph.woken_by(*thing, number);
                        Some(thing)
                    }
                    Some(Has::Open(at)) => Some(&open[*at as usize]),
                    None => None,
                },
            };
            match by {
                Some(by) => graph.woken_by(number, *by),
                None => graph.moves(number),
            }
        }
        for (wait, number) in waits.iter().zip(0..) {
            // Handles beyond those of the tasks that wait for it are somebody's who may cancel.
            if wait.handles > joiners[number as usize] {
                graph.moves(number);
            }
        }
        for (at, semaphore) in holders.semaphores.iter().enumerate() {
            let has = semaphore.permits.iter().filter(|task| **task != 0);
            let has: Option<Vec<u32>> = has.map(|task| numbers.get(task).copied()).collect();
            match has {
                Some(has) if queued[at] >= semaphore.waiters => {
                    for task in has {
                        graph.woken_by(things[at], task);
                    }
                }
                _ => graph.moves(things[at]),
            }
        }
        Self {
            waits: graph,
            numbers,
            open,
        }
    }

    /// What is open that tasks wait for who cannot be woken unless by who has a handle on it.
    fn doubted(&self, waits: &[Wait], holders: &Holders) -> Vec<usize> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let alive = self.waits.alive();
        let mut doubted = vec![false; self.open.len()];
        let stuck = waits.iter().zip(&alive).filter(|(_, alive)| !**alive);
        for (wait, _) in stuck.filter(|(wait, _)| wait.thing) {
            if let Some(Has::Open(at)) = holders.of.get(&wait.on) {
                doubted[*at as usize] = true;
            }
        }
        (0..doubted.len()).filter(|at| doubted[*at]).collect()
    }

    /// These tasks have all the handles on what is open at `at`; `None`: that is not known.
    fn kept(&mut self, at: usize, by: Option<&Vec<u64>>) {
        let thing = self.open[at];
        let by: Option<Vec<u32>> = by.and_then(|by| {
            by.iter()
                .map(|task| self.numbers.get(task).copied())
                .collect()
        });
        match by {
            Some(by) => by
                .into_iter()
                .for_each(|task| self.waits.woken_by(thing, task)),
            None => self.waits.moves(thing),
        }
    }
}

impl Joins {
    /// Takes in a task that waits. One with a second waker, or that waits for more than one thing,
    /// is not listed and counts as one that can move.
    #[inline]
    pub(super) fn offer(&mut self, spot: Spot, facts: &TaskFacts, since_ns: u64) {
        let Some((on, thing)) = what(facts) else {
            return;
        };
        if self.waits.len() >= MOST {
            self.unfollowed += 1;
            return;
        }
        self.waits.push(Wait {
            id: facts.id,
            spot,
            polls: facts.polls,
            handles: facts.handles,
            since_ns,
            on,
            thing,
        });
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }

    /// The groups that cannot move, as far as one look can tell. After this the waits of all others
    /// are forgotten.
    pub(super) fn groups(&mut self, look: &Look, keepers: &mut Keepers) -> Vec<Vec<u64>> {
        let groups = self.candidates(look, keepers);
        let members: IdSet = groups.iter().flatten().copied().collect();
        self.waits.retain(|wait| members.contains(&wait.id));
        self.waits.shrink_to_fit();
        self.waits.sort_unstable_by_key(|wait| wait.id);
        groups
    }

    /// Whether every member of a group is still in the wait that it was found in.
    pub(super) fn is_still(&self, group: &[u64], look: &Look) -> bool {
        let same = |wait: &Wait| {
            let row = look
                .at(wait.spot)
                .and_then(|at| at.record.tasks.get(wait.spot.slot));
            let facts = row.and_then(|row| row.read_settled());
            facts.is_some_and(|facts| {
                (facts.id, facts.polls, facts.handles) == (wait.id, wait.polls, wait.handles)
                    && what(&facts) == Some((wait.on, wait.thing))
            })
        };
        group.iter().all(|id| self.wait(*id).is_some_and(same))
    }

    /// Of `groups` those whose things are still found with the same tasks, when looked for again.
    pub(super) fn still_kept(
        &self,
        groups: &mut Vec<Vec<u64>>,
        look: &Look,
        keepers: &mut Keepers,
    ) {
        if self.asked.is_empty() || groups.is_empty() {
            return;
        }
        keepers.of(look, &self.asked);
        let same = |wait: &Wait| match self.kept.get(&wait.on).filter(|_| wait.thing) {
            Some(kept) => keepers.known(wait.on) == Some(kept.as_slice()),
            None => true,
        };
        groups.retain(|group| group.iter().all(|id| self.wait(*id).is_none_or(same)));
    }

    fn candidates(&mut self, look: &Look, keepers: &mut Keepers) -> Vec<Vec<u64>> {
        if self.unfollowed > 0 || self.waits.iter().all(|wait| wait.on == 0) {
            return Vec::new();
        }
        let holders = Holders::of(look);
        let mut graph = Graph::of(&self.waits, &holders);
        // As if nobody had a handle on what is open: who is stuck then may be stuck, and the rest is
        // not. Only of what those wait for it is worth looking who has them.
        let asked = graph.doubted(&self.waits, &holders);
        let asked: Vec<Asked> = keepers.some_of(asked.into_iter().map(|at| holders.open[at]));
        let kept = keepers.of(look, &asked);
        for (at, open) in holders.open.iter().enumerate() {
            graph.kept(at, kept.get(&open.id));
        }
        self.asked = asked;
        self.asked.retain(|asked| kept.contains_key(&asked.id));
        self.kept = kept;
        graph.waits.groups()
    }

    /// The wait of a member of a group.
    fn wait(&self, id: u64) -> Option<&Wait> {
        let at = self.waits.binary_search_by_key(&id, |wait| wait.id);
        at.ok().map(|at| &self.waits[at])
    }

    /// Adds what groups come to, each as the finding of its first task.
    pub(super) fn note_all(&self, groups: &[Vec<u64>], note: &mut Note<'_>) {
        let told = told::of(self, note.look, groups.iter().take(TOLD));
        for (group, evidence) in groups
            .iter()
            .zip(told.into_iter().chain(std::iter::repeat(None)))
        {
            self.note(group, evidence, note);
        }
    }

    fn note(&self, group: &[u64], told: Option<told::Told>, note: &mut Note<'_>) {
        let look = note.look;
        let waits = || group.iter().filter_map(|id| self.wait(*id));
        let Some(first) = waits().next() else { return };
        let Some(at) = look.at(first.spot) else {
            return;
        };
        note.at = at;
        let row = at.record.tasks.get(first.spot.slot);
        let Some(facts) = row.and_then(|row| row.read()) else {
            return;
        };
        let site = at.site(facts.site);
        let grade = match waits().any(|wait| wait.thing) {
            true => Grade::Suspect,
            false => Grade::Certain,
        };
        let mut evidence = vec![match group.len() {
            1 => "the task can only be woken by itself".to_owned(),
            count => format!("{count} tasks can only be woken by each other"),
        }];
        evidence.extend(told.unwrap_or_default());
        evidence.extend(self.doubt(waits()));
        let verdict = Verdict {
            name: FindingName::Deadlocked,
            grade,
            evidence,
            since_ns: waits().map(|wait| wait.since_ns).max().unwrap_or(0),
            measured_ns: None,
            limit_ns: None,
        };
        for id in group {
            *note.by_task.entry(*id).or_default() |= FindingName::Deadlocked.bit();
        }
        let about = About {
            subject: Subject::Task,
            id: facts.id,
            name: Some(look.name_of(at, &facts)),
            place: site.place,
            function: crate::inspect::names::of_type(site.type_name).to_owned(),
            user: !facts.has(flag::INTERNAL) && !at.record.facts.internal,
            // Told with what it waits for, as of all others.
            awaits: None,
        };
        note.add(verdict, &about);
    }

    /// Why it is not certain, if it is not.
    fn doubt<'w>(&self, mut waits: impl Iterator<Item = &'w Wait>) -> Option<String> {
        let mut things = waits.by_ref().filter(|wait| wait.thing).peekable();
        things.peek()?;
        let doubt = match things.any(|wait| self.kept.contains_key(&wait.on)) {
            true => {
                "who has the other ends was read in the tasks' memory, where one that was given away can still be seen"
            }
            false => "a guard or a permit could have been given to another task unseen",
        };
        Some(format!("suspected, not certain: {doubt}"))
    }

    pub(super) fn bytes(&self) -> usize {
        self.waits.len() * size_of::<Wait>()
    }
}
