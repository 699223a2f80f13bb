//! The macros that await several futures in one task or many, and tokens that say stop.

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::time::now;
use loop_runtime::{
    CancellationToken, JoinError, TaskGroup, catch_cancel, create_task, gather, join, select,
    sleep, try_join, yield_now,
};

use super::{HOUR, Log, MS, after, run};

#[test]
fn gather_of_futures_and_tasks_of_different_types_gives_a_tuple() {
    run(async {
        let task = create_task(after(20 * MS, "task"));
        let start = now();
        let all = gather![after(10 * MS, 1), task, async { 2.5 }];
        assert_eq!(all.await.unwrap(), (1, "task", 2.5));
        assert_eq!(now().duration_since(start), 20 * MS);

        let cancelled = create_task(pending::<u8>());
        cancelled.cancel();
        let both = gather![cancelled, async { 7 }].return_exceptions().await;
        assert!(both.0.unwrap_err().is_cancelled());
        assert_eq!(both.1.unwrap(), 7);
        let error = gather![async { panic!("boom") }, pending::<()>()].await;
        assert!(matches!(error.map(|_| ()), Err(JoinError::Panicked(_))));
    });
}

#[test]
fn a_gather_of_a_tuple_goes_down_with_its_awaiter() {
    run(async {
        let log = Log::default();
        let (a, b) = (log.drops("a"), log.drops("b"));
        let outer = create_task(async move {
            let wait_with = |guard| async move {
                let _guard = guard;
                sleep(HOUR).await;
            };
            let _ = gather![wait_with(a), wait_with(b)].await;
        });
        yield_now().await;
        yield_now().await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        yield_now().await;
        assert_eq!(log.all(), ["a", "b"]);
    });
}

#[test]
fn join_awaits_all_its_arms_in_one_task() {
    run(async {
        let start = now();
        let (a, b, c) = join!(after(20 * MS, 1), after(10 * MS, "b"), ready(3.0));
        assert_eq!((a, b, c), (1, "b", 3.0));
        assert_eq!(now().duration_since(start), 20 * MS);
        assert_eq!(join!(ready(1)), (1,));
    });
}

#[test]
fn try_join_ends_at_the_first_error_and_drops_the_others() {
    run(async {
        let log = Log::default();
        let guard = log.drops("dropped");
        let start = now();
        let slow = async move {
            let _guard = guard;
            after(HOUR, Ok::<u8, &str>(1)).await
        };
        let both = try_join!(slow, after(MS, Err::<u8, _>("no")));
        assert_eq!(both, Err("no"));
        assert_eq!(log.all(), ["dropped"]);
        assert_eq!(now().duration_since(start), MS);
        let ok: Result<_, ()> = try_join!(after(2 * MS, Ok(1)), after(MS, Ok("b")));
        assert_eq!(ok, Ok((1, "b")));
    });
}

#[test]
fn select_goes_on_with_the_first_that_is_done_and_drops_the_rest_before_its_handler() {
    run(async {
        let log = Log::default();
        let guard = log.drops("dropped");
        let noted = log.clone();
        let slow = async move {
            let _guard = guard;
            sleep(HOUR).await;
        };
        let won = select! {
            _ = slow => "slow",
            value = after(MS, "fast") => {
                noted.add("handler");
                yield_now().await; // A handler may await.
                value
            }
        };
        assert_eq!(won, "fast");
        assert_eq!(log.all(), ["dropped", "handler"]);
    });
}

#[test]
fn of_two_arms_that_are_done_the_upper_one_wins() {
    run(async {
        for _ in 0..10 {
            let won = select! {
                _ = ready(()) => 1,
                _ = ready(()) => 2,
            };
            assert_eq!(won, 1);
        }
    });
}

#[test]
fn arms_may_be_off_or_fall_out_by_their_pattern_and_else_is_for_when_none_is_left() {
    run(async {
        let mut made = false;
        let off = false;
        let got = select! {
            Some(n) = after(MS, None::<u32>) => n,
            _ = async { made = true }, if off => 1,
            Some(n) = after(2 * MS, Some(7)) => n,
        };
        assert_eq!(got, 7);
        assert!(!made);
        let none = select! {
            Some(n) = ready(None::<u32>) => n,
            _ = pending::<()>(), if off => 1,
            else => 99,
        };
        assert_eq!(none, 99);
        let task = create_task(async {
            select! { Some(n) = ready(None::<u32>) => n }
        });
        let error = task.await.unwrap_err();
        assert!(error.to_string().contains("no arm"), "{error}");
    });
}

#[test]
fn handlers_may_break_return_and_use_the_question_mark() {
    async fn first_even(start: u32) -> Result<u32, String> {
        let mut n = start;
        loop {
            select! {
                value = after(MS, n) => {
                    if value % 2 == 0 {
                        break;
                    }
                    let text = value.to_string();
                    n = text.parse::<u32>().map_err(|error| error.to_string())? + 1;
                }
                _ = sleep(HOUR) => return Err("too late".to_owned()),
            }
        }
        Ok(n)
    }
    run(async {
        assert_eq!(first_even(3).await, Ok(4));
    });
}

#[test]
fn a_cancel_reaches_the_scopes_in_all_arms() {
    run(async {
        let log = Log::default();
        let (a, b) = (log.clone(), log.clone());
        let task = create_task(async move {
            let caught = |log: Log, name: &'static str| async move {
                let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
                log.add(name);
                caught.propagate().await
            };
            join!(caught(a, "a"), caught(b, "b")).0
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.all(), ["a", "b"]);
    });
}

#[test]
fn a_group_in_an_arm_ends_its_task_only_after_the_scope_in_the_other_arm_has_cleaned_up() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let task = create_task(async move {
            let group = TaskGroup::<String>::scope(|tg| async move {
                tg.create_task(after(HOUR, Ok(()))).detach();
                Ok(())
            });
            let other = async {
                catch_cancel(sleep(HOUR)).await.unwrap_err();
                let cleaned = catch_cancel(sleep(10 * MS)).await;
                noted.add(format!("cleaned up: {}", cleaned.is_ok()));
            };
            let _ = join!(group, other);
            noted.add("went on");
        });
        yield_now().await;
        let start = now();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.all(), ["cleaned up: true"]);
        assert_eq!(now().duration_since(start), 10 * MS);
    });
}

#[test]
fn a_token_tells_who_waits_and_its_children_and_not_its_parent() {
    run(async {
        let log = Log::default();
        let root = CancellationToken::new();
        let (child, sibling) = (root.child_token(), root.child_token());
        let grandchild = child.child_token();
        for (name, token) in [
            ("child", &child),
            ("grandchild", &grandchild),
            ("root", &root),
        ] {
            let (token, log) = (token.clone(), log.clone());
            create_task(async move {
                token.cancelled().await;
                log.add(name);
            })
            .detach();
        }
        yield_now().await;
        child.cancel();
        child.cancel();
        assert!(child.is_cancelled() && grandchild.is_cancelled());
        assert!(!root.is_cancelled() && !sibling.is_cancelled());
        yield_now().await;
        assert_eq!(log.all(), ["child", "grandchild"]);
        root.cancel();
        assert!(sibling.is_cancelled() && root.child_token().is_cancelled());
        yield_now().await;
        assert_eq!(log.all()[2], "root");
        root.cancelled().await; // At once.
    });
}

#[test]
fn run_until_cancelled_drops_the_work_and_a_value_that_is_there_wins() {
    run(async {
        let log = Log::default();
        let token = CancellationToken::named("stop");
        let guard = log.drops("dropped");
        let work = async move {
            let _guard = guard;
            sleep(HOUR).await;
        };
        let stop = token.clone();
        create_task(async move {
            sleep(MS).await;
            stop.cancel();
        })
        .detach();
        assert_eq!(token.run_until_cancelled(work).await, None);
        assert_eq!(log.all(), ["dropped"]);
        assert_eq!(token.run_until_cancelled(ready(7)).await, Some(7));
        assert_eq!(token.run_until_cancelled(pending::<u8>()).await, None);

        let kept = CancellationToken::new().drop_guard().disarm();
        assert!(!kept.is_cancelled());
    });
}

#[test]
fn a_token_can_be_cancelled_on_another_thread() {
    let token = Rc::new(Cell::new(None));
    let keep = token.clone();
    loop_runtime::run(async move {
        let own = CancellationToken::new();
        let theirs = own.clone();
        let thread = std::thread::spawn(move || {
            theirs.cancel();
            theirs.is_cancelled()
        });
        loop_runtime::timeout(Duration::from_secs(60), own.cancelled())
            .await
            .unwrap();
        assert!(thread.join().unwrap());
        keep.set(Some(own.is_cancelled()));
    })
    .unwrap();
    assert_eq!(token.get(), Some(true));
}
