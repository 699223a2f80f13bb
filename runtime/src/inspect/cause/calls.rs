//! Names of the system calls that a thread may be found waiting in. Knows only numbers.

/// Name, number on x86_64, number on aarch64; -1 where the architecture has no such call.
const CALLS: &[(&str, i64, i64)] = &[
    ("accept", 43, 202),
    ("accept4", 288, 242),
    ("access", 21, -1),
    ("brk", 12, 214),
    ("clock_nanosleep", 230, 115),
    ("clone", 56, 220),
    ("clone3", 435, 435),
    ("close", 3, 57),
    ("connect", 42, 203),
    ("copy_file_range", 326, 285),
    ("epoll_pwait", 281, 22),
    ("epoll_pwait2", 441, 441),
    ("epoll_wait", 232, -1),
    ("execve", 59, 221),
    ("fadvise64", 221, 223),
    ("fallocate", 285, 47),
    ("fcntl", 72, 25),
    ("fdatasync", 75, 83),
    ("flock", 73, 32),
    ("fork", 57, -1),
    ("fstat", 5, 80),
    ("fsync", 74, 82),
    ("ftruncate", 77, 46),
    ("futex", 202, 98),
    ("futex_wait", 455, 455),
    ("futex_waitv", 449, 449),
    ("getdents64", 217, 61),
    ("getrandom", 318, 278),
    ("io_uring_enter", 426, 426),
    ("ioctl", 16, 29),
    ("madvise", 28, 233),
    ("mkdir", 83, -1),
    ("mkdirat", 258, 34),
    ("mlock", 149, 228),
    ("mmap", 9, 222),
    ("mprotect", 10, 226),
    ("msgrcv", 70, 188),
    ("msync", 26, 227),
    ("munmap", 11, 215),
    ("nanosleep", 35, 101),
    ("newfstatat", 262, 79),
    ("open", 2, -1),
    ("openat", 257, 56),
    ("pause", 34, -1),
    ("poll", 7, -1),
    ("ppoll", 271, 73),
    ("pread64", 17, 67),
    ("preadv", 295, 69),
    ("pselect6", 270, 72),
    ("pwrite64", 18, 68),
    ("pwritev", 296, 70),
    ("read", 0, 63),
    ("readv", 19, 65),
    ("recvfrom", 45, 207),
    ("recvmmsg", 299, 243),
    ("recvmsg", 47, 212),
    ("rename", 82, -1),
    ("renameat", 264, 38),
    ("rmdir", 84, -1),
    ("rt_sigsuspend", 130, 133),
    ("rt_sigtimedwait", 128, 137),
    ("select", 23, -1),
    ("semop", 65, 193),
    ("semtimedop", 220, 192),
    ("sendfile", 40, 71),
    ("sendmmsg", 307, 269),
    ("sendmsg", 46, 211),
    ("sendto", 44, 206),
    ("splice", 275, 76),
    ("stat", 4, -1),
    ("statx", 332, 291),
    ("sync", 162, 81),
    ("sync_file_range", 277, 84),
    ("syncfs", 306, 267),
    ("truncate", 76, 45),
    ("unlink", 87, -1),
    ("unlinkat", 263, 35),
    ("vfork", 58, -1),
    ("wait4", 61, 260),
    ("waitid", 247, 95),
    ("write", 1, 64),
    ("writev", 20, 66),
];

/// The name of call `number` on this machine, if the table has it.
pub(crate) fn name(number: i64) -> Option<&'static str> {
    let find = |own: fn(&(&'static str, i64, i64)) -> i64| {
        CALLS
            .iter()
            .find(|call| own(call) == number)
            .map(|call| call.0)
    };
    match std::env::consts::ARCH {
        _ if number < 0 => None,
        "x86_64" => find(|call| call.1),
        "aarch64" => find(|call| call.2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_has_two_names() {
        for column in [|c: &(&str, i64, i64)| c.1, |c: &(&str, i64, i64)| c.2] {
            let mut numbers: Vec<i64> = CALLS.iter().map(column).filter(|&n| n >= 0).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_table_agrees_with_the_c_library() {
        for (number, expected) in [
            (libc::SYS_clock_nanosleep, "clock_nanosleep"),
            (libc::SYS_futex, "futex"),
            (libc::SYS_fsync, "fsync"),
            (libc::SYS_recvfrom, "recvfrom"),
            (libc::SYS_epoll_pwait2, "epoll_pwait2"),
            (libc::SYS_openat, "openat"),
        ] {
            assert_eq!(name(number), Some(expected));
        }
        assert_eq!(name(-1), None);
        assert_eq!(name(9999), None);
    }
}
