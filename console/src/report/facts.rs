//! What a report is made of, and what it cannot say: asked of a live app in one go. Knows no text and no screen.

use std::time::Duration;

use loop_proto::pb;

use crate::recorded::About;
use crate::store::decode::{self, Decoder};
use crate::store::{
    Body, Cost, Event, Finding, Hello, Hour, Kept, LoopRow, Overview, Query, Seek, Slot, Table,
    View,
};
use crate::transport::pages::Unanswered;
use crate::transport::session::Session;
use crate::view::fmt;

/// Events that a report has room for.
const EVENTS: usize = 40;

/// The questions, by slot.
const ASKED: [(u32, Table, u32); 5] = [
    (1, Table::Overview, 0),
    (2, Table::Cost, 0),
    (3, Table::Loops, 1_000),
    (4, Table::Findings, 1_000),
    (5, Table::Hour, 0),
];

/// Everything that a report tells.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub hello: Hello,
    pub executable: String,
    pub build_id: String,
    /// CPUs that the process may use; 0: not known.
    pub cpus: u32,
    /// The app's clock at the latest answer.
    pub at_ns: u64,
    pub overview: Option<Overview>,
    pub cost: Option<Cost>,
    pub loops: Vec<LoopRow>,
    pub loops_total: u64,
    pub findings: Vec<Finding>,
    pub findings_total: u64,
    pub hour: Option<Hour>,
    /// What happened last, oldest first; only of a recording.
    pub events: Vec<Event>,
    /// What is the matter with what was read.
    pub doubts: Vec<String>,
}

impl Facts {
    /// Who it is.
    pub fn of(hello: pb::HelloReply) -> Self {
        Facts {
            executable: hello.executable.clone(),
            build_id: hello.build_id.clone(),
            cpus: hello.cpus,
            at_ns: hello.anchor_monotonic_ns,
            hello: decode::hello(hello),
            ..Facts::default()
        }
    }

    /// Asks an app, or a recording of one.
    ///
    /// Errors: the stream broke. An app that does not know a question is no error: its answer is missing.
    pub async fn ask(session: &Session) -> Result<Self, Unanswered> {
        let mut facts = Facts::of(session.hello.clone());
        facts.hello = session.who();
        if let Some(about) = facts.hello.recording.clone() {
            facts.recorded(session, &about).await?;
        }
        let queries: Vec<pb::Query> = ASKED
            .iter()
            .filter_map(|(slot, table, limit)| question(*slot, *table, *limit))
            .collect();
        let mut waiting = queries.len();
        let (asks, mut views) = session.watch_with(queries).await?;
        let mut decoder = Decoder::new();
        while waiting > 0 {
            let Some(view) = views.message().await? else {
                return Err(Unanswered::Broken("the app closed the stream".to_owned()));
            };
            let table = ASKED.iter().find(|(slot, ..)| *slot == view.slot);
            let Some((_, table, _)) = table else { continue };
            if let Some(view) = decoder.view(view, *table) {
                facts.take(view);
                waiting -= 1;
            }
        }
        drop(asks);
        Ok(facts)
    }

    /// What only a recording has: what happened last, and what is the matter with it.
    async fn recorded(&mut self, session: &Session, about: &About) -> Result<(), Unanswered> {
        self.doubts
            .extend(about.doubts.iter().map(|why| capital(why)));
        if about.overwritten > 0 {
            self.doubts.push(format!(
                "{}: newer ones took their place in the recording.",
                about.losses()
            ));
        }
        let request = pb::EventsRequest {
            backlog: true,
            ..pb::EventsRequest::default()
        };
        let mut batches = session.events(request, Some(EVENTS)).await?;
        let mut decoder = Decoder::new();
        // Few enough for one batch, and the stream of a process that runs has no end.
        if let Some(batch) = batches.message().await? {
            self.events = decoder.events(batch);
        }
        Ok(())
    }

    /// Where it was read from, when not from a live app; with why it was written.
    pub fn recording(&self) -> Option<String> {
        let about = self.hello.recording.as_ref()?;
        Some(match about.reason.as_str() {
            "" => about.file.clone(),
            reason => format!("{}, written for {reason}", about.file),
        })
    }

    /// Takes an answer in.
    pub fn take(&mut self, view: View) {
        self.at_ns = self.at_ns.max(view.at_ns);
        match view.body {
            Body::Overview(overview) => self.overview = Some(*overview),
            Body::Cost(cost) => self.cost = Some(*cost),
            Body::Loops(rows) => (self.loops, self.loops_total) = (rows.rows, rows.total),
            Body::Findings(rows) => (self.findings, self.findings_total) = (rows.rows, rows.total),
            Body::Hour(hour) if hour.from_ns > 0 => self.hour = Some(*hour),
            Body::Refused(refusal) => self.doubts.push(capital(&refusal.why)),
            _ => {}
        }
    }

    /// How long the app had been up.
    pub fn up(&self) -> Duration {
        let hello = &self.hello;
        let wall = hello.now_unix_ns.saturating_add(self.at_ns);
        let wall = wall.saturating_sub(hello.now_ns);
        Duration::from_nanos(wall.saturating_sub(hello.started_unix_ns))
    }

    /// What is not known, and why, a sentence each.
    pub fn unknown(&self) -> Vec<String> {
        let mut out = self.doubts.clone();
        let hello = &self.hello;
        if hello.version.is_empty() {
            out.push("The app's version: it gave none.".to_owned());
        }
        if hello.debug_build {
            out.push(
                "How fast a release would be: this is a build with debug assertions.".to_owned(),
            );
        }
        match self.hour.as_ref().and_then(|hour| hour.host.as_ref()) {
            Some(host) if !host.cgroup_unknown.is_empty() => {
                out.push(format!("What the cgroup may use: {}.", host.cgroup_unknown))
            }
            Some(_) => {}
            None => out.push("The kernel and the cgroup: the app did not tell.".to_owned()),
        }
        match &self.hour {
            // That was said already.
            None if hello.recording.is_some() => {}
            None => out.push(
                "What was before: this app's runtime does not keep the last hour.".to_owned(),
            ),
            Some(hour) => of_hour(hour, &mut out),
        }
        for row in self.loops.iter().filter(|row| !row.stacks_off.is_empty()) {
            out.push(format!(
                "Stacks of loop {}: {}.",
                row.id,
                row.stacks_off.trim_end_matches('.')
            ));
        }
        for thing in hello.recorded.iter().filter(|thing| !thing.on) {
            let why = match thing.detail.as_str() {
                "" => String::new(),
                why => format!(": {}", why.trim_end_matches('.')),
            };
            out.push(format!("Not recorded now: {}{why}.", thing.what));
        }
        if let Some(cost) = &self.cost {
            of_cost(cost, &mut out);
        }
        let more = |kind: &str, total: u64, have: usize| {
            let more = total.saturating_sub(have as u64);
            (more > 0).then(|| format!("{} more {kind}s than are listed here.", fmt::count(more)))
        };
        out.extend(more("loop", self.loops_total, self.loops.len()));
        out.extend(more("finding", self.findings_total, self.findings.len()));
        out
    }
}

fn of_hour(hour: &Hour, out: &mut Vec<String>) {
    if hour.look_every_ns > 0 {
        out.push(format!(
            "Findings that came and went within {}: so often they are looked for when nobody asks.",
            fmt::span(hour.look_every_ns)
        ));
    }
    if hour.dropped > 0 {
        out.push(format!(
            "{} of the past: they had to give way to worse or later ones.",
            fmt::many(hour.dropped, "finding")
        ));
    }
    if hour.blocks_dropped > 0 {
        out.push(format!(
            "{} of the last hour beside the worst and the latest.",
            fmt::many(hour.blocks_dropped, "block")
        ));
    }
    let mut reasons: Vec<(&str, u64)> = Vec::new();
    for block in hour.blocks.iter().filter(|block| block.stack.is_empty()) {
        let why = match block.no_stack.as_str() {
            "" => "no reason was given",
            why => why,
        };
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, count)) => *count += 1,
            None => reasons.push((why, 1)),
        }
    }
    for (why, count) in reasons {
        out.push(format!(
            "Stacks of {}: {}.",
            fmt::many(count, "block"),
            why.trim_end_matches('.')
        ));
    }
    let unclear = hour.blocks.iter().filter(|block| block.cause.is_empty());
    let unclear = unclear.count() as u64;
    if unclear > 0 {
        out.push(format!(
            "Why {} lasted: the reason beside each says what was missing.",
            fmt::many(unclear, "block")
        ));
    }
    if hour.blocks.iter().any(|block| block.wall_only) {
        out.push(
            "How much of some blocks the thread got no CPU: the host does not tell.".to_owned(),
        );
    }
}

fn of_cost(cost: &Cost, out: &mut Vec<String>) {
    if cost.lost() > 0 {
        let kinds: Vec<String> = cost
            .losses
            .iter()
            .map(|loss| format!("{} {}", fmt::count(loss.count), loss.kind))
            .collect();
        out.push(format!("Events that did not fit: {}.", kinds.join(", ")));
    }
    if cost.interned_overflow > 0 {
        out.push(format!(
            "{}: the table of names is full, they are shown as (other).",
            fmt::many(cost.interned_overflow, "name")
        ));
    }
    if cost.finished_overwritten > 0 {
        out.push(format!(
            "{} that ended: only the last of each loop are kept by row; sums are exact.",
            fmt::many(cost.finished_overwritten, "task")
        ));
    }
    if let Some(why) = cost.kept.as_ref().and_then(Kept::trouble) {
        out.push(capital(&format!("what would be left after a kill: {why}")));
    }
    if let Some(dumps) = cost
        .dumps
        .as_ref()
        .filter(|dumps| !dumps.trouble.is_empty())
    {
        out.push(format!(
            "A dump of the flight recorder: {}.",
            dumps.trouble.trim_end_matches('.')
        ));
    }
}

fn question(slot: u32, table: Table, limit: u32) -> Option<pb::Query> {
    let query = Query {
        slot: Slot(slot),
        table,
        filter: String::new(),
        sort: None,
        seek: Seek::Rank(0),
        limit,
        columns: Vec::new(),
        subject: None,
        every: Duration::ZERO,
    };
    decode::query(&query, u64::from(slot))
}

/// As a sentence of its own.
fn capital(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), chars.as_str())
    })
}

/// Why nothing was answered, in words.
pub fn broken(why: &Unanswered) -> String {
    match why {
        Unanswered::Broken(why) => why.clone(),
        Unanswered::Refused(refusal) => refusal.why.clone(),
    }
}
