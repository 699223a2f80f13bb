//! Type-stable rows in chunks: one thread takes and returns slots, any thread reads them in place.
//!
//! A chunk is never freed or moved while the slab lives, so a reader may look at a row at any
//! moment; the row's id tells whether what it read belongs together. Knows nothing of what the
//! rows mean. Loom test: `record/slab/model.rs`.

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU64 as StdAtomicU64;

use crate::atomic::{AtomicPtr, AtomicU32, Ordering};

#[cfg(all(test, loop_model))]
mod model;

/// Rows per chunk; few in a model, where every row costs the explorer.
pub(crate) const CHUNK: usize = if cfg!(loop_model) { 2 } else { 1024 };

/// What a slab can hold: fields are atomics with one writer, vacant rows have id 0.
pub(crate) trait Row: Default + Send + Sync {
    fn id(&self) -> &StdAtomicU64;
}

type Chunk<T> = [T; CHUNK];

/// The rows that any thread may read.
pub(crate) struct Slab<T> {
    chunks: Box<[AtomicPtr<Chunk<T>>]>,
    /// Slots below this were handed out at least once.
    high: AtomicU32,
}

/// Where a slab's chunks lay at one moment, in order of address.
pub(crate) struct Finder<'a, T> {
    starts: Vec<usize>,
    _slab: &'a Slab<T>,
}

impl<'a, T> Finder<'a, T> {
    /// The row at `address`, if it is one of the slab's.
    pub(crate) fn at(&self, address: *const T) -> Option<&'a T> {
        let after = self
            .starts
            .partition_point(|start| *start <= address as usize);
        let start = self.starts.get(after.checked_sub(1)?)?;
        let offset = address as usize - start;
        if offset >= size_of::<Chunk<T>>() || !offset.is_multiple_of(size_of::<T>()) {
            return None;
        }
        // SAFETY: the address was just shown to be that of a row inside a chunk of the slab, and
        // chunks live as long as it does.
        Some(unsafe { &*address })
    }
}

/// The slots of one slab that are free. Belongs to the thread that owns the loop.
pub(crate) struct Slots {
    free: RefCell<Vec<u32>>,
    live: Cell<u32>,
}

impl<T: Row> Slab<T> {
    /// A slab for at most `rows` rows, rounded up to whole chunks. The directory is virtual memory
    /// until it is used.
    pub(crate) fn new(rows: usize) -> Self {
        let chunks = (0..rows.div_ceil(CHUNK))
            .map(|_| AtomicPtr::new(std::ptr::null_mut()))
            .collect();
        Self {
            chunks,
            high: AtomicU32::new(0),
        }
    }

    /// Slots that were ever used; a walk visits `0..slots()`.
    pub(crate) fn slots(&self) -> u32 {
        self.high.load(Ordering::Acquire)
    }

    /// Bytes of rows allocated so far.
    pub(crate) fn bytes(&self) -> usize {
        (self.slots() as usize).div_ceil(CHUNK) * size_of::<Chunk<T>>()
    }

    /// The row in `slot`, live or not; `None` if the slot was never handed out.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        if slot >= self.slots() {
            return None;
        }
        let chunk = self.chunks[slot as usize / CHUNK].load(Ordering::Acquire);
        debug_assert!(!chunk.is_null(), "an announced slot has its chunk");
        // SAFETY: `high` is raised, with Release, only after `chunk_for` stored the pointer of a
        // fully initialised chunk; a chunk lives until the slab is dropped, which `&self` excludes.
        Some(unsafe { &(*chunk)[slot as usize % CHUNK] })
    }

    /// The row at `address`, if it is one of this slab's. For readers that were handed a pointer.
    pub(crate) fn at(&self, address: *const T) -> Option<&T> {
        let chunks = (self.slots() as usize).div_ceil(CHUNK);
        self.chunks[..chunks].iter().find_map(|chunk| {
            let start = chunk.load(Ordering::Acquire) as usize;
            let offset = (address as usize).checked_sub(start)?;
            if offset >= size_of::<Chunk<T>>() || offset % size_of::<T>() != 0 {
                return None;
            }
            // SAFETY: the address was just shown to be that of a row inside a chunk of ours, and
            // chunks live as long as `self`.
            Some(unsafe { &*address })
        })
    }

    /// Answers as `at`, for many addresses: a snapshot of where the chunks lie.
    pub(crate) fn finder(&self) -> Finder<'_, T> {
        let chunks = (self.slots() as usize).div_ceil(CHUNK);
        let chunks = self.chunks[..chunks].iter();
        let mut starts: Vec<usize> = chunks
            .map(|chunk| chunk.load(Ordering::Acquire) as usize)
            .collect();
        starts.sort_unstable();
        Finder {
            starts,
            _slab: self,
        }
    }

    /// Takes a slot for a new row. Owner's thread only, which `Slots: !Sync` says.
    ///
    /// `None` when the slab is full.
    #[inline]
    pub(crate) fn take(&self, slots: &Slots) -> Option<(u32, &T)> {
        let free = slots.free.borrow_mut().pop();
        let slot = match free {
            Some(slot) => slot,
            None => self.grow(slots)?,
        };
        slots.live.set(slots.live.get() + 1);
        self.get(slot).map(|row| (slot, row))
    }

    #[cold]
    fn grow(&self, slots: &Slots) -> Option<u32> {
        let high = self.high.load(Ordering::Relaxed);
        let chunk = self.chunks.get(high as usize / CHUNK)?;
        // A boxed slice first: a chunk is too large for the stack.
        let rows: Box<[T]> = (0..CHUNK).map(|_| T::default()).collect();
        chunk.store(Box::into_raw(rows).cast::<Chunk<T>>(), Ordering::Release);
        let mut free = slots.free.borrow_mut();
        // Room for every slot there is, so that returning one never allocates.
        let total = high as usize + CHUNK;
        let room = free.capacity();
        if room < total {
            free.reserve_exact(total.max(room * 2));
        }
        free.extend((high + 1..high + CHUNK as u32).rev());
        self.high.store(high + CHUNK as u32, Ordering::Release);
        Some(high)
    }

    /// Gives a slot back. The caller has set the row's id to 0.
    #[inline]
    pub(crate) fn give_back(&self, slots: &Slots, slot: u32) {
        slots.live.set(slots.live.get() - 1);
        slots.free.borrow_mut().push(slot);
    }

    /// Visits all rows with an id, in slot order.
    pub(crate) fn live(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.slots()).filter_map(|slot| {
            let row = self.get(slot)?;
            (row.id().load(std::sync::atomic::Ordering::Acquire) != 0).then_some((slot, row))
        })
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Relaxed);
            if chunk.is_null() {
                continue;
            }
            // SAFETY: `grow` made the pointer from a boxed slice of CHUNK rows, nobody else frees
            // it, and `&mut self` means that no reader is left.
            drop(unsafe {
                Box::from_raw(std::ptr::slice_from_raw_parts_mut(chunk.cast::<T>(), CHUNK))
            });
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            free: RefCell::new(Vec::new()),
            live: Cell::new(0),
        }
    }
}

impl Slots {
    /// Rows handed out and not given back.
    pub(crate) fn live(&self) -> u32 {
        self.live.get()
    }
}

/// Marks a row as being rewritten: readers that saw its id before see another one after.
#[inline]
pub(crate) fn vacate(id: &StdAtomicU64) {
    id.store(0, std::sync::atomic::Ordering::Relaxed);
    // Keeps the new row's fields from being seen before the old id is gone.
    std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
}

/// Reads what `read` collects from a row and hands it out only if one identity held throughout.
#[inline]
pub(crate) fn consistent<R>(id: &StdAtomicU64, read: impl FnOnce(u64) -> R) -> Option<R> {
    use std::sync::atomic::{Ordering, fence};
    let before = id.load(Ordering::Acquire);
    if before == 0 {
        return None;
    }
    let facts = read(before);
    fence(Ordering::Acquire);
    (id.load(Ordering::Relaxed) == before).then_some(facts)
}

#[cfg(all(test, not(loop_model)))]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[derive(Default)]
    struct Pair {
        id: StdAtomicU64,
        a: StdAtomicU64,
        b: StdAtomicU64,
    }

    impl Row for Pair {
        fn id(&self) -> &StdAtomicU64 {
            &self.id
        }
    }

    #[test]
    fn slots_are_reused_before_the_slab_grows() {
        let (slab, slots) = (Slab::<Pair>::new(4096), Slots::default());
        let (first, row) = slab.take(&slots).unwrap();
        row.id.store(7, Ordering::Release);
        vacate(&row.id);
        slab.give_back(&slots, first);
        assert_eq!(slab.take(&slots).unwrap().0, first);
        assert_eq!((slots.live(), slab.slots()), (1, CHUNK as u32));
    }

    #[test]
    fn a_full_slab_says_so_and_goes_on_when_a_slot_returns() {
        let (slab, slots) = (Slab::<Pair>::new(1), Slots::default());
        let taken: Vec<u32> =
            std::iter::from_fn(|| slab.take(&slots).map(|(slot, _)| slot)).collect();
        assert_eq!(taken.len(), CHUNK);
        slab.give_back(&slots, taken[5]);
        assert_eq!(slab.take(&slots).unwrap().0, taken[5]);
    }

    #[test]
    fn a_pointer_from_elsewhere_is_not_a_row() {
        let (slab, slots) = (Slab::<Pair>::new(2048), Slots::default());
        let (_, row) = slab.take(&slots).unwrap();
        let other = Pair::default();
        assert!(slab.at(row).is_some_and(|found| std::ptr::eq(found, row)));
        assert!(slab.at(&raw const other).is_none());
        assert!(slab.at(std::ptr::null()).is_none());
        assert!(
            slab.at((row as *const Pair).cast::<u8>().wrapping_add(1).cast())
                .is_none()
        );
    }

    #[test]
    fn a_walk_never_sees_two_rows_mixed() {
        let (slab, slots) = (Slab::<Pair>::new(1024), Slots::default());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (slab, done) = (&slab, &done);
            scope.spawn(move || {
                let mut seen = 0_u64;
                while !done.load(Ordering::Relaxed) || seen == 0 {
                    for (_, row) in slab.live() {
                        let read = |id| {
                            (
                                id,
                                row.a.load(Ordering::Relaxed),
                                row.b.load(Ordering::Relaxed),
                            )
                        };
                        if let Some((id, a, b)) = consistent(&row.id, read) {
                            assert_eq!((a, b), (id, id));
                            seen += 1;
                        }
                    }
                }
            });
            for id in 1..200_000_u64 {
                let (slot, row) = slab.take(&slots).unwrap();
                row.a.store(id, Ordering::Relaxed);
                row.b.store(id, Ordering::Relaxed);
                row.id.store(id, Ordering::Release);
                if id % 3 == 0 {
                    std::hint::spin_loop();
                }
                if id < 199_999 {
                    vacate(&row.id);
                    slab.give_back(&slots, slot);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
