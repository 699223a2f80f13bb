//! B66 and B67: children, with and without descriptors for processes.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::logged::Logged;
use futures_util::future::{join_all, poll_fn};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use loop_runtime::process::{
    Child, Command, Stdio, create_subprocess_exec, create_subprocess_shell,
};
use loop_runtime::signal::Signal;
use loop_runtime::{EventLoop, create_task, run, sleep};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Runs `test` with children that are watched through a pidfd, and with such that are not.
fn both_ways<F: Future<Output = io::Result<()>> + 'static>(
    test: impl Fn(fn(Command) -> Command) -> F,
) {
    run(test(|command| command)).unwrap().unwrap();
    run(test(Command::without_pidfd)).unwrap().unwrap();
}

fn shell(line: &str) -> Command {
    create_subprocess_shell(line)
}

fn id(pid: u32) -> WaitId<'static> {
    WaitId::Pid(Pid::from_raw(pid.cast_signed()).unwrap())
}

/// Blocks this thread, and with it the loop, until the child has ended and nobody has noticed.
fn block_until_it_ended(pid: u32) {
    waitid(id(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
}

/// Whether it was reaped: there is no such child any more, not even a dead one.
fn is_reaped(pid: u32) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    waitid(id(pid), look).is_err()
}

async fn until_reaped(pid: u32) {
    while !is_reaped(pid) {
        sleep(Duration::from_millis(1)).await;
    }
}

/// What was logged as a warning while `f` ran here.
fn warnings(f: impl FnOnce()) -> Vec<String> {
    let logged = Logged::default();
    logged.during(f);
    logged.warnings()
}

#[test]
fn b66_an_exit_code_is_told_and_a_signal_is_negative() {
    both_ways(|way| async move {
        let mut child = way(shell("read line; exit 7"))
            .stdin(Stdio::piped())
            .spawn()?;
        assert_eq!((child.returncode(), child.status()), (None, None));
        child.stdin = None;
        assert_eq!(child.wait().await?.code(), Some(7));
        assert_eq!(child.returncode(), Some(7));
        type End = fn(&Child) -> io::Result<()>;
        let ends: [(End, i32); 3] = [
            (Child::kill, -9),
            (Child::terminate, -15),
            // Not HUP, which is ignored in whatever `nohup` runs.
            (|child| child.send_signal(Signal::USR1), -10),
        ];
        for (end, code) in ends {
            let child = way(create_subprocess_exec("sleep", ["100"])).await?;
            end(&child)?;
            child.wait().await?;
            assert_eq!(child.returncode(), Some(code));
        }
        Ok(())
    });
}

#[test]
fn b66_a_child_that_ignores_terminate_lives_until_it_is_killed() {
    both_ways(|way| async move {
        let line = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
        let mut child = way(shell(line)).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.as_mut().expect("asked for");
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await?;
        child.terminate()?;
        let waits = loop_runtime::timeout(Duration::from_millis(30), child.wait()).await;
        assert!(waits.is_err(), "{waits:?}");
        child.kill()?;
        child.wait().await?;
        assert_eq!(child.returncode(), Some(-9));
        Ok(())
    });
}

#[test]
fn b66_what_is_written_comes_back_and_the_end_of_input_is_the_end_of_output() {
    both_ways(|way| async move {
        let cat = way(create_subprocess_exec("cat", [""; 0]));
        let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut stdin = cat.stdin.take().expect("asked for");
        let mut stdout = cat.stdout.take().expect("asked for");
        for line in ["one\n", "two\n"] {
            stdin.write_all(line.as_bytes()).await?;
            let mut back = vec![0; line.len()];
            stdout.read_exact(&mut back).await?;
            assert_eq!(back, line.as_bytes());
        }
        AsyncWriteExt::write_all(&mut stdin, b"three").await?;
        stdin.close().await?;
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await?;
        assert_eq!(
            (rest.as_str(), cat.wait().await?.code()),
            ("three", Some(0))
        );
        Ok(())
    });
}

#[test]
fn b66_a_megabyte_through_cat_does_not_lock_up() {
    let input: Rc<Vec<u8>> = Rc::new((0..1_000_000_u32).map(|i| i as u8).collect());
    both_ways(|way| {
        let input = input.clone();
        async move {
            // More than fits into both pipes together, in both directions and a byte at a time.
            for program in ["cat", "dd bs=1 status=none", "tee /dev/stderr"] {
                let command = way(shell(&format!("exec {program}")));
                let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.stderr(Stdio::piped()).spawn()?;
                let output = child.communicate(&input).await?;
                assert!(
                    output.stdout == *input,
                    "{program} changed what it was given"
                );
                let both = program.starts_with("tee");
                assert_eq!(output.stderr.len(), if both { input.len() } else { 0 });
                assert!(output.status.success());
                assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
            }
            Ok(())
        }
    });
}

#[test]
fn b66_a_child_that_exits_early_breaks_the_pipe_and_communicate_passes_over_it() {
    let much = vec![b'x'; 1 << 20];
    run(async move {
        let mut child = shell("exit 3").stdin(Stdio::piped()).spawn()?;
        child.wait().await?;
        let stdin = child.stdin.as_mut().expect("asked for");
        let error = stdin.write_all(&much).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");

        let command = shell("echo bye; exit 3");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.communicate(&much).await?;
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(3), &b"bye\n"[..])
        );
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn b66_both_outputs_may_share_a_pipe_which_ends_with_the_child() {
    both_ways(|way| async move {
        let command = way(shell("echo out; echo err >&2; exit 2")).stderr_to_stdout();
        let mut child = command.spawn()?;
        assert!(child.stderr.is_none());
        let mut both = Vec::new();
        let stdout = child.stdout.as_mut().expect("asked for");
        assert_eq!(stdout.read_to_end(&mut both).await?, 8);
        assert_eq!(both, b"out\nerr\n");
        assert_eq!(child.wait().await?.code(), Some(2));
        Ok(())
    });
}

#[test]
fn b66_input_without_a_pipe_is_an_error() {
    run(async {
        let mut child = shell("exit 0").spawn()?;
        let error = child.communicate(b"lost").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        assert!(child.communicate(b"").await?.status.success());
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn b66_ten_who_wait_at_once_hear_the_same() {
    both_ways(|way| async move {
        let child = way(shell("read line; exit 5"))
            .stdin(Stdio::piped())
            .spawn()?;
        let waits: Vec<_> = (0..10).map(|_| create_task(child.wait())).collect();
        loop_runtime::yield_now().await;
        let gone = create_task(child.wait());
        loop_runtime::yield_now().await;
        gone.cancel();
        let mut child = child;
        child.stdin = None;
        for heard in join_all(waits).await {
            assert_eq!(heard.unwrap()?.code(), Some(5));
        }
        assert_eq!(child.wait().await?.code(), Some(5), "and later too");
        Ok(())
    });
}

#[test]
fn b66_a_child_that_has_ended_is_signalled_no_more() {
    both_ways(|way| async move {
        for noticed in [true, false] {
            let command = way(shell("read line; exit 1")).process_group(0);
            let mut child = command.stdin(Stdio::piped()).spawn()?;
            child.stdin = None;
            block_until_it_ended(child.pid());
            if noticed {
                child.wait().await?;
            }
            let tries = [
                child.kill(),
                child.terminate(),
                child.send_signal(Signal::USR1),
                child.kill_group(),
            ];
            // A dead leader that nobody has reaped is still its group: there it may be reached.
            let tries = if noticed { &tries[..] } else { &tries[..3] };
            for tried in tries {
                let error = tried.as_ref().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
            }
            child.wait().await?;
            assert_eq!(child.returncode(), Some(1));
        }
        let lives = way(create_subprocess_exec("sleep", ["100"])).spawn()?;
        assert!(lives.send_signal(Signal::from_raw(12_345)).is_err());
        let error = lives.kill_group().unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::InvalidInput,
            "it is in our own group"
        );
        Ok(())
    });
}

#[test]
fn b66_the_kill_of_a_group_or_session_takes_the_grandchildren() {
    let own: [fn(Command) -> Command; 2] =
        [|command| command.process_group(0), Command::new_session];
    for own in own {
        both_ways(move |way| async move {
            // The grandchild holds the pipe, so its end is the pipe's.
            let line = "sleep 100 & echo started; wait";
            let mut child = own(way(shell(line))).stdout(Stdio::piped()).spawn()?;
            let mut stdout = child.stdout.take().expect("asked for");
            stdout.read_exact(&mut [0; 8]).await?;
            child.kill_group()?;
            let mut rest = Vec::new();
            assert_eq!(stdout.read_to_end(&mut rest).await?, 0);
            child.wait().await?;
            assert_eq!(child.returncode(), Some(-9));
            Ok(())
        });
    }
}

#[test]
fn b66_a_new_session_and_a_group_are_the_childs_own() {
    run(async {
        // Fields 5 and 6 of stat: process group and session.
        let line = "cut -d' ' -f5,6 /proc/$$/stat; echo $$";
        for session in [false, true] {
            let command = shell(line);
            let command = match session {
                true => command.new_session(),
                false => command.process_group(0),
            };
            let said = command.output().await?.stdout;
            let said = String::from_utf8(said).unwrap();
            let numbers: Vec<i64> = said
                .split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect();
            let &[group, its_session, pid] = &*numbers else {
                panic!("{said}")
            };
            assert_eq!(group, pid);
            assert_eq!(its_session == pid, session);
        }
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

/// Runs this test again in a process of its own, where no other test opens descriptors.
fn in_a_child(test: &str) -> Option<std::process::ExitStatus> {
    if std::env::var_os("LOOP_PROCESS_CHILD").is_some() {
        return None;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LOOP_PROCESS_CHILD", "1")
        .status();
    Some(status.unwrap())
}

#[test]
fn b66_twenty_failed_spawns_leak_no_descriptor_and_no_child() {
    let name = "processes::b66_twenty_failed_spawns_leak_no_descriptor_and_no_child";
    if let Some(status) = in_a_child(name) {
        assert!(status.success(), "{status:?}");
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // Without an inspector, whose thread opens descriptors of its own.
    let el = EventLoop::new().unwrap();
    let test = async move {
        let piped = |command: Command| {
            let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command.stderr(Stdio::piped())
        };
        piped(shell("exit 0")).spawn()?.wait().await?;
        let before = open();
        for _ in 0..20 {
            let missing = create_subprocess_exec("/no/such/program", [""; 0]);
            let error = piped(missing).spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("/no/such/program"), "{error}");
            let nowhere = piped(shell("exit 0")).cwd("/no/such/directory");
            let error = nowhere.spawn().unwrap_err();
            assert!(error.to_string().contains("/no/such/directory"), "{error}");
            let error = piped(shell("exit 0")).new_session().cwd("/no/such").spawn();
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert_eq!(open(), before);
        // No descriptor for the pidfd, or for the pipes.
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        for spare in 0..8 {
            let current = Some(open() as u64 - 1 + spare);
            let low = rustix::process::Rlimit { current, ..limit };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, low).unwrap();
            let started = piped(shell("exit 0")).spawn();
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
            if let Ok(child) = started {
                child.wait().await?;
            }
        }
        while waitid(
            WaitId::All,
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        )
        .is_ok()
        {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(open(), before);
        io::Result::Ok(())
    };
    el.run_until_complete(test).unwrap().unwrap();
}

#[test]
fn b66_a_cancel_around_the_spawn_leaves_no_child() {
    both_ways(|way| async move {
        // Before the first step nothing is started.
        let started = Rc::new(Cell::new(false));
        let theirs = started.clone();
        let task = create_task(async move {
            theirs.set(true);
            way(create_subprocess_exec("sleep", ["100"])).await
        });
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!started.get());

        // In the step that starts it the child is the task's, and goes with it.
        let pid = Rc::new(Cell::new(0));
        let theirs = pid.clone();
        let task = create_task(async move {
            let child = way(create_subprocess_exec("sleep", ["100"])).await.unwrap();
            theirs.set(child.pid());
            child.wait().await
        });
        loop_runtime::yield_now().await;
        assert!(!is_reaped(pid.get()));
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        until_reaped(pid.get()).await;

        // So does one whose start raced with something that won.
        let mut start = pin!(way(create_subprocess_exec("sleep", ["100"])).output());
        let polled = poll_fn(|cx| Poll::Ready(start.as_mut().poll(cx).is_pending())).await;
        assert!(polled);
        Ok(())
    });
}

#[test]
fn b66_a_running_child_that_is_dropped_is_killed_and_reaped_and_the_log_says_so() {
    for way in [
        |command| command,
        Command::without_pidfd as fn(Command) -> Command,
    ] {
        let pid = Rc::new(Cell::new(0));
        let theirs = pid.clone();
        let said = warnings(move || {
            let dropped = async move {
                let child = way(create_subprocess_exec("sleep", ["100"])).spawn()?;
                theirs.set(child.pid());
                drop(child);
                until_reaped(theirs.get()).await;
                // One that has ended is not mentioned.
                let ended = way(shell("exit 0")).spawn()?;
                ended.wait().await?;
                io::Result::Ok(())
            };
            run(dropped).unwrap().unwrap();
        });
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(&format!("pid={} ", pid.get())), "{said:?}");
        assert!(said[0].contains("was dropped while it ran"), "{said:?}");
    }
}

#[test]
fn b66_a_child_that_may_go_on_does_and_is_reaped_when_it_ends() {
    both_ways(|way| async move {
        let command = way(shell("read line; exit 0")).kill_on_drop(false);
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let (stdin, pid) = (child.stdin.take(), child.pid());
        drop(child);
        sleep(Duration::from_millis(20)).await;
        assert!(!is_reaped(pid), "it goes on");
        drop(stdin);
        until_reaped(pid).await;
        Ok(())
    });
}

#[test]
fn b66_children_that_a_loop_leaves_behind_are_reaped_after_its_close() {
    for way in [
        |command| command,
        Command::without_pidfd as fn(Command) -> Command,
    ] {
        let el = EventLoop::new().unwrap();
        let kept = Rc::new(RefCell::new(Vec::new()));
        let (held, stdin) = el.enter(|| {
            let sleeps = || way(create_subprocess_exec("sleep", ["100"]));
            let in_a_task = sleeps().spawn().unwrap();
            kept.borrow_mut().push(in_a_task.pid());
            create_task(async move { in_a_task.wait().await }).detach();
            let held = sleeps().spawn().unwrap();
            kept.borrow_mut().push(held.pid());
            let free = way(shell("read line")).kill_on_drop(false);
            let mut free = free.stdin(Stdio::piped()).spawn().unwrap();
            kept.borrow_mut().push(free.pid());
            (held, free.stdin.take())
        });
        el.close().unwrap();
        drop(stdin);
        assert!(held.kill().is_ok(), "also without its loop");
        drop(held);
        for &pid in kept.borrow().iter() {
            while !is_reaped(pid) {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn b66_a_status_that_somebody_else_took_is_255_with_a_warning() {
    for way in [
        |command| command,
        Command::without_pidfd as fn(Command) -> Command,
    ] {
        let said = warnings(move || {
            let taken = async move {
                let child = way(shell("read line; exit 7"))
                    .stdin(Stdio::piped())
                    .spawn()?;
                let mut child = child;
                child.stdin = None;
                waitid(id(child.pid()), WaitIdOptions::EXITED)?;
                assert_eq!(child.wait().await?.code(), Some(255));
                assert_eq!(child.returncode(), Some(255));
                assert_eq!(child.kill().unwrap_err().kind(), io::ErrorKind::NotFound);
                io::Result::Ok(())
            };
            run(taken).unwrap().unwrap();
        });
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("taken by somebody else"), "{said:?}");
    }
}

#[test]
fn b66_a_child_is_of_one_loop_and_signalled_from_any_thread() {
    run(async {
        let child = create_subprocess_exec("sleep", ["100"]).spawn()?;
        let wait = child.wait();
        let there = std::thread::spawn(move || {
            let error = run(wait).unwrap().unwrap_err();
            child.kill().unwrap();
            (error, child)
        });
        let (error, child) = there.join().unwrap();
        assert!(error.to_string().contains("belongs to loop"), "{error}");
        child.wait().await?;
        assert_eq!(child.returncode(), Some(-9));
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn b67_a_wait_ends_with_the_child_though_a_grandchild_holds_its_output() {
    both_ways(|way| async move {
        let line = "sleep 100 & exit 4";
        let command = way(shell(line)).process_group(0);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        assert_eq!(child.wait().await?.code(), Some(4));
        let mut stdout = child.stdout.take().expect("asked for");
        let mut bytes = Vec::new();
        let mut rest = pin!(stdout.read_to_end(&mut bytes));
        let open = poll_fn(|cx| Poll::Ready(rest.as_mut().poll(cx).is_pending())).await;
        assert!(open, "the grandchild holds it");
        match child.kill_group() {
            Ok(()) => assert_eq!(rest.await?, 0),
            // The leader is gone, and without a descriptor its number says nothing any more.
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                let line = format!("kill -9 -{}", child.pid());
                assert!(shell(&line).status().await?.success());
            }
        }
        Ok(())
    });
}
