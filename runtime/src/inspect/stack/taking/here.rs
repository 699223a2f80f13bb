//! Copies the calling thread's own stack, for who explains later how it came there: a few slots,
//! made once, each kept for some seconds.
//!
//! No allocation, no lock and no system call where it copies. Unsafe for the registers and the
//! copy. Knows neither why it is asked nor unwinding.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::capture::{Bounds, Registers};
use crate::clock;

/// The most that is copied of a stack.
const CAP: usize = 64 * 1024;
const SLOTS: usize = 32;
/// A copy is not replaced before it is so old: two looks, which make a stranding certain, come that
/// close after each other also when nobody asks.
const KEPT_NS: u64 = 12_000_000_000;

#[derive(Debug)]
struct Slot {
    /// 0: whoever sets it to 1 has the slot.
    taken: AtomicU64,
    /// The copy's number; 0: there is none.
    number: AtomicU64,
    /// When it was made, ticks.
    at: AtomicU64,
    base: AtomicU64,
    registers: [AtomicU64; 4],
    length: AtomicUsize,
    buffer: AtomicPtr<u8>,
}

static COPIES: [Slot; SLOTS] = [const {
    Slot {
        taken: AtomicU64::new(0),
        number: AtomicU64::new(0),
        at: AtomicU64::new(0),
        base: AtomicU64::new(0),
        registers: [const { AtomicU64::new(0) }; 4],
        length: AtomicUsize::new(0),
        buffer: AtomicPtr::new(std::ptr::null_mut()),
    }
}; SLOTS];
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes the slots; from now on `copy` copies.
pub(crate) fn prepare() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        clock::anchor();
        for slot in &COPIES {
            // Of zeros: memory that the kernel gives when it is first written.
            let buffer = vec![0_u8; CAP].into_boxed_slice();
            let buffer = Box::into_raw(buffer).cast::<u8>();
            slot.buffer.store(buffer, Ordering::Release);
        }
    });
}

impl Slot {
    fn take(&self) -> bool {
        let taken = self
            .taken
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok()
    }

    fn give(&self) {
        self.taken.store(0, Ordering::Release);
    }
}

/// Copies the calling thread's stack, which lies between `low` and `high`, up to a little above
/// `base`. Gives the copy's number; 0: the slots hold copies that are too young to be replaced, or
/// the thread runs on another stack.
#[inline(never)]
pub(crate) fn copy(low: u64, high: u64, base: u64) -> u64 {
    let registers = registers();
    let bounds = Bounds { low, high, base };
    let Some(limit) = bounds.limit(registers.sp) else {
        return 0;
    };
    let length = ((limit - registers.sp) as usize).min(CAP);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) + 1;
    let slot = &COPIES[(number % SLOTS as u64) as usize];
    let buffer = slot.buffer.load(Ordering::Acquire);
    if buffer.is_null() || !slot.take() {
        return 0;
    }
    let now = clock::ticks();
    let age = clock::ticks_to_ns(now.saturating_sub(slot.at.load(Ordering::Relaxed)));
    if slot.number.load(Ordering::Relaxed) != 0 && age < KEPT_NS {
        slot.give();
        return 0;
    }
    let words = [registers.pc, registers.sp, registers.fp, registers.lr];
    for (cell, word) in slot.registers.iter().zip(words) {
        cell.store(word, Ordering::Relaxed);
    }
    // SAFETY: `limit` keeps the source within this thread's own stack, at or above its stack
    // pointer, all of which is mapped; the target has CAP bytes, never goes, and is this thread's
    // while the slot is taken.
    unsafe { std::ptr::copy_nonoverlapping(registers.sp as *const u8, buffer, length) };
    slot.length.store(length, Ordering::Relaxed);
    slot.base.store(base, Ordering::Relaxed);
    slot.at.store(now, Ordering::Relaxed);
    slot.number.store(number, Ordering::Relaxed);
    slot.give();
    number
}

/// A copy, with the registers to begin at and the frame that polls.
pub(crate) struct Copied {
    pub(crate) registers: Registers,
    pub(crate) base: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The copy of that number, if it is still there. Its slot is free then.
pub(crate) fn take(number: u64) -> Option<Copied> {
    let slot = &COPIES[(number % SLOTS as u64) as usize];
    if !slot.take() {
        return None;
    }
    let there = slot.number.load(Ordering::Relaxed) == number;
    let copied = there.then(|| {
        let word = |at: usize| slot.registers[at].load(Ordering::Relaxed);
        let length = slot.length.load(Ordering::Relaxed);
        let buffer = slot.buffer.load(Ordering::Acquire);
        slot.number.store(0, Ordering::Relaxed);
        Copied {
            registers: Registers {
                pc: word(0),
                sp: word(1),
                fp: word(2),
                lr: word(3),
            },
            base: slot.base.load(Ordering::Relaxed),
            // SAFETY: the buffer has CAP bytes and never goes; `copy` wrote `length` of them before
            // it gave the slot, which is taken here, so that nobody writes it.
            bytes: unsafe { std::slice::from_raw_parts(buffer, length) }.to_vec(),
        }
    });
    slot.give();
    copied
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn registers() -> Registers {
    let (pc, sp, fp): (u64, u64, u64);
    // SAFETY: reads three registers, changes nothing.
    unsafe {
        std::arch::asm!(
            "lea {pc}, [rip]",
            "mov {sp}, rsp",
            "mov {fp}, rbp",
            pc = out(reg) pc,
            sp = out(reg) sp,
            fp = out(reg) fp,
            options(nomem, nostack, preserves_flags),
        );
    }
    Registers { pc, sp, fp, lr: 0 }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) fn registers() -> Registers {
    let (pc, sp, fp, lr): (u64, u64, u64, u64);
    // SAFETY: reads four registers, changes nothing.
    unsafe {
        std::arch::asm!(
            "adr {pc}, .",
            "mov {sp}, sp",
            "mov {fp}, x29",
            "mov {lr}, x30",
            pc = out(reg) pc,
            sp = out(reg) sp,
            fp = out(reg) fp,
            lr = out(reg) lr,
            options(nomem, nostack, preserves_flags),
        );
    }
    Registers { pc, sp, fp, lr }
}
