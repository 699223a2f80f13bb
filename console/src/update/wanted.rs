//! What must be asked so that the present screen is complete, as a function of the model. What was asked is compared with
//! it after each message, so no screen can forget to ask or to stop asking.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Ask, Effect, pick};
use crate::model::{Layer, List, ListId, Model, Narrow, Note, Screen, Shape, page_mut};
use crate::store::{Goto, Query, Seek, Slot, Sort, Table};
use crate::view::columns;

/// Totals, on every screen.
pub const OVERVIEW: Slot = Slot(1);
/// Costs and losses, on every screen.
pub const COST: Slot = Slot(2);
/// The past of each loop.
pub const SERIES: Slot = Slot(3);
/// The loops, on every screen.
pub const LOOPS: Slot = Slot(4);
/// What needs attention, on every screen.
pub const FINDINGS: Slot = Slot(5);
/// The list of tasks, alive or ended.
pub const TASKS: Slot = Slot(6);
/// Tasks by spawn place.
pub const GROUPS: Slot = Slot(7);
/// Blocks over budget.
pub const BLOCKS: Slot = Slot(8);
/// Armed timers.
pub const TIMERS: Slot = Slot(9);
/// I/O sources.
pub const IO: Slot = Slot(10);
/// The opened task.
pub const TASK: Slot = Slot(11);
/// Findings that are leaks.
pub const LEAKS: Slot = Slot(12);
/// Tasks by parent.
pub const TREE: Slot = Slot(13);

/// Locks, queues, futures.
pub const RESOURCES: Slot = Slot(14);
/// Jobs of pools of threads.
pub const JOBS: Slot = Slot(15);
/// Child processes.
pub const CHILDREN: Slot = Slot(16);
/// Signals that are listened to.
pub const SIGNALS: Slot = Slot(17);
/// Who waits for the selected resource, job or child.
pub const WAITING: Slot = Slot(18);
/// What the app keeps of its last hour.
pub const HOUR: Slot = Slot(24);

/// Loops known at a time: few apps have more than one for each CPU.
const LOOPS_AT_HAND: u32 = 256;

/// Signals known at a time: there are few on any loop.
const SIGNALS_AT_HAND: u32 = 256;

/// Tasks that a tree is made of, at most: a tree cannot be cut into pages.
pub const TREE_LIMIT: u32 = 5_000;

/// How often answers are wanted; the header says so.
pub const EVERY: Duration = Duration::from_secs(1);
/// Rows asked for beyond what fits, on each side, so that scrolling by lines never waits.
const MARGIN: u64 = 100;

/// The slot of a list's rows.
pub fn slot(list: ListId) -> Slot {
    match list {
        ListId::Findings => FINDINGS,
        ListId::Leaks => LEAKS,
        ListId::Tasks => TASKS,
        ListId::Groups => GROUPS,
        ListId::Tree => TREE,
        ListId::Blocks => BLOCKS,
        ListId::Timers => TIMERS,
        ListId::Io => IO,
        ListId::Resources => RESOURCES,
        ListId::Jobs => JOBS,
        ListId::Children => CHILDREN,
    }
}

/// All that should be asked now.
pub fn wanted(model: &Model) -> BTreeMap<Slot, Query> {
    let mut out = BTreeMap::new();
    if !model.has_data() {
        return out;
    }
    let mut add = |query: Query| {
        out.insert(query.slot, query);
    };
    // The header and the tabs need these on every screen.
    add(plain(OVERVIEW, Table::Overview, 0));
    add(plain(COST, Table::Cost, 0));
    add(Query {
        // When they do not all fit, the worst are the ones to have.
        sort: (model.store.loops.total > LOOPS_AT_HAND.into()).then(|| Sort {
            key: "lag".to_owned(),
            descending: true,
        }),
        ..plain(LOOPS, Table::Loops, LOOPS_AT_HAND)
    });
    add(plain(FINDINGS, Table::Findings, 100));
    if let Some(detail) = &model.ui.detail {
        add(Query {
            subject: Some(detail.id),
            ..plain(TASK, Table::Task, 0)
        });
        return out;
    }
    match model.ui.screen {
        Screen::Overview => {
            add(plain(SERIES, Table::Series, 0));
            add(hour());
            add(paged(model, ListId::Findings, Table::Findings, &[]));
        }
        Screen::Tasks if model.ui.shape == Shape::Places => {
            add(paged(model, ListId::Groups, Table::Groups, &[]))
        }
        Screen::Tasks if model.ui.shape == Shape::Tree => add(Query {
            filter: filter(model.list(ListId::Tree)),
            // Parents were spawned before their children, so the first ones hold together best.
            sort: Some(Sort {
                key: "id".to_owned(),
                descending: false,
            }),
            every: 2 * EVERY,
            ..plain(TREE, Table::Tree, TREE_LIMIT)
        }),
        Screen::Tasks => {
            let list = model.list(ListId::Tasks);
            let heads = columns::heads(ListId::Tasks);
            let shows = |name| {
                heads
                    .iter()
                    .any(|h| h.name == name && columns::is_shown(h, list))
            };
            // Slots are kept only while somebody looks, so they are asked for only then.
            let wants: &[&str] = if shows("strip") || shows("busy") {
                &["busy", "strip"]
            } else {
                &[]
            };
            if list.narrow == Narrow::Ended {
                add(paged(model, ListId::Tasks, Table::History, &[]));
            } else {
                add(paged(model, ListId::Tasks, Table::Tasks, wants));
            }
        }
        Screen::Loops => {
            add(plain(SERIES, Table::Series, 0));
            add(hour());
            add(paged(model, ListId::Blocks, Table::Blocks, &[]));
            add(plain(SIGNALS, Table::Signals, SIGNALS_AT_HAND));
        }
        Screen::Timers => add(paged(model, ListId::Timers, Table::Timers, &[])),
        Screen::Io => add(paged(model, ListId::Io, Table::Io, &[])),
        Screen::Resources => add(paged(model, ListId::Resources, Table::Resources, &[])),
        Screen::Jobs => add(paged(model, ListId::Jobs, Table::Jobs, &[])),
        Screen::Children => add(paged(model, ListId::Children, Table::Children, &[])),
        Screen::Leaks => {
            add(hour());
            add(paged(model, ListId::Leaks, Table::Leaks, &[]));
            // How many live at a leak's place, and how many did.
            add(plain(GROUPS, Table::Groups, 200));
        }
    }
    // All waiters of one row: a list of rows with all of theirs could be very long.
    if let Some(of) = pick::thing(model) {
        let table = match of {
            Goto::Job(_) => Table::JobWaiters,
            Goto::Child(_) => Table::ChildWaiters,
            _ => Table::ResourceWaiters,
        };
        let query = Query {
            filter: format!("id={}", of.named().1),
            columns: vec!["waiting".to_owned()],
            ..plain(WAITING, table, 1)
        };
        out.insert(query.slot, query);
    }
    out
}

/// What is over changes slowly, and is long to tell.
fn hour() -> Query {
    Query {
        every: 5 * EVERY,
        // Of its blocks the worst alone: the list of blocks has the others.
        ..plain(HOUR, Table::Hour, 1)
    }
}

fn plain(slot: Slot, table: Table, limit: u32) -> Query {
    Query {
        slot,
        table,
        filter: String::new(),
        sort: None,
        seek: Seek::Rank(0),
        limit,
        columns: Vec::new(),
        subject: None,
        every: EVERY,
    }
}

fn paged(model: &Model, id: ListId, table: Table, wants: &[&str]) -> Query {
    let list = model.list(id);
    let rows = u64::from(list.rows.max(24));
    let limit = rows + 2 * MARGIN;
    let mut query = Query {
        filter: filter(list),
        // The ended come newest first unless the user wants otherwise.
        sort: if table == Table::History {
            list.sort.clone()
        } else {
            model.sort(id)
        },
        columns: wants.iter().map(|w| (*w).to_owned()).collect(),
        ..plain(slot(id), table, limit as u32)
    };
    if let Some(find) = list.find {
        query.seek = Seek::Id(find);
        return query;
    }
    // The part that was asked for serves until the screen comes near its edge.
    if let Some(asked) = model.ui.asked.get(&query.slot) {
        let page = crate::model::page(&model.store, id);
        let from = match asked.seek {
            Seek::Rank(from) => from,
            Seek::Id(_) => page.offset(),
        };
        let near = |a: u64, b: u64| b.saturating_sub(a) < MARGIN / 4;
        let to = from + u64::from(asked.limit);
        let end = list.top + rows;
        let above = from == 0 || (list.top >= from && !near(from, list.top));
        let below = to >= page.len() || (end <= to && !near(end, to));
        if above && below && list.top >= from && u64::from(asked.limit) >= rows {
            query.seek = asked.seek;
            query.limit = asked.limit;
            return query;
        }
    }
    query.seek = Seek::Rank(list.top.saturating_sub(MARGIN));
    query
}

/// The user's filter and the narrowing as one text.
pub fn filter(list: &List) -> String {
    let narrow = match list.narrow {
        Narrow::All => String::new(),
        Narrow::Findings => "finding=any".to_owned(),
        Narrow::Loop(id) => format!("loop={id}"),
        // Another table, not a part of this one.
        Narrow::Ended => String::new(),
    };
    match (list.filter.trim(), narrow.as_str()) {
        (user, "") => user.to_owned(),
        ("", narrow) => narrow.to_owned(),
        (user, narrow) => format!("({user}) and {narrow}"),
    }
}

/// Asks for what is wanted and was not asked, and takes back what is wanted no more.
pub(super) fn ask(model: &mut Model, effects: &mut Vec<Effect>) {
    let wanted = wanted(model);
    for (slot, query) in &wanted {
        let asked = model.ui.asked.get(slot);
        if asked == Some(query) {
            continue;
        }
        // Another list or another order: what is on screen does not answer it, however alike it looks.
        let other = asked.is_some_and(|a| {
            a.table != query.table
                || a.filter != query.filter
                || a.sort != query.sort
                || matches!(query.seek, Seek::Id(_))
        });
        if other {
            for list in ListId::ALL.into_iter().filter(|l| self::slot(*l) == *slot) {
                page_mut(&mut model.store, list).stale();
            }
        }
        effects.push(Effect::Ask(Ask::Watch(query.clone())));
    }
    for slot in model.ui.asked.keys().filter(|s| !wanted.contains_key(s)) {
        effects.push(Effect::Ask(Ask::Unwatch(*slot)));
        // Whoever comes back sees what was, dimmed, until the next answer.
        for list in ListId::ALL.into_iter().filter(|l| self::slot(*l) == *slot) {
            page_mut(&mut model.store, list).stale();
        }
    }
    if model.ui.asked.contains_key(&TASK) != wanted.contains_key(&TASK)
        || subject(&model.ui.asked) != subject(&wanted)
    {
        model.store.task = None;
    }
    model.ui.asked = wanted;

    let noted = model.ui.layers.iter().any(|l| {
        matches!(
            l,
            Layer::Note {
                note: Note::Events,
                ..
            }
        )
    });
    let awaits = model.ui.awaits.is_some();
    let events = model.has_data() && (noted || awaits || model.ui.screen == Screen::Overview);
    if events != model.ui.asked_events {
        model.ui.asked_events = events;
        effects.push(Effect::Ask(Ask::Events(events)));
    }
    let apps = model
        .ui
        .layers
        .iter()
        .any(|l| matches!(l, Layer::Apps { .. }));
    if apps != model.ui.asked_apps {
        model.ui.asked_apps = apps;
        effects.push(Effect::Ask(Ask::Apps(apps)));
    }
}

fn subject(queries: &BTreeMap<Slot, Query>) -> Option<u64> {
    queries.get(&TASK).and_then(|q| q.subject)
}

/// Whether the list's question was refused, and where its filter is wrong.
pub fn refusal(model: &Model, id: ListId) -> Option<&crate::store::Refusal> {
    model.shown().refused.get(&slot(id))
}
