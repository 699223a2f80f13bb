//! One question asked to the end: page after page, until the list is complete. Knows no screen.

use std::time::Duration;

use loop_proto::pb;
use tonic::{Status, Streaming};

use super::mailbox::Sender;
use super::session::Session;
use crate::store::decode::{self, Decoder};
use crate::store::{Body, Hello, Query, Refusal, Rows, Seek, Slot, Table};

/// The most rows that one answer has: what the protocol allows.
const PAGE: u32 = 10_000;

/// A viewer that asks one thing at a time.
pub struct Reader {
    asks: Sender<pb::Query>,
    views: Streaming<pb::View>,
    decoder: Decoder,
    serial: u64,
}

/// A list to the end, or as far as was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    pub body: Body,
    pub at_ns: u64,
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
        let first = message(question, 1, None, 0);
        let (asks, views) = session.watch_with([first]).await?;
        let mut reader = Reader {
            asks,
            views,
            decoder: Decoder::new(),
            serial: 1,
        };
        let whole = reader.rest(question).await?;
        Ok((reader, whole))
    }

    /// Asks again, from the first page on.
    pub async fn again(&mut self, question: &Question) -> Result<Whole, Unanswered> {
        self.serial += 1;
        self.ask(message(question, self.serial, None, 0))?;
        self.rest(question).await
    }

    fn ask(&self, query: pb::Query) -> Result<(), Unanswered> {
        if self.asks.send(query) {
            Ok(())
        } else {
            Err(Unanswered::Broken("the app closed the stream".to_owned()))
        }
    }

    /// Takes answers in until the list is whole.
    async fn rest(&mut self, question: &Question) -> Result<Whole, Unanswered> {
        let mut whole: Option<Whole> = None;
        loop {
            let Some(view) = self.views.message().await? else {
                return Err(Unanswered::Broken("the app closed the stream".to_owned()));
            };
            if view.serial != self.serial {
                continue;
            }
            let last = view.last.clone();
            let Some(view) = self.decoder.view(view, question.table) else {
                continue;
            };
            if let Body::Refused(refusal) = view.body {
                return Err(Unanswered::Refused(refusal));
            }
            let came = rows(&view.body);
            match &mut whole {
                None => {
                    whole = Some(Whole {
                        body: view.body,
                        at_ns: view.at_ns,
                    })
                }
                Some(whole) => append(&mut whole.body, view.body),
            }
            let so_far = whole.as_ref().expect("set above");
            let have = rows(&so_far.body);
            let enough = question.limit.is_some_and(|limit| have >= limit);
            // A page that is not full is the last one.
            match last {
                Some(last) if came >= u64::from(PAGE) && !enough => {
                    self.serial += 1;
                    self.ask(message(question, self.serial, Some(last), have))?;
                }
                _ => return Ok(whole.expect("set above")),
            }
        }
    }
}

fn message(question: &Question, serial: u64, after: Option<pb::Position>, have: u64) -> pb::Query {
    let left = question.limit.map_or(u64::from(PAGE), |limit| {
        limit.saturating_sub(have).clamp(1, u64::from(PAGE))
    });
    let query = Query {
        slot: Slot(1),
        table: question.table,
        filter: question.filter.trim().to_owned(),
        sort: None,
        seek: Seek::Rank(0),
        limit: u32::try_from(left).unwrap_or(PAGE),
        columns: question.columns.clone(),
        subject: None,
        every: Duration::ZERO,
    };
    pb::Query {
        sort: question.sort.clone(),
        seek: after.map(|position| pb::Seek {
            to: Some(pb::seek::To::After(position)),
        }),
        ..decode::query(&query, serial).unwrap_or_default()
    }
}

/// How many rows an answer has.
fn rows(body: &Body) -> u64 {
    let n = match body {
        Body::Tasks(r) => r.rows.len(),
        Body::Groups(r) => r.rows.len(),
        Body::Loops(r) => r.rows.len(),
        Body::Blocks(r) => r.rows.len(),
        Body::Timers(r) => r.rows.len(),
        Body::Io(r) => r.rows.len(),
        Body::Findings(r) | Body::Leaks(r) => r.rows.len(),
        _ => 0,
    };
    n as u64
}

fn append(to: &mut Body, from: Body) {
    fn join<T>(to: &mut Rows<T>, mut from: Rows<T>) {
        to.rows.append(&mut from.rows);
        (to.total, to.matched) = (from.total, from.matched);
        to.torn |= from.torn;
    }
    match (to, from) {
        (Body::Tasks(to), Body::Tasks(from)) => join(to, from),
        (Body::Groups(to), Body::Groups(from)) => join(to, from),
        (Body::Loops(to), Body::Loops(from)) => join(to, from),
        (Body::Blocks(to), Body::Blocks(from)) => join(to, from),
        (Body::Timers(to), Body::Timers(from)) => join(to, from),
        (Body::Io(to), Body::Io(from)) => join(to, from),
        (Body::Findings(to), Body::Findings(from)) | (Body::Leaks(to), Body::Leaks(from)) => {
            join(to, from)
        }
        _ => {}
    }
}

/// Cuts a list to what was wanted: the app may send a row more than asked for.
pub fn cut(body: &mut Body, limit: Option<u64>) {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return;
    };
    match body {
        Body::Tasks(r) => r.rows.truncate(limit),
        Body::Groups(r) => r.rows.truncate(limit),
        Body::Loops(r) => r.rows.truncate(limit),
        Body::Blocks(r) => r.rows.truncate(limit),
        Body::Timers(r) => r.rows.truncate(limit),
        Body::Io(r) => r.rows.truncate(limit),
        Body::Findings(r) | Body::Leaks(r) => r.rows.truncate(limit),
        _ => {}
    }
}

/// Who answered, as rows know it.
pub fn hello(session: &Session) -> Hello {
    crate::store::decode::hello(session.hello.clone())
}
