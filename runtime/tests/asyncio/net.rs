//! B69-B71: servers and streams.
#![cfg(unix)]

#[cfg(feature = "tls")]
mod tls;

use crate::scratch::Scratch;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, FutureExt};
use loop_runtime::net::{
    ReadError, Server, StreamOptions, StreamReader, StreamWriter, TcpListener, TcpStream,
    UnixListener, UnixStream, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
use loop_runtime::{EventLoop, all_tasks, create_task, get_running_loop, yield_now};

pub(crate) fn run<F>(future: F) -> F::Output
where
    F: Future<Output: 'static> + 'static,
{
    EventLoop::new()
        .unwrap()
        .run_until_complete(future)
        .unwrap()
}

pub(crate) fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(free()).unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = join(connect, listener.accept()).await;
    (client.unwrap(), accepted.unwrap().0)
}

/// Polls once; the future must wait.
pub(crate) async fn waits<F: Future + ?Sized>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "it does not wait");
        Poll::Ready(())
    })
    .await;
}

/// Lets the loop turn until `done`.
async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        yield_now().await;
    }
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match reader.read(&mut buf).await? {
            0 => return Ok(()),
            n => writer.write(&buf[..n])?,
        }
        writer.drain().await?;
    }
}

async fn echo_server() -> (Server, SocketAddr) {
    let server = start_server(echo, free()).await.unwrap();
    let address = server.sockets()[0].ip().unwrap();
    (server, address)
}

async fn says_back(reader: &mut StreamReader, writer: &StreamWriter) {
    writer.write(b"ping").unwrap();
    assert_eq!(reader.readexactly(4).await.unwrap(), b"ping");
}

#[test]
fn b69_after_close_new_connects_are_refused_and_open_connections_live() {
    run(async {
        let (server, address) = echo_server().await;
        let (mut reader, writer) = open_connection(address).await.unwrap();
        says_back(&mut reader, &writer).await;
        assert_eq!((server.connections(), server.is_serving()), (1, true));
        server.close();
        let error = open_connection(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(server.sockets().is_empty() && !server.is_serving());
        says_back(&mut reader, &writer).await;
        server.close();
    });
}

#[test]
fn b69_wait_closed_waits_for_the_close_and_for_the_last_connection_in_either_order() {
    run(async {
        let (server, address) = echo_server().await;
        let (mut reader, writer) = open_connection(address).await.unwrap();
        says_back(&mut reader, &writer).await;
        let mut closed = pin!(server.wait_closed());
        waits(closed.as_mut()).await;
        server.close();
        waits(closed.as_mut()).await;
        writer.close();
        closed.await;

        let (server, address) = echo_server().await;
        let (mut reader, writer) = open_connection(address).await.unwrap();
        says_back(&mut reader, &writer).await;
        writer.close();
        until(|| server.connections() == 0).await;
        let mut closed = pin!(server.wait_closed());
        waits(closed.as_mut()).await;
        server.close();
        closed.await;
    });
}

#[test]
fn b69_close_clients_lets_their_readers_find_the_end_and_unblocks_wait_closed() {
    run(async {
        let (server, address) = echo_server().await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let (mut reader, writer) = open_connection(address).await.unwrap();
            says_back(&mut reader, &writer).await;
            clients.push((reader, writer));
        }
        server.close();
        let mut closed = pin!(server.wait_closed());
        waits(closed.as_mut()).await;
        server.close_clients();
        closed.await;
        for (reader, _) in &mut clients {
            assert_eq!(reader.read_to_end().await.unwrap(), b"");
        }
    });
}

#[test]
fn b69_abort_clients_unblocks_wait_closed_where_buffers_are_full() {
    run(async {
        let ended = Rc::new(RefCell::new(None));
        let wrote = Rc::new(Cell::new(false));
        let (seen, writes) = (ended.clone(), wrote.clone());
        let flood = async move |_reader, writer: StreamWriter| {
            writer.write(&vec![7; 32 << 20]).unwrap();
            writes.set(true);
            *seen.borrow_mut() = Some(writer.drain().await);
        };
        let server = start_server(flood, free()).await.unwrap();
        let address = server.sockets()[0].ip().unwrap();
        // Never read from.
        let _client = open_connection(address).await.unwrap();
        until(|| wrote.get()).await;
        server.close();
        server.close_clients();
        let mut closed = pin!(server.wait_closed());
        waits(closed.as_mut()).await;
        assert!(
            ended.borrow().is_none(),
            "what is buffered is still to be sent"
        );
        server.abort_clients();
        closed.await;
        until(|| ended.borrow().is_some()).await;
        let drained = ended.take().unwrap();
        assert_eq!(
            drained.unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );
    });
}

#[test]
fn b69_serve_forever_that_is_cancelled_closes_the_server() {
    run(async {
        let (server, address) = echo_server().await;
        let server = Rc::new(server);
        let serving = server.clone();
        let task = create_task(async move { serving.serve_forever().await });
        let (mut reader, writer) = open_connection(address).await.unwrap();
        says_back(&mut reader, &writer).await;
        assert!(!task.done());
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!server.is_serving());
        open_connection(address).await.unwrap_err();
        says_back(&mut reader, &writer).await;

        let (server, _) = echo_server().await;
        let mut serves = pin!(server.serve_forever());
        waits(serves.as_mut()).await;
        server.close();
        serves.await;
    });
}

#[test]
fn b69_a_server_on_a_port_in_use_is_an_error_that_names_the_address() {
    run(async {
        let (_first, address) = echo_server().await;
        let error = start_server(echo, address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        let error = start_server(echo, "no port").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn b69_a_dropped_server_accepts_no_more() {
    run(async {
        let (server, address) = echo_server().await;
        let (mut reader, writer) = open_connection(address).await.unwrap();
        says_back(&mut reader, &writer).await;
        drop(server);
        open_connection(address).await.unwrap_err();
        says_back(&mut reader, &writer).await;
    });
}

#[test]
fn b69_each_connection_is_a_named_task_and_its_failure_is_heard_while_the_server_goes_on() {
    run(async {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = heard.clone();
        let local = get_running_loop().unwrap();
        local.set_exception_handler(Some(Rc::new(move |context| {
            hears.borrow_mut().push(context.to_string());
        })));
        let fails = async |mut reader: StreamReader, _writer| {
            let line = reader.readline().await.unwrap();
            match &line[..] {
                b"panic\n" => panic!("as asked"),
                _ => Err::<(), _>("no such command"),
            }
        };
        let server = start_server(fails, "localhost:0").await.unwrap();
        let address = *server.sockets().last().unwrap().ip().as_ref().unwrap();
        for line in [b"panic\n", b"other\n"] {
            let (mut reader, writer) = open_connection(address).await.unwrap();
            until(|| server.connections() == 1).await;
            let name = format!("client of {address} #");
            let infos = all_tasks()
                .unwrap()
                .into_iter()
                .filter_map(|task| task.info());
            let names: Vec<_> = infos.map(|info| info.name().to_owned()).collect();
            assert!(
                names.iter().any(|task| task.starts_with(&name)),
                "{names:?}"
            );
            writer.write(line).unwrap();
            // The handler's end of the connection goes with it.
            assert_eq!(reader.read_to_end().await.unwrap(), b"");
            until(|| server.connections() == 0).await;
        }
        let heard = heard.borrow();
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[0].contains("as asked"), "{heard:?}");
        assert!(heard[1].contains("no such command"), "{heard:?}");
    });
}

#[test]
fn b70_a_unix_server_takes_over_a_stale_file_and_removes_it_only_while_it_is_its_own() {
    let scratch = Scratch::new("server");
    let (path, other) = (scratch.file("sock"), scratch.file("other"));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::write(&other, "keep").unwrap();
    run(async move {
        let error = start_unix_server(echo, &other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let server = start_unix_server(echo, &path).unwrap();
        let (mut reader, writer) = open_unix_connection(&path).await.unwrap();
        says_back(&mut reader, &writer).await;
        assert_eq!(
            writer.peer().unwrap().to_string(),
            path.display().to_string()
        );
        server.close();
        assert!(!path.exists(), "closed, and its file gone with it");
        says_back(&mut reader, &writer).await;

        let server = start_unix_server(echo, &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        server.close();
        assert!(path.exists(), "another's by now");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "keep");
    });
}

/// A connection of which one end is raw, so that a test decides what is read when.
async fn half_raw(options: StreamOptions) -> (StreamReader, StreamWriter, TcpStream) {
    let (a, b) = tcp_pair().await;
    let (reader, writer) = a.into_streams(options).unwrap();
    (reader, writer, b)
}

#[test]
fn b71_writing_and_draining_against_a_closed_peer_ends_with_an_error_and_never_spins() {
    run(async {
        let (_reader, writer, peer) = half_raw(StreamOptions::default()).await;
        drop(peer);
        let mut rounds = 0;
        let error = loop {
            rounds += 1;
            assert!(rounds < 10_000, "spins");
            if let Err(error) = writer.write(&[0; 4096]) {
                break error;
            }
            if let Err(error) = writer.drain().await {
                break error;
            }
        };
        let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(expected.contains(&error.kind()), "{error:?}");
        // And is told again.
        assert_eq!(writer.write(b"x").unwrap_err().kind(), error.kind());
        assert_eq!(writer.drain().await.unwrap_err().kind(), error.kind());
        writer.close();
        assert_eq!(writer.wait_closed().await.unwrap_err().kind(), error.kind());
    });
}

#[test]
fn b71_a_peer_that_resets_while_a_drain_waits_ends_it_with_an_error() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (_reader, writer) = open_connection(listener.local_addr().unwrap())
            .await
            .unwrap();
        let peer = socket2::Socket::from(listener.accept().unwrap().0);
        writer.write(&vec![0; 16 << 20]).unwrap();
        let mut drain = pin!(writer.drain());
        waits(drain.as_mut()).await;
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let error = drain.await.unwrap_err();
        let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(expected.contains(&error.kind()), "{error:?}");
        // The loop lives, and so does what else runs on it.
        let (mut a, mut b) = tcp_pair().await;
        a.write_all(b"x").await.unwrap();
        assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn b71_ten_concurrent_drains_all_wake() {
    run(async {
        let (_reader, writer, mut peer) = half_raw(StreamOptions::default()).await;
        writer.write(&vec![0; 16 << 20]).unwrap();
        let mut drains = pin!(join_all((0..10).map(|_| writer.drain())));
        waits(drains.as_mut()).await;
        let read = async {
            let mut buf = vec![0; 1 << 16];
            let mut left: usize = 16 << 20;
            while left > 0 {
                left -= peer.read(&mut buf).await.unwrap();
            }
        };
        let (drained, ()) = join(drains, read).await;
        assert_eq!(drained.len(), 10);
        assert!(drained.iter().all(Result::is_ok));
    });
}

#[test]
fn b71_over_the_high_water_drain_waits_until_the_low_one() {
    run(async {
        let (_reader, writer, mut peer) = half_raw(StreamOptions::default()).await;
        let (high, low) = (24 << 20, 64 << 10);
        writer.set_limits(high, low).unwrap();
        while writer.buffered().unwrap() <= high {
            // Little is buffered yet, so it does not wait.
            assert!(writer.drain().now_or_never().is_some());
            writer.write(&[0; 1 << 20]).unwrap();
        }
        let mut drain = pin!(writer.drain());
        let mut buf = vec![0; 1 << 16];
        let mut least = writer.buffered().unwrap();
        poll_fn(|cx| {
            loop {
                let buffered = writer.buffered().unwrap();
                match drain.as_mut().poll(cx) {
                    Poll::Ready(done) => {
                        done.unwrap();
                        assert!(buffered <= low, "{buffered}");
                        return Poll::Ready(());
                    }
                    Poll::Pending => assert!(buffered > low, "{buffered}"),
                }
                least = least.min(buffered);
                let mut read = pin!(peer.read(&mut buf));
                if read.as_mut().poll(cx).is_pending() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        })
        .await;
        assert!(least < high, "seen between both waters, and waiting");
    });
}

#[test]
fn b71_a_reader_that_is_not_asked_reads_no_more_than_its_limit_ahead() {
    run(async {
        let (a, b) = tcp_pair().await;
        let limit = 16 << 10;
        let (mut reader, _w) = a
            .into_streams(StreamOptions::default().limit(limit))
            .unwrap();
        let (_r, writer) = b.into_streams(StreamOptions::default()).unwrap();
        writer.write(b"line\n").unwrap();
        writer.write(&vec![b'x'; 32 << 20]).unwrap();
        assert_eq!(reader.readline().await.unwrap(), b"line\n");
        for _ in 0..1_000 {
            yield_now().await;
        }
        assert!(
            reader.buffered().len() <= limit,
            "{}",
            reader.buffered().len()
        );
        let waiting = writer.buffered().unwrap();
        assert!(waiting > 0, "the writer is held back");
        // And goes on when it is read.
        let mut left: usize = 32 << 20;
        let mut buf = vec![0; 1 << 16];
        while left > 0 {
            left -= reader.read(&mut buf).await.unwrap();
        }
        assert_eq!(writer.buffered().unwrap(), 0);
    });
}

#[test]
fn b71_a_separator_past_the_limit_is_an_overrun_that_leaves_the_bytes() {
    run(async {
        let (mut reader, _w, mut peer) = half_raw(StreamOptions::default().limit(8)).await;
        peer.write_all(b"0123456789abcdef").await.unwrap();
        // Not found within the limit.
        match reader.readuntil(b"\r\n").await.unwrap_err() {
            ReadError::LimitOverrun { consumed } => assert!((9..=16).contains(&consumed)),
            other => panic!("{other}"),
        }
        assert_eq!(reader.readexactly(16).await.unwrap(), b"0123456789abcdef");
        // Found, but the chunk is longer than the limit.
        peer.write_all(b"0123456789\r\nnext\r\n").await.unwrap();
        match reader.readuntil(b"\r\n").await.unwrap_err() {
            ReadError::LimitOverrun { consumed } => assert!((9..=10).contains(&consumed)),
            other => panic!("{other}"),
        }
        assert_eq!(reader.readexactly(12).await.unwrap(), b"0123456789\r\n");
        assert_eq!(reader.readuntil(b"\r\n").await.unwrap(), b"next\r\n");
        match reader.readuntil(b"").await.unwrap_err() {
            ReadError::Io(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn b71_a_line_past_the_limit_is_thrown_away_and_the_next_one_is_read() {
    run(async {
        let (mut reader, _w, mut peer) = half_raw(StreamOptions::default().limit(8)).await;
        peer.write_all(b"0123456789\nnext\nrest").await.unwrap();
        drop(peer);
        let error = reader.readline().await.unwrap_err();
        assert!(matches!(error, ReadError::LimitOverrun { .. }), "{error}");
        let mut rest = Vec::new();
        while !reader.at_eof() {
            rest.extend(reader.readline().await.unwrap());
        }
        assert!(rest.ends_with(b"next\nrest"), "{rest:?}");
        assert_eq!(reader.readline().await.unwrap(), b"", "the end");
    });
}

#[test]
fn b71_the_end_within_an_exact_read_is_incomplete_with_what_came() {
    run(async {
        let (mut reader, _w, mut peer) = half_raw(StreamOptions::default()).await;
        peer.write_all(b"abc").await.unwrap();
        drop(peer);
        match reader.readexactly(5).await.unwrap_err() {
            ReadError::Incomplete { partial, expected } => {
                assert_eq!((&partial[..], expected), (&b"abc"[..], Some(5)));
            }
            other => panic!("{other}"),
        }
        assert_eq!(reader.readexactly(0).await.unwrap(), b"");
        match reader.readuntil(b";").await.unwrap_err() {
            ReadError::Incomplete { partial, expected } => {
                assert_eq!((&partial[..], expected), (&b""[..], None));
            }
            other => panic!("{other}"),
        }
    });
}

#[test]
fn b71_a_cancelled_read_loses_nothing_even_of_a_separator_that_comes_in_parts() {
    run(async {
        let (mut reader, _w, mut peer) = half_raw(StreamOptions::default()).await;
        for part in [b"one\r".as_slice(), b"\ntw", b"o\r"] {
            peer.write_all(part).await.unwrap();
        }
        assert_eq!(reader.readuntil(b"\r\n").await.unwrap(), b"one\r\n");
        waits(pin!(reader.readuntil(b"\r\n"))).await;
        waits(pin!(reader.readexactly(6))).await;
        peer.write_all(b"\n").await.unwrap();
        assert_eq!(reader.readuntil(b"\r\n").await.unwrap(), b"two\r\n");
    });
}

#[test]
fn b71_a_reset_is_read_after_what_came_before_it_and_again_by_each_later_read() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = open_connection(listener.local_addr().unwrap()).await;
        let (mut reader, writer) = connected.unwrap();
        let peer = socket2::Socket::from(listener.accept().unwrap().0);
        // A reset drops what has not been read, so the part is read ahead.
        peer.send(b"part").unwrap();
        waits(pin!(reader.readexactly(8))).await;
        until(|| true).await;
        writer.write(b"unread").unwrap();
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        while reader.buffered().is_empty() {
            waits(pin!(reader.readexactly(8))).await;
            yield_now().await;
        }
        drop(peer);
        for _ in 0..2 {
            match reader.readexactly(8).await.unwrap_err() {
                ReadError::Io(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(reader.buffered(), b"part");
    });
}

#[test]
fn b71_what_is_buffered_goes_out_by_itself_before_the_end() {
    run(async {
        // By `write_eof`, after which the stream still reads; by `close`; by a drop.
        for how in 0..3 {
            let (mut reader, writer, mut peer) = half_raw(StreamOptions::default()).await;
            writer.write(&vec![7; 8 << 20]).unwrap();
            assert!(writer.buffered().unwrap() > 0);
            let mut writer = Some(writer);
            match how {
                0 => writer.as_ref().unwrap().write_eof().unwrap(),
                1 => writer.as_ref().unwrap().close(),
                _ => drop(writer.take()),
            }
            if let Some(writer) = &writer {
                let error = writer.write(b"more").unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                assert_eq!(writer.is_closing(), how == 1);
            }
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.unwrap();
            assert!(all == vec![7; 8 << 20], "{} bytes came", all.len());
            if how == 1 {
                writer.as_ref().unwrap().wait_closed().await.unwrap();
                assert_eq!(reader.read_to_end().await.unwrap(), b"");
            } else {
                peer.write_all(b"back").await.unwrap();
                assert_eq!(reader.readexactly(4).await.unwrap(), b"back");
            }
        }
    });
}

#[test]
fn b71_streams_say_who_they_are() {
    run(async {
        let (a, b) = tcp_pair().await;
        let (here, there) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let id = a.id().unwrap();
        let (_reader, writer) = a.into_streams(StreamOptions::default()).unwrap();
        assert_eq!(writer.local().unwrap().ip(), Some(here));
        assert_eq!(writer.peer().unwrap().ip(), Some(there));
        assert_eq!(writer.id().unwrap(), id);
        assert!(writer.fd().unwrap() > 2);
        writer.writelines([b"a", b"b"]).unwrap();
        drop(writer);
        let (mut reader, _) = b.into_streams(StreamOptions::default()).unwrap();
        assert_eq!(reader.read_to_end().await.unwrap(), b"ab");
    });
}

#[test]
fn b71_a_writer_used_on_another_loop_says_so_and_dropped_there_ends_at_home() {
    let (home, other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    let (reader, writer, mut peer) = home
        .run_until_complete(half_raw(StreamOptions::default()))
        .unwrap();
    let wrong = other.enter(|| writer.write(b"x").unwrap_err());
    assert!(wrong.to_string().contains("belongs to loop"), "{wrong}");
    std::thread::spawn(move || drop(writer)).join().unwrap();
    let ended = Rc::new(Cell::new(false));
    let seen = ended.clone();
    home.run_until_complete(async move {
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
        drop(reader);
        seen.set(true);
    })
    .unwrap();
    assert!(ended.get());
}

#[test]
fn b69_a_port_in_use_is_an_error_that_names_the_address() {
    run(async {
        let first = TcpListener::bind(free()).unwrap();
        let address = first.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    });
}

#[test]
fn b69_a_port_can_be_bound_again_while_its_connections_linger() {
    run(async {
        let listener = TcpListener::bind(free()).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = join(TcpStream::connect(address), listener.accept()).await;
        // The side that closes first lingers.
        drop(accepted);
        drop(listener);
        TcpListener::bind(address).unwrap();
        drop(client);
    });
}

#[test]
fn b71_a_write_to_a_closed_peer_ends_with_an_error() {
    run(async {
        let (mut a, b) = tcp_pair().await;
        drop(b);
        let block = [0; 1 << 16];
        let error = loop {
            if let Err(error) = a.write_all(&block).await {
                break error;
            }
        };
        assert!(
            matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ),
            "{error:?}"
        );
    });
}

#[test]
fn b71_an_early_end_of_an_exact_read_is_unexpected() {
    run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        a.write_all(b"ab").await.unwrap();
        drop(a);
        let mut buf = [0; 3];
        let error = b.read_exact(&mut buf).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(&buf[..2], b"ab");
    });
}

#[test]
fn b70_a_unix_listener_removes_its_file_when_it_goes() {
    let scratch = Scratch::new("removes");
    let path = scratch.file("sock");
    run(async move {
        let listener = UnixListener::bind(&path).unwrap();
        let (client, accepted) = join(UnixStream::connect(&path), listener.accept()).await;
        let (mut client, (mut accepted, _)) = (client.unwrap(), accepted.unwrap());
        client.write_all(b"hi").await.unwrap();
        let mut buf = [0; 2];
        accepted.read_exact(&mut buf).await.unwrap();
        assert!(path.exists());
        drop(listener);
        assert!(!path.exists());
    });
}

#[test]
fn b70_a_stale_socket_file_is_replaced() {
    let scratch = Scratch::new("stale");
    let path = scratch.file("sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves it");
    run(async move {
        let listener = UnixListener::bind(&path).unwrap();
        let (client, accepted) = join(UnixStream::connect(&path), listener.accept()).await;
        client.unwrap();
        accepted.unwrap();
    });
}

#[test]
fn b70_a_socket_on_which_somebody_listens_is_in_use_even_if_its_backlog_is_full() {
    let scratch = Scratch::new("in-use");
    let path = scratch.file("sock");
    run(async move {
        let _first = UnixListener::bind(&path).unwrap();
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("sock"), "{error}");
    });
    let full = scratch.file("full");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(&full).unwrap();
    socket.bind(&address).unwrap();
    socket.listen(0).unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let client =
                socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            (client.connect(&address).is_ok(), client)
        })
        .collect();
    assert!(waiting.iter().any(|(connected, _)| !connected), "not full");
    run(async move {
        let error = UnixListener::bind(&full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn b70_a_file_that_is_no_socket_is_left_alone() {
    let scratch = Scratch::new("file");
    let path = scratch.file("notes.txt");
    std::fs::write(&path, "keep").unwrap();
    let taken = path.clone();
    run(async move {
        let error = UnixListener::bind(&taken).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "keep");
}

#[test]
fn b70_a_file_that_is_another_s_by_now_is_not_removed() {
    let scratch = Scratch::new("other");
    let path = scratch.file("sock");
    run(async move {
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    });
}
