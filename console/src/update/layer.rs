//! What lies over a screen: filter line, sort menu, columns, palette, picker of apps, help and notes. Each takes the keys
//! while it is on top.

use crossterm::event::{Event, KeyEvent};
use loop_proto::filter::{self, Filter, ParseError};
use loop_proto::table::Table;
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;

use super::act::{self, set_filter};
use super::{Ask, Effect, control, say};
use crate::keys::Action;
use crate::model::{Layer, ListId, Model, Screen};
use crate::store::{App, Goto};
use crate::view::columns;

/// Filters remembered.
const HISTORY: usize = 50;

/// Does an action in the top layer; `None`: it is not the layer's.
pub(super) fn act(model: &mut Model, action: Action) -> Option<Vec<Effect>> {
    match action {
        Action::Close | Action::Interrupt => {
            if let Some(Layer::Filter { before, .. }) = model.ui.layers.pop()
                && let Some(list) = model.list_id()
            {
                set_filter(model, list, before);
            }
            Some(Vec::new())
        }
        Action::Up => Some(moved(model, -1)),
        Action::Down => Some(moved(model, 1)),
        Action::PageUp => Some(moved(model, -10)),
        Action::PageDown => Some(moved(model, 10)),
        Action::Accept => Some(accept(model)),
        Action::Toggle if matches!(model.ui.layers.last(), Some(Layer::Budget { .. })) => {
            control::next_loop(model);
            Some(Vec::new())
        }
        Action::Toggle => Some(toggle_column(model)),
        Action::MoveLeft => Some(move_column(model, -1)),
        Action::MoveRight => Some(move_column(model, 1)),
        Action::Complete => Some(complete(model)),
        Action::Older => Some(from_history(model, 1)),
        Action::Newer => Some(from_history(model, -1)),
        Action::Reverse => {
            // In the sort menu: the chosen column, the other way round.
            let Some(Layer::Sort { cursor }) = model.ui.layers.last() else {
                return None;
            };
            let cursor = *cursor;
            let list = model.list_id()?;
            if let Some(head) = act::sortable(model, list).get(cursor) {
                act::sort_by(model, list, head);
            }
            Some(Vec::new())
        }
        _ => None,
    }
}

/// A key that no table names: text, where one types.
pub(super) fn typed(model: &mut Model, event: KeyEvent) {
    if let Some(input) = input(model)
        && input
            .handle_event(&Event::Key(event))
            .is_some_and(|c| c.value)
    {
        changed(model);
    }
}

pub(super) fn paste(model: &mut Model, text: &str) {
    if let Some(input) = input(model) {
        for c in text.chars().filter(|c| !c.is_control()) {
            input.handle(tui_input::InputRequest::InsertChar(c));
        }
        changed(model);
    }
}

fn input(model: &mut Model) -> Option<&mut Input> {
    match model.ui.layers.last_mut()? {
        Layer::Filter { input, .. }
        | Layer::Palette { input, .. }
        | Layer::Apps { input, .. }
        | Layer::Budget { input, .. }
        | Layer::Help { input, .. } => Some(input),
        _ => None,
    }
}

/// The text of the top layer changed.
fn changed(model: &mut Model) {
    match model.ui.layers.last_mut() {
        Some(Layer::Palette { cursor, .. } | Layer::Apps { cursor, .. }) => *cursor = 0,
        Some(Layer::Help { scroll, .. }) => *scroll = 0,
        Some(Layer::Budget { wrong, .. }) => wrong.clear(),
        Some(Layer::Filter { .. }) => apply_filter(model),
        _ => {}
    }
}

/// Shows what the filter line says, as long as it can be understood: else the last good one stays.
fn apply_filter(model: &mut Model) {
    let Some(Layer::Filter { input, .. }) = model.ui.layers.last() else {
        return;
    };
    let text = input.value().trim().to_owned();
    let Some(list) = model.list_id() else { return };
    if check(list, &text).is_none() {
        set_filter(model, list, text);
    }
}

/// The schema's table of a list, for the filter language.
pub fn table_of(list: ListId) -> Table {
    match list {
        ListId::Tasks | ListId::Tree => Table::Tasks,
        ListId::Groups => Table::Places,
        ListId::Blocks => Table::Blocks,
        ListId::Timers => Table::Timers,
        ListId::Io => Table::Io,
        ListId::Resources => Table::Resources,
        ListId::Jobs => Table::Jobs,
        ListId::Children => Table::Children,
        ListId::Findings | ListId::Leaks => Table::Findings,
    }
}

/// What is wrong with a filter, before it is sent.
pub fn check(list: ListId, text: &str) -> Option<ParseError> {
    Filter::parse(table_of(list), text).err()
}

/// A filter for the rows of one place.
pub(super) fn place_filter(place: &str) -> String {
    format!(
        "place=\"{}\"",
        place.replace('\\', "\\\\").replace('"', "\\\"")
    )
}

pub(super) fn open_filter(model: &mut Model) {
    if let Some(list) = model.list_id() {
        let before = model.list(list).filter.clone();
        model.ui.layers.push(Layer::Filter {
            input: Input::new(before.clone()),
            before,
            at: None,
        });
    }
}

fn from_history(model: &mut Model, by: isize) -> Vec<Effect> {
    let history = model.ui.history.clone();
    if let Some(Layer::Filter { input, at, before }) = model.ui.layers.last_mut() {
        let next = match *at {
            None if by > 0 => (!history.is_empty()).then_some(0),
            None => None,
            Some(0) if by < 0 => None,
            Some(now) => Some(
                now.saturating_add_signed(by)
                    .min(history.len().saturating_sub(1)),
            ),
        };
        let moved = next != *at;
        *at = next;
        // The newest is the last of the history.
        let text = match next {
            Some(n) => history[history.len() - 1 - n].clone(),
            None => before.clone(),
        };
        if moved {
            *input = Input::new(text);
            apply_filter(model);
        }
    }
    Vec::new()
}

/// Completes the word before the cursor; several choices are named in the footer.
fn complete(model: &mut Model) -> Vec<Effect> {
    let Some(list) = model.list_id() else {
        return Vec::new();
    };
    let Some(Layer::Filter { input, .. }) = model.ui.layers.last_mut() else {
        return Vec::new();
    };
    let text = input.value().to_owned();
    let cursor = text
        .char_indices()
        .nth(input.cursor())
        .map_or(text.len(), |(at, _)| at);
    let done = filter::complete(table_of(list), &text, cursor);
    match done.choices.as_slice() {
        [] => say(model, done.hint),
        [one] => {
            let head = format!("{}{}", &text[..done.from], one.insert);
            *input =
                Input::new(format!("{head}{}", &text[done.to..])).with_cursor(head.chars().count());
            apply_filter(model);
        }
        many => {
            // As far as all of them agree.
            let first = many[0].insert.as_str();
            let same = many.iter().fold(first.len(), |same, c| {
                let agree = first
                    .char_indices()
                    .zip(c.insert.chars())
                    .find(|((_, a), b)| a != b);
                same.min(agree.map_or(c.insert.len(), |((at, _), _)| at))
            });
            let head = format!("{}{}", &text[..done.from], &first[..same.min(first.len())]);
            if same > done.to - done.from {
                *input = Input::new(format!("{head}{}", &text[done.to..]))
                    .with_cursor(head.chars().count());
                apply_filter(model);
            }
            let names: Vec<&str> = many.iter().map(|c| c.insert.trim()).collect();
            say(model, names.join("  "));
        }
    }
    Vec::new()
}

/// How many lines a layer's cursor can be on.
fn choices(model: &Model) -> usize {
    let list = model.list_id();
    match model.ui.layers.last() {
        Some(Layer::Sort { .. }) => list.map_or(0, |l| act::sortable(model, l).len()),
        Some(Layer::Columns { .. }) => list.map_or(0, |l| columns::heads(l).len()),
        Some(Layer::Palette { input, .. }) => entries(model, input.value()).len(),
        Some(Layer::Apps { input, .. }) => apps(model, input.value()).len(),
        Some(Layer::Recorded { .. }) => control::switches(model).len(),
        _ => 0,
    }
}

fn moved(model: &mut Model, by: i64) -> Vec<Effect> {
    let last = choices(model).saturating_sub(1);
    match model.ui.layers.last_mut() {
        Some(
            Layer::Sort { cursor }
            | Layer::Columns { cursor }
            | Layer::Recorded { cursor }
            | Layer::Palette { cursor, .. }
            | Layer::Apps { cursor, .. },
        ) => {
            *cursor = usize::try_from((*cursor as i64).saturating_add(by).max(0))
                .unwrap_or(0)
                .min(last);
        }
        Some(Layer::Help { scroll, .. } | Layer::Note { scroll, .. }) => {
            *scroll = u16::try_from((i64::from(*scroll) + by).clamp(0, 1_000)).unwrap_or(0);
        }
        _ => {}
    }
    Vec::new()
}

fn accept(model: &mut Model) -> Vec<Effect> {
    match model.ui.layers.last() {
        Some(Layer::Filter { input, .. }) => {
            let text = input.value().trim().to_owned();
            if let Some(wrong) = model.list_id().and_then(|list| check(list, &text)) {
                say(model, wrong.to_string());
                return Vec::new();
            }
            model.ui.layers.pop();
            if !text.is_empty() {
                model.ui.history.retain(|h| *h != text);
                model.ui.history.push(text);
                if model.ui.history.len() > HISTORY {
                    model.ui.history.remove(0);
                }
            }
            Vec::new()
        }
        Some(Layer::Sort { cursor }) => {
            let cursor = *cursor;
            if let Some(list) = model.list_id()
                && let Some(head) = act::sortable(model, list).get(cursor)
            {
                act::sort_by(model, list, head);
            }
            model.ui.layers.pop();
            Vec::new()
        }
        Some(Layer::Palette { input, cursor }) => {
            let entry = entries(model, input.value()).into_iter().nth(*cursor);
            model.ui.layers.pop();
            match entry.map(|e| e.does) {
                Some(Does::Act(action)) => act::act(model, action),
                Some(Does::Goto(to)) => {
                    act::goto(model, to);
                    Vec::new()
                }
                Some(Does::Sort(list, at)) => {
                    if let Some(head) = act::sortable(model, list).get(at) {
                        act::sort_by(model, list, head);
                    }
                    Vec::new()
                }
                Some(Does::Place(place)) => {
                    model.ui.screen = Screen::Tasks;
                    model.ui.shape = crate::model::Shape::List;
                    model.ui.detail = None;
                    set_filter(model, ListId::Tasks, format!("\"{place}\""));
                    Vec::new()
                }
                Some(Does::Explain(name)) => {
                    model.ui.layers.push(Layer::Note {
                        note: crate::model::Note::Finding(name.to_owned()),
                        scroll: 0,
                    });
                    Vec::new()
                }
                None => Vec::new(),
            }
        }
        Some(Layer::Apps { input, cursor }) => {
            let target = apps(model, input.value())
                .get(*cursor)
                .map(|a| a.target.clone());
            match target {
                Some(target) => {
                    model.ui.layers.pop();
                    vec![Effect::Ask(Ask::Connect(target))]
                }
                None => Vec::new(),
            }
        }
        Some(Layer::Help { .. } | Layer::Note { .. }) => {
            model.ui.layers.pop();
            Vec::new()
        }
        Some(Layer::Confirm { .. } | Layer::Budget { .. } | Layer::Recorded { .. }) => {
            control::accept(model)
        }
        _ => Vec::new(),
    }
}

fn toggle_column(model: &mut Model) -> Vec<Effect> {
    let Some(Layer::Columns { cursor }) = model.ui.layers.last() else {
        return Vec::new();
    };
    let cursor = *cursor;
    if let Some(id) = model.list_id() {
        let heads = columns::heads(id);
        let order = columns::order(&heads, model.list(id));
        if let Some(head) = order.get(cursor).map(|i| heads[*i]) {
            let shown = heads
                .iter()
                .filter(|h| columns::is_shown(h, model.list(id)))
                .count();
            if columns::is_shown(&head, model.list(id)) && shown == 1 {
                say(model, "One column must stay.");
                return Vec::new();
            }
            let switched = &mut model.list_mut(id).switched;
            if !switched.remove(head.name) {
                switched.insert(head.name);
            }
        }
    }
    Vec::new()
}

fn move_column(model: &mut Model, by: isize) -> Vec<Effect> {
    let Some(Layer::Columns { cursor }) = model.ui.layers.last() else {
        return Vec::new();
    };
    let from = *cursor;
    let Some(id) = model.list_id() else {
        return Vec::new();
    };
    let heads = columns::heads(id);
    let mut names: Vec<&'static str> = columns::order(&heads, model.list(id))
        .iter()
        .map(|i| heads[*i].name)
        .collect();
    let to = from.saturating_add_signed(by);
    if from < names.len() && to < names.len() {
        names.swap(from, to);
        model.list_mut(id).order = names;
        if let Some(Layer::Columns { cursor }) = model.ui.layers.last_mut() {
            *cursor = to;
        }
    }
    Vec::new()
}

/// The apps that a picker shows for what was typed.
pub fn apps<'m>(model: &'m Model, typed: &str) -> Vec<&'m App> {
    let typed = typed.trim().to_lowercase();
    model
        .store
        .apps
        .iter()
        .filter(|a| {
            typed.is_empty()
                || a.name.to_lowercase().contains(&typed)
                || a.pid.to_string().contains(&typed)
        })
        .collect()
}

/// One line of the palette.
#[derive(Clone, Debug)]
pub struct Entry {
    pub keys: String,
    pub text: String,
    pub does: Does,
}

/// What a line of the palette does.
#[derive(Clone, Debug)]
pub enum Does {
    Act(Action),
    Goto(Goto),
    Sort(ListId, usize),
    Place(String),
    Explain(&'static str),
}

/// The palette's lines for what was typed, the best first.
pub fn entries(model: &Model, typed: &str) -> Vec<Entry> {
    let typed = typed.trim();
    let mut out: Vec<(i32, Entry)> = Vec::new();
    if let Ok(id) = typed.parse::<u64>() {
        let entry = Entry {
            keys: String::new(),
            text: format!("open task {id}"),
            does: Does::Goto(Goto::Task(id)),
        };
        out.push((i32::MIN, entry));
    }
    if typed.contains(".rs") || typed.contains('/') {
        let place = typed.replace(['"', '\\'], "");
        let entry = Entry {
            keys: String::new(),
            text: format!("tasks spawned at {place}"),
            does: Does::Place(place),
        };
        out.push((i32::MIN, entry));
    }
    for (action, keys, help) in act::offered(model) {
        out.extend(fits(help, typed).map(|rank| {
            (
                rank,
                Entry {
                    keys,
                    text: help.to_owned(),
                    does: Does::Act(action),
                },
            )
        }));
    }
    if let Some(list) = model.list_id() {
        for (at, head) in act::sortable(model, list).iter().enumerate() {
            let text = format!("sort by {}: {}", head.text, head.help);
            out.extend(fits(&text, typed).map(|rank| {
                (
                    rank,
                    Entry {
                        keys: String::new(),
                        text,
                        does: Does::Sort(list, at),
                    },
                )
            }));
        }
    }
    for name in crate::view::explain::names() {
        let text = format!("what {name} means");
        out.extend(fits(&text, typed).map(|rank| {
            (
                rank,
                Entry {
                    keys: String::new(),
                    text,
                    does: Does::Explain(name),
                },
            )
        }));
    }
    out.sort_by_key(|(rank, _)| *rank);
    out.into_iter().map(|(_, entry)| entry).collect()
}

/// How well `typed` fits: every letter in order, the fewer gaps and the earlier the better. `None`: not at all.
fn fits(text: &str, typed: &str) -> Option<i32> {
    let text = text.to_lowercase();
    let typed = typed.to_lowercase();
    if let Some(at) = text.find(&typed) {
        return Some(i32::try_from(at).unwrap_or(0).min(500) - 1_000);
    }
    let mut rank = 0;
    let mut rest = text.char_indices();
    let mut last = None;
    for c in typed.chars().filter(|c| !c.is_whitespace()) {
        let (at, _) = rest.by_ref().find(|(_, t)| *t == c)?;
        rank += last.map_or(0, |l: usize| i32::try_from(at - l).unwrap_or(100) - 1);
        last = Some(at);
    }
    Some(rank)
}
