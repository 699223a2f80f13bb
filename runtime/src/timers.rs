//! Deadlines in order, and the wakers to call when they pass. Knows neither tasks nor I/O.
//!
//! ```text
//! arm ──► armed ──fire──► fired ──rearm──► armed     (a sleep, an interval)
//!           │               │
//!           └────cancel─────┴──────────► gone        a call is gone once it has fired
//! ```
//!
//! The clock is an argument: nothing here reads one.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use crate::clock;
use crate::record::event::{Event, Kind as EventKind};
use crate::record::histogram::FLOOR;
use crate::record::timer::{Kind, TimerRow};
use crate::record::wake::Cause;
use crate::record::{self, LoopRecord, Owner, memory};

mod wheel;

use wheel::Wheel;

/// How many timers before its turn a timer's memory is asked for.
const AHEAD: usize = 4;

/// Names one timer of one loop. Stale once the timer is gone, and then answers as such.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    slot: u32,
    id: u64,
}

impl TimerKey {
    /// The row's id, for what waits for it.
    pub(crate) fn id(self) -> u64 {
        self.id
    }
}

/// What is recorded of a timer when it is armed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arm {
    pub(crate) kind: Kind,
    /// The task or callback it is for; 0 where none is known.
    pub(crate) owner: u64,
    /// Nanoseconds on the loop's clock.
    pub(crate) now: u64,
    /// Nanoseconds between two firings of an interval; else 0.
    pub(crate) period: u64,
    pub(crate) place: Option<&'static Location<'static>>,
}

/// What happens at the deadline.
pub(crate) enum Action {
    Wake(Waker),
    /// Called by `fire`, so it enqueues and returns; the timer is gone then.
    #[cfg_attr(not(test), allow(dead_code))] // All that wait have wakers so far.
    Call(Box<dyn FnOnce()>),
}

impl From<Waker> for Action {
    fn from(waker: Waker) -> Self {
        Action::Wake(waker)
    }
}

struct Timer {
    id: u64,
    /// `None` where the table of rows was full.
    row: Option<u32>,
    /// `None` once fired.
    action: Option<Action>,
}

/// The timers of one loop.
pub(crate) struct Timers {
    record: Arc<LoopRecord>,
    owner: Rc<Owner>,
    wheel: RefCell<Wheel<Timer>>,
}

impl Timers {
    pub(crate) fn new(record: Arc<LoopRecord>, owner: Rc<Owner>) -> Self {
        Self {
            record,
            owner,
            wheel: RefCell::new(Wheel::new()),
        }
    }

    /// Arms a timer. Equal deadlines fire in the order of arming; a deadline in the past fires at
    /// the next `fire`, before any later one.
    pub(crate) fn arm(&self, deadline: u64, action: impl Into<Action>, what: Arm) -> TimerKey {
        let id = self.owner.ids.next();
        let action = action.into();
        let asker = match &action {
            Action::Wake(waker) => record::asker(waker.data(), what.owner),
            Action::Call(_) => (std::ptr::null_mut(), 0),
        };
        let row = self.record.timers.take(&self.owner.timers);
        match row {
            Some((_, row)) => {
                let Arm {
                    kind,
                    owner,
                    now,
                    place,
                    ..
                } = what;
                row.armed(id, kind, (owner, asker), now, deadline, place);
                if what.period != 0 {
                    row.period.store(what.period, Ordering::Relaxed);
                }
            }
            None => {
                self.record.stats.unrecorded.fetch_add(1, Ordering::Relaxed);
            }
        }
        record::count(&self.record.stats.timers_armed);
        self.record.emit(EventKind::TimerArmed, || {
            Event::timer_armed(clock::ticks(), id, what.owner, deadline)
        });
        let timer = Timer {
            id,
            row: row.map(|(slot, _)| slot),
            action: Some(action),
        };
        let slot = self.wheel.borrow_mut().insert(deadline, what.now, timer);
        TimerKey { slot, id }
    }

    /// Moves the deadline of a timer, armed or fired; false if it is gone or has nobody to wake.
    ///
    /// A fired timer needs a waker first (`set_waker`).
    pub(crate) fn rearm(&self, key: TimerKey, deadline: u64, now: u64) -> bool {
        let mut wheel = self.wheel.borrow_mut();
        let Some(timer) = wheel.get(key.slot).filter(|timer| timer.id == key.id) else {
            return false;
        };
        if timer.action.is_none() {
            return false;
        }
        let row = self.row(timer);
        let moved = wheel.unqueue(key.slot);
        wheel.queue(key.slot, deadline, now);
        if let Some(row) = row {
            row.deadline.store(deadline, Ordering::Relaxed);
            row.armed_at.store(now, Ordering::Relaxed);
            row.armed.store(1, Ordering::Relaxed);
            if moved {
                let moves = row.rearmed.load(Ordering::Relaxed);
                row.rearmed
                    .store(moves.saturating_add(1), Ordering::Relaxed);
            }
        }
        record::count(&self.record.stats.timers_armed);
        self.record.emit(EventKind::TimerArmed, || {
            let owner = row.map_or(0, |row| row.owner.load(Ordering::Relaxed));
            Event::timer_armed(clock::ticks(), key.id, owner, deadline)
        });
        true
    }

    /// Makes `waker` the one to wake; clones it only if it wakes somebody else than before.
    pub(crate) fn set_waker(&self, key: TimerKey, waker: &Waker) {
        let mut wheel = self.wheel.borrow_mut();
        let Some(timer) = wheel.get_mut(key.slot).filter(|timer| timer.id == key.id) else {
            return;
        };
        if let Some(Action::Wake(old)) = &timer.action
            && old.will_wake(waker)
        {
            if let Some(row) = self.row(timer) {
                let owner = row.owner.load(Ordering::Relaxed);
                row.asked_by(record::asker(waker.data(), owner));
            }
            return;
        }
        let old = timer.action.replace(Action::Wake(waker.clone()));
        if let Some(row) = self.row(timer) {
            let owner = record::current_task();
            row.asked_by(record::asker(waker.data(), owner));
            if owner != 0 {
                row.owner.store(owner, Ordering::Relaxed);
            }
        }
        // A waker's drop may come back here.
        drop(wheel);
        drop(old);
    }

    /// Removes a timer; true if it was still going to fire. O(1), and nothing stays behind.
    pub(crate) fn cancel(&self, key: TimerKey) -> bool {
        let mut wheel = self.wheel.borrow_mut();
        if wheel.get(key.slot).is_none_or(|timer| timer.id != key.id) {
            return false;
        }
        let armed = wheel.unqueue(key.slot);
        let timer = wheel.free(key.slot);
        drop(wheel);
        if let Some(timer) = timer {
            let owner = self.release(&timer);
            if armed {
                record::count(&self.record.stats.timers_cancelled);
                self.record.emit(EventKind::TimerCancelled, || {
                    Event::timer_cancelled(clock::ticks(), key.id, owner)
                });
            }
        }
        armed
    }

    /// True from its firing until it is armed again or removed.
    pub(crate) fn is_fired(&self, key: TimerKey) -> bool {
        let wheel = self.wheel.borrow();
        wheel.get(key.slot).is_some_and(|timer| timer.id == key.id) && !wheel.is_queued(key.slot)
    }

    /// When to call `fire` next: the earliest deadline, or shortly before it among very many.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.wheel.borrow_mut().next()
    }

    /// Timers that are armed.
    pub(crate) fn len(&self) -> usize {
        self.wheel.borrow().queued()
    }

    /// Wakes and calls, in order, whatever is due at `now`; never what is due later. Returns how
    /// many fired.
    ///
    /// What is armed meanwhile may wait for the next call. A waker or call that panics ends there.
    pub(crate) fn fire(&self, now: u64) -> usize {
        let mut left = self.wheel.borrow().queued();
        let mut fired = 0;
        while left > 0 {
            left -= 1;
            let mut wheel = self.wheel.borrow_mut();
            let Some(slot) = wheel.pop(now) else { break };
            if let Some(timer) = wheel.ahead(AHEAD) {
                self.ask_for(timer);
            }
            let late = now - wheel.deadline(slot).min(now);
            let timer = wheel.get_mut(slot).expect("a queued entry has its timer");
            let (id, row, action) = (timer.id, timer.row, timer.action.take());
            let gone = match action {
                Some(Action::Call(_)) => wheel.free(slot),
                _ => None,
            };
            drop(wheel);
            self.state_fired(id, row, late);
            if let Some(timer) = gone {
                self.release(&timer);
            }
            self.record.acts_for(Some(Cause::Timer(id)));
            // Whatever the panic says belongs to the waker's own executor; the next timer does not
            // suffer. Its hook has been run.
            let _ = catch_unwind(AssertUnwindSafe(|| match action {
                Some(Action::Wake(waker)) => waker.wake(),
                Some(Action::Call(call)) => call(),
                None => {}
            }));
            fired += 1;
        }
        if fired > 0 {
            self.record.acts_for(None);
        }
        fired
    }

    /// Has what firing `timer` touches brought near.
    fn ask_for(&self, timer: &Timer) {
        if let Some(row) = self.row(timer) {
            memory::ask_for(row);
        }
        if let Some(Action::Wake(waker)) = &timer.action {
            // Of our tasks that is the row, of which a wake writes the first line and the third.
            memory::ask_for(waker.data());
            memory::ask_for(waker.data().wrapping_byte_add(128));
        }
    }

    fn state_fired(&self, id: u64, row: Option<u32>, late: u64) {
        let stats = &self.record.stats;
        record::count(&stats.timers_fired);
        record::raise(&stats.late_max, late);
        if late >= FLOOR {
            self.record.late.count(late);
        }
        let row = row.and_then(|slot| self.record.timers.get(slot));
        if let Some(row) = row {
            row.late.store(late, Ordering::Relaxed);
            record::raise(&row.late_max, late);
            record::count(&row.fired);
            row.armed.store(0, Ordering::Relaxed);
        }
        self.record.emit(EventKind::TimerFired, || {
            let owner = row.map_or(0, |row| row.owner.load(Ordering::Relaxed));
            Event::timer_fired(clock::ticks(), id, owner, late)
        });
    }

    fn row(&self, timer: &Timer) -> Option<&TimerRow> {
        self.record.timers.get(timer.row?)
    }

    /// Gives the row back; returns whose timer it was.
    fn release(&self, timer: &Timer) -> u64 {
        let Some((slot, row)) = timer.row.zip(self.row(timer)) else {
            return 0;
        };
        let owner = row.owner.load(Ordering::Relaxed);
        row.vacate();
        self.record.timers.give_back(&self.owner.timers, slot);
        owner
    }
}

impl Drop for Timers {
    /// A closed loop has no timers: the rows are given back.
    fn drop(&mut self) {
        let rows: Vec<u32> = self.record.timers.live().map(|(slot, _)| slot).collect();
        for slot in rows {
            if let Some(row) = self.record.timers.get(slot) {
                row.vacate();
            }
        }
    }
}

#[cfg(test)]
mod tests;
