//! The schema in which an app streams what its event loops recorded, and the pure code that both
//! ends share. Knows no socket, no clock, no file and no terminal.

#![forbid(unsafe_code)]

pub mod pb;
pub mod version;

pub mod filter;
pub mod row;
pub mod suggest;
pub mod table;

pub mod escape;
pub mod quantile;
