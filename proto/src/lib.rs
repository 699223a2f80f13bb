//! The schema in which an app streams what its event loops recorded, and the pure code that both
//! ends share. Knows no socket, no clock, no file and no terminal.

#![forbid(unsafe_code)]

pub mod escape;
pub mod pb;
pub mod quantile;
pub mod version;
