//! The program as it is installed, against apps that are processes: made-up ones, which answer as real ones do.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A directory of sockets of its own, so that no test sees another's apps.
struct World(PathBuf);

impl World {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/lc-live-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("its mode");
        World(path)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("LOOP_CONSOLE_DIR", &self.0)
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("LOOP_CONSOLE")
            .env_remove("LOOP_CONSOLE_VIA")
            .env_remove("LOOP_CONSOLE_BUDGET");
        command
    }

    fn app(&self, arguments: &[&str]) -> App {
        let mut child = self
            .command(&shop())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the made-up app");
        let mut line = String::new();
        let said = child.stdout.take().expect("its output");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("its socket's path");
        App {
            socket: PathBuf::from(line.trim_end()),
            child,
        }
    }

    fn console(&self, arguments: &[&str]) -> Said {
        Said::of(
            self.command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
                .args(arguments)
                .output()
                .expect("the console"),
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An app that ends with the test.
struct App {
    child: Child,
    socket: PathBuf,
}

impl App {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn target(&self) -> String {
        format!("unix:{}", self.socket.display())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The made-up app: an example of this package, which `cargo test` builds beside its tests.
fn shop() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test");
    path.pop();
    path.pop();
    let path = path.join("examples/made_up_shop");
    assert!(
        path.exists(),
        "`cargo test` builds it; with --test live alone run first: cargo build -p loop-console --example made_up_shop"
    );
    path
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[test]
fn lists_are_printed_as_tables_and_as_complete_json() {
    let world = World::new("lists");
    let app = world.app(&["name=shop-api"]);
    let target = app.target();
    for (word, least) in [
        ("tasks", 30),
        ("loops", 4),
        ("timers", 5),
        ("io", 5),
        ("leaks", 3),
        ("resources", 5),
        ("jobs", 4),
        ("children", 3),
        ("signals", 3),
    ] {
        let json = world.console(&[word, &target, "--json"]);
        assert_eq!(json.code, Some(0), "{json:?}");
        let document = json.json();
        assert_eq!(
            (&document["schema"], &document["app"]["name"]),
            (&1.into(), &"shop-api".into())
        );
        let rows = document[word].as_array().expect("rows");
        assert!(rows.len() >= least, "{word}: {}", rows.len());
        assert_eq!(document["matched"], rows.len(), "complete");
        let table = world.console(&[word, &target]);
        assert_eq!(table.out.lines().count(), rows.len() + 1, "{word}");
        assert!(!table.out.contains('\u{1b}'));
    }
}

#[test]
fn filter_sort_limit_and_fields_reach_the_app() {
    let world = World::new("filter");
    let app = world.app(&[]);
    let said = world.console(&[
        "tasks",
        &app.target(),
        "--filter",
        "state=wait",
        "--sort",
        "-polls",
        "--limit",
        "3",
        "--json=id,state,polls",
    ]);
    let document = said.json();
    let rows = document["tasks"].as_array().expect("rows");
    assert_eq!(rows.len(), 3, "{said:?}");
    assert!(
        rows.iter()
            .all(|r| r["state"] == "WAIT" && r.as_object().map(|o| o.len()) == Some(3))
    );
    let polls: Vec<u64> = rows.iter().filter_map(|r| r["polls"].as_u64()).collect();
    assert!(polls.is_sorted_by(|a, b| a >= b), "{polls:?}");
    let leaks = world
        .console(&[
            "leaks",
            &app.target(),
            "--filter",
            "grade=certain",
            "--json",
        ])
        .json();
    assert!(
        leaks["leaks"]
            .as_array()
            .expect("rows")
            .iter()
            .all(|l| l["grade"] == "certain" && l["name"] != "blocked")
    );
}

#[test]
fn an_app_is_found_by_nothing_pid_name_and_path() {
    let world = World::new("found");
    let app = world.app(&["name=found-it"]);
    let pid = app.pid().to_string();
    for target in [
        &pid,
        "found-it",
        &app.socket.display().to_string(),
        &app.target(),
    ] {
        let said = world.console(&["loops", target, "--json=id"]);
        assert_eq!(said.code, Some(0), "{target}: {said:?}");
        assert_eq!(said.json()["app"]["pid"], app.pid());
    }
    let ps = world.console(&["ps", "--json"]).json();
    let listed = ps["ps"]
        .as_array()
        .expect("apps")
        .iter()
        .find(|a| a["pid"] == app.pid())
        .cloned()
        .expect("the app");
    assert_eq!(
        (&listed["name"], &listed["loops"]),
        (&"found-it".into(), &4.into())
    );
    assert!(listed["worst"].is_string());
    assert!(world.console(&["ps"]).out.contains("found-it"));
}

#[test]
fn one_task_is_told_in_full_and_a_missing_one_is_said() {
    let world = World::new("task");
    let app = world.app(&[]);
    let id = world.console(&["leaks", &app.target(), "--json"]).json()["leaks"][0]["subject"]["id"]
        .clone();
    let said = world.console(&["task", &id.to_string(), &app.target()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("waits for") && said.out.contains("finding"),
        "{said:?}"
    );
    assert_eq!(
        world
            .console(&["task", &id.to_string(), &app.target(), "--json"])
            .json()["task"]["id"],
        id
    );
    let missing = world.console(&["task", "999999", &app.target()]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.contains("no task 999999"), "{missing:?}");
}

#[test]
fn no_app_is_code_3_and_says_where_was_looked() {
    let world = World::new("none");
    let said = world.console(&["tasks", "nobody-is-called-so"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.err.contains("No running app found")
            && said.err.contains(&world.0.display().to_string()),
        "{said:?}"
    );
    assert_eq!(said.out, "");
}

#[test]
fn another_major_is_code_4_and_names_both() {
    let world = World::new("gap");
    let app = world.app(&["name=old", "major=9"]);
    for target in ["old", &app.target()] {
        let said = world.console(&["tasks", target]);
        assert_eq!(said.code, Some(4), "{said:?}");
        assert!(
            said.err.contains("protocol 9.0") && said.err.contains("Fix:"),
            "{said:?}"
        );
    }
}

/// Makes a socket as old as can be: one that is young is swept by nobody.
fn grow_old(socket: &Path) {
    let then = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: then,
        last_modification: then,
    };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, socket, &times, flags).expect("its times are ours");
}

#[test]
fn a_stale_socket_is_not_an_app_and_is_swept() {
    let world = World::new("stale");
    let mut app = world.app(&["name=gone"]);
    app.child.kill().expect("killed");
    app.child.wait().expect("reaped");
    assert!(app.socket.exists(), "a killed app leaves its socket");
    grow_old(&app.socket);
    let said = world.console(&["tasks", "gone"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(!app.socket.exists(), "swept");
    let named = world.console(&["tasks", &app.target()]);
    assert_eq!(named.code, Some(3), "{named:?}");
}

#[test]
fn a_foreign_process_on_the_socket_is_said_and_does_not_hang() {
    let world = World::new("foreign");
    let path = world.0.join("1-1.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let foreign = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.expect("a console");
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let said = world.console(&[
        "tasks",
        &format!("unix:{}", path.display()),
        "--timeout",
        "2s",
    ]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("Cannot connect"), "{said:?}");
    let _ = world.console(&[
        "tasks",
        &format!("unix:{}", path.display()),
        "--timeout",
        "2s",
    ]);
    foreign.join().expect("the foreign process");
}

#[test]
fn a_listener_that_never_answers_is_given_up() {
    let world = World::new("silent");
    let path = world.0.join("1-1.sock");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let said = world.console(&[
        "tasks",
        &format!("unix:{}", path.display()),
        "--timeout",
        "300ms",
    ]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("no answer within 300ms"), "{said:?}");
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let world = World::new("pipe");
    let app = world.app(&[]);
    let line = format!(
        "'{}' tasks {} --watch 20ms | head -1",
        env!("CARGO_BIN_EXE_loop-console"),
        app.target()
    );
    let said = Said::of(
        world
            .command(Path::new("bash"))
            .args(["-c", &format!("set -o pipefail; {line}")])
            .output()
            .expect("bash"),
    );
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
}

#[test]
fn watch_prints_one_document_a_line_until_it_is_interrupted() {
    let world = World::new("watch");
    let app = world.app(&[]);
    let mut child = world
        .command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
        .args(["loops", &app.target(), "--json", "--watch", "10ms"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the console");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    for _ in 0..3 {
        let line = lines.next().expect("a line").expect("UTF-8");
        let document: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(document["loops"].as_array().map(Vec::len), Some(4));
    }
    interrupt(child.id());
    assert_eq!(child.wait().expect("its end").code(), Some(130));
}

fn interrupt(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
}

#[test]
fn events_are_followed_and_ctrl_c_sums_up() {
    let world = World::new("events");
    let app = world.app(&["lose=12"]);
    let mut child = world
        .command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
        .args([
            "events",
            "-f",
            "--kind",
            "spawn,poll",
            "--json",
            &app.target(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the console");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let first: Value = serde_json::from_str(&line).expect("JSON");
    let kinds: Vec<&str> = first["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|e| e["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["spawned", "polled"]);
    interrupt(child.id());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    let last: Value =
        serde_json::from_str(rest.lines().last().expect("a last line")).expect("JSON");
    assert_eq!(
        (&last["end"], &last["lost"]["polled"], &last["delivered"]),
        (&true.into(), &12.into(), &2.into())
    );
    assert_eq!(child.wait().expect("its end").code(), Some(130));
}

#[test]
fn events_without_follow_end_by_themselves_and_lost_nothing() {
    let world = World::new("backlog");
    let app = world.app(&[]);
    let said = world.console(&["events", &app.target()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.ends_with("9 events, lost 0\n"), "{said:?}");
}

#[test]
fn relay_and_via_join_two_consoles() {
    let world = World::new("via");
    let app = world.app(&["name=far-away"]);
    let relay = format!(
        "'{}' relay {}",
        env!("CARGO_BIN_EXE_loop-console"),
        app.target()
    );
    let said = world.console(&["--via", &relay, "tasks", "--json=id"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.json()["app"]["name"], "far-away");
    let broken = world.console(&["--via", "exit 7", "tasks"]);
    assert_eq!(broken.code, Some(3), "{broken:?}");
    assert!(broken.err.contains("exit 7"), "{broken:?}");
}

#[test]
fn screens_without_a_terminal_are_refused_with_the_state_they_would_show() {
    let world = World::new("tty");
    let app = world.app(&["name=here"]);
    let said = world.console(&[&app.target()]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("here (pid") && said.err.contains("terminal"),
        "{said:?}"
    );
    assert_eq!(world.console(&["nobody-is-called-so"]).code, Some(3));
}

/// A terminal of its own: the end that a person would sit at, and the one that a program gets.
#[cfg(target_os = "linux")]
fn terminal() -> (std::fs::File, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&person).expect("it is ours");
    unlockpt(&person).expect("it is ours");
    let name = ptsname(&person, Vec::new()).expect("its name");
    let program = std::fs::File::options()
        .read(true)
        .write(true)
        .open(name.to_str().expect("a path"))
        .expect("its other end");
    (person.into(), program)
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_cannot_place_its_cursor_gets_a_sentence_and_no_screens() {
    let world = World::new("dumb");
    let app = world.app(&["name=here"]);
    let (mut person, program) = terminal();
    let end = || Stdio::from(program.try_clone().expect("its other end"));
    let said = world
        .command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
        .arg(app.target())
        .env("TERM", "dumb")
        .stdin(end())
        .stdout(end())
        .stderr(Stdio::piped())
        .output()
        .expect("the console");
    let said = Said::of(said);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("here (pid") && said.err.contains("TERM=dumb"),
        "{said:?}"
    );
    assert!(said.err.contains("loop-console tasks"), "{said:?}");
    // Whatever it wrote would come before this.
    let mut there = &program;
    there.write_all(b"then this\n").expect("written");
    let mut written = [0; 64];
    let length = person.read(&mut written).expect("read");
    assert!(
        written[..length].starts_with(b"then this"),
        "it wrote to the terminal: {:?}",
        String::from_utf8_lossy(&written[..length])
    );
}

/// Runs the gate over the made-up app.
fn gate(world: &World, flags: &[&str], app: &[&str]) -> Said {
    let shop = shop().display().to_string();
    let mut line = vec!["check"];
    line.extend(flags);
    line.extend(["--", shop.as_str()]);
    line.extend(app);
    world.console(&line)
}

#[test]
fn a_clean_command_is_one_line_and_code_0() {
    let world = World::new("clean");
    let said = gate(&world, &[], &["judge=clean"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        (said.err.lines().count(), said.out.as_str()),
        (1, ""),
        "{said:?}"
    );
    assert!(said.err.contains("clean: 1 process"), "{said:?}");
    assert_eq!(gate(&world, &["-q"], &["judge=clean"]).err, "");
}

#[test]
fn a_leak_is_code_1_and_is_told_with_its_place() {
    let world = World::new("leak");
    let said = gate(&world, &["--budget", "leak=0"], &["judge=leak"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("stranded (certain) src/ws.rs:41") && said.err.contains("over leak=0"),
        "{said:?}"
    );
    assert!(
        !said.err.contains("growing"),
        "suspects do not count: {said:?}"
    );
    let denied = gate(
        &world,
        &["--budget", "leak=99", "--deny", "suspect"],
        &["judge=leak"],
    );
    assert_eq!(denied.code, Some(1), "{denied:?}");
    assert!(denied.err.contains("over deny suspect"), "{denied:?}");
    assert_eq!(
        gate(&world, &["--budget", "leak=99"], &["judge=leak"]).code,
        Some(0)
    );
}

#[test]
fn a_block_is_judged_by_the_budget_and_reported_in_every_form() {
    let world = World::new("block");
    let (junit, json) = (world.0.join("j.xml"), world.0.join("r.json"));
    let (junit, json) = (junit.display().to_string(), json.display().to_string());
    let flags = [
        "--budget",
        "block=100ms",
        "--junit",
        &junit,
        "--json",
        &json,
        "--format",
        "github",
    ];
    let said = gate(&world, &flags, &["judge=block"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .lines()
            .any(|l| l.starts_with("::error file=src/report.rs,")),
        "{said:?}"
    );
    let xml = std::fs::read_to_string(&junit).expect("JUnit");
    let report = quick_junit::Report::deserialize_from_str(&xml).expect("JUnit");
    assert_eq!(report.failures, 1);
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(&json).expect("JSON")).expect("JSON");
    assert_eq!(document["check"]["exit"], 1);
    assert_eq!(
        document["check"]["runs"][0]["findings"][0]["name"],
        "blocked"
    );
    assert_eq!(
        gate(&world, &["--budget", "block=10s"], &["judge=block"]).code,
        Some(0)
    );
}

#[test]
fn every_test_of_every_process_is_judged() {
    let world = World::new("tests");
    let shop = shop().display().to_string();
    let both = format!("'{shop}' judge=tests name=one & '{shop}' judge=tests name=two; wait");
    let said = world.console(&["check", "--json", "-", "--", "sh", "-c", &both]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let check = said.json()["check"].clone();
    assert_eq!(
        (&check["processes"], check["runs"].as_array().map(Vec::len)),
        (&2.into(), Some(8))
    );
    let tests = check["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .filter(|r| r["test"].is_string())
        .count();
    assert_eq!(tests, 6);
}

#[test]
fn what_cannot_be_judged_is_never_green() {
    let world = World::new("doubt");
    let nobody = world.console(&["check", "--", "true"]);
    assert_eq!(nobody.code, Some(5), "{nobody:?}");
    assert!(
        nobody.err.contains("no process of the command connected"),
        "{nobody:?}"
    );
    let died = gate(&world, &[], &["judge=die"]);
    assert_eq!(died.code, Some(5), "{died:?}");
    assert!(died.err.contains("without its last word"), "{died:?}");
}

#[test]
fn the_commands_own_failure_is_code_6_unless_there_are_findings() {
    let world = World::new("fails");
    let failed = gate(&world, &[], &["judge=clean", "exit=3"]);
    assert_eq!(failed.code, Some(6), "{failed:?}");
    assert!(failed.err.contains("exit code 3"), "{failed:?}");
    assert_eq!(gate(&world, &[], &["judge=leak", "exit=3"]).code, Some(1));
    assert_eq!(
        world.console(&["check", "--", "false"]).code,
        Some(6),
        "6 comes before 5"
    );
    assert_eq!(
        world
            .console(&["check", "--", "sh", "-c", "kill -SEGV $$"])
            .code,
        Some(6)
    );
    assert_eq!(gate(&world, &[], &["judge=clean", "major=9"]).code, Some(4));
    let missing = world.console(&["check", "--", "/no/such/program"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
}

#[test]
fn a_command_that_is_stopped_by_for_did_not_fail_and_is_judged() {
    let world = World::new("for");
    let said = gate(
        &world,
        &["--for", "1s", "--budget", "leak=0"],
        &["judge=linger"],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("stranded") && !said.err.contains("failed by itself"),
        "{said:?}"
    );
    let clean = gate(
        &world,
        &["--for", "1s", "--budget", "leak=99"],
        &["judge=linger"],
    );
    assert_eq!(clean.code, Some(0), "{clean:?}");
    let stubborn = world.console(&["check", "--for", "100ms", "--", "sh", "-c", "sleep 100"]);
    assert_eq!(
        stubborn.code,
        Some(5),
        "stopped, so only the missing telemetry is left: {stubborn:?}"
    );
}

#[test]
fn the_commands_streams_are_its_own() {
    let world = World::new("streams");
    let mut child = world
        .command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
        .args(["check", "--", "sh", "-c", "cat; echo to-stderr >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the console");
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(b"through\n")
        .expect("written");
    let said = Said::of(child.wait_with_output().expect("its end"));
    assert_eq!(said.out, "through\n");
    assert!(said.err.starts_with("to-stderr\n"), "{said:?}");
}

#[test]
fn ctrl_c_reaches_the_command_and_is_code_130() {
    let world = World::new("ctrlc");
    let mut child = world
        .command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
        .args([
            "check",
            "--",
            "sh",
            "-c",
            "trap 'echo got-it; exit 0' INT; echo ready; while :; do sleep 0.05; done",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the console");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    out.read_line(&mut line).expect("ready");
    interrupt(child.id());
    line.clear();
    out.read_line(&mut line).expect("its last word");
    assert_eq!(line, "got-it\n");
    assert_eq!(child.wait().expect("its end").code(), Some(130));
}

#[test]
fn a_running_app_is_judged_for_a_while() {
    let world = World::new("target");
    let app = world.app(&[]);
    let said = world.console(&[
        "check",
        "--for",
        "300ms",
        "--budget",
        "leak=0",
        &app.target(),
    ]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("stranded (certain) src/ws.rs:41"),
        "{said:?}"
    );
    let fine = world.console(&[
        "check",
        "--for",
        "300ms",
        "--budget",
        "leak=99",
        &app.target(),
    ]);
    assert_eq!(fine.code, Some(0), "{fine:?}");
    let blocked = world.app(&["blocked"]);
    let said = world.console(&[
        "check",
        "--for",
        "300ms",
        "--budget",
        "block=100ms",
        &blocked.target(),
    ]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("blocked (certain) src/report.rs"),
        "{said:?}"
    );
    assert_eq!(
        world.console(&["check", "nobody-is-called-so"]).code,
        Some(3)
    );
}

#[test]
fn a_judge_whose_app_ends_ends_with_it_and_judges_what_it_saw() {
    let world = World::new("together");
    let judged = |flags: &[&str], time: &str| {
        let mut app = world.app(flags);
        let child = world
            .command(Path::new(env!("CARGO_BIN_EXE_loop-console")))
            .args(["check", "--for", "1h", "--budget", "leak=99,block=100ms"])
            .arg(app.target())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the console");
        // Another judge, which came later and has seen enough.
        world.console(&["check", "--for", time, &app.target()]);
        app.child.kill().expect("it is ours");
        app.child.wait().expect("its end");
        Said::of(child.wait_with_output().expect("its end"))
    };
    // On a busy machine its first answers may take longer: then it is looked at for longer.
    let looked = |flags: &[&str], enough: &dyn Fn(&Said) -> bool| {
        let mut tries = ["300ms", "3s", "15s"]
            .into_iter()
            .map(|time| judged(flags, time));
        let last = tries.by_ref().find(enough);
        last.expect("it never saw anything before the app ended")
    };
    let clean = looked(&[], &|said| said.code == Some(5));
    let all = format!("{}{}", clean.out, clean.err);
    assert!(all.contains("ended while it was looked at"), "{clean:?}");
    let blocked = looked(&["blocked"], &|said| said.code == Some(1));
    assert!(
        blocked.out.contains("blocked (certain) src/report.rs"),
        "{blocked:?}"
    );
}

#[test]
fn dumps_that_cannot_be_written_are_refused_before_anything_runs() {
    let world = World::new("dumpdir");
    let file = world.0.join("file");
    std::fs::write(&file, "kept").expect("a file");
    let inside = file.join("x");
    for directory in [file.as_path(), &inside, Path::new("/proc/nobody")] {
        let ran = world.0.join("ran");
        let said = world.console(&[
            "check",
            "--dumps",
            &directory.display().to_string(),
            "--",
            "touch",
            &ran.display().to_string(),
        ]);
        assert_eq!(said.code, Some(2), "{said:?}");
        let place = directory.display().to_string();
        assert!(
            said.err
                .contains(&format!("No dump can be written to {place}: ")),
            "{said:?}"
        );
        assert!(said.err.contains("--dumps"), "{said:?}");
        assert!(!ran.exists(), "the command ran: {said:?}");
    }
    assert_eq!(
        std::fs::read_to_string(&file).expect("it is left alone"),
        "kept"
    );
    // Without a directory, and without a command whose processes could write.
    assert_eq!(world.console(&["check", "--dumps"]).code, Some(2));
    let app = world.app(&[]);
    let said = world.console(&["check", "--dumps", "/tmp", &app.target()]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert_eq!(world.console(&["check", "--dumps", "/tmp"]).code, Some(2));
    // One that can be made is made, and is left without our trial.
    let good = world.0.join("a").join("b");
    let said = gate(
        &world,
        &["--dumps", &good.display().to_string()],
        &["judge=clean"],
    );
    assert_eq!(said.code, Some(0), "{said:?}");
    let left = std::fs::read_dir(&good).expect("it was made").count();
    assert_eq!(left, 0);
    let mode = std::fs::metadata(&good).expect("it was made").permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
}

/// Only root can be somebody else.
#[test]
fn another_users_listener_is_refused_and_root_is_let_in() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new("uid");
    let app = world.app(&[]);
    // Everybody may reach the socket, so only the check of who listens is left.
    std::fs::set_permissions(&world.0, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    std::fs::set_permissions(&app.socket, std::fs::Permissions::from_mode(0o666))
        .expect("its mode");
    let as_user = |user: &str, arguments: &[&str]| {
        let mut command = world.command(Path::new("setpriv"));
        command
            .args([
                "--reuid",
                user,
                "--regid",
                user,
                "--clear-groups",
                env!("CARGO_BIN_EXE_loop-console"),
            ])
            .args(arguments);
        Said::of(command.output().expect("setpriv"))
    };
    // Root's app: the console talks to it, for root may listen anywhere.
    let said = as_user("65534", &["tasks", &app.target(), "--json=id"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    // A third user's app is refused.
    let theirs = PathBuf::from(format!("/tmp/lc-live-theirs-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&theirs);
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65533", "--regid", "65533", "--clear-groups"])
        .arg(shop());
    let mut child = command
        .env("LOOP_CONSOLE_DIR", &theirs)
        .stdout(Stdio::piped())
        .spawn()
        .expect("their app");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("its socket");
    let socket = PathBuf::from(line.trim_end());
    std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).expect("its mode");
    let target = format!("unix:{}", socket.display());
    let refused = as_user("65534", &["tasks", &target]);
    let root = world.console(&["tasks", &target, "--json=id"]);
    let _ = child.kill();
    let _ = child.wait();
    let _ = std::fs::remove_dir_all(&theirs);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.err.contains("user 65533 listens there"),
        "{refused:?}"
    );
    assert_eq!(root.code, Some(0), "root sees all: {root:?}");
}
