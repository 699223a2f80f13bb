//! From made-up readings to causes: each rule, and what each refuses to say.

use super::*;

const MS: u64 = 1_000_000;

#[cfg(target_arch = "x86_64")]
const FUTEX: i64 = 202;
#[cfg(target_arch = "aarch64")]
const FUTEX: i64 = 98;
#[cfg(target_arch = "x86_64")]
const SLEEP: i64 = 230;
#[cfg(target_arch = "aarch64")]
const SLEEP: i64 = 115;

fn asleep_in(number: i64) -> Look {
    Look {
        state: Some('S'),
        call: Some(InCall::Call {
            number,
            first: 0,
            sp: 0,
            pc: 0,
        }),
        ..Look::default()
    }
}

fn running() -> Look {
    Look {
        state: Some('R'),
        call: Some(InCall::Running),
        ..Look::default()
    }
}

fn window(wall: u64, cpu: u64, delay: u64) -> Window {
    Window {
        wall: wall * MS,
        cpu: Some(cpu * MS),
        delay: Some(delay * MS),
        slices: Some(3),
    }
}

fn judged(looks: &[Look], window: Window) -> Judgement {
    judge(&Evidence {
        looks,
        window,
        proven: true,
        ..Evidence::default()
    })
}

#[test]
fn a_thread_on_a_cpu_all_the_time_it_could_be_is_cpu() {
    let cause = judged(&[running(), running()], window(300, 50, 248));
    assert_eq!((cause.kind, cause.words.as_str()), (Kind::Cpu, "CPU"));
    assert_eq!(cause.because, "on a CPU for 50.0 ms of 52.0 ms");
    assert_eq!(cause.call, "");
}

#[test]
fn a_thread_asleep_in_one_call_is_that_call() {
    let cause = judged(&[asleep_in(SLEEP), asleep_in(SLEEP)], window(100, 0, 0));
    assert_eq!((cause.kind, cause.words.as_str()), (Kind::Syscall, "sleep"));
    let cause = judged(&[asleep_in(FUTEX)], window(100, 1, 0));
    assert_eq!(
        (cause.kind, cause.words.as_str()),
        (Kind::Lock, "a lock (futex)")
    );
    let cause = judged(&[asleep_in(9999)], window(100, 1, 0));
    assert_eq!(cause.words, "syscall number 9999");
}

#[test]
fn a_last_look_that_saw_it_leave_the_call_does_not_hide_the_call() {
    let looks = [asleep_in(SLEEP), asleep_in(SLEEP), running()];
    let cause = judged(&looks, window(100, 0, 0));
    assert_eq!(cause.words, "sleep");
    assert!(cause.because.contains("at 2 of 3 looks"));
    // Running is what it did at most looks: the call is not what it lasts for.
    let looks = [asleep_in(SLEEP), running(), running()];
    assert_eq!(judged(&looks, window(100, 0, 0)).kind, Kind::Unknown);
}

#[test]
fn one_look_into_a_call_does_not_name_it_when_the_cpu_was_used() {
    let cause = judged(&[running(), asleep_in(FUTEX)], window(100, 90, 0));
    assert_eq!(cause.kind, Kind::Cpu);
    let cause = judged(&[asleep_in(FUTEX)], window(0, 0, 0));
    assert_eq!(cause.kind, Kind::Unknown, "one look, no window");
}

#[test]
fn calls_that_change_from_look_to_look_are_not_one_cause() {
    let looks = [asleep_in(FUTEX), asleep_in(FUTEX), asleep_in(SLEEP)];
    let cause = judged(&looks, window(100, 10, 0));
    assert_eq!(cause.kind, Kind::Unknown);
    assert!(
        cause
            .words
            .starts_with("cause unknown (on a CPU for 10.0 ms of 100.0 ms")
    );
}

#[test]
fn what_was_not_read_is_not_said() {
    let blind = Window {
        wall: 100 * MS,
        ..Window::default()
    };
    assert_eq!(
        judged(&[], blind).words,
        "cause unknown (its CPU time could not be read)"
    );
    let unproven = judge(&Evidence {
        window: blind,
        ..Evidence::default()
    });
    assert_eq!(unproven.kind, Kind::Unknown);
}

#[test]
fn a_fault_is_a_page_in_only_with_major_faults_or_a_paging_wait() {
    let fault = |faults, wchan: &str| Look {
        state: Some('D'),
        call: Some(InCall::Fault { sp: 0, pc: 0 }),
        major_faults: Some(faults),
        wchan: Some(wchan.to_owned()),
        ..Look::default()
    };
    let grown = [fault(3, "x"), fault(5, "x")];
    assert_eq!(judged(&grown, window(100, 1, 0)).kind, Kind::PageIn);
    let waits = [fault(3, "folio_wait_bit_common")];
    assert_eq!(judged(&waits, window(100, 1, 0)).kind, Kind::PageIn);
    let neither = [fault(3, "x"), fault(3, "x")];
    assert_eq!(judged(&neither, window(100, 1, 0)).kind, Kind::Unknown);
}

/// Not proven, with 92 ms that were not its own.
fn host(gap: u64, throttled: Option<u64>, limit: Option<f64>) -> Judgement {
    judge(&Evidence {
        gap,
        throttled: throttled.map(|ns| Throttled { ns, limit }),
        unproven: 92 * MS,
        window: window(100, 1, 90),
        ..Evidence::default()
    })
}

#[test]
fn what_is_not_proven_is_put_down_to_the_host_with_its_reason() {
    let slept = host(30 * MS, None, None);
    assert_eq!(
        (slept.words.as_str(), slept.because.as_str()),
        ("host", "the watchdog itself overslept 30.0 ms")
    );
    let delay = host(0, None, None);
    assert_eq!(
        (delay.kind, delay.words.as_str(), delay.because.as_str()),
        (
            Kind::Host,
            "waiting for a CPU",
            "up to 90.0 ms of 100.0 ms without a CPU"
        )
    );
}

#[test]
fn a_quota_that_took_most_of_what_was_not_its_own_is_the_cause() {
    let quota = host(0, Some(80 * MS), Some(0.2));
    assert_eq!(
        (quota.kind, quota.words.as_str(), quota.because.as_str()),
        (
            Kind::Throttled,
            "throttled",
            "80.0 ms by the cgroup quota (20 % of a CPU)"
        )
    );
    // The group's sum is over all its CPUs: of one thread it can be no more than what is missing.
    assert!(host(0, Some(500 * MS), None).because.starts_with("92.0 ms"));
    // A quota that took little explains little.
    assert_eq!(host(0, Some(20 * MS), Some(0.2)).kind, Kind::Host);
    assert_eq!(host(0, Some(0), Some(0.2)).kind, Kind::Host);
}

#[test]
fn a_proven_block_keeps_its_cause_and_says_what_a_quota_took_besides() {
    let cause = judge(&Evidence {
        looks: &[running(), running()],
        window: window(300, 60, 240),
        proven: true,
        throttled: Some(Throttled {
            ns: 220 * MS,
            limit: Some(1.5),
        }),
        unproven: 240 * MS,
        ..Evidence::default()
    });
    assert_eq!(cause.kind, Kind::Cpu);
    assert!(
        cause
            .because
            .ends_with("; besides, throttled 220.0 ms by the cgroup quota (1.5 CPUs)"),
        "{}",
        cause.because
    );
}

#[test]
fn a_host_that_tells_nothing_of_waits_is_said_to_tell_nothing() {
    let blind = judge(&Evidence {
        window: Window {
            wall: 100 * MS,
            cpu: Some(5 * MS),
            ..Window::default()
        },
        ..Evidence::default()
    });
    assert_eq!(
        blind.words,
        "cause unknown (schedstat is absent: its waits for a CPU are not told)"
    );
    let unread = judge(&Evidence {
        proven: true,
        unread: "the loop's thread is not known",
        ..Evidence::default()
    });
    assert_eq!(
        unread.words,
        "cause unknown (the loop's thread is not known)"
    );
}

#[test]
fn a_stopped_thread_is_said_to_be_stopped() {
    let stopped = Look {
        state: Some('T'),
        ..running()
    };
    assert_eq!(judged(&[stopped], window(100, 0, 0)).kind, Kind::Stopped);
}
