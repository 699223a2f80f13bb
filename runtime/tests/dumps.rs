//! The flight recorder seen from outside the process: this test runs itself again as the app, with
//! the environment that a user would set, and looks at the files.
#![cfg(all(unix, feature = "inspect"))]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loop_proto::pb::EventKind;
use loop_proto::recording::{Recording, event_kind};
use loop_runtime::signal::Signal;
use loop_runtime::{Builder, create_task, sleep};

/// Says what the app is to do; set in the child alone.
const ROLE: &str = "LOOP_TEST_ROLE";

/// The app. In a run of all tests it has no role and does nothing.
#[test]
fn app() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let main = async {
        println!("ready");
        // Ends by itself, should the parent not end it.
        sleep(Duration::from_secs(20)).await;
    };
    match role.as_str() {
        "block" => Builder::new()
            .name("blocker")
            .block_budget(Duration::from_millis(20))
            .run(async {
                for _ in 0..5 {
                    create_task(async { busy(Duration::from_millis(100)) })
                        .await
                        .unwrap();
                    sleep(Duration::from_millis(50)).await;
                }
                // What is being written is waited for at the end.
            })
            .unwrap(),
        "panic" => Builder::new()
            .run(async {
                let panics = create_task(async { panic!("no such ticket") });
                assert!(panics.await.is_err());
            })
            .unwrap(),
        "signal" => Builder::new().dump_on(Signal::USR2).run(main).unwrap(),
        "idle" => Builder::new().run(main).unwrap(),
        "handles" => {
            // A handler that this runtime knows nothing of.
            let came = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(Signal::USR2.number(), came.clone()).unwrap();
            Builder::new()
                .run(async move {
                    println!("ready");
                    while !came.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(5)).await;
                    }
                    println!("the app had it");
                })
                .unwrap();
        }
        other => panic!("no role {other}"),
    }
}

/// Fails if it is told to, with a task that nothing can wake.
#[loop_runtime::test]
async fn fails() {
    if std::env::var(ROLE).as_deref() == Ok("test") {
        create_task(std::future::poll_fn(|_| std::task::Poll::<()>::Pending)).detach();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(6 * 7, 54, "what do you get");
    }
}

/// Has the CPU for so long, however many others want it.
fn busy(time: Duration) {
    let clock = std::time::Instant::now();
    let had = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat");
        let ns = text.ok().and_then(|it| it.split(' ').next()?.parse().ok());
        // Where the kernel does not say, by the clock.
        ns.map_or_else(|| clock.elapsed(), Duration::from_nanos)
    };
    let begun = had();
    while had() - begun < time {
        std::hint::black_box(0);
    }
}

/// A place of its own for the sockets of the app, and one for its dumps.
struct Stage {
    sockets: PathBuf,
    dumps: PathBuf,
}

impl Stage {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("lr-flight-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let (sockets, dumps) = (root.join("s"), root.join("d"));
        std::fs::create_dir_all(&sockets).unwrap();
        std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { sockets, dumps }
    }

    fn command(&self, test: &str, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([test, "--exact", "--nocapture"])
            .env(ROLE, role)
            .env("LOOP_CONSOLE_DIR", &self.sockets)
            .env_remove("LOOP_CONSOLE")
            .env_remove("LOOP_CONSOLE_DUMP")
            .env_remove("LOOP_CONSOLE_DUMP_DIR")
            // Writing one down takes longer than a loop may be blocked.
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// As `command`, with a directory to write dumps to.
    fn recorded(&self, test: &str, role: &str) -> Command {
        let mut command = self.command(test, role);
        command.env("LOOP_CONSOLE_DUMP_DIR", &self.dumps);
        command
    }

    fn dumps(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.dumps).into_iter().flatten();
        let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.sockets.parent().unwrap());
    }
}

fn read(path: &Path) -> Recording {
    let recording = Recording::read(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(recording.doubts, Vec::<String>::new());
    assert!(recording.snapshot.is_some());
    recording
}

/// Waits for a line of the app that has these words.
fn until(child: &mut Child, words: &str) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut seen = Vec::new();
    for line in lines {
        let line = line.unwrap();
        if line.contains(words) {
            return;
        }
        seen.push(line);
    }
    panic!("the app never said {words:?}: {seen:?}");
}

fn kill(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_block_leaves_one_dump_for_all_that_follow_within_the_minute() {
    let stage = Stage::new("block");
    let output = stage.recorded("app", "block").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let dumps = stage.dumps();
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    let name = dumps[0].file_name().unwrap().to_string_lossy();
    assert!(name.ends_with("-block.dump.rec"), "{name}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&stage.dumps), mode(&dumps[0])), (0o700, 0o600));
    let recording = read(&dumps[0]);
    assert!(
        recording.head.reason.starts_with("block: loop "),
        "{}",
        recording.head.reason
    );
    let snapshot = recording.snapshot.as_ref().unwrap();
    let blocks: usize = snapshot.views.iter().map(|view| view.blocks.len()).sum();
    assert!(blocks > 0, "the block is in it");
    let hours: usize = snapshot
        .views
        .iter()
        .map(|view| view.past_findings.len())
        .sum();
    assert!(hours > 0, "and it was judged");
    let events = snapshot.events.iter().flat_map(|batch| &batch.events);
    let kinds: Vec<_> = events.map(|event| event.kind()).collect();
    let told = [EventKind::LoopBlocked, EventKind::LoopUnblocked];
    assert!(kinds.iter().any(|kind| told.contains(kind)), "{kinds:?}");
    // What the loop recorded before anybody asked is in its ring, and there alone.
    assert!(!kinds.contains(&EventKind::TaskSpawned), "{kinds:?}");
    assert_eq!(recording.rings.len(), 1);
    let ring = recording.rings[0].events.iter();
    let kinds: Vec<_> = ring.filter_map(|slot| event_kind(slot.kind)).collect();
    assert!(kinds.contains(&EventKind::TaskSpawned), "{kinds:?}");
    // Which process of which boot it was.
    assert!(recording.head.start > 0 && recording.head.boot != [0; 16]);
}

#[test]
fn without_a_directory_no_app_writes_anything() {
    let stage = Stage::new("unasked");
    let output = stage.command("app", "block").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stage.dumps().is_empty());
    assert!(!stage.sockets.join("dumps").exists());
}

#[test]
fn a_panic_right_before_the_end_is_still_written() {
    let stage = Stage::new("panic");
    let output = stage.recorded("app", "panic").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let dumps = stage.dumps();
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    let reason = read(&dumps[0]).head.reason;
    assert!(
        reason.starts_with("panic: task ") && reason.contains("no such ticket"),
        "{reason}"
    );
}

#[test]
fn a_signal_that_was_chosen_writes_a_dump_and_the_app_goes_on() {
    let stage = Stage::new("signal");
    let mut child = stage
        .recorded("app", "signal")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until(&mut child, "ready");
    // The inspector takes the signal over at its first turn: until then it would end the app.
    let pid = child.id();
    while !handles_usr2(pid) {
        std::thread::yield_now();
    }
    kill(&child, "-USR2");
    while stage
        .dumps()
        .iter()
        .all(|path| path.extension() != Some("rec".as_ref()))
    {
        std::thread::yield_now();
    }
    assert!(child.try_wait().unwrap().is_none(), "it lives");
    let dump = stage.dumps().remove(0);
    assert_eq!(read(&dump).head.reason, "signal: SIGUSR2");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether the process has a handler for it by now.
fn handles_usr2(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (Signal::USR2.number() - 1) & 1 == 1)
}

#[test]
fn a_signal_that_nobody_chose_has_its_default() {
    let stage = Stage::new("default");
    let mut child = stage
        .recorded("app", "idle")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until(&mut child, "ready");
    kill(&child, "-USR2");
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::USR2.number()));
    assert!(stage.dumps().is_empty());
}

#[test]
fn a_signal_that_the_app_handles_is_the_apps() {
    let stage = Stage::new("handled");
    let mut child = stage
        .recorded("app", "handles")
        .env("LOOP_CONSOLE_DUMP", "signal=USR2")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until(&mut child, "ready");
    kill(&child, "-USR2");
    until(&mut child, "the app had it");
    assert!(child.wait().unwrap().success());
    assert!(stage.dumps().is_empty(), "{:?}", stage.dumps());
}

#[test]
fn a_failing_test_leaves_a_recording_of_what_was_left_of_it() {
    let stage = Stage::new("test");
    let output = stage.recorded("fails", "test").output().unwrap();
    assert!(!output.status.success());
    let dumps = stage.dumps();
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = dumps[0].display().to_string();
    assert!(
        said.contains(&format!("recorded: loop-console open {path}")),
        "{said}"
    );
    let recording = read(&dumps[0]);
    assert!(
        recording
            .head
            .reason
            .contains("fails: it panicked: assertion"),
        "{}",
        recording.head.reason
    );
    let snapshot = recording.snapshot.unwrap();
    let findings = snapshot.views.iter().flat_map(|view| &view.findings);
    let names: Vec<_> = findings.map(|finding| finding.name().word()).collect();
    assert!(names.contains(&"stranded"), "{names:?}");
}

#[test]
fn a_test_that_passes_leaves_none() {
    let stage = Stage::new("passes");
    let output = stage.recorded("fails", "passes").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stage.dumps().is_empty());
}
