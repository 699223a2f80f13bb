//! `catch_cancel`: a scope that turns a cancel into a value, so that clean-up can await.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::clock;
use crate::context;
use crate::executor::{Hit, ScopeKey};
use crate::id::{LoopId, TaskId};
use crate::record::asked::By;
use crate::record::bound::{self, LoopBound};
use crate::record::task::{On, WaitingOn};
use crate::record::{self, LoopRecord};

/// A cancel that a scope caught.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cancelled {
    /// What was given to `cancel`.
    pub message: Option<String>,
    hit: Hit,
}

impl Cancelled {
    fn new(hit: Hit) -> Self {
        Self {
            message: hit.message.clone(),
            hit,
        }
    }

    /// Raises the cancel again, to the scope around this code or to the task; never completes.
    ///
    /// Ends whoever asked for it: the group or the timeout whose body this is in, or the task.
    /// While a sibling branch of a `join!` is still in a scope of its own, that one ends first.
    ///
    /// Source: asyncio's `raise`, in an `except CancelledError` block.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let task = loop_runtime::create_task(async {
    ///         let work = std::future::pending::<()>();
    ///         if let Err(cancelled) = loop_runtime::catch_cancel(work).await {
    ///             loop_runtime::yield_now().await; // Clean-up.
    ///             cancelled.propagate().await;
    ///         }
    ///     });
    ///     loop_runtime::yield_now().await;
    ///     task.cancel();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// })
    /// .unwrap();
    /// ```
    pub fn propagate(self) -> Propagate {
        Propagate {
            hit: Some(self.hit),
        }
    }
}

/// The future of `Cancelled::propagate`; is never ready.
#[derive(Debug)]
#[must_use = "a cancel is raised again by awaiting this"]
pub struct Propagate {
    hit: Option<Hit>,
}

impl Future for Propagate {
    type Output = std::convert::Infallible;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        record::waiting(WaitingOn::new(On::Turn, 0), Location::caller());
        if let Some(hit) = self.hit.take() {
            context::expect(|organs| organs.executor.raise(hit, true));
        }
        Poll::Pending
    }
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

/// Who asked a task to cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Canceller {
    /// A task or callback.
    Task(TaskId),
    /// The task that awaited it, when that was cancelled itself.
    Awaiter(TaskId),
    /// Code on a thread where no task ran, by the number of the thread.
    Thread(u64),
    /// Somebody at a console.
    Viewer,
    /// Ctrl-C.
    Interrupt,
    /// The end of its run.
    RunEnd,
}

impl Canceller {
    fn new(by: By) -> Self {
        let task = |id| TaskId::from_raw(id).expect("who asked ran, and so has an id");
        match by {
            By::Task(id) => Canceller::Task(task(id)),
            By::Awaiter(0) => Canceller::RunEnd,
            By::Awaiter(id) => Canceller::Awaiter(task(id)),
            By::Thread(id) => Canceller::Thread(id),
            By::Viewer => Canceller::Viewer,
            By::Interrupt => Canceller::Interrupt,
            By::RunEnd => Canceller::RunEnd,
        }
    }
}

/// What was asked of a task: the last request's words, and how many there were.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CancelRequest {
    /// Who asked.
    pub by: Canceller,
    /// Where `cancel` was called; `None` where no call in the app was.
    pub place: Option<&'static Location<'static>>,
    /// What was given to `cancel`, as far as it is kept: 256 bytes.
    pub message: Option<String>,
    /// Requests so far, those withdrawn by ones included.
    pub times: u32,
    /// How long ago the first was.
    pub ago: Duration,
}

impl CancelRequest {
    pub(super) fn of(record: &LoopRecord, task: u64) -> Option<Self> {
        let asked = record.requests.of(task)?;
        let ago = clock::ticks().saturating_sub(asked.first);
        Some(Self {
            by: Canceller::new(asked.by),
            place: asked.place,
            message: asked.message,
            times: asked.times,
            ago: Duration::from_nanos(clock::ticks_to_ns(ago)),
        })
    }
}

/// Has the loop `loop_id` ask one of its tasks to cancel, on behalf of what runs here. False if the
/// loop is closed.
#[track_caller]
pub(super) fn send(loop_id: LoopId, task: u64, message: Option<&str>) -> bool {
    let (by, place) = (By::here(), Location::caller());
    let message = message.map(str::to_owned);
    let errand = move || {
        let _ = context::with(|organs| {
            let executor = &organs.executor;
            executor.cancel_for(task, by, Some(place), message.as_deref())
        });
    };
    bound::send(loop_id, Box::new(errand)).is_ok()
}

/// A scope's place in the loop's table; leaves it when dropped.
pub(crate) struct Entered(pub(crate) ScopeKey);

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
        let executor = &organs.executor;
        let entered = this.entered.get_or_insert_with(|| {
            LoopBound::new(organs.record.id, Entered(executor.enter_scope()))
        });
        let scope = match entered.get() {
            Ok(entered) => entered.0,
            Err(wrong) => panic!("a scope was polled away from its loop: {wrong}"),
        };
        loop {
            if let Some(hit) = executor.scopes().take_hit(scope) {
                executor.delivering(|| this.future.set(None));
                *this.entered = None;
                return Poll::Ready(Err(Cancelled::new(hit)));
            }
            let future = this
                .future
                .as_mut()
                .as_pin_mut()
                .expect("a scope is not polled after it ended");
            match executor.poll_in_scope(scope, cx, |cx| future.poll(cx)) {
                Poll::Ready(output) => {
                    this.future.set(None);
                    *this.entered = None;
                    return Poll::Ready(Ok(output));
                }
                // What a scope inside raised meanwhile is caught now.
                Poll::Pending if executor.scopes().is_hit(scope) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
