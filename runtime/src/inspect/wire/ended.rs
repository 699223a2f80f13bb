//! A task that ended as a message.

use loop_proto::pb;

use super::Wire;
use crate::inspect::live::task_kind;
use crate::inspect::tables::LoopLook;
use crate::record::ended::Ended;
use crate::record::task::{Outcome, flag};

impl Wire<'_> {
    pub(crate) fn ended(&mut self, at: &LoopLook, ended: &Ended) -> pb::TaskRow {
        let now = self.look.now;
        let site = at.site(ended.site);
        let name = self
            .look
            .task_name(at, ended.name, ended.number, ended.kind, ended.site);
        let for_ns = now.since(ended.ended_at);
        let has = |flag: u8| ended.flags & flag != 0;
        pb::TaskRow {
            id: ended.id,
            name: self.name(name),
            kind: task_kind(ended.kind) as i32,
            state: pb::TaskState::Done as i32,
            loop_id: at.record.id.get().into(),
            parent_id: ended.parent,
            spawned_at_ns: now.mono_of(ended.spawned_at),
            spawn_place_text: self.texts.place(site.place),
            type_text: if self.extras.type_name {
                self.texts.fixed(site.type_name)
            } else {
                0
            },
            for_ns,
            since_ns: now.mono.saturating_sub(for_ns),
            polls: ended.polls,
            busy_ns: now.ns(ended.busy),
            scheduled_ns: now.ns(ended.scheduled),
            max_poll_ns: now.ns(ended.max_poll),
            detached: has(flag::DETACHED),
            cancel_requested: has(flag::CANCELLING) || ended.outcome == Outcome::Cancelled,
            outcome: outcome(ended.outcome) as i32,
            error: ended.error.clone(),
            ended_at_ns: Some(now.mono_of(ended.ended_at)),
            internal: at.record.facts.internal || has(flag::INTERNAL),
            future_bytes: u32::try_from(site.size).unwrap_or(u32::MAX),
            allowed_forever: has(flag::FOREVER),
            ..pb::TaskRow::default()
        }
    }
}

pub(crate) fn outcome(outcome: Outcome) -> pb::Outcome {
    match outcome {
        Outcome::Returned => pb::Outcome::Returned,
        Outcome::Failed => pb::Outcome::Error,
        Outcome::Panicked => pb::Outcome::Panicked,
        Outcome::Cancelled => pb::Outcome::Cancelled,
        Outcome::Dropped => pb::Outcome::Closed,
    }
}
