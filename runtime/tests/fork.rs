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

    pub(super) const ALL: &[(&str, fn())] = &[
        (
            "a_child_is_refused_by_every_call_on_its_parents_loop",
            refused,
        ),
        ("a_child_may_run_a_loop_of_its_own", afresh),
        (
            "a_child_forked_inside_a_task_may_run_a_loop_of_its_own",
            afresh_inside,
        ),
        (
            "a_child_that_comes_back_into_its_parents_loop_is_stopped",
            comes_back,
        ),
        ("a_parent_goes_on_undisturbed", undisturbed),
        ("a_child_of_a_child_is_a_child", grandchild),
    ];

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

    fn refused() {
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

    fn afresh() {
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

    fn afresh_inside() {
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

    fn comes_back() {
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

    fn undisturbed() {
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

    fn grandchild() {
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
