//! `Lock`: one task at a time, in the order of asking.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;

use super::asking::{Ask, Asking};
use super::home::{at_home, here, share};
use super::resource::Resource;
use super::waiters::{Left, Waiters};
use crate::record;
use crate::record::bound::LoopBound;
use crate::record::resource::Kind;

pub(super) struct State<T> {
    /// Away while a guard has it.
    value: Cell<Option<Box<T>>>,
    /// By a guard, or by one who was granted it and has not been polled since.
    held: Cell<bool>,
    line: Waiters,
    row: Resource,
}

impl<T> State<T> {
    #[inline]
    fn take(&self) -> Box<T> {
        self.value
            .take()
            .expect("a lock that is free or was granted has its value")
    }

    #[inline]
    fn acquire(&self) -> Option<Box<T>> {
        if self.held.replace(true) {
            return None;
        }
        Some(self.take())
    }

    #[inline]
    fn release(&self, value: Box<T>) {
        let taken = self.value.replace(Some(value));
        debug_assert!(taken.is_none(), "a lock has one value");
        self.row.given_up();
        if self.line.is_empty() {
            self.held.set(false);
        } else {
            self.pass_on();
        }
    }

    /// Nobody has the lock: it goes to the first who waits.
    fn pass_on(&self) {
        match self.line.first() {
            Some(first) => {
                self.row.granted_to(first.task);
                self.line.grant(0);
                self.seen();
            }
            None => {
                self.held.set(false);
                self.row.given_up();
            }
        }
    }

    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
    }
}

impl<T> Drop for State<T> {
    fn drop(&mut self) {
        // A guard that was forgotten still stands in the list of held locks.
        if self.held.get() {
            self.row.given_up();
        }
    }
}

pub(super) type Shared<T> = Arc<LoopBound<State<T>>>;

/// A value that one task at a time may use; who asks first has it first.
///
/// It belongs to the loop that ran where it was made, and a clone is the same lock. A lock that is
/// released goes to the first who waits, at once: nobody can come in between, and one who was
/// given it and is dropped before its turn passes it on.
///
/// Records: a resource of kind lock, with its holder and since when, who waits, how often it was
/// taken and how often in vain.
/// Source: asyncio's `Lock`, which protects a value as tokio's `Mutex` does.
///
/// ```
/// use loop_runtime::sync::Lock;
/// loop_runtime::run(async {
///     let log = Lock::new(Vec::new());
///     let theirs = log.clone();
///     let task = loop_runtime::create_task(async move {
///         theirs.lock().await.push("theirs");
///     });
///     log.lock().await.push("ours");
///     task.await.unwrap();
///     assert_eq!(*log.lock().await, ["ours", "theirs"]);
/// })
/// .unwrap();
/// ```
#[doc(alias = "Mutex")]
pub struct Lock<T: Send + 'static> {
    pub(super) shared: Shared<T>,
}

impl<T: Send> Clone for Lock<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T: Send> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send> Lock<T> {
    /// A free lock of the running loop.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::named("", value)
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    ///
    /// ```
    /// # use loop_runtime::sync::Lock;
    /// # loop_runtime::run(async {
    /// let accounts = Lock::named("accounts", 0);
    /// assert!(!accounts.locked());
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn named(name: &str, value: T) -> Self {
        let place = Location::caller();
        let shared = share(|organs| State {
            value: Cell::new(Some(Box::new(value))),
            held: Cell::new(false),
            line: Waiters::new(),
            row: Resource::new(organs, Kind::Lock, name, place),
        });
        record::current::here(|record| record.orders.ready());
        Self { shared }
    }

    /// Waits until the lock is free, and takes it.
    ///
    /// Panics: polled away from its loop.
    /// Cancel: dropping it gives up the place in the line; if the lock was granted already, the
    /// next one gets it.
    #[doc(alias = "acquire")]
    pub fn lock(&self) -> impl Future<Output = LockGuard<'_, T>> + Send + Unpin + '_ {
        Asking::new(&self.shared, Acquire::new())
    }

    /// Takes the lock if it is free now; does not pass those who wait.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        let state = here(&self.shared, "lock");
        let value = state.acquire()?;
        // It did not wait where others would: it makes no order of its own.
        state.row.taken_by_current(Location::caller(), false);
        Some(LockGuard::new(&self.shared, value))
    }

    /// Whether somebody has it.
    ///
    /// Panics: called away from its loop.
    #[doc(alias = "is_locked")]
    #[track_caller]
    pub fn locked(&self) -> bool {
        here(&self.shared, "lock").held.get()
    }
}

/// Asks for a lock.
pub(super) struct Acquire<T>(PhantomData<fn() -> T>);

impl<T> Acquire<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'a, T: Send + 'static> Ask<'a> for Acquire<T> {
    type Shared = LoopBound<State<T>>;
    type Output = LockGuard<'a, T>;
    const WHAT: &'static str = "lock";

    fn line(state: &State<T>) -> &Waiters {
        &state.line
    }

    fn resource(state: &State<T>) -> &Resource {
        &state.row
    }

    #[inline]
    fn now(&mut self, shared: &'a Shared<T>, state: &State<T>) -> Option<LockGuard<'a, T>> {
        Some(LockGuard::new(shared, state.acquire()?))
    }

    fn granted(
        &mut self,
        shared: &'a Shared<T>,
        state: &State<T>,
        _word: usize,
    ) -> Option<LockGuard<'a, T>> {
        // Who waited may have been moved into another task meanwhile: `taken` says whose it is.
        Some(LockGuard::new(shared, state.take()))
    }

    #[inline]
    fn taken(state: &State<T>, at: &'static Location<'static>) {
        state.row.taken_by_current(at, true);
    }

    fn seen(state: &State<T>) {
        state.seen();
    }

    fn left(state: &State<T>, left: Left) {
        match left {
            Left::Granted(_) => state.pass_on(),
            Left::Waiting | Left::Outside => state.seen(),
        }
    }
}

/// The value of a lock, until it is dropped: then the lock is free, or the next one's.
///
/// It may be dropped on any thread; elsewhere its loop frees the lock when it takes what other
/// threads sent.
#[must_use = "a lock is free again as soon as its guard is dropped"]
pub struct LockGuard<'a, T: Send + 'static> {
    shared: &'a Shared<T>,
    /// There until the drop.
    value: Option<Box<T>>,
}

/// A `LockGuard` with a handle on the lock of its own.
#[must_use = "a lock is free again as soon as its guard is dropped"]
pub struct OwnedLockGuard<T: Send + 'static> {
    shared: Shared<T>,
    /// There until the drop.
    value: Option<Box<T>>,
}

impl<'a, T: Send> LockGuard<'a, T> {
    #[inline]
    fn new(shared: &'a Shared<T>, value: Box<T>) -> Self {
        Self {
            shared,
            value: Some(value),
        }
    }

    /// The same, with a handle on the lock of its own: it may outlive the `Lock` it came from, and
    /// move into a task. The holder on the screen stays who took it.
    ///
    /// ```
    /// # use loop_runtime::sync::Lock;
    /// # loop_runtime::run(async {
    /// let guard = Lock::new(7).lock().await.into_owned();
    /// let task = loop_runtime::create_task(async move { *guard });
    /// assert_eq!(task.await.unwrap(), 7);
    /// # }).unwrap();
    /// ```
    #[doc(alias = "lock_owned")]
    pub fn into_owned(mut self) -> OwnedLockGuard<T> {
        if let Ok(state) = self.shared.get() {
            state.row.may_move();
        }
        OwnedLockGuard {
            value: self.value.take(),
            shared: self.shared.clone(),
        }
    }

    /// Whether it is of this lock.
    pub(super) fn is_of(&self, lock: &Lock<T>) -> bool {
        Arc::ptr_eq(self.shared, &lock.shared)
    }
}

#[inline]
fn free<T: Send>(shared: &Shared<T>, value: Box<T>) {
    // A closed loop has nobody to give it to: the value is dropped with the errand.
    let _ = at_home(shared, move |state| state.release(value));
}

macro_rules! guard {
    ($guard:ty) => {
        impl<T: Send> Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                self.value
                    .as_deref()
                    .expect("a guard has the value until its drop")
            }
        }

        impl<T: Send> DerefMut for $guard {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                self.value
                    .as_deref_mut()
                    .expect("a guard has the value until its drop")
            }
        }

        impl<T: Send> Drop for $guard {
            #[inline]
            fn drop(&mut self) {
                if let Some(value) = self.value.take() {
                    free(&self.shared, value);
                }
            }
        }

        impl<T: Send + fmt::Debug> fmt::Debug for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(LockGuard<'_, T>);
guard!(OwnedLockGuard<T>);
