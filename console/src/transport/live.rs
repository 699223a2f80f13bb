//! The screens' transport: one thread with a loop of its own, which finds the app, asks what the screens ask, and comes back
//! when the app does. What arrives becomes a `Happened`; one task takes them one by one, so nothing here is shared.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loop_proto::pb;

use super::address::Target;
use super::connect::{self, Connector, NotThere};
use super::discover::Places;
use super::mailbox::{self, Receiver, Sender};
use super::recording::{self, Source};
use super::session::{Session, Trouble, refused};
use super::{Options, on_loop};
use crate::run::{Inbox, Transport};
use crate::store::control::{Answer, Deed};
use crate::store::decode::{self, Decoder};
use crate::store::{App, Body, Hello, Link, Query, Slot, Table, Update, View};
use crate::update::Ask;

/// The first pause before a new try; each failure doubles it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often is looked for apps while none is attached.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Nothing for so long, though something is asked every second: the connection is dead and does not say so.
const SILENCE: Duration = Duration::from_secs(15);

/// The screens' end.
#[derive(Debug)]
pub struct LiveTransport {
    asks: Sender<Happened>,
}

impl Transport for LiveTransport {
    fn ask(&mut self, ask: Ask) {
        // A `false` means that the thread is gone, which it said itself before.
        self.asks.send(Happened::Ask(ask));
    }
}

/// Starts the thread. It ends when the screens let go of the transport.
///
/// Errors: no thread can be made.
pub fn start(options: Options, target: Target, inbox: Inbox) -> io::Result<LiveTransport> {
    let (asks, happened) = mailbox::mailbox();
    let again = asks.clone();
    std::thread::Builder::new()
        .name("transport".to_owned())
        .spawn(move || {
            let said = inbox.clone();
            let ended = on_loop(async move {
                let connector = Connector::new(options, Places::here());
                Actor::new(connector, target, inbox, again)
                    .work(happened)
                    .await;
            });
            if let Err(failure) = ended {
                said.send(Update::Notice(failure.to_string()));
            }
        })?;
    Ok(LiveTransport { asks })
}

/// Everything that can happen to the transport. `u64`: of which attachment, so that what comes late is dropped.
#[derive(Debug)]
enum Happened {
    Ask(Ask),
    Opened(u64, Result<Box<Session>, NotThere>),
    /// The stream of views is open; the slots and the serial are those that it was opened with.
    Asking(u64, Sender<pb::Query>, Vec<u32>, u64),
    View(u64, Box<pb::View>),
    Batch(u64, Box<pb::EventBatch>),
    Detail(u64, Slot, u64, Box<Option<pb::TaskDetail>>),
    Gone(u64, String),
    Answer(Box<Answer>),
    /// Who the app is and what it records, told again.
    Hello(u64, Box<Hello>),
    Apps(Vec<App>),
    /// The screens are gone. The actor holds its own mailbox open, so it has to be told.
    End,
}

impl Drop for LiveTransport {
    fn drop(&mut self) {
        self.asks.send(Happened::End);
    }
}

/// What is attached.
enum Phase {
    /// Nothing yet, or a try is on its way.
    Opening,
    Live {
        session: Box<Session>,
        asks: Option<Sender<pb::Query>>,
        heard: Instant,
    },
    /// Nothing; a new try at this moment.
    Waiting { until: Instant },
    /// Nothing, and nothing is tried before the user says so.
    Still,
}

struct Actor {
    connector: Connector,
    target: Target,
    inbox: Inbox,
    mail: Sender<Happened>,
    phase: Phase,
    attachment: u64,
    pause: Duration,
    /// What the screens ask, with the serial of the question as it was sent last.
    questions: BTreeMap<Slot, (Query, u64)>,
    serial: u64,
    events: bool,
    decoder: Decoder,
    event_decoder: Decoder,
    /// The app was reached at least once: its end is a loss, not a search.
    attached_before: bool,
    /// Name and pid of the app that was attached last, until it was said what it left.
    was: Option<(String, u32)>,
    listing: bool,
    apps: Option<Vec<App>>,
    look_at: Option<Instant>,
}

impl Actor {
    fn new(connector: Connector, target: Target, inbox: Inbox, mail: Sender<Happened>) -> Self {
        Actor {
            connector,
            target,
            inbox,
            mail,
            phase: Phase::Still,
            attachment: 0,
            pause: FIRST_PAUSE,
            questions: BTreeMap::new(),
            serial: 0,
            events: false,
            decoder: Decoder::new(),
            event_decoder: Decoder::new(),
            attached_before: false,
            was: None,
            listing: false,
            apps: None,
            look_at: None,
        }
    }

    async fn work(mut self, mut happened: Receiver<Happened>) {
        self.open("looking for apps");
        loop {
            let now = Instant::now();
            let alarm = [
                match &self.phase {
                    Phase::Waiting { until } => Some(*until),
                    // A recording says nothing as long as nothing is written.
                    Phase::Live { session, heard, .. }
                        if !self.questions.is_empty() && session.recording().is_none() =>
                    {
                        Some(*heard + SILENCE)
                    }
                    _ => None,
                },
                self.look_at,
            ]
            .into_iter()
            .flatten()
            .min();
            let next = match alarm {
                None => happened.recv().await,
                Some(alarm) => match loop_runtime::timeout(
                    alarm.saturating_duration_since(now),
                    happened.recv(),
                )
                .await
                {
                    Ok(next) => next,
                    Err(_) => {
                        self.alarm();
                        continue;
                    }
                },
            };
            match next {
                None | Some(Happened::End) => return,
                Some(next) => self.take(next),
            }
        }
    }

    /// Time passed.
    fn alarm(&mut self) {
        let now = Instant::now();
        match &self.phase {
            Phase::Waiting { until } if *until <= now => self.open("trying again"),
            Phase::Live { session, heard, .. }
                if !self.questions.is_empty()
                    && session.recording().is_none()
                    && *heard + SILENCE <= now =>
            {
                self.lost(format!("nothing was heard for {} s", SILENCE.as_secs()));
            }
            _ => {}
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.look();
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Ask(ask) => self.ask(ask),
            Happened::Opened(of, result) if of == self.attachment => self.opened(result),
            Happened::Asking(of, sender, opened, serial) if of == self.attachment => {
                self.opened_with(&sender, &opened, serial);
                if let Phase::Live { asks, .. } = &mut self.phase {
                    *asks = Some(sender);
                }
            }
            Happened::View(of, view) if of == self.attachment => self.view(*view),
            Happened::Batch(of, batch) if of == self.attachment => {
                self.heard();
                let events = self.event_decoder.events(*batch);
                if !events.is_empty() {
                    self.inbox.send(Update::Events(events));
                }
            }
            Happened::Detail(of, slot, serial, detail) if of == self.attachment => {
                self.detail(slot, serial, *detail)
            }
            Happened::Gone(of, reason) if of == self.attachment => self.lost(reason),
            // Whoever asked is told, whatever became of the link meanwhile.
            Happened::Answer(answer) => {
                self.heard();
                self.inbox.send(Update::Answer(answer));
            }
            Happened::Hello(of, hello) if of == self.attachment => {
                self.inbox.send(Update::Hello(hello));
            }
            Happened::Apps(apps) => self.listed(apps),
            // Of an attachment that was left meanwhile.
            _ => {}
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Watch(query) => {
                self.serial += 1;
                let slot = query.slot;
                self.questions.insert(slot, (query, self.serial));
                self.put(slot);
            }
            Ask::Unwatch(slot) => {
                self.questions.remove(&slot);
                self.serial += 1;
                if let Phase::Live {
                    asks: Some(asks), ..
                } = &self.phase
                {
                    asks.send(decode::close(slot, self.serial));
                }
            }
            Ask::Events(on) => {
                let was = std::mem::replace(&mut self.events, on);
                if on && !was {
                    self.follow_events();
                }
            }
            Ask::Command(deed) => self.command(deed),
            Ask::Connect(word) => {
                self.listing = false;
                self.look_at = None;
                match Target::read(Some(&word)) {
                    Ok(target) => {
                        self.target = target;
                        self.attached_before = false;
                        self.pause = FIRST_PAUSE;
                        self.open("connecting");
                    }
                    Err(failure) => {
                        self.inbox.send(Update::Notice(failure.what));
                    }
                }
            }
            Ask::Retry => {
                if !matches!(self.phase, Phase::Live { .. } | Phase::Opening) {
                    self.pause = FIRST_PAUSE;
                    self.open("trying again");
                }
            }
            Ask::Apps(on) => {
                self.listing = on;
                self.apps = None;
                if on {
                    self.look();
                }
            }
        }
    }

    /// Begins a new attachment; what the old one still says is dropped from now on.
    fn open(&mut self, step: &str) {
        self.attachment += 1;
        self.phase = Phase::Opening;
        if !self.attached_before {
            self.inbox.send(Update::Link(Link::Connecting {
                target: self.target.to_string(),
                step: step.to_owned(),
            }));
        }
        let (connector, target, mail, of) = (
            self.connector.clone(),
            self.target.clone(),
            self.mail.clone(),
            self.attachment,
        );
        drop(loop_runtime::create_task(async move {
            let result = connector.open(&target).await;
            mail.send(Happened::Opened(of, result.map(Box::new)));
        }));
    }

    fn opened(&mut self, result: Result<Box<Session>, NotThere>) {
        match result {
            Ok(session) => {
                self.pause = FIRST_PAUSE;
                self.attached_before = true;
                self.listing = false;
                self.look_at = None;
                self.decoder = Decoder::new();
                // The same app after a restart has another pid, so from now on it goes by its name.
                if matches!(self.target, Target::Only) && !session.hello.app_name.is_empty() {
                    self.target = Target::Name(session.hello.app_name.clone());
                }
                let who = session.who();
                self.was = Some((who.name.clone(), who.pid));
                self.inbox.send(Update::Hello(Box::new(who)));
                if let Some(source) = session.recording() {
                    self.reread(source.clone(), session.clone());
                }
                self.inbox.send(Update::Link(Link::Live));
                self.phase = Phase::Live {
                    session,
                    asks: None,
                    heard: Instant::now(),
                };
                self.watch();
                let slots: Vec<Slot> = self.questions.keys().copied().collect();
                for slot in slots {
                    if self.questions[&slot].0.table == Table::Task {
                        self.put(slot);
                    }
                }
                if self.events {
                    self.follow_events();
                }
            }
            Err(NotThere::Nobody { looked }) if !self.attached_before => {
                self.inbox.send(Update::Link(Link::Searching { looked }));
                self.phase = Phase::Waiting {
                    until: Instant::now() + LOOK_EVERY,
                };
            }
            Err(NotThere::Nobody { .. }) => {
                self.tell_left();
                self.lost("it is not running".to_owned());
            }
            Err(NotThere::Several(apps)) => {
                self.phase = Phase::Still;
                self.inbox.send(Update::Apps(apps.clone()));
                self.inbox.send(Update::Link(Link::Choosing));
                self.apps = Some(apps);
                self.listing = true;
                self.look_at = Some(Instant::now() + LOOK_EVERY);
            }
            Err(NotThere::Unreadable(failure)) => {
                self.phase = Phase::Still;
                let how = format!("{failure}");
                self.inbox.send(Update::Link(Link::Ended { how }));
            }
            Err(NotThere::Trouble(Trouble::Gap { hello, gap })) => {
                self.phase = Phase::Still;
                self.inbox.send(Update::Link(Link::VersionGap(Box::new(
                    connect::version_gap(&hello, &gap),
                ))));
            }
            Err(NotThere::Trouble(trouble)) => self.lost(trouble.to_string()),
        }
    }

    /// The link broke, or a try failed: the next one after a pause that doubles.
    fn lost(&mut self, reason: String) {
        self.attachment += 1;
        let retry_in = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.phase = Phase::Waiting {
            until: Instant::now() + retry_in,
        };
        self.inbox
            .send(Update::Link(Link::Lost { reason, retry_in }));
    }

    /// Says once of an app that is gone how what it left can be seen.
    fn tell_left(&mut self) {
        let Some((name, pid)) = self.was.take() else {
            return;
        };
        let (found, _) = recording::find::all(&Places::here());
        if found.iter().any(|one| one.is_of(pid)) {
            let text = format!("{name} is gone; what it left: loop-console open {pid}");
            self.inbox.send(Update::Notice(text));
        }
    }

    /// Tells what becomes of a recording, each time that it was read anew.
    fn reread(&self, source: Arc<Source>, session: Box<Session>) {
        let (mail, of) = (self.mail.clone(), self.attachment);
        drop(loop_runtime::create_task(async move {
            let (_, mut turn) = source.answers();
            while let Some(next) = source.after(turn).await {
                turn = next;
                if !mail.send(Happened::Hello(of, Box::new(session.who()))) {
                    return;
                }
            }
        }));
    }

    /// Opens the stream of views. Its first message is a question, which some servers wait for.
    fn watch(&mut self) {
        let Phase::Live { session, .. } = &self.phase else {
            return;
        };
        let (session, mail, of) = (session.clone(), self.mail.clone(), self.attachment);
        let first: Vec<pb::Query> = self
            .questions
            .values()
            .filter_map(|(query, serial)| decode::query(query, *serial))
            .collect();
        let (slots, serial) = (first.iter().map(|q| q.slot).collect(), self.serial);
        drop(loop_runtime::create_task(async move {
            let (asks, mut views) = match session.watch_with(first).await {
                Ok(both) => both,
                Err(status) => {
                    mail.send(Happened::Gone(of, refused(&status)));
                    return;
                }
            };
            mail.send(Happened::Asking(of, asks, slots, serial));
            let reason = loop {
                match views.message().await {
                    Ok(Some(view)) => {
                        if !mail.send(Happened::View(of, Box::new(view))) {
                            return;
                        }
                    }
                    Ok(None) => break "the app closed the stream".to_owned(),
                    Err(status) => break refused(&status),
                }
            };
            mail.send(Happened::Gone(of, reason));
        }));
    }

    /// Asks what changed while the stream of views was being opened.
    fn opened_with(&self, sender: &Sender<pb::Query>, opened: &[u32], serial: u64) {
        for slot in opened
            .iter()
            .filter(|slot| !self.questions.contains_key(&Slot(**slot)))
        {
            sender.send(decode::close(Slot(*slot), self.serial));
        }
        for (query, asked) in self.questions.values().filter(|(_, asked)| *asked > serial) {
            if let Some(message) = decode::query(query, *asked) {
                sender.send(message);
            }
        }
    }

    /// Puts a question to the app, if one is attached.
    fn put(&mut self, slot: Slot) {
        let Phase::Live { session, asks, .. } = &self.phase else {
            return;
        };
        let Some((query, serial)) = self.questions.get(&slot) else {
            return;
        };
        if let Some(message) = decode::query(query, *serial) {
            if let Some(asks) = asks {
                asks.send(message);
            }
            return;
        }
        // One task: the protocol answers that once, so it is asked again and again, here.
        let (Some(id), serial) = (query.subject, *serial) else {
            return;
        };
        let (session, mail, of) = (session.clone(), self.mail.clone(), self.attachment);
        drop(loop_runtime::create_task(async move {
            let happened = match session.task(id, true).await {
                Ok(detail) => Happened::Detail(of, slot, serial, Box::new(detail)),
                Err(status) => Happened::Gone(of, refused(&status)),
            };
            mail.send(happened);
        }));
    }

    fn view(&mut self, view: pb::View) {
        self.heard();
        let slot = Slot(view.slot);
        let Some((query, serial)) = self.questions.get(&slot) else {
            return;
        };
        let (table, current) = (query.table, *serial == view.serial);
        // Texts must be learned from every message, also from answers to a question that was replaced.
        if let Some(view) = self.decoder.view(view, table)
            && current
        {
            self.inbox.send(Update::View(Box::new(view)));
        }
    }

    fn detail(&mut self, slot: Slot, serial: u64, detail: Option<pb::TaskDetail>) {
        self.heard();
        let Some((query, current)) = self.questions.get(&slot) else {
            return;
        };
        if *current != serial {
            return;
        }
        let (id, every) = (query.subject.unwrap_or_default(), query.every);
        let (at_ns, body) = match detail {
            Some(detail) => {
                let detail = Decoder::task_detail(detail);
                (detail.at_ns, Body::Task(Box::new(detail)))
            }
            None => (0, Body::NoTask { id }),
        };
        self.inbox.send(Update::View(Box::new(View {
            slot,
            at_ns,
            body,
            incomplete: String::new(),
        })));
        if every.is_zero() {
            return;
        }
        let Phase::Live { session, .. } = &self.phase else {
            return;
        };
        let (session, mail, of) = (session.clone(), self.mail.clone(), self.attachment);
        drop(loop_runtime::create_task(async move {
            loop_runtime::sleep(every).await;
            let happened = match session.task(id, true).await {
                Ok(detail) => Happened::Detail(of, slot, serial, Box::new(detail)),
                Err(status) => Happened::Gone(of, refused(&status)),
            };
            mail.send(happened);
        }));
    }

    /// Has the app do something; it answers while its loops are blocked too.
    fn command(&mut self, deed: Deed) {
        let Phase::Live { session, .. } = &self.phase else {
            let answer = Answer::refused(&deed, "no app is attached now");
            self.inbox.send(Update::Answer(Box::new(answer)));
            return;
        };
        self.serial += 1;
        let (session, mail, of) = (session.clone(), self.mail.clone(), self.attachment);
        let request = deed.request(self.serial);
        drop(loop_runtime::create_task(async move {
            let answer = match session.command(request).await {
                Ok(reply) => Answer::of(&deed, reply),
                Err(status) => Answer::refused(&deed, refused(&status)),
            };
            mail.send(Happened::Answer(Box::new(answer)));
            if matches!(deed, Deed::Record { .. } | Deed::Budget { .. })
                && let Ok(hello) = session.hello_again().await
            {
                mail.send(Happened::Hello(of, Box::new(decode::hello(hello))));
            }
        }));
    }

    fn heard(&mut self) {
        if let Phase::Live { heard, .. } = &mut self.phase {
            *heard = Instant::now();
        }
    }

    fn follow_events(&mut self) {
        let Phase::Live { session, .. } = &self.phase else {
            return;
        };
        self.event_decoder = Decoder::new();
        let (session, mail, of) = (session.clone(), self.mail.clone(), self.attachment);
        drop(loop_runtime::create_task(async move {
            let request = pb::EventsRequest {
                backlog: true,
                ..pb::EventsRequest::default()
            };
            let newest = Some(crate::store::EVENTS_KEPT);
            let Ok(mut batches) = session.events(request, newest).await else {
                return;
            };
            while let Ok(Some(batch)) = batches.message().await {
                if !mail.send(Happened::Batch(of, Box::new(batch))) {
                    return;
                }
            }
        }));
    }

    fn look(&mut self) {
        let (connector, mail) = (self.connector.clone(), self.mail.clone());
        drop(loop_runtime::create_task(async move {
            let (live, _, _) = connector.apps().await;
            mail.send(Happened::Apps(live.iter().map(connect::app).collect()));
        }));
    }

    fn listed(&mut self, apps: Vec<App>) {
        if !self.listing {
            return;
        }
        // Uptimes grow by themselves; only who is there makes another list.
        let who = |apps: &[App]| {
            apps.iter()
                .map(|a| (a.pid, a.name.clone()))
                .collect::<Vec<_>>()
        };
        if self.apps.as_deref().map(who) != Some(who(&apps)) {
            self.inbox.send(Update::Apps(apps.clone()));
            self.apps = Some(apps);
        }
        self.look_at = Some(Instant::now() + LOOK_EVERY);
    }
}
