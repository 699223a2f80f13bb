//! The words of a ring: memory of its own, or a part of a file that outlives the process. Knows not
//! what stands in them.
//!
//! Loom test: `record/ring/model.rs`, with words of its own.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::atomic::AtomicU64;

/// Words that any thread may read while one writes.
pub(crate) struct Words {
    start: NonNull<AtomicU64>,
    length: usize,
    /// Mapped from a file, to be unmapped; else allocated, to be freed. Dropped with it, which tells
    /// whoever lent the part of the file.
    file: Option<Arc<()>>,
}

// SAFETY: all that is reached through it are atomics, and only its owner lets go of them.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Memory of our own, all 0. Pages that are never touched cost nothing.
    pub(crate) fn zeroed(length: usize) -> Self {
        #[cfg(not(loop_model))]
        let words: Box<[AtomicU64]> = {
            let zeroes = vec![0_u64; length].into_boxed_slice();
            let raw = Box::into_raw(zeroes) as *mut [AtomicU64];
            // SAFETY: an AtomicU64 has the size and alignment of the u64 that was allocated, and
            // every value of one is a value of the other.
            unsafe { Box::from_raw(raw) }
        };
        #[cfg(loop_model)]
        let words: Box<[AtomicU64]> = (0..length).map(|_| AtomicU64::new(0)).collect();
        let start = NonNull::from(Box::leak(words)).cast();
        Self {
            start,
            length,
            file: None,
        }
    }

    /// The words of `file` from byte `offset` on, shared with whoever reads the file.
    ///
    /// The space must have been allocated: a store into a hole of a full disk is the end of the
    /// process. Whoever can write the file can only change what is reported, and others cannot open
    /// it. Errors: the kernel's.
    #[cfg(all(target_os = "linux", not(loop_model)))]
    #[cfg_attr(not(any(feature = "inspect", test)), allow(dead_code))]
    pub(crate) fn map(
        file: &std::fs::File,
        offset: u64,
        length: usize,
        lease: Arc<()>,
    ) -> std::io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        // Populated: the loop should not meet each page for the first time itself.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses an address where nothing is; nothing else refers to it.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                length * size_of::<u64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
                file,
                offset,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            start,
            length,
            file: Some(lease),
        })
    }

    /// Whether they are a file's.
    pub(crate) fn is_file(&self) -> bool {
        self.file.is_some()
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline(always)]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `start` points to `length` words, allocated or mapped, aligned to a page or as
        // their type asks, initialised as zeroes or as the file has them, until `drop`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if self.file.is_some() {
            #[cfg(all(target_os = "linux", not(loop_model)))]
            {
                let start = self.start.as_ptr().cast();
                // SAFETY: the range is the one that `map` was given, and `&mut self` excludes users.
                let unmapped = unsafe { rustix::mm::munmap(start, self.length * size_of::<u64>()) };
                debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
            }
            return;
        }
        let words = std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.length);
        // SAFETY: the box of `zeroed`, given up there and by nobody since.
        drop(unsafe { Box::from_raw(words) });
    }
}
