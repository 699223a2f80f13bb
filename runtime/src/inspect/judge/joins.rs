//! Tasks that wait for each other: who holds whose wakers, as far as the tables tell.

use loop_proto::finding::{Holder, Joined, Verdict, deadlocked};
use loop_proto::pb::{FindingName, Grade};

use super::{About, Note, Subject};
use crate::inspect::ids::IdMap;
use crate::inspect::live::of_the_app;
use crate::inspect::tables::{Look, Spot};
use crate::inspect::waits::{Found, Wanted};
use crate::record::task::{On, State, TaskFacts, flag};

/// More waits for tasks and locks than this are not followed.
const MOST: usize = 1 << 18;

/// So many tasks of a group have a line of their own among the evidence.
const TOLD: usize = 16;

/// One task whose only waker lies where the record says.
#[derive(Clone, Copy)]
struct Wait {
    spot: Spot,
    polls: u64,
    handles: u32,
    since_ns: u64,
    /// The task it joins, or the resource it waits for; 0: nobody can wake it.
    on: u64,
    lock: bool,
}

/// The waits of one walk.
#[derive(Default)]
pub(super) struct Joins {
    waits: IdMap<Wait>,
    full: bool,
}

impl Joins {
    /// Takes in a task that waits. One with a second waker, or that waits for more than one thing,
    /// is not listed and counts as one that can move.
    #[inline]
    pub(super) fn offer(&mut self, spot: Spot, facts: &TaskFacts, since_ns: u64) {
        if facts.state != State::Wait || facts.polls == 0 || facts.has(flag::FOREVER) {
            return;
        }
        let (on, lock) = match (facts.wakers, facts.waits, facts.waiting_on.kind()) {
            (..=0, ..) => (0, false),
            (1, 1, On::Task) => (facts.waiting_on.id(), false),
            (1, 1, On::Resource) => (facts.waiting_on.id(), true),
            _ => return,
        };
        if self.waits.len() >= MOST {
            self.full = true;
            return;
        }
        let wait = Wait {
            spot,
            polls: facts.polls,
            handles: facts.handles,
            since_ns,
            on,
            lock,
        };
        self.waits.insert(facts.id, wait);
    }

    /// The groups that cannot move, if the walk before saw every member in the same wait.
    pub(super) fn groups(&self, look: &Look, before: &Joins) -> Vec<Vec<u64>> {
        if self.full || self.waits.values().all(|wait| wait.on == 0) {
            return Vec::new();
        }
        let mut wanted = Wanted::default();
        let locks = self.waits.values().filter(|wait| wait.lock);
        wanted.resources.extend(locks.map(|wait| wait.on));
        let found = Found::of(look, &wanted);
        let mut joiners: IdMap<u32> = IdMap::default();
        for wait in self.waits.values().filter(|wait| !wait.lock) {
            *joiners.entry(wait.on).or_default() += 1;
        }
        let joined = |(id, wait): (&u64, &Wait)| {
            let holder = if wait.lock {
                found
                    .resources
                    .get(&wait.on)
                    .map(|(facts, _)| facts.holder)
                    .filter(|holder| *holder != 0)
                    .map_or(Holder::Other, Holder::Task)
            } else {
                Holder::Task(wait.on)
            };
            Joined {
                id: *id,
                // Handles beyond those of the tasks that wait for it are somebody's who may cancel.
                can_move: wait.handles > joiners.get(id).copied().unwrap_or(0),
                woken_by: if wait.on == 0 {
                    Vec::new()
                } else {
                    vec![holder]
                },
            }
        };
        let tasks: Vec<Joined> = self.waits.iter().map(joined).collect();
        let same = |id: &u64| {
            let (now, then) = (self.waits.get(id), before.waits.get(id));
            now.zip(then)
                .is_some_and(|(now, then)| now.polls == then.polls && now.on == then.on)
        };
        let mut groups = deadlocked(&tasks);
        groups.retain(|group| group.iter().all(same));
        groups
    }

    /// Adds what a group comes to, as the finding of its first task.
    pub(super) fn note(&self, group: &[u64], note: &mut Note<'_>) {
        let look = note.look;
        let waits = || group.iter().filter_map(|id| self.waits.get(id));
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
        let grade = if waits().any(|wait| wait.lock) {
            Grade::Suspect
        } else {
            Grade::Certain
        };
        let mut evidence = vec![match group.len() {
            1 => "the task can only be woken by itself".to_owned(),
            count => format!("{count} tasks can only be woken by each other"),
        }];
        evidence.extend(self.told(group, look));
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

    /// A line for each task of a group: where it waits, for what, and who has that.
    fn told(&self, group: &[u64], look: &Look) -> Vec<String> {
        let mut wanted = Wanted::default();
        let told = || {
            let waits = group.iter().take(TOLD).map(|id| (*id, self.waits.get(id)));
            waits.filter_map(|(id, wait)| Some((id, wait?)))
        };
        for (id, wait) in told() {
            wanted.tasks.insert(id);
            match wait.lock {
                true => wanted.resources.insert(wait.on),
                false => wanted.tasks.insert(wait.on),
            };
        }
        let found = Found::of(look, &wanted);
        let task = |id: u64| match found.tasks.get(&id) {
            Some(name) if name.number != 0 => format!("task {id} {} {}", name.text, name.number),
            Some(name) => format!("task {id} {}", name.text),
            None => format!("task {id}"),
        };
        let line = |(id, wait): (u64, &Wait)| {
            let at = look.at(wait.spot).and_then(|at| {
                let facts = at.record.tasks.get(wait.spot.slot)?.read()?;
                let same = facts.id == id && facts.polls == wait.polls;
                facts.waiting_at.filter(|place| same && of_the_app(place))
            });
            let at = at.map_or_else(String::new, |place| format!(" at {place}"));
            let who = task(id);
            match found.resources.get(&wait.on) {
                _ if wait.on == 0 => format!("{who} waits{at} and nothing can wake it"),
                _ if !wait.lock => format!("{who} joins{at} {}", task(wait.on)),
                None => format!("{who} waits{at} for a thing that is gone"),
                Some((lock, name)) => {
                    let made = lock
                        .place
                        .map_or_else(String::new, |place| format!(" made at {place}"));
                    let space = if name.is_empty() { "" } else { " " };
                    let since = look.now.since(lock.held_since) / 1_000_000;
                    format!(
                        "{who} waits{at} for the lock{space}{name}{made}, which task {} has had for {since} ms",
                        lock.holder
                    )
                }
            }
        };
        let mut lines: Vec<String> = told().map(line).collect();
        if group.len() > TOLD {
            lines.push(format!("and {} more", group.len() - TOLD));
        }
        lines
    }

    pub(super) fn bytes(&self) -> usize {
        self.waits.len() * (size_of::<Wait>() + 16)
    }
}
