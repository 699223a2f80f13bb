//! A seccomp filter, as a strict container sets one: for tests of what is then said. Only Linux.
//!
//! Unsafe for one call of the C library, which changes what the calling thread, and those that it
//! starts, may ask of the kernel. Knows nothing of who asks.

/// What the kernel refuses from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forbid {
    /// To queue a signal for a thread, with EPERM.
    Signals,
    /// To open a file only to read it, with EACCES: `/proc` among them.
    Reads,
    /// To share memory with a file, or with anybody, with EPERM.
    SharedMaps,
}

/// Has the kernel refuse that to the calling thread and to those that it starts, for good.
///
/// Errors: the kernel's.
pub fn forbid(what: Forbid) -> std::io::Result<()> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let has = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let allow = step(answer, 0, 0, libc::SECCOMP_RET_ALLOW);
    let refuse = |error: i32| step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | error as u32);
    // The number of the call is the first word of what the filter is given; its arguments lie at 16
    // and every 8 bytes, of a machine whose low word comes first.
    let number = step(load, 0, 0, 0);
    let is = |call: libc::c_long, then: u8, or: u8| step(equal, then, or, call as u32);
    let writes = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_PATH | libc::O_DIRECTORY;
    let mut steps = match what {
        Forbid::Signals => vec![
            number,
            is(libc::SYS_rt_tgsigqueueinfo, 3, 0),
            is(libc::SYS_tgkill, 2, 0),
            is(libc::SYS_rt_sigqueueinfo, 1, 0),
            allow,
            refuse(libc::EPERM),
        ],
        Forbid::Reads => vec![
            number,
            is(libc::SYS_openat, 0, 2),
            step(load, 0, 0, 32),
            step(has, 0, 1, writes as u32),
            allow,
            refuse(libc::EACCES),
        ],
        Forbid::SharedMaps => vec![
            number,
            is(libc::SYS_mmap, 0, 2),
            step(load, 0, 0, 40),
            step(has, 1, 0, libc::MAP_SHARED as u32),
            allow,
            refuse(libc::EPERM),
        ],
    };
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: both calls change the calling thread only; the kernel copies the program, which
    // lives until they return.
    let told = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
    };
    match told {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
