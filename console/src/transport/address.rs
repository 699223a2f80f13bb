//! What the user names as an app. Knows no socket: reading the word is pure, but for a look whether a file is a recording.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// What stands before a word that means a recording.
pub const RECORDING: &str = "rec:";

/// The app that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The only one there is.
    Only,
    Pid(u32),
    /// The name it gave itself, or the file name of its executable.
    Name(String),
    /// A socket, or the executable that it runs.
    Path(PathBuf),
    /// A socket.
    Socket(PathBuf),
    /// A loopback port; the token comes from the environment.
    Tcp {
        host: String,
        port: u16,
    },
    /// Not an app but a recording of one: of a pid, of a name, a file, or, empty, the only one there is.
    Recording(String),
}

impl Target {
    /// Reads a word of the command line.
    ///
    /// Errors: a URL of another scheme, or without a port.
    pub fn read(word: Option<&str>) -> Result<Target, Failure> {
        let Some(word) = word.filter(|word| !word.is_empty()) else {
            return Ok(Target::Only);
        };
        if let Some(path) = word.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(wrong(word, "a path has to follow unix:"));
            }
            return Ok(Target::Socket(PathBuf::from(path)));
        }
        if let Some(rest) = word.strip_prefix(RECORDING) {
            return Ok(Target::Recording(rest.to_owned()));
        }
        if let Some(rest) = word.strip_prefix("http://") {
            return address(word, rest.trim_end_matches('/'));
        }
        if word.contains("://") {
            return Err(wrong(
                word,
                "only http:// to this machine and unix: are spoken",
            ));
        }
        if word.bytes().all(|b| b.is_ascii_digit()) {
            return word
                .parse()
                .map(Target::Pid)
                .map_err(|_| wrong(word, "no process has so great an id"));
        }
        if word.contains('/') {
            return Ok(Target::Path(PathBuf::from(word)));
        }
        Ok(Target::Name(word.to_owned()))
    }

    /// The recording that is meant: one that is named as such, or a file that is one.
    pub fn recording(&self) -> Option<&str> {
        let path = match self {
            Target::Recording(word) => return Some(word),
            Target::Path(path) => path.to_str()?,
            Target::Name(name) => name,
            _ => return None,
        };
        super::recording::file::is_one(Path::new(path)).then_some(path)
    }
}

fn address(word: &str, rest: &str) -> Result<Target, Failure> {
    let Some((host, port)) = rest.rsplit_once(':') else {
        return Err(wrong(word, "the port is missing"));
    };
    let port = port
        .parse()
        .map_err(|_| wrong(word, "the port is no number below 65536"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    if !loopback {
        return Err(Failure::usage(
            format!(
                "`{}` is another machine, and a token must not cross a network in the open.",
                word_of(word)
            ),
            "Reach it through ssh instead: loop-console --via 'ssh HOST loop-console relay NAME'.",
        ));
    }
    Ok(Target::Tcp {
        host: bare.to_owned(),
        port,
    })
}

fn word_of(word: &str) -> String {
    loop_proto::escape::escape(word, 256).into_owned()
}

fn wrong(word: &str, why: &str) -> Failure {
    Failure::usage(
        format!("`{}` names no app: {why}.", word_of(word)),
        "A target is a pid, a name, a path, unix:/path, http://127.0.0.1:PORT, a recording or rec:PID; `loop-console ps` lists apps.",
    )
}

/// As the user would write it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Only => f.write_str("the app that runs here"),
            Target::Pid(pid) => write!(f, "pid {pid}"),
            Target::Name(name) => f.write_str(&word_of(name)),
            Target::Path(path) => f.write_str(&word_of(&path.to_string_lossy())),
            Target::Socket(path) => write!(f, "unix:{}", word_of(&path.to_string_lossy())),
            Target::Recording(word) if word.is_empty() => f.write_str("the recording that is here"),
            Target::Recording(word) => write!(f, "the recording of {}", word_of(word)),
            Target::Tcp { host, port } if host.contains(':') => write!(f, "http://[{host}]:{port}"),
            Target::Tcp { host, port } => write!(f, "http://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_apps_in_six_ways_and_recordings() {
        for (word, target) in [
            ("48211", Target::Pid(48211)),
            ("shop-api", Target::Name("shop-api".into())),
            ("./shop", Target::Path("./shop".into())),
            ("/run/a.sock", Target::Path("/run/a.sock".into())),
            ("unix:/run/a.sock", Target::Socket("/run/a.sock".into())),
            ("unix:///run/a.sock", Target::Socket("/run/a.sock".into())),
            ("rec:48211", Target::Recording("48211".into())),
            ("rec:", Target::Recording(String::new())),
            (
                "http://127.0.0.1:6669",
                Target::Tcp {
                    host: "127.0.0.1".into(),
                    port: 6669,
                },
            ),
            (
                "http://[::1]:6669/",
                Target::Tcp {
                    host: "::1".into(),
                    port: 6669,
                },
            ),
            (
                "http://localhost:1",
                Target::Tcp {
                    host: "localhost".into(),
                    port: 1,
                },
            ),
        ] {
            assert_eq!(Target::read(Some(word)), Ok(target), "{word}");
        }
        assert_eq!(Target::read(None), Ok(Target::Only));
        assert_eq!(Target::read(Some("")), Ok(Target::Only));
    }

    #[test]
    fn what_cannot_be_reached_safely_or_at_all_is_refused_as_bad_usage() {
        for (word, why) in [
            ("unix:", "a path"),
            ("https://127.0.0.1:1", "only http://"),
            ("http://127.0.0.1", "port"),
            ("http://127.0.0.1:99999", "65536"),
            ("http://10.0.0.7:6669", "another machine"),
            ("http://0.0.0.0:6669", "another machine"),
            ("http://127.0.0.1.evil.example:80", "another machine"),
            ("99999999999", "so great"),
        ] {
            let failure = Target::read(Some(word)).expect_err(word);
            assert_eq!(failure.exit.code(), 2, "{word}");
            assert!(failure.what.contains(why), "{word}: {failure}");
        }
    }
}
