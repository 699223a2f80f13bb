//! An echo server on UDP: one socket, one task, any number of peers.
//!
//! Try:  cargo run -p loop-examples --example echo_udp
//! then  cargo run -p loop-examples --example echo_client -- --udp 127.0.0.1:7777
//!
//! The console shows one task that waits to read from a socket of kind udp.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use loop_examples::argument;
use loop_runtime::net::UdpSocket;

#[loop_runtime::main(name = "echo-udp")]
async fn main() -> io::Result<()> {
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 7777)));
    let socket = UdpSocket::bind(address)?;
    println!("listening on {}", socket.local_addr()?);
    let mut bytes = [0; 65_536];
    loop {
        let (read, peer) = socket.recv_from(&mut bytes).await?;
        socket.send_to(&bytes[..read], peer).await?;
    }
}
