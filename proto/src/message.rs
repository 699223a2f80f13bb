//! Messages as rows: the console filters, sorts and pages what it has recorded with the same code
//! that the app runs on its live tables. Knows nothing of streams.

mod split;

pub use split::{split_verdict, split_view};

use std::collections::HashMap;

use crate::finding::bits;
use crate::page::{Request, RowSource, select};
use crate::pb;
use crate::row::{Field, PipeOf, Row, Value, Waiting};

/// No message is larger, in bytes: a sender cuts an answer into parts, a receiver refuses more.
pub const MAX_BYTES: usize = 1 << 20;

/// No request is larger, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;

/// More texts than this are not kept: no honest app sends as many.
const MAX_TEXTS: usize = 1 << 18;

/// The texts that a stream has carried, by id.
#[derive(Clone, Debug, Default)]
pub struct Texts(HashMap<u32, String>);

impl Texts {
    /// Keeps the texts of a message. The ones already known are replaced.
    pub fn learn(&mut self, interned: impl IntoIterator<Item = pb::Interned>) {
        for entry in interned {
            if self.0.len() < MAX_TEXTS || self.0.contains_key(&entry.id) {
                self.0.insert(entry.id, entry.text);
            }
        }
    }

    /// The text of an id; empty for 0 and for an id that the stream has not carried.
    #[must_use]
    pub fn get(&self, id: u32) -> &str {
        if id == 0 {
            ""
        } else {
            self.0.get(&id).map_or("", String::as_str)
        }
    }

    /// A name in full, unescaped; empty when there is none.
    #[must_use]
    pub fn name(&self, name: Option<&pb::Name>) -> String {
        match self.name_value(name) {
            Value::Text(text) => text.to_owned(),
            Value::Numbered(stem, number) => format!("{stem}{}{number}", crate::row::joint(stem)),
            _ => String::new(),
        }
    }

    fn name_value<'a>(&'a self, name: Option<&'a pb::Name>) -> Value<'a> {
        let Some(name) = name else {
            return Value::Absent;
        };
        if !name.own.is_empty() {
            return Value::Text(&name.own);
        }
        match (self.get(name.stem_text), name.number) {
            ("", _) => Value::Absent,
            (stem, Some(number)) => Value::Numbered(stem, number),
            (stem, None) => Value::Text(stem),
        }
    }

    fn value(&self, id: u32) -> Value<'_> {
        Value::text(self.get(id))
    }

    /// A wait, ready to be put in words.
    #[must_use]
    pub fn waiting<'a>(&'a self, wait: &'a pb::Wait) -> Waiting<'a> {
        let (name, number) = match self.name_value(wait.name.as_ref()) {
            Value::Text(text) => (text, None),
            Value::Numbered(stem, number) => (stem, Some(number)),
            _ => ("", None),
        };
        Waiting {
            kind: wait.kind(),
            id: wait.id,
            resource: wait.resource_kind(),
            name,
            number,
            fd: wait.fd,
            readable: wait.readable,
            writable: wait.writable,
            detail: &wait.detail,
            holder: wait.holder_task_id,
            count: wait.count,
            pipe: wait.pipe.as_ref().map(pipe_of),
        }
    }
}

/// A child's pipe, ready to be put in words.
#[must_use]
pub fn pipe_of(pipe: &pb::ChildPipe) -> PipeOf<'_> {
    PipeOf {
        pid: pipe.pid,
        program: &pipe.program,
        stream: pipe.stream,
        ended: pipe.ended,
    }
}

impl pb::Strip {
    /// The time that its values cover up to `at_ns`: the newest slot is still filling.
    #[must_use]
    pub fn covered_ns(&self, at_ns: u64) -> u64 {
        let whole = self.slot_ns.saturating_mul(self.values.len() as u64);
        whole.saturating_sub(self.end_ns.saturating_sub(at_ns).min(self.slot_ns))
    }

    /// The share of that time that its values, durations themselves, fill. `None`: no time yet.
    #[must_use]
    pub fn share(&self, at_ns: u64) -> Option<f64> {
        let covered = self.covered_ns(at_ns);
        let sum = self
            .values
            .iter()
            .fold(0u64, |sum, value| sum.saturating_add(*value));
        (covered > 0).then(|| (sum as f64 / covered as f64).min(1.0))
    }
}

/// A message as a row: with the texts of its stream, at the moment its numbers are of.
#[derive(Debug)]
pub struct Of<'a, M> {
    /// The message.
    pub message: &'a M,
    /// The texts of its stream.
    pub texts: &'a Texts,
    /// `View.at_ns` of the answer it came in.
    pub at_ns: u64,
}

/// A derive would ask the message to be `Copy` too.
impl<M> Clone for Of<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Of<'_, M> {}

impl<M> Of<'_, M> {
    /// Time since `then`.
    fn since(&self, then: u64) -> Value<'static> {
        Value::nanos(self.at_ns.saturating_sub(then))
    }

    fn since_some(&self, then: Option<u64>) -> Value<'static> {
        then.map_or(Value::Absent, |then| self.since(then))
    }
}

/// Messages of one answer as a table.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a, M> {
    /// The messages.
    pub rows: &'a [M],
    /// The texts of their stream.
    pub texts: &'a Texts,
    /// `View.at_ns` of the answer.
    pub at_ns: u64,
}

impl<M: Clone> Messages<'_, M>
where
    for<'r> Of<'r, M>: Row,
{
    /// The rows that a question is about, in its order; `view` gets the counts, or what is wrong
    /// with the question.
    #[must_use]
    pub fn answer(&self, query: &pb::Query, view: &mut pb::View) -> Vec<M> {
        let request = match Request::from_message(query) {
            Ok(request) => request,
            Err(error) => {
                view.error = Some(error);
                return Vec::new();
            }
        };
        let page = select(self, request);
        page.fill(view);
        let id_of = |message| {
            let (texts, at_ns) = (self.texts, self.at_ns);
            Of {
                message,
                texts,
                at_ns,
            }
            .id()
        };
        let by_id: HashMap<u64, &M> = self.rows.iter().map(|row| (id_of(row), row)).collect();
        let chosen = page.rows.iter();
        chosen
            .filter_map(|entry| by_id.get(&entry.id()).copied().cloned())
            .collect()
    }
}

impl<M> RowSource for Messages<'_, M>
where
    for<'r> Of<'r, M>: Row,
{
    type Row<'r>
        = Of<'r, M>
    where
        Self: 'r;

    fn visit(&self, mut each: impl FnMut(&Of<'_, M>)) {
        for message in self.rows {
            each(&Of {
                message,
                texts: self.texts,
                at_ns: self.at_ns,
            });
        }
    }
}

fn some_number(number: Option<u64>) -> Value<'static> {
    number.map_or(Value::Absent, Value::Number)
}

fn some_nanos(ns: Option<u64>) -> Value<'static> {
    ns.map_or(Value::Absent, Value::nanos)
}

/// Directions as the columns `want` and `ready` number them.
fn directions(read: bool, write: bool) -> Value<'static> {
    Value::Word(u8::from(read) | u8::from(write) << 1)
}

impl Row for Of<'_, pb::TaskRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let (row, texts) = (self.message, self.texts);
        match field {
            Field::Id => Value::Number(row.id),
            Field::Name => match texts.name_value(row.name.as_ref()) {
                // The type stands for a name that is not there, as on the screen.
                Value::Absent => texts.value(row.type_text),
                name => name,
            },
            Field::Kind => Value::word(row.kind),
            Field::State => Value::word(row.state),
            Field::Loop => Value::Number(row.loop_id),
            Field::Parent => Value::some_id(row.parent_id),
            Field::Age => self.since(row.spawned_at_ns),
            Field::Place => texts.value(row.spawn_place_text),
            Field::Type => texts.value(row.type_text),
            Field::Wait => row
                .waiting_on
                .as_ref()
                .map_or(Value::Absent, |wait| Value::word(wait.kind)),
            Field::On => match &row.waiting_on {
                Some(wait) => Value::Waiting(texts.waiting(wait)),
                None => Value::Absent,
            },
            Field::At => texts.value(row.waiting_at_text),
            Field::For => Value::nanos(row.for_ns),
            Field::Polls => Value::Number(row.polls),
            Field::Busy => {
                let share = row
                    .busy_strip
                    .as_ref()
                    .and_then(|strip| strip.share(self.at_ns));
                share.map_or(Value::Absent, Value::Ratio)
            }
            Field::BusyTime => Value::nanos(row.busy_ns),
            Field::Scheduled => Value::nanos(row.scheduled_ns),
            Field::Max => Value::nanos(row.max_poll_ns),
            Field::Wakes => Value::Number(row.wakes),
            Field::SelfWakes => Value::Number(row.self_wakes),
            Field::Wakers => Value::Number(row.wakers.into()),
            Field::Handles => Value::Number(row.handles.into()),
            Field::WokenBy => row
                .last_wake
                .as_ref()
                .map_or(Value::Absent, |wake| Value::word(wake.cause)),
            Field::Detached => Value::Flag(row.detached),
            Field::Cancel => Value::Flag(row.cancel_requested),
            Field::Outcome => Value::word(row.outcome),
            Field::Error => Value::text(&row.error),
            Field::Finding => Value::Set(bits(&row.findings)),
            Field::Children => Value::Number(row.children.into()),
            Field::Size => Value::some_id(row.future_bytes.into()),
            Field::Ended => self.since_some(row.ended_at_ns),
            Field::Internal => Value::Flag(row.internal),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::LoopRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        match field {
            Field::Id => Value::Number(row.id),
            Field::Name => match self.texts.name_value(row.name.as_ref()) {
                Value::Absent => Value::text(&row.thread),
                name => name,
            },
            Field::Thread => Value::text(&row.thread),
            Field::State => Value::word(row.state),
            Field::Tasks => Value::Number(row.tasks),
            Field::Ready => Value::Number(row.ready),
            Field::Busy => row.busy_ratio.map_or(Value::Absent, Value::Ratio),
            Field::BusyTime => Value::nanos(row.busy_ns),
            Field::LagP50 => some_nanos(row.lag_p50_ns),
            Field::Lag => some_nanos(row.lag_p99_ns),
            Field::LagMax => some_nanos(row.lag_max_ns),
            Field::Iterations => Value::Number(row.iterations),
            Field::Polls => Value::Number(row.polls),
            Field::Timers => Value::Number(row.timers),
            Field::Sources => Value::Number(row.sources),
            Field::Blocks => Value::Number(row.blocks),
            Field::Worst => Value::nanos(row.worst_block_ns),
            Field::Spawned => Value::Number(row.spawned),
            Field::Finished => Value::Number(row.finished),
            Field::Lost => Value::Number(
                row.lost
                    .iter()
                    .fold(0, |sum, lost| sum.saturating_add(lost.count)),
            ),
            Field::Internal => Value::Flag(row.internal),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::TimerRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let (row, texts) = (self.message, self.texts);
        match field {
            Field::Id => Value::Number(row.id),
            Field::Kind => Value::word(row.kind),
            Field::Loop => Value::Number(row.loop_id),
            Field::Task => Value::some_id(row.owner_id),
            Field::Owner => texts.name_value(row.owner_name.as_ref()),
            Field::Gone => Value::Flag(row.owner_gone),
            Field::Due => Value::due(row.due_ns, self.at_ns),
            Field::Late => some_nanos(row.late_ns),
            Field::Every => some_nanos(row.period_ns),
            Field::Fired => Value::Number(row.fired),
            Field::Rearmed => Value::Number(row.rearmed),
            Field::Place => texts.value(row.set_at_text),
            Field::Age => self.since(row.armed_at_ns),
            Field::Finding => Value::Set(bits(&row.findings)),
            Field::Internal => Value::Flag(row.internal),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::IoRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let (row, texts) = (self.message, self.texts);
        match field {
            Field::Id => Value::Number(row.id),
            Field::Fd => some_number(row.fd.and_then(|fd| u64::try_from(fd).ok())),
            Field::Kind => Value::word(row.kind),
            Field::Loop => Value::Number(row.loop_id),
            Field::Local => Value::text(&row.local),
            Field::Peer => Value::text(&row.peer),
            Field::Want => directions(row.want_read, row.want_write),
            Field::Ready => directions(row.ready_read, row.ready_write),
            Field::Task => Value::some_id(row.task_id),
            Field::Owner => texts.name_value(row.task_name.as_ref()),
            Field::Gone => Value::Flag(row.task_gone),
            Field::Child => some_number(row.pipe.as_ref().map(|pipe| pipe.pid.into())),
            Field::Program => row
                .pipe
                .as_ref()
                .map_or(Value::Absent, |pipe| Value::text(&pipe.program)),
            Field::Idle => self.since(row.last_ready_ns.unwrap_or(row.registered_at_ns)),
            Field::Wakes => Value::Number(row.wakes),
            Field::Spurious => Value::Number(row.spurious),
            Field::Buffered => Value::Number(row.buffered_bytes),
            Field::Place => texts.value(row.place_text),
            Field::Age => self.since(row.registered_at_ns),
            Field::Finding => Value::Set(bits(&row.findings)),
            Field::Internal => Value::Flag(row.internal),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::JobRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let (row, texts) = (self.message, self.texts);
        match field {
            Field::Id => Value::Number(row.id),
            Field::State => Value::word(row.state),
            Field::Name => texts.name_value(row.name.as_ref()),
            Field::Pool => Value::text(&row.pool),
            Field::Thread => Value::some_id(row.tid),
            Field::Loop => some_number(row.loop_id),
            Field::Task => Value::some_id(row.task_id),
            Field::Owner => texts.name_value(row.task_name.as_ref()),
            Field::Gone => Value::Flag(row.task_gone),
            Field::Type => texts.value(row.type_text),
            Field::Place => texts.value(row.place_text),
            Field::Age => self.since(row.queued_at_ns),
            Field::For => self.since(row.started_at_ns.unwrap_or(row.queued_at_ns)),
            Field::Finding => Value::Set(bits(&row.findings)),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::ResourceRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let (row, texts) = (self.message, self.texts);
        match field {
            Field::Id => Value::Number(row.id),
            Field::Kind => Value::word(row.kind),
            Field::Name => texts.name_value(row.name.as_ref()),
            Field::State => Value::word(row.state),
            Field::Loop => some_number(row.loop_id),
            Field::Task => Value::some_id(row.owner_id),
            Field::Owner => texts.name_value(row.owner_name.as_ref()),
            Field::Gone => Value::Flag(row.owner_gone),
            Field::Place => texts.value(row.place_text),
            Field::Age => self.since(row.made_at_ns),
            Field::Waiters => Value::Number(row.waiters.into()),
            Field::Holder => some_number(row.holder_task_id),
            Field::For => some_nanos(row.oldest_wait_ns),
            Field::Value => some_number(row.value),
            Field::Capacity => some_number(row.capacity),
            Field::Uses => Value::Number(row.uses),
            Field::Contended => Value::Number(row.contended),
            Field::Finding => Value::Set(bits(&row.findings)),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::ChildRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        let some =
            |number: Option<i32>| some_number(number.and_then(|number| u64::try_from(number).ok()));
        match field {
            Field::Id => Value::Number(row.id),
            Field::Pid => Value::Number(row.pid.into()),
            Field::Name => Value::text(&row.program),
            Field::Loop => Value::Number(row.loop_id),
            Field::Task => Value::some_id(row.task_id),
            Field::Owner => self.texts.name_value(row.task_name.as_ref()),
            Field::Gone => Value::Flag(row.task_gone),
            Field::Place => self.texts.value(row.place_text),
            Field::Age => self.since(row.started_at_ns),
            Field::Pipes => Value::Set(u64::from(row.open_pipes & 0b111)),
            Field::Running => Value::Flag(!row.ended && row.ended_at_ns.is_none()),
            Field::Code => some(row.exit_code),
            Field::Signal => some(row.signal),
            Field::Waiters => Value::Number(row.waiters.into()),
            Field::Finding => Value::Set(bits(&row.findings)),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::SignalRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        match field {
            Field::Id => Value::Number(row.id),
            Field::Number => some_number(u64::try_from(row.number).ok()),
            Field::Name => Value::text(&row.name),
            Field::Loop => Value::Number(row.loop_id),
            Field::Waiters => Value::Number(row.listeners.into()),
            Field::Count => Value::Number(row.deliveries),
            Field::Last => self.since_some(row.last_at_ns),
            Field::Place => self.texts.value(row.place_text),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::Finding> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        match field {
            Field::Id => Value::Number(row.id),
            Field::Finding => Value::Set(bits(&[row.name])),
            Field::Grade => Value::word(row.grade),
            Field::Subject => Value::word(row.subject_kind),
            Field::Task => Value::some_id(row.subject_id),
            Field::Name => self.texts.name_value(row.subject_name.as_ref()),
            Field::Loop => some_number(row.loop_id),
            Field::Place => self.texts.value(row.place_text),
            Field::Evidence => Value::Lines(&row.evidence),
            Field::Age => self.since(row.since_ns),
            Field::Count => Value::Number(row.count),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::BlockRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        match field {
            Field::Id => Value::Number(row.id),
            Field::Loop => Value::Number(row.loop_id),
            Field::Task => Value::some_id(row.task_id),
            Field::Name => self.texts.name_value(row.task_name.as_ref()),
            Field::Kind => Value::word(row.task_kind),
            Field::Place => self.texts.value(row.place_text),
            Field::For => Value::nanos(row.wall_ns),
            Field::Lower => some_nanos(row.lower_ns),
            Field::Upper => some_nanos(row.upper_ns),
            Field::Cause => Value::word(row.cause),
            Field::Age => self.since(row.started_at_ns),
            Field::Running => Value::Flag(row.ended_at_ns.is_none()),
            Field::Waiters => some_number(row.waited_behind),
            Field::Finding => Value::Set(bits(&row.findings)),
            _ => Value::Absent,
        }
    }
}

impl Row for Of<'_, pb::PlaceRow> {
    fn id(&self) -> u64 {
        self.message.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        match field {
            Field::Id => Value::Number(row.id),
            Field::Place => self.texts.value(row.place_text),
            Field::Name => self.texts.value(row.stem_text),
            Field::Live => Value::Number(row.live),
            Field::Ready => Value::Number(row.ready),
            Field::Spawned => Value::Number(row.spawned),
            Field::Finished => Value::Number(row.finished),
            Field::Failed => Value::Number(row.failed),
            Field::BusyTime => Value::nanos(row.busy_ns),
            Field::Max => Value::nanos(row.max_poll_ns),
            Field::Polls => Value::Number(row.polls),
            Field::Age => self.since_some(row.oldest_spawned_at_ns),
            Field::Generations => Value::Number(row.generations.into()),
            Field::Finding => Value::Set(bits(&row.findings)),
            _ => Value::Absent,
        }
    }
}

/// An event has no id of its own: it is filtered, never paged.
impl Row for Of<'_, pb::Event> {
    fn id(&self) -> u64 {
        self.message.task_id
    }

    fn value(&self, field: Field) -> Value<'_> {
        let row = self.message;
        match field {
            Field::Kind => Value::word(row.kind),
            Field::Loop => some_number(row.loop_id),
            Field::Task => Value::some_id(row.task_id),
            Field::Name => self.texts.name_value(row.name.as_ref()),
            Field::Id => Value::some_id(row.subject_id),
            Field::Place => self.texts.value(row.place_text),
            Field::Took => some_nanos(row.duration_ns),
            Field::WokenBy => Value::word(row.cause),
            Field::By => Value::some_id(row.by_id),
            Field::Outcome => Value::word(row.outcome),
            Field::Detail => Value::text(&row.detail),
            _ => Value::Absent,
        }
    }
}
