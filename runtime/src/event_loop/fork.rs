//! Fork safety: a loop made before a fork is not the child's.
//!
//! The child shares the parent's epoll and timers; touching them would disturb the parent. A
//! generation that the child raises tells the loops apart.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static EPOCH: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between the first process and this one.
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

/// From now on a fork raises the epoch in the child.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| crate::os::after_fork_in_child(in_child));
}

fn in_child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    crate::record::forget_loops_after_fork();
}
