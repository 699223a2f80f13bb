//! What a console costs who is looked at: the same work in one process of a million tasks, alone
//! and with two consoles attached, one that sorts all tasks each second and one that has stopped.
//!
//! Needs the console built: `cargo build --release -p loop-console`; `LOOP_CONSOLE` names another.

use std::future::Future;
use std::pin::{Pin, pin};
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use loop_bench::procfs::{self, INSPECTOR};
use loop_bench::viewer::console;
use loop_bench::{cpu_ns, median, middle_half, process_cpu_ns, resident, rounds, settle};
use loop_runtime::{create_task, sleep, yield_now};
use tokio::sync::mpsc;

const HOUR: Duration = Duration::from_secs(3_600);
/// Long enough for a viewer to attach and to be served twice.
const WHILE: Duration = Duration::from_secs(2);
/// Before anything is measured.
const WARM: Duration = Duration::from_millis(200);
/// While it is measured: a console that asks each second is answered twice or more.
const LONG: Duration = Duration::from_millis(2_500);
/// A console has attached by then, and is served.
const STOPPED_AFTER: Duration = Duration::from_millis(1_500);

/// Tasks that live, `LOOP_BENCH_TASKS`; 0 leaves the consoles out.
fn live() -> usize {
    let text = std::env::var("LOOP_BENCH_TASKS").unwrap_or_default();
    text.parse().unwrap_or(1_000_000)
}

/// Waits for ever, and can be woken.
struct Waits(Option<Waker>);

impl Future for Waits {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_or_insert_with(|| cx.waker().clone());
        Poll::Pending
    }
}

async fn polls() -> u64 {
    let (tasks, times) = (1_000, 500);
    let yields = move || async move {
        for _ in 0..times {
            yield_now().await;
        }
    };
    let all: Vec<_> = (0..tasks).map(|_| create_task(yields())).collect();
    for task in all {
        task.await.expect("it ends well");
    }
    tasks * times
}

async fn spawns() -> u64 {
    let (batches, batch) = (100, 1_000);
    for _ in 0..batches {
        let all: Vec<_> = (0..batch).map(|n| create_task(async move { n })).collect();
        for task in all {
            task.await.expect("it ends well");
        }
    }
    batches * batch
}

async fn trips() -> u64 {
    let count = 50_000;
    let (there, mut arrives) = mpsc::channel::<u64>(1);
    let (back, mut returns) = mpsc::channel::<u64>(1);
    create_task(async move {
        while let Some(trip) = arrives.recv().await {
            if back.send(trip).await.is_err() {
                return;
            }
        }
    })
    .detach();
    for trip in 0..count {
        there.send(trip).await.expect("the other end lives");
        returns.recv().await.expect("the other end lives");
    }
    count
}

async fn timers() -> u64 {
    let count = 100_000;
    for _ in 0..count {
        let mut one = pin!(sleep(HOUR));
        std::future::poll_fn(|cx| {
            assert!(one.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    count
}

/// CPU nanoseconds of this thread for one operation of each kind, over a time in which a console
/// asks several times.
async fn each() -> [f64; 4] {
    // A core that was idle is slow at first, which is nobody's fault.
    let begun = Instant::now();
    while begun.elapsed() < WARM {
        polls().await;
    }
    let (mut took, mut operations) = ([0; 4], [0; 4]);
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        for at in 0..took.len() {
            let before = cpu_ns();
            operations[at] += match at {
                0 => polls().await,
                1 => spawns().await,
                2 => trips().await,
                _ => timers().await,
            };
            took[at] += cpu_ns() - before;
        }
    }
    std::array::from_fn(|at| took[at] as f64 / operations[at] as f64)
}

/// What a console is asked that lists tasks, the busiest first; each second; and findings.
const TASKS: &[&str] = &["tasks", "--sort=-busy", "--limit=30", "--json"];
const EACH_SECOND: &[&str] = &[
    "tasks",
    "--sort=-busy",
    "--limit=30",
    "--json",
    "--watch=1s",
];
const LEAKS: &[&str] = &["leaks", "--json"];

/// A console that looks at this process.
fn looks(arguments: &[&str], output: Stdio) -> Child {
    Command::new(console())
        .args(arguments)
        .arg(std::process::id().to_string())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .expect("the console is built: cargo build --release -p loop-console")
}

fn stop(console: &Child) {
    let pid = rustix::process::Pid::from_child(console);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)
        .expect("a child that runs can be stopped");
}

fn end(mut console: Child) {
    // One that has ended by itself was no viewer, and the figures are none.
    assert!(
        console.try_wait().expect("a child has a state").is_none(),
        "a console ended while it was measured: {console:?}"
    );
    console.kill().expect("a child that runs can be ended");
    console.wait().expect("a child can be waited for");
}

async fn measured() {
    settle();
    for _ in 0..live() {
        create_task(Waits(None)).detach();
    }
    yield_now().await;
    sleep(Duration::from_millis(200)).await;
    println!("\nwatched: {} tasks live", live());

    for (what, arguments) in [
        // First: what was found less than 3 s ago is not looked for again.
        ("prints what is found", LEAKS),
        ("prints 30 rows, the busiest", TASKS),
    ] {
        let (before, cpu) = (Instant::now(), procfs::threads_named(INSPECTOR));
        let looked = move || {
            let mut console = looks(arguments, Stdio::null());
            console.wait().expect("a child can be waited for")
        };
        let looked = loop_runtime::run_in_executor(looked)
            .await
            .expect("the child was waited for");
        assert!(looked.success(), "the console could not look: {looked}");
        println!(
            "  a console that {what:<28} {:>7.1} ms from start to exit, {:>6.1} ms of the inspector's CPU",
            before.elapsed().as_secs_f64() * 1e3,
            (procfs::threads_named(INSPECTOR) - cpu) as f64 / 1e6,
        );
    }

    each().await;
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    let mut share = Vec::new();
    for _ in 0..rounds(7) {
        alone.push(each().await);
        let viewer = looks(EACH_SECOND, Stdio::null());
        let stopped = looks(EACH_SECOND, Stdio::piped());
        sleep(STOPPED_AFTER).await;
        stop(&stopped);
        let (wall, all, own) = (Instant::now(), process_cpu_ns(), cpu_ns());
        watched.push(each().await);
        sleep(WHILE).await;
        let others = (process_cpu_ns() - all) - (cpu_ns() - own);
        share.push(others as f64 / wall.elapsed().as_nanos() as f64 * 100.0);
        end(viewer);
        end(stopped);
    }
    for (at, name) in [
        "poll",
        "spawn, run and join",
        "channel round trip",
        "timer set and cancelled",
    ]
    .into_iter()
    .enumerate()
    {
        let of = |rounds: &[[f64; 4]]| rounds.iter().map(|round| round[at]).collect::<Vec<_>>();
        let slower: Vec<f64> = of(&watched)
            .iter()
            .zip(of(&alone))
            .map(|(watched, alone)| (watched / alone - 1.0) * 100.0)
            .collect();
        println!(
            "  {name:<28} alone {:>7.1} ns, watched {:>7.1} ns: {:+.1} % (half of {} rounds {}; budget 3)",
            median(&of(&alone)),
            median(&of(&watched)),
            median(&slower),
            slower.len(),
            middle_half(&slower),
        );
    }
    println!(
        "  the inspector's own threads, meanwhile                {:>8.1} % of a CPU",
        median(&share)
    );
}

/// What the process has after so many finished tasks, batches of which ended one after the other.
async fn finished() {
    println!("\nmemory of the process after finished tasks, none of them alive");
    let mut done = 0;
    for millions in [0.1, 1.0, 5.0, 10.0] {
        while done < (millions * 1e6) as u64 {
            done += spawns().await;
        }
        let has = resident().unwrap_or_default() as f64 / 1e6;
        println!("  {millions:>4} M finished {has:>8.1} MB");
    }
}

fn main() {
    loop_runtime::run(finished()).expect("a loop can be made and run");
    if live() > 0 {
        loop_runtime::run(measured()).expect("a loop can be made and run");
    }
}
