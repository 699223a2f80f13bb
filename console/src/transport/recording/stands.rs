//! What became of the process that wrote a recording: by its pid, the moment it was started and the boot it was of, which the file
//! says and `/proc` confirms. Sends nothing to it and takes no lock.

use std::path::Path;

use loop_proto::recording::{Kind, Recording};

use crate::recorded::about::Stands;

/// How it stands now. `pid_here`: by which number this machine knows it, where that is another one.
pub fn of(recording: &Recording, proc: Option<&Path>, pid_here: Option<u32>) -> Stands {
    let head = &recording.head;
    if head.kind == Kind::Dump {
        return Stands::Dumped;
    }
    let pid = pid_here.unwrap_or(head.pid);
    let found =
        proc.and_then(|proc| std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok());
    match found.as_deref().and_then(state_and_start) {
        Some((state, start)) if start == head.start => match state {
            'T' | 't' => Stands::Stopped,
            'Z' | 'X' | 'x' => Stands::Zombie,
            _ => Stands::Runs,
        },
        _ if is_elsewhere(head.boot, proc) => Stands::Elsewhere,
        _ => Stands::Gone,
    }
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
    let Some(proc) = proc.filter(|_| boot != [0; 16]) else {
        return false;
    };
    let now = std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
    let now: String = now.chars().filter(char::is_ascii_hexdigit).collect();
    let was: String = boot.iter().map(|byte| format!("{byte:02x}")).collect();
    now.len() == was.len() && now != was
}

#[cfg(test)]
mod tests {
    use super::*;

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
