//! Being laid out: the command line comes here. Calls the library.
#![forbid(unsafe_code)]
fn main() {}
