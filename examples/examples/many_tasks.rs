//! Very many tasks, in all states, on one loop.
//!
//! Try:  cargo run --release -p loop-examples --example many_tasks -- --tasks 1000000
//! then  loop-console connect
//!
//! The console shows one page of them at a time, sorted and filtered at the source: a fifth sleeps,
//! a fifth waits for futures that are set now and then, a fifth ticks, a fifth yields, works and
//! sleeps in turn, and a fifth waits for its neighbour. `--for 10` ends it after ten seconds. With
//! `--tangled 1` all of them wait, half of them for locks and half for neighbours, and in the end for a
//! thousandth that waits for futures: the largest graph of waits there can be of so many.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use loop_examples::argument;
use loop_runtime::sync::Lock;
use loop_runtime::{
    LoopFuture, Promise, Task, TaskBuilder, create_future, interval, sleep, yield_now,
};

/// Numbers without a pattern to see, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn sleeper(pause: Duration) {
    loop {
        sleep(pause).await;
    }
}

async fn ticker(period: Duration) {
    let mut ticks = interval(period);
    loop {
        ticks.tick().await;
    }
}

async fn worker(pause: Duration, rounds: u64) {
    loop {
        for round in 0..rounds {
            std::hint::black_box((0..round).sum::<u64>());
            yield_now().await;
        }
        sleep(pause).await;
    }
}

async fn waiter(future: LoopFuture<()>) {
    // Set, or broken at the end: either will do.
    let _ = future.await;
}

async fn follower(neighbour: Task<()>) {
    // The neighbour may have been cancelled from the console.
    let _ = neighbour.await;
}

fn named(name: &str) -> TaskBuilder {
    Task::<()>::builder().name(name)
}

/// A thousand tasks: one holds a lock and waits for `future`, half of the others want the lock, and
/// half wait for each other in a row behind it.
fn tangle(future: LoopFuture<()>) {
    let lock = Lock::named("tangle", ());
    let theirs = lock.clone();
    let mut last = named("holder").spawn(async move {
        let _guard = theirs.lock().await;
        waiter(future).await;
    });
    for number in 1..1_000 {
        if number % 2 == 0 {
            last = named("follower").spawn(follower(last));
        } else {
            let lock = lock.clone();
            let wants = async move { drop(lock.lock().await) };
            named("wanter").spawn(wants).detach();
        }
    }
    last.detach();
}

#[loop_runtime::main(name = "many")]
async fn main() {
    let tasks = argument("--tasks", 100_000u64);
    let seconds = argument("--for", u64::MAX);
    let start = Instant::now();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut promises: VecDeque<Promise<()>> = VecDeque::new();
    let mut all: Vec<Task<()>> = Vec::new();
    let tangled = argument("--tangled", 0u64) != 0;
    for _ in 0..if tangled { tasks / 1_000 } else { 0 } {
        let (promise, future) = create_future();
        promises.push_back(promise);
        tangle(future);
        yield_now().await;
    }
    for number in 0..if tangled { 0 } else { tasks } {
        let pause = Duration::from_millis(10_000 + chance.below(50_000));
        let task = match number % 5 {
            0 => named("sleeper").spawn(sleeper(pause)),
            1 => {
                let (promise, future) = create_future();
                promises.push_back(promise);
                named("waiter").spawn(waiter(future))
            }
            2 => named("ticker").spawn(ticker(pause / 4)),
            3 => named("worker").spawn(worker(pause, 1 + chance.below(20))),
            _ => match all.pop() {
                Some(neighbour) => named("follower").spawn(follower(neighbour)),
                None => named("sleeper").spawn(sleeper(pause)),
            },
        };
        all.push(task);
        // The loop lives while its tasks are made.
        if number % 1_000 == 0 {
            yield_now().await;
        }
    }
    println!("{tasks} tasks after {:?}", start.elapsed());
    let until = start.checked_add(Duration::from_secs(seconds));
    while until.is_none_or(|until| Instant::now() < until) {
        sleep(Duration::from_millis(50)).await;
        if tangled {
            continue;
        }
        if let Some(promise) = promises.pop_front() {
            // Its waiter may have been cancelled from the console.
            let _ = promise.set_result(());
            let (promise, future) = create_future();
            promises.push_back(promise);
            all.push(named("waiter").spawn(waiter(future)));
        }
    }
    for task in &all {
        task.cancel();
    }
}
