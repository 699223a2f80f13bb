//! The line of those who wait for one thing: first in, first out, and each leaves when it likes.
//!
//! ```text
//!            poll                  grant                  poll
//! (outside) ──────► waiting ──────────────────► granted ───────► (outside, with what was granted)
//!     ▲                │ leave                     │ leave
//!     └────────────────┴───────────────────────────┘ `Left` says which: a grant is to be passed on
//! ```
//!
//! Entries lie in one vector per line and are linked by index, so waiting allocates only while a
//! line grows. Knows neither what is waited for nor what a grant means: that is one word.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::context;
use crate::record;
use crate::record::task::WaitingOn;

/// In place of an index or slot where there is none.
pub(super) const NONE: u32 = u32::MAX;

/// A future's place in a line; empty while it does not wait. Whoever holds one that is not empty
/// owes the line a `leave` when it is dropped.
#[derive(Default, Debug)]
pub(crate) struct Ticket(Option<NonZeroU32>);

impl Ticket {
    fn index(&self) -> Option<usize> {
        self.0.map(|index| index.get() as usize - 1)
    }

    /// Whether it stands in no line.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// What the holder of a ticket was when it left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// In no line.
    Outside,
    /// Waiting; what follows it may have its turn now.
    Waiting,
    /// It had been granted this and never took it: pass it on.
    Granted(usize),
}

/// A line of waiters.
pub(crate) struct Waiters {
    line: RefCell<Line>,
    waiting: Cell<usize>,
}

struct Line {
    entries: Vec<Entry>,
    /// First of the unused entries, linked by `next`.
    free: u32,
    head: u32,
    tail: u32,
}

struct Entry {
    prev: u32,
    next: u32,
    /// Slot of the wait row.
    row: u32,
    granted: bool,
    /// While it waits what it asked for, then what it was granted.
    word: usize,
    task: u64,
    waker: Option<Waker>,
}

/// Who is at the head of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct First {
    /// The task, 0 where it is not one of this loop.
    pub(crate) task: u64,
    /// What it asked for.
    pub(crate) wants: usize,
}

impl Default for Waiters {
    fn default() -> Self {
        Self::new()
    }
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self {
            line: RefCell::new(Line {
                entries: Vec::new(),
                free: NONE,
                head: NONE,
                tail: NONE,
            }),
            waiting: Cell::new(0),
        }
    }

    /// How many wait; those who were granted something do not.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.waiting.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.get() == 0
    }

    /// The one whose turn it is.
    #[inline]
    pub(crate) fn first(&self) -> Option<First> {
        if self.is_empty() {
            return None;
        }
        let line = self.line.borrow();
        let entry = line.entries.get(line.head as usize)?;
        Some(First {
            task: entry.task,
            wants: entry.word,
        })
    }

    /// The task at the head; 0 for none.
    #[inline]
    pub(crate) fn first_task(&self) -> u64 {
        self.first().map_or(0, |first| first.task)
    }

    /// Ready with what was granted; else the polled task waits, at the end of the line or where it
    /// stands already. `on` is what it waits for, `at` where its `.await` stands.
    pub(crate) fn poll(
        &self,
        ticket: &mut Ticket,
        wants: usize,
        on: WaitingOn,
        at: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) -> Poll<usize> {
        let Some(index) = ticket.index() else {
            self.join(ticket, wants, on, at, cx);
            return Poll::Pending;
        };
        let mut line = self.line.borrow_mut();
        let entry = &mut line.entries[index];
        if entry.granted {
            let word = entry.word;
            line.forget(index as u32);
            ticket.0 = None;
            return Poll::Ready(word);
        }
        let task = record::current_task();
        if entry.task != task {
            // The future moved to another task.
            entry.task = task;
            with_row(entry.row, |row| row.move_to(task));
        }
        let known = entry
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        drop(line);
        if !known {
            // Cloning and dropping wakers may run anything, so not while the line is borrowed.
            let waker = cx.waker().clone();
            let old = self.line.borrow_mut().entries[index].waker.replace(waker);
            drop(old);
        }
        record::waiting(on, at);
        Poll::Pending
    }

    fn join(
        &self,
        ticket: &mut Ticket,
        wants: usize,
        on: WaitingOn,
        at: &'static Location<'static>,
        cx: &mut Context<'_>,
    ) {
        let task = record::current_task();
        let entry = Entry {
            prev: NONE,
            next: NONE,
            row: take_row(task, on, at),
            granted: false,
            word: wants,
            task,
            waker: Some(cx.waker().clone()),
        };
        let index = self.line.borrow_mut().push(entry);
        self.waiting.set(self.waiting.get() + 1);
        ticket.0 = NonZeroU32::new(index + 1);
        record::waiting(on, at);
    }

    /// Takes the holder of `ticket` out of the line, and says what it was.
    pub(crate) fn leave(&self, ticket: &mut Ticket) -> Left {
        let Some(index) = ticket.index() else {
            return Left::Outside;
        };
        ticket.0 = None;
        let index = index as u32;
        let mut line = self.line.borrow_mut();
        let entry = &mut line.entries[index as usize];
        if entry.granted {
            let word = entry.word;
            line.forget(index);
            return Left::Granted(word);
        }
        let (waker, row) = (entry.waker.take(), entry.row);
        line.unlink(index);
        line.forget(index);
        drop(line);
        self.waiting.set(self.waiting.get() - 1);
        give_row_back(row);
        drop(waker);
        Left::Waiting
    }

    /// Grants `word` to the one whose turn it is, and wakes it. Tells whether anybody waited.
    pub(crate) fn grant(&self, word: usize) -> bool {
        let mut line = self.line.borrow_mut();
        let index = line.head;
        if index == NONE {
            return false;
        }
        line.unlink(index);
        let entry = &mut line.entries[index as usize];
        entry.granted = true;
        entry.word = word;
        let row = std::mem::replace(&mut entry.row, NONE);
        let waker = entry.waker.take();
        drop(line);
        self.waiting.set(self.waiting.get() - 1);
        give_row_back(row);
        if let Some(waker) = waker {
            // Last: a waker that is not ours may run anything, even what waits here.
            waker.wake();
        }
        true
    }

    /// Grants to all who wait now, the first one `word(0)`, the next one `word(1)`; tells how many.
    pub(crate) fn grant_all(&self, word: impl Fn(usize) -> usize) -> usize {
        let all = self.len();
        (0..all).take_while(|&nth| self.grant(word(nth))).count()
    }
}

impl Line {
    /// Puts an entry at the end.
    fn push(&mut self, mut entry: Entry) -> u32 {
        entry.prev = self.tail;
        let index = match self.entries.get_mut(self.free as usize) {
            Some(unused) => {
                let index = self.free;
                self.free = unused.next;
                *unused = entry;
                index
            }
            None => {
                let index = u32::try_from(self.entries.len())
                    .ok()
                    .filter(|&index| index < NONE - 1)
                    .expect("fewer than four billion waiters stand in a line");
                self.entries.push(entry);
                index
            }
        };
        match self.entries.get_mut(self.tail as usize) {
            Some(last) => last.next = index,
            None => self.head = index,
        }
        self.tail = index;
        index
    }

    /// Takes a waiting entry out of the order.
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        match self.entries.get_mut(prev as usize) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(after) => after.prev = prev,
            None => self.tail = prev,
        }
    }

    /// Makes the place of an unlinked entry free for another one.
    fn forget(&mut self, index: u32) {
        self.entries[index as usize].next = self.free;
        self.free = index;
    }
}

/// Takes a wait row for the running task.
pub(super) fn take_row(task: u64, on: WaitingOn, at: &'static Location<'static>) -> u32 {
    let taken = context::with(|organs| {
        let record = &organs.record;
        let Some((slot, row)) = record.waits.take(&organs.owner.waits) else {
            record.stats.unrecorded.fetch_add(1, Ordering::Relaxed);
            return NONE;
        };
        let since = record.edge();
        row.began(organs.owner.ids.next(), task, on, since, at);
        slot
    });
    taken.unwrap_or(NONE)
}

pub(super) fn with_row(slot: u32, state: impl FnOnce(&record::wait::WaitRow)) {
    if slot != NONE {
        record::current::here(|record| record.waits.get(slot).map(state));
    }
}

pub(super) fn give_row_back(slot: u32) {
    if slot == NONE {
        return;
    }
    // No loop: it is closed, and its tables are read-only history.
    let _ = context::with(|organs| {
        if let Some(row) = organs.record.waits.get(slot) {
            row.vacate();
            organs.record.waits.give_back(&organs.owner.waits, slot);
        }
    });
}

#[cfg(test)]
mod tests;
