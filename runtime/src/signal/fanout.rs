//! The signals that one loop listens to: a bell, a flag per signal, subscribers.
//!
//! The kernel's handler sets the flag and rings the bell; all else happens on the loop. Signals
//! of one number that come faster than the loop looks are one delivery, as the kernel has it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use signal_hook::{SigId, low_level};

use super::default_from_second;
#[cfg(unix)]
use super::pipe::Bell;
use super::process::Listening;
#[cfg(windows)]
use super::thread::Bell;
use crate::clock;
use crate::context::{self, Organs};
use crate::executor::How;
use crate::id::LoopId;
use crate::record::event::{self, Event};
use crate::record::task;
use crate::record::wake::Cause;

/// Called at each delivery, in a callback of the loop.
pub(super) type Handler = Rc<RefCell<dyn FnMut()>>;

enum Subscriber {
    Handler {
        handler: Handler,
        place: &'static Location<'static>,
    },
    /// As a handler, but only while all subscribers are fallbacks.
    Fallback {
        handler: Handler,
        place: &'static Location<'static>,
    },
    Waiter {
        came: bool,
        waker: Option<Waker>,
        place: &'static Location<'static>,
    },
}

impl Subscriber {
    fn place(&self) -> &'static Location<'static> {
        match self {
            Subscriber::Handler { place, .. }
            | Subscriber::Fallback { place, .. }
            | Subscriber::Waiter { place, .. } => place,
        }
    }
}

/// One signal, while somebody on this loop listens to it.
struct Watched {
    came: Arc<AtomicBool>,
    subscribers: Vec<(u64, Subscriber)>,
    /// Unregistered in order, before `_listening` brings the default back.
    actions: Vec<SigId>,
    /// Has the second delivery end the process; there while all subscribers are fallbacks.
    second: Vec<SigId>,
    _listening: Listening,
}

impl Watched {
    fn falls_back(&self) -> bool {
        let fallback = |(_, subscriber): &_| is_fallback(subscriber);
        self.subscribers.iter().all(fallback)
    }

    /// To be called when the subscribers have changed.
    fn arm_second(&mut self, signal: i32) -> io::Result<()> {
        if self.subscribers.is_empty() || !self.falls_back() {
            self.second.drain(..).for_each(unregister);
        } else if self.second.is_empty() {
            let once = Arc::new(AtomicBool::new(false));
            self.second.extend(default_from_second(signal, &once)?);
        }
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let actions = self.second.drain(..).chain(self.actions.drain(..));
        actions.for_each(unregister);
    }
}

fn unregister(action: SigId) {
    low_level::unregister(action);
}

/// The signals of one loop.
pub(super) struct Fanout {
    on: LoopId,
    bell: Bell,
    watched: RefCell<BTreeMap<i32, Watched>>,
    tickets: Cell<u64>,
    /// Subscribers of the app: all but fallbacks.
    apps: Cell<usize>,
}

thread_local! {
    static FANOUTS: RefCell<BTreeMap<LoopId, Rc<Fanout>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The fan-out of the loop `on`, if it ever listened to a signal and runs on this thread.
pub(super) fn of(on: LoopId) -> Option<Rc<Fanout>> {
    FANOUTS
        .try_with(|all| all.borrow().get(&on).cloned())
        .ok()
        .flatten()
}

impl Fanout {
    pub(super) fn on(&self) -> LoopId {
        self.on
    }

    /// The fan-out of the loop that runs here, made at the first call.
    pub(super) fn here() -> io::Result<Rc<Self>> {
        let organs = context::current().map_err(io::Error::other)?;
        match of(organs.record.id) {
            Some(fanout) => Ok(fanout),
            None => Self::open(&organs),
        }
    }

    fn open(organs: &Organs) -> io::Result<Rc<Self>> {
        let on = organs.record.id;
        let fanout = Rc::new(Self {
            on,
            bell: Bell::hang(organs)?,
            watched: RefCell::default(),
            tickets: Cell::new(0),
            apps: Cell::new(0),
        });
        FANOUTS.with_borrow_mut(|all| all.insert(on, fanout.clone()));
        let undo = Box::new(move || close(on));
        organs.state.at_close.borrow_mut().push(undo);
        fanout.serve();
        Ok(fanout)
    }

    /// Calls `handler` at each delivery, in place of the one there was.
    pub(super) fn set_handler(
        &self,
        signal: i32,
        handler: Handler,
        place: &'static Location<'static>,
    ) -> io::Result<()> {
        let subscriber = Subscriber::Handler { handler, place };
        let old = self.remove(signal, is_handler);
        let set = self.subscribe(signal, subscriber);
        drop(old);
        set.map(|_| ())
    }

    pub(super) fn remove_handler(&self, signal: i32) -> bool {
        self.remove(signal, is_handler).is_some()
    }

    /// A waiter, by number.
    pub(super) fn add_waiter(
        &self,
        signal: i32,
        place: &'static Location<'static>,
    ) -> io::Result<u64> {
        let subscriber = Subscriber::Waiter {
            came: false,
            waker: None,
            place,
        };
        self.subscribe(signal, subscriber)
    }

    /// Calls `handler` at each delivery that nobody else listens to; a second one then ends the
    /// process.
    pub(super) fn add_fallback(
        &self,
        signal: i32,
        handler: Handler,
        place: &'static Location<'static>,
    ) -> io::Result<u64> {
        self.subscribe(signal, Subscriber::Fallback { handler, place })
    }

    pub(super) fn unsubscribe(&self, signal: i32, ticket: u64) {
        let removed = self.remove(signal, |held, _| held == ticket);
        drop(removed);
    }

    /// Ready once a delivery came since the last one that was told.
    pub(super) fn poll_waiter(&self, signal: i32, ticket: u64, by: &Waker) -> Poll<()> {
        let mut watched = self.watched.borrow_mut();
        let subscriber = watched.get_mut(&signal).and_then(|watched| {
            watched
                .subscribers
                .iter_mut()
                .find(|(held, _)| *held == ticket)
        });
        let Some((_, Subscriber::Waiter { came, waker, .. })) = subscriber else {
            return Poll::Pending;
        };
        if std::mem::take(came) {
            return Poll::Ready(());
        }
        let old = match waker {
            Some(old) if old.will_wake(by) => None,
            _ => waker.replace(by.clone()),
        };
        drop(watched);
        drop(old);
        Poll::Pending
    }

    fn subscribe(&self, signal: i32, subscriber: Subscriber) -> io::Result<u64> {
        let ticket = self.tickets.get() + 1;
        self.tickets.set(ticket);
        let mut watched = self.watched.borrow_mut();
        let watched = match watched.entry(signal) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.watch(signal)?),
        };
        self.apps
            .set(self.apps.get() + usize::from(!is_fallback(&subscriber)));
        watched.subscribers.push((ticket, subscriber));
        watched.arm_second(signal)?;
        self.state(signal, Some(watched));
        Ok(ticket)
    }

    /// States who listens to `signal` now.
    fn state(&self, signal: i32, watched: Option<&Watched>) {
        let subscribers = watched.map_or(&[][..], |watched| &watched.subscribers);
        let handler = subscribers
            .iter()
            .find(|(ticket, subscriber)| is_handler(*ticket, subscriber));
        let place = handler
            .or(subscribers.first())
            .map(|(_, subscriber)| subscriber.place());
        let _ = context::with(|organs| {
            organs
                .record
                .signals
                .listen(signal, subscribers.len(), place);
            organs.record.signals.set_apps(self.apps.get());
        });
    }

    fn watch(&self, signal: i32) -> io::Result<Watched> {
        let mut watched = Watched {
            came: Arc::default(),
            subscribers: Vec::new(),
            actions: Vec::new(),
            second: Vec::new(),
            _listening: Listening::new(signal)?,
        };
        self.bell
            .ring_at(signal, &watched.came, &mut watched.actions)?;
        Ok(watched)
    }

    fn remove(&self, signal: i32, which: impl Fn(u64, &Subscriber) -> bool) -> Option<Subscriber> {
        let mut all = self.watched.borrow_mut();
        let watched = all.get_mut(&signal)?;
        let at = watched
            .subscribers
            .iter()
            .position(|(ticket, subscriber)| which(*ticket, subscriber))?;
        let (_, subscriber) = watched.subscribers.remove(at);
        self.apps
            .set(self.apps.get() - usize::from(!is_fallback(&subscriber)));
        let left = (!watched.subscribers.is_empty()).then_some(&*watched);
        self.state(signal, left);
        if watched.subscribers.is_empty() {
            all.remove(&signal);
        } else if let Err(error) = watched.arm_second(signal) {
            tracing::warn!(%error, signal, "a second signal will not end the process");
        }
        Some(subscriber)
    }

    /// Silences the bell, has it ring again, and hands on what came.
    pub(super) fn serve(&self) {
        if self.bell.silence(self.on) {
            self.deliver();
        }
    }

    fn deliver(&self) {
        let came: Vec<i32> = self
            .watched
            .borrow()
            .iter()
            .filter(|(_, watched)| watched.came.swap(false, Ordering::SeqCst))
            .map(|(&signal, _)| signal)
            .collect();
        for signal in came {
            let (mut calls, mut wakers) = (Vec::new(), Vec::new());
            if let Some(watched) = self.watched.borrow_mut().get_mut(&signal) {
                let falls_back = watched.falls_back();
                for (_, subscriber) in &mut watched.subscribers {
                    match subscriber {
                        Subscriber::Handler { handler, place } => {
                            calls.push((Rc::downgrade(handler), *place));
                        }
                        Subscriber::Fallback { handler, place } if falls_back => {
                            calls.push((Rc::downgrade(handler), *place));
                        }
                        Subscriber::Fallback { .. } => {}
                        Subscriber::Waiter { came, waker, .. } => {
                            *came = true;
                            wakers.extend(waker.take());
                        }
                    }
                }
            }
            let _ = context::with(|organs| {
                organs.record.signals.delivered(signal, clock::mono());
                organs.record.emit(event::Kind::SignalReceived, || {
                    Event::signal_received(clock::ticks(), signal)
                });
                organs.record.acts_for(Some(Cause::Signal(signal as u64)));
                for (handler, place) in calls {
                    // Removed before its turn, it is not called any more.
                    let call = move || {
                        if let Some(handler) = handler.upgrade() {
                            (handler.borrow_mut())();
                        }
                    };
                    organs
                        .executor
                        .call(call, How::new(place, task::Kind::Callback));
                }
                wakers.into_iter().for_each(Waker::wake);
                organs.record.acts_for(None);
            });
        }
    }
}

fn is_fallback(subscriber: &Subscriber) -> bool {
    matches!(subscriber, Subscriber::Fallback { .. })
}

fn is_handler(_: u64, subscriber: &Subscriber) -> bool {
    matches!(subscriber, Subscriber::Handler { .. })
}

/// The loop closes: its handlers go, and with the last of them a signal's default comes back.
fn close(on: LoopId) {
    let fanout = FANOUTS.with_borrow_mut(|all| all.remove(&on));
    if let Some(fanout) = fanout {
        let watched = fanout.watched.take();
        fanout.apps.set(0);
        for &signal in watched.keys() {
            fanout.state(signal, None);
        }
        drop(watched);
        fanout.bell.take_down();
    }
}
