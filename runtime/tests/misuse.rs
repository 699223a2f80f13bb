//! Mistakes: each is refused with a text that says what is wrong and what to do instead.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use loop_runtime::net::{TcpListener, TcpStream};
use loop_runtime::testing::TestLoop;
use loop_runtime::{
    create_future, create_task, get_running_loop, interval, run_in_executor, sleep, yield_now,
};

/// The text of the panic that `f` ends in.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("no panic")
    };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    })
    .expect("a panic has a text")
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn without_a_loop_everything_says_where_to_get_one() {
    let advice = [
        "no event loop runs on this thread",
        "loop_runtime::run",
        "LoopHandle",
    ];
    says(&panic_of(|| create_task(async {})), &advice);
    says(&panic_of(|| sleep(Duration::ZERO)), &advice);
    says(&panic_of(create_future::<()>), &advice);
    says(&panic_of(|| interval(Duration::from_secs(1))), &advice);
    says(&panic_of(|| run_in_executor(|| ())), &advice);
    says(&get_running_loop().unwrap_err().to_string(), &advice);
    says(&loop_runtime::all_tasks().unwrap_err().to_string(), &advice);
    assert!(loop_runtime::current_task().is_none());
}

/// What a leaf says when it is polled on a loop that is not its own.
fn on_another_loop<F>(leaf: F) -> Result<F::Output, String>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let thread = std::thread::spawn(move || {
        TestLoop::new()
            .run(async { create_task(leaf).await.map_err(|error| error.to_string()) })
            .unwrap()
    });
    thread.join().unwrap()
}

const BOTH: [&str; 3] = ["belongs to loop", "used on loop", "LoopHandle"];

#[test]
fn a_leaf_that_was_moved_to_another_loop_names_both() {
    let test = TestLoop::new();
    let nap = test.enter(|| sleep(Duration::ZERO));
    says(&on_another_loop(nap).unwrap_err(), &BOTH);
    let task = test.enter(|| create_task(async {}));
    says(
        &on_another_loop(task).unwrap().unwrap_err().to_string(),
        &BOTH,
    );
    let (promise, future) = test.enter(create_future::<()>);
    says(
        &on_another_loop(future).unwrap().unwrap_err().to_string(),
        &BOTH,
    );
    let kept = on_another_loop(async { promise.set_result(()).unwrap_err().to_string() });
    says(&kept.unwrap(), &BOTH);
    let job = test.enter(|| run_in_executor(|| ()));
    says(
        &on_another_loop(job).unwrap().unwrap_err().to_string(),
        &BOTH,
    );
}

#[test]
fn a_socket_that_was_moved_to_another_loop_names_both() {
    let (sender, receiver) = std::sync::mpsc::channel();
    loop_runtime::run(async move {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = create_task(TcpStream::connect(address));
        let (server, _) = listener.accept().await.unwrap();
        let mut client = client.await.unwrap().unwrap();
        let (mut server, said) = std::thread::spawn(move || {
            let mut server = server;
            TestLoop::new()
                .run(async move {
                    let said = server.read(&mut [0; 8]).await.unwrap_err().to_string();
                    (server, said)
                })
                .unwrap()
        })
        .join()
        .unwrap();
        sender.send(said).unwrap();
        // It is unharmed.
        client.write_all(b"still here").await.unwrap();
        let mut word = [0; 10];
        server.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"still here");
    })
    .unwrap();
    says(&receiver.recv().unwrap(), &BOTH);
}

#[test]
fn b69_a_port_in_use_is_named() {
    loop_runtime::run(async {
        let first = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        says(&error.to_string(), &[&address.to_string()]);
    })
    .unwrap();
}

#[cfg(unix)]
#[test]
fn a_descriptor_that_cannot_be_polled_says_what_to_do() {
    loop_runtime::run(async {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let path = std::env::temp_dir().join(format!("loop-misuse-{}", std::process::id()));
        let plain = std::fs::File::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(file);
        let el = get_running_loop().unwrap();
        let error = el.add_reader(&plain, || ()).unwrap_err();
        says(&error.to_string(), &["regular file", "run_in_executor"]);
        let error = loop_runtime::io::AsyncFd::new(plain)
            .map(|_| ())
            .unwrap_err();
        says(&error.to_string(), &["regular file", "run_in_executor"]);
    })
    .unwrap();
}

#[test]
fn a_period_of_zero_says_what_to_use_instead() {
    let test = TestLoop::new();
    let said = test.enter(|| panic_of(|| interval(Duration::ZERO)));
    says(&said, &["period", "yield_now"]);
}

#[test]
fn a_loop_that_polls_nothing_is_refused() {
    let said = panic_of(|| loop_runtime::Builder::new().polls_per_wait(0));
    says(&said, &["makes no progress", "at least 1"]);
}

#[test]
fn a_test_that_can_never_end_says_so() {
    let mut test = TestLoop::new();
    let forever = async {
        loop {
            yield_now().await;
        }
    };
    test.enter(|| create_task(forever).detach());
    says(
        &panic_of(|| test.turn()),
        &["still ready", "yield for ever"],
    );
}
