//! What a viewer commands, carried out: by the inspector itself, or by the loop concerned at its next
//! turn. Knows no connection: whether the viewer may command was asked before.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loop_proto::pb;
use loop_proto::pb::command_request::Action;
use loop_proto::pb::{CommandStatus, NudgeVerdict};

use super::recorded;
use super::shared::Shared;
use super::signal::Signal;
use crate::clock;
use crate::inspect::live;
use crate::inspect::tables::{Look, LoopLook, Moment};
use crate::record::Command;
use crate::record::names::numbered;
use crate::record::task::{Kind, State, TaskFacts, flag};
use crate::record::wake::Cause;
use crate::time::sleep;

/// How long a command's loop may take before the answer is "queued".
const CARRIED: Duration = Duration::from_millis(200);
/// How long a nudged task may take to be polled.
const POLLED: Duration = Duration::from_millis(200);
/// How often is looked whether it was.
const LOOKS: Duration = Duration::from_millis(5);
/// A shorter budget would have the watchdog wake more often than it can look.
const SHORTEST: Duration = Duration::from_micros(100);
/// A longer one would hide every block.
const LONGEST: Duration = Duration::from_secs(3600);

/// A command that its loop has not come to yet.
pub(crate) struct Pending {
    outcome: Arc<Outcome>,
    asked_at: u64,
}

impl Pending {
    /// Waits for it. What became of it, and how long that took, nanoseconds.
    pub(crate) async fn wait(self) -> (CommandStatus, &'static str, u64) {
        self.outcome.told.wait().await;
        let took = clock::mono().saturating_sub(self.asked_at);
        match self.outcome.get() {
            Some(Carried::Done) => (CommandStatus::Done, "", took),
            Some(Carried::Ended) => (CommandStatus::Refused, ENDED, took),
            _ => (CommandStatus::Refused, CLOSED, took),
        }
    }
}

const ENDED: &str = "the task has ended meanwhile";
const CLOSED: &str = "its loop was closed before it came to it";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carried {
    Done,
    /// There was nothing to do it to any more.
    Ended,
    /// The errand was dropped: the loop is closed.
    Dropped,
}

/// What the loop tells, and that it did.
#[derive(Default)]
struct Outcome {
    carried: Mutex<Option<Carried>>,
    told: Signal,
}

impl Outcome {
    fn get(&self) -> Option<Carried> {
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, carried: Carried) {
        self.carried
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(carried);
        self.told.raise();
    }
}

/// Tells that an errand was dropped, unless it was carried out.
struct Teller(Arc<Outcome>);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.tell(Carried::Dropped);
    }
}

/// The command's word, as events and the command line have it.
pub(crate) fn word(action: Option<&Action>) -> &'static str {
    match action {
        Some(Action::Cancel(_)) => "cancel",
        Some(Action::Nudge(_)) => "nudge",
        Some(Action::SetBudget(_)) => "budget",
        Some(Action::FindNow(_)) => "find",
        Some(Action::Dump(_)) => "dump",
        Some(Action::SetRecorded(_)) => "record",
        None => "unknown",
    }
}

fn reply(request: &pb::CommandRequest, status: CommandStatus, reason: &str) -> pb::CommandReply {
    pb::CommandReply {
        serial: request.serial,
        status: status as i32,
        reason: reason.to_owned(),
        ..pb::CommandReply::default()
    }
}

/// Does what a viewer commands. What is queued comes with what to wait for.
pub(crate) async fn carry_out(
    shared: &Arc<Shared>,
    request: &pb::CommandRequest,
) -> (pb::CommandReply, Option<Pending>) {
    let refused = |why: &str| reply(request, CommandStatus::Refused, why);
    let done = |did: String| pb::CommandReply {
        did,
        ..reply(request, CommandStatus::Done, "")
    };
    let answer = match &request.action {
        Some(Action::Cancel(cancel)) => {
            let task = cancel.task_id;
            return on_task(shared, request, task, Command::Cancel { task }).await;
        }
        Some(Action::Nudge(nudge)) => {
            let task = nudge.task_id;
            return on_task(shared, request, task, Command::Nudge { task }).await;
        }
        Some(Action::SetBudget(budget)) => match set_budget(budget) {
            Ok(set) => pb::CommandReply {
                before_ns: set.before,
                loops: set.loops,
                ..done(set.did)
            },
            Err(why) => refused(&why),
        },
        Some(Action::FindNow(_)) => {
            shared.judged().await;
            done("look for findings".to_owned())
        }
        #[cfg(unix)]
        Some(Action::Dump(dump)) => match super::flight::asked(shared, &dump.reason).await {
            Ok(path) => pb::CommandReply {
                path: path.clone(),
                ..done(format!("write a dump to {path}"))
            },
            Err(why) => refused(&why),
        },
        #[cfg(not(unix))]
        Some(Action::Dump(_)) => refused("dumps are written on Unix only"),
        Some(Action::SetRecorded(set)) => {
            let turned = if set.on { "on" } else { "off" };
            match recorded::turn(shared, &set.what, set.on) {
                Ok(()) => done(format!("record {} {turned}", set.what)),
                Err(why) => refused(&why),
            }
        }
        None => refused("the command is unknown to this version"),
    };
    (answer, None)
}

/// What changing budgets came to.
struct BudgetSet {
    did: String,
    before: Option<u64>,
    loops: u32,
}

fn set_budget(budget: &pb::SetBudget) -> Result<BudgetSet, String> {
    let limit = Duration::from_nanos(budget.block_ns);
    if budget.block_ns == 0 {
        return Err("a budget of 0 would make every poll a block".to_owned());
    }
    if !(SHORTEST..=LONGEST).contains(&limit) {
        return Err(format!(
            "a budget is between {SHORTEST:?} and {} h; {limit:?} is not",
            LONGEST.as_secs() / 3600
        ));
    }
    let look = Look::new(false);
    let meant: Vec<_> = look
        .loops
        .iter()
        .filter(|at| {
            let id = u64::from(at.record.id.get());
            budget.loop_id.is_none_or(|wanted| wanted == id)
        })
        .collect();
    if meant.is_empty() {
        return Err(match budget.loop_id {
            Some(id) => format!("there is no loop {id}: it never was, or it is closed"),
            None => "there is no loop now".to_owned(),
        });
    }
    let mut before: Vec<u64> = meant
        .iter()
        .map(|at| at.record.limit_ns(at.record.budget()))
        .collect();
    before.sort_unstable();
    before.dedup();
    for at in &meant {
        at.record.set_budget(limit);
    }
    let of = match budget.loop_id {
        Some(id) => format!("loop {id}"),
        None => format!(
            "{} loop{}",
            meant.len(),
            if meant.len() == 1 { "" } else { "s" }
        ),
    };
    Ok(BudgetSet {
        did: format!("set the budget of {of} to {limit:?}"),
        before: match before.as_slice() {
            [one] => Some(*one),
            _ => None,
        },
        loops: meant.len() as u32,
    })
}

/// Why nothing is done to a task of that id, as a sentence.
fn no_task(id: u64) -> String {
    let look = Look::new(true);
    for at in &look.loops {
        let mut back = 0;
        while let Some(ended) = at.record.ended.get(back) {
            back += 1;
            if ended.id == id {
                let ago = look
                    .now
                    .mono
                    .saturating_sub(look.now.mono_of(ended.ended_at));
                let how = match format!("{:?}", ended.outcome).to_lowercase().as_str() {
                    how @ ("cancelled" | "dropped") => format!("was {how}"),
                    how => how.to_owned(),
                };
                return format!(
                    "task {id} has ended: it {how} {:?} ago",
                    rounded(Duration::from_nanos(ago))
                );
            }
        }
    }
    format!(
        "there is no task {id}: it never was, its loop is closed, or it ended so long ago that its \
         row was overwritten"
    )
}

fn rounded(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64)
}

/// How a task is called, with its place.
fn called(look: &Look, at: &LoopLook, facts: &TaskFacts) -> String {
    let name = look.name_of(at, facts);
    let name = numbered(name.text, name.number);
    let place = at.site(facts.site).place;
    let place = place.map_or(String::new(), |place| format!(" ({place})"));
    format!("task {} {name}{place}", facts.id)
}

/// What is known of a task before it is commanded.
struct Before {
    loop_id: crate::id::LoopId,
    facts: TaskFacts,
    called: String,
}

/// Errors: why it takes no command, as a sentence.
fn before(task: u64, command: &Command) -> Result<Before, String> {
    let look = Look::new(true);
    let found = look
        .task(task)
        .filter(|(_, facts)| facts.state != State::Done);
    let Some((spot, facts)) = found else {
        return Err(no_task(task));
    };
    let Some(at) = look.at(spot) else {
        return Err(no_task(task));
    };
    if at.record.facts.internal || facts.has(flag::INTERNAL) {
        return Err(format!(
            "task {task} is part of the runtime or its inspector, and takes no commands"
        ));
    }
    if facts.kind == Kind::Callback && matches!(command, Command::Nudge { .. }) {
        return Err(format!(
            "task {task} is a callback: it is called once, and waits for nothing that a nudge could show"
        ));
    }
    Ok(Before {
        loop_id: at.record.id,
        called: called(&look, at, &facts),
        facts,
    })
}

async fn on_task(
    shared: &Arc<Shared>,
    request: &pb::CommandRequest,
    task: u64,
    command: Command,
) -> (pb::CommandReply, Option<Pending>) {
    let known = match before(task, &command) {
        Ok(known) => known,
        Err(why) => return (reply(request, CommandStatus::Refused, &why), None),
    };
    let did = format!("{} {}", word(request.action.as_ref()), known.called);
    let answer = |status, reason: &str| pb::CommandReply {
        did: did.clone(),
        ..reply(request, status, reason)
    };
    let outcome = Arc::new(Outcome::default());
    let teller = Teller(outcome.clone());
    let asked_at = clock::mono();
    let nudges = matches!(command, Command::Nudge { .. });
    let carried = (shared.carry)(
        known.loop_id,
        command,
        Box::new(move |found| {
            teller
                .0
                .tell(if found { Carried::Done } else { Carried::Ended });
        }),
    );
    if let Err(why) = carried {
        return (answer(CommandStatus::Refused, &why), None);
    }
    let mut limit = sleep(CARRIED);
    std::future::poll_fn(|cx| {
        if outcome.told.poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        Pin::new(&mut limit).poll(cx)
    })
    .await;
    match outcome.get() {
        Some(Carried::Done) => {
            let nudged = if nudges {
                Some(watch(&known).await)
            } else {
                None
            };
            let answer = pb::CommandReply {
                nudged,
                ..answer(CommandStatus::Done, "")
            };
            (answer, None)
        }
        Some(Carried::Ended) => (answer(CommandStatus::Refused, ENDED), None),
        Some(Carried::Dropped) => (answer(CommandStatus::Refused, CLOSED), None),
        None => {
            let busy = busy(known.loop_id);
            let why = match busy {
                Some(ns) => format!(
                    "loop {} has been busy with one thing for {:?}; it is carried out when the loop turns",
                    known.loop_id,
                    rounded(Duration::from_nanos(ns))
                ),
                None => format!(
                    "loop {} has not turned since; it is carried out when it does",
                    known.loop_id
                ),
            };
            let answer = pb::CommandReply {
                busy_ns: busy,
                ..answer(CommandStatus::Queued, &why)
            };
            (answer, Some(Pending { outcome, asked_at }))
        }
    }
}

/// For how long the loop has been in what it does, if that is work. Nanoseconds.
fn busy(loop_id: crate::id::LoopId) -> Option<u64> {
    let look = Look::new(true);
    let (_, at) = look.of_loop(loop_id)?;
    let current = &at.record.current;
    current
        .doing()
        .is_work()
        .then(|| Moment::now().since(current.since()))
}

/// Waits until a nudged task was polled, and tells what that shows.
async fn watch(known: &Before) -> pb::Nudged {
    let until = clock::mono() + POLLED.as_nanos() as u64;
    loop {
        let after = Look::new(true).task(known.facts.id).map(|(_, facts)| facts);
        let settled = match &after {
            None => true,
            Some(facts) => {
                facts.state == State::Done
                    || facts.state == State::Wait && facts.polls > known.facts.polls
            }
        };
        if settled || clock::mono() >= until {
            let ended = ended_polls(known.facts.id);
            return nudged(&known.facts, after.as_ref(), ended);
        }
        sleep(LOOKS).await;
    }
}

/// How often an ended task was polled; `None`: it has not ended, or its row is overwritten.
fn ended_polls(id: u64) -> Option<u64> {
    let look = Look::new(true);
    look.loops.iter().find_map(|at| {
        (0..)
            .map_while(|back| at.record.ended.get(back))
            .find(|ended| ended.id == id)
            .map(|ended| ended.polls)
    })
}

/// What a nudge shows of a task, by what it was before and is after. Pure.
fn nudged(before: &TaskFacts, after: Option<&TaskFacts>, ended: Option<u64>) -> pb::Nudged {
    let after = after.filter(|after| after.state != State::Done);
    let polls_after = after.map_or(ended.unwrap_or(before.polls + 1), |after| after.polls);
    let more = polls_after.saturating_sub(before.polls);
    let verdict = match after {
        _ if before.state != State::Wait => NudgeVerdict::WasAwake,
        _ if more > 1 => NudgeVerdict::OthersToo,
        None => NudgeVerdict::Ended,
        Some(_) if more == 0 => NudgeVerdict::NotPolled,
        Some(after) if after.woken_by != Some(Cause::Nudge) => NudgeVerdict::OthersToo,
        Some(after) => {
            let same = (after.waits, after.waiting_on, after.waiting_at)
                == (before.waits, before.waiting_on, before.waiting_at);
            if same && after.state == State::Wait {
                NudgeVerdict::WaitsOn
            } else {
                NudgeVerdict::WentOn
            }
        }
    };
    pb::Nudged {
        verdict: verdict as i32,
        state_before: live::task_state(before.state) as i32,
        polls_before: before.polls,
        state_after: after.map_or(pb::TaskState::Done, |after| live::task_state(after.state))
            as i32,
        polls_after,
        says: says(verdict, before.waits == 0).to_owned(),
    }
}

/// The verdict as a sentence. A future may do anything when it is polled, so what looks like a lost
/// wake is said with that reserve.
fn says(verdict: NudgeVerdict, unknown: bool) -> &'static str {
    match verdict {
        NudgeVerdict::WaitsOn if unknown => {
            "It was woken without a cause and waits again; for what is not known, so that no wake was \
             lost is likely and not certain."
        }
        NudgeVerdict::WaitsOn => {
            "It was woken without a cause and waits for the same thing again: no wake was lost."
        }
        NudgeVerdict::WentOn => {
            "It was woken without a cause and went on: what it waited for was there, and no wake had \
             told it. A wake was lost, unless its future goes on at every poll by itself."
        }
        NudgeVerdict::Ended => {
            "It was woken without a cause and ended: what it waited for was there, and no wake had told \
             it. A wake was lost, unless its future ends at any poll by itself."
        }
        NudgeVerdict::WasAwake => "It was not waiting, so that a nudge shows nothing.",
        NudgeVerdict::NotPolled => "Its loop has not polled it yet, so that nothing is known.",
        NudgeVerdict::OthersToo => "Something else woke it as well, so that a nudge shows nothing.",
        NudgeVerdict::Unspecified => "",
    }
}
