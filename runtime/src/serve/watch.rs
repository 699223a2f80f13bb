//! One viewer: its queries, and when each is answered next. Answers one at a time, and lets others
//! have their turn between the pieces of a walk. Knows no socket.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use loop_proto::message::split_view;
use loop_proto::pb;

use super::limits::{MESSAGE, Peer};
use super::outbox::{Sender, Stop};
use super::shared::Shared;
use super::signal::Signal;
use crate::clock;
use crate::inspect::tables::Moment;
use crate::inspect::texts::Sent;
use crate::inspect::view::{Answer, seeks_position};
use crate::spawn::yield_now;
use crate::time::sleep;

/// No slot is answered more often.
const SHORTEST: u64 = 50_000_000;
/// Slots of one viewer; more are refused.
const SLOTS: usize = 64;
/// Findings younger than this need no new walk before they are shown for the first time.
const FRESH: u64 = 3_000_000_000;

struct Slot {
    query: pb::Query,
    /// Nanoseconds; `None`: answered, and not asked again.
    due: Option<u64>,
    answered: u64,
    /// The moment of the last answer.
    moment: Option<Moment>,
    /// The moment of the answer that the query's position comes from.
    paged: Option<Moment>,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<u32, Slot>,
    /// No further query comes.
    over: bool,
}

/// What one viewer looks at.
#[derive(Default)]
pub(crate) struct Viewer {
    state: Mutex<State>,
    changed: Signal,
}

impl Viewer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, query: pb::Query) {
        let mut state = self.lock();
        if query.close {
            state.slots.remove(&query.slot);
        } else if state.slots.len() < SLOTS || state.slots.contains_key(&query.slot) {
            let before = state.slots.get(&query.slot);
            let moment = before.and_then(|slot| slot.moment);
            let slot = Slot {
                due: Some(0),
                answered: before.map_or(0, |slot| slot.answered),
                moment,
                paged: moment.filter(|_| seeks_position(&query)),
                query,
            };
            state.slots.insert(slot.query.slot, slot);
        }
        drop(state);
        self.changed.raise();
    }

    fn answered(&self, slot: u32, moment: Option<Moment>) {
        if let Some(slot) = self.lock().slots.get_mut(&slot) {
            slot.moment = moment.or(slot.moment);
        }
    }

    /// Has slots that look at `target` and are answered again at all answered at once.
    pub(crate) fn due_now(&self, target: pb::Target) {
        let mut state = self.lock();
        let mut any = false;
        for slot in state.slots.values_mut() {
            if slot.query.target() == target && slot.query.interval_ms > 0 {
                slot.due = Some(0);
                any = true;
            }
        }
        drop(state);
        if any {
            self.changed.raise();
        }
    }

    /// Takes in the viewer's queries until there are no more.
    pub(crate) async fn read(self: Arc<Self>, mut queries: tonic::Streaming<pb::Query>) {
        while let Ok(Some(query)) = queries.message().await {
            self.ask(query);
        }
        self.lock().over = true;
        self.changed.raise();
    }

    /// What is to be answered next: now, or at a time, or nothing until something changes.
    fn next(&self, now: u64) -> Next {
        let mut state = self.lock();
        let over = state.over;
        let due = state
            .slots
            .values_mut()
            .filter_map(|slot| Some((slot.due?, slot)))
            .min_by_key(|(due, _)| *due);
        match due {
            Some((due, slot)) if due <= now => {
                slot.answered += 1;
                let interval = u64::from(slot.query.interval_ms) * 1_000_000;
                slot.due = (interval > 0).then(|| now + interval.max(SHORTEST));
                Next::Answer(Box::new(slot.query.clone()), slot.answered, slot.paged)
            }
            Some((due, _)) => Next::At(due),
            None if over => Next::Over,
            None => Next::Wait,
        }
    }
}

enum Next {
    Answer(Box<pb::Query>, u64, Option<Moment>),
    At(u64),
    Wait,
    Over,
}

/// Answers a viewer until it is gone or has all it asked for.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    viewer: Arc<Viewer>,
    peer: Arc<Peer>,
    sender: Sender<pb::View>,
) {
    let mut sent = Sent::default();
    loop {
        let until = match viewer.next(clock::mono()) {
            Next::Answer(query, number, paged) => {
                match one(&shared, &query, (number, paged), &sender, &mut sent).await {
                    Ok(moment) => {
                        viewer.answered(query.slot, moment);
                        continue;
                    }
                    Err(Stop::Closed) => return,
                    Err(Stop::Stalled) => {
                        // Whoever reads nothing for so long does not read why, either.
                        peer.doomed.raise();
                        return;
                    }
                }
            }
            Next::Over => return,
            Next::At(due) => Some(due),
            Next::Wait => None,
        };
        let wait = until.map(|due| Duration::from_nanos(due.saturating_sub(clock::mono())));
        let mut alarm = wait.map(sleep);
        let gone = poll_fn(|cx| {
            if sender.poll_closed(cx).is_ready() {
                return Poll::Ready(true);
            }
            if viewer.changed.poll(cx).is_ready() {
                viewer.changed.take();
                return Poll::Ready(false);
            }
            match &mut alarm {
                Some(alarm) => Pin::new(alarm).poll(cx).map(|()| false),
                None => Poll::Pending,
            }
        })
        .await;
        if gone {
            return;
        }
    }
}

/// Answers one query.
async fn one(
    shared: &Arc<Shared>,
    query: &pb::Query,
    (number, paged): (u64, Option<Moment>),
    sender: &Sender<pb::View>,
    sent: &mut Sent,
) -> Result<Option<Moment>, Stop> {
    let target = query.target();
    if matches!(
        target,
        pb::Target::Findings
            | pb::Target::Overview
            | pb::Target::Tasks
            | pb::Target::Places
            | pb::Target::Hour
    ) {
        let (now, judged) = shared.desk().judged();
        shared.want_findings();
        let fresh = shared.was_judged() && now.saturating_sub(judged) < FRESH;
        // "None" must mean that somebody looked.
        if number == 1 && !fresh && target != pb::Target::Tasks {
            shared.judged().await;
        }
    }
    let begun = Answer::begin(query, paged, &mut shared.desk());
    let moment = begun.as_ref().ok().map(Answer::moment);
    let mut view = match begun {
        Err(error) => pb::View {
            slot: query.slot,
            serial: query.serial,
            complete: true,
            at_ns: clock::mono(),
            error: Some(error),
            ..pb::View::default()
        },
        Ok(mut answer) => {
            loop {
                let done = answer.step(&mut shared.desk());
                if done {
                    break;
                }
                yield_now().await;
            }
            answer.finish(&mut shared.desk(), sent)
        }
    };
    view.answer = number;
    for part in split_view(view, MESSAGE) {
        sender.send(part).await?;
    }
    Ok(moment)
}
