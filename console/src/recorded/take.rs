//! From the sections of a recording to tables that can be asked: parts of one answer joined, rows that are there twice once,
//! what happened after the snapshot applied. Knows no question.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use loop_proto::message::Texts;
use loop_proto::pb::{self, Target};
use loop_proto::recording::{Recording, Snapshot};

use super::Answers;
use super::since::Since;
use super::story::Story;

/// Why a recording takes no commands.
pub const NO_COMMANDS: &str = "a recording cannot be commanded";

/// Does `$do` with each list of rows of two answers.
macro_rules! each_list {
    ($do:ident: $to:expr, $from:expr) => {
        $do(&mut $to.tasks, $from.tasks, |row| row.id);
        $do(&mut $to.loops, $from.loops, |row| row.id);
        $do(&mut $to.timers, $from.timers, |row| row.id);
        $do(&mut $to.io, $from.io, |row| row.id);
        $do(&mut $to.jobs, $from.jobs, |row| row.id);
        $do(&mut $to.resources, $from.resources, |row| row.id);
        $do(&mut $to.children, $from.children, |row| row.id);
        $do(&mut $to.signals, $from.signals, |row| row.id);
        $do(&mut $to.findings, $from.findings, |row| row.id);
        $do(&mut $to.blocks, $from.blocks, |row| row.id);
        $do(&mut $to.places, $from.places, |row| row.id);
        $do(&mut $to.series, $from.series, |row| strip(row));
        $do(&mut $to.past_findings, $from.past_findings, |past| {
            past.finding.as_ref().map_or(0, |finding| finding.id)
        });
    };
}

/// What tells strips apart: whose they are, and how finely.
fn strip(row: &pb::SeriesRow) -> (u64, u64) {
    (
        row.loop_id,
        row.lag_max.as_ref().map_or(0, |strip| strip.slot_ns),
    )
}

/// Adds rows that are not there yet: a file may have the last hour twice, and tasks by several
/// orders.
fn add<M, K: Eq + Hash>(to: &mut Vec<M>, from: Vec<M>, id: impl Fn(&M) -> K) {
    if to.is_empty() {
        *to = from;
        return;
    }
    let known: HashSet<K> = to.iter().map(&id).collect();
    to.extend(from.into_iter().filter(|row| !known.contains(&id(row))));
}

/// Adds another part of the same table.
fn join(to: &mut pb::View, mut from: pb::View) {
    if to.at_ns == 0 {
        to.at_ns = from.at_ns;
    }
    to.total = to.total.max(from.total);
    to.matched = to.matched.max(from.matched);
    if to.incomplete.is_empty() {
        to.incomplete = std::mem::take(&mut from.incomplete);
    }
    to.overview = from.overview.or(to.overview.take());
    to.cost = from.cost.or(to.cost.take());
    to.hour = from.hour.or(to.hour.take());
    each_list!(add: to, from);
}

impl Answers {
    /// Reads a recording.
    #[must_use]
    pub fn of(recording: Recording) -> Self {
        let (clock, last_ns) = (recording.clock(), recording.last_ns());
        let mark = mark(&recording);
        let mut story = Story::new(&recording);
        let head = recording.head;
        let has_snapshot = recording.snapshot.is_some();
        let Snapshot {
            hello,
            views,
            events,
            tasks,
            ..
        } = recording.snapshot.unwrap_or_default();
        let mut hello = hello.unwrap_or_else(|| pb::HelloReply {
            app_name: head.name.clone(),
            pid: head.pid,
            instance_id: head.instance.to_vec(),
            started_unix_ns: head.began_unix_ns,
            protocol: Some(loop_proto::version::PROTOCOL),
            ..pb::HelloReply::default()
        });
        (hello.anchor_monotonic_ns, hello.anchor_unix_ns) = (clock.mono_ns, clock.unix_ns);
        hello.role = pb::Role::Observe.into();
        NO_COMMANDS.clone_into(&mut hello.role_reason);
        let at_ns = if has_snapshot { clock.mono_ns } else { last_ns };

        let mut texts = Texts::default();
        let mut interned = Vec::new();
        let mut learn = |more: Vec<pb::Interned>| {
            texts.learn(more.iter().cloned());
            interned.extend(more);
        };
        let mut tables: BTreeMap<Target, pb::View> = BTreeMap::new();
        for mut view in views {
            learn(std::mem::take(&mut view.interned));
            let target = i32::try_from(view.slot).map(Target::try_from);
            let Ok(Ok(target)) = target else { continue };
            if target == Target::Unspecified {
                continue;
            }
            match tables.entry(target) {
                std::collections::btree_map::Entry::Occupied(mut there) => {
                    join(there.get_mut(), view);
                }
                std::collections::btree_map::Entry::Vacant(room) => {
                    let mut first = pb::View::default();
                    join(&mut first, view);
                    room.insert(first);
                }
            }
        }
        let own = events.into_iter().flat_map(|mut batch| {
            learn(std::mem::take(&mut batch.interned));
            batch.events
        });
        story.add(own.collect());
        // The hour has the strips too.
        if !tables.contains_key(&Target::Series)
            && let Some(hour) = tables.get(&Target::Hour)
            && !hour.series.is_empty()
        {
            let series = hour.series.clone();
            let view = pb::View {
                series,
                ..pb::View::default()
            };
            tables.insert(Target::Series, view);
        }
        let mut details: HashMap<u64, pb::TaskDetail> = HashMap::new();
        for detail in tasks {
            if let Some(task) = &detail.task {
                details.insert(task.id, detail);
            }
        }
        let mut since = Since::default();
        if has_snapshot {
            since = Since::count(&story, at_ns);
            since.apply(&story, &mut tables, &mut details, at_ns);
        }
        let mut names = HashMap::new();
        for view in tables.values() {
            for task in &view.tasks {
                if let Some(name) = &task.name {
                    names.insert(task.id, name.clone());
                }
            }
        }
        story.name(names);
        let waiting = waiting(&tables, &details);
        Answers {
            hello,
            snapshot: has_snapshot,
            at_ns,
            texts,
            interned,
            tables,
            details,
            waiting,
            story,
            since,
            mark,
        }
    }

    /// The table of a target, if it was written.
    pub(super) fn table(&self, target: Target) -> Option<&pb::View> {
        self.tables.get(&target)
    }
}

/// The waits of tasks the other way round: all of those whose page was written, of the others the first.
fn waiting(
    tables: &BTreeMap<Target, pb::View>,
    details: &HashMap<u64, pb::TaskDetail>,
) -> HashMap<u64, Vec<pb::Waiter>> {
    let mut all: HashMap<u64, Vec<pb::Waiter>> = HashMap::new();
    let tasks = tables.get(&Target::Tasks).map(|view| &view.tasks);
    for row in tasks.into_iter().flatten() {
        let written = details.get(&row.id).map_or(&[][..], |page| &page.waits);
        let first = row.waiting_on.iter();
        let waits: HashSet<u64> = first
            .chain(written)
            .filter(|wait| wait.kind() != pb::WaitKind::Task && wait.id != 0)
            .map(|wait| wait.id)
            .collect();
        // An ended task, or one that goes on, waits for nothing more.
        if row.state() != pb::TaskState::Wait {
            continue;
        }
        for id in waits {
            all.entry(id).or_default().push(pb::Waiter {
                task_id: row.id,
                task_name: row.name.clone(),
                since_ns: (row.since_ns > 0).then_some(row.since_ns),
                place_text: row.waiting_at_text,
            });
        }
    }
    for waiters in all.values_mut() {
        waiters.sort_by_key(|waiter| (waiter.since_ns.unwrap_or(u64::MAX), waiter.task_id));
    }
    all
}

/// A number that is another one when anything was written meanwhile.
pub fn mark(recording: &Recording) -> u64 {
    let sequence = recording
        .snapshot
        .as_ref()
        .map_or(0, |snapshot| snapshot.head.sequence);
    let tails = recording
        .rings
        .iter()
        .map(|ring| ring.tail.wrapping_mul(u64::from(ring.loop_id) + 1));
    tails.fold(sequence << 48, u64::wrapping_add)
}
