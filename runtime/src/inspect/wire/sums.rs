//! Totals, cost, losses, places and series as messages.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::Ordering;

use loop_proto::pb;

use super::Wire;
use crate::inspect::census::Census;
use crate::inspect::history::{History, LENGTHS, Past, Slot, Slots};
use crate::inspect::places::{Named, Tally};
use crate::inspect::wire::loops::{Totals, histogram};
use crate::record::event::{KINDS, Kind};
use crate::record::task::Kind as TaskKind;

/// The schema's kind of one of the ring's.
pub(crate) fn event_kind(kind: Kind) -> pb::EventKind {
    match kind {
        Kind::TaskSpawned => pb::EventKind::TaskSpawned,
        Kind::TaskFinished => pb::EventKind::TaskFinished,
        Kind::TaskPolled => pb::EventKind::TaskPolled,
        Kind::TaskBlocked => pb::EventKind::LoopUnblocked,
        Kind::TimerArmed => pb::EventKind::TimerArmed,
        Kind::TimerFired => pb::EventKind::TimerFired,
        Kind::TimerCancelled => pb::EventKind::TimerCancelled,
        Kind::SourceRegistered => pb::EventKind::SourceRegistered,
        Kind::SourceReady => pb::EventKind::SourceReady,
        Kind::SourceReleased => pb::EventKind::SourceDeregistered,
        Kind::ChildStarted => pb::EventKind::ChildStarted,
        Kind::ChildExited => pb::EventKind::ChildExited,
        Kind::SignalReceived => pb::EventKind::SignalReceived,
        Kind::PollSlow => pb::EventKind::PollSlow,
    }
}

/// Losses by kind, those that there are.
pub(crate) fn lost(counts: &[u64; KINDS]) -> Vec<pb::Lost> {
    Kind::all()
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| pb::Lost {
            kind: event_kind(kind) as i32,
            count: *count,
        })
        .collect()
}

/// One spawn place over all loops.
#[derive(Default)]
struct Place {
    live: u64,
    ready: u64,
    spawned: u64,
    finished: u64,
    failed: u64,
    busy: u64,
    polls: u64,
    max: u64,
    oldest: Option<u64>,
    minutes: std::collections::HashSet<u64>,
    stem: Option<u32>,
    mixed: bool,
    poll: Option<pb::Histogram>,
    findings: u64,
}

impl Wire<'_> {
    pub(crate) fn overview(&mut self, census: &Census, findings: [u64; 4]) -> pb::Overview {
        let sum = census.sum(self.look);
        let look = self.look;
        let records = || look.loops.iter().map(|at| &at.record);
        let total = |field: fn(&crate::record::Stats) -> &std::sync::atomic::AtomicU64| {
            records()
                .map(|record| field(&record.stats).load(Ordering::Relaxed))
                .sum::<u64>()
        };
        let merged =
            |wire: &Self, of: fn(&Self, &super::super::tables::LoopLook) -> pb::Histogram| {
                let mut all: Option<pb::Histogram> = None;
                for at in &look.loops {
                    let one = of(wire, at);
                    match &mut all {
                        Some(all) => all.merge(&one),
                        None => all = Some(one),
                    }
                }
                all
            };
        let (fds_open, fds_limit) = descriptors();
        let pools = self.pools();
        pb::Overview {
            tasks: sum.tasks,
            run: sum.run,
            ready: sum.ready,
            wait: sum.tasks.saturating_sub(sum.run + sum.ready),
            spawned: total(|stats| &stats.spawned),
            finished: total(|stats| &stats.finished),
            timers: sum.timers,
            next_due_ns: sum.next_due,
            timers_fired: total(|stats| &stats.timers_fired),
            timers_cancelled: total(|stats| &stats.timers_cancelled),
            sources: sum.sources,
            sources_ready: sum.sources_ready,
            io_events: total(|stats| &stats.io_events),
            io_spurious: 0,
            fds_open,
            fds_limit,
            jobs_run: sum.jobs_run,
            jobs_queued: sum.jobs_queued,
            workers: pools.iter().map(|pool| u64::from(pool.limit)).sum(),
            pools,
            children: sum.children,
            resources: sum.resources,
            findings_certain: findings[0],
            findings_left_behind: findings[1],
            findings_suspect: findings[2],
            findings_warning: findings[3],
            blocks: match &self.blocks {
                Some(blocks) => look
                    .loops
                    .iter()
                    .map(|at| blocks.tally(at.record.id))
                    .map(|tally| tally.proven + tally.soft + tally.lost)
                    .sum(),
                None => total(|stats| &stats.blocks),
            },
            poll: merged(self, Self::poll_times),
            lag: merged(self, Self::lag),
            timer_late: merged(self, Self::lateness),
            scheduled: merged(self, Self::delays),
        }
    }

    /// Every spawn place, folded over the loops, with what was counted of its live tasks.
    pub(crate) fn places(&mut self, tally: &Tally) -> Vec<pb::PlaceRow> {
        let look = self.look;
        let mut places: HashMap<Option<&'static Location<'static>>, Place> = HashMap::new();
        for (number, at) in look.loops.iter().enumerate() {
            let mut of_site: Vec<Option<&'static Location<'static>>> = Vec::new();
            for (site, row) in at.record.sites.all() {
                let place = places.entry(row.place()).or_default();
                place.spawned += row.spawned.load(Ordering::Relaxed);
                place.finished += row.finished.load(Ordering::Relaxed);
                place.busy += row.busy.load(Ordering::Relaxed);
                place.polls += row.polls.load(Ordering::Relaxed);
                place.max = place.max.max(row.max_poll.load(Ordering::Relaxed));
                place.failed += row.failed.load(Ordering::Relaxed);
                if self.extras.poll
                    && let Some(times) = row.poll_times()
                {
                    let one = histogram(times, &place_totals(self, at, row), &look.now);
                    match &mut place.poll {
                        Some(all) => all.merge(&one),
                        None => place.poll = Some(one),
                    }
                }
                if of_site.len() <= site as usize {
                    of_site.resize(site as usize + 1, None);
                }
                of_site[site as usize] = row.place();
            }
            for (site, count) in tally.of_loop(number) {
                let key = of_site.get(site as usize).copied().flatten();
                let place = places.entry(key).or_default();
                place.live += count.live;
                place.ready += count.ready;
                place.busy += count.busy;
                place.polls += count.polls;
                place.max = place.max.max(count.max);
                place.minutes.extend(&count.minutes);
                let oldest = count.oldest.map(|tick| look.now.mono_of(tick));
                place.oldest = [place.oldest, oldest].into_iter().flatten().min();
                place.findings |= count.findings;
                let stem = match count.named {
                    Named::Alike { name, main } => {
                        let kind = if main { TaskKind::Main } else { TaskKind::Task };
                        let name = look.task_name(at, name, 0, kind as u8, site);
                        Some(self.name(name).map_or(0, |name| name.stem_text))
                    }
                    Named::Nobody | Named::Mixed => None,
                };
                place.mixed |= stem.is_none() || place.stem.is_some_and(|of| Some(of) != stem);
                place.stem = stem.or(place.stem);
            }
        }
        // The row of what no longer fits is there before anything does not.
        places.retain(|_, place| place.spawned + place.finished + place.live > 0);
        let rows = places.into_iter().map(|(key, place)| {
            let place_text = match key {
                Some(place) => self.texts.place(Some(place)),
                None => self.texts.own("(other)"),
            };
            pb::PlaceRow {
                id: place_text.into(),
                place_text,
                stem_text: place.stem.filter(|_| !place.mixed).unwrap_or(0),
                live: place.live,
                ready: place.ready,
                spawned: place.spawned.max(place.live + place.finished),
                finished: place.finished,
                failed: place.failed,
                busy_ns: look.now.ns(place.busy),
                max_poll_ns: look.now.ns(place.max),
                polls: place.polls,
                oldest_spawned_at_ns: place.oldest,
                poll: place.poll,
                live_strip: None,
                generations: place.minutes.len() as u32,
                findings: super::names_of(place.findings),
            }
        });
        rows.collect()
    }

    pub(crate) fn series(&self, history: &History) -> Vec<pb::SeriesRow> {
        let of = |past: &Past| {
            [(&past.seconds, LENGTHS[0]), (&past.minutes, LENGTHS[1])]
                .map(|(slots, length)| strips(slots, length))
        };
        let loops = self.look.loops.iter();
        loops
            .filter_map(|at| Some((at.record.id, history.of(at.record.id)?)))
            .flat_map(|(id, past)| {
                of(past).map(|row| pb::SeriesRow {
                    loop_id: id.get().into(),
                    ..row
                })
            })
            .collect()
    }
}

fn strips(slots: &Slots, slot_ns: u64) -> pb::SeriesRow {
    let strip = |of: fn(&Slot) -> u64| {
        Some(pb::Strip {
            slot_ns,
            end_ns: slots.end_ns,
            values: slots.iter().map(of).collect(),
        })
    };
    pb::SeriesRow {
        loop_id: 0,
        lag_max: strip(|slot| slot.lag_max),
        busy: strip(|slot| slot.busy),
        tasks: strip(|slot| slot.tasks),
        block_max: strip(|slot| slot.block_max),
        spawned: strip(|slot| slot.spawned),
        finished: strip(|slot| slot.finished),
    }
}

/// What is known of a place's poll times besides their buckets: those of the tasks that ended, and
/// of live ones what the walk adds elsewhere.
fn place_totals(
    wire: &Wire<'_>,
    at: &super::super::tables::LoopLook,
    row: &crate::record::site::SiteRow,
) -> Totals {
    let mut max = 0;
    if let Some(times) = row.poll_times() {
        max = times
            .filled()
            .last()
            .map_or(0, |(bucket, _)| crate::record::histogram::lower(bucket + 1));
    }
    Totals {
        count: row.polls.load(Ordering::Relaxed),
        sum: row.busy.load(Ordering::Relaxed),
        max,
        since_ns: wire.look.now.mono_of(at.record.facts.made_at),
    }
}

/// Open descriptors of this process and the most it may open.
#[cfg(target_os = "linux")]
fn descriptors() -> (Option<u64>, Option<u64>) {
    let open = crate::os::open_files::open();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, limit)
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> (Option<u64>, Option<u64>) {
    (None, None)
}
