//! The box of a task: future, then result, and the functions that know its type.
//!
//! One allocation a task. Everything here happens on the loop's thread, except that a handle of a
//! closed loop frees its box wherever it is dropped; nobody else looks at it then.
//! Loom test: none; nothing here is shared between threads.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::away::{Pushed, Stack, Taken, kind_of};
use super::error::JoinError;
use crate::atomic::{self, AtomicUsize};
use crate::record::task::{TaskRow, work};
use crate::record::{LoopRecord, bound, memory};

/// Called once the task is done, on the loop's thread.
pub(crate) type Done = Box<dyn FnOnce()>;

/// What every box begins with. What other threads read of it, through the kernel, lies where
/// `record::task::work` says.
#[repr(C)]
pub(crate) struct Head {
    table: &'static Table,
    /// Where the future lies in the box while it is there; 0 if that is far.
    future: u16,
    /// There is nothing in the box whose drop could run the app's code.
    inert: Cell<bool>,
    /// Where the task's row lies in its table.
    slot: u32,
    /// Who awaits the result.
    joiner: Cell<Option<Waker>>,
}

const _: () = assert!(
    std::mem::offset_of!(Head, table) == work::TABLE
        && std::mem::offset_of!(Head, future) == work::FUTURE
        && std::mem::offset_of!(Table, poll) == work::POLL
);

/// Whether something was dropped without a panic; else the panic's payload.
pub(crate) type Dropped = Result<(), Box<dyn Any + Send>>;

#[repr(C)]
struct Table {
    poll: unsafe fn(NonNull<Head>, &mut Context<'_>) -> Polled,
    drop_future: unsafe fn(NonNull<Head>, Option<JoinError>) -> Dropped,
    panicked: unsafe fn(NonNull<Head>) -> Option<String>,
    /// Moves the result to a pending `Poll<Result<T, JoinError>>`.
    take: unsafe fn(NonNull<Head>, *mut ()),
    free: unsafe fn(NonNull<Head>),
    /// Dropping an output does nothing.
    plain_output: bool,
}

/// What a poll came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Polled {
    Pending,
    Returned,
    /// Returned, and then panicked while its future was dropped; `trouble` has the text.
    Troubled,
    Panicked,
}

thread_local! {
    /// Text of the last panic of a future's drop on this thread, until it is told.
    static TROUBLE: Cell<Option<String>> = const { Cell::new(None) };
}

/// The text of the panic that `Polled::Troubled` speaks of, or of one that followed a panic.
#[cold]
pub(crate) fn trouble() -> Option<String> {
    TROUBLE.take()
}

enum Stage<F, T> {
    Future(F),
    Result(Result<T, JoinError>),
    Taken,
}

#[repr(C)]
struct TaskCell<F: Future> {
    head: Head,
    stage: UnsafeCell<Stage<F, F::Output>>,
}

/// Puts `future` into a box and the box into `row`.
pub(crate) fn fill<F: Future>(row: &TaskRow, slot: u32, future: F) {
    let mut cell = Box::<TaskCell<F>>::new_uninit();
    // Field by field where it will lie: made elsewhere first, it would be copied over.
    let at = cell.as_mut_ptr();
    let head = Head {
        table: &Typed::<F>::TABLE,
        future: 0,
        inert: Cell::new(false),
        slot,
        joiner: Cell::new(None),
    };
    // SAFETY: the box is valid for writes, and this is its field.
    unsafe { (&raw mut (*at).head).write(head) };
    let stage = UnsafeCell::new(Stage::Future(future));
    // SAFETY: as above; with this all of it is initialised.
    unsafe { (&raw mut (*at).stage).write(stage) };
    // SAFETY: as above; the reference ends here. The compiler knows the offset.
    if let Stage::Future(future) = unsafe { &*(*at).stage.get() } {
        let offset = std::ptr::from_ref(future) as usize - at as usize;
        // SAFETY: as above.
        unsafe { (*at).head.future = u16::try_from(offset).unwrap_or(0) };
    }
    row.work
        .store(Box::into_raw(cell).cast(), Ordering::Relaxed);
}

struct Typed<F>(std::marker::PhantomData<F>);

impl<F: Future> Typed<F> {
    const TABLE: Table = Table {
        poll: poll::<F>,
        drop_future: drop_future::<F>,
        panicked: panicked::<F>,
        take: take::<F>,
        free: free::<F>,
        plain_output: !std::mem::needs_drop::<F::Output>(),
    };
}

/// # Safety
/// `head` heads a live `TaskCell<F>`, on its loop's thread, and nobody else is inside its stage.
unsafe fn poll<F: Future>(head: NonNull<Head>, cx: &mut Context<'_>) -> Polled {
    // SAFETY: the caller's promise; the box is pinned, since it is never moved out of.
    let stage = unsafe { head.cast::<TaskCell<F>>().as_ref() }.stage.get();
    // SAFETY: as above; the reference ends before anything else touches the stage, since a poll
    // cannot poll, take or free its own task.
    let Stage::Future(future) = (unsafe { &mut *stage }) else {
        return Polled::Returned;
    };
    // SAFETY: the future stays where it is until it is dropped in place.
    let polled = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: see above.
        let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
        #[cfg(feature = "intercept")]
        crate::record::calls::answer();
        polled
    }));
    match polled {
        Ok(Poll::Pending) => Polled::Pending,
        // SAFETY: as for the call; the future's borrow is over.
        Ok(Poll::Ready(output)) => unsafe { returned::<F>(stage, output) },
        // SAFETY: as above.
        Err(payload) => unsafe { panicked_in_poll::<F>(stage, payload) },
    }
}

/// The task's last poll is over. Out of line: most polls are not the last. Takes the output and no
/// result, since a small output comes in registers.
///
/// # Safety
/// As `replace`.
#[inline(never)]
unsafe fn returned<F: Future>(stage: *mut Stage<F, F::Output>, output: F::Output) -> Polled {
    // SAFETY: the caller's promise.
    match unsafe { replace::<F>(stage, Ok(output)) } {
        Ok(()) => Polled::Returned,
        Err(payload) => troubled(Polled::Returned, &*payload),
    }
}

/// # Safety
/// As `replace`.
#[cold]
unsafe fn panicked_in_poll<F: Future>(
    stage: *mut Stage<F, F::Output>,
    payload: Box<dyn Any + Send>,
) -> Polled {
    let panic = super::error::Panic::new(payload);
    // SAFETY: the caller's promise.
    match unsafe { replace::<F>(stage, Err(JoinError::Panicked(panic))) } {
        Ok(()) => Polled::Panicked,
        Err(payload) => troubled(Polled::Panicked, &*payload),
    }
}

/// The value (or the first panic) stays the result; that the drop panicked is told apart.
#[cold]
fn troubled(outcome: Polled, payload: &(dyn Any + Send)) -> Polled {
    TROUBLE.set(Some(super::error::text_of(payload).to_owned()));
    match outcome {
        Polled::Returned => Polled::Troubled,
        other => other,
    }
}

/// Drops the future in place and puts its result there.
///
/// # Safety
/// `stage` holds a future and is not borrowed.
#[inline(always)]
unsafe fn replace<F: Future>(
    stage: *mut Stage<F, F::Output>,
    result: Result<F::Output, JoinError>,
) -> Result<(), Box<dyn Any + Send>> {
    // A future that panics while it is dropped is gone all the same: its stage is overwritten
    // without being dropped again.
    // SAFETY: the stage is valid and initialised, and is written right after.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe {
        std::ptr::drop_in_place(stage)
    }));
    // SAFETY: the stage is valid; what was there has been dropped.
    unsafe { stage.write(Stage::Result(result)) };
    dropped
}

/// # Safety
/// As `poll`.
unsafe fn drop_future<F: Future>(
    head: NonNull<Head>,
    error: Option<JoinError>,
) -> Result<(), Box<dyn Any + Send>> {
    // SAFETY: the caller's promise.
    let stage = unsafe { head.cast::<TaskCell<F>>().as_ref() }.stage.get();
    // SAFETY: as above.
    match (unsafe { &*stage }, error) {
        // SAFETY: it holds a future.
        (Stage::Future(_), Some(error)) => unsafe { replace::<F>(stage, Err(error)) },
        (Stage::Result(_), None) => {
            // SAFETY: the stage is valid; the value is moved out before it is dropped, so that a
            // drop that comes back finds it taken.
            let value = unsafe { std::ptr::replace(stage, Stage::Taken) };
            catch_unwind(AssertUnwindSafe(|| drop(value)))
        }
        _ => Ok(()),
    }
}

/// # Safety
/// As `poll`.
unsafe fn panicked<F: Future>(head: NonNull<Head>) -> Option<String> {
    // SAFETY: the caller's promise.
    match unsafe { &*head.cast::<TaskCell<F>>().as_ref().stage.get() } {
        Stage::Result(Err(JoinError::Panicked(panic))) => Some(panic.text().to_owned()),
        _ => None,
    }
}

/// # Safety
/// As `poll`; `to` is a `Poll<Result<F::Output, JoinError>>`, and pending.
unsafe fn take<F: Future>(head: NonNull<Head>, to: *mut ()) {
    // SAFETY: the caller's promise.
    let stage = unsafe { head.cast::<TaskCell<F>>().as_ref() }.stage.get();
    // SAFETY: as above; the task is done, so nobody else is inside the stage.
    if let Stage::Result(result) = unsafe { &*stage } {
        // SAFETY: valid, and what is read is not dropped or read again: it is overwritten below.
        let result = Poll::Ready(unsafe { std::ptr::read(result) });
        // SAFETY: the caller's promise; what is there has nothing to drop.
        unsafe {
            to.cast::<Poll<Result<F::Output, JoinError>>>()
                .write(result)
        };
        // SAFETY: the stage is valid, and what was in it has been moved out.
        unsafe { stage.write(Stage::Taken) };
    }
}

/// # Safety
/// As `poll`; the box is not used again.
unsafe fn free<F: Future>(head: NonNull<Head>) {
    // SAFETY: the pointer came from `Box::into_raw` of this type in `fill`.
    let cell = unsafe { Box::from_raw(head.cast::<TaskCell<F>>().as_ptr()) };
    // Whoever frees has dropped future and value before; a panic here is the app's callback's.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(cell)));
}

/// The box of a row, on the loop's thread.
#[derive(Clone, Copy)]
pub(crate) struct Work(NonNull<Head>);

impl Work {
    /// The box of `row`; `None` once it is freed.
    #[inline]
    pub(crate) fn of(row: &TaskRow) -> Option<Self> {
        NonNull::new(row.work.load(Ordering::Relaxed).cast()).map(Self)
    }

    /// # Safety
    /// On the loop's thread, and not from inside a poll of the same task.
    #[inline]
    pub(crate) unsafe fn poll(self, cx: &mut Context<'_>) -> Polled {
        // SAFETY: `row.work` is set by `fill` and cleared by `free`, so the box lives; the rest is
        // the caller's promise.
        unsafe { (self.0.as_ref().table.poll)(self.0, cx) }
    }

    fn head(&self) -> &Head {
        // SAFETY: a `Work` is made from a row whose box lives, and used before it is freed.
        unsafe { self.0.as_ref() }
    }

    /// Drops the future and leaves `error` as the result.
    pub(crate) fn drop_future(self, error: JoinError) -> Result<(), Box<dyn Any + Send>> {
        // SAFETY: called by the executor between polls, on its thread.
        unsafe { (self.head().table.drop_future)(self.0, Some(error)) }
    }

    /// Drops the result, if it was not taken.
    pub(crate) fn drop_result(self) -> Result<(), Box<dyn Any + Send>> {
        // SAFETY: as `drop_future`.
        unsafe { (self.head().table.drop_future)(self.0, None) }
    }

    /// The text of the panic that is the result, if it is one and was not taken.
    pub(crate) fn panicked(self) -> Option<String> {
        // SAFETY: as `drop_future`.
        unsafe { (self.head().table.panicked)(self.0) }
    }

    /// Takes the result out: what comes is pending if it was taken before.
    ///
    /// # Safety
    /// The box was filled with a future whose output is `T`, and the task is done.
    #[inline]
    pub(crate) unsafe fn take<T>(self) -> Poll<Result<T, JoinError>> {
        let mut result: Poll<Result<T, JoinError>> = Poll::Pending;
        // SAFETY: the caller's promise on `T`, and a result is only there once the task is done.
        unsafe { (self.head().table.take)(self.0, (&raw mut result).cast()) };
        self.head().inert.set(true);
        result
    }

    pub(crate) fn slot(self) -> u32 {
        self.head().slot
    }

    pub(crate) fn set_joiner(self, waker: &Waker) {
        let old = self.head().joiner.take();
        match old {
            Some(old) if old.will_wake(waker) => self.head().joiner.set(Some(old)),
            old => {
                self.head().joiner.set(Some(waker.clone()));
                drop(old);
            }
        }
    }

    /// Whose waker the one is that awaits the result, as wakers of this runtime say it.
    pub(crate) fn joiner_of(self) -> Option<*const ()> {
        let joiner = self.head().joiner.take();
        let of = joiner.as_ref().map(Waker::data);
        self.head().joiner.set(joiner);
        of
    }

    pub(crate) fn take_joiner(self) -> Option<Waker> {
        self.head().joiner.take()
    }

    /// The task returned: is its output something whose drop does nothing?
    #[inline]
    pub(crate) fn returned(self) {
        self.head().inert.set(self.head().table.plain_output);
    }

    /// Whether what is left in the box can be dropped without a thought.
    #[inline]
    pub(crate) fn inert(self) -> bool {
        self.head().inert.get()
    }

    /// Frees the box of `row`.
    pub(crate) fn free(row: &TaskRow) {
        if let Some(work) = Self::of(row) {
            if !work.inert() {
                let _ = work.drop_result();
            }
            row.work.store(std::ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: the row does not lead here any more, and no `Work` outlives the call that
            // made it.
            unsafe { (work.head().table.free)(work.0) };
        }
    }
}

/// The row at an address that the executor keeps.
#[inline(always)]
pub(crate) fn row_at(address: NonNull<TaskRow>, _record: &LoopRecord) -> &TaskRow {
    // SAFETY: addresses are kept by the ready queue, the stack and handles of this record's loop,
    // and come from references into its table, whose rows live as long as the record.
    unsafe { address.as_ref() }
}

/// Asks for the lines of a row that its next wake and poll touch.
#[inline(always)]
pub(crate) fn prefetch(address: NonNull<TaskRow>) {
    let start = address.as_ptr().cast::<u8>();
    memory::ask_for(start);
    // The third line holds what a wake writes.
    memory::ask_for(start.wrapping_add(128));
}

/// Asks for the box of a row.
#[inline(always)]
pub(crate) fn prefetch_work(row: &TaskRow) {
    let start = row.work.load(Ordering::Relaxed).cast::<u8>();
    memory::ask_for(start);
    memory::ask_for(start.wrapping_add(64));
}

/// Something another thread asked for, on its way over the stack.
pub(crate) struct Errand {
    pub(crate) below: AtomicUsize,
    pub(crate) place: &'static Location<'static>,
    pub(crate) run: bound::Errand,
}

/// Sends an errand; gives it back if the stack is shut.
pub(crate) fn push_errand(
    stack: &Stack,
    place: &'static Location<'static>,
    run: bound::Errand,
) -> Result<Pushed, bound::Errand> {
    let errand = Box::into_raw(Box::new(Errand {
        below: AtomicUsize::new(0),
        place,
        run,
    }));
    let pushed = stack.push_errand(errand as usize, |below| {
        // SAFETY: made just above; the stack has not announced it yet.
        unsafe { &*errand }
            .below
            .store(below, atomic::Ordering::Relaxed);
    });
    match pushed {
        Pushed::Refused => {
            // SAFETY: made just above, and refused, so it is still ours alone.
            Err(unsafe { Box::from_raw(errand) }.run)
        }
        pushed => Ok(pushed),
    }
}

/// Something taken from the stack.
pub(crate) enum Item<'a> {
    Row(&'a TaskRow),
    Errand(Box<Errand>),
}

/// Goes through what was taken from the stack, oldest first. `head` is used up.
pub(crate) fn oldest_first<'a>(
    record: &'a LoopRecord,
    head: usize,
    mut each: impl FnMut(Item<'a>),
) {
    // Turn the list around: each link then leads to the next younger one.
    let (mut below, mut at) = (0, head);
    while at != 0 {
        let link = link_of(record, at);
        let next = link.load(atomic::Ordering::Relaxed);
        link.store(below, atomic::Ordering::Relaxed);
        (below, at) = (at, next);
    }
    let mut at = below;
    while at != 0 {
        // Read before `each`, after which a row may be pushed anew.
        let next = link_of(record, at).load(atomic::Ordering::Relaxed);
        match kind_of(at) {
            Taken::Row(address) => {
                if let Some(address) = NonNull::new(address as *mut TaskRow) {
                    each(Item::Row(row_at(address, record)));
                }
            }
            // SAFETY: `push_errand` made it from a box, and what is taken is taken once.
            Taken::Errand(address) => each(Item::Errand(unsafe {
                Box::from_raw(address as *mut Errand)
            })),
        }
        at = next;
    }
}

fn link_of(record: &LoopRecord, at: usize) -> &AtomicUsize {
    match kind_of(at) {
        // SAFETY: rows on the stack are the record's, as for `row_at`; the address is not 0, since
        // 0 ends the list.
        Taken::Row(address) => {
            &row_at(
                // SAFETY: not 0, see above.
                unsafe { NonNull::new_unchecked(address as *mut TaskRow) },
                record,
            )
            .away_link
        }
        // SAFETY: an errand lives until it is taken out of the list.
        Taken::Errand(address) => &unsafe { &*(address as *const Errand) }.below,
    }
}

/// The row that the record says is being polled, on the loop's thread.
pub(crate) fn current_row(record: &LoopRecord) -> Option<&TaskRow> {
    NonNull::new(record.current.row().cast_mut()).map(|address| row_at(address, record))
}

/// Takes the result of a task that is done.
///
/// `T` is what the task was spawned with: handles carry it in their type.
pub(crate) fn take_result<T>(row: &TaskRow) -> Option<Result<T, JoinError>> {
    let work = Work::of(row)?;
    // SAFETY: the caller is a handle whose type `spawn` made, and the task is done.
    match unsafe { work.take() } {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// As `take_result`, of a task that is done: one taken before is an error.
#[inline]
pub(crate) fn poll_result<T>(row: &TaskRow) -> Poll<Result<T, JoinError>> {
    let Some(work) = Work::of(row) else {
        return Poll::Ready(Err(JoinError::Taken));
    };
    // SAFETY: as in `take_result`.
    match unsafe { work.take() } {
        Poll::Pending => Poll::Ready(Err(JoinError::Taken)),
        result => result,
    }
}

/// What a handle needs of its task: where its row is, and its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RawTask {
    row: NonNull<TaskRow>,
    id: u64,
}

// SAFETY: an address and a number. Who follows the address does so on the loop's thread, or for a
// closed loop as the only one that is left (`waker::handle_dropped_after_close`).
unsafe impl Send for RawTask {}
// SAFETY: as above.
unsafe impl Sync for RawTask {}

impl RawTask {
    pub(crate) fn new(row: &TaskRow, id: u64) -> Self {
        Self {
            row: NonNull::from(row),
            id,
        }
    }

    pub(crate) fn row(self) -> NonNull<TaskRow> {
        self.row
    }

    pub(crate) fn id(self) -> u64 {
        self.id
    }

    /// The row, for a handle that is counted in it: on any thread, to read.
    pub(crate) fn held(&self) -> &TaskRow {
        // SAFETY: a handle keeps its row from reuse, and what the row lies in alive: the open loop
        // does, and after its close the row's hold (`executor::fold`). Only `Task` calls this.
        unsafe { self.row.as_ref() }
    }
}

/// Polls the task of `row` once.
///
/// Called by `Executor::step` alone: on the loop's thread, and never from inside a poll of the same
/// task, since `event_loop` refuses to run a loop inside itself, and what is polled inside the poll
/// of another (`spawn_eager`) was made just before, so that no poll of it is on the stack.
#[inline]
pub(crate) fn poll_row(row: &TaskRow, cx: &mut Context<'_>) -> Polled {
    let work = Work::of(row).expect("a row that is not done has its box");
    // SAFETY: see above.
    unsafe { work.poll(cx) }
}
