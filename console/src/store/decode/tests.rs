use super::*;

fn text(id: u32, text: &str) -> pb::Interned {
    pb::Interned {
        id,
        text: text.to_owned(),
    }
}

fn a_view(answer: u64, complete: bool, ids: &[u64]) -> pb::View {
    let task = |id: &u64| pb::TaskRow {
        id: *id,
        ..pb::TaskRow::default()
    };
    pb::View {
        slot: 6,
        serial: 1,
        answer,
        complete,
        matched: 9,
        total: 20,
        first_rank: 3,
        tasks: ids.iter().map(task).collect(),
        ..pb::View::default()
    }
}

fn ids(view: Option<View>) -> Vec<u64> {
    match view.expect("complete").body {
        Body::Tasks(rows) => rows.rows.iter().map(|t| t.id).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_of_one_answer_become_one() {
    let mut d = Decoder::new();
    assert_eq!(d.view(a_view(1, false, &[1, 2]), Table::Tasks), None);
    assert_eq!(ids(d.view(a_view(1, true, &[3]), Table::Tasks)), [1, 2, 3]);
}

#[test]
fn an_answer_that_was_cut_short_leaves_nothing_in_the_next() {
    let mut d = Decoder::new();
    assert_eq!(d.view(a_view(1, false, &[1, 2]), Table::Tasks), None);
    assert_eq!(ids(d.view(a_view(2, true, &[3]), Table::Tasks)), [3]);
    let again = pb::View {
        serial: 2,
        ..a_view(1, true, &[4])
    };
    assert_eq!(d.view(a_view(1, false, &[1]), Table::Tasks), None);
    assert_eq!(
        ids(d.view(again, Table::Tasks)),
        [4],
        "the same number of another query"
    );
}

#[test]
fn an_empty_answer_is_of_the_table_that_was_asked() {
    let mut d = Decoder::new();
    for (table, name) in [
        (Table::Io, "Io"),
        (Table::Timers, "Timers"),
        (Table::Findings, "Findings"),
        (Table::Series, "Series"),
    ] {
        let view = d.view(a_view(1, true, &[]), table).expect("complete");
        assert!(
            format!("{:?}", view.body).starts_with(name),
            "{:?}",
            view.body
        );
    }
}

#[test]
fn a_text_is_known_for_the_rest_of_its_stream_and_no_longer() {
    let mut d = Decoder::new();
    let named = |interned: Vec<pb::Interned>| pb::View {
        interned,
        tasks: vec![pb::TaskRow {
            name: Some(pb::Name {
                stem_text: 7,
                number: Some(12),
                own: String::new(),
            }),
            spawn_place_text: 8,
            ..pb::TaskRow::default()
        }],
        ..a_view(1, true, &[])
    };
    let shown = |view: Option<View>| match view.expect("complete").body {
        Body::Tasks(rows) => (rows.rows[0].name.clone(), rows.rows[0].spawned_at.clone()),
        other => panic!("{other:?}"),
    };
    let known = ("conn-12".to_owned(), "src/a.rs:1:2".to_owned());
    assert_eq!(
        shown(d.view(
            named(vec![text(7, "conn"), text(8, "src/a.rs:1:2")]),
            Table::Tasks
        )),
        known
    );
    assert_eq!(shown(d.view(named(Vec::new()), Table::Tasks)), known);
    assert_eq!(
        shown(Decoder::new().view(named(Vec::new()), Table::Tasks)).1,
        "",
        "another stream has not carried it"
    );
}

#[test]
fn a_name_of_its_own_wins() {
    let mut d = Decoder::new();
    d.learn(vec![text(7, "conn")]);
    let name = |own: &str, number| pb::Name {
        stem_text: 7,
        number,
        own: own.to_owned(),
    };
    assert_eq!(d.name(Some(&name("mine", Some(1)))), "mine");
    assert_eq!(d.name(Some(&name("", None))), "conn");
    assert_eq!(d.name(None), "");
}

#[test]
fn every_kind_of_wait_has_words_and_leads_where_it_can() {
    let d = Decoder::new();
    let wait = |kind: pb::WaitKind| pb::Wait {
        kind: kind as i32,
        id: 5,
        fd: Some(41),
        readable: true,
        detail: "10.0.4.7:50012".into(),
        resource_kind: pb::ResourceKind::Lock as i32,
        holder_task_id: Some(298),
        ..pb::Wait::default()
    };
    let said = |kind| {
        let wait = d.wait(&wait(kind));
        (
            format!("{} {}", wait.kind, wait.what).trim().to_owned(),
            wait.target,
        )
    };
    assert_eq!(
        said(pb::WaitKind::Io),
        ("io r fd 41 10.0.4.7:50012".into(), Some(Goto::Io(5)))
    );
    assert_eq!(
        said(pb::WaitKind::Timer),
        ("timer".into(), Some(Goto::Timer(5)))
    );
    assert_eq!(
        said(pb::WaitKind::Task),
        ("task 5".into(), Some(Goto::Task(5)))
    );
    assert_eq!(
        said(pb::WaitKind::Resource),
        ("lock 5, held by 298".into(), Some(Goto::Resource(5)))
    );
    assert_eq!(
        d.wait(&wait(pb::WaitKind::Resource)).holder,
        Some(298),
        "who holds it will wake it"
    );
    assert_eq!(said(pb::WaitKind::Future).1, Some(Goto::Resource(5)));
    assert_eq!(said(pb::WaitKind::Job).1, Some(Goto::Job(5)));
    assert_eq!(said(pb::WaitKind::Child).1, Some(Goto::Child(5)));
    let reads = d.wait(&pb::Wait {
        pipe: Some(pb::ChildPipe {
            child_id: 9,
            pid: 4711,
            program: "ping".into(),
            stream: Some(1),
            ended: false,
        }),
        detail: String::new(),
        ..wait(pb::WaitKind::Io)
    });
    assert_eq!(reads.what, "r fd 41 stdout of pid 4711 (ping, alive)");
    assert!(d.wait(&wait(pb::WaitKind::Nothing)).nothing);
    for kind in (0..12).filter_map(|n| pb::WaitKind::try_from(n).ok()) {
        assert!(!said(kind).0.is_empty(), "{kind:?}");
    }
    let newer = d.wait(&pb::Wait {
        kind: 99,
        ..pb::Wait::default()
    });
    assert_eq!(
        (newer.kind.as_str(), newer.what.as_str(), newer.nothing),
        ("?", "not known", false)
    );
}

#[test]
fn a_block_is_as_long_as_is_certain() {
    let d = Decoder::new();
    let block = pb::BlockRow {
        wall_ns: 900,
        lower_ns: Some(400),
        upper_ns: Some(500),
        ended_at_ns: Some(1),
        ..pb::BlockRow::default()
    };
    let told = d.block(block.clone());
    assert_eq!(
        (told.for_ns, told.wall_only, told.at_most_ns, told.running),
        (400, false, Some(500), false)
    );
    let untold = d.block(pb::BlockRow {
        lower_ns: None,
        ended_at_ns: None,
        ..block
    });
    assert_eq!(
        (untold.for_ns, untold.wall_only, untold.running),
        (900, true, true)
    );
}

#[test]
fn what_a_newer_app_says_is_not_taken_for_something_else() {
    let d = Decoder::new();
    let finding = d.finding(pb::Finding {
        name: 250,
        grade: 9,
        ..pb::Finding::default()
    });
    assert_eq!(
        (finding.name.as_str(), finding.grade, finding.count),
        ("finding-250", Grade::Suspect, 1)
    );
    let task = d.task(pb::TaskRow {
        kind: 99,
        findings: vec![250, 2],
        ..pb::TaskRow::default()
    });
    assert_eq!(
        (task.kind.as_str(), task.findings),
        ("", vec!["finding-250".to_owned(), "stranded".to_owned()])
    );
}

#[test]
fn a_refusal_says_where() {
    let error = pb::QueryError {
        message: "no".into(),
        part: "filter".into(),
        offset: 3,
        length: 2,
        suggestion: "for".into(),
    };
    let view = Decoder::new().view(
        pb::View {
            error: Some(error),
            ..a_view(1, true, &[])
        },
        Table::Tasks,
    );
    let Body::Refused(refusal) = view.expect("complete").body else {
        panic!("refused")
    };
    assert_eq!(
        (refusal.offset, refusal.length, refusal.suggestion.as_str()),
        (3, 2, "for")
    );
}

#[test]
fn a_histogram_keeps_its_values_and_its_percentiles() {
    let mut h = pb::Histogram {
        floor_ns: 400,
        ..pb::Histogram::default()
    };
    for ns in [100, 5_000, 5_000, 2_000_000] {
        h.record(ns);
    }
    let told = histogram(&h);
    assert_eq!(
        (told.count, told.below_floor, told.max_ns),
        (4, 1, 2_000_000)
    );
    assert_eq!(told.buckets.iter().map(|b| b.1).sum::<u64>(), 3);
    assert!((4_900..5_100).contains(&told.p50_ns), "{}", told.p50_ns);
    assert!(
        (1_980_000..=2_000_000).contains(&told.p99_ns),
        "{}",
        told.p99_ns
    );
}

#[test]
fn questions_say_what_they_mean() {
    let q = Query {
        slot: Slot(6),
        table: Table::Groups,
        filter: "live>3".into(),
        sort: Some(Sort {
            key: "live".into(),
            descending: true,
        }),
        seek: Seek::Id(9),
        limit: 50,
        columns: vec!["strip".into()],
        subject: None,
        every: std::time::Duration::from_secs(1),
    };
    let message = query(&q, 4).expect("a table");
    assert_eq!(message.target(), pb::Target::Places);
    assert_eq!(
        (
            message.slot,
            message.serial,
            message.sort.as_str(),
            message.interval_ms
        ),
        (6, 4, "-live", 1_000)
    );
    assert_eq!(message.seek.and_then(|s| s.to), Some(pb::seek::To::Id(9)));
    assert_eq!(
        query(
            &Query {
                seek: Seek::Rank(0),
                ..q.clone()
            },
            5
        )
        .expect("a table")
        .seek,
        None
    );
    assert_eq!(
        query(
            &Query {
                table: Table::Task,
                ..q
            },
            5
        ),
        None,
        "one task is asked for by a call of its own"
    );
    assert!(close(Slot(6), 6).close);
}

#[test]
fn what_is_told_of_a_task_after_its_first_event_has_its_name() {
    let mut d = Decoder::new();
    let event = |kind: pb::EventKind, named: bool| pb::Event {
        kind: kind as i32,
        task_id: 7,
        name: named.then(|| pb::Name {
            own: "clerk".into(),
            ..pb::Name::default()
        }),
        ..pb::Event::default()
    };
    let events = d.events(pb::EventBatch {
        events: vec![
            event(pb::EventKind::TaskSpawned, true),
            event(pb::EventKind::TaskFinished, false),
            // A block's end may be told later than that of the task.
            event(pb::EventKind::LoopUnblocked, false),
        ],
        ..pb::EventBatch::default()
    });
    assert!(
        events.iter().all(|event| event.name == "clerk"),
        "{events:?}"
    );
}
