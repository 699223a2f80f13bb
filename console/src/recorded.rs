//! A recording as an app that answers: the same questions, the same messages, from a file. Filter, order and pages are those of
//! `loop_proto`, which the app runs on its live tables. Knows no file and no screen.
//!
//! Reading order: [`about`] (what is known of the recording itself), `take` (from the file's sections to tables), `since` (what
//! happened after the snapshot), `detail` (one task's page), `story` (events).

pub mod about;
mod detail;
mod since;
mod story;
mod take;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use loop_proto::message::{Messages, Of, Texts};
use loop_proto::page::Request;
use loop_proto::pb::{self, Target};
use loop_proto::recording::rows_of;
use loop_proto::row::Row;
use loop_proto::table;

pub use about::About;
pub use story::Told;
pub use take::{NO_COMMANDS, mark};

/// [`pb::QueryError::part`] of a question about what was not written.
pub const NOT_HELD: &str = "recording";

/// What a recording holds, ready to answer.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Who wrote it, as it said Hello at the moment of the snapshot.
    pub hello: pb::HelloReply,
    /// There is a snapshot.
    snapshot: bool,
    /// The moment of the snapshot; without one, the last moment that is known.
    at_ns: u64,
    texts: Texts,
    interned: Vec<pb::Interned>,
    /// What was recorded of each target, its parts joined.
    tables: BTreeMap<Target, pb::View>,
    details: HashMap<u64, pb::TaskDetail>,
    /// Who waits for the thing of that id, as far as tasks tell: the longest first.
    waiting: HashMap<u64, Vec<pb::Waiter>>,
    /// What happened, oldest first.
    story: story::Story,
    /// What happened after the snapshot, counted.
    pub since: since::Since,
    /// Changes whenever the recording does.
    pub mark: u64,
}

impl Answers {
    /// The answer to a query, in one part.
    pub fn answer(&self, query: &pb::Query, answer: u64) -> pb::View {
        let target = query.target();
        let none = pb::View::default();
        let held = self.tables.get(&target);
        let from = held.unwrap_or(&none);
        let mut view = pb::View {
            slot: query.slot,
            serial: query.serial,
            answer,
            complete: true,
            at_ns: self.at(held),
            incomplete: self.incomplete(target, from),
            interned: self.interned.clone(),
            ..pb::View::default()
        };
        if held.is_none() && target != Target::Unspecified {
            // What was not written is not known: an empty table would say that there was nothing.
            view.error = Some(pb::QueryError {
                message: self.not_held(target),
                part: NOT_HELD.to_owned(),
                ..pb::QueryError::default()
            });
            return view;
        }
        macro_rules! page {
            ($list:ident) => {
                view.$list = self.page(query, &from.$list, &mut view)
            };
        }
        let waiting = query.columns.iter().any(|column| column == "waiting");
        match target {
            Target::Overview => view.overview.clone_from(&from.overview),
            Target::Cost => view.cost.clone_from(&from.cost),
            Target::Series => view.series.clone_from(&from.series),
            Target::Hour => {
                view.hour.clone_from(&from.hour);
                view.past_findings.clone_from(&from.past_findings);
                view.blocks.clone_from(&from.blocks);
                view.series.clone_from(&from.series);
            }
            Target::Tasks | Target::History => page!(tasks),
            Target::Loops => page!(loops),
            Target::Timers => page!(timers),
            Target::Io => page!(io),
            Target::Jobs => {
                page!(jobs);
                for row in view.jobs.iter_mut().filter(|_| waiting) {
                    self.waits_for(row.id, &mut row.waiting);
                }
            }
            Target::Resources => {
                page!(resources);
                for row in view.resources.iter_mut().filter(|_| waiting) {
                    self.waits_for(row.id, &mut row.waiting);
                }
            }
            Target::Children => {
                page!(children);
                for row in view.children.iter_mut().filter(|_| waiting) {
                    self.waits_for(row.id, &mut row.waiting);
                }
            }
            Target::Signals => page!(signals),
            Target::Findings => page!(findings),
            Target::Blocks => page!(blocks),
            Target::Places => page!(places),
            Target::Unspecified => {
                view.error = Request::from_message(query).err();
            }
        }
        view
    }

    /// Who waits for `id`, where its row does not tell: rows are written without.
    fn waits_for(&self, id: u64, waiting: &mut Vec<pb::Waiter>) {
        if waiting.is_empty()
            && let Some(known) = self.waiting.get(&id)
        {
            waiting.clone_from(known);
        }
    }

    /// The moment of a table: they are written one after another, and each says its own.
    fn at(&self, held: Option<&pb::View>) -> u64 {
        held.map(|view| view.at_ns)
            .filter(|at| *at > 0)
            .unwrap_or(self.at_ns)
    }

    /// Why a table is not there at all.
    fn not_held(&self, target: Target) -> String {
        let noun = noun(target);
        match self.snapshot {
            true => format!("the recording does not hold {noun}"),
            false => format!(
                "the recording has no snapshot, so {noun} are not known: only events are there"
            ),
        }
    }

    /// Why rows are missing; empty: none are.
    fn incomplete(&self, target: Target, from: &pb::View) -> String {
        let rows = rows_of(from);
        // Of what was, the newest are kept: the rest is no gap of the recording's.
        let is_list = table::Table::of(target).is_some() && target != Target::History;
        if from.incomplete.is_empty() && is_list && from.total > rows {
            return format!(
                "the recording holds {rows} of {} {}",
                from.total,
                noun(target)
            );
        }
        from.incomplete.clone()
    }

    fn page<M: Clone>(&self, query: &pb::Query, rows: &[M], view: &mut pb::View) -> Vec<M>
    where
        for<'r> Of<'r, M>: Row,
    {
        let (texts, at_ns) = (&self.texts, view.at_ns);
        Messages { rows, texts, at_ns }.answer(query, view)
    }
}

/// What the rows of a target are called.
fn noun(target: Target) -> &'static str {
    match target {
        Target::Tasks => "tasks",
        Target::History => "ended tasks",
        Target::Loops => "loops",
        Target::Timers => "timers",
        Target::Io => "I/O sources",
        Target::Jobs => "jobs",
        Target::Resources => "resources",
        Target::Children => "child processes",
        Target::Signals => "signals",
        Target::Findings => "findings",
        Target::Blocks => "blocks",
        Target::Places => "spawn places",
        Target::Overview => "totals",
        Target::Cost => "costs",
        Target::Series => "what was before",
        Target::Hour => "the last hour",
        Target::Unspecified => "",
    }
}

impl Answers {
    /// The last event there is.
    #[must_use]
    pub fn last_event_ns(&self) -> Option<u64> {
        self.story.last_event_ns()
    }

    /// Events of the inspector's own log.
    #[must_use]
    pub fn own_events(&self) -> u64 {
        self.story.own_events()
    }

    /// A stream of events; of what was before at most the `newest`.
    ///
    /// Errors: the filter is wrong.
    pub fn events(
        &self,
        request: &pb::EventsRequest,
        newest: Option<usize>,
    ) -> Result<Told, pb::QueryError> {
        Told::begin(request, &self.story, newest)
    }

    /// The next batch of a stream.
    pub fn next_batch(&self, told: &mut Told) -> Option<pb::EventBatch> {
        told.next(&self.story, &self.texts, &self.interned)
    }

    /// Lets a stream go on in this reading, which came after `before`.
    pub fn go_on(&self, told: &mut Told, before: &Answers) {
        told.go_on(&before.story, &self.story);
    }
}
