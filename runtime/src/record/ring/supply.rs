//! Where the rings of loops come from: memory, or a file that whoever writes one supplies. Knows no
//! file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::Ring;
use crate::record::LoopRecord;
use crate::record::event::Kind;

/// Gives a loop its ring. `None`: there is no room for another.
pub(crate) trait Supply: Send + Sync {
    fn ring(&self, record: &Arc<LoopRecord>) -> Option<Ring>;
}

static SUPPLY: RwLock<Option<Arc<dyn Supply>>> = RwLock::new(None);
/// How many forks lay before the process whose supply it is: in a child it is the parent's, and its
/// lock may be held by a thread that does not exist there.
static OF: AtomicU64 = AtomicU64::new(0);

/// What is recorded all the time while somebody keeps recordings: what happens less often than
/// polls and wakes.
pub(crate) const ALWAYS: u32 = Kind::TaskSpawned.bit()
    | Kind::TaskFinished.bit()
    | Kind::TaskBlocked.bit()
    | Kind::PollSlow.bit()
    | Kind::TimerArmed.bit()
    | Kind::TimerFired.bit()
    | Kind::TimerCancelled.bit()
    | Kind::SourceRegistered.bit()
    | Kind::SourceReleased.bit()
    | Kind::ChildStarted.bit()
    | Kind::ChildExited.bit()
    | Kind::SignalReceived.bit();

/// The place of the supply, taken from a parent if need be.
fn supply() -> RwLockWriteGuard<'static, Option<Arc<dyn Supply>>> {
    let mut supply = SUPPLY.write().unwrap_or_else(PoisonError::into_inner);
    if OF.swap(crate::os::forks(), Ordering::Relaxed) != crate::os::forks() {
        // Its file is the parent's: nothing of it is touched, not even to let go of it.
        std::mem::forget(supply.take());
    }
    supply
}

/// From now on loops get their rings from `new`, and record all the time; those that there are, and
/// those to come.
pub(crate) fn install(new: Arc<dyn Supply>) {
    *supply() = Some(new);
    for record in crate::record::loops() {
        equip(&record);
    }
}

/// From now on loops record only what is asked for.
pub(crate) fn remove() {
    let old = supply().take();
    drop(old);
    for record in crate::record::loops() {
        record.keep(0);
    }
}

/// Has a loop record all the time, if anybody supplies rings. Cold.
pub(crate) fn equip(record: &Arc<LoopRecord>) {
    if record.facts.internal || OF.load(Ordering::Relaxed) != crate::os::forks() {
        return;
    }
    let supply = SUPPLY.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(supply) = &*supply {
        record.equip(|| supply.ring(record));
        record.keep(ALWAYS);
    }
}
