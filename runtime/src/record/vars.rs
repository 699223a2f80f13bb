//! Context variables: values that a task hands down to what it spawns, by name.
//!
//! A context is a map that is copied in one step and written by copying. Which task or callback
//! has which is a table that other threads read, so that a task's variables can be listed. A task
//! has none until a variable is set: until then nothing here is touched but one flag at a spawn.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::task::mark;
use super::{LoopRecord, current};

/// A value of some variable. Shared by all copies of a context.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// What tells one variable from another: the address of its static. And its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) address: usize,
    pub(crate) name: &'static str,
}

/// By address. A handful, so looking along it beats hashing.
type Map = Vec<(Key, Value)>;

/// Somebody set a variable, once. Until then no spawn looks any further: all contexts are empty.
static USED: AtomicBool = AtomicBool::new(false);

/// The values of context variables that some code sees.
///
/// Each task and each callback has a context of its own, copied from who spawned it: what it sets
/// is not seen by its parent, and what the parent sets later is not seen by it. Two that were given
/// the same `Context` see each other's values. May be sent to another thread.
///
/// A clone is the same context; `copy` makes another.
///
/// Records: the names of a task's variables, with the task.
/// Source: Python's `contextvars.Context`.
///
/// ```
/// use loop_runtime::{Context, Task, context_var};
///
/// context_var! { static REQUEST: u64; }
///
/// loop_runtime::run(async {
///     REQUEST.set(7);
///     let shared = Context::copy();
///     let task = Task::<()>::builder().context(&shared).spawn(async {
///         assert_eq!(REQUEST.get(), Some(7));
///         REQUEST.set(8);
///     });
///     task.await.unwrap();
///     assert_eq!(REQUEST.get(), Some(7), "mine is mine");
///     assert_eq!(shared.run(|| REQUEST.get()), Some(8), "what was given is shared");
/// })
/// .unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Context {
    map: Arc<Mutex<Arc<Map>>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("variables", &self.names())
            .finish()
    }
}

impl Context {
    /// A context without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// A context with the values that the caller sees. One step, however many there are.
    ///
    /// Source: Python's `copy_context`.
    pub fn copy() -> Self {
        current().map_or_else(Self::new, |context| context.fork())
    }

    /// A context of its own with the same values.
    pub(crate) fn fork(&self) -> Self {
        Self {
            map: Arc::new(Mutex::new(self.lock().clone())),
        }
    }

    /// Runs `f` in this context: what it sets stays in here.
    ///
    /// Source: Python's `Context.run`.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let task = super::current_task();
        let before = ENTERED.with(|entered| entered.borrow_mut().replace((task, self.clone())));
        let _back = Back(before);
        f()
    }

    /// The names of the variables that have a value here, in no particular order.
    pub fn names(&self) -> Vec<&'static str> {
        self.lock().iter().map(|(key, _)| key.name).collect()
    }

    /// Whether it is the very same context, and not one with the same values.
    pub fn is_same(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.map, &other.map)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Map>> {
        // No code of the app's runs under the lock, so a poisoned one is consistent.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn value(&self, address: usize) -> Option<Value> {
        let map = self.lock();
        let at = map.binary_search_by_key(&address, |(key, _)| key.address);
        at.ok().map(|at| map[at].1.clone())
    }

    /// Sets or removes a value; gives the one before, which is dropped by the caller: outside the
    /// lock.
    pub(crate) fn replace(&self, key: Key, value: Option<Value>) -> Option<Value> {
        USED.store(true, Ordering::Relaxed);
        let mut map = self.lock();
        let map = Arc::make_mut(&mut map);
        match (
            map.binary_search_by_key(&key.address, |(key, _)| key.address),
            value,
        ) {
            (Ok(at), Some(value)) => Some(std::mem::replace(&mut map[at].1, value)),
            (Ok(at), None) => Some(map.remove(at).1),
            (Err(at), Some(value)) => {
                map.insert(at, (key, value));
                None
            }
            (Err(_), None) => None,
        }
    }
}

/// Puts back which context was entered before, also when a panic passes.
struct Back(Option<(u64, Context)>);

impl Drop for Back {
    fn drop(&mut self) {
        let before = self.0.take();
        let inside =
            ENTERED.try_with(|entered| std::mem::replace(&mut *entered.borrow_mut(), before));
        // Outside the borrow: it may be the last reference to values of the app's.
        drop(inside);
    }
}

thread_local! {
    /// The context that `run` entered, and the task that did (0: none). What else is polled on this
    /// thread meanwhile has its own.
    static ENTERED: RefCell<Option<(u64, Context)>> = const { RefCell::new(None) };
    /// Of code that runs in no task and in no `run`.
    static BASE: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Whether a spawn has to look for a context to hand down.
#[inline(always)]
pub(crate) fn is_used() -> bool {
    USED.load(Ordering::Relaxed)
}

/// The context of what runs on this thread; `None`: no variable is set there.
pub(crate) fn current() -> Option<Context> {
    is_used().then(look).flatten()
}

fn look() -> Option<Context> {
    let task = super::current_task();
    let entered = ENTERED.try_with(|entered| {
        let entered = entered.borrow();
        let entered = entered.as_ref().filter(|(owner, _)| *owner == task);
        entered.map(|(_, context)| context.clone())
    });
    if let Ok(Some(context)) = entered {
        return Some(context);
    }
    if task == 0 {
        return BASE.try_with(|base| base.borrow().clone()).ok().flatten();
    }
    current::here_row(|record, row| {
        (row.marks.load(Ordering::Relaxed) & mark::CONTEXT != 0)
            .then(|| record.contexts.of(task))
            .flatten()
    })
    .flatten()
}

/// The same, made if there is none.
pub(crate) fn current_or_new() -> Context {
    if let Some(context) = look() {
        return context;
    }
    let context = Context::new();
    let given = current::here_row(|record, row| record.give_context(row, context.clone()));
    if given.is_none() {
        let old = BASE.try_with(|base| base.borrow_mut().replace(context.clone()));
        drop(old);
    }
    context
}

/// Which task or callback of a loop has which context. The loop's thread writes.
#[derive(Default)]
pub(crate) struct Contexts(Mutex<HashMap<u64, Context>>);

impl Contexts {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Context>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context of a task. For its loop's thread: what it gives may be the last reference.
    pub(crate) fn of(&self, task: u64) -> Option<Context> {
        self.lock().get(&task).cloned()
    }

    /// The names of a task's variables. Any thread: no value can be dropped by this.
    pub(crate) fn names(&self, task: u64) -> Vec<&'static str> {
        let all = self.lock();
        all.get(&task).map_or_else(Vec::new, Context::names)
    }
}

impl LoopRecord {
    /// From now on `row` has this context; gives the one before. The loop's thread.
    pub(crate) fn give_context(
        &self,
        row: &super::task::TaskRow,
        context: Context,
    ) -> Option<Context> {
        let marks = row.marks.load(Ordering::Relaxed);
        row.marks.store(marks | mark::CONTEXT, Ordering::Relaxed);
        self.contexts.lock().insert(row.task_id(), context)
    }

    /// The task of `row` has no context from now on; gives the one it had, which the caller drops.
    pub(crate) fn take_context(&self, row: &super::task::TaskRow) -> Option<Context> {
        let marks = row.marks.load(Ordering::Relaxed);
        row.marks.store(marks & !mark::CONTEXT, Ordering::Relaxed);
        self.contexts.lock().remove(&row.task_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = Key {
        address: 8,
        name: "a",
    };
    const B: Key = Key {
        address: 16,
        name: "b",
    };

    fn number(value: Option<Value>) -> Option<u32> {
        value.and_then(|value| value.downcast_ref().copied())
    }

    #[test]
    fn a_fork_has_the_values_and_goes_its_own_way() {
        let one = Context::new();
        one.replace(B, Some(Arc::new(2_u32)));
        let two = one.fork();
        assert!(!one.is_same(&two) && one.is_same(&one.clone()));
        two.replace(A, Some(Arc::new(1_u32)));
        assert_eq!(number(two.replace(B, Some(Arc::new(3_u32)))), Some(2));
        assert_eq!(
            (number(one.value(8)), number(one.value(16))),
            (None, Some(2))
        );
        assert_eq!(
            (number(two.value(8)), number(two.value(16))),
            (Some(1), Some(3))
        );
        assert_eq!((one.names(), two.names()), (vec!["b"], vec!["a", "b"]));
        two.replace(A, None);
        assert_eq!(two.names(), ["b"]);
    }

    #[test]
    fn a_fork_of_a_thousand_values_copies_none_of_them() {
        let one = Context::new();
        let value: Value = Arc::new(7_u32);
        for address in 0..1000 {
            one.replace(Key { address, name: "x" }, Some(value.clone()));
        }
        let before = Arc::strong_count(&value);
        let two = one.fork();
        assert_eq!(Arc::strong_count(&value), before);
        assert_eq!(number(two.value(999)), Some(7));
    }
}
