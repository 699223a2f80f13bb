//! Who woke a task: one word, so that a wake stores it and a reader never sees half of it.

/// What made a task ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Its own spawn.
    Spawn,
    /// A task or callback of the same loop, by id; itself when it yields.
    Task(u64),
    /// A timer that came due, by the timer's row id.
    Timer(u64),
    /// Readiness of an I/O source, by the source's row id.
    Source(u64),
    /// Another thread, by its number in the process.
    Thread(u64),
    /// The loop itself, outside any poll: a handler, a drop, an executor's result.
    Loop,
    /// A signal, by its number.
    Signal(u64),
    /// Nothing: a viewer's nudge.
    Nudge,
}

const ID: u64 = (1 << 56) - 1;

/// The word of a task that woke itself: it says so without the id, which the row has.
pub(crate) const ITSELF: u64 = 8 << 56;

/// Kinds of causes, numbered by the upper byte of their word: 0 is none.
pub(crate) const CAUSES: usize = 9;

/// The kind of a cause's word.
#[inline]
pub(crate) fn kind_of(raw: u64) -> usize {
    (raw >> 56) as usize
}

impl Cause {
    #[inline]
    pub(crate) fn raw(self) -> u64 {
        let (kind, id) = match self {
            Cause::Spawn => (1, 0),
            Cause::Task(id) => (2, id),
            Cause::Timer(id) => (3, id),
            Cause::Source(id) => (4, id),
            Cause::Thread(id) => (5, id),
            Cause::Loop => (6, 0),
            Cause::Signal(id) => (7, id),
            Cause::Nudge => (9, 0),
        };
        kind << 56 | id & ID
    }

    /// The cause in the row of the task `of`.
    pub(crate) fn of_row(raw: u64, of: u64) -> Option<Self> {
        match raw {
            ITSELF => Some(Cause::Task(of)),
            raw => Self::from_raw(raw),
        }
    }

    pub(crate) fn from_raw(raw: u64) -> Option<Self> {
        let id = raw & ID;
        Some(match raw >> 56 {
            1 => Cause::Spawn,
            2 => Cause::Task(id),
            3 => Cause::Timer(id),
            4 => Cause::Source(id),
            5 => Cause::Thread(id),
            6 => Cause::Loop,
            7 => Cause::Signal(id),
            9 => Cause::Nudge,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_survives_its_word() {
        for cause in [
            Cause::Spawn,
            Cause::Task(7),
            Cause::Timer(1),
            Cause::Source(9),
            Cause::Thread(3),
            Cause::Loop,
            Cause::Signal(2),
            Cause::Nudge,
        ] {
            assert_eq!(Cause::from_raw(cause.raw()), Some(cause));
        }
        assert_eq!(Cause::from_raw(0), None);
        assert_eq!(Cause::of_row(ITSELF, 7), Some(Cause::Task(7)));
        assert_eq!(Cause::of_row(Cause::Loop.raw(), 7), Some(Cause::Loop));
    }
}
