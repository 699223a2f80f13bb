//! Which tables there are and which columns each has: name, kind of value, words, and what it
//! means. One table of columns feeds the filter's parser and its completion, sorting, `--columns`
//! and the docs. Knows no row.

mod words;

use crate::pb;
use crate::row::{Field, Value};
use Type::{Flag, Nanos, Number, Place, Ratio, Set, Text, Word};
pub use words::FINDINGS;
use words::*;

/// What a viewer can list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Live tasks.
    Tasks,
    /// Ended tasks.
    History,
    /// Event loops.
    Loops,
    /// Armed timers.
    Timers,
    /// I/O sources.
    Io,
    /// Executor jobs.
    Jobs,
    /// Locks, queues, futures.
    Resources,
    /// Child processes.
    Children,
    /// Signals that loops listen to.
    Signals,
    /// Findings.
    Findings,
    /// Blocks over budget.
    Blocks,
    /// Tasks folded by spawn place.
    Places,
    /// Events.
    Events,
}

/// What kind of value a column has, and so what a filter may say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A count or an id: `12`, `1.5K`, `2M`.
    Number,
    /// A duration: `30s`, `1.5ms`, `1h30m`.
    Nanos,
    /// A share: `5%`.
    Ratio,
    /// One of these words; the index is the value, empty ones are not words.
    Word(&'static [&'static str]),
    /// Any of these words; the index is the bit.
    Set(&'static [&'static str]),
    /// `yes` or `no`.
    Flag,
    /// Text.
    Text,
    /// A place, `file:line:column`.
    Place,
}

impl Type {
    /// True if a column of this type may have that value. Whoever shows rows tests that it does.
    #[must_use]
    pub fn fits(self, value: Value<'_>) -> bool {
        match value {
            Value::Absent => true,
            Value::Number(_) => self == Type::Number,
            Value::Nanos(_) => self == Type::Nanos,
            Value::Ratio(_) => self == Type::Ratio,
            Value::Word(word) => {
                matches!(self, Type::Word(words) if usize::from(word) < words.len())
            }
            Value::Set(bits) => {
                matches!(self, Type::Set(words) if words.len() >= 64 || bits >> words.len() == 0)
            }
            Value::Flag(_) => self == Type::Flag,
            Value::Text(_) => matches!(self, Type::Text | Type::Place),
            Value::Numbered(..) | Value::Waiting(_) | Value::Lines(_) => self == Type::Text,
            Value::Place(..) => self == Type::Place,
        }
    }
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The field.
    pub field: Field,
    /// Its name in filters, sort keys and column lists.
    pub name: &'static str,
    /// The name that JSON uses, accepted as well. Empty: the same.
    pub json: &'static str,
    /// What kind of value it has.
    pub kind: Type,
    /// A bare word is looked for in it.
    pub searched: bool,
    /// What it means, in half a sentence.
    pub doc: &'static str,
}

/// One line a column: field, name, JSON's name, kind, meaning. `searched`: a bare word is looked
/// for in it.
macro_rules! columns {
    ($($mark:ident $($rest:ident)? $name:literal $json:literal $kind:ident $(($words:ident))? $doc:literal;)*) => {
        &[$(column!($mark $($rest)?, $name, $json, $kind $(($words))?, $doc)),*]
    };
}

macro_rules! column {
    (searched $field:ident, $name:literal, $json:literal, $kind:expr, $doc:literal) => {
        Column {
            searched: true,
            ..column!($field, $name, $json, $kind, $doc)
        }
    };
    ($field:ident, $name:literal, $json:literal, $kind:expr, $doc:literal) => {
        Column {
            field: Field::$field,
            name: $name,
            json: $json,
            kind: $kind,
            searched: false,
            doc: $doc,
        }
    };
}

const TASKS: &[Column] = columns! {
    Id "id" "" Number "the task's id";
    searched Name "name" "" Text "its name";
    Kind "kind" "" Word(TASK_KINDS) "what sort of task";
    State "state" "" Word(TASK_STATES) "where it is in its life";
    Loop "loop" "" Number "the id of its loop";
    Parent "parent" "" Number "the id of the task that spawned it";
    Age "age" "" Nanos "time since it was spawned";
    searched Place "place" "spawned_at" Place "where it was spawned";
    Type "type" "" Text "the type of its future";
    Wait "wait" "" Word(WAITS) "the kind of thing it waits for";
    searched On "on" "waiting_on" Text "what it waits for, in words";
    searched At "at" "waiting_at" Place "the await it is at";
    For "for" "for_ns" Nanos "time in its state";
    Polls "polls" "" Number "how often it was polled";
    Busy "busy" "busy_ratio" Ratio "share of the last 60 s being polled";
    BusyTime "busy-time" "busy_ns" Nanos "time being polled since it was spawned";
    Scheduled "scheduled" "scheduled_ns" Nanos "time woken but not polled since it was spawned";
    Max "max" "max_poll_ns" Nanos "its longest poll";
    Wakes "wakes" "" Number "how often it was woken";
    SelfWakes "self-wakes" "self_wakes" Number "how often it woke itself";
    Wakers "wakers" "" Number "wakers of it that are alive";
    Handles "handles" "" Number "handles to it that are alive";
    WokenBy "woken-by" "woken_by" Word(WAKES) "what woke it last";
    Detached "detached" "" Flag "nobody can join or cancel it";
    Cancel "cancel" "cancel_requested" Flag "somebody asked to cancel it";
    Outcome "outcome" "" Word(OUTCOMES) "how it ended";
    searched Error "error" "" Text "its error or panic message";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong with it";
    Children "children" "" Number "live tasks it spawned";
    Size "size" "future_bytes" Number "bytes of its future";
    Ended "ended" "ended_at" Nanos "time since it ended";
    Internal "internal" "" Flag "it belongs to the runtime";
};

const LOOPS: &[Column] = columns! {
    Id "id" "" Number "the loop's id";
    searched Name "name" "" Text "its name";
    searched Thread "thread" "" Text "the name of its thread";
    State "state" "" Word(LOOP_STATES) "where it is in its life";
    Tasks "tasks" "" Number "tasks alive on it";
    Ready "ready" "" Number "of those, ready";
    Busy "busy" "busy_ratio" Ratio "share of the last 60 s being busy";
    BusyTime "busy-time" "busy_ns" Nanos "time polling tasks since it began";
    LagP50 "lag-p50" "" Nanos "median lag";
    Lag "lag" "lag_ns" Nanos "99th percentile of the lag";
    LagMax "lag-max" "" Nanos "longest lag";
    Iterations "iterations" "" Number "how often it turned";
    Polls "polls" "" Number "how often it polled tasks";
    Timers "timers" "" Number "timers armed";
    Sources "sources" "" Number "I/O sources registered";
    Blocks "blocks" "" Number "blocks over budget";
    Worst "worst" "" Nanos "the longest of them";
    Spawned "spawned" "" Number "tasks spawned on it";
    Finished "finished" "" Number "of those, ended";
    Lost "lost" "" Number "events lost";
    Internal "internal" "" Flag "it belongs to the inspector";
};

const TIMERS: &[Column] = columns! {
    Id "id" "" Number "the timer's id";
    Kind "kind" "" Word(TIMER_KINDS) "what made it";
    Loop "loop" "" Number "the id of its loop";
    Task "task" "owner_id" Number "the id of the task that owns it";
    searched Owner "owner" "" Text "that task's name";
    Gone "gone" "" Flag "that task has ended";
    Due "due" "due_ns" Nanos "time until it is due, negative when late";
    Late "late" "late_ns" Nanos "how late it is or was";
    Every "every" "period_ns" Nanos "its period";
    Fired "fired" "" Number "how often it fired";
    Rearmed "rearmed" "" Number "how often it was set anew before it fired";
    searched Place "place" "set_at" Place "where it was set";
    Age "age" "armed_at" Nanos "time since it was armed";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong with it";
    Internal "internal" "" Flag "it belongs to the runtime";
};

const IO: &[Column] = columns! {
    Id "id" "" Number "the source's id";
    Fd "fd" "" Number "its descriptor";
    Kind "kind" "" Word(SOURCE_KINDS) "what is behind it";
    Loop "loop" "" Number "the id of its loop";
    searched Local "local" "" Text "its local address";
    searched Peer "peer" "" Text "its peer's address";
    Want "want" "interest" Word(DIRECTIONS) "the directions somebody waits for";
    Ready "ready" "" Word(DIRECTIONS) "the directions known to be ready";
    Task "task" "" Number "the id of the task that uses it";
    searched Owner "owner" "" Text "that task's name";
    Gone "gone" "" Flag "that task has ended";
    Child "child" "" Number "the process id of the child whose pipe it is";
    searched Program "program" "" Text "that child's program";
    Idle "idle" "idle_ns" Nanos "time since the kernel last reported it";
    Wakes "wakes" "" Number "how often it woke a task";
    Spurious "spurious" "" Number "of those, for nothing";
    Buffered "buffered" "buffered_bytes" Number "bytes that a writer holds and the kernel has not taken";
    searched Place "place" "" Place "where it was made";
    Age "age" "since" Nanos "time since it was registered";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong with it";
    Internal "internal" "" Flag "it belongs to the runtime";
};

const JOBS: &[Column] = columns! {
    Id "id" "" Number "the job's id";
    State "state" "" Word(JOB_STATES) "where it is; abandoned: it runs and nobody wants its result";
    searched Name "name" "" Text "the name it was given";
    searched Pool "pool" "" Text "which threads: executor, or lookup of names";
    Thread "thread" "tid" Number "the kernel's id of the thread that runs it";
    Loop "loop" "" Number "the id of the loop that gave it";
    Task "task" "" Number "the id of the task that gave it";
    searched Owner "owner" "owner_name" Text "that task's name";
    Gone "gone" "owner_gone" Flag "that task has ended";
    searched Type "type" "" Text "the type of its function";
    searched Place "place" "" Place "where it was given";
    Age "age" "queued_at" Nanos "time since it was queued";
    For "for" "for_ns" Nanos "time in its state";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong with it";
};

const RESOURCES: &[Column] = columns! {
    Id "id" "" Number "its id";
    Kind "kind" "" Word(RESOURCE_KINDS) "what sort of thing";
    searched Name "name" "" Text "its name";
    State "state" "" Word(RESOURCE_STATES) "how it stands";
    Loop "loop" "" Number "the id of its loop";
    Task "task" "" Number "the id of the task that made it";
    searched Owner "owner" "owner_name" Text "that task's name";
    Gone "gone" "owner_gone" Flag "that task has ended";
    searched Place "place" "" Place "where it was made";
    Age "age" "made_at" Nanos "time since it was made";
    Waiters "waiters" "" Number "tasks that wait for it";
    Holder "holder" "" Number "the id of the task that holds it";
    For "for" "for_ns" Nanos "the longest that a task has waited for it";
    Value "value" "" Number "permits free, items queued, parties arrived";
    Capacity "capacity" "" Number "the most that can be";
    Uses "uses" "" Number "how often it was taken, set or sent to";
    Contended "contended" "" Number "of those, how often one had to wait";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong with it";
};

const CHILDREN: &[Column] = columns! {
    Id "id" "" Number "its id";
    Pid "pid" "" Number "its process id";
    searched Name "name" "program" Text "its program";
    Loop "loop" "" Number "the id of the loop that watches it";
    Task "task" "" Number "the id of the task that started it";
    searched Owner "owner" "owner_name" Text "that task's name";
    Gone "gone" "owner_gone" Flag "that task has ended";
    searched Place "place" "" Place "where it was started";
    Age "age" "started_at" Nanos "time since it was started";
    Pipes "pipes" "open_pipes" Set(STREAMS) "pipes to it that are open";
    Running "running" "" Flag "it has not ended";
    Code "code" "exit_code" Number "its exit code";
    Signal "signal" "" Number "the signal that ended it";
    Waiters "waiters" "" Number "tasks that wait for it";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong with it";
};

const SIGNALS: &[Column] = columns! {
    Id "id" "" Number "its id";
    Number "number" "" Number "the signal's number";
    searched Name "name" "" Text "the signal's name";
    Loop "loop" "" Number "the id of the loop that listens";
    Waiters "listeners" "" Number "handlers and tasks that listen";
    Count "deliveries" "" Number "how often it was delivered";
    Last "last" "last_at" Nanos "time since it was last delivered";
    searched Place "place" "" Place "where its handler was set";
};

const FINDING: &[Column] = columns! {
    Id "id" "" Number "the finding's id";
    Finding "finding" "name" Set(FINDINGS) "what is wrong";
    Grade "grade" "" Word(GRADES) "how sure it is";
    Subject "subject" "" Word(SUBJECTS) "the kind of thing it is about";
    Task "task" "" Number "the id of the thing it is about";
    searched Name "owner" "" Text "that thing's name";
    Loop "loop" "" Number "the id of its loop";
    searched Place "place" "" Place "the place to look at";
    searched Evidence "evidence" "" Text "what it rests on";
    Age "age" "since" Nanos "for how long it holds";
    Count "count" "" Number "how many are folded into it";
};

const BLOCKS: &[Column] = columns! {
    Id "id" "" Number "the block's id";
    Loop "loop" "" Number "the id of the loop that could not turn";
    Task "task" "" Number "the id of the task that it polled";
    searched Name "name" "" Text "that task's name";
    Kind "kind" "" Word(TASK_KINDS) "what sort of task";
    searched Place "place" "" Place "the place to look at";
    For "for" "for_ns" Nanos "how long it held the loop by the clock on the wall";
    Lower "lower" "lower_ns" Nanos "how long at least, waits for a CPU taken off";
    Upper "upper" "upper_ns" Nanos "how long at most";
    Cause "cause" "" Word(CAUSES) "why it lasted";
    Age "age" "started_at" Nanos "time since it began";
    Running "running" "" Flag "it has not ended";
    Waiters "waiters" "waited_behind" Number "tasks that had to wait behind it";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong";
};

const PLACES: &[Column] = columns! {
    Id "id" "" Number "the place's id";
    searched Place "place" "" Place "the place";
    searched Name "name" "" Text "the name its tasks share";
    Live "live" "" Number "tasks alive";
    Ready "ready" "" Number "of those, ready or running";
    Spawned "spawned" "" Number "tasks spawned";
    Finished "finished" "" Number "of those, ended";
    Failed "failed" "" Number "of those, with an error or a panic";
    BusyTime "busy-time" "busy_ns" Nanos "time being polled, of all";
    Max "max" "max_poll_ns" Nanos "the longest poll of any";
    Polls "polls" "" Number "polls of all";
    Age "age" "oldest" Nanos "age of the oldest that lives";
    Generations "generations" "" Number "minutes of birth among those alive";
    Finding "finding" "findings" Set(FINDINGS) "what is wrong";
};

const EVENT: &[Column] = columns! {
    Kind "kind" "" Word(EVENTS) "what happened";
    Loop "loop" "" Number "the id of the loop";
    Task "task" "" Number "the id of the task";
    searched Name "name" "" Text "the task's name";
    Id "subject" "" Number "the id of the timer, source, job, child or block";
    searched Place "place" "" Place "where";
    Took "took" "duration_ns" Nanos "how long it took";
    WokenBy "woken-by" "cause" Word(WAKES) "what woke the task";
    By "by" "" Number "the id of what did it";
    Outcome "outcome" "" Word(OUTCOMES) "how the task ended";
    searched Detail "detail" "" Text "what else there is to say";
};

impl Table {
    /// Every table.
    pub const ALL: [Table; 13] = [
        Table::Tasks,
        Table::History,
        Table::Loops,
        Table::Timers,
        Table::Io,
        Table::Jobs,
        Table::Resources,
        Table::Children,
        Table::Signals,
        Table::Findings,
        Table::Blocks,
        Table::Places,
        Table::Events,
    ];

    /// Its columns, in the order in which they are offered.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Table::Tasks | Table::History => TASKS,
            Table::Loops => LOOPS,
            Table::Timers => TIMERS,
            Table::Io => IO,
            Table::Jobs => JOBS,
            Table::Resources => RESOURCES,
            Table::Children => CHILDREN,
            Table::Signals => SIGNALS,
            Table::Findings => FINDING,
            Table::Blocks => BLOCKS,
            Table::Places => PLACES,
            Table::Events => EVENT,
        }
    }

    /// The column of that name, by its own name or by JSON's; case does not matter.
    #[must_use]
    pub fn column(self, name: &str) -> Option<&'static Column> {
        let is = |known: &str| !known.is_empty() && known.eq_ignore_ascii_case(name);
        // A name proper wins: another column's JSON name must not hide it.
        let columns = self.columns().iter();
        columns
            .clone()
            .find(|column| is(column.name))
            .or_else(|| columns.clone().find(|column| is(column.json)))
    }

    /// The column of that field.
    #[must_use]
    pub fn column_of(self, field: Field) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.field == field)
    }

    /// What a query may name in its columns besides the columns: parts of rows that cost more and
    /// are only filled in when asked for.
    #[must_use]
    pub const fn extras(self) -> &'static [&'static str] {
        match self {
            Table::Tasks | Table::History => &["buckets", "strip"],
            Table::Loops => &["scheduled", "late"],
            Table::Io => &["queues"],
            Table::Places => &["poll"],
            Table::Jobs | Table::Resources | Table::Children => &["waiting"],
            _ => &[],
        }
    }

    /// The sort key of a query that names none.
    #[must_use]
    pub const fn default_sort(self) -> &'static str {
        match self {
            Table::Tasks | Table::Jobs => "-for",
            Table::Loops => "id",
            Table::Signals => "number",
            Table::Timers => "due",
            Table::Io => "-idle",
            Table::Resources => "-waiters",
            Table::Children | Table::Blocks => "age",
            Table::History => "ended",
            Table::Findings => "grade",
            Table::Places => "-live",
            Table::Events => "subject",
        }
    }

    /// What its rows are called, for sentences such as "no timers".
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Table::Tasks => "tasks",
            Table::History => "ended tasks",
            Table::Loops => "loops",
            Table::Timers => "timers",
            Table::Io => "I/O sources",
            Table::Jobs => "jobs",
            Table::Resources => "resources",
            Table::Children => "children",
            Table::Signals => "signals",
            Table::Findings => "findings",
            Table::Blocks => "blocks",
            Table::Places => "places",
            Table::Events => "events",
        }
    }

    /// The table that a query is about. `None`: the target has no rows to filter, or is unknown.
    #[must_use]
    pub const fn of(target: pb::Target) -> Option<Table> {
        Some(match target {
            pb::Target::Tasks => Table::Tasks,
            pb::Target::History => Table::History,
            pb::Target::Loops => Table::Loops,
            pb::Target::Timers => Table::Timers,
            pb::Target::Io => Table::Io,
            pb::Target::Jobs => Table::Jobs,
            pb::Target::Resources => Table::Resources,
            pb::Target::Children => Table::Children,
            pb::Target::Signals => Table::Signals,
            pb::Target::Findings => Table::Findings,
            pb::Target::Blocks => Table::Blocks,
            pb::Target::Places => Table::Places,
            pb::Target::Unspecified
            | pb::Target::Overview
            | pb::Target::Cost
            | pb::Target::Series
            | pb::Target::Hour => return None,
        })
    }
}

impl Column {
    /// The words its values may have, the empty ones left out.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        let words = match self.kind {
            Type::Word(words) | Type::Set(words) => words,
            Type::Flag => &["yes", "no"],
            _ => &[],
        };
        words.iter().copied().filter(|word| !word.is_empty())
    }

    /// The word of a value of this column. `None`: it has no word, or the value is from a newer
    /// version of the schema.
    #[must_use]
    pub fn word(&self, index: u8) -> Option<&'static str> {
        match self.kind {
            Type::Word(words) => words
                .get(usize::from(index))
                .copied()
                .filter(|word| !word.is_empty()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_names_that_scripts_read_are_names_of_columns() {
        let names = |table: Table, names: &str| {
            for name in names.split(' ') {
                assert!(table.column(name).is_some(), "{table:?} {name}");
            }
        };
        names(
            Table::Tasks,
            "id name kind state loop parent spawned_at waiting_on waiting_at for_ns polls busy_ns max_poll_ns wakes \
             detached findings",
        );
        names(
            Table::Loops,
            "id name thread state tasks ready busy_ratio lag_ns",
        );
        names(Table::Timers, "id kind owner due_ns late_ns set_at loop");
        names(
            Table::Io,
            "id fd kind local peer interest ready task loop since",
        );
        names(
            Table::Resources,
            "id kind name state loop holder waiters owner place made_at value capacity",
        );
        names(
            Table::Jobs,
            "id name state pool tid loop task owner_name place for_ns",
        );
        names(
            Table::Children,
            "id pid program loop task exit_code signal open_pipes started_at",
        );
        names(
            Table::Signals,
            "id number name loop listeners deliveries last_at place",
        );
        names(
            Table::Findings,
            "name grade subject place count evidence since",
        );
        assert_eq!(
            Table::Tasks.column("spawned_at").map(|column| column.field),
            Some(Field::Place)
        );
    }

    #[test]
    fn no_two_columns_of_a_table_share_a_name_or_a_field() {
        for table in Table::ALL {
            let mut names = HashSet::new();
            let mut fields = HashSet::new();
            for column in table.columns() {
                assert!(names.insert(column.name), "{table:?} {}", column.name);
                assert!(fields.insert(column.field), "{table:?} {:?}", column.field);
                assert!(!column.doc.is_empty());
            }
            for column in table
                .columns()
                .iter()
                .filter(|column| !column.json.is_empty())
            {
                assert!(names.insert(column.json), "{table:?} {}", column.json);
            }
            for extra in table.extras() {
                assert!(names.insert(extra), "{table:?} {extra}");
            }
        }
    }
}
