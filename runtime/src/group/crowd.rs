//! Who waits for several tasks at once: one waker for all of them, told which of them ended.
//!
//! It takes each task's place of awaiter, so the tasks' handles are its owner's alone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::context::{self, Organs};
use crate::record;
use crate::record::bound::{LoopBound, WrongLoop};
use crate::record::resource::Kind;
use crate::record::task::Outcome;
use crate::spawn::Task;
use crate::sync::resource::Resource;

/// At whose end the waiting task is woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// At each, and each is remembered in order.
    Each,
    /// At any.
    Any,
    /// When the last has ended, or one with an exception, as asyncio calls it: a panic, an error
    /// that it stated.
    LastOrFailed,
    /// When the last has ended, or one without a value: by a panic or a cancel.
    LastOrLost,
    Last,
}

struct Inner {
    when: When,
    pending: Cell<usize>,
    /// Ids, in the order of their ends; only with `When::Each`.
    ended: RefCell<VecDeque<u64>>,
    /// The first that ended badly.
    bad: Cell<u64>,
    waiter: Cell<Option<Waker>>,
    row: Resource,
}

struct Shared(LoopBound<Inner>);

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Elsewhere: the loop is closed.
        let Ok(inner) = self.0.get() else { return };
        let ending = context::with(|organs| organs.executor.ending());
        if let Ok(Some((id, outcome))) = ending
            && inner.ended(id, outcome)
            && let Some(waiter) = inner.waiter.take()
        {
            waiter.wake();
        }
    }
}

impl Inner {
    /// Takes note of an end; tells whether the waiting task is to know.
    fn ended(&self, id: u64, outcome: Outcome) -> bool {
        let pending = self.pending.get() - 1;
        self.pending.set(pending);
        self.row.level(pending);
        match self.when {
            When::Each => {
                self.ended.borrow_mut().push_back(id);
                true
            }
            When::Any => true,
            When::Last => pending == 0,
            when @ (When::LastOrFailed | When::LastOrLost) => {
                let bad = match outcome {
                    Outcome::Returned => false,
                    Outcome::Cancelled | Outcome::Dropped => when == When::LastOrLost,
                    Outcome::Failed => when == When::LastOrFailed,
                    Outcome::Panicked => true,
                };
                if bad && self.bad.get() == 0 {
                    self.bad.set(id);
                }
                bad || pending == 0
            }
        }
    }
}

/// Several tasks, waited for together. On their loop only.
pub(super) struct Crowd {
    shared: Arc<Shared>,
    waker: Waker,
}

impl Crowd {
    /// A crowd without tasks, made at `place`.
    pub(super) fn new(organs: &Organs, when: When, place: &'static Location<'static>) -> Self {
        let inner = Inner {
            when,
            pending: Cell::new(0),
            ended: RefCell::default(),
            bad: Cell::new(0),
            waiter: Cell::new(None),
            row: Resource::new(organs, Kind::Group, "", place),
        };
        let shared = Arc::new(Shared(LoopBound::new(organs.record.id, inner)));
        let waker = Waker::from(shared.clone());
        Self { shared, waker }
    }

    fn inner(&self) -> Result<&Inner, WrongLoop> {
        self.shared.0.get()
    }

    /// A task joins; one that is done has ended by that.
    pub(super) fn add<T>(&self, task: &Task<T>) -> Result<(), WrongLoop> {
        let inner = self.inner()?;
        inner.pending.set(inner.pending.get() + 1);
        match task.outcome() {
            Some(outcome) => drop(inner.ended(task.raw().id(), outcome)),
            None => {
                inner.row.level(inner.pending.get());
                task.set_joiner(&self.waker)?;
            }
        }
        Ok(())
    }

    /// A task that has not ended leaves.
    pub(super) fn remove<T>(&self, task: &Task<T>) {
        let Ok(inner) = self.inner() else { return };
        if task.clear_joiner() {
            inner.pending.set(inner.pending.get() - 1);
            inner.row.level(inner.pending.get());
        }
    }

    /// Tasks that have not ended.
    pub(super) fn pending(&self) -> usize {
        self.inner().map_or(0, |inner| inner.pending.get())
    }

    /// The next that ended, in order; with `When::Each`.
    pub(super) fn next_ended(&self) -> Option<u64> {
        self.inner().ok()?.ended.borrow_mut().pop_front()
    }

    /// The first that ended so that the wait is over.
    pub(super) fn bad(&self) -> Option<u64> {
        let bad = self.inner().ok()?.bad.get();
        (bad != 0).then_some(bad)
    }

    /// The polled task waits.
    pub(super) fn wait(&self, cx: &mut Context<'_>, at: &'static Location<'static>) {
        let Ok(inner) = self.inner() else { return };
        let old = inner.waiter.replace(Some(cx.waker().clone()));
        drop(old);
        inner.row.waited_for(record::current_task(), 1);
        record::waiting(inner.row.on(), at);
    }

    /// Nobody waits any more, for now.
    pub(super) fn leave(&self) {
        let Ok(inner) = self.inner() else { return };
        drop(inner.waiter.take());
        inner.row.waited_for(0, 0);
    }

    pub(super) fn name(&self, name: &str) {
        if let Ok(inner) = self.inner() {
            inner.row.name(name);
        }
    }
}
