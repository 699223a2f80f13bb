//! The file that outlives its process, seen from outside: this test runs itself again as the app,
//! ends it or wedges it, and reads what is left as who comes after would.
#![cfg(all(target_os = "linux", feature = "inspect"))]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loop_proto::endpoint;
use loop_proto::pb::{EventKind, TaskState};
use loop_proto::recording::{End, Recording};
use loop_runtime::{Builder, create_task, sleep, yield_now};

/// Says what the app is to do; set in the child alone.
const ROLE: &str = "LOOP_TEST_ROLE";
/// How long a recording may need to say something, on a host that is busy with all other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The app. In a run of all tests it has no role and does nothing.
#[test]
fn app() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let builder = Builder::new().name("shop");
    match role.as_str() {
        "waits" => builder
            .run(async {
                let waits = create_task(sleep(PATIENCE));
                waits.set_name("checkout");
                println!("ready");
                let _ = waits.await;
            })
            .unwrap(),
        "spins" => builder
            .block_budget(Duration::from_millis(20))
            .run(async {
                println!("ready");
                create_task(async {
                    let until = Instant::now() + PATIENCE;
                    while Instant::now() < until {
                        std::hint::black_box(0);
                    }
                })
                .await
                .unwrap();
            })
            .unwrap(),
        "ends" => builder
            .run(async {
                create_task(yield_now()).await.unwrap();
                println!("ready");
            })
            .unwrap(),
        "panics" => builder
            .run(async {
                create_task(yield_now()).await.unwrap();
                panic!("no such ticket");
            })
            .unwrap(),
        "aborts" => builder
            .run(async {
                create_task(yield_now()).await.unwrap();
                std::process::abort();
            })
            .unwrap(),
        other => panic!("no role {other}"),
    }
}

/// A directory of sockets of its own, in memory where there is some.
struct Stage(PathBuf);

impl Stage {
    fn new(name: &str, below: &Path) -> Self {
        let root = below.join(format!("lr-past-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(root)
    }

    fn in_memory(name: &str) -> Self {
        Self::new(name, Path::new("/dev/shm"))
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["app", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env("LOOP_CONSOLE_DIR", &self.0)
            .env_remove("LOOP_CONSOLE")
            .env_remove("LOOP_CONSOLE_DUMP_DIR")
            .stdout(Stdio::piped());
        command
    }

    fn start(&self, role: &str) -> App {
        let mut child = self.command(role).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let ready = lines.any(|line| line.unwrap().contains("ready"));
        assert!(ready, "the app never said that it is ready");
        App(child)
    }

    fn recordings(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let files = entries.map(|entry| entry.unwrap());
        files
            .filter(|entry| endpoint::read_recording_name(&entry.file_name()).is_some())
            .map(|entry| entry.path())
            .collect()
    }

    fn recording(&self) -> Recording {
        let files = self.recordings();
        assert_eq!(files.len(), 1, "{files:?}");
        read(&files[0])
    }

    /// The recording, once `is` holds for it.
    fn until(&self, what: &str, is: impl Fn(&Recording) -> bool) -> Recording {
        let until = Instant::now() + PATIENCE;
        loop {
            let recording = self.recording();
            if is(&recording) {
                return recording;
            }
            assert!(
                Instant::now() < until,
                "never {what}: {:?} {:?}",
                tasks(&recording),
                kinds(&recording)
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive its test.
struct App(Child);

impl App {
    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(path: &Path) -> Recording {
    Recording::read(&std::fs::read(path).unwrap()).unwrap()
}

/// Names of the tasks in its snapshot.
fn tasks(recording: &Recording) -> Vec<String> {
    let views = || recording.snapshot.iter().flat_map(|it| &it.views);
    let texts: HashMap<u32, &str> = views()
        .flat_map(|view| &view.interned)
        .map(|text| (text.id, text.text.as_str()))
        .collect();
    let rows = views().flat_map(|view| &view.tasks);
    rows.filter_map(|row| texts.get(&row.name.as_ref()?.stem_text))
        .map(|name| (*name).to_owned())
        .collect()
}

fn kinds(recording: &Recording) -> Vec<EventKind> {
    let events = recording.events();
    events.iter().map(|event| event.kind()).collect()
}

#[test]
fn a_process_that_was_killed_leaves_its_tasks_and_its_last_events() {
    let stage = Stage::in_memory("killed");
    let app = stage.start("waits");
    stage.until("told of its task", |recording| {
        tasks(recording).contains(&"checkout".to_owned())
    });
    let pid = app.0.id();
    app.kill();
    let recording = stage.recording();
    assert_eq!((recording.head.pid, recording.ending), (pid, None));
    let program = std::env::current_exe().unwrap();
    assert_eq!(Some(recording.head.name.as_ref()), program.file_name());
    assert_eq!(recording.doubts, Vec::<String>::new());
    assert!(tasks(&recording).contains(&"checkout".to_owned()));
    let kinds = kinds(&recording);
    for kind in [EventKind::TaskSpawned, EventKind::TimerArmed] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let hello = recording.snapshot.unwrap().hello.unwrap();
    let about = hello.recording.unwrap();
    assert!(about.mapped && about.reason.is_empty(), "{about:?}");
    assert_eq!(Path::new(&about.path), stage.recordings()[0]);
    let mode = std::fs::metadata(&about.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_loop_that_never_returns_is_in_the_recording_with_its_block() {
    let stage = Stage::in_memory("spins");
    let app = stage.start("spins");
    let runs = |recording: &Recording| {
        let views = recording.snapshot.iter().flat_map(|it| &it.views);
        let (mut blocks, mut running) = (0, 0);
        for view in views {
            blocks += view.blocks.len();
            let run = |row: &&loop_proto::pb::TaskRow| row.state() == TaskState::Run;
            running += view.tasks.iter().filter(run).count();
        }
        blocks > 0 && running > 0
    };
    let first = stage.until("told of the block", runs);
    let sequence = |recording: &Recording| recording.snapshot.as_ref().unwrap().head.sequence;
    // And it goes on being written, though the loop does not turn.
    stage.until("written again", |later| sequence(later) > sequence(&first));
    app.signal("-STOP");
    assert!(runs(&stage.recording()), "a stopped process is read too");
    app.kill();
    assert!(runs(&stage.recording()));
}

#[test]
fn an_end_is_told_by_who_can_tell_it_and_the_file_stays() {
    let ends = [
        ("ends", Some(End::Clean)),
        ("panics", Some(End::Panicked)),
        ("aborts", None),
    ];
    for (role, end) in ends {
        let stage = Stage::in_memory(role);
        let output = stage.command(role).output().unwrap();
        assert_eq!(output.status.success(), end == Some(End::Clean), "{role}");
        let recording = stage.recording();
        assert_eq!(recording.ending.map(|ending| ending.end), end, "{role}");
        let kinds = kinds(&recording);
        assert!(
            kinds.contains(&EventKind::TaskFinished),
            "{role}: {kinds:?}"
        );
    }
}

#[test]
fn where_no_file_may_grow_the_app_goes_on_without_one() {
    let stage = Stage::in_memory("ulimit");
    let app = stage.command("ends");
    let output = Command::new("sh")
        // In blocks of 512 bytes or of 1,024: too little for a recording either way.
        .args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(app.get_program())
        .args(app.get_args())
        .env(ROLE, "ends")
        .env("LOOP_CONSOLE_DIR", &stage.0)
        .env_remove("LOOP_CONSOLE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stage.recordings().is_empty());
}

#[test]
fn recordings_of_the_killed_stay_until_there_are_newer_ones() {
    let stage = Stage::in_memory("sweep");
    let app = stage.start("waits");
    let path = stage.recordings().remove(0);
    app.kill();
    for _ in 0..5 {
        assert!(stage.command("ends").output().unwrap().status.success());
    }
    assert!(path.exists(), "clean ends push it out");
    assert_eq!(
        stage.recordings().len(),
        1 + 3 + 1,
        "the last is not swept by itself"
    );
    // As long ago as nobody asks any more.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"", 0).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(9 * 24 * 3600))
        .unwrap();
    drop(file);
    assert!(stage.command("ends").output().unwrap().status.success());
    assert!(!path.exists());
}
