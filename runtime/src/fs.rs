//! Files and directories, on the loop's executor: systems have no readiness for them.
//!
//! Each call is a job, named after the operation, so that a wait for a slow disk is seen as one.
//! Knows the executor as a place to make calls; the paths it is given stay with the call.

use std::fs::{DirEntry, Metadata, Permissions};
use std::path::{Path, PathBuf};

mod call;
mod file;

pub use call::FileCall;
pub use file::File;

/// Reads a whole file.
///
/// ```
/// # loop_runtime::run(async {
/// let name = loop_runtime::fs::read("/proc/self/comm").await?;
/// assert_eq!(name.last(), Some(&b'\n'));
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> FileCall<Vec<u8>> {
    FileCall::on("fs.read", path, |path| std::fs::read(path))
}

/// Reads a whole file of text.
///
/// Errors: `InvalidData` if it is not UTF-8.
///
/// ```
/// # loop_runtime::run(async {
/// let name = loop_runtime::fs::read_to_string("/proc/self/comm").await?;
/// assert!(name.ends_with('\n'));
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn read_to_string(path: impl AsRef<Path>) -> FileCall<String> {
    FileCall::on("fs.read", path, |path| std::fs::read_to_string(path))
}

/// Writes a whole file, in place of what it held; makes it if there is none.
///
/// Cancel: once it runs it goes on to the end.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let path = std::env::temp_dir().join(format!("loop-doc-write-{}", std::process::id()));
/// fs::write(&path, "a line\n").await?;
/// assert_eq!(fs::read_to_string(&path).await?, "a line\n");
/// fs::remove_file(&path).await?;
/// assert!(!fs::try_exists(&path).await?);
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> FileCall<()> {
    let (path, bytes) = (path.as_ref().to_owned(), bytes.as_ref().to_owned());
    FileCall::new("fs.write", move || std::fs::write(path, bytes))
}

/// Copies a file with its permissions; tells how many bytes it has.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let path = std::env::temp_dir().join(format!("loop-doc-copy-{}", std::process::id()));
/// fs::write(&path, "seven..").await?;
/// let copy = path.with_extension("copy");
/// assert_eq!(fs::copy(&path, &copy).await?, 7);
/// fs::remove_file(path).await?;
/// fs::remove_file(copy).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> FileCall<u64> {
    FileCall::on_both("fs.copy", from, to, |from, to| std::fs::copy(from, to))
}

/// Gives a file or directory another name, in place of what had that name.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let path = std::env::temp_dir().join(format!("loop-doc-rename-{}", std::process::id()));
/// fs::write(&path, "moves").await?;
/// let new = path.with_extension("new");
/// fs::rename(&path, &new).await?;
/// assert_eq!(fs::read(&new).await?, b"moves");
/// fs::remove_file(new).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on_both("fs.rename", from, to, |from, to| std::fs::rename(from, to))
}

/// What the system knows of a file or directory; of what a link leads to, for a link.
///
/// ```
/// # loop_runtime::run(async {
/// assert!(loop_runtime::fs::metadata("/").await?.is_dir());
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn metadata(path: impl AsRef<Path>) -> FileCall<Metadata> {
    FileCall::on("fs.metadata", path, |path| std::fs::metadata(path))
}

/// As `metadata`; of a link itself, for a link.
///
/// ```
/// # loop_runtime::run(async {
/// assert!(loop_runtime::fs::symlink_metadata("/proc/self/exe").await?.is_symlink());
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn symlink_metadata(path: impl AsRef<Path>) -> FileCall<Metadata> {
    FileCall::on("fs.metadata", path, |path| std::fs::symlink_metadata(path))
}

/// Whether there is something of that name.
///
/// ```
/// # loop_runtime::run(async {
/// assert!(!loop_runtime::fs::try_exists("/no/such/file").await?);
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn try_exists(path: impl AsRef<Path>) -> FileCall<bool> {
    FileCall::on("fs.exists", path, |path| std::fs::exists(path))
}

/// The whole path of something, without links and dots.
///
/// ```
/// # loop_runtime::run(async {
/// let root = loop_runtime::fs::canonicalize("/proc/..").await?;
/// assert_eq!(root.to_str(), Some("/"));
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn canonicalize(path: impl AsRef<Path>) -> FileCall<PathBuf> {
    FileCall::on("fs.canonicalize", path, |path| std::fs::canonicalize(path))
}

/// Where a link leads to.
///
/// ```
/// # loop_runtime::run(async {
/// let program = loop_runtime::fs::read_link("/proc/self/exe").await?;
/// assert!(program.is_absolute());
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn read_link(path: impl AsRef<Path>) -> FileCall<PathBuf> {
    FileCall::on("fs.read_link", path, |path| std::fs::read_link(path))
}

/// The entries of a directory, all at once, in the system's order.
///
/// Errors: also if one of the entries cannot be read.
///
/// ```
/// # loop_runtime::run(async {
/// let entries = loop_runtime::fs::read_dir("/proc/self").await?;
/// assert!(entries.iter().any(|entry| entry.file_name() == "comm"));
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> FileCall<Vec<DirEntry>> {
    FileCall::on("fs.read_dir", path, |path| {
        std::fs::read_dir(path)?.collect()
    })
}

/// Makes a directory; its parent has to be there.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let path = std::env::temp_dir().join(format!("loop-doc-dir-{}", std::process::id()));
/// fs::create_dir(&path).await?;
/// assert!(fs::create_dir(&path).await.is_err(), "it is there");
/// fs::remove_dir(&path).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn create_dir(path: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on("fs.create_dir", path, |path| std::fs::create_dir(path))
}

/// Makes a directory and what is missing above it; no error if it is there.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let top = std::env::temp_dir().join(format!("loop-doc-dirs-{}", std::process::id()));
/// fs::create_dir_all(top.join("a/b")).await?;
/// fs::write(top.join("a/b/file"), "").await?;
/// fs::remove_dir_all(top).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[doc(alias = "makedirs")]
#[track_caller]
pub fn create_dir_all(path: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on("fs.create_dir", path, |path| std::fs::create_dir_all(path))
}

/// Removes a file. As in the example of `write`.
#[doc(alias = "unlink")]
#[track_caller]
pub fn remove_file(path: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on("fs.remove_file", path, |path| std::fs::remove_file(path))
}

/// Removes an empty directory. As in the example of `create_dir`.
#[doc(alias = "rmdir")]
#[track_caller]
pub fn remove_dir(path: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on("fs.remove_dir", path, |path| std::fs::remove_dir(path))
}

/// Removes a directory with all that it holds. As in the example of `create_dir_all`.
#[doc(alias = "rmtree")]
#[track_caller]
pub fn remove_dir_all(path: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on("fs.remove_dir", path, |path| std::fs::remove_dir_all(path))
}

/// Gives a file a second name, on the same file system.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let path = std::env::temp_dir().join(format!("loop-doc-link-{}", std::process::id()));
/// fs::write(&path, "one file").await?;
/// let second = path.with_extension("second");
/// fs::hard_link(&path, &second).await?;
/// fs::remove_file(&path).await?;
/// assert_eq!(fs::read(&second).await?, b"one file");
/// fs::remove_file(second).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> FileCall<()> {
    FileCall::on_both("fs.link", from, to, |from, to| std::fs::hard_link(from, to))
}

/// Makes a link at `link` that leads to `to`.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let link = std::env::temp_dir().join(format!("loop-doc-symlink-{}", std::process::id()));
/// fs::symlink("/proc/self/comm", &link).await?;
/// assert_eq!(fs::read_link(&link).await?.to_str(), Some("/proc/self/comm"));
/// fs::remove_file(link).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[cfg(unix)]
#[track_caller]
pub fn symlink(to: impl AsRef<Path>, link: impl AsRef<Path>) -> FileCall<()> {
    let call = |to: &Path, link: &Path| std::os::unix::fs::symlink(to, link);
    FileCall::on_both("fs.link", to, link, call)
}

/// Sets what may be done with a file, and by whom.
///
/// ```
/// use loop_runtime::fs;
/// # loop_runtime::run(async {
/// let path = std::env::temp_dir().join(format!("loop-doc-mode-{}", std::process::id()));
/// fs::write(&path, "").await?;
/// let mut permissions = fs::metadata(&path).await?.permissions();
/// permissions.set_readonly(true);
/// fs::set_permissions(&path, permissions).await?;
/// assert!(fs::metadata(&path).await?.permissions().readonly());
/// fs::remove_file(path).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[doc(alias = "chmod")]
#[track_caller]
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> FileCall<()> {
    let path = path.as_ref().to_owned();
    FileCall::new("fs.set_permissions", move || {
        std::fs::set_permissions(path, permissions)
    })
}
