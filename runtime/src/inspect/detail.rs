//! All about one task. Knows no stream.

use std::sync::atomic::Ordering;

use loop_proto::pb;

mod stacks;

use super::desk::Desk;
use super::graph::around;
use super::live::wake_cause;
use super::strips::Strips;
use super::tables::{Look, Spot, children_of, state_of};
use super::texts::Sent;
use super::view::tasks;
use super::waits::{Found, Wanted};
use super::wire::Extras;
use super::wire::loops::{Totals, histogram};
use crate::record::asked::By;
use crate::record::child::ChildFacts;
use crate::record::histogram::Histogram;
use crate::record::logs;
use crate::record::resource::ResourceFacts;
use crate::record::source::SourceFacts;
use crate::record::task::{On, State, TaskFacts, WaitingOn};
use crate::record::timer::TimerFacts;
use crate::record::wake::{self, Cause};
use crate::record::watched;

/// Children that are listed.
const CHILDREN: usize = 1000;
/// Resources that are listed.
const RESOURCES: usize = 1000;
/// Ancestors that are looked for.
const PARENTS: usize = 64;

/// The detail of a live or an ended task; `None`: there is none, or its row was overwritten.
///
/// `await_stack`: where it waits is to be found out.
pub(crate) fn detail(
    id: u64,
    blocks: usize,
    await_stack: bool,
    desk: &mut Desk,
) -> Option<pb::TaskDetail> {
    let look = Look::new(true);
    desk.texts.note();
    let mut detail = match look.task(id) {
        Some((spot, facts)) if facts.state != State::Done => {
            let mut detail = live(&look, desk, spot, &facts);
            stacks::awaits(&look, desk, (spot, &facts), await_stack, &mut detail);
            detail
        }
        _ => ended(&look, desk, id)?,
    };
    stacks::spawned(&look, desk, id, &mut detail);
    let parent = detail.task.as_ref().map_or(0, |task| task.parent_id);
    detail.parents = ancestors(&look, desk, parent);
    let held: Vec<_> = desk
        .judge
        .holds()
        .filter(|held| held.subject == pb::Kind::Task && held.subject_id == id)
        .cloned()
        .collect();
    let found = Found::default();
    let mut wire = desk.wire(&look, &found, None, Extras::ALL);
    let most = if blocks == 0 { 10 } else { blocks };
    detail.blocks = wire.all_blocks(Some(id));
    detail.blocking = detail
        .blocks
        .iter()
        .find(|block| block.ended_at_ns.is_none())
        .cloned();
    detail.blocks.retain(|block| block.ended_at_ns.is_some());
    detail.blocks.truncate(most);
    detail.findings = held.iter().map(|held| wire.finding(held)).collect();
    detail.cancel = cancel_request(&look, desk, id);
    detail.at_ns = look.now.mono;
    detail.interned = desk.texts.noted(&mut Sent::default());
    Some(detail)
}

fn ended(look: &Look, desk: &mut Desk, id: u64) -> Option<pb::TaskDetail> {
    let found = Found::default();
    for at in &look.loops {
        let mut back = 0;
        while let Some(ended) = at.record.ended.get(back) {
            back += 1;
            if ended.id == id {
                let mut wire = desk.wire(look, &found, None, Extras::ALL);
                return Some(pb::TaskDetail {
                    task: Some(wire.ended(at, &ended)),
                    ..pb::TaskDetail::default()
                });
            }
        }
    }
    None
}

/// The tasks above one, as far as they live or their end is remembered.
fn ancestors(look: &Look, desk: &mut Desk, mut parent: u64) -> Vec<pb::TaskRow> {
    let mut parents = Vec::new();
    while parent != 0 && parents.len() < PARENTS {
        let row = match look.task(parent) {
            Some((spot, facts)) if facts.state != State::Done => {
                tasks(look, Extras::default(), desk, [(parent, spot)].into_iter()).pop()
            }
            _ => ended(look, desk, parent).and_then(|detail| detail.task),
        };
        let Some(row) = row else { break };
        parent = row.parent_id;
        parents.push(row);
    }
    parents
}

/// What other tables say of a task.
#[derive(Default)]
struct Ties {
    timers: Vec<TimerFacts>,
    sources: Vec<SourceFacts>,
    jobs: Vec<crate::record::job::JobFacts>,
    /// Those it made or holds.
    resources: Vec<ResourceFacts>,
    children: Vec<ChildFacts>,
}

fn ties(at: &super::tables::LoopLook, id: u64) -> Ties {
    let record = &at.record;
    let mut ties = Ties::default();
    let timers = record.timers.live().filter_map(|(_, row)| row.read());
    (ties.timers).extend(timers.filter(|facts| facts.owner == id && facts.armed));
    for facts in record.sources.live().filter_map(|(_, row)| row.read()) {
        if [facts.reader, facts.writer, facts.owner].contains(&id) {
            ties.sources.push(facts);
        }
    }
    for facts in record.jobs.live().filter_map(|(_, row)| row.read()) {
        if facts.owner == id {
            ties.jobs.push(facts);
        }
    }
    for facts in record.resources.live().filter_map(|(_, row)| row.read()) {
        if [facts.owner, facts.holder].contains(&id) && ties.resources.len() < RESOURCES {
            ties.resources.push(facts);
        }
    }
    for facts in record.children.live().filter_map(|(_, row)| row.read()) {
        if facts.owner == id {
            ties.children.push(facts);
        }
    }
    ties
}

fn live(look: &Look, desk: &mut Desk, spot: Spot, facts: &TaskFacts) -> pb::TaskDetail {
    let at = look.at(spot).expect("the spot was found in this look");
    let id = facts.id;
    // Slots of all tasks are dear where there are many: for one task's page they are kept on, not begun.
    if desk.strips.is_some() || Strips::are_cheap(look) {
        desk.want_strips(look);
    }
    let mut task = tasks(look, Extras::ALL, desk, [(id, spot)].into_iter()).pop();
    let busy = task.as_ref().and_then(|task| task.busy_strip.clone());
    let ties = ties(at, id);
    let (graph, waits) = around(look, desk, id);
    let mut wanted = Wanted::default();
    for tie in &waits {
        wanted.add(tie.on);
    }
    wanted.tasks.insert(id);
    for facts in &ties.resources {
        wanted.tasks.extend([facts.owner, facts.holder]);
    }
    let wake = task.as_mut().and_then(|task| task.last_wake.as_mut());
    match wake.as_ref().map(|wake| wake.cause()) {
        Some(pb::WakeCause::Task) => wanted.tasks.extend(wake.as_ref().map(|wake| wake.id)),
        Some(pb::WakeCause::Io) => wanted.sources.extend(wake.as_ref().map(|wake| wake.id)),
        _ => {}
    }
    wanted.tasks.remove(&0);
    let found = Found::of(look, &wanted);
    let (children, joined_by) = relatives(look, id);
    let total = children_of(look, [id].into_iter()).remove(&id).unwrap_or(0);
    let children = tasks(look, Extras::default(), desk, children.into_iter());
    let row = at.record.tasks.get(spot.slot);
    let watched = row.and_then(|row| at.record.watched.look(row, id));
    let watched = watched.map(|place| since_watched(look, place, facts));
    let (poll, scheduled, woken_by) = watched.unwrap_or_default();
    let mut wire = desk.wire(look, &found, None, Extras::ALL);
    if let Some(wake) = wake {
        match wake.cause() {
            pb::WakeCause::Task => wake.name = wire.task_by_id(wake.id).0,
            pb::WakeCause::Io => wake.detail = readiness(&found, wake.id, id),
            _ => {}
        }
    }
    let site = at.record.sites.get(facts.site);
    let place_poll = site.and_then(|site| {
        let times = site.poll_times()?;
        let relaxed = Ordering::Relaxed;
        let max = times
            .filled()
            .last()
            .map_or(0, |(bucket, _)| crate::record::histogram::lower(bucket + 1));
        let totals = Totals {
            count: site.polls.load(relaxed) + facts.polls,
            sum: site.busy.load(relaxed) + facts.busy,
            max,
            since_ns: look.now.mono_of(at.record.facts.made_at),
        };
        Some(histogram(times, &totals, &look.now))
    });
    pb::TaskDetail {
        task,
        waits: waits
            .iter()
            .map(|tie| wire.wait_on(tie.on, facts, tie.place, tie.since))
            .collect(),
        children,
        children_total: total.into(),
        place_poll,
        poll,
        scheduled,
        woken_by,
        busy,
        timers: ties
            .timers
            .iter()
            .map(|facts| wire.timer(at, facts))
            .collect(),
        io: ties
            .sources
            .iter()
            .map(|facts| wire.source(at, facts))
            .collect(),
        jobs: ties.jobs.iter().map(|facts| wire.job(at, facts)).collect(),
        resources: ties
            .resources
            .iter()
            .map(|facts| wire.resource(at, facts))
            .collect(),
        processes: ties
            .children
            .iter()
            .map(|facts| wire.child(at, facts))
            .collect(),
        joined_by,
        logs: logs::of(id).into_iter().map(log_line).collect(),
        variables: (at.record.contexts.names(id).into_iter())
            .map(str::to_owned)
            .collect(),
        ..graph
    }
}

/// The descriptor behind a wake, its peer, and what `task` waits for on it.
fn readiness(found: &Found, source: u64, task: u64) -> String {
    let Some((facts, peer)) = found.sources.get(&source) else {
        return "which is closed".to_owned();
    };
    let mut text = format!("fd {}", facts.fd);
    if !peer.is_empty() {
        text = format!("{text} {peer}");
    }
    let ways = [(facts.reader, "readable"), (facts.writer, "writable")];
    for (_, way) in ways.iter().filter(|(waits, _)| *waits == task) {
        text = format!("{text}, awaited {way}");
    }
    text
}

/// What was told apart of a task since somebody looks at it: its polls, how long it was ready, and
/// who woke it.
type Watched = (
    Option<pb::Histogram>,
    Option<pb::Histogram>,
    Vec<pb::WakeCount>,
);

fn since_watched(look: &Look, place: &watched::Place, facts: &TaskFacts) -> Watched {
    let known = |cell: &std::sync::atomic::AtomicU64| cell.load(Ordering::Relaxed);
    let of = |times: &Histogram, sum: u64, max: u64| {
        let totals = Totals {
            count: facts.polls.saturating_sub(known(&place.polls)),
            sum,
            max,
            since_ns: look.now.mono_of(known(&place.since)),
        };
        Some(histogram(times, &totals, &look.now))
    };
    let busy = facts.busy.saturating_sub(known(&place.busy));
    let ready = facts.scheduled.saturating_sub(known(&place.scheduled));
    let mut woken_by: Vec<pb::WakeCount> = Vec::new();
    for (kind, count) in place.wakes.iter().enumerate() {
        let raw = match (kind as u64) << 56 {
            wake::ITSELF => Some(Cause::Task(facts.id)),
            raw => Cause::from_raw(raw),
        };
        if let (Some(cause), count @ 1..) = (raw, known(count)) {
            let (cause, _) = wake_cause(cause, facts.id);
            let cause = cause as i32;
            woken_by.push(pb::WakeCount { cause, count });
        }
    }
    woken_by.sort_by_key(|by| (std::cmp::Reverse(by.count), by.cause));
    (
        of(&place.poll_times, busy, known(&place.longest_poll)),
        of(&place.delays, ready, known(&place.longest_delay)),
        woken_by,
    )
}

/// Who asked the task to cancel, as far as it is remembered.
fn cancel_request(look: &Look, desk: &mut Desk, id: u64) -> Option<pb::CancelRequest> {
    let mut all = look.loops.iter();
    let asked = all.find_map(|at| at.record.requests.of(id))?;
    let (by, by_id) = match asked.by {
        By::Task(id) => (pb::Canceller::Task, id),
        By::Awaiter(id) => (pb::Canceller::Awaiter, id),
        By::Thread(id) => (pb::Canceller::Thread, id),
        By::Viewer => (pb::Canceller::Viewer, 0),
        By::Interrupt => (pb::Canceller::Interrupt, 0),
        By::RunEnd => (pb::Canceller::RunEnd, 0),
    };
    let is_task = matches!(asked.by, By::Task(_) | By::Awaiter(_));
    let by_name = match look.task(by_id).filter(|_| is_task) {
        Some((spot, facts)) if facts.state != State::Done => {
            let at = look.at(spot).expect("the spot was found in this look");
            let name = look.name_of(at, &facts);
            let found = Found::default();
            desk.wire(look, &found, None, Extras::ALL).name(name)
        }
        _ if is_task => ended(look, desk, by_id)
            .and_then(|detail| detail.task)
            .and_then(|task| task.name),
        _ => None,
    };
    Some(pb::CancelRequest {
        first_at_ns: look.now.mono_of(asked.first),
        at_ns: look.now.mono_of(asked.last),
        by: by as i32,
        by_id,
        by_name,
        place_text: desk.texts.place(asked.place),
        message: asked.message.unwrap_or_default(),
        times: asked.times,
    })
}

fn log_line(line: logs::Line) -> pb::LogLine {
    pb::LogLine {
        at_ns: line.at,
        level: line.level.to_owned(),
        target: line.target.to_owned(),
        text: line.text,
    }
}

/// The live tasks that `id` spawned, as many as are listed, and those that wait for its end.
fn relatives(look: &Look, id: u64) -> (Vec<(u64, Spot)>, Vec<u64>) {
    let (mut children, mut joined_by) = (Vec::new(), Vec::new());
    let (relaxed, waits_for) = (Ordering::Relaxed, WaitingOn::new(On::Task, id).0);
    for (number, at) in look.loops.iter().enumerate() {
        for (slot, row) in at.record.tasks.live() {
            if row.parent.load(relaxed) == id
                && children.len() < CHILDREN
                && state_of(row) != State::Done
            {
                let spot = Spot {
                    at: number as u32,
                    slot,
                };
                children.push((row.task_id(), spot));
            }
            if row.waiting_on.load(relaxed) == waits_for
                && row.waits.load(relaxed) > 0
                && state_of(row) == State::Wait
            {
                joined_by.push(row.task_id());
            }
        }
    }
    (children, joined_by)
}
