//! The ring of a loop as bytes: its page, its slots, and which of them can be trusted. The one who
//! writes never waits, so what is read while it writes is checked after. Knows no snapshot.

use super::head::{Moment, RingEntry};
use super::{EVENT, KINDS, PAGE, part, word};
use crate::pb::{self, EventKind, Outcome, WakeCause};

/// The first word of a ring's page.
const MARK: u64 = u64::from_le_bytes(*b"LOOPRING");

/// Where in a ring's page things stand, in words of 8 bytes: the writer's and the readers' map.
#[derive(Clone, Copy, Debug)]
pub struct RingHead;

impl RingHead {
    /// [`ring_head_of`] fills these, once.
    pub const MARK: usize = 0;
    /// The loop's id plus 1. 0: the ring is nobody's.
    pub const LOOP: usize = 1;
    /// Slots.
    pub const CAPACITY: usize = 2;
    /// How many events were pushed; the next goes into slot `tail % capacity`. Has a line of its own
    /// together with the totals: stored after the slot, and before the next one is begun.
    pub const TAIL: usize = 16;
    /// How many were pushed, a kind: [`KINDS`] words. Stored before the tail, so that a writer which
    /// ends between the two leaves one more here than the tail says.
    pub const TOTALS: usize = 17;
}

/// The words of a new ring's page before [`RingHead::TAIL`].
#[must_use]
pub fn ring_head_of(loop_id: u32, capacity: u64) -> [u64; 3] {
    [MARK, u64::from(loop_id) + 1, capacity]
}

/// Event kinds by the number that a slot has, which is also the index of their totals.
const EVENT_KINDS: [EventKind; 14] = [
    EventKind::TaskSpawned,
    EventKind::TaskFinished,
    EventKind::TaskPolled,
    EventKind::LoopUnblocked,
    EventKind::TimerArmed,
    EventKind::TimerFired,
    EventKind::TimerCancelled,
    EventKind::SourceRegistered,
    EventKind::SourceReady,
    EventKind::SourceDeregistered,
    EventKind::ChildStarted,
    EventKind::ChildExited,
    EventKind::SignalReceived,
    EventKind::PollSlow,
];

/// The kind of a slot. `None`: this version does not know it.
#[must_use]
pub fn event_kind(number: u8) -> Option<EventKind> {
    EVENT_KINDS.get(usize::from(number)).copied()
}

/// The number of a kind. `None`: it is in no ring.
#[must_use]
pub fn kind_number(kind: EventKind) -> Option<u8> {
    let at = EVENT_KINDS.iter().position(|known| *known == kind)?;
    u8::try_from(at).ok()
}

/// One event as a ring has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// When, in ticks; of a poll its start.
    pub at: u64,
    /// [`event_kind`].
    pub kind: u8,
    /// 56 bits: the parent, owner, cause or outcome.
    pub of: u64,
    /// The task, timer, source or child; of a signal its number.
    pub id: u64,
    /// After the kind: the spawn place's number, ticks, nanoseconds, a descriptor.
    pub value: u64,
}

impl Slot {
    /// From the four words of a slot.
    #[must_use]
    pub fn from_words([at, kind_of, id, value]: [u64; 4]) -> Self {
        Self {
            at,
            kind: (kind_of >> 56) as u8,
            of: kind_of & ((1 << 56) - 1),
            id,
            value,
        }
    }

    /// When what it tells was over, in ticks.
    #[must_use]
    pub fn ends_at(&self) -> u64 {
        match event_kind(self.kind) {
            Some(EventKind::TaskPolled | EventKind::LoopUnblocked | EventKind::PollSlow) => {
                self.at.saturating_add(self.value)
            }
            _ => self.at,
        }
    }

    /// As a message. `place`: the text of a spawn place of that loop. `None`: its kind is not known.
    #[must_use]
    pub fn event(
        &self,
        loop_id: u32,
        clock: &Moment,
        place: impl Fn(u32) -> Option<u32>,
    ) -> Option<pb::Event> {
        let kind = event_kind(self.kind)?;
        let mut out = pb::Event {
            kind: kind as i32,
            at_ns: clock.mono_of(self.at),
            loop_id: Some(loop_id.into()),
            ..pb::Event::default()
        };
        match kind {
            EventKind::TaskSpawned => {
                (out.task_id, out.by_id) = (self.id, self.of);
                out.place_text = u32::try_from(self.value).ok().and_then(place).unwrap_or(0);
            }
            EventKind::TaskFinished => {
                out.task_id = self.id;
                out.outcome = outcome(self.of) as i32;
            }
            EventKind::TaskPolled | EventKind::PollSlow => {
                out.task_id = self.id;
                out.duration_ns = Some(clock.ns(self.value));
                let (cause, by) = cause(self.of, self.id);
                (out.cause, out.by_id) = (cause as i32, by);
            }
            EventKind::LoopUnblocked => {
                // The ring knows a block when it has ended; who reads this has no watchdog's word.
                out.at_ns = clock.mono_of(self.ends_at());
                out.task_id = self.id;
                out.duration_ns = Some(clock.ns(self.value));
            }
            EventKind::TimerArmed => {
                (out.subject_id, out.task_id) = (self.id, self.of);
                out.duration_ns = Some(self.value.saturating_sub(out.at_ns));
            }
            EventKind::TimerFired => {
                (out.subject_id, out.task_id) = (self.id, self.of);
                out.duration_ns = Some(self.value);
            }
            EventKind::ChildStarted => {
                (out.subject_id, out.task_id) = (self.id, self.of);
                out.detail = format!("pid {}", self.value);
            }
            EventKind::ChildExited => {
                (out.subject_id, out.task_id) = (self.id, self.of);
                out.value = Some(self.value.cast_signed());
            }
            EventKind::SignalReceived => out.value = Some(self.id.cast_signed()),
            _ => (out.subject_id, out.task_id) = (self.id, self.of),
        }
        Some(out)
    }
}

/// How a task ended, by the number that the runtime keeps.
fn outcome(raw: u64) -> Outcome {
    match raw {
        1 => Outcome::Returned,
        2 => Outcome::Error,
        3 => Outcome::Panicked,
        4 => Outcome::Cancelled,
        5 => Outcome::Closed,
        _ => Outcome::Unspecified,
    }
}

/// Why a task was woken, by the number that the runtime keeps: a kind above an id of 52 bits.
fn cause(raw: u64, task: u64) -> (WakeCause, u64) {
    let id = raw & ((1 << 52) - 1);
    match raw >> 52 {
        1 => (WakeCause::Spawn, 0),
        2 if id == task => (WakeCause::Self_, id),
        2 => (WakeCause::Task, id),
        3 => (WakeCause::Timer, id),
        4 => (WakeCause::Io, id),
        5 => (WakeCause::Foreign, id),
        6 => (WakeCause::Loop, 0),
        7 => (WakeCause::Signal, id),
        // A task that woke itself, without saying which it is.
        8 => (WakeCause::Self_, task),
        _ => (WakeCause::Unspecified, 0),
    }
}

/// The ring of one loop, as far as it can be trusted.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// Whose it is.
    pub loop_id: u32,
    /// How many events were pushed.
    pub tail: u64,
    /// The same, a kind.
    pub totals: [u64; KINDS],
    /// Slots.
    pub capacity: u64,
    /// Of the page, from the start of the file: where `tail` can be read again.
    pub offset: u64,
    /// The index of the first of `events`.
    pub first: u64,
    /// The events that are there, oldest first.
    pub events: Vec<Slot>,
}

impl Ring {
    /// Reads one. `None`: it is nobody's. Errors: a sentence.
    pub(super) fn read(bytes: &[u8], entry: &RingEntry) -> Result<Option<Self>, String> {
        let at = |word_at: usize| word(bytes, entry.offset.saturating_add(word_at as u64 * 8));
        let cut = |what: &str| {
            format!(
                "the ring at byte {} {what}: its events are missing",
                entry.offset
            )
        };
        let (Some(mark), Some(owner), Some(capacity)) = (
            at(RingHead::MARK),
            at(RingHead::LOOP),
            at(RingHead::CAPACITY),
        ) else {
            return Err(cut("is behind the end of the file"));
        };
        if mark != MARK {
            return Err(cut("does not begin as one"));
        }
        if owner == 0 {
            return Ok(None);
        }
        let room = entry.bytes.saturating_sub(PAGE as u64) / EVENT as u64;
        let loop_id = u32::try_from(owner - 1);
        let Some(loop_id) = loop_id.ok().filter(|_| capacity > 0 && capacity <= room) else {
            return Err(cut("contradicts itself"));
        };
        let mut totals = [0; KINDS];
        for (kind, total) in totals.iter_mut().enumerate() {
            *total = at(RingHead::TOTALS + kind).ok_or_else(|| cut("is cut"))?;
        }
        let tail = at(RingHead::TAIL).ok_or_else(|| cut("is cut"))?;
        let mut ring = Self {
            loop_id,
            tail,
            totals,
            capacity,
            offset: entry.offset,
            first: 0,
            events: Vec::new(),
        };
        ring.first = ring.oldest(tail);
        for index in ring.first..tail {
            let at = (entry.offset + PAGE as u64).saturating_add(index % capacity * EVENT as u64);
            let Some(raw) = part(bytes, at, EVENT as u64) else {
                return Err(cut("is cut"));
            };
            let words =
                std::array::from_fn(|word_at| word(raw, word_at as u64 * 8).unwrap_or_default());
            ring.events.push(Slot::from_words(words));
        }
        Ok(Some(ring))
    }

    /// The oldest event that is surely whole when the tail is `tail`: the writer may be at the next
    /// one, in the slot of the one before.
    fn oldest(&self, tail: u64) -> u64 {
        tail.saturating_add(1)
            .saturating_sub(self.capacity)
            .min(tail)
    }

    /// Lets go of what may have been written over while it was read: `tail` is where the ring stood
    /// after.
    pub fn settle(&mut self, tail: u64) {
        let oldest = (tail.saturating_add(1)).saturating_sub(self.capacity);
        let gone = oldest
            .saturating_sub(self.first)
            .min(self.events.len() as u64);
        self.events.drain(..gone as usize);
        self.first += gone;
    }

    /// What was pushed and is not there, a kind.
    #[must_use]
    pub fn lost(&self) -> [u64; KINDS] {
        let mut lost = self.totals;
        for slot in &self.events {
            if let Some(count) = lost.get_mut(usize::from(slot.kind)) {
                *count = count.saturating_sub(1);
            }
        }
        lost
    }

    /// Whether the totals say the same as the tail: one more is an event that was being written.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let sum = self
            .totals
            .iter()
            .fold(0_u64, |sum, one| sum.saturating_add(*one));
        sum == self.tail || sum == self.tail.saturating_add(1)
    }
}

/// A ring as bytes, for who writes a file at once: the last `events` of `tail` that were pushed,
/// oldest first, and how many of each kind there ever were.
///
/// Panics: there are more events than were pushed.
#[must_use]
pub fn ring_bytes(loop_id: u32, tail: u64, totals: &[u64], events: &[[u64; 4]]) -> Vec<u8> {
    assert!(
        events.len() as u64 <= tail,
        "what is in a ring was pushed into it"
    );
    // One slot more: the one that a writer could be at.
    let capacity = events.len() as u64 + 1;
    let mut bytes = vec![0; PAGE + capacity as usize * EVENT];
    let mut put = |at: usize, word: u64| {
        bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
    };
    for (at, word) in ring_head_of(loop_id, capacity).into_iter().enumerate() {
        put(at, word);
    }
    put(RingHead::TAIL, tail);
    for (kind, total) in totals.iter().take(KINDS).enumerate() {
        put(RingHead::TOTALS + kind, *total);
    }
    let first = tail - events.len() as u64;
    for (index, event) in (first..tail).zip(events) {
        let slot = PAGE / 8 + (index % capacity) as usize * EVENT / 8;
        for (at, word) in event.iter().enumerate() {
            put(slot + at, *word);
        }
    }
    bytes
}
