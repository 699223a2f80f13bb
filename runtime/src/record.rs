//! What happened: the tables, histograms and the ring of one loop, and the list of all loops.
//!
//! The loop states facts here and never learns who reads them. Everything is written by the loop's
//! own thread (where a field says otherwise, its row does) and may be read by any. Knows neither
//! executor nor reactor nor inspector.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::id::{Ids, LoopId};

pub(crate) mod alarm;
pub(crate) mod allowed;
pub(crate) mod asked;
pub(crate) mod bound;
pub(crate) mod calls;
pub(crate) mod child;
pub(crate) mod current;
pub(crate) mod drops;
pub(crate) mod ended;
pub(crate) mod event;
pub(crate) mod histogram;
pub(crate) mod job;
pub(crate) mod logs;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod order;
pub(crate) mod outer;
pub(crate) mod over;
pub(crate) mod place;
pub(crate) mod pool;
pub(crate) mod resource;
pub(crate) mod ring;
pub(crate) mod signal;
pub(crate) mod site;
pub(crate) mod slab;
pub(crate) mod source;
pub(crate) mod standstill;
pub(crate) mod task;
pub(crate) mod thread;
pub(crate) mod timer;
#[cfg(all(test, not(loop_model)))]
mod toy;
pub(crate) mod vars;
pub(crate) mod wait;
pub(crate) mod wake;
pub(crate) mod watched;
pub(crate) mod wish;

use current::{Current, Doing};
use ended::EndedRing;
use event::{Event, Kind};
use histogram::{FLOOR, Histogram};
use names::NameId;
use ring::Ring;
use site::{SiteIndex, Sites};
use slab::{Slab, Slots};
use task::{TaskFacts, TaskRow, WaitingOn};
use wake::Cause;

/// A poll longer than this is a block, unless told otherwise; as asyncio's `slow_callback_duration`.
pub(crate) const BUDGET: Duration = Duration::from_millis(100);

/// A poll that takes this part of its budget is slow.
const SLOW: u64 = 8;

/// Rows each table can hold: directories are virtual memory until used.
const TASKS: usize = 1 << 25;
const OTHERS: usize = 1 << 23;
/// Delays that are kept before they are counted.
const KEPT: usize = 64;
/// The bit of `wants` that says that stacks of spawns are wished for; no kind of event has it.
const SPAWN_STACKS: u32 = 1 << 31;

/// Who wishes what to be recorded: bits of `wants`, whose union that is.
#[derive(Default)]
struct Wishes {
    /// By viewers, while they look.
    asked: u32,
    /// All the time, for who comes after the end.
    kept: u32,
    /// `SPAWN_STACKS`, or nothing.
    stacks: u32,
}

/// Sums and counts of a loop. One writer, the loop's thread, unless a field says otherwise.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Stats {
    pub(crate) iterations: AtomicU64,
    pub(crate) polls: AtomicU64,
    /// Ticks inside polls.
    pub(crate) busy: AtomicU64,
    /// Ticks in the reactor's wait.
    pub(crate) parked: AtomicU64,
    /// Tick of the first iteration of the current run; 0 before.
    pub(crate) running_since: AtomicU64,
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) callbacks: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) panicked: AtomicU64,
    /// Tasks that were ready when the current run of polls began.
    pub(crate) ready: AtomicU32,
    /// Polls over the budget, and the longest poll ever, in ticks.
    pub(crate) blocks: AtomicU64,
    pub(crate) worst: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) io_events: AtomicU64,
    pub(crate) timers_armed: AtomicU64,
    pub(crate) timers_fired: AtomicU64,
    pub(crate) timers_cancelled: AtomicU64,
    /// Longest lag, in ticks.
    pub(crate) lag_max: AtomicU64,
    pub(crate) lags: AtomicU64,
    /// Latest firing, nanoseconds.
    pub(crate) late_max: AtomicU64,
    /// Wakes and calls from other threads. Any thread.
    pub(crate) away_wakes: AtomicU64,
    pub(crate) submitted: AtomicU64,
    /// Rows that found their table full. Any thread.
    pub(crate) unrecorded: AtomicU64,
}

/// Adds one to a field that only the loop's thread writes.
#[inline(always)]
pub(crate) fn count(field: &AtomicU64) {
    add(field, 1);
}

/// Adds to a field that only the loop's thread writes.
#[inline(always)]
pub(crate) fn add(field: &AtomicU64, more: u64) {
    field.store(field.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// Raises a field that only the loop's thread writes.
#[inline(always)]
pub(crate) fn raise(field: &AtomicU64, to: u64) {
    if to > field.load(Ordering::Relaxed) {
        field.store(to, Ordering::Relaxed);
    }
}

/// Everything one loop recorded; shared with whoever reads.
pub(crate) struct LoopRecord {
    pub(crate) current: Current,
    pub(crate) stats: Stats,
    /// Kinds of events that are recorded now, bits of `Kind`, and `SPAWN_STACKS`: all that anybody
    /// wishes.
    wants: AtomicU32,
    wishes: Mutex<Wishes>,
    /// Spawns since the last whose stack was taken, while they are sampled. The loop's thread.
    unsampled: AtomicU32,
    /// Ticks a poll may take before it is a block; 0 for no limit.
    budget: AtomicU64,
    /// The same as it was set, in nanoseconds.
    budget_ns: AtomicU64,
    /// What the loop's thread wakes for while it polls nothing: a `Cause`, 0 for none.
    agent: AtomicU64,
    pub(crate) id: LoopId,
    pub(crate) tasks: Slab<TaskRow>,
    pub(crate) timers: Slab<timer::TimerRow>,
    pub(crate) sources: Slab<source::SourceRow>,
    pub(crate) jobs: Slab<job::JobRow>,
    pub(crate) children: Slab<child::ChildRow>,
    pub(crate) resources: Slab<resource::ResourceRow>,
    pub(crate) waits: Slab<wait::WaitRow>,
    /// In which order tasks take locks.
    pub(crate) orders: order::Orders,
    pub(crate) signals: signal::Signals,
    pub(crate) sites: Sites,
    pub(crate) ended: EndedRing,
    /// Who asked which tasks to cancel.
    pub(crate) requests: asked::Requests,
    /// Who dropped the last wakers of tasks that wait. Any thread.
    pub(crate) drops: drops::LastDrops,
    /// Which tasks and callbacks have context variables.
    pub(crate) contexts: vars::Contexts,
    /// Tasks that somebody looks at.
    pub(crate) watched: watched::Watched,
    /// Time in which the app said that it blocks on purpose.
    pub(crate) allowed: allowed::Allowed,
    /// Blocking calls that polls made, where somebody looks for them.
    pub(crate) calls: calls::Calls,
    /// Who can wake it while it is parked.
    pub(crate) still: standstill::Standstill,
    /// Polls and phases over the budget that have ended.
    pub(crate) over: over::OverLog,
    /// Durations of polls and of the way from wake to poll, in ticks.
    pub(crate) poll_times: Histogram,
    pub(crate) delays: Histogram,
    /// Delays that are not in the histogram yet, and how many. The loop's thread.
    kept_delays: [AtomicU64; KEPT],
    kept: AtomicU32,
    /// Ticks from the end of one reactor wait to the start of the next.
    pub(crate) lag: Histogram,
    /// Timer lateness, in nanoseconds.
    pub(crate) late: Histogram,
    ring: OnceLock<Ring>,
    pub(crate) facts: LoopFacts,
}

/// What is known of a loop from its making on.
pub(crate) struct LoopFacts {
    pub(crate) name: Mutex<String>,
    /// The kernel's id of the thread it runs on; 0 before its first run.
    pub(crate) thread: AtomicU64,
    pub(crate) thread_name: Mutex<String>,
    /// Held by whoever signals that thread, and by the loop when it leaves it.
    signalling: Mutex<()>,
    pub(crate) made_at: u64,
    pub(crate) made_place: &'static Location<'static>,
    /// Part of the inspector itself: in no list, count or verdict unless asked for.
    pub(crate) internal: bool,
    /// Goes on until the process ends, so nothing waits for its end. Set before it is enlisted.
    pub(crate) stays: AtomicBool,
    /// Lowest address of the thread's stack and its size, where known.
    pub(crate) stack: [AtomicU64; 2],
    /// How its last run or test ended: when, nanoseconds on CLOCK_MONOTONIC; 0: it has not. Then,
    /// once the grace was over: when that was, and how long it took by the loop's own clock.
    pub(crate) scope_end: [AtomicU64; 3],
    /// A reading of the thread at the start of its run: tick, then time on a CPU, time without
    /// one, and slices as `os::Sched` has them, 0 if not told, then its CPU clock.
    pub(crate) baseline: [AtomicU64; 5],
}

impl LoopFacts {
    /// When the scope ended of what was left behind by it: the grace counts as long as it was by the
    /// loop's own clock, which a test may turn.
    pub(crate) fn scope_ended(&self) -> Option<u64> {
        let [ended, over, grace] = [0, 1, 2].map(|at| self.scope_end[at].load(Ordering::Relaxed));
        (over > 0).then(|| over.saturating_sub(grace).min(ended.max(1)))
    }

    /// Whether this is a loop of the app's that will close.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.internal && !self.stays.load(Ordering::Relaxed)
    }
}

/// The loop's own side: free slots and ids. Not shared.
#[derive(Default)]
pub(crate) struct Owner {
    pub(crate) ids: Ids,
    pub(crate) tasks: Slots,
    pub(crate) timers: Slots,
    pub(crate) sources: Slots,
    pub(crate) jobs: Slots,
    pub(crate) children: Slots,
    pub(crate) resources: Slots,
    pub(crate) waits: Slots,
    pub(crate) sites: SiteIndex,
}

impl LoopRecord {
    /// A record, in no list yet.
    pub(crate) fn new(
        name: &str,
        internal: bool,
        made_place: &'static Location<'static>,
    ) -> Arc<Self> {
        clock::anchor();
        Arc::new(Self {
            current: Current::default(),
            stats: Stats::default(),
            wants: AtomicU32::new(0),
            wishes: Mutex::default(),
            unsampled: AtomicU32::new(0),
            budget: AtomicU64::new(0),
            budget_ns: AtomicU64::new(0),
            agent: AtomicU64::new(0),
            id: LoopId::next(),
            tasks: Slab::new(TASKS),
            timers: Slab::new(OTHERS),
            sources: Slab::new(OTHERS),
            jobs: Slab::new(OTHERS),
            children: Slab::new(OTHERS),
            resources: Slab::new(OTHERS),
            waits: Slab::new(OTHERS),
            orders: order::Orders::default(),
            signals: signal::Signals::default(),
            sites: Sites::new(),
            ended: EndedRing::new(if internal { 64 } else { ended::CAPACITY }),
            requests: asked::Requests::default(),
            drops: drops::LastDrops::default(),
            contexts: vars::Contexts::default(),
            watched: watched::Watched::default(),
            allowed: allowed::Allowed::default(),
            calls: calls::Calls::default(),
            still: standstill::Standstill::default(),
            over: over::OverLog::new(),
            poll_times: Histogram::default(),
            delays: Histogram::default(),
            kept_delays: [const { AtomicU64::new(0) }; KEPT],
            kept: AtomicU32::new(0),
            lag: Histogram::default(),
            late: Histogram::default(),
            ring: OnceLock::new(),
            facts: LoopFacts {
                name: Mutex::new(name.to_owned()),
                thread: AtomicU64::new(0),
                thread_name: Mutex::new(String::new()),
                signalling: Mutex::new(()),
                made_at: clock::ticks(),
                made_place,
                internal,
                stays: AtomicBool::new(false),
                stack: [AtomicU64::new(0), AtomicU64::new(0)],
                scope_end: [const { AtomicU64::new(0) }; 3],
                baseline: [const { AtomicU64::new(0) }; 5],
            },
        })
    }

    pub(crate) fn name(&self) -> String {
        self.facts
            .name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The limit of a poll, in ticks; 0 for none.
    #[inline]
    pub(crate) fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// Sets the limit of a poll. Any thread.
    pub(crate) fn set_budget(&self, limit: Duration) {
        let ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.budget_ns.store(ns, Ordering::Relaxed);
        self.budget
            .store(clock::ns_to_ticks(limit), Ordering::Relaxed);
        current::BELL.nudge();
    }

    /// A limit that was the budget, in nanoseconds: as it was set, where it still is the budget,
    /// since the way through ticks and back costs some digits.
    pub(crate) fn limit_ns(&self, ticks: u64) -> u64 {
        if ticks == self.budget() {
            self.budget_ns.load(Ordering::Relaxed)
        } else {
            clock::ticks_to_ns(ticks)
        }
    }

    /// Whether somebody wants this kind of events now.
    #[inline]
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.wants.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Emits an event, if somebody wants its kind.
    #[inline]
    pub(crate) fn emit(&self, kind: Kind, event: impl FnOnce() -> Event) {
        if self.wants(kind) {
            self.push(event());
        }
    }

    /// As `emit`, for what is nearly always wanted: nothing is called for it.
    #[inline(always)]
    pub(crate) fn emit_often(&self, kind: Kind, event: impl FnOnce() -> Event) {
        if self.wants(kind)
            && let Some(ring) = self.ring.get()
        {
            ring.push(event());
        }
    }

    /// States a spawn to whoever wants to know of spawns: as an event, or with its stack.
    #[inline]
    pub(crate) fn spawned(&self, at: u64, birth: (u64, u64, u32), is_task: bool) {
        let (id, parent, site) = birth;
        self.emit_often(Kind::TaskSpawned, || {
            Event::task_spawned(at, id, parent, site)
        });
        if is_task && self.wants.load(Ordering::Relaxed) & SPAWN_STACKS != 0 {
            self.sample_spawn(id);
        }
    }

    #[cold]
    fn sample_spawn(&self, id: u64) {
        wish::spawns(self, &self.unsampled, id);
    }

    /// Stacks of spawns are wished for from now on, or are not any more. Any thread.
    fn wish_spawns(&self, on: bool) {
        let bit = SPAWN_STACKS * u32::from(on && !self.facts.internal);
        self.wish(|wishes| wishes.stacks = bit);
    }

    // Out of the way of polls and wakes, which are events only while somebody looks.
    #[cold]
    #[inline(never)]
    fn push(&self, event: Event) {
        if let Some(ring) = self.ring.get() {
            ring.push(event);
        }
    }

    /// From now on viewers want these kinds (bits of `Kind`). Any thread.
    pub(crate) fn want(&self, kinds: u32) {
        if kinds != 0 {
            self.ring.get_or_init(|| Ring::new(ring::CAPACITY));
        }
        self.wish(|wishes| wishes.asked = kinds);
    }

    /// From now on these kinds are recorded whether or not anybody asks for them. Any thread.
    pub(crate) fn keep(&self, kinds: u32) {
        self.wish(|wishes| wishes.kept = kinds);
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut wishes);
        let all = wishes.asked | wishes.kept | wishes.stacks;
        // Release: who sees a kind wanted sees the ring.
        self.wants.store(all, Ordering::Release);
    }

    /// Gives the loop the ring that `make` makes, or one of its own, if it has none.
    pub(crate) fn equip(&self, make: impl FnOnce() -> Option<Ring>) {
        self.ring
            .get_or_init(|| make().unwrap_or_else(|| Ring::new(ring::CAPACITY)));
    }

    /// The ring, once somebody wanted events.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.ring.get()
    }

    /// A poll at least `FLOOR` ticks long has ended.
    fn polled_long(&self, row: &TaskRow, start: u64, took: u64) {
        self.poll_times.count(took);
        if let Some(site) = self.sites.get(row.site())
            && let Some(times) = site.poll_times()
        {
            times.count(took);
        }
        raise(&self.stats.worst, took);
        let budget = self.budget();
        if budget != 0 && took >= budget / SLOW {
            self.polled_slow(row, start, took, budget);
        }
    }

    #[cold]
    fn polled_slow(&self, row: &TaskRow, start: u64, took: u64, budget: u64) {
        if took >= budget {
            if self.was_long(self.current.doing(), Some(row), [start, took, budget]) {
                self.emit(Kind::TaskBlocked, || {
                    Event::task_blocked(start, row.task_id(), took)
                });
            }
        } else {
            self.emit(Kind::PollSlow, || {
                Event::poll_slow(start, row.task_id(), took)
            });
        }
    }

    /// A poll or phase was over its budget on the clock: `times` are its start, what it took, and
    /// the budget. Whether it counts as a block, without what of it was allowed.
    #[cold]
    fn was_long(&self, doing: Doing, row: Option<&TaskRow>, times: [u64; 3]) -> bool {
        let [start, took, budget] = times;
        let allowed = self.allowed.since(start, start + took);
        self.over.write(doing, row, times, allowed);
        let counts = took.saturating_sub(allowed.ticks) >= budget;
        if counts {
            count(&self.stats.blocks);
        }
        counts
    }

    /// The loop goes over to `doing` at tick `now`. As `Current::phase`; what ends here, if it was
    /// not a poll (`poll_end` sees to those), is held against the budget.
    #[inline]
    pub(crate) fn phase(&self, doing: Doing, now: u64) {
        self.phase_ends(now);
        self.current.phase(doing, now);
    }

    /// As `phase`, on account of one task.
    #[inline]
    pub(crate) fn phase_of(&self, doing: Doing, row: &TaskRow, now: u64) {
        self.phase_ends(now);
        self.current.phase_of(doing, row, now);
    }

    #[inline]
    fn phase_ends(&self, now: u64) {
        let since = self.current.since();
        let (took, budget) = (now.saturating_sub(since), self.budget());
        if budget != 0 && took >= budget {
            self.phase_was_long(since, took, budget);
        }
    }

    #[cold]
    fn phase_was_long(&self, since: u64, took: u64, budget: u64) {
        let doing = self.current.doing();
        if doing != Doing::Polling && doing.is_work() {
            let row = self.tasks.at(self.current.row());
            self.was_long(doing, row, [since, took, budget]);
        }
    }

    /// A wait of the reactor begins; `last` is the tick at which the one before ended.
    #[inline]
    pub(crate) fn lagged(&self, last: u64, now: u64) {
        let lag = now.saturating_sub(last);
        count(&self.stats.lags);
        raise(&self.stats.lag_max, lag);
        if lag >= FLOOR {
            self.lag.count(lag);
        }
    }

    /// About now, in ticks, without asking the clock where a poll runs: the start of that poll. The
    /// loop's thread.
    #[inline]
    pub(crate) fn edge(&self) -> u64 {
        self.polled().1
    }

    /// The task that is being polled, 0 for none, and `edge`.
    #[inline]
    pub(crate) fn polled(&self) -> (u64, u64) {
        match self.current.row_id() {
            0 => (0, clock::ticks()),
            id => (id, self.current.since()),
        }
    }

    /// What wakes a task now, on the loop's thread: the running task, else what was named with
    /// `acts_for`, else the loop.
    #[inline]
    pub(crate) fn cause(&self) -> Cause {
        match self.current.row_id() {
            0 => Cause::from_raw(self.agent.load(Ordering::Relaxed)).unwrap_or(Cause::Loop),
            id => Cause::Task(id),
        }
    }

    /// A task was polled `ticks` (at least `FLOOR`) after it was woken.
    ///
    /// Where a bucket lies hangs on the clock read just before, and a poll that waits for that
    /// read costs twice; so the numbers are kept until nothing else is in flight.
    #[inline]
    pub(crate) fn delayed(&self, ticks: u64) {
        let at = self.kept.load(Ordering::Relaxed) as usize % KEPT;
        self.kept_delays[at].store(ticks, Ordering::Relaxed);
        self.kept.store(at as u32 + 1, Ordering::Relaxed);
        if at == KEPT - 1 {
            self.count_delays();
        }
    }

    /// Counts the delays that were kept. Whoever polls calls this after a run of polls.
    #[inline(never)]
    pub(crate) fn count_delays(&self) {
        let kept = self.kept.load(Ordering::Relaxed) as usize;
        self.delays.count_all(&self.kept_delays[..kept.min(KEPT)]);
        self.kept.store(0, Ordering::Relaxed);
    }

    /// From now on the loop's wakes outside polls are `cause`'s doing; `None`: its own. The loop's
    /// thread.
    #[inline]
    pub(crate) fn acts_for(&self, cause: Option<Cause>) {
        self.agent
            .store(cause.map_or(0, Cause::raw), Ordering::Relaxed);
    }

    /// Bytes of histograms: the loop's own, and one a spawn place.
    pub(crate) fn histogram_bytes(&self) -> usize {
        (4 + self.sites.all().count()) * histogram::BUCKETS * 4
    }

    /// Bytes of fixed and grown tables.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.tasks.bytes()
            + self.timers.bytes()
            + self.sources.bytes()
            + self.jobs.bytes()
            + self.children.bytes()
            + self.resources.bytes()
            + self.waits.bytes()
            + self.orders.bytes()
            + self.signals.bytes()
            + self.ended.bytes()
            + self.calls.bytes()
            + self.drops.bytes()
            + self.watched.bytes()
            + self.histogram_bytes()
            + self.ring.get().map_or(0, |ring| ring.bytes().0)
    }
}

/// A task being polled states what it is about to wait for. `at` is where its `.await` stands.
#[inline]
pub(crate) fn waiting(on: WaitingOn, at: &'static Location<'static>) {
    current::here_row(|record, row| {
        row.waiting(on, at);
        // Lies beside `waits`, which was written just now.
        if row.watched.load(Ordering::Relaxed) & watched::WISHED != 0 {
            wish::waits(record, row);
        }
    });
}

/// The id of the task or callback that runs on this thread; 0 for none.
#[inline]
pub(crate) fn current_task() -> u64 {
    current::here_row(|_, row| row.task_id()).unwrap_or(0)
}

/// A task that asks for something with a waker of its own: the address of its row, and its polls
/// that have begun. Null: the waker is another's, or none of ours.
pub(crate) type Asker = (*mut TaskRow, u32);

/// Whose waker `data` belongs to, if that is the task `owner`, which runs on this thread.
#[inline]
pub(crate) fn asker(data: *const (), owner: u64) -> Asker {
    current::here_row(|_, row| {
        let own = std::ptr::eq(std::ptr::from_ref(row).cast(), data) && row.task_id() == owner;
        own.then(|| {
            let polls = row.polls.load(Ordering::Relaxed) as u32;
            (std::ptr::from_ref(row).cast_mut(), polls.wrapping_add(1))
        })
    })
    .flatten()
    .unwrap_or((std::ptr::null_mut(), 0))
}

/// The task that runs on this thread is known by `to` from now on, if it was by `from`.
pub(crate) fn rename_current(from: NameId, to: NameId) {
    current::here_row(|_, row| {
        if row.name() == from {
            row.set_name(to);
        }
    });
}

static LOOPS: Mutex<Vec<Arc<LoopRecord>>> = Mutex::new(Vec::new());
static LOOPS_VERSION: AtomicU64 = AtomicU64::new(0);

/// Puts a loop on the list of loops. Cold.
pub(crate) fn enlist(record: &Arc<LoopRecord>) {
    LOOPS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(record.clone());
    record.wish_spawns(wish::spawn_rate() != 0);
    // After it is on the list: who supplies rings from now on looks there.
    ring::supply::equip(record);
    LOOPS_VERSION.fetch_add(1, Ordering::Release);
    current::BELL.nudge();
}

/// Takes a closed loop off the list. Readers that hold it may go on reading.
pub(crate) fn strike(record: &Arc<LoopRecord>) {
    LOOPS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|other| !Arc::ptr_eq(other, record));
    LOOPS_VERSION.fetch_add(1, Ordering::Release);
    current::BELL.nudge();
}

/// All loops that are not closed, in the order of their making.
pub(crate) fn loops() -> Vec<Arc<LoopRecord>> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Grows with each change of the list.
pub(crate) fn loops_version() -> u64 {
    LOOPS_VERSION.load(Ordering::Acquire)
}

/// In the child of a fork: forgets the parent's loops, whose threads are not here.
pub(crate) fn forget_loops_after_fork() {
    // The lock may be held by a thread that does not exist here; then the list stays, unused.
    if let Ok(mut loops) = LOOPS.try_lock() {
        // What is dropped in the child is no event of the parent's, whose file the ring may be.
        for record in &*loops {
            record.wants.store(0, Ordering::Relaxed);
        }
        std::mem::forget(std::mem::take(&mut *loops));
    }
}

/// What a viewer asked of a loop: a value, carried out by `run` on the loop's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Ask the task to cancel itself.
    Cancel { task: u64 },
    /// Wake the task once, for nothing: proves a lost wake.
    Nudge { task: u64 },
}

/// The row's facts by task id, by walking. Cold; for a task that an id names.
pub(crate) fn find_task(record: &LoopRecord, id: u64) -> Option<(u32, TaskFacts)> {
    record.tasks.live().find_map(|(slot, row)| {
        row.read()
            .filter(|facts| facts.id == id)
            .map(|facts| (slot, facts))
    })
}

// Keeps the promise that the row table is what the executor's queue links: no padding surprises.
const _: () =
    assert!(size_of::<AtomicPtr<TaskRow>>() == 8 || cfg!(not(target_pointer_width = "64")));
