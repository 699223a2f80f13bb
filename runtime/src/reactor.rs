//! The poll set of one loop: readiness per direction, and the wakers to call when it comes.
//!
//! Sockets are registered once, edge-triggered, for all they can do. A bit per direction says
//! "try": it is set at the start and by events, and cleared by whoever found that the call would
//! block. `wait` only collects events; `serve` wakes. Knows neither tasks nor timers.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use mio::event::Event as Readiness;
use mio::{Events, Interest, Token};

use crate::clock;
use crate::record::event::{Event, Kind};
use crate::record::source::{self as source_row, Registration, SourceRow, direction};
use crate::record::task::{On, WaitingOn};
use crate::record::wake::Cause;
use crate::record::{self, LoopRecord, Owner};

mod alarm;
mod source;

use alarm::Alarm;
pub(crate) use source::{Direction, SourceKey, Ticket};
use source::{Source, Sources, Woken};

const UNPARK: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Events taken from the kernel at a time.
const EVENTS: usize = 1024;

/// How long a wait may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Not at all: only collect.
    Now,
    /// To this moment on the loop's clock.
    Until(u64),
    /// To be woken, or for so long by the kernel's clock.
    AtMost(Duration),
    Forever,
}

/// What a source is registered for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interests {
    pub(crate) interest: Interest,
    /// Directions to be tried at once, without an event: bits of `record::source::direction`.
    pub(crate) ready: u8,
}

impl Interests {
    /// A connected socket: both directions, tried at once.
    pub(crate) const CONNECTED: Self = Self {
        interest: Interest::READABLE.add(Interest::WRITABLE),
        ready: direction::READ | direction::WRITE,
    };
    /// A socket that is connecting: an event tells when it may be tried.
    pub(crate) const CONNECTING: Self = Self {
        interest: Interest::READABLE.add(Interest::WRITABLE),
        ready: 0,
    };
    /// A listener, a child, a pipe's end to read from.
    pub(crate) const READS: Self = Self {
        interest: Interest::READABLE,
        ready: direction::READ,
    };
    /// A pipe's end to write to.
    #[cfg(unix)]
    pub(crate) const WRITES: Self = Self {
        interest: Interest::WRITABLE,
        ready: direction::WRITE,
    };
}

/// The reactor of one loop.
pub(crate) struct Reactor {
    record: Arc<LoopRecord>,
    owner: Rc<Owner>,
    poll: RefCell<mio::Poll>,
    events: RefCell<Events>,
    sources: RefCell<Sources>,
    alarm: Alarm,
    unparker: Arc<mio::Waker>,
    /// Tickets handed out.
    tickets: Cell<u64>,
    /// Forks before it was made.
    forks: u64,
}

impl Reactor {
    /// Errors: no descriptor to be had for the poll set.
    pub(crate) fn new(record: Arc<LoopRecord>, owner: Rc<Owner>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let unparker = Arc::new(mio::Waker::new(poll.registry(), UNPARK)?);
        let alarm = Alarm::new(poll.registry(), ALARM);
        Ok(Self {
            record,
            owner,
            poll: RefCell::new(poll),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            sources: RefCell::default(),
            alarm,
            unparker,
            tickets: Cell::new(0),
            forks: crate::os::forks(),
        })
    }

    /// Ends the current wait, or the next one, from any thread.
    pub(crate) fn unparker(&self) -> Box<dyn Fn() + Send + Sync> {
        let waker = self.unparker.clone();
        Box::new(move || {
            // Fails only where the poll set is gone, and then nobody waits.
            let _ = waker.wake();
        })
    }

    /// Waits for readiness, an unpark or the deadline, and collects the events for `serve`.
    ///
    /// Returns how many of them are sources'. May end sooner than asked, with 0.
    pub(crate) fn wait(&self, until: Wait) -> io::Result<usize> {
        let timeout = match until {
            Wait::Now => Some(Duration::ZERO),
            Wait::Until(deadline) => self.alarm.set(deadline),
            Wait::AtMost(limit) => Some(limit),
            Wait::Forever => None,
        };
        record::count(&self.record.stats.waits);
        let mut events = self.events.borrow_mut();
        match self.poll.borrow_mut().poll(&mut events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            Err(error) => return Err(error),
        }
        let mut sources = 0;
        for event in events.iter() {
            match event.token() {
                ALARM => self.alarm.rang(),
                UNPARK => {}
                _ => sources += 1,
            }
        }
        record::add(&self.record.stats.io_events, sources as u64);
        Ok(sources)
    }

    /// Tells how many timers were due when the loop last looked: a crowd is met less often.
    pub(crate) fn timers_met(&self, timers: usize) {
        self.alarm.met(timers);
    }

    /// Wakes whoever waits for what the last `wait` collected.
    ///
    /// An event for a source that is gone meanwhile reaches nobody. A waker that panics ends there.
    pub(crate) fn serve(&self) {
        let events = self.events.borrow();
        if events.is_empty() {
            return;
        }
        let now = clock::mono();
        for event in events.iter() {
            let token = event.token();
            if token == ALARM || token == UNPARK {
                continue;
            }
            let Some((id, woken)) = self.note(token.0, bits_of(event), now) else {
                continue;
            };
            if woken.iter().any(|woken| !woken.is_empty()) {
                self.record.acts_for(Some(Cause::Source(id)));
                for woken in woken {
                    wake_all(woken);
                }
            }
        }
        self.record.acts_for(None);
    }

    /// Notes readiness and takes the wakers that it concerns.
    fn note(&self, token: usize, bits: u8, now: u64) -> Option<(u64, [Woken; 2])> {
        let mut sources = self.sources.borrow_mut();
        let source = sources.of_token(token)?;
        // What was ready before is no news, and needs no call to confirm it.
        source.unproved |= bits & !source.ready;
        source.ready |= bits;
        let mut woken = <[Woken; 2]>::default();
        let mut claimed = 0;
        for direction in [Direction::Read, Direction::Write] {
            if bits & direction.bit() != 0 && !source.waiters[direction as usize].is_empty() {
                claimed |= direction.bit();
                woken[direction as usize] = source.waiters[direction as usize].take();
            }
        }
        let (id, ready) = (source.id, source.ready);
        let row = self.row(source);
        if let Some(row) = row {
            row.ready.store(ready, Ordering::Relaxed);
            row.last_ready.store(now, Ordering::Relaxed);
            let field = if claimed != 0 {
                &row.wakes
            } else {
                &row.unclaimed
            };
            record::count(field);
            no_longer_waits(row, claimed);
        }
        self.record.emit(Kind::SourceReady, || {
            let owner = row.map_or(0, |row| row.owner.load(Ordering::Relaxed));
            Event::source_ready(clock::ticks(), id, owner, bits.into())
        });
        Some((id, woken))
    }

    /// Whether somebody waits for one of the app's sources.
    pub(crate) fn may_wake(&self) -> bool {
        self.sources.borrow().may_wake()
    }

    /// Adds a source to the poll set.
    ///
    /// Errors: the kernel's; `Unsupported`, with what to do instead, for a file that has no
    /// readiness.
    pub(crate) fn register(
        &self,
        source: &mut impl mio::event::Source,
        interests: Interests,
        registration: &Registration,
    ) -> io::Result<SourceKey> {
        let (slot, token) =
            self.sources.borrow_mut().reserve().ok_or_else(|| {
                io::Error::other("no more sources can be told apart on this loop")
            })?;
        let poll = self.poll.borrow();
        let done = poll
            .registry()
            .register(source, Token(token), interests.interest);
        if let Err(error) = done {
            self.sources.borrow_mut().release(slot);
            return Err(explained(error));
        }
        let (id, owner) = (self.owner.ids.next(), record::current_task());
        let row = self.record.sources.take(&self.owner.sources);
        match row {
            Some((_, row)) => {
                row.registered(id, owner, clock::mono(), registration);
                row.ready.store(interests.ready, Ordering::Relaxed);
            }
            None => {
                self.record.stats.unrecorded.fetch_add(1, Ordering::Relaxed);
            }
        }
        let filled = Source {
            id,
            fd: registration.fd,
            displaced: false,
            row: row.map(|(slot, _)| slot),
            internal: registration.kind == source_row::Kind::Internal,
            ready: interests.ready,
            unproved: 0,
            waiters: Default::default(),
        };
        let displaced = self.sources.borrow_mut().fill(slot, filled);
        if displaced {
            tracing::warn!(
                fd = registration.fd,
                "a descriptor was closed while it was registered, and its number is another's now; \
                 the older source hears no more of it"
            );
        }
        self.record.emit(Kind::SourceRegistered, || {
            Event::source_registered(clock::ticks(), id, owner, registration.fd)
        });
        Ok(SourceKey { slot, id })
    }

    /// Has the kernel look at a source again, for other directions maybe: it reports what is ready
    /// now, as level-triggered readiness would.
    #[cfg(unix)]
    pub(crate) fn reregister(
        &self,
        source: &mut impl mio::event::Source,
        key: SourceKey,
        interest: Interest,
    ) -> io::Result<()> {
        let token = {
            let mut sources = self.sources.borrow_mut();
            if sources.of_key(key).ok_or_else(gone)?.displaced {
                // The kernel goes by the number, and would take it from its new owner.
                return Err(io::ErrorKind::NotFound.into());
            }
            sources.token_of(key.slot)
        };
        let poll = self.poll.borrow();
        poll.registry().reregister(source, Token(token), interest)
    }

    /// Takes a source out of the poll set. Who still waits for it is woken and finds it gone.
    pub(crate) fn deregister(&self, source: &mut impl mio::event::Source, key: SourceKey) {
        if self.forks != crate::os::forks() {
            // The child of a fork shares the parent's poll set, and leaves it alone.
            return;
        }
        let displaced = {
            let mut sources = self.sources.borrow_mut();
            sources.of_key(key).is_some_and(|source| source.displaced)
        };
        if !displaced {
            // A descriptor that somebody closed under us is in no poll set any more.
            let _ = self.poll.borrow().registry().deregister(source);
        }
        self.forget_source(key);
    }

    fn forget_source(&self, key: SourceKey) {
        let mut sources = self.sources.borrow_mut();
        if sources.of_key(key).is_none() {
            return;
        }
        let Some(mut source) = sources.release(key.slot) else {
            return;
        };
        drop(sources);
        let owner = match source.row.zip(self.row(&source)) {
            Some((slot, row)) => {
                let owner = row.owner.load(Ordering::Relaxed);
                row.vacate();
                self.record.sources.give_back(&self.owner.sources, slot);
                owner
            }
            None => 0,
        };
        self.record.emit(Kind::SourceReleased, || {
            Event::source_released(clock::ticks(), key.id, owner)
        });
        for waiters in &mut source.waiters {
            wake_all(waiters.take());
        }
    }

    /// Ready if the call is worth a try; else `waker` is woken when it is, in place of the one of
    /// the last such call in this direction. `place` is where the waiting stands; without one it
    /// is not the running task that waits.
    ///
    /// Errors: the source is deregistered.
    #[inline]
    pub(crate) fn poll_ready(
        &self,
        key: SourceKey,
        direction: Direction,
        waker: &Waker,
        place: impl Into<Option<&'static Location<'static>>>,
    ) -> Poll<io::Result<()>> {
        let place = place.into();
        self.poll_with(key, direction, place, |waiters| waiters.set_one(waker))
    }

    /// As `poll_ready`, for a future that shares the direction with others and says with `forget`
    /// when it stops waiting.
    pub(crate) fn poll_ready_among(
        &self,
        key: SourceKey,
        direction: Direction,
        ticket: &mut Ticket,
        waker: &Waker,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        let fresh = || {
            let number = self.tickets.get() + 1;
            self.tickets.set(number);
            number
        };
        self.poll_with(key, direction, Some(place), |waiters| {
            waiters.set(ticket, fresh, waker)
        })
    }

    /// As `poll_ready`, for a waker that is the runtime's own and stands for no task: no waiting is
    /// recorded.
    #[cfg(unix)]
    pub(crate) fn poll_quietly(
        &self,
        key: SourceKey,
        direction: Direction,
        waker: &Waker,
    ) -> Poll<io::Result<()>> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.of_key(key) else {
            return Poll::Ready(Err(gone()));
        };
        if source.ready & direction.bit() != 0 {
            return Poll::Ready(Ok(()));
        }
        let old = source.waiters[direction as usize].set_one(waker);
        drop(sources);
        drop(old);
        Poll::Pending
    }

    #[inline]
    fn poll_with(
        &self,
        key: SourceKey,
        direction: Direction,
        place: Option<&'static Location<'static>>,
        wait: impl FnOnce(&mut source::Waiters) -> Option<Waker>,
    ) -> Poll<io::Result<()>> {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.of_key(key) else {
            return Poll::Ready(Err(gone()));
        };
        if source.ready & direction.bit() != 0 {
            return Poll::Ready(Ok(()));
        }
        let old = wait(&mut source.waiters[direction as usize]);
        if let Some(row) = self.row(source) {
            if place.is_some() {
                let field = match direction {
                    Direction::Read => &row.reader,
                    Direction::Write => &row.writer,
                };
                let task = record::current_task();
                field.store(task, Ordering::Relaxed);
                row.used_by(task);
            }
            let interest = row.interest.load(Ordering::Relaxed) | direction.bit();
            row.interest.store(interest, Ordering::Relaxed);
        }
        drop(sources);
        drop(old);
        if let Some(place) = place {
            record::waiting(WaitingOn::new(On::Source, key.id), place);
        }
        Poll::Pending
    }

    /// The holder of `ticket` waits no longer.
    pub(crate) fn forget(&self, key: SourceKey, direction: Direction, ticket: Ticket) {
        self.forget_with(key, direction, |waiters| waiters.forget(ticket));
    }

    /// As `forget`, for the waiter of `poll_ready`.
    pub(crate) fn forget_one(&self, key: SourceKey, direction: Direction) {
        self.forget_with(key, direction, source::Waiters::forget_one);
    }

    fn forget_with(
        &self,
        key: SourceKey,
        direction: Direction,
        forget: impl FnOnce(&mut source::Waiters) -> Option<Waker>,
    ) {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.of_key(key) else {
            return;
        };
        let waiters = &mut source.waiters[direction as usize];
        let waker = forget(waiters);
        if waiters.is_empty()
            && let Some(row) = self.row(source)
        {
            no_longer_waits(row, direction.bit());
        }
        drop(sources);
        drop(waker);
    }

    /// The call moved less than it could have: the next one would block, unless the peer closed,
    /// which is reported once, maybe together with the last data.
    pub(crate) fn clear_ready(&self, key: SourceKey, direction: Direction) {
        self.clear(key, direction, false);
    }

    /// The call would have blocked.
    pub(crate) fn would_block(&self, key: SourceKey, direction: Direction) {
        self.clear(key, direction, true);
    }

    /// The call moved what it could: an event that said so was right.
    #[inline]
    pub(crate) fn proved(&self, key: SourceKey, direction: Direction) {
        if let Some(source) = self.sources.borrow_mut().of_key(key) {
            source.unproved &= !direction.bit();
        }
    }

    fn clear(&self, key: SourceKey, direction: Direction, blocked: bool) {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.of_key(key) else {
            return;
        };
        let bit = direction.bit();
        if !blocked && source.ready & direction::CLOSED != 0 {
            return;
        }
        let spurious = blocked && source.unproved & bit != 0;
        source.ready &= !bit;
        source.unproved &= !bit;
        let ready = source.ready;
        if let Some(row) = self.row(source) {
            row.ready.store(ready, Ordering::Relaxed);
            if spurious {
                record::count(&row.spurious);
            }
        }
    }

    /// The row of a source, for its addresses and the like.
    pub(crate) fn with_row<R>(
        &self,
        key: SourceKey,
        read: impl FnOnce(&SourceRow) -> R,
    ) -> Option<R> {
        let mut sources = self.sources.borrow_mut();
        let source = sources.of_key(key)?;
        self.row(source).map(read)
    }

    fn row(&self, source: &Source) -> Option<&SourceRow> {
        self.record.sources.get(source.row?)
    }
}

impl Drop for Reactor {
    /// A closed loop has no sources; their owners find them gone.
    fn drop(&mut self) {
        let mut sources = self.sources.take();
        for source in sources.drain() {
            if let Some((slot, row)) = source.row.zip(self.row(&source)) {
                row.vacate();
                self.record.sources.give_back(&self.owner.sources, slot);
            }
        }
    }
}

/// The directions that an event makes worth a try.
fn bits_of(event: &Readiness) -> u8 {
    let mut bits = 0;
    if event.is_readable() {
        bits |= direction::READ;
    }
    if event.is_writable() {
        bits |= direction::WRITE;
    }
    // A closed side is ready: the call tells how it ended.
    if event.is_read_closed() {
        bits |= direction::READ | direction::CLOSED;
    }
    if event.is_write_closed() {
        bits |= direction::WRITE | direction::CLOSED;
    }
    if event.is_error() {
        bits |= direction::READ | direction::WRITE | direction::CLOSED;
    }
    bits
}

fn no_longer_waits(row: &SourceRow, bits: u8) {
    let interest = row.interest.load(Ordering::Relaxed) & !bits;
    row.interest.store(interest, Ordering::Relaxed);
    if bits & direction::READ != 0 {
        row.reader.store(0, Ordering::Relaxed);
    }
    if bits & direction::WRITE != 0 {
        row.writer.store(0, Ordering::Relaxed);
    }
}

fn wake_all(woken: Woken) {
    for waker in woken.into_wakers() {
        // Whatever the panic says belongs to the waker's own executor. Its hook has been run.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "this source is no longer registered: it, or its loop, was closed",
    )
}

fn explained(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return io::Error::new(
            io::ErrorKind::Unsupported,
            "this descriptor has no readiness to wait for (a regular file, a directory or a device \
             such as /dev/null): use it on another thread, with `run_in_executor`",
        );
    }
    error
}

#[cfg(all(test, unix))]
mod tests;
