//! Ends a wait at a deadline, to the microsecond. Knows no timers.
//!
//! On Linux a timerfd in the poll set: `epoll_wait` itself counts in whole milliseconds. It is
//! edge-triggered and never read, since setting it anew forgets what it counted. Elsewhere, or
//! where there is none to be had, the wait gets a timeout.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use mio::{Registry, Token};

use crate::clock;

/// Deadlines closer than this to the last one that passed are met together: it bounds how often a
/// dense crowd of timers wakes the loop, and is half of the lateness that is promised for them.
const APART: u64 = 50_000;

#[derive(Debug)]
pub(super) struct Alarm {
    #[cfg(target_os = "linux")]
    fd: Option<rustix::fd::OwnedFd>,
    /// What the timerfd is set to and has not reported; `u64::MAX` for nothing.
    set_to: Cell<u64>,
    /// The last deadline it reported.
    passed: Cell<u64>,
}

impl Alarm {
    #[cfg(target_os = "linux")]
    pub(super) fn new(registry: &Registry, token: Token) -> Self {
        use std::os::fd::AsRawFd;

        use mio::unix::SourceFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        // A sandbox may forbid it; whole milliseconds are late then, and recorded as late.
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )
        .ok()
        .filter(|fd| {
            registry
                .register(
                    &mut SourceFd(&fd.as_raw_fd()),
                    token,
                    mio::Interest::READABLE,
                )
                .is_ok()
        });
        Self {
            fd,
            set_to: Cell::new(u64::MAX),
            passed: Cell::new(0),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_registry: &Registry, _token: Token) -> Self {
        Self {
            set_to: Cell::new(u64::MAX),
            passed: Cell::new(0),
        }
    }

    /// Sees to it that a wait ends at `deadline`; returns the timeout it needs besides.
    pub(super) fn set(&self, deadline: u64) -> Option<Duration> {
        let target = deadline.max(self.passed.get().saturating_add(APART));
        if self.arm(target).is_ok() {
            return None;
        }
        Some(Duration::from_nanos(deadline.saturating_sub(clock::mono())))
    }

    /// An earlier setting stands: it ends one wait too soon, once, which is cheaper than setting
    /// it at every wait.
    #[cfg(target_os = "linux")]
    fn arm(&self, target: u64) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let fd = self.fd.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        if self.set_to.get() <= target {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // The end of `i64` seconds is far enough, and 0 would mean "off".
        let value = Timespec {
            tv_sec: (target / 1_000_000_000) as i64,
            tv_nsec: (target % 1_000_000_000).max(1) as _,
        };
        timerfd_settime(
            fd,
            TimerfdTimerFlags::ABSTIME,
            &Itimerspec {
                it_interval: zero,
                it_value: value,
            },
        )?;
        self.set_to.set(target);
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn arm(&self, _target: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The wait reported the alarm's token.
    pub(super) fn rang(&self) {
        self.passed.set(self.set_to.replace(u64::MAX));
    }
}
