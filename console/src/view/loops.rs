//! The Loops screen: how each loop was held in the past, the blocks over budget, and the stack of the selected one.

use ratatui::layout::Rect;

use super::overview::worst_first;
use super::paint::{Painter, after, below, left, top};
use super::theme::Role;
use super::{columns, fmt, glyph, has_preview, look, over, strip, table};
use crate::model::{ListId, Model};
use crate::store::{BlockRow, Frame, LoopRow, SeriesRow};
use crate::update::pick;

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let block = pick::block(model);
    if let (true, Some(block)) = (model.ui.zoom, block) {
        stack(model, p, area, block);
        return;
    }
    let strips = (store.loops.rows.len() as u16 + 1)
        .min(area.height / 3)
        .max(2);
    history(model, p, top(area, strips));
    let mut rest = below(area, strips);
    if area.height >= 16 && !store.signals.rows.is_empty() {
        let lines = (store.signals.rows.len() as u16 + 1).min(5);
        signals(model, p, top(rest, lines));
        rest = below(rest, lines);
    }
    if has_preview(model, p.area().height)
        && rest.height >= 8
        && let Some(block) = block
    {
        let pane;
        if area.width >= 160 {
            let width = area.width * 2 / 5;
            pane = after(rest, rest.width - width + 1);
            rest = Rect {
                width: rest.width - width,
                ..rest
            };
        } else {
            let height = wanted(block, rest.width).clamp(4, (rest.height * 3 / 5).max(4));
            pane = below(rest, rest.height - height);
            rest = Rect {
                height: rest.height - height,
                ..rest
            };
        }
        stack(model, p, pane, block);
    }
    let budget = store
        .loops
        .rows
        .iter()
        .map(|l| l.budget_ns)
        .max()
        .unwrap_or(0);
    let title = format!("Blocks over budget ({})", fmt::span(budget));
    let note = [
        table::position(model, ListId::Blocks, &store.blocks),
        over::blocks_note(model),
    ];
    let note: Vec<&str> = note
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    p.rule(rest, 0, &title, &note.join(" · "));
    table::draw(
        model,
        p,
        below(rest, 1),
        ListId::Blocks,
        columns::BLOCKS,
        &store.blocks,
        |b| {
            // All of these were over budget; the mark says which still are.
            b.running.then_some((glyph::PROBLEM, Role::Problem))
        },
    );
}

/// Who listens to which signal, and how often each came.
fn signals(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let look = look(model);
    p.rule(
        area,
        0,
        "Signals",
        "who listens, how often each came, where its handler was set",
    );
    let body = below(area, 1);
    for (y, row) in store
        .signals
        .rows
        .iter()
        .enumerate()
        .take(body.height.into())
    {
        let last = match row.last_ns {
            Some(ns) => format!(
                "delivered {}, last {} ago",
                fmt::many(row.deliveries, "time"),
                fmt::span(look.ago(ns))
            ),
            None => "never delivered".to_owned(),
        };
        let place = if row.place.is_empty() {
            String::new()
        } else {
            format!(" · {}", fmt::place(&row.place))
        };
        let text = format!(
            "{:<9} loop {} · {} · {last}{place}",
            row.word(),
            row.loop_id,
            fmt::many(row.listeners, "listener"),
        );
        let text =
            fmt::cut_end(&p.clean(&text), usize::from(body.width.saturating_sub(1))).into_owned();
        p.text(body, 1, y as u16, &text, Role::Plain);
    }
    let more = store.signals.rows.len().saturating_sub(body.height.into());
    if more > 0 {
        p.right(
            area,
            1,
            0,
            &format!(" {more} more: loop-console signals "),
            Role::Dim,
        );
    }
}

/// How far back a strip of blocks reaches.
fn reach(series: &SeriesRow) -> u64 {
    let slots = series.block_max.values.len() as u64;
    series.block_max.slot_ns.saturating_mul(slots)
}

/// The series that reaches furthest back: by the minute, once the first minute is over.
fn longest(series: &[SeriesRow], loop_id: u64) -> Option<&SeriesRow> {
    let of_loop = series.iter().filter(|s| s.loop_id == loop_id);
    of_loop.max_by_key(|s| (reach(s), s.block_max.slot_ns))
}

fn history(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let furthest = store.series.iter().max_by_key(|s| reach(s));
    let note = match furthest.map(|s| &s.block_max) {
        Some(s) => format!(
            "{}, 1 cell = {}, the worst block in it, {}",
            fmt::window(s.slot_ns.saturating_mul(s.values.len() as u64)),
            fmt::window(s.slot_ns),
            strip::LAG_SCALE
        ),
        None => String::new(),
    };
    p.rule(area, 0, "Blocked history", &note);
    let body = below(area, 1);
    if store.loops.rows.is_empty() {
        p.text(
            body,
            1,
            0,
            if store.loops.loaded {
                "No loop is running."
            } else {
                "reading loops …"
            },
            Role::Plain,
        );
        return;
    }
    let shown = worst_first(&store.loops.rows, usize::from(body.height));
    for (y, row) in shown.iter().enumerate() {
        one(model, p, top(below(body, y as u16), 1), row);
    }
    let hidden = store.loops.total.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        p.right(
            area,
            1,
            0,
            &format!(" {hidden} more loops, these are the worst "),
            Role::Dim,
        );
    }
}

fn one(model: &Model, p: &mut Painter<'_>, area: Rect, row: &LoopRow) {
    let wide = area.width >= super::WIDE;
    let name = p.clean(&row.name).into_owned();
    let sign = if row.blocks > 0 || row.held().is_some() {
        " ▲"
    } else {
        ""
    };
    let role = if sign.is_empty() {
        Role::Plain
    } else {
        Role::Problem
    };
    let mut x = 1 + p.text(
        area,
        1,
        0,
        &format!("{:>2} {:<10}", row.id, fmt::cut_end(&name, 10)),
        Role::Plain,
    );
    x += p.text(area, x, 0, &format!("{sign:<2} "), role);
    let over = match &row.blocked {
        Some(block) if row.held().is_some() => {
            let behind = block.waiting_now.filter(|n| *n > 0);
            let behind =
                behind.map_or_else(String::new, |n| format!(", {} behind it", fmt::count(n)));
            format!("BLOCKED now for {}{behind}", fmt::span(block.for_ns))
        }
        Some(block) => format!(
            "{} now, for {} on the wall",
            row.stuck().unwrap_or_default(),
            fmt::span(look(model).ago(block.at_ns))
        ),
        None if row.standstill.is_some_and(|still| still.nobody) => {
            "nothing can wake it".to_owned()
        }
        None if row.standstill.is_some() => row
            .standstill
            .map_or_else(String::new, |still| still.words()),
        None => format!(
            "over {} · worst {}",
            fmt::count(row.blocks),
            if row.blocks > 0 {
                fmt::span(row.worst_block_ns)
            } else {
                "-".to_owned()
            }
        ),
    };
    let over = if wide {
        format!("budget {} · {over}", fmt::span(row.budget_ns))
    } else {
        over
    };
    let role = if row.held().is_some() || row.standstill.is_some_and(|still| still.nobody) {
        Role::Problem
    } else {
        Role::Plain
    };
    let taken = p.right(area, 1, 0, &over, role);
    if let Some(series) = longest(&model.shown().series, row.id) {
        let room = usize::from(area.width.saturating_sub(x + taken + 3));
        p.text(
            area,
            x,
            0,
            &strip::lag(&series.block_max, room),
            Role::Plain,
        );
    }
}

/// The stack of a block and what is known of its cause.
pub(super) fn stack(model: &Model, p: &mut Painter<'_>, area: Rect, block: &BlockRow) {
    let look = look(model);
    let held = if block.running {
        "holds it for"
    } else {
        "held it"
    };
    let title = format!(
        "{} loop {} {} {held} {}",
        look.time(block.at_ns),
        block.loop_id,
        block.name,
        match block.is_uncounted() {
            true => fmt::span(block.wall_ns) + " on the wall",
            false => fmt::span(block.for_ns),
        }
    );
    let after_start = |at: u64| format!("+{}", fmt::span(at.saturating_sub(block.at_ns)));
    let moments: Vec<String> = block.samples.iter().map(|s| after_start(s.at_ns)).collect();
    let note = match (block.stack_at_ns, moments.as_slice()) {
        (_, [_, _, ..]) => format!("stacks taken at {}", moments.join(", ")),
        (Some(at), _) => format!("stack taken by the watchdog at {}", after_start(at)),
        (None, _) => String::new(),
    };
    p.rule(area, 0, &p.clean(&title), &note);
    let area = below(area, 1);
    let mut why = vec![if block.wall_only {
        "wall time only: the host does not tell how long it waited for a CPU".to_owned()
    } else {
        let most = block
            .at_most_ns
            .map_or_else(String::new, |ns| format!(", at most {}", fmt::span(ns)));
        format!("at least {}{most}", fmt::span(block.for_ns))
    }];
    if block.allowed_ns > 0 {
        let still = if block.allowed_now { ", still" } else { "" };
        let allowed = fmt::span(block.allowed_ns);
        why.push(format!("allowed: {}, {allowed}{still}", block.allowed));
    }
    if block.waiting_for_cpu {
        why.push("waiting for a CPU now".to_owned());
    }
    let cause = if block.is_allowed() {
        "no fault".to_owned()
    } else if block.cause.is_empty() {
        "cause unknown".to_owned()
    } else {
        format!("cause {}", block.cause)
    };
    let reason = if block.cause_reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", block.cause_reason)
    };
    why.push(format!("{cause}{reason}"));
    // The cause is whole where there is room for a stack below it.
    let lines = fmt::wrap(
        &p.clean(&why.join(" · ")),
        usize::from(area.width.saturating_sub(2)),
    );
    let most = usize::from(if area.height >= 9 { 3_u16 } else { 1 });
    for (y, line) in lines.iter().take(most).enumerate() {
        let line = match y + 1 == most && lines.len() > most {
            true => format!("{line}…"),
            false => line.clone(),
        };
        p.text(area, 1, y as u16, &line, Role::Plain);
    }
    let mut area = below(area, lines.len().min(most) as u16);
    let width = usize::from(area.width.saturating_sub(2));
    for (text, role) in told(block) {
        // The stack is what the pane is for: it has the most of it.
        if area.height < 4 {
            break;
        }
        let text = fmt::cut_end(&p.clean(&text), width).into_owned();
        p.text(area, 1, 0, &text, role);
        area = below(area, 1);
    }
    if let Some(why) = block.no_stack_words() {
        p.wrapped(after(area, 1), 0, &p.clean(&why), Role::Plain);
        return;
    }
    frames(p, area, &block.stack, model.ui.zoom);
}

/// What is said of a block between its cause and its stack: who waited, what to do, and in how far
/// its samples agree.
fn told(block: &BlockRow) -> Vec<(String, Role)> {
    let mut lines = Vec::new();
    if let Some(text) = columns::uncounted(block) {
        lines.push((text, Role::Head));
    }
    if let Some(text) = waited(block) {
        lines.push((text, Role::Plain));
    }
    if !block.advice.is_empty() && !block.is_allowed() {
        lines.push((block.advice.to_owned(), Role::Plain));
    }
    if !block.stack_note.is_empty() {
        lines.push((block.stack_note.clone(), Role::Plain));
    }
    if block.samples.len() > 1 {
        lines.push((block.agreement(), Role::Head));
        for sample in block.samples.iter().filter(|s| !s.own().is_empty()) {
            let names: Vec<&str> = sample.own().iter().map(frame_name).collect();
            let at = fmt::span(sample.at_ns.saturating_sub(block.at_ns));
            lines.push((format!("at +{at} in {}", names.join(" ‹ ")), Role::Dim));
        }
    }
    lines
}

fn frame_name(frame: &Frame) -> &str {
    if frame.function.is_empty() {
        &frame.module
    } else {
        &frame.function
    }
}

/// Who waits behind a block, or waited.
pub(super) fn waited(block: &BlockRow) -> Option<String> {
    let worst = block.waited_worst_ns.map_or_else(String::new, |ns| {
        format!(", the longest for {}", fmt::span(ns))
    });
    match (block.waiting_now, block.waited) {
        (Some(0), _) | (None, Some(0)) => Some("nobody was seen to wait behind it".to_owned()),
        (Some(now), _) => {
            let wait = if now == 1 { "waits" } else { "wait" };
            Some(format!(
                "{} {wait} behind it{worst}",
                fmt::many(now, "task")
            ))
        }
        (None, Some(count)) => Some(format!(
            "{} waited behind it{worst}",
            fmt::many(count, "task")
        )),
        (None, None) => None,
    }
}

/// Lines that the pane of a block wants.
fn wanted(block: &BlockRow, width: u16) -> u16 {
    let why = block.no_stack_words().map_or(0, |why| {
        fmt::wrap(&why, width.saturating_sub(2).into()).len()
    });
    (block.stack.len() + why + told(block).len()) as u16 + 3
}

/// What a line of a stack shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Frame(usize),
    /// So many that are not the app's.
    Folded(usize),
}

/// The lines of a stack: all frames where they have room. Else frames that are not the app's are folded: the outermost ones as
/// far as needed, then, if the line that is to blame would still be hidden, those before it.
fn folded(stack: &[Frame], room: usize) -> Vec<Shown> {
    let own = |frame: &Frame| frame.yours || frame.culprit;
    let frames = |from: usize, to: usize| (from..to).map(Shown::Frame);
    let last = match stack.iter().rposition(own) {
        Some(last) if stack.len() > room => last,
        _ => return frames(0, stack.len()).collect(),
    };
    if last + 1 < room {
        let told = (room - 1).max(last + 1);
        return frames(0, told)
            .chain([Shown::Folded(stack.len() - told)])
            .collect();
    }
    let mut out = Vec::new();
    let mut from = 0;
    let fold = |from: usize, to: usize, out: &mut Vec<Shown>| match to - from {
        0 => {}
        1 => out.push(Shown::Frame(from)),
        count => out.push(Shown::Folded(count)),
    };
    for (index, frame) in stack.iter().enumerate() {
        if index == 0 || own(frame) {
            fold(from, index, &mut out);
            out.push(Shown::Frame(index));
            from = index + 1;
        }
    }
    fold(from, stack.len(), &mut out);
    if out.len() > room {
        out.retain(|line| matches!(line, Shown::Frame(index) if own(&stack[*index])));
    }
    out
}

/// Frames, innermost first; in two columns when they would not fit in one.
///
/// `zoomed`: it has the whole screen already.
pub(super) fn frames(p: &mut Painter<'_>, area: Rect, stack: &[Frame], zoomed: bool) {
    if area.height == 0 {
        return;
    }
    let rows = usize::from(area.height);
    let two = stack.len() > rows && area.width >= 100;
    let width = if two { area.width / 2 } else { area.width };
    let room = if two { rows * 2 } else { rows };
    let shown = folded(stack, room);
    for (i, line) in shown.iter().take(room).enumerate() {
        let x = if i >= rows { width } else { 0 };
        let cell = left(after(area, x), width);
        let y = (i % rows) as u16;
        match line {
            Shown::Frame(index) => frame_line(p, cell, y, *index, &stack[*index]),
            Shown::Folded(count) => {
                let text = format!("    … {count} frames that are not yours");
                p.text(cell, 0, y, &text, Role::Dim);
            }
        }
    }
    if shown.len() > room || shown.len() < stack.len() {
        let text = match zoomed {
            true => format!(" all {} frames: loop-console blocks --json ", stack.len()),
            false => format!(" + shows all {} frames ", stack.len()),
        };
        p.right(area, 1, area.height - 1, &text, Role::Dim);
    }
}

fn frame_line(p: &mut Painter<'_>, area: Rect, y: u16, number: usize, frame: &Frame) {
    let function = if frame.function.is_empty() {
        format!("{}+{:#x}", frame.module, frame.offset)
    } else {
        frame.function.clone()
    };
    let mark = match (frame.culprit, frame.yours) {
        (true, _) => " ◄ blamed",
        (_, true) => " ◄ your code",
        _ => "",
    };
    let role = if frame.yours || frame.culprit {
        Role::Head
    } else {
        Role::Dim
    };
    let room = usize::from(area.width.saturating_sub(6)).saturating_sub(fmt::width(mark));
    let place = fmt::place(&frame.place).into_owned();
    let place_room = (room / 2).min(fmt::width(&place));
    let place = fmt::cut_middle(&p.clean(&place), place_room).into_owned();
    let name_room = room.saturating_sub(place_room + 1);
    let name = fmt::cut_end(&p.clean(&function), name_room).into_owned();
    let mut x = p.text(area, 0, y, &format!("{number:>3} "), Role::Dim);
    x += p.text(area, x, y, &name, role);
    x += p.text(area, x, y, " ", Role::Plain);
    x += p.text(area, x, y, &place, Role::Plain);
    p.text(area, x, y, mark, role);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_pane_shows_the_line_that_is_to_blame() {
        let mut stack = vec![Frame::default(); 30];
        stack[6].culprit = true;
        stack[9].yours = true;
        assert_eq!(
            folded(&stack, 6),
            [
                Shown::Frame(0),
                Shown::Folded(5),
                Shown::Frame(6),
                Shown::Folded(2),
                Shown::Frame(9),
                Shown::Folded(20),
            ]
        );
        assert_eq!(folded(&stack, 2), [Shown::Frame(6), Shown::Frame(9)]);
        let most = folded(&stack, 20);
        assert_eq!(
            (most.len(), most[18], most[19]),
            (20, Shown::Frame(18), Shown::Folded(11))
        );
        assert_eq!(folded(&stack, 30).len(), 30);
        stack.truncate(6);
        // Nothing of it is the app's: from the innermost one on.
        assert_eq!(folded(&stack, 3).len(), 6);
    }
}
