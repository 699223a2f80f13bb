//! A made-up app, always the same: a shop with four loops, some forty tasks with something wrong
//! with several of them, and as many synthetic tasks as wanted. It answers queries as an app does,
//! so that consoles and their tests need none. Knows no socket and no clock.
//!
//! Only with the feature `fixture`.

mod crowd;
mod ink;
mod left;
mod shop;
mod story;
mod tables;
mod totals;

pub use crowd::{Crowd, Stranger};
pub use ink::Ink;
pub use left::{RECORDED, recording, ring_event};

use std::collections::HashSet;

use crate::message::{Messages, Of, Texts};
use crate::page::RowSource;
use crate::pb;
use crate::row::Row;

/// When the shop began, by its host's monotonic clock.
pub const STARTED_NS: u64 = 1_000 * SECOND;
/// The moment that the shop is a picture of: 2 h 13 min 7 s later.
pub const AT_NS: u64 = STARTED_NS + 7_987 * SECOND;
/// The same moment by the clock on the wall: 2026-11-22 14:02:25 UTC.
pub const AT_UNIX_NS: u64 = 1_795_356_145 * SECOND;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Everything there is to see of the shop at one moment.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The moment.
    pub at_ns: u64,
    /// Who it is.
    pub hello: pb::HelloReply,
    /// All texts that the messages below use.
    pub interned: Vec<pb::Interned>,
    /// Totals, counted from the rows below.
    pub overview: pb::Overview,
    /// Cost and losses.
    pub cost: pb::Cost,
    /// The rows of TARGET_LOOPS, and so on.
    pub loops: Vec<pb::LoopRow>,
    /// Live tasks.
    pub tasks: Vec<pb::TaskRow>,
    /// Ended tasks.
    pub history: Vec<pb::TaskRow>,
    /// Armed timers.
    pub timers: Vec<pb::TimerRow>,
    /// I/O sources.
    pub io: Vec<pb::IoRow>,
    /// Executor jobs.
    pub jobs: Vec<pb::JobRow>,
    /// Locks and queues.
    pub resources: Vec<pb::ResourceRow>,
    /// Child processes.
    pub children: Vec<pb::ChildRow>,
    /// Signals that are listened to.
    pub signals: Vec<pb::SignalRow>,
    /// Findings, worst first.
    pub findings: Vec<pb::Finding>,
    /// Blocks, newest first.
    pub blocks: Vec<pb::BlockRow>,
    /// Tasks by spawn place.
    pub places: Vec<pb::PlaceRow>,
    /// What was.
    pub series: Vec<pb::SeriesRow>,
    /// What was wrong within the last hour.
    pub past: Vec<pb::PastFinding>,
    /// What the last hour comes to.
    pub hour: pb::Hour,
    /// The newest events, oldest first.
    pub events: Vec<pb::Event>,
}

/// The shop.
#[must_use]
pub fn shop() -> Shop {
    shop::build(0)
}

/// The shop with `strangers` more tasks: uninteresting ones, all different.
#[must_use]
pub fn crowded_shop(strangers: u64) -> Shop {
    shop::build(strangers)
}

/// The shop while its loop 2 is blocked: for 180 ms so far, stack taken, and the poll goes on.
#[must_use]
pub fn blocked_shop() -> Shop {
    let mut shop = shop::build(0);
    let last = &shop.blocks[0];
    let now = pb::BlockRow {
        id: last.id + 1,
        started_at_ns: AT_NS - 180 * MS,
        ended_at_ns: None,
        wall_ns: 180 * MS,
        lower_ns: Some(179 * MS),
        upper_ns: Some(180 * MS),
        stack_at_ns: Some(AT_NS - 79 * MS),
        waited_behind: None,
        worst_wait_ns: Some(198 * MS),
        waiting_now: Some(9),
        samples: Vec::new(),
        stack_samples: 1,
        cpu_ns: Some(179 * MS),
        run_delay_ns: Some(0),
        cause_reason: "the thread used the CPU for 179 of 180 ms".to_owned(),
        ..last.clone()
    };
    shop.blocks.insert(0, now.clone());
    for row in shop.loops.iter_mut().filter(|row| row.id == now.loop_id) {
        row.state = pb::LoopState::Blocked.into();
        row.blocks += 1;
        row.blocked = Some(now.clone());
    }
    shop.overview.blocks += 1;
    for task in shop.tasks.iter_mut().filter(|task| task.id == now.task_id) {
        (task.for_ns, task.since_ns) = (now.wall_ns, now.started_at_ns);
    }
    shop
}

/// One viewer of a shop: remembers which texts its stream has carried.
#[derive(Clone, Debug)]
pub struct Viewer {
    shop: Shop,
    texts: Texts,
    sent: bool,
    answers: u64,
}

impl Viewer {
    /// A viewer that has not seen anything yet.
    #[must_use]
    pub fn new(shop: Shop) -> Self {
        let mut texts = Texts::default();
        texts.learn(shop.interned.iter().cloned());
        Viewer {
            shop,
            texts,
            sent: false,
            answers: 0,
        }
    }

    /// The shop it looks at.
    #[must_use]
    pub const fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The answer to a query, in one part. A closed slot is answered too; a caller drops that.
    pub fn answer(&mut self, query: &pb::Query) -> pb::View {
        self.answers += 1;
        let mut view = pb::View {
            slot: query.slot,
            serial: query.serial,
            answer: self.answers,
            complete: true,
            at_ns: self.shop.at_ns,
            ..Default::default()
        };
        if !std::mem::replace(&mut self.sent, true) {
            view.interned.clone_from(&self.shop.interned);
        }
        let shop = &self.shop;
        match query.target() {
            pb::Target::Overview => view.overview = Some(shop.overview.clone()),
            pb::Target::Cost => view.cost = Some(shop.cost.clone()),
            pb::Target::Series => view.series.clone_from(&shop.series),
            pb::Target::Hour => {
                view.hour = Some(shop.hour.clone());
                view.past_findings.clone_from(&shop.past);
                view.blocks.clone_from(&shop.blocks);
                view.series.clone_from(&shop.series);
            }
            pb::Target::Tasks => view.tasks = self.page(query, &shop.tasks, &mut view),
            pb::Target::History => view.tasks = self.page(query, &shop.history, &mut view),
            pb::Target::Loops => view.loops = self.page(query, &shop.loops, &mut view),
            pb::Target::Timers => view.timers = self.page(query, &shop.timers, &mut view),
            pb::Target::Io => view.io = self.page(query, &shop.io, &mut view),
            pb::Target::Jobs => view.jobs = self.page(query, &shop.jobs, &mut view),
            pb::Target::Resources => view.resources = self.page(query, &shop.resources, &mut view),
            pb::Target::Children => view.children = self.page(query, &shop.children, &mut view),
            pb::Target::Signals => view.signals = self.page(query, &shop.signals, &mut view),
            pb::Target::Findings => view.findings = self.page(query, &shop.findings, &mut view),
            pb::Target::Blocks => view.blocks = self.page(query, &shop.blocks, &mut view),
            pb::Target::Places => view.places = self.page(query, &shop.places, &mut view),
            pb::Target::Unspecified => view.tasks = self.page(query, &shop.tasks, &mut view),
        }
        view
    }

    fn page<M: Clone>(&self, query: &pb::Query, rows: &[M], view: &mut pb::View) -> Vec<M>
    where
        for<'r> Of<'r, M>: Row,
    {
        let (texts, at_ns) = (&self.texts, self.shop.at_ns);
        Messages { rows, texts, at_ns }.answer(query, view)
    }

    /// All about one task. `None`: there is no such task.
    #[must_use]
    pub fn task(&self, request: &pb::TaskRequest) -> Option<pb::TaskDetail> {
        let shop = &self.shop;
        let find = |id: u64| {
            shop.tasks
                .iter()
                .chain(&shop.history)
                .find(|task| task.id == id)
        };
        let task = find(request.id)?;
        let mut parents = Vec::new();
        let mut seen = HashSet::from([task.id]);
        let mut parent = task.parent_id;
        while let Some(row) = find(parent).filter(|row| seen.insert(row.id)) {
            parents.push(row.clone());
            parent = row.parent_id;
        }
        let children: Vec<_> = shop
            .tasks
            .iter()
            .filter(|child| child.parent_id == task.id)
            .cloned()
            .collect();
        let about = |finding: &&pb::Finding| {
            finding.subject_kind() == pb::Kind::Task && finding.subject_id == task.id
        };
        let blocks = shop.blocks.iter().filter(|block| block.task_id == task.id);
        Some(pb::TaskDetail {
            at_ns: shop.at_ns,
            interned: shop.interned.clone(),
            waits: shop::waits_of(task),
            parents,
            children_total: children.len() as u64,
            children,
            findings: shop.findings.iter().filter(about).cloned().collect(),
            poll: Some(shop::polls_of(task)),
            scheduled: Some(shop::scheduled_of(task)),
            place_poll: Some(shop::polls_of(task)),
            blocking: blocks
                .clone()
                .find(|block| block.ended_at_ns.is_none())
                .cloned(),
            blocks: blocks
                .filter(|block| block.ended_at_ns.is_some())
                .cloned()
                .collect(),
            timers: shop
                .timers
                .iter()
                .filter(|timer| timer.owner_id == task.id)
                .cloned()
                .collect(),
            io: shop
                .io
                .iter()
                .filter(|source| source.task_id == task.id)
                .cloned()
                .collect(),
            jobs: shop
                .jobs
                .iter()
                .filter(|job| job.task_id == task.id)
                .cloned()
                .collect(),
            joined_by: shop
                .tasks
                .iter()
                .filter(|other| {
                    other
                        .waiting_on
                        .as_ref()
                        .is_some_and(|wait| wait.kind() == pb::WaitKind::Task && wait.id == task.id)
                })
                .map(|other| other.id)
                .collect(),
            variables: if task.id == 1093 {
                vec!["REQUEST_ID".to_owned(), "TENANT\u{1b}[31m".to_owned()]
            } else {
                Vec::new()
            },
            cancel: task.cancel_requested.then(|| pb::CancelRequest {
                by: pb::Canceller::Task.into(),
                by_id: 1,
                by_name: find(1).and_then(|main| main.name.clone()),
                place_text: task.spawn_place_text,
                message: "the night is over".to_owned(),
                first_at_ns: task.cancel_requested_at_ns.unwrap_or(shop.at_ns),
                at_ns: shop.at_ns - 3 * SECOND,
                times: 2,
            }),
            resources: shop
                .resources
                .iter()
                .filter(|row| row.holder_task_id == Some(task.id) || row.owner_id == task.id)
                .cloned()
                .collect(),
            processes: shop
                .children
                .iter()
                .filter(|child| child.task_id == task.id)
                .cloned()
                .collect(),
            busy: task.busy_strip.clone(),
            task: Some(task.clone()),
            ..Default::default()
        })
    }

    /// The newest events, as the first batch of a stream with backlog.
    #[must_use]
    pub fn events(&self) -> pb::EventBatch {
        pb::EventBatch {
            interned: self.shop.interned.clone(),
            events: self.shop.events.clone(),
            delivered: self.shop.events.len() as u64,
            until_ns: self.shop.at_ns,
            ..Default::default()
        }
    }
}

/// A crowd is a table: it is walked without being built.
impl RowSource for Crowd {
    type Row<'a> = Stranger;

    fn visit(&self, mut each: impl FnMut(&Stranger)) {
        (0..self.count).for_each(|index| each(&Stranger::new(index)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{Request, select};
    use crate::row::Value;
    use crate::table::Table;
    use prost::Message;

    fn query(target: pb::Target, filter: &str, sort: &str) -> pb::Query {
        pb::Query {
            slot: 1,
            serial: 1,
            target: target.into(),
            filter: filter.to_owned(),
            sort: sort.to_owned(),
            ..Default::default()
        }
    }

    const TABLES: [pb::Target; 12] = [
        pb::Target::Tasks,
        pb::Target::History,
        pb::Target::Loops,
        pb::Target::Timers,
        pb::Target::Io,
        pb::Target::Jobs,
        pb::Target::Resources,
        pb::Target::Children,
        pb::Target::Signals,
        pb::Target::Findings,
        pb::Target::Blocks,
        pb::Target::Places,
    ];

    #[test]
    fn the_shop_is_always_the_same() {
        let bytes = |shop: Shop| {
            let mut viewer = Viewer::new(shop);
            TABLES.map(|target| viewer.answer(&query(target, "", "")).encode_to_vec())
        };
        assert_eq!(bytes(shop()), bytes(shop()));
    }

    #[test]
    fn every_table_has_rows_and_every_text_is_known() {
        let mut viewer = Viewer::new(shop());
        for target in TABLES {
            let view = viewer.answer(&query(target, "", ""));
            assert!(
                view.total > 0 && view.matched == view.total && view.error.is_none(),
                "{target:?}"
            );
        }
        for task in &viewer.shop().tasks {
            assert!(
                !viewer.texts.name(task.name.as_ref()).is_empty(),
                "{task:?}"
            );
            assert!(
                !viewer.texts.get(task.spawn_place_text).is_empty(),
                "{task:?}"
            );
        }
    }

    #[test]
    fn totals_are_counted_from_the_rows() {
        let shop = crowded_shop(500);
        assert_eq!(shop.overview.tasks, shop.tasks.len() as u64);
        assert_eq!(
            shop.overview.run + shop.overview.ready + shop.overview.wait,
            shop.overview.tasks
        );
        assert_eq!(
            shop.loops.iter().map(|row| row.tasks).sum::<u64>(),
            shop.overview.tasks
        );
        assert_eq!(shop.overview.sources, shop.io.len() as u64);
    }

    #[test]
    fn ids_are_unique_and_every_link_leads_somewhere_or_to_what_is_gone() {
        let shop = crowded_shop(100);
        let mut ids = HashSet::new();
        assert!(
            shop.tasks
                .iter()
                .chain(&shop.history)
                .all(|task| ids.insert(task.id))
        );
        for timer in shop.timers.iter().filter(|timer| !timer.owner_gone) {
            assert!(ids.contains(&timer.owner_id), "{timer:?}");
        }
        for source in shop.io.iter().filter(|source| !source.task_gone) {
            assert!(ids.contains(&source.task_id), "{source:?}");
        }
        for finding in shop
            .findings
            .iter()
            .filter(|finding| finding.subject_kind() == pb::Kind::Task)
        {
            assert!(ids.contains(&finding.subject_id), "{finding:?}");
        }
    }

    #[test]
    fn queries_are_answered_as_an_app_answers_them() {
        let mut viewer = Viewer::new(shop());
        let stranded = viewer.answer(&query(pb::Target::Tasks, "finding=stranded", "id"));
        assert_eq!(
            stranded
                .tasks
                .iter()
                .map(|task| task.id)
                .collect::<Vec<_>>(),
            [2071, 2072, 2073]
        );
        assert!(!stranded.interned.is_empty());
        let second = viewer.answer(&query(pb::Target::Tasks, "name~^ws", "-for"));
        assert!(second.interned.is_empty() && second.matched >= 3);
        let fault = viewer.answer(&query(pb::Target::Tasks, "stat=run", ""));
        assert_eq!(
            fault.error.map(|error| error.suggestion).as_deref(),
            Some("state")
        );
        let detail = viewer
            .task(&pb::TaskRequest {
                id: 1093,
                ..pb::TaskRequest::default()
            })
            .expect("it is there");
        assert!(detail.blocks.len() >= 3 && detail.parents[0].id == 402);
        assert!(
            viewer
                .task(&pb::TaskRequest {
                    id: 9_999_999,
                    ..pb::TaskRequest::default()
                })
                .is_none()
        );
    }

    /// Asserts that every value of every row is of the type that its column says.
    fn typed<M>(viewer: &Viewer, table: Table, rows: &[M])
    where
        for<'r> Of<'r, M>: Row,
    {
        for message in rows {
            let row = Of {
                message,
                texts: &viewer.texts,
                at_ns: AT_NS,
            };
            for column in table.columns() {
                let value = row.value(column.field);
                assert!(
                    column.kind.fits(value),
                    "{table:?} {}: {value:?}",
                    column.name
                );
            }
        }
        for column in table.columns() {
            let known = |message: &M| {
                let row = Of {
                    message,
                    texts: &viewer.texts,
                    at_ns: AT_NS,
                };
                row.value(column.field) != Value::Absent
            };
            // What no row of the shop has.
            let rare = matches!(
                column.name,
                "internal"
                    | "code"
                    | "signal"
                    | "ended"
                    | "outcome"
                    | "error"
                    | "busy"
                    | "size"
                    | "on"
                    | "at"
                    | "wait"
                    | "type"
                    | "woken-by"
            );
            assert!(
                rare || rows.iter().any(known),
                "{table:?} {} is never known",
                column.name
            );
        }
    }

    #[test]
    fn every_column_of_every_table_is_read_as_the_type_it_has() {
        let viewer = Viewer::new(shop());
        let shop = viewer.shop();
        typed(&viewer, Table::Tasks, &shop.tasks);
        typed(&viewer, Table::History, &shop.history);
        typed(&viewer, Table::Loops, &shop.loops);
        typed(&viewer, Table::Timers, &shop.timers);
        typed(&viewer, Table::Io, &shop.io);
        typed(&viewer, Table::Jobs, &shop.jobs);
        typed(&viewer, Table::Resources, &shop.resources);
        typed(&viewer, Table::Children, &shop.children);
        typed(&viewer, Table::Signals, &shop.signals);
        typed(&viewer, Table::Findings, &shop.findings);
        typed(&viewer, Table::Blocks, &shop.blocks);
        typed(&viewer, Table::Places, &shop.places);
        typed(&viewer, Table::Events, &shop.events);
    }

    #[test]
    fn a_late_timer_is_due_in_less_than_nothing() {
        let mut viewer = Viewer::new(shop());
        let late = viewer.answer(&query(pb::Target::Timers, "due<0s", "due"));
        assert_eq!(
            late.timers.iter().map(|timer| timer.id).collect::<Vec<_>>(),
            [77]
        );
    }

    #[test]
    fn the_blocked_shop_is_blocked_now() {
        let shop = blocked_shop();
        let blocked: Vec<_> = shop
            .loops
            .iter()
            .filter_map(|row| row.blocked.as_ref())
            .collect();
        assert!(
            blocked.len() == 1 && blocked[0].ended_at_ns.is_none() && blocked[0] == &shop.blocks[0]
        );
        let detail = Viewer::new(shop)
            .task(&pb::TaskRequest {
                id: 1093,
                ..pb::TaskRequest::default()
            })
            .expect("it is there");
        assert!(detail.blocking.is_some());
    }

    #[test]
    fn a_crowd_is_walked_without_being_built_and_equals_its_messages() {
        let crowd = Crowd { count: 5_000 };
        let read = Request::from_message(&query(pb::Target::Tasks, "state=wait for>10s", "-for"))
            .expect("a query");
        let page = select(&crowd, read.clone());
        let built = crowded_shop(5_000);
        let mut viewer = Viewer::new(built);
        let view = viewer.answer(&query(
            pb::Target::Tasks,
            "state=wait for>10s id>1000000",
            "-for",
        ));
        assert_eq!(
            page.rows.iter().map(|entry| entry.id()).collect::<Vec<_>>(),
            view.tasks.iter().map(|task| task.id).collect::<Vec<_>>()
        );
        assert_eq!(page.matched, view.matched);
    }
}
