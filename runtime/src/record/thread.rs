//! Which thread runs a loop, and the promise that nobody signals it once it has left.
//!
//! Knows no signal; whoever sends one holds `signalling` while it does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::LoopRecord;
use crate::{clock, os};

/// While it lives, the loop is said to run on the thread that made it.
pub(crate) struct RunsHere {
    record: Arc<LoopRecord>,
    _not_send: std::marker::PhantomData<*const ()>,
}

impl LoopRecord {
    /// The calling thread runs this loop from now on, until the guard goes.
    ///
    /// The event loop calls it at the start of a run. Without it the loop's blocks are judged by
    /// the clock on the wall alone, and no stack is taken.
    pub(crate) fn runs_here(self: &Arc<Self>) -> RunsHere {
        let here = os::thread::here();
        let name = std::thread::current().name().unwrap_or("").to_owned();
        *self
            .facts
            .thread_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = name;
        for (cell, value) in self.facts.stack.iter().zip(here.stack) {
            cell.store(value as u64, Ordering::Relaxed);
        }
        // The loop's first poll must have a reading before it, and nobody else may be in time.
        let sched = os::SchedFile::open(here.id)
            .ok()
            .and_then(|file| file.read())
            .unwrap_or_default();
        let cpu = os::thread::cpu_time(here.id).unwrap_or(0);
        let words = [clock::ticks(), sched.ran, sched.delay, sched.slices, cpu];
        for (cell, word) in self.facts.baseline.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        // Release: who reads the thread reads its bounds and its baseline.
        self.facts.thread.store(here.id, Ordering::Release);
        RunsHere {
            record: self.clone(),
            _not_send: std::marker::PhantomData,
        }
    }

    /// The thread that runs the loop, fixed while the guard is held. 0: none does.
    pub(crate) fn signalling(&self) -> (MutexGuard<'_, ()>, u64) {
        let guard = self
            .facts
            .signalling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (guard, self.facts.thread.load(Ordering::Acquire))
    }
}

impl Drop for RunsHere {
    fn drop(&mut self) {
        let (_guard, _) = self.record.signalling();
        self.record.facts.thread.store(0, Ordering::Release);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_loop_names_its_thread_only_while_it_runs() {
        let record = LoopRecord::new("l", false, std::panic::Location::caller());
        let runs = record.runs_here();
        assert_eq!(record.signalling().1, os::thread::here().id);
        drop(runs);
        assert_eq!(record.signalling().1, 0);
    }
}
