//! What is judged besides tasks that live: timers, sources, places whose tasks survive, and tasks
//! that ended. Knows no walk.

use std::collections::HashSet;
use std::panic::Location;
use std::sync::atomic::Ordering;

use loop_proto::finding::{self as rules, Limits, Verdict, span};
use loop_proto::pb::FindingName;

use super::errors::Errors;
use super::growth::Growth;
use super::usual::Usual;
use super::{About, Key, Note, Subject};
use crate::inspect::ids::IdSet;
use crate::inspect::names;
use crate::inspect::tables::{Look, state_of};
use crate::inspect::waits::{Found, Wanted, address};
use crate::record::names::NameId;
use crate::record::slab::Finder;
use crate::record::source::Kind as SourceKind;
use crate::record::task::{Kind, Outcome, State, TaskRow, flag};
use crate::record::timer::{Kind as TimerKind, TimerRow};

/// Timers whose tasks one walk looks at, about: a look is a walk through memory.
const TIMERS: u64 = 1 << 16;
/// A source that so many tasks took over from another is one that is handed around.
const HANDED_ON: u32 = 2;
/// Places of late timers that are told apart.
const PLACES: usize = 100;

/// The sources at which it is normal to wait for days.
pub(super) fn doors(look: &Look) -> IdSet {
    use SourceKind::{TcpListener, Udp, UnixDatagram, UnixListener};
    let mut doors = IdSet::default();
    for at in &look.loops {
        for (_, row) in at.record.sources.live() {
            let kind = SourceKind::from_raw(row.kind.load(Ordering::Relaxed));
            if matches!(kind, TcpListener | Udp | UnixDatagram | UnixListener) {
                doors.insert(row.source_id());
            }
        }
    }
    doors
}

/// What the task of a timer has done since it asked for it: it is gone, or its polls.
fn asker_of(row: &TimerRow, tasks: &Finder<'_, TaskRow>) -> Option<(bool, u64)> {
    let (address, asked) = row.asker();
    let task = tasks.at(address)?;
    let owner = row.owner.load(Ordering::Relaxed);
    let gone = task.task_id() != owner || state_of(task) == State::Done;
    let polls = task.polls.load(Ordering::Relaxed) as u32;
    // In the poll that asks, it is one behind.
    let unasked = polls.saturating_sub(asked).into();
    (owner != 0).then_some((gone, if gone { 0 } else { unasked }))
}

/// Places whose tasks survive in ever more generations.
pub(super) fn judge_growth(note: &mut Note<'_>, growth: &Growth, usual: &Usual) {
    let (at, now) = (note.at, note.look.now.mono);
    for grown in growth.of_loop(at.record.id.get(), usual, now) {
        let Some(verdict) = rules::growing(&grown.facts) else {
            continue;
        };
        let site = at.site(grown.site);
        let name = note
            .look
            .task_name(at, NameId::NONE, 0, Kind::Task as u8, grown.site);
        let about = About {
            subject: Subject::Task,
            id: grown.oldest,
            name: Some(name),
            place: site.place,
            function: names::of_type(site.type_name).to_owned(),
            user: !at.record.facts.internal,
            awaits: None,
        };
        let key = about.key(verdict.name);
        note.add(verdict, &about);
        // All that live there, not only the oldest, of which `add` counts one.
        if let Some(held) = note.found.get_mut(&key) {
            held.count += grown.facts.live.saturating_sub(1);
        }
    }
}

pub(super) fn judge_timers(
    note: &mut Note<'_>,
    limits: &Limits,
    walks: u64,
    (before, orphans): (&IdSet, &mut IdSet),
) {
    let (look, at) = (note.look, note.at);
    let tasks = at.record.tasks.finder();
    // Of very many some are looked at in each walk, and those that were found out in all.
    let parts = u64::from(at.record.timers.slots()) / TIMERS + 1;
    let mut late_ones = [Late::default(), Late::default()];
    for (slot, row) in at.record.timers.live() {
        let due = row.deadline.load(Ordering::Relaxed);
        let late = row.late.load(Ordering::Relaxed);
        let turn = u64::from(slot) % parts == walks % parts;
        let suspected = !before.is_empty() && before.contains(&row.timer_id());
        let asker = (turn || suspected).then(|| asker_of(row, &tasks)).flatten();
        let asked = asker.is_none_or(|(gone, unasked)| !gone && unasked < limits.unasked_polls);
        if asked && due.saturating_add(limits.late_ns) > look.now.mono && late < limits.late_ns {
            continue;
        }
        let Some(facts) = row.read().filter(|facts| facts.armed) else {
            continue;
        };
        let internal = facts.kind == TimerKind::Internal;
        if internal && !look.internal {
            continue;
        }
        // A sleep that a task gave away with its result is dropped soon, or asked for by another.
        if !asked {
            orphans.insert(facts.id);
        }
        let gone = asker.is_some_and(|(gone, _)| gone) && suspected;
        let of_rules = rules::TimerFacts {
            at_ns: look.now.mono,
            armed_at_ns: facts.armed_at,
            due_ns: facts.deadline,
            has_waker: true,
            task_gone: gone,
            unasked_polls: asker.map_or(0, |(_, unasked)| unasked),
            last_late_ns: (facts.fired > 0).then_some(facts.late),
        };
        if let Some(verdict) = rules::late_timer(&of_rules, limits) {
            late_ones[usize::from(internal)].take(verdict, facts.id, facts.place);
        }
        if let Some(verdict) = rules::orphan_timer(&of_rules, limits) {
            note.add(verdict, &about_timer(facts.id, facts.place, !internal));
        }
    }
    for (late, user) in late_ones.into_iter().zip([true, false]) {
        late.note(note, user);
    }
}

fn about_timer(id: u64, place: Option<&'static Location<'static>>, user: bool) -> About {
    About {
        subject: Subject::Timer,
        id,
        name: None,
        place,
        function: String::new(),
        user,
        awaits: None,
    }
}

/// What is said of a timer, its id and its place.
type Worst = (Verdict, u64, Option<&'static Location<'static>>);

/// The late timers of one loop. What makes one of them late makes all of them late: one finding.
#[derive(Default)]
struct Late {
    count: u64,
    places: HashSet<usize>,
    since_ns: u64,
    worst: Option<Worst>,
}

impl Late {
    fn take(&mut self, verdict: Verdict, id: u64, place: Option<&'static Location<'static>>) {
        self.since_ns = match self.count {
            0 => verdict.since_ns,
            _ => self.since_ns.min(verdict.since_ns),
        };
        self.count += 1;
        if self.places.len() < PLACES {
            let at = place.map_or(0, |place| std::ptr::from_ref(place) as usize);
            self.places.insert(at);
        }
        let is_worse = |worst: &Worst| verdict.measured_ns > worst.0.measured_ns;
        if self.worst.as_ref().is_none_or(is_worse) {
            self.worst = Some((verdict, id, place));
        }
    }

    fn note(self, note: &mut Note<'_>, user: bool) {
        let Some((mut verdict, id, place)) = self.worst else {
            return;
        };
        verdict.since_ns = self.since_ns;
        if self.count > 1 {
            let worst = span(verdict.measured_ns.unwrap_or(0));
            let places = match self.places.len() {
                1 => String::new(),
                PLACES => format!(" at {PLACES} places or more"),
                places => format!(" at {places} places"),
            };
            let all = format!("{} timers late{places}, worst {worst}", self.count);
            verdict.evidence.insert(0, all);
        }
        let on = note.at.record.id;
        let about = About {
            function: note.at.record.name(),
            ..about_timer(id, place, user)
        };
        let key = Key::Place(verdict.name, on.get().into(), user);
        note.add_as(key, verdict, &about);
        if let Some(held) = note.found.get_mut(&key) {
            held.count = self.count;
        }
    }
}

pub(super) fn judge_sources(note: &mut Note<'_>, limits: &Limits) {
    let (look, at) = (note.look, note.at);
    let mut idle = Vec::new();
    let mut wanted = Wanted::default();
    for (_, row) in at.record.sources.live() {
        let last = row
            .last_ready
            .load(Ordering::Relaxed)
            .max(row.since.load(Ordering::Relaxed));
        if look.now.mono.saturating_sub(last) < limits.idle_ns {
            continue;
        }
        let Some(facts) = row
            .read()
            .filter(|facts| facts.kind != SourceKind::Internal)
        else {
            continue;
        };
        wanted.tasks.extend(
            [facts.reader, facts.writer, facts.user, facts.owner]
                .iter()
                .filter(|task| **task != 0),
        );
        idle.push(facts);
    }
    if idle.is_empty() {
        return;
    }
    let found = Found::of(look, &wanted);
    let stranded = FindingName::Stranded.bit();
    for facts in idle {
        let waits = [facts.reader, facts.writer];
        let user = waits
            .into_iter()
            .chain([facts.user, facts.owner])
            .find(|task| *task != 0);
        // What went from task to task belongs to none of them: a pool keeps it.
        let pooled = facts.handed_on >= HANDED_ON;
        let of_rules = rules::SourceFacts {
            at_ns: look.now.mono,
            idle_since_ns: facts.last_ready.max(facts.since),
            waited_for: facts.interest != 0,
            task_gone: !pooled && user.is_some_and(|task| !found.tasks.contains_key(&task)),
            task_stranded: user.is_some_and(|task| {
                note.by_task
                    .get(&task)
                    .is_some_and(|bits| bits & stranded != 0)
            }),
        };
        if let Some(mut verdict) = rules::abandoned_fd(&of_rules, limits) {
            let peer = address(facts.peer);
            if !peer.is_empty() {
                verdict.evidence.push(format!("its peer is {peer}"));
            }
            let about = About {
                subject: Subject::Source,
                id: facts.id,
                name: None,
                place: facts.place,
                function: String::new(),
                user: true,
                awaits: None,
            };
            note.add(verdict, &about);
        }
    }
}

/// Panics and stated errors that nobody read.
pub(super) fn judge_ended(note: &mut Note<'_>, errors: &mut Errors) {
    let ring = &note.at.record.ended;
    errors.read_on(note.at.record.id.get(), ring.written(), ring.capacity());
    for back in 0..ring.capacity().min(ring.written()) {
        // What is being overwritten at this moment is passed over.
        let Some(ended) = ring.get(back) else {
            continue;
        };
        let unread = matches!(ended.outcome, Outcome::Panicked | Outcome::Failed)
            && (ended.unread || ended.flags & flag::DETACHED != 0)
            && note.look.shows(ended.flags);
        if !unread {
            continue;
        }
        let of_rules = rules::EndedFacts {
            ended_at_ns: note.look.now.mono_of(ended.ended_at),
            outcome: crate::inspect::wire::ended::outcome(ended.outcome),
            result_taken: false,
            handles: 0,
        };
        let Some(mut verdict) = rules::unread_error(&of_rules) else {
            continue;
        };
        if !ended.error.is_empty() {
            verdict.evidence.push(ended.error.clone());
        } else if ended.error_lost {
            let lost = "the error's text was overwritten by those of later ones";
            verdict.evidence.push(lost.to_owned());
        }
        let site = note.at.site(ended.site);
        let name = note
            .look
            .task_name(note.at, ended.name, ended.number, ended.kind, ended.site);
        let about = About {
            subject: Subject::Task,
            id: ended.id,
            name: Some(name),
            place: site.place,
            function: names::of_type(site.type_name).to_owned(),
            user: ended.flags & flag::INTERNAL == 0 && !note.at.record.facts.internal,
            awaits: None,
        };
        errors.list(note.at.record.id.get(), ended.id, about.key(verdict.name));
        note.add(verdict, &about);
    }
}
