//! A TCP server that sends back what it gets.
//!
//! Try:  cargo run --release -p loop-examples --example echo
//! then  loop-console connect      and   nc 127.0.0.1 7777
//!
//! The console shows a task per connection (`echo`), each waiting on its socket; the screen of I/O
//! lists the sockets with both addresses and who waits for them. `--connections 3` ends it after
//! three, Ctrl-C at once.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use loop_examples::argument;
use loop_runtime::net::{TcpListener, TcpStream};
use loop_runtime::{Task, get_running_loop};

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..read]).await?;
    }
}

#[loop_runtime::main(name = "echo")]
async fn main() -> io::Result<()> {
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 7777)));
    let connections = argument("--connections", usize::MAX);
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    if cfg!(not(unix)) {
        // Without unix sockets a console has to be told where to look.
        let own = get_running_loop().map_err(io::Error::other)?.handle();
        println!("inspector: {}", own.inspector());
    }
    let mut served = Vec::new();
    for _ in 0..connections {
        let (stream, _) = listener.accept().await?;
        served.retain(|task: &Task<_>| !task.done());
        served.push(Task::<()>::builder().name("echo").spawn(echo(stream)));
    }
    for task in served {
        // A connection that broke is its client's business.
        let _ = task.await;
    }
    Ok(())
}
