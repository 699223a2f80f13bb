//! `#[loop_runtime::main]` and `#[loop_runtime::test]`: what they pass, and what they fail for.
#![cfg(feature = "macros")]

use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use loop_runtime::{Task, create_task, get_running_loop, sleep, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// What no task should do, and what these tests look for.
#[allow(clippy::disallowed_methods)]
fn hold(time: Duration) {
    std::thread::sleep(time);
}

/// The line on which `spawn_holder` spawns.
const HOLDER: u32 = line!() + 3;

fn spawn_holder() -> Task<()> {
    create_task(async { hold(Duration::from_millis(100)) })
}

/// The line on which `spawn_sleeper` spawns, and its task waits.
const SLEEPER: u32 = line!() + 3;

fn spawn_sleeper() -> Task<()> {
    create_task(async { sleep(HOUR).await })
}

#[loop_runtime::test]
async fn a_test_without_arguments_runs_on_a_loop_named_after_it() {
    let el = get_running_loop().unwrap();
    assert_eq!(
        el.name(),
        "macros::a_test_without_arguments_runs_on_a_loop_named_after_it"
    );
}

#[loop_runtime::test]
async fn a_test_may_return_a_result() -> Result<(), io::Error> {
    yield_now().await;
    Ok(())
}

#[loop_runtime::test]
#[should_panic(expected = "as the test wants")]
async fn a_test_that_panics_fails_with_its_own_words() {
    yield_now().await;
    panic!("as the test wants");
}

#[loop_runtime::test(max_blocked = "10s", leaks = "deny")]
async fn a_test_that_blocks_nobody_and_leaves_nothing_passes() {
    let task = create_task(async {
        yield_now().await;
        7
    });
    assert_eq!(task.await.unwrap(), 7);
}

#[loop_runtime::test(max_blocked = "20ms")]
#[should_panic(expected = "blocked: task")]
async fn a_poll_over_the_budget_fails_the_test() {
    hold(Duration::from_millis(100));
}

/// The report names the place of the spawn, not of the test.
#[test]
fn the_report_of_a_block_names_where_the_task_was_spawned() {
    let report = report(|| {
        let test = loop_runtime::testing::Test::new("blocks").max_blocked("20ms");
        test.run(async { spawn_holder().await.unwrap() });
    });
    let here = format!("spawned at runtime/tests/macros.rs:{HOLDER}:");
    assert!(report.contains(&here), "{report}");
    assert!(report.contains("the budget is 20ms"), "{report}");
}

/// What a test that must fail says.
fn report(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(test).expect_err("the test must fail");
    *payload.downcast::<String>().expect("a report is a text")
}

#[loop_runtime::test(leaks = "deny", grace = "10ms")]
#[should_panic(expected = "left-behind: task")]
async fn a_task_that_sleeps_past_the_grace_fails_a_test_that_denies_leaks() {
    create_task(sleep(HOUR)).detach();
}

#[loop_runtime::test(leaks = "deny", grace = "10ms")]
#[should_panic(expected = "stranded: task")]
async fn a_task_that_nothing_can_wake_fails_a_test_that_denies_leaks() {
    create_task(pending::<()>()).detach();
    yield_now().await;
}

#[test]
fn the_report_of_a_leak_names_where_it_was_spawned_and_where_it_waits() {
    let report = report(|| {
        let test = loop_runtime::testing::Test::new("leaks");
        test.leaks("deny").grace("10ms").run(async {
            spawn_sleeper().detach();
            yield_now().await;
        });
    });
    let here = format!("macros.rs:{SLEEPER}:");
    assert_eq!(report.matches(&here).count(), 2, "{report}");
    assert!(report.contains("10ms after the test ended"), "{report}");
}

#[loop_runtime::test(leaks = "allow", grace = "1ms")]
async fn leaks_may_be_allowed() {
    create_task(sleep(HOUR)).detach();
}

#[loop_runtime::test(leaks = "deny", grace = "10ms")]
async fn a_task_that_is_allowed_for_ever_is_no_leak() {
    let forever = loop_runtime::Task::<()>::builder().allow_forever();
    forever.spawn(pending::<()>()).detach();
    yield_now().await;
}

#[loop_runtime::test(leaks = "deny", grace = "10s")]
async fn a_task_that_ends_within_the_grace_is_no_leak() {
    create_task(sleep(Duration::from_millis(1))).detach();
}

#[loop_runtime::test(clock = "turned", leaks = "deny")]
async fn a_turned_clock_sleeps_for_an_hour_at_once() {
    let (start, real) = (loop_runtime::time::now(), Instant::now());
    sleep(HOUR).await;
    assert!(loop_runtime::time::now().duration_since(start) >= HOUR);
    assert!(real.elapsed() < HOUR);
}

/// The grace is a time on the turned clock: it passes at once as well.
#[loop_runtime::test(clock = "turned", leaks = "deny")]
#[should_panic(expected = "left-behind: task")]
async fn a_leak_on_a_turned_clock_is_found() {
    create_task(async {
        loop {
            sleep(HOUR).await;
        }
    })
    .detach();
}

#[loop_runtime::test(clock = "turned")]
async fn a_turned_clock_waits_for_jobs_of_the_executor() {
    let job = loop_runtime::run_in_executor(|| hold(Duration::from_millis(5)));
    let both = loop_runtime::timeout(HOUR, job).await;
    assert!(both.is_ok(), "the clock jumped over a job");
}

mod programs {
    #[loop_runtime::main]
    pub(super) async fn plain() {
        loop_runtime::yield_now().await;
    }

    #[loop_runtime::main(name = "shop")]
    pub(super) async fn named() -> String {
        loop_runtime::get_running_loop().unwrap().name()
    }

    #[loop_runtime::main]
    pub(super) async fn fails() -> Result<(), std::num::ParseIntError> {
        loop_runtime::yield_now().await;
        "seven".parse::<i32>()?;
        Ok(())
    }
}

#[test]
fn a_main_runs_its_future_and_gives_what_it_returns() {
    programs::plain();
    assert_eq!(programs::named(), "shop");
    assert!(programs::fails().is_err());
}

#[test]
#[should_panic(expected = "use \"deny\" or \"allow\"")]
fn a_wrong_rule_for_leaks_is_refused_with_the_right_ones() {
    let _ = loop_runtime::testing::Test::new("x").leaks("maybe");
}
