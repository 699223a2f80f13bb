//! The way of verdicts to the gate: the app's thread makes one and waits for its receipt, the
//! inspector's thread sends it. Never for longer than a second. Knows no rule.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use loop_proto::message::split_verdict;
use loop_proto::pb;
use loop_proto::pb::judge_request::Step;

use super::limits::MESSAGE;
use super::outbox::Sender;
use super::signal::Signal;
use crate::inspect::texts::Sent;

/// How long an app waits for the gate, at the start and for each receipt.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    begun: Option<pb::JudgeBegin>,
    waiting: VecDeque<pb::Verdict>,
    sequence: u64,
    received: u64,
    /// The stream has ended: nobody takes verdicts any more.
    over: bool,
    sent: Sent,
}

/// Between the app's threads and the stream of verdicts.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    filed: Signal,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks the calling thread until `done` says so or the gate's patience is over.
    fn wait(&self, done: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while !done(&state) && !state.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        done(&state)
    }

    /// What to judge by, once the gate has said so. Blocks for at most a second.
    pub(crate) fn begun(&self) -> Option<pb::JudgeBegin> {
        self.wait(|state| state.begun.is_some());
        self.lock().begun
    }

    /// The number of the next verdict, and what the stream has carried, to make it with.
    pub(crate) fn compose<R>(&self, make: impl FnOnce(u64, &mut Sent) -> R) -> R {
        let mut state = self.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        make(sequence, &mut state.sent)
    }

    /// Sends a verdict, and blocks for its receipt for at most a second. Whether it came.
    pub(crate) fn hand_over(&self, verdict: pb::Verdict) -> bool {
        let sequence = verdict.sequence;
        {
            let mut state = self.lock();
            if state.over {
                return false;
            }
            state.waiting.extend(split_verdict(verdict, MESSAGE));
        }
        self.filed.raise();
        self.wait(|state| state.received >= sequence)
    }

    /// Nobody takes verdicts any more.
    pub(crate) fn close(&self) {
        self.lock().over = true;
        self.changed.notify_all();
        self.filed.raise();
    }

    /// Takes in what the gate says, until it says no more.
    pub(crate) async fn read(
        gate: Arc<super::shared::Shared>,
        mut steps: tonic::Streaming<pb::JudgeRequest>,
    ) {
        while let Ok(Some(request)) = steps.message().await {
            let mut state = gate.gate.lock();
            match request.step {
                Some(Step::Begin(begin)) => state.begun = Some(begin),
                Some(Step::Receipt(sequence)) => state.received = state.received.max(sequence),
                None => {}
            }
            drop(state);
            gate.gate.changed.notify_all();
            gate.gate.filed.raise();
        }
        gate.gate.close();
    }

    /// Sends verdicts as they are filed, until the last has its receipt or the gate is gone.
    pub(crate) async fn send(&self, sender: Sender<pb::Verdict>) {
        let mut last = None;
        loop {
            let next = poll_fn(|cx| {
                if sender.poll_closed(cx).is_ready() {
                    return Poll::Ready(None);
                }
                self.filed.take();
                let mut state = self.lock();
                if let Some(next) = state.waiting.pop_front() {
                    return Poll::Ready(Some(next));
                }
                // The end of the stream ends the call, and with it the way of the receipt.
                if state.over || last.is_some_and(|last| state.received >= last) {
                    return Poll::Ready(None);
                }
                drop(state);
                let _ = self.filed.poll(cx);
                Poll::Pending
            })
            .await;
            let Some(next) = next else { return };
            if next.last {
                last = Some(next.sequence);
            }
            if sender.send(next).await.is_err() {
                self.close();
                return;
            }
        }
    }
}
