//! Who runs when: `create_task` and `call_soon` share one queue, first in, first out.
//!
//! Try:  cargo run -p loop-examples --example create_task_and_call_soon
//!
//! Prints: main, callback, task, main again. The console's event list (`loop-console events`) has
//! the same order: both rows were made ready before main first waited.
#![forbid(unsafe_code)]

use loop_runtime::{create_task, get_running_loop};

#[loop_runtime::main]
async fn main() {
    let el = get_running_loop().expect("main runs on a loop");
    el.call_soon(|| println!("callback"));
    let task = create_task(async { println!("task") });
    println!("main");
    task.await.expect("nobody cancels it");
    println!("main again");
}
