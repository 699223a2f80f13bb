//! `timeout_scope`: a limit of time that can be moved, and whose end lets the work clean up.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::context;
use crate::executor::Hit;
use crate::record;
use crate::record::bound::{LoopBound, WrongLoop};
use crate::record::task::{On, WaitingOn};
use crate::spawn::Entered;
use crate::time::{Elapsed, LoopInstant, Sleep};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    New,
    Active,
    /// The time is up, and the work was told.
    Expiring,
    Expired,
    Over,
}

struct State {
    when: Cell<Option<LoopInstant>>,
    stage: Cell<Stage>,
    /// Of the scope, for a limit that others move.
    waker: Cell<Option<Waker>>,
}

/// The limit of a `timeout_scope`, as its body sees and moves it.
///
/// Source: asyncio's `Timeout`.
#[derive(Clone)]
pub struct TimeLimit {
    state: Arc<LoopBound<State>>,
}

impl fmt::Debug for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeLimit")
            .field("when", &self.when())
            .field("expired", &self.expired())
            .finish_non_exhaustive()
    }
}

/// The limit cannot be moved any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LimitOver {
    /// The time was up before.
    Expired,
    /// The scope has ended.
    Finished,
    /// It was used away from its loop.
    WrongLoop(WrongLoop),
}

impl fmt::Display for LimitOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitOver::Expired => {
                f.write_str("the limit has expired and cannot be moved; open a new scope")
            }
            LimitOver::Finished => {
                f.write_str("the scope of the limit has ended; move it from inside the scope")
            }
            LimitOver::WrongLoop(wrong) => wrong.fmt(f),
        }
    }
}

impl std::error::Error for LimitOver {}

impl TimeLimit {
    /// When the time is up; `None` for never, and away from its loop.
    pub fn when(&self) -> Option<LoopInstant> {
        self.state.get().ok()?.when.get()
    }

    /// Whether the time was up before the work was done. False away from its loop.
    pub fn expired(&self) -> bool {
        self.state
            .get()
            .is_ok_and(|state| matches!(state.stage.get(), Stage::Expiring | Stage::Expired))
    }

    /// Moves the limit; `None` takes it off. One that has passed expires at the next await.
    ///
    /// Errors: `LimitOver`, once the time was up or the scope has ended.
    ///
    /// ```
    /// use std::time::Duration;
    /// use loop_runtime::{sleep, time::now, timeout_scope};
    /// loop_runtime::run(async {
    ///     let done = timeout_scope(Duration::from_millis(1), |limit| async move {
    ///         limit.reschedule(now() + Duration::from_secs(60)).unwrap();
    ///         sleep(Duration::from_millis(5)).await;
    ///         limit.reschedule(None).unwrap();
    ///         "there was more time"
    ///     });
    ///     assert_eq!(done.await, Ok("there was more time"));
    /// })
    /// .unwrap();
    /// ```
    pub fn reschedule(&self, when: impl Into<Option<LoopInstant>>) -> Result<(), LimitOver> {
        let state = self.state.get().map_err(LimitOver::WrongLoop)?;
        match state.stage.get() {
            Stage::New | Stage::Active => {}
            Stage::Expiring | Stage::Expired => return Err(LimitOver::Expired),
            Stage::Over => return Err(LimitOver::Finished),
        }
        state.when.set(when.into());
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        Ok(())
    }
}

pin_project! {
    /// The future of `timeout_scope` and `timeout_scope_at`.
    #[must_use = "a limit that is not awaited does nothing"]
    pub struct TimeoutScope<F, B> {
        start: Option<F>,
        #[pin]
        body: Option<B>,
        limit: TimeLimit,
        entered: Option<LoopBound<Entered>>,
        sleep: Option<Sleep>,
        since: LoopInstant,
        // Raised what came from outside, and waits for its own end.
        raised: bool,
        place: &'static Location<'static>,
    }
}

/// Runs `body` for at most `limit` (`None`: for as long as it takes); then cancels it as a task is
/// cancelled: where it waits, and through `catch_cancel`, so that its clean-up may await.
///
/// The body is given its limit, to move it or to ask whether it has expired. A value that it
/// returns wins over a limit that has passed; the limit is looked at whenever the body waits, so
/// zero ends it at its first await that is not ready. Of scopes inside each other that expire at
/// the same time only the outermost gives `Elapsed`.
///
/// Errors: `Elapsed`.
/// Panics: made or polled where no loop, or another one, runs.
/// Cancel: a cancel from outside goes through the body and then on: it is never told as `Elapsed`.
/// Records: as `sleep`, with the kind `timeout`.
/// Source: asyncio's `async with timeout()`; `timeout` is the one that drops.
///
/// ```
/// use std::time::Duration;
/// use loop_runtime::{catch_cancel, sleep, timeout_scope, yield_now};
/// loop_runtime::run(async {
///     let slow = timeout_scope(Duration::from_millis(1), |_limit| async {
///         if let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(3600))).await {
///             yield_now().await; // Clean-up.
///             cancelled.propagate().await;
///         }
///     });
///     assert!(slow.await.is_err());
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn timeout_scope<F, B>(limit: impl Into<Option<Duration>>, body: F) -> TimeoutScope<F, B>
where
    F: FnOnce(TimeLimit) -> B,
    B: Future,
{
    let place = Location::caller();
    let now = crate::time::now();
    scope(limit.into().map(|limit| now + limit), body, place)
}

/// As `timeout_scope`, with a moment for the limit.
///
/// ```
/// use std::time::Duration;
/// use loop_runtime::{sleep, time::now, timeout_scope_at};
/// loop_runtime::run(async {
///     let passed = now() - Duration::from_secs(1);
///     assert!(timeout_scope_at(passed, |_| sleep(Duration::ZERO)).await.is_err());
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn timeout_scope_at<F, B>(when: impl Into<Option<LoopInstant>>, body: F) -> TimeoutScope<F, B>
where
    F: FnOnce(TimeLimit) -> B,
    B: Future,
{
    scope(when.into(), body, Location::caller())
}

#[track_caller]
fn scope<F, B>(
    when: Option<LoopInstant>,
    body: F,
    place: &'static Location<'static>,
) -> TimeoutScope<F, B> {
    let (id, since) =
        context::expect(|organs| (organs.record.id, LoopInstant::from_nanos(organs.now())));
    let state = State {
        when: Cell::new(when),
        stage: Cell::new(Stage::New),
        waker: Cell::new(None),
    };
    TimeoutScope {
        start: Some(body),
        body: None,
        limit: TimeLimit {
            state: Arc::new(LoopBound::new(id, state)),
        },
        entered: None,
        sleep: None,
        since,
        raised: false,
        place,
    }
}

impl<F, B> Future for TimeoutScope<F, B>
where
    F: FnOnce(TimeLimit) -> B,
    B: Future,
{
    type Output = Result<B::Output, Elapsed>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let away =
            |wrong: WrongLoop| -> ! { panic!("a limit was polled away from its loop: {wrong}") };
        let state = this.limit.state.get().unwrap_or_else(|wrong| away(wrong));
        if *this.raised {
            record::waiting(WaitingOn::new(On::Turn, 0), Location::caller());
            return Poll::Pending;
        }
        let organs = context::current().unwrap_or_else(|error| panic!("{error}"));
        let executor = &organs.executor;
        let entered = this.entered.get_or_insert_with(|| {
            LoopBound::new(organs.record.id, Entered(executor.enter_scope()))
        });
        let scope = entered.get().unwrap_or_else(|wrong| away(wrong)).0;
        let first = this.start.is_some();
        if let Some(start) = this.start.take() {
            state.stage.set(Stage::Active);
            let body = start(this.limit.clone());
            this.body.set(Some(body));
        }
        // The body has the first word: even a limit of zero lets it run to its first await.
        let mut looked = state.when.get();
        let mut due = is_due(looked, this.sleep, this.place, organs.record.id, cx);
        if due && !first && state.stage.get() == Stage::Active {
            state.stage.set(Stage::Expiring);
            executor.cut(scope);
        }
        loop {
            if let Some(hit) = executor.scopes().take_hit(scope) {
                executor.delivering(|| this.body.set(None));
                *this.entered = None;
                *this.sleep = None;
                let own = hit.cut == scope.id();
                if hit.asked || !own {
                    state.stage.set(match state.stage.get() {
                        Stage::Expiring => Stage::Expired,
                        _ => Stage::Over,
                    });
                    let outside = Hit {
                        cut: if own { 0 } else { hit.cut },
                        ..hit
                    };
                    executor.raise(outside, true);
                    *this.raised = true;
                    record::waiting(WaitingOn::new(On::Turn, 0), Location::caller());
                    return Poll::Pending;
                }
                state.stage.set(Stage::Expired);
                let when = state.when.get().unwrap_or(LoopInstant::FAR);
                return Poll::Ready(Err(Elapsed {
                    after: when.duration_since(*this.since),
                }));
            }
            let body = this.body.as_mut().as_pin_mut();
            let body = body.expect("a limit is not polled after it ended");
            if let Poll::Ready(value) = executor.poll_in_scope(scope, cx, |cx| body.poll(cx)) {
                this.body.set(None);
                *this.entered = None;
                *this.sleep = None;
                state.stage.set(match state.stage.get() {
                    Stage::Expiring => Stage::Expired,
                    _ => Stage::Over,
                });
                return Poll::Ready(Ok(value));
            }
            if state.when.get() != looked {
                looked = state.when.get();
                due = is_due(looked, this.sleep, this.place, organs.record.id, cx);
            }
            if due && state.stage.get() == Stage::Active {
                state.stage.set(Stage::Expiring);
                executor.cut(scope);
            }
            // Cut itself, or raised to by a scope inside.
            if !executor.scopes().is_hit(scope) {
                let old = state.waker.replace(Some(cx.waker().clone()));
                drop(old);
                return Poll::Pending;
            }
        }
    }
}

/// Sets the timer to `when`; tells whether that has passed.
#[track_caller]
fn is_due(
    when: Option<LoopInstant>,
    sleep: &mut Option<Sleep>,
    place: &'static Location<'static>,
    id: crate::id::LoopId,
    cx: &mut Context<'_>,
) -> bool {
    let Some(when) = when else {
        *sleep = None;
        return false;
    };
    let sleep = sleep.get_or_insert_with(|| Sleep::limit(id, when, place));
    // On its own loop: the scope has looked.
    if sleep.deadline() != when && sleep.reset(when).is_err() {
        return false;
    }
    matches!(sleep.try_poll(cx), Poll::Ready(Ok(())))
}
