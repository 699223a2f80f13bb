//! Scopes that catch a cancel: which are active, in which task, inside which other.
//!
//! A request made of the task goes to every innermost active scope of it. A scope can also be cut
//! by whoever owns it (a group whose child failed, a timeout): that goes to the innermost scopes
//! inside it, and no further out than the scope itself. What a scope caught and raises again goes
//! to the next scope outwards, once nothing inside that one catches any more. Knows no future.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use super::RawTask;
use crate::id::map::IdMap;

/// An active scope, by its place in the table and its identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ScopeKey {
    slot: u32,
    id: u64,
}

impl ScopeKey {
    /// Its number: later scopes have greater ones, so an outer scope's is the smaller.
    pub(crate) fn id(self) -> u64 {
        self.id
    }
}

/// What a scope has to catch. Requests of the task and cuts are kept apart, since only the former
/// can be withdrawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Hit {
    /// The task was asked to cancel.
    pub(crate) asked: bool,
    pub(crate) message: Option<String>,
    /// The outermost scope that was cut; 0 for none.
    pub(crate) cut: u64,
}

impl Hit {
    pub(crate) fn asked(message: Option<&str>) -> Self {
        Self {
            asked: true,
            message: message.map(str::to_owned),
            cut: 0,
        }
    }

    fn cut(scope: ScopeKey) -> Self {
        Self {
            cut: scope.id,
            ..Self::default()
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        !self.asked && self.cut == 0
    }

    pub(crate) fn join(&mut self, other: Hit) {
        self.asked |= other.asked;
        self.message = other.message.or(self.message.take());
        self.cut = match (self.cut, other.cut) {
            (0, cut) | (cut, 0) => cut,
            (one, two) => one.min(two),
        };
    }
}

/// Whom to wake for a scope that was hit.
pub(crate) enum Call {
    Task(RawTask),
    Waker(Waker),
}

/// What the end of a scope, or raising, leaves to be done.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) call: Option<Call>,
    /// The task itself is to be cancelled, no scope being left that could catch it.
    pub(crate) request: Option<(RawTask, Option<String>)>,
}

struct Scope {
    /// 0 for a free place.
    id: u64,
    /// `None` where it is polled outside of any task.
    task: Option<RawTask>,
    /// The scope that was being polled when this one was entered.
    outer: Option<ScopeKey>,
    /// Active scopes directly inside.
    inner: u32,
    hit: Hit,
    /// Came out of the scopes inside; a hit once the last of them is over.
    raised: Hit,
    /// Of the scope's last poll; `None` for the task's own.
    waker: Option<Waker>,
    /// The other scopes of the task.
    before: Option<u32>,
    after: Option<u32>,
}

impl Scope {
    fn key(&self, slot: u32) -> ScopeKey {
        ScopeKey { slot, id: self.id }
    }

    fn call(&self) -> Option<Call> {
        match &self.waker {
            Some(waker) => Some(Call::Waker(waker.clone())),
            None => self.task.map(Call::Task),
        }
    }
}

/// What came out of all scopes of a task while others were active in it.
struct Ending {
    message: Option<String>,
    /// Raised by code that will not go on: it cannot be withdrawn.
    must: bool,
}

#[derive(Default)]
struct Table {
    all: Vec<Scope>,
    free: Vec<u32>,
    /// The scope of each task that was entered last.
    last: IdMap<u32>,
    ending: IdMap<Ending>,
}

impl Table {
    fn get(&mut self, key: ScopeKey) -> Option<&mut Scope> {
        let scope = self.all.get_mut(key.slot as usize)?;
        (scope.id == key.id).then_some(scope)
    }

    fn of_task(&self, task: u64) -> impl Iterator<Item = u32> {
        let next = |&slot: &u32| self.all[slot as usize].before;
        std::iter::successors(self.last.get(&task).copied(), next)
    }

    fn is_inside(&self, mut slot: u32, outer: ScopeKey) -> bool {
        loop {
            let scope = &self.all[slot as usize];
            if scope.key(slot) == outer {
                return true;
            }
            match scope.outer {
                // An outer scope that ended before the one inside leads nowhere any more.
                Some(next) if self.all[next.slot as usize].id == next.id => slot = next.slot,
                _ => return false,
            }
        }
    }

    /// Hands `hit` to the scope `to`, or to the task where there is none.
    fn outwards(
        &mut self,
        task: Option<RawTask>,
        to: Option<ScopeKey>,
        hit: Hit,
        must: bool,
    ) -> Left {
        let mut left = Left::default();
        if let Some(scope) = to.and_then(|to| self.get(to)) {
            if scope.inner == 0 {
                scope.hit.join(hit);
                left.call = scope.call();
            } else {
                scope.raised.join(hit);
            }
            return left;
        }
        let Some(task) = task.filter(|_| hit.asked || must) else {
            return left;
        };
        if must || self.last.contains_key(&task.id()) {
            let ending = self.ending.entry(task.id()).or_insert(Ending {
                message: None,
                must: false,
            });
            ending.must |= must;
            ending.message = hit.message.clone().or(ending.message.take());
        }
        if !self.last.contains_key(&task.id()) {
            left.request = Some((task, hit.message));
        }
        left
    }
}

/// The active scopes of one loop.
#[derive(Default)]
pub(crate) struct Scopes {
    table: RefCell<Table>,
    next: Cell<u64>,
    /// The scope that is being polled.
    current: Cell<Option<ScopeKey>>,
}

fn id_of(task: Option<RawTask>) -> u64 {
    task.map_or(0, RawTask::id)
}

impl Scopes {
    /// A scope of `task` becomes active, inside the one that is being polled.
    pub(crate) fn enter(&self, task: Option<RawTask>) -> ScopeKey {
        let id = self.next.get() + 1;
        self.next.set(id);
        let mut table = self.table.borrow_mut();
        let outer = self.current_of(&mut table, task);
        if let Some(outer) = outer.and_then(|outer| table.get(outer)) {
            outer.inner += 1;
        }
        let slot = table.free.pop().unwrap_or(table.all.len() as u32);
        let before = table.last.insert(id_of(task), slot);
        if let Some(before) = before {
            table.all[before as usize].after = Some(slot);
        }
        let scope = Scope {
            id,
            task,
            outer,
            inner: 0,
            hit: Hit::default(),
            raised: Hit::default(),
            waker: None,
            before,
            after: None,
        };
        match table.all.get_mut(slot as usize) {
            Some(place) => *place = scope,
            None => table.all.push(scope),
        }
        ScopeKey { slot, id }
    }

    /// The scope that is being polled, if it is one of `task`'s.
    fn current_of(&self, table: &mut Table, task: Option<RawTask>) -> Option<ScopeKey> {
        let current = self.current.get()?;
        let scope = table.get(current)?;
        (id_of(scope.task) == id_of(task)).then_some(current)
    }

    /// The scope is over. What it was to catch and did not goes outwards, unless `quietly`: then
    /// it is dropped by a cancel that it had no time to see.
    pub(crate) fn leave(&self, key: ScopeKey, quietly: bool) -> Left {
        let mut table = self.table.borrow_mut();
        if table.get(key).is_none() {
            return Left::default();
        }
        let free = Scope {
            id: 0,
            task: None,
            outer: None,
            inner: 0,
            hit: Hit::default(),
            raised: Hit::default(),
            waker: None,
            before: None,
            after: None,
        };
        let scope = std::mem::replace(&mut table.all[key.slot as usize], free);
        table.free.push(key.slot);
        if let Some(before) = scope.before {
            table.all[before as usize].after = scope.after;
        }
        match (scope.after, scope.before) {
            (Some(after), before) => table.all[after as usize].before = before,
            (None, Some(before)) => drop(table.last.insert(id_of(scope.task), before)),
            (None, None) => drop(table.last.remove(&id_of(scope.task))),
        }
        let mut left = Left::default();
        if let Some(outer) = scope.outer.and_then(|outer| table.get(outer)) {
            outer.inner -= 1;
            if outer.inner == 0 && !outer.raised.is_none() {
                let raised = std::mem::take(&mut outer.raised);
                outer.hit.join(raised);
                left.call = outer.call();
            }
        }
        let mut hit = scope.hit;
        hit.join(scope.raised);
        if hit.cut == key.id {
            hit.cut = 0;
        }
        if !hit.is_none() && !quietly {
            let went = table.outwards(scope.task, scope.outer, hit, false);
            left = Left {
                call: went.call.or(left.call),
                request: went.request,
            };
        }
        if let Some(task) = scope.task
            && !table.last.contains_key(&task.id())
            && !quietly
            && let Some(ending) = table.ending.get(&task.id())
        {
            left.request = Some((task, ending.message.clone()));
        }
        drop(table);
        // Outside the borrow: a waker's last reference may come back here.
        drop(scope.waker);
        left
    }

    /// What the scope has to catch, taken.
    pub(crate) fn take_hit(&self, key: ScopeKey) -> Option<Hit> {
        let mut table = self.table.borrow_mut();
        let scope = table.get(key)?;
        (!scope.hit.is_none()).then(|| std::mem::take(&mut scope.hit))
    }

    pub(crate) fn is_hit(&self, key: ScopeKey) -> bool {
        let mut table = self.table.borrow_mut();
        table.get(key).is_some_and(|scope| !scope.hit.is_none())
    }

    /// Runs `poll` inside the scope; remembers whom to wake, `None` being the task itself.
    pub(crate) fn polled<R>(
        &self,
        key: ScopeKey,
        waker: Option<&Waker>,
        poll: impl FnOnce() -> R,
    ) -> R {
        let old = {
            let mut table = self.table.borrow_mut();
            table
                .get(key)
                .and_then(|scope| match (&scope.waker, waker) {
                    (Some(old), Some(new)) if old.will_wake(new) => None,
                    _ => std::mem::replace(&mut scope.waker, waker.cloned()),
                })
        };
        drop(old);
        struct Back<'a>(&'a Cell<Option<ScopeKey>>, Option<ScopeKey>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _back = Back(&self.current, self.current.replace(Some(key)));
        poll()
    }

    /// The task `task` is asked to cancel: marks its innermost active scopes and gives whom to
    /// wake. `None` if it has no active scope.
    pub(crate) fn request(&self, task: u64, message: Option<&str>) -> Option<Vec<Call>> {
        let table = self.table.borrow();
        let slots: Vec<u32> = table.of_task(task).collect();
        drop(table);
        (!slots.is_empty()).then(|| self.mark(slots, &Hit::asked(message)))
    }

    /// Ends what runs inside `scope`: marks its innermost active scopes, or itself.
    pub(crate) fn cut(&self, scope: ScopeKey) -> Vec<Call> {
        let mut table = self.table.borrow_mut();
        let Some(found) = table.get(scope) else {
            return Vec::new();
        };
        let slots = if found.inner == 0 {
            vec![scope.slot]
        } else {
            let task = id_of(found.task);
            let inside = table.of_task(task);
            inside
                .filter(|&slot| table.is_inside(slot, scope))
                .collect()
        };
        drop(table);
        self.mark(slots, &Hit::cut(scope))
    }

    fn mark(&self, slots: Vec<u32>, hit: &Hit) -> Vec<Call> {
        let mut table = self.table.borrow_mut();
        let mut calls = Vec::new();
        for slot in slots {
            let scope = &mut table.all[slot as usize];
            if scope.inner == 0 {
                scope.hit.join(hit.clone());
                calls.extend(scope.call());
            }
        }
        calls
    }

    /// The code of `task` that is being polled raises what it caught, and will not go on if `must`.
    pub(crate) fn raise(&self, task: Option<RawTask>, hit: Hit, must: bool) -> Left {
        let mut table = self.table.borrow_mut();
        let to = self.current_of(&mut table, task);
        table.outwards(task, to, hit, must)
    }

    /// Withdraws what was requested of `task` and not caught. False if it ends all the same.
    pub(crate) fn withdraw(&self, task: u64) -> bool {
        let mut table = self.table.borrow_mut();
        let slots: Vec<u32> = table.of_task(task).collect();
        for slot in slots {
            let scope = &mut table.all[slot as usize];
            for hit in [&mut scope.hit, &mut scope.raised] {
                hit.asked = false;
                hit.message = None;
            }
        }
        let must = table.ending.get(&task).is_some_and(|ending| ending.must);
        if !must {
            table.ending.remove(&task);
        }
        !must
    }

    /// The task is over.
    pub(crate) fn forget(&self, task: u64) {
        self.table.borrow_mut().ending.remove(&task);
    }

    pub(crate) fn is_empty(&self) -> bool {
        let table = self.table.borrow();
        table.last.is_empty() && table.ending.is_empty()
    }
}

#[cfg(all(test, not(loop_model)))]
mod tests {
    use super::*;

    /// An outer scope with so many inside.
    fn nested(scopes: &Scopes, inside: usize) -> (ScopeKey, Vec<ScopeKey>) {
        let outer = scopes.enter(None);
        let enter = || (0..inside).map(|_| scopes.enter(None)).collect();
        (outer, scopes.polled(outer, None, enter))
    }

    #[test]
    fn a_cut_goes_to_the_innermost_scopes_inside_and_to_no_other() {
        let scopes = Scopes::default();
        let (outer, inside) = nested(&scopes, 2);
        let beside = scopes.enter(None);
        scopes.cut(outer);
        for scope in inside {
            assert_eq!(scopes.take_hit(scope), Some(Hit::cut(outer)));
        }
        assert_eq!(scopes.take_hit(outer), None);
        assert_eq!(scopes.take_hit(beside), None);
        scopes.cut(beside);
        assert_eq!(scopes.take_hit(beside), Some(Hit::cut(beside)));
    }

    #[test]
    fn what_is_raised_waits_until_nothing_inside_catches_any_more() {
        let scopes = Scopes::default();
        let (outer, inside) = nested(&scopes, 2);
        scopes.request(0, Some("enough"));
        let hit = scopes.take_hit(inside[0]).expect("it is innermost");
        scopes.leave(inside[0], false);
        scopes.polled(outer, None, || scopes.raise(None, hit.clone(), true));
        assert!(!scopes.is_hit(outer), "the other one cleans up");
        scopes.take_hit(inside[1]);
        scopes.leave(inside[1], false);
        assert_eq!(scopes.take_hit(outer), Some(hit));
    }

    #[test]
    fn a_request_that_a_scope_had_no_time_for_goes_outwards_and_its_own_cut_does_not() {
        let scopes = Scopes::default();
        let (outer, inside) = nested(&scopes, 1);
        scopes.cut(inside[0]);
        scopes.request(0, None);
        scopes.leave(inside[0], false);
        assert_eq!(scopes.take_hit(outer), Some(Hit::asked(None)));

        let (outer, inside) = nested(&scopes, 1);
        scopes.request(0, None);
        scopes.leave(inside[0], true);
        assert_eq!(scopes.take_hit(outer), None, "it went down with a cancel");
    }

    #[test]
    fn withdrawing_takes_requests_back_and_no_cuts() {
        let scopes = Scopes::default();
        let scope = scopes.enter(None);
        scopes.request(0, Some("enough"));
        scopes.cut(scope);
        assert!(scopes.withdraw(0));
        assert_eq!(scopes.take_hit(scope), Some(Hit::cut(scope)));
    }

    #[test]
    fn of_several_cuts_the_outermost_counts() {
        let scopes = Scopes::default();
        let (outer, inside) = nested(&scopes, 1);
        scopes.cut(inside[0]);
        scopes.cut(outer);
        assert_eq!(scopes.take_hit(inside[0]), Some(Hit::cut(outer)));
    }

    #[test]
    fn places_of_scopes_that_ended_are_used_again() {
        let scopes = Scopes::default();
        for _ in 0..100 {
            let (outer, inside) = nested(&scopes, 3);
            for scope in inside.into_iter().chain([outer]) {
                scopes.leave(scope, false);
            }
        }
        assert!(scopes.is_empty());
        assert!(scopes.table.borrow().all.len() <= 4);
    }
}
