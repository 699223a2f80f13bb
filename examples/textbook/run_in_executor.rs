//! Blocking work where it belongs: on a thread of the executor, awaited.
//!
//! Try:  cargo run -p loop-examples --example run_in_executor
//!
//! The console shows main waiting on a job, with the line that started it, while `clock` ticks on.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{Task, interval, run_in_executor};

fn sum_slowly() -> u64 {
    std::thread::sleep(Duration::from_millis(300));
    (1..=1_000).sum()
}

#[loop_runtime::main]
async fn main() {
    let clock = Task::<()>::builder().name("clock").spawn(async {
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            println!("tick");
        }
    });
    let sum = run_in_executor(sum_slowly)
        .await
        .expect("the job does not panic");
    println!("the sum is {sum}");
    clock.cancel();
}
