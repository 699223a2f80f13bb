//! Bytes of a live task beside its future, as the process grows: a fresh process for each figure.

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loop_bench::resident;

const TASKS: usize = 500_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Pending for ever, as something in the middle of its work is: holds a waker and some state.
struct Pends {
    waker: Option<Waker>,
    state: [u64; 8],
}

impl Pends {
    fn new() -> Self {
        Self {
            waker: None,
            state: [1; 8],
        }
    }
}

impl Future for Pends {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.waker.is_none() {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(self.state[0])
    }
}

async fn sleeps_ours() {
    loop_runtime::sleep(HOUR).await;
}

async fn sleeps_tokio() {
    tokio::time::sleep(HOUR).await;
}

fn yielded() -> u64 {
    resident().expect("the kernel tells a process's memory")
}

/// Spawns `TASKS` of what `make` makes, lets them reach their await, and tells what one cost
/// beside its future.
fn ours<F: Future + 'static>(make: fn() -> F) -> i64 {
    let growth = loop_runtime::run(async move {
        // One task first, so that what is allocated once is not counted.
        loop_runtime::create_task(make()).detach();
        loop_runtime::yield_now().await;
        let before = yielded();
        for _ in 0..TASKS {
            loop_runtime::create_task(make()).detach();
        }
        loop_runtime::yield_now().await;
        loop_runtime::yield_now().await;
        yielded() - before
    });
    per_task(growth.expect("a loop can be made and run"), size_of::<F>())
}

fn tokios<F: Future + Send + 'static>(make: fn() -> F) -> i64
where
    F::Output: Send,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    let growth = runtime.block_on(async move {
        drop(tokio::spawn(make()));
        tokio::task::yield_now().await;
        let before = yielded();
        for _ in 0..TASKS {
            drop(tokio::spawn(make()));
        }
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        yielded() - before
    });
    per_task(growth, size_of::<F>())
}

fn per_task(growth: u64, future: usize) -> i64 {
    (growth / TASKS as u64) as i64 - future as i64
}

fn main() {
    // The child prints before it ends: taking the tasks down again is not what is measured.
    if let Ok(which) = std::env::var("LOOP_BENCH_MEMORY") {
        let bytes = match &*which {
            "ours pending" => ours(Pends::new),
            "ours sleeping" => ours(sleeps_ours),
            "tokio pending" => tokios(Pends::new),
            _ => tokios(sleeps_tokio),
        };
        println!("{bytes}");
        return;
    }
    let own = std::env::current_exe().expect("a running program has a path");
    let child = |which: &str| -> String {
        let child = Command::new(&own)
            .env("LOOP_BENCH_MEMORY", which)
            .output()
            .expect("the bench can start itself");
        String::from_utf8_lossy(&child.stdout).trim().to_owned()
    };
    println!("\nmemory: resident bytes of one of {TASKS} live tasks, beside its future");
    for (what, budget) in [("pending", 256), ("sleeping", 384)] {
        println!(
            "  loop-runtime, recorded, {what:<16} {:>6} B (budget {budget})",
            child(&format!("ours {what}"))
        );
        println!(
            "  tokio current_thread, {what:<18} {:>6} B",
            child(&format!("tokio {what}"))
        );
    }
}
