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

mod attacked {
    pub(crate) mod clients;
    pub(crate) mod places;
    pub(crate) mod texts;
    pub(crate) mod wire;
}

/// The folder with all that the workspace builds.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let deps = test.parent().expect("it lies in a folder");
    deps.parent().expect("below another").to_owned()
}

fn program(path: &str) -> PathBuf {
    let path = built().join(path);
    assert!(
        path.exists(),
        "{} is missing; run `cargo build -p loop-console -p loop-examples --bins --examples`",
        path.display()
    );
    path
}

/// A directory of sockets of its own, so that no test sees another's apps.
struct World(PathBuf);

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl World {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/lc-attacked-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
        Self(path)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("LOOP_CONSOLE_DIR", &self.0)
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("LOOP_CONSOLE")
            .env_remove("LOOP_CONSOLE_BUDGET")
            .env_remove("LOOP_CONSOLE_TOKEN")
            .env_remove("LOOP_CONSOLE_TOKEN_FILE")
            .stdin(Stdio::null());
        command
    }

    fn console_command(&self) -> Command {
        self.command(&program("loop-console"))
    }

    fn console(&self, arguments: &[&str]) -> Said {
        Said::of(self.console_command().args(arguments))
    }

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

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Said {
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the console can be started");
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

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
