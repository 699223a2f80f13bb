//! Everything that waits or lives, as a viewer sees it: locks with holder and waiters, all arms of
//! a task that waits in several ways, children with their pipes, jobs nobody wants, signals.

use futures_util::FutureExt;
use futures_util::future::{join, select_all};

use super::*;
use crate::process::{Stdio, create_subprocess_shell};
use crate::signal::Signal;
use crate::sync::{Lock, Queue};
use crate::{get_running_loop, run_in_executor};

/// The query of a table, with the waiters of its rows.
fn with_waiters(target: pb::Target, filter: &str) -> pb::Query {
    pb::Query {
        columns: vec!["waiting".to_owned()],
        ..query(target, filter)
    }
}

#[test]
fn a_lock_names_its_holder_and_everybody_who_waits_first_in_line_first() {
    let inspected = Inspected::new("lock");
    on_loop(|_| async move {
        let lock = Arc::new(Lock::named("a lock of this test", ()));
        let (promise, kept) = create_future::<()>();
        let held = lock.clone();
        let holder = create_task(async move {
            let _guard = held.lock().await;
            let _ = kept.await;
        });
        settle().await;
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let lock = lock.clone();
                crate::Task::<()>::builder()
                    .name("waits")
                    .number(number)
                    .spawn(async move { drop(lock.lock().await) })
            })
            .collect();
        settle().await;
        let mut client = inspected.client().await;
        let of_lock = with_waiters(pb::Target::Resources, "name=\"a lock of this test\"");
        let (view, texts) = ask(&mut client, of_lock.clone()).await;
        assert_eq!(view.error, None);
        let [row] = &view.resources[..] else {
            panic!("one lock: {:?}", view.resources)
        };
        assert_eq!(row.kind(), pb::ResourceKind::Lock);
        assert_eq!(row.state(), pb::ResourceState::Held);
        assert_eq!(row.holder_task_id, Some(holder.id().get()));
        assert!(row.held_since_ns.is_some_and(|since| since <= view.at_ns));
        assert!(texts.get(row.place_text).contains("waiting.rs:"));
        assert_eq!(row.waiters, 3);
        let told: Vec<u64> = row.waiting.iter().map(|waiter| waiter.task_id).collect();
        let expected: Vec<u64> = waiting.iter().map(|task| task.id().get()).collect();
        assert_eq!(told, expected);
        for (number, waiter) in row.waiting.iter().enumerate() {
            let name = texts.name(waiter.task_name.as_ref());
            assert_eq!(name, ["waits", "waits-1", "waits-2"][number]);
            assert!(waiter.since_ns.is_some_and(|since| since <= view.at_ns));
            assert!(texts.get(waiter.place_text).contains("waiting.rs:"));
        }
        assert!(row.oldest_wait_ns.is_some());
        let plain = query(pb::Target::Resources, "name=\"a lock of this test\"");
        let (view, _) = ask(&mut client, plain).await;
        assert!(
            view.resources[0].waiting.is_empty(),
            "nobody asked for them"
        );

        let request = pb::TaskRequest {
            id: expected[0],
            ..pb::TaskRequest::default()
        };
        let detail = client.task(request).await.unwrap().into_inner();
        let wait = &detail.waits[0];
        assert_eq!(wait.kind(), pb::WaitKind::Resource);
        assert_eq!(wait.resource_kind(), pb::ResourceKind::Lock);
        assert_eq!(wait.holder_task_id, row.holder_task_id);
        assert_eq!(wait.id, row.id);

        drop(promise);
        holder.await.unwrap();
        for task in waiting {
            task.await.unwrap();
        }
        let (view, _) = ask(&mut client, of_lock).await;
        let row = &view.resources[0];
        assert_eq!(row.state(), pb::ResourceState::Free);
        assert_eq!((row.waiters, row.waiting.len()), (0, 0));
        assert_eq!((row.holder_task_id, row.held_since_ns), (None, None));
        assert!(row.uses >= 4 && row.contended >= 3, "{row:?}");
    });
}

#[test]
fn a_task_that_waits_in_several_ways_tells_every_arm() {
    let inspected = Inspected::new("arms");
    on_loop(|_| async move {
        let queue = Arc::new(Queue::<u32>::named("arms", 0));
        let (promise, future) = create_future::<()>();
        let items = queue.clone();
        let task = create_task(async move {
            let arms = [
                sleep(Duration::from_secs(600)).boxed(),
                async move { _ = items.get().await }.boxed(),
                async move { _ = future.await }.boxed(),
            ];
            select_all(arms).await;
        });
        settle().await;
        let mut client = inspected.client().await;
        let request = pb::TaskRequest {
            id: task.id().get(),
            ..pb::TaskRequest::default()
        };
        let detail = client.task(request).await.unwrap().into_inner();
        let mut texts = loop_proto::message::Texts::default();
        texts.learn(detail.interned.clone());
        let mut told: Vec<String> = detail
            .waits
            .iter()
            .map(|wait| texts.waiting(wait).to_string())
            .collect();
        told.sort();
        assert_eq!(told, ["future", "queue arms", "timer"], "{detail:#?}");
        for wait in &detail.waits {
            let place = texts.get(wait.place_text);
            assert!(
                place.contains("waiting.rs:"),
                "each arm has its line: {wait:?}"
            );
        }
        let row = detail.task.unwrap();
        assert_eq!(u64::from(row.more_waits) + 1, detail.waits.len() as u64);
        let waits = with_waiters(pb::Target::Resources, "waiters>0 kind=queue,future");
        let (view, _) = ask(&mut client, waits).await;
        for kind in [pb::ResourceKind::Queue, pb::ResourceKind::Future] {
            let mut of_kind = view.resources.iter().filter(|row| row.kind() == kind);
            assert!(
                of_kind.any(|row| row.waiting.iter().any(|one| one.task_id == task.id().get())),
                "{kind:?}: {:?}",
                view.resources
            );
        }
        promise.set_result(()).unwrap();
        task.await.unwrap();
    });
}

#[test]
fn a_child_tells_who_waits_and_its_reader_whose_output_it_waits_for() {
    let inspected = Inspected::new("child");
    on_loop(|id| async move {
        let command = create_subprocess_shell("read line; exit 3");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = child.pid();
        let stdin = child.stdin.take();
        let mut stdout = child.stdout.take().unwrap();
        let reads = create_task(async move {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).await
        });
        let waits = create_task(async move { child.wait().await });
        settle().await;
        let mut client = inspected.client().await;
        let this = with_waiters(pb::Target::Children, &format!("pid={pid}"));
        let (view, texts) = ask(&mut client, this.clone()).await;
        let [row] = &view.children[..] else {
            panic!("one child: {:?}", view.children)
        };
        assert_eq!((row.pid, row.program.as_str()), (pid, "sh"));
        assert!(!row.ended && row.ended_at_ns.is_none() && row.open_pipes & 0b11 == 0b11);
        let waiter = row.waiting.iter().map(|one| one.task_id);
        assert_eq!(waiter.collect::<Vec<_>>(), [waits.id().get()]);
        assert_eq!(row.waiters, 1);
        assert!(texts.get(row.place_text).contains("waiting.rs:"));
        assert_ne!(row.task_id, 0);

        let pipes = query(pb::Target::Io, &format!("child={pid} program=sh want=r"));
        let (view, _) = ask(&mut client, pipes).await;
        let [source] = &view.io[..] else {
            panic!("one pipe is read: {:?}", view.io)
        };
        let pipe = source.pipe.as_ref().unwrap();
        assert_eq!((pipe.child_id, pipe.pid), (row.id, pid));
        assert_eq!((pipe.stream, pipe.ended), (Some(1), false));

        let reader = query(pb::Target::Tasks, &format!("id={}", reads.id().get()));
        let (view, texts) = ask(&mut client, reader).await;
        let wait = view.tasks[0].waiting_on.as_ref().unwrap();
        let words = texts.waiting(wait).to_string();
        assert!(
            words.ends_with(&format!("stdout of pid {pid} (sh, alive)")),
            "{words}"
        );
        let found = query(pb::Target::Tasks, &format!("loop={id} on~\"pid {pid}\""));
        assert_eq!(
            ask(&mut client, found).await.0.matched,
            1,
            "a filter finds it"
        );

        drop(stdin);
        let (read, ended) = join(reads, waits).await;
        read.unwrap().unwrap();
        assert_eq!(ended.unwrap().unwrap().code(), Some(3));
    });
}

#[test]
fn a_job_that_nobody_wants_any_more_goes_on_and_is_said_so() {
    let inspected = Inspected::new("unwanted");
    on_loop(|id| async move {
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let (began, begins) = std::sync::mpsc::channel();
        let job = run_in_executor(move || {
            began.send(()).unwrap();
            goes.recv().unwrap();
        });
        let task = create_task(async move {
            let _ = job.await;
        });
        settle().await;
        begins.recv().unwrap();
        let mut client = inspected.client().await;
        let mine = with_waiters(pb::Target::Jobs, &format!("loop={id}"));
        let (view, _) = ask(&mut client, mine.clone()).await;
        let row = &view.jobs[0];
        assert_eq!(
            (row.state(), row.pool.as_str()),
            (pb::JobState::Run, "executor")
        );
        assert_ne!(row.tid, 0);
        let waiting: Vec<u64> = row.waiting.iter().map(|one| one.task_id).collect();
        assert_eq!(waiting, [task.id().get()]);
        let (view, _) = ask(&mut client, query(pb::Target::Overview, "")).await;
        let pools = view.overview.unwrap().pools;
        let mut own = pools
            .iter()
            .filter(|pool| pool.loop_id == Some(id.into()) && pool.name == "executor");
        let pool = own.next().expect("the loop's own executor");
        assert_eq!((pool.busy, pool.queued, pool.threads), (1, 0, 1));
        assert!(pool.limit >= 4);

        task.cancel();
        assert!(task.await.is_err());
        let (view, _) = ask(&mut client, mine.clone()).await;
        let row = &view.jobs[0];
        assert_eq!(row.state(), pb::JobState::Abandoned);
        assert!(row.waiting.is_empty());
        go.send(()).unwrap();
        while !ask(&mut client, mine.clone()).await.0.jobs.is_empty() {
            yield_now().await;
        }
    });
}

#[test]
fn a_signal_tells_its_handler_and_its_deliveries() {
    let inspected = Inspected::new("signal");
    on_loop(|id| async move {
        let (came, comes) = told();
        get_running_loop()
            .unwrap()
            .add_signal_handler(Signal::USR2, came)
            .unwrap();
        let mut client = inspected.client().await;
        let mine = query(pb::Target::Signals, &format!("loop={id} name=SIGUSR2"));
        let (view, texts) = ask(&mut client, mine.clone()).await;
        assert_eq!(view.error, None);
        let [row] = &view.signals[..] else {
            panic!("one signal: {:?}", view.signals)
        };
        assert_eq!(
            (row.listeners, row.deliveries, row.last_at_ns),
            (1, 0, None)
        );
        assert!(texts.get(row.place_text).contains("waiting.rs:"));
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR2).unwrap();
        comes.await;
        let (view, _) = ask(&mut client, mine).await;
        let row = &view.signals[0];
        assert_eq!(row.deliveries, 1);
        assert!(row.last_at_ns.is_some_and(|at| at <= view.at_ns));
    });
}

/// A call, and a future that is ready once it was made.
fn told() -> (impl FnMut(), impl Future<Output = ()>) {
    let (promise, future) = create_future::<()>();
    let mut promise = Some(promise);
    let call = move || {
        if let Some(promise) = promise.take() {
            promise.set_result(()).unwrap();
        }
    };
    (call, async move { future.await.unwrap() })
}
