//! A query and its answer: filtered, sorted and cut to a page while the tables are walked in
//! pieces, with pauses that the caller chooses. Knows neither streams nor time.

use std::sync::atomic::Ordering;

use loop_proto::message::Of;
use loop_proto::page::{Entry, Page, Request, Selector};
use loop_proto::pb;
use loop_proto::row::{Field, Row, Value};
use loop_proto::table::Table;

use super::desk::Desk;
use super::ids::IdSet;
use super::live::{Aside, LiveTask};
use super::places::Tally;
use super::tables::{Look, LoopLook, Moment, Spot};
use super::texts::Sent;
use super::waiters::Waiters;
use super::waits::{Found, Wanted};
use super::wire::{Extras, Wire};
use crate::os;
use crate::record::slab::{self, CHUNK, Slab};
use crate::record::task::On;
use crate::record::{job, source, timer};

mod quick;
mod rows;

use quick::Quick;
pub(crate) use rows::tasks;
use rows::{all_children, children_ids, others, owners};

/// Chunks that are walked between two pauses.
pub(crate) const CHUNKS: u32 = 32;

/// A query that is being answered.
pub(crate) struct Answer {
    slot: u32,
    target: pb::Target,
    serial: u64,
    what: What,
    look: Look,
    extras: Extras,
    cpu: u64,
    /// Texts of rows that were made at the beginning.
    used: Vec<u32>,
}

enum What {
    Page(Box<Pager>),
    /// The whole answer: no walk in pieces.
    Whole(Box<pb::View>),
}

struct Pager {
    table: Table,
    selector: Selector,
    /// Rows of further orders, taken in the same walk and shown behind those of the first.
    others: Vec<Selector>,
    at: usize,
    next: u32,
    aside: Aside,
    /// Who waits for the rows, where the order or the filter asks.
    waiters: Option<Waiters>,
    /// The order is told by one field of each row.
    quick: bool,
    /// Rows of the tables that are not walked in place.
    small: Small,
    page: Option<Page>,
    /// A busy share is looked at.
    busy: bool,
}

/// Rows that were made before the walk: there are few of them.
enum Small {
    None,
    Loops(Vec<pb::LoopRow>),
    History(Vec<pb::TaskRow>),
    Findings(Vec<pb::Finding>),
    Blocks(Vec<pb::BlockRow>),
    /// What lives at each place is still being counted.
    Tally(Tally),
    Places(Vec<pb::PlaceRow>),
    Signals(Vec<pb::SignalRow>),
}

/// A message as a row, found again by `locator`.
struct Located<R> {
    row: R,
    locator: u64,
}

impl<R: Row> Row for Located<R> {
    fn id(&self) -> u64 {
        self.row.id()
    }

    fn value(&self, field: Field) -> Value<'_> {
        self.row.value(field)
    }

    fn locator(&self) -> u64 {
        self.locator
    }
}

impl Answer {
    /// Reads a query and prepares its walk. `paged`: the moment of the answer that the position it
    /// seeks comes from. Errors: what is wrong with the query.
    pub(crate) fn begin(
        query: &pb::Query,
        paged: Option<Moment>,
        desk: &mut Desk,
    ) -> Result<Self, pb::QueryError> {
        let mut look = Look::new(query.internal);
        // Ages grow while a viewer pages, all of them alike. Who pages once through a table sees it
        // as of one moment, to the tick; a page that stays on a screen moves along.
        let moved;
        let query = match paged {
            Some(paged) if query.interval_ms == 0 => {
                look.now = paged;
                query
            }
            Some(paged) => {
                moved = moved_along(query, look.now.mono.saturating_sub(paged.mono));
                &moved
            }
            None => query,
        };
        let extras = Extras::of(&query.columns);
        let cpu = thread_time();
        desk.texts.note();
        let whole = match query.target() {
            pb::Target::Overview => Some(pb::View {
                overview: Some(desk.overview(&look)),
                ..pb::View::default()
            }),
            pb::Target::Cost => Some(pb::View {
                cost: Some(desk.cost(&look)),
                ..pb::View::default()
            }),
            pb::Target::Series => {
                let found = Found::default();
                let history = std::mem::take(&mut desk.history);
                let series = desk.wire(&look, &found, None, extras).series(&history);
                desk.history = history;
                Some(pb::View {
                    total: series.len() as u64,
                    matched: series.len() as u64,
                    series,
                    ..pb::View::default()
                })
            }
            pb::Target::Hour => Some(desk.hour(&look, extras, query.limit as usize)),
            _ => None,
        };
        let what = match whole {
            Some(view) => What::Whole(Box::new(view)),
            None => What::Page(Box::new(Pager::begin(query, &look, extras, desk)?)),
        };
        Ok(Self {
            slot: query.slot,
            target: query.target(),
            serial: query.serial,
            what,
            look,
            extras,
            cpu: thread_time().saturating_sub(cpu),
            used: desk.texts.set_aside(),
        })
    }

    /// As `begin`, of live tasks: the first rows in each of several orders, which one walk finds.
    pub(crate) fn of_orders(
        query: &pb::Query,
        others: &[pb::Query],
        desk: &mut Desk,
    ) -> Result<Self, pb::QueryError> {
        let mut answer = Self::begin(query, None, desk)?;
        if let What::Page(pager) = &mut answer.what {
            for other in others {
                let request = Request::from_message(other)?;
                pager.others.push(Selector::new(request));
            }
        }
        Ok(answer)
    }

    /// The moment that its numbers are of.
    pub(crate) fn moment(&self) -> Moment {
        self.look.now
    }

    /// Walks on. True: the answer is there, call `finish`.
    pub(crate) fn step(&mut self, desk: &mut Desk) -> bool {
        let What::Page(pager) = &mut self.what else {
            return true;
        };
        let cpu = thread_time();
        let makes_rows = matches!(pager.small, Small::Tally(_));
        if makes_rows {
            desk.texts.resume(std::mem::take(&mut self.used));
        }
        let done = pager.step(&self.look, self.extras, desk);
        if makes_rows {
            self.used = desk.texts.set_aside();
        }
        self.cpu += thread_time().saturating_sub(cpu);
        done
    }

    /// The answer, with the texts that `sent` does not have yet. Numbered by who sends it.
    pub(crate) fn finish(self, desk: &mut Desk, sent: &mut Sent) -> pb::View {
        desk.texts.resume(self.used);
        let mut view = match self.what {
            What::Whole(view) => *view,
            What::Page(pager) => {
                let rows = (pager.table == Table::Tasks)
                    .then(|| pager.page.as_ref().map_or(0, |page| page.total));
                let cpu = thread_time();
                // What the walk named is not what the page names.
                if matches!(pager.small, Small::None) {
                    desk.texts.note();
                }
                let view = pager.finish(&self.look, self.extras, desk);
                if let Some(rows) = rows {
                    let took = self.cpu + thread_time().saturating_sub(cpu);
                    desk.walk = (took, rows);
                }
                view
            }
        };
        view.slot = self.slot;
        view.serial = self.serial;
        view.at_ns = self.look.now.mono;
        view.complete = true;
        view.incomplete = desk.losses(&self.look).missing(self.target);
        view.interned = desk.texts.noted(sent);
        view
    }
}

/// The query with the position it seeks where it lies `passed` nanoseconds later.
fn moved_along(query: &pb::Query, passed: u64) -> pb::Query {
    use loop_proto::pb::seek::To;
    let mut query = query.clone();
    let Ok(request) = Request::from_message(&query) else {
        return query;
    };
    let grows = match request.sort.column().field {
        Field::Age | Field::For | Field::Idle | Field::Ended | Field::Last => true,
        Field::Due => false,
        _ => return query,
    };
    if let Some(To::After(position) | To::Before(position)) =
        query.seek.as_mut().and_then(|seek| seek.to.as_mut())
    {
        // Descending orders count down, and so does the time until something is due.
        position.number = if grows == request.sort.is_descending() {
            position.number.saturating_sub(passed)
        } else {
            position.number.saturating_add(passed)
        };
    }
    query
}

/// Whether the page begins beside a position of an earlier answer.
pub(crate) fn seeks_position(query: &pb::Query) -> bool {
    use loop_proto::pb::seek::To;
    let to = query.seek.as_ref().and_then(|seek| seek.to.as_ref());
    matches!(to, Some(To::After(_) | To::Before(_)))
}

fn thread_time() -> u64 {
    os::thread::cpu_time(os::thread_id()).unwrap_or(0)
}

impl Pager {
    fn begin(
        query: &pb::Query,
        look: &Look,
        extras: Extras,
        desk: &mut Desk,
    ) -> Result<Self, pb::QueryError> {
        let request = Request::from_message(query)?;
        let table = request.filter.table();
        let uses =
            |field: Field| request.filter.uses(field) || request.sort.column().field == field;
        let tasks = table == Table::Tasks;
        let busy = tasks && (uses(Field::Busy) || extras.strip);
        if busy {
            desk.want_strips(look);
        }
        let wanted = if tasks && (uses(Field::On) || uses(Field::Wait)) {
            Wanted::of_all(look)
        } else if !tasks && (uses(Field::Owner) || uses(Field::Gone)) {
            owners(table, look)
        } else if uses(Field::Child) || uses(Field::Program) {
            Wanted {
                children: children_ids(look),
                ..Wanted::default()
            }
        } else {
            Wanted::default()
        };
        let quick = quick::is_enough(table, &request.filter, request.sort.column().field);
        let waiters = match table {
            Table::Resources if quick => Some(quick::uncounted(look)),
            Table::Resources if uses(Field::For) || uses(Field::Waiters) => {
                Some(Waiters::of(look, On::Resource, |_| true))
            }
            Table::Children if uses(Field::Waiters) => Some(Waiters::of(look, On::Child, |_| true)),
            _ => None,
        };
        let aside = Aside {
            found: Found::of(look, &wanted),
            children: (tasks && uses(Field::Children)).then(|| all_children(look)),
            findings: desk.judge.by_task(),
        };
        let small = Small::make(table, look, extras, desk);
        Ok(Self {
            table,
            selector: Selector::new(request),
            others: Vec::new(),
            at: 0,
            next: 0,
            aside,
            waiters,
            quick,
            small,
            page: None,
            busy,
        })
    }

    fn step(&mut self, look: &Look, extras: Extras, desk: &mut Desk) -> bool {
        if let Small::Tally(tally) = &mut self.small {
            if !tally.step(look, CHUNKS, &self.aside.findings) {
                return false;
            }
            let found = Found::default();
            let rows = desk.wire(look, &found, None, extras).places(tally);
            self.small = Small::Places(rows);
        }
        if !matches!(self.small, Small::None) {
            self.small
                .offer(&mut self.selector, desk.texts.read(), look.now.mono);
            self.page = self.selector.end_walk();
            return self.page.is_some();
        }
        let mut budget = CHUNKS * CHUNK as u32;
        while let Some(at) = look.loops.get(self.at) {
            let slots = self.slots(at);
            let end = slots.min(self.next.saturating_add(budget));
            budget -= end - self.next;
            self.offer(look, at, self.next..end, extras, desk);
            if end < slots {
                self.next = end;
                return false;
            }
            (self.at, self.next) = (self.at + 1, 0);
            if budget == 0 && self.at < look.loops.len() {
                return false;
            }
        }
        (self.at, self.next) = (0, 0);
        self.page = self.selector.end_walk();
        self.page.is_some()
    }

    fn slots(&self, at: &LoopLook) -> u32 {
        let record = &at.record;
        match self.table {
            Table::Tasks => record.tasks.slots(),
            Table::Timers => record.timers.slots(),
            Table::Io => record.sources.slots(),
            Table::Jobs => record.jobs.slots(),
            Table::Resources => record.resources.slots(),
            Table::Children => record.children.slots(),
            _ => 0,
        }
    }

    fn offer(
        &mut self,
        look: &Look,
        at: &LoopLook,
        range: std::ops::Range<u32>,
        extras: Extras,
        desk: &mut Desk,
    ) {
        let number = self.at as u32;
        if self.table == Table::Tasks {
            let strips = desk.strips.as_ref().filter(|_| self.busy);
            for slot in range {
                let spot = Spot { at: number, slot };
                if let Some(task) = LiveTask::read(look, at, spot, &self.aside, strips) {
                    self.selector.offer(&task);
                    for other in &mut self.others {
                        other.offer(&task);
                    }
                }
            }
            return;
        }
        let none = Waiters::default();
        let waiters = self.waiters.as_ref().unwrap_or(&none);
        if self.quick {
            for slot in range {
                let spot = Spot { at: number, slot };
                let row = match self.table {
                    Table::Timers => Quick::timer(look, at, spot),
                    _ => Quick::resource(at, spot, waiters),
                };
                if let Some(row) = row {
                    self.selector.offer(&row);
                }
            }
            return;
        }
        // The list of waiters is of the page's rows only.
        let extras = Extras {
            waiting: false,
            ..extras
        };
        let mut wire = desk.wire(look, &self.aside.found, None, extras);
        wire.waiters = Some(waiters);
        let (selector, record) = (&mut self.selector, &at.record);
        match self.table {
            Table::Timers => each(
                &record.timers,
                range,
                number,
                &mut wire,
                selector,
                |w, row| timer_of(w, at, row),
            ),
            Table::Io => each(
                &record.sources,
                range,
                number,
                &mut wire,
                selector,
                |w, row| source_of(w, at, row),
            ),
            Table::Jobs => each(
                &record.jobs,
                range,
                number,
                &mut wire,
                selector,
                |w, row| job_of(w, at, row),
            ),
            Table::Resources => each(
                &record.resources,
                range,
                number,
                &mut wire,
                selector,
                |w, row| row.read().map(|facts| w.resource(at, &facts)),
            ),
            Table::Children => each(
                &record.children,
                range,
                number,
                &mut wire,
                selector,
                |w, row| row.read().map(|facts| w.child(at, &facts)),
            ),
            _ => {}
        }
    }

    fn finish(self, look: &Look, extras: Extras, desk: &mut Desk) -> pb::View {
        let mut page = self.page.unwrap_or_default();
        let mut view = pb::View::default();
        page.fill(&mut view);
        let mut known: IdSet = page.rows.iter().map(Entry::id).collect();
        for mut other in self.others {
            let rows = other.end_walk().unwrap_or_default().rows;
            page.rows
                .extend(rows.into_iter().filter(|row| known.insert(row.id())));
        }
        let spots = || {
            page.rows
                .iter()
                .map(|entry| (entry.id(), Spot::from_raw(entry.locator())))
        };
        match self.small {
            Small::None if self.table == Table::Tasks => {
                view.tasks = tasks(look, extras, desk, spots());
            }
            Small::None => {
                // Those of an order that is read in place are not all that there are.
                let asked = (extras, self.waiters.filter(|_| !self.quick));
                others(self.table, look, asked, desk, spots(), &mut view);
            }
            small => small.take(
                page.rows.iter().map(|entry| entry.locator() as usize),
                &mut view,
            ),
        }
        view
    }
}

fn timer_of(wire: &mut Wire<'_>, at: &LoopLook, row: &timer::TimerRow) -> Option<pb::TimerRow> {
    let facts = row.read().filter(|facts| facts.armed)?;
    (wire.look.internal || facts.kind != timer::Kind::Internal).then(|| wire.timer(at, &facts))
}

fn source_of(wire: &mut Wire<'_>, at: &LoopLook, row: &source::SourceRow) -> Option<pb::IoRow> {
    let facts = row.read()?;
    (wire.look.internal || facts.kind != source::Kind::Internal).then(|| wire.source(at, &facts))
}

fn job_of(wire: &mut Wire<'_>, at: &LoopLook, row: &job::JobRow) -> Option<pb::JobRow> {
    let facts = row.read().filter(|facts| facts.state != job::State::Done)?;
    Some(wire.job(at, &facts))
}

/// Offers the rows of a slab as messages.
fn each<T: slab::Row, M>(
    slab: &Slab<T>,
    range: std::ops::Range<u32>,
    at: u32,
    wire: &mut Wire<'_>,
    selector: &mut Selector,
    make: impl Fn(&mut Wire<'_>, &T) -> Option<M>,
) where
    for<'r> Of<'r, M>: Row,
{
    let at_ns = wire.look.now.mono;
    for slot in range {
        let Some(row) = slab
            .get(slot)
            .filter(|row| row.id().load(Ordering::Acquire) != 0)
        else {
            continue;
        };
        let Some(message) = make(wire, row) else {
            continue;
        };
        let row = Of {
            message: &message,
            texts: wire.texts.read(),
            at_ns,
        };
        let locator = Spot { at, slot }.raw();
        selector.offer(&Located { row, locator });
    }
}

impl Small {
    fn make(table: Table, look: &Look, extras: Extras, desk: &mut Desk) -> Self {
        let found = Found::default();
        match table {
            Table::Loops => {
                desk.census.take(look);
                let census = std::mem::take(&mut desk.census);
                let mut wire = desk.wire(look, &found, None, extras);
                let rows = look.loops.iter().map(|at| wire.loop_row(at, &census));
                let rows = rows.collect();
                desk.census = census;
                Small::Loops(rows)
            }
            Table::History => {
                let mut wire = desk.wire(look, &found, None, extras);
                let mut rows = Vec::new();
                for at in &look.loops {
                    let mut back = 0;
                    while let Some(ended) = at.record.ended.get(back) {
                        back += 1;
                        if look.shows(ended.flags) {
                            rows.push(wire.ended(at, &ended));
                        }
                    }
                }
                Small::History(rows)
            }
            Table::Findings => {
                let held: Vec<_> = desk.judge.holds().cloned().collect();
                let mut wire = desk.wire(look, &found, None, extras);
                let shown = held.iter().filter(|held| look.internal || held.user);
                Small::Findings(shown.map(|held| wire.finding(held)).collect())
            }
            Table::Blocks => Small::Blocks(desk.wire(look, &found, None, extras).all_blocks(None)),
            Table::Places => Small::Tally(Tally::default()),
            Table::Signals => {
                let mut wire = desk.wire(look, &found, None, extras);
                let mut rows = Vec::new();
                for at in &look.loops {
                    rows.extend(
                        at.record
                            .signals
                            .read()
                            .map(|facts| wire.signal(at, &facts)),
                    );
                }
                Small::Signals(rows)
            }
            _ => Small::None,
        }
    }

    fn offer(&self, selector: &mut Selector, texts: &loop_proto::message::Texts, at_ns: u64) {
        fn all<M>(
            rows: &[M],
            selector: &mut Selector,
            texts: &loop_proto::message::Texts,
            at_ns: u64,
        ) where
            for<'r> Of<'r, M>: Row,
        {
            for (locator, message) in rows.iter().enumerate() {
                let row = Of {
                    message,
                    texts,
                    at_ns,
                };
                let locator = locator as u64;
                selector.offer(&Located { row, locator });
            }
        }
        match self {
            Small::None | Small::Tally(_) => {}
            Small::Loops(rows) => all(rows, selector, texts, at_ns),
            Small::History(rows) => all(rows, selector, texts, at_ns),
            Small::Findings(rows) => all(rows, selector, texts, at_ns),
            Small::Blocks(rows) => all(rows, selector, texts, at_ns),
            Small::Places(rows) => all(rows, selector, texts, at_ns),
            Small::Signals(rows) => all(rows, selector, texts, at_ns),
        }
    }

    /// Puts the rows at these places into the answer.
    fn take(self, places: impl Iterator<Item = usize>, view: &mut pb::View) {
        fn pick<M: Clone>(rows: &[M], places: impl Iterator<Item = usize>) -> Vec<M> {
            places.filter_map(|at| rows.get(at).cloned()).collect()
        }
        match self {
            Small::None | Small::Tally(_) => {}
            Small::Loops(rows) => view.loops = pick(&rows, places),
            Small::History(rows) => view.tasks = pick(&rows, places),
            Small::Findings(rows) => view.findings = pick(&rows, places),
            Small::Blocks(rows) => view.blocks = pick(&rows, places),
            Small::Places(rows) => view.places = pick(&rows, places),
            Small::Signals(rows) => view.signals = pick(&rows, places),
        }
    }
}
