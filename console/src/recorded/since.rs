//! What happened after the snapshot, which the rings tell and the tables do not: counted, and applied to the rows that it is about.
//! Only what is a fact is applied: a task that was spawned afterwards has no row, since nothing but its spawn is known.

use std::collections::{BTreeMap, HashMap};

use loop_proto::pb::{self, EventKind, Target};

use super::story::Story;

/// How much happened after the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// Tasks that were spawned.
    pub spawned: u64,
    /// Tasks that ended.
    pub ended: u64,
    /// Polls that were over, and took longer than their budget by the clock: a ring has no watchdog's word on how much of it they
    /// had no CPU.
    pub blocks: u64,
    /// Events of any kind.
    pub events: u64,
}

impl Since {
    /// Counts what is later than `at_ns`.
    pub(super) fn count(story: &Story, at_ns: u64) -> Self {
        let mut since = Since::default();
        for event in story.after(at_ns) {
            since.events += 1;
            match event.kind() {
                EventKind::TaskSpawned => since.spawned += 1,
                EventKind::TaskFinished => since.ended += 1,
                EventKind::LoopUnblocked => since.blocks += 1,
                _ => {}
            }
        }
        since
    }

    /// Applies it to the rows of the snapshot.
    pub(super) fn apply(
        self,
        story: &Story,
        tables: &mut BTreeMap<Target, pb::View>,
        details: &mut HashMap<u64, pb::TaskDetail>,
        at_ns: u64,
    ) {
        if self.ended == 0 && self.blocks == 0 {
            return;
        }
        let mut ended: HashMap<u64, pb::Event> = HashMap::new();
        let mut freed: HashMap<u64, pb::Event> = HashMap::new();
        for event in story.after(at_ns) {
            match (event.kind(), event.loop_id) {
                (EventKind::TaskFinished, _) => {
                    ended.insert(event.task_id, event);
                }
                // The first is the end of the block that the snapshot saw.
                (EventKind::LoopUnblocked, Some(of)) => {
                    freed.entry(of).or_insert(event);
                }
                _ => {}
            }
        }
        let end = |row: &mut pb::TaskRow| {
            if let Some(event) = ended.get(&row.id)
                && row.ended_at_ns.is_none()
            {
                row.state = pb::TaskState::Done.into();
                row.outcome = event.outcome;
                row.ended_at_ns = Some(event.at_ns);
                (row.since_ns, row.for_ns) = (event.at_ns, 0);
                (row.waiting_on, row.more_waits, row.waiting_at_text) = (None, 0, 0);
            }
        };
        if let Some(view) = tables.get_mut(&Target::Tasks) {
            view.tasks.iter_mut().for_each(end);
        }
        for detail in details.values_mut() {
            detail.task.iter_mut().for_each(end);
            detail.parents.iter_mut().for_each(end);
            detail.children.iter_mut().for_each(end);
        }
        let over = |row: &mut pb::BlockRow| {
            let Some(event) = freed.get(&row.loop_id) else {
                return;
            };
            let began = event
                .at_ns
                .saturating_sub(event.duration_ns.unwrap_or_default());
            // Of another poll than this one it says nothing.
            if row.ended_at_ns.is_none() && began <= row.started_at_ns.saturating_add(SLACK_NS) {
                row.ended_at_ns = Some(event.at_ns);
                row.wall_ns = event.at_ns.saturating_sub(row.started_at_ns);
                row.waiting_now = None;
            }
        };
        if let Some(view) = tables.get_mut(&Target::Blocks) {
            view.blocks.iter_mut().for_each(over);
        }
        if let Some(view) = tables.get_mut(&Target::Loops) {
            for row in &mut view.loops {
                row.blocked.iter_mut().for_each(over);
                if row
                    .blocked
                    .as_ref()
                    .is_some_and(|block| block.ended_at_ns.is_some())
                {
                    row.blocked = None;
                    // What it did then is not known.
                    row.state = pb::LoopState::Unspecified.into();
                }
            }
        }
    }
}

/// The watchdog's clock and the loop's may differ by so much about the start of one poll.
const SLACK_NS: u64 = 1_000_000;
