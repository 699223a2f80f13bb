//! A pool of loops beside one loop: requests whose handler takes 200 µs of CPU, over kept connections.
//!
//! Two figures, since a machine with neighbours has no honest wall time: with them, two threads get
//! more of the machine than one. *By the wall* is what the client waited. *By the CPU* is the time of
//! the busiest loop's thread on a core, which is what the wall would show on idle cores: it holds the
//! uneven spread of the connections and all that a pool costs, and no neighbour.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use loop_bench::load::{Talk, converse};
use loop_bench::{cpu_ns, median, rounds};
use loop_runtime::net::{TcpListener, TcpStream};
use loop_runtime::{Builder, LoopPool};

const TALK: Talk = Talk {
    connections: 256,
    rounds: 10,
    question: b"?",
    ends_with: None,
};

/// CPU of one request's handler.
const HANDLER_NS: u64 = 200_000;

/// Arithmetic that no compiler does in advance.
/// One loop, and two: by the wall, and by the busiest loop's CPU.
type Round = ([f64; 2], [f64; 2]);

fn mix(rounds: u64) -> u64 {
    (0..rounds).fold(black_box(7), |hash, round| {
        (hash ^ round)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31)
    })
}

/// Rounds of `mix` that take a handler's CPU: measured once, by the fastest of many tries. A clock in
/// the handler would be a system call a turn.
fn handler_rounds() -> u64 {
    static ROUNDS: OnceLock<u64> = OnceLock::new();
    *ROUNDS.get_or_init(|| {
        const TRY: u64 = 100_000;
        let fastest = (0..50)
            .map(|_| {
                let before = cpu_ns();
                black_box(mix(TRY));
                cpu_ns() - before
            })
            .min();
        TRY * HANDLER_NS / fastest.expect("there were tries").max(1)
    })
}

fn work() {
    black_box(mix(handler_rounds()));
}

async fn talk(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [0; 1];
    while stream.read(&mut byte).await? == 1 {
        work();
        stream.write_all(&byte).await?;
    }
    Ok(())
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        loop_runtime::create_task(talk(stream)).detach();
    }
}

/// CPU time of the thread of each loop so far.
fn on_cores(pool: &LoopPool) -> Vec<u64> {
    (0..pool.len())
        .map(|number| {
            let task = pool.spawn_on(number, || async { cpu_ns() });
            task.expect("the pool is open")
                .wait(None)
                .expect("the loop answers")
        })
        .collect()
}

/// Nanoseconds a request took: by the wall, and by the busiest loop's CPU.
fn measure(loops: usize) -> [f64; 2] {
    let pool = Builder::new()
        .name("bench")
        .inspector(false)
        .pool(loops)
        .expect("loops can be made");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let server = pool.serve(any, serve).expect("loopback has a free port");
    let address = server.local_addr();
    let before = on_cores(&pool);
    let start = Instant::now();
    thread::spawn(move || converse(TALK, address))
        .join()
        .expect("the client is answered");
    let wall = start.elapsed().as_nanos() as f64;
    let busiest = on_cores(&pool)
        .into_iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .max()
        .expect("a pool has a loop");
    server.stop();
    pool.close(std::time::Duration::ZERO)
        .expect("the pool ends well");
    let requests = TALK.questions() as f64;
    [wall / requests, busiest as f64 / requests]
}

fn main() {
    let rounds = rounds(7);
    handler_rounds();
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push((measure(1), measure(2)));
    }
    println!(
        "\npool: {} requests of {} µs CPU each, {} connections, {rounds} rounds",
        TALK.questions(),
        HANDLER_NS / 1_000,
        TALK.connections
    );
    for (at, what) in ["by the wall", "by the busiest loop's CPU"]
        .into_iter()
        .enumerate()
    {
        let of = |pick: &dyn Fn(&Round) -> f64| median(&all.iter().map(pick).collect::<Vec<_>>());
        let one = of(&|round| round.0[at]) / 1_000.0;
        let two = of(&|round| round.1[at]) / 1_000.0;
        let ratio = of(&|round| round.0[at] / round.1[at]);
        let met = if ratio >= 1.6 { "met" } else { "missed" };
        println!(
            "  {what:<26} one loop {one:>7.1} µs   two loops {two:>7.1} µs   {ratio:.2} times as many (target 1.60: {met})"
        );
    }
}
