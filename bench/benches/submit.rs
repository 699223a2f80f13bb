//! Work handed to a loop by another thread: `call_soon_threadsafe` beside tokio's `Handle::spawn`.
//!
//! Both threads share one core and both are counted: the CPU time is the process's.

use std::thread;

use loop_bench::{Contender, compare, rounds, settle};

const CALLS: u64 = 200_000;

/// What arrives at the loop: counts, and ends the run with the last one.
fn ours() {
    loop_runtime::run(async {
        let handle = loop_runtime::get_running_loop()
            .expect("main runs on a loop")
            .handle();
        let (promise, last) = loop_runtime::create_future::<()>();
        let thread = thread::spawn(move || {
            for call in 1..CALLS {
                handle
                    .call_soon_threadsafe(move || {
                        std::hint::black_box(call);
                    })
                    .expect("the loop runs");
            }
            handle
                .call_soon_threadsafe(move || promise.set_result(()).expect("main waits"))
                .expect("the loop runs");
        });
        last.await.expect("the thread sets it");
        thread.join().expect("the thread does not panic");
    })
    .expect("a loop can be made and run");
}

fn tokios(runtime: &tokio::runtime::Runtime) {
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        let (promise, last) = tokio::sync::oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            for call in 1..CALLS {
                drop(handle.spawn(async move {
                    std::hint::black_box(call);
                }));
            }
            drop(handle.spawn(async move { promise.send(()) }));
        });
        last.await.expect("the thread sets it");
        thread.join().expect("the thread does not panic");
    });
}

fn main() {
    settle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    compare(
        "submit: CPU of one call from another thread, both threads counted",
        "ns",
        rounds(15),
        None,
        vec![
            Contender::of_process("loop-runtime, recorded", CALLS, ours),
            Contender::of_process("tokio current_thread, not recorded", CALLS, || {
                tokios(&tokio)
            }),
        ],
    );
}
