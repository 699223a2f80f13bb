//! Programs that do right what others do wrong: nothing may be said of them.

use std::future::{pending, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use loop_runtime::group::TaskGroup;
use loop_runtime::net::{TcpListener, TcpStream};
use loop_runtime::process::create_subprocess_exec;
use loop_runtime::sync::{Event, Lock, Queue, Semaphore};
use loop_runtime::{
    Task, allow_blocking, catch_cancel, create_future, create_task, interval, run_in_executor,
    select, sleep, timeout, yield_now,
};

use super::blocking::{add_row, check_row, compute, parse_row};
use super::{Program, ms, program};

/// So long most of them live.
const SEEN: Duration = ms(700);
const HOUR: Duration = Duration::from_secs(3_600);
/// Any free port of this machine.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) const fn healthy(
    name: &'static str,
    says: &'static str,
    body: fn() -> super::Body,
) -> Program {
    program(name, "healthy", says, body)
}

pub(super) const PROGRAMS: [Program; 34] = [
    healthy("idle-pool", "Workers wait for jobs, and are ended.", || {
        Box::pin(idle_pool())
    }),
    healthy(
        "load-ramp",
        "Ever more tasks live, and all of them end.",
        || Box::pin(load_ramp()),
    ),
    healthy(
        "short-block",
        "A poll takes long, but less than the budget.",
        || Box::pin(short_block()),
    ),
    healthy(
        "rows-in-turns",
        "A task reads many rows and lets others run after each.",
        || Box::pin(rows_in_turns()),
    ),
    healthy(
        "allowed-block",
        "A poll takes long where it said that it will, and why.",
        || Box::pin(allowed_block()),
    ),
    healthy(
        "calls-elsewhere",
        "What blocks is called on other threads, or where it may be.",
        || Box::pin(calls_elsewhere()),
    )
    .looks_for_calls(),
    healthy(
        "select-losers",
        "The losers of a select are dropped, over and over.",
        || Box::pin(select_losers()),
    ),
    healthy(
        "lazy-waker",
        "A future keeps its waker at the second poll only.",
        || Box::pin(lazy_waker()),
    ),
    healthy(
        "foreign-waker",
        "A thread keeps the waker, and wakes late.",
        || Box::pin(foreign_waker()),
    ),
    healthy(
        "long-sleep",
        "A held task sleeps for long and is cancelled.",
        || Box::pin(cancelled_after(async { sleep(HOUR).await })),
    ),
    healthy(
        "idle-server",
        "A server has no visitors and is stopped.",
        || Box::pin(cancelled_after(idle_server())),
    ),
    healthy("lock-handed-on", "A lock goes through many hands.", || {
        Box::pin(lock_handed_on())
    }),
    healthy(
        "lock-held-long",
        "A lock is held for long, and four wait for it.",
        || Box::pin(lock_held_long()),
    ),
    healthy(
        "locks-in-order",
        "Tasks take two locks in the same order.",
        || Box::pin(locks_in_order()),
    ),
    healthy(
        "yielding-worker",
        "A busy task gives its turn away now and then.",
        || Box::pin(yielding_worker()),
    ),
    healthy(
        "cancelled-at-once",
        "Tasks are cancelled before their first poll.",
        || Box::pin(cancelled_at_once()),
    ),
    healthy(
        "clean-up",
        "A cancelled task cleans up for a while and ends.",
        || Box::pin(clean_up()),
    ),
    healthy("slow-children", "A group waits for slow tasks.", || {
        Box::pin(slow_children())
    }),
    healthy(
        "executor-job",
        "A task waits for a job of the executor.",
        || {
            Box::pin(async {
                let job = run_in_executor(|| thread::sleep(ms(1_000)));
                job.await.expect("it ends");
            })
        },
    ),
    healthy("child", "A task waits for a child process.", || {
        Box::pin(async {
            let child = create_subprocess_exec("sleep", ["1"]).status().await;
            assert!(child.expect("there is a program called sleep").success());
        })
    }),
    healthy("interval", "A task ticks and is cancelled.", || {
        Box::pin(cancelled_after(async {
            let mut ticks = interval(ms(10));
            loop {
                ticks.tick().await;
            }
        }))
    }),
    healthy(
        "burst",
        "Ten thousand tasks are spawned at once and end.",
        || Box::pin(burst()),
    ),
    healthy(
        "oversubscribed",
        "Threads take all CPUs while the loop works.",
        || Box::pin(oversubscribed()),
    ),
    healthy(
        "heartbeat",
        "A detached task ticks for ever, as it is allowed to.",
        || Box::pin(heartbeat()),
    ),
    healthy(
        "pending-held",
        "A held task awaits the runtime's pending() until it is cancelled.",
        || Box::pin(cancelled_after(loop_runtime::pending())),
    ),
    healthy(
        "pending-allowed",
        "A task that may live for ever awaits pending().",
        || {
            Box::pin(async {
                let task = Task::<()>::builder().allow_forever().spawn(pending::<()>());
                sleep(SEEN).await;
                task.cancel();
                assert!(task.await.is_err(), "it was cancelled");
            })
        },
    ),
    healthy("join-chain", "Tasks join each other in a line.", || {
        Box::pin(join_chain())
    }),
    healthy("semaphore-busy", "Ten tasks share two permits.", || {
        Box::pin(semaphore_busy())
    }),
    healthy(
        "slow-consumer",
        "A queue is full, and who puts has to wait.",
        || Box::pin(slow_consumer()),
    ),
    healthy(
        "event-set-late",
        "Ten tasks wait for an event that comes.",
        || Box::pin(event_set_late()),
    ),
    healthy(
        "promise-kept-late",
        "A callback keeps a promise late.",
        || Box::pin(promise_kept_late()),
    ),
    healthy(
        "detached-and-quick",
        "Detached tasks end within the grace.",
        || {
            Box::pin(async {
                for _ in 0..10 {
                    create_task(sleep(ms(100))).detach();
                }
            })
        },
    ),
    healthy("read-error", "A task fails, and its error is read.", || {
        Box::pin(async {
            let fails = async { Err::<(), _>("the disk is full") };
            let task = Task::<()>::builder().spawn_fallible(fails);
            sleep(ms(50)).await;
            assert!(task.await.expect("it ends").is_err());
        })
    }),
    healthy(
        "echo",
        "A client and a server talk a thousand times.",
        || Box::pin(echo()),
    ),
];

async fn cancelled_after(future: impl Future<Output = ()> + 'static) {
    let task = create_task(future);
    sleep(2 * SEEN).await; // Seen by two looks.
    task.cancel();
    assert!(task.await.is_err(), "it was cancelled");
}

async fn idle_pool() {
    let jobs = Rc::new(Queue::<u32>::new(0));
    let worker = |jobs: Rc<Queue<u32>>| async move { while jobs.get().await.is_ok() {} };
    let workers: Vec<_> = (0..4).map(|_| create_task(worker(jobs.clone()))).collect();
    sleep(SEEN).await;
    jobs.shutdown(false);
    for worker in workers {
        worker.await.expect("the queue is shut down");
    }
}

async fn load_ramp() {
    let mut tasks = Vec::new();
    for round in 0..20 {
        tasks.extend((0..round * 10).map(|_| create_task(sleep(ms(400)))));
        sleep(ms(20)).await;
    }
    for task in tasks {
        task.await.expect("it sleeps");
    }
}

async fn rows_in_turns() {
    for _ in 0..40 {
        parse_row();
        check_row();
        add_row();
        yield_now().await;
    }
}

async fn calls_elsewhere() {
    let read = || std::fs::read("/proc/self/cmdline").map(drop);
    let task = create_task(async move {
        allow_blocking("read once, before anybody is served", read).expect("it is there");
        let job = run_in_executor(read).await.expect("it ends");
        job.expect("it is there");
        let child = create_subprocess_exec("true", [""; 0]).status().await;
        assert!(child.expect("there is one").success());
        loop_runtime::fs::read("/proc/self/cmdline")
            .await
            .expect("it is there");
        sleep(ms(10)).await;
    });
    task.await.expect("it ends");
    let other = thread::spawn(|| thread::sleep(ms(5)));
    sleep(ms(50)).await;
    other.join().expect("it ends");
}

async fn allowed_block() {
    let task = create_task(async {
        allow_blocking("read once, before anybody is served", || {
            thread::sleep(ms(320));
        });
    });
    task.await.expect("it ends");
    sleep(ms(200)).await;
}

async fn short_block() {
    for _ in 0..10 {
        thread::sleep(ms(30));
        sleep(ms(10)).await;
    }
}

async fn select_losers() {
    let never = Event::new();
    for _ in 0..300 {
        select! {
            () = sleep(ms(2)) => {}
            () = never.wait() => unreachable!("nobody sets it"),
            () = sleep(HOUR) => unreachable!("that is long"),
        }
    }
}

async fn lazy_waker() {
    let (slot, mut polls) = (Arc::new(Mutex::new(None::<Waker>)), 0);
    let other = slot.clone();
    let task = create_task(poll_fn(move |cx| {
        polls += 1;
        match polls {
            1 => cx.waker().wake_by_ref(),
            2 => *slot.lock().expect("nobody panics") = Some(cx.waker().clone()),
            _ => return Poll::Ready(()),
        }
        Poll::Pending
    }));
    sleep(SEEN).await;
    let waker = other.lock().expect("nobody panics").take();
    waker.expect("it was kept").wake();
    task.await.expect("it ends");
}

async fn foreign_waker() {
    let (wakers, kept) = mpsc::channel::<Waker>();
    let thread = thread::spawn(move || {
        let waker = kept.recv().expect("one comes");
        thread::sleep(SEEN);
        waker.wake();
    });
    let mut asked = false;
    let task = create_task(poll_fn(move |cx| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        wakers.send(cx.waker().clone()).expect("it waits for it");
        Poll::Pending
    }));
    task.await.expect("it ends");
    drop(thread); // Over by now.
}

async fn idle_server() {
    let listener = TcpListener::bind(HERE).expect("a port");
    drop(listener.accept().await);
}

async fn lock_handed_on() {
    let cart = Lock::new(0);
    let hand = |cart: Lock<u32>| async move {
        for _ in 0..20 {
            let mut items = cart.lock().await;
            sleep(ms(1)).await;
            *items += 1;
        }
    };
    let hands: Vec<_> = (0..20).map(|_| create_task(hand(cart.clone()))).collect();
    for hand in hands {
        hand.await.expect("it ends");
    }
}

async fn lock_held_long() {
    let cart = Lock::new(());
    let held = cart.lock().await;
    let take = |cart: Lock<()>| async move { drop(cart.lock().await) };
    let tasks: Vec<_> = (0..4).map(|_| create_task(take(cart.clone()))).collect();
    sleep(SEEN).await;
    drop(held);
    for task in tasks {
        task.await.expect("it ends");
    }
}

async fn locks_in_order() {
    let (cart, stock) = (Lock::new(()), Lock::new(()));
    let both = |cart: Lock<()>, stock: Lock<()>| async move {
        for _ in 0..10 {
            let _first = cart.lock().await;
            let _second = stock.lock().await;
            sleep(ms(5)).await;
        }
    };
    let tasks = (0..4).map(|_| create_task(both(cart.clone(), stock.clone())));
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it ends");
    }
}

async fn yielding_worker() {
    for _ in 0..100 {
        compute(ms(5));
        yield_now().await;
    }
}

async fn cancelled_at_once() {
    for _ in 0..100 {
        let task = create_task(sleep(HOUR));
        task.cancel();
        assert!(task.await.is_err(), "it was cancelled");
        sleep(ms(2)).await;
    }
}

async fn clean_up() {
    let task = create_task(async {
        drop(catch_cancel(sleep(HOUR)).await);
        sleep(ms(600)).await; // Says good-bye.
    });
    sleep(ms(50)).await;
    task.cancel();
    task.await.expect("it ends by itself");
}

async fn slow_children() {
    let group = TaskGroup::<String>::scope(|group| async move {
        for _ in 0..10 {
            drop(group.create_task(async {
                sleep(SEEN).await;
                Ok(())
            }));
        }
        Ok(())
    });
    group.await.expect("nobody fails");
}

async fn burst() {
    let tasks: Vec<_> = (0..10_000).map(|_| create_task(sleep(ms(200)))).collect();
    for task in tasks {
        task.await.expect("it sleeps");
    }
}

async fn oversubscribed() {
    let threads: Vec<_> = (0..6).map(|_| thread::spawn(|| compute(ms(200)))).collect();
    for _ in 0..40 {
        compute(ms(2));
        sleep(ms(5)).await;
    }
    let joined = move || {
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("it ends"))
    };
    run_in_executor(joined).await.expect("they end");
}

async fn heartbeat() {
    let beats = async {
        let mut ticks = interval(ms(20));
        loop {
            ticks.tick().await;
        }
    };
    Task::<()>::builder().allow_forever().spawn(beats).detach();
    sleep(SEEN).await;
}

async fn join_chain() {
    let mut last = create_task(sleep(SEEN));
    for _ in 0..10 {
        last = create_task(async move { last.await.expect("it ends") });
    }
    last.await.expect("it ends");
}

async fn semaphore_busy() {
    let connections = Semaphore::new(2);
    let query = |connections: Semaphore| async move {
        let _one = connections.acquire().await;
        sleep(ms(100)).await;
    };
    let queries: Vec<_> = (0..10)
        .map(|_| create_task(query(connections.clone())))
        .collect();
    for query in queries {
        query.await.expect("it ends");
    }
}

async fn slow_consumer() {
    let orders = Rc::new(Queue::<u32>::new(2));
    let items = orders.clone();
    let producer = create_task(async move {
        for item in 0..20 {
            items.put(item).await.expect("it is open");
        }
    });
    for _ in 0..20 {
        sleep(ms(30)).await;
        orders.get().await.expect("it is open");
    }
    producer.await.expect("it ends");
}

async fn event_set_late() {
    let open = Rc::new(Event::new());
    let wait = |open: Rc<Event>| async move { open.wait().await };
    let tasks: Vec<_> = (0..10).map(|_| create_task(wait(open.clone()))).collect();
    sleep(SEEN).await;
    open.set();
    for task in tasks {
        task.await.expect("it ends");
    }
}

async fn promise_kept_late() {
    let (promise, future) = create_future();
    let el = loop_runtime::get_running_loop().expect("this is a task");
    el.call_later(SEEN, move || {
        promise.set_result(1).expect("it is waited for")
    });
    let task = create_task(future);
    assert_eq!(task.await.expect("it ends"), Ok(1));
}

async fn echo() {
    let listener = TcpListener::bind(HERE).expect("a port");
    let address = listener.local_addr().expect("its address");
    let server = create_task(async move {
        let (mut peer, _) = listener.accept().await.expect("somebody connects");
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = peer.read(&mut bytes).await {
            peer.write_all(&bytes[..count]).await.expect("it reads");
        }
    });
    let mut client = TcpStream::connect(address).await.expect("it listens");
    for _ in 0..1_000 {
        client.write_all(b"hello").await.expect("it reads");
        let mut bytes = [0; 5];
        let answer = client.read_exact(&mut bytes);
        timeout(ms(5_000), answer)
            .await
            .expect("soon")
            .expect("it answers");
    }
    drop(client);
    server.await.expect("its peer is gone");
}
