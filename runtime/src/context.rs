//! The organs of the loop that runs on this thread, as everything above finds them.
//!
//! Holds them together; knows no iteration and no policy.

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
    static HERE: RefCell<Option<Rc<Organs>>> = const { RefCell::new(None) };
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
    HERE.try_with(|here| here.borrow().clone())
        .ok()
        .flatten()
        .ok_or(NoRunningLoop)
}

/// Runs `f` with the organs of the loop that runs on this thread, or is entered.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Organs) -> R) -> Result<R, NoRunningLoop> {
    // The count is raised rather than the cell kept borrowed, since `f` may run the app's code.
    current().map(|organs| f(&organs))
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
    let _before = Before(HERE.with(|here| here.borrow_mut().replace(organs.clone())));
    let _record = Entered::new(&organs.record);
    // The tasks of a closed loop are nobody's; their last references are settled as from outside.
    let _executor = (!organs.executor.is_closed()).then(|| organs.executor.enter());
    f()
}

/// Puts back which loop was here before, also when a panic passes.
struct Before(Option<Rc<Organs>>);

impl Drop for Before {
    fn drop(&mut self) {
        let before = self.0.take();
        // Taken out before it is dropped: the last reference may run the app's code.
        let inside = HERE.try_with(|here| std::mem::replace(&mut *here.borrow_mut(), before));
        drop(inside);
    }
}

impl Organs {
    /// The loop's time: nanoseconds on its clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }
}
