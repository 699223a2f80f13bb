//! The world of one test: a directory of sockets, and the real console in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) mod built;

use built::program;

/// A directory of sockets of its own, so that no test sees another's apps.
pub(crate) struct World(pub(crate) PathBuf);

/// What a command printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let (suite, process) = (env!("CARGO_CRATE_NAME"), std::process::id());
        let path = PathBuf::from(format!("/tmp/lc-{suite}-{name}-{process}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
        Self(path)
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("LOOP_CONSOLE_DIR", &self.0)
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("LOOP_CONSOLE")
            .env_remove("LOOP_CONSOLE_BUDGET")
            .env_remove("LOOP_CONSOLE_TOKEN")
            .env_remove("LOOP_CONSOLE_TOKEN_FILE")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn console_command(&self) -> Command {
        self.command(&program("loop-console"))
    }

    pub(crate) fn console(&self, arguments: &[&str]) -> Said {
        Said::of(self.console_command().args(arguments))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Said {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program can be started");
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
