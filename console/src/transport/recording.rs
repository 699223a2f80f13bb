//! A recording as a peer of this console: its file, read once, or again and again while the process that writes it is there. Asks
//! nothing of that process, so it may be stopped, wedged or gone. What the file says is answered by [`crate::recorded`].
//!
//! Reading order: [`file`](mod@file) (from a path to bytes that make sense), [`find`] (from a pid or a name to a path), [`stands`] (what
//! became of the process).

pub mod file;
pub mod find;
pub mod stands;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use loop_proto::pb;
use loop_proto::recording::{Kind, Recording};
use tonic::Status;

use super::discover::Places;
use super::mailbox::Receiver;
use crate::exit::Failure;
use crate::recorded::{About, Answers, Told, about::Stands};

/// How often the file of a process that runs is read again.
pub const EVERY: Duration = Duration::from_secs(1);

/// A recording that is open.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    proc: Option<PathBuf>,
    /// The pid by which this machine knows the process, if that is not the one it knows itself by.
    pid_here: Option<u32>,
    /// How often it is read again.
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answers: Arc<Answers>,
    about: About,
    read: Instant,
    /// Counts the readings that brought something new.
    turn: u64,
}

impl Source {
    /// Opens what lies at `path`.
    ///
    /// Errors: it is no recording that can be read; the sentence says why.
    pub fn open(path: &Path, places: &Places, pid_here: Option<u32>) -> Result<Arc<Self>, Failure> {
        Self::read(path, places, pid_here).map(Arc::new)
    }

    fn read(path: &Path, places: &Places, pid_here: Option<u32>) -> Result<Self, Failure> {
        let recording = file::read(path)?;
        let proc = places.proc.clone();
        let stands = stands::of(path, &recording, proc.as_deref(), pid_here);
        let state = State::of(path, recording, stands);
        Ok(Self {
            path: path.to_owned(),
            proc,
            pid_here,
            every: EVERY,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says now, and which reading that is.
    pub fn answers(&self) -> (Arc<Answers>, u64) {
        let state = self.state();
        (state.answers.clone(), state.turn)
    }

    /// What is known of it.
    pub fn about(&self) -> About {
        self.state().about.clone()
    }

    /// Waits until there is something newer than reading `turn`. `None`: nothing will change any more.
    pub async fn after(&self, turn: u64) -> Option<u64> {
        loop {
            let due = {
                let mut state = self.state();
                if state.turn != turn {
                    return Some(state.turn);
                }
                if !state.about.following {
                    return None;
                }
                let due = state.read + self.every;
                if due <= Instant::now() {
                    self.again(&mut state);
                    continue;
                }
                due
            };
            loop_runtime::sleep(due.saturating_duration_since(Instant::now())).await;
        }
    }

    /// Reads it once more.
    fn again(&self, state: &mut State) {
        state.read = Instant::now();
        let next = match file::read(&self.path) {
            Ok(recording) => {
                let stands =
                    stands::of(&self.path, &recording, self.proc.as_deref(), self.pid_here);
                if crate::recorded::mark(&recording) == state.answers.mark
                    && stands == state.about.stands
                {
                    return;
                }
                State::of(&self.path, recording, stands)
            }
            Err(failure) => {
                // What was read last stays; what can be known of the end is said.
                let mut about = state.about.clone();
                about.following = false;
                if self.path.exists() {
                    about.doubts.push(failure.what);
                } else {
                    about.stands = Stands::Ended;
                }
                State {
                    about,
                    answers: state.answers.clone(),
                    read: state.read,
                    turn: 0,
                }
            }
        };
        let turn = state.turn + 1;
        *state = State { turn, ..next };
    }
}

impl State {
    fn of(path: &Path, recording: Recording, stands: Stands) -> Self {
        let (events, overwritten) = recording.counts();
        let clock = recording.clock();
        let mut about = About {
            file: path.display().to_string(),
            kind: recording.head.kind,
            reason: recording.head.reason.clone(),
            // A stopped process may go on.
            following: matches!(stands, Stands::Runs | Stands::Stopped),
            stands,
            snapshot_ns: recording.snapshot.as_ref().map(|of| of.head.at.mono_ns),
            wall_zero_ns: i128::from(clock.unix_ns) - i128::from(clock.mono_ns),
            events,
            overwritten,
            ended_ns: recording.ending.map(|ending| ending.mono_ns),
            doubts: recording.doubts.clone(),
            ..About::default()
        };
        let answers = Answers::of(recording);
        about.last_event_ns = answers.last_event_ns();
        about.since = answers.since;
        about.own_events = answers.own_events();
        debug_assert!(about.kind == Kind::BlackBox || !about.following);
        State {
            answers: Arc::new(answers),
            about,
            read: Instant::now(),
            turn: 0,
        }
    }
}

/// The answers to the questions of one viewer.
#[derive(Debug)]
pub struct Views {
    source: Arc<Source>,
    questions: Receiver<pb::Query>,
    /// What is asked again and again, by slot.
    open: BTreeMap<u32, pb::Query>,
    ready: VecDeque<pb::View>,
    turn: u64,
    answers: u64,
    /// Nothing will change any more.
    still: bool,
}

impl Views {
    pub fn new(source: Arc<Source>, questions: Receiver<pb::Query>) -> Self {
        let (_, turn) = source.answers();
        Self {
            source,
            questions,
            open: BTreeMap::new(),
            ready: VecDeque::new(),
            turn,
            answers: 0,
            still: false,
        }
    }

    /// The next answer; `None`: nobody will ask any more.
    pub async fn message(&mut self) -> Option<pb::View> {
        loop {
            if let Some(view) = self.ready.pop_front() {
                return Some(view);
            }
            let asked = {
                let (source, turn) = (self.source.clone(), self.turn);
                let waits = !self.still && !self.open.is_empty();
                let mut changed = std::pin::pin!(source.after(turn));
                let questions = &mut self.questions;
                std::future::poll_fn(|cx| {
                    if let Poll::Ready(question) = questions.poll_recv(cx) {
                        return Poll::Ready(Happened::Asked(question));
                    }
                    if !waits {
                        return Poll::Pending;
                    }
                    changed.as_mut().poll(cx).map(Happened::Changed)
                })
                .await
            };
            match asked {
                Happened::Asked(None) => return None,
                Happened::Asked(Some(query)) => {
                    self.open.remove(&query.slot);
                    if query.close {
                        continue;
                    }
                    let (answers, _) = self.source.answers();
                    self.answer(&answers, &query);
                    if query.interval_ms > 0 {
                        self.open.insert(query.slot, query);
                    }
                }
                Happened::Changed(None) => self.still = true,
                Happened::Changed(Some(turn)) => {
                    self.turn = turn;
                    let (answers, _) = self.source.answers();
                    for query in std::mem::take(&mut self.open).into_values() {
                        self.answer(&answers, &query);
                        self.open.insert(query.slot, query);
                    }
                }
            }
        }
    }

    fn answer(&mut self, answers: &Answers, query: &pb::Query) {
        self.answers += 1;
        self.ready.push_back(answers.answer(query, self.answers));
    }
}

/// What a viewer's stream waits for.
enum Happened {
    Asked(Option<pb::Query>),
    Changed(Option<u64>),
}

/// Events, from the oldest that was asked for on.
#[derive(Debug)]
pub struct Batches {
    source: Arc<Source>,
    answers: Arc<Answers>,
    told: Told,
    turn: u64,
    /// The stream goes on with what the process records meanwhile.
    follow: bool,
}

impl Batches {
    /// Errors: the filter is wrong.
    pub fn begin(
        source: Arc<Source>,
        request: &pb::EventsRequest,
        newest: Option<usize>,
    ) -> Result<Self, pb::QueryError> {
        let (answers, turn) = source.answers();
        let told = answers.events(request, newest)?;
        Ok(Self {
            source,
            answers,
            told,
            turn,
            follow: true,
        })
    }

    /// The next batch; `None`: there is nothing more, and will not be.
    pub async fn message(&mut self) -> Option<pb::EventBatch> {
        loop {
            if let Some(batch) = self.answers.next_batch(&mut self.told) {
                return Some(batch);
            }
            if !self.follow {
                return None;
            }
            let Some(turn) = self.source.after(self.turn).await else {
                self.follow = false;
                continue;
            };
            let (answers, _) = self.source.answers();
            answers.go_on(&mut self.told, &self.answers);
            (self.answers, self.turn) = (answers, turn);
        }
    }
}

/// Why a call is not answered.
pub fn refused() -> Status {
    Status::failed_precondition(crate::recorded::NO_COMMANDS)
}
