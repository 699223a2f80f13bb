//! A bounded send from another thread: the item waits where both sides reach it until there is
//! room, and a task of the channel's loop stands in the line for it.

use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::super::sending::Counted;
use super::SendError;
use super::Shared;
use super::sender::Sender;
use crate::context;
use crate::record;
use crate::record::bound;
use crate::record::task::WaitingOn;
use crate::spawn::Task;

/// An item on its way, as both sides see it.
struct Parcel<T> {
    /// There until the channel has it, or it is taken back.
    item: Option<T>,
    /// Whether the channel has it; `None` while that is open.
    sent: Option<bool>,
    /// The sender does not wait any more.
    abandoned: bool,
    sender: Option<Waker>,
    /// The task that stands in the line.
    stand_in: Option<Waker>,
}

/// The sender's side of a parcel; dropped before the end it takes the item back.
pub(super) struct Carried<T: Send + 'static>(Arc<Mutex<Parcel<T>>>);

/// The channel's side; dropped before the end it says that nothing was sent.
struct Courier<T: Send + 'static>(Arc<Mutex<Parcel<T>>>);

fn open<T>(parcel: &Mutex<Parcel<T>>) -> MutexGuard<'_, Parcel<T>> {
    parcel.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send> Carried<T> {
    #[track_caller]
    pub(super) fn start(share: &Counted<Shared<T>>, item: T) -> Result<Self, SendError<T>> {
        if share
            .channel()
            .closed
            .load(std::sync::atomic::Ordering::Relaxed)
        {
            return Err(SendError(item));
        }
        let place = Location::caller();
        let parcel = Arc::new(Mutex::new(Parcel {
            item: Some(item),
            sent: None,
            abandoned: false,
            sender: None,
            stand_in: None,
        }));
        let courier = Courier(parcel.clone());
        let theirs = share.clone();
        let errand = move || carry(theirs, courier, place);
        if let Err(errand) = bound::send(share.channel().bound.made_on(), Box::new(errand)) {
            drop(errand);
            let item = open(&parcel).item.take();
            return Err(SendError(item.expect("what was not sent is there")));
        }
        Ok(Self(parcel))
    }

    #[track_caller]
    pub(super) fn poll(
        &mut self,
        on: WaitingOn,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        let waker = cx.waker().clone();
        let mut parcel = open(&self.0);
        match parcel.sent {
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => {
                let item = parcel.item.take();
                Poll::Ready(Err(SendError(item.expect("what was not sent is there"))))
            }
            None => {
                let old = parcel.sender.replace(waker);
                drop(parcel);
                drop(old);
                record::waiting(on, Location::caller());
                Poll::Pending
            }
        }
    }
}

impl<T: Send> Drop for Carried<T> {
    fn drop(&mut self) {
        let mut parcel = open(&self.0);
        parcel.abandoned = true;
        let (item, stand_in) = (parcel.item.take(), parcel.stand_in.take());
        drop(parcel);
        if let Some(stand_in) = stand_in {
            stand_in.wake();
        }
        drop(item);
    }
}

impl<T: Send> Courier<T> {
    /// The item, if it is still wanted.
    fn take(&self) -> Option<T> {
        open(&self.0).item.take()
    }

    fn say(&self, sent: bool) {
        let mut parcel = open(&self.0);
        if parcel.sent.is_some() {
            return;
        }
        parcel.sent = Some(sent);
        let sender = parcel.sender.take();
        drop(parcel);
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

impl<T: Send> Drop for Courier<T> {
    fn drop(&mut self) {
        self.say(false);
    }
}

/// On the channel's loop: puts the item, or has a task wait for room.
fn carry<T: Send>(
    share: Counted<Shared<T>>,
    courier: Courier<T>,
    place: &'static Location<'static>,
) {
    let Ok(state) = share.channel().bound.get() else {
        return;
    };
    if state.closed.get() {
        return;
    }
    if state.senders.is_empty() && state.has_room() {
        if let Some(item) = courier.take() {
            state.push(item);
            courier.say(true);
        }
        return;
    }
    // A loop that is closing takes no tasks, and has nobody left who would make room.
    if context::with(|organs| !organs.executor.is_closed()) == Ok(true) {
        let stand_in = stand_in(Sender { share }, courier);
        let builder = Task::<()>::builder().name("send from another thread");
        builder.spawn_at(stand_in, place).detach();
    }
}

async fn stand_in<T: Send>(sender: Sender<T>, courier: Courier<T>) {
    let mut room = pin!(sender.reserve());
    let room = poll_fn(|cx| {
        let mut parcel = open(&courier.0);
        if parcel.abandoned {
            return Poll::Ready(None);
        }
        let old = parcel.stand_in.replace(cx.waker().clone());
        drop(parcel);
        drop(old);
        room.as_mut().poll(cx).map(Result::ok)
    })
    .await;
    let Some(room) = room else { return };
    let Some(item) = courier.take() else { return };
    match room.send(item) {
        Ok(()) => courier.say(true),
        Err(SendError(item)) => {
            open(&courier.0).item = Some(item);
            courier.say(false);
        }
    }
}

/// Unparks the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` on a thread without a loop, which waits.
///
/// Panics: a loop runs here.
#[track_caller]
pub(super) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    assert!(
        context::current().is_err(),
        "`blocking_send` on a thread where a loop runs would stop that loop; await `send` there"
    );
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(&mut cx) {
            return output;
        }
        std::thread::park();
    }
}
