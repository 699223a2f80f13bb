//! The ends that send: bounded and unbounded, on the channel's loop and elsewhere.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::super::asking::{Ask, Asking};
use super::super::home::{at_home, send_home};
use super::super::resource::Resource;
use super::super::sending::{Closed, Counted};
use super::super::waiters::{Left, Waiters};
use super::elsewhere::{self, Carried};
use super::{END, SendError, Shared, State, TrySendError};

/// A sender that waits for room. Works on every thread; a clone sends to the same channel.
pub struct Sender<T: Send + 'static> {
    pub(super) share: Counted<Shared<T>>,
}

/// A sender to a channel without a bound. Works on every thread; a clone sends to the same channel.
pub struct UnboundedSender<T: Send + 'static> {
    share: Counted<Shared<T>>,
}

impl<T: Send> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let share = Counted::first(shared);
        Self { share }
    }

    /// Sends an item, once there is room. On another loop than the channel's the waiting is done
    /// there, by a task of that loop.
    ///
    /// Errors: `SendError`, with the item, if nobody will receive it.
    /// Panics: moved to another loop while it waits.
    /// Cancel: dropping it sends nothing; room that it was given goes to the next.
    pub fn send(
        &self,
        item: T,
    ) -> impl Future<Output = Result<(), SendError<T>>> + Send + Unpin + '_ {
        Sending {
            share: &self.share,
            asking: Asking::new(self.share.channel(), Put { item: Some(item) }),
            carried: None,
        }
    }

    /// Waits for room and keeps it, so that the item can be made when there is some.
    ///
    /// Errors: `SendError`, if nobody will receive it.
    /// Panics: polled away from its loop.
    /// Cancel: dropping it gives up the place in the line.
    ///
    /// ```
    /// # use loop_runtime::sync::mpsc;
    /// # loop_runtime::run(async {
    /// let (sender, mut receiver) = mpsc::channel(1);
    /// let room = sender.reserve().await.unwrap();
    /// assert!(sender.try_send(0).is_err()); // It is taken.
    /// room.send(7).unwrap();
    /// assert_eq!(receiver.recv().await, Some(7));
    /// # }).unwrap();
    /// ```
    pub fn reserve(
        &self,
    ) -> impl Future<Output = Result<Reserved<'_, T>, SendError<()>>> + Send + Unpin + '_ {
        Asking::new(self.share.channel(), Reserve(PhantomData))
    }

    /// Sends an item if there is room now.
    ///
    /// Errors: `TrySendError`, with the item; always on another thread, where that is not known.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        match self.share.channel().bound.get() {
            Ok(state) if state.closed.get() => Err(TrySendError::Closed(item)),
            Ok(state) if !state.has_room() => Err(TrySendError::Full(item)),
            Ok(state) => {
                state.push(item);
                Ok(())
            }
            Err(wrong) => Err(TrySendError::WrongLoop(item, wrong)),
        }
    }

    /// Sends an item from a thread without a loop, which waits for room.
    ///
    /// Errors: `SendError`, with the item, if nobody will receive it.
    /// Panics: a loop runs on this thread: it would stand still.
    #[track_caller]
    pub fn blocking_send(&self, item: T) -> Result<(), SendError<T>> {
        elsewhere::block_on(self.send(item))
    }

    /// Whether nobody will receive what is sent. Any thread.
    pub fn is_closed(&self) -> bool {
        self.share.channel().closed.load(Ordering::Relaxed)
    }

    /// Waits until nobody will receive what is sent.
    ///
    /// Panics: polled away from its loop.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Asking::new(self.share.channel(), Closed::new())
    }
}

impl<T: Send> UnboundedSender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let share = Counted::first(shared);
        Self { share }
    }

    /// Sends an item. Any thread; elsewhere the loop takes it with what other threads sent.
    ///
    /// Errors: `SendError`, with the item, if nobody will receive it. Elsewhere a receiver may go
    /// while the item is on its way, and the item with it.
    #[inline]
    #[track_caller]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        if let Ok(state) = self.share.channel().bound.get() {
            if state.closed.get() {
                return Err(SendError(item));
            }
            state.push(item);
            return Ok(());
        }
        if self.is_closed() {
            return Err(SendError(item));
        }
        let share = self.share.clone();
        let sent = send_home(self.share.channel(), item, move |state, item| {
            if !state.closed.get() {
                state.push(item);
            }
            drop(share);
        });
        sent.map_err(SendError)
    }

    /// Whether nobody will receive what is sent. Any thread.
    pub fn is_closed(&self) -> bool {
        self.share.channel().closed.load(Ordering::Relaxed)
    }

    /// Waits until nobody will receive what is sent.
    ///
    /// Panics: polled away from its loop.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Asking::new(self.share.channel(), Closed::new())
    }
}

macro_rules! sender {
    ($name:ident) => {
        impl<T: Send> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self {
                    share: self.share.clone(),
                }
            }
        }

        impl<T: Send> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(concat!("mpsc::", stringify!($name)))
                    .field("loop", &self.share.channel().bound.made_on())
                    .finish_non_exhaustive()
            }
        }
    };
}

sender!(Sender);
sender!(UnboundedSender);

/// The future of `send`: asks on the channel's loop, has it carried there from another.
struct Sending<'a, T: Send + 'static> {
    share: &'a Counted<Shared<T>>,
    asking: Asking<'a, Put<T>>,
    carried: Option<Carried<T>>,
}

impl<T: Send> Unpin for Sending<'_, T> {}

impl<T: Send> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(carried) = &mut this.carried {
            return carried.poll(this.share.channel().on, cx);
        }
        // One that waits in line is the business of its own loop alone, which `asking` will say.
        if this.asking.is_waiting() || this.share.channel().bound.get().is_ok() {
            return Pin::new(&mut this.asking).poll(cx);
        }
        match Carried::start(this.share, this.asking.ask.item()) {
            Ok(carried) => this
                .carried
                .insert(carried)
                .poll(this.share.channel().on, cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

struct Put<T> {
    /// There until it is put, given back or carried away.
    item: Option<T>,
}

impl<T> Put<T> {
    fn item(&mut self) -> T {
        self.item
            .take()
            .expect("a send is not polled after it ended")
    }
}

impl<'a, T: Send + 'static> Ask<'a> for Put<T> {
    type Shared = Shared<T>;
    type Output = Result<(), SendError<T>>;
    const WHAT: &'static str = "channel";

    fn line(state: &State<T>) -> &Waiters {
        &state.senders
    }

    fn resource(state: &State<T>) -> &Resource {
        &state.row
    }

    #[inline]
    fn now(&mut self, _shared: &'a Arc<Shared<T>>, state: &State<T>) -> Option<Self::Output> {
        if state.closed.get() {
            return Some(Err(SendError(self.item())));
        }
        (state.senders.is_empty() && state.has_room()).then(|| {
            state.push(self.item());
            Ok(())
        })
    }

    fn granted(
        &mut self,
        _shared: &'a Arc<Shared<T>>,
        state: &State<T>,
        word: usize,
    ) -> Option<Self::Output> {
        Some(if word == END {
            Err(SendError(self.item()))
        } else {
            state.put_reserved(self.item()).map_err(SendError)
        })
    }

    fn seen(state: &State<T>) {
        state.seen();
    }

    fn left(state: &State<T>, left: Left) {
        state.left(left);
    }
}

impl<T> State<T> {
    /// Puts an item into room that was reserved for it. Gives it back if the receiver is gone.
    fn put_reserved(&self, item: T) -> Result<(), T> {
        self.reserved.set(self.reserved.get() - 1);
        if self.gone.get() {
            return Err(item);
        }
        self.push(item);
        Ok(())
    }

    /// One who waited for room is gone.
    fn left(&self, left: Left) {
        self.seen();
        if matches!(left, Left::Granted(word) if word != END) {
            self.unreserve();
        }
    }
}

struct Reserve<T>(PhantomData<fn() -> T>);

impl<'a, T: Send + 'static> Ask<'a> for Reserve<T> {
    type Shared = Shared<T>;
    type Output = Result<Reserved<'a, T>, SendError<()>>;
    const WHAT: &'static str = "channel";

    fn line(state: &State<T>) -> &Waiters {
        &state.senders
    }

    fn resource(state: &State<T>) -> &Resource {
        &state.row
    }

    fn now(&mut self, shared: &'a Arc<Shared<T>>, state: &State<T>) -> Option<Self::Output> {
        if state.closed.get() {
            return Some(Err(SendError(())));
        }
        (state.senders.is_empty() && state.has_room()).then(|| {
            state.reserved.set(state.reserved.get() + 1);
            Ok(Reserved {
                shared: Some(shared),
            })
        })
    }

    fn granted(
        &mut self,
        shared: &'a Arc<Shared<T>>,
        _state: &State<T>,
        word: usize,
    ) -> Option<Self::Output> {
        Some(if word == END {
            Err(SendError(()))
        } else {
            Ok(Reserved {
                shared: Some(shared),
            })
        })
    }

    fn seen(state: &State<T>) {
        state.seen();
    }

    fn left(state: &State<T>, left: Left) {
        state.left(left);
    }
}

/// Room for one item, given back if it is not used.
#[must_use = "room that is dropped is given back"]
pub struct Reserved<'a, T: Send + 'static> {
    /// There until it is used.
    shared: Option<&'a Arc<Shared<T>>>,
}

impl<T: Send> fmt::Debug for Reserved<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").finish_non_exhaustive()
    }
}

impl<T: Send> Reserved<'_, T> {
    /// Sends an item into the room. Any thread.
    ///
    /// Errors: `SendError`, with the item, if the receiver is gone.
    #[track_caller]
    pub fn send(mut self, item: T) -> Result<(), SendError<T>> {
        let Some(shared) = self.shared.take() else {
            return Err(SendError(item));
        };
        match shared.bound.get() {
            Ok(state) => state.put_reserved(item),
            Err(_) => {
                let share = Counted::of(shared);
                send_home(shared, item, move |state, item| {
                    // Its receiver may have gone while it was on its way.
                    let _ = state.put_reserved(item);
                    drop(share);
                })
            }
        }
        .map_err(SendError)
    }
}

impl<T: Send> Drop for Reserved<'_, T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            let _ = at_home(shared, State::unreserve);
        }
    }
}
