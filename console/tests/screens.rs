//! What the screens show, as text: every screen in every state at every size that has a layout of its own. Styles are
//! asserted apart, since a snapshot holds symbols only.

mod sample;

use std::time::Duration;

use loop_console::drive::{Driver, text};
use loop_console::store::*;
use loop_console::update::wanted;
use loop_console::view::cost;
use loop_console::view::theme::Colours;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

const SIZES: [(u16, u16); 3] = [(120, 36), (80, 24), (60, 15)];
const SCREENS: [(&str, &str); 10] = [
    ("overview", "1"),
    ("tasks", "2"),
    ("groups", "2 v"),
    ("loops", "3"),
    ("timers", "4"),
    ("io", "5"),
    ("leaks", "6"),
    ("resources", "7"),
    ("jobs", "8"),
    ("children", "9"),
];

/// The screen behind some keys. The second frame knows how much the first had room for, as in life.
fn shown(mut d: Driver, keys: &str, (w, h): (u16, u16)) -> Buffer {
    d.frame(w, h);
    d.keys(keys);
    if d.model.ui.detail.is_some() {
        d.learn(sample::view(
            wanted::TASK,
            Body::Task(Box::new(sample::detail())),
        ));
    }
    d.frame(w, h);
    d.frame(w, h)
}

fn snapshot(name: &str, frame: &Buffer) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text(frame));
    });
}

#[test]
fn full() {
    for size in SIZES {
        for (name, keys) in SCREENS {
            snapshot(
                &format!("full_{name}_{}x{}", size.0, size.1),
                &shown(sample::full(), keys, size),
            );
        }
        snapshot(
            &format!("full_task_{}x{}", size.0, size.1),
            &shown(sample::full(), "2 j j j j j j Enter", size),
        );
    }
}

#[test]
fn empty() {
    for (name, keys) in SCREENS {
        let frame = shown(sample::empty(), keys, (80, 24));
        snapshot(&format!("empty_{name}"), &frame);
        let said = text(&frame);
        let why = ["No ", "Nothing "];
        assert!(
            why.iter().any(|w| said.contains(w)),
            "{name} is bare:\n{said}"
        );
    }
}

#[test]
fn lost_and_frozen() {
    for (name, keys) in [("overview", "1"), ("tasks", "2")] {
        for size in [(120, 36), (80, 24)] {
            snapshot(
                &format!("lost_{name}_{}x{}", size.0, size.1),
                &shown(sample::lost(), keys, size),
            );
            snapshot(
                &format!("frozen_{name}_{}x{}", size.0, size.1),
                &shown(sample::frozen(), keys, size),
            );
        }
    }
}

#[test]
fn layers() {
    for (name, keys) in [
        ("help", "2 ?"),
        ("sort", "2 s"),
        ("columns", "2 c"),
        ("palette", "2 :"),
        ("cost", "i"),
        ("events", "1 e"),
    ] {
        snapshot(
            &format!("layer_{name}"),
            &shown(sample::full(), keys, (80, 24)),
        );
    }
    snapshot("layer_help_wide", &shown(sample::full(), "2 ?", (120, 36)));
    let mut d = sample::full();
    d.frame(80, 24);
    d.keys("2 /");
    d.type_in("state=wait fro>3s");
    snapshot("layer_filter_wrong", &shown(d, "", (80, 24)));
}

#[test]
fn ascii() {
    let mut d = sample::full();
    d.model.ui.ascii = true;
    let frame = shown(d, "1", (80, 24));
    assert!(frame.content.iter().all(|c| c.symbol().is_ascii()));
    snapshot("ascii_overview", &frame);
}

#[test]
fn splashes() {
    let looked = |place: &str, found: &str| Looked {
        place: place.into(),
        found: found.into(),
    };
    let searching = Link::Searching {
        looked: vec![
            looked("/run/user/1000/loop-console", "0 sockets"),
            looked("/tmp/loop-console-1000", "no such directory"),
        ],
    };
    let gap = Link::VersionGap(Box::new(VersionGap {
        app: "shop-api".into(),
        pid: 48_211,
        app_version: "0.6.1".into(),
        app_protocol: "3.0".into(),
        console_version: "0.4.0".into(),
        console_protocol: "1.0".into(),
        fix: "cargo install --locked loop-console --version 0.6.1".into(),
    }));
    let links = [
        ("no_app", searching),
        ("version_gap", gap),
        (
            "connecting",
            Link::Connecting {
                target: "shop-api (48211)".into(),
                step: "reading 1,284 tasks".into(),
            },
        ),
        (
            "refused",
            Link::Lost {
                reason: "connection refused".into(),
                retry_in: Duration::from_secs(2),
            },
        ),
    ];
    for (name, link) in links {
        let mut d = Driver::new();
        d.learn(Update::Link(link));
        d.pass(Duration::from_millis(400));
        snapshot(&format!("splash_{name}"), &shown(d, "", (80, 24)));
    }
    let mut d = Driver::new();
    d.learn(Update::Link(Link::Choosing));
    let app = |pid: u32, name: &str, worst: Option<&str>| App {
        target: pid.to_string(),
        pid,
        name: name.into(),
        up: Some(Duration::from_secs(u64::from(pid))),
        loops: Some(4),
        worst: worst.map(str::to_owned),
    };
    d.learn(Update::Apps(vec![
        app(48_211, "shop-api", Some("blocked")),
        app(990, "mailer", None),
        app(1_200, "shop-cron", None),
    ]));
    d.type_in("shop");
    snapshot("splash_picker", &shown(d, "", (80, 24)));
}

/// Every state, screen and palette that a style rule must hold in.
fn all_frames(colours: Colours) -> Vec<(String, Buffer)> {
    let states = [
        ("full", sample::full as fn() -> Driver),
        ("empty", sample::empty),
        ("lost", sample::lost),
        ("frozen", sample::frozen),
    ];
    let mut out = Vec::new();
    for (state, driver) in states {
        for (name, keys) in SCREENS.into_iter().chain([
            ("task", "2 j j j j j j Enter"),
            ("help", "?"),
            ("cost", "i"),
        ]) {
            for size in SIZES {
                let mut d = driver();
                d.model.ui.colours = colours;
                d.learn(sample::view(
                    wanted::COST,
                    Body::Cost(Box::new(sample::cost(3))),
                ));
                out.push((format!("{state} {name} {size:?}"), shown(d, keys, size)));
            }
        }
    }
    out
}

fn row_text(frame: &Buffer, y: u16) -> String {
    (0..frame.area.width)
        .map(|x| frame[(x, y)].symbol())
        .collect()
}

#[test]
fn red_and_yellow_never_stand_alone() {
    // A mark, or a word that says the same.
    let red = ["▲", "LOST", "nothing can wake it", "certain", "^"];
    let yellow = ["!", "FROZEN", "suspect", "warning", "silent"];
    for (name, frame) in all_frames(Colours::Sixteen) {
        for y in 0..frame.area.height {
            let line = row_text(&frame, y);
            let has = |colour| {
                (0..frame.area.width)
                    .any(|x| frame[(x, y)].fg == colour && frame[(x, y)].symbol() != " ")
            };
            assert!(
                !has(Color::Red) || red.iter().any(|w| line.contains(w)),
                "{name}, line {y} is only red: {line}"
            );
            assert!(
                !has(Color::Yellow) || yellow.iter().any(|w| line.contains(w)),
                "{name}, line {y} is only yellow: {line}"
            );
        }
    }
}

#[test]
fn without_colours_there_is_none() {
    for (name, frame) in all_frames(Colours::Mono) {
        assert!(
            frame
                .content
                .iter()
                .all(|c| c.fg == Color::Reset && c.bg == Color::Reset),
            "{name}"
        );
    }
}

#[test]
fn the_selected_row_is_reversed_and_only_it() {
    for colours in [Colours::Sixteen, Colours::Mono] {
        for (name, keys) in SCREENS {
            let mut d = sample::full();
            d.model.ui.colours = colours;
            let frame = shown(d, keys, (120, 36));
            let reversed: Vec<u16> = (0..36)
                .filter(|y| frame[(50, *y)].modifier.contains(Modifier::REVERSED))
                .collect();
            assert_eq!(reversed.len(), 1, "{name}");
            assert!(row_text(&frame, reversed[0]).starts_with('▌'), "{name}");
        }
    }
}

#[test]
fn lost_data_is_dimmed_and_live_data_is_not() {
    let dims = |d: Driver| {
        shown(d, "2", (120, 36))
            .content
            .iter()
            .filter(|c| c.modifier.contains(Modifier::DIM))
            .count()
    };
    assert!(dims(sample::lost()) > dims(sample::full()) + 2_000);
}

#[test]
fn what_was_lost_is_always_in_the_header() {
    for (name, frame) in all_frames(Colours::Sixteen) {
        assert!(
            row_text(&frame, 0).contains("! lost 3"),
            "{name}: {}",
            row_text(&frame, 0)
        );
    }
}

#[test]
fn who_asked_a_task_to_cancel_and_its_variables_are_on_its_page() {
    let mut driver = sample::full();
    driver.frame(140, 60);
    driver.keys("2 j j j j j j Enter");
    let asked = CancelRequest {
        first_at_ns: sample::AT - 3_000_000_000,
        at_ns: sample::AT - 1_000_000_000,
        by: "task 7 clerk \u{1b}[31m".into(),
        place: "src/shop.rs:7:9".into(),
        message: "the shop \u{1b}[31mcloses".into(),
        times: 2,
    };
    let detail = TaskDetail {
        cancel: Some(asked),
        variables: vec!["REQUEST".into(), "USER".into()],
        ..sample::detail()
    };
    driver.learn(sample::view(wanted::TASK, Body::Task(Box::new(detail))));
    // The panel of the task alone, so that none of its lines is cut off.
    driver.keys("Tab Tab +");
    let shown = text(&driver.frame(140, 60));
    assert!(
        shown.contains("cancel asked 1s ago by task 7 clerk"),
        "{shown}"
    );
    assert!(shown.contains("src/shop.rs:7:"), "{shown}");
    assert!(shown.contains("2 times, first 3s ago"), "{shown}");
    assert!(
        shown.contains("context variables: REQUEST, USER"),
        "{shown}"
    );
    assert!(
        !shown.contains('\u{1b}'),
        "an escape sequence reached the screen"
    );
}

#[test]
fn a_tasks_log_is_on_its_page_newest_first() {
    let mut driver = sample::full();
    driver.frame(120, 60);
    driver.keys("2 j j j j j j Enter");
    let line = |level: &str, text: &str| LogLine {
        level: level.to_owned(),
        target: "shop::cart".to_owned(),
        text: text.to_owned(),
        ..LogLine::default()
    };
    let detail = TaskDetail {
        logs: vec![
            line("INFO", "the cart opened"),
            line("WARN", "the cart \u{1b}[31mis slow"),
        ],
        ..sample::detail()
    };
    driver.learn(sample::view(wanted::TASK, Body::Task(Box::new(detail))));
    driver.frame(120, 60);
    let shown = text(&driver.frame(120, 60));
    let (slow, opened) = (shown.find("is slow"), shown.find("the cart opened"));
    assert!(slow.is_some() && slow < opened, "{shown}");
    assert!(
        !shown.contains('\u{1b}'),
        "an escape sequence reached the screen"
    );
}

#[test]
fn a_block_without_a_stack_says_why_in_its_place() {
    let mut d = sample::empty();
    let block = BlockRow {
        no_stack: "a seccomp \u{1b}[31mfilter forbids\u{1b}[0m signals, so that no thread of this process can be asked for its stack".into(),
        ..sample::block(898, 26, 131 * sample::MS, false)
    };
    d.learn(sample::view(
        wanted::BLOCKS,
        Body::Blocks(sample::rows(vec![block])),
    ));
    for size in [(80, 24), (120, 36)] {
        let shown = text(&shown(d.clone(), "3", size));
        assert!(shown.contains("no stack: a seccomp"), "{shown}");
        let words: Vec<&str> = shown.split_whitespace().collect();
        let whole = words.join(" ").contains("can be asked for its stack");
        assert!(whole, "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}

#[test]
fn what_the_host_held_up_is_listed_and_said_not_to_count() {
    let row = |id: u64, cause: &str, vetoed: bool| BlockRow {
        wall_ns: 533 * sample::MS,
        cause: cause.into(),
        cause_reason: "220 ms by the cgroup quota (20 % of a CPU)".into(),
        vetoed,
        ..sample::block(id, 26, 3 * sample::MS, false)
    };
    let counted = BlockRow {
        wall_ns: 412 * sample::MS,
        ..sample::block(900, 14, 412 * sample::MS, true)
    };
    let mut d = sample::empty();
    d.learn(sample::view(
        wanted::BLOCKS,
        Body::Blocks(sample::rows(vec![
            row(898, "host", false),
            row(897, "host", true),
            row(896, "throttled", false),
            counted,
        ])),
    ));
    let said = text(&shown(d.clone(), "3 G", (80, 24)));
    assert_eq!(said.matches("(533ms)").count(), 3, "{said}");
    assert!(
        said.contains(" 412ms 1093"),
        "what counts is as it was: {said}"
    );
    assert!(said.contains(" throttled"), "{said}");
    for (keys, why) in [
        (
            "3",
            "not counted: host (descheduled for up to 530ms of 533ms)",
        ),
        (
            "3 j",
            "not counted: host (stood still for up to 530ms of 533ms, the watchdog too)",
        ),
        ("3 j j", "not counted: throttled 220 ms by the cgroup quota"),
    ] {
        let said = text(&shown(d.clone(), keys, (80, 24)));
        assert!(said.contains(why), "{keys}: {said}");
        assert!(said.contains("held it 533ms on the wall"), "{said}");
    }
    let title = text(&shown(d, "3", (120, 36)));
    assert!(
        title.contains("1-4 of 4 · sort WHEN ▲ · 3 not counted"),
        "{title}"
    );
}

#[test]
fn the_page_of_costs_is_whole_on_80_columns() {
    let cost = Cost {
        attached: vec![(
            "a viewer whose name is \u{1b}[31mlonger than any line of 80 columns has room for"
                .into(),
            true,
        )],
        kept: Some(Kept {
            path: format!("/run/user/1000/{}/48211.rec", "deep/".repeat(20)),
            mapped: true,
            ..Kept::default()
        }),
        ..sample::cost(3)
    };
    let mut d = sample::full();
    d.learn(sample::view(
        wanted::COST,
        Body::Cost(Box::new(cost.clone())),
    ));
    d.frame(80, 24);
    d.keys("i");
    let page = |d: &mut Driver| -> Vec<String> {
        let shown = text(&d.frame(80, 24));
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let inside = |line: &str| {
            let (from, to) = (line.find('│')?, line.rfind('│')?);
            (from < to).then(|| line[from + '│'.len_utf8()..to].to_owned())
        };
        shown.lines().filter_map(inside).collect()
    };
    // Line by line to the end, whose page is the rest.
    let (mut lines, mut now) = (Vec::new(), page(&mut d));
    loop {
        d.keys("j");
        let next = page(&mut d);
        if next == now {
            break;
        }
        lines.push(now.swap_remove(0));
        now = next;
    }
    assert!(lines.len() > 3, "there is something to scroll");
    lines.extend(now);
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let said: String = lines.iter().map(|line| bare(line)).collect();
    let store = &d.model.store;
    let whole = cost::lines(&cost::Shown {
        now: &cost,
        before: store
            .cost_before
            .as_ref()
            .map(|(at, before)| (store.cost_at_ns.saturating_sub(*at), before)),
        up_ns: store.up().as_nanos() as u64,
        tasks: store.overview.as_ref().map(|overview| overview.tasks),
        hello: store.hello.as_ref(),
    });
    let whole: String = whole
        .iter()
        .map(|(head, text, _)| bare(&format!("{head}{text}").replace('\u{1b}', "\\u{1b}")))
        .collect();
    assert!(said.starts_with(&whole), "{said}\n{whole}");
}
