//! The table of blocks: what ran over its budget, live and lately, for the inspector to read.
//!
//! The watchdog and the thread that finds names write it, whoever looks reads it. The lock is
//! held for pointer copies only. Knows neither how a block is noticed nor how it is shown.

use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cause::Judgement;
use super::history::blocks::Worst;
use super::stack::Stack;
use super::stack::names::{Line, Place};
use crate::clock;
use crate::id::LoopId;
use crate::record::allowed::Share;
use crate::record::current::Doing;
use crate::record::over::Blamed;

/// Ended blocks that are kept.
pub(crate) const KEPT: usize = 256;

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
    pub(crate) stack: Option<Arc<Stack>>,
    /// Why there is no stack. Empty: there is one.
    pub(crate) stack_missing: String,
    /// The stack in words, once names were found.
    pub(crate) lines: Option<Arc<[Line]>>,
    pub(crate) place: Place,
    /// CPU time and time without a CPU, over what was looked at. Nanoseconds.
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) delay_ns: Option<u64>,
    /// Tasks that were ready behind it at the last look.
    pub(crate) ready: u32,
}

impl Block {
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

#[derive(Default)]
struct Inner {
    now: Vec<Arc<Block>>,
    recent: VecDeque<Arc<Block>>,
    /// The worst of the last hour, which `recent` may hold no more.
    worst: Worst,
    tallies: HashMap<LoopId, Tally>,
}

/// The table.
#[derive(Default)]
pub(crate) struct Blocks {
    inner: Mutex<Inner>,
    version: AtomicU64,
    effort: Effort,
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

    /// The blocks that last ended, oldest first, without those that were the host's doing.
    pub(crate) fn recent(&self) -> Vec<Arc<Block>> {
        self.inner().recent.iter().cloned().collect()
    }

    /// What is known of the last hour: the latest and the worst, oldest first, and how many ended.
    pub(crate) fn hour(&self, now: u64) -> (Vec<Arc<Block>>, u64) {
        let mut inner = self.inner();
        inner.worst.age(now);
        let mut all: Vec<_> = inner
            .recent
            .iter()
            .chain(inner.worst.all())
            .cloned()
            .collect();
        let ended = inner.worst.ended();
        drop(inner);
        all.sort_by_key(|block| (block.ended, block.id));
        all.dedup_by_key(|block| block.id);
        (all, ended)
    }

    /// Bytes that the memory of the last hour's worst takes, and the most that it may.
    pub(crate) fn hour_bytes(&self) -> (usize, usize) {
        (self.inner().worst.bytes(), Worst::limit())
    }

    /// Sums of one loop.
    pub(crate) fn tally(&self, loop_id: LoopId) -> Tally {
        self.inner()
            .tallies
            .get(&loop_id)
            .copied()
            .unwrap_or_default()
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
        let tally = inner.tallies.entry(shown.loop_id).or_default();
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
            if inner.recent.len() == KEPT {
                inner.recent.pop_front();
            }
            inner.recent.push_back(shown.clone());
            inner.worst.file(&shown, clock::mono());
        }
        drop(inner);
        self.changed(keep.then_some(&*shown));
    }

    /// Whether a stack has been taken whose names are still being looked up.
    pub(crate) fn has_unnamed(&self) -> bool {
        let inner = self.inner();
        let all = inner.now.iter().chain(&inner.recent);
        all.into_iter()
            .any(|block| block.stack.is_some() && block.lines.is_none())
    }

    /// Counts blocks of which nothing but the number is known.
    pub(crate) fn lose(&self, loop_id: LoopId, count: u64) {
        self.inner().tallies.entry(loop_id).or_default().lost += count;
        self.changed(None);
    }

    /// Adds what was found out about a block's stack, if the block is still in the table.
    pub(crate) fn name(&self, id: u64, samples: u32, lines: Arc<[Line]>, place: Option<Place>) {
        let mut inner = self.inner();
        let mut kept = inner.worst.find(id).cloned();
        let Inner { now, recent, .. } = &mut *inner;
        let listed = now.iter_mut().chain(recent).find(|block| block.id == id);
        let Some(block) = listed.or(kept.as_mut()) else {
            return;
        };
        // A later stack may have been taken meanwhile; its own names are on the way.
        if block
            .stack
            .as_ref()
            .is_none_or(|stack| stack.samples != samples)
        {
            return;
        }
        let mut named = Block::clone(block);
        named.lines = Some(lines);
        if let Some(place) = place {
            named.place = place;
        }
        let named = Arc::new(named);
        *block = named.clone();
        inner.worst.replace(&named);
        drop(inner);
        self.changed(Some(&named));
    }

    fn changed(&self, tell: Option<&Block>) {
        self.version.fetch_add(1, Ordering::Release);
        if let (Some(block), Some(notify)) = (tell, &self.notify) {
            notify(block);
        }
    }
}

/// `next`, with the names that `before` has, if both show the same stack; else with the place that
/// an older stack told, which stands until the newer one has names.
fn with_names_of(mut next: Arc<Block>, before: &Block) -> Arc<Block> {
    if next.lines.is_some() || before.lines.is_none() {
        return next;
    }
    let named = Arc::make_mut(&mut next);
    named.place.clone_from(&before.place);
    if named.stack.as_ref().map(|stack| stack.samples)
        == before.stack.as_ref().map(|stack| stack.samples)
    {
        named.lines.clone_from(&before.lines);
    }
    next
}

#[cfg(test)]
pub(crate) mod tests;
