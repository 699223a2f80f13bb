//! What the program says of itself: the docs page of keys is the table of keys, and every finding can
//! be explained.

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn the_page_of_keys_is_the_table_of_keys() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/keys.md");
    let head = "# Keys of the console\n\nMade from the table in `console/src/keys.rs` that input, footer and help use too: change that, then run\n`UPDATE_DOCS=1 cargo test -p loop-console --test docs`.\n";
    let expected = format!("{head}\n```text\n{}```\n", loop_console::keys::document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &expected).expect("docs can be written");
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found.replace('\r', "") == expected,
        "docs/keys.md is not what the table says: see its head"
    );
}

fn explain(arguments: &[&str]) -> Output {
    let mut console = Command::new(env!("CARGO_BIN_EXE_loop-console"));
    let output = console.arg("explain").args(arguments).output();
    output.expect("the console can be started")
}

#[test]
fn every_finding_is_explained_with_its_sentence_an_example_and_the_fix() {
    let list = String::from_utf8(explain(&[]).stdout).expect("it is text");
    for name in loop_proto::pb::FindingName::ALL {
        let (said, about) = (explain(&[name.word()]), name.explain());
        assert_eq!(said.status.code(), Some(0), "{}", name.word());
        let said = String::from_utf8(said.stdout).expect("it is text");
        for text in [
            about.summary,
            about.grade,
            about.evidence,
            about.example,
            about.fix,
        ] {
            assert!(!text.is_empty(), "{} lacks a text", name.word());
            assert!(said.contains(text), "no {text:?} in {said}");
        }
        assert!(
            list.contains(about.summary),
            "{} is not listed",
            name.word()
        );
    }
}

#[test]
fn a_finding_that_there_is_not_is_refused_with_the_list() {
    for (name, meant) in [
        ("strandet", "Did you mean stranded?"),
        ("gremlins", "There are:"),
    ] {
        let said = explain(&[name]);
        assert_eq!(said.status.code(), Some(2), "{name}");
        assert!(
            said.stdout.is_empty(),
            "what is wrong goes to the other stream"
        );
        let said = String::from_utf8(said.stderr).expect("it is text");
        for word in [meant, name, "left-behind", "wake-storm"] {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }
}
