//! What is to be started, and its start. Knows how a child is watched only as a call.

use std::ffi::OsStr;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::process::Pid;

use super::child::Child;
use super::communicate::Finish;
use super::exit;
use super::kernel::{self, Process};
use super::pipe::{ChildStdin, ChildStdout};
use crate::context::{self, Organs};
use crate::os::open_files;
use crate::record::child::pipe;
use crate::signal::Signal;

/// A program with its arguments, to be started: `spawn` it, or await it.
///
/// Source: asyncio's `create_subprocess_exec`.
///
/// ```
/// use loop_runtime::process::{Stdio, create_subprocess_exec};
/// # loop_runtime::run(async {
/// let mut echo = create_subprocess_exec("echo", ["hello"]).stdout(Stdio::piped()).await?;
/// let mut said = Vec::new();
/// echo.stdout.take().expect("asked for").read_to_end(&mut said).await?;
/// assert_eq!(said, b"hello\n");
/// assert!(echo.wait().await?.success());
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[doc(alias = "subprocess")]
pub fn create_subprocess_exec<I, S>(program: impl AsRef<OsStr>, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    Command::new(program).args(arguments)
}

/// A line for `/bin/sh`, to be started. What the line holds is run: nothing of it may come from
/// somebody who is not trusted.
///
/// Source: asyncio's `create_subprocess_shell`.
///
/// ```
/// # loop_runtime::run(async {
/// let line = loop_runtime::process::create_subprocess_shell("echo one two | wc -w");
/// assert_eq!(line.output().await?.stdout.trim_ascii(), b"2");
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
pub fn create_subprocess_shell(line: impl AsRef<OsStr>) -> Command {
    Command::new("/bin/sh").arg("-c").arg(line)
}

/// What is to be started, and how.
///
/// Standard input, output and error are inherited unless set.
///
/// ```
/// use loop_runtime::process::Command;
/// # loop_runtime::run(async {
/// let output = Command::new("printenv").arg("MOOD").env("MOOD", "calm").output().await?;
/// assert_eq!(output.stdout, b"calm\n");
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a command does nothing until it is spawned or awaited"]
pub struct Command {
    std: std::process::Command,
    /// Bits of `record::child::pipe`: which of the three were set.
    set: u8,
    /// Both outputs go through one pipe.
    merged: bool,
    process_group: Option<i32>,
    new_session: bool,
    kill_on_drop: bool,
    pidfd: bool,
}

impl Command {
    /// Runs `program`: a path, or a name that is looked for in PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            std: std::process::Command::new(program),
            set: 0,
            merged: false,
            process_group: None,
            new_session: false,
            kill_on_drop: true,
            pidfd: true,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.std.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.std.args(arguments);
        self
    }

    /// Sets a variable of its environment, which is this process's otherwise.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.std.env(name, value);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.std.env_remove(name);
        self
    }

    /// Begins with an empty environment.
    pub fn env_clear(mut self) -> Self {
        self.std.env_clear();
        self
    }

    /// The directory it starts in.
    #[doc(alias = "current_dir")]
    pub fn cwd(mut self, directory: impl AsRef<Path>) -> Self {
        self.std.current_dir(directory);
        self
    }

    /// Its standard input. `Stdio::piped()`: `Child::stdin`.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.std.stdin(stdin);
        self.set |= pipe::STDIN;
        self
    }

    /// Its standard output. `Stdio::piped()`: `Child::stdout`.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.std.stdout(stdout);
        self.merged = false;
        self.set |= pipe::STDOUT;
        self
    }

    /// Its standard error. `Stdio::piped()`: `Child::stderr`.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.std.stderr(stderr);
        self.merged = false;
        self.set |= pipe::STDERR;
        self
    }

    /// Both its standard output and its standard error come through one pipe, in the order in which
    /// they are written: `Child::stdout`.
    ///
    /// Source: asyncio's `stdout=PIPE, stderr=STDOUT`.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let both = loop_runtime::process::create_subprocess_shell("echo one; echo two >&2; echo three");
    /// assert_eq!(both.stderr_to_stdout().output().await?.stdout, b"one\ntwo\nthree\n");
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[doc(alias = "STDOUT")]
    pub fn stderr_to_stdout(mut self) -> Self {
        self.merged = true;
        self.set |= pipe::STDOUT | pipe::STDERR;
        self
    }

    /// Puts it into that process group; 0: one of its own, which `Child::kill_group` ends as a
    /// whole, and which the terminal's Ctrl-C does not reach.
    pub fn process_group(mut self, group: i32) -> Self {
        self.process_group = Some(group);
        self
    }

    /// Has it lead a session of its own, and with that a process group of its own.
    ///
    /// Forks rather than spawns, which takes longer the more memory this process has.
    #[doc(alias = "start_new_session")]
    #[doc(alias = "setsid")]
    pub fn new_session(mut self) -> Self {
        self.new_session = true;
        self
    }

    /// Whether dropping the `Child` kills the child; it does unless told otherwise.
    pub fn kill_on_drop(mut self, kill: bool) -> Self {
        self.kill_on_drop = kill;
        self
    }

    /// As on a system without descriptors for processes; for tests.
    #[doc(hidden)]
    pub fn without_pidfd(mut self) -> Self {
        self.pidfd = false;
        self
    }

    /// Starts it, which takes about a millisecond of this thread: until the program is loaded.
    ///
    /// There is no moment at which a cancel could lose the child: it is either not started or
    /// yours.
    ///
    /// Errors: no such program or directory, no right to run it, no descriptor left; each without
    /// a trace of the child. No loop runs here.
    /// Records: a child, with this place; a source for its exit and one for each pipe.
    #[track_caller]
    pub fn spawn(self) -> io::Result<Child> {
        self.spawn_at(Location::caller())
    }

    fn spawn_at(mut self, place: &'static Location<'static>) -> io::Result<Child> {
        let organs = context::current().map_err(io::Error::other)?;
        if self.new_session {
            kernel::begin_session(&mut self.std);
        } else if let Some(group) = self.process_group {
            self.std.process_group(group);
        }
        let merged = if self.merged {
            let (reader, writer) = io::pipe()?;
            self.std.stdout(writer.try_clone()?).stderr(writer);
            Some(OwnedFd::from(reader))
        } else {
            None
        };
        let started = self.std.spawn().map_err(|error| self.explained(&error))?;
        let pid = Pid::from_raw(started.id().cast_signed()).expect("a child has a process id");
        let leads_group = self.new_session || self.process_group == Some(0);
        let process = Arc::new(Process::new(pid, leads_group, self.pidfd));
        self.adopt(&organs, started, merged, &process, place)
            .inspect_err(|_| {
                // It has just been started and nobody has it: it cannot be left to itself.
                let _ = process.signal(Signal::KILL.number());
                exit::reap_elsewhere(&process);
            })
    }

    /// Watches what was started.
    fn adopt(
        &self,
        organs: &Organs,
        mut started: std::process::Child,
        merged: Option<OwnedFd>,
        process: &Arc<Process>,
        place: &'static Location<'static>,
    ) -> io::Result<Child> {
        let path = Path::new(self.std.get_program());
        let program = path.file_name().unwrap_or(path.as_os_str());
        let program = program.to_string_lossy().into_owned();
        let entry = exit::watch(organs, process.clone(), &program, place)?;
        let mut child = Child::new(entry.clone(), process.clone(), program, self.kill_on_drop);
        if let Some(stdin) = started.stdin.take() {
            child.stdin = Some(ChildStdin::new(stdin.into(), &entry, place)?);
        }
        if let Some(stdout) = merged.or_else(|| started.stdout.take().map(OwnedFd::from)) {
            let stdout = ChildStdout::new(stdout, &entry, pipe::STDOUT, place)?;
            child.stdout = Some(stdout);
        }
        if let Some(stderr) = started.stderr.take() {
            let stderr = ChildStdout::new(stderr.into(), &entry, pipe::STDERR, place)?;
            child.stderr = Some(stderr);
        }
        Ok(child)
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        let program = self.std.get_program();
        let mut text = match self.std.get_current_dir() {
            Some(directory) => format!("cannot start {program:?} in {directory:?}: {error}"),
            None => format!("cannot start {program:?}: {error}"),
        };
        if let Some(advice) = open_files::advice(error) {
            text.push_str("; ");
            text.push_str(&advice);
        }
        io::Error::new(error.kind(), text)
    }

    /// Starts it and waits for its end.
    ///
    /// Errors: as `spawn`.
    /// Cancel: kills it, unless `kill_on_drop(false)`.
    pub fn status(self) -> Finish<ExitStatus> {
        Finish::status(self)
    }

    /// Starts it, reads all it writes, and waits for its end. What was not set is null for its
    /// input and a pipe for both outputs.
    ///
    /// Errors and cancel: as `status`.
    pub fn output(mut self) -> Finish<Output> {
        if self.set & pipe::STDIN == 0 {
            self = self.stdin(Stdio::null());
        }
        if self.set & pipe::STDOUT == 0 {
            self = self.stdout(Stdio::piped());
        }
        if self.set & pipe::STDERR == 0 {
            self = self.stderr(Stdio::piped());
        }
        Finish::output(self)
    }
}

/// The start of a child, as asyncio awaits it; ready at its first poll.
#[must_use = "futures do nothing unless awaited"]
pub struct Spawn(Option<Command>);

impl IntoFuture for Command {
    type Output = io::Result<Child>;
    type IntoFuture = Spawn;

    fn into_future(self) -> Spawn {
        Spawn(Some(self))
    }
}

impl Future for Spawn {
    type Output = io::Result<Child>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let command = self.0.take().expect("polled after it was ready");
        Poll::Ready(command.spawn())
    }
}

impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawn").field(&self.0).finish()
    }
}
