//! Timers, sources, jobs, resources, children and signals as messages.

use loop_proto::pb;

use super::{Wire, some};
use crate::inspect::tables::LoopLook;
use crate::inspect::waits::{address, child_pipe, resource_kind, signal_name};
use crate::record::child::ChildFacts;
use crate::record::job::{self, JobFacts};
use crate::record::pool;
use crate::record::resource::{self, ResourceFacts};
use crate::record::signal::SignalFacts;
use crate::record::source::{self, SourceFacts, direction};
use crate::record::timer::{self, TimerFacts};

/// Numbers of signals are below this.
const SIGNALS: u64 = 128;

impl Wire<'_> {
    pub(crate) fn timer(&mut self, at: &LoopLook, facts: &TimerFacts) -> pb::TimerRow {
        let (owner_name, owner_gone) = self.task_by_id(facts.owner);
        let late_now = self.look.now.mono.saturating_sub(facts.deadline);
        let late_ns = if facts.armed && late_now > 0 {
            Some(late_now)
        } else {
            (facts.fired > 0).then_some(facts.late)
        };
        pb::TimerRow {
            id: facts.id,
            kind: timer_kind(facts.kind) as i32,
            loop_id: at.record.id.get().into(),
            owner_id: facts.owner,
            owner_name,
            owner_gone,
            due_ns: facts.deadline,
            late_ns,
            armed_at_ns: facts.armed_at,
            set_at_text: self.texts.place(facts.place),
            period_ns: some(facts.period),
            fired: facts.fired,
            rearmed: facts.rearmed.into(),
            findings: Vec::new(),
            internal: at.record.facts.internal || facts.kind == timer::Kind::Internal,
            // A timer that is armed has something to call: it is disarmed when that goes.
            has_waker: facts.armed,
        }
    }

    pub(crate) fn source(&mut self, at: &LoopLook, facts: &SourceFacts) -> pb::IoRow {
        let task = [facts.reader, facts.writer, facts.owner]
            .into_iter()
            .find(|task| *task != 0)
            .unwrap_or(0);
        let (task_name, task_gone) = self.task_by_id(task);
        let has = |set: u8, bit: u8| set & bit != 0;
        pb::IoRow {
            id: facts.id,
            fd: i32::try_from(facts.fd).ok().filter(|fd| *fd >= 0),
            kind: source_kind(facts.kind) as i32,
            loop_id: at.record.id.get().into(),
            local: address(facts.local),
            peer: address(facts.peer),
            want_read: has(facts.interest, direction::READ),
            want_write: has(facts.interest, direction::WRITE),
            ready_read: has(facts.ready, direction::READ | direction::CLOSED),
            ready_write: has(facts.ready, direction::WRITE | direction::CLOSED),
            task_id: task,
            task_name,
            task_gone,
            registered_at_ns: facts.since,
            place_text: self.texts.place(facts.place),
            last_ready_ns: some(facts.last_ready),
            wakes: facts.wakes,
            spurious: facts.spurious,
            buffered_bytes: facts.queued,
            recv_queue_bytes: None,
            send_queue_bytes: None,
            findings: Vec::new(),
            internal: at.record.facts.internal || facts.kind == source::Kind::Internal,
            pipe: child_pipe(facts, self.found),
        }
    }

    pub(crate) fn job(&mut self, at: &LoopLook, facts: &JobFacts) -> pb::JobRow {
        let (task_name, task_gone) = self.task_by_id(facts.owner);
        let now = self.look.now;
        let (_, waiting) = self.waiting(facts.id);
        pb::JobRow {
            id: facts.id,
            state: match (facts.state, facts.cancelled) {
                (job::State::Queued, _) => pb::JobState::Queued,
                (_, true) => pb::JobState::Abandoned,
                (_, false) => pb::JobState::Run,
            } as i32,
            pool: self.look.names.text(facts.pool).to_owned(),
            loop_id: Some(at.record.id.get().into()),
            task_id: facts.owner,
            task_name,
            type_text: 0,
            place_text: self.texts.place(facts.place),
            queued_at_ns: now.mono_of(facts.submitted_at),
            started_at_ns: some(facts.started_at).map(|tick| now.mono_of(tick)),
            tid: facts.thread,
            findings: Vec::new(),
            waiting,
            name: self.plain_name(facts.name),
            task_gone,
        }
    }

    pub(crate) fn resource(&mut self, at: &LoopLook, facts: &ResourceFacts) -> pb::ResourceRow {
        use resource::Kind as K;
        let counts = matches!(
            facts.kind,
            K::Semaphore | K::Barrier | K::Queue | K::Channel
        );
        let (owner_name, owner_gone) = self.task_by_id(facts.owner);
        let (holder_name, _) = self.task_by_id(facts.holder);
        let (waiters, waiting) = self.waiting(facts.id);
        let first = self.waiters.and_then(|all| all.get(facts.id).first());
        let oldest = first.and_then(|waiter| waiter.since);
        pb::ResourceRow {
            id: facts.id,
            kind: resource_kind(facts.kind) as i32,
            name: self.plain_name(facts.name),
            loop_id: Some(at.record.id.get().into()),
            place_text: self.texts.place(facts.place),
            made_at_ns: self.look.now.mono_of(facts.since),
            // What was told of the waits may be of a moment later than the count.
            waiters: facts
                .waiters
                .max(u32::try_from(waiters).unwrap_or(u32::MAX))
                .max(u32::from(facts.waiter != 0)),
            first_waiter_id: match facts.waiter {
                0 => first.map_or(0, |waiter| waiter.task),
                task => task,
            },
            holder_task_id: some(facts.holder),
            held_since_ns: some(facts.held_since).map(|tick| self.look.now.mono_of(tick)),
            value: counts.then_some(facts.level.into()),
            capacity: some(facts.capacity.into()),
            oldest_wait_ns: oldest.map(|since| self.look.now.mono.saturating_sub(since)),
            uses: facts.uses,
            contended: facts.contended,
            findings: Vec::new(),
            state: resource_state(facts) as i32,
            owner_id: facts.owner,
            owner_name,
            owner_gone,
            holder_name,
            waiting,
        }
    }

    /// A signal that a loop listens to.
    pub(crate) fn signal(&mut self, at: &LoopLook, facts: &SignalFacts) -> pb::SignalRow {
        let loop_id = u64::from(at.record.id.get());
        let number = u64::try_from(facts.signal).unwrap_or(0);
        pb::SignalRow {
            id: loop_id * SIGNALS + number,
            number: facts.signal,
            name: signal_name(number).to_owned(),
            loop_id,
            listeners: facts.listeners,
            place_text: self.texts.place(facts.place),
            deliveries: facts.deliveries,
            last_at_ns: some(facts.last),
        }
    }

    /// The pools that have had a job.
    pub(crate) fn pools(&self) -> Vec<pb::Pool> {
        let loops = || {
            self.look
                .loops
                .iter()
                .map(|at| u64::from(at.record.id.get()))
        };
        let shown = pool::all()
            .into_iter()
            // Of a loop that is not in this look, it is the inspector's.
            .filter(|facts| facts.of_loop.is_none_or(|id| loops().any(|of| of == id)));
        shown
            .map(|facts| pb::Pool {
                name: self.look.names.text(facts.name).to_owned(),
                loop_id: facts.of_loop,
                threads: facts.threads,
                busy: facts.busy,
                limit: facts.limit,
                queued: facts.queued,
                finished: facts.finished,
            })
            .collect()
    }

    pub(crate) fn child(&mut self, at: &LoopLook, facts: &ChildFacts) -> pb::ChildRow {
        let (exit_code, signal) = match facts.status {
            // A stand-in: the kernel gave it to somebody else.
            _ if facts.lost => (None, None),
            // As wait(2) codes it: the low seven bits are the signal, the next byte the exit code.
            Some(status) if status & 0x7F == 0 => (Some((status >> 8 & 0xFF) as i32), None),
            Some(status) => (None, Some((status & 0x7F) as i32)),
            None => (None, None),
        };
        let (task_name, task_gone) = self.task_by_id(facts.owner);
        let (waiters, waiting) = self.waiting(facts.id);
        pb::ChildRow {
            id: facts.id,
            pid: u32::try_from(facts.pid).unwrap_or(0),
            program: self.look.names.text(facts.program).to_owned(),
            loop_id: at.record.id.get().into(),
            task_id: facts.owner,
            place_text: self.texts.place(facts.place),
            started_at_ns: facts.since,
            ended_at_ns: some(facts.ended),
            exit_code,
            signal,
            waiters: facts
                .waiters
                .max(u32::try_from(waiters).unwrap_or(u32::MAX)),
            open_pipes: facts.pipes.into(),
            findings: Vec::new(),
            task_name,
            task_gone,
            waiting,
            ended: facts.status.is_some(),
            status_lost: facts.lost,
        }
    }
}

/// How a resource stands, as its kind has it.
fn resource_state(facts: &ResourceFacts) -> pb::ResourceState {
    use pb::ResourceState as S;
    use resource::{Kind as K, state};
    let has = |bit: u8| facts.state & bit != 0;
    match facts.kind {
        _ if has(state::BROKEN) => S::Broken,
        // Its holder may be no task.
        K::Lock if facts.holder != 0 || facts.held_since != 0 => S::Held,
        K::Lock => S::Free,
        K::Future | K::Event if has(state::SET) => S::Set,
        K::Future | K::Event => S::Pending,
        K::Queue | K::Channel | K::Group if has(state::SET) => S::Closed,
        K::Queue | K::Channel | K::Group => S::Open,
        K::Condition | K::Semaphore | K::Barrier => S::Unspecified,
    }
}

fn timer_kind(kind: timer::Kind) -> pb::TimerKind {
    match kind {
        timer::Kind::Sleep => pb::TimerKind::Sleep,
        timer::Kind::Interval => pb::TimerKind::Interval,
        timer::Kind::Timeout => pb::TimerKind::Timeout,
        timer::Kind::CallLater => pb::TimerKind::CallLater,
        timer::Kind::CallAt => pb::TimerKind::CallAt,
        timer::Kind::Internal => pb::TimerKind::Unspecified,
    }
}

fn source_kind(kind: source::Kind) -> pb::SourceKind {
    match kind {
        source::Kind::Tcp => pb::SourceKind::Tcp,
        source::Kind::TcpListener => pb::SourceKind::Listen,
        source::Kind::Udp => pb::SourceKind::Udp,
        source::Kind::Unix => pb::SourceKind::Unix,
        source::Kind::UnixListener => pb::SourceKind::UnixListen,
        source::Kind::UnixDatagram => pb::SourceKind::UnixDatagram,
        source::Kind::Pipe => pb::SourceKind::Pipe,
        source::Kind::Child => pb::SourceKind::Child,
        source::Kind::Fd => pb::SourceKind::Fd,
        source::Kind::Internal => pb::SourceKind::Unspecified,
    }
}
