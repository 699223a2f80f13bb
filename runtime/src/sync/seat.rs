//! A place for one who waits: as the line of `waiters`, where only one can wait, and without memory
//! of its own. What it waits for is asked again when it is woken.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::task::{Context, Waker};

use super::resource::Resource;
use super::waiters::{NONE, give_row_back, take_row, with_row};
use crate::record;

pub(crate) struct Seat {
    waker: RefCell<Option<Waker>>,
    task: Cell<u64>,
    row: Cell<u32>,
}

impl Seat {
    pub(crate) const fn new() -> Self {
        Self {
            waker: RefCell::new(None),
            task: Cell::new(0),
            row: Cell::new(NONE),
        }
    }

    /// The task that waits; 0 for none.
    pub(crate) fn task(&self) -> u64 {
        self.task.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waker.borrow().is_none()
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
        let (fresh, known) = match &*self.waker.borrow() {
            Some(waker) => (false, waker.will_wake(cx.waker())),
            None => (true, false),
        };
        if fresh {
            self.row.set(take_row(task, row.on(), at));
        } else if self.task.get() != task {
            with_row(self.row.get(), |row| row.move_to(task));
        }
        self.task.set(task);
        if !known {
            // Cloning and dropping wakers may run anything, so not while the cell is borrowed.
            let waker = cx.waker().clone();
            let old = self.waker.replace(Some(waker));
            drop(old);
        }
        record::waiting(row.on(), at);
        fresh
    }

    /// Nobody waits any more. Tells whether somebody did.
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        let waker = self.take();
        let waited = waker.is_some();
        drop(waker);
        waited
    }

    /// Wakes who waits. Tells whether somebody did.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        let Some(waker) = self.take() else {
            return false;
        };
        waker.wake();
        true
    }

    #[inline]
    fn take(&self) -> Option<Waker> {
        let waker = self.waker.borrow_mut().take()?;
        self.task.set(0);
        give_row_back(self.row.replace(NONE));
        Some(waker)
    }
}
