//! The Tasks screen, by task or by the place that spawned them, and the two screens that are a table and a line of totals:
//! Timers and I/O.

use ratatui::layout::Rect;

use super::columns::{self, waiting_on};
use super::paint::{Painter, after, below, top};
use super::theme::Role;
use super::{fmt, has_preview, look, mark_of, strip, table};
use crate::model::{ListId, Model, Shape};
use crate::store::{TaskRow, is_problem_name};
use crate::update::pick;

/// A height from which titled lines part a screen.
const TALL: u16 = 22;

/// A titled line above the table, where there is room for it.
fn title(p: &mut Painter<'_>, area: Rect, title: &str, note: &str) -> Rect {
    if area.height < TALL {
        return area;
    }
    p.rule(area, 0, title, note);
    below(area, 1)
}

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    if model.ui.shape == Shape::Places {
        let note = format!(
            "{} · v: by task",
            table::position(model, ListId::Groups, &store.groups)
        );
        let area = title(p, area, "Tasks by spawn place (all_tasks)", &note);
        table::draw(
            model,
            p,
            area,
            ListId::Groups,
            columns::GROUPS,
            &store.groups,
            |g| mark_of(&g.findings),
        );
        return;
    }
    let tree = model.ui.shape == Shape::Tree;
    let mut area = if tree {
        let at_hand = store.branches.read();
        let part = if store.tree.total > at_hand && model.list(ListId::Tree).filter.is_empty() {
            format!(
                " · the oldest {} of {}",
                fmt::count(at_hand),
                fmt::count(store.tree.total)
            )
        } else {
            String::new()
        };
        let note = format!(
            "{}{part} · - + fold · t: as a list",
            table::position(model, ListId::Tree, &store.tree)
        );
        title(p, area, "Tasks by parent (all_tasks)", &note)
    } else {
        title(
            p,
            area,
            "Tasks (all_tasks)",
            &table::position(model, ListId::Tasks, &store.tasks),
        )
    };
    if has_preview(model, p.area().height)
        && let Some(row) = pick::task(model)
    {
        let pane;
        if area.width >= 160 {
            let width = area.width / 3;
            let list = Rect {
                width: area.width - width,
                ..area
            };
            pane = after(area, area.width - width + 1);
            area = list;
        } else {
            let height = 6.min(area.height / 3);
            let list = Rect {
                height: area.height - height,
                ..area
            };
            pane = below(area, area.height - height);
            area = list;
        }
        preview(model, p, pane, row);
    }
    let (id, page) = if tree {
        (ListId::Tree, &store.tree)
    } else {
        (ListId::Tasks, &store.tasks)
    };
    table::draw(model, p, area, id, columns::TASKS, page, |t| {
        mark_of(&t.findings)
    });
}

fn preview(model: &Model, p: &mut Painter<'_>, area: Rect, row: &TaskRow) {
    let look = look(model);
    p.rule(
        area,
        0,
        &p.clean(&format!("{} {}", row.id, row.name)),
        "p: hide, Enter: all of it",
    );
    let area = after(below(area, 1), 1);
    let mut y = 0;
    for (head, text) in facts(row, &look) {
        if y >= area.height {
            return;
        }
        let x = p.text(area, 0, y, head, Role::Dim) + 1;
        let rest = after(area, x.max(9));
        y += p
            .wrapped(top(below(rest, y), 2), 0, &p.clean(&text), Role::Plain)
            .clamp(1, 2);
    }
    if !row.findings.is_empty() && y < area.height {
        let mut x = p.text(area, 0, y, "findings", Role::Dim) + 1;
        for name in &row.findings {
            let (sign, role) = if is_problem_name(name) {
                ("▲ ", Role::Problem)
            } else {
                ("! ", Role::Warning)
            };
            x += p.pieces(
                area,
                x,
                y,
                &[(sign, role), (name, role), ("  ", Role::Plain)],
            );
        }
        p.text(area, x, y, "d explains", Role::Dim);
    }
}

/// What a task's row says, uncut.
fn facts(row: &TaskRow, look: &columns::Look) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let (wait, _) = waiting_on(row, look);
    let at = if row.waiting_at.is_empty() {
        String::new()
    } else {
        format!(" · at {}", fmt::place(&row.waiting_at))
    };
    out.push(("awaits", format!("{wait}{at}")));
    let woken = columns::woken(row, look);
    let loose = if row.detached { " · detached" } else { "" };
    out.push((
        "woken",
        format!(
            "{woken} · {} · {}{loose}",
            fmt::many(row.wakers, "waker"),
            fmt::many(row.handles, "handle")
        ),
    ));
    let parent = row
        .parent
        .map_or_else(String::new, |id| format!(" by task {id}"));
    out.push((
        "spawned",
        format!(
            "{} · {} ago{parent}",
            fmt::place(&row.spawned_at),
            fmt::span(look.ago(row.spawned_ns))
        ),
    ));
    out
}

pub(super) fn timers(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let mut area = area;
    if let Some(o) = &store.overview {
        let look = look(model);
        let mut parts = vec![format!("armed {}", fmt::count(o.timers))];
        if let Some(due) = o.next_due_ns {
            parts.push(match due.checked_sub(look.at_ns) {
                Some(left) => format!("next in {}", fmt::span(left)),
                None => format!("next is late by {}", fmt::span(look.at_ns - due)),
            });
        }
        if let Some(rate) = store.rate(|o| o.timers_fired) {
            parts.push(format!("fired {}", fmt::rate(rate)));
        }
        if o.timer_late.count > 0 {
            parts.push(format!(
                "late p99 {} max {}",
                fmt::span(o.timer_late.p99_ns),
                fmt::span(o.timer_late.max_ns)
            ));
        }
        let ended = o.timers_fired + o.timers_cancelled;
        if ended > 0 {
            parts.push(format!(
                "cancelled {}",
                fmt::percent(o.timers_cancelled as f64 / ended as f64)
            ));
        }
        let room = usize::from(area.width.saturating_sub(2));
        p.text(area, 1, 0, &fmt::joined(&parts, room), Role::Plain);
        area = below(area, 1);
    }
    let area = title(
        p,
        area,
        "Timers",
        &table::position(model, ListId::Timers, &store.timers),
    );
    table::draw(
        model,
        p,
        area,
        ListId::Timers,
        columns::TIMERS,
        &store.timers,
        |t| mark_of(&t.findings),
    );
}

pub(super) fn io(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let mut area = area;
    if let Some(o) = &store.overview {
        let mut parts = vec![
            format!("registered {}", fmt::count(o.sources)),
            format!("ready {}", fmt::count(o.sources_ready)),
        ];
        if let Some(rate) = store.rate(|o| o.io_events) {
            parts.push(format!("events {}", fmt::rate(rate)));
        }
        if o.io_events > 0 {
            parts.push(format!(
                "spurious {}",
                fmt::percent(o.io_spurious as f64 / o.io_events as f64)
            ));
        }
        if let Some(backend) = store
            .loops
            .rows
            .iter()
            .map(|l| &l.backend)
            .find(|b| !b.is_empty())
        {
            parts.push(format!("backend {backend}"));
        }
        let room = usize::from(area.width.saturating_sub(2));
        let text = fmt::joined(&parts, room);
        let taken = p.text(area, 1, 0, &text, Role::Plain);
        if let (Some(open), Some(limit)) = (o.fds_open, o.fds_limit) {
            let share = if limit > 0 {
                open as f64 / limit as f64
            } else {
                0.0
            };
            let bar = strip::bar(share, 10);
            let (sign, role) = if share > 0.8 {
                ("! ", Role::Warning)
            } else {
                ("", Role::Plain)
            };
            let text = format!(
                "{sign}fds {} of {} {bar:░<10}",
                fmt::count(open),
                fmt::count(limit)
            );
            if usize::from(area.width.saturating_sub(taken)) > fmt::width(&text) + 3 {
                p.right(area, 1, 0, &text, role);
            }
        }
        area = below(area, 1);
    }
    let area = title(
        p,
        area,
        "I/O",
        &table::position(model, ListId::Io, &store.io),
    );
    table::draw(model, p, area, ListId::Io, columns::IO, &store.io, |r| {
        mark_of(&r.findings)
    });
}
