//! Recordings of processes that are gone: which of them stay. Knows no living process's file: those
//! are locked.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use loop_proto::endpoint::read_recording_name;
use loop_proto::recording::{End, Ending, PAGE};
use rustix::fs::{FlockOperation, Mode, OFlags};

/// Files that are looked at in one go.
const SWEEP: usize = 256;
/// So many are kept of processes that were killed, crashed or panicked: somebody will ask why.
const KEPT: usize = 8;
/// So many of those that ended as they were meant to, which never push out the others.
const KEPT_CLEAN: usize = 3;
/// All of them together take no more, in bytes.
const KEPT_BYTES: u64 = 64 << 20;
/// None is kept for longer.
const KEPT_FOR: Duration = Duration::from_secs(3 * 24 * 3600);

struct Old {
    path: PathBuf,
    modified: SystemTime,
    bytes: u64,
    clean: bool,
}

/// Removes recordings of processes that are gone, but for the newest few.
pub(super) fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut gone: Vec<Old> = entries
        .flatten()
        .filter(|entry| read_recording_name(&entry.file_name()).is_some())
        .take(SWEEP)
        .filter_map(|entry| old(entry.path()))
        .collect();
    // Those of which somebody will ask, then the others; of each the newest first.
    gone.sort_by_key(|old| (old.clean, std::cmp::Reverse(old.modified)));
    let (mut counts, mut bytes) = ([0; 2], 0);
    for old in gone {
        let count = &mut counts[usize::from(old.clean)];
        let most = if old.clean { KEPT_CLEAN } else { KEPT };
        let is_old = old.modified.elapsed().is_ok_and(|age| age > KEPT_FOR);
        if *count >= most || bytes + old.bytes > KEPT_BYTES || is_old {
            // Another process may sweep at the same time.
            let _ = fs::remove_file(&old.path);
        } else {
            *count += 1;
            bytes += old.bytes;
        }
    }
}

/// A file whose process has let go of its lock. One that cannot be asked is somebody's.
fn old(path: PathBuf) -> Option<Old> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    let file = fs::File::from(file);
    let about = file.metadata().ok()?;
    let mut page = Vec::with_capacity(PAGE);
    file.take(PAGE as u64).read_to_end(&mut page).ok()?;
    Some(Old {
        path,
        modified: about.modified().ok()?,
        bytes: about.blocks() * 512,
        clean: Ending::read(&page).is_some_and(|ending| ending.end == End::Clean),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loop_proto::recording::{Directory, Head};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("old-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// A recording that was written so many minutes ago.
        fn file(&self, pid: usize, clean: bool) -> (PathBuf, fs::File) {
            let path = self.0.join(format!("{pid}-1.rec"));
            let mut page = Head::default().page(&Directory::default());
            if clean {
                let ending = Ending {
                    end: End::Clean,
                    mono_ns: 1,
                    unix_ns: 1,
                };
                let at = Ending::OFFSET as usize;
                page[at..at + Ending::BYTES].copy_from_slice(&ending.bytes());
            }
            fs::write(&path, page).unwrap();
            let file = fs::File::open(&path).unwrap();
            let ago = Duration::from_secs(60 * pid as u64);
            file.set_modified(SystemTime::now() - ago).unwrap();
            (path, file)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn of_recordings_that_nobody_writes_the_newest_few_are_kept() {
        let scratch = Scratch::new("few");
        let files: Vec<_> = (1..=KEPT + 3).map(|pid| scratch.file(pid, false)).collect();
        // The oldest belongs to a process that lives.
        let (alive, lock) = files.last().unwrap();
        rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let other = scratch.0.join("other.rec");
        fs::write(&other, "").unwrap();
        sweep(&scratch.0);
        let there = |at: usize| files[at].0.exists();
        assert!((0..KEPT).all(there), "the newest stay");
        assert!(!there(KEPT) && !there(KEPT + 1));
        assert!(alive.exists() && other.exists());
        let (_, newest) = &files[0];
        newest
            .set_modified(SystemTime::now() - KEPT_FOR * 2)
            .unwrap();
        sweep(&scratch.0);
        assert!(!there(0), "it is too old");
    }

    #[test]
    fn clean_ends_push_out_no_others_however_many_there_are() {
        let scratch = Scratch::new("clean");
        let clean: Vec<_> = (1..=20).map(|pid| scratch.file(pid, true)).collect();
        let (killed, _lock) = scratch.file(500, false);
        sweep(&scratch.0);
        assert!(killed.exists());
        let left: Vec<_> = clean.iter().map(|(path, _)| path.exists()).collect();
        assert!(left[..KEPT_CLEAN].iter().all(|there| *there), "{left:?}");
        assert!(!left[KEPT_CLEAN..].contains(&true), "{left:?}");
    }

    #[test]
    fn together_they_take_a_bounded_room_and_the_newest_have_it() {
        let scratch = Scratch::new("bytes");
        let files: Vec<_> = (1..=4).map(|pid| scratch.file(pid, false)).collect();
        for (path, file) in &files {
            let file_to = fs::OpenOptions::new().write(true).open(path).unwrap();
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file_to, flags, 0, 20 << 20).unwrap();
            let modified = file.metadata().unwrap().modified();
            drop(modified);
        }
        for (pid, (_, file)) in files.iter().enumerate() {
            let ago = Duration::from_secs(60 * (pid as u64 + 1));
            file.set_modified(SystemTime::now() - ago).unwrap();
        }
        sweep(&scratch.0);
        let left: Vec<_> = files.iter().map(|(path, _)| path.exists()).collect();
        assert_eq!(left, [true, true, true, false]);
    }
}
