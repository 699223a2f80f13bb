//! One poll: 1,000 tasks that wake themselves and yield, 10,000 times each: enough that a loop's
//! start and end (`start`), which tokio's side pays once for all rounds, are not in the figure.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use loop_bench::{Contender, compare, rounds, settle};

const TASKS: usize = 1_000;
const YIELDS: usize = 10_000;

/// The same future for everybody: wakes its task through the context's waker.
struct Bare(bool);

impl Future for Bare {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn bare() {
    for _ in 0..YIELDS {
        Bare(false).await;
    }
}

async fn ours_own() {
    for _ in 0..YIELDS {
        loop_runtime::yield_now().await;
    }
}

async fn tokios_own() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

fn ours<F: Future<Output = ()> + 'static>(task: fn() -> F) {
    loop_runtime::run(async move {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| loop_runtime::create_task(task()))
            .collect();
        for task in tasks {
            task.await.expect("a task that only yields ends well");
        }
    })
    .expect("a loop can be made and run");
}

fn tokios<F: Future<Output = ()> + 'static>(runtime: &tokio::runtime::Runtime, task: fn() -> F) {
    tokio::task::LocalSet::new().block_on(runtime, async move {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| tokio::task::spawn_local(task()))
            .collect();
        for task in tasks {
            task.await.expect("a task that only yields ends well");
        }
    });
}

fn tokios_send<F: Future<Output = ()> + Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    task: fn() -> F,
) {
    runtime.block_on(async move {
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(task())).collect();
        for task in tasks {
            task.await.expect("a task that only yields ends well");
        }
    });
}

fn main() {
    settle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    let polls = (TASKS * YIELDS) as u64;
    compare(
        "poll, the same future on each: CPU of one poll of 1,000 tasks that yield",
        "ns",
        rounds(15),
        Some(0.5),
        vec![
            Contender::new("loop-runtime, recorded", polls, || ours(bare)),
            Contender::new("tokio current_thread, not recorded", polls, || {
                tokios_send(&tokio, bare)
            }),
            Contender::new("tokio LocalSet, not recorded", polls, || {
                tokios(&tokio, bare)
            }),
        ],
    );
    compare(
        "poll, each one's own yield_now",
        "ns",
        rounds(15),
        Some(0.5),
        vec![
            Contender::new("loop-runtime, recorded", polls, || ours(ours_own)),
            Contender::new("tokio current_thread, not recorded", polls, || {
                tokios_send(&tokio, tokios_own)
            }),
        ],
    );
}
