//! Who waits behind a poll that holds its loop: tasks that are ready, and those whose timer is due.
//!
//! What the kernel has become ready for meanwhile nobody knows before the loop turns, so this is a
//! lower bound. Reads the tables in place; knows no verdict.

use std::sync::atomic::Ordering;

use crate::clock;
use crate::inspect::tables::{since, state_of};
use crate::record::LoopRecord;
use crate::record::task::{State, flag};
use crate::record::timer::Kind;

/// Rows that are looked at, of each table: about 0.3 ms.
const ROWS: u32 = 65_536;
/// Tables of at most so many rows are cheap to look at with each look.
const FEW: u32 = 4_096;

/// What one look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Tasks that could run, were it not for the poll.
    pub(crate) tasks: u64,
    /// For how long the one that waits longest had waited then, nanoseconds. 0: nobody waited.
    pub(crate) longest: u64,
    /// The tick of the look.
    pub(crate) at: u64,
}

impl Behind {
    /// How long the one that waits longest has waited at tick `now`, if anybody waits: nobody gets
    /// a turn before the poll ends.
    pub(crate) fn worst(&self, now: u64) -> Option<u64> {
        let more = clock::ticks_to_ns(now.saturating_sub(self.at));
        (self.tasks > 0).then(|| self.longest + more)
    }
}

/// Whether `record` has so few rows that looking at them costs next to nothing.
pub(super) fn is_cheap(record: &LoopRecord) -> bool {
    record.tasks.slots() + record.timers.slots() <= FEW
}

/// Looks who waits.
pub(super) fn look(record: &LoopRecord) -> Behind {
    let (at, mono) = (clock::ticks(), clock::mono());
    let relaxed = Ordering::Relaxed;
    let mut behind = Behind {
        at,
        ..Behind::default()
    };
    let mut waits = |ns: u64| {
        behind.tasks += 1;
        behind.longest = behind.longest.max(ns);
    };
    let live = |id: u64| id != 0;
    for slot in 0..record.tasks.slots().min(ROWS) {
        let Some(row) = record.tasks.get(slot) else {
            continue;
        };
        if live(row.task_id())
            && row.flags.load(relaxed) & flag::INTERNAL == 0
            && state_of(row) == State::Ready
        {
            let woken = since(record, row, State::Ready);
            waits(clock::ticks_to_ns(at.saturating_sub(woken)));
        }
    }
    for (_, row) in record.timers.live().take(ROWS as usize) {
        let due = row.deadline.load(relaxed);
        if row.armed.load(relaxed) != 0
            && due < mono
            && row.kind.load(relaxed) != Kind::Internal as u8
        {
            waits(mono - due);
        }
    }
    behind
}
