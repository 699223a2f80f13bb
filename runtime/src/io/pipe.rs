//! Pipes: the two ends of one made here, or any that exists, read and written without blocking.
//!
//! Knows descriptors; knows no processes, whose pipes are wrapped in these.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fs::FileType;

use super::registered::Registered;
use super::transfer::{self, Transfer};
use crate::reactor::Interests;
use crate::record::source::{Address, Kind, Registration};

/// A pipe: what is written to the second is read from the first.
///
/// Both are closed at `exec`; a child gets one of them only if it is handed to it.
/// Errors: no descriptor left; no loop runs here.
/// Records: two sources of kind pipe.
///
/// ```
/// # loop_runtime::run(async {
/// let (mut reader, mut writer) = loop_runtime::io::pipe()?;
/// writer.write_all(b"through").await?;
/// drop(writer);
/// let mut bytes = [0; 7];
/// reader.read_exact(&mut bytes).await?;
/// assert_eq!(&bytes, b"through");
/// assert_eq!(reader.read(&mut bytes).await?, 0, "the writer is gone");
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[doc(alias = "os.pipe")]
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::new(reader)?, PipeWriter::new(writer)?))
}

/// The end of a pipe that is read from.
///
/// Implements `futures-io`'s `AsyncRead`. Errors, cancel and records: as
/// [`Stream`](crate::net::Stream); the row's kind is pipe.
pub struct PipeReader {
    io: Registered<End>,
}

/// The end of a pipe that is written to.
///
/// Implements `futures-io`'s `AsyncWrite`; its `close`, like dropping it, closes the descriptor,
/// which is the only way in which a pipe tells its reader that no more comes. Errors, cancel and
/// records: as [`Stream`](crate::net::Stream); the row's kind is pipe.
pub struct PipeWriter {
    /// `None` once closed.
    io: Option<Registered<End>>,
}

/// A descriptor with what is known of it.
pub(crate) struct End {
    file: File,
    /// Whether a short transfer says that there is no more now: not on a terminal, which gives a
    /// line at a time, nor on what keeps messages apart.
    short_is_empty: bool,
}

impl PipeReader {
    /// Takes over the reading end of a pipe, a fifo, a socket or a terminal.
    ///
    /// The descriptor is set non-blocking, and with it every duplicate of it, in other processes
    /// too.
    /// Errors: `Unsupported`, with what to do instead, for a file without readiness.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let (reader, writer) = std::io::pipe()?;
    /// let mut reader = loop_runtime::io::PipeReader::new(reader)?;
    /// drop(writer);
    /// assert_eq!(reader.read(&mut [0; 8]).await?, 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    /// Source: asyncio's `connect_read_pipe`.
    #[doc(alias = "connect_read_pipe")]
    #[track_caller]
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        let plain = is_plain_pipe(&fd)?;
        let io = End::register(fd, plain, Interests::READS, Location::caller())?;
        Ok(Self { io })
    }

    /// The end of a plain pipe from that stream, a bit of `record::child::pipe`, of the child whose
    /// row has that id.
    pub(crate) fn of_child(
        fd: OwnedFd,
        (child, stream): (u64, u8),
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let io = End::register(fd, true, Interests::READS, place)?;
        io.with_row(|row| row.set_child(child, stream));
        Ok(Self { io })
    }

    /// The id under which the record and the console list it.
    pub fn id(&self) -> io::Result<u64> {
        self.io.id()
    }

    /// The descriptor, on the pipe's own loop.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.io.get().map(|end| end.file.as_fd())
    }

    pub(crate) fn into_io(self) -> Registered<End> {
        self.io
    }

    /// Reads what is there, up to the buffer's length; 0 when all writers are gone.
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        transfer::read(&self.io, buf)
    }

    /// Fills the buffer.
    ///
    /// Errors: `UnexpectedEof` if the writers go before; what came is in the buffer.
    pub fn read_exact<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        transfer::read_exact(&self.io, buf)
    }
}

impl PipeWriter {
    /// Takes over the writing end of a pipe, a fifo, a socket or a terminal.
    ///
    /// The descriptor is set non-blocking, and with it every duplicate of it, in other processes
    /// too.
    /// Errors: `Unsupported`, with what to do instead, for a file without readiness.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let (reader, writer) = std::io::pipe()?;
    /// let mut writer = loop_runtime::io::PipeWriter::new(writer)?;
    /// drop(reader);
    /// let error = writer.write_all(b"to nobody").await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    /// Source: asyncio's `connect_write_pipe`.
    #[doc(alias = "connect_write_pipe")]
    #[track_caller]
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        let plain = is_plain_pipe(&fd)?;
        let io = End::register(fd, plain, Interests::WRITES, Location::caller())?;
        Ok(Self { io: Some(io) })
    }

    /// The end of a plain pipe to that stream, a bit of `record::child::pipe`, of the child whose
    /// row has that id.
    pub(crate) fn of_child(
        fd: OwnedFd,
        (child, stream): (u64, u8),
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let io = End::register(fd, true, Interests::WRITES, place)?;
        io.with_row(|row| row.set_child(child, stream));
        Ok(Self { io: Some(io) })
    }

    /// The id under which the record and the console list it.
    ///
    /// Errors: closed.
    pub fn id(&self) -> io::Result<u64> {
        self.open()?.id()
    }

    /// The descriptor, on the pipe's own loop.
    ///
    /// Errors: closed.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.open()?.get().map(|end| end.file.as_fd())
    }

    /// Writes what fits.
    ///
    /// Errors: `BrokenPipe` if all readers are gone.
    pub fn write<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        Closable(self.open().map(|io| transfer::write(io, buf)).map_err(Some))
    }

    /// Writes it all.
    ///
    /// Errors: `BrokenPipe` if all readers are gone; a part may have been written.
    pub fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        let write = self.open().map(|io| transfer::write_all(io, buf));
        Closable(write.map_err(Some))
    }

    pub(crate) fn into_io(self) -> io::Result<Registered<End>> {
        self.io.ok_or_else(closed)
    }

    fn open(&self) -> io::Result<&Registered<End>> {
        self.io.as_ref().ok_or_else(closed)
    }
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "this end of the pipe was closed; write before `close`",
    )
}

/// A call on an end, or the error that it is closed.
#[must_use = "futures do nothing unless awaited"]
struct Closable<F>(Result<F, Option<io::Error>>);

impl<R, F: Future<Output = io::Result<R>> + Unpin> Future for Closable<F> {
    type Output = io::Result<R>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Ok(call) => Pin::new(call).poll(cx),
            Err(error) => Poll::Ready(Err(error.take().expect("polled after it was ready"))),
        }
    }
}

impl End {
    /// `plain`: a pipe of bytes, rather than of packets, and nothing else.
    fn register(
        fd: OwnedFd,
        plain: bool,
        interests: Interests,
        place: &'static Location<'static>,
    ) -> io::Result<Registered<Self>> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let registration = Registration {
            kind: Kind::Pipe,
            fd: fd.as_raw_fd().into(),
            local: Address::None,
            peer: Address::None,
            place: Some(place),
        };
        let end = Self {
            short_is_empty: plain,
            file: File::from(fd),
        };
        Registered::new(end, interests, &registration)
    }
}

/// A pipe or fifo of bytes, rather than of packets.
fn is_plain_pipe(fd: &OwnedFd) -> io::Result<bool> {
    let is_fifo = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Fifo;
    #[cfg(target_os = "linux")]
    let packets = rustix::fs::fcntl_getfl(fd)?.contains(rustix::fs::OFlags::DIRECT);
    #[cfg(not(target_os = "linux"))]
    let packets = false;
    Ok(is_fifo && !packets)
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl mio::event::Source for End {
    fn register(&mut self, on: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).register(on, token, interest)
    }

    fn reregister(&mut self, on: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).reregister(on, token, interest)
    }

    fn deregister(&mut self, on: &Registry) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).deregister(on)
    }
}

impl Transfer for End {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buf)
    }

    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.file).read_vectored(bufs)
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        (&self.file).write(buf)
    }

    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.file).write_vectored(bufs)
    }

    fn short_is_empty(&self) -> bool {
        self.short_is_empty
    }
}

impl AsyncRead for PipeReader {
    #[track_caller]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_read(&self.io, cx, buf)
    }

    #[track_caller]
    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_read_vectored(&self.io, cx, bufs)
    }
}

impl AsyncWrite for PipeWriter {
    #[track_caller]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write(self.open()?, cx, buf)
    }

    #[track_caller]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        transfer::poll_write_vectored(self.open()?, cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipe").field(&self.file.as_raw_fd()).finish()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeReader").field(&self.io).finish()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeWriter").field(&self.io).finish()
    }
}
