//! An event loop in the shape of asyncio that records everything it does.
#![allow(dead_code)] // Until every layer stands on the one below.

mod atomic;
mod blocking;
mod clock;
mod id;
mod os;
mod reactor;
mod record;
mod timers;

pub use id::{LoopId, RowId, TaskId};
pub use record::bound::WrongLoop;
