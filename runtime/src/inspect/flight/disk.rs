//! Dumps on disk: a directory of their own, files for their owner alone, as many as the limits
//! say. Each fault is a sentence. Knows not what is in a dump.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Kept, Limits, excess, read_name};

/// Files of a directory that are looked at; more are not ours to judge.
const LISTED: usize = 4_096;

/// What writing one came to.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    /// Old files that were removed for it.
    pub(crate) removed: u64,
    /// Bytes of all dumps in the directory.
    pub(crate) bytes: u64,
    /// The names of all that are there, this one included.
    pub(crate) names: Vec<String>,
}

/// Writes one, after old ones have given way.
///
/// Errors: a sentence.
pub(crate) fn write(
    directory: &Path,
    name: &str,
    bytes: &[u8],
    limits: Limits,
) -> Result<Written, String> {
    let at = |error: io::Error| format!("{}: {error}", directory.display());
    ready(directory).map_err(at)?;
    let size = bytes.len() as u64;
    if size > limits.bytes {
        return Err(format!(
            "{}: a dump of {size} bytes is larger than all that may lie there",
            directory.display()
        ));
    }
    let files = list(directory).map_err(at)?;
    let mut removed = 0;
    for old in excess(&files, size, limits) {
        match fs::remove_file(directory.join(old)) {
            Ok(()) => removed += 1,
            // Another process that writes here was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{old} cannot be removed: {error}")),
        }
    }
    let path = directory.join(name);
    let part = directory.join(format!("{name}.part"));
    put(&part, bytes)
        .and_then(|()| fs::rename(&part, &path))
        .map_err(|error| {
            // What is there of it would only take room.
            let _ = fs::remove_file(&part);
            format!("{}: {error}", path.display())
        })?;
    let left = list(directory).unwrap_or_default();
    let ours = left
        .into_iter()
        .filter(|file| read_name(&file.name).is_some());
    let ours: Vec<Kept> = ours.collect();
    Ok(Written {
        path,
        removed,
        bytes: ours.iter().map(|file| file.bytes).sum(),
        names: ours.into_iter().map(|file| file.name).collect(),
    })
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Never through a link, and never over a file.
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)
}

/// Makes the directory, or checks that nobody else may put files there.
fn ready(directory: &Path) -> io::Result<()> {
    if let Err(error) = fs::symlink_metadata(directory)
        && error.kind() == io::ErrorKind::NotFound
    {
        return fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
    }
    let refused = |why: &str| {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            why.to_owned(),
        ))
    };
    let found = fs::metadata(directory)?;
    if !found.is_dir() {
        return refused("it is no directory");
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refused("it belongs to another user; name a directory of your own");
    }
    if found.mode() & 0o022 != 0 {
        return refused("other users may write there; `chmod 700` it");
    }
    Ok(())
}

fn list(directory: &Path) -> io::Result<Vec<Kept>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)?.take(LISTED) {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Links are no dumps of ours, wherever they lead.
        if let Ok(about) = entry.metadata()
            && about.is_file()
        {
            let bytes = about.len();
            files.push(Kept { name, bytes });
        }
    }
    Ok(files)
}
