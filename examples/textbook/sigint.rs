//! The textbook's signal handler: SIGINT stops the loop.
//!
//! Try:  cargo run -p loop-examples --example sigint          and press Ctrl-C
//! or    cargo run -p loop-examples --example sigint -- --self
//!
//! The console shows, on the Loops screen, the handler of SIGINT with its place and how often it
//! came. Under `run`, `stop` would cut the main task short, which is the textbook's trap: there,
//! Ctrl-C cancels the main task anyway, and its clean-up runs.
#![forbid(unsafe_code)]

use std::process::Command;

use loop_runtime::signal::Signal;
use loop_runtime::{get_running_loop, new_event_loop, run_in_executor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let by_itself = std::env::args().any(|argument| argument == "--self");
    let event_loop = new_event_loop()?;
    let local = event_loop.local();
    // asyncio: loop.add_signal_handler(signal.SIGINT, lambda: loop.stop())
    let here = local.clone();
    local.add_signal_handler(Signal::INT, move || {
        println!("SIGINT: the loop stops");
        here.stop();
    })?;
    println!("waiting for Ctrl-C");
    if by_itself {
        let me = std::process::id().to_string();
        event_loop.enter(|| {
            let kill = move || Command::new("kill").args(["-INT", &me]).status();
            get_running_loop()
                .expect("it is entered")
                .create_task(run_in_executor(kill))
                .detach();
        });
    }
    event_loop.run_forever()?;
    println!("removed: {}", local.remove_signal_handler(Signal::INT));
    event_loop.close()?;
    println!("closed");
    Ok(())
}
