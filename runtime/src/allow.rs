//! `allow_blocking`: a stretch of a poll in which the app blocks on purpose, and says why.
//!
//! Knows the record of the loop that runs here, and nothing of who judges.

use crate::clock;
use crate::record::current;
use crate::record::names;

/// Runs `f`, which may hold the loop for as long as it takes: that is on purpose, for `reason`.
///
/// The time in it does not count against the loop's budget for blocks, and no call in it is found
/// fault with. What a poll does outside of it counts as before. The loop does stand still
/// meanwhile, so what comes late because of it (timers, other tasks) is late all the same:
/// [`run_in_executor`](crate::run_in_executor) is better wherever it is possible.
///
/// Outside a loop it only runs `f`. It may be called inside another one; the outer reason stands. A
/// panic goes through, and ends it.
///
/// Records: the reason and the time, with a block that it was part of.
///
/// ```
/// loop_runtime::run(async {
///     let hosts = loop_runtime::allow_blocking("read once, before anybody is served", || {
///         std::fs::read_to_string("/etc/hosts")
///     });
///     assert!(hosts.is_ok() || cfg!(windows));
/// })
/// .unwrap();
/// ```
pub fn allow_blocking<T>(reason: &'static str, f: impl FnOnce() -> T) -> T {
    let began = current::here(|record| {
        let current = &record.current;
        let works = current.doing().is_work();
        if works {
            let (name, phase) = (names::intern(reason), current.since());
            record.allowed.begin(name, phase, clock::ticks());
        }
        works
    });
    // Runs of loops nest on a thread as calls do, so it is this loop again when `f` is over.
    let _ends = Ends(began == Some(true));
    f()
}

/// Ends the scope, also when `f` panics.
struct Ends(bool);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0 {
            current::here(|record| record.allowed.end(clock::ticks()));
        }
    }
}
