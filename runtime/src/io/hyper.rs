//! hyper on our loop: its I/O traits over any stream, its executor and its timer.
//!
//! Knows no protocol. The inspector, `web` and the console's client speak through it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};
use pin_project_lite::pin_project;

mod executor;
mod timer;

pub use executor::HyperExecutor;
pub use timer::HyperTimer;

/// Bytes read at a time at most; hyper's buffers grow to about this.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// Where bytes land before hyper gets them. Its buffers are uninitialised memory, to read into
    /// which would take `unsafe`, or the zeroing of all of it at each read; a copy costs less.
    static LANDING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pin_project! {
    /// A stream with `futures-io`'s traits as hyper wants it.
    #[derive(Debug)]
    pub struct HyperIo<T> {
        #[pin]
        inner: T,
    }
}

impl<T> HyperIo<T> {
    /// Wraps a stream.
    pub fn new(stream: T) -> Self {
        Self { inner: stream }
    }

    /// The stream.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The stream, for other use.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> Read for HyperIo<T> {
    #[track_caller]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Taken out of its cell, so that a stream that reads through another one finds it free.
        let mut landing = LANDING.with(RefCell::take);
        if landing.is_empty() {
            landing.resize(CHUNK, 0);
        }
        let room = into.remaining().min(CHUNK);
        let read = self.project().inner.poll_read(cx, &mut landing[..room]);
        if let Poll::Ready(Ok(n)) = read {
            into.put_slice(&landing[..n]);
        }
        LANDING.set(landing);
        Poll::Ready(ready!(read).map(|_| ()))
    }
}

impl<T: AsyncWrite> Write for HyperIo<T> {
    #[track_caller]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn is_write_vectored(&self) -> bool {
        // A stream that knows no vectored write takes the first slice, which is right too.
        true
    }

    #[track_caller]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_close(cx)
    }
}

#[cfg(test)]
mod tests;
