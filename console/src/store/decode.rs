//! Messages of the protocol to rows of the store, and questions of the store to messages. The only file of the screens that
//! names a message. Knows no socket: whoever holds the stream calls it.

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
}

/// A question as a message. `None`: the table is not asked for by a query, see [`Table::Task`].
pub fn query(q: &Query, serial: u64) -> Option<pb::Query> {
    let target = match q.table {
        Table::Overview => pb::Target::Overview,
        Table::Cost => pb::Target::Cost,
        Table::Series => pb::Target::Series,
        Table::Tasks => pb::Target::Tasks,
        Table::History => pb::Target::History,
        Table::Groups => pb::Target::Places,
        Table::Loops => pb::Target::Loops,
        Table::Blocks => pb::Target::Blocks,
        Table::Timers => pb::Target::Timers,
        Table::Io => pb::Target::Io,
        Table::Findings => pb::Target::Findings,
        Table::Task => return None,
    };
    let sort = q.sort.as_ref().map_or_else(String::new, |s| {
        format!("{}{}", if s.descending { "-" } else { "" }, s.key)
    });
    let to = match q.seek {
        Seek::Rank(0) => None,
        Seek::Rank(rank) => Some(pb::seek::To::Rank(rank)),
        Seek::Id(id) => Some(pb::seek::To::Id(id)),
    };
    Some(pb::Query {
        slot: q.slot.0,
        serial,
        target: target as i32,
        filter: q.filter.clone(),
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

fn cost(c: pb::Cost) -> Cost {
    Cost {
        inspector_cpu_ns: c.inspector_cpu_ns,
        watchdog_cpu_ns: c.watchdog_cpu_ns,
        recorder_bytes: c.recorder_bytes,
        live_bytes: c.live_bytes,
        ring_capacity: c.ring_capacity,
        ring_fill: c.ring_fill,
        events: c.events,
        losses: c
            .lost
            .iter()
            .map(|l| Loss {
                kind: word(table::Table::Events, Field::Kind, l.kind),
                count: l.count,
            })
            .collect(),
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
        children: o.children,
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

    fn learn(&mut self, interned: Vec<pb::Interned>) {
        self.texts
            .extend(interned.into_iter().map(|i| (i.id, i.text)));
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
            }) => format!("{}-{number}", self.text(*stem_text)),
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
                first.findings.append(&mut v.findings);
                first.blocks.append(&mut v.blocks);
                first.places.append(&mut v.places);
                first.series.append(&mut v.series);
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
            Table::Series => Body::Series(v.series.into_iter().map(series).collect()),
            Table::Tasks | Table::History | Table::Task => {
                Body::Tasks(rows(v.tasks, head, |t| self.task(t)))
            }
            Table::Groups => Body::Groups(rows(v.places, head, |g| self.group(g))),
            Table::Loops => Body::Loops(rows(v.loops, head, |l| self.event_loop(l))),
            Table::Blocks => Body::Blocks(rows(v.blocks, head, |b| self.block(b))),
            Table::Timers => Body::Timers(rows(v.timers, head, |t| self.timer(t))),
            Table::Io => Body::Io(rows(v.io, head, |s| self.io(s))),
            Table::Findings | Table::Overview | Table::Cost => {
                Body::Findings(rows(v.findings, head, |f| self.finding(f)))
            }
        }
    }

    /// Events of a batch, in order.
    pub fn events(&mut self, batch: pb::EventBatch) -> Vec<Event> {
        self.learn(batch.interned);
        batch.events.into_iter().map(|e| self.event(e)).collect()
    }

    /// All about one task: a message that carries its own texts.
    pub fn task_detail(d: pb::TaskDetail) -> TaskDetail {
        let mut of = Decoder::default();
        of.learn(d.interned);
        TaskDetail {
            at_ns: d.at_ns,
            row: d.task.map(|t| of.task(t)).unwrap_or_default(),
            waits: d.waits.iter().map(|w| of.wait(w)).collect(),
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
            timers: d.timers.into_iter().map(|t| of.timer(t)).collect(),
            io: d.io.into_iter().map(|s| of.io(s)).collect(),
            joined_by: d.joined_by,
            busy: d.busy.map(strip),
            ready: d.ready.map(strip),
        }
    }

    fn findings(&self, names: &[i32]) -> Vec<String> {
        names.iter().map(|n| finding_name(*n)).collect()
    }

    fn wait(&self, w: &pb::Wait) -> Wait {
        let name = self.name(w.name.as_ref());
        let named = |word: &str| {
            if name.is_empty() {
                format!("{word} {}", w.id)
            } else {
                format!("{word} {} {name}", w.id)
            }
        };
        let id = some(w.id);
        let mut out = Wait {
            place: self.text(w.place_text),
            due_ns: w.due_ns,
            ..Wait::default()
        };
        let (kind, what) = match w.kind() {
            pb::WaitKind::Unspecified => ("?", "not known".to_owned()),
            pb::WaitKind::Nothing => {
                out.nothing = true;
                ("nothing", String::new())
            }
            pb::WaitKind::Timer => {
                out.target = id.map(Goto::Timer);
                ("timer", String::new())
            }
            pb::WaitKind::Io => {
                out.target = id.map(Goto::Io);
                let way = match (w.readable, w.writable) {
                    (true, true) => "rw",
                    (true, false) => "r",
                    (false, true) => "w",
                    (false, false) => "-",
                };
                let fd = w.fd.map_or_else(String::new, |fd| format!(" fd {fd}"));
                ("io", format!("{way}{fd} {}", w.detail))
            }
            pb::WaitKind::Task => {
                out.target = id.map(Goto::Task);
                ("task", format!("{} {name}", w.id))
            }
            pb::WaitKind::Future => ("future", format!("{} {name}", w.id)),
            pb::WaitKind::Resource => {
                let resource = word(table::Table::Resources, Field::Kind, w.resource_kind);
                let held = match w.holder_task_id {
                    Some(holder) => {
                        out.target = Some(Goto::Task(holder));
                        format!(", held by {holder}")
                    }
                    None => String::new(),
                };
                out.kind = if resource.is_empty() {
                    "resource".to_owned()
                } else {
                    resource
                };
                let called = if name.is_empty() {
                    w.id.to_string()
                } else {
                    name.clone()
                };
                out.what = format!("{called}{held}");
                ("", String::new())
            }
            pb::WaitKind::Job => ("job", named("").trim().to_owned()),
            pb::WaitKind::Child => ("child", w.detail.clone()),
            pb::WaitKind::Signal => ("signal", w.detail.clone()),
            pb::WaitKind::External => ("external", w.detail.clone()),
            pb::WaitKind::Turn => ("turn", String::new()),
            pb::WaitKind::Forever => ("forever", "on purpose".to_owned()),
        };
        if out.kind.is_empty() {
            out.kind = kind.to_owned();
            out.what = what.trim().to_owned();
        }
        if w.count > 1 {
            out.what.push_str(&format!(" ({} of them)", w.count));
        }
        out
    }

    fn woken_by(&self, w: &pb::Wake) -> String {
        let cause = match w.cause() {
            pb::WakeCause::Unspecified => return String::new(),
            pb::WakeCause::Spawn => "its spawn",
            pb::WakeCause::Task => "task",
            pb::WakeCause::Self_ => "itself",
            pb::WakeCause::Timer => "timer",
            pb::WakeCause::Io => "io source",
            pb::WakeCause::Foreign => "another thread",
            pb::WakeCause::Loop => "loop",
            pb::WakeCause::Cancel => "a cancel request",
            pb::WakeCause::Job => "job",
            pb::WakeCause::Child => "child",
            pb::WakeCause::Signal => "a signal",
            pb::WakeCause::Nudge => "a viewer's nudge",
        };
        if w.id == 0 || w.cause() == pb::WakeCause::Self_ {
            cause.to_owned()
        } else {
            format!("{cause} {}", w.id)
        }
    }

    fn task(&self, t: pb::TaskRow) -> TaskRow {
        let of = table::Table::Tasks;
        let state = match t.state() {
            pb::TaskState::Run => TaskState::Run,
            pb::TaskState::Ready => TaskState::Ready,
            pb::TaskState::Done => TaskState::Done,
            pb::TaskState::Wait | pb::TaskState::Unspecified => TaskState::Wait,
        };
        let name = self.name(t.name.as_ref());
        TaskRow {
            id: t.id,
            name: if name.is_empty() {
                self.text(t.type_text)
            } else {
                name
            },
            kind: word(of, Field::Kind, t.kind),
            state,
            loop_id: t.loop_id,
            parent: some(t.parent_id),
            kids: t.children.into(),
            spawned_ns: t.spawned_at_ns,
            spawned_at: self.text(t.spawn_place_text),
            wait: t.waiting_on.as_ref().map(|w| self.wait(w)),
            more_waits: t.more_waits.into(),
            waiting_at: self.text(t.waiting_at_text),
            for_ns: t.for_ns,
            polls: t.polls,
            busy_ns: t.busy_ns,
            scheduled_ns: t.scheduled_ns,
            max_poll_ns: t.max_poll_ns,
            wakes: t.wakes,
            self_wakes: t.self_wakes,
            wakers: t.wakers.into(),
            handles: t.handles.into(),
            detached: t.detached,
            cancel_asked: t.cancel_requested,
            cancel_asked_ns: t.cancel_requested_at_ns,
            future_bytes: some(t.future_bytes.into()),
            last_woken_ns: t.last_wake.as_ref().and_then(|w| w.at_ns),
            woken_by: t
                .last_wake
                .as_ref()
                .map_or_else(String::new, |w| self.woken_by(w)),
            findings: self.findings(&t.findings),
            ended: t.ended_at_ns.map(|at_ns| Ended {
                at_ns,
                outcome: word(of, Field::Outcome, t.outcome),
                error: t.error.clone(),
                taken: t.result_taken,
            }),
            strip: t.busy_strip.map(strip),
        }
    }

    fn group(&self, g: pb::PlaceRow) -> GroupRow {
        GroupRow {
            id: g.id,
            place: self.text(g.place_text),
            name: self.text(g.stem_text),
            live: g.live,
            ready: g.ready,
            spawned: g.spawned,
            finished: g.finished,
            failed: g.failed,
            busy_ns: g.busy_ns,
            polls: g.polls,
            max_poll_ns: g.max_poll_ns,
            oldest_ns: g.oldest_spawned_at_ns,
            live_strip: g.live_strip.map(strip),
            findings: self.findings(&g.findings),
        }
    }

    fn event_loop(&self, l: pb::LoopRow) -> LoopRow {
        let name = self.name(l.name.as_ref());
        LoopRow {
            id: l.id,
            name: if name.is_empty() {
                l.thread.clone()
            } else {
                name
            },
            thread: l.thread,
            state: word(table::Table::Loops, Field::State, l.state),
            tasks: l.tasks,
            ready: l.ready,
            iterations: l.iterations,
            polls: l.polls,
            busy_ns: l.busy_ns,
            parked_ns: l.parked_ns,
            busy: l.busy_ratio,
            busy_window_ns: l.busy_window_ns,
            lag_p50_ns: l.lag_p50_ns,
            lag_p99_ns: l.lag_p99_ns,
            lag_max_ns: l.lag_max_ns,
            blocked: l.blocked.map(|b| self.block(b)),
            budget_ns: l.block_budget_ns,
            blocks: l.blocks,
            worst_block_ns: l.worst_block_ns,
            timers: l.timers,
            sources: l.sources,
            backend: l.backend,
            oldest_ready_ns: l.oldest_ready_ns,
            stacks_off: l.stacks_off,
        }
    }

    fn block(&self, b: pb::BlockRow) -> BlockRow {
        let place_from = match b.place_kind() {
            pb::PlaceKind::Unspecified => "",
            pb::PlaceKind::Culprit => "stack",
            pb::PlaceKind::Await => "await",
            pb::PlaceKind::Spawn => "spawn",
        };
        let doing = match b.current() {
            pb::CurrentKind::Unspecified => "",
            pb::CurrentKind::Poll => "poll",
            pb::CurrentKind::Drop => "drop",
            pb::CurrentKind::Handler => "handler",
            pb::CurrentKind::Timers => "timers",
            pb::CurrentKind::Sources => "sources",
        };
        BlockRow {
            id: b.id,
            at_ns: b.started_at_ns,
            loop_id: b.loop_id,
            for_ns: b.lower_ns.unwrap_or(b.wall_ns),
            wall_only: b.lower_ns.is_none(),
            at_most_ns: b.upper_ns,
            budget_ns: b.budget_ns,
            running: b.ended_at_ns.is_none(),
            waiting_for_cpu: b.waiting_for_cpu,
            doing: doing.to_owned(),
            task: some(b.task_id),
            name: self.name(b.task_name.as_ref()),
            place: self.text(b.place_text),
            place_from: place_from.to_owned(),
            function: self.text(b.function_text),
            waited: b.waited_behind,
            waited_worst_ns: b.worst_wait_ns,
            cause: word(table::Table::Blocks, Field::Cause, b.cause),
            cause_reason: b.cause_reason,
            stack: b.stack.iter().map(|f| self.frame(f)).collect(),
            no_stack: b.stack_missing,
            stack_at_ns: b.stack_at_ns,
        }
    }

    fn frame(&self, f: &pb::Frame) -> Frame {
        let kind = match f.kind() {
            pb::FrameKind::Unspecified => "",
            pb::FrameKind::App => "app",
            pb::FrameKind::Dependency => "dependency",
            pb::FrameKind::Std => "std",
            pb::FrameKind::Runtime => "runtime",
        };
        Frame {
            function: self.text(f.function_text),
            place: self.text(f.place_text),
            yours: f.kind() == pb::FrameKind::App,
            culprit: f.culprit,
            kind: kind.to_owned(),
            module: self.text(f.module_text),
            offset: f.offset,
        }
    }

    fn timer(&self, t: pb::TimerRow) -> TimerRow {
        TimerRow {
            id: t.id,
            kind: word(table::Table::Timers, Field::Kind, t.kind),
            owner: some(t.owner_id),
            owner_name: self.name(t.owner_name.as_ref()),
            owner_gone: t.owner_gone,
            loop_id: t.loop_id,
            due_ns: t.due_ns,
            every_ns: t.period_ns,
            late_ns: t.late_ns,
            fired: t.fired,
            rearmed: t.rearmed,
            set_at: self.text(t.set_at_text),
            armed_ns: t.armed_at_ns,
            has_waker: t.has_waker,
            findings: self.findings(&t.findings),
        }
    }

    fn io(&self, s: pb::IoRow) -> IoRow {
        let way = |r: bool, w: bool| match (r, w) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "-",
        };
        IoRow {
            id: s.id,
            fd: s.fd.map(i64::from),
            kind: word(table::Table::Io, Field::Kind, s.kind),
            interest: way(s.want_read, s.want_write).to_owned(),
            ready: way(s.ready_read, s.ready_write).to_owned(),
            task: some(s.task_id),
            task_name: self.name(s.task_name.as_ref()),
            task_gone: s.task_gone,
            loop_id: s.loop_id,
            last_ready_ns: s.last_ready_ns,
            wakes: s.wakes,
            spurious: s.spurious,
            place: self.text(s.place_text),
            since_ns: s.registered_at_ns,
            findings: self.findings(&s.findings),
            local: s.local,
            peer: s.peer,
        }
    }

    /// A finding, of a view, a verdict or an event.
    pub fn finding(&self, f: pb::Finding) -> Finding {
        let subject = match f.subject_kind() {
            pb::Kind::Task => some(f.subject_id).map(Goto::Task),
            pb::Kind::Timer => some(f.subject_id).map(Goto::Timer),
            pb::Kind::Source => some(f.subject_id).map(Goto::Io),
            pb::Kind::Loop => some(f.subject_id).map(Goto::Loop),
            _ => None,
        };
        let grade = match f.grade() {
            pb::Grade::Certain => Grade::Certain,
            pb::Grade::LeftBehind => Grade::LeftBehind,
            pb::Grade::Warning => Grade::Warning,
            pb::Grade::Suspect | pb::Grade::Unspecified => Grade::Suspect,
        };
        Finding {
            id: f.id,
            name: finding_name(f.name),
            grade,
            subject,
            subject_name: self.name(f.subject_name.as_ref()),
            loop_id: f.loop_id,
            place: self.text(f.place_text),
            count: f.count.max(1),
            since_ns: f.since_ns,
            last_seen_ns: f.last_seen_ns,
            cleared: f.cleared,
            evidence: f.evidence,
            fingerprint: f.fingerprint,
            measured_ns: f.measured_ns,
            limit_ns: f.limit_ns,
            user: f.user,
        }
    }

    fn event(&self, e: pb::Event) -> Event {
        let mut details: Vec<String> = Vec::new();
        let outcome = word(table::Table::Events, Field::Outcome, e.outcome);
        let cause = self.woken_by(&pb::Wake {
            cause: e.cause,
            id: e.by_id,
            at_ns: None,
        });
        details.extend([outcome, cause].into_iter().filter(|t| !t.is_empty()));
        details.extend(e.value.map(|v| v.to_string()));
        details.extend(Some(e.detail).filter(|t| !t.is_empty()));
        Event {
            at_ns: e.at_ns,
            kind: word(table::Table::Events, Field::Kind, e.kind),
            loop_id: e.loop_id,
            task: some(e.task_id),
            name: self.name(e.name.as_ref()),
            subject: some(e.subject_id),
            duration_ns: e.duration_ns,
            place: self.text(e.place_text),
            detail: details.join(", "),
            finding: e.finding.map(|f| Box::new(self.finding(f))),
        }
    }
}

/// A name from a newer schema has no word yet: its number is better than nothing.
fn finding_name(number: i32) -> String {
    usize::try_from(number)
        .ok()
        .and_then(|n| table::FINDINGS.get(n))
        .filter(|w| !w.is_empty())
        .map_or_else(|| format!("finding-{number}"), |w| (*w).to_owned())
}

fn series(s: pb::SeriesRow) -> SeriesRow {
    let of = |s: Option<pb::Strip>| s.map(strip).unwrap_or_default();
    SeriesRow {
        loop_id: s.loop_id,
        lag_max: of(s.lag_max),
        busy: of(s.busy),
        tasks: of(s.tasks),
        block_max: of(s.block_max),
        spawned: of(s.spawned),
        finished: of(s.finished),
    }
}
