//! A client of the echo servers: `--addr` for TCP, `--unix PATH`, or `--udp ADDRESS`.
//!
//! Try:  cargo run -p loop-examples --example echo              in one terminal
//! then  cargo run -p loop-examples --example echo_client -- --times 1000000
//!
//! The console shows one task that waits to read or to write; on the I/O screen its socket with
//! both ends.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use loop_examples::argument;
use loop_runtime::net::{UdpSocket, open_connection};

async fn over_stream(
    (mut reader, writer): (
        loop_runtime::net::StreamReader,
        loop_runtime::net::StreamWriter,
    ),
    times: u64,
) -> io::Result<()> {
    for n in 0..times {
        let line = format!("hello {n}\n");
        writer.write(line.as_bytes())?;
        writer.drain().await?;
        let echo = reader.readline().await.map_err(io::Error::other)?;
        if echo != line.as_bytes() {
            return Err(io::Error::other("the echo is another one"));
        }
    }
    writer.close();
    writer.wait_closed().await
}

async fn over_udp(server: SocketAddr, times: u64) -> io::Result<()> {
    let here: SocketAddr = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    }
    .parse()
    .expect("an address");
    let socket = UdpSocket::bind(here)?;
    socket.connect(server)?;
    let mut bytes = [0; 1500];
    for n in 0..times {
        let packet = format!("hello {n}");
        socket.send(packet.as_bytes()).await?;
        let read = socket.recv(&mut bytes).await?;
        if &bytes[..read] != packet.as_bytes() {
            return Err(io::Error::other("the echo is another one"));
        }
    }
    Ok(())
}

#[cfg(unix)]
async fn over_unix(path: &str, times: u64) -> io::Result<()> {
    over_stream(loop_runtime::net::open_unix_connection(path).await?, times).await
}

#[cfg(not(unix))]
async fn over_unix(path: &str, _: u64) -> io::Result<()> {
    let why = format!("{path}: this system has no unix sockets here; use --addr");
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

#[loop_runtime::main(name = "echo-client")]
async fn main() -> io::Result<()> {
    let times = argument("--times", 3);
    let (tcp, unix, udp) = (
        argument("--addr", "127.0.0.1:7777".to_owned()),
        argument("--unix", String::new()),
        argument("--udp", String::new()),
    );
    if !udp.is_empty() {
        let address = udp.parse().map_err(io::Error::other)?;
        over_udp(address, times).await?;
    } else if !unix.is_empty() {
        over_unix(&unix, times).await?;
    } else {
        over_stream(open_connection(tcp.as_str()).await?, times).await?;
    }
    println!("{times} echoes");
    Ok(())
}
