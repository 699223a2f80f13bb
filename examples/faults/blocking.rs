//! Polls that hold their loop: each does in a task what belongs into `run_in_executor`, or has an
//! async form.

use std::io::{Read, Seek, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use loop_runtime::{allow_blocking, create_task, get_running_loop, sleep};

use super::{Body, Program, ms, program};

/// So long each holds its loop: well over the 100 ms of the usual budget.
const BLOCK: Duration = ms(250);

pub(super) const PROGRAMS: [Program; 20] = [
    program(
        "cpu-loop",
        "blocked",
        "A task computes without a turn for others.",
        || in_a_task(async { compute(BLOCK) }),
    )
    .also("never-yields"),
    program(
        "thread-sleep",
        "blocked",
        "A task sleeps with the thread's sleep.",
        || in_a_task(async { thread::sleep(BLOCK) }),
    ),
    program(
        "std-mutex",
        "blocked",
        "A task takes a mutex that another thread holds.",
        || in_a_task(std_mutex()),
    ),
    program(
        "pipe-read",
        "blocked",
        "A task reads a pipe before there is anything in it.",
        || in_a_task(pipe_read()),
    ),
    program(
        "http-request",
        "blocked",
        "A task connects and waits for the answer, both blocking.",
        || in_a_task(http_request()),
    ),
    program(
        "name-lookup",
        "blocked",
        "A task asks a name server and waits as getaddrinfo does.",
        || in_a_task(name_lookup()),
    ),
    program("file-write", "blocked", "A task writes a big file.", || {
        in_a_task(file_write())
    })
    .also("never-yields"),
    program(
        "file-read",
        "blocked",
        "A task reads a big file over and over.",
        || in_a_task(file_read()),
    )
    .also("never-yields"),
    program(
        "std-channel",
        "blocked",
        "A task receives from a channel of threads.",
        || in_a_task(std_channel()),
    ),
    program(
        "child-wait",
        "blocked",
        "A task waits for a child as threads do.",
        || in_a_task(child_wait()),
    ),
    program("thread-join", "blocked", "A task joins a thread.", || {
        in_a_task(async {
            thread::spawn(|| thread::sleep(BLOCK))
                .join()
                .expect("it sleeps")
        })
    }),
    program(
        "spin-on-flag",
        "blocked",
        "A task spins until another thread has set a flag.",
        || in_a_task(spin_on_flag()),
    )
    .also("never-yields"),
    program(
        "huge-sort",
        "blocked",
        "A task sorts for very long.",
        || in_a_task(huge_sort()),
    )
    .also("never-yields"),
    program(
        "rows-at-once",
        "blocked",
        "A task reads many rows in one go, in ever other functions.",
        || in_a_task(async { read_rows(2 * BLOCK) }),
    )
    .also("never-yields"),
    program(
        "huge-allocation",
        "blocked",
        "A task fills memory page by page.",
        || in_a_task(huge_allocation()),
    )
    .also("never-yields"),
    program(
        "slow-callback",
        "blocked",
        "A callback of the loop takes long.",
        || in_a_task(slow_callback()),
    )
    .also("late-timer"),
    program(
        "slow-drop",
        "blocked",
        "Dropping the future of a cancelled task takes long.",
        || in_a_task(slow_drop()),
    ),
    program(
        "short-read",
        "blocking-call",
        "A task reads a small file, which is quick on this disk.",
        || {
            in_a_task(async {
                std::fs::read("/proc/self/cmdline")
                    .map(drop)
                    .expect("it is there")
            })
        },
    )
    .looks_for_calls(),
    program(
        "short-sleep",
        "blocking-call",
        "A task sleeps with the thread's sleep, for less than the budget.",
        || in_a_task(async { thread::sleep(ms(5)) }),
    )
    .looks_for_calls(),
    program(
        "allowed-then-not",
        "blocked",
        "A task blocks where it may, and goes on where it may not.",
        || {
            in_a_task(async {
                allow_blocking("the first half", || thread::sleep(BLOCK));
                thread::sleep(BLOCK);
            })
        },
    ),
];

/// The fault is in a task of this file, and main lives on until the place of the block is known.
fn in_a_task(future: impl Future<Output = ()> + 'static) -> Body {
    Box::pin(async move {
        let task = create_task(async move {
            tell_the_moment("fault");
            future.await;
            tell_the_moment("over");
        });
        task.await.expect("it ends by itself");
        sleep(ms(400)).await;
    })
}

/// For `tools/corpus`, which measures how soon a block is told: which task blocks from now on, or did
/// until now, and what CLOCK_MONOTONIC says, in nanoseconds.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
fn tell_the_moment(what: &str) {
    #[cfg(target_os = "linux")]
    if std::env::var_os("FAULTS_TELL").is_some() {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let task = loop_runtime::current_task().map_or(0, |task| task.id().get());
        println!("{what} {task} {}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
    }
}

/// How long this thread has held its loop: the time on the wall without that for which it was
/// runnable and had no CPU, so that a busy machine does not make a program another one.
struct Held {
    began: Instant,
    waited: Duration,
}

impl Held {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            waited: waited_for_cpu(),
        }
    }

    fn time(&self) -> Duration {
        let wall = self.began.elapsed();
        wall.saturating_sub(waited_for_cpu().saturating_sub(self.waited))
    }
}

/// Zero where the host does not tell.
fn waited_for_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = told.split(' ').nth(1).and_then(|ns| ns.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// Computes for so long.
pub(super) fn compute(time: Duration) {
    let held = Held::begin();
    let mut number = 1_u64;
    while held.time() < time {
        for _ in 0..20_000 {
            number = std::hint::black_box(number).wrapping_mul(6_364_136_223_846_793_005);
        }
    }
}

async fn std_mutex() {
    let cart = Arc::new(Mutex::new(0));
    let (held, is_held) = mpsc::channel();
    let other = cart.clone();
    let thread = thread::spawn(move || {
        let _items = other.lock();
        held.send(()).expect("somebody waits for it");
        thread::sleep(BLOCK);
    });
    is_held.recv().expect("it is said");
    drop(cart.lock());
    thread.join().expect("it sleeps");
}

async fn pipe_read() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let thread = thread::spawn(move || {
        thread::sleep(BLOCK);
        writer.write_all(b"x").expect("its reader lives");
    });
    reader.read_exact(&mut [0]).expect("a byte comes");
    thread.join().expect("it writes");
}

async fn http_request() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address");
    let thread = thread::spawn(move || {
        let (mut peer, _) = server.accept().expect("somebody connects");
        thread::sleep(BLOCK);
        peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .expect("it reads");
    });
    let mut stream = TcpStream::connect(address).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    thread.join().expect("it answers");
}

async fn name_lookup() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address");
    let thread = thread::spawn(move || {
        let (_, from) = server.recv_from(&mut [0; 64]).expect("a question");
        thread::sleep(BLOCK);
        server.send_to(b"192.0.2.1", from).expect("it is sent");
    });
    let resolver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    resolver
        .send_to(b"A shop.example", address)
        .expect("it is sent");
    resolver.recv(&mut [0; 64]).expect("an answer");
    thread.join().expect("it answers");
}

/// A file of this process, without a name.
fn file() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("faults-{}", std::process::id()));
    let options = &mut std::fs::OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(&path);
    let file = file.expect("a file can be made");
    std::fs::remove_file(path).expect("it is ours");
    file
}

async fn file_write() {
    let (mut file, report) = (file(), vec![b'x'; 1 << 20]);
    let held = Held::begin();
    while held.time() < BLOCK {
        file.rewind().expect("it is a file");
        file.write_all(&report).expect("there is room for it");
    }
}

async fn file_read() {
    let (mut file, mut report) = (file(), vec![b'x'; 1 << 20]);
    file.write_all(&report).expect("there is room for it");
    let held = Held::begin();
    while held.time() < BLOCK {
        file.rewind().expect("it is a file");
        file.read_exact(&mut report).expect("it is that long");
    }
}

async fn std_channel() {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        thread::sleep(BLOCK);
        sender.send(1).expect("somebody waits for it");
    });
    receiver.recv().expect("it is sent");
    thread.join().expect("it sends");
}

async fn child_wait() {
    let child = Command::new("sleep").arg("0.25").status();
    assert!(child.expect("there is a program called sleep").success());
}

async fn spin_on_flag() {
    let (ready, enough) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    let other = ready.clone();
    let thread = thread::spawn(move || {
        enough.1.recv().expect("a word comes");
        other.store(true, Ordering::Release);
    });
    let held = Held::begin();
    while !ready.load(Ordering::Acquire) {
        // It burns CPU and may have to share it, so the other thread waits for a word from here.
        if held.time() > BLOCK {
            let _ = enough.0.send(()); // More than one word is one too many.
        }
    }
    thread.join().expect("it ends");
}

/// At each moment in another function: only this one is in all stacks.
#[inline(never)]
fn read_rows(time: Duration) {
    let held = Held::begin();
    while held.time() < time {
        parse_row();
        check_row();
        add_row();
    }
}

#[inline(never)]
pub(super) fn parse_row() {
    compute(ms(2));
}

#[inline(never)]
pub(super) fn check_row() {
    compute(ms(3));
}

#[inline(never)]
pub(super) fn add_row() {
    compute(ms(5));
}

async fn huge_sort() {
    let held = Held::begin();
    while held.time() < BLOCK {
        let mut numbers: Vec<u64> = (0..20_000).map(|n| n * 7_919 % 20_011).collect();
        numbers.sort_unstable();
        std::hint::black_box(numbers);
    }
}

async fn huge_allocation() {
    let held = Held::begin();
    while held.time() < BLOCK {
        std::hint::black_box(vec![1_u8; 16 << 20]);
    }
}

async fn slow_callback() {
    let el = get_running_loop().expect("this is a task");
    el.call_later(ms(10), || thread::sleep(BLOCK));
    sleep(ms(50)).await;
}

/// Closes something slowly.
struct Slow;

impl Drop for Slow {
    fn drop(&mut self) {
        thread::sleep(BLOCK);
    }
}

async fn slow_drop() {
    let task = create_task(async {
        let _slow = Slow;
        sleep(ms(60_000)).await;
    });
    sleep(ms(10)).await;
    task.cancel();
    assert!(task.await.is_err(), "it was cancelled");
}
