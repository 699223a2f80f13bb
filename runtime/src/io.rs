//! Reading and writing without blocking the loop: the traits, and what all sources share.
//!
//! Streams implement the traits of `futures-io`, so the combinators of `futures-util` work on
//! them, and, with the features `inspect`, `web` or `client`, carry hyper's connections. Knows
//! readiness; knows no addresses.

pub use futures_io::{AsyncRead, AsyncWrite};

#[cfg(unix)]
mod async_fd;
#[cfg(any(feature = "inspect", feature = "web", feature = "client"))]
mod hyper;
pub(crate) mod op;
#[cfg(unix)]
mod pipe;
pub(crate) mod registered;
pub(crate) mod transfer;
#[cfg(unix)]
mod watch;

#[cfg(unix)]
pub use self::async_fd::AsyncFd;
#[cfg(any(feature = "inspect", feature = "web", feature = "client"))]
pub use self::hyper::{HyperExecutor, HyperIo, HyperTimer};
#[cfg(unix)]
pub use self::pipe::{PipeReader, PipeWriter, pipe};
