//! A loop that nothing can wake any more says so instead of hanging, and one that something can wake
//! is left alone.
//!
//! Much of it holds of a process without threads of its own, so there is no test harness here.

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::{Cell, RefCell};
    use std::future::{pending, poll_fn};
    use std::process::{Child, Command, Stdio};
    use std::rc::Rc;
    use std::sync::{Arc, Mutex, mpsc};
    use std::task::{Poll, Waker};
    use std::thread;
    use std::time::Duration;

    use futures_util::future::{join, select};
    use loop_runtime::io::AsyncFd;
    use loop_runtime::net::TcpListener;
    use loop_runtime::process::create_subprocess_shell;
    use loop_runtime::signal::{Signal, listen};
    use loop_runtime::sync::{Lock, mpsc as channel};
    use loop_runtime::testing::TestLoop;
    use loop_runtime::{
        Builder, Deadlock, EventLoop, FutureError, JoinSet, RunError, Runner, Task, TaskGroup,
        create_future, create_task, get_running_loop, run_in_executor, sleep, yield_now,
    };

    type Check = (&'static str, fn());

    /// A check by its name.
    macro_rules! checks {
        ($($name:ident,)*) => {
            pub(super) const ALL: &[Check] = &[$((stringify!($name), $name),)*];
        };
    }

    checks! {
        two_tasks_that_wait_for_each_others_promise_end_the_run_with_a_report,
        a_main_task_whose_waker_is_gone_ends_the_run,
        a_main_task_that_waits_on_purpose_goes_on_until_ctrl_c,
        both_arms_of_a_select_are_told,
        a_waker_that_is_not_the_runtimes_is_told_by_number,
        a_handle_of_the_loop_that_no_thread_has_helps_nobody,
        nested_scopes_are_told_down_to_who_holds_them_up,
        two_locks_in_different_orders_are_told_with_their_holders,
        what_woke_the_loop_before_and_is_over_does_not_hide_it,
        a_source_that_nobody_waits_for_does_not_hide_it,
        an_inspector_is_nobody_who_could_wake_the_loop,
        a_stranded_main_task_is_no_deadlock_while_others_live,
        a_turned_clock_fires_its_timers_first,
        the_task_of_a_deadlocked_run_goes_on_in_the_next_one,
        a_runner_runs_again_after_a_deadlock,
        the_report_is_bounded_and_escapes_what_the_app_named,
        a_timer_is_waited_for,
        a_child_is_waited_for,
        a_descriptor_is_waited_for,
        a_signal_is_waited_for,
        a_job_of_the_executor_is_waited_for,
        a_waker_on_a_thread_is_waited_for,
        a_promise_on_a_thread_is_waited_for_until_it_is_dropped,
        a_sender_on_a_thread_is_waited_for,
        a_handle_on_a_thread_is_waited_for,
        a_task_on_a_thread_is_waited_for_until_it_is_cancelled,
        a_reference_to_a_task_on_a_thread_is_waited_for,
        a_waker_that_a_thread_drops_unused_is_missed_at_once,
        a_thread_that_ends_without_a_wake_leaves_a_deadlock,
        tasks_that_join_each_other_are_told_whatever_threads_there_are,
        a_loop_that_waits_for_another_is_not_told_and_the_other_is,
        loops_that_send_to_each_other_are_left_alone,
        a_server_that_only_waits_is_left_alone,
    }

    const SOON: Duration = Duration::from_millis(40);

    /// Until the loop is parked, most likely; it is right either way.
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread that acts on a parked loop has no clock that a test could turn"
    )]
    fn nap() {
        thread::sleep(SOON);
    }

    /// As `loop_runtime::run`, without an inspector.
    fn run<F: Future + 'static>(future: F) -> Result<F::Output, RunError> {
        Builder::new().inspector(false).run(future)
    }

    #[track_caller]
    fn deadlock<T: std::fmt::Debug>(result: Result<T, RunError>) -> Deadlock {
        match result {
            Err(RunError::Deadlock(deadlock)) => deadlock,
            other => panic!("no deadlock: {other:?}"),
        }
    }

    /// A shell that works on its own: no thread of this process waits for it.
    fn shell(line: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).stdout(Stdio::piped());
        shell.spawn().expect("there is a shell")
    }

    fn kill_soon(signal: &str) -> Child {
        shell(&format!("sleep 0.1; kill -{signal} {}", std::process::id()))
    }

    async fn wait_for_each_other() {
        let (keep_first, first) = create_future::<u32>();
        let (keep_second, second) = create_future::<u32>();
        let one = Task::<()>::builder().name("buyer").spawn(async move {
            let value = second.await.unwrap();
            keep_first.set_result(value).unwrap();
        });
        let other = Task::<()>::builder().name("seller").spawn(async move {
            let value = first.await.unwrap();
            keep_second.set_result(value).unwrap();
        });
        let _ = join(one, other).await;
    }

    fn two_tasks_that_wait_for_each_others_promise_end_the_run_with_a_report() {
        let deadlock = deadlock(run(wait_for_each_other()));
        let names: Vec<_> = deadlock.tasks().iter().map(|task| task.name()).collect();
        assert_eq!(
            (names, deadlock.more()),
            (vec!["main", "buyer", "seller"], 0)
        );
        let text = deadlock.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[0].contains("nothing can wake loop") && lines[0].contains("no timer"),
            "{text}"
        );
        for (line, name) in lines[1..].iter().zip(["main", "buyer", "seller"]) {
            assert!(line.contains(name) && line.contains(" waits "), "{line}");
        }
        assert!(
            lines[1].contains("buyer to end, or task ") && lines[1].contains("seller to end"),
            "{text}"
        );
        for line in &lines[2..4] {
            assert!(
                line.contains("waits at runtime/tests/deadlock.rs:"),
                "{line}"
            );
            assert!(
                line.contains("for the promise made at runtime/tests/deadlock.rs:"),
                "{line}"
            );
        }
        assert_eq!(
            format!("{deadlock:?}"),
            text,
            "what `main` prints of an error can be read"
        );
    }

    fn a_main_task_whose_waker_is_gone_ends_the_run() {
        let text = deadlock(run(pending::<()>())).to_string();
        assert!(
            text.contains("main waits and no waker of it is left"),
            "{text}"
        );
    }

    fn a_main_task_that_waits_on_purpose_goes_on_until_ctrl_c() {
        let mut shell = kill_soon("INT");
        let result = run(loop_runtime::pending::<()>());
        assert_eq!(result, Err(RunError::Interrupted));
        shell.wait().unwrap();
    }

    fn both_arms_of_a_select_are_told() {
        let result = run(async {
            let locks = Rc::new([Lock::named("first", ()), Lock::named("second", ())]);
            let _held = (locks[0].lock().await, locks[1].lock().await);
            let theirs = locks.clone();
            let waits = create_task(async move {
                let (one, other) = (Box::pin(theirs[0].lock()), Box::pin(theirs[1].lock()));
                drop(select(one, other).await);
            });
            waits.await
        });
        let text = deadlock(result).to_string();
        let line = text.lines().find(|line| line.contains(", or the lock"));
        let line = line.expect(&text);
        for word in [
            "the lock first made at",
            "the lock second made at",
            "which task",
        ] {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }

    fn a_waker_that_is_not_the_runtimes_is_told_by_number() {
        let kept: Rc<RefCell<Vec<Waker>>> = Rc::default();
        let wakers = kept.clone();
        let result = run(poll_fn(move |cx| {
            wakers
                .borrow_mut()
                .extend([cx.waker().clone(), cx.waker().clone()]);
            Poll::<()>::Pending
        }));
        let text = deadlock(result).to_string();
        assert!(
            text.contains("not the runtime's, which keeps 2 wakers of it"),
            "{text}"
        );
    }

    fn a_handle_of_the_loop_that_no_thread_has_helps_nobody() {
        let result = run(async {
            let handle = get_running_loop().unwrap().handle();
            let own = loop_runtime::current_task().unwrap();
            let () = pending().await;
            own.cancel();
            handle.stop().unwrap();
        });
        deadlock(result);
    }

    fn nested_scopes_are_told_down_to_who_holds_them_up() {
        let result = run(async {
            let (promise, future) = create_future::<()>();
            let outer = TaskGroup::<String>::scope(|group| async move {
                let inner = async move {
                    let inner = TaskGroup::<String>::scope(|group| async move {
                        let waits = async { future.await.map_err(|error| error.to_string()) };
                        group.create_task(waits).detach();
                        Ok(())
                    });
                    inner.await.map_err(|_| String::new())
                };
                group.create_task(inner).detach();
                Ok(())
            });
            let _ = outer.await;
            drop(promise);
        });
        let deadlock = deadlock(result);
        let text = deadlock.to_string();
        assert_eq!(deadlock.tasks().len(), 3, "{text}");
        assert!(
            text.contains("for the group") && text.contains("for the promise"),
            "{text}"
        );
    }

    fn two_locks_in_different_orders_are_told_with_their_holders() {
        let result = run(async {
            let locks = Rc::new([Lock::named("cart", ()), Lock::named("stock", ())]);
            let mut tasks = JoinSet::new();
            for at in 0..2 {
                let locks = locks.clone();
                tasks.create_task(async move {
                    let _first = locks[at].lock().await;
                    yield_now().await;
                    let _second = locks[1 - at].lock().await;
                });
            }
            tasks.join_next().await;
        });
        let text = deadlock(result).to_string();
        for word in [
            "for the lock cart made at",
            "for the lock stock made at",
            ", which task ",
        ] {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }

    fn what_woke_the_loop_before_and_is_over_does_not_hide_it() {
        let result = run(async {
            sleep(Duration::from_millis(1)).await;
            run_in_executor(|| 7).await.unwrap();
            create_subprocess_shell("true").status().await.unwrap();
            let mut usr1 = listen(Signal::USR1).unwrap();
            let mut shell = kill_soon("USR1");
            usr1.next().await.unwrap();
            shell.wait().unwrap();
            drop(usr1);
            // What came over a thread, too: it has ended, or ends.
            let (promise, future) = create_future();
            let handle = get_running_loop().unwrap().handle();
            let thread = thread::spawn(move || {
                handle
                    .call_soon_threadsafe(move || promise.set_result(7).unwrap())
                    .unwrap();
            });
            future.await.unwrap();
            thread.join().unwrap();
            pending::<()>().await;
        });
        deadlock(result);
    }

    fn a_source_that_nobody_waits_for_does_not_hide_it() {
        let result = run(async {
            let (idle, _other) = std::os::unix::net::UnixStream::pair().unwrap();
            idle.set_nonblocking(true).unwrap();
            let _idle = AsyncFd::new(idle).unwrap();
            pending::<()>().await;
        });
        deadlock(result);
    }

    fn an_inspector_is_nobody_who_could_wake_the_loop() {
        let result = Builder::new().name("inspected").run(async {
            // Until its threads have begun, they might be anybody's.
            sleep(SOON).await;
            let inspector = get_running_loop().unwrap().handle().inspector();
            // Built without it, there is none to be nobody.
            if cfg!(feature = "inspect") && std::env::var_os("LOOP_CONSOLE").is_none() {
                assert!(inspector.to_string().contains("listening"), "{inspector}");
            }
            wait_for_each_other().await;
        });
        deadlock(result);
    }

    fn a_stranded_main_task_is_no_deadlock_while_others_live() {
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        let result = run(async move {
            let lives = async move {
                sleep(SOON).await;
                seen.set(true);
            };
            create_task(lives).detach();
            pending::<()>().await;
        });
        deadlock(result);
        assert!(done.get(), "the other task was waited for");
    }

    fn a_turned_clock_fires_its_timers_first() {
        let mut test = TestLoop::new();
        let hours = Rc::new(Cell::new(0));
        let passed = hours.clone();
        let result = test.run(async move {
            for _ in 0..3 {
                sleep(Duration::from_secs(3600)).await;
                passed.set(passed.get() + 1);
            }
            pending::<()>().await;
        });
        deadlock(result);
        assert_eq!(hours.get(), 3);
    }

    fn the_task_of_a_deadlocked_run_goes_on_in_the_next_one() {
        let el = EventLoop::new().unwrap();
        let (promise, future) = el.enter(create_future::<u32>);
        let heard = Rc::new(Cell::new(0));
        let hears = heard.clone();
        let first = el.run_until_complete(async move { hears.set(future.await.unwrap()) });
        deadlock(first);
        el.enter(|| promise.set_result(7).unwrap());
        el.run_until_complete(yield_now()).unwrap();
        assert_eq!(heard.get(), 7);
        assert_eq!(el.close().unwrap(), []);
    }

    fn a_runner_runs_again_after_a_deadlock() {
        let runner = Runner::builder().inspector(false).runner();
        deadlock(runner.run(pending::<()>()));
        assert_eq!(runner.run(async { 7 }), Ok(7));
        deadlock(runner.run(pending::<()>()));
        runner.close().unwrap();
    }

    fn the_report_is_bounded_and_escapes_what_the_app_named() {
        let result = run(async {
            let mut all = JoinSet::new();
            for _ in 0..100 {
                let builder = Task::<()>::builder().name("\u{1b}[2J\nall is well");
                all.create_task_as(builder, pending::<()>());
            }
            all.join_next().await;
        });
        let deadlock = deadlock(result);
        let text = deadlock.to_string();
        assert_eq!((deadlock.tasks().len(), deadlock.more()), (64, 37));
        assert!(text.contains("and 37 more"), "{text}");
        assert!(
            !text.contains('\u{1b}') && !text.contains("\nall is well"),
            "{text:?}"
        );
    }

    fn a_timer_is_waited_for() {
        assert_eq!(run(async { sleep(SOON).await }), Ok(()));
    }

    fn a_child_is_waited_for() {
        let result = run(async { create_subprocess_shell("sleep 0.1; exit 7").status().await });
        assert_eq!(result.unwrap().unwrap().code(), Some(7));
    }

    fn a_descriptor_is_waited_for() {
        let mut shell = shell("sleep 0.1; echo x");
        let pipe = shell.stdout.take().unwrap();
        let result = run(async move {
            rustix_nonblocking(&pipe);
            let pipe = AsyncFd::new(pipe).unwrap();
            pipe.read_with(|pipe| rustix::io::read(pipe, &mut [0; 8]).map_err(Into::into))
                .await
        });
        assert_eq!(result.unwrap().unwrap(), 2);
        shell.wait().unwrap();
    }

    /// The pipe of a child blocks as it comes.
    fn rustix_nonblocking(pipe: &impl std::os::fd::AsFd) {
        let flags = rustix::fs::fcntl_getfl(pipe).unwrap();
        rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    }

    fn a_signal_is_waited_for() {
        let mut shell = kill_soon("USR1");
        let result = run(async { listen(Signal::USR1).unwrap().next().await });
        result.unwrap().unwrap();
        shell.wait().unwrap();
        // A handler may wake whomever it likes.
        let mut shell = kill_soon("USR2");
        let result = run(async {
            let (promise, future) = create_future();
            let promise = Cell::new(Some(promise));
            let keep = move || {
                promise
                    .take()
                    .map(|promise| promise.set_result(7))
                    .unwrap()
                    .unwrap()
            };
            let own = get_running_loop().unwrap();
            own.add_signal_handler(Signal::USR2, keep).unwrap();
            future.await
        });
        assert_eq!(result.unwrap(), Ok(7));
        shell.wait().unwrap();
    }

    fn a_job_of_the_executor_is_waited_for() {
        let result = run(async { run_in_executor(nap).await });
        result.unwrap().unwrap();
    }

    /// What a thread with a waker needs, and what it found.
    type Slot = Arc<Mutex<(bool, Option<Waker>)>>;

    async fn woken_by_a_thread(slot: Slot) {
        poll_fn(move |cx| {
            let mut slot = slot.lock().unwrap();
            slot.1 = Some(cx.waker().clone());
            if slot.0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn a_waker_on_a_thread_is_waited_for() {
        let slot = Slot::default();
        let theirs = slot.clone();
        let thread = thread::spawn(move || {
            nap();
            let waker = {
                let mut slot = theirs.lock().unwrap();
                slot.0 = true;
                slot.1.take()
            };
            waker.unwrap().wake();
        });
        assert_eq!(run(woken_by_a_thread(slot)), Ok(()));
        thread.join().unwrap();
    }

    fn a_promise_on_a_thread_is_waited_for_until_it_is_dropped() {
        let result = run(async {
            let (promise, future) = create_future::<()>();
            let thread = thread::spawn(move || {
                nap();
                drop(promise);
            });
            let result = future.await;
            thread.join().unwrap();
            result
        });
        assert_eq!(result, Ok(Err(FutureError::BrokenPromise)));
    }

    fn a_sender_on_a_thread_is_waited_for() {
        let result = run(async {
            let (sender, mut receiver) = channel::channel::<u32>(1);
            let thread = thread::spawn(move || {
                nap();
                sender.blocking_send(7).unwrap();
            });
            let first = receiver.recv().await;
            thread.join().unwrap();
            (first, receiver.recv().await)
        });
        assert_eq!(result, Ok((Some(7), None)));
    }

    fn a_handle_on_a_thread_is_waited_for() {
        let result = run(async {
            let (promise, future) = create_future();
            let handle = get_running_loop().unwrap().handle();
            thread::spawn(move || {
                nap();
                handle
                    .call_soon_threadsafe(move || promise.set_result(7).unwrap())
                    .unwrap();
            });
            future.await
        });
        assert_eq!(result, Ok(Ok(7)));
    }

    fn a_task_on_a_thread_is_waited_for_until_it_is_cancelled() {
        let result = run(async {
            let (promise, future) = create_future::<()>();
            let task = create_task(async move {
                let _kept = promise;
                pending::<()>().await;
            });
            let thread = thread::spawn(move || {
                nap();
                task.cancel();
            });
            let result = future.await;
            thread.join().unwrap();
            result
        });
        assert_eq!(result, Ok(Err(FutureError::BrokenPromise)));
    }

    fn a_reference_to_a_task_on_a_thread_is_waited_for() {
        let result = run(async {
            let task = create_task(pending::<()>());
            let reference = task.task_ref();
            let thread = thread::spawn(move || {
                nap();
                reference.cancel()
            });
            let ended = task.await.unwrap_err().is_cancelled();
            assert!(thread.join().unwrap());
            ended
        });
        assert_eq!(result, Ok(true));
    }

    fn a_waker_that_a_thread_drops_unused_is_missed_at_once() {
        let slot = Slot::default();
        let theirs = slot.clone();
        // The thread goes on, so it is the waker's end that tells, and not the thread's.
        let (end, ends) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            nap();
            drop(theirs.lock().unwrap().1.take());
            drop(theirs);
            let _ = ends.recv();
        });
        let text = deadlock(run(woken_by_a_thread(slot))).to_string();
        assert!(text.contains("wait for nothing but each other"), "{text}");
        assert!(text.contains("no waker of it is left"), "{text}");
        drop(end);
        thread.join().unwrap();
    }

    fn a_thread_that_ends_without_a_wake_leaves_a_deadlock() {
        let slot = Slot::default();
        // Kept here too, so that its end is that of the thread, and not of the waker.
        let kept = slot.clone();
        let thread = thread::spawn(nap);
        let text = deadlock(run(woken_by_a_thread(slot))).to_string();
        assert!(text.contains("no thread of the app but its own"), "{text}");
        thread.join().unwrap();
        drop(kept);
    }

    /// Two that join each other.
    async fn join_each_other() {
        let slots: [Rc<RefCell<Option<Task<()>>>>; 2] = Default::default();
        for at in 0..2 {
            let other = slots[1 - at].clone();
            let task = create_task(async move {
                yield_now().await;
                let other = other.borrow_mut().take().unwrap();
                drop(other.await);
            });
            *slots[at].borrow_mut() = Some(task);
        }
        yield_now().await;
        pending::<()>().await;
    }

    fn tasks_that_join_each_other_are_told_whatever_threads_there_are() {
        let (end, ends) = mpsc::channel::<()>();
        let thread = thread::spawn(move || ends.recv());
        let text = deadlock(run(join_each_other())).to_string();
        assert!(text.contains("wait for nothing but each other"), "{text}");
        assert_eq!(text.matches(" to end").count(), 2, "{text}");
        drop(end);
        let _ = thread.join().unwrap();
    }

    fn a_loop_that_waits_for_another_is_not_told_and_the_other_is() {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let el = EventLoop::new().unwrap();
            tell.send(el.handle()).unwrap();
            let served = el.run_until_complete(async { sleep(SOON * 3).await });
            served.unwrap();
            // Not by its threads, for there is another: by what its tasks wait for.
            deadlock(el.run_until_complete(join_each_other())).to_string()
        });
        let other = told.recv().unwrap();
        let answer = run(async move {
            let (promise, future) = create_future();
            let here = get_running_loop().unwrap().handle();
            let answer = move || {
                let keep = move || promise.set_result(7).unwrap();
                here.call_soon_threadsafe(keep).unwrap();
            };
            other.call_soon_threadsafe(answer).unwrap();
            future.await
        });
        assert_eq!(answer, Ok(Ok(7)));
        assert!(thread.join().unwrap().contains(" to end"));
    }

    fn loops_that_send_to_each_other_are_left_alone() {
        const ROUNDS: u32 = 2000;
        let (tell, told) = mpsc::channel::<channel::UnboundedSender<u32>>();
        let (tell_back, told_back) = mpsc::channel::<channel::UnboundedSender<u32>>();
        let thread = thread::spawn(move || {
            run(async move {
                let (ping, mut pings) = channel::unbounded_channel::<u32>();
                tell.send(ping).unwrap();
                let pong = told_back.recv().unwrap();
                while let Some(number) = pings.recv().await {
                    pong.send(number + 1).unwrap();
                }
            })
        });
        let result = run(async move {
            let (pong, mut pongs) = channel::unbounded_channel::<u32>();
            tell_back.send(pong).unwrap();
            let ping = told.recv().unwrap();
            let mut sum = 0_u64;
            for number in 0..ROUNDS {
                ping.send(number).unwrap();
                sum += u64::from(pongs.recv().await.unwrap());
            }
            sum
        });
        assert_eq!(result, Ok((1..=u64::from(ROUNDS)).sum()));
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    fn a_server_that_only_waits_is_left_alone() {
        let result = run(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut client = Command::new(std::env::current_exe().unwrap());
            let mut client = client.arg(port.to_string()).spawn().unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            drop(stream);
            client.wait().unwrap().success()
        });
        assert_eq!(result, Ok(true));
    }

    /// The other process of the last check.
    pub(super) fn connect(port: &str) {
        nap();
        let address = format!("127.0.0.1:{port}");
        std::net::TcpStream::connect(address).expect("the server is there");
    }
}

fn main() {
    #[cfg(target_os = "linux")]
    if let Some(port) = std::env::args()
        .nth(1)
        .filter(|port| port.parse::<u16>().is_ok())
    {
        return linux::connect(&port);
    }
    #[cfg(target_os = "linux")]
    {
        let wanted = std::env::args().nth(1).unwrap_or_default();
        let mut failed = Vec::new();
        for (name, test) in linux::ALL.iter().filter(|(name, _)| name.contains(&wanted)) {
            println!("test {name} ...");
            match std::panic::catch_unwind(test) {
                Ok(()) => println!("test {name} ... ok"),
                Err(_) => failed.push(name),
            }
        }
        assert!(failed.is_empty(), "failed: {failed:?}");
    }
}
