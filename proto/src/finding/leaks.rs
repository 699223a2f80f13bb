//! The rules for what is left without anybody: timers, descriptors, wakers, and generations of tasks.
//! As the others: a function of plain facts each.

use super::Verdict;
use super::facts::{GrowthFacts, Limits, SourceFacts, State, TaskFacts, TimerFacts};
use super::rules::{span, verdict};
use crate::pb::{FindingName, Grade};

/// `orphan-timer`, warning: the timer is armed, and firing it will wake nobody, since it has no
/// waker or its task has ended; or its task was polled very often since it last asked for the
/// timer, which was armed longer ago than the idle limit.
#[must_use]
pub fn orphan_timer(timer: &TimerFacts, limits: &Limits) -> Option<Verdict> {
    let armed = timer.at_ns.saturating_sub(timer.armed_at_ns);
    let unasked = timer.unasked_polls >= limits.unasked_polls && armed >= limits.idle_ns;
    (!timer.has_waker || timer.task_gone || unasked).then(|| {
        let why = match timer.unasked_polls {
            _ if timer.task_gone => "the task that it would wake has ended".to_owned(),
            _ if !timer.has_waker => "firing it wakes nobody".to_owned(),
            polls => format!("its task was polled {polls} times since it last asked for it"),
        };
        let left = timer.due_ns.saturating_sub(timer.at_ns);
        let evidence = vec![
            why,
            format!("armed {} ago, due in {}", span(armed), span(left)),
        ];
        verdict(
            FindingName::OrphanTimer,
            Grade::Warning,
            timer.armed_at_ns,
            evidence,
        )
    })
}

/// `abandoned-fd`, suspect: nobody waits for the source, the task that used it has ended or can
/// never be woken, and the kernel has reported nothing for longer than the idle limit.
#[must_use]
pub fn abandoned_fd(source: &SourceFacts, limits: &Limits) -> Option<Verdict> {
    let idle = source.at_ns.saturating_sub(source.idle_since_ns);
    let holds =
        (source.task_gone && !source.waited_for || source.task_stranded) && idle >= limits.idle_ns;
    holds.then(|| {
        let why = if source.task_stranded {
            "the task that uses it can never be woken"
        } else {
            "the task that used it has ended"
        };
        let evidence = vec![
            why.to_owned(),
            format!("nothing happened on it for {}", span(idle)),
        ];
        verdict(
            FindingName::AbandonedFd,
            Grade::Suspect,
            source.idle_since_ns,
            evidence,
        )
        .measured(idle, limits.idle_ns)
    })
}

/// `waker-hoard`, warning: more wakers of the task are alive than anybody needs. Each is memory, and
/// most can wake for nothing only.
#[must_use]
pub fn waker_hoard(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    (task.wakers > limits.hoard_wakers && task.state != State::Done).then(|| {
        let evidence = vec![
            format!("wakers of it that are alive: {}", task.wakers),
            format!(
                "the limit is {}; one is enough for a wait",
                limits.hoard_wakers
            ),
        ];
        verdict(
            FindingName::WakerHoard,
            Grade::Warning,
            task.since_ns,
            evidence,
        )
    })
}

/// `growing`, suspect: of the last ten slots at least eight had more surviving generations than
/// the one before, and the oldest task is at least five times as old as those of its place
/// usually get. A steady pool keeps its generations, a rush of load adds tasks but few
/// generations; a leak adds one a slot.
///
/// Where too few have ended to know what is usual, users who came and stay are growth too: said
/// only when 27 of the last 30 slots rose.
#[must_use]
pub fn growing(place: &GrowthFacts<'_>) -> Option<Verdict> {
    let (slots, least) = match place.usual_life_ns {
        Some(_) => (10, 8),
        None => (30, 27),
    };
    let recent = &place.generations[place.generations.len().checked_sub(slots + 1)?..];
    let rises = recent.windows(2).filter(|pair| pair[1] > pair[0]).count();
    let old = place
        .usual_life_ns
        .is_none_or(|usual| place.oldest_age_ns >= usual.saturating_mul(5));
    (rises >= least && old).then(|| {
        let usual = match place.usual_life_ns {
            Some(usual) => format!(
                "99 of 100 that ended lived less than {}, by {} that were looked at",
                span(usual),
                place.usual_of
            ),
            None => "too few have ended to know how old they usually get".to_owned(),
        };
        let evidence = vec![
            format!(
                "generations alive: {}, and {} before; each is {} of spawns",
                recent[slots],
                recent[0],
                span(place.slot_ns)
            ),
            format!(
                "{} alive, the oldest for {}",
                place.live,
                span(place.oldest_age_ns)
            ),
            usual,
        ];
        let since = place
            .at_ns
            .saturating_sub(place.slot_ns.saturating_mul(slots as u64));
        verdict(FindingName::Growing, Grade::Suspect, since, evidence)
    })
}
