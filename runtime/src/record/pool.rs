//! How pools of threads stand: how many threads, how many at work, how many jobs wait.
//!
//! Written under the pool's own lock, read by any thread. Knows neither threads nor jobs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::names::NameId;
use crate::id::LoopId;

/// The numbers of one pool.
pub(crate) struct PoolStats {
    pub(crate) name: NameId,
    /// The loop whose own it is, plus one; 0: the app's, which several loops may share.
    of_loop: AtomicU64,
    limit: u32,
    threads: AtomicU32,
    busy: AtomicU32,
    queued: AtomicU32,
    finished: AtomicU64,
}

/// A copy of the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PoolFacts {
    pub(crate) name: NameId,
    /// `None`: the app's own.
    pub(crate) of_loop: Option<u64>,
    /// The most threads there may be.
    pub(crate) limit: u32,
    pub(crate) threads: u32,
    /// Of those, how many run a job.
    pub(crate) busy: u32,
    pub(crate) queued: u32,
    /// Jobs that ran to their end.
    pub(crate) finished: u64,
}

static POOLS: Mutex<Vec<Weak<PoolStats>>> = Mutex::new(Vec::new());

impl PoolStats {
    /// The numbers of a new pool, on the list of pools until they are dropped. Cold.
    pub(crate) fn enlist(name: NameId, limit: usize) -> Arc<Self> {
        let stats = Arc::new(Self {
            name,
            of_loop: AtomicU64::new(0),
            limit: number(limit),
            threads: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            finished: AtomicU64::new(0),
        });
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&stats));
        stats
    }

    /// It is the loop's own.
    pub(crate) fn belongs(&self, to: LoopId) {
        self.of_loop
            .store(u64::from(to.get()) + 1, Ordering::Relaxed);
    }

    /// So it stands now.
    pub(crate) fn tell(&self, threads: usize, busy: usize, queued: usize) {
        self.threads.store(number(threads), Ordering::Relaxed);
        self.busy.store(number(busy), Ordering::Relaxed);
        self.queued.store(number(queued), Ordering::Relaxed);
    }

    /// A job ran to its end.
    pub(crate) fn finished(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> PoolFacts {
        PoolFacts {
            name: self.name,
            of_loop: self.of_loop.load(Ordering::Relaxed).checked_sub(1),
            limit: self.limit,
            threads: self.threads.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            finished: self.finished.load(Ordering::Relaxed),
        }
    }
}

fn number(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

/// All pools that had a job, in the order of their making.
pub(crate) fn all() -> Vec<PoolFacts> {
    let pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let alive = pools.iter().filter_map(Weak::upgrade);
    alive
        .map(|pool| pool.read())
        .filter(|facts| facts.threads > 0 || facts.queued > 0 || facts.finished > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::names;

    #[test]
    fn a_pool_is_listed_from_its_first_job_until_it_is_dropped() {
        let name = names::intern("a pool of this test");
        let mine = || all().into_iter().find(|facts| facts.name == name);
        let stats = PoolStats::enlist(name, 4);
        assert_eq!(mine(), None, "it never had a job");
        stats.tell(2, 1, 0);
        stats.finished();
        let facts = mine().expect("it has threads");
        assert_eq!((facts.threads, facts.busy, facts.limit), (2, 1, 4));
        assert_eq!((facts.finished, facts.of_loop), (1, None));
        drop(stats);
        assert_eq!(mine(), None);
    }
}
