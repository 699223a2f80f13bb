//! `EventLoop`: joins the organs and turns them. `run_once` is the one place that knows the order.
//!
//! One iteration, numbered as in the code:
//!
//! 1. what other threads sent is taken into the ready queue;
//! 2. the reactor is asked: not at all while a share of ready work is left, without waiting while
//!    anything is ready, else until the next deadline;
//! 3. readiness is served: it enqueues, it never runs anything inline;
//! 4. timers that are due fire: they enqueue too;
//! 5. exactly what is ready now is run; what it enqueues waits for the next iteration. Where much
//!    is ready, 1-4 come in between, once per share.
//!
//! Knows neither how a loop is configured (`run`) nor who looks at it.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::blocking::Blocking;
use crate::clock;
use crate::context::allowance::{self, Allowance};
use crate::context::{self, LoopClock, Organs, State};
use crate::executor::Executor;
use crate::handle::{LocalLoop, LoopHandle};
use crate::id::LoopId;
use crate::reactor::{Reactor, Wait};
use crate::record::current::Doing;
use crate::record::thread::RunsHere;
use crate::record::{self, LoopRecord, Owner, bound};
use crate::spawn::{self, JoinError, TaskInfo};
use crate::timers::Timers;

mod deadlock;
mod debug;
mod error;
mod fork;
mod standstill;

pub use deadlock::{Deadlock, OnDeadlock};
pub use error::{CloseError, RunError};
use standstill::{Parks, Rule};

/// How a loop is made. `run::Builder` is the public face.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) name: Option<String>,
    /// Polls after which the reactor is asked though more is ready.
    pub(crate) polls_per_wait: usize,
    /// Time after which it is, whatever the number of polls.
    pub(crate) turn: Duration,
    /// A poll longer than this is a block.
    pub(crate) budget: Duration,
    pub(crate) clock: LoopClock,
    /// Ready operations a poll may do before a leaf yields; 0 for no limit.
    pub(crate) allowance: u32,
    /// Debug mode; `None`: as the environment says.
    pub(crate) debug: Option<bool>,
    pub(crate) internal: bool,
    /// What a run does when nothing can wake the loop and its main task is not done.
    pub(crate) on_deadlock: OnDeadlock,
    /// What is done about blocking calls; `None`: they are not looked for.
    #[cfg(feature = "intercept")]
    pub(crate) calls: Option<record::calls::Mode>,
    /// Makes what is to be there while the loop runs; dropped when it stops.
    pub(crate) companion: Option<fn() -> Box<dyn Any>>,
    pub(crate) place: &'static Location<'static>,
}

impl Config {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::at(Location::caller())
    }

    pub(crate) fn at(place: &'static Location<'static>) -> Self {
        Self {
            name: None,
            polls_per_wait: 1024,
            turn: Duration::from_micros(50),
            budget: record::BUDGET,
            clock: LoopClock::Monotonic,
            allowance: allowance::DEFAULT,
            debug: None,
            internal: false,
            on_deadlock: OnDeadlock::Error,
            #[cfg(feature = "intercept")]
            calls: None,
            companion: None,
            place,
        }
    }
}

/// The owner of an event loop: makes it, runs it, closes it. Stays on its thread.
///
/// ```
/// let el = loop_runtime::EventLoop::new().unwrap();
/// assert_eq!(el.run_until_complete(async { 7 }), Ok(7));
/// el.close().unwrap();
/// assert_eq!(el.run_until_complete(async { 7 }), Err(loop_runtime::RunError::Closed));
/// ```
pub struct EventLoop {
    organs: Rc<Organs>,
    config: Config,
    /// Tick at which the last wait of the reactor ended.
    waited_at: Cell<u64>,
    /// Polls since then.
    polled: Cell<usize>,
    /// What was ready when the current iteration began, and has not run yet.
    left: Cell<usize>,
    /// An iteration of the same run came right before.
    goes_on: Cell<bool>,
    /// What is known of who can wake it.
    parks: Parks,
    turn_ticks: u64,
    epoch: u64,
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("id", &self.id())
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl EventLoop {
    /// A loop that is not running yet.
    ///
    /// Errors: what the system says when it refuses an epoll or event descriptor.
    /// Records: a loop, from now until it is closed.
    /// Source: asyncio's `new_event_loop`.
    #[track_caller]
    pub fn new() -> io::Result<Self> {
        Self::with(Config::new())
    }

    pub(crate) fn with(config: Config) -> io::Result<Self> {
        fork::watch();
        let name = config.name.clone().unwrap_or_default();
        let record = LoopRecord::new(&name, config.internal, config.place);
        if name.is_empty() {
            let name = if config.internal {
                "inspector".to_owned()
            } else {
                format!("loop-{}", record.id)
            };
            *record
                .facts
                .name
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = name;
        }
        record.set_budget(config.budget);
        let owner = Rc::new(Owner::default());
        let reactor = Reactor::new(record.clone(), owner.clone())?;
        let executor = Executor::new(record.clone(), owner.clone(), reactor.unparker());
        #[cfg(feature = "tracing")]
        executor.set_around(Box::new(crate::trace::Spans::default()));
        let timers = Timers::new(record.clone(), owner.clone());
        let home = executor.shared().clone();
        let blocking = Blocking::new(
            record.clone(),
            owner.clone(),
            Box::new(move |errand| home.submit_at(config.place, errand)),
        );
        bound::open_inbox(record.id, executor.shared().clone());
        record::enlist(&record);
        let turn_ticks = clock::ns_to_ticks(config.turn);
        let organs = Organs {
            record,
            owner,
            executor,
            timers,
            reactor,
            blocking,
            clock: config.clock.clone(),
            allowance: Allowance::new(config.allowance),
            state: State::default(),
        };
        let debug = config
            .debug
            .unwrap_or_else(|| !config.internal && debug::wished());
        organs.state.debug.set(debug);
        Ok(Self {
            organs: Rc::new(organs),
            config,
            waited_at: Cell::new(clock::ticks()),
            polled: Cell::new(0),
            left: Cell::new(0),
            goes_on: Cell::new(false),
            parks: Parks::default(),
            turn_ticks,
            epoch: fork::epoch(),
        })
    }

    /// The loop's id, as the console prints it.
    pub fn id(&self) -> LoopId {
        self.organs.record.id
    }

    /// The place that made it.
    pub(crate) fn made_at(&self) -> &'static Location<'static> {
        self.config.place
    }

    /// Whether it belongs to the parent of this process.
    pub(crate) fn is_forked(&self) -> bool {
        self.epoch != fork::epoch()
    }

    /// What other threads may hold.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.organs.executor.shared().clone())
    }

    /// What `get_running_loop` gives while it runs.
    pub fn local(&self) -> LocalLoop {
        LocalLoop::new(self.organs.clone())
    }

    /// Whether it is inside a `run_*` call.
    pub fn is_running(&self) -> bool {
        self.organs.state.running.get()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.organs.state.closed.get()
    }

    /// Runs `f` with this loop as the current one of the thread, without turning it: to spawn or
    /// to make timers before a run.
    ///
    /// Source: what is left of asyncio's `set_event_loop`.
    ///
    /// ```
    /// let el = loop_runtime::EventLoop::new().unwrap();
    /// let task = el.enter(|| loop_runtime::create_task(async { 7 }));
    /// assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 7);
    /// ```
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        context::entered(&self.organs, f)
    }

    /// Spawns `future` and runs until it is done.
    ///
    /// Errors: `RunError`; after `Stopped` and `Deadlock` the task is still there, and goes on with the
    /// next run.
    /// Panics: with the task's own panic, after which the loop may be run again.
    /// Records: a task of kind main.
    /// Source: asyncio's `run_until_complete`.
    #[track_caller]
    pub fn run_until_complete<F>(&self, future: F) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.run_watched(Location::caller(), future, |_| {}, |_| false)
    }

    /// As `run_until_complete`; `each` is called after each iteration, and `idle` when nothing is
    /// ready and before the loop would wait: it may turn a clock, and then tells so.
    pub(crate) fn run_watched<F>(
        &self,
        place: &'static Location<'static>,
        future: F,
        each: impl FnMut(&Organs),
        idle: impl FnMut(&Organs) -> bool,
    ) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.may_run()?;
        let done = Rc::new(Cell::new(None));
        let (slot, organs) = (done.clone(), Rc::downgrade(&self.organs));
        // A run that is stopped before the task is done leaves it; its end stops no later run.
        let waits = Rc::new(Cell::new(true));
        let still_waits = waits.clone();
        self.enter(|| {
            spawn::create_main(future, place).when_done(move |result| {
                slot.set(Some(result));
                if let Some(organs) = organs.upgrade().filter(|_| still_waits.get()) {
                    organs.state.stopping.set(true);
                }
            });
        });
        let rule = match self.config.internal {
            true => Rule::Unasked,
            false => Rule::Main(self.config.on_deadlock),
        };
        let turned = self.turn_until_stopped(rule, each, idle);
        waits.set(false);
        turned?;
        match done.take() {
            Some(Ok(output)) => Ok(output),
            Some(Err(JoinError::Panicked(panic))) => {
                std::panic::resume_unwind(panic.into_payload())
            }
            Some(Err(_)) => Err(RunError::Cancelled),
            None => match self.parks.take() {
                Some(deadlock) => Err(RunError::Deadlock(deadlock)),
                None => Err(RunError::Stopped),
            },
        }
    }

    /// Runs until `stop` is called.
    ///
    /// It waits on also where nothing can wake it, as asyncio's: then the inspector says so, if tasks
    /// wait. A loop without tasks only idles.
    ///
    /// Errors: `RunError`, but never `Stopped`.
    /// Source: asyncio's `run_forever`.
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.may_run()?;
        self.turn_until_stopped(Rule::Forever, |_| {}, |_| false)
    }

    /// Runs until `done` says so or `limit` has passed; tells which of the two it was. `idle` as in
    /// `run_watched`.
    pub(crate) fn turn_until(
        &self,
        limit: Duration,
        done: impl Fn() -> bool + 'static,
        idle: impl FnMut(&Organs) -> bool,
    ) -> Result<bool, RunError> {
        self.may_run()?;
        if done() {
            return Ok(true);
        }
        let organs = self.organs.clone();
        let (late, done) = (Rc::new(Cell::new(false)), Rc::new(done));
        let passed = late.clone();
        let local = self.local();
        let alarm = self.enter(|| {
            local.call_internally(limit, move || {
                passed.set(true);
                organs.state.stopping.set(true);
            })
        });
        let finished = done.clone();
        let result = self.turn_until_stopped(
            Rule::Unasked,
            move |organs| {
                if finished() {
                    organs.state.stopping.set(true);
                }
            },
            idle,
        );
        self.enter(|| alarm.cancel());
        result.map(|()| done())
    }

    /// One iteration that does not wait. Tells whether more is ready.
    pub(crate) fn turn_once(&self) -> Result<bool, RunError> {
        self.may_run()?;
        self.organs.state.stopping.set(true);
        self.turn_until_stopped(Rule::Unasked, |_| {}, |_| false)?;
        Ok(self.organs.executor.ready_len() > 0)
    }

    /// Has the current iteration be the last. Called before a run: that run is one iteration.
    ///
    /// Source: asyncio's `stop`.
    pub fn stop(&self) {
        self.organs.state.stopping.set(true);
    }

    pub(crate) fn may_run(&self) -> Result<(), RunError> {
        if self.epoch != fork::epoch() {
            return Err(RunError::Forked);
        }
        if self.is_closed() {
            return Err(RunError::Closed);
        }
        if self.is_running() {
            return Err(RunError::AlreadyRunning);
        }
        match context::current() {
            // A loop of the parent's does not run in the child of a fork.
            Ok(other) if other.state.running.get() && !other.executor.shared().is_forked() => {
                Err(RunError::OtherLoopRunning(other.record.id))
            }
            _ => Ok(()),
        }
    }

    fn turn_until_stopped(
        &self,
        rule: Rule,
        mut each: impl FnMut(&Organs),
        mut idle: impl FnMut(&Organs) -> bool,
    ) -> Result<(), RunError> {
        let _running = Running::new(self);
        self.parks.begin(&self.organs, rule);
        context::entered(&self.organs, || {
            loop {
                if self.epoch != fork::epoch() {
                    // The child of a fork came back into its parent's loop.
                    return Err(RunError::Forked);
                }
                self.run_once(&mut idle)?;
                each(&self.organs);
                if self.left.get() == 0 && self.organs.state.stopping.take() {
                    return Ok(());
                }
            }
        })
    }

    /// One iteration, or a share of it. The numbers are those of the module's text.
    #[inline]
    fn run_once(&self, idle: &mut impl FnMut(&Organs) -> bool) -> io::Result<()> {
        let Organs {
            record,
            executor,
            timers,
            reactor,
            ..
        } = &*self.organs;
        // The tick up to which all time is accounted for, while nothing of length came after: it
        // spares a reading of the clock.
        let mut edge = Some(executor.last_edge()).filter(|_| self.goes_on.replace(true));
        // 1.
        if executor.take_away() {
            edge = None;
        }

        let ready = executor.ready_len();
        let share = self.config.polls_per_wait.saturating_sub(self.polled.get());
        let late = executor.last_edge().saturating_sub(self.waited_at.get()) >= self.turn_ticks;
        if ready == 0 || share == 0 || late || self.organs.state.stopping.get() {
            // 2.
            let busy = ready > 0 || self.organs.state.stopping.get() || idle(&self.organs);
            let events = self.wait(busy)?;
            let mut turning = self.waited_at.get();
            // 3.
            if events > 0 {
                record.phase(Doing::Sources, turning);
                reactor.serve();
                turning = clock::ticks();
                record.phase(Doing::Turning, turning);
            }
            // 4.
            if timers
                .next_deadline()
                .is_some_and(|next| next <= self.organs.now())
            {
                record.phase(Doing::Timers, clock::ticks());
                let fired = timers.fire(self.organs.now());
                reactor.timers_met(fired);
                turning = clock::ticks();
                record.phase(Doing::Turning, turning);
            }
            edge = (!executor.take_away()).then_some(turning);
        }

        // 5.
        if self.left.get() == 0 {
            record::count(&record.stats.iterations);
            self.left.set(executor.ready_len());
        }
        let share = self.config.polls_per_wait - self.polled.get();
        let most = self.left.get().min(share);
        if most > 0 {
            let ready = u32::try_from(executor.ready_len()).unwrap_or(u32::MAX);
            record.stats.ready.store(ready, Ordering::Relaxed);
            let until = self.waited_at.get() + self.turn_ticks;
            let start = edge.unwrap_or_else(clock::ticks);
            let ran = executor.run_ready(most, start, until);
            self.polled.set(self.polled.get() + ran);
            self.left.set(self.left.get() - ran);
        }
        if self.organs.state.debug.get() && record.over.written() != self.organs.state.told.get() {
            debug::tell(&self.organs);
        }
        Ok(())
    }

    /// Asks the reactor: waits for something to happen, or only looks if there is work.
    fn wait(&self, busy: bool) -> io::Result<usize> {
        let Organs {
            record,
            executor,
            timers,
            reactor,
            state,
            ..
        } = &*self.organs;
        let before = clock::ticks();
        record.lagged(self.waited_at.get(), before);
        let waited = if busy || !executor.prepare_park() {
            let waited = reactor.wait(Wait::Now);
            self.waited_at.set(clock::ticks());
            waited
        } else {
            record.stats.ready.store(0, Ordering::Relaxed);
            record.current.park(before);
            let until = match (timers.next_deadline(), &self.config.clock) {
                (None, _) => self.parks.wait(&self.organs).unwrap_or_else(|| {
                    state.stopping.set(true);
                    Wait::Now
                }),
                (Some(deadline), LoopClock::Monotonic) => Wait::Until(deadline),
                // A clock that is turned by hand does not move while we wait.
                (Some(_), LoopClock::Turned(_)) => Wait::Now,
            };
            let waited = reactor.wait(until);
            executor.unparked();
            if !matches!(until, Wait::Until(_)) {
                let quiet = matches!(waited, Ok(0)) && !executor.was_sent_something();
                self.parks.waited(&self.organs, until, quiet);
            }
            let now = clock::ticks();
            record.current.unpark(now);
            record::add(&record.stats.parked, now - before);
            self.waited_at.set(now);
            waited
        };
        self.polled.set(0);
        waited
    }

    /// Drops what is left, newest task first, and frees the loop's descriptors.
    ///
    /// Gives the tasks that were still pending. Closing twice is no error.
    ///
    /// Errors: `CloseError`.
    /// Records: each task left pending as finished with the outcome dropped; then the loop is gone.
    /// Source: asyncio's `close`, which loses the tasks silently.
    pub fn close(&self) -> Result<Vec<TaskInfo>, CloseError> {
        self.close_and(false)
    }

    /// Closes; `tell` the exception handler of each task that was pending, since nobody reads the
    /// list.
    fn close_and(&self, tell: bool) -> Result<Vec<TaskInfo>, CloseError> {
        if self.epoch != fork::epoch() {
            return Err(CloseError::Forked);
        }
        if self.is_running() {
            return Err(CloseError::Running);
        }
        if self.organs.state.closed.replace(true) {
            return Ok(Vec::new());
        }
        let Organs {
            record,
            executor,
            blocking,
            state,
            ..
        } = &*self.organs;
        let left = context::entered(&self.organs, || {
            while let Some(undo) = { state.at_close.borrow_mut().pop() } {
                undo();
            }
            blocking.close();
            let left = executor.close(tell);
            // Last: until the executor refuses, what other threads drop comes home.
            bound::close_inbox(record.id);
            left.iter()
                .map(|(facts, _)| TaskInfo::new(record, facts))
                .collect()
        });
        record.phase(Doing::Closed, clock::ticks());
        record::strike(record);
        Ok(left)
    }

    pub(crate) fn organs(&self) -> &Rc<Organs> {
        &self.organs
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if self.close_and(true) == Err(CloseError::Forked) {
            // The parent's epoll must not be touched: what is left is leaked.
            std::mem::forget(self.organs.clone());
        }
    }
}

/// While it lives, the loop runs on this thread.
struct Running<'a> {
    event_loop: &'a EventLoop,
    _runs_here: RunsHere,
    _companion: Option<Box<dyn Any>>,
}

impl<'a> Running<'a> {
    fn new(event_loop: &'a EventLoop) -> Self {
        let organs = &event_loop.organs;
        // First, since it may panic.
        let companion = event_loop.config.companion.map(|make| make());
        let runs_here = organs.record.runs_here();
        organs.state.running.set(true);
        let now = clock::ticks();
        organs
            .record
            .stats
            .running_since
            .store(now, Ordering::Relaxed);
        organs.record.current.unpark(now);
        event_loop.waited_at.set(now);
        event_loop.goes_on.set(false);
        Self {
            event_loop,
            _runs_here: runs_here,
            _companion: companion,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let organs = &self.event_loop.organs;
        organs.state.running.set(false);
        organs.record.phase(Doing::Stopped, clock::ticks());
    }
}

/// The loop that runs on this thread.
///
/// Errors: none does; it never makes one.
/// Source: asyncio's `get_running_loop`.
///
/// ```
/// assert!(loop_runtime::get_running_loop().is_err());
/// loop_runtime::run(async {
///     assert!(loop_runtime::get_running_loop().unwrap().is_running());
/// })
/// .unwrap();
/// ```
pub fn get_running_loop() -> Result<LocalLoop, context::NoRunningLoop> {
    context::current().map(LocalLoop::new)
}
