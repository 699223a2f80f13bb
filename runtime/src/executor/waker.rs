//! Wakers: a row's address and the functions that count, wake and give up.
//!
//! On the loop's own thread nothing is atomic but in name: counts and marks are plain loads and
//! stores. Elsewhere `away` does the work. Loom test: `executor/model.rs`.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::away;
use super::error::JoinError;
use super::raw::{RawTask, Work};
use super::{Local, Shared};
use crate::clock;
use crate::record::task::TaskRow;
use crate::record::wake::Cause;

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// The waker that a poll lends: it is not counted, and not dropped.
#[inline]
pub(crate) fn lent(row: &TaskRow) -> ManuallyDrop<Waker> {
    // SAFETY: the functions of TABLE keep the waker contract for a row's address; the row lives
    // while the loop polls it, and whoever clones the waker counts.
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(ptr::from_ref(row).cast(), &TABLE)) })
}

/// A waker of one's own, counted. The loop's thread.
pub(crate) fn owned(row: &TaskRow) -> Waker {
    Waker::clone(&lent(row))
}

thread_local! {
    /// What the executor of this thread's loop keeps for wakes; null where no loop is entered.
    static HERE: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

/// While it lives, wakes on this thread of this loop's tasks are local.
pub(crate) struct Entered(*const Local);

impl Entered {
    pub(crate) fn enter(local: &std::rc::Rc<Local>) -> EnteredGuard {
        let before = HERE.replace(std::rc::Rc::as_ptr(local));
        EnteredGuard {
            before: Self(before),
            _keeps: local.clone(),
        }
    }
}

/// Puts back what was there.
pub(crate) struct EnteredGuard {
    before: Entered,
    /// Keeps what HERE points to alive.
    _keeps: std::rc::Rc<Local>,
}

impl Drop for EnteredGuard {
    fn drop(&mut self) {
        HERE.set(self.before.0);
    }
}

/// Runs `f` with what belongs to `row`'s loop, if that is the one of this thread.
#[inline(always)]
pub(crate) fn here<R>(row: &TaskRow, f: impl FnOnce(&Local) -> R) -> Option<R> {
    let local = HERE.get();
    // SAFETY: null, or set by an `EnteredGuard` that is alive on this thread and keeps the `Local`.
    let local = unsafe { local.as_ref() }?;
    (local.loop_id.get() == row.loop_id.load(Ordering::Relaxed)).then(|| f(local))
}

/// Runs `f` with what belongs to the loop `id`, if that is open and the one of this thread.
#[inline(always)]
pub(crate) fn here_is<R>(id: u32, f: impl FnOnce(&Local) -> R) -> Option<R> {
    let local = HERE.get();
    // SAFETY: as in `here`.
    let local = unsafe { local.as_ref() }?;
    (local.loop_id.get() == id).then(|| f(local))
}

/// The row behind a waker.
///
/// # Safety
/// `data` came from `lent`, and the caller holds a reference to the row.
#[inline(always)]
unsafe fn row<'a>(data: *const ()) -> &'a TaskRow {
    // SAFETY: rows are type-stable; they live while their loop's record does, which the loop holds
    // while it is open and a hold of the row's references holds after.
    unsafe { &*data.cast::<TaskRow>() }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker contract: the cloned waker is a reference.
    let row = unsafe { row(data) };
    if here(row, |_| {
        row.refs_here
            .store(row.refs_here.load(Ordering::Relaxed) + 1, Ordering::Relaxed)
    })
    .is_none()
    {
        away::clone(row);
    }
    RawWaker::new(data, &TABLE)
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker contract.
    let row = unsafe { row(data) };
    if here(row, |local| local.wake(row)).is_none() {
        wake_away(row);
    }
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker contract: this waker is used up, so its reference is given up after.
    unsafe {
        wake_by_ref(data);
        give_up(data);
    }
}

unsafe fn give_up(data: *const ()) {
    // SAFETY: the waker contract: the reference is there until it is counted down.
    let row = unsafe { row(data) };
    if here(row, |local| local.given_up(row)).is_none() {
        give_up_elsewhere(row);
    }
}

/// A waker goes without having woken: what it leaves behind may be a task that nothing wakes.
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker contract: the reference is there until it is counted down.
    let row = unsafe { row(data) };
    if here(row, |local| local.dropped(row)).is_none() {
        drop_elsewhere(row);
    }
}

/// Another thread wakes a row. Kept apart, so that the way of a local wake needs no frame.
#[cold]
#[inline(never)]
fn wake_away(row: &TaskRow) {
    with_shared(row, |shared| {
        row.away_woken_at.store(clock::ticks(), Ordering::Relaxed);
        row.woken_by.store(
            Cause::Thread(crate::os::thread_id()).raw(),
            Ordering::Relaxed,
        );
        let (left, first) = away::wake(&shared.stack, row);
        if first {
            shared
                .record
                .stats
                .away_wakes
                .fetch_add(1, Ordering::Relaxed);
        }
        shared.after(row, left);
    });
}

#[cold]
#[inline(never)]
fn give_up_elsewhere(row: &TaskRow) {
    with_shared(row, |shared| give_up_away(shared, row));
}

#[cold]
#[inline(never)]
fn drop_elsewhere(row: &TaskRow) {
    with_shared(row, |shared| {
        // Before the reference goes: after it the row may be anybody's.
        shared.record.waker_dropped_away(row);
        give_up_away(shared, row);
    });
}

/// Another thread gives up a reference or a handle.
pub(crate) fn give_up_away(shared: &Shared, row: &TaskRow) {
    let (left, kept) = away::give_up(&shared.stack, row, || keep(shared));
    if left != away::Left::default() {
        shared.after(row, left);
    }
    // Without it the stack was there for another's sake, and may be gone with that.
    if let Some(shared) = kept {
        shared.given_up();
    }
}

/// Keeps the shared side of a loop, and with it all its rows, through the moment in which the
/// reference that did so is given up.
fn keep(shared: &Shared) -> Arc<Shared> {
    let shared = ptr::from_ref(shared);
    // SAFETY: the caller got it through `with_shared`, so it lies in an Arc (`enlist`) whose count
    // the reference that is still there keeps above zero.
    unsafe { Arc::increment_strong_count(shared) };
    // SAFETY: the count just added is the one that this Arc gives back.
    unsafe { Arc::from_raw(shared) }
}

/// The handle of a task of a closed loop is dropped, on any thread: its box goes, and a count.
pub(crate) fn handle_dropped_after_close(raw: RawTask) {
    // SAFETY: the handle is counted among the row's references since the loop closed, so the row
    // is there until `give_up_away` takes it back.
    let row = unsafe { raw.row().as_ref() };
    with_shared(row, |shared| {
        // In the child of a fork the loop is not closed: its tasks stay as they were, unused.
        // Where it is, asking gives the order too: what the loop wrote into the box is seen here.
        if !shared.is_closed() {
            return;
        }
        // The loop's thread looks at the box no more, and a task has one handle: it is ours.
        Work::free(row);
        give_up_away(shared, row);
    });
}

/// Takes the result of a task of a closed loop, on any thread; `None` while the loop is open.
///
/// `T` is what the handle's type says, which `spawn` made.
pub(crate) fn take_result_after_close<T>(raw: RawTask) -> Option<Result<T, JoinError>> {
    let row = raw.held();
    // Shut only once all its tasks are done, and the loop's thread looks at no box after that; a
    // task has one handle, so the box is ours.
    with_shared(row, Shared::is_closed)?.then(|| super::raw::take_result(row))?
}

const CHUNK: usize = 1024;
const CHUNKS: usize = 1 << 12;

/// Loops by id: a chunk at a time, never freed. An entry is there while its `Shared` is alive.
static LOOPS: [AtomicPtr<[AtomicPtr<Shared>; CHUNK]>; CHUNKS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];

fn entry(id: u32) -> Option<&'static AtomicPtr<Shared>> {
    let chunk = LOOPS.get(id as usize / CHUNK)?.load(Ordering::Acquire);
    // SAFETY: null, or leaked by `enlist`.
    unsafe { chunk.as_ref() }.map(|chunk| &chunk[id as usize % CHUNK])
}

/// Makes a loop known to the wakers of other threads.
pub(crate) fn enlist(shared: &Arc<Shared>) {
    let id = shared.record.id.get();
    let slot = &LOOPS[(id as usize / CHUNK).min(CHUNKS - 1)];
    if slot.load(Ordering::Acquire).is_null() {
        let fresh: Box<[AtomicPtr<Shared>; CHUNK]> =
            Box::new([const { AtomicPtr::new(ptr::null_mut()) }; CHUNK]);
        let fresh = Box::into_raw(fresh);
        if slot
            .compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // SAFETY: made just above, and nobody else saw it.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
    entry(id)
        .expect("four million loops fit")
        .store(Arc::as_ptr(shared).cast_mut(), Ordering::Release);
}

/// Forgets a loop whose last reference is gone.
pub(crate) fn strike(id: u32) {
    if let Some(entry) = entry(id) {
        entry.store(ptr::null_mut(), Ordering::Release);
    }
}

/// Runs `f` with the shared side of `row`'s loop. The caller holds a reference to the row.
pub(crate) fn with_shared<R>(row: &TaskRow, f: impl FnOnce(&Shared) -> R) -> Option<R> {
    let shared = entry(row.loop_id.load(Ordering::Relaxed))?.load(Ordering::Acquire);
    // SAFETY: the entry is set while the `Shared` lives, and it lives while a row of it is referred
    // to: the open loop holds it, and after the close the row's hold does.
    Some(f(unsafe { shared.as_ref() }?))
}

/// Adds the hold of a row whose loop is closing.
pub(crate) fn hold(shared: &Arc<Shared>) {
    std::mem::forget(shared.clone());
}

/// Takes back the hold of a row whose last reference is gone.
pub(crate) fn release(shared: &Shared) {
    // SAFETY: `hold` forgot one count of this very Arc for the row, and the row's last reference
    // is taken to zero once; the caller does not use `shared` afterwards.
    unsafe { Arc::decrement_strong_count(ptr::from_ref(shared)) };
}
