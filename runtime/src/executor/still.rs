//! Whether the tasks that wait can be woken by none but each other. Looks at the wakers themselves,
//! which only the loop's thread can; knows no threads and no reactor.

use std::sync::atomic::Ordering;

use super::Executor;
use super::raw::Work;
use crate::atomic::Ordering as AtomicOrdering;
use crate::id::map::IdMap;
use crate::record::task::{Kind, TaskRow, phase};

/// Slots in which tasks are looked for: with more, nothing is said.
const LOOKED: u32 = 4096;

/// What wakers of this runtime say of a row.
fn address(row: &TaskRow) -> u64 {
    std::ptr::from_ref(row).cast::<()>() as usize as u64
}

/// What is known of one task that waits.
struct Waiter {
    wakers: i32,
    handles: u32,
    waits: u32,
    /// Wakers of it that the tasks which it joins hold.
    held: u32,
    /// Its handle is with whoever awaits it: a task, or the run whose main task it is.
    awaited: bool,
}

impl Executor {
    /// The main task of the last run, while it is not done.
    pub(crate) fn main_row(&self) -> Option<&TaskRow> {
        self.find(self.main.get())
            .filter(|row| row.phase.load(Ordering::Relaxed) != phase::DONE)
    }

    /// Who awaits whose end: tasks by id.
    pub(crate) fn joins(&self) -> Vec<(u64, u64)> {
        let tasks = || self.local.record.tasks.live().map(|(_, row)| row);
        let ids: IdMap<u64> = tasks().map(|row| (address(row), row.task_id())).collect();
        let joined = tasks().filter_map(|row| Some((Work::of(row)?.joiner_of()?, row.task_id())));
        let joins = joined.filter_map(|(by, id)| Some((*ids.get(&(by as usize as u64))?, id)));
        joins.collect()
    }

    /// Whether something from another thread waits to be taken.
    pub(crate) fn was_sent_something(&self) -> bool {
        !self.shared.stack.is_empty()
    }

    /// Whether nothing is ready, and every waker of every task is with a task of this loop that it
    /// joins: then the first to move would have to be one that does not. Handles that nobody awaits
    /// may be anywhere, and count as somebody who can.
    ///
    /// Sound whatever other threads do, as long as they have no other way to the loop: a reference
    /// that one of them took and gave up is seen as either, and a wake before that is seen as well.
    pub(crate) fn wait_for_each_other(&self) -> bool {
        let local = &*self.local;
        let tasks = &local.record.tasks;
        if tasks.slots() > LOOKED || self.ready_len() > 0 || self.was_sent_something() {
            return false;
        }
        let mut waiters: IdMap<Waiter> = IdMap::default();
        let mut joiners = Vec::new();
        for (_, row) in tasks.live() {
            if row.phase.load(Ordering::Relaxed) == phase::DONE {
                continue;
            }
            // Wakes before references, as a waker leaves them.
            let marks = row.away_marks.load(AtomicOrdering::Acquire);
            if marks & 1 != 0 || row.is_queued() {
                return false;
            }
            let away = row.refs_away.load(AtomicOrdering::Acquire) - (marks >> 1) as i32;
            let joiner = Work::of(row).and_then(Work::joiner_of);
            let waiter = Waiter {
                wakers: row.refs_here.load(Ordering::Relaxed) + away,
                handles: row.handles.load(Ordering::Relaxed),
                waits: row.waits.load(Ordering::Relaxed).into(),
                held: 0,
                awaited: joiner.is_some() || row.kind.load(Ordering::Relaxed) == Kind::Main as u8,
            };
            joiners.extend(joiner.map(|joiner| joiner as usize as u64));
            waiters.insert(address(row), waiter);
        }
        for joiner in joiners {
            if let Some(waiter) = waiters.get_mut(&joiner) {
                waiter.held += 1;
            }
        }
        let closed = |waiter: &Waiter| {
            // A wait that its last poll did not state may be for something else by now.
            waiter.wakers == waiter.held as i32
                && waiter.held <= waiter.waits
                && waiter.handles <= u32::from(waiter.awaited)
        };
        !waiters.is_empty() && waiters.values().all(closed) && !self.was_sent_something()
    }
}
