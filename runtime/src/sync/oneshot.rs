//! A channel for one value: `create_future` with a sender that works on every thread.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::home::{Home, at_home, away, here, send_home};
use super::resource::RowOnDemand;
use super::seat::Seat;
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};

/// Where the value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pending,
    Sent,
    /// The sender was dropped, or the value was taken.
    Over,
}

struct State<T> {
    stage: Cell<Stage>,
    value: Cell<Option<T>>,
    /// The receiver is gone or takes nothing more.
    closed: Cell<bool>,
    receiver: Seat,
    /// The sender, while it waits for the receiver to go.
    /// Made when it waits.
    closer: OnceCell<Box<Seat>>,
    row: RowOnDemand,
}

impl<T> State<T> {
    #[inline]
    fn send(&self, value: T) -> Result<(), T> {
        if self.closed.get() {
            return Err(value);
        }
        self.value.set(Some(value));
        self.end(Stage::Sent, state::SET);
        Ok(())
    }

    #[inline]
    fn end(&self, stage: Stage, bit: u8) {
        self.stage.set(stage);
        if let Some(row) = self.row.get() {
            row.used();
            row.mark(bit, true);
        }
        if self.receiver.wake() {
            self.seen();
        }
    }

    fn sender_dropped(&self) {
        if self.stage.get() == Stage::Pending {
            self.end(Stage::Over, state::BROKEN);
        }
    }

    #[inline]
    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        if self.closer.get().is_some_and(|closer| closer.wake()) {
            self.seen();
        }
    }

    #[inline]
    fn take(&self) -> Option<Result<T, RecvError>> {
        match self.stage.get() {
            Stage::Sent => {
                self.stage.set(Stage::Over);
                self.value.take().map(Ok)
            }
            Stage::Over => Some(Err(RecvError)),
            Stage::Pending if self.closed.get() => Some(Err(RecvError)),
            Stage::Pending => None,
        }
    }

    fn seen(&self) {
        let Some(row) = self.row.get() else { return };
        let closer = self.closer.get().filter(|closer| !closer.is_empty());
        let waiters = usize::from(!self.receiver.is_empty()) + usize::from(closer.is_some());
        let first = match self.receiver.task() {
            0 => closer.map_or(0, |closer| closer.task()),
            receiver => receiver,
        };
        row.waited_for(first, waiters);
    }
}

type Shared<T> = Arc<LoopBound<State<T>>>;

/// A sender for one value, and the receiver that waits for it; both belong to the running loop,
/// and the sender works on every thread.
///
/// Panics: no loop runs on this thread.
/// Records: a resource of kind channel, from the first wait on, with who waits; that its sender was
/// dropped, if so. One that nobody ever waited for is not listed.
///
/// ```
/// loop_runtime::run(async {
///     let (sender, receiver) = loop_runtime::sync::oneshot::channel();
///     std::thread::spawn(move || sender.send("from a thread"));
///     assert_eq!(receiver.await, Ok("from a thread"));
/// })
/// .unwrap();
/// ```
#[inline]
#[track_caller]
pub fn channel<T: Send + 'static>() -> (Sender<T>, Receiver<T>) {
    made("", Location::caller())
}

/// As `channel`, with a name for the screen. Names are kept for ever: use few.
#[track_caller]
pub fn named<T: Send + 'static>(name: &str) -> (Sender<T>, Receiver<T>) {
    made(name, Location::caller())
}

#[inline]
#[track_caller]
fn made<T: Send + 'static>(
    name: &str,
    place: &'static Location<'static>,
) -> (Sender<T>, Receiver<T>) {
    let shared = super::home::share(|organs| State {
        stage: Cell::new(Stage::Pending),
        value: Cell::new(None),
        closed: Cell::new(false),
        receiver: Seat::new(),
        closer: OnceCell::new(),
        row: RowOnDemand::new(organs, Kind::Channel, name, place),
    });
    let sender = Sender {
        shared: Some(shared.clone()),
    };
    (sender, Receiver { shared })
}

/// The end that sends. Dropping it unsent is an error at the other end.
pub struct Sender<T: Send + 'static> {
    /// There until it has sent.
    shared: Option<Shared<T>>,
}

impl<T: Send> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oneshot::Sender").finish_non_exhaustive()
    }
}

impl<T: Send> Sender<T> {
    fn shared(&self) -> &Shared<T> {
        self.shared
            .as_ref()
            .expect("a sender that has sent is used up")
    }

    /// Sends the value. Any thread; elsewhere the loop takes it with what other threads sent.
    ///
    /// Errors: the value, if the receiver is gone or its loop is closed. Elsewhere a receiver may
    /// go while the value is on its way, and the value with it.
    #[inline]
    #[track_caller]
    pub fn send(mut self, value: T) -> Result<(), T> {
        let Some(shared) = self.shared.take() else {
            return Err(value);
        };
        if let Ok(state) = shared.get() {
            return state.send(value);
        }
        send_home(&shared, value, |state, value| {
            // Its receiver may have gone while it was on its way.
            let _ = state.send(value);
        })
    }

    /// Whether nobody will receive what is sent.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        here(self.shared(), "channel").closed.get()
    }

    /// Waits until nobody will receive what is sent: then the work for it can stop.
    ///
    /// Panics: polled away from its loop.
    pub fn closed(&mut self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Closed {
            shared: self.shared(),
        }
    }
}

impl<T: Send> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let _ = at_home(&shared, State::sender_dropped);
        }
    }
}

struct Closed<'a, T: Send + 'static> {
    shared: &'a Shared<T>,
}

impl<T: Send> Future for Closed<'_, T> {
    type Output = ();

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let state = here(self.shared, "channel");
        if state.closed.get() {
            return Poll::Ready(());
        }
        let closer = state.closer.get_or_init(|| Box::new(Seat::new()));
        if closer.wait(state.row.demand(), Location::caller(), cx) {
            state.seen();
        }
        Poll::Pending
    }
}

impl<T: Send> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        // Elsewhere the waker stays until the receiver goes: it is the loop's to touch.
        if let Ok(state) = self.shared.get()
            && state.closer.get().is_some_and(|closer| closer.leave())
        {
            state.seen();
        }
    }
}

/// The end that waits for the value.
///
/// Cancel: dropping it tells the sender that nobody will receive.
#[must_use = "a receiver that is not awaited receives nothing"]
pub struct Receiver<T: Send + 'static> {
    shared: Shared<T>,
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oneshot::Receiver").finish_non_exhaustive()
    }
}

impl<T: Send> Receiver<T> {
    /// The value, if it was sent.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match here(&self.shared, "channel").take() {
            Some(Ok(value)) => Ok(value),
            Some(Err(RecvError)) => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Receives nothing more; what was sent before can still be taken.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn close(&mut self) {
        here(&self.shared, "channel").close();
    }
}

impl<T: Send> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = match self.shared.bound().get() {
            Ok(state) => state,
            Err(wrong) => away("channel", wrong),
        };
        if let Some(result) = state.take() {
            if state.receiver.leave() {
                state.seen();
            }
            return Poll::Ready(result);
        }
        let row = state.row.demand();
        if state.receiver.wait(row, Location::caller(), cx) {
            row.had_to_wait(&self.shared);
            state.seen();
        }
        Poll::Pending
    }
}

impl<T: Send> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        let _ = at_home(&self.shared, |state| {
            if state.receiver.leave() {
                state.seen();
            }
            state.close();
            // What nobody took goes with the receiver, not with the sender.
            if state.stage.get() == Stage::Sent {
                drop(state.value.take());
            }
        });
    }
}

/// The sender was dropped unsent, or the value was taken before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvError;

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender was dropped without sending, or the value was taken before; send on every path")
    }
}

impl std::error::Error for RecvError {}

/// Why `try_recv` gave no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Nothing was sent yet.
    Empty,
    /// The sender was dropped unsent, or the value was taken before.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("nothing was sent yet; await the receiver"),
            TryRecvError::Closed => RecvError.fmt(f),
        }
    }
}

impl std::error::Error for TryRecvError {}
