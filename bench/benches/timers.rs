//! Timers: made and cancelled, and 100,000 of them at once, which must come on time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use loop_bench::{Contender, compare, median, rounds, settle};

const PAIRS: u64 = 200_000;
const SLEEPS: u64 = 100_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Polls `sleep` once, which sets its timer, and drops it.
async fn set_and_drop<F: Future>(sleep: F) {
    let mut sleep = pin!(sleep);
    poll_fn(|cx| {
        assert!(Pin::as_mut(&mut sleep).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// How long the `number`-th sleep is: up to a second, without a pattern.
fn pause(number: u64) -> Duration {
    Duration::from_micros(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44)
}

/// Milliseconds by which a sleep that ended now is late.
fn late(start: Instant, pause: Duration) -> f64 {
    start.elapsed().saturating_sub(pause).as_secs_f64() * 1e3
}

fn ours_sleeps() -> Vec<f64> {
    let run = loop_runtime::run(async {
        let tasks: Vec<_> = (0..SLEEPS)
            .map(|number| {
                loop_runtime::create_task(async move {
                    let (pause, start) = (pause(number), Instant::now());
                    loop_runtime::sleep(pause).await;
                    late(start, pause)
                })
            })
            .collect();
        let mut late = Vec::new();
        for task in tasks {
            late.push(task.await.expect("it ends well"));
        }
        late
    });
    run.expect("a loop can be made and run")
}

fn tokios_sleeps(runtime: &tokio::runtime::Runtime) -> Vec<f64> {
    runtime.block_on(async {
        let tasks: Vec<_> = (0..SLEEPS)
            .map(|number| {
                tokio::spawn(async move {
                    let (pause, start) = (pause(number), Instant::now());
                    tokio::time::sleep(pause).await;
                    late(start, pause)
                })
            })
            .collect();
        let mut late = Vec::new();
        for task in tasks {
            late.push(task.await.expect("it ends well"));
        }
        late
    })
}

fn main() {
    settle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    compare(
        "timers: CPU of one set and cancelled",
        "ns",
        rounds(15),
        Some(0.8),
        vec![
            Contender::new("loop-runtime, recorded", PAIRS, || {
                loop_runtime::run(async {
                    for _ in 0..PAIRS {
                        set_and_drop(loop_runtime::sleep(HOUR)).await;
                    }
                })
                .expect("a loop can be made and run");
            }),
            Contender::new("tokio current_thread, not recorded", PAIRS, || {
                tokio.block_on(async {
                    for _ in 0..PAIRS {
                        set_and_drop(tokio::time::sleep(HOUR)).await;
                    }
                });
            }),
        ],
    );
    let (mut ours_late, mut tokios_late) = (Vec::new(), Vec::new());
    compare(
        "timers: CPU of one of 100,000 sleeps of up to a second, spawn and join included",
        "ns",
        rounds(5),
        Some(1.2),
        vec![
            Contender::new("loop-runtime, recorded", SLEEPS, || {
                ours_late.push(median(&ours_sleeps()));
            }),
            Contender::new("tokio current_thread, not recorded", SLEEPS, || {
                tokios_late.push(median(&tokios_sleeps(&tokio)));
            }),
        ],
    );
    println!(
        "  late at the median, ms: loop-runtime {:.3}, tokio {:.3}",
        median(&ours_late),
        median(&tokios_late)
    );
}
