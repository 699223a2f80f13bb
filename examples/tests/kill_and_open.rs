//! An app is killed at a moment that nobody chose, again and again, and what it leaves is opened: with the console as a user does,
//! and by the format's own reader, which counts.
//!
//! `tools/kill-and-open [N]` runs this with many rounds and prints the table. Needs the console's binary, as the other tests here.
#![cfg(target_os = "linux")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use loop_proto::endpoint::{memory, read_recording_name};
use loop_proto::recording::Recording;
use serde_json::Value;

mod world;

use world::World;
use world::built::program;

/// How many rounds, and from which number chance begins.
const ROUNDS: &str = "KILL_AND_OPEN_ROUNDS";
const SEED: &str = "KILL_AND_OPEN_SEED";
/// How long an app may need to make its recording, on a host that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// The latest kill after the recording is there.
const LATEST: Duration = Duration::from_millis(1_500);
/// The last event of an app that does something all the time is at most this old when it is killed.
const FRESH: Duration = Duration::from_secs(1);
/// In the three rounds that run beside all other tests an app may get no CPU for longer than that.
const FRESH_BESIDE_OTHERS: Duration = Duration::from_secs(10);

/// What the apps do: timers, TCP and computing, or thousands of tasks of all kinds.
const APPS: [(&str, &[&str]); 2] = [
    ("examples/steady", &[]),
    ("examples/many_tasks", &["--tasks", "3000"]),
];

/// One round.
struct Round {
    app: &'static str,
    lived: Duration,
    events: u64,
    overwritten: u64,
    tasks: u64,
    /// Before the kill.
    last_event: Duration,
    snapshot: Option<Duration>,
    opened_in: Duration,
    faults: Vec<String>,
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// An app that does not outlive the test, whatever becomes of it.
struct App(Child);

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The recording of a process, once it is there.
fn recording_of(world: &World, pid: u32) -> Option<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    [world.0.clone(), memory(uid)]
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flat_map(|entries| entries.flatten())
        .find(|entry| read_recording_name(&entry.file_name()).is_some_and(|(of, _)| of == pid))
        .map(|entry| entry.path())
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

/// Starts an app, kills it, and opens what it left.
fn round(world: &World, nth: usize, chance: &mut Chance, fresh: Duration) -> Round {
    let (app, arguments) = APPS[nth % APPS.len()];
    let child = world
        .command(&program(app))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the example can be started");
    let (mut child, began) = (App(child), Instant::now());
    let pid = child.0.id();
    let path = loop {
        if let Some(path) = recording_of(world, pid) {
            break path;
        }
        assert!(began.elapsed() < PATIENCE, "{app} made no recording");
        std::thread::sleep(Duration::from_millis(2));
    };
    let latest = LATEST.as_micros() as u64;
    std::thread::sleep(Duration::from_micros(chance.below(latest)));
    let killed = now();
    child.0.kill().expect("it is ours");
    child.0.wait().expect("it is ours");
    let lived = began.elapsed();
    let mut round = open(world, pid, &path, killed, fresh);
    (round.app, round.lived) = (app, lived);
    std::fs::remove_file(&path).expect("nobody else does");
    round
}

/// Opens what process `pid` left when it was killed.
fn open(world: &World, pid: u32, path: &Path, killed: u64, fresh: Duration) -> Round {
    let mut faults = Vec::new();
    let bytes = std::fs::read(path).expect("it is there");
    let recording = Recording::read(&bytes).expect("it is a recording");
    for ring in &recording.rings {
        if !ring.is_consistent() {
            faults.push(format!("loop {}: totals and tail differ", ring.loop_id));
        }
    }
    let clock = recording.clock();
    let before_kill = |mono: u64| Duration::from_nanos(killed.saturating_sub(clock.unix_of(mono)));
    let last_event = before_kill(recording.last_ns());
    if last_event > fresh {
        faults.push(format!("the last event is {last_event:.1?} old"));
    }
    let (events, overwritten) = recording.counts();

    // As a user does: by the pid, on all the ways that print.
    let target = format!("rec:{pid}");
    let opening = Instant::now();
    let said = world.console(&["report", "--json", &target]);
    let opened_in = opening.elapsed();
    let report: Value = serde_json::from_str(&said.out).unwrap_or_default();
    if said.code != Some(0) || report["report"]["recorded"]["process"] != "gone" {
        faults.push(format!("report: {:?} {}", said.code, said.err));
    }
    let tasks = report["report"]["totals"]["tasks"].as_u64();
    let kinds = "spawn,finish,poll,wake,slow,block,timer,io,job,child,signal,finding,loop,viewer,command,cancel";
    let said = world.console(&["events", "--json", "--kind", kinds, &target]);
    let end: Value = said
        .out
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    let told = number(&end["delivered"]);
    let own = number(&end["recording"]["inspector_events"]);
    let lost = number(&end["lost_total"]);
    // A writer that ends between a total and its tail leaves one more of the first.
    let all = told.saturating_sub(own).saturating_add(lost);
    if said.code != Some(0) || all.abs_diff(events) > recording.rings.len() as u64 {
        faults.push(format!(
            "{told} told, {own} of them the inspector's, {lost} lost, and {events} there were: {:?} {}",
            said.code, said.err
        ));
    }
    let snapshot = recording.snapshot.as_ref();
    if snapshot.is_some() && tasks.is_none() {
        faults.push("there is a snapshot, and no totals".to_owned());
    }
    Round {
        app: "",
        lived: Duration::ZERO,
        events,
        overwritten,
        tasks: tasks.unwrap_or(0),
        last_event,
        snapshot: snapshot.map(|snapshot| before_kill(snapshot.head.at.mono_ns)),
        opened_in,
        faults,
    }
}

fn table(rounds: &[Round]) -> String {
    let mut out = format!(
        "{:>5} {:<20} {:>8} {:>9} {:>11} {:>6} {:>12} {:>12} {:>9}\n",
        "round",
        "app",
        "lived",
        "events",
        "overwritten",
        "tasks",
        "last event",
        "snapshot",
        "opened in"
    );
    for (nth, round) in rounds.iter().enumerate() {
        let snapshot = round
            .snapshot
            .map_or("none".to_owned(), |age| format!("-{age:.1?}"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:>5} {:<20} {:>8} {:>9} {:>11} {:>6} {:>12} {:>12} {:>9}  {}",
            nth + 1,
            round.app.trim_start_matches("examples/"),
            format!("{:.0?}", round.lived),
            round.events,
            round.overwritten,
            round.tasks,
            format!("-{:.1?}", round.last_event),
            snapshot,
            format!("{:.0?}", round.opened_in),
            round.faults.join("; ")
        );
    }
    let failed = rounds
        .iter()
        .filter(|round| !round.faults.is_empty())
        .count();
    let oldest = |age: fn(&Round) -> Option<Duration>| rounds.iter().filter_map(age).max();
    let without = rounds
        .iter()
        .filter(|round| round.snapshot.is_none())
        .count();
    let _ = writeln!(
        out,
        "{} killed, {} opened with counts that come out even; the oldest last event {:.1?} before the kill, the oldest \
         snapshot {:.1?}, {without} killed before their first one",
        rounds.len(),
        rounds.len() - failed,
        oldest(|round| Some(round.last_event)).unwrap_or_default(),
        oldest(|round| round.snapshot).unwrap_or_default(),
    );
    out
}

#[test]
fn what_a_killed_app_leaves_can_be_opened_every_time_and_its_counts_come_out_even() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let many = number(ROUNDS);
    let seed = number(SEED).unwrap_or_else(|| now() | 1);
    let fresh = if many.is_some() {
        FRESH
    } else {
        FRESH_BESIDE_OTHERS
    };
    println!("{SEED}={seed}");
    let mut chance = Chance(seed);
    let world = World::new("kill");
    let rounds: Vec<Round> = (0..many.unwrap_or(3) as usize)
        .map(|nth| round(&world, nth, &mut chance, fresh))
        .collect();
    let table = table(&rounds);
    println!("{table}");
    assert!(
        rounds.iter().all(|round| round.faults.is_empty()),
        "{SEED}={seed}\n{table}"
    );
}
