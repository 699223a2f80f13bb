//! An echo server and its client under TLS, with a certificate for `localhost`.
//!
//! Try:  cargo run -p loop-examples --features tls --example tls_echo -- --for 60
//! then  loop-console connect
//! or    openssl s_client -connect PRINTED_ADDRESS -CAfile examples/tls/localhost.pem
//!
//! The console shows the server's task, one task for each client, and the sockets as any others: TLS
//! is a layer of the stream, what it waits for is the socket. The key in `examples/tls` is public,
//! so it guards nothing.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use loop_examples::argument;
use loop_runtime::net::tls::{TlsAcceptor, TlsConnector, open_connection, start_server};
use loop_runtime::net::{StreamReader, StreamWriter};

const CERTIFICATE: &[u8] = include_bytes!("../tls/localhost.pem");
const KEY: &[u8] = include_bytes!("../tls/localhost.key");

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

#[loop_runtime::main(name = "tls-echo")]
async fn main() -> io::Result<()> {
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = start_server(echo, address, &TlsAcceptor::new(CERTIFICATE, KEY)?).await?;
    let port = server.sockets()[0].ip().map_or(0, |address| address.port());
    println!("listening on localhost:{port}");

    let trusts = TlsConnector::with_roots(CERTIFICATE)?;
    let (mut reader, writer) = open_connection(("localhost", port), &trusts).await?;
    writer.write(b"hello in secret\n")?;
    let line = reader.readline().await.map_err(io::Error::other)?;
    print!("{}", String::from_utf8_lossy(&line));

    // Who trusts only what Mozilla trusts is not served.
    match open_connection(("localhost", port), &TlsConnector::new()?).await {
        Ok(_) => return Err(io::Error::other("an unknown certificate was accepted")),
        Err(error) => println!("a stranger: {error}"),
    }
    loop_runtime::sleep(Duration::from_secs(argument("--for", 0))).await;
    server.close();
    Ok(())
}
