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

#[test]
fn run_cleans_up_what_main_left() {
    assert_eq!(
        output("run", &[]),
        "main is done\nthe task that was left cleans up\nrun gives 42\n"
    );
}

#[test]
fn a_loop_made_by_hand_runs_closes_and_says_that_it_is_closed() {
    let printed = output("manual_lifecycle", &[]);
    assert!(
        printed.starts_with("done\n0 tasks left\nagain: the event loop is closed"),
        "{printed}"
    );
}

#[test]
fn stop_lets_the_iteration_end_and_close_names_what_was_pending() {
    assert_eq!(
        output("stop_and_close", &[]),
        "stop\nthe iteration is finished first\nrun again\nthis one waits for the next run\n\
         left pending: sleeper\nclosed twice: 0 tasks\n"
    );
}

#[test]
fn a_running_loop_is_found_inside_one_only() {
    let printed = output("get_running_loop", &[]);
    assert!(
        printed.starts_with("outside: no event loop runs on this thread")
            && printed.ends_with("inside: a loop that runs: true\n"),
        "{printed}"
    );
}

#[test]
fn a_policy_makes_the_loops_that_nobody_configures() {
    assert_eq!(output("policy", &[]), "run: by policy\nbuilder: by hand\n");
}

#[test]
fn everything_that_can_be_waited_for_ends_with_its_loop() {
    assert_eq!(
        output("waiting", &["--seconds", "1"]),
        "waiting; look inside with loop-console\n"
    );
}

#[test]
fn a_group_ends_with_its_first_failure_once_all_have_cleaned_up() {
    assert_eq!(
        output("task_group", &[]),
        "one has cleaned up\ntwo has cleaned up\nfailed: the disk is full\n"
    );
}

#[test]
fn blocking_work_holds_the_loop_only_on_the_loops_thread() {
    assert_eq!(
        output("blocking_wrong_and_right", &[]),
        "wrong: everybody waited 150 ms or more: true\nright: the loop went on turning meanwhile\n"
    );
}

#[test]
fn the_textbooks_web_server_says_hello() {
    let server = Server::start("web_hello", &["--addr", "127.0.0.1:0"]);
    assert!(server.get("/").ends_with("Hello, World!"));
}

#[test]
fn what_one_guest_says_the_other_hears() {
    let server = Server::start("chat", &["--addr", "127.0.0.1:0"]);
    let mut guests = [server.connect(), server.connect()].map(BufReader::new);
    let mut line = String::new();
    for guest in &mut guests {
        line.clear();
        guest.read_line(&mut line).expect("a greeting comes");
        assert!(line.starts_with("you are guest "), "{line}");
    }
    guests[0].get_mut().write_all(b"hello\n").expect("it reads");
    line.clear();
    guests[1].read_line(&mut line).expect("a line comes");
    assert!(line.ends_with(": hello\n"), "{line}");
}

#[test]
fn the_client_hears_the_echo_over_tcp_and_udp() {
    for (name, option) in [("echo", "--addr"), ("echo_udp", "--udp")] {
        let server = Server::start(name, &["--addr", "127.0.0.1:0"]);
        assert_eq!(
            output("echo_client", &[option, &server.address]),
            "3 echoes\n"
        );
    }
}

#[cfg(unix)]
mod unix {
    use super::*;

    #[test]
    fn the_client_hears_the_echo_over_a_unix_socket() {
        let path = std::env::temp_dir().join(format!("loop-echo-{}.sock", std::process::id()));
        let path = path.to_str().expect("a path that is text");
        let _server = Server::start("echo_unix", &["--path", path]);
        assert_eq!(output("echo_client", &["--unix", path]), "3 echoes\n");
        let _ = std::fs::remove_file(path);
    }

    #[test]
    fn a_childs_output_is_read_to_its_end() {
        assert_eq!(
            output("subprocess", &[]),
            "64 bytes from 8.8.8.8\nexit code Some(0)\n"
        );
    }

    #[test]
    fn ctrl_c_ends_an_endless_child_with_its_parent() {
        let mut ping = example("endless_ping")
            .args(["--program", "sleep", "--argument", "600"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example can be started");
        let mut line = String::new();
        let mut out = BufReader::new(ping.stdout.take().expect("its output is piped"));
        out.read_line(&mut line).expect("it prints a line");
        let pid = line
            .split(' ')
            .skip_while(|word| *word != "pid")
            .nth(1)
            .expect("it names its child")
            .trim_end_matches(';')
            .to_owned();
        let interrupt = Command::new("kill")
            .args(["-INT", &ping.id().to_string()])
            .status();
        assert!(interrupt.expect("there is a kill").success());
        assert_eq!(ping.wait().expect("it ends").code(), Some(130));
        // Killed, it may take its time to go; a dead one that nobody reaped yet has no arguments.
        let lives = || {
            let asked = Command::new("ps")
                .args(["-o", "args=", "-p", &pid])
                .output();
            let said = asked.expect("there is a ps").stdout;
            String::from_utf8_lossy(&said).contains("sleep 600")
        };
        for _ in 0..3000 {
            if !lives() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{pid} lives on");
    }

    #[test]
    fn sigint_stops_the_loop() {
        assert_eq!(
            output("sigint", &["--self"]),
            "waiting for Ctrl-C\nSIGINT: the loop stops\nremoved: true\nclosed\n"
        );
    }
}

#[cfg(feature = "tls")]
#[test]
fn an_echo_under_tls_comes_back_and_a_stranger_is_told_why_not() {
    let printed = output("tls_echo", &[]);
    assert!(
        printed.contains("\nhello in secret\na stranger: "),
        "{printed}"
    );
}

#[test]
fn a_pool_of_loops_works_and_serves() {
    let printed = output("loop_pool", &["--loops", "2"]);
    assert!(
        printed.starts_with("2 loops summed 204\nlistening on 127.0.0.1:")
            && printed.ends_with("closed\n"),
        "{printed}"
    );
}
