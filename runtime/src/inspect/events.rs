//! What happens, as it happens: the loops' rings, emptied while somebody wants them, and handed to
//! each who does. Losses are counted a kind, wherever they happen. Knows no stream.

use std::collections::{HashMap, VecDeque};
use std::sync::Weak;

use loop_proto::filter::Filter;
use loop_proto::message::Of;
use loop_proto::pb;
use loop_proto::pb::EventKind;

use super::desk::Desk;
use super::ids::{IdMap, IdSet};
use super::judge::Held;
use super::live::wake_cause;
use super::tables::{Look, TaskName};
use super::texts::Sent;
use super::waits::{Found, signal_name};
use super::wire::ended::outcome;
use super::wire::sums::event_kind;
use super::wire::{Extras, Wire};
use crate::id::LoopId;
use crate::record::LoopRecord;
use crate::record::event::{Event, Kind};
use crate::record::task::Outcome;

/// Events that wait for one viewer; what comes on top is lost to it, and counted.
const QUEUE: usize = 16_384;
/// Events that wait for all viewers together: with many, each has room for less.
const QUEUES: usize = 4 * QUEUE;
/// Events in one batch.
pub(crate) const BATCH: usize = 1_000;
/// Names that one stream is told; beyond, it forgets and tells again.
const NAMED: usize = 1 << 16;
/// Tables with more slots than this are not searched for the names of tasks in events.
const SEARCHED: u32 = 1 << 17;
/// Events of a loop's ring that a viewer gets who asks for a backlog.
const BACKLOG: usize = 4_096;
/// Events of the inspector itself that are kept for those who ask for a backlog.
const OWN: usize = 256;
/// The same of viewers' commands, which findings must not push out, of viewers who came and went, and
/// of polls while they are kept.
const COMMANDS: usize = 256;
const VIEWERS: usize = 64;
const POLLS: usize = 8_192;

/// One viewer of events.
struct Feed {
    id: u64,
    kinds: u64,
    filter: Filter,
    internal: bool,
    waiting: VecDeque<pb::Event>,
    /// By kind.
    lost: [u64; 64],
    /// Of those, what it did not take in time itself.
    dropped: [u64; 64],
    /// What was lost before, by loop and kind, when this viewer came.
    base: HashMap<(LoopId, usize), u64>,
    filtered: u64,
    delivered: u64,
    sent: Sent,
    named: IdSet,
    began: bool,
}

/// The watchdog tells of blocks, with what it found out about them.
fn is_told_elsewhere(kind: Kind) -> bool {
    kind == Kind::TaskBlocked
}

/// All who want events.
pub(crate) struct Feeds {
    feeds: Vec<Feed>,
    next: u64,
    /// Loops whose rings are on, to turn them off again.
    wanting: Vec<Weak<LoopRecord>>,
    own: VecDeque<pb::Event>,
    commands: VecDeque<pb::Event>,
    viewers: VecDeque<pb::Event>,
    /// Polls are recorded though nobody watches; the newest of them.
    polls: Option<VecDeque<pb::Event>>,
    /// What streams lost that are over, by kind.
    lost: [u64; 64],
    until: u64,
    /// Until then the thread is for others: emptying the rings takes at most half of it.
    rests_until: u64,
}

impl Default for Feeds {
    fn default() -> Self {
        Self {
            feeds: Vec::new(),
            next: 0,
            wanting: Vec::new(),
            own: VecDeque::new(),
            commands: VecDeque::new(),
            viewers: VecDeque::new(),
            polls: None,
            lost: [0; 64],
            until: 0,
            rests_until: 0,
        }
    }
}

fn bit(kind: EventKind) -> u64 {
    1 << kind as u32
}

/// What is sent to who names no kinds.
fn usual() -> u64 {
    !(bit(EventKind::TaskPolled) | bit(EventKind::TaskWoken))
}

impl Feeds {
    /// Somebody wants events. Errors: what is wrong with the filter.
    pub(crate) fn open(
        &mut self,
        request: &pb::EventsRequest,
    ) -> Result<u64, pb::EventFilterError> {
        let filter =
            Filter::parse(loop_proto::table::Table::Events, &request.filter).map_err(|error| {
                pb::EventFilterError {
                    offset: error.offset as u32,
                    length: error.length as u32,
                    message: error.to_string(),
                }
            })?;
        let named = request
            .kinds
            .iter()
            .filter(|kind| (1..64).contains(*kind))
            .fold(0, |bits, kind| bits | 1 << *kind);
        self.next += 1;
        let mut feed = Feed {
            id: self.next,
            kinds: if named == 0 { usual() } else { named },
            filter,
            internal: request.internal,
            waiting: VecDeque::new(),
            lost: [0; 64],
            dropped: [0; 64],
            base: HashMap::new(),
            filtered: 0,
            delivered: 0,
            sent: Sent::default(),
            named: IdSet::default(),
            began: false,
        };
        if request.backlog {
            let kinds = feed.kinds;
            let wanted = |event: &&pb::Event| kinds >> event.kind & 1 != 0;
            let kept = self.own.iter().chain(&self.commands).chain(&self.viewers);
            let kept = kept.chain(self.polls.iter().flatten()).filter(wanted);
            let mut kept: Vec<pb::Event> = kept.cloned().collect();
            kept.sort_by_key(|event| event.at_ns);
            feed.waiting.extend(kept);
        }
        self.feeds.push(feed);
        self.switch();
        let id = self.next;
        self.note_base(id);
        Ok(id)
    }

    /// Gives a viewer that asked for it what the rings still hold, before anything else.
    pub(crate) fn catch_up(&mut self, id: u64, desk: &mut Desk) {
        let room = QUEUE.min(QUEUES / self.feeds.len().max(1));
        // Polls that are kept are told from there.
        let keeps_polls = self.keeps_polls();
        let elsewhere = |kind| is_told_elsewhere(kind) || keeps_polls && kind == Kind::TaskPolled;
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id == id) else {
            return;
        };
        let look = Look::new(feed.internal);
        let found = Found::default();
        for at in &look.loops {
            let Some(ring) = at.record.ring() else {
                continue;
            };
            let mut wire = desk.wire(&look, &found, None, Extras::default());
            for event in ring.backlog(BACKLOG) {
                if feed.kinds & bit(event_kind(event.kind)) == 0 || elsewhere(event.kind) {
                    continue;
                }
                let event = event_of(&mut wire, at, &event);
                let row = Of {
                    message: &event,
                    texts: wire.texts.read(),
                    at_ns: event.at_ns,
                };
                if feed.filter.matches(&row) {
                    feed.waiting.push_back(event);
                } else {
                    feed.filtered += 1;
                }
            }
        }
        feed.waiting
            .make_contiguous()
            .sort_by_key(|event| event.at_ns);
        let over = feed.waiting.len().saturating_sub(room);
        feed.waiting.drain(..over);
    }

    pub(crate) fn close(&mut self, id: u64) {
        for feed in self.feeds.iter().filter(|feed| feed.id == id) {
            for (sum, one) in self.lost.iter_mut().zip(feed.dropped) {
                *sum += one;
            }
        }
        self.feeds.retain(|feed| feed.id != id);
        self.switch();
    }

    /// Streams of events that are open.
    pub(crate) fn streams(&self) -> u32 {
        self.feeds.len() as u32
    }

    /// Whether polls are kept for who comes later.
    pub(crate) fn keeps_polls(&self) -> bool {
        self.polls.is_some()
    }

    /// Keeps polls for who comes later, or no longer.
    pub(crate) fn keep_polls(&mut self, on: bool) {
        match (on, &self.polls) {
            (true, None) => self.polls = Some(VecDeque::new()),
            (false, Some(_)) => self.polls = None,
            _ => return,
        }
        self.switch();
    }

    /// Events that viewers did not take in time, since the start, a kind.
    fn dropped(&self) -> Vec<pb::Lost> {
        let of = |kind: usize| {
            let open = self.feeds.iter().map(|feed| feed.dropped[kind]);
            self.lost[kind] + open.sum::<u64>()
        };
        (0..64)
            .map(|kind| pb::Lost {
                kind: kind as i32,
                count: of(kind),
            })
            .filter(|lost| lost.count > 0)
            .collect()
    }

    /// Has every loop record what somebody wants, and nothing else.
    fn switch(&mut self) {
        let kept = match self.polls {
            Some(_) => bit(EventKind::TaskPolled),
            None => 0,
        };
        let wanted = self.feeds.iter().fold(kept, |bits, feed| bits | feed.kinds);
        let kinds = Kind::all()
            .into_iter()
            .filter(|kind| !is_told_elsewhere(*kind) && wanted & bit(event_kind(*kind)) != 0)
            .fold(0, |bits, kind| bits | kind.bit());
        let internal = self.feeds.iter().any(|feed| feed.internal);
        let before: Vec<_> = self.wanting.drain(..).collect();
        if kinds != 0 {
            for record in crate::record::loops() {
                if internal || !record.facts.internal {
                    record.want(kinds);
                    let is = |known: &Weak<LoopRecord>| {
                        known.as_ptr() == std::sync::Arc::as_ptr(&record)
                    };
                    // What passed while nobody looked was lost to nobody.
                    if let Some(ring) = record.ring().filter(|_| !before.iter().any(is)) {
                        ring.attend();
                    }
                    self.wanting.push(std::sync::Arc::downgrade(&record));
                }
            }
        }
        let wants = |record: &Weak<LoopRecord>| self.wanting.iter().any(|on| on.ptr_eq(record));
        for record in before.iter().filter(|record| !wants(record)) {
            if let Some(record) = record.upgrade() {
                record.want(0);
            }
        }
    }

    fn note_base(&mut self, id: u64) {
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id == id) else {
            return;
        };
        for record in self.wanting.iter().filter_map(Weak::upgrade) {
            if let Some(ring) = record.ring() {
                for (kind, lost) in ring.lost().into_iter().enumerate() {
                    feed.base.insert((record.id, kind), lost);
                }
            }
        }
    }

    /// Whether the loops' rings were last emptied longer ago than `each`.
    pub(crate) fn is_due(&self, now: u64, each: std::time::Duration) -> bool {
        now >= self.rests_until && now.saturating_sub(self.until) >= each.as_nanos() as u64
    }

    /// Takes what the loops have recorded. Tells whether there is anything to send.
    pub(crate) fn drain(&mut self, desk: &mut Desk) -> bool {
        if self.feeds.is_empty() && self.polls.is_none() {
            return false;
        }
        let look = Look::new(true);
        let known = |record: &LoopRecord| {
            self.wanting
                .iter()
                .any(|known| std::ptr::eq(known.as_ptr(), record))
        };
        // A loop was made since: it is to record too.
        if look
            .loops
            .iter()
            .any(|at| !at.record.facts.internal && !known(&at.record))
        {
            self.switch();
        }
        let mut taken: Vec<(LoopId, bool, pb::Event)> = Vec::new();
        let found = Found::default();
        for at in &look.loops {
            let Some(ring) = at.record.ring() else {
                continue;
            };
            let mut wire = desk.wire(&look, &found, None, Extras::default());
            let internal = at.record.facts.internal;
            ring.drain(|event| {
                if !is_told_elsewhere(event.kind) {
                    let event = event_of(&mut wire, at, &event);
                    taken.push((at.record.id, internal, event));
                }
            });
        }
        self.until = look.now.mono;
        desk.meters.events += taken.len() as u64;
        taken.sort_by_key(|(_, _, event)| event.at_ns);
        for (_, internal, event) in taken {
            self.hand_out(&event, internal, desk);
            if let Some(polls) = &mut self.polls
                && event.kind == EventKind::TaskPolled as i32
                && !internal
            {
                if polls.len() == POLLS {
                    polls.pop_front();
                }
                polls.push_back(event);
            }
        }
        self.count_losses(&look);
        desk.dropped = self.dropped();
        let ended = crate::clock::mono();
        self.rests_until = ended + ended.saturating_sub(self.until);
        self.feeds
            .iter()
            .any(|feed| !feed.waiting.is_empty() || !feed.began)
    }

    fn hand_out(&mut self, event: &pb::Event, internal: bool, desk: &Desk) {
        let room = QUEUE.min(QUEUES / self.feeds.len().max(1));
        for feed in &mut self.feeds {
            if feed.kinds >> event.kind & 1 == 0 || internal && !feed.internal {
                continue;
            }
            let row = Of {
                message: event,
                texts: desk.texts.read(),
                at_ns: event.at_ns,
            };
            if !feed.filter.matches(&row) {
                feed.filtered += 1;
            } else if feed.waiting.len() < room {
                feed.waiting.push_back(event.clone());
            } else {
                feed.lost[event.kind as usize & 63] += 1;
                feed.dropped[event.kind as usize & 63] += 1;
            }
        }
    }

    /// What the rings themselves lost since each viewer came.
    fn count_losses(&mut self, look: &Look) {
        for at in &look.loops {
            let Some(ring) = at.record.ring() else {
                continue;
            };
            for (number, (kind, lost)) in Kind::all().into_iter().zip(ring.lost()).enumerate() {
                if is_told_elsewhere(kind) {
                    continue;
                }
                for feed in &mut self.feeds {
                    if at.record.facts.internal && !feed.internal {
                        continue;
                    }
                    let base = feed.base.entry((at.record.id, number)).or_insert(0);
                    let new = lost - *base;
                    *base = lost;
                    let kind = event_kind(kind);
                    if new > 0 && feed.kinds & bit(kind) != 0 {
                        feed.lost[kind as usize & 63] += new;
                    }
                }
            }
        }
    }

    /// Adds an event of the inspector's own.
    pub(crate) fn tell(&mut self, event: pb::Event, desk: &Desk) {
        let (kept, room) = match event.kind() {
            EventKind::CommandDone => (&mut self.commands, COMMANDS),
            EventKind::ViewerAttached | EventKind::ViewerDetached => (&mut self.viewers, VIEWERS),
            _ => (&mut self.own, OWN),
        };
        if kept.len() == room {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        self.hand_out(&event, false, desk);
    }

    /// The inspector's own events that are still kept, by time: those that no ring has.
    pub(crate) fn own(&self) -> Vec<pb::Event> {
        let kept = self.own.iter().chain(&self.commands).chain(&self.viewers);
        let mut kept: Vec<pb::Event> = kept.cloned().collect();
        kept.sort_by_key(|event| event.at_ns);
        kept
    }

    /// Tells which findings were made and which no longer hold.
    pub(crate) fn tell_findings(&mut self, news: &[Held], desk: &mut Desk) {
        let look = Look::new(true);
        let found = Found::default();
        for held in news {
            let finding = desk
                .wire(&look, &found, None, Extras::default())
                .finding(held);
            let kind = if held.cleared {
                EventKind::FindingCleared
            } else {
                EventKind::FindingMade
            };
            let task = held.subject == pb::Kind::Task;
            let event = pb::Event {
                kind: kind as i32,
                at_ns: look.now.mono,
                loop_id: finding.loop_id,
                task_id: if task { held.subject_id } else { 0 },
                subject_id: if task { 0 } else { held.subject_id },
                finding: Some(finding),
                ..pb::Event::default()
            };
            self.tell(event, desk);
        }
    }

    /// The next batch for one viewer; `None`: there is nothing new to say. `beat`: say even that.
    pub(crate) fn batch(&mut self, id: u64, beat: bool, desk: &mut Desk) -> Option<pb::EventBatch> {
        let until = self.until;
        let feed = self.feeds.iter_mut().find(|feed| feed.id == id)?;
        if feed.waiting.is_empty() && feed.began && !beat {
            return None;
        }
        feed.began = true;
        let count = feed.waiting.len().min(BATCH);
        let mut events: Vec<pb::Event> = feed.waiting.drain(..count).collect();
        desk.texts.note();
        name(feed, &mut events, desk);
        touch(&events, &mut desk.texts);
        feed.delivered += count as u64;
        Some(pb::EventBatch {
            interned: desk.texts.noted(&mut feed.sent),
            until_ns: events.last().map_or(until, |event| {
                if feed.waiting.is_empty() {
                    until
                } else {
                    event.at_ns
                }
            }),
            events,
            lost: (0..)
                .zip(feed.lost)
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| pb::Lost { kind, count })
                .collect(),
            delivered: feed.delivered,
            filtered: feed.filtered,
            error: None,
        })
    }
}

/// Notes the texts that events use.
pub(super) fn touch(events: &[pb::Event], texts: &mut super::texts::Texts) {
    for event in events {
        texts.touch(event.place_text);
        if let Some(finding) = &event.finding {
            texts.touch(finding.place_text);
            let stem = finding
                .subject_name
                .as_ref()
                .map_or(0, |name| name.stem_text);
            texts.touch(stem);
        }
    }
}

/// Names the tasks that the stream has not heard of.
fn name(feed: &mut Feed, events: &mut [pb::Event], desk: &mut Desk) {
    if feed.named.len() > NAMED {
        feed.named.clear();
    }
    let mut new: IdSet = events
        .iter()
        .filter(|event| event.task_id != 0 && event.name.is_none())
        .map(|event| event.task_id)
        .filter(|task| !feed.named.contains(task))
        .collect();
    if new.is_empty() {
        return;
    }
    let look = Look::new(true);
    let names = names_of(&look, &mut new);
    let found = Found::default();
    let mut wire = desk.wire(&look, &found, None, Extras::default());
    for event in events {
        if let Some(name) = names.get(&event.task_id)
            && feed.named.insert(event.task_id)
        {
            event.name = wire.name(*name);
        }
    }
}

/// The names of tasks that live or whose end is remembered.
fn names_of(look: &Look, wanted: &mut IdSet) -> IdMap<TaskName> {
    let mut names = IdMap::default();
    for at in &look.loops {
        if at.record.tasks.slots() <= SEARCHED {
            for (_, row) in at.record.tasks.live() {
                if wanted.contains(&row.task_id())
                    && let Some(facts) = row.read()
                {
                    names.insert(facts.id, look.name_of(at, &facts));
                    wanted.remove(&facts.id);
                }
            }
        }
        let mut back = 0;
        while !wanted.is_empty()
            && let Some(ended) = at.record.ended.get(back)
        {
            back += 1;
            if wanted.remove(&ended.id) {
                let name = look.task_name(at, ended.name, ended.number, ended.kind, ended.site);
                names.insert(ended.id, name);
            }
        }
    }
    names
}

/// One event of a loop as a message.
fn event_of(wire: &mut Wire<'_>, at: &super::tables::LoopLook, event: &Event) -> pb::Event {
    let now = wire.look.now;
    let mut out = pb::Event {
        kind: event_kind(event.kind) as i32,
        at_ns: now.mono_of(event.at),
        loop_id: Some(at.record.id.get().into()),
        ..pb::Event::default()
    };
    match event.kind {
        Kind::TaskSpawned => {
            out.task_id = event.id;
            out.by_id = event.of;
            let site = at.site(event.value as u32);
            out.place_text = wire.texts.place(site.place);
        }
        Kind::TaskFinished => {
            out.task_id = event.id;
            let ended = Outcome::from_raw(event.of as u8);
            out.outcome = ended.map_or(0, |ended| outcome(ended) as i32);
        }
        Kind::TaskPolled => {
            out.task_id = event.id;
            out.duration_ns = Some(now.ns(event.value));
            if let Some(cause) = event.cause() {
                let (cause, id) = wake_cause(cause, event.id);
                (out.cause, out.by_id) = (cause as i32, id);
            }
        }
        Kind::TaskBlocked | Kind::PollSlow => {
            out.task_id = event.id;
            out.duration_ns = Some(now.ns(event.value));
        }
        Kind::TimerArmed => {
            (out.subject_id, out.task_id) = (event.id, event.of);
            out.duration_ns = Some(event.value.saturating_sub(out.at_ns));
        }
        Kind::TimerFired => {
            (out.subject_id, out.task_id) = (event.id, event.of);
            out.duration_ns = Some(event.value);
        }
        Kind::TimerCancelled | Kind::SourceReleased => {
            (out.subject_id, out.task_id) = (event.id, event.of);
        }
        Kind::SourceRegistered | Kind::SourceReady => {
            (out.subject_id, out.task_id) = (event.id, event.of);
        }
        Kind::ChildStarted => {
            (out.subject_id, out.task_id) = (event.id, event.of);
            out.detail = format!("pid {}", event.value);
        }
        Kind::ChildExited => {
            (out.subject_id, out.task_id) = (event.id, event.of);
            out.value = Some(event.value.cast_signed());
        }
        Kind::SignalReceived => {
            out.value = Some(event.id.cast_signed());
            out.detail = signal_name(event.id).to_owned();
        }
    }
    out
}
