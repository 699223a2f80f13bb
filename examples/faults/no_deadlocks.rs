//! Programs that look like deadlocks, and in which somebody always can go on: nothing may be said of
//! them. Their tasks are detached, so that no handle is what keeps a verdict back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use loop_runtime::sync::{Event, Lock, Queue, Semaphore, mpsc, oneshot};
use loop_runtime::{Promise, create_future, create_task, get_running_loop, sleep, yield_now};

use super::healthy::healthy;
use super::{Program, ms};

/// So long their tasks wait.
const SEEN: Duration = ms(700);

pub(super) const PROGRAMS: [Program; 17] = [
    healthy(
        "guard-given-away",
        "A guard is moved into another task, and who took it waits for the lock again.",
        || Box::pin(guard_given_away()),
    ),
    healthy(
        "permit-given-away",
        "Permits are moved into a task that ends, and who took them waits for more.",
        || Box::pin(permit_given_away()),
    ),
    healthy(
        "permits-by-hand",
        "Two tasks have a permit each and wait for more, which main adds.",
        || Box::pin(permits_by_hand()),
    ),
    healthy(
        "permits-of-a-sleeper",
        "Two tasks have a permit each and wait for a third, whose holder sleeps.",
        || Box::pin(permits_of_a_sleeper()),
    ),
    healthy(
        "promise-in-a-map",
        "A task waits for promises that another one keeps in a map and keeps after a while.",
        || Box::pin(promise_in_a_map()),
    ),
    healthy(
        "sender-on-a-thread",
        "A task waits for a channel whose sender a thread has.",
        || Box::pin(sender_on_a_thread()),
    ),
    healthy(
        "promise-of-a-callback",
        "A task waits for a promise that a timer's callback keeps.",
        || Box::pin(promise_of_a_callback()),
    ),
    healthy(
        "promise-was-its-own",
        "A task has a promise, gives it to another one, and waits for it.",
        || Box::pin(promise_was_its_own()),
    ),
    healthy(
        "queue-filled-from-outside",
        "A task with a lock waits for an item, another one for the lock, and main has the queue.",
        || Box::pin(queue_filled(Filler::Main)),
    ),
    healthy(
        "queue-filled-by-a-thread",
        "A task with a lock waits for an item, another one for the lock, and a thread sends one.",
        || Box::pin(queue_filled(Filler::Thread)),
    ),
    healthy(
        "queue-filled-by-a-sleeper",
        "A task with a lock waits for an item, another one for the lock, and a third one sleeps.",
        || Box::pin(queue_filled(Filler::Sleeper)),
    ),
    healthy(
        "senders-cloned-into-tasks",
        "A task reads from many, one of which sleeps, and all others wait for it.",
        || Box::pin(senders_cloned_into_tasks()),
    ),
    healthy(
        "event-set-later",
        "Tasks wait for an event that a task sets which sleeps.",
        || Box::pin(event_set_later()),
    ),
    healthy(
        "locks-in-one-order",
        "Many tasks take three locks, always in one order.",
        || Box::pin(locks_in_one_order()),
    ),
    healthy(
        "opposite-orders-guarded",
        "Two tasks take two locks in opposite orders, under a third one.",
        || Box::pin(opposite_orders(Apart::ByAThird)),
    ),
    healthy(
        "opposite-orders-tried",
        "Two tasks take two locks in opposite orders; one of them does not wait for its second.",
        || Box::pin(opposite_orders(Apart::ByTrying)),
    ),
    healthy(
        "opposite-orders-of-one",
        "A single task takes two locks in opposite orders.",
        || Box::pin(opposite_orders(Apart::AsOne)),
    ),
];

async fn guard_given_away() {
    let cart = Lock::named("cart", ());
    let guard = cart.lock().await.into_owned();
    let keeps = create_task(async move {
        sleep(SEEN).await;
        drop(guard);
    });
    drop(cart.lock().await);
    keeps.await.expect("it ends");
}

async fn permit_given_away() {
    let slots = Semaphore::named("slots", 2);
    let permits = slots.acquire_many(2).await.into_owned();
    let keeps = create_task(async move {
        sleep(SEEN).await;
        drop(permits);
    });
    drop(slots.acquire().await);
    keeps.await.expect("it ends");
}

async fn permits_by_hand() {
    let slots = Semaphore::named("slots", 3);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let slots = slots.clone();
            create_task(async move {
                let _first = slots.acquire().await;
                let _second = slots.acquire_many(2).await;
                yield_now().await;
            })
        })
        .collect();
    // A permit that was forgotten tells that they are counted by hand.
    slots.acquire().await.forget();
    sleep(SEEN).await;
    slots.release(3);
    for task in tasks {
        task.await.expect("it ends");
    }
}

async fn permits_of_a_sleeper() {
    let slots = Semaphore::named("slots", 3);
    let theirs = slots.clone();
    let sleeper = create_task(async move {
        let _permit = theirs.acquire().await;
        sleep(SEEN).await;
    });
    yield_now().await;
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let slots = slots.clone();
            create_task(async move {
                let first = slots.acquire().await;
                let second = slots.acquire().await;
                drop((first, second));
            })
        })
        .collect();
    sleeper.await.expect("it ends");
    for task in tasks {
        task.await.expect("it ends");
    }
}

async fn promise_in_a_map() {
    let pending: Rc<RefCell<HashMap<u32, Promise<u32>>>> = Rc::default();
    let theirs = pending.clone();
    create_task(async move {
        sleep(SEEN).await;
        for (number, promise) in theirs.borrow_mut().drain() {
            promise.set_result(number).expect("it is awaited");
        }
    })
    .detach();
    for number in 0..3 {
        let (promise, future) = create_future();
        let pending = pending.clone();
        create_task(async move {
            pending.borrow_mut().insert(number, promise);
            assert_eq!(future.await, Ok(number));
        })
        .detach();
    }
    drop(pending);
    sleep(SEEN + ms(50)).await;
}

async fn sender_on_a_thread() {
    let (sender, receiver) = oneshot::channel();
    let thread = thread::spawn(move || {
        thread::sleep(SEEN);
        sender.send(1).expect("it is awaited");
    });
    create_task(async move { assert_eq!(receiver.await, Ok(1)) }).detach();
    sleep(SEEN + ms(50)).await;
    thread.join().expect("it ends");
}

async fn promise_of_a_callback() {
    let (promise, future) = create_future();
    get_running_loop()
        .expect("this is a task")
        .call_later(SEEN, move || promise.set_result(1).expect("it is awaited"));
    create_task(async move { assert_eq!(future.await, Ok(1)) }).detach();
    sleep(SEEN + ms(50)).await;
}

async fn promise_was_its_own() {
    let (promise, future) = create_future::<u32>();
    create_task(async move {
        create_task(async move {
            sleep(SEEN).await;
            promise.set_result(1).expect("it is awaited");
        })
        .detach();
        assert_eq!(future.await, Ok(1));
    })
    .detach();
    sleep(SEEN + ms(50)).await;
}

enum Filler {
    Main,
    Thread,
    Sleeper,
}

/// As `lock-across-a-queue`, where all would wait for ever if nobody else had the queue.
async fn queue_filled(by: Filler) {
    let (cart, items) = (Rc::new(Lock::new(())), Queue::<u32>::new(2));
    let (lock, queue) = (cart.clone(), items.clone());
    create_task(async move {
        let _cart = lock.lock().await;
        queue.get().await.expect("it is open");
    })
    .detach();
    let queue = items.clone();
    create_task(async move {
        sleep(ms(5)).await;
        let _cart = cart.lock().await;
        queue.put(1).await.expect("it is open");
    })
    .detach();
    match by {
        Filler::Main => {
            sleep(SEEN).await;
            items.put(0).await.expect("it is open");
        }
        Filler::Thread => {
            let here = get_running_loop().expect("this is a task").handle();
            let thread = thread::spawn(move || {
                thread::sleep(SEEN);
                let puts = move || items.put_nowait(0).expect("it has room");
                here.call_soon_threadsafe(puts).expect("it runs");
            });
            sleep(SEEN + ms(50)).await;
            thread.join().expect("it ends");
        }
        Filler::Sleeper => {
            create_task(async move {
                sleep(SEEN).await;
                items.put(0).await.expect("it is open");
            })
            .detach();
        }
    }
    sleep(SEEN).await;
}

async fn senders_cloned_into_tasks() {
    let (sender, mut receiver) = mpsc::channel(8);
    let go = Event::new();
    let goes = go.clone();
    create_task(async move {
        while let Some(number) = receiver.recv().await {
            if number == 0 {
                goes.set();
            }
        }
    })
    .detach();
    for number in 0..5 {
        let (sender, go) = (sender.clone(), go.clone());
        create_task(async move {
            if number == 0 {
                sleep(SEEN).await;
            } else {
                go.wait().await;
            }
            sender.send(number).await.expect("it is read");
        })
        .detach();
    }
    drop((sender, go));
    sleep(SEEN + ms(50)).await;
}

async fn event_set_later() {
    let go = Event::named("go");
    for _ in 0..3 {
        let go = go.clone();
        create_task(async move { go.wait().await }).detach();
    }
    create_task(async move {
        sleep(SEEN).await;
        go.set();
    })
    .detach();
    sleep(SEEN + ms(50)).await;
}

async fn locks_in_one_order() {
    let locks = ["cart", "stock", "till"].map(|name| Lock::named(name, 0));
    let tasks: Vec<_> = (0..20)
        .map(|nth| {
            let locks = locks.clone();
            create_task(async move {
                let mut first = locks[nth % 2].lock().await;
                let mut second = locks[2].lock().await;
                yield_now().await;
                *first += 1;
                *second += 1;
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    sleep(SEEN).await;
}

/// What keeps two tasks with opposite orders from waiting for each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    ByAThird,
    ByTrying,
    AsOne,
}

async fn opposite_orders(apart: Apart) {
    let [desk, cart, stock] = ["desk", "cart", "stock"].map(|name| Lock::named(name, ()));
    let take = |first: &Lock<()>, second: &Lock<()>, tries: bool| {
        let (desk, first, second) = (desk.clone(), first.clone(), second.clone());
        async move {
            let _third = match apart {
                Apart::ByAThird => Some(desk.lock().await),
                Apart::ByTrying | Apart::AsOne => None,
            };
            let _first = first.lock().await;
            sleep(ms(5)).await;
            if tries {
                drop(second.try_lock());
            } else {
                drop(second.lock().await);
            }
        }
    };
    let there = take(&cart, &stock, false);
    let back = take(&stock, &cart, apart == Apart::ByTrying);
    if apart == Apart::AsOne {
        there.await;
        back.await;
    } else {
        create_task(there).await.expect("it ends");
        create_task(back).await.expect("it ends");
    }
    sleep(SEEN).await;
}
