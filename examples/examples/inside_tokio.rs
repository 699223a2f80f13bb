//! A loop inside a tokio app: its own thread, its own tasks, awaited by tokio's.
//!
//! Try:  cargo run -p loop-examples --features compat --example inside_tokio -- --for 60
//! then  loop-console connect
//!
//! The console shows the loop `side` with its tasks, spawned from tokio and awaited there. Of the
//! app's own tasks, which tokio runs, it knows nothing.
#![forbid(unsafe_code)]

use std::sync::mpsc;
use std::time::Duration;

use loop_examples::argument;
use loop_runtime::{Builder, LoopHandle, create_future, get_running_loop, sleep};

/// Starts a loop on a thread of its own; what it gives stops it.
fn start_loop() -> (LoopHandle, impl FnOnce()) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        Builder::new().name("side").run(async move {
            let (promise, stop) = create_future::<()>();
            let handle = get_running_loop().expect("one runs").handle();
            tell.send((handle, promise)).expect("main waits for it");
            let _ = stop.await;
        })
    });
    let (handle, promise) = told.recv().expect("the loop starts");
    let stopper = handle.clone();
    let stop = move || {
        let stopped = stopper.call_soon_threadsafe(move || {
            // It may have ended by itself.
            let _ = promise.set_result(());
        });
        stopped.expect("the loop runs until it is stopped");
        let ended = thread.join().expect("the loop's thread does not panic");
        ended.expect("the loop ends well");
    };
    (handle, stop)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (side, stop) = start_loop();
    let squares: Vec<_> = (1..=3u64)
        .map(|n| {
            let square = async move || {
                sleep(Duration::from_millis(10)).await;
                n * n
            };
            side.spawn(square).expect("the loop runs")
        })
        .collect();
    for square in squares {
        println!("tokio awaited {}", square.await.expect("nobody cancels it"));
    }
    // And back: a task of the loop hears from tokio through any channel that is not tied to either.
    tokio::time::sleep(Duration::from_secs(argument("--for", 0))).await;
    stop();
}
