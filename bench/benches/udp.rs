//! UDP ping-pong: two sockets, two tasks, one loop; CPU per round trip of 64 bytes each way.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use loop_bench::{Contender, compare, rounds, settle};

const ROUNDS: u64 = 50_000;

fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn ours() {
    use loop_runtime::net::UdpSocket;
    loop_runtime::run(async {
        let (a, b) = (
            UdpSocket::bind(free()).expect("a free port"),
            UdpSocket::bind(free()).expect("a free port"),
        );
        let to = b.local_addr().expect("it is bound");
        let pong = loop_runtime::create_task(async move {
            let mut buf = [0; 64];
            for _ in 0..ROUNDS {
                let (n, from) = b.recv_from(&mut buf).await.expect("a ping");
                b.send_to(&buf[..n], from).await.expect("a pong goes out");
            }
        });
        let mut buf = [0; 64];
        for _ in 0..ROUNDS {
            a.send_to(&[b'x'; 64], to).await.expect("a ping goes out");
            black_box(a.recv_from(&mut buf).await.expect("a pong"));
        }
        pong.await.expect("it ends well");
    })
    .expect("a loop can be made and run");
}

fn tokios() {
    use tokio::net::UdpSocket;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    runtime.block_on(async {
        let (a, b) = (
            UdpSocket::bind(free()).await.expect("a free port"),
            UdpSocket::bind(free()).await.expect("a free port"),
        );
        let to = b.local_addr().expect("it is bound");
        let pong = tokio::spawn(async move {
            let mut buf = [0; 64];
            for _ in 0..ROUNDS {
                let (n, from) = b.recv_from(&mut buf).await.expect("a ping");
                b.send_to(&buf[..n], from).await.expect("a pong goes out");
            }
        });
        let mut buf = [0; 64];
        for _ in 0..ROUNDS {
            a.send_to(&[b'x'; 64], to).await.expect("a ping goes out");
            black_box(a.recv_from(&mut buf).await.expect("a pong"));
        }
        pong.await.expect("it ends well");
    });
}

fn main() {
    settle();
    compare(
        "udp: CPU per round trip of 64 bytes each way, two sockets on one loop, kernel included",
        "ns",
        rounds(9),
        Some(1.0),
        vec![
            Contender::new("loop-runtime, recorded", ROUNDS, ours),
            Contender::new("tokio current_thread, not recorded", ROUNDS, tokios),
        ],
    );
}
