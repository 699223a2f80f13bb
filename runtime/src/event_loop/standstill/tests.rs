//! What a loop says that goes on though nothing can wake it, as another thread reads it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::Rule;
use crate::context::{self, Organs};
use crate::event_loop::{Config, EventLoop, OnDeadlock, RunError};
use crate::record::bound;
use crate::record::standstill::{Dead, Wakers};
use crate::spawn::{Task, create_task};
use crate::{pending, yield_now};

/// Waits, on a thread that the loop cannot know of, until the loop says that nobody can wake it; then
/// wakes it all the same, as a console would.
fn once_dead(
    event_loop: &EventLoop,
    then: impl FnOnce(&Organs) + Send + 'static,
) -> thread::JoinHandle<Dead> {
    let record = Arc::clone(&event_loop.organs().record);
    thread::spawn(move || {
        let dead = loop {
            match record.still.read_dead() {
                Some(dead) => break dead,
                None => thread::yield_now(),
            }
        };
        let errand = move || context::expect(|organs| then(organs));
        bound::send(record.id, Box::new(errand))
            .ok()
            .expect("it is open");
        dead
    })
}

/// Two tasks that join each other.
fn join_each_other() {
    let slots: [Rc<RefCell<Option<Task<()>>>>; 2] = Default::default();
    for at in 0..2 {
        let other = slots[1 - at].clone();
        let task = create_task(async move {
            yield_now().await;
            let other = other.borrow_mut().take().expect("it was put there");
            drop(other.await);
        });
        *slots[at].borrow_mut() = Some(task);
    }
}

#[test]
fn a_loop_that_runs_for_ever_says_so_and_goes_on() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.enter(join_each_other);
    let told = once_dead(&event_loop, |organs| organs.state.stopping.set(true));
    event_loop.run_forever().unwrap();
    let dead = told.join().unwrap();
    assert_eq!((dead.tasks.len(), dead.lines.len()), (2, 3), "{dead:?}");
    assert!(
        dead.lines[0].contains("for nothing but each other"),
        "{dead:?}"
    );
    let still = &event_loop.organs().record.still;
    assert_eq!(still.wakers(), Wakers::Own, "it was woken after all");
}

#[test]
fn a_run_that_is_to_be_looked_at_waits_on_and_can_be_helped() {
    let event_loop = EventLoop::with(Config {
        on_deadlock: OnDeadlock::Report,
        ..Config::new()
    })
    .unwrap();
    let told = once_dead(&event_loop, |organs| {
        organs.executor.cancel_main();
    });
    let ended = event_loop.run_until_complete(async {
        join_each_other();
        std::future::pending::<()>().await;
    });
    assert_eq!(ended, Err(RunError::Cancelled));
    let dead = told.join().unwrap();
    assert_eq!(dead.task, dead.tasks[0], "the main task is told first");
    assert_eq!(dead.tasks.len(), 3, "{dead:?}");
}

/// What the loop says when it is about to wait, in a run without an end.
fn says(event_loop: &EventLoop) -> Wakers {
    event_loop.turn_once().unwrap();
    let organs = event_loop.organs();
    event_loop.parks.begin(organs, Rule::Forever);
    // The first look is for what came meanwhile.
    event_loop.enter(|| {
        event_loop.parks.wait(organs);
        event_loop.parks.wait(organs)
    });
    organs.record.still.wakers()
}

#[test]
fn tasks_that_wait_for_ever_on_purpose_are_no_deadlock_of_a_loop_that_runs_for_ever() {
    let event_loop = EventLoop::new().unwrap();
    assert_eq!(says(&event_loop), Wakers::Own, "a loop without tasks idles");
    event_loop.enter(|| create_task(pending::<()>()).detach());
    assert_eq!(says(&event_loop), Wakers::Own);
    event_loop.enter(join_each_other);
    for _ in 0..2 {
        event_loop.turn_once().unwrap();
    }
    assert_eq!(says(&event_loop), Wakers::Nobody, "the others do not");
}

#[test]
fn a_handle_or_a_reference_to_a_task_may_be_anywhere() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.enter(join_each_other);
    for _ in 0..2 {
        event_loop.turn_once().unwrap();
    }
    let handle = event_loop.handle();
    assert_eq!(
        says(&event_loop),
        Wakers::Outside,
        "the tests' own threads are others"
    );
    let (outside, _) = event_loop.organs().record.still.read_outside().unwrap();
    assert_eq!(outside.handles, 1);
    drop(handle);
    assert_eq!(says(&event_loop), Wakers::Nobody);
    let task = event_loop.enter(|| create_task(async {}));
    let _reference = task.task_ref();
    assert_eq!(says(&event_loop), Wakers::Outside);
}
