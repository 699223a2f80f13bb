//! `yield_now`: gives everybody else that is ready a turn. `pending`: never goes on.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::record;
use crate::record::task::{On, WaitingOn};

/// The future of `yield_now`.
#[derive(Debug, Default)]
#[must_use = "a yield that is not awaited lets nobody run"]
pub struct YieldNow {
    yielded: bool,
}

/// Lets every task that is ready run once before this one goes on.
///
/// Source: asyncio's `sleep(0)`.
///
/// ```
/// loop_runtime::run(async {
///     loop_runtime::yield_now().await;
/// })
/// .unwrap();
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        record::waiting(WaitingOn::new(On::Turn, 0), Location::caller());
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The future of `pending`.
#[derive(Debug)]
#[must_use = "it waits when it is awaited"]
pub struct Pending<T> {
    output: PhantomData<fn() -> T>,
}

/// Waits for ever, as a task does that is there to be cancelled.
///
/// Unlike `std::future::pending` it says so: a task that is held and waits for it is no finding.
/// One that nobody holds is `stranded` all the same.
/// Records: that the task waits for ever, and where.
///
/// ```
/// loop_runtime::run(async {
///     let task = loop_runtime::create_task(loop_runtime::pending::<()>());
///     loop_runtime::yield_now().await;
///     task.cancel();
///     assert!(task.await.is_err());
/// })
/// .unwrap();
/// ```
pub fn pending<T>() -> Pending<T> {
    Pending {
        output: PhantomData,
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        record::waiting(WaitingOn::new(On::Forever, 0), Location::caller());
        Poll::Pending
    }
}
