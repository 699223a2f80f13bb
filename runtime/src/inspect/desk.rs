//! What the inspector keeps between two looks: texts, counts, findings, history, and what it all
//! costs. Knows no viewer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loop_proto::pb;

use super::blocks::Blocks;
use super::census::Census;
use super::flight::log::Log;
use super::history::History;
use super::history::blocks::Drawn;
use super::ids::IdMap;
use super::judge::losses::Losses;
use super::judge::{Held, Judge};
use super::strips::Strips;
use super::tables::Look;
use super::texts::Texts;
use super::waits::Found;
use super::wire::{Extras, Wire};
use crate::clock;
use crate::os;
use crate::record::event::KINDS;
use crate::record::names;
use crate::record::task::TaskRow;

/// Strips are kept for so long after the last look at them.
const LINGER_NS: u64 = 10_000_000_000;

/// One for the process, behind a lock that its one thread holds while it works.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) texts: Texts,
    pub(crate) census: Census,
    pub(crate) history: History,
    drawn: Drawn,
    pub(crate) judge: Judge,
    pub(crate) strips: Option<Strips>,
    strips_until: u64,
    /// CPU time and rows of the last walk over the tasks.
    pub(crate) walk: (u64, u64),
    pub(crate) meters: Meters,
    /// Who is attached.
    pub(crate) attached: Vec<pb::Viewer>,
    /// Events that viewers did not take in time, a kind.
    pub(crate) dropped: Vec<pb::Lost>,
    /// What the watchdog writes; `None`: there is no watchdog.
    pub(crate) blocks: Option<Arc<Blocks>>,
    /// Why no stacks are taken. Empty: they are.
    pub(crate) stacks_off: String,
    /// What the flight recorder did.
    pub(crate) dumps: Arc<Log>,
    /// The file that outlives the process, or why there is none.
    pub(crate) recording: Option<pb::Recording>,
}

/// What is counted elsewhere and shown with the cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meters {
    /// The kernel's ids of the two threads.
    pub(crate) inspector_thread: u64,
    pub(crate) watchdog_thread: u64,
    pub(crate) viewers: u32,
    pub(crate) viewers_limit: u32,
    pub(crate) bytes_sent: u64,
    pub(crate) events: u64,
    /// Streams of events that are open.
    pub(crate) feeds: u32,
}

impl Desk {
    /// One whose flight recorder tells `dumps`.
    pub(crate) fn with_dumps(dumps: Arc<Log>) -> Self {
        Self {
            dumps,
            ..Self::default()
        }
    }

    /// Somebody looks at busy shares: they are kept from now on.
    pub(crate) fn want_strips(&mut self, look: &Look) {
        self.strips_until = look.now.mono + LINGER_NS;
        match &mut self.strips {
            Some(strips) => strips.turn(look),
            None => self.strips = Some(Strips::begin(look)),
        }
    }

    /// Once a second: closes slots of time, and lets go of what nobody looks at.
    pub(crate) fn second(&mut self) {
        // A thread names itself once it runs, which may be after who made it has looked.
        if self.meters.watchdog_thread == 0 && self.blocks.is_some() {
            self.meters.watchdog_thread = os::thread_named("loop-watchdog");
        }
        let look = Look::new(true);
        self.judge.note(&look);
        let recent = self.blocks.as_ref().map(|blocks| blocks.latest());
        let history = &self.history;
        let worst = (self.drawn).take(&recent.unwrap_or_default(), |id| history.of(id).is_some());
        self.history.second(&look, &mut self.census, |id| {
            worst.get(&id).copied().unwrap_or(0)
        });
        if look.now.mono > self.strips_until {
            self.strips = None;
        }
        if let Some(strips) = &mut self.strips {
            strips.turn(&look);
        }
    }

    /// What the last walk found made and cleared: kept for the hour, and told once.
    pub(crate) fn take_news(&mut self) -> Vec<Held> {
        let news = std::mem::take(&mut self.judge.news);
        for (id, held) in std::mem::take(&mut self.judge.moved) {
            self.history.findings.moved(id, &held);
        }
        self.history.findings.note(&news, self.judge.at);
        news
    }

    /// What messages are made with.
    pub(crate) fn wire<'a>(
        &'a mut self,
        look: &'a Look,
        found: &'a Found,
        children: Option<&'a IdMap<u32>>,
        extras: Extras,
    ) -> Wire<'a> {
        Wire {
            look,
            texts: &mut self.texts,
            found,
            findings: self.judge.by_task(),
            children,
            strips: self.strips.as_ref(),
            blocks: self.blocks.clone(),
            waiters: None,
            stacks_off: &self.stacks_off,
            extras,
        }
    }

    /// Totals over the loops of `look`.
    pub(crate) fn overview(&mut self, look: &Look) -> pb::Overview {
        self.census.take(look);
        let counts = self.judge.counts();
        let census = std::mem::take(&mut self.census);
        let found = Found::default();
        let overview = self
            .wire(look, &found, None, Extras::default())
            .overview(&census, counts);
        self.census = census;
        overview
    }

    /// What was lost of what answers rest on.
    pub(crate) fn losses(&self, look: &Look) -> Losses {
        let walked = self.judge.losses();
        Losses {
            errors: walked.errors,
            unremembered: walked.unremembered,
            unfollowed: walked.unfollowed,
            failed: self.judge.failed,
            ..Losses::of(look, self.blocks.as_deref())
        }
    }

    /// What inspecting costs and what it lost.
    pub(crate) fn cost(&self, look: &Look) -> pb::Cost {
        let records = || look.loops.iter().map(|at| &at.record);
        let rings = || records().filter_map(|record| record.ring());
        let mut lost = [0; KINDS];
        for ring in rings() {
            for (sum, one) in lost.iter_mut().zip(ring.lost()) {
                *sum += one;
            }
        }
        let live: usize = records()
            .map(|record| {
                record.tasks.bytes()
                    + record.timers.bytes()
                    + record.sources.bytes()
                    + record.jobs.bytes()
                    + record.children.bytes()
                    + record.resources.bytes()
                    + record.waits.bytes()
            })
            .sum();
        let blocks = self.blocks.as_ref();
        let (worst, worst_limit) = blocks.map_or((0, 0), |blocks| blocks.hour_bytes());
        let hour = self.history.bytes() + worst;
        let own = self.texts.bytes()
            + hour
            + self.judge.bytes()
            + self.strips.as_ref().map_or(0, Strips::bytes);
        let ended = records().map(|record| {
            record
                .ended
                .written()
                .saturating_sub(record.ended.capacity())
        });
        let cpu = |thread: u64| os::thread::cpu_time(thread).unwrap_or(0);
        let meters = self.meters;
        let stacks = self
            .blocks
            .as_ref()
            .map(|blocks| blocks.efforts())
            .unwrap_or_default();
        pb::Cost {
            inspector_cpu_ns: cpu(meters.inspector_thread) + super::helpers::cpu_time(),
            watchdog_cpu_ns: cpu(meters.watchdog_thread),
            recorder_bytes: (records().map(|record| record.bytes()).sum::<usize>() + own) as u64,
            live_bytes: live as u64,
            ring_capacity: rings().map(|ring| ring.capacity() as u64).sum(),
            ring_fill: rings().map(|ring| ring.fill()).sum(),
            events: meters.events,
            lost: super::wire::sums::lost(&lost),
            viewers: meters.viewers,
            viewers_limit: meters.viewers_limit,
            bytes_sent: meters.bytes_sent,
            interned: self.texts.len() as u32,
            interned_limit: names::CAP as u32,
            interned_overflow: names::overflow(),
            last_walk_ns: self.walk.0,
            last_walk_rows: self.walk.1,
            stacks_taken: stacks.taken,
            stacks_missed: stacks.missed,
            finished_overwritten: ended.sum(),
            watchdog_oversleeps: stacks.oversleeps,
            attached: self.attached.clone(),
            lost_to_viewers: self.dropped.clone(),
            row_bytes: size_of::<TaskRow>() as u32,
            ring_bytes: rings().map(|ring| ring.bytes().0 as u64).sum(),
            histogram_bytes: records()
                .map(|record| record.histogram_bytes() as u64)
                .sum(),
            text_bytes: own as u64,
            unrecorded: records()
                .map(|record| record.stats.unrecorded.load(Ordering::Relaxed))
                .sum(),
            unremembered: self.judge.losses().unremembered.total(),
            feeds: meters.feeds,
            hour_bytes: hour as u64,
            hour_limit_bytes: (self.history.limit() + worst_limit) as u64,
            hour_dropped: self.history.findings.dropped(),
            dumps: self.dumps.cost(),
            recording: self.recording.clone(),
        }
    }

    /// What this app can do, by name.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let mut all = vec!["events", "command", "judge", "history", "series", "hour"];
        if cfg!(unix) {
            all.push("dump");
        }
        if self.blocks.is_some() {
            all.push("blocks");
            if self.stacks_off.is_empty() {
                all.push("stacks");
            }
        }
        if cfg!(target_os = "linux") {
            all.push("schedstat");
        }
        all.into_iter().map(str::to_owned).collect()
    }

    /// The budget of the strictest loop of the app, nanoseconds. 0: there is no loop.
    pub(crate) fn budget(&self, look: &Look) -> u64 {
        let budgets = look
            .loops
            .iter()
            .map(|at| at.record.limit_ns(at.record.budget()));
        budgets.filter(|budget| *budget > 0).min().unwrap_or(0)
    }

    /// The time, and when the last judgement was, nanoseconds.
    pub(crate) fn judged(&self) -> (u64, u64) {
        (clock::mono(), self.judge.at)
    }
}
