//! What goes out on one stream: at most one message waits, so a slow client costs no memory, and
//! one that takes nothing for long is noticed. Knows no message.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tonic::Status;

use super::limits::PROGRESS;
use crate::time::sleep;

struct Inner<T> {
    waiting: VecDeque<T>,
    /// The client's end is gone.
    closed: bool,
    /// Nothing more comes.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct Queue<T>(Mutex<Inner<T>>);

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The app's end.
pub(crate) struct Sender<T>(Arc<Queue<T>>);

/// The client's end: the body of an answer.
pub(crate) struct Outgoing<T>(Arc<Queue<T>>);

/// Why nothing more can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The client is gone.
    Closed,
    /// It took nothing for too long.
    Stalled,
}

pub(crate) fn outbox<T>() -> (Sender<T>, Outgoing<T>) {
    let queue = Arc::new(Queue(Mutex::new(Inner {
        waiting: VecDeque::new(),
        closed: false,
        ended: false,
        reader: None,
        writer: None,
    })));
    (Sender(queue.clone()), Outgoing(queue))
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Sender<T> {
    /// Puts `message` into line, when the one before has been taken.
    pub(crate) async fn send(&self, message: T) -> Result<(), Stop> {
        let mut patience = sleep(PROGRESS);
        poll_fn(|cx| {
            let mut inner = self.0.lock();
            if inner.closed {
                return Poll::Ready(Err(Stop::Closed));
            }
            if inner.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            inner.writer = Some(cx.waker().clone());
            drop(inner);
            Pin::new(&mut patience)
                .poll(cx)
                .map(|()| Err(Stop::Stalled))
        })
        .await?;
        let reader = {
            let mut inner = self.0.lock();
            inner.waiting.push_back(message);
            inner.reader.take()
        };
        wake(reader);
        Ok(())
    }

    /// Ready once the client's end is gone.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock();
        if inner.closed {
            return Poll::Ready(());
        }
        inner.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let reader = {
            let mut inner = self.0.lock();
            inner.ended = true;
            inner.reader.take()
        };
        wake(reader);
    }
}

impl<T> futures_core::Stream for Outgoing<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (next, writer) = {
            let mut inner = self.0.lock();
            match inner.waiting.pop_front() {
                Some(next) => (Poll::Ready(Some(Ok(next))), inner.writer.take()),
                None if inner.ended => (Poll::Ready(None), None),
                None => {
                    inner.reader = Some(cx.waker().clone());
                    (Poll::Pending, None)
                }
            }
        };
        wake(writer);
        next
    }
}

impl<T> Drop for Outgoing<T> {
    fn drop(&mut self) {
        let (writer, waiting) = {
            let mut inner = self.0.lock();
            inner.closed = true;
            (inner.writer.take(), std::mem::take(&mut inner.waiting))
        };
        drop(waiting);
        wake(writer);
    }
}
