//! The docs page of keys is the table of keys.

use std::path::Path;

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
