//! Polls what is ready. `run_ready` is the only place where a task is polled.
//!
//! ```text
//!            spawn                    run_ready                     finish
//! (vacant) ────────► ready ─────────────────────────► running ─────────────► done ──settle──► (vacant)
//!                      ▲     wake, here or away           │ Pending            ▲
//!                      └──────────── waiting ◄────────────┘                    │
//!                                       └───────────── cancel ─────────────────┘
//! ```
//!
//! Knows neither timers nor I/O: they wake, that is all it sees of them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use crate::clock;
use crate::record::bound::{self, Inbox};
use crate::record::current::Doing;
use crate::record::event::{Event, Kind as EventKind};
use crate::record::names::NameId;
use crate::record::task::{Birth, Kind, Outcome, TaskRow, flag, phase};
use crate::record::vars;
use crate::record::wake::Cause;
use crate::record::{self, LoopRecord, Owner};

mod away;
mod cancel;
mod close;
mod done;
mod error;
mod finish;
mod local;
#[cfg(all(test, loop_model))]
mod model;
mod queue;
mod raw;
mod report;
mod scope;
mod special;
mod still;
#[cfg(all(test, not(loop_model)))]
mod tests;
mod waker;
mod watch;

pub(crate) use error::text_of;
pub use error::{Cancellation, ErrorContext, JoinError, Panic};
pub(crate) use local::Local;
pub(crate) use scope::{Hit, ScopeKey, Scopes};
pub(crate) use special::{Factory, Made};
pub(crate) use waker::{EnteredGuard, here_is};
pub(crate) use watch::WatchKey;

use away::{Pushed, Stack};
use finish::DROP_PANICKED;
pub(crate) use raw::RawTask;
use raw::{Item, Polled};
pub(crate) use report::{name_of, visible};
pub(crate) use waker::{handle_dropped_after_close, take_result_after_close};

impl away::Away for TaskRow {
    fn link(&self) -> &crate::atomic::AtomicUsize {
        &self.away_link
    }
    fn marks(&self) -> &crate::atomic::AtomicU32 {
        &self.away_marks
    }
    fn refs_away(&self) -> &crate::atomic::AtomicI32 {
        &self.refs_away
    }
}

/// Told of what nobody else will hear of.
pub(crate) type Handler = Rc<dyn Fn(&ErrorContext)>;

/// What wants to be around every poll of a task, as its span does.
pub(crate) trait Around {
    fn spawned(&self, task: u64);
    fn enter(&self, task: u64);
    fn exit(&self, task: u64);
    fn ended(&self, task: u64);
}

/// How something is spawned.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) place: &'static Location<'static>,
    pub(crate) kind: Kind,
    pub(crate) name: NameId,
    pub(crate) number: u32,
    pub(crate) flags: u8,
    pub(crate) parent: u64,
    /// Its first poll is made at once, inside the spawn.
    pub(crate) eager: bool,
}

impl How {
    /// Spawned at `place` by whatever runs now, without a name.
    #[inline]
    pub(crate) fn new(place: &'static Location<'static>, kind: Kind) -> Self {
        Self {
            place,
            kind,
            name: NameId::NONE,
            number: 0,
            flags: 0,
            parent: record::current_task(),
            eager: false,
        }
    }
}

/// The side of an executor that other threads hold.
pub(crate) struct Shared {
    record: Arc<LoopRecord>,
    stack: Stack,
    /// Forks before it was made: the child of a later one has only a picture of this loop.
    forks: u64,
    unpark: Box<dyn Fn() + Send + Sync>,
    /// Handles of the loop, which may send it errands.
    handles: AtomicUsize,
    /// The loop is parked and only somebody outside can wake it: who gives up what it could do that
    /// with has the loop look again.
    alone: AtomicBool,
}

impl Shared {
    pub(crate) fn record(&self) -> &Arc<LoopRecord> {
        &self.record
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stack.is_shut()
    }

    /// Whether this process is a child forked after the loop was made, and has no part in it.
    pub(crate) fn is_forked(&self) -> bool {
        self.forks != crate::os::forks()
    }

    /// Sends an errand to the loop; gives it back if the loop is closed.
    pub(crate) fn submit_at(
        &self,
        place: &'static Location<'static>,
        errand: bound::Errand,
    ) -> Result<(), bound::Errand> {
        if self.is_forked() {
            return Err(errand);
        }
        let pushed = raw::push_errand(&self.stack, place, errand)?;
        self.record.stats.submitted.fetch_add(1, Ordering::Relaxed);
        if pushed == Pushed::OntoSleeper {
            (self.unpark)();
        }
        Ok(())
    }

    pub(crate) fn handle_made(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handle_dropped(&self) {
        self.handles.fetch_sub(1, Ordering::Relaxed);
        self.given_up();
    }

    /// Handles that are alive.
    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    /// Whether the loop is to hear of what is given up outside, while it waits for it.
    pub(crate) fn wait_alone(&self, alone: bool) {
        if self.alone.load(Ordering::Relaxed) != alone {
            self.alone.store(alone, Ordering::SeqCst);
        }
    }

    /// A handle or a reference was given up, maybe on another thread.
    fn given_up(&self) {
        // The loop looks once more after a while, so one that is missed here is not missed for long.
        if self.alone.load(Ordering::Relaxed)
            && self.alone.swap(false, Ordering::Relaxed)
            && !self.is_forked()
        {
            (self.unpark)();
        }
    }

    /// Does what another thread's wake or drop left to do.
    fn after(&self, _row: &TaskRow, left: away::Left) {
        // The parent's loop has no use for the wakes of its child.
        if left.wake_loop && !self.is_forked() {
            (self.unpark)();
        }
        if left.release {
            waker::release(self);
        }
    }
}

impl Inbox for Shared {
    #[track_caller]
    fn submit(&self, errand: bound::Errand) -> Result<(), bound::Errand> {
        self.submit_at(Location::caller(), errand)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        waker::strike(self.record.id.get());
    }
}

/// The executor of one loop.
pub(crate) struct Executor {
    local: Rc<Local>,
    shared: Arc<Shared>,
    scopes: Scopes,
    /// Tick of the last poll edge.
    edge: Cell<u64>,
    main: Cell<u64>,
    /// Messages of cancels that were not delivered yet, by task.
    messages: RefCell<std::collections::HashMap<u64, String>>,
    watches: Rc<watch::Watches>,
    /// Has a word in each spawn, if the app set one; and whether it did, which each spawn asks.
    factory: RefCell<Option<Factory>>,
    has_factory: Cell<bool>,
    /// Tasks that are being polled inside the spawn of another.
    eager: Cell<usize>,
}

/// A callback that was handed in. Holds nothing: a callback is over once it ran.
#[derive(Clone)]
pub(crate) struct RawCall {
    raw: RawTask,
    executor: std::rc::Weak<Local>,
}

impl RawCall {
    pub(crate) fn id(&self) -> u64 {
        self.raw.id()
    }

    /// Keeps the callback from running, unless it has begun; tells whether it did.
    pub(crate) fn cancel(&self) -> bool {
        let Some(local) = self.executor.upgrade() else {
            return false;
        };
        let row = local.row(self.raw.row());
        let waits =
            row.task_id() == self.raw.id() && row.phase.load(Ordering::Relaxed) == phase::IDLE;
        if waits {
            local.finish_cancelled(row, JoinError::Cancelled(Cancellation::default()));
        }
        waits
    }
}

/// A callback as a future: called at its first poll.
struct Call<F>(Option<F>);

impl<F: FnOnce()> Future for Call<F> {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> std::task::Poll<()> {
        // `Call` hands out no pinned part, so moving the closure out is fine.
        let this = self.get_mut();
        if let Some(call) = this.0.take() {
            call();
        }
        std::task::Poll::Ready(())
    }
}

impl<F> Unpin for Call<F> {}

#[cold]
fn tell_poll(record: &LoopRecord, row: &TaskRow, woken_by: u64, start: u64, end: u64) {
    let id = row.task_id();
    let by = Cause::of_row(woken_by, id).map_or(0, Cause::raw);
    record.emit(EventKind::TaskPolled, || {
        Event::task_polled(start, id, by, end.saturating_sub(start))
    });
}

impl Executor {
    /// An executor for the loop of `record`. `unpark` ends the loop's wait; it is called only
    /// while the loop said it waits.
    pub(crate) fn new(
        record: Arc<LoopRecord>,
        owner: Rc<Owner>,
        unpark: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let shared = Arc::new(Shared {
            record: record.clone(),
            stack: Stack::default(),
            forks: crate::os::forks(),
            unpark,
            handles: AtomicUsize::new(0),
            alone: AtomicBool::new(false),
        });
        waker::enlist(&shared);
        let local = Local {
            loop_id: Cell::new(record.id.get()),
            queue: queue::Queue::default(),
            record,
            owner,
            live: Cell::new(0),
            cancelling: Cell::new(false),
            strayed: Cell::new(false),
            handler: RefCell::new(None),
            around: std::cell::OnceCell::new(),
            failures: RefCell::default(),
            callbacks: RefCell::default(),
            ending: Cell::new(None),
        };
        Self {
            local: Rc::new(local),
            shared,
            scopes: Scopes::default(),
            edge: Cell::new(clock::ticks()),
            main: Cell::new(0),
            messages: RefCell::default(),
            watches: Rc::default(),
            factory: RefCell::new(None),
            has_factory: Cell::new(false),
            eager: Cell::new(0),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// While the guard lives, this thread's wakes of this loop's tasks are local.
    pub(crate) fn enter(&self) -> EnteredGuard {
        waker::Entered::enter(&self.local)
    }

    #[inline]
    pub(crate) fn ready_len(&self) -> usize {
        self.local.queue.len()
    }

    /// Tick of the last poll edge.
    #[inline]
    pub(crate) fn last_edge(&self) -> u64 {
        self.edge.get()
    }

    /// Tasks that are not done; callbacks do not count.
    pub(crate) fn live_tasks(&self) -> usize {
        self.local.live.get()
    }

    /// The loop is about to wait; false if something came and it must not.
    pub(crate) fn prepare_park(&self) -> bool {
        self.shared.stack.prepare_sleep()
    }

    pub(crate) fn unparked(&self) {
        self.shared.stack.awake();
    }

    /// Takes what other threads did: wakes become ready rows, errands callbacks, in their order.
    /// False if there was nothing.
    #[inline]
    pub(crate) fn take_away(&self) -> bool {
        let any = !self.shared.stack.is_empty();
        if any {
            self.take_stack(self.shared.stack.take());
        }
        any
    }

    fn take_stack(&self, head: usize) {
        raw::oldest_first(&self.local.record, head, |item| match item {
            Item::Row(row) => self.take_row(row),
            Item::Errand(errand) => {
                let how = How {
                    parent: 0,
                    ..How::new(errand.place, Kind::Callback)
                };
                self.call(errand.run, how);
            }
        });
    }

    fn take_row(&self, row: &TaskRow) {
        let (woken, drops) = away::take_marks(row);
        if woken && row.phase.load(Ordering::Relaxed) != phase::DONE {
            if !row.is_queued() {
                self.local.enqueue(row);
                row.woken_at
                    .store(row.away_woken_at.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            row.woken_away(&self.local.record);
        }
        if drops > 0 {
            let left = row.refs_here.load(Ordering::Relaxed) - drops;
            row.refs_here.store(left, Ordering::Release);
            if row.phase.load(Ordering::Relaxed) == phase::IDLE
                && !row.is_queued()
                && left + row.refs_away.load(crate::atomic::Ordering::Relaxed) <= 0
            {
                self.local.record.wakers_dropped_away(row);
            }
        }
        self.local.settle(row);
    }

    /// Polls at most `most` rows, in the order in which they became ready, from the tick `start`,
    /// which is now, on. Stops after the first poll that ends past the tick `until`. Returns how
    /// many were taken.
    #[inline]
    pub(crate) fn run_ready(&self, most: usize, start: u64, until: u64) -> usize {
        let local = &*self.local;
        let record = &*local.record;
        let frame = 0_u8;
        record.current.set_base(std::ptr::from_ref(&frame) as usize);
        record.phase(Doing::Polling, start);
        let mut now = start;
        let mut ready = local.ready();
        let mut unpolled = 0;
        while ready.taken() < most {
            let Some(row) = ready.next() else { break };
            if row.phase.load(Ordering::Relaxed) == phase::DONE {
                local.settle(row);
                unpolled += 1;
                continue;
            }
            let cancelling = row.flags.load(Ordering::Relaxed) & flag::CANCELLING != 0;
            now = if cancelling && self.deliver(row, now) {
                unpolled += 1;
                clock::ticks()
            } else {
                self.step(row, now)
            };
            if now > until {
                break;
            }
        }
        let taken = ready.taken();
        drop(ready);
        self.edge.set(now);
        record.count_delays();
        record.current.phase(Doing::Turning, now);
        record::add(&record.stats.polls, (taken - unpolled) as u64);
        record::add(&record.stats.busy, now - start);
        taken
    }

    /// One poll; returns the tick at which it ended, which is where the next one starts.
    ///
    /// What most polls do not need is kept out of line, for this is most of what a poll costs.
    #[inline(always)]
    fn step(&self, row: &TaskRow, now: u64) -> u64 {
        let (local, record) = (&*self.local, &*self.local.record);
        row.poll_begin(record, now);
        // Read before the poll, which may wake its own task.
        let woken_by = match record.wants(EventKind::TaskPolled) {
            true => row.woken_by.load(Ordering::Relaxed),
            false => 0,
        };
        let waker = waker::lent(row);
        let mut cx = Context::from_waker(&waker);
        let around = local.around.get();
        if let Some(around) = around {
            around.enter(row.task_id());
        }
        let polled = raw::poll_row(row, &mut cx);
        let end = clock::ticks();
        if let Some(around) = around {
            around.exit(row.task_id());
        }
        if woken_by != 0 {
            tell_poll(record, row, woken_by, now, end);
        }
        if polled == Polled::Pending {
            row.poll_end(record, now, end, true);
            return end;
        }
        row.poll_end(record, now, end, false);
        self.ended(row, polled, end)
    }

    /// As `step`, inside another poll.
    #[inline(never)]
    fn step_inside(&self, row: &TaskRow, now: u64) -> u64 {
        self.step(row, now)
    }

    /// A poll was the last of its task; returns the tick at which the next one starts.
    #[inline(never)]
    fn ended(&self, row: &TaskRow, polled: Polled, end: u64) -> u64 {
        match polled {
            Polled::Pending | Polled::Returned => {
                let flags = row.flags.load(Ordering::Relaxed);
                if flags & flag::CANCELLING != 0 {
                    self.forget_request(row);
                }
                let failed = flags & flag::FAILED != 0;
                let outcome = if failed {
                    Outcome::Failed
                } else {
                    Outcome::Returned
                };
                self.local.finish(row, outcome, end);
            }
            Polled::Troubled | Polled::Panicked => self.ended_in_trouble(row, polled, end),
        }
        // What the end of a task ran of the app is not the next task's time.
        match self.local.strayed.take() {
            true => clock::ticks(),
            false => end,
        }
    }

    #[cold]
    fn ended_in_trouble(&self, row: &TaskRow, polled: Polled, end: u64) {
        self.forget_request(row);
        if let Some(text) = raw::trouble() {
            self.local.report(row, DROP_PANICKED, Some(text));
        }
        let outcome = match polled {
            Polled::Panicked => Outcome::Panicked,
            _ if row.flags.load(Ordering::Relaxed) & flag::FAILED != 0 => Outcome::Failed,
            _ => Outcome::Returned,
        };
        self.local.finish(row, outcome, end);
    }

    /// Spawns `future`, ready for its first poll, with one handle.
    #[inline]
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F, how: &How) -> RawTask {
        let raw = self.place_row(future, how, 1);
        self.placed(raw, how);
        raw
    }

    /// A new task is ready for its first poll.
    #[inline]
    fn placed(&self, raw: RawTask, how: &How) {
        self.local.enqueue(self.local.row(raw.row()));
        self.local.live.set(self.local.live.get() + 1);
        if how.kind == Kind::Main {
            self.main.set(raw.id());
        }
    }

    /// Has `callback` called once, after what is ready now.
    #[inline]
    pub(crate) fn call(&self, callback: impl FnOnce() + 'static, how: How) -> RawCall {
        let raw = self.place_row(Call(Some(callback)), &how, 0);
        self.local.enqueue(self.local.row(raw.row()));
        RawCall {
            raw,
            executor: Rc::downgrade(&self.local),
        }
    }

    /// Has `callback` called once, when the waker wakes.
    pub(crate) fn call_when_woken(
        &self,
        callback: impl FnOnce() + 'static,
        how: How,
    ) -> (RawCall, Waker) {
        let raw = self.place_row(Call(Some(callback)), &how, 0);
        let waker = waker::owned(self.local.row(raw.row()));
        (
            RawCall {
                raw,
                executor: Rc::downgrade(&self.local),
            },
            waker,
        )
    }

    /// Fills a row. In line, for most of what it is told is known where it is called.
    #[inline(always)]
    fn place_row<F: Future + 'static>(&self, future: F, how: &How, handles: u32) -> RawTask {
        let local = &*self.local;
        let record = &*local.record;
        if local.loop_id.get() == local::CLOSED {
            self.refuse();
        }
        let id = local.owner.ids.next();
        let site = record.sites.of(
            &local.owner.sites,
            how.place,
            std::any::type_name::<F>(),
            size_of::<F>(),
        );
        let (slot, row) = record
            .tasks
            .take(&local.owner.tasks)
            .expect("a loop holds at most 33 million tasks");
        raw::fill(row, slot, future);
        row.handles.store(handles, Ordering::Relaxed);
        let at = match record.current.since() {
            0 => clock::ticks(),
            edge => edge,
        };
        row.spawned(&Birth {
            id,
            kind: how.kind,
            parent: how.parent,
            at,
            site,
            name: how.name,
            number: how.number,
            loop_id: local.loop_id.get(),
            flags: how.flags,
        });
        if let Some(site) = record.sites.get(site) {
            record::count(&site.spawned);
        }
        match how.kind {
            Kind::Callback => record::count(&record.stats.callbacks),
            _ => record::count(&record.stats.spawned),
        }
        if vars::is_used() {
            self.hand_down(row);
        }
        if let Some(around) = local.around.get() {
            around.spawned(id);
        }
        record.spawned(at, (id, how.parent, site), how.kind != Kind::Callback);
        RawTask::new(row, id)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// The loop is closed for good, and said so to this thread: nothing can be spawned any more.
    #[cold]
    fn refuse(&self) -> ! {
        panic!(
            "loop {} is closed and takes no more tasks and callbacks; make a new loop, or spawn before the close",
            self.local.record.id
        )
    }

    /// The name of a handle's task.
    pub(crate) fn name_of(&self, raw: RawTask) -> String {
        name_of(&self.local.record, self.row(raw))
    }

    /// The row of a handle.
    pub(crate) fn row(&self, raw: RawTask) -> &TaskRow {
        self.local.row(raw.row())
    }

    pub(crate) fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Has `around` told of every poll from now on. The first stays.
    #[cfg_attr(not(feature = "tracing"), allow(dead_code))]
    pub(crate) fn set_around(&self, around: Box<dyn Around>) {
        // Set once, by whoever makes the loop.
        let _ = self.local.around.set(around);
    }

    /// Who hears of errors that nobody else will; `None` for the default.
    pub(crate) fn set_handler(&self, handler: Option<Handler>) {
        let old = self.local.handler.replace(handler);
        drop(old);
    }
}
