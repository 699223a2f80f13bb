//! Callbacks with a time: `call_later` counts from now, `call_at` names a moment of the loop's
//! clock, and either can be cancelled.
//!
//! Try:  cargo run -p loop-examples --example call_later_and_call_at
//!
//! The console's screen of timers shows three, with owner, place and time left; the cancelled one
//! is gone at once.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{create_future, get_running_loop};

#[loop_runtime::main]
async fn main() {
    let el = get_running_loop().expect("main runs on a loop");
    let start = el.time();
    let (promise, last) = create_future();
    el.call_later(Duration::from_millis(200), move || {
        println!("after 200 ms");
        promise.set_result(()).expect("main waits for it");
    });
    el.call_at(start + Duration::from_millis(100), || {
        println!("after 100 ms")
    });
    let never = el.call_later(Duration::from_millis(150), || println!("never"));
    never.cancel();
    last.await.expect("the callback sets it");
    println!("{:?} in all", el.time().duration_since(start));
}
