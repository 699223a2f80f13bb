//! Recordings as a user meets them: the screens over the real transport, the one-shots of the program as it is installed, and
//! everything that is no recording or none that can be had.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use loop_console::drive::{Driver, text};
use loop_console::run::{Inbox, Transport};
use loop_console::store::{Link, Slot, Update};
use loop_console::transport::Options;
use loop_console::transport::address::Target;
use loop_console::transport::live::{self, LiveTransport};
use loop_console::update::{Ask, Effect};
use loop_proto::fixture::{AT_NS, RECORDED, blocked_shop, recording, ring_event, shop};
use loop_proto::pb::{self, EventKind};
use loop_proto::recording::{Head, Kind};
use serde_json::Value;

/// How long a test waits for what must come; far longer than it takes.
const LIMIT: Duration = Duration::from_secs(30);
const MS: u64 = 1_000_000;
/// A pid that no process can have: above the kernel's largest.
const NOBODY: u32 = 4_194_305;

/// A directory of its own, gone with the test.
struct World(PathBuf);

impl World {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/lc-open-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("its mode");
        World(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }

    fn console(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loop-console"));
        command
            .args(arguments)
            .env("LOOP_CONSOLE_DIR", &self.0)
            .env("TZ", "UTC")
            .env_remove("LOOP_CONSOLE_VIA");
        Said::of(&command.output().expect("the console"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Said {
    fn of(output: &Output) -> Self {
        Said {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// What the shop left when it was killed 800 ms after its last snapshot, while its loop 2 was blocked.
fn left() -> Vec<u8> {
    let mut shop = blocked_shop();
    shop.hello.pid = NOBODY;
    let ended = shop
        .tasks
        .iter()
        .find(|task| task.loop_id == 2)
        .expect("one")
        .id;
    let events = [
        ring_event(EventKind::TaskFinished, AT_NS - MS, 1, 4_711, 0),
        ring_event(EventKind::TaskSpawned, AT_NS + 100 * MS, 1, 900_001, 0),
        ring_event(EventKind::TaskFinished, AT_NS + 300 * MS, 4, ended, 0),
        ring_event(EventKind::TimerFired, AT_NS + 800 * MS, 1, 77, 5),
    ];
    recording(&shop, &Head::default(), &RECORDED, &events, 4_215)
}

/// The screens on a recording, through the transport that they have in life.
struct Visit {
    d: Driver,
    transport: LiveTransport,
    updates: Receiver<Update>,
    size: (u16, u16),
}

impl Visit {
    fn new(path: &str, size: (u16, u16)) -> Self {
        let (to, updates) = mpsc::channel();
        let options = Options {
            control: true,
            timeout: Duration::from_secs(5),
            via: None,
        };
        let target = Target::Recording(path.to_owned());
        let transport = live::start(options, target, Inbox::new(to)).expect("a thread");
        let mut d = Driver::new();
        d.now = Duration::from_secs(100);
        let mut visit = Visit {
            d,
            transport,
            updates,
            size,
        };
        while !matches!(visit.d.model.store.link, Some(Link::Live)) {
            visit.learn();
        }
        visit.answer();
        visit
    }

    fn learn(&mut self) -> Option<Slot> {
        let update = self.updates.recv_timeout(LIMIT).expect("an update");
        let slot = match &update {
            Update::View(view) => Some(view.slot),
            _ => None,
        };
        self.d.learn(update);
        slot
    }

    /// Has everything answered that is asked.
    fn answer(&mut self) {
        for _ in 0..10 {
            self.d.frame(self.size.0, self.size.1);
            let effects = std::mem::take(&mut self.d.effects);
            if effects.is_empty() {
                return;
            }
            let (mut waits, mut events): (Vec<Slot>, bool) = (Vec::new(), false);
            for effect in effects {
                let Effect::Ask(ask) = effect else { continue };
                events |= matches!(ask, Ask::Events(true));
                if let Ask::Watch(query) = &ask {
                    waits.retain(|slot| *slot != query.slot);
                    waits.push(query.slot);
                }
                if let Ask::Unwatch(slot) = &ask {
                    waits.retain(|other| other != slot);
                }
                self.transport.ask(ask);
            }
            while !waits.is_empty() || events {
                let answered = self.learn();
                events &= self.d.model.store.events.is_empty();
                waits.retain(|slot| Some(*slot) != answered);
            }
        }
        panic!("ten rounds, and still something is asked");
    }

    fn keys(&mut self, keys: &str) -> String {
        for key in keys.split(' ') {
            self.d.keys(key);
            self.answer();
        }
        text(&self.d.frame(self.size.0, self.size.1))
    }
}

fn snapshot(name: &str, frame: &str) {
    // Where the test's file lies is another place each time.
    let frame = frame.replace(&std::process::id().to_string(), "PID");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, frame);
    });
}

#[test]
fn every_screen_shows_a_recording_and_says_that_it_is_one() {
    let world = World::new("screens");
    let path = world.write("1-1.rec", &left());
    for (size, name) in [((120, 36), "wide"), ((80, 24), "narrow")] {
        let mut visit = Visit::new(&path, size);
        let first = visit.keys("1");
        snapshot(&format!("open_overview_{name}"), &first);
        for key in ["2", "3", "4", "5", "6", "7", "8", "9", "2 v", "2 t"] {
            let frame = visit.keys(key);
            let mut lines = frame.lines();
            assert!(
                lines
                    .next()
                    .is_some_and(|line| line.contains("■ RECORDING")),
                "{frame}"
            );
            let title = lines.next().expect("a line");
            assert!(
                title.contains("RECORDING of shop-api (pid 4194305) · killed or gone"),
                "{title}"
            );
            assert!(title.contains("14:02:25.800"), "{title}");
            let age = lines.next().expect("a line");
            assert!(age.contains("14:02:25.000, 800ms "), "{age}");
            assert!(age.contains("4,211 events overwritten"), "{age}");
            assert!(
                !frame.contains("the app refused") && !frame.contains("Not known"),
                "{frame}"
            );
        }
        let mut visit = Visit::new(&path, size);
        let page = visit.keys("2 Enter");
        assert!(page.contains("Await tree"), "{page}");
        // Nothing fills while one looks at a file.
        for _ in 0..11 {
            let panel = visit.keys("Tab +");
            assert!(!panel.contains("from now on"), "{panel}");
            assert!(!panel.contains("while somebody looks"), "{panel}");
            visit.keys("+");
        }
    }
}

#[test]
fn what_a_recording_does_not_hold_is_not_shown_as_nothing() {
    let world = World::new("nothing");
    let head = Head {
        kind: Kind::Dump,
        reason: "asked".to_owned(),
        ..Head::default()
    };
    let path = world.write(
        "a.rec",
        &recording(&shop(), &head, &[pb::Target::Overview], &[], 0),
    );
    let mut visit = Visit::new(&path, (80, 24));
    let jobs = visit.keys("8");
    assert!(
        jobs.contains("Not known: the recording does not hold jobs."),
        "{jobs}"
    );
    assert!(visit.keys("2").contains("does not hold tasks"));
    let said = world.console(&["jobs", &path]);
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(
        said.out.is_empty() && said.err.contains("does not hold jobs"),
        "{}",
        said.err
    );
    let said = world.console(&["history", &path]);
    assert_eq!(said.code, Some(5), "{}", said.err);
}

#[test]
fn a_recording_takes_no_command_on_any_way() {
    let world = World::new("commands");
    let path = world.write("1-1.rec", &left());
    let mut visit = Visit::new(&path, (80, 24));
    let asked = visit.keys("2 C");
    assert!(asked.contains("recording cannot be commanded"), "{asked}");
    assert!(
        !asked.contains("do it"),
        "no key is offered for it: {asked}"
    );
    visit.keys("y");
    assert!(visit.d.effects.is_empty(), "nothing is sent");
    for arguments in [
        vec!["cancel", "1"],
        vec!["nudge", "1"],
        vec!["find"],
        vec!["dump"],
        vec!["set", "block=1ms"],
    ] {
        let said = world.console(&[arguments.as_slice(), &[&path]].concat());
        assert_eq!(said.code, Some(7), "{arguments:?}: {}", said.err);
        assert!(
            said.err.contains("recording cannot be commanded"),
            "{}",
            said.err
        );
    }
    let said = world.console(&["check", &path]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("cannot be judged"), "{}", said.err);
}

#[test]
fn one_shots_print_a_recording_as_they_print_an_app() {
    let world = World::new("prints");
    let path = world.write(&format!("{NOBODY}-1.rec"), &left());
    // The file, the pid and the name mean the same.
    for target in [
        path.clone(),
        format!("rec:{path}"),
        format!("rec:{NOBODY}"),
        "rec:shop-api".to_owned(),
    ] {
        let said = world.console(&["tasks", "--json=id", &target]);
        assert_eq!(said.code, Some(0), "{target}: {}", said.err);
        let tasks = said.json();
        assert_eq!(
            tasks["tasks"].as_array().map(Vec::len),
            Some(shop().tasks.len()),
            "{target}"
        );
        let about = &tasks["app"]["recording"];
        assert_eq!(about["process"], "gone");
        assert_eq!(
            (&about["events"], &about["overwritten"]),
            (&4_215.into(), &4_211.into())
        );
        assert_eq!(about["since"]["spawned"], 1);
        assert_eq!(about["tables_at_ns"], AT_NS);
    }
    let said = world.console(&["tasks", "--filter", "state=done", &path]);
    assert_eq!(
        said.out.lines().count(),
        2,
        "the one that ended: {}",
        said.out
    );
    assert!(
        said.err.contains("killed or gone") && said.err.contains("before the last event"),
        "{}",
        said.err
    );
    for one in [
        "loops",
        "timers",
        "io",
        "leaks",
        "resources",
        "jobs",
        "children",
        "signals",
        "blocks",
        "cost",
        "tree",
    ] {
        let said = world.console(&[one, "--json", &path]);
        assert_eq!(said.code, Some(0), "{one}: {}", said.err);
        assert_eq!(said.json()["schema"], 1, "{one}");
        assert_eq!(world.console(&[one, "-q", &path]).err, "", "{one}");
    }
    let said = world.console(&["task", "1093", "--json", &path]);
    assert_eq!(said.json()["app"]["recording"]["process"], "gone");
    assert_eq!(world.console(&["task", "900001", &path]).code, Some(2));
    let said = world.console(&["history", &path]);
    assert!(
        said.code == Some(0) && said.out.contains("orders.rs"),
        "{}",
        said.out
    );
    let said = world.console(&["blocks", &path]);
    assert!(said.out.lines().count() > 2, "{}", said.out);
}

#[test]
fn events_of_a_recording_end_and_their_counts_come_out_even() {
    let world = World::new("events");
    let path = world.write("1-1.rec", &left());
    for follow in [&[][..], &["-f"][..]] {
        let said = world.console(&[&["events", "--json", &path], follow].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        let end = said.json();
        assert_eq!(
            (&end["end"], &end["lost_total"]),
            (&true.into(), &4_211.into())
        );
        let told: u64 = said
            .out
            .lines()
            .filter_map(|line| {
                serde_json::from_str::<Value>(line).ok()?["events"]
                    .as_array()
                    .map(Vec::len)
            })
            .sum::<usize>() as u64;
        assert_eq!(end["delivered"], told);
        let own = end["recording"]["inspector_events"]
            .as_u64()
            .expect("a number");
        // Each poll and wake is told to those who ask for them.
        let often = shop()
            .events
            .iter()
            .filter(|e| matches!(e.kind(), EventKind::TaskPolled | EventKind::TaskWoken))
            .count() as u64;
        assert_eq!(told + often - own, 4);
    }
    let said = world.console(&["events", "--kind", "timer", &path]);
    let last = said.out.lines().rev().nth(2).expect("a line");
    assert!(
        last.starts_with("14:02:25.800") && last.contains("timer-fired"),
        "{}",
        said.out
    );
}

#[test]
fn a_report_of_a_recording_is_the_page_of_the_app_with_how_it_ended() {
    let world = World::new("report");
    let path = world.write("1-1.rec", &left());
    let said = world.console(&["report", &path]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "the process is gone: killed, or it left without ending its run",
        "tables as at 2026-11-22 14:02:25.000, 800ms before the last event; since then 1 spawned, 1 ended",
        "4,211 of 4,215 events overwritten",
        "▲ stranded (certain): task 2071",
        "What happened last",
        "Blocks",
        "Versions",
        "Host",
    ] {
        assert!(words.contains(part), "no {part:?} in {}", said.out);
    }
    assert!(
        said.out
            .lines()
            .all(|line| loop_console::view::fmt::width(line) <= 80)
    );
    let json = world.console(&["report", "--json", &path]).json();
    assert_eq!(json["report"]["recorded"]["process"], "gone");
    assert!(
        json["report"]["findings"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
}

#[test]
fn every_way_of_being_no_recording_has_its_sentence_and_its_code() {
    let world = World::new("bad");
    let good = left();
    let mut newer = good.clone();
    newer[8] = 9;
    let mut damaged = good.clone();
    damaged[200] ^= 1;
    let directory = world.0.join("directory.rec");
    std::fs::create_dir(&directory).expect("a directory");
    let fifo = world.0.join("fifo.rec");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    let huge = world.0.join("huge.rec");
    std::fs::File::create(&huge)
        .and_then(|file| file.set_len(1 << 40))
        .expect("a file of holes");
    let path = |path: &Path| path.display().to_string();
    for (target, code, why, next) in [
        (
            world.write("empty.rec", b""),
            2,
            "it is empty",
            "A recording is",
        ),
        (
            world.write("foreign.rec", b"#!/bin/sh\n"),
            2,
            "no recording of this runtime",
            "A recording is",
        ),
        (
            world.write("cut.rec", &good[..2_000]),
            2,
            "ends after 2000 bytes",
            "copy it again",
        ),
        (
            world.write("newer.rec", &newer),
            4,
            "format 9.0",
            "as new as the app",
        ),
        (
            world.write("damaged.rec", &damaged),
            2,
            "checksum does not fit",
            "copy it again",
        ),
        (path(&directory), 2, "it is a directory", "A recording is"),
        (path(&fifo), 2, "it is no file", "A recording is"),
        (
            path(&huge),
            2,
            "no recording has more than",
            "A recording is",
        ),
        (
            path(&world.0.join("none.rec")),
            2,
            "there is no such file",
            "loop-console open",
        ),
        (
            (NOBODY + 1).to_string(),
            3,
            "There is no process 4194306",
            "8 that were killed or crashed, 3 that ended well",
        ),
        (
            "no-such-app".to_owned(),
            3,
            "no recording of an app called no-such-app",
            "keeps one",
        ),
        (
            std::process::id().to_string(),
            3,
            "and no recording of it is",
            "LOOP_CONSOLE=off",
        ),
    ] {
        let rec = format!("rec:{target}");
        for arguments in [
            ["open", &target],
            ["report", &rec],
            ["tasks", &rec],
            ["connect", &rec],
        ] {
            let said = world.console(&arguments);
            assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
            assert!(
                said.err.contains(why) && said.err.contains(next),
                "{arguments:?}: {}",
                said.err
            );
            assert!(
                said.out.is_empty() && !said.err.contains("panicked"),
                "{}",
                said.err
            );
        }
    }
    let said = world.console(&["--via", "cat", "tasks", &world.write("ok.rec", &good)]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--via"), "{}", said.err);
}

#[test]
fn an_app_that_does_not_answer_leads_to_what_it_recorded() {
    let world = World::new("leads");
    world.write("1-1.rec", &left());
    for target in [NOBODY.to_string(), "shop-api".to_owned()] {
        let said = world.console(&["tasks", &target]);
        assert_eq!(said.code, Some(3), "{}", said.err);
        let way = format!("loop-console open {NOBODY}");
        assert!(said.err.contains(&way), "{}", said.err);
    }
    let said = world.console(&["tasks", "4194309"]);
    assert!(!said.err.contains("What it recorded"), "{}", said.err);
}

#[test]
fn several_recordings_are_listed_with_whose_they_are() {
    let world = World::new("several");
    world.write("1-1.rec", &left());
    world.write("no-recording.rec", b"x");
    std::fs::create_dir(world.0.join("dumps")).expect("a directory");
    let mut other = shop();
    other.hello.pid = NOBODY + 7;
    let head = Head {
        kind: Kind::Dump,
        ..Head::default()
    };
    world.write("dumps/b.rec", &recording(&other, &head, &RECORDED, &[], 0));
    let said = world.console(&["open"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    for part in [
        "4194305",
        "4194312",
        "shop-api",
        "dump",
        "recording",
        "b.rec",
    ] {
        assert!(said.err.contains(part), "no {part} in {}", said.err);
    }
    // The dump of a process that left nothing else.
    let said = world.console(&["tasks", "--json=id", "rec:4194312"]);
    assert_eq!(said.json()["app"]["recording"]["process"], "dump");
}

#[test]
fn a_file_that_others_may_not_read_says_whose_it_is() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything; the sentence is tested beside the code that makes it.
        return;
    }
    let world = World::new("denied");
    let path = world.write("a.rec", &left());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("its mode");
    let said = world.console(&["open", &path]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("only that user may read it"),
        "{}",
        said.err
    );
}
