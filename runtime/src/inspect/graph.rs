//! The await graph around one task: what it waits for and who waits for it, from task to task. Each
//! level is one pass over the tables. Knows no stream.

use std::panic::Location;

use loop_proto::pb;

use super::desk::Desk;
use super::ids::{IdMap, IdSet};
use super::judge::Judge;
use super::tables::Look;
use super::waiters::Waiters;
use super::waits::{Found, Wanted};
use super::wire::Extras;
use crate::record::resource::{self, ResourceFacts};
use crate::record::task::{On, State, TaskFacts, WaitingOn};

/// Steps that one answer lists in each direction.
const STEPS: usize = 256;
/// How deep a chain is followed.
const DEPTH: usize = 32;

/// One thing that a task waits for.
#[derive(Clone, Copy)]
pub(crate) struct Tie {
    pub(crate) on: WaitingOn,
    /// Its `.await`, where that is known.
    pub(crate) place: Option<&'static Location<'static>>,
    /// Nanoseconds on CLOCK_MONOTONIC.
    pub(crate) since: Option<u64>,
}

/// One task and all that it waits for; nothing unless it waits.
struct Waiting {
    facts: TaskFacts,
    ties: Vec<Tie>,
}

/// Those of `tasks` that live.
fn facts_of(look: &Look, tasks: &IdSet) -> IdMap<TaskFacts> {
    let mut all: IdMap<TaskFacts> = IdMap::default();
    for at in &look.loops {
        for (_, row) in at.record.tasks.live() {
            if tasks.contains(&row.task_id()) {
                let facts = row.read().filter(|facts| facts.state != State::Done);
                all.extend(facts.map(|facts| (facts.id, facts)));
            }
        }
    }
    all
}

/// What each of `tasks` waits for, all arms of a `select!`: one pass a table.
fn waits_of(look: &Look, tasks: &IdSet) -> IdMap<Waiting> {
    let waiting = |facts| Waiting {
        facts,
        ties: Vec::new(),
    };
    let facts = facts_of(look, tasks).into_iter();
    let mut all: IdMap<Waiting> = facts.map(|(id, facts)| (id, waiting(facts))).collect();
    let mut told: Vec<(u64, Tie)> = Vec::new();
    for at in &look.loops {
        let record = &at.record;
        let tie = |on, id, since| Tie {
            on: WaitingOn::new(on, id),
            place: None,
            since,
        };
        for facts in record.timers.live().filter_map(|(_, row)| row.read()) {
            if facts.armed && tasks.contains(&facts.owner) {
                let since = Some(facts.armed_at);
                // No arm but the last one states where it is awaited: a timer was set where its arm is.
                let tie = Tie {
                    place: facts.place,
                    ..tie(On::Timer, facts.id, since)
                };
                told.push((facts.owner, tie));
            }
        }
        for facts in record.sources.live().filter_map(|(_, row)| row.read()) {
            let both = [facts.reader, facts.writer];
            let once = usize::from(both[0] == both[1]);
            for task in both.iter().skip(once).filter(|task| tasks.contains(task)) {
                told.push((*task, tie(On::Source, facts.id, None)));
            }
        }
        for facts in record.resources.live().filter_map(|(_, row)| row.read()) {
            // All waits for anything but a future have rows of their own, which say more.
            if facts.kind == resource::Kind::Future && tasks.contains(&facts.waiter) {
                told.push((facts.waiter, tie(On::Resource, facts.id, None)));
            }
        }
    }
    for at in &look.loops {
        for facts in at.record.waits.live().filter_map(|(_, row)| row.read()) {
            if tasks.contains(&facts.task) {
                // The row of a resource names its first waiter too.
                told.retain(|(task, tie)| *task != facts.task || tie.on != facts.on);
                let tie = Tie {
                    on: facts.on,
                    place: facts.place,
                    since: Some(look.now.mono_of(facts.since)),
                };
                told.push((facts.task, tie));
            }
        }
    }
    for (task, tie) in told {
        if let Some(waiting) = all.get_mut(&task) {
            waiting.ties.push(tie);
        }
    }
    for waiting in all.values_mut() {
        waiting.settle(look);
    }
    all
}

impl Waiting {
    /// What the task itself stated last comes first, with its await.
    fn settle(&mut self, look: &Look) {
        let facts = &self.facts;
        if facts.state != State::Wait {
            self.ties.clear();
            return;
        }
        if facts.waits > 0 {
            let on = facts.waiting_on;
            let since = self.ties.iter().find(|tie| tie.on == on);
            // Where no table says since when, it has waited since its last poll at least.
            let polled = look.now.mono_of(facts.woken_at);
            let since = since.and_then(|tie| tie.since).or(Some(polled));
            let place = facts.waiting_at;
            self.ties.retain(|tie| tie.on != on);
            self.ties.insert(0, Tie { on, place, since });
        }
    }
}

/// One edge: `task` waits, `next` has to act.
struct Step {
    depth: usize,
    task: u64,
    tie: Tie,
    next: u64,
    ring: bool,
}

impl Step {
    /// At the first level; the tree knows better.
    fn new(task: u64, tie: Tie, next: u64) -> Self {
        Self {
            depth: 1,
            task,
            tie,
            next,
            ring: false,
        }
    }
}

/// The tasks that could end a wait for a thing: who holds the lock, who has permits, who is known to
/// have all handles on what is set, sent or put to.
fn actors(facts: &ResourceFacts, judge: &Judge) -> Vec<u64> {
    if facts.kind == resource::Kind::Semaphore {
        let mut tasks: Vec<u64> = (facts.permits.into_iter())
            .filter(|task| *task != 0)
            .collect();
        tasks.sort_unstable();
        tasks.dedup();
        return tasks;
    }
    if facts.holder != 0 {
        return vec![facts.holder];
    }
    judge
        .keepers_of(facts.id)
        .map_or_else(Vec::new, <[u64]>::to_vec)
}

/// Who could end the waits for the resources that `waiting` names.
fn holders<'a>(
    look: &Look,
    judge: &Judge,
    waiting: impl Iterator<Item = &'a Waiting>,
) -> IdMap<Vec<u64>> {
    let on = waiting.flat_map(|waiting| &waiting.ties).map(|tie| tie.on);
    let wanted: IdSet = on
        .filter(|on| on.kind() == On::Resource)
        .map(WaitingOn::id)
        .collect();
    let mut holders = IdMap::default();
    for_resources(look, |facts| {
        if wanted.contains(&facts.id) {
            holders.insert(facts.id, actors(&facts, judge));
        }
    });
    holders
}

fn for_resources(look: &Look, mut take: impl FnMut(ResourceFacts)) {
    for at in &look.loops {
        for facts in at.record.resources.live().filter_map(|(_, row)| row.read()) {
            take(facts);
        }
    }
}

/// Puts edges that were found level by level into the order of a tree, `to` being the end of an
/// edge that lies further from `root`. Each task is written out once, where it comes first.
fn in_order(root: u64, mut of: IdMap<Vec<Step>>, to: impl Fn(&Step) -> u64) -> Vec<Step> {
    let mut order: Vec<Step> = Vec::new();
    let mut path = vec![root];
    let mut open: Vec<Step> = of.remove(&root).into_iter().flatten().rev().collect();
    while let Some(mut step) = open.pop() {
        path.truncate(step.depth);
        let end = to(&step);
        step.ring = end != 0 && path.contains(&end);
        path.push(end);
        let below = step.depth + 1;
        let next = of.remove(&end).into_iter().flatten().rev();
        open.extend(next.map(|next| Step {
            depth: below,
            ..next
        }));
        order.push(step);
    }
    order
}

/// What `root` waits for, how many edges are left out, and the tasks that were met.
fn down(look: &Look, judge: &Judge, root: u64) -> (Vec<Step>, usize, IdMap<Waiting>) {
    let mut met: IdMap<Waiting> = IdMap::default();
    let mut of: IdMap<Vec<Step>> = IdMap::default();
    let mut seen: IdSet = [root].into_iter().collect();
    let mut level: IdSet = [root].into_iter().collect();
    let (mut listed, mut cut) = (0, 0);
    for depth in 1.. {
        let waits = waits_of(look, &level);
        let holders = holders(look, judge, waits.values());
        let mut ids: Vec<u64> = waits.keys().copied().collect();
        ids.sort_unstable();
        level.clear();
        for task in ids {
            for tie in &waits[&task].ties {
                let task_itself = [tie.on.id()];
                let next: &[u64] = match tie.on.kind() {
                    On::Task => &task_itself,
                    On::Resource => holders.get(&tie.on.id()).map_or(&[], Vec::as_slice),
                    _ => &[],
                };
                // What nobody is known to end is an edge all the same.
                for next in if next.is_empty() { &[0] } else { next } {
                    if listed == STEPS || depth > DEPTH {
                        cut += 1;
                        continue;
                    }
                    listed += 1;
                    if *next != 0 && seen.insert(*next) {
                        level.insert(*next);
                    }
                    let step = Step::new(task, *tie, *next);
                    of.entry(task).or_default().push(step);
                }
            }
        }
        met.extend(waits);
        if level.is_empty() {
            break;
        }
    }
    (in_order(root, of, |step| step.next), cut, met)
}

/// Who waits for `root`, and how many edges are left out.
fn up(look: &Look, judge: &Judge, root: u64) -> (Vec<Step>, usize) {
    let mut of: IdMap<Vec<Step>> = IdMap::default();
    let mut seen: IdSet = [root].into_iter().collect();
    let mut level: IdSet = [root].into_iter().collect();
    let (mut listed, mut cut) = (0, 0);
    for depth in 1.. {
        let mut held: IdMap<Vec<u64>> = IdMap::default();
        for_resources(look, |facts| {
            let mut tasks = actors(&facts, judge);
            tasks.retain(|task| level.contains(task));
            if !tasks.is_empty() {
                held.insert(facts.id, tasks);
            }
        });
        let joins = Waiters::of(look, On::Task, |id| level.contains(&id));
        let locks = Waiters::of(look, On::Resource, |id| held.contains_key(&id));
        let mut ids: Vec<u64> = level.drain().collect();
        ids.sort_unstable();
        let mut held: Vec<(u64, Vec<u64>)> = held.into_iter().collect();
        held.sort_unstable();
        for next in ids {
            let join = WaitingOn::new(On::Task, next);
            let mut edges: Vec<_> = joins.get(next).iter().map(|one| (join, one)).collect();
            for (lock, _) in held.iter().filter(|(_, tasks)| tasks.contains(&next)) {
                let on = WaitingOn::new(On::Resource, *lock);
                edges.extend(locks.get(*lock).iter().map(|one| (on, one)));
            }
            for (on, waiter) in edges {
                if listed == STEPS || depth > DEPTH {
                    cut += 1;
                    continue;
                }
                listed += 1;
                if seen.insert(waiter.task) {
                    level.insert(waiter.task);
                }
                let tie = Tie {
                    on,
                    place: waiter.place,
                    since: waiter.since,
                };
                let step = Step::new(waiter.task, tie, next);
                of.entry(next).or_default().push(step);
            }
        }
        if level.is_empty() {
            break;
        }
    }
    (in_order(root, of, |step| step.task), cut)
}

/// Both directions of the graph around `id`, as fields of its page, and what it waits for itself.
pub(crate) fn around(look: &Look, desk: &mut Desk, id: u64) -> (pb::TaskDetail, Vec<Tie>) {
    let (awaits, awaits_cut, mut met) = down(look, &desk.judge, id);
    let ties = (met.get_mut(&id)).map_or_else(Vec::new, |root| std::mem::take(&mut root.ties));
    let mut tasks: IdMap<TaskFacts> = (met.into_iter())
        .map(|(id, waiting)| (id, waiting.facts))
        .collect();
    let (awaited_by, awaited_by_cut) = up(look, &desk.judge, id);
    let both = || awaits.iter().chain(&awaited_by);
    let mut wanted = Wanted {
        tasks: both().flat_map(|step| [step.task, step.next]).collect(),
        ..Wanted::default()
    };
    wanted.tasks.remove(&0);
    let unmet: IdSet = (wanted.tasks.iter().copied())
        .filter(|id| !tasks.contains_key(id))
        .collect();
    if !unmet.is_empty() {
        tasks.extend(facts_of(look, &unmet));
    }
    for step in both() {
        wanted.add(step.tie.on);
    }
    let found = Found::of(look, &wanted);
    let mut wire = desk.wire(look, &found, None, Extras::ALL);
    let mut message = |step: &Step| {
        let facts = tasks.get(&step.task)?;
        let next = tasks.get(&step.next);
        let (on_task_name, _) = wire.task_by_id(step.next);
        Some(pb::AwaitStep {
            depth: step.depth as u32,
            task_id: step.task,
            task_name: wire.task_by_id(step.task).0,
            wait: Some(wire.wait_on(step.tie.on, facts, step.tie.place, step.tie.since)),
            on_task_id: step.next,
            on_task_name,
            on_task_state: next.map_or(pb::TaskState::Unspecified as i32, |next| {
                super::live::task_state(next.state) as i32
            }),
            ring: step.ring,
        })
    };
    let detail = pb::TaskDetail {
        awaits: awaits.iter().filter_map(&mut message).collect(),
        awaits_cut: awaits_cut as u32,
        awaited_by: awaited_by.iter().filter_map(&mut message).collect(),
        awaited_by_cut: awaited_by_cut as u32,
        ..pb::TaskDetail::default()
    };
    (detail, ties)
}
