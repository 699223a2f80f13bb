//! Dumps of the flight recorder: what causes one, what is in it, and what becomes of it.

use std::sync::{MutexGuard, PoisonError};

use loop_proto::recording::{Kind, Recording};

use super::calls::READS_EVENTS;
use super::*;
use crate::inspect::flight::Wish;

/// A log that wants dumps in a directory of the test, and what keeps other tests from the rings
/// meanwhile, which have one reader.
fn wanting(name: &str) -> (Arc<Log>, PathBuf, MutexGuard<'static, ()>) {
    let alone = READS_EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = std::env::temp_dir().join(format!("in-dump-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let mut wish = Wish::default();
    wish.want_in(directory.clone());
    (Arc::new(Log::new(wish)), directory, alone)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn read(path: &Path) -> Recording {
    let recording = Recording::read(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(recording.head.kind, Kind::Dump);
    assert_eq!(recording.head.pid, std::process::id());
    assert_eq!(recording.doubts, Vec::<String>::new());
    recording
}

async fn controlling(inspected: &Inspected) -> Client {
    let mut client = inspected.client().await;
    let hello = pb::HelloRequest {
        role: pb::Role::Control as i32,
        ..pb::HelloRequest::default()
    };
    client.hello(hello).await.unwrap();
    client
}

async fn dump(client: &mut Client, reason: &str) -> pb::CommandReply {
    let request = pb::CommandRequest {
        serial: 1,
        action: Some(pb::command_request::Action::Dump(pb::Dump {
            reason: reason.to_owned(),
        })),
    };
    client.command(request).await.unwrap().into_inner()
}

#[test]
fn a_viewer_asks_for_a_dump_and_finds_in_it_what_it_would_see() {
    let (log, directory, _alone) = wanting("asked");
    let inspected = Inspected::with_dumps("asked", log);
    on_loop(|id| async move {
        let waits = crate::Task::<()>::builder()
            .name("waits")
            .spawn(sleep(Duration::from_secs(60)));
        yield_now().await;
        let mut client = controlling(&inspected).await;
        let reply = dump(&mut client, "it is slow today").await;
        assert_eq!(reply.status(), pb::CommandStatus::Done, "{}", reply.reason);
        assert_eq!(files(&directory), [PathBuf::from(&reply.path)]);
        let recording = read(Path::new(&reply.path));
        assert_eq!(recording.head.name, "shop");
        assert_eq!(recording.head.reason, "asked: it is slow today");
        let snapshot = recording.snapshot.expect("it has one");
        assert_eq!(snapshot.hello.unwrap().app_name, "shop");
        let tasks = snapshot.views.iter().flat_map(|view| &view.tasks);
        let found = tasks.filter(|task| task.id == waits.id().get()).count();
        assert_eq!(found, 1);
        let loops = snapshot.views.iter().flat_map(|view| &view.loops);
        assert!(loops.into_iter().any(|row| row.id == u64::from(id)));
        // It is told to whoever looks at the hour or at the cost.
        let (hour, _) = ask(&mut client, query(pb::Target::Hour, "")).await;
        let told = &hour.hour.unwrap().dumps;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].path.as_str(), told[0].cause.as_str()),
            (&*reply.path, "asked")
        );
        let (cost, _) = ask(&mut client, query(pb::Target::Cost, "")).await;
        let cost = cost.cost.unwrap().dumps.expect("dumps are wanted");
        assert_eq!(
            (cost.written, cost.failed, cost.trouble.as_str()),
            (1, 0, "")
        );
        // A second one within the second is not written, and is told so.
        let again = dump(&mut client, "").await;
        assert_eq!(again.status(), pb::CommandStatus::Refused);
        assert!(again.reason.contains("ask again"), "{}", again.reason);
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

#[test]
fn of_more_tasks_than_a_dump_has_room_for_each_is_told_once_and_the_others_are_counted() {
    let (log, directory, _alone) = wanting("crowd");
    let inspected = Inspected::with_dumps("crowd", log);
    on_loop(|_| async move {
        let sleepers = 10_500;
        let pause = Duration::from_secs(60);
        let all: Vec<_> = (0..sleepers).map(|_| create_task(sleep(pause))).collect();
        yield_now().await;
        let mut client = controlling(&inspected).await;
        let reply = dump(&mut client, "").await;
        assert_eq!(reply.status(), pb::CommandStatus::Done, "{}", reply.reason);
        let recording = Recording::read(&std::fs::read(&reply.path).unwrap()).unwrap();
        let snapshot = recording.snapshot.expect("it has one");
        let mut views = snapshot.views.iter();
        let view = views.find(|view| view.slot == pb::Target::Tasks as u32);
        let view = view.expect("there are tasks");
        let ids: std::collections::HashSet<u64> = view.tasks.iter().map(|task| task.id).collect();
        assert_eq!(ids.len(), view.tasks.len(), "one is told twice");
        assert!((4_000..=10_000).contains(&ids.len()), "{}", ids.len());
        // The last two thousand are among them, whatever else.
        assert!(
            all[sleepers - 100..]
                .iter()
                .all(|task| ids.contains(&task.id().get()))
        );
        assert!(view.matched >= sleepers as u64);
        let left_out = view.matched - ids.len() as u64;
        assert!(snapshot.head.left_out >= left_out, "{:?}", snapshot.head);
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

#[test]
fn a_dump_that_cannot_be_written_is_a_sentence_and_the_app_goes_on() {
    let _alone = READS_EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wish = Wish::default();
    wish.want_in("/dev/full/dumps".into());
    let inspected = Inspected::with_dumps("full", Arc::new(Log::new(wish)));
    on_loop(|_| async move {
        let mut client = controlling(&inspected).await;
        let reply = dump(&mut client, "").await;
        assert_eq!(reply.status(), pb::CommandStatus::Refused);
        assert!(
            reply.reason.contains("/dev/full/dumps: "),
            "{}",
            reply.reason
        );
        let (cost, _) = ask(&mut client, query(pb::Target::Cost, "")).await;
        let cost = cost.cost.unwrap().dumps.expect("dumps are wanted");
        assert_eq!((cost.written, cost.failed), (0, 1));
        assert!(
            cost.trouble.contains("/dev/full/dumps: "),
            "{}",
            cost.trouble
        );
    });
}

#[test]
fn a_leak_is_dumped_when_it_is_found_and_says_where_its_file_is() {
    let (log, directory, _alone) = wanting("leak");
    let inspected = Inspected::with_dumps("leak", log.clone());
    on_loop(|id| async move {
        let mut client = inspected.client().await;
        create_task(std::future::poll_fn(|_| Poll::<()>::Pending)).detach();
        yield_now().await;
        let wanted = query(pb::Target::Findings, &format!("loop={id}"));
        let (view, _) = ask(&mut client, wanted).await;
        assert_eq!(view.findings.len(), 1);
        // Other tests of this process leak as well: one of all these findings was written.
        while log.is_busy() {
            yield_now().await;
        }
        let (hour, _) = ask(&mut client, query(pb::Target::Hour, "")).await;
        let told = hour.hour.unwrap().dumps;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(matches!(told[0].cause.as_str(), "leak" | "deadlock"));
        let of = |past: &&pb::PastFinding| {
            past.finding
                .as_ref()
                .is_some_and(|finding| finding.id == told[0].subject_id)
        };
        let past = hour.past_findings.iter().find(of).expect("what caused it");
        assert_eq!(past.dump, told[0].path);
        let recording = read(Path::new(&past.dump));
        // What happened before: this finding was made. (Rings are supplied to apps, not to tests.)
        let events = recording
            .snapshot
            .iter()
            .flat_map(|snapshot| &snapshot.events);
        let events: Vec<_> = events.flat_map(|batch| &batch.events).collect();
        let made = events.iter().filter_map(|event| event.finding.as_ref());
        assert!(
            made.into_iter()
                .any(|finding| finding.id == told[0].subject_id)
        );
        assert!(
            recording.head.reason.contains(" at "),
            "{}",
            recording.head.reason
        );
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

#[test]
fn nothing_is_dumped_that_nobody_asked_for() {
    let log: Arc<Log> = Arc::default();
    let inspected = Inspected::with_dumps("unasked", log.clone());
    on_loop(|id| async move {
        create_task(std::future::poll_fn(|_| Poll::<()>::Pending)).detach();
        yield_now().await;
        let mut client = inspected.client().await;
        let wanted = query(pb::Target::Findings, &format!("loop={id}"));
        assert_eq!(ask(&mut client, wanted).await.0.findings.len(), 1);
        assert!(!log.is_busy());
        let (cost, _) = ask(&mut client, query(pb::Target::Cost, "")).await;
        assert_eq!(cost.cost.unwrap().dumps, None);
    });
}

#[test]
fn a_task_that_panics_is_told_to_the_recorder_at_once() {
    let (log, directory, _alone) = wanting("panic");
    let _inspected = Inspected::with_dumps("panic", log.clone());
    on_loop(|_| async move {
        let panics = create_task(async { panic!("no such ticket") });
        assert!(panics.await.is_err());
        let by_panic = |log: &Log| {
            let files = log.files().into_iter();
            files
                .filter(|file| file.cause == "panic")
                .collect::<Vec<_>>()
        };
        while by_panic(&log).is_empty() {
            yield_now().await;
        }
        // Other tests of this process have tasks that panic, and one of all was written.
        let told = by_panic(&log);
        assert!(told[0].detail.starts_with("task "), "{told:?}");
        let recording = read(Path::new(&told[0].path));
        assert!(recording.head.reason.starts_with("panic: task "));
        std::fs::remove_dir_all(&directory).unwrap();
    });
}
