//! Child processes: started, talked to through pipes, signalled, awaited, always reaped.
//!
//! A child's exit is heard of whether anybody awaits it or not, so none stays a zombie; a child
//! that is dropped while it runs is killed, unless told otherwise. Unix only.

mod child;
mod command;
mod communicate;
mod exit;
mod kernel;
mod pipe;
#[cfg(test)]
mod tests;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::{Child, Wait};
pub use command::{Command, Spawn, create_subprocess_exec, create_subprocess_shell};
pub use communicate::{Communicate, Finish};
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
