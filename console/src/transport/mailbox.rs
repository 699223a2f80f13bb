//! A queue from any thread to one task, without a bound: the sender never waits. Knows nothing of what it carries.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

#[derive(Debug)]
struct Shared<T> {
    queue: VecDeque<T>,
    waker: Option<Waker>,
    senders: usize,
    receiver: bool,
}

/// Where values are put; any number of clones.
#[derive(Debug)]
pub struct Sender<T>(Arc<Mutex<Shared<T>>>);

/// Where they come out, in order.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Mutex<Shared<T>>>);

/// Both ends.
pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(Shared {
        queue: VecDeque::new(),
        waker: None,
        senders: 1,
        receiver: true,
    }));
    (Sender(shared.clone()), Receiver(shared))
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Sender<T> {
    /// Puts a value in. `false`: nobody will take it out.
    pub fn send(&self, value: T) -> bool {
        let mut shared = lock(&self.0);
        if !shared.receiver {
            return false;
        }
        shared.queue.push_back(value);
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.senders -= 1;
        let waker = if shared.senders == 0 {
            shared.waker.take()
        } else {
            None
        };
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The next value; `None` when there is none and nobody is left to send one.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Receiver::recv`], for those who poll by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = lock(&self.0);
        match shared.queue.pop_front() {
            Some(value) => Poll::Ready(Some(value)),
            None if shared.senders == 0 => Poll::Ready(None),
            None => {
                shared.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.receiver = false;
        let rest = std::mem::take(&mut shared.queue);
        drop(shared);
        drop(rest);
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<T>(receiver: &mut Receiver<T>) -> Poll<Option<T>> {
        receiver.poll_recv(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_put_in_comes_out_in_order_and_then_the_end() {
        let (sender, mut receiver) = mailbox();
        let other = sender.clone();
        assert!(sender.send(1) && other.send(2));
        drop(sender);
        assert_eq!(poll(&mut receiver), Poll::Ready(Some(1)));
        assert_eq!(poll(&mut receiver), Poll::Ready(Some(2)));
        assert_eq!(poll(&mut receiver), Poll::Pending);
        drop(other);
        assert_eq!(poll(&mut receiver), Poll::Ready(None));
    }

    #[test]
    fn a_sender_learns_that_nobody_listens() {
        let (sender, receiver) = mailbox();
        drop(receiver);
        assert!(!sender.send(()));
    }

    #[test]
    fn a_waiting_receiver_is_woken_by_a_value_and_by_the_last_sender() {
        let (sender, mut receiver) = mailbox();
        let woken = std::thread::spawn(move || {
            sender.send(7);
        });
        let mut got = Vec::new();
        loop_runtime::Builder::new()
            .internal()
            .build()
            .expect("a loop")
            .run_until_complete(async move {
                while let Some(value) = receiver.recv().await {
                    got.push(value);
                }
                assert_eq!(got, [7]);
            })
            .expect("a run");
        woken.join().expect("the sender");
    }
}
