//! What the screens show, as text: every screen in every state at every size that has a layout of its own.

mod sample;

use loop_console::drive::text;

#[test]
fn the_overview_says_what_is_wrong_first() {
    let mut d = sample::full();
    d.frame(120, 36);
    let frame = text(&d.frame(120, 36));
    assert!(frame.contains("▲ BLOCKED"), "{frame}");
}
