//! The `.await` of the app around an async function of this crate.
//!
//! Such a function awaits in its own source, which is no place that a list should show. What it is
//! wrapped in knows where it is awaited itself, and says so after what lies within. Knows no leaf.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::current;

pin_project! {
    pub(crate) struct Outer<F> {
        #[pin]
        within: F,
    }
}

/// `within`, an async function's body, as what is awaited where this is.
pub(crate) fn outer<F: Future>(within: F) -> Outer<F> {
    Outer { within }
}

impl<F: Future> Future for Outer<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let place = Location::caller();
        let polled = self.project().within.poll(cx);
        if polled.is_pending() {
            current::here_row(|_, row| row.waits_at(place));
        }
        polled
    }
}
