//! B39: eager starts, and the factories that see every spawn.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    Context, EventLoop, NewTask, Task, TaskBuilder, TaskState, all_tasks, catch_cancel,
    context_var, create_task, current_task, eager_task_factory, get_running_loop, sleep, yield_now,
};

use super::{HOUR, MS, run};

fn eager() -> TaskBuilder {
    Task::<()>::builder().eager(true)
}

fn listed(task: loop_runtime::TaskId) -> bool {
    all_tasks().unwrap().iter().any(|other| other.id() == task)
}

#[test]
fn b39_an_eager_task_that_finishes_inline_is_done_on_return_and_in_no_list_after() {
    run(async {
        let outer = current_task().unwrap();
        let task = eager().name("inline").spawn(async move {
            let own = current_task().unwrap();
            assert_ne!(own, outer, "the current task is the new one");
            assert!(listed(own.id()) && listed(outer.id()), "both are seen");
            let info = own.info().unwrap();
            assert_eq!((info.state(), info.name()), (TaskState::Run, "inline"));
            assert_eq!(info.parent(), Some(outer.id()));
            own.id()
        });
        assert!(task.done() && !task.cancelled());
        assert_eq!(current_task(), Some(outer), "and the old one again after");
        assert!(!listed(task.id()));
        let id = task.id();
        assert_eq!(task.await.unwrap(), id);
    });
}

#[test]
fn b39_an_eager_task_that_blocks_goes_on_as_any_other() {
    run(async {
        let outer = current_task().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let task = eager().spawn(async move {
            log.borrow_mut().push(current_task());
            sleep(MS).await;
            log.borrow_mut().push(current_task());
            7
        });
        assert!(!task.done() && listed(task.id()));
        assert_eq!(
            seen.borrow().len(),
            1,
            "its first step ran inside the spawn"
        );
        let info = task.task_ref().info().unwrap();
        assert_eq!((info.state(), info.polls()), (TaskState::Wait, 1));
        assert_eq!(current_task(), Some(outer));
        let own = Some(task.task_ref());
        assert_eq!(task.await.unwrap(), 7);
        assert_eq!(*seen.borrow(), [own, own]);
    });
}

#[test]
fn b39_an_eager_task_wakes_itself_and_its_neighbours_in_their_order() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (first, second) = (log.clone(), log.clone());
        let plain = create_task(async move { first.borrow_mut().push("plain") });
        let eager = eager().spawn(async move {
            second.borrow_mut().push("eager");
            yield_now().await;
            second.borrow_mut().push("eager again");
        });
        plain.await.unwrap();
        eager.await.unwrap();
        assert_eq!(*log.borrow(), ["eager", "plain", "eager again"]);
    });
}

#[test]
fn b39_eager_tasks_start_inside_one_another_until_the_stack_is_deep() {
    fn chain(left: u32, started: Rc<Cell<u32>>) {
        if left > 0 {
            eager()
                .spawn(async move {
                    let depth = started.get();
                    started.set(depth + 1);
                    chain(left - 1, started.clone());
                })
                .detach();
        }
    }
    run(async {
        let started = Rc::new(Cell::new(0));
        let outer = current_task();
        chain(1000, started.clone());
        assert_eq!(current_task(), outer);
        let at_once = started.get();
        assert!((8..1000).contains(&at_once), "{at_once}");
        sleep(MS).await;
        assert_eq!(started.get(), 1000, "the others took their turn");
    });
}

#[test]
fn b39_an_eager_task_that_panics_is_a_task_that_panicked_and_its_spawner_goes_on() {
    run(async {
        let outer = current_task();
        let task = eager().spawn(async { panic!("at once") });
        assert!(task.done());
        assert_eq!(current_task(), outer);
        assert!(task.await.unwrap_err().is_panic());
    });
}

#[test]
fn b39_an_eager_task_is_cancelled_and_catches_as_any_other() {
    run(async {
        let task = eager().spawn(async { catch_cancel(sleep(HOUR)).await.is_err() });
        assert!(task.cancel());
        assert!(
            task.await.unwrap(),
            "its scope was entered inside the spawn"
        );
        let task = eager().spawn(pending::<()>());
        assert!(task.cancel() && !task.done());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn b39_a_spawn_before_the_loop_runs_waits_for_its_turn() {
    let el = EventLoop::new().unwrap();
    let task = el.enter(|| eager().spawn(async { 7 }));
    assert!(!task.done());
    assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 7);
}

#[test]
fn b39_the_polls_of_eager_tasks_are_counted_once_each() {
    let mut test = TestLoop::new();
    let task = test.enter(|| {
        create_task(async {
            let inner = eager().spawn(async {});
            let polls = inner.task_ref().info().unwrap().polls();
            (polls, current_task().unwrap().info().unwrap().polls())
        })
    });
    test.turn();
    let (inner, outer) = test.run(task).unwrap().unwrap();
    assert_eq!((inner, outer), (1, 0), "the outer's first poll is not over");
}

#[test]
fn b39_the_eager_factory_starts_every_task_of_its_loop() {
    run(async {
        let el = get_running_loop().unwrap();
        el.set_task_factory(Some(Rc::new(eager_task_factory)));
        assert!(create_task(async {}).done());
        assert!(el.create_task(async {}).done());
        let waits = create_task(sleep(MS));
        assert!(!waits.done());
        waits.await.unwrap();
        el.set_task_factory(None);
        assert!(!create_task(async {}).done());
    });
}

#[test]
fn b39_a_factory_sees_every_spawn_and_may_rename_and_reconfigure_it() {
    run(async {
        context_var! { static TENANT: u32; }
        let el = get_running_loop().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let context = Context::new();
        context.run(|| drop(TENANT.set(7)));
        let own = current_task().unwrap().id();
        el.set_task_factory(Some(Rc::new(move |task, new: &NewTask| {
            assert_eq!(new.parent(), Some(own));
            assert!(!new.is_main() && new.future_bytes() < 10_000);
            assert!(new.spawned_at().file().ends_with("eager.rs"));
            log.borrow_mut()
                .push((new.name().to_owned(), new.type_name()));
            // What it spawns itself does not pass it again.
            create_task(async {}).detach();
            task.name("shop:").number(3).context(&context)
        })));
        let plain = create_task(async { TENANT.get() });
        let named = Task::<()>::builder().name("mine").number(2);
        let named = named.spawn(async {});
        let remote = el.handle().spawn(|| async {}).unwrap();
        el.set_task_factory(None);
        assert_eq!(
            (plain.name(), named.name()),
            ("shop:3".into(), "shop:3".into())
        );
        assert_eq!(plain.await.unwrap(), Some(7));
        remote.await.unwrap();
        let seen = seen.borrow();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!((seen[0].0.as_str(), seen[1].0.as_str()), ("", "mine-2"));
        assert!(seen[0].1.contains("eager::"), "{}", seen[0].1);
    });
}

#[test]
fn b39_a_factory_that_panics_does_so_at_the_spawn_and_is_asked_again_at_the_next() {
    run(async {
        let el = get_running_loop().unwrap();
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        el.set_task_factory(Some(Rc::new(move |task, _: &NewTask| {
            count.set(count.get() + 1);
            assert!(count.get() > 1, "the first is refused");
            task
        })));
        let spawn = || drop(create_task(async {}));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(spawn)).is_err());
        create_task(async {}).await.unwrap();
        assert_eq!(asked.get(), 2);
    });
}

#[test]
fn b39_a_task_tells_its_type_its_place_and_its_name_to_who_holds_it() {
    run(async {
        let line = line!() + 1;
        let task = create_task(pending::<()>());
        assert_eq!(
            task.type_name(),
            std::any::type_name::<std::future::Pending<()>>()
        );
        assert_eq!(task.spawn_site().unwrap().line(), line);
        assert!(task.task_ref().set_name("clerk"));
        assert_eq!(task.name(), "clerk");
        let info = task.task_ref().info().unwrap();
        assert_eq!(info.type_name(), task.type_name());
        assert!(info.variables().is_empty());
    });
}
