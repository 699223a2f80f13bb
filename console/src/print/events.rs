//! The stream of events as lines: one an event for people, one a batch for scripts, and what was lost.

use std::collections::BTreeMap;

use loop_proto::pb;
use loop_proto::table::Table;
use serde_json::{Map, Value, json};

use crate::print::json::{Clock, SCHEMA, line};
use crate::print::safe;
use crate::store::{Event, Hello};
use crate::view::columns::{Look, subject};
use crate::view::fmt;

use pb::EventKind as K;

/// Words for several kinds at once.
const GROUPS: &[(&str, &[K])] = &[
    ("spawn", &[K::TaskSpawned]),
    ("finish", &[K::TaskFinished]),
    ("poll", &[K::TaskPolled]),
    ("wake", &[K::TaskWoken]),
    ("slow", &[K::PollSlow]),
    ("block", &[K::LoopBlocked, K::LoopUnblocked]),
    ("timer", &[K::TimerArmed, K::TimerFired, K::TimerCancelled]),
    (
        "io",
        &[K::SourceRegistered, K::SourceReady, K::SourceDeregistered],
    ),
    ("job", &[K::JobQueued, K::JobStarted, K::JobFinished]),
    ("child", &[K::ChildStarted, K::ChildExited]),
    ("cancel", &[K::CancelRequested]),
    ("signal", &[K::SignalReceived]),
    ("finding", &[K::FindingMade, K::FindingCleared]),
    ("loop", &[K::LoopStarted, K::LoopClosed]),
    ("viewer", &[K::ViewerAttached, K::ViewerDetached]),
    ("command", &[K::CommandDone]),
];

/// The words that `--kind` knows beside the names of the single kinds.
pub fn words() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(word, _)| *word)
}

/// The kinds that a word means: a group's, or the one of that name. Empty: there is no such word.
pub fn kinds(word: &str) -> Vec<i32> {
    if let Some((_, kinds)) = GROUPS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(word))
    {
        return kinds.iter().map(|kind| *kind as i32).collect();
    }
    (1..=K::CommandDone as i32)
        .filter(|kind| kind_word(*kind).is_some_and(|known| known.eq_ignore_ascii_case(word)))
        .collect()
}

fn kind_word(kind: i32) -> Option<&'static str> {
    Table::Events.column("kind")?.word(u8::try_from(kind).ok()?)
}

/// What a stream has lost, a kind; cumulative, so the last word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(BTreeMap<String, u64>);

impl Losses {
    /// Takes in what a batch says. `true`: more was lost since.
    pub fn learn(&mut self, lost: &[pb::Lost]) -> bool {
        let before = self.total();
        for loss in lost {
            let word =
                kind_word(loss.kind).map_or_else(|| format!("kind-{}", loss.kind), str::to_owned);
            self.0.insert(word, loss.count);
        }
        self.total() > before
    }

    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// `lost 0`, or `lost 17 (polled 12, timer-fired 5)`.
    pub fn sentence(&self) -> String {
        let kinds: Vec<String> = self
            .0
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(kind, n)| format!("{kind} {n}"))
            .collect();
        if kinds.is_empty() {
            "lost 0".to_owned()
        } else {
            format!("lost {} ({})", self.total(), kinds.join(", "))
        }
    }

    fn json(&self) -> Value {
        Value::Object(
            self.0
                .iter()
                .map(|(kind, n)| (kind.clone(), json!(n)))
                .collect::<Map<_, _>>(),
        )
    }
}

/// One event for people: `14:02:11.042318 spawned             loop 1  task 41 conn-12  src/ws.rs:41`.
pub fn text(event: &Event, look: &Look, ascii: bool) -> String {
    let ns = (look.wall_zero_ns + i128::from(event.at_ns)).rem_euclid(1_000_000_000);
    let mut out = format!(
        "{}.{:06} {:<19}",
        look.time(event.at_ns),
        ns / 1_000,
        event.kind
    );
    if let Some(id) = event.loop_id {
        out.push_str(&format!(" loop {id}"));
    }
    if let Some(id) = event.task {
        out.push_str(&format!("  task {id}"));
        if !event.name.is_empty() {
            out.push(' ');
            out.push_str(&safe(&event.name, ascii));
        }
    }
    if let Some(about) = event.about() {
        out.push_str(&format!("  {about}"));
    }
    if let Some(ns) = event.duration_ns {
        out.push_str(&format!("  {}", safe(&fmt::span(ns), ascii)));
    }
    if !event.place.is_empty() {
        out.push_str(&format!("  {}", safe(&fmt::place(&event.place), ascii)));
    }
    if !event.detail.is_empty() {
        out.push_str(&format!("  {}", safe(&event.detail, ascii)));
    }
    if let Some(finding) = &event.finding {
        out.push_str(&format!(
            "  {} ({})",
            safe(&finding.name, ascii),
            finding.grade.word()
        ));
        // Its task stands before it already.
        if event.task.is_none() {
            let about = subject(finding);
            out.push_str(&format!("  {}", safe(&about, ascii)));
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// One batch for scripts: `{"schema":1,"events":[…],"lost":{…},"lost_total":0,…}` on one line.
///
/// `raw` are the events as they came, in the order of `events`: they hold numbers for which people get words.
pub fn json_batch(
    events: &[Event],
    raw: &[pb::Event],
    losses: &Losses,
    delivered: u64,
    hello: &Hello,
    end: bool,
) -> String {
    let clock = Clock { hello, at_ns: 0 };
    let of = |word: &'static str, number: i32| {
        Table::Events
            .column(word)
            .and_then(|c| c.word(u8::try_from(number).ok()?))
    };
    let rows: Vec<Value> = events
        .iter()
        .zip(raw)
        .map(|(event, raw)| {
            let none = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
            json!({
                "kind": event.kind, "at": clock.wall(event.at_ns), "at_ns": event.at_ns, "loop": event.loop_id,
                "task": event.task, "name": none(&event.name), "subject": event.subject, "duration_ns": event.duration_ns,
                "place": none(&event.place), "cause": of("woken-by", raw.cause), "by": (raw.by_id != 0).then_some(raw.by_id),
                "outcome": of("outcome", raw.outcome), "value": raw.value, "detail": none(&raw.detail),
                "finding": event.finding.as_ref().map(|f| clock.finding(f)),
            })
        })
        .collect();
    let mut document = json!({
        "schema": SCHEMA, "events": rows, "lost": losses.json(), "lost_total": losses.total(), "delivered": delivered,
    });
    if end {
        document["end"] = json!(true);
        if let Some(about) = super::json::recording(hello) {
            document["recording"] = about;
        }
    }
    line(&document)
}
