//! The first of several signals, for a program's way out. Knows what a loop hears of signals.

use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use signal_hook::{SigId, low_level};

use super::{Deliveries, Signal, default_from_second, listen};

/// Both halves of a program's way out: the first of some signals is for the app, the second ends
/// the process, in the kernel's handler, so that this works while the loop is blocked.
#[must_use = "dropping it gives the signals their default back"]
#[derive(Debug)]
pub(crate) struct FirstOf {
    deliveries: Vec<Deliveries>,
    actions: Vec<SigId>,
}

impl Drop for FirstOf {
    fn drop(&mut self) {
        for action in self.actions.drain(..) {
            low_level::unregister(action);
        }
    }
}

/// Listens to `signals`; from the first one on, the next has its default effect.
///
/// Errors: as `listen`.
pub(crate) fn first_of(signals: &[Signal]) -> io::Result<FirstOf> {
    let once = Arc::new(AtomicBool::new(false));
    let mut first = FirstOf {
        deliveries: Vec::new(),
        actions: Vec::new(),
    };
    for signal in signals {
        first.deliveries.push(listen(*signal)?);
    }
    for signal in signals {
        first.actions.extend(default_from_second(signal.0, &once)?);
    }
    Ok(first)
}

impl FirstOf {
    /// Waits for the first of the signals.
    pub(crate) fn came(&mut self) -> impl Future<Output = io::Result<Signal>> + Send + Unpin + '_ {
        Came { of: self }
    }
}

struct Came<'a> {
    of: &'a mut FirstOf,
}

impl Future for Came<'_> {
    type Output = io::Result<Signal>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        for deliveries in &self.of.deliveries {
            if let Poll::Ready(came) = deliveries.poll(cx, place) {
                return Poll::Ready(came.map(|()| deliveries.signal));
            }
        }
        Poll::Pending
    }
}
