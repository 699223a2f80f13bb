//! One table of columns for each list: head, width, cell, sort key and the order in which columns leave a narrow screen.
//! Screens, sort menu, columns panel and printed tables all read it.

use crate::model::{List, ListId};
use crate::store::{
    Below, BlockRow, ChildRow, Finding, GroupRow, IoRow, JobRow, ResourceRow, SignalRow, TaskRow,
    TaskState, TimerRow,
};

use super::theme::Role;
use super::{fmt, glyph, strip};

/// What cells need to know beside their row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// The app's clock of the data.
    pub at_ns: u64,
    /// The wall clock at the app's zero, nanoseconds since 1970.
    pub wall_zero_ns: i128,
    pub utc_offset_s: i32,
    /// Counts may be too low: events were lost.
    pub lossy: bool,
}

impl Look {
    /// A moment of the app's clock as `14:02:11` of the wall clock here.
    pub fn time(&self, app_ns: u64) -> String {
        let s = (self.wall_zero_ns + i128::from(app_ns)).div_euclid(1_000_000_000)
            + i128::from(self.utc_offset_s);
        let day = s.rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", day / 3_600, day / 60 % 60, day % 60)
    }

    /// The time from a moment to the data's.
    pub fn ago(&self, app_ns: u64) -> u64 {
        self.at_ns.saturating_sub(app_ns)
    }
}

/// The text of a cell and what it means.
pub type Cell = (String, Role);

/// One column of a list of `T`.
pub struct Column<T> {
    pub head: Head,
    pub cell: fn(&T, &Look) -> Cell,
}

/// A column without its rows' kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name in `--columns`, JSON and the columns panel.
    pub name: &'static str,
    pub text: &'static str,
    /// The fewest columns it can live with, those it wants before others must leave for it, and the most it has use for.
    pub min: u16,
    pub want: u16,
    pub max: u16,
    pub right: bool,
    /// The sort key; empty: cannot be sorted by.
    pub sort: &'static str,
    /// Whether the first press sorts the largest first.
    pub descending: bool,
    /// 0 stays; of the others the highest leaves first.
    pub drop: u8,
    /// Shown unless switched off.
    pub shown: bool,
    /// Cut in the middle, so that its end stays.
    pub middle: bool,
    pub help: &'static str,
}

const fn head(
    name: &'static str,
    text: &'static str,
    min: u16,
    max: u16,
    drop: u8,
    help: &'static str,
) -> Head {
    Head {
        name,
        text,
        min,
        want: min,
        max,
        right: false,
        sort: "",
        descending: false,
        drop,
        shown: true,
        middle: false,
        help,
    }
}

impl Head {
    const fn wants(self, want: u16) -> Head {
        Head { want, ..self }
    }
    const fn right(self) -> Head {
        Head {
            right: true,
            ..self
        }
    }
    const fn sorts(self, sort: &'static str) -> Head {
        Head { sort, ..self }
    }
    const fn largest(self, sort: &'static str) -> Head {
        Head {
            sort,
            descending: true,
            ..self
        }
    }
    const fn off(self) -> Head {
        Head {
            shown: false,
            ..self
        }
    }
    const fn middle(self) -> Head {
        Head {
            middle: true,
            ..self
        }
    }
}

fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Role::Plain)
}

fn dash() -> Cell {
    ("-".into(), Role::Dim)
}

fn or_dash(text: Option<String>) -> Cell {
    text.filter(|t| !t.is_empty()).map_or_else(dash, plain)
}

fn place_cell(place: &str) -> Cell {
    or_dash(Some(fmt::place(place).into_owned()))
}

/// A task's number and name, or what is left of one that is gone.
fn owner(id: Option<u64>, name: &str, gone: bool) -> Cell {
    match (id, gone) {
        (None, _) => dash(),
        (Some(id), true) => (format!("{id} (task is gone)"), Role::Dim),
        (Some(id), false) => (format!("{id} {name}"), Role::Plain),
    }
}

/// A task's name, indented as deep as it lies in a tree; deeper than eight levels nobody counts blanks.
fn in_tree(row: &TaskRow) -> String {
    let folded = match row.below {
        Some(Below { folded: true, .. }) => "+ ",
        _ => "",
    };
    match row.depth {
        0 => format!("{folded}{}", row.name),
        depth => format!(
            "{}└ {folded}{}",
            "  ".repeat(usize::from(depth.min(9) - 1)),
            row.name
        ),
    }
}

/// What a task waits for, in one phrase.
pub fn waiting_on(row: &TaskRow, look: &Look) -> Cell {
    if let Some(ended) = &row.ended {
        return (
            if ended.error.is_empty() {
                ended.outcome.clone()
            } else {
                format!("{}: {}", ended.outcome, ended.error)
            },
            Role::Dim,
        );
    }
    let Some(wait) = &row.wait else {
        return match row.state {
            TaskState::Wait => ("? not known".into(), Role::Dim),
            TaskState::Ready if !row.woken_by.is_empty() => {
                (format!("({})", row.woken_by), Role::Dim)
            }
            _ => dash(),
        };
    };
    if wait.nothing {
        return ("nothing can wake it".into(), Role::Problem);
    }
    let mut text = wait.kind.clone();
    if let Some(due) = wait.due_ns {
        match due.checked_sub(look.at_ns) {
            Some(left) => text.push_str(&format!(" in {}", fmt::span(left))),
            None => text.push_str(&format!(" late {}", fmt::span(look.at_ns - due))),
        }
    }
    if !wait.what.is_empty() {
        text.push(' ');
        text.push_str(&wait.what);
    }
    if row.more_waits > 0 {
        text.push_str(&format!(" +{}", row.more_waits));
    }
    plain(text)
}

/// What lies below a task in a tree.
fn below(row: &TaskRow, _: &Look) -> Cell {
    match row.below {
        None | Some(Below { tasks: 0, .. }) => dash(),
        Some(Below {
            tasks, found: 0, ..
        }) => plain(fmt::count(tasks)),
        Some(Below { tasks, found, .. }) => (
            format!(
                "{} {}{}",
                fmt::count(tasks),
                glyph::PROBLEM,
                fmt::count(found)
            ),
            Role::Problem,
        ),
    }
}

/// Columns of tasks, in a list or a tree.
#[rustfmt::skip]
pub static TASKS: &[Column<TaskRow>] = &[
    Column { head: head("id", "ID", 5, 9, 0, "its number in this run").right().sorts("id"), cell: |r, _| plain(r.id.to_string()) },
    Column { head: head("state", "ST", 5, 5, 0, "RUN being polled, READY woken and not yet polled, WAIT, DONE").sorts("state"),
        cell: |r, _| (r.state.word().into(), if r.state == TaskState::Done { Role::Dim } else { Role::Plain }) },
    Column { head: head("name", "NAME", 10, 28, 0, "its name, else its type's").wants(15).sorts("name"), cell: |r, _| or_dash(Some(in_tree(r))) },
    Column { head: head("kind", "KIND", 8, 8, 12, "async, callback, main, adapted").sorts("kind").off(), cell: |r, _| or_dash(Some(r.kind.clone())) },
    Column { head: head("loop", "LOOP", 4, 4, 7, "the loop that polls it").right().sorts("loop"), cell: |r, _| plain(r.loop_id.to_string()) },
    Column { head: head("waiting_on", "WAITING ON", 12, 44, 0, "what will wake it").wants(24).sorts("on"), cell: waiting_on },
    Column { head: head("for", "FOR", 8, 8, 0, "time in this state").right().largest("for"), cell: |r, _| plain(fmt::span(r.for_ns)) },
    Column { head: head("busy", "BUSY", 6, 6, 6, "share of the window spent being polled").right().largest("busy"),
        cell: |r, look| or_dash(r.strip.as_ref().and_then(|s| s.share(look.at_ns)).map(fmt::percent)) },
    Column { head: head("polls", "POLLS", 7, 11, 8, "how often it was polled").right().largest("polls"), cell: |r, _| plain(fmt::count(r.polls)) },
    Column { head: head("max", "MAX", 7, 7, 5, "its longest poll").right().largest("max"), cell: |r, _| or_dash((r.polls > 0).then(|| fmt::span(r.max_poll_ns))) },
    Column { head: head("strip", "LAST 60s", 8, 8, 9, "busy share, the worst slot in each cell, one fixed scale"),
        cell: |r, _| r.strip.as_ref().map_or_else(dash, |s| plain(strip::minute(s, 8))) },
    Column { head: head("below", "BELOW", 6, 9, 4, "tasks below it in the tree, as far as they were read; of those with a finding the number behind the sign").right().off(), cell: below },
    Column { head: head("busy_below", "BUSY ALL", 8, 8, 11, "all polls of it and of those below it, in the tree").right().off(),
        cell: |r, _| or_dash(r.below.map(|b| fmt::span(b.busy_ns))) },
    Column { head: head("busy_total", "BUSY SUM", 8, 8, 13, "all its polls together").right().largest("busy-time").off(), cell: |r, _| plain(fmt::span(r.busy_ns)) },
    Column { head: head("scheduled", "READY SUM", 9, 9, 14, "time between being woken and being polled, at most").right().largest("scheduled").off(),
        cell: |r, _| plain(fmt::span(r.scheduled_ns)) },
    Column { head: head("wakes", "WAKES", 7, 11, 15, "how often it was woken").right().largest("wakes").off(), cell: |r, _| plain(fmt::count(r.wakes)) },
    Column { head: head("wakers", "WAKERS", 6, 6, 16, "wakers of it that are alive").right().largest("wakers").off(), cell: |r, _| plain(r.wakers.to_string()) },
    Column { head: head("parent", "PARENT", 6, 9, 17, "the task that spawned it").right().sorts("parent").off(),
        cell: |r, _| or_dash(r.parent.map(|p| p.to_string())) },
    Column { head: head("age", "AGE", 8, 8, 18, "time since it was spawned").right().largest("age").off(), cell: |r, look| plain(fmt::span(look.ago(r.spawned_ns))) },
    Column { head: head("size", "FUTURE", 9, 9, 19, "the size of its future").right().largest("size").off(), cell: |r, _| or_dash(r.future_bytes.map(fmt::bytes)) },
    Column { head: head("spawned_at", "SPAWNED AT", 12, 44, 10, "where it was spawned").wants(14).sorts("place").middle(), cell: |r, _| place_cell(&r.spawned_at) },
];

/// Columns of spawn places.
#[rustfmt::skip]
pub static GROUPS: &[Column<GroupRow>] = &[
    Column { head: head("live", "LIVE", 7, 11, 0, "tasks alive").right().largest("live"), cell: |r, _| plain(fmt::count(r.live)) },
    Column { head: head("name", "NAME", 10, 24, 3, "the name they share").sorts("name"), cell: |r, _| or_dash(Some(r.name.clone())) },
    Column { head: head("ready", "READY", 7, 7, 5, "of those, ready or running").right().largest("ready"), cell: |r, _| plain(fmt::count(r.ready)) },
    Column { head: head("busy", "BUSY SUM", 8, 8, 4, "all their polls together, ended tasks too").right().largest("busy-time"), cell: |r, _| plain(fmt::span(r.busy_ns)) },
    Column { head: head("max", "MAX", 7, 7, 2, "the longest poll of any").right().largest("max"), cell: |r, _| plain(fmt::span(r.max_poll_ns)) },
    Column { head: head("polls", "POLLS", 9, 13, 8, "how many polls").right().largest("polls"), cell: |r, _| plain(fmt::count(r.polls)) },
    Column { head: head("spawned", "SPAWNED", 9, 13, 7, "tasks ever spawned here").right().largest("spawned"), cell: |r, _| plain(fmt::count(r.spawned)) },
    Column { head: head("failed", "FAILED", 7, 9, 6, "ended with an error or a panic").right().largest("failed"), cell: |r, _| plain(fmt::count(r.failed)) },
    Column { head: head("oldest", "OLDEST", 8, 8, 9, "age of the oldest that lives").right().largest("age"),
        cell: |r, look| or_dash(r.oldest_ns.map(|ns| fmt::span(look.ago(ns)))) },
    Column { head: head("place", "SPAWNED AT", 14, 48, 0, "where they were spawned").sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
];

/// Why a block counts as nothing, in words that can stand alone. `None`: it counts, or goes on.
pub fn uncounted(row: &BlockRow) -> Option<String> {
    if !row.is_uncounted() {
        return None;
    }
    let of = format!(
        "{} of {}",
        fmt::span(row.wall_ns.saturating_sub(row.for_ns)),
        fmt::span(row.wall_ns)
    );
    Some(match row.cause.as_str() {
        "throttled" => format!("not counted: throttled {}", row.cause_reason),
        "host" if row.vetoed => {
            format!("not counted: host (stood still for up to {of}, the watchdog too)")
        }
        "host" => format!("not counted: host (descheduled for up to {of})"),
        _ => format!("not counted: up to {of} may not have been its own"),
    })
}

/// Why it counts as nothing, or has no stack.
pub fn wanting(row: &BlockRow) -> Option<String> {
    uncounted(row).or_else(|| row.no_stack_words())
}

/// Columns of blocks over budget.
#[rustfmt::skip]
pub static BLOCKS: &[Column<BlockRow>] = &[
    Column { head: head("when", "WHEN", 8, 8, 6, "when the poll began").sorts("age"), cell: |r, look| plain(look.time(r.at_ns)) },
    Column { head: head("loop", "LOOP", 4, 4, 5, "the loop that could not turn").right().sorts("loop"), cell: |r, _| plain(r.loop_id.to_string()) },
    Column { head: head("for", "FOR", 9, 9, 0, "at least this long: time without a CPU is taken off; ~ is wall time only, > still runs, (…) on the wall and not counted").right().largest("lower"),
        cell: |r, _| {
            if r.is_uncounted() {
                return (format!("({})", fmt::span(r.wall_ns)), Role::Dim);
            }
            let mark = match (r.running, r.wall_only) { (true, _) => ">", (_, true) => "~", _ => "" };
            (format!("{mark}{}", fmt::span(r.for_ns)), if r.running && !r.is_allowed() { Role::Problem } else { Role::Plain })
        } },
    Column { head: head("task", "TASK", 12, 28, 0, "what was polled").wants(20).sorts("task"),
        cell: |r, _| if r.task.is_none() && !r.doing.is_empty() { plain(format!("({})", r.doing)) } else { owner(r.task, &r.name, false) } },
    Column { head: head("place", "PLACE", 14, 40, 0, "where to look").wants(18).sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
    Column { head: head("function", "FUNCTION", 10, 32, 10, "the function at that place").wants(14), cell: |r, _| or_dash(Some(r.function.clone())) },
    Column { head: head("cause", "CAUSE", 9, 10, 7, "why it lasted, from what the kernel said").sorts("cause"),
        cell: |r, _| if r.is_allowed() { ("allowed".into(), Role::Dim) } else if r.cause.is_empty() { ("unknown".into(), Role::Dim) } else { plain(r.cause.clone()) } },
    Column { head: head("waited", "WAITED BEHIND IT", 16, 26, 8, "who paid for it").wants(22).largest("waiters"),
        cell: |r, _| match (r.waiting_now.or(r.waited), r.waited_worst_ns) {
            (Some(0), _) => plain("nobody"),
            (Some(n), Some(worst)) => plain(format!("{}, worst {}", fmt::many(n, "task"), fmt::span(worst))),
            (Some(n), None) => plain(fmt::many(n, "task")),
            _ => dash(),
        } },
    Column { head: head("seen", "SEEN", 6, 6, 9, "how the place was found"), cell: |r, _| or_dash(Some(r.place_from.clone())) },
    Column { head: head("stack", "STACK", 12, 48, 11, "how many stacks were taken, or why there is none, or why it does not count").wants(24),
        cell: |r, _| match wanting(r) { Some(why) => (why, Role::Dim), None => plain(fmt::many(r.samples.len().max(1) as u64, "sample")) } },
];

/// Columns of timers.
#[rustfmt::skip]
pub static TIMERS: &[Column<TimerRow>] = &[
    Column { head: head("id", "ID", 6, 9, 6, "its number in this run").right().sorts("id"), cell: |r, _| plain(r.id.to_string()) },
    Column { head: head("due", "DUE IN", 9, 9, 0, "time until it is due; minus is late").right().sorts("due"),
        cell: |r, look| match r.due_ns.checked_sub(look.at_ns) {
            Some(left) => plain(fmt::span(left)),
            None => (format!("-{}", fmt::span(look.at_ns - r.due_ns)), Role::Plain),
        } },
    Column { head: head("every", "EVERY", 7, 8, 7, "its period").right().largest("every"), cell: |r, _| or_dash(r.every_ns.map(fmt::span)) },
    Column { head: head("kind", "KIND", 8, 10, 5, "what it does when due").sorts("kind"), cell: |r, _| plain(r.kind.clone()) },
    Column { head: head("owner", "OWNER", 12, 30, 0, "the task that waits for it").wants(22).sorts("owner"), cell: |r, _| owner(r.owner, &r.owner_name, r.owner_gone) },
    Column { head: head("loop", "LOOP", 4, 4, 8, "its loop").right().sorts("loop"), cell: |r, _| plain(r.loop_id.to_string()) },
    Column { head: head("late", "LATE", 8, 8, 0, "late now, or when it last fired").right().largest("late"), cell: |r, _| or_dash(r.late_ns.map(fmt::span)) },
    Column { head: head("fired", "FIRED", 7, 11, 9, "how often it has fired").right().largest("fired"), cell: |r, _| plain(fmt::count(r.fired)) },
    Column { head: head("rearmed", "RE-ARMED", 8, 11, 10, "armed again before it fired").right().largest("rearmed"), cell: |r, _| plain(fmt::count(r.rearmed)) },
    Column { head: head("set_at", "SET AT", 14, 40, 0, "where it was set").wants(18).sorts("place").middle(), cell: |r, _| place_cell(&r.set_at) },
];

fn ends(row: &IoRow) -> Cell {
    if let Some(pipe) = &row.pipe {
        return plain(if row.kind == "child" {
            format!("exit of pid {} {}", pipe.pid, pipe.program)
        } else {
            pipe.words()
        });
    }
    match (row.local.is_empty(), row.peer.is_empty()) {
        (true, true) => dash(),
        (false, true) => plain(row.local.clone()),
        (true, false) => plain(format!("› {}", row.peer)),
        (false, false) => plain(format!("{} › {}", row.local, row.peer)),
    }
}

/// Columns of I/O sources.
#[rustfmt::skip]
pub static IO: &[Column<IoRow>] = &[
    Column { head: head("fd", "FD", 5, 7, 0, "its descriptor").right().sorts("fd"), cell: |r, _| or_dash(r.fd.map(|fd| fd.to_string())) },
    Column { head: head("kind", "KIND", 6, 8, 6, "what is behind it").sorts("kind"), cell: |r, _| plain(r.kind.clone()) },
    Column { head: head("ends", "LOCAL › PEER", 16, 46, 0, "addresses at registration").wants(32).sorts("peer").middle(), cell: |r, _| ends(r) },
    Column { head: head("want", "WANT", 4, 4, 7, "who waits: r to read, w to write"), cell: |r, _| or_dash(Some(r.interest.clone())) },
    Column { head: head("ready", "READY", 5, 5, 8, "known to be readable or writable"), cell: |r, _| or_dash(Some(r.ready.clone())) },
    Column { head: head("task", "TASK", 12, 28, 0, "who waits for it, else who used it last").wants(18).sorts("owner"), cell: |r, _| owner(r.task, &r.task_name, r.task_gone) },
    Column { head: head("loop", "LOOP", 4, 4, 9, "its loop").right().sorts("loop"), cell: |r, _| plain(r.loop_id.to_string()) },
    Column { head: head("idle", "IDLE", 8, 8, 0, "time since the kernel reported it ready").right().largest("idle"),
        cell: |r, look| match r.last_ready_ns { Some(ns) => plain(fmt::span(look.ago(ns))), None => ("never".into(), Role::Dim) } },
    Column { head: head("wakes", "WAKES", 7, 11, 10, "how often it woke somebody").right().largest("wakes"), cell: |r, _| plain(fmt::count(r.wakes)) },
    Column { head: head("spurious", "SPURIOUS", 8, 9, 11, "wakes that found nothing to do").right().largest("spurious"), cell: |r, _| plain(fmt::count(r.spurious)) },
    Column { head: head("buffered", "BUFFERED", 8, 9, 13, "bytes a writer holds, which the kernel has not taken").right().largest("buffered"),
        cell: |r, _| if r.buffered == 0 { dash() } else { plain(fmt::bytes(r.buffered)) } },
    Column { head: head("place", "MADE AT", 14, 36, 12, "where it was made").sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
];

/// Slots of a place's history on the Leaks screen: both of its columns speak of these.
pub(super) const LIVE_SLOTS: usize = 12;

/// The last count less the first, signed.
fn growth(strip: &crate::store::Strip) -> Option<String> {
    let values = &strip.values[strip.values.len().saturating_sub(LIVE_SLOTS)..];
    let (first, last) = (values.first()?, values.last()?);
    Some(if last >= first {
        format!("+{}", fmt::count(last - first))
    } else {
        format!("-{}", fmt::count(first - last))
    })
}

/// What a finding is about: its subject, else its place.
pub fn subject(finding: &Finding) -> String {
    let Some((kind, id)) = finding.subject.map(crate::store::Goto::named) else {
        return String::new();
    };
    format!("{kind} {id} {}", finding.subject_name)
        .trim_end()
        .to_owned()
}

/// When and by what a task was woken last.
pub(super) fn woken(row: &TaskRow, look: &Look) -> String {
    let by = match row.woken_by.as_str() {
        "" => String::new(),
        by => format!(" by {by}"),
    };
    match row.last_woken_ns {
        _ if row.wakes == 0 => "not woken since its spawn".to_owned(),
        Some(ns) => format!("last woken {} ago{by}", fmt::span(look.ago(ns))),
        None if by.is_empty() => "when woken last is not known".to_owned(),
        None => format!("last woken{by}"),
    }
}

/// What a resource holds, of how much.
pub(super) fn level(row: &ResourceRow) -> Option<String> {
    let level = fmt::count(row.level?);
    Some(match row.capacity {
        Some(most) => format!("{level} of {}", fmt::count(most)),
        None => level,
    })
}

/// Columns of resources.
#[rustfmt::skip]
pub static RESOURCES: &[Column<ResourceRow>] = &[
    Column { head: head("kind", "KIND", 9, 10, 0, "future, lock, event, queue, …").sorts("kind"), cell: |r, _| plain(r.kind.clone()) },
    Column { head: head("name", "NAME", 10, 28, 0, "its name").wants(14).sorts("name"), cell: |r, _| or_dash(Some(r.name.clone())) },
    Column { head: head("id", "ID", 5, 9, 5, "its number in this run").right().sorts("id"), cell: |r, _| plain(r.id.to_string()) },
    Column { head: head("state", "STATE", 7, 7, 4, "free or held; pending, set or broken; open or closed").sorts("state"), cell: |r, _| or_dash(Some(r.state.clone())) },
    Column { head: head("level", "LEVEL", 8, 12, 6, "permits free, items queued, parties arrived, of how many").right().largest("value"), cell: |r, _| or_dash(level(r)) },
    Column { head: head("waiters", "WAITERS", 8, 9, 0, "tasks that wait for it").right().largest("waiters"), cell: |r, _| plain(fmt::count(r.waiters)) },
    Column { head: head("oldest_wait", "LONGEST", 8, 8, 1, "the longest that one of them has waited").right().largest("for"), cell: |r, _| or_dash(r.oldest_wait_ns.map(fmt::span)) },
    Column { head: head("holder", "HELD BY", 12, 28, 3, "the task that holds it").wants(20).sorts("holder"),
        cell: |r, _| if r.holder.is_some() && r.holder_name.is_empty() { owner(r.holder, "", true) } else { owner(r.holder, &r.holder_name, false) } },
    Column { head: head("owner", "OWNER", 10, 24, 9, "the task that made it").wants(14).sorts("owner"), cell: |r, _| owner(r.owner, &r.owner_name, r.owner_gone) },
    Column { head: head("loop", "LOOP", 4, 4, 10, "its loop").right().sorts("loop"), cell: |r, _| or_dash(r.loop_id.map(|id| id.to_string())) },
    Column { head: head("uses", "USES", 7, 11, 13, "how often it was taken, set or sent to").right().largest("uses").off(), cell: |r, _| plain(fmt::count(r.uses)) },
    Column { head: head("contended", "WAITED", 7, 11, 14, "how often one had to wait for it").right().largest("contended").off(), cell: |r, _| plain(fmt::count(r.contended)) },
    Column { head: head("age", "AGE", 8, 8, 8, "time since it was made").right().largest("age"), cell: |r, look| plain(fmt::span(look.ago(r.made_ns))) },
    Column { head: head("place", "MADE AT", 12, 36, 7, "where it was made").wants(15).sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
];

/// How a job stands, in a phrase.
pub fn job_state(row: &JobRow) -> Cell {
    match row.state.as_str() {
        "run" => plain("running"),
        "abandoned" => ("cancelled, still running".to_owned(), Role::Warning),
        other => plain(other),
    }
}

/// Columns of jobs.
#[rustfmt::skip]
pub static JOBS: &[Column<JobRow>] = &[
    Column { head: head("id", "ID", 5, 9, 3, "its number in this run").right().sorts("id"), cell: |r, _| plain(r.id.to_string()) },
    Column { head: head("state", "STATE", 24, 24, 0, "queued, running, or cancelled and still running: a thread cannot be stopped").sorts("state"), cell: |r, _| job_state(r) },
    Column { head: head("for", "FOR", 8, 8, 0, "time in this state").right().largest("for"),
        cell: |r, look| plain(fmt::span(look.ago(r.started_ns.unwrap_or(r.queued_ns)))) },
    Column { head: head("pool", "POOL", 8, 14, 1, "executor, lookup of names, or one of the app's").sorts("pool"), cell: |r, _| or_dash(Some(r.pool.clone())) },
    Column { head: head("tid", "THREAD", 7, 9, 4, "the kernel's id of the thread that runs it").right().sorts("thread"), cell: |r, _| or_dash(r.tid.map(|id| id.to_string())) },
    Column { head: head("name", "NAME", 10, 24, 5, "the name it was given").sorts("name"), cell: |r, _| or_dash(Some(r.name.clone())) },
    Column { head: head("owner", "GIVEN BY", 12, 28, 0, "the task that gave it").wants(18).sorts("owner"), cell: |r, _| owner(r.task, &r.task_name, r.task_gone) },
    Column { head: head("loop", "LOOP", 4, 4, 8, "the loop that gave it").right().sorts("loop"), cell: |r, _| or_dash(r.loop_id.map(|id| id.to_string())) },
    Column { head: head("age", "AGE", 8, 8, 7, "time since it was queued").right().largest("age"), cell: |r, look| plain(fmt::span(look.ago(r.queued_ns))) },
    Column { head: head("place", "GIVEN AT", 12, 36, 6, "where it was given").wants(16).sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
];

/// Columns of child processes.
#[rustfmt::skip]
pub static CHILDREN: &[Column<ChildRow>] = &[
    Column { head: head("pid", "PID", 7, 9, 0, "its process id").right().sorts("pid"), cell: |r, _| plain(r.pid.to_string()) },
    Column { head: head("program", "PROGRAM", 10, 28, 0, "what was started, without arguments").wants(14).sorts("name"), cell: |r, _| or_dash(Some(r.program.clone())) },
    Column { head: head("state", "STATE", 10, 32, 0, "running, its exit code, or the signal that ended it").sorts("code"),
        cell: |r, _| (r.state(), if r.ended { Role::Dim } else { Role::Plain }) },
    Column { head: head("age", "AGE", 8, 8, 0, "time since it was started").right().largest("age"), cell: |r, look| plain(fmt::span(look.ago(r.started_ns))) },
    Column { head: head("pipes", "OPEN PIPES", 10, 20, 2, "its streams that are open on our side"),
        cell: |r, _| or_dash(Some(r.pipes().join(" "))) },
    Column { head: head("waiters", "WAITERS", 8, 8, 3, "tasks that wait for its end").right().largest("waiters"), cell: |r, _| plain(fmt::count(r.waiters)) },
    Column { head: head("owner", "STARTED BY", 12, 28, 1, "the task that started it").wants(18).sorts("owner"), cell: |r, _| owner(r.task, &r.task_name, r.task_gone) },
    Column { head: head("loop", "LOOP", 4, 4, 5, "the loop that watches it").right().sorts("loop"), cell: |r, _| plain(r.loop_id.to_string()) },
    Column { head: head("id", "ID", 5, 9, 6, "its number in this run").right().sorts("id").off(), cell: |r, _| plain(r.id.to_string()) },
    Column { head: head("place", "STARTED AT", 12, 36, 4, "where it was started").wants(16).sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
];

/// Columns of signals.
#[rustfmt::skip]
pub static SIGNALS: &[Column<SignalRow>] = &[
    Column { head: head("name", "SIGNAL", 9, 12, 0, "its name").sorts("name"), cell: |r, _| plain(r.word()) },
    Column { head: head("number", "NUMBER", 6, 6, 4, "its number").right().sorts("number"), cell: |r, _| plain(r.number.to_string()) },
    Column { head: head("loop", "LOOP", 4, 4, 0, "the loop that listens").right().sorts("loop"), cell: |r, _| plain(r.loop_id.to_string()) },
    Column { head: head("listeners", "LISTENERS", 9, 9, 0, "handlers and tasks that listen").right().largest("listeners"), cell: |r, _| plain(fmt::count(r.listeners)) },
    Column { head: head("deliveries", "DELIVERED", 9, 11, 0, "how often it was delivered").right().largest("deliveries"), cell: |r, _| plain(fmt::count(r.deliveries)) },
    Column { head: head("last", "LAST", 10, 12, 0, "time since it was last delivered").right().sorts("last"),
        cell: |r, look| match r.last_ns { Some(ns) => plain(format!("{} ago", fmt::span(look.ago(ns)))), None => ("never".into(), Role::Dim) } },
    Column { head: head("place", "HANDLER SET AT", 14, 36, 3, "where its handler was set").sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
];

/// Columns of leaks.
#[rustfmt::skip]
pub static LEAKS: &[Column<Finding>] = &[
    Column { head: head("sure", "HOW SURE", 11, 11, 0, "certain, left behind, suspect, warning").sorts("grade"),
        cell: |r, look| {
            // What rests on counts of events is worth less when some were lost; certain findings do not rest on them.
            let doubt = if look.lossy && r.grade == crate::store::Grade::Suspect { "~" } else { "" };
            (format!("{doubt}{}", r.grade.word()), if r.is_problem() { Role::Problem } else { Role::Warning })
        } },
    Column { head: head("name", "NAME", 12, 16, 4, "the finding's name").sorts("finding"), cell: |r, _| plain(r.name.clone()) },
    Column { head: head("place", "PLACE", 14, 36, 0, "where it comes from").sorts("place").middle(), cell: |r, _| place_cell(&r.place) },
    Column { head: head("what", "WHAT", 16, 60, 5, "the first fact it rests on"),
        cell: |r, _| or_dash(Some(r.evidence.first().cloned().unwrap_or_else(|| subject(r)))) },
    Column { head: head("count", "COUNT", 6, 9, 0, "subjects folded into this one").right().largest("count"), cell: |r, _| plain(fmt::count(r.count)) },
    Column { head: head("growth", "GROWTH", 7, 9, 6, "tasks alive at its place, now less at the strip's beginning").right(),
        cell: |r, _| or_dash(r.live.as_ref().and_then(growth)) },
    Column { head: head("live", "LIVE THERE", 12, 12, 7, "tasks alive at its place, the highest cell is the most there were"),
        cell: |r, _| r.live.as_ref().map_or_else(dash, |s| plain(strip::counts(&s.values, LIVE_SLOTS))) },
    Column { head: head("since", "FOR", 8, 8, 3, "time since it holds").right().largest("age"), cell: |r, look| plain(fmt::span(look.ago(r.since_ns))) },
];

/// A tree has an order of its own, and its names need room for where they hang.
fn in_a_tree(head: Head) -> Head {
    let want = if head.name == "name" { 26 } else { head.want };
    let sums = ["below", "busy_below"].contains(&head.name);
    Head {
        sort: "",
        want,
        shown: head.shown || sums,
        ..head
    }
}

/// The heads of a list, in the table's order.
pub fn heads(list: ListId) -> Vec<Head> {
    fn of<T>(columns: &[Column<T>]) -> Vec<Head> {
        columns.iter().map(|c| c.head).collect()
    }
    match list {
        ListId::Tasks => of(TASKS),
        ListId::Tree => of(TASKS).into_iter().map(in_a_tree).collect(),
        ListId::Groups => of(GROUPS),
        ListId::Blocks => of(BLOCKS),
        ListId::Timers => of(TIMERS),
        ListId::Io => of(IO),
        ListId::Resources => of(RESOURCES),
        ListId::Jobs => of(JOBS),
        ListId::Children => of(CHILDREN),
        ListId::Leaks => of(LEAKS),
        ListId::Findings => Vec::new(),
    }
}

/// Whether the user sees a column, the width of the screen aside.
pub fn is_shown(head: &Head, list: &List) -> bool {
    head.shown != list.switched.contains(head.name)
}

/// The places of `heads` in the user's order.
pub fn order(heads: &[Head], list: &List) -> Vec<usize> {
    let mut out: Vec<usize> = list
        .order
        .iter()
        .filter_map(|name| heads.iter().position(|h| h.name == *name))
        .collect();
    out.extend((0..heads.len()).filter(|i| !list.order.contains(&heads[*i].name)));
    out
}

/// A column that has its place on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub index: usize,
    pub x: u16,
    pub width: u16,
}

/// Which columns fit into `room`, where and how wide, and the names of those that had to leave.
///
/// `needs` is how wide the cells on screen are, in the order of `heads`: a number is not cut while its column may grow. One
/// blank lies between two columns. Those with the highest `drop` leave first, until the others have what they want; what room
/// is left then goes to the texts by turns, up to their `max`.
pub fn layout(
    heads: &[Head],
    needs: &[u16],
    list: &List,
    room: u16,
) -> (Vec<Placed>, Vec<&'static str>) {
    let mut chosen: Vec<usize> = order(heads, list);
    chosen.retain(|i| is_shown(&heads[*i], list));
    let least = |i: usize| match heads[i].right {
        true => needs
            .get(i)
            .copied()
            .unwrap_or(0)
            .clamp(heads[i].min, heads[i].max),
        false => heads[i].min,
    };
    let wants = |i: usize| heads[i].want.max(least(i));
    let sum = |of: &dyn Fn(usize) -> u16, chosen: &[usize]| {
        chosen
            .iter()
            .map(|i| u32::from(of(*i)) + 1)
            .sum::<u32>()
            .saturating_sub(1)
    };
    // A column that the user asked for leaves last.
    let drop = |i: usize| if heads[i].shown { heads[i].drop } else { 1 };
    let mut gone = Vec::new();
    while sum(&wants, &chosen) > u32::from(room) {
        let leaves = chosen
            .iter()
            .copied()
            .filter(|i| drop(*i) > 0)
            .max_by_key(|i| drop(*i));
        let Some(leaves) = leaves else { break };
        chosen.retain(|i| *i != leaves);
        gone.push(heads[leaves].name);
    }
    let mut widths: Vec<u16> = chosen.iter().map(|i| least(*i)).collect();
    let mut spare = u32::from(room).saturating_sub(sum(&least, &chosen));
    let max = |i: usize| heads[i].max;
    for limit in [&wants as &dyn Fn(usize) -> u16, &max] {
        loop {
            let before = spare;
            for (at, index) in chosen.iter().enumerate() {
                if spare > 0 && !heads[*index].right && widths[at] < limit(*index) {
                    widths[at] += 1;
                    spare -= 1;
                }
            }
            if spare == before {
                break;
            }
        }
    }
    let mut x = 0u16;
    let mut placed = Vec::with_capacity(chosen.len());
    for (at, index) in chosen.into_iter().enumerate() {
        let width = widths[at].min(room.saturating_sub(x));
        if width == 0 {
            gone.push(heads[index].name);
            continue;
        }
        placed.push(Placed { index, x, width });
        x = x.saturating_add(widths[at] + 1);
    }
    (placed, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_leave_in_the_published_order() {
        let heads = heads(ListId::Tasks);
        let mut last: Vec<&str> = Vec::new();
        for room in (36..200).rev() {
            let (placed, gone) = layout(&heads, &[], &List::default(), room);
            assert!(
                placed.iter().all(|p| p.x + p.width <= room),
                "room {room}: {placed:?}"
            );
            assert!(
                gone.starts_with(&last) || last.is_empty(),
                "room {room}: {gone:?} after {last:?}"
            );
            last = gone;
        }
        let published = ["spawned_at", "strip", "polls", "loop", "busy", "max"];
        assert_eq!(last[..6], published);
    }

    #[test]
    fn names_and_sort_keys_are_unique_in_a_list() {
        for list in ListId::ALL {
            let heads = heads(list);
            for (i, a) in heads.iter().enumerate() {
                for b in &heads[i + 1..] {
                    assert_ne!(a.name, b.name);
                    assert!(
                        a.sort.is_empty() || a.sort != b.sort,
                        "{} and {} of {list:?}",
                        a.name,
                        b.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_sort_key_is_one_of_the_schema() {
        for list in ListId::ALL {
            let table = crate::update::layer::table_of(list);
            let keys = heads(list).into_iter().map(|h| h.sort);
            for key in keys
                .chain(list.default_sort().iter().map(|s| s.key.as_str()))
                .filter(|k| !k.is_empty())
            {
                let parsed = loop_proto::sort::Sort::parse(table, &format!("-{key}"));
                assert!(parsed.is_ok(), "{list:?} {key}: {parsed:?}");
            }
        }
    }
}
