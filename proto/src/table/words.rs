//! The closed lists of words: each word lies at the number that the schema's enum gives it. Knows
//! no columns.

/// The names of findings, by their number in the schema.
pub const FINDINGS: &[&str] = &[
    "",
    "blocked",
    "stranded",
    "deadlocked",
    "left-behind",
    "outlived-parent",
    "growing",
    "idle-orphan",
    "stuck-abortable",
    "starved",
    "spinning",
    "wake-storm",
    "never-yields",
    "never-polled",
    "late-timer",
    "orphan-timer",
    "abandoned-fd",
    "unread-error",
    "ignored-cancel",
    "large-future",
    "blocking-call",
    "lock-order",
    "waker-hoard",
];

/// The words of each list lie at the number that the schema's enum gives them.
pub(super) const TASK_KINDS: &[&str] = &["", "async", "callback", "main", "adapted"];
pub(super) const TASK_STATES: &[&str] = &["", "run", "ready", "wait", "done"];
pub(super) const WAITS: &[&str] = &[
    "", "nothing", "timer", "io", "task", "future", "resource", "job", "child", "signal",
    "external", "turn", "forever",
];
pub(super) const WAKES: &[&str] = &[
    "", "spawn", "task", "self", "timer", "io", "foreign", "loop", "cancel", "job", "child",
    "signal", "nudge",
];
pub(super) const OUTCOMES: &[&str] = &["", "returned", "error", "panicked", "cancelled", "closed"];
pub(super) const LOOP_STATES: &[&str] = &["", "run", "park", "blocked", "stopped", "closed"];
pub(super) const TIMER_KINDS: &[&str] =
    &["", "sleep", "timeout", "interval", "call_later", "call_at"];
pub(super) const SOURCE_KINDS: &[&str] = &[
    "",
    "tcp",
    "listen",
    "udp",
    "unix",
    "unix-listen",
    "unix-datagram",
    "pipe",
    "child",
    "fd",
];
/// Directions: bit 0 read, bit 1 write.
pub(super) const DIRECTIONS: &[&str] = &["-", "r", "w", "rw"];
pub(super) const JOB_STATES: &[&str] = &["", "queued", "run", "abandoned"];
pub(super) const RESOURCE_KINDS: &[&str] = &[
    "",
    "future",
    "lock",
    "event",
    "condition",
    "semaphore",
    "barrier",
    "queue",
    "channel",
    "group",
    "scope",
    "token",
    "",
    "",
    "",
    "other",
];
pub(super) const RESOURCE_STATES: &[&str] = &[
    "", "free", "held", "pending", "set", "broken", "open", "closed",
];
/// The streams of a child process; the index is the descriptor that the child knows it by.
pub(super) const STREAMS: &[&str] = &["stdin", "stdout", "stderr"];
pub(super) const GRADES: &[&str] = &["", "certain", "left-behind", "suspect", "warning"];
pub(super) const SUBJECTS: &[&str] = &[
    "", "task", "timer", "source", "job", "child", "resource", "loop", "signal", "place",
];
pub(super) const CAUSES: &[&str] = &[
    "",
    "cpu",
    "syscall",
    "lock",
    "page-in",
    "host",
    "stopped",
    "throttled",
];
pub(super) const EVENTS: &[&str] = &[
    "",
    "spawned",
    "finished",
    "polled",
    "woken",
    "slow",
    "blocked",
    "unblocked",
    "timer-armed",
    "timer-fired",
    "timer-cancelled",
    "io-registered",
    "io-ready",
    "io-deregistered",
    "job-queued",
    "job-started",
    "job-finished",
    "child-started",
    "child-exited",
    "cancel-requested",
    "signal",
    "finding-made",
    "finding-cleared",
    "loop-started",
    "loop-closed",
    "viewer-attached",
    "viewer-detached",
    "command-done",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    /// A list of words against the schema's enum: same length, unnamed where the enum has none.
    fn fits(words: &[&str], named: impl Fn(i32) -> Option<&'static str>) {
        for (number, word) in words.iter().enumerate() {
            let name = named(number as i32);
            assert_eq!(
                number > 0 && name.is_some(),
                !word.is_empty(),
                "{word} {number} {name:?}"
            );
        }
        assert_eq!(
            named(words.len() as i32),
            None,
            "a value of the schema has no word: {words:?}"
        );
    }

    #[test]
    fn every_value_of_the_schema_has_a_word_at_its_number() {
        fits(FINDINGS, |n| {
            pb::FindingName::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(TASK_KINDS, |n| {
            pb::TaskKind::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(TASK_STATES, |n| {
            pb::TaskState::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(WAITS, |n| {
            pb::WaitKind::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(WAKES, |n| {
            pb::WakeCause::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(OUTCOMES, |n| {
            pb::Outcome::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(LOOP_STATES, |n| {
            pb::LoopState::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(TIMER_KINDS, |n| {
            pb::TimerKind::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(SOURCE_KINDS, |n| {
            pb::SourceKind::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(JOB_STATES, |n| {
            pb::JobState::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(RESOURCE_STATES, |n| {
            pb::ResourceState::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(RESOURCE_KINDS, |n| {
            pb::ResourceKind::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(GRADES, |n| {
            pb::Grade::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(SUBJECTS, |n| {
            pb::Kind::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(CAUSES, |n| {
            pb::BlockCause::try_from(n).ok().map(|v| v.as_str_name())
        });
        fits(EVENTS, |n| {
            pb::EventKind::try_from(n).ok().map(|v| v.as_str_name())
        });
    }

    #[test]
    fn names_of_findings_are_those_of_the_schema() {
        let words = FINDINGS.iter().enumerate();
        for (number, word) in words.filter(|(_, word)| !word.is_empty()) {
            let name = pb::FindingName::try_from(number as i32)
                .expect("named")
                .as_str_name();
            assert_eq!(
                name,
                format!("FINDING_NAME_{}", word.to_uppercase().replace('-', "_"))
            );
        }
    }
}
