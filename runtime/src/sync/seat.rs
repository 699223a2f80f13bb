//! A place for one who waits: as the line of `waiters`, where only one can wait, and without memory
//! of its own. What it waits for is asked again when it is woken.

use std::cell::Cell;
use std::panic::Location;
use std::task::{Context, Waker};

use super::resource::Resource;
use super::waiters::{NONE, give_row_back, take_row, with_row};
use crate::record;

pub(crate) struct Seat {
    /// `None` also for the moment in which it is looked at.
    waker: Cell<Option<Waker>>,
    task: Cell<u64>,
    row: Cell<u32>,
    taken: Cell<bool>,
}

impl Seat {
    pub(crate) const fn new() -> Self {
        Self {
            waker: Cell::new(None),
            task: Cell::new(0),
            row: Cell::new(NONE),
            taken: Cell::new(false),
        }
    }

    /// The task that waits; 0 for none.
    #[inline]
    pub(crate) fn task(&self) -> u64 {
        self.task.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.taken.get()
    }

    /// The polled task waits for `row`, here, until it is woken or leaves. `at` is its `.await`.
    /// Tells whether nobody did before.
    pub(crate) fn wait(
        &self,
        row: &Resource,
        at: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> bool {
        let task = record::current_task();
        let fresh = !self.taken.replace(true);
        if fresh {
            self.row.set(take_row(task, row.on(), at));
        } else if self.task.get() != task {
            with_row(self.row.get(), |row| row.move_to(task));
        }
        self.task.set(task);
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            // Giving one up may run anything, which finds the seat taken.
            _old => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
        if self.is_empty() {
            // The drop of the old waker ran what wakes this one.
            cx.waker().wake_by_ref();
        }
        record::waiting(row.on(), at);
        fresh
    }

    /// Nobody waits any more. Tells whether somebody did.
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        let taken = self.taken.get();
        if taken {
            drop(self.take());
        }
        taken
    }

    /// Wakes who waits. Tells whether somebody did.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        let taken = self.taken.get();
        if taken && let Some(waker) = self.take() {
            waker.wake();
        }
        taken
    }

    fn take(&self) -> Option<Waker> {
        self.taken.set(false);
        self.task.set(0);
        give_row_back(self.row.replace(NONE));
        self.waker.take()
    }
}
