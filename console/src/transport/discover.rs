//! Where sockets of apps lie: the directories of `loop_proto::endpoint`, those of other users and services, and those that other
//! mount namespaces hide (PrivateTmp, containers), reached through `/proc/PID/root`. Reads directories and `/proc`; opens no
//! socket, so nothing here says that an app is alive: only its Hello does.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use loop_proto::endpoint;

use crate::store::Looked;

/// Where to look, given so that tests can look elsewhere.
#[derive(Clone, Debug)]
pub struct Places {
    pub directories: Vec<PathBuf>,
    /// `/proc`; `None`: processes are not looked at.
    pub proc: Option<PathBuf>,
    /// Also in the directories of other mount namespaces, found through the processes.
    pub everywhere: bool,
    pub uid: u32,
}

impl Places {
    /// This machine, as this user may see it; only `LOOP_CONSOLE_DIR`, where that says where to look.
    pub fn here() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        if let Some(only) = std::env::var_os(endpoint::DIRECTORY).filter(|dir| !dir.is_empty()) {
            return Places {
                directories: vec![only.into()],
                proc: Some(PathBuf::from("/proc")),
                everywhere: false,
                uid,
            };
        }
        let mut directories = endpoint::directories(|name| std::env::var_os(name), uid);
        directories.push(PathBuf::from(format!("/run/user/{uid}/loop-console")));
        if uid == 0 {
            directories.extend(of_everybody());
        }
        Places {
            directories,
            proc: Some(PathBuf::from("/proc")),
            everywhere: true,
            uid,
        }
    }
}

/// The fixed directories of all users; only root can use what is in them.
fn of_everybody() -> Vec<PathBuf> {
    let below = |dir: &str| {
        fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let mut out: Vec<PathBuf> = below("/run/user")
        .map(|dir| dir.join("loop-console"))
        .filter(|dir| dir.is_dir())
        .collect();
    out.extend(below("/tmp").filter(|dir| {
        dir.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("loop-console-"))
            && dir.is_dir()
    }));
    out.extend(
        below("/run")
            .map(|dir| dir.join("loop-console"))
            .filter(|dir| dir.is_dir()),
    );
    out
}

/// A socket that may be an app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub socket: PathBuf,
    /// The app's pid as this machine counts, where that is known; else as the app does.
    pub pid: u32,
    /// Who owns the socket's directory: nobody else can have put it there.
    pub owner: u32,
    pub note: Note,
}

/// What the note beside a socket says. Written by the app: a hint for lists, never a fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub name: String,
    pub started_unix_ns: Option<u64>,
}

/// What there is, and where was looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub candidates: Vec<Candidate>,
    pub looked: Vec<Looked>,
}

/// A note is a line; a file that is longer is something else.
const LONGEST_NOTE: u64 = 16 * 1024;

/// Looks everywhere once. Each socket is listed once, however many ways lead to it.
pub fn look(places: &Places) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    let mut directories = HashSet::new();
    for directory in &places.directories {
        if directories.insert(directory.clone()) {
            let said = directory_of(
                directory,
                None,
                places.uid,
                &mut seen,
                &mut found.candidates,
            );
            found.looked.push(Looked {
                place: directory.display().to_string(),
                found: said,
            });
        }
    }
    if let Some(proc) = places.proc.as_ref().filter(|_| places.everywhere) {
        let before = found.candidates.len();
        let mut processes = 0;
        for process in processes_of(proc) {
            processes += 1;
            for directory in process.directories(proc) {
                if directories.insert(directory.clone()) {
                    directory_of(
                        &directory,
                        Some(&process),
                        places.uid,
                        &mut seen,
                        &mut found.candidates,
                    );
                }
            }
        }
        let more = found.candidates.len() - before;
        found.looked.push(Looked {
            place: format!("{}/PID/root of {processes} processes", proc.display()),
            found: format!("{more} more socket{}", if more == 1 { "" } else { "s" }),
        });
    }
    found
}

/// Reads one directory; says what was there.
fn directory_of(
    directory: &Path,
    process: Option<&Process>,
    uid: u32,
    seen: &mut HashSet<(u64, u64)>,
    candidates: &mut Vec<Candidate>,
) -> String {
    let owner = match owner_of(directory, uid) {
        Ok(owner) => owner,
        Err(why) => return why,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return error.to_string(),
    };
    let mut sockets = 0;
    for entry in entries.flatten() {
        let Some((pid, _)) = endpoint::read_socket_name(&entry.file_name()) else {
            continue;
        };
        let path = entry.path();
        let Ok(file) = fs::symlink_metadata(&path) else {
            continue;
        };
        if !file.file_type().is_socket() {
            continue;
        }
        sockets += 1;
        if !seen.insert((file.dev(), file.ino())) {
            continue;
        }
        let pid = match process {
            Some(process) if process.inner_pid == pid => process.pid,
            _ => pid,
        };
        candidates.push(Candidate {
            note: note(&endpoint::note_path(&path)),
            socket: path,
            pid,
            owner,
        });
    }
    format!("{sockets} socket{}", if sockets == 1 { "" } else { "s" })
}

/// Who owns a directory whose files may be believed. Errors: why they may not, in words.
fn owner_of(directory: &Path, uid: u32) -> Result<u32, String> {
    let meta = match fs::symlink_metadata(directory) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err("no such directory".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    if !meta.is_dir() {
        return Err("not a directory".to_owned());
    }
    // What somebody else's directory holds is somebody else's word; root may look at all.
    if meta.uid() != uid && meta.uid() != 0 && uid != 0 {
        return Err("not owned by you".to_owned());
    }
    if meta.mode() & 0o022 != 0 {
        return Err("others may write there: not looked at".to_owned());
    }
    Ok(meta.uid())
}

/// Recordings that one directory may have, at most: an app keeps a few.
const RECORDINGS: usize = 1_024;

/// A path, and the process through which it was come by: the pid that it knows itself by, and the one by which this machine does.
type Through = (PathBuf, Option<(u32, u32)>);

/// Files that may be recordings: beside sockets, in memory and where dumps lie.
pub(super) fn recordings(places: &Places) -> (Vec<Through>, Vec<Looked>) {
    let mut directories: Vec<Through> = Vec::new();
    let mut add = |path: PathBuf, of: Option<(u32, u32)>| {
        for path in [path.join("dumps"), path] {
            if !directories.iter().any(|(known, _)| *known == path) {
                directories.push((path, of));
            }
        }
    };
    for directory in &places.directories {
        add(directory.clone(), None);
    }
    add(endpoint::memory(places.uid), None);
    if places.uid == 0 {
        for directory in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if directory
                .file_name()
                .to_string_lossy()
                .starts_with("loop-console-")
            {
                add(directory.path(), None);
            }
        }
    }
    if let Some(proc) = places.proc.as_ref().filter(|_| places.everywhere) {
        for process in processes_of(proc) {
            for directory in process.directories(proc) {
                add(directory, Some((process.inner_pid, process.pid)));
            }
            if process.apart {
                let below = endpoint::memory(process.uid);
                let root = proc.join(process.pid.to_string()).join("root");
                let below = root.join(below.strip_prefix("/").unwrap_or(&below));
                add(below, Some((process.inner_pid, process.pid)));
            }
        }
    }
    let (mut files, mut looked) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (directory, of) in directories {
        let found = owner_of(&directory, places.uid)
            .and_then(|_| fs::read_dir(&directory).map_err(|error| error.to_string()));
        let mut count = 0;
        let said = match found {
            Err(why) => why,
            Ok(entries) => {
                for entry in entries.flatten().take(RECORDINGS) {
                    let path = entry.path();
                    let is = path
                        .extension()
                        .is_some_and(|end| end == loop_proto::recording::EXTENSION);
                    let Ok(file) = fs::symlink_metadata(&path) else {
                        continue;
                    };
                    if is && file.is_file() {
                        count += 1;
                        if seen.insert((file.dev(), file.ino())) {
                            files.push((path, of));
                        }
                    }
                }
                format!("{count} recording{}", if count == 1 { "" } else { "s" })
            }
        };
        // Where everybody's directories are looked at, those with nothing in them are many.
        if count > 0 || of.is_none() && !directory.ends_with("dumps") {
            looked.push(Looked {
                place: directory.display().to_string(),
                found: said,
            });
        }
    }
    (files, looked)
}

/// The user that a process runs as. `None`: there is no such process, or nothing is told of it.
pub(super) fn user_of(proc: &Path, pid: u32) -> Option<u32> {
    let status = fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn note(path: &Path) -> Note {
    let text = match fs::symlink_metadata(path) {
        Ok(file) if file.is_file() && file.len() <= LONGEST_NOTE => {
            fs::read_to_string(path).unwrap_or_default()
        }
        _ => String::new(),
    };
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    Note {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        started_unix_ns: value["started_unix_ns"].as_u64(),
    }
}

/// A process whose files we may look at.
struct Process {
    pid: u32,
    /// The pid that it knows itself by.
    inner_pid: u32,
    uid: u32,
    /// It sees other mounts than we do.
    apart: bool,
}

fn processes_of(proc: &Path) -> Vec<Process> {
    let ours = fs::read_link(proc.join("self/ns/mnt")).ok();
    let mut out = Vec::new();
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        // The effective uid is the second number; the innermost namespace's pid the last.
        let uid = line("Uid:").and_then(|l| l.split_whitespace().nth(1)?.parse().ok());
        let inner = line("NSpid:").and_then(|l| l.split_whitespace().last()?.parse().ok());
        // Kernel threads and processes of others have no mounts that we could read.
        let Ok(theirs) = fs::read_link(entry.path().join("ns/mnt")) else {
            continue;
        };
        if let Some(uid) = uid {
            out.push(Process {
                pid,
                inner_pid: inner.unwrap_or(pid),
                uid,
                apart: ours.as_ref() != Some(&theirs),
            });
        }
    }
    out
}

impl Process {
    /// Where its sockets may lie, as paths that we can open.
    fn directories(&self, proc: &Path) -> Vec<PathBuf> {
        let home = proc.join(self.pid.to_string());
        let environ = fs::read(home.join("environ")).unwrap_or_default();
        let variable = |name: &str| {
            environ.split(|byte| *byte == 0).find_map(|entry| {
                let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(OsString::from_vec(value.to_vec()))
            })
        };
        let mut out = endpoint::directories(variable, self.uid);
        out.push(PathBuf::from(format!(
            "/run/user/{}/loop-console",
            self.uid
        )));
        if self.apart {
            let root = home.join("root");
            for directory in &mut out {
                *directory = root.join(directory.strip_prefix("/").unwrap_or(directory));
            }
        }
        out
    }
}

/// A socket that was made less long ago may be about to be listened on.
const YOUNG: Duration = Duration::from_secs(2);

/// Removes the socket of a process that is gone, so that the next look is shorter. Only what is surely ours and surely stale: the
/// socket refuses, is not young, lies in a directory of ours that everybody sees alike, and no process of its pid started when its
/// process did. Pids are used again.
pub fn sweep(candidate: &Candidate, places: &Places, now: SystemTime) {
    let Some(proc) = &places.proc else { return };
    let name = candidate.socket.file_name().unwrap_or_default();
    let Some((_, start)) = endpoint::read_socket_name(name) else {
        return;
    };
    let gone = match fs::read_to_string(proc.join(candidate.pid.to_string()).join("stat")) {
        Ok(stat) => endpoint::read_start(&stat).is_some_and(|lives| lives != start),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    let shared = places
        .directories
        .iter()
        .any(|dir| candidate.socket.parent() == Some(dir));
    let made = fs::symlink_metadata(&candidate.socket).and_then(|file| file.modified());
    let young = made.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age < YOUNG));
    if gone && shared && !young && candidate.owner == places.uid {
        // Somebody else may have been quicker.
        let _ = fs::remove_file(&candidate.socket);
        for beside in ["json", "token", "control-token"] {
            let _ = fs::remove_file(candidate.socket.with_extension(beside));
        }
    }
}

/// How long an app has been up, by its note.
pub fn up(started_unix_ns: Option<u64>) -> Option<Duration> {
    let now = SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    now.checked_sub(Duration::from_nanos(started_unix_ns?))
}

#[cfg(test)]
mod tests;
