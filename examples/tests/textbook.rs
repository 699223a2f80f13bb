//! The textbook in both languages: the same programs, in the same order.

/// What stands between fences, with the word after the opening one.
fn programs(text: &str) -> Vec<&str> {
    text.split("\n```").skip(1).step_by(2).collect()
}

#[test]
fn both_languages_show_the_same_programs() {
    let english = programs(include_str!("../../docs/textbook.md"));
    let chinese = programs(include_str!("../../docs/textbook.zh.md"));
    assert!(english.len() > 30, "only {} programs", english.len());
    assert_eq!(english, chinese);
}

#[test]
fn every_example_that_the_textbook_names_is_there() {
    let text = include_str!("../../docs/textbook.md");
    let lines = text.lines().filter(|line| line.starts_with("Example"));
    let manifest = include_str!("../Cargo.toml");
    let mut named = 0;
    for line in lines {
        for name in line.split('`').skip(1).step_by(2) {
            let listed = manifest.contains(&format!("name = \"{name}\""));
            let file = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
            assert!(
                listed || std::path::Path::new(&file).exists(),
                "there is no example `{name}`"
            );
            named += 1;
        }
    }
    assert!(named >= 20, "only {named} examples named");
}

/// Every word that the runtime's sources declare: functions, types, macros, modules, variants.
fn declared() -> std::collections::BTreeSet<String> {
    fn visit(folder: &std::path::Path, words: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                visit(&path, words);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                for line in text.lines() {
                    let line = line.trim_start();
                    let public = line.starts_with("pub ")
                        || line.starts_with("macro_rules!")
                        || line.starts_with("fn ");
                    if public {
                        let words_of = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                        words.extend(words_of.filter(|w| !w.is_empty()).map(str::to_owned));
                    }
                }
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime");
    let mut words = std::collections::BTreeSet::new();
    visit(&root.join("src"), &mut words);
    visit(&root.join("macros/src"), &mut words);
    words
}

#[test]
fn every_name_of_ours_in_the_tables_is_there() {
    let declared = declared();
    let mut checked = 0;
    for (file, text) in [
        ("asyncio.md", include_str!("../../docs/asyncio.md")),
        ("tokio.md", include_str!("../../docs/tokio.md")),
    ] {
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let ours = row.split(" | ").nth(1).unwrap_or("");
            for code in ours.split('`').skip(1).step_by(2) {
                for word in code.split(|c: char| !c.is_alphanumeric() && c != '_') {
                    let ours = !word.is_empty() && word != "loop_runtime" && word != "loop";
                    if ours && word != "console" && word != "tls" {
                        assert!(declared.contains(word), "{file}: `{code}` of: {row}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 150, "only {checked} names");
}
