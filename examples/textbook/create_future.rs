//! A future that one task awaits and another one sets; and one whose promise is dropped.
//!
//! Try:  cargo run -p loop-examples --example create_future
//!
//! The console shows `cook` waiting on a timer and main waiting on a future, with the line that
//! made it. A dropped promise is an error here, where asyncio's future would wait for ever.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{Task, create_future, sleep};

#[loop_runtime::main]
async fn main() {
    let (promise, dish) = create_future();
    let cook = Task::<()>::builder().name("cook").spawn(async {
        sleep(Duration::from_millis(100)).await;
        promise.set_result("soup").expect("main waits for it");
    });
    println!("served: {}", dish.await.expect("the cook sets it"));
    cook.await.expect("nobody cancels it");

    let (promise, dish) = create_future::<&str>();
    drop(promise);
    println!(
        "and when the promise is dropped: {}",
        dish.await.unwrap_err()
    );
}
