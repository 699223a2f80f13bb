//! What is wrong with one task. Knows no walk.

use std::sync::atomic::Ordering;

use loop_proto::finding::{self as rules, Limits};
use loop_proto::pb::FindingName;

use super::doubts::{Doubts, is_lone};
use super::drops::{self, Drops};
use super::facts::Seen;
use super::usual::{self, Usual};
use super::{About, Note, Subject};
use crate::inspect::ids::IdSet;
use crate::inspect::names;
use crate::inspect::stack::copies::Copies;
use crate::inspect::tables::{Spot, since};
use crate::record::site;
use crate::record::task::{Kind, On, State, TaskFacts, TaskRow, flag};

/// Judges a task that a look found at `spot`, or remembers it for the second look.
#[inline]
pub(super) fn judge_task(
    note: &mut Note<'_>,
    row: &TaskRow,
    (spot, facts): (Spot, TaskFacts),
    before: &Seen,
    seen: &mut Seen,
    limits: &Limits,
    aside: &mut Aside<'_>,
) {
    if facts.parent != 0 {
        seen.parents.entry(facts.parent).or_default();
    }
    if facts.kind != Kind::Callback && before.parents.contains_key(&facts.id) {
        seen.alive.insert(facts.id);
    }
    if facts.state == State::Done || !note.look.shows(facts.flags) {
        return;
    }
    let now = note.look.now;
    let on = if facts.waits > 0 {
        facts.waiting_on.kind()
    } else {
        On::Nothing
    };
    let place = note.at.site(facts.site);
    let tick = match facts.state {
        State::Run => since(&note.at.record, row, State::Run),
        _ => facts.woken_at,
    };
    let mut since_ns = now.mono.saturating_sub(now.since(tick));
    if facts.state == State::Run {
        // It runs for that much less long, as to what a poll may take.
        let allowed = note.at.record.allowed_since(tick, crate::clock::ticks());
        since_ns = since_ns.saturating_add(crate::clock::ticks_to_ns(allowed.ticks));
    }
    let since_ns = since_ns.min(now.mono);
    if let Some(doubts) = aside.doubts.as_deref_mut() {
        seen.joins.offer(spot, &facts, since_ns);
        if is_lone(&facts) {
            if doubts.remember(spot, &facts) {
                return;
            }
            seen.unremembered.lone += 1;
        }
    }
    let usual = &mut *aside.usual;
    usual.look_at(&facts, since_ns, &now, limits.idle_ns);
    // Asked only of those of whom it may be said.
    let rests = facts.state == State::Wait
        && facts.handles == 0
        && facts.wakers > 0
        && now.mono.saturating_sub(since_ns) >= limits.idle_ns;
    let usual_idle = rests
        .then(|| {
            let finished = || usual::finished(&note.at.record, facts.site);
            usual.sleep((facts.loop_id, facts.site), finished)
        })
        .flatten();
    let parent_ended = before.parent_ended(facts.parent);
    let asked = (facts.cancels > 0).then(|| {
        if let Some(asked) = note.at.record.requests.of(facts.id) {
            return (now.mono_of(asked.first), false);
        }
        // Forgotten, since many others were asked: not before it was first seen so.
        let first = seen.first(&before.cancelled, facts.id, now.mono, |seen| {
            &mut seen.cancelled
        });
        (first, true)
    });
    let of_rules = rules::TaskFacts {
        at_ns: now.mono,
        state: match facts.state {
            State::Run => rules::State::Run,
            State::Ready => rules::State::Ready,
            State::Wait => rules::State::Wait,
            State::Done => rules::State::Done,
        },
        since_ns,
        settled: aside.settled,
        polls: facts.polls,
        wakers: facts.wakers.max(0) as u64,
        handles: facts.handles.into(),
        allowed_forever: facts.has(flag::FOREVER),
        pending_on_purpose: on == On::Forever,
        // Of several things the last is known: one of the others may be a timer.
        waits_for_timer: on == On::Timer || facts.waits > 1,
        waits_for_visitors: matches!(on, On::Signal | On::Child | On::Job | On::Task)
            || on == On::Source && aside.doors.contains(&facts.waiting_on.id()),
        parent_ended_ns: parent_ended.map(|(at, _)| at),
        parent_end_forgotten: parent_ended.is_some_and(|(_, forgotten)| forgotten),
        // Asked to cancel when its group was dropped; if others asked again since, it was before.
        group_dropped_ns: facts.has(flag::OUTLIVED).then(|| {
            let asked = note.at.record.requests.of(facts.id);
            asked.map_or(now.mono, |asked| now.mono_of(asked.last))
        }),
        scope_ended_ns: facts
            .has(flag::LEFT)
            .then(|| note.at.record.facts.scope_ended().unwrap_or(now.mono)),
        grace_over: facts.has(flag::LEFT),
        cancel_requested_ns: asked.map(|(at, _)| at),
        cancel_forgotten: asked.is_some_and(|(_, forgotten)| forgotten),
        usual_idle_ns: usual_idle.map(|(usual, _)| usual),
        usual_of: usual_idle.map_or(0, |(_, of)| of),
        ready_tasks: Some(note.at.record.stats.ready.load(Ordering::Relaxed).into())
            .filter(|ready| *ready > 0),
        window: seen.window(
            before,
            &facts,
            since_ns,
            now.mono,
            (spot.at, &note.at.record),
        ),
        // Of many places together there is no size.
        future_bytes: (facts.site != site::OTHER).then_some(place.size as u64),
    };
    let verdicts = rules::of_task(&of_rules, limits);
    if verdicts.is_empty() {
        return;
    }
    let about = About {
        subject: Subject::Task,
        id: facts.id,
        name: Some(note.look.name_of(note.at, &facts)),
        place: place.place,
        function: names::of_type(place.type_name).to_owned(),
        user: !facts.has(flag::INTERNAL) && !note.at.record.facts.internal,
        awaits: (facts.waits > 0 && facts.state == State::Wait)
            .then_some(facts.waiting_at)
            .flatten()
            .filter(crate::inspect::live::of_the_app),
    };
    for mut verdict in verdicts {
        if matches!(
            verdict.name,
            FindingName::Stranded | FindingName::StuckAbortable
        ) {
            // Only of the one that stands for all of its place.
            if note.would_tell(&verdict, &about) {
                let told = aside.drops.told(&facts, note, aside.copies);
                verdict.evidence.push(told);
            }
        }
        if verdict.name.is_of_leaks() && note.would_tell(&verdict, &about) {
            verdict.evidence.push(drops::origin(&facts));
        }
        note.add(verdict, &about);
    }
}

/// What a walk looks things up in.
pub(super) struct Aside<'a> {
    /// Where those are kept of whom this look is no proof; `None`: it is the second one.
    pub(super) doubts: Option<&'a mut Doubts>,
    /// Both looks saw the task waiting in the same poll without a waker.
    pub(super) settled: bool,
    pub(super) drops: &'a Drops,
    pub(super) doors: &'a IdSet,
    pub(super) copies: &'a mut Copies,
    pub(super) usual: &'a mut Usual,
}
