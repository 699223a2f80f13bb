//! `catch_cancel`: a scope that turns a cancel into a value, so that clean-up can await.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context;
use crate::record;
use crate::record::bound::LoopBound;

/// A cancel that a scope caught.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cancelled {
    /// What was given to `cancel`.
    pub message: Option<String>,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Cancelled {}

/// A scope's place in the loop's table; leaves it when dropped.
struct Entered(u64);

impl Drop for Entered {
    fn drop(&mut self) {
        // No loop: it is closed, and its scopes are gone with it.
        let _ = context::with(|organs| organs.executor.scope_left(self.0));
    }
}

pin_project! {
    /// The future of `catch_cancel`.
    #[must_use = "a scope that is not awaited catches nothing"]
    pub struct CatchCancel<F> {
        #[pin]
        future: Option<F>,
        entered: Option<LoopBound<Entered>>,
    }
}

/// Awaits `future`; a cancel of the task that comes meanwhile drops `future` and is given as an
/// error, so that what follows can clean up, with awaits, and then end or go on.
///
/// The scope is active from its first poll until it ends or is dropped. A request goes to every
/// innermost active scope of the task: a branch of a `join!` that is in none goes on.
///
/// Errors: `Cancelled`.
/// Panics: polled where no loop runs.
/// Source: asyncio's `except CancelledError`.
///
/// ```
/// use std::time::Duration;
/// loop_runtime::run(async {
///     let task = loop_runtime::create_task(async {
///         let work = loop_runtime::sleep(Duration::from_secs(3600));
///         match loop_runtime::catch_cancel(work).await {
///             Ok(()) => "done",
///             Err(_) => {
///                 loop_runtime::sleep(Duration::from_millis(1)).await; // Clean-up may await.
///                 "cleaned up"
///             }
///         }
///     });
///     loop_runtime::yield_now().await;
///     task.cancel();
///     assert_eq!(task.await.unwrap(), "cleaned up");
/// })
/// .unwrap();
/// ```
pub fn catch_cancel<F: Future>(future: F) -> CatchCancel<F> {
    CatchCancel {
        future: Some(future),
        entered: None,
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let organs = context::current().unwrap_or_else(|error| panic!("{error}"));
        let scopes = organs.executor.scopes();
        let entered = this.entered.get_or_insert_with(|| {
            LoopBound::new(
                organs.record.id,
                Entered(scopes.enter(record::current_task())),
            )
        });
        let id = match entered.get() {
            Ok(entered) => entered.0,
            Err(wrong) => panic!("a scope was polled away from its loop: {wrong}"),
        };
        if let Some(message) = scopes.take_hit(id) {
            organs.executor.delivering(|| this.future.set(None));
            *this.entered = None;
            return Poll::Ready(Err(Cancelled { message }));
        }
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("a scope is not polled after it ended");
        let polled = scopes.polled(id, cx.waker(), || future.poll(cx));
        polled.map(|output| {
            this.future.set(None);
            *this.entered = None;
            Ok(output)
        })
    }
}
