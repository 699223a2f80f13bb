//! Fork: the child has no part in its parent's loops, may make its own, and disturbs nobody. (B68)
//!
//! A process of one thread, since a child has only the thread that forked: no test harness here.

#[cfg(unix)]
mod unix {
    use std::cell::RefCell;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use loop_runtime::io::AsyncFd;
    use loop_runtime::testing::{TestLoop, fork_and_wait};
    use loop_runtime::{
        CloseError, EventLoop, RunError, create_task, get_running_loop, sleep, yield_now,
    };

    type Check = (&'static str, fn());

    /// A check by its name.
    macro_rules! checks {
        ($($name:ident,)*) => {
            pub(super) const ALL: &[Check] = &[$((stringify!($name), $name),)*];
        };
    }

    checks! {
        b68_a_child_is_refused_by_every_call_on_its_parents_loop,
        b68_a_child_may_run_a_loop_of_its_own,
        b68_a_child_forked_inside_a_task_may_run_a_loop_of_its_own,
        b68_a_child_that_comes_back_into_its_parents_loop_is_stopped,
        b68_a_parent_goes_on_undisturbed,
        b68_a_child_of_a_child_is_a_child,
        b68_a_signal_to_the_child_does_not_reach_the_parents_handler,
        b68_a_child_has_no_part_in_its_parents_executors_and_runners,
    }

    /// As `loop_runtime::run`, but without an inspector, whose thread a child would miss.
    fn run<F: Future + 'static>(future: F) -> Result<F::Output, RunError>
    where
        F::Output: 'static,
    {
        loop_runtime::Builder::new().inspector(false).run(future)
    }

    /// Runs `child` after a fork; its panic is the parent's.
    fn forked(child: impl FnOnce()) {
        let code = fork_and_wait(|| {
            child();
            0
        });
        assert_eq!(code.unwrap(), 0, "the child failed, see above");
    }

    fn b68_a_child_is_refused_by_every_call_on_its_parents_loop() {
        let el = EventLoop::new().unwrap();
        let (handle, local) = (el.handle(), el.local());
        let task = el.enter(|| create_task(sleep(Duration::from_secs(3600))));
        el.run_until_complete(yield_now()).unwrap();
        let all = RefCell::new(Some((el, task)));
        forked(|| {
            let mut all = all.borrow_mut();
            let (el, task) = all.as_ref().unwrap();
            assert_eq!(
                el.run_until_complete(async {}).unwrap_err(),
                RunError::Forked
            );
            assert_eq!(el.run_forever().unwrap_err(), RunError::Forked);
            assert_eq!(el.close().unwrap_err(), CloseError::Forked);
            let closed = handle.call_soon_threadsafe(|| ()).unwrap_err();
            assert!(closed.forked);
            assert!(closed.to_string().contains("belongs to the parent process"));
            assert!(handle.spawn(|| async {}).unwrap_err().forked);
            assert!(handle.stop().unwrap_err().forked);
            assert!(handle.is_closed());
            assert!(!task.cancel());
            drop((all.take(), local));
        });
        let (el, task) = all.take().unwrap();
        assert!(!handle.is_closed() && !task.done());
        assert!(task.cancel());
        let error = el.run_until_complete(task).unwrap().unwrap_err();
        assert!(error.is_cancelled());
    }

    fn b68_a_child_may_run_a_loop_of_its_own() {
        let parents = EventLoop::new().unwrap();
        forked(|| {
            let answer = run(async {
                sleep(Duration::from_millis(1)).await;
                create_task(async { 7 }).await.unwrap()
            });
            assert_eq!(answer, Ok(7));
        });
        assert_eq!(parents.run_until_complete(async { 8 }), Ok(8));
    }

    fn b68_a_child_forked_inside_a_task_may_run_a_loop_of_its_own() {
        run(async {
            let parents = get_running_loop().unwrap().id();
            forked(|| {
                let own = run(async { get_running_loop().unwrap().id() });
                assert_ne!(own.unwrap(), parents);
            });
            sleep(Duration::from_millis(1)).await;
        })
        .unwrap();
    }

    fn b68_a_child_that_comes_back_into_its_parents_loop_is_stopped() {
        let (mut tell, mut told) = UnixStream::pair().unwrap();
        let el = EventLoop::new().unwrap();
        let result = el.run_until_complete(async move {
            if loop_runtime::testing::fork_here().unwrap() == 0 {
                // The child: goes on in the parent's loop, as it should not.
                sleep(Duration::from_secs(3600)).await;
            }
            "parent"
        });
        match result {
            Err(RunError::Forked) => {
                tell.write_all(b"stopped").unwrap();
                std::process::exit(0);
            }
            result => {
                assert_eq!(result, Ok("parent"));
                drop(tell);
                let mut words = String::new();
                told.read_to_string(&mut words).unwrap();
                assert_eq!(words, "stopped");
            }
        }
    }

    fn b68_a_parent_goes_on_undisturbed() {
        run(async {
            let (mut far, near) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let near = RefCell::new(Some(AsyncFd::new(near).unwrap()));
            let waits = RefCell::new(Some(create_task(sleep(Duration::from_millis(5)))));
            yield_now().await;
            forked(|| {
                // Dropped in the child, and taken out of no poll set.
                drop((near.take(), waits.take()));
                drop(TestLoop::new());
            });
            far.write_all(b"after").unwrap();
            let (near, waits) = (near.take().unwrap(), waits.take().unwrap());
            let read = |fd: &UnixStream| {
                let mut fd = fd;
                fd.read(&mut [0; 8])
            };
            assert_eq!(near.read_with(read).await.unwrap(), 5);
            waits.await.unwrap();
        })
        .unwrap();
    }

    fn b68_a_signal_to_the_child_does_not_reach_the_parents_handler() {
        use loop_runtime::signal::Signal;
        use signal_hook::low_level::raise;
        use std::cell::Cell;
        use std::rc::Rc;
        let el = EventLoop::new().unwrap();
        let heard = Rc::new(Cell::new(0));
        let counted = heard.clone();
        el.enter(|| {
            let handler = move || counted.set(counted.get() + 1);
            el.local()
                .add_signal_handler(Signal::USR1, handler)
                .unwrap();
        });
        let turns = || {
            el.run_until_complete(async {
                for _ in 0..50 {
                    sleep(Duration::from_micros(100)).await;
                }
            })
        };
        forked(|| {
            raise(Signal::USR1.number()).unwrap();
            let own = run(async {
                let heard = Rc::new(Cell::new(false));
                let seen = heard.clone();
                let el = get_running_loop().unwrap();
                el.add_signal_handler(Signal::USR1, move || seen.set(true))
                    .unwrap();
                raise(Signal::USR1.number()).unwrap();
                while !heard.get() {
                    sleep(Duration::from_micros(100)).await;
                }
            });
            assert_eq!(own, Ok(()), "the child's own loop hears its signals");
        });
        turns().unwrap();
        assert_eq!(heard.get(), 0, "the child's signals came to the parent");
        raise(Signal::USR1.number()).unwrap();
        while heard.get() == 0 {
            turns().unwrap();
        }
        assert_eq!(heard.get(), 1);
        el.enter(|| assert!(el.local().remove_signal_handler(Signal::USR1)));
    }

    fn b68_a_child_has_no_part_in_its_parents_executors_and_runners() {
        let executor = loop_runtime::Executor::new(1, "parents");
        let runner = loop_runtime::Builder::new().inspector(false).runner();
        assert_eq!(runner.run(async { 7 }), Ok(7));
        let runner = RefCell::new(Some(runner));
        forked(|| {
            let runner = runner.take().unwrap();
            assert_eq!(runner.run(async {}), Err(RunError::Forked));
            assert_eq!(runner.close().unwrap_err(), CloseError::Forked);
            drop(runner);
            let theirs = executor.clone();
            let refused = run(async move { loop_runtime::run_in_executor_on(&theirs, || 7).await });
            let refused = refused.unwrap().unwrap_err().to_string();
            assert!(refused.contains("shut down"), "{refused}");
            assert_eq!(executor.shutdown(None), Ok(()));
        });
        let runner = runner.take().unwrap();
        assert_eq!(runner.run(async { 8 }), Ok(8));
    }

    fn b68_a_child_of_a_child_is_a_child() {
        forked(|| {
            let own = EventLoop::new().unwrap();
            forked(|| assert_eq!(own.run_forever().unwrap_err(), RunError::Forked));
            assert_eq!(own.run_until_complete(async { 7 }), Ok(7));
        });
    }
}

fn main() {
    #[cfg(unix)]
    for (name, test) in unix::ALL {
        println!("test {name} ...");
        test();
        println!("test {name} ... ok");
    }
}
