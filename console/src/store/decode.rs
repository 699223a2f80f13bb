//! Messages of the protocol to rows of the store, and questions of the store to messages. The only file of the screens that
//! names a message. Knows no socket: whoever holds the stream calls it.

mod hour;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use loop_proto::pb;
use loop_proto::row::Field;
use loop_proto::table;

use super::*;

/// Turns the answers of one stream into rows: it remembers the texts that the stream has carried, and the first parts of
/// answers that come in several.
#[derive(Debug, Default)]
pub struct Decoder {
    texts: HashMap<u32, String>,
    parts: HashMap<u32, pb::View>,
    /// The names of tasks whose events came: each comes once a stream, and what is told of a task after its end has none.
    named: HashMap<u64, String>,
}

/// Names of tasks kept of a stream; beyond it all are forgotten, and later events have none.
const NAMES_KEPT: usize = 65_536;

/// A question as a message. `None`: the table is not asked for by a query, see [`Table::Task`].
pub fn query(q: &Query, serial: u64) -> Option<pb::Query> {
    let target = match q.table {
        Table::Overview => pb::Target::Overview,
        Table::Cost => pb::Target::Cost,
        Table::Series => pb::Target::Series,
        Table::Hour => pb::Target::Hour,
        Table::Tasks | Table::Tree => pb::Target::Tasks,
        Table::History => pb::Target::History,
        Table::Groups => pb::Target::Places,
        Table::Loops => pb::Target::Loops,
        Table::Blocks => pb::Target::Blocks,
        Table::Timers => pb::Target::Timers,
        Table::Io => pb::Target::Io,
        Table::Resources | Table::ResourceWaiters => pb::Target::Resources,
        Table::Jobs | Table::JobWaiters => pb::Target::Jobs,
        Table::Children | Table::ChildWaiters => pb::Target::Children,
        Table::Signals => pb::Target::Signals,
        Table::Findings | Table::Leaks => pb::Target::Findings,
        Table::Task => return None,
    };
    let sort = q.sort.as_ref().map_or_else(String::new, |s| {
        format!("{}{}", if s.descending { "-" } else { "" }, s.key)
    });
    let filter = match (q.table, q.filter.as_str()) {
        (Table::Leaks, "") => format!("finding={}", LEAKS.join(",")),
        (Table::Leaks, filter) => format!("({filter}) and finding={}", LEAKS.join(",")),
        (_, filter) => filter.to_owned(),
    };
    let to = match q.seek {
        Seek::Rank(0) => None,
        Seek::Rank(rank) => Some(pb::seek::To::Rank(rank)),
        Seek::Id(id) => Some(pb::seek::To::Id(id)),
    };
    Some(pb::Query {
        slot: q.slot.0,
        serial,
        target: target as i32,
        filter,
        sort,
        seek: to.map(|to| pb::Seek { to: Some(to) }),
        limit: q.limit,
        columns: q.columns.clone(),
        interval_ms: u32::try_from(q.every.as_millis()).unwrap_or(u32::MAX),
        close: false,
        internal: false,
    })
}

/// The message that closes a slot.
pub fn close(slot: Slot, serial: u64) -> pb::Query {
    pb::Query {
        slot: slot.0,
        serial,
        close: true,
        ..pb::Query::default()
    }
}

/// Who answered.
pub fn hello(h: pb::HelloReply) -> Hello {
    let tick_source = match h.tick_source() {
        pb::TickSource::Unspecified => "not said",
        pb::TickSource::Rdtsc => "tsc",
        pb::TickSource::Cntvct => "cntvct",
        pb::TickSource::ClockGettime => "clock_gettime",
        pb::TickSource::Test => "test",
        pb::TickSource::Std => "std",
    };
    let role = match h.role() {
        pb::Role::Control => "control",
        _ => "observe",
    };
    let version = h.protocol.unwrap_or_default();
    Hello {
        instance: h.instance_id.iter().map(|b| format!("{b:02x}")).collect(),
        version: h.app_version,
        pid: h.pid,
        started_unix_ns: h.started_unix_ns,
        now_ns: h.anchor_monotonic_ns,
        now_unix_ns: h.anchor_unix_ns,
        runtime_version: h.runtime_version,
        protocol: format!("{}.{}", version.major, version.minor),
        tick_source: tick_source.to_owned(),
        capabilities: h.capabilities,
        block_budget_ns: h.block_budget_ns,
        hostname: h.hostname,
        platform: h.platform,
        debug_build: h.debug_build,
        role: role.to_owned(),
        role_reason: h.role_reason,
        recorded: h
            .recorded
            .into_iter()
            .map(|r| super::Recorded {
                what: r.what,
                on: r.on,
                detail: r.detail,
            })
            .collect(),
        name: h.app_name,
        kept: h.recording.map(kept),
        recording: None,
    }
}

/// The word that the schema's crate has for a value of a column.
fn word(of: table::Table, field: Field, value: i32) -> String {
    let value = u8::try_from(value).ok();
    let word = of.column_of(field).and_then(|c| c.word(value?));
    word.unwrap_or_default().to_owned()
}

fn some(id: u64) -> Option<u64> {
    (id != 0).then_some(id)
}

fn log_line(line: &pb::LogLine) -> LogLine {
    LogLine {
        at_ns: line.at_ns,
        level: line.level.clone(),
        target: line.target.clone(),
        text: line.text.clone(),
    }
}

fn strip(s: pb::Strip) -> Strip {
    Strip {
        slot_ns: s.slot_ns,
        end_ns: s.end_ns,
        values: s.values,
    }
}

fn histogram(h: &pb::Histogram) -> Histogram {
    let at = |q: f64| h.quantile(q).map_or(0, |r| r.middle());
    Histogram {
        buckets: h
            .pairs()
            .map(|(bucket, count)| (loop_proto::quantile::upper(bucket).min(h.max_ns), count))
            .collect(),
        count: h.count,
        floor_ns: h.floor_ns,
        below_floor: h.below_floor,
        p50_ns: at(0.5),
        p90_ns: at(0.9),
        p95_ns: at(0.95),
        p99_ns: at(0.99),
        max_ns: h.max_ns,
        since_ns: h.since_ns,
    }
}

fn loss(l: &pb::Lost) -> Loss {
    Loss {
        kind: word(table::Table::Events, Field::Kind, l.kind),
        count: l.count,
    }
}

fn cost(c: pb::Cost) -> Cost {
    Cost {
        inspector_cpu_ns: c.inspector_cpu_ns,
        watchdog_cpu_ns: c.watchdog_cpu_ns,
        recorder_bytes: c.recorder_bytes,
        live_bytes: c.live_bytes,
        ring_capacity: c.ring_capacity,
        ring_fill: c.ring_fill,
        events: c.events,
        losses: c.lost.iter().map(loss).collect(),
        attached: c
            .attached
            .iter()
            .map(|viewer| (viewer.in_words(), viewer.controls))
            .collect(),
        lost_to_viewers: c.lost_to_viewers.iter().map(loss).collect(),
        row_bytes: c.row_bytes.into(),
        ring_bytes: c.ring_bytes,
        histogram_bytes: c.histogram_bytes,
        text_bytes: c.text_bytes,
        unrecorded: c.unrecorded,
        unremembered: c.unremembered,
        feeds: c.feeds.into(),
        viewers: c.viewers.into(),
        viewers_limit: c.viewers_limit.into(),
        bytes_sent: c.bytes_sent,
        interned: c.interned.into(),
        interned_limit: c.interned_limit.into(),
        interned_overflow: c.interned_overflow,
        last_walk_ns: c.last_walk_ns,
        last_walk_rows: c.last_walk_rows,
        stacks_taken: c.stacks_taken,
        stacks_missed: c.stacks_missed,
        finished_overwritten: c.finished_overwritten,
        watchdog_oversleeps: c.watchdog_oversleeps,
        hour_bytes: c.hour_bytes,
        hour_limit_bytes: c.hour_limit_bytes,
        hour_dropped: c.hour_dropped,
        kept: c.recording.map(kept),
        dumps: c.dumps.map(|d| DumpCost {
            directory: d.directory,
            written: d.written,
            suppressed: d.suppressed,
            removed: d.removed,
            failed: d.failed,
            bytes: d.bytes,
            limit_bytes: d.limit_bytes,
            trouble: d.trouble,
        }),
    }
}

fn kept(k: pb::Recording) -> Kept {
    Kept {
        path: k.path,
        reason: k.reason,
        mapped: k.mapped,
        bytes: k.bytes,
        ring_capacity: k.ring_capacity,
        loops_left_out: k.loops_left_out.into(),
        snapshots: k.snapshots,
        snapshot_bytes: k.snapshot_bytes,
        snapshot_ns: k.snapshot_ns,
        rows_left_out: k.rows_left_out,
        interval_ns: k.snapshot_interval_ms.saturating_mul(1_000_000),
    }
}

fn overview(o: &pb::Overview) -> Overview {
    let h = |h: &Option<pb::Histogram>| h.as_ref().map(histogram).unwrap_or_default();
    Overview {
        tasks: o.tasks,
        run: o.run,
        ready: o.ready,
        wait: o.wait,
        spawned: o.spawned,
        finished: o.finished,
        timers: o.timers,
        next_due_ns: o.next_due_ns,
        timers_fired: o.timers_fired,
        timers_cancelled: o.timers_cancelled,
        sources: o.sources,
        sources_ready: o.sources_ready,
        io_events: o.io_events,
        io_spurious: o.io_spurious,
        fds_open: o.fds_open,
        fds_limit: o.fds_limit,
        jobs_run: o.jobs_run,
        jobs_queued: o.jobs_queued,
        workers: o.workers,
        pools: o.pools.iter().map(row::pool).collect(),
        children: o.children,
        resources: o.resources,
        certain: o.findings_certain,
        left_behind: o.findings_left_behind,
        suspect: o.findings_suspect,
        warning: o.findings_warning,
        blocks: o.blocks,
        poll: h(&o.poll),
        lag: h(&o.lag),
        timer_late: h(&o.timer_late),
    }
}

impl Decoder {
    /// A decoder for a new stream.
    pub fn new() -> Self {
        Decoder::default()
    }

    /// Takes in texts that a message of the stream carries.
    pub fn learn(&mut self, interned: Vec<pb::Interned>) {
        self.texts
            .extend(interned.into_iter().map(|i| (i.id, i.text)));
    }

    fn cancel(&self, c: &pb::CancelRequest) -> CancelRequest {
        let named = |word: &str| match self.name(c.by_name.as_ref()) {
            name if name.is_empty() => format!("{word} {}", c.by_id),
            name => format!("{word} {} {name}", c.by_id),
        };
        CancelRequest {
            first_at_ns: c.first_at_ns,
            at_ns: c.at_ns,
            by: match c.by() {
                pb::Canceller::Task => named("task"),
                pb::Canceller::Awaiter => named("its awaiter, task"),
                pb::Canceller::Thread => format!("thread {}", c.by_id),
                pb::Canceller::Viewer => "somebody at a console".to_owned(),
                pb::Canceller::Interrupt => "Ctrl-C".to_owned(),
                pb::Canceller::RunEnd => "the end of its run".to_owned(),
                pb::Canceller::Unspecified => String::new(),
            },
            place: self.text(c.place_text),
            message: c.message.clone(),
            times: c.times,
        }
    }

    fn text(&self, id: u32) -> String {
        self.texts.get(&id).cloned().unwrap_or_default()
    }

    fn name(&self, name: Option<&pb::Name>) -> String {
        match name {
            None => String::new(),
            Some(n) if !n.own.is_empty() => n.own.clone(),
            Some(pb::Name {
                stem_text,
                number: Some(number),
                ..
            }) => {
                let stem = self.text(*stem_text);
                format!("{stem}{}{number}", loop_proto::row::joint(&stem))
            }
            Some(n) => self.text(n.stem_text),
        }
    }

    /// Takes one message of the stream in; the whole answer once its last part is there.
    ///
    /// `table` is what the slot asked for: an empty answer does not say itself what it is an answer about.
    pub fn view(&mut self, mut v: pb::View, table: Table) -> Option<View> {
        self.learn(std::mem::take(&mut v.interned));
        if let Some(mut first) = self.parts.remove(&v.slot) {
            // Parts of another answer were cut short, for instance by a new query.
            if first.answer == v.answer && first.serial == v.serial {
                first.complete = v.complete;
                first.last = v.last.or(first.last);
                first.torn |= v.torn;
                first.error = v.error.or(first.error);
                first.overview = v.overview.or(first.overview);
                first.cost = v.cost.or(first.cost);
                first.tasks.append(&mut v.tasks);
                first.loops.append(&mut v.loops);
                first.timers.append(&mut v.timers);
                first.io.append(&mut v.io);
                first.resources.append(&mut v.resources);
                first.jobs.append(&mut v.jobs);
                first.children.append(&mut v.children);
                first.signals.append(&mut v.signals);
                first.findings.append(&mut v.findings);
                first.blocks.append(&mut v.blocks);
                first.places.append(&mut v.places);
                first.series.append(&mut v.series);
                first.past_findings.append(&mut v.past_findings);
                first.hour = v.hour.or(first.hour);
                v = first;
            }
        }
        if !v.complete {
            self.parts.insert(v.slot, v);
            return None;
        }
        Some(View {
            slot: Slot(v.slot),
            at_ns: v.at_ns,
            incomplete: v.incomplete.clone(),
            body: self.body(v, table),
        })
    }

    fn body(&self, v: pb::View, table: Table) -> Body {
        if let Some(e) = v.error {
            return Body::Refused(Refusal {
                why: e.message,
                part: e.part,
                offset: e.offset as usize,
                length: e.length as usize,
                suggestion: e.suggestion,
            });
        }
        if let Some(o) = &v.overview {
            return Body::Overview(Box::new(overview(o)));
        }
        if let Some(c) = v.cost {
            return Body::Cost(Box::new(cost(c)));
        }
        fn rows<P, T>(of: Vec<P>, head: (u64, u64, u64, bool), to: impl FnMut(P) -> T) -> Rows<T> {
            let (total, matched, offset, torn) = head;
            Rows {
                total,
                matched,
                offset,
                rows: of.into_iter().map(to).collect(),
                torn,
            }
        }
        let head = (v.total, v.matched, v.first_rank, v.torn);
        match table {
            Table::Series => Body::Series(v.series.into_iter().map(row::series).collect()),
            Table::Hour => Body::Hour(Box::new(self.hour(v))),
            Table::Tasks | Table::History | Table::Task => {
                Body::Tasks(rows(v.tasks, head, |t| self.task(t)))
            }
            Table::Tree => Body::Tree(rows(v.tasks, head, |t| self.task(t))),
            Table::Groups => Body::Groups(rows(v.places, head, |g| self.group(g))),
            Table::Loops => Body::Loops(rows(v.loops, head, |l| self.event_loop(l))),
            Table::Blocks => Body::Blocks(rows(v.blocks, head, |b| self.block(b))),
            Table::Timers => Body::Timers(rows(v.timers, head, |t| self.timer(t))),
            Table::Io => Body::Io(rows(v.io, head, |s| self.io(s))),
            Table::Resources => Body::Resources(rows(v.resources, head, |r| self.resource(r))),
            Table::Jobs => Body::Jobs(rows(v.jobs, head, |j| self.job(j))),
            Table::Children => Body::Children(rows(v.children, head, |c| self.child(c))),
            Table::Signals => Body::Signals(rows(v.signals, head, |s| self.signal(s))),
            Table::ResourceWaiters => Body::Waiting(v.resources.into_iter().next().map(|r| {
                let total = r.waiters.into();
                self.waiting(Goto::Resource(r.id), &r.waiting, total)
            })),
            Table::JobWaiters => Body::Waiting(v.jobs.into_iter().next().map(|j| {
                let total = j.waiting.len() as u64;
                self.waiting(Goto::Job(j.id), &j.waiting, total)
            })),
            Table::ChildWaiters => Body::Waiting(v.children.into_iter().next().map(|c| {
                let total = c.waiters.into();
                self.waiting(Goto::Child(c.id), &c.waiting, total)
            })),
            Table::Leaks => Body::Leaks(rows(v.findings, head, |f| self.finding(f))),
            Table::Findings | Table::Overview | Table::Cost => {
                Body::Findings(rows(v.findings, head, |f| self.finding(f)))
            }
        }
    }

    /// Events of a batch, in order, each with its task's name if the stream has told it.
    pub fn events(&mut self, batch: pb::EventBatch) -> Vec<Event> {
        self.learn(batch.interned);
        let named = |e| {
            let mut event = self.event(e);
            let Some(id) = event.task else { return event };
            if event.name.is_empty() {
                event.name = self.named.get(&id).cloned().unwrap_or_default();
            } else if self.named.get(&id) != Some(&event.name) {
                if self.named.len() == NAMES_KEPT {
                    self.named.clear();
                }
                self.named.insert(id, event.name.clone());
            }
            event
        };
        batch.events.into_iter().map(named).collect()
    }

    /// All about one task: a message that carries its own texts.
    pub fn task_detail(mut d: pb::TaskDetail) -> TaskDetail {
        let mut of = Decoder::default();
        of.learn(std::mem::take(&mut d.interned));
        let awaiting = of.awaiting(&mut d);
        let row = d.task.map(|t| of.task(t)).unwrap_or_default();
        let waits: Vec<Wait> = d.waits.iter().map(|w| of.wait(w)).collect();
        let mut awaits: Vec<AwaitStep> = d.awaits.iter().map(|s| of.await_step(s)).collect();
        if awaits.is_empty() {
            awaits = AwaitStep::first(row.id, &row.name, &waits);
        }
        TaskDetail {
            at_ns: d.at_ns,
            awaits,
            awaits_cut: d.awaits_cut.into(),
            woken_by: (d.woken_by.iter())
                .map(|by| {
                    (
                        row::cause(by.cause()).unwrap_or(row::UNKNOWN).to_owned(),
                        by.count,
                    )
                })
                .collect(),
            awaited_by: d.awaited_by.iter().map(|s| of.await_step(s)).collect(),
            awaited_by_cut: d.awaited_by_cut.into(),
            row,
            waits,
            parents: d.parents.into_iter().map(|t| of.task(t)).collect(),
            children: d.children.into_iter().map(|t| of.task(t)).collect(),
            children_total: d.children_total,
            findings: d.findings.into_iter().map(|f| of.finding(f)).collect(),
            polls: d.poll.as_ref().map(histogram),
            scheduled: d.scheduled.as_ref().map(histogram),
            place_polls: d.place_poll.as_ref().map(histogram),
            blocking: d.blocking.map(|b| of.block(b)),
            blocks: d.blocks.into_iter().map(|b| of.block(b)).collect(),
            spawn_stack: d.spawn_stack.iter().map(|f| of.frame(f)).collect(),
            spawn_why: d.spawn_why,
            awaiting,
            timers: d.timers.into_iter().map(|t| of.timer(t)).collect(),
            io: d.io.into_iter().map(|s| of.io(s)).collect(),
            jobs: d.jobs.into_iter().map(|j| of.job(j)).collect(),
            resources: d.resources.into_iter().map(|r| of.resource(r)).collect(),
            processes: d.processes.into_iter().map(|c| of.child(c)).collect(),
            joined_by: d.joined_by,
            logs: d.logs.iter().map(log_line).collect(),
            cancel: d.cancel.as_ref().map(|c| of.cancel(c)),
            variables: {
                let mut names = d.variables;
                names.sort();
                names
            },
            busy: d.busy.map(strip),
            ready: d.ready.map(strip),
        }
    }
}
