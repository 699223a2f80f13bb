//! Whether a parked loop can still be woken: by something of its own, by somebody outside, or by
//! nobody. Said by the loop when it parks, read by any thread. Knows no rule.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::id::LoopId;

/// Who can wake a loop that is parked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Wakers {
    /// It is not parked, or a timer, a source, a signal, a child or a job can.
    #[default]
    Own = 0,
    /// Nothing of its own; somebody outside may.
    Outside = 1,
    /// Nobody.
    Nobody = 2,
}

/// What is out there that may wake the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outside {
    /// Handles of the loop, wherever they are.
    pub(crate) handles: u32,
    /// Threads that are not the runtime's own; `None` where the system does not tell.
    pub(crate) threads: Option<u32>,
}

/// What a loop that nobody can wake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    /// Since when, nanoseconds on CLOCK_MONOTONIC.
    pub(crate) since: u64,
    /// The main task, else the first that waits.
    pub(crate) task: u64,
    /// How it is known, then a line a task.
    pub(crate) lines: Vec<String>,
    /// The tasks that those are.
    pub(crate) tasks: Vec<u64>,
}

const UNKNOWN: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Standstill {
    wakers: AtomicU8,
    handles: AtomicU32,
    threads: AtomicU32,
    since: AtomicU64,
    dead: Mutex<Option<Dead>>,
}

impl Standstill {
    /// The loop has something of its own to wake it, or is awake. The loop's thread.
    #[inline]
    pub(crate) fn over(&self) {
        if self.wakers.load(Ordering::Relaxed) != Wakers::Own as u8 {
            self.wakers.store(Wakers::Own as u8, Ordering::Release);
        }
    }

    /// Only somebody outside can wake it, from `now` on if it was not so before.
    pub(crate) fn outside(&self, outside: Outside, now: u64) {
        self.handles.store(outside.handles, Ordering::Relaxed);
        let threads = outside.threads.unwrap_or(UNKNOWN);
        self.threads.store(threads, Ordering::Relaxed);
        if self.wakers.load(Ordering::Relaxed) != Wakers::Outside as u8 {
            self.since.store(now, Ordering::Relaxed);
            self.wakers.store(Wakers::Outside as u8, Ordering::Release);
        }
    }

    /// Nobody can wake it.
    pub(crate) fn nobody(&self, dead: Dead) {
        let mut known = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(dead);
        drop(known);
        self.wakers.store(Wakers::Nobody as u8, Ordering::Release);
    }

    /// Who can wake it now.
    pub(crate) fn wakers(&self) -> Wakers {
        match self.wakers.load(Ordering::Acquire) {
            1 => Wakers::Outside,
            2 => Wakers::Nobody,
            _ => Wakers::Own,
        }
    }

    /// What is outside, and since when it is waited for, if that is so.
    pub(crate) fn read_outside(&self) -> Option<(Outside, u64)> {
        let threads = self.threads.load(Ordering::Relaxed);
        let outside = Outside {
            handles: self.handles.load(Ordering::Relaxed),
            threads: Some(threads).filter(|threads| *threads != UNKNOWN),
        };
        let since = self.since.load(Ordering::Relaxed);
        (self.wakers() == Wakers::Outside).then_some((outside, since))
    }

    /// What it came to, if nobody can wake it.
    pub(crate) fn read_dead(&self) -> Option<Dead> {
        let known = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        (self.wakers() == Wakers::Nobody)
            .then(|| known.clone())
            .flatten()
    }
}

const WORDS: usize = 64;

/// Loops of whose tasks somebody made a reference that counts nowhere: a bit a loop, shared by those
/// whose numbers are 4096 apart.
static REFERRED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

fn referred(id: LoopId) -> (&'static AtomicU64, u64) {
    let id = id.get() as usize;
    (&REFERRED[id / 64 % WORDS], 1 << (id % 64))
}

/// A reference to a task of the loop `id` was made, which may cancel it from any thread.
#[inline]
pub(crate) fn refer(id: LoopId) {
    let (word, bit) = referred(id);
    if word.load(Ordering::Relaxed) & bit == 0 {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

/// Whether there may be such a reference.
pub(crate) fn is_referred(id: LoopId) -> bool {
    let (word, bit) = referred(id);
    word.load(Ordering::Relaxed) & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_is_known_only_while_it_is_waited_for() {
        let still = Standstill::default();
        assert_eq!((still.read_outside(), still.read_dead()), (None, None));
        let outside = Outside {
            handles: 2,
            threads: None,
        };
        still.outside(outside, 7);
        still.outside(outside, 9);
        assert_eq!(still.read_outside(), Some((outside, 7)), "since the first");
        still.over();
        assert_eq!((still.wakers(), still.read_outside()), (Wakers::Own, None));
    }

    #[test]
    fn a_loop_that_was_woken_after_all_is_dead_no_more() {
        let still = Standstill::default();
        let dead = Dead {
            since: 5,
            task: 1,
            lines: vec!["task 1 waits".to_owned()],
            tasks: vec![1],
        };
        still.nobody(dead.clone());
        assert_eq!(still.read_dead(), Some(dead));
        still.over();
        assert_eq!(still.read_dead(), None);
    }
}
