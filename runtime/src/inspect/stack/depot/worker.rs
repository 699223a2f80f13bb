//! The thread `loop-stacks`: walks what loops copied, names frames, reads debug information.
//!
//! Made when somebody first asks. It sleeps until there is a job; only while spawns are sampled, or
//! a copy is awaited, it looks at the slots again and again. Debug information stays in memory only
//! while somebody asks for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{AWAITS, Copied, Depot, Job, Suspect, Told};
use crate::clock;
use crate::inspect::stack::names::resolve::Resolver;
use crate::inspect::stack::names::{Line, Place, Whose};
use crate::inspect::stack::taking::dwarf::{Reader, Why};
use crate::inspect::stack::taking::sections::Sections;
use crate::inspect::stack::taking::snap::{self, Snap};
use crate::inspect::stack::taking::suspended::{self, Chain, Link, Loaded};
use crate::inspect::stack::taking::walk::Walker;
use crate::inspect::stack::{How, Stack};
use crate::record::wish::{self, Moment};

/// Between two looks while spawns are sampled, and while a copy is awaited.
const SAMPLING: Duration = Duration::from_millis(5);
const AWAITING: Duration = Duration::from_millis(20);
/// After so long a copy that was asked for is not looked out for any more, nanoseconds.
const PATIENCE: u64 = 30_000_000_000;
/// How long debug information is kept after the last question.
const LINGER: Duration = Duration::from_secs(30);
/// How long one question may read.
const LONGEST: Duration = Duration::from_secs(20);

pub(super) fn start(depot: &'static Depot, jobs: Receiver<Job>) -> Result<(), String> {
    snap::prepare();
    let worker = Worker {
        depot,
        jobs,
        walker: None,
        resolver: None,
        loaded: None,
    };
    thread::Builder::new()
        .name("loop-stacks".to_owned())
        .spawn(move || {
            let _helps = crate::inspect::helpers::Helps::enter();
            worker.run();
        })
        .map(drop)
        .map_err(|why| format!("the thread that takes stacks cannot be made: {why}"))
}

struct Worker {
    depot: &'static Depot,
    jobs: Receiver<Job>,
    walker: Option<Walker>,
    resolver: Option<Resolver>,
    /// Where the program lies, once that was looked up.
    loaded: Option<Option<Loaded>>,
}

/// What `next` came back with.
enum Next {
    Job(Job),
    /// Nobody asked for as long as was waited for.
    Quiet,
    /// Nobody can ask any more.
    Over,
}

impl Worker {
    fn run(mut self) {
        // The app's own work goes first; that this cannot be said is no reason to do nothing.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
        loop {
            match self.next(None) {
                Next::Over => return,
                Next::Quiet => {}
                Next::Job(Job::Read(suspect)) => self.read_all(suspect),
                Next::Job(job) => self.small(job),
            }
        }
    }

    /// The next job, or that none came in `within`. Takes in what loops copied meanwhile.
    fn next(&mut self, within: Option<Duration>) -> Next {
        let mut left = within;
        loop {
            self.take_in();
            let look = self.look_again();
            let wait = match (look, left) {
                (Some(look), Some(left)) => Some(look.min(left)),
                (look, left) => look.or(left),
            };
            let Some(wait) = wait else {
                return self.jobs.recv().map_or(Next::Over, Next::Job);
            };
            match self.jobs.recv_timeout(wait) {
                Ok(job) => return Next::Job(job),
                Err(RecvTimeoutError::Disconnected) => return Next::Over,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(rest) = &mut left {
                *rest = rest.saturating_sub(wait);
                if rest.is_zero() {
                    return Next::Quiet;
                }
            }
        }
    }

    /// How soon to look at the slots again, whoever asks.
    fn look_again(&self) -> Option<Duration> {
        if wish::spawn_rate() != 0 {
            return Some(SAMPLING);
        }
        let now = clock::mono();
        let kept = self.depot.kept();
        let mut asked = kept.tasks.values().filter_map(|task| task.asked);
        asked
            .any(|at| now.saturating_sub(at) < PATIENCE)
            .then_some(AWAITING)
    }

    fn small(&mut self, job: Job) {
        match job {
            // Somebody may have asked twice.
            Job::Name(found) if found.lines.get().is_some() => {}
            Job::Name(found) => {
                let resolver = self.resolver.get_or_insert_with(Resolver::new);
                let (lines, _) = resolver.lines(&found.stack, [None, None]);
                let _ = found.lines.set(own_first(lines).into());
            }
            Job::Look | Job::Read(_) => {}
        }
    }

    /// Walks what loops have copied since, and files it.
    fn take_in(&mut self) {
        let (depot, resolver) = (self.depot, &mut self.resolver);
        let walker = &mut self.walker;
        snap::drain(|snap, copy| {
            let walker = walker.get_or_insert_with(Walker::new);
            std::mem::swap(&mut walker.stack, copy);
            let mut stack = walker.walk(snap.registers, snap.base, How::Itself);
            stack.at = snap.at;
            without_us(&mut stack);
            match snap.moment {
                Moment::Spawns => depot.kept().spawned(snap.task, stack),
                Moment::Waits => {
                    let resolver = resolver.get_or_insert_with(Resolver::new);
                    let (lines, _) = resolver.lines(&stack, [None, None]);
                    copied(depot, &snap, stack, own_first(lines));
                }
            }
        });
    }

    fn loaded(&mut self) -> Option<Loaded> {
        let walker = self.walker.get_or_insert_with(Walker::new);
        let own = start as fn(&'static Depot, Receiver<Job>) -> Result<(), String> as usize as u64;
        let found = self.loaded.get_or_insert_with(|| {
            let program = std::fs::read_link("/proc/self/exe").ok()?;
            let object = walker.object(own)?;
            // In a library that was loaded, the program's file tells nothing of us.
            (std::path::Path::new(&*object.name) == program).then(|| Loaded {
                bias: object.bias,
                range: object.range.clone(),
            })
        });
        found.clone()
    }

    /// Reads debug information, and with it where tasks wait, until nobody asks any more.
    fn read_all(&mut self, first: Suspect) {
        self.depot.kept().reading_since = Some(clock::mono());
        let opened = match self.loaded() {
            None => Err(Why::from(
                "this is a library in another program, whose debug info is not read",
            )),
            Some(loaded) => Sections::debug_info().map(|sections| (loaded, sections)),
        };
        let why = match &opened {
            Err(why) => why.clone(),
            Ok((loaded, sections)) => match Reader::new(sections, deadline()) {
                Err(why) => why,
                Ok(reader) => return self.read_with(reader, loaded, first),
            },
        };
        let mut kept = self.depot.kept();
        kept.reading_since = None;
        kept.no_debug_info = Some(why.into_owned());
        for task in kept.tasks.values_mut() {
            task.reading = false;
        }
    }

    fn read_with(&mut self, mut reader: Reader<'_>, loaded: &Loaded, first: Suspect) {
        let mut next = Next::Job(Job::Read(first));
        loop {
            match next {
                Next::Over | Next::Quiet => return,
                Next::Job(Job::Read(suspect)) => self.read_one(&mut reader, loaded, &suspect),
                Next::Job(job) => self.small(job),
            }
            next = self.next(Some(LINGER));
        }
    }

    fn read_one(&mut self, reader: &mut Reader<'_>, loaded: &Loaded, (record, slot, id): &Suspect) {
        self.depot.kept().reading_since = Some(clock::mono());
        reader.until = deadline();
        let polls = || {
            let row = record.tasks.get(*slot).and_then(|row| row.read());
            row.map_or(0, |facts| facts.polls)
        };
        let before = polls();
        let read = suspended::read(reader, loaded, record, (*slot, *id));
        let told = match read {
            Ok(chain) => Told {
                polls: chain.polls,
                short: chain.short.clone(),
                found: Ok(self.in_lines(chain)),
            },
            Err(why) => Told {
                polls: before,
                short: String::new(),
                found: Err(why.into_owned()),
            },
        };
        let mut kept = self.depot.kept();
        kept.reading_since = None;
        if let Some(task) = kept.tasks.get_mut(id) {
            task.told = Some(told);
            task.reading = false;
        }
    }

    /// The futures as lines, innermost first.
    fn in_lines(&mut self, chain: Chain) -> (Arc<Stack>, Arc<[Line]>) {
        let resolver = self.resolver.get_or_insert_with(Resolver::new);
        let last = chain.links.len();
        let line = |link: &Link| Line {
            frame: usize::MAX,
            function: link.function.clone(),
            place: resolver.place_of(&link.file, link.line),
            whose: resolver.whose(&link.file, &link.function),
            awaited_by: link.awaited_by.map_or(0, |by| (last - by) as u32),
            ..Line::default()
        };
        let lines: Vec<Line> = chain.links.iter().rev().map(line).collect();
        let stack = Stack {
            frames: Vec::new(),
            complete: true,
            at: clock::ticks(),
            how: How::Outside,
        };
        (Arc::new(stack), own_first(lines).into())
    }
}

#[allow(clippy::disallowed_methods)]
fn deadline() -> Instant {
    Instant::now() + LONGEST
}

/// Takes away what took the stack, and marks the innermost line of the app's own.
fn own_first(mut lines: Vec<Line>) -> Vec<Line> {
    let ours = |line: &Line| {
        let of_record = match line.place.is_empty() {
            true => line.function.contains("::record::"),
            false => line.place.contains("src/record"),
        };
        line.whose == Whose::Runtime && of_record
    };
    let from = lines.iter().position(|line| !ours(line)).unwrap_or(0);
    lines.drain(..from);
    let _ = Place::in_stack(&mut lines);
    lines
}

/// Takes away the frame that took the stack.
fn without_us(stack: &mut Stack) {
    // The copier, which is put into nobody.
    if stack.frames.len() > 2 {
        stack.frames.drain(..1);
    }
}

fn copied(depot: &Depot, snap: &Snap, stack: Stack, lines: Vec<Line>) {
    let mut kept = depot.kept();
    // A row that was given to another task meanwhile: nobody asked for that one.
    let Some(task) = kept.tasks.get_mut(&snap.task) else {
        return;
    };
    task.asked = None;
    task.copied = Some(Copied {
        stack: Arc::new(stack),
        lines: lines.into(),
        polls: snap.polls + 1,
        took: snap.took,
    });
    debug_assert!(kept.tasks.len() <= AWAITS);
}
