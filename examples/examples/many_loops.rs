//! Several loops in one process, one a thread.
//!
//! Try:  cargo run -p loop-examples --example many_loops -- --ticks 100    and   loop-console connect
//!
//! The console's screen of loops shows `east`, `north` and `west` side by side, each with its own
//! busy share and lag; the tasks of all are in one list.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use loop_examples::argument;
use loop_runtime::{Builder, Task, interval};

async fn tick(ticks: u64) -> u64 {
    let mut every = interval(Duration::from_millis(20));
    for _ in 0..ticks {
        every.tick().await;
    }
    ticks
}

fn main() {
    let ticks = argument("--ticks", 50);
    let threads = ["east", "north", "west"].map(|name| {
        let run = move || {
            Builder::new().name(name).run(async move {
                let task = Task::<()>::builder().name("tick").spawn(tick(ticks));
                println!("{name}: {} ticks", task.await.expect("nobody cancels it"));
            })
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .expect("a thread can be started")
    });
    for thread in threads {
        thread
            .join()
            .expect("the loop does not panic")
            .expect("the loop runs to its end");
    }
}
