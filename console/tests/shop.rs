//! The screens against the schema's made-up shop: every question goes through the real encoder, is answered by the code that
//! an app runs, and comes back through the real decoder.

use std::time::Duration;

use loop_console::drive::{Driver, text};
use loop_console::model::ListId;
use loop_console::store::decode::{self, Decoder};
use loop_console::store::*;
use loop_console::update::{Ask, Effect, act};
use loop_proto::fixture::{Shop, Viewer, blocked_shop, crowded_shop, shop};
use loop_proto::message::split_view;
use loop_proto::pb;

/// A console attached to a shop.
struct Visit {
    d: Driver,
    viewer: Viewer,
    decoder: Decoder,
    size: (u16, u16),
}

impl Visit {
    fn new(shop: Shop) -> Self {
        let mut d = Driver::new();
        d.now = Duration::from_secs(100);
        d.learn(Update::Hello(Box::new(decode::hello(shop.hello.clone()))));
        d.learn(Update::Link(Link::Live));
        let events = pb::EventBatch {
            interned: shop.interned.clone(),
            events: shop.events.clone(),
            ..Default::default()
        };
        d.learn(Update::Events(Decoder::new().events(events)));
        let mut visit = Visit {
            d,
            viewer: Viewer::new(shop),
            decoder: Decoder::new(),
            size: (120, 36),
        };
        visit.answer();
        visit
    }

    /// Answers all that was asked since.
    fn answer(&mut self) {
        for _ in 0..10 {
            self.d.frame(self.size.0, self.size.1);
            let asks = std::mem::take(&mut self.d.effects);
            if asks.is_empty() {
                return;
            }
            for effect in asks {
                let Effect::Ask(Ask::Watch(q)) = effect else {
                    continue;
                };
                // A question that was replaced meanwhile is not answered, as the transport promises.
                if self.d.model.ui.asked.get(&q.slot) != Some(&q) {
                    continue;
                }
                let answer = match decode::query(&q, 1) {
                    Some(message) => {
                        // Parts far smaller than in life, so that every answer of some size comes in several.
                        let parts = split_view(self.viewer.answer(&message), 2_000);
                        let mut whole: Vec<View> = parts
                            .into_iter()
                            .filter_map(|part| self.decoder.view(part, q.table))
                            .collect();
                        assert_eq!(whole.len(), 1, "one answer, however many parts");
                        whole.remove(0)
                    }
                    None => {
                        let id = q.subject.expect("a task is asked for by its id");
                        let body = match self.viewer.task(&pb::TaskRequest {
                            id,
                            ..pb::TaskRequest::default()
                        }) {
                            Some(detail) => Body::Task(Box::new(Decoder::task_detail(detail))),
                            None => Body::NoTask { id },
                        };
                        View {
                            incomplete: String::new(),
                            slot: q.slot,
                            at_ns: self.viewer.shop().at_ns,
                            body,
                        }
                    }
                };
                self.d.learn(Update::View(Box::new(answer)));
            }
        }
        panic!("ten rounds, and still something is asked");
    }

    fn keys(&mut self, keys: &str) {
        for key in keys.split(' ') {
            self.d.keys(key);
            self.answer();
        }
    }

    fn type_in(&mut self, text: &str) {
        self.d.type_in(text);
        self.answer();
    }

    fn frame(&mut self) -> String {
        text(&self.d.frame(self.size.0, self.size.1))
    }
}

fn snapshot(name: &str, frame: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, frame);
    });
}

#[test]
fn every_screen_of_the_shop() {
    let mut visit = Visit::new(shop());
    for (key, name) in [
        ("1", "overview"),
        ("2", "tasks"),
        ("3", "loops"),
        ("4", "timers"),
        ("5", "io"),
        ("6", "leaks"),
        ("7", "resources"),
        ("8", "jobs"),
        ("9", "children"),
    ] {
        visit.keys(key);
        snapshot(&format!("shop_{name}"), &visit.frame());
    }
    visit.keys("2 v");
    snapshot("shop_places", &visit.frame());
    visit.keys("t");
    snapshot("shop_tree", &visit.frame());
}

#[test]
fn every_finding_leads_somewhere_and_can_be_explained() {
    let mut visit = Visit::new(shop());
    let n = visit.d.model.store.findings.len();
    assert!(n >= 5, "the shop has much wrong with it");
    for i in 0..n {
        visit.keys("d");
        let frame = visit.frame();
        assert!(frame.contains("Try"), "finding {i}:\n{frame}");
        visit.keys("Esc Enter");
        let ui = &visit.d.model.ui;
        assert!(
            !ui.crumbs.is_empty(),
            "finding {i} leads nowhere: {:?}",
            visit.d.model.store.findings.rows[i as usize]
        );
        let frame = visit.frame();
        assert!(!frame.contains("reading"), "finding {i}:\n{frame}");
        visit.keys("Backspace j");
    }
}

#[test]
fn the_page_of_a_task_is_full() {
    let mut visit = Visit::new(shop());
    visit.keys("1 Enter");
    assert!(
        visit.d.model.ui.detail.is_some(),
        "the worst finding is about a task"
    );
    snapshot("shop_task", &visit.frame());
    for _ in 0..10 {
        visit.keys("Tab +");
        assert!(!visit.frame().contains("reading task"));
        visit.keys("+");
    }
}

#[test]
fn no_column_and_no_narrowing_is_refused() {
    let mut visit = Visit::new(shop());
    for (keys, list) in [
        ("2", ListId::Tasks),
        ("2 v", ListId::Groups),
        ("3", ListId::Blocks),
        ("4", ListId::Timers),
        ("5", ListId::Io),
        ("6", ListId::Leaks),
    ] {
        visit.keys(keys);
        for _ in 0..act::sortable(&visit.d.model, list).len() {
            visit.keys("> I");
            assert!(
                visit.d.model.store.refused.is_empty(),
                "{list:?} {:?}",
                visit.d.model.store.refused
            );
        }
        for _ in 0..5 {
            visit.keys("z");
            assert!(
                visit.d.model.store.refused.is_empty(),
                "{list:?} {:?}",
                visit.d.model.store.refused
            );
        }
    }
}

#[test]
fn a_filter_counts_and_drops() {
    let mut visit = Visit::new(shop());
    visit.keys("2 /");
    visit.type_in("state=wait for>30s");
    let (matched, total) = (
        visit.d.model.store.tasks.matched,
        visit.d.model.store.tasks.total,
    );
    assert!(0 < matched && matched < total);
    let frame = visit.frame();
    assert!(frame.contains(&format!("{matched} of {total}")), "{frame}");
    visit.keys("Enter /");
    visit.type_in(" name~nothing-is-called-this");
    visit.keys("Enter");
    let frame = visit.frame();
    assert!(
        frame.contains("No tasks match") && frame.contains("\\ drops"),
        "{frame}"
    );
    visit.keys("\\");
    assert_eq!(visit.d.model.store.tasks.matched, total);
}

#[test]
fn a_tree_and_a_list_share_their_filter_and_lead_to_the_same_tasks() {
    let mut visit = Visit::new(shop());
    visit.keys("2 /");
    visit.type_in("batch");
    visit.keys("Enter t");
    let tree = &visit.d.model.store.tree;
    assert!(
        tree.rows.len() > 5 && tree.rows.iter().any(|t| t.depth == 1),
        "{:?}",
        tree.rows.len()
    );
    assert_eq!(tree.matched, visit.d.model.store.tasks.matched);
    visit.keys("j Enter");
    let id = visit.d.model.store.tree.rows[1].id;
    assert_eq!(visit.d.model.ui.detail.as_ref().map(|o| o.id), Some(id));
    visit.keys("Esc \\ t");
    assert_eq!(
        visit.d.model.list(ListId::Tasks).filter,
        "",
        "dropped here is dropped there"
    );
}

#[test]
fn leaks_are_filtered_like_any_list() {
    let mut visit = Visit::new(shop());
    visit.keys("6 /");
    let all = visit.d.model.store.leaks.matched;
    visit.type_in("grade=certain or place=job.rs:9");
    let leaks = &visit.d.model.store.leaks;
    assert!(0 < leaks.matched && leaks.matched < all && leaks.rows.iter().all(Finding::is_leak));
    assert!(
        visit.d.model.store.findings.matched > all,
        "the overview's list is its own"
    );
}

#[test]
fn ended_tasks_are_a_narrowing_away() {
    let mut visit = Visit::new(shop());
    visit.keys("2 z z z");
    let frame = visit.frame();
    assert!(
        frame.contains("ended tasks") && frame.contains("DONE"),
        "{frame}"
    );
}

#[test]
fn a_block_that_goes_on_is_on_every_screen_it_concerns() {
    let mut visit = Visit::new(blocked_shop());
    assert!(
        visit.frame().contains("blocked 179ms") || visit.frame().contains("blocked 1"),
        "{}",
        visit.frame()
    );
    visit.keys("3");
    let frame = visit.frame();
    assert!(frame.contains("BLOCKED now for 179ms"), "{frame}");
    assert!(frame.contains(">179ms"), "{frame}");
    assert!(
        frame.contains("◄ blamed"),
        "its stack, while it lasts:\n{frame}"
    );
    snapshot("shop_blocked", &frame);
}

#[test]
fn a_crowd_is_sorted_and_scrolled_by_the_app() {
    let mut visit = Visit::new(crowded_shop(20_000));
    visit.keys("2 G");
    let total = visit.d.model.store.tasks.total;
    assert!(total >= 20_000);
    let frame = visit.frame();
    assert!(
        !frame.contains("… reading") && visit.d.model.store.tasks.rows.len() < 400,
        "{frame}"
    );
    assert_eq!(visit.d.model.list(ListId::Tasks).rank, total - 1);
    visit.keys("> g g");
    let first = visit.d.model.store.tasks.rows.first().map(|t| t.id);
    assert_eq!(visit.d.model.list(ListId::Tasks).id, first);
    // A timer far down its list is found by its number.
    visit.keys("2 /");
    visit.type_in("wait=timer");
    visit.keys("Enter w");
    let list = visit.d.model.list(ListId::Timers);
    if visit.d.model.ui.screen == loop_console::model::Screen::Timers
        && visit.d.model.ui.toast.is_none()
    {
        let row = visit.d.model.store.timers.at(list.rank).expect("at hand");
        assert_eq!(Some(row.id), list.id);
    }
}

/// With `SHOTS=dir` in the environment the pictures are written there: how those of the docs are made.
#[test]
fn every_screen_can_be_a_picture() {
    let mut visit = Visit::new(shop());
    for (keys, name) in [
        ("1", "overview"),
        ("2", "tasks"),
        ("3", "loops"),
        ("4", "timers"),
        ("5", "io"),
        ("6", "leaks"),
        ("7", "resources"),
        ("8", "jobs"),
        ("9", "children"),
        ("1 Enter", "task"),
    ] {
        visit.keys(keys);
        let frame = visit.d.frame(visit.size.0, visit.size.1);
        let svg = loop_console::picture::svg(&frame);
        assert!(
            svg.starts_with("<svg")
                && svg.trim_end().ends_with("</svg>")
                && svg.contains("shop-api")
        );
        if let Some(dir) = std::env::var_os("SHOTS") {
            std::fs::write(std::path::Path::new(&dir).join(format!("{name}.svg")), svg)
                .expect("the directory of SHOTS is writable");
        }
    }
}

/// The id that the opened task has.
fn opened(visit: &Visit) -> Option<u64> {
    visit.d.model.ui.detail.as_ref().map(|open| open.id)
}

/// Opens a task by its number.
fn open_task(visit: &mut Visit, id: u64) {
    visit.keys(":");
    visit.type_in(&id.to_string());
    visit.keys("Enter");
    assert_eq!(opened(visit), Some(id));
}

#[test]
fn who_waits_for_a_resource_is_listed_in_full_and_each_leads_to_its_task() {
    let mut visit = Visit::new(shop());
    visit.size = (120, 60);
    visit.keys("7");
    let frame = visit.frame();
    assert!(frame.contains("24 tasks wait for it"), "{frame}");
    for n in [0, 23] {
        assert!(frame.contains(&format!("db::query-{n} ")), "{n}:\n{frame}");
    }
    // The first link is who made it, the others wait.
    visit.keys("Enter j j");
    assert_eq!(visit.d.model.ui.inside, Some((2, Goto::Task(1_301))));
    visit.keys("Enter");
    assert_eq!(opened(&visit), Some(1_301));
    visit.keys("Backspace");
    assert_eq!(visit.d.model.list_id(), Some(ListId::Resources));
    visit.keys("Enter Esc");
    assert_eq!(visit.d.model.ui.inside, None, "Esc leaves the pane");
    visit.keys("j");
    assert_eq!(visit.d.model.list(ListId::Resources).rank, 1);
}

#[test]
fn a_wait_leads_to_what_is_waited_for_and_w_to_who_holds_it() {
    let mut visit = Visit::new(shop());
    // The task; the list that holds what it waits for; its row there.
    for (task, list, row) in [
        (312, ListId::Resources, 21),
        (770, ListId::Resources, 25),
        (610, ListId::Children, 31),
        (650, ListId::Jobs, 8),
        (611, ListId::Io, 52),
    ] {
        open_task(&mut visit, task);
        visit.keys("Tab Enter");
        assert_eq!(visit.d.model.list_id(), Some(list), "task {task}");
        assert_eq!(visit.d.model.list(list).id, Some(row), "task {task}");
    }
    open_task(&mut visit, 312);
    visit.keys("w");
    assert_eq!(opened(&visit), Some(298), "the holder of the lock");
}

#[test]
fn a_task_that_waits_in_several_ways_shows_every_arm() {
    let mut visit = Visit::new(shop());
    open_task(&mut visit, 760);
    visit.keys("Tab +");
    let frame = visit.frame();
    for arm in [
        "timer in",
        "io r fd 12",
        "queue 22",
        "job 7",
        "signal SIGTERM",
    ] {
        assert!(frame.contains(arm), "{arm}:\n{frame}");
    }
    visit.keys("j j Enter");
    assert_eq!(visit.d.model.list(ListId::Resources).id, Some(22));
}

#[test]
fn a_reader_of_a_childs_output_says_whose_it_is_and_that_it_lives() {
    let mut visit = Visit::new(shop());
    open_task(&mut visit, 611);
    let frame = visit.frame();
    assert!(
        frame.contains("io r fd 52 stdout of pid 48978 (ping, alive)"),
        "{frame}"
    );
}

#[test]
fn a_cancelled_task_says_who_asked_and_a_busy_one_its_variables() {
    let mut visit = Visit::new(shop());
    open_task(&mut visit, 650);
    let frame = visit.frame();
    assert!(frame.contains("by task 1 main"), "{frame}");
    open_task(&mut visit, 1093);
    visit.keys("Tab Tab +");
    let frame = visit.frame();
    assert!(
        frame.contains("REQUEST_ID") && frame.contains("TENANT\\u{1b}[31m"),
        "{frame}"
    );
}

#[test]
fn what_a_task_made_and_gave_is_on_its_page() {
    let mut visit = Visit::new(shop());
    open_task(&mut visit, 650);
    visit.keys("S-Tab S-Tab S-Tab +");
    let frame = visit.frame();
    for thing in ["job 8 nightly-report running", "child 48979 tar exit 2"] {
        assert!(frame.contains(thing), "{thing}:\n{frame}");
    }
}
