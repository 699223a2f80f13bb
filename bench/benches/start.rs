//! A loop from its making to its end: what a program pays once, and each test of a suite.

use loop_bench::{Contender, compare, rounds, settle};

/// Loops made one after the other in a round.
const LOOPS: u64 = 100;

fn ours() {
    for _ in 0..LOOPS {
        loop_runtime::run(async {}).expect("a loop can be made and run");
    }
}

fn tokios() {
    for _ in 0..LOOPS {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("tokio starts")
            .block_on(async {});
    }
}

fn main() {
    settle();
    compare(
        "a loop made, run with nothing to do, and ended: CPU of its thread",
        "ns",
        rounds(9),
        None,
        vec![
            Contender::new("loop-runtime, recorded", LOOPS, ours),
            Contender::new("tokio current_thread, not recorded", LOOPS, tokios),
        ],
    );
    compare(
        "the same: CPU of the process, its inspector too",
        "ns",
        rounds(9),
        None,
        vec![
            Contender::of_process("loop-runtime, recorded", LOOPS, ours),
            Contender::of_process("tokio current_thread, not recorded", LOOPS, tokios),
        ],
    );
}
