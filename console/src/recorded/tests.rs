//! A recording of the made-up shop answers as the shop does, tells what came after its snapshot, says what it does not have, and
//! no bytes make it panic.

use loop_proto::fixture::{
    AT_NS, RECORDED as ALL, Shop, Viewer, recording, ring_event as event, shop,
};
use loop_proto::pb::{self, EventKind, Target};
use loop_proto::recording::{Head, Moment, Recording, Writer, compose, ring_bytes};
use proptest::prelude::*;

use super::Answers;

const MS: u64 = 1_000_000;

fn file(shop: &Shop, targets: &[Target], events: &[[u64; 4]], tail: u64) -> Vec<u8> {
    recording(shop, &Head::default(), targets, events, tail)
}

fn answers(bytes: &[u8]) -> Answers {
    Answers::of(Recording::read(bytes).expect("a recording"))
}

fn query(target: Target, filter: &str, sort: &str) -> pb::Query {
    pb::Query {
        slot: 1,
        serial: 1,
        target: target as i32,
        filter: filter.to_owned(),
        sort: sort.to_owned(),
        limit: 20,
        ..pb::Query::default()
    }
}

#[test]
fn every_question_is_answered_as_the_app_would_have_answered_it() {
    let shop = shop();
    let answers = answers(&file(&shop, &ALL, &[], 0));
    let mut live = Viewer::new(shop.clone());
    for target in ALL {
        for (filter, sort) in [("", ""), ("id>5", "-id")] {
            let query = query(target, filter, sort);
            let (mut from_app, mut from_file) = (live.answer(&query), answers.answer(&query, 1));
            // A stream sends texts once, a recording each time; answers are counted by each.
            (from_app.answer, from_file.answer) = (1, 1);
            (from_app.interned, from_file.interned) = (Vec::new(), Vec::new());
            assert_eq!(from_app, from_file, "{target:?} {filter:?}");
        }
    }
    let wrong = answers.answer(&query(Target::Tasks, "sate=wait", ""), 1);
    assert_eq!(wrong.error.expect("it is wrong").part, "filter");
}

#[test]
fn what_was_not_written_is_said_to_be_unknown_and_not_shown_as_nothing() {
    let shop = shop();
    let answers = answers(&file(&shop, &[Target::Overview], &[], 0));
    let jobs = answers.answer(&query(Target::Jobs, "", ""), 1);
    let error = jobs.error.expect("no jobs were written");
    assert_eq!(error.part, super::NOT_HELD);
    assert_eq!(error.message, "the recording does not hold jobs");
    assert!(
        answers
            .answer(&query(Target::Overview, "", ""), 1)
            .overview
            .is_some()
    );
}

#[test]
fn a_table_that_was_cut_says_how_many_rows_there_were() {
    let shop = shop();
    let mut viewer = Viewer::new(shop.clone());
    let few = pb::Query {
        slot: Target::Tasks as u32,
        target: Target::Tasks as i32,
        limit: 7,
        sort: "-id".to_owned(),
        ..pb::Query::default()
    };
    let at = Moment {
        mono_ns: shop.at_ns,
        ..Moment::default()
    };
    let mut writer = Writer::new(1 << 20);
    writer.hello(&shop.hello);
    // The same rows may be in two parts, by two orders: each is one row.
    writer.view(viewer.answer(&few));
    let other = pb::Query {
        sort: "-for".to_owned(),
        ..few
    };
    writer.view(viewer.answer(&other));
    let bytes = compose(
        &Head {
            clock: at,
            ..Head::default()
        },
        &[],
        &writer.finish(1, &at),
    );
    let view = answers(&bytes).answer(&query(Target::Tasks, "", "id"), 1);
    let mut ids: Vec<u64> = view.tasks.iter().map(|task| task.id).collect();
    ids.dedup();
    assert!(ids.len() > 7 && ids.len() == view.tasks.len() && ids.is_sorted());
    let said = format!(
        "the recording holds {} of {} tasks",
        ids.len(),
        shop.tasks.len()
    );
    assert_eq!(view.incomplete, said);
}

#[test]
fn the_hour_is_told_once_though_a_snapshot_has_it_twice() {
    let shop = shop();
    let once = answers(&file(&shop, &[Target::Hour], &[], 1));
    let twice = answers(&file(&shop, &[Target::Hour, Target::Hour], &[], 1));
    let hour = |answers: &Answers| answers.answer(&query(Target::Hour, "", ""), 1);
    let (once, twice) = (hour(&once), hour(&twice));
    assert!(once.past_findings.len() > 1 && !once.series.is_empty());
    assert_eq!(once.past_findings, twice.past_findings);
    assert_eq!((once.series, once.blocks), (twice.series, twice.blocks));
}

#[test]
fn a_task_that_ended_after_the_snapshot_is_shown_as_ended_and_a_spawn_is_only_counted() {
    let shop = shop();
    let task = shop
        .tasks
        .iter()
        .find(|task| task.loop_id == 2)
        .expect("one")
        .id;
    let events = [
        event(EventKind::TaskFinished, AT_NS - MS, 1, task + 1, 0),
        event(EventKind::TaskSpawned, AT_NS + MS, 0, 900_001, 0),
        event(EventKind::TaskFinished, AT_NS + 2 * MS, 4, task, 0),
    ];
    let answers = answers(&file(&shop, &ALL, &events, 3));
    assert_eq!(
        (
            answers.since.spawned,
            answers.since.ended,
            answers.since.events
        ),
        (1, 1, 2)
    );
    assert_eq!(answers.last_event_ns(), Some(AT_NS + 2 * MS));
    let view = answers.answer(&query(Target::Tasks, &format!("id={task},900001"), ""), 1);
    let [row] = view.tasks.as_slice() else {
        panic!("{:?}", view.tasks)
    };
    assert_eq!(
        (row.state(), row.outcome()),
        (pb::TaskState::Done, pb::Outcome::Cancelled)
    );
    assert_eq!(row.ended_at_ns, Some(AT_NS + 2 * MS));
    let page = answers.task(task).expect("its page");
    assert!(page.task.is_some_and(|row| row.ended_at_ns.is_some()) && page.awaits.is_empty());
    // Of what was before the snapshot its tables know better.
    let before = answers.answer(&query(Target::Tasks, &format!("id={}", task + 1), ""), 1);
    assert!(before.tasks.iter().all(|row| row.ended_at_ns.is_none()));
}

#[test]
fn a_block_that_the_snapshot_saw_ends_when_its_loop_says_so() {
    let shop = loop_proto::fixture::blocked_shop();
    let began = shop.blocks[0].started_at_ns;
    let over = AT_NS + 40 * MS;
    let events = [event(
        EventKind::LoopUnblocked,
        began,
        0,
        1093,
        over - began,
    )];
    let answers = answers(&file(&shop, &ALL, &events, 1));
    assert_eq!(answers.since.blocks, 1);
    let blocks = answers.answer(&query(Target::Blocks, "", ""), 1).blocks;
    assert_eq!(blocks[0].ended_at_ns, Some(over));
    assert_eq!(blocks[0].wall_ns, over - began);
    let loops = answers.answer(&query(Target::Loops, "id=2", ""), 1).loops;
    assert!(loops[0].blocked.is_none());
    // One that ended says nothing of another poll of the same loop.
    let events = [event(EventKind::LoopUnblocked, AT_NS + MS, 0, 7, MS)];
    let answers = self::answers(&file(&shop, &ALL, &events, 1));
    let blocks = answers.answer(&query(Target::Blocks, "", ""), 1).blocks;
    assert_eq!(blocks[0].ended_at_ns, None);
}

/// All events of a stream, and what it said was lost.
fn told(
    answers: &Answers,
    request: &pb::EventsRequest,
    newest: Option<usize>,
) -> (Vec<pb::Event>, u64) {
    let mut stream = answers.events(request, newest).expect("no filter is wrong");
    let (mut all, mut lost) = (Vec::new(), 0);
    let mut until = 0;
    while let Some(batch) = answers.next_batch(&mut stream) {
        assert_eq!(until, 0, "only the last batch says that it is");
        all.extend(batch.events);
        assert_eq!(batch.delivered, all.len() as u64);
        lost = batch
            .lost
            .iter()
            .map(|lost| lost.count)
            .sum::<u64>()
            .max(lost);
        until = batch.until_ns;
    }
    assert!(until >= answers.last_event_ns().unwrap_or(0));
    (all, lost)
}

#[test]
fn events_come_in_order_with_names_and_places_and_with_what_is_lost() {
    let shop = shop();
    let task = shop.tasks[3].id;
    let mut events = vec![event(EventKind::TaskFinished, AT_NS + 9_000, 1, task, 0)];
    events.extend((0..2_500).map(|n| event(EventKind::TaskPolled, AT_NS + 10_000 + n, 0, task, 5)));
    let answers = answers(&file(&shop, &ALL, &events, 4_000));
    let request = pb::EventsRequest {
        backlog: true,
        ..pb::EventsRequest::default()
    };
    // Polls are told to those who ask for them by name.
    let (usual, lost) = told(&answers, &request, None);
    let often = [EventKind::TaskPolled, EventKind::TaskWoken];
    let own = shop.events.iter();
    let own = own.filter(|event| !often.contains(&event.kind())).count();
    assert_eq!(usual.len(), own + 1);
    assert_eq!(lost, 4_000 - 2_501);
    assert!(usual.is_sorted_by_key(|event| event.at_ns));
    assert!(
        usual
            .last()
            .is_some_and(|event| event.name == shop.tasks[3].name)
    );
    let polls = pb::EventsRequest {
        kinds: vec![EventKind::TaskPolled as i32],
        ..request.clone()
    };
    assert_eq!(
        told(&answers, &polls, None).0.len(),
        2_500
            + shop
                .events
                .iter()
                .filter(|event| event.kind() == EventKind::TaskPolled)
                .count()
    );
    assert_eq!(told(&answers, &polls, Some(40)).0.len(), 40);
    let wrong = pb::EventsRequest {
        filter: "nonsense=1".to_owned(),
        ..request
    };
    assert!(answers.events(&wrong, None).is_err());
}

#[test]
fn a_stream_goes_on_where_it_was_when_the_file_is_read_again() {
    let shop = shop();
    let spawn = |n: u64| event(EventKind::TaskSpawned, AT_NS + n, 0, 500 + n, 0);
    let events: Vec<_> = (0..40).map(spawn).collect();
    let first = answers(&file(&shop, &ALL, &events[..10], 10));
    let request = pb::EventsRequest {
        backlog: true,
        kinds: vec![EventKind::TaskSpawned as i32],
        ..pb::EventsRequest::default()
    };
    let mut stream = first.events(&request, None).expect("no filter");
    let batch = first.next_batch(&mut stream).expect("the first ten");
    let before = batch.events.len();
    assert!(first.next_batch(&mut stream).is_none());
    // Meanwhile 30 came, of which the ring holds the last 20.
    let second = answers(&file(&shop, &ALL, &events[20..], 40));
    assert_ne!(first.mark, second.mark);
    second.go_on(&mut stream, &first);
    let batch = second.next_batch(&mut stream).expect("what is new");
    let ids: Vec<u64> = batch.events.iter().map(|event| event.task_id).collect();
    assert_eq!(ids, (520..540).collect::<Vec<u64>>());
    assert_eq!(batch.lost.iter().map(|lost| lost.count).sum::<u64>(), 20);
    assert_eq!(batch.delivered, before as u64 + 20);
    assert!(second.next_batch(&mut stream).is_none());
}

#[test]
fn a_task_without_a_page_of_its_own_has_what_rows_tell_and_says_that_this_is_all() {
    let shop = shop();
    let answers = answers(&file(&shop, &ALL, &[], 0));
    let live = Viewer::new(shop.clone());
    for task in &shop.tasks {
        let request = pb::TaskRequest {
            id: task.id,
            ..pb::TaskRequest::default()
        };
        let (app, own) = (live.task(&request).unwrap(), answers.task(task.id).unwrap());
        assert_eq!(app.task, own.task);
        // Rows are told in the order in which they lie.
        let ids = |rows: &[pb::TaskRow]| {
            let mut ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(app.parents, own.parents);
        assert_eq!(ids(&app.children), ids(&own.children));
        assert_eq!(app.timers.len(), own.timers.len());
        assert_eq!((&app.io, &app.findings), (&own.io, &own.findings));
        let joined = |mut ids: Vec<u64>| {
            ids.sort_unstable();
            ids
        };
        assert_eq!(joined(app.joined_by), joined(own.joined_by));
        assert!(own.await_why.contains("not its page"), "{}", own.await_why);
    }
    assert_eq!(answers.task(0), None);
    assert_eq!(answers.task(77_777_777), None);
}

#[test]
fn tasks_that_wait_for_each_other_end_the_chain_in_a_ring() {
    let mut shop = shop();
    let ids = [shop.tasks[1].id, shop.tasks[2].id];
    for (at, on) in [(1, ids[1]), (2, ids[0])] {
        let wait = pb::Wait {
            kind: pb::WaitKind::Task.into(),
            id: on,
            ..pb::Wait::default()
        };
        shop.tasks[at].waiting_on = Some(wait);
    }
    let answers = answers(&file(&shop, &ALL, &[], 0));
    let steps = answers.task(ids[0]).unwrap().awaits;
    let way: Vec<_> = steps
        .iter()
        .map(|step| (step.task_id, step.on_task_id, step.ring))
        .collect();
    assert_eq!(way, [(ids[0], ids[1], false), (ids[1], ids[0], true)]);
}

#[test]
fn nobody_commands_a_recording() {
    let hello = answers(&file(&shop(), &ALL, &[], 0)).hello;
    assert_eq!(hello.role(), pb::Role::Observe);
    assert_eq!(hello.role_reason, super::NO_COMMANDS);
}

/// Asks everything that can be asked.
fn exhaust(answers: &Answers) {
    for target in ALL
        .into_iter()
        .chain([Target::History, Target::Unspecified])
    {
        let view = answers.answer(&query(target, "", ""), 1);
        for task in view.tasks.iter().take(5) {
            assert!(answers.task(task.id).is_some());
        }
    }
    let request = pb::EventsRequest {
        backlog: true,
        ..pb::EventsRequest::default()
    };
    let mut stream = answers.events(&request, None).expect("no filter");
    while answers.next_batch(&mut stream).is_some() {}
    stream.go_on(&answers.story, &answers.story);
}

/// A whole file, made once.
fn whole() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let events: Vec<_> = (0..60)
            .map(|n| event(EventKind::TaskSpawned, AT_NS + n, 0, 500 + n, 0))
            .collect();
        file(&shop(), &ALL, &events, 90)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_file_cut_anywhere_is_read_or_refused(cut in 0..whole().len()) {
        if let Ok(recording) = Recording::read(&whole()[..cut]) {
            exhaust(&Answers::of(recording));
        }
    }

    #[test]
    fn a_file_with_any_bytes_changed_is_read_or_refused(
        changes in prop::collection::vec((0..whole().len(), any::<u8>()), 1..6),
    ) {
        let mut bytes = whole().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(recording) = Recording::read(&bytes) {
            exhaust(&Answers::of(recording));
        }
    }

    #[test]
    fn a_ring_of_any_words_is_read(words in prop::collection::vec(any::<[u64; 4]>(), 0..40), more in any::<u64>()) {
        let tail = more.saturating_add(words.len() as u64);
        let at = Moment { mono_ns: u64::MAX / 2, unix_ns: 5, ticks: 9, ns_per_tick: 1e18 };
        let ring = ring_bytes(3, tail, &[1, 2, 3], &words);
        let bytes = compose(&Head { clock: at, ..Head::default() }, &[ring], &[]);
        exhaust(&Answers::of(Recording::read(&bytes).expect("its head is whole")));
    }

    #[test]
    fn sections_of_any_bytes_are_read(sections in prop::collection::vec(any::<u8>(), 0..2_000)) {
        // As one who can reckon the checksums would write them.
        let at = Moment::default();
        let mut snapshot = vec![0_u8; 96];
        snapshot.extend_from_slice(&sections);
        let word = |snapshot: &mut Vec<u8>, at: usize, word: u64| {
            snapshot[at..at + 8].copy_from_slice(&word.to_le_bytes());
        };
        word(&mut snapshot, 0, u64::from_le_bytes(*b"LOOPSNAP"));
        word(&mut snapshot, 8, 1);
        word(&mut snapshot, 16, sections.len() as u64);
        word(&mut snapshot, 24, loop_proto::recording::checksum(&sections));
        let own = loop_proto::recording::checksum(&snapshot[..88]);
        word(&mut snapshot, 88, own);
        let bytes = compose(&Head { clock: at, ..Head::default() }, &[], &snapshot);
        let recording = Recording::read(&bytes).expect("its head is whole");
        prop_assert!(recording.snapshot.is_some());
        exhaust(&Answers::of(recording));
    }
}

#[test]
fn who_waits_for_a_thing_is_known_from_the_tasks_that_were_written() {
    let mut shop = shop();
    let job = shop.jobs[0].id;
    for row in &mut shop.jobs {
        row.waiting.clear();
    }
    let others = shop.tasks.iter_mut().map(|task| &mut task.waiting_on);
    for wait in others.filter(|wait| wait.as_ref().is_some_and(|wait| wait.id == job)) {
        *wait = None;
    }
    // Two wait, the third runs by now.
    let wait = || pb::Wait {
        kind: pb::WaitKind::Job.into(),
        id: job,
        ..pb::Wait::default()
    };
    for (at, state, since) in [
        (1, pb::TaskState::Wait, 20),
        (2, pb::TaskState::Wait, 10),
        (3, pb::TaskState::Run, 5),
    ] {
        let task = &mut shop.tasks[at];
        (task.state, task.since_ns) = (state.into(), since);
        task.waiting_on = Some(wait());
    }
    let ids = [shop.tasks[2].id, shop.tasks[1].id];
    let answers = answers(&file(&shop, &ALL, &[], 0));
    let asked = pb::Query {
        columns: vec!["waiting".to_owned()],
        ..query(Target::Jobs, "", "")
    };
    let waiting = |query: &pb::Query| -> Vec<u64> {
        let jobs = answers.answer(query, 1).jobs;
        let row = jobs.iter().find(|row| row.id == job).expect("it is listed");
        row.waiting.iter().map(|waiter| waiter.task_id).collect()
    };
    assert_eq!(waiting(&asked), ids, "the longest first");
    assert!(
        waiting(&query(Target::Jobs, "", "")).is_empty(),
        "only if asked"
    );
}
