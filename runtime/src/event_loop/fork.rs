//! Fork safety: a loop made before a fork is not the child's.
//!
//! The child shares the parent's epoll and timers; touching them would disturb the parent. A
//! generation that the child raises tells the loops apart.

use std::sync::Once;

/// How many forks lie between the first process and this one.
pub(crate) fn epoch() -> u64 {
    crate::os::forks()
}

/// From now on a child of a fork knows no loops of its parent's.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| crate::os::after_fork_in_child(in_child));
}

fn in_child() {
    crate::record::forget_loops_after_fork();
}
