//! `Semaphore` and `BoundedSemaphore`: so many at a time, strictly in the order of asking.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

use super::asking::{Ask, Asking};
use super::home::{at_home, here, share};
use super::resource::Resource;
use super::waiters::{Left, Waiters};
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, LISTED, state};

// A bit a place.
const _: () = assert!(LISTED == u8::BITS as usize);

struct State {
    permits: Cell<usize>,
    /// Permits that were taken and whose `Permit` was forgotten: what a bounded one may release.
    forgotten: Cell<usize>,
    bounded: bool,
    /// Places in the row where a permit's holder can be named.
    places: Cell<u8>,
    line: Waiters,
    row: Resource,
}

impl State {
    fn acquire(&self, count: usize) -> Option<u8> {
        let permits = self.permits.get();
        if permits < count || !self.line.is_empty() {
            return None;
        }
        self.permits.set(permits - count);
        self.row.taken(permits - count);
        Some(self.list(count))
    }

    /// Names the running task as who has `count` permits more; gives the places where that stands,
    /// none if there are too few.
    #[inline]
    fn list(&self, count: usize) -> u8 {
        let (mut free, mut places) = (self.places.get(), 0);
        if count <= free.count_ones() as usize {
            for _ in 0..count {
                let lowest = free & free.wrapping_neg();
                places |= lowest;
                free ^= lowest;
            }
            self.places.set(free);
        }
        self.row.permits_taken(count, places);
        places
    }

    /// Permits come back, or will not come back by themselves: their holders are named no longer.
    #[inline]
    fn unlist(&self, count: usize, places: u8) {
        self.places.set(self.places.get() | places);
        self.row.permits_given_up(count, places);
    }

    fn give(&self, count: usize) {
        let permits = self.permits.get().checked_add(count);
        self.permits
            .set(permits.expect("a semaphore has fewer permits than there are numbers"));
        self.serve();
    }

    /// Gives what is there to those whose turn it is.
    fn serve(&self) {
        while let Some(first) = self.line.first().filter(|f| f.wants <= self.permits.get()) {
            self.permits.set(self.permits.get() - first.wants);
            self.line.grant(first.wants);
            self.seen();
        }
        self.row.level(self.permits.get());
    }

    fn release(&self, count: usize) -> Result<(), ReleaseError> {
        self.row.mark(state::BY_HAND, true);
        if self.bounded {
            let held = self.forgotten.get();
            if count > held {
                return Err(ReleaseError { held, count });
            }
            self.forgotten.set(held - count);
        }
        self.give(count);
        Ok(())
    }

    fn seen(&self) {
        self.row.waited_for(self.line.first_task(), self.line.len());
    }
}

/// So many permits; who asks first has one first.
///
/// It belongs to the loop that ran where it was made, and a clone is the same semaphore. The order
/// is strict: one who asks for many holds up those behind it, and nobody passes.
///
/// Records: a resource of kind semaphore, with the permits that are free, who waits, how often
/// permits were taken and how often in vain.
/// Source: asyncio's `Semaphore`.
///
/// ```
/// use loop_runtime::sync::Semaphore;
/// loop_runtime::run(async {
///     let downloads = Semaphore::new(2);
///     let (first, second) = (downloads.acquire().await, downloads.acquire().await);
///     assert!(downloads.locked() && downloads.try_acquire(1).is_none());
///     drop(first);
///     assert_eq!(downloads.available_permits(), 1);
///     second.forget(); // Never comes back by itself.
///     downloads.release(1);
///     assert_eq!(downloads.available_permits(), 2);
/// })
/// .unwrap();
/// ```
#[derive(Clone)]
pub struct Semaphore {
    shared: Arc<LoopBound<State>>,
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl Semaphore {
    /// A semaphore of the running loop.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Self::named("", permits)
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str, permits: usize) -> Self {
        Self::made(name, permits, false)
    }

    #[track_caller]
    fn made(name: &str, permits: usize, bounded: bool) -> Self {
        let place = Location::caller();
        let shared = share(|organs| State {
            permits: Cell::new(permits),
            forgotten: Cell::new(0),
            bounded,
            places: Cell::new(u8::MAX),
            line: Waiters::new(),
            row: Resource::new(organs, Kind::Semaphore, name, place),
        });
        let state = here(&shared, "semaphore");
        state.row.level(permits);
        if bounded {
            state.row.capacity(permits);
        }
        Self { shared }
    }

    /// Waits for one permit.
    ///
    /// Panics: polled away from its loop.
    /// Cancel: dropping it gives up the place in the line; a permit that was granted goes to the
    /// next one.
    pub fn acquire(&self) -> impl Future<Output = Permit<'_>> + Send + Unpin + '_ {
        self.acquire_many(1)
    }

    /// Waits until `count` permits are free at once. As `acquire` otherwise.
    pub fn acquire_many(
        &self,
        count: usize,
    ) -> impl Future<Output = Permit<'_>> + Send + Unpin + '_ {
        Asking::new(&self.shared, Acquire(count))
    }

    /// Takes `count` permits if they are free now and nobody waits.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn try_acquire(&self, count: usize) -> Option<Permit<'_>> {
        let places = here(&self.shared, "semaphore").acquire(count)?;
        Some(Permit::new(&self.shared, count, places))
    }

    /// Adds `count` permits: those of a `Permit` that was forgotten, or new ones. Any thread;
    /// elsewhere the loop adds them when it takes what other threads sent.
    ///
    /// Panics: on a `BoundedSemaphore` behind this view of it, where its own `release` is an error.
    #[doc(alias = "add_permits")]
    #[track_caller]
    pub fn release(&self, count: usize) {
        let _ = at_home(&self.shared, move |state| {
            if let Err(error) = state.release(count) {
                panic!("{error}");
            }
        });
    }

    /// Permits that are free.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn available_permits(&self) -> usize {
        here(&self.shared, "semaphore").permits.get()
    }

    /// Whether one who asks for a permit now has to wait.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn locked(&self) -> bool {
        let state = here(&self.shared, "semaphore");
        state.permits.get() == 0 || !state.line.is_empty()
    }
}

/// A semaphore that never has more permits than it began with: giving back what was not taken is
/// an error rather than a permit too many.
///
/// As `Semaphore` otherwise.
/// Source: asyncio's `BoundedSemaphore`.
///
/// ```
/// use loop_runtime::sync::BoundedSemaphore;
/// loop_runtime::run(async {
///     let slots = BoundedSemaphore::new(1);
///     assert!(slots.release(1).is_err()); // Nobody took one.
///     slots.acquire().await.forget();
///     assert!(slots.release(1).is_ok());
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct BoundedSemaphore {
    inner: Semaphore,
}

impl BoundedSemaphore {
    /// A semaphore of the running loop with at most `permits`.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Self::named("", permits)
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str, permits: usize) -> Self {
        Self {
            inner: Semaphore::made(name, permits, true),
        }
    }

    /// Gives back `count` permits whose `Permit` was forgotten; all others come back by themselves.
    ///
    /// Errors: `ReleaseError`; nothing is given back then.
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn release(&self, count: usize) -> Result<(), ReleaseError> {
        here(&self.inner.shared, "semaphore").release(count)
    }
}

impl Deref for BoundedSemaphore {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        &self.inner
    }
}

/// More permits were given back to a bounded semaphore than are out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReleaseError {
    /// Permits that are out without a `Permit` that brings them back.
    pub held: usize,
    /// How many were to be given back.
    pub count: usize,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} permits were released and {} are out without a `Permit`; a dropped `Permit` gives back its own, so \
             release only what was forgotten, once",
            self.count, self.held
        )
    }
}

impl std::error::Error for ReleaseError {}

struct Acquire(usize);

impl<'a> Ask<'a> for Acquire {
    type Shared = LoopBound<State>;
    type Output = Permit<'a>;
    const WHAT: &'static str = "semaphore";

    fn line(state: &State) -> &Waiters {
        &state.line
    }

    fn resource(state: &State) -> &Resource {
        &state.row
    }

    fn wants(&self) -> usize {
        self.0
    }

    #[inline]
    fn now(&mut self, shared: &'a Arc<LoopBound<State>>, state: &State) -> Option<Permit<'a>> {
        let places = state.acquire(self.0)?;
        Some(Permit::new(shared, self.0, places))
    }

    fn granted(
        &mut self,
        shared: &'a Arc<LoopBound<State>>,
        state: &State,
        word: usize,
    ) -> Option<Permit<'a>> {
        state.row.used();
        Some(Permit::new(shared, word, state.list(word)))
    }

    fn seen(state: &State) {
        state.seen();
    }

    fn left(state: &State, left: Left) {
        state.seen();
        match left {
            Left::Granted(count) => state.give(count),
            // It may have been the one who asked for much and held up those behind.
            Left::Waiting => state.serve(),
            Left::Outside => {}
        }
    }
}

/// Permits of a semaphore, given back when this is dropped, on any thread.
#[must_use = "permits are free again as soon as this is dropped"]
pub struct Permit<'a> {
    shared: &'a Arc<LoopBound<State>>,
    count: usize,
    /// Where the row names who has them.
    places: u8,
}

/// A `Permit` with a handle on the semaphore of its own.
#[must_use = "permits are free again as soon as this is dropped"]
pub struct OwnedPermit {
    shared: Arc<LoopBound<State>>,
    count: usize,
    places: u8,
}

impl<'a> Permit<'a> {
    #[inline]
    fn new(shared: &'a Arc<LoopBound<State>>, count: usize, places: u8) -> Self {
        Self {
            shared,
            count,
            places,
        }
    }

    /// The same, with a handle on the semaphore of its own: it may move into a task.
    ///
    /// ```
    /// # use loop_runtime::sync::Semaphore;
    /// # loop_runtime::run(async {
    /// let slots = Semaphore::new(1);
    /// let permit = slots.acquire().await.into_owned();
    /// let task = loop_runtime::create_task(async move { drop(permit) });
    /// slots.acquire().await.forget();
    /// task.await.unwrap();
    /// # }).unwrap();
    /// ```
    #[doc(alias = "acquire_owned")]
    pub fn into_owned(mut self) -> OwnedPermit {
        if let Ok(state) = self.shared.get() {
            state.row.permits_may_move(self.places);
        }
        OwnedPermit {
            count: std::mem::take(&mut self.count),
            places: self.places,
            shared: self.shared.clone(),
        }
    }
}

macro_rules! permit {
    ($permit:ty, $name:literal) => {
        impl $permit {
            /// Keeps the permits out until somebody calls `release`.
            ///
            /// Panics: called away from its loop.
            #[track_caller]
            pub fn forget(mut self) {
                let state = here(&self.shared, "semaphore");
                let count = std::mem::take(&mut self.count);
                state.unlist(count, self.places);
                state.row.mark(state::BY_HAND, true);
                state.forgotten.set(state.forgotten.get() + count);
            }
        }

        impl fmt::Debug for $permit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name)
                    .field("count", &self.count)
                    .finish_non_exhaustive()
            }
        }

        impl Drop for $permit {
            #[inline]
            fn drop(&mut self) {
                let count = std::mem::take(&mut self.count);
                if count > 0 {
                    // A closed loop has nobody to give them to.
                    let places = self.places;
                    let _ = at_home(&self.shared, move |state| {
                        state.unlist(count, places);
                        state.give(count);
                    });
                }
            }
        }
    };
}

permit!(Permit<'_>, "Permit");
permit!(OwnedPermit, "OwnedPermit");
