//! Several tasks at once: a group of a hundred, a gather of a thousand, and the peers' like.

use futures_util::future::join_all;
use loop_bench::{Contender, compare, rounds, settle};
use loop_runtime::{JoinSet, TaskGroup, create_task, gather};

const GROUPS: u64 = 2_000;
const CHILDREN: u64 = 100;
const GATHERS: u64 = 200;
const GATHERED: u64 = 1_000;

/// What each task does: one await that is not ready, then a value.
async fn ours_child(n: u64) -> u64 {
    loop_runtime::yield_now().await;
    n
}

async fn tokios_child(n: u64) -> u64 {
    tokio::task::yield_now().await;
    n
}

fn group() {
    let run = loop_runtime::run(async {
        for _ in 0..GROUPS {
            let group = TaskGroup::<String>::scope(|tg| async move {
                for n in 0..CHILDREN {
                    tg.create_task(async move { Ok(ours_child(n).await) })
                        .detach();
                }
                Ok(())
            });
            group.await.expect("nobody fails");
        }
    });
    run.expect("a loop can be made and run");
}

fn set() {
    let run = loop_runtime::run(async {
        for _ in 0..GROUPS {
            let mut set = JoinSet::new();
            for n in 0..CHILDREN {
                set.create_task(ours_child(n));
            }
            let mut sum = 0;
            while let Some(value) = set.join_next().await {
                sum += value.expect("nobody fails");
            }
            assert_eq!(sum, CHILDREN * (CHILDREN - 1) / 2);
        }
    });
    run.expect("a loop can be made and run");
}

fn tokios_set(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for _ in 0..GROUPS {
            let mut set = tokio::task::JoinSet::new();
            for n in 0..CHILDREN {
                set.spawn(tokios_child(n));
            }
            let mut sum = 0;
            while let Some(value) = set.join_next().await {
                sum += value.expect("nobody fails");
            }
            assert_eq!(sum, CHILDREN * (CHILDREN - 1) / 2);
        }
    });
}

fn gathered() {
    let run = loop_runtime::run(async {
        for _ in 0..GATHERS {
            let all = gather((0..GATHERED).map(|n| create_task(ours_child(n))));
            let values = all.await.expect("nobody fails");
            assert_eq!(values[GATHERED as usize - 1], GATHERED - 1);
        }
    });
    run.expect("a loop can be made and run");
}

fn tokios_joined(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for _ in 0..GATHERS {
            let all = join_all((0..GATHERED).map(|n| tokio::spawn(tokios_child(n))));
            let values = all.await;
            let last = values.into_iter().next_back().expect("a thousand");
            assert_eq!(last.expect("nobody fails"), GATHERED - 1);
        }
    });
}

fn main() {
    settle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    compare(
        "group: CPU of one task in a group of 100, from spawn to end",
        "ns",
        rounds(15),
        Some(1.0),
        vec![
            Contender::new("loop-runtime TaskGroup, recorded", GROUPS * CHILDREN, group),
            Contender::new("tokio JoinSet, not recorded", GROUPS * CHILDREN, || {
                tokios_set(&tokio)
            }),
        ],
    );
    compare(
        "set: CPU of one task in a JoinSet of 100, from spawn to its value",
        "ns",
        rounds(15),
        Some(1.0),
        vec![
            Contender::new("loop-runtime JoinSet, recorded", GROUPS * CHILDREN, set),
            Contender::new("tokio JoinSet, not recorded", GROUPS * CHILDREN, || {
                tokios_set(&tokio)
            }),
        ],
    );
    compare(
        "gather: CPU of one task of 1,000, from spawn to its value",
        "ns",
        rounds(15),
        Some(1.0),
        vec![
            Contender::new(
                "loop-runtime gather, recorded",
                GATHERS * GATHERED,
                gathered,
            ),
            Contender::new(
                "tokio spawn and join_all, not recorded",
                GATHERS * GATHERED,
                || tokios_joined(&tokio),
            ),
        ],
    );
}
