//! An echo server on a Unix socket, with asyncio's streams.
//!
//! Try:  cargo run -p loop-examples --example echo_unix -- --path /tmp/echo.sock
//! then  cargo run -p loop-examples --example echo_client -- --unix /tmp/echo.sock
//!
//! The console shows the server's task, one task per client, and the socket under its path. What
//! an earlier run left under the path is replaced; another file there is an error.
#![forbid(unsafe_code)]

use std::io;

use loop_examples::argument;
use loop_runtime::net::{StreamReader, StreamWriter, start_unix_server};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Ok(line) = reader.readline().await {
        if line.is_empty() {
            break;
        }
        writer.write(&line)?;
        writer.drain().await?;
    }
    Ok(())
}

#[loop_runtime::main(name = "echo-unix")]
async fn main() -> io::Result<()> {
    let path = argument("--path", "/tmp/loop-echo.sock".to_owned());
    let server = start_unix_server(echo, &path)?;
    println!("listening on {path}");
    server.serve_forever().await;
    Ok(())
}
