//! The row of a task or callback: 192 bytes, three cache lines, readable from any thread.
//!
//! Knows no executor: whoever runs a task calls `poll_begin`, `poll_end`, `woken` and `finished`,
//! one writer at a time, and keeps its own words in the row. A row is published by its id.

use std::panic::Location;
use std::sync::atomic::{
    AtomicI32, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence,
};

use crate::atomic;

use super::LoopRecord;
use super::histogram::FLOOR;
use super::names::{self, NameId};
use super::place::PlaceCell;
use super::site;
use super::slab::{self, Row};
use super::wake::{self, Cause};

/// What a row of the task table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A spawned future.
    Task = 0,
    /// A `call_soon` and its kin: one poll long.
    Callback = 1,
    /// The future given to `run` or `run_until_complete`.
    Main = 2,
}

/// What a task is doing, as an observer sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Inside a poll.
    Run,
    /// Woken and waiting for its turn.
    Ready,
    /// Waiting to be woken.
    Wait,
    /// Over; the row stays while somebody still holds a reference.
    Done,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Outcome {
    Returned = 1,
    /// Returned an error value, where its type says so.
    Failed = 2,
    Panicked = 3,
    Cancelled = 4,
    /// Dropped pending with its loop.
    Dropped = 5,
}

/// Bits of `TaskRow::flags`.
pub(crate) mod flag {
    /// `forget` or a dropped handle: nobody will ask for the result.
    pub(crate) const DETACHED: u8 = 1;
    /// Told to be allowed to wait for ever.
    pub(crate) const FOREVER: u8 = 2;
    /// A cancel was asked for and has not been delivered.
    pub(crate) const CANCELLING: u8 = 4;
    /// The result was an error and nobody has looked.
    pub(crate) const UNREAD: u8 = 8;
    /// Belongs to the runtime itself, not to the app.
    pub(crate) const INTERNAL: u8 = 16;
    /// Its group was dropped before it ended.
    pub(crate) const OUTLIVED: u8 = 32;
    /// Still pending when its run, scope or test ended, after the grace.
    pub(crate) const LEFT: u8 = 64;
    /// Its value is an error, as the task itself said.
    pub(crate) const FAILED: u8 = 128;
}

/// Bits of `TaskRow::marks`.
pub(crate) mod mark {
    /// It has context variables: they are in the loop's table of contexts.
    pub(crate) const CONTEXT: u8 = 1;
    /// Somebody is to be called when it ends: the executor knows whom.
    pub(crate) const AWAITED: u8 = 2;
}

/// Where a reader of `TaskRow::work` finds what tells the future: `executor/raw.rs` keeps to it.
pub(crate) mod work {
    /// Offset, in the box, of the address of its table: what is known of the type.
    pub(crate) const TABLE: usize = 0;
    /// Offset, in the box, of the offset of the future in the box, 16 bits; 0 for one that does not
    /// fit.
    pub(crate) const FUTURE: usize = 8;
    /// Offset, in the table, of the address of the function `poll::<F>`.
    pub(crate) const POLL: usize = 0;
}

/// What is being waited for: the kind in the upper byte, the row's id below.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WaitingOn(pub(crate) u64);

/// Kinds of things a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum On {
    Nothing = 0,
    Timer = 1,
    Source = 2,
    Task = 3,
    Job = 4,
    Child = 5,
    Resource = 6,
    Signal = 7,
    /// `yield_now`: its turn comes by itself.
    Turn = 8,
    /// `pending()` of ours: on purpose, for ever.
    Forever = 9,
}

impl WaitingOn {
    pub(crate) fn new(on: On, id: u64) -> Self {
        Self((on as u64) << 56 | id & ((1 << 56) - 1))
    }

    pub(crate) fn kind(self) -> On {
        match (self.0 >> 56) as u8 {
            1 => On::Timer,
            2 => On::Source,
            3 => On::Task,
            4 => On::Job,
            5 => On::Child,
            6 => On::Resource,
            7 => On::Signal,
            8 => On::Turn,
            9 => On::Forever,
            _ => On::Nothing,
        }
    }

    pub(crate) fn id(self) -> u64 {
        self.0 & ((1 << 56) - 1)
    }
}

/// Upper bounds, in ticks, of the coarse buckets 1..=7; what is below the floor is bucket 0 and
/// not stored. At 2.6 GHz: 0.4 µs, 6 µs, 100 µs, 400 µs, 1.6 ms, 6.4 ms, 100 ms.
const COARSE_SHIFTS: [u32; 7] = [10, 14, 18, 20, 22, 24, 28];

/// Buckets of a task's own histogram that are stored.
pub(crate) const COARSE: usize = COARSE_SHIFTS.len();

/// The smallest value, in ticks, of stored coarse bucket `index`.
pub(crate) fn coarse_lower(index: usize) -> u64 {
    1 << COARSE_SHIFTS[index]
}

/// A difference of ticks above this is a negative one.
const FUTURE: u64 = u64::MAX / 2;

/// A row is 192 bytes: three cache lines.
#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct TaskRow {
    // Line 1: written at each poll, by the loop's thread.
    /// The executor's: next in the ready queue, `LAST` for the last; null for a row that is not in
    /// it.
    pub(crate) link: AtomicPtr<TaskRow>,
    /// The executor's: the future and its functions.
    pub(crate) work: AtomicPtr<()>,
    pub(crate) polls: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) scheduled: AtomicU64,
    pub(crate) max_poll: AtomicU64,
    /// The tick of the last change between ready and waiting: of the last wake on the loop's
    /// thread, or of the end of the last poll if nothing woke it since.
    pub(crate) woken_at: AtomicU64,
    /// References held on the loop's thread. The executor's; plain loads and stores.
    pub(crate) refs_here: AtomicI32,
    pub(crate) phase: AtomicU8,
    /// Its place among the watched tasks of the loop, from 1; 0: nobody looks. Set by an observer.
    /// And the bit `watched::WISHED`.
    pub(crate) watched: AtomicU8,
    /// Bits of `flag`. Here because each poll looks for a cancel; rarely written elsewhere.
    pub(crate) flags: AtomicU8,
    /// Things this task waits for since its last poll began, when more than one.
    pub(crate) waits: AtomicU8,

    // Line 2: written by other threads' wakers, and what is rarely written at all.
    /// The executor's: next on the stack of foreign wakes.
    pub(crate) away_link: atomic::AtomicUsize,
    pub(crate) away_woken_at: AtomicU64,
    /// References taken on other threads; joined by the other count when the loop closes.
    pub(crate) refs_away: atomic::AtomicI32,
    /// What other threads did that the loop has not taken yet: bit 0 a wake, above it the number
    /// of references given up.
    pub(crate) away_marks: atomic::AtomicU32,
    /// Handles: they can cancel and join, but not wake.
    pub(crate) handles: AtomicU32,
    pub(crate) kind: AtomicU8,
    pub(crate) outcome: AtomicU8,
    /// Times a cancel was asked for, less withdrawn.
    pub(crate) cancels: AtomicU8,
    /// Bits of `mark`: what is looked at when a task ends, and not at its polls.
    pub(crate) marks: AtomicU8,
    /// Polls per coarse bucket, beginning with the first above the floor.
    pub(crate) coarse: [AtomicU32; COARSE],
    /// A `NameId`, and the number of its place: both tables are capped far below this.
    name: AtomicU16,
    site: AtomicU16,

    // Line 3: the facts of the spawn, and what it waits for.
    id: AtomicU64,
    pub(crate) parent: AtomicU64,
    pub(crate) spawned_at: AtomicU64,
    pub(crate) number: AtomicU32,
    pub(crate) loop_id: AtomicU32,
    /// Wakes by others.
    wakes: AtomicU32,
    /// Wakes by itself, inside its own poll.
    self_wakes: AtomicU32,
    pub(crate) waiting_at: PlaceCell,
    pub(crate) waiting_on: AtomicU64,
    pub(crate) woken_by: AtomicU64,
}

const _: () = assert!(cfg!(loop_model) || size_of::<TaskRow>() == 192);
const _: () = assert!(site::CAP <= 1 << 16 && names::CAP <= 1 << 16);

/// Values of `TaskRow::phase`.
pub(crate) mod phase {
    pub(crate) const IDLE: u8 = 0;
    pub(crate) const RUNNING: u8 = 1;
    pub(crate) const DONE: u8 = 2;
}

impl Row for TaskRow {
    #[inline]
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// The facts of a spawn.
pub(crate) struct Birth {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) parent: u64,
    pub(crate) at: u64,
    pub(crate) site: u32,
    pub(crate) name: NameId,
    pub(crate) number: u32,
    pub(crate) loop_id: u32,
    pub(crate) flags: u8,
}

/// Adds to a field that only this thread writes.
#[inline(always)]
fn add(field: &AtomicU64, more: u64) -> u64 {
    let sum = field.load(Ordering::Relaxed).wrapping_add(more);
    field.store(sum, Ordering::Relaxed);
    sum
}

/// Adds one to a field that only this thread writes; at the top it stays.
#[inline(always)]
fn count32(field: &AtomicU32) {
    let sum = field.load(Ordering::Relaxed).wrapping_add(1);
    if sum != 0 {
        field.store(sum, Ordering::Relaxed);
    }
}

impl TaskRow {
    /// The link of the last row of a queue: the address of none.
    pub(crate) const LAST: *mut TaskRow = std::ptr::without_provenance_mut(1);

    /// Whether it is in the ready queue.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        !self.link.load(Ordering::Relaxed).is_null()
    }

    /// Fills a vacant row and publishes it.
    #[inline]
    pub(crate) fn spawned(&self, birth: &Birth) {
        slab::vacate(&self.id);
        // Only who had a long poll, which is rare, has counted it.
        if self.max_poll.load(Ordering::Relaxed) >= FLOOR {
            for bucket in &self.coarse {
                bucket.store(0, Ordering::Relaxed);
            }
        }
        self.polls.store(0, Ordering::Relaxed);
        self.busy.store(0, Ordering::Relaxed);
        self.scheduled.store(0, Ordering::Relaxed);
        self.max_poll.store(0, Ordering::Relaxed);
        self.woken_at.store(birth.at, Ordering::Relaxed);
        self.phase.store(phase::IDLE, Ordering::Relaxed);
        self.kind.store(birth.kind as u8, Ordering::Relaxed);
        self.outcome.store(0, Ordering::Relaxed);
        self.away_woken_at.store(0, Ordering::Relaxed);
        self.flags.store(birth.flags, Ordering::Relaxed);
        self.cancels.store(0, Ordering::Relaxed);
        self.marks.store(0, Ordering::Relaxed);
        self.waits.store(0, Ordering::Relaxed);
        self.site.store(birth.site as u16, Ordering::Relaxed);
        self.parent.store(birth.parent, Ordering::Relaxed);
        self.spawned_at.store(birth.at, Ordering::Relaxed);
        self.set_name(birth.name);
        self.number.store(birth.number, Ordering::Relaxed);
        self.loop_id.store(birth.loop_id, Ordering::Relaxed);
        self.wakes.store(0, Ordering::Relaxed);
        self.self_wakes.store(0, Ordering::Relaxed);
        self.waiting_at.clear();
        self.waiting_on.store(0, Ordering::Relaxed);
        self.woken_by.store(Cause::Spawn.raw(), Ordering::Relaxed);
        self.id.store(birth.id, Ordering::Release);
    }

    /// The row's identity on its own loop's thread, where no reuse can come between.
    #[inline]
    pub(crate) fn task_id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// The number of its place.
    #[inline]
    pub(crate) fn site(&self) -> u32 {
        self.site.load(Ordering::Relaxed).into()
    }

    pub(crate) fn name(&self) -> NameId {
        NameId::from_raw(self.name.load(Ordering::Relaxed).into())
    }

    /// Gives it another name; its number is said apart.
    #[inline]
    pub(crate) fn set_name(&self, name: NameId) {
        self.name.store(name.raw() as u16, Ordering::Relaxed);
    }

    /// States that a poll begins at tick `now`.
    #[inline]
    pub(crate) fn poll_begin(&self, record: &LoopRecord, now: u64) {
        self.phase.store(phase::RUNNING, Ordering::Relaxed);
        self.waits.store(0, Ordering::Relaxed);
        let woken = self.woken_at.load(Ordering::Relaxed);
        let mut delay = now.wrapping_sub(woken);
        if delay >= FLOOR {
            // Both are read on this thread or stamped by a foreign one; a stamp from the future of
            // another core's counter counts as no delay.
            if delay > FUTURE {
                delay = 0;
            } else {
                record.delayed(delay);
                if self.watched.load(Ordering::Relaxed) != 0 {
                    record.watched.delayed(self, delay);
                }
            }
        }
        add(&self.scheduled, delay);
        record.current.enter(self, now);
    }

    /// States that the poll that began at `start` ended at `now`; `alive` if it will be polled again.
    #[inline]
    pub(crate) fn poll_end(&self, record: &LoopRecord, start: u64, now: u64, alive: bool) {
        let mut took = now.wrapping_sub(start);
        if took >= FLOOR {
            took = self.long_poll(record, start, took);
        }
        // `polls` is written before the phase: a reader that sees the poll over sees it counted.
        add(&self.polls, 1);
        add(&self.busy, took);
        if took > self.max_poll.load(Ordering::Relaxed) {
            self.max_poll.store(took, Ordering::Relaxed);
        }
        // What woke it meanwhile could not have it polled before now, so the wait begins here.
        self.woken_at.store(now, Ordering::Relaxed);
        self.phase.store(
            if alive { phase::IDLE } else { phase::DONE },
            Ordering::Release,
        );
    }

    /// Records what short polls have none of; gives what the poll took.
    #[inline(never)]
    fn long_poll(&self, record: &LoopRecord, start: u64, took: u64) -> u64 {
        if took > FUTURE {
            return 0;
        }
        let bucket = COARSE_SHIFTS
            .iter()
            .rposition(|&shift| took >> shift != 0)
            .unwrap_or(0);
        count32(&self.coarse[bucket]);
        if self.watched.load(Ordering::Relaxed) != 0 {
            record.watched.polled(self, took);
        }
        record.polled_long(self, start, took);
        took
    }

    /// States a wake, on the loop's own thread, of a task that was not ready.
    #[inline]
    pub(crate) fn woken(&self, record: &LoopRecord) {
        if std::ptr::eq(record.current.row(), self) {
            // The end of its poll says since when it waits for the next.
            if self.woken_by.load(Ordering::Relaxed) != wake::ITSELF {
                self.woken_by.store(wake::ITSELF, Ordering::Relaxed);
            }
            count32(&self.self_wakes);
            self.woken_watched(record, || wake::ITSELF);
        } else {
            let at = record.current.since();
            self.woken_at.store(at, Ordering::Relaxed);
            let by = record.cause().raw();
            self.woken_by.store(by, Ordering::Relaxed);
            count32(&self.wakes);
            self.woken_watched(record, || by);
        }
    }

    #[inline]
    fn woken_watched(&self, record: &LoopRecord, by: impl FnOnce() -> u64) {
        if self.watched.load(Ordering::Relaxed) != 0 {
            record.watched.woken(self, wake::kind_of(by()));
        }
    }

    /// States a wake, on the loop's own thread, of a task that is ready already.
    #[inline]
    pub(crate) fn woken_again(&self, record: &LoopRecord) {
        let by_itself = std::ptr::eq(record.current.row(), self);
        count32(if by_itself {
            &self.self_wakes
        } else {
            &self.wakes
        });
        self.woken_watched(record, || match by_itself {
            true => wake::ITSELF,
            false => record.cause().raw(),
        });
    }

    /// States that another thread woke it, when the loop hears of it.
    #[inline]
    pub(crate) fn woken_away(&self, record: &LoopRecord) {
        count32(&self.wakes);
        self.woken_watched(record, || Cause::Thread(0).raw());
    }

    /// As if all its wakes so far had been so many by itself.
    #[cfg(test)]
    pub(crate) fn woke_itself(&self, times: u32) {
        self.self_wakes.store(times, Ordering::Relaxed);
    }

    /// Wakes of all kinds. Stays at the top once it is there.
    pub(crate) fn wakes(&self) -> u32 {
        let others = self.wakes.load(Ordering::Relaxed);
        others.saturating_add(self.self_wakes.load(Ordering::Relaxed))
    }

    /// States what the task waits for, and where its `.await` stands. The loop's thread.
    #[inline]
    pub(crate) fn waiting(&self, on: WaitingOn, at: &'static Location<'static>) {
        self.waiting_on.store(on.0, Ordering::Relaxed);
        self.waiting_at.set(at);
        let waits = self.waits.load(Ordering::Relaxed);
        self.waits.store(waits.saturating_add(1), Ordering::Relaxed);
    }

    /// Where the `.await` stands by which it waits for what was stated in this poll.
    #[inline]
    pub(crate) fn waits_at(&self, at: &'static Location<'static>) {
        if self.waits.load(Ordering::Relaxed) > 0 {
            self.waiting_at.set(at);
        }
    }

    /// States how the task ended.
    pub(crate) fn finished(&self, outcome: Outcome) {
        self.outcome.store(outcome as u8, Ordering::Relaxed);
        self.phase.store(phase::DONE, Ordering::Release);
    }

    /// Takes the row out of the table: nothing refers to it any more.
    #[inline]
    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    /// Sets or clears a bit of `flags`. Any thread.
    pub(crate) fn set_flag(&self, bit: u8, on: bool) {
        if on {
            self.flags.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// What the row says now, if it holds one task throughout the reading.
    pub(crate) fn read(&self) -> Option<TaskFacts> {
        slab::consistent(&self.id, |id| self.facts(id))
    }

    /// As `read`, but only if the task was not polled meanwhile: what a verdict may rest on.
    ///
    /// References are read before the queue marks, since a wake sets its mark before it gives its
    /// reference back: whoever sees the reference gone sees the mark.
    pub(crate) fn read_settled(&self) -> Option<TaskFacts> {
        let facts = self.read()?;
        fence(Ordering::Acquire);
        let same = self.polls.load(Ordering::Relaxed) == facts.polls
            && self.id.load(Ordering::Relaxed) == facts.id
            && !self.is_queued()
            && self.away_marks.load(Ordering::Relaxed) & 1 == 0;
        same.then_some(facts)
    }

    fn facts(&self, id: u64) -> TaskFacts {
        let polls = self.polls.load(Ordering::Acquire);
        // References given up and not deducted yet are no wakers.
        let marks = self.away_marks.load(Ordering::Acquire);
        let away = self.refs_away.load(Ordering::Acquire) - (marks >> 1) as i32;
        let here = self.refs_here.load(Ordering::Acquire);
        let queued = self.is_queued() || (marks | self.away_marks.load(Ordering::Relaxed)) & 1 != 0;
        let state = match self.phase.load(Ordering::Acquire) {
            phase::RUNNING => State::Run,
            phase::DONE => State::Done,
            _ if queued => State::Ready,
            _ => State::Wait,
        };
        TaskFacts {
            id,
            kind: match self.kind.load(Ordering::Relaxed) {
                1 => Kind::Callback,
                2 => Kind::Main,
                _ => Kind::Task,
            },
            state,
            polls,
            busy: self.busy.load(Ordering::Relaxed),
            scheduled: self.scheduled.load(Ordering::Relaxed),
            max_poll: self.max_poll.load(Ordering::Relaxed),
            woken_at: self
                .woken_at
                .load(Ordering::Relaxed)
                .max(self.away_woken_at.load(Ordering::Relaxed)),
            wakers: here + away,
            handles: self.handles.load(Ordering::Relaxed),
            flags: self.flags.load(Ordering::Relaxed),
            cancels: self.cancels.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            coarse: std::array::from_fn(|i| self.coarse[i].load(Ordering::Relaxed)),
            site: self.site(),
            parent: self.parent.load(Ordering::Relaxed),
            spawned_at: self.spawned_at.load(Ordering::Relaxed),
            name: self.name(),
            number: self.number.load(Ordering::Relaxed),
            loop_id: self.loop_id.load(Ordering::Relaxed),
            wakes: self.wakes(),
            self_wakes: self.self_wakes.load(Ordering::Relaxed),
            // A leaf that is a task's whole future is polled by the executor, one behind a
            // reference or a box by the standard library: no line of the app's.
            waiting_at: self.waiting_at.get().filter(|at| {
                let file = at.file();
                !file.ends_with("executor/raw.rs") && !file.starts_with("/rustc/")
            }),
            waiting_on: WaitingOn(self.waiting_on.load(Ordering::Relaxed)),
            woken_by: Cause::of_row(self.woken_by.load(Ordering::Relaxed), id),
            outcome: Outcome::from_raw(self.outcome.load(Ordering::Relaxed)),
        }
    }
}

impl Outcome {
    pub(crate) fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Returned),
            2 => Some(Self::Failed),
            3 => Some(Self::Panicked),
            4 => Some(Self::Cancelled),
            5 => Some(Self::Dropped),
            _ => None,
        }
    }
}

/// A copy of one row, all of one identity. Times and durations in ticks.
#[derive(Clone, Debug)]
pub(crate) struct TaskFacts {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) polls: u64,
    pub(crate) busy: u64,
    pub(crate) scheduled: u64,
    pub(crate) max_poll: u64,
    pub(crate) woken_at: u64,
    /// Wakers alive anywhere.
    pub(crate) wakers: i32,
    pub(crate) handles: u32,
    pub(crate) flags: u8,
    pub(crate) cancels: u8,
    pub(crate) waits: u8,
    pub(crate) coarse: [u32; COARSE],
    pub(crate) site: u32,
    pub(crate) parent: u64,
    pub(crate) spawned_at: u64,
    pub(crate) name: NameId,
    pub(crate) number: u32,
    pub(crate) loop_id: u32,
    /// All wakes, and those by itself among them.
    pub(crate) wakes: u32,
    pub(crate) self_wakes: u32,
    pub(crate) waiting_at: Option<&'static Location<'static>>,
    pub(crate) waiting_on: WaitingOn,
    pub(crate) woken_by: Option<Cause>,
    pub(crate) outcome: Option<Outcome>,
}

impl TaskFacts {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
