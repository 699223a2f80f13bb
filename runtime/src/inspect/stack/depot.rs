//! Stacks of tasks that nobody blocks with: where they wait, and where they were spawned.
//!
//! One for the process. Whoever shows a task asks here and never waits: what is not known yet is
//! asked for, and is here when somebody asks again. The work is `worker`'s, on a thread of its own.
//! Knows no viewer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Stack;
use super::names::Line;
use crate::clock;
use crate::record::LoopRecord;
use crate::record::task::{State, TaskFacts};
use crate::record::watched::WISHED;
use crate::record::wish;

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod worker;

/// Tasks whose await stacks are kept.
const AWAITS: usize = 256;
/// Spawns whose stacks are kept, and how many different stacks.
const SPAWNS: usize = 1 << 16;
const STACKS: usize = 4096;

/// How an await stack was come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AwaitHow {
    /// Copied as the task went to wait.
    Pending,
    /// Read in memory, told by the debug information.
    DebugInfo,
}

/// A stack, its names once they were found, and how it came.
type Named = (Arc<Stack>, Option<Arc<[Line]>>, AwaitHow);

/// What is known of where a task waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaits {
    /// The frames and, once they were found, their names; the tick they are of; how they came.
    pub(crate) stack: Option<Named>,
    /// Why there is none, or no better one. Empty: nothing is amiss.
    pub(crate) why: String,
    /// It is copied at its next wait, which has not come.
    pub(crate) asked: bool,
    /// It is being read, so that the next answer may tell more.
    pub(crate) reading: bool,
    /// Ticks of the loop's that the copy took.
    pub(crate) took: u64,
}

/// A stack that spawns have in common, and its names once somebody asked.
#[derive(Debug)]
pub(crate) struct SpawnStack {
    pub(crate) stack: Arc<Stack>,
    pub(crate) lines: OnceLock<Arc<[Line]>>,
}

/// A stack that was copied as the task went to wait.
#[derive(Clone, Debug)]
struct Copied {
    stack: Arc<Stack>,
    lines: Arc<[Line]>,
    /// Polls of the task once that poll was over.
    polls: u64,
    took: u64,
}

/// What memory and debug information told.
#[derive(Clone, Debug)]
struct Told {
    /// Polls of the task at that time.
    polls: u64,
    found: Result<(Arc<Stack>, Arc<[Line]>), String>,
    short: String,
}

/// What is known of one task.
#[derive(Debug, Default)]
struct Task {
    copied: Option<Copied>,
    told: Option<Told>,
    /// A copy was asked for, and when.
    asked: Option<u64>,
    /// It is being read, since that many polls.
    reading: bool,
}

#[derive(Default)]
struct Kept {
    tasks: HashMap<u64, Task>,
    order: VecDeque<u64>,
    spawns: HashMap<u64, Arc<SpawnStack>>,
    spawned: VecDeque<u64>,
    stacks: HashMap<Vec<u64>, Arc<SpawnStack>>,
    /// Since when debug information is being read, nanoseconds.
    reading_since: Option<u64>,
    /// Why there is no debug information, once that is known.
    no_debug_info: Option<String>,
}

impl Kept {
    fn task(&mut self, id: u64) -> &mut Task {
        if !self.tasks.contains_key(&id) {
            if self.order.len() == AWAITS
                && let Some(oldest) = self.order.pop_front()
            {
                self.tasks.remove(&oldest);
            }
            self.order.push_back(id);
        }
        self.tasks.entry(id).or_default()
    }

    /// A spawn of task `id` had this stack.
    fn spawned(&mut self, id: u64, stack: Stack) {
        let addresses: Vec<u64> = stack.frames.iter().map(|frame| frame.address).collect();
        if self.stacks.len() == STACKS && !self.stacks.contains_key(&addresses) {
            // Those that no kept spawn refers to any more.
            self.stacks.retain(|_, stack| Arc::strong_count(stack) > 1);
            if self.stacks.len() == STACKS {
                return;
            }
        }
        let stack = self.stacks.entry(addresses).or_insert_with(|| {
            Arc::new(SpawnStack {
                stack: Arc::new(stack),
                lines: OnceLock::new(),
            })
        });
        let stack = stack.clone();
        if self.spawned.len() == SPAWNS
            && let Some(oldest) = self.spawned.pop_front()
        {
            self.spawns.remove(&oldest);
        }
        self.spawned.push_back(id);
        self.spawns.insert(id, stack);
    }
}

/// A task to read: its loop, its row, its id.
type Suspect = (Arc<LoopRecord>, u32, u64);

#[cfg_attr(
    not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )),
    allow(dead_code)
)]
enum Job {
    /// Take in what loops have copied.
    Look,
    Read(Suspect),
    Name(Arc<SpawnStack>),
}

/// What is kept, and the way to the thread that does the work.
pub(crate) struct Depot {
    kept: Mutex<Kept>,
    /// Forks before the thread was made: in the child of a later one it does not run.
    jobs: Mutex<Option<(u64, std::sync::mpsc::Sender<Job>)>>,
}

static DEPOT: OnceLock<Depot> = OnceLock::new();

/// The one of this process.
pub(crate) fn depot() -> &'static Depot {
    DEPOT.get_or_init(|| Depot {
        kept: Mutex::default(),
        jobs: Mutex::new(None),
    })
}

impl Depot {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `job` over. Errors: there is nobody to do it, in words.
    fn send(&'static self, job: Job) -> Result<(), String> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let forks = crate::os::forks();
        if jobs.as_ref().is_none_or(|(made, _)| *made != forks) {
            let (sender, receiver) = std::sync::mpsc::channel();
            start(self, receiver)?;
            *jobs = Some((forks, sender));
        }
        let (_, sender) = jobs.as_ref().expect("it was made just now");
        if sender.send(job).is_err() {
            // The thread has panicked, and said so; another one is made next time.
            *jobs = None;
            return Err("the thread that takes stacks has died".to_owned());
        }
        Ok(())
    }

    /// Where the live task of `facts` waits. With `ask`, what is not known is found out.
    pub(crate) fn awaits(
        &'static self,
        record: &Arc<LoopRecord>,
        slot: u32,
        facts: &TaskFacts,
        ask: bool,
    ) -> Awaits {
        let mut failed = String::new();
        if ask && let Err(why) = self.ask(record, slot, facts) {
            failed = why;
        }
        let kept = self.kept();
        let Some(task) = kept.tasks.get(&facts.id) else {
            return Awaits {
                why: failed,
                ..Awaits::default()
            };
        };
        let mut answer = Awaits {
            asked: task.asked.is_some(),
            reading: task.reading,
            why: failed,
            ..Awaits::default()
        };
        let settled = matches!(facts.state, State::Wait | State::Ready);
        let copied = task.copied.as_ref();
        if let Some(copied) = copied.filter(|copied| copied.polls == facts.polls && settled) {
            answer.stack = Some((
                copied.stack.clone(),
                Some(copied.lines.clone()),
                AwaitHow::Pending,
            ));
            answer.took = copied.took;
            return answer;
        }
        let told = task.told.as_ref().filter(|told| told.polls == facts.polls);
        match told.map(|told| (&told.found, &told.short)) {
            Some((Ok((stack, lines)), short)) if settled => {
                answer.stack = Some((stack.clone(), Some(lines.clone()), AwaitHow::DebugInfo));
                answer.why.clone_from(short);
                return answer;
            }
            Some((Err(why), _)) => answer.why.clone_from(why),
            _ => {}
        }
        // An earlier wait is better than none, and said to be one.
        if let Some(copied) = copied {
            answer.stack = Some((
                copied.stack.clone(),
                Some(copied.lines.clone()),
                AwaitHow::Pending,
            ));
            answer.took = copied.took;
            "of an earlier wait: it was polled since".clone_into(&mut answer.why);
            return answer;
        }
        if answer.why.is_empty() && task.reading {
            answer.why = match kept.reading_since {
                Some(since) => format!(
                    "reading debug info, {:.1} s",
                    clock::mono().saturating_sub(since) as f64 / 1e9
                ),
                None => "being read".to_owned(),
            };
        }
        if answer.why.is_empty()
            && let Some(why) = &kept.no_debug_info
        {
            answer.why.clone_from(why);
        }
        answer
    }

    fn ask(
        &'static self,
        record: &Arc<LoopRecord>,
        slot: u32,
        facts: &TaskFacts,
    ) -> Result<(), String> {
        let (read, wish) = {
            let mut kept = self.kept();
            let no_debug_info = kept.no_debug_info.is_some();
            let task = kept.task(facts.id);
            let is_copied = (task.copied.as_ref()).is_some_and(|at| at.polls == facts.polls);
            let is_told = task.told.as_ref().is_some_and(|at| at.polls == facts.polls);
            let waits = matches!(facts.state, State::Wait | State::Ready) && facts.polls > 0;
            let read = waits && !is_copied && !is_told && !task.reading && !no_debug_info;
            task.reading |= read;
            if !is_copied {
                task.asked = Some(clock::mono());
            }
            (read, !is_copied)
        };
        if read {
            self.send(Job::Read((record.clone(), slot, facts.id)))?;
        } else {
            self.send(Job::Look)?;
        }
        // Set after the worker has made itself ready to take it.
        if wish && let Some(row) = record.tasks.get(slot) {
            row.watched.fetch_or(WISHED, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where task `id` was spawned, if that spawn was sampled; why not, in words.
    pub(crate) fn spawn_of(&'static self, id: u64) -> Result<Arc<SpawnStack>, &'static str> {
        let found = self.kept().spawns.get(&id).cloned();
        if let Some(found) = found {
            if found.lines.get().is_none() {
                // Without the thread addresses are shown.
                let _ = self.send(Job::Name(found.clone()));
            }
            return Ok(found);
        }
        Err(match wish::spawn_rate() {
            0 => "spawns are not sampled",
            1 => "it was spawned before spawns were sampled, or is forgotten",
            _ => "its spawn was not among those sampled",
        })
    }

    /// Has one of `rate` spawns taken from now on, or none. Errors: why it cannot.
    pub(crate) fn sample_spawns(&'static self, rate: Option<u32>) -> Result<(), String> {
        if rate.is_some() {
            // Makes the slots ready.
            self.send(Job::Look)?;
        }
        wish::sample_spawns(rate.unwrap_or(0));
        // Has whoever sleeps see that there is something to look at now.
        rate.map_or(Ok(()), |_| self.send(Job::Look))
    }

    /// How spawns are sampled, in words; and whether they are.
    pub(crate) fn sampling(&'static self) -> (bool, String) {
        let (rate, taken) = (wish::spawn_rate(), wish::TAKEN.load(Ordering::Relaxed));
        if rate == 0 {
            return (false, "the spawn place is recorded".to_owned());
        }
        let mut words = match rate {
            1 => "all".to_owned(),
            rate => format!("1 of {rate}"),
        };
        let took = clock::ticks_to_ns(wish::TOOK.load(Ordering::Relaxed));
        if let Some(took) = took.checked_div(taken) {
            words += &format!(", {taken} taken, {took} ns each");
        }
        match lost() {
            0 => {}
            lost => words += &format!(", {lost} lost"),
        }
        (true, words)
    }
}

/// Starts what does the jobs. Errors: why there is none, in words.
fn start(depot: &'static Depot, jobs: std::sync::mpsc::Receiver<Job>) -> Result<(), String> {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    return worker::start(depot, jobs);
    #[cfg(not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    {
        let _ = (depot, jobs);
        Err("stacks are not built in, or not for this platform".to_owned())
    }
}

fn lost() -> u64 {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    return super::taking::snap::lost();
    #[cfg(not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    0
}
