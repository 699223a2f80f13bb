//! `add_reader`, `add_writer` and `AsyncFd`: descriptors of the app's own.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::join;
use loop_runtime::io::AsyncFd;
use loop_runtime::{EventLoop, LocalLoop, get_running_loop};

fn run(test: impl AsyncFnOnce(LocalLoop) + 'static) {
    EventLoop::new()
        .unwrap()
        .run_until_complete(async { test(get_running_loop().unwrap()).await })
        .unwrap()
}

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

/// Lets the loop turn until `done`.
async fn until(done: impl Fn() -> bool) {
    poll_fn(|cx| {
        if done() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets the loop turn often enough that whatever could still be called was.
async fn settle() {
    let turns = Cell::new(0);
    until(|| turns.replace(turns.get() + 1) > 500).await;
}

/// Counts its calls.
fn counting() -> (Rc<Cell<u32>>, impl FnMut() + 'static) {
    let count = Rc::new(Cell::new(0));
    let theirs = count.clone();
    (count, move || theirs.set(theirs.get() + 1))
}

#[test]
fn a_reader_that_leaves_data_is_called_again() {
    run(async |local| {
        let (a, mut b) = pair();
        let got = Rc::new(RefCell::new(Vec::new()));
        let (theirs, mut reads) = (got.clone(), a.try_clone().unwrap());
        let reader = move || {
            let mut byte = [0];
            if reads.read(&mut byte).is_ok() {
                theirs.borrow_mut().push(byte[0]);
            }
        };
        local.add_reader(&a, reader).unwrap();
        b.write_all(b"0123456789").unwrap();
        until(|| got.borrow().len() == 10).await;
        assert_eq!(*got.borrow(), b"0123456789");
        b.write_all(b"x").unwrap();
        until(|| got.borrow().len() == 11).await;
        assert!(local.remove_reader(&a));
    });
}

#[test]
fn reader_and_writer_of_one_descriptor_are_called_independently() {
    run(async |local| {
        let (a, mut b) = pair();
        let ((reads, reader), (writes, writer)) = (counting(), counting());
        local.add_writer(&a, writer).unwrap();
        until(|| writes.get() >= 3).await;
        local.add_reader(&a, reader).unwrap();
        settle().await;
        assert_eq!(reads.get(), 0);
        b.write_all(b"x").unwrap();
        until(|| reads.get() >= 3).await;
        assert!(local.remove_reader(&a));
        let (reads_then, writes_then) = (reads.get(), writes.get());
        until(|| writes.get() > writes_then + 3).await;
        assert_eq!(reads.get(), reads_then, "removing one keeps the other");
        assert!(local.remove_writer(&a));
        assert!(!local.remove_writer(&a));
        let writes_then = writes.get();
        settle().await;
        assert_eq!(writes.get(), writes_then);
    });
}

#[test]
fn a_second_reader_takes_the_first_one_s_place() {
    run(async |local| {
        let (a, mut b) = pair();
        let ((first, one), (second, two)) = (counting(), counting());
        local.add_reader(&a, one).unwrap();
        b.write_all(b"x").unwrap();
        until(|| first.get() >= 1).await;
        let before = first.get();
        // Its next call is queued already, maybe.
        local.add_reader(&a, two).unwrap();
        until(|| second.get() >= 2).await;
        assert_eq!(first.get(), before);
        local.remove_reader(&a);
    });
}

#[test]
fn a_reader_may_remove_itself() {
    run(async |local| {
        let (a, mut b) = pair();
        let (count, mut counts) = counting();
        let (inner, fd) = (local.clone(), a.try_clone().unwrap());
        // A clone has another number, so the reader's own descriptor is captured.
        let own = Rc::new(fd);
        let watched = own.clone();
        let reader = move || {
            counts();
            assert!(inner.remove_reader(&*watched));
        };
        local.add_reader(&*own, reader).unwrap();
        b.write_all(b"x").unwrap();
        until(|| count.get() == 1).await;
        settle().await;
        assert_eq!(count.get(), 1);
        assert_eq!(Rc::strong_count(&own), 1, "the callback is gone");
    });
}

#[test]
fn a_reader_is_called_when_the_peer_is_gone() {
    run(async |local| {
        let (a, b) = pair();
        let (count, reader) = counting();
        local.add_reader(&a, reader).unwrap();
        drop(b);
        until(|| count.get() >= 3).await;
        local.remove_reader(&a);
    });
}

#[test]
fn a_descriptor_that_another_source_owns_is_refused_and_that_one_unharmed() {
    run(async |local| {
        let (a, mut b) = pair();
        let a = Arc::new(a);
        let owner = AsyncFd::new(a.clone()).unwrap();
        let error = local.add_reader(&a, || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!local.remove_reader(&a));
        b.write_all(b"x").unwrap();
        let read = owner.read_with(|socket| (&mut &**socket).read(&mut [0; 8]));
        assert_eq!(read.await.unwrap(), 1);
    });
}

#[test]
fn a_file_has_no_readiness_and_the_error_says_what_to_do() {
    run(async |local| {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = local.add_reader(&file, || ()).unwrap_err();
        assert!(error.to_string().contains("run_in_executor"), "{error}");
    });
}

#[test]
fn after_close_nothing_is_watched() {
    let event_loop = EventLoop::new().unwrap();
    let (a, _b) = pair();
    let (count, writer) = counting();
    let local = event_loop.local();
    event_loop.enter(|| local.add_writer(&a, writer).unwrap());
    event_loop.close().unwrap();
    assert!(!local.remove_writer(&a));
    assert_eq!(Rc::strong_count(&count), 1, "the callback is gone");
}

#[test]
fn two_tasks_may_wait_for_one_descriptor() {
    run(async |_| {
        let (a, b) = pair();
        let (a, b) = (AsyncFd::new(a).unwrap(), AsyncFd::new(b).unwrap());
        let read = || a.read_with(|mut socket: &UnixStream| socket.read(&mut [0; 1]));
        let write = b.write_with(|mut socket: &UnixStream| socket.write(b"xy"));
        let ((one, two), written) = join(join(read(), read()), write).await;
        assert_eq!((one.unwrap(), two.unwrap(), written.unwrap()), (1, 1, 2));
    });
}

#[test]
fn a_cancelled_wait_leaves_the_readiness_to_the_next() {
    run(async |_| {
        let (a, mut b) = pair();
        let a = AsyncFd::new(a).unwrap();
        let read = || a.read_with(|mut socket: &UnixStream| socket.read(&mut [0; 8]));
        {
            let mut cancelled = pin!(read());
            poll_fn(|cx| {
                assert!(cancelled.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        b.write_all(b"x").unwrap();
        assert_eq!(read().await.unwrap(), 1);
    });
}
