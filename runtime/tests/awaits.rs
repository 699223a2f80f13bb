//! Whatever of this crate a task awaits: the place that is told of its wait lies in the app's source.
#![cfg(unix)]

use std::cell::RefCell;
use std::future::{Future, pending};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use loop_runtime::group::{CancellationToken, JoinSet, TaskGroup, timeout_scope};
use loop_runtime::net::{self, TcpListener, TcpStream, UdpSocket};
use loop_runtime::process::create_subprocess_exec;
use loop_runtime::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};
use loop_runtime::sync::{broadcast, oneshot, watch};
use loop_runtime::{
    ReturnWhen, create_future, create_task, gather, interval, run_in_executor, shield, sleep,
    timeout, wait, wait_for, yield_now,
};

const HOUR: Duration = Duration::from_secs(3_600);

type Wrong = Rc<RefCell<Vec<String>>>;

/// Awaits `future` in a task until that waits, and says what it is if its place is not in this file.
async fn waits(wrong: &Wrong, what: &str, future: impl Future<Output = ()> + 'static) {
    let task = create_task(future);
    let info = loop {
        yield_now().await;
        let Some(info) = task.task_ref().info() else {
            wrong.borrow_mut().push(format!("{what}: it did not wait"));
            return;
        };
        if !info.waiting_at().is_empty() {
            break info;
        }
    };
    if !info.waiting_at().contains("awaits.rs:") {
        let at = info.waiting_at();
        wrong.borrow_mut().push(format!("{what}: {at}"));
    }
    task.cancel();
    let _ = task.await;
}

macro_rules! all_wait {
    ($wrong:expr, $($future:expr;)*) => {
        $(waits($wrong, stringify!($future), async move {
            let _ = $future.await;
        }).await;)*
    };
}

fn never() -> loop_runtime::Task<()> {
    create_task(pending())
}

#[test]
fn what_waits_for_time_or_for_tasks_is_awaited_in_the_app() {
    loop_runtime::run(async {
        let wrong = Wrong::default();
        let mut set = JoinSet::new();
        set.create_task(pending::<()>());
        let mut other = JoinSet::new();
        other.create_task(pending::<()>());
        let token = CancellationToken::new();
        let mut ticks = interval(HOUR);
        ticks.tick().await;
        let long = never();
        all_wait! { &wrong,
            sleep(HOUR);
            ticks.tick();
            timeout(HOUR, pending::<()>());
            timeout(HOUR, sleep(2 * HOUR));
            timeout_scope(HOUR, async |_| sleep(2 * HOUR).await);
            never();
            shield(&long);
            wait_for(never(), HOUR);
            gather([never(), never()]);
            wait([never()], ReturnWhen::AllCompleted, None);
            set.join_next();
            other.join_all();
            token.cancelled();
            TaskGroup::scope(async |group: TaskGroup<std::io::Error>| { group.create_task(pending::<std::io::Result<()>>()).detach(); Ok(()) });
        }
        assert_eq!(*wrong.borrow(), Vec::<String>::new());
    })
    .unwrap();
}

#[test]
fn what_waits_for_others_is_awaited_in_the_app() {
    loop_runtime::run(async {
        let wrong = Wrong::default();
        let (lock, held) = (Rc::new(Lock::new(0)), Rc::new(Lock::new(0)));
        let _guard = held.lock().await;
        let condition = Rc::new(Condition::with_lock(&lock));
        let (event, none) = (Event::new(), Semaphore::new(0));
        let (barrier, empty, full) = (Barrier::new(2), Queue::<u8>::new(1), Queue::new(1));
        full.put_nowait(1_u8).unwrap();
        let full = Rc::new(full);
        let unfinished = full.clone();
        let (_promise, future) = create_future::<u8>();
        let (_one, once) = oneshot::channel::<u8>();
        let (_all, mut each) = broadcast::channel::<u8>(4);
        let (_seen, mut seen) = watch::channel(0);
        let (_first, mut second) = loop_runtime::sync::mpsc::channel::<u8>(1);
        let (held, on) = (held.clone(), condition.clone());
        all_wait! { &wrong,
            held.lock();
            async { let guard = on.lock().await; on.wait(guard).await };
            event.wait();
            none.acquire();
            barrier.wait();
            empty.get();
            full.put(2);
            unfinished.join();
            future;
            once;
            each.recv();
            seen.changed();
            second.recv();
        }
        assert_eq!(*wrong.borrow(), Vec::<String>::new());
    })
    .unwrap();
}

#[test]
fn what_waits_for_sockets_is_awaited_in_the_app() {
    loop_runtime::run(async {
        let wrong = Wrong::default();
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (_served, _) = listener.accept().await.unwrap();
        let (mut lines, quiet) = net::open_connection(address).await.unwrap();
        let (_still, _) = listener.accept().await.unwrap();
        let (mut exact, _) = net::open_connection(address).await.unwrap();
        let (_open, _) = listener.accept().await.unwrap();
        quiet.set_limits(1, 0).unwrap();
        let much = vec![0; 1 << 24];
        let udp = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = net::start_server(async |_, _| {}, "127.0.0.1:0")
            .await
            .unwrap();
        let mut far = TcpStream::connect(address).await.unwrap();
        let (_near, _) = listener.accept().await.unwrap();
        let mut byte = [0; 1];
        let mut message = [0; 9];
        all_wait! { &wrong,
            listener.accept();
            stream.read(&mut byte);
            far.write_all(&much);
            lines.readline();
            exact.readexactly(7);
            async { quiet.write(&vec![0; 1 << 24]).unwrap(); quiet.drain().await };
            udp.recv_from(&mut message);
            server.serve_forever();
            net::open_connection("loop-runtime.invalid:1");
            net::lookup_host("loop-runtime.invalid", 1);
            TcpStream::connect_host("loop-runtime.invalid:1");
        }
        assert_eq!(*wrong.borrow(), Vec::<String>::new());
    })
    .unwrap();
}

#[test]
fn what_waits_for_threads_and_children_is_awaited_in_the_app() {
    loop_runtime::run(async {
        let wrong = Wrong::default();
        let (end, ends) = mpsc::channel::<()>();
        let child = create_subprocess_exec("cat", [""; 0])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talks = create_subprocess_exec("cat", ["/dev/stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let much = vec![0; 1 << 24];
        all_wait! { &wrong,
            run_in_executor(move || ends.recv());
            child.wait();
            talks.communicate(&much);
            create_subprocess_exec("cat", ["/dev/stdin"]).stdin(Stdio::piped()).output();
        }
        drop(end);
        assert_eq!(*wrong.borrow(), Vec::<String>::new());
    })
    .unwrap();
}
