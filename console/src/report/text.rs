//! A report as text: 80 columns, no colours, every text of the app escaped. Knows not how anything was asked.

mod app;
mod blocks;
mod findings;
mod page;
mod recorder;
mod strips;

use super::facts::Facts;
use page::Page;

/// One page about everything.
pub fn report(facts: &Facts, utc_offset_s: i32, ascii: bool) -> String {
    let mut page = Page::new(facts, utc_offset_s, ascii);
    page.who();
    page.totals();
    page.loops();
    page.findings();
    if let Some(hour) = &facts.hour {
        page.hour(hour);
    }
    page.events();
    page.cost();
    page.unknown();
    page.text
}

/// The last hour alone.
pub fn history(facts: &Facts, utc_offset_s: i32, ascii: bool) -> String {
    let mut page = Page::new(facts, utc_offset_s, ascii);
    let hello = &facts.hello;
    page.wrapped(0, &format!("{} (pid {})", hello.name, hello.pid));
    if let Some(hour) = &facts.hour {
        page.holding(hour);
        page.hour(hour);
    }
    page.text
}
