//! The atomics of the protocols that loom checks: std's, or loom's under `--cfg loop_model`.
//!
//! The only twin in the crate. Rows and counters that carry facts, not hand-overs, use std's
//! atomics everywhere, also in a model.

#[cfg(not(loop_model))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(loop_model)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// What a word's one writer left in it. No other thread may write it: a word of many is loaded.
#[cfg(not(loop_model))]
#[inline(always)]
pub(crate) fn own(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// The same. loom looks at the last access before a store, to try the two the other way round: a
/// load by the writer itself would hide all that others read, and the models would find nothing.
#[cfg(loop_model)]
pub(crate) fn own(word: &AtomicU64) -> u64 {
    // SAFETY: no other thread stores to it, as the caller says; loom panics if one does.
    unsafe { word.unsync_load() }
}
