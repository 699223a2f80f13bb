//! What tasks wait for: the things that wait words name, looked up in one pass a table. Knows no
//! message.

use std::sync::atomic::Ordering;

use loop_proto::pb::{self, ResourceKind, WaitKind};
use loop_proto::row::{PipeOf, Waiting};

use super::ids::{IdMap, IdSet};
use super::tables::{Look, TaskName, state_of};
use crate::record::child::{ChildFacts, pipe};
use crate::record::job::JobFacts;
use crate::record::resource::{self, ResourceFacts};
use crate::record::slab::{Row, Slab};
use crate::record::source::{Address, SourceFacts};
use crate::record::task::{On, State, TaskFacts, TaskRow, WaitingOn};
use crate::record::timer::TimerFacts;
use crate::record::{self};

/// Ids to be looked up, a table.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) tasks: IdSet,
    pub(crate) timers: IdSet,
    pub(crate) sources: IdSet,
    pub(crate) jobs: IdSet,
    pub(crate) children: IdSet,
    pub(crate) resources: IdSet,
}

impl Wanted {
    /// What `on` names.
    pub(crate) fn add(&mut self, on: WaitingOn) {
        let set = match on.kind() {
            On::Timer => &mut self.timers,
            On::Source => &mut self.sources,
            On::Task => &mut self.tasks,
            On::Job => &mut self.jobs,
            On::Child => &mut self.children,
            On::Resource => &mut self.resources,
            On::Nothing | On::Signal | On::Turn | On::Forever => return,
        };
        if on.id() != 0 {
            set.insert(on.id());
        }
    }

    /// All that live tasks wait for, but for timers: those have no words of their own.
    pub(crate) fn of_all(look: &Look) -> Self {
        let mut wanted = Self::default();
        for at in &look.loops {
            for (_, row) in at.record.tasks.live() {
                if row.waits.load(Ordering::Relaxed) > 0 {
                    let on = WaitingOn(row.waiting_on.load(Ordering::Relaxed));
                    if on.kind() != On::Timer {
                        wanted.add(on);
                    }
                }
            }
        }
        wanted
    }
}

/// What was found of what was wanted; the rest is gone.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) tasks: IdMap<TaskName>,
    pub(crate) timers: IdMap<TimerFacts>,
    /// With the peer in words.
    pub(crate) sources: IdMap<(SourceFacts, String)>,
    pub(crate) jobs: IdMap<(JobFacts, &'static str)>,
    pub(crate) children: IdMap<(ChildFacts, &'static str)>,
    pub(crate) resources: IdMap<(ResourceFacts, &'static str)>,
}

/// Calls `take` with each live row of `slab` whose id is in `wanted`, until all were met.
fn meet<'a, T: record::slab::Row>(
    slab: &'a Slab<T>,
    wanted: &IdSet,
    left: &mut usize,
    mut take: impl FnMut(u32, &'a T),
) {
    if *left == 0 {
        return;
    }
    for (slot, row) in slab.live() {
        if wanted.contains(&row.id().load(Ordering::Relaxed)) {
            take(slot, row);
            *left -= 1;
            if *left == 0 {
                return;
            }
        }
    }
}

impl Found {
    /// Looks everything up, in at most one pass a table.
    pub(crate) fn of(look: &Look, wanted: &Wanted) -> Self {
        Self::with_children(look, wanted, &mut IdMap::default())
    }

    /// The same, and counts in the same pass the live tasks that each of `parents` spawned.
    pub(crate) fn with_children(look: &Look, wanted: &Wanted, parents: &mut IdMap<u32>) -> Self {
        let mut found = Self::default();
        let mut left = [
            wanted.tasks.len(),
            wanted.timers.len(),
            wanted.sources.len(),
            wanted.jobs.len(),
            wanted.children.len(),
            wanted.resources.len(),
        ];
        for at in &look.loops {
            let record = &at.record;
            let names = &look.names;
            let mut take = |row: &TaskRow| {
                let facts = row.read().filter(|facts| facts.state != State::Done);
                let named = facts.map(|facts| (facts.id, look.name_of(at, &facts)));
                found.tasks.extend(named);
            };
            if parents.is_empty() {
                meet(&record.tasks, &wanted.tasks, &mut left[0], |_, row| {
                    take(row);
                });
            } else {
                for (_, row) in record.tasks.live() {
                    let parent = row.parent.load(Ordering::Relaxed);
                    if parent != 0
                        && let Some(count) = parents.get_mut(&parent)
                        && state_of(row) != State::Done
                    {
                        *count += 1;
                    }
                    if !wanted.tasks.is_empty()
                        && wanted.tasks.contains(&row.id().load(Ordering::Relaxed))
                    {
                        take(row);
                    }
                }
            }
            meet(&record.timers, &wanted.timers, &mut left[1], |_, row| {
                found
                    .timers
                    .extend(row.read().map(|facts| (facts.id, facts)));
            });
            meet(&record.sources, &wanted.sources, &mut left[2], |_, row| {
                let facts = row.read();
                found.sources.extend(facts.map(|facts| {
                    let peer = address(facts.peer);
                    (facts.id, (facts, peer))
                }));
            });
            meet(&record.jobs, &wanted.jobs, &mut left[3], |_, row| {
                let facts = row.read();
                found.jobs.extend(facts.map(|facts| {
                    let name = names.text(facts.name);
                    (facts.id, (facts, name))
                }));
            });
            meet(
                &record.children,
                &wanted.children,
                &mut left[4],
                |_, row| {
                    let facts = row.read();
                    found.children.extend(facts.map(|facts| {
                        let name = names.text(facts.program);
                        (facts.id, (facts, name))
                    }));
                },
            );
            meet(
                &record.resources,
                &wanted.resources,
                &mut left[5],
                |_, row| {
                    let facts = row.read();
                    found.resources.extend(facts.map(|facts| {
                        let name = names.text(facts.name);
                        (facts.id, (facts, name))
                    }));
                },
            );
        }
        found.meet_children(look);
        found
    }

    /// Looks up the children whose pipes were found.
    fn meet_children(&mut self, look: &Look) {
        let pipes = self.sources.values().map(|(facts, _)| facts.child);
        let wanted: IdSet = pipes
            .filter(|child| *child != 0 && !self.children.contains_key(child))
            .collect();
        let mut left = wanted.len();
        for at in &look.loops {
            meet(&at.record.children, &wanted, &mut left, |_, row| {
                self.children.extend(row.read().map(|facts| {
                    let name = look.names.text(facts.program);
                    (facts.id, (facts, name))
                }));
            });
        }
    }
}

/// The number that the child knows the other end by.
fn stream(source: &SourceFacts) -> Option<u32> {
    match source.stream {
        pipe::STDIN => Some(0),
        pipe::STDOUT => Some(1),
        pipe::STDERR => Some(2),
        _ => None,
    }
}

/// The child whose pipe a source is, as far as it was looked up.
pub(crate) fn child_pipe(source: &SourceFacts, found: &Found) -> Option<pb::ChildPipe> {
    let (child, program) = found.children.get(&source.child)?;
    Some(pb::ChildPipe {
        child_id: child.id,
        pid: u32::try_from(child.pid).unwrap_or(0),
        program: (*program).to_owned(),
        stream: stream(source),
        ended: child.status.is_some(),
    })
}

/// An address in words; empty for none.
pub(crate) fn address(address: Address) -> String {
    match address {
        Address::None => String::new(),
        Address::Ip(address) => address.to_string(),
        Address::Path(name) => name.text().unwrap_or("").to_owned(),
        Address::Unnamed => "(unnamed)".to_owned(),
    }
}

/// What says whether and for what a task waits.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) id: u64,
    pub(crate) state: State,
    pub(crate) wakers: i32,
    pub(crate) waits: u8,
    pub(crate) on: WaitingOn,
}

impl Reading {
    pub(crate) fn of(facts: &TaskFacts) -> Self {
        Self {
            id: facts.id,
            state: facts.state,
            wakers: facts.wakers,
            waits: facts.waits,
            on: facts.waiting_on,
        }
    }

    /// In place. Wakers before the state, as `read` does: whoever sees the last waker gone sees
    /// the mark that it left.
    #[inline]
    pub(crate) fn in_place(id: u64, row: &TaskRow) -> Self {
        let relaxed = Ordering::Relaxed;
        let marks = row.away_marks.load(Ordering::Acquire);
        let away = row.refs_away.load(Ordering::Acquire) - (marks >> 1) as i32;
        let wakers = row.refs_here.load(Ordering::Acquire) + away;
        Self {
            id,
            state: state_of(row),
            wakers,
            waits: row.waits.load(relaxed),
            on: WaitingOn(row.waiting_on.load(relaxed)),
        }
    }

    /// The kind of thing it waits for. `None`: it does not wait.
    #[inline]
    pub(crate) fn kind(&self, found: &Found) -> Option<WaitKind> {
        if self.state != State::Wait {
            return None;
        }
        let on = if self.waits > 0 {
            self.on.kind()
        } else {
            On::Nothing
        };
        Some(match on {
            On::Forever => WaitKind::Forever,
            _ if self.wakers <= 0 => WaitKind::Nothing,
            On::Nothing => WaitKind::External,
            On::Timer => WaitKind::Timer,
            On::Source => WaitKind::Io,
            On::Task => WaitKind::Task,
            On::Job => WaitKind::Job,
            On::Child => WaitKind::Child,
            On::Signal => WaitKind::Signal,
            On::Turn => WaitKind::Turn,
            On::Resource => match found.resources.get(&self.on.id()) {
                Some((facts, _)) if facts.kind == resource::Kind::Future => WaitKind::Future,
                _ => WaitKind::Resource,
            },
        })
    }

    /// What it waits for, ready to be put in words. `None`: it does not wait.
    pub(crate) fn waiting<'f>(&self, found: &'f Found) -> Option<Waiting<'f>> {
        let kind = self.kind(found)?;
        Some(words(kind, self.on.id(), self.id, self.wakers, found))
    }
}

/// A thing of that kind and id that `task` waits for, with what is known of it.
pub(crate) fn words(kind: WaitKind, id: u64, task: u64, wakers: i32, found: &Found) -> Waiting<'_> {
    let mut waiting = Waiting {
        kind,
        id,
        ..Waiting::default()
    };
    match kind {
        WaitKind::Io => {
            if let Some((source, peer)) = found.sources.get(&id) {
                waiting.fd = i32::try_from(source.fd).ok().filter(|fd| *fd >= 0);
                waiting.readable = source.reader == task;
                waiting.writable = source.writer == task;
                waiting.detail = peer;
                waiting.pipe = found
                    .children
                    .get(&source.child)
                    .map(|(child, program)| PipeOf {
                        pid: u32::try_from(child.pid).unwrap_or(0),
                        program,
                        stream: stream(source),
                        ended: child.status.is_some(),
                    });
            }
        }
        WaitKind::Task => {
            if let Some(other) = found.tasks.get(&id) {
                waiting.name = other.text;
                waiting.number = (other.number != 0).then_some(other.number.into());
            }
        }
        WaitKind::Job => waiting.name = found.jobs.get(&id).map_or("", |(_, name)| name),
        WaitKind::Child => waiting.detail = found.children.get(&id).map_or("", |(_, name)| name),
        WaitKind::Future | WaitKind::Resource => {
            if let Some((facts, name)) = found.resources.get(&id) {
                waiting.resource = resource_kind(facts.kind);
                waiting.name = name;
                waiting.holder = (facts.holder != 0).then_some(facts.holder);
                if facts.state & resource::state::BROKEN != 0 {
                    waiting.detail = "(its promise was dropped)";
                }
            }
        }
        WaitKind::Signal => waiting.detail = signal_name(id),
        WaitKind::External => {
            waiting.id = 0;
            waiting.count = u32::try_from(wakers).unwrap_or(0);
        }
        WaitKind::Nothing => waiting.id = 0,
        WaitKind::Unspecified | WaitKind::Timer | WaitKind::Turn | WaitKind::Forever => {}
    }
    waiting
}

pub(crate) fn resource_kind(kind: resource::Kind) -> ResourceKind {
    match kind {
        resource::Kind::Future => ResourceKind::Future,
        resource::Kind::Lock => ResourceKind::Lock,
        resource::Kind::Event => ResourceKind::Event,
        resource::Kind::Condition => ResourceKind::Condition,
        resource::Kind::Semaphore => ResourceKind::Semaphore,
        resource::Kind::Barrier => ResourceKind::Barrier,
        resource::Kind::Queue => ResourceKind::Queue,
        resource::Kind::Channel => ResourceKind::Channel,
        resource::Kind::Group => ResourceKind::Group,
    }
}

pub(crate) fn signal_name(number: u64) -> &'static str {
    match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        15 => "SIGTERM",
        10 if cfg!(target_os = "linux") => "SIGUSR1",
        12 if cfg!(target_os = "linux") => "SIGUSR2",
        17 if cfg!(target_os = "linux") => "SIGCHLD",
        28 => "SIGWINCH",
        _ => "",
    }
}
