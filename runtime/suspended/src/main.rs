//! An app whose tasks wait in every shape, for ever; one of them again and again. Prints each one's id and name, then `ready`.
//! Knows nobody who looks.

#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{join, join_all, select};
use futures_util::{FutureExt, select_biased};
use loop_runtime::{Task, pending, sleep};

/// The innermost: a leaf of the runtime's.
async fn leaf() -> u32 {
    sleep(Duration::from_secs(3600)).await;
    1
}

async fn middle(ready: u32) -> u32 {
    // The first await is passed when the second is waited for.
    let first = std::future::ready(ready).await;
    first + leaf().await
}

async fn outer() -> u32 {
    middle(1).await + middle(2).await
}

fn boxed() -> Pin<Box<dyn Future<Output = u32>>> {
    Box::pin(middle(3))
}

async fn in_a_box() -> u32 {
    boxed().await
}

async fn left() {
    pending::<()>().await
}

async fn right() {
    sleep(Duration::from_secs(3600)).await;
}

async fn joined() {
    join(left(), right()).await;
}

async fn chosen() {
    let mut one = pin!(left().fuse());
    let mut other = pin!(right().fuse());
    select_biased! {
        () = one => {}
        () = other => {}
    }
}

async fn selected() {
    let (one, other) = (Box::pin(left()), Box::pin(right()));
    let _ = select(one, other).await;
}

async fn many() {
    join_all((0..3).map(|_| right())).await;
}

async fn generic<T: Default>(with: T) -> T {
    leaf().await;
    with
}

async fn tick() {
    sleep(Duration::from_millis(50)).await;
}

async fn ticks() {
    loop {
        tick().await;
    }
}

fn main() {
    let spawn = |name: &str, future: Pin<Box<dyn Future<Output = ()>>>| {
        let task = Task::<()>::builder().name(name).spawn(future);
        println!("{} {name}", task.id());
        task.detach();
    };
    let done = loop_runtime::run(async move {
        let task = loop_runtime::create_task(outer());
        println!("{} outer", task.id());
        task.detach();
        spawn("in_a_box", Box::pin(in_a_box().map(drop)));
        spawn("joined", Box::pin(joined()));
        spawn("chosen", Box::pin(chosen()));
        spawn("selected", Box::pin(selected()));
        spawn("many", Box::pin(many()));
        spawn("ticks", Box::pin(ticks()));
        spawn("generic", Box::pin(generic(7_u64).map(drop)));
        sleep(Duration::from_millis(20)).await;
        println!("ready");
        pending::<()>().await
    });
    if let Err(why) = done {
        eprintln!("{why}");
    }
}
