//! `Barrier`: nobody goes on before all are there.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::asking::{Ask, Asking};
use super::home::{here, share};
use super::resource::Resource;
use super::waiters::{Left, Waiters};
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};

/// What those who waited are granted when the barrier breaks; else it is their number.
const BROKEN: usize = usize::MAX;

struct State {
    parties: usize,
    broken: Cell<bool>,
    line: Waiters,
    row: Resource,
}

impl State {
    /// All who wait go on with an error.
    fn give_up(&self, broken: bool) {
        self.broken.set(broken);
        self.row.mark(state::BROKEN, broken);
        self.line.grant_all(|_| BROKEN);
        self.seen();
    }

    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
        self.row.level(self.line.len());
    }
}

/// A point that tasks pass together, so many at a time; then it stands again.
///
/// It belongs to the loop that ran where it was made, and a clone is the same barrier. One who is
/// cancelled while it waits was not there: the others go on waiting for another one.
///
/// Records: a resource of kind barrier, with how many are there of how many.
/// Source: asyncio's `Barrier`.
///
/// ```
/// use loop_runtime::sync::Barrier;
/// loop_runtime::run(async {
///     let start = Barrier::new(2);
///     let theirs = start.clone();
///     let task = loop_runtime::create_task(async move { theirs.wait().await });
///     let ours = start.wait().await.unwrap();
///     assert_eq!(ours + task.await.unwrap().unwrap(), 0 + 1);
/// })
/// .unwrap();
/// ```
#[derive(Clone)]
pub struct Barrier {
    shared: Arc<LoopBound<State>>,
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl Barrier {
    /// A barrier of the running loop for `parties` tasks.
    ///
    /// Panics: no loop runs on this thread, or there are no parties.
    #[track_caller]
    pub fn new(parties: usize) -> Self {
        Self::named("", parties)
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str, parties: usize) -> Self {
        assert!(
            parties > 0,
            "a barrier for nobody; it needs a party at least"
        );
        let place = Location::caller();
        let shared = share(|organs| State {
            parties,
            broken: Cell::new(false),
            line: Waiters::new(),
            row: Resource::new(organs, Kind::Barrier, name, place),
        });
        here(&shared, "barrier").row.capacity(parties);
        Self { shared }
    }

    /// Waits until all are there; gives each its number, in the order of coming, from 0.
    ///
    /// Errors: `BrokenBarrier`, once `abort` was called, or if `reset` is while it waits.
    /// Panics: polled away from its loop.
    /// Cancel: dropping it takes it out again; the others wait for another one.
    pub fn wait(&self) -> impl Future<Output = Result<usize, BrokenBarrier>> + Send + Unpin + '_ {
        Asking::new(&self.shared, Arrive)
    }

    /// Breaks it: all who wait, and all who come until `reset`, get an error.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn abort(&self) {
        here(&self.shared, "barrier").give_up(true);
    }

    /// Makes it as new; all who wait get an error.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn reset(&self) {
        here(&self.shared, "barrier").give_up(false);
    }

    /// Tasks that pass together.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn parties(&self) -> usize {
        here(&self.shared, "barrier").parties
    }

    /// Tasks that are there and wait.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn n_waiting(&self) -> usize {
        here(&self.shared, "barrier").line.len()
    }

    /// Whether `abort` was called and `reset` was not.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn broken(&self) -> bool {
        here(&self.shared, "barrier").broken.get()
    }
}

struct Arrive;

impl<'a> Ask<'a> for Arrive {
    type Shared = LoopBound<State>;
    type Output = Result<usize, BrokenBarrier>;
    const WHAT: &'static str = "barrier";

    fn line(state: &State) -> &Waiters {
        &state.line
    }

    fn resource(state: &State) -> &Resource {
        &state.row
    }

    fn now(&mut self, _shared: &'a Arc<LoopBound<State>>, state: &State) -> Option<Self::Output> {
        if state.broken.get() {
            return Some(Err(BrokenBarrier));
        }
        let before = state.line.len();
        if before + 1 < state.parties {
            return None;
        }
        state.row.used();
        state.line.grant_all(|nth| nth);
        state.seen();
        Some(Ok(before))
    }

    fn granted(
        &mut self,
        _shared: &'a Arc<LoopBound<State>>,
        _state: &State,
        word: usize,
    ) -> Option<Self::Output> {
        Some(if word == BROKEN {
            Err(BrokenBarrier)
        } else {
            Ok(word)
        })
    }

    fn seen(state: &State) {
        state.seen();
    }

    fn left(state: &State, _left: Left) {
        state.seen();
    }
}

/// The barrier was broken: not all will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the barrier is broken: `abort` was called, or `reset` while this waited, so not all came; `reset` makes \
             it as new",
        )
    }
}

impl std::error::Error for BrokenBarrier {}
