//! The pipes to and from a child. Closing one is stated in the child's row.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::exit::{Entry, Shared};
use crate::io::{PipeReader, PipeWriter};
use crate::record::bound::LoopBound;
use crate::record::child::pipe;

/// States that a pipe is closed when it is dropped.
struct Open {
    of: Shared,
    bit: u8,
}

impl Open {
    fn bound(of: &Shared, entry: &Entry, bit: u8) -> LoopBound<Self> {
        entry.state_pipe(bit, true);
        LoopBound::new(
            of.made_on(),
            Self {
                of: of.clone(),
                bit,
            },
        )
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Elsewhere the loop is closed, and its rows are gone.
        if let Ok(entry) = self.of.get() {
            entry.state_pipe(self.bit, false);
        }
    }
}

/// The pipe to a child's standard input. Closing it, or dropping it, is the end of that input.
///
/// Implements `futures-io`'s `AsyncWrite`.
/// Errors: `BrokenPipe` once the child, and all who got the pipe from it, closed their end; a
/// child that has ended did.
/// Cancel: what was written is written.
/// Records: a source of kind pipe, linked to the child.
#[derive(Debug)]
pub struct ChildStdin {
    pipe: PipeWriter,
    open: Option<Stated>,
}

/// The pipe from a child's standard output or standard error.
///
/// It ends when the child, and all who got the pipe from it, closed their end: a grandchild may
/// keep it open after the child has ended.
///
/// Implements `futures-io`'s `AsyncRead`.
/// Cancel: no bytes are lost.
/// Records: a source of kind pipe, linked to the child.
#[derive(Debug)]
pub struct ChildStdout {
    pipe: PipeReader,
    _open: Stated,
}

/// The pipe from a child's standard error.
pub type ChildStderr = ChildStdout;

struct Stated {
    _open: LoopBound<Open>,
}

impl std::fmt::Debug for Stated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

impl ChildStdin {
    pub(super) fn new(
        fd: OwnedFd,
        of: &Shared,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let entry = of.get().map_err(io::Error::other)?;
        let pipe = PipeWriter::of_child(fd, (entry.id, pipe::STDIN), place)?;
        let open = Stated {
            _open: Open::bound(of, entry, pipe::STDIN),
        };
        Ok(Self {
            pipe,
            open: Some(open),
        })
    }

    /// Writes what fits.
    pub fn write<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        self.pipe.write(buf)
    }

    /// Writes it all. asyncio's `write` and `drain` in one.
    #[doc(alias = "drain")]
    pub fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        self.pipe.write_all(buf)
    }
}

impl ChildStdout {
    pub(super) fn new(
        fd: OwnedFd,
        of: &Shared,
        bit: u8,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let entry = of.get().map_err(io::Error::other)?;
        let pipe = PipeReader::of_child(fd, (entry.id, bit), place)?;
        Ok(Self {
            pipe,
            _open: Stated {
                _open: Open::bound(of, entry, bit),
            },
        })
    }

    /// Reads what is there, up to the buffer's length; 0 at the end.
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        self.pipe.read(buf)
    }

    /// Fills the buffer.
    ///
    /// Errors: `UnexpectedEof` if the output ends before; what came is in the buffer.
    #[doc(alias = "readexactly")]
    pub fn read_exact<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        self.pipe.read_exact(buf)
    }

    /// Reads to the end and appends it to `bytes`; tells how much it was.
    ///
    /// Cancel: what was read is in `bytes`.
    pub fn read_to_end<'a>(
        &'a mut self,
        bytes: &'a mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        let had = bytes.len();
        ToEnd {
            pipe: self,
            bytes,
            had,
        }
    }

    /// Reads on, up to the end, which is `Ready`.
    #[track_caller]
    pub(super) fn poll_to_end(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<()>> {
        let most = bytes.len() + TURN;
        while bytes.len() < most {
            let had = bytes.len();
            // As much again as there is: what is little costs little, and much few calls.
            bytes.resize(had + had.clamp(LEAST, MOST), 0);
            let read = Pin::new(&mut self.pipe).poll_read(cx, &mut bytes[had..]);
            bytes.truncate(had + moved(&read));
            match ready!(read) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // A child that writes as fast as we read must not keep the loop to itself.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Bytes read at a time.
const LEAST: usize = 1024;
const MOST: usize = 64 * 1024;
/// Bytes after which others have their turn.
const TURN: usize = 256 * 1024;

/// How many bytes came.
fn moved(read: &Poll<io::Result<usize>>) -> usize {
    match read {
        Poll::Ready(Ok(read)) => *read,
        _ => 0,
    }
}

/// See `ChildStdout::read_to_end`.
struct ToEnd<'a> {
    pipe: &'a mut ChildStdout,
    bytes: &'a mut Vec<u8>,
    had: usize,
}

impl Future for ToEnd<'_> {
    type Output = io::Result<usize>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.pipe.poll_to_end(cx, this.bytes))?;
        Poll::Ready(Ok(this.bytes.len() - this.had))
    }
}

impl AsyncWrite for ChildStdin {
    #[track_caller]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    #[track_caller]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open = None;
        Pin::new(&mut self.pipe).poll_close(cx)
    }
}

impl AsyncRead for ChildStdout {
    #[track_caller]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }

    #[track_caller]
    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_read_vectored(cx, bufs)
    }
}
