//! A file that grows is followed, one that goes away ends, and whatever its bytes are a report of it can be printed or refused.

use loop_proto::fixture::{AT_NS, RECORDED, recording, ring_event, shop};
use loop_proto::pb::EventKind;
use loop_proto::recording::Head;
use proptest::prelude::*;

use super::*;
use crate::report::facts::Facts;
use crate::report::text;
use crate::transport::on_loop;
use crate::transport::session::Session;

/// A file of the test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("lc-recording-{name}-{}.rec", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    /// The shop as this process would leave it, had it spawned `tasks` after the snapshot.
    fn write(&self, tasks: u64) {
        let events: Vec<_> = (0..tasks)
            .map(|nth| ring_event(EventKind::TaskSpawned, AT_NS + 1 + nth, 0, 900_000 + nth, 0))
            .collect();
        let proc = Path::new("/proc");
        let mut shop = shop();
        shop.hello.pid = std::process::id();
        let head = Head {
            start: stands::start_of(proc, std::process::id()).expect("on Linux"),
            ..Head::default()
        };
        let bytes = recording(&shop, &head, &RECORDED, &events, tasks);
        std::fs::write(&self.0, bytes).expect("a file");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn places() -> Places {
    Places {
        directories: Vec::new(),
        proc: Some(PathBuf::from("/proc")),
        everywhere: false,
        uid: 0,
    }
}

#[test]
fn the_file_of_a_process_that_runs_is_followed_until_it_goes() {
    let scratch = Scratch::new("follow");
    scratch.write(2);
    let mut source = Source::read(&scratch.0, &places(), None).expect("it is whole");
    source.every = Duration::from_millis(1);
    let source = Arc::new(source);
    let about = source.about();
    assert_eq!((&about.stands, about.following), (&Stands::Runs, true));
    assert_eq!(about.since.spawned, 2);
    let done = on_loop(async move {
        let session = Session::of(source.clone());
        let query = pb::Query {
            slot: 1,
            target: pb::Target::Loops as i32,
            interval_ms: 1_000,
            ..pb::Query::default()
        };
        let (asks, mut views) = session.watch_with([query]).await.expect("no stream");
        let first = views
            .message()
            .await
            .expect("no stream")
            .expect("an answer");
        assert_eq!(first.loops.len(), 4);
        let request = pb::EventsRequest {
            kinds: vec![EventKind::TaskSpawned as i32],
            ..pb::EventsRequest::default()
        };
        let mut events = session.events(request, None).await.expect("no filter");
        let begun = events.message().await.expect("no stream").expect("a batch");
        assert!(begun.events.is_empty(), "nothing of what was before");

        scratch.write(5);
        let turn = source.after(0).await.expect("it grew");
        assert_eq!(source.about().since.spawned, 5);
        // What is asked again and again is answered anew; new events come, and no other.
        assert!(views.message().await.expect("no stream").is_some());
        let batch = events.message().await.expect("no stream").expect("a batch");
        let ids: Vec<u64> = batch.events.iter().map(|event| event.task_id).collect();
        assert_eq!(ids, [900_002, 900_003, 900_004]);

        drop(scratch);
        let gone = source.after(turn).await.expect("it went");
        let about = source.about();
        assert_eq!((&about.stands, about.following), (&Stands::Ended, false));
        assert_eq!(source.after(gone).await, None, "nothing changes any more");
        assert!(events.message().await.expect("no stream").is_none());
        drop(asks);
        while views.message().await.expect("no stream").is_some() {}
    });
    done.expect("a loop");
}

#[test]
fn a_stopped_process_is_said_to_be_stopped_and_a_killed_one_to_be_gone() {
    let mut child = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("sleep");
    let pid = child.id();
    let scratch = Scratch::new("stopped");
    let mut shop = shop();
    shop.hello.pid = pid;
    let head = Head {
        start: stands::start_of(Path::new("/proc"), pid).expect("on Linux"),
        ..Head::default()
    };
    std::fs::write(&scratch.0, recording(&shop, &head, &RECORDED, &[], 0)).expect("a file");
    let stands = || {
        Source::open(&scratch.0, &places(), None)
            .expect("it is whole")
            .about()
            .stands
    };
    let of_child = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(of_child, rustix::process::Signal::STOP).expect("it is ours");
    // The signal is delivered by the time that the state says so.
    while stands() == Stands::Runs {
        std::thread::yield_now();
    }
    assert_eq!(stands(), Stands::Stopped);
    rustix::process::kill_process(of_child, rustix::process::Signal::KILL).expect("it is ours");
    // On its way out it runs once more.
    while matches!(stands(), Stands::Stopped | Stands::Runs) {
        std::thread::yield_now();
    }
    assert_eq!(stands(), Stands::Zombie, "nobody has waited for it");
    child.wait().expect("it is ours");
    assert_eq!(stands(), Stands::Gone);
}

/// The bytes of a whole file, made once.
fn whole() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let event = ring_event(EventKind::TaskFinished, AT_NS + 5, 1, shop().tasks[0].id, 0);
        recording(&shop(), &Head::default(), &RECORDED, &[event], 70)
    })
}

/// Opens the bytes and prints all there is to say of them; the sentence, if they are refused.
fn printed(name: &str, bytes: &[u8]) -> Result<String, String> {
    let scratch = Scratch::new(name);
    std::fs::write(&scratch.0, bytes).expect("a file");
    let source = Source::open(&scratch.0, &places(), None).map_err(|failure| failure.what)?;
    let facts = on_loop(async move { Facts::ask(&Session::of(source)).await });
    let facts = facts.expect("a loop").expect("a recording answers");
    Ok(text::report(&facts, 0, true))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_in_a_file_a_report_is_printed_or_a_sentence_says_why_not(
        at in 0..whole().len(), byte in any::<u8>(), cut in prop::option::of(0..whole().len()),
    ) {
        let mut bytes = whole().to_vec();
        bytes[at] = byte;
        bytes.truncate(cut.unwrap_or(bytes.len()));
        match printed("changed", &bytes) {
            Ok(page) => prop_assert!(page.contains("What is not known, and why"), "{page}"),
            Err(why) => prop_assert!(why.contains("cannot be opened: it"), "{why}"),
        }
    }

    #[test]
    fn a_file_of_any_bytes_is_refused_in_one_sentence(bytes in prop::collection::vec(any::<u8>(), 0..6_000)) {
        let why = printed("any", &bytes).expect_err("no chance makes a recording");
        prop_assert!(why.contains("cannot be opened: it") && why.lines().count() == 1, "{why}");
    }
}
