//! The gate: judges a running app, or every process of a command that embeds the runtime. This file says in which order things
//! happen; what is over budget is decided in [`judge`](mod@judge), from values.

pub mod child;
pub mod evidence;
pub mod files;
pub mod gate;
pub mod judge;
pub mod report;
pub mod watch;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::{Check, Format, Global, Subject};
use crate::exit::{Exit, Failure};
use crate::transport::address::Target;
use crate::transport::connect::{Connector, failure};
use crate::transport::discover::Places;
use crate::transport::{Options, on_loop};
use judge::{Report, judge};

/// How long a running app is looked at unless `--for` says so.
const LOOK: Duration = Duration::from_secs(10);

/// Judges, prints and writes; the code to leave with.
///
/// Errors: nothing could be judged at all, or a report cannot be written.
pub fn check(global: &Global, check: &Check) -> Result<Exit, Failure> {
    // A report that cannot be written is bad usage, and better known before the command has run for an hour.
    for file in [&check.junit, &check.json]
        .into_iter()
        .flatten()
        .filter(|f| **f != Path::new("-"))
    {
        write(file, "")?;
    }
    if let Some(directory) = &check.dumps {
        takes_files(directory)?;
    }
    let began = Instant::now();
    let mut report = match &check.subject {
        Subject::Target(word) => running(global, check, word.as_deref())?,
        Subject::Command(command) => gate::run(global, check, command)?,
    };
    report.took_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    say(global, check, &report)?;
    Ok(report.exit())
}

/// Judges an app that runs: what happens while it is looked at.
fn running(global: &Global, check: &Check, word: Option<&str>) -> Result<Report, Failure> {
    let target = Target::read(word)?;
    if target.recording().is_some() {
        return Err(Failure::usage(
            "A recording cannot be judged: a gate looks at what an app does, and this one does nothing any more.",
            "`loop-console report` prints its findings and blocks.",
        ));
    }
    let options = Options {
        control: false,
        timeout: global.timeout,
        via: global.via.clone(),
    };
    let (budget, deny) = (check.budget.clone(), check.deny.clone());
    let time = check.time.unwrap_or(LOOK);
    let interrupts = child::Interrupts::listen()?;
    let (evidence, interrupted) = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = match connector.open(&target).await {
            Ok(session) => session,
            Err(not_there) => return Err(failure(&target, not_there)),
        };
        watch::for_a_while(&session, time, interrupts).await
    })??;
    Ok(Report {
        budget: budget.clone(),
        judged: vec![judge(evidence, &budget, &deny)],
        processes: 1,
        interrupted,
        ..Report::default()
    })
}

fn say(global: &Global, check: &Check, report: &Report) -> Result<(), Failure> {
    let mut text = match check.format {
        Format::Text => String::new(),
        Format::Github => report::github(report),
    };
    if check.format == Format::Text || report.exit() != Exit::Clean || !global.quiet {
        text.push_str(&report::text(report, global.ascii, global.quiet));
    }
    // The command's own output owns stdout; so does a report on stdout.
    let ours = matches!(check.subject, Subject::Target(_))
        && check.json.as_deref() != Some(Path::new("-"));
    if ours {
        crate::print::say(&text)
            .map_err(|error| cannot_write(Path::new("standard output"), &error))?;
    } else {
        // Nothing can be done for somebody who closed stderr.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
    if let Some(file) = &check.junit {
        write(file, &files::junit(report))?;
    }
    match check.json.as_deref() {
        Some(file) if file == Path::new("-") => {
            crate::print::say(&files::json(report)).map_err(|error| cannot_write(file, &error))?;
        }
        Some(file) => write(file, &files::json(report))?,
        None => {}
    }
    Ok(())
}

/// Makes the directory of the dumps as the programs would, and a file in it for a moment: they can only log that they failed.
fn takes_files(directory: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let trial = directory.join(format!(".loop-console-{}", std::process::id()));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| std::fs::write(&trial, ""))
        .and_then(|()| std::fs::remove_file(&trial))
        .map_err(|error| {
            Failure::usage(
                format!(
                    "No dump can be written to {}: {error}.",
                    loop_proto::escape::escape(&directory.display().to_string(), 1024)
                ),
                "Name a directory of yours with --dumps.",
            )
        })
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(
        format!("{} cannot be written: {error}.", file.display()),
        "Name a file in a directory that exists.",
    )
}
