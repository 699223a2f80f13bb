//! `Queue`, `PriorityQueue` and `LifoQueue`: items between tasks, counted until they are done.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::home::{here, share};
use super::resource::Resource;
use super::waiters::Waiters;
use crate::record::bound::LoopBound;
use crate::record::resource::{Kind, state};

mod asks;
mod error;
mod order;

pub use error::{GetError, PutError, QueueShutDown, TaskDoneTooOften};
pub use order::{Fifo, Lifo, LifoQueue, Order, PriorityQueue, Smallest};

use super::asking::Asking;
use asks::{Get, Join, Put};

/// Whether a queue takes and gives items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shut {
    Open,
    /// Takes none, and gives what it has.
    Draining,
    /// Takes and gives none.
    Now,
}

pub(crate) struct State<T, O> {
    items: RefCell<O>,
    /// 0: no bound.
    capacity: usize,
    getters: Waiters,
    putters: Waiters,
    joiners: Waiters,
    /// Items that are there but belong to getters that were granted one.
    promised: Cell<usize>,
    /// Room that is there but belongs to putters that were granted it.
    reserved: Cell<usize>,
    /// Items put and not yet said to be done.
    unfinished: Cell<usize>,
    shut: Cell<Shut>,
    row: Resource,
    _items: std::marker::PhantomData<T>,
}

/// What a waiting getter or putter is granted: an item or room that is its own now, or the end.
const GO: usize = 0;
const END: usize = 1;

impl<T, O: Order<T>> State<T, O> {
    fn has_item(&self) -> bool {
        self.items.borrow().count() > self.promised.get()
    }

    fn has_room(&self) -> bool {
        self.capacity == 0 || self.items.borrow().count() + self.reserved.get() < self.capacity
    }

    /// Puts an item for which there is room.
    fn push(&self, item: T) {
        let level = {
            let mut items = self.items.borrow_mut();
            items.push(item);
            items.count()
        };
        self.unfinished.set(self.unfinished.get() + 1);
        self.row.taken(level);
        self.serve_getters();
    }

    /// Takes an item that is nobody else's.
    fn pop(&self) -> Option<T> {
        let (item, level) = {
            let mut items = self.items.borrow_mut();
            (items.pop(), items.count())
        };
        self.row.level(level);
        self.serve_putters();
        if level == 0 && self.shut.get() != Shut::Open {
            // That was the last there will ever be.
            self.getters.grant_all(|_| END);
            self.seen();
        }
        item
    }

    fn serve_getters(&self) {
        while !self.getters.is_empty() && self.has_item() {
            self.promised.set(self.promised.get() + 1);
            self.getters.grant(GO);
            self.seen();
        }
    }

    fn serve_putters(&self) {
        while !self.putters.is_empty() && self.has_room() {
            self.reserved.set(self.reserved.get() + 1);
            self.putters.grant(GO);
            self.seen();
        }
    }

    /// Whether nobody will get an item any more.
    fn is_over(&self) -> bool {
        match self.shut.get() {
            Shut::Open => false,
            Shut::Draining => self.items.borrow().count() == 0,
            Shut::Now => true,
        }
    }

    fn done(&self, count: usize) -> bool {
        let Some(left) = self.unfinished.get().checked_sub(count) else {
            return false;
        };
        self.unfinished.set(left);
        if left == 0 && self.joiners.grant_all(|_| GO) > 0 {
            self.seen();
        }
        true
    }

    /// Shuts the queue, and gives the items that nobody will get.
    fn shut_down(&self, immediate: bool) -> Vec<T> {
        if self.shut.get() == Shut::Now || !immediate && self.shut.get() == Shut::Draining {
            return Vec::new();
        }
        self.shut
            .set(if immediate { Shut::Now } else { Shut::Draining });
        self.row.mark(state::SET, true);
        let mut dropped = Vec::new();
        if immediate {
            self.promised.set(0);
            let mut items = self.items.borrow_mut();
            dropped.extend(std::iter::from_fn(|| items.pop()));
            drop(items);
            self.row.level(0);
            self.done(dropped.len());
        }
        self.putters.grant_all(|_| END);
        if self.is_over() {
            self.getters.grant_all(|_| END);
        }
        self.seen();
        dropped
    }

    fn seen(&self) {
        let lines = [&self.getters, &self.putters, &self.joiners];
        let first = lines.iter().find(|line| !line.is_empty());
        let waiters = lines.iter().map(|line| line.len()).sum();
        self.row
            .waited_for(first.map_or(0, |line| line.first_task()), waiters);
    }
}

type Shared<T, O> = Arc<LoopBound<State<T, O>>>;

/// Items from those who put to those who get, first in, first out.
///
/// It belongs to the loop that ran where it was made, and a clone is the same queue. Who waits
/// goes on in the order of asking; an item or room that somebody was given and did not live to
/// take goes to the next. `PriorityQueue` and `LifoQueue` differ in which item is next, no more.
///
/// Records: a resource of kind queue, with its items and its bound, who waits, how often an item
/// was put and how often a put or get had to wait.
/// Source: asyncio's `Queue`.
///
/// ```
/// use loop_runtime::sync::Queue;
/// loop_runtime::run(async {
///     let jobs = Queue::new(2);
///     let theirs = jobs.clone();
///     let worker = loop_runtime::create_task(async move {
///         let mut sum = 0;
///         while let Ok(job) = theirs.get().await {
///             sum += job;
///             theirs.task_done().unwrap();
///         }
///         sum
///     });
///     for job in 1..=10 {
///         jobs.put(job).await.unwrap(); // Waits while two are there.
///     }
///     jobs.join().await; // All are done.
///     jobs.shutdown(false);
///     assert_eq!(worker.await.unwrap(), 55);
/// })
/// .unwrap();
/// ```
pub struct Queue<T: Send + 'static, O: Order<T> = order::Fifo<T>> {
    shared: Shared<T, O>,
}

impl<T: Send, O: Order<T>> Clone for Queue<T, O> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T: Send, O: Order<T>> fmt::Debug for Queue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("loop", &self.shared.made_on())
            .finish_non_exhaustive()
    }
}

impl<T: Send> Queue<T> {
    /// A queue of the running loop for at most `capacity` items; 0 for no bound.
    ///
    /// Panics: no loop runs on this thread.
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        Self::named("", capacity)
    }

    /// As `new`, with a name for the screen. Names are kept for ever: use few.
    #[track_caller]
    pub fn named(name: &str, capacity: usize) -> Self {
        Self::made(name, capacity, Location::caller())
    }
}

impl<T: Send, O: Order<T>> Queue<T, O> {
    #[track_caller]
    fn made(name: &str, capacity: usize, place: &'static Location<'static>) -> Self {
        let shared = share(|organs| State {
            items: RefCell::new(O::new()),
            capacity,
            getters: Waiters::new(),
            putters: Waiters::new(),
            joiners: Waiters::new(),
            promised: Cell::new(0),
            reserved: Cell::new(0),
            unfinished: Cell::new(0),
            shut: Cell::new(Shut::Open),
            row: Resource::new(organs, Kind::Queue, name, place),
            _items: std::marker::PhantomData,
        });
        here(&shared, "queue").row.capacity(capacity);
        Self { shared }
    }

    #[track_caller]
    fn state(&self) -> &State<T, O> {
        here(&self.shared, "queue")
    }

    /// Puts an item, once there is room.
    ///
    /// Errors: `QueueShutDown`, with the item, if the queue is shut down, also while this waits.
    /// Panics: polled away from its loop.
    /// Cancel: dropping it drops the item, which is not in the queue then; room that it was given
    /// goes to the next.
    #[doc(alias = "send")]
    pub fn put(
        &self,
        item: T,
    ) -> impl Future<Output = Result<(), QueueShutDown<T>>> + Send + Unpin + '_ {
        Asking::new(&self.shared, Put::new(item))
    }

    /// Puts an item if there is room now.
    ///
    /// Errors: `PutError`, with the item.
    /// Panics: called away from its loop.
    #[doc(alias = "try_send")]
    #[track_caller]
    pub fn put_nowait(&self, item: T) -> Result<(), PutError<T>> {
        let state = self.state();
        if state.shut.get() != Shut::Open {
            Err(PutError::ShutDown(item))
        } else if state.has_room() {
            state.push(item);
            Ok(())
        } else {
            Err(PutError::Full(item))
        }
    }

    /// Takes the next item, once there is one.
    ///
    /// Errors: `QueueShutDown`, if the queue is shut down and has no items for this.
    /// Panics: polled away from its loop.
    /// Cancel: dropping it leaves the item in the queue; if it was this one's already, the next
    /// one who waits gets it.
    #[doc(alias = "recv")]
    pub fn get(&self) -> impl Future<Output = Result<T, QueueShutDown>> + Send + Unpin + '_ {
        Asking::new(&self.shared, Get::new())
    }

    /// Takes the next item if there is one now that is nobody else's.
    ///
    /// Errors: `GetError`.
    /// Panics: called away from its loop.
    #[doc(alias = "try_recv")]
    #[track_caller]
    pub fn get_nowait(&self) -> Result<T, GetError> {
        let state = self.state();
        if state.is_over() {
            Err(GetError::ShutDown)
        } else if state.has_item() {
            Ok(state.pop().expect("it has an item"))
        } else {
            Err(GetError::Empty)
        }
    }

    /// States that an item which was taken is done; the last one ends the waits of `join`.
    ///
    /// Errors: `TaskDoneTooOften`, if there are not that many items.
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn task_done(&self) -> Result<(), TaskDoneTooOften> {
        match self.state().done(1) {
            true => Ok(()),
            false => Err(TaskDoneTooOften),
        }
    }

    /// Waits until all items that were put are done.
    ///
    /// Panics: polled away from its loop.
    pub fn join(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Asking::new(&self.shared, Join::new())
    }

    /// Takes no more items, and gives what it has; if `immediate`, gives none either: what it had
    /// is returned, and counts as done. Who waits for what cannot come any more gets an error.
    ///
    /// Panics: called away from its loop.
    ///
    /// ```
    /// # use loop_runtime::sync::{GetError, Queue};
    /// # loop_runtime::run(async {
    /// let jobs = Queue::new(0);
    /// jobs.put_nowait("a").unwrap();
    /// jobs.put_nowait("b").unwrap();
    /// jobs.shutdown(false);
    /// assert!(jobs.put("c").await.is_err());
    /// assert_eq!(jobs.get().await.unwrap(), "a");
    /// assert_eq!(jobs.shutdown(true), ["b"]);
    /// assert_eq!(jobs.get_nowait(), Err(GetError::ShutDown));
    /// # }).unwrap();
    /// ```
    #[doc(alias = "close")]
    #[track_caller]
    pub fn shutdown(&self, immediate: bool) -> Vec<T> {
        self.state().shut_down(immediate)
    }

    /// Items that are there.
    ///
    /// Panics: called away from its loop.
    #[doc(alias = "qsize")]
    #[track_caller]
    pub fn len(&self) -> usize {
        self.state().items.borrow().count()
    }

    /// Whether no item is there.
    ///
    /// Panics: called away from its loop.
    #[doc(alias = "empty")]
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether as many items are there as may be.
    ///
    /// Panics: called away from its loop.
    #[doc(alias = "full")]
    #[track_caller]
    pub fn is_full(&self) -> bool {
        let state = self.state();
        state.capacity != 0 && state.items.borrow().count() >= state.capacity
    }

    /// How many items may be there; 0 for no bound.
    ///
    /// Panics: called away from its loop.
    #[doc(alias = "maxsize")]
    #[track_caller]
    pub fn capacity(&self) -> usize {
        self.state().capacity
    }

    /// Items that were put and are not done.
    ///
    /// Panics: called away from its loop.
    #[track_caller]
    pub fn unfinished(&self) -> usize {
        self.state().unfinished.get()
    }
}
