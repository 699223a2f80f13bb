//! The textbook's first pitfall: synchronous work in a task stops the whole loop.
//!
//! Try:  cargo run -p loop-examples --example blocked        and   loop-console connect
//! or    loop-console check -- target/debug/examples/blocked --times 3       exits with 1
//!
//! The console raises an alarm each second while `report` holds the loop: the task, the line in
//! this file, and that it slept in the kernel instead of computing. `victim` shows what it did to
//! others: its timer fires late.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_examples::argument;
use loop_runtime::{Task, interval, sleep};

/// Looks harmless, and takes 300 ms of everybody's time.
fn write_report() {
    std::thread::sleep(Duration::from_millis(300));
}

async fn report(times: u64) {
    for _ in 0..times {
        sleep(Duration::from_millis(200)).await;
        write_report(); // Should be `run_in_executor(write_report).await`.
    }
}

async fn victim() {
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
    }
}

#[loop_runtime::main(name = "blocked")]
async fn main() {
    let times = argument("--times", u64::MAX);
    let victim = Task::<()>::builder().name("victim").spawn(victim());
    let report = Task::<()>::builder().name("report").spawn(report(times));
    report.await.expect("nobody cancels it");
    victim.cancel();
}
