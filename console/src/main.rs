//! Being laid out: the command line comes here. Calls the library.
fn main() {}
