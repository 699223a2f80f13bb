//! The command line: which words are understood, and what they mean. Knows no app and prints nothing: it turns arguments into
//! a [`Command`] or a [`Failure`].

mod args;
mod grammar;
mod wanted;

use std::ffi::OsString;

use clap::Parser;
use loop_proto::filter::ParseError;

pub use args::{Format, When};
pub use wanted::{Check, Command, Deny, Do, Events, Global, List, Subject, Tree, What};

use crate::exit::Failure;
use crate::store::control::Deed;
use crate::transport::address::RECORDING;
use args::{Cli, DumpArgs, OnTask, OnceArgs, ReportArgs, Sub, TaskArgs};
use grammar::{check, events, fields, list, set};

/// Why there is nothing to do: the text to print and the code to leave with. Help and version are no errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// Asked for: to stdout, exit 0. Second: with colours.
    Said(String, String),
    Wrong(Failure),
}

/// Reads the arguments, the program's own name first.
pub fn parse<I, T>(args: I) -> Result<(Global, Command), NotRun>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = Cli::try_parse_from(args).map_err(|error| {
        let rendered = error.render();
        if error.use_stderr() {
            let text = rendered.to_string();
            let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text);
            NotRun::Wrong(Failure::usage(text.trim_end(), ""))
        } else {
            NotRun::Said(rendered.to_string(), rendered.ansi().to_string())
        }
    })?;
    let command = match (cli.target, cli.command) {
        (target, None) => Ok(Command::Connect { target }),
        (None, Some(sub)) => command(sub),
        (Some(target), Some(_)) => Err(Failure::usage(
            format!(
                "The target `{}` stands before the command.",
                loop_proto::escape::escape(&target, 64)
            ),
            "Write the command first: loop-console tasks shop-api.",
        )),
    };
    let global = cli.global;
    let global = Global {
        color: global.color,
        ascii: global.ascii || flag("LOOP_CONSOLE_ASCII"),
        mouse: !(global.no_mouse || flag("LOOP_CONSOLE_NO_MOUSE")),
        timeout: global.timeout,
        via: global.via,
        control: global.control || flag("LOOP_CONSOLE_CONTROL"),
        verbose: global.verbose,
        quiet: global.quiet,
    };
    command
        .map(|command| (global, command))
        .map_err(NotRun::Wrong)
}

/// A flag given by the environment: set, not empty, not `0`.
fn flag(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// A word that names a recording, said to do so.
fn recorded(word: String) -> String {
    match word.strip_prefix(RECORDING) {
        Some(_) => word,
        None => format!("{RECORDING}{word}"),
    }
}

fn command(sub: Sub) -> Result<Command, Failure> {
    Ok(match sub {
        Sub::Connect { target } => Command::Connect { target },
        // The same screens, and a target that says that it is no app.
        Sub::Open { recording } => Command::Connect {
            target: Some(recorded(recording.unwrap_or_default())),
        },
        Sub::Ps(ps) => Command::Ps {
            json: fields(ps.json, crate::print::json::APP, "ps")?,
        },
        Sub::Tasks(args) => list(What::Tasks, args)?,
        Sub::Loops(args) => list(What::Loops, args)?,
        Sub::Timers(args) => list(What::Timers, args)?,
        Sub::Io(args) => list(What::Io, args)?,
        Sub::Leaks(args) => list(What::Leaks, args)?,
        Sub::Resources(args) => list(What::Resources, args)?,
        Sub::Jobs(args) => list(What::Jobs, args)?,
        Sub::Children(args) => list(What::Children, args)?,
        Sub::Signals(args) => list(What::Signals, args)?,
        Sub::Blocks(args) => list(What::Blocks, args)?,
        Sub::Task(TaskArgs { id, target, json }) => Command::Task { id, target, json },
        Sub::Tree(args) => Command::Tree(Tree {
            target: args.target,
            of: args.of,
            filter: args.filter,
            json: args.json,
        }),
        Sub::Events(args) => events(args)?,
        Sub::History(OnceArgs { target, json }) => Command::History { target, json },
        Sub::Report(ReportArgs { once, output }) => Command::Report {
            target: once.target,
            json: once.json,
            output,
        },
        Sub::Cancel(OnTask { id, target, json }) => Command::Do(Do {
            deed: Deed::Cancel { task: id },
            target,
            json,
        }),
        Sub::Nudge(OnTask { id, target, json }) => Command::Do(Do {
            deed: Deed::Nudge { task: id },
            target,
            json,
        }),
        Sub::Set(args) => set(args)?,
        Sub::Find(OnceArgs { target, json }) => Command::Do(Do {
            deed: Deed::Find,
            target,
            json,
        }),
        Sub::Cost(OnceArgs { target, json }) => Command::Cost { target, json },
        Sub::Check(args) => check(args)?,
        Sub::Dump(DumpArgs { once, reason }) => Command::Dump {
            target: once.target,
            json: once.json,
            reason,
        },
        Sub::Relay { target } => Command::Relay { target },
        Sub::Explain { name } => Command::Explain { name },
        Sub::Keys => Command::Keys,
    })
}

/// A fault in a value that has a grammar of its own, with a caret under the spot.
///
/// ```text
/// --filter: There is no field `sate`; … Did you mean state?
///   sate=wait
///   ^^^^
/// ```
pub fn pointed(flag: &str, text: &str, error: &ParseError) -> Failure {
    use loop_proto::escape::{LINE, escape};
    let split = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (from, to) = (split(error.offset), split(error.offset + error.length));
    let shown = |part: &str| escape(part, LINE).into_owned();
    let before = crate::view::fmt::width(&shown(&text[..from]));
    let marks = crate::view::fmt::width(&shown(&text[from..to])).max(1);
    Failure::usage(
        format!(
            "{flag}: {}\n\n  {}\n  {}{}",
            escape(&error.to_string(), 4 * LINE),
            shown(text),
            " ".repeat(before),
            "^".repeat(marks)
        ),
        "",
    )
}

/// What is said of a target that may have been meant as a command.
pub fn meant_command(word: &str) -> Option<String> {
    use clap::CommandFactory;
    let known: Vec<String> = Cli::command()
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    loop_proto::suggest::nearest(word, known.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests;
