//! `yield_now`: gives everybody else that is ready a turn.

use std::future::Future;
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
