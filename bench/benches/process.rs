//! A child started and awaited: `/bin/true`, alone and with its output read.
//!
//! The time of the child itself, and most of the kernel's to start it, are the same for both; what
//! differs is this thread's, and that is counted.

use std::process::Stdio;

use loop_bench::{Contender, compare, rounds, settle};
use loop_runtime::EventLoop;
use loop_runtime::process::Command;

const CHILDREN: u64 = 200;

fn ours(event_loop: &EventLoop) {
    let run = event_loop.run_until_complete(async {
        for _ in 0..CHILDREN {
            let child = Command::new("/bin/true").spawn().expect("there is one");
            assert!(child.wait().await.expect("it is ours").success());
        }
    });
    run.expect("a loop runs");
}

fn tokios(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for _ in 0..CHILDREN {
            let mut child = tokio::process::Command::new("/bin/true")
                .kill_on_drop(true)
                .spawn()
                .expect("there is one");
            assert!(child.wait().await.expect("it is ours").success());
        }
    });
}

fn our_output(event_loop: &EventLoop) {
    let run = event_loop.run_until_complete(async {
        for _ in 0..CHILDREN {
            let echo = Command::new("/bin/echo").arg("hello").stdin(Stdio::null());
            let output = echo.output().await.expect("there is one");
            assert_eq!(output.stdout, b"hello\n");
        }
    });
    run.expect("a loop runs");
}

fn tokios_output(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for _ in 0..CHILDREN {
            let mut echo = tokio::process::Command::new("/bin/echo");
            echo.arg("hello").stdin(Stdio::null()).kill_on_drop(true);
            let output = echo.output().await.expect("there is one");
            assert_eq!(output.stdout, b"hello\n");
        }
    });
}

fn main() {
    settle();
    let event_loop = EventLoop::new().expect("a loop can be made");
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    compare(
        "process: CPU of this thread to start /bin/true and to wait for it",
        "ns",
        rounds(15),
        Some(1.0),
        vec![
            Contender::new("loop-runtime, recorded", CHILDREN, || ours(&event_loop)),
            Contender::new("tokio current_thread, not recorded", CHILDREN, || {
                tokios(&tokio);
            }),
        ],
    );
    compare(
        "process: the same for /bin/echo, with both outputs read",
        "ns",
        rounds(15),
        Some(1.0),
        vec![
            Contender::new("loop-runtime, recorded", CHILDREN, || {
                our_output(&event_loop)
            }),
            Contender::new("tokio current_thread, not recorded", CHILDREN, || {
                tokios_output(&tokio);
            }),
        ],
    );
}
