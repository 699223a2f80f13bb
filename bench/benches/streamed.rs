//! Every poll streamed to a console: what it costs the loop, the inspector and the console, whether
//! it is whole, and what a console that does not read does to the app.
//!
//! `LOOP_BENCH_SECONDS` is how long, `LOOP_BENCH_RATE` how many polls a second, `LOOP_BENCH_STALL`
//! how long the console of the second part is stopped; 0 leaves a part out. Exits with 1 where a
//! stream was not whole, or the account of a stalled one does not add up.
//! Needs the console built: `cargo build --release -p loop-console`; `LOOP_CONSOLE` names another.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use loop_bench::procfs::{self, INSPECTOR};
use loop_bench::viewer::{Account, Follower};
use loop_bench::{cpu_ns, median, middle_half, resident, rounds};
use loop_runtime::{create_task, run_in_executor, sleep};
use rustix::process::Signal;

/// Tasks that are polled in turn.
const TASKS: usize = 1_000;
/// How often the loop wakes those whose turn it is.
const TICK: Duration = Duration::from_millis(2);
/// A console has attached by then; a stream has run dry by then.
const ATTACHED: Duration = Duration::from_secs(2);
const ALONE: u64 = 5;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).unwrap_or_default();
    text.parse().unwrap_or(default)
}

/// What is polled: waits for its turn, and computes for as long as a small poll takes.
struct Works {
    turns: Rc<RefCell<Vec<Waker>>>,
    polls: Rc<Cell<u64>>,
    known: bool,
}

impl Future for Works {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.known, true) {
            self.turns.borrow_mut().push(cx.waker().clone());
        }
        self.polls.set(self.polls.get() + 1);
        let mut number = self.polls.get();
        for _ in 0..1_000 {
            number = std::hint::black_box(number).wrapping_mul(6_364_136_223_846_793_005);
        }
        Poll::Pending
    }
}

/// A load of so many polls a second.
struct Load {
    turns: Rc<RefCell<Vec<Waker>>>,
    polls: Rc<Cell<u64>>,
    next: Cell<usize>,
    rate: u64,
}

/// What a stretch of the load cost its loop.
#[derive(Clone, Copy)]
struct Cost {
    polls: u64,
    /// Of the loop's thread, a poll.
    ns: f64,
    /// Of a CPU.
    share: f64,
    /// Polls a second that were made.
    rate: f64,
}

impl Load {
    fn new(rate: u64) -> Self {
        Self {
            turns: Rc::default(),
            polls: Rc::default(),
            next: Cell::new(0),
            rate,
        }
    }

    /// Starts the tasks; each is polled once.
    async fn start(&self) {
        for _ in 0..TASKS {
            let works = Works {
                turns: self.turns.clone(),
                polls: self.polls.clone(),
                known: false,
            };
            create_task(works).detach();
        }
        sleep(TICK).await;
    }

    /// Keeps the rate for so long. What a late tick leaves undone the next ones make up for.
    async fn keep(&self, time: Duration) -> Cost {
        let (began, cpu, before) = (Instant::now(), cpu_ns(), self.polls.get());
        while began.elapsed() < time {
            let due = (began.elapsed().as_secs_f64() * self.rate as f64) as u64;
            let owed = due.saturating_sub(self.polls.get() - before);
            {
                let turns = self.turns.borrow();
                for _ in 0..owed.min(TASKS as u64) {
                    turns[self.next.get()].wake_by_ref();
                    self.next.set((self.next.get() + 1) % TASKS);
                }
            }
            sleep(TICK).await;
        }
        let wall = began.elapsed().as_nanos() as f64;
        let (polls, cpu) = (self.polls.get() - before, (cpu_ns() - cpu) as f64);
        Cost {
            polls,
            ns: cpu / polls.max(1) as f64,
            share: cpu / wall * 100.0,
            rate: polls as f64 / wall * 1e9,
        }
    }
}

async fn ended(follower: Follower) -> Account {
    run_in_executor(move || follower.end())
        .await
        .expect("the console's end was waited for")
}

/// What other threads and the console took over a stretch, in percent of a CPU.
struct Others {
    began: Instant,
    inspector: u64,
    console: u64,
}

impl Others {
    fn of(console: u32) -> Self {
        Self {
            began: Instant::now(),
            inspector: procfs::threads_named(INSPECTOR),
            console: procfs::process(console),
        }
    }

    fn shares(&self, console: u32) -> (f64, f64) {
        let wall = self.began.elapsed().as_nanos() as f64;
        let of = |now: u64, before: u64| now.saturating_sub(before) as f64 / wall * 100.0;
        (
            of(procfs::threads_named(INSPECTOR), self.inspector),
            of(procfs::process(console), self.console),
        )
    }
}

/// Whether what a console says it was given and lost is all that there was. `polls` are at least the
/// load's own; a few more are this program's.
fn adds_up(account: &Account, polls: u64) -> bool {
    account
        .told
        .is_some_and(|(given, lost)| given + lost >= polls)
}

async fn whole(load: &Load, seconds: u64) -> bool {
    println!(
        "\nstreamed: every poll of {} a second, for {seconds} s, to one console",
        load.rate
    );
    // Alone and watched in turn, so that a change of the machine is in both.
    let (mut alone, mut slower) = (Vec::new(), Vec::new());
    for _ in 0..rounds(5) {
        let before = load.keep(Duration::from_secs(ALONE)).await;
        let follower = Follower::of("poll");
        sleep(ATTACHED).await;
        let during = load.keep(Duration::from_secs(ALONE)).await;
        sleep(ATTACHED).await;
        ended(follower).await;
        alone.push(before.ns);
        slower.push((during.ns / before.ns - 1.0) * 100.0);
    }
    println!(
        "  a poll of the loop: alone {:.0} ns; streamed {:+.1} % (median of {} rounds, half of them {}; budget 3)",
        median(&alone),
        median(&slower),
        slower.len(),
        middle_half(&slower)
    );
    let follower = Follower::of("poll");
    let console = follower.pid();
    sleep(ATTACHED).await;
    let others = Others::of(console);
    let cost = load.keep(Duration::from_secs(seconds)).await;
    let (inspector, shows) = others.shares(console);
    sleep(ATTACHED).await;
    let account = ended(follower).await;
    println!(
        "  {} polls in {seconds} s ({:.0} a second), the loop at {:.1} % of a CPU",
        cost.polls, cost.rate, cost.share
    );
    println!(
        "  the inspector's thread {inspector:.1} %, the console's process {shows:.1} % of a CPU"
    );
    let good = adds_up(&account, cost.polls) && account.told.is_some_and(|(_, lost)| lost == 0);
    println!(
        "  the console: {} ({})",
        account.line,
        if good { "whole" } else { "NOT whole" }
    );
    good
}

/// The most memory that this process had while `work` ran, in bytes.
async fn most<T>(work: impl Future<Output = T>) -> (T, u64) {
    let mut most = 0;
    let mut work = pin!(work);
    loop {
        most = most.max(resident().unwrap_or(0));
        let next = loop_runtime::timeout(Duration::from_millis(250), work.as_mut());
        if let Ok(output) = next.await {
            return (output, most.max(resident().unwrap_or(0)));
        }
    }
}

async fn stalled(load: &Load, seconds: u64) -> bool {
    println!(
        "\nstalled: every poll of {} a second, to a console that is stopped for {seconds} s",
        load.rate
    );
    let before = resident().unwrap_or(0);
    let follower = Follower::of("poll");
    sleep(ATTACHED).await;
    let reading = load.keep(Duration::from_secs(ALONE)).await;
    follower.send(Signal::STOP);
    let (stopped, most) = most(load.keep(Duration::from_secs(seconds))).await;
    follower.send(Signal::CONT);
    let resumed = load.keep(Duration::from_secs(ALONE)).await;
    sleep(ATTACHED).await;
    let account = ended(follower).await;
    let polls = reading.polls + stopped.polls + resumed.polls;
    println!(
        "  a poll of the loop: {:.0} ns before, {:.0} ns while it is stopped, {:.0} ns after",
        reading.ns, stopped.ns, resumed.ns
    );
    println!(
        "  the app's memory: {:.1} MB before the console came, {:.1} MB at the most while it is stopped",
        before as f64 / 1e6,
        most as f64 / 1e6
    );
    let good = adds_up(&account, polls) && account.told.is_some_and(|(_, lost)| lost > 0);
    println!(
        "  {polls} polls; the console, after it went on: {} ({})",
        account.line,
        if good {
            "each was given or counted as lost"
        } else {
            "that does NOT account for all"
        }
    );
    good
}

async fn measured() -> bool {
    let load = Load::new(number("LOOP_BENCH_RATE", 200_000));
    load.start().await;
    load.keep(Duration::from_secs(1)).await;
    let mut good = true;
    let seconds = number("LOOP_BENCH_SECONDS", 60);
    if seconds > 0 {
        good &= whole(&load, seconds).await;
    }
    let stall = number("LOOP_BENCH_STALL", 30);
    if stall > 0 {
        good &= stalled(&load, stall).await;
    }
    good
}

fn main() -> ExitCode {
    match loop_runtime::run(measured()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("streamed: {error}");
            ExitCode::from(5)
        }
    }
}
