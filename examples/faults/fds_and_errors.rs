//! Errors that nobody reads, cancels that nobody heeds, descriptors, timers and futures that are
//! kept or made too big.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use loop_runtime::net::UnixStream;
use loop_runtime::{Sleep, Task, catch_cancel, create_task, sleep};

use super::{Program, ms, program};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const PROGRAMS: [Program; 8] = [
    program(
        "unread-panic",
        "unread-error",
        "A detached task panics.",
        || {
            Box::pin(async {
                create_task(async { panic!("on purpose") }).detach();
                sleep(ms(50)).await;
            })
        },
    ),
    program(
        "unread-error",
        "unread-error",
        "A detached task returns an error.",
        || {
            Box::pin(async {
                let fails = async { Err::<(), _>("the disk is full") };
                Task::<()>::builder().spawn_fallible(fails).detach();
                sleep(ms(50)).await;
            })
        },
    ),
    program(
        "dropped-handle-panic",
        "unread-error",
        "A task panics after its handle was dropped.",
        || {
            Box::pin(async {
                drop(create_task(async {
                    sleep(ms(10)).await;
                    panic!("on purpose")
                }));
                sleep(ms(50)).await;
            })
        },
    ),
    program(
        "ignored-cancel",
        "ignored-cancel",
        "A task catches the cancel and works on.",
        || Box::pin(ignored_cancel()),
    ),
    program(
        "abandoned-fd",
        "abandoned-fd",
        "A stream is kept after the task that served it ended.",
        || Box::pin(abandoned_fd()),
    )
    .quick(),
    program(
        "orphan-timer",
        "orphan-timer",
        "A sleep was polled once, and outlives the task that did.",
        || Box::pin(orphan_timer()),
    )
    .quick(),
    program(
        "unasked-timer",
        "orphan-timer",
        "A sleep was polled once, and its task does other things for ever.",
        || Box::pin(unasked_timer()),
    )
    .quick(),
    program(
        "large-future",
        "large-future",
        "A task keeps a big buffer across an await.",
        || Box::pin(large_future()),
    ),
];

async fn ignored_cancel() {
    let task = create_task(async {
        drop(catch_cancel(sleep(HOUR)).await);
        sleep(ms(6_500)).await;
    });
    sleep(ms(10)).await;
    task.cancel();
    task.await.expect("it ends by itself");
}

async fn abandoned_fd() {
    let (mut left, _right) = UnixStream::pair().expect("a pair of sockets");
    let served = create_task(async move {
        let mut byte = [0];
        let read = left.read(&mut byte);
        drop(loop_runtime::timeout(ms(10), read).await);
        left
    });
    let _kept = served.await.expect("it ends");
    sleep(ms(2_000)).await;
}

/// Keeps a sleep that nobody polls on.
struct Kept {
    _sleep: Pin<Box<Sleep>>,
}

async fn orphan_timer() {
    let kept = create_task(async {
        let mut kept = Box::pin(sleep(HOUR));
        std::future::poll_fn(|cx| {
            assert!(kept.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        Kept { _sleep: kept }
    });
    let _kept = kept.await.expect("it ends");
    sleep(ms(1_200)).await;
}

async fn unasked_timer() {
    let mut kept = Box::pin(sleep(HOUR));
    std::future::poll_fn(|cx| {
        assert!(kept.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    for _ in 0..2_000 {
        sleep(ms(1)).await;
    }
    drop(kept);
}

async fn large_future() {
    let task = create_task(async {
        let mut buffer = [0_u8; 65_536];
        sleep(ms(500)).await;
        buffer[0] += 1;
        std::hint::black_box(&mut buffer);
    });
    pin!(task).await.expect("it ends");
}
