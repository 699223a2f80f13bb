//! What the gate inside `cargo test` catches: a test fails by what its loop recorded.
//!
//! The failing ones are wanted here, so they say `should_panic`; take that line away to see the
//! report.

use std::time::Duration;

use loop_runtime::{create_task, run_in_executor, sleep};

fn parse_big_file() -> usize {
    std::thread::sleep(Duration::from_millis(120));
    42
}

#[loop_runtime::test(max_blocked = "50ms", leaks = "deny")]
async fn work_on_the_executor_blocks_nobody() {
    assert_eq!(run_in_executor(parse_big_file).await.unwrap(), 42);
}

#[loop_runtime::test(max_blocked = "50ms")]
#[should_panic(expected = "blocked")]
async fn the_same_work_in_a_task_fails_the_test() {
    assert_eq!(parse_big_file(), 42);
}

#[loop_runtime::test(leaks = "deny", clock = "turned")]
async fn a_task_that_is_awaited_is_no_leak() {
    let task = create_task(async {
        sleep(Duration::from_secs(3_600)).await;
        7
    });
    assert_eq!(task.await.unwrap(), 7);
}

#[loop_runtime::test(leaks = "deny", grace = "50ms")]
#[should_panic(expected = "left-behind")]
async fn a_task_that_outlives_the_test_fails_it() {
    create_task(sleep(Duration::from_secs(3_600))).detach();
}

#[loop_runtime::test(leaks = "deny")]
#[should_panic(expected = "stranded")]
async fn a_task_that_nothing_can_wake_fails_it() {
    create_task(std::future::pending::<()>()).detach();
    sleep(Duration::from_millis(1)).await;
}
