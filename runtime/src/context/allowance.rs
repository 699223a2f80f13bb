//! How much one poll may get done before others have a turn.
//!
//! A leaf that could go on for ever without ever being pending (a socket that always has data, a
//! queue that always has an item) would keep the loop from everything else. So each operation that
//! is ready at once is counted, and past the limit a leaf wakes its task and is pending. The count
//! starts anew with each poll, which it knows by the poll's start: the executor has nothing to
//! reset. Knows no leaf.

use std::cell::Cell;
use std::panic::Location;
use std::task::{Context, Poll};

use crate::context;
use crate::record::task::{On, WaitingOn};
use crate::record::{self, LoopRecord};

/// Ready operations in one poll after which a leaf lets others have a turn.
pub(crate) const DEFAULT: u32 = 128;

/// What is left of the current poll's allowance.
pub(crate) struct Allowance {
    /// 0: no limit.
    limit: u32,
    /// The tick at which the poll that `left` is about began.
    poll: Cell<u64>,
    left: Cell<u32>,
}

impl Allowance {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            poll: Cell::new(0),
            left: Cell::new(0),
        }
    }

    /// Takes one operation; false if the poll has had its share.
    #[inline]
    pub(crate) fn take(&self, record: &LoopRecord) -> bool {
        // What is polled by hand, outside a task, has nobody to make room for.
        if self.limit == 0 || record.current.row().is_null() {
            return true;
        }
        let poll = record.current.since();
        if self.poll.replace(poll) != poll {
            self.left.set(self.limit);
        }
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// An operation that was taken turned out not to be ready.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.left.set(self.left.get().saturating_add(1));
    }
}

/// Asked by a leaf that has what its task wants, before it hands it over: pending once the poll
/// has had its share, and then the task is woken. `place` awaits.
#[inline]
pub(crate) fn proceed(cx: &Context<'_>, place: &'static Location<'static>) -> Poll<()> {
    // Where no loop runs, there is nobody to make room for.
    let taken = context::with(|organs| organs.allowance.take(&organs.record));
    if taken.unwrap_or(true) {
        return Poll::Ready(());
    }
    yield_turn(cx, place);
    Poll::Pending
}

/// What `proceed` took was not ready after all.
#[inline]
pub(crate) fn give_back() {
    // Where no loop runs, nothing was taken.
    let _ = context::with(|organs| organs.allowance.give_back());
}

/// Has the task polled again when all others that are ready had their turn.
#[cold]
pub(crate) fn yield_turn(cx: &Context<'_>, place: &'static Location<'static>) {
    record::waiting(WaitingOn::new(On::Turn, 0), place);
    cx.waker().wake_by_ref();
}
