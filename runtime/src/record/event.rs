//! Events: what happened, past tense, 32 bytes, ids and no pointers.
//!
//! ```text
//! task    TaskSpawned ─ TaskPolled* ─ TaskFinished         (PollSlow, TaskBlocked after a long poll)
//! timer   TimerArmed ─┬─ TimerFired        one that repeats is armed again
//!                     └─ TimerCancelled
//! source  SourceRegistered ─ SourceReady* ─ SourceReleased
//! child   ChildStarted ─ ChildExited
//! signal  SignalReceived*
//! ```

use super::wake::Cause;

/// What kind of thing happened; also the index of its losses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    TaskSpawned = 0,
    TaskFinished = 1,
    TaskPolled = 2,
    TaskBlocked = 3,
    TimerArmed = 4,
    TimerFired = 5,
    TimerCancelled = 6,
    SourceRegistered = 7,
    SourceReady = 8,
    SourceReleased = 9,
    ChildStarted = 10,
    ChildExited = 11,
    SignalReceived = 12,
    PollSlow = 13,
}

/// Kinds there are.
pub(crate) const KINDS: usize = 14;

const ALL: [Kind; KINDS] = [
    Kind::TaskSpawned,
    Kind::TaskFinished,
    Kind::TaskPolled,
    Kind::TaskBlocked,
    Kind::TimerArmed,
    Kind::TimerFired,
    Kind::TimerCancelled,
    Kind::SourceRegistered,
    Kind::SourceReady,
    Kind::SourceReleased,
    Kind::ChildStarted,
    Kind::ChildExited,
    Kind::SignalReceived,
    Kind::PollSlow,
];

impl Kind {
    /// The kind's bit in a set of wanted kinds.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u8
    }

    pub(crate) fn all() -> [Kind; KINDS] {
        ALL
    }
}

/// One event. `at` in ticks; `value` is what the constructor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
    /// The task's, timer's, source's or child's id; for a signal, its number.
    pub(crate) id: u64,
    /// 56 bits: the parent, owner or cause.
    pub(crate) of: u64,
    /// Ticks, nanoseconds or a number, after the kind.
    pub(crate) value: u64,
}

const OF: u64 = (1 << 56) - 1;

impl Event {
    /// `site`: where it was spawned.
    pub(crate) fn task_spawned(at: u64, id: u64, parent: u64, site: u32) -> Self {
        Self {
            kind: Kind::TaskSpawned,
            at,
            id,
            of: parent,
            value: site.into(),
        }
    }

    pub(crate) fn task_finished(at: u64, id: u64, outcome: u8, polls: u64) -> Self {
        Self {
            kind: Kind::TaskFinished,
            at,
            id,
            of: outcome.into(),
            value: polls,
        }
    }

    /// `at` is the poll's start, `took` its length in ticks.
    pub(crate) fn task_polled(at: u64, id: u64, cause: u64, took: u64) -> Self {
        // The cause's kind needs 3 of its 8 bits; ids keep 52.
        let of = (cause >> 56 & 0xF) << 52 | cause & ((1 << 52) - 1);
        Self {
            kind: Kind::TaskPolled,
            at,
            id,
            of,
            value: took,
        }
    }

    /// A poll that took a good part of its budget; as `task_polled`, without its cause.
    pub(crate) fn poll_slow(at: u64, id: u64, took: u64) -> Self {
        Self {
            kind: Kind::PollSlow,
            at,
            id,
            of: 0,
            value: took,
        }
    }

    /// A poll that was over its budget and has ended; as `task_polled`.
    pub(crate) fn task_blocked(at: u64, id: u64, took: u64) -> Self {
        Self {
            kind: Kind::TaskBlocked,
            at,
            id,
            of: 0,
            value: took,
        }
    }

    /// `deadline` on CLOCK_MONOTONIC.
    pub(crate) fn timer_armed(at: u64, id: u64, owner: u64, deadline: u64) -> Self {
        Self {
            kind: Kind::TimerArmed,
            at,
            id,
            of: owner,
            value: deadline,
        }
    }

    /// `late` in nanoseconds.
    pub(crate) fn timer_fired(at: u64, id: u64, owner: u64, late: u64) -> Self {
        Self {
            kind: Kind::TimerFired,
            at,
            id,
            of: owner,
            value: late,
        }
    }

    pub(crate) fn timer_cancelled(at: u64, id: u64, owner: u64) -> Self {
        Self {
            kind: Kind::TimerCancelled,
            at,
            id,
            of: owner,
            value: 0,
        }
    }

    pub(crate) fn source_registered(at: u64, id: u64, owner: u64, fd: i64) -> Self {
        Self {
            kind: Kind::SourceRegistered,
            at,
            id,
            of: owner,
            value: fd as u64,
        }
    }

    /// `readiness`: bit 0 readable, bit 1 writable, bit 2 closed.
    pub(crate) fn source_ready(at: u64, id: u64, owner: u64, readiness: u64) -> Self {
        Self {
            kind: Kind::SourceReady,
            at,
            id,
            of: owner,
            value: readiness,
        }
    }

    pub(crate) fn source_released(at: u64, id: u64, owner: u64) -> Self {
        Self {
            kind: Kind::SourceReleased,
            at,
            id,
            of: owner,
            value: 0,
        }
    }

    pub(crate) fn child_started(at: u64, id: u64, owner: u64, pid: u64) -> Self {
        Self {
            kind: Kind::ChildStarted,
            at,
            id,
            of: owner,
            value: pid,
        }
    }

    /// `code`: its exit code, or the signal that ended it, negated.
    pub(crate) fn child_exited(at: u64, id: u64, owner: u64, code: i32) -> Self {
        Self {
            kind: Kind::ChildExited,
            at,
            id,
            of: owner,
            value: i64::from(code).cast_unsigned(),
        }
    }

    pub(crate) fn signal_received(at: u64, signal: i32) -> Self {
        Self {
            kind: Kind::SignalReceived,
            at,
            id: i64::from(signal).cast_unsigned(),
            of: 0,
            value: 0,
        }
    }

    /// Who woke the task, for `TaskPolled`.
    pub(crate) fn cause(&self) -> Option<Cause> {
        Cause::from_raw((self.of >> 52) << 56 | self.of & ((1 << 52) - 1))
    }

    pub(crate) fn words(self) -> [u64; 4] {
        [
            self.at,
            (self.kind as u64) << 56 | self.of & OF,
            self.id,
            self.value,
        ]
    }

    pub(crate) fn from_words([at, kind_of, id, value]: [u64; 4]) -> Option<Self> {
        let kind = *ALL.get((kind_of >> 56) as usize)?;
        Some(Self {
            kind,
            at,
            id,
            of: kind_of & OF,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_its_words() {
        let event = Event::task_polled(9, 4, Cause::Timer(77).raw(), 1234);
        let back = Event::from_words(event.words()).unwrap();
        assert_eq!(back, event);
        assert_eq!(back.cause(), Some(Cause::Timer(77)));
        assert_eq!(Event::from_words([0, u64::MAX, 0, 0]), None);
        let killed = Event::child_exited(9, 4, 3, -9);
        let back = Event::from_words(killed.words()).unwrap();
        assert_eq!((back, back.value.cast_signed()), (killed, -9));
    }
}
