//! One task: what it does, what is wrong, what it waits for, how its polls were. Panels in one or two columns; one alone when
//! zoomed or where it is narrow.

pub mod awaits;
pub mod lines;
pub mod stack;

use ratatui::layout::Rect;

use super::columns::Look;
use super::paint::{Painter, after, below, left, top};
use super::theme::Role;
use super::{Hit, fmt, glyph, histogram, look, loops, strip};
use crate::model::{Detail, Model};
use crate::store::{CancelRequest, Goto, TaskDetail};
use crate::update::pick;

/// One line of a panel.
type Line = (String, Role);

/// A panel of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    Findings,
    Waits,
    Task,
    Await,
    Life,
    Polls,
    Scheduled,
    Family,
    Holds,
    Blocks,
    Spawn,
}

/// The panels in the order of Tab: the ones that answer "what is wrong" and "what is it waiting for" first.
pub const PANELS: [Panel; 11] = [
    Panel::Findings,
    Panel::Waits,
    Panel::Task,
    Panel::Await,
    Panel::Life,
    Panel::Polls,
    Panel::Scheduled,
    Panel::Family,
    Panel::Holds,
    Panel::Blocks,
    Panel::Spawn,
];

/// Where Enter leads from the chosen panel: the line that the scroll stands on.
pub fn target(model: &Model) -> Option<Goto> {
    let open = model.ui.detail.as_ref()?;
    let detail = pick::detail(model)?;
    let line = usize::from(open.scroll);
    match PANELS[open.panel % PANELS.len()] {
        Panel::Waits => awaits::target(detail, line).or_else(|| awaits::target(detail, 0)),
        Panel::Family => {
            let all: Vec<u64> = detail
                .parents
                .iter()
                .chain(&detail.children)
                .map(|t| t.id)
                .collect();
            all.get(line).or(all.first()).map(|id| Goto::Task(*id))
        }
        Panel::Holds => {
            let all: Vec<Goto> = detail
                .timers
                .iter()
                .map(|t| Goto::Timer(t.id))
                .chain(detail.io.iter().map(|s| Goto::Io(s.id)))
                .chain(detail.resources.iter().map(|r| Goto::Resource(r.id)))
                .chain(detail.jobs.iter().map(|j| Goto::Job(j.id)))
                .chain(detail.processes.iter().map(|c| Goto::Child(c.id)))
                .collect();
            all.get(line).or(all.first()).copied()
        }
        Panel::Blocks => detail
            .blocks
            .get(line)
            .or(detail.blocks.first())
            .map(|b| Goto::Block(b.id)),
        _ => None,
    }
}

/// Who asked the task to cancel, when, where and in which words: one line.
pub fn cancel(request: &CancelRequest, look: &Look) -> String {
    let by = if request.by.is_empty() {
        "somebody"
    } else {
        &request.by
    };
    let mut line = format!("asked {} ago by {by}", fmt::span(look.ago(request.at_ns)));
    if !request.place.is_empty() {
        line += &format!(" at {}", fmt::place(&request.place));
    }
    if !request.message.is_empty() {
        line += &format!(": {}", request.message);
    }
    if request.times > 1 {
        line += &format!(
            " · {} times, first {} ago",
            fmt::count(request.times.into()),
            fmt::span(look.ago(request.first_at_ns))
        );
    }
    line
}

pub(super) fn draw(model: &Model, open: &Detail, p: &mut Painter<'_>, area: Rect) {
    let Some(detail) = pick::detail(model) else {
        let text = match &model.shown().task {
            Some(Err(id)) if *id == open.id => format!(
                "Task {id} is not known: it ended long ago and its row was overwritten, or it never was."
            ),
            _ if model.ui.frozen.is_some() => {
                "The frozen picture does not hold this task's page. space goes back to live."
                    .to_owned()
            }
            _ if !model.store.is_live() => {
                "This task's page was not read before the connection was lost.".to_owned()
            }
            _ => format!("reading task {} …", open.id),
        };
        p.wrapped(after(area, 1), 1, &text, Role::Plain);
        return;
    };
    let look = Look {
        at_ns: detail.at_ns,
        ..look(model)
    };
    let chosen = open.panel % PANELS.len();
    if model.ui.zoom || area.height < 12 {
        panel(model, p, area, detail, &look, chosen, open, true);
        return;
    }
    let wants = |index: usize, width: u16| wanted_height(model, detail, &look, index, width);
    if area.width < super::WIDE {
        // Findings and waits stay; the rest is behind Tab.
        let first = wants(0, area.width).max(2).min(area.height / 3);
        let second = wants(1, area.width).clamp(3, area.height / 3);
        panel(
            model,
            p,
            top(area, first),
            detail,
            &look,
            0,
            open,
            chosen == 0,
        );
        panel(
            model,
            p,
            top(below(area, first), second),
            detail,
            &look,
            1,
            open,
            chosen == 1,
        );
        let third = chosen.max(2);
        panel(
            model,
            p,
            below(area, first + second),
            detail,
            &look,
            third,
            open,
            chosen >= 2,
        );
        return;
    }
    // The chosen panel is always among those shown.
    let half = area.width / 2;
    let columns = [left(area, half.saturating_sub(1)), after(area, half)];
    let mut shown: [Vec<usize>; 2] = [vec![2, 1, 3, 7], vec![0, 4, 5, 10]];
    if !shown.iter().any(|c| c.contains(&chosen)) {
        shown[1][3] = chosen;
    }
    for (column, panels) in columns.into_iter().zip(shown) {
        let whole: Vec<u16> = panels.iter().map(|i| wants(*i, column.width)).collect();
        // Where not all of them have room, each has its share.
        let all_fit = whole.iter().map(|h| u32::from(*h)).sum::<u32>() <= column.height.into();
        let mut rest = column;
        for (i, index) in panels.iter().enumerate() {
            let last = i + 1 == panels.len();
            let height = match (last, all_fit) {
                (true, _) => rest.height,
                (_, true) => whole[i],
                _ => whole[i].min(share(*index)).min(rest.height),
            };
            if height >= 2 {
                panel(
                    model,
                    p,
                    top(rest, height),
                    detail,
                    &look,
                    *index,
                    open,
                    *index == chosen,
                );
            }
            rest = below(rest, height);
        }
    }
}

/// Lines that a panel has use for, its title among them.
fn wanted_height(model: &Model, detail: &TaskDetail, look: &Look, index: usize, width: u16) -> u16 {
    let lines = match PANELS[index] {
        Panel::Life => 3,
        Panel::Polls | Panel::Scheduled => 8,
        Panel::Blocks if detail.blocking.is_some() => 16,
        _ => texts(model, detail, look, index, width)
            .map_or(3, |lines| lines.len().clamp(1, 200) as u16),
    };
    // A blank line parts it from the next.
    lines + if index == 1 { 2 } else { 1 }
}

/// What a panel has in a column where not all have what they want.
fn share(index: usize) -> u16 {
    match PANELS[index] {
        Panel::Findings => 9,
        Panel::Task => 7,
        Panel::Waits => 8,
        Panel::Await => 11,
        Panel::Life => 4,
        Panel::Polls | Panel::Scheduled => 9,
        Panel::Family | Panel::Holds | Panel::Blocks | Panel::Spawn => 6,
    }
}

/// Whether each line of a panel leads somewhere.
fn has_links(index: usize) -> bool {
    matches!(
        PANELS[index],
        Panel::Waits | Panel::Family | Panel::Holds | Panel::Blocks
    )
}

/// The lines of a panel that is text, broken where they are too long. Links are one line each: what
/// is too long of them is cut.
fn texts(
    model: &Model,
    d: &TaskDetail,
    look: &Look,
    index: usize,
    width: u16,
) -> Option<Vec<Line>> {
    let unfold = model.ui.zoom;
    let lines: Vec<Line> = match PANELS[index] {
        Panel::Findings => lines::findings(d, look),
        Panel::Waits => awaits::lines(d, look),
        Panel::Task => lines::task(d, look),
        Panel::Await => stack::awaits(d, look, unfold, width.into()),
        Panel::Life | Panel::Polls | Panel::Scheduled => return None,
        Panel::Family => lines::family(d),
        Panel::Holds => lines::holds(d, look),
        Panel::Blocks if d.blocking.is_some() => return None,
        Panel::Blocks => lines::blocks(d, look),
        Panel::Spawn => {
            let mut lines = stack::created(d, unfold, width.into());
            lines.extend(lines::log(d, look));
            lines
        }
    };
    let room = usize::from(width.saturating_sub(1));
    if has_links(index) {
        return Some(lines);
    }
    let broken = lines.into_iter().flat_map(|(text, role)| {
        let parts = fmt::wrap(&text, room);
        parts.into_iter().map(move |part| (part, role))
    });
    Some(broken.collect())
}

const NOT_WRITTEN: &str = "Not known: the recording does not hold it.";

#[allow(clippy::too_many_arguments)]
fn panel(
    model: &Model,
    p: &mut Painter<'_>,
    area: Rect,
    d: &TaskDetail,
    look: &Look,
    index: usize,
    open: &Detail,
    chosen: bool,
) {
    let (title, note) = title(d, look, index);
    let sign = if chosen { "› " } else { "" };
    let note = if chosen {
        format!("{}/{} {note}", index + 1, PANELS.len())
    } else {
        note
    };
    p.rule(area, 0, &format!("{sign}{title}"), &note);
    p.hit(area, Hit::Panel(index));
    let body = below(area, 1);
    let budget = model
        .shown()
        .hello
        .as_ref()
        .map_or(0, |h| h.block_budget_ns);
    let Some(lines) = texts(model, d, look, index, body.width) else {
        let polls = d.polls.as_ref().or(d.place_polls.as_ref());
        let missing = match PANELS[index] {
            Panel::Life => d.busy.is_none(),
            Panel::Scheduled => d.scheduled.is_none(),
            Panel::Polls => polls.is_none(),
            _ => false,
        };
        if missing && model.shown().recording().is_some() {
            // Nothing is kept from now on: what was not written is not known.
            p.wrapped(after(body, 1), 0, NOT_WRITTEN, Role::Plain);
            return;
        }
        match (PANELS[index], &d.blocking) {
            (Panel::Life, _) => life(p, body, d, look),
            (Panel::Scheduled, _) => one_histogram(p, body, d.scheduled.as_ref(), 0),
            (Panel::Blocks, Some(block)) => loops::stack(model, p, area, block),
            _ => one_histogram(p, body, polls, budget),
        }
        return;
    };
    let rows = usize::from(body.height);
    let scroll = if chosen { usize::from(open.scroll) } else { 0 };
    let links = has_links(index);
    let cursor = scroll.min(lines.len().saturating_sub(1));
    let from = if links {
        cursor.saturating_sub(rows.saturating_sub(1))
    } else {
        scroll.min(lines.len().saturating_sub(rows))
    };
    for (y, (text, role)) in lines.iter().skip(from).take(rows).enumerate() {
        p.text(
            body,
            1,
            y as u16,
            &fmt::cut_end(&p.clean(text), usize::from(body.width.saturating_sub(1))),
            *role,
        );
        if chosen && links && from + y == cursor && target(model).is_some() {
            p.text(body, 0, y as u16, glyph::BAR, Role::Plain);
            p.select(body, y as u16);
        }
    }
    if lines.len() > from + rows && rows > 0 {
        p.right(
            area,
            1,
            0,
            &format!(" {} more ", lines.len() - from - rows),
            Role::Dim,
        );
    }
}

fn title(d: &TaskDetail, look: &Look, index: usize) -> (String, String) {
    let n = |h: &Option<crate::store::Histogram>| h.as_ref().map_or(0, |h| h.count);
    let window = |h: &Option<crate::store::Histogram>| {
        h.as_ref().map_or_else(String::new, |h| {
            format!("in full resolution for {}", fmt::span(look.ago(h.since_ns)))
        })
    };
    match PANELS[index] {
        Panel::Findings => ("Findings".into(), String::new()),
        Panel::Waits => ("Await tree".into(), "Enter goes there".into()),
        Panel::Task => ("Task".into(), String::new()),
        Panel::Life => (
            "Life".into(),
            d.busy.as_ref().map_or_else(String::new, |s| {
                format!(
                    "last {}, 1 cell = {}",
                    fmt::window(s.covered_ns(look.at_ns)),
                    fmt::window(s.slot_ns)
                )
            }),
        ),
        Panel::Polls if d.polls.is_none() && d.place_polls.is_some() => (
            "Poll duration".into(),
            "of all tasks of this spawn place; this one's from now on".into(),
        ),
        Panel::Polls => (
            format!("Poll duration ({})", fmt::count(n(&d.polls))),
            window(&d.polls),
        ),
        Panel::Scheduled => (
            format!("Woken until run ({})", fmt::count(n(&d.scheduled))),
            window(&d.scheduled),
        ),
        Panel::Family => (
            format!("Parents and children ({})", fmt::count(d.children_total)),
            "Enter goes there".into(),
        ),
        Panel::Holds => ("What it has".into(), "Enter goes there".into()),
        Panel::Blocks => (
            format!("Its blocks over budget ({})", d.blocks.len()),
            String::new(),
        ),
        Panel::Await => ("Await stack".into(), String::new()),
        Panel::Spawn if !d.logs.is_empty() => (
            "Created by, and its log".into(),
            format!("last {} lines, newest first", d.logs.len()),
        ),
        Panel::Spawn => ("Created by".into(), String::new()),
    }
}

fn life(p: &mut Painter<'_>, area: Rect, d: &TaskDetail, look: &Look) {
    let room = usize::from(area.width.saturating_sub(9));
    let Some(busy) = &d.busy else {
        p.wrapped(
            after(area, 1),
            0,
            "None yet: slots are kept while somebody looks, of very many tasks only while their list is looked at (2).",
            Role::Plain,
        );
        return;
    };
    p.text(area, 1, 0, "run", Role::Dim);
    p.text(area, 7, 0, &strip::busy(busy, room), Role::Plain);
    if let Some(ready) = &d.ready {
        p.text(area, 1, 1, "ready", Role::Dim);
        p.text(area, 7, 1, &strip::busy(ready, room), Role::Plain);
    }
    let shown = (busy.values.len().min(room)) as u64;
    let from = busy
        .end_ns
        .saturating_sub(shown.saturating_mul(busy.slot_ns));
    p.text(
        area,
        7,
        2,
        &format!("{} … {}", look.time(from), look.time(look.at_ns)),
        Role::Dim,
    );
}

fn one_histogram(
    p: &mut Painter<'_>,
    area: Rect,
    h: Option<&crate::store::Histogram>,
    budget_ns: u64,
) {
    match h {
        Some(h) => histogram::panel(p, area, h, budget_ns),
        None => {
            p.wrapped(
                after(area, 1),
                0,
                "Kept in full resolution from now on: it fills while this page is open.",
                Role::Plain,
            );
        }
    }
}
