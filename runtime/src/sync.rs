//! What tasks wait for that is neither time nor I/O: futures, locks, queues and channels.
//!
//! All of it belongs to the loop that ran where it was made, so that nothing here costs an atomic
//! operation or a lock. Waiting for it on another loop, or asking it something there, panics and
//! says which loop it belongs to. What only gives works on every thread: the senders of channels,
//! `Event::set`, `Semaphore::release`, and the drop of guards and permits. There the loop does it
//! when it takes what other threads sent, in the order of sending.
//!
//! Lines are first come, first served. Who is cancelled while it waits leaves the line, and what it
//! was given and had not taken goes to the next.

pub(crate) mod asking;
mod barrier;
pub mod broadcast;
mod condition;
mod event;
mod future;
pub(crate) mod home;
mod lock;
pub mod mpsc;
pub mod oneshot;
pub mod queue;
pub(crate) mod resource;
pub(crate) mod seat;
mod semaphore;
pub(crate) mod sending;
pub(crate) mod waiters;
pub mod watch;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::{Condition, Interrupted};
pub use event::Event;
pub use future::{FutureError, InvalidState, LoopFuture, Promise, create_future};
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use queue::{
    GetError, LifoQueue, PriorityQueue, PutError, Queue, QueueShutDown, TaskDoneTooOften,
};
pub use semaphore::{BoundedSemaphore, OwnedPermit, Permit, ReleaseError, Semaphore};

#[cfg(test)]
mod tests;
