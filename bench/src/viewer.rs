//! A console of this process, started as a user starts it, and what it says at its end. Knows not what is measured.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The console's program: `LOOP_CONSOLE`, or what was built beside the bench.
pub fn console() -> PathBuf {
    std::env::var_os("LOOP_CONSOLE").map_or_else(
        || {
            let own = std::env::current_exe().expect("a running program has a path");
            let target = own.ancestors().nth(2).expect("a bench lies in `deps`");
            target.join("loop-console")
        },
        PathBuf::from,
    )
}

/// A console that follows events of this process, and the last of what it printed.
pub struct Follower {
    console: Child,
    /// Takes in all lines and keeps the end, so that this process does neither.
    tail: Child,
}

impl Follower {
    /// Follows events of these kinds.
    pub fn of(kinds: &str) -> Self {
        let mut console = Command::new(console())
            .args(["events", "--follow", "--kind", kinds])
            .arg(std::process::id().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the console is built: cargo build --release -p loop-console");
        let lines = console.stdout.take().expect("it was asked for");
        let tail = Command::new("tail")
            .args(["-n", "1"])
            .stdin(lines)
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a `tail`");
        Self { console, tail }
    }

    pub fn pid(&self) -> u32 {
        self.console.id()
    }

    pub fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.console), signal).expect("a child can be signalled");
    }

    /// Ends it by Ctrl-C; gives its last line, how many events it was given, and how many it was told are lost.
    ///
    /// Waits: not for the loop's own thread.
    pub fn end(mut self) -> Account {
        self.send(Signal::INT);
        let said = self
            .tail
            .wait_with_output()
            .expect("its end can be waited for");
        self.console.wait().expect("a child can be waited for");
        Account::read(String::from_utf8_lossy(&said.stdout).trim())
    }
}

/// What a follower says at its end: `12000000 events, lost 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub line: String,
    /// `None`: it did not say.
    pub told: Option<(u64, u64)>,
}

impl Account {
    fn read(line: &str) -> Self {
        let told = || -> Option<(u64, u64)> {
            let (given, rest) = line.split_once(" events, lost ")?;
            let lost = rest.split(' ').next()?;
            Some((given.parse().ok()?, lost.parse().ok()?))
        };
        Self {
            told: told(),
            line: line.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_follower_is_its_account() {
        assert_eq!(Account::read("12 events, lost 0").told, Some((12, 0)));
        let some = "12 events, lost 7 (polled 4, woken 3)";
        assert_eq!(Account::read(some).told, Some((12, 7)));
        assert_eq!(Account::read("loop-console: no such app").told, None);
    }
}
