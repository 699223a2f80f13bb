//! The textbook's periodic task, and one that does not drift.
//!
//! Try:  cargo run -p loop-examples --example periodic -- --ticks 50
//! or    loop-console check -- target/debug/examples/periodic --ticks 5      exits with 0
//!
//! The console shows two tasks that wait on timers nearly always, how late each timer fired, and
//! no finding. Without `--ticks` it runs until Ctrl-C.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_examples::argument;
use loop_runtime::{Task, interval, sleep};

const PERIOD: Duration = Duration::from_millis(100);

/// As the textbook has it: each round takes the period and the work.
async fn sleeping(ticks: u64) {
    for _ in 0..ticks {
        println!("Running...");
        sleep(PERIOD).await;
    }
}

/// Ticks stay on schedule, whatever the work takes.
async fn ticking(ticks: u64) {
    let mut every = interval(PERIOD);
    for _ in 0..ticks {
        every.tick().await;
    }
}

#[loop_runtime::main(name = "periodic")]
async fn main() {
    let ticks = argument("--ticks", u64::MAX);
    let sleeping = Task::<()>::builder()
        .name("sleeping")
        .spawn(sleeping(ticks));
    let ticking = Task::<()>::builder().name("ticking").spawn(ticking(ticks));
    sleeping.await.expect("nobody cancels it");
    ticking.await.expect("nobody cancels it");
}
