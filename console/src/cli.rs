//! The command line: which words are understood, and what they mean. Knows no app and prints nothing: it turns arguments into
//! a [`Command`] or a [`Failure`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use loop_proto::budget::Budget;
use loop_proto::filter::{Filter, ParseError};
use loop_proto::sort::Sort;
use loop_proto::table::Table;

use crate::exit::Failure;
use crate::store::control::Deed;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  loop-console                               attach to the app that runs here
  loop-console shop-api                      … by name, or pid, unix:/path, http://127.0.0.1:6669
  loop-console tasks --filter 'state=wait for>30s' --json | jq '.tasks[].waiting_on'
  loop-console events -f --kind spawn,finish
  loop-console check --budget block=50ms,leak=0 -- cargo test
  loop-console --via 'ssh web1 loop-console relay shop-api'

TARGET is nothing (the only app), a pid, a name, a path, unix:/path or http://127.0.0.1:PORT
(its token from LOOP_CONSOLE_TOKEN or the file that LOOP_CONSOLE_TOKEN_FILE names).

Exit codes:
  0 clean · 1 check: findings over budget · 2 bad usage · 3 no app or cannot connect
  4 protocol versions do not fit · 5 inconclusive · 6 check: CMD failed by itself
  7 the app refused a command · 130 Ctrl-C";

/// Looks inside a running event loop: tasks, timers, I/O, what blocks it and what leaks.
#[derive(Debug, Parser)]
#[command(
    name = "loop-console", version, styles = STYLES, after_long_help = EXAMPLES,
    disable_help_subcommand = true,
    override_usage = "loop-console [OPTIONS] [TARGET]\n       loop-console [OPTIONS] <COMMAND> …",
    after_help = "`loop-console --help` has examples and exit codes."
)]
struct Cli {
    /// The app: nothing, pid, name, path, unix:/path or http://127.0.0.1:PORT
    target: Option<String>,
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Args)]
struct GlobalArgs {
    /// Colours: auto, always or never (NO_COLOR and CLICOLOR_FORCE are heeded)
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "LOOP_CONSOLE_COLOR",
        default_value = "auto",
        hide_possible_values = true,
        hide_env = true
    )]
    color: When,
    /// Draw with ASCII only
    #[arg(long, global = true)]
    ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true)]
    no_mouse: bool,
    /// How long connecting may take, and an answer
    #[arg(long, global = true, value_name = "D", env = "LOOP_CONSOLE_TIMEOUT", default_value = "5s", value_parser = duration, hide_env = true)]
    timeout: Duration,
    /// Reach the app through this command's stdin and stdout
    #[arg(
        long,
        global = true,
        value_name = "CMD",
        env = "LOOP_CONSOLE_VIA",
        hide_env = true
    )]
    via: Option<String>,
    /// Ask for the role that may cancel, nudge and switch; else this viewer only looks
    #[arg(long, global = true)]
    control: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say less on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Attach and show it live (also what no command does)
    Connect { target: Option<String> },
    /// List the apps that can be attached to
    Ps(PsArgs),
    /// Print live tasks
    Tasks(ListArgs),
    /// Print event loops
    Loops(ListArgs),
    /// Print blocks: what held a loop for longer than its budget, the last ones, with stacks
    Blocks(ListArgs),
    /// Print armed timers
    Timers(ListArgs),
    /// Print I/O sources
    Io(ListArgs),
    /// Print findings: leaks and what else is wrong
    Leaks(ListArgs),
    /// Print locks, queues, futures: who holds them, who waits
    Resources(ListArgs),
    /// Print jobs of executors and name lookups
    Jobs(ListArgs),
    /// Print child processes
    Children(ListArgs),
    /// Print signals that are listened to
    Signals(ListArgs),
    /// Print all that is known of one task
    Task(TaskArgs),
    /// Print who waits for whom, as trees
    Tree(TreeArgs),
    /// Have the app cancel a task
    Cancel(OnTask),
    /// Wake a task without a cause: shows whether a wake was lost
    Nudge(OnTask),
    /// Change it: block=20ms [--loop N], polls=on; without it, print what can be set
    Set(SetArgs),
    /// Have the app look for findings now
    Find(OnceArgs),
    /// Print what being watched costs, and what was lost
    Cost(OnceArgs),
    /// Print what happens, as it happens
    Events(EventsArgs),
    /// Print what was wrong within the last hour, and is over or holds
    History(OnceArgs),
    /// Print one page about everything: host, findings, blocks, the last hour, what is not known
    Report(ReportArgs),
    /// Have the app write what there is to see of it to a file that `report` reads
    Dump(DumpArgs),
    /// The gate: judge a running app, or all that a command runs
    Check(CheckArgs),
    /// Join an app's socket to stdin and stdout, for --via
    Relay { target: Option<String> },
    /// Explain a finding: what it means, its cause, what to do
    Explain {
        /// Its name, such as left-behind; nothing lists them
        name: Option<String>,
    },
    /// Print the keys of the screens
    Keys,
}

#[derive(Debug, Args)]
struct PsArgs {
    /// As JSON; with =a,b only these fields
    #[arg(long, value_name = "FIELDS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    json: Option<String>,
}

#[derive(Debug, Args)]
struct ListArgs {
    target: Option<String>,
    /// Only rows that match, such as 'state=wait for>30s'
    #[arg(long, value_name = "Q", default_value = "", hide_default_value = true)]
    filter: String,
    /// Sort by this field; -field: the largest first
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Only these columns, in this order
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    columns: Vec<String>,
    /// As JSON, complete; with =a,b only these fields
    #[arg(long, value_name = "FIELDS", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "columns")]
    json: Option<String>,
    /// Print again each D (with --json one object a line)
    #[arg(long, value_name = "D", value_parser = duration)]
    watch: Option<Duration>,
    /// At most N rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Args)]
struct TaskArgs {
    /// The task's id
    id: u64,
    target: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TreeArgs {
    target: Option<String>,
    /// Only the tree of the task of that id, and who waits for it
    #[arg(long, value_name = "ID")]
    of: Option<u64>,
    /// Only trees of tasks that match
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OnceArgs {
    target: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OnTask {
    /// The task's id
    id: u64,
    target: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReportArgs {
    #[command(flatten)]
    once: OnceArgs,
    /// Write to this file instead
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DumpArgs {
    #[command(flatten)]
    once: OnceArgs,
    /// Why, kept in the file
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// block=20ms: how long a poll may take; polls=on: what is recorded
    #[arg(value_name = "KEY=VALUE")]
    what: Option<String>,
    target: Option<String>,
    /// Only of this loop
    #[arg(long = "loop", value_name = "N")]
    loop_id: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct EventsArgs {
    target: Option<String>,
    /// Follow until Ctrl-C; without it only what the app still holds
    #[arg(short, long)]
    follow: bool,
    /// Only these kinds: spawn, finish, poll, wake, timer, io, job, block, …
    #[arg(long, value_name = "K,L", value_delimiter = ',')]
    kind: Vec<String>,
    /// Only events that match, such as 'took>1ms'
    #[arg(long, value_name = "Q", default_value = "", hide_default_value = true)]
    filter: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "loop-console check [OPTIONS] [TARGET]\n       loop-console check [OPTIONS] -- CMD [ARGS]…"
)]
struct CheckArgs {
    /// A running app
    target: Option<String>,
    /// Stop judging after D (TARGET: 10s unless said; CMD: until it ends)
    #[arg(long = "for", value_name = "D", value_parser = duration)]
    time: Option<Duration>,
    /// What is allowed: block=100ms,leak=0,lag-p99=50ms,…
    #[arg(
        long,
        value_name = "B",
        env = "LOOP_CONSOLE_BUDGET",
        default_value = "block=100ms,leak=0",
        hide_env = true
    )]
    budget: String,
    /// Also fail on these: suspect, warning, or a finding's name
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    deny: Vec<String>,
    /// How long tasks may take to end after their run has
    #[arg(long, value_name = "D", value_parser = duration)]
    grace: Option<Duration>,
    /// Have each process write a dump here when it blocks, leaks, panics or a test fails
    #[arg(long, value_name = "DIR", requires = "command")]
    dumps: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// text, or github for annotations
    #[arg(
        long,
        value_name = "F",
        default_value = "text",
        hide_possible_values = true
    )]
    format: Format,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", conflicts_with = "target")]
    command: Vec<OsString>,
}

/// In which form `check` prints its findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Github,
}

/// What every command heeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    pub color: When,
    pub ascii: bool,
    pub mouse: bool,
    pub timeout: Duration,
    pub via: Option<String>,
    pub control: bool,
    pub verbose: u8,
    pub quiet: bool,
}

/// What is to be done. Texts that have a grammar of their own have been read once already.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Connect {
        target: Option<String>,
    },
    Ps {
        json: Option<Vec<String>>,
    },
    List(List),
    Task {
        id: u64,
        target: Option<String>,
        json: bool,
    },
    Tree(Tree),
    Events(Events),
    History {
        target: Option<String>,
        json: bool,
    },
    Report {
        target: Option<String>,
        json: bool,
        output: Option<PathBuf>,
    },
    Dump {
        target: Option<String>,
        json: bool,
        reason: String,
    },
    /// Have the app do something.
    Do(Do),
    /// What is recorded.
    Recorded {
        target: Option<String>,
        json: bool,
    },
    Cost {
        target: Option<String>,
        json: bool,
    },
    Check(Check),
    Relay {
        target: Option<String>,
    },
    Explain {
        name: Option<String>,
    },
    Keys,
}

/// Which list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Tasks,
    Loops,
    Timers,
    Io,
    Leaks,
    Resources,
    Jobs,
    Children,
    Signals,
    Blocks,
}

impl What {
    /// The command's name, which is also the top-level key of its JSON.
    pub fn word(self) -> &'static str {
        match self {
            What::Tasks => "tasks",
            What::Loops => "loops",
            What::Timers => "timers",
            What::Io => "io",
            What::Leaks => "leaks",
            What::Resources => "resources",
            What::Jobs => "jobs",
            What::Children => "children",
            What::Signals => "signals",
            What::Blocks => "blocks",
        }
    }

    /// The table whose grammar its filter and sort key follow.
    pub fn table(self) -> Table {
        match self {
            What::Tasks => Table::Tasks,
            What::Loops => Table::Loops,
            What::Timers => Table::Timers,
            What::Io => Table::Io,
            What::Leaks => Table::Findings,
            What::Resources => Table::Resources,
            What::Jobs => Table::Jobs,
            What::Children => Table::Children,
            What::Signals => Table::Signals,
            What::Blocks => Table::Blocks,
        }
    }
}

/// A list to print.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub what: What,
    pub target: Option<String>,
    pub filter: String,
    /// As the protocol has it: `-busy`; empty: the table's own order.
    pub sort: String,
    pub columns: Vec<String>,
    /// `Some`: JSON, of these fields; empty: all.
    pub json: Option<Vec<String>>,
    pub watch: Option<Duration>,
    pub limit: Option<u64>,
}

/// Which await trees are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    pub target: Option<String>,
    pub of: Option<u64>,
    pub filter: String,
    pub json: bool,
}

/// A stream of events to print.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    pub target: Option<String>,
    pub follow: bool,
    /// The kinds by the protocol's numbers; empty: the usual ones.
    pub kinds: Vec<i32>,
    pub filter: String,
    pub json: bool,
}

/// Something to have the app do.
#[derive(Clone, Debug, PartialEq)]
pub struct Do {
    pub deed: Deed,
    pub target: Option<String>,
    pub json: bool,
}

/// What the gate judges, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub subject: Subject,
    pub time: Option<Duration>,
    pub budget: Budget,
    pub deny: Vec<Deny>,
    pub grace: Option<Duration>,
    pub junit: Option<PathBuf>,
    /// Where the processes of the command write their dumps.
    pub dumps: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub format: Format,
}

/// What the gate looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Target(Option<String>),
    Command(Vec<OsString>),
}

/// What also fails, beyond the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    Suspect,
    Warning,
    Name(loop_proto::pb::FindingName),
}

/// Why there is nothing to do: the text to print and the code to leave with. Help and version are no errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// Asked for: to stdout, exit 0. Second: with colours.
    Said(String, String),
    Wrong(Failure),
}

/// Reads the arguments, the program's own name first.
pub fn parse<I, T>(args: I) -> Result<(Global, Command), NotRun>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = Cli::try_parse_from(args).map_err(|error| {
        let rendered = error.render();
        if error.use_stderr() {
            let text = rendered.to_string();
            let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text);
            NotRun::Wrong(Failure::usage(text.trim_end(), ""))
        } else {
            NotRun::Said(rendered.to_string(), rendered.ansi().to_string())
        }
    })?;
    let command = match (cli.target, cli.command) {
        (target, None) => Ok(Command::Connect { target }),
        (None, Some(sub)) => command(sub),
        (Some(target), Some(_)) => Err(Failure::usage(
            format!(
                "The target `{}` stands before the command.",
                loop_proto::escape::escape(&target, 64)
            ),
            "Write the command first: loop-console tasks shop-api.",
        )),
    };
    let global = cli.global;
    let global = Global {
        color: global.color,
        ascii: global.ascii || flag("LOOP_CONSOLE_ASCII"),
        mouse: !(global.no_mouse || flag("LOOP_CONSOLE_NO_MOUSE")),
        timeout: global.timeout,
        via: global.via,
        control: global.control || flag("LOOP_CONSOLE_CONTROL"),
        verbose: global.verbose,
        quiet: global.quiet,
    };
    command
        .map(|command| (global, command))
        .map_err(NotRun::Wrong)
}

/// A flag given by the environment: set, not empty, not `0`.
fn flag(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

fn command(sub: Sub) -> Result<Command, Failure> {
    Ok(match sub {
        Sub::Connect { target } => Command::Connect { target },
        Sub::Ps(ps) => Command::Ps {
            json: fields(ps.json, crate::print::json::APP, "ps")?,
        },
        Sub::Tasks(args) => list(What::Tasks, args)?,
        Sub::Loops(args) => list(What::Loops, args)?,
        Sub::Timers(args) => list(What::Timers, args)?,
        Sub::Io(args) => list(What::Io, args)?,
        Sub::Leaks(args) => list(What::Leaks, args)?,
        Sub::Resources(args) => list(What::Resources, args)?,
        Sub::Jobs(args) => list(What::Jobs, args)?,
        Sub::Children(args) => list(What::Children, args)?,
        Sub::Signals(args) => list(What::Signals, args)?,
        Sub::Blocks(args) => list(What::Blocks, args)?,
        Sub::Task(TaskArgs { id, target, json }) => Command::Task { id, target, json },
        Sub::Tree(args) => Command::Tree(Tree {
            target: args.target,
            of: args.of,
            filter: args.filter,
            json: args.json,
        }),
        Sub::Events(args) => events(args)?,
        Sub::History(OnceArgs { target, json }) => Command::History { target, json },
        Sub::Report(ReportArgs { once, output }) => Command::Report {
            target: once.target,
            json: once.json,
            output,
        },
        Sub::Cancel(OnTask { id, target, json }) => Command::Do(Do {
            deed: Deed::Cancel { task: id },
            target,
            json,
        }),
        Sub::Nudge(OnTask { id, target, json }) => Command::Do(Do {
            deed: Deed::Nudge { task: id },
            target,
            json,
        }),
        Sub::Set(args) => set(args)?,
        Sub::Find(OnceArgs { target, json }) => Command::Do(Do {
            deed: Deed::Find,
            target,
            json,
        }),
        Sub::Cost(OnceArgs { target, json }) => Command::Cost { target, json },
        Sub::Check(args) => check(args)?,
        Sub::Dump(DumpArgs { once, reason }) => Command::Dump {
            target: once.target,
            json: once.json,
            reason,
        },
        Sub::Relay { target } => Command::Relay { target },
        Sub::Explain { name } => Command::Explain { name },
        Sub::Keys => Command::Keys,
    })
}

/// `set block=20ms`, `set polls=on`, or `set [TARGET]` to see what there is.
fn set(args: SetArgs) -> Result<Command, Failure> {
    let (what, target) = match (args.what, args.target) {
        (Some(what), target) if what.contains('=') => (Some(what), target),
        // Without a `=` it can only be the app.
        (target, None) => (None, target),
        (what, target) => (what, target),
    };
    let Some(what) = what else {
        return Ok(Command::Recorded {
            target,
            json: args.json,
        });
    };
    Ok(Command::Do(Do {
        deed: setting(&what, args.loop_id)?,
        target,
        json: args.json,
    }))
}

/// `block=20ms`, or the name of a recording and on or off.
fn setting(text: &str, loop_id: Option<u64>) -> Result<Deed, Failure> {
    let wrong = |offset: usize, message: String| {
        let error = ParseError {
            offset,
            length: text.len() - offset,
            message,
            suggestion: None,
        };
        Err(pointed("set", text, &error))
    };
    let Some((key, value)) = text.split_once('=') else {
        return wrong(
            0,
            "Write block=20ms, or the name of a recording with =on or =off.".to_owned(),
        );
    };
    let (key, at) = (key.trim(), key.len() + 1);
    if key == "block" {
        return match crate::store::control::budget(value) {
            Ok(block) => Ok(Deed::Budget { loop_id, block }),
            Err(why) => wrong(at, format!("This is no budget: {why}.")),
        };
    }
    if loop_id.is_some() {
        return wrong(
            0,
            "--loop goes with block=…; a recording is of every loop.".to_owned(),
        );
    }
    let on = match value.trim() {
        "on" => true,
        "off" => false,
        _ => return wrong(at, "A recording is on or off.".to_owned()),
    };
    Ok(Deed::Record {
        what: key.to_owned(),
        on,
    })
}

fn list(what: What, args: ListArgs) -> Result<Command, Failure> {
    let table = what.table();
    Filter::parse(table, &args.filter)
        .map_err(|error| pointed("--filter", &args.filter, &error))?;
    let sort = args.sort.unwrap_or_default();
    Sort::parse(table, &sort).map_err(|error| pointed("--sort", &sort, &error))?;
    crate::print::columns::check(what, &args.columns)?;
    if args.watch.is_some_and(|every| every.is_zero()) {
        return Err(Failure::usage(
            "--watch 0s would never rest.",
            "Write --watch 1s.",
        ));
    }
    Ok(Command::List(List {
        what,
        target: args.target,
        filter: args.filter,
        sort,
        columns: args.columns,
        json: fields(args.json, crate::print::json::fields(what), what.word())?,
        watch: args.watch,
        limit: args.limit,
    }))
}

/// The fields of `--json=a,b`; a name that is none of the known ones is refused.
fn fields(
    json: Option<String>,
    known: &[&str],
    command: &str,
) -> Result<Option<Vec<String>>, Failure> {
    let Some(text) = json else { return Ok(None) };
    let mut offset = 0;
    let mut out = Vec::new();
    for name in text.split(',').filter(|_| !text.is_empty()) {
        if !known.contains(&name.trim()) {
            let error = ParseError {
                offset,
                length: name.len(),
                message: format!(
                    "`{command}` has no such field; it has {}.",
                    known.join(", ")
                ),
                suggestion: loop_proto::suggest::nearest(name.trim(), known.iter().copied())
                    .map(str::to_owned),
            };
            return Err(pointed("--json", &text, &error));
        }
        out.push(name.trim().to_owned());
        offset += name.len() + 1;
    }
    Ok(Some(out))
}

fn events(args: EventsArgs) -> Result<Command, Failure> {
    Filter::parse(Table::Events, &args.filter)
        .map_err(|error| pointed("--filter", &args.filter, &error))?;
    let mut kinds = Vec::new();
    let text = args.kind.join(",");
    let mut offset = 0;
    for word in &args.kind {
        let meant = crate::print::events::kinds(word.trim());
        if meant.is_empty() {
            let known: Vec<&str> = crate::print::events::words().collect();
            let error = ParseError {
                offset,
                length: word.len(),
                message: format!(
                    "There is no such kind of event; there are {}.",
                    known.join(", ")
                ),
                suggestion: loop_proto::suggest::nearest(word.trim(), known.iter().copied())
                    .map(str::to_owned),
            };
            return Err(pointed("--kind", &text, &error));
        }
        kinds.extend(meant);
        offset += word.len() + 1;
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Command::Events(Events {
        target: args.target,
        follow: args.follow,
        kinds,
        filter: args.filter,
        json: args.json,
    }))
}

fn check(args: CheckArgs) -> Result<Command, Failure> {
    let budget =
        Budget::parse(&args.budget).map_err(|error| pointed("--budget", &args.budget, &error))?;
    let mut deny = Vec::new();
    let text = args.deny.join(",");
    let mut offset = 0;
    for word in &args.deny {
        let name = word.trim();
        deny.push(match name {
            "suspect" => Deny::Suspect,
            "warning" => Deny::Warning,
            _ => match loop_proto::pb::FindingName::from_word(name) {
                Some(name) => Deny::Name(name),
                None => {
                    let known: Vec<&str> = ["suspect", "warning"]
                        .into_iter()
                        .chain(loop_proto::pb::FindingName::ALL.map(|n| n.word()))
                        .collect();
                    let error = ParseError {
                        offset,
                        length: word.len(),
                        message: format!(
                            "Neither a grade nor a finding: there are {}.",
                            known.join(", ")
                        ),
                        suggestion: loop_proto::suggest::nearest(name, known.iter().copied())
                            .map(str::to_owned),
                    };
                    return Err(pointed("--deny", &text, &error));
                }
            },
        });
        offset += word.len() + 1;
    }
    let subject = if args.command.is_empty() {
        Subject::Target(args.target)
    } else {
        Subject::Command(args.command)
    };
    Ok(Command::Check(Check {
        subject,
        time: args.time,
        budget,
        deny,
        grace: args.grace,
        junit: args.junit,
        dumps: args.dumps,
        json: args.json,
        format: args.format,
    }))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write a number and a unit: 500ms, 30s, 5m, 1h30m".to_owned())
}

/// A fault in a value that has a grammar of its own, with a caret under the spot.
///
/// ```text
/// --filter: There is no field `sate`; … Did you mean state?
///   sate=wait
///   ^^^^
/// ```
pub fn pointed(flag: &str, text: &str, error: &ParseError) -> Failure {
    use loop_proto::escape::{LINE, escape};
    let split = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (from, to) = (split(error.offset), split(error.offset + error.length));
    let shown = |part: &str| escape(part, LINE).into_owned();
    let before = crate::view::fmt::width(&shown(&text[..from]));
    let marks = crate::view::fmt::width(&shown(&text[from..to])).max(1);
    Failure::usage(
        format!(
            "{flag}: {}\n\n  {}\n  {}{}",
            escape(&error.to_string(), 4 * LINE),
            shown(text),
            " ".repeat(before),
            "^".repeat(marks)
        ),
        "",
    )
}

/// What is said of a target that may have been meant as a command.
pub fn meant_command(word: &str) -> Option<String> {
    use clap::CommandFactory;
    let known: Vec<String> = Cli::command()
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    loop_proto::suggest::nearest(word, known.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests;
