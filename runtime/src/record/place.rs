//! A source place in one atomic word. `Location`s are static, so the word stays good for ever.

use std::panic::Location;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Holds a place that a row's owner sets and any thread reads.
#[derive(Default)]
pub(crate) struct PlaceCell(AtomicPtr<Location<'static>>);

impl PlaceCell {
    #[inline]
    pub(crate) fn set(&self, place: &'static Location<'static>) {
        self.0
            .store(std::ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn clear(&self) {
        self.0.store(std::ptr::null_mut(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<&'static Location<'static>> {
        // SAFETY: the word is null or came from a `&'static Location` in `set`, the only writer;
        // such a reference is valid for ever and for every thread.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }
}
