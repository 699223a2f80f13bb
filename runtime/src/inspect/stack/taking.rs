//! How stacks are taken, walked and told, where that can be done: the feature `stacks`, on Linux, on
//! the processors that `capture` knows. What is found is the plain data of the module above.

pub(crate) mod capture;
pub(crate) mod dwarf;
pub(crate) mod here;
pub(crate) mod modules;
pub(crate) mod sections;
pub(crate) mod snap;
pub(crate) mod suspended;
pub(crate) mod symbols;
pub(crate) mod unwind;
pub(crate) mod walk;
