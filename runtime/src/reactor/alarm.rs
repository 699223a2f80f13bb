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

/// Deadlines closer than this to the last one that passed are met together: it bounds how often
/// timers wake the loop.
const APART: u64 = 50_000;
/// The same for a crowd, in which a wake each 50 µs would cost more than the timers do; half of it
/// is how late they are at the median.
const APART_IN_A_CROWD: u64 = 150_000;
/// Timers that were due together make a crowd.
const CROWD: usize = 4;

#[derive(Debug)]
pub(super) struct Alarm {
    #[cfg(target_os = "linux")]
    fd: Option<rustix::fd::OwnedFd>,
    /// What the timerfd is set to and has not reported; `u64::MAX` for nothing.
    set_to: Cell<u64>,
    /// The last deadline it reported.
    passed: Cell<u64>,
    apart: Cell<u64>,
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
            apart: Cell::new(APART),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_registry: &Registry, _token: Token) -> Self {
        Self {
            set_to: Cell::new(u64::MAX),
            passed: Cell::new(0),
            apart: Cell::new(APART),
        }
    }

    /// Sees to it that a wait ends at `deadline`; returns the timeout it needs besides.
    pub(super) fn set(&self, deadline: u64) -> Option<Duration> {
        let target = self.target(deadline);
        if self.arm(target).is_ok() {
            return None;
        }
        Some(Duration::from_nanos(deadline.saturating_sub(clock::mono())))
    }

    fn target(&self, deadline: u64) -> u64 {
        deadline.max(self.passed.get().saturating_add(self.apart.get()))
    }

    /// So many timers were due when the loop last looked.
    pub(super) fn met(&self, timers: usize) {
        match timers {
            0 => {}
            1..CROWD => self.apart.set(APART),
            _ => self.apart.set(APART_IN_A_CROWD),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_met_less_often_than_a_few_and_a_lone_deadline_exactly() {
        let poll = mio::Poll::new().unwrap();
        let alarm = Alarm::new(poll.registry(), Token(0));
        alarm.set_to.set(1_000_000);
        alarm.rang();
        assert_eq!(alarm.target(1_010_000), 1_050_000);
        assert_eq!(alarm.target(2_000_000), 2_000_000);
        alarm.met(CROWD);
        alarm.met(0);
        assert_eq!(alarm.target(1_010_000), 1_150_000);
        assert_eq!(alarm.target(2_000_000), 2_000_000);
        alarm.met(1);
        assert_eq!(alarm.target(1_010_000), 1_050_000);
    }
}
