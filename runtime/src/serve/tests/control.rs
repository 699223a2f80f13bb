//! What viewers command: who may, what becomes of it, and that all of it is kept with who asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Waker;

use loop_proto::pb::command_request::Action;

use super::*;

async fn greeted(inspected: &Inspected, role: pb::Role) -> (Client, pb::HelloReply) {
    let mut client = inspected.client().await;
    let hello = pb::HelloRequest {
        role: role as i32,
        client: "a test".to_owned(),
        ..pb::HelloRequest::default()
    };
    let hello = client.hello(hello).await.unwrap().into_inner();
    (client, hello)
}

fn request(action: Action) -> pb::CommandRequest {
    pb::CommandRequest {
        serial: 9,
        action: Some(action),
    }
}

async fn command(client: &mut Client, action: Action) -> pb::CommandReply {
    let reply = client.command(request(action)).await.unwrap().into_inner();
    assert_eq!(reply.serial, 9);
    reply
}

fn cancel(task_id: u64) -> Action {
    Action::Cancel(pb::CancelTask { task_id })
}

fn nudge(task_id: u64) -> Action {
    Action::Nudge(pb::NudgeTask { task_id })
}

/// The commands that a viewer who comes now is told of.
async fn kept(inspected: &Inspected, count: usize) -> Vec<pb::Event> {
    let mut client = inspected.client().await;
    let request = pb::EventsRequest {
        kinds: vec![pb::EventKind::CommandDone as i32],
        backlog: true,
        ..pb::EventsRequest::default()
    };
    let mut batches = client.watch_events(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(batches.message().await.unwrap().unwrap().events);
    }
    events
}

#[test]
fn only_who_asked_for_control_may_command_and_who_tried_is_kept() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("asked");
    on_loop(|_| async move {
        let task = create_task(std::future::pending::<()>());
        let id = task.id().get();
        for role in [pb::Role::Unspecified, pb::Role::Observe] {
            let (mut looks, hello) = greeted(&inspected, role).await;
            assert_eq!(hello.role(), pb::Role::Observe);
            assert!(
                hello.role_reason.contains("--control"),
                "{}",
                hello.role_reason
            );
            let refused = looks.command(request(cancel(id))).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
            assert!(refused.message().contains("--control"), "{refused:?}");
        }
        assert!(!task.done());
        let (mut may, hello) = greeted(&inspected, pb::Role::Control).await;
        assert_eq!(
            (hello.role(), hello.role_reason.as_str()),
            (pb::Role::Control, "")
        );
        let reply = command(&mut may, cancel(id)).await;
        assert_eq!(reply.status(), pb::CommandStatus::Done, "{reply:?}");
        assert!(
            reply.did.starts_with(&format!("cancel task {id} ")),
            "{}",
            reply.did
        );
        assert!(reply.did.contains("control.rs:"), "{}", reply.did);
        assert!(task.await.is_err());
        drop(may);
        let events = kept(&inspected, 3).await;
        let statuses: Vec<_> = events.iter().map(pb::Event::status).collect();
        use pb::CommandStatus::{Done, Refused};
        assert_eq!(statuses, [Refused, Refused, Done]);
        for event in &events {
            assert_eq!(
                (event.task_id, event.by_id, event.command.as_str()),
                (id, 9, "cancel")
            );
            let viewer = event.viewer.as_ref().expect("who asked");
            assert_eq!(viewer.client, "a test");
            assert_eq!(viewer.uid, Some(super::super::auth::own_uid()));
            #[cfg(target_os = "linux")]
            assert_eq!(viewer.pid, Some(std::process::id()));
            assert_eq!(viewer.address, "unix");
        }
    });
}

#[test]
fn what_cannot_be_done_is_refused_in_a_sentence() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("refused");
    on_loop(|id| async move {
        let (mut client, _) = greeted(&inspected, pb::Role::Control).await;
        let ended = create_task(async { 5 });
        let ended_id = ended.id().get();
        ended.await.unwrap();
        let internal = crate::Task::<()>::builder().internal();
        let internal = internal.spawn(std::future::pending::<()>());
        let callback = crate::get_running_loop()
            .unwrap()
            .call_later(Duration::from_secs(60), || {});
        let budget = |block_ns, loop_id| Action::SetBudget(pb::SetBudget { loop_id, block_ns });
        let record = |what: &str, on| {
            let what = what.to_owned();
            Action::SetRecorded(pb::SetRecorded { what, on })
        };
        for (action, words) in [
            (cancel(u64::MAX), "there is no task 18446744073709551615"),
            (nudge(ended_id), "has ended: it returned"),
            (cancel(internal.id().get()), "takes no commands"),
            (budget(0, None), "would make every poll a block"),
            (budget(1_000, None), "a budget is between 100"),
            (budget(u64::MAX, None), "a budget is between 100"),
            (
                budget(5_000_000, Some(1 << 40)),
                "there is no loop 1099511627776",
            ),
            (record("everything", true), "what can be turned: polls"),
            (record("spawn-stacks/0", true), "takes one spawn of N"),
            (record("spawn-stacks/many", true), "takes one spawn of N"),
            (record("tasks", false), "tasks cannot be turned off"),
        ] {
            let reply = command(&mut client, action.clone()).await;
            assert_eq!(
                reply.status(),
                pb::CommandStatus::Refused,
                "{action:?}: {reply:?}"
            );
            assert!(reply.reason.contains(words), "{action:?}: {}", reply.reason);
        }
        callback.cancel();
        let reply = command(&mut client, budget(5_000_000, Some(id.into()))).await;
        assert_eq!(reply.status(), pb::CommandStatus::Done);
        assert_eq!((reply.loops, reply.before_ns), (1, Some(100_000_000)));
        assert!(reply.did.contains("5ms"), "{}", reply.did);
    });
}

/// Ready as soon as it is polled after `come` was set. Keeps no waker unless it is told to.
async fn visitor(come: Rc<Cell<bool>>, keeps: Option<Rc<RefCell<Option<Waker>>>>) {
    std::future::poll_fn(|cx| {
        if let Some(keeps) = &keeps {
            *keeps.borrow_mut() = Some(cx.waker().clone());
        }
        if come.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[test]
fn a_nudge_tells_a_lost_wake_from_a_task_that_waits_for_good_reason() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("nudge");
    on_loop(|_| async move {
        let (mut client, _) = greeted(&inspected, pb::Role::Control).await;
        let come = Rc::new(Cell::new(false));
        let ends = create_task(visitor(come.clone(), Some(Rc::default())));
        let goes_on = create_task({
            let come = come.clone();
            async move {
                visitor(come, None).await;
                sleep(Duration::from_secs(60)).await;
            }
        });
        let (promise, future) = create_future::<()>();
        let waits = create_task(async move {
            let _ = future.await;
        });
        yield_now().await;
        let unknown = command(&mut client, nudge(goes_on.id().get())).await;
        let unknown = unknown.nudged.expect("it was nudged");
        assert_eq!(unknown.verdict(), pb::NudgeVerdict::WaitsOn, "{unknown:?}");
        assert!(unknown.says.contains("not known"), "{}", unknown.says);
        // The thing is there from now on, and nobody is told.
        come.set(true);
        for (task, verdict, words) in [
            (ends.id(), pb::NudgeVerdict::Ended, "A wake was lost"),
            (goes_on.id(), pb::NudgeVerdict::WentOn, "A wake was lost"),
            (waits.id(), pb::NudgeVerdict::WaitsOn, "no wake was lost"),
        ] {
            let reply = command(&mut client, nudge(task.get())).await;
            assert_eq!(reply.status(), pb::CommandStatus::Done, "{reply:?}");
            let nudged = reply.nudged.expect("it was nudged");
            assert_eq!(nudged.verdict(), verdict, "{nudged:?}");
            assert!(nudged.says.contains(words), "{}", nudged.says);
            assert_eq!(nudged.polls_after, nudged.polls_before + 1, "{nudged:?}");
        }
        ends.await.unwrap();
        let request = pb::TaskRequest {
            id: waits.id().get(),
            ..pb::TaskRequest::default()
        };
        let detail = client.task(request).await.unwrap().into_inner();
        let wake = detail.task.unwrap().last_wake.expect("it was woken");
        assert_eq!(wake.cause(), pb::WakeCause::Nudge);
        drop((goes_on, promise));
    });
}

#[test]
fn a_command_to_a_blocked_loop_is_queued_and_told_again_when_it_was_done() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("queued");
    let (tell, told) = mpsc::channel();
    let (let_go, held) = mpsc::channel::<()>();
    let blocked = std::thread::spawn(move || {
        on_loop(|_| async move {
            let victim = create_task(std::future::pending::<()>());
            yield_now().await;
            tell.send(victim.id().get()).unwrap();
            held.recv().unwrap();
            assert!(victim.await.is_err());
        });
    });
    let victim = told.recv().unwrap();
    on_loop(|_| async move {
        let (mut client, _) = greeted(&inspected, pb::Role::Control).await;
        let reply = command(&mut client, cancel(victim)).await;
        assert_eq!(reply.status(), pb::CommandStatus::Queued, "{reply:?}");
        assert!(
            reply.busy_ns.is_some_and(|busy| busy >= 200_000_000),
            "{reply:?}"
        );
        assert!(
            reply.reason.contains("busy with one thing"),
            "{}",
            reply.reason
        );
        let_go.send(()).unwrap();
        let events = kept_of(&inspected, victim).await;
        assert_eq!(events[0].status(), pb::CommandStatus::Queued);
        assert_eq!(events[1].status(), pb::CommandStatus::Done);
        assert!(
            events[1]
                .duration_ns
                .is_some_and(|took| took >= 200_000_000)
        );
        assert_eq!(events[0].viewer, events[1].viewer);
    });
    blocked.join().unwrap();
}

/// What is kept of a queued command, once it was carried out.
async fn kept_of(inspected: &Inspected, task: u64) -> Vec<pb::Event> {
    let mut client = inspected.client().await;
    let request = pb::EventsRequest {
        kinds: vec![pb::EventKind::CommandDone as i32],
        filter: String::new(),
        backlog: true,
        internal: false,
    };
    let mut batches = client.watch_events(request).await.unwrap().into_inner();
    let mut events: Vec<pb::Event> = Vec::new();
    while events.len() < 2 {
        let batch = batches.message().await.unwrap().unwrap();
        events.extend(
            batch
                .events
                .into_iter()
                .filter(|event| event.task_id == task),
        );
    }
    events
}

#[test]
fn polls_are_kept_for_who_comes_later_while_they_are_turned_on() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("polls");
    on_loop(|_| async move {
        let (mut client, hello) = greeted(&inspected, pb::Role::Control).await;
        let polls = |hello: &pb::HelloReply| {
            let mut all = hello.recorded.iter();
            all.find(|recorded| recorded.what == "polls").unwrap().on
        };
        assert!(!polls(&hello));
        let turn = |on| {
            let what = "polls".to_owned();
            Action::SetRecorded(pb::SetRecorded { what, on })
        };
        let reply = command(&mut client, turn(true)).await;
        assert_eq!(
            (reply.status(), reply.did.as_str()),
            (pb::CommandStatus::Done, "record polls on")
        );
        let (_, hello) = greeted(&inspected, pb::Role::Observe).await;
        assert!(polls(&hello));
        let task = create_task(async {
            for _ in 0..5 {
                yield_now().await;
            }
        });
        let id = task.id().get();
        task.await.unwrap();
        let request = pb::EventsRequest {
            kinds: vec![pb::EventKind::TaskPolled as i32],
            backlog: true,
            ..pb::EventsRequest::default()
        };
        let mut seen = 0;
        // Whoever comes after they were taken from the ring finds them.
        while seen < 6 {
            let mut late = inspected.client().await;
            let mut batches = late
                .watch_events(request.clone())
                .await
                .unwrap()
                .into_inner();
            let batch = batches.message().await.unwrap().unwrap();
            let of_task = batch.events.iter().filter(|event| event.task_id == id);
            seen = seen.max(of_task.count());
        }
        assert_eq!(seen, 6);
        command(&mut client, turn(false)).await;
        let (_, hello) = greeted(&inspected, pb::Role::Observe).await;
        assert!(!polls(&hello));
    });
}

#[test]
fn viewers_are_listed_with_who_they_are_and_their_coming_and_going_is_told() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("viewers");
    on_loop(|_| async move {
        let (mut stays, _) = greeted(&inspected, pb::Role::Control).await;
        let (goes, _) = greeted(&inspected, pb::Role::Observe).await;
        let (cost, _) = ask(&mut stays, query(pb::Target::Cost, "")).await;
        let cost = cost.cost.unwrap();
        let controls: Vec<_> = cost.attached.iter().map(|viewer| viewer.controls).collect();
        assert_eq!(controls, [true, false]);
        assert!(
            cost.row_bytes >= 128 && cost.histogram_bytes > 0,
            "{cost:?}"
        );
        assert!(cost.recorder_bytes >= cost.histogram_bytes + cost.ring_bytes + cost.text_bytes);
        let gone = cost.attached[1].number;
        drop(goes);
        let request = pb::EventsRequest {
            kinds: vec![
                pb::EventKind::ViewerAttached as i32,
                pb::EventKind::ViewerDetached as i32,
            ],
            backlog: true,
            ..pb::EventsRequest::default()
        };
        let mut batches = stays.watch_events(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while !events.contains(&(pb::EventKind::ViewerDetached, gone)) {
            let batch = batches.message().await.unwrap().unwrap();
            let told = batch.events.iter();
            events.extend(told.map(|event| (event.kind(), event.viewer.as_ref().unwrap().number)));
        }
        assert_eq!(events[0].0, pb::EventKind::ViewerAttached);
        assert!(events.contains(&(pb::EventKind::ViewerAttached, gone)));
    });
}
