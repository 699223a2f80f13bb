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
                        let body = match self.viewer.task(&pb::TaskRequest { id, blocks: 0 }) {
                            Some(detail) => Body::Task(Box::new(Decoder::task_detail(detail))),
                            None => Body::NoTask { id },
                        };
                        View {
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
