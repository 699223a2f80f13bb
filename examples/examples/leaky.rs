//! The textbook's second pitfall: tasks that never end and that nobody cancels.
//!
//! Try:  cargo run -p loop-examples --example leaky          and   loop-console connect, key for leaks
//! or    loop-console check -- target/debug/examples/leaky --times 3         exits with 1
//!
//! The console lists three kinds: `stranded` tasks, which nothing can wake and nobody holds, and of
//! each how it lost its last waker, `lost` by `clear`, the others by their own polls; two
//! that wait for each other (`deadlocked`); and, when the program ends, `forgotten`, which still
//! waits for its timer.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use loop_examples::argument;
use loop_runtime::{Task, create_task, sleep};

type Slot = Rc<RefCell<Option<Task<()>>>>;

/// Waits for the task in `other`, which waits for this one.
async fn after(other: Slot) {
    sleep(Duration::from_millis(1)).await;
    let task = other.borrow_mut().take();
    if let Some(task) = task {
        // Never comes.
        let _ = task.await;
    }
}

/// Waits for whoever takes its waker out of `waiters`.
async fn lost(waiters: Rc<RefCell<Vec<Waker>>>) {
    poll_fn(|cx| {
        waiters.borrow_mut().push(cx.waker().clone());
        Poll::<()>::Pending
    })
    .await;
}

/// Forgets who waits, instead of waking them.
fn clear(waiters: &RefCell<Vec<Waker>>) {
    waiters.borrow_mut().clear();
}

#[loop_runtime::main(name = "leaky")]
async fn main() {
    let times = argument("--times", u64::MAX);

    let (left, right) = (Slot::default(), Slot::default());
    let first = Task::<()>::builder()
        .name("first")
        .spawn(after(right.clone()));
    let second = Task::<()>::builder()
        .name("second")
        .spawn(after(left.clone()));
    *left.borrow_mut() = Some(first);
    *right.borrow_mut() = Some(second);

    Task::<()>::builder()
        .name("forgotten")
        .spawn(sleep(Duration::from_secs(3_600)))
        .detach();

    let waiters = Rc::new(RefCell::new(Vec::new()));
    Task::<()>::builder()
        .name("lost")
        .spawn(lost(waiters.clone()))
        .detach();
    sleep(Duration::from_millis(10)).await;
    clear(&waiters);

    for _ in 0..times {
        // The sender is gone before the task waits for it.
        create_task(std::future::pending::<()>()).detach();
        sleep(Duration::from_millis(100)).await;
    }
}
