//! Several tasks at once: groups, `gather`, `wait`, `shield`, limits of time, and tokens.
//!
//! Knows tasks, their cancels and the row that shows who waits for how many; knows no I/O.

mod arms;
mod crowd;
mod error;
mod gather;
mod join_set;
mod limit;
mod member;
mod scope;
mod shield;
#[cfg(test)]
mod tests;
mod token;
mod wait;
mod wait_for;

pub use error::{Cause, Failed, Failure, GroupClosed, GroupError};
pub use gather::{Gather, GatherAll, GatherError, Tasks, TryGather, gather};
pub use join_set::{JoinNext, JoinSet};
pub use limit::{LimitOver, TimeLimit, TimeoutScope, timeout_scope, timeout_scope_at};
pub use scope::{GroupScope, TaskGroup};
pub use shield::{Shield, shield};
pub use token::{CancellationToken, DropGuard};
pub use wait::{AsCompleted, Next, ReturnWhen, Wait, as_completed, wait};
pub use wait_for::{Cancellable, WaitError, WaitFor, wait_for};

pub(crate) mod private {
    //! What the macros call.
    pub use super::arms::{Arm, Item, Spawned, arm};
    pub use super::gather::gather_all;
}
