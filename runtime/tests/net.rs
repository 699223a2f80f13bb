//! Sockets over loopback and pipes, as an app uses them.
#![cfg(unix)]

mod scratch;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use loop_runtime::EventLoop;
use loop_runtime::io::{PipeReader, pipe};
use loop_runtime::net::{
    ListenOptions, TcpListener, TcpStream, UdpOptions, UdpSocket, UnixDatagram, UnixStream,
};
use scratch::Scratch;

fn run<F>(future: F) -> F::Output
where
    F: Future<Output: 'static> + 'static,
{
    EventLoop::new()
        .unwrap()
        .run_until_complete(future)
        .unwrap()
}

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(free()).unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = join(connect, listener.accept()).await;
    (client.unwrap(), accepted.unwrap().0)
}

#[test]
fn what_one_end_writes_the_other_reads_to_the_end() {
    run(async {
        let (mut a, mut b) = tcp_pair().await;
        assert_eq!(a.local_addr().unwrap(), b.peer_addr().unwrap());
        a.write_all(b"hello").await.unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        let mut buf = [0; 64];
        assert_eq!(b.read(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        // The end came together with the data, and the short read must not hide it.
        assert_eq!(b.read(&mut buf).await.unwrap(), 0);
        b.write_all(b"bye").await.unwrap();
        a.read_exact(&mut buf[..3]).await.unwrap();
        assert_eq!(&buf[..3], b"bye");
    });
}

#[test]
fn megabytes_pass_in_both_directions_at_once_through_halves() {
    const SIZE: usize = 4 << 20;
    run(async {
        let (a, b) = tcp_pair().await;
        let traffic = |stream: TcpStream, seed: u8| {
            let (mut reads, mut writes) = stream.into_split();
            let sent: Vec<u8> = (0..SIZE)
                .map(|i| (i as u8).wrapping_mul(31) ^ seed)
                .collect();
            let write = async move {
                writes.write_all(&sent).await.unwrap();
                drop(writes);
            };
            let read = async move {
                let mut got = Vec::new();
                reads.read_to_end(&mut got).await.unwrap();
                got
            };
            join(write, read)
        };
        let (((), at_a), ((), at_b)) = join(traffic(a, 1), traffic(b, 2)).await;
        assert_eq!((at_a.len(), at_b.len()), (SIZE, SIZE));
        assert!(
            at_a.iter()
                .enumerate()
                .all(|(i, &byte)| byte == (i as u8).wrapping_mul(31) ^ 2)
        );
    });
}

#[test]
fn the_combinators_of_futures_work_on_streams() {
    run(async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        AsyncWriteExt::write_all(&mut a, b"one\ntwo\n")
            .await
            .unwrap();
        a.close().await.unwrap();
        let mut text = String::new();
        b.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one\ntwo\n");
    });
}

#[test]
fn a_stream_used_on_another_loop_says_so_and_is_still_good_at_home() {
    let (home, other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    let (mut a, mut b) = home.enter(|| UnixStream::pair().unwrap());
    let (error, mut a) = other
        .run_until_complete(async move {
            let error = a.write_all(b"x").await.unwrap_err();
            (error, a)
        })
        .unwrap();
    assert!(error.to_string().contains("belongs to loop"), "{error}");
    let got = home
        .run_until_complete(async move {
            a.write_all(b"x").await.unwrap();
            b.read(&mut [0; 8]).await.unwrap()
        })
        .unwrap();
    assert_eq!(got, 1);
}

#[test]
fn a_stream_dropped_on_another_thread_is_closed_at_home() {
    let home = EventLoop::new().unwrap();
    let (a, mut b) = home.enter(|| UnixStream::pair().unwrap());
    std::thread::spawn(move || drop(a)).join().unwrap();
    let read = home.run_until_complete(async move { b.read(&mut [0; 8]).await });
    assert_eq!(read.unwrap().unwrap(), 0);
}

#[test]
fn without_a_loop_a_socket_is_an_error_and_not_a_panic() {
    let error = TcpListener::bind(free()).unwrap_err();
    assert!(error.to_string().contains("no event loop"), "{error}");
    let connect = pin!(TcpStream::connect("127.0.0.1:9".parse().unwrap()));
    let polled = connect.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(_))));
}

#[test]
fn a_host_in_figures_needs_no_thread_and_a_name_is_looked_up() {
    run(async {
        let figures = loop_runtime::net::lookup_host("::1", 80).await.unwrap();
        assert_eq!(figures, ["[::1]:80".parse().unwrap()]);
        let named = loop_runtime::net::lookup_host("localhost", 80)
            .await
            .unwrap();
        assert!(
            named
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 80)
        );
        assert!(!named.is_empty());
    });
}

#[test]
fn a_connection_by_name_tries_all_addresses() {
    run(async {
        let listener = TcpListener::bind(free()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = TcpStream::connect_host(("localhost", port));
        let (connected, accepted) = join(connect, listener.accept()).await;
        connected.unwrap();
        accepted.unwrap();
    });
}

#[test]
fn several_listeners_may_share_a_port_when_asked() {
    run(async {
        let options = ListenOptions::default().reuse_port(true).backlog(16);
        let first = TcpListener::bind_with(free(), options).unwrap();
        TcpListener::bind_with(first.local_addr().unwrap(), options).unwrap();
    });
}

#[test]
fn small_writes_can_be_sent_at_once() {
    run(async {
        let (a, _b) = tcp_pair().await;
        assert!(!a.nodelay().unwrap());
        a.set_nodelay(true).unwrap();
        assert!(a.nodelay().unwrap());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_unix_peer_is_this_process() {
    run(async {
        let (a, _b) = UnixStream::pair().unwrap();
        let peer = a.peer_credentials().unwrap();
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
    });
}

#[test]
fn a_pipe_full_to_the_brim_waits_for_its_reader() {
    run(async {
        let (mut reader, mut writer) = pipe().unwrap();
        let sent: Vec<u8> = (0..1 << 20).map(|i: u32| ((i * 31) >> 3) as u8).collect();
        let expected = sent.clone();
        let write = async move {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
            let error = writer.write_all(b"more").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        };
        let read = async move {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            got
        };
        let ((), got) = join(write, read).await;
        assert!(got == expected, "{} bytes came", got.len());
    });
}

#[test]
fn a_pipe_tells_its_writer_that_the_reader_went_while_it_waited() {
    run(async {
        let (reader, mut writer) = pipe().unwrap();
        let block = [0; 1 << 16];
        let mut write = pin!(async {
            loop {
                if let Err(error) = writer.write_all(&block).await {
                    return error;
                }
            }
        });
        poll_fn(|cx| {
            assert!(write.as_mut().poll(cx).is_pending(), "the pipe is full");
            Poll::Ready(())
        })
        .await;
        drop(reader);
        assert_eq!(write.await.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_socket_of_messages_is_read_message_by_message_as_a_pipe() {
    run(async {
        let (a, b) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let mut reader = PipeReader::new(a).unwrap();
        let mut buf = [0; 16];
        for message in [b"one".as_slice(), b"three"] {
            b.send(message).unwrap();
        }
        // A short message says nothing about the next one.
        assert_eq!(reader.read(&mut buf).await.unwrap(), 3);
        assert_eq!(reader.read(&mut buf).await.unwrap(), 5);
    });
}

#[test]
fn a_file_is_no_pipe_and_the_error_says_what_to_do() {
    run(async {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = PipeReader::new(file).unwrap_err();
        assert!(error.to_string().contains("run_in_executor"), "{error}");
    });
}

fn udp() -> UdpSocket {
    UdpSocket::bind(free()).unwrap()
}

#[test]
fn datagrams_keep_their_borders_and_what_does_not_fit_is_cut_off() {
    run(async {
        let (a, b) = (udp(), udp());
        let to = b.local_addr().unwrap();
        for message in [b"one".as_slice(), b"", b"three"] {
            assert_eq!(a.send_to(message, to).await.unwrap(), message.len());
        }
        let mut buf = [0; 4];
        assert_eq!(b.peek_from(&mut buf).await.unwrap().0, 3);
        let (length, from) = b.recv_from(&mut buf).await.unwrap();
        assert_eq!(
            (&buf[..length], from),
            (&b"one"[..], a.local_addr().unwrap())
        );
        assert_eq!(
            b.recv(&mut buf).await.unwrap(),
            0,
            "an empty message is one"
        );
        assert_eq!(b.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"thre");
    });
}

#[test]
fn a_cancelled_receive_leaves_the_message_to_the_next() {
    run(async {
        let (a, b) = (udp(), udp());
        let mut buf = [0; 8];
        {
            let mut cancelled = pin!(b.recv_from(&mut buf));
            poll_fn(|cx| {
                assert!(cancelled.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        a.send_to(b"x", b.local_addr().unwrap()).await.unwrap();
        assert_eq!(b.recv(&mut buf).await.unwrap(), 1);
    });
}

#[test]
fn a_refused_datagram_is_told_once_and_the_socket_is_as_good_as_before() {
    run(async {
        let gone = udp().local_addr().unwrap();
        let a = udp();
        a.connect(gone).unwrap();
        assert_eq!(a.peer_addr().unwrap(), gone);
        a.send(b"to nobody").await.unwrap();
        let error = a.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let b = UdpSocket::bind(gone).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        a.send(b"hello").await.unwrap();
        assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 5);
        b.send(b"you").await.unwrap();
        assert_eq!(a.recv(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn two_tasks_may_receive_on_one_socket_and_each_gets_a_message_of_its_own() {
    run(async {
        let (a, b) = (udp(), udp());
        let to = b.local_addr().unwrap();
        let receive = || async {
            let mut buf = [0; 1];
            b.recv(&mut buf).await.unwrap();
            buf[0]
        };
        let send = async {
            a.send_to(b"1", to).await.unwrap();
            a.send_to(b"2", to).await.unwrap();
        };
        let ((one, two), ()) = join(join(receive(), receive()), send).await;
        assert_eq!((one.min(two), one.max(two)), (b'1', b'2'));
    });
}

#[test]
fn broadcast_needs_to_be_allowed_and_a_group_s_messages_come_to_its_members() {
    run(async {
        let a = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let everybody = "255.255.255.255:9".parse().unwrap();
        assert!(!a.broadcast().unwrap());
        let error = a.send_to(b"x", everybody).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        a.set_broadcast(true).unwrap();
        assert!(a.broadcast().unwrap());

        let (local, group) = (
            "127.0.0.1".parse().unwrap(),
            "239.255.77.1".parse().unwrap(),
        );
        let options = UdpOptions::default().reuse_address(true);
        let b = UdpSocket::bind_with("0.0.0.0:0".parse().unwrap(), options).unwrap();
        b.join_multicast_v4(group, local).unwrap();
        a.set_multicast_if_v4(local).unwrap();
        a.set_multicast_loop_v4(true).unwrap();
        a.set_multicast_ttl_v4(1).unwrap();
        let port = b.local_addr().unwrap().port();
        a.send_to(b"all", SocketAddr::from((group, port)))
            .await
            .unwrap();
        assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 3);
        b.leave_multicast_v4(group, local).unwrap();
    });
}

#[test]
fn a_datagram_that_is_too_long_is_an_error_and_not_a_part() {
    run(async {
        let (a, b) = (udp(), udp());
        let to = b.local_addr().unwrap();
        a.send_to(&[0; 70_000], to).await.unwrap_err();
        a.send_to(b"short", to).await.unwrap();
        assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 5);
    });
}

#[test]
fn a_unix_receiver_that_others_filled_is_waited_for() {
    let scratch = Scratch::new("full-receiver");
    let path = scratch.file("sock");
    run(async move {
        let receiver = UnixDatagram::bind(&path).unwrap();
        let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        let mut filled = 0;
        while other.send_to(b"theirs", &path).is_ok() {
            filled += 1;
        }
        let sender = UnixDatagram::unbound().unwrap();
        let mut send = pin!(sender.send_to(b"ours", &path));
        poll_fn(|cx| {
            assert!(send.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let receive = async {
            for _ in 0..filled {
                assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 6);
            }
            receiver.recv(&mut [0; 8]).await.unwrap()
        };
        let (sent, received) = join(send, receive).await;
        assert_eq!((sent.unwrap(), received), (4, 4));
    });
}

#[test]
fn a_unix_datagram_socket_answers_by_path_and_removes_its_file() {
    let scratch = Scratch::new("datagram");
    let (here, there) = (scratch.file("here"), scratch.file("there"));
    drop(std::os::unix::net::UnixDatagram::bind(&here).unwrap());
    run(async move {
        let a = UnixDatagram::bind(&here).unwrap();
        let b = UnixDatagram::bind(&there).unwrap();
        assert_eq!(
            UnixDatagram::bind(&there).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        b.connect(&here).unwrap();
        b.send(b"ping").await.unwrap();
        let mut buf = [0; 8];
        let (length, from) = a.recv_from(&mut buf).await.unwrap();
        assert_eq!((length, from.as_pathname()), (4, Some(there.as_path())));
        a.send_to(b"pong!", from.as_pathname().unwrap())
            .await
            .unwrap();
        assert_eq!(b.recv(&mut buf).await.unwrap(), 5);
        drop((a, b));
        assert!(!here.exists() && !there.exists());
    });
}
