//! A healthy app that is busy: nothing of it ever takes as long as its budget.
//!
//! Try:  cargo run -p loop-examples --example steady -- --poll-ms 3   and   loop-console connect
//!
//! Timers, conversations over TCP, computing in small pieces, and long work where it belongs: on
//! the executor. The console has nothing to say of it, however busy the machine is; see
//! `tools/false-alarms`. With `--poll-ms` above `--budget-ms` it is not healthy any more, and with
//! a CPU quota the console says what the quota took; see `tools/quota`.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use loop_examples::argument;
use loop_runtime::net::{TcpListener, TcpStream};
use loop_runtime::{
    Task, create_task, fs, get_running_loop, interval, run_in_executor, sleep, yield_now,
};

/// Computes until this thread has used so much CPU time, or so much time has passed where the host
/// does not tell.
fn compute(time: Duration) {
    let ran = || -> Option<u64> {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        told.split(' ').next()?.parse().ok()
    };
    // The kernel brings the count up to date with each tick, every 4 ms at the latest.
    let (began, before) = (Instant::now(), ran());
    let mut number = 1_u64;
    loop {
        for _ in 0..20_000 {
            number = std::hint::black_box(number).wrapping_mul(6_364_136_223_846_793_005);
        }
        let used = match (before, ran()) {
            (Some(before), Some(now)) => Duration::from_nanos(now - before),
            _ => began.elapsed(),
        };
        if used >= time {
            return;
        }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        // It ends with its connection; nobody waits for it.
        drop(create_task(async move {
            let mut bytes = [0; 256];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
        }));
    }
}

async fn converse(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let mut bytes = [0; 64];
    loop {
        stream.write_all(b"how are you?").await.expect("it reads");
        stream.read(&mut bytes).await.expect("it answers");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn tick() {
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
    }
}

async fn compute_in_pieces(piece: Duration) {
    loop {
        for _ in 0..4 {
            compute(piece);
            yield_now().await;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn work_elsewhere() {
    let path = std::env::temp_dir().join(format!("steady-{}", std::process::id()));
    loop {
        let worked = run_in_executor(|| compute(Duration::from_millis(30)));
        worked.await.expect("it returns");
        fs::write(&path, vec![b'x'; 64 << 10])
            .await
            .expect("there is room");
        fs::remove_file(&path).await.expect("it was just written");
        sleep(Duration::from_millis(100)).await;
    }
}

#[loop_runtime::main(name = "steady")]
async fn main() {
    let budget = Duration::from_millis(argument("--budget-ms", 20));
    let piece = Duration::from_millis(argument("--poll-ms", 3));
    let seconds = argument("--seconds", u64::MAX);
    let el = get_running_loop().expect("this is a task");
    el.set_slow_callback_duration(budget);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let mut tasks: Vec<Task<()>> = vec![
        create_task(serve(listener)),
        create_task(compute_in_pieces(piece)),
        create_task(work_elsewhere()),
    ];
    tasks.extend((0..10).map(|_| create_task(tick())));
    tasks.extend((0..10).map(|_| create_task(converse(address))));
    println!("steady for {seconds} s, pid {}", std::process::id());
    sleep(Duration::from_secs(seconds)).await;
    for task in &tasks {
        task.cancel();
    }
    for task in tasks {
        assert!(task.await.is_err(), "none of them ends by itself");
    }
}
