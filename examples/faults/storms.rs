//! Tasks that run very often and get nothing done, that never give a turn away, and whom that hurts.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use loop_runtime::sync::Event;
use loop_runtime::time::now;
use loop_runtime::{create_task, sleep, yield_now};

use super::blocking::compute;
use super::{Program, ms, program};

/// Long enough for a rate to be told.
const SEEN: Duration = ms(1_800);

pub(super) const PROGRAMS: [Program; 6] = [
    program(
        "yield-loop",
        "spinning",
        "A task yields until a flag is set.",
        || Box::pin(yield_loop()),
    ),
    program(
        "wakes-itself",
        "spinning",
        "A future wakes itself and returns Pending.",
        || Box::pin(wakes_itself()),
    ),
    program(
        "ping-pong",
        "wake-storm",
        "Two tasks wake each other without end.",
        || Box::pin(ping_pong()),
    ),
    program(
        "never-yields",
        "never-yields",
        "The first poll of a task goes on and on.",
        || {
            Box::pin(async {
                let task = create_task(async { compute(ms(2_400)) }); // To who looks once a second.
                task.await.expect("it ends");
            })
        },
    )
    .also("blocked"),
    program(
        "late-timer",
        "late-timer",
        "A sleeping task has to wait for one that blocks.",
        || Box::pin(late_timer()),
    )
    .also("blocked,never-yields"),
    program(
        "starved",
        "starved",
        "A task is ready and has no turn for more than a second.",
        || Box::pin(starved()),
    )
    .also("blocked,never-yields"),
];

async fn yield_loop() {
    let ready = Rc::new(Cell::new(false));
    let waits = ready.clone();
    let task = create_task(async move {
        while !waits.get() {
            yield_now().await;
        }
    });
    sleep(SEEN).await;
    ready.set(true);
    task.await.expect("it ends");
}

async fn wakes_itself() {
    let until = now() + SEEN;
    let task = create_task(poll_fn(move |cx| {
        if now() > until {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    task.await.expect("it ends");
}

async fn ping_pong() {
    let until = now() + SEEN;
    let (left, right) = (Rc::new(Event::new()), Rc::new(Event::new()));
    let side = |own: Rc<Event>, other: Rc<Event>| async move {
        while now() < until {
            own.wait().await;
            own.clear();
            other.set();
        }
        other.set();
    };
    let one = create_task(side(left.clone(), right.clone()));
    let two = create_task(side(right, left.clone()));
    left.set();
    one.await.expect("it ends");
    two.await.expect("it ends");
}

async fn late_timer() {
    let sleeper = create_task(async { sleep(ms(300)).await });
    yield_now().await;
    std::thread::sleep(ms(2_400)); // Told while it lasts, to who looks once a second.
    sleeper.await.expect("it sleeps");
}

async fn starved() {
    let task = create_task(async {
        yield_now().await;
    });
    yield_now().await;
    std::thread::sleep(ms(2_600));
    task.await.expect("it ends");
}
