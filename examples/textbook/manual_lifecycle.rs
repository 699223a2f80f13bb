//! The textbook's loop by hand: `new_event_loop`, `set_event_loop`, `run_until_complete`, `close`.
//!
//! Try:  cargo run -p loop-examples --example manual_lifecycle -- --for 60
//! then  loop-console connect
//!
//! The console shows one loop that somebody made by hand, running one task of kind main. `run`
//! does all of this and cleans up too, so this is for those who must keep the loop.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_examples::argument;
use loop_runtime::{get_event_loop, new_event_loop, set_event_loop, sleep};

async fn main_task(stay: Duration) -> &'static str {
    sleep(stay).await;
    "done"
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stay = Duration::from_secs(argument("--for", 0));

    // asyncio: loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)
    let event_loop = new_event_loop()?;
    set_event_loop(Some(&event_loop));
    assert_eq!(get_event_loop()?.id(), event_loop.id());

    // asyncio: loop.run_until_complete(main())
    println!("{}", event_loop.run_until_complete(main_task(stay))?);

    // asyncio: loop.close(). Ours gives the tasks that were still pending, which are none here.
    let left = event_loop.close()?;
    println!("{} tasks left", left.len());

    // A closed loop says so instead of doing nothing.
    println!(
        "again: {}",
        event_loop.run_until_complete(async {}).unwrap_err()
    );
    set_event_loop(None);
    Ok(())
}
