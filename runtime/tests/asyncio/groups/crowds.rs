//! B56-B58: several tasks that do not end together: gather, shield, wait, as_completed, sets.

use std::future::pending;

use loop_runtime::testing::TestLoop;
use loop_runtime::time::now;
use loop_runtime::{
    CancellationToken, GatherError, GroupClosed, JoinError, JoinSet, ReturnWhen, Task, TaskGroup,
    as_completed, create_task, gather, join, select, shield, sleep, timeout_scope, wait, wait_for,
    yield_now,
};

use super::{HOUR, Log, MS, after, cleans_up, run};

#[test]
fn b56_gather_keeps_the_order_in_which_its_tasks_were_given() {
    run(async {
        let tasks = [30, 10, 20].map(|ms| create_task(after(ms * MS, ms)));
        let start = now();
        assert_eq!(gather(tasks).await.unwrap(), [30, 10, 20]);
        assert_eq!(now().duration_since(start), 30 * MS);
        assert_eq!(gather::<u32>([]).await.unwrap(), [0; 0]);
    });
}

#[test]
fn b56_the_first_error_ends_a_gather_at_once_and_the_others_go_on() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let noted = log.clone();
    test.run(async move {
        let start = now();
        let (first, second) = (noted.clone(), noted.clone());
        let slow = create_task(async move {
            sleep(30 * MS).await;
            first.add("the first went on");
            Ok::<u32, &str>(1)
        });
        let fails = create_task(after(10 * MS, Err("no")));
        let mut all = gather([slow, fails]).fallible();
        let error = (&mut all).await.unwrap_err();
        assert!(matches!(error, GatherError::Failed("no")));
        assert_eq!(now().duration_since(start), 10 * MS);

        let slow = create_task(async move {
            sleep(20 * MS).await;
            second.add("the second went on");
        });
        let mut all = gather([
            slow,
            create_task(async {
                sleep(MS).await;
                panic!("boom")
            }),
        ]);
        let error = (&mut all).await.unwrap_err();
        assert!(matches!(error, JoinError::Panicked(panic) if panic.text() == "boom"));
        assert_eq!(now().duration_since(start), 11 * MS);
        assert!(!all.cancel(), "after an error it cancels nobody");
        drop(all);
        sleep(HOUR).await;
    })
    .unwrap();
    assert_eq!(log.all(), ["the first went on", "the second went on"]);
}

#[test]
fn b56_return_exceptions_gives_of_each_what_it_came_to() {
    run(async {
        let tasks = [
            create_task(after(2 * MS, 1)),
            create_task(async { panic!("boom") }),
            create_task(pending()),
            create_task(after(MS, 4)),
        ];
        tasks[2].cancel();
        let all = gather(tasks).return_exceptions().await;
        assert!(matches!(all[0], Ok(1)) && matches!(all[3], Ok(4)));
        assert!(matches!(all[1], Err(JoinError::Panicked(_))));
        assert!(matches!(all[2], Err(JoinError::Cancelled(_))));
    });
}

#[test]
fn b56_a_cancelled_child_is_an_error_and_no_cancel_of_the_awaiter() {
    run(async {
        let child = create_task(pending::<()>());
        let by_hand = child.task_ref();
        let other = create_task(async move {
            by_hand.cancel();
            sleep(HOUR).await;
        });
        let error = gather([child, other]).await.unwrap_err();
        assert!(error.is_cancelled());
        yield_now().await; // The awaiter itself was not cancelled.
    });
}

#[test]
fn b56_cancelling_a_gather_or_its_awaiter_cancels_all_children() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let children = |log: &Log| {
        ["a", "b"].map(|name| {
            let dropped = log.drops(name);
            create_task(async move {
                let _dropped = dropped;
                sleep(HOUR).await;
            })
        })
    };
    let outer = test.enter(|| {
        let children = children(&log);
        create_task(async move { gather(children).await.map(|_| ()) })
    });
    test.turn();
    assert_eq!(log.all(), [""; 0]);
    test.enter(|| outer.cancel());
    test.turn();
    assert!(outer.cancelled());
    assert_eq!(log.all(), ["a", "b"]);

    let log = Log::default();
    let own = log.clone();
    test.run(async move {
        let mut all = gather(children(&own));
        yield_now().await;
        assert!(all.cancel());
        assert!(all.await.unwrap_err().is_cancelled());
    })
    .unwrap();
    assert_eq!(log.all(), ["a", "b"]);
}

#[test]
fn a_gather_that_is_dropped_lets_its_tasks_run_on() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let child = create_task(async move {
            sleep(5 * MS).await;
            noted.add("went on");
        });
        assert!(loop_runtime::timeout(MS, gather([child])).await.is_err());
        sleep(5 * MS).await;
        assert_eq!(log.all(), ["went on"]);
    });
}

#[test]
fn b57_a_shielded_task_outlives_the_cancel_of_who_waits() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let noted = log.clone();
    let outer = test.enter(|| {
        create_task(async move {
            let inner = create_task(async move {
                sleep(10 * MS).await;
                noted.add("inner finished");
            });
            shield(&inner).await.unwrap();
        })
    });
    test.turn();
    test.enter(|| outer.cancel());
    test.turn();
    assert!(outer.cancelled());
    test.advance(10 * MS);
    assert_eq!(log.all(), ["inner finished"]);
}

#[test]
fn b57_the_cancel_of_a_shielded_task_is_told_to_who_waits() {
    run(async {
        let inner = create_task(pending::<()>());
        let by_hand = inner.task_ref();
        create_task(async move { by_hand.cancel() }).detach();
        assert!(shield(&inner).await.unwrap_err().is_cancelled());
        assert!(inner.cancelled());
        assert!(matches!(shield(&inner).await, Err(JoinError::Taken)));
    });
}

#[test]
fn b57_a_wait_for_a_shield_leaves_the_task_alive() {
    run(async {
        let task = create_task(after(30 * MS, "value"));
        for _ in 0..2 {
            let error = wait_for(shield(&task), 10 * MS).await.unwrap_err();
            assert!(error.is_elapsed());
        }
        assert!(!task.done() && task.cancelling() == 0);
        // Two at once, and the handle after both.
        let (a, b) = futures_util::join!(shield(&task), shield(&task));
        assert_eq!(a.unwrap(), "value");
        assert!(matches!(b, Err(JoinError::Taken)));
    });
}

#[test]
fn b58_wait_gives_all_that_are_done_when_it_wakes_and_cancels_nobody() {
    run(async {
        let tasks = [
            create_task(after(20 * MS, 0)),
            create_task(after(10 * MS, 1)),
            create_task(after(HOUR, 2)),
            create_task(after(10 * MS, 3)),
        ];
        let ids: Vec<_> = tasks.iter().map(Task::id).collect();
        let start = now();
        let (done, left) = wait(tasks, ReturnWhen::FirstCompleted, None).await;
        assert_eq!(now().duration_since(start), 10 * MS);
        assert_eq!(
            done.iter().map(Task::id).collect::<Vec<_>>(),
            [ids[1], ids[3]]
        );
        assert_eq!(
            left.iter().map(Task::id).collect::<Vec<_>>(),
            [ids[0], ids[2]]
        );
        assert!(left.iter().all(|task| task.cancelling() == 0));

        // A limit is no error.
        let (done, left) = wait(left, ReturnWhen::AllCompleted, 20 * MS).await;
        assert_eq!((done.len(), left.len()), (1, 1));
        assert_eq!(now().duration_since(start), 30 * MS);
        let (done, left) = wait(left, ReturnWhen::AllCompleted, None).await;
        assert_eq!((done.len(), left.len()), (1, 0));
        assert_eq!(done.into_iter().next().unwrap().await.unwrap(), 2);
    });
}

#[test]
fn b58_wait_for_the_first_exception_is_ended_by_errors_and_not_by_cancels() {
    run(async {
        let cancelled = create_task(pending::<Result<(), String>>());
        cancelled.cancel();
        let failing = async {
            sleep(10 * MS).await;
            Err::<(), _>("stated".to_owned())
        };
        let tasks = [
            cancelled,
            create_task(after(5 * MS, Ok(()))),
            Task::<()>::builder().spawn_fallible(failing),
            create_task(after(HOUR, Ok(()))),
        ];
        let start = now();
        let (done, left) = wait(tasks, ReturnWhen::FirstException, HOUR).await;
        assert_eq!((done.len(), left.len()), (3, 1));
        assert_eq!(now().duration_since(start), 10 * MS);
        let mut came_to = Vec::new();
        for task in done {
            came_to.push(task.await.map_err(|error| error.to_string()));
        }
        assert_eq!(
            came_to,
            [
                Err("the task was cancelled".to_owned()),
                Ok(Ok(())),
                Ok(Err("stated".to_owned()))
            ]
        );

        let tasks = [
            create_task(async { panic!("boom") }),
            create_task(pending::<()>()),
        ];
        let (mut done, left) = wait(tasks, ReturnWhen::FirstException, None).await;
        assert_eq!((done.len(), left.len()), (1, 1));
        assert!(done.remove(0).await.unwrap_err().is_panic());
        let (done, left) = wait(Vec::<Task<()>>::new(), ReturnWhen::AllCompleted, None).await;
        assert!(done.is_empty() && left.is_empty());
    });
}

#[test]
fn b58_as_completed_gives_the_originals_in_the_order_of_their_ends() {
    run(async {
        let tasks = [30, 10, 20].map(|ms| create_task(after(ms * MS, ms)));
        let ids: Vec<_> = tasks.iter().map(Task::id).collect();
        let mut all = as_completed(tasks);
        let first = all.next().await.unwrap();
        assert!(first.done());
        assert_eq!(first.id(), ids[1]);
        assert_eq!(first.await.unwrap(), 10);
        // A limit around it loses nothing.
        assert!(loop_runtime::timeout(MS, all.next()).await.is_err());
        assert_eq!(all.len(), 2);
        let rest: Vec<_> = futures_util::StreamExt::collect(all).await;
        assert_eq!(
            rest.iter().map(Task::id).collect::<Vec<_>>(),
            [ids[2], ids[0]]
        );
    });
}

#[test]
fn a_join_set_collects_in_the_order_of_ends_and_cancels_what_is_left_when_dropped() {
    run(async {
        let log = Log::default();
        let mut set = JoinSet::new();
        for ms in [20, 10] {
            set.create_task(after(ms * MS, ms));
        }
        assert_eq!(set.len(), 2);
        assert!(set.try_join_next().is_none());
        assert_eq!(set.join_next().await.unwrap().unwrap(), 10);
        set.create_task(async { panic!("boom") });
        assert!(set.join_next().await.unwrap().unwrap_err().is_panic());
        assert_eq!(set.join_next().await.unwrap().unwrap(), 20);
        assert!(set.join_next().await.is_none());

        let dropped = log.drops("cancelled with the set");
        set.create_task(async move {
            let _dropped = dropped;
            after(HOUR, 0).await
        });
        yield_now().await;
        drop(set);
        yield_now().await;
        assert_eq!(log.all(), ["cancelled with the set"]);

        let mut set = JoinSet::new();
        let cleaner = log.clone();
        set.create_task(cleans_up(cleaner, "child", 5 * MS, ()));
        yield_now().await;
        set.shutdown().await;
        assert_eq!(log.all()[1], "child cleaned up");
        let noted = log.clone();
        set.create_task(async move {
            sleep(MS).await;
            noted.add("detached");
        });
        set.detach_all();
        assert!(set.is_empty() && set.join_next().await.is_none());
        sleep(2 * MS).await;
        assert_eq!(log.all()[2], "detached");
    });
}

#[test]
fn on_another_loop_they_say_so() {
    let (there, mut here) = (TestLoop::new(), TestLoop::new());
    let [one, two, three] = there.enter(|| [(); 3].map(|()| create_task(async {})));
    let group = there.enter(|| TaskGroup::<String>::scope(|tg| async { Ok(tg) }));
    let mut there = there;
    let group = there.run(group).unwrap().unwrap();
    here.run(async move {
        let wrong = |error: JoinError| assert!(matches!(error, JoinError::WrongLoop(_)), "{error}");
        wrong(gather([one]).await.unwrap_err());
        wrong(
            gather([two])
                .return_exceptions()
                .await
                .remove(0)
                .unwrap_err(),
        );
        wrong(shield(&three).await.unwrap_err());
        let refused = group.try_create_task(async { Ok(()) }).unwrap_err();
        assert!(matches!(refused, GroupClosed::WrongLoop(_)), "{refused}");
    })
    .unwrap();
}

#[test]
fn what_is_awaited_here_may_be_part_of_a_future_that_is_send() {
    fn send<T: Send>(_: T) {}
    TestLoop::new().enter(|| {
        let task = || create_task(async { 7 });
        send(gather([task()]));
        send(gather([task()]).return_exceptions());
        send(wait([task()], ReturnWhen::AllCompleted, None));
        send(as_completed([task()]));
        send(wait_for(task(), MS));
        send(shield(&task()));
        send(JoinSet::<u8>::new());
        send(TaskGroup::<String>::scope(|_| async { Ok(1) }));
        send(timeout_scope(MS, |_| async {}));
        send(async {
            select! { _ = sleep(MS) => {} }
            join!(sleep(MS), sleep(MS))
        });
        let token = CancellationToken::new();
        send(async move { token.run_until_cancelled(sleep(MS)).await });
    });
}
