//! Spawns that are more than a place in the queue: polled at once, in given context variables, or
//! after the app's factory had a word.
//!
//! Knows no handle; every plain spawn passes it by.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::{Executor, How, RawCall, RawTask, raw};
use crate::clock;
use crate::record;
use crate::record::task::{TaskRow, mark, phase};
use crate::record::vars::{self, Context as Vars};

/// What the app wants to have a word in: called with each spawn, which it may change.
pub(crate) type Factory = Rc<dyn Fn(&mut How, &mut Option<Vars>, Made)>;

/// What is spawned, as a factory is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) type_name: &'static str,
    pub(crate) size: usize,
}

/// Eager starts inside one another; a task beyond waits for its turn, since each takes stack.
const EAGER_DEPTH: usize = 32;

impl Executor {
    /// Spawns `future` in `vars`, or in a copy of its spawner's, and polls it at once if `how` says
    /// so.
    #[inline(never)]
    pub(crate) fn spawn_with<F: Future + 'static>(
        &self,
        future: F,
        how: How,
        vars: Option<Vars>,
    ) -> RawTask {
        if how.eager && self.eager.get() < EAGER_DEPTH {
            return self.spawn_eager(future, how, vars);
        }
        // Not `spawn`: called from one place only, that is made part of it.
        let raw = self.place_row_apart(future, how);
        self.placed(raw, &how);
        if let Some(vars) = vars {
            self.give_vars(self.local.row(raw.row()), vars);
        }
        raw
    }

    /// As `place_row`, which is large: once for all of whom few are.
    #[cold]
    #[inline(never)]
    fn place_row_apart<F: Future + 'static>(&self, future: F, how: How) -> RawTask {
        self.place_row(future, &how, 1)
    }

    /// Spawns `future` and polls it once before anything else, inside the poll that spawns it.
    fn spawn_eager<F: Future + 'static>(&self, future: F, how: How, vars: Option<Vars>) -> RawTask {
        struct Inside<'a>(&'a Cell<usize>, &'a Cell<bool>, bool);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
                self.1.set(self.2);
            }
        }
        let (local, record) = (&*self.local, &*self.local.record);
        let raw = self.place_row_apart(future, how);
        let row = local.row(raw.row());
        if let Some(vars) = vars {
            self.give_vars(row, vars);
        }
        local.live.set(local.live.get() + 1);
        self.eager.set(self.eager.get() + 1);
        let cancelling = &local.cancelling;
        let inside = Inside(&self.eager, cancelling, cancelling.replace(false));
        let (doing, since) = (record.current.doing(), record.current.since());
        let outer = raw::current_row(record);
        let now = clock::ticks();
        // It never waited: its time begins here, and not with the poll that spawns it.
        row.spawned_at.store(now, Ordering::Relaxed);
        row.woken_at.store(now, Ordering::Relaxed);
        let end = self.step_inside(row, now);
        record::count(&record.stats.polls);
        match outer {
            // The poll around it goes on as from its own start: it takes what both took.
            Some(outer) => record.current.phase_of(doing, outer, since),
            None => record.current.phase(doing, end),
        }
        local.strayed.set(true);
        drop(inside);
        raw
    }

    /// A new task or callback has a copy of what its spawner sees.
    #[cold]
    #[inline(never)]
    pub(super) fn hand_down(&self, row: &TaskRow) {
        if let Some(vars) = vars::current() {
            self.give_vars(row, vars.fork());
        }
    }

    /// From now on the task of `row` has these context variables.
    #[cold]
    fn give_vars(&self, row: &TaskRow, vars: Vars) {
        let old = self.local.record.give_context(row, vars);
        drop(old);
    }

    /// The context variables of a handle's task; made if it has none and is not done.
    pub(crate) fn vars_of(&self, raw: RawTask) -> Vars {
        let row = self.local.row(raw.row());
        if let Some(vars) = self.local.record.contexts.of(raw.id()) {
            return vars;
        }
        let vars = Vars::new();
        if row.phase.load(Ordering::Relaxed) != phase::DONE {
            self.give_vars(row, vars.clone());
        }
        vars
    }

    /// Whether a factory has a word in spawns.
    #[inline]
    pub(crate) fn has_factory(&self) -> bool {
        self.has_factory.get()
    }

    /// What has a word in spawns.
    pub(crate) fn factory(&self) -> Option<Factory> {
        self.factory.borrow().clone()
    }

    pub(crate) fn set_factory(&self, factory: Option<Factory>) {
        self.has_factory.set(factory.is_some());
        let old = self.factory.replace(factory);
        drop(old);
    }

    /// As `call`, in `vars` and not in those of what runs now.
    pub(crate) fn call_in(
        &self,
        vars: Option<Vars>,
        callback: impl FnOnce() + 'static,
        how: How,
    ) -> RawCall {
        let call = self.call(callback, how);
        let row = self.local.row(call.raw.row());
        match vars {
            Some(vars) => self.give_vars(row, vars),
            None if row.marks.load(Ordering::Relaxed) & mark::CONTEXT != 0 => {
                drop(self.local.record.take_context(row));
            }
            None => {}
        }
        call
    }
}
