//! The messages and the service of `proto/inspect/v1`, generated. Knows nothing but the schema;
//! `tests/generated.rs` keeps it equal to it.

// The generator chooses names and forms; the schema's prose is what is kept in order.
#![allow(clippy::all, missing_docs, rustdoc::all, unreachable_pub)]

include!("generated/inspect.v1.rs");

/// The service's name on the wire.
pub const SERVICE: &str = "inspect.v1.Inspect";

/// The service's calls, as paths on the wire. A list of what may be called must name each.
pub const METHODS: [&str; 6] = [
    "/inspect.v1.Inspect/Hello",
    "/inspect.v1.Inspect/Watch",
    "/inspect.v1.Inspect/WatchEvents",
    "/inspect.v1.Inspect/Task",
    "/inspect.v1.Inspect/Command",
    "/inspect.v1.Inspect/Judge",
];
