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
