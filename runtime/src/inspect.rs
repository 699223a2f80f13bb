//! Reading, judging and telling what loops recorded. Standard threads only: its imports show that
//! observing cannot touch a loop.

pub(crate) mod blocks;
pub(crate) mod calls;
pub(crate) mod cause;
pub(crate) mod census;
pub(crate) mod desk;
pub(crate) mod detail;
pub(crate) mod events;
pub(crate) mod flight;
pub(crate) mod graph;
pub(crate) mod helpers;
pub(crate) mod history;
pub(crate) mod ids;
pub(crate) mod judge;
mod keepers;
pub(crate) mod live;
pub(crate) mod names;
pub(crate) mod places;
pub(crate) mod snapshot;
pub(crate) mod stack;
pub(crate) mod strips;
pub(crate) mod tables;
pub(crate) mod texts;
pub(crate) mod verdict;
pub(crate) mod view;
pub(crate) mod waiters;
pub(crate) mod waits;
pub(crate) mod watchdog;
pub(crate) mod wire;
