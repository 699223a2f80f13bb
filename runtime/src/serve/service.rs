//! The calls of the schema, on plain values: tested without a socket. Knows no connection but by
//! what it may do.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use loop_proto::pb;
use loop_proto::version::PROTOCOL;
use tonic::{Request, Response, Status, Streaming};

use super::auth::Role;
use super::command;
use super::gate::Gate;
use super::limits::{Peer, Who};
use super::outbox::{Outgoing, Sender, outbox};
use super::recorded;
use super::shared::Shared;
use super::watch::{Viewer, answer};
use crate::clock::{self, TickSource};
use crate::inspect::detail::detail;
use crate::inspect::tables::Look;
use crate::spawn::Task;
use crate::time::sleep;

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
        .unwrap_or_else(|| Arc::new(Peer::new(Role::Observe, Who::default(), &Arc::default())))
}

type Stream<T> = Pin<Box<Outgoing<T>>>;

#[tonic::async_trait]
impl pb::inspect_server::Inspect for Inspect {
    async fn hello(
        &self,
        request: Request<pb::HelloRequest>,
    ) -> Result<Response<pb::HelloReply>, Status> {
        let peer = peer_of(&request);
        let asked = match request.get_ref().role() {
            pb::Role::Control => Role::Control,
            _ => Role::Observe,
        };
        peer.introduce(&request.get_ref().client, asked);
        if peer.greet() {
            crate::inspect::stack::names::resolve::read_ahead();
            self.shared
                .tell_viewer(pb::EventKind::ViewerAttached, &peer);
        }
        self.shared.greet();
        let role_reason = peer.why_not().to_owned();
        Ok(Response::new(pb::HelloReply {
            role_reason,
            ..self.reply(peer.role())
        }))
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
        let opened = {
            let mut feeds = self.shared.feeds();
            let opened = feeds.open(request.get_ref());
            if let Ok(id) = opened
                && request.get_ref().backlog
            {
                feeds.catch_up(id, &mut self.shared.desk());
            }
            opened
        };
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
        let wanted = request.get_ref();
        let id = wanted.id;
        let found = detail(
            id,
            wanted.blocks as usize,
            wanted.await_stack,
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
        let peer = peer_of(&request);
        let viewer = peer.viewer();
        let why_not = peer.why_not();
        let request = request.into_inner();
        if !why_not.is_empty() {
            // Kept too: who tried is as good to know as who did.
            let refused = pb::CommandReply {
                status: pb::CommandStatus::Refused as i32,
                reason: why_not.to_owned(),
                ..pb::CommandReply::default()
            };
            self.shared.tell_command(&request, &refused, &viewer, None);
            return Err(Status::permission_denied(why_not));
        }
        let (reply, pending) = command::carry_out(&self.shared, &request).await;
        self.shared.tell_command(&request, &reply, &viewer, None);
        if let Some(pending) = pending {
            let shared = self.shared.clone();
            let queued = reply.clone();
            spawn(async move {
                let (status, reason, took) = pending.wait().await;
                let reply = pb::CommandReply {
                    status: status as i32,
                    reason: reason.to_owned(),
                    ..queued
                };
                shared.tell_command(&request, &reply, &viewer, Some(took));
            });
        }
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
    pub(super) fn reply(&self, role: Role) -> pb::HelloReply {
        let identity = &self.shared.identity;
        let recorded = recorded::all(&self.shared);
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
            recorded,
            cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u32),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            debug_build: cfg!(debug_assertions),
            viewers: desk.meters.viewers,
            findings_interval_ms: 1000,
            role_reason: String::new(),
            recording: desk.recording.clone(),
            ended: None,
        }
    }
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
