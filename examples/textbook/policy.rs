//! A policy of your own: how loops are made that nobody configures; and what to use instead.
//!
//! Try:  cargo run -p loop-examples --example policy
//!
//! The console shows loops under the names that their makers gave them. Python deprecates policies
//! (3.14) and removes them (3.16); here one is a default factory and nothing more. Threads never
//! needed one: each makes its loop with a `Builder`, or a `LoopPool` makes them all.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use loop_runtime::{Builder, EventLoop, LoopPolicy, get_running_loop, set_event_loop_policy};

struct Strict;

impl LoopPolicy for Strict {
    fn new_event_loop(&self) -> io::Result<EventLoop> {
        Builder::new()
            .name("by policy")
            .block_budget(Duration::from_millis(20))
            .build()
    }
}

async fn name() -> String {
    get_running_loop().expect("this is a task").name()
}

fn main() -> Result<(), loop_runtime::RunError> {
    set_event_loop_policy(Some(Arc::new(Strict)));
    println!("run: {}", loop_runtime::run(name())?);
    // Who says how a loop is made does not ask the policy.
    println!("builder: {}", Builder::new().name("by hand").run(name())?);
    set_event_loop_policy(None);
    Ok(())
}
