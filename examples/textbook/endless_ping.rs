//! The textbook's `ping`, to the letter: on Linux it never ends, and so neither does the read.
//!
//! Try:  cargo run -p loop-examples --example endless_ping
//! then  loop-console connect                          and Ctrl-C when you have seen enough
//!
//! The console shows what Python leaves you to guess: `main` waits for the end of the output of
//! pid N, and that child is alive. `--program sleep --argument 600` shows the same without a
//! network. Ctrl-C cancels main; the child is killed with it, and reaped.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use loop_examples::argument;
use loop_runtime::process::{Stdio, create_subprocess_exec};

#[loop_runtime::main(name = "endless-ping")]
async fn main() -> ExitCode {
    let program = argument("--program", "ping".to_owned());
    let argument = argument("--argument", "8.8.8.8".to_owned());
    let started = create_subprocess_exec(&program, [argument])
        .stdout(Stdio::piped())
        .await;
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{program} is pid {}; reading until it closes its output",
        child.pid()
    );
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).await.expect("a pipe reads");
    println!("it did end, with {} bytes", output.len());
    ExitCode::SUCCESS
}
