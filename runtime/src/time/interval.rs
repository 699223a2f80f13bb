//! Ticks at a fixed distance, and what happens to those that were missed.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Armed, LoopInstant, now};
use crate::context;
use crate::record::bound::LoopBound;
use crate::record::timer::Kind;

/// What to do about ticks whose time passed while nobody asked for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MissedTick {
    /// Deliver each of them at once, then be back on schedule.
    #[default]
    Burst,
    /// Deliver one, and count the next period from now.
    Delay,
    /// Deliver one, and go on at the next moment of the old schedule.
    Skip,
}

/// Ticks every `period`, the first at once.
///
/// Panics: `period` is zero, or no loop runs on this thread.
/// Records: one timer of kind `interval` with its period; lateness at each firing.
/// Source: the textbook's `while True: …; await asyncio.sleep(1)`, without its drift.
///
/// ```
/// # use std::time::Duration;
/// loop_runtime::run(async {
///     let mut ticks = loop_runtime::interval(Duration::from_millis(1));
///     for _ in 0..3 {
///         ticks.tick().await;
///     }
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// As `interval`, with the first tick at `start`.
///
/// ```
/// # use std::time::Duration;
/// loop_runtime::run(async {
///     let start = loop_runtime::time::now() + Duration::from_millis(1);
///     let mut ticks = loop_runtime::time::interval_at(start, Duration::from_secs(60));
///     assert_eq!(ticks.tick().await, start);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn interval_at(start: LoopInstant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "an interval's period must be longer than zero; use `yield_now` to let others run"
    );
    let place = Location::caller();
    let id = context::expect(|organs| organs.record.id);
    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    let armed = LoopBound::new(id, Armed::new(Kind::Interval, nanos));
    Interval {
        next: start,
        period,
        missed: MissedTick::default(),
        place,
        armed,
    }
}

/// Made by `interval`.
pub struct Interval {
    next: LoopInstant,
    period: Duration,
    missed: MissedTick,
    place: &'static Location<'static>,
    armed: LoopBound<Armed>,
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("next", &self.next)
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}

impl Interval {
    /// Waits for the next tick and tells when it was due.
    ///
    /// Panics: polled outside its loop.
    /// Cancel: safe; a tick that was not delivered is delivered by the next call.
    pub fn tick(&mut self) -> Tick<'_> {
        Tick(self)
    }

    /// `tick`, for those who poll by hand.
    #[track_caller]
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<LoopInstant> {
        let at = Location::caller();
        let armed = match self.armed.get_mut() {
            Ok(armed) => armed,
            Err(wrong) => panic!("an interval was polled away from its loop: {wrong}"),
        };
        if armed.poll(self.next, self.place, at, cx).is_pending() {
            return Poll::Pending;
        }
        let due = self.next;
        self.next = self.after(due, now());
        Poll::Ready(due)
    }

    /// When the next tick is due.
    pub fn next_tick(&self) -> LoopInstant {
        self.next
    }

    /// The distance of two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Chooses what happens to ticks that are missed from now on.
    pub fn set_missed_tick(&mut self, missed: MissedTick) {
        self.missed = missed;
    }

    fn after(&self, due: LoopInstant, now: LoopInstant) -> LoopInstant {
        let next = due + self.period;
        if next > now {
            return next;
        }
        match self.missed {
            MissedTick::Burst => next,
            MissedTick::Delay => now + self.period,
            MissedTick::Skip => {
                let period = self.period.as_nanos();
                let behind = now.duration_since(due).as_nanos();
                let periods = u32::try_from(behind / period + 1).unwrap_or(u32::MAX);
                due + self.period.saturating_mul(periods)
            }
        }
    }
}

/// The future of `Interval::tick`.
#[derive(Debug)]
#[must_use = "a tick that is not awaited does not wait"]
pub struct Tick<'a>(&'a mut Interval);

impl Future for Tick<'_> {
    type Output = LoopInstant;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LoopInstant> {
        self.0.poll_tick(cx)
    }
}
