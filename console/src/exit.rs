//! What the process's exit code says, and which of several reasons wins. Knows no command.

use std::process::ExitCode;

/// Why the process ends as it does. The order is that of precedence: of several the first wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Wrong flags, filter, budget or config.
    Usage,
    /// No app, or none that could be reached.
    NoApp,
    /// The app speaks another major version of the protocol.
    VersionGap,
    /// The app refused a command, and said why.
    Refused,
    /// `check`: something is over budget.
    Findings,
    /// Ctrl-C.
    Interrupted,
    /// `check -- CMD`: the command failed by itself.
    Command,
    /// Nothing can be said: no telemetry, losses that matter, a host too noisy.
    Inconclusive,
    /// All is well.
    Clean,
}

impl Exit {
    /// Every reason, with the number and the words that help and docs print.
    pub const TABLE: [(Exit, u8, &'static str); 9] = [
        (Exit::Clean, 0, "clean"),
        (Exit::Findings, 1, "check: findings over budget"),
        (Exit::Usage, 2, "bad usage or config"),
        (Exit::NoApp, 3, "no app, or cannot connect"),
        (Exit::VersionGap, 4, "protocol versions do not fit"),
        (
            Exit::Inconclusive,
            5,
            "inconclusive: no telemetry, losses that matter, or a host too noisy",
        ),
        (
            Exit::Command,
            6,
            "check: CMD failed by itself (its own code is reported)",
        ),
        (Exit::Refused, 7, "the app refused a command"),
        (Exit::Interrupted, 130, "Ctrl-C"),
    ];

    /// The number the shell sees.
    pub fn code(self) -> u8 {
        Self::TABLE
            .iter()
            .find(|(exit, ..)| *exit == self)
            .map(|(_, code, _)| *code)
            .expect("every reason is in the table")
    }

    /// The one of `reasons` that wins; [`Exit::Clean`] if there is none.
    pub fn first(reasons: impl IntoIterator<Item = Exit>) -> Exit {
        reasons.into_iter().min().unwrap_or(Exit::Clean)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Something went wrong: what, why and what next, and the code to leave with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What went wrong, and why; may have several lines.
    pub what: String,
    /// What to do now. Empty: the first part says it.
    pub next: String,
}

impl Failure {
    pub fn new(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> Self {
        Failure {
            exit,
            what: what.into(),
            next: next.into(),
        }
    }

    /// A flag or value that cannot be: exit 2.
    pub fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, what, next)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if !self.next.is_empty() {
            write!(f, "\n  {}", self.next.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_published_ones() {
        let codes: Vec<(Exit, u8)> = Exit::TABLE.iter().map(|(e, c, _)| (*e, *c)).collect();
        assert_eq!(
            codes,
            [
                (Exit::Clean, 0),
                (Exit::Findings, 1),
                (Exit::Usage, 2),
                (Exit::NoApp, 3),
                (Exit::VersionGap, 4),
                (Exit::Inconclusive, 5),
                (Exit::Command, 6),
                (Exit::Refused, 7),
                (Exit::Interrupted, 130),
            ]
        );
        for (exit, code, words) in Exit::TABLE {
            assert_eq!(exit.code(), code);
            assert!(!words.is_empty());
        }
    }

    #[test]
    fn of_two_reasons_the_published_one_wins() {
        // Each wins over all that follow it: 2, 3, 4, then 1, then 6, then 5, and 0 only alone.
        let published = [2, 3, 4, 7, 1, 130, 6, 5, 0];
        let of = |code: u8| {
            Exit::TABLE
                .iter()
                .find(|(_, c, _)| *c == code)
                .expect("a published code")
                .0
        };
        for (at, winner) in published.iter().enumerate() {
            for loser in &published[at..] {
                for pair in [[*winner, *loser], [*loser, *winner]] {
                    assert_eq!(
                        Exit::first(pair.map(of)).code(),
                        *winner,
                        "{winner} against {loser}"
                    );
                }
            }
        }
        assert_eq!(Exit::first([]), Exit::Clean);
    }

    #[test]
    fn a_failure_says_what_and_then_what_next() {
        let failure = Failure::usage("`--for 3` is no duration.", "Write --for 3s.");
        assert_eq!(
            failure.to_string(),
            "`--for 3` is no duration.\n  Write --for 3s."
        );
        assert_eq!(failure.exit.code(), 2);
    }
}
