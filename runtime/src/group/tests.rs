//! What an observer sees of groups: rows, waits, marks.

use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::record::resource::{Kind, ResourceFacts};
use crate::record::task::{On, Outcome, TaskFacts, WaitingOn, flag};
use crate::spawn::{Task, create_task};
use crate::testing::TestLoop;
use crate::time::sleep;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn resources(test: &TestLoop, kind: Kind) -> Vec<ResourceFacts> {
    let record = &test.event_loop().organs().record;
    let rows = record.resources.live().filter_map(|(_, row)| row.read());
    rows.filter(|facts| facts.kind == kind).collect()
}

fn facts<T>(test: &TestLoop, task: &Task<T>) -> TaskFacts {
    let record = &test.event_loop().organs().record;
    let found = crate::record::find_task(record, task.raw().id());
    found.expect("the task's row is there").1
}

/// Checks that `task` waits for the one row of `kind`, which has `level` of what it counts.
#[track_caller]
fn waits_for_its_row<T>(test: &TestLoop, task: &Task<T>, kind: Kind, level: u32) -> ResourceFacts {
    let rows = resources(test, kind);
    let [row] = rows.as_slice() else {
        panic!("one row, not {}", rows.len());
    };
    let facts = facts(test, task);
    assert_eq!((row.level, row.waiters, row.waiter), (level, 1, facts.id));
    assert_eq!(facts.waiting_on, WaitingOn::new(On::Resource, row.id));
    let at = facts.waiting_at.expect("its await has a place");
    assert!(at.file().ends_with("group/tests.rs"), "{at}");
    row.clone()
}

#[test]
fn a_group_is_a_row_with_who_waits_and_how_many_tasks() {
    let mut test = TestLoop::new();
    let task = test.enter(|| {
        create_task(async {
            let group = TaskGroup::<String>::scope(|tg| async move {
                for ms in 1..=3 {
                    tg.create_task(async move {
                        sleep(ms * MS).await;
                        Ok(())
                    })
                    .detach();
                }
                Ok(())
            });
            group.name("fetchers").await.unwrap();
            sleep(HOUR).await;
        })
    });
    test.turn();
    let row = waits_for_its_row(&test, &task, Kind::Group, 3);
    assert_eq!(row.name.text(), Some("fetchers"));
    assert_eq!(row.owner, task.raw().id());
    test.advance(2 * MS);
    waits_for_its_row(&test, &task, Kind::Group, 1);
    test.advance(MS);
    assert_eq!(resources(&test, Kind::Group).len(), 0);
}

#[test]
fn gathers_waits_and_sets_are_rows_too() {
    let mut test = TestLoop::new();
    let children = || (1..=3).map(|ms| create_task(sleep(ms * MS)));
    let all: [Task<()>; 4] = test.enter(|| {
        [
            create_task(async move { drop(gather(children()).await) }),
            create_task(
                async move { drop(wait(children(), ReturnWhen::AllCompleted, None).await) },
            ),
            create_task(async move {
                let mut set = JoinSet::new();
                for child in children() {
                    set.add(child);
                }
                while set.join_next().await.is_some() {}
            }),
            create_task(async move {
                let mut all = as_completed(children());
                while all.next().await.is_some() {}
            }),
        ]
    });
    test.turn();
    let rows = resources(&test, Kind::Group);
    assert_eq!(rows.iter().map(|row| row.level).collect::<Vec<_>>(), [3; 4]);
    for (row, task) in rows.iter().zip(&all) {
        let facts = facts(&test, task);
        assert_eq!((row.waiter, row.owner), (facts.id, facts.id));
        assert_eq!(facts.waiting_on, WaitingOn::new(On::Resource, row.id));
    }
    test.advance(2 * MS);
    let rows = resources(&test, Kind::Group);
    assert_eq!(rows.iter().map(|row| row.level).collect::<Vec<_>>(), [1; 4]);
    test.advance(MS);
    assert_eq!(resources(&test, Kind::Group).len(), 0);
    assert!(all.iter().all(Task::done));
}

#[test]
fn a_token_is_a_row_with_who_waits_and_how_many_children() {
    let mut test = TestLoop::new();
    let token = test.enter(CancellationToken::new);
    let own = token.clone();
    let task = test.enter(|| create_task(async move { own.cancelled().await }));
    test.turn();
    waits_for_its_row(&test, &task, Kind::Event, 0);
    let child = test.enter(|| token.child_token());
    let rows = resources(&test, Kind::Event);
    assert_eq!((rows[0].level, rows[1].level), (1, 0));
    test.enter(|| token.cancel());
    let rows = resources(&test, Kind::Event);
    assert_eq!([rows[0].state, rows[1].state], [1, 1]);
    assert_eq!((rows[0].waiters, rows[0].waiter), (0, 0));
    drop((child, token, task));
    test.turn();
    assert_eq!(resources(&test, Kind::Event).len(), 0);
}

#[test]
fn a_wait_that_is_over_leaves_no_row_and_no_awaiter_behind() {
    let mut test = TestLoop::new();
    let task = test.enter(|| {
        create_task(async {
            let tasks = [create_task(pending::<()>()), create_task(async {})];
            let (_, left) = wait(tasks, ReturnWhen::FirstCompleted, None).await;
            sleep(HOUR).await;
            drop(left);
        })
    });
    test.turn();
    assert_eq!(resources(&test, Kind::Group).len(), 0);
    assert_eq!(facts(&test, &task).waiting_on.kind(), On::Timer);
}

#[test]
fn tasks_of_a_dropped_group_are_marked_until_they_end() {
    let mut test = TestLoop::new();
    let task = test.enter(|| {
        create_task(async {
            let group = TaskGroup::<String>::scope(|tg| async move {
                tg.create_task(async {
                    let _ = crate::spawn::catch_cancel(sleep(HOUR)).await;
                    sleep(10 * MS).await;
                    Ok(())
                })
                .detach();
                Ok(())
            });
            assert!(crate::time::timeout(MS, group).await.is_err());
            sleep(HOUR).await;
        })
    });
    test.advance(MS);
    let record = &test.event_loop().organs().record;
    let outlived = || {
        let rows = record.tasks.live().filter_map(|(_, row)| row.read());
        rows.filter(|facts| facts.has(flag::OUTLIVED)).count()
    };
    assert_eq!(outlived(), 1);
    // The group's row says for how many, as long as there are any.
    assert_eq!(resources(&test, Kind::Group)[0].level, 1);
    test.advance(10 * MS);
    assert_eq!(resources(&test, Kind::Group).len(), 0);
    let record = &test.event_loop().organs().record;
    assert_eq!(
        record
            .tasks
            .live()
            .filter(|(_, row)| row.task_id() != 0)
            .count(),
        1
    );
    drop(task);
}

#[test]
fn a_task_that_fails_its_group_is_recorded_so_and_is_nobodys_orphan() {
    let mut test = TestLoop::new();
    test.run(async {
        let group = TaskGroup::<&str>::scope(|tg| async move {
            tg.create_task(async { Err::<(), _>("refused") }).detach();
            tg.create_task(async {
                crate::spawn::yield_now().await;
                Ok(())
            })
            .detach();
            Ok(())
        });
        group.await.unwrap_err();
    })
    .unwrap();
    let record = &test.event_loop().organs().record;
    let all: Vec<_> = (0..).map_while(|back| record.ended.get(back)).collect();
    let failed = all.iter().find(|ended| ended.outcome == Outcome::Failed);
    let failed = failed.expect("its end is on record");
    assert_eq!(failed.error, "refused");
    assert_eq!(failed.flags & flag::DETACHED, 0, "its group held it");
    let cancelled = record.stats.cancelled.load(Ordering::Relaxed);
    assert_eq!(cancelled, 1);
}

#[test]
fn every_arm_of_a_select_and_a_join_is_seen_waiting() {
    let mut test = TestLoop::new();
    let tasks = test.enter(|| {
        let (_promise, future) = crate::sync::create_future::<()>();
        [
            create_task(async move {
                let _promise = _promise;
                crate::select! {
                    _ = sleep(HOUR) => {}
                    _ = sleep(2 * HOUR) => {}
                    _ = future => {}
                }
            }),
            create_task(async {
                crate::join!(sleep(HOUR), sleep(2 * HOUR));
            }),
        ]
    });
    test.turn();
    assert_eq!(facts(&test, &tasks[0]).waits, 3);
    assert_eq!(facts(&test, &tasks[1]).waits, 2);
    for task in &tasks {
        let at = facts(&test, task).waiting_at.expect("a place");
        assert!(at.file().ends_with("group/tests.rs"), "{at}");
    }
    let row = &resources(&test, Kind::Future)[0];
    assert_eq!(row.waiter, tasks[0].raw().id());
}

#[test]
fn who_cancels_a_groups_tasks_and_where_is_on_record() {
    let mut test = TestLoop::new();
    let group = async {
        let group = TaskGroup::<String>::scope(|tg| async move {
            let task = tg.create_task(pending::<Result<(), _>>());
            tg.cancel();
            Ok(task)
        });
        Some(group.await.unwrap())
    };
    let task = test.run(group).unwrap().unwrap();
    let record = &test.event_loop().organs().record;
    let asked = record.requests.of(task.raw().id()).expect("it was asked");
    let at = asked.place.expect("by a call");
    assert!(at.file().ends_with("group/tests.rs"), "{at}");

    let failing = async {
        let group = TaskGroup::<&str>::scope(|tg| async move {
            tg.create_task(pending::<Result<(), _>>()).detach();
            tg.create_task(async { Err::<(), _>("no") }).detach();
            Ok(())
        });
        group.await.unwrap_err().failures.remove(0).task.unwrap()
    };
    let fails = test.run(failing).unwrap();
    let record = &test.event_loop().organs().record;
    let sibling = record.requests.of(fails.id().get() - 1);
    let sibling = sibling.expect("spawned right before");
    assert_eq!(sibling.by, crate::record::asked::By::Task(fails.id().get()));
    assert_eq!(sibling.place, None, "no call of the app's asked");
}
