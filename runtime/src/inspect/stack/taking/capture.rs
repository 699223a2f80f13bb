//! Copies registers and stack bytes of a thread: by a signal's handler, or from outside.
//!
//! The handler is a copy and a few atomic stores: no allocation, no lock, no thread-local, no
//! system call. There is one slot for the process; a request has a number, and a handler that
//! comes late finds another number there and does nothing. Unsafe for the signal, the copy and
//! the read of own memory. Knows neither loops nor unwinding.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use std::{process, thread};

use crate::clock;

/// The most that is copied of a stack.
pub(crate) const CAP: usize = 256 * 1024;

/// How long a thread may take to answer, and one that was given no CPU since it was asked.
const PATIENCE_NS: u64 = 20_000_000;
const LONG_PATIENCE_NS: u64 = 300_000_000;
/// How often it is asked after whether that is so.
const PEEK: Duration = Duration::from_millis(2);

const IDLE: u64 = 0;
const ASKED: u64 = 1;
const COPYING: u64 = 2;
const DONE: u64 = 3;

/// Registers that unwinding starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    /// The link register; 0 on x86_64.
    pub(crate) lr: u64,
}

/// Where to copy from: the stack of the thread that is asked, up to `limit`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) low: u64,
    pub(crate) high: u64,
    /// The frame above which nothing interesting lies; 0 for `high`.
    pub(crate) base: u64,
}

impl Bounds {
    /// How far to copy from `sp`. `None`: `sp` is not on this stack.
    pub(crate) fn limit(&self, sp: u64) -> Option<u64> {
        if !(self.low..self.high).contains(&sp) {
            return None;
        }
        // A little more than the base: the frame it lies in has its return address above it.
        let end = if sp < self.base && self.base < self.high {
            (self.base + 1024).min(self.high)
        } else {
            self.high
        };
        Some(end.min(sp + CAP as u64))
    }
}

/// The hand-over between the watchdog and a handler: `number << 2 | phase`.
struct Slot {
    state: AtomicU64,
    low: AtomicU64,
    high: AtomicU64,
    base: AtomicU64,
    registers: [AtomicU64; 4],
    length: AtomicUsize,
    /// Tick at which the handler began, and ticks that it took.
    at: AtomicU64,
    took: AtomicU64,
    /// `CAP` bytes, made once, never freed.
    buffer: AtomicPtr<u8>,
}

static SLOT: Slot = Slot {
    state: AtomicU64::new(IDLE),
    low: AtomicU64::new(0),
    high: AtomicU64::new(0),
    base: AtomicU64::new(0),
    registers: [const { AtomicU64::new(0) }; 4],
    length: AtomicUsize::new(0),
    at: AtomicU64::new(0),
    took: AtomicU64::new(0),
    buffer: AtomicPtr::new(std::ptr::null_mut()),
};

/// Runs on the loop's thread.
extern "C" fn handler(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let start = clock::ticks();
    // SAFETY: installed with SA_SIGINFO, so `info` is valid; a signal that was not queued has
    // some other word there, which is compared and not used as a pointer.
    let number = unsafe { (*info).si_value() }.sival_ptr as u64;
    let claimed = SLOT.state.compare_exchange(
        number << 2 | ASKED,
        number << 2 | COPYING,
        Ordering::AcqRel,
        Ordering::Relaxed,
    );
    if claimed.is_err() {
        return;
    }
    // SAFETY: with SA_SIGINFO the third argument is the interrupted thread's context.
    let registers = registers(unsafe { &*context.cast::<libc::ucontext_t>() });
    let words = [registers.pc, registers.sp, registers.fp, registers.lr];
    for (cell, word) in SLOT.registers.iter().zip(words) {
        cell.store(word, Ordering::Relaxed);
    }
    let bounds = Bounds {
        low: SLOT.low.load(Ordering::Relaxed),
        high: SLOT.high.load(Ordering::Relaxed),
        base: SLOT.base.load(Ordering::Relaxed),
    };
    let mut length = 0;
    if let Some(limit) = bounds.limit(registers.sp) {
        length = (limit - registers.sp) as usize;
        let buffer = SLOT.buffer.load(Ordering::Relaxed);
        // SAFETY: `limit` keeps the source within this thread's stack at or above its stack
        // pointer, all of which is mapped, and its owner is interrupted here; the target has CAP
        // bytes, which `limit` does not exceed, and belongs to whoever moved the slot to COPYING.
        unsafe { std::ptr::copy_nonoverlapping(registers.sp as *const u8, buffer, length) };
    }
    SLOT.length.store(length, Ordering::Relaxed);
    SLOT.at.store(start, Ordering::Relaxed);
    SLOT.took.store(clock::ticks() - start, Ordering::Relaxed);
    SLOT.state.store(number << 2 | DONE, Ordering::Release);
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let of = |register: c_int| context.uc_mcontext.gregs[register as usize] as u64;
    Registers {
        pc: of(libc::REG_RIP),
        sp: of(libc::REG_RSP),
        fp: of(libc::REG_RBP),
        lr: 0,
    }
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let machine = &context.uc_mcontext;
    Registers {
        pc: machine.pc,
        sp: machine.sp,
        fp: machine.regs[29],
        lr: machine.regs[30],
    }
}

/// The private signal. Installed once a process and kept: a handler cannot be taken back safely.
static SIGNAL: OnceLock<Result<c_int, String>> = OnceLock::new();

/// The right to use the slot; one a process.
pub(crate) struct Capture {
    signal: c_int,
    number: u64,
}

/// As the kernel reads it for a queued signal.
#[repr(C)]
struct Queued {
    signal: c_int,
    errno: c_int,
    code: c_int,
    _pad: c_int,
    pid: c_int,
    uid: u32,
    value: u64,
    _rest: [u64; 12],
}

impl Capture {
    /// Takes the first real-time signal, from the last one down, that nobody uses.
    ///
    /// Errors: all are in use, or the handler cannot be installed; in words.
    pub(crate) fn new() -> Result<Self, String> {
        let signal = SIGNAL.get_or_init(install).clone()?;
        // Numbers go on from an earlier watchdog's, so that its late handlers stay ignored.
        let number = SLOT.state.load(Ordering::Acquire) >> 2;
        Ok(Self { signal, number })
    }

    pub(crate) fn signal(&self) -> c_int {
        self.signal
    }

    /// Tick at which the last handler began.
    pub(crate) fn at(&self) -> u64 {
        SLOT.at.load(Ordering::Relaxed)
    }

    /// Ticks that the last handler took.
    pub(crate) fn took(&self) -> u64 {
        SLOT.took.load(Ordering::Relaxed)
    }

    /// Asks thread `tid` for its stack. The caller keeps the thread from leaving its loop. `queues`
    /// tells whether it has waited for a CPU ever since: then it cannot answer yet.
    ///
    /// Errors: why there is no answer, in words.
    pub(crate) fn ask(
        &mut self,
        tid: u64,
        bounds: Bounds,
        stack: &mut Vec<u8>,
        queues: impl Fn() -> bool,
    ) -> Result<Registers, String> {
        if SLOT.state.load(Ordering::Acquire) & 3 == COPYING {
            return Err("an earlier copy of a stack is still under way".to_owned());
        }
        if action(self.signal).is_none_or(|action| !is_ours(&action)) {
            return Err(format!(
                "signal {} was taken over by somebody else",
                self.signal
            ));
        }
        self.number += 1;
        let number = self.number;
        SLOT.low.store(bounds.low, Ordering::Relaxed);
        SLOT.high.store(bounds.high, Ordering::Relaxed);
        SLOT.base.store(bounds.base, Ordering::Relaxed);
        SLOT.state.store(number << 2 | ASKED, Ordering::Release);
        self.queue(tid, number)?;
        let registers = wait(number, queues)?;
        copy_out(stack);
        Ok(registers)
    }

    fn queue(&self, tid: u64, number: u64) -> Result<(), String> {
        let info = Queued {
            signal: self.signal,
            errno: 0,
            code: libc::SI_QUEUE,
            _pad: 0,
            pid: process::id() as c_int,
            uid: rustix::process::getuid().as_raw(),
            value: number,
            _rest: [0; 12],
        };
        // SAFETY: the call reads 128 bytes of `info`, which has them; a thread that is not there
        // is an error.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_rt_tgsigqueueinfo,
                process::id() as c_int,
                tid as c_int,
                self.signal,
                &raw const info,
            )
        };
        if sent == 0 {
            return Ok(());
        }
        let why = std::io::Error::last_os_error();
        SLOT.state.store(number << 2 | IDLE, Ordering::Release);
        let whose = match why.raw_os_error() {
            // Of a thread of one's own process nothing else refuses it.
            Some(libc::EPERM | libc::ENOSYS | libc::EACCES) => {
                "; a seccomp filter forbids rt_tgsigqueueinfo"
            }
            _ => "",
        };
        Err(format!("the thread cannot be signalled: {why}{whose}"))
    }
}

const _: () = assert!(size_of::<Queued>() == 128);

/// Waits for the handler, in steps that leave it the CPU. An unpark that this swallows is looked
/// for again before the watchdog sleeps.
fn wait(number: u64, queues: impl Fn() -> bool) -> Result<Registers, String> {
    let start = clock::mono();
    let mut queued = true;
    loop {
        let state = SLOT.state.load(Ordering::Acquire);
        if state == number << 2 | DONE {
            let word = |index: usize| SLOT.registers[index].load(Ordering::Relaxed);
            return Ok(Registers {
                pc: word(0),
                sp: word(1),
                fp: word(2),
                lr: word(3),
            });
        }
        let waited = clock::mono() - start;
        if waited < 20_000 {
            std::hint::spin_loop();
        } else if waited < PATIENCE_NS {
            thread::park_timeout(Duration::from_micros(20));
        } else if queued
            && waited < LONG_PATIENCE_NS
            && SLOT.state.load(Ordering::Acquire) & 3 == ASKED
        {
            queued = queues();
            // What it answered meanwhile counts; and so does that it runs from here on.
            if queued {
                thread::park_timeout(PEEK);
            } else {
                thread::park_timeout(Duration::from_micros(200));
            }
        } else if SLOT
            .state
            .compare_exchange(
                number << 2 | ASKED,
                number << 2 | IDLE,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
        {
            return Err(match queued {
                true => "the thread was given no CPU for 300 ms".to_owned(),
                false => "the thread did not answer in 20 ms".to_owned(),
            });
        } else if waited > 2 * LONG_PATIENCE_NS {
            return Err("the thread is being kept from finishing its answer".to_owned());
        } else {
            thread::park_timeout(Duration::from_micros(200));
        }
    }
}

/// Copies the slot's bytes. The slot is DONE, so no handler touches it until the next request.
fn copy_out(stack: &mut Vec<u8>) {
    let length = SLOT.length.load(Ordering::Relaxed);
    let buffer = SLOT.buffer.load(Ordering::Relaxed);
    stack.clear();
    // SAFETY: the buffer has CAP bytes and never goes; the handler initialised `length` of them
    // before its Release of DONE, which was seen.
    stack.extend_from_slice(unsafe { std::slice::from_raw_parts(buffer, length) });
}

fn install() -> Result<c_int, String> {
    let buffer: Box<[u8]> = vec![0; CAP].into_boxed_slice();
    SLOT.buffer
        .store(Box::into_raw(buffer).cast::<u8>(), Ordering::Release);
    // The clock must have been chosen before the handler reads it.
    clock::anchor();
    let free = (libc::SIGRTMIN()..=libc::SIGRTMAX())
        .rev()
        .find(|&signal| action(signal).is_some_and(|action| action.sa_sigaction == libc::SIG_DFL));
    let signal = free.ok_or("all real-time signals are in use")?;
    let mut ours = empty_action();
    ours.sa_sigaction = handler_word();
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `ours` is a complete action whose handler has the signature that SA_SIGINFO asks for.
    if unsafe { libc::sigaction(signal, &ours, std::ptr::null_mut()) } != 0 {
        let why = std::io::Error::last_os_error();
        return Err(format!("signal {signal} cannot be handled: {why}"));
    }
    Ok(signal)
}

fn handler_word() -> usize {
    handler as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == handler_word()
}

fn empty_action() -> libc::sigaction {
    // SAFETY: a sigaction of zeros is SIG_DFL with an empty mask and no flags.
    unsafe { std::mem::zeroed() }
}

/// What the process does with `signal` now.
fn action(signal: c_int) -> Option<libc::sigaction> {
    let mut now = empty_action();
    // SAFETY: `now` is valid for the write; nothing is changed.
    (unsafe { libc::sigaction(signal, std::ptr::null(), &mut now) } == 0).then_some(now)
}

/// Reads this process's memory through the kernel, which answers for what is not mapped. Returns
/// how many bytes were read.
pub(crate) fn read_memory(address: u64, bytes: &mut [u8]) -> usize {
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: the local vector is `bytes`, exclusively borrowed; the remote one is only read, by
    // the kernel, which stops at what is not mapped.
    let read = unsafe { libc::process_vm_readv(process::id() as c_int, &local, 1, &remote, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

/// The number of a request that nobody was sent. Watchdogs of other tests, which take stacks
/// meanwhile, do not count so far.
#[cfg(test)]
const UNSENT: u64 = 1 << 40;

/// Waits as `Capture::ask` does, for a request that nobody was sent; `queues` may answer it.
#[cfg(test)]
pub(super) fn wait_unsent(queues: impl Fn() -> bool) -> Result<Registers, String> {
    SLOT.state.store(UNSENT << 2 | ASKED, Ordering::Release);
    wait(UNSENT, queues)
}

/// Answers it, as the handler does.
#[cfg(test)]
pub(super) fn answer() {
    SLOT.state.store(UNSENT << 2 | DONE, Ordering::Release);
}

/// The same, word by word. Returns how many words were read.
pub(crate) fn read_words(address: u64, words: &mut [u64]) -> usize {
    let bytes = size_of_val(words);
    // SAFETY: the words are exclusively borrowed, and any bytes make words.
    let bytes = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), bytes) };
    read_memory(address, bytes) / size_of::<u64>()
}
