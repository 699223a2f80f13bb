//! The gate's report for people: one line when all is well, a paragraph a problem otherwise; and GitHub's annotations.

use crate::check::judge::{Judged, Problem, Report};
use crate::exit::Exit;
use crate::print::safe;
use crate::view::fmt;

/// The report as text. `quiet`: nothing when all is well.
pub fn text(report: &Report, ascii: bool, quiet: bool) -> String {
    let mut out = String::new();
    for judged in &report.judged {
        for problem in &judged.problems {
            out.push_str(&paragraph(judged, problem, ascii));
        }
        for doubt in &judged.doubts {
            out.push_str(&format!(
                "inconclusive: {}: {}\n",
                safe(&judged.evidence.label(), ascii),
                safe(doubt, ascii)
            ));
        }
    }
    if !(quiet && report.exit() == Exit::Clean) {
        for judged in &report.judged {
            out.push_str(&throttled(judged, ascii));
        }
    }
    for gap in &report.gaps {
        out.push_str(&format!("versions do not fit: {}\n", safe(gap, ascii)));
    }
    for doubt in &report.doubts {
        out.push_str(&format!("inconclusive: {}\n", safe(doubt, ascii)));
    }
    if let Some(end) = report
        .command
        .filter(|end| end.failed() && !report.interrupted)
    {
        out.push_str(&format!("the command failed by itself: {}\n", end.words()));
    }
    if !(quiet && report.exit() == Exit::Clean) {
        out.push_str(&summary(report, ascii));
    }
    out
}

/// What a CPU quota held up, which counts as nothing: one line a run, of the worst.
fn throttled(judged: &Judged, ascii: bool) -> String {
    let all: Vec<_> = judged.evidence.throttled().collect();
    let Some(worst) = all.iter().max_by_key(|b| b.at_most_ns.unwrap_or(b.for_ns)) else {
        return String::new();
    };
    let polls = fmt::many(all.len() as u64, "poll");
    let was = if all.len() == 1 { "was" } else { "were" };
    let line = format!(
        "throttled: {}: {polls} {was} over budget by the clock on the wall only, and not counted: the worst held its loop for at most {} and was throttled {}",
        judged.evidence.label(),
        fmt::span(worst.at_most_ns.unwrap_or(worst.for_ns)),
        worst.cause_reason,
    );
    format!("{}\n", safe(&line, ascii))
}

fn summary(report: &Report, ascii: bool) -> String {
    let verdict = match report.exit() {
        Exit::Clean => "clean".to_owned(),
        Exit::Findings => format!(
            "{} over budget",
            fmt::many(report.problems() as u64, "finding")
        ),
        Exit::Command => "no findings, but the command failed".to_owned(),
        Exit::Interrupted => "interrupted".to_owned(),
        Exit::VersionGap => "another protocol version".to_owned(),
        _ => "inconclusive".to_owned(),
    };
    let tests = report
        .judged
        .iter()
        .filter(|j| !j.evidence.test.is_empty())
        .count();
    let mut line = format!(
        "loop-console check: {verdict}: {} process{}",
        report.processes,
        if report.processes == 1 { "" } else { "es" }
    );
    line.push_str(&if tests > 0 {
        format!(", {}", fmt::many(tests as u64, "test"))
    } else {
        format!(", {}", fmt::many(report.judged.len() as u64, "run"))
    });
    if let Some(worst) = report.worst_poll_ns() {
        line.push_str(&format!(
            ", longest poll {}",
            safe(&fmt::span(worst), ascii)
        ));
    }
    line.push_str(&format!(
        ", budget {} ({})\n",
        report.budget,
        safe(&fmt::span(report.took_ns), ascii)
    ));
    line
}

/// One problem:
///
/// ```text
/// blocked (certain) src/report.rs:88:9, over block=100ms
///   task 12 render, 412ms, cause: syscall (read)
///   Held its loop for at least 412ms and at most 413ms (budget 100ms).
///   test api::slow in api (pid 48211)
/// ```
fn paragraph(judged: &Judged, p: &Problem, ascii: bool) -> String {
    let mut out = format!("{} ({})", p.name, p.grade);
    if !p.place.is_empty() {
        out.push_str(&format!(" {}", safe(&p.place, ascii)));
    }
    out.push_str(&format!(", over {}\n", safe(&p.limit, ascii)));
    let mut about: Vec<String> = Vec::new();
    about.extend(Some(p.subject.clone()).filter(|s| !s.is_empty()));
    about.extend(p.duration_ns.map(fmt::span));
    if p.count > 1 {
        about.push(format!("{} times", fmt::count(p.count)));
    }
    if !p.cause.is_empty() {
        about.push(format!("cause: {}", p.cause));
    }
    for line in Some(about.join(", "))
        .filter(|l| !l.is_empty())
        .iter()
        .chain(&p.facts)
        .chain([&judged.evidence.label()])
    {
        out.push_str(&format!("  {}\n", safe(line, ascii)));
    }
    out
}

/// The report as annotations of GitHub's workflows: each at the file and line it is about.
pub fn github(report: &Report) -> String {
    let mut out = String::new();
    for judged in &report.judged {
        for p in &judged.problems {
            let mut at = String::new();
            if let Some((file, line, column)) = place(&p.place) {
                at = format!("file={},line={line},col={column},", property(file));
            }
            let mut lines = vec![format!("{} {}", p.name, p.subject).trim().to_owned()];
            lines.extend(p.facts.iter().cloned());
            lines.extend(Some(format!("cause: {}", p.cause)).filter(|_| !p.cause.is_empty()));
            lines.push(judged.evidence.label());
            out.push_str(&format!(
                "::error {at}title={}::{}\n",
                property(&format!("{} over {}", p.name, p.limit)),
                message(&lines.join("\n"))
            ));
        }
        for doubt in &judged.doubts {
            out.push_str(&format!(
                "::warning title=inconclusive::{}\n",
                message(&format!("{}: {doubt}", judged.evidence.label()))
            ));
        }
    }
    for doubt in &report.doubts {
        out.push_str(&format!(
            "::warning title=inconclusive::{}\n",
            message(doubt)
        ));
    }
    out
}

/// `file:line:column` in its parts, the file relative to where we are if it lies below.
fn place(place: &str) -> Option<(&str, u32, u32)> {
    let mut parts = place.rsplitn(3, ':');
    let (column, line, file) = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?,
    );
    Some((file, line, column))
}

/// What a workflow command takes for a property; a line feed of the app must not begin another command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

fn message(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| safe(line, false).replace('%', "%25"))
        .collect();
    lines.join("%0A")
}

#[cfg(test)]
mod tests;
