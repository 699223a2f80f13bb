//! The rows of a page as messages, with what other tables say of them. Knows no walk.

use std::sync::atomic::Ordering;

use loop_proto::pb;
use loop_proto::table::Table;

use super::{job_of, source_of, timer_of};
use crate::inspect::desk::Desk;
use crate::inspect::ids::{IdMap, IdSet};
use crate::inspect::tables::{Look, LoopLook, Spot, TaskName, state_of};
use crate::inspect::waiters::Waiters;
use crate::inspect::waits::{Found, Wanted};
use crate::inspect::wire::Extras;
use crate::record::slab;
use crate::record::task::{On, State, TaskRow};

/// The tasks that own the rows of a table, all of them.
pub(super) fn owners(table: Table, look: &Look) -> Wanted {
    let relaxed = Ordering::Relaxed;
    let mut wanted = Wanted::default();
    for at in &look.loops {
        let record = &at.record;
        let owners: Box<dyn Iterator<Item = u64>> = match table {
            Table::Timers => Box::new(record.timers.live().map(|(_, row)| row.owner.load(relaxed))),
            Table::Io => Box::new(record.sources.live().flat_map(|(_, row)| {
                [&row.reader, &row.writer, &row.owner].map(|task| task.load(relaxed))
            })),
            Table::Jobs => Box::new(record.jobs.live().map(|(_, row)| row.owner.load(relaxed))),
            Table::Resources => {
                let rows = record.resources.live();
                Box::new(rows.map(|(_, row)| row.owner.load(relaxed)))
            }
            Table::Children => {
                let rows = record.children.live();
                Box::new(rows.map(|(_, row)| row.owner.load(relaxed)))
            }
            _ => Box::new(std::iter::empty()),
        };
        wanted.tasks.extend(owners.filter(|task| *task != 0));
    }
    wanted
}

pub(super) fn children_ids(look: &Look) -> IdSet {
    let rows = look.loops.iter().flat_map(|at| at.record.children.live());
    rows.map(|(_, row)| slab::Row::id(row).load(Ordering::Relaxed))
        .collect()
}

pub(super) fn all_children(look: &Look) -> IdMap<u32> {
    let mut counts = IdMap::default();
    for at in &look.loops {
        for (_, row) in at.record.tasks.live() {
            let parent = row.parent.load(Ordering::Relaxed);
            if parent != 0 && state_of(row) != State::Done {
                *counts.entry(parent).or_default() += 1;
            }
        }
    }
    counts
}

/// The rows of tasks, as far as they are still there.
pub(crate) fn tasks(
    look: &Look,
    extras: Extras,
    desk: &mut Desk,
    spots: impl Iterator<Item = (u64, Spot)>,
) -> Vec<pb::TaskRow> {
    let rows: Vec<_> = spots
        .filter_map(|(id, spot)| {
            let at = look.at(spot)?;
            let row = at.record.tasks.get(spot.slot)?;
            let facts = row
                .read()
                .filter(|facts| facts.id == id && facts.state != State::Done)?;
            Some((at, spot, row, facts))
        })
        .collect();
    let mut wanted = Wanted::default();
    for (_, _, _, facts) in &rows {
        if facts.state == State::Wait && facts.waits > 0 {
            wanted.add(facts.waiting_on);
        }
    }
    let mut children = rows.iter().map(|(.., facts)| (facts.id, 0)).collect();
    let found = Found::with_children(look, &wanted, &mut children);
    let mut wire = desk.wire(look, &found, Some(&children), extras);
    rows.into_iter()
        .map(|(at, spot, row, facts)| wire.task(at, spot, row, &facts))
        .collect()
}

/// The names of the tasks that asked for these timers last, as far as they are the owners: their
/// rows need not be looked for.
fn askers(look: &Look, spots: &[(u64, Spot, &LoopLook)]) -> IdMap<TaskName> {
    let mut names = IdMap::default();
    for at in &look.loops {
        let tasks = at.record.tasks.finder();
        for (_, spot, _) in spots.iter().filter(|(.., of)| std::ptr::eq(*of, at)) {
            let Some(row) = at.record.timers.get(spot.slot) else {
                continue;
            };
            let owner = row.owner.load(Ordering::Relaxed);
            let facts = tasks.at(row.asker().0).and_then(TaskRow::read);
            let facts = facts.filter(|facts| facts.id == owner && facts.state != State::Done);
            names.extend(facts.map(|facts| (facts.id, look.name_of(at, &facts))));
        }
    }
    names
}

/// `known`: who waits for the rows of the table, where that was looked up before.
pub(super) fn others(
    table: Table,
    look: &Look,
    (extras, known): (Extras, Option<Waiters>),
    desk: &mut Desk,
    spots: impl Iterator<Item = (u64, Spot)>,
    view: &mut pb::View,
) {
    let relaxed = Ordering::Relaxed;
    let spots: Vec<_> = spots
        .filter_map(|(id, spot)| Some((id, spot, look.at(spot)?)))
        .collect();
    if spots.is_empty() {
        return;
    }
    let mut wanted = Wanted::default();
    for (_, spot, at) in &spots {
        let record = &at.record;
        let owners = match table {
            Table::Timers => record
                .timers
                .get(spot.slot)
                .map_or([0; 3], |row| [row.owner.load(relaxed), 0, 0]),
            Table::Io => record.sources.get(spot.slot).map_or([0; 3], |row| {
                [&row.reader, &row.writer, &row.owner].map(|task| task.load(relaxed))
            }),
            Table::Jobs => record
                .jobs
                .get(spot.slot)
                .map_or([0; 3], |row| [row.owner.load(relaxed), 0, 0]),
            Table::Resources => record
                .resources
                .get(spot.slot)
                .map_or([0; 3], |row| [row.owner.load(relaxed), row.holder(), 0]),
            Table::Children => record
                .children
                .get(spot.slot)
                .map_or([0; 3], |row| [row.owner.load(relaxed), 0, 0]),
            _ => [0; 3],
        };
        wanted
            .tasks
            .extend(owners.into_iter().filter(|task| *task != 0));
        if table == Table::Io
            && let Some(facts) = record.sources.get(spot.slot).and_then(|row| row.read())
            && facts.child != 0
        {
            wanted.children.insert(facts.child);
        }
    }
    let ids: IdSet = spots.iter().map(|(id, ..)| *id).collect();
    let waiters = known.unwrap_or_else(|| match table {
        Table::Jobs => Waiters::of(look, On::Job, |id| ids.contains(&id)),
        Table::Resources => Waiters::of(look, On::Resource, |id| ids.contains(&id)),
        Table::Children => Waiters::of(look, On::Child, |id| ids.contains(&id)),
        _ => Waiters::default(),
    });
    if extras.waiting {
        let listed = ids.iter().flat_map(|id| waiters.tasks(*id));
        wanted.tasks.extend(listed);
    }
    let named = match table {
        Table::Timers => askers(look, &spots),
        _ => IdMap::default(),
    };
    wanted.tasks.retain(|task| !named.contains_key(task));
    let mut found = Found::of(look, &wanted);
    found.tasks.extend(named);
    let mut wire = desk.wire(look, &found, None, extras);
    wire.waiters = Some(&waiters);
    for (id, spot, at) in spots {
        let record = &at.record;
        match table {
            Table::Timers => {
                let row = record.timers.get(spot.slot);
                let row = row.and_then(|row| timer_of(&mut wire, at, row));
                view.timers.extend(row.filter(|row| row.id == id));
            }
            Table::Io => {
                let row = record.sources.get(spot.slot);
                let row = row.and_then(|row| source_of(&mut wire, at, row));
                view.io.extend(row.filter(|row| row.id == id));
            }
            Table::Jobs => {
                let row = record.jobs.get(spot.slot);
                let row = row.and_then(|row| job_of(&mut wire, at, row));
                view.jobs.extend(row.filter(|row| row.id == id));
            }
            Table::Resources => {
                let facts = record.resources.get(spot.slot).and_then(|row| row.read());
                let facts = facts.filter(|facts| facts.id == id);
                view.resources
                    .extend(facts.map(|facts| wire.resource(at, &facts)));
            }
            Table::Children => {
                let facts = record.children.get(spot.slot).and_then(|row| row.read());
                let facts = facts.filter(|facts| facts.id == id);
                view.children
                    .extend(facts.map(|facts| wire.child(at, &facts)));
            }
            _ => {}
        }
    }
}
