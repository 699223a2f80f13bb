//! What `#[loop_runtime::main]` calls: runs the future, and turns a run's error into an exit code.

use std::future::Future;

use super::Builder;
use crate::event_loop::RunError;

/// Runs `main`; a run without a value ends the process, with its text on stderr.
#[doc(hidden)]
#[track_caller]
pub fn main<F>(builder: Builder, main: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    match builder.run(main) {
        Ok(value) => value,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{error}");
            // 130 is what a shell reports for a process that Ctrl-C ended.
            std::process::exit(if error == RunError::Interrupted {
                130
            } else {
                1
            })
        }
    }
}
