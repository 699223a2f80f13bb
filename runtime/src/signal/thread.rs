//! How a signal's handler reaches its loop on Windows: as any other thread does, by an errand.
//!
//! There the handler is an ordinary function: the system calls it on a thread of its own, or
//! `raise` on the caller's. Knows flags and actions of signals, and nothing of who listens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;

use super::fanout;
use crate::context::Organs;
use crate::id::LoopId;
use crate::os;
use crate::record::bound;

/// The way to one loop.
pub(super) struct Bell {
    on: LoopId,
}

impl Bell {
    pub(super) fn hang(organs: &Organs) -> io::Result<Self> {
        Ok(Self {
            on: organs.record.id,
        })
    }

    /// Has `signal` set `came` and ring; what was registered for that goes to `actions`.
    pub(super) fn ring_at(
        &self,
        signal: i32,
        came: &Arc<AtomicBool>,
        actions: &mut Vec<SigId>,
    ) -> io::Result<()> {
        let (on, came) = (self.on, came.clone());
        let action = os::on_signal(signal, move || {
            // An errand is under way already where the flag is set.
            if !came.swap(true, Ordering::SeqCst) {
                let errand = move || {
                    if let Some(fanout) = fanout::of(on) {
                        fanout.serve();
                    }
                };
                // A loop that is closed listens to nothing.
                let _ = bound::send(on, Box::new(errand));
            }
        })?;
        actions.push(action);
        Ok(())
    }

    /// Rings by itself at the next signal; whether the loop runs here, which an errand's does.
    pub(super) fn silence(&self, on: LoopId) -> bool {
        bound::here() == Some(on)
    }

    pub(super) fn take_down(&self) {}
}
