//! What lies over a screen: sort menu, columns, palette, picker of apps, help, notes. The screen stays dimmed behind.

use ratatui::layout::Rect;

use super::columns;
use super::paint::{Painter, after, below, left, middle, top};
use super::theme::Role;
use super::{Hit, control, cost, explain, fmt, glyph, overview};
use crate::keys::{self, Binding, Where};
use crate::model::{Layer, Model, Note};
use crate::update::{act, layer};

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    for open in &model.ui.layers {
        match open {
            Layer::Filter { .. } => {}
            Layer::Sort { cursor } => sort(model, p, area, *cursor),
            Layer::Columns { cursor } => choose_columns(model, p, area, *cursor),
            Layer::Palette { input, cursor } => palette(model, p, area, input.value(), *cursor),
            Layer::Apps { input, cursor } => apps(model, p, area, input.value(), *cursor),
            Layer::Help { input, scroll } => help(model, p, area, input.value(), *scroll),
            Layer::Note { note, scroll } => noted(model, p, area, note, *scroll),
            Layer::Confirm { deed } => control::confirm(model, p, area, deed),
            Layer::Budget {
                input,
                loop_id,
                wrong,
            } => control::budget(model, p, area, input.value(), *loop_id, wrong),
            Layer::Recorded { cursor } => control::recorded(model, p, area, *cursor),
        }
    }
}

/// Clears a box, draws its frame, and returns its inside.
pub(super) fn boxed(p: &mut Painter<'_>, area: Rect, title: &str, width: u16, height: u16) -> Rect {
    p.dim(area);
    p.cover();
    let outer = middle(area, width, height);
    p.clear(outer);
    if outer.height < 3 || outer.width < 4 {
        return outer;
    }
    let line = "─".repeat(usize::from(outer.width - 2));
    p.text(outer, 0, 0, &format!("┌{line}┐"), Role::Dim);
    for y in 1..outer.height - 1 {
        p.text(outer, 0, y, "│", Role::Dim);
        p.text(outer, outer.width - 1, y, "│", Role::Dim);
    }
    p.text(outer, 0, outer.height - 1, &format!("└{line}┘"), Role::Dim);
    p.text(
        outer,
        2,
        0,
        &format!(
            " {} ",
            fmt::cut_end(title, usize::from(outer.width.saturating_sub(6)))
        ),
        Role::Head,
    );
    Rect {
        x: outer.x + 1,
        y: outer.y + 1,
        width: outer.width - 2,
        height: outer.height - 2,
    }
}

/// Lines of which one is chosen, scrolled so that it is seen.
pub(super) fn choices(p: &mut Painter<'_>, area: Rect, cursor: usize, lines: &[(String, String)]) {
    let rows = usize::from(area.height);
    let from = cursor
        .saturating_sub(rows.saturating_sub(1))
        .min(lines.len().saturating_sub(rows));
    for (y, (text, tail)) in lines.iter().skip(from).take(rows).enumerate() {
        let line = top(below(area, y as u16), 1);
        let room = usize::from(line.width.saturating_sub(2)).saturating_sub(fmt::width(tail) + 1);
        p.text(line, 1, 0, &fmt::cut_end(&p.clean(text), room), Role::Plain);
        p.right(line, 1, 0, tail, Role::Link);
        p.hit(line, Hit::Choice(from + y));
        if from + y == cursor {
            p.text(line, 0, 0, glyph::BAR, Role::Plain);
            p.select(line, 0);
        }
    }
}

fn sort(model: &Model, p: &mut Painter<'_>, area: Rect, cursor: usize) {
    let Some(list) = model.list_id() else { return };
    let now = model.sort(list);
    let lines: Vec<(String, String)> = act::sortable(model, list)
        .iter()
        .map(|h| {
            let mark = match &now {
                Some(s) if s.key == h.sort => {
                    if s.descending {
                        glyph::DOWN
                    } else {
                        glyph::UP
                    }
                }
                _ => " ",
            };
            (format!("{mark} {:<12} {}", h.text, h.help), String::new())
        })
        .collect();
    let inside = boxed(
        p,
        area,
        "Sort by (the same again reverses)",
        72,
        lines.len() as u16 + 2,
    );
    choices(p, inside, cursor, &lines);
}

fn choose_columns(model: &Model, p: &mut Painter<'_>, area: Rect, cursor: usize) {
    let Some(id) = model.list_id() else { return };
    let heads = columns::heads(id);
    let list = model.list(id);
    let (_, gone) = columns::layout(&heads, &[], list, area.width.saturating_sub(4));
    let lines: Vec<(String, String)> = columns::order(&heads, list)
        .into_iter()
        .map(|i| {
            let h = &heads[i];
            let mark = if columns::is_shown(h, list) {
                "[x]"
            } else {
                "[ ]"
            };
            let why = if gone.contains(&h.name) {
                "no room"
            } else {
                ""
            };
            (format!("{mark} {:<12} {}", h.text, h.help), why.to_owned())
        })
        .collect();
    let inside = boxed(
        p,
        area,
        "Columns (space shows or hides, ← → move)",
        84,
        lines.len() as u16 + 2,
    );
    choices(p, inside, cursor, &lines);
}

fn palette(model: &Model, p: &mut Painter<'_>, area: Rect, typed: &str, cursor: usize) {
    let lines: Vec<(String, String)> = layer::entries(model, typed)
        .into_iter()
        .map(|e| (e.text, e.keys))
        .collect();
    let inside = boxed(
        p,
        area,
        "Palette: an action, a column, a finding, a task's number, a place",
        84,
        20,
    );
    typing(p, inside, typed);
    if lines.is_empty() {
        p.text(
            below(inside, 1),
            1,
            0,
            "Nothing is called that.",
            Role::Plain,
        );
    }
    choices(p, below(inside, 1), cursor, &lines);
}

fn typing(p: &mut Painter<'_>, area: Rect, typed: &str) {
    let room = usize::from(area.width.saturating_sub(4));
    // The end is what is being typed.
    let shown: String = typed
        .chars()
        .rev()
        .take(room)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let x = 1 + p.pieces(area, 1, 0, &[("> ", Role::Dim), (&shown, Role::Plain)]);
    p.reverse(Rect {
        x: area.x.saturating_add(x),
        width: 1,
        height: 1.min(area.height),
        ..area
    });
}

fn apps(model: &Model, p: &mut Painter<'_>, area: Rect, typed: &str, cursor: usize) {
    let apps = layer::apps(model, typed);
    let lines: Vec<(String, String)> = apps
        .iter()
        .map(|a| {
            let up =
                a.up.map_or_else(|| "-".to_owned(), |up| fmt::uptime(up.as_secs()));
            let loops = a.loops.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let worst = a.worst.clone().unwrap_or_else(|| "-".to_owned());
            (
                format!(
                    "{:>8} {:<20} {up:>9} {loops:>5}  {worst}",
                    a.pid,
                    fmt::cut_end(&a.name, 20)
                ),
                String::new(),
            )
        })
        .collect();
    let inside = boxed(
        p,
        area,
        "Apps (type to narrow)",
        84,
        lines.len().max(2) as u16 + 4,
    );
    typing(p, inside, typed);
    p.text(
        below(inside, 1),
        1,
        0,
        &format!(
            "{:>8} {:<20} {:>9} {:>5}  WORST",
            "PID", "NAME", "UP", "LOOPS"
        ),
        Role::Head,
    );
    let body = below(inside, 2);
    if lines.is_empty() {
        let text = if model.store.apps.is_empty() {
            "No running app found."
        } else {
            "No app is called that."
        };
        p.text(body, 1, 0, text, Role::Plain);
    }
    choices(p, body, cursor, &lines);
}

/// Words that heads and sentences use.
const WORDS: [(&str, &str); 8] = [
    ("BUSY", "share of the window spent being polled"),
    ("FOR", "time in this state"),
    ("WAITING ON", "what will wake it"),
    ("READY", "woken, not yet polled"),
    ("LAG", "the longest a readiness went unseen"),
    ("block", "a poll over its budget"),
    ("~", "may be too low: events were lost"),
    ("▲ !", "a problem, a warning; d explains it"),
];

fn help(model: &Model, p: &mut Painter<'_>, area: Rect, typed: &str, scroll: u16) {
    let at = model.base();
    let everywhere = |b: &Binding| b.at.0 & Where::SCREENS.0 == Where::SCREENS.0;
    let typed = typed.trim().to_lowercase();
    let fits = |keys: &str, text: &str| {
        typed.is_empty()
            || keys.to_lowercase().contains(&typed)
            || text.to_lowercase().contains(&typed)
    };
    let keys_of = |wanted: bool| -> Vec<(String, String)> {
        keys::TABLE
            .iter()
            .filter(|b| b.at.meets(at) && everywhere(b) == wanted)
            .map(|b| (keys::names(b), b.help.to_owned()))
            .filter(|(k, t)| fits(k, t))
            .collect()
    };
    let words = WORDS
        .iter()
        .filter(|(w, t)| fits(w, t))
        .map(|(w, t)| ((*w).to_owned(), (*t).to_owned()))
        .collect();
    let parts: [(&str, Vec<(String, String)>); 3] = [
        ("HERE", keys_of(false)),
        ("EVERYWHERE", keys_of(true)),
        ("WORDS", words),
    ];
    let count = parts.iter().take(2).map(|(_, l)| l.len()).sum::<usize>();
    let title = format!(
        "Help: {} ── {count} keys ── type to search",
        screen_name(model)
    );
    let width = area.width.saturating_sub(2).min(126);
    let inside = boxed(p, area, &title, width, area.height);
    typing(p, inside, &typed);
    let body = Rect {
        height: inside.height.saturating_sub(2),
        ..below(inside, 1)
    };
    if parts.iter().all(|(_, l)| l.is_empty()) {
        p.text(body, 1, 0, "No key and no word is about that.", Role::Plain);
    } else if inside.width >= 96 {
        let each = inside.width / 3;
        for (i, (title, lines)) in parts.iter().enumerate() {
            let column = left(after(body, each * i as u16), each.saturating_sub(1));
            part(p, column, title, lines, scroll);
        }
    } else {
        let mut flat: Vec<(String, String)> = Vec::new();
        for (title, lines) in &parts {
            if !lines.is_empty() {
                flat.push((String::new(), (*title).to_owned()));
                flat.extend(lines.iter().cloned());
            }
        }
        part(p, body, "", &flat, scroll);
    }
    p.text(
        below(inside, inside.height.saturating_sub(1)),
        1,
        0,
        "From the table that input uses; `loop-console keys` prints it.",
        Role::Dim,
    );
}

fn part(p: &mut Painter<'_>, area: Rect, title: &str, lines: &[(String, String)], scroll: u16) {
    let body = if title.is_empty() {
        area
    } else {
        below(area, 1)
    };
    if !title.is_empty() {
        p.text(area, 1, 0, title, Role::Head);
    }
    let room = usize::from(body.width.saturating_sub(13)).max(8);
    // Sentences go on below their own beginning.
    let mut drawn: Vec<(&str, String)> = Vec::new();
    for (keys, text) in lines {
        let mut head = keys.as_str();
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && fmt::width(&line) + 1 + fmt::width(word) > room {
                drawn.push((head, std::mem::take(&mut line)));
                head = " ";
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        drawn.push((head, line));
    }
    let rows = usize::from(body.height);
    let from = usize::from(scroll).min(drawn.len().saturating_sub(rows));
    for (y, (keys, text)) in drawn.iter().skip(from).take(rows).enumerate() {
        if keys.is_empty() {
            p.text(body, 1, y as u16, text, Role::Head);
            continue;
        }
        p.text(body, 1, y as u16, keys, Role::Link);
        p.text(
            body,
            13.max(fmt::width(keys) as u16 + 2),
            y as u16,
            text,
            Role::Plain,
        );
    }
    if drawn.len() > from + rows {
        p.right(area, 0, area.height.saturating_sub(1), " ↓ more", Role::Dim);
    }
}

fn screen_name(model: &Model) -> &'static str {
    if !model.has_data() {
        "no app"
    } else if model.ui.detail.is_some() {
        "Task"
    } else {
        model.ui.screen.title()
    }
}

fn noted(model: &Model, p: &mut Painter<'_>, area: Rect, note: &Note, scroll: u16) {
    match note {
        Note::Finding(name) => {
            let inside = boxed(p, area, &format!("What `{name}` means"), 84, 20);
            let inside = Rect {
                width: inside.width.saturating_sub(2),
                ..after(inside, 1)
            };
            let Some(text) = explain::of(name) else {
                p.text(
                    inside,
                    0,
                    0,
                    "This console knows no text for it: the app may be newer.",
                    Role::Plain,
                );
                return;
            };
            let mut y = 0;
            for (head, body) in [
                ("When", text.condition),
                ("Cause", text.cause),
                ("Example", text.example),
                ("Try", text.fix),
            ] {
                p.text(inside, 0, y, head, Role::Head);
                y += p.wrapped(after(inside, 9), y, body, Role::Plain).max(1) + 1;
            }
        }
        Note::Cost => {
            let width = area.width.saturating_sub(4).min(110);
            // The frame, the heads, and a blank at the right.
            let room = usize::from(width.saturating_sub(2 + 22 + 1));
            let mut lines = Vec::new();
            for (head, text, role) in cost::of_model(model) {
                for (nth, part) in fmt::wrap(&p.clean(&text), room).into_iter().enumerate() {
                    let head = if nth == 0 { head.as_str() } else { "" };
                    lines.push((head.to_owned(), part, role));
                }
            }
            let height = lines.len() as u16 + 2;
            let inside = boxed(p, area, "What being watched costs", width, height);
            // Scrolled no further than that the last line is the lowest.
            let rows = usize::from(inside.height);
            let from = usize::from(scroll).min(lines.len().saturating_sub(rows));
            let texts = after(inside, 22);
            for (y, (head, text, role)) in lines.iter().skip(from).take(rows).enumerate() {
                p.text(inside, 1, y as u16, head, Role::Dim);
                p.text(texts, 0, y as u16, text, *role);
            }
            if lines.len() > from + rows {
                p.right(
                    inside,
                    0,
                    inside.height.saturating_sub(1),
                    " ↓ more",
                    Role::Dim,
                );
            }
        }
        Note::Events => {
            let inside = boxed(
                p,
                area,
                "Newest events first",
                area.width.saturating_sub(4),
                area.height.saturating_sub(2),
            );
            let events = &model.shown().events;
            if events.is_empty() {
                let why = match model.shown().recording() {
                    Some(_) => "None in the recording.",
                    None => "None since this console attached.",
                };
                p.text(inside, 1, 0, why, Role::Plain);
            }
            let from = usize::from(scroll).min(events.len().saturating_sub(1));
            for (y, event) in events
                .iter()
                .rev()
                .skip(from)
                .take(usize::from(inside.height))
                .enumerate()
            {
                overview::event_line(model, p, top(below(inside, y as u16), 1), event);
            }
        }
    }
}
