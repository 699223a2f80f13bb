//! Blocking calls are met at the call itself, where a loop looks for them, and nowhere else.
#![cfg(all(feature = "intercept", target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // What no task should do is what is looked for.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use loop_runtime::testing::Test;
use loop_runtime::{BlockingCall, Builder, JoinError, allow_blocking, create_task};

const SHORT: Duration = Duration::from_millis(1);
/// Longer than a wait for another thread that is nothing to speak of.
const NOTED: Duration = Duration::from_millis(30);

/// What a test that denies blocking calls says of `body`, which runs in a task.
fn said(body: impl FnOnce() + 'static) -> Vec<String> {
    let run = || {
        Test::new("calls").blocking("deny").run(async move {
            create_task(async move { body() }).await.expect("it ends");
        });
    };
    let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else {
        return Vec::new();
    };
    let text = panic.downcast_ref::<String>().expect("a sentence");
    let lines = text.lines().skip(1);
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The one call that is said of `body` is `call`, made in this file.
fn is_said(call: &str, body: impl FnOnce() + 'static) {
    let said = said(body);
    let ours = |line: &&String| line.contains(&format!(" called {call} ("));
    let line = said.iter().find(ours);
    let line = line.unwrap_or_else(|| panic!("no {call} in {said:#?}"));
    assert!(line.contains("tests/intercept.rs:"), "{line}");
}

#[test]
fn sleeps_are_met() {
    // The standard library's sleep is one of these, by its version.
    let said = said(|| thread::sleep(SHORT));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].contains("nanosleep (sleeps) in a poll, at"),
        "{said:#?}"
    );
    assert!(said[0].contains("tests/intercept.rs:"), "{said:#?}");
}

#[test]
fn files_and_pipes_are_met() {
    let file = || File::open("/etc/passwd").expect("there is one");
    is_said("read", move || {
        file().read_exact(&mut [0]).expect("it is that long");
    });
    is_said("fsync", || {
        let path = std::env::temp_dir().join(format!("intercept-{}", std::process::id()));
        let file = File::create(&path).expect("it can be made");
        file.sync_all().expect("it can be synced");
        std::fs::remove_file(path).expect("it is ours");
    });
    is_said("read", || {
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b"x").expect("its reader lives");
        reader.read_exact(&mut [0]).expect("a byte is there");
    });
    assert_eq!(
        said(|| {
            let mut null = File::open("/dev/null").expect("there is one");
            assert_eq!(null.read(&mut [0]).expect("it is empty"), 0);
        }),
        [""; 0],
        "it answers at once"
    );
}

#[test]
fn sockets_that_block_are_met_and_others_are_not() {
    is_said("connect", || {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        drop(TcpStream::connect(
            server.local_addr().expect("its address"),
        ));
    });
    is_said("accept4", || {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(server.local_addr().expect("its address"));
        let (peer, _) = server.accept().expect("one waits");
        drop((client, peer));
    });
    is_said("recv", || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket
            .connect(socket.local_addr().expect("its address"))
            .expect("to itself");
        socket.send(b"x").expect("it is sent");
        assert_eq!(socket.recv(&mut [0; 8]).expect("it came"), 1);
    });
    let quiet = said(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("it can be");
        let error = socket.recv(&mut [0; 8]).expect_err("nothing came");
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::WouldBlock,
            "errno is the call's"
        );
    });
    assert_eq!(quiet, [""; 0]);
}

#[test]
fn name_lookups_and_children_are_met() {
    is_said("getaddrinfo", || {
        drop("localhost:1".to_socket_addrs());
    });
    is_said("waitpid", || {
        let child = Command::new("true").spawn();
        let mut child = child.expect("there is a program called true");
        assert!(child.wait().expect("it ends").success());
    });
}

#[test]
fn a_lock_that_another_thread_holds_is_met_and_one_that_is_free_is_not() {
    is_said("futex", || {
        let lock = Arc::new(Mutex::new(()));
        let (held, is_held) = mpsc::channel();
        let other = lock.clone();
        let holder = thread::spawn(move || {
            let _guard = other.lock();
            held.send(()).expect("somebody waits for it");
            thread::sleep(NOTED);
        });
        allow_blocking("the test needs it held", || is_held.recv()).expect("it is said");
        drop(lock.lock());
        allow_blocking("it is done", || holder.join()).expect("it ends");
    });
    is_said("pthread_join", || {
        thread::spawn(|| thread::sleep(NOTED))
            .join()
            .expect("it ends");
    });
    let quiet = said(|| drop(Mutex::new(()).lock()));
    assert_eq!(quiet, [""; 0]);
}

#[test]
fn what_is_allowed_is_not_said() {
    assert_eq!(
        said(|| allow_blocking("on purpose", || thread::sleep(SHORT))),
        [""; 0]
    );
    let said = said(|| {
        allow_blocking("on purpose", || thread::sleep(SHORT));
        thread::sleep(SHORT);
    });
    assert_eq!(said.len(), 1, "{said:#?}");
}

#[test]
fn calls_of_one_place_are_counted() {
    let said = said(|| (0..5).for_each(|_| thread::sleep(SHORT)));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].ends_with(", 5 times"), "{said:#?}");
}

#[test]
fn other_threads_and_other_loops_may_do_what_they_like() {
    let said = said(|| {
        // Started in a poll, and not part of it; the join is not waited for long.
        let other = thread::spawn(|| thread::sleep(SHORT));
        while !other.is_finished() {
            std::hint::spin_loop();
        }
        other.join().expect("it ends");
    });
    assert_eq!(said, [""; 0]);
    let result = Builder::new().run(async { thread::sleep(SHORT) });
    assert_eq!(result, Ok(()), "a loop that does not look says nothing");
    let in_a_job = Test::new("a job")
        .blocking("deny")
        .run(async { loop_runtime::run_in_executor(|| thread::sleep(SHORT)).await });
    assert!(in_a_job.is_ok());
}

#[test]
fn the_runtimes_own_files_sockets_and_waits_are_no_fault() {
    Test::new("own").blocking("deny").run(async {
        let text = loop_runtime::fs::read_to_string("/etc/passwd").await;
        assert!(text.is_ok());
        let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let server = loop_runtime::net::TcpListener::bind(here).unwrap();
        let address = server.local_addr().unwrap();
        let (client, peer) = futures_util::join!(
            loop_runtime::net::TcpStream::connect(address),
            server.accept()
        );
        let (mut client, (mut peer, _)) = (client.unwrap(), peer.unwrap());
        client.write_all(b"x").await.unwrap();
        peer.read_exact(&mut [0]).await.unwrap();
        loop_runtime::sleep(SHORT).await;
    });
}

#[test]
fn a_task_panics_after_the_poll_that_made_the_call() {
    let result = Builder::new()
        .on_blocking_call(BlockingCall::Panic)
        .run(async {
            let guilty = create_task(async {
                thread::sleep(SHORT);
                loop_runtime::yield_now().await;
                unreachable!("it was polled again");
            });
            let text = match guilty.await {
                Err(JoinError::Panicked(panic)) => panic.text().to_owned(),
                other => panic!("{other:?}"),
            };
            assert!(text.contains("nanosleep (sleeps)"), "{text}");
            assert!(text.contains("tests/intercept.rs:"), "{text}");
            // The next is not punished for it.
            create_task(async { 7 }).await.unwrap()
        });
    assert_eq!(result, Ok(7));
}

#[test]
fn what_a_panic_left_is_not_the_next_tasks() {
    let result = Builder::new()
        .on_blocking_call(BlockingCall::Panic)
        .run(async {
            let guilty = create_task(async {
                thread::sleep(SHORT);
                std::panic::resume_unwind(Box::new("its own"));
            });
            let text = match guilty.await {
                Err(JoinError::Panicked(panic)) => panic.text().to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(text, "its own");
            create_task(async { 7 }).await.unwrap()
        });
    assert_eq!(result, Ok(7));
}

#[test]
fn a_word_that_is_no_rule_is_refused() {
    let refused = catch_unwind(|| Test::new("calls").blocking("sometimes"));
    let panic = refused.expect_err("it is no rule");
    let text = panic.downcast_ref::<String>().expect("a sentence");
    assert!(text.contains("use \"deny\" or \"allow\""), "{text}");
}
