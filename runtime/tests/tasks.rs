//! Tasks as such: names, parents, lists, reuse, ends. The numbers are those of the acceptance cases.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    EventLoop, JoinError, Task, TaskState, all_tasks, create_task, current_task, sleep, yield_now,
};

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    TestLoop::new().run(future).unwrap()
}

#[test]
fn a_task_is_named_by_its_builder_its_number_or_its_type_and_anew_by_set_name() {
    run(async {
        let plain = create_task(pending::<()>());
        assert!(plain.name().contains("Pending"), "{}", plain.name());
        let named = Task::<()>::builder().name("worker-").number(7);
        let named = named.spawn(pending::<()>());
        assert_eq!(named.name(), "worker-7");
        named.set_name("boss");
        assert_eq!(named.name(), "boss");
        assert_eq!(named.task_ref().info().unwrap().name(), "boss");
    });
}

#[test]
fn a_task_knows_who_spawned_it() {
    run(async {
        let own = current_task().unwrap().id();
        let child = create_task(async {
            let grandchild = create_task(pending::<()>());
            let parent = grandchild.task_ref().info().unwrap().parent();
            (current_task().unwrap().id(), parent)
        });
        assert_eq!(child.task_ref().info().unwrap().parent(), Some(own));
        let (child, parent) = child.await.unwrap();
        assert_eq!(parent, Some(child));
    });
    let el = EventLoop::new().unwrap();
    let orphan = el.enter(|| create_task(pending::<()>()));
    assert_eq!(orphan.task_ref().info().unwrap().parent(), None);
}

#[test]
fn a_task_says_where_it_was_spawned_and_where_it_waits() {
    run(async {
        let line = line!() + 1;
        let task = create_task(async { sleep(Duration::from_secs(9)).await });
        yield_now().await;
        let info = task.task_ref().info().unwrap();
        let here = format!("tasks.rs:{line}:");
        assert!(info.spawned_at().contains(&here), "{}", info.spawned_at());
        assert!(info.waiting_at().contains(&here), "{}", info.waiting_at());
        assert_eq!((info.state(), info.polls()), (TaskState::Wait, 1));
    });
}

#[test]
fn a_task_is_ready_until_polled_runs_while_polled_and_waits_after() {
    run(async {
        let seen = Rc::new(Cell::new(None));
        let inside = seen.clone();
        let task = create_task(async move {
            inside.set(Some(current_task().unwrap().info().unwrap().state()));
            pending::<()>().await;
        });
        let state = || task.task_ref().info().unwrap().state();
        assert_eq!(state(), TaskState::Ready);
        yield_now().await;
        assert_eq!(
            (seen.get(), state()),
            (Some(TaskState::Run), TaskState::Wait)
        );
    });
}

#[test]
fn the_list_of_tasks_holds_those_that_are_not_done() {
    run(async {
        let done = create_task(async {});
        let waiting = create_task(pending::<()>());
        yield_now().await;
        assert!(done.done());
        let ids: Vec<_> = all_tasks().unwrap().iter().map(|task| task.id()).collect();
        assert_eq!(ids.len(), 2);
        assert!(ids.contains(&waiting.id()) && ids.contains(&current_task().unwrap().id()));
    });
}

#[test]
fn a_dropped_handle_lets_the_task_run_on() {
    run(async {
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        drop(create_task(async move {
            yield_now().await;
            seen.set(true);
        }));
        sleep(Duration::from_millis(1)).await;
        assert!(done.get());
    });
}

#[test]
fn a_value_is_given_once() {
    run(async {
        let mut task = create_task(async { 7 });
        assert!(task.try_result().is_none(), "not done yet");
        yield_now().await;
        assert_eq!(task.try_result().unwrap().unwrap(), 7);
        assert!(task.try_result().is_none());
        assert!(matches!(task.await, Err(JoinError::Taken)));
    });
}

#[test]
fn done_callbacks_are_called_in_order_and_at_once_for_a_task_that_is_done() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let task = create_task(async {});
        for word in ["first", "second"] {
            let log = log.clone();
            task.add_done_callback(move |_| log.borrow_mut().push(word));
        }
        yield_now().await;
        yield_now().await;
        let late = log.clone();
        task.add_done_callback(move |_| late.borrow_mut().push("late"));
        assert_eq!(*log.borrow(), ["first", "second"], "never inline");
        yield_now().await;
        assert_eq!(*log.borrow(), ["first", "second", "late"]);
    });
}

/// Counts how many of it are alive.
struct Alive(Rc<Cell<i32>>);

impl Alive {
    fn new(count: &Rc<Cell<i32>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[test]
fn a_value_lives_until_its_handle_is_dropped_also_past_the_loop() {
    let alive = Rc::new(Cell::new(0));
    let el = EventLoop::new().unwrap();
    let (done, waits) = el.enter(|| {
        let (value, kept) = (Alive::new(&alive), Alive::new(&alive));
        let waits = create_task(async move {
            let _kept = kept;
            pending::<()>().await;
        });
        (create_task(async move { value }), waits)
    });
    el.run_until_complete(yield_now()).unwrap();
    assert_eq!(alive.get(), 2);
    el.close().unwrap();
    assert_eq!(
        alive.get(),
        1,
        "the future is dropped by the close, the value is not"
    );
    drop(el);
    assert!(done.done() && !done.cancelled() && waits.cancelled());
    drop((done, waits));
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_value_may_be_taken_after_its_loop_closed() {
    let el = EventLoop::new().unwrap();
    let mut task = el.enter(|| create_task(async { Rc::new(7) }));
    el.run_until_complete(yield_now()).unwrap();
    el.close().unwrap();
    assert_eq!(*task.try_result().unwrap().unwrap(), 7);
    let mut waits = {
        let el = EventLoop::new().unwrap();
        el.enter(|| create_task(pending::<()>()))
    };
    let error = waits.try_result().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("pending when its loop closed"),
        "{error}"
    );
}

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// Else the awaiter, which nothing can wake any more, would look as if something could.
#[test]
fn what_is_no_longer_awaited_gives_the_awaiters_waker_back() {
    let test = TestLoop::new();
    let idle = Arc::new(Idle);
    let waker = Waker::from(idle.clone());
    let mut cx = Context::from_waker(&waker);
    test.enter(|| {
        let mut task = create_task(pending::<()>());
        assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
        let (promise, mut future) = loop_runtime::create_future::<()>();
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
        let mut nap = Box::pin(sleep(Duration::from_secs(9)));
        assert!(nap.as_mut().poll(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(&idle), 5);
        drop((task, future, nap));
        assert_eq!(Arc::strong_count(&idle), 2);
        assert!(promise.is_abandoned());
    });
}

#[test]
fn a_task_allowed_for_ever_is_not_waited_for() {
    let el = loop_runtime::Builder::new().grace(Duration::from_secs(3600));
    // Without the word for it the run would wait an hour for this one.
    el.run(async {
        let forever = Task::<()>::builder().allow_forever();
        forever.spawn(pending::<()>()).detach();
        yield_now().await;
    })
    .unwrap();
}

#[test]
fn a_hundred_thousand_tasks_one_after_another_and_at_once() {
    const TASKS: usize = 100_000;
    run(async {
        let ran = Rc::new(Cell::new(0));
        for i in 0..TASKS {
            let ran = ran.clone();
            let task = create_task(async move { ran.set(ran.get() + 1) });
            if i % 2 == 0 {
                task.await.unwrap();
            }
        }
        sleep(Duration::from_millis(1)).await;
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                create_task(async move {
                    yield_now().await;
                    i
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        assert_eq!((ran.get(), sum), (TASKS, TASKS * (TASKS - 1) / 2));
    });
}
