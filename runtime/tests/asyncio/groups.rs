//! B42-B58: task groups, timeouts, gather, wait, shield.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, pending};
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::time::now;
use loop_runtime::{
    Cause, Elapsed, GatherError, GroupClosed, GroupError, JoinError, JoinSet, LimitOver,
    ReturnWhen, Task, TaskGroup, WaitError, as_completed, catch_cancel, create_task, current_task,
    gather, shield, sleep, timeout_scope, timeout_scope_at, wait, wait_for, yield_now,
};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// What a test notes, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// A guard that notes its drop.
    fn drops(&self, text: &str) -> Noted {
        Noted(self.clone(), text.to_owned())
    }
}

struct Noted(Log, String);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.add(self.1.clone());
    }
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    TestLoop::new().run(future).unwrap()
}

fn errors<E: Clone>(error: &GroupError<E>) -> Vec<E> {
    error.errors().cloned().collect()
}

/// Waits for an hour; on a cancel cleans up for `time` and then ends as `then` says.
async fn cleans_up<T>(log: Log, name: &'static str, time: Duration, then: T) -> T {
    if catch_cancel(sleep(HOUR)).await.is_err() {
        sleep(time).await;
        log.add(format!("{name} cleaned up"));
    }
    then
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
    fn hydra(tg: TaskGroup<&'static str>, count: Rc<Cell<u32>>) -> impl Future<Output = ()> {
        async move {
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

/// After `time`, this value.
async fn after<T>(time: Duration, value: T) -> T {
    sleep(time).await;
    value
}

#[test]
fn b51_a_limit_that_elapses_stops_what_is_inside() {
    run(async {
        let log = Log::default();
        let inside = log.drops("stopped");
        let start = now();
        let late = timeout_scope(10 * MS, |limit| async move {
            let _inside = inside;
            assert_eq!(limit.when(), Some(start + 10 * MS));
            assert!(!limit.expired());
            sleep(HOUR).await;
        });
        let elapsed = late.await.unwrap_err();
        assert_eq!(elapsed.after, 10 * MS);
        assert_eq!(now().duration_since(start), 10 * MS);
        assert_eq!(log.all(), ["stopped"]);

        let in_time = timeout_scope(10 * MS, |_| after(9 * MS, "value"));
        assert_eq!(in_time.await, Ok("value"));
        assert_eq!(current_task().unwrap().info().unwrap().name(), "main");
    });
}

#[test]
fn b51_a_cancel_from_outside_is_no_timeout() {
    // Long before the limit, in its very moment, while the work cleans up after it.
    for (at, expired) in [(MS, false), (10 * MS, true), (12 * MS, true)] {
        let mut test = TestLoop::new();
        let log = Log::default();
        let (noted, ended) = (log.clone(), log.clone());
        let task = Rc::new(RefCell::new(None::<Task<()>>));
        let other = task.clone();
        // Its timer is armed first, so that it comes first in the moment of both.
        test.enter(|| {
            create_task(async move {
                sleep(at).await;
                assert!(other.borrow().as_ref().unwrap().cancel());
            })
            .detach();
        });
        *task.borrow_mut() = Some(test.enter(|| {
            create_task(async move {
                let scope = timeout_scope(10 * MS, |limit| async move {
                    let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
                    noted.add(format!("expired: {}", limit.expired()));
                    sleep(5 * MS).await;
                    caught.propagate().await
                });
                let _ = scope.await;
                ended.add("went on");
            })
        }));
        test.advance(HOUR / 2);
        let task = task.borrow_mut().take().unwrap();
        assert!(task.cancelled(), "at {at:?}");
        assert_eq!(log.all(), [format!("expired: {expired}")]);
        assert_eq!(test.enter(|| task.cancelling()), 1);
    }
}

#[test]
fn b52_of_nested_limits_with_one_deadline_only_the_outermost_reports() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let deadline = now() + 10 * MS;
        let outer = timeout_scope_at(deadline, |_| async move {
            let inner = timeout_scope_at(deadline, |_| sleep(HOUR));
            let _ = inner.await;
            noted.add("the inner one reported");
        });
        assert!(outer.await.is_err());
        assert_eq!(log.all(), [""; 0]);
    });
}

#[test]
fn b52_of_nested_limits_the_inner_one_reports_its_own_and_the_outer_one_bounds_the_rest() {
    run(async {
        let start = now();
        let outer = timeout_scope(20 * MS, |_| async move {
            let inner = timeout_scope(10 * MS, |_| sleep(HOUR)).await;
            assert_eq!(inner, Err(elapsed(10 * MS, inner.err())));
            assert_eq!(now().duration_since(start), 10 * MS);
            sleep(HOUR).await;
        });
        assert!(outer.await.is_err());
        assert_eq!(now().duration_since(start), 20 * MS);
    });
}

/// What `found` is, if its limit was `after`.
fn elapsed(after: Duration, found: Option<Elapsed>) -> Elapsed {
    let found = found.expect("the time was up");
    assert_eq!(found.after, after);
    found
}

#[test]
fn b52_a_loop_that_was_blocked_past_both_limits_has_both_expire() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let noted = log.clone();
    let limits = Rc::new(RefCell::new(Vec::new()));
    let keep = limits.clone();
    let task = test.enter(|| {
        create_task(timeout_scope(100 * MS, move |outer| async move {
            let inner = timeout_scope(10 * MS, |inner| {
                keep.borrow_mut().extend([outer, inner]);
                sleep(HOUR)
            });
            if inner.await.is_err() {
                noted.add("inner");
            }
            sleep(HOUR).await;
            noted.add("the rest was not bounded");
        }))
    });
    test.turn();
    test.jump(200 * MS);
    assert!(task.done());
    assert!(test.run(task).unwrap().unwrap().is_err());
    test.enter(|| assert!(limits.borrow().iter().all(|limit| limit.expired())));
    assert!(
        !log.all()
            .iter()
            .any(|text| text == "the rest was not bounded")
    );
}

#[test]
fn b53_a_limit_of_zero_elapses_at_the_first_await() {
    run(async {
        let log = Log::default();
        for passed in [now(), now() - MS] {
            let noted = log.clone();
            let scope = timeout_scope_at(passed, |_| async move {
                noted.add("began");
                sleep(Duration::ZERO).await;
                noted.add("went on");
            });
            assert!(scope.await.is_err());
        }
        let noted = log.clone();
        let zero = timeout_scope(Duration::ZERO, |_| async move {
            noted.add("began");
            yield_now().await;
        });
        assert!(zero.await.is_err());
        assert_eq!(log.all(), ["began"; 3]);
        // Nothing to wait for, nothing to stop.
        assert_eq!(timeout_scope(Duration::ZERO, |_| async { 7 }).await, Ok(7));
    });
}

#[test]
fn b53_a_limit_can_be_taken_off_and_moved_until_the_end() {
    run(async {
        let start = now();
        let none = timeout_scope(None, |limit| async move {
            assert_eq!(limit.when(), None);
            after(HOUR, "no limit").await
        });
        assert_eq!(none.await, Ok("no limit"));

        let start = start + HOUR;
        let later = timeout_scope(10 * MS, |limit| async move {
            limit.reschedule(now() + 50 * MS).unwrap();
            assert_eq!(limit.when(), Some(start + 50 * MS));
            after(40 * MS, "later").await
        });
        assert_eq!(later.await, Ok("later"));

        let off = timeout_scope(10 * MS, |limit| async move {
            yield_now().await;
            limit.reschedule(None).unwrap();
            after(HOUR, "off").await
        });
        assert_eq!(off.await, Ok("off"));

        // Earlier, and by another task.
        let start = now();
        let sooner = timeout_scope(HOUR, |limit| async move {
            let other = create_task(async move {
                sleep(MS).await;
                limit.reschedule(now() + MS).unwrap();
            });
            sleep(HOUR).await;
            drop(other);
        });
        assert!(sooner.await.is_err());
        assert_eq!(now().duration_since(start), 2 * MS);
    });
}

#[test]
fn b53_a_limit_that_is_over_cannot_be_moved() {
    run(async {
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let done = timeout_scope(
            HOUR,
            |limit| async move { *keep.borrow_mut() = Some(limit) },
        );
        done.await.unwrap();
        let limit = kept.borrow_mut().take().unwrap();
        assert_eq!(limit.reschedule(now() + HOUR), Err(LimitOver::Finished));
        assert!(!limit.expired());

        let keep = kept.clone();
        let expired = timeout_scope(MS, |limit| async move {
            *keep.borrow_mut() = Some(limit.clone());
            let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
            assert!(limit.expired());
            assert_eq!(limit.reschedule(None), Err(LimitOver::Expired));
            caught.propagate().await
        });
        assert!(expired.await.is_err());
        let limit = kept.borrow_mut().take().unwrap();
        assert_eq!(limit.reschedule(None), Err(LimitOver::Expired));
        assert!(limit.expired());
    });
}

#[test]
fn b54_wait_for_returns_only_after_clean_up_has_ended() {
    run(async {
        let log = Log::default();
        let start = now();
        let cleaner = log.clone();
        let task = create_task(async move {
            let caught = catch_cancel(sleep(HOUR)).await.unwrap_err();
            sleep(30 * MS).await;
            cleaner.add("cleaned up");
            caught.propagate().await;
        });
        let known = task.task_ref();
        let error = wait_for(task, 10 * MS).await.unwrap_err();
        assert!(matches!(error, WaitError::Elapsed(elapsed) if elapsed.after == 10 * MS));
        assert_eq!(log.all(), ["cleaned up"]);
        assert_eq!(now().duration_since(start), 40 * MS);
        assert_eq!(known.info(), None, "it has ended");
    });
}

#[test]
fn b54_an_error_of_clean_up_and_a_value_made_of_the_cancel_win_over_the_time() {
    run(async {
        let panics = create_task(async {
            let _ = catch_cancel(sleep(HOUR)).await;
            panic!("in clean-up");
        });
        match wait_for(panics, MS).await.unwrap_err() {
            WaitError::Join(JoinError::Panicked(panic)) => assert_eq!(panic.text(), "in clean-up"),
            other => panic!("{other}"),
        }
        let fails = create_task(cleans_up(Log::default(), "", MS, Err::<(), _>("clean-up")));
        assert_eq!(wait_for(fails, MS).await.unwrap(), Err("clean-up"));
        let value = create_task(cleans_up(Log::default(), "", MS, 42));
        assert_eq!(wait_for(value, MS).await.unwrap(), 42);
        let cancelled = create_task(pending::<()>());
        cancelled.cancel();
        let error = wait_for(cancelled, HOUR).await.unwrap_err();
        assert!(matches!(error, WaitError::Join(JoinError::Cancelled(_))));
    });
}

#[test]
fn b54_with_no_time_a_task_that_has_not_begun_never_does_and_one_that_is_done_has_its_value() {
    run(async {
        let log = Log::default();
        let noted = log.clone();
        let fresh = create_task(async move { noted.add("began") });
        let error = wait_for(fresh, Duration::ZERO).await.unwrap_err();
        assert!(error.is_elapsed());
        assert_eq!(log.all(), [""; 0]);

        let done = create_task(async { 7 });
        yield_now().await;
        assert!(done.done());
        assert_eq!(wait_for(done, Duration::ZERO).await.unwrap(), 7);
    });
}

#[test]
fn b55_a_cancel_in_the_tick_in_which_the_awaited_task_completes_is_not_swallowed() {
    // Before, in and after the tick of the completion, from the loop's view.
    for order in 0..3 {
        let mut test = TestLoop::new();
        let log = Log::default();
        let (noted, cut) = (log.clone(), log.drops("dropped"));
        let (promise, future) = test.enter(loop_runtime::create_future::<u32>);
        let outer = test.enter(|| {
            create_task(async move {
                let _cut = cut;
                let inner = create_task(async { future.await.unwrap() });
                let value = wait_for(inner, HOUR).await;
                noted.add(format!("{value:?}"));
            })
        });
        test.turn();
        test.enter(|| match order {
            0 => {
                outer.cancel();
                promise.set_result(1).unwrap();
            }
            1 => {
                promise.set_result(1).unwrap();
                outer.cancel();
            }
            _ => {
                promise.set_result(1).unwrap();
            }
        });
        if order == 2 {
            // The inner task has ended and the outer one is ready, not polled yet.
            test.once();
            test.enter(|| assert!(outer.cancel()));
        }
        test.turn();
        assert!(outer.cancelled(), "order {order}");
        assert_eq!(log.all(), ["dropped"], "order {order}");
        assert_eq!(test.enter(|| outer.cancelling()), 1);
    }
}

#[test]
fn b55_a_cancel_from_outside_waits_for_the_clean_up_and_is_not_swallowed_by_a_value() {
    let mut test = TestLoop::new();
    let log = Log::default();
    let (noted, inner) = (log.clone(), log.clone());
    let outer = test.enter(|| {
        create_task(async move {
            let inner = create_task(cleans_up(inner, "inner", 5 * MS, 7));
            let value = wait_for(inner, HOUR).await;
            noted.add(format!("{value:?}"));
        })
    });
    test.turn();
    test.enter(|| outer.cancel());
    test.advance(4 * MS);
    assert!(!outer.done());
    test.advance(MS);
    assert!(outer.cancelled());
    assert_eq!(log.all(), ["inner cleaned up"]);
}

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
        let all = gather(children(&own));
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

        let tasks = [
            create_task(async { panic!("boom") }),
            create_task(pending::<()>()),
        ];
        let (done, left) = wait(tasks, ReturnWhen::FirstException, None).await;
        assert_eq!((done.len(), left.len()), (1, 1));
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
