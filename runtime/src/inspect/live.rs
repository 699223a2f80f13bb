//! Live tasks as rows for filters and sorts: each field is read in place, when it is asked for,
//! and nothing is allocated. Knows no message.

use std::sync::atomic::Ordering;

use loop_proto::pb::{TaskKind, TaskState, WakeCause};
use loop_proto::row::{Field, Row, Value};

use super::ids::IdMap;
use super::strips::Strips;
use super::tables::{Look, LoopLook, Site, Spot, TaskName, since, state_of};
use super::waits::{Found, Reading};
use crate::record::slab::Row as _;
use crate::record::task::{Kind, State, TaskRow, flag};
use crate::record::wake::Cause;

/// What a walk knows besides the rows themselves.
#[derive(Default)]
pub(crate) struct Aside {
    /// What tasks wait for; empty unless a field asks.
    pub(crate) found: Found,
    /// How many live tasks each task spawned; `None` unless a field asks.
    pub(crate) children: Option<IdMap<u32>>,
    /// Findings that hold, as bits, by task.
    pub(crate) findings: std::sync::Arc<IdMap<u64>>,
}

/// A live task in its slot.
pub(crate) struct LiveTask<'a> {
    id: u64,
    row: &'a TaskRow,
    spot: Spot,
    look: &'a Look,
    at: &'a LoopLook,
    aside: &'a Aside,
    strips: Option<&'a Strips>,
}

impl<'a> LiveTask<'a> {
    /// The task in that slot, if there is one to show.
    #[inline]
    pub(crate) fn read(
        look: &'a Look,
        at: &'a LoopLook,
        spot: Spot,
        aside: &'a Aside,
        strips: Option<&'a Strips>,
    ) -> Option<Self> {
        let row = at.record.tasks.get(spot.slot)?;
        let id = row.id().load(Ordering::Acquire);
        if id == 0 || state_of(row) == State::Done || !look.shows(row.flags.load(Ordering::Relaxed))
        {
            return None;
        }
        Some(Self {
            id,
            row,
            spot,
            look,
            at,
            aside,
            strips,
        })
    }

    fn site(&self) -> Site {
        self.at.site(self.row.site())
    }

    fn name(&self) -> TaskName {
        let relaxed = Ordering::Relaxed;
        self.look.task_name(
            self.at,
            self.row.name(),
            self.row.number.load(relaxed),
            self.row.kind.load(relaxed),
            self.row.site(),
        )
    }

    fn ns(&self, ticks: u64) -> Value<'static> {
        Value::nanos(self.look.now.ns(ticks))
    }

    fn ran_now(&self) -> u64 {
        running(self.at, self.row, self.look.now.ticks)
    }

    fn reading(&self) -> Reading {
        Reading::in_place(self.id, self.row)
    }
}

/// Ticks that the poll of `row` that goes on has lasted; 0 if none does.
pub(crate) fn running(at: &LoopLook, row: &TaskRow, now: u64) -> u64 {
    if state_of(row) == State::Run {
        now.saturating_sub(since(&at.record, row, State::Run))
    } else {
        0
    }
}

impl Row for LiveTask<'_> {
    #[inline]
    fn id(&self) -> u64 {
        self.id
    }

    #[inline]
    fn locator(&self) -> u64 {
        self.spot.raw()
    }

    #[inline]
    fn value(&self, field: Field) -> Value<'_> {
        let (row, now, relaxed) = (self.row, &self.look.now, Ordering::Relaxed);
        match field {
            Field::Id => Value::Number(self.id),
            Field::Name => {
                let name = self.name();
                match name.number {
                    0 => Value::text(name.text),
                    number => Value::Numbered(name.text, number.into()),
                }
            }
            Field::Kind => Value::word(task_kind(row.kind.load(relaxed)) as i32),
            Field::State => Value::word(task_state(state_of(row)) as i32),
            Field::Loop => Value::Number(self.at.record.id.get().into()),
            Field::Parent => Value::some_id(row.parent.load(relaxed)),
            Field::Age => Value::nanos(now.since(row.spawned_at.load(relaxed))),
            Field::Place => place(self.site().place),
            Field::Type => Value::text(self.site().type_name),
            Field::Wait => self
                .reading()
                .kind(&self.aside.found)
                .map_or(Value::Absent, |kind| Value::word(kind as i32)),
            Field::On => self
                .reading()
                .waiting(&self.aside.found)
                .map_or(Value::Absent, Value::Waiting),
            Field::At if self.row.waits.load(relaxed) > 0 && state_of(row) == State::Wait => {
                place(row.waiting_at.get().filter(of_the_app))
            }
            Field::For => {
                let state = state_of(row);
                Value::nanos(now.since(since(&self.at.record, row, state)))
            }
            Field::Polls => Value::Number(row.polls.load(relaxed)),
            Field::Busy => {
                let busy = row.busy.load(relaxed) + self.ran_now();
                let share = self.strips.and_then(|strips| {
                    strips.share(self.at.record.id, self.spot.slot, self.id, busy, now)
                });
                share.map_or(Value::Absent, Value::Ratio)
            }
            Field::BusyTime => self.ns(row.busy.load(relaxed) + self.ran_now()),
            Field::Scheduled => self.ns(row.scheduled.load(relaxed)),
            Field::Max => self.ns(row.max_poll.load(relaxed).max(self.ran_now())),
            Field::Wakes => Value::Number(row.wakes().into()),
            Field::Wakers => Value::Number(self.reading().wakers.max(0) as u64),
            Field::Handles => Value::Number(row.handles.load(relaxed).into()),
            Field::WokenBy => match Cause::of_row(row.woken_by.load(relaxed), self.id) {
                Some(cause) => Value::word(wake_cause(cause, self.id).0 as i32),
                None => Value::Absent,
            },
            Field::Detached => Value::Flag(row.handles.load(relaxed) == 0),
            Field::Cancel => Value::Flag(
                row.cancels.load(relaxed) > 0 || row.flags.load(relaxed) & flag::CANCELLING != 0,
            ),
            Field::Finding => Value::Set(self.aside.findings.get(&self.id).copied().unwrap_or(0)),
            Field::Children => match &self.aside.children {
                Some(children) => {
                    Value::Number(children.get(&self.id).copied().unwrap_or(0).into())
                }
                None => Value::Absent,
            },
            Field::Size => Value::some_id(self.site().size as u64),
            Field::Internal => Value::Flag(
                self.at.record.facts.internal || row.flags.load(relaxed) & flag::INTERNAL != 0,
            ),
            _ => Value::Absent,
        }
    }
}

fn place(place: Option<&'static std::panic::Location<'static>>) -> Value<'static> {
    place.map_or(Value::Absent, |place| {
        Value::Place(place.file(), place.line(), place.column())
    })
}

/// Whether a place is an await of the app's. A future of ours that is a task by itself is polled by
/// the executor: then there is no await to name.
pub(crate) fn of_the_app(place: &&'static std::panic::Location<'static>) -> bool {
    // This file's own path tells what the executor's begins with.
    let own = file!();
    let root = &own[..own.len() - "inspect/live.rs".len()];
    place
        .file()
        .strip_prefix(root)
        .is_none_or(|rest| !rest.starts_with("executor"))
}

pub(crate) fn task_kind(raw: u8) -> TaskKind {
    match raw {
        kind if kind == Kind::Callback as u8 => TaskKind::Callback,
        kind if kind == Kind::Main as u8 => TaskKind::Main,
        _ => TaskKind::Async,
    }
}

pub(crate) fn task_state(state: State) -> TaskState {
    match state {
        State::Run => TaskState::Run,
        State::Ready => TaskState::Ready,
        State::Wait => TaskState::Wait,
        State::Done => TaskState::Done,
    }
}

/// A cause as the schema has it, and the id it speaks of, for the task `own`.
pub(crate) fn wake_cause(cause: Cause, own: u64) -> (WakeCause, u64) {
    match cause {
        Cause::Spawn => (WakeCause::Spawn, 0),
        Cause::Task(id) if id == own => (WakeCause::Self_, id),
        Cause::Task(id) => (WakeCause::Task, id),
        Cause::Timer(id) => (WakeCause::Timer, id),
        Cause::Source(id) => (WakeCause::Io, id),
        Cause::Thread(id) => (WakeCause::Foreign, id),
        Cause::Loop => (WakeCause::Loop, 0),
        Cause::Signal(id) => (WakeCause::Signal, id),
        Cause::Nudge => (WakeCause::Nudge, 0),
    }
}
