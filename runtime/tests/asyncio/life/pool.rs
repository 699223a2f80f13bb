//! Pools of loops: spread, servers, close, and loops that end badly.

use std::collections::BTreeSet;
use std::future::pending;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use loop_runtime::{
    Builder, LoopPool, RemoteError, create_future, create_task, get_running_loop, sleep,
};

fn pool(loops: usize) -> LoopPool {
    Builder::new()
        .inspector(false)
        .name("worker")
        .pool(loops)
        .unwrap()
}

/// Longer than anything here takes.
const FAR: Duration = Duration::from_secs(60);

#[test]
fn each_loop_has_a_thread_and_a_name_of_its_own() {
    let pool = pool(3);
    assert_eq!(pool.len(), 3);
    let seen: Vec<_> = (0..3)
        .map(|number| {
            let task = pool.spawn_on(number, || async {
                // Not `Send`: it is made where it runs.
                let thread = Rc::new(std::thread::current().name().map(str::to_owned));
                sleep(Duration::ZERO).await;
                (
                    get_running_loop().unwrap().name(),
                    (*thread).clone().unwrap(),
                )
            });
            task.unwrap().wait(None).unwrap()
        })
        .collect();
    let names: Vec<_> = (0..3).map(|number| format!("worker-{number}")).collect();
    assert!(seen.iter().map(|(name, _)| name).eq(&names));
    assert!(seen.iter().map(|(_, thread)| thread).eq(&names));
    let ids: BTreeSet<_> = pool
        .handles()
        .iter()
        .map(|handle| handle.id().get())
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(pool.close(FAR), Ok(()));
}

#[test]
fn work_goes_to_the_loop_with_the_fewest_tasks() {
    let pool = pool(3);
    let busy: Vec<_> = (0..2)
        .map(|_| pool.spawn_on(0, pending::<()>).unwrap())
        .collect();
    let spread: Vec<_> = (0..4).map(|_| pool.spawn(pending::<()>).unwrap()).collect();
    assert_eq!(pool.loads(), [2, 2, 2]);
    let more: Vec<_> = (0..3).map(|_| pool.spawn(pending::<()>).unwrap()).collect();
    assert_eq!(pool.loads(), [3, 3, 3]);
    drop((busy, spread, more));
    assert_eq!(pool.close(Duration::ZERO), Ok(()));
}

#[test]
fn a_close_lets_tasks_end_within_the_grace_and_cancels_the_rest() {
    let (pool, done) = (pool(2), Arc::new(AtomicUsize::new(0)));
    let (started, starts) = mpsc::channel();
    for _ in 0..4 {
        let (done, started) = (done.clone(), started.clone());
        let task = pool.spawn(move || async move {
            started.send(()).unwrap();
            sleep(Duration::from_millis(5)).await;
            done.fetch_add(1, Ordering::Relaxed);
        });
        drop(task.unwrap());
    }
    (0..4).for_each(|_| starts.recv().unwrap());
    assert_eq!(pool.close(FAR), Ok(()));
    assert_eq!(done.load(Ordering::Relaxed), 4);
    let refused = pool.spawn(|| async {}).unwrap_err();
    assert!(refused.to_string().contains("closed"), "{refused}");
    assert_eq!(pool.close(FAR), Ok(()), "twice is no error");

    let pool = self::pool(2);
    let waits = pool.spawn(pending::<()>).unwrap();
    assert_eq!(pool.close(Duration::ZERO), Ok(()));
    let error = waits.wait(None).unwrap_err();
    assert!(
        matches!(&error, RemoteError::Join(error) if error.is_cancelled()),
        "{error}"
    );
}

#[test]
fn a_loop_that_was_stopped_is_named_by_the_close_and_gets_no_more_work() {
    let pool = pool(2);
    let handle = pool.handles().swap_remove(1);
    handle.stop().unwrap();
    while !handle.is_closed() {
        std::thread::yield_now();
    }
    assert!(pool.spawn_on(1, || async {}).is_err());
    for _ in 0..4 {
        let name = pool.spawn(|| async { get_running_loop().unwrap().name() });
        assert_eq!(name.unwrap().wait(None).unwrap(), "worker-0");
    }
    let error = pool.close(FAR).unwrap_err();
    let [(name, what)] = &error.loops[..] else {
        panic!("one loop: {error}")
    };
    assert_eq!(name, "worker-1");
    assert!(
        what.contains("ended early") && what.contains("stopped"),
        "{what}"
    );
}

#[test]
fn a_panic_on_one_loop_is_told_with_that_loop_and_hurts_no_other() {
    let pool = pool(2);
    let (heard, told) = mpsc::channel();
    pool.set_exception_handler(move |context| {
        heard
            .send((context.loop_id, context.panic.clone()))
            .unwrap();
    });
    let second = pool.handles()[1].id();
    let task = pool.spawn_on(1, || async {
        create_task(async { panic!("as intended by the test") }).detach();
        loop_runtime::yield_now().await;
        loop_runtime::yield_now().await;
        7
    });
    assert_eq!(task.unwrap().wait(None).unwrap(), 7);
    let text = Some("as intended by the test".to_owned());
    assert_eq!(told.recv().unwrap(), (second, text));
    let own = pool
        .spawn_on(1, || async { panic!("to who waits") })
        .unwrap();
    let error = own.wait(None).map(|()| "value").unwrap_err();
    assert!(error.to_string().contains("to who waits"), "{error}");
    assert_eq!(
        pool.spawn_on(0, || async { 8 })
            .unwrap()
            .wait(None)
            .unwrap(),
        8
    );
    assert_eq!(pool.close(FAR), Ok(()));
}

#[test]
fn a_pool_whose_loops_cannot_be_made_says_why() {
    let refuses = Builder::new()
        .inspector(false)
        .factory(|| Err(std::io::Error::other("no loop today")));
    let error = refuses.pool(2).unwrap_err();
    assert!(error.to_string().contains("no loop today"), "{error}");
}

#[test]
fn a_pool_cannot_be_closed_by_one_of_its_own_loops_but_may_be_dropped_there() {
    let pool = Arc::new(pool(1));
    let (inside, handle) = (pool.clone(), pool.handles().swap_remove(0));
    let tried = pool
        .spawn(move || async move { inside.close(FAR) })
        .unwrap();
    let error = tried.wait(None).unwrap_err();
    assert!(
        error.to_string().contains("cannot wait for its own end"),
        "{error}"
    );
    let (last, dropped) = mpsc::channel::<Arc<LoopPool>>();
    let task = handle.spawn(move || async move { drop(dropped.recv().unwrap()) });
    last.send(pool).unwrap();
    task.unwrap().wait(None).unwrap();
    while !handle.is_closed() {
        std::thread::yield_now();
    }
}

/// Connects until every loop has answered with its name, and gives the names.
fn names_behind(address: std::net::SocketAddr, loops: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // The kernel spreads by a hash: that one loop gets none of a thousand does not happen.
    for _ in 0..1_000 {
        let mut name = String::new();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.read_to_string(&mut name).unwrap();
        names.insert(name);
        if names.len() == loops {
            break;
        }
    }
    names
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_has_a_listener_on_each_loop_and_stops_with_the_pool() {
    let pool = pool(2);
    let serve = |listener: loop_runtime::net::TcpListener| async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                return "no more";
            };
            let name = get_running_loop().unwrap().name();
            stream.write_all(name.as_bytes()).await.unwrap();
        }
    };
    let server = pool.serve("127.0.0.1:0".parse().unwrap(), serve).unwrap();
    let address = server.local_addr();
    let names = names_behind(address, 2);
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["worker-0", "worker-1"]
    );
    let taken = pool.serve(address, serve).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    assert!(taken.to_string().contains(&address.to_string()), "{taken}");
    server.stop();
    let ends = server.wait();
    assert_eq!(ends.len(), 2);
    assert!(
        ends.iter()
            .all(|end| matches!(end, Err(RemoteError::Join(error)) if error.is_cancelled()))
    );
    assert!(server.wait().is_empty());
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let server = pool.serve(address, serve).unwrap();
    assert_eq!(pool.close(FAR), Ok(()), "a server does not hold it up");
    assert_eq!(server.wait().len(), 2);
}

#[test]
fn a_loop_of_a_pool_serves_what_a_thread_sends_to_it() {
    let pool = pool(2);
    let handle = pool.handles().swap_remove(1);
    let (promise, value) = mpsc::channel();
    let task = pool.spawn_on(1, move || async move {
        let (kept, future) = create_future::<u32>();
        promise.send(kept).unwrap();
        future.await.unwrap()
    });
    let kept = value.recv().unwrap();
    handle
        .call_soon_threadsafe(move || kept.set_result(7).unwrap())
        .unwrap();
    assert_eq!(task.unwrap().wait(None).unwrap(), 7);
    drop(pool);
    assert!(handle.is_closed(), "a dropped pool is closed");
    let _ = std::io::stdout().flush();
}
