//! The organs of the loop that runs on this thread, as everything above finds them.
//!
//! Holds them together; knows no iteration and no policy. Loom test: none; a thread's own word.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blocking::Blocking;
use crate::clock;
use crate::executor::Executor;
use crate::reactor::Reactor;
use crate::record::current::Entered;
use crate::record::{LoopRecord, Owner};
use crate::timers::Timers;

pub(crate) mod allowance;

use allowance::Allowance;

/// The clock of deadlines: the machine's, or one that a test turns by hand.
#[derive(Clone)]
pub(crate) enum LoopClock {
    Monotonic,
    /// Nanoseconds since an arbitrary start.
    Turned(Arc<AtomicU64>),
}

impl LoopClock {
    pub(crate) fn now(&self) -> u64 {
        match self {
            LoopClock::Monotonic => clock::mono(),
            LoopClock::Turned(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// Everything one loop consists of. Shared by its owner and its tasks, on one thread.
pub(crate) struct Organs {
    pub(crate) record: Arc<LoopRecord>,
    pub(crate) owner: Rc<Owner>,
    pub(crate) executor: Executor,
    pub(crate) timers: Timers,
    pub(crate) reactor: Reactor,
    pub(crate) blocking: Blocking,
    pub(crate) clock: LoopClock,
    pub(crate) allowance: Allowance,
    pub(crate) state: State,
}

/// Where the loop stands, and what was asked of it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) running: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    pub(crate) stopping: Cell<bool>,
    /// Debug mode, and how many long polls it has told of.
    pub(crate) debug: Cell<bool>,
    pub(crate) told: Cell<u64>,
    /// What is to be undone when the loop closes, newest last.
    pub(crate) at_close: RefCell<Vec<Box<dyn FnOnce()>>>,
}

thread_local! {
    /// Null where no loop is entered; else what the `Before` deepest in the stack keeps alive.
    static HERE: Cell<*const Organs> = const { Cell::new(std::ptr::null()) };
}

/// No loop runs on this thread, so there is nothing to spawn on or to ask.
///
/// Call it from inside `run`, or hold an `EventLoop::enter` guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRunningLoop;

impl fmt::Display for NoRunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no event loop runs on this thread; call this from inside `loop_runtime::run`, hold the guard of \
             `EventLoop::enter`, or send the work to a loop through its `LoopHandle`",
        )
    }
}

impl std::error::Error for NoRunningLoop {}

/// The organs of the loop that runs on this thread, or is entered.
pub(crate) fn current() -> Result<Rc<Organs>, NoRunningLoop> {
    let here = HERE.get();
    if here.is_null() {
        return Err(NoRunningLoop);
    }
    // SAFETY: `here` came from `Rc::as_ptr` of an `Rc` that a living `Before` holds, so its count
    // is not zero.
    unsafe { Rc::increment_strong_count(here) };
    // SAFETY: as above; the count just added is the one that this `Rc` gives back.
    Ok(unsafe { Rc::from_raw(here) })
}

/// Runs `f` with the organs of the loop that runs on this thread, or is entered.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Organs) -> R) -> Result<R, NoRunningLoop> {
    let here = HERE.get();
    // SAFETY: null, or what a `Before` further up this thread's stack keeps alive. That frame
    // cannot end before `f` does, which runs below it; what `f` enters it leaves again, and the
    // reference cannot outlive `f`.
    unsafe { here.as_ref() }.map(f).ok_or(NoRunningLoop)
}

/// As `with`, for calls whose contract is to be made inside a loop.
#[inline]
#[track_caller]
pub(crate) fn expect<R>(f: impl FnOnce(&Organs) -> R) -> R {
    match with(f) {
        Ok(result) => result,
        Err(error) => panic!("{error}"),
    }
}

/// Runs `f` as if `organs` were the loop of this thread.
pub(crate) fn entered<R>(organs: &Rc<Organs>, f: impl FnOnce() -> R) -> R {
    let _before = Before {
        before: HERE.replace(Rc::as_ptr(organs)),
        _keeps: organs.clone(),
    };
    let _record = Entered::new(&organs.record);
    // The tasks of a closed loop are nobody's; their last references are settled as from outside.
    let _executor = (!organs.executor.is_closed()).then(|| organs.executor.enter());
    f()
}

/// Puts back which loop was here before, also when a panic passes. Lives in a frame of `entered`,
/// so that these nest.
struct Before {
    before: *const Organs,
    /// Keeps what HERE points to alive; dropped after HERE points elsewhere.
    _keeps: Rc<Organs>,
}

impl Drop for Before {
    fn drop(&mut self) {
        HERE.set(self.before);
    }
}

impl Organs {
    /// The loop's time: nanoseconds on its clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }
}
