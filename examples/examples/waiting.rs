//! Everything a task can wait for, all at once, and each in the console with who is at its other
//! end.
//!
//! Try:  cargo run -p loop-examples --example waiting
//!
//! The console shows on screen 7 the lock with its holder and its line of waiters, the semaphore,
//! the queue and the future; on 8 a job that runs and one that was cancelled and still runs; on 9
//! the children, one of which has ended; and each arm of the task `select`. `Enter` on what a task
//! waits for leads there.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loop_examples::argument;
use loop_runtime::process::{Stdio, create_subprocess_exec};
use loop_runtime::sync::{Lock, Queue, Semaphore};
use loop_runtime::{Task, create_future, create_task, get_running_loop, run_in_executor, sleep};

fn named(name: &str) -> loop_runtime::TaskBuilder {
    Task::<()>::builder().name(name)
}

#[loop_runtime::main(name = "waiting")]
async fn main() {
    let time = Duration::from_secs(argument("--seconds", 3600));

    // A lock that is held, and four who want it.
    let cart = Arc::new(Lock::named("cart", 0));
    for number in 0..5 {
        let cart = cart.clone();
        named("cart")
            .number(number)
            .spawn(async move {
                let mut items = cart.lock().await;
                sleep(time).await;
                *items += 1;
            })
            .detach();
        sleep(Duration::from_millis(1)).await;
    }
    // Two permits, five who want one.
    let connections = Arc::new(Semaphore::named("connections", 2));
    for number in 0..5 {
        let connections = connections.clone();
        named("query")
            .number(number)
            .spawn(async move {
                let _one = connections.acquire().await;
                sleep(time).await;
            })
            .detach();
    }
    // One task that waits in three ways.
    let orders = Arc::new(Queue::<u32>::named("orders", 10));
    let (promise, answer) = create_future::<()>();
    let items = orders.clone();
    named("select")
        .spawn(async move {
            let (mut late, mut item) = (pin!(sleep(time)), pin!(items.get()));
            let mut answer = pin!(answer);
            poll_fn(|cx| {
                let first = late.as_mut().poll(cx).is_ready();
                let second = item.as_mut().poll(cx).is_ready();
                match first | second | answer.as_mut().poll(cx).is_ready() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        })
        .detach();
    // A job that runs, and one whose result nobody wants any more.
    let job = move || std::thread::sleep(time.min(Duration::from_secs(600)));
    named("report")
        .spawn(async move { _ = run_in_executor(job).await })
        .detach();
    let unwanted = create_task(async move { _ = run_in_executor(job).await });
    sleep(Duration::from_millis(20)).await;
    unwanted.cancel();
    _ = unwanted.await;
    // A child that lives and whose output is read, and one that failed.
    let mut lives = create_subprocess_exec("sleep", [time.as_secs().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is a program called sleep");
    let mut output = lives.stdout.take().expect("it was asked for");
    named("reader")
        .spawn(async move {
            let mut bytes = Vec::new();
            _ = output.read_to_end(&mut bytes).await;
        })
        .detach();
    let failed = create_subprocess_exec("sh", ["-c", "exit 3"])
        .spawn()
        .expect("there is a shell");
    _ = failed.wait().await;
    get_running_loop()
        .expect("this is a task")
        .add_signal_handler(loop_runtime::signal::Signal::HUP, || {
            println!("hello again")
        })
        .expect("it can be handled");

    println!("waiting; look inside with loop-console");
    sleep(time).await;
    drop((promise, lives, failed));
}
