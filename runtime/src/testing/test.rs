//! One test: a future, a budget for blocks and a rule for leaks; what `#[test]` expands to.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::START;
use super::judge::{Blocks, Leaks, main_panicked};
use crate::context::LoopClock;
use crate::event_loop::{Config, EventLoop};
use crate::run::{Manners, run_on_judged};

/// A test that is about to run. `#[loop_runtime::test]` makes one.
///
/// ```
/// let test = loop_runtime::testing::Test::new("answers").max_blocked("5s").leaks("deny");
/// assert_eq!(test.run(async { 6 * 7 }), 42);
/// ```
#[derive(Debug)]
#[must_use = "a test does nothing until `run`"]
pub struct Test {
    name: &'static str,
    max_blocked: Option<Duration>,
    deny_leaks: bool,
    grace: Duration,
    turned: bool,
    deny_calls: bool,
}

impl Test {
    /// A test that judges nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            max_blocked: None,
            deny_leaks: false,
            grace: Duration::from_millis(250),
            turned: false,
            deny_calls: false,
        }
    }

    /// Fails the test when a poll took longer, less the time in which the thread waited for a CPU.
    ///
    /// Panics: not a duration like `50ms`.
    pub fn max_blocked(mut self, limit: &str) -> Self {
        self.max_blocked = Some(duration("max_blocked", limit));
        self
    }

    /// `deny` or `allow`: whether a task that never ends fails the test.
    ///
    /// Panics: another word.
    pub fn leaks(mut self, rule: &str) -> Self {
        self.deny_leaks = match rule {
            "deny" => true,
            "allow" => false,
            other => panic!("leaks = {other:?} is not known; use \"deny\" or \"allow\""),
        };
        self
    }

    /// How long tasks may outlive the test's future.
    ///
    /// Panics: not a duration like `250ms`.
    pub fn grace(mut self, grace: &str) -> Self {
        self.grace = duration("grace", grace);
        self
    }

    /// `turned`: the clock jumps to the next deadline instead of waiting. `real`: it does not.
    ///
    /// Panics: another word.
    pub fn clock(mut self, clock: &str) -> Self {
        self.turned = match clock {
            "turned" => true,
            "real" => false,
            other => panic!("clock = {other:?} is not known; use \"turned\" or \"real\""),
        };
        self
    }

    /// `deny` or `allow`: whether a call that blocks, made inside a poll and not inside
    /// [`allow_blocking`](crate::allow_blocking), fails the test. As
    /// [`Builder::on_blocking_call`](crate::Builder) says; only where such calls can be met: on Linux
    /// with glibc.
    ///
    /// Panics: another word; `deny` without the feature `intercept`.
    pub fn blocking(mut self, rule: &str) -> Self {
        self.deny_calls = match rule {
            "deny" if cfg!(feature = "intercept") => true,
            "deny" => panic!(
                "blocking = \"deny\" needs the feature `intercept` of loop-runtime; add it to the dev-dependency"
            ),
            "allow" => false,
            other => panic!("blocking = {other:?} is not known; use \"deny\" or \"allow\""),
        };
        self
    }

    /// Runs the test and judges it.
    ///
    /// Panics: with the test's own panic; else with a list of what was found.
    #[track_caller]
    pub fn run<F>(self, future: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut config = Config::new();
        config.name = Some(self.name.to_owned());
        if let Some(limit) = self.max_blocked {
            // One poll between two readings, so that a wait for a CPU is charged to the right one.
            (config.budget, config.polls_per_wait) = (limit, 1);
        }
        if self.turned {
            config.clock = LoopClock::Turned(Arc::new(AtomicU64::new(START)));
        }
        let turned = config.clock.clone();
        let event_loop =
            EventLoop::with(config).unwrap_or_else(|error| panic!("no loop for the test: {error}"));
        let blocks = Rc::new(RefCell::new(Blocks::new(self.max_blocked)));
        let leaks = Rc::new(RefCell::new(Leaks::default()));
        let manners = Manners {
            grace: self.grace,
            interrupts: false,
            ..Manners::default()
        };
        #[cfg(feature = "intercept")]
        if self.deny_calls {
            let mode = crate::BlockingCall::Warn.mode();
            crate::intercept::look(&event_loop.organs().record, mode);
        }
        crate::run::test_begins();
        if let Some(limit) = self.max_blocked {
            // A gate may have brought a budget of its own; the test's holds if it is tighter.
            let record = &event_loop.organs().record;
            let now = Duration::from_nanos(record.limit_ns(record.budget()));
            record.set_budget(limit.min(now));
        }
        let (seen, left) = (blocks.clone(), leaks.clone());
        let (blocked, dump) = (blocks.clone(), Rc::new(RefCell::new(None)));
        let (dumped, name, deny_leaks, grace) =
            (dump.clone(), self.name, self.deny_leaks, self.grace);
        let run = || {
            run_on_judged(
                &event_loop,
                &manners,
                event_loop.made_at(),
                future,
                move |organs| seen.borrow_mut().look(organs),
                move |organs| {
                    let next = organs.timers.next_deadline();
                    match (&turned, next) {
                        (LoopClock::Turned(now), Some(next)) if !organs.blocking.is_busy() => {
                            now.fetch_max(next, Ordering::Relaxed);
                            true
                        }
                        _ => false,
                    }
                },
                move |organs| {
                    left.borrow_mut().look(organs);
                    // Now, since what is left of the test is about to be cancelled.
                    let mut found = blocked.borrow().findings();
                    if deny_leaks {
                        found.extend(left.borrow().findings(grace));
                    }
                    if let Some(dead) = organs.record.still.read_dead() {
                        found.extend(dead.lines.first().cloned());
                    }
                    if let Some(text) = main_panicked(&organs.record) {
                        found.insert(0, format!("it panicked: {text}"));
                    }
                    if let Some(why) = found.first() {
                        *dumped.borrow_mut() = crate::run::test_fails(name, why);
                    }
                },
            )
        };
        // A test that panics is judged all the same: its leaks are none the less.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let mut found = blocks.borrow().findings();
        #[cfg(feature = "intercept")]
        if self.deny_calls {
            found.extend(super::judge::calls(&event_loop.organs().record));
        }
        if self.deny_leaks {
            found.extend(leaks.borrow().findings(self.grace));
        }
        crate::run::hand_over(&event_loop, self.name, self.grace);
        let _ = event_loop.close();
        let recorded = match dump.borrow_mut().take() {
            Some(Ok(path)) => format!("\n  recorded: loop-console open {path}"),
            Some(Err(why)) => format!("\n  not recorded: {why}"),
            None => String::new(),
        };
        let result = result.unwrap_or_else(|panic| {
            if !recorded.is_empty() {
                // The panic has told its text already; the test's output is where it belongs.
                eprintln!("{}:{recorded}", self.name);
            }
            std::panic::resume_unwind(panic)
        });
        let output = result.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(
            found.is_empty(),
            "{}: {} found\n  {}{recorded}",
            self.name,
            found.len(),
            found.join("\n  ")
        );
        output
    }
}

/// `50ms`, `1.5s`, `20us`, `1m`.
fn duration(what: &str, text: &str) -> Duration {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic() || c == 'µ')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => f64::NAN,
    };
    let seconds = number.trim().parse::<f64>().unwrap_or(f64::NAN) * scale;
    Duration::try_from_secs_f64(seconds)
        .unwrap_or_else(|_| panic!("{what} = {text:?} is not a duration; write a number and ns, us, ms, s or m, as in \"50ms\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(duration("x", "50ms"), Duration::from_millis(50));
        assert_eq!(duration("x", "1.5s"), Duration::from_millis(1500));
        assert_eq!(duration("x", "20us"), Duration::from_micros(20));
    }

    #[test]
    #[should_panic(expected = "write a number and ns, us, ms, s or m")]
    fn a_duration_without_a_unit_is_refused_with_the_fix() {
        duration("max_blocked", "50");
    }
}
