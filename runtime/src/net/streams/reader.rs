//! `StreamReader`: lines, exact lengths and separators over a connection's bytes.
//!
//! Reads when it is asked to and no more than its limit ahead, so a peer that sends faster than is
//! read here waits. Knows no writer.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

use super::conn::Shared;

/// Bytes read at a time at first.
const CHUNK: usize = 8 << 10;

/// Why a read gave less than was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream ended before.
    Incomplete {
        /// What came.
        partial: Vec<u8>,
        /// How many bytes were asked for; `None` where it was a separator.
        expected: Option<usize>,
    },
    /// No separator within the reader's limit. `readuntil` leaves the bytes to be read otherwise.
    LimitOverrun {
        /// Bytes before the separator, or those that certainly hold none.
        consumed: usize,
    },
    /// The system's error.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Incomplete { partial, expected } => {
                write!(f, "the stream ended after {} bytes", partial.len())?;
                match expected {
                    Some(expected) => write!(f, " of {expected}"),
                    None => f.write_str(" without the separator"),
                }
            }
            ReadError::LimitOverrun { consumed } => write!(
                f,
                "no separator in the first {consumed} bytes, which is more than the reader's limit; \
                 raise the limit, or read the bytes in another way"
            ),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
            ReadError::LimitOverrun { .. } => io::ErrorKind::InvalidData,
            ReadError::Io(_) => io::ErrorKind::Other,
        };
        match error {
            ReadError::Io(error) => error,
            error => io::Error::new(kind, error),
        }
    }
}

/// The half of a connection that is read from.
///
/// Errors: the connection's; one that broke it is told again by each later read, after what came
/// before it.
/// Cancel: a read that is dropped leaves what came to the next one.
/// Records: nothing of its own; the connection's row says who waits to read.
/// Source: asyncio's `StreamReader`.
pub struct StreamReader {
    shared: Arc<Shared>,
    /// All of it initialised; `from..to` is what was read ahead.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    limit: usize,
    ended: bool,
    failed: Option<(io::ErrorKind, Option<i32>)>,
}

impl StreamReader {
    pub(super) fn over(shared: Arc<Shared>, limit: usize) -> Self {
        Self {
            shared,
            buffer: Vec::new(),
            from: 0,
            to: 0,
            limit,
            ended: false,
            failed: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn is_over(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// What was read ahead.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Whether all was read and the stream has ended.
    pub fn at_eof(&self) -> bool {
        self.ended && self.from == self.to
    }

    /// Reads what is there, up to the buffer's length; 0 at the end.
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        self.reads(|reader, cx, place| reader.poll_read_at(cx, place, buf))
    }

    /// Reads all up to the end.
    ///
    /// Units: as much memory as the peer sends; for a peer that is not trusted, read in parts.
    pub fn read_to_end(&mut self) -> impl Future<Output = io::Result<Vec<u8>>> + Send + Unpin + '_ {
        self.reads(|reader, cx, place| {
            while ready!(reader.poll_fill(cx, place))? {}
            Poll::Ready(Ok(reader.take(reader.to - reader.from)))
        })
    }

    /// Reads `length` bytes.
    ///
    /// Errors: `Incomplete`, with what came, if the stream ends before.
    pub fn readexactly(
        &mut self,
        length: usize,
    ) -> impl Future<Output = Result<Vec<u8>, ReadError>> + Send + Unpin + '_ {
        self.reads(move |reader, cx, place| {
            while reader.to - reader.from < length {
                if !ready!(reader.poll_fill(cx, place))? {
                    return Poll::Ready(Err(ReadError::Incomplete {
                        partial: reader.take(reader.to - reader.from),
                        expected: Some(length),
                    }));
                }
            }
            Poll::Ready(Ok(reader.take(length)))
        })
    }

    /// Reads up to and with the next newline; without one what is left at the end, which is empty
    /// when all was read.
    ///
    /// Errors: `LimitOverrun`; the line, or what there is of it, is thrown away then.
    pub fn readline(
        &mut self,
    ) -> impl Future<Output = Result<Vec<u8>, ReadError>> + Send + Unpin + '_ {
        let mut searched = 0;
        self.reads(move |reader, cx, place| {
            Poll::Ready(
                match ready!(reader.poll_until(cx, place, b"\n", &mut searched)) {
                    Err(ReadError::Incomplete { partial, .. }) => Ok(partial),
                    Err(ReadError::LimitOverrun { consumed }) => {
                        let ahead = reader.buffered();
                        let line = match ahead.get(consumed) {
                            Some(b'\n') => consumed + 1,
                            _ => ahead.len(),
                        };
                        reader.from += line;
                        Err(ReadError::LimitOverrun { consumed })
                    }
                    found => found,
                },
            )
        })
    }

    /// Reads up to and with the next `separator`.
    ///
    /// Errors: `Incomplete`, with what came, if the stream ends before; `LimitOverrun` if there is
    /// more than the reader's limit before it, which stays to be read; `InvalidInput` for an empty
    /// separator.
    pub fn readuntil<'a>(
        &'a mut self,
        separator: &'a [u8],
    ) -> impl Future<Output = Result<Vec<u8>, ReadError>> + Send + Unpin + 'a {
        let mut searched = 0;
        self.reads(move |reader, cx, place| reader.poll_until(cx, place, separator, &mut searched))
    }

    fn reads<'a, R, F>(&'a mut self, step: F) -> Reading<'a, F>
    where
        F: FnMut(&mut Self, &mut Context<'_>, &'static Location<'static>) -> Poll<R>,
    {
        Reading {
            reader: self,
            step,
            waits: false,
        }
    }

    fn poll_read_at(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.from == self.to && !buf.is_empty() {
            // Nothing was read ahead: no need to copy.
            return self.poll_more(cx, place, buf);
        }
        let ahead = self.buffered();
        let n = ahead.len().min(buf.len());
        buf[..n].copy_from_slice(&ahead[..n]);
        self.from += n;
        Poll::Ready(Ok(n))
    }

    /// Reads from the connection, unless that has come to its end.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some((kind, os)) = self.failed {
            return Poll::Ready(Err(os.map_or(kind.into(), io::Error::from_raw_os_error)));
        }
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let polled = self.shared.poll_read(cx, place, buf);
        match &polled {
            Poll::Ready(Ok(n)) => self.ended = *n == 0,
            Poll::Ready(Err(error)) => self.failed = Some((error.kind(), error.raw_os_error())),
            Poll::Pending => {}
        }
        polled
    }

    /// Reads ahead; false at the end.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<bool>> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        if self.to == self.buffer.len() {
            if self.from > 0 {
                self.buffer.copy_within(self.from..self.to, 0);
                (self.from, self.to) = (0, self.to - self.from);
            } else {
                // Grows with what comes, never with what is announced.
                let room = (self.buffer.len() * 2).max(CHUNK.min(self.limit.max(1)));
                self.buffer.resize(room, 0);
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let polled = self.poll_more(cx, place, &mut buffer[self.to..]);
        self.buffer = buffer;
        let n = ready!(polled)?;
        self.to += n;
        Poll::Ready(Ok(n > 0))
    }

    fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
        separator: &[u8],
        searched: &mut usize,
    ) -> Poll<Result<Vec<u8>, ReadError>> {
        if separator.is_empty() {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "an empty separator is everywhere; give at least one byte",
            );
            return Poll::Ready(Err(error.into()));
        }
        loop {
            let ahead = self.buffered();
            if let Some(at) = find(&ahead[*searched..], separator) {
                let consumed = *searched + at;
                if consumed > self.limit {
                    return Poll::Ready(Err(ReadError::LimitOverrun { consumed }));
                }
                return Poll::Ready(Ok(self.take(consumed + separator.len())));
            }
            // The separator's beginning may be there already.
            *searched = (ahead.len() + 1)
                .saturating_sub(separator.len())
                .max(*searched);
            if *searched > self.limit {
                let consumed = *searched;
                return Poll::Ready(Err(ReadError::LimitOverrun { consumed }));
            }
            if !ready!(self.poll_fill(cx, place))? {
                return Poll::Ready(Err(ReadError::Incomplete {
                    partial: self.take(self.to - self.from),
                    expected: None,
                }));
            }
        }
    }

    /// Takes what was read ahead.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.buffer[self.from..self.from + length].to_vec();
        self.from += length;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            // A buffer that had to hold more than usual is not kept.
            if self.buffer.len() > self.limit.max(CHUNK) * 2 {
                self.buffer = Vec::new();
            }
        }
        taken
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [byte] => haystack.iter().position(|other| other == byte),
        _ => haystack
            .windows(needle.len())
            .position(|window| window == needle),
    }
}

/// A read under way.
#[must_use = "futures do nothing unless awaited"]
struct Reading<'a, F> {
    reader: &'a mut StreamReader,
    step: F,
    waits: bool,
}

// The step is only called, never pinned.
impl<F> Unpin for Reading<'_, F> {}

impl<R, F> Future for Reading<'_, F>
where
    F: FnMut(&mut StreamReader, &mut Context<'_>, &'static Location<'static>) -> Poll<R>,
{
    type Output = R;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let place = Location::caller();
        let this = self.get_mut();
        let polled = (this.step)(this.reader, cx, place);
        this.waits = polled.is_pending();
        polled
    }
}

impl<F> Drop for Reading<'_, F> {
    fn drop(&mut self) {
        if self.waits {
            self.reader.shared.forget_reader();
        }
    }
}

impl AsyncRead for StreamReader {
    #[track_caller]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_at(cx, Location::caller(), buf)
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("buffered", &(self.to - self.from))
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
