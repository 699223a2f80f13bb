//! B64-B68: signals, children, fork.
