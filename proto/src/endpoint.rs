//! Where an app listens and a console looks: directories, file names, the note beside a socket and
//! `LOOP_CONSOLE`. Both ends take them from here, so that they agree. Knows no file, socket or
//! environment: who calls it hands in what it read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest path that a unix socket's address holds, its closing zero taken off.
pub const MAX_PATH: usize = 107;

/// The variable that says whether an app is to be seen: see [`Wish`].
pub const WISH: &str = "LOOP_CONSOLE";

/// The variable that names the directory of sockets, before all others.
pub const DIRECTORY: &str = "LOOP_CONSOLE_DIR";

/// The authority that a console names over a unix socket; an app answers no other.
pub const AUTHORITY: &str = "loop-console";

/// The directories in which an app of user `uid` may put its socket, best first.
///
/// The app takes the first that it can write and that keeps the path within [`MAX_PATH`]; a console
/// looks in all of them. `variable` reads the environment. Directories that are not absolute are
/// left out: they would mean another place to the other end.
pub fn directories(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> Vec<PathBuf> {
    let named = |name: &str| variable(name).filter(|value| !value.is_empty());
    let below = |name: &str| named(name).map(|dir| Path::new(&dir).join("loop-console"));
    // A service's RUNTIME_DIRECTORY may name several, with colons between them.
    let service = named("RUNTIME_DIRECTORY").map(|dirs| {
        let dirs = dirs.to_string_lossy().into_owned();
        Path::new(dirs.split(':').next().unwrap_or_default()).join("loop-console")
    });
    let mut out: Vec<PathBuf> = Vec::new();
    let candidates = [
        named(DIRECTORY).map(PathBuf::from),
        below("XDG_RUNTIME_DIR"),
        service,
        Some(fallback(uid)),
    ];
    for directory in candidates.into_iter().flatten() {
        if directory.is_absolute() && !out.contains(&directory) {
            out.push(directory);
        }
    }
    out
}

/// The directory that needs no environment. Never TMPDIR: the other end has another one.
#[must_use]
pub fn fallback(uid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/loop-console-{uid}"))
}

/// The name of an app's socket. `start` tells two processes of one pid apart: the clock ticks
/// after boot at which the kernel started it, or any number that only it has.
#[must_use]
pub fn socket_name(pid: u32, start: u64) -> String {
    format!("{pid}-{start}.sock")
}

/// Reads [`socket_name`] back: pid and start.
#[must_use]
pub fn read_socket_name(name: &OsStr) -> Option<(u32, u64)> {
    let (pid, start) = name.to_str()?.strip_suffix(".sock")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (number(pid) && number(start)).then_some(())?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// The start of a process as a socket's name has it, from what its `/proc/PID/stat` says: clock ticks
/// after boot. Pids are used again, the two together are not.
#[must_use]
pub fn read_start(stat: &str) -> Option<u64> {
    // The name before it may hold blanks and brackets; the last bracket ends it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The path of the note beside a socket.
#[must_use]
pub fn note_path(socket: &Path) -> PathBuf {
    socket.with_extension("json")
}

/// The path of the recording beside a socket.
#[must_use]
pub fn recording_path(socket: &Path) -> PathBuf {
    socket.with_extension(crate::recording::EXTENSION)
}

/// Reads the name of [`recording_path`] back: pid and start.
#[must_use]
pub fn read_recording_name(name: &OsStr) -> Option<(u32, u64)> {
    let stem = name
        .to_str()?
        .strip_suffix(crate::recording::EXTENSION)?
        .strip_suffix('.')?;
    read_socket_name(OsStr::new(&format!("{stem}.sock")))
}

/// The directories in which the recordings of user `uid` lie: those of sockets, and [`memory`].
///
/// A recording is called as its socket was, `<pid>-<start>.rec` ([`read_recording_name`]), and stays
/// when the socket goes. Whose it is stands in its head, and the process has it locked (`flock`)
/// while it lives.
pub fn recording_directories(
    variable: impl Fn(&str) -> Option<OsString>,
    uid: u32,
) -> Vec<PathBuf> {
    let mut out = directories(variable, uid);
    out.push(memory(uid));
    out
}

/// Where recordings of user `uid` lie if the directory of sockets is on a disk: a file in memory
/// takes what happens without ever waiting.
#[must_use]
pub fn memory(uid: u32) -> PathBuf {
    PathBuf::from(format!("/dev/shm/loop-console-{uid}"))
}

/// What the note beside a socket says, for whoever lists sockets without asking them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note<'a> {
    /// The app's name.
    pub name: &'a str,
    /// The app's version. Empty: it gave none.
    pub version: &'a str,
    /// The version of the runtime.
    pub runtime: &'a str,
    /// The app's process id, as it sees it.
    pub pid: u32,
    /// When it started, in ns since the Unix epoch.
    pub started_unix_ns: u64,
    /// The TCP address it listens on as well. Empty: none.
    pub tcp: &'a str,
}

/// As it stands in the file: one JSON object on one line.
impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = crate::version::PROTOCOL;
        write!(
            f,
            "{{\"name\":{},\"version\":{},\"runtime\":{},\"protocol\":\"{}.{}\",\"pid\":{},\"started_unix_ns\":{},\"tcp\":{}}}",
            Quoted(self.name),
            Quoted(self.version),
            Quoted(self.runtime),
            protocol.major,
            protocol.minor,
            self.pid,
            self.started_unix_ns,
            Quoted(self.tcp),
        )
    }
}

/// A text as a JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if (c as u32) < 0x20 => write!(f, "\\u{:04x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// What the environment wants of an app's inspector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No inspector.
    Off,
    /// An inspector.
    On,
    /// An inspector, and no first poll before a console has attached or this much time has passed;
    /// `None`: however long it takes.
    Wait(Option<Duration>),
    /// No endpoint of its own: connect to the gate that listens at this path.
    Connect(PathBuf),
}

impl Wish {
    /// Reads the value of `LOOP_CONSOLE`. `None`: it says nothing (unset or empty).
    ///
    /// Errors: a sentence that says what is wrong and what is allowed. An app goes on as if the
    /// variable were unset.
    pub fn read(value: Option<&OsStr>) -> Result<Option<Self>, String> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let refused = |text: &str| {
            Err(format!(
                "{WISH}={text} is not understood: it may be off, on, wait, wait:10s or connect:PATH"
            ))
        };
        let text = value.to_string_lossy();
        if let Some(path) = after(value, "connect:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Some(Wish::Connect(path)))
            } else {
                refused(&text)
            };
        }
        match text.to_ascii_lowercase().as_str() {
            "off" | "0" | "no" | "false" => Ok(Some(Wish::Off)),
            "on" | "1" | "yes" | "true" => Ok(Some(Wish::On)),
            "wait" => Ok(Some(Wish::Wait(None))),
            lower => match lower
                .strip_prefix("wait:")
                .and_then(crate::filter::duration)
            {
                Some(ns) if ns >= 0 => Ok(Some(Wish::Wait(Some(Duration::from_nanos(ns as u64))))),
                _ => refused(&text),
            },
        }
    }
}

/// What follows `head`, byte for byte where the platform allows: a path need not be text.
#[cfg(unix)]
fn after(value: &OsStr, head: &str) -> Option<OsString> {
    use std::os::unix::ffi::OsStrExt;
    let rest = value.as_bytes().strip_prefix(head.as_bytes())?;
    Some(OsStr::from_bytes(rest).to_owned())
}

#[cfg(not(unix))]
fn after(value: &OsStr, head: &str) -> Option<OsString> {
    value.to_str()?.strip_prefix(head).map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(variables: &[(&str, &str)]) -> Vec<String> {
        directories(
            |name| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| OsString::from(value))
            },
            1000,
        )
        .into_iter()
        .map(|dir| dir.to_str().expect("UTF-8").to_owned())
        .collect()
    }

    #[test]
    fn recordings_lie_where_sockets_do_or_in_memory() {
        let places = recording_directories(|name| (name == DIRECTORY).then(|| "/a".into()), 7);
        assert_eq!(places.first(), Some(&PathBuf::from("/a")));
        assert_eq!(
            places.last(),
            Some(&PathBuf::from("/dev/shm/loop-console-7"))
        );
    }

    #[test]
    fn directories_come_in_their_order_each_once_and_absolute() {
        assert_eq!(dirs(&[]), ["/tmp/loop-console-1000"]);
        assert_eq!(
            dirs(&[
                ("RUNTIME_DIRECTORY", "/run/shop:/run/other"),
                ("XDG_RUNTIME_DIR", "/run/user/1000"),
                ("LOOP_CONSOLE_DIR", "/srv/sockets"),
                ("TMPDIR", "/var/tmp"),
            ]),
            [
                "/srv/sockets",
                "/run/user/1000/loop-console",
                "/run/shop/loop-console",
                "/tmp/loop-console-1000"
            ]
        );
        assert_eq!(
            dirs(&[
                ("LOOP_CONSOLE_DIR", "/tmp/loop-console-1000"),
                ("XDG_RUNTIME_DIR", ""),
                ("RUNTIME_DIRECTORY", "run"),
            ]),
            ["/tmp/loop-console-1000"]
        );
    }

    #[test]
    fn names_of_sockets_are_read_back_and_others_are_not() {
        let name = socket_name(48211, 991_823);
        assert_eq!(name, "48211-991823.sock");
        assert_eq!(read_socket_name(OsStr::new(&name)), Some((48211, 991_823)));
        for other in [
            "",
            "1.sock",
            "-1.sock",
            "1-.sock",
            "1-2",
            "1-2.json",
            "+1-2.sock",
            "a-2.sock",
            "99999999999-1.sock",
        ] {
            assert_eq!(read_socket_name(OsStr::new(other)), None, "{other}");
        }
        let stat = "48211 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 991823 20";
        assert_eq!(read_start(stat), Some(991_823));
        assert_eq!((read_start(""), read_start("1 (a) S 1")), (None, None));
        assert_eq!(
            note_path(Path::new("/a/1-2.sock")),
            Path::new("/a/1-2.json")
        );
        assert_eq!(
            recording_path(Path::new("/a/1-2.sock")),
            Path::new("/a/1-2.rec")
        );
        let read = |name: &str| read_recording_name(OsStr::new(name));
        assert_eq!(read("1-2.rec"), Some((1, 2)));
        for other in ["1-2.sock", "1-2rec", ".rec", "a-2.rec", "1-2.rec.rec"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_note_is_json_whatever_the_name() {
        let note = Note {
            name: "a\"b\\c\n",
            pid: 7,
            ..Note::default()
        };
        let text = note.to_string();
        assert!(text.contains(r#""name":"a\"b\\c\u000a""#), "{text}");
        assert!(text.contains(r#""pid":7"#), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn wishes_are_read() {
        let read = |text: &str| Wish::read(Some(OsStr::new(text)));
        assert_eq!(Wish::read(None), Ok(None));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("off"), Ok(Some(Wish::Off)));
        assert_eq!(read("ON"), Ok(Some(Wish::On)));
        assert_eq!(read("wait"), Ok(Some(Wish::Wait(None))));
        assert_eq!(
            read("wait:1m30s"),
            Ok(Some(Wish::Wait(Some(Duration::from_secs(90)))))
        );
        assert_eq!(
            read("connect:/run/x.sock"),
            Ok(Some(Wish::Connect(PathBuf::from("/run/x.sock"))))
        );
        for wrong in [
            "maybe",
            "wait:",
            "wait:10",
            "wait:-1s",
            "connect:",
            "connect:x",
        ] {
            let error = read(wrong).expect_err(wrong);
            assert!(
                error.contains(wrong) && error.contains("connect:PATH"),
                "{error}"
            );
        }
    }
}
