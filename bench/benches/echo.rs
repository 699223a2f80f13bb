//! TCP echo: the server's CPU per message of 64 bytes on 50 connections.

use std::net::TcpListener;

use loop_bench::load::{Talk, served};
use loop_bench::{Contender, compare, rounds, settle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TALK: Talk = Talk {
    connections: 50,
    rounds: 1_000,
    question: &[b'x'; 64],
    ends_with: None,
};

fn ours(listener: TcpListener, connections: usize) {
    loop_runtime::run(async move {
        let listener = loop_runtime::net::TcpListener::from_std(listener)
            .expect("a listener can be taken over");
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.expect("a client comes");
            tasks.push(loop_runtime::create_task(async move {
                let mut bytes = [0; 1_024];
                loop {
                    let read = stream.read(&mut bytes).await.expect("the client writes");
                    if read == 0 {
                        return;
                    }
                    stream
                        .write_all(&bytes[..read])
                        .await
                        .expect("the client reads");
                }
            }));
        }
        for task in tasks {
            task.await.expect("it ends well");
        }
    })
    .expect("a loop can be made and run");
}

fn tokios(listener: TcpListener, connections: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    runtime.block_on(async move {
        listener
            .set_nonblocking(true)
            .expect("a listener can be non-blocking");
        let listener =
            tokio::net::TcpListener::from_std(listener).expect("a listener can be taken over");
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.expect("a client comes");
            tasks.push(tokio::spawn(async move {
                let mut bytes = [0; 1_024];
                loop {
                    let read = stream.read(&mut bytes).await.expect("the client writes");
                    if read == 0 {
                        return;
                    }
                    stream
                        .write_all(&bytes[..read])
                        .await
                        .expect("the client reads");
                }
            }));
        }
        for task in tasks {
            task.await.expect("it ends well");
        }
    });
}

fn main() {
    settle();
    compare(
        "echo: the server's CPU per message, 50 connections x 64 bytes, kernel included",
        "ns",
        rounds(9),
        Some(1.0),
        vec![
            Contender::measured("loop-runtime, recorded", || served(TALK, ours)),
            Contender::measured("tokio current_thread, not recorded", || {
                served(TALK, tokios)
            }),
        ],
    );
}
