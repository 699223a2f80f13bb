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
