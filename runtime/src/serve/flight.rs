//! The flight recorder of this process: composes a dump of what there is to see and what happened
//! last, and writes it; on the inspector's thread, never a loop's. The rules are in
//! `inspect::flight`.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use loop_proto::endpoint::directories;
use loop_proto::pb;

use super::auth::own_uid;
use super::shared::Shared;
use super::signal::Signal;
use crate::clock;
use crate::inspect::flight::log::{Log, Trigger};
use crate::inspect::flight::{Cause, LIMITS, Named, disk, file_name};
use crate::inspect::judge::Held;
use crate::os;
use crate::record::alarm::{self, Panicked};
use crate::signal;
use crate::time::sleep;

/// A stack's names come some milliseconds after the stack: a dump of a block waits for them.
const NAMES: Duration = Duration::from_millis(150);
/// How long a dump waits for the walks that look for findings.
const JUDGED: Duration = Duration::from_millis(200);
/// How long the end of a process waits for a dump that is being written.
const LAST: Duration = Duration::from_millis(500);

/// What the parts of the inspector call.
pub(crate) struct Flight {
    pub(crate) log: Arc<Log>,
    called: Signal,
    done: Signal,
    /// Hears of panics as long as this is there.
    ear: OnceLock<alarm::Listener>,
}

impl Flight {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            called: Signal::default(),
            done: Signal::default(),
            ear: OnceLock::new(),
        }
    }

    /// A viewer turns the usual causes on, or all off.
    pub(crate) fn turn(&self, on: bool) {
        self.log.turn(on);
    }

    /// Something happened that may be worth a dump. Any thread.
    pub(crate) fn trigger(&self, trigger: Trigger) {
        if self.log.trigger(trigger, clock::mono()) {
            self.called.raise();
        }
    }

    /// A block began, or ended before anybody saw it begin.
    pub(crate) fn blocked(&self, event: &pb::Event) {
        let held = Duration::from_nanos(event.duration_ns.unwrap_or(0));
        self.trigger(Trigger {
            cause: Cause::Block,
            detail: format!(
                "loop {} for {held:.0?} by task {}",
                event.loop_id.unwrap_or(0),
                event.task_id
            ),
            subject: event.subject_id,
            task: event.task_id,
        });
    }

    /// A walk found these made.
    pub(crate) fn found(&self, news: &[Held]) {
        use loop_proto::pb::{FindingName, Grade};
        let grave = |held: &&Held| matches!(held.grade, Grade::Certain | Grade::LeftBehind);
        for held in news
            .iter()
            .filter(|held| held.user && !held.cleared)
            .filter(grave)
        {
            let cause = match held.name {
                // Its own trigger knows of it at once.
                FindingName::Blocked => continue,
                FindingName::Deadlocked => Cause::Deadlock,
                _ => Cause::Leak,
            };
            let name = held.name.word();
            let detail = match held.place {
                Some(place) => format!("{name} at {place}"),
                None => name.to_owned(),
            };
            self.trigger(Trigger {
                cause,
                detail,
                subject: held.id,
                task: held.subject_id,
            });
        }
    }

    /// Hears of panics from now on.
    pub(crate) fn hear(shared: &Arc<Shared>) {
        let told = Arc::downgrade(shared);
        let ear: alarm::Listener = Arc::new(move |panicked: &Panicked| {
            if let Some(shared) = told.upgrade() {
                shared.flight.trigger(Trigger {
                    cause: Cause::Panic,
                    detail: format!(
                        "task {} of loop {}: {}",
                        panicked.task, panicked.loop_id, panicked.text
                    ),
                    subject: 0,
                    task: panicked.task,
                });
            }
        });
        alarm::listen(shared.flight.ear.get_or_init(|| ear));
    }

    /// Waits until what is being written is there, for a process that is about to end.
    pub(crate) fn settle(&self) {
        let until = clock::mono() + LAST.as_nanos() as u64;
        while self.log.is_busy() && clock::mono() < until {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// Writes what is triggered until the inspector ends.
pub(crate) async fn beat(shared: Arc<Shared>) {
    loop {
        while let Some(trigger) = shared.flight.log.next() {
            if trigger.cause == Cause::Block {
                sleep(NAMES).await;
            }
            if !matches!(trigger.cause, Cause::Leak | Cause::Deadlock) {
                judged(&shared).await;
            }
            // A failure is told by the log.
            let _ = write(&shared, trigger).await;
        }
        shared.flight.called.wait().await;
        shared.flight.called.take();
    }
}

/// Has findings looked for, so that they are in the dump; not for long.
async fn judged(shared: &Arc<Shared>) {
    let mut judged = std::pin::pin!(shared.judged());
    let mut limit = sleep(JUDGED);
    std::future::poll_fn(|cx| {
        if judged.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Pin::new(&mut limit).poll(cx)
    })
    .await;
}

/// Writes one because a viewer asked. Errors: a sentence.
pub(crate) async fn asked(shared: &Arc<Shared>, reason: &str) -> Result<String, String> {
    let log = &shared.flight.log;
    if !log.admit_asked(clock::mono()) {
        return Err("a dump was written within this second; ask again".to_owned());
    }
    let mut limit = sleep(Duration::from_secs(2));
    while !log.begin() {
        // One is being written: its end wakes us.
        let over = std::future::poll_fn(|cx| {
            if shared.flight.done.poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            Pin::new(&mut limit).poll(cx).map(|()| true)
        })
        .await;
        if over {
            return Err("another dump is being written; ask again".to_owned());
        }
        shared.flight.done.take();
    }
    judged(shared).await;
    let detail = reason[..reason.floor_char_boundary(200)].to_owned();
    let trigger = Trigger {
        cause: Cause::Asked,
        detail,
        subject: 0,
        task: 0,
    };
    write(shared, trigger).await
}

/// Composes and writes one; `begin` or `next` of the log came before. The path; errors: a sentence.
pub(crate) async fn write(shared: &Arc<Shared>, trigger: Trigger) -> Result<String, String> {
    let flight = &shared.flight;
    let bytes = super::compose::dump(shared, &reason(&trigger)).await;
    let unix_ns = super::service::unix_ns();
    let name = file_name(
        &shared.identity.name,
        std::process::id(),
        unix_ns,
        trigger.cause,
    );
    let mut why = Vec::new();
    for directory in places(&flight.log) {
        match disk::write(&directory, &name, &bytes, LIMITS) {
            Ok(written) => {
                let path = written.path.display().to_string();
                let file = pb::DumpFile {
                    path: path.clone(),
                    at_ns: clock::mono(),
                    cause: trigger.cause.word().to_owned(),
                    detail: trigger.detail.clone(),
                    bytes: bytes.len() as u64,
                    subject_id: trigger.subject,
                };
                flight
                    .log
                    .written(file, written.removed, written.bytes, &written.names);
                tell(shared, &trigger, &path);
                flight.done.raise();
                return Ok(path);
            }
            Err(error) => why.push(error),
        }
    }
    let why = if why.is_empty() {
        "no directory can hold a dump".to_owned()
    } else {
        why.join("; ")
    };
    flight.log.failed(&why);
    flight.done.raise();
    tracing::warn!(%why, cause = trigger.cause.word(), "no dump was written");
    Err(why)
}

/// For the head of the file: the cause, and what is known of it.
fn reason(trigger: &Trigger) -> String {
    match trigger.detail.as_str() {
        "" => trigger.cause.word().to_owned(),
        detail => format!("{}: {detail}", trigger.cause.word()),
    }
}

/// Keeps in the log of events, and beside what caused it, that a file was written.
fn tell(shared: &Arc<Shared>, trigger: &Trigger, path: &str) {
    if matches!(trigger.cause, Cause::Leak | Cause::Deadlock) {
        let mut desk = shared.desk();
        desk.history.findings.dumped(trigger.subject, path);
    }
    if trigger.cause == Cause::Asked {
        // The command's own event says so.
        return;
    }
    let event = pb::Event {
        kind: pb::EventKind::CommandDone as i32,
        at_ns: clock::mono(),
        task_id: trigger.task,
        subject_id: trigger.subject,
        detail: format!("dump written to {path} for {}", reason(trigger)),
        command: "dump".to_owned(),
        status: pb::CommandStatus::Done as i32,
        ..pb::Event::default()
    };
    let mut feeds = shared.feeds();
    feeds.tell(event, &shared.desk());
}

/// Where dumps may lie, best first: where they were asked for, else beside the sockets.
fn places(log: &Log) -> Vec<PathBuf> {
    match &log.wish().directory {
        // Whoever named a directory looks nowhere else.
        Some(directory) => vec![directory.clone()],
        None => {
            let all = directories(|name| std::env::var_os(name), own_uid());
            all.into_iter().map(|all| all.join("dumps")).collect()
        }
    }
}

/// Writes one at each signal that was chosen for it.
pub(crate) async fn listen(shared: Arc<Shared>, chosen: Named) {
    let log = &shared.flight.log;
    if os::catches(chosen.number) == Some(true) {
        log.trouble(format!(
            "SIG{} writes no dump: the app handles it itself, and it is left to it",
            chosen.name
        ));
        return;
    }
    let mut deliveries = match signal::listen(signal::Signal::from_raw(chosen.number)) {
        Ok(deliveries) => deliveries,
        Err(error) => {
            log.trouble(format!("SIG{} writes no dump: {error}", chosen.name));
            return;
        }
    };
    while deliveries.next().await.is_ok() {
        shared.flight.trigger(Trigger {
            cause: Cause::Signal,
            detail: format!("SIG{}", chosen.name),
            subject: 0,
            task: 0,
        });
    }
}
