//! What the parts of the inspector's thread share with each other and with the app's threads.
//! Knows no socket.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use loop_proto::pb;

use super::command::word;
use super::gate::Gate;
use super::limits::{Gauges, Peer};
use super::signal::Signal;
use super::watch::Viewer;
use crate::clock;
use crate::id::LoopId;
use crate::inspect::desk::Desk;
use crate::inspect::events::Feeds;
use crate::inspect::flight::log::Log;
use crate::record::Command;

/// Called on the loop when a command was carried out: whether there was anything to do it to.
pub(crate) type Done = Box<dyn FnOnce(bool) + Send>;
/// Has a loop carry out a command. Errors: why it cannot, in words.
pub(crate) type Carry = fn(LoopId, Command, Done) -> Result<(), String>;

/// Findings are looked for while somebody asked for them within this time, nanoseconds.
const INTEREST: u64 = 5_000_000_000;

/// Who this process is.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instance: [u8; 16],
    pub(crate) executable: String,
    pub(crate) started_unix_ns: u64,
}

pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) carry: Carry,
    #[cfg(unix)]
    pub(crate) flight: super::flight::Flight,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) feeds: Mutex<Feeds>,
    /// Events may be waiting, or somebody begins to want them.
    pub(crate) feeding: Signal,
    /// Somebody has polls kept, or no longer.
    pub(crate) keeping: Signal,
    pub(crate) gate: Gate,
    /// The thread is to end.
    pub(crate) stop: Signal,
    /// Somebody wants findings now.
    pub(crate) urgent: Signal,
    /// Blocks have changed.
    pub(crate) blocked: Signal,
    /// Something happened that a recording should have.
    pub(crate) record: Signal,
    /// The recording, if there is one. Its owner is the inspector, which ends it.
    #[cfg(unix)]
    pub(crate) black_box: std::sync::OnceLock<Weak<super::black_box::BlackBox>>,
    blocks: Mutex<Vec<(u64, loop_proto::pb::EventKind, loop_proto::pb::Event)>>,
    desk: Mutex<Desk>,
    wanted_until: AtomicU64,
    /// Walks for findings that have ended.
    /// Walks for findings that have begun, and of them those that have ended.
    begun: AtomicU64,
    rounds: AtomicU64,
    /// The last of them took long.
    dear: AtomicBool,
    round: Mutex<Vec<std::task::Waker>>,
    viewers: Mutex<Vec<Weak<Viewer>>>,
    greeted: Mutex<bool>,
    greeting: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(identity: Identity, carry: Carry, dumps: Arc<Log>) -> Self {
        Self {
            identity,
            carry,
            #[cfg(unix)]
            flight: super::flight::Flight::new(dumps.clone()),
            gauges: Arc::default(),
            feeds: Mutex::default(),
            feeding: Signal::default(),
            keeping: Signal::default(),
            gate: Gate::default(),
            stop: Signal::default(),
            urgent: Signal::default(),
            blocked: Signal::default(),
            record: Signal::default(),
            #[cfg(unix)]
            black_box: std::sync::OnceLock::new(),
            blocks: Mutex::default(),
            desk: Mutex::new(Desk::with_dumps(dumps)),
            wanted_until: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            dear: AtomicBool::new(false),
            round: Mutex::default(),
            viewers: Mutex::default(),
            greeted: Mutex::new(false),
            greeting: Condvar::new(),
        }
    }

    /// The desk, with the meters as they stand now.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        let mut desk = lock(&self.desk);
        desk.meters.viewers = self.gauges.viewers.load(Ordering::Relaxed);
        desk.meters.viewers_limit = super::limits::CONNECTIONS;
        desk.attached = self.gauges.attached();
        desk.meters.feeds = self.gauges.feeds.load(Ordering::Relaxed);
        desk.meters.bytes_sent = self.gauges.bytes_sent.load(Ordering::Relaxed);
        desk
    }

    pub(crate) fn feeds(&self) -> MutexGuard<'_, Feeds> {
        lock(&self.feeds)
    }

    /// Somebody looks at findings: they are looked for from now on.
    pub(crate) fn want_findings(&self) {
        let now = clock::mono();
        let before = self.wanted_until.swap(now + INTEREST, Ordering::Relaxed);
        if before < now {
            self.urgent.raise();
        }
    }

    pub(crate) fn findings_wanted(&self) -> bool {
        clock::mono() < self.wanted_until.load(Ordering::Relaxed)
    }

    /// Waits until a walk for findings has been made from now on, and where that is cheap two.
    pub(crate) async fn judged(&self) {
        let first = self.begun.load(Ordering::Relaxed) + 1;
        self.want_findings();
        self.urgent.raise();
        std::future::poll_fn(|cx| {
            if self.are_judged(first) {
                return std::task::Poll::Ready(());
            }
            self.urgent.raise();
            lock(&self.round).push(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await;
    }

    /// Whether the walk of that number has ended, and the one after it, unless they take long.
    fn are_judged(&self, first: u64) -> bool {
        let more = u64::from(!self.dear.load(Ordering::Relaxed));
        self.rounds.load(Ordering::Relaxed) >= first + more
    }

    /// Whether somebody has looked for findings as thoroughly as `judged` waits for.
    pub(crate) fn was_judged(&self) -> bool {
        self.are_judged(1)
    }

    /// A walk for findings begins.
    pub(crate) fn round_begins(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn round_done(&self, dear: bool) {
        self.dear.store(dear, Ordering::Relaxed);
        self.rounds.fetch_add(1, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *lock(&self.round));
        waiting.into_iter().for_each(std::task::Waker::wake);
    }

    pub(crate) fn enlist(&self, viewer: &Arc<Viewer>) {
        let mut viewers = lock(&self.viewers);
        viewers.retain(|viewer| viewer.strong_count() > 0);
        viewers.push(Arc::downgrade(viewer));
    }

    /// Has every viewer that looks at `target` answered at once.
    pub(crate) fn push(&self, target: loop_proto::pb::Target) {
        let viewers: Vec<_> = lock(&self.viewers)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for viewer in viewers {
            viewer.due_now(target);
        }
    }

    /// A block was proven, has a better stack, or has ended. The watchdog's thread: it must not
    /// wait, so the inspector's own thread does the rest.
    pub(crate) fn block_changed(&self, block: &crate::inspect::blocks::Block) {
        use loop_proto::pb::{Event, EventKind};
        let kind = match block.ended {
            Some(_) => EventKind::LoopUnblocked,
            None => EventKind::LoopBlocked,
        };
        let held = block.bracket.map_or(block.wall_ns, |held| held.lower);
        let event = Event {
            kind: kind as i32,
            at_ns: clock::mono(),
            loop_id: Some(block.loop_id.get().into()),
            task_id: block.task.map_or(0, |task| task.id),
            subject_id: block.id,
            duration_ns: Some(if block.ended.is_some() {
                held
            } else {
                block.wall_ns
            }),
            detail: block.cause.words.clone(),
            ..Event::default()
        };
        lock(&self.blocks).push((block.id, kind, event));
        self.blocked.raise();
    }

    /// The events of blocks since the last call, one of each kind a block.
    pub(crate) fn take_blocks(&self) -> Vec<loop_proto::pb::Event> {
        let mut seen = std::collections::HashSet::new();
        std::mem::take(&mut *lock(&self.blocks))
            .into_iter()
            .filter(|(id, kind, _)| seen.insert((*id, *kind)))
            .map(|(_, _, event)| event)
            .collect()
    }

    /// Keeps a command in the log of events: who asked for what, what became of it, and, of one that
    /// was queued, when. `took`: how long it was queued, nanoseconds.
    pub(crate) fn tell_command(
        &self,
        request: &pb::CommandRequest,
        reply: &pb::CommandReply,
        viewer: &pb::Viewer,
        took: Option<u64>,
    ) {
        use pb::command_request::Action;
        let task = match &request.action {
            Some(Action::Cancel(cancel)) => cancel.task_id,
            Some(Action::Nudge(nudge)) => nudge.task_id,
            _ => 0,
        };
        let command = word(request.action.as_ref());
        let became = match reply.status() {
            pb::CommandStatus::Done => "done",
            pb::CommandStatus::Queued => "queued",
            _ => "refused",
        };
        let what = match reply.did.as_str() {
            "" => command,
            did => did,
        };
        let mut detail = format!("{what}: {became}");
        if !reply.reason.is_empty() {
            detail = format!("{detail}, {}", reply.reason);
        }
        if let Some(nudged) = &reply.nudged {
            detail = format!("{detail}. {}", nudged.says);
        }
        let event = pb::Event {
            kind: pb::EventKind::CommandDone as i32,
            at_ns: clock::mono(),
            loop_id: None,
            task_id: task,
            by_id: request.serial,
            duration_ns: took,
            detail,
            viewer: Some(viewer.clone()),
            status: reply.status,
            command: command.to_owned(),
            ..pb::Event::default()
        };
        let mut feeds = self.feeds();
        feeds.tell(event, &self.desk());
    }

    /// Keeps in the log of events that a viewer came or went.
    pub(crate) fn tell_viewer(&self, kind: pb::EventKind, peer: &Peer) {
        let viewer = peer.viewer();
        let event = pb::Event {
            kind: kind as i32,
            at_ns: clock::mono(),
            detail: viewer.in_words(),
            viewer: Some(viewer),
            ..pb::Event::default()
        };
        let mut feeds = self.feeds();
        feeds.tell(event, &self.desk());
    }

    /// A viewer has said Hello.
    pub(crate) fn greet(&self) {
        *lock(&self.greeted) = true;
        self.greeting.notify_all();
    }

    /// Blocks the calling thread until a viewer has said Hello, for at most `limit`.
    pub(crate) fn wait_for_viewer(&self, limit: Option<Duration>) {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut greeted = lock(&self.greeted);
        while !*greeted {
            greeted = match until {
                None => self
                    .greeting
                    .wait(greeted)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.greeting
                        .wait_timeout(greeted, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}
