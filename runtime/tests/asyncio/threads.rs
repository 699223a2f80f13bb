//! B61-B63: other threads; tasks, handles and wakers there, and after their loop is gone.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    Builder, EventLoop, Executor, JobError, JoinError, LoopHandle, RemoteError, RemoteTask,
    create_task, get_running_loop, run_in_executor, run_in_executor_on, to_thread, yield_now,
};

/// Counts its drops, and remembers that they came on one thread.
struct Counted(Arc<AtomicUsize>, thread::ThreadId);

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.1, "dropped away from home");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_awaited_on_another_thread_names_both_sides_and_stays() {
    let mut test = TestLoop::new();
    let task = test.enter(|| create_task(async { 7 }));
    let made_on = test.event_loop().id();
    let task = thread::spawn(move || {
        let mut other = TestLoop::new();
        let here = other.event_loop().id();
        let (sender, receiver) = mpsc::channel();
        other
            .run(async move {
                let mut task = task;
                match (&mut task).await {
                    Err(JoinError::WrongLoop(wrong)) => {
                        assert_eq!((wrong.made_on, wrong.here), (made_on, Some(here)));
                    }
                    other => panic!("{other:?}"),
                }
                sender.send(task).unwrap();
            })
            .unwrap();
        receiver.recv().unwrap()
    })
    .join()
    .unwrap();
    assert_eq!(test.run(task).unwrap().unwrap(), 7);
}

#[test]
fn a_handle_dropped_on_another_thread_frees_its_value_at_home() {
    let (mut test, dropped) = (TestLoop::new(), Arc::new(AtomicUsize::new(0)));
    let value = Counted(dropped.clone(), thread::current().id());
    let task = test.enter(|| create_task(async move { value }));
    test.turn();
    assert!(task.done());
    thread::spawn(move || drop(task)).join().unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    test.turn();
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_handle_dropped_on_another_thread_detaches_a_task_that_goes_on() {
    let mut test = TestLoop::new();
    let done = Rc::new(Cell::new(false));
    let seen = done.clone();
    let (promise, future) = test.enter(loop_runtime::create_future::<()>);
    let task = test.enter(|| {
        create_task(async move {
            future.await.unwrap();
            seen.set(true);
        })
    });
    test.turn();
    thread::spawn(move || drop(task)).join().unwrap();
    test.turn();
    test.enter(|| promise.set_result(()).unwrap());
    test.turn();
    assert!(done.get());
}

#[test]
fn handles_dropped_on_threads_while_their_loop_closes_free_every_value_once() {
    const TASKS: usize = 2_000;
    for round in 0..10 {
        let dropped = Arc::new(AtomicUsize::new(0));
        struct Value(Arc<AtomicUsize>);
        impl Drop for Value {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let el = EventLoop::new().unwrap();
        let mut tasks = el.enter(|| {
            (0..TASKS)
                .map(|i| {
                    let value = Value(dropped.clone());
                    create_task(async move {
                        if i % 3 == 0 {
                            pending::<()>().await;
                        }
                        value
                    })
                })
                .collect::<Vec<_>>()
        });
        el.run_until_complete(yield_now()).unwrap();
        let start = Arc::new(std::sync::Barrier::new(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let some = tasks.split_off(tasks.len() - TASKS / 2);
                let start = start.clone();
                thread::spawn(move || {
                    start.wait();
                    drop(some);
                })
            })
            .collect();
        start.wait();
        if round % 2 == 0 {
            thread::yield_now();
        }
        el.close().unwrap();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        drop(el);
        assert_eq!(dropped.load(Ordering::Relaxed), TASKS);
    }
}

#[test]
fn a_cancel_from_another_thread_wakes_a_waiting_loop() {
    let error = loop_runtime::run(async {
        let task = create_task(pending::<()>());
        let other = task.task_ref();
        let cancel = thread::spawn(move || other.cancel());
        let error = task.await.unwrap_err();
        assert!(
            run_in_executor(move || cancel.join().unwrap())
                .await
                .unwrap()
        );
        error
    });
    assert!(error.unwrap().is_cancelled());
}

/// Waits for ever; leaves clones of its waker where others find them.
async fn leave_wakers(to: Arc<Mutex<Vec<Waker>>>, count: usize) {
    poll_fn(|cx| {
        let mut to = to.lock().unwrap();
        to.extend((0..count).map(|_| cx.waker().clone()));
        Poll::Pending
    })
    .await
}

#[test]
fn wakers_may_outlive_their_loop() {
    const WAKERS: usize = 1_000;
    let wakers = Arc::new(Mutex::new(Vec::new()));
    let el = EventLoop::new().unwrap();
    el.enter(|| {
        for _ in 0..10 {
            create_task(leave_wakers(wakers.clone(), WAKERS / 10)).detach();
        }
    });
    el.run_until_complete(yield_now()).unwrap();
    drop(el);
    let mut wakers = std::mem::take(&mut *wakers.lock().unwrap());
    assert_eq!(wakers.len(), WAKERS);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let some = wakers.split_off(wakers.len() - WAKERS / 4);
            thread::spawn(move || {
                for (i, waker) in some.into_iter().enumerate() {
                    let clone = waker.clone();
                    clone.wake_by_ref();
                    match i % 2 {
                        0 => waker.wake(),
                        _ => drop(waker),
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn wakers_woken_and_dropped_while_their_loop_closes_do_no_harm() {
    for _ in 0..20 {
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let el = EventLoop::new().unwrap();
        el.enter(|| {
            for _ in 0..100 {
                create_task(leave_wakers(wakers.clone(), 10)).detach();
            }
        });
        el.run_until_complete(yield_now()).unwrap();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let wakers = wakers.clone();
                thread::spawn(move || {
                    loop {
                        let Some(waker) = wakers.lock().unwrap().pop() else {
                            return;
                        };
                        let other = waker.clone();
                        waker.wake();
                        other.wake();
                    }
                })
            })
            .collect();
        drop(el);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

/// Each of the task's polls must see what was written before the wake that caused it.
#[test]
fn of_a_million_wakes_from_four_threads_none_is_lost() {
    const THREADS: usize = 4;
    const WAKES: usize = 250_000;
    loop_runtime::run(async {
        let counts: Arc<[AtomicUsize; THREADS]> = Arc::default();
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..THREADS).map(|_| mpsc::channel::<Waker>()).unzip();
        let threads: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(i, receiver)| {
                let counts = counts.clone();
                thread::spawn(move || {
                    let waker = receiver.recv().unwrap();
                    for _ in 0..WAKES {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        let mut senders = Some(senders);
        // If the last wake were lost, this would never end.
        poll_fn(|cx| {
            for sender in senders.take().into_iter().flatten() {
                sender.send(cx.waker().clone()).unwrap();
            }
            let all = counts
                .iter()
                .all(|count| count.load(Ordering::Relaxed) == WAKES);
            if all { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        run_in_executor(move || {
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap())
        })
        .await
        .unwrap();
    })
    .unwrap();
}

#[test]
fn two_loops_wake_each_other_a_hundred_thousand_times() {
    const TURNS: usize = 50_000;
    /// Waits until the count is `odd` or not, and then raises it.
    async fn play(table: Arc<(AtomicUsize, [Mutex<Option<Waker>>; 2])>, side: usize) {
        for _ in 0..TURNS {
            poll_fn(|cx| {
                *table.1[side].lock().unwrap() = Some(cx.waker().clone());
                match table.0.load(Ordering::Acquire) % 2 == side {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            table.0.fetch_add(1, Ordering::AcqRel);
            if let Some(waker) = table.1[1 - side].lock().unwrap().take() {
                waker.wake();
            }
        }
    }
    let table = Arc::new((AtomicUsize::new(0), [Mutex::new(None), Mutex::new(None)]));
    let other = table.clone();
    let thread = thread::spawn(move || loop_runtime::run(play(other, 1)).unwrap());
    loop_runtime::run(play(table.clone(), 0)).unwrap();
    thread.join().unwrap();
    assert_eq!(table.0.load(Ordering::Relaxed), 2 * TURNS);
}

#[test]
fn b61_a_call_from_a_thread_wakes_a_waiting_loop() {
    let (promise_set, value) = loop_runtime::run(async {
        let handle = get_running_loop().unwrap().handle();
        let (promise, future) = loop_runtime::create_future();
        let thread = std::thread::spawn(move || {
            handle
                .call_soon_threadsafe(move || promise.set_result(7).unwrap())
                .is_ok()
        });
        let value = future.await;
        (
            loop_runtime::run_in_executor(move || thread.join().unwrap())
                .await
                .unwrap(),
            value,
        )
    })
    .unwrap();
    assert!(promise_set);
    assert_eq!(value, Ok(7));
}

#[test]
fn b61_no_call_from_four_threads_is_lost_and_each_thread_keeps_its_order() {
    const CALLS: usize = 250_000;
    let seen = loop_runtime::run(async {
        let handle = get_running_loop().unwrap().handle();
        let (sender, receiver) = std::sync::mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (handle, sender) = (handle.clone(), sender.clone());
                std::thread::spawn(move || {
                    for call in 0..CALLS {
                        let sender = sender.clone();
                        handle
                            .call_soon_threadsafe(move || sender.send((thread, call)).unwrap())
                            .unwrap();
                    }
                })
            })
            .collect();
        loop_runtime::run_in_executor(move || {
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap())
        })
        .await
        .unwrap();
        drop(sender);
        let mut last = [0; 4];
        let mut total = 0;
        loop {
            match receiver.try_recv() {
                Ok((thread, call)) => {
                    assert_eq!(call, last[thread], "thread {thread}");
                    last[thread] += 1;
                    total += 1;
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => loop_runtime::yield_now().await,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => break total,
            }
        }
    })
    .unwrap();
    assert_eq!(seen, 4 * CALLS);
}

#[test]
fn b61_a_call_to_a_loop_that_is_closed_is_refused_and_dropped_unrun() {
    let el = EventLoop::new().unwrap();
    let (handle, id) = (el.handle(), el.id());
    el.close().unwrap();
    let sent = Arc::new(());
    let kept = sent.clone();
    let refused = thread::spawn(move || handle.call_soon_threadsafe(move || drop(kept)));
    let refused = refused.join().unwrap().unwrap_err();
    assert_eq!((refused.id, refused.forked), (id, false));
    assert!(refused.to_string().contains("closed"));
    assert_eq!(Arc::strong_count(&sent), 1);
}

#[test]
fn b62_a_job_runs_on_another_thread_and_gives_its_value_or_its_panic() {
    let here = thread::current().id();
    loop_runtime::run(async move {
        let there = run_in_executor(|| thread::current().id()).await.unwrap();
        assert_ne!(there, here);
        let error = run_in_executor(|| panic!("in the job")).await;
        match error.map(|()| "value").unwrap_err() {
            JobError::Panicked(panic) => assert_eq!(panic.text(), "in the job"),
            other => panic!("{other:?}"),
        }
        assert_eq!(to_thread("add", || 6 * 7).await.unwrap(), 42);
    })
    .unwrap();
}

#[test]
fn b62_a_job_whose_task_was_cancelled_ends_though_its_loop_is_closed() {
    struct Last(mpsc::Sender<()>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (go, wait) = mpsc::channel::<()>();
    let (began, begins) = mpsc::channel();
    let (last, ended) = mpsc::channel();
    let el = EventLoop::new().unwrap();
    let task = el.enter(|| {
        create_task(async move {
            let job = run_in_executor(move || {
                began.send(()).unwrap();
                wait.recv().unwrap();
                Last(last)
            });
            job.await.map(drop)
        })
    });
    el.run_until_complete(yield_now()).unwrap();
    begins.recv().unwrap();
    task.cancel();
    el.run_until_complete(yield_now()).unwrap();
    assert!(task.cancelled());
    drop(task);
    el.close().unwrap();
    drop(el);
    go.send(()).unwrap();
    // The job's value is dropped on its thread; nobody is called.
    ended.recv().unwrap();
}

#[test]
fn b62_a_shutdown_waits_for_jobs_without_holding_the_loop_and_then_refuses_new_ones() {
    loop_runtime::run(async {
        let el = get_running_loop().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let job = create_task(async move { run_in_executor(move || wait.recv()).await });
        yield_now().await;
        let down = create_task(async {
            get_running_loop()
                .unwrap()
                .shutdown_default_executor(None)
                .await
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!down.done(), "the loop turns meanwhile");
        let refused = run_in_executor(|| 7).await.unwrap_err();
        assert!(matches!(refused, JobError::ShutDown(_)));
        assert!(refused.to_string().contains("shut down"), "{refused}");
        go.send(()).unwrap();
        assert_eq!(down.await.unwrap(), Ok(()));
        job.await.unwrap().unwrap().unwrap();
        assert_eq!(el.shutdown_default_executor(None).await, Ok(()));
    })
    .unwrap();
}

#[test]
fn b62_a_shutdown_with_a_timeout_names_the_jobs_that_are_stuck() {
    // The clock is turned, but not while a job is under way: so by hand.
    let mut test = TestLoop::new();
    let (go, wait) = mpsc::channel::<()>();
    let (began, begins) = mpsc::channel();
    test.enter(|| {
        test.event_loop()
            .local()
            .set_default_executor(Executor::new(1, "one"))
    });
    let export = move || {
        began.send(()).unwrap();
        wait.recv().unwrap();
    };
    let export = test.enter(|| create_task(to_thread("export", export)));
    let waits = test.enter(|| create_task(to_thread("thumbnail", || ())));
    test.turn();
    begins.recv().unwrap();
    let down = test.enter(|| {
        let el = test.event_loop().local();
        create_task(el.shutdown_default_executor(Some(Duration::from_secs(5))))
    });
    test.advance(Duration::from_secs(4));
    assert!(!down.done());
    test.advance(Duration::from_secs(1));
    assert!(down.done());
    let stuck = test.event_loop().run_until_complete(down);
    let stuck = stuck.unwrap().unwrap().unwrap_err();
    assert_eq!(stuck.jobs, ["export", "thumbnail"]);
    assert!(stuck.to_string().contains("export, thumbnail"), "{stuck}");
    go.send(()).unwrap();
    test.event_loop()
        .run_until_complete(async move {
            export.await.unwrap().unwrap();
            waits.await.unwrap().unwrap();
        })
        .unwrap();
}

#[test]
fn b62_executors_of_the_apps_own_run_jobs_of_any_loop_until_they_are_shut() {
    let shared = Executor::new(1, "shared");
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                loop_runtime::run(async move {
                    let name = || thread::current().name().map(str::to_owned);
                    let named = loop_runtime::to_thread_on(&shared, "who", name).await;
                    let job = run_in_executor_on(&shared, || thread::current().id());
                    (named.unwrap(), job.await.unwrap())
                })
                .unwrap()
            })
        })
        .collect();
    let ran: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(ran[0].0.as_deref(), Some("shared"));
    assert_eq!(
        ran[0], ran[1],
        "one thread, and the end of a loop ends no other's executor"
    );
    assert_eq!(shared.shutdown(None), Ok(()));
    let refused = loop_runtime::run(async move { run_in_executor_on(&shared, || 7).await });
    assert!(matches!(refused, Ok(Err(JobError::ShutDown(_)))));
}

#[test]
fn b62_an_executor_with_one_thread_keeps_the_order_and_two_loops_jobs_apart() {
    let one = Executor::new(1, "one");
    loop_runtime::run(async move {
        let (log, seen) = mpsc::channel();
        let jobs: Vec<_> = (0..50)
            .map(|n| {
                let log = log.clone();
                run_in_executor_on(&one, move || log.send(n).unwrap())
            })
            .collect();
        for job in jobs {
            job.await.unwrap();
        }
        assert!(seen.try_iter().eq(0..50));
    })
    .unwrap();
}

/// A loop on a thread of its own, until the guard is dropped.
fn far_loop() -> (LoopHandle, impl FnOnce()) {
    let pool = Builder::new().inspector(false).pool(1).unwrap();
    let handle = pool.handles().swap_remove(0);
    (handle, move || pool.close(Duration::ZERO).unwrap())
}

#[test]
fn b63_a_remote_task_gives_its_value_its_panic_or_the_end_of_its_loop() {
    let (handle, end) = far_loop();
    assert_eq!(handle.spawn(|| async { 7 }).unwrap().wait(None).unwrap(), 7);
    let panics = handle.spawn(|| async { panic!("remote") }).unwrap();
    let error = panics.wait(None).map(|()| "value").unwrap_err();
    assert!(error.to_string().contains("remote"), "{error}");
    let fails = handle.spawn(|| async { Err::<(), _>("an error is a value") });
    assert_eq!(
        fails.unwrap().wait(None).unwrap(),
        Err("an error is a value")
    );
    let left = handle.spawn(pending::<()>).unwrap();
    end();
    let error = left.wait(None).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    assert!(handle.spawn(|| async {}).is_err());
}

/// Spawns a task that waits for ever, and tells when it began and when it was dropped.
fn waits_far(handle: &LoopHandle) -> (RemoteTask<()>, mpsc::Receiver<&'static str>) {
    struct Told(mpsc::Sender<&'static str>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let task = handle.spawn(move || async move {
        let told = Told(tell);
        told.0.send("began").unwrap();
        pending().await
    });
    (task.unwrap(), told)
}

#[test]
fn b63_a_wait_that_times_out_cancels_the_task() {
    let (handle, end) = far_loop();
    let (waits, told) = waits_far(&handle);
    assert_eq!(told.recv(), Ok("began"));
    match waits.wait(Some(Duration::ZERO)).unwrap_err() {
        RemoteError::Elapsed(limit) => assert_eq!(limit, Duration::ZERO),
        other => panic!("{other}"),
    }
    assert_eq!(told.recv(), Ok("dropped"));
    end();
}

#[test]
fn b63_a_cancel_reaches_the_task_and_comes_back_to_who_waits() {
    let (handle, end) = far_loop();
    let (waits, told) = waits_far(&handle);
    assert_eq!(told.recv(), Ok("began"));
    waits.cancel();
    assert_eq!(told.recv(), Ok("dropped"));
    match waits.wait(None).unwrap_err() {
        RemoteError::Join(error) => assert!(error.is_cancelled()),
        other => panic!("{other}"),
    }
    end();
}

#[test]
fn b63_a_remote_task_may_be_awaited_on_another_loop() {
    let (handle, end) = far_loop();
    let value = loop_runtime::run(async move { handle.spawn(|| async { 7 }).unwrap().await });
    assert_eq!(value.unwrap().unwrap(), 7);
    end();
}

#[test]
fn the_leaves_may_travel() {
    fn send<T: Send>(_: &T) {}
    let test = TestLoop::new();
    test.enter(|| {
        send(&create_task(async { 7 }));
        send(&loop_runtime::sleep(std::time::Duration::ZERO));
        send(&loop_runtime::create_future::<u32>());
        send(&loop_runtime::catch_cancel(loop_runtime::sleep(
            std::time::Duration::ZERO,
        )));
        send(&run_in_executor(|| 7));
        send(&loop_runtime::timeout(
            std::time::Duration::ZERO,
            yield_now(),
        ));
    });
    fn assert_future<F: Future + Send>(_: F) {}
    test.enter(|| assert_future(loop_runtime::interval(std::time::Duration::from_secs(1)).tick()));
}
