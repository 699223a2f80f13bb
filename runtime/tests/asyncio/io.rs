//! B18-B26: registered descriptors and raw sockets.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::join;
use loop_runtime::io::AsyncFd;
use loop_runtime::net::{ConnectErrors, ListenOptions, TcpListener, TcpStream};
use loop_runtime::testing::TestLoop;
use loop_runtime::{EventLoop, LocalLoop, create_task, get_running_loop, timeout, yield_now};

use super::net::{free, run as run_it, tcp_pair, waits};

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

/// Counts the warnings of the thread.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Counts its calls.
fn counting() -> (Rc<Cell<u32>>, impl FnMut() + 'static) {
    let count = Rc::new(Cell::new(0));
    let theirs = count.clone();
    (count, move || theirs.set(theirs.get() + 1))
}

#[test]
fn b20_a_reader_that_leaves_data_is_called_again() {
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
fn b18_reader_and_writer_of_one_descriptor_fire_independently_and_removing_one_keeps_the_other() {
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
fn b19_a_second_reader_takes_the_first_one_s_place() {
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
fn b21_a_reader_may_remove_itself() {
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
fn b20_a_reader_is_called_when_the_peer_is_gone() {
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
fn b22_a_descriptor_that_another_source_owns_is_refused_and_that_one_unharmed() {
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
fn b22_a_file_has_no_readiness_and_the_error_says_what_to_do() {
    run(async |local| {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = local.add_reader(&file, || ()).unwrap_err();
        assert!(error.to_string().contains("run_in_executor"), "{error}");
    });
}

#[test]
fn b14_after_close_nothing_is_watched() {
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
fn b24_two_tasks_may_wait_for_one_descriptor() {
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
fn b24_a_cancelled_wait_leaves_the_readiness_to_the_next() {
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

#[test]
fn b24_a_cancelled_read_leaves_the_data_to_the_next_one() {
    run_it(async {
        let (mut a, mut b) = tcp_pair().await;
        let mut buf = [0; 8];
        {
            let mut read = pin!(b.read(&mut buf));
            poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        let (read, written) = join(b.read(&mut buf), a.write_all(b"x")).await;
        written.unwrap();
        assert_eq!(read.unwrap(), 1);
    });
}

#[test]
fn b24_a_cancelled_accept_loses_no_connection() {
    run_it(async {
        let listener = TcpListener::bind(free()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut cancelled = Box::pin(listener.accept());
        poll_fn(|cx| {
            assert!(cancelled.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(cancelled);
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn b25_a_connect_to_a_closed_port_is_refused_and_names_the_address() {
    run_it(async {
        let address = TcpListener::bind(free()).unwrap().local_addr().unwrap();
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    });
}

#[test]
fn b26_one_readiness_serves_all_connections_that_wait() {
    run_it(async {
        let listener = TcpListener::bind(free()).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..20)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        let mut incoming = listener.incoming();
        let mut polls = 0;
        let mut accepted = Vec::new();
        let mut counted = poll_fn(|cx| {
            polls += 1;
            while accepted.len() < clients.len() {
                match incoming.poll_next_unpin(cx) {
                    Poll::Ready(next) => accepted.push(next.unwrap().unwrap()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(())
        });
        (&mut counted).await;
        assert!(polls <= 2, "{polls} polls for one burst");
    });
}

#[test]
fn b26_two_tasks_may_accept_on_one_listener() {
    run_it(async {
        let listener = TcpListener::bind(free()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = async {
            TcpStream::connect(address).await.unwrap();
            TcpStream::connect(address).await.unwrap();
        };
        let both = join(listener.accept(), listener.accept());
        let ((first, second), ()) = join(both, connect).await;
        assert_ne!(first.unwrap().1, second.unwrap().1);
    });
}

#[test]
fn b19_a_replaced_reader_is_not_called_even_if_its_call_is_queued() {
    let mut test = TestLoop::new();
    let local = test.event_loop().local();
    let (a, mut to_a) = pair();
    let (b, mut to_b) = pair();
    let (a, b) = (Rc::new(a), Rc::new(b));
    to_a.write_all(b"x").unwrap();
    to_b.write_all(b"x").unwrap();
    let old = [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))];
    let new = Rc::new(Cell::new(0));
    test.enter(|| {
        for (own, other, old) in [(&a, &b, &old[0]), (&b, &a, &old[1])] {
            let (old, new, other) = (old.clone(), new.clone(), other.clone());
            let inner = local.clone();
            let first = move || {
                old.set(old.get() + 1);
                if old.get() == 1 {
                    // Both are ready, so the other one's call is queued for this very iteration.
                    let new = new.clone();
                    let second = move || new.set(new.get() + 1);
                    inner.add_reader(&*other, second).unwrap();
                }
            };
            local.add_reader(&**own, first).unwrap();
        }
    });
    for _ in 0..10 {
        test.once();
    }
    let calls = [old[0].get(), old[1].get()];
    assert!(calls.contains(&0), "the replaced one was called: {calls:?}");
    assert!(calls[0] + calls[1] >= 2, "the other one goes on");
    assert!(new.get() >= 2, "and so does what took the place");
    test.enter(|| assert!(local.remove_reader(&*a) && local.remove_reader(&*b)));
}

#[test]
fn b20_each_iteration_calls_a_reader_that_takes_a_byte_of_ten_once() {
    let mut test = TestLoop::new();
    let local = test.event_loop().local();
    let (a, mut b) = pair();
    b.write_all(b"0123456789").unwrap();
    let got = Rc::new(Cell::new(0));
    let (seen, mut reads) = (got.clone(), a.try_clone().unwrap());
    let reader = move || {
        if reads.read(&mut [0]).is_ok() {
            seen.set(seen.get() + 1);
        }
    };
    test.enter(|| local.add_reader(&a, reader).unwrap());
    let mut iterations = 0;
    while got.get() < 10 {
        let before = got.get();
        test.once();
        iterations += 1;
        assert!(got.get() <= before + 1);
        assert!(
            iterations <= 12,
            "{} bytes in {iterations} iterations",
            got.get()
        );
    }
    test.enter(|| local.remove_reader(&a));
}

#[test]
fn b22_a_descriptor_of_a_stream_s_own_is_refused_and_the_stream_unharmed() {
    run(async |local| {
        let (a, b) = pair();
        let a = loop_runtime::io::PipeReader::new(a).unwrap();
        let mut a = a;
        let error = local.add_reader(&a.fd().unwrap(), || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!local.remove_reader(&a.fd().unwrap()));
        (&b).write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn b23_a_number_that_is_another_s_by_now_gets_no_stale_event_and_keeps_its_own() {
    let mut test = TestLoop::new();
    let local = test.event_loop().local();
    let (a, mut to_a) = pair();
    let (b, mut to_b) = pair();
    let number = std::os::fd::OwnedFd::from(a);
    let (stale, reader) = counting();
    test.enter(|| local.add_reader(&number, reader).unwrap());
    test.turn();
    // The event is there, and before the loop sees it the descriptor is closed and its number
    // becomes another socket's, which a stream owns.
    to_a.write_all(b"stale").unwrap();
    let mut number = number;
    rustix::io::dup2(&b, &mut number).unwrap();
    let warned = Arc::new(AtomicUsize::new(0));
    let mut owner = tracing::subscriber::with_default(Warnings(warned.clone()), || {
        test.enter(|| loop_runtime::io::PipeReader::new(number).unwrap())
    });
    assert_eq!(
        warned.load(Ordering::Relaxed),
        1,
        "somebody broke the contract"
    );
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let read = test.enter(|| {
        create_task(async move {
            let mut buf = [0; 8];
            let n = {
                let mut read = pin!(owner.read(&mut buf));
                poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    std::future::Future::poll(read.as_mut(), cx)
                })
                .await
                .unwrap()
            };
            (buf[..n].to_vec(), owner)
        })
    });
    test.turn();
    test.turn();
    assert_eq!(
        (polls.get(), stale.get()),
        (1, 0),
        "nobody hears of the old one's event"
    );
    to_b.write_all(b"own").unwrap();
    let (got, owner) = test.run(read).unwrap().unwrap();
    assert_eq!(got, b"own");
    // Removing the stale reader leaves the new owner its registration.
    test.enter(|| assert!(local.remove_reader(&owner.fd().unwrap())));
    to_b.write_all(b"more").unwrap();
    let mut owner = owner;
    let read = async move { owner.read(&mut [0; 8]).await };
    assert_eq!(test.run(read).unwrap().unwrap(), 4);
    assert_eq!(stale.get(), 0);
}

#[test]
fn b24_a_cancelled_write_leaves_the_room_to_the_next_one() {
    run_it(async {
        let (mut a, mut b) = tcp_pair().await;
        let block = vec![1; 16 << 20];
        waits(pin!(a.write_all(&block))).await;
        // What was moved is moved; the next write goes on behind it, once there is room.
        let (read, written) = join(
            async {
                let mut buf = vec![0; 1 << 16];
                let mut ones = 0usize;
                loop {
                    let n = b.read(&mut buf).await.unwrap();
                    ones += buf[..n].iter().filter(|byte| **byte == 1).count();
                    if buf[..n].contains(&2) {
                        return ones;
                    }
                }
            },
            a.write_all(&[2]),
        )
        .await;
        written.unwrap();
        assert!(read > 0);
    });
}

#[test]
fn b24_a_cancelled_connect_leaves_the_next_one_unharmed_and_its_descriptor_closed() {
    run_it(async {
        let listener = TcpListener::bind(free()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut cancelled = Box::pin(TcpStream::connect(address));
        waits(cancelled.as_mut()).await;
        drop(cancelled);
        let mut client = TcpStream::connect(address).await.unwrap();
        // The cancelled one was closed: its other end reads the end at once.
        let (mut first, _) = listener.accept().await.unwrap();
        assert!(matches!(first.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        let (mut second, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        client.write_all(b"x").await.unwrap();
        assert_eq!(second.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn b25_a_connect_to_a_host_whose_addresses_all_fail_tells_all_their_errors() {
    run_it(async {
        // Free a moment ago, on both.
        let port = TcpListener::bind(free())
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = TcpStream::connect_host(("localhost", port))
            .await
            .unwrap_err();
        let all = error
            .get_ref()
            .unwrap()
            .downcast_ref::<ConnectErrors>()
            .unwrap();
        assert_eq!(all.errors.len(), 2, "{error}");
        for host in ["[::1]", "127.0.0.1"] {
            let address = format!("{host}:{port}");
            assert!(error.to_string().contains(&address), "{error}");
        }
        assert_eq!(error.kind(), all.errors[1].kind());
    });
}

#[test]
fn b25_a_connect_into_a_full_accept_queue_waits_can_be_timed_out_and_the_loop_lives() {
    let mut test = TestLoop::new();
    let options = ListenOptions::default().backlog(1);
    let listener = test.enter(|| TcpListener::bind_with(free(), options).unwrap());
    let address = test.enter(|| listener.local_addr().unwrap());
    let mut fit = Vec::new();
    let limit = std::time::Duration::from_secs(5);
    // The kernel lets a few in, and drops what comes then.
    loop {
        assert!(fit.len() < 64, "the queue is never full");
        let connect = test.enter(|| {
            create_task(async move { timeout(limit, TcpStream::connect(address)).await })
        });
        let began = std::time::Instant::now();
        while !connect.done() && began.elapsed() < std::time::Duration::from_millis(300) {
            test.turn();
            std::thread::yield_now();
        }
        if !connect.done() {
            test.advance(limit);
            assert!(connect.done(), "its time is over");
            test.run(connect).unwrap().unwrap().unwrap_err();
            break;
        }
        fit.push(test.run(connect).unwrap().unwrap().unwrap().unwrap());
    }
    assert!(!fit.is_empty());
    assert_eq!(test.timers(), 0, "the one that was timed out left nothing");
    let accepted = test.run(async move { listener.accept().await.map(|_| ()) });
    accepted.unwrap().unwrap();
    test.enter(|| drop(fit));
}

#[test]
fn b25_a_name_that_does_not_resolve_is_an_error_that_names_it_and_the_loop_lives() {
    run_it(async {
        let error = TcpStream::connect_host("nowhere.invalid:80")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("nowhere.invalid"), "{error}");
        yield_now().await;
        let (mut a, mut b) = tcp_pair().await;
        a.write_all(b"x").await.unwrap();
        assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 1);
    });
}
