//! Waiting for time: `sleep`, `interval`, `timeout`, and the instants they count in.
//!
//! Knows the loop's timers and clock; knows neither tasks nor I/O.

use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::context;
use crate::id::LoopId;
use crate::record;
use crate::record::bound::{LoopBound, WrongLoop};
use crate::record::task::{On, WaitingOn};
use crate::record::timer::Kind;
use crate::timers::{Action, Arm, TimerKey};

mod interval;
pub use interval::{Interval, MissedTick, Tick, interval, interval_at};

/// A moment on a loop's clock: CLOCK_MONOTONIC, or the clock that a test turns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LoopInstant(u64);

impl LoopInstant {
    /// The latest moment there is; a timer set to it never fires.
    pub const FAR: LoopInstant = LoopInstant(u64::MAX);

    /// How long after `earlier` this is; zero if it is not.
    pub fn duration_since(self, earlier: LoopInstant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) fn nanos(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for LoopInstant {
    type Output = LoopInstant;

    /// Saturates at `FAR`: a sleep of 2^55 seconds is one that never ends, not an overflow.
    fn add(self, later: Duration) -> LoopInstant {
        LoopInstant(
            self.0
                .saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for LoopInstant {
    type Output = LoopInstant;

    fn sub(self, earlier: Duration) -> LoopInstant {
        LoopInstant(
            self.0
                .saturating_sub(u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// The time on the running loop's clock.
///
/// Panics: no loop runs on this thread.
/// Source: asyncio's `loop.time()`.
///
/// ```
/// use std::time::Duration;
/// loop_runtime::run(async {
///     let start = loop_runtime::time::now();
///     loop_runtime::sleep(Duration::from_millis(2)).await;
///     assert!(loop_runtime::time::now().duration_since(start) >= Duration::from_millis(2));
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn now() -> LoopInstant {
    context::expect(|organs| LoopInstant(organs.now()))
}

/// Waits for `duration`.
///
/// Units: the loop's clock; never early, late by what the loop's lag is. Zero lets all others
/// that are ready run once.
/// Panics: made or polled outside its loop.
/// Cancel: dropping it removes the timer.
/// Records: `TimerArmed` at the first poll, then `TimerFired` or `TimerCancelled`.
/// Source: asyncio's `sleep`.
///
/// ```
/// # use std::time::Duration;
/// loop_runtime::run(async {
///     loop_runtime::sleep(Duration::from_millis(1)).await;
/// })
/// .unwrap();
/// ```
#[doc(alias = "tokio::time::sleep")]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let place = Location::caller();
    let (id, deadline) =
        context::expect(|organs| (organs.record.id, LoopInstant(organs.now()) + duration));
    Sleep {
        deadline,
        place,
        state: LoopBound::new(id, Armed::new(Kind::Sleep, 0)),
        yields: duration.is_zero(),
    }
}

/// Waits until `deadline`; one that has passed is over at its next turn.
///
/// As `sleep` otherwise.
///
/// ```
/// # use std::time::Duration;
/// loop_runtime::run(async {
///     let deadline = loop_runtime::time::now() + Duration::from_millis(1);
///     loop_runtime::sleep_until(deadline).await;
///     assert!(loop_runtime::time::now() >= deadline);
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn sleep_until(deadline: LoopInstant) -> Sleep {
    sleep_until_at(deadline, Location::caller())
}

/// As `sleep_until`, made at `place`.
#[track_caller]
pub(crate) fn sleep_until_at(deadline: LoopInstant, place: &'static Location<'static>) -> Sleep {
    let id = context::expect(|organs| organs.record.id);
    Sleep {
        deadline,
        place,
        state: LoopBound::new(id, Armed::new(Kind::Sleep, 0)),
        yields: false,
    }
}

/// The future of `sleep` and `sleep_until`.
#[must_use = "a sleep that is not awaited does not wait"]
pub struct Sleep {
    deadline: LoopInstant,
    place: &'static Location<'static>,
    state: LoopBound<Armed>,
    yields: bool,
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Sleep {
    /// The timer of a limit that was set at `place`.
    pub(crate) fn limit(
        id: LoopId,
        deadline: LoopInstant,
        place: &'static Location<'static>,
    ) -> Self {
        Sleep {
            deadline,
            place,
            state: LoopBound::new(id, Armed::new(Kind::Timeout, 0)),
            yields: false,
        }
    }

    /// When it is over.
    pub fn deadline(&self) -> LoopInstant {
        self.deadline
    }

    /// Moves the deadline; a sleep that was over waits again.
    ///
    /// Errors: `WrongLoop` on a thread where its loop does not run.
    pub fn reset(&mut self, deadline: LoopInstant) -> Result<(), WrongLoop> {
        self.state.get_mut()?.disarm();
        (self.deadline, self.yields) = (deadline, false);
        Ok(())
    }

    /// `poll`, with a wrong loop as a value.
    #[track_caller]
    pub(crate) fn try_poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WrongLoop>> {
        let at = Location::caller();
        let (deadline, place) = (self.deadline, self.place);
        let armed = match self.state.get_mut() {
            Ok(armed) => armed,
            Err(wrong) => return Poll::Ready(Err(wrong)),
        };
        if self.yields {
            self.yields = false;
            record::waiting(WaitingOn::new(On::Turn, 0), at);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        armed.poll(deadline, place, at, cx).map(Ok)
    }
}

impl Future for Sleep {
    type Output = ();

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut().try_poll(cx) {
            Poll::Ready(Err(wrong)) => panic!("a sleep was polled away from its loop: {wrong}"),
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A timer's life: not armed before the first poll, cancelled by the drop. An interval keeps its
/// timer between two ticks, so that it is one row with one history.
pub(crate) struct Armed {
    key: Option<TimerKey>,
    /// The timer runs for a deadline that has not been delivered.
    running: bool,
    kind: Kind,
    period: u64,
}

impl Armed {
    pub(crate) fn new(kind: Kind, period: u64) -> Self {
        Self {
            key: None,
            running: false,
            kind,
            period,
        }
    }

    /// Ready once `deadline` has passed. `place` made it, `at` awaits it.
    pub(crate) fn poll(
        &mut self,
        deadline: LoopInstant,
        place: &'static Location<'static>,
        at: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        context::expect(|organs| {
            let timers = &organs.timers;
            if let Some(key) = self.key.filter(|_| self.running) {
                if timers.is_fired(key) {
                    self.running = false;
                    if self.kind != Kind::Interval {
                        timers.cancel(key);
                        self.key = None;
                    }
                    return Poll::Ready(());
                }
                timers.set_waker(key, cx.waker());
                record::waiting(WaitingOn::new(On::Timer, key.id()), at);
                return Poll::Pending;
            }
            let now = organs.now();
            if deadline.0 <= now {
                return Poll::Ready(());
            }
            let kept = self.key.filter(|&key| {
                timers.set_waker(key, cx.waker());
                timers.rearm(key, deadline.0, now)
            });
            let key = kept.unwrap_or_else(|| {
                let owner = record::current_task();
                let arm = Arm {
                    kind: self.kind,
                    owner,
                    now,
                    period: self.period,
                    place: Some(place),
                };
                timers.arm(deadline.0, Action::Wake(cx.waker().clone()), arm)
            });
            (self.key, self.running) = (Some(key), true);
            record::waiting(WaitingOn::new(On::Timer, key.id()), at);
            Poll::Pending
        })
    }

    pub(crate) fn disarm(&mut self) {
        self.running = false;
        if let Some(key) = self.key.take() {
            // No loop: it is closed, and its timers are gone with it.
            let _ = context::with(|organs| organs.timers.cancel(key));
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The time was up before the future was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Elapsed {
    /// The limit that was set.
    pub after: Duration,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not done within {:?}; the work was ended where it stood",
            self.after
        )
    }
}

impl std::error::Error for Elapsed {}

pin_project! {
    /// The future of `timeout` and `timeout_at`.
    #[must_use = "a timeout that is not awaited does nothing"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
        after: Duration,
    }
}

/// Awaits `future` for at most `limit`; then drops it.
///
/// Errors: `Elapsed`. A future that is done at its first poll wins over a limit of zero.
/// Panics: made or polled outside its loop.
/// Cancel: dropping it drops `future` and removes the timer.
/// Records: as `sleep`, with the kind `timeout`.
/// Source: asyncio's `timeout`; unlike `wait_for` it does not wait for clean-up, since a dropped
/// future has none that waits.
///
/// ```
/// # use std::time::Duration;
/// loop_runtime::run(async {
///     let never = std::future::pending::<()>();
///     assert!(loop_runtime::timeout(Duration::from_millis(1), never).await.is_err());
///     assert_eq!(loop_runtime::timeout(Duration::from_secs(1), async { 7 }).await, Ok(7));
/// })
/// .unwrap();
/// ```
#[doc(alias = "tokio::time::timeout")]
#[track_caller]
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    let place = Location::caller();
    let (id, deadline) =
        context::expect(|organs| (organs.record.id, LoopInstant(organs.now()) + limit));
    Timeout {
        future,
        sleep: Sleep::limit(id, deadline, place),
        after: limit,
    }
}

/// As `timeout`, with a moment for the limit.
///
/// ```
/// # use std::time::Duration;
/// loop_runtime::run(async {
///     let deadline = loop_runtime::time::now() + Duration::from_millis(1);
///     let never = std::future::pending::<()>();
///     assert!(loop_runtime::timeout_at(deadline, never).await.is_err());
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn timeout_at<F: Future>(deadline: LoopInstant, future: F) -> Timeout<F> {
    let limit = deadline.duration_since(now());
    let mut timeout = timeout(limit, future);
    timeout.sleep.deadline = deadline;
    timeout
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match this.sleep.try_poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(Elapsed { after: *this.after })),
            Poll::Ready(Err(wrong)) => panic!("a timeout was polled away from its loop: {wrong}"),
            Poll::Pending => Poll::Pending,
        }
    }
}
