//! The screens' transport against made-up apps: it finds one, asks what is asked, says when it is lost, and comes back to the
//! next run.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use loop_console::run::{Inbox, Transport};
use loop_console::store::{Body, Link, Query, Seek, Slot, Table, Update};
use loop_console::transport::Options;
use loop_console::transport::address::Target;
use loop_console::transport::live::{self, LiveTransport};
use loop_console::update::Ask;

/// How long a test waits for what must come; far longer than it takes.
const LIMIT: Duration = Duration::from_secs(30);

struct App {
    child: Child,
    directory: PathBuf,
}

impl App {
    fn start(test: &str, arguments: &[&str]) -> App {
        let mut path = std::env::current_exe().expect("this test");
        path.pop();
        path.pop();
        let directory = PathBuf::from(format!("/tmp/lc-transport-{test}-{}", std::process::id()));
        let mut child = Command::new(path.join("examples/made_up_shop"))
            .args(arguments)
            .env("LOOP_CONSOLE_DIR", &directory)
            .env_remove("LOOP_CONSOLE")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the made-up app: cargo build -p loop-console --example made_up_shop");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("its socket");
        App { child, directory }
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct Viewer {
    transport: LiveTransport,
    updates: Receiver<Update>,
}

impl Viewer {
    fn of(name: &str) -> Viewer {
        let (to, updates) = mpsc::channel();
        let options = Options {
            control: false,
            timeout: Duration::from_secs(5),
            via: None,
        };
        let transport =
            live::start(options, Target::Name(name.to_owned()), Inbox::new(to)).expect("a thread");
        Viewer { transport, updates }
    }

    /// The first update that `wanted` takes, those before it dropped.
    fn until<T>(&self, what: &str, wanted: impl Fn(&Update) -> Option<T>) -> T {
        let mut before = Vec::new();
        loop {
            match self.updates.recv_timeout(LIMIT) {
                Ok(update) => match wanted(&update) {
                    Some(value) => return value,
                    None => before.push(format!("{update:.120?}")),
                },
                Err(error) => panic!("{what}: {error}; there were {before:#?}"),
            }
        }
    }

    fn watch(&mut self, slot: u32, table: Table, subject: Option<u64>) {
        self.transport.ask(Ask::Watch(Query {
            slot: Slot(slot),
            table,
            filter: String::new(),
            sort: None,
            seek: Seek::Rank(0),
            limit: 10,
            columns: Vec::new(),
            subject,
            every: Duration::from_millis(100),
        }));
    }

    fn view(&self, slot: u32) -> Body {
        self.until("a view", |update| match update {
            Update::View(view) if view.slot == Slot(slot) => Some(view.body.clone()),
            _ => None,
        })
    }

    fn live(&self) {
        self.until("live", |update| {
            matches!(update, Update::Link(Link::Live)).then_some(())
        });
    }
}

fn hello(update: &Update) -> Option<(String, u32)> {
    match update {
        Update::Hello(hello) => Some((hello.instance.clone(), hello.pid)),
        _ => None,
    }
}

#[test]
fn what_is_asked_before_and_after_attaching_is_answered_again_and_again() {
    let app = App::start("asked", &["name=asked"]);
    let mut viewer = Viewer::of("asked");
    viewer.watch(1, Table::Tasks, None);
    assert_eq!(viewer.until("hello", hello).1, app.child.id());
    for _ in 0..3 {
        assert!(
            matches!(viewer.view(1), Body::Tasks(rows) if rows.rows.len() == 10 && rows.total > 30)
        );
    }
    viewer.watch(2, Table::Loops, None);
    assert!(matches!(viewer.view(2), Body::Loops(rows) if rows.rows.len() == 4));
    // One question replaces the other.
    viewer.watch(1, Table::Timers, None);
    viewer.until("timers", |update| match update {
        Update::View(view) if view.slot == Slot(1) => {
            matches!(view.body, Body::Timers(_)).then_some(())
        }
        _ => None,
    });
    viewer.transport.ask(Ask::Events(true));
    viewer.until("events", |update| {
        matches!(update, Update::Events(events) if events.len() == 9).then_some(())
    });
}

#[test]
fn one_task_is_asked_again_and_again_and_a_missing_one_is_said() {
    let _app = App::start("one", &["name=one-task"]);
    let mut viewer = Viewer::of("one-task");
    viewer.watch(5, Table::Task, Some(1093));
    for _ in 0..3 {
        assert!(matches!(viewer.view(5), Body::Task(detail) if detail.row.id == 1093));
    }
    viewer.watch(5, Table::Task, Some(999_999));
    viewer.until("no task", |update| match update {
        Update::View(view) => matches!(view.body, Body::NoTask { id: 999_999 }).then_some(()),
        _ => None,
    });
}

#[test]
fn a_lost_app_is_tried_at_growing_pauses_and_its_next_run_is_another_instance() {
    let mut app = App::start("lost", &["name=comes-back"]);
    let mut viewer = Viewer::of("comes-back");
    viewer.watch(1, Table::Loops, None);
    let (instance, pid) = viewer.until("hello", hello);
    viewer.view(1);
    app.kill();
    let lost = |update: &Update| match update {
        Update::Link(Link::Lost { reason, retry_in }) => Some((reason.clone(), *retry_in)),
        _ => None,
    };
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let (reason, pause) = viewer.until("lost", lost);
        assert!(!reason.is_empty());
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [250, 500, 1000]);
    let next = App::start("back", &["name=comes-back"]);
    // At once, instead of at the end of the pause.
    viewer.transport.ask(Ask::Retry);
    let (other, other_pid) = viewer.until("the next hello", hello);
    assert_ne!(instance, other);
    assert_eq!((pid == other_pid, other_pid), (false, next.child.id()));
    assert!(
        matches!(viewer.view(1), Body::Loops(rows) if rows.rows.len() == 4),
        "asked anew without the screens"
    );
}

#[test]
fn an_app_that_is_not_there_yet_is_attached_when_it_comes() {
    let mut viewer = Viewer::of("comes-later");
    viewer.watch(1, Table::Loops, None);
    let looked = viewer.until("searching", |update| match update {
        Update::Link(Link::Searching { looked }) => Some(looked.clone()),
        _ => None,
    });
    assert!(!looked.is_empty());
    let _app = App::start("later", &["name=comes-later"]);
    viewer.live();
    viewer.view(1);
}

#[test]
fn another_major_is_a_screen_of_its_own_and_is_not_tried_again() {
    let _app = App::start("gap", &["name=from-the-future", "major=9"]);
    let viewer = Viewer::of("from-the-future");
    let gap = viewer.until("the gap", |update| match update {
        Update::Link(Link::VersionGap(gap)) => Some(gap.clone()),
        _ => None,
    });
    assert_eq!(
        (gap.app.as_str(), gap.app_protocol.as_str()),
        ("from-the-future", "9.0")
    );
}

#[test]
fn another_app_can_be_chosen() {
    let one = App::start("first", &["name=first-of-two"]);
    let two = App::start("second", &["name=second-of-two"]);
    let mut viewer = Viewer::of("first-of-two");
    assert_eq!(viewer.until("hello", hello).1, one.child.id());
    viewer.transport.ask(Ask::Apps(true));
    let apps = viewer.until("both", |update| match update {
        Update::Apps(apps) if apps.iter().any(|a| a.name == "second-of-two") => Some(apps.clone()),
        _ => None,
    });
    let target = apps
        .iter()
        .find(|a| a.pid == two.child.id())
        .expect("the second")
        .target
        .clone();
    viewer.transport.ask(Ask::Connect(target));
    assert_eq!(viewer.until("the other hello", hello).1, two.child.id());
}
