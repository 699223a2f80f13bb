//! Loops that nothing can wake any more, and loops that look so and are woken from outside.
//!
//! The first kind ends by itself: the run gives an error that says who waits for what.

use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use loop_runtime::process::create_subprocess_exec;
use loop_runtime::sync::Lock;
use loop_runtime::{Task, create_future, create_task, get_running_loop, run_in_executor, sleep};

use super::healthy::healthy;
use super::{Program, ms, program};

pub(super) const PROGRAMS: [Program; 9] = [
    program(
        "whole-loop",
        "deadlocked",
        "Two tasks wait for each other's promise, and main joins both.",
        || Box::pin(whole_loop()),
    ),
    program(
        "whole-loop-own-lock",
        "deadlocked",
        "Main takes a lock that it holds, and nothing else goes on.",
        || Box::pin(own_lock()),
    ),
    program(
        "whole-loop-lost-waker",
        "deadlocked",
        "Main joins a task that kept no waker.",
        || Box::pin(async { drop(create_task(pending::<()>()).await) }),
    )
    .also("stuck-abortable"),
    healthy(
        "promise-on-a-thread",
        "Nothing but a thread can wake the loop, by dropping the promise that it has.",
        || Box::pin(promise_on_a_thread()),
    ),
    healthy(
        "waker-on-a-thread",
        "Nothing but a thread can wake the loop, and it has a waker that is not the runtime's.",
        || Box::pin(waker_on_a_thread()),
    ),
    healthy(
        "only-a-job",
        "Nothing but a job of the executor can wake the loop.",
        || {
            Box::pin(async {
                run_in_executor(|| thread::sleep(ms(700)))
                    .await
                    .expect("it ends")
            })
        },
    ),
    healthy(
        "only-a-child",
        "Nothing but the end of a child can wake the loop.",
        || Box::pin(only_a_child()),
    ),
    healthy(
        "only-a-timer",
        "Two tasks wait for each other in turn, and a timer lets the first go.",
        || Box::pin(only_a_timer()),
    ),
    healthy(
        "handle-on-a-thread",
        "Nothing but a thread can wake the loop, and it has a handle of it.",
        || Box::pin(handle_on_a_thread()),
    ),
];

async fn whole_loop() {
    let (keep_price, price) = create_future::<u32>();
    let (keep_offer, offer) = create_future::<u32>();
    let buyer = Task::<()>::builder().name("buyer").spawn(async move {
        let price = price.await.expect("never comes");
        keep_offer.set_result(price).expect("never comes");
    });
    let seller = Task::<()>::builder().name("seller").spawn(async move {
        let offer = offer.await.expect("never comes");
        keep_price.set_result(offer).expect("never comes");
    });
    // The inspector's threads have begun by then: before, they might be anybody's.
    sleep(ms(50)).await;
    drop(buyer.await);
    drop(seller.await);
}

async fn own_lock() {
    let cart = Lock::named("cart", ());
    let _held = cart.lock().await;
    sleep(ms(50)).await;
    let _again = cart.lock().await;
}

async fn promise_on_a_thread() {
    let (promise, future) = create_future::<u32>();
    thread::spawn(move || {
        thread::sleep(ms(700));
        drop(promise);
    });
    assert!(future.await.is_err());
}

async fn waker_on_a_thread() {
    let slot = Arc::new(Mutex::new((false, None::<Waker>)));
    let theirs = slot.clone();
    thread::spawn(move || {
        thread::sleep(ms(700));
        let mut slot = theirs.lock().expect("nobody panics with it");
        slot.0 = true;
        slot.1.take().expect("it waits").wake();
    });
    poll_fn(|cx| {
        let mut slot = slot.lock().expect("nobody panics with it");
        slot.1 = Some(cx.waker().clone());
        if slot.0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn only_a_child() {
    let ended = create_subprocess_exec("sleep", ["0.7"]).status().await;
    assert!(ended.expect("it is there").success());
}

async fn only_a_timer() {
    let (keep_price, price) = create_future::<u32>();
    let (keep_offer, offer) = create_future::<u32>();
    let buyer = create_task(async move {
        let price = price.await.expect("it comes");
        keep_offer.set_result(price - 1).expect("it is waited for");
    });
    let seller = create_task(async move {
        sleep(ms(700)).await;
        keep_price.set_result(8).expect("it is waited for");
        offer.await.expect("it comes")
    });
    buyer.await.expect("it ends");
    assert_eq!(seller.await.expect("it ends"), 7);
}

async fn handle_on_a_thread() {
    let (promise, future) = create_future::<u32>();
    let handle = get_running_loop().expect("it runs").handle();
    let kept = Rc::new(handle.clone());
    thread::spawn(move || {
        thread::sleep(ms(700));
        let keep = move || promise.set_result(7).expect("it is waited for");
        drop(handle.call_soon_threadsafe(keep));
    });
    assert_eq!(future.await, Ok(7));
    drop(kept);
}
