//! A loop that nothing can wake any more: what is done about it, and what is said of it.
//!
//! Knows how tasks and what they wait for are recorded; not how it is found out.

use std::fmt;
use std::sync::Arc;

use crate::clock;
use crate::executor::visible;
use crate::id::LoopId;
use crate::record::LoopRecord;
use crate::record::names::numbered;
use crate::record::resource::{Kind as Thing, ResourceFacts};
use crate::record::standstill::Dead;
use crate::record::task::{Kind, On, State, TaskFacts, WaitingOn, flag};
use crate::spawn::TaskInfo;

/// What a run does when its main task waits and nothing can wake the loop any more.
///
/// That is known, and said, only where it is certain: no timer, no source of I/O that somebody waits
/// for, no signal's handler, no child, no job of an executor, and nobody outside: either the process
/// has no threads but the loop's and the runtime's own, or all that any task waits for is that another
/// one of them ends. A console that is attached is nobody, though somebody at it could cancel a task;
/// nor is a Ctrl-C that nobody listens to. Else the loop waits, as ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnDeadlock {
    /// The run ends with `RunError::Deadlock`.
    #[default]
    Error,
    /// The loop goes on waiting, and only the inspector says so: to look at it with a console, and
    /// to help it on from there.
    Report,
}

/// A loop that nothing could wake any more, as it stood: which tasks waited, where and for what.
///
/// `Display` and `Debug` are the report: a line for the whole, and one a task, 64 at most.
///
/// ```
/// let result = loop_runtime::Builder::new().inspector(false).run(async {
///     let (promise, future) = loop_runtime::create_future::<u32>();
///     let answer = future.await; // Nobody is left to keep the promise: it is here.
///     drop(promise);
///     answer
/// });
/// # if cfg!(not(target_os = "linux")) { return; } // Threads are counted on Linux only.
/// # if std::thread::current().name() != Some("main") { return; }
/// match result {
///     Err(loop_runtime::RunError::Deadlock(deadlock)) => {
///         assert_eq!(deadlock.tasks().len(), 1);
///         assert!(deadlock.to_string().contains(" main waits"));
///     }
///     other => panic!("it ended: {other:?}"),
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Deadlock(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    loop_id: LoopId,
    loop_name: String,
    how: Known,
    /// With what each waits for.
    tasks: Vec<(TaskInfo, String)>,
    more: usize,
}

/// How it is known that nobody outside can wake the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// There is no thread that could.
    NoThread,
    /// All wait for another one's end.
    OnlyJoins,
}

/// So many tasks have a line of their own.
const TOLD: usize = 64;
/// Things that one task waits for and that are told.
const THINGS: usize = 4;

impl Deadlock {
    /// The loop.
    pub fn loop_id(&self) -> LoopId {
        self.0.loop_id
    }

    /// The tasks that waited, the main task first, then the oldest; 64 at most.
    pub fn tasks(&self) -> Vec<&TaskInfo> {
        self.0.tasks.iter().map(|(task, _)| task).collect()
    }

    /// How many more there were.
    pub fn more(&self) -> usize {
        self.0.more
    }

    /// What a loop came to, read from its record on its own thread; `joins`: who awaits whose end.
    pub(super) fn of(record: &LoopRecord, how: Known, joins: &[(u64, u64)]) -> Self {
        let facts = record.tasks.live().filter_map(|(_, row)| row.read());
        let waits = |facts: &TaskFacts| {
            facts.state != State::Done
                && facts.kind != Kind::Callback
                && facts.flags & flag::INTERNAL == 0
        };
        let mut all: Vec<TaskFacts> = facts.filter(waits).collect();
        all.sort_by_key(|facts| (facts.kind != Kind::Main, facts.id));
        let more = all.len().saturating_sub(TOLD);
        let told = all.iter().take(TOLD);
        let tasks = told.map(|facts| {
            (
                TaskInfo::new(record, facts),
                waits_for(record, facts, (&all, joins)),
            )
        });
        Self(Arc::new(Inner {
            loop_id: record.id,
            loop_name: record.name(),
            how,
            tasks: tasks.collect(),
            more,
        }))
    }

    /// The same, as the loop's record keeps it.
    pub(super) fn dead(&self, since: u64) -> Dead {
        let ids = self.0.tasks.iter().map(|(task, _)| task.id().get());
        let tasks: Vec<u64> = ids.collect();
        let lines = std::iter::once(format!(
            "nothing can wake the loop any more: {}",
            self.why()
        ));
        Dead {
            since,
            task: tasks.first().copied().unwrap_or(0),
            lines: lines.chain(self.lines()).collect(),
            tasks,
        }
    }

    fn why(&self) -> &'static str {
        match self.0.how {
            Known::NoThread => {
                "no timer, no I/O, no signal, no child and no job of an executor, and no thread of the app but its own"
            }
            Known::OnlyJoins => {
                "no timer, no I/O, no signal, no child and no job of an executor, and its tasks wait for nothing but each other"
            }
        }
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let line = |(task, waits): &(TaskInfo, String)| {
            let at = match task.waiting_at() {
                at if is_of_the_app(&at) => format!(" at {at}"),
                _ => String::new(),
            };
            let name = task.name();
            visible(&format!("task {} {name} waits{at} {waits}", task.id()))
        };
        let more = (self.0.more > 0).then(|| format!("and {} more", self.0.more));
        self.0.tasks.iter().map(line).chain(more)
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, name) = (self.0.loop_id, visible(&self.0.loop_name));
        write!(
            f,
            "deadlock: nothing can wake loop {id} `{name}` any more: {}",
            self.why()
        )?;
        self.lines().try_for_each(|line| write!(f, "\n  {line}"))?;
        f.write_str(
            "\nmake sure that somebody who still runs completes what they wait for, or limit a wait with `timeout`",
        )
    }
}

impl fmt::Debug for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in somebody's crate, or in the standard library, tells the app's author little.
fn is_of_the_app(at: &str) -> bool {
    !at.is_empty() && !at.starts_with("/rustc/") && !at.contains("/registry/src/")
}

/// What a task waits for, in words.
fn waits_for(
    record: &LoopRecord,
    facts: &TaskFacts,
    (all, joins): (&[TaskFacts], &[(u64, u64)]),
) -> String {
    if facts.wakers <= 0 && facts.waiting_on.kind() != On::Forever {
        return "and no waker of it is left".to_owned();
    }
    if facts.waits == 0 {
        let wakers = facts.wakers;
        let plural = if wakers == 1 { "" } else { "s" };
        return format!(
            "for something that is not the runtime's, which keeps {wakers} waker{plural} of it"
        );
    }
    let joined = joins.iter().filter(|(by, _)| *by == facts.id);
    let mut things: Vec<WaitingOn> = joined
        .map(|(_, id)| WaitingOn::new(On::Task, *id))
        .collect();
    if facts.waits > 1 {
        let rows = record.waits.live().filter_map(|(_, row)| row.read());
        things.extend(
            rows.filter(|wait| wait.task == facts.id)
                .map(|wait| wait.on),
        );
    }
    if !things.contains(&facts.waiting_on) {
        things.push(facts.waiting_on);
    }
    let told: Vec<_> = things
        .iter()
        .take(THINGS)
        .map(|on| words(record, *on, all))
        .collect();
    let first = told.join(", or ");
    match usize::from(facts.waits).saturating_sub(told.len()) {
        0 => format!("for {first}"),
        // What else it waits for keeps no row.
        more => format!("for {first}, or {more} more"),
    }
}

fn words(record: &LoopRecord, on: WaitingOn, all: &[TaskFacts]) -> String {
    let id = on.id();
    match on.kind() {
        On::Task => format!("{} to end", task(record, id, all)),
        On::Resource => match record
            .resources
            .live()
            .find_map(|(_, row)| row.read().filter(|thing| thing.id == id))
        {
            Some(thing) => thing_in_words(record, &thing, all),
            None => "a thing that is gone".to_owned(),
        },
        On::Timer => "a timer that is not armed".to_owned(),
        On::Source => format!("I/O of source {id}, which is not registered any more"),
        On::Job => format!("job {id}, which is over"),
        On::Child => format!("child {id}"),
        On::Signal => format!("signal {id}"),
        On::Turn => "its turn".to_owned(),
        On::Forever => "ever, as `pending` says".to_owned(),
        On::Nothing => "nothing that is known".to_owned(),
    }
}

fn task(record: &LoopRecord, id: u64, all: &[TaskFacts]) -> String {
    match all.iter().find(|other| other.id == id) {
        Some(other) => {
            let name = match other.name.text() {
                Some(text) => numbered(text, other.number),
                None => record
                    .sites
                    .get(other.site)
                    .map_or(String::new(), |site| site.type_name().to_owned()),
            };
            format!("task {id} {name}")
        }
        None => format!("task {id}"),
    }
}

fn thing_in_words(record: &LoopRecord, thing: &ResourceFacts, all: &[TaskFacts]) -> String {
    let kind = match thing.kind {
        Thing::Future => "the promise",
        Thing::Lock => "the lock",
        Thing::Event => "the event",
        Thing::Condition => "the condition",
        Thing::Semaphore => "a permit of the semaphore",
        Thing::Barrier => "the barrier",
        Thing::Queue => "the queue",
        Thing::Channel => "the channel",
        Thing::Group => "the group",
    };
    let name = thing
        .name
        .text()
        .map_or(String::new(), |name| format!(" {name}"));
    let made = thing
        .place
        .map_or(String::new(), |place| format!(" made at {place}"));
    let held = match thing.holder {
        0 => String::new(),
        holder => {
            let ago = clock::ticks().saturating_sub(thing.held_since);
            let ms = clock::ticks_to_ns(ago) / 1_000_000;
            format!(", which {} has had for {ms} ms", task(record, holder, all))
        }
    };
    format!("{kind}{name}{made}{held}")
}
