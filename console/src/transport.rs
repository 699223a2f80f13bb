//! How an app is found and talked to. Everything on this side of [`crate::store::Update`] and
//! [`crate::update::Ask`]: no screen knows a socket, and nothing here knows a screen.
//!
//! Reading order: [`address`] (what the user names), [`discover`] (where sockets lie), [`connect`] (from a name to a byte stream),
//! [`session`] (gRPC over it), [`pages`] (one question asked to the end), [`live`] (the screens' transport), [`relay`].
//! [`recording`] is the other kind of peer: a file that answers as an app does.

pub mod address;
pub mod connect;
pub mod discover;
pub mod live;
pub mod mailbox;
pub mod pages;
pub mod recording;
pub mod relay;
pub mod session;

use std::future::Future;
use std::time::Duration;

use crate::exit::{Exit, Failure};

/// How to reach apps.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long connecting may take, and an answer.
    pub timeout: Duration,
    /// Reach the app through this command's stdin and stdout.
    pub via: Option<String>,
    /// Ask for the role that may command.
    pub control: bool,
}

/// Runs a future on a loop of our own, which opens no endpoint.
///
/// Errors: the loop cannot be made.
pub fn on_loop<F>(main: F) -> Result<F::Output, Failure>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let no_loop = |why: String| {
        Failure::new(
            Exit::NoApp,
            format!("This console's own event loop cannot run: {why}."),
            "Raise the limit of open files: ulimit -n 1024.",
        )
    };
    let event_loop = loop_runtime::Builder::new()
        .internal()
        .name("console")
        .build()
        .map_err(|error| no_loop(error.to_string()))?;
    let result = event_loop
        .run_until_complete(main)
        .map_err(|error| no_loop(error.to_string()));
    // What still runs are readers of streams that nobody wants any more.
    let _ = event_loop.close();
    result
}
