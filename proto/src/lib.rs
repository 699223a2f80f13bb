//! The schema in which an app streams what its event loops recorded, and the pure code that both
//! ends share. Knows no socket, no clock, no file and no terminal.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod endpoint;
pub mod pb;
pub mod version;

pub mod row;
pub mod table;

pub mod filter;
pub mod page;
pub mod sort;
pub mod suggest;

pub mod blocking;
pub mod budget;
pub mod finding;

pub mod escape;
pub mod message;
pub mod quantile;
pub mod recording;
mod viewer;

#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
