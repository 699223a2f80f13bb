//! Another thread hands work to the loop: a callback, and a task whose value it waits for.
//!
//! Try:  cargo run -p loop-examples --example call_soon_threadsafe
//!
//! The console shows the callback with the line that sent it, and that a foreign thread woke main.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use loop_runtime::{create_future, get_running_loop, sleep};

#[loop_runtime::main]
async fn main() {
    let handle = get_running_loop().expect("main runs on a loop").handle();
    let (promise, finished) = create_future();
    let thread = thread::spawn(move || {
        handle
            .call_soon_threadsafe(|| println!("on the loop's thread"))
            .expect("the loop runs");
        let task = handle.spawn(|| async {
            sleep(Duration::from_millis(50)).await;
            42
        });
        // Blocks this thread, not the loop's.
        let value = task
            .expect("the loop runs")
            .wait(None)
            .expect("nobody cancels it");
        println!("the thread has {value}");
        handle
            .call_soon_threadsafe(move || promise.set_result(()).expect("main waits"))
            .expect("the loop runs");
    });
    finished.await.expect("the thread sets it");
    thread.join().expect("the thread does not panic");
}
