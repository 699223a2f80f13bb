//! Two clocks: ticks for durations (one cheap read per poll edge), CLOCK_MONOTONIC for deadlines.
//!
//! Knows what a tick is worth; knows nothing of loops, timers or the inspector.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Where ticks come from on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TickSource {
    /// The x86 time stamp counter; used where it is invariant and the kernel itself trusts it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Tsc,
    /// The ARM virtual counter.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
    Cntvct,
    /// CLOCK_MONOTONIC, in nanoseconds: right everywhere, about 15 ns dearer a poll.
    ClockGettime,
}

impl fmt::Display for TickSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TickSource::Tsc => "rdtsc",
            TickSource::Cntvct => "cntvct",
            TickSource::ClockGettime => "clock_gettime",
        })
    }
}

/// False until `source()` has looked: CLOCK_MONOTONIC is right on every machine.
static COUNTER: AtomicBool = AtomicBool::new(false);

/// `f64` bits of nanoseconds per tick, refined while the process runs.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0x3FF0_0000_0000_0000);

/// When the rate was last refined, in CLOCK_MONOTONIC; a second of distance is fine enough for good.
static REFINED_AT: AtomicU64 = AtomicU64::new(0);

static ANCHOR: OnceLock<Anchor> = OnceLock::new();

/// One moment on all clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    pub(crate) ticks: u64,
    pub(crate) mono: u64,
    pub(crate) unix_ns: u64,
    source: TickSource,
}

/// Reads the counter. Durations only: the difference of two reads of one process.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    if COUNTER.load(Ordering::Relaxed) {
        counter()
    } else {
        mono()
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn counter() -> u64 {
    // SAFETY: every x86_64 has the instruction; an OS that traps it would not list `tsc` as its
    // clock source, and `choose` asks for that.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register that the kernel opens to user space on every supported OS.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
fn counter() -> u64 {
    mono()
}

/// CLOCK_MONOTONIC in nanoseconds.
#[cfg(unix)]
#[inline]
pub(crate) fn mono() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(not(unix))]
pub(crate) fn mono() -> u64 {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    // An offset keeps "a second before the start" representable.
    START
        .get_or_init(std::time::Instant::now)
        .elapsed()
        .as_nanos() as u64
        + 1_000_000_000_000
}

fn unix_ns() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// The moment the first loop (or the inspector) asked; all conversions start from it.
pub(crate) fn anchor() -> Anchor {
    *ANCHOR.get_or_init(|| {
        let source = choose();
        COUNTER.store(source != TickSource::ClockGettime, Ordering::Relaxed);
        let first = both();
        if source != TickSource::ClockGettime {
            // A tenth of a millisecond gives the rate to about 0.2 %, enough for limits;
            // durations are shown with the refined one.
            while mono() < first.1 + 100_000 {
                std::hint::spin_loop();
            }
            set_rate(first.0, first.1);
        }
        Anchor {
            ticks: first.0,
            mono: first.1,
            unix_ns: unix_ns(),
            source,
        }
    })
}

/// Both clocks at one moment: of some tries, the one that took least, since a thread may lose its
/// CPU between two reads.
fn both() -> (u64, u64) {
    let tries = (0..16).map(|_| {
        let (before, ticks, after) = (mono(), ticks(), mono());
        (after - before, ticks, before + (after - before) / 2)
    });
    let (_, ticks, mono) = tries.min().unwrap_or_default();
    (ticks, mono)
}

fn set_rate(ticks0: u64, mono0: u64) {
    let (t, m) = both();
    if t > ticks0 && m > mono0 {
        let rate = (m - mono0) as f64 / (t - ticks0) as f64;
        NS_PER_TICK.store(rate.to_bits(), Ordering::Relaxed);
        REFINED_AT.store(m, Ordering::Relaxed);
    }
}

/// Which clock counts ticks.
pub(crate) fn source() -> TickSource {
    anchor().source
}

/// Nanoseconds per tick, measured over all the time since the anchor.
///
/// Refines itself at most every 10 ms during the first second, then every second, on the thread
/// that asks (an inspector, never a poll).
pub(crate) fn ns_per_tick() -> f64 {
    let anchor = anchor();
    if anchor.source != TickSource::ClockGettime {
        let now = mono();
        let age = now - anchor.mono;
        let last = REFINED_AT.load(Ordering::Relaxed);
        if now.saturating_sub(last) > (age / 10).clamp(10_000_000, 1_000_000_000) {
            set_rate(anchor.ticks, anchor.mono);
        }
    }
    f64::from_bits(NS_PER_TICK.load(Ordering::Relaxed))
}

/// A duration in ticks as nanoseconds.
pub(crate) fn ticks_to_ns(ticks: u64) -> u64 {
    (ticks as f64 * ns_per_tick()) as u64
}

/// A limit as ticks; saturates.
pub(crate) fn ns_to_ticks(limit: Duration) -> u64 {
    (limit.as_nanos() as f64 / ns_per_tick()) as u64
}

#[cfg(target_arch = "x86_64")]
fn choose() -> TickSource {
    // Leaf 0x8000_0007, EDX bit 8: the counter runs at one rate in all power states. The kernel's
    // own choice is asked too, since it also knows of sockets that drift apart.
    use core::arch::x86_64::__cpuid;
    let invariant =
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0;
    if invariant && kernel_trusts_tsc() {
        TickSource::Tsc
    } else {
        TickSource::ClockGettime
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn kernel_trusts_tsc() -> bool {
    std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        .is_ok_and(|source| {
            matches!(
                source.trim(),
                "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page"
            )
        })
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn kernel_trusts_tsc() -> bool {
    true
}

#[cfg(target_arch = "aarch64")]
fn choose() -> TickSource {
    TickSource::Cntvct
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn choose() -> TickSource {
    TickSource::ClockGettime
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_survives_the_way_through_ticks() {
        anchor();
        let limit = Duration::from_millis(50);
        let back = ticks_to_ns(ns_to_ticks(limit)) as f64;
        assert!((back / 50e6 - 1.0).abs() < 0.02, "50 ms became {back} ns");
    }

    #[test]
    fn ticks_never_run_backwards_on_one_thread() {
        anchor();
        let mut last = ticks();
        for _ in 0..10_000 {
            let now = ticks();
            assert!(now >= last);
            last = now;
        }
    }
}
