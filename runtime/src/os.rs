//! What the kernel tells of one thread: time on a CPU, time waiting for one, its stack's bounds.
//!
//! Where a kernel does not tell, the answer is `None`. Knows neither loops nor limits; imports
//! nothing of ours, so that the watchdog and a test's gate read alike.

#[cfg(target_os = "linux")]
pub(crate) mod filter;
pub(crate) mod host;
pub(crate) mod open_files;
pub(crate) mod ours;
pub(crate) mod thread;

/// One reading of a thread's `schedstat`. Sums since the thread began, nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sched {
    /// Time on a CPU, as of the kernel's last tick or switch: up to some milliseconds old.
    pub(crate) ran: u64,
    /// Time runnable without a CPU. A wait is added when it ends, not while it lasts.
    pub(crate) delay: u64,
    /// Times it was given a CPU.
    pub(crate) slices: u64,
}

/// Reads `ran delay slices`; `None` for anything else.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn parse_schedstat(text: &str) -> Option<Sched> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    let mut next = || words.next()?.ok();
    Some(Sched {
        ran: next()?,
        delay: next()?,
        slices: next()?,
    })
}

/// The open `schedstat` of one thread of this process: a reading costs one system call.
#[derive(Debug)]
pub(crate) struct SchedFile {
    #[cfg(target_os = "linux")]
    file: std::fs::File,
}

impl SchedFile {
    /// Opens it. Errors: no such thread, or a kernel without it.
    #[cfg(target_os = "linux")]
    pub(crate) fn open(tid: u64) -> std::io::Result<Self> {
        std::fs::File::open(format!("/proc/self/task/{tid}/schedstat")).map(|file| Self { file })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn open(_tid: u64) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// What it says now. `None`: the thread is gone, or the kernel does not count.
    #[cfg(target_os = "linux")]
    pub(crate) fn read(&self) -> Option<Sched> {
        use std::os::unix::fs::FileExt;
        let mut text = [0; 80];
        let length = self.file.read_at(&mut text, 0).ok()?;
        let sched = parse_schedstat(std::str::from_utf8(&text[..length]).ok()?)?;
        // A kernel built without CONFIG_SCHED_INFO shows zeros: that is no reading.
        (sched.slices != 0).then_some(sched)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read(&self) -> Option<Sched> {
        None
    }
}

/// Whether this process has a handler of its own for a signal. `None`: the system does not tell.
#[cfg(unix)]
pub(crate) fn catches(signal: i32) -> Option<bool> {
    caught(&std::fs::read_to_string("/proc/self/status").ok()?, signal)
}

/// Reads the line `SigCgt:` of a process's status.
#[cfg(any(unix, test))]
fn caught(status: &str, signal: i32) -> Option<bool> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))?;
    let mask = u64::from_str_radix(line.trim(), 16).ok()?;
    let bit = u32::try_from(signal).ok()?.checked_sub(1)?;
    Some(mask.checked_shr(bit)? & 1 == 1)
}

thread_local! {
    static THREAD: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The kernel's id of the calling thread, asked for once; 0 where there is none to be had.
pub(crate) fn thread_id() -> u64 {
    let known = THREAD.get();
    if known != 0 {
        return known;
    }
    #[cfg(target_os = "linux")]
    THREAD.set(rustix::thread::gettid().as_raw_nonzero().get() as u64);
    THREAD.get()
}

/// Fills `bytes` with random ones from the system.
///
/// Errors: the system has no source of them.
#[cfg(unix)]
pub(crate) fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, bytes)
}

#[cfg(windows)]
pub(crate) fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    #[link(name = "advapi32")]
    unsafe extern "system" {
        /// `RtlGenRandom` by its exported name.
        fn SystemFunction036(bytes: *mut u8, length: u32) -> u8;
    }
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    // SAFETY: `bytes` is valid for writes of that many bytes, which is all that the call touches.
    match unsafe { SystemFunction036(bytes.as_mut_ptr(), length) } {
        0 => Err(std::io::Error::other(
            "the system gave no random bytes (RtlGenRandom)",
        )),
        _ => Ok(()),
    }
}

/// Has `action` called at each `signal`, on a thread of the system's or the one that raised it.
///
/// Errors: any but Ctrl-C and SIGTERM, since only those come in an ordinary call.
#[cfg(windows)]
pub(crate) fn on_signal(
    signal: i32,
    action: impl Fn() + Send + Sync + 'static,
) -> std::io::Result<signal_hook::SigId> {
    let ordinary = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    if !ordinary.contains(&signal) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!("signal {signal} cannot be handled on Windows: only Ctrl-C and SIGTERM can"),
        ));
    }
    // SAFETY: asks for an action that is sound in a signal's handler. The C library calls it for
    // these two on a thread that the system starts for that, or from within `raise`; either way
    // it interrupts no code, so that it may lock and allocate as any function does.
    unsafe { signal_hook::low_level::register(signal, action) }
}

static FORKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// How many forks lie between this process and the one that first asked for `after_fork_in_child`.
pub(crate) fn forks() -> u64 {
    FORKS.load(std::sync::atomic::Ordering::Relaxed)
}

/// The kernel's id of the thread of this process that has that name; 0 if there is none to be found.
pub(crate) fn thread_named(name: &str) -> u64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let is_it = |thread: &std::fs::DirEntry| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    threads
        .flatten()
        .find(is_it)
        .and_then(|thread| thread.file_name().to_str()?.parse().ok())
        .unwrap_or(0)
}

/// Has `hook` called in each child of a fork, before it goes on. The first hook stays.
///
/// The hook runs where only this thread exists: it may touch atomics, and locks with `try_lock`.
#[cfg(unix)]
pub(crate) fn after_fork_in_child(hook: fn()) {
    static HOOK: std::sync::OnceLock<fn()> = std::sync::OnceLock::new();
    unsafe extern "C" fn in_child() {
        THREAD.set(0);
        FORKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(hook) = HOOK.get() {
            hook();
        }
    }
    if HOOK.set(hook).is_ok() {
        // SAFETY: registers a plain function that lives as long as the process.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

/// There is no fork.
#[cfg(not(unix))]
pub(crate) fn after_fork_in_child(_: fn()) {}

/// Forks: 0 in the child, its number in the parent; for tests.
///
/// Only for a process with one thread: what others hold in the parent is held for ever in the child.
#[cfg(unix)]
pub(crate) fn fork_here() -> std::io::Result<u32> {
    // SAFETY: the caller's process has one thread, so that the child is whole; see above.
    let pid = unsafe { libc::fork() };
    u32::try_from(pid).map_err(|_| std::io::Error::last_os_error())
}

/// Forks, has the child end with what `child` returns, and gives that; as `fork_here`.
#[cfg(unix)]
pub(crate) fn fork_and_wait(child: impl FnOnce() -> u8) -> std::io::Result<u8> {
    let pid = fork_here()?;
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
        // SAFETY: ends the process; nothing of the parent's is run or flushed on the way.
        unsafe { libc::_exit(code.into()) }
    }
    let mut status = 0;
    // SAFETY: the child is ours, and nobody else waits for it.
    if unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    match libc::WIFEXITED(status) {
        true => Ok(libc::WEXITSTATUS(status) as u8),
        false => Err(std::io::Error::other("the child was ended by a signal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_which_signals_are_handled() {
        let status = "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000802\n";
        assert_eq!(caught(status, 12), Some(true));
        assert_eq!(
            (caught(status, 10), caught(status, 2)),
            (Some(false), Some(true))
        );
        assert_eq!((caught(status, 0), caught("", 12)), (None, None));
        assert_eq!(caught(status, 99), None);
    }

    #[test]
    fn schedstat_has_three_numbers_or_is_not_read() {
        let three = Sched {
            ran: 12,
            delay: 34,
            slices: 5,
        };
        assert_eq!(parse_schedstat("12 34 5\n"), Some(three));
        assert_eq!(parse_schedstat("12 34"), None);
        assert_eq!(parse_schedstat("12 x 5"), None);
        assert_eq!(parse_schedstat(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_running_thread_gets_slices_and_cpu_time() {
        let here = thread::here();
        let before = thread::cpu_time(here.id).unwrap();
        let file = SchedFile::open(here.id).unwrap();
        while thread::cpu_time(here.id).unwrap() < before + 1_000_000 {
            std::hint::spin_loop();
        }
        if let Some(sched) = file.read() {
            assert!(sched.slices > 0);
        }
    }
}
