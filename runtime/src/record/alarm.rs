//! What somebody wants to hear of the moment it happens, since the next look at the tables would be
//! too late: a task panicked. Cold: takes a lock, never on a poll's edge. Knows not who listens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::id::LoopId;

/// A task panicked; the panic ended there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Panicked {
    pub(crate) loop_id: LoopId,
    pub(crate) task: u64,
    /// What was panicked with, as far as it is text, cut at 256 bytes.
    pub(crate) text: String,
}

/// Called on the thread where it happens: it must not wait.
pub(crate) type Listen = dyn Fn(&Panicked) + Send + Sync;
/// The same, as long as somebody holds it.
pub(crate) type Listener = Arc<Listen>;

static LISTENERS: Mutex<Vec<Weak<Listen>>> = Mutex::new(Vec::new());

fn listeners() -> MutexGuard<'static, Vec<Weak<Listen>>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on `listener` hears of it, until it is dropped.
pub(crate) fn listen(listener: &Listener) {
    let mut all = listeners();
    all.retain(|one| one.strong_count() > 0);
    all.push(Arc::downgrade(listener));
}

/// Tells it.
pub(crate) fn panicked(loop_id: LoopId, task: u64, text: &str) {
    // Not under the lock: whoever listens may take others.
    let all: Vec<Listener> = listeners().iter().filter_map(Weak::upgrade).collect();
    if all.is_empty() {
        return;
    }
    let panicked = Panicked {
        loop_id,
        task,
        text: text[..text.floor_char_boundary(256)].to_owned(),
    };
    all.iter().for_each(|told| told(&panicked));
}
