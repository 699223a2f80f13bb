//! The inspector's thread: a second loop of this runtime, with hyper and the generated service on
//! it. Knows `inspect`, and no loop of the app: what a viewer commands goes through a function that
//! `run` supplies.
//!
//! One a process, started by the first run and ended by the last, so that its files are gone when
//! the process is. The app never fails, waits or exits because of it; only `LOOP_CONSOLE=wait` and
//! a gate make it wait, and say so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loop_proto::endpoint::{Note, WISH, Wish};

use crate::clock;
use crate::event_loop::{Config, EventLoop};
use crate::id::LoopId;
use crate::inspect::flight as dumping;
use crate::inspect::flight::log::Log;
use crate::inspect::verdict::{self, Run};
use crate::inspect::watchdog::{self, Watchdog};
use crate::os;
use crate::record;

mod auth;
#[cfg(unix)]
mod black_box;
mod command;
#[cfg(unix)]
mod compose;
#[cfg(unix)]
mod endpoint;
#[cfg(unix)]
mod flight;
mod gate;
mod limits;
mod listen;
mod outbox;
mod recorded;
mod service;
mod shared;
mod signal;
#[cfg(all(test, unix))]
mod tests;
mod watch;

pub(crate) use shared::{Carry, Done};
use shared::{Identity, Shared};

/// How long a verdict waits for the names of stacks. They take a tenth of a second where nothing is
/// optimised; on a machine where twenty want one CPU, twenty times as much.
const NAMING: Duration = Duration::from_secs(5);

/// What `run` wants of the inspector.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) listen_tcp: Option<SocketAddr>,
    pub(crate) carry: Carry,
    /// What the builder says about dumps.
    pub(crate) dumps: crate::inspect::flight::Wish,
    /// How long what rests, a child without its parent, and a generation: what a run says of them
    /// holds for the process.
    pub(crate) leaks: Option<[Duration; 3]>,
    /// One of how many spawns leaves its stack.
    pub(crate) spawn_stacks: Option<u32>,
}

/// One of how many spawns leaves its stack, by the environment, which wins; 0: none.
const SPAWN_STACKS: &str = "LOOP_CONSOLE_SPAWN_STACKS";

fn sample_spawns(settings: &Settings) {
    let told = std::env::var(SPAWN_STACKS).ok();
    let rate = match told.as_deref().map(str::parse) {
        Some(Ok(rate)) => Some(rate),
        Some(Err(_)) => {
            tracing::warn!("{SPAWN_STACKS} is no number from 0: it is 64 for one spawn of 64");
            settings.spawn_stacks
        }
        None => settings.spawn_stacks,
    };
    let Some(rate) = rate.filter(|rate| *rate > 0) else {
        return;
    };
    if let Err(why) = crate::inspect::stack::depot::depot().sample_spawns(Some(rate)) {
        tracing::warn!(%why, "spawns leave no stacks");
    }
}

/// Where the inspector is to be found, or why it is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Listening {
        socket: Option<PathBuf>,
        tcp: Option<(SocketAddr, PathBuf)>,
        /// Why it is not on the TCP address that was asked for.
        no_tcp: Option<String>,
    },
    /// A gate listens at a unix socket.
    #[cfg_attr(not(unix), allow(dead_code))]
    Connected,
    None(String),
}

/// The inspector of this process.
pub(crate) struct Inspector {
    pid: u32,
    status: Status,
    shared: Arc<Shared>,
    /// It serves a gate and no viewers.
    gated: bool,
    /// Removed with it.
    files: Mutex<Option<listen::Files>>,
    watchdog: Option<Watchdog>,
    /// What is left of this process if it does not end by itself.
    #[cfg(unix)]
    black_box: Option<Arc<black_box::BlackBox>>,
    started_at_ns: u64,
    /// The grace that the gate gives tasks, nanoseconds; 0: what the run says.
    grace_ns: AtomicU64,
    /// Loops whose verdict has gone out and that are not closed yet; held while one goes out.
    leaving: Mutex<Vec<LoopId>>,
}

#[derive(Default)]
struct Only {
    here: Option<Arc<Inspector>>,
    /// Why the last try came to nothing.
    why: String,
}

static ONLY: Mutex<Only> = Mutex::new(Only {
    here: None,
    why: String::new(),
});

fn only() -> MutexGuard<'static, Only> {
    let mut only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
    if only
        .here
        .as_ref()
        .is_some_and(|here| here.pid != std::process::id())
    {
        // A fork's child: the threads are not here, and the files are the parent's.
        std::mem::forget(only.here.take());
    }
    only
}

/// Starts the inspector, unless there is one or the environment says no.
pub(crate) fn ensure(settings: &Settings) {
    let wish = wish();
    let (inspector, fresh) = {
        let mut only = only();
        match (&only.here, &wish) {
            (Some(here), _) => (here.clone(), false),
            (None, Wish::Off) => {
                only.why = format!("{WISH}=off");
                return;
            }
            (None, _) => match start(settings, &wish) {
                Ok(inspector) => {
                    let inspector = Arc::new(inspector);
                    only.here = Some(inspector.clone());
                    (inspector, true)
                }
                Err(why) => {
                    tracing::debug!(%why, "no inspector");
                    only.why = why;
                    return;
                }
            },
        }
    };
    if let Some([idle, outlived, generation]) = settings.leaks {
        let ns = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let limits = &mut inspector.shared.desk().judge.limits;
        limits.idle_ns = ns(idle);
        limits.outlive_ns = ns(outlived);
        limits.slot_ns = ns(generation).max(1_000_000);
    }
    if fresh || settings.spawn_stacks.is_some() {
        sample_spawns(settings);
    }
    match wish {
        Wish::Wait(limit) if fresh => {
            tracing::info!(status = ?inspector.status, "waiting for a console before the first poll");
            inspector.shared.wait_for_viewer(limit);
        }
        Wish::Connect(_) if fresh => {
            let begun = inspector.shared.gate.begun();
            let grace = begun.map_or(0, |begin| begin.grace_ns);
            inspector.grace_ns.store(grace, Ordering::Relaxed);
            if let Some(begin) = begun
                && begin.block_budget_ns > 0
            {
                let budget = Duration::from_nanos(begin.block_budget_ns);
                record::loops()
                    .iter()
                    .filter(|record| !record.facts.internal)
                    .for_each(|record| record.set_budget(budget));
            }
        }
        _ => {}
    }
}

/// Starts the inspector for a test, if a gate waits for it. Tells whether there is one.
pub(crate) fn ensure_for_test(settings: &Settings) -> bool {
    if matches!(wish(), Wish::Connect(_)) {
        ensure(settings);
        return only().here.as_ref().is_some_and(|here| here.gated);
    }
    false
}

/// A test fails: what there is to see of it now is written, if the environment asks for that. The
/// path, or why there is none; `None`: nobody asked.
#[cfg(unix)]
pub(crate) fn dump_of_test(carry: Carry, test: &str, why: &str) -> Option<Result<String, String>> {
    use dumping::Cause;
    let wish = dumping::Wish::read(&dumping::Wish::default(), |name| std::env::var_os(name));
    if !wish.causes.has(Cause::Test) {
        return None;
    }
    let shared = match gated() {
        Some(here) => here.shared.clone(),
        None => {
            let identity = identity();
            Arc::new(Shared::new(identity, carry, Arc::new(Log::new(wish))))
        }
    };
    verdict::judge_now(&mut shared.desk());
    // One that is being written already is written beside this one.
    shared.flight.log.begin();
    let trigger = dumping::log::Trigger {
        cause: Cause::Test,
        detail: format!("{test}: {why}"),
        subject: 0,
        task: 0,
    };
    // The test's loop stands still meanwhile: what is written is what it came to.
    let writing = std::thread::Builder::new()
        .name("loop-dump".to_owned())
        .spawn(move || {
            let _helps = crate::inspect::helpers::Helps::enter();
            let config = Config {
                name: Some("dump".to_owned()),
                internal: true,
                ..Config::new()
            };
            let event_loop = EventLoop::with(config).map_err(|error| error.to_string())?;
            let written =
                event_loop.run_until_complete(async move { flight::write(&shared, trigger).await });
            let _ = event_loop.close();
            written.map_err(|error| error.to_string())?
        });
    let written = match writing.map(std::thread::JoinHandle::join) {
        Ok(Ok(written)) => written,
        Ok(Err(_)) => Err("writing it panicked".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Some(written)
}

/// What the environment wants; what it cannot mean is told once and taken for nothing.
fn wish() -> Wish {
    static TOLD: std::sync::Once = std::sync::Once::new();
    match Wish::read(std::env::var_os(WISH).as_deref()) {
        Ok(wish) => wish.unwrap_or(Wish::On),
        Err(why) => {
            TOLD.call_once(|| tracing::warn!("{why}; taken for on"));
            Wish::On
        }
    }
}

/// Where the inspector is to be found, or why it is not.
pub(crate) fn status() -> Status {
    let only = only();
    match &only.here {
        Some(here) => here.status.clone(),
        None if only.why.is_empty() => {
            Status::None("no run has started it yet; tests have none".to_owned())
        }
        None => Status::None(only.why.clone()),
    }
}

fn start(settings: &Settings, wish: &Wish) -> Result<Inspector, String> {
    clock::anchor();
    let identity = identity();
    let pid = std::process::id();
    let note = Note {
        name: &identity.name,
        version: &identity.version,
        runtime: env!("CARGO_PKG_VERSION"),
        pid,
        started_unix_ns: identity.started_unix_ns,
        tcp: "",
    };
    let dumps = Arc::new(Log::new(dumping::Wish::read(&settings.dumps, |name| {
        std::env::var_os(name)
    })));
    let gated = matches!(wish, Wish::Connect(_));
    let (doors, files, status) = match wish {
        Wish::Connect(path) => listen::call(path)?,
        _ => listen::open(&note, settings.listen_tcp)?,
    };
    let shared = Arc::new(Shared::new(identity, settings.carry, dumps));
    let watchdog = start_watchdog(&shared);
    #[cfg(unix)]
    let black_box = start_black_box(&shared, files.as_ref());
    let serving = shared.clone();
    #[cfg(unix)]
    if let Some(black_box) = &black_box {
        // Set once: the inspector has one, and this is where it begins.
        let _ = shared.black_box.set(Arc::downgrade(black_box));
    }
    // Before its thread runs: a task may panic, and the process end, within the next millisecond.
    #[cfg(unix)]
    flight::Flight::hear(&shared);
    std::thread::Builder::new()
        .name("loop-inspect".to_owned())
        .spawn(move || {
            let _ours = os::ours::Ours::enter();
            run(&serving, doors);
        })
        .map_err(|error| format!("its thread could not be made: {error}"))?;
    Ok(Inspector {
        pid,
        status,
        shared,
        gated,
        files: Mutex::new(files),
        watchdog,
        #[cfg(unix)]
        black_box,
        started_at_ns: clock::mono(),
        grace_ns: AtomicU64::new(0),
        leaving: Mutex::default(),
    })
}

/// A recording is a help, no need: without one, events are kept in memory, for viewers.
#[cfg(unix)]
fn start_black_box(
    shared: &Arc<Shared>,
    files: Option<&listen::Files>,
) -> Option<Arc<black_box::BlackBox>> {
    let begun = match files {
        Some(files) => black_box::BlackBox::begin(files.socket(), &shared.identity),
        None => {
            black_box::record_in_memory();
            Err("a checker takes the verdict of this process, and its end with it".to_owned())
        }
    };
    let (black_box, about) = match begun {
        Ok(black_box) => {
            let about = black_box.about();
            (Some(black_box), about)
        }
        Err(reason) => {
            tracing::debug!(%reason, "no recording");
            let about = loop_proto::pb::Recording {
                reason,
                ..Default::default()
            };
            (None, about)
        }
    };
    shared.desk().recording = Some(about);
    black_box
}

/// A watchdog is a help, no need: without one, blocks are known from the polls' own clock only.
fn start_watchdog(shared: &Arc<Shared>) -> Option<Watchdog> {
    let told = Arc::downgrade(shared);
    let settings = watchdog::Settings {
        notify: Some(Arc::new(move |block: &crate::inspect::blocks::Block| {
            if let Some(shared) = told.upgrade() {
                shared.block_changed(block);
            }
        })),
        ..watchdog::Settings::default()
    };
    match Watchdog::start(settings) {
        Ok(watchdog) => {
            let mut desk = shared.desk();
            desk.blocks = Some(watchdog.blocks().clone());
            desk.stacks_off = watchdog.stacks_off().unwrap_or("").to_owned();
            if desk.stacks_off.is_empty() {
                crate::inspect::stack::copy_at_drops();
            }
            desk.meters.watchdog_thread = os::thread_named("loop-watchdog");
            drop(desk);
            Some(watchdog)
        }
        Err(error) => {
            tracing::warn!(%error, "no watchdog: blocks are noticed when they end");
            None
        }
    }
}

fn identity() -> Identity {
    let executable = std::env::current_exe().unwrap_or_default();
    let name = executable
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let anchor = clock::anchor();
    let now = service::unix_ns();
    Identity {
        name,
        version: String::new(),
        // Without a source of random bytes the moment stands in: it tells two runs apart too.
        instance: auth::random().unwrap_or_else(|_| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&now.to_le_bytes());
            bytes[8..12].copy_from_slice(&std::process::id().to_le_bytes());
            bytes
        }),
        executable: executable.to_string_lossy().into_owned(),
        started_unix_ns: anchor.unix_ns,
    }
}

/// The inspector's thread.
fn run(shared: &Arc<Shared>, doors: listen::Doors) {
    {
        let mut desk = shared.desk();
        desk.meters.inspector_thread = os::thread_id();
        desk.history.since_ns = clock::mono();
    }
    let config = Config {
        name: Some("inspector".to_owned()),
        internal: true,
        ..Config::new()
    };
    let event_loop = match EventLoop::with(config) {
        Ok(event_loop) => event_loop,
        Err(error) => {
            tracing::warn!(%error, "the inspector has no loop");
            shared.gate.close();
            return;
        }
    };
    let served = shared.clone();
    let ended = event_loop.run_until_complete(async move {
        listen::serve(&served, doors);
        service::spawn(listen::beat(served.clone()));
        service::spawn(listen::judge(served.clone()));
        service::spawn(listen::blocks(served.clone()));
        #[cfg(unix)]
        {
            service::spawn(flight::beat(served.clone()));
            if let Some(chosen) = served.flight.log.wish().signal {
                service::spawn(flight::listen(served.clone(), chosen));
            }
        }
        service::spawn(listen::keep(served.clone()));
        if let Some(black_box) = served.black_box.get() {
            service::spawn(black_box::beat(served.clone(), black_box.clone()));
        }
        served.stop.wait().await;
    });
    if let Err(error) = ended {
        tracing::warn!(%error, "the inspector has ended");
    }
    // What waits for a receipt must not wait for a thread that is gone.
    shared.gate.close();
    let _ = event_loop.close();
}

/// The main task of a run panicked: what is recorded of this process stays, if it ends now.
pub(crate) fn panicked() {
    #[cfg(unix)]
    if let Some(here) = only().here.clone()
        && let Some(black_box) = &here.black_box
    {
        black_box.panicked(&here.shared);
    }
}

/// A run's tasks had their grace: what is left is judged before it is cancelled, if a gate judges.
pub(crate) fn run_ended(grace: Duration) {
    if let Some(here) = gated() {
        here.judge(grace);
    }
}

/// Nothing can wake a loop, whose run ends for that: it is judged while it stands, for a gate and for
/// a dump.
pub(crate) fn deadlocked(grace: Duration) {
    let here = only().here.clone();
    if let Some(here) = here {
        here.judge(self::grace().unwrap_or(grace));
    }
}

/// The grace that tasks have by the gate's word. `None`: there is no gate, or it leaves it to the run.
pub(crate) fn grace() -> Option<Duration> {
    let grace = gated()?.grace_ns.load(Ordering::Relaxed);
    (grace > 0).then(|| Duration::from_nanos(grace))
}

fn gated() -> Option<Arc<Inspector>> {
    only().here.as_ref().filter(|here| here.gated).cloned()
}

/// A run is over, and its loop about to close: the gate gets its verdict, and the last run of a
/// process ends the inspector.
pub(crate) fn hand_over(loop_id: LoopId, test: &str, grace: Duration) {
    let Some(here) = only().here.clone() else {
        return;
    };
    // The grace that the tasks had, as `run` asked for it.
    let grace = self::grace().unwrap_or(grace);
    if here.gated {
        here.judge(grace);
    }
    // One at a time, so that of two that end together one is the last, and sends its verdict last.
    let mut leaving = here.leaving.lock().unwrap_or_else(PoisonError::into_inner);
    let others = {
        let mut only = only();
        let mut others: Vec<LoopId> = record::loops()
            .iter()
            .filter(|record| record.facts.is_awaited())
            .map(|record| record.id)
            .collect();
        leaving.retain(|id| others.contains(id));
        leaving.push(loop_id);
        others.retain(|id| !leaving.contains(id));
        if others.is_empty() {
            // A run that begins from here on makes an inspector of its own.
            only.here = None;
            here.remove_files();
            #[cfg(unix)]
            if let Some(black_box) = &here.black_box {
                // It stays for a while: an end that nobody expected may have been a clean one.
                black_box.ended(loop_proto::recording::End::Clean);
            }
            // Loops that go on after the last run are nobody's to record.
            record::ring::supply::remove();
        }
        !others.is_empty()
    };
    if here.gated {
        let run = Run {
            loop_id: Some(loop_id),
            test: test.to_owned(),
            process: here.shared.identity.name.clone(),
            started_at_ns: here.started_at_ns,
            grace_ns: grace.as_nanos() as u64,
            last: !others,
        };
        let verdict = here.shared.gate.compose(|sequence, sent| {
            verdict::verdict(&run, sequence, &mut here.shared.desk(), sent)
        });
        if !here.shared.gate.hand_over(verdict) {
            tracing::warn!("the gate gave no receipt for the verdict of this run");
        }
    }
    drop(leaving);
    if !others {
        #[cfg(unix)]
        {
            here.shared.flight.settle();
        }
        here.shared.stop.raise();
    }
}

impl Inspector {
    /// Looks at everything once more, for a verdict on a run whose tasks had `grace`.
    fn judge(&self, grace: Duration) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.catch_up();
            // The place of a block is in the names of its stack, which are on their way.
            let until = clock::mono() + NAMING.as_nanos() as u64;
            while watchdog.blocks().has_unnamed() && clock::mono() < until {
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
        let mut desk = self.shared.desk();
        desk.judge.limits.grace_ns = grace.as_nanos() as u64;
        let mut news = verdict::judge_now(&mut desk);
        // Who dropped a last waker is told with the names of its stack, if these come soon.
        let until = clock::mono() + NAMING.as_nanos() as u64;
        if desk.judge.copies.is_waiting() {
            while desk.judge.copies.is_waiting() && clock::mono() < until {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            news.append(&mut verdict::judge_now(&mut desk));
        }
        drop(desk);
        #[cfg(unix)]
        {
            self.shared.flight.found(&news);
            // What is left is about to be cancelled: a dump of it is written before.
            self.shared.flight.settle();
        }
        #[cfg(not(unix))]
        drop(news);
    }

    fn remove_files(&self) {
        drop(
            self.files
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.shared.stop.raise();
    }
}
