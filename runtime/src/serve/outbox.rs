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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use futures_core::Stream;

    use super::*;
    use crate::spawn::create_task;
    use crate::testing::TestLoop;

    /// What became of a second message while the client takes nothing for `pause`.
    fn after(pause: Duration, takes: bool) -> Option<Result<(), Stop>> {
        let mut test = TestLoop::new();
        let (sender, mut outgoing) = outbox::<u32>();
        let became = Rc::new(Cell::new(None));
        let told = became.clone();
        test.enter(|| {
            create_task(async move {
                sender.send(1).await.unwrap();
                told.set(Some(sender.send(2).await));
            })
            .detach();
        });
        test.advance(pause);
        if takes {
            let mut cx = Context::from_waker(Waker::noop());
            let taken = Pin::new(&mut outgoing).poll_next(&mut cx);
            assert!(matches!(taken, Poll::Ready(Some(Ok(1)))));
            test.turn();
        }
        became.get()
    }

    #[test]
    fn a_client_that_takes_nothing_for_a_minute_is_let_go_and_for_half_a_minute_is_not() {
        let second = Duration::from_secs(1);
        assert_eq!(after(30 * second, false), None);
        assert_eq!(after(59 * second, true), Some(Ok(())), "it goes on");
        assert_eq!(after(59 * second, false), None);
        assert_eq!(after(60 * second, false), Some(Err(Stop::Stalled)));
    }
}
