//! B42-B50: groups whose body and tasks end together.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::pending;
use std::rc::Rc;

use loop_runtime::testing::TestLoop;
use loop_runtime::time::now;
use loop_runtime::{
    Cause, GroupClosed, GroupError, Task, TaskGroup, catch_cancel, create_task, current_task,
    sleep, yield_now,
};

use super::{HOUR, Log, MS, cleans_up, run};

fn errors<E: Clone>(error: &GroupError<E>) -> Vec<E> {
    error.errors().cloned().collect()
}

#[test]
fn b42_a_group_waits_for_all_tasks_and_gives_the_bodys_value() {
    let mut test = TestLoop::new();
    let start = test.now();
    let end = test.run(async {
        let handles = TaskGroup::<String>::scope(|tg| async move {
            let a = tg.create_task(async {
                sleep(20 * MS).await;
                Ok("a")
            });
            let b = tg.create_task(async {
                sleep(10 * MS).await;
                Ok("b")
            });
            assert_eq!(tg.len(), 2);
            Ok((a, b))
        });
        let (a, b) = handles.await.unwrap();
        assert!(a.done() && b.done());
        let end = now();
        assert_eq!(a.await.unwrap(), Ok("a"));
        assert_eq!(b.await.unwrap(), Ok("b"));
        end
    });
    assert_eq!(end.unwrap().duration_since(start), 20 * MS);
}

#[test]
fn b42_a_task_spawned_by_a_task_while_the_body_has_ended_is_awaited_too() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let group = TaskGroup::<String>::scope(|tg| async move {
            let more = tg.clone();
            tg.create_task(async move {
                sleep(5 * MS).await;
                more.create_task(async move {
                    sleep(5 * MS).await;
                    noted.add("grandchild");
                    Ok(())
                })
                .detach();
                Ok(())
            })
            .detach();
            Ok(7)
        });
        assert_eq!(group.await.unwrap(), 7);
        assert_eq!(log.all(), ["grandchild"]);
    });
}

#[test]
fn b43_a_task_that_fails_has_siblings_and_body_cancelled_and_awaited() {
    run(async {
        let log = Log::default();
        let (body, sibling) = (log.drops("body dropped"), log.clone());
        let group = TaskGroup::<&str>::scope(|tg| async move {
            let _body = body;
            tg.create_task(cleans_up(sibling, "sibling", 30 * MS, Ok(())))
                .detach();
            tg.create_task(async {
                sleep(MS).await;
                Err::<(), _>("first")
            })
            .detach();
            sleep(HOUR).await;
            unreachable!("the body is cut at its await");
            #[allow(unreachable_code)]
            Ok(())
        });
        let start = now();
        let error = group.await.unwrap_err();
        assert_eq!(errors(&error), ["first"]);
        assert_eq!(log.all(), ["body dropped", "sibling cleaned up"]);
        assert_eq!(now().duration_since(start), 31 * MS);
        assert_eq!(current_task().unwrap().info().unwrap().name(), "main");
    });
}

#[test]
fn b43_errors_of_clean_up_and_panics_are_in_the_group_error() {
    let mut test = TestLoop::new();
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    test.run(async move {
        let local = loop_runtime::get_running_loop().unwrap();
        local.set_exception_handler(Some(Rc::new(move |_| count.set(count.get() + 1))));
        let log = Log::default();
        let group = TaskGroup::<String>::scope(|tg| async move {
            let named = |name| Task::<()>::builder().name(name);
            let clean_up = cleans_up(log, "x", MS, Err::<(), _>("clean-up failed".to_owned()));
            tg.create_task_as(named("cleaner"), clean_up).detach();
            tg.create_task_as(named("panics"), async {
                let end: Result<(), String> = match catch_cancel(pending()).await {
                    Ok(value) => value,
                    Err(_) => panic!("while cancelled"),
                };
                end
            })
            .detach();
            tg.create_task_as(named("fails"), async { Err::<(), _>("no".to_owned()) })
                .detach();
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            Err::<(), _>("the body as well".to_owned())
        });
        let error = group.await.unwrap_err();
        let told: Vec<_> = error.failures.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "fails: no",
                "panics: panicked: while cancelled",
                "the body: the body as well",
                "cleaner: clean-up failed",
            ]
        );
        assert!(error.failures[2].task.is_none() && error.failures[0].task.is_some());
        let Cause::Panicked(panic) = &error.failures[1].cause else {
            panic!("a panic is told as one");
        };
        assert_eq!(panic.text(), "while cancelled");
        assert_eq!(
            error.to_string(),
            "the group failed 4 times: fails: no; panics: panicked: while cancelled; \
             the body: the body as well; cleaner: clean-up failed"
        );
    })
    .unwrap();
    assert_eq!(heard.get(), 0, "what a group tells is told nobody else");
}

#[test]
fn b44_a_task_cancelled_by_hand_is_no_failure() {
    run(async {
        let group = TaskGroup::<String>::scope(|tg| async move {
            let a = tg.create_task(async {
                sleep(HOUR).await;
                Ok(())
            });
            let b = tg.create_task(async {
                sleep(5 * MS).await;
                Ok("b")
            });
            yield_now().await;
            assert!(a.cancel());
            assert!(a.await.unwrap_err().is_cancelled());
            Ok(b.await.unwrap().unwrap())
        });
        assert_eq!(group.await.unwrap(), "b");
    });
}

#[test]
fn b44_a_body_that_fails_cancels_the_tasks_and_is_in_the_error() {
    run(async {
        let log = Log::default();
        let child = log.clone();
        let group = TaskGroup::<&str>::scope(|tg| async move {
            tg.create_task(cleans_up(child, "child", MS, Ok(())))
                .detach();
            yield_now().await;
            Err::<(), _>("body")
        });
        let error = group.await.unwrap_err();
        assert_eq!(errors(&error), ["body"]);
        assert!(error.failures[0].task.is_none());
        assert_eq!(log.all(), ["child cleaned up"]);

        let child = log.clone();
        let group = TaskGroup::<&str>::scope(|tg| async move {
            tg.create_task(cleans_up(child, "second", MS, Ok(())))
                .detach();
            yield_now().await;
            if tg.len() == 1 {
                panic!("the body panics");
            }
            Ok(())
        });
        let error = group.await.unwrap_err();
        assert_eq!(
            error.failures[0].to_string(),
            "the body: panicked: the body panics"
        );
        assert_eq!(log.all()[1], "second cleaned up");
    });
}

#[test]
fn b45_a_cancel_from_outside_cancels_and_awaits_the_tasks_and_then_ends_the_parent() {
    for body_ended in [false, true] {
        let mut test = TestLoop::new();
        let log = Log::default();
        let (child, after) = (log.clone(), log.clone());
        let parent = test.enter(|| {
            create_task(async move {
                let group = TaskGroup::<String>::scope(|tg| async move {
                    tg.create_task(cleans_up(child, "child", 10 * MS, Ok(())))
                        .detach();
                    if !body_ended {
                        sleep(HOUR).await;
                    }
                    Ok(())
                });
                drop(group.await);
                after.add("went on");
            })
        });
        test.turn();
        assert!(parent.cancel_message("enough"));
        test.advance(9 * MS);
        assert!(!parent.done(), "it waits for its children");
        assert_eq!(test.enter(|| parent.cancelling()), 1);
        test.advance(MS);
        assert!(parent.cancelled());
        assert_eq!(log.all(), ["child cleaned up"]);
        let error = test.run(parent).unwrap().unwrap_err();
        assert!(error.is_cancelled() && error.to_string().contains("enough"));
    }
}

#[test]
fn b45_tasks_that_fail_while_the_parent_is_cancelled_give_a_group_error_and_the_count_stays() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let (child, after) = (log.clone(), log.clone());
    let parent = test.enter(|| {
        create_task(async move {
            let own = current_task().unwrap();
            let group = TaskGroup::<&str>::scope(|tg| async move {
                tg.create_task(cleans_up(child, "child", MS, Err::<(), _>("late")))
                    .detach();
                sleep(HOUR).await;
                Ok(())
            });
            let error = group.await.unwrap_err();
            after.add(format!("{:?}", errors(&error)));
            let _own = own;
            // The cancel is not lost: it comes at the next await.
            yield_now().await;
            after.add("went on");
        })
    });
    test.turn();
    parent.cancel();
    test.advance(MS);
    assert_eq!(log.all(), ["child cleaned up", "[\"late\"]"]);
    assert_eq!(test.enter(|| parent.cancelling()), 1);
    assert!(parent.cancelled());
}

#[test]
fn b46_a_failure_in_the_outer_group_cancels_the_inner_one_and_is_the_only_error() {
    run(async {
        let log = Log::default();
        let child = log.clone();
        let outer = TaskGroup::<String>::scope(|tg| async move {
            tg.create_task(async {
                sleep(MS).await;
                Err::<(), _>("outer".to_owned())
            })
            .detach();
            let inner = TaskGroup::<String>::scope(|tg| async move {
                tg.create_task(cleans_up(child, "inner child", 5 * MS, Ok(())))
                    .detach();
                sleep(HOUR).await;
                Ok(())
            });
            inner.await.map_err(|error| error.to_string())
        });
        let error = outer.await.unwrap_err();
        assert_eq!(errors(&error), ["outer"]);
        assert_eq!(log.all(), ["inner child cleaned up"]);
    });
}

#[test]
fn b46_the_error_of_an_inner_group_is_nested_in_the_outer_one() {
    run(async {
        type Any = Box<dyn Error + Send + Sync>;
        let outer = TaskGroup::<Any>::scope(|tg| async move {
            tg.create_task(async {
                let inner = TaskGroup::<String>::scope(|tg| async move {
                    tg.create_task(async { Err::<(), _>("deep".to_owned()) })
                        .detach();
                    Ok(())
                });
                inner.await?;
                Ok(())
            })
            .detach();
            Ok(())
        });
        let error = outer.await.unwrap_err();
        let nested = error.errors().next().unwrap();
        let inner = nested.downcast_ref::<GroupError<String>>().unwrap();
        assert_eq!(errors(inner), ["deep"]);
        assert!(error.to_string().ends_with("deep"));
    });
}

#[test]
fn b47_inner_and_outer_group_both_cancelled_at_once_lose_no_cancel() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let noted = log.clone();
    let parent = test.enter(|| {
        create_task(async move {
            let noted2 = noted.clone();
            let outer = TaskGroup::<&str>::scope(|outer| async move {
                let inner = TaskGroup::<&str>::scope(|inner| async move {
                    // Both fail in one iteration.
                    inner.create_task(async { Err::<(), _>("inner") }).detach();
                    outer.create_task(async { Err::<(), _>("outer") }).detach();
                    sleep(HOUR).await;
                    Ok(())
                });
                let error = inner.await.unwrap_err();
                noted.add(format!("inner {:?}", errors(&error)));
                yield_now().await; // Here the outer group's cancel has to come.
                noted.add("lost");
                Ok(())
            });
            let error = outer.await.unwrap_err();
            noted2.add(format!("outer {:?}", errors(&error)));
            yield_now().await; // Nothing of it is left.
            noted2.add("went on");
            sleep(HOUR).await;
        })
    });
    test.turn();
    assert_eq!(
        log.all(),
        ["inner [\"inner\"]", "outer [\"outer\"]", "went on"]
    );
    assert_eq!(
        test.enter(|| parent.cancelling()),
        0,
        "the count is back to 0"
    );
    assert!(parent.cancel(), "and a later cancel works");
    test.turn();
    assert!(parent.cancelled());
}

#[test]
fn b47_a_cancel_from_outside_at_the_same_time_as_both_groups_fail_is_not_lost() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let noted = log.clone();
    let parent = test.enter(|| {
        create_task(async move {
            let inside = noted.clone();
            let outer = TaskGroup::<&str>::scope(|outer| async move {
                let inner = TaskGroup::<&str>::scope(|inner| async move {
                    let fails = |error| async move {
                        sleep(MS).await;
                        Err::<(), _>(error)
                    };
                    inner.create_task(fails("inner")).detach();
                    outer.create_task(fails("outer")).detach();
                    sleep(HOUR).await;
                    Ok(())
                });
                let error = inner.await.unwrap_err();
                inside.add(format!("inner {:?}", errors(&error)));
                yield_now().await;
                inside.add("lost inside");
                Ok(())
            });
            let error = outer.await.unwrap_err();
            noted.add(format!("outer {:?}", errors(&error)));
            yield_now().await;
            noted.add("lost outside");
        })
    });
    test.turn();
    // A timer of the same moment, armed after the two: the request comes in their iteration.
    let canceller = parent.task_ref();
    test.enter(|| {
        create_task(async move {
            sleep(MS).await;
            canceller.cancel();
        })
    })
    .detach();
    test.advance(MS);
    assert_eq!(log.all(), ["inner [\"inner\"]", "outer [\"outer\"]"]);
    assert!(parent.cancelled());
    assert_eq!(test.enter(|| parent.cancelling()), 1);
}

#[test]
fn b48_a_group_that_is_cancelling_or_over_drops_the_future_unpolled() {
    run(async {
        let log = Log::default();
        let (polled, dropped) = (log.clone(), log.drops("dropped"));
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let group = TaskGroup::<&str>::scope(|tg| async move {
            *keep.borrow_mut() = Some(tg.clone());
            tg.create_task(async { Err::<(), _>("first") }).detach();
            catch_cancel(sleep(HOUR)).await.unwrap_err();
            let late = async move {
                let _dropped = dropped;
                polled.add("polled");
                Ok(())
            };
            assert_eq!(
                tg.try_create_task(late).unwrap_err(),
                GroupClosed::Cancelling
            );
            assert_eq!(polled_so_far(&tg).await, "cancelled");
            Ok(())
        });
        assert_eq!(errors(&group.await.unwrap_err()), ["first"]);
        assert_eq!(log.all(), ["dropped"]);

        let tg = kept.borrow_mut().take().unwrap();
        let late = log.drops("dropped late");
        let refused = tg.try_create_task(async move {
            drop(late);
            Ok(())
        });
        assert_eq!(refused.unwrap_err(), GroupClosed::Over);
        assert_eq!(log.all(), ["dropped", "dropped late"]);
        let error = tg.create_task(async { Ok(()) }).await.unwrap_err();
        assert!(error.is_cancelled());
        assert!(error.to_string().contains("the group is over"), "{error}");
    });
}

/// What the handle of a task says that a group refused.
async fn polled_so_far(tg: &TaskGroup<&'static str>) -> &'static str {
    let refused = tg.create_task(async { Ok(()) });
    match refused.await {
        Err(error) if error.is_cancelled() => "cancelled",
        _ => "ran",
    }
}

#[test]
fn b48_a_body_is_not_called_before_its_group_is_entered() {
    run(async {
        let log = Log::default();
        let called = log.clone();
        let group = TaskGroup::<String>::scope(move |tg| {
            called.add("called");
            async move {
                drop(tg);
                Ok(())
            }
        });
        yield_now().await;
        assert_eq!(log.all(), [""; 0]);
        drop(group);
        assert_eq!(log.all(), [""; 0]);
    });
}

#[test]
fn b49_tasks_that_spawn_for_ever_end_when_one_fails() {
    let mut test = TestLoop::new();
    let spawned = Rc::new(Cell::new(0_u32));
    let count = spawned.clone();
    async fn hydra(tg: TaskGroup<&'static str>, count: Rc<Cell<u32>>) {
        loop {
            let (more, counts) = (tg.clone(), count.clone());
            count.set(count.get() + 1);
            let head = async move {
                if counts.get() < 200 {
                    Box::pin(hydra(more, counts)).await;
                }
                Ok(())
            };
            tg.create_task(head).detach();
            yield_now().await;
        }
    }
    let error = test.run(async move {
        let group = TaskGroup::scope(|tg| async move {
            let first = tg.clone();
            tg.create_task(async move {
                hydra(first, count).await;
                Ok(())
            })
            .detach();
            tg.create_task(async {
                for _ in 0..10 {
                    yield_now().await;
                }
                Err::<(), _>("enough")
            })
            .detach();
            Ok(())
        });
        group.await.unwrap_err()
    });
    assert_eq!(errors(&error.unwrap()), ["enough"]);
    assert!(spawned.get() > 10, "it did grow: {}", spawned.get());
}

#[test]
fn b50_cancelling_a_group_ends_it_early_and_quietly() {
    run(async {
        let log = Log::default();
        let child = log.clone();
        let group = TaskGroup::<String>::scope(|tg| async move {
            tg.create_task(cleans_up(child, "child", MS, Ok(())))
                .detach();
            yield_now().await;
            tg.cancel();
            Ok("enough")
        });
        assert_eq!(group.await.unwrap(), "enough");
        assert_eq!(log.all(), ["child cleaned up"]);

        // By a task, with the body waiting: there is no value, and no failure either.
        let body = log.drops("body cut");
        let group = TaskGroup::<String>::scope(|tg| async move {
            let _body = body;
            let own = tg.clone();
            tg.create_task(async move {
                own.cancel();
                Ok(())
            })
            .detach();
            sleep(HOUR).await;
            Ok(())
        });
        let error = group.await.unwrap_err();
        assert!(error.is_cancelled() && error.failures.is_empty());
        assert_eq!(log.all()[1], "body cut");
        let own = current_task().unwrap().info().unwrap();
        assert_eq!(own.name(), "main");
    });
}

#[test]
fn b50_a_cancel_from_outside_passes_a_group_that_cancels_itself() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let (child, after) = (log.clone(), log.clone());
    let group = Rc::new(RefCell::new(None));
    let keep = group.clone();
    let parent = test.enter(|| {
        create_task(async move {
            let scope = TaskGroup::<String>::scope(|tg| async move {
                *keep.borrow_mut() = Some(tg.clone());
                tg.create_task(cleans_up(child, "child", MS, Ok(())))
                    .detach();
                sleep(HOUR).await;
                Ok(())
            });
            drop(scope.await);
            after.add("went on");
        })
    });
    test.turn();
    test.enter(|| {
        group.borrow().as_ref().unwrap().cancel();
        parent.cancel();
    });
    test.advance(MS);
    assert!(parent.cancelled());
    assert_eq!(log.all(), ["child cleaned up"]);
}

#[test]
fn b50_a_group_with_eager_tasks_can_be_cancelled_by_their_first_step() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let group = TaskGroup::<String>::scope(|tg| async move {
            let own = tg.clone();
            let eager = Task::<()>::builder().eager(true);
            tg.create_task_as(eager, async move {
                let _dropped = noted.drops("dropped at its await");
                own.cancel();
                noted.add("ran at once");
                sleep(HOUR).await;
                noted.add("went on");
                Ok(())
            })
            .detach();
            Ok(3)
        });
        assert_eq!(group.await.unwrap(), 3);
        assert_eq!(log.all(), ["ran at once", "dropped at its await"]);

        // Done within its spawn: it takes no place and fails the group all the same.
        let group = TaskGroup::<&str>::scope(|tg| async move {
            let eager = Task::<()>::builder().eager(true);
            tg.create_task_as(eager, async { Err::<(), _>("at once") })
                .detach();
            assert_eq!(tg.len(), 0);
            sleep(HOUR).await;
            Ok(())
        });
        assert_eq!(errors(&group.await.unwrap_err()), ["at once"]);
    });
}

#[test]
fn a_group_dropped_unfinished_asks_its_tasks_to_cancel() {
    run(async {
        let log = Log::default();
        let child = log.clone();
        let group = TaskGroup::<String>::scope(|tg| async move {
            tg.create_task(cleans_up(child, "child", 10 * MS, Ok(())))
                .detach();
            sleep(HOUR).await;
            Ok(())
        });
        assert!(loop_runtime::timeout(MS, group).await.is_err());
        assert_eq!(log.all(), [""; 0]);
        sleep(11 * MS).await;
        assert_eq!(log.all(), ["child cleaned up"]);
    });
}

#[test]
fn failures_that_a_dropped_group_cannot_tell_are_told_to_the_exception_handler() {
    run(async {
        let log = Log::default();
        let heard = log.clone();
        let local = loop_runtime::get_running_loop().unwrap();
        local.set_exception_handler(Some(Rc::new(move |context| {
            heard.add(context.panic.clone().unwrap_or_default());
        })));
        let group = TaskGroup::<&str>::scope(|tg| async move {
            tg.create_task(async {
                yield_now().await; // The others are in their scopes by then.
                Err::<(), _>("before the drop")
            })
            .detach();
            tg.create_task(async {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(10 * MS).await;
                Err::<(), _>("after the drop")
            })
            .detach();
            tg.create_task(async {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(20 * MS).await;
                panics("a panic after the drop").await
            })
            .detach();
            Ok(())
        });
        assert!(loop_runtime::timeout(MS, group).await.is_err());
        assert_eq!(log.all(), ["before the drop"]);
        sleep(HOUR).await;
        assert_eq!(
            log.all(),
            [
                "before the drop",
                "after the drop",
                "a panic after the drop"
            ]
        );
    });
}

async fn panics(text: &str) -> Result<(), &'static str> {
    panic!("{text}")
}
