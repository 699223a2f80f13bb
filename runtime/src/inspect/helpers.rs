//! The threads that help the inspector: they name frames, unwind stacks, write dumps. What they use is
//! part of what inspecting costs, also after they ended. Knows not what they do.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::os::ours::Ours;
use crate::os::{self, thread};

#[derive(Default)]
struct All {
    /// Those that live.
    threads: Vec<u64>,
    /// What those used that ended, nanoseconds.
    spent: u64,
}

static ALL: Mutex<All> = Mutex::new(All {
    threads: Vec::new(),
    spent: 0,
});

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, the thread that made it helps the inspector, and is one of ours.
#[derive(Debug)]
pub(crate) struct Helps {
    thread: u64,
    _ours: Ours,
}

impl Helps {
    pub(crate) fn enter() -> Self {
        let thread = os::thread_id();
        all().threads.push(thread);
        Self {
            thread,
            _ours: Ours::enter(),
        }
    }
}

impl Drop for Helps {
    fn drop(&mut self) {
        let mut all = all();
        // Under the lock, so that nobody adds it twice.
        all.spent += thread::cpu_time(self.thread).unwrap_or(0);
        all.threads.retain(|thread| *thread != self.thread);
    }
}

/// CPU time that all of them have used so far, nanoseconds.
pub(crate) fn cpu_time() -> u64 {
    let all = all();
    let living = all.threads.iter();
    let living = living.map(|thread| thread::cpu_time(*thread).unwrap_or(0));
    all.spent + living.sum::<u64>()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Uses so much of a CPU.
    fn compute(ns: u64) {
        let mine = || thread::cpu_time(os::thread_id()).unwrap();
        let start = mine();
        while mine() - start < ns {}
    }

    #[test]
    fn what_a_helper_used_is_counted_while_it_lives_and_after_it_ended() {
        const MS: u64 = 1_000_000;
        let before = cpu_time();
        let (go, wait) = mpsc::channel::<()>();
        let (told, done) = mpsc::channel();
        let helper = std::thread::spawn(move || {
            let _helps = Helps::enter();
            compute(5 * MS);
            told.send(()).unwrap();
            let _ = wait.recv();
        });
        done.recv().unwrap();
        assert!(cpu_time() >= before + 5 * MS);
        drop(go);
        helper.join().unwrap();
        // Others may help meanwhile, so it is at least this; and what it used does not go with it.
        assert!(cpu_time() >= before + 5 * MS);
    }
}
