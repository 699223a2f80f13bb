//! Reports of the made-up shop: what they look like, and what no text of an app can do to them.

use loop_proto::fixture::{Shop, Viewer, shop};
use loop_proto::pb;

use super::facts::Facts;
use super::{WIDTH, json, text};
use crate::store::Table;
use crate::store::decode::Decoder;
use crate::view::fmt;

fn facts(of: Shop) -> Facts {
    let mut facts = Facts::of(of.hello.clone());
    let mut viewer = Viewer::new(of);
    let mut decoder = Decoder::new();
    for (table, target) in [
        (Table::Overview, pb::Target::Overview),
        (Table::Cost, pb::Target::Cost),
        (Table::Loops, pb::Target::Loops),
        (Table::Findings, pb::Target::Findings),
        (Table::Hour, pb::Target::Hour),
    ] {
        let query = pb::Query {
            slot: 1,
            target: target as i32,
            limit: 1_000,
            ..pb::Query::default()
        };
        let view = decoder.view(viewer.answer(&query), table);
        facts.take(view.expect("one part"));
    }
    facts
}

#[test]
fn a_report_is_one_page_of_eighty_columns() {
    let page = text::report(&facts(shop()), 0, false);
    for line in page.lines() {
        assert!(
            fmt::width(line) <= WIDTH,
            "{} columns: {line}",
            fmt::width(line)
        );
    }
    insta::assert_snapshot!(page);
}

#[test]
fn the_last_hour_alone_says_what_is_over_and_since_when() {
    let page = text::history(&facts(shop()), 0, true);
    assert!(page.is_ascii(), "{page}");
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "at src/orders.rs:120, over 39:00 ago, held 02:00, made 3 times since 13:18:25";
    assert!(words.contains(said), "{page}");
    assert!(!page.contains("What looking costs"));
}

#[test]
fn json_has_the_key_of_its_command_and_everything_the_page_leaves_out() {
    let facts = facts(shop());
    let value: serde_json::Value = serde_json::from_str(&json::report(&facts)).unwrap();
    assert_eq!(value["schema"], 1);
    let report = &value["report"];
    assert_eq!(report["app"]["name"], "shop-api");
    assert_eq!(report["host"]["cgroup_cpus"], 2.0);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), facts.findings.len());
    assert!(findings.iter().all(|f| f["fix"].as_str().is_some()));
    let blocks = report["history"]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), facts.hour.as_ref().unwrap().blocks.len());
    assert!(!blocks[0]["stack"].as_array().unwrap().is_empty());
    assert!(!report["unknown"].as_array().unwrap().is_empty());
    let value: serde_json::Value = serde_json::from_str(&json::history(&facts)).unwrap();
    assert_eq!(
        (&value["schema"], &value["pid"]),
        (&1.into(), &facts.hello.pid.into())
    );
    let past = value["history"]["findings"].as_array().unwrap();
    assert_eq!(past.iter().filter(|past| past["holds"] == false).count(), 2);
}

#[test]
fn no_text_of_the_app_reaches_the_terminal_raw_or_breaks_the_page() {
    let evil = "\u{1b}]0;pwned\u{7}\u{1b}[2J\r\n\u{202e}x";
    let mut shop = shop();
    for interned in &mut shop.interned {
        interned.text = format!("{evil}{}", interned.text.repeat(5));
    }
    shop.hello.app_name = evil.repeat(4);
    shop.hello.hostname = evil.to_owned();
    shop.hello.executable = evil.repeat(9);
    for past in &mut shop.past {
        let finding = past.finding.as_mut().unwrap();
        finding.evidence = vec![evil.repeat(7)];
        past.dump = evil.to_owned();
    }
    shop.hour.host.as_mut().unwrap().kernel = evil.to_owned();
    for page in [
        text::report(&facts(shop.clone()), 0, false),
        text::history(&facts(shop), 0, true),
    ] {
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert_eq!(page.chars().find(|c| bad(*c)), None, "{page:?}");
        assert!(page.lines().all(|line| fmt::width(line) <= WIDTH), "{page}");
    }
}

#[test]
fn what_an_older_app_does_not_tell_is_said_to_be_unknown() {
    let mut facts = facts(shop());
    facts.hour = None;
    let page = text::report(&facts, 0, false);
    assert!(page.contains("does not keep the last hour"), "{page}");
    assert!(page.contains("cgroup quota not known"), "{page}");
}
