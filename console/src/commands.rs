//! The commands that print and end. Each is a few lines: reach the app, ask to the end, print. What is printed is decided in
//! [`crate::print`], how apps are reached in [`crate::transport`].

use std::time::Duration;

use loop_proto::escape::escape;
use loop_proto::pb;

use crate::check::child::Interrupts;
use crate::cli::{self, Command, Events, Global, List, What};
use crate::exit::{Exit, Failure};
use crate::print::{self, Out, events, json, plain};
use crate::store::decode::Decoder;
use crate::store::{Body, Hello, Refusal, Table};
use crate::transport::address::Target;
use crate::transport::connect::{self, Connector, failure};
use crate::transport::discover::Places;
use crate::transport::pages::{self, Question, Reader, Unanswered};
use crate::transport::session::{Session, refused};
use crate::transport::{Options, on_loop, relay};

mod tasks;

/// Does what a command says; the code to leave with.
pub fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    let out = Out::stdout(global.ascii);
    match command {
        Command::Connect { target } => screens(global, target.as_deref()),
        Command::Ps { json } => ps(global, json, out),
        Command::List(list) => print_list(global, list, out),
        Command::Task { id, target, json } => {
            tasks::print_one(global, id, target.as_deref(), json, out)
        }
        Command::Tree(tree) => tasks::print_trees(global, tree, out),
        Command::Events(events) => follow(global, events, out),
        Command::History { target, json } => crate::report::history(global, target, json, out),
        Command::Report {
            target,
            json,
            output,
        } => crate::report::report(global, target, json, output, out),
        Command::Dump {
            target,
            json,
            reason,
        } => crate::report::dump::dump(global, target, json, reason),
        Command::Do(one) => crate::control::run(global, &one),
        Command::Recorded { target, json } => {
            crate::control::recorded(global, target.as_deref(), json)
        }
        Command::Cost { target, json } => crate::control::cost(global, target.as_deref(), json),
        Command::Check(check) => crate::check::check(global, &check),
        Command::Relay { target } => join(global, target.as_deref()),
        Command::Explain { name } => explain(name.as_deref()),
        Command::Keys => said(crate::keys::document()),
    }
}

pub(crate) fn options(global: &Global) -> Options {
    Options {
        timeout: global.timeout,
        via: global.via.clone(),
        control: global.control,
    }
}

pub(crate) fn said(text: impl AsRef<str>) -> Result<Exit, Failure> {
    match print::say(text.as_ref()) {
        Ok(_) => Ok(Exit::Clean),
        Err(error) => Err(cannot_print(&error)),
    }
}

pub(crate) fn cannot_print(error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("Standard output cannot be written: {error}."),
        "",
    )
}

/// Ctrl-C while a one-shot waits: the published code, and no half-printed table, since tables are printed in one piece.
pub(crate) fn leave_on_interrupt() -> Result<(), Failure> {
    let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGINT,
        i32::from(Exit::Interrupted.code()),
        always,
    )
    .map(|_| ())
    .map_err(|error| {
        Failure::new(
            Exit::NoApp,
            format!("Ctrl-C cannot be listened to: {error}."),
            "",
        )
    })
}

fn screens(global: &Global, word: Option<&str>) -> Result<Exit, Failure> {
    use std::io::IsTerminal;
    let target = Target::read(word)?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() || is_dumb() {
        return not_a_terminal(global, target);
    }
    if target.recording().is_some() {
        // Whether it can be opened is known before the screen is taken.
        session(global, target.clone())?;
    }
    let look = crate::run::Options {
        colours: colours(global),
        ascii: global.ascii || ascii_locale(),
        mouse: global.mouse,
    };
    let options = options(global);
    let link =
        crate::run::run(look, |inbox| Starting::new(options, target, inbox)).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("The terminal went away: {error}."),
                "loop-console tasks prints without one.",
            )
        })?;
    // Who leaves the screen of a gap that cannot be bridged leaves with its code.
    Ok(match link {
        Some(crate::store::Link::VersionGap(_)) => Exit::VersionGap,
        _ => Exit::Clean,
    })
}

/// The transport, or nothing if its thread could not be made, which the screens then say.
struct Starting(Option<crate::transport::live::LiveTransport>);

impl Starting {
    fn new(options: Options, target: Target, inbox: crate::run::Inbox) -> Self {
        let said = inbox.clone();
        Starting(
            crate::transport::live::start(options, target, inbox)
                .inspect_err(|error| {
                    said.send(crate::store::Update::Notice(format!(
                        "no thread can be made: {error}"
                    )));
                })
                .ok(),
        )
    }
}

impl crate::run::Transport for Starting {
    fn ask(&mut self, ask: crate::update::Ask) {
        if let Some(transport) = &mut self.0 {
            transport.ask(ask);
        }
    }
}

/// A terminal of lines alone, as editors have it: what moves its cursor is litter there.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Screens need a terminal. Without one the state that would be the first screen is said, with its code.
fn not_a_terminal(global: &Global, target: Target) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let word = target.recording().map(|word| format!("rec:{word}"));
    let session = session(global, target)?;
    let is = match word {
        Some(_) => "can be opened",
        None => "is there",
    };
    Err(Failure::usage(
        format!(
            "{} (pid {}) {is}, but the screens need a terminal, and {}.",
            escape(&session.app_name, 256),
            session.pid,
            match is_dumb() {
                true => "this one says of itself that it cannot place a cursor (TERM=dumb)",
                false => "this is none",
            }
        ),
        match word {
            Some(word) => format!(
                "Print instead: loop-console report {0}, or tasks, blocks, events … {0}.",
                escape(&word, 1024)
            ),
            None => {
                "Print instead: loop-console tasks, loops, timers, io, leaks, each also with --json."
                    .to_owned()
            }
        },
    ))
}

/// Says on stderr that what is printed comes from a recording, and of when it is: a table has no room for that.
pub(crate) fn tell_recording(global: &Global, hello: &Hello) {
    let Some(about) = hello.recording.as_ref().filter(|_| !global.quiet) else {
        return;
    };
    let offset = utc_offset();
    let mut lines = vec![
        about.title(&hello.name, hello.pid, offset, true),
        about.age(offset, true),
    ];
    lines.extend([about.since(), about.losses()]);
    let lines = lines.iter().filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(|line| escape(line, 1024)).collect();
    eprintln!("{}", lines.join(" \u{b7} "));
    for doubt in &about.doubts {
        eprintln!("  missing: {}", escape(doubt, 1024));
    }
}

/// Says on stderr why a table has fewer rows than there were.
fn tell_incomplete(global: &Global, why: &str) {
    if !why.is_empty() && !global.quiet {
        eprintln!("  incomplete: {}", escape(why, 1024));
    }
}

fn session(global: &Global, target: Target) -> Result<pb::HelloReply, Failure> {
    let options = options(global);
    on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        Ok(session.hello)
    })?
}

pub(crate) async fn open(connector: &Connector, target: &Target) -> Result<Session, Failure> {
    connector
        .open(target)
        .await
        .map_err(|not_there| failure(target, not_there))
}

fn colours(global: &Global) -> crate::view::theme::Colours {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
    let none = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    match global.color {
        cli::When::Never => crate::view::theme::Colours::Mono,
        cli::When::Always => crate::view::theme::Colours::Sixteen,
        cli::When::Auto if none && !set("CLICOLOR_FORCE") => crate::view::theme::Colours::Mono,
        cli::When::Auto => crate::view::theme::Colours::Sixteen,
    }
}

/// Whether the locale says that this terminal shows ASCII only.
fn ascii_locale() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        !(locale.contains("utf-8") || locale.contains("utf8"))
    })
}

fn ps(global: &Global, json: Option<Vec<String>>, out: Out) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let options = options(global);
    let (apps, troubles, looked) = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let (live, troubled, looked) = connector.apps().await;
        let mut apps = Vec::new();
        for one in &live {
            let mut app = connect::app(one);
            (app.loops, app.worst) = about(&one.session).await;
            apps.push(app);
        }
        (apps, troubled, looked)
    })?;
    if !global.quiet {
        for (candidate, trouble) in &troubles {
            if global.verbose > 0
                || matches!(trouble, crate::transport::session::Trouble::Gap { .. })
            {
                eprintln!(
                    "pid {}: {}",
                    candidate.pid,
                    escape(&trouble.to_string(), 1024)
                );
            }
        }
    }
    match json {
        Some(only) => said(json::apps(&apps, &only)),
        None if apps.is_empty() => {
            Err(failure(&Target::Only, connect::NotThere::Nobody { looked }))
        }
        None => said(plain::apps(&apps, out)),
    }
}

/// How many loops an app has, and the worst that is wrong with it. An app that does not answer is still listed.
async fn about(session: &Session) -> (Option<u32>, Option<String>) {
    let question = |table| Question {
        table,
        filter: String::new(),
        sort: String::new(),
        columns: Vec::new(),
        limit: Some(1),
    };
    let loops = match Reader::begin(session, &question(Table::Loops)).await {
        Ok((_, whole)) => match whole.body {
            Body::Loops(rows) => u32::try_from(rows.total).ok(),
            _ => None,
        },
        Err(_) => None,
    };
    let worst = match Reader::begin(session, &question(Table::Findings)).await {
        Ok((_, whole)) => match whole.body {
            Body::Findings(rows) => rows.rows.first().map(|f| {
                format!("{} ({}) {}", f.name, f.grade.word(), f.place)
                    .trim()
                    .to_owned()
            }),
            _ => None,
        },
        Err(_) => None,
    };
    (loops, worst)
}

fn print_list(global: &Global, list: List, out: Out) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let target = Target::read(list.target.as_deref())?;
    let (options, timeout, global) = (options(global), global.timeout, global.clone());
    on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let question = Question {
            table: match list.what {
                What::Tasks => Table::Tasks,
                What::Loops => Table::Loops,
                What::Timers => Table::Timers,
                What::Io => Table::Io,
                What::Leaks => Table::Leaks,
                What::Resources => Table::Resources,
                What::Jobs => Table::Jobs,
                What::Children => Table::Children,
                What::Signals => Table::Signals,
                What::Blocks => Table::Blocks,
            },
            filter: list.filter.clone(),
            sort: list.sort.clone(),
            // Busy shares are only kept while somebody asks for them; a single print would show dashes.
            columns: if list.what == What::Tasks
                && (list.watch.is_some() || list.columns.iter().any(|c| c == "busy"))
            {
                vec!["busy".to_owned()]
            } else if list.json.is_some()
                && matches!(list.what, What::Resources | What::Jobs | What::Children)
            {
                vec!["waiting".to_owned()]
            } else {
                Vec::new()
            },
            limit: list.limit,
        };
        let hello = pages::hello(&session);
        let slow = || {
            Failure::new(
                Exit::NoApp,
                format!("No answer within {}.", humantime::format_duration(timeout)),
                "Give it longer: --timeout 30s.",
            )
        };
        let first = loop_runtime::timeout(timeout * 4, Reader::begin(&session, &question))
            .await
            .map_err(|_| slow())?;
        let (mut reader, mut whole) = first.map_err(|why| unanswered(&list, why))?;
        if list.json.is_none() {
            tell_recording(&global, &hello);
            tell_incomplete(&global, &whole.incomplete);
        }
        loop {
            let text = match &list.json {
                Some(only) => json::list(list.what, &whole, &hello, only),
                None if !list.filter.is_empty() && whole.body.is_empty() => {
                    plain::none_match(list.what, &list.filter)
                }
                None => {
                    let look = plain::look(&hello, whole.at_ns, utc_offset());
                    plain::list(list.what, &whole.body, &look, &list.columns, out)
                }
            };
            if !print::say(&text).map_err(|error| cannot_print(&error))? {
                return Ok(Exit::Clean);
            }
            let Some(every) = list.watch else {
                return Ok(Exit::Clean);
            };
            loop_runtime::sleep(every).await;
            whole = reader
                .again(&question)
                .await
                .map_err(|why| unanswered(&list, why))?;
            if list.json.is_none() && !print::say("\n").map_err(|error| cannot_print(&error))? {
                return Ok(Exit::Clean);
            }
        }
    })?
}

fn unanswered(list: &List, why: Unanswered) -> Failure {
    not_answered(&list.filter, &list.sort, why)
}

/// The app was there, and answers no more.
pub(crate) fn stopped(why: &str) -> Failure {
    Failure::new(
        Exit::NoApp,
        format!("The app stopped answering: {}.", escape(why, 1024)),
        "Is it still running? `loop-console ps`",
    )
}

/// Why a question that had this filter and sort key has no answer.
pub(crate) fn not_answered(filter: &str, sort: &str, why: Unanswered) -> Failure {
    match why {
        Unanswered::Refused(refusal) => {
            if refusal.part == crate::recorded::NOT_HELD {
                return Failure::new(
                    Exit::Inconclusive,
                    format!("Nothing to print: {}.", escape(&refusal.why, 1024)),
                    "`loop-console report` tells what it holds.",
                );
            }
            let text = match refusal.part.as_str() {
                "filter" => filter,
                "sort" => sort,
                _ => "",
            };
            refusal_of(text, refusal)
        }
        Unanswered::Broken(why) => stopped(&why),
    }
}

/// What this console's parser let pass and the app's did not: its grammar is newer or older than ours.
fn refusal_of(text: &str, refusal: Refusal) -> Failure {
    let error = loop_proto::filter::ParseError {
        offset: refusal.offset,
        length: refusal.length,
        message: refusal.why,
        suggestion: Some(refusal.suggestion).filter(|s| !s.is_empty()),
    };
    cli::pointed(&format!("--{}", refusal.part), text, &error)
}

pub(crate) fn utc_offset() -> i32 {
    jiff::tz::TimeZone::system()
        .to_offset(jiff::Timestamp::now())
        .seconds()
}

fn follow(global: &Global, wanted: Events, out: Out) -> Result<Exit, Failure> {
    let target = Target::read(wanted.target.as_deref())?;
    let options = options(global);
    let mut interrupts = Interrupts::listen()?;
    let (ascii, global) = (out.ascii, global.clone());
    on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let opening = open(&connector, &target);
        let session = match either(opening, interrupts.next()).await {
            Either::First(session) => session?,
            Either::Second(_) => return Ok(Exit::Interrupted),
        };
        let hello = session.who();
        let look = plain::look(&hello, hello.now_ns, utc_offset());
        if !wanted.json {
            tell_recording(&global, &hello);
        }
        let request = pb::EventsRequest {
            kinds: wanted.kinds.clone(),
            filter: wanted.filter.clone(),
            // Who follows a recording wants what is in it first.
            backlog: !wanted.follow || hello.recording.is_some(),
            internal: false,
        };
        let mut batches = session
            .events(request, None)
            .await
            .map_err(|status| stopped(&refused(&status)))?;
        let mut printer = Printer {
            decoder: Decoder::new(),
            losses: events::Losses::default(),
            delivered: 0,
        };
        // Without -f only what the app still holds. It ends with the batch that reaches the moment of our Hello, with an empty
        // one, or with a pause.
        const PAUSE: Duration = Duration::from_millis(500);
        let exit = loop {
            let next = either(batches.message(), interrupts.next());
            let next = if wanted.follow {
                next.await
            } else {
                match loop_runtime::timeout(PAUSE, next).await {
                    Ok(next) => next,
                    Err(_) => break Exit::Clean,
                }
            };
            let batch = match next {
                Either::Second(_) => break Exit::Interrupted,
                Either::First(Ok(Some(batch))) => batch,
                Either::First(Ok(None)) => break Exit::Clean,
                Either::First(Err(status)) => {
                    eprintln!(
                        "loop-console: the app is gone: {}",
                        escape(&refused(&status), 1024)
                    );
                    break Exit::NoApp;
                }
            };
            if let Some(error) = &batch.error {
                let error = loop_proto::filter::ParseError {
                    offset: error.offset as usize,
                    length: error.length as usize,
                    message: error.message.clone(),
                    suggestion: None,
                };
                return Err(cli::pointed("--filter", &wanted.filter, &error));
            }
            let over =
                !wanted.follow && (batch.events.is_empty() || batch.until_ns >= hello.now_ns);
            let text = printer.batch(batch, wanted.json, &look, &hello, ascii);
            if !text.is_empty() && !print::say(&text).map_err(|error| cannot_print(&error))? {
                return Ok(Exit::Clean);
            }
            if over {
                break Exit::Clean;
            }
        };
        let text = if wanted.json {
            events::json_batch(&[], &[], &printer.losses, printer.delivered, &hello, true)
        } else {
            format!(
                "{} events, {}\n",
                printer.delivered,
                printer.losses.sentence()
            )
        };
        print::say(&text).map_err(|error| cannot_print(&error))?;
        Ok(exit)
    })?
}

struct Printer {
    decoder: Decoder,
    losses: events::Losses,
    delivered: u64,
}

impl Printer {
    fn batch(
        &mut self,
        batch: pb::EventBatch,
        as_json: bool,
        look: &crate::view::columns::Look,
        hello: &Hello,
        ascii: bool,
    ) -> String {
        self.delivered = self.delivered.max(batch.delivered);
        let more_lost = self.losses.learn(&batch.lost);
        let raw = batch.events.clone();
        let rows = self.decoder.events(batch);
        if as_json {
            if rows.is_empty() && !more_lost {
                return String::new();
            }
            return events::json_batch(&rows, &raw, &self.losses, self.delivered, hello, false);
        }
        let mut text: String = rows
            .iter()
            .map(|row| events::text(row, look, ascii))
            .collect();
        if more_lost {
            text.push_str(&format!("-- {}\n", self.losses.sentence()));
        }
        text
    }
}

/// Which of two came first.
enum Either<A, B> {
    First(A),
    Second(B),
}

/// The first of two futures; the other is dropped.
async fn either<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Either<A, B> {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    std::future::poll_fn(move |cx| {
        // Ctrl-C first, or a flood of events would hide it.
        if let std::task::Poll::Ready(b) = second.as_mut().poll(cx) {
            return std::task::Poll::Ready(Either::Second(b));
        }
        first.as_mut().poll(cx).map(Either::First)
    })
    .await
}

fn join(global: &Global, word: Option<&str>) -> Result<Exit, Failure> {
    let target = Target::read(word)?;
    let options = options(global);
    let path = on_loop({
        let target = target.clone();
        async move {
            let connector = Connector::new(options, Places::here());
            connector
                .resolve(&target)
                .await
                .map_err(|not_there| failure(&target, not_there))
        }
    })??;
    relay::join(&path).map(|()| Exit::Clean).map_err(|error| {
        Failure::new(
            Exit::NoApp,
            format!("The connection to {target} broke: {error}."),
            "",
        )
    })
}

fn explain(name: Option<&str>) -> Result<Exit, Failure> {
    let list = || -> String {
        let line =
            |name: pb::FindingName| format!("{:<16} {}\n", name.word(), name.explain().summary);
        pb::FindingName::ALL.into_iter().map(line).collect()
    };
    let Some(name) = name else {
        return said(list());
    };
    let Some(known) = pb::FindingName::from_word(name) else {
        let words = pb::FindingName::ALL.map(|n| n.word());
        let meant = loop_proto::suggest::nearest(name, words)
            .map_or_else(String::new, |meant| format!("Did you mean {meant}? "));
        return Err(Failure::usage(
            format!("There is no finding called `{}`.", escape(name, 64)),
            format!("{meant}There are:\n\n{}", list().trim_end()),
        ));
    };
    let e = known.explain();
    said(format!(
        "{}\n  {}\n\nGrade     {}\nWhen      {}\nEvidence  {}\nCause     {}\nLike      {}\nFix       {}\n{}",
        e.name,
        e.summary,
        e.grade,
        e.condition,
        e.evidence,
        e.cause,
        e.example,
        e.fix,
        if known == pb::FindingName::Blocked {
            crate::print::causes()
        } else {
            String::new()
        }
    ))
}
