//! The evidence of a deadlock: a chain, each task with what it waits for and who has that.

use super::{Joins, Wait};
use crate::inspect::ids::IdSet;
use crate::inspect::live::of_the_app;
use crate::inspect::tables::Look;
use crate::inspect::waits::{Found, Wanted};
use crate::record::resource::{Kind as Thing, ResourceFacts};

/// So many tasks of a group have a line of their own.
const LINES: usize = 16;

/// The lines of one group.
pub(super) type Told = Vec<String>;

/// The lines of each of `groups`; all is looked up in one pass a table.
pub(super) fn of<'g>(
    joins: &Joins,
    look: &Look,
    groups: impl Iterator<Item = &'g Vec<u64>> + Clone,
) -> Vec<Option<Told>> {
    if groups.clone().next().is_none() {
        return Vec::new();
    }
    let mut wanted = Wanted::default();
    // First the things, whose holders have names too.
    for wait in groups.clone().flatten().filter_map(|id| joins.wait(*id)) {
        if wanted.resources.len() < 1024 && wait.thing {
            wanted.resources.insert(wait.on);
        }
    }
    let things = Found::of(look, &wanted);
    let tellers: Vec<_> = groups
        .map(|group| {
            let chain = chain(joins, &things, group);
            (group.len() - chain.len(), chain)
        })
        .collect();
    let mut wanted = Wanted::default();
    for wait in tellers.iter().flat_map(|(_, chain)| chain) {
        wanted.tasks.insert(wait.id);
        if wait.thing {
            wanted.tasks.extend(holders(joins, &things, wait.on));
        } else {
            wanted.tasks.insert(wait.on);
        }
    }
    let names = Found::of(look, &wanted);
    let teller = Teller {
        joins,
        look,
        things: &things,
        names: &names,
    };
    let told = |(more, chain): &(usize, Vec<&Wait>)| {
        let mut lines: Told = chain.iter().map(|wait| teller.line(wait)).collect();
        if *more > 0 {
            lines.push(format!("and {more} more"));
        }
        Some(lines)
    };
    tellers.iter().map(told).collect()
}

/// The tasks that have a thing.
fn holders(joins: &Joins, things: &Found, id: u64) -> Vec<u64> {
    if let Some(kept) = joins.kept.get(&id) {
        return kept.clone();
    }
    let Some((thing, _)) = things.resources.get(&id) else {
        return Vec::new();
    };
    let permits = thing.permits.into_iter().filter(|task| *task != 0);
    let mut all: Vec<u64> = match thing.kind {
        Thing::Semaphore => permits.collect(),
        _ => vec![thing.holder],
    };
    all.dedup();
    all
}

/// The waits of a group in the order of telling: each task is followed by the one it waits for, and
/// the circle comes before those that wait behind it.
fn chain<'j>(joins: &'j Joins, things: &Found, group: &[u64]) -> Vec<&'j Wait> {
    let next = |wait: &Wait| match wait.thing {
        false => Some(wait.on),
        true => holders(joins, things, wait.on)
            .into_iter()
            .find(|id| *id != wait.id),
    };
    // Into the circle, if there is one: after as many steps as there are tasks one is in it.
    let mut at = group.first().copied();
    let mut seen = IdSet::default();
    while let Some(wait) = at.and_then(|id| joins.wait(id)) {
        if !seen.insert(wait.id) {
            break;
        }
        at = next(wait).filter(|id| *id != 0);
    }
    let circle = at.filter(|id| seen.contains(id));
    let mut told = IdSet::default();
    let mut chain = Vec::new();
    // The lowest id of the circle begins it, so that the same deadlock is always told alike.
    let mut around = IdSet::default();
    let mut step = circle;
    while let Some(wait) = step
        .and_then(|id| joins.wait(id))
        .filter(|wait| around.insert(wait.id))
    {
        step = next(wait);
    }
    let starts = around.iter().min().copied();
    for start in starts.into_iter().chain(group.iter().copied()) {
        let mut step = Some(start);
        while let Some(wait) = step.and_then(|id| joins.wait(id)) {
            if chain.len() == LINES {
                return chain;
            }
            if !told.insert(wait.id) {
                break;
            }
            chain.push(wait);
            step = next(wait);
        }
    }
    chain
}

/// A time in words.
fn span(ns: u64) -> String {
    match ns / 1_000_000 {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..60_000 => format!("{}.{} s", ms / 1_000, ms / 100 % 10),
        ms => format!("{} min", ms / 60_000),
    }
}

struct Teller<'a> {
    joins: &'a Joins,
    look: &'a Look,
    things: &'a Found,
    names: &'a Found,
}

impl Teller<'_> {
    fn task(&self, id: u64) -> String {
        match self.names.tasks.get(&id) {
            Some(name) if name.number != 0 => format!("task {id} {} {}", name.text, name.number),
            Some(name) => format!("task {id} {}", name.text),
            None => format!("task {id}"),
        }
    }

    /// What a task waits for, where, and who has that.
    fn line(&self, wait: &Wait) -> String {
        let at = self.look.at(wait.spot).and_then(|at| {
            let facts = at.record.tasks.get(wait.spot.slot)?.read()?;
            let same = facts.id == wait.id && facts.polls == wait.polls;
            facts.waiting_at.filter(|place| same && of_the_app(place))
        });
        let at = at.map_or_else(String::new, |place| format!(" at {place}"));
        let who = self.task(wait.id);
        match self.things.resources.get(&wait.on) {
            _ if wait.on == 0 => format!("{who} waits{at} and nothing can wake it"),
            _ if !wait.thing => format!("{who} joins{at} {}", self.task(wait.on)),
            None => format!("{who} waits{at} for a thing that is gone"),
            Some((thing, name)) => format!("{who} waits{at} for {}", self.thing(thing, name)),
        }
    }

    fn thing(&self, thing: &ResourceFacts, name: &str) -> String {
        let space = if name.is_empty() { "" } else { " " };
        let made = thing
            .place
            .map_or_else(String::new, |place| format!("made at {place}, "));
        let tasks = |all: Vec<u64>| {
            let all: Vec<String> = all.into_iter().map(|id| self.task(id)).collect();
            all.join(" and ")
        };
        let held_by = tasks(holders(self.joins, self.things, thing.id));
        let (what, kept) = match thing.kind {
            Thing::Future => ("future", "its promise is kept by"),
            Thing::Queue => ("queue", "all who could use it:"),
            Thing::Channel => ("channel", "all who could use it:"),
            Thing::Event => ("event", "all who could set it:"),
            Thing::Condition => ("condition", "all who could give notice:"),
            Thing::Barrier => ("barrier", "all who could arrive:"),
            Thing::Lock | Thing::Semaphore | Thing::Group => ("", ""),
        };
        if !what.is_empty() {
            return format!("the {what}{space}{name} ({made}{kept} {held_by})");
        }
        if thing.kind == Thing::Semaphore {
            let out = thing.out;
            return format!(
                "the semaphore{space}{name} ({made}its {out} permits are held by {held_by})"
            );
        }
        let since = self.look.now.since(thing.held_since);
        let taken = thing
            .taken_at
            .map_or_else(String::new, |place| format!(", taken at {place}"));
        format!(
            "the lock{space}{name} ({made}held by {held_by} for {}{taken})",
            span(since)
        )
    }
}
