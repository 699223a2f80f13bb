//! The calling thread's id and stack bounds, and the CPU clock of any thread of this process.
//!
//! Unsafe for three calls of the C library. Knows nothing of what runs on a thread.

/// What is known of the calling thread. Zeros where the system does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Here {
    /// The kernel's id.
    pub(crate) id: u64,
    /// Lowest address of its stack and the stack's size in bytes.
    pub(crate) stack: [usize; 2],
}

/// Describes the calling thread. Cold: reads `/proc` on the main thread.
#[cfg(target_os = "linux")]
pub(crate) fn here() -> Here {
    Here {
        id: rustix::thread::gettid().as_raw_nonzero().get() as u64,
        stack: stack().unwrap_or_default(),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn here() -> Here {
    Here::default()
}

#[cfg(target_os = "linux")]
fn stack() -> Option<[usize; 2]> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `pthread_self` has no conditions and names a live thread, this one; the attributes
    // are written by the call, which says so by returning 0.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the call above initialised the attributes; both results are plain outputs.
    let told =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut size) } == 0;
    // SAFETY: initialised above, destroyed once, not used after.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    (told && !low.is_null() && size != 0).then_some([low as usize, size])
}

/// CPU time that thread `tid` of this process has used, in nanoseconds, up to now.
///
/// Errors: `None` when there is no such thread (any more).
#[cfg(target_os = "linux")]
pub(crate) fn cpu_time(tid: u64) -> Option<u64> {
    let tid = i32::try_from(tid).ok().filter(|&tid| tid > 0)?;
    // The kernel's coding of a thread's scheduler clock: the id's complement over bits 2|4.
    let clock = !tid << 3 | 6;
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for the write; a clock that does not exist is an error, not a fault.
    if unsafe { libc::clock_gettime(clock, &mut now) } != 0 {
        return None;
    }
    Some(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn cpu_time(_tid: u64) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_local_lies_within_the_stack() {
        let local = 0_u8;
        let address = std::ptr::from_ref(&local) as usize;
        let [low, size] = here().stack;
        assert!((low..low + size).contains(&address));
    }

    #[test]
    fn no_thread_has_no_clock() {
        assert_eq!(cpu_time(0), None);
        assert_eq!(cpu_time(u64::from(u32::MAX)), None);
    }
}
