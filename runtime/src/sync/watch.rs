//! A value that many watch: each sees the latest, and may miss those before it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use super::asking::{Ask, Asking};
use super::home::{Home, at_home, here, send_home};
use super::resource::Resource;
use super::sending::{Channel, Closed, Closes, Counted};
use super::waiters::{Left, Waiters};
use crate::context;
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};

struct Shared<T: Send + Sync + 'static> {
    /// Senders, and values of theirs that are on their way from other threads.
    senders: AtomicUsize,
    receivers: AtomicUsize,
    bound: LoopBound<State<T>>,
}

impl<T: Send + Sync + 'static> Home for Shared<T> {
    type State = State<T>;

    #[inline]
    fn bound(&self) -> &LoopBound<State<T>> {
        &self.bound
    }
}

impl<T: Send + Sync + 'static> Channel for Shared<T> {
    fn senders(&self) -> &AtomicUsize {
        &self.senders
    }

    fn end(state: &State<T>) {
        state.end();
    }
}

impl<T: Send + Sync + 'static> Closes for Shared<T> {
    fn closers(state: &State<T>) -> &Waiters {
        &state.closers
    }

    fn row(state: &State<T>) -> &Resource {
        &state.row
    }

    fn is_closed(&self, _state: &State<T>) -> bool {
        self.receivers.load(Ordering::Relaxed) == 0
    }

    fn seen(state: &State<T>) {
        state.seen();
    }
}

struct State<T> {
    /// Shared with who reads it, so that nobody who holds on to it is in the way of the next.
    value: RefCell<Arc<T>>,
    /// How often it was sent.
    version: Cell<u64>,
    /// No sender is left.
    ended: Cell<bool>,
    line: Waiters,
    closers: Waiters,
    row: Resource,
}

impl<T> State<T> {
    fn latest(&self) -> Arc<T> {
        self.value.borrow().clone()
    }

    fn set(&self, value: Arc<T>) -> Arc<T> {
        let old = self.value.replace(value);
        self.version.set(self.version.get() + 1);
        self.row.used();
        self.wake();
        old
    }

    fn wake(&self) {
        if self.line.grant_all(|_| 0) > 0 {
            self.seen();
        }
    }

    fn end(&self) {
        self.ended.set(true);
        self.row.mark(state::SET, true);
        self.wake();
    }

    fn abandoned(&self) {
        if self.closers.grant_all(|_| 0) > 0 {
            self.seen();
        }
    }

    fn seen(&self) {
        let lines = [&self.line, &self.closers];
        let first = lines.iter().find(|line| !line.is_empty());
        let waiters = lines.iter().map(|line| line.len()).sum();
        self.row
            .waited_for(first.map_or(0, |line| line.first_task()), waiters);
    }
}

/// A value of the running loop that receivers watch, and its sender, which works on every thread.
///
/// Panics: no loop runs on this thread.
/// Records: a resource of kind channel, with who waits for a change and how often there was one.
///
/// ```
/// use loop_runtime::sync::watch;
/// loop_runtime::run(async {
///     let (sender, mut receiver) = watch::channel("starting");
///     std::thread::spawn(move || sender.send("ready").unwrap());
///     receiver.changed().await.unwrap();
///     assert_eq!(*receiver.borrow(), "ready");
///     assert!(receiver.changed().await.is_err()); // The sender is gone.
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn channel<T: Send + Sync + 'static>(value: T) -> (Sender<T>, Receiver<T>) {
    made("", value, Location::caller())
}

/// As `channel`, with a name for the screen. Names are kept for ever: use few.
#[track_caller]
pub fn named<T: Send + Sync + 'static>(name: &str, value: T) -> (Sender<T>, Receiver<T>) {
    made(name, value, Location::caller())
}

#[track_caller]
fn made<T: Send + Sync + 'static>(
    name: &str,
    value: T,
    place: &'static Location<'static>,
) -> (Sender<T>, Receiver<T>) {
    let shared = context::expect(|organs| {
        let state = State {
            value: RefCell::new(Arc::new(value)),
            version: Cell::new(0),
            ended: Cell::new(false),
            line: Waiters::new(),
            closers: Waiters::new(),
            row: Resource::new(organs, Kind::Channel, name, place),
        };
        Arc::new(Shared {
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            bound: LoopBound::new(organs.record.id, state),
        })
    });
    let receiver = Receiver {
        shared: shared.clone(),
        seen: 0,
    };
    let share = Counted::first(shared);
    (Sender { share }, receiver)
}

/// The end that changes the value. Works on every thread; a clone changes the same value.
pub struct Sender<T: Send + Sync + 'static> {
    share: Counted<Shared<T>>,
}

impl<T: Send + Sync> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            share: self.share.clone(),
        }
    }
}

impl<T: Send + Sync> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Sender")
            .field("loop", &self.share.channel().bound.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync> Sender<T> {
    /// Changes the value and wakes who waits for that. Any thread; elsewhere the loop does it when
    /// it takes what other threads sent.
    ///
    /// Errors: `SendError`, with the value, if there is no receiver or the loop is closed.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        if let Ok(state) = self.share.channel().bound.get() {
            drop(state.set(Arc::new(value)));
            return Ok(());
        }
        let sender = self.clone();
        let sent = send_home(self.share.channel(), value, move |state, value| {
            drop(state.set(Arc::new(value)));
            drop(sender);
        });
        sent.map_err(SendError)
    }

    /// Changes the value, also if there is no receiver, and gives the one before.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn send_replace(&self, value: T) -> Arc<T> {
        here(self.share.channel(), "channel").set(Arc::new(value))
    }

    /// Changes the value in place, also if there is no receiver. Clones it first if somebody holds
    /// on to it.
    ///
    /// Panics: called away from its loop.
    ///
    /// ```
    /// # use loop_runtime::sync::watch;
    /// # loop_runtime::run(async {
    /// let (sender, receiver) = watch::channel(1);
    /// let before = receiver.borrow();
    /// sender.send_modify(|value| *value += 1);
    /// assert_eq!((*before, *receiver.borrow()), (1, 2));
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn send_modify(&self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        let state = here(self.share.channel(), "channel");
        // A copy of the handle, so that `change` may look at the value too.
        let mut value = state.latest();
        change(Arc::make_mut(&mut value));
        drop(state.set(value));
    }

    /// The latest value.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn borrow(&self) -> Arc<T> {
        here(self.share.channel(), "channel").latest()
    }

    /// One more receiver, that has seen the latest value.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = here(self.share.channel(), "channel").version.get();
        self.share
            .channel()
            .receivers
            .fetch_add(1, Ordering::Relaxed);
        Receiver {
            shared: self.share.channel().clone(),
            seen,
        }
    }

    /// How many receivers there are. Any thread.
    pub fn receiver_count(&self) -> usize {
        self.share.channel().receivers.load(Ordering::Relaxed)
    }

    /// Whether there is no receiver. Any thread.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver.
    ///
    /// Panics: polled away from its loop.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Asking::new(self.share.channel(), Closed::new())
    }
}

/// The end that sees the value, on its own loop. A clone has seen what this one has.
pub struct Receiver<T: Send + Sync + 'static> {
    shared: Arc<Shared<T>>,
    /// The version that was seen last.
    seen: u64,
}

impl<T: Send + Sync> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: self.shared.clone(),
            seen: self.seen,
        }
    }
}

impl<T: Send + Sync> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = at_home(&self.shared, State::abandoned);
        }
    }
}

impl<T: Send + Sync> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Receiver")
            .field("loop", &self.shared.bound.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync> Receiver<T> {
    /// Waits until there is a value that this one has not seen, and has seen it then.
    ///
    /// Errors: `RecvError`, once no sender is left and the last value was seen.
    /// Panics: polled away from its loop.
    /// Cancel: dropping it leaves the value unseen.
    pub fn changed(&mut self) -> impl Future<Output = Result<(), RecvError>> + Send + Unpin + '_ {
        let Self { shared, seen } = self;
        Asking::new(shared, Changed::of(seen))
    }

    /// Waits until `holds` says so of the value; asks it of the latest first. Gives that value.
    ///
    /// Errors: `RecvError`, once no sender is left and `holds` did not say so of the last value.
    /// Panics: polled away from its loop.
    ///
    /// ```
    /// # use loop_runtime::sync::watch;
    /// # loop_runtime::run(async {
    /// let (sender, mut receiver) = watch::channel(0);
    /// let task = loop_runtime::create_task(async move { *receiver.wait_for(|n| *n > 1).await.unwrap() });
    /// for n in 1..=2 {
    ///     sender.send(n).unwrap();
    ///     loop_runtime::yield_now().await;
    /// }
    /// assert_eq!(task.await.unwrap(), 2);
    /// # }).unwrap();
    /// ```
    pub fn wait_for<'a, F>(
        &'a mut self,
        holds: F,
    ) -> impl Future<Output = Result<Arc<T>, RecvError>> + Unpin + 'a
    where
        F: FnMut(&T) -> bool + Unpin + 'a,
    {
        let Self { shared, seen } = self;
        WaitFor {
            changed: Asking::new(shared, Changed::of(seen)),
            holds,
            asked: false,
        }
    }

    /// The latest value. What is held on to stays as it is.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn borrow(&self) -> Arc<T> {
        here(&self.shared, "channel").latest()
    }

    /// The latest value, which this one has seen from now on.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Arc<T> {
        let state = here(&self.shared, "channel");
        self.seen = state.version.get();
        state.latest()
    }

    /// Whether there is a value that this one has not seen.
    ///
    /// Errors: `RecvError`, if no sender is left.
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let state = here(&self.shared, "channel");
        match state.ended.get() {
            true => Err(RecvError),
            false => Ok(state.version.get() != self.seen),
        }
    }
}

struct Changed<'a, T> {
    seen: &'a mut u64,
    of: PhantomData<fn() -> T>,
}

impl<'a, T> Changed<'a, T> {
    fn of(seen: &'a mut u64) -> Self {
        let of = PhantomData;
        Self { seen, of }
    }

    fn look(&mut self, state: &State<T>) -> Option<Result<(), RecvError>> {
        let version = state.version.get();
        if *self.seen != version {
            *self.seen = version;
            return Some(Ok(()));
        }
        state.ended.get().then_some(Err(RecvError))
    }
}

impl<'a, T: Send + Sync + 'static> Ask<'a> for Changed<'a, T> {
    type Shared = Shared<T>;
    type Output = Result<(), RecvError>;
    const WHAT: &'static str = "channel";

    fn line(state: &State<T>) -> &Waiters {
        &state.line
    }

    fn resource(state: &State<T>) -> &Resource {
        &state.row
    }

    fn now(&mut self, _shared: &'a Arc<Shared<T>>, state: &State<T>) -> Option<Self::Output> {
        self.look(state)
    }

    fn granted(
        &mut self,
        _shared: &'a Arc<Shared<T>>,
        state: &State<T>,
        _word: usize,
    ) -> Option<Self::Output> {
        self.look(state)
    }

    fn seen(state: &State<T>) {
        state.seen();
    }

    fn left(state: &State<T>, _left: Left) {
        state.seen();
    }
}

struct WaitFor<'a, T: Send + Sync + 'static, F> {
    changed: Asking<'a, Changed<'a, T>>,
    holds: F,
    /// Whether the value was asked of before.
    asked: bool,
}

impl<T: Send + Sync, F: FnMut(&T) -> bool + Unpin> Future for WaitFor<'_, T, F> {
    type Output = Result<Arc<T>, RecvError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.asked, true) {
            let state = here(this.changed.shared(), "channel");
            *this.changed.ask.seen = state.version.get();
            let value = state.latest();
            if (this.holds)(&value) {
                return Poll::Ready(Ok(value));
            }
        }
        loop {
            match Pin::new(&mut this.changed).poll(cx) {
                Poll::Ready(Ok(())) => {
                    let value = here(this.changed.shared(), "channel").latest();
                    if (this.holds)(&value) {
                        return Poll::Ready(Ok(value));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// There is no receiver, or its loop is closed; gives the value back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody watches: there is no receiver, or its loop is closed; `send_replace` changes the value all the same")
    }
}

impl<T> std::error::Error for SendError<T> {}

/// No sender is left, so the value will not change any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvError;

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no sender is left, so the value will not change any more; `borrow` still gives it",
        )
    }
}

impl std::error::Error for RecvError {}
