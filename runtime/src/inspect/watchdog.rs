//! The watchdog: a thread that notices a poll which passes its loop's budget, while it lasts.
//!
//! It sleeps until the earliest moment at which something that runs now could be over its budget:
//! at most two wakes a budget and loop, none once all loops were parked for a second. It resolves
//! no names, takes no lock of the loader, and waits for nobody but the table's pointer copies.
//! `watch` is what it knows of one loop. Knows no task, no wire and no viewer.

mod behind;
mod bounds;
mod gaps;
mod poll;
mod watch;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, process};

use super::blocks::{Blocks, Notify};
use super::cause::quota::Quota;
use super::stack::Sampler;
use super::stack::names::resolve::Names;
use crate::clock;
use crate::record::current::BELL;
use crate::record::{self, LoopRecord};
pub(crate) use behind::Behind;
use gaps::Gaps;
use watch::Watch;

/// How long a poll may take, unless the loop was told otherwise: asyncio's `slow_callback_duration`.
pub(crate) const DEFAULT_BUDGET: Duration = Duration::from_millis(100);

/// How long a loop is still looked after when it has parked.
const LINGER: Duration = Duration::from_secs(1);

/// What a watchdog is started with.
#[derive(Default)]
pub(crate) struct Settings {
    /// Called, on the watchdog's or the names' thread, with each block that is proven, changes its
    /// stack or names, and ends. It must not wait for a loop.
    pub(crate) notify: Option<Notify>,
    /// Leave stacks alone.
    pub(crate) no_stacks: bool,
}

/// The running watchdog. Dropping it ends the thread.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    blocks: Arc<Blocks>,
    stacks_off: Option<String>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    answered: Condvar,
    pid: u32,
}

#[derive(Default)]
struct State {
    /// Requests made, and the last one that a whole pass has followed.
    asked: u64,
    done: u64,
    stop: bool,
    gone: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it did: nobody waits for an answer from it.
struct Leave(Arc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.state().gone = true;
        self.0.answered.notify_all();
        BELL.hang_up();
    }
}

impl Watchdog {
    /// Starts the thread `loop-watchdog`. One a process.
    ///
    /// Errors: the thread cannot be made.
    pub(crate) fn start(settings: Settings) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            answered: Condvar::new(),
            pid: process::id(),
        });
        let blocks = Arc::new(Blocks::new(settings.notify));
        let (sampler, stacks_off) = if settings.no_stacks {
            (None, Some("switched off".to_owned()))
        } else {
            match super::stack::sampler() {
                Ok(sampler) => (Some(sampler), None),
                Err(why) => (None, Some(why)),
            }
        };
        let desk = Desk {
            blocks: blocks.clone(),
            sampler,
            stacks_off: stacks_off.clone().unwrap_or_default(),
            names: Names::new(blocks.clone()),
            gaps: Gaps::default(),
            quota: Quota::default(),
        };
        let leave = Leave(shared.clone());
        let thread = thread::Builder::new()
            .name("loop-watchdog".to_owned())
            .spawn(move || {
                let _ours = crate::os::ours::Ours::enter();
                run(&leave.0, desk);
            })?;
        Ok(Self {
            shared,
            blocks,
            stacks_off,
            thread: Some(thread),
        })
    }

    /// The table that it writes.
    pub(crate) fn blocks(&self) -> &Arc<Blocks> {
        &self.blocks
    }

    /// Why no stacks are taken; `None`: they are.
    pub(crate) fn stacks_off(&self) -> Option<&str> {
        self.stacks_off.as_deref()
    }

    /// Makes the watchdog take a reading of every loop and file every block that has ended before
    /// this call. For a verdict: call it before the loop's thread drops `RunsHere`, since a thread
    /// that is gone cannot be read.
    ///
    /// Returns whether it answered; it does not in the child of a fork, where its thread is not.
    pub(crate) fn catch_up(&self) -> bool {
        if self.shared.pid != process::id() {
            return false;
        }
        let mut state = self.shared.state();
        state.asked += 1;
        let mine = state.asked;
        drop(state);
        self.wake();
        let state = self
            .shared
            .answered
            .wait_while(self.shared.state(), |state| {
                state.done < mine && !state.gone
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.done >= mine
    }

    fn wake(&self) {
        BELL.nudge();
        // The bell answers to the last watchdog that came; this is the one that is meant.
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if self.shared.pid != process::id() {
            return;
        }
        self.shared.state().stop = true;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the watchdog was printed when it happened; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// What the watches share.
struct Desk {
    blocks: Arc<Blocks>,
    sampler: Option<Box<dyn Sampler>>,
    stacks_off: String,
    names: Names,
    gaps: Gaps,
    quota: Quota,
}

fn run(shared: &Shared, mut desk: Desk) {
    BELL.answer_here();
    // Where there is no quota now, it is read only when something runs for long.
    desk.quota.read(0, clock::ticks());
    let mut watches: Vec<Watch> = Vec::new();
    let mut version = 0;
    loop {
        // 1. What was asked before this pass is answered after it.
        let (asked, stop) = {
            let state = shared.state();
            (state.asked, state.stop)
        };
        // 2. Loops that came and went.
        let now_version = record::loops_version();
        if now_version != version {
            version = now_version;
            follow(&mut watches, &record::loops(), &mut desk);
        }
        // 3. A look at each.
        let next = watches
            .iter_mut()
            .filter_map(|watch| watch.look(&mut desk))
            .min();
        let mut state = shared.state();
        if state.done < asked {
            state.done = asked;
            shared.answered.notify_all();
        }
        drop(state);
        if stop {
            for watch in &mut watches {
                watch.leave(&mut desk);
            }
            return;
        }
        // 4. Sleep: until `next`, or until a loop comes back.
        let called = || {
            let state = shared.state();
            state.stop || state.asked > state.done || record::loops_version() != version
        };
        match next {
            None => BELL.sleep_if(|| called() || watches.iter().any(Watch::is_working)),
            Some(next) => {
                let now = clock::ticks();
                if next > now && !called() {
                    thread::park_timeout(Duration::from_nanos(clock::ticks_to_ns(next - now)));
                    desk.gaps.woke(next, clock::ticks());
                    desk.blocks.overslept(desk.gaps.count);
                }
            }
        }
    }
}

/// Takes up new loops, and settles those that are closed.
fn follow(watches: &mut Vec<Watch>, loops: &[Arc<LoopRecord>], desk: &mut Desk) {
    watches.retain_mut(|watch| {
        let stays = loops.iter().any(|record| watch.is_of(record));
        if !stays {
            watch.look(desk);
            watch.leave(desk);
        }
        stays
    });
    for record in loops {
        if !record.facts.internal && !watches.iter().any(|watch| watch.is_of(record)) {
            watches.push(Watch::new(record.clone()));
        }
    }
}

// They need what only Linux tells of a thread.
#[cfg(all(test, target_os = "linux"))]
mod tests;
