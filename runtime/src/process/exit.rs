//! Who waits for a child's exit, and what makes the loop hear of it.
//!
//! A pidfd in the reactor, or, where there is none, a thread that waits. Every child is watched
//! until it is reaped, whether anybody awaits it or not. Knows no pipes and no commands.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::panic::Location;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use mio::Interest;
use mio::unix::SourceFd;

use super::kernel::{Exit, Process};
use crate::clock;
use crate::context::{self, Organs};
use crate::id::LoopId;
use crate::reactor::{Direction, Interests, SourceKey};
use crate::record;
use crate::record::bound::{self, LoopBound};
use crate::record::child::ChildRow;
use crate::record::event::{self, Event};
use crate::record::names;
use crate::record::source::{Address, Kind, Registration};
use crate::record::task::{On, WaitingOn};
use crate::sync::waiters::{Ticket, Waiters};

/// A child, as its loop knows it.
pub(super) struct Entry {
    on: LoopId,
    pub(super) id: u64,
    /// Slot of the row; `None` when the table was full.
    row: Option<u32>,
    pub(super) process: Arc<Process>,
    /// The registration of its pidfd, until its exit is known.
    key: Cell<Option<SourceKey>>,
    waiters: Waiters,
}

pub(super) type Shared = Arc<LoopBound<Entry>>;

thread_local! {
    /// The children of this thread's loops whose exit is not known yet.
    static WATCHED: RefCell<BTreeMap<LoopId, BTreeMap<u64, Shared>>> =
        const { RefCell::new(BTreeMap::new()) };
}

fn find(on: LoopId, id: u64) -> Option<Shared> {
    WATCHED
        .try_with(|all| all.borrow().get(&on)?.get(&id).cloned())
        .ok()
        .flatten()
}

/// Lists `process` and has the loop hear of its exit.
///
/// Errors: neither descriptor nor thread to be had.
pub(super) fn watch(
    organs: &Organs,
    process: Arc<Process>,
    program: &str,
    place: &'static Location<'static>,
) -> io::Result<Shared> {
    let (on, id) = (organs.record.id, organs.owner.ids.next());
    let row = organs.record.children.take(&organs.owner.children);
    match row {
        Some((_, row)) => {
            let program = names::intern(program);
            let owner = record::current_task();
            row.started(
                id,
                process.pid().into(),
                owner,
                clock::mono(),
                program,
                place,
            );
        }
        None => {
            let stats = &organs.record.stats;
            stats.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }
    organs.record.emit(event::Kind::ChildStarted, || {
        let pid = process.pid().into();
        Event::child_started(clock::ticks(), id, record::current_task(), pid)
    });
    let entry = Entry {
        on,
        id,
        row: row.map(|(slot, _)| slot),
        process,
        key: Cell::new(None),
        waiters: Waiters::new(),
    };
    let shared = Arc::new(LoopBound::new(on, entry));
    let entry = shared.get().map_err(io::Error::other)?;
    match entry.process.pidfd() {
        Some(fd) => entry.register(organs, fd, place)?,
        // It may be gone already, where children are reaped unasked.
        None if entry.process.reap().is_some() => {}
        None => entry.wait_on_a_thread()?,
    }
    let first = WATCHED.with_borrow_mut(|all| {
        let (first, of_loop) = match all.entry(on) {
            std::collections::btree_map::Entry::Occupied(of_loop) => (false, of_loop.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                (true, free.insert(BTreeMap::new()))
            }
        };
        of_loop.insert(id, shared.clone());
        first
    });
    if first {
        let undo = Box::new(move || close(on));
        organs.state.at_close.borrow_mut().push(undo);
    }
    entry.look();
    Ok(shared)
}

impl Entry {
    fn register(
        &self,
        organs: &Organs,
        fd: i32,
        place: &'static Location<'static>,
    ) -> io::Result<()> {
        let registration = Registration {
            kind: Kind::Child,
            fd: fd.into(),
            local: Address::None,
            peer: Address::None,
            place: Some(place),
        };
        let interests = Interests {
            interest: Interest::READABLE,
            ready: 0,
        };
        let key = organs
            .reactor
            .register(&mut SourceFd(&fd), interests, &registration)?;
        organs.reactor.with_row(key, |row| {
            row.child.store(self.id, Ordering::Relaxed);
        });
        self.key.set(Some(key));
        Ok(())
    }

    fn wait_on_a_thread(&self) -> io::Result<()> {
        let (on, id) = (self.on, self.id);
        on_a_thread(&self.process, move |process| {
            let errand = Box::new(move || heard(on, id));
            if bound::send(on, errand).is_err() {
                // Its loop is closed: nobody else will.
                process.reap();
            }
        })
    }

    fn with_row(&self, write: impl FnOnce(&ChildRow)) {
        let _ = context::with(|organs| {
            if let Some(row) = self.row.and_then(|slot| organs.record.children.get(slot))
                && row.child_id() == self.id
            {
                write(row);
            }
        });
    }

    /// Whether it has ended: if so, who waits is told; else the reactor tells when.
    fn look(&self) {
        let waker = Waker::from(Arc::new(Doorbell {
            on: self.on,
            id: self.id,
        }));
        while let Some(key) = self.key.get() {
            let asked =
                context::with(|organs| organs.reactor.poll_quietly(key, Direction::Read, &waker));
            match asked {
                Ok(Poll::Ready(Ok(()))) => {}
                Ok(Poll::Pending) => return,
                // No loop, or the descriptor is not in it any more: `close` has seen to it.
                Ok(Poll::Ready(Err(_))) | Err(_) => return,
            }
            match self.process.reap() {
                Some(exit) => return self.ended(exit),
                None => {
                    let _ = context::with(|organs| {
                        organs.reactor.would_block(key, Direction::Read);
                    });
                }
            }
        }
        if let Some(exit) = self.process.exit() {
            self.ended(exit);
        }
    }

    /// Its exit is known, maybe since a signal was to be sent.
    pub(super) fn ended(&self, exit: Exit) {
        let watched = WATCHED.with_borrow_mut(|all| all.get_mut(&self.on)?.remove(&self.id));
        if let (Some(key), Some(fd)) = (self.key.take(), self.process.pidfd()) {
            let _ = context::with(|organs| organs.reactor.deregister(&mut SourceFd(&fd), key));
        }
        self.process.settle();
        let mut owner = 0;
        self.with_row(|row| {
            owner = row.owner.load(Ordering::Relaxed);
            row.ended(exit.status.into_raw().into(), exit.lost, clock::mono());
            row.waiters.store(0, Ordering::Relaxed);
        });
        let _ = context::with(|organs| {
            organs.record.emit(event::Kind::ChildExited, || {
                let code = code_of(exit.status).unwrap_or(i32::MIN);
                Event::child_exited(clock::ticks(), self.id, owner, code)
            });
        });
        self.waiters.grant_all(|_| 0);
        drop(watched);
    }

    /// Ready with how it ended; else the polled task waits for that.
    pub(super) fn poll_exit(
        &self,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<ExitStatus> {
        if let Some(exit) = self.process.exit() {
            self.waiters.leave(ticket);
            return Poll::Ready(exit.status);
        }
        let on = WaitingOn::new(On::Child, self.id);
        // Nobody is told before the exit is known.
        let _ = self.waiters.poll(ticket, 0, on, place, cx);
        self.state_waiters();
        Poll::Pending
    }

    /// The holder of `ticket` waits no longer.
    pub(super) fn forget(&self, ticket: &mut Ticket) {
        self.waiters.leave(ticket);
        self.state_waiters();
    }

    fn state_waiters(&self) {
        let waiters = u32::try_from(self.waiters.len()).unwrap_or(u32::MAX);
        self.with_row(|row| row.waiters.store(waiters, Ordering::Relaxed));
    }

    /// States that a pipe to it was opened or closed on this side; `bit` of `record::child::pipe`.
    pub(super) fn state_pipe(&self, bit: u8, open: bool) {
        self.with_row(|row| row.set_pipe(bit, open));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Elsewhere the loop is closed, and its tables are read-only history.
        if bound::here() != Some(self.on) {
            return;
        }
        let (slot, id) = (self.row, self.id);
        let _ = context::with(|organs| {
            if let Some((slot, row)) =
                slot.and_then(|slot| Some((slot, organs.record.children.get(slot)?)))
                && row.child_id() == id
            {
                row.vacate();
                let children = &organs.record.children;
                children.give_back(&organs.owner.children, slot);
            }
        });
    }
}

/// As asyncio has it: the exit code, or the signal that ended it, negated.
pub(super) fn code_of(status: ExitStatus) -> Option<i32> {
    status
        .code()
        .or_else(|| status.signal().map(|signal| -signal))
}

/// The loop was told to look after a child.
fn heard(on: LoopId, id: u64) {
    if let Some(shared) = find(on, id)
        && let Ok(entry) = shared.get()
    {
        match entry.process.reap() {
            Some(exit) => entry.ended(exit),
            None => {
                if let Some(key) = entry.key.get() {
                    let _ = context::with(|organs| {
                        organs.reactor.would_block(key, Direction::Read);
                    });
                }
                entry.look();
            }
        }
    }
}

/// Nobody holds the child any more and its loop does not watch it: it is reaped from a thread.
pub(super) fn reap_elsewhere(process: &Arc<Process>) {
    if process.reap().is_some() {
        return;
    }
    let reap = |process: &Process| {
        process.reap();
    };
    if let Err(error) = on_a_thread(process, reap) {
        tracing::warn!(
            pid = process.pid(),
            %error,
            "no thread to wait for a child that its loop has left; it stays a zombie when it ends"
        );
    }
}

fn on_a_thread(
    process: &Arc<Process>,
    then: impl FnOnce(&Process) + Send + 'static,
) -> io::Result<()> {
    let process = process.clone();
    std::thread::Builder::new()
        .name(format!("child-{}", process.pid()))
        .stack_size(128 * 1024)
        .spawn(move || {
            process.wait_unreaped();
            then(&process);
        })
        .map(drop)
}

/// The loop closes: it hears of no exit any more. Whoever still holds a child sees to it when they
/// drop it; the others are reaped by threads.
fn close(on: LoopId) {
    let left = WATCHED.with_borrow_mut(|all| all.remove(&on));
    for shared in left.into_iter().flat_map(BTreeMap::into_values) {
        let Ok(entry) = shared.get() else { continue };
        if let (Some(key), Some(fd)) = (entry.key.take(), entry.process.pidfd()) {
            let _ = context::with(|organs| organs.reactor.deregister(&mut SourceFd(&fd), key));
            reap_elsewhere(&entry.process);
        }
        // Without a descriptor a thread waits already, and finds the loop closed.
    }
}

/// Woken by the reactor when a child has ended.
struct Doorbell {
    on: LoopId,
    id: u64,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        if bound::here() == Some(self.on) {
            heard(self.on, self.id);
        }
    }
}
