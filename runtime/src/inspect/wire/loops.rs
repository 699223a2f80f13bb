//! Loops and their histograms as messages.

use std::sync::atomic::Ordering;

use loop_proto::pb;
use loop_proto::quantile;

use super::{Wire, some};
use crate::inspect::blocks::Verdict;
use crate::inspect::census::{Census, LoopCensus};
use crate::inspect::tables::{LoopLook, Moment};
use crate::record::LoopRecord;
use crate::record::current::Doing;
use crate::record::histogram::{self, FLOOR, Histogram};

/// What a histogram does not know of itself, in ticks.
pub(crate) struct Totals {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    pub(crate) max: u64,
    /// When counting began, nanoseconds.
    pub(crate) since_ns: u64,
}

/// A histogram of ticks as the schema has it. A bucket's values are put where its middle lies.
pub(crate) fn histogram(of: &Histogram, totals: &Totals, now: &Moment) -> pb::Histogram {
    let (mut buckets, mut counts) = (Vec::new(), Vec::<u64>::new());
    let mut stored = 0;
    for (bucket, count) in of.filled() {
        let low = histogram::lower(bucket);
        let middle = low + (histogram::lower(bucket + 1) - low) / 2;
        let bucket = quantile::bucket_of(now.ns(middle)) as u32;
        stored += u64::from(count);
        match buckets.last() {
            Some(last) if *last == bucket => {
                *counts.last_mut().expect("as many as buckets") += u64::from(count);
            }
            _ => {
                buckets.push(bucket);
                counts.push(count.into());
            }
        }
    }
    // The loop counts a value before or after its total: a reader may come in between.
    let count = totals.count.max(stored);
    pb::Histogram {
        buckets,
        counts,
        count,
        sum_ns: now.ns(totals.sum),
        max_ns: now.ns(totals.max),
        below_floor: count - stored,
        floor_ns: now.ns(FLOOR),
        since_ns: totals.since_ns,
    }
}

impl Wire<'_> {
    pub(crate) fn lag(&self, at: &LoopLook) -> pb::Histogram {
        let stats = &at.record.stats;
        let load = |cell: &std::sync::atomic::AtomicU64| cell.load(Ordering::Relaxed);
        let now = self.look.now;
        let made = at.record.facts.made_at;
        // All time that is not spent waiting is lag of some iteration.
        let lived = now.ticks.saturating_sub(made);
        let totals = Totals {
            count: load(&stats.lags),
            sum: lived.saturating_sub(load(&stats.parked)),
            max: load(&stats.lag_max),
            since_ns: now.mono_of(made),
        };
        histogram(&at.record.lag, &totals, &now)
    }

    pub(crate) fn poll_times(&self, at: &LoopLook) -> pb::Histogram {
        let stats = &at.record.stats;
        let now = self.look.now;
        let totals = Totals {
            count: stats.polls.load(Ordering::Relaxed),
            sum: stats.busy.load(Ordering::Relaxed),
            max: stats.worst.load(Ordering::Relaxed),
            since_ns: now.mono_of(at.record.facts.made_at),
        };
        histogram(&at.record.poll_times, &totals, &now)
    }

    /// `sum` is not recorded a loop: it is 0, and the count is that of what passed the floor.
    pub(crate) fn delays(&self, at: &LoopLook) -> pb::Histogram {
        let totals = Totals {
            count: at.record.stats.polls.load(Ordering::Relaxed),
            sum: 0,
            max: u64::MAX,
            since_ns: self.look.now.mono_of(at.record.facts.made_at),
        };
        self.capped(&at.record.delays, totals)
    }

    pub(crate) fn lateness(&self, at: &LoopLook) -> pb::Histogram {
        let totals = Totals {
            count: at.record.stats.timers_fired.load(Ordering::Relaxed),
            sum: 0,
            max: u64::MAX,
            since_ns: self.look.now.mono_of(at.record.facts.made_at),
        };
        let mut late = self.capped(&at.record.late, totals);
        late.max_ns = at.record.stats.late_max.load(Ordering::Relaxed);
        late
    }

    /// Where no sum and no longest are recorded: the end of the last bucket bounds the longest.
    fn capped(&self, of: &Histogram, totals: Totals) -> pb::Histogram {
        let mut all = histogram(of, &Totals { max: 0, ..totals }, &self.look.now);
        all.max_ns = match all.buckets.last() {
            Some(&last) => quantile::upper(last as usize),
            None => all.floor_ns,
        };
        let pairs: u128 = all
            .pairs()
            .map(|(bucket, count)| {
                let middle = quantile::lower(bucket) / 2 + quantile::upper(bucket) / 2;
                u128::from(middle) * u128::from(count)
            })
            .sum();
        all.sum_ns = u64::try_from(pairs).unwrap_or(u64::MAX);
        all
    }

    pub(crate) fn loop_row(&mut self, at: &LoopLook, census: &Census) -> pb::LoopRow {
        let record = &at.record;
        let stats = &record.stats;
        let load = |cell: &std::sync::atomic::AtomicU64| cell.load(Ordering::Relaxed);
        let now = self.look.now;
        let LoopCensus {
            tasks,
            ready,
            timers,
            next_due,
            sources,
            oldest_ready,
            ..
        } = census.of(record.id);
        let moment = record.current.read();
        let doing = record.current.doing();
        let lag = self.lag(at);
        let busy_now = match moment {
            Some(moment) if moment.doing == Doing::Polling && !moment.row.is_null() => {
                now.ticks.saturating_sub(moment.since)
            }
            _ => 0,
        };
        let task_now = moment
            .and_then(|moment| record.tasks.at(moment.row))
            .map_or(0, |row| row.task_id());
        // A wait that goes on counts: a loop that is blocked now has no later lag to show.
        let lag_now = match (doing.is_work(), moment) {
            (true, Some(moment)) => now.since(moment.since),
            _ => 0,
        };
        let quantile_of = |q: f64| lag.quantile(q).map(loop_proto::quantile::Range::middle);
        let ring = record.ring();
        let thread = record
            .facts
            .thread_name
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let name = record.name();
        let busy = census.busy(record.id);
        let block = self
            .blocks
            .as_ref()
            .and_then(|blocks| blocks.now(record.id))
            .filter(|block| block.verdict != Verdict::Allowed);
        let blocked = block.as_ref().is_some_and(|block| !block.waits_for_cpu());
        let known = self.blocks.is_some();
        let tally = self
            .blocks
            .as_ref()
            .map_or_else(Default::default, |blocks| blocks.tally(record.id));
        pb::LoopRow {
            id: record.id.get().into(),
            name: (!name.is_empty()).then(|| pb::Name {
                stem_text: self.texts.own(&name),
                ..pb::Name::default()
            }),
            thread,
            tid: record.facts.thread.load(Ordering::Acquire),
            state: match blocked {
                true => pb::LoopState::Blocked,
                false => loop_state(doing),
            } as i32,
            tasks,
            ready,
            iterations: load(&stats.iterations),
            polls: load(&stats.polls),
            busy_ns: now.ns(load(&stats.busy) + busy_now),
            parked_ns: now.ns(load(&stats.parked)),
            busy_ratio: busy.map(|(ratio, _)| ratio),
            busy_window_ns: busy.map_or(0, |(_, window)| window),
            lag_p50_ns: quantile_of(0.5),
            lag_p99_ns: quantile_of(0.99),
            lag_max_ns: (lag.count > 0 || lag_now > 0).then(|| lag.max_ns.max(lag_now)),
            lag: Some(lag),
            poll: Some(self.poll_times(at)),
            scheduled: self.extras.scheduled.then(|| self.delays(at)),
            timer_late: self.extras.late.then(|| self.lateness(at)),
            blocked: block.map(|block| self.block(&block)),
            block_budget_ns: record.limit_ns(record.budget()),
            blocks: if known {
                tally.proven + tally.soft + tally.lost
            } else {
                load(&stats.blocks)
            },
            worst_block_ns: tally.worst,
            timers,
            next_due_ns: next_due,
            timers_fired: load(&stats.timers_fired),
            timers_cancelled: load(&stats.timers_cancelled),
            sources,
            backend: backend().to_owned(),
            spawned: load(&stats.spawned),
            finished: load(&stats.finished),
            lost: ring.map_or_else(Vec::new, |ring| super::sums::lost(&ring.lost())),
            started_at_ns: now.mono_of(record.facts.made_at),
            current_task_id: task_now,
            internal: record.facts.internal,
            foreign_wakes: load(&stats.away_wakes),
            io_events: load(&stats.io_events),
            io_spurious: 0,
            oldest_ready_ns: some(oldest_ready),
            stacks_off: self.stacks_off.to_owned(),
            host_blocks: tally.host,
            throttled_blocks: tally.throttled,
            standstill: standstill(record),
        }
    }
}

/// Who can wake a loop that has nothing of its own to do so.
fn standstill(record: &LoopRecord) -> Option<pb::Standstill> {
    if let Some(dead) = record.still.read_dead() {
        return Some(pb::Standstill {
            since_ns: dead.since,
            nobody: true,
            ..pb::Standstill::default()
        });
    }
    let (outside, since) = record.still.read_outside()?;
    Some(pb::Standstill {
        since_ns: since,
        nobody: false,
        handles: outside.handles.into(),
        threads: outside.threads.map(Into::into),
    })
}

fn loop_state(doing: Doing) -> pb::LoopState {
    match doing {
        Doing::Parked => pb::LoopState::Park,
        Doing::Stopped => pb::LoopState::Stopped,
        Doing::Closed => pb::LoopState::Closed,
        _ => pb::LoopState::Run,
    }
}

fn backend() -> &'static str {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        "epoll"
    } else if cfg!(windows) {
        "iocp"
    } else if cfg!(any(
        target_os = "macos",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    )) {
        "kqueue"
    } else {
        ""
    }
}
