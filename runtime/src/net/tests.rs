//! What sockets leave behind in the record and in the kernel: nothing.

use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::panic::Location;
use std::task::Poll;

use super::*;
use crate::context;
use crate::event_loop::EventLoop;
use crate::record::source::{Address, Kind, SourceFacts};
use crate::record::task::On;

fn run<F>(future: F) -> F::Output
where
    F: Future<Output: 'static> + 'static,
{
    let event_loop = EventLoop::new().unwrap();
    event_loop.run_until_complete(future).unwrap()
}

/// The rows of the app's sources.
fn rows() -> Vec<SourceFacts> {
    context::expect(|organs| {
        let rows = organs.record.sources.live();
        rows.filter_map(|(_, row)| row.read())
            .filter(|facts| facts.kind != Kind::Internal)
            .collect()
    })
}

fn timers() -> usize {
    context::expect(|organs| organs.timers.len())
}

/// Polls once and drops.
async fn cancelled<F: Future>(future: F) {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn a_cancelled_connect_closes_its_descriptor_and_leaves_no_row() {
    run(async {
        let listener = bound();
        let address = listener.local_addr().unwrap();
        let mut connect = Box::pin(TcpStream::connect(address));
        poll_fn(|cx| {
            assert!(connect.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(rows().len(), 2);
        drop(connect);
        assert_eq!(rows().len(), 1);
        // The other end sees the close.
        let (mut accepted, _) = listener.accept().await.unwrap();
        assert!(matches!(accepted.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    });
}

#[test]
fn a_connect_that_takes_too_long_leaves_neither_row_nor_timer() {
    run(async {
        let listener = bound();
        let connect = TcpStream::connect(listener.local_addr().unwrap());
        let limited = crate::time::timeout(std::time::Duration::ZERO, connect);
        assert!(limited.await.is_err());
        assert_eq!((rows().len(), timers()), (1, 0));
    });
}

#[test]
fn a_refused_connect_leaves_no_row() {
    run(async {
        let address = bound().local_addr().unwrap();
        TcpStream::connect(address).await.unwrap_err();
        assert!(rows().is_empty());
    });
}

#[test]
fn a_row_says_what_is_connected_to_what_and_since_where() {
    run(async {
        let listener = bound();
        let address = listener.local_addr().unwrap();
        let line = Location::caller().line() + 1;
        let client = TcpStream::connect(address).await.unwrap();
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        let rows = rows();
        let row = |id: u64| rows.iter().find(|facts| facts.id == id).unwrap();
        let listening = row(listener.id().unwrap());
        assert_eq!(listening.kind, Kind::TcpListener);
        let connected = row(client.id().unwrap());
        assert_eq!(connected.local, crate::record::source::Address::Ip(peer));
        assert_eq!(connected.peer, crate::record::source::Address::Ip(address));
        let place = connected.place.unwrap();
        assert!(place.file().ends_with("net/tests.rs"), "{place}");
        assert_eq!(place.line(), line);
        let accepted = rows
            .iter()
            .find(|facts| facts.peer == crate::record::source::Address::Ip(peer));
        assert_eq!(
            accepted.unwrap().local,
            crate::record::source::Address::Ip(address)
        );
    });
}

#[test]
fn who_waits_is_in_the_row_while_it_waits_and_names_its_await() {
    run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let id = a.id().unwrap();
        let reader = crate::spawn::create_task(async move {
            let mut buf = [0; 8];
            let line = Location::caller().line() + 1;
            let n = a.read(&mut buf).await.unwrap();
            (n, line)
        });
        crate::spawn::yield_now().await;
        crate::spawn::yield_now().await;
        let waiting = rows().into_iter().find(|facts| facts.id == id).unwrap();
        assert_eq!(waiting.reader, reader.id().get());
        let (_, facts) = context::expect(|organs| {
            crate::record::find_task(&organs.record, reader.id().get()).unwrap()
        });
        assert_eq!(
            (facts.waiting_on.kind(), facts.waiting_on.id()),
            (On::Source, id)
        );
        let place = facts.waiting_at.unwrap();
        b.write_all(b"x").await.unwrap();
        let (n, line) = reader.await.unwrap();
        assert_eq!((n, place.line()), (1, line), "{place}");
    });
}

#[test]
fn cancelled_operations_leave_no_waiter() {
    run(async {
        let listener = bound();
        cancelled(listener.accept()).await;
        let (mut a, _b) = UnixStream::pair().unwrap();
        cancelled(a.read(&mut [0; 8])).await;
        let waiting = rows().into_iter().filter(|facts| facts.interest != 0);
        assert_eq!(waiting.count(), 0);
    });
}

#[test]
fn the_two_halves_may_live_in_two_tasks() {
    run(async {
        let (a, mut b) = UnixStream::pair().unwrap();
        let (mut reads, mut writes) = a.into_split();
        let writer = crate::spawn::create_task(async move { writes.write_all(b"ping").await });
        let mut buf = [0; 4];
        b.read_exact(&mut buf).await.unwrap();
        writer.await.unwrap().unwrap();
        // The writing half is gone, and with it the way there; the way back stays open.
        assert_eq!(b.read(&mut buf).await.unwrap(), 0);
        b.write_all(b"pong").await.unwrap();
        reads.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"pong");
        drop((reads, b));
        assert!(rows().is_empty());
    });
}

#[test]
fn datagram_sockets_and_pipes_are_rows_that_say_what_they_are_and_who_waits() {
    run(async {
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        a.connect(b.local_addr().unwrap()).unwrap();
        let (c, _d) = UnixDatagram::pair().unwrap();
        let (mut reader, writer) = crate::io::pipe().unwrap();
        let row = |id: std::io::Result<u64>| {
            let id = id.unwrap();
            rows().into_iter().find(|facts| facts.id == id).unwrap()
        };
        let (udp, unix) = (row(a.id()), row(c.id()));
        assert_eq!(udp.kind, Kind::Udp);
        let ip = |socket: &UdpSocket| Address::Ip(socket.local_addr().unwrap());
        assert_eq!((udp.local, udp.peer), (ip(&a), ip(&b)));
        assert_eq!(
            (unix.kind, unix.local, unix.peer),
            (Kind::UnixDatagram, Address::Unnamed, Address::Unnamed)
        );
        assert_eq!(row(writer.id()).kind, Kind::Pipe);
        let (id, fd) = (reader.id(), reader.fd().unwrap().as_raw_fd());
        let read = crate::spawn::create_task(async move { reader.read(&mut [0; 8]).await });
        let receive = crate::spawn::create_task(async move { b.recv(&mut [0; 8]).await });
        crate::spawn::yield_now().await;
        crate::spawn::yield_now().await;
        let piped = row(id);
        assert_eq!((piped.kind, piped.fd), (Kind::Pipe, fd.into()));
        assert_eq!(piped.reader, read.id().get());
        assert!(
            rows()
                .iter()
                .any(|facts| facts.reader == receive.id().get())
        );
        drop(writer);
        assert_eq!(read.await.unwrap().unwrap(), 0);
        a.send(b"x").await.unwrap();
        assert_eq!(receive.await.unwrap().unwrap(), 1);
        drop((a, c, _d));
        assert!(rows().is_empty());
    });
}

#[test]
fn what_a_writer_holds_and_who_drains_it_is_in_the_row_until_it_is_out() {
    run(async {
        let (a, mut b) = UnixStream::pair().unwrap();
        let id = a.id().unwrap();
        let row = move || rows().into_iter().find(|facts| facts.id == id).unwrap();
        let (_reader, writer) = a.into_streams(StreamOptions::default()).unwrap();
        assert_eq!(row().queued, 0);
        writer.write(&vec![0; 4 << 20]).unwrap();
        let facts = row();
        assert_eq!(facts.queued, writer.buffered().unwrap() as u64);
        assert!(facts.queued > 0);
        assert_eq!(facts.writer, 0, "nobody waits for it");
        let task = crate::spawn::create_task(async move {
            writer.drain().await.unwrap();
            writer
        });
        crate::spawn::yield_now().await;
        crate::spawn::yield_now().await;
        assert_eq!(row().writer, task.id().get());
        let (_, waits) = context::expect(|organs| {
            crate::record::find_task(&organs.record, task.id().get()).unwrap()
        });
        assert_eq!(
            (waits.waiting_on.kind(), waits.waiting_on.id()),
            (On::Source, id)
        );
        assert!(waits.waiting_at.unwrap().file().ends_with("net/tests.rs"));
        let mut left = 4usize << 20;
        let mut buf = vec![0; 1 << 16];
        while left > 0 {
            left -= b.read(&mut buf).await.unwrap();
        }
        let writer = task.await.unwrap();
        assert_eq!((row().queued, row().writer), (0, 0));
        drop(writer);
    });
}

#[test]
fn a_lookup_is_a_job_named_after_its_host_and_seen_while_it_is_abandoned() {
    run(async {
        let jobs = || {
            context::expect(|organs| {
                let live = organs.record.jobs.live();
                let facts = live.filter_map(|(_, row)| row.read());
                facts.collect::<Vec<_>>()
            })
        };
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (runs, running) = std::sync::mpsc::channel();
        let lookup = lookup::lookup_with("slow.example", 80, move |_, port| {
            runs.send(()).unwrap();
            // Until the test lets go, or is over.
            let _ = gate.recv();
            Ok(vec![([127, 0, 0, 1], port).into()])
        });
        let mut lookup = Box::pin(lookup);
        poll_fn(|cx| {
            assert!(lookup.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        running.recv().unwrap();
        let named =
            |facts: &crate::record::job::JobFacts| facts.name.text().unwrap_or_default().to_owned();
        let seen = jobs();
        assert_eq!(seen.len(), 1);
        assert_eq!(
            (named(&seen[0]), seen[0].cancelled),
            ("slow.example".into(), false)
        );
        drop(lookup);
        let seen = jobs();
        assert_eq!(
            (named(&seen[0]), seen[0].cancelled),
            ("slow.example".into(), true)
        );
        drop(release);
        while !jobs().is_empty() {
            crate::spawn::yield_now().await;
        }
        // What needs no thread makes no job.
        lookup::lookup_host("LOCALHOST", 80).await.unwrap();
        lookup::lookup_host("127.0.0.1", 80).await.unwrap();
        assert!(jobs().is_empty());
    });
}

/// An address whose accept queue is full, so that a connect to it waits; until the guards go.
fn silent() -> (std::net::SocketAddr, Vec<socket2::Socket>) {
    let socket =
        || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listening = socket();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listening.bind(&any.into()).unwrap();
    listening.listen(0).unwrap();
    let address = listening.local_addr().unwrap();
    let mut guards = vec![listening];
    for _ in 0..4 {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        // Pending once the queue is full.
        let _ = client.connect(&address);
        guards.push(client);
    }
    (address.as_socket().unwrap(), guards)
}

#[test]
fn an_address_that_is_silent_is_joined_by_the_next_one_after_a_quarter_of_a_second() {
    let mut test = crate::testing::TestLoop::new();
    let (silent, _guards) = silent();
    let listener = test.enter(bound);
    let good = test.enter(|| listener.local_addr()).unwrap();
    let attempts = |test: &crate::testing::TestLoop| {
        test.enter(|| rows().iter().filter(|row| row.kind == Kind::Tcp).count())
    };
    let race = race::Race::new(vec![silent, good], Some(race::STAGGER));
    let task = test.enter(|| crate::spawn::create_task(race));
    test.advance(std::time::Duration::from_millis(249));
    assert_eq!((attempts(&test), task.done()), (1, false));
    test.advance(std::time::Duration::from_millis(1));
    assert!(task.done());
    let stream = test.run(task).unwrap().unwrap().unwrap();
    assert_eq!(test.enter(|| stream.peer_addr()).unwrap(), good);
    assert_eq!(
        (attempts(&test), test.timers()),
        (1, 0),
        "the slow one is gone"
    );

    // One that fails is followed at once, and with no stagger only then.
    let refused = test.enter(|| bound().local_addr()).unwrap();
    let race = race::Race::new(vec![refused, good], None);
    let task = test.enter(|| crate::spawn::create_task(race));
    // The clock stands still; each turn looks at the sockets once.
    for _ in 0..10 {
        test.turn();
    }
    assert!(task.done());
    test.enter(|| drop(task));
    let race = race::Race::new(vec![silent, good], None);
    let task = test.enter(|| crate::spawn::create_task(race));
    test.advance(std::time::Duration::from_secs(3600));
    assert!(!task.done());
    task.cancel();
    test.turn();
    assert!(test.run(task).unwrap().is_err());
    test.enter(|| drop((stream, listener)));
    assert_eq!(attempts(&test), 0);
}
