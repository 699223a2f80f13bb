//! Why a poll takes so long: from readings of its thread to a cause in words. What to do about each
//! is told by the schema's crate.
//!
//! A pure function. No cause is named unless what its rule needs was read; else it is unknown and
//! says why. Knows no loop, no stack and no clock.

pub(crate) mod calls;
pub(crate) mod proc;
pub(crate) mod quota;

use loop_proto::blocking;

use crate::os::Sched;
use quota::Throttled;

/// A cheap reading of a thread. Ticks around it; what is absent was not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) sched: Option<Sched>,
    /// The thread's CPU clock, nanoseconds.
    pub(crate) cpu: Option<u64>,
}

/// Where a thread is in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InCall {
    /// On a CPU, or runnable.
    Running,
    /// Stopped outside of any call: in a page fault, or by the scheduler.
    Fault { sp: u64, pc: u64 },
    Call {
        number: i64,
        /// The first argument: often a file descriptor.
        first: u64,
        sp: u64,
        pc: u64,
    },
}

/// A full reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) reading: Reading,
    /// As in `stat`: R, S, D, T, t, …
    pub(crate) state: Option<char>,
    pub(crate) major_faults: Option<u64>,
    pub(crate) voluntary: Option<u64>,
    pub(crate) involuntary: Option<u64>,
    pub(crate) call: Option<InCall>,
    pub(crate) wchan: Option<String>,
}

/// Sums over the widest window that lies inside the block. Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) wall: u64,
    pub(crate) cpu: Option<u64>,
    pub(crate) delay: Option<u64>,
    pub(crate) slices: Option<u64>,
}

/// All that a judgement rests on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// Full readings inside the block, oldest first.
    pub(crate) looks: &'a [Look],
    pub(crate) window: Window,
    /// The block is shown to have held the loop, whatever the host did.
    pub(crate) proven: bool,
    /// What the watchdog itself overslept meanwhile, beyond its own waits for a CPU.
    pub(crate) gap: u64,
    /// What a CPU quota took from the thread's group meanwhile. `None`: not told.
    pub(crate) throttled: Option<Throttled>,
    /// Time on the wall that is not shown to have been the poll's own: so much the host, or a
    /// quota, may have taken.
    pub(crate) unproven: u64,
    /// Why the thread cannot be read at all. Empty: it can.
    pub(crate) unread: &'a str,
}

impl Evidence<'_> {
    /// What a quota took of this poll: no more than what was not its own.
    pub(crate) fn throttled(&self) -> u64 {
        self.throttled.map_or(0, |all| all.ns.min(self.unproven))
    }
}

/// Classes of causes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Kind {
    #[default]
    Unknown,
    Cpu,
    Syscall,
    Lock,
    PageIn,
    /// No CPU for the thread: the host, not the app.
    Host,
    /// No CPU for the group: its quota was used up.
    Throttled,
    /// Stopped by a signal or a debugger.
    Stopped,
}

/// A cause, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) kind: Kind,
    /// As the screen says it: `CPU`, `syscall fsync`, `a lock (futex)`, `cause unknown (…)`.
    pub(crate) words: String,
    /// What was read.
    pub(crate) because: String,
    /// The system call that it slept in. Empty: none is known.
    pub(crate) call: &'static str,
}

/// A window shorter than this says nothing about where time went.
const SHORTEST: u64 = 1_000_000;

/// A quota that took less than this is not worth a word.
const WORTH_A_WORD: u64 = 1_000_000;

/// Nobody looked for a cause: it was allowed to block.
pub(crate) fn allowed() -> Judgement {
    Judgement {
        because: "allowed, so no cause was looked for".to_owned(),
        ..Judgement::default()
    }
}

/// Judges. The order of the rules is that of certainty.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Judgement {
    let last = evidence.looks.last();
    let state = last.and_then(|look| look.state);
    if let Some(state @ ('T' | 't')) = state {
        return Judgement {
            kind: Kind::Stopped,
            words: "stopped".to_owned(),
            because: format!("thread state {state}: a signal or a debugger holds it"),
            call: "",
        };
    }
    if !evidence.proven {
        return host(evidence);
    }
    let mut judgement = page_in(evidence)
        .or_else(|| waits_in_call(evidence))
        .unwrap_or_else(|| by_shares(evidence));
    if evidence.throttled() >= WORTH_A_WORD {
        let besides = format!("; besides, throttled {}", by_quota(evidence));
        judgement.because.push_str(&besides);
        if judgement.kind == Kind::Unknown {
            judgement.words = format!("cause unknown ({})", judgement.because);
        }
    }
    judgement
}

/// `220.0 ms by the cgroup quota (20 % of a CPU)`.
fn by_quota(evidence: &Evidence<'_>) -> String {
    let mut text = format!("{} by the cgroup quota", span(evidence.throttled()));
    if let Some(limit) = evidence.throttled.and_then(|all| all.limit) {
        text.push_str(&format!(" ({})", blocking::quota(limit)));
    }
    text
}

fn host(evidence: &Evidence<'_>) -> Judgement {
    let Window { wall, delay, .. } = evidence.window;
    let throttled = evidence.throttled();
    if throttled >= WORTH_A_WORD && throttled >= evidence.unproven / 2 {
        return Judgement {
            kind: Kind::Throttled,
            words: "throttled".to_owned(),
            because: by_quota(evidence),
            call: "",
        };
    }
    let (words, because) = match delay {
        _ if evidence.gap > 0 => (
            "host",
            format!("the watchdog itself overslept {}", span(evidence.gap)),
        ),
        Some(delay @ 1..) => (
            "waiting for a CPU",
            format!("up to {} of {} without a CPU", span(delay), span(wall)),
        ),
        Some(_) => (
            "waiting for a CPU",
            "runnable, and its CPU clock stands still".to_owned(),
        ),
        None => return unknown("schedstat is absent: its waits for a CPU are not told"),
    };
    Judgement {
        kind: Kind::Host,
        words: words.to_owned(),
        because,
        call: "",
    }
}

/// In a page fault that waits for a device, or with major faults while it slept outside of calls.
fn page_in(evidence: &Evidence<'_>) -> Option<Judgement> {
    let last = evidence.looks.last()?;
    if !matches!(last.call, Some(InCall::Fault { .. })) || !matches!(last.state, Some('D' | 'S')) {
        return None;
    }
    let faults = last
        .major_faults?
        .saturating_sub(evidence.looks.first()?.major_faults?);
    let because = match &last.wchan {
        _ if faults > 0 => format!("{faults} major faults while looked at"),
        Some(wchan) if is_paging(wchan) => format!("waits in {wchan}"),
        _ => return None,
    };
    Some(Judgement {
        kind: Kind::PageIn,
        words: "page-in".to_owned(),
        because,
        call: "",
    })
}

fn is_paging(wchan: &str) -> bool {
    ["folio", "filemap", "swap", "io_schedule", "fault"]
        .iter()
        .any(|part| wchan.contains(part))
}

/// Asleep in one call at every look, and not on a CPU for most of the time.
fn waits_in_call(evidence: &Evidence<'_>) -> Option<Judgement> {
    let number_of = |look: &Look| match (look.state, look.call) {
        (Some('S' | 'D'), Some(InCall::Call { number, .. })) => Some(number),
        _ => None,
    };
    // At the last look it may have been on its way out of the call.
    let in_call = |look: &&Look| number_of(look).is_some();
    let last = evidence.looks.iter().rfind(in_call)?;
    let number = number_of(last)?;
    let same = evidence
        .looks
        .iter()
        .filter(|look| number_of(look) == Some(number))
        .count();
    let looks = evidence.looks.len();
    let slept = match evidence.window {
        Window {
            wall,
            cpu: Some(cpu),
            ..
        } if wall >= SHORTEST => cpu <= wall / 2,
        // Too short a window to weigh: two looks into the same call are the evidence.
        _ => same >= 2,
    };
    if !slept || same * 2 < looks {
        return None;
    }
    let name = calls::name(number);
    let mut because = format!(
        "asleep in call {number} at {same} of {looks} look{}",
        if looks == 1 { "" } else { "s" }
    );
    if let Some(wchan) = &last.wchan {
        because.push_str(&format!(", kernel function {wchan}"));
    }
    let (kind, words) = match name {
        Some(call @ ("futex" | "futex_wait" | "futex_waitv")) => {
            // Two that wait for one lock wait at one address.
            if let Some(InCall::Call { first, .. }) = last.call {
                because.push_str(&format!(", at address {first:#x}"));
            }
            (Kind::Lock, format!("a lock ({call})"))
        }
        Some("nanosleep" | "clock_nanosleep") => (Kind::Syscall, "sleep".to_owned()),
        Some(call) => (Kind::Syscall, format!("syscall {call}")),
        None => (Kind::Syscall, format!("syscall number {number}")),
    };
    Some(Judgement {
        kind,
        words,
        because,
        call: name.unwrap_or(""),
    })
}

fn by_shares(evidence: &Evidence<'_>) -> Judgement {
    let Window {
        wall,
        cpu,
        delay,
        slices,
    } = evidence.window;
    if !evidence.unread.is_empty() {
        return unknown(evidence.unread);
    }
    let Some(cpu) = cpu else {
        return unknown("its CPU time could not be read");
    };
    if wall < SHORTEST {
        return unknown("over before it could be looked at for a millisecond");
    }
    // Waits for a CPU are nobody's doing: the shares are of the time that was the thread's own.
    let own = wall.saturating_sub(delay.unwrap_or(0));
    // The two were not read at one moment.
    let because = format!("on a CPU for {} of {}", span(cpu), span(own.max(cpu)));
    if cpu >= own / 5 * 4 {
        return Judgement {
            kind: Kind::Cpu,
            words: "CPU".to_owned(),
            because,
            call: "",
        };
    }
    let slept = slices.map_or(String::new(), |slices| {
        format!(", given a CPU {slices} times")
    });
    unknown(&format!("{because}{slept}, never seen in one call"))
}

fn unknown(why: &str) -> Judgement {
    Judgement {
        kind: Kind::Unknown,
        words: format!("cause unknown ({why})"),
        because: why.to_owned(),
        call: "",
    }
}

/// A duration as people read it.
pub(crate) fn span(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests;
