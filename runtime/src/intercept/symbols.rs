//! The C library's blocking calls under their own names, so that a program's calls come here first.
//!
//! A program's own symbol goes before a shared library's, for the standard library's calls as well
//! as for everybody's that is linked into the program; calls inside the C library itself stay there.
//! Each function forwards to the library's own, found with `dlsym(RTLD_NEXT)` before `main`; what it
//! does beside that happens only on the thread of a loop that looks for such calls, inside a poll.
//! Nothing here allocates, locks or unwinds, `errno` is what the library left, and no value with a
//! destructor lives across a forwarded call, so that a cancelled thread may be unwound through it.
//! Loom test: none; what is shared is a pointer that is written once and a flag.

use std::cell::Cell;
use std::ffi::{c_int, c_long, c_uint, c_void};
use std::mem::transmute;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::clock;
use crate::record::calls::{Call, FRAMES};
use crate::record::current;
use crate::record::task::flag;

/// Some loop of this process looks for blocking calls.
static ARMED: AtomicBool = AtomicBool::new(false);

/// The library's own functions, by `Call`.
static REAL: [AtomicPtr<c_void>; Call::ALL.len()] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; Call::ALL.len()];

/// A wait for another thread that was shorter is nothing to speak of: locks are made for that.
const SHORTEST_NS: u64 = 1_000_000;

thread_local! {
    /// This thread notes a call: what it calls for that is nobody's fault.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Finds the functions before any thread is there that could fork while the loader is asked.
extern "C" fn find_all() {
    for call in Call::ALL {
        real(call);
    }
}

#[used]
// SAFETY: the loader calls what lies there, with arguments that a C function may ignore, when the
// C library is ready; `find_all` calls nothing but `dlsym`.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = find_all;

fn real(call: Call) -> *mut c_void {
    let slot = &REAL[call as usize];
    let known = slot.load(Ordering::Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the name ends with a zero byte; the library's next definition of it is asked for.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, call.symbol().as_ptr()) };
    if found.is_null() {
        // A C library without `read`: nothing that runs here could go on.
        std::process::abort();
    }
    slot.store(found, Ordering::Relaxed);
    found
}

/// From now on calls are looked at. Names each function, so that the linker keeps them.
pub(super) fn arm() {
    ARMED.store(true, Ordering::Relaxed);
    std::hint::black_box(KEPT);
}

/// Whether a call that is made now is to be noted.
#[inline]
fn watched() -> bool {
    ARMED.load(Ordering::Relaxed) && watched_here()
}

#[cold]
fn watched_here() -> bool {
    !BUSY.get()
        && current::here_row(|record, row| {
            let internal = row.flags.load(Ordering::Relaxed) & flag::INTERNAL != 0;
            record.may_not_block() && !internal
        }) == Some(true)
}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        step: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        to: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
}

/// Return addresses, innermost first.
struct Frames {
    all: [usize; FRAMES],
    count: usize,
}

extern "C" fn step(frame: *mut c_void, to: *mut c_void) -> c_int {
    // SAFETY: `to` is the `Frames` that `note` passes along, which nobody else uses meanwhile.
    let frames = unsafe { &mut *to.cast::<Frames>() };
    // SAFETY: the unwinder passes a frame that is valid during this call.
    let address = unsafe { _Unwind_GetIP(frame) };
    if address == 0 || frames.count == FRAMES {
        // Any code but "go on" ends it.
        return 5;
    }
    frames.all[frames.count] = address;
    frames.count += 1;
    0
}

/// Notes a call that is made now, or that took `took` ticks. Leaves `errno` as it is.
#[cold]
#[inline(never)]
fn note(call: Call, took: u64) {
    BUSY.set(true);
    // SAFETY: the address of this thread's `errno`, valid as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: see above.
    let before = unsafe { *errno };
    let mut frames = Frames {
        all: [0; FRAMES],
        count: 0,
    };
    // SAFETY: `step` has the signature that the unwinder wants and gets its own `Frames`.
    unsafe { _Unwind_Backtrace(step, (&raw mut frames).cast()) };
    current::here_row(|record, row| {
        let frames = &frames.all[..frames.count];
        record.calls.note(call, frames, row, clock::ticks(), took);
    });
    // SAFETY: see above.
    unsafe { *errno = before };
    BUSY.set(false);
}

/// What a descriptor is, as far as blocking goes. Leaves `errno` as it is.
fn blocks(fd: c_int) -> bool {
    // SAFETY: the address of this thread's `errno`, valid as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: see above.
    let before = unsafe { *errno };
    // SAFETY: asks for the flags of a number; one that is no descriptor is an error.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: plain numbers, for which all zeros is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is valid for writes; as above.
    let known = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
    let blocks = match stat.st_mode & libc::S_IFMT {
        _ if flags < 0 || !known => false,
        // The kernel has no other way to read files.
        libc::S_IFREG | libc::S_IFBLK => true,
        // `/dev/null`, `/dev/urandom` and the like answer at once; a terminal may not.
        // SAFETY: asks about a number.
        libc::S_IFCHR => flags & libc::O_NONBLOCK == 0 && unsafe { libc::isatty(fd) } == 1,
        _ => flags & libc::O_NONBLOCK == 0,
    };
    // SAFETY: see above.
    unsafe { *errno = before };
    blocks
}

/// Whether a duration that a call was given is one.
///
/// # Safety
/// `time` is null or points to a valid value.
unsafe fn lasts(time: *const libc::timespec) -> bool {
    // SAFETY: the caller's promise.
    unsafe { time.as_ref() }.is_some_and(|time| time.tv_sec > 0 || time.tv_nsec > 0)
}

/// Defines functions of the C library that note a call when `$when` holds, and forward it.
macro_rules! forward {
    ($($call:ident: $name:ident($($argument:ident: $of:ty),*) -> $to:ty, when $when:expr;)*) => {
        $(
            /// # Safety
            /// As the C library's function of this name.
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn $name($($argument: $of),*) -> $to {
                if watched() && $when {
                    note(Call::$call, 0);
                }
                // SAFETY: the library's function of that name, which has this signature.
                let real = unsafe { transmute::<*mut c_void, unsafe extern "C-unwind" fn($($of),*) -> $to>(real(Call::$call)) };
                // SAFETY: the caller's promise.
                unsafe { real($($argument),*) }
            }
        )*

        /// All that are defined here, so that something names them.
        static KEPT: &[&(dyn Sync + 'static)] = &[
            $(&($name as unsafe extern "C-unwind" fn($($of),*) -> $to),)*
            &(syscall as unsafe extern "C-unwind" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long),
            &(pthread_join as unsafe extern "C-unwind" fn(libc::pthread_t, *mut *mut c_void) -> c_int),
        ];
    };
}

forward! {
    Nanosleep: nanosleep(time: *const libc::timespec, left: *mut libc::timespec) -> c_int,
        // SAFETY: the caller of the C function passes a valid time or null.
        when unsafe { lasts(time) };
    ClockNanosleep: clock_nanosleep(clock: libc::clockid_t, flags: c_int, time: *const libc::timespec, left: *mut libc::timespec) -> c_int,
        // SAFETY: the caller of the C function passes a valid time or null.
        when unsafe { lasts(time) };
    Usleep: usleep(time: c_uint) -> c_int, when time > 0;
    Sleep: sleep(time: c_uint) -> c_uint, when time > 0;
    Fsync: fsync(fd: c_int) -> c_int, when blocks(fd);
    Fdatasync: fdatasync(fd: c_int) -> c_int, when blocks(fd);
    Flock: flock(fd: c_int, how: c_int) -> c_int, when how & (libc::LOCK_NB | libc::LOCK_UN) == 0;
    Getaddrinfo: getaddrinfo(node: *const libc::c_char, service: *const libc::c_char, hints: *const libc::addrinfo, to: *mut *mut libc::addrinfo) -> c_int,
        when true;
    Waitpid: waitpid(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t,
        when options & libc::WNOHANG == 0;
    Wait4: wait4(pid: libc::pid_t, status: *mut c_int, options: c_int, usage: *mut libc::rusage) -> libc::pid_t,
        when options & libc::WNOHANG == 0;
    Waitid: waitid(kind: libc::idtype_t, id: libc::id_t, info: *mut libc::siginfo_t, options: c_int) -> c_int,
        when options & libc::WNOHANG == 0;
    Read: read(fd: c_int, to: *mut c_void, count: usize) -> isize, when blocks(fd);
    Readv: readv(fd: c_int, to: *const libc::iovec, count: c_int) -> isize, when blocks(fd);
    Pread64: pread64(fd: c_int, to: *mut c_void, count: usize, at: libc::off64_t) -> isize, when blocks(fd);
    Recv: recv(fd: c_int, to: *mut c_void, count: usize, flags: c_int) -> isize,
        when flags & libc::MSG_DONTWAIT == 0 && blocks(fd);
    Recvfrom: recvfrom(fd: c_int, to: *mut c_void, count: usize, flags: c_int, from: *mut libc::sockaddr, size: *mut libc::socklen_t) -> isize,
        when flags & libc::MSG_DONTWAIT == 0 && blocks(fd);
    Recvmsg: recvmsg(fd: c_int, message: *mut libc::msghdr, flags: c_int) -> isize,
        when flags & libc::MSG_DONTWAIT == 0 && blocks(fd);
    Connect: connect(fd: c_int, to: *const libc::sockaddr, size: libc::socklen_t) -> c_int, when blocks(fd);
    Accept: accept(fd: c_int, peer: *mut libc::sockaddr, size: *mut libc::socklen_t) -> c_int, when blocks(fd);
    Accept4: accept4(fd: c_int, peer: *mut libc::sockaddr, size: *mut libc::socklen_t, flags: c_int) -> c_int,
        when blocks(fd);
    Poll: poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int, when timeout != 0;
    Select: select(count: c_int, read: *mut libc::fd_set, write: *mut libc::fd_set, except: *mut libc::fd_set, timeout: *mut libc::timeval) -> c_int,
        // SAFETY: the caller of the C function passes a valid time or null, which is no limit.
        when unsafe { timeout.as_ref() }.is_none_or(|time| time.tv_sec > 0 || time.tv_usec > 0);
    EpollWait: epoll_wait(fd: c_int, events: *mut libc::epoll_event, count: c_int, timeout: c_int) -> c_int,
        when timeout != 0;
}

/// Forwards, and notes the call if it took long: a lock that is free a moment later is no fault.
#[inline]
fn timed<T: Copy>(call: Call, forward: impl FnOnce() -> T) -> T {
    let start = clock::ticks();
    let result = forward();
    let took = clock::ticks().saturating_sub(start);
    if clock::ticks_to_ns(took) >= SHORTEST_NS {
        note(call, took);
    }
    result
}

/// The kernel's calls by number. Of the C function's variable arguments at most six are read, which
/// lie where these do: in registers, and the last of them on the stack of x86_64, where the caller's
/// frame is whether it passed one or not.
///
/// # Safety
/// As the C library's function of this name.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    type Real = unsafe extern "C-unwind" fn(
        c_long,
        c_long,
        c_long,
        c_long,
        c_long,
        c_long,
        c_long,
    ) -> c_long;
    // SAFETY: the library's function, which reads the same registers and the same place on the stack.
    let real = unsafe { transmute::<*mut c_void, Real>(real(Call::Syscall)) };
    let operation = b as c_int & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let waits = number == libc::SYS_futex
        && matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET);
    if waits && watched() {
        // SAFETY: the caller's promise.
        return timed(Call::Syscall, || unsafe { real(number, a, b, c, d, e, f) });
    }
    // SAFETY: the caller's promise.
    unsafe { real(number, a, b, c, d, e, f) }
}

/// # Safety
/// As the C library's function of this name.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn pthread_join(
    thread: libc::pthread_t,
    result: *mut *mut c_void,
) -> c_int {
    type Join = unsafe extern "C-unwind" fn(libc::pthread_t, *mut *mut c_void) -> c_int;
    // SAFETY: the library's function of that name, which has this signature.
    let real = unsafe { transmute::<*mut c_void, Join>(real(Call::PthreadJoin)) };
    if watched() {
        // SAFETY: the caller's promise.
        return timed(Call::PthreadJoin, || unsafe { real(thread, result) });
    }
    // SAFETY: the caller's promise.
    unsafe { real(thread, result) }
}
