//! A live task as a message.

use loop_proto::pb;
use loop_proto::quantile;

use super::{Wire, names_of, strip};
use crate::inspect::live::{of_the_app, task_kind, task_state, wake_cause};
use crate::inspect::tables::{LoopLook, Spot, since};
use crate::inspect::waits::{Reading, child_pipe, words};
use crate::record::task::{COARSE, State, TaskFacts, TaskRow, WaitingOn, coarse_lower, flag};

impl Wire<'_> {
    /// The task in that slot, as `facts` say.
    pub(crate) fn task(
        &mut self,
        at: &LoopLook,
        spot: Spot,
        row: &TaskRow,
        facts: &TaskFacts,
    ) -> pb::TaskRow {
        let now = self.look.now;
        let site = at.site(facts.site);
        let since = match facts.state {
            State::Run => since(&at.record, row, State::Run),
            State::Ready | State::Wait | State::Done => facts.woken_at,
        };
        let for_ns = now.since(since);
        let since_ns = now.mono.saturating_sub(for_ns);
        let ran_now = match facts.state {
            State::Run => for_ns,
            _ => 0,
        };
        let reading = Reading::of(facts);
        let waits = facts.state == State::Wait && facts.waits > 0;
        let waiting_on = reading
            .kind(self.found)
            .map(|kind| self.wait(kind, facts.waiting_on, facts));
        let last_wake = facts.woken_by.map(|cause| {
            let (cause, id) = wake_cause(cause, facts.id);
            pb::Wake {
                cause: cause as i32,
                id: match cause {
                    // Its own loop, outside any poll.
                    pb::WakeCause::Loop => at.record.id.get().into(),
                    _ => id,
                },
                // Kept only until the poll that it led to has ended.
                at_ns: (facts.state == State::Ready).then_some(since_ns),
                ..pb::Wake::default()
            }
        });
        let name = self.look.name_of(at, facts);
        let strips = self.strips.filter(|_| self.extras.strip);
        pb::TaskRow {
            id: facts.id,
            name: self.name(name),
            kind: task_kind(facts.kind as u8) as i32,
            state: task_state(facts.state) as i32,
            loop_id: at.record.id.get().into(),
            parent_id: facts.parent,
            spawned_at_ns: now.mono_of(facts.spawned_at),
            spawn_place_text: self.texts.place(site.place),
            type_text: if self.extras.type_name {
                self.texts.fixed(site.type_name)
            } else {
                0
            },
            waiting_on,
            more_waits: if waits {
                more_waits(facts.waits.into(), facts.wakers)
            } else {
                0
            },
            waiting_at_text: if waits {
                self.texts.place(facts.waiting_at.filter(of_the_app))
            } else {
                0
            },
            for_ns,
            since_ns,
            polls: facts.polls,
            busy_ns: now.ns(facts.busy) + ran_now,
            scheduled_ns: now.ns(facts.scheduled),
            max_poll_ns: now.ns(facts.max_poll).max(ran_now),
            wakes: facts.wakes.into(),
            self_wakes: facts.self_wakes.into(),
            wakers: facts.wakers.max(0) as u32,
            handles: facts.handles,
            last_wake,
            detached: facts.handles == 0,
            cancel_requested: facts.cancels > 0 || facts.has(flag::CANCELLING),
            cancel_requested_at_ns: (facts.cancels > 0)
                .then(|| at.record.requests.of(facts.id))
                .flatten()
                .map(|asked| now.mono_of(asked.first)),
            outcome: 0,
            error: String::new(),
            ended_at_ns: None,
            result_taken: false,
            poll_buckets: if self.extras.buckets {
                buckets(facts, &now)
            } else {
                Vec::new()
            },
            busy_strip: strips
                .and_then(|strips| {
                    let busy = facts.busy
                        + match facts.state {
                            State::Run => now.ticks.saturating_sub(since),
                            _ => 0,
                        };
                    strips.of(at.record.id, spot.slot, facts.id, busy, &now)
                })
                .map(strip),
            findings: names_of(self.findings.get(&facts.id).copied().unwrap_or(0)),
            children: self
                .children
                .and_then(|children| children.get(&facts.id).copied())
                .unwrap_or(0),
            internal: at.record.facts.internal || facts.has(flag::INTERNAL),
            future_bytes: u32::try_from(site.size).unwrap_or(u32::MAX),
            allowed_forever: facts.has(flag::FOREVER),
            last_poll_end_ns: (facts.state == State::Wait && facts.polls > 0).then_some(since_ns),
        }
    }

    /// What the task waits for.
    fn wait(&mut self, kind: pb::WaitKind, on: WaitingOn, facts: &TaskFacts) -> pb::Wait {
        let place = facts.waiting_at.filter(of_the_app);
        let place = place.filter(|_| facts.waits > 0);
        let wait = words(kind, on.id(), facts.id, facts.wakers, self.found);
        let (name, number) = (wait.name, wait.number);
        let name = (!name.is_empty()).then(|| pb::Name {
            stem_text: self.texts.own(name),
            number,
            own: String::new(),
        });
        pb::Wait {
            kind: kind as i32,
            id: wait.id,
            place_text: self.texts.place(place),
            since_ns: None,
            due_ns: self
                .found
                .timers
                .get(&on.id())
                .filter(|_| kind == pb::WaitKind::Timer)
                .map(|timer| timer.deadline),
            fd: wait.fd,
            readable: wait.readable,
            writable: wait.writable,
            name,
            resource_kind: wait.resource as i32,
            holder_task_id: wait.holder,
            detail: wait.detail.to_owned(),
            count: wait.count,
            pipe: self
                .found
                .sources
                .get(&on.id())
                .filter(|_| kind == pb::WaitKind::Io)
                .and_then(|(source, _)| child_pipe(source, self.found)),
        }
    }

    /// One thing a task waits for, as a table other than the tasks' tells it.
    pub(crate) fn wait_on(
        &mut self,
        on: WaitingOn,
        facts: &TaskFacts,
        place: Option<&'static std::panic::Location<'static>>,
        since_ns: Option<u64>,
    ) -> pb::Wait {
        let waiting = TaskFacts {
            state: State::Wait,
            waits: 1,
            wakers: facts.wakers.max(1),
            waiting_on: on,
            waiting_at: place,
            ..facts.clone()
        };
        let kind = Reading::of(&waiting)
            .kind(self.found)
            .unwrap_or(pb::WaitKind::Unspecified);
        pb::Wait {
            since_ns,
            ..self.wait(kind, on, &waiting)
        }
    }
}

/// How many polls fell into the eight ranges of the schema, from the task's own coarser ones: each
/// is counted where the middle of its range lies.
fn buckets(facts: &TaskFacts, now: &crate::inspect::tables::Moment) -> Vec<u64> {
    let mut all = vec![0; 8];
    let mut counted = 0;
    for (index, count) in facts.coarse.iter().enumerate() {
        let low = now.ns(coarse_lower(index));
        let high = if index + 1 < COARSE {
            now.ns(coarse_lower(index + 1))
        } else {
            2 * low
        };
        all[quantile::coarse_of(low + (high - low) / 2)] += u64::from(*count);
        counted += u64::from(*count);
    }
    all[0] += facts.polls.saturating_sub(counted);
    all
}

/// How many things a task waits for besides the first, of so many that its last poll told and with so many wakers.
///
/// A loop around a `select!` tells its arms anew in each turn of one poll. Each wait keeps a waker, so there are no more of them
/// than wakers; but one waker alone may stand for many waits, where futures are polled with wakers of their own.
fn more_waits(told: u32, wakers: i32) -> u32 {
    let most = match u32::try_from(wakers) {
        Ok(0 | 1) | Err(_) => told,
        Ok(wakers) => wakers,
    };
    told.min(most).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::more_waits;

    #[test]
    fn a_loop_that_told_its_arms_often_waits_for_no_more_than_it_has_wakers() {
        assert_eq!(more_waits(3, 3), 2);
        assert_eq!(more_waits(43, 3), 2);
        assert_eq!(more_waits(1, 1), 0);
        // A set of futures that hands out its own wakers.
        assert_eq!(more_waits(30, 1), 29);
        assert_eq!(more_waits(2, 0), 1);
    }
}
