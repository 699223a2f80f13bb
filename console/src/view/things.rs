//! The screens of what tasks wait for beside timers and I/O: resources, jobs and child processes. Each is a table, and below it
//! all that is known of the selected row, with every waiter; its lines are links.

use ratatui::layout::Rect;

use super::columns::{self, Look, job_state, level};
use super::paint::{Painter, below, top};
use super::theme::Role;
use super::{fmt, glyph, has_preview, look, mark_of, table};
use crate::model::{ListId, Model};
use crate::store::{ChildRow, Goto, JobRow, ResourceRow, Waiter};
use crate::update::pick;

/// One line of the pane, and where it leads.
struct Line {
    text: String,
    role: Role,
    to: Option<Goto>,
}

impl Line {
    fn plain(text: impl Into<String>) -> Line {
        Line {
            text: text.into(),
            role: Role::Plain,
            to: None,
        }
    }

    fn dim(text: impl Into<String>) -> Line {
        Line {
            role: Role::Dim,
            ..Line::plain(text)
        }
    }

    fn leads(self, to: Option<Goto>) -> Line {
        Line { to, ..self }
    }
}

/// Where the lines of the pane lead, from top to bottom.
pub fn links(model: &Model) -> Vec<Goto> {
    pane(model)
        .into_iter()
        .flat_map(|(_, lines)| lines)
        .filter_map(|line| line.to)
        .collect()
}

/// Which of the links the keys are on; `None`: they are in the list.
pub fn cursor(model: &Model, links: &[Goto]) -> Option<usize> {
    let (at, to) = model.ui.inside?;
    let at = usize::from(at);
    // A link may be there twice, so its place counts as long as it is still there.
    if links.get(at) == Some(&to) {
        return Some(at);
    }
    let moved = links.iter().position(|link| *link == to);
    moved.or(links.len().checked_sub(1).map(|last| at.min(last)))
}

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let Some(id) = model.list_id() else { return };
    let mut area = area;
    let pane = pane(model);
    if let (true, Some((title, lines))) = (model.ui.zoom, &pane) {
        draw_pane(model, p, area, title, lines);
        return;
    }
    if id == ListId::Jobs {
        area = pools(model, p, area);
    }
    if let Some((title, lines)) = &pane
        && has_preview(model, p.area().height)
        && area.height >= 10
    {
        let height = (lines.len() as u16 + 1).clamp(3, area.height / 2);
        let list = top(area, area.height - height);
        draw_pane(model, p, below(area, area.height - height), title, lines);
        area = list;
    }
    let store = model.shown();
    match id {
        ListId::Jobs => {
            let page = &store.jobs;
            p.rule(area, 0, "Jobs", &table::position(model, id, page));
            let area = below(area, 1);
            table::draw(model, p, area, id, columns::JOBS, page, |j| {
                let lost = j.state == "abandoned";
                mark_of(&j.findings).or(lost.then_some((glyph::WARNING, Role::Warning)))
            });
        }
        ListId::Children => {
            let page = &store.children;
            p.rule(
                area,
                0,
                "Child processes",
                &table::position(model, id, page),
            );
            let area = below(area, 1);
            table::draw(model, p, area, id, columns::CHILDREN, page, |c| {
                let failed = c.signal.is_some() || c.exit_code.is_some_and(|code| code != 0);
                mark_of(&c.findings).or(failed.then_some((glyph::WARNING, Role::Warning)))
            });
        }
        _ => {
            let page = &store.resources;
            p.rule(area, 0, "Resources", &table::position(model, id, page));
            let area = below(area, 1);
            table::draw(model, p, area, id, columns::RESOURCES, page, |r| {
                let broken = r.state == "broken";
                mark_of(&r.findings).or(broken.then_some((glyph::WARNING, Role::Warning)))
            });
        }
    }
}

/// One line a pool of threads; returns what is left of the area.
fn pools(model: &Model, p: &mut Painter<'_>, area: Rect) -> Rect {
    let Some(overview) = &model.shown().overview else {
        return area;
    };
    let shown = overview.pools.len().min(usize::from(area.height / 4));
    if overview.pools.is_empty() {
        p.text(area, 1, 0, "No pool has had a job yet.", Role::Plain);
        return below(area, 1);
    }
    for (y, pool) in overview.pools.iter().take(shown).enumerate() {
        let of = pool
            .loop_id
            .map_or_else(String::new, |id| format!(" of loop {id}"));
        let idle = pool.threads.saturating_sub(pool.busy);
        let text = format!(
            "{}{of} · busy {} · idle {} · at most {} · queued {} · done {}",
            pool.name,
            fmt::count(pool.busy),
            fmt::count(idle),
            fmt::many(pool.limit, "thread"),
            fmt::count(pool.queued),
            fmt::count(pool.finished)
        );
        // All threads at work and jobs waiting: what is queued waits for a thread.
        let full = pool.busy >= pool.limit && pool.queued > 0;
        let (sign, role) = if full {
            ("! ", Role::Warning)
        } else {
            ("  ", Role::Plain)
        };
        let text = format!("{sign}{}", p.clean(&text));
        let room = usize::from(area.width.saturating_sub(1));
        p.text(area, 0, y as u16, &fmt::cut_end(&text, room), role);
    }
    let hidden = overview.pools.len() - shown;
    if hidden > 0 {
        p.right(area, 1, 0, &format!(" {hidden} more pools "), Role::Dim);
    }
    below(area, shown as u16)
}

fn draw_pane(model: &Model, p: &mut Painter<'_>, area: Rect, title: &str, lines: &[Line]) {
    let to: Vec<Goto> = lines.iter().filter_map(|line| line.to).collect();
    let inside = cursor(model, &to);
    let note = match inside {
        Some(_) => "Enter goes there, Esc back to the list",
        None if lines.iter().any(|line| line.to.is_some()) => {
            "p: hide, Enter: into it, +: all of it"
        }
        None => "p: hide",
    };
    p.rule(area, 0, &p.clean(title), note);
    let body = below(area, 1);
    let rows = usize::from(body.height);
    // The line that the chosen link is on.
    let links = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.to.is_some());
    let chosen = inside.and_then(|at| links.map(|(y, _)| y).nth(at));
    let from = chosen.map_or(0, |y| (y + 1).saturating_sub(rows));
    for (y, line) in lines.iter().skip(from).take(rows).enumerate() {
        let room = usize::from(body.width.saturating_sub(2));
        let text = fmt::cut_end(&p.clean(&line.text), room).into_owned();
        p.text(body, 2, y as u16, &text, line.role);
        if chosen == Some(from + y) {
            p.text(body, 0, y as u16, glyph::BAR, Role::Plain);
            p.select(body, y as u16);
        }
    }
    let below = lines.len().saturating_sub(from + rows);
    if below > 0 {
        p.right(area, 1, 0, &format!(" {below} more "), Role::Dim);
    }
}

/// What is known of the selected row: a title, and lines.
fn pane(model: &Model) -> Option<(String, Vec<Line>)> {
    let look = look(model);
    let (title, mut lines, total) = match model.list_id()? {
        ListId::Resources => {
            let row = pick::resource(model)?;
            (
                title(&row.kind, row.id, &row.name),
                resource(row, &look),
                row.waiters,
            )
        }
        ListId::Jobs => {
            let row = pick::job(model)?;
            // Its row does not count them.
            (title("job", row.id, &row.name), job(row, &look), 1)
        }
        ListId::Children => {
            let row = pick::child(model)?;
            (
                title("pid", row.pid, &row.program),
                child(row, &look),
                row.waiters,
            )
        }
        _ => return None,
    };
    let of = pick::thing(model)?;
    match model
        .shown()
        .waiting
        .as_ref()
        .filter(|known| known.of == of)
    {
        None if total == 0 => {}
        None => lines.push(Line::dim("reading who waits for it …")),
        Some(known) => {
            let total = known.total.max(known.waiters.len() as u64);
            let what = match model.list_id() {
                // A child's output is waited for at its pipe.
                Some(ListId::Children) => "its end",
                _ => "it",
            };
            // A job's row does not count them, and recordings have the first wait of most tasks.
            let partly =
                model.list_id() == Some(ListId::Jobs) && model.shown().recording().is_some();
            lines.push(Line::dim(match total {
                0 if partly => "Nobody is known to wait for it: the recording has of most tasks the first thing they wait for.".to_owned(),
                _ => waiters_word(total, what),
            }));
            lines.extend(known.waiters.iter().map(|waiter| waits(waiter, &look)));
            let hidden = total - known.waiters.len() as u64;
            if hidden > 0 {
                lines.push(Line::dim(format!(
                    "{} more are not listed",
                    fmt::count(hidden)
                )));
            }
        }
    }
    Some((title, lines))
}

fn title(word: &str, id: u64, name: &str) -> String {
    format!("{word} {id} {name}").trim_end().to_owned()
}

fn waiters_word(n: u64, what: &str) -> String {
    match n {
        0 => format!("Nobody waits for {what}."),
        1 => format!("1 task waits for {what}:"),
        n => format!(
            "{} tasks wait for {what}, the longest first:",
            fmt::count(n)
        ),
    }
}

fn waits(waiter: &Waiter, look: &Look) -> Line {
    let name = if waiter.name.is_empty() {
        "(no name)"
    } else {
        &waiter.name
    };
    let since = waiter.since_ns.map_or_else(String::new, |ns| {
        format!(" for {}", fmt::span(look.ago(ns)))
    });
    let place = if waiter.place.is_empty() {
        String::new()
    } else {
        format!("  {}", fmt::place(&waiter.place))
    };
    Line::plain(format!("  {} {name}{since}{place}", waiter.task))
        .leads(Some(Goto::Task(waiter.task)))
}

/// Who made or gave something, when and where.
fn origin(word: &str, task: Option<u64>, name: &str, gone: bool, ago: u64, place: &str) -> Line {
    let by = match (task, gone) {
        (None, _) => "outside any task".to_owned(),
        (Some(id), true) => format!("by {id} (task is gone)"),
        (Some(id), false) => format!("by {id} {name}"),
    };
    let place = if place.is_empty() {
        String::new()
    } else {
        format!("  {}", fmt::place(place))
    };
    Line::plain(format!("{word} {by} {} ago{place}", fmt::span(ago)))
        .leads(task.filter(|_| !gone).map(Goto::Task))
}

fn resource(row: &ResourceRow, look: &Look) -> Vec<Line> {
    let mut out = Vec::new();
    if let Some(holder) = row.holder {
        let since = row.held_since_ns.map_or_else(String::new, |ns| {
            format!(" for {}", fmt::span(look.ago(ns)))
        });
        let text = format!("held by {holder} {}{since}", row.holder_name);
        out.push(Line::plain(text).leads(Some(Goto::Task(holder))));
    }
    let mut stands = Vec::new();
    if row.holder.is_none() && !row.state.is_empty() {
        stands.push(match row.state.as_str() {
            "broken" => "broken: its other end is gone".to_owned(),
            state => state.to_owned(),
        });
    }
    stands.extend(level(row).map(|level| format!("level {level}")));
    if row.uses > 0 {
        stands.push(format!(
            "used {}, {} had to wait",
            fmt::many(row.uses, "time"),
            fmt::count(row.contended)
        ));
    }
    if !stands.is_empty() {
        out.push(Line::plain(stands.join(" · ")));
    }
    out.push(origin(
        "made",
        row.owner,
        &row.owner_name,
        row.owner_gone,
        look.ago(row.made_ns),
        &row.place,
    ));
    out
}

fn job(row: &JobRow, look: &Look) -> Vec<Line> {
    let queued = look.ago(row.queued_ns);
    let stands = match row.started_ns {
        Some(started) => {
            let thread = row
                .tid
                .map_or_else(String::new, |tid| format!(" on thread {tid}"));
            format!(
                "{}{thread} for {}, after {} in the queue",
                job_state(row).0,
                fmt::span(look.ago(started)),
                fmt::span(started.saturating_sub(row.queued_ns))
            )
        }
        None => format!("queued for {}", fmt::span(queued)),
    };
    let mut out = vec![Line::plain(format!("{stands} · pool {}", row.pool))];
    if row.state == "abandoned" {
        out.push(Line::plain(
            "Nobody wants its result any more; a thread cannot be stopped from outside.",
        ));
    }
    out.push(origin(
        "given",
        row.task,
        &row.task_name,
        row.task_gone,
        queued,
        &row.place,
    ));
    out
}

fn child(row: &ChildRow, look: &Look) -> Vec<Line> {
    let ended = row.ended_ns.map_or_else(String::new, |ns| {
        format!(" {} ago", fmt::span(look.ago(ns)))
    });
    let pipes = match row.pipes() {
        open if open.is_empty() => "no pipe is open".to_owned(),
        open => format!("open pipes: {}", open.join(", ")),
    };
    vec![
        Line::plain(format!("{}{ended} · {pipes}", row.state())),
        origin(
            "started",
            row.task,
            &row.task_name,
            row.task_gone,
            look.ago(row.started_ns),
            &row.place,
        ),
    ]
}
