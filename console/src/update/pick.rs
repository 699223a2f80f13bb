//! What is selected, as values: for links, copies, explanations. Changes nothing.

use crate::model::{ListId, Model, Screen};
use crate::store::{
    BlockRow, Finding, Goto, GroupRow, IoRow, Listed, Row, TaskDetail, TaskRow, TimerRow,
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
