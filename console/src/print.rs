//! What one-shot commands print: tables for people, JSON for scripts. Values in, text out; the only thing known of the world is
//! [`Out`], where the text goes.

pub mod columns;
pub mod events;
pub mod json;
pub mod plain;
pub mod task;
pub mod tree;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use loop_proto::escape::{escape, escape_ascii};

/// No text of the app is cut when it is printed; this only bounds what a hostile one can do.
const LONGEST: usize = 64 * 1024;

/// Text of the app, safe to print on one line.
pub fn safe(text: &str, ascii: bool) -> Cow<'_, str> {
    if ascii {
        escape_ascii(text, LONGEST)
    } else {
        escape(text, LONGEST)
    }
}

/// Where output goes, and what may be there.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// Columns of the terminal; `None`: not a terminal, nothing is cut.
    pub width: Option<u16>,
    pub ascii: bool,
}

impl Out {
    /// Standard output as it is.
    pub fn stdout(ascii: bool) -> Self {
        let width = io::stdout()
            .is_terminal()
            .then(|| crossterm::terminal::size().map_or(80, |(width, _)| width));
        Out { width, ascii }
    }
}

/// Prints to standard output. `false`: nobody reads any more (`| head -1`), which is no error.
///
/// Errors: what the system says, a full disk for instance.
pub fn say(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a block can be caused by, and what to do about each.
pub fn causes() -> String {
    let mut text = "\nCauses of a block, and what to do about each:\n".to_owned();
    for (cause, what, advice) in loop_proto::blocking::CAUSES {
        let word = match cause {
            loop_proto::pb::BlockCause::Unspecified => "unknown".to_owned(),
            _ => cause.as_str_name()["BLOCK_CAUSE_".len()..]
                .to_lowercase()
                .replace('_', "-"),
        };
        text.push_str(&format!("  {word:<10} {what}.\n  {:<10} {advice}\n", ""));
    }
    text.push_str("Where the call or the stack tells what is waited for:\n");
    for (what, advice) in loop_proto::blocking::WAITS {
        text.push_str(&format!("  {what}: {advice}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
