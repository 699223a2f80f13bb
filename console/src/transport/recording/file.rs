//! From a path to a recording that makes sense, or to one sentence about why there is none. Reads at most what a recording can
//! have, whatever the file is. Knows no process.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use loop_proto::escape::escape;
use loop_proto::recording::{Head, LARGEST, MAGIC, PAGE, Recording, RingHead, Unreadable};

use crate::exit::{Exit, Failure};

/// What to do about a file that is no recording.
const WHAT_IS_ONE: &str = "A recording is what `loop-console dump` writes, or the .rec file that a process keeps while it runs; `loop-console open` lists those.";

fn named(path: &Path) -> String {
    escape(&path.display().to_string(), 1024).into_owned()
}

fn failed(path: &Path, why: &str, next: &str) -> Failure {
    Failure::usage(
        format!("{} cannot be opened: {why}.", named(path)),
        next.to_owned(),
    )
}

/// Why the system does not give the file.
fn denied(path: &Path, error: &io::Error, about: Option<&Metadata>) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => failed(
            path,
            "there is no such file",
            "`loop-console open` lists the recordings there are.",
        ),
        io::ErrorKind::PermissionDenied => {
            let whose = match about {
                Some(about) => format!(
                    "it belongs to user {}, and only that user may read it",
                    about.uid()
                ),
                None => "you may not look into its directory".to_owned(),
            };
            failed(path, &whose, "Open it as that user, or as root.")
        }
        _ => failed(path, &error.to_string(), ""),
    }
}

/// Whether a word of the command line is a file that begins as a recording; an app's own executable may have the app's name.
pub fn is_one(path: &Path) -> bool {
    let begins = || {
        if !std::fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut magic = [0; MAGIC.len()];
        File::open(path).ok()?.read_exact(&mut magic).ok()?;
        Some(magic == MAGIC)
    };
    begins().unwrap_or(false)
}

/// The head of a file, if it is a recording's.
pub fn head(path: &Path) -> Option<Head> {
    if !std::fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut page = Vec::with_capacity(PAGE);
    let file = File::open(path).ok()?;
    file.take(PAGE as u64).read_to_end(&mut page).ok()?;
    Head::read(&page).ok()
}

/// Reads what lies there.
///
/// Errors: it cannot be read, or is no recording that this console understands.
pub fn read(path: &Path) -> Result<Recording, Failure> {
    let about = std::fs::metadata(path).map_err(|error| denied(path, &error, None))?;
    let kind = about.file_type();
    // Before it is opened: a pipe would wait for who writes.
    let other = if kind.is_dir() {
        Some("it is a directory")
    } else if kind.is_socket() {
        Some("it is a socket, and an app may listen there: name it as unix:PATH")
    } else if !kind.is_file() {
        Some("it is no file")
    } else if about.len() == 0 {
        Some("it is empty: whoever was to write it did not get so far")
    } else {
        None
    };
    if let Some(why) = other {
        return Err(failed(path, why, WHAT_IS_ONE));
    }
    if about.len() > LARGEST {
        let why = format!(
            "it has {} bytes, and no recording has more than {LARGEST}",
            about.len()
        );
        return Err(failed(path, &why, WHAT_IS_ONE));
    }
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        // Between the look and this it may have become something else.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| denied(path, &error, Some(&about)))?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1);
    (&mut file)
        .take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| denied(path, &error, Some(&about)))?;
    let mut recording = Recording::read(&bytes).map_err(|why| unreadable(path, &why))?;
    // Its loops may have gone on while it was read: what they wrote over meanwhile is let go of.
    for ring in &mut recording.rings {
        let at = ring.offset + (RingHead::TAIL * size_of::<u64>()) as u64;
        let mut tail = [0; size_of::<u64>()];
        let read = file
            .seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut tail));
        if read.is_ok() {
            ring.settle(u64::from_le_bytes(tail));
        }
    }
    Ok(recording)
}

fn unreadable(path: &Path, why: &Unreadable) -> Failure {
    let text = format!("{} cannot be opened: {why}.", named(path));
    match why {
        Unreadable::Newer { .. } => Failure::new(
            Exit::VersionGap,
            text,
            "Open it with a loop-console as new as the app: cargo install --locked loop-console.",
        ),
        Unreadable::Truncated { .. } => Failure::usage(
            text,
            "It was cut short, in a copy for instance: copy it again, all of it.",
        ),
        Unreadable::Damaged(_) => Failure::usage(
            text,
            "Its bytes are not those that were written: copy it again, in binary.",
        ),
        Unreadable::Foreign => Failure::usage(text, WHAT_IS_ONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_says_whose_it_is_and_what_to_do() {
        let path = std::env::temp_dir();
        let about = std::fs::metadata(&path).expect("it is there");
        let no = io::Error::from(io::ErrorKind::PermissionDenied);
        let failure = denied(&path, &no, Some(&about));
        assert_eq!(failure.exit, Exit::Usage);
        let whose = format!(
            "it belongs to user {}, and only that user may read it",
            about.uid()
        );
        assert!(failure.what.contains(&whose), "{failure}");
        assert!(
            failure.next.contains("as that user, or as root"),
            "{failure}"
        );
        let failure = denied(&path, &no, None);
        assert!(
            failure.what.contains("look into its directory"),
            "{failure}"
        );
    }
}
