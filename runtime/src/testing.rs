//! Loops for tests: a clock turned by hand, and tests that are judged by what the loop recorded.
//!
//! Needs no inspector: a verdict rests on the loop's own record.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::context::LoopClock;
use crate::event_loop::{Config, EventLoop, RunError};
use crate::handle::LoopHandle;
use crate::time::LoopInstant;

mod judge;
mod test;

pub use test::Test;

#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use crate::os::filter::{Forbid, forbid};

/// Forks, and gives the code that the child ended with; only for a process with one thread.
#[cfg(unix)]
#[doc(hidden)]
pub fn fork_and_wait(child: impl FnOnce() -> u8) -> std::io::Result<u8> {
    crate::os::fork_and_wait(child)
}

/// Forks: 0 in the child; only for a process with one thread.
#[cfg(unix)]
#[doc(hidden)]
pub fn fork_here() -> std::io::Result<u32> {
    crate::os::fork_here()
}

/// Iterations that a loop has gone through.
#[doc(hidden)]
pub fn iterations(event_loop: &EventLoop) -> u64 {
    let stats = &event_loop.organs().record.stats;
    stats.iterations.load(Ordering::Relaxed)
}

/// Where a turned clock starts: not at zero, so that "a second ago" exists.
const START: u64 = 1_000_000_000_000;

/// A loop whose clock stands still until it is turned.
///
/// Asks its reactor between any two polls, so that the order of events does not hang on speed.
/// Opens no endpoint.
///
/// ```
/// use std::time::Duration;
/// let mut test = loop_runtime::testing::TestLoop::new();
/// let task = test.enter(|| loop_runtime::create_task(loop_runtime::sleep(Duration::from_secs(3600))));
/// test.turn();
/// assert!(!task.done());
/// test.advance(Duration::from_secs(3600));
/// assert!(task.done());
/// ```
#[derive(Debug)]
pub struct TestLoop {
    event_loop: EventLoop,
    clock: Turned,
}

impl Drop for TestLoop {
    /// What a test leaves pending it leaves on purpose: nobody is told.
    fn drop(&mut self) {
        // It is not running, and in the child of a fork there is nothing to close.
        let _ = self.event_loop.close();
    }
}

#[derive(Debug)]
struct Turned(Arc<AtomicU64>);

impl Default for TestLoop {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl TestLoop {
    /// A loop at an arbitrary moment.
    ///
    /// Panics: the system refuses an epoll or event descriptor.
    #[track_caller]
    pub fn new() -> Self {
        let now = Arc::new(AtomicU64::new(START));
        let mut config = Config::new();
        config.clock = LoopClock::Turned(now.clone());
        config.polls_per_wait = 1;
        let event_loop =
            EventLoop::with(config).unwrap_or_else(|error| panic!("no loop for the test: {error}"));
        Self {
            event_loop,
            clock: Turned(now),
        }
    }

    /// The loop itself.
    pub fn event_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// What other threads may hold.
    pub fn handle(&self) -> LoopHandle {
        self.event_loop.handle()
    }

    /// Runs `f` with this loop as the current one, without turning it.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.event_loop.enter(f)
    }

    /// The time on its clock.
    pub fn now(&self) -> LoopInstant {
        LoopInstant::from_nanos(self.clock.0.load(Ordering::Relaxed))
    }

    /// Turns the loop until nothing is ready; the clock stands still.
    ///
    /// Panics: a task is still ready after a hundred thousand iterations.
    pub fn turn(&mut self) {
        for _ in 0..100_000 {
            if !self.once() {
                return;
            }
        }
        panic!(
            "after a hundred thousand iterations a task is still ready; does one yield for ever?"
        );
    }

    /// Timers that are armed.
    pub fn timers(&self) -> usize {
        self.event_loop.organs().timers.len()
    }

    /// When the next armed timer is due.
    pub fn next_deadline(&self) -> Option<LoopInstant> {
        let next = self.event_loop.organs().timers.next_deadline();
        next.map(LoopInstant::from_nanos)
    }

    /// Turns the clock by `duration` without turning the loop: what is due now fires in the next
    /// iteration.
    pub fn shift(&mut self, duration: Duration) {
        let later = (self.now() + duration).nanos();
        self.clock.0.store(later, Ordering::Relaxed);
    }

    /// One iteration. Tells whether more is ready.
    pub fn once(&mut self) -> bool {
        let turned = self.event_loop.turn_once();
        turned.unwrap_or_else(|error| panic!("the test's loop does not turn: {error}"))
    }

    /// Turns the clock by `duration`, stopping at each deadline on the way to run what is due.
    pub fn advance(&mut self, duration: Duration) {
        let end = (self.now() + duration).nanos();
        self.turn();
        while let Some(next) = self
            .event_loop
            .organs()
            .timers
            .next_deadline()
            .filter(|&next| next <= end)
        {
            self.clock.0.fetch_max(next, Ordering::Relaxed);
            self.turn();
        }
        self.clock.0.store(end, Ordering::Relaxed);
        self.turn();
    }

    /// Turns the clock by `duration` at once and runs what is due then: what a loop finds that was
    /// blocked for so long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use loop_runtime::{sleep, time::now};
    /// let mut test = loop_runtime::testing::TestLoop::new();
    /// let task = test.enter(|| {
    ///     let due = now() + Duration::from_secs(1);
    ///     loop_runtime::create_task(async move {
    ///         sleep(Duration::from_secs(1)).await;
    ///         now().duration_since(due)
    ///     })
    /// });
    /// test.turn();
    /// test.jump(Duration::from_secs(3));
    /// assert_eq!(test.run(task).unwrap().unwrap(), Duration::from_secs(2));
    /// ```
    pub fn jump(&mut self, duration: Duration) {
        self.clock
            .0
            .store((self.now() + duration).nanos(), Ordering::Relaxed);
        self.turn();
    }

    /// Runs `future` until it is done; whenever nothing is ready the clock jumps to the next
    /// deadline.
    ///
    /// Errors: `RunError`.
    /// Panics: nothing can happen any more and `future` is not done.
    #[track_caller]
    pub fn run<F>(&mut self, future: F) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let clock = self.clock.0.clone();
        self.event_loop.run_watched(
            std::panic::Location::caller(),
            future,
            |_| {},
            move |organs| match organs.timers.next_deadline() {
                Some(next) if !organs.blocking.is_busy() => {
                    clock.fetch_max(next, Ordering::Relaxed);
                    true
                }
                _ => false,
            },
        )
    }
}
