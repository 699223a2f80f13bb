//! The command of `check -- CMD` as a process, and the signals that reach us meanwhile. Knows nothing of verdicts.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::check::judge::End;
use crate::exit::{Exit, Failure};
use crate::transport::mailbox::{self, Receiver, Sender};

/// Ctrl-C and its kin, one after the other.
#[derive(Debug)]
pub struct Interrupts(Receiver<i32>);

impl Interrupts {
    /// From now on the signals come here instead of ending the process.
    ///
    /// Errors: the system refuses a handler or a thread.
    pub fn listen() -> Result<Self, Failure> {
        let refused = |error: io::Error| {
            Failure::new(
                Exit::NoApp,
                format!("Signals cannot be listened to: {error}."),
                "Raise the limits of this session.",
            )
        };
        let (sender, receiver) = mailbox::mailbox();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if !sender.send(signal) {
                        return;
                    }
                }
            })
            .map_err(refused)?;
        Ok(Interrupts(receiver))
    }

    /// The next one. Never ends: without a signal it waits for ever.
    pub async fn next(&mut self) -> i32 {
        match self.0.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// The variable by which an app knows where its flight recorder writes.
const DUMPS: &str = "LOOP_CONSOLE_DUMP_DIR";

/// A command that runs.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// It leads a group of its own, so that all it started can be reached.
    group: bool,
}

/// Starts the command; `ended` makes a message of its end.
///
/// `dumps`: where the flight recorders of its processes write, if they are to.
///
/// Its standard streams are ours. It gets a process group of its own, except at a terminal: there a group in the background
/// could not read what is typed.
///
/// Errors: there is no such program, or it may not be run.
pub fn start<T: Send + 'static>(
    command: &[OsString],
    socket: &Path,
    dumps: Option<&Path>,
    mail: Sender<T>,
    ended: impl FnOnce(End) -> T + Send + 'static,
) -> io::Result<Child> {
    let group = !io::stdin().is_terminal();
    let mut value = OsString::from("connect:");
    value.push(socket);
    let mut process = Command::new(&command[0]);
    process
        .args(&command[1..])
        .env(loop_proto::endpoint::WISH, value);
    if let Some(dumps) = dumps {
        process.env(DUMPS, dumps);
    }
    if group {
        process.process_group(0);
    }
    let mut child = process.spawn()?;
    let pid = Pid::from_child(&child);
    std::thread::Builder::new()
        .name("wait".to_owned())
        .spawn(move || {
            let end = match child.wait() {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => End::Code(code),
                    (None, Some(signal)) => End::Signal(signal),
                    (None, None) => End::Code(-1),
                },
                // Somebody else waited for it: its code is lost, which is no success.
                Err(_) => End::Code(-1),
            };
            mail.send(ended(end));
        })?;
    Ok(Child { pid, group })
}

impl Child {
    /// Sends a signal to it and to all that it started.
    pub fn signal(&self, number: i32) {
        let Some(signal) = Signal::from_named_raw(number) else {
            return;
        };
        // Whoever is gone already needs no signal.
        if self.group {
            let _ = rustix::process::kill_process_group(self.pid, signal);
            return;
        }
        for pid in descendants(self.pid.as_raw_nonzero().get())
            .into_iter()
            .filter_map(Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ctrl-C at a terminal reaches the whole foreground group, this process's children too.
    pub fn forward(&self, number: i32) {
        if self.group || number != SIGINT {
            self.signal(number);
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(SIGTERM);
    }

    /// Ends it.
    pub fn kill(&self) {
        self.signal(signal_hook::consts::SIGKILL);
    }
}

/// A process and all that it started, as far as the parents still live; itself first.
fn descendants(root: i32) -> Vec<i32> {
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name is in brackets and may hold anything, brackets too.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut out = vec![root];
    let mut at = 0;
    while at < out.len() {
        let of = out[at];
        out.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == of)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_its_own_first_descendant_and_its_child_the_next() {
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        let us = i32::try_from(std::process::id()).expect("a pid");
        let found = descendants(us);
        assert_eq!(found[0], us);
        assert!(
            found.contains(&i32::try_from(child.id()).expect("a pid")),
            "{found:?}"
        );
        drop(child.stdin.take());
        child.wait().expect("cat ends with its input");
    }
}
