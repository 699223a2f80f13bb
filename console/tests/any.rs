//! Any keys, any size, any state: no panic, and what holds always holds.

mod sample;

use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use loop_console::drive::Driver;
use loop_console::model::{Layer, ListId, page};
use loop_console::store::*;
use loop_console::update::{Effect, Message, wanted};
use proptest::prelude::*;

/// Something that can happen.
#[derive(Clone, Debug)]
enum Step {
    Key(&'static str),
    Text(String),
    Paste(String),
    Mouse(MouseEventKind, u16, u16),
    Pass(u64),
    Answer(u8),
    Frame(u16, u16),
}

const KEYS: &[&str] = &[
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "Tab",
    "S-Tab",
    "j",
    "k",
    "g",
    "G",
    "Home",
    "End",
    "PgUp",
    "PgDn",
    "Up",
    "Down",
    "Left",
    "Right",
    "Ctrl-u",
    "Ctrl-d",
    "Enter",
    "Backspace",
    "Esc",
    "space",
    "/",
    "\\",
    "s",
    "<",
    ">",
    "I",
    "c",
    "p",
    "+",
    "v",
    "z",
    "w",
    "u",
    "y",
    "Y",
    "o",
    ":",
    "?",
    "`",
    "i",
    "d",
    "x",
    "e",
    "m",
    "r",
    "L",
    "J",
    "K",
    "Ctrl-l",
    "t",
    "7",
    "8",
    "9",
];

fn a_step() -> impl Strategy<Value = Step> {
    let text = prop_oneof!["[a-z=<>0-9 ]{0,6}", "\\PC{0,4}"];
    let mouse = prop_oneof![
        Just(MouseEventKind::Down(MouseButton::Left)),
        Just(MouseEventKind::Drag(MouseButton::Left)),
        Just(MouseEventKind::ScrollDown),
        Just(MouseEventKind::ScrollUp),
    ];
    prop_oneof![
        12 => prop::sample::select(KEYS).prop_map(Step::Key),
        2 => text.clone().prop_map(Step::Text),
        1 => text.prop_map(Step::Paste),
        2 => (mouse, 0u16..140, 0u16..50).prop_map(|(kind, x, y)| Step::Mouse(kind, x, y)),
        1 => (0u64..3_000).prop_map(Step::Pass),
        2 => (0u8..30).prop_map(Step::Answer),
        2 => (0u16..180, 0u16..60).prop_map(|(w, h)| Step::Frame(w, h)),
    ]
}

/// One of many things the app or the link may say.
fn an_answer(n: u8) -> Update {
    let mut tasks = sample::tasks();
    match n {
        0 => Update::Link(Link::Lost {
            reason: "gone\u{1b}[31m".into(),
            retry_in: Duration::from_secs(2),
        }),
        1 => Update::Link(Link::Live),
        2 => Update::Link(Link::Ended {
            how: "exit code 0".into(),
        }),
        3 => Update::Link(Link::Choosing),
        4 => Update::Link(Link::Searching {
            looked: vec![Looked {
                place: "/run".into(),
                found: "0 sockets".into(),
            }],
        }),
        5 => Update::Hello(Box::new(Hello {
            instance: "another".into(),
            pid: 48_307,
            ..sample::hello()
        })),
        6 => Update::Hello(Box::new(sample::hello())),
        7 => Update::Apps(vec![App {
            target: "t".into(),
            pid: 1,
            name: "a".into(),
            up: None,
            loops: None,
            worst: None,
        }]),
        8 => sample::view(wanted::TASKS, Body::Tasks(Rows::default())),
        9 => {
            tasks.reverse();
            sample::view(wanted::TASKS, Body::Tasks(sample::rows(tasks)))
        }
        10 => {
            tasks.truncate(3);
            sample::view(wanted::TASKS, Body::Tasks(sample::rows(tasks)))
        }
        11 => {
            let n = u64::MAX / 2;
            sample::view(
                wanted::TASKS,
                Body::Tasks(Rows {
                    total: n,
                    matched: n,
                    offset: n - 38,
                    rows: tasks,
                    torn: true,
                }),
            )
        }
        12 => sample::view(wanted::TASK, Body::Task(Box::new(sample::detail()))),
        13 => sample::view(wanted::TASK, Body::Task(Box::default())),
        14 => sample::view(wanted::TASK, Body::NoTask { id: 1093 }),
        15 => sample::view(
            wanted::TASKS,
            Body::Refused(Refusal {
                why: "no".into(),
                part: "filter".into(),
                offset: 9_999,
                ..Refusal::default()
            }),
        ),
        16 => sample::view(
            wanted::BLOCKS,
            Body::Blocks(sample::rows(vec![BlockRow {
                running: true,
                for_ns: u64::MAX,
                at_ns: u64::MAX,
                ..sample::block(7, 0, 1, true)
            }])),
        ),
        17 => sample::view(wanted::COST, Body::Cost(Box::new(sample::cost(312)))),
        18 => sample::view(
            wanted::FINDINGS,
            Body::Findings(sample::rows(sample::findings())),
        ),
        19 => sample::view(wanted::FINDINGS, Body::Findings(Rows::default())),
        20 => sample::view(wanted::OVERVIEW, Body::Overview(Box::default())),
        21 => Update::Notice("done".into()),
        22 => sample::view(
            wanted::LOOPS,
            Body::Loops(sample::rows(
                (0..300)
                    .map(|id| LoopRow {
                        id,
                        ..LoopRow::default()
                    })
                    .collect(),
            )),
        ),
        23 => sample::view(
            wanted::RESOURCES,
            Body::Resources(sample::rows(vec![
                ResourceRow {
                    id: u64::MAX,
                    waiters: u64::MAX,
                    level: Some(u64::MAX),
                    capacity: Some(0),
                    held_since_ns: Some(u64::MAX),
                    holder: Some(u64::MAX),
                    made_ns: u64::MAX,
                    ..ResourceRow::default()
                },
                ResourceRow::default(),
            ])),
        ),
        24 => sample::view(
            wanted::JOBS,
            Body::Jobs(sample::rows(vec![JobRow {
                state: "abandoned".into(),
                started_ns: Some(0),
                queued_ns: u64::MAX,
                ..JobRow::default()
            }])),
        ),
        25 => sample::view(
            wanted::CHILDREN,
            Body::Children(sample::rows(vec![ChildRow {
                ended: true,
                open_pipes: u32::MAX,
                pid: u64::MAX,
                signal: Some(i64::MIN),
                ..ChildRow::default()
            }])),
        ),
        26 => sample::view(
            wanted::SIGNALS,
            Body::Signals(sample::rows(
                (0..90)
                    .map(|id| SignalRow {
                        id,
                        last_ns: Some(u64::MAX),
                        ..SignalRow::default()
                    })
                    .collect(),
            )),
        ),
        27 => sample::view(
            wanted::WAITING,
            Body::Waiting(Some(Box::new(Waiting {
                total: 0,
                ..sample::waiting()
            }))),
        ),
        28 => sample::view(wanted::WAITING, Body::Waiting(None)),
        _ => sample::view(
            wanted::SERIES,
            Body::Series(vec![SeriesRow {
                lag_max: Strip {
                    slot_ns: u64::MAX,
                    end_ns: u64::MAX,
                    values: vec![u64::MAX; 90],
                },
                ..SeriesRow::default()
            }]),
        ),
    }
}

fn a_driver() -> impl Strategy<Value = Driver> {
    (0u8..6).prop_map(|n| match n {
        0 => sample::full(),
        1 => sample::empty(),
        2 => sample::lost(),
        3 => sample::frozen(),
        4 => sample::attached(),
        _ => Driver::new(),
    })
}

fn do_step(d: &mut Driver, step: &Step) {
    match step {
        Step::Key(key) => d.keys(key),
        Step::Text(text) => d.type_in(text),
        Step::Paste(text) => d.send(Message::Paste(text.clone())),
        Step::Mouse(kind, column, row) => {
            d.send(Message::Mouse(MouseEvent {
                kind: *kind,
                column: *column,
                row: *row,
                modifiers: KeyModifiers::NONE,
            }));
        }
        Step::Pass(ms) => d.pass(Duration::from_millis(*ms)),
        Step::Answer(n) => d.learn(an_answer(*n)),
        Step::Frame(w, h) => {
            d.frame(*w, *h);
        }
    }
}

/// What holds after every step.
fn holds(d: &Driver) {
    for id in ListId::ALL {
        let list = d.model.list(id);
        let rows = page(d.model.shown(), id);
        assert!(
            rows.is_empty() || !rows.loaded() || list.rank < rows.len(),
            "{id:?} selects {} of {}",
            list.rank,
            rows.len()
        );
        assert!(
            list.top <= list.rank,
            "{id:?}: the selection is above the screen"
        );
        assert!(
            list.rank < list.top + u64::from(list.rows.max(1)),
            "{id:?}: the selection is below the screen"
        );
        if let (Some(row), true) = (list.id, rows.loaded()) {
            let at = rows.id_at(list.rank);
            assert!(
                at.is_none() || at == Some(row),
                "{id:?}: rank and id speak of two rows"
            );
        }
    }
    assert_eq!(
        d.model.ui.asked,
        wanted::wanted(&d.model),
        "something is wanted and not asked, or the reverse"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_two_hundred_steps_keep_the_invariants(mut d in a_driver(), steps in prop::collection::vec(a_step(), 200)) {
        for step in &steps {
            do_step(&mut d, step);
            holds(&d);
        }
        d.frame(120, 36);
        // Esc closes one layer at a time and never quits.
        d.effects.clear();
        for _ in 0..200 {
            let before = d.model.ui.layers.len();
            d.keys("Esc");
            prop_assert!(d.model.ui.layers.len() + 1 >= before, "one Esc, one layer");
            prop_assert!(before == 0 || d.model.ui.layers.len() < before, "an Esc that closes nothing");
        }
        prop_assert!(d.model.ui.layers.is_empty() && d.model.ui.detail.is_none() && !d.model.ui.zoom);
        prop_assert!(!d.effects.contains(&Effect::Quit));
        d.keys("q");
        prop_assert!(d.effects.contains(&Effect::Quit), "q quits when nothing is open");
    }

    #[test]
    fn any_state_at_any_size_draws(mut d in a_driver(), steps in prop::collection::vec(a_step(), 0..25), ascii in any::<bool>(), w in 0u16..500, h in 0u16..200) {
        for step in &steps {
            do_step(&mut d, step);
        }
        d.model.ui.ascii = ascii;
        let frame = d.frame(w, h);
        if ascii {
            prop_assert!(frame.content.iter().all(|c| c.symbol().is_ascii()));
        }
        prop_assert!(frame.content.iter().all(|c| !c.symbol().contains(['\u{1b}', '\u{7}', '\u{202e}'])), "hostile text reached a cell");
        // The smallest and the odd ones, always.
        for (w, h) in [(0, 0), (1, 1), (40, 10), (41, 11), (39, 9), (500, 1), (1, 200)] {
            d.frame(w, h);
        }
    }
}

#[test]
fn ctrl_c_leaves_an_input_and_only_then_quits() {
    let mut d = sample::full();
    d.keys("2 /");
    d.type_in("state=wait");
    d.effects.clear();
    d.keys("Ctrl-c");
    assert!(d.model.ui.layers.is_empty() && d.effects.iter().all(|e| *e != Effect::Quit));
    assert_eq!(
        d.model.list(ListId::Tasks).filter,
        "",
        "what was typed is taken back"
    );
    d.keys("Ctrl-c");
    assert!(d.effects.contains(&Effect::Quit));
}

#[test]
fn a_picker_opens_when_there_is_a_choice() {
    let mut d = Driver::new();
    d.learn(Update::Link(Link::Choosing));
    assert!(matches!(d.model.ui.layers.last(), Some(Layer::Apps { .. })));
}
