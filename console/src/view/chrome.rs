//! The frame around every screen: who and how fresh, the screens, the filter, the keys. Knows no screen's inside.

use std::time::Duration;

use ratatui::layout::Rect;

use super::paint::{Painter, after, below, top};
use super::theme::Role;
use super::{Hit, WIDE, fmt};
use crate::keys::{self, Action};
use crate::model::{Layer, ListId, Model, Narrow, Screen};
use crate::store::Link;
use crate::update::{self, control, layer, wanted};

/// Line 1: who, and how fresh. The pieces on the right leave one by one when it gets narrow, the state and the losses last.
pub(super) fn header(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let mut right: Vec<(String, Role, u8)> = Vec::new();
    let (state, role) = state(model, area.width);
    right.push((state, role, 0));
    if model.has_data() {
        if let Some(overview) = &store.overview {
            let loops = store.loops.total;
            right.push((
                format!(
                    "{} {}",
                    fmt::count(loops),
                    if loops == 1 { "loop" } else { "loops" }
                ),
                Role::Plain,
                4,
            ));
            right.push((
                format!("{} tasks", fmt::count(overview.tasks)),
                Role::Plain,
                3,
            ));
            if overview.lag.count > 0 {
                let over = overview.lag.p99_ns
                    > store
                        .hello
                        .as_ref()
                        .map_or(u64::MAX, |h| h.block_budget_ns.max(1));
                let mark = if over { " ▲" } else { "" };
                let word = if area.width >= WIDE { "lag p99" } else { "lag" };
                let text = format!("{word} {}{mark}", fmt::span(overview.lag.p99_ns));
                right.push((text, if over { Role::Problem } else { Role::Plain }, 2));
            }
        }
        // Losses are told as they are now, even beside a frozen picture.
        let lost = model.store.cost.as_ref().map(|c| c.lost());
        let (text, role) = match lost {
            None => ("lost ?".to_owned(), Role::Plain),
            Some(0) => ("lost 0".to_owned(), Role::Plain),
            Some(n) => (format!("! lost {}", fmt::count(n)), Role::Warning),
        };
        right.push((text, role, 0));
    }
    let name = match &store.hello {
        Some(h) if area.width >= WIDE => {
            let version = if h.version.is_empty() {
                String::new()
            } else {
                format!(" {}", h.version)
            };
            format!(
                " {}{version} · pid {} · up {}",
                h.name,
                h.pid,
                fmt::uptime(store.up().as_secs())
            )
        }
        Some(h) => format!(" {} {}", h.name, h.pid),
        None => " loop-console".to_owned(),
    };
    let width =
        |parts: &[(String, Role, u8)]| parts.iter().map(|(t, ..)| fmt::width(t) + 3).sum::<usize>();
    let room = usize::from(area.width).saturating_sub(2);
    while width(&right) + fmt::width(&name).min(20) > room && right.iter().any(|r| r.2 > 0) {
        let leaves = right
            .iter()
            .enumerate()
            .max_by_key(|(_, r)| r.2)
            .map_or(0, |(i, _)| i);
        right.remove(leaves);
    }
    let taken = width(&right).min(room);
    p.text(
        area,
        0,
        0,
        &fmt::cut_end(&name, room.saturating_sub(taken).max(4)),
        Role::Head,
    );
    let mut x = area.width.saturating_sub(taken as u16).saturating_add(1);
    for (i, (text, role, _)) in right.iter().enumerate() {
        if i > 0 {
            x = x.saturating_add(p.text(area, x, 0, " · ", Role::Dim));
        }
        x = x.saturating_add(p.text(area, x, 0, text, *role));
    }
}

/// Whose recording it is, how that process stands, of when the tables are and what is missing: on every screen, since nothing
/// below looks any different from an app that lives. Returns what is left of the area.
pub(super) fn recording(model: &Model, p: &mut Painter<'_>, area: Rect) -> Rect {
    let store = model.shown();
    let Some((hello, about)) = store
        .hello
        .as_ref()
        .and_then(|hello| Some((hello, hello.recording.as_ref()?)))
    else {
        return area;
    };
    let (wide, offset) = (area.width >= WIDE, model.ui.utc_offset_s);
    let name = p.clean(&hello.name).into_owned();
    let room = usize::from(area.width.saturating_sub(2));
    let title = about.title(&name, hello.pid, offset, wide);
    let role = if about.following {
        Role::Good
    } else {
        Role::Head
    };
    p.text(area, 1, 0, &fmt::cut_end(&title, room), role);
    if area.height < 16 {
        return below(area, 1);
    }
    let doubts = match about.doubts.len() as u64 {
        0 => String::new(),
        n => format!("! {} (key i)", fmt::many(n, "doubt")),
    };
    let age = match (about.behind(), wide) {
        // The line above tells of the last event.
        (Some(span), false) => format!("{}, {span} earlier", about.as_at(offset)),
        _ => about.age(offset, false),
    };
    let lost = format!("{} events overwritten", fmt::count(about.overwritten));
    let loses = if about.overwritten > 0 {
        Role::Warning
    } else {
        Role::Dim
    };
    let parts = [
        (age, Role::Warning),
        (lost, loses),
        (doubts, Role::Warning),
        (about.since(), Role::Plain),
    ];
    let line = top(below(area, 1), 1);
    let mut x = 1;
    for (text, role) in parts.iter().filter(|(text, _)| !text.is_empty()) {
        let gap = if x > 1 { " · " } else { "" };
        let text = p.clean(text).into_owned();
        if usize::from(x) + fmt::width(gap) + fmt::width(&text) > room + 1 {
            continue;
        }
        x += p.text(line, x, 0, gap, Role::Dim);
        x += p.text(line, x, 0, &text, *role);
    }
    below(area, 2)
}

/// How fresh the picture is, in words: fewer where there is little room.
fn state(model: &Model, width: u16) -> (String, Role) {
    let now = model.ui.now;
    let store = &model.store;
    let link = match &store.link {
        None => ("○ LOOKING".to_owned(), Role::Plain),
        Some(Link::Searching { .. }) => ("○ NO APP".to_owned(), Role::Plain),
        Some(Link::Choosing) => ("○ CHOOSE".to_owned(), Role::Plain),
        Some(Link::Connecting { .. }) => match store.lost_since {
            Some(since) => (
                format!(
                    "○ LOST {}, connecting",
                    short_age(now.saturating_sub(since))
                ),
                Role::Problem,
            ),
            None => ("○ CONNECTING".to_owned(), Role::Plain),
        },
        Some(Link::VersionGap(_)) => ("▲ VERSIONS DO NOT FIT".to_owned(), Role::Problem),
        Some(Link::Ended { how }) => (
            fmt::cut_end(&format!("○ ENDED {how}"), usize::from(width / 2)).into_owned(),
            Role::Plain,
        ),
        Some(Link::Lost { reason, retry_in }) => {
            let gone = short_age(now.saturating_sub(store.lost_since.unwrap_or(store.link_since)));
            let left = retry_in
                .saturating_sub(now.saturating_sub(store.link_since))
                .as_secs_f64();
            let retry = if left == 0.0 {
                "retrying".to_owned()
            } else {
                format!("retry in {left:.1}s, r now")
            };
            let reason = if width >= 80 {
                format!(" ({})", fmt::cut_end(reason, usize::from(width / 4)))
            } else {
                String::new()
            };
            (format!("○ LOST {gone}{reason}, {retry}"), Role::Problem)
        }
        Some(Link::Live) if store.recording().is_some() => {
            match store.recording().is_some_and(|about| about.following) {
                true => ("■ FOLLOWING".to_owned(), Role::Good),
                false => ("■ RECORDING".to_owned(), Role::Plain),
            }
        }
        Some(Link::Live) => match (update::stale_since(model), store.restarted_from) {
            (Some(silence), _) => (
                format!("! LIVE, silent {}", short_age(silence)),
                Role::Warning,
            ),
            (None, Some(pid)) if now.saturating_sub(store.link_since) < RESTART_SHOWN => {
                (format!("● LIVE, restarted, was pid {pid}"), Role::Good)
            }
            _ => (
                format!("● LIVE {:.1}s", wanted::EVERY.as_secs_f64()),
                Role::Good,
            ),
        },
    };
    let Some(frozen) = &model.ui.frozen else {
        return link;
    };
    let new = new_findings(model);
    let behind = fmt::clock(now.saturating_sub(frozen.since).as_secs());
    let news = if new > 0 {
        format!(", {}", fmt::many(new as u64, "new finding"))
    } else {
        String::new()
    };
    let text = format!("‖ FROZEN {behind} behind{news}");
    // A broken link must be seen even while frozen.
    match (store.is_live(), width >= WIDE) {
        (true, _) => (text, Role::Warning),
        (false, true) => (format!("{text} · {}", link.0), link.1),
        (false, false) => (format!("‖ FROZEN · {}", link.0), link.1),
    }
}

/// How long the header says that the app was restarted.
const RESTART_SHOWN: Duration = Duration::from_secs(30);

fn short_age(age: Duration) -> String {
    if age.as_secs() < 60 {
        format!("{}s", age.as_secs())
    } else {
        fmt::clock(age.as_secs())
    }
}

/// Findings that came while the picture stood still.
fn new_findings(model: &Model) -> usize {
    let Some(frozen) = &model.ui.frozen else {
        return 0;
    };
    model
        .store
        .findings
        .rows
        .iter()
        .filter(|f| frozen.store.findings.get(f.id).is_none())
        .count()
}

/// Line 2: the screens, with what is wrong on each; in an opened task, the way there.
pub(super) fn tabs(model: &Model, p: &mut Painter<'_>, area: Rect) {
    if model.ui.detail.is_some() {
        crumbs(model, p, area);
        return;
    }
    let store = model.shown();
    let is_leak = |f: &&crate::store::Finding| f.is_leak() && f.is_problem();
    let leaks = store.findings.rows.iter().filter(is_leak).count();
    // More than are at hand: at least so many.
    let more = if store.findings.is_whole() { "" } else { "+" };
    let blocked = store
        .findings
        .rows
        .iter()
        .filter(|f| f.name == "blocked")
        .count();
    // A loop that is held right now counts before its finding is made.
    let blocked = blocked.max(
        store
            .loops
            .rows
            .iter()
            .filter(|l| l.held().is_some())
            .count(),
    );
    let mut x = 1;
    for screen in Screen::ALL {
        let n = screen.index() + 1;
        let here = screen == model.ui.screen;
        let name = match area.width {
            0..WIDE_NAMES if !here && area.width < NAMES => String::new(),
            0..WIDE_NAMES => format!(" {}", short(screen)),
            _ => format!(" {}", screen.title()),
        };
        let problems = match screen {
            Screen::Loops => blocked,
            Screen::Leaks => leaks,
            _ => 0,
        };
        let (open, close) = if here { ("[", "]") } else { (" ", " ") };
        let from = x;
        x += p.pieces(
            area,
            x,
            0,
            &[
                (open, Role::Head),
                (
                    &format!("{n}{name}"),
                    if here { Role::Head } else { Role::Plain },
                ),
            ],
        );
        if problems > 0 {
            let gap = if area.width >= WIDE_NAMES { " " } else { "" };
            x += p.text(
                area,
                x,
                0,
                &format!("{gap}▲{problems}{more}"),
                Role::Problem,
            );
        }
        x += p.text(area, x, 0, close, Role::Head);
        p.hit(
            Rect {
                x: area.x + from,
                width: x - from,
                ..area
            },
            Hit::Do(Action::Screen(screen.index() as u8)),
        );
    }
    let filter = update::is_enabled(model, Action::Filter).then_some("/ filter  ");
    let hints = [filter.unwrap_or_default(), ": palette  ", "? help "];
    // As many of them as there is room for, the last ones rather.
    for from in 0..hints.len() {
        let text = hints[from..].concat();
        if usize::from(area.width.saturating_sub(x)) > fmt::width(&text) {
            p.right(area, 0, 0, &text, Role::Dim);
            return;
        }
    }
}

/// From this width on every tab has its name, and from the other on in full.
const NAMES: u16 = 80;
const WIDE_NAMES: u16 = 112;

fn short(screen: Screen) -> String {
    match screen {
        Screen::Overview => "Ov",
        Screen::Tasks => "Tasks",
        Screen::Loops => "Loops",
        Screen::Timers => "Tim",
        Screen::Io => "I/O",
        Screen::Leaks => "Leaks",
        Screen::Resources => "Res",
        Screen::Jobs => "Jobs",
        Screen::Children => "Child",
    }
    .to_owned()
}

fn crumbs(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let mut way: Vec<String> = Vec::new();
    for crumb in &model.ui.crumbs {
        let step = match &crumb.detail {
            Some(open) => open.id.to_string(),
            None => crumb.screen.title().to_owned(),
        };
        if way.last() != Some(&step) {
            way.push(step);
        }
    }
    // The newest part of a long way.
    let from = way.len().saturating_sub(4);
    let mut text = if from > 0 {
        "… › ".to_owned()
    } else {
        String::new()
    };
    for step in &way[from..] {
        text.push_str(step);
        text.push_str(" › ");
    }
    if way.is_empty() {
        text = format!("{} › ", model.ui.screen.title());
    }
    let here = match (update::pick::detail(model), &model.ui.detail) {
        (Some(detail), _) => format!("{} {}", detail.row.id, detail.row.name),
        (None, Some(open)) => open.id.to_string(),
        _ => String::new(),
    };
    let hints = "K J previous, next in list   Esc back ";
    let x = 1 + p.text(area, 1, 0, &text, Role::Dim);
    let room = usize::from(area.width.saturating_sub(x));
    let taken = p.text(area, x, 0, &fmt::cut_end(&here, room), Role::Head);
    if usize::from(area.width.saturating_sub(x + taken)) > fmt::width(hints) + 1 {
        p.right(area, 0, 0, hints, Role::Dim);
    }
}

/// The filter while it is typed, as a chip while it holds; nothing otherwise. Returns what is left of the area.
pub(super) fn filter_line(model: &Model, p: &mut Painter<'_>, area: Rect) -> Rect {
    let Some(id) = model.list_id() else {
        return area;
    };
    let list = model.list(id);
    let line = top(area, 1);
    if let Some(Layer::Filter { input, .. }) = model.ui.layers.last() {
        let text = input.value();
        let wrong = layer::check(id, text.trim());
        let count = counted(model, id);
        let room = area.width.saturating_sub(fmt::width(&count) as u16 + 3);
        let x = 1 + p.text(line, 1, 0, "filter: ", Role::Head);
        let shown = usize::from(room.saturating_sub(x + 1)).max(1);
        let scroll = input.visual_scroll(shown);
        let visible: String = text.chars().skip(scroll).collect();
        let field = Rect {
            x: line.x + x,
            width: room.saturating_sub(x),
            ..line
        };
        p.text(field, 0, 0, &visible, Role::Plain);
        let cursor = input.visual_cursor().saturating_sub(scroll) as u16;
        p.reverse(Rect {
            x: field.x.saturating_add(cursor),
            width: 1,
            ..field
        });
        p.right(line, 1, 0, &count, Role::Dim);
        let Some(wrong) = wrong else {
            return below(area, 1);
        };
        let before =
            fmt::width(text.get(..wrong.offset).unwrap_or(text)).saturating_sub(scroll) as u16;
        let carets = "^".repeat(wrong.length.clamp(1, 40));
        let at = before.min(field.width.saturating_sub(1));
        let carets_x = x + at;
        let end = carets_x + p.text(below(area, 1), carets_x, 0, &carets, Role::Problem);
        let meant = wrong
            .suggestion
            .as_ref()
            .map_or_else(String::new, |s| format!("Did you mean {s}? "));
        let why = format!("{meant}{} The last good filter holds.", wrong.message);
        let rest = after(below(area, 1), end + 1);
        if usize::from(rest.width) >= fmt::width(&why) {
            p.text(rest, 0, 0, &why, Role::Problem);
            return below(area, 2);
        }
        let why = p.clean(&why).into_owned();
        // On a low screen the list keeps most of it.
        let under = after(below(area, 2), 1);
        let most = (area.height / 4).clamp(1, 5);
        let taken = p.wrapped(top(under, most), 0, &why, Role::Problem);
        return below(area, 2 + taken.min(most));
    }
    let narrow = match list.narrow {
        Narrow::All => String::new(),
        Narrow::Findings => "with findings".to_owned(),
        Narrow::Loop(n) => format!("loop {n} only"),
        Narrow::Ended => "ended tasks, newest first".to_owned(),
    };
    let refused = wanted::refusal(model, id);
    // The body of an empty list says itself why it is.
    let refused = refused.filter(|refusal| refusal.part != crate::recorded::NOT_HELD);
    let area = incomplete(model, p, area, id);
    let line = top(area, 1);
    if list.filter.is_empty() && narrow.is_empty() && refused.is_none() {
        return area;
    }
    let mut x = 1;
    if !list.filter.is_empty() {
        let room = usize::from(area.width / 2);
        x += p.pieces(
            line,
            x,
            0,
            &[
                ("filter: ", Role::Dim),
                (&fmt::cut_end(&list.filter, room), Role::Link),
                ("  \\ drops it  ", Role::Dim),
            ],
        );
    }
    if !narrow.is_empty() {
        x += p.pieces(
            line,
            x,
            0,
            &[
                ("narrow: ", Role::Dim),
                (&narrow, Role::Link),
                ("  z next  ", Role::Dim),
            ],
        );
    }
    let count = counted(model, id);
    if usize::from(area.width.saturating_sub(x)) > fmt::width(&count) + 1 {
        p.right(line, 1, 0, &count, Role::Dim);
    }
    let Some(refusal) = refused else {
        return below(area, 1);
    };
    let text = format!("! the app refused this: {}", refusal.why);
    p.text(
        below(area, 1),
        1,
        0,
        &fmt::cut_end(&text, usize::from(area.width.saturating_sub(2))),
        Role::Warning,
    );
    below(area, 2)
}

/// Why rows are missing, above the list.
fn incomplete(model: &Model, p: &mut Painter<'_>, area: Rect, id: ListId) -> Rect {
    let Some(why) = model.shown().incomplete.get(&wanted::slot(id)) else {
        return area;
    };
    let text = format!("! {}", p.clean(why));
    let room = usize::from(area.width.saturating_sub(2));
    p.text(area, 1, 0, &fmt::cut_end(&text, room), Role::Warning);
    below(area, 1)
}

/// `14 of 1,284`.
fn counted(model: &Model, id: ListId) -> String {
    let store = model.shown();
    let (matched, total, loaded) = match id {
        ListId::Findings => (
            store.findings.matched,
            store.findings.total,
            store.findings.loaded,
        ),
        ListId::Tasks => (store.tasks.matched, store.tasks.total, store.tasks.loaded),
        ListId::Tree => (store.tree.matched, store.tree.total, store.tree.loaded),
        ListId::Groups => (
            store.groups.matched,
            store.groups.total,
            store.groups.loaded,
        ),
        ListId::Blocks => (
            store.blocks.matched,
            store.blocks.total,
            store.blocks.loaded,
        ),
        ListId::Timers => (
            store.timers.matched,
            store.timers.total,
            store.timers.loaded,
        ),
        ListId::Io => (store.io.matched, store.io.total, store.io.loaded),
        ListId::Leaks => (store.leaks.matched, store.leaks.total, store.leaks.loaded),
        ListId::Resources => (
            store.resources.matched,
            store.resources.total,
            store.resources.loaded,
        ),
        ListId::Jobs => (store.jobs.matched, store.jobs.total, store.jobs.loaded),
        ListId::Children => (
            store.children.matched,
            store.children.total,
            store.children.loaded,
        ),
    };
    if loaded {
        format!("{} of {}", fmt::count(matched), fmt::count(total))
    } else {
        "reading".to_owned()
    }
}

/// What there is to be told now, in the place of the footer and above all else: why something was refused may take more than
/// one line.
pub(super) fn toast(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let Some((text, _)) = &model.ui.toast else {
        return;
    };
    // Escaped first, since that is how wide it will be.
    let width = usize::from(area.width.saturating_sub(2));
    let mut lines = fmt::wrap(&p.clean(text), width);
    let most = area.y.min(4);
    if lines.len() > usize::from(most) + 1 {
        lines.truncate(usize::from(most) + 1);
        let last = lines.pop().unwrap_or_default();
        lines.push(fmt::cut_end(&format!("{last} …"), width).into_owned());
    }
    let more = (lines.len() as u16).saturating_sub(1);
    let over = Rect {
        y: area.y - more,
        height: area.height + more,
        ..area
    };
    p.clear(over);
    for (y, line) in lines.iter().enumerate() {
        p.text(over, 1, y as u16, line, Role::Head);
    }
}

/// The last line: the keys that work here and now, the most useful first; whole hints leave when it gets narrow.
pub(super) fn footer(model: &Model, p: &mut Painter<'_>, area: Rect) {
    if model.ui.toast.is_some() {
        return;
    }
    if let Some(c) = model.ui.chord {
        p.pieces(
            area,
            1,
            0,
            &[
                (&format!("{c} "), Role::Head),
                (&format!("… {c} {c}: to the first"), Role::Plain),
            ],
        );
        return;
    }
    let at = model.at();
    let always: Vec<(String, &str, Action)> = keys::TABLE
        .iter()
        .filter(|b| b.at.meets(at) && matches!(b.action, Action::Help | Action::Quit))
        .map(|b| (keys::names(b), b.hint, b.action))
        .collect();
    let mut end = area.width.saturating_sub(1);
    for (name, hint, action) in always.iter().rev() {
        let taken = (fmt::width(name) + fmt::width(hint) + 3) as u16;
        end = end.saturating_sub(taken);
        hint_at(p, area, end + 2, name, hint, *action);
    }
    let mut x = 1;
    if at.meets(keys::Where::LISTS) {
        x += p.pieces(area, x, 0, &[("↑↓", Role::Link), (" move  ", Role::Plain)]);
    }
    for b in keys::TABLE
        .iter()
        .filter(|b| b.at.meets(at) && !b.hint.is_empty())
    {
        if matches!(b.action, Action::Help | Action::Quit) || !update::is_enabled(model, b.action) {
            continue;
        }
        // What is asked there says itself why it is not possible.
        let asks = at.meets(keys::Where::CONFIRM) || at.meets(keys::Where::BUDGET);
        if asks && b.action == Action::Accept && !control::why_not(model).is_empty() {
            continue;
        }
        let name = b.keys.first().map(|k| k.name()).unwrap_or_default();
        let (name, hint) = match b.action {
            Action::Freeze if model.ui.frozen.is_some() => (name, "back to live"),
            Action::PreviousTask => ("J K".to_owned(), "next, previous"),
            _ => (name, b.hint),
        };
        let taken = (fmt::width(&name) + fmt::width(hint) + 3) as u16;
        if x + taken > end {
            continue;
        }
        x += hint_at(p, area, x, &name, hint, b.action) + 2;
    }
}

fn hint_at(p: &mut Painter<'_>, area: Rect, x: u16, name: &str, hint: &str, action: Action) -> u16 {
    let taken = p.pieces(
        area,
        x,
        0,
        &[(name, Role::Link), (" ", Role::Plain), (hint, Role::Plain)],
    );
    p.hit(
        Rect {
            x: area.x.saturating_add(x),
            width: taken,
            ..area
        },
        Hit::Do(action),
    );
    taken
}
