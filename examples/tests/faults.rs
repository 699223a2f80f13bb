//! The inspector's verdicts, proved on the programs in `faults/`, whose fault is known: what the gate
//! says of each is compared with what is true of it, and told as recall and precision.
//!
//! `cargo test -p loop-examples --test faults -- --nocapture` prints the table. Needs the console's
//! binary: `cargo test --workspace` builds it, else `cargo build -p loop-console`.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use loop_proto::pb::{BlockCause, FindingName};
use serde_json::Value;

/// What is true and cannot be told today, and why: not counted as recall.
const NOT_YET: [(&str, &str); 0] = [];

/// Findings without a program here, and why.
const NO_PROGRAM: [(&str, &str); 0] = [];

/// Of these not one may be missed.
const FULL_RECALL: [&str; 5] = [
    "stranded",
    "deadlocked",
    "left-behind",
    "blocked",
    THROTTLED,
];

/// What is true of a program that a quota holds up: no finding, but a cause that is told.
const THROTTLED: &str = "throttled";

/// What a program exits with that cannot be what it is on this host.
const NOT_TRIED: &str = "exit code 77";

/// Words that the evidence for a program's finding must have.
const EVIDENCE: [(&str, &[&str]); 14] = [
    (
        "whole-loop",
        &[
            "nothing can wake the loop any more",
            "buyer waits at",
            "for the promise made at",
            "whole_loop.rs:",
        ],
    ),
    ("rows-at-once", &["Its stack was taken ", "yield_now"]),
    (
        "lock-cycle",
        &[
            "the lock cart",
            "the lock stock",
            "deadlocks.rs:",
            "held by task",
            "taken at",
        ],
    ),
    (
        "semaphore-used-up",
        &[
            "the semaphore connections",
            "its 2 permits are held by task",
        ],
    ),
    (
        "lock-across-a-queue",
        &[
            "held by task",
            "the queue items (made at",
            "all who could use it: task",
            "read in the tasks' memory",
        ],
    ),
    (
        "own-promise",
        &["its promise is kept by task", "read in the tasks' memory"],
    ),
    (
        "opposite-orders",
        &[
            "took the lock stock at",
            "while it had the lock cart at",
            "took the lock cart at",
            "while it had the lock stock at",
            "no further lock was held each time",
        ],
    ),
    ("join-cycle-of-2", &["joins at", "deadlocks.rs:"]),
    (
        "waker-thrown-away",
        &[
            "no waker of it is alive",
            "its last waker was dropped ",
            " ago by task ",
            "leaks.rs:",
        ],
    ),
    (
        "waker-lost-on-a-thread",
        &["its last waker was dropped ", " ago by thread "],
    ),
    (
        "dropped-waker",
        &["its poll returned Pending and kept no waker"],
    ),
    ("orphan-timer", &["the task that it would wake has ended"]),
    (THROTTLED, &["by the cgroup quota (20 % of a CPU)"]),
    (
        "block-and-throttled",
        &["besides, throttled", "by the cgroup quota (50 % of a CPU)"],
    ),
];

/// So many run at once.
const AT_ONCE: usize = 4;

#[path = "world/built.rs"]
mod built;

use built::program;

/// One line of `faults --list`.
struct Program {
    name: String,
    /// The finding that is true of it; `None`: it is healthy.
    finds: Option<String>,
    also: BTreeSet<String>,
    file: String,
    says: String,
}

/// What was said of one program.
#[derive(Clone, Debug)]
struct Said {
    name: String,
    grade: String,
    place: String,
    evidence: String,
}

fn programs() -> Vec<Program> {
    let list = Command::new(program("examples/faults"))
        .arg("--list")
        .output();
    let list = list.expect("the corpus can be started").stdout;
    let list = String::from_utf8(list).expect("it is text");
    let line = |line: &str| {
        let [name, finds, also, file, says] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not five columns: {line}");
        };
        assert!(says.ends_with('.'), "a sentence: {says}");
        Program {
            name: name.to_owned(),
            finds: (finds != "healthy").then(|| finds.to_owned()),
            also: also
                .split(',')
                .filter(|also| !also.is_empty())
                .map(str::to_owned)
                .collect(),
            file: file.to_owned(),
            says: says.to_owned(),
        }
    };
    list.lines().map(line).collect()
}

/// What was said of a program, or why it could not be tried on this host.
type Judged = Result<Vec<Said>, String>;

/// Runs the gate around one program.
fn judged(world: &Path, name: &str) -> Judged {
    judged_with(world, name, &[])
}

/// The same, with more for the gate to heed.
fn judged_with(world: &Path, name: &str, more: &[&str]) -> Judged {
    judged_in(world, name, more, &[])
}

/// The same, with more in its environment.
fn judged_in(world: &Path, name: &str, more: &[&str], env: &[(&str, &str)]) -> Judged {
    let report = world.join(name);
    let output = Command::new(program("loop-console"))
        .args([
            "check",
            "--budget",
            "block=100ms,leak=0",
            "--deny",
            "suspect,warning",
            "--json",
        ])
        .arg(&report)
        .args(more)
        .arg("--")
        .arg(program("examples/faults"))
        .arg(name)
        .env("LOOP_CONSOLE_DIR", world)
        // Writing one down holds a loop for long.
        .env("RUST_BACKTRACE", "0")
        .env_remove("LOOP_CONSOLE")
        .env_remove("LOOP_CONSOLE_BUDGET")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the console can be started");
    let text = fs::read_to_string(&report).expect("there is a report");
    let report: Value = serde_json::from_str(&text).expect("it is JSON");
    let check = &report["check"];
    let told = String::from_utf8_lossy(&output.stderr);
    if check["command"] == NOT_TRIED {
        let why = told
            .lines()
            .find_map(|line| line.split_once("cannot be tried here: "));
        let (_, why) = why.unwrap_or_else(|| panic!("{name} does not say why: {told}"));
        return Err(why.to_owned());
    }
    assert_eq!(check["command"], "exit code 0", "{name}: {told}");
    let runs = check["runs"].as_array().expect("runs are listed");
    assert!(!runs.is_empty(), "{name} was not judged: {text}");
    let findings = runs
        .iter()
        .filter_map(|run| run["findings"].as_array())
        .flatten();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = findings.map(|finding| Said {
        name: word(&finding["name"]),
        grade: word(&finding["grade"]),
        place: word(&finding["place"]),
        evidence: format!("{} {}", finding["evidence"], word(&finding["cause"])),
    });
    let throttled = runs.iter().filter_map(|run| run["throttled"].as_array());
    let throttled = throttled.flatten().map(|poll| Said {
        name: THROTTLED.to_owned(),
        // The kernel's own count.
        grade: "certain".to_owned(),
        place: word(&poll["place"]),
        evidence: word(&poll["reason"]),
    });
    Ok(findings.chain(throttled).collect())
}

/// All programs, judged, several at once.
fn all_judged(programs: &[Program]) -> Vec<Judged> {
    let world = PathBuf::from(format!("/tmp/lc-faults-{}", std::process::id()));
    fs::create_dir_all(&world).expect("a directory");
    let (next, said) = (
        AtomicUsize::new(0),
        Mutex::new(vec![Ok(Vec::new()); programs.len()]),
    );
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = programs.iter().position(|p| p.name == program.name);
                    let of_it = judged(&world, &program.name);
                    said.lock().expect("nobody panics with it")[at.expect("it is one")] = of_it;
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&world);
    said.into_inner().expect("all threads have ended")
}

/// How often a finding was due, was said where due, was said where it is true, and where it is not.
#[derive(Default)]
struct Score {
    due: u32,
    met: u32,
    right: u32,
    wrong: u32,
}

#[test]
fn what_is_said_of_each_program_is_what_is_known_of_it() {
    let programs = programs();
    let said = all_judged(&programs);
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let (mut faults, mut not_tried) = (Vec::new(), Vec::new());
    println!("{:<26} {:<16} {:<9} said", "program", "true", "verdict");
    for (program, said) in programs.iter().zip(&said) {
        let due = program.finds.as_deref().unwrap_or("healthy");
        let said = match said {
            Ok(said) => said,
            Err(why) => {
                println!("{:<26} {due:<16} {:<9} {why}", program.name, "NOT TRIED");
                not_tried.push((program, why));
                continue;
            }
        };
        let words: BTreeSet<&str> = said.iter().map(|said| said.name.as_str()).collect();
        let mut verdict = "ok";
        if let Some(due) = &program.finds {
            let at_its_place = said
                .iter()
                .any(|said| said.name == *due && said.place.contains(&program.file));
            let not_yet = NOT_YET.iter().find(|(name, _)| *name == program.name);
            match (at_its_place, not_yet) {
                (true, None) => {}
                (true, Some(_)) => {
                    faults.push(format!("{} is told now: take it off NOT_YET", program.name));
                }
                (false, Some(_)) => verdict = "not yet",
                (false, None) => {
                    verdict = "missed";
                    if FULL_RECALL.contains(&due.as_str()) {
                        faults.push(format!("{} is missed: {said:#?}", program.name));
                    }
                }
            }
            if not_yet.is_none() {
                let score = scores.entry(due.clone()).or_default();
                score.due += 1;
                score.met += u32::from(at_its_place);
            }
        }
        for (_, words) in EVIDENCE.iter().filter(|(name, _)| *name == program.name) {
            let evidence = said
                .iter()
                .filter(|said| Some(&said.name) == program.finds.as_ref());
            let evidence: String = evidence.map(|said| said.evidence.as_str()).collect();
            for word in words.iter().filter(|word| !evidence.contains(**word)) {
                faults.push(format!("{}: no {word:?} in {evidence}", program.name));
            }
        }
        for said in said {
            // A host may have a quota of its own: what that does is known of nobody.
            if said.name == THROTTLED && program.file != "quota.rs" {
                continue;
            }
            if said.evidence.len() <= "[] ".len() {
                faults.push(format!("{} without evidence: {said:#?}", program.name));
            }
            let true_of_it =
                program.finds.as_ref() == Some(&said.name) || program.also.contains(&said.name);
            let score = scores.entry(said.name.clone()).or_default();
            if true_of_it {
                score.right += 1;
            } else {
                verdict = "wrong";
                score.wrong += 1;
                if said.grade == "certain" {
                    faults.push(format!("{} is not so: {said:#?}", program.name));
                }
            }
        }
        let words = words.into_iter().collect::<Vec<_>>().join(" ");
        println!("{:<26} {due:<16} {verdict:<9} {words}", program.name);
    }
    println!("\n{:<16} {:>8} {:>10}", "finding", "recall", "precision");
    for (name, score) in &scores {
        let precision = match score.right + score.wrong {
            0 => "-".to_owned(),
            said => format!("{:.2}", f64::from(score.right) / f64::from(said)),
        };
        println!(
            "{name:<16} {:>5}/{:<2} {precision:>10}",
            score.met, score.due
        );
    }
    for (name, why) in NOT_YET.iter().chain(&NO_PROGRAM) {
        println!("not yet: {name}: {why}");
    }
    let tried = programs.len() - not_tried.len();
    println!("\ntried: {tried} of {} programs", programs.len());
    for (program, why) in &not_tried {
        println!("NOT TRIED, and so not proved here: {}: {why}", program.name);
    }
    assert!(
        not_tried
            .iter()
            .all(|(program, _)| program.file == "quota.rs"),
        "only a control group may be wanting"
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_program_that_cannot_be_tried_is_no_success() {
    let world = PathBuf::from(format!("/tmp/lc-untried-{}", std::process::id()));
    fs::create_dir_all(&world).expect("a directory");
    let said = judged_in(&world, "throttled", &[], &[("LOOP_FAULTS_CGROUPS", "none")]);
    let _ = fs::remove_dir_all(&world);
    let why = said.expect_err("it was told that there are no control groups");
    assert!(why.contains("no hierarchy of control groups"), "{why}");
}

#[test]
fn tasks_have_the_grace_that_the_gate_gives_them() {
    let world = PathBuf::from(format!("/tmp/lc-grace-{}", std::process::id()));
    fs::create_dir_all(&world).expect("a directory");
    // Its detached tasks take 100 ms to end, which is as long as a run waits by itself.
    let hasty = judged_with(&world, "detached-and-quick", &["--grace", "10ms"]).unwrap();
    let patient = judged_with(&world, "ends-in-a-while", &["--grace", "5s"]).unwrap();
    let _ = fs::remove_dir_all(&world);
    let names = |said: &[Said]| {
        said.iter()
            .map(|said| said.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&hasty), ["left-behind"]);
    let evidence = &hasty[0].evidence;
    assert!(
        evidence.contains("the grace of 10 ms is over"),
        "{evidence}"
    );
    assert_eq!(names(&patient), [""; 0], "{patient:?}");
}

const HEAD: &str = "\
# What is found, by which rule, and how that is proved

`loop-console leaks` lists what holds now, `loop-console check` fails on it, `loop-console explain NAME` says what is below.
The rules are in `proto/src/finding/rules.rs` and `deadlock.rs`: functions of plain facts. Each is asked of the programs in
`examples/faults/`, whose fault is known, and of healthy ones that look like them:

```sh
cargo test -p loop-examples --test faults -- --nocapture      # the table, with recall and precision
target/debug/examples/faults --list                           # the programs
```

Grades: *certain* cannot become untrue by itself, *left-behind* is a fact about the end of a run, *suspect* may turn out to be
meant so, *warning* is no fault yet. `leak=0` counts the first two, `--deny suspect,warning` the rest.

Made from `proto/src/finding/explain.rs` and the corpus: change those, then run
`UPDATE_DOCS=1 cargo test -p loop-examples --test faults page`.
";

#[test]
fn the_page_of_findings_is_what_the_explanations_and_the_corpus_say() {
    let programs = programs();
    let mut page = HEAD.to_owned();
    let list = |page: &mut String, finds: Option<&str>| {
        let of_it = programs.iter().filter(|p| p.finds.as_deref() == finds);
        for program in of_it {
            let not_yet = NOT_YET.iter().find(|(name, _)| *name == program.name);
            let not_yet =
                not_yet.map_or_else(String::new, |(_, why)| format!(" *Not told yet: {why}.*"));
            *page += &format!("- `{}`: {}{not_yet}\n", program.name, program.says);
        }
    };
    for name in FindingName::ALL {
        let e = name.explain();
        page += &format!(
            "\n## {}\n\n{}\n\n- Grade: {}.\n- Rule: {}\n- Evidence: {}\n- Cause: {}\n- Like: `{}`\n- Fix: {}\n\nPrograms:\n\n",
            e.name, e.summary, e.grade, e.condition, e.evidence, e.cause, e.example, e.fix
        );
        list(&mut page, Some(e.name));
        let missing = NO_PROGRAM.iter().find(|(name, _)| *name == e.name);
        match missing {
            Some((_, why)) => page += &format!("- none: it {why}.\n"),
            None => assert!(
                programs.iter().any(|p| p.finds.as_deref() == Some(e.name)),
                "{} has no program",
                e.name
            ),
        }
    }
    let cause = loop_proto::blocking::CAUSES
        .iter()
        .find(|(cause, ..)| *cause == BlockCause::Throttled);
    let (_, what, fix) = cause.expect("it is a cause");
    page += &format!(
        "\n## throttled\n\nNo finding, but the cause of a poll that is over its budget on the wall only: {what}. `loops`, `blocks` and \
         the report of `check` tell of it; no budget counts it.\n\n- Evidence: What the kernel counted in `cpu.stat` of the control group and \
         those above it while the poll ran, and the quota.\n- Fix: {fix}\n\nPrograms (they need a control group that they may write to, as root \
         has; else they say so and count as not tried):\n\n"
    );
    list(&mut page, Some(THROTTLED));
    page += "\n## healthy\n\nNothing may be said of these.\n\n";
    list(&mut page, None);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/findings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found.replace('\r', "") == page,
        "docs/findings.md is not what the explanations and the corpus say: see its head"
    );
}
