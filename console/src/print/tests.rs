//! The made-up shop, printed; and the promise of the fields' names.

use std::collections::BTreeMap;

use loop_proto::fixture::{self, Viewer};
use loop_proto::pb;
use serde_json::Value;

use super::*;
use crate::cli::What;
use crate::store::decode::{self, Decoder};
use crate::store::{Body, Hello, Query, Seek, Slot, Table};
use crate::transport::pages::Whole;

const OUT: Out = Out {
    width: None,
    ascii: false,
};

fn hello() -> Hello {
    decode::hello(fixture::shop().hello)
}

fn answer(shop: fixture::Shop, table: Table, sort: &str) -> (Body, u64) {
    let query = Query {
        slot: Slot(1),
        table,
        filter: String::new(),
        sort: None,
        seek: Seek::Rank(0),
        limit: 10_000,
        columns: if table == Table::Tasks {
            vec!["busy".into()]
        } else {
            Vec::new()
        },
        subject: None,
        every: std::time::Duration::ZERO,
    };
    let message = pb::Query {
        sort: sort.to_owned(),
        ..decode::query(&query, 1).expect("a query")
    };
    let view = Decoder::new()
        .view(Viewer::new(shop).answer(&message), table)
        .expect("a whole answer");
    (view.body, view.at_ns)
}

fn whole(body: &Body, at_ns: u64) -> Whole {
    Whole {
        body: body.clone(),
        at_ns,
        pages: 1,
        incomplete: String::new(),
    }
}

const LISTS: [(What, Table); 10] = [
    (What::Tasks, Table::Tasks),
    (What::Loops, Table::Loops),
    (What::Timers, Table::Timers),
    (What::Io, Table::Io),
    (What::Leaks, Table::Leaks),
    (What::Resources, Table::Resources),
    (What::Jobs, Table::Jobs),
    (What::Children, Table::Children),
    (What::Signals, Table::Signals),
    (What::Blocks, Table::Blocks),
];

fn rows(what: What, table: Table) -> Vec<Value> {
    let (body, at_ns) = answer(fixture::blocked_shop(), table, "");
    let text = json::list(what, &whole(&body, at_ns), &hello(), &[]);
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["schema"], json::SCHEMA);
    assert_eq!(text.lines().count(), 1, "one document, one line");
    document[what.word()]
        .as_array()
        .expect("rows under the command's name")
        .clone()
}

/// Scripts rely on these; the list may only grow.
const PROMISED: [(What, &[&str]); 10] = [
    (
        What::Tasks,
        &[
            "id",
            "name",
            "kind",
            "state",
            "loop",
            "parent",
            "spawned_at",
            "waiting_on",
            "waiting_at",
            "for_ns",
            "polls",
            "busy_ns",
            "max_poll_ns",
            "wakes",
            "detached",
            "findings",
        ],
    ),
    (
        What::Loops,
        &[
            "id",
            "name",
            "thread",
            "state",
            "tasks",
            "ready",
            "busy_ratio",
            "lag_ns",
            "blocked",
        ],
    ),
    (
        What::Timers,
        &["id", "kind", "owner", "due_ns", "late_ns", "set_at", "loop"],
    ),
    (
        What::Io,
        &[
            "id", "fd", "kind", "local", "peer", "interest", "ready", "task", "loop", "since",
        ],
    ),
    (
        What::Leaks,
        &[
            "name", "grade", "subject", "place", "count", "evidence", "since",
        ],
    ),
    (
        What::Resources,
        &[
            "id", "kind", "name", "state", "loop", "holder", "waiters", "waiting", "value",
            "capacity", "owner", "place", "since",
        ],
    ),
    (
        What::Jobs,
        &[
            "id",
            "state",
            "name",
            "pool",
            "tid",
            "loop",
            "task",
            "place",
            "queued_at",
            "for_ns",
            "waiting",
        ],
    ),
    (
        What::Children,
        &[
            "id",
            "pid",
            "program",
            "running",
            "exit_code",
            "signal",
            "loop",
            "task",
            "place",
            "started_at",
            "open_pipes",
            "waiters",
            "waiting",
        ],
    ),
    (
        What::Signals,
        &[
            "number",
            "name",
            "loop",
            "listeners",
            "deliveries",
            "last_at",
            "place",
        ],
    ),
    (
        What::Blocks,
        &[
            "task", "name", "place", "for_ns", "cause", "stack", "id", "loop",
        ],
    ),
];

#[test]
fn every_row_has_exactly_the_published_fields_and_the_promised_ones_first() {
    for ((what, table), (_, promised)) in LISTS.into_iter().zip(PROMISED) {
        let rows = rows(what, table);
        assert!(!rows.is_empty(), "{what:?}");
        assert_eq!(json::fields(what)[..promised.len()], *promised, "{what:?}");
        for row in &rows {
            let names: Vec<&str> = row
                .as_object()
                .expect("an object")
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(names, json::fields(what), "{what:?}");
        }
    }
}

/// The types of all fields, as the schema that the repository keeps.
fn shape(value: &Value, path: &str, into: &mut BTreeMap<String, Vec<String>>) {
    let word = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(all) => {
            for one in all {
                shape(one, &format!("{path}[]"), into);
            }
            "array"
        }
        Value::Object(all) => {
            for (name, one) in all {
                shape(one, &format!("{path}.{name}"), into);
            }
            "object"
        }
    };
    let words = into.entry(path.to_owned()).or_default();
    if !words.iter().any(|w| w == word) {
        words.push(word.to_owned());
        words.sort();
    }
}

#[test]
fn the_json_schema_is_the_committed_one() {
    let mut shapes = BTreeMap::new();
    for (what, table) in LISTS {
        for row in rows(what, table) {
            shape(&row, what.word(), &mut shapes);
        }
    }
    let text: String = shapes
        .iter()
        .map(|(path, words)| format!("{path}: {}\n", words.join(" | ")))
        .collect();
    insta::assert_snapshot!("json_schema", text);
}

#[test]
fn only_the_wanted_fields_in_the_wanted_order() {
    let (body, at_ns) = answer(fixture::shop(), Table::Tasks, "id");
    let text = json::list(
        What::Tasks,
        &whole(&body, at_ns),
        &hello(),
        &["name".into(), "id".into()],
    );
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<&String> = document["tasks"][0]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(names, ["name", "id"]);
}

#[test]
fn a_blocked_loop_says_by_what() {
    let loops = rows(What::Loops, Table::Loops);
    let blocked: Vec<&Value> = loops
        .iter()
        .map(|l| &l["blocked"])
        .filter(|b| !b.is_null())
        .collect();
    assert_eq!(blocked.len(), 1);
    for field in ["task", "name", "place", "for_ns", "cause", "stack"] {
        assert!(!blocked[0][field].is_null(), "{field}: {}", blocked[0]);
    }
    assert!(loops.iter().any(|l| l["lag_ns"]["p99"].is_u64()));
}

#[test]
fn tables_are_whole_when_piped() {
    for (what, table) in LISTS {
        let (body, at_ns) = answer(fixture::shop(), table, "id");
        let text = plain::list(what, &body, &plain::look(&hello(), at_ns, 0), &[], OUT);
        assert!(!text.contains('\u{1b}') && !text.contains('…'), "{what:?}");
        insta::assert_snapshot!(format!("table_{}", what.word()), text);
    }
}

#[test]
fn a_terminal_is_not_wrapped() {
    for (what, table) in LISTS {
        let (body, at_ns) = answer(fixture::shop(), table, "");
        for width in [40, 80, 132] {
            let out = Out {
                width: Some(width),
                ascii: false,
            };
            let text = plain::list(what, &body, &plain::look(&hello(), at_ns, 0), &[], out);
            let widest = text.lines().map(crate::view::fmt::width).max().unwrap_or(0);
            assert!(
                widest <= usize::from(width) || width < 80,
                "{what:?} at {width}: {widest}"
            );
        }
    }
}

#[test]
fn columns_are_those_asked_for() {
    let (body, at_ns) = answer(fixture::shop(), Table::Tasks, "id");
    let text = plain::list(
        What::Tasks,
        &body,
        &plain::look(&hello(), at_ns, 0),
        &["name".into(), "id".into()],
        OUT,
    );
    assert_eq!(
        text.lines()
            .next()
            .expect("a head")
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["NAME", "ID"]
    );
}

#[test]
fn an_empty_list_is_a_sentence() {
    let text = plain::list(
        What::Timers,
        &Body::Timers(Default::default()),
        &plain::look(&hello(), 0, 0),
        &[],
        OUT,
    );
    assert_eq!(text, "No timers are armed.\n");
}

#[test]
fn hostile_names_are_shown_as_escapes() {
    let mut body = answer(fixture::shop(), Table::Tasks, "id").0;
    if let Body::Tasks(rows) = &mut body {
        rows.rows[0].name = "evil\u{1b}]52;c;x\u{7}\u{202e}\nrow".into();
    }
    let text = plain::list(What::Tasks, &body, &plain::look(&hello(), 0, 0), &[], OUT);
    let json = json::list(What::Tasks, &whole(&body, 0), &hello(), &[]);
    for said in [&text, &json] {
        assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{said:?}");
    }
    let back: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        back["tasks"][0]["name"], "evil\u{1b}]52;c;x\u{7}\u{202e}\nrow",
        "a parser reads the same text"
    );
}

#[test]
fn one_task_in_full() {
    let viewer = Viewer::new(fixture::shop());
    let id = fixture::shop()
        .tasks
        .iter()
        .find(|t| !t.findings.is_empty())
        .expect("a task with a finding")
        .id;
    let detail = Decoder::task_detail(
        viewer
            .task(&pb::TaskRequest {
                id,
                ..pb::TaskRequest::default()
            })
            .expect("a task"),
    );
    let text = task::text(&detail, &plain::look(&hello(), detail.at_ns, 0), OUT);
    insta::assert_snapshot!("task", text);
    let document: Value = serde_json::from_str(&task::json(&detail, &hello())).expect("JSON");
    assert_eq!(document["task"]["id"], id);
    assert_eq!(
        (
            &document["schema"],
            document["findings"].as_array().map(Vec::is_empty)
        ),
        (&Value::from(1), Some(false))
    );
}

#[test]
fn events_for_people_and_for_scripts() {
    let batch = Viewer::new(fixture::shop()).events();
    let raw = batch.events.clone();
    let rows = Decoder::new().events(batch);
    let look = plain::look(&hello(), fixture::AT_NS, 0);
    let text: String = rows.iter().map(|e| events::text(e, &look, false)).collect();
    insta::assert_snapshot!("events", text);
    let mut losses = events::Losses::default();
    assert!(!losses.learn(&[]));
    assert_eq!(losses.sentence(), "lost 0");
    let lost = [pb::Lost {
        kind: pb::EventKind::TaskPolled as i32,
        count: 12,
    }];
    assert!(losses.learn(&lost) && !losses.learn(&lost), "cumulative");
    assert_eq!(losses.sentence(), "lost 12 (polled 12)");
    let json = events::json_batch(&rows, &raw, &losses, rows.len() as u64, &hello(), true);
    let document: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        document["events"].as_array().map(Vec::len),
        Some(rows.len())
    );
    assert_eq!(
        (
            &document["lost_total"],
            &document["lost"]["polled"],
            &document["end"]
        ),
        (&12.into(), &12.into(), &true.into())
    );
}

#[test]
fn a_task_tells_every_arm_it_waits_for_and_what_it_has() {
    let viewer = Viewer::new(fixture::shop());
    let detail = |id| {
        let request = pb::TaskRequest {
            id,
            ..pb::TaskRequest::default()
        };
        Decoder::task_detail(viewer.task(&request).expect("a task"))
    };
    let select = detail(760);
    let text = task::text(&select, &plain::look(&hello(), select.at_ns, 0), OUT);
    let arms: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("waits for"))
        .map(str::trim)
        .collect();
    assert_eq!(
        arms,
        [
            "timer in 4.1s",
            "io r fd 12",
            "queue 22",
            "job 7",
            "signal SIGTERM"
        ]
    );
    let nightly: Value = serde_json::from_str(&task::json(&detail(650), &hello())).expect("JSON");
    assert_eq!(nightly["jobs"][0]["name"], "nightly-report");
    assert_eq!(nightly["processes"][0]["program"], "tar");
    assert_eq!(nightly["waits"][0]["subject"]["kind"], "job");
    assert_eq!(nightly["cancel"]["by"], "task 1 main");
}

#[test]
fn a_block_without_a_stack_says_why_in_a_column_or_below_its_row() {
    let (mut body, at_ns) = answer(fixture::shop(), Table::Blocks, "");
    let Body::Blocks(rows) = &mut body else {
        panic!("these are blocks");
    };
    let without = |b: &&mut crate::store::BlockRow| b.stack.is_empty();
    let hostile =
        "it was over\u{1b}[2Jbefore anybody looked\nand some more that no line of 80 columns holds";
    let row = rows.rows.iter_mut().find(without).expect("one has none");
    row.no_stack = hostile.to_owned();
    let look = plain::look(&hello(), at_ns, 0);
    let text = |width, names: &[String]| {
        let out = Out {
            width,
            ascii: false,
        };
        plain::list(What::Blocks, &body, &look, names, out)
    };
    let narrow = text(Some(80), &[]);
    assert!(!narrow.contains('\u{1b}'), "{narrow:?}");
    assert!(
        narrow
            .lines()
            .all(|line| crate::view::fmt::width(line) <= 80)
    );
    let lines: Vec<&str> = narrow.lines().collect();
    let said: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("  no stack: it was over"))
        .collect();
    assert_eq!((lines.len(), said.len()), (5, 1), "{narrow}");
    assert!(lines[said[0]].ends_with('…'));
    assert!(lines[said[0] - 1].contains("131ms"), "{narrow}");
    // Through a pipe, on a very wide terminal, and where columns were named: a row a line.
    for whole in [text(None, &[]), text(Some(400), &[])] {
        assert_eq!(whole.lines().count(), 4, "{whole}");
        assert!(whole.contains("no stack: it was over"), "{whole}");
        assert!(!whole.contains('\u{1b}'));
    }
    assert_eq!(text(Some(80), &["for".into()]).lines().count(), 4);
}
