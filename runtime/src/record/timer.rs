//! The row of a timer: due when, for whom, set where, how late it was.

use std::panic::Location;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::Asker;
use super::place::PlaceCell;
use super::slab::{self, Row};
use super::task::TaskRow;

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Sleep = 0,
    Interval = 1,
    Timeout = 2,
    CallLater = 3,
    CallAt = 4,
    /// The runtime's own: a grace, a keep-alive.
    Internal = 5,
}

impl Kind {
    fn from_raw(raw: u8) -> Self {
        [
            Self::Sleep,
            Self::Interval,
            Self::Timeout,
            Self::CallLater,
            Self::CallAt,
        ]
        .get(raw as usize)
        .copied()
        .unwrap_or(Self::Internal)
    }
}

#[derive(Default)]
#[repr(C, align(32))]
pub(crate) struct TimerRow {
    // Together: what firing and freeing touch, in a crowd of timers a cache miss a line.
    id: AtomicU64,
    /// The task or callback it wakes; 0 where none is known.
    pub(crate) owner: AtomicU64,
    /// Nanoseconds: of the last firing, and the most.
    pub(crate) late: AtomicU64,
    pub(crate) late_max: AtomicU64,
    pub(crate) fired: AtomicU64,
    /// Nanoseconds on CLOCK_MONOTONIC (the loop's clock).
    pub(crate) deadline: AtomicU64,
    /// Times its deadline was moved.
    pub(crate) rearmed: AtomicU32,
    pub(crate) kind: AtomicU8,
    /// 0 once it has fired or was cancelled and the row waits for its owner.
    pub(crate) armed: AtomicU8,
    // The facts of the arming.
    pub(crate) armed_at: AtomicU64,
    pub(crate) period: AtomicU64,
    pub(crate) place: PlaceCell,
    /// The row of the task whose own waker it has; null: it has another.
    asker: AtomicPtr<TaskRow>,
    /// That task's polls that had begun when it last asked.
    asked: AtomicU32,
}

const _: () = assert!(size_of::<TimerRow>() == 96);

impl Row for TimerRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A copy of one row. Times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct TimerFacts {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) deadline: u64,
    pub(crate) owner: u64,
    pub(crate) armed_at: u64,
    pub(crate) period: u64,
    pub(crate) late: u64,
    pub(crate) late_max: u64,
    pub(crate) fired: u64,
    pub(crate) rearmed: u32,
    pub(crate) armed: bool,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl TimerRow {
    /// Fills a vacant row and publishes it.
    #[inline]
    pub(crate) fn armed(
        &self,
        id: u64,
        kind: Kind,
        (owner, asker): (u64, Asker),
        now: u64,
        deadline: u64,
        place: Option<&'static Location<'static>>,
    ) {
        let relaxed = Ordering::Relaxed;
        slab::vacate(&self.id);
        self.deadline.store(deadline, relaxed);
        self.owner.store(owner, relaxed);
        self.armed_at.store(now, relaxed);
        self.period.store(0, relaxed);
        self.late.store(0, relaxed);
        self.late_max.store(0, relaxed);
        self.fired.store(0, relaxed);
        self.rearmed.store(0, relaxed);
        self.kind.store(kind as u8, relaxed);
        self.armed.store(1, relaxed);
        self.asked_by(asker);
        match place {
            Some(place) => self.place.set(place),
            None => self.place.clear(),
        }
        self.id.store(id, Ordering::Release);
    }

    /// A task asks for it, as `record::asker` says.
    #[inline]
    pub(crate) fn asked_by(&self, (row, polls): Asker) {
        self.asker.store(row, Ordering::Relaxed);
        self.asked.store(polls, Ordering::Relaxed);
    }

    /// Who asked last, and in which poll; null where that is not known.
    #[inline]
    pub(crate) fn asker(&self) -> (*const TaskRow, u32) {
        let row = self.asker.load(Ordering::Relaxed);
        (row, self.asked.load(Ordering::Relaxed))
    }

    /// The row's identity on its own loop's thread.
    #[inline]
    pub(crate) fn timer_id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    pub(crate) fn read(&self) -> Option<TimerFacts> {
        let relaxed = Ordering::Relaxed;
        slab::consistent(&self.id, |id| TimerFacts {
            id,
            kind: Kind::from_raw(self.kind.load(relaxed)),
            deadline: self.deadline.load(relaxed),
            owner: self.owner.load(relaxed),
            armed_at: self.armed_at.load(relaxed),
            period: self.period.load(relaxed),
            late: self.late.load(relaxed),
            late_max: self.late_max.load(relaxed),
            fired: self.fired.load(relaxed),
            rearmed: self.rearmed.load(relaxed),
            armed: self.armed.load(relaxed) != 0,
            place: self.place.get(),
        })
    }
}
