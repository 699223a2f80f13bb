//! The flight recorder's rules: what causes a dump, how often, how its file is called, and which
//! old ones go. Knows no loop and no recording; `disk` alone knows files.
//!
//! Nothing is written that nobody asked for: without a directory or causes in the environment or
//! the builder, only a viewer's command writes.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

#[cfg(unix)]
pub(crate) mod disk;
pub(crate) mod log;
#[cfg(test)]
mod tests;

/// The variable that names the directory of dumps, and so turns them on.
pub(crate) const DIRECTORY: &str = "LOOP_CONSOLE_DUMP_DIR";
/// The variable that says what causes dumps: `block,leak,signal=USR2`, or `off`.
pub(crate) const CAUSES: &str = "LOOP_CONSOLE_DUMP";

/// Why a dump is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Cause {
    Block,
    Leak,
    Deadlock,
    Panic,
    Signal,
    Asked,
    Test,
}

impl Cause {
    pub(crate) const ALL: [Self; 7] = [
        Self::Block,
        Self::Leak,
        Self::Deadlock,
        Self::Panic,
        Self::Signal,
        Self::Asked,
        Self::Test,
    ];

    /// Its word, in file names, on screens and in the environment.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Leak => "leak",
            Self::Deadlock => "deadlock",
            Self::Panic => "panic",
            Self::Signal => "signal",
            Self::Asked => "asked",
            Self::Test => "test",
        }
    }

    /// The time in which a second dump of the cause is held back, nanoseconds.
    fn gap(self) -> u64 {
        match self {
            // Somebody wants it now; but a key that is held down is not meant so often.
            Self::Asked | Self::Signal => 1_000_000_000,
            // Each failing test is a fault of its own.
            Self::Test => 0,
            _ => 60_000_000_000,
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Several causes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Set(u8);

impl Set {
    pub(crate) fn has(self, cause: Cause) -> bool {
        // A command is its own permission.
        cause == Cause::Asked || self.0 & cause.bit() != 0
    }

    /// Whether anything but a command causes a dump.
    pub(crate) fn any(self) -> bool {
        self.0 & !Cause::Asked.bit() != 0
    }

    /// What is in one of them.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words of all of them.
    pub(crate) fn words(self) -> Vec<&'static str> {
        let all = Cause::ALL.into_iter();
        let set = all.filter(|cause| self.0 & cause.bit() != 0 && *cause != Cause::Asked);
        set.map(Cause::word).collect()
    }

    /// What a directory alone turns on: a signal may be the app's, so it is named or it is not.
    pub(crate) fn usual() -> Self {
        let usual = Cause::ALL
            .into_iter()
            .filter(|cause| *cause != Cause::Signal);
        Self(usual.fold(0, |bits, cause| bits | cause.bit()))
    }
}

/// What the builder and the environment want.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wish {
    /// `None`: a directory beside the sockets.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) causes: Set,
    /// The signal that causes a dump, as it is called: `USR2`.
    pub(crate) signal: Option<Named>,
    /// What was not understood, as a sentence.
    pub(crate) trouble: String,
}

/// A signal by its number and its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) number: i32,
}

/// The signals that an app has for its own use, or for its terminal.
#[cfg(unix)]
const SIGNALS: [Named; 4] = [
    Named {
        name: "USR1",
        number: signal_hook::consts::SIGUSR1,
    },
    Named {
        name: "USR2",
        number: signal_hook::consts::SIGUSR2,
    },
    Named {
        name: "HUP",
        number: signal_hook::consts::SIGHUP,
    },
    Named {
        name: "QUIT",
        number: signal_hook::consts::SIGQUIT,
    },
];
#[cfg(not(unix))]
const SIGNALS: [Named; 0] = [];

/// The signal of that name, with or without `SIG` before it.
pub(crate) fn signal(name: &str) -> Option<Named> {
    let name = name.trim().to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    SIGNALS.into_iter().find(|known| known.name == name)
}

/// The signal of that number.
pub(crate) fn by_number(number: i32) -> Option<Named> {
    SIGNALS.into_iter().find(|known| known.number == number)
}

impl Wish {
    /// Reads the environment, which wins over what the builder says.
    pub(crate) fn read(built: &Wish, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut wish = built.clone();
        if let Some(directory) = set(DIRECTORY) {
            wish.directory = Some(PathBuf::from(directory));
        }
        match set(CAUSES) {
            Some(text) => wish.take_causes(&text),
            None if wish.directory.is_some() => wish.causes.0 |= Set::usual().0,
            None => {}
        }
        if wish
            .directory
            .as_ref()
            .is_some_and(|path| path.is_relative())
        {
            // What is relative now may mean another place once the app changes its directory.
            wish.directory = wish
                .directory
                .and_then(|path| std::path::absolute(path).ok());
        }
        wish
    }

    fn take_causes(&mut self, text: &OsStr) {
        let text = text.to_string_lossy();
        (self.causes, self.signal) = (Set::default(), None);
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let (word, value) = word.split_once('=').unwrap_or((word, ""));
            let known = Cause::ALL.into_iter().find(|cause| cause.word() == word);
            match (known, word) {
                (_, "off") => {
                    (self.causes, self.signal) = (Set::default(), None);
                    return;
                }
                (_, "on") => self.causes.0 |= Set::usual().0,
                (Some(Cause::Signal), _) => {
                    let name = if value.is_empty() { "USR2" } else { value };
                    self.signal = signal(name);
                    if self.signal.is_some() {
                        self.causes.0 |= Cause::Signal.bit();
                    } else {
                        self.trouble = format!(
                            "{CAUSES}: a dump cannot be caused by the signal {:?}",
                            name.chars().take(32).collect::<String>()
                        );
                    }
                }
                (Some(cause), _) => self.causes.0 |= cause.bit(),
                (None, _) => {
                    self.trouble = format!(
                        "{CAUSES}: {:?} is no cause; there are block, leak, deadlock, panic, \
                         test, signal=USR2, and on or off",
                        word.chars().take(32).collect::<String>()
                    );
                }
            }
        }
    }

    /// Has the builder ask for dumps in a directory.
    pub(crate) fn want_in(&mut self, directory: PathBuf) {
        self.directory = Some(directory);
        self.causes.0 |= Set::usual().0;
    }

    /// Has the builder ask for dumps by a signal.
    pub(crate) fn want_on(&mut self, signal: Named) {
        self.signal = Some(signal);
        self.causes.0 |= Cause::Signal.bit();
    }
}

/// How much may lie on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Kept in a directory, of all processes that write there.
pub(crate) const LIMITS: Limits = Limits {
    files: 16,
    bytes: 64 << 20,
};

/// When each cause last wrote.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: [Option<u64>; Cause::ALL.len()],
    /// Causes that wrote nothing since another of the kind had, shortly before.
    pub(crate) suppressed: u64,
}

impl Pace {
    /// Whether a dump may be written now for `cause`; counts it if not.
    pub(crate) fn admit(&mut self, cause: Cause, now: u64) -> bool {
        let last = &mut self.last[cause as usize];
        if last.is_some_and(|last| now.saturating_sub(last) < cause.gap()) {
            self.suppressed += 1;
            return false;
        }
        *last = Some(now);
        true
    }
}

/// The ending of dumps.
const ENDING: &str = ".dump.rec";

/// `shop-api-48211-20261125T140225.123Z-block.dump.rec`: the order of names of one app is that of
/// time.
pub(crate) fn file_name(app: &str, pid: u32, unix_ns: u64, cause: Cause) -> String {
    let app: String = app
        .chars()
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => letter,
            _ => '-',
        })
        .take(40)
        .collect();
    // A name that begins with a dot is hidden, and one with a dash is an option to many a tool.
    let app = app.trim_start_matches(['.', '-']);
    let app = if app.is_empty() { "app" } else { app };
    let cause = cause.word();
    format!("{app}-{pid}-{}-{cause}{ENDING}", stamp(unix_ns))
}

/// Whether a file of that name is one of ours to remove, and when it was written, as text.
pub(crate) fn read_name(name: &str) -> Option<&str> {
    let rest = name.strip_suffix(ENDING)?;
    let (rest, cause) = rest.rsplit_once('-')?;
    Cause::ALL.into_iter().find(|known| known.word() == cause)?;
    let (rest, stamp) = rest.rsplit_once('-')?;
    let (_, pid) = rest.rsplit_once('-')?;
    let fits = stamp.len() == 20 && stamp.ends_with('Z') && stamp.as_bytes()[8] == b'T';
    (fits && pid.parse::<u32>().is_ok()).then_some(stamp)
}

/// A moment of the wall's clock as `20261125T140225.123Z`.
fn stamp(unix_ns: u64) -> String {
    let (ms, s) = (unix_ns / 1_000_000 % 1_000, unix_ns / 1_000_000_000);
    let (day, s) = (s / 86_400, s % 86_400);
    let (year, month, date) = civil(day as i64);
    let (h, m, s) = (s / 3_600, s / 60 % 60, s % 60);
    format!("{year:04}{month:02}{date:02}T{h:02}{m:02}{s:02}.{ms:03}Z")
}

/// Year, month and day of a number of days since 1970.
///
/// Source: Howard Hinnant, `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, date)
}

/// A file of a directory of dumps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// Which of `files` go so that one more of `bytes` fits, the oldest first.
pub(crate) fn excess(files: &[Kept], bytes: u64, limits: Limits) -> Vec<&str> {
    let mut ours: Vec<(&str, &Kept)> = files
        .iter()
        .filter_map(|file| Some((read_name(&file.name)?, file)))
        .collect();
    ours.sort();
    let mut count = ours.len() + 1;
    let mut sum: u64 = ours.iter().map(|(_, file)| file.bytes).sum::<u64>() + bytes;
    let mut go = Vec::new();
    for (_, file) in ours {
        if count <= limits.files && sum <= limits.bytes {
            break;
        }
        count -= 1;
        sum -= file.bytes;
        go.push(file.name.as_str());
    }
    go
}
