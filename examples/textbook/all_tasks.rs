//! The program looks at itself: `all_tasks`, and what each of them is doing.
//!
//! Try:  cargo run -p loop-examples --example all_tasks
//!
//! Prints what the console's screen of tasks shows: id, state, name, where it was spawned and
//! where it waits. The next thing it does is to cancel them all.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{Task, all_tasks, current_task, sleep, yield_now};

#[loop_runtime::main]
async fn main() {
    let workers: Vec<_> = (1..=3)
        .map(|number| {
            Task::<()>::builder()
                .name("worker-")
                .number(number)
                .spawn(sleep(Duration::from_secs(60)))
        })
        .collect();
    yield_now().await; // Lets them come to their first await.
    let myself = current_task();
    for task in all_tasks().expect("main runs on a loop") {
        if let Some(info) = task.info() {
            println!(
                "{} {} {} {} {}",
                info.id(),
                info.state(),
                info.name(),
                info.spawned_at(),
                info.waiting_at()
            );
        }
        if Some(task) != myself {
            task.cancel();
        }
    }
    for worker in workers {
        println!("{}", worker.await.unwrap_err());
    }
}
