//! `add_reader` and `add_writer`: a callback for as long as a descriptor of the app's is ready.
//!
//! Level-triggered, as asyncio's: after each call the kernel is asked anew (the poll set itself is
//! edge-triggered), so a callback that leaves data is called again in the next iteration.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};

use mio::Interest;
use mio::unix::SourceFd;

use crate::context::{self, Organs};
use crate::executor::How;
use crate::handle::LocalLoop;
use crate::id::LoopId;
use crate::reactor::{Direction, Interests, SourceKey};
use crate::record::bound;
use crate::record::source::{Address, Kind, Registration};
use crate::record::task;
use crate::record::vars::{self, Context};

/// One direction's callback. Dropped, it is never called again, even if its call is queued.
struct Watcher {
    handler: RefCell<Box<dyn FnMut()>>,
    place: &'static Location<'static>,
    /// The variables of who added it, for all its calls.
    context: Option<Context>,
    queued: Cell<bool>,
}

struct Watch {
    on: LoopId,
    fd: RawFd,
    key: Cell<SourceKey>,
    watchers: [RefCell<Option<Rc<Watcher>>>; 2],
}

thread_local! {
    static WATCHES: RefCell<BTreeMap<(LoopId, RawFd), Rc<Watch>>> =
        const { RefCell::new(BTreeMap::new()) };
}

fn find(on: LoopId, fd: RawFd) -> Option<Rc<Watch>> {
    WATCHES
        .try_with(|all| all.borrow().get(&(on, fd)).cloned())
        .ok()
        .flatten()
}

impl LocalLoop {
    /// Calls `callback` in each iteration in which `fd` is ready to be read, in place of the reader
    /// there was.
    ///
    /// The descriptor must stay open until `remove_reader`. A descriptor that a stream of this loop
    /// owns is refused, and the stream unharmed.
    /// Errors: the kernel's; `Unsupported`, with what to do, for a file without readiness.
    /// Records: a source of kind fd, and a callback row a call.
    /// Source: asyncio's `add_reader`.
    #[track_caller]
    pub fn add_reader(&self, fd: &impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
        self.add(Direction::Read, fd, Box::new(callback), Location::caller())
    }

    /// As `add_reader`, for the readiness to be written.
    #[track_caller]
    pub fn add_writer(&self, fd: &impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
        self.add(Direction::Write, fd, Box::new(callback), Location::caller())
    }

    /// Stops calling the reader of `fd`; whether there was one. Fine inside its own callback.
    pub fn remove_reader(&self, fd: &impl AsFd) -> bool {
        self.remove(Direction::Read, fd)
    }

    /// Stops calling the writer of `fd`; whether there was one. Fine inside its own callback.
    pub fn remove_writer(&self, fd: &impl AsFd) -> bool {
        self.remove(Direction::Write, fd)
    }

    fn add(
        &self,
        direction: Direction,
        fd: &impl AsFd,
        handler: Box<dyn FnMut()>,
        place: &'static Location<'static>,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other(self.handle().refusal()));
        }
        let (on, fd) = (self.id(), fd.as_fd().as_raw_fd());
        let watcher = Rc::new(Watcher {
            handler: RefCell::new(handler),
            place,
            context: vars::current().map(|context| context.fork()),
            queued: Cell::new(false),
        });
        let added = context::with(|organs| match find(on, fd) {
            Some(watch) => watch.set(organs, direction, watcher),
            None => Watch::open(organs, on, fd, direction, watcher),
        });
        added.map_err(io::Error::other)?
    }

    fn remove(&self, direction: Direction, fd: &impl AsFd) -> bool {
        let Some(watch) = find(self.id(), fd.as_fd().as_raw_fd()) else {
            return false;
        };
        let Some(old) = watch.watchers[direction as usize].take() else {
            return false;
        };
        let _ = context::with(|organs| watch.narrowed(organs));
        drop(old);
        true
    }
}

impl Watch {
    fn open(
        organs: &Organs,
        on: LoopId,
        fd: RawFd,
        direction: Direction,
        watcher: Rc<Watcher>,
    ) -> io::Result<()> {
        let key = register(organs, fd, interest_of(direction), watcher.place)?;
        let watch = Rc::new(Self {
            on,
            fd,
            key: Cell::new(key),
            watchers: Default::default(),
        });
        watch.watchers[direction as usize].replace(Some(watcher));
        let first = WATCHES.with_borrow_mut(|all| {
            let first = !all.keys().any(|(other, _)| *other == on);
            all.insert((on, fd), watch.clone());
            first
        });
        if first {
            let undo = Box::new(move || close(on));
            organs.state.at_close.borrow_mut().push(undo);
        }
        watch.look(organs);
        Ok(())
    }

    fn set(
        self: &Rc<Self>,
        organs: &Organs,
        direction: Direction,
        watcher: Rc<Watcher>,
    ) -> io::Result<()> {
        let place = watcher.place;
        let old = self.watchers[direction as usize].replace(Some(watcher));
        // What is known of readiness may be of an earlier watcher's time.
        organs.reactor.clear_ready(self.key.get(), direction);
        let asked = match self.ask(organs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.renew(organs, place),
            asked => asked,
        };
        drop(old);
        asked?;
        self.look(organs);
        Ok(())
    }

    fn interest(&self) -> Option<Interest> {
        let of = |direction: Direction| {
            let watched = self.watchers[direction as usize].borrow().is_some();
            watched.then_some(interest_of(direction))
        };
        match (of(Direction::Read), of(Direction::Write)) {
            (Some(read), Some(write)) => Some(read | write),
            (one, other) => one.or(other),
        }
    }

    /// Has the kernel report what is ready now.
    ///
    /// Errors: `NotFound` if the descriptor was closed, against the contract.
    fn ask(&self, organs: &Organs) -> io::Result<()> {
        let Some(interest) = self.interest() else {
            return Ok(());
        };
        let mut source = SourceFd(&self.fd);
        organs
            .reactor
            .reregister(&mut source, self.key.get(), interest)
    }

    /// The descriptor was closed and its number is another's, which is to be watched now.
    fn renew(&self, organs: &Organs, place: &'static Location<'static>) -> io::Result<()> {
        tell_closed(self.fd);
        let mut source = SourceFd(&self.fd);
        organs.reactor.deregister(&mut source, self.key.get());
        let interest = self.interest().unwrap_or(Interest::READABLE);
        self.key.set(register(organs, self.fd, interest, place)?);
        Ok(())
    }

    /// Queues the calls that are due and waits for the rest.
    fn look(self: &Rc<Self>, organs: &Organs) {
        let waker = Waker::from(Arc::new(Doorbell {
            on: self.on,
            fd: self.fd,
        }));
        for direction in [Direction::Read, Direction::Write] {
            let watcher = self.watchers[direction as usize].borrow().clone();
            let Some(watcher) = watcher.filter(|watcher| !watcher.queued.get()) else {
                continue;
            };
            let ready = organs
                .reactor
                .poll_ready(self.key.get(), direction, &waker, watcher.place);
            if ready.is_ready() {
                watcher.queued.set(true);
                let (watch, place) = (self.clone(), watcher.place);
                let weak = Rc::downgrade(&watcher);
                let call = move || {
                    if let Some(watcher) = weak.upgrade() {
                        watch.call(direction, &watcher);
                    }
                };
                let how = How::new(place, task::Kind::Callback);
                let context = watcher.context.clone();
                organs.executor.call_in(context, call, how);
            }
        }
    }

    fn call(self: Rc<Self>, direction: Direction, watcher: &Rc<Watcher>) {
        // Asked anew also when the callback panics, so that the watch goes on.
        struct Again<'a>(&'a Rc<Watch>, Direction, &'a Rc<Watcher>);
        impl Drop for Again<'_> {
            fn drop(&mut self) {
                self.2.queued.set(false);
                let _ = context::with(|organs| self.0.again(organs, self.1, self.2));
            }
        }
        let again = Again(&self, direction, watcher);
        (watcher.handler.borrow_mut())();
        drop(again);
    }

    fn again(self: &Rc<Self>, organs: &Organs, direction: Direction, watcher: &Rc<Watcher>) {
        let current = self.watchers[direction as usize].borrow().clone();
        if !current.is_some_and(|current| Rc::ptr_eq(&current, watcher)) {
            return;
        }
        organs.reactor.clear_ready(self.key.get(), direction);
        match self.ask(organs) {
            Ok(()) => self.look(organs),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tell_closed(self.fd);
                self.forget(organs);
            }
            Err(error) => {
                tracing::warn!(fd = self.fd, %error, "a descriptor is not watched any more");
                self.forget(organs);
            }
        }
    }

    /// A direction went: the kernel need not report it, or nothing at all.
    fn narrowed(&self, organs: &Organs) {
        match self.interest() {
            None => self.forget(organs),
            // Should the kernel refuse, it reports too much, which `look` passes over.
            Some(interest) => {
                let mut source = SourceFd(&self.fd);
                let _ = organs
                    .reactor
                    .reregister(&mut source, self.key.get(), interest);
            }
        }
    }

    fn forget(&self, organs: &Organs) {
        WATCHES.with_borrow_mut(|all| all.remove(&(self.on, self.fd)));
        let mut source = SourceFd(&self.fd);
        organs.reactor.deregister(&mut source, self.key.get());
    }
}

fn tell_closed(fd: RawFd) {
    tracing::warn!(
        fd,
        "a descriptor was closed while it had a reader or writer; call `remove_reader` and \
         `remove_writer` before"
    );
}

fn interest_of(direction: Direction) -> Interest {
    match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    }
}

fn register(
    organs: &Organs,
    fd: RawFd,
    interest: Interest,
    place: &'static Location<'static>,
) -> io::Result<SourceKey> {
    let registration = Registration {
        kind: Kind::Fd,
        fd: fd.into(),
        local: Address::None,
        peer: Address::None,
        place: Some(place),
    };
    let interests = Interests { interest, ready: 0 };
    organs
        .reactor
        .register(&mut SourceFd(&fd), interests, &registration)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a stream or listener of this loop owns this descriptor; use that",
            ),
            _ => error,
        })
}

/// The loop closes: nothing is watched any more.
fn close(on: LoopId) {
    let closed: Vec<_> = WATCHES.with_borrow_mut(|all| {
        let (closed, kept) = std::mem::take(all)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|((other, _), _)| *other == on);
        *all = kept;
        closed.into_values().collect()
    });
    for watch in closed {
        let _ = context::with(|organs| {
            let mut source = SourceFd(&watch.fd);
            organs.reactor.deregister(&mut source, watch.key.get());
        });
    }
}

/// Woken by the reactor when a direction of the descriptor is ready.
struct Doorbell {
    on: LoopId,
    fd: RawFd,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        if bound::here() == Some(self.on)
            && let Some(watch) = find(self.on, self.fd)
        {
            let _ = context::with(|organs| watch.look(organs));
        }
    }
}
