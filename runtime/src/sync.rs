//! What tasks wait for that is neither time nor I/O: futures for now; locks and queues follow.

mod future;

pub use future::{FutureError, InvalidState, LoopFuture, Promise, create_future};
