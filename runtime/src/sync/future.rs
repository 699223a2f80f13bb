//! `create_future`: a promise and the future that waits for it.
//!
//! A promise that is dropped unset is an error at the other end, where asyncio hangs.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};

use super::resource::Resource;
use crate::context::{self, allowance};
use crate::record;
use crate::record::bound::{LoopBound, WrongLoop};
use crate::record::resource::{Kind, state};

/// Why a future has no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FutureError {
    /// The promise was dropped before it was kept: nobody can set the value any more.
    BrokenPromise,
    /// `cancel` was called on either end.
    Cancelled,
    /// The value was taken by an earlier await.
    Taken,
    /// It was awaited away from its loop.
    WrongLoop(WrongLoop),
}

impl fmt::Display for FutureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FutureError::BrokenPromise => {
                f.write_str("the promise was dropped without a result; whoever makes it must call `set_result` or `cancel` on every path")
            }
            FutureError::Cancelled => f.write_str("the future was cancelled"),
            FutureError::Taken => f.write_str("the future's value was taken before; keep it where it was received"),
            FutureError::WrongLoop(wrong) => wrong.fmt(f),
        }
    }
}

impl std::error::Error for FutureError {}

/// The future is done already, so it cannot be set; gives the value back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InvalidState<T> {
    /// What was to be set.
    pub value: T,
    /// Set if the reason is another thread's loop rather than a future that is done.
    pub wrong_loop: Option<WrongLoop>,
}

impl<T> fmt::Debug for InvalidState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidState")
            .field("wrong_loop", &self.wrong_loop)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for InvalidState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wrong_loop {
            Some(wrong) => wrong.fmt(f),
            None => f.write_str("the future is done already: its result was set, it was cancelled, or nobody waits for it any more"),
        }
    }
}

impl<T> std::error::Error for InvalidState<T> {}

enum Stage<T> {
    Pending(Option<Waker>),
    Set(T),
    Cancelled,
    Broken,
    Taken,
}

struct Inner<T> {
    stage: RefCell<Stage<T>>,
    row: Resource,
}

impl<T> Inner<T> {
    /// Ends the waiting, if it has not ended.
    fn end(&self, with: Stage<T>, bits: u8) -> Result<(), Stage<T>> {
        let mut stage = self.stage.borrow_mut();
        let Stage::Pending(waker) = &mut *stage else {
            return Err(with);
        };
        let waker = waker.take();
        *stage = with;
        drop(stage);
        self.row
            .state(|row| row.state.store(bits, Ordering::Relaxed));
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

type Shared<T> = Arc<LoopBound<Inner<T>>>;

/// The end that sets the value. Dropping it unset breaks it.
pub struct Promise<T: Send + 'static> {
    shared: Shared<T>,
}

/// The end that waits.
#[must_use = "a future that is not awaited does not wait"]
pub struct LoopFuture<T: Send + 'static> {
    shared: Shared<T>,
    place: &'static Location<'static>,
}

impl<T: Send> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send> fmt::Debug for LoopFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopFuture")
            .field("loop", &self.shared.made_on())
            .field("made_at", &self.place)
            .finish_non_exhaustive()
    }
}

/// A promise, and the future that waits for it; both belong to the running loop.
///
/// Panics: no loop runs on this thread.
/// Records: a resource of kind future, with who made it and who waits; that its promise was
/// dropped, if so.
/// Source: asyncio's `loop.create_future()`.
///
/// ```
/// loop_runtime::run(async {
///     let (promise, future) = loop_runtime::create_future::<u32>();
///     drop(promise);
///     assert_eq!(future.await, Err(loop_runtime::FutureError::BrokenPromise));
/// })
/// .unwrap();
/// ```
#[doc(alias = "oneshot")]
#[track_caller]
pub fn create_future<T: Send + 'static>() -> (Promise<T>, LoopFuture<T>) {
    let place = Location::caller();
    let inner = context::expect(|organs| {
        let inner = Inner {
            stage: RefCell::new(Stage::Pending(None)),
            row: Resource::new(organs, Kind::Future, "", place),
        };
        LoopBound::new(organs.record.id, inner)
    });
    let shared = Arc::new(inner);
    (
        Promise {
            shared: shared.clone(),
        },
        LoopFuture { shared, place },
    )
}

impl<T: Send> Promise<T> {
    /// Sets the value and wakes who waits.
    ///
    /// Errors: `InvalidState`, with the value, if the future is done or this is another thread.
    pub fn set_result(self, value: T) -> Result<(), InvalidState<T>> {
        match self.shared.get() {
            Ok(inner) => inner
                .end(Stage::Set(value), state::SET)
                .map_err(|back| match back {
                    Stage::Set(value) => InvalidState {
                        value,
                        wrong_loop: None,
                    },
                    _ => unreachable!("`end` gives back what it was given"),
                }),
            Err(wrong) => Err(InvalidState {
                value,
                wrong_loop: Some(wrong),
            }),
        }
    }

    /// Has who waits find `Cancelled`. Tells whether it was still pending.
    pub fn cancel(self) -> bool {
        self.shared
            .get()
            .is_ok_and(|inner| inner.end(Stage::Cancelled, state::SET).is_ok())
    }

    /// Whether nobody holds the future any more, so that setting it is of no use.
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

impl<T: Send> Drop for Promise<T> {
    fn drop(&mut self) {
        match self.shared.get() {
            Ok(inner) => {
                let _ = inner.end(Stage::Broken, state::BROKEN);
            }
            Err(wrong) => {
                // Elsewhere: the loop breaks it, in order with what else was sent there.
                let shared = self.shared.clone();
                let errand = move || {
                    if let Ok(inner) = shared.get() {
                        let _ = inner.end(Stage::Broken, state::BROKEN);
                    }
                };
                let _ = record::bound::send(wrong.made_on, Box::new(errand));
            }
        }
    }
}

impl<T: Send> LoopFuture<T> {
    /// Has the waiting end with `Cancelled`. Tells whether it was still pending.
    pub fn cancel(&self) -> bool {
        self.shared
            .get()
            .is_ok_and(|inner| inner.end(Stage::Cancelled, state::SET).is_ok())
    }

    /// Whether it has a value, was cancelled or broken; false on another thread.
    pub fn done(&self) -> bool {
        self.shared
            .get()
            .is_ok_and(|inner| !matches!(*inner.stage.borrow(), Stage::Pending(_)))
    }
}

impl<T: Send> Drop for LoopFuture<T> {
    fn drop(&mut self) {
        // Who waited must not look as if the promise could wake it. Elsewhere the waker stays until
        // the promise ends: it is the loop's to touch.
        let Ok(inner) = self.shared.get() else { return };
        let waker = match &mut *inner.stage.borrow_mut() {
            Stage::Pending(waker) => waker.take(),
            _ => None,
        };
        if waker.is_some() {
            inner.row.waited_for(0, 0);
        }
        drop(waker);
    }
}

impl<T: Send> Future for LoopFuture<T> {
    type Output = Result<T, FutureError>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = match self.shared.get() {
            Ok(inner) => inner,
            Err(wrong) => return Poll::Ready(Err(FutureError::WrongLoop(wrong))),
        };
        let mut stage = inner.stage.borrow_mut();
        if let Stage::Pending(waker) = &mut *stage {
            let old = match waker {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                waker => waker.replace(cx.waker().clone()),
            };
            drop(stage);
            drop(old);
            record::waiting(inner.row.on(), Location::caller());
            inner.row.waited_for(record::current_task(), 1);
            inner.row.kept_in(&self.shared);
            return Poll::Pending;
        }
        drop(stage);
        ready!(allowance::proceed(cx, Location::caller()));
        Poll::Ready(match inner.stage.replace(Stage::Taken) {
            Stage::Set(value) => Ok(value),
            Stage::Cancelled => Err(FutureError::Cancelled),
            Stage::Broken => Err(FutureError::BrokenPromise),
            Stage::Taken | Stage::Pending(_) => Err(FutureError::Taken),
        })
    }
}
