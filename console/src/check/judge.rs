//! Evidence against a budget: what is over it, what could not be told, and the exit code that follows. Pure.

use loop_proto::budget::{Budget, Figure, Limit, Measure};
use loop_proto::pb;

use crate::check::evidence::Evidence;
use crate::cli::Deny;
use crate::exit::Exit;
use crate::print::json::grade;
use crate::store::{BlockRow, Finding, Goto, Grade};
use crate::view::fmt;

/// A share of the time without a CPU above which nothing is said of durations.
const NOISE: f64 = 0.2;
/// Fewer values than this make no 90th or 99th percentile.
const FEW: u64 = 200;

/// One thing over budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// The limit it is over, as it was written: `block=100ms`, `deny suspect`.
    pub limit: String,
    pub name: String,
    pub grade: String,
    /// Task, timer or loop, in words; empty: none.
    pub subject: String,
    pub task: Option<u64>,
    pub place: String,
    pub duration_ns: Option<u64>,
    /// From what the kernel said; empty: nothing about a cause is known or asked.
    pub cause: String,
    pub facts: Vec<String>,
    pub fingerprint: String,
    pub count: u64,
}

/// One run, scope or test, and what is over budget in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    pub evidence: Evidence,
    pub problems: Vec<Problem>,
    /// Why it is not known whether it keeps the budget.
    pub doubts: Vec<String>,
}

/// How the command of `check -- CMD` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
    /// `--for` was over, so the gate stopped it: not its fault.
    Stopped,
}

impl End {
    /// What it is called, with the number.
    pub fn words(self) -> String {
        match self {
            End::Code(code) => format!("exit code {code}"),
            End::Signal(signal) => format!("signal {signal}"),
            End::Stopped => "stopped at the end of --for".to_owned(),
        }
    }

    /// It is no success, and not of our making.
    pub fn failed(self) -> bool {
        !matches!(self, End::Code(0) | End::Stopped)
    }
}

/// All that the gate has to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub budget: Budget,
    pub judged: Vec<Judged>,
    /// Processes that speak another major version of the protocol.
    pub gaps: Vec<String>,
    /// Doubts about the whole: nobody connected, a process went without its last word.
    pub doubts: Vec<String>,
    pub processes: usize,
    /// The command's own end; `None`: a running app was judged.
    pub command: Option<End>,
    pub interrupted: bool,
    pub took_ns: u64,
}

impl Report {
    /// The code to leave with, by the published precedence.
    pub fn exit(&self) -> Exit {
        let mut reasons = Vec::new();
        if !self.gaps.is_empty() {
            reasons.push(Exit::VersionGap);
        }
        if self.judged.iter().any(|j| !j.problems.is_empty()) {
            reasons.push(Exit::Findings);
        }
        if self.interrupted {
            reasons.push(Exit::Interrupted);
        }
        if self.command.is_some_and(End::failed) {
            reasons.push(Exit::Command);
        }
        if !self.doubts.is_empty() || self.judged.iter().any(|j| !j.doubts.is_empty()) {
            reasons.push(Exit::Inconclusive);
        }
        Exit::first(reasons)
    }

    pub fn problems(&self) -> usize {
        self.judged.iter().map(|j| j.problems.len()).sum()
    }

    /// The longest poll of any run, by the wall's clock.
    pub fn worst_poll_ns(&self) -> Option<u64> {
        self.judged
            .iter()
            .filter_map(|j| j.evidence.poll.as_ref())
            .map(|h| h.max_ns)
            .max()
    }
}

/// Judges one run.
pub fn judge(evidence: Evidence, budget: &Budget, deny: &[Deny]) -> Judged {
    let mut judged = Judged {
        evidence,
        ..Judged::default()
    };
    let e = judged.evidence.clone();
    for limit in &budget.limits {
        match *limit {
            Limit::Block(ns) => blocks(&mut judged, &e, ns, limit),
            Limit::Leak(allowed) => {
                counted(
                    &mut judged,
                    limit.to_string(),
                    allowed,
                    e.findings.iter().filter(|f| is_leak(f)),
                );
            }
            Limit::Finding(name, allowed) => {
                let of = e
                    .findings
                    .iter()
                    .filter(|f| f.user && f.name == name.word());
                counted(&mut judged, limit.to_string(), allowed, of);
            }
            Limit::Time(measure, figure, ns) => time(&mut judged, &e, measure, figure, ns, limit),
        }
    }
    for denied in deny {
        let words = match denied {
            Deny::Suspect => "suspect",
            Deny::Warning => "warning",
            Deny::Name(name) => name.word(),
        };
        let of = |f: &Finding| match denied {
            Deny::Suspect => f.grade == Grade::Suspect,
            Deny::Warning => f.grade == Grade::Warning,
            Deny::Name(name) => f.name == name.word(),
        };
        let seen: Vec<String> = judged
            .problems
            .iter()
            .map(|p| p.fingerprint.clone())
            .filter(|f| !f.is_empty())
            .collect();
        let found = e
            .findings
            .iter()
            .filter(|f| f.user && of(f) && !seen.contains(&f.fingerprint));
        counted(&mut judged, format!("deny {words}"), 0, found);
        if e.lost > 0 && matches!(denied, Deny::Suspect) {
            judged.doubts.push(format!(
                "{} events were lost: suspects that rest on them may be missing; raise the ring's size or ask for fewer events",
                fmt::count(e.lost)
            ));
        }
    }
    // What is certain first, as everywhere; of one grade in the order of the limits.
    let worst = [
        Grade::Certain,
        Grade::LeftBehind,
        Grade::Suspect,
        Grade::Warning,
    ];
    judged
        .problems
        .sort_by_key(|p| worst.iter().position(|g| grade(*g) == p.grade));
    judged.doubts.extend(e.doubts.iter().cloned());
    if let Some(noise) = e
        .host_noise
        .filter(|noise| *noise > NOISE && budget.limits.iter().any(|l| may_hide(&e, l)))
    {
        // The kernel counts both as waits of a thread that could run.
        let mend = match e.throttled().find_map(|b| b.quota_cpus) {
            Some(cpus) => format!(
                "also since the quota of {} held them up; raise it, or run it on a quieter machine",
                loop_proto::blocking::quota(cpus)
            ),
            None => "run it on a quieter machine".to_owned(),
        };
        judged.doubts.push(format!(
            "the host is too noisy to judge durations: its threads were runnable without a CPU for {} of the time; {mend}",
            fmt::percent(noise)
        ));
    }
    judged
}

/// The distribution that a limit of time is about; `None`: the app did not tell it.
fn measured(e: &Evidence, measure: Measure) -> Option<&pb::Histogram> {
    match measure {
        Measure::Lag => e.lag.as_ref(),
        Measure::Poll => e.poll.as_ref(),
        Measure::Late => e.late.as_ref(),
        Measure::Scheduled => e.scheduled.as_ref(),
    }
}

/// Whether a noisy host can have changed what is said of this limit: not if even the wall's clock never passed it.
fn may_hide(e: &Evidence, limit: &Limit) -> bool {
    let (measure, ns) = match *limit {
        Limit::Block(ns) => (Measure::Poll, ns),
        Limit::Time(measure, _, ns) => (measure, ns),
        Limit::Leak(_) | Limit::Finding(..) => return false,
    };
    measured(e, measure).is_none_or(|h| h.max_ns > ns)
}

/// `leak=` counts definite leaks of the user's own tasks.
fn is_leak(f: &Finding) -> bool {
    f.user
        && matches!(f.grade, Grade::Certain | Grade::LeftBehind)
        && pb::FindingName::from_word(&f.name).is_some_and(pb::FindingName::is_leak)
}

/// Findings may be folded, so each counts as often as it says.
fn counted<'a>(
    judged: &mut Judged,
    limit: String,
    allowed: u64,
    found: impl Iterator<Item = &'a Finding>,
) {
    let found: Vec<&Finding> = found.collect();
    let count = found
        .iter()
        .fold(0u64, |sum, f| sum.saturating_add(f.count.max(1)));
    if count > allowed {
        judged
            .problems
            .extend(found.into_iter().map(|f| of_finding(f, &limit)));
    }
}

fn of_finding(f: &Finding, limit: &str) -> Problem {
    Problem {
        limit: limit.to_owned(),
        name: f.name.clone(),
        grade: grade(f.grade).to_owned(),
        subject: crate::view::columns::subject(f),
        task: match f.subject {
            Some(Goto::Task(id)) => Some(id),
            _ => None,
        },
        place: f.place.clone(),
        duration_ns: f.measured_ns,
        cause: String::new(),
        facts: f.evidence.clone(),
        fingerprint: f.fingerprint.clone(),
        count: f.count.max(1),
    }
}

/// A block needs the lower end of its bracket over budget: what the host may have done is taken off.
fn blocks(judged: &mut Judged, e: &Evidence, budget_ns: u64, limit: &Limit) {
    let over = |b: &&BlockRow| !b.wall_only && !b.vetoed && b.for_ns > budget_ns;
    judged
        .problems
        .extend(e.blocks.iter().filter(over).map(|b| of_block(b, limit, e)));
    let unsure = e
        .blocks
        .iter()
        .filter(|b| b.wall_only && !b.vetoed && b.for_ns > budget_ns)
        .count();
    if unsure > 0 {
        judged.doubts.push(format!(
            "{} took longer than {} by the wall's clock, and this host does not tell how long the thread had no CPU",
            fmt::many(unsure as u64, "poll"),
            fmt::span(budget_ns)
        ));
    }
    // Shorter blocks than the app records could still be over our budget, unless no poll was that long at all.
    let longest = e.poll.as_ref().map(|h| h.max_ns);
    // The app's own limit comes from ticks, so it is only about what was asked for.
    let recorded_from = e.recorded_from_ns - e.recorded_from_ns / 100;
    if budget_ns < recorded_from && longest.is_none_or(|max| max > budget_ns) {
        judged.doubts.push(format!(
            "the app records blocks only from {} on, so polls between that and the budget of {} were not judged; \
             start it with a block budget of {} or less",
            fmt::span(e.recorded_from_ns),
            fmt::span(budget_ns),
            fmt::span(budget_ns)
        ));
    }
    // They come worst first, so what is no longer kept is shorter than the last that is.
    let mut counted = e.blocks.iter().filter(|b| !b.is_uncounted()).peekable();
    let kept = counted.clone().count() as u64;
    let all_over = counted.peek().is_some() && counted.all(|b| over(&b));
    if e.blocks_total > kept
        && all_over
        && let Some(problem) = judged.problems.iter_mut().find(|p| p.name == "blocked")
    {
        let gone = fmt::many(e.blocks_total - kept, "block");
        problem
            .facts
            .push(format!("{gone} more were seen and are no longer kept."));
    }
}

fn of_block(b: &BlockRow, limit: &Limit, e: &Evidence) -> Problem {
    let subject = match b.task {
        Some(id) => format!("task {id} {}", b.name).trim_end().to_owned(),
        None => format!("loop {} ({})", b.loop_id, b.doing),
    };
    // The same block is also a finding, which knows its name across builds.
    let fingerprint = e
        .findings
        .iter()
        .find(|f| f.name == "blocked" && f.place == b.place)
        .map(|f| f.fingerprint.clone())
        .unwrap_or_default();
    let mut facts = vec![match b.at_most_ns {
        Some(most) => format!(
            "Held its loop for at least {} and at most {} (budget {}).",
            fmt::span(b.for_ns),
            fmt::span(most),
            fmt::span(b.budget_ns)
        ),
        None => format!(
            "Held its loop for at least {} (budget {}).",
            fmt::span(b.for_ns),
            fmt::span(b.budget_ns)
        ),
    }];
    if b.allowed_ns > 0 {
        let allowed = fmt::span(b.allowed_ns);
        facts.push(format!(
            "Beside that it was allowed to block for {allowed}: {}.",
            b.allowed
        ));
    }
    if let Some(n) = b.waited.filter(|n| *n > 0) {
        let worst = b.waited_worst_ns.map_or_else(String::new, |ns| {
            format!(", the longest for {}", fmt::span(ns))
        });
        facts.push(format!("{} waited behind it{worst}.", fmt::many(n, "task")));
    }
    let agreement = b.agreement();
    if b.samples.len() > 1 {
        facts.push(format!(
            "Its stack was taken {} times: {agreement}.",
            b.samples.len()
        ));
    }
    if b.samples.is_empty() && !b.no_stack.is_empty() {
        facts.push(format!("There is no stack of it: {}.", b.no_stack));
    }
    if !b.advice.is_empty() && !b.cause.is_empty() {
        facts.push(b.advice.to_owned());
    }
    if !b.place_from.is_empty() && b.place_from != "stack" {
        facts.push(format!("The place is that of its {}.", b.place_from));
    }
    Problem {
        limit: limit.to_string(),
        name: "blocked".to_owned(),
        grade: "certain".to_owned(),
        subject,
        task: b.task,
        place: b.place.clone(),
        duration_ns: Some(b.for_ns),
        cause: match (b.cause.as_str(), b.cause_reason.as_str()) {
            ("", "") => "unknown".to_owned(),
            // Some reasons say themselves that they are none.
            ("", why) => match why.strip_prefix("cause ") {
                Some(why) => why.to_owned(),
                None => format!("unknown ({why})"),
            },
            (cause, "") => cause.to_owned(),
            (cause, why) => format!("{cause} ({why})"),
        },
        facts,
        fingerprint,
        count: 1,
    }
}

fn time(
    judged: &mut Judged,
    e: &Evidence,
    measure: Measure,
    figure: Figure,
    limit_ns: u64,
    limit: &Limit,
) {
    let Some(h) = measured(e, measure) else {
        judged.doubts.push(format!(
            "the app did not tell what `{}` needs",
            limit.name()
        ));
        return;
    };
    // The exact longest settles it for every figure.
    if h.count == 0 || h.max_ns <= limit_ns {
        return;
    }
    if matches!(figure, Figure::P90 | Figure::P99) && h.count < FEW {
        judged.doubts.push(format!(
            "{} values are too few to judge `{}` (the longest is {}); at least {FEW} are needed",
            h.count,
            limit.name(),
            fmt::span(h.max_ns)
        ));
        return;
    }
    let (low, shown) = match figure {
        Figure::Max => (h.max_ns, h.max_ns),
        _ => h
            .quantile(figure.share())
            .map_or((0, 0), |range| (range.low, range.middle())),
    };
    if low > limit_ns {
        judged.problems.push(Problem {
            limit: limit.to_string(),
            name: limit.name(),
            grade: "certain".to_owned(),
            duration_ns: Some(shown),
            facts: vec![format!(
                "{} of {} values, the limit is {}.",
                fmt::span(shown),
                fmt::count(h.count),
                fmt::span(limit_ns)
            )],
            count: 1,
            ..Problem::default()
        });
    }
}

#[cfg(test)]
mod tests;
