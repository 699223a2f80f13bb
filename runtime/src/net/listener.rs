//! A listening socket: accepts in bursts, and rests when the process has no descriptor left.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use super::family::{Family, Server, Socket};
use super::stream::Stream;
use crate::context;
use crate::io::registered::{Registered, Step};
use crate::os::open_files;
use crate::reactor::{Direction, Interests, Ticket};
use crate::record;
use crate::record::source::{Address, Registration};
use crate::record::task::{On, WaitingOn};
use crate::record::timer::Kind as TimerKind;
use crate::timers::{Action, Arm, TimerKey};

/// Accepted in a row before others get their turn.
const BURST: u32 = 128;
/// How long a listener rests when no descriptor is left, as asyncio does. Nanoseconds.
const REST: u64 = 1_000_000_000;

/// A socket of one loop that accepts connections.
///
/// Records: as [`Stream`].
pub struct Listener<F: Family> {
    io: Registered<F::Server>,
    family: PhantomData<F>,
    place: &'static Location<'static>,
    /// The local address of what it accepts, if all have the same.
    local: Option<Address>,
    in_a_row: AtomicU32,
    /// Nanoseconds on the loop's clock; 0 when it does not rest.
    rests_until: AtomicU64,
    /// The want of descriptors has been told and has not ended.
    told: AtomicBool,
    /// What is to be undone with the listener: a socket file.
    _cleanup: Option<Box<dyn Send + Sync>>,
}

impl<F: Family> Listener<F> {
    pub(super) fn register(
        server: F::Server,
        backlog: u32,
        place: &'static Location<'static>,
        cleanup: Option<Box<dyn Send + Sync>>,
    ) -> io::Result<Self> {
        let address = server.local()?;
        let local = F::recorded(&address).0;
        let registration = Registration {
            kind: F::server_kind().0,
            fd: server.number(),
            local,
            peer: Address::None,
            place: Some(place),
        };
        let io = Registered::new(server, Interests::READS, &registration)?;
        io.with_row(|row| row.backlog.store(backlog, Ordering::Relaxed));
        Ok(Self {
            io,
            family: PhantomData,
            place,
            local: F::is_exact(&address).then_some(local),
            in_a_row: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
            told: AtomicBool::new(false),
            _cleanup: cleanup,
        })
    }

    /// The id under which the record and the console list it.
    pub fn id(&self) -> io::Result<u64> {
        self.io.id()
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> io::Result<F::Addr> {
        self.io.get()?.local()
    }

    /// Waits for a connection.
    ///
    /// One that broke before it was taken is passed over. When the process or the system has no
    /// descriptor left, that is logged once and the listener rests for a second, then goes on.
    /// Errors: what makes further tries pointless.
    /// Cancel: no connection is lost.
    #[doc(alias = "sock_accept")]
    pub fn accept(&self) -> Accept<'_, F> {
        Accept {
            listener: self,
            waits: Waits::default(),
        }
    }

    /// The connections as a stream without end.
    pub fn incoming(&self) -> Incoming<'_, F> {
        Incoming {
            accept: self.accept(),
        }
    }

    pub(super) fn poll_accept(
        &self,
        waits: &mut Waits,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<(Stream<F>, F::Addr)>> {
        loop {
            ready!(self.poll_rest(waits, cx, place))?;
            if self.in_a_row.load(Ordering::Relaxed) >= BURST {
                self.in_a_row.store(0, Ordering::Relaxed);
                record::waiting(WaitingOn::new(On::Turn, 0), place);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let accepted =
                self.io
                    .poll_io_among(Direction::Read, &mut waits.ticket, cx, place, |server| {
                        server.accept().map(Step::Done)
                    });
            waits.among = accepted.is_pending();
            if waits.among {
                self.in_a_row.store(0, Ordering::Relaxed);
            }
            match ready!(accepted) {
                Ok((socket, peer)) => {
                    self.told.store(false, Ordering::Relaxed);
                    self.in_a_row.fetch_add(1, Ordering::Relaxed);
                    return Poll::Ready(self.welcome(socket, &peer).map(|stream| (stream, peer)));
                }
                Err(error) if is_exhausted(&error) => self.rest(&error)?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The acceptor with these waits is gone.
    pub(super) fn forget(&self, waits: &mut Waits) {
        if std::mem::take(&mut waits.among) {
            self.io.forget(Direction::Read, waits.ticket);
        }
        waits.stop_resting();
    }

    fn welcome(&self, socket: F::Socket, peer: &F::Addr) -> io::Result<Stream<F>> {
        let local = self.local.unwrap_or_else(|| {
            let local = socket.local();
            local.map_or(Address::None, |local| F::recorded(&local).0)
        });
        let peer = F::recorded(peer).0;
        Stream::register(socket, Interests::CONNECTED, local, peer, self.place)
    }

    fn rest(&self, error: &io::Error) -> io::Result<()> {
        let now = context::with(|organs| organs.now()).map_err(io::Error::other)?;
        self.rests_until
            .store(now.saturating_add(REST), Ordering::Relaxed);
        if !self.told.swap(true, Ordering::Relaxed) {
            let advice = open_files::advice(error).unwrap_or_default();
            tracing::warn!(
                %error,
                listener = ?self.io,
                "no descriptor for a new connection; the listener tries again each second: {advice}"
            );
        }
        Ok(())
    }

    /// Ready unless the listener rests.
    fn poll_rest(
        &self,
        waits: &mut Waits,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        let until = self.rests_until.load(Ordering::Relaxed);
        if until == 0 {
            return Poll::Ready(Ok(()));
        }
        // Asked first, since a rest is measured on the listener's own loop.
        self.io.get()?;
        let rested = context::with(|organs| {
            let now = organs.now();
            if now >= until {
                self.rests_until.store(0, Ordering::Relaxed);
                waits.stop_resting();
                return Poll::Ready(());
            }
            match waits.rest {
                Some(key) if !organs.timers.is_fired(key) => {
                    organs.timers.set_waker(key, cx.waker());
                }
                _ => {
                    waits.stop_resting();
                    let what = Arm {
                        kind: TimerKind::Internal,
                        owner: record::current_task(),
                        now,
                        period: 0,
                        place: Some(self.place),
                    };
                    let action = Action::Wake(cx.waker().clone());
                    waits.rest = Some(organs.timers.arm(until, action, what));
                }
            }
            if let Some(key) = waits.rest {
                record::waiting(WaitingOn::new(On::Timer, key.id()), place);
            }
            Poll::Pending
        });
        match rested {
            Ok(polled) => polled.map(Ok),
            Err(error) => Poll::Ready(Err(io::Error::other(error))),
        }
    }
}

/// What one acceptor waits with.
#[derive(Default)]
pub(super) struct Waits {
    ticket: Ticket,
    among: bool,
    rest: Option<TimerKey>,
}

impl Waits {
    pub(super) fn stop_resting(&mut self) {
        if let Some(key) = self.rest.take() {
            let _ = context::with(|organs| organs.timers.cancel(key));
        }
    }
}

/// Waits for a connection of a [`Listener`].
#[must_use = "futures do nothing unless awaited"]
pub struct Accept<'a, F: Family> {
    listener: &'a Listener<F>,
    waits: Waits,
}

impl<F: Family> Future for Accept<'_, F> {
    type Output = io::Result<(Stream<F>, F::Addr)>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let this = self.get_mut();
        this.listener.poll_accept(&mut this.waits, cx, place)
    }
}

impl<F: Family> Drop for Accept<'_, F> {
    fn drop(&mut self) {
        self.listener.forget(&mut self.waits);
    }
}

/// The connections of a [`Listener`], as a stream.
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a, F: Family> {
    accept: Accept<'a, F>,
}

impl<F: Family> futures_core::Stream for Incoming<'_, F> {
    type Item = io::Result<Stream<F>>;

    #[track_caller]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let place = Location::caller();
        let accept = &mut self.get_mut().accept;
        let accepted = ready!(accept.listener.poll_accept(&mut accept.waits, cx, place));
        Poll::Ready(Some(accepted.map(|(stream, _)| stream)))
    }
}

impl<F: Family> fmt::Debug for Listener<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.io).finish()
    }
}

/// The process or the system has no descriptor, or no memory for one.
fn is_exhausted(error: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    );
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::OutOfMemory;
}
