//! Readings of a thread of this process from outside: what its files under `/proc` say now.
//!
//! A file that cannot be read is an absent field. Knows no loop and judges nothing.

use std::fs;

use super::{InCall, Look, Reading};
use crate::clock;
use crate::os::{self, SchedFile};

/// The open files of one thread.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) tid: u64,
    sched: Option<SchedFile>,
}

impl Probe {
    pub(crate) fn new(tid: u64) -> Self {
        Self {
            tid,
            sched: SchedFile::open(tid).ok(),
        }
    }

    /// The cheap reading, taken at every wake: two system calls.
    pub(crate) fn read(&self) -> Reading {
        let from = clock::ticks();
        let sched = self.sched.as_ref().and_then(SchedFile::read);
        let cpu = os::thread::cpu_time(self.tid);
        Reading {
            from,
            to: clock::ticks(),
            sched,
            cpu,
        }
    }

    /// The full reading, about 0.1 ms: only of a thread that is over its budget.
    ///
    /// The state is read before `schedstat`: a thread that was asleep has no wait for a CPU that
    /// the sum read afterwards could miss.
    pub(crate) fn look(&self) -> Look {
        let from = clock::ticks();
        let stat = self.text("stat").and_then(|text| parse_stat(&text));
        let reading = self.read();
        let switches = self.text("status").map(|text| {
            let field = |name| parse_field(&text, name);
            (
                field("voluntary_ctxt_switches:"),
                field("nonvoluntary_ctxt_switches:"),
            )
        });
        Look {
            reading: Reading { from, ..reading },
            state: stat.map(|stat| stat.0),
            major_faults: stat.map(|stat| stat.1),
            voluntary: switches.and_then(|both| both.0),
            involuntary: switches.and_then(|both| both.1),
            call: self.call(),
            wchan: self.text("wchan").filter(|name| name != "0"),
        }
    }

    /// Where the thread is in the kernel, if it is there.
    pub(crate) fn call(&self) -> Option<InCall> {
        parse_call(&self.text("syscall")?)
    }

    /// Whether the thread has blocked `signal`. `None`: not told.
    pub(crate) fn blocks(&self, signal: i32) -> Option<bool> {
        let status = self.text("status")?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let mask = u64::from_str_radix(mask?.trim(), 16).ok()?;
        Some(mask >> (signal - 1) & 1 == 1)
    }

    /// Whether the thread runs, or would if it were given a CPU.
    pub(crate) fn is_runnable(&self) -> bool {
        let stat = self.text("stat").and_then(|text| parse_stat(&text));
        stat.is_some_and(|(state, _)| state == 'R')
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/self/task/{}/{file}", self.tid)).ok()
    }
}

/// State and major faults of a `stat` line. The name, in brackets, may hold anything.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let rest = &text[text.rfind(')')? + 1..];
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?.chars().next()?;
    // Fields 4 to 11 lie between: ppid, pgrp, session, tty, tpgid, flags, minflt, cminflt.
    let major_faults = words.nth(8)?.parse().ok()?;
    Some((state, major_faults))
}

fn parse_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

/// `running`, `-1 sp pc`, or `number six-arguments sp pc`.
fn parse_call(text: &str) -> Option<InCall> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    if first == "running" {
        return Some(InCall::Running);
    }
    let number: i64 = first.parse().ok()?;
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let rest: Option<Vec<u64>> = words.map(hex).collect();
    match *rest? {
        [sp, pc] if number == -1 => Some(InCall::Fault { sp, pc }),
        [first, .., sp, pc] => Some(InCall::Call {
            number,
            first,
            sp,
            pc,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = "77 (a) b (c)) D 1 2 3 4 5 6 700 0 9 0 11 12 0 0 20";
        assert_eq!(parse_stat(line), Some(('D', 9)));
        assert_eq!(parse_stat("77 (x) R 1 2"), None);
    }

    #[test]
    fn a_call_a_fault_and_running_are_told_apart() {
        assert_eq!(parse_call("running\n"), Some(InCall::Running));
        assert_eq!(
            parse_call("-1 0x7ffc 0x401000\n"),
            Some(InCall::Fault {
                sp: 0x7ffc,
                pc: 0x40_1000
            })
        );
        assert_eq!(
            parse_call("230 0x0 0x0 0x1 0x2 0x0 0x0 0x7ffd 0x7f01\n"),
            Some(InCall::Call {
                number: 230,
                first: 0,
                sp: 0x7ffd,
                pc: 0x7f01
            })
        );
        assert_eq!(parse_call("what"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_field(status, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!(parse_field(status, "absent:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sleeping_thread_is_seen_in_its_call() {
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(os::thread::here().id).unwrap();
            let _ = stopped.recv();
        });
        let probe = Probe::new(told.recv().unwrap());
        // It is on its way into the wait; it stays there until told.
        let look = loop {
            let look = probe.look();
            if look.state == Some('S') && matches!(look.call, Some(InCall::Call { .. })) {
                break look;
            }
            std::thread::yield_now();
        };
        drop(stop);
        sleeper.join().unwrap();
        let Some(InCall::Call { number, .. }) = look.call else {
            unreachable!("just matched")
        };
        assert_eq!(super::super::calls::name(number), Some("futex"));
        assert!(look.reading.cpu.is_some() && look.voluntary.is_some());
    }
}
