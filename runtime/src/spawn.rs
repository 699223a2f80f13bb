//! `create_task` and what it gives: a `Task`, to await, to cancel, to drop.
//!
//! Knows the executor; knows neither timers nor I/O.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::context::{self, Organs};
use crate::executor::{
    How, Local, Made, RawTask, handle_dropped_after_close, here_is, take_result_after_close,
};
use crate::id::{LoopId, TaskId};
use crate::record;
use crate::record::bound::{self, WrongLoop};
use crate::record::names;
use crate::record::site::SiteRow;
use crate::record::task::{Kind, On, Outcome, TaskRow, WaitingOn, flag, phase};

mod builder;
mod cancel;
mod factory;
mod info;
mod turn;
mod vars;

pub use crate::executor::{Cancellation, ErrorContext, JoinError, Panic};
pub use builder::TaskBuilder;
pub(crate) use cancel::Entered;
pub use cancel::{CancelRequest, Cancelled, Canceller, CatchCancel, Propagate, catch_cancel};
pub(crate) use factory::kept as kept_factory;
pub use factory::{NewTask, TaskFactory, eager_task_factory};
pub(crate) use info::tasks_of;
pub use info::{TaskInfo, TaskRef, TaskState, all_tasks, current_task};
pub use turn::{Pending, YieldNow, pending, yield_now};
pub use vars::{ContextVar, Scope, Token, WrongContext};

use crate::record::vars::Context as Vars;

/// A spawned task. Await it for its value; drop it to let it run on by itself.
///
/// May be sent to another thread, but is awaited on its own loop; elsewhere that is
/// `JoinError::WrongLoop`. It is only as `Send` as its value:
///
/// ```compile_fail
/// fn send(_: impl Send) {}
/// loop_runtime::run(async { send(loop_runtime::create_task(async { std::rc::Rc::new(7) })) });
/// ```
#[must_use = "dropping a `Task` detaches it; await it, or say `detach`"]
pub struct Task<T> {
    raw: RawTask,
    /// The number of its loop, and above it `AWAITED`. One word, so that handles move by whole ones.
    home: u64,
    _value: PhantomData<T>,
}

/// In `Task::home`: it was polled and was pending, so it goes down with its awaiter if that is
/// cancelled.
const AWAITED: u64 = 1 << 32;

// The handle is an address and an id: it reaches the value only on the loop's thread, where
// `here` says so, or once the loop is closed and nobody else does.
impl<T> Unpin for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id())
            .field("loop", &self.made_on())
            .finish_non_exhaustive()
    }
}

/// Spawns `future` on the running loop; its first poll comes after what is ready now.
///
/// Panics: no loop runs on this thread.
/// Records: a task with this place; `TaskSpawned`, then `TaskPolled` for each poll and
/// `TaskFinished`.
/// Source: asyncio's `create_task`, which keeps only a weak reference; here the loop owns the task.
///
/// ```
/// loop_runtime::run(async {
///     let task = loop_runtime::create_task(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// })
/// .unwrap();
/// ```
#[doc(alias = "spawn")]
#[track_caller]
pub fn create_task<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    create_task_at(future, Location::caller())
}

#[track_caller]
pub(crate) fn create_task_at<F>(future: F, place: &'static Location<'static>) -> Task<F::Output>
where
    F: Future + 'static,
{
    spawn_as(future, How::new(place, Kind::Task))
}

/// The future of a run.
pub(crate) fn create_main<F>(future: F, place: &'static Location<'static>) -> Task<F::Output>
where
    F: Future + 'static,
{
    let how = How {
        name: names::intern("main"),
        parent: 0,
        ..How::new(place, Kind::Main)
    };
    spawn_as(future, how)
}

#[inline]
#[track_caller]
pub(crate) fn spawn_as<F: Future + 'static>(future: F, how: How) -> Task<F::Output> {
    spawn_in(future, how, None)
}

/// Spawns in `vars`, or in a copy of the spawner's.
#[inline]
#[track_caller]
fn spawn_in<F: Future + 'static>(future: F, how: How, vars: Option<Vars>) -> Task<F::Output> {
    context::expect(|organs| {
        let executor = &organs.executor;
        let plain = !how.eager && vars.is_none() && !executor.has_factory();
        let raw = if plain {
            executor.spawn(future, &how)
        } else {
            spawn_specially(organs, future, how, vars)
        };
        Task {
            raw,
            home: organs.record.id.get().into(),
            _value: PhantomData,
        }
    })
}

/// Out of line, since few spawns come this way.
#[cold]
#[inline(never)]
fn spawn_specially<F: Future + 'static>(
    organs: &Organs,
    future: F,
    how: How,
    vars: Option<Vars>,
) -> RawTask {
    let made = Made {
        type_name: std::any::type_name::<F>(),
        size: size_of::<F>(),
    };
    let (how, vars) = reconsidered(organs, how, vars, made);
    organs.executor.spawn_with(future, how, vars)
}

/// How a task is spawned after all: the factory has a word in it, and only a loop that runs polls
/// at once.
fn reconsidered(
    organs: &Organs,
    mut how: How,
    mut vars: Option<Vars>,
    made: Made,
) -> (How, Option<Vars>) {
    if how.flags & flag::INTERNAL == 0
        && let Some(factory) = organs.executor.factory()
    {
        factory(&mut how, &mut vars, made);
    }
    how.eager &= organs.state.running.get() && how.kind == Kind::Task;
    (how, vars)
}

impl<T> Task<T> {
    /// A builder, to give the task a name and more.
    pub fn builder() -> TaskBuilder {
        TaskBuilder::new()
    }

    /// The task's id, as the console prints it.
    pub fn id(&self) -> TaskId {
        TaskId::from_raw(self.raw.id()).expect("a spawned task has an id")
    }

    /// What other threads may hold of it: to read, and to cancel.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef::new(self.raw.id(), self.made_on())
    }

    fn made_on(&self) -> LoopId {
        LoopId::from_raw(self.home as u32)
    }

    fn is_awaited(&self) -> bool {
        self.home & AWAITED != 0
    }

    /// The organs of its loop, if that is open and the one of this thread.
    fn organs(&self) -> Option<Rc<Organs>> {
        context::current()
            .ok()
            .filter(|organs| organs.record.id == self.made_on() && !organs.executor.is_closed())
    }

    /// How it ended, once it has. Any thread.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let outcome = self.raw.held().outcome.load(Ordering::Relaxed);
        Outcome::from_raw(outcome).filter(|_| self.done())
    }

    /// Its result, if it is done, `Taken` if that is gone. `None` away from its loop, where another
    /// thread may hold a reference to this handle too.
    pub(crate) fn take_result(&self) -> Option<Result<T, JoinError>> {
        self.here(|executor| {
            let done = executor.done_row(self.raw).is_some();
            done.then(|| {
                executor
                    .take_result(self.raw)
                    .unwrap_or(Err(JoinError::Taken))
            })
        })?
    }

    /// Whether its loop is open and the one of this thread.
    pub(crate) fn check_here(&self) -> Result<(), WrongLoop> {
        self.here(|_| ()).ok_or_else(|| self.wrong())
    }

    /// Has `waker` woken in place of an awaiter when the task, which is not done, is.
    pub(crate) fn set_joiner(&self, waker: &Waker) -> Result<(), WrongLoop> {
        self.here(|executor| executor.set_joiner(self.raw, waker))
            .ok_or_else(|| self.wrong())
    }

    /// Takes back what `set_joiner` did; false if the task is done, and told it.
    pub(crate) fn clear_joiner(&self) -> bool {
        self.here(|executor| executor.clear_joiner(self.raw))
            .unwrap_or(false)
    }

    /// As `cancel`, by something that holds it, where the app called that at `place` or nowhere.
    pub(crate) fn cancel_from(&self, place: Option<&'static Location<'static>>) -> bool {
        match self.organs() {
            Some(organs) => organs.executor.cancel_member(self.raw, place),
            None => self.cancel(),
        }
    }

    /// From now on it goes down with whoever holds it, as if that had awaited it.
    pub(crate) fn tie(&mut self) {
        self.home |= AWAITED;
    }

    /// From now on it goes on if whoever holds it is cancelled.
    pub(crate) fn untie(&mut self) {
        self.home &= !AWAITED;
    }

    fn wrong(&self) -> WrongLoop {
        WrongLoop {
            made_on: self.made_on(),
            here: bound::here(),
        }
    }

    /// For those who keep tasks of several types.
    pub(crate) fn raw(&self) -> RawTask {
        self.raw
    }

    fn here<R>(&self, f: impl FnOnce(&crate::executor::Executor) -> R) -> Option<R> {
        let here = |organs: &context::Organs| {
            let open = organs.record.id == self.made_on() && !organs.executor.is_closed();
            open.then(|| f(&organs.executor))
        };
        context::with(here).ok().flatten()
    }

    /// Asks the task to cancel, at its next step. True unless it is done.
    ///
    /// Its future is dropped where it waits, unless it is inside `catch_cancel`. A value that the
    /// task has returned already wins. From another thread the request is sent to the loop.
    ///
    /// Records: who asked, where and when, with the task, also once it ended.
    /// Source: asyncio's `Task.cancel`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::create_task(std::future::pending::<()>());
    ///     assert!(task.cancel());
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// })
    /// .unwrap();
    /// ```
    #[doc(alias = "abort")]
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.cancel_with(None)
    }

    /// As `cancel`, with a message for whoever awaits the task.
    ///
    /// Source: asyncio's `Task.cancel(msg)`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::create_task(std::future::pending::<()>());
    ///     task.cancel_message("the shop closes");
    ///     assert!(task.await.unwrap_err().to_string().contains("the shop closes"));
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn cancel_message(&self, message: &str) -> bool {
        self.cancel_with(Some(message))
    }

    #[track_caller]
    fn cancel_with(&self, message: Option<&str>) -> bool {
        match self.organs() {
            Some(organs) => organs.executor.cancel(self.raw, message),
            None => !self.done() && cancel::send(self.made_on(), self.raw.id(), message),
        }
    }

    /// How many cancels were asked for, less those withdrawn. 0 away from its loop.
    pub fn cancelling(&self) -> u32 {
        self.here(|executor| {
            executor
                .row(self.raw)
                .cancels
                .load(Ordering::Relaxed)
                .into()
        })
        .unwrap_or(0)
    }

    /// Withdraws one request to cancel; gives the number of those left. 0 away from its loop.
    pub fn uncancel(&self) -> u32 {
        self.here(|executor| executor.uncancel(executor.row(self.raw)))
            .unwrap_or(0)
    }

    /// Whether it is over. Any thread.
    pub fn done(&self) -> bool {
        self.raw.held().phase.load(Ordering::Acquire) == phase::DONE
    }

    /// Whether it was cancelled, or dropped by its loop's close. Any thread.
    pub fn cancelled(&self) -> bool {
        let outcome = Outcome::from_raw(self.raw.held().outcome.load(Ordering::Relaxed));
        self.done() && matches!(outcome, Some(Outcome::Cancelled | Outcome::Dropped))
    }

    /// Takes the value, if the task is done and it was not taken.
    ///
    /// After the loop's close on any thread; before, on its loop.
    pub fn try_result(&mut self) -> Option<Result<T, JoinError>> {
        let raw = self.raw;
        self.here(|executor| executor.take_result(raw))
            .unwrap_or_else(|| take_result_after_close(raw))
    }

    /// Lets the task run on by itself; says so where a plain drop would look like an accident.
    pub fn detach(self) {
        drop(self);
    }

    /// Names the task from now on. Names are kept for ever: use few of them.
    pub fn set_name(&self, name: &str) {
        self.here(|executor| rename(executor.row(self.raw), name));
    }

    /// The task's name; empty away from its loop.
    pub fn name(&self) -> String {
        self.here(|executor| executor.name_of(self.raw))
            .unwrap_or_default()
    }

    /// The type of its future, as rustc prints it; empty away from its loop.
    pub fn type_name(&self) -> &'static str {
        let name = |site: &SiteRow| site.type_name();
        self.site(name).unwrap_or_default()
    }

    /// Where it was spawned; `None` if that is not known, or away from its loop.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::create_task(async {});
    ///     assert_eq!(task.spawn_site().unwrap().line(), line!() - 1);
    /// })
    /// .unwrap();
    /// ```
    pub fn spawn_site(&self) -> Option<&'static Location<'static>> {
        self.site(SiteRow::place).flatten()
    }

    fn site<R>(&self, ask: impl FnOnce(&SiteRow) -> R) -> Option<R> {
        let organs = self.organs()?;
        let site = organs.executor.row(self.raw).site();
        organs.record.sites.get(site).map(ask)
    }

    /// Its context variables themselves: what is set there is seen by the task. `None` away from its
    /// loop.
    ///
    /// Source: asyncio's `Task.get_context`.
    pub fn context(&self) -> Option<Vars> {
        self.here(|executor| executor.vars_of(self.raw))
    }

    /// Has `callback` called, as by `call_soon`, once the task is done: never inside this call, and
    /// in a copy of the caller's context. Does nothing away from its loop.
    ///
    /// Records: a row of kind callback, with this place.
    /// Source: asyncio's `add_done_callback`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::create_task(async {});
    ///     let (promise, future) = loop_runtime::create_future();
    ///     task.add_done_callback(move |done| promise.set_result(done.id()).unwrap());
    ///     assert_eq!(future.await, Ok(task.id()));
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&TaskRef) + 'static) {
        let (task, place) = (self.task_ref(), Location::caller());
        let vars = record::vars::current().map(|vars| vars.fork());
        self.on_done(Box::new(move || {
            // The loop is there: it is what calls this.
            let _ = context::with(|organs| {
                let how = How::new(place, Kind::Callback);
                organs.executor.call_in(vars, move || callback(&task), how)
            });
        }));
    }

    fn on_done(&self, done: Box<dyn FnOnce()>) {
        self.here(|executor| executor.when_done(self.raw, done));
    }

    /// Hands the result to `f` once the task is done; uses the handle up. Called on its loop.
    pub(crate) fn when_done(self, f: impl FnOnce(Result<T, JoinError>) + 'static)
    where
        T: 'static,
    {
        let raw = self.raw;
        let organs = context::current().unwrap_or_else(|error| panic!("{error}"));
        let mut task = self;
        organs.executor.when_done(
            raw,
            Box::new(move || {
                if let Some(result) = task.try_result() {
                    f(result);
                }
            }),
        );
    }
}

fn rename(row: &TaskRow, name: &str) {
    row.number.store(0, Ordering::Relaxed);
    row.set_name(names::intern(name));
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let at = Location::caller();
        let raw = self.raw;
        // The short way: done already, which needs nothing of the loop but the task's row.
        let over = |local: &Local| local.poll_result(raw);
        if let Some(Poll::Ready(result)) = here_is(self.home as u32, over) {
            self.home &= !AWAITED;
            return Poll::Ready(result);
        }
        let made_on = self.made_on();
        let polled = self.here(|executor| {
            if executor.done_row(raw).is_some() {
                return Poll::Ready(executor.take_result(raw).unwrap_or(Err(JoinError::Taken)));
            }
            executor.set_joiner(raw, cx.waker());
            record::waiting(WaitingOn::new(On::Task, raw.id()), at);
            Poll::Pending
        });
        match polled {
            Some(Poll::Pending) => self.home |= AWAITED,
            _ => self.home &= !AWAITED,
        }
        let closed = || take_result_after_close(raw).map(Poll::Ready);
        polled.or_else(closed).unwrap_or_else(|| {
            Poll::Ready(Err(JoinError::WrongLoop(WrongLoop {
                made_on,
                here: bound::here(),
            })))
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let (raw, awaited) = (self.raw, self.is_awaited());
        if here_is(self.home as u32, |local| local.done_handle_dropped(raw)) == Some(true) {
            return;
        }
        if self
            .here(|executor| executor.handle_dropped(raw, awaited))
            .is_some()
        {
            return;
        }
        let gone = Gone {
            raw,
            loop_id: self.made_on(),
        };
        // Refused, and so dropped, if the loop is closed.
        let _ = bound::send(self.made_on(), Box::new(move || drop(gone)));
    }
}

/// A handle that was dropped away from its loop, on its way home. Does its work when it is
/// dropped: a loop that closes drops what it was sent.
struct Gone {
    raw: RawTask,
    loop_id: LoopId,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let home = context::current()
            .ok()
            .filter(|organs| organs.record.id == self.loop_id && !organs.executor.is_closed());
        match home {
            Some(organs) => organs.executor.handle_dropped(self.raw, false),
            None => handle_dropped_after_close(self.raw),
        }
    }
}
