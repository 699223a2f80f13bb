//! Blocking work done wrong, and right: on the loop's thread, and on the executor's.
//!
//! Try:  cargo run -p loop-examples --example blocking_wrong_and_right -- --times 100
//! then  loop-console connect
//!
//! The console shows an alarm for the task `wrong` each time it computes, with the line and a
//! stack, and ticks of `heartbeat` that come late by as much. While `right` computes there is a job
//! with its name on a thread of the executor, and no alarm.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loop_examples::argument;
use loop_runtime::{Task, interval, sleep, to_thread};

/// Keeps a core busy for 200 ms.
fn compute() -> u64 {
    let end = Instant::now() + Duration::from_millis(200);
    let mut sum = 0u64;
    while Instant::now() < end {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
    sum
}

async fn heartbeat() {
    let mut ticks = interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
    }
}

/// Notes the longest time between two turns of the loop.
async fn watch(worst: Rc<Cell<Duration>>) {
    let mut ticks = interval(Duration::from_millis(5));
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        worst.set(worst.get().max(last.elapsed()));
        last = Instant::now();
    }
}

/// Runs `work`, and tells for how long nobody else could run meanwhile, at worst.
async fn longest_wait(work: impl Future<Output = ()>) -> Duration {
    let worst = Rc::new(Cell::new(Duration::ZERO));
    let watching = Task::<()>::builder()
        .name("watch")
        .spawn(watch(worst.clone()));
    sleep(Duration::from_millis(20)).await;
    work.await;
    sleep(Duration::from_millis(20)).await;
    watching.cancel();
    worst.get()
}

#[loop_runtime::main(name = "blocking")]
async fn main() {
    let heart = Task::<()>::builder()
        .name("heartbeat")
        .allow_forever()
        .spawn(heartbeat());
    for _ in 0..argument("--times", 1) {
        let wrong = longest_wait(async {
            let task = Task::<()>::builder().name("wrong");
            task.spawn(async { compute() }).await.expect("it computes");
        });
        let blocked = wrong.await >= Duration::from_millis(150);
        println!("wrong: everybody waited 150 ms or more: {blocked}");
        let right = longest_wait(async {
            to_thread("right", compute).await.expect("it computes");
        });
        right.await;
        println!("right: the loop went on turning meanwhile");
    }
    heart.cancel();
}
