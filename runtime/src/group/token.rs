//! `CancellationToken`: one flag that says stop, for code that asks rather than being cut.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context;
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};
use crate::sync::asking::{Ask, Asking};
use crate::sync::home::{Home, at_home};
use crate::sync::resource::Resource;
use crate::sync::waiters::{Left, Waiters};

struct Node {
    cancelled: AtomicBool,
    home: LoopBound<State>,
}

struct State {
    /// Told already: who waits, and the children.
    told: Cell<bool>,
    line: Waiters,
    children: RefCell<Vec<Weak<Node>>>,
    row: Resource,
}

impl Home for Node {
    type State = State;

    fn bound(&self) -> &LoopBound<State> {
        &self.home
    }
}

impl State {
    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
    }

    /// Tells everybody, children first in line after those who wait here.
    fn tell(&self) {
        let mut next = vec![self.told()];
        while let Some(children) = next.pop() {
            for child in children.iter().filter_map(Weak::upgrade) {
                child.cancelled.store(true, Ordering::Release);
                // A child lives on its parent's loop.
                if let Ok(state) = child.home.get() {
                    next.push(state.told());
                }
            }
        }
    }

    fn told(&self) -> Vec<Weak<Node>> {
        if self.told.replace(true) {
            return Vec::new();
        }
        self.row.mark(state::SET, true);
        self.line.grant_all(|_| 0);
        self.seen();
        self.row.level(0);
        self.children.take()
    }
}

/// Says stop to whoever looks: tasks that wait for it or ask it, and the tokens made from it.
///
/// Where `Task::cancel` cuts a task at whatever it awaits, a token is looked at where the code
/// chooses to. A clone is the same token; a child is cancelled with its parent and can be
/// cancelled alone. Cancelling and asking work on every thread, waiting on its loop.
///
/// Records: a resource of kind event, with whether it is set, who waits and how many children it
/// has.
/// Source: tokio-util's `CancellationToken`.
///
/// ```
/// use loop_runtime::{CancellationToken, create_task};
/// loop_runtime::run(async {
///     let stop = CancellationToken::new();
///     let child = stop.child_token();
///     let worker = create_task(async move {
///         let work = std::future::pending::<()>();
///         child.run_until_cancelled(work).await
///     });
///     stop.cancel();
///     assert_eq!(worker.await.unwrap(), None);
/// })
/// .unwrap();
/// ```
#[derive(Clone)]
pub struct CancellationToken {
    shared: Arc<Node>,
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken")
            .field("cancelled", &self.is_cancelled())
            .field("loop", &self.shared.home.made_on())
            .finish_non_exhaustive()
    }
}

impl Default for CancellationToken {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl CancellationToken {
    /// A token of the running loop that is not cancelled.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new() -> Self {
        Self::named("")
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str) -> Self {
        Self::made(name, Location::caller())
    }

    #[track_caller]
    fn made(name: &str, place: &'static Location<'static>) -> Self {
        let home = context::expect(|organs| {
            let state = State {
                told: Cell::new(false),
                line: Waiters::new(),
                children: RefCell::default(),
                row: Resource::new(organs, Kind::Event, name, place),
            };
            LoopBound::new(organs.record.id, state)
        });
        Self {
            shared: Arc::new(Node {
                cancelled: AtomicBool::new(false),
                home,
            }),
        }
    }

    /// A token that is cancelled with this one, and can be cancelled without it.
    ///
    /// Panics: called away from the token's loop.
    #[track_caller]
    pub fn child_token(&self) -> Self {
        let state = crate::sync::home::here(&self.shared, "token");
        let child = Self::made("", Location::caller());
        if self.is_cancelled() {
            child.cancel();
            return child;
        }
        let mut children = state.children.borrow_mut();
        if children.len() == children.capacity() {
            // Before it grows: those that are gone make room.
            children.retain(|child| child.strong_count() > 0);
        }
        children.push(Arc::downgrade(&child.shared));
        state.row.level(children.len());
        drop(children);
        child
    }

    /// Cancels it and all its children: who asks knows at once, who waits goes on. Any thread.
    #[track_caller]
    pub fn cancel(&self) {
        if self.shared.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        // A closed loop has nobody who waits.
        let _ = at_home(&self.shared, State::tell);
    }

    /// Whether it was cancelled. Any thread; a child of a token that was cancelled on another
    /// thread follows when its loop has heard of it.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Acquire)
    }

    /// Waits until it is cancelled; returns at once if it is.
    ///
    /// Panics: polled away from its loop.
    /// Cancel: loses nothing; a token stays cancelled.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Asking::new(&self.shared, Cancelled)
    }

    /// Awaits `future`, or drops it once the token is cancelled: then `None`. A future that is
    /// done wins.
    ///
    /// Panics: polled away from its loop.
    pub fn run_until_cancelled<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + use<'_, F> {
        UntilCancelled {
            future,
            token: Asking::new(&self.shared, Cancelled),
        }
    }

    /// Cancels the token when it is dropped.
    ///
    /// ```
    /// use loop_runtime::CancellationToken;
    /// loop_runtime::run(async {
    ///     let token = CancellationToken::new();
    ///     drop(token.clone().drop_guard());
    ///     assert!(token.is_cancelled());
    /// })
    /// .unwrap();
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }
}

/// Cancels its token when dropped; made by `CancellationToken::drop_guard`.
#[derive(Debug)]
#[must_use = "a guard that is dropped at once cancels at once"]
pub struct DropGuard {
    token: Option<CancellationToken>,
}

impl DropGuard {
    /// Gives the token back, uncancelled.
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("a guard has its token until here")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            token.cancel();
        }
    }
}

struct Cancelled;

impl<'a> Ask<'a> for Cancelled {
    type Shared = Node;
    type Output = ();
    const WHAT: &'static str = "token";

    fn line(state: &State) -> &Waiters {
        &state.line
    }

    fn resource(state: &State) -> &Resource {
        &state.row
    }

    fn now(&mut self, shared: &'a Arc<Node>, _state: &State) -> Option<()> {
        shared.cancelled.load(Ordering::Acquire).then_some(())
    }

    fn granted(&mut self, _shared: &'a Arc<Node>, _state: &State, _word: usize) -> Option<()> {
        Some(())
    }

    fn seen(state: &State) {
        state.seen();
    }

    fn left(state: &State, _left: Left) {
        state.seen();
    }
}

pin_project! {
    struct UntilCancelled<'a, F> {
        #[pin]
        future: F,
        token: Asking<'a, Cancelled>,
    }
}

impl<F: Future> Future for UntilCancelled<'_, F> {
    type Output = Option<F::Output>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Some(value));
        }
        Pin::new(this.token).poll(cx).map(|()| None)
    }
}
