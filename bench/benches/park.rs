//! Parks: two loops on threads of their own that wait for each other's item, so that each parks with
//! nothing of its own that could wake it; and a task that waits for a byte of a socket pair, each time.
//!
//! Both threads share one core and both are counted: the CPU time is the process's.

use std::sync::mpsc;
use std::thread;

use loop_bench::{Contender, compare, rounds, settle};
use loop_runtime::net::UnixStream;
use loop_runtime::sync::mpsc::{UnboundedSender, unbounded_channel};

const ROUNDS: u64 = 20_000;

/// Both loops park once a round.
fn loops() {
    let (tell, told) = mpsc::channel::<UnboundedSender<u64>>();
    let (tell_back, told_back) = mpsc::channel::<UnboundedSender<u64>>();
    let thread = thread::spawn(move || {
        let served = loop_runtime::run(async move {
            let (ping, mut pings) = unbounded_channel();
            tell.send(ping).expect("it is waited for");
            let pong = told_back.recv().expect("it comes");
            while let Some(number) = pings.recv().await {
                pong.send(number).expect("it is waited for");
            }
        });
        served.expect("a loop can be made and run");
    });
    let asked = loop_runtime::run(async move {
        let (pong, mut pongs) = unbounded_channel();
        tell_back.send(pong).expect("it is waited for");
        let ping = told.recv().expect("it comes");
        for number in 0..ROUNDS {
            ping.send(number).expect("the other runs");
            pongs.recv().await.expect("the other answers");
        }
    });
    asked.expect("a loop can be made and run");
    thread.join().expect("the thread does not panic");
}

/// One loop; a byte there and back, twice a wait in the kernel.
fn sockets() {
    let served = loop_runtime::run(async {
        let (mut here, mut there) = UnixStream::pair().expect("a pair");
        let echo = loop_runtime::create_task(async move {
            let mut byte = [0];
            while there.read_exact(&mut byte).await.is_ok() {
                there.write_all(&byte).await.expect("it is read");
            }
        });
        let mut byte = [7];
        for _ in 0..ROUNDS {
            here.write_all(&byte).await.expect("it is read");
            here.read_exact(&mut byte).await.expect("it is answered");
        }
        drop(here);
        echo.await.expect("it ends");
    });
    served.expect("a loop can be made and run");
}

fn main() {
    settle();
    compare(
        "park: CPU of one round",
        "ns",
        rounds(15),
        None,
        vec![
            Contender::of_process("two loops, an item there and back", ROUNDS, loops),
            Contender::of_process("one loop, a byte there and back", ROUNDS, sockets),
        ],
    );
}
