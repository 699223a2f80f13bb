//! `report` and `history`: one page about everything, and what the app keeps of its last hour, as text for people or JSON for
//! scripts. Knows how to ask; what is said is decided in [`text`] and [`json`].

pub mod dump;
pub mod facts;
pub mod json;
#[cfg(test)]
mod tests;
pub mod text;

use std::io::Write;
use std::path::{Path, PathBuf};

use loop_proto::escape::escape;

use crate::cli::Global;
use crate::commands::{leave_on_interrupt, open, options, said, stopped, utc_offset};
use crate::exit::{Exit, Failure};
use crate::print::Out;
use crate::transport::address::Target;
use crate::transport::connect::Connector;
use crate::transport::discover::Places;
use crate::transport::on_loop;
use facts::{Facts, broken};

/// How wide a report is: what a mail, a terminal and a ticket all hold.
pub const WIDTH: usize = 80;

/// What to print of what was gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    All,
    Hour,
}

/// Prints what was wrong within the last hour.
pub fn history(
    global: &Global,
    target: Option<String>,
    json: bool,
    out: Out,
) -> Result<Exit, Failure> {
    said(compose(global, target.as_deref(), json, Part::Hour, out)?)
}

/// Prints or writes one page about everything.
pub fn report(
    global: &Global,
    target: Option<String>,
    json: bool,
    output: Option<PathBuf>,
    out: Out,
) -> Result<Exit, Failure> {
    let text = compose(global, target.as_deref(), json, Part::All, out)?;
    match output.filter(|path| path.as_os_str() != "-") {
        Some(path) => write(&path, &text).map(|()| Exit::Clean),
        None => said(text),
    }
}

fn compose(
    global: &Global,
    word: Option<&str>,
    json: bool,
    part: Part,
    out: Out,
) -> Result<String, Failure> {
    leave_on_interrupt()?;
    let facts = gather(global, word)?;
    if part == Part::Hour && facts.hour.is_none() && facts.hello.recording.is_some() {
        return Err(Failure::new(
            Exit::Inconclusive,
            format!(
                "The recording of {} (pid {}) does not hold the last hour.",
                escape(&facts.hello.name, 256),
                facts.hello.pid
            ),
            "`loop-console report` tells what it holds.",
        ));
    }
    if part == Part::Hour && facts.hour.is_none() {
        return Err(Failure::new(
            Exit::VersionGap,
            format!(
                "{} (pid {}) does not keep its last hour: its runtime is older than this console.",
                escape(&facts.hello.name, 256),
                facts.hello.pid
            ),
            "`loop-console report` tells what it knows now.",
        ));
    }
    Ok(match (part, json) {
        (Part::All, true) => json::report(&facts),
        (Part::Hour, true) => json::history(&facts),
        (Part::All, false) => text::report(&facts, utc_offset(), out.ascii),
        (Part::Hour, false) => text::history(&facts, utc_offset(), out.ascii),
    })
}

fn gather(global: &Global, word: Option<&str>) -> Result<Facts, Failure> {
    let target = Target::read(word)?;
    let (options, timeout) = (options(global), global.timeout);
    on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let asked = loop_runtime::timeout(timeout * 4, Facts::ask(&session)).await;
        let why = match asked {
            Ok(Ok(facts)) => return Ok(facts),
            Ok(Err(why)) => broken(&why),
            Err(_) => format!(
                "no answer within {}",
                humantime::format_duration(timeout * 4)
            ),
        };
        Err(stopped(&why))
    })?
}

/// Writes a file, readable by its owner: a report names paths and addresses.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let written = open
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        Failure::usage(
            format!(
                "{} cannot be written: {error}.",
                escape(&path.display().to_string(), 1024)
            ),
            "Without -o the report goes to standard output.",
        )
    })
}
