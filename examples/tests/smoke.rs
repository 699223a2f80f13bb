//! Runs each example, bounded, and looks at what it printed and how it ended.
//!
//! `cargo test -p loop-examples` builds the examples before; `--test smoke` alone does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let deps = test.parent().expect("it lies in a folder");
    let path: PathBuf = deps.with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing; run `cargo build -p loop-examples --examples`",
        path.display()
    );
    let mut command = Command::new(path);
    command.env("LOOP_CONSOLE", "off").stdin(Stdio::null());
    command
}

/// Runs it to its end, which has to be a good one.
fn output(name: &str, arguments: &[&str]) -> String {
    let output = example(name)
        .args(arguments)
        .output()
        .expect("the example can be started");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{name} ended with {}:\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}

/// A running example that printed where it listens; killed when dropped.
struct Server {
    child: Child,
    address: String,
    _out: BufReader<ChildStdout>,
}

impl Server {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = example(name)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example can be started");
        let mut out = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it prints a line");
        let address = line
            .trim()
            .trim_start_matches("listening on ")
            .trim_start_matches("http://")
            .to_owned();
        Self {
            child,
            address,
            _out: out,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens where it says");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket takes a limit");
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tasks_and_callbacks_run_in_the_order_in_which_they_were_made() {
    assert_eq!(
        output("create_task_and_call_soon", &[]),
        "main\ncallback\ntask\nmain again\n"
    );
}

#[test]
fn callbacks_come_at_their_time() {
    let printed = output("call_later_and_call_at", &[]);
    assert!(
        printed.starts_with("after 100 ms\nafter 200 ms\n"),
        "{printed}"
    );
}

#[test]
fn a_future_carries_a_value_and_a_broken_promise_is_an_error() {
    let printed = output("create_future", &[]);
    assert!(
        printed.starts_with("served: soup\nand when the promise is dropped: "),
        "{printed}"
    );
}

#[test]
fn another_thread_hands_work_to_the_loop() {
    assert_eq!(
        output("call_soon_threadsafe", &[]),
        "on the loop's thread\nthe thread has 42\n"
    );
}

#[test]
fn the_loop_ticks_on_while_the_executor_works() {
    let printed = output("run_in_executor", &[]);
    assert!(
        printed.starts_with("tick\n") && printed.ends_with("the sum is 500500\n"),
        "{printed}"
    );
}

#[test]
fn all_tasks_are_listed_with_their_places() {
    let printed = output("all_tasks", &[]);
    for name in ["main", "worker-1", "worker-2", "worker-3"] {
        assert!(
            printed
                .lines()
                .any(|line| line.contains(name) && line.contains("all_tasks.rs:")),
            "no {name} in:\n{printed}"
        );
    }
}

#[test]
fn loops_run_side_by_side() {
    let printed = output("many_loops", &["--ticks", "3"]);
    for name in ["east", "north", "west"] {
        assert!(printed.contains(&format!("{name}: 3 ticks")), "{printed}");
    }
}

#[test]
fn a_periodic_task_ticks() {
    assert_eq!(
        output("periodic", &["--ticks", "3"]),
        "Running...\n".repeat(3)
    );
}

#[test]
fn a_blocking_program_still_ends() {
    output("blocked", &["--times", "1"]);
}

#[test]
fn a_leaky_program_still_ends() {
    output("leaky", &["--times", "2"]);
}

#[test]
fn very_many_tasks_are_made_and_cancelled() {
    let printed = output("many_tasks", &["--tasks", "20000", "--for", "1"]);
    assert!(printed.starts_with("20000 tasks after "), "{printed}");
}

#[test]
fn an_echo_comes_back() {
    let mut server = Server::start("echo", &["--addr", "127.0.0.1:0", "--connections", "1"]);
    let mut stream = server.connect();
    stream.write_all(b"hello").expect("it reads");
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).expect("it answers");
    assert_eq!(&echo, b"hello");
    drop(stream);
    assert!(server.child.wait().expect("it ends").success());
}

#[test]
fn the_web_server_survives_its_own_routes_and_stops_on_sigterm() {
    let mut server = Server::start("web_server", &["--addr", "127.0.0.1:0"]);
    assert!(server.get("/").contains("Hello, World!"));
    assert!(server.get("/slow?ms=10").contains("slept 10ms"));
    assert!(
        server
            .get("/block?ms=150")
            .contains("blocked the loop for 150ms")
    );
    assert!(server.get("/offload?ms=10").contains("nobody else noticed"));
    assert!(server.get("/leak").contains("never end"));
    assert!(server.get("/panic").starts_with("HTTP/1.1 500 "));
    assert!(server.get("/nowhere").starts_with("HTTP/1.1 404 "));
    if cfg!(unix) {
        let pid = server.child.id().to_string();
        assert!(
            Command::new("kill")
                .arg(&pid)
                .status()
                .expect("there is a kill")
                .success()
        );
        assert!(
            server.child.wait().expect("it ends").success(),
            "SIGTERM is no failure"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_second_sigterm_ends_a_server_whose_loop_is_blocked() {
    use std::os::unix::process::ExitStatusExt;

    let mut server = Server::start("web_server", &["--addr", "127.0.0.1:0"]);
    let terminate = |pid: u32| Command::new("kill").arg(pid.to_string()).status();
    // A request in flight, which has begun once a later one is answered: the first signal alone
    // ends nothing, whether it comes before the loop is blocked or after.
    let mut slow = server.connect();
    write!(slow, "GET /slow?ms=60000 HTTP/1.1\r\nHost: here\r\n\r\n").expect("it reads");
    assert!(server.get("/").contains("Hello, World!"));
    let mut block = server.connect();
    write!(block, "GET /block?ms=60000 HTTP/1.1\r\nHost: here\r\n\r\n").expect("it reads");
    while server.child.try_wait().expect("it can be asked").is_none() {
        assert!(
            terminate(server.child.id())
                .expect("there is a kill")
                .success()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = server.child.wait().expect("it ends");
    assert_eq!(
        status.signal(),
        Some(15),
        "the signal's default ended it: {status}"
    );
}

#[cfg(feature = "compat")]
#[test]
fn reqwest_and_sqlx_run_on_a_loop() {
    assert_eq!(
        output("compat_tokio", &[]),
        "reqwest fetched ada\nsqlx counts 1\n"
    );
}

#[cfg(feature = "compat")]
#[test]
fn a_loop_serves_a_tokio_app() {
    assert_eq!(
        output("inside_tokio", &[]),
        "tokio awaited 1\ntokio awaited 4\ntokio awaited 9\n"
    );
}
