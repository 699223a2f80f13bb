//! Whether a loop that is about to wait for nothing of its own can be woken by anybody.
//!
//! Asked only where no timer is armed, so a loop that has any pays nothing. What decides is at hand or
//! one system call away; no clock does. The clock says only how soon to look again where somebody
//! outside might wake the loop: the threads that could may end without doing so.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::deadlock::{Deadlock, Known, OnDeadlock};
use crate::clock;
use crate::context::Organs;
use crate::os::ours;
use crate::reactor::Wait;
use crate::record::standstill::{Outside, is_referred};
use crate::record::task::{Kind, On, State, TaskFacts, flag};

/// When to look again, if nothing has come meanwhile; then no more.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(2),
];
/// A loop that was woken from outside so often is asked about only once it has waited in quiet.
const TRUSTED: u8 = 4;

/// What a loop remembers of its parks.
#[derive(Default)]
pub(super) struct Parks {
    /// What to do, in this run.
    pub(super) rule: Cell<Rule>,
    /// How often somebody outside has been waited for.
    outside: Cell<u8>,
    /// Looks of this wait that came to nothing: an index into `AGAIN`.
    looks: Cell<u8>,
    /// What had come by now was looked at before anything is said: a signal may be in its pipe.
    at_hand: Cell<bool>,
    /// Why the run was ended.
    found: RefCell<Option<Deadlock>>,
}

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Rule {
    /// Nothing is asked: it ends by itself.
    #[default]
    Unasked,
    /// The main task's end, and this when that cannot come.
    Main(OnDeadlock),
    /// Whatever comes: a loop without anything to do may idle.
    Forever,
}

impl Parks {
    /// A run begins.
    pub(super) fn begin(&self, organs: &Organs, rule: Rule) {
        organs.record.still.over();
        self.rule.set(rule);
        self.looks.set(0);
        self.at_hand.set(false);
        self.found.take();
    }

    /// Why the run was ended, if it was for that.
    pub(super) fn take(&self) -> Option<Deadlock> {
        self.found.take()
    }

    /// How to wait where no timer is armed; `None`: not at all, for the run is over.
    ///
    /// The loop is marked as asleep, and found nothing that was sent to it.
    pub(super) fn wait(&self, organs: &Organs) -> Option<Wait> {
        let rule = self.rule.get();
        let has_own = organs.blocking.is_busy()
            || organs.record.signals.apps() > 0
            || organs.reactor.may_wake();
        if rule == Rule::Unasked || has_own || organs.executor.live_tasks() == 0 {
            organs.record.still.over();
            return Some(Wait::Forever);
        }
        let looks = self.looks.get();
        if looks == 0 && self.outside.get() >= TRUSTED {
            return Some(Wait::AtMost(AGAIN[0]));
        }
        // Before the look: what is given up after it ends the wait.
        organs.executor.shared().wait_alone(true);
        let others = ours::others();
        let handles = organs.executor.shared().handles();
        let known = if others == Some(0) {
            Some(Known::NoThread)
        } else if handles == 0
            && !is_referred(organs.record.id)
            && organs.executor.wait_for_each_other()
        {
            Some(Known::OnlyJoins)
        } else {
            None
        };
        match known {
            // Somebody who is gone by now may have sent something before.
            Some(_) if organs.executor.was_sent_something() => Some(Wait::Now),
            Some(_) if !self.at_hand.replace(true) => Some(Wait::Now),
            Some(known) => self.nobody(organs, rule, known),
            None => {
                let outside = Outside {
                    handles: handles.try_into().unwrap_or(u32::MAX),
                    threads: others.map(|others| others.try_into().unwrap_or(u32::MAX)),
                };
                organs.record.still.outside(outside, clock::mono());
                if looks == 0 {
                    self.outside.set(self.outside.get().saturating_add(1));
                }
                let again = AGAIN.get(usize::from(looks)).copied();
                Some(again.map_or(Wait::Forever, Wait::AtMost))
            }
        }
    }

    /// Nobody can wake the loop.
    fn nobody(&self, organs: &Organs, rule: Rule, known: Known) -> Option<Wait> {
        // Once a wait: nothing changes while nothing runs.
        if organs.record.still.read_dead().is_some() {
            return Some(Wait::Forever);
        }
        let on_purpose = match rule {
            Rule::Main(_) => main_waits_on_purpose(organs),
            Rule::Unasked | Rule::Forever => all_wait_on_purpose(organs),
        };
        if on_purpose {
            organs.record.still.over();
            return Some(Wait::Forever);
        }
        let deadlock = Deadlock::of(&organs.record, known, &organs.executor.joins());
        organs.record.still.nobody(deadlock.dead(clock::mono()));
        if rule == Rule::Main(OnDeadlock::Error) {
            organs.executor.shared().wait_alone(false);
            self.found.replace(Some(deadlock));
            return None;
        }
        Some(Wait::Forever)
    }

    /// A wait of `wait` is over; `quiet`: nothing came.
    pub(super) fn waited(&self, organs: &Organs, wait: Wait, quiet: bool) {
        match wait {
            Wait::AtMost(_) if quiet => {
                self.looks.set(self.looks.get().saturating_add(1));
                return;
            }
            Wait::Now if quiet && self.at_hand.get() => return,
            _ => {}
        }
        self.at_hand.set(false);
        if self.found.borrow().is_some() {
            // The run ends, and the loop stands as it was found.
            return;
        }
        organs.executor.shared().wait_alone(false);
        organs.record.still.over();
        self.looks.set(0);
    }
}

/// Whether the main task says that it waits for ever: then nobody expects its end.
fn main_waits_on_purpose(organs: &Organs) -> bool {
    let main = organs.executor.main_row();
    main.and_then(|row| row.read())
        .is_some_and(|facts| waits_on_purpose(&facts))
}

/// Whether all tasks of the app do.
fn all_wait_on_purpose(organs: &Organs) -> bool {
    let all = organs.record.tasks.live().filter_map(|(_, row)| row.read());
    let mut tasks = all.filter(|facts| {
        facts.state != State::Done && facts.kind != Kind::Callback && !facts.has(flag::INTERNAL)
    });
    tasks.all(|facts| facts.has(flag::FOREVER) || waits_on_purpose(&facts))
}

fn waits_on_purpose(facts: &TaskFacts) -> bool {
    facts.state == State::Wait && facts.waits > 0 && facts.waiting_on.kind() == On::Forever
}

#[cfg(test)]
mod tests;
