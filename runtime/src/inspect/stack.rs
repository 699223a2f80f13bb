//! The stack of a blocked loop: frames as module and offset at once, names when somebody found them.
//!
//! What is here is plain data, and the one line that says whether stacks can be taken. Knows
//! neither budgets nor verdicts.

use std::sync::Arc;

use super::cause::proc::Probe;
use crate::record::LoopRecord;

pub(crate) mod copies;
pub(crate) mod depot;
pub(crate) mod names;
pub(crate) mod samples;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(crate) mod taking;

/// One frame as it was found: no names, no look into the loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The object file. Empty: not known.
    pub(crate) module: Arc<str>,
    /// Its build id in hex digits. Empty: it has none.
    pub(crate) build_id: Arc<str>,
    /// The address as the file's symbol table counts; of a call, that of the call's last byte.
    pub(crate) offset: u64,
    /// The same in this process.
    pub(crate) address: u64,
    /// Where its function begins, as `offset`. `None`: no unwind information.
    pub(crate) function: Option<u64>,
}

impl Frame {
    /// Whether both lie in one function, as far as that is known without names.
    fn same_function(&self, other: &Self) -> bool {
        self.module == other.module
            && (self.offset == other.offset
                || self.function.is_some() && self.function == other.function)
    }
}

/// How a stack was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// A signal handler copied it.
    Signal,
    /// Read from outside, from a thread that waited in the kernel.
    Outside,
    /// The thread copied it itself.
    Itself,
}

/// One stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) frames: Vec<Frame>,
    /// It reaches down to the frame that polls.
    pub(crate) complete: bool,
    /// Tick at which it was taken.
    pub(crate) at: u64,
    pub(crate) how: How,
}

/// Takes stacks. One thread, the watchdog's, uses it.
pub(crate) trait Sampler: Send {
    /// The stack of the thread that runs `record`. Errors: why there is none, in words.
    fn take(&mut self, record: &LoopRecord, probe: &Probe) -> Result<Stack, String>;
}

/// Makes this process ready for taking stacks. Errors: why it cannot, in words.
pub(crate) fn sampler() -> Result<Box<dyn Sampler>, String> {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    return taking::unwind::Unwinding::new().map(|sampler| Box::new(sampler) as _);
    #[cfg(not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    Err("stacks are not built in, or not for this platform".to_owned())
}

/// Reads words of this process's memory through the kernel, which answers for what is not mapped.
/// Returns how many were read: none where that cannot be done.
pub(crate) fn read_words(address: u64, words: &mut [u64]) -> usize {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    return taking::capture::read_words(address, words);
    #[cfg(not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    {
        let _ = (address, words);
        0
    }
}

/// From now on whoever drops a last waker on a loop's thread leaves a copy of its stack.
pub(crate) fn copy_at_drops() {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    {
        taking::here::prepare();
        crate::record::drops::COPY_STACK.get_or_init(|| taking::here::copy);
    }
}
