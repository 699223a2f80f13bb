//! What is said of a block in words, the same on the screen, in JSON and in `explain`: what to do
//! about each cause, and in how far the stacks taken of it agree. Pure; knows no app.

use crate::pb::BlockCause;

/// What to do when a thread used the CPU all the time.
const CPU: &str =
    "Cut the work in parts with yield_now().await between them, or move it to run_in_executor.";
const SLEEP: &str = "Await loop_runtime::sleep instead of the thread's sleep.";
const LOOKUP: &str = "Look names up with net::lookup_host, which waits on another thread.";
const NET: &str = "Use the runtime's sockets: the thread's block the whole loop.";
const FILE: &str = "Use fs:: or run_in_executor: the kernel has no other way to wait for files.";
const CHILD: &str = "Await the child with process::create_subprocess_exec.";
const CALL: &str = "Make the call in run_in_executor.";
const LOCK: &str = "Use sync::Lock, whose wait lets others run; or hold the thread's mutex for less long and never over an await.";
const JOIN: &str = "Await to_thread or run_in_executor instead of joining a thread.";
const CHANNEL: &str = "Receive from sync::Queue or a channel of this runtime: a channel of threads blocks the whole loop.";
const PAGE: &str = "Keep the memory in: touch it before it is needed, lock it with mlock, map it with MAP_POPULATE; or give the host more memory.";
const HOST: &str = "Nothing to mend in the app: give it more CPU, or pack the host less.";
const THROTTLED: &str = "Raise the quota (cpu.max, or the container's CPU limit), or do less at once: the quota is of all threads of the group.";
const STOPPED: &str =
    "Let it go on (SIGCONT, or the debugger's continue): nothing runs on a thread that is stopped.";
const UNKNOWN: &str = "See its stack, and the reason why the cause is not known.";

/// Each cause with what it is and what to do about it, for whoever explains them all.
pub const CAUSES: &[(BlockCause, &str, &str)] = &[
    (BlockCause::Cpu, "the thread used the CPU all the time", CPU),
    (
        BlockCause::Syscall,
        "the thread slept in a system call, which is named",
        CALL,
    ),
    (
        BlockCause::Lock,
        "the thread waited for a lock of this process",
        LOCK,
    ),
    (BlockCause::PageIn, "pages had to be read from disk", PAGE),
    (
        BlockCause::Host,
        "the thread was runnable and got no CPU; never over budget by itself",
        HOST,
    ),
    (
        BlockCause::Throttled,
        "the control group had used up its CPU quota; never over budget by itself",
        THROTTLED,
    ),
    (
        BlockCause::Stopped,
        "a signal or a debugger had stopped the thread",
        STOPPED,
    ),
    (
        BlockCause::Unspecified,
        "what the kernel tells does not suffice, and the reason is said",
        UNKNOWN,
    ),
];

/// What the system call, or the stack of a wait for a lock, tells more exactly, and what to do then.
pub const WAITS: &[(&str, &str)] = &[
    ("a sleep", SLEEP),
    ("files", FILE),
    ("sockets", NET),
    ("a name's lookup", LOOKUP),
    ("a child", CHILD),
    ("a thread's end", JOIN),
    ("a channel of threads", CHANNEL),
];

/// What to do about a block of that cause. `call`: the system call it slept in, empty where it is
/// not known. `functions`: those of its stack, which tell a name's lookup from other waits.
#[must_use]
pub fn advice<'a>(
    cause: BlockCause,
    call: &str,
    functions: impl IntoIterator<Item = &'a str>,
) -> &'static str {
    let mut functions = functions.into_iter();
    match cause {
        BlockCause::Cpu => CPU,
        // A wait for a thread and one for a channel are futexes too; the stack tells them apart.
        BlockCause::Lock => functions
            .find_map(|name| {
                if is_any(name, &["::mpsc::", "::mpmc::"]) {
                    Some(CHANNEL)
                } else if is_any(name, &["JoinHandle", "JoinInner", "pthread_join"]) {
                    Some(JOIN)
                } else {
                    None
                }
            })
            .unwrap_or(LOCK),
        BlockCause::PageIn => PAGE,
        BlockCause::Host => HOST,
        BlockCause::Throttled => THROTTLED,
        BlockCause::Stopped => STOPPED,
        BlockCause::Unspecified => UNKNOWN,
        BlockCause::Syscall => {
            if functions.any(|name| is_any(name, &["getaddrinfo", "LookupHost", "to_socket_addrs"]))
            {
                LOOKUP
            } else {
                of_call(call)
            }
        }
    }
}

fn is_any(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| name.contains(part))
}

fn of_call(call: &str) -> &'static str {
    match call {
        "nanosleep" | "clock_nanosleep" => SLEEP,
        "connect" | "accept" | "accept4" | "recvfrom" | "recvmsg" | "recvmmsg" | "sendto"
        | "sendmsg" | "sendmmsg" | "poll" | "ppoll" | "select" | "pselect6" => NET,
        "fsync" | "fdatasync" | "syncfs" | "sync" | "sync_file_range" | "msync" | "open"
        | "openat" | "pread64" | "pwrite64" | "preadv" | "pwritev" | "getdents64" | "unlink"
        | "unlinkat" | "rename" | "renameat" | "truncate" | "ftruncate" | "fallocate" | "flock"
        | "copy_file_range" => FILE,
        "wait4" | "waitid" => CHILD,
        _ => CALL,
    }
}

/// One stack of several: its frames as (function, place), innermost first, and how many of them,
/// counted from the outermost, are the same in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Function and place of each frame.
    pub frames: Vec<(&'a str, &'a str)>,
    /// How many are common to all; 0 of a stack that could not be compared.
    pub common: usize,
}

/// In how far `samples` agree: `same in 3 of 3 samples down to parse_row(); then it varied`.
/// Empty: there are none.
#[must_use]
pub fn agreement(samples: &[Sample<'_>]) -> String {
    let all = samples.len();
    let compared: Vec<&Sample<'_>> = samples.iter().filter(|one| one.common > 0).collect();
    match (all, compared.as_slice()) {
        (0, _) => String::new(),
        (1, _) => "1 sample".to_owned(),
        (_, []) => format!("{all} samples that have nothing in common"),
        (_, [first, rest @ ..]) => {
            let many = compared.len();
            let inner = |one: &Sample<'_>| {
                let at = one.frames.len().checked_sub(one.common)?;
                one.frames
                    .get(at)
                    .map(|(function, place)| ((*function).to_owned(), (*place).to_owned()))
            };
            let whole = compared.iter().all(|one| one.common == one.frames.len());
            if whole && rest.iter().all(|one| inner(one) == inner(first)) {
                return format!("same in {many} of {all} samples");
            }
            let function = inner(first)
                .map(|(function, _)| function)
                .unwrap_or_default();
            let down_to = match last_part(&function) {
                "" => "a function without a name".to_owned(),
                name => format!("{name}()"),
            };
            format!("same in {many} of {all} samples down to {down_to}; then it varied")
        }
    }
}

/// The last part of a path of a function: of `shop::csv::parse_row` it is `parse_row`, of a closure
/// that of the function around it.
fn last_part(function: &str) -> &str {
    let mut rest = function;
    while let Some(outer) = rest.strip_suffix("::{{closure}}").or_else(|| {
        let (outer, inner) = rest.rsplit_once("::")?;
        (inner.starts_with('{') && inner.ends_with('}')).then_some(outer)
    }) {
        rest = outer;
    }
    // What stands in angle brackets is no part of its own.
    let mut depth = 0_i32;
    let mut from = 0;
    let bytes = rest.as_bytes();
    for at in 0..bytes.len() {
        match bytes[at] {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => from = at + 2,
            _ => {}
        }
    }
    &rest[from..]
}

/// A quota as people say it: `20 % of a CPU`, `1.5 CPUs`.
#[must_use]
pub fn quota(cpus: f64) -> String {
    if cpus < 1.0 {
        format!("{:.0} % of a CPU", cpus * 100.0)
    } else if (cpus - 1.0).abs() < 1e-9 {
        "1 CPU".to_owned()
    } else {
        format!("{} CPUs", (cpus * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(frames: &[(&'a str, &'a str)], common: usize) -> Sample<'a> {
        Sample {
            frames: frames.to_vec(),
            common,
        }
    }

    #[test]
    fn every_cause_has_its_own_advice() {
        let mut texts: Vec<&str> = CAUSES.iter().map(|(_, _, advice)| *advice).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), CAUSES.len());
        for number in 0.. {
            let Ok(cause) = BlockCause::try_from(number) else {
                assert_eq!(number as usize, CAUSES.len(), "each cause is listed");
                break;
            };
            assert!(
                CAUSES
                    .iter()
                    .any(|(of, _, text)| *of == cause && advice(cause, "", []) == *text)
            );
        }
    }

    #[test]
    fn a_call_has_the_advice_of_its_kind() {
        let of = |call| advice(BlockCause::Syscall, call, []);
        assert!(of("clock_nanosleep").contains("loop_runtime::sleep"));
        assert!(of("fsync").contains("fs::"));
        assert!(of("recvfrom").contains("sockets"));
        assert!(of("wait4").contains("create_subprocess_exec"));
        assert!(of("something").contains("run_in_executor"));
        let stack = ["__poll", "getaddrinfo", "shop::main"];
        assert!(advice(BlockCause::Syscall, "poll", stack).contains("lookup_host"));
        let join = ["syscall", "std::thread::JoinInner<T>::join", "shop::main"];
        assert_eq!(advice(BlockCause::Lock, "futex", join), JOIN);
        let channel = ["futex_wait", "std::sync::mpsc::Receiver<T>::recv"];
        assert_eq!(advice(BlockCause::Lock, "futex", channel), CHANNEL);
        // A stack tells what a wait was for, not why the CPU was used.
        assert_eq!(advice(BlockCause::Cpu, "", stack), CPU);
    }

    #[test]
    fn how_far_stacks_agree_is_said_with_the_function_where_they_part() {
        let one = [
            ("mul", "m.rs:1"),
            ("csv::parse_row", "c.rs:9"),
            ("run", "r.rs:1"),
        ];
        let two = [
            ("add", "m.rs:2"),
            ("csv::parse_row", "c.rs:12"),
            ("run", "r.rs:1"),
        ];
        assert_eq!(
            agreement(&[sample(&one, 2), sample(&two, 2), sample(&one, 2)]),
            "same in 3 of 3 samples down to parse_row(); then it varied"
        );
        assert_eq!(
            agreement(&[sample(&one, 3), sample(&one, 3)]),
            "same in 2 of 2 samples"
        );
        assert_eq!(agreement(&[sample(&one, 3)]), "1 sample");
        assert_eq!(agreement(&[]), "");
        // The same functions all the way, but at another line of the innermost one.
        let moved = [("mul", "m.rs:7"), one[1], one[2]];
        assert_eq!(
            agreement(&[sample(&one, 3), sample(&moved, 3)]),
            "same in 2 of 2 samples down to mul(); then it varied"
        );
        assert_eq!(
            agreement(&[sample(&one, 0), sample(&two, 0)]),
            "2 samples that have nothing in common"
        );
        // One that did not reach the outermost frame cannot be compared.
        assert_eq!(
            agreement(&[sample(&one, 3), sample(&two[..1], 0), sample(&one, 3)]),
            "same in 2 of 3 samples"
        );
    }

    #[test]
    fn a_function_is_called_by_the_last_part_of_its_path() {
        assert_eq!(last_part("shop::csv::parse_row"), "parse_row");
        assert_eq!(last_part("shop::main::{{closure}}::{{closure}}"), "main");
        assert_eq!(last_part("shop::main::{async_fn#0}"), "main");
        assert_eq!(last_part("<a::B as c::D>::poll"), "poll");
        assert_eq!(last_part("memcpy"), "memcpy");
        assert_eq!(last_part(""), "");
    }

    #[test]
    fn a_quota_is_said_as_people_do() {
        assert_eq!(quota(0.2), "20 % of a CPU");
        assert_eq!(quota(1.0), "1 CPU");
        assert_eq!(quota(1.5), "1.5 CPUs");
    }
}
