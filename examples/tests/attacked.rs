//! An app under attack: whatever a client or the environment does, the app's own work goes on, and
//! the console says what is so. Each test starts a process of its own and looks at it from outside.
//!
//! Needs two programs that `cargo test --workspace` builds; else
//! `cargo build -p loop-console -p loop-examples --bins --examples`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

mod world;

mod attacked {
    pub(crate) mod clients;
    pub(crate) mod places;
    pub(crate) mod surroundings;
    pub(crate) mod texts;
    pub(crate) mod wire;
}

use world::built::program;
use world::{Said, World};

impl World {
    /// Asks the console again until it exits with 0, for at most a minute.
    fn answered(&self, arguments: &[&str]) -> String {
        let mut said = self.console(arguments);
        for _ in 0..600 {
            if said.code == Some(0) {
                return said.out;
            }
            std::thread::sleep(Duration::from_millis(100));
            said = self.console(arguments);
        }
        panic!(
            "`loop-console {}` still says: {said:?}",
            arguments.join(" ")
        );
    }

    fn app(&self, arguments: &[&str]) -> App {
        let mut command = self.command(&program("examples/attacked_app"));
        App::start(command.args(arguments))
    }
}

impl Said {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The app that is attacked; ends with the test.
struct App {
    child: Child,
    /// Kept open, for an app that prints into a closed pipe fails for a reason of its own.
    _out: BufReader<ChildStdout>,
    address: String,
    /// What it says of its inspector.
    inspector: String,
}

impl App {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the app can be started");
        let mut out = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).expect("it prints a line");
            line.trim_end().to_owned()
        };
        let address = line();
        let inspector = line();
        Self {
            address: address
                .trim_start_matches("listening on http://")
                .to_owned(),
            child,
            _out: out,
            inspector,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn socket(&self) -> PathBuf {
        let socket = self.inspector.strip_prefix("listening at ");
        let socket = socket.unwrap_or_else(|| panic!("no socket: {}", self.inspector));
        PathBuf::from(socket.split(" and at ").next().unwrap_or_default())
    }

    fn target(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// A connection that the app keeps open between requests.
    fn visitor(&self) -> Visitor {
        let stream = TcpStream::connect(&self.address).expect("it listens where it says");
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).expect("a limit");
        Visitor(BufReader::new(stream))
    }

    /// Bytes of memory that it has.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
            * 1024
    }

    /// The lowest number that its next descriptor may get.
    fn free_descriptor(&self) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/fd", self.child.id()));
        let open = |number: &u64| fs::symlink_metadata(path.join(number.to_string())).is_ok();
        (0..).find(|number| !open(number)).expect("one is free")
    }

    fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the app's own service.
struct Visitor(BufReader<TcpStream>);

impl Visitor {
    /// One request, and its whole answer.
    fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .expect("the app reads");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("the app answers");
            assert!(!line.is_empty(), "the app closed the connection");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body");
        String::from_utf8(body).expect("text")
    }

    fn served(&mut self, times: usize) {
        for _ in 0..times {
            assert_eq!(self.get("/"), "here\n");
        }
    }
}

/// Something else of the test's that ends with it.
struct Ends(Child);

impl Ends {
    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.0), signal).expect("it lives");
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
