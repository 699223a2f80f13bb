//! All of a conversation with a child at once: write, read, wait. Knows no kernel.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Output};
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;

use super::child::{Child, Wait};
use super::command::Command;
use super::pipe::ChildStdout;

/// How far a conversation is.
#[derive(Default)]
struct Talk {
    written: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    wait: Option<Wait>,
}

impl Talk {
    /// Goes on with all three pipes and then waits for the exit.
    ///
    /// The last thing that is found not to be ready is what the screen says the task waits for:
    /// most to the point, the child's output.
    #[track_caller]
    fn poll(
        &mut self,
        child: &mut Child,
        input: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Output>> {
        let written = self.write(child, input, cx)?;
        let stderr = read(&mut child.stderr, &mut self.stderr, cx)?;
        let stdout = read(&mut child.stdout, &mut self.stdout, cx)?;
        if written.is_pending() || stderr.is_pending() || stdout.is_pending() {
            return Poll::Pending;
        }
        let wait = self.wait.get_or_insert_with(|| child.wait());
        let status = ready!(Pin::new(wait).poll(cx))?;
        Poll::Ready(Ok(Output {
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
        }))
    }

    #[track_caller]
    fn write(
        &mut self,
        child: &mut Child,
        input: &[u8],
        cx: &mut Context<'_>,
    ) -> io::Result<Poll<()>> {
        let Some(stdin) = &mut child.stdin else {
            return if self.written == 0 && !input.is_empty() {
                Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "there is input for the child and no pipe to it; start it with \
                     `stdin(Stdio::piped())`",
                ))
            } else {
                Ok(Poll::Ready(()))
            };
        };
        while self.written < input.len() {
            match Pin::new(&mut *stdin).poll_write(cx, &input[self.written..]) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) if wants_no_more(&error) => {
                    self.written = input.len();
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        child.stdin = None;
        Ok(Poll::Ready(()))
    }
}

/// It ended, or closed its input, before it had read all: as it likes.
fn wants_no_more(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

#[track_caller]
fn read(
    from: &mut Option<ChildStdout>,
    into: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> io::Result<Poll<()>> {
    let Some(pipe) = from else {
        return Ok(Poll::Ready(()));
    };
    match pipe.poll_to_end(cx, into) {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(())) => {
            *from = None;
            Ok(Poll::Ready(()))
        }
    }
}

/// See [`Child::communicate`].
#[must_use = "futures do nothing unless awaited"]
pub struct Communicate<'a> {
    child: &'a mut Child,
    input: &'a [u8],
    talk: Talk,
}

impl<'a> Communicate<'a> {
    pub(super) fn new(child: &'a mut Child, input: &'a [u8]) -> Self {
        Self {
            child,
            input,
            talk: Talk::default(),
        }
    }
}

impl Future for Communicate<'_> {
    type Output = io::Result<Output>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.talk.poll(this.child, this.input, cx)
    }
}

impl fmt::Debug for Communicate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Communicate")
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

/// A child from its start to its end; see [`Command::output`].
#[must_use = "futures do nothing unless awaited"]
pub struct Finish<T> {
    stage: Stage,
    talk: Talk,
    give: fn(Output) -> T,
}

enum Stage {
    New(Box<Command>),
    Runs(Box<Child>),
    Over,
}

impl Finish<Output> {
    pub(super) fn output(command: Command) -> Self {
        Self::new(command, |output| output)
    }
}

impl Finish<ExitStatus> {
    pub(super) fn status(command: Command) -> Self {
        Self::new(command, |output| output.status)
    }
}

impl<T> Finish<T> {
    fn new(command: Command, give: fn(Output) -> T) -> Self {
        Self {
            stage: Stage::New(Box::new(command)),
            talk: Talk::default(),
            give,
        }
    }
}

impl<T> Future for Finish<T> {
    type Output = io::Result<T>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Stage::New(_) = this.stage
            && let Stage::New(command) = std::mem::replace(&mut this.stage, Stage::Over)
        {
            this.stage = Stage::Runs(Box::new(command.spawn()?));
        }
        let Stage::Runs(child) = &mut this.stage else {
            panic!("polled after it was ready");
        };
        let ended = ready!(this.talk.poll(child, &[], cx));
        this.stage = Stage::Over;
        Poll::Ready(ended.map(this.give))
    }
}

impl<T> fmt::Debug for Finish<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Finish");
        if let Stage::Runs(child) = &self.stage {
            debug.field("child", child);
        }
        debug.finish_non_exhaustive()
    }
}
