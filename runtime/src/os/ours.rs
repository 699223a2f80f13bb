//! Threads that the runtime started for its own work, and whether the process has others.
//!
//! A thread of ours that waits holds nothing of the app and wakes nobody by itself. Knows neither
//! loops nor what the threads do.

use std::sync::atomic::{AtomicU64, Ordering};

/// Threads of ours that are alive below, and how often that number changed above.
static OURS: AtomicU64 = AtomicU64::new(0);
const CHANGE: u64 = 1 << 32;

/// While it lives, the thread that made it is one of ours, and does nothing of the app's.
///
/// Made on the thread itself and dropped there: the kernel counts it before and after.
#[derive(Debug)]
pub(crate) struct Ours(std::marker::PhantomData<*const ()>);

impl Ours {
    pub(crate) fn enter() -> Self {
        OURS.fetch_add(CHANGE + 1, Ordering::SeqCst);
        Self(std::marker::PhantomData)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        OURS.fetch_add(CHANGE - 1, Ordering::SeqCst);
    }
}

/// Threads of this process beside the calling one and those of ours; never fewer than there are.
/// `None` where the system does not tell. One system call.
pub(crate) fn others() -> Option<u64> {
    if super::forks() > 0 {
        // Those that were counted are the parent's, and are not here.
        return None;
    }
    let before = OURS.load(Ordering::SeqCst);
    let all = threads()?;
    let after = OURS.load(Ordering::SeqCst);
    let ours = before % CHANGE;
    let others = all.checked_sub(1 + ours);
    match before == after {
        // Fewer than we know of: this is no count of threads.
        true => others,
        // One of ours came or went while the others were counted.
        false => Some(others.unwrap_or(0).max(1)),
    }
}

/// Threads of this process: the links of its directory of them, less the two of any directory.
#[cfg(target_os = "linux")]
fn threads() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/task")
        .ok()?
        .nlink()
        .checked_sub(2)
}

#[cfg(not(target_os = "linux"))]
fn threads() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_the_apps_is_another_and_one_of_ours_is_not() {
        use std::sync::mpsc;
        // Other tests start threads too, so this says only what holds among them.
        let (go, wait) = mpsc::channel::<()>();
        let app = std::thread::spawn(move || wait.recv());
        assert!(others().is_some_and(|others| others >= 1));
        drop(go);
        let _ = app.join().unwrap();
        let before = OURS.load(Ordering::SeqCst) / CHANGE;
        std::thread::spawn(|| drop(Ours::enter())).join().unwrap();
        assert!(OURS.load(Ordering::SeqCst) / CHANGE >= before + 2);
    }
}
