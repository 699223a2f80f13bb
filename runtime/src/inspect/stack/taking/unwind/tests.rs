//! Stacks of threads that spin, wait and go, taken for real.

use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};

use super::*;
use crate::inspect::stack::names::resolve::Resolver;

/// The slot is one for the process.
static ALONE: Mutex<()> = Mutex::new(());

#[inline(never)]
fn recurse(depth: u32, work: &dyn Fn()) -> u32 {
    if depth == 0 {
        work();
        return 0;
    }
    recurse(depth - 1, work) + std::hint::black_box(1)
}

/// Runs `work` 20 calls deep on a loop's thread while `look` looks from here.
fn beside(
    work: impl Fn() + Send + 'static,
    look: impl FnOnce(&LoopRecord, &Probe),
    end: impl FnOnce(),
) {
    let record = LoopRecord::new("toy", false, Location::caller());
    let inner = record.clone();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _runs = inner.runs_here();
        let frame = 0_u8;
        inner.current.set_base(std::ptr::from_ref(&frame) as usize);
        tell.send(()).unwrap();
        std::hint::black_box(recurse(20, &work));
    });
    told.recv().unwrap();
    let tid = record.facts.thread.load(Ordering::Acquire);
    look(&record, &Probe::new(tid));
    end();
    thread.join().unwrap();
}

fn depth(stack: &Stack) -> usize {
    let (lines, _) = Resolver::new().lines(stack, [None, None]);
    lines
        .iter()
        .filter(|line| line.function.ends_with("unwind::tests::recurse"))
        .count()
}

/// Takes stacks until one shows all calls: a thread may still be on its way in, and on a busy
/// machine it may wait for a CPU longer than is waited for its answer.
fn taken(unwinding: &mut Unwinding, record: &LoopRecord, probe: &Probe) -> Stack {
    let mut last = None;
    for _ in 0..1000 {
        let stack = unwinding.take(record, probe);
        if let Ok(stack) = &stack
            && depth(stack) == 21
        {
            return stack.clone();
        }
        last = Some(stack);
        std::thread::yield_now();
    }
    panic!("never complete: {last:#?}");
}

#[test]
fn a_spinning_thread_is_copied_by_its_handler_down_to_the_base() {
    let _alone = ALONE.lock().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let inner = stop.clone();
    let mut unwinding = Unwinding::new().unwrap();
    beside(
        move || {
            while !inner.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        },
        |record, probe| {
            let stack = taken(&mut unwinding, record, probe);
            assert!(stack.complete);
            assert_eq!(stack.how, How::Signal);
            let frame = &stack.frames[0];
            assert!(!frame.module.is_empty() && frame.function.is_some());
        },
        || stop.store(true, Ordering::Relaxed),
    );
}

#[test]
fn a_waiting_thread_yields_a_stack_and_its_wait_goes_on() {
    let _alone = ALONE.lock().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let stopped = Mutex::new(stopped);
    let mut unwinding = Unwinding::new().unwrap();
    beside(
        move || {
            let _ = stopped.lock().unwrap().recv();
        },
        |record, probe| {
            while !matches!(probe.call(), Some(InCall::Call { .. })) {
                std::thread::yield_now();
            }
            let stack = taken(&mut unwinding, record, probe);
            assert!(stack.complete);
        },
        || drop(stop),
    );
}

#[test]
fn a_loop_that_left_its_thread_is_not_signalled() {
    let _alone = ALONE.lock().unwrap();
    let record = LoopRecord::new("toy", false, Location::caller());
    let runs = record.runs_here();
    let probe = Probe::new(record.facts.thread.load(Ordering::Acquire));
    drop(runs);
    let mut unwinding = Unwinding::new().unwrap();
    assert_eq!(
        unwinding.take(&record, &probe),
        Err("the loop has left its thread".to_owned())
    );
}

#[test]
fn where_a_filter_forbids_the_signal_that_is_said() {
    let _alone = ALONE.lock().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let inner = stop.clone();
    // The filter is the thread's that installs it, and stays with it.
    let refused = |record: &LoopRecord, tid: u64| {
        std::thread::scope(|threads| {
            let asks = || {
                crate::os::filter::forbid(crate::os::filter::Forbid::Signals).unwrap();
                Unwinding::new().unwrap().take(record, &Probe::new(tid))
            };
            threads.spawn(asks).join().unwrap()
        })
    };
    beside(
        move || {
            while !inner.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        },
        |record, probe| {
            let why = refused(record, probe.tid).unwrap_err();
            assert!(
                why.starts_with("the thread cannot be signalled: ")
                    && why.ends_with("a seccomp filter forbids rt_tgsigqueueinfo"),
                "{why}"
            );
        },
        || stop.store(true, Ordering::Relaxed),
    );
}

#[test]
fn a_pointer_that_is_not_on_the_stack_limits_nothing() {
    let bounds = Bounds {
        low: 0x1000,
        high: 0x9000,
        base: 0x3000,
    };
    assert_eq!(
        bounds.limit(0x2000),
        Some(0x3400),
        "the base and a little more"
    );
    assert_eq!(bounds.limit(0x4000), Some(0x9000), "above the base");
    assert_eq!(bounds.limit(0x9000), None);
    assert_eq!(bounds.limit(0), None);
}

#[test]
fn a_thread_that_gets_no_cpu_is_waited_for_and_one_that_runs_on_is_not() {
    let _alone = ALONE.lock().unwrap();
    let asked = std::cell::Cell::new(0);
    let registers = capture::wait_unsent(|| {
        asked.set(asked.get() + 1);
        // Again, if a watchdog of another test asked for something in between.
        if asked.get() >= 3 {
            capture::answer();
        }
        true
    });
    assert!(registers.is_ok() && asked.get() >= 3);
    let why = capture::wait_unsent(|| false).unwrap_err();
    assert_eq!(why, "the thread did not answer in 20 ms");
    // It was given a CPU just before it answers: that counts.
    let answers = capture::wait_unsent(|| {
        capture::answer();
        false
    });
    assert!(answers.is_ok());
}
