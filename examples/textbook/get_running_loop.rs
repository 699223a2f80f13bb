//! `get_running_loop` never makes a loop: outside of one it is an error that says what to do.
//!
//! Try:  cargo run -p loop-examples --example get_running_loop
//!
//! The console shows nothing of interest: this one is about errors. In Python, `get_event_loop`
//! made a loop, then warned, and since 3.14 raises; `get_running_loop` was right all along.
#![forbid(unsafe_code)]

use loop_runtime::get_running_loop;

fn main() -> Result<(), loop_runtime::RunError> {
    match get_running_loop() {
        Ok(_) => unreachable!("no loop runs yet"),
        Err(error) => println!("outside: {error}"),
    }
    loop_runtime::run(async {
        let here = get_running_loop().expect("this is a task");
        println!("inside: a loop that runs: {}", here.is_running());
    })
}
