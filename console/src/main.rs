//! The program: arguments in, exit code out. Everything else is in the library.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use loop_console::cli::{self, NotRun};
use loop_console::exit::Exit;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // What: a fault of ours. Why: the panic's own words. What next: where to take it.
        let _ = writeln!(
            std::io::stderr().lock(),
            "loop-console: this is a fault of the console, not of your app: {panic}\n  \
             Please report it with these lines and what you did; RUST_BACKTRACE=1 adds where it came from.\n{}",
            std::backtrace::Backtrace::capture()
        );
    }));
    let (global, command) = match cli::parse(std::env::args_os()) {
        Ok(both) => both,
        Err(NotRun::Said(plain, coloured)) => {
            let text = if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
            {
                coloured
            } else {
                plain
            };
            // Help that nobody reads to its end is no error.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            return Exit::Clean.into();
        }
        Err(NotRun::Wrong(failure)) => return said(&failure),
    };
    match loop_console::commands::run(&global, command) {
        Ok(exit) => exit.into(),
        Err(failure) => said(&failure),
    }
}

fn said(failure: &loop_console::exit::Failure) -> ExitCode {
    // Nothing can be done for somebody who closed stderr.
    let _ = writeln!(std::io::stderr().lock(), "loop-console: {failure}");
    failure.exit.into()
}
