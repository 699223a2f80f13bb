//! Stacks that a loop's thread copies of itself: where a task goes to wait, and at spawns.
//!
//! Registers, and stack bytes up to the address that `run_ready` published, into one of a few slots
//! made beforehand: no allocation, no lock, no unwinding on the loop's thread. A slot is claimed by
//! one loop, filled, and given back by the one reader. Unsafe for the copy. Knows
//! neither tasks nor unwinding.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Once, PoisonError};

use super::capture::{Bounds, Registers};
use super::here;
use crate::clock;
use crate::record::LoopRecord;
use crate::record::wish::{self, Moment};

/// The most that is copied of a stack: of a deeper one the outer frames are missing.
const CAP: usize = 64 * 1024;

/// Stacks that wait to be read.
const SLOTS: usize = 64;

const FREE: u32 = 0;
const FILLING: u32 = 1;
const FULL: u32 = 2;

struct Slot {
    state: AtomicU32,
    moment: AtomicU32,
    task: AtomicU64,
    polls: AtomicU64,
    at: AtomicU64,
    took: AtomicU64,
    base: AtomicU64,
    registers: [AtomicU64; 4],
    length: AtomicUsize,
    /// `CAP` bytes, made once, never freed.
    bytes: AtomicPtr<u8>,
}

static ALL: [Slot; SLOTS] = [const {
    Slot {
        state: AtomicU32::new(FREE),
        moment: AtomicU32::new(0),
        task: AtomicU64::new(0),
        polls: AtomicU64::new(0),
        at: AtomicU64::new(0),
        took: AtomicU64::new(0),
        base: AtomicU64::new(0),
        registers: [const { AtomicU64::new(0) }; 4],
        length: AtomicUsize::new(0),
        bytes: AtomicPtr::new(std::ptr::null_mut()),
    }
}; SLOTS];

/// Stacks that found no free slot.
static LOST: AtomicU64 = AtomicU64::new(0);

/// One stack, as it was copied.
#[derive(Debug)]
pub(crate) struct Snap {
    pub(crate) moment: Moment,
    pub(crate) task: u64,
    pub(crate) polls: u64,
    /// Tick of the copy, and ticks that it took.
    pub(crate) at: u64,
    pub(crate) took: u64,
    pub(crate) base: u64,
    pub(crate) registers: Registers,
}

/// Makes the slots, and has this thread's and every loop's wishes granted from now on.
pub(crate) fn prepare() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        // Zeroed pages of the kernel's: what no stack reaches takes no memory.
        let bytes: Box<[u8]> = vec![0; CAP * SLOTS].into_boxed_slice();
        let first = Box::into_raw(bytes).cast::<u8>();
        for (index, slot) in ALL.iter().enumerate() {
            slot.bytes
                .store(first.wrapping_add(index * CAP), Ordering::Release);
        }
        wish::granted_by(take);
    });
}

/// Stacks that were not copied, for want of a free slot.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Hands over what was copied since. One reader at a time, which a lock sees to.
pub(crate) fn drain(mut each: impl FnMut(Snap, &mut Vec<u8>)) {
    static READER: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());
    let mut copy = READER.lock().unwrap_or_else(PoisonError::into_inner);
    for slot in &ALL {
        if slot.state.load(Ordering::Acquire) != FULL {
            continue;
        }
        let word = |index: usize| slot.registers[index].load(Ordering::Relaxed);
        let snap = Snap {
            moment: match slot.moment.load(Ordering::Relaxed) {
                0 => Moment::Waits,
                _ => Moment::Spawns,
            },
            task: slot.task.load(Ordering::Relaxed),
            polls: slot.polls.load(Ordering::Relaxed),
            at: slot.at.load(Ordering::Relaxed),
            took: slot.took.load(Ordering::Relaxed),
            base: slot.base.load(Ordering::Relaxed),
            registers: Registers {
                pc: word(0),
                sp: word(1),
                fp: word(2),
                lr: word(3),
            },
        };
        let length = slot.length.load(Ordering::Relaxed);
        copy.clear();
        // SAFETY: the slot has CAP bytes, which never go; `length` of them were written before the
        // Release of FULL, which was seen, and nobody writes until it is FREE.
        copy.extend_from_slice(unsafe {
            std::slice::from_raw_parts(slot.bytes.load(Ordering::Relaxed), length)
        });
        slot.state.store(FREE, Ordering::Release);
        each(snap, &mut copy);
    }
}

/// Copies the stack of this thread, which runs `record`'s loop.
#[inline(never)]
fn take(record: &LoopRecord, moment: Moment, task: u64, polls: u64) {
    let start = clock::ticks();
    // From the first on, so that pages are used again that a stack was copied to before: the first
    // write to one costs more than the copy.
    let is_claimed = |slot: &&Slot| {
        slot.state.load(Ordering::Relaxed) == FREE
            && (slot.state)
                .compare_exchange(FREE, FILLING, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    };
    let Some(slot) = ALL.iter().find(is_claimed) else {
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let registers = here::registers();
    let (low, size) = (&record.facts.stack[0], &record.facts.stack[1]);
    let low = low.load(Ordering::Relaxed);
    let bounds = Bounds {
        low,
        high: low + size.load(Ordering::Relaxed),
        base: record.current.base() as u64,
    };
    let mut length = 0;
    if let Some(limit) = bounds.limit(registers.sp) {
        length = ((limit - registers.sp) as usize).min(CAP);
        let bytes = slot.bytes.load(Ordering::Relaxed);
        // SAFETY: the source lies within this thread's stack, from its stack pointer up, all of
        // which is mapped and belongs to this thread, which is here; the target has CAP bytes and
        // belongs to whoever moved the slot to FILLING.
        unsafe { std::ptr::copy_nonoverlapping(registers.sp as *const u8, bytes, length) };
    }
    for (cell, word) in
        slot.registers
            .iter()
            .zip([registers.pc, registers.sp, registers.fp, registers.lr])
    {
        cell.store(word, Ordering::Relaxed);
    }
    slot.moment.store(moment as u32, Ordering::Relaxed);
    slot.task.store(task, Ordering::Relaxed);
    slot.polls.store(polls, Ordering::Relaxed);
    slot.base.store(bounds.base, Ordering::Relaxed);
    slot.length.store(length, Ordering::Relaxed);
    slot.at.store(start, Ordering::Relaxed);
    let took = clock::ticks().saturating_sub(start);
    slot.took.store(took, Ordering::Relaxed);
    if moment == Moment::Spawns {
        wish::TAKEN.fetch_add(1, Ordering::Relaxed);
        wish::TOOK.fetch_add(took, Ordering::Relaxed);
    }
    slot.state.store(FULL, Ordering::Release);
}
