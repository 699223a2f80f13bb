//! Scopes that catch a cancel: which are active, in which task, inside which other.
//!
//! A request goes to every innermost active scope of its task. Knows no future and no row.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::task::Waker;

struct Scope {
    task: u64,
    /// The scope that was being polled when this one was entered; 0 for none.
    outer: u64,
    /// Active scopes directly inside.
    inner: u32,
    /// A cancel was requested and not caught yet.
    hit: bool,
    /// Of the scope's last poll.
    waker: Option<Waker>,
    message: Option<String>,
}

/// The active scopes of one loop.
#[derive(Default)]
pub(crate) struct Scopes {
    all: RefCell<HashMap<u64, Scope>>,
    next: Cell<u64>,
    /// The scope that is being polled; 0 for none.
    current: Cell<u64>,
}

impl Scopes {
    /// A scope of `task` becomes active, inside the one that is being polled.
    pub(crate) fn enter(&self, task: u64) -> u64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        let mut all = self.all.borrow_mut();
        let outer = self.current.get();
        let outer = match all.get_mut(&outer) {
            Some(scope) if scope.task == task => {
                scope.inner += 1;
                outer
            }
            _ => 0,
        };
        all.insert(
            id,
            Scope {
                task,
                outer,
                inner: 0,
                hit: false,
                waker: None,
                message: None,
            },
        );
        id
    }

    /// The scope is over. Gives the task and the message of a request that waited to be caught.
    pub(crate) fn leave(&self, id: u64) -> Option<(u64, Option<String>)> {
        let mut all = self.all.borrow_mut();
        let mut scope = all.remove(&id)?;
        if let Some(outer) = all.get_mut(&scope.outer) {
            outer.inner -= 1;
        }
        drop(all);
        // Outside the borrow: a waker's last reference may come back here.
        drop(scope.waker.take());
        scope.hit.then_some((scope.task, scope.message))
    }

    /// If a cancel was requested of this scope: takes the request.
    pub(crate) fn take_hit(&self, id: u64) -> Option<Option<String>> {
        let mut all = self.all.borrow_mut();
        let scope = all.get_mut(&id)?;
        std::mem::take(&mut scope.hit).then(|| scope.message.take())
    }

    /// Runs `poll` inside the scope; remembers whom to wake.
    pub(crate) fn polled<R>(&self, id: u64, waker: &Waker, poll: impl FnOnce() -> R) -> R {
        let old = {
            let mut all = self.all.borrow_mut();
            all.get_mut(&id).and_then(|scope| match &scope.waker {
                Some(old) if old.will_wake(waker) => None,
                _ => scope.waker.replace(waker.clone()),
            })
        };
        drop(old);
        struct Back<'a>(&'a Cell<u64>, u64);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _back = Back(&self.current, self.current.replace(id));
        poll()
    }

    /// Requests a cancel of `task`: marks its innermost active scopes and gives their wakers.
    ///
    /// `None` if the task has no active scope.
    pub(crate) fn request(&self, task: u64, message: Option<&str>) -> Option<Vec<Waker>> {
        let mut all = self.all.borrow_mut();
        let mut any = false;
        let mut wakers = Vec::new();
        for scope in all.values_mut().filter(|scope| scope.task == task) {
            any = true;
            if scope.inner == 0 {
                scope.hit = true;
                scope.message = message.map(str::to_owned);
                wakers.extend(scope.waker.clone());
            }
        }
        any.then_some(wakers)
    }

    /// Withdraws what was requested of `task` and not caught.
    pub(crate) fn withdraw(&self, task: u64) {
        for scope in self
            .all
            .borrow_mut()
            .values_mut()
            .filter(|scope| scope.task == task)
        {
            scope.hit = false;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }
}
