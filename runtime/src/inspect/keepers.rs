//! Who has the handles on a thing, so that it could end a wait for it: the tasks in whose memory they
//! lie, if all of them lie in memory of tasks.
//!
//! A handle is one word, the same in each. All memory that the app may have written is looked
//! through for it; what lies in the future of a task is that task's, and what lies in something that it
//! owns (an `Rc`, an `Arc`, a `Box`, a `Vec`) is theirs who refer to that. Anything else, a thread's stack, a
//! callback, a map on the heap, and also what was left there by a handle that is gone, makes it
//! unknown: then nothing is said. Linux, with the feature `stacks`; elsewhere it is always unknown.
//! Knows no verdict.

use super::ids::{IdMap, IdSet};
use super::stack::read_words;
use super::tables::Look;
use crate::clock;
use crate::record::resource::{Kind, ResourceFacts};

mod boxes;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod memory;
#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "keepers/no_memory.rs"]
mod memory;

use boxes::Boxes;
use memory::{Memory, Parts};

/// Things that are asked for in one look at memory.
pub(crate) const MOST: usize = 1024;
/// Finds of one look; more are not sorted out.
const FINDS: usize = 1 << 16;
/// A handle may lie so far inside of what was allocated, in words.
const INSIDE: u64 = 32;
/// A count above this is something else.
const COUNT: u64 = 1 << 24;
/// What a look may cost at once, and its share of the time: one in so many.
const AT_ONCE_NS: u64 = 300_000_000;
const SHARE: u64 = 50;
/// Walks for which the same things are asked for, where there are too many.
const WALKS: usize = 8;
/// How long an answer holds: at first, and at most if it stays the same.
const FIRST_NS: u64 = 100_000_000;
const LAST_NS: u64 = 300_000_000_000;

/// A thing whose handles are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    uses: u64,
    /// As in the row: turned over.
    handle: u64,
    /// Where a future was made, turned over: it lies beside its handle, and not beside a promise's.
    place: Option<u64>,
}

impl Asked {
    /// `None`: it is no thing whose handles are looked for, or nobody waited yet.
    pub(crate) fn of(facts: &ResourceFacts) -> Option<Self> {
        use Kind::{Barrier, Channel, Condition, Event, Future, Queue};
        let of_handles = matches!(
            facts.kind,
            Barrier | Channel | Condition | Event | Future | Queue
        );
        let place = facts.place.map(|place| !(std::ptr::from_ref(place) as u64));
        (of_handles && facts.handle != 0).then_some(Self {
            id: facts.id,
            uses: facts.uses,
            handle: facts.handle,
            place: place.filter(|_| facts.kind == Kind::Future),
        })
    }
}

struct Answer {
    uses: u64,
    at: u64,
    pause: u64,
    /// Looks that found the same.
    agreed: u32,
    kept: Option<Vec<u64>>,
}

/// Looks for handles, as often as is worth it.
#[derive(Default)]
pub(crate) struct Keepers {
    memory: Memory,
    answers: IdMap<Answer>,
    began: Option<u64>,
    spent: u64,
    walks: usize,
}

impl Keepers {
    /// The tasks that have the handles on each of `asked`, where that is known.
    pub(crate) fn of(&mut self, look: &Look, asked: &[Asked]) -> IdMap<Vec<u64>> {
        let now = look.now.mono;
        let ids: IdSet = asked.iter().map(|asked| asked.id).collect();
        self.answers.retain(|id, _| ids.contains(id));
        let due = |asked: &&Asked| match self.answers.get(&asked.id) {
            Some(answer) if answer.uses == asked.uses => {
                // What was found once is not yet believed.
                answer.kept.is_some() && answer.agreed < 2 || now >= answer.at + answer.pause
            }
            _ => true,
        };
        let due: Vec<Asked> = asked.iter().filter(due).take(MOST).copied().collect();
        let began = *self.began.get_or_insert(now);
        if !due.is_empty() && self.spent <= AT_ONCE_NS + (now - began) / SHARE {
            let from = clock::ticks();
            let found = Search::new(look, &due).run(&mut self.memory);
            for (at, asked) in due.iter().enumerate() {
                let kept = found.as_ref().and_then(|found| found[at].clone());
                self.answered(asked, now, kept);
            }
            self.spent += clock::ticks_to_ns(clock::ticks().saturating_sub(from));
        }
        let known = |asked: &Asked| {
            let answer = self.answers.get(&asked.id)?;
            let kept = answer.kept.as_ref().filter(|_| answer.uses == asked.uses)?;
            Some((asked.id, kept.clone()))
        };
        asked.iter().filter_map(known).collect()
    }

    /// As many of `all` as one look is for: those whose keepers are known, and of the others some
    /// after the others.
    pub(crate) fn some_of(&mut self, all: impl ExactSizeIterator<Item = Asked>) -> Vec<Asked> {
        let turns = all.len().div_ceil(MOST).max(1);
        self.walks += 1;
        let first = self.walks / WALKS % turns * MOST;
        let known = |asked: &Asked| {
            let answer = self.answers.get(&asked.id);
            answer.is_some_and(|answer| answer.kept.is_some())
        };
        let turn = first..first + MOST;
        let some = all.enumerate();
        some.filter(|(at, asked)| turn.contains(at) || known(asked))
            .map(|(_, asked)| asked)
            .collect()
    }

    /// What was found of that thing, if two looks agreed.
    pub(crate) fn known(&self, id: u64) -> Option<&[u64]> {
        let answer = self.answers.get(&id)?;
        answer.kept.as_deref().filter(|_| answer.agreed > 1)
    }

    fn answered(&mut self, asked: &Asked, now: u64, kept: Option<Vec<u64>>) {
        let old = self.answers.remove(&asked.id);
        let same = old.filter(|old| old.uses == asked.uses && old.kept == kept);
        let (agreed, pause) = same.map_or((1, FIRST_NS), |old| {
            (old.agreed + 1, (old.pause * 2).min(LAST_NS))
        });
        let answer = Answer {
            uses: asked.uses,
            at: now,
            pause,
            agreed,
            kept,
        };
        self.answers.insert(asked.id, answer);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes() + self.answers.len() * size_of::<Answer>()
    }
}

/// An address with each bit turned over: who looks for what refers to it does not find this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turned(u64);

impl Turned {
    fn of(address: u64) -> Self {
        Self(!address)
    }

    fn get(self) -> u64 {
        !self.0
    }
}

/// One word that was found.
struct Find {
    of: u32,
    at: Turned,
    /// It is a future's own handle.
    waits: bool,
}

struct Search<'a> {
    asked: &'a [Asked],
    boxes: Boxes,
}

/// Words to be looked for, turned over, and what each is.
struct Words {
    sorted: Vec<(u64, u32)>,
    least: u64,
    span: u64,
}

impl Words {
    fn new(mut sorted: Vec<(u64, u32)>) -> Self {
        sorted.sort_unstable();
        let least = sorted.first().map_or(0, |first| first.0);
        let span = sorted.last().map_or(0, |last| last.0 - least);
        Self {
            sorted,
            least,
            span,
        }
    }

    /// Calls `take` with the place of each of them in `words`, and what it is.
    fn find(&self, words: &[u64], mut take: impl FnMut(usize, u32)) {
        for (at, word) in words.iter().enumerate() {
            let turned = !*word;
            if turned.wrapping_sub(self.least) > self.span {
                continue;
            }
            let first = self.sorted.partition_point(|known| known.0 < turned);
            let all = self.sorted[first..].iter();
            for known in all.take_while(|known| known.0 == turned) {
                take(at, known.1);
            }
        }
    }
}

impl<'a> Search<'a> {
    fn new(look: &Look, asked: &'a [Asked]) -> Self {
        Self {
            asked,
            boxes: Boxes::of(look),
        }
    }

    /// For each of `asked` the tasks that have its handles; `None` if that is not known. `None` for
    /// all: memory cannot be looked through.
    fn run(&mut self, memory: &mut Memory) -> Option<Vec<Option<Vec<u64>>>> {
        let parts = memory.parts()?;
        let mut finds = self.handles(memory, &parts)?;
        finds.sort_unstable_by_key(|find| (find.of, find.at));
        let finds_of = |of: u32| {
            let first = finds.partition_point(|find| find.of < of);
            let after = finds.partition_point(|find| find.of <= of);
            &finds[first..after]
        };
        let heap = |find: &&Find| !parts.in_a_stack(find.at.get());
        let on_heap = finds.iter().filter(heap).map(|find| find.at);
        self.boxes.open(memory, &parts, on_heap);
        // What lies in no future may lie in something that a task owns.
        let mut held: Vec<(u32, Turned)> = Vec::new();
        let mut known = Vec::with_capacity(self.asked.len());
        for (of, asked) in (0..).zip(self.asked) {
            let finds = finds_of(of);
            let count = word(!asked.handle);
            // As many as are counted, and of a promise one that is not the future's.
            let all = count.is_some_and(|count| count <= finds.len() as u64)
                && (asked.place.is_none() || finds.iter().any(|find| !find.waits))
                && finds.iter().all(|find| heap(&find));
            if all {
                let places = finds.iter().map(|find| find.at);
                let outside = places.filter(|at| self.boxes.task_at(at.get()).is_none());
                held.extend(outside.map(|at| (of, at)));
            }
            known.push(count.filter(|_| all));
        }
        let owners = match held.is_empty() {
            true => Vec::new(),
            false => self.owners(memory, &parts, &held)?,
        };
        let mut all = Vec::with_capacity(known.len());
        for (of, count) in (0..).zip(known) {
            all.push(count.and_then(|count| {
                let first = held.partition_point(|held| held.0 < of);
                let after = held.partition_point(|held| held.0 <= of);
                let mut inside = owners[first..after].iter();
                let others = (after - first) as u64;
                let places = finds_of(of).iter().map(|find| find.at.get());
                let direct = places.filter_map(|at| self.boxes.task_at(at)).collect();
                let mut tasks = self.boxes.settle(direct, count, others);
                inside.try_for_each(|owners| {
                    tasks.extend(owners.as_ref()?);
                    Some(())
                })?;
                tasks.sort_unstable();
                tasks.dedup();
                // Somebody has it, or nobody would wait.
                (!tasks.is_empty()).then_some(tasks)
            }));
        }
        Some(all)
    }

    /// Where the handles lie.
    fn handles(&self, memory: &mut Memory, parts: &Parts) -> Option<Vec<Find>> {
        let words = (0..).zip(self.asked).map(|(of, asked)| (asked.handle, of));
        let words = Words::new(words.collect());
        let mut finds = Vec::new();
        memory.read(parts, |first, run| {
            words.find(run, |at, of| {
                if finds.len() > FINDS {
                    return;
                }
                let beside = |place: u64| {
                    let is = |at: Option<usize>| at.and_then(|at| run.get(at)).map(|word| !*word);
                    let both = [is(at.checked_sub(1)), is(Some(at + 1))];
                    // What lies beside the first or the last of a run is not known.
                    both.iter()
                        .any(|beside| beside.is_none_or(|one| one == place))
                };
                finds.push(Find {
                    of,
                    at: Turned::of(first + at as u64 * 8),
                    waits: self.asked[of as usize].place.is_some_and(beside),
                });
            });
        })?;
        (finds.len() <= FINDS).then_some(finds)
    }

    /// Of each handle outside of futures who has it: who refers to what it lies in, if references to
    /// that were found in futures alone, and as many as are counted.
    fn owners(
        &mut self,
        memory: &mut Memory,
        parts: &Parts,
        held: &[(u32, Turned)],
    ) -> Option<Vec<Option<Vec<u64>>>> {
        struct Owner {
            handle: usize,
            count: u64,
            finds: Vec<Turned>,
        }
        let mut owners: Vec<Owner> = Vec::new();
        let mut starts = Vec::new();
        for (handle, at) in held.iter().map(|held| held.1.get()).enumerate() {
            for start in (0..INSIDE).map(|inside| at - inside * 8) {
                if !is_allocated(start, at) {
                    continue;
                }
                // What is counted begins with two counts, and only once it has one owner.
                let counts = [word(start), word(start + 8)];
                let count = match counts {
                    [Some(count @ 1..COUNT), Some(1..COUNT)] => count,
                    _ => 1,
                };
                starts.push((!start, owners.len() as u32));
                owners.push(Owner {
                    handle,
                    count,
                    finds: Vec::new(),
                });
            }
        }
        let starts = Words::new(starts);
        let mut finds = 0;
        memory.read(parts, |first, run| {
            starts.find(run, |at, of| {
                finds += 1;
                if finds <= FINDS {
                    owners[of as usize]
                        .finds
                        .push(Turned::of(first + at as u64 * 8));
                }
            });
        })?;
        if finds > FINDS {
            return None;
        }
        let all = owners.iter().flat_map(|owner| &owner.finds);
        self.boxes.open(memory, parts, all.copied());
        let tasks = |owner: &Owner| -> Option<Vec<u64>> {
            let enough = owner.finds.len() as u64 >= owner.count;
            let tasks = owner.finds.iter().map(|at| self.boxes.task_at(at.get()));
            let tasks: Vec<u64> = tasks.collect::<Option<_>>().filter(|_| enough)?;
            Some(self.boxes.settle(tasks, owner.count, 0))
        };
        // Where several places look like the beginning of what it lies in, it is theirs who refer to
        // any of them.
        let of = |handle: usize| {
            let first = owners.partition_point(|owner| owner.handle < handle);
            let of_it = owners[first..]
                .iter()
                .take_while(|owner| owner.handle == handle);
            let found = of_it.filter(|owner| !owner.finds.is_empty());
            let all: Vec<Vec<u64>> = found.map(tasks).collect::<Option<_>>()?;
            (!all.is_empty()).then(|| all.concat())
        };
        Some((0..held.len()).map(of).collect())
    }
}

/// Whether what was allocated may begin at `start` and reach beyond `at`, as the C library's
/// allocator states before it; another one's memory does not look like that.
fn is_allocated(start: u64, at: u64) -> bool {
    let Some(size) = word(start - 8).map(|size| size & !7) else {
        return false;
    };
    let sizes = 32..1 << 24;
    start.is_multiple_of(16)
        && size.is_multiple_of(16)
        && sizes.contains(&size)
        && at < start + size - 8
}

fn word(at: u64) -> Option<u64> {
    let mut words = [0];
    (read_words(at, &mut words) == 1).then_some(words[0])
}

#[cfg(test)]
mod tests;
