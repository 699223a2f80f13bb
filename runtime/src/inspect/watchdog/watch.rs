//! What the watchdog knows of one loop: readings of its thread, and the poll that runs.
//!
//! Blocked time is a bracket. The kernel adds a wait for a CPU to `schedstat` when it ends, so
//! the sum read *after* a moment at which the thread was surely not waiting holds all waits up to
//! that moment. Hence the lower end, `wall − waits since the last reading before the poll`, is
//! taken up to a *proof*: the start of a look after which the CPU clock moved, or a look that
//! found the thread asleep. Knows no viewer.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::blocks::{Block, Bracket, Seen, Verdict};
use super::super::cause::proc::Probe;
use super::super::cause::{self, Evidence, Judgement, Look, Reading, Window};
use super::super::stack::Stack;
use super::super::stack::names::Place;
use super::{Desk, LINGER};
use crate::clock;
use crate::id;
use crate::os::Sched;
use crate::record::LoopRecord;
use crate::record::current::{Doing, Moment};
use crate::record::over::{Blamed, CAPACITY, Over};

/// Readings kept from before the running poll, newest last.
const HISTORY: usize = 8;
/// Full looks kept of one poll: the first, and the last ones.
const LOOKS: usize = 8;
/// Two looks nearer than this prove nothing.
const APART_NS: u64 = 1_000_000;
/// While something is blocked: no look sooner, none later than this after the last.
const LOOK_NS: (u64, u64) = (10_000_000, 250_000_000);
/// Stacks are taken when these multiples of the budget are passed.
const STACKS: [u64; 3] = [1, 2, 4];

pub(super) struct Watch {
    record: Arc<LoopRecord>,
    probe: Option<Probe>,
    history: VecDeque<Reading>,
    /// What runs, if a look has seen it run.
    poll: Option<Poll>,
    /// A poll over its budget that something on its own account interrupted: it drops a future,
    /// or a handler runs. It goes on as from its own start, or the log says that it ended.
    aside: Option<Poll>,
    /// Start of the last poll that the log said is over: `Current` may still show it.
    settled: u64,
    /// Entries of the loop's log that were read.
    logged: u64,
    /// Tick at which the loop was last seen at work.
    worked: u64,
}

/// Something that runs, seen at least once.
struct Poll {
    since: u64,
    doing: Doing,
    row: usize,
    task: Option<Blamed>,
    spawn_place: Option<&'static Location<'static>>,
    before: Option<Reading>,
    /// The first and the last reading inside it.
    first: Reading,
    last: Reading,
    looks: Vec<Look>,
    /// The quota's sum at the first full look.
    throttled: Option<u64>,
    /// Nanoseconds that are proven so far, and what gaps took away from them.
    lower: u64,
    gap: u64,
    unproven_looks: u32,
    block: Option<Block>,
    stacks: usize,
}

impl Watch {
    pub(super) fn new(record: Arc<LoopRecord>) -> Self {
        Self {
            // What ended before anybody watched was nobody's to judge, but is worth filing.
            logged: record.over.written().saturating_sub(CAPACITY as u64),
            record,
            probe: None,
            history: VecDeque::with_capacity(HISTORY),
            poll: None,
            aside: None,
            settled: 0,
            worked: 0,
        }
    }

    pub(super) fn is_of(&self, record: &Arc<LoopRecord>) -> bool {
        Arc::ptr_eq(&self.record, record)
    }

    pub(super) fn is_working(&self) -> bool {
        self.record.current.doing().is_work()
    }

    /// Looks. Returns the tick of the next look; `None`: not before the loop rings the bell.
    pub(super) fn look(&mut self, desk: &mut Desk) -> Option<u64> {
        self.follow_thread();
        // The log is read between the two readings of `Current`: what it says is over was over
        // before the reading of the thread, which therefore holds all its waits.
        let first = self.record.current.read();
        let over = self.take_log(desk);
        let reading = self.read();
        let second = self.record.current.read();
        for over in over {
            self.settle(over, reading, desk);
        }
        let running = match (first, second) {
            (Some(a), Some(b)) if same(&a, &b) && a.doing.is_work() => Some(a),
            _ => None,
        };
        let running = running.filter(|moment| moment.since != self.settled);
        if self
            .poll
            .as_ref()
            .is_some_and(|poll| !running.is_some_and(|moment| poll.is(&moment)))
        {
            self.passed(second, desk);
        }
        if let Some(moment) = running {
            if let Some(poll) = self.aside.take_if(|poll| poll.is(&moment)) {
                self.poll = Some(poll);
            } else if !matches!(moment.doing, Doing::Dropping | Doing::Handling)
                && let Some(poll) = self.aside.take()
            {
                close(poll, second, desk);
            }
        }
        let now = reading.to;
        if second.is_none_or(|moment| moment.doing.is_work()) {
            self.worked = now;
        }
        let budget = self.record.budget();
        let next = match running {
            _ if budget == 0 => None,
            Some(moment) => Some(self.goes_on(&moment, reading, budget, desk)),
            // It turns, or did a moment ago: what it begins now is over budget no sooner.
            None if now < self.worked + clock::ns_to_ticks(LINGER) => Some(now + budget),
            None => None,
        };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(reading);
        next
    }

    /// The loop is closed, or the watchdog stops: what is still open is filed as it stands.
    pub(super) fn leave(&mut self, desk: &mut Desk) {
        let second = self.record.current.read();
        self.passed(second, desk);
        if let Some(poll) = self.aside.take() {
            close(poll, second, desk);
        }
    }

    /// A loop may run on one thread and, in a later run, on another.
    fn follow_thread(&mut self) {
        let tid = self.record.facts.thread.load(Ordering::Acquire);
        if self.probe.as_ref().map_or(0, |probe| probe.tid) == tid || tid == 0 {
            // After a run the thread may still be there: its last reading is worth having.
            return;
        }
        self.probe = Some(Probe::new(tid));
        self.history.clear();
        let word = |index: usize| self.record.facts.baseline[index].load(Ordering::Relaxed);
        let sched = Sched {
            ran: word(1),
            delay: word(2),
            slices: word(3),
        };
        self.history.push_back(Reading {
            from: word(0),
            to: word(0),
            sched: (sched.slices != 0).then_some(sched),
            cpu: Some(word(4)).filter(|&cpu| cpu != 0),
        });
    }

    fn read(&self) -> Reading {
        self.probe.as_ref().map_or_else(
            || {
                let now = clock::ticks();
                Reading {
                    from: now,
                    to: now,
                    ..Reading::default()
                }
            },
            Probe::read,
        )
    }

    fn take_log(&mut self, desk: &Desk) -> Vec<Over> {
        let written = self.record.over.written();
        if written == self.logged {
            return Vec::new();
        }
        let entries: Vec<Over> = (self.logged..written)
            .filter_map(|number| self.record.over.read(number))
            .collect();
        let lost = written - self.logged - entries.len() as u64;
        if lost > 0 {
            desk.blocks.lose(self.record.id, lost);
        }
        self.logged = written;
        entries
    }

    /// The newest reading that was over before tick `start`.
    fn before(&self, start: u64) -> Option<Reading> {
        self.history
            .iter()
            .rev()
            .find(|reading| reading.to <= start)
            .copied()
    }

    /// The log says that a poll or phase is over. `after` was read later than its end.
    fn settle(&mut self, over: Over, after: Reading, desk: &mut Desk) {
        self.settled = over.start;
        let poll = [&mut self.poll, &mut self.aside]
            .into_iter()
            .find_map(|poll| poll.take_if(|poll| poll.since == over.start));
        let before = poll
            .as_ref()
            .map_or_else(|| self.before(over.start), |poll| poll.before);
        let end = over.start + over.took;
        let mut block = poll
            .as_ref()
            .and_then(|poll| poll.block.clone())
            .unwrap_or_else(|| self.fresh(&over));
        let wall = clock::ticks_to_ns(over.took);
        let gap = desk.gaps.within(over.start, end);
        let anchors = [
            before.map(|before| (over.start, before)),
            poll.as_ref().map(|poll| (poll.first.from, poll.first)),
        ];
        let lower = bound(&anchors, end, after);
        let upper = poll.as_ref().map_or(0, |poll| {
            delay_between(poll.first, poll.last).unwrap_or_default()
        });
        let proven = poll.as_ref().map_or(0, |poll| poll.lower);
        block.ended = Some(end);
        block.wall_ns = wall;
        block.budget_ns = self.record.limit_ns(over.budget);
        block.bracket = lower.map(|lower| Bracket {
            lower: lower.saturating_sub(gap).max(proven).min(wall),
            upper: wall.saturating_sub(upper),
        });
        block.vetoed = lower.is_some_and(|lower| {
            lower > block.budget_ns && lower.saturating_sub(gap).max(proven) <= block.budget_ns
        });
        block.verdict = match block.bracket {
            Some(held) if held.lower > block.budget_ns => Verdict::Proven,
            Some(_) => Verdict::Host,
            None => Verdict::Soft,
        };
        let proven = matches!(block.verdict, Verdict::Proven | Verdict::Soft);
        // A block that was looked at keeps the cause that was seen, unless the verdict turned.
        if block.seen == Seen::Clock || !proven || block.cause == Judgement::default() {
            let window = around(before, after, over.took);
            block.cpu_ns = window.cpu;
            block.delay_ns = window.delay;
            block.cause = cause::judge(&Evidence {
                looks: poll.as_ref().map_or(&[], |poll| &poll.looks),
                window,
                proven,
                gap,
                throttled: None,
            });
        }
        desk.blocks.file(block);
    }

    /// A poll that was seen is no longer what runs.
    fn passed(&mut self, next: Option<Moment>, desk: &mut Desk) {
        // It may have ended since the log was read.
        let over = self.take_log(desk);
        if !over.is_empty() {
            let after = self.read();
            for over in over {
                self.settle(over, after, desk);
            }
        }
        let Some(poll) = self.poll.take() else { return };
        if poll.block.is_none() {
            return;
        }
        let inner = |moment: Moment| matches!(moment.doing, Doing::Dropping | Doing::Handling);
        if self.aside.is_none() && next.is_some_and(inner) {
            self.aside = Some(poll);
            return;
        }
        close(poll, next, desk);
    }
    /// A block that nobody has looked at.
    fn fresh(&self, over: &Over) -> Block {
        let spawn_place = self.spawn_place(over.task);
        Block {
            id: id::single(),
            loop_id: self.record.id,
            doing: over.doing,
            task: over.task,
            spawn_place,
            began: over.start,
            ended: None,
            wall_ns: 0,
            bracket: None,
            budget_ns: 0,
            seen: Seen::Clock,
            verdict: Verdict::Open,
            vetoed: false,
            cause: Judgement::default(),
            stack: None,
            stack_missing: "it was over before it could be looked at".to_owned(),
            lines: None,
            place: Place::without_stack(over.task.and_then(|task| task.await_place), spawn_place),
            cpu_ns: None,
            delay_ns: None,
            ready: self.record.stats.ready.load(Ordering::Relaxed),
        }
    }

    fn spawn_place(&self, task: Option<Blamed>) -> Option<&'static Location<'static>> {
        self.record.sites.get(task?.site)?.place()
    }

    /// `moment` runs at `reading`. Returns when to look again.
    fn goes_on(&mut self, moment: &Moment, reading: Reading, budget: u64, desk: &mut Desk) -> u64 {
        if self.poll.is_none() {
            let task = self.record.tasks.at(moment.row).map(Blamed::of);
            // The row may have been given to another task while it was read.
            let stayed = self
                .record
                .current
                .read()
                .is_some_and(|now| same(&now, moment));
            let task = task.filter(|_| stayed);
            self.poll = Some(Poll {
                since: moment.since,
                doing: moment.doing,
                row: moment.row as usize,
                task,
                spawn_place: self.spawn_place(task),
                before: self.before(moment.since),
                first: reading,
                last: reading,
                looks: Vec::new(),
                throttled: None,
                lower: 0,
                gap: 0,
                unproven_looks: 0,
                block: None,
                stacks: 0,
            });
        }
        let poll = self.poll.as_mut().expect("made above if it was not there");
        poll.last = reading;
        let due = moment.since + budget;
        if reading.from < due {
            return due;
        }
        let (Some(probe), record) = (&self.probe, &self.record) else {
            // Without a thread to read there is the clock on the wall: a soft block.
            poll.show_soft(&self.record, reading, budget, desk);
            return reading.to + clamp_look(budget);
        };
        let look = probe.look();
        if !record.current.read().is_some_and(|now| same(&now, moment)) {
            // It ended meanwhile: the look is not one into it. See to that at once.
            return reading.to;
        }
        poll.last = look.reading;
        poll.weigh(look, desk);
        poll.show(record, probe, budget, desk)
    }
}

impl Poll {
    fn is(&self, moment: &Moment) -> bool {
        poll_is(self.since, self.row, self.doing, moment)
    }

    /// Adds a full look, and raises what is proven.
    fn weigh(&mut self, look: Look, desk: &Desk) {
        if self.looks.is_empty() {
            self.throttled = desk.quota.as_ref().and_then(|quota| quota.throttled());
        }
        if let Some(proof) = self.proof(&look) {
            let anchors = [
                self.before.map(|before| (self.since, before)),
                Some((self.first.from, self.first)),
            ];
            self.gap = desk.gaps.within(self.since, look.reading.to);
            if let Some(lower) = bound(&anchors, proof, look.reading) {
                self.lower = self.lower.max(lower.saturating_sub(self.gap));
            }
        }
        if self.looks.len() == LOOKS {
            self.looks.remove(1);
        }
        self.looks.push(look);
    }

    /// The latest tick up to which all waits for a CPU are in `look`'s sum.
    fn proof(&self, look: &Look) -> Option<u64> {
        let apart = clock::ns_to_ticks(std::time::Duration::from_nanos(APART_NS));
        let asleep = |look: &Look| matches!(look.state, Some('S' | 'D'));
        let earlier = |from: u64| from + apart <= look.reading.from;
        if asleep(look)
            && self
                .looks
                .iter()
                .any(|old| asleep(old) && earlier(old.reading.to))
        {
            return Some(look.reading.from);
        }
        let moved =
            |old: &Reading| (earlier(old.to) && look.reading.cpu? > old.cpu?).then_some(old.from);
        self.looks
            .iter()
            .map(|look| &look.reading)
            .chain([&self.first])
            .filter_map(moved)
            .max()
    }

    fn block(&mut self, record: &LoopRecord, budget: u64) -> &mut Block {
        let (since, doing, task, spawn_place) =
            (self.since, self.doing, self.task, self.spawn_place);
        self.block.get_or_insert_with(|| Block {
            id: id::single(),
            loop_id: record.id,
            doing,
            task,
            spawn_place,
            began: since,
            ended: None,
            wall_ns: 0,
            bracket: None,
            budget_ns: record.limit_ns(budget),
            seen: Seen::Live,
            verdict: Verdict::Open,
            vetoed: false,
            cause: Judgement::default(),
            stack: None,
            stack_missing: String::new(),
            lines: None,
            place: Place::without_stack(task.and_then(|task| task.await_place), spawn_place),
            cpu_ns: None,
            delay_ns: None,
            ready: 0,
        })
    }

    fn show_soft(&mut self, record: &LoopRecord, reading: Reading, budget: u64, desk: &mut Desk) {
        let since = self.since;
        let first = self.block.is_none();
        let block = self.block(record, budget);
        block.verdict = Verdict::Soft;
        block.wall_ns = clock::ticks_to_ns(reading.to.saturating_sub(since));
        block.stack_missing = "the loop's thread is not known".to_owned();
        block.cause = cause::judge(&Evidence {
            proven: true,
            ..Evidence::default()
        });
        block.ready = record.stats.ready.load(Ordering::Relaxed);
        desk.blocks.show(block, first);
    }

    /// Shows what the last look came to. Returns when to look again.
    fn show(&mut self, record: &LoopRecord, probe: &Probe, budget: u64, desk: &mut Desk) -> u64 {
        let last = self.last;
        let (lower, gap) = (self.lower, self.gap);
        let budget_ns = record.limit_ns(budget);
        let wall = clock::ticks_to_ns(last.to.saturating_sub(self.since));
        let counted = last.sched.is_some();
        let proof = self
            .looks
            .split_last()
            .is_some_and(|(look, _)| self.proof_of_soft(look));
        let verdict = match counted {
            true if lower > budget_ns => Verdict::Proven,
            false if proof => Verdict::Soft,
            _ => Verdict::Open,
        };
        let window = between(self.first, last);
        let throttled = self.throttled.and_then(|then| {
            let now = desk.quota.as_ref()?.throttled()?;
            Some(now.saturating_sub(then))
        });
        let was = self.block.as_ref().map(|block| block.verdict);
        let cause = cause::judge(&Evidence {
            looks: &self.looks,
            window,
            proven: verdict != Verdict::Open,
            gap,
            throttled,
        });
        let waits = delay_between(self.first, last).unwrap_or_default();
        let block = self.block(record, budget);
        block.verdict = verdict;
        block.budget_ns = budget_ns;
        block.wall_ns = wall;
        block.bracket = counted.then(|| Bracket {
            lower,
            upper: wall.saturating_sub(waits).max(lower),
        });
        block.vetoed = verdict == Verdict::Open && lower + gap > budget_ns;
        block.cause = cause;
        block.cpu_ns = window.cpu;
        block.delay_ns = window.delay;
        block.ready = record.stats.ready.load(Ordering::Relaxed);
        if verdict == Verdict::Open {
            desk.blocks.show(block, false);
            // Sooner at first: it may be proven by the next look.
            let wait = APART_NS << self.unproven_looks.min(6);
            self.unproven_looks += 1;
            return last.to + ticks(wait.min(budget_ns.max(APART_NS)));
        }
        // The alarm goes out before the stack is taken: that may have to wait for the thread.
        if was.is_none_or(|was| was == Verdict::Open) {
            desk.blocks.show(block, true);
        }
        let took = self.take_stack(record, probe, budget, desk);
        let block = self.block(record, budget);
        desk.blocks.show(block, took);
        if let (true, Some(stack)) = (took, &block.stack) {
            desk.names.ask(block, stack.clone());
        }
        let stack_due = STACKS
            .get(self.stacks)
            .map_or(u64::MAX, |times| self.since + times * budget);
        let now = clock::ticks();
        (now + clamp_look(budget)).min(stack_due.max(now))
    }

    /// Without `schedstat`: whether the two last looks show more than a wait for a CPU.
    fn proof_of_soft(&self, look: &Look) -> bool {
        let asleep = |look: &Look| matches!(look.state, Some('S' | 'D'));
        let apart = ticks(APART_NS);
        self.looks.iter().any(|old| {
            old.reading.to + apart <= look.reading.from
                && (asleep(old) && asleep(look) || look.reading.cpu > old.reading.cpu)
        })
    }

    /// Takes a stack if one is due. True: the block's stack, or the reason for none, is new.
    fn take_stack(
        &mut self,
        record: &LoopRecord,
        probe: &Probe,
        budget: u64,
        desk: &mut Desk,
    ) -> bool {
        let age = self.last.to.saturating_sub(self.since);
        let due = STACKS[self.stacks..]
            .iter()
            .take_while(|&&times| age >= times * budget)
            .count();
        if due == 0 {
            return false;
        }
        self.stacks += due;
        let since = self.since;
        let taken: Result<Stack, String> = match &mut desk.sampler {
            None => Err(desk.stacks_off.clone()),
            Some(sampler) => sampler.take(record, probe).and_then(|stack| {
                // One of the poll that came after would be somebody else's.
                let goes_on = record
                    .current
                    .read()
                    .is_some_and(|moment| moment.since == since);
                goes_on
                    .then_some(stack)
                    .ok_or_else(|| "it ended before its stack could be taken".to_owned())
            }),
        };
        let Some(block) = &mut self.block else {
            return false;
        };
        match (taken, &block.stack) {
            (Ok(stack), None) => block.stack = Some(Arc::new(stack)),
            (Ok(stack), Some(old)) => block.stack = Some(Arc::new(old.common(&stack))),
            (Err(why), None) => block.stack_missing = why,
            // A stack is there; that a second one failed takes nothing away from it.
            (Err(_), Some(_)) => return false,
        }
        if block.stack.is_some() {
            block.stack_missing.clear();
        }
        true
    }
}

/// Files a poll whose end nothing states: the next edge bounds it.
fn close(poll: Poll, next: Option<Moment>, desk: &mut Desk) {
    let Some(mut block) = poll.block else { return };
    let end = next
        .filter(|moment| !poll_is(poll.since, poll.row, poll.doing, moment))
        .map_or(poll.last.to, |moment| moment.since.max(poll.last.to));
    block.ended = Some(end);
    block.wall_ns = clock::ticks_to_ns(end.saturating_sub(poll.since));
    if let Some(held) = &mut block.bracket {
        let waits = delay_between(poll.first, poll.last).unwrap_or_default();
        held.upper = block.wall_ns.saturating_sub(waits).max(held.lower);
    }
    if block.verdict == Verdict::Open {
        block.verdict = Verdict::Host;
    }
    desk.blocks.file(block);
}

fn poll_is(since: u64, row: usize, doing: Doing, moment: &Moment) -> bool {
    moment.since == since && moment.row as usize == row && moment.doing == doing
}

fn same(a: &Moment, b: &Moment) -> bool {
    poll_is(a.since, a.row as usize, a.doing, b)
}

fn ticks(ns: u64) -> u64 {
    clock::ns_to_ticks(std::time::Duration::from_nanos(ns))
}

fn clamp_look(budget: u64) -> u64 {
    budget.clamp(ticks(LOOK_NS.0), ticks(LOOK_NS.1))
}

/// Waits for a CPU that the kernel added between two readings.
fn delay_between(from: Reading, to: Reading) -> Option<u64> {
    Some(to.sched?.delay.saturating_sub(from.sched?.delay))
}

/// The best lower bound up to tick `until`: from each anchor, a start and a reading not later
/// than it, the wall time less all waits since that reading.
fn bound(anchors: &[Option<(u64, Reading)>], until: u64, after: Reading) -> Option<u64> {
    anchors
        .iter()
        .flatten()
        .filter_map(|&(start, reading)| {
            let waits = delay_between(reading, after)?;
            let wall = clock::ticks_to_ns(until.saturating_sub(start));
            Some(wall.saturating_sub(waits))
        })
        .max()
}

/// Sums of the window between two readings inside a block.
fn between(first: Reading, last: Reading) -> Window {
    Window {
        wall: clock::ticks_to_ns(last.from.saturating_sub(first.to)),
        cpu: last
            .cpu
            .zip(first.cpu)
            .map(|(last, first)| last.saturating_sub(first)),
        delay: delay_between(first, last),
        slices: last
            .sched
            .zip(first.sched)
            .map(|(last, first)| last.slices - first.slices),
    }
}

/// What can be said of `took` ticks that lie somewhere between two readings: the thread slept in
/// them no longer than in all of the time between.
fn around(before: Option<Reading>, after: Reading, took: u64) -> Window {
    let wall = clock::ticks_to_ns(took);
    let told = before.and_then(|before| {
        let all = between(before, after);
        let (cpu, delay) = (all.cpu?, all.delay?);
        let slept = all.wall.saturating_sub(cpu + delay);
        Some(Window {
            wall,
            cpu: Some(wall.saturating_sub(slept + delay)),
            delay: Some(delay.min(wall)),
            slices: all.slices,
        })
    });
    told.unwrap_or(Window {
        wall,
        ..Window::default()
    })
}
