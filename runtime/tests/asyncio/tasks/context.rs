//! B41: context variables.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use loop_runtime::testing::TestLoop;
use loop_runtime::{
    Context, EventLoop, Task, WrongContext, context_var, create_future, create_task, current_task,
    get_running_loop, run_in_executor, sleep, timeout, to_thread, yield_now,
};

use super::{MS, run};

context_var! {
    static REQUEST: u32;
    static USER: Arc<str>;
    static RETRIES: u32 = 3;
}

#[test]
fn b41_what_a_child_sets_is_not_seen_by_its_parent() {
    run(async {
        REQUEST.set(1);
        let child = create_task(async {
            assert_eq!(REQUEST.get(), Some(1), "handed down");
            REQUEST.set(2);
            yield_now().await;
            REQUEST.get()
        });
        assert_eq!(child.await.unwrap(), Some(2));
        assert_eq!(REQUEST.get(), Some(1));
    });
}

#[test]
fn b41_what_is_set_after_a_spawn_is_not_seen_by_the_child() {
    run(async {
        let before = create_task(async { REQUEST.get() });
        REQUEST.set(1);
        let after = create_task(async { REQUEST.get() });
        REQUEST.set(2);
        assert_eq!(before.await.unwrap(), None, "nothing was set yet");
        assert_eq!(after.await.unwrap(), Some(1));
    });
}

#[test]
fn b41_a_shared_context_is_seen_by_both() {
    run(async {
        REQUEST.set(1);
        let shared = Context::copy();
        let child = Task::<()>::builder().context(&shared).spawn(async {
            REQUEST.set(2);
            yield_now().await;
            REQUEST.get()
        });
        assert!(child.context().unwrap().is_same(&shared));
        yield_now().await;
        assert_eq!(shared.run(|| REQUEST.get()), Some(2));
        assert_eq!(REQUEST.get(), Some(1), "this task's own is another");
        shared.run(|| REQUEST.set(3));
        assert_eq!(child.await.unwrap(), Some(3));
    });
}

#[test]
fn b41_a_task_given_its_parents_context_itself_shares_it() {
    run(async {
        REQUEST.set(1);
        let child = create_task(async {
            yield_now().await;
            REQUEST.get()
        });
        let context = child.context().unwrap();
        context.run(|| REQUEST.set(9));
        assert_eq!(child.await.unwrap(), Some(9));
        assert_eq!(REQUEST.get(), Some(1));
    });
}

#[test]
fn b41_a_hundred_concurrent_tasks_keep_separate_values() {
    run(async {
        USER.set("nobody".into());
        let tasks: Vec<_> = (0..100_u32)
            .map(|i| {
                create_task(async move {
                    assert_eq!(REQUEST.get(), None);
                    REQUEST.set(i);
                    if i % 2 == 0 {
                        USER.set(format!("user {i}").into());
                    }
                    for _ in 0..10 {
                        yield_now().await;
                        assert_eq!(REQUEST.get(), Some(i));
                    }
                    (REQUEST.get(), USER.get().unwrap())
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let (request, user) = task.await.unwrap();
            assert_eq!(request, Some(i as u32));
            match i % 2 {
                0 => assert_eq!(*user, format!("user {i}")),
                _ => assert_eq!(&*user, "nobody"),
            }
        }
        assert_eq!(REQUEST.get(), None);
    });
}

#[test]
fn b41_a_default_is_given_where_nothing_is_set_and_does_not_count_as_set() {
    run(async {
        assert_eq!(RETRIES.get(), Some(3));
        assert!(RETRIES.with(|set| set.is_none()));
        RETRIES.set(4);
        assert_eq!(RETRIES.with(|set| set.copied()), Some(4));
        assert_eq!(RETRIES.name(), "RETRIES");
    });
}

#[test]
fn b41_a_reset_brings_back_what_was_and_only_in_its_own_context() {
    run(async {
        let first = REQUEST.set(1);
        let second = REQUEST.set(2);
        REQUEST.reset(second).unwrap();
        assert_eq!(REQUEST.get(), Some(1));
        let elsewhere = create_task(async move { REQUEST.reset(first) });
        assert_eq!(elsewhere.await.unwrap(), Err(WrongContext));
        assert_eq!(REQUEST.get(), Some(1));
    });
}

#[test]
fn b41_a_scope_ends_with_its_future_and_what_was_set_inside_goes_with_it() {
    run(async {
        REQUEST.set(1);
        let inside = REQUEST.scope(2, async {
            let before = REQUEST.get();
            sleep(MS).await;
            USER.set("inside".into());
            let child = create_task(async { REQUEST.get() });
            (before, REQUEST.get(), child.await.unwrap())
        });
        let outside = async {
            yield_now().await;
            REQUEST.get()
        };
        let (inside, outside) = futures_util::future::join(inside, outside).await;
        assert_eq!(inside, (Some(2), Some(2), Some(2)));
        assert_eq!(outside, Some(1), "a branch outside, polled in between");
        assert_eq!((REQUEST.get(), USER.get()), (Some(1), None));
    });
}

#[test]
fn b41_callbacks_see_the_context_in_which_they_were_handed_in() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = |word: &'static str| {
            let seen = seen.clone();
            move || {
                seen.borrow_mut().push((word, REQUEST.get()));
                REQUEST.set(99);
            }
        };
        let el = get_running_loop().unwrap();
        let task = create_task(async {
            REQUEST.set(50);
        });
        REQUEST.set(1);
        el.call_soon(log("soon"));
        REQUEST.set(2);
        el.call_later(MS, log("later"));
        REQUEST.set(3);
        let done = log("done");
        task.add_done_callback(move |_| done());
        REQUEST.set(4);
        task.await.unwrap();
        sleep(2 * MS).await;
        let expected = [("soon", Some(1)), ("done", Some(3)), ("later", Some(2))];
        assert_eq!(*seen.borrow(), expected);
        assert_eq!(REQUEST.get(), Some(4), "callbacks set their own");
    });
}

#[cfg(unix)]
#[test]
fn b41_a_watched_descriptor_and_a_signal_are_answered_in_the_context_of_who_asked() {
    use std::io::{Read, Write};
    loop_runtime::run(async {
        let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let fd = ours.try_clone().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let el = get_running_loop().unwrap();
        let log = seen.clone();
        REQUEST.set(1);
        el.add_reader(&fd, move || {
            let mut byte = [0];
            if ours.read(&mut byte).is_ok() {
                log.borrow_mut().push(REQUEST.get());
                REQUEST.set(2);
            }
        })
        .unwrap();
        let log = seen.clone();
        REQUEST.set(7);
        let signal = loop_runtime::signal::Signal::WINCH;
        let heard = move || log.borrow_mut().push(REQUEST.get());
        el.add_signal_handler(signal, heard).unwrap();
        REQUEST.set(9);
        for round in 1..=2 {
            theirs.write_all(b"x").unwrap();
            while seen.borrow().len() < round {
                sleep(MS).await;
            }
        }
        assert_eq!(
            *seen.borrow(),
            [Some(1), Some(2)],
            "one context for all its calls"
        );
        let own = std::process::id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-WINCH", &own])
            .status();
        assert!(kill.unwrap().success());
        while seen.borrow().len() < 3 {
            sleep(MS).await;
        }
        assert_eq!(seen.borrow()[2], Some(7));
        assert!(el.remove_reader(&fd) && el.remove_signal_handler(signal));
        assert_eq!(REQUEST.get(), Some(9));
    })
    .unwrap();
}

#[test]
fn b41_a_done_callback_added_where_nothing_is_set_sees_nothing_of_the_task() {
    run(async {
        let (promise, future) = create_future();
        let task = create_task(async {
            REQUEST.set(50);
        });
        task.add_done_callback(move |_| promise.set_result(REQUEST.get()).unwrap());
        assert_eq!(future.await, Ok(None));
    });
}

#[test]
fn b41_jobs_on_threads_see_the_callers_context_and_keep_their_changes() {
    loop_runtime::run(async {
        REQUEST.set(1);
        let job = || {
            let before = REQUEST.get();
            REQUEST.set(2);
            (before, REQUEST.get())
        };
        let both = (Some(1), Some(2));
        assert_eq!(to_thread("job", job).await.unwrap(), both);
        assert_eq!(run_in_executor(job).await.unwrap(), both);
        assert_eq!(REQUEST.get(), Some(1));
    })
    .unwrap();
}

#[test]
fn b41_what_a_job_sets_does_not_stay_with_its_thread() {
    loop_runtime::run(async {
        let thread = || std::thread::current().id();
        let first = to_thread("sets", move || (thread(), drop(REQUEST.set(9)))).await;
        let (mut seen, mut on) = (None, None);
        // An idle thread takes the next job, which is the first one's once that is idle again.
        while on != Some(first.as_ref().unwrap().0) {
            let second = to_thread("gets", move || (thread(), REQUEST.get())).await;
            (on, seen) = second.map(|(on, seen)| (Some(on), seen)).unwrap();
        }
        assert_eq!(seen, None);
    })
    .unwrap();
}

#[test]
fn b41_a_thread_of_the_std_carries_no_context_and_one_may_be_taken_along() {
    run(async {
        REQUEST.set(1);
        let bare = std::thread::spawn(|| REQUEST.get()).join().unwrap();
        assert_eq!(bare, None);
        let context = Context::copy();
        let carried = std::thread::spawn(move || context.run(|| REQUEST.get()));
        assert_eq!(carried.join().unwrap(), Some(1));
    });
}

#[test]
fn b41_calls_from_other_threads_see_their_senders_context() {
    loop_runtime::run(async {
        let el = get_running_loop().unwrap();
        let handle = el.handle();
        REQUEST.set(1);
        let (promise, future) = create_future();
        let thread = std::thread::spawn(move || {
            REQUEST.set(7);
            handle
                .call_soon_threadsafe(move || promise.set_result(REQUEST.get()).unwrap())
                .unwrap();
            handle.spawn(|| async { REQUEST.get() }).unwrap()
        });
        assert_eq!(future.await, Ok(Some(7)));
        let remote = run_in_executor(move || thread.join().unwrap())
            .await
            .unwrap();
        assert_eq!(remote.await.unwrap(), Some(7));
        assert_eq!(REQUEST.get(), Some(1));
    })
    .unwrap();
}

#[test]
fn b41_what_the_thread_had_set_before_the_run_is_handed_to_its_main_task() {
    std::thread::spawn(|| {
        let token = REQUEST.set(5);
        let inside = TestLoop::new().run(async {
            let inherited = REQUEST.get();
            REQUEST.set(6);
            inherited
        });
        assert_eq!(inside.unwrap(), Some(5));
        assert_eq!(REQUEST.get(), Some(5), "the run's own changes stay in it");
        REQUEST.reset(token).unwrap();
        assert_eq!(REQUEST.get(), None);
    })
    .join()
    .unwrap();
}

#[test]
fn b41_a_context_that_is_run_around_a_loop_is_not_that_of_its_tasks() {
    let context = Context::new();
    let seen = context.run(|| {
        REQUEST.set(1);
        let el = EventLoop::new().unwrap();
        el.run_until_complete(async {
            REQUEST.set(2);
            create_task(async { REQUEST.get() }).await.unwrap()
        })
    });
    assert_eq!(seen, Ok(Some(2)));
    assert_eq!(context.run(|| REQUEST.get()), Some(1));
}

#[test]
fn b41_an_eager_child_has_a_copy_and_its_spawner_is_back_in_its_own() {
    run(async {
        REQUEST.set(1);
        let child = Task::<()>::builder().eager(true).spawn(async {
            let inherited = REQUEST.get();
            REQUEST.set(2);
            inherited
        });
        assert_eq!(REQUEST.get(), Some(1));
        assert_eq!(child.await.unwrap(), Some(1));
        let context = Context::copy();
        let inside = context.run(|| {
            REQUEST.set(3);
            let child = Task::<()>::builder()
                .eager(true)
                .spawn(async { REQUEST.get() });
            (child, REQUEST.get())
        });
        assert_eq!((inside.0.await.unwrap(), inside.1), (Some(3), Some(3)));
        assert_eq!(REQUEST.get(), Some(1));
    });
}

#[test]
fn b41_the_names_of_a_tasks_variables_are_listed() {
    run(async {
        REQUEST.set(1);
        let task = create_task(async {
            USER.set("somebody".into());
            sleep(MS).await;
        });
        let names = |task: &Task<()>| {
            let info = task.task_ref().info().unwrap();
            let mut names = info.variables().to_vec();
            names.sort_unstable();
            names
        };
        assert_eq!(names(&task), ["REQUEST"]);
        yield_now().await;
        assert_eq!(names(&task), ["REQUEST", "USER"]);
        let own = current_task().unwrap().info().unwrap();
        assert_eq!(own.variables(), ["REQUEST"]);
        task.await.unwrap();
    });
}

/// Counts its drops.
struct Counted(Arc<std::sync::atomic::AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn b41_a_value_goes_with_the_last_task_that_has_it() {
    context_var! { static HELD: Arc<Counted>; }
    let drops: Arc<std::sync::atomic::AtomicU32> = Arc::default();
    let inside = Arc::clone(&drops);
    let count = move || inside.load(std::sync::atomic::Ordering::Relaxed);
    let value = Arc::new(Counted(drops));
    run(async move {
        let first = create_task(async move {
            HELD.set(value);
            let child = create_task(sleep(5 * MS));
            (child,)
        });
        let (second,) = first.await.unwrap();
        assert_eq!(count(), 0, "the child has a copy");
        assert!(timeout(10 * MS, second).await.unwrap().is_ok());
        assert_eq!(count(), 1);
    });
}

#[test]
fn b41_a_value_whose_drop_panics_hurts_nobody_but_is_heard() {
    struct Mine;
    impl Drop for Mine {
        fn drop(&mut self) {
            panic!("in a value");
        }
    }
    context_var! { static MINE: Arc<Mine>; }
    run(async {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let log = heard.clone();
        let handler = move |context: &loop_runtime::ErrorContext| {
            log.borrow_mut().extend(context.panic.clone());
        };
        let el = get_running_loop().unwrap();
        el.set_exception_handler(Some(Rc::new(handler)));
        let task = create_task(async {
            MINE.set(Arc::new(Mine));
            7
        });
        assert_eq!(task.await.unwrap(), 7);
        assert_eq!(*heard.borrow(), ["in a value"]);
    });
}
