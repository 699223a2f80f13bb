//! Tasks that wait for each other. Main only looks on: it holds no handle, so nobody can help.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::sync::{Lock, Queue, Semaphore};
use loop_runtime::{Promise, Task, create_future, create_task, sleep};

use super::{Program, ms, program};

/// So long they are there to be seen.
const SEEN: Duration = ms(700);

pub(super) const PROGRAMS: [Program; 13] = [
    program(
        "join-cycle-of-2",
        "deadlocked",
        "Two tasks join each other.",
        || Box::pin(join_cycle(2)),
    )
    .also("left-behind"),
    program(
        "join-cycle-of-3",
        "deadlocked",
        "Three tasks join each other in a circle.",
        || Box::pin(join_cycle(3)),
    )
    .also("left-behind"),
    program("joins-itself", "deadlocked", "A task joins itself.", || {
        Box::pin(join_cycle(1))
    })
    .also("left-behind"),
    program(
        "behind-a-stranded-one",
        "deadlocked",
        "A task joins one that nothing can wake.",
        || Box::pin(behind_a_stranded_one()),
    )
    .also("left-behind,stuck-abortable"),
    program(
        "lock-cycle",
        "deadlocked",
        "Two tasks take two locks in different orders.",
        || Box::pin(lock_cycle(2)),
    )
    .also("left-behind"),
    program(
        "lock-cycle-of-3",
        "deadlocked",
        "Three philosophers each take the left fork first.",
        || Box::pin(lock_cycle(3)),
    )
    .also("left-behind"),
    program(
        "locks-twice",
        "deadlocked",
        "A task takes a lock that it holds.",
        || Box::pin(lock_cycle(1)),
    )
    .also("left-behind"),
    program(
        "joins-who-wants-its-lock",
        "deadlocked",
        "A task that holds a lock joins one that waits for it.",
        || Box::pin(joins_who_wants_its_lock()),
    )
    .also("left-behind"),
    program(
        "lock-across-a-queue",
        "deadlocked",
        "A task that holds a lock waits for an item whose sender wants the lock.",
        || Box::pin(lock_across_a_queue()),
    )
    .also("left-behind"),
    program(
        "semaphore-used-up",
        "deadlocked",
        "Two tasks have a permit each and want a second one of none.",
        || Box::pin(semaphore_used_up()),
    )
    .also("left-behind"),
    program(
        "own-promise",
        "deadlocked",
        "A task waits for a promise that it holds itself.",
        || Box::pin(own_promise()),
    )
    .also("left-behind"),
    program(
        "opposite-orders",
        "lock-order",
        "One task takes the cart and then the stock, a later one the stock and then the cart.",
        || Box::pin(orders(&[[0, 1], [1, 0]])),
    ),
    program(
        "orders-of-3",
        "lock-order",
        "Three tasks, one after the other, each take the left fork first.",
        || Box::pin(orders(&[[0, 1], [1, 2], [2, 0]])),
    ),
];

/// Task n joins task n + 1, the last one the first.
async fn join_cycle(count: usize) {
    let slots: Vec<Rc<RefCell<Option<Task<()>>>>> = (0..count).map(|_| Rc::default()).collect();
    for at in 0..count {
        let other = slots[(at + 1) % count].clone();
        let task = create_task(async move {
            sleep(ms(5)).await;
            let task = other.borrow_mut().take();
            drop(task.expect("it was put there").await);
        });
        *slots[at].borrow_mut() = Some(task);
    }
    drop(slots);
    sleep(SEEN).await;
}

async fn behind_a_stranded_one() {
    let stranded = create_task(std::future::pending::<()>());
    create_task(async move { drop(stranded.await) }).detach();
    sleep(SEEN).await;
}

/// Task n holds lock n and wants lock n + 1, the last one the first.
async fn lock_cycle(count: usize) {
    let locks: Rc<Vec<Lock<()>>> = Rc::new(
        (0..count)
            .map(|at| Lock::named(["cart", "stock", "till"][at], ()))
            .collect(),
    );
    for at in 0..count {
        let locks = locks.clone();
        create_task(async move {
            let _first = locks[at].lock().await;
            sleep(ms(5)).await;
            let _second = locks[(at + 1) % locks.len()].lock().await;
        })
        .detach();
    }
    drop(locks);
    sleep(SEEN).await;
}

async fn joins_who_wants_its_lock() {
    let cart = Rc::new(Lock::named("cart", ()));
    create_task(async move {
        let _items = cart.lock().await;
        let other = cart.clone();
        let task = create_task(async move { drop(other.lock().await) });
        drop(task.await);
    })
    .detach();
    sleep(SEEN).await;
}

async fn lock_across_a_queue() {
    let (cart, items) = (
        Rc::new(Lock::named("cart", ())),
        Rc::new(Queue::<u32>::named("items", 1)),
    );
    let (lock, queue) = (cart.clone(), items.clone());
    create_task(async move {
        let _cart = lock.lock().await;
        queue.get().await.expect("it is open");
    })
    .detach();
    create_task(async move {
        sleep(ms(5)).await;
        let _cart = cart.lock().await;
        items.put(1).await.expect("it is open");
    })
    .detach();
    sleep(SEEN).await;
}

async fn semaphore_used_up() {
    let connections = Rc::new(Semaphore::named("connections", 2));
    for _ in 0..2 {
        let connections = connections.clone();
        create_task(async move {
            let _first = connections.acquire().await;
            sleep(ms(5)).await;
            let _second = connections.acquire().await;
        })
        .detach();
    }
    drop(connections);
    sleep(SEEN).await;
}

async fn own_promise() {
    let (promise, future) = create_future::<u32>();
    let keeps = async move {
        let promise: Promise<u32> = promise;
        future.await.expect("never comes");
        promise.set_result(1).expect("never comes");
    };
    create_task(keeps).detach();
    sleep(SEEN).await;
}

/// One task after the other takes two locks.
async fn orders(of: &[[usize; 2]]) {
    let locks = ["cart", "stock", "till"].map(|name| Lock::named(name, ()));
    for [first, second] in of {
        let (first, second) = (locks[*first].clone(), locks[*second].clone());
        let both = async move {
            let _first = first.lock().await;
            sleep(ms(5)).await;
            let _second = second.lock().await;
        };
        create_task(both).await.expect("it ends");
    }
    sleep(SEEN).await;
}
