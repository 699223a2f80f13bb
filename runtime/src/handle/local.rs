//! `LocalLoop`: the running loop as its own thread holds it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::LoopHandle;
use crate::context::{self, Organs};
use crate::executor::{ErrorContext, How, RawCall};
use crate::id::LoopId;
use crate::record::task::Kind;
use crate::record::timer;
use crate::spawn::{self, Task, TaskFactory, TaskRef};
use crate::time::LoopInstant;
use crate::timers::{Action, Arm, TimerKey};

/// The loop that runs on this thread; what `get_running_loop` gives. Does not leave the thread.
///
/// ```compile_fail
/// fn send(_: impl Send) {}
/// loop_runtime::run(async { send(loop_runtime::get_running_loop().unwrap()) });
/// ```
#[derive(Clone)]
pub struct LocalLoop {
    organs: Rc<Organs>,
}

impl fmt::Debug for LocalLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLoop")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// Told of errors that nobody else hears of.
pub type ErrorHandler = Rc<dyn Fn(&ErrorContext)>;

/// A callback that was handed to the loop.
pub struct Handle {
    call: RawCall,
    cancelled: Cell<bool>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl Handle {
    /// Keeps the callback from running, unless it has begun.
    pub fn cancel(&self) {
        if self.call.cancel() {
            self.cancelled.set(true);
        }
    }

    /// Whether it was cancelled before it began.
    pub fn cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

/// A callback that waits for its time.
#[derive(Clone)]
pub struct TimerHandle {
    organs: std::rc::Weak<Organs>,
    call: RawCall,
    key: TimerKey,
    when: LoopInstant,
    cancelled: Rc<Cell<bool>>,
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("cancelled", &self.cancelled())
            .finish_non_exhaustive()
    }
}

impl TimerHandle {
    /// When it is due.
    pub fn when(&self) -> LoopInstant {
        self.when
    }

    /// Keeps the callback from running, unless it has begun, and removes the timer.
    pub fn cancel(&self) {
        if self.call.cancel() {
            self.cancelled.set(true);
            if let Some(organs) = self.organs.upgrade() {
                organs.timers.cancel(self.key);
            }
        }
    }

    /// Whether it was cancelled before it began.
    pub fn cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

impl LocalLoop {
    pub(crate) fn new(organs: Rc<Organs>) -> Self {
        Self { organs }
    }

    pub(crate) fn organs(&self) -> &Rc<Organs> {
        &self.organs
    }

    /// The loop's id, as the console prints it.
    pub fn id(&self) -> LoopId {
        self.organs.record.id
    }

    /// The loop's name.
    pub fn name(&self) -> String {
        self.organs.record.name()
    }

    /// What other threads may hold.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.organs.executor.shared().clone())
    }

    /// The time on the loop's clock.
    pub fn time(&self) -> LoopInstant {
        LoopInstant::from_nanos(self.organs.now())
    }

    /// Calls `callback` once, in the next iteration, after what is ready already.
    ///
    /// Records: a row of kind callback, with this place.
    /// Source: asyncio's `call_soon`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let (promise, future) = loop_runtime::create_future();
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     el.call_soon(move || promise.set_result(7).unwrap());
    ///     assert_eq!(future.await, Ok(7));
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        let how = How::new(Location::caller(), Kind::Callback);
        if !self.organs.state.running.get() {
            // What this thread sent before, from outside a run, comes before this.
            context::entered(&self.organs, || self.organs.executor.take_away());
        }
        Handle {
            call: self.organs.executor.call(callback, how),
            cancelled: Cell::new(false),
        }
    }

    /// Calls `callback` once, `delay` from now.
    ///
    /// Callbacks of equal deadlines are called in the order in which they were set (asyncio leaves
    /// that open). Never early.
    ///
    /// Records: a timer of kind `call_later` and a row of kind callback, with this place.
    /// Source: asyncio's `call_later`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// loop_runtime::run(async {
    ///     let (promise, future) = loop_runtime::create_future();
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     let timer = el.call_later(Duration::from_millis(1), move || promise.set_result(7).unwrap());
    ///     assert!(timer.when() > el.time() - Duration::from_secs(1));
    ///     assert_eq!(future.await, Ok(7));
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.call_when(
            self.time() + delay,
            timer::Kind::CallLater,
            Location::caller(),
            callback,
        )
    }

    /// Calls `callback` once, at `when` on the loop's clock; in the next iteration if that is past.
    ///
    /// As `call_later` otherwise.
    #[track_caller]
    pub fn call_at(&self, when: LoopInstant, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.call_when(when, timer::Kind::CallAt, Location::caller(), callback)
    }

    /// A timer of the runtime's own.
    #[track_caller]
    pub(crate) fn call_internally(
        &self,
        delay: Duration,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        self.call_when(
            self.time() + delay,
            timer::Kind::Internal,
            Location::caller(),
            callback,
        )
    }

    fn call_when(
        &self,
        when: LoopInstant,
        kind: timer::Kind,
        place: &'static Location<'static>,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        let organs = &self.organs;
        let (call, waker) = organs
            .executor
            .call_when_woken(callback, How::new(place, Kind::Callback));
        let arm = Arm {
            kind,
            owner: call.id(),
            now: organs.now(),
            period: 0,
            place: Some(place),
        };
        let key = organs.timers.arm(when.nanos(), Action::Wake(waker), arm);
        TimerHandle {
            organs: Rc::downgrade(organs),
            call,
            key,
            when,
            cancelled: Rc::default(),
        }
    }

    /// Spawns `future` on this loop. As `loop_runtime::create_task`.
    ///
    /// Source: asyncio's `loop.create_task`.
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let place = Location::caller();
        context::entered(&self.organs, || spawn::create_task_at(future, place))
    }

    /// Has the current iteration be the last of this run.
    ///
    /// Source: asyncio's `stop`.
    pub fn stop(&self) {
        self.organs.state.stopping.set(true);
    }

    /// Whether it is inside a `run_*` call; false inside `EventLoop::enter` alone.
    pub fn is_running(&self) -> bool {
        self.organs.state.running.get()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.organs.state.closed.get()
    }

    /// Has `handler` told of panics that nobody else will hear of: in callbacks, in drops, in
    /// tasks that nobody awaits. `None` brings the default back, which writes one line to the log,
    /// or to stderr where none is kept.
    ///
    /// A handler that panics is told of by the default one; the loop goes on.
    ///
    /// Records: while it runs, the loop is `handling` for that task.
    /// Source: asyncio's `set_exception_handler`.
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// loop_runtime::run(async {
    ///     let heard = Rc::new(RefCell::new(String::new()));
    ///     let log = heard.clone();
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     el.set_exception_handler(Some(Rc::new(move |context: &loop_runtime::ErrorContext| {
    ///         *log.borrow_mut() = context.panic.clone().unwrap_or_default();
    ///     })));
    ///     el.call_soon(|| panic!("no such ticket"));
    ///     loop_runtime::yield_now().await;
    ///     assert_eq!(*heard.borrow(), "no such ticket");
    /// })
    /// .unwrap();
    /// ```
    pub fn set_exception_handler(&self, handler: Option<ErrorHandler>) {
        self.organs.executor.set_handler(handler);
    }

    /// Has `factory` asked at each spawn on this loop, from now on: it may name the task, give it a
    /// context, start it eagerly, or leave it as it is. `None` for no factory.
    ///
    /// It costs a call a spawn. The runtime's own tasks do not pass it.
    ///
    /// Source: asyncio's `set_task_factory`.
    ///
    /// ```
    /// use std::rc::Rc;
    /// loop_runtime::run(async {
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     el.set_task_factory(Some(Rc::new(|task, new: &loop_runtime::NewTask| {
    ///         task.name(if new.name().is_empty() { "anonymous" } else { new.name() })
    ///     })));
    ///     assert_eq!(loop_runtime::create_task(async {}).name(), "anonymous");
    /// })
    /// .unwrap();
    /// ```
    pub fn set_task_factory(&self, factory: Option<TaskFactory>) {
        let kept = factory.map(spawn::kept_factory);
        self.organs.executor.set_factory(kept);
    }

    /// The tasks of this loop that are not done.
    ///
    /// Source: asyncio's `all_tasks(loop)`.
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.handle().all_tasks()
    }
}
