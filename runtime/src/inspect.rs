//! Reading, judging and telling what loops recorded. Standard threads only: its imports show that
//! observing cannot touch a loop.

pub(crate) mod blocks;
pub(crate) mod cause;
pub(crate) mod stack;
pub(crate) mod watchdog;
