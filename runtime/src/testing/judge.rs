//! What a test may be failed for, read from the loop's own record while it runs.

use std::time::Duration;

use crate::clock;
use crate::context::Organs;
use crate::os::{self, SchedFile};
use crate::record::LoopRecord;
use crate::record::drops::SOME_THREAD;
use crate::record::over::Over;
use crate::record::task::{Kind, Outcome, TaskFacts, flag};
use crate::record::wake::Cause;

/// Polls that were longer than the limit by the loop's own doing.
pub(super) struct Blocks {
    limit: Option<Duration>,
    /// How long this thread has waited for a CPU so far; `None` where the system does not tell.
    delay: Option<SchedFile>,
    before: u64,
    seen: u64,
    found: Vec<String>,
}

impl Blocks {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let delay = limit
            .and_then(|_| SchedFile::open(os::thread_id()).ok())
            .filter(|file| file.read().is_some());
        let before = delay
            .as_ref()
            .and_then(SchedFile::read)
            .map_or(0, |sched| sched.delay);
        Self {
            limit,
            delay,
            before,
            seen: 0,
            found: Vec::new(),
        }
    }

    /// Called after each iteration, which polls at most one task.
    pub(super) fn look(&mut self, organs: &Organs) {
        let Some(limit) = self.limit else { return };
        let now = self
            .delay
            .as_ref()
            .and_then(SchedFile::read)
            .map(|sched| sched.delay);
        let waited = now.map_or(0, |now| now.saturating_sub(self.before));
        self.before = now.unwrap_or(0);
        let record = &organs.record;
        let written = record.over.written();
        for number in std::mem::replace(&mut self.seen, written)..written {
            let Some(over) = record.over.read(number) else {
                continue;
            };
            let wall = clock::ticks_to_ns(over.took.saturating_sub(over.allowed.ticks));
            let own = Duration::from_nanos(wall.saturating_sub(waited));
            if own > limit {
                self.found
                    .push(block(record, &over, own, limit, self.delay.is_some()));
            }
        }
    }

    pub(super) fn findings(&self) -> Vec<String> {
        self.found.clone()
    }
}

fn block(
    record: &LoopRecord,
    over: &Over,
    own: Duration,
    limit: Duration,
    without_waits: bool,
) -> String {
    let who = match over.task {
        Some(task) => task_of(record, task.site, task.id),
        None => format!("the loop's own work ({:?})", over.doing),
    };
    let how = match without_waits {
        true => "without its waits for a CPU",
        false => "by the wall clock, since this system does not tell waits for a CPU",
    };
    format!("blocked: {who} held the loop for {own:.1?} {how}; the budget is {limit:?}")
}

/// What the main task of this loop panicked with, if it did.
pub(super) fn main_panicked(record: &LoopRecord) -> Option<String> {
    let rows = (0..).map_while(|back| record.ended.get(back));
    rows.take(LOOKED)
        .find(|ended| ended.kind == Kind::Main as u8 && ended.outcome == Outcome::Panicked)
        .map(|ended| ended.error)
}

/// Ended rows among which the main task is looked for: it ended last but for its children.
const LOOKED: usize = 256;

/// Tasks that outlived the test.
#[derive(Default)]
pub(super) struct Leaks {
    left: Vec<Left>,
}

/// One of them.
struct Left {
    who: String,
    /// How it lost its last waker, if it has none.
    lost: String,
    facts: TaskFacts,
}

impl Left {
    fn is_stranded(&self) -> bool {
        self.facts.wakers == 0 && self.facts.handles == 0 && self.facts.polls > 0
    }
}

/// How a task that waits came to have no waker.
fn lost(record: &LoopRecord, facts: &TaskFacts) -> String {
    let remembered = record.drops.read();
    let of_it = remembered.drops.iter();
    let of_it = of_it.filter(|drop| drop.task == facts.id && drop.polls == facts.polls);
    match of_it.max_by_key(|drop| drop.at) {
        Some(drop) => {
            let ago = clock::ticks_to_ns(clock::ticks().saturating_sub(drop.at));
            let by = match drop.by {
                Some(Cause::Task(id)) => format!("task {id}"),
                Some(SOME_THREAD) => "another thread".to_owned(),
                Some(Cause::Thread(id)) => format!("thread {id}"),
                Some(Cause::Timer(id)) => format!("timer {id}"),
                Some(Cause::Source(id)) => format!("source {id}"),
                Some(Cause::Signal(id)) => format!("signal {id}"),
                Some(Cause::Nudge) => "a viewer's nudge".to_owned(),
                Some(Cause::Loop | Cause::Spawn) | None => "the loop".to_owned(),
            };
            let ago = Duration::from_nanos(ago);
            format!("its last waker was dropped {ago:.1?} ago by {by}")
        }
        None if facts.woken_at > remembered.forgotten_until => {
            "its last poll kept no waker".to_owned()
        }
        None => "how its last waker went is not known".to_owned(),
    }
}

impl Leaks {
    /// Called once, when the grace is over and before anything is cancelled.
    pub(super) fn look(&mut self, organs: &Organs) {
        let loose = organs
            .record
            .tasks
            .live()
            .filter_map(|(_, row)| row.read_settled().or_else(|| row.read()));
        let loose = loose.filter(|facts| facts.has(flag::LEFT));
        self.left = loose
            .map(|facts| {
                let record = &organs.record;
                let mut who = Left {
                    who: task_of(record, facts.site, facts.id),
                    lost: String::new(),
                    facts,
                };
                if who.is_stranded() {
                    who.lost = lost(record, &who.facts);
                }
                who
            })
            .collect();
    }

    pub(super) fn findings(&self, grace: Duration) -> Vec<String> {
        self.left.iter().map(|left| finding(left, grace)).collect()
    }
}

fn finding(left: &Left, grace: Duration) -> String {
    let Left { who, lost, facts } = left;
    let polls = facts.polls;
    let at = facts
        .waiting_at
        .map_or(String::new(), |at| format!(", awaiting at {at}"));
    if left.is_stranded() {
        return format!(
            "stranded: {who} can never be woken again: no waker and no handle is left; {lost}; polled {polls} times{at}"
        );
    }
    let held = if facts.handles > 0 {
        "; its handle is still held"
    } else {
        ""
    };
    format!(
        "left-behind: {who} was still pending {grace:?} after the test ended; polled {polls} times{at}{held}"
    )
}

/// The task's id, name and spawn place.
fn task_of(record: &LoopRecord, site: u32, id: u64) -> String {
    let site = record.sites.get(site);
    let type_name = site.map_or("", |site| site.type_name());
    let place = site
        .and_then(|site| site.place())
        .map_or("an unknown place".to_owned(), ToString::to_string);
    format!("task {id} `{type_name}`, spawned at {place},")
}

/// The blocking calls that were made inside polls.
#[cfg(feature = "intercept")]
pub(super) fn calls(record: &LoopRecord) -> Vec<String> {
    let mut all: Vec<_> = record.calls.all().collect();
    all.sort_by_key(|called| called.first);
    let mut counted: Vec<(String, u64)> = Vec::new();
    for called in &all {
        let sentence = crate::inspect::calls::sentence(called);
        match counted.iter_mut().find(|(known, _)| *known == sentence) {
            Some((_, count)) => *count += called.count,
            None => counted.push((sentence, called.count)),
        }
    }
    let words = |(sentence, count): (String, u64)| match count {
        1 => sentence,
        count => format!("{sentence}, {count} times"),
    };
    let mut found: Vec<String> = counted.into_iter().map(words).collect();
    if record.calls.beyond() > 0 {
        let beyond = record.calls.beyond();
        found.push(format!("blocking-call: and {beyond} at more places"));
    }
    found
}
