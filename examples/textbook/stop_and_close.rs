//! `stop` ends the iteration, `close` frees the loop: in that order, and each says if it is wrong.
//!
//! Try:  cargo run -p loop-examples --example stop_and_close
//!
//! The console would show a loop that is stopped with one task pending, and then no loop: what was
//! pending is listed as dropped among the finished tasks, where asyncio loses it silently.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_runtime::{Task, get_running_loop, new_event_loop, sleep};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let event_loop = new_event_loop()?;
    let sleeper = event_loop.enter(|| {
        let here = get_running_loop().expect("it is entered");
        here.call_soon({
            let here = here.clone();
            move || {
                println!("stop");
                here.stop();
                here.call_soon(|| println!("this one waits for the next run"));
            }
        });
        here.call_soon(|| println!("the iteration is finished first"));
        let sleeper = sleep(Duration::from_secs(3600));
        Task::<()>::builder().name("sleeper").spawn(sleeper)
    });
    event_loop.run_forever()?;

    // Not before it is stopped: from inside, `close` would be an error.
    println!("run again");
    event_loop.stop();
    event_loop.run_forever()?;

    for task in event_loop.close()? {
        println!("left pending: {}", task.name());
    }
    println!("closed twice: {} tasks", event_loop.close()?.len());
    drop(sleeper);
    Ok(())
}
