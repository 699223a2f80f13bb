//! What keys and answers do, seen from outside: selections, calm, paging, filters, links.

mod sample;

use std::time::Duration;

use loop_console::drive::{Driver, text};
use loop_console::model::{ListId, Narrow, Screen};
use loop_console::store::*;
use loop_console::update::{Ask, Effect, wanted};

fn ids(d: &Driver) -> Vec<u64> {
    d.model.shown().tasks.rows.iter().map(|t| t.id).collect()
}

fn tasks(rows: Vec<TaskRow>) -> Update {
    sample::view(wanted::TASKS, Body::Tasks(sample::rows(rows)))
}

/// The sample's tasks on screen, nothing touched for a long time.
fn calm() -> Driver {
    let mut d = sample::full();
    d.keys("2");
    d.frame(120, 36);
    d.learn(tasks(sample::tasks()));
    d.pass(Duration::from_secs(5));
    d.pass(Duration::from_secs(5));
    d.frame(120, 36);
    d
}

fn asked(d: &Driver, slot: Slot) -> Option<Query> {
    d.effects.iter().rev().find_map(|e| match e {
        Effect::Ask(Ask::Watch(q)) if q.slot == slot => Some(q.clone()),
        _ => None,
    })
}

fn line_of<'t>(frame: &'t str, what: &str) -> &'t str {
    frame
        .lines()
        .find(|l| l.contains(what))
        .unwrap_or_else(|| panic!("no `{what}` in\n{frame}"))
}

#[test]
fn rows_keep_their_places_for_half_a_second_after_a_key() {
    let mut d = calm();
    let before = ids(&d);
    d.keys("j");
    let mut turned = sample::tasks();
    turned.reverse();
    turned[0].polls = 777_777;
    let changed = turned[0].id;
    d.learn(tasks(turned));
    assert_eq!(ids(&d), before, "no row moved under the finger");
    let row = d.model.store.tasks.get(changed).expect("still there");
    assert_eq!(row.polls, 777_777, "but its numbers are new");
    d.pass(Duration::from_millis(400));
    assert_eq!(ids(&d), before);
    d.pass(Duration::from_millis(200));
    assert_ne!(ids(&d), before, "then they move");
}

#[test]
fn rows_move_at_most_once_a_second() {
    let mut d = calm();
    let turn = |d: &mut Driver| {
        let mut rows: Vec<TaskRow> = d.model.store.tasks.rows.clone();
        rows.reverse();
        d.learn(tasks(rows));
        ids(d)
    };
    let first = turn(&mut d);
    assert_eq!(first, ids(&d));
    d.now += Duration::from_millis(300);
    assert_eq!(turn(&mut d), first, "300 ms later they rest");
    d.now += Duration::from_millis(800);
    assert_ne!(turn(&mut d), first);
}

#[test]
fn alarms_do_not_wait_for_calm() {
    let mut d = calm();
    d.keys("1 j");
    let mut more = sample::findings();
    more.insert(
        0,
        Finding {
            id: 77,
            name: "deadlocked".into(),
            fingerprint: "77".into(),
            ..Finding::default()
        },
    );
    d.learn(sample::view(
        wanted::FINDINGS,
        Body::Findings(sample::rows(more)),
    ));
    assert_eq!(d.model.store.findings.rows[0].name, "deadlocked");
}

#[test]
fn the_selection_follows_its_row() {
    let mut d = calm();
    d.keys("j j j");
    let id = d.model.list(ListId::Tasks).id.expect("selected");
    d.pass(Duration::from_secs(2));
    let mut rows = sample::tasks();
    rows.reverse();
    let at = rows.iter().position(|t| t.id == id).expect("there") as u64;
    d.learn(tasks(rows));
    let list = d.model.list(ListId::Tasks);
    assert_eq!((list.id, list.rank), (Some(id), at));
    let frame = d.frame(120, 36);
    assert!(line_of(&text(&frame), "▌").contains(&id.to_string()));
}

#[test]
fn an_untouched_selection_stays_at_the_top() {
    let mut d = calm();
    let mut rows = sample::tasks();
    rows.reverse();
    let first = rows[0].id;
    d.learn(tasks(rows));
    let list = d.model.list(ListId::Tasks);
    assert_eq!((list.rank, list.id), (0, Some(first)));
}

#[test]
fn a_selected_row_that_is_gone_keeps_its_place_as_ended() {
    let mut d = calm();
    d.keys("j j");
    let id = d.model.list(ListId::Tasks).id.expect("selected");
    d.pass(Duration::from_secs(2));
    let rest: Vec<TaskRow> = sample::tasks().into_iter().filter(|t| t.id != id).collect();
    for _ in 0..10 {
        d.now += Duration::from_secs(2);
        d.learn(tasks(rest.clone()));
    }
    let list = d.model.list(ListId::Tasks);
    assert_eq!((list.rank, list.id), (2, Some(id)));
    let frame = text(&d.frame(120, 36));
    let line = line_of(&frame, "▌");
    assert!(
        line.contains(&id.to_string()) && line.contains("ended"),
        "{line}"
    );
    d.keys("j");
    d.now += Duration::from_secs(2);
    d.learn(tasks(rest));
    assert!(!ids(&d).contains(&id), "moved away: it goes");
}

#[test]
fn in_a_part_of_a_list_nobody_says_ended() {
    let mut d = calm();
    d.keys("j j");
    let id = d.model.list(ListId::Tasks).id.expect("selected");
    let rest: Vec<TaskRow> = sample::tasks().into_iter().filter(|t| t.id != id).collect();
    let part = Rows {
        total: 90_000,
        matched: 90_000,
        ..sample::rows(rest)
    };
    d.now += Duration::from_secs(2);
    d.learn(sample::view(wanted::TASKS, Body::Tasks(part)));
    let frame = text(&d.frame(120, 36));
    let line = line_of(&frame, "▌");
    assert!(
        line.contains("left this part") && !line.contains("ended"),
        "{line}"
    );
}

#[test]
fn a_row_that_came_to_be_is_marked_new_and_one_that_scrolled_in_is_not() {
    let mut d = calm();
    let mut rows = sample::tasks();
    let young = TaskRow {
        id: 9_999,
        spawned_ns: sample::AT + 1,
        ..TaskRow::default()
    };
    let old = TaskRow {
        id: 9_998,
        spawned_ns: 5,
        ..TaskRow::default()
    };
    rows.insert(1, young);
    rows.insert(2, old);
    let later = |slot, body| {
        Update::View(Box::new(View {
            incomplete: String::new(),
            slot,
            at_ns: sample::AT + 5,
            body,
        }))
    };
    // The answers to other questions are of the same moment, and come first.
    d.learn(later(
        wanted::OVERVIEW,
        Body::Overview(Box::new(sample::overview())),
    ));
    d.learn(later(wanted::TASKS, Body::Tasks(sample::rows(rows))));
    assert_eq!(d.model.store.tasks.mark(9_999, d.now), Mark::New);
    assert_eq!(d.model.store.tasks.mark(9_998, d.now), Mark::None);
    d.pass(Duration::from_secs(6));
    assert_eq!(
        d.model.store.tasks.mark(9_999, d.now),
        Mark::None,
        "for five seconds"
    );
}

/// The part of a million tasks that a question asks for.
fn million(q: &Query) -> Update {
    const ALL: u64 = 1_000_000;
    let Seek::Rank(from) = q.seek else {
        panic!("a rank is sought")
    };
    let from = from.min(ALL - 1);
    let end = (from + u64::from(q.limit)).min(ALL);
    let row = |rank: u64| TaskRow {
        id: rank + 1,
        name: format!("conn-{rank}"),
        spawned_ns: 1,
        ..TaskRow::default()
    };
    let rows = (from..end).map(row).collect();
    sample::view(
        wanted::TASKS,
        Body::Tasks(Rows {
            total: ALL,
            matched: ALL,
            offset: from,
            rows,
            torn: false,
        }),
    )
}

#[test]
fn a_million_tasks_are_scrolled_by_the_page() {
    let mut d = sample::full();
    d.keys("2");
    d.frame(120, 36);
    let q = asked(&d, wanted::TASKS).expect("asked");
    assert!(q.limit < 400, "a window and a margin, not the list");
    d.learn(million(&q));
    d.effects.clear();
    d.keys("j j j k");
    assert_eq!(asked(&d, wanted::TASKS), None, "what is at hand serves");
    d.keys("G");
    let q = asked(&d, wanted::TASKS).expect("the end is asked for");
    let frame = text(&d.frame(120, 36));
    assert!(
        frame.contains("… reading"),
        "until then it says so:\n{frame}"
    );
    d.learn(million(&q));
    let frame = text(&d.frame(120, 36));
    assert!(line_of(&frame, "▌").contains("1000000"), "{frame}");
    assert!(
        d.model.store.tasks.rows.len() < 400,
        "and the rest is not kept"
    );
    // Page after page up from there, each there when it is drawn.
    for _ in 0..40 {
        d.effects.clear();
        d.keys("PgUp");
        if let Some(q) = asked(&d, wanted::TASKS) {
            d.learn(million(&q));
        }
        let frame = text(&d.frame(120, 36));
        assert!(!frame.contains("… reading"), "{frame}");
    }
    d.keys("g g");
    let q = asked(&d, wanted::TASKS).expect("the start is asked for");
    d.learn(million(&q));
    assert_eq!(d.model.list(ListId::Tasks).id, Some(1));
}

#[test]
fn each_screen_asks_for_what_it_shows_and_no_more() {
    let mut d = sample::full();
    let slots = |d: &Driver| d.model.ui.asked.keys().copied().collect::<Vec<_>>();
    let always = [
        wanted::OVERVIEW,
        wanted::COST,
        wanted::LOOPS,
        wanted::FINDINGS,
    ];
    for (key, more) in [
        ("1", vec![wanted::SERIES, wanted::HOUR]),
        ("2", vec![wanted::TASKS]),
        ("4", vec![wanted::TIMERS]),
        ("6", vec![wanted::GROUPS, wanted::LEAKS, wanted::HOUR]),
    ] {
        d.keys(key);
        let mut expect: Vec<Slot> = always.into_iter().chain(more).collect();
        expect.sort();
        assert_eq!(slots(&d), expect, "on screen {key}");
    }
    d.keys("2");
    d.effects.clear();
    d.keys("5");
    assert!(
        d.effects
            .contains(&Effect::Ask(Ask::Unwatch(wanted::TASKS))),
        "and takes back the rest"
    );
}

#[test]
fn a_filter_is_asked_as_it_is_typed_and_only_while_it_is_right() {
    let mut d = calm();
    d.keys("/");
    d.type_in("for>30s");
    assert_eq!(asked(&d, wanted::TASKS).expect("asked").filter, "for>30s");
    d.type_in(" fro>1s");
    assert!(
        d.model.list(ListId::Tasks).filter.starts_with("for>30s"),
        "the last good one holds"
    );
    let frame = text(&d.frame(120, 36));
    let (at, carets) = frame
        .lines()
        .find_map(|l| l.find('^').map(|at| (at, l)))
        .expect("a caret");
    assert!(carets.trim_start().starts_with("^^^"), "{carets}");
    let line = line_of(&frame, "filter:");
    assert_eq!(&line[at..at + 3], "fro", "it points at the word");
    d.keys("Esc");
    assert_eq!(d.model.list(ListId::Tasks).filter, "");
}

#[test]
fn a_filter_survives_other_screens_and_comes_back_from_history() {
    let mut d = calm();
    d.keys("/");
    d.type_in("state=wait");
    d.keys("Enter 1 2");
    let frame = text(&d.frame(120, 36));
    assert!(frame.contains("filter: state=wait"), "the chip:\n{frame}");
    d.keys("\\");
    assert_eq!(d.model.list(ListId::Tasks).filter, "");
    d.keys("/ Up Enter");
    assert_eq!(d.model.list(ListId::Tasks).filter, "state=wait");
}

#[test]
fn tab_completes_a_field() {
    let mut d = calm();
    d.keys("/");
    d.type_in("sche");
    d.keys("Tab");
    let frame = text(&d.frame(120, 36));
    assert!(line_of(&frame, "filter:").contains("scheduled"), "{frame}");
}

#[test]
fn narrowing_joins_the_filter() {
    let mut d = calm();
    d.keys("/");
    d.type_in("state=wait or state=run");
    d.keys("Enter z");
    assert_eq!(
        asked(&d, wanted::TASKS).expect("asked").filter,
        "(state=wait or state=run) and finding=any"
    );
    let list = d.model.list(ListId::Tasks);
    let all = wanted::filter(list);
    assert!(
        loop_proto::filter::Filter::parse(loop_proto::table::Table::Tasks, &all).is_ok(),
        "{all}"
    );
    // A place with a quote in it is still one value.
    d.keys("\\ z z");
    d.keys("v");
    d.frame(120, 36);
    d.keys("Enter");
    let filter = &d.model.list(ListId::Tasks).filter;
    assert_eq!(filter, "place=\"src/serve.rs:60:13\"");
    assert!(loop_proto::filter::Filter::parse(loop_proto::table::Table::Tasks, filter).is_ok());
}

#[test]
fn sorting_by_menu_by_key_and_the_same_again() {
    let mut d = calm();
    let sort = |d: &Driver| {
        asked(d, wanted::TASKS)
            .expect("asked")
            .sort
            .expect("sorted")
    };
    d.keys(">");
    assert_eq!(
        sort(&d),
        Sort {
            key: "busy".into(),
            descending: true
        },
        "right of FOR"
    );
    d.keys("I");
    assert_eq!(
        sort(&d),
        Sort {
            key: "busy".into(),
            descending: false
        }
    );
    d.keys("s Home Up Up Up Up Up Up Up Enter");
    assert_eq!(sort(&d).key, "id");
    let way = sort(&d).descending;
    d.keys("s Enter");
    assert_eq!(
        sort(&d),
        Sort {
            key: "id".into(),
            descending: !way
        }
    );
}

#[test]
fn freezing_stops_my_picture_and_nothing_else() {
    let mut d = calm();
    let before = ids(&d);
    d.keys("space");
    d.now += Duration::from_secs(42);
    let other = vec![TaskRow {
        id: 5,
        spawned_ns: 1,
        ..TaskRow::default()
    }];
    d.learn(tasks(other));
    assert_eq!(ids(&d), before);
    assert!(
        d.effects
            .iter()
            .all(|e| !matches!(e, Effect::Ask(Ask::Unwatch(s)) if *s == wanted::TASKS)),
        "the app is not told"
    );
    assert!(text(&d.frame(120, 36)).contains("‖ FROZEN 00:42 behind"));
    d.keys("space");
    assert!(ids(&d).contains(&5), "back to live at once");
}

#[test]
fn links_leave_crumbs_and_back_follows_them() {
    let mut d = calm();
    d.keys("j");
    let parent = d.model.list(ListId::Tasks).id;
    assert_eq!(parent, Some(402));
    d.keys("w");
    assert_eq!(
        d.model.ui.detail.as_ref().map(|o| o.id),
        Some(409),
        "the task it waits for"
    );
    assert_eq!(asked(&d, wanted::TASK).expect("asked").subject, Some(409));
    d.keys("Backspace");
    assert!(d.model.ui.detail.is_none() && d.model.ui.screen == Screen::Tasks);
    d.keys("j w");
    assert_eq!(
        d.model.ui.screen,
        Screen::Timers,
        "a timer is on its own screen"
    );
    assert_eq!(
        asked(&d, wanted::TIMERS).expect("asked").seek,
        Seek::Id(411),
        "and sought by its number"
    );
    d.keys("Backspace");
    assert_eq!(d.model.ui.screen, Screen::Tasks);
}

#[test]
fn what_is_sought_is_selected_or_said_to_be_gone() {
    let timer = |id: u64| TimerRow {
        id,
        ..TimerRow::default()
    };
    for (there, selected) in [(true, Some(411)), (false, Some(1))] {
        let mut d = calm();
        d.keys("j j w");
        let mut rows: Vec<TimerRow> = (1..60).map(timer).collect();
        if there {
            rows.insert(30, timer(411));
        }
        d.learn(sample::view(
            wanted::TIMERS,
            Body::Timers(sample::rows(rows)),
        ));
        assert_eq!(d.model.list(ListId::Timers).id, selected);
        assert_eq!(d.model.ui.toast.is_some(), !there);
    }
}

#[test]
fn what_made_a_timer_late_is_the_blocks_of_its_loop() {
    let mut d = sample::full();
    d.keys("4");
    d.learn(sample::view(
        wanted::TIMERS,
        Body::Timers(sample::rows(vec![TimerRow {
            id: 77,
            loop_id: 2,
            ..TimerRow::default()
        }])),
    ));
    d.keys("L");
    assert_eq!(
        (d.model.ui.screen, d.model.list(ListId::Blocks).narrow),
        (Screen::Loops, Narrow::Loop(2))
    );
    assert_eq!(asked(&d, wanted::BLOCKS).expect("asked").filter, "loop=2");
}

#[test]
fn another_run_starts_clean_and_says_so() {
    let mut d = calm();
    d.keys("j j Enter");
    d.learn(Update::Hello(Box::new(Hello {
        instance: "other".into(),
        pid: 48_307,
        ..sample::hello()
    })));
    assert!(d.model.ui.detail.is_none() && d.model.store.tasks.rows.is_empty());
    assert!(text(&d.frame(120, 36)).contains("shop-api restarted (48211 → 48307)"));
}

#[test]
fn the_same_run_after_a_break_goes_on() {
    let mut d = calm();
    let before = ids(&d);
    d.learn(Update::Link(Link::Lost {
        reason: "broken pipe".into(),
        retry_in: Duration::from_secs(1),
    }));
    d.learn(Update::Hello(Box::new(sample::hello())));
    d.learn(Update::Link(Link::Live));
    assert_eq!(ids(&d), before);
    assert!(d.model.store.is_live() && d.model.store.lost_since.is_none());
}

#[test]
fn retry_works_only_while_there_is_something_to_retry() {
    let mut d = calm();
    d.effects.clear();
    d.keys("r");
    assert!(!d.effects.contains(&Effect::Ask(Ask::Retry)));
    let mut d = sample::lost();
    d.keys("r");
    assert!(d.effects.contains(&Effect::Ask(Ask::Retry)));
}

#[test]
fn a_quick_connection_shows_no_spinner() {
    let mut d = Driver::new();
    d.learn(Update::Link(Link::Connecting {
        target: "shop".into(),
        step: "hello".into(),
    }));
    d.pass(Duration::from_millis(200));
    assert!(!text(&d.frame(80, 24)).contains("Connecting to"));
    d.pass(Duration::from_millis(200));
    assert!(text(&d.frame(80, 24)).contains("Connecting to shop"));
}

#[test]
fn hiding_a_finding_leaves_it_on_the_leaks_screen() {
    let mut d = sample::full();
    d.frame(120, 36);
    d.keys("j x");
    let names = |page: &Page<Finding>| page.rows.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    assert!(!names(&d.model.store.findings).contains(&"stranded".to_owned()));
    d.learn(sample::view(
        wanted::FINDINGS,
        Body::Findings(sample::rows(sample::findings())),
    ));
    assert!(
        !names(&d.model.store.findings).contains(&"stranded".to_owned()),
        "for the session"
    );
    d.learn(sample::view(
        wanted::LEAKS,
        Body::Leaks(sample::rows(sample::leaks())),
    ));
    assert!(names(&d.model.store.leaks).contains(&"stranded".to_owned()));
}

#[test]
fn copies_say_what_was_copied() {
    let mut d = calm();
    d.keys("y");
    assert_eq!(
        d.effects.last(),
        Some(&Effect::Copy("src/ws.rs:41:9".into()))
    );
    d.keys("Y");
    let Some(Effect::Copy(json)) = d.effects.last() else {
        panic!("{:?}", d.effects.last())
    };
    let row: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(
        (row["id"].as_str(), row["waiting_on"].as_str()),
        (Some("2071"), Some("nothing can wake it"))
    );
}

#[test]
fn keys_that_would_do_nothing_are_not_offered() {
    let mut d = calm();
    let footer = |d: &mut Driver| {
        text(&d.frame(200, 36))
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        !footer(&mut d).contains("its waker"),
        "nothing can wake the first one"
    );
    d.keys("j");
    assert!(footer(&mut d).contains("w its waker"));
    for later in ["baseline", "export", "settings"] {
        assert!(
            !loop_console::keys::document().contains(later),
            "{later} is not there yet"
        );
    }
}

#[test]
fn the_palette_finds_actions_columns_findings_tasks_and_places() {
    let mut d = calm();
    d.keys(":");
    d.type_in("freeze");
    d.keys("Enter");
    assert!(d.model.ui.frozen.is_some());
    d.keys("space :");
    d.type_in("1093");
    d.keys("Enter");
    assert_eq!(d.model.ui.detail.as_ref().map(|o| o.id), Some(1093));
    d.keys("Esc :");
    d.type_in("src/ws.rs:41");
    d.keys("Enter");
    assert_eq!(d.model.list(ListId::Tasks).filter, "\"src/ws.rs:41\"");
    d.keys(":");
    d.type_in("what stranded");
    d.keys("Enter");
    assert!(text(&d.frame(120, 36)).contains("`stranded` means"));
}

#[test]
fn columns_go_come_and_move() {
    let mut d = calm();
    let heads = |d: &mut Driver| {
        text(&d.frame(120, 36))
            .lines()
            .find(|l| l.contains("WAITING ON"))
            .expect("heads")
            .to_owned()
    };
    assert!(!heads(&mut d).contains("KIND"));
    d.keys("c j j j space Right Esc");
    let line = heads(&mut d);
    assert!(line.contains("KIND"), "{line}");
    assert!(
        line.find("LOOP") < line.find("KIND"),
        "moved one to the right: {line}"
    );
    d.keys("c");
    for _ in 0..40 {
        d.keys("space j");
    }
    d.keys("Esc");
    let frame = text(&d.frame(120, 36));
    assert!(frame.lines().count() == 36, "one column is always left");
}

#[test]
fn losses_make_counts_and_suspects_doubtful() {
    let mut d = sample::full();
    d.learn(sample::view(
        wanted::COST,
        Body::Cost(Box::new(sample::cost(312))),
    ));
    d.keys("6");
    let frame = text(&d.frame(120, 36));
    assert!(frame.contains("! lost 312"));
    assert!(line_of(&frame, "growing").contains("~suspect"), "{frame}");
    assert!(
        !line_of(&frame, "stranded").contains('~'),
        "what is certain rests on no event"
    );
}

#[test]
fn a_click_selects_a_second_one_opens_and_a_head_sorts() {
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    use loop_console::update::Message;
    let mut d = calm();
    d.model.ui.mouse = true;
    let click = |d: &mut Driver, column: u16, row: u16| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        d.send(Message::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }));
        d.frame(120, 36);
    };
    // Header, tabs, title, heads; then the rows.
    click(&mut d, 20, 6);
    assert_eq!(d.model.list(ListId::Tasks).rank, 2);
    click(&mut d, 20, 6);
    assert_eq!(d.model.ui.detail.as_ref().map(|o| o.id), Some(400));
    d.keys("Esc");
    d.frame(120, 36);
    let frame = text(&d.frame(120, 36));
    let heads = line_of(&frame, "WAITING ON");
    let at = heads.split("BUSY").next().expect("a head").chars().count() as u16;
    click(&mut d, at, 3);
    assert_eq!(
        asked(&d, wanted::TASKS).expect("asked").sort,
        Some(Sort {
            key: "busy".into(),
            descending: true
        })
    );
    click(&mut d, 3, 1);
    assert_eq!(d.model.ui.screen, Screen::Overview, "and a tab is a tab");
}

#[test]
fn the_cursor_in_a_pane_stays_on_its_task_when_others_come_and_go() {
    let mut d = sample::full();
    d.frame(120, 60);
    d.keys("7");
    d.frame(120, 60);
    d.keys("Enter j j j");
    let (_, chosen) = d.model.ui.inside.expect("it is in the pane");
    assert_eq!(chosen, Goto::Task(1_302));
    // Two that waited longer got their permits.
    let mut fewer = sample::waiting();
    fewer.waiters.drain(..2);
    d.learn(sample::view(
        wanted::WAITING,
        Body::Waiting(Some(Box::new(fewer))),
    ));
    let frame = text(&d.frame(120, 60));
    let marked = frame
        .lines()
        .filter(|line| line.starts_with('▌'))
        .find(|line| line.contains("db::query"));
    assert!(
        marked.is_some_and(|line| line.contains("1302 db::query-2")),
        "{frame}"
    );
    d.keys("Enter");
    assert_eq!(d.model.ui.detail.as_ref().map(|open| open.id), Some(1_302));
}

#[test]
fn who_comes_late_is_shown_what_was_over_before() {
    let mut d = sample::full();
    let finding = |name: &str, place: &str| Finding {
        id: 900,
        name: name.to_owned(),
        place: place.to_owned(),
        cleared: true,
        evidence: vec!["a fact".to_owned()],
        ..Finding::default()
    };
    let past = |finding: Finding, cleared: u64, times: u64| PastFinding {
        finding,
        first_ns: cleared - 9 * sample::S,
        made_ns: cleared - 3 * sample::S,
        cleared_ns: Some(cleared),
        times,
        dump: String::new(),
    };
    let came = sample::AT;
    let hour = Hour {
        from_ns: came - 3_600 * sample::S,
        findings: vec![
            past(finding("starved", "src/late.rs:7:1"), came + sample::S, 1),
            past(
                finding("ignored-cancel", "src/job.rs:9:1"),
                came - 60 * sample::S,
                12,
            ),
        ],
        blocks: vec![BlockRow {
            id: 1,
            at_ns: came - 1_800 * sample::S,
            for_ns: 412 * sample::MS,
            ..BlockRow::default()
        }],
        blocks_total: 40,
        blocks_dropped: 39,
        ..Hour::default()
    };
    let view = View {
        incomplete: String::new(),
        slot: wanted::HOUR,
        at_ns: came + 2 * sample::S,
        body: Body::Hour(Box::new(hour)),
    };
    d.keys("1");
    d.learn(Update::View(Box::new(view)));
    let frame = text(&d.frame(120, 36));
    let line = |frame: &str, name: &str| {
        let line = frame.lines().find(|line| line.contains(name));
        line.unwrap_or_else(|| panic!("{name} in {frame}"))
            .to_owned()
    };
    let before = line(&frame, "IGNORED-CANCEL src/job.rs:9");
    assert!(before.contains("12 times, before you came"), "{before}");
    let since = line(&frame, "STARVED src/late.rs:7");
    assert!(!since.contains("before you came"), "{since}");
    d.keys("3");
    let title = line(&text(&d.frame(120, 36)), "Blocks over budget");
    assert!(title.contains("40 before you came"), "{title}");
    assert!(title.contains("worst of the hour 412ms"), "{title}");
    d.keys("6");
    let frame = text(&d.frame(120, 36));
    let title = line(&frame, "Over by now");
    assert!(
        title.contains("1 in the last 60min, 1 before you came"),
        "{title}"
    );
    assert!(frame.contains("IGNORED-CANCEL") && !frame.contains("STARVED src/late"));
    // A small screen keeps its list.
    let frame = text(&d.frame(80, 24));
    assert!(line(&frame, "─ Leaks").contains("1-3 of 3"), "{frame}");
}

#[test]
fn a_tree_is_folded_and_unfolded_and_the_selection_stays_on_what_is_seen() {
    let mut d = sample::full();
    d.keys("2 t");
    d.frame(120, 36);
    let task = |id: u64, parent: Option<u64>| TaskRow {
        id,
        parent,
        name: format!("task-{id}"),
        ..TaskRow::default()
    };
    let all = || {
        let rows = vec![
            task(1, None),
            task(2, Some(1)),
            task(3, Some(2)),
            task(4, None),
        ];
        sample::view(wanted::TREE, Body::Tree(sample::rows(rows)))
    };
    let seen = |d: &Driver| -> Vec<u64> { d.model.store.tree.rows.iter().map(|t| t.id).collect() };
    d.learn(all());
    d.pass(Duration::from_secs(5));
    d.frame(120, 36);
    assert_eq!(seen(&d), [1, 2, 3, 4]);
    // On 3, which has nothing below it: its parent is folded, and selected.
    d.keys("j j -");
    assert_eq!(seen(&d), [1, 2, 4]);
    let frame = text(&d.frame(120, 36));
    assert!(line_of(&frame, "task-2").contains("+ task-2"), "{frame}");
    assert_eq!(d.model.list(ListId::Tree).id, Some(2));
    d.learn(all());
    d.pass(Duration::from_secs(5));
    assert_eq!(seen(&d), [1, 2, 4], "an answer unfolds nothing");
    d.keys("-");
    assert_eq!(seen(&d), [1, 4]);
    d.keys("+");
    assert_eq!(seen(&d), [1, 2, 4], "2 is folded still");
    d.keys("j +");
    assert_eq!(seen(&d), [1, 2, 3, 4]);
    let before = d.model.ui.layers.len();
    d.keys("+");
    assert_eq!((seen(&d).len(), d.model.ui.layers.len()), (4, before));
}

#[test]
fn what_is_told_stands_above_all_for_four_seconds_and_is_whole_or_says_that_it_is_cut() {
    let mut d = sample::full();
    d.frame(80, 24);
    let footer = text(&d.frame(80, 24)).lines().last().map(str::to_owned);
    let footer = footer.expect("the keys");
    assert!(footer.contains("q quit"), "{footer}");
    let told = "the app \u{1b}[31mrefused\u{1b}[0m the command: it takes none while it ends, which may take as long as its longest poll";
    d.learn(Update::Notice(told.into()));
    // Above what is open, too.
    d.keys("?");
    let shown = text(&d.frame(80, 24));
    let lines: Vec<&str> = shown.lines().collect();
    let words: Vec<&str> = lines[22..]
        .iter()
        .flat_map(|l| l.split_whitespace())
        .collect();
    let words = words.join(" ");
    assert!(words.contains("the app \\u{1b}[31mrefused"), "{shown}");
    assert!(words.ends_with("as its longest poll"), "whole: {shown}");
    assert!(
        !shown.contains('\u{1b}') && !shown.contains("q quit"),
        "{shown}"
    );
    d.keys("Esc");
    d.pass(Duration::from_millis(3_900));
    assert!(text(&d.frame(80, 24)).contains("longest poll"));
    d.pass(Duration::from_millis(200));
    let after = text(&d.frame(80, 24));
    assert_eq!(after.lines().last(), Some(footer.as_str()), "{after}");
    // Longer than it gets room for: five lines, and a sign that there is more.
    d.learn(Update::Notice("word ".repeat(200)));
    let shown = text(&d.frame(80, 24));
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines[19..].iter().all(|line| line.contains("word")),
        "{shown}"
    );
    assert!(
        !lines[18].contains("word") && lines[23].ends_with('…'),
        "{shown}"
    );
    // On a screen that has no more than a line, and with nothing to say.
    d.learn(Update::Notice(String::new()));
    d.frame(40, 10);
}
