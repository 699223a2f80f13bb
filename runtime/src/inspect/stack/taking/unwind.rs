//! The stack of another thread: copied, and walked to frames. Runs on the watchdog.
//!
//! A thread that waits in the kernel is read from outside first, which its calls do not notice;
//! only if that does not reach the frame that polls is it signalled. Resolves no names.

use std::sync::atomic::Ordering;

use super::super::{How, Sampler, Stack};
use super::capture::{self, Bounds, Capture, Registers};
use super::walk::Walker;
use crate::clock;
use crate::inspect::cause::InCall;
use crate::inspect::cause::proc::Probe;
use crate::record::LoopRecord;

/// Stands for a frame pointer that is not known: not null, which would mean the outermost frame,
/// and no address.
const NO_POINTER: u64 = 8;

pub(crate) struct Unwinding {
    capture: Capture,
    walker: Walker,
}

impl Unwinding {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self {
            capture: Capture::new()?,
            walker: Walker::new(),
        })
    }

    /// Ticks that the last handler took.
    pub(crate) fn handler_took(&self) -> u64 {
        self.capture.took()
    }

    /// Reads a thread that waits in the kernel. `None`: it does not, or that does not suffice.
    fn read_outside(&mut self, probe: &Probe, bounds: Bounds) -> Option<Stack> {
        // A thread whose CPU clock stands still from here to the end has not moved.
        let cpu = probe.read().cpu?;
        // It has not run since, or what is read here is thrown away.
        let at = clock::ticks();
        let call = probe.call()?;
        let (InCall::Call { sp, pc, .. } | InCall::Fault { sp, pc }) = call else {
            return None;
        };
        let length = (bounds.limit(sp)? - sp) as usize;
        self.walker.stack.resize(length, 0);
        let read = capture::read_memory(sp, &mut self.walker.stack);
        self.walker.stack.truncate(read);
        if probe.call() != Some(call) || probe.read().cpu != Some(cpu) {
            return None;
        }
        let registers = Registers {
            pc,
            sp,
            fp: NO_POINTER,
            lr: NO_POINTER,
        };
        let mut stack = self.walker.walk(registers, bounds.base, How::Outside);
        stack.at = at;
        // Frame and link registers are not told: where a frame needs them the walk ends early.
        stack.complete.then_some(stack)
    }
}

impl Sampler for Unwinding {
    fn take(&mut self, record: &LoopRecord, probe: &Probe) -> Result<Stack, String> {
        let word = |index: usize| record.facts.stack[index].load(Ordering::Relaxed);
        let (low, size) = (word(0), word(1));
        if size == 0 {
            return Err("the bounds of the thread's stack are not known".to_owned());
        }
        let base = record.current.read().map_or(0, |moment| moment.base as u64);
        let bounds = Bounds {
            low,
            high: low + size,
            base,
        };
        if let Some(stack) = self.read_outside(probe, bounds) {
            return Ok(stack);
        }
        if probe.blocks(self.capture.signal()) == Some(true) {
            return Err(format!(
                "the thread blocks signal {}",
                self.capture.signal()
            ));
        }
        let registers = {
            // While this is held the loop cannot leave the thread.
            let (_leaving, tid) = record.signalling();
            if tid != probe.tid {
                return Err("the loop has left its thread".to_owned());
            }
            let before = probe.read().cpu;
            let queues = || probe.is_runnable() && before.is_some() && probe.read().cpu == before;
            self.capture
                .ask(tid, bounds, &mut self.walker.stack, queues)?
        };
        if self.walker.stack.is_empty() {
            return Err("the thread runs on a stack of its own making".to_owned());
        }
        let mut stack = self.walker.walk(registers, base, How::Signal);
        stack.at = self.capture.at();
        Ok(stack)
    }
}

#[cfg(test)]
mod tests;
