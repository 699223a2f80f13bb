//! Where the workspace's programs lie that a test starts.

use std::path::PathBuf;

/// The folder with all that the workspace builds.
pub(crate) fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let deps = test.parent().expect("it lies in a folder");
    deps.parent().expect("below another").to_owned()
}

/// A program of the workspace, by its path below that folder.
pub(crate) fn program(path: &str) -> PathBuf {
    let path = built().join(path);
    assert!(
        path.exists(),
        "{} is missing; run `cargo build --workspace --examples --bins`",
        path.display()
    );
    path
}
