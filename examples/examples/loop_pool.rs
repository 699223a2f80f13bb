//! One loop a thread, as many as there are cores, and a server that listens on each.
//!
//! Try:  cargo run --release -p loop-examples --example loop_pool -- --loops 2 --for 60
//! then  loop-console connect        and   nc 127.0.0.1 PORT
//!
//! The console lists the loops `pool-0`, `pool-1`, … with their threads, tasks and lag; each accepts
//! connections by itself, and the kernel spreads them.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use loop_examples::argument;
use loop_runtime::LoopPool;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = LoopPool::new(argument("--loops", 2))?;
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 0)));
    // What is spawned on a loop stays there, so it need not be `Send`; what makes it does.
    let squares: Vec<_> = (1..=8_u64)
        .map(|n| pool.spawn(move || async move { n * n }))
        .collect::<Result<_, _>>()?;
    let mut sum = 0;
    for square in squares {
        sum += square.wait(None)?;
    }
    println!("{} loops summed {sum}", pool.len());
    let server = pool.serve(address, async |listener| {
        while let Ok((mut stream, _)) = listener.accept().await {
            loop_runtime::create_task(async move {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            })
            .detach();
        }
    })?;
    println!("listening on {}", server.local_addr());
    std::thread::sleep(Duration::from_secs(argument("--for", 0)));
    pool.close(Duration::from_secs(1))?;
    println!("closed");
    Ok(())
}
