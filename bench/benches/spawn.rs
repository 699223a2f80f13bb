//! One task's life: spawned, run to its end, joined.

use loop_bench::{Contender, compare, rounds, settle};

const BATCH: usize = 1_000;
const BATCHES: usize = 300;
const SINGLE: usize = 200_000;

fn ours_batch() {
    loop_runtime::run(async {
        let mut tasks = Vec::with_capacity(BATCH);
        for _ in 0..BATCHES {
            tasks.extend((0..BATCH).map(|number| loop_runtime::create_task(async move { number })));
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await.expect("an empty task ends well"), number);
            }
        }
    })
    .expect("a loop can be made and run");
}

fn tokios_batch(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        let mut tasks = Vec::with_capacity(BATCH);
        for _ in 0..BATCHES {
            tasks.extend((0..BATCH).map(|number| tokio::spawn(async move { number })));
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await.expect("an empty task ends well"), number);
            }
        }
    });
}

fn ours_single() {
    loop_runtime::run(async {
        for number in 0..SINGLE {
            let task = loop_runtime::create_task(async move { number });
            assert_eq!(task.await.expect("an empty task ends well"), number);
        }
    })
    .expect("a loop can be made and run");
}

fn tokios_single(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for number in 0..SINGLE {
            let task = tokio::spawn(async move { number });
            assert_eq!(task.await.expect("an empty task ends well"), number);
        }
    });
}

fn main() {
    settle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    let spawns = (BATCH * BATCHES) as u64;
    compare(
        "spawn, 1,000 tasks at a time: CPU of spawn + run + join of one",
        "ns",
        rounds(15),
        Some(0.35),
        vec![
            Contender::new("loop-runtime, recorded", spawns, ours_batch),
            Contender::new("tokio current_thread, not recorded", spawns, || {
                tokios_batch(&tokio)
            }),
        ],
    );
    compare(
        "spawn, one at a time: its parent is suspended and woken each time",
        "ns",
        rounds(15),
        None,
        vec![
            Contender::new("loop-runtime, recorded", SINGLE as u64, ours_single),
            Contender::new("tokio current_thread, not recorded", SINGLE as u64, || {
                tokios_single(&tokio)
            }),
        ],
    );
}
