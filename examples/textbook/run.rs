//! `asyncio.run(main())`: makes a loop, runs a future, cleans up, closes.
//!
//! Try:  cargo run -p loop-examples --example run
//!
//! The console shows the loop with its main task. The task that main leaves behind is asked to
//! cancel when main is done, and is a finding `left-behind` unless it ends within the grace.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{create_task, sleep};

struct CleanUp;

impl Drop for CleanUp {
    fn drop(&mut self) {
        println!("the task that was left cleans up");
    }
}

async fn forgotten() {
    let _clean_up = CleanUp;
    sleep(Duration::from_secs(3600)).await;
}

async fn main_task() -> u32 {
    create_task(forgotten()).detach();
    sleep(Duration::from_millis(10)).await;
    println!("main is done");
    42
}

fn main() -> Result<(), loop_runtime::RunError> {
    let answer = loop_runtime::run(main_task())?;
    println!("run gives {answer}");
    Ok(())
}
