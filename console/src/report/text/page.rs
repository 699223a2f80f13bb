//! The page that a report is written on: lines of 80 columns, heads, and texts that are wrapped and escaped. Knows not what is
//! written.

use crate::print::{plain, safe};
use crate::report::WIDTH;
use crate::report::facts::Facts;
use crate::view::columns::Look;
use crate::view::fmt;
use crate::view::glyph::ascii_of;

/// Lines of at most 80 columns.
pub(super) struct Page<'a> {
    pub(super) text: String,
    pub(super) facts: &'a Facts,
    pub(super) look: Look,
    pub(super) ascii: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(facts: &'a Facts, utc_offset_s: i32, ascii: bool) -> Self {
        Page {
            text: String::new(),
            facts,
            look: plain::look(&facts.hello, facts.at_ns, utc_offset_s),
            ascii,
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if self.ascii {
            // Texts of the app are ASCII by now; what is left are glyphs of ours.
            let stand_in = |glyph: char| match glyph {
                _ if glyph.is_ascii() => glyph,
                _ => ascii_of(glyph.encode_utf8(&mut [0; 4]))
                    .chars()
                    .next()
                    .unwrap_or('?'),
            };
            self.text.extend(line.chars().map(stand_in));
        } else {
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    pub(super) fn head(&mut self, title: &str, note: &str) {
        self.line("");
        let rest = WIDTH.saturating_sub(fmt::width(title) + fmt::width(note) + 2);
        let rule = "─";
        let line = if note.is_empty() {
            format!("{title} {}", rule.repeat(rest + 1))
        } else {
            format!("{title} {} {note}", rule.repeat(rest))
        };
        self.line(&line);
    }

    /// A text of any length in lines that all begin at column `indent`.
    pub(super) fn wrapped(&mut self, indent: usize, text: &str) {
        self.hanging("", indent, text);
    }

    /// The same, with a mark in the first line before that column.
    pub(super) fn hanging(&mut self, mark: &str, indent: usize, text: &str) {
        let room = WIDTH.saturating_sub(indent).max(20);
        let mut first = true;
        let text = safe(text, self.ascii).into_owned();
        for line in wrap(&text, room) {
            let mark = if std::mem::take(&mut first) { mark } else { "" };
            let pad = " ".repeat(indent.saturating_sub(fmt::width(mark)));
            self.line(&format!("{mark}{pad}{line}"));
        }
    }

    pub(super) fn item(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.hanging(name, 12, text);
        }
    }

    pub(super) fn ago(&self, ns: u64) -> String {
        format!("{} ago", fmt::span(self.look.ago(ns)))
    }

    pub(super) fn rest(&mut self, all: usize, shown: usize) {
        let more = all.saturating_sub(shown) as u64;
        if more > 0 {
            self.line(&format!("{} more: --json has all.", fmt::count(more)));
        }
    }
}

/// Words in lines of at most `room` columns; a word that is longer by itself is broken.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let wide = fmt::width(word);
        if used > 0 && used + 1 + wide > room {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            lines.last_mut().expect("there is one").push(' ');
            used += 1;
        }
        for letter in word.chars() {
            let wide = fmt::width(letter.encode_utf8(&mut [0; 4]));
            if used + wide > room {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().expect("there is one").push(letter);
            used += wide;
        }
    }
    lines
}
