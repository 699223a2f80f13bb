//! Being laid out.
#![forbid(unsafe_code)]
