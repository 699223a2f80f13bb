//! A group of tasks that end together: the first failure cancels the others, and each cleans up.
//!
//! Try:  cargo run -p loop-examples --example task_group
//!
//! The console shows the group as a resource with its number of tasks, the main task waiting for
//! it, and who asked for each cancel: the group, where it was made.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{GroupError, Task, TaskGroup, catch_cancel, sleep};

/// Works until it is cancelled, then says goodbye, which may take its time.
async fn worker(name: &str) -> Result<(), String> {
    if let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(3600))).await {
        sleep(Duration::from_millis(10)).await;
        println!("{name} has cleaned up");
        cancelled.propagate().await;
    }
    Ok(())
}

async fn breaks() -> Result<(), String> {
    sleep(Duration::from_millis(20)).await;
    Err("the disk is full".to_owned())
}

#[loop_runtime::main(name = "group")]
async fn main() {
    let all: Result<(), GroupError<String>> = TaskGroup::scope(|group| async move {
        for name in ["one", "two"] {
            let builder = Task::<()>::builder().name(name);
            group.create_task_as(builder, worker(name)).detach();
        }
        group.create_task(breaks()).detach();
        Ok(())
    })
    .await;
    for error in all.expect_err("one task fails").errors() {
        println!("failed: {error}");
    }
}
