//! Identities: process-wide, sequential, never reused. Knows nothing of what they name.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub(crate) mod map;

/// How many ids a loop takes from the process at a time, so that a spawn touches no shared line.
const BLOCK: u64 = 1024;

static NEXT: AtomicU64 = AtomicU64::new(1);
static NEXT_LOOP: AtomicU32 = AtomicU32::new(0);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id as the console prints it.
            pub fn get(self) -> u64 {
                self.0.get()
            }

            #[allow(dead_code)]
            pub(crate) fn from_raw(raw: u64) -> Option<Self> {
                NonZeroU64::new(raw).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// Names one task or callback of this process, for ever.
    ///
    /// Ids grow in the order of spawning within a loop; loops take them in blocks.
    TaskId
}

id! {
    /// Names one timer, source, job, child, resource or wait of this process, for ever.
    RowId
}

/// Names one event loop of this process; the first is 0.
///
/// Kept as the number after it, which is never 0: `Option<LoopId>` is as small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopId(NonZeroU32);

impl fmt::Debug for LoopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopId").field(&self.get()).finish()
    }
}

impl LoopId {
    /// The id as the console prints it.
    pub fn get(self) -> u32 {
        self.0.get() - 1
    }

    pub(crate) fn next() -> Self {
        Self::from_raw(NEXT_LOOP.fetch_add(1, Ordering::Relaxed))
    }

    #[allow(dead_code)]
    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(raw))
    }
}

impl fmt::Display for LoopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Hands out ids from blocks taken from the process. One owner, one thread.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    next: Cell<u64>,
    end: Cell<u64>,
}

impl Ids {
    pub(crate) fn next(&self) -> u64 {
        let mut id = self.next.get();
        if id == self.end.get() {
            id = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
            self.end.set(id + BLOCK);
        }
        self.next.set(id + 1);
        id
    }
}

/// One id for a thread that owns no loop.
pub(crate) fn single() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_printed_by_its_number_everywhere() {
        let id = LoopId::from_raw(0);
        assert_eq!((id.get(), id.to_string()), (0, "0".to_owned()));
        assert_eq!(format!("{id:?}"), "LoopId(0)");
        assert_eq!(LoopId::from_raw(7).get(), 7);
    }

    #[test]
    fn ids_are_never_handed_out_twice_over_blocks_and_owners() {
        let (a, b) = (Ids::default(), Ids::default());
        let mut seen: Vec<u64> = (0..3000).flat_map(|_| [a.next(), b.next()]).collect();
        seen.push(single());
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(seen[0] > 0, "0 means vacant");
    }
}
