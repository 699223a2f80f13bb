//! Locks, queues and channels of ours beside tokio's, each on its own current-thread executor.
//!
//! Ours record holders, levels and waiters of each; tokio's record nothing. What tokio has no
//! counterpart of is compared to the nearest thing: a queue to a bounded channel.

use std::sync::Arc;

use loop_bench::{Contender, compare, rounds, settle};
use loop_runtime::sync;
use tokio::sync as theirs;

/// The target of each: not dearer than what records nothing.
const BUDGET: Option<f64> = Some(1.0);
const TIMES: u64 = 200_000;
const TASKS: u64 = 10;

/// Ours is made once, as theirs is: a loop costs what a thousand locks cost.
fn measure(
    tokio: &tokio::runtime::Runtime,
    title: &str,
    operations: u64,
    ours: impl Fn(),
    peer: impl AsyncFn(),
) {
    compare(
        title,
        "ns",
        rounds(11),
        BUDGET,
        vec![
            Contender::new("loop-runtime, recorded", operations, ours),
            Contender::new("tokio current_thread, not recorded", operations, || {
                tokio.block_on(peer());
            }),
        ],
    );
}

async fn our_lock(times: u64) {
    let lock = sync::Lock::new(0);
    for _ in 0..times {
        *lock.lock().await += 1;
    }
    assert_eq!(*lock.lock().await, times);
}

async fn their_lock(times: u64) {
    let lock = theirs::Mutex::new(0);
    for _ in 0..times {
        *lock.lock().await += 1;
    }
    assert_eq!(*lock.lock().await, times);
}

/// Ten tasks, each of which keeps the lock over a turn, so that the others wait.
async fn our_contended_lock() {
    let lock = sync::Lock::new(0);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let lock = lock.clone();
            loop_runtime::create_task(async move {
                for _ in 0..TIMES / TASKS {
                    let mut guard = lock.lock().await;
                    *guard += 1;
                    loop_runtime::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends well");
    }
    assert_eq!(*lock.lock().await, TIMES);
}

async fn their_contended_lock() {
    let lock = Arc::new(theirs::Mutex::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move {
                for _ in 0..TIMES / TASKS {
                    let mut guard = lock.lock().await;
                    *guard += 1;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends well");
    }
    assert_eq!(*lock.lock().await, TIMES);
}

/// Ten tasks over two permits.
async fn our_semaphore() {
    let semaphore = sync::Semaphore::new(2);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let semaphore = semaphore.clone();
            loop_runtime::create_task(async move {
                for _ in 0..TIMES / TASKS {
                    let _permit = semaphore.acquire().await;
                    loop_runtime::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends well");
    }
}

async fn their_semaphore() {
    let semaphore = Arc::new(theirs::Semaphore::new(2));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let semaphore = semaphore.clone();
            tokio::spawn(async move {
                for _ in 0..TIMES / TASKS {
                    let _permit = semaphore.acquire().await.expect("it is open");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends well");
    }
}

async fn our_queue(capacity: usize) {
    let queue = sync::Queue::new(capacity);
    let theirs = queue.clone();
    let getter = loop_runtime::create_task(async move {
        let mut sum = 0;
        while let Ok(item) = theirs.get().await {
            sum += item;
        }
        sum
    });
    for item in 0..TIMES {
        queue.put(item).await.expect("it is open");
    }
    queue.shutdown(false);
    assert_eq!(getter.await.expect("it ends well"), TIMES * (TIMES - 1) / 2);
}

async fn our_channel(capacity: usize) {
    let (sender, mut receiver) = sync::mpsc::channel(capacity);
    let getter = loop_runtime::create_task(async move {
        let mut sum = 0;
        while let Some(item) = receiver.recv().await {
            sum += item;
        }
        sum
    });
    for item in 0..TIMES {
        sender.send(item).await.expect("it is open");
    }
    drop(sender);
    assert_eq!(getter.await.expect("it ends well"), TIMES * (TIMES - 1) / 2);
}

async fn their_channel(capacity: usize) {
    let (sender, mut receiver) = theirs::mpsc::channel(capacity);
    let getter = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(item) = receiver.recv().await {
            sum += item;
        }
        sum
    });
    for item in 0..TIMES {
        sender.send(item).await.expect("it is open");
    }
    drop(sender);
    assert_eq!(getter.await.expect("it ends well"), TIMES * (TIMES - 1) / 2);
}

async fn our_unbounded() {
    let (sender, mut receiver) = sync::mpsc::unbounded_channel();
    for item in 0..TIMES {
        sender.send(item).expect("it is open");
        assert_eq!(receiver.recv().await, Some(item));
    }
}

async fn their_unbounded() {
    let (sender, mut receiver) = theirs::mpsc::unbounded_channel();
    for item in 0..TIMES {
        sender.send(item).expect("it is open");
        assert_eq!(receiver.recv().await, Some(item));
    }
}

/// Made, sent and received at once: what a reply costs that is there when it is asked for.
async fn our_oneshot() {
    for item in 0..TIMES {
        let (sender, receiver) = sync::oneshot::channel();
        sender.send(item).expect("it is open");
        assert_eq!(receiver.await, Ok(item));
    }
}

async fn their_oneshot() {
    for item in 0..TIMES {
        let (sender, receiver) = theirs::oneshot::channel();
        sender.send(item).expect("it is open");
        assert_eq!(receiver.await, Ok(item));
    }
}

/// A request to a task that answers each through a oneshot.
async fn our_replies() {
    let (asks, mut asked) = sync::mpsc::channel::<(u64, sync::oneshot::Sender<u64>)>(8);
    let server = loop_runtime::create_task(async move {
        while let Some((item, reply)) = asked.recv().await {
            reply.send(item + 1).expect("somebody waits");
        }
    });
    for item in 0..TIMES {
        let (reply, answer) = sync::oneshot::channel();
        asks.send((item, reply)).await.expect("it is open");
        assert_eq!(answer.await, Ok(item + 1));
    }
    drop(asks);
    server.await.expect("it ends well");
}

async fn their_replies() {
    let (asks, mut asked) = theirs::mpsc::channel::<(u64, theirs::oneshot::Sender<u64>)>(8);
    let server = tokio::spawn(async move {
        while let Some((item, reply)) = asked.recv().await {
            reply.send(item + 1).expect("somebody waits");
        }
    });
    for item in 0..TIMES {
        let (reply, answer) = theirs::oneshot::channel();
        asks.send((item, reply)).await.expect("it is open");
        assert_eq!(answer.await, Ok(item + 1));
    }
    drop(asks);
    server.await.expect("it ends well");
}

/// Our loop, for all of it.
struct Ours(loop_runtime::EventLoop);

impl Ours {
    fn run(&self, future: impl Future<Output = ()> + 'static) {
        self.0
            .run_until_complete(future)
            .expect("a loop runs to the end");
    }
}

fn main() {
    settle();
    let ours = Ours(loop_runtime::EventLoop::new().expect("a loop can be made"));
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    let run = |title: &str, ours: &dyn Fn(), peer: &dyn Fn() -> Pinned| {
        measure(&tokio, title, TIMES, ours, async || peer().await);
    };
    run(
        "lock: taken and freed, nobody waits",
        &|| ours.run(our_lock(TIMES)),
        &|| Box::pin(their_lock(TIMES)),
    );
    run(
        "lock: one turn under it, ten tasks",
        &|| ours.run(our_contended_lock()),
        &|| Box::pin(their_contended_lock()),
    );
    run(
        "semaphore: two permits, ten tasks, one turn each",
        &|| ours.run(our_semaphore()),
        &|| Box::pin(their_semaphore()),
    );
    run(
        "queue(100): put and get (peer: mpsc)",
        &|| ours.run(our_queue(100)),
        &|| Box::pin(their_channel(100)),
    );
    run(
        "queue(1): put and get, each waits (peer: mpsc)",
        &|| ours.run(our_queue(1)),
        &|| Box::pin(their_channel(1)),
    );
    run(
        "mpsc(100): send and recv",
        &|| ours.run(our_channel(100)),
        &|| Box::pin(their_channel(100)),
    );
    run(
        "mpsc(1): send and recv, each waits",
        &|| ours.run(our_channel(1)),
        &|| Box::pin(their_channel(1)),
    );
    run(
        "mpsc unbounded: send and recv, nobody waits",
        &|| ours.run(our_unbounded()),
        &|| Box::pin(their_unbounded()),
    );
    run(
        "oneshot: made, sent, received, nobody waits",
        &|| ours.run(our_oneshot()),
        &|| Box::pin(their_oneshot()),
    );
    run(
        "mpsc and oneshot: a request and its reply",
        &|| ours.run(our_replies()),
        &|| Box::pin(their_replies()),
    );
}

type Pinned = std::pin::Pin<Box<dyn Future<Output = ()>>>;
