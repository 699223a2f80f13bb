//! What each action does. An action that would do nothing here is not enabled, so neither footer nor palette offers it.

use loop_proto::escape::{LINE, escape, escape_json};

use super::{Ask, Effect, control, follow, layer, pick, say};
use crate::keys::Action;
use crate::model::{
    Crumb, Detail, Frozen, Layer, List, ListId, Model, Narrow, Note, Screen, Shape,
};
use crate::store::{Goto, Link, Sort, Wait};
use crate::view::{columns, detail, things};

/// Whether an action would do anything now.
pub fn is_enabled(model: &Model, action: Action) -> bool {
    let list = model.list_id();
    match action {
        Action::Open => match list {
            Some(ListId::Groups) => pick::group(model).is_some(),
            Some(ListId::Findings | ListId::Leaks) => pick::finding(model)
                .is_some_and(|f| pick::target(model).is_some() || !f.place.is_empty()),
            Some(ListId::Resources | ListId::Jobs | ListId::Children) => {
                !things::links(model).is_empty()
            }
            Some(_) => pick::target(model).is_some(),
            None => detail::target(model).is_some(),
        },
        Action::Back => !model.ui.crumbs.is_empty(),
        Action::Close => {
            let ui = &model.ui;
            !ui.layers.is_empty() || ui.zoom || ui.detail.is_some() || ui.inside.is_some()
        }
        Action::Filter => list.is_some_and(|l| l != ListId::Findings),
        Action::DropFilter => list.is_some_and(|l| !model.list(l).filter.is_empty()),
        Action::SortMenu | Action::SortLeft | Action::SortRight => {
            list.is_some_and(|l| !sortable(model, l).is_empty())
        }
        Action::Reverse => match model.ui.layers.last() {
            None => list.is_some_and(|l| model.sort(l).is_some()),
            Some(_) => list.is_some(),
        },
        Action::Columns => list.is_some_and(|l| !columns::heads(l).is_empty()),
        Action::Narrow => list.is_some() && (narrows(model).len() > 1),
        Action::Waker => {
            pick::task(model).is_some_and(|t| t.wait.as_ref().and_then(waker).is_some())
        }
        Action::Parent => pick::task(model).is_some_and(|t| t.parent.is_some()),
        Action::Fold => list == Some(ListId::Tree) && pick::task(model).is_some(),
        Action::Unfold => {
            let folded = |t: &crate::store::TaskRow| t.below.is_some_and(|below| below.folded);
            list == Some(ListId::Tree) && pick::task(model).is_some_and(folded)
        }
        Action::LateCause => pick::timer(model).is_some(),
        Action::Copy | Action::Editor => pick::place(model).is_some(),
        Action::CopyRow => pick::row_json(model).is_some(),
        Action::Explain => pick::finding_name(model).is_some(),
        Action::Hide => pick::finding(model).is_some(),
        Action::Cancel | Action::Nudge | Action::Budget | Action::Recorded | Action::FindNow => {
            control::is_enabled(model, action)
        }
        Action::Retry => matches!(model.store.link, Some(Link::Lost { .. })),
        Action::Preview => list != Some(ListId::Groups),
        Action::NextTask | Action::PreviousTask => {
            model.ui.detail.is_some()
                && !crate::model::page(model.shown(), ListId::Tasks).is_empty()
        }
        Action::Up
        | Action::Down
        | Action::PageUp
        | Action::PageDown
        | Action::HalfUp
        | Action::HalfDown
        | Action::Top
        | Action::Bottom => {
            model.ui.detail.is_some() || !model.ui.layers.is_empty() || pick::is_any(model)
        }
        _ => true,
    }
}

/// What will wake a task that waits so: who holds the thing, else the thing.
fn waker(wait: &Wait) -> Option<Goto> {
    wait.holder.map(Goto::Task).or(wait.target)
}

/// Does an action.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    if !model.ui.layers.is_empty()
        && let Some(effects) = layer::act(model, action)
    {
        return effects;
    }
    if !is_enabled(model, action) {
        why_not(model, action);
        return Vec::new();
    }
    let page = i64::from(model.list_id().map_or(10, |l| model.list(l).rows.max(2)));
    match action {
        Action::Up => step(model, -1),
        Action::Down => step(model, 1),
        Action::PageUp => step(model, 1 - page),
        Action::PageDown => step(model, page - 1),
        Action::HalfUp => step(model, -(page / 2).max(1)),
        Action::HalfDown => step(model, (page / 2).max(1)),
        Action::Top => step(model, i64::MIN / 2),
        Action::Bottom => step(model, i64::MAX / 2),
        Action::Open => open(model),
        Action::Back => back(model),
        Action::Close => close(model),
        Action::Screen(n) => {
            if let Some(screen) = Screen::ALL.get(usize::from(n)) {
                show(model, *screen);
            }
        }
        Action::NextScreen => beside(model, 1),
        Action::PreviousScreen => beside(model, Screen::ALL.len() - 1),
        Action::NextPanel => panel(model, 1),
        Action::PreviousPanel => panel(model, detail::PANELS.len() - 1),
        Action::NextTask => sibling(model, 1),
        Action::PreviousTask => sibling(model, -1),
        Action::Filter => layer::open_filter(model),
        Action::DropFilter => {
            if let Some(list) = model.list_id() {
                set_filter(model, list, String::new());
            }
        }
        Action::SortMenu => {
            if let Some(list) = model.list_id() {
                let now = model.sort(list).map(|s| s.key);
                let cursor = sortable(model, list)
                    .iter()
                    .position(|h| Some(h.sort) == now.as_deref())
                    .unwrap_or(0);
                model.ui.layers.push(Layer::Sort { cursor });
            }
        }
        Action::SortLeft => sort_beside(model, -1),
        Action::SortRight => sort_beside(model, 1),
        Action::Reverse => {
            if let Some(list) = model.list_id()
                && let Some(Sort { key, descending }) = model.sort(list)
            {
                set_sort(
                    model,
                    list,
                    Sort {
                        key,
                        descending: !descending,
                    },
                );
            }
        }
        Action::Columns => model.ui.layers.push(Layer::Columns { cursor: 0 }),
        Action::Group => {
            shape(model, Shape::Places);
        }
        Action::Tree => shape(model, Shape::Tree),
        Action::Fold => fold(model, true),
        Action::Unfold => fold(model, false),
        Action::Narrow => narrow(model),
        Action::Preview => {
            let on = crate::view::has_preview(model, model.ui.drawn.size.1);
            model.ui.preview = Some(!on);
        }
        Action::Zoom => model.ui.zoom = !model.ui.zoom,
        Action::Waker => {
            if let Some(to) = pick::task(model).and_then(|t| waker(t.wait.as_ref()?)) {
                goto(model, to);
            }
        }
        Action::Parent => {
            if let Some(parent) = pick::task(model).and_then(|t| t.parent) {
                goto(model, Goto::Task(parent));
            }
        }
        Action::LateCause => {
            if let Some(id) = pick::timer(model).map(|t| t.loop_id) {
                goto(model, Goto::Loop(id));
            }
        }
        Action::Freeze => freeze(model),
        Action::Copy => {
            if let Some(place) = pick::place(model) {
                // It may be pasted into a shell.
                let place = escape(&place, LINE).into_owned();
                say(model, format!("copied {place}"));
                return vec![Effect::Copy(place)];
            }
        }
        Action::CopyRow => {
            if let Some(json) = pick::row_json(model) {
                say(
                    model,
                    format!("copied the row as JSON, {} bytes", json.len()),
                );
                return vec![Effect::Copy(escape_json(&json).into_owned())];
            }
        }
        Action::Editor => {
            if let Some(place) = pick::place(model) {
                return vec![Effect::Edit(place)];
            }
        }
        Action::Explain => {
            if let Some(name) = pick::finding_name(model) {
                note(model, Note::Finding(name));
            }
        }
        Action::Hide => {
            if let Some(finding) = pick::finding(model).cloned() {
                model.store.hide(&finding.fingerprint);
                if let Some(frozen) = &mut model.ui.frozen {
                    frozen.store.hide(&finding.fingerprint);
                }
                say(model, format!("hid {} for this session", finding.name));
            }
        }
        Action::Cancel | Action::Nudge | Action::Budget | Action::Recorded | Action::FindNow => {
            control::open(model, action);
        }
        Action::Events => note(model, Note::Events),
        Action::Cost => note(model, Note::Cost),
        Action::Palette => model.ui.layers.push(Layer::Palette {
            input: Default::default(),
            cursor: 0,
        }),
        Action::Help => model.ui.layers.push(Layer::Help {
            input: Default::default(),
            scroll: 0,
        }),
        Action::Apps => model.ui.layers.push(Layer::Apps {
            input: Default::default(),
            cursor: 0,
        }),
        Action::Retry => return vec![Effect::Ask(Ask::Retry)],
        Action::Mouse => {
            model.ui.mouse = !model.ui.mouse;
            say(
                model,
                if model.ui.mouse {
                    "mouse on"
                } else {
                    "mouse off: select text as usual, m turns it on"
                },
            );
            return vec![Effect::Mouse(model.ui.mouse)];
        }
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Quit => return vec![Effect::Quit],
        Action::Interrupt => return vec![Effect::Quit],
        Action::Accept
        | Action::Complete
        | Action::Older
        | Action::Newer
        | Action::Toggle
        | Action::MoveLeft
        | Action::MoveRight => {}
    }
    Vec::new()
}

/// A key that does nothing here says why, where that is not plain.
fn why_not(model: &mut Model, action: Action) {
    let why = match action {
        Action::Fold => "Only a tree of tasks is folded: t shows it.",
        Action::Unfold => "Only a task of a tree that is folded can be unfolded.",
        Action::Waker => "What wakes it is not known, or has no row of its own.",
        Action::Parent => "It was spawned outside any task.",
        Action::Cancel | Action::Nudge => "There is no live task here.",
        Action::Explain => "Nothing was found about this one.",
        Action::Copy | Action::Editor => "It has no place to copy or open.",
        Action::Back => "There is nothing to go back to.",
        Action::Open if pick::is_any(model) => "It leads to no task.",
        _ => return,
    };
    say(model, why);
}

fn note(model: &mut Model, note: Note) {
    model.ui.layers.push(Layer::Note { note, scroll: 0 });
}

/// Puts the keys on a link of the pane.
fn inside(model: &mut Model, links: &[Goto], at: i64) {
    let at = u16::try_from(at).unwrap_or(u16::MAX);
    model.ui.inside = links.get(usize::from(at)).map(|to| (at, *to));
}

/// Shows the screen that many places to the right, round the end.
fn beside(model: &mut Model, by: usize) {
    let next = (model.ui.screen.index() + by) % Screen::ALL.len();
    show(model, Screen::ALL[next]);
}

fn step(model: &mut Model, by: i64) {
    if model.ui.inside.is_some() {
        let links = things::links(model);
        let at = things::cursor(model, &links).unwrap_or(0) as i64;
        let last = links.len().saturating_sub(1) as i64;
        inside(model, &links, at.saturating_add(by).clamp(0, last));
    } else if let Some(list) = model.list_id() {
        follow::move_by(model, list, by);
    } else if let Some(open) = &mut model.ui.detail {
        open.scroll =
            u16::try_from(i64::from(open.scroll).saturating_add(by).clamp(0, 2_000)).unwrap_or(0);
    }
}

/// Leaves a crumb and shows another screen.
fn show(model: &mut Model, screen: Screen) {
    if screen != model.ui.screen || model.ui.detail.is_some() {
        crumb(model);
        model.ui.screen = screen;
        model.ui.detail = None;
        model.ui.zoom = false;
        model.ui.inside = None;
    }
}

/// Crumbs kept; the oldest leave.
const CRUMBS: usize = 50;

fn crumb(model: &mut Model) {
    if model.ui.crumbs.len() == CRUMBS {
        model.ui.crumbs.remove(0);
    }
    let crumb = Crumb {
        screen: model.ui.screen,
        shape: model.ui.shape,
        detail: model.ui.detail.clone(),
    };
    model.ui.crumbs.push(crumb);
}

fn back(model: &mut Model) {
    if let Some(Crumb {
        screen,
        shape,
        detail,
    }) = model.ui.crumbs.pop()
    {
        model.ui.screen = screen;
        model.ui.shape = shape;
        model.ui.detail = detail;
        model.ui.zoom = false;
        model.ui.inside = None;
    }
}

/// Folds or unfolds the selected task of a tree, and keeps the selection on what is seen of it.
fn fold(model: &mut Model, fold: bool) {
    let Some(id) = pick::task(model).map(|task| task.id) else {
        return;
    };
    let now = model.ui.now;
    let store = match &mut model.ui.frozen {
        Some(frozen) => &mut frozen.store,
        None => &mut model.store,
    };
    let Some(to) = store.fold(id, fold, now) else {
        return;
    };
    let rank = store.tree.rows.iter().position(|task| task.id == to);
    let list = model.list_mut(ListId::Tree);
    list.id = Some(to);
    list.rank = rank.unwrap_or(0) as u64;
    list.top = list.top.min(list.rank);
}

/// Shows tasks in a shape, or as a list again; what was filtered stays filtered.
fn shape(model: &mut Model, to: Shape) {
    let to = if model.ui.shape == to {
        Shape::List
    } else {
        to
    };
    let filter = match model.ui.shape {
        // Places have other fields.
        Shape::Places => None,
        now => Some(model.list(now.list()).filter.clone()),
    };
    model.ui.shape = to;
    if let (Some(filter), true) = (filter, to != Shape::Places) {
        set_filter(model, to.list(), filter);
    }
}

/// Closes one layer, and never quits.
fn close(model: &mut Model) {
    if model.ui.layers.pop().is_some() || model.ui.inside.take().is_some() {
    } else if model.ui.zoom {
        model.ui.zoom = false;
    } else if model.ui.detail.is_some() {
        if model.ui.crumbs.is_empty() {
            model.ui.detail = None;
        } else {
            back(model);
        }
    }
}

fn panel(model: &mut Model, by: usize) {
    if let Some(open) = &mut model.ui.detail {
        open.panel = (open.panel + by) % detail::PANELS.len();
        open.scroll = 0;
    }
}

fn open(model: &mut Model) {
    match model.list_id() {
        Some(ListId::Groups) => {
            if let Some(place) = pick::group(model).map(|g| g.place.clone()) {
                crumb(model);
                model.ui.shape = Shape::List;
                set_filter(model, ListId::Tasks, layer::place_filter(&place));
            }
        }
        Some(ListId::Findings | ListId::Leaks) => open_finding(model),
        // The first Enter goes into the pane, where one chooses where to go.
        Some(ListId::Resources | ListId::Jobs | ListId::Children) => {
            let links = things::links(model);
            match things::cursor(model, &links).and_then(|at| links.get(at)) {
                Some(to) => goto(model, *to),
                None => {
                    inside(model, &links, 0);
                    model.ui.preview = Some(true);
                }
            }
        }
        Some(_) => {
            if let Some(to) = pick::target(model) {
                goto(model, to);
            }
        }
        None => {
            if let Some(to) = detail::target(model) {
                goto(model, to);
            }
        }
    }
}

/// Goes to the one thing that a finding is about, or to the tasks of its place when it is about several.
fn open_finding(model: &mut Model) {
    let Some(finding) = pick::finding(model) else {
        return;
    };
    let (place, name) = (finding.place.clone(), finding.name.clone());
    let of_tasks = matches!(finding.subject, None | Some(Goto::Task(_)));
    let several = finding.count > 1 && of_tasks && name != "blocked";
    match pick::target(model) {
        Some(to) if place.is_empty() || (finding.subject.is_some() && !several) => goto(model, to),
        // Whatever loop a place's finding came from, its tasks are what one wants to see.
        _ if !place.is_empty() => {
            let one = finding.subject.is_some();
            let of = layer::place_filter(&place);
            crumb(model);
            model.ui.screen = Screen::Tasks;
            model.ui.shape = Shape::List;
            model.list_mut(ListId::Tasks).narrow = Narrow::All;
            set_filter(
                model,
                ListId::Tasks,
                if one {
                    format!("finding={name} {of}")
                } else {
                    of
                },
            );
        }
        _ => {}
    }
}

/// Goes to any row, leaving a crumb.
pub(super) fn goto(model: &mut Model, to: Goto) {
    crumb(model);
    model.ui.zoom = false;
    model.ui.inside = None;
    let find = |model: &mut Model, screen, list, id| {
        model.ui.screen = screen;
        model.ui.detail = None;
        // What is at hand may be old: only the answer to come tells where the row is.
        crate::model::page_mut(&mut model.store, list).stale();
        let list: &mut List = model.list_mut(list);
        // A filter would hide what one wants to see.
        list.filter.clear();
        list.narrow = Narrow::All;
        list.find = Some(id);
    };
    match to {
        Goto::Task(id) => {
            model.ui.detail = Some(Detail {
                id,
                panel: 0,
                scroll: 0,
            })
        }
        Goto::Timer(id) => find(model, Screen::Timers, ListId::Timers, id),
        Goto::Io(id) => find(model, Screen::Io, ListId::Io, id),
        Goto::Block(id) => find(model, Screen::Loops, ListId::Blocks, id),
        Goto::Resource(id) => find(model, Screen::Resources, ListId::Resources, id),
        Goto::Job(id) => find(model, Screen::Jobs, ListId::Jobs, id),
        Goto::Child(id) => find(model, Screen::Children, ListId::Children, id),
        Goto::Loop(id) => {
            model.ui.screen = Screen::Loops;
            model.ui.detail = None;
            let list = model.list_mut(ListId::Blocks);
            *list = List {
                narrow: Narrow::Loop(id),
                rank: 0,
                id: None,
                top: 0,
                touched: false,
                ..list.clone()
            };
        }
    }
}

/// The next or previous task of the list behind the opened one.
fn sibling(model: &mut Model, by: i64) {
    let Some(open) = model.ui.detail.clone() else {
        return;
    };
    let page = crate::model::page(model.shown(), ListId::Tasks);
    let at = page
        .rank_of(open.id)
        .unwrap_or(model.list(ListId::Tasks).rank);
    let to = at
        .saturating_add_signed(by)
        .min(page.len().saturating_sub(1));
    match page.id_at(to) {
        Some(id) if id != open.id => {
            follow::move_to(model, ListId::Tasks, to);
            model.ui.detail = Some(Detail { id, ..open });
        }
        _ => say(
            model,
            if by > 0 {
                "That was the last one at hand."
            } else {
                "That was the first one at hand."
            },
        ),
    }
}

fn freeze(model: &mut Model) {
    model.ui.frozen = match model.ui.frozen.take() {
        None => Some(Frozen {
            since: model.ui.now,
            store: Box::new(model.store.clone()),
        }),
        Some(_) => None,
    };
}

/// What `z` goes through on this screen.
fn narrows(model: &Model) -> Vec<Narrow> {
    let mut out = vec![Narrow::All];
    match model.list_id() {
        Some(ListId::Tasks) => {
            out.push(Narrow::Findings);
            out.extend(pick::task(model).map(|t| Narrow::Loop(t.loop_id)));
            out.push(Narrow::Ended);
        }
        Some(ListId::Timers) => {
            out.push(Narrow::Findings);
            out.extend(pick::timer(model).map(|t| Narrow::Loop(t.loop_id)));
        }
        Some(ListId::Io) => {
            out.push(Narrow::Findings);
            out.extend(pick::io(model).map(|t| Narrow::Loop(t.loop_id)));
        }
        Some(ListId::Resources | ListId::Jobs | ListId::Children) => {
            out.push(Narrow::Findings);
            out.extend(pick::loop_of_thing(model).map(Narrow::Loop));
        }
        Some(ListId::Blocks) => out.extend(pick::block(model).map(|b| Narrow::Loop(b.loop_id))),
        _ => {}
    }
    // What is narrowed to now can always be left.
    if let Some(list) = model.list_id() {
        let now = model.list(list).narrow;
        if !out.contains(&now) {
            out.push(now);
        }
    }
    out
}

fn narrow(model: &mut Model) {
    let Some(id) = model.list_id() else { return };
    let all = narrows(model);
    let now = all
        .iter()
        .position(|n| *n == model.list(id).narrow)
        .unwrap_or(0);
    let next = all[(now + 1) % all.len()];
    first(model, id).narrow = next;
}

/// A list that will hold other rows: its selection goes back to the first.
fn first(model: &mut Model, id: ListId) -> &mut List {
    let list = model.list_mut(id);
    list.rank = 0;
    list.top = 0;
    list.id = None;
    list.touched = false;
    list.find = None;
    list
}

pub(super) fn set_filter(model: &mut Model, id: ListId, filter: String) {
    if model.list(id).filter != filter {
        first(model, id).filter = filter;
    }
}

pub(super) fn set_sort(model: &mut Model, id: ListId, sort: Sort) {
    first(model, id).sort = Some(sort);
}

/// The columns on screen that can be sorted by.
pub fn sortable(model: &Model, id: ListId) -> Vec<columns::Head> {
    let heads = columns::heads(id);
    let list = model.list(id);
    columns::order(&heads, list)
        .into_iter()
        .map(|i| heads[i])
        .filter(|h| !h.sort.is_empty() && columns::is_shown(h, list))
        .collect()
}

/// Sorts by a column; the same again turns the order round.
pub(super) fn sort_by(model: &mut Model, id: ListId, head: &columns::Head) {
    if head.sort.is_empty() {
        return;
    }
    let descending = match model.sort(id) {
        Some(now) if now.key == head.sort => !now.descending,
        _ => head.descending,
    };
    set_sort(
        model,
        id,
        Sort {
            key: head.sort.to_owned(),
            descending,
        },
    );
}

fn sort_beside(model: &mut Model, by: isize) {
    let Some(id) = model.list_id() else { return };
    let heads = sortable(model, id);
    let now = model
        .sort(id)
        .and_then(|s| heads.iter().position(|h| h.sort == s.key));
    let next = match now {
        None if by > 0 => 0,
        None => heads.len() - 1,
        Some(at) => (at as isize + by).rem_euclid(heads.len() as isize) as usize,
    };
    set_sort(
        model,
        id,
        Sort {
            key: heads[next].sort.to_owned(),
            descending: heads[next].descending,
        },
    );
}

/// The actions that the palette offers: those of the screen below it.
pub fn offered(model: &Model) -> Vec<(Action, String, &'static str)> {
    let at = model.base();
    crate::keys::TABLE
        .iter()
        .filter(|b| b.at.meets(at) && is_enabled(model, b.action) && !moves(b.action))
        .map(|b| (b.action, crate::keys::names(b), b.help))
        .collect()
}

/// Keys that make no sense as a command.
fn moves(action: Action) -> bool {
    use Action::*;
    matches!(
        action,
        Up | Down | PageUp | PageDown | HalfUp | HalfDown | Interrupt | Palette | Close
    )
}
