//! What a `StreamReader` and its `StreamWriter` share: the transport, and what is still to be
//! written.
//!
//! ```text
//! write ──► transport, as long as it takes                 high water        low water
//!    └────► buffer ──(writable: `wake`)──► transport         drain waits ──────► drain goes on
//!                        └─ empty: `end` if the end was asked for; `shut` if close was
//! ```
//!
//! The buffer empties by itself, whether anybody waits or not: the waker that the transport calls
//! is this object. Knows neither lines nor servers.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::transport::{Facts, Transport};
use crate::context;
use crate::record::bound::{self, LoopBound};
use crate::record::task::{On, WaitingOn};
use crate::sync::waiters::{Ticket, Waiters};
use crate::time::timeout;

/// A connection, on its loop.
pub(crate) struct Shared(LoopBound<Conn>);

pub(crate) struct Conn {
    facts: Facts,
    /// `None` while it is being used, and once it is shut.
    transport: Cell<Option<Box<dyn Transport>>>,
    out: RefCell<Out>,
    /// Whether the buffer is over its high water, until it is under the low one.
    paused: Cell<bool>,
    stage: Cell<Stage>,
    /// Something was asked of the transport while it was being used.
    missed: Cell<bool>,
    /// Why nothing can be written any more.
    failed: RefCell<Option<Failure>>,
    /// It was `abort`, and nothing that the transport met.
    aborted: Cell<bool>,
    drains: Waiters,
    closes: Waiters,
    /// Dropped when the connection is shut: a server counts with it.
    guest: Cell<Option<Box<dyn Send>>>,
}

struct Out {
    bytes: Vec<u8>,
    /// Of those, what the transport has taken.
    sent: usize,
    high: usize,
    low: usize,
}

/// How far the writer is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// No more is written; the peer is to learn it after what is buffered.
    Ending,
    Ended,
    /// To be shut after what is buffered.
    Closing,
    Shut,
}

/// An error that is told more than once.
struct Failure {
    kind: io::ErrorKind,
    os: Option<i32>,
    text: String,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            os: error.raw_os_error(),
            text: error.to_string(),
        }
    }

    fn again(&self) -> io::Error {
        match self.os {
            Some(os) => io::Error::from_raw_os_error(os),
            None => io::Error::new(self.kind, self.text.clone()),
        }
    }
}

/// Bytes the writer buffers before `drain` waits, and those at which it goes on; as asyncio's.
pub(super) const HIGH_WATER: usize = 64 << 10;
const LOW_PART: usize = 4;
/// A buffer that once was longer is not kept when it is empty.
const KEPT: usize = 256 << 10;

impl Shared {
    /// Takes over what carries the bytes.
    ///
    /// Errors: no loop runs here; it belongs to another loop.
    pub(crate) fn new(transport: Box<dyn Transport>, high: usize) -> io::Result<Arc<Self>> {
        let made_on = context::with(|organs| organs.record.id).map_err(io::Error::other)?;
        let conn = Conn {
            facts: transport.facts()?,
            transport: Cell::new(Some(transport)),
            out: RefCell::new(Out {
                bytes: Vec::new(),
                sent: 0,
                high,
                low: high / LOW_PART,
            }),
            paused: Cell::new(false),
            stage: Cell::new(Stage::Open),
            missed: Cell::new(false),
            failed: RefCell::new(None),
            aborted: Cell::new(false),
            drains: Waiters::new(),
            closes: Waiters::new(),
            guest: Cell::new(None),
        };
        Ok(Arc::new(Self(LoopBound::new(made_on, conn))))
    }

    /// The connection, on its own loop.
    pub(crate) fn get(&self) -> io::Result<&Conn> {
        self.0.get().map_err(io::Error::other)
    }

    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        let conn = self.get()?;
        conn.writable()?;
        let mut rest = bytes;
        if conn.buffered() == 0 && !rest.is_empty() {
            // Most writes fit, and then nobody needs to be told of anything.
            let mut cx = Context::from_waker(Waker::noop());
            while let Some(Poll::Ready(wrote)) =
                conn.using(|transport| transport.poll_write(&mut cx, None, rest))
            {
                match wrote {
                    Ok(n) => rest = &rest[n..],
                    Err(error) => {
                        conn.fail(&error);
                        self.settle(conn);
                        return Err(error);
                    }
                }
                if rest.is_empty() {
                    break;
                }
            }
            if rest.is_empty()
                && let Some(Poll::Ready(Ok(()))) =
                    conn.using(|transport| transport.poll_flush(&mut cx, None))
            {
                return Ok(());
            }
        }
        conn.out.borrow_mut().bytes.extend_from_slice(rest);
        self.flush(conn);
        conn.failed()
    }

    /// Gives the transport what it takes, and has it call when it takes more.
    fn flush(self: &Arc<Self>, conn: &Conn) {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        while conn.buffered() > 0 {
            // The bytes are away meanwhile, since the transport may run anything, even what writes.
            let (bytes, sent) = {
                let mut out = conn.out.borrow_mut();
                (std::mem::take(&mut out.bytes), out.sent)
            };
            let polled =
                conn.using(|transport| transport.poll_write(&mut cx, None, &bytes[sent..]));
            conn.put_back(bytes);
            match polled {
                Some(Poll::Ready(Ok(n))) => conn.sent(n),
                Some(Poll::Ready(Err(error))) => conn.fail(&error),
                Some(Poll::Pending) | None => break,
            }
        }
        if conn.buffered() == 0
            && let Some(Poll::Ready(Err(error))) =
                conn.using(|transport| transport.poll_flush(&mut cx, None))
        {
            conn.fail(&error);
        }
        self.settle(conn);
    }

    /// States where the connection stands, and takes the steps that are due.
    fn settle(self: &Arc<Self>, conn: &Conn) {
        let buffered = conn.buffered();
        let (high, low) = {
            let out = conn.out.borrow();
            (out.high, out.low)
        };
        if buffered > high {
            conn.paused.set(true);
        } else if buffered <= low && conn.paused.replace(false) {
            conn.drains.grant_all(|_| 0);
        }
        if buffered == 0 && conn.stage.get() == Stage::Ending {
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            match conn.using(|transport| transport.poll_end(&mut cx, None)) {
                Some(Poll::Ready(ended)) => {
                    if conn.stage.get() == Stage::Ending {
                        conn.stage.set(Stage::Ended);
                    }
                    if let Err(error) = ended {
                        conn.fail(&error);
                    }
                }
                Some(Poll::Pending) | None => {}
            }
        }
        if buffered == 0 && conn.stage.get() == Stage::Closing {
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            // Over TLS the peer is told that this is the end and no cut.
            if !matches!(
                conn.using(|transport| transport.poll_end(&mut cx, None)),
                Some(Poll::Pending)
            ) {
                conn.shut();
            }
        }
        conn.state();
        self.catch_up(conn);
    }

    /// Does what was asked while the transport was in use.
    fn catch_up(self: &Arc<Self>, conn: &Conn) {
        if conn.missed.get() && conn.is_free() {
            conn.missed.set(false);
            self.flush(conn);
        }
    }

    /// No more is written: the peer learns it after what is buffered.
    pub(super) fn end(self: &Arc<Self>) -> io::Result<()> {
        let conn = self.get()?;
        conn.failed()?;
        if conn.stage.get() == Stage::Open {
            conn.stage.set(Stage::Ending);
            self.settle(conn);
        }
        conn.failed()
    }

    /// Shuts the connection after what is buffered.
    pub(crate) fn close(self: &Arc<Self>) {
        self.at_home(|shared, conn| {
            if conn.stage.get() < Stage::Closing {
                conn.stage.set(Stage::Closing);
                if conn.has_failed() {
                    conn.shut();
                }
                shared.settle(conn);
            }
        });
    }

    /// Shuts the connection at once; what is buffered is lost.
    pub(crate) fn abort(self: &Arc<Self>) {
        self.at_home(|_, conn| {
            if conn.stage.get() < Stage::Shut {
                conn.aborted.set(true);
                conn.fail(&io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the connection was aborted from this side",
                ));
                conn.shut();
            }
        });
    }

    /// The writer is gone.
    pub(super) fn writer_gone(self: &Arc<Self>) {
        self.at_home(|shared, _| {
            // Whoever is gone hears of no error.
            let _ = shared.end();
        });
    }

    fn at_home(self: &Arc<Self>, f: impl Fn(&Arc<Self>, &Conn) + Send + 'static) {
        match self.get() {
            Ok(conn) => f(self, conn),
            Err(_) => {
                let shared = self.clone();
                let errand = move || {
                    if let Ok(conn) = shared.get() {
                        f(&shared, conn);
                    }
                };
                // A closed loop has no connections.
                let _ = bound::send(self.0.made_on(), Box::new(errand));
            }
        }
    }

    /// Done when the transport can be used: after a handshake, if it has one.
    pub(crate) fn opened(&self) -> Opened<'_> {
        Opened(self)
    }

    fn poll_open(
        &self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        let conn = self.get()?;
        match conn.using(|transport| transport.poll_flush(cx, Some(place))) {
            Some(polled) => polled,
            None => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was closed before it could be used",
            ))),
        }
    }

    /// Puts TLS around the transport.
    #[cfg(feature = "tls")]
    pub(crate) fn put_under(&self, session: rustls::Connection) -> io::Result<()> {
        let conn = self.get()?;
        conn.writable()?;
        let Some(transport) = conn.transport.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let under = transport.under(session);
        let done = under.is_ok();
        conn.transport
            .set(Some(under.unwrap_or_else(|before| before)));
        if done {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "TLS goes over a socket, once; this is a pipe, or under TLS already",
        ))
    }

    /// Reads; the end is read where the connection is shut.
    pub(super) fn poll_read(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let conn = self.get()?;
        let polled = conn.using(|transport| transport.poll_read(cx, Some(place), buf));
        self.catch_up(conn);
        if conn.stage.get() == Stage::Shut {
            return Poll::Ready(Ok(0));
        }
        polled.unwrap_or_else(|| {
            // Somebody else is at it, who cannot be waiting.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// The reader waits no longer.
    pub(super) fn forget_reader(self: &Arc<Self>) {
        if let Ok(conn) = self.get() {
            conn.using(|transport| transport.forget_reader());
            self.catch_up(conn);
        }
    }

    /// Counted by whoever made it, until it is shut.
    pub(crate) fn keep(&self, guest: Box<dyn Send>) -> io::Result<()> {
        self.get()?.guest.set(Some(guest));
        Ok(())
    }

    pub(crate) fn downgrade(self: &Arc<Self>) -> Weak<Self> {
        Arc::downgrade(self)
    }
}

/// Waits until a transport can be used.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Opened<'a>(&'a Shared);

impl Future for Opened<'_> {
    type Output = io::Result<()>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_open(cx, Location::caller())
    }
}

/// How long a handshake may take; as asyncio's.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// A handshake, within its time.
pub(crate) async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer did not end the handshake within 60 s",
        ))
    })
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        // Only the transport calls, on the loop.
        if let Ok(conn) = self.get() {
            self.flush(conn);
        }
    }
}

impl Conn {
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Runs `f` with the transport, unless it is shut or in use.
    fn using<R>(&self, f: impl FnOnce(&mut dyn Transport) -> R) -> Option<R> {
        let Some(mut transport) = self.transport.take() else {
            self.missed.set(self.stage.get() < Stage::Shut);
            return None;
        };
        let result = f(&mut *transport);
        // Shut meanwhile: then it goes here.
        if self.stage.get() < Stage::Shut {
            self.transport.set(Some(transport));
        }
        Some(result)
    }

    /// Ready unless the buffer is over its high water and has not come down yet.
    pub(super) fn poll_drained(
        &self,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        if self.paused.get() && !self.has_failed() {
            let on = WaitingOn::new(On::Source, self.facts.id);
            let polled = self.drains.poll(ticket, 0, on, place, cx);
            self.state();
            if polled.is_pending() {
                return Poll::Pending;
            }
        }
        self.drains.leave(ticket);
        Poll::Ready(self.failed())
    }

    /// Ready when the connection is shut.
    pub(super) fn poll_closed(
        &self,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        if self.stage.get() < Stage::Shut {
            let on = WaitingOn::new(On::Source, self.facts.id);
            if self.closes.poll(ticket, 0, on, place, cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.closes.leave(ticket);
        Poll::Ready(if self.aborted.get() {
            Ok(())
        } else {
            self.failed()
        })
    }

    pub(super) fn leave_drains(&self, ticket: &mut Ticket) {
        self.drains.leave(ticket);
        self.state();
    }

    pub(super) fn leave_closes(&self, ticket: &mut Ticket) {
        self.closes.leave(ticket);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.stage.get() >= Stage::Closing
    }

    #[cfg(feature = "tls")]
    pub(super) fn limits(&self) -> (usize, usize) {
        let out = self.out.borrow();
        (out.high, out.low)
    }

    pub(super) fn set_limits(&self, high: usize, low: usize) {
        let mut out = self.out.borrow_mut();
        out.high = high;
        out.low = low.min(high);
        let buffered = out.bytes.len() - out.sent;
        if buffered > out.high {
            self.paused.set(true);
        } else if buffered <= out.low && self.paused.replace(false) {
            drop(out);
            self.drains.grant_all(|_| 0);
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn buffered(&self) -> usize {
        let out = self.out.borrow();
        out.bytes.len() - out.sent
    }

    fn failed(&self) -> io::Result<()> {
        match &*self.failed.borrow() {
            Some(failure) => Err(failure.again()),
            None => Ok(()),
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }

    /// Whether the transport is there and not in use.
    fn is_free(&self) -> bool {
        let transport = self.transport.take();
        let free = transport.is_some();
        self.transport.set(transport);
        free
    }

    fn writable(&self) -> io::Result<()> {
        self.failed()?;
        let why = match self.stage.get() {
            Stage::Open => return Ok(()),
            Stage::Ending | Stage::Ended => "the end was written; write before `write_eof`",
            Stage::Closing | Stage::Shut => "the stream is closed; write before `close`",
        };
        Err(io::Error::new(io::ErrorKind::BrokenPipe, why))
    }

    fn sent(&self, n: usize) {
        let mut out = self.out.borrow_mut();
        out.sent += n;
        if out.sent == out.bytes.len() {
            out.sent = 0;
            out.bytes.clear();
            if out.bytes.capacity() > KEPT {
                out.bytes = Vec::new();
            }
        } else if out.sent > out.bytes.len() / 2 {
            let sent = std::mem::take(&mut out.sent);
            out.bytes.drain(..sent);
        }
    }

    /// Puts the buffer back before what was written meanwhile.
    fn put_back(&self, mut bytes: Vec<u8>) {
        let mut out = self.out.borrow_mut();
        bytes.append(&mut out.bytes);
        out.bytes = bytes;
        if self.has_failed() {
            out.bytes.clear();
            out.sent = 0;
        }
    }

    /// Nothing can be written any more. What the peer sent before can still be read.
    fn fail(&self, error: &io::Error) {
        self.failed
            .borrow_mut()
            .get_or_insert_with(|| Failure::of(error));
        let mut out = self.out.borrow_mut();
        out.bytes = Vec::new();
        out.sent = 0;
        drop(out);
        if self.paused.replace(false) {
            self.drains.grant_all(|_| 0);
        }
    }

    /// Lets the transport go: its descriptor is closed, and who reads finds the end.
    fn shut(&self) {
        self.stage.set(Stage::Shut);
        let transport = self.transport.take();
        if let Some(transport) = &transport {
            // Who waits to read must not be left behind by a transport that is used no more.
            transport.state(&|row| row.queued.store(0, Ordering::Relaxed));
        }
        drop(transport);
        if self.paused.replace(false) {
            self.drains.grant_all(|_| 0);
        }
        self.closes.grant_all(|_| 0);
        drop(self.guest.take());
    }

    /// States in the row what waits to be written, and who waits for that.
    fn state(&self) {
        let (queued, writer) = (self.buffered() as u64, self.drains.first_task());
        if let Some(transport) = self.transport.take() {
            transport.state(&|row| {
                row.queued.store(queued, Ordering::Relaxed);
                row.writer.store(writer, Ordering::Relaxed);
            });
            self.transport.set(Some(transport));
        }
    }
}
