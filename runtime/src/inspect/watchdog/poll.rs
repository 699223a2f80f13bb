//! One poll that runs: looked at until it is proven to hold its loop, and then shown as a block.
//!
//! Knows its own looks, not the log of the loop; `watch` has that.

use std::panic::Location;

use loop_proto::finding::Limits;

use super::bounds::{between, bound, delay_between};
use super::{Desk, behind};
use crate::clock;
use crate::id;
use crate::inspect::blocks::{Block, Bracket, Seen, Verdict};
use crate::inspect::cause::proc::Probe;
use crate::inspect::cause::{self, Evidence, Judgement, Look, Reading};
use crate::inspect::stack::Stack;
use crate::inspect::stack::names::Place;
use crate::inspect::stack::samples::{KEPT, Samples};
use crate::record::LoopRecord;
use crate::record::allowed::Share;
use crate::record::current::{Doing, Moment};
use crate::record::over::Blamed;

/// Full looks kept of one poll: the first, and the last ones.
const LOOKS: usize = 8;
/// Two looks nearer than this prove nothing.
const APART_NS: u64 = 1_000_000;
/// While something is blocked: no look sooner, none later than this after the last.
const LOOK_NS: (u64, u64) = (10_000_000, 250_000_000);
/// Why there is no stack of it.
pub(super) const ALLOWED: &str = "it was allowed to block";
/// A stack is taken when the budget has passed once, twice and four times, or as soon after that as
/// a budget after the last; as long as none could be had it is tried again, so often.
const TRIES: usize = 16;

/// Something that runs, seen at least once.
pub(super) struct Poll {
    pub(super) since: u64,
    pub(super) doing: Doing,
    pub(super) row: usize,
    pub(super) task: Option<Blamed>,
    pub(super) spawn_place: Option<&'static Location<'static>>,
    pub(super) before: Option<Reading>,
    /// The first and the last reading inside it.
    pub(super) first: Reading,
    pub(super) last: Reading,
    pub(super) looks: Vec<Look>,
    /// Nanoseconds that are proven so far, and what gaps took away from them.
    pub(super) lower: u64,
    pub(super) gap: u64,
    /// What was allowed so far.
    pub(super) allowed: Share,
    pub(super) unproven_looks: u32,
    pub(super) block: Option<Block>,
    pub(super) stacks: usize,
    /// Ticks of its own at which the next stack is due.
    pub(super) stack_due: u64,
    /// It ran for so long at the last look that it may be found not to yield.
    pub(super) was_long: bool,
}

impl Poll {
    pub(super) fn is(&self, moment: &Moment) -> bool {
        poll_is(self.since, self.row, self.doing, moment)
    }

    /// Adds a full look, and raises what is proven.
    pub(super) fn weigh(&mut self, look: Look, desk: &Desk) {
        if let Some(proof) = self.proof(&look) {
            let anchors = [
                self.before.map(|before| (self.since, before)),
                Some((self.first.from, self.first)),
            ];
            self.gap = desk.gaps.within(self.since, look.reading.to);
            if let Some(lower) = bound(&anchors, proof, look.reading) {
                let taken = self.gap + clock::ticks_to_ns(self.allowed.ticks);
                self.lower = self.lower.max(lower.saturating_sub(taken));
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
            allowed: Share::default(),
            bracket: None,
            budget_ns: record.limit_ns(budget),
            seen: Seen::Live,
            verdict: Verdict::Open,
            vetoed: false,
            cause: Judgement::default(),
            samples: Samples::default(),
            stack_missing: String::new(),
            place: Place::without_stack(task.and_then(|task| task.await_place), spawn_place),
            cpu_ns: None,
            delay_ns: None,
            throttled: None,
            behind: None,
        })
    }

    /// Shows what is over its budget on the wall, and not without what it was allowed; or that what
    /// an alarm was raised for goes on in a stretch that is allowed.
    pub(super) fn show_allowed(
        &mut self,
        record: &LoopRecord,
        reading: Reading,
        budget: u64,
        desk: &mut Desk,
    ) {
        let (since, allowed) = (self.since, self.allowed);
        if reading.to < since + budget {
            return;
        }
        let block = self.block(record, budget);
        if block.verdict == Verdict::Open {
            block.verdict = Verdict::Allowed;
            block.cause = cause::allowed();
            block.stack_missing = ALLOWED.to_owned();
        }
        block.allowed = allowed;
        block.wall_ns = clock::ticks_to_ns(reading.to.saturating_sub(since));
        if behind::is_cheap(record) {
            block.behind = Some(behind::look(record));
        }
        desk.blocks.show(block, false);
    }

    pub(super) fn show_soft(
        &mut self,
        record: &LoopRecord,
        reading: Reading,
        budget: u64,
        desk: &mut Desk,
    ) {
        let (since, allowed) = (self.since, self.allowed);
        let first = self.block.is_none();
        let block = self.block(record, budget);
        block.verdict = Verdict::Soft;
        block.allowed = allowed;
        block.wall_ns = clock::ticks_to_ns(reading.to.saturating_sub(since));
        block.stack_missing = "the loop's thread is not known".to_owned();
        block.cause = cause::judge(&Evidence {
            proven: true,
            unread: "the loop's thread is not known",
            ..Evidence::default()
        });
        if first || behind::is_cheap(record) {
            block.behind = Some(behind::look(record));
        }
        desk.blocks.show(block, first);
    }

    /// Shows what the last look came to. Returns when to look again.
    pub(super) fn show(
        &mut self,
        record: &LoopRecord,
        probe: &Probe,
        budget: u64,
        desk: &mut Desk,
    ) -> u64 {
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
        let own = if counted {
            lower
        } else {
            window.cpu.unwrap_or(0)
        };
        desk.quota.read(probe.tid, last.to);
        let throttled = desk.quota.since(self.since);
        let was = self.block.as_ref().map(|block| block.verdict);
        let cause = cause::judge(&Evidence {
            looks: &self.looks,
            window,
            proven: verdict != Verdict::Open,
            gap,
            throttled,
            unproven: wall.saturating_sub(own + clock::ticks_to_ns(self.allowed.ticks)),
            unread: "",
        });
        let waits = delay_between(self.first, last).unwrap_or_default();
        // From here on more may be said of a task than that it blocks.
        let is_long = wall >= Limits::default().yield_ns;
        let turned_long = is_long && !std::mem::replace(&mut self.was_long, is_long);
        let allowed = self.allowed;
        let block = self.block(record, budget);
        block.allowed = allowed;
        block.verdict = verdict;
        block.budget_ns = budget_ns;
        block.wall_ns = wall;
        block.bracket = counted.then(|| Bracket {
            lower,
            upper: wall
                .saturating_sub(waits.max(clock::ticks_to_ns(allowed.ticks)))
                .max(lower),
        });
        block.vetoed = verdict == Verdict::Open && lower + gap > budget_ns;
        block.cause = cause;
        block.cpu_ns = window.cpu;
        block.delay_ns = window.delay;
        block.throttled = throttled;
        // Should it be proven, its stack is taken at once: names are needed soon.
        if desk.sampler.is_some() {
            desk.names.get_ready();
        }
        if verdict == Verdict::Open {
            desk.blocks.show(block, false);
            // Sooner at first: it may be proven by the next look.
            let wait = APART_NS << self.unproven_looks.min(6);
            self.unproven_looks += 1;
            return last.to + ticks(wait.min(budget_ns.max(APART_NS)));
        }
        // The alarm goes out before the stack is taken: that may have to wait for the thread.
        if was.is_none_or(|was| matches!(was, Verdict::Open | Verdict::Allowed)) {
            desk.blocks.show(block, true);
        }
        let stacks = self.stacks;
        let took = self.take_stack(record, probe, budget, desk);
        // Looking who waits costs a walk over the rows: as often as stacks are taken, and with each
        // look where there are few.
        let walk = self.stacks > stacks || behind::is_cheap(record);
        let block = self.block(record, budget);
        if walk {
            block.behind = Some(behind::look(record));
        }
        desk.blocks.show(block, took || turned_long);
        if took && block.samples.taken() > 0 {
            desk.names.ask(block);
        }
        let own = self.own();
        let stack_due =
            (self.next_stack(budget)).map_or(u64::MAX, |due| last.to + due.saturating_sub(own));
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

    /// Ticks for which it has run at most: neither waiting for a CPU, as far as is told, nor allowed
    /// to block. By this the moments of its stacks are spread, however busy the machine is.
    fn own(&self) -> u64 {
        let waits = delay_between(self.first, self.last).unwrap_or_default();
        self.last
            .to
            .saturating_sub(self.since)
            .saturating_sub(ticks(waits) + self.allowed.ticks)
            .max(ticks(self.lower))
    }

    /// The time of its own at which the next stack is due. `None`: no more are taken.
    fn next_stack(&self, budget: u64) -> Option<u64> {
        let taken = self.block.as_ref().map_or(0, |block| block.samples.taken());
        let more = self.stacks < KEPT || taken == 0 && self.stacks < TRIES;
        more.then_some(self.stack_due.max(budget))
    }

    /// Takes a stack if one is due. True: the block's stack, or the reason for none, is new.
    fn take_stack(
        &mut self,
        record: &LoopRecord,
        probe: &Probe,
        budget: u64,
        desk: &mut Desk,
    ) -> bool {
        let age = self.own();
        if self.next_stack(budget).is_none_or(|due| age < due) {
            return false;
        }
        self.stacks += 1;
        self.stack_due = due_after(budget, self.stacks, age);
        let since = self.since;
        let taken: Result<Stack, String> = match &mut desk.sampler {
            None => Err(desk.stacks_off.clone()),
            Some(sampler) => sampler
                .take(record, probe)
                .inspect_err(|_| desk.blocks.missed())
                .and_then(|stack| {
                    desk.blocks.took();
                    // One of the poll that came after would be somebody else's. Where the machine
                    // is busy it may have ended since: the log says when.
                    let goes_on = record
                        .current
                        .read()
                        .is_some_and(|moment| moment.since == since);
                    (goes_on || record.over.ended_after(since, stack.at))
                        .then_some(stack)
                        .ok_or_else(|| "it ended before its stack could be taken".to_owned())
                }),
        };
        let Some(block) = &mut self.block else {
            return false;
        };
        match taken {
            Ok(stack) => {
                block.samples.push(stack);
                block.stack_missing.clear();
            }
            Err(why) if block.samples.taken() == 0 => block.stack_missing = why,
            // A stack is there; that a second one failed takes nothing away from it.
            Err(_) => return false,
        }
        true
    }
}

/// When the next stack is due, `stacks` tries into a poll that has run for `age`: the tries lie ever
/// further apart, and one that came late takes none of the next ones' place.
fn due_after(budget: u64, stacks: usize, age: u64) -> u64 {
    let usual = budget.saturating_mul(1 << stacks.min(TRIES));
    usual.max(age.saturating_add(budget))
}

/// Files a poll whose end nothing states: the next edge bounds it.
pub(super) fn close(poll: Poll, next: Option<Moment>, desk: &mut Desk) {
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
    block.allowed.open = false;
    if block.verdict == Verdict::Open {
        block.verdict = Verdict::Host;
    }
    desk.blocks.file(block);
}

fn poll_is(since: u64, row: usize, doing: Doing, moment: &Moment) -> bool {
    moment.since == since && moment.row as usize == row && moment.doing == doing
}

pub(super) fn same(a: &Moment, b: &Moment) -> bool {
    poll_is(a.since, a.row as usize, a.doing, b)
}

fn ticks(ns: u64) -> u64 {
    clock::ns_to_ticks(std::time::Duration::from_nanos(ns))
}

/// No look comes sooner after the last.
pub(super) fn soonest_look() -> u64 {
    ticks(LOOK_NS.0)
}

pub(super) fn clamp_look(budget: u64) -> u64 {
    budget.clamp(ticks(LOOK_NS.0), ticks(LOOK_NS.1))
}

#[cfg(test)]
mod tests {
    use super::due_after;

    #[test]
    fn a_stack_that_was_taken_late_leaves_the_next_ones_their_turn() {
        assert_eq!(due_after(100, 1, 100), 200);
        assert_eq!(due_after(100, 2, 203), 400);
        assert_eq!(
            due_after(100, 1, 420),
            520,
            "the second, and not none any more"
        );
        assert_eq!(due_after(100, 2, 530), 630);
        assert_eq!(due_after(u64::MAX / 4, 16, 1), u64::MAX);
    }
}
