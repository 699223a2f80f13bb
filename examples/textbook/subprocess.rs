//! The textbook's `ping`, with an end: a child whose output is read until it closes.
//!
//! Try:  cargo run -p loop-examples --example subprocess
//!
//! The console shows, on the Children screen, the child with its pid, its state and the pipes that
//! are open; the main task waits for the end of that child's output.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use loop_runtime::process::{Stdio, create_subprocess_exec};

#[loop_runtime::main(name = "subprocess")]
async fn main() -> ExitCode {
    // asyncio: proc = await asyncio.create_subprocess_exec("ping", "8.8.8.8", stdout=PIPE), which
    // never ends by itself. `-c 3` would end ping; `echo` needs no network.
    let started = create_subprocess_exec("echo", ["64 bytes from 8.8.8.8"])
        .stdout(Stdio::piped())
        .await;
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut stdout = child.stdout.take().expect("it is piped");

    // asyncio: output = await proc.stdout.read()
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).await.expect("a pipe reads");
    print!("{}", String::from_utf8_lossy(&output));

    child.wait().await.expect("it is reaped here");
    println!("exit code {:?}", child.returncode());
    ExitCode::SUCCESS
}
