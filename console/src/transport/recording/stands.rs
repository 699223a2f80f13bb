//! What became of the process that wrote a recording: by what it said at its end, else by its pid, the moment it was started and
//! the boot it was of, which the file says and `/proc` confirms, else by the lock that it holds. Sends nothing to it.

use std::path::Path;

use loop_proto::recording::{End, Kind, Recording, boot_of};
use rustix::fs::{FlockOperation, flock};

use crate::recorded::about::Stands;

/// How it stands now. `pid_here`: by which number this machine knows it, where that is another one.
pub fn of(
    path: &Path,
    recording: &Recording,
    proc: Option<&Path>,
    pid_here: Option<u32>,
) -> Stands {
    let head = &recording.head;
    if head.kind == Kind::Dump {
        return Stands::Dumped;
    }
    match recording.ending.map(|ending| ending.end) {
        Some(End::Clean) => return Stands::Ended,
        Some(End::Panicked) => return Stands::Panicked,
        None => {}
    }
    let pid = pid_here.unwrap_or(head.pid);
    let stat = |proc: &Path| std::fs::read_to_string(proc.join(pid.to_string()).join("stat"));
    let found = proc.and_then(|proc| stat(proc).ok());
    match found.as_deref().and_then(state_and_start) {
        Some((state, start)) if start == head.start => match state {
            'T' | 't' => Stands::Stopped,
            'Z' | 'X' | 'x' => Stands::Zombie,
            _ => Stands::Runs,
        },
        _ if is_elsewhere(head.boot, proc) => Stands::Elsewhere,
        // In another namespace its pid means nothing here.
        _ if is_locked(path) => Stands::Runs,
        _ => Stands::Gone,
    }
}

/// Whether somebody holds the file, as its process does while it lives. Where this cannot be told, nobody does.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else {
        return false;
    };
    // Let go of at once, with the file.
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// When the process that has a pid now was started, in the kernel's ticks since its boot.
pub fn start_of(proc: &Path, pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    state_and_start(&stat).map(|(_, start)| start)
}

/// The state and the start of a process, from its `stat`. Its name may hold anything, so what counts begins after the last bracket.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let state = words.next()?.chars().next()?;
    // Field 22 of the line; the state is field 3.
    Some((state, words.nth(18)?.parse().ok()?))
}

/// Whether it was of a boot that is not this one. What cannot be told is not.
fn is_elsewhere(boot: [u8; 16], proc: Option<&Path>) -> bool {
    let id = proc.map(|proc| std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")));
    let Some(Ok(now)) = id else { return false };
    let now = boot_of(&now);
    boot != [0; 16] && now != [0; 16] && boot != now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_said_of_its_end_counts_before_what_is_seen_of_it() {
        use loop_proto::recording::{Ending, Head, compose};
        let path = std::env::temp_dir().join(format!("lc-stands-{}.rec", std::process::id()));
        let stands = |head: &Head, end: Option<End>, pid_here| {
            let mut bytes = compose(head, &[], &[]);
            if let Some(end) = end {
                let ending = Ending {
                    end,
                    mono_ns: 1,
                    unix_ns: 1,
                };
                let at = Ending::OFFSET as usize;
                bytes[at..at + Ending::BYTES].copy_from_slice(&ending.bytes());
            }
            std::fs::write(&path, &bytes).expect("a file");
            let recording = Recording::read(&bytes).expect("a recording");
            of(&path, &recording, Some(Path::new("/proc")), pid_here)
        };
        let ours = Head {
            pid: std::process::id(),
            start: start_of(Path::new("/proc"), std::process::id()).expect("on Linux"),
            ..Head::default()
        };
        assert_eq!(stands(&ours, None, None), Stands::Runs);
        assert_eq!(stands(&ours, Some(End::Clean), None), Stands::Ended);
        assert_eq!(stands(&ours, Some(End::Panicked), None), Stands::Panicked);
        // The pid alone is somebody else's by now.
        let before = Head {
            start: ours.start - 1,
            ..ours.clone()
        };
        assert_eq!(stands(&before, None, None), Stands::Gone);
        let inside = Head {
            pid: 1,
            ..ours.clone()
        };
        assert_eq!(stands(&inside, None, Some(ours.pid)), Stands::Runs);
        let elsewhere = Head {
            boot: [7; 16],
            ..before
        };
        assert_eq!(stands(&elsewhere, None, None), Stands::Elsewhere);
        let dump = Head {
            kind: Kind::Dump,
            ..ours
        };
        assert_eq!(stands(&dump, None, None), Stands::Dumped);
        std::fs::remove_file(&path).expect("it is there");
    }

    #[test]
    fn a_process_that_this_machine_does_not_know_by_its_pid_is_known_by_its_lock() {
        let path = std::env::temp_dir().join(format!("lc-locked-{}.rec", std::process::id()));
        let file = std::fs::File::create(&path).expect("a file");
        assert!(!is_locked(&path));
        flock(&file, FlockOperation::NonBlockingLockExclusive).expect("it is nobody's");
        assert!(is_locked(&path));
        drop(file);
        assert!(!is_locked(&path));
        std::fs::remove_file(&path).expect("it is there");
        assert!(!is_locked(&path));
    }

    #[test]
    fn a_process_is_known_by_its_start_whatever_its_name_is() {
        let rest = "4 4 4 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 9876543 1 2";
        let line = |state: &str| format!("7 (a) Z (b) {state} {rest}\n");
        assert_eq!(state_and_start(&line("S")), Some(('S', 9_876_543)));
        assert_eq!(state_and_start(&line("T")), Some(('T', 9_876_543)));
        assert_eq!(state_and_start("7 (cut) S 1"), None);
        assert_eq!(state_and_start(""), None);
        // Ours is read like any other.
        let own = std::fs::read_to_string("/proc/self/stat").expect("on Linux");
        assert!(state_and_start(&own).is_some_and(|(_, start)| start > 0));
    }
}
