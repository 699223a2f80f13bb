//! Which item of a queue is next. Knows no loop and nobody who waits.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::ops::Deref;
use std::panic::Location;

use super::Queue;

mod sealed {
    pub trait Sealed {}
}

/// Items, and which of them is next. Not for others to implement.
pub trait Order<T>: sealed::Sealed + Send + 'static {
    /// None yet.
    #[doc(hidden)]
    fn new() -> Self;
    /// Adds one.
    #[doc(hidden)]
    fn push(&mut self, item: T);
    /// Takes the next.
    #[doc(hidden)]
    fn pop(&mut self) -> Option<T>;
    /// How many there are.
    #[doc(hidden)]
    fn count(&self) -> usize;
}

/// First in, first out.
pub struct Fifo<T>(VecDeque<T>);

impl<T> sealed::Sealed for Fifo<T> {}

impl<T: Send + 'static> Order<T> for Fifo<T> {
    fn new() -> Self {
        Self(VecDeque::new())
    }

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

/// Last in, first out.
pub struct Lifo<T>(Vec<T>);

impl<T> sealed::Sealed for Lifo<T> {}

impl<T: Send + 'static> Order<T> for Lifo<T> {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

/// The smallest first.
pub struct Smallest<T> {
    heap: BinaryHeap<Ranked<T>>,
    next: u64,
}

/// Greater if it comes out earlier: the smaller item, of equal ones the older.
struct Ranked<T> {
    item: T,
    number: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let items = other.item.cmp(&self.item);
        items.then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T> sealed::Sealed for Smallest<T> {}

impl<T: Ord + Send + 'static> Order<T> for Smallest<T> {
    fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
        }
    }

    fn push(&mut self, item: T) {
        let number = self.next;
        self.next += 1;
        self.heap.push(Ranked { item, number });
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|ranked| ranked.item)
    }

    fn count(&self) -> usize {
        self.heap.len()
    }
}

/// A `Queue` that gives the smallest item first; of equal ones, the one that was put first.
///
/// Has the methods of `Queue`.
/// Source: asyncio's `PriorityQueue`.
///
/// ```
/// use std::cmp::Reverse;
/// use loop_runtime::sync::PriorityQueue;
/// loop_runtime::run(async {
///     let jobs = PriorityQueue::new(0);
///     for job in [(2, "later"), (1, "soon"), (2, "last")] {
///         jobs.put(job).await.unwrap();
///     }
///     assert_eq!(jobs.get().await.unwrap(), (1, "soon"));
///     let greatest_first = PriorityQueue::new(0);
///     greatest_first.put(Reverse(1)).await.unwrap();
///     greatest_first.put(Reverse(9)).await.unwrap();
///     assert_eq!(greatest_first.get().await.unwrap(), Reverse(9));
/// })
/// .unwrap();
/// ```
pub struct PriorityQueue<T: Ord + Send + 'static>(Queue<T, Smallest<T>>);

/// A `Queue` that gives the item first that was put last.
///
/// Has the methods of `Queue`.
/// Source: asyncio's `LifoQueue`.
///
/// ```
/// use loop_runtime::sync::LifoQueue;
/// loop_runtime::run(async {
///     let stack = LifoQueue::new(0);
///     stack.put(1).await.unwrap();
///     stack.put(2).await.unwrap();
///     assert_eq!(stack.get().await.unwrap(), 2);
/// })
/// .unwrap();
/// ```
pub struct LifoQueue<T: Send + 'static>(Queue<T, Lifo<T>>);

macro_rules! queue {
    ($name:ident, $order:ident, $($bound:tt)*) => {
        impl<T: $($bound)*> $name<T> {
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
                Self(Queue::made(name, capacity, Location::caller()))
            }
        }

        impl<T: $($bound)*> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T: $($bound)*> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }

        impl<T: $($bound)*> Deref for $name<T> {
            type Target = Queue<T, $order<T>>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };
}

queue!(PriorityQueue, Smallest, Ord + Send + 'static);
queue!(LifoQueue, Lifo, Send + 'static);
