//! The words of a ring: memory of its own, or a part of a file that outlives the process. Knows not
//! what stands in them.
//!
//! Loom test: `record/ring/model.rs`, with words of its own.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::atomic::AtomicU64;

/// A part of a file, lent to a ring: who lent it sees by it whether anybody still writes there.
pub(crate) struct Lease {
    /// Grown by whoever has the words.
    file: Arc<std::fs::File>,
    /// Where they begin, in bytes.
    offset: u64,
    /// Words that have space in the file. What lies behind is a hole, and not to be touched.
    room: AtomicUsize,
    /// Why there is not more.
    trouble: OnceLock<io::Error>,
}

impl Lease {
    /// The words of `file` from byte `offset` on, `room` of which have space.
    pub(crate) fn new(file: Arc<std::fs::File>, offset: u64, room: usize) -> Arc<Self> {
        Arc::new(Self {
            file,
            offset,
            room: AtomicUsize::new(room),
            trouble: OnceLock::new(),
        })
    }

    /// Words that have space.
    #[cfg_attr(not(feature = "inspect"), allow(dead_code))]
    pub(crate) fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// Why the ring got no more space when it needed it.
    #[cfg_attr(not(feature = "inspect"), allow(dead_code))]
    pub(crate) fn trouble(&self) -> Option<&io::Error> {
        self.trouble.get()
    }
}

/// Words that any thread may read while one writes.
pub(crate) struct Words {
    start: NonNull<AtomicU64>,
    length: usize,
    /// Mapped from a file, to be unmapped; else allocated, to be freed. Dropped with it, which tells
    /// whoever lent the part of the file.
    file: Option<Arc<Lease>>,
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

    /// The first `length` words of what was lent, shared with whoever reads the file.
    ///
    /// Whoever can write the file can only change what is reported, and others cannot open it.
    /// Errors: the kernel's.
    #[cfg(all(target_os = "linux", not(loop_model)))]
    #[cfg_attr(not(any(feature = "inspect", test)), allow(dead_code))]
    pub(crate) fn map(lease: Arc<Lease>, length: usize) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        // SAFETY: the kernel chooses an address where nothing is; nothing else refers to it.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                length * size_of::<u64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &lease.file,
                lease.offset,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let words = Self {
            start,
            length,
            file: Some(lease),
        };
        words.populate(0, words.room());
        Ok(words)
    }

    /// Words that may be written: the others of a file's have no space yet.
    pub(crate) fn room(&self) -> usize {
        let room = self.file.as_ref().map(|lease| lease.room());
        room.map_or(self.length, |room| room.min(self.length))
    }

    /// Makes room for the first `wanted` words. Any thread; a system call, if there is none yet.
    ///
    /// Space first: a store into a hole of a file system that is full ends the process. Errors: the
    /// kernel's; the room is what it was.
    pub(crate) fn reserve(&self, wanted: usize) -> io::Result<()> {
        let (wanted, room) = (wanted.min(self.length), self.room());
        let Some(lease) = self.file.as_ref().filter(|_| room < wanted) else {
            return Ok(());
        };
        #[cfg(all(target_os = "linux", not(loop_model)))]
        {
            let bytes = |words: usize| (words * size_of::<u64>()) as u64;
            let flags = rustix::fs::FallocateFlags::empty();
            let from = lease.offset + bytes(room);
            rustix::fs::fallocate(&lease.file, flags, from, bytes(wanted - room))?;
            self.populate(room, wanted);
        }
        lease.room.fetch_max(wanted, Ordering::Relaxed);
        Ok(())
    }

    /// As `reserve`, by the ring, which has to do without if it fails: the lease has the reason then.
    pub(crate) fn grow(&self, wanted: usize) -> bool {
        let made = self.reserve(wanted);
        if let (Err(error), Some(lease)) = (made, &self.file) {
            let _ = lease.trouble.set(error);
            return false;
        }
        true
    }

    /// Has the pages in place before the loop would meet each for the first time. A kernel before
    /// 5.14 does not know how: the loop meets them, then.
    #[cfg(all(target_os = "linux", not(loop_model)))]
    fn populate(&self, from: usize, to: usize) {
        // Of the largest page that there is, and so of each.
        const PAGE: usize = (1 << 16) / size_of::<u64>();
        let from = from / PAGE * PAGE;
        let start = self[from..].as_ptr().cast_mut().cast();
        let bytes = (to - from) * size_of::<u64>();
        // SAFETY: the range is of this mapping, and has space; nothing in it changes.
        let _ =
            unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxPopulateWrite) };
    }

    /// Why there was no more room when it was needed.
    #[cfg(test)]
    pub(crate) fn trouble(&self) -> Option<&io::Error> {
        self.file.as_ref()?.trouble()
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
        // their type asks, initialised as zeroes or as the file has them, until `drop`. Behind `room` a file may end,
        // where a ring never goes.
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
