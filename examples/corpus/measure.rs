//! Runs the programs, each twice a round: under the gate for what is said, and with a console that
//! follows it for when. Knows of a program what `faults --list` and `CAUSES` say.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Ten ways to hold a loop, each for 250 ms with a budget of 100 ms: the program, the function that
/// does it (empty: the program's own lines in its table), and the causes that are true of it.
const CAUSES: [(&str, &str, &[&str]); 10] = [
    ("cpu-loop", "compute", &["cpu"]),
    ("thread-sleep", "", &["syscall"]),
    ("std-mutex", "std_mutex", &["lock"]),
    ("pipe-read", "pipe_read", &["syscall"]),
    ("http-request", "http_request", &["syscall"]),
    ("name-lookup", "name_lookup", &["syscall"]),
    // Into the page cache: the kernel computes, or waits for the disk.
    ("file-write", "file_write", &["cpu", "syscall"]),
    ("std-channel", "std_channel", &["lock"]),
    ("child-wait", "child_wait", &["syscall"]),
    ("huge-sort", "huge_sort", &["cpu"]),
];

const BUDGET_NS: u64 = 100_000_000;

/// One line of `faults --list`.
struct Program {
    name: String,
    finds: Option<String>,
    also: String,
    file: String,
}

/// What one program was said to be, in one round.
#[derive(Clone, Default)]
struct Said {
    /// Name, place and cause of each finding, and its task.
    findings: Vec<[String; 3]>,
    tasks: Vec<u64>,
    /// The task that blocked, as it said itself.
    guilty: Option<u64>,
    /// From the fault to the moment at which a console that follows had it, ns; for a block from its
    /// beginning.
    told: Option<u64>,
    /// It was told before the block was over.
    in_time: bool,
}

fn beside(path: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let folder = own.parent().and_then(Path::parent);
    folder.expect("it lies in examples/").join(path)
}

fn mono() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn programs() -> Vec<Program> {
    let list = Command::new(beside("examples/faults"))
        .arg("--list")
        .output();
    let list = list.expect("the corpus can be started").stdout;
    let list = String::from_utf8_lossy(&list).into_owned();
    let of = |line: &str| {
        let parts: Vec<&str> = line.split('\t').collect();
        (parts.len() == 5).then(|| Program {
            name: parts[0].to_owned(),
            finds: (parts[1] != "healthy").then(|| parts[1].to_owned()),
            also: parts[2].to_owned(),
            file: parts[3].to_owned(),
        })
    };
    list.lines().filter_map(of).collect()
}

fn console(world: &Path) -> Command {
    let mut command = Command::new(beside("loop-console"));
    command
        .env("LOOP_CONSOLE_DIR", world)
        .env("RUST_BACKTRACE", "0")
        .env("FAULTS_TELL", "1")
        .env_remove("LOOP_CONSOLE")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The line in which a program says who blocks from when on (`fault`), or until when (`over`).
fn moment(text: &str, what: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix(what))?;
    let (task, at) = line.trim_start().split_once(' ')?;
    Some((task.parse().ok()?, at.parse().ok()?))
}

/// What the gate says of a program.
fn judged(world: &Path, name: &str, said: &mut Said) {
    let report = world.join(format!("{name}-{:?}", thread::current().id()));
    let output = console(world)
        .args([
            "check",
            "--budget",
            "block=100ms,leak=0",
            "--deny",
            "suspect,warning",
        ])
        .arg("--json")
        .arg(&report)
        .arg("--")
        .arg(beside("examples/faults"))
        .arg(name)
        .output();
    let output = output.expect("the console can be started");
    said.guilty = moment(&String::from_utf8_lossy(&output.stdout), "fault").map(|(task, _)| task);
    let text = fs::read_to_string(&report).unwrap_or_default();
    let report: Value = serde_json::from_str(&text).unwrap_or_default();
    let runs = report["check"]["runs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for finding in runs
        .iter()
        .filter_map(|run| run["findings"].as_array())
        .flatten()
    {
        let cause = word(&finding["cause"]);
        // `syscall (sleep; …)`: the class is the first word.
        let cause = cause
            .split([' ', '('])
            .next()
            .unwrap_or_default()
            .to_owned();
        said.findings
            .push([word(&finding["name"]), word(&finding["place"]), cause]);
        said.tasks.push(finding["task"].as_u64().unwrap_or(0));
    }
}

/// Starts a program that waits for a console before its first poll.
fn waiting(world: &Path, name: &str) -> std::process::Child {
    Command::new(beside("examples/faults"))
        .arg(name)
        .env("LOOP_CONSOLE_DIR", world)
        .env("LOOP_CONSOLE", "wait:10s")
        .env("RUST_BACKTRACE", "0")
        .env("FAULTS_TELL", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the corpus can be started")
}

/// When a console that follows the events has the block, in ns from its beginning, and whether that
/// was before its end.
fn block_told(world: &Path, name: &str) -> Option<(u64, bool)> {
    let app = waiting(world, name);
    thread::sleep(Duration::from_millis(150));
    let mut follower = console(world)
        .args(["events", "-f", "--json", "--kind", "block"])
        .arg(app.id().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the console can be started");
    let lines = BufReader::new(follower.stdout.take().expect("it is piped")).lines();
    let mut first = None;
    for line in lines.map_while(Result::ok) {
        let at = mono();
        if first.is_none() && line.contains("\"kind\":\"blocked\"") {
            first = Some(at);
        }
    }
    let _ = follower.wait();
    let output = app.wait_with_output().expect("it ends by itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, began) = moment(&text, "fault")?;
    let (_, over) = moment(&text, "over")?;
    Some((first?.saturating_sub(began), first? < over))
}

/// When a console that asks again and again is told of finding `due`, in ns from the moment since
/// which it holds by its own words.
fn finding_told(world: &Path, name: &str, due: &str) -> Option<u64> {
    let mut app = waiting(world, name);
    thread::sleep(Duration::from_millis(150));
    let pid = app.id().to_string();
    let mut told = None;
    while told.is_none() && app.try_wait().is_ok_and(|ended| ended.is_none()) {
        let output = console(world).args(["leaks", "--json"]).arg(&pid).output();
        let at = mono();
        let output = output.expect("the console can be started").stdout;
        let page: Value = serde_json::from_slice(&output).unwrap_or_default();
        let all = page["leaks"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|finding| finding["name"] == due);
        let since = |finding: &Value| {
            let answered = page["at_ns"].as_u64()?;
            Some(answered.saturating_sub(finding["age_ns"].as_u64()?))
        };
        told = found.and_then(since).map(|since| at.saturating_sub(since));
    }
    let _ = app.wait();
    told
}

fn one(world: &Path, program: &Program) -> Said {
    let mut said = Said::default();
    judged(world, &program.name, &mut said);
    said.told = match program.finds.as_deref() {
        Some("blocked") => block_told(world, &program.name).map(|(told, in_time)| {
            said.in_time = in_time;
            told
        }),
        Some(due) => finding_told(world, &program.name, due),
        None => None,
    };
    said
}

/// Runs all of it and prints the tables.
pub(super) fn run(rounds: usize, at_once: usize) {
    let world = PathBuf::from(format!("/tmp/lc-corpus-{}", std::process::id()));
    fs::create_dir_all(&world).expect("a directory");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&world, private).expect("it is ours");
    let programs = programs();
    let jobs: Vec<usize> = (0..rounds).flat_map(|_| 0..programs.len()).collect();
    let (next, said) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    println!("load before: {}", load());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(&at) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = one(&world, &programs[at]);
                    said.lock().expect("nobody panics with it").push((at, one));
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&world);
    println!("load after: {}; {rounds} rounds, {at_once} at once", load());
    let said = said.into_inner().expect("all threads have ended");
    verdicts(&programs, &said);
    blocks(&programs, &said);
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Score {
    due: u32,
    met: u32,
    right: u32,
    wrong: u32,
    told: Vec<u64>,
}

fn verdicts(programs: &[Program], said: &[(usize, Said)]) {
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    let mut odd: BTreeMap<String, u32> = BTreeMap::new();
    for (at, said) in said {
        let program = &programs[*at];
        if let Some(due) = &program.finds {
            let met = said
                .findings
                .iter()
                .any(|[name, place, _]| name == due && place.contains(&program.file));
            let score = scores.entry(due).or_default();
            score.due += 1;
            score.met += u32::from(met);
            score.told.extend(said.told);
            if !met {
                *odd.entry(format!("missed: {due} of {}", program.name))
                    .or_default() += 1;
            }
        }
        for [name, place, _] in &said.findings {
            let is_so = program.finds.as_ref() == Some(name)
                || program.also.split(',').any(|also| also == name);
            let score = scores.entry(name).or_default();
            *(if is_so {
                &mut score.right
            } else {
                &mut score.wrong
            }) += 1;
            if !is_so {
                let text = format!("wrong: {name} of {} at {place}", program.name);
                *odd.entry(text).or_default() += 1;
            }
        }
    }
    println!(
        "\n{:<16} {:>9} {:>9} {:>7} {:>12} {:>12}",
        "finding", "recall", "precision", "told", "median", "worst"
    );
    for (name, score) in &mut scores {
        let (median, worst) = middle_and_worst(&mut score.told);
        println!(
            "{name:<16} {:>9} {:>9} {:>7} {median:>12} {worst:>12}",
            format!("{}/{}", score.met, score.due),
            format!("{}/{}", score.right, score.right + score.wrong),
            format!("{}/{}", score.told.len(), score.due),
        );
    }
    println!(
        "told: while the program lived, to a console that follows (blocked) or asks again and again (the rest)"
    );
    for ramps in [false, true] {
        let of_these = |at: &usize| {
            let program = &programs[*at];
            program.finds.is_none() && (!ramps || program.name.contains("ramp"))
        };
        let runs = said.iter().filter(|(at, _)| of_these(at));
        let all = runs.clone().count();
        let quiet = runs.filter(|(_, said)| said.findings.is_empty()).count();
        let what = if ramps {
            "of them those whose load ramps up or down"
        } else {
            "healthy programs"
        };
        println!("{what}: {all} runs, nothing said of {quiet}");
    }
    for (text, times) in odd {
        println!("{text}, {times} times");
    }
}

fn blocks(programs: &[Program], said: &[(usize, Said)]) {
    println!(
        "\n{:<14} {:>6} {:>6} {:>6} {:>6} {:>6} {:>10} {:>10}",
        "cause of block", "runs", "task", "place", "cause", "in time", "median", "worst"
    );
    let mut sums = [0; 5];
    let mut all_told = Vec::new();
    for (name, function, causes) in CAUSES {
        let lines = lines_of(name, function);
        let mut of = [0; 5];
        let mut told = Vec::new();
        for (at, said) in said {
            if programs[*at].name != name {
                continue;
            }
            of[0] += 1;
            let block = said.findings.iter().zip(&said.tasks);
            if let Some(([_, place, cause], task)) =
                block.into_iter().find(|([name, ..], _)| name == "blocked")
            {
                of[1] += u32::from(said.guilty == Some(*task));
                of[2] += u32::from(line_of(place).is_some_and(|line| lines.contains(&line)));
                of[3] += u32::from(causes.contains(&cause.as_str()));
                if !causes.contains(&cause.as_str()) {
                    println!("  {name}: cause {cause:?}");
                }
                if !line_of(place).is_some_and(|line| lines.contains(&line)) {
                    println!("  {name}: place {place}");
                }
            }
            of[4] += u32::from(said.in_time);
            told.extend(said.told.map(|told| told.saturating_sub(BUDGET_NS)));
        }
        all_told.extend(told.iter().copied());
        row(name, of, &mut told);
        for (sum, one) in sums.iter_mut().zip(of) {
            *sum += one;
        }
    }
    row("all", sums, &mut all_told);
    println!(
        "in time: told before the block's end; median and worst: from the budget's end until a console that follows had it"
    );
}

fn row(name: &str, of: [u32; 5], told: &mut [u64]) {
    let (median, worst) = middle_and_worst(told);
    let share = |count: u32| format!("{}%", (count * 100).checked_div(of[0]).unwrap_or(0));
    println!(
        "{name:<14} {:>6} {:>6} {:>6} {:>6} {:>7} {median:>10} {worst:>10}",
        of[0],
        share(of[1]),
        share(of[2]),
        share(of[3]),
        share(of[4]),
    );
}

fn middle_and_worst(all: &mut [u64]) -> (String, String) {
    all.sort_unstable();
    let ms =
        |ns: Option<&u64>| ns.map_or("-".to_owned(), |ns| format!("{:.1} ms", *ns as f64 / 1e6));
    (ms(all.get(all.len() / 2)), ms(all.last()))
}

/// The line of `…/blocking.rs:123:4`.
fn line_of(place: &str) -> Option<usize> {
    let (_, rest) = place.split_once("faults/blocking.rs:")?;
    rest.split(':').next()?.parse().ok()
}

/// The lines that a program's fault stands in.
fn lines_of(name: &str, function: &str) -> std::ops::Range<usize> {
    let text = include_str!("../faults/blocking.rs");
    let (start, end) = match function {
        "" => (format!("        \"{name}\","), "    program("),
        _ => (format!("fn {function}("), "}"),
    };
    let mut lines = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| !line.contains(&start));
    let first = lines.next().map_or(0, |(at, _)| at);
    let last = lines
        .find(|(_, line)| line.starts_with(end))
        .map_or(first, |(at, _)| at);
    first + 1..last + 2
}
