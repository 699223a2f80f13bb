//! One question asked to the end: page after page, until the list is complete. Knows no screen.

use std::collections::HashSet;
use std::time::Duration;

use loop_proto::message::{Of, Texts};
use loop_proto::pb;
use loop_proto::row::Row;
use tonic::Status;

use super::mailbox::Sender;
use super::session::{Session, Views};
use crate::store::decode::{self, Decoder};
use crate::store::{Body, Hello, Query, Refusal, Seek, Slot, Table};

/// The most rows that one answer has: what the protocol allows.
const PAGE: u32 = 10_000;

/// A viewer that asks one thing at a time.
pub struct Reader {
    asks: Sender<pb::Query>,
    views: Views,
    decoder: Decoder,
    serial: u64,
}

/// A list to the end, or as far as was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    pub body: Body,
    pub at_ns: u64,
    /// In how many pages it came. More than one: they were asked for in the order of ids, which no row leaves, so that none is
    /// missing or there twice, and put in the wanted order here.
    pub pages: u32,
    /// Why the rows are fewer than there were; empty: nothing is missing.
    pub incomplete: String,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub table: Table,
    pub filter: String,
    pub sort: String,
    pub columns: Vec<String>,
    pub limit: Option<u64>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Unanswered {
    /// The app did not understand the question.
    Refused(Refusal),
    /// The stream broke.
    Broken(String),
}

impl From<Status> for Unanswered {
    fn from(status: Status) -> Self {
        Unanswered::Broken(super::session::refused(&status))
    }
}

impl Reader {
    /// Begins a stream with its first question, which the app may want to see before it says anything.
    pub async fn begin(
        session: &Session,
        question: &Question,
    ) -> Result<(Reader, Whole), Unanswered> {
        let pages = Pages::new(question, PAGE);
        let (asks, views) = session.watch_with([pages.query(1)]).await?;
        let mut reader = Reader {
            asks,
            views,
            decoder: Decoder::new(),
            serial: 1,
        };
        let whole = reader.rest(pages).await?;
        Ok((reader, whole))
    }

    /// Asks again, from the first page on.
    pub async fn again(&mut self, question: &Question) -> Result<Whole, Unanswered> {
        let pages = Pages::new(question, PAGE);
        self.ask(&pages)?;
        self.rest(pages).await
    }

    fn ask(&mut self, pages: &Pages<'_>) -> Result<(), Unanswered> {
        self.serial += 1;
        if self.asks.send(pages.query(self.serial)) {
            Ok(())
        } else {
            Err(Unanswered::Broken("the app closed the stream".to_owned()))
        }
    }

    /// Takes answers in until the list is whole.
    async fn rest(&mut self, mut pages: Pages<'_>) -> Result<Whole, Unanswered> {
        loop {
            let Some(view) = self.views.message().await? else {
                return Err(Unanswered::Broken("the app closed the stream".to_owned()));
            };
            let current = view.serial == self.serial;
            self.decoder.learn(view.interned.clone());
            match pages.take(view, current) {
                Next::Wait => {}
                Next::Ask => self.ask(&pages)?,
                Next::Done => {
                    let (view, came) = pages.whole();
                    let view = self
                        .decoder
                        .view(view, pages.question.table)
                        .expect("it is complete");
                    if let Body::Refused(refusal) = view.body {
                        return Err(Unanswered::Refused(refusal));
                    }
                    return Ok(Whole {
                        body: view.body,
                        at_ns: view.at_ns,
                        pages: came,
                        incomplete: view.incomplete,
                    });
                }
            }
        }
    }
}

/// What is to be done after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There is more to come.
    Wait,
    /// The next page is to be asked for.
    Ask,
    Done,
}

/// The pages of one list, as they come. Knows no stream.
///
/// While a list is read its order may change: rows that move across the border of two pages would be there twice, or not at
/// all. So a list that does not fit into one page is read in the order of ids.
struct Pages<'q> {
    question: &'q Question,
    page: u32,
    by_id: bool,
    pages: u32,
    /// Rows of the page that is coming.
    came: u64,
    texts: Texts,
    /// Everything so far.
    whole: pb::View,
}

/// Does `$do` with each list of rows that a one-shot may ask for.
macro_rules! each_list {
    ($do:ident: $view:expr $(, $more:expr)*) => {
        $do(&mut $view.tasks $(, $more)*);
        $do(&mut $view.loops $(, $more)*);
        $do(&mut $view.timers $(, $more)*);
        $do(&mut $view.io $(, $more)*);
        $do(&mut $view.jobs $(, $more)*);
        $do(&mut $view.resources $(, $more)*);
        $do(&mut $view.children $(, $more)*);
        $do(&mut $view.signals $(, $more)*);
        $do(&mut $view.findings $(, $more)*);
        $do(&mut $view.blocks $(, $more)*);
        $do(&mut $view.places $(, $more)*);
    };
}

impl<'q> Pages<'q> {
    fn new(question: &'q Question, page: u32) -> Self {
        Pages {
            question,
            page,
            by_id: false,
            pages: 0,
            came: 0,
            texts: Texts::default(),
            whole: pb::View::default(),
        }
    }

    /// The question for the page that is wanted now.
    fn query(&self, serial: u64) -> pb::Query {
        let page = u64::from(self.page);
        let wanted = match self.question.limit {
            // Which rows are the first ones is only known once all are there.
            Some(limit) if !self.by_id => limit.clamp(1, page),
            _ => page,
        };
        let query = Query {
            slot: Slot(1),
            table: self.question.table,
            filter: self.question.filter.trim().to_owned(),
            sort: None,
            seek: Seek::Rank(0),
            limit: u32::try_from(wanted).unwrap_or(self.page),
            columns: self.question.columns.clone(),
            subject: None,
            every: Duration::ZERO,
        };
        let after = self.whole.last.clone().filter(|_| self.by_id);
        pb::Query {
            sort: if self.by_id {
                "id".to_owned()
            } else {
                self.question.sort.clone()
            },
            seek: after.map(|position| pb::Seek {
                to: Some(pb::seek::To::After(position)),
            }),
            ..decode::query(&query, serial).unwrap_or_default()
        }
    }

    /// Takes a message in; of one that answers an older question only the texts.
    fn take(&mut self, mut view: pb::View, current: bool) -> Next {
        self.texts.learn(std::mem::take(&mut view.interned));
        if !current {
            return Next::Wait;
        }
        self.came += rows(&mut view);
        let complete = view.complete;
        let refused = view.error.is_some();
        join(&mut self.whole, view);
        if !complete {
            return Next::Wait;
        }
        self.pages += 1;
        // A page that is not full is the last one.
        let full = std::mem::take(&mut self.came) >= u64::from(self.page);
        let enough = self
            .question
            .limit
            .is_some_and(|limit| !self.by_id && limit <= u64::from(self.page));
        if refused || !full || enough || self.whole.last.is_none() {
            return Next::Done;
        }
        if !self.by_id {
            self.by_id = true;
            self.pages = 0;
            self.whole = pb::View::default();
        }
        Next::Ask
    }

    /// The list in the wanted order, cut to what was wanted, and in how many pages it came.
    fn whole(&mut self) -> (pb::View, u32) {
        let mut view = std::mem::take(&mut self.whole);
        view.complete = true;
        let at_ns = view.at_ns;
        let sort = Table::of_schema(self.question.table)
            .and_then(|table| loop_proto::sort::Sort::parse(table, &self.question.sort).ok());
        let texts = &self.texts;
        if let (true, Some(sort)) = (self.by_id, sort) {
            each_list!(arrange: view, texts, at_ns, sort);
            // Tasks that ended while the list was read are in it.
            view.matched = rows(&mut view);
            view.total = view.total.max(view.matched);
        }
        let limit = self.question.limit.and_then(|n| usize::try_from(n).ok());
        if let Some(limit) = limit {
            each_list!(shorten: view, limit);
        }
        (view, self.pages)
    }
}

/// How many rows an answer has.
fn rows(view: &mut pb::View) -> u64 {
    fn count<M>(rows: &mut [M], sum: &mut u64) {
        *sum += rows.len() as u64;
    }
    let mut sum = 0;
    each_list!(count: view, &mut sum);
    sum
}

/// Adds a part of an answer, or another page, to what is there.
fn join(to: &mut pb::View, mut from: pb::View) {
    macro_rules! append {
        ($($list:ident),*) => {$( to.$list.append(&mut from.$list); )*};
    }
    append!(
        tasks, loops, timers, io, jobs, resources, children, signals, findings, blocks, places
    );
    // The numbers are of the first page: the app answers the others as of the same moment.
    if to.at_ns == 0 {
        to.at_ns = from.at_ns;
    }
    (to.slot, to.serial, to.answer) = (from.slot, from.serial, from.answer);
    (to.total, to.matched) = (from.total, from.matched);
    to.last = from.last.or(to.last.take());
    to.torn |= from.torn;
    if !from.incomplete.is_empty() {
        to.incomplete = from.incomplete;
    }
    // What has no rows comes in one message.
    to.cost = from.cost.or(to.cost.take());
    to.error = from.error.or(to.error.take());
}

/// Puts rows in order; of rows with the same id the first stays.
fn arrange<M>(rows: &mut Vec<M>, texts: &Texts, at_ns: u64, sort: loop_proto::sort::Sort)
where
    for<'r> Of<'r, M>: Row,
{
    let mut seen = HashSet::new();
    rows.retain(|message| {
        seen.insert(
            Of {
                message,
                texts,
                at_ns,
            }
            .id(),
        )
    });
    let order = sort.order(rows.iter().map(|message| Of {
        message,
        texts,
        at_ns,
    }));
    let mut old: Vec<Option<M>> = std::mem::take(rows).into_iter().map(Some).collect();
    rows.extend(order.into_iter().filter_map(|at| old[at].take()));
}

fn shorten<M>(rows: &mut Vec<M>, limit: usize) {
    rows.truncate(limit);
}

/// Who answered, as rows know it.
pub fn hello(session: &Session) -> Hello {
    session.who()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loop_proto::fixture::{Viewer, crowded_shop};

    fn question(sort: &str, limit: Option<u64>) -> Question {
        Question {
            table: Table::Tasks,
            filter: String::new(),
            sort: sort.to_owned(),
            columns: Vec::new(),
            limit,
        }
    }

    /// Reads a list from a shop whose tasks are all polled between two pages, the last ones the longest.
    fn read(question: &Question, page: u32) -> (pb::View, u32, Viewer) {
        let mut viewer = Viewer::new(crowded_shop(2_000));
        let mut pages = Pages::new(question, page);
        for serial in 1.. {
            let view = viewer.answer(&pages.query(serial));
            // What was first is last, and the other way round: the order moves under the reader.
            let mut shop = viewer.shop().clone();
            for (nth, task) in shop.tasks.iter_mut().enumerate() {
                task.busy_ns = (nth as u64 + 1) * if serial % 2 == 0 { 1 } else { 1_000_000 };
                if nth % 2 == 0 {
                    task.busy_ns = u64::from(u32::MAX) - task.busy_ns % 1_000_000;
                }
            }
            viewer = Viewer::new(shop);
            match pages.take(view, true) {
                Next::Done => break,
                Next::Ask => {}
                Next::Wait => panic!("every answer has one part"),
            }
        }
        let (view, came) = pages.whole();
        (view, came, viewer)
    }

    #[test]
    fn a_list_of_several_pages_has_every_row_once_though_its_order_moves() {
        let (view, came, viewer) = read(&question("-busy-time", None), 500);
        let mut ids: Vec<u64> = view.tasks.iter().map(|task| task.id).collect();
        assert!(came > 3, "{came} pages");
        ids.sort_unstable();
        ids.dedup();
        let mut all: Vec<u64> = viewer.shop().tasks.iter().map(|task| task.id).collect();
        all.sort_unstable();
        assert_eq!(ids, all);
        assert_eq!(view.tasks.len(), all.len(), "a row is there twice");
        assert_eq!(view.matched, all.len() as u64);
        let busy: Vec<u64> = view.tasks.iter().map(|task| task.busy_ns).collect();
        assert!(busy.is_sorted_by(|a, b| a >= b), "not in the wanted order");
    }

    #[test]
    fn what_is_missing_from_a_list_is_told_however_many_pages_it_takes() {
        let question = question("", None);
        let mut pages = Pages::new(&question, 500);
        let mut viewer = Viewer::new(crowded_shop(2_000));
        for serial in 1.. {
            let mut view = viewer.answer(&pages.query(serial));
            view.incomplete = format!("{serial} rows found their table full");
            if pages.take(view, true) == Next::Done {
                assert_eq!(
                    pages.whole().0.incomplete,
                    format!("{serial} rows found their table full")
                );
                break;
            }
        }
    }

    #[test]
    fn the_first_rows_of_a_long_list_are_the_first_of_all_of_it() {
        let (view, came, _) = read(&question("-id", Some(700)), 500);
        assert!(came > 3);
        let ids: Vec<u64> = view.tasks.iter().map(|task| task.id).collect();
        assert_eq!(ids.len(), 700);
        assert!(ids.is_sorted_by(|a, b| a > b));
        assert!(view.matched > 2_000);
    }

    #[test]
    fn what_fits_into_one_page_comes_in_one_in_the_wanted_order() {
        let (view, came, _) = read(&question("-id", Some(30)), 500);
        assert_eq!((came, view.tasks.len()), (1, 30));
    }
}
