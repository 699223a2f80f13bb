//! What is selected, as values: for links, copies, explanations. Changes nothing.

use crate::model::{ListId, Model, Screen};
use crate::store::{
    BlockRow, ChildRow, Finding, Goto, GroupRow, IoRow, JobRow, Listed, ResourceRow, Row,
    TaskDetail, TaskRow, TimerRow,
};
use crate::view::columns::{self, Column, Look};

/// The selected row of a list.
fn selected<'m, T: Row + Clone>(
    model: &'m Model,
    id: ListId,
    page: &'m crate::store::Page<T>,
) -> Option<&'m T> {
    let list = model.list(id);
    list.id
        .and_then(|row| page.get(row))
        .or_else(|| page.at(list.rank))
}

/// The task that keys speak of: the opened one, else the selected one.
pub fn task(model: &Model) -> Option<&TaskRow> {
    if model.ui.detail.is_some() {
        return detail(model).map(|d| &d.row);
    }
    match model.list_id()? {
        ListId::Tasks => selected(model, ListId::Tasks, &model.shown().tasks),
        ListId::Tree => selected(model, ListId::Tree, &model.shown().tree),
        _ => None,
    }
}

/// The opened task, once it is known.
pub fn detail(model: &Model) -> Option<&TaskDetail> {
    let id = model.ui.detail.as_ref()?.id;
    match &model.shown().task {
        Some(Ok(detail)) if detail.row.id == id => Some(detail),
        _ => None,
    }
}

/// The selected place.
pub fn group(model: &Model) -> Option<&GroupRow> {
    selected(model, ListId::Groups, &model.shown().groups)
}

/// The selected block.
pub fn block(model: &Model) -> Option<&BlockRow> {
    selected(model, ListId::Blocks, &model.shown().blocks)
}

/// The selected timer.
pub fn timer(model: &Model) -> Option<&TimerRow> {
    selected(model, ListId::Timers, &model.shown().timers)
}

/// The selected I/O source.
pub fn io(model: &Model) -> Option<&IoRow> {
    selected(model, ListId::Io, &model.shown().io)
}

/// The selected resource.
pub fn resource(model: &Model) -> Option<&ResourceRow> {
    selected(model, ListId::Resources, &model.shown().resources)
}

/// The selected job.
pub fn job(model: &Model) -> Option<&JobRow> {
    selected(model, ListId::Jobs, &model.shown().jobs)
}

/// The selected child process.
pub fn child(model: &Model) -> Option<&ChildRow> {
    selected(model, ListId::Children, &model.shown().children)
}

/// The selected row of a screen whose rows have waiters.
pub fn thing(model: &Model) -> Option<Goto> {
    match model.list_id()? {
        ListId::Resources => resource(model).map(|r| Goto::Resource(r.id)),
        ListId::Jobs => job(model).map(|j| Goto::Job(j.id)),
        ListId::Children => child(model).map(|c| Goto::Child(c.id)),
        _ => None,
    }
}

/// The loop of that row.
pub fn loop_of_thing(model: &Model) -> Option<u64> {
    match model.list_id()? {
        ListId::Resources => resource(model)?.loop_id,
        ListId::Jobs => job(model)?.loop_id,
        ListId::Children => child(model).map(|c| c.loop_id),
        _ => None,
    }
}

/// The finding that keys speak of, on the screens that list findings and in an opened task.
pub fn finding(model: &Model) -> Option<&Finding> {
    if model.ui.detail.is_some() {
        return detail(model)?.findings.first();
    }
    match model.ui.screen {
        Screen::Overview => selected(model, ListId::Findings, &model.shown().findings),
        Screen::Leaks => selected(model, ListId::Leaks, &model.shown().leaks),
        _ => None,
    }
}

/// The name of the finding to explain.
pub fn finding_name(model: &Model) -> Option<String> {
    finding(model)
        .map(|f| f.name.clone())
        .or_else(|| task(model)?.findings.first().cloned())
}

/// Where Enter leads.
pub fn target(model: &Model) -> Option<Goto> {
    let of_task = |id: Option<u64>| id.map(Goto::Task);
    match model.list_id()? {
        ListId::Tasks | ListId::Tree => task(model).map(|t| Goto::Task(t.id)),
        ListId::Blocks => of_task(block(model)?.task),
        ListId::Timers => of_task(timer(model)?.owner),
        ListId::Io => of_task(io(model)?.task),
        ListId::Findings | ListId::Leaks => {
            let finding = finding(model)?;
            finding.subject.or_else(|| finding.loop_id.map(Goto::Loop))
        }
        ListId::Groups => None,
        ListId::Resources | ListId::Jobs | ListId::Children => thing(model),
    }
}

/// The place that keys speak of, whole, as `file:line:column`.
pub fn place(model: &Model) -> Option<String> {
    let place = match model.list_id() {
        None => task(model)?.spawned_at.clone(),
        Some(ListId::Tasks | ListId::Tree) => task(model)?.spawned_at.clone(),
        Some(ListId::Groups) => group(model)?.place.clone(),
        Some(ListId::Blocks) => block(model)?.place.clone(),
        Some(ListId::Timers) => timer(model)?.set_at.clone(),
        Some(ListId::Io) => io(model)?.place.clone(),
        Some(ListId::Resources) => resource(model)?.place.clone(),
        Some(ListId::Jobs) => job(model)?.place.clone(),
        Some(ListId::Children) => child(model)?.place.clone(),
        Some(ListId::Findings | ListId::Leaks) => finding(model)?.place.clone(),
    };
    (!place.is_empty()).then_some(place)
}

/// The selected row as one line of JSON, its keys the columns' names.
pub fn row_json(model: &Model) -> Option<String> {
    let look = crate::view::look(model);
    fn json<T>(row: &T, columns: &[Column<T>], look: &Look) -> String {
        let map: serde_json::Map<String, serde_json::Value> = columns
            .iter()
            .map(|c| (c.head.name.to_owned(), (c.cell)(row, look).0.into()))
            .collect();
        serde_json::Value::Object(map).to_string()
    }
    Some(match model.list_id() {
        None | Some(ListId::Tasks | ListId::Tree) => json(task(model)?, columns::TASKS, &look),
        Some(ListId::Groups) => json(group(model)?, columns::GROUPS, &look),
        Some(ListId::Blocks) => json(block(model)?, columns::BLOCKS, &look),
        Some(ListId::Timers) => json(timer(model)?, columns::TIMERS, &look),
        Some(ListId::Io) => json(io(model)?, columns::IO, &look),
        Some(ListId::Resources) => json(resource(model)?, columns::RESOURCES, &look),
        Some(ListId::Jobs) => json(job(model)?, columns::JOBS, &look),
        Some(ListId::Children) => json(child(model)?, columns::CHILDREN, &look),
        Some(ListId::Findings | ListId::Leaks) => json(finding(model)?, columns::LEAKS, &look),
    })
}

/// Whether the screen's list has a row at the selection.
pub fn is_any(model: &Model) -> bool {
    model.list_id().is_some_and(|id| {
        let page = crate::model::page(model.shown(), id);
        Listed::len(page) > 0
    })
}
