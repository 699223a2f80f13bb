//! A channel round trip: two tasks on one loop and the same channel crate on each executor.

use loop_bench::{Contender, compare, rounds, settle};
use tokio::sync::mpsc;

const TRIPS: u64 = 200_000;

async fn ping(to: mpsc::Sender<u64>, mut from: mpsc::Receiver<u64>) {
    for trip in 0..TRIPS {
        to.send(trip).await.expect("the other end lives");
        assert_eq!(from.recv().await, Some(trip));
    }
}

async fn pong(to: mpsc::Sender<u64>, mut from: mpsc::Receiver<u64>) {
    while let Some(trip) = from.recv().await {
        if to.send(trip).await.is_err() {
            return;
        }
    }
}

fn ours(event_loop: &loop_runtime::EventLoop) {
    let trips = event_loop.run_until_complete(async {
        let (there, arrives) = mpsc::channel(1);
        let (back, returns) = mpsc::channel(1);
        let pong = loop_runtime::create_task(pong(back, arrives));
        let ping = loop_runtime::create_task(ping(there, returns));
        ping.await.expect("it ends well");
        pong.await.expect("it ends well");
    });
    trips.expect("a loop runs to the end");
}

fn tokios(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        let (there, arrives) = mpsc::channel(1);
        let (back, returns) = mpsc::channel(1);
        let pong = tokio::spawn(pong(back, arrives));
        let ping = tokio::spawn(ping(there, returns));
        ping.await.expect("it ends well");
        pong.await.expect("it ends well");
    });
}

fn main() {
    settle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    // Made once, as theirs is.
    let event_loop = loop_runtime::EventLoop::new().expect("a loop can be made");
    compare(
        "channel: CPU of one round trip over tokio::sync::mpsc(1)",
        "ns",
        rounds(15),
        Some(0.9),
        vec![
            Contender::new("loop-runtime, recorded", TRIPS, || ours(&event_loop)),
            Contender::new("tokio current_thread, not recorded", TRIPS, || {
                tokios(&tokio)
            }),
        ],
    );
}
