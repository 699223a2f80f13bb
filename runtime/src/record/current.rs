//! What a loop is doing, since when: the one line that the watchdog reads.
//!
//! Written by the loop at each poll edge, read from outside. Knows neither limits nor blame.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use super::LoopRecord;
use super::task::TaskRow;

/// What the loop's thread is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Doing {
    /// Made, not run yet, or between two runs.
    Stopped = 0,
    /// Waiting in the reactor.
    Parked = 1,
    /// Between polls: the loop's own work.
    Turning = 2,
    /// Polling a task or calling a callback; the row says which.
    Polling = 3,
    /// Dropping a task's future or result; the row says whose.
    Dropping = 4,
    /// In the app's exception handler; the row says about whom.
    Handling = 5,
    /// Firing timers, which runs the wake functions of whatever waits for them.
    Timers = 6,
    /// Serving readiness.
    Sources = 7,
    /// Taking what other threads sent.
    Inbox = 8,
    Closed = 9,
}

impl Doing {
    pub(crate) fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Doing::Parked,
            2 => Doing::Turning,
            3 => Doing::Polling,
            4 => Doing::Dropping,
            5 => Doing::Handling,
            6 => Doing::Timers,
            7 => Doing::Sources,
            8 => Doing::Inbox,
            9 => Doing::Closed,
            _ => Doing::Stopped,
        }
    }

    /// While it lasts the loop cannot turn.
    pub(crate) fn is_work(self) -> bool {
        !matches!(self, Doing::Stopped | Doing::Parked | Doing::Closed)
    }
}

/// The loop's state in one cache line.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Current {
    row: AtomicPtr<TaskRow>,
    since: AtomicU64,
    doing: AtomicU8,
    /// The stack address of the frame that polls: a copied stack need not go further.
    base: AtomicUsize,
    /// Raised by each park: tells a reader two waits of equal length apart.
    parks: AtomicU64,
}

/// A reading of `Current`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) doing: Doing,
    /// The row that is being polled, dropped or handled; look it up with `Slab::at`.
    pub(crate) row: *const TaskRow,
    /// Tick since which this goes on.
    pub(crate) since: u64,
    pub(crate) base: usize,
}

impl Current {
    /// A poll of `row` begins; `doing` stays what `phase` set.
    #[inline(always)]
    pub(crate) fn enter(&self, row: &TaskRow, now: u64) {
        self.row
            .store(std::ptr::from_ref(row).cast_mut(), Ordering::Relaxed);
        self.since.store(now, Ordering::Release);
    }

    /// The loop goes over to something else at tick `now`.
    #[inline]
    pub(crate) fn phase(&self, doing: Doing, now: u64) {
        self.row.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.doing.store(doing as u8, Ordering::Relaxed);
        self.since.store(now, Ordering::Release);
    }

    /// As `phase`, on account of one task.
    #[inline]
    pub(crate) fn phase_of(&self, doing: Doing, row: &TaskRow, now: u64) {
        self.doing.store(doing as u8, Ordering::Relaxed);
        self.enter(row, now);
    }

    /// The row that is being polled, on the loop's own thread; for what the poll records.
    #[inline(always)]
    pub(crate) fn row(&self) -> *const TaskRow {
        self.row.load(Ordering::Relaxed)
    }

    /// The id of the task whose row that is; 0 for none. The loop's own thread.
    #[inline(always)]
    pub(crate) fn row_id(&self) -> u64 {
        // SAFETY: the row was stored by `enter`, from a reference into the slab of the record that
        // this belongs to, whose rows live as long as the record.
        unsafe { self.row().as_ref() }.map_or(0, TaskRow::task_id)
    }

    /// The tick at which the current poll (or phase) began.
    #[inline(always)]
    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    pub(crate) fn doing(&self) -> Doing {
        Doing::from_raw(self.doing.load(Ordering::Relaxed))
    }

    /// Publishes the frame above which nothing of a poll's stack lies.
    #[inline]
    pub(crate) fn set_base(&self, address: usize) {
        self.base.store(address, Ordering::Relaxed);
    }

    /// The address of the frame that polls; 0 before the first poll. The loop's own thread.
    pub(crate) fn base(&self) -> usize {
        self.base.load(Ordering::Relaxed)
    }

    /// The loop begins to wait in its reactor.
    #[inline]
    pub(crate) fn park(&self, now: u64) {
        self.phase(Doing::Parked, now);
        self.parks.fetch_add(1, Ordering::Relaxed);
    }

    /// The loop is back. Wakes the watchdog if that had gone to sleep for good.
    #[inline]
    pub(crate) fn unpark(&self, now: u64) {
        self.phase(Doing::Turning, now);
        // Pairs with the fence in `Bell::sleep_if`: either the watchdog sees this loop awake, or
        // this loop sees the watchdog asleep.
        fence(Ordering::SeqCst);
        if BELL.asleep.load(Ordering::Relaxed) {
            BELL.ring();
        }
    }

    /// How often the loop has parked.
    pub(crate) fn parks(&self) -> u64 {
        self.parks.load(Ordering::Relaxed)
    }

    /// All of it, as of one poll edge; `None` if an edge came between, three times.
    pub(crate) fn read(&self) -> Option<Moment> {
        (0..3).find_map(|_| {
            let since = self.since.load(Ordering::Acquire);
            let moment = Moment {
                doing: self.doing(),
                row: self.row(),
                since,
                base: self.base.load(Ordering::Relaxed),
            };
            fence(Ordering::Acquire);
            (self.since.load(Ordering::Relaxed) == since && self.row() == moment.row)
                .then_some(moment)
        })
    }
}

/// Wakes the watchdog when a loop comes back from a long park.
pub(crate) struct Bell {
    asleep: AtomicBool,
    /// Locked only when the bell rings, and when a watchdog comes or goes. A process has one;
    /// tests have several.
    watchdogs: Mutex<Vec<Thread>>,
}

pub(crate) static BELL: Bell = Bell {
    asleep: AtomicBool::new(false),
    watchdogs: Mutex::new(Vec::new()),
};

impl Bell {
    /// The calling thread is the one to wake.
    pub(crate) fn answer_here(&self) {
        self.watchdogs().push(std::thread::current());
    }

    /// The calling thread does not answer any more.
    pub(crate) fn hang_up(&self) {
        let here = std::thread::current().id();
        self.watchdogs().retain(|watchdog| watchdog.id() != here);
    }

    fn watchdogs(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.watchdogs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn ring(&self) {
        if self.asleep.swap(false, Ordering::Relaxed) {
            self.watchdogs().iter().for_each(Thread::unpark);
        }
    }

    /// Marks the watchdog asleep and parks it, unless `busy` finds a loop awake after all.
    pub(crate) fn sleep_if(&self, busy: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while self.asleep.load(Ordering::Relaxed) {
            if busy() {
                self.asleep.store(false, Ordering::Relaxed);
                return;
            }
            std::thread::park();
        }
    }

    /// A loop was made or removed, or a budget changed: have a look.
    pub(crate) fn nudge(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        self.watchdogs().iter().for_each(Thread::unpark);
    }
}

thread_local! {
    /// The record of the loop that runs on this thread, null if none does.
    static HERE: Cell<*const LoopRecord> = const { Cell::new(std::ptr::null()) };
}

/// While it lives, `record` is what this thread states facts to.
pub(crate) struct Entered<'a> {
    before: *const LoopRecord,
    _record: &'a LoopRecord,
    _not_send: std::marker::PhantomData<*const ()>,
}

impl<'a> Entered<'a> {
    pub(crate) fn new(record: &'a LoopRecord) -> Self {
        let before = HERE.replace(record);
        Self {
            before,
            _record: record,
            _not_send: std::marker::PhantomData,
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        HERE.set(self.before);
    }
}

/// Runs `state` with the record of the loop that runs on this thread, if one does.
#[inline(always)]
pub(crate) fn here<R>(state: impl FnOnce(&LoopRecord) -> R) -> Option<R> {
    let record = HERE.get();
    // SAFETY: non-null only while an `Entered` lives, which borrows the record and cannot leave
    // its thread; guards nest and restore what was there before, and `state` cannot keep the
    // reference. (A forgotten guard would leave it set; guards are local to `event_loop`'s run,
    // `close` and `enter`, none of which forgets one.)
    let record = unsafe { record.as_ref() }?;
    Some(state(record))
}

/// Runs `state` with the row that is being polled on this thread, if one is.
#[inline(always)]
pub(crate) fn here_row<R>(state: impl FnOnce(&LoopRecord, &TaskRow) -> R) -> Option<R> {
    here(|record| {
        // SAFETY: the row was stored by `enter` on this very thread, from a reference into the
        // record's slab, whose rows live as long as the record.
        let row = unsafe { record.current.row().as_ref() }?;
        Some(state(record, row))
    })
    .flatten()
}
