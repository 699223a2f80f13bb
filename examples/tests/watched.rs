//! The examples as a user watches them: the console on a running one, and the gate around one.
//!
//! Needs the console's binary: `cargo test --workspace` builds it, else `cargo build -p loop-console`.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

mod world;

use world::built::{built, program};
use world::{Said, World};

impl World {
    /// `loop-console check -- APP`, with a report of each kind.
    fn check(&self, flags: &[&str], app: &Path, arguments: &[&str]) -> Said {
        let app = app.to_str().expect("a path that is text");
        let all = [&["check"], flags, &["--", app], arguments].concat();
        self.console(&all)
    }

    fn server(&self) -> Server {
        let mut child = self
            .command(&program("examples/web_server"))
            .args(["--addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example can be started");
        let mut line = String::new();
        let said = child.stdout.take().expect("its output is piped");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("it prints a line");
        let address = line.trim().trim_start_matches("listening on http://");
        Server {
            address: address.to_owned(),
            child,
        }
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Sends a request and leaves the answer to be read.
    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens where it says");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket takes a limit");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        )
        .expect("it reads");
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        self.ask(path)
            .read_to_string(&mut answer)
            .expect("it answers");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the console again until what it says holds, for at most a minute.
fn until(world: &World, arguments: &[&str], holds: impl Fn(&str) -> bool) -> String {
    let mut said = String::new();
    for _ in 0..600 {
        said = world.console(arguments).out;
        if holds(&said) {
            return said;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("`loop-console {}` still says:\n{said}", arguments.join(" "));
}

#[test]
fn requests_are_tasks_by_their_route_and_a_leak_is_told_with_its_evidence() {
    let world = World::new("leak");
    let server = world.server();
    let _slow = server.ask("/slow?ms=60000");
    let tasks = until(&world, &["tasks", "--json"], |said| {
        said.contains("\"GET /slow\"")
    });
    assert!(tasks.contains("web_server.rs:"), "{tasks}");
    assert!(server.get("/leak").contains("never end"));
    let leaks = until(&world, &["leaks", "--json"], |said| {
        said.contains("\"stranded\"")
    });
    for word in ["\"certain\"", "web_server.rs:", "no waker"] {
        assert!(leaks.contains(word), "no {word} in {leaks}");
    }
}

#[test]
fn a_blocked_loop_is_named_while_it_is_blocked() {
    let world = World::new("block");
    let server = world.server();
    assert!(server.get("/").contains("Hello, World!"));
    // Long enough for a machine under load; the test ends as soon as it is seen.
    let blocked = server.ask("/block?ms=60000");
    let loops = until(&world, &["loops", "--json"], |said| {
        said.contains("\"GET /block\"")
    });
    for word in ["\"blocked\"", "web_server.rs:", "\"stack\""] {
        assert!(loops.contains(word), "no {word} in {loops}");
    }
    drop(blocked);
}

#[test]
fn the_gate_lets_a_clean_program_pass() {
    let said = World::new("clean").check(&[], &program("examples/periodic"), &["--ticks", "3"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    assert!(said.out.contains("Running..."), "the streams are its own");
}

#[test]
fn the_gate_fails_on_a_blocked_loop_and_writes_junit() {
    let world = World::new("blocks");
    let report = world.0.join("junit.xml");
    let junit = report.to_str().expect("a path that is text");
    let blocked = program("examples/blocked");
    let said = world.check(&["--junit", junit], &blocked, &["--times", "1"]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    let all = said.out + &said.err;
    assert!(all.contains("blocked.rs:"), "no place in {all}");
    let xml = fs::read_to_string(report).expect("the report is there");
    assert!(
        xml.contains("<failure") && xml.contains("blocked.rs:"),
        "{xml}"
    );
}

#[test]
fn the_gate_fails_on_leaked_tasks_and_tells_apart_how_they_leaked() {
    let said = World::new("leaks").check(&[], &program("examples/leaky"), &["--times", "1"]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    let all = said.out + &said.err;
    for finding in ["stranded", "left-behind"] {
        assert!(all.contains(finding), "no {finding} in {all}");
    }
}

#[test]
fn the_gate_judges_a_test_suite_and_names_the_test() {
    let newest = fs::read_dir(built().join("deps"))
        .expect("the folder of test binaries")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("ci_gate-") && path.extension().is_none()
        })
        .max_by_key(|path| fs::metadata(path).and_then(|facts| facts.modified()).ok())
        .expect("`cargo test -p loop-examples` builds the test `ci_gate`");
    // One test catches a block in itself; the gate around it judges by its own budget.
    let said = World::new("suite").check(&[], &newest, &[]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    // What the tests print is on the other stream.
    let all = said.err;
    for test in [
        "a_task_that_outlives_the_test_fails_it",
        "a_task_that_nothing_can_wake_fails_it",
        "the_same_work_in_a_task_fails_the_test",
    ] {
        assert!(all.contains(test), "no {test} in {all}");
    }
    assert!(
        !all.contains("a_task_that_is_awaited_is_no_leak"),
        "a clean test is in no finding: {all}"
    );
    assert!(
        all.contains("1 process, 5 tests") && !all.contains("last word"),
        "the process hands over its last verdict: {all}"
    );
}
