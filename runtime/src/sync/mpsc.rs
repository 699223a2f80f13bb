//! A channel from many senders to one receiver, bounded or not.
//!
//! The items lie on the receiver's loop. Senders there put them directly; a sender on another
//! thread has the loop put them, in the order of sending.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_core::Stream;

use super::home::{Home, at_home, away, here};
use super::resource::Resource;
use super::seat::Seat;
use super::sending::{Channel, Closes};
use super::waiters::Waiters;
use crate::context;
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};
use crate::record::task::WaitingOn;

mod elsewhere;
mod error;
mod sender;

pub use error::{SendError, TryRecvError, TrySendError};
pub use sender::{Reserved, Sender, UnboundedSender};

/// What those who wait for room are granted: room, or the end.
const GO: usize = 0;
const END: usize = 1;

struct Shared<T: Send + 'static> {
    /// Senders, and items of theirs that are on their way from other threads.
    senders: AtomicUsize,
    /// Nothing more is received.
    closed: AtomicBool,
    /// What a task of another loop states that waits to send.
    on: WaitingOn,
    bound: LoopBound<State<T>>,
}

impl<T: Send + 'static> Home for Shared<T> {
    type State = State<T>;

    #[inline]
    fn bound(&self) -> &LoopBound<State<T>> {
        &self.bound
    }
}

impl<T: Send + 'static> Channel for Shared<T> {
    fn senders(&self) -> &AtomicUsize {
        &self.senders
    }

    fn end(state: &State<T>) {
        state.end();
    }
}

impl<T: Send + 'static> Closes for Shared<T> {
    fn closers(state: &State<T>) -> &Waiters {
        &state.closers
    }

    fn row(state: &State<T>) -> &Resource {
        &state.row
    }

    fn is_closed(&self, state: &State<T>) -> bool {
        state.closed.get()
    }

    fn seen(state: &State<T>) {
        state.seen();
    }
}

struct State<T> {
    items: RefCell<VecDeque<T>>,
    /// `usize::MAX`: no bound.
    capacity: usize,
    /// Room that is there but belongs to senders that were granted it.
    reserved: Cell<usize>,
    closed: Cell<bool>,
    /// The receiver was dropped: what is put now is lost.
    gone: Cell<bool>,
    /// No sender is left.
    ended: Cell<bool>,
    receiver: Seat,
    senders: Waiters,
    closers: Waiters,
    row: Resource,
}

impl<T> State<T> {
    #[inline]
    fn has_room(&self) -> bool {
        self.items.borrow().len() + self.reserved.get() < self.capacity
    }

    /// Puts an item for which there is room.
    #[inline]
    fn push(&self, item: T) {
        let level = {
            let mut items = self.items.borrow_mut();
            items.push_back(item);
            items.len()
        };
        self.row.taken(level);
        if self.receiver.wake() {
            self.seen();
        }
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        let (item, level) = {
            let mut items = self.items.borrow_mut();
            (items.pop_front()?, items.len())
        };
        self.row.level(level);
        self.serve();
        Some(item)
    }

    /// Gives room to those who wait for it.
    #[inline]
    fn serve(&self) {
        while !self.senders.is_empty() && self.has_room() {
            self.reserved.set(self.reserved.get() + 1);
            self.senders.grant(GO);
            self.seen();
        }
    }

    /// Room that was reserved is not used.
    fn unreserve(&self) {
        self.reserved.set(self.reserved.get() - 1);
        self.serve();
        if self.closed.get() && self.reserved.get() == 0 && self.receiver.wake() {
            self.seen();
        }
    }

    /// The next item, or the end; `None` where one has to wait.
    #[inline]
    fn next(&self) -> Option<Option<T>> {
        match self.pop() {
            // Room that was reserved before the close may still be used.
            None if self.ended.get() || self.closed.get() && self.reserved.get() == 0 => Some(None),
            None => None,
            item => Some(item),
        }
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.row.mark(state::SET, true);
        self.senders.grant_all(|_| END);
        self.closers.grant_all(|_| END);
        self.seen();
    }

    fn end(&self) {
        self.ended.set(true);
        self.row.mark(state::SET, true);
        if self.receiver.wake() {
            self.seen();
        }
    }

    fn seen(&self) {
        let (mut first, mut waiters) = (self.receiver.task(), 0);
        for line in [&self.senders, &self.closers] {
            if !line.is_empty() {
                first = if first == 0 { line.first_task() } else { first };
                waiters += line.len();
            }
        }
        let receiver = usize::from(!self.receiver.is_empty());
        self.row.waited_for(first, waiters + receiver);
    }
}

/// A channel of the running loop for at most `capacity` items.
///
/// Panics: no loop runs on this thread, or there is no room at all.
/// Records: a resource of kind channel, with its items and its bound, who waits, how often
/// something was sent and how often somebody had to wait.
///
/// ```
/// use loop_runtime::sync::mpsc;
/// loop_runtime::run(async {
///     let (sender, mut receiver) = mpsc::channel(2);
///     let from_a_thread = sender.clone();
///     std::thread::spawn(move || from_a_thread.blocking_send(1).unwrap());
///     loop_runtime::create_task(async move { sender.send(2).await.unwrap() }).detach();
///     let mut sum = 0;
///     while let Some(item) = receiver.recv().await {
///         sum += item;
///     }
///     assert_eq!(sum, 3); // All senders are gone.
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn channel<T: Send + 'static>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    bounded("", capacity, Location::caller())
}

/// As `channel`, with a name for the screen. Names are kept for ever: use few.
#[track_caller]
pub fn named<T: Send + 'static>(name: &str, capacity: usize) -> (Sender<T>, Receiver<T>) {
    bounded(name, capacity, Location::caller())
}

/// A channel of the running loop without a bound: sending never waits.
///
/// As `channel` otherwise.
///
/// ```
/// use loop_runtime::sync::mpsc;
/// loop_runtime::run(async {
///     let (sender, mut receiver) = mpsc::unbounded_channel();
///     std::thread::spawn(move || (0..3).for_each(|item| sender.send(item).unwrap()));
///     for expected in 0..3 {
///         assert_eq!(receiver.recv().await, Some(expected));
///     }
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn unbounded_channel<T: Send + 'static>() -> (UnboundedSender<T>, Receiver<T>) {
    unbounded("", Location::caller())
}

/// As `unbounded_channel`, with a name for the screen. Names are kept for ever: use few.
#[track_caller]
pub fn named_unbounded<T: Send + 'static>(name: &str) -> (UnboundedSender<T>, Receiver<T>) {
    unbounded(name, Location::caller())
}

#[track_caller]
fn bounded<T: Send + 'static>(
    name: &str,
    capacity: usize,
    place: &'static Location<'static>,
) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "a channel without room; it needs some for an item at least"
    );
    let shared = made(name, capacity, place);
    here(&shared, "channel").row.capacity(capacity);
    (Sender::new(shared.clone()), Receiver { shared })
}

#[track_caller]
fn unbounded<T: Send + 'static>(
    name: &str,
    place: &'static Location<'static>,
) -> (UnboundedSender<T>, Receiver<T>) {
    let shared = made(name, usize::MAX, place);
    (UnboundedSender::new(shared.clone()), Receiver { shared })
}

#[track_caller]
fn made<T: Send + 'static>(
    name: &str,
    capacity: usize,
    place: &'static Location<'static>,
) -> Arc<Shared<T>> {
    context::expect(|organs| {
        let state = State {
            items: RefCell::new(VecDeque::new()),
            capacity,
            reserved: Cell::new(0),
            closed: Cell::new(false),
            gone: Cell::new(false),
            ended: Cell::new(false),
            receiver: Seat::new(),
            senders: Waiters::new(),
            closers: Waiters::new(),
            row: Resource::new(organs, Kind::Channel, name, place),
        };
        Arc::new(Shared {
            senders: AtomicUsize::new(1),
            closed: AtomicBool::new(false),
            on: state.row.on(),
            bound: LoopBound::new(organs.record.id, state),
        })
    })
}

/// The end that receives, on its own loop. Also a `Stream`.
pub struct Receiver<T: Send + 'static> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::Receiver")
            .field("loop", &self.shared.bound.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send> Receiver<T> {
    /// The next item; `None` once no sender is left, or it is closed, and all items were received.
    ///
    /// Panics: polled away from its loop.
    /// Cancel: dropping it loses no item.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> + Send + Unpin + '_ {
        Recv { receiver: self }
    }

    /// As `recv`, for one who polls by hand. Keeps the task among those that wait until it is
    /// ready or the receiver is dropped.
    #[inline]
    #[track_caller]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let state = match self.shared.bound.get() {
            Ok(state) => state,
            Err(wrong) => away("channel", wrong),
        };
        if let Some(next) = state.next() {
            if state.receiver.leave() {
                state.seen();
            }
            return Poll::Ready(next);
        }
        if state.receiver.wait(&state.row, Location::caller(), cx) {
            state.row.had_to_wait(&self.shared);
            state.seen();
        }
        Poll::Pending
    }

    /// The next item, if there is one now.
    ///
    /// Errors: `TryRecvError`.
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match here(&self.shared, "channel").next() {
            Some(Some(item)) => Ok(item),
            Some(None) => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Takes nothing more from senders, and tells them; what is there can still be received.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn close(&mut self) {
        let state = here(&self.shared, "channel");
        self.shared.closed.store(true, Ordering::Relaxed);
        state.close();
    }

    /// Items that are there.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn len(&self) -> usize {
        here(&self.shared, "channel").items.borrow().len()
    }

    /// Whether no item is there.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Send> Stream for Receiver<T> {
    type Item = T;

    #[track_caller]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // A closed loop has no senders that wait; the items go with the last of them.
        let _ = at_home(&self.shared, |state| {
            if state.receiver.leave() {
                state.seen();
            }
            state.gone.set(true);
            state.close();
            let items = std::mem::take(&mut *state.items.borrow_mut());
            state.row.level(0);
            // Outside the borrow: an item's drop may come back here.
            drop(items);
        });
    }
}

struct Recv<'a, T: Send + 'static> {
    receiver: &'a mut Receiver<T>,
}

impl<T: Send> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.receiver.poll_recv(cx)
    }
}

impl<T: Send> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Elsewhere the waker stays until the next item: it is the loop's to touch.
        if let Ok(state) = self.receiver.shared.bound.get()
            && state.receiver.leave()
        {
            state.seen();
        }
    }
}
