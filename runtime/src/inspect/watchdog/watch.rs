//! What the watchdog knows of one loop: readings of its thread, and the poll that runs.
//!
//! The log of what ended is read here, and each entry settles the poll it is of; `poll` is what is
//! known of one that runs. Knows no viewer.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bounds::{around, bound, delay_between};
use super::poll::{ALLOWED, Poll, clamp_look, close, same, soonest_look};
use super::{Desk, LINGER};
use crate::clock;
use crate::id;
use crate::inspect::blocks::{Block, Bracket, Seen, Verdict};
use crate::inspect::cause::proc::Probe;
use crate::inspect::cause::{self, Evidence, Judgement, Reading};
use crate::inspect::stack::names::Place;
use crate::inspect::stack::samples::Samples;
use crate::os::Sched;
use crate::record::LoopRecord;
use crate::record::allowed::Share;
use crate::record::current::{Doing, Moment};
use crate::record::over::{Blamed, CAPACITY, Over};

/// Readings kept from before the running poll, newest last.
const HISTORY: usize = 8;

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
        // What a poll loses to a quota is counted from a reading before it.
        if desk.quota.is_set() {
            desk.quota.read(self.tid(), reading.from);
        }
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

    /// 0: not known.
    fn tid(&self) -> u64 {
        self.probe.as_ref().map_or(0, |probe| probe.tid)
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
        let allowed = clock::ticks_to_ns(over.allowed.ticks);
        let gap = desk.gaps.within(over.start, end);
        let anchors = [
            before.map(|before| (over.start, before)),
            poll.as_ref().map(|poll| (poll.first.from, poll.first)),
        ];
        let lower = bound(&anchors, end, after).map(|lower| lower.saturating_sub(allowed));
        let upper = poll.as_ref().map_or(0, |poll| {
            delay_between(poll.first, poll.last).unwrap_or_default()
        });
        let proven = poll.as_ref().map_or(0, |poll| poll.lower);
        block.ended = Some(end);
        block.wall_ns = wall;
        block.allowed = over.allowed;
        block.budget_ns = self.record.limit_ns(over.budget);
        block.bracket = lower.map(|lower| Bracket {
            lower: lower
                .saturating_sub(gap)
                .max(proven)
                .min(wall - allowed.min(wall)),
            upper: wall.saturating_sub(upper.max(allowed)),
        });
        block.vetoed = lower.is_some_and(|lower| {
            lower > block.budget_ns && lower.saturating_sub(gap).max(proven) <= block.budget_ns
        });
        block.verdict = match block.bracket {
            _ if over.is_allowed() => Verdict::Allowed,
            Some(held) if held.lower > block.budget_ns => Verdict::Proven,
            Some(_) => Verdict::Host,
            None => Verdict::Soft,
        };
        let proven = matches!(block.verdict, Verdict::Proven | Verdict::Soft);
        if block.verdict == Verdict::Allowed {
            block.cause = cause::allowed();
            block.stack_missing = ALLOWED.to_owned();
        // A block that was looked at keeps the cause that was seen, unless the verdict turned.
        } else if block.seen == Seen::Clock || !proven || block.cause == Judgement::default() {
            let window = around(before, after, over.took);
            if desk.quota.is_set() {
                desk.quota.read(self.tid(), after.to);
            }
            block.throttled = desk.quota.since(over.start);
            let held = block.bracket.map(|held| held.lower).or(window.cpu);
            block.cpu_ns = window.cpu;
            block.delay_ns = window.delay;
            block.cause = cause::judge(&Evidence {
                looks: poll.as_ref().map_or(&[], |poll| &poll.looks),
                window,
                proven,
                gap,
                throttled: block.throttled,
                unproven: wall.saturating_sub(held.unwrap_or(0) + allowed),
                unread: "",
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
            allowed: Share::default(),
            bracket: None,
            budget_ns: 0,
            seen: Seen::Clock,
            verdict: Verdict::Open,
            vetoed: false,
            cause: Judgement::default(),
            samples: Samples::default(),
            stack_missing: "it was over before it could be looked at".to_owned(),
            place: Place::without_stack(over.task.and_then(|task| task.await_place), spawn_place),
            cpu_ns: None,
            delay_ns: None,
            throttled: None,
            behind: None,
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
                lower: 0,
                gap: 0,
                allowed: Share::default(),
                unproven_looks: 0,
                block: None,
                stacks: 0,
                stack_due: 0,
                was_long: false,
            });
        }
        let poll = self.poll.as_mut().expect("made above if it was not there");
        poll.last = reading;
        poll.allowed = self.record.allowed_since(moment.since, reading.to);
        // While it is allowed to block the budget is not used up any further.
        let due = moment.since + budget + poll.allowed.ticks;
        if poll.allowed.ticks > 0 && (poll.allowed.open || reading.from < due) {
            poll.show_allowed(&self.record, reading, budget, desk);
            return match poll.allowed.open {
                true => due.max(reading.to + soonest_look()),
                false => due,
            };
        }
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
