//! What tasks wait for that is neither time nor I/O: futures for now; locks and queues follow.

mod future;
#[allow(dead_code)] // Filled before they are used.
pub(crate) mod resource;
#[allow(dead_code)]
pub(crate) mod waiters;

pub use future::{FutureError, InvalidState, LoopFuture, Promise, create_future};
