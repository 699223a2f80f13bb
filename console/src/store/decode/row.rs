//! One function a row: the message's fields to the store's, texts looked up, words taken from the schema's tables.

use loop_proto::pb;
use loop_proto::row::Field;
use loop_proto::table;

use super::super::*;
use super::{Decoder, some, strip, word};

impl Decoder {
    pub(super) fn findings(&self, names: &[i32]) -> Vec<String> {
        names.iter().map(|n| finding_name(*n)).collect()
    }

    pub(super) fn wait(&self, w: &pb::Wait) -> Wait {
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
            since_ns: w.since_ns,
            holder: w.holder_task_id,
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
                let pipe = w.pipe.as_ref().map(child_pipe);
                let pipe = pipe.map_or_else(String::new, |p| format!(" {}", p.words()));
                ("io", format!("{way}{fd}{pipe} {}", w.detail))
            }
            pb::WaitKind::Task => {
                out.target = id.map(Goto::Task);
                ("task", format!("{} {name}", w.id))
            }
            pb::WaitKind::Future => {
                out.target = id.map(Goto::Resource);
                ("future", format!("{} {name} {}", w.id, w.detail))
            }
            pb::WaitKind::Resource => {
                let resource = word(table::Table::Resources, Field::Kind, w.resource_kind);
                out.target = id.map(Goto::Resource);
                let held = w
                    .holder_task_id
                    .map_or_else(String::new, |holder| format!(", held by {holder}"));
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
            pb::WaitKind::Job => {
                out.target = id.map(Goto::Job);
                ("job", named("").trim().to_owned())
            }
            pb::WaitKind::Child => {
                out.target = id.map(Goto::Child);
                ("child", w.detail.clone())
            }
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

    pub(super) fn await_step(&self, s: &pb::AwaitStep) -> AwaitStep {
        AwaitStep {
            depth: s.depth.try_into().unwrap_or(u16::MAX),
            task: s.task_id,
            name: self.name(s.task_name.as_ref()),
            wait: s.wait.as_ref().map(|w| self.wait(w)).unwrap_or_default(),
            on: some(s.on_task_id),
            on_name: self.name(s.on_task_name.as_ref()),
            on_state: word(table::Table::Tasks, Field::State, s.on_task_state).to_uppercase(),
            ring: s.ring,
        }
    }

    pub(super) fn woken_by(&self, w: &pb::Wake) -> String {
        let mut words = cause(w.cause()).unwrap_or(UNKNOWN).to_owned();
        let name = self.name(w.name.as_ref());
        let id = (w.id != 0 && w.cause() != pb::WakeCause::Self_).then(|| w.id.to_string());
        for more in id
            .iter()
            .chain([&name, &w.detail])
            .filter(|t| !t.is_empty())
        {
            words = format!("{words} {more}");
        }
        words
    }

    pub(super) fn task(&self, t: pb::TaskRow) -> TaskRow {
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
            depth: 0,
            below: None,
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

    pub(super) fn group(&self, g: pb::PlaceRow) -> GroupRow {
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

    pub(super) fn event_loop(&self, l: pb::LoopRow) -> LoopRow {
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
            host_blocks: l.host_blocks,
            throttled_blocks: l.throttled_blocks,
            timers: l.timers,
            sources: l.sources,
            backend: l.backend,
            oldest_ready_ns: l.oldest_ready_ns,
            stacks_off: l.stacks_off,
            standstill: l.standstill.map(|still| Standstill {
                since_ns: still.since_ns,
                nobody: still.nobody,
                handles: still.handles,
                threads: still.threads,
            }),
        }
    }

    /// A block, of a view or a verdict.
    pub fn block(&self, b: pb::BlockRow) -> BlockRow {
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
        let stack: Vec<Frame> = b.stack.iter().map(|f| self.frame(f)).collect();
        let inner = b.samples.last().map(|sample| sample.frames.as_slice());
        let functions: Vec<String> = inner
            .unwrap_or(&b.stack)
            .iter()
            .map(|f| self.text(f.function_text))
            .collect();
        let functions = functions.iter().map(String::as_str);
        let advice = loop_proto::blocking::advice(b.cause(), &b.call, functions);
        BlockRow {
            id: b.id,
            at_ns: b.started_at_ns,
            loop_id: b.loop_id,
            for_ns: b.lower_ns.unwrap_or(b.wall_ns.saturating_sub(b.allowed_ns)),
            wall_only: b.lower_ns.is_none(),
            wall_ns: b.wall_ns.saturating_sub(b.allowed_ns),
            at_most_ns: b.upper_ns,
            budget_ns: b.budget_ns,
            running: b.ended_at_ns.is_none(),
            waiting_for_cpu: b.waiting_for_cpu,
            vetoed: b.vetoed,
            allowed_ns: b.allowed_ns,
            allowed: b.allowed_reason,
            allowed_now: b.allowed_now,
            doing: doing.to_owned(),
            task: some(b.task_id),
            name: self.name(b.task_name.as_ref()),
            place: self.text(b.place_text),
            place_from: place_from.to_owned(),
            function: self.text(b.function_text),
            waited: b.waited_behind,
            waited_worst_ns: b.worst_wait_ns,
            waiting_now: b.waiting_now,
            advice,
            throttled_ns: b.throttled_ns,
            quota_cpus: b.quota_cpus,
            samples: b.samples.iter().map(|s| self.sample(s)).collect(),
            call: b.call,
            cause: word(table::Table::Blocks, Field::Cause, b.cause),
            cause_reason: b.cause_reason,
            stack,
            no_stack: b.stack_missing,
            stack_note: b.stack_note,
            stack_at_ns: b.stack_at_ns,
        }
    }

    fn sample(&self, s: &pb::StackSample) -> Sample {
        Sample {
            at_ns: s.at_ns,
            frames: s.frames.iter().map(|f| self.frame(f)).collect(),
            common: s.common as usize,
        }
    }

    pub(super) fn frame(&self, f: &pb::Frame) -> Frame {
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
            awaited_by: f.awaited_by as usize,
        }
    }

    /// Where a task waits.
    pub(super) fn awaiting(&self, d: &mut pb::TaskDetail) -> Awaiting {
        let how = match d.await_how() {
            pb::AwaitHow::Unspecified => "",
            pb::AwaitHow::Pending => "pending",
            pb::AwaitHow::DebugInfo => "debug-info",
            pb::AwaitHow::Place => "place",
        };
        Awaiting {
            stack: d.await_stack.iter().map(|f| self.frame(f)).collect(),
            at_ns: d.await_stack_at_ns,
            how: how.to_owned(),
            why: std::mem::take(&mut d.await_why),
            asked: d.await_asked,
            reading: d.await_reading,
            took_ns: d.await_took_ns,
        }
    }

    pub(super) fn timer(&self, t: pb::TimerRow) -> TimerRow {
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

    pub(super) fn io(&self, s: pb::IoRow) -> IoRow {
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
            buffered: s.buffered_bytes,
            place: self.text(s.place_text),
            since_ns: s.registered_at_ns,
            findings: self.findings(&s.findings),
            pipe: s.pipe.as_ref().map(child_pipe),
            local: s.local,
            peer: s.peer,
        }
    }

    fn waiters(&self, of: &[pb::Waiter]) -> Vec<Waiter> {
        of.iter()
            .map(|w| Waiter {
                task: w.task_id,
                name: self.name(w.task_name.as_ref()),
                since_ns: w.since_ns,
                place: self.text(w.place_text),
            })
            .collect()
    }

    pub(super) fn waiting(&self, of: Goto, waiters: &[pb::Waiter], total: u64) -> Box<Waiting> {
        Box::new(Waiting {
            of,
            waiters: self.waiters(waiters),
            total,
        })
    }

    pub(super) fn resource(&self, r: pb::ResourceRow) -> ResourceRow {
        let of = table::Table::Resources;
        ResourceRow {
            id: r.id,
            kind: word(of, Field::Kind, r.kind),
            name: self.name(r.name.as_ref()),
            state: word(of, Field::State, r.state),
            loop_id: r.loop_id,
            owner: some(r.owner_id),
            owner_name: self.name(r.owner_name.as_ref()),
            owner_gone: r.owner_gone,
            holder: r.holder_task_id,
            holder_name: self.name(r.holder_name.as_ref()),
            held_since_ns: r.held_since_ns,
            waiters: r.waiters.into(),
            oldest_wait_ns: r.oldest_wait_ns,
            level: r.value,
            capacity: r.capacity,
            uses: r.uses,
            contended: r.contended,
            place: self.text(r.place_text),
            made_ns: r.made_at_ns,
            waiting: self.waiters(&r.waiting),
            findings: self.findings(&r.findings),
        }
    }

    pub(super) fn job(&self, j: pb::JobRow) -> JobRow {
        let name = self.name(j.name.as_ref());
        JobRow {
            id: j.id,
            state: word(table::Table::Jobs, Field::State, j.state),
            name: if name.is_empty() {
                self.text(j.type_text)
            } else {
                name
            },
            loop_id: j.loop_id,
            task: some(j.task_id),
            task_name: self.name(j.task_name.as_ref()),
            task_gone: j.task_gone,
            place: self.text(j.place_text),
            queued_ns: j.queued_at_ns,
            started_ns: j.started_at_ns,
            tid: some(j.tid),
            waiting: self.waiters(&j.waiting),
            findings: self.findings(&j.findings),
            pool: j.pool,
        }
    }

    pub(super) fn child(&self, c: pb::ChildRow) -> ChildRow {
        ChildRow {
            id: c.id,
            pid: c.pid.into(),
            loop_id: c.loop_id,
            task: some(c.task_id),
            task_name: self.name(c.task_name.as_ref()),
            task_gone: c.task_gone,
            place: self.text(c.place_text),
            started_ns: c.started_at_ns,
            ended: c.ended || c.ended_at_ns.is_some(),
            ended_ns: c.ended_at_ns,
            exit_code: c.exit_code.map(i64::from),
            signal: c.signal.map(i64::from),
            status_lost: c.status_lost,
            waiters: c.waiters.into(),
            open_pipes: c.open_pipes,
            waiting: self.waiters(&c.waiting),
            findings: self.findings(&c.findings),
            program: c.program,
        }
    }

    pub(super) fn signal(&self, s: pb::SignalRow) -> SignalRow {
        SignalRow {
            id: s.id,
            number: s.number.into(),
            loop_id: s.loop_id,
            listeners: s.listeners.into(),
            deliveries: s.deliveries,
            last_ns: s.last_at_ns,
            place: self.text(s.place_text),
            name: s.name,
        }
    }

    /// A finding, of a view, a verdict or an event.
    pub fn finding(&self, f: pb::Finding) -> Finding {
        let subject = match f.subject_kind() {
            pb::Kind::Task => some(f.subject_id).map(Goto::Task),
            pb::Kind::Timer => some(f.subject_id).map(Goto::Timer),
            pb::Kind::Source => some(f.subject_id).map(Goto::Io),
            // Loops count from 0.
            pb::Kind::Loop => Some(Goto::Loop(f.subject_id)),
            pb::Kind::Resource => some(f.subject_id).map(Goto::Resource),
            pb::Kind::Job => some(f.subject_id).map(Goto::Job),
            pb::Kind::Child => some(f.subject_id).map(Goto::Child),
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
            live: None,
        }
    }

    pub(super) fn event(&self, e: pb::Event) -> Event {
        let mut details: Vec<String> = Vec::new();
        let outcome = word(table::Table::Events, Field::Outcome, e.outcome);
        // Most kinds have no cause; of these two an absent one is not known.
        let woken = matches!(
            e.kind(),
            pb::EventKind::TaskPolled | pb::EventKind::TaskWoken
        );
        let cause = if woken || e.cause() != pb::WakeCause::Unspecified {
            self.woken_by(&pb::Wake {
                cause: e.cause,
                id: e.by_id,
                at_ns: None,
                ..pb::Wake::default()
            })
        } else {
            String::new()
        };
        details.extend([outcome, cause].into_iter().filter(|t| !t.is_empty()));
        details.extend(e.value.map(|v| v.to_string()));
        details.extend(Some(&e.detail).filter(|t| !t.is_empty()).cloned());
        if e.kind() == pb::EventKind::CommandDone
            && let Some(viewer) = &e.viewer
        {
            details.push(format!("asked by {}", viewer.in_words()));
        }
        Event {
            at_ns: e.at_ns,
            kind: word(table::Table::Events, Field::Kind, e.kind),
            loop_id: e.loop_id,
            task: some(e.task_id),
            name: self.name(e.name.as_ref()),
            subject: some(e.subject_id),
            duration_ns: e.duration_ns,
            place: self.text(e.place_text),
            // Some are sentences, and stand before others.
            detail: (details.iter().map(|text| text.trim_end_matches('.')))
                .collect::<Vec<_>>()
                .join(", "),
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

fn child_pipe(p: &pb::ChildPipe) -> ChildPipe {
    ChildPipe {
        child: p.child_id,
        pid: p.pid,
        program: p.program.clone(),
        stream: p.stream,
        ended: p.ended,
    }
}

pub(super) fn pool(p: &pb::Pool) -> Pool {
    Pool {
        name: p.name.clone(),
        loop_id: p.loop_id,
        threads: p.threads.into(),
        busy: p.busy.into(),
        limit: p.limit.into(),
        queued: p.queued.into(),
        finished: p.finished,
    }
}

pub(super) fn series(s: pb::SeriesRow) -> SeriesRow {
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

/// Said of a wake whose cause was not recorded.
pub(super) const UNKNOWN: &str = "unknown waker";

/// What wakes a task, in words. `None`: that was not recorded.
pub(super) fn cause(cause: pb::WakeCause) -> Option<&'static str> {
    Some(match cause {
        pb::WakeCause::Unspecified => return None,
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
    })
}
