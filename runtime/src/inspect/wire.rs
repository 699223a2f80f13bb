//! From plain values to messages. The only folder of the inspector that names both.

use std::sync::Arc;

use loop_proto::pb;

use super::blocks::Blocks;
use super::ids::IdMap;
use super::strips::{Strip, Strips};
use super::tables::{Look, TaskName};
use super::texts::Texts;
use super::waiters::{LISTED, Waiter, Waiters};
use super::waits::Found;
use crate::record::names::NameId;

pub(crate) mod blocks;
pub(crate) mod ended;
mod findings;
mod hour;
pub(crate) mod loops;
pub(crate) mod rows;
pub(crate) mod sums;
pub(crate) mod task;

/// What messages are made with: the look they are of, the texts they name, and what was found of
/// the things they name.
pub(crate) struct Wire<'a> {
    pub(crate) look: &'a Look,
    pub(crate) texts: &'a mut Texts,
    pub(crate) found: &'a Found,
    /// Findings that hold, as bits, by task.
    pub(crate) findings: Arc<IdMap<u64>>,
    pub(crate) children: Option<&'a IdMap<u32>>,
    pub(crate) strips: Option<&'a Strips>,
    pub(crate) blocks: Option<Arc<Blocks>>,
    /// Who waits for the rows; `None`: nobody asked.
    pub(crate) waiters: Option<&'a Waiters>,
    pub(crate) stacks_off: &'a str,
    pub(crate) extras: Extras,
}

/// Parts of rows that are only filled in when asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    pub(crate) type_name: bool,
    pub(crate) buckets: bool,
    pub(crate) strip: bool,
    pub(crate) scheduled: bool,
    pub(crate) late: bool,
    pub(crate) poll: bool,
    pub(crate) waiting: bool,
}

impl Extras {
    pub(crate) const ALL: Self = Self {
        type_name: true,
        buckets: true,
        strip: true,
        scheduled: true,
        late: true,
        poll: true,
        waiting: true,
    };

    pub(crate) fn of(columns: &[String]) -> Self {
        let has = |name: &str| {
            columns
                .iter()
                .any(|column| column.eq_ignore_ascii_case(name))
        };
        Self {
            type_name: has("type"),
            buckets: has("buckets"),
            strip: has("strip") || has("busy") || has("busy_ratio"),
            scheduled: has("scheduled"),
            late: has("late"),
            poll: has("poll"),
            waiting: has("waiting"),
        }
    }
}

impl Wire<'_> {
    /// A task's name. A type that stands for a name comes as one: who shows it need not know types.
    pub(crate) fn name(&mut self, name: TaskName) -> Option<pb::Name> {
        let stem_text = match name.name {
            NameId::NONE => self.texts.fixed(name.text),
            id => self.texts.name(id, name.text),
        };
        (stem_text != 0).then(|| pb::Name {
            stem_text,
            number: (name.number != 0).then_some(name.number.into()),
            own: String::new(),
        })
    }

    /// A name that is an interned text and nothing else.
    pub(crate) fn plain_name(&mut self, name: NameId) -> Option<pb::Name> {
        let text = self.look.names.text(name);
        let stem_text = self.texts.name(name, text);
        (stem_text != 0).then(|| pb::Name {
            stem_text,
            ..pb::Name::default()
        })
    }

    /// The name of a task that another row names, and whether it is gone.
    pub(crate) fn task_by_id(&mut self, id: u64) -> (Option<pb::Name>, bool) {
        match self.found.tasks.get(&id) {
            _ if id == 0 => (None, false),
            Some(task) => (self.name(*task), false),
            None => (None, true),
        }
    }
}

impl Wire<'_> {
    /// How many tasks wait for the row of that id, and those of them that are listed.
    fn waiting(&mut self, id: u64) -> (usize, Vec<pb::Waiter>) {
        let Some(waiters) = self.waiters else {
            return (0, Vec::new());
        };
        let all = waiters.get(id);
        let listed: &[Waiter] = if self.extras.waiting { all } else { &[] };
        let listed = listed.iter().take(LISTED).map(|waiter| pb::Waiter {
            task_id: waiter.task,
            task_name: self.task_by_id(waiter.task).0,
            since_ns: waiter.since,
            place_text: self.texts.place(waiter.place),
        });
        (all.len(), listed.collect())
    }
}

pub(crate) fn names_of(bits: u64) -> Vec<i32> {
    (1..64).filter(|number| bits >> number & 1 != 0).collect()
}

pub(crate) fn strip(strip: Strip) -> pb::Strip {
    pb::Strip {
        slot_ns: strip.slot_ns,
        end_ns: strip.end_ns,
        values: strip.values,
    }
}

/// A number that is absent when 0.
pub(crate) fn some(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}
