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
    assert!(cause.advice.contains("run_in_executor"));
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

#[test]
fn what_is_not_proven_is_put_down_to_the_host_with_its_reason() {
    let host = |gap, throttled, window| {
        judge(&Evidence {
            gap,
            throttled,
            window,
            ..Evidence::default()
        })
    };
    let slept = host(30 * MS, None, window(100, 1, 90));
    assert_eq!(
        (slept.words.as_str(), slept.because.as_str()),
        ("host", "the watchdog itself overslept 30.0 ms")
    );
    let quota = host(0, Some(80 * MS), window(100, 1, 90));
    assert_eq!(quota.because, "a CPU quota took 80.0 ms");
    let delay = host(0, None, window(100, 1, 90));
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
fn a_stopped_thread_is_said_to_be_stopped() {
    let stopped = Look {
        state: Some('T'),
        ..running()
    };
    assert_eq!(judged(&[stopped], window(100, 0, 0)).kind, Kind::Stopped);
}
