//! A channel whose every receiver gets every item, as long as it keeps up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::asking::{Ask, Asking};
use super::home::{Home, at_home, here, send_home};
use super::resource::Resource;
use super::sending::{Channel, Counted};
use super::waiters::{Left, Waiters};
use crate::context;
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};

struct Shared<T: Clone + Send + 'static> {
    /// Senders, and items of theirs that are on their way from other threads.
    senders: AtomicUsize,
    /// Written by the channel's loop.
    receivers: AtomicUsize,
    bound: LoopBound<State<T>>,
}

impl<T: Clone + Send + 'static> Home for Shared<T> {
    type State = State<T>;

    #[inline]
    fn bound(&self) -> &LoopBound<State<T>> {
        &self.bound
    }
}

impl<T: Clone + Send + 'static> Channel for Shared<T> {
    fn senders(&self) -> &AtomicUsize {
        &self.senders
    }

    fn end(state: &State<T>) {
        state.end();
    }
}

struct State<T> {
    kept: RefCell<Kept<T>>,
    capacity: usize,
    /// No sender is left.
    ended: Cell<bool>,
    line: Waiters,
    row: Resource,
}

/// The items that some receiver has not had.
struct Kept<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the first of them.
    first: u64,
}

struct Slot<T> {
    item: T,
    /// Receivers that have not had it.
    left: usize,
}

impl<T> Kept<T> {
    /// The number of the next item.
    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn pop(&mut self) -> Option<Slot<T>> {
        let slot = self.slots.pop_front()?;
        self.first += 1;
        Some(slot)
    }
}

impl<T: Clone> State<T> {
    fn send(&self, item: T, receivers: usize) {
        let (old, level) = {
            let mut kept = self.kept.borrow_mut();
            let full = kept.slots.len() == self.capacity;
            let old = if full { kept.pop() } else { None };
            kept.slots.push_back(Slot {
                item,
                left: receivers,
            });
            (old, kept.slots.len())
        };
        self.row.taken(level);
        self.wake();
        // Last: an item's drop may come back here.
        drop(old);
    }

    /// The item of number `next`, for a receiver that goes on to the one after; `None` where it
    /// has to wait.
    fn take(&self, next: &mut u64) -> Option<Result<T, RecvError>> {
        let mut kept = self.kept.borrow_mut();
        if let Some(missed) = kept.first.checked_sub(*next).filter(|missed| *missed > 0) {
            *next = kept.first;
            return Some(Err(RecvError::Lagged(missed)));
        }
        let at = (*next - kept.first) as usize;
        let Some(slot) = kept.slots.get_mut(at) else {
            drop(kept);
            return self.ended.get().then_some(Err(RecvError::Closed));
        };
        slot.left -= 1;
        *next += 1;
        if at > 0 || slot.left > 0 {
            return Some(Ok(slot.item.clone()));
        }
        // The last who wanted it has it itself.
        let item = kept.pop().map(|slot| slot.item);
        // Those behind it may have been had before by receivers that are gone since.
        let done: Vec<_> = kept.pop_done().collect();
        let level = kept.slots.len();
        drop(kept);
        self.row.level(level);
        drop(done);
        item.map(Ok)
    }

    /// A receiver that had all items before `next` is gone.
    fn forget(&self, next: u64) {
        let mut kept = self.kept.borrow_mut();
        let from = next.saturating_sub(kept.first) as usize;
        for slot in kept.slots.iter_mut().skip(from) {
            slot.left -= 1;
        }
        let done: Vec<_> = kept.pop_done().collect();
        let level = kept.slots.len();
        drop(kept);
        self.row.level(level);
        drop(done);
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

    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
    }
}

impl<T> Kept<T> {
    /// Takes out what all receivers have had, from the front.
    fn pop_done(&mut self) -> impl Iterator<Item = Slot<T>> + '_ {
        std::iter::from_fn(|| {
            self.slots
                .front()
                .is_some_and(|slot| slot.left == 0)
                .then(|| self.pop())
                .flatten()
        })
    }
}

/// A channel of the running loop that keeps at most `capacity` items for receivers that are behind.
///
/// A receiver that is further behind loses the oldest, and is told how many: senders never wait.
///
/// Panics: no loop runs on this thread, or there is no room at all.
/// Records: a resource of kind channel, with the items that some receiver has not had and the
/// bound, who waits, and how often something was sent.
///
/// ```
/// use loop_runtime::sync::broadcast::{self, RecvError};
/// loop_runtime::run(async {
///     let (sender, mut first) = broadcast::channel(2);
///     let mut second = sender.subscribe();
///     sender.send("a").unwrap();
///     assert_eq!(first.recv().await, Ok("a"));
///     sender.send("b").unwrap();
///     sender.send("c").unwrap();
///     assert_eq!(second.recv().await, Err(RecvError::Lagged(1)));
///     assert_eq!(second.recv().await, Ok("b"));
///     assert_eq!(first.recv().await, Ok("b"));
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn channel<T: Clone + Send + 'static>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    made("", capacity, Location::caller())
}

/// As `channel`, with a name for the screen. Names are kept for ever: use few.
#[track_caller]
pub fn named<T: Clone + Send + 'static>(name: &str, capacity: usize) -> (Sender<T>, Receiver<T>) {
    made(name, capacity, Location::caller())
}

#[track_caller]
fn made<T: Clone + Send + 'static>(
    name: &str,
    capacity: usize,
    place: &'static Location<'static>,
) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "a channel without room; it needs some for an item at least"
    );
    let shared = context::expect(|organs| {
        let state = State {
            kept: RefCell::new(Kept {
                slots: VecDeque::new(),
                first: 0,
            }),
            capacity,
            ended: Cell::new(false),
            line: Waiters::new(),
            row: Resource::new(organs, Kind::Channel, name, place),
        };
        state.row.capacity(capacity);
        Arc::new(Shared {
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            bound: LoopBound::new(organs.record.id, state),
        })
    });
    let receiver = subscribed(&shared);
    let share = Counted::first(shared);
    (Sender { share }, receiver)
}

/// One more receiver, of what is sent from now on. On the channel's loop.
#[track_caller]
fn subscribed<T: Clone + Send>(shared: &Arc<Shared<T>>) -> Receiver<T> {
    let next = here(shared, "channel").kept.borrow().next();
    shared.receivers.fetch_add(1, Ordering::Relaxed);
    Receiver {
        shared: shared.clone(),
        next,
    }
}

/// The end that sends. Works on every thread; a clone sends to the same channel.
pub struct Sender<T: Clone + Send + 'static> {
    share: Counted<Shared<T>>,
}

impl<T: Clone + Send> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            share: self.share.clone(),
        }
    }
}

impl<T: Clone + Send> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Sender")
            .field("loop", &self.share.channel().bound.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Clone + Send> Sender<T> {
    /// Sends an item to all receivers; tells how many there are. Any thread; elsewhere the loop
    /// takes it with what other threads sent, and the number is that of now.
    ///
    /// Errors: `SendError`, with the item, if there is no receiver or the loop is closed.
    #[track_caller]
    pub fn send(&self, item: T) -> Result<usize, SendError<T>> {
        let receivers = self.receiver_count();
        if receivers == 0 {
            return Err(SendError(item));
        }
        if let Ok(state) = self.share.channel().bound.get() {
            state.send(item, receivers);
            return Ok(receivers);
        }
        let sender = self.clone();
        let sent = send_home(self.share.channel(), item, move |state, item| {
            // As many as there are when it arrives: none, and nobody will want it.
            match sender.receiver_count() {
                0 => drop(item),
                receivers => state.send(item, receivers),
            }
        });
        sent.map(|()| receivers).map_err(SendError)
    }

    /// One more receiver, of what is sent from now on.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn subscribe(&self) -> Receiver<T> {
        subscribed(self.share.channel())
    }

    /// How many receivers there are. Any thread.
    pub fn receiver_count(&self) -> usize {
        self.share.channel().receivers.load(Ordering::Relaxed)
    }

    /// Items that some receiver has not had.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn len(&self) -> usize {
        here(self.share.channel(), "channel")
            .kept
            .borrow()
            .slots
            .len()
    }

    /// Whether all receivers have had all items.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end that receives, on its own loop.
pub struct Receiver<T: Clone + Send + 'static> {
    shared: Arc<Shared<T>>,
    /// The number of the item it gets next.
    next: u64,
}

impl<T: Clone + Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        let (shared, next) = (self.shared.clone(), self.next);
        let _ = at_home(&self.shared, move |state| {
            // Both at once, on the loop: what is sent counts who is there.
            shared.receivers.fetch_sub(1, Ordering::Relaxed);
            state.forget(next);
        });
    }
}

impl<T: Clone + Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Receiver")
            .field("loop", &self.shared.bound.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Clone + Send> Receiver<T> {
    /// Waits for the next item.
    ///
    /// Errors: `RecvError::Lagged`, with how many items it lost because it was too far behind; the
    /// next call gives the oldest that is left. `RecvError::Closed`, once no sender is left and it
    /// has had all items.
    /// Panics: polled away from its loop.
    /// Cancel: dropping it loses no item.
    pub fn recv(&mut self) -> impl Future<Output = Result<T, RecvError>> + Send + Unpin + '_ {
        let Self { shared, next } = self;
        let of = PhantomData;
        Asking::new(shared, Next { next, of })
    }

    /// The next item, if there is one now.
    ///
    /// Errors: `TryRecvError`.
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match here(&self.shared, "channel").take(&mut self.next) {
            Some(Ok(item)) => Ok(item),
            Some(Err(RecvError::Closed)) => Err(TryRecvError::Closed),
            Some(Err(RecvError::Lagged(missed))) => Err(TryRecvError::Lagged(missed)),
            None => Err(TryRecvError::Empty),
        }
    }

    /// One more receiver, of what is sent from now on.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn resubscribe(&self) -> Receiver<T> {
        subscribed(&self.shared)
    }

    /// Items it has not had, those that it lost without.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn len(&self) -> usize {
        let kept = here(&self.shared, "channel").kept.borrow();
        (kept.next() - self.next.max(kept.first)) as usize
    }

    /// Whether it has had all items.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Next<'a, T> {
    next: &'a mut u64,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: Clone + Send + 'static> Ask<'a> for Next<'a, T> {
    type Shared = Shared<T>;
    type Output = Result<T, RecvError>;
    const WHAT: &'static str = "channel";

    fn line(state: &State<T>) -> &Waiters {
        &state.line
    }

    fn resource(state: &State<T>) -> &Resource {
        &state.row
    }

    fn now(&mut self, _shared: &'a Arc<Shared<T>>, state: &State<T>) -> Option<Self::Output> {
        state.take(self.next)
    }

    fn granted(
        &mut self,
        _shared: &'a Arc<Shared<T>>,
        state: &State<T>,
        _word: usize,
    ) -> Option<Self::Output> {
        state.take(self.next)
    }

    fn seen(state: &State<T>) {
        state.seen();
    }

    fn left(state: &State<T>, _left: Left) {
        state.seen();
    }
}

/// There is no receiver, or its loop is closed; gives the item back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody would receive it: there is no receiver, or its loop is closed")
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Why there is no next item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// No sender is left, and all items were had.
    Closed,
    /// So many items were lost to this receiver, which was too far behind.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("no sender is left"),
            RecvError::Lagged(missed) => write!(
                f,
                "this receiver was too far behind and lost {missed} items; receive faster, or give the channel more room"
            ),
        }
    }
}

impl std::error::Error for RecvError {}

/// Why `try_recv` gave no item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// There is no item now.
    Empty,
    /// No sender is left, and all items were had.
    Closed,
    /// So many items were lost to this receiver, which was too far behind.
    Lagged(u64),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("there is no item now; `recv` waits for one"),
            TryRecvError::Closed => RecvError::Closed.fmt(f),
            TryRecvError::Lagged(missed) => RecvError::Lagged(*missed).fmt(f),
        }
    }
}

impl std::error::Error for TryRecvError {}
