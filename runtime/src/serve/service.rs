//! The calls of the schema, on plain values: tested without a socket. Knows no connection but by
//! what it may do.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loop_proto::pb;
use loop_proto::pb::command_request::Action;
use loop_proto::version::PROTOCOL;
use tonic::{Request, Response, Status, Streaming};

use super::auth::Role;
use super::gate::Gate;
use super::limits::Peer;
use super::outbox::{Outgoing, Sender, outbox};
use super::shared::Shared;
use super::watch::{Viewer, answer};
use crate::clock::{self, TickSource};
use crate::id::LoopId;
use crate::inspect::detail::detail;
use crate::inspect::tables::Look;
use crate::record::Command;
use crate::spawn::Task;
use crate::time::sleep;

/// How long a command's loop may take before the answer is "queued".
const CARRIED: Duration = Duration::from_millis(200);
/// Rings are emptied at most this often.
const DRAIN: Duration = Duration::from_millis(5);
const BEAT: Duration = Duration::from_secs(1);

/// The service. One for all connections.
pub(crate) struct Inspect {
    pub(crate) shared: Arc<Shared>,
}

/// Spawns what serves one stream: part of the inspector, in no list.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    Task::<()>::builder().internal().spawn(future).detach();
}

fn peer_of<T>(request: &Request<T>) -> Arc<Peer> {
    request
        .extensions()
        .get::<Arc<Peer>>()
        .cloned()
        // A call that came through no connection, as a test makes it.
        .unwrap_or_else(|| Arc::new(Peer::new(Role::Observe, &Arc::default())))
}

type Stream<T> = Pin<Box<Outgoing<T>>>;

#[tonic::async_trait]
impl pb::inspect_server::Inspect for Inspect {
    async fn hello(
        &self,
        request: Request<pb::HelloRequest>,
    ) -> Result<Response<pb::HelloReply>, Status> {
        let peer = peer_of(&request);
        if request.get_ref().role() == pb::Role::Observe {
            peer.lower(Role::Observe);
        }
        peer.greet();
        self.shared.greet();
        Ok(Response::new(self.reply(peer.role())))
    }

    type WatchStream = Stream<pb::View>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::Query>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let peer = peer_of(&request);
        let (sender, outgoing) = outbox();
        let viewer = Arc::new(Viewer::default());
        self.shared.enlist(&viewer);
        spawn(viewer.clone().read(request.into_inner()));
        spawn(answer(self.shared.clone(), viewer, peer, sender));
        Ok(Response::new(Box::pin(outgoing)))
    }

    type WatchEventsStream = Stream<pb::EventBatch>;

    async fn watch_events(
        &self,
        request: Request<pb::EventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let peer = peer_of(&request);
        let (sender, outgoing) = outbox();
        peer.begin_feed()?;
        let opened = self.shared.feeds().open(request.get_ref());
        match opened {
            Ok(id) => {
                self.shared.feeding.raise();
                spawn(feed(self.shared.clone(), peer, id, sender));
            }
            Err(error) => spawn(async move {
                peer.end_feed();
                let batch = pb::EventBatch {
                    error: Some(error),
                    ..pb::EventBatch::default()
                };
                // A client that is gone needs no reason.
                let _ = sender.send(batch).await;
            }),
        }
        Ok(Response::new(Box::pin(outgoing)))
    }

    async fn task(
        &self,
        request: Request<pb::TaskRequest>,
    ) -> Result<Response<pb::TaskDetail>, Status> {
        self.shared.want_findings();
        let id = request.get_ref().id;
        let found = detail(
            id,
            request.get_ref().blocks as usize,
            &mut self.shared.desk(),
        );
        found.map(Response::new).ok_or_else(|| {
            Status::not_found(format!(
                "there is no task {id}, or it ended so long ago that its row was overwritten"
            ))
        })
    }

    async fn command(
        &self,
        request: Request<pb::CommandRequest>,
    ) -> Result<Response<pb::CommandReply>, Status> {
        if peer_of(&request).role() != Role::Control {
            return Err(Status::permission_denied(
                "this viewer may look, not command: connect as the app's user, with role control",
            ));
        }
        let request = request.into_inner();
        let reply = self.carry_out(&request).await;
        self.shared.tell_command(&request, &reply);
        Ok(Response::new(reply))
    }

    type JudgeStream = Stream<pb::Verdict>;

    async fn judge(
        &self,
        request: Request<Streaming<pb::JudgeRequest>>,
    ) -> Result<Response<Self::JudgeStream>, Status> {
        let (sender, outgoing) = outbox();
        let shared = self.shared.clone();
        spawn(Gate::read(shared.clone(), request.into_inner()));
        spawn(async move { shared.gate.send(sender).await });
        Ok(Response::new(Box::pin(outgoing)))
    }
}

/// Sends one viewer what happens until it is gone.
async fn feed(shared: Arc<Shared>, peer: Arc<Peer>, id: u64, sender: Sender<pb::EventBatch>) {
    let mut beat = clock::mono();
    loop {
        let batch = {
            let mut feeds = shared.feeds();
            let mut desk = shared.desk();
            // Told now and then, so that silence is known to be silence.
            let now = clock::mono();
            let quiet = now.saturating_sub(beat) > BEAT.as_nanos() as u64;
            // What one viewer takes in is handed to all, so many do not make it more work.
            if feeds.is_due(now, DRAIN) {
                feeds.drain(&mut desk);
            }
            let batch = feeds.batch(id, quiet, &mut desk);
            if batch.is_some() {
                beat = now;
            }
            batch
        };
        let full = batch
            .as_ref()
            .is_some_and(|batch| batch.events.len() == crate::inspect::events::BATCH);
        if let Some(batch) = batch {
            match sender.send(batch).await {
                Ok(()) => {}
                Err(super::outbox::Stop::Closed) => break,
                Err(super::outbox::Stop::Stalled) => {
                    peer.doomed.raise();
                    break;
                }
            }
        }
        if full {
            continue;
        }
        let mut pause = sleep(DRAIN);
        let gone = std::future::poll_fn(|cx| {
            if sender.poll_closed(cx).is_ready() {
                return std::task::Poll::Ready(true);
            }
            Pin::new(&mut pause).poll(cx).map(|()| false)
        })
        .await;
        if gone {
            break;
        }
    }
    shared.feeds().close(id);
    peer.end_feed();
}

impl Inspect {
    fn reply(&self, role: Role) -> pb::HelloReply {
        let identity = &self.shared.identity;
        let look = Look::new(false);
        let desk = self.shared.desk();
        pb::HelloReply {
            protocol: Some(PROTOCOL),
            instance_id: identity.instance.to_vec(),
            app_name: identity.name.clone(),
            app_version: identity.version.clone(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_unix_ns: identity.started_unix_ns,
            anchor_unix_ns: unix_ns(),
            anchor_monotonic_ns: clock::mono(),
            tick_source: match clock::source() {
                TickSource::Tsc => pb::TickSource::Rdtsc,
                TickSource::Cntvct => pb::TickSource::Cntvct,
                TickSource::ClockGettime => pb::TickSource::ClockGettime,
            } as i32,
            ticks_per_second: 1e9 / clock::ns_per_tick(),
            capabilities: desk.capabilities(),
            executable: identity.executable.clone(),
            build_id: String::new(),
            hostname: hostname(),
            role: match role {
                Role::Control => pb::Role::Control,
                Role::Observe => pb::Role::Observe,
            } as i32,
            block_budget_ns: desk.budget(&look),
            recorded: recorded(),
            cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u32),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            debug_build: cfg!(debug_assertions),
            viewers: desk.meters.viewers,
            findings_interval_ms: 1000,
        }
    }

    async fn carry_out(&self, request: &pb::CommandRequest) -> pb::CommandReply {
        let reply = |status: pb::CommandStatus, reason: String| pb::CommandReply {
            serial: request.serial,
            status: status as i32,
            reason,
            path: String::new(),
        };
        let refused = |why: &str| reply(pb::CommandStatus::Refused, why.to_owned());
        let done = || reply(pb::CommandStatus::Done, String::new());
        match &request.action {
            Some(Action::Cancel(cancel)) => {
                let task = cancel.task_id;
                self.on_task(request, task, Command::Cancel { task }).await
            }
            Some(Action::Nudge(nudge)) => {
                let task = nudge.task_id;
                self.on_task(request, task, Command::Nudge { task }).await
            }
            Some(Action::SetBudget(budget)) if budget.block_ns == 0 => {
                refused("a budget of 0 would make every poll a block")
            }
            Some(Action::SetBudget(budget)) => {
                let limit = Duration::from_nanos(budget.block_ns);
                let look = Look::new(false);
                let meant = look.loops.iter().filter(|at| {
                    let id = u64::from(at.record.id.get());
                    budget.loop_id.is_none_or(|wanted| wanted == id)
                });
                let count = meant.inspect(|at| at.record.set_budget(limit)).count();
                if count > 0 {
                    done()
                } else {
                    refused("there is no such loop")
                }
            }
            Some(Action::FindNow(_)) => {
                self.shared.judged().await;
                done()
            }
            Some(Action::Dump(_)) => {
                refused("there is no flight recorder; record with `loop-console record`")
            }
            Some(Action::SetRecorded(_)) => {
                refused("what is recorded is always recorded; events follow what viewers ask for")
            }
            None => refused("the command is unknown to this version"),
        }
    }

    async fn on_task(
        &self,
        request: &pb::CommandRequest,
        task: u64,
        command: Command,
    ) -> pb::CommandReply {
        let reply = |status: pb::CommandStatus, reason: &str| pb::CommandReply {
            serial: request.serial,
            status: status as i32,
            reason: reason.to_owned(),
            path: String::new(),
        };
        let Some(loop_id) = loop_of(task) else {
            return reply(
                pb::CommandStatus::Refused,
                "there is no live task of that id",
            );
        };
        let outcome = Arc::new((Mutex::new(None), super::signal::Signal::default()));
        let told = outcome.clone();
        let carried = (self.shared.carry)(
            loop_id,
            command,
            Box::new(move |done| {
                *told
                    .0
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(done);
                told.1.raise();
            }),
        );
        if let Err(why) = carried {
            return reply(pb::CommandStatus::Refused, &why);
        }
        let mut limit = sleep(CARRIED);
        std::future::poll_fn(|cx| {
            if outcome.1.poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            Pin::new(&mut limit).poll(cx)
        })
        .await;
        let done = *outcome
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match done {
            Some(true) => reply(pb::CommandStatus::Done, ""),
            Some(false) => reply(pb::CommandStatus::Refused, "the task has ended meanwhile"),
            None => reply(
                pb::CommandStatus::Queued,
                "the loop is busy: it will be carried out when the loop turns",
            ),
        }
    }
}

fn loop_of(task: u64) -> Option<LoopId> {
    let look = Look::new(false);
    let (spot, facts) = look.task(task)?;
    (facts.state != crate::record::task::State::Done)
        .then(|| look.at(spot).map(|at| at.record.id))
        .flatten()
}

pub(crate) fn unix_ns() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

fn hostname() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("HOSTNAME").ok());
    told.or_else(|| std::env::var("COMPUTERNAME").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

fn recorded() -> Vec<pb::Recorded> {
    let always = |what: &str| pb::Recorded {
        what: what.to_owned(),
        on: true,
        detail: String::new(),
    };
    let off = |what: &str, detail: &str| pb::Recorded {
        what: what.to_owned(),
        on: false,
        detail: detail.to_owned(),
    };
    vec![
        always("polls"),
        always("wakes"),
        always("timers"),
        always("io"),
        always("jobs"),
        off("events", "on while a viewer watches events"),
        off("spawn-stacks", "not built: the spawn place is recorded"),
    ]
}
