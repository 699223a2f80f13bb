//! The table of blocks: what ran over its budget, live and lately, for the inspector to read.
//!
//! The watchdog and the thread that finds names write it, whoever looks reads it. The lock is
//! held for pointer copies only. Knows neither how a block is noticed nor how it is shown.

use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cause::quota::Throttled;
use super::cause::{Judgement, Kind as Cause};
use super::history::HOUR;
use super::history::blocks::Worst;
use super::stack::names::Place;
use super::stack::samples::{Named, Samples};
use super::watchdog::Behind;
use crate::clock;
use crate::id::LoopId;
use crate::record::allowed::Share;
use crate::record::current::Doing;
use crate::record::over::Blamed;

/// Ended blocks that are kept of a loop, and of all loops together.
pub(crate) const KEPT: usize = 128;
const KEPT_IN_ALL: usize = 1024;
/// The last ones of a loop that keep their stacks, as the worst of the hour do: they are some 30 kB.
const WITH_STACKS: usize = 8;
/// Steps that a quota held up are kept apart, so that they push out no block.
const KEPT_THROTTLED: usize = 16;
/// So are those that the host held up: the longest of the last hour.
const KEPT_HOST: usize = 16;

/// How a block came to be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// Looked at while it lasted.
    Live,
    /// Over before anybody looked: by the poll's own clock, which is the one on the wall.
    Clock,
}

/// What is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Over budget on the wall; so far the thread may have been waiting for a CPU.
    Open,
    /// It held the loop for longer than the budget, whatever the host did.
    Proven,
    /// Over budget on the wall, on a host that does not tell more.
    Soft,
    /// Over budget on the wall, and not shown to be more than a wait for a CPU.
    Host,
    /// Over budget on the wall, and not without the time in which it was allowed to block.
    Allowed,
}

/// How long it held the loop outside of what was allowed, between two bounds. Nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bracket {
    pub(crate) lower: u64,
    pub(crate) upper: u64,
}

/// One poll or phase over its budget.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) id: u64,
    pub(crate) loop_id: LoopId,
    pub(crate) doing: Doing,
    /// On whose account; `None` for the loop's own work.
    pub(crate) task: Option<Blamed>,
    pub(crate) spawn_place: Option<&'static Location<'static>>,
    /// Ticks.
    pub(crate) began: u64,
    pub(crate) ended: Option<u64>,
    pub(crate) wall_ns: u64,
    /// What of it was allowed to block: not part of the bracket.
    pub(crate) allowed: Share,
    /// `None`: the host does not tell.
    pub(crate) bracket: Option<Bracket>,
    pub(crate) budget_ns: u64,
    pub(crate) seen: Seen,
    pub(crate) verdict: Verdict,
    /// The watchdog overslept so much that the bound was lowered below the budget.
    pub(crate) vetoed: bool,
    pub(crate) cause: Judgement,
    pub(crate) samples: Samples,
    /// Why there is no stack. Empty: there is one.
    pub(crate) stack_missing: String,
    pub(crate) place: Place,
    /// CPU time and time without a CPU, over what was looked at. Nanoseconds.
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) delay_ns: Option<u64>,
    /// What a CPU quota took meanwhile. `None`: there is no quota, or it is not told.
    pub(crate) throttled: Option<Throttled>,
    /// Who waited at the last look. `None`: nobody looked.
    pub(crate) behind: Option<Behind>,
}

impl Block {
    /// The best place that is known without a stack.
    pub(crate) fn place_without_stack(&self) -> Place {
        Place::without_stack(
            self.task.and_then(|task| task.await_place),
            self.spawn_place,
        )
    }

    /// The same without its stacks, to be kept for long.
    fn let_go_of_stacks(&mut self) {
        if self.samples.taken() > 0 {
            self.samples = Samples::default();
            self.stack_missing = format!(
                "its stacks were let go of: those of the last {WITH_STACKS} blocks of a loop are kept, and of the hour's worst"
            );
        }
    }

    /// Runs now, and all that is known so far is that its thread gets no CPU.
    pub(crate) fn waits_for_cpu(&self) -> bool {
        self.ended.is_none() && self.verdict == Verdict::Open
    }

    /// Who is to blame, when it is not a task: `the loop's own work: firing timers`.
    pub(crate) fn work(&self) -> &'static str {
        match self.doing {
            Doing::Polling => "polling",
            Doing::Dropping => "dropping a future",
            Doing::Handling => "in the exception handler",
            Doing::Timers => "the loop's own work: firing timers",
            Doing::Sources => "the loop's own work: serving readiness",
            Doing::Inbox => "the loop's own work: taking what other threads sent",
            Doing::Turning | Doing::Parked | Doing::Stopped | Doing::Closed => {
                "the loop's own work: between two polls"
            }
        }
    }
}

/// What one loop's blocks come to, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Proven ones that have ended.
    pub(crate) proven: u64,
    pub(crate) soft: u64,
    /// Over budget on the wall, but not by the app's doing.
    pub(crate) host: u64,
    /// Those of `host` that a CPU quota explains.
    pub(crate) throttled: u64,
    /// Ended over budget, and nobody could say how: the log had wrapped.
    pub(crate) lost: u64,
    /// The longest proven lower bound, nanoseconds.
    pub(crate) worst: u64,
}

/// What watching came to, over all loops, since the start.
#[derive(Debug, Default)]
struct Effort {
    taken: AtomicU64,
    missed: AtomicU64,
    overslept: AtomicU64,
}

/// The same, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Efforts {
    pub(crate) taken: u64,
    pub(crate) missed: u64,
    pub(crate) oversleeps: u64,
}

/// Called with each block that is proven, changes its stack or names, and ends.
pub(crate) type Notify = Arc<dyn Fn(&Block) + Send + Sync>;

/// What is kept of one loop.
#[derive(Default)]
struct OfLoop {
    tally: Tally,
    /// Oldest first.
    recent: VecDeque<Arc<Block>>,
    throttled: VecDeque<Arc<Block>>,
    host: Vec<Arc<Block>>,
}

impl OfLoop {
    /// Keeps what the host held up, in place of what was over an hour ago, else of the shortest.
    fn keep_host(&mut self, block: Arc<Block>) {
        let end = |block: &Block| block.ended.unwrap_or(block.began);
        let hour = clock::ns_to_ticks(Duration::from_nanos(HOUR));
        let from = end(&block).saturating_sub(hour);
        self.host.retain(|old| end(old) >= from);
        self.host.push(block);
        if self.host.len() > KEPT_HOST {
            let least = (0..self.host.len()).min_by_key(|at| self.host[*at].wall_ns);
            self.host.remove(least.unwrap_or(0));
        }
    }

    fn keep(&mut self, block: Arc<Block>) {
        self.recent.push_back(block);
        if self.recent.len() > KEPT {
            self.recent.pop_front();
        }
        if let Some(at) = self.recent.len().checked_sub(WITH_STACKS + 1) {
            Arc::make_mut(&mut self.recent[at]).let_go_of_stacks();
        }
    }
}

#[derive(Default)]
struct Inner {
    now: Vec<Arc<Block>>,
    loops: HashMap<LoopId, OfLoop>,
    /// The worst of the last hour, which `recent` may hold no more.
    worst: Worst,
}

impl Inner {
    fn recent(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.loops.values().flat_map(|of| &of.recent)
    }

    /// Makes room: the oldest block of all goes, if there are too many.
    fn limit(&mut self) {
        let kept: usize = self.loops.values().map(|of| of.recent.len()).sum();
        if kept <= KEPT_IN_ALL {
            return;
        }
        let first = |of: &&mut OfLoop| of.recent.front().map_or(u64::MAX, |block| block.began);
        if let Some(of) = self.loops.values_mut().min_by_key(first) {
            of.recent.pop_front();
        }
    }
}

/// The table.
#[derive(Default)]
pub(crate) struct Blocks {
    inner: Mutex<Inner>,
    version: AtomicU64,
    effort: Effort,
    /// There is nobody who finds names.
    nameless: AtomicBool,
    notify: Option<Notify>,
}

impl Blocks {
    pub(crate) fn new(notify: Option<Notify>) -> Self {
        Self {
            notify,
            ..Self::default()
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Raised under the lock or just before it: a reader that sees the old number and then
        // reads gets at least what that number stands for.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stack was taken.
    pub(crate) fn took(&self) {
        self.effort.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// A stack was asked for and did not come.
    pub(crate) fn missed(&self) {
        self.effort.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// The watchdog woke much later than it wanted to, `times` so far.
    pub(crate) fn overslept(&self, times: u64) {
        self.effort.overslept.store(times, Ordering::Relaxed);
    }

    /// What watching came to.
    pub(crate) fn efforts(&self) -> Efforts {
        Efforts {
            taken: self.effort.taken.load(Ordering::Relaxed),
            missed: self.effort.missed.load(Ordering::Relaxed),
            oversleeps: self.effort.overslept.load(Ordering::Relaxed),
        }
    }

    /// Grows with each change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What blocks `loop_id` now, if anything is over its budget.
    pub(crate) fn now(&self, loop_id: LoopId) -> Option<Arc<Block>> {
        let inner = self.inner();
        inner
            .now
            .iter()
            .find(|block| block.loop_id == loop_id)
            .cloned()
    }

    /// The blocks of a loop that last ended, oldest first, without what was the host's doing.
    pub(crate) fn recent(&self, loop_id: LoopId) -> Vec<Arc<Block>> {
        let inner = self.inner();
        let of = inner.loops.get(&loop_id);
        of.map_or_else(Vec::new, |of| of.recent.iter().cloned().collect())
    }

    /// The same of all loops, those that are closed included.
    pub(crate) fn latest(&self) -> Vec<Arc<Block>> {
        in_order(self.inner().recent().cloned().collect())
    }

    /// The latest, the worst of the last hour, and what a quota or the host held up.
    pub(crate) fn all(&self) -> Vec<Arc<Block>> {
        let inner = self.inner();
        let loops = inner.loops.values();
        let uncounted = loops.flat_map(|of| of.throttled.iter().chain(&of.host));
        let all = inner.recent().chain(inner.worst.all()).chain(uncounted);
        in_order(all.cloned().collect())
    }

    /// What is known of the last hour: the latest and the worst, oldest first, with those that go on,
    /// and how many ended.
    pub(crate) fn hour(&self, now: u64) -> (Vec<Arc<Block>>, u64) {
        let mut inner = self.inner();
        inner.worst.age(now);
        let all = inner.recent().chain(inner.worst.all()).chain(&inner.now);
        let all = all.cloned().collect();
        let ended = inner.worst.ended();
        drop(inner);
        (in_order(all), ended)
    }

    /// Bytes that the memory of the last hour's worst takes, and the most that it may.
    pub(crate) fn hour_bytes(&self) -> (usize, usize) {
        (self.inner().worst.bytes(), Worst::limit())
    }

    /// Sums of one loop.
    pub(crate) fn tally(&self, loop_id: LoopId) -> Tally {
        let inner = self.inner();
        inner
            .loops
            .get(&loop_id)
            .map_or_else(Tally::default, |of| of.tally)
    }

    /// Shows a block that goes on, in place of what the loop's last look said.
    pub(crate) fn show(&self, block: &Block, tell: bool) {
        let shown = Arc::new(block.clone());
        let mut inner = self.inner();
        match inner.now.iter_mut().find(|now| now.id == block.id) {
            // Names may have come since the watchdog made its copy.
            Some(now) => *now = with_names_of(shown, now),
            None => inner.now.push(shown),
        }
        drop(inner);
        self.changed(tell.then_some(block));
    }

    /// Files a block that has ended, and counts it.
    pub(crate) fn file(&self, block: Block) {
        let mut shown = Arc::new(block);
        let mut inner = self.inner();
        if let Some(at) = inner.now.iter().position(|now| now.id == shown.id) {
            let now = inner.now.remove(at);
            shown = with_names_of(shown, &now);
        }
        let of = inner.loops.entry(shown.loop_id).or_default();
        let tally = &mut of.tally;
        let keep = match shown.verdict {
            Verdict::Proven => {
                tally.proven += 1;
                tally.worst = tally.worst.max(shown.bracket.map_or(0, |held| held.lower));
                true
            }
            Verdict::Soft => {
                tally.soft += 1;
                true
            }
            // Worth showing, and no fault.
            Verdict::Allowed => true,
            Verdict::Open | Verdict::Host => {
                tally.host += 1;
                false
            }
        };
        if keep {
            of.keep(shown.clone());
            inner.worst.file(&shown, clock::mono());
            inner.limit();
        } else if shown.cause.kind == Cause::Throttled {
            tally.throttled += 1;
            if of.throttled.len() == KEPT_THROTTLED {
                of.throttled.pop_front();
            }
            of.throttled.push_back(shown.clone());
        // Without a bracket nobody could tell it from a block.
        } else if shown.bracket.is_some() {
            of.keep_host(shown.clone());
        }
        drop(inner);
        // Nobody was alarmed of what was allowed, so nobody is told of its end.
        let tell = keep && shown.verdict != Verdict::Allowed;
        self.changed(tell.then_some(&*shown));
    }

    /// Whether a stack has been taken whose names are still being looked up.
    pub(crate) fn has_unnamed(&self) -> bool {
        if self.nameless.load(Ordering::Relaxed) {
            return false;
        }
        let inner = self.inner();
        let mut all = inner.now.iter().chain(inner.recent());
        all.any(|block| block.samples.wants_names())
    }

    /// Nobody finds names: they are not waited for.
    pub(crate) fn names_fail(&self) {
        self.nameless.store(true, Ordering::Relaxed);
    }

    /// Counts blocks of which nothing but the number is known.
    pub(crate) fn lose(&self, loop_id: LoopId, count: u64) {
        self.inner().loops.entry(loop_id).or_default().tally.lost += count;
        self.changed(None);
    }

    /// Adds what was found out about a block's first `names.len()` stacks, if the block is still in
    /// the table. `place`: what is to blame in what they have in common, if anything is.
    pub(crate) fn name(&self, id: u64, names: &Arc<[Named]>, place: Option<&Place>) {
        let mut inner = self.inner();
        let mut kept = inner.worst.find(id).cloned();
        let Inner { now, loops, .. } = &mut *inner;
        let ended = loops.values_mut().flat_map(|of| &mut of.recent);
        let listed = now.iter_mut().chain(ended).chain(kept.as_mut());
        let mut told = None;
        for block in listed.filter(|block| block.id == id) {
            // Its stacks may have been let go of meanwhile.
            if block.samples.taken() < names.len() {
                continue;
            }
            let named = Arc::make_mut(block);
            named.samples.name(names.clone());
            named.place = place.map_or_else(|| named.place_without_stack(), Clone::clone);
            told = Some(block.clone());
        }
        if let Some(named) = &told {
            inner.worst.replace(named);
        }
        drop(inner);
        if told.is_some() {
            self.changed(told.as_deref());
        }
    }

    fn changed(&self, tell: Option<&Block>) {
        self.version.fetch_add(1, Ordering::Release);
        if let (Some(block), Some(notify)) = (tell, &self.notify) {
            notify(block);
        }
    }
}

/// Each once, in the order of their ends; of two copies the one that has its stacks.
fn in_order(mut all: Vec<Arc<Block>>) -> Vec<Arc<Block>> {
    all.sort_by_key(|block| (block.ended, block.id, block.samples.taken() == 0));
    all.dedup_by_key(|block| block.id);
    all
}

/// `next`, with the names that `before` was given since the watchdog made its copy, and with the
/// place that they told.
fn with_names_of(mut next: Arc<Block>, before: &Block) -> Arc<Block> {
    if before.samples.is_named() {
        let named = Arc::make_mut(&mut next);
        named.samples.names_of(&before.samples);
        named.place.clone_from(&before.place);
    }
    next
}

#[cfg(test)]
pub(crate) mod tests;
