//! One table for all lists: only the rows on screen are built, however many there are. Knows columns, not what is in them.

use ratatui::layout::Rect;

use super::columns::{self, Column, Placed};
use super::paint::{Painter, after, below, top};
use super::theme::Role;
use super::{Hit, fmt, glyph, look, wanted};
use crate::model::{ListId, Model, Narrow};
use crate::store::{Mark, Page, Row};

/// Columns before the first: the selection's bar, the mark, a blank.
const MARKS: u16 = 3;

/// The mark of a row and what it means.
pub(super) type MarkOf<T> = fn(&T) -> Option<(&'static str, Role)>;

/// Draws heads and rows, or why there are none.
pub(super) fn draw<T: Row + Clone>(
    model: &Model,
    p: &mut Painter<'_>,
    area: Rect,
    id: ListId,
    columns: &[Column<T>],
    page: &Page<T>,
    mark_of: MarkOf<T>,
) {
    let list = model.list(id);
    let look = look(model);
    let rows = area.height.saturating_sub(1);
    p.rows(id, rows);
    if page.is_empty() {
        let why = if page.loaded {
            empty(model, id)
        } else {
            reading(model, id)
        };
        p.wrapped(after(below(area, 1), 2), 0, &why, Role::Plain);
        return;
    }
    let long = page.len() > u64::from(rows);
    let inner = Rect {
        width: area.width.saturating_sub(if long { 2 } else { 0 }),
        ..area
    };
    let inside = after(inner, MARKS);
    let heads = columns::heads(id);
    let needs = needs(columns, page, list.top, rows, &look);
    let (placed, _) = columns::layout(&heads, &needs, list, inside.width);
    head_line(model, p, top(inside, 1), id, &heads, &placed);
    let body = below(inner, 1);
    for line in 0..rows {
        let rank = list.top + u64::from(line);
        if rank >= page.len() {
            break;
        }
        let area = top(below(body, line), 1);
        p.hit(area, Hit::Row(id, rank));
        let selected = rank == list.rank;
        let Some(row) = page.at(rank) else {
            let why = if model.ui.frozen.is_some() {
                "… not in the frozen picture"
            } else {
                "… reading"
            };
            p.text(area, MARKS, 0, why, Role::Dim);
            if selected {
                p.text(area, 0, 0, glyph::BAR, Role::Plain);
                p.select(area, 0);
            }
            continue;
        };
        let mark = page.mark(row.id(), model.ui.now);
        let gone = matches!(mark, Mark::Ended | Mark::Left);
        for place in &placed {
            let head = &heads[place.index];
            let (text, role) = (columns[place.index].cell)(row, &look);
            cell(
                p,
                after(area, MARKS),
                place,
                head,
                &text,
                if gone { Role::Dim } else { role },
            );
        }
        match mark {
            Mark::Ended => {
                p.right(area, 0, 0, " ended", Role::Dim);
            }
            Mark::Left => {
                p.right(area, 0, 0, " left this part", Role::Dim);
            }
            Mark::New | Mark::None => {}
        }
        if let Some((sign, role)) = mark_of(row) {
            p.text(area, 1, 0, sign, role);
        } else if mark == Mark::New {
            p.text(area, 1, 0, glyph::NEW, Role::Plain);
        }
        if !page.loaded {
            p.dim(area);
        }
        if selected {
            p.text(area, 0, 0, glyph::BAR, Role::Plain);
            p.select(area, 0);
        }
    }
    if long {
        scrollbar(p, below(area, 1), list.top, u64::from(rows), page.len());
    }
}

/// How wide the numbers on screen are.
fn needs<T: Row + Clone>(
    columns: &[Column<T>],
    page: &Page<T>,
    top: u64,
    rows: u16,
    look: &columns::Look,
) -> Vec<u16> {
    let on_screen = || (0..u64::from(rows)).filter_map(|line| page.at(top + line));
    let of = |c: &Column<T>| {
        on_screen()
            .map(|row| fmt::width(&(c.cell)(row, look).0))
            .max()
            .unwrap_or(0)
    };
    columns
        .iter()
        .map(|c| {
            if c.head.right {
                u16::try_from(of(c)).unwrap_or(u16::MAX)
            } else {
                0
            }
        })
        .collect()
}

fn head_line(
    model: &Model,
    p: &mut Painter<'_>,
    area: Rect,
    id: ListId,
    heads: &[columns::Head],
    placed: &[Placed],
) {
    let sort = model.sort(id);
    for place in placed {
        let head = &heads[place.index];
        let arrow = match &sort {
            Some(s) if !head.sort.is_empty() && s.key == head.sort => {
                if s.descending {
                    glyph::DOWN
                } else {
                    glyph::UP
                }
            }
            _ => "",
        };
        let room = usize::from(place.width).saturating_sub(fmt::width(arrow));
        let text = format!("{}{arrow}", fmt::cut_end(&head_text(head, model), room));
        cell(p, area, place, head, &text, Role::Head);
        p.hit(
            Rect {
                x: area.x + place.x,
                width: place.width,
                ..area
            },
            Hit::Head(id, place.index),
        );
    }
}

/// A strip's head says how long it has been kept, until its whole minute is there.
fn head_text(head: &columns::Head, model: &Model) -> String {
    if head.name != "strip" {
        return head.text.to_owned();
    }
    let store = model.shown();
    let covered = store
        .tasks
        .rows
        .iter()
        .filter_map(|r| r.strip.as_ref())
        .map(|s| s.covered_ns(store.at_ns))
        .max();
    match covered {
        Some(ns) if ns < 59_000_000_000 => format!("since {}s", ns / 1_000_000_000),
        _ => head.text.to_owned(),
    }
}

fn cell(
    p: &mut Painter<'_>,
    area: Rect,
    place: &Placed,
    head: &columns::Head,
    text: &str,
    role: Role,
) {
    let area = Rect {
        x: area.x.saturating_add(place.x),
        width: place.width.min(area.width.saturating_sub(place.x)),
        ..area
    };
    let text = p.clean(text);
    let room = usize::from(area.width);
    let text = if head.middle {
        fmt::cut_middle(&text, room)
    } else {
        fmt::cut_end(&text, room)
    };
    if head.right {
        p.right(area, 0, 0, &text, role);
    } else {
        p.text(area, 0, 0, &text, role);
    }
}

fn scrollbar(p: &mut Painter<'_>, area: Rect, from: u64, rows: u64, len: u64) {
    let height = u64::from(area.height);
    if height == 0 || len == 0 {
        return;
    }
    let thumb = (height * rows / len).clamp(1, height);
    let room = height - thumb;
    let last = len.saturating_sub(rows).max(1);
    let start = (u128::from(room) * u128::from(from.min(last)) / u128::from(last)) as u64;
    for y in 0..height {
        let (sign, role) = if y >= start && y < start + thumb {
            ("█", Role::Plain)
        } else {
            ("│", Role::Dim)
        };
        p.text(
            after(area, area.width.saturating_sub(1)),
            0,
            y as u16,
            sign,
            role,
        );
    }
}

/// `31-52 of 1,284`.
pub(super) fn position<T: Row + Clone>(model: &Model, id: ListId, page: &Page<T>) -> String {
    let list = model.list(id);
    if page.is_empty() {
        return String::new();
    }
    let end = (list.top + u64::from(list.rows.max(1))).min(page.len());
    let sort = model.sort(id).map(|s| {
        let name = columns::heads(id)
            .into_iter()
            .find(|h| h.sort == s.key)
            .map_or(s.key.clone(), |h| h.text.to_owned());
        format!(
            " · sort {} {}",
            name,
            if s.descending { glyph::DOWN } else { glyph::UP }
        )
    });
    let follow = list
        .id
        .filter(|_| list.touched)
        .map(|row| format!(" · following {row}"));
    let torn = if page.torn {
        " · rows moved while being read"
    } else {
        ""
    };
    format!(
        "{}-{} of {}{}{}{torn}",
        fmt::count(list.top + 1),
        fmt::count(end),
        fmt::count(page.len()),
        sort.unwrap_or_default(),
        follow.unwrap_or_default()
    )
}

fn reading(model: &Model, id: ListId) -> String {
    if model.ui.frozen.is_some() {
        return format!(
            "The frozen picture holds no {}. space goes back to live.",
            id.noun()
        );
    }
    if let Some(refusal) = wanted::refusal(model, id)
        && refusal.part == crate::recorded::NOT_HELD
    {
        return format!("Not known: {}.", refusal.why);
    }
    if !model.store.is_live() {
        return format!("No {} were read before the connection was lost.", id.noun());
    }
    format!("reading {} …", id.noun())
}

/// Why a list is empty: never a bare box.
fn empty(model: &Model, id: ListId) -> String {
    let list = model.list(id);
    let filter = wanted::filter(list);
    if !filter.is_empty() {
        let way = if list.filter.is_empty() {
            "z goes on to the next narrowing."
        } else {
            "\\ drops the filter."
        };
        return format!("No {} match `{filter}`. {way}", id.noun());
    }
    let store = model.shown();
    let off = |what: &str| {
        let hello = store.hello.as_ref()?;
        let off = hello.recorded.iter().find(|r| r.what == what && !r.on)?;
        Some(format!(
            "{} are not recorded: {}",
            id.noun(),
            if off.detail.is_empty() {
                "it was turned off"
            } else {
                &off.detail
            }
        ))
    };
    match id {
        ListId::Tasks if list.narrow == Narrow::Ended => {
            "No task has ended, as far as the app still holds them.".to_owned()
        }
        ListId::Tasks | ListId::Tree | ListId::Groups => "No tasks are alive.".to_owned(),
        ListId::Timers => off("timers").unwrap_or_else(|| "No timers are armed.".to_owned()),
        ListId::Io => off("io").unwrap_or_else(|| "No I/O sources are registered.".to_owned()),
        ListId::Resources => {
            "No future, lock, queue or channel lives, nor anything else that tasks wait for. Timers are on 4, I/O on 5."
                .to_owned()
        }
        ListId::Jobs => "No job is queued or runs on a thread. run_in_executor and to_thread give them.".to_owned(),
        ListId::Children => "No child process was started, or all were forgotten. process::Command starts them.".to_owned(),
        ListId::Blocks => {
            "No poll was over its budget since the start, as far as they are kept. b changes the budget.".to_owned()
        }
        ListId::Leaks => {
            "No leaks: nothing is stranded, deadlocked or left behind, and no place keeps growing."
                .to_owned()
        }
        ListId::Findings => "Nothing needs attention.".to_owned(),
    }
}
