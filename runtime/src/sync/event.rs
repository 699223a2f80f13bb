//! `Event`: a flag that tasks wait for.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::asking::{Ask, Asking};
use super::home::{at_home, here, share};
use super::resource::Resource;
use super::waiters::{Left, Waiters};
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};

struct State {
    set: Cell<bool>,
    line: Waiters,
    row: Resource,
}

impl State {
    fn set(&self) {
        self.row.used();
        if self.set.replace(true) {
            return;
        }
        self.row.mark(state::SET, true);
        self.line.grant_all(|_| 0);
        self.seen();
    }

    fn clear(&self) {
        if self.set.replace(false) {
            self.row.mark(state::SET, false);
        }
    }

    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
    }
}

/// A flag that wakes all who wait for it when it is set.
///
/// It belongs to the loop that ran where it was made, and a clone is the same event. Setting and
/// clearing work on every thread: elsewhere the loop does it when it takes what other threads
/// sent, in the order of sending, and a closed loop does nothing.
///
/// Records: a resource of kind event, with whether it is set and who waits.
/// Source: asyncio's `Event`.
///
/// ```
/// use loop_runtime::sync::Event;
/// loop_runtime::run(async {
///     let ready = Event::new();
///     let theirs = ready.clone();
///     std::thread::spawn(move || theirs.set());
///     ready.wait().await;
///     assert!(ready.is_set());
/// })
/// .unwrap();
/// ```
#[doc(alias = "Notify")]
#[derive(Clone)]
pub struct Event {
    shared: Arc<LoopBound<State>>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl Default for Event {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// An event of the running loop that is not set.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new() -> Self {
        Self::named("")
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str) -> Self {
        let place = Location::caller();
        let shared = share(|organs| State {
            set: Cell::new(false),
            line: Waiters::new(),
            row: Resource::new(organs, Kind::Event, name, place),
        });
        Self { shared }
    }

    /// Sets it: all who wait go on, also if it is cleared before their turn. Any thread.
    #[doc(alias = "notify_waiters")]
    #[track_caller]
    pub fn set(&self) {
        // A closed loop has nobody who waits.
        let _ = at_home(&self.shared, State::set);
    }

    /// Clears it: who asks from now on waits for the next `set`. Any thread.
    #[track_caller]
    pub fn clear(&self) {
        let _ = at_home(&self.shared, State::clear);
    }

    /// Whether it is set.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn is_set(&self) -> bool {
        here(&self.shared, "event").set.get()
    }

    /// Waits until it is set; returns at once if it is.
    ///
    /// Panics: polled away from its loop.
    #[doc(alias = "notified")]
    pub fn wait(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Asking::new(&self.shared, Wait)
    }
}

struct Wait;

impl<'a> Ask<'a> for Wait {
    type Shared = LoopBound<State>;
    type Output = ();
    const WHAT: &'static str = "event";

    fn line(state: &State) -> &Waiters {
        &state.line
    }

    fn resource(state: &State) -> &Resource {
        &state.row
    }

    #[inline]
    fn now(&mut self, _shared: &'a Arc<LoopBound<State>>, state: &State) -> Option<()> {
        state.set.get().then_some(())
    }

    fn granted(
        &mut self,
        _shared: &'a Arc<LoopBound<State>>,
        _state: &State,
        _word: usize,
    ) -> Option<()> {
        Some(())
    }

    fn seen(state: &State) {
        state.seen();
    }

    fn left(state: &State, _left: Left) {
        state.seen();
    }
}
