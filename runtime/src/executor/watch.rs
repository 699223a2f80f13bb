//! Wakers that are told when a task ends, beside its one awaiter: several at once, each of which
//! may leave before. Knows no future.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::{Executor, RawTask};
use crate::id::map::IdMap;

/// One who watches a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WatchKey {
    task: u64,
    number: u64,
}

/// Who watches which task. A task that nobody watches any more keeps its empty entry until it
/// ends, so that being watched again costs no second callback.
#[derive(Default)]
pub(crate) struct Watches {
    all: RefCell<IdMap<Vec<(u64, Waker)>>>,
    next: Cell<u64>,
}

impl Executor {
    /// Has `waker` woken when the task is done. It is not done yet.
    pub(crate) fn watch(&self, raw: RawTask, waker: &Waker) -> WatchKey {
        let watches = &self.watches;
        let number = watches.next.get();
        watches.next.set(number + 1);
        let task = raw.id();
        let mut all = watches.all.borrow_mut();
        if let Some(wakers) = all.get_mut(&task) {
            wakers.push((number, waker.clone()));
        } else {
            all.insert(task, vec![(number, waker.clone())]);
            drop(all);
            let watches = Rc::downgrade(watches);
            let done = move || {
                let Some(watches) = watches.upgrade() else {
                    return;
                };
                let wakers = watches.all.borrow_mut().remove(&task);
                for (_, waker) in wakers.into_iter().flatten() {
                    waker.wake();
                }
            };
            self.when_done(raw, Box::new(done));
        }
        WatchKey { task, number }
    }

    /// The watcher is polled with another waker.
    pub(crate) fn rewatch(&self, key: WatchKey, waker: &Waker) {
        let old = {
            let mut all = self.watches.all.borrow_mut();
            let wakers = all.get_mut(&key.task);
            wakers
                .and_then(|wakers| wakers.iter_mut().find(|(number, _)| *number == key.number))
                .filter(|(_, old)| !old.will_wake(waker))
                .map(|(_, old)| std::mem::replace(old, waker.clone()))
        };
        // Outside the borrow: a waker's last reference may come back here.
        drop(old);
    }

    /// Whoever watched does not any more.
    pub(crate) fn unwatch(&self, key: WatchKey) {
        let gone = {
            let mut all = self.watches.all.borrow_mut();
            all.get_mut(&key.task).and_then(|wakers| {
                let at = wakers
                    .iter()
                    .position(|(number, _)| *number == key.number)?;
                Some(wakers.swap_remove(at))
            })
        };
        drop(gone);
    }
}
