//! Several tasks at once: groups, `gather`, `wait`, `shield`, limits of time, and tokens.
//!
//! Knows tasks, their cancels and the row that shows who waits for how many; knows no I/O.

mod error;
mod member;
mod scope;

pub use error::{Cause, Failed, Failure, GroupClosed, GroupError};
pub use scope::{GroupScope, TaskGroup};
