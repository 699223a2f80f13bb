//! The words of the command line as clap reads them, and what its help says of each. Knows not what they lead to.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

pub(super) const EXAMPLES: &str = "\
Examples:
  loop-console                               attach to the app that runs here
  loop-console shop-api                      … by name, or pid, unix:/path, http://127.0.0.1:6669
  loop-console tasks --filter 'state=wait for>30s' --json | jq '.tasks[].waiting_on'
  loop-console events -f --kind spawn,finish
  loop-console open 48211                    the recording of a process that hangs or is gone
  loop-console check --budget block=50ms,leak=0 -- cargo test
  loop-console --via 'ssh web1 loop-console relay shop-api'

TARGET is nothing (the only app), a pid, a name, a path, unix:/path or http://127.0.0.1:PORT
(its token from LOOP_CONSOLE_TOKEN or the file that LOOP_CONSOLE_TOKEN_FILE names); or a
recording: its file, or rec:PID, rec:NAME for the one that a process keeps or has left.

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
pub(super) struct Cli {
    /// The app: nothing, pid, name, path, unix:/path or http://127.0.0.1:PORT
    pub(super) target: Option<String>,
    #[command(subcommand)]
    pub(super) command: Option<Sub>,
    #[command(flatten)]
    pub(super) global: GlobalArgs,
}

#[derive(Debug, Args)]
pub(super) struct GlobalArgs {
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
    pub(super) color: When,
    /// Draw with ASCII only
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true)]
    pub(super) no_mouse: bool,
    /// How long connecting may take, and an answer
    #[arg(long, global = true, value_name = "D", env = "LOOP_CONSOLE_TIMEOUT", default_value = "5s", value_parser = duration, hide_env = true)]
    pub(super) timeout: Duration,
    /// Reach the app through this command's stdin and stdout
    #[arg(
        long,
        global = true,
        value_name = "CMD",
        env = "LOOP_CONSOLE_VIA",
        hide_env = true
    )]
    pub(super) via: Option<String>,
    /// Ask for the role that may cancel, nudge and switch; else this viewer only looks
    #[arg(long, global = true)]
    pub(super) control: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Say less on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Sub {
    /// Attach and show it live (also what no command does)
    Connect { target: Option<String> },
    /// Show a recording: of a process that hangs, is stopped or was killed; nothing asks it
    Open {
        /// A file, a pid or a name; nothing: the only one, or the list of them
        #[arg(value_name = "FILE|PID")]
        recording: Option<String>,
    },
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
    /// Have the app write what there is to see of it to a file, for `open` and `report`
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
pub(super) struct PsArgs {
    /// As JSON; with =a,b only these fields
    #[arg(long, value_name = "FIELDS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) json: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    pub(super) target: Option<String>,
    /// Only rows that match, such as 'state=wait for>30s'
    #[arg(long, value_name = "Q", default_value = "", hide_default_value = true)]
    pub(super) filter: String,
    /// Sort by this field; -field: the largest first
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    pub(super) sort: Option<String>,
    /// Only these columns, in this order
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(super) columns: Vec<String>,
    /// As JSON, complete; with =a,b only these fields
    #[arg(long, value_name = "FIELDS", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "columns")]
    pub(super) json: Option<String>,
    /// Print again each D (with --json one object a line)
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(super) watch: Option<Duration>,
    /// At most N rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// The task's id
    pub(super) id: u64,
    pub(super) target: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TreeArgs {
    pub(super) target: Option<String>,
    /// Only the tree of the task of that id, and who waits for it
    #[arg(long, value_name = "ID")]
    pub(super) of: Option<u64>,
    /// Only trees of tasks that match
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) filter: String,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct OnceArgs {
    pub(super) target: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct OnTask {
    /// The task's id
    pub(super) id: u64,
    pub(super) target: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    pub(super) once: OnceArgs,
    /// Write to this file instead
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    #[command(flatten)]
    pub(super) once: OnceArgs,
    /// Why, kept in the file
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) reason: String,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// block=20ms: how long a poll may take; polls=on: what is recorded
    #[arg(value_name = "KEY=VALUE")]
    pub(super) what: Option<String>,
    pub(super) target: Option<String>,
    /// Only of this loop
    #[arg(long = "loop", value_name = "N")]
    pub(super) loop_id: Option<u64>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    pub(super) target: Option<String>,
    /// Follow until Ctrl-C; without it only what the app still holds
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only these kinds: spawn, finish, poll, wake, timer, io, job, block, …
    #[arg(long, value_name = "K,L", value_delimiter = ',')]
    pub(super) kind: Vec<String>,
    /// Only events that match, such as 'took>1ms'
    #[arg(long, value_name = "Q", default_value = "", hide_default_value = true)]
    pub(super) filter: String,
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "loop-console check [OPTIONS] [TARGET]\n       loop-console check [OPTIONS] -- CMD [ARGS]…"
)]
pub(super) struct CheckArgs {
    /// A running app
    pub(super) target: Option<String>,
    /// Stop judging after D (TARGET: 10s unless said; CMD: until it ends)
    #[arg(long = "for", value_name = "D", value_parser = duration)]
    pub(super) time: Option<Duration>,
    /// What is allowed: block=100ms,leak=0,lag-p99=50ms,…
    #[arg(
        long,
        value_name = "B",
        env = "LOOP_CONSOLE_BUDGET",
        default_value = "block=100ms,leak=0",
        hide_env = true
    )]
    pub(super) budget: String,
    /// Also fail on these: suspect, warning, or a finding's name
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) deny: Vec<String>,
    /// How long tasks may take to end after their run has
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(super) grace: Option<Duration>,
    /// Have each process write a dump here when it blocks, leaks, panics or a test fails
    #[arg(
        long,
        value_name = "DIR",
        requires = "command",
        conflicts_with = "target"
    )]
    pub(super) dumps: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write the report as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// text, or github for annotations
    #[arg(
        long,
        value_name = "F",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(super) format: Format,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", conflicts_with = "target")]
    pub(super) command: Vec<OsString>,
}

/// In which form `check` prints its findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Github,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write a number and a unit: 500ms, 30s, 5m, 1h30m".to_owned())
}
