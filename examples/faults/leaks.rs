//! Tasks that cannot end, or that end later than who began them.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use loop_runtime::group::TaskGroup;
use loop_runtime::sync::Event;
use loop_runtime::{
    Task, catch_cancel, create_future, create_task, get_running_loop, sleep, timeout, yield_now,
};

use super::{Program, ms, program};

/// So long a task is there to be seen.
const SEEN: Duration = ms(700);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const PROGRAMS: [Program; 21] = [
    program(
        "pending",
        "stranded",
        "A task nobody holds awaits pending(), which drops its waker.",
        || Box::pin(left_to_itself(pending())),
    )
    .also("left-behind"),
    program(
        "dropped-waker",
        "stranded",
        "A future returns Pending and keeps no waker.",
        || Box::pin(left_to_itself(poll_fn(|_| Poll::Pending))),
    )
    .also("left-behind"),
    program(
        "waker-thrown-away",
        "stranded",
        "What a task waits for goes away without waking it.",
        || Box::pin(waker_thrown_away()),
    )
    .also("left-behind"),
    program(
        "waker-lost-on-a-thread",
        "stranded",
        "A thread takes a waker and ends without waking.",
        || Box::pin(waker_lost_on_a_thread()),
    )
    .also("left-behind"),
    program(
        "lost-after-work",
        "stranded",
        "A task works for a while and then waits for nothing.",
        || {
            Box::pin(left_to_itself(async {
                sleep(ms(20)).await;
                pending::<()>().await;
            }))
        },
    )
    .also("left-behind"),
    program(
        "many-stranded",
        "stranded",
        "A hundred tasks of one place wait for nothing.",
        || Box::pin(many_stranded()),
    )
    .also("left-behind"),
    program(
        "forgotten-promise",
        "left-behind",
        "A promise was forgotten, so its waker lives and is never woken.",
        || Box::pin(forgotten_promise()),
    ),
    program(
        "rc-cycle",
        "left-behind",
        "A promise lies in a cycle of Rc that nobody reaches any more.",
        || Box::pin(rc_cycle()),
    ),
    program(
        "forgotten-sleep",
        "left-behind",
        "A detached task sleeps past the end of the run.",
        || {
            Box::pin(async {
                create_task(sleep(HOUR)).detach();
                sleep(SEEN).await;
            })
        },
    ),
    program(
        "ends-in-a-while",
        "left-behind",
        "A detached task would end half a second after the run, which gives it 100 ms.",
        || {
            Box::pin(async {
                create_task(sleep(ms(600))).detach();
                sleep(ms(50)).await;
            })
        },
    ),
    program(
        "event-never-set",
        "left-behind",
        "A detached task waits for an event that nobody sets.",
        || Box::pin(event_never_set()),
    ),
    program(
        "endless-ticker",
        "left-behind",
        "A detached task ticks on when the run has ended.",
        || {
            Box::pin(async {
                create_task(async {
                    loop {
                        sleep(ms(50)).await;
                    }
                })
                .detach();
                sleep(SEEN).await;
            })
        },
    ),
    program(
        "callback-s-task",
        "left-behind",
        "A callback spawns a task that nobody ends.",
        || {
            Box::pin(async {
                let el = get_running_loop().expect("this is a task");
                el.call_soon(|| create_task(sleep(HOUR)).detach());
                sleep(SEEN).await;
            })
        },
    ),
    program(
        "dropped-group",
        "outlived-parent",
        "A group was dropped, and its task ignores the cancel.",
        || Box::pin(dropped_group()),
    ),
    program(
        "never-polled",
        "never-polled",
        "A task is spawned, and its loop has no time for it.",
        || Box::pin(never_polled()),
    )
    .also("blocked,never-yields"),
    program(
        "stuck-abortable",
        "stuck-abortable",
        "A held task waits for nothing; only a cancel ends it.",
        || Box::pin(stuck_abortable()),
    ),
    program(
        "outlives-its-request",
        "outlived-parent",
        "A request starts a task on the side and forgets it.",
        || Box::pin(outlives_its_request()),
    )
    .quick(),
    program(
        "idle-orphan",
        "idle-orphan",
        "Of ninety requests two wait for an answer that nobody sends.",
        || Box::pin(idle_orphan()),
    )
    .also("outlived-parent")
    .quick(),
    program(
        "growing",
        "growing",
        "Of the requests that come all the time some never end.",
        || Box::pin(growing(ms(50))),
    )
    .also("idle-orphan")
    .quick(),
    program(
        "growing-slowly",
        "growing",
        "Once in a while a request never ends; the others take their time.",
        || Box::pin(growing(ms(230))),
    )
    .also("idle-orphan")
    .quick(),
    program(
        "waker-hoard",
        "waker-hoard",
        "A list of waiters gets a waker at each poll and forgets none.",
        || Box::pin(waker_hoard()),
    )
    .quick(),
];

async fn left_to_itself(future: impl Future<Output = ()> + 'static) {
    create_task(future).detach();
    sleep(SEEN).await;
}

async fn waker_thrown_away() {
    let slot = Rc::new(RefCell::new(None::<Waker>));
    let waits = slot.clone();
    let future = poll_fn(move |cx| {
        *waits.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    });
    create_task(future).detach();
    sleep(ms(20)).await;
    drop(slot.borrow_mut().take());
    sleep(SEEN).await;
}

async fn waker_lost_on_a_thread() {
    let (wakers, taken) = std::sync::mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || {
        let waker = taken.recv().expect("one comes");
        std::thread::sleep(ms(20));
        drop(waker);
    });
    let future = poll_fn(move |cx| {
        wakers.send(cx.waker().clone()).expect("it waits for it");
        Poll::<()>::Pending
    });
    create_task(future).detach();
    sleep(SEEN).await;
    thread.join().expect("it ends");
}

async fn outlives_its_request() {
    let open = Rc::new(Event::new());
    let waits = open.clone();
    let request = create_task(async move {
        create_task(async move { waits.wait().await }).detach();
        sleep(ms(50)).await;
    });
    request.await.expect("it ends");
    sleep(4 * SEEN).await;
    open.set();
}

/// Answers after `answer`; `None`: when `open` is set.
async fn request(answer: Option<Duration>, open: Rc<Event>) {
    yield_now().await;
    match answer {
        Some(after) => sleep(after).await,
        None => open.wait().await,
    }
}

async fn idle_orphan() {
    let open = Rc::new(Event::new());
    for at in 0..90 {
        let answer = (at % 45 != 7).then_some(ms(5));
        create_task(request(answer, open.clone())).detach();
        sleep(ms(4)).await;
    }
    // Others go on being served.
    for _ in 0..40 {
        create_task(request(Some(ms(5)), open.clone())).detach();
        sleep(SEEN / 10).await;
    }
    open.set();
    sleep(ms(50)).await;
}

async fn growing(every: Duration) {
    let open = Rc::new(Event::new());
    let mut at = 0_u64;
    let until = loop_runtime::time::now() + ms(4_500);
    while loop_runtime::time::now() < until {
        at += 1;
        let answer = (!at.is_multiple_of(3)).then_some(ms(20));
        create_task(request(answer, open.clone())).detach();
        sleep(every / 3).await;
    }
    open.set();
    sleep(ms(50)).await;
}

async fn waker_hoard() {
    let waiters = Rc::new(RefCell::new(Vec::new()));
    let (own, mut polls) = (waiters.clone(), 0);
    let task = create_task(poll_fn(move |cx| {
        polls += 1;
        own.borrow_mut().push(cx.waker().clone());
        match polls {
            0..=1_500 => cx.waker().wake_by_ref(),
            1_502.. => return Poll::Ready(()),
            _ => {}
        }
        Poll::Pending
    }));
    sleep(2 * SEEN).await;
    let last: Option<Waker> = waiters.borrow_mut().pop();
    last.expect("there are many").wake();
    task.await.expect("it ends");
    waiters.borrow_mut().clear();
}

async fn many_stranded() {
    for _ in 0..100 {
        create_task(pending::<()>()).detach();
    }
    sleep(SEEN).await;
}

async fn forgotten_promise() {
    let (promise, future) = create_future::<u32>();
    std::mem::forget(promise);
    create_task(future).detach();
    sleep(SEEN).await;
}

/// Holds itself, and a promise.
struct Node {
    _promise: loop_runtime::Promise<u32>,
    itself: RefCell<Option<Rc<Node>>>,
}

async fn rc_cycle() {
    let (promise, future) = create_future::<u32>();
    let node = Rc::new(Node {
        _promise: promise,
        itself: RefCell::default(),
    });
    *node.itself.borrow_mut() = Some(node.clone());
    drop(node);
    create_task(future).detach();
    sleep(SEEN).await;
}

async fn event_never_set() {
    let open = Rc::new(Event::new());
    let waits = open.clone();
    create_task(async move { waits.wait().await }).detach();
    sleep(SEEN).await;
}

async fn dropped_group() {
    let scope = TaskGroup::<String>::scope(|group| async move {
        drop(group.create_task(async {
            drop(catch_cancel(sleep(HOUR)).await);
            sleep(2 * SEEN).await; // Cleans up at leisure.
            Ok(())
        }));
        sleep(HOUR).await;
        Ok(())
    });
    // The scope is dropped unfinished.
    assert!(timeout(ms(20), scope).await.is_err());
    sleep(3 * SEEN).await;
}

async fn never_polled() {
    let task = create_task(async {});
    std::thread::sleep(ms(2_400)); // Told to who looks once a second.
    task.await.expect("it ends at once");
}

async fn stuck_abortable() {
    let task: Task<()> = create_task(pending());
    sleep(2 * SEEN).await; // Said while it lives, so by who looks now and then.
    task.cancel();
    assert!(task.await.is_err(), "it was cancelled");
}
