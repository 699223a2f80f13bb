//! From a pid, a name or nothing to the file that is meant, by what the heads of the files say. Opens no socket and asks no process.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use loop_proto::escape::escape;
use loop_proto::recording::{Head, Kind};

use super::file;
use crate::exit::{Exit, Failure};
use crate::store::Looked;
use crate::transport::discover::{self, Places};

/// A recording that there is.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub head: Head,
    /// The pid by which this machine knows the process, where it is another one than the head says.
    pub pid_here: Option<u32>,
    pub modified: SystemTime,
}

impl Found {
    /// The process's pid, as this machine counts.
    pub fn pid(&self) -> u32 {
        self.pid_here.unwrap_or(self.head.pid)
    }

    /// Whether it is of the process of that pid.
    pub fn is_of(&self, pid: u32) -> bool {
        self.pid() == pid
    }
}

/// All there are, the newest first, and where was looked.
pub fn all(places: &Places) -> (Vec<Found>, Vec<Looked>) {
    let (files, looked) = discover::recordings(places);
    let mut found: Vec<Found> = files
        .into_iter()
        .filter_map(|(path, of)| {
            let head = file::head(&path)?;
            let modified = std::fs::metadata(&path).ok()?.modified().ok()?;
            let pid_here = of
                .filter(|(inner, pid)| *inner == head.pid && inner != pid)
                .map(|(_, pid)| pid);
            Some(Found {
                path,
                head,
                pid_here,
                modified,
            })
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.modified));
    (found, looked)
}

/// The file that a word means: a path, a pid, the name of an app; nothing: the only one.
///
/// Errors: there is none, or there are several.
pub fn resolve(word: &str, places: &Places) -> Result<(PathBuf, Option<u32>), Failure> {
    let path = Path::new(word);
    let is_path = word.contains('/')
        || path
            .extension()
            .is_some_and(|end| end == loop_proto::recording::EXTENSION);
    let pid: Option<u32> = word.parse().ok();
    if !word.is_empty() && pid.is_none() && (is_path || path.exists()) {
        return Ok((path.to_owned(), None));
    }
    let (found, looked) = all(places);
    let meant: Vec<Found> = match pid {
        Some(pid) => found.into_iter().filter(|one| one.is_of(pid)).collect(),
        None if word.is_empty() => found,
        None => found
            .into_iter()
            .filter(|one| one.head.name == word)
            .collect(),
    };
    if let Some(pid) = pid {
        return of_pid(pid, meant, places, &looked);
    }
    match meant.as_slice() {
        [one] => Ok((one.path.clone(), one.pid_here)),
        [] => Err(none(
            if word.is_empty() {
                "There is no recording.".to_owned()
            } else {
                format!(
                    "There is no recording of an app called {}.",
                    escape(word, 256)
                )
            },
            &looked,
            "An app keeps one while it runs; `loop-console dump` has it write another.",
        )),
        several => Err(Failure::usage(
            format!(
                "There are {} recordings{}:\n{}",
                several.len(),
                if word.is_empty() {
                    String::new()
                } else {
                    format!(" of {}", escape(word, 256))
                },
                list(several)
            ),
            "Name one by its pid or its file: loop-console open PID.",
        )),
    }
}

/// The recording of one process: the one it keeps, else its newest dump.
fn of_pid(
    pid: u32,
    mut meant: Vec<Found>,
    places: &Places,
    looked: &[Looked],
) -> Result<(PathBuf, Option<u32>), Failure> {
    // A pid may have been somebody else's before: the process that has it now comes first, then the newest.
    let runs = |one: &Found| {
        let start = places
            .proc
            .as_ref()
            .and_then(|proc| super::stands::start_of(proc, pid));
        start.is_some_and(|start| start == one.head.start)
    };
    meant.sort_by_key(|one| (one.head.kind == Kind::Dump, !runs(one)));
    if let Some(one) = meant.first() {
        return Ok((one.path.clone(), one.pid_here));
    }
    let user = places
        .proc
        .as_ref()
        .and_then(|proc| discover::user_of(proc, pid));
    Err(match user {
        Some(user) if user != places.uid && places.uid != 0 => Failure::new(
            Exit::NoApp,
            format!(
                "Process {pid} belongs to user {user}: if it keeps a recording, that is for this user alone."
            ),
            "Open it as that user, or as root.",
        ),
        Some(_) => none(
            format!("Process {pid} is there, and no recording of it is."),
            looked,
            &format!(
                "It is no app of this runtime, its inspector is off (LOOP_CONSOLE=off, tests), or it cannot keep a file: `loop-console cost {pid}` says why."
            ),
        ),
        None => none(
            format!("There is no process {pid}, and it left no recording."),
            looked,
            "The newest are kept, for three days: 8 that were killed or crashed, 3 that ended well. `loop-console open` lists those there are.",
        ),
    })
}

fn none(what: String, looked: &[Looked], next: &str) -> Failure {
    let mut lines = vec![what];
    lines.extend(Looked::lines(looked));
    Failure::new(Exit::NoApp, lines.join("\n"), next)
}

/// A line for each: pid, name, what it is, since when it was not written, where.
fn list(found: &[Found]) -> String {
    let line = |one: &Found| {
        let ago = one.modified.elapsed().unwrap_or_default().as_secs();
        format!(
            "{:>9}  {:<24} {:<9} {:>8} ago  {}",
            one.pid(),
            crate::view::fmt::cut_end(&escape(&one.head.name, 64), 24),
            match one.head.kind {
                Kind::Dump => "dump",
                Kind::BlackBox => "recording",
            },
            crate::view::fmt::uptime(ago),
            escape(&one.path.display().to_string(), 1024)
        )
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_user_is_said_to_be_so() {
        let places = Places {
            directories: Vec::new(),
            proc: Some(PathBuf::from("/proc")),
            everywhere: false,
            // Whoever that is, the first process is not theirs.
            uid: 54_321,
        };
        let failure = resolve("1", &places).expect_err("it keeps nothing for us");
        assert_eq!(failure.exit, Exit::NoApp);
        assert!(
            failure.what.starts_with("Process 1 belongs to user "),
            "{failure}"
        );
        assert!(failure.next.contains("as root"), "{failure}");
    }
}
