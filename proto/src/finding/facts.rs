//! What the rules are told of a subject, and the limits they compare it with. Plain numbers; knows
//! no rule.

use crate::pb::Outcome;

/// From which measure on a rule speaks. All in ns unless said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A poll that holds its loop for longer is a block.
    pub block_ns: u64,
    /// What tasks have to end after their run, scope or test has.
    pub grace_ns: u64,
    /// A task may live on for so long after its parent.
    pub outlive_ns: u64,
    /// An orphan may sleep for so long.
    pub idle_ns: u64,
    /// An orphan is idle when it sleeps this many times as long as its place's 99th percentile.
    pub idle_factor: u64,
    /// A ready task may wait for its turn for so long.
    pub starve_ns: u64,
    /// A new task may wait for its first poll for so long.
    pub first_poll_ns: u64,
    /// A first poll may last for so long.
    pub yield_ns: u64,
    /// A timer may be late by so much.
    pub late_ns: u64,
    /// A task may go on for so long after it was asked to stop.
    pub cancel_ns: u64,
    /// The share of polls that a task woke itself for, from which on it spins.
    pub spin_share: f64,
    /// Polls a second below which a task does not spin.
    pub spin_polls: u64,
    /// Wakes a second from which on there is a storm.
    pub storm_wakes: u64,
    /// Polls of this mean length or less get nothing done, of one who is woken so or spins.
    pub storm_poll_ns: u64,
    /// Bytes from which on a future is large.
    pub future_bytes: u64,
    /// The length of a generation: tasks of one place that were spawned in one such slot of time.
    pub slot_ns: u64,
    /// So many polls of its task without being asked for make a timer an orphan.
    pub unasked_polls: u64,
    /// More wakers than this of one task are a hoard.
    pub hoard_wakers: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Limits {
            block_ns: SECOND / 10,
            grace_ns: SECOND / 4,
            outlive_ns: 10 * SECOND,
            idle_ns: 60 * SECOND,
            idle_factor: 20,
            starve_ns: SECOND,
            first_poll_ns: SECOND,
            yield_ns: SECOND,
            late_ns: SECOND / 10,
            cancel_ns: 5 * SECOND,
            spin_share: 0.9,
            spin_polls: 1_000,
            storm_wakes: 5_000,
            storm_poll_ns: 5_000,
            future_bytes: 16 * 1024,
            slot_ns: 60 * SECOND,
            unasked_polls: 1_000,
            hoard_wakers: 1_000,
        }
    }
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Being polled.
    Run,
    /// Woken, not yet polled.
    Ready,
    /// Pending and not queued.
    #[default]
    Wait,
    /// Ended.
    Done,
}

/// What is known of a live task.
///
/// The default is a task that waits, was polled once, has a waker and a handle, and of which no
/// rule speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskFacts {
    /// The moment the facts are of.
    pub at_ns: u64,
    /// Where it is in its life.
    pub state: State,
    /// Since when.
    pub since_ns: u64,
    /// The facts were read twice, and its polls and its generation had not moved between. A
    /// definite verdict needs it.
    pub settled: bool,
    /// How often it was polled.
    pub polls: u64,
    /// Wakers of it that are alive, of this and of other threads.
    pub wakers: u64,
    /// Handles to it that are alive.
    pub handles: u64,
    /// It was declared allowed to live for ever.
    pub allowed_forever: bool,
    /// It waits for `pending()`, which its author wrote to wait for ever.
    pub pending_on_purpose: bool,
    /// One of the things it waits for is a timer, or may be.
    pub waits_for_timer: bool,
    /// One of the things it waits for is a listening socket, a signal, a child, a job or another task:
    /// for those it is normal to wait for days.
    pub waits_for_visitors: bool,
    /// When its parent ended. `None`: it lives, there was none, or it is not known.
    pub parent_ended_ns: Option<u64>,
    /// That is when it was first missed: its ended row was overwritten before it was read.
    pub parent_end_forgotten: bool,
    /// When the group of tasks that it belongs to was dropped unfinished. `None`: it was not.
    pub group_dropped_ns: Option<u64>,
    /// When the run, scope or test ended that it belongs to. `None`: it has not.
    pub scope_ended_ns: Option<u64>,
    /// That run, scope or test itself found its grace over and the task still there.
    pub grace_over: bool,
    /// When somebody asked to cancel it. `None`: nobody did.
    pub cancel_requested_ns: Option<u64>,
    /// That is when it was first seen: the request itself was forgotten, since many came after it.
    pub cancel_forgotten: bool,
    /// What tasks of its place usually sleep at most: the 99th percentile, or the second longest
    /// that was seen to end. `None`: not known, or most of them sleep as long now.
    pub usual_idle_ns: Option<u64>,
    /// From how many waits that is known: those that were looked at.
    pub usual_of: u64,
    /// How many tasks of its loop are ready, itself included. `None`: not known.
    pub ready_tasks: Option<u64>,
    /// What it did lately. `None`: not watched.
    pub window: Option<Window>,
    /// Bytes of its future. `None`: not known.
    pub future_bytes: Option<u64>,
}

impl Default for TaskFacts {
    fn default() -> Self {
        TaskFacts {
            at_ns: 0,
            state: State::Wait,
            since_ns: 0,
            settled: true,
            polls: 1,
            wakers: 1,
            handles: 1,
            allowed_forever: false,
            pending_on_purpose: false,
            waits_for_timer: false,
            waits_for_visitors: false,
            parent_ended_ns: None,
            parent_end_forgotten: false,
            group_dropped_ns: None,
            scope_ended_ns: None,
            grace_over: false,
            cancel_requested_ns: None,
            cancel_forgotten: false,
            usual_idle_ns: None,
            usual_of: 0,
            ready_tasks: None,
            window: None,
            future_bytes: None,
        }
    }
}

/// What a task did between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// From look to look.
    pub length_ns: u64,
    /// Polls meanwhile.
    pub polls: u64,
    /// Wakes meanwhile.
    pub wakes: u64,
    /// Of those, by itself.
    pub self_wakes: u64,
    /// Time being polled meanwhile, without its share of the time for which its loop's thread had no
    /// CPU, where the host tells.
    pub busy_ns: u64,
    /// It ran or was ready at both looks: what it did went on, and was no burst between them.
    pub went_on: bool,
}

/// What is known of a task that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndedFacts {
    /// When it ended.
    pub ended_at_ns: u64,
    /// How.
    pub outcome: Outcome,
    /// Somebody took its result.
    pub result_taken: bool,
    /// Handles to it that are alive: somebody may still take it.
    pub handles: u64,
}

/// What is known of a poll over its budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockFacts {
    /// When the poll began.
    pub started_at_ns: u64,
    /// By the clock on the wall.
    pub wall_ns: u64,
    /// It held the loop for at least so long. `None`: the host does not tell.
    pub lower_ns: Option<u64>,
    /// It held the loop for at most so long. `None`: the host does not tell.
    pub upper_ns: Option<u64>,
    /// The budget.
    pub budget_ns: u64,
    /// The watchdog overslept itself meanwhile: the host stood still.
    pub vetoed: bool,
    /// It still runs, and the thread waits for a CPU now.
    pub waiting_for_cpu: bool,
    /// What of the wall time was allowed to block; not part of the bounds.
    pub allowed_ns: u64,
    /// Why it was. Empty: nothing was allowed.
    pub allowed_reason: &'static str,
}

/// What is known of a blocking call that polls made at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFacts {
    /// The call in words: `nanosleep (sleeps)`.
    pub call: String,
    /// When it was first made.
    pub first_ns: u64,
    /// How often it was made.
    pub count: u64,
    /// The longest, where it was timed.
    pub longest_ns: Option<u64>,
    /// The functions between the app's line and the call, the app's own callee first.
    pub through: Vec<String>,
}

/// What is known of an armed timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimerFacts {
    /// The moment the facts are of.
    pub at_ns: u64,
    /// When it was armed.
    pub armed_at_ns: u64,
    /// When it is due.
    pub due_ns: u64,
    /// Firing it wakes a task or runs a callback.
    pub has_waker: bool,
    /// The task that it would wake has ended.
    pub task_gone: bool,
    /// How often that task was polled since it last asked for the timer.
    pub unasked_polls: u64,
    /// By how much it was late when it last fired. `None`: it has not fired.
    pub last_late_ns: Option<u64>,
}

/// What is known of a registered I/O source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceFacts {
    /// The moment the facts are of.
    pub at_ns: u64,
    /// When the kernel last reported it, or when it was registered.
    pub idle_since_ns: u64,
    /// Somebody waits for it.
    pub waited_for: bool,
    /// The task that used it last has ended.
    pub task_gone: bool,
    /// The task that used it last can never be woken.
    pub task_stranded: bool,
}

/// What is known of the tasks of one spawn place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowthFacts<'a> {
    /// In how many different minutes the tasks that lived at the end of each minute were spawned,
    /// the oldest minute first: surviving generations.
    pub generations: &'a [u64],
    /// The length of one of those slots.
    pub slot_ns: u64,
    /// The moment the last of them ended.
    pub at_ns: u64,
    /// The age of the oldest task that lives.
    pub oldest_age_ns: u64,
    /// The 99th percentile of the lives of those that ended. `None`: too few have.
    pub usual_life_ns: Option<u64>,
    /// From how many of those that is known: the ones that were looked at.
    pub usual_of: u64,
    /// How many are alive.
    pub live: u64,
}
