//! What tokio's hooks tell of its tasks, as rows of the same table as ours.
//!
//! The hooks say who was spawned where, and when each poll begins and ends; not who woke a task, who
//! holds its waker, or how it ended. So no verdict is made from those: a row counts as having a
//! waker, as allowed to last, and as woken when its poll begins.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, TaskMeta};
use tokio::task::Id;

use crate::clock;
use crate::record::current::Doing;
use crate::record::names::NameId;
use crate::record::task::{Birth, Kind, TaskRow, flag};
use crate::record::{self, LoopRecord, Owner};

/// A spawn, on whatever thread, that the helper's thread has not taken in yet.
struct Spawned {
    id: Id,
    place: &'static Location<'static>,
    parent: u64,
    at: u64,
}

/// The way from the spawning threads to the helper's.
#[derive(Clone)]
pub(super) struct Listed {
    record: Arc<LoopRecord>,
    waiting: Arc<Mutex<Vec<Spawned>>>,
}

thread_local! {
    /// The helper's own: its free rows, and which row is whose.
    static ROWS: RefCell<(Owner, HashMap<Id, u32>)> = RefCell::default();
    /// The tick at which the running poll began.
    static BEGAN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Has the runtime that `builder` makes tell of its tasks.
pub(super) fn hooks(builder: &mut Builder, record: &Arc<LoopRecord>) -> Listed {
    let listed = Listed {
        record: record.clone(),
        waiting: Arc::default(),
    };
    let (spawns, begins, ends, over) = (
        listed.clone(),
        listed.clone(),
        listed.clone(),
        listed.clone(),
    );
    builder
        .on_task_spawn(move |task| spawns.spawned(task))
        .on_before_task_poll(move |task| begins.poll_begins(task))
        .on_after_task_poll(move |task| ends.poll_ends(task))
        .on_task_terminate(move |task| over.ended(task));
    listed
}

impl Listed {
    fn spawned(&self, task: &TaskMeta<'_>) {
        let spawned = Spawned {
            id: task.id(),
            place: task.spawned_at(),
            parent: record::current_task(),
            at: clock::ticks(),
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(spawned);
    }

    /// Gives the tasks that were spawned since then their rows. The helper's thread.
    pub(super) fn take_in(&self) {
        let spawned = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        if spawned.is_empty() {
            return;
        }
        ROWS.with_borrow_mut(|(owner, rows)| {
            let record = &self.record;
            for task in spawned {
                let site = record
                    .sites
                    .of(&owner.sites, task.place, "a task of tokio's", 0);
                let Some((slot, row)) = record.tasks.take(&owner.tasks) else {
                    record.stats.unrecorded.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                row.spawned(&Birth {
                    id: owner.ids.next(),
                    kind: Kind::Task,
                    parent: task.parent,
                    at: task.at,
                    site,
                    name: NameId::NONE,
                    number: 0,
                    loop_id: record.id.get(),
                    flags: flag::FOREVER | flag::DETACHED,
                });
                // Tokio holds a waker for each of its tasks, whether or not anybody else does.
                row.refs_here.store(1, Ordering::Relaxed);
                record::count(&record.stats.spawned);
                rows.insert(task.id, slot);
            }
        });
    }

    fn with_row(&self, task: &TaskMeta<'_>, state: impl FnOnce(&TaskRow)) {
        let slot = ROWS.with_borrow(|(_, rows)| rows.get(&task.id()).copied());
        if let Some(row) = slot.and_then(|slot| self.record.tasks.get(slot)) {
            state(row);
        }
    }

    fn poll_begins(&self, task: &TaskMeta<'_>) {
        self.take_in();
        let now = clock::ticks();
        BEGAN.set(now);
        self.record.phase(Doing::Polling, now);
        self.with_row(task, |row| {
            // When it was woken, and by whom, nobody tells.
            row.woken_at.store(now, Ordering::Relaxed);
            row.woken_by.store(0, Ordering::Relaxed);
            row.poll_begin(&self.record, now);
        });
    }

    fn poll_ends(&self, task: &TaskMeta<'_>) {
        let now = clock::ticks();
        self.with_row(task, |row| self.count_poll(row, now, true));
        self.record.phase(Doing::Turning, now);
    }

    fn count_poll(&self, row: &TaskRow, now: u64, alive: bool) {
        let began = BEGAN.get();
        row.poll_end(&self.record, began, now, alive);
        record::count(&self.record.stats.polls);
        record::add(&self.record.stats.busy, now.saturating_sub(began));
    }

    fn ended(&self, task: &TaskMeta<'_>) {
        // A task that was aborted before its first poll.
        self.take_in();
        ROWS.with_borrow_mut(|(owner, rows)| {
            if let Some(slot) = rows.remove(&task.id())
                && let Some(row) = self.record.tasks.get(slot)
            {
                // Told before the end of the poll in which it ended, if that is how it ended.
                if std::ptr::eq(self.record.current.row(), row) {
                    self.count_poll(row, clock::ticks(), false);
                }
                row.vacate();
                self.record.tasks.give_back(&owner.tasks, slot);
                record::count(&self.record.stats.finished);
            }
        });
    }
}
