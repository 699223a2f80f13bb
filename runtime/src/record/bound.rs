//! State that belongs to one loop, in a type that may travel.
//!
//! Leaf futures must be `Send` (hyper, tonic and axum ask for it), but what they hold is touched
//! by its loop only. Access from elsewhere is an error that names both loops; a drop elsewhere is
//! sent home. Knows of loops only their id and a way to send them something.

use std::collections::HashMap;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use super::current;
use crate::id::LoopId;

/// Something a loop's own thread shall do.
pub(crate) type Errand = Box<dyn FnOnce() + Send>;

/// Takes errands for a loop; gives them back once the loop is closed.
pub(crate) trait Inbox: Send + Sync {
    fn submit(&self, errand: Errand) -> Result<(), Errand>;
}

static INBOXES: Mutex<Option<HashMap<LoopId, Arc<dyn Inbox>>>> = Mutex::new(None);

/// From now on errands for `id` go to `inbox`. Cold.
pub(crate) fn open_inbox(id: LoopId, inbox: Arc<dyn Inbox>) {
    INBOXES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(id, inbox);
}

/// The loop is closed: what is dropped from now on is dropped in place.
pub(crate) fn close_inbox(id: LoopId) {
    let inbox = INBOXES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()
        .and_then(|all| all.remove(&id));
    // Outside the lock, since an inbox may hold errands whose drop comes back here.
    drop(inbox);
}

/// Sends `errand` to a loop; gives it back if the loop is closed or unknown.
pub(crate) fn send(id: LoopId, errand: Errand) -> Result<(), Errand> {
    let inbox = INBOXES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .and_then(|all| all.get(&id).cloned());
    match inbox {
        Some(inbox) => inbox.submit(errand),
        None => Err(errand),
    }
}

/// Something made on one loop was used on another, or where no loop runs.
///
/// Make it on the loop that uses it, or go through `LoopHandle::spawn` or `call_soon_threadsafe`.
// Of one word, and so is the tag of the errors and results that it is in: they move by whole words.
#[repr(align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WrongLoop {
    /// The loop it belongs to.
    pub made_on: LoopId,
    /// The loop that runs on the calling thread, if any.
    pub here: Option<LoopId>,
}

impl fmt::Display for WrongLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this belongs to loop {} and was used ", self.made_on)?;
        match self.here {
            Some(here) => write!(f, "on loop {here}")?,
            None => f.write_str("on a thread where no loop runs")?,
        }
        f.write_str("; make it on the loop that uses it, or go through a `LoopHandle`")
    }
}

impl std::error::Error for WrongLoop {}

/// The loop that runs on this thread, or is entered.
#[inline]
pub(crate) fn here() -> Option<LoopId> {
    current::here(|record| record.id)
}

/// `T`, touched on its own loop only.
pub(crate) struct LoopBound<T: Send + 'static> {
    made_on: LoopId,
    value: ManuallyDrop<T>,
}

// SAFETY: a shared reference gives access to `T` only on the thread of the loop it was made on
// (`get` checks), so two threads never look at it at once, whether `T` is `Sync` or not; moving it
// to another thread is what `T: Send` allows.
unsafe impl<T: Send> Sync for LoopBound<T> {}

impl<T: Send> LoopBound<T> {
    /// Binds `value` to the loop `made_on`.
    #[inline]
    pub(crate) fn new(made_on: LoopId, value: T) -> Self {
        Self {
            made_on,
            value: ManuallyDrop::new(value),
        }
    }

    /// As `new`, shared. The value is made where it will lie: made elsewhere first, all of it would
    /// be copied there.
    #[inline]
    pub(crate) fn shared(made_on: LoopId, make: impl FnOnce() -> T) -> Arc<Self> {
        let shared = Arc::<Self>::new_uninit();
        let at = Arc::as_ptr(&shared).cast_mut().cast::<Self>();
        // SAFETY: valid for writes, and nobody else has seen it yet. If `make` panics, what is freed
        // is not initialised, which `MaybeUninit` drops as nothing.
        unsafe { at.write(Self::new(made_on, make())) };
        // SAFETY: initialised just now.
        unsafe { shared.assume_init() }
    }

    #[inline]
    pub(crate) fn made_on(&self) -> LoopId {
        self.made_on
    }

    #[inline]
    fn check(&self) -> Result<(), WrongLoop> {
        let here = here();
        if here == Some(self.made_on) {
            Ok(())
        } else {
            Err(WrongLoop {
                made_on: self.made_on,
                here,
            })
        }
    }

    /// The value, on its own loop.
    #[inline]
    pub(crate) fn get(&self) -> Result<&T, WrongLoop> {
        self.check().map(|()| &*self.value)
    }

    /// The value, on its own loop.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Result<&mut T, WrongLoop> {
        self.check().map(|()| &mut *self.value)
    }
}

impl<T: Send> Drop for LoopBound<T> {
    #[inline]
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() || here() == Some(self.made_on) {
            // SAFETY: dropped once, in `drop`, where it lies; nobody looks at `value` afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        } else {
            // SAFETY: as above, taken and not dropped.
            let value = unsafe { ManuallyDrop::take(&mut self.value) };
            send_away(self.made_on, value);
        }
    }
}

/// Has `value` dropped on its loop.
#[cold]
#[inline(never)]
fn send_away<T: Send + 'static>(home: LoopId, value: T) {
    // A closed loop gives the errand back: then the value is dropped here, where its own drop finds
    // no loop and has nothing left to undo.
    let _ = send(home, Box::new(move || drop(value)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LoopRecord;
    use crate::record::current::Entered;
    use std::panic::Location;

    struct Noted(Arc<Mutex<Vec<std::thread::ThreadId>>>);

    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(std::thread::current().id());
        }
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<Errand>>);

    impl Inbox for Kept {
        fn submit(&self, errand: Errand) -> Result<(), Errand> {
            self.0.lock().unwrap().push(errand);
            Ok(())
        }
    }

    #[test]
    fn access_from_elsewhere_names_both_loops() {
        let (a, b) = (
            LoopRecord::new("a", false, Location::caller()),
            LoopRecord::new("b", false, Location::caller()),
        );
        let bound = LoopBound::new(a.id, 7);
        assert_eq!(
            bound.get(),
            Err(WrongLoop {
                made_on: a.id,
                here: None
            })
        );
        let _b = Entered::new(&b);
        assert_eq!(
            bound.get(),
            Err(WrongLoop {
                made_on: a.id,
                here: Some(b.id)
            })
        );
        let _a = Entered::new(&a);
        assert_eq!(bound.get(), Ok(&7));
    }

    #[test]
    fn a_drop_elsewhere_is_carried_out_at_home_and_in_place_once_closed() {
        let record = LoopRecord::new("home", false, Location::caller());
        let (dropped, kept) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Kept::default()));
        open_inbox(record.id, kept.clone());
        let bound = LoopBound::new(record.id, Noted(dropped.clone()));
        std::thread::spawn(move || drop(bound)).join().unwrap();
        assert!(dropped.lock().unwrap().is_empty());
        kept.0.lock().unwrap().drain(..).for_each(|errand| errand());
        assert_eq!(*dropped.lock().unwrap(), [std::thread::current().id()]);

        close_inbox(record.id);
        let bound = LoopBound::new(record.id, Noted(dropped.clone()));
        let there = std::thread::spawn(move || {
            drop(bound);
            std::thread::current().id()
        });
        let there = there.join().unwrap();
        assert_eq!(dropped.lock().unwrap().last(), Some(&there));
    }
}
