//! Where the file lies, that it is this process's, and how large it may become. Knows not what stands
//! in it.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loop_proto::endpoint::recording_path;

use super::old::sweep;
use crate::serve::{auth, endpoint};

/// The file never gets larger than this.
pub(super) const LARGEST: u64 = 24 << 20;
/// How often the lock is tried for: a sweep of another process has it for a moment.
const TRIES: u32 = 20;

/// A file that can be written.
pub(super) struct Made {
    pub(super) file: fs::File,
    pub(super) path: PathBuf,
    /// Rings can lie in the file itself. Else why not.
    pub(super) mapped: Result<(), String>,
}

/// Whether a file may become as large as this one can.
///
/// A write past the limit would be the end of the process, by a signal. Errors: a sentence.
pub(super) fn may_grow() -> Result<(), String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    match limit.current {
        Some(limit) if limit < LARGEST => Err(format!(
            "files may have {limit} bytes here (ulimit -f), and a recording has up to {LARGEST}"
        )),
        _ => Ok(()),
    }
}

/// The file of the process whose socket that is.
///
/// Errors: a sentence that says what was tried.
pub(super) fn open(socket: &Path) -> Result<Made, String> {
    may_grow()?;
    let beside = socket.parent().unwrap_or(Path::new("/"));
    let name = recording_path(socket);
    let name = name.file_name().unwrap_or_default();
    let memory = loop_proto::endpoint::memory(auth::own_uid());
    open_in(beside, &memory, name.as_ref())
}

fn open_in(beside: &Path, memory: &Path, name: &Path) -> Result<Made, String> {
    sweep(beside);
    let mut why = String::new();
    if !is_memory(beside) {
        match in_memory(memory, name) {
            Ok(made) => return Ok(made),
            Err(error) => {
                why = format!(
                    "{} is on a disk, for which a loop could have to wait; {error}",
                    beside.display()
                );
            }
        }
    }
    let path = beside.join(name);
    let file = create(&path).map_err(|error| {
        let and = if why.is_empty() { "" } else { "; " };
        format!("{why}{and}{}: {error}", path.display())
    })?;
    let mapped = if why.is_empty() { Ok(()) } else { Err(why) };
    Ok(Made { file, path, mapped })
}

/// A file where files are memory, of whatever directory the socket lies in.
fn in_memory(memory: &Path, name: &Path) -> Result<Made, String> {
    if !cfg!(target_os = "linux") {
        return Err("this system has no directory in memory".to_owned());
    }
    let failed = |error: io::Error| format!("{}: {error}", memory.display());
    let shm = memory.parent().unwrap_or(Path::new("/"));
    if !is_memory(shm) {
        return Err(format!("{} is not in memory either", shm.display()));
    }
    endpoint::ready(memory).map_err(failed)?;
    sweep(memory);
    let path = memory.join(name);
    let file = create(&path).map_err(failed)?;
    Ok(Made {
        file,
        path,
        mapped: Ok(()),
    })
}

/// Makes a file for this user alone, and locks it: it is a living process's as long as the lock is
/// held, whatever its pid means where one looks from.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // An earlier run of this very process: of another there is none with pid and start.
            fs::remove_file(path)?;
            options.open(path)?
        }
        made => made?,
    };
    for _ in 0..TRIES {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            // A file system without locks: its readers have to go by the pid.
            Ok(()) | Err(_) => break,
        }
    }
    Ok(file)
}

/// Whether files there lie in memory, so that a store into one never waits for a disk.
pub(super) fn is_memory(directory: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: i64 = 0x0102_1994;
        const RAMFS: i64 = 0x8584_58F6;
        // Not of this type on every architecture.
        #[allow(clippy::useless_conversion)]
        rustix::fs::statfs(directory)
            .is_ok_and(|found| matches!(i64::from(found.f_type), TMPFS | RAMFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A directory that is no memory. `None`: there is none on this machine.
    fn disk(name: &str) -> Option<PathBuf> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut places = [std::env::temp_dir(), manifest.to_owned()].into_iter();
        let below = places.find(|place| !is_memory(place))?;
        let path = below.join(format!("box-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).ok()?;
        Some(path)
    }

    #[test]
    fn on_a_disk_the_file_is_in_memory_or_says_why_it_is_not_mapped() {
        let Some(disk) = disk("disk") else { return };
        let name = Path::new("7-42.rec");
        let memory = PathBuf::from(format!("/dev/shm/box-file-{}", std::process::id()));
        if is_memory(Path::new("/dev/shm")) {
            let made = open_in(&disk, &memory, name).unwrap();
            assert_eq!((made.path, made.mapped), (memory.join(name), Ok(())));
            fs::remove_dir_all(&memory).unwrap();
        }
        // A file in the way of the directory.
        let no_memory = disk.join("file");
        fs::write(&no_memory, "").unwrap();
        let made = open_in(&disk, &no_memory, name).unwrap();
        assert_eq!(made.path, disk.join(name));
        let why = made.mapped.unwrap_err();
        assert!(
            why.contains("on a disk") && why.contains(" either"),
            "{why}"
        );
        fs::remove_dir_all(&disk).unwrap();
    }

    #[test]
    fn where_nothing_can_be_made_the_reason_names_each_place() {
        let none = Path::new("/dev/null/none");
        let Err(why) = open_in(none, none, Path::new("7-42.rec")) else {
            panic!("/dev/null is no directory");
        };
        let names = why.matches("/dev/null").count();
        assert!(names >= 3 && why.contains("directory"), "{why}");
    }

    #[test]
    fn a_later_run_of_the_process_begins_a_new_file() {
        let Some(disk) = disk("again") else { return };
        let path = disk.join("7-42.rec");
        let first = create(&path).unwrap();
        fs::write(&path, "of the first").unwrap();
        let second = create(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        drop((first, second));
        fs::remove_dir_all(&disk).unwrap();
    }
}
