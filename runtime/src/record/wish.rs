//! Wishes for the stack of a loop's own thread: at a task's next wait, or at every so many spawns.
//!
//! A wish costs who does not have one nothing: a task's is a byte beside what a wait writes anyway,
//! that for spawns a bit of a word that each spawn reads anyway. Knows no stack: whoever takes them
//! leaves a function here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::LoopRecord;
use super::task::TaskRow;
use super::watched::WISHED;

/// What the thread is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// To return `Pending` from the innermost future of the task it polls.
    Waits,
    /// To spawn the task.
    Spawns,
}

/// Takes the stack of the calling thread, the loop's, for a task of that id after so many polls.
pub(crate) type Take = fn(record: &LoopRecord, moment: Moment, task: u64, polls: u64);

static TAKE: OnceLock<Take> = OnceLock::new();

/// One of so many spawns is to be taken; 0 for none.
static RATE: AtomicU32 = AtomicU32::new(0);

/// Stacks of spawns that were taken, and the ticks that took.
pub(crate) static TAKEN: AtomicU64 = AtomicU64::new(0);
pub(crate) static TOOK: AtomicU64 = AtomicU64::new(0);

/// From now on `take` is called where a stack is wished for. The first stays.
pub(crate) fn granted_by(take: Take) {
    let _ = TAKE.set(take);
}

/// Has one of `rate` spawns of every loop of the app taken; 0 for none. Any thread.
pub(crate) fn sample_spawns(rate: u32) {
    RATE.store(rate, Ordering::SeqCst);
    for record in super::loops() {
        record.wish_spawns(rate != 0);
    }
}

/// One of how many spawns is taken; 0: none.
pub(crate) fn spawn_rate() -> u32 {
    RATE.load(Ordering::SeqCst)
}

/// The task that is polled goes to wait, and its stack is wished for.
#[cold]
#[inline(never)]
pub(crate) fn waits(record: &LoopRecord, row: &TaskRow) {
    row.watched.fetch_and(!WISHED, Ordering::Relaxed);
    take(
        record,
        Moment::Waits,
        row.task_id(),
        row.polls.load(Ordering::Relaxed),
    );
}

/// Task `id` is being spawned on a loop whose spawns are sampled. `counted` is the loop's counter.
#[cold]
#[inline(never)]
pub(crate) fn spawns(record: &LoopRecord, counted: &AtomicU32, id: u64) {
    let count = counted.load(Ordering::Relaxed) + 1;
    if count < RATE.load(Ordering::Relaxed) {
        counted.store(count, Ordering::Relaxed);
        return;
    }
    counted.store(0, Ordering::Relaxed);
    take(record, Moment::Spawns, id, 0);
}

fn take(record: &LoopRecord, moment: Moment, task: u64, polls: u64) {
    if let Some(take) = TAKE.get() {
        take(record, moment, task, polls);
    }
}
