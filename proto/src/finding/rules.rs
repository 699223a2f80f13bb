//! The rules: from facts about one subject to a verdict. Each says its exact condition and rests
//! on nothing else. Nothing here reads a clock or a table, and nothing is allocated before a rule
//! applies, so that all of them can be asked of a million tasks in a walk.

use super::Verdict;
use super::facts::{BlockFacts, CallFacts, EndedFacts, Limits, State, TaskFacts, TimerFacts};
use super::leaks::waker_hoard;
use crate::pb::{FindingName, Grade, Outcome};

/// A verdict without numbers.
pub(super) fn verdict(
    name: FindingName,
    grade: Grade,
    since_ns: u64,
    evidence: Vec<String>,
) -> Verdict {
    Verdict {
        name,
        grade,
        evidence,
        since_ns,
        measured_ns: None,
        limit_ns: None,
    }
}

impl Verdict {
    pub(super) fn measured(mut self, measured_ns: u64, limit_ns: u64) -> Self {
        (self.measured_ns, self.limit_ns) = (Some(measured_ns), Some(limit_ns));
        self
    }
}

/// A duration in words, for evidence: `412 ms`, `38 min 4 s`.
#[must_use]
pub fn span(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        1_000_000_000..60_000_000_000 => {
            format!("{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10)
        }
        60_000_000_000..3_600_000_000_000 => {
            format!("{} min {} s", ns / 60_000_000_000, ns / 1_000_000_000 % 60)
        }
        _ => format!(
            "{} h {} min",
            ns / 3_600_000_000_000,
            ns / 60_000_000_000 % 60
        ),
    }
}

/// All that holds of a live task, worst first.
#[must_use]
pub fn of_task(task: &TaskFacts, limits: &Limits) -> Vec<Verdict> {
    // Nothing is allocated while no rule applies: an empty vector takes no memory, and each rule is
    // a few comparisons before it answers.
    let mut all = Vec::new();
    let mut add = |verdict: Option<Verdict>| all.extend(verdict);
    add(stranded(task));
    add(left_behind(task, limits));
    add(outlived_parent(task, limits));
    add(idle_orphan(task, limits));
    add(stuck_abortable(task));
    add(ignored_cancel(task, limits));
    add(starved(task, limits));
    add(spinning(task, limits));
    add(wake_storm(task, limits));
    add(never_yields(task, limits));
    add(never_polled(task, limits));
    add(large_future(task, limits));
    add(waker_hoard(task, limits));
    all
}

/// Pending, not queued, polled at least once, no waker alive: nothing can run it by itself.
fn nothing_can_wake(task: &TaskFacts) -> bool {
    task.settled && task.state == State::Wait && task.polls > 0 && task.wakers == 0
}

/// `stranded`, certain: the task is pending and not queued, was polled, and neither a waker nor a
/// handle of it is alive. A waker can only be made from a waker, so this cannot change any more.
///
/// Not of tasks that are allowed to live for ever.
#[must_use]
pub fn stranded(task: &TaskFacts) -> Option<Verdict> {
    (nothing_can_wake(task) && task.handles == 0 && !task.allowed_forever).then(|| {
        let evidence = vec![
            format!(
                "pending and not queued for {}",
                span(task.at_ns.saturating_sub(task.since_ns))
            ),
            "no waker of it is alive".to_owned(),
            "no handle to it is alive".to_owned(),
            match task.polls {
                1 => "polled once, never again".to_owned(),
                polls => format!("polled {polls} times, never again"),
            },
        ];
        verdict(
            FindingName::Stranded,
            Grade::Certain,
            task.since_ns,
            evidence,
        )
    })
}

/// `stuck-abortable`, warning: as [`stranded`], but a handle is alive, so somebody may still
/// cancel it.
///
/// Not of tasks that wait for `pending()`, which is written to be cancelled.
#[must_use]
pub fn stuck_abortable(task: &TaskFacts) -> Option<Verdict> {
    let holds = nothing_can_wake(task)
        && task.handles > 0
        && !task.allowed_forever
        && !task.pending_on_purpose;
    holds.then(|| {
        let evidence = vec![
            format!(
                "pending and not queued for {}",
                span(task.at_ns.saturating_sub(task.since_ns))
            ),
            "no waker of it is alive".to_owned(),
            format!("handles that could cancel it: {}", task.handles),
        ];
        verdict(
            FindingName::StuckAbortable,
            Grade::Warning,
            task.since_ns,
            evidence,
        )
    })
}

/// `left-behind`, left behind: the task has not ended though the run, scope or test that it
/// belongs to has, longer ago than the grace, or that scope found its own grace over.
///
/// Not of tasks that are allowed to live for ever.
#[must_use]
pub fn left_behind(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let ended_at = task.scope_ended_ns?;
    let late = task.at_ns.saturating_sub(ended_at);
    let over = task.grace_over || late >= limits.grace_ns;
    let holds = task.state != State::Done && over && !task.allowed_forever;
    holds.then(|| {
        let asked = match task.cancel_requested_ns {
            Some(_) => "it was asked to stop",
            None => "nobody asked it to stop",
        };
        let evidence = vec![
            format!("its run, scope or test ended {} ago", span(late)),
            format!("the grace of {} is over", span(limits.grace_ns)),
            asked.to_owned(),
        ];
        verdict(
            FindingName::LeftBehind,
            Grade::LeftBehind,
            ended_at,
            evidence,
        )
        .measured(late, limits.grace_ns)
    })
}

/// `outlived-parent`, suspect: the task has not ended, no handle to it is alive, and its parent
/// ended longer ago than the limit. Or its group was dropped without waiting for it: that at once.
///
/// Not of tasks that are allowed to live for ever, unless their group is gone.
#[must_use]
pub fn outlived_parent(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    if let Some(dropped_at) = task.group_dropped_ns
        && task.state != State::Done
    {
        let alone = task.at_ns.saturating_sub(dropped_at);
        let evidence = vec![
            format!(
                "its group was dropped unfinished, {} ago or more",
                span(alone)
            ),
            "it was asked to cancel and has not ended".to_owned(),
        ];
        let verdict = verdict(
            FindingName::OutlivedParent,
            Grade::Suspect,
            dropped_at,
            evidence,
        );
        return Some(verdict.measured(alone, 0));
    }
    let ended_at = task.parent_ended_ns?;
    let alone = task.at_ns.saturating_sub(ended_at);
    let holds = task.state != State::Done
        && task.handles == 0
        && alone >= limits.outlive_ns
        && !task.allowed_forever;
    holds.then(|| {
        let evidence = vec![
            match task.parent_end_forgotten {
                false => format!("the task that spawned it ended {} ago", span(alone)),
                true => format!(
                    "the task that spawned it ended {} ago or more: its ended row was overwritten before it was read",
                    span(alone)
                ),
            },
            "no handle to it is alive".to_owned(),
        ];
        verdict(
            FindingName::OutlivedParent,
            Grade::Suspect,
            ended_at,
            evidence,
        )
        .measured(alone, limits.outlive_ns)
    })
}

/// `idle-orphan`, suspect: the task waits, no handle to it is alive, it waits for no timer, and it
/// has slept for longer than the limit and than so many times what is usual at its place. What is
/// usual must be known.
///
/// Not of tasks that wait for visitors (listening sockets, signals, children, jobs, other tasks), that
/// nothing can wake (those are [`stranded`]), or that are allowed to live for ever.
#[must_use]
pub fn idle_orphan(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let usual = task.usual_idle_ns?;
    let idle = task.at_ns.saturating_sub(task.since_ns);
    let limit = limits.idle_ns.max(usual.saturating_mul(limits.idle_factor));
    let holds = task.state == State::Wait
        && task.handles == 0
        && task.wakers > 0
        && !task.waits_for_timer
        && !task.waits_for_visitors
        && !task.allowed_forever
        && idle >= limit;
    holds.then(|| {
        let evidence = vec![
            format!("not woken for {}", span(idle)),
            format!(
                "tasks of its place usually wait for less than {}, by {} waits that were looked at",
                span(usual),
                task.usual_of
            ),
            "no handle to it is alive, and it waits for no timer".to_owned(),
        ];
        verdict(
            FindingName::IdleOrphan,
            Grade::Suspect,
            task.since_ns,
            evidence,
        )
        .measured(idle, limit)
    })
}

/// `ignored-cancel`, warning: cancelling it was requested longer ago than the limit, and it has
/// not ended.
#[must_use]
pub fn ignored_cancel(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let asked_at = task.cancel_requested_ns?;
    let ignored = task.at_ns.saturating_sub(asked_at);
    (task.state != State::Done && ignored >= limits.cancel_ns).then(|| {
        let evidence = vec![
            match task.cancel_forgotten {
                false => format!("asked to stop {} ago", span(ignored)),
                true => format!(
                    "asked to stop {} ago or more: when is forgotten, since many others were asked",
                    span(ignored)
                ),
            },
            match task.state {
                State::Run => "it is being polled".to_owned(),
                State::Ready => "it waits for its turn".to_owned(),
                _ => format!(
                    "it has waited for {}",
                    span(task.at_ns.saturating_sub(task.since_ns))
                ),
            },
        ];
        verdict(
            FindingName::IgnoredCancel,
            Grade::Warning,
            asked_at,
            evidence,
        )
        .measured(ignored, limits.cancel_ns)
    })
}

/// `starved`, warning: the task was polled before, is ready, and has waited for its turn for
/// longer than the limit.
#[must_use]
pub fn starved(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let waited = task.at_ns.saturating_sub(task.since_ns);
    (task.state == State::Ready && task.polls > 0 && waited >= limits.starve_ns).then(|| {
        let mut evidence = vec![format!("woken {} ago and not polled since", span(waited))];
        evidence.extend(
            task.ready_tasks
                .map(|ready| format!("tasks ready on its loop: {ready}")),
        );
        verdict(
            FindingName::Starved,
            Grade::Warning,
            task.since_ns,
            evidence,
        )
        .measured(waited, limits.starve_ns)
    })
}

/// `never-polled`, warning: the task is ready since it was spawned, longer than the limit ago.
#[must_use]
pub fn never_polled(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let waited = task.at_ns.saturating_sub(task.since_ns);
    (task.state == State::Ready && task.polls == 0 && waited >= limits.first_poll_ns).then(|| {
        let mut evidence = vec![format!("spawned {} ago and not polled once", span(waited))];
        evidence.extend(
            task.ready_tasks
                .map(|ready| format!("tasks ready on its loop: {ready}")),
        );
        verdict(
            FindingName::NeverPolled,
            Grade::Warning,
            task.since_ns,
            evidence,
        )
        .measured(waited, limits.first_poll_ns)
    })
}

/// `never-yields`, warning: the task is in its first poll, and that has lasted for longer than the
/// limit by the clock on the wall.
#[must_use]
pub fn never_yields(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let ran = task.at_ns.saturating_sub(task.since_ns);
    // Whether the poll that runs is counted already depends on when the reader came by.
    (task.state == State::Run && task.polls <= 1 && ran >= limits.yield_ns).then(|| {
        let evidence = vec![
            format!("its first poll has lasted {}", span(ran)),
            "it has not reached an await that waits".to_owned(),
        ];
        verdict(
            FindingName::NeverYields,
            Grade::Warning,
            task.since_ns,
            evidence,
        )
        .measured(ran, limits.yield_ns)
    })
}

/// `count` in `length_ns`, a second.
fn a_second(count: u64, length_ns: u64) -> u64 {
    (u128::from(count) * 1_000_000_000 / u128::from(length_ns.max(1)))
        .try_into()
        .unwrap_or(u64::MAX)
}

/// A window shorter than this says nothing of a rate.
const RATE_WINDOW_NS: u64 = 500_000_000;

/// `spinning`, warning: in a window of at least half a second it was polled at least so often a
/// second, woke itself for at least such a share of its polls, and these were so short on average
/// that they can have got nothing done: who works and lets others have a turn does not spin. It was
/// not at rest when the window began, nor when it ended: who wakes itself some times and then waits
/// does not spin either.
#[must_use]
pub fn spinning(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let window = task
        .window
        .filter(|window| window.length_ns >= RATE_WINDOW_NS)?;
    let polls = a_second(window.polls, window.length_ns);
    let mean = window.busy_ns / window.polls.max(1);
    let holds = polls >= limits.spin_polls
        && window.went_on
        && window.self_wakes as f64 >= window.polls as f64 * limits.spin_share
        && mean <= limits.storm_poll_ns;
    holds.then(|| {
        let share = window.self_wakes.saturating_mul(100) / window.polls.max(1);
        let evidence = vec![
            format!("woke itself for {} % of its polls", share.min(100)),
            format!("{polls} polls a second over {}", span(window.length_ns)),
            format!("a poll took {} on average", span(mean)),
        ];
        verdict(
            FindingName::Spinning,
            Grade::Warning,
            task.at_ns.saturating_sub(window.length_ns),
            evidence,
        )
    })
}

/// `wake-storm`, warning: in a window of at least half a second others woke it at least so often a
/// second, and its polls were so short on average that they can have got nothing done.
#[must_use]
pub fn wake_storm(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let window = task
        .window
        .filter(|window| window.length_ns >= RATE_WINDOW_NS)?;
    let wakes = a_second(
        window.wakes.saturating_sub(window.self_wakes),
        window.length_ns,
    );
    let mean = window.busy_ns / window.polls.max(1);
    (wakes >= limits.storm_wakes && mean <= limits.storm_poll_ns).then(|| {
        let evidence = vec![
            format!(
                "woken {wakes} times a second over {}",
                span(window.length_ns)
            ),
            format!("a poll took {} on average", span(mean)),
        ];
        verdict(
            FindingName::WakeStorm,
            Grade::Warning,
            task.at_ns.saturating_sub(window.length_ns),
            evidence,
        )
    })
}

/// `large-future`, warning: the future has at least so many bytes.
#[must_use]
pub fn large_future(task: &TaskFacts, limits: &Limits) -> Option<Verdict> {
    let bytes = task.future_bytes?;
    (bytes >= limits.future_bytes).then(|| {
        let evidence = vec![format!(
            "its future has {bytes} bytes, the limit is {}",
            limits.future_bytes
        )];
        verdict(
            FindingName::LargeFuture,
            Grade::Warning,
            task.since_ns,
            evidence,
        )
    })
}

/// `unread-error`, warning: the task ended with an error or a panic, nobody took it, and no handle
/// is left to take it with.
#[must_use]
pub fn unread_error(task: &EndedFacts) -> Option<Verdict> {
    let failed = matches!(task.outcome, Outcome::Error | Outcome::Panicked);
    (failed && !task.result_taken && task.handles == 0).then(|| {
        let how = if task.outcome == Outcome::Panicked {
            "it panicked"
        } else {
            "it returned an error"
        };
        let evidence = vec![
            how.to_owned(),
            "all handles were dropped before anybody took the result".to_owned(),
        ];
        verdict(
            FindingName::UnreadError,
            Grade::Warning,
            task.ended_at_ns,
            evidence,
        )
    })
}

/// `blocking-call`, warning: a poll made a call that may hold its thread, which was met at the call
/// itself.
#[must_use]
pub fn blocking_call(call: &CallFacts) -> Verdict {
    let times = match call.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let mut evidence = vec![format!("called {} in a poll, {times}", call.call)];
    if !call.through.is_empty() {
        evidence.push(format!("through {}", call.through.join(", ")));
    }
    if let Some(longest) = call.longest_ns {
        evidence.push(format!("the longest took {}", span(longest)));
    }
    let mut verdict = verdict(
        FindingName::BlockingCall,
        Grade::Warning,
        call.first_ns,
        evidence,
    );
    verdict.measured_ns = call.longest_ns;
    verdict
}

/// `blocked`. Certain: the lower end of the bracket is over the budget and the watchdog did not
/// oversleep. Suspect: the host does not tell how long the thread waited for a CPU, and the wall's
/// clock is over the budget. Nothing is said of a block whose thread waits for a CPU right now.
#[must_use]
pub fn blocked(block: &BlockFacts) -> Option<Verdict> {
    if block.vetoed || block.waiting_for_cpu {
        return None;
    }
    let (grade, measured) = match block.lower_ns {
        Some(lower) => (Grade::Certain, lower),
        None => (
            Grade::Suspect,
            block.wall_ns.saturating_sub(block.allowed_ns),
        ),
    };
    (measured > block.budget_ns).then(|| {
        let mut evidence = vec![
            match (block.lower_ns, block.upper_ns) {
                (Some(lower), Some(upper)) if upper > lower => {
                    format!("held its loop between {} and {}", span(lower), span(upper))
                }
                (Some(lower), _) => format!("held its loop for at least {}", span(lower)),
                (None, _) => {
                    "how long the thread waited for a CPU is not known on this host".to_owned()
                }
            },
            format!(
                "{} by the clock on the wall, the budget is {}",
                span(block.wall_ns),
                span(block.budget_ns)
            ),
        ];
        if block.allowed_ns > 0 {
            evidence.push(format!(
                "and {} in which it was allowed to block: {}",
                span(block.allowed_ns),
                block.allowed_reason
            ));
        }
        verdict(FindingName::Blocked, grade, block.started_at_ns, evidence)
            .measured(measured, block.budget_ns)
    })
}

/// `late-timer`, warning: the timer is due longer ago than the limit and has not fired, or was
/// late by more than the limit when it last did.
#[must_use]
pub fn late_timer(timer: &TimerFacts, limits: &Limits) -> Option<Verdict> {
    let late_now = timer.at_ns.saturating_sub(timer.due_ns);
    let (late, what) = match timer.last_late_ns {
        _ if late_now >= limits.late_ns => (late_now, "due and not fired for"),
        Some(late) if late >= limits.late_ns => (late, "when it last fired it was late by"),
        _ => return None,
    };
    let since = timer.at_ns.saturating_sub(late_now);
    Some(
        verdict(
            FindingName::LateTimer,
            Grade::Warning,
            since,
            vec![format!("{what} {}", span(late))],
        )
        .measured(late, limits.late_ns),
    )
}
