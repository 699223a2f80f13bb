//! `check -- CMD`: listens on a private socket, tells the command's processes of it, takes their verdicts and gives receipts.
//! The direction is reversed, so that a program that lives 20 ms is judged: it connects before its first poll.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use loop_proto::endpoint::{AUTHORITY, MAX_PATH};
use loop_proto::pb;
use loop_runtime::io::HyperIo;
use loop_runtime::net::{UnixListener, UnixStream};

use crate::check::child::{self, Interrupts};
use crate::check::evidence::{Evidence, Verdicts};
use crate::check::judge::{End, Report, judge};
use crate::check::watch::{self, Seen};
use crate::cli::{Check, Global};
use crate::exit::{Exit, Failure};
use crate::transport::connect::version_gap;
use crate::transport::mailbox::{self, Receiver, Sender};
use crate::transport::session::{Session, Trouble, refused};
use crate::transport::{Options, on_loop};

/// After SIGTERM so much time is given before SIGKILL.
const MERCY: Duration = Duration::from_secs(5);
/// After the command's end so much time is given to verdicts that are on their way.
const LATE: Duration = Duration::from_secs(2);

/// A directory that only we can enter, gone with its socket when dropped.
struct Private(PathBuf);

impl Private {
    fn make() -> io::Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let bases = loop_proto::endpoint::directories(|name| std::env::var_os(name), uid);
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        // The directories of apps are ours alone already; their parents serve when they do not exist yet.
        for base in bases.iter().filter_map(|base| base.parent()) {
            let start = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| d.as_micros());
            let path = base.join(format!(
                "loop-console-check-{}-{:x}",
                std::process::id(),
                start & 0xff_ffff
            ));
            if path.join("gate.sock").as_os_str().len() > MAX_PATH {
                continue;
            }
            // Made anew or not at all: a directory that is there already may be somebody's trap.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Private(path)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("gate.sock")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // What remains is an empty directory in a place that is cleared at boot.
        let _ = std::fs::remove_file(self.socket());
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// One process that connected.
#[derive(Default)]
struct Process {
    pid: Option<u32>,
    name: String,
    evidence: Vec<Evidence>,
    seen: Option<Rc<RefCell<Seen>>>,
    /// Its last verdict is in.
    finished: bool,
    /// Its connection is closed.
    closed: bool,
    /// It was stopped by us: as it was right before.
    stopped: Option<Evidence>,
    gap: Option<String>,
    /// Why it could not be judged at all.
    trouble: Option<String>,
}

impl Process {
    /// What its verdicts did not tell already.
    fn untold(&self, mut evidence: Evidence) -> Evidence {
        let told = |e: &Evidence, block: u64, finding: u64| {
            e.blocks.iter().any(|b| b.id == block) || e.findings.iter().any(|f| f.id == finding)
        };
        // Ids begin with 1, so 0 is nobody's.
        evidence
            .blocks
            .retain(|b| !self.evidence.iter().any(|e| told(e, b.id, 0)));
        evidence
            .findings
            .retain(|f| !self.evidence.iter().any(|e| told(e, 0, f.id)));
        evidence
    }
}

enum Happened {
    Ended(End),
    Signal(i32),
    Connected(UnixStream),
    /// A process said something, or went.
    Progress,
}

/// Runs the command to its end and judges all that connected.
///
/// Errors: the command cannot be started, or we cannot listen.
pub fn run(global: &Global, check: &Check, command: &[OsString]) -> Result<Report, Failure> {
    let cannot_listen = |error: io::Error| {
        Failure::new(
            Exit::NoApp,
            format!("A private socket cannot be made: {error}."),
            "Set LOOP_CONSOLE_DIR to a directory of yours.",
        )
    };
    let private = Private::make().map_err(cannot_listen)?;
    let listener =
        std::os::unix::net::UnixListener::bind(private.socket()).map_err(cannot_listen)?;
    std::fs::set_permissions(private.socket(), std::fs::Permissions::from_mode(0o600))
        .map_err(cannot_listen)?;
    let interrupts = Interrupts::listen()?;
    let (mail, happened) = mailbox::mailbox();
    let gate = Gate {
        begin: pb::JudgeBegin {
            block_budget_ns: check.budget.block_ns().map_or(0, |ns| ns.max(1)),
            grace_ns: check.grace.map_or(0, |grace| {
                u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX).max(1)
            }),
        },
        limit: global.timeout,
        // Its processes may change their directory.
        dumps: check
            .dumps
            .as_ref()
            .and_then(|dir| std::path::absolute(dir).ok()),
        mail,
        processes: Rc::default(),
    };
    let (command, socket, time) = (command.to_vec(), private.socket(), check.time);
    let (mut report, evidence) = on_loop(async move {
        gate.work(listener, interrupts, &command, &socket, time, happened)
            .await
    })??;
    report.budget = check.budget.clone();
    report.judged = evidence
        .into_iter()
        .map(|e| judge(e, &check.budget, &check.deny))
        .collect();
    Ok(report)
}

struct Gate {
    begin: pb::JudgeBegin,
    limit: Duration,
    /// Where flight recorders write.
    dumps: Option<PathBuf>,
    mail: Sender<Happened>,
    processes: Rc<RefCell<Vec<Rc<RefCell<Process>>>>>,
}

impl Gate {
    async fn work(
        self,
        listener: std::os::unix::net::UnixListener,
        mut interrupts: Interrupts,
        command: &[OsString],
        socket: &Path,
        time: Option<Duration>,
        mut happened: Receiver<Happened>,
    ) -> Result<(Report, Vec<Evidence>), Failure> {
        let listener = UnixListener::from_std(listener).map_err(|error| {
            Failure::new(Exit::NoApp, format!("The gate cannot listen: {error}."), "")
        })?;
        let mail = self.mail.clone();
        drop(loop_runtime::create_task(async move {
            while let Ok((stream, _)) = listener.accept().await {
                mail.send(Happened::Connected(stream));
            }
        }));
        let mail = self.mail.clone();
        drop(loop_runtime::create_task(async move {
            loop {
                let signal = interrupts.next().await;
                mail.send(Happened::Signal(signal));
            }
        }));
        let child = child::start(
            command,
            socket,
            self.dumps.as_deref(),
            self.mail.clone(),
            Happened::Ended,
        )
        .map_err(|error| {
            let program = command[0].to_string_lossy().into_owned();
            Failure::usage(
                format!(
                    "`{}` cannot be started: {error}.",
                    loop_proto::escape::escape(&program, 256)
                ),
                "What follows -- is a program and its arguments; no shell reads it.",
            )
        })?;

        let mut report = Report::default();
        let mut stop = time.map(|time| Instant::now() + time);
        let mut kill: Option<Instant> = None;
        let mut stopped = false;
        let mut over: Option<Instant> = None;
        loop {
            if over.is_some() && self.all_closed() {
                break;
            }
            let alarm = [stop, kill, over].into_iter().flatten().min();
            let next = match alarm {
                None => happened.recv().await,
                Some(alarm) => {
                    let left = alarm.saturating_duration_since(Instant::now());
                    loop_runtime::timeout(left, happened.recv())
                        .await
                        .unwrap_or(Some(Happened::Progress))
                }
            };
            match next {
                None | Some(Happened::Progress) => {}
                Some(Happened::Connected(stream)) => self.serve(stream),
                Some(Happened::Signal(number)) => {
                    if report.interrupted {
                        child.kill();
                    } else {
                        self.keep_what_is_seen();
                        child.forward(number);
                    }
                    report.interrupted = true;
                }
                Some(Happened::Ended(end)) => {
                    report.command = Some(if stopped { End::Stopped } else { end });
                    // At a terminal Ctrl-C reaches the command too, which may be quicker than our own handler.
                    report.interrupted |= end == End::Signal(signal_hook::consts::SIGINT);
                    (stop, kill) = (None, None);
                    over = Some(Instant::now() + LATE);
                }
            }
            let now = Instant::now();
            if stop.is_some_and(|at| at <= now) {
                // What SIGTERM kills says no last word, so what is known now has to do.
                self.keep_what_is_seen();
                stopped = true;
                child.terminate();
                stop = None;
                kill = Some(now + MERCY);
            }
            if kill.is_some_and(|at| at <= now) {
                child.kill();
                kill = None;
            }
            if over.is_some_and(|at| at <= now) {
                break;
            }
        }
        Ok(self.sum_up(report))
    }

    fn all_closed(&self) -> bool {
        self.processes.borrow().iter().all(|p| p.borrow().closed)
    }

    fn keep_what_is_seen(&self) {
        for process in self.processes.borrow().iter() {
            let mut process = process.borrow_mut();
            if process.finished || process.closed || process.stopped.is_some() {
                continue;
            }
            process.stopped = process.seen.as_ref().map(|seen| seen.borrow().evidence());
        }
    }

    /// Takes one connection; the rest happens in its own task.
    fn serve(&self, stream: UnixStream) {
        let process = Rc::new(RefCell::new(Process::default()));
        self.processes.borrow_mut().push(process.clone());
        let (begin, limit, mail) = (self.begin, self.limit, self.mail.clone());
        drop(loop_runtime::create_task(async move {
            if let Err(why) = talk(stream, begin, limit, &process, &mail).await {
                process.borrow_mut().trouble.get_or_insert(why);
            }
            process.borrow_mut().closed = true;
            mail.send(Happened::Progress);
        }));
    }

    fn sum_up(&self, mut report: Report) -> (Report, Vec<Evidence>) {
        let mut evidence = Vec::new();
        let mut pids = HashSet::new();
        for process in self.processes.borrow().iter() {
            let process = process.borrow();
            let who = match process.pid {
                Some(pid) if process.name.is_empty() => format!("pid {pid}"),
                Some(pid) => format!("{} (pid {pid})", process.name),
                None => "a process".to_owned(),
            };
            if let Some(gap) = &process.gap {
                report.gaps.push(gap.clone());
                continue;
            }
            if process.name.is_empty() && process.seen.is_none() {
                let why = process.trouble.as_deref().unwrap_or("it said nothing");
                report
                    .doubts
                    .push(format!("{who} connected and could not be judged: {why}"));
                continue;
            }
            // Between two of its runs a process may go and come back: it is one process.
            report.processes += usize::from(process.pid.is_none_or(|pid| pids.insert(pid)));
            evidence.extend(process.evidence.iter().cloned());
            if process.finished {
                continue;
            }
            if let Some(stopped) = &process.stopped {
                evidence.push(process.untold(stopped.clone()));
                continue;
            }
            // It went, or goes on, without its last word: what was seen counts, and that it may not be all is said.
            let seen = process.seen.as_ref().map(|seen| seen.borrow().evidence());
            let mut e = process.untold(seen.unwrap_or_default());
            e.doubts = match (report.interrupted, process.closed) {
                // Whoever interrupts knows that it is not all.
                (true, _) => Vec::new(),
                (_, true) => vec![
                    "it ended without its last word: it was killed, crashed, or called exit"
                        .to_owned(),
                ],
                (_, false) => vec!["it still ran when the command had ended".to_owned()],
            };
            evidence.push(e);
        }
        if report.processes == 0 && report.gaps.is_empty() && report.doubts.is_empty() {
            report.doubts.push(
                "no process of the command connected: nothing it ran embeds loop-runtime with its inspector, \
                 or none of it ran an event loop"
                    .to_owned(),
            );
        }
        (report, evidence)
    }
}

/// The conversation with one process.
///
/// Errors: why it could not be judged, or not to the end, in words.
async fn talk(
    stream: UnixStream,
    begin: pb::JudgeBegin,
    limit: Duration,
    process: &RefCell<Process>,
    mail: &Sender<Happened>,
) -> Result<(), String> {
    let peer = stream
        .peer_credentials()
        .map_err(|error| error.to_string())?;
    process.borrow_mut().pid = peer.pid;
    let ours = rustix::process::geteuid().as_raw();
    if peer.uid != ours && peer.uid != 0 && ours != 0 {
        return Err(format!("it belongs to user {}", peer.uid));
    }
    let options = Options {
        timeout: limit,
        via: None,
        control: false,
    };
    let session = match Session::open(HyperIo::new(stream), AUTHORITY, None, &options).await {
        Ok(session) => session,
        Err(Trouble::Gap { hello, gap }) => {
            let v = version_gap(&hello, &gap);
            process.borrow_mut().gap = Some(format!(
                "{} (pid {}) speaks protocol {}, this gate {}; {}",
                v.app, v.pid, v.app_protocol, v.console_protocol, v.fix
            ));
            return Ok(());
        }
        Err(trouble) => return Err(trouble.to_string()),
    };
    process
        .borrow_mut()
        .name
        .clone_from(&session.hello.app_name);
    let (steps, questions) = mailbox::mailbox();
    // The app waits for this before its first poll, so it goes out with the call.
    steps.send(pb::JudgeRequest {
        step: Some(pb::judge_request::Step::Begin(begin)),
    });
    let mut verdicts = session
        .judge(questions)
        .await
        .map_err(|status| refused(&status))?;
    let (seen, looking) = watch::begin(&session);
    process.borrow_mut().seen = Some(seen);
    mail.send(Happened::Progress);
    let mut parts = Verdicts::default();
    let why = loop {
        match verdicts.message().await {
            Ok(Some(verdict)) => {
                let Some((mut evidence, sequence, last)) = parts.take(verdict) else {
                    continue;
                };
                if evidence.process.is_empty() {
                    evidence.process.clone_from(&session.hello.app_name);
                }
                if evidence.pid == 0 {
                    evidence.pid = session.hello.pid;
                }
                {
                    let mut process = process.borrow_mut();
                    process.evidence.push(evidence);
                    process.finished |= last;
                }
                // Kept: the app may go.
                steps.send(pb::JudgeRequest {
                    step: Some(pb::judge_request::Step::Receipt(sequence)),
                });
            }
            Ok(None) => break None,
            Err(status) => break Some(refused(&status)),
        }
    };
    looking.cancel();
    match why {
        Some(why) if !process.borrow().finished => Err(why),
        _ => Ok(()),
    }
}
