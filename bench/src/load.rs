//! A client for servers under test: many connections, from a thread on another core where there is
//! one, so that the server's thread can be charged for the server alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::cpu_ns;

/// What is asked, and how the end of an answer is told.
#[derive(Clone, Copy)]
pub struct Talk {
    /// Connections that are open at once.
    pub connections: usize,
    /// Questions on each, one after the other.
    pub rounds: usize,
    /// The bytes of a question.
    pub question: &'static [u8],
    /// The bytes at which an answer ends; `None`: it is as long as the question.
    pub ends_with: Option<&'static [u8]>,
}

impl Talk {
    /// Questions in all.
    pub fn questions(&self) -> u64 {
        (self.connections * self.rounds) as u64
    }
}

/// Runs `server` on a thread of its own until the client's connections are closed, and gives the
/// CPU nanoseconds that thread took per question.
///
/// `server` is to serve as many connections as the talk has, and to return when they are closed.
pub fn served(talk: Talk, server: impl FnOnce(TcpListener, usize) + Send) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    let took = thread::scope(|scope| {
        let server = scope.spawn(move || {
            let before = cpu_ns();
            server(listener, talk.connections);
            cpu_ns() - before
        });
        scope.spawn(move || {
            leave_core();
            converse(talk, address);
        });
        server.join().expect("the server does not panic")
    });
    took as f64 / talk.questions() as f64
}

/// Keeps this thread off the core it is on, if the kernel allows that.
fn leave_core() {
    let here = rustix::thread::sched_getcpu();
    let mut others = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&core| core != here)
        .for_each(|core| others.set(core));
    // On a machine of one core it stays, and shares.
    let _ = rustix::thread::sched_setaffinity(None, &others);
}

/// Asks and hears all of a talk, from this thread; each round asks on every connection before it
/// hears any answer.
pub fn converse(talk: Talk, address: SocketAddr) {
    let mut streams: Vec<TcpStream> = (0..talk.connections)
        .map(|_| {
            let stream = TcpStream::connect(address).expect("the server accepts");
            stream.set_nodelay(true).expect("a socket takes nodelay");
            stream
                .set_read_timeout(Some(Duration::from_secs(60)))
                .expect("a socket takes a limit");
            stream
        })
        .collect();
    let mut bytes = vec![0; 4096];
    for _ in 0..talk.rounds {
        for stream in &mut streams {
            stream.write_all(talk.question).expect("the server reads");
        }
        for stream in &mut streams {
            answer(talk, stream, &mut bytes);
        }
    }
}

fn answer(talk: Talk, stream: &mut TcpStream, bytes: &mut [u8]) {
    let mut have = 0;
    loop {
        let read = stream.read(&mut bytes[have..]).expect("the server answers");
        assert!(read > 0, "the server closed a connection");
        have += read;
        let whole = match talk.ends_with {
            Some(end) => bytes[..have].ends_with(end),
            None => have == talk.question.len(),
        };
        if whole {
            return;
        }
    }
}
