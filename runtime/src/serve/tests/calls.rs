//! What clients ask, answered.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::sync::Lock;

/// A ring of events has one reader, and each inspector of this process reads those of all loops.
pub(super) static READS_EVENTS: Mutex<()> = Mutex::new(());

/// Who reads events takes them out of the rings that all inspectors of this process share.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    READS_EVENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn hello_says_who_the_app_is_and_what_this_viewer_may_do() {
    let inspected = Inspected::new("hello");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let hello = client.hello(pb::HelloRequest::default()).await.unwrap();
        let hello = hello.into_inner();
        assert_eq!(
            (hello.app_name.as_str(), hello.app_version.as_str()),
            ("shop", "1.2")
        );
        assert_eq!(hello.protocol, Some(loop_proto::version::PROTOCOL));
        assert_eq!(hello.role(), pb::Role::Observe, "control was not asked for");
        assert_eq!(hello.pid, std::process::id());
        assert!(hello.ticks_per_second > 1e6);
        assert_eq!(hello.viewers, 1);
    });
}

#[test]
fn live_tasks_are_listed_with_name_state_and_what_they_wait_for() {
    let inspected = Inspected::new("tasks");
    on_loop(|id| async move {
        let (promise, future) = create_future::<()>();
        let waits = crate::Task::<()>::builder()
            .name("waits")
            .number(3)
            .spawn(async move {
                let _ = future.await;
            });
        let sleeps = create_task(async { sleep(Duration::from_secs(60)).await });
        yield_now().await;
        let mut client = inspected.client().await;
        let mut wanted = query(pb::Target::Tasks, &format!("loop={id}"));
        wanted.sort = "id".to_owned();
        wanted.columns = vec!["type".to_owned(), "buckets".to_owned()];
        let (view, texts) = ask(&mut client, wanted).await;
        assert_eq!(view.error, None);
        let row = |id: u64| view.tasks.iter().find(|row| row.id == id).unwrap();
        let main = view
            .tasks
            .iter()
            .find(|row| row.kind() == pb::TaskKind::Main);
        let main = main.expect("the main task is listed");
        assert_eq!(texts.name(main.name.as_ref()), "main");
        let row_waits = row(waits.id().get());
        assert_eq!(texts.name(row_waits.name.as_ref()), "waits-3");
        assert_eq!(row_waits.state(), pb::TaskState::Wait);
        assert_eq!(row_waits.parent_id, main.id);
        let wait = row_waits.waiting_on.as_ref().unwrap();
        assert_eq!(wait.kind(), pb::WaitKind::Future);
        assert_eq!(texts.waiting(wait).to_string(), "future");
        assert!(texts.get(row_waits.waiting_at_text).contains("calls.rs:"));
        assert_eq!(row_waits.poll_buckets.len(), 8);
        assert_eq!(row_waits.poll_buckets.iter().sum::<u64>(), row_waits.polls);
        let row_sleeps = row(sleeps.id().get());
        let wait = row_sleeps.waiting_on.as_ref().unwrap();
        assert_eq!(wait.kind(), pb::WaitKind::Timer);
        assert!(wait.due_ns.unwrap() > view.at_ns);
        assert!(texts.get(row_sleeps.spawn_place_text).contains("calls.rs:"));
        assert!(texts.get(row_sleeps.type_text).contains("calls::"));
        // The client's own connection is main's child too.
        assert!(main.children >= 2, "{main:?}");
        drop(promise);
    });
}

#[test]
fn a_filter_names_its_fault_and_where_it_is() {
    let inspected = Inspected::new("fault");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let (view, _) = ask(&mut client, query(pb::Target::Tasks, "state=sleepy")).await;
        let error = view.error.expect("a fault");
        assert_eq!(error.part, "filter");
        assert_eq!(error.offset, 6);
        assert!(view.tasks.is_empty());
    });
}

#[test]
fn every_table_answers_and_pages_hold_what_they_promise() {
    let inspected = Inspected::new("tables");
    on_loop(|id| async move {
        // Other tests of this file spawn as many.
        let spawned_at = line!() + 2;
        let tasks: Vec<_> = (0..25)
            .map(|_| create_task(async { sleep(Duration::from_secs(60)).await }))
            .collect();
        yield_now().await;
        let mut client = inspected.client().await;
        let of_loop = format!("loop={id}");
        let mut page = query(pb::Target::Timers, &format!("{of_loop} every=none"));
        page.limit = 10;
        page.sort = "id".to_owned();
        let (first, _) = ask(&mut client, page.clone()).await;
        assert_eq!((first.matched, first.timers.len()), (25, 10));
        assert!(
            first
                .timers
                .iter()
                .all(|timer| timer.kind() == pb::TimerKind::Sleep)
        );
        assert!(
            first
                .timers
                .iter()
                .all(|timer| timer.owner_id != 0 && !timer.owner_gone)
        );
        page.seek = Some(pb::Seek {
            to: Some(pb::seek::To::After(first.last.clone().unwrap())),
        });
        let (second, _) = ask(&mut client, page).await;
        assert_eq!((second.first_rank, second.timers.len()), (10, 10));
        assert!(second.timers[0].id > first.timers[9].id);
        for target in [
            pb::Target::Io,
            pb::Target::Jobs,
            pb::Target::Resources,
            pb::Target::Children,
            pb::Target::Blocks,
            pb::Target::History,
        ] {
            let (view, _) = ask(&mut client, query(target, &of_loop)).await;
            assert_eq!(view.error, None, "{target:?}");
        }
        let (loops, texts) = ask(&mut client, query(pb::Target::Loops, &format!("id={id}"))).await;
        let row = &loops.loops[0];
        assert_eq!(texts.name(row.name.as_ref()), format!("loop-{id}"));
        assert!(row.tasks >= 26 && row.timers >= 25, "{row:?}");
        assert!(row.iterations > 0 && row.poll.as_ref().unwrap().count > 0);
        let (io, texts) = ask(&mut client, query(pb::Target::Io, &of_loop)).await;
        assert_eq!(io.io.len(), 1, "the client's own socket: {:?}", io.io);
        assert_eq!(io.io[0].kind(), pb::SourceKind::Unix);
        assert!(texts.name(io.io[0].task_name.as_ref()).len() > 1);
        let (all, _) = ask(&mut client, query(pb::Target::Overview, "")).await;
        let all = all.overview.expect("totals");
        assert!(all.tasks >= 26 && all.timers >= 25 && all.fds_open.is_some());
        let (cost, _) = ask(&mut client, query(pb::Target::Cost, "")).await;
        let cost = cost.cost.expect("a cost");
        assert!(cost.bytes_sent > 0 && cost.recorder_bytes > 0 && cost.inspector_cpu_ns > 0);
        let (places, _) = ask(
            &mut client,
            query(
                pb::Target::Places,
                &format!("place~calls.rs:{spawned_at}: live>=25"),
            ),
        )
        .await;
        assert_eq!(places.places.len(), 1);
        drop(tasks);
    });
}

#[test]
fn a_place_remembers_the_polls_and_failures_of_tasks_that_ended() {
    let inspected = Inspected::new("places");
    on_loop(|_| async move {
        let place = line!() + 1;
        let spawned = |fails: bool| create_task(async move { assert!(!fails, "on purpose") });
        let tasks = [false, true, true].map(spawned);
        for task in tasks {
            let _ = task.await;
        }
        let mut client = inspected.client().await;
        let filter = format!("place~calls.rs:{place}:");
        let (view, _) = ask(&mut client, query(pb::Target::Places, &filter)).await;
        let [row] = view.places.as_slice() else {
            panic!("one place: {:?}", view.places)
        };
        assert_eq!((row.live, row.finished, row.failed), (0, 3, 2));
        assert!(
            row.max_poll_ns > 0 && row.max_poll_ns <= row.busy_ns,
            "{row:?}"
        );
        // The row of places that found no room says nothing before there are any.
        let (all, _) = ask(&mut client, query(pb::Target::Places, "")).await;
        assert!(
            all.places.iter().all(|row| row.spawned > 0),
            "{:?}",
            all.places
        );
    });
}

#[test]
fn the_page_of_a_task_keeps_its_slots_from_the_first_look_on() {
    let inspected = Inspected::new("slots");
    on_loop(|_| async move {
        let sleeps = create_task(async { sleep(Duration::from_secs(60)).await });
        yield_now().await;
        let mut client = inspected.client().await;
        let request = pb::TaskRequest {
            id: sleeps.id().get(),
            ..pb::TaskRequest::default()
        };
        let detail = client.task(request).await.unwrap().into_inner();
        let slots = detail.busy.expect("kept while somebody looks");
        assert!(slots.slot_ns > 0 && !slots.values.is_empty(), "{slots:?}");
    });
}

#[test]
fn the_inspectors_own_loop_is_in_no_list_unless_asked_for() {
    let inspected = Inspected::new("internal");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let (view, _) = ask(&mut client, query(pb::Target::Loops, "")).await;
        assert!(view.loops.iter().all(|row| !row.internal));
        let mut all = query(pb::Target::Loops, "internal=yes");
        all.internal = true;
        let (view, texts) = ask(&mut client, all).await;
        assert!(
            view.loops
                .iter()
                .any(|row| texts.name(row.name.as_ref()) == "inspector")
        );
    });
}

#[test]
fn a_standing_query_is_answered_again_and_texts_come_once() {
    let inspected = Inspected::new("again");
    on_loop(|id| async move {
        let mut client = inspected.client().await;
        let mut standing = query(pb::Target::Tasks, &format!("loop={id}"));
        standing.interval_ms = 50;
        let queries = stream::iter([standing]).chain(stream::pending());
        let mut views = client.watch(queries).await.unwrap().into_inner();
        let first = views.message().await.unwrap().unwrap();
        let second = views.message().await.unwrap().unwrap();
        assert_eq!((first.answer, second.answer), (1, 2));
        assert!(!first.interned.is_empty());
        let again = |entry: &pb::Interned| first.interned.iter().any(|known| known.id == entry.id);
        assert!(!second.interned.iter().any(again));
        assert!(second.at_ns > first.at_ns);
    });
}

#[test]
fn a_stranded_task_is_found_and_a_waiting_one_is_not() {
    let inspected = Inspected::new("stranded");
    on_loop(|id| async move {
        // Its waker is dropped at once, and so is its handle.
        create_task(std::future::poll_fn(|_| Poll::<()>::Pending)).detach();
        let (promise, future) = create_future::<()>();
        create_task(async move {
            let _ = future.await;
        })
        .detach();
        yield_now().await;
        let mut client = inspected.client().await;
        let (view, texts) = ask(
            &mut client,
            query(pb::Target::Findings, &format!("loop={id} finding=stranded")),
        )
        .await;
        assert_eq!(view.findings.len(), 1);
        let finding = &view.findings[0];
        assert_eq!(finding.grade(), pb::Grade::Certain);
        assert_eq!(finding.count, 1);
        assert!(finding.user && finding.fingerprint.len() == 16);
        assert!(texts.get(finding.place_text).contains("calls.rs:"));
        let detail = client
            .task(pb::TaskRequest {
                id: finding.subject_id,
                ..pb::TaskRequest::default()
            })
            .await
            .unwrap()
            .into_inner();
        let task = detail.task.unwrap();
        assert_eq!(task.waiting_on.unwrap().kind(), pb::WaitKind::Nothing);
        assert_eq!(detail.findings.len(), 1);
        assert_eq!(detail.parents.len(), 1, "main");
        drop(promise);
    });
}

#[test]
fn a_task_is_cancelled_for_who_may_and_refused_to_who_may_only_look() {
    let inspected = Inspected::new("cancel");
    on_loop(|_| async move {
        let task = create_task(std::future::pending::<()>());
        let request = pb::CommandRequest {
            serial: 4,
            action: Some(pb::command_request::Action::Cancel(pb::CancelTask {
                task_id: task.id().get(),
            })),
        };
        let mut looks = inspected.client().await;
        let observe = pb::HelloRequest {
            role: pb::Role::Observe as i32,
            ..pb::HelloRequest::default()
        };
        let hello = looks.hello(observe).await.unwrap().into_inner();
        assert_eq!(hello.role(), pb::Role::Observe);
        let refused = looks.command(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let mut may = inspected.client().await;
        let control = pb::HelloRequest {
            role: pb::Role::Control as i32,
            ..pb::HelloRequest::default()
        };
        may.hello(control).await.unwrap();
        let reply = may.command(request.clone()).await.unwrap().into_inner();
        assert_eq!(
            (reply.serial, reply.status()),
            (4, pb::CommandStatus::Done),
            "{reply:?}"
        );
        assert!(task.await.is_err());
        let reply = may.command(request).await.unwrap().into_inner();
        assert_eq!(reply.status(), pb::CommandStatus::Refused);
    });
}

#[test]
fn events_come_with_names_and_places_and_their_losses() {
    let _alone = alone();
    let inspected = Inspected::new("events");
    on_loop(|id| async move {
        let mut client = inspected.client().await;
        let request = pb::EventsRequest {
            filter: format!("loop={id}"),
            kinds: vec![
                pb::EventKind::TaskSpawned as i32,
                pb::EventKind::TaskFinished as i32,
                pb::EventKind::TimerArmed as i32,
            ],
            ..pb::EventsRequest::default()
        };
        let mut batches = client.watch_events(request).await.unwrap().into_inner();
        let began = batches.message().await.unwrap().unwrap();
        assert!(began.lost.is_empty(), "{began:?}");
        let task = crate::Task::<()>::builder()
            .name("told")
            .spawn(async { sleep(Duration::from_millis(1)).await });
        let id = task.id().get();
        task.await.unwrap();
        let mut texts = loop_proto::message::Texts::default();
        let mut kinds = Vec::new();
        while !kinds.contains(&pb::EventKind::TaskFinished) {
            let batch = batches.message().await.unwrap().unwrap();
            texts.learn(batch.interned);
            assert!(batch.lost.is_empty());
            for event in batch.events.iter().filter(|event| event.task_id == id) {
                if kinds.is_empty() {
                    assert_eq!(texts.name(event.name.as_ref()), "told");
                    assert!(texts.get(event.place_text).contains("calls.rs:"));
                }
                kinds.push(event.kind());
            }
        }
        assert_eq!(
            kinds,
            [
                pb::EventKind::TaskSpawned,
                pb::EventKind::TimerArmed,
                pb::EventKind::TaskFinished
            ]
        );
    });
}

#[cfg(unix)]
#[test]
fn the_start_and_the_end_of_a_child_and_a_signal_are_events() {
    let _alone = alone();
    use crate::signal::Signal;
    let inspected = Inspected::new("child-events");
    on_loop(|id| async move {
        let mut client = inspected.client().await;
        let request = pb::EventsRequest {
            filter: format!("loop={id}"),
            kinds: vec![
                pb::EventKind::ChildStarted as i32,
                pb::EventKind::ChildExited as i32,
                pb::EventKind::SignalReceived as i32,
            ],
            ..pb::EventsRequest::default()
        };
        let mut batches = client.watch_events(request).await.unwrap().into_inner();
        batches.message().await.unwrap().unwrap();
        let child = crate::process::create_subprocess_exec("sleep", ["100"]);
        let child = child.spawn().unwrap();
        child.kill().unwrap();
        child.wait().await.unwrap();
        let mut urgent = crate::signal::listen(Signal::URG).unwrap();
        signal_hook::low_level::raise(Signal::URG.number()).unwrap();
        urgent.next().await.unwrap();
        let mut told = Vec::new();
        while told.len() < 3 {
            told.extend(batches.message().await.unwrap().unwrap().events);
        }
        let kinds: Vec<_> = told.iter().map(pb::Event::kind).collect();
        assert_eq!(
            kinds,
            [
                pb::EventKind::ChildStarted,
                pb::EventKind::ChildExited,
                pb::EventKind::SignalReceived
            ]
        );
        assert_eq!(told[0].detail, format!("pid {}", child.pid()));
        assert_eq!(told[0].task_id, crate::record::current_task());
        assert_eq!(told[1].subject_id, told[0].subject_id);
        assert_eq!(told[1].value, Some(-9));
        assert_eq!(told[2].value, Some(Signal::URG.number().into()));
    });
}

#[test]
fn tasks_that_join_each_other_are_found_deadlocked_and_a_chain_that_moves_is_not() {
    type Other = std::rc::Rc<std::cell::RefCell<Option<crate::Task<()>>>>;
    async fn after(other: Other) {
        yield_now().await;
        let task = other.borrow_mut().take();
        let _ = task.expect("the other was spawned").await;
    }
    let inspected = Inspected::new("deadlock");
    on_loop(|id| async move {
        let (left, right) = (Other::default(), Other::default());
        let first = create_task(after(right.clone()));
        let second = create_task(after(left.clone()));
        let ids = [first.id().get(), second.id().get()];
        (*left.borrow_mut(), *right.borrow_mut()) = (Some(first), Some(second));
        let sleeper = create_task(sleep(Duration::from_secs(60)));
        create_task(async move {
            let _ = sleeper.await;
        })
        .detach();
        for _ in 0..3 {
            yield_now().await;
        }
        let mut client = inspected.client().await;
        let wanted = query(pb::Target::Findings, &format!("loop={id}"));
        let (view, _) = ask(&mut client, wanted).await;
        assert_eq!(view.findings.len(), 1, "{:?}", view.findings);
        let finding = &view.findings[0];
        assert_eq!(finding.name(), pb::FindingName::Deadlocked);
        assert_eq!(finding.grade(), pb::Grade::Certain);
        assert!(ids.contains(&finding.subject_id));
    });
}

#[test]
fn a_circle_of_locks_is_suspected_with_both_locks_their_holders_and_where_each_waits() {
    let inspected = Inspected::new("lock-circle");
    on_loop(|id| async move {
        let (cart, stock) = (Lock::named("cart", ()), Lock::named("stock", ()));
        let both = |first: Lock<()>, second: Lock<()>| async move {
            let _first = first.lock().await;
            yield_now().await;
            let _second = second.lock().await;
        };
        let left = create_task(both(cart.clone(), stock.clone()));
        let right = create_task(both(stock, cart.clone()));
        let ids = [left.id().get(), right.id().get()];
        let mut client = inspected.client().await;
        // Who holds a handle could still cancel.
        left.detach();
        right.detach();
        for _ in 0..3 {
            yield_now().await;
        }
        let wanted = query(pb::Target::Findings, &format!("loop={id}"));
        let (view, _) = ask(&mut client, wanted).await;
        let [finding] = &view.findings[..] else {
            panic!("{:?}", view.findings);
        };
        assert_eq!(finding.name(), pb::FindingName::Deadlocked);
        assert_eq!(finding.grade(), pb::Grade::Suspect);
        let evidence = finding.evidence.join("\n");
        for (waits, lock, holds) in [(ids[0], "stock", ids[1]), (ids[1], "cart", ids[0])] {
            let line = finding
                .evidence
                .iter()
                .find(|line| line.starts_with(&format!("task {waits} ")))
                .unwrap_or_else(|| panic!("no task {waits} in {evidence}"));
            for word in [
                format!("for the lock {lock} (made at"),
                format!("held by task {holds} "),
                format!("waits at {}:", file!()),
            ] {
                assert!(line.contains(&word), "no {word:?} in {line}");
            }
        }
    });
}

#[test]
fn pages_by_age_one_after_the_other_are_every_task_once() {
    let inspected = Inspected::new("pages");
    on_loop(|id| async move {
        let mut ids = Vec::new();
        for _ in 0..40 {
            let task = create_task(std::future::pending::<()>());
            ids.push(task.id().get());
            task.detach();
            yield_now().await;
        }
        let mut client = inspected.client().await;
        // Its name tells the tasks of this test from those of the client.
        let filter = format!("loop={id} name=core::future::pending::Pending");
        let (asks, queries) = channel_of_queries();
        let mut views = client.watch(queries).await.unwrap().into_inner();
        let mut wanted = query(pb::Target::Tasks, &filter);
        (wanted.limit, wanted.sort) = (7, "-for".to_owned());
        let mut seen = Vec::new();
        loop {
            asks.send(wanted.clone());
            let view = views.message().await.unwrap().unwrap();
            assert_eq!(view.first_rank as usize, seen.len());
            seen.extend(view.tasks.iter().map(|row| row.id));
            let Some(last) = view.last else { break };
            wanted.serial += 1;
            wanted.seek = Some(pb::Seek {
                to: Some(pb::seek::To::After(last)),
            });
            // Time passes between two pages.
            sleep(Duration::from_millis(3)).await;
        }
        assert_eq!(seen, ids);
    });
}

fn channel_of_queries() -> (
    Asks,
    impl futures_util::Stream<Item = pb::Query> + Send + 'static,
) {
    let asks = Asks::default();
    let taken = asks.0.clone();
    let queries = stream::poll_fn(move |cx| {
        let mut line = taken.lock().unwrap();
        match line.0.pop_front() {
            Some(query) => Poll::Ready(Some(query)),
            None => {
                line.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    });
    (asks, queries)
}

type Line = (
    std::collections::VecDeque<pb::Query>,
    Option<std::task::Waker>,
);

/// Queries on their way into a stream.
#[derive(Default)]
struct Asks(Arc<std::sync::Mutex<Line>>);

impl Asks {
    fn send(&self, query: pb::Query) {
        let waker = {
            let mut line = self.0.lock().unwrap();
            line.0.push_back(query);
            line.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

async fn detail_of(client: &mut Client, id: u64) -> pb::TaskDetail {
    let request = pb::TaskRequest {
        id,
        ..pb::TaskRequest::default()
    };
    client.task(request).await.unwrap().into_inner()
}

/// The text of an id in a message that carries its own texts.
fn text_of(detail: &pb::TaskDetail, id: u32) -> &str {
    let mut all = detail.interned.iter();
    all.find(|text| text.id == id)
        .map_or("", |text| text.text.as_str())
}

#[test]
fn who_asked_for_a_cancel_is_on_the_tasks_page_also_after_its_end() {
    let inspected = Inspected::new("canceller");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let task = create_task(async {
            crate::catch_cancel(sleep(Duration::from_secs(60)))
                .await
                .unwrap_err();
            sleep(Duration::from_secs(60)).await;
        });
        yield_now().await;
        let (id, seen) = (task.id().get(), task.task_ref());
        assert_eq!(detail_of(&mut client, id).await.cancel, None);
        let clerk = crate::Task::<()>::builder().name("clerk").number(2);
        let clerk = clerk.spawn(async move {
            seen.cancel_message("the shop closes");
            std::future::pending::<()>().await;
        });
        yield_now().await;
        yield_now().await;
        let detail = detail_of(&mut client, id).await;
        let cancel = detail.cancel.clone().expect("it was asked");
        assert_eq!(cancel.by(), pb::Canceller::Task);
        assert_eq!(cancel.by_id, clerk.id().get());
        let name = cancel.by_name.as_ref().unwrap();
        assert_eq!(text_of(&detail, name.stem_text), "clerk");
        assert_eq!(name.number, Some(2));
        assert_eq!(
            (cancel.message.as_str(), cancel.times),
            ("the shop closes", 1)
        );
        assert!(text_of(&detail, cancel.place_text).contains("calls.rs:"));
        assert!(cancel.first_at_ns > 0 && cancel.at_ns == cancel.first_at_ns);
        let row = detail.task.unwrap();
        assert!(row.cancel_requested);
        assert_eq!(row.cancel_requested_at_ns, Some(cancel.first_at_ns));

        task.cancel();
        assert!(task.await.is_err());
        let detail = detail_of(&mut client, id).await;
        let row = detail.task.clone().unwrap();
        assert_eq!(row.outcome(), pb::Outcome::Cancelled);
        let cancel = detail.cancel.expect("kept past the end");
        assert_eq!((cancel.by(), cancel.times), (pb::Canceller::Task, 2));
        assert_ne!(cancel.by_id, clerk.id().get(), "the main task asked last");
        assert!(cancel.at_ns > cancel.first_at_ns && cancel.message.is_empty());
    });
}

#[test]
fn a_viewers_cancel_says_so_and_a_tasks_variables_are_named() {
    crate::context_var! { static TENANT: u32; }
    let inspected = Inspected::new("variables");
    on_loop(|_| async move {
        let task = create_task(async {
            TENANT.set(7);
            let _ = crate::catch_cancel(sleep(Duration::from_secs(60))).await;
            sleep(Duration::from_secs(60)).await;
        });
        yield_now().await;
        let mut client = inspected.client().await;
        let id = task.id().get();
        let detail = detail_of(&mut client, id).await;
        assert_eq!(detail.variables, ["TENANT"]);
        let cancel = pb::CancelTask { task_id: id };
        let request = pb::CommandRequest {
            serial: 1,
            action: Some(pb::command_request::Action::Cancel(cancel)),
        };
        let control = pb::HelloRequest {
            role: pb::Role::Control as i32,
            ..pb::HelloRequest::default()
        };
        client.hello(control).await.unwrap();
        client.command(request).await.unwrap();
        let cancel = detail_of(&mut client, id).await.cancel.unwrap();
        assert_eq!(cancel.by(), pb::Canceller::Viewer);
        assert_eq!((cancel.place_text, cancel.by_id), (0, 0));
    });
}

#[test]
fn an_order_that_is_read_in_place_is_the_one_of_the_rows_that_it_shows() {
    let inspected = Inspected::new("in place");
    on_loop(|id| async move {
        let pauses = [50, 20, 90, 70, 30, 80].map(Duration::from_secs);
        let sleepers: Vec<_> = pauses.map(|pause| create_task(sleep(pause))).into();
        let locks = [0, 3, 1, 2].map(|wanted| (crate::sync::Lock::new(()), wanted));
        let mut kept = Vec::new();
        for (lock, wanted) in &locks {
            let held = lock.clone();
            kept.push(create_task(async move {
                let _guard = held.lock().await;
                std::future::pending().await
            }));
            for _ in 0..*wanted {
                let lock = lock.clone();
                kept.push(create_task(async move { drop(lock.lock().await) }));
            }
        }
        // A group counts who waits for it nowhere but in the tables.
        let group = create_task(async {
            let group = crate::TaskGroup::<String>::scope(|tg| async move {
                let never = std::future::pending::<Result<(), String>>();
                tg.create_task(never).detach();
                Ok(())
            });
            group.await.unwrap();
        });
        yield_now().await;
        let mut client = inspected.client().await;
        for (target, order) in [
            (pb::Target::Timers, "due"),
            (pb::Target::Resources, "-waiters"),
        ] {
            let mut asks = Vec::new();
            // The filter is for the one path, that there is none for the other.
            for filter in ["", &format!("loop={id}")] {
                let query = pb::Query {
                    limit: 10_000,
                    sort: order.to_owned(),
                    ..query(target, filter)
                };
                let (view, _) = ask(&mut client, query).await;
                let timers = view
                    .timers
                    .iter()
                    .filter(|row| row.loop_id == u64::from(id));
                let mut rows: Vec<(u64, u64)> = timers.map(|row| (row.id, row.due_ns)).collect();
                let resources = view.resources.iter();
                let resources = resources.filter(|row| row.loop_id == Some(id.into()));
                rows.extend(resources.map(|row| (row.id, row.waiters.into())));
                asks.push(rows);
            }
            assert_eq!(asks[0], asks[1], "{target:?}");
            assert!(asks[0].len() >= 5, "{asks:?}");
            let counts = asks[0].iter().map(|(_, number)| *number);
            match target {
                pb::Target::Timers => assert!(counts.is_sorted(), "{asks:?}"),
                _ => assert!(counts.rev().is_sorted(), "{asks:?}"),
            }
        }
        drop((sleepers, kept, group));
    });
}

#[test]
fn an_error_that_nobody_reads_is_a_finding_whenever_its_handle_goes() {
    let inspected = Inspected::new("unread");
    on_loop(|id| async move {
        let fallible = |text: &'static str| {
            let task = crate::Task::<()>::builder();
            task.spawn_fallible(async move { Err::<(), _>(text) })
        };
        let (before, after, held) = (fallible("early"), fallible("late"), fallible("held"));
        let ids = [before.id().get(), after.id().get()];
        drop(before);
        yield_now().await;
        drop(after);
        fallible("read").await.unwrap().unwrap_err();
        let mut client = inspected.client().await;
        let wanted = query(
            pb::Target::Findings,
            &format!("loop={id} finding=unread-error"),
        );
        let (view, _) = ask(&mut client, wanted).await;
        let mut found: Vec<u64> = view.findings.iter().map(|found| found.subject_id).collect();
        found.sort_unstable();
        // Of one place and kind they may be one finding, which counts them.
        let counted: u64 = view.findings.iter().map(|found| found.count).sum();
        assert_eq!(counted, 2, "{view:?}");
        assert!(found.iter().all(|id| ids.contains(id)), "{found:?}");
        drop(held);
    });
}

#[test]
fn a_walk_that_panics_is_told_and_the_next_one_finds_what_is_wrong() {
    let inspected = Inspected::new("trips");
    on_loop(|id| async move {
        create_task(std::future::poll_fn(|_| Poll::<()>::Pending)).detach();
        yield_now().await;
        let mut client = inspected.client().await;
        inspected.shared.desk().judge.trips = true;
        let wanted = || query(pb::Target::Findings, &format!("loop={id} finding=stranded"));
        let (view, _) = ask(&mut client, wanted()).await;
        let told = "1 looks for findings failed by a defect of the inspector";
        assert!(view.incomplete.contains(told), "{}", view.incomplete);
        let (view, _) = ask(&mut client, wanted()).await;
        let names: Vec<_> = view.findings.iter().map(|found| found.name()).collect();
        assert_eq!(names, [pb::FindingName::Stranded]);
        assert!(view.incomplete.contains(told), "{}", view.incomplete);
    });
}
