//! Where tasks wait that are never polled again, told from their memory and the debug information.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loop_console::store::decode::Decoder;
use loop_console::store::{Frame, TaskDetail};
use loop_console::transport::address::Target;
use loop_console::transport::connect::Connector;
use loop_console::transport::discover::Places;
use loop_console::transport::{Options, on_loop};

/// The app, and the ids of its tasks by their names.
struct App {
    child: Child,
    directory: PathBuf,
    tasks: HashMap<String, u64>,
}

impl App {
    fn start(name: &str) -> Self {
        let directory = PathBuf::from(format!("/tmp/ls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))
            .expect("its mode");
        let mut child = Command::new(env!("CARGO_BIN_EXE_loop-suspended"))
            .env("LOOP_CONSOLE_DIR", &directory)
            .env_remove("LOOP_CONSOLE")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the app");
        let mut tasks = HashMap::new();
        for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
            let line = line.expect("a line");
            let Some((id, name)) = line.split_once(' ') else {
                assert_eq!(line, "ready");
                break;
            };
            tasks.insert(name.to_owned(), id.parse().expect("an id"));
        }
        Self {
            child,
            directory,
            tasks,
        }
    }

    fn socket(&self) -> String {
        let mut files = std::fs::read_dir(&self.directory).expect("the directory");
        let socket = files.find_map(|entry| {
            let path = entry.expect("an entry").path();
            path.extension()
                .is_some_and(|extension| extension == "sock")
                .then_some(path)
        });
        let socket = socket.expect("the app listens");
        socket.to_str().expect("its path").to_owned()
    }

    /// Where a task waits, once that was read.
    fn told(&self, name: &str) -> TaskDetail {
        self.told_when(name, |detail| {
            !detail.awaiting.reading && detail.row.polls > 0
        })
    }

    /// Asks for the detail of a task again and again, until `is_told`.
    fn told_when(&self, name: &str, is_told: fn(&TaskDetail) -> bool) -> TaskDetail {
        let id = self.tasks[name];
        let socket = self.socket();
        on_loop(async move {
            let options = Options {
                timeout: Duration::from_secs(30),
                via: None,
                control: false,
            };
            let target = Target::read(Some(&socket)).expect("an address");
            let connector = Connector::new(options, Places::here());
            let session = connector.open(&target).await.expect("it answers");
            loop {
                let told = session.task(id, true).await.expect("an answer");
                let detail = Decoder::task_detail(told.expect("the task lives"));
                if is_told(&detail) {
                    return detail;
                }
                loop_runtime::sleep(Duration::from_millis(20)).await;
            }
        })
        .expect("a loop")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const SOURCE: &str = include_str!("../src/main.rs");

/// The line of the app that has this text, from 1.
fn line_of(text: &str) -> usize {
    let mut lines = SOURCE.lines();
    lines.position(|line| line.contains(text)).expect(text) + 1
}

/// The app's own frames, innermost first, as `function line`.
fn own(stack: &[Frame]) -> Vec<String> {
    let own = stack
        .iter()
        .filter(|frame| frame.place.contains("main.rs:"));
    own.map(|frame| {
        let line = frame.place.rsplit("main.rs:").next().expect("its line");
        format!("{} {line}", frame.function)
    })
    .collect()
}

fn at(function: &str, text: &str) -> String {
    format!("loop_suspended::{function} {}", line_of(text))
}

#[test]
fn nested_functions_tell_the_line_of_each_await_down_to_the_leaf() {
    let app = App::start("nested");
    let detail = app.told("outer");
    let awaiting = &detail.awaiting;
    assert_eq!(
        (awaiting.how.as_str(), awaiting.why.as_str()),
        ("debug-info", "")
    );
    assert!(awaiting.asked, "its next wait never comes");
    assert_eq!(
        own(&awaiting.stack),
        [
            at("leaf", "sleep(Duration::from_secs(3600)).await;"),
            at("middle", "first + leaf().await"),
            at("outer", "middle(1).await + middle(2).await"),
        ]
    );
    let innermost = &awaiting.stack[0];
    assert!(innermost.function.contains("Sleep"), "{innermost:?}");
    assert_eq!(innermost.kind, "runtime");
    let culprit = awaiting.stack.iter().find(|frame| frame.culprit).unwrap();
    assert_eq!(
        culprit.function, "loop_suspended::leaf",
        "the innermost of the app"
    );
    // Each is awaited by the next.
    let by: Vec<usize> = awaiting
        .stack
        .iter()
        .map(|frame| frame.awaited_by)
        .collect();
    assert_eq!(by, [2, 3, 4, 0]);
}

#[test]
fn boxes_combinators_and_generic_functions_are_seen_through() {
    let app = App::start("shapes");
    let stack = |name: &str| app.told(name).awaiting.stack;
    let sleeps = line_of("sleep(Duration::from_secs(3600)).await;");
    assert_eq!(
        own(&stack("in_a_box")),
        [
            format!("loop_suspended::leaf {sleeps}"),
            at("middle", "first + leaf().await"),
            at("in_a_box", "boxed().await"),
        ]
    );
    let generic = own(&stack("generic"));
    assert_eq!(generic[1], at("generic<u64>", "    leaf().await;"));
    for (name, last) in [
        ("joined", at("joined", "join(left(), right()).await")),
        ("selected", at("selected", "select(one, other).await")),
        // Its await stands in the file of the macro.
        (
            "chosen",
            at("chosen (awaits in a macro)", "async fn chosen()"),
        ),
    ] {
        let stack = stack(name);
        let own = own(&stack);
        let has = |function: &str| own.iter().any(|f| f.contains(&format!("::{function} ")));
        assert!(has("left") && has("right"), "{name}: {own:?}");
        assert_eq!(own.last(), Some(&last));
        // Both are awaited by one and the same.
        let by = |function: &str| {
            let mut frames = stack.iter();
            let found = frames.find(|frame| frame.function.ends_with(function));
            found.unwrap().awaited_by
        };
        assert_eq!(by("::left"), by("::right"), "{name}: {stack:#?}");
    }
    let many = stack("many");
    let rights = many
        .iter()
        .filter(|frame| frame.function.ends_with("::right"));
    assert_eq!(rights.count(), 3, "{many:#?}");
}

#[test]
fn a_task_that_goes_to_wait_again_leaves_its_stack() {
    let app = App::start("again");
    let detail = app.told_when("ticks", |detail| detail.awaiting.how == "pending");
    let awaiting = &detail.awaiting;
    assert!(awaiting.took_ns > 0 && awaiting.at_ns <= detail.at_ns);
    let own = own(&awaiting.stack);
    let at = |function: &str| {
        own.iter()
            .position(|f| f.contains(&format!("::{function}::")))
    };
    assert!(at("tick").unwrap() < at("ticks").unwrap(), "{own:?}");
    let culprit = awaiting.stack.iter().find(|frame| frame.culprit).unwrap();
    let line = line_of("sleep(Duration::from_millis(50)).await");
    assert!(
        culprit.place.contains(&format!("main.rs:{line}:")),
        "{culprit:?}"
    );
}
