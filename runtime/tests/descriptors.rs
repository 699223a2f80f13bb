//! What happens when the process has no descriptor left. In a binary of its own: the limit is the
//! process's.
#![cfg(unix)]

use std::error::Error as _;
use std::fs::File;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loop_runtime::net::{TcpListener, TcpStream, UdpSocket};
use loop_runtime::process::Command;
use loop_runtime::testing::TestLoop;
use loop_runtime::{create_task, sleep};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static WARNINGS: AtomicUsize = AtomicUsize::new(0);
/// Who has the process's limit for himself.
static LIMIT: Mutex<()> = Mutex::new(());

/// Counts the warnings that are about descriptors.
struct Warnings;

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target().ends_with("net::listener") {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn b26_a_listener_without_descriptors_says_so_once_rests_and_goes_on() {
    let _alone = LIMIT.lock().unwrap();
    tracing::subscriber::set_global_default(Warnings).unwrap();
    let mut test = TestLoop::new();
    let listener = test.enter(|| TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let address = test.enter(|| listener.local_addr().unwrap());
    let _client = std::net::TcpStream::connect(address).unwrap();
    let _second = std::net::TcpStream::connect(address).unwrap();
    // From here on nothing can be opened.
    let limit = getrlimit(Resource::Nofile);
    let current = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!hoard.is_empty());

    let accepted = test.enter(|| {
        create_task(async move {
            let first = listener.accept().await.unwrap();
            let second = listener.accept().await.unwrap();
            (first.0, second.0, listener)
        })
    });
    let began = test.now();
    test.turn();
    test.advance(Duration::from_millis(2_500));
    assert!(!accepted.done());
    assert_eq!(
        WARNINGS.load(Ordering::Relaxed),
        1,
        "told once, not each second"
    );
    assert_eq!(test.timers(), 1, "the listener rests");

    drop(hoard);
    test.turn();
    assert!(!accepted.done(), "it rests until its second is over");
    let done = test.run(async move {
        sleep(Duration::from_millis(501)).await;
        accepted.await.unwrap()
    });
    let (_first, _second, listener) = done.unwrap();
    assert!(test.now().duration_since(began) < Duration::from_secs(4));
    assert_eq!(test.timers(), 0);
    test.enter(|| drop(listener));
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[test]
fn what_finds_no_descriptor_says_how_many_there_may_be_and_what_helps() {
    let _alone = LIMIT.lock().unwrap();
    let mut test = TestLoop::new();
    let listens = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listens.local_addr().unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let limit = getrlimit(Resource::Nofile);
    let current = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let bound = test.enter(|| TcpListener::bind(address)).unwrap_err();
    let datagrams = test.enter(|| UdpSocket::bind(address)).unwrap_err();
    let connected = test.run(TcpStream::connect(there)).unwrap().unwrap_err();
    let child = test.enter(|| Command::new("true").stdout(Stdio::piped()).spawn());
    let child = child.unwrap_err();
    let run = loop_runtime::run(async {}).unwrap_err();
    let number = bound.source().and_then(|error| error.downcast_ref());
    assert_eq!(
        number.and_then(std::io::Error::raw_os_error),
        Some(rustix::io::Errno::MFILE.raw_os_error()),
        "the system's own error is the cause"
    );
    let said = [
        bound.to_string(),
        datagrams.to_string(),
        connected.to_string(),
        child.to_string(),
        run.to_string(),
    ];
    drop(hoard);
    setrlimit(Resource::Nofile, limit).unwrap();
    for said in &said {
        assert!(said.contains("may have 64"), "{said}");
        assert!(said.contains("`ulimit -"), "{said}");
    }
    #[cfg(feature = "web")]
    {
        let error = loop_runtime::web::ServeError::Bind {
            address,
            error: bound,
        };
        let said = error.to_string();
        assert_eq!(said.matches("127.0.0.1:0").count(), 1, "{said}");
        assert!(said.starts_with("cannot listen on 127.0.0.1:0: "), "{said}");
        assert!(
            said.contains("may have 64") && !said.contains("machine"),
            "{said}"
        );
        let number = rustix::io::Errno::MFILE.raw_os_error();
        let error = std::io::Error::from_raw_os_error(number);
        let said = loop_runtime::web::ServeError::Accept(error).to_string();
        assert!(said.contains("`ulimit -"), "{said}");
    }
}
