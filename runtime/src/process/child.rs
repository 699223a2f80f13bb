//! A child that was started: wait for it, signal it, drop it.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::communicate::Communicate;
use super::exit::{Shared, code_of};
use super::kernel::Process;
use super::pipe::{ChildStderr, ChildStdin, ChildStdout};
use crate::signal::Signal;
use crate::sync::waiters::Ticket;

/// A child process of this loop.
///
/// Cancel: dropping it while the child runs kills the child (`Command::kill_on_drop` says
/// otherwise) and says so in the log; it is reaped in any case, also after the loop's close.
/// Records: a child, until it has ended and neither this nor a pipe is held: pid, program, status,
/// which pipes are open, who waits.
/// Source: asyncio's `asyncio.subprocess.Process`.
pub struct Child {
    /// The pipe to its standard input, if one was asked for.
    pub stdin: Option<ChildStdin>,
    /// The pipe from its standard output, if one was asked for.
    pub stdout: Option<ChildStdout>,
    /// The pipe from its standard error, if one was asked for.
    pub stderr: Option<ChildStderr>,
    entry: Shared,
    held: Held,
}

/// What the drop of a child sees to.
struct Held {
    process: Arc<Process>,
    program: String,
    kill_on_drop: bool,
}

impl Child {
    pub(super) fn new(entry: Shared, process: Arc<Process>, program: String, kill: bool) -> Self {
        Self {
            stdin: None,
            stdout: None,
            stderr: None,
            entry,
            held: Held {
                process,
                program,
                kill_on_drop: kill,
            },
        }
    }

    /// Its process id. Once it has ended, the number may be another process's.
    pub fn pid(&self) -> u32 {
        self.held.process.pid()
    }

    /// How it ended; `None` while it runs or the loop has not heard of its end.
    pub fn status(&self) -> Option<ExitStatus> {
        self.held.process.exit().map(|exit| exit.status)
    }

    /// As `status`, as asyncio has it: the exit code, or the signal that ended it, negated.
    pub fn returncode(&self) -> Option<i32> {
        code_of(self.status()?)
    }

    /// Waits until it has ended.
    ///
    /// Any number may wait at once, in other tasks too: the future does not borrow the child. It
    /// does not wait for the pipes, which a grandchild may keep open, and does not read them: a
    /// child that fills a pipe nobody reads never ends (`communicate` reads). If somebody else in
    /// the program took the status, it is 255, and the log says so.
    ///
    /// Errors: another loop runs here.
    /// Cancel: safe.
    /// Records: the task waits for the child.
    /// Source: asyncio's `Process.wait`; on exit only, as from its 3.16.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let child = loop_runtime::process::create_subprocess_shell("exit 7").spawn()?;
    /// assert_eq!(child.wait().await?.code(), Some(7));
    /// assert_eq!(child.returncode(), Some(7));
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    pub fn wait(&self) -> Wait {
        Wait {
            of: self.entry.clone(),
            ticket: Ticket::default(),
        }
    }

    /// Writes `input` to it, closes its standard input, reads all it writes, and waits for its end.
    ///
    /// Only what was asked for as a pipe is written and read. A child that does not read all of
    /// `input` is no error. The output ends when all who got it from the child have closed it, as
    /// with asyncio.
    ///
    /// Errors: `InvalidInput`: there is something to write, and no pipe; another loop runs here.
    /// Cancel: what was read is lost; the child goes on, and is dropped with this value.
    /// Source: asyncio's `Process.communicate`.
    ///
    /// ```
    /// use loop_runtime::process::{Stdio, create_subprocess_exec};
    /// # loop_runtime::run(async {
    /// let cat = create_subprocess_exec("cat", [""; 0]).stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let output = cat.spawn()?.communicate(b"there and back").await?;
    /// assert_eq!(output.stdout, b"there and back");
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[doc(alias = "wait_with_output")]
    pub fn communicate<'a>(&'a mut self, input: &'a [u8]) -> Communicate<'a> {
        Communicate::new(self, input)
    }

    /// Sends it a signal. Works from any thread.
    ///
    /// Errors: `NotFound` once it has ended, whether anybody has noticed or not: no other process
    /// is ever signalled; `InvalidInput` for a number that is no signal.
    /// Source: asyncio's `Process.send_signal`.
    ///
    /// ```
    /// use loop_runtime::{process::create_subprocess_exec, signal::Signal};
    /// # loop_runtime::run(async {
    /// let child = create_subprocess_exec("sleep", ["100"]).spawn()?;
    /// child.send_signal(Signal::HUP)?;
    /// child.wait().await?;
    /// assert_eq!(child.returncode(), Some(-1));
    /// let error = child.send_signal(Signal::HUP).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[doc(alias = "ProcessLookupError")]
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.held.process.signal(signal.number())
    }

    /// Asks it to end: SIGTERM. As `send_signal`.
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(Signal::TERM)
    }

    /// Ends it: SIGKILL. As `send_signal`; does not wait.
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL)
    }

    /// Ends it and all of its process group: what it started too, unless that left the group.
    ///
    /// Works also when the child itself has ended and others of the group live; with an exact
    /// answer from Linux 6.9 on, and an error on older kernels and others.
    ///
    /// Errors: `InvalidInput`: the child leads no group (`Command::process_group(0)` or
    /// `new_session` make it lead one); `NotFound`: nobody is left.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let shell = loop_runtime::process::create_subprocess_shell("sleep 100 & wait");
    /// let child = shell.process_group(0).spawn()?;
    /// child.kill_group()?;
    /// child.wait().await?;
    /// assert_eq!(child.returncode(), Some(-9));
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[doc(alias = "killpg")]
    pub fn kill_group(&self) -> io::Result<()> {
        self.held.process.signal_group(Signal::KILL.number())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (process, program) = (&self.process, &self.program);
        if process.exit().is_some() {
            return;
        }
        let pid = process.pid();
        if !self.kill_on_drop {
            tracing::debug!(
                pid,
                ?program,
                "a child goes on without anybody who holds it; it will be reaped"
            );
            return;
        }
        match process.signal(Signal::KILL.number()) {
            Ok(()) => tracing::warn!(
                pid,
                ?program,
                "a child was dropped while it ran, so it was killed; wait for it, or set \
                 `kill_on_drop(false)`"
            ),
            // It has ended by itself; its loop, or the thread that waits for it, will hear of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(pid, ?program, %error, "a child was dropped and cannot be killed");
            }
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid())
            .field("program", &self.held.program)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// See [`Child::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct Wait {
    of: Shared,
    ticket: Ticket,
}

impl Future for Wait {
    type Output = io::Result<ExitStatus>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let this = &mut *self;
        match this.of.get() {
            Ok(entry) => entry.poll_exit(&mut this.ticket, cx, place).map(Ok),
            Err(wrong) => Poll::Ready(Err(io::Error::other(wrong))),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.ticket.is_empty() {
            return;
        }
        if let Ok(entry) = self.of.get() {
            entry.forget(&mut self.ticket);
            return;
        }
        let (of, mut ticket) = (self.of.clone(), std::mem::take(&mut self.ticket));
        let errand = move || {
            if let Ok(entry) = of.get() {
                entry.forget(&mut ticket);
            }
        };
        // A closed loop has no waiters to forget.
        let _ = crate::record::bound::send(self.of.made_on(), Box::new(errand));
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
