//! `StreamWriter`: writes that never wait, and `drain`, which waits while too much is buffered.
//!
//! Knows no reader.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::conn::{Conn, Shared};
use super::transport::SocketName;
use crate::sync::waiters::Ticket;

/// The half of a connection that is written to.
///
/// What the peer does not take at once is buffered here and goes out by itself. Dropping the
/// writer ends the stream for the peer, after what is buffered; the connection is shut when the
/// reader is gone too, or by `close`.
/// Errors: an error that an earlier write met is told by every later call; the bytes after it are
/// lost. `BrokenPipe` after `write_eof` or `close`.
/// Records: `queued` bytes and who drains, in the connection's row.
/// Source: asyncio's `StreamWriter`.
pub struct StreamWriter {
    shared: Arc<Shared>,
}

impl StreamWriter {
    pub(super) fn over(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes, as far as the peer takes it, and buffers the rest.
    ///
    /// Follow it with [`drain`](Self::drain), or the buffer grows with a peer that is slow.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.shared.write(bytes)
    }

    /// Writes all of them, in order.
    pub fn writelines<T: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = T>) -> io::Result<()> {
        // Together, so that many small ones are one call of the system.
        let mut all = Vec::new();
        for line in lines {
            all.extend_from_slice(line.as_ref());
        }
        self.shared.write(&all)
    }

    /// Waits while more than the high water is buffered, until it is down to the low one.
    ///
    /// Many may wait at once, and all go on. Ready at once where little is buffered.
    pub fn drain(&self) -> impl Future<Output = io::Result<()>> + Send + Unpin + '_ {
        Waiting {
            shared: &self.shared,
            ticket: Ticket::default(),
            poll: Conn::poll_drained,
            leave: Conn::leave_drains,
        }
    }

    /// Ends the stream for the peer, after what is buffered; reading goes on.
    pub fn write_eof(&self) -> io::Result<()> {
        self.shared.end()
    }

    /// Shuts the connection, after what is buffered, in both directions; does not wait.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Shuts the connection now. What is buffered is lost.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// Whether `close` or `abort` was called. False on another loop.
    pub fn is_closing(&self) -> bool {
        self.shared.get().is_ok_and(Conn::is_closing)
    }

    /// Waits until the connection is shut.
    ///
    /// Errors: the one that broke it before all was written.
    pub fn wait_closed(&self) -> impl Future<Output = io::Result<()>> + Send + Unpin + '_ {
        Waiting {
            shared: &self.shared,
            ticket: Ticket::default(),
            poll: Conn::poll_closed,
            leave: Conn::leave_closes,
        }
    }

    /// How many bytes are buffered.
    #[doc(alias = "get_write_buffer_size")]
    pub fn buffered(&self) -> io::Result<usize> {
        self.shared.get().map(Conn::buffered)
    }

    /// Sets how many bytes may be buffered before `drain` waits (64 KiB), and at how many it goes
    /// on (a quarter of that).
    #[doc(alias = "set_write_buffer_limits")]
    pub fn set_limits(&self, high: usize, low: usize) -> io::Result<()> {
        self.shared.get().map(|conn| conn.set_limits(high, low))
    }

    #[cfg(feature = "tls")]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether `reader` is the same connection's.
    #[cfg(feature = "tls")]
    pub(crate) fn is_of(&self, reader: &super::StreamReader) -> bool {
        reader.is_over(&self.shared)
    }

    /// Waits until nothing is buffered.
    #[cfg(feature = "tls")]
    pub(crate) async fn sent(&self) -> io::Result<()> {
        let (high, low) = self.shared.get()?.limits();
        self.set_limits(0, 0)?;
        let drained = self.drain().await;
        self.set_limits(high, low)?;
        drained
    }

    /// The id under which the record and the console list the connection.
    pub fn id(&self) -> io::Result<u64> {
        self.shared.get().map(|conn| conn.facts().id)
    }

    /// The name of the other end, as it was at first.
    #[doc(alias = "peername")]
    #[doc(alias = "get_extra_info")]
    pub fn peer(&self) -> io::Result<SocketName> {
        self.shared.get().map(|conn| conn.facts().peer.clone())
    }

    /// The name of this end, as it was at first.
    #[doc(alias = "sockname")]
    pub fn local(&self) -> io::Result<SocketName> {
        self.shared.get().map(|conn| conn.facts().local.clone())
    }

    /// The number of the descriptor (or socket), for a log: once the connection is shut it may be
    /// another's.
    pub fn fd(&self) -> io::Result<i64> {
        self.shared.get().map(|conn| conn.facts().fd)
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.shared.writer_gone();
    }
}

/// Waits for something of a connection, in its line.
#[must_use = "futures do nothing unless awaited"]
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    ticket: Ticket,
    poll: fn(
        &Conn,
        &mut Ticket,
        &mut Context<'_>,
        &'static Location<'static>,
    ) -> Poll<io::Result<()>>,
    leave: fn(&Conn, &mut Ticket),
}

impl Future for Waiting<'_> {
    type Output = io::Result<()>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let this = self.get_mut();
        (this.poll)(this.shared.get()?, &mut this.ticket, cx, place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Elsewhere nobody waits.
        if let Ok(conn) = self.shared.get()
            && !self.ticket.is_empty()
        {
            (self.leave)(conn, &mut self.ticket);
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("StreamWriter");
        match self.shared.get() {
            Ok(conn) => shown
                .field("id", &conn.facts().id)
                .field("buffered", &conn.buffered())
                .field("closing", &conn.is_closing()),
            Err(wrong) => shown.field("error", &wrong),
        };
        shown.finish_non_exhaustive()
    }
}
