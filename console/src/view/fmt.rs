//! Numbers, spans, places and cuts as text. Knows widths, not screens.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// A span, at most 8 columns: `40µs`, `1.2ms`, `412ms`, `1.9s`, `00:32`, `02:01:12`, `3d 04h`.
pub fn span(ns: u64) -> String {
    match ns {
        0 => "0".into(),
        _ if ns < US => format!("{ns}ns"),
        _ if ns < 10 * US => tenths(ns, US, "µs"),
        _ if ns < MS => format!("{}µs", ns / US),
        _ if ns < 10 * MS => tenths(ns, MS, "ms"),
        _ if ns < S => format!("{}ms", ns / MS),
        _ if ns < 10 * S => tenths(ns, S, "s"),
        _ => clock(ns / S),
    }
}

/// One decimal, cut and not rounded, so that 9.99 does not become 10.0; whole numbers drop it.
fn tenths(ns: u64, unit: u64, name: &str) -> String {
    match ns * 10 / unit % 10 {
        0 => format!("{}{name}", ns / unit),
        tenth => format!("{}.{tenth}{name}", ns / unit),
    }
}

/// Whole seconds: `00:32`, `38:04`, `02:01:12`, `3d 04h`.
pub fn clock(s: u64) -> String {
    let (d, h, m, s) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    match (d, h) {
        (0, 0) => format!("{m:02}:{s:02}"),
        (0, _) => format!("{h:02}:{m:02}:{s:02}"),
        _ => format!("{d}d {h:02}h"),
    }
}

/// How far something reaches back, in words fit for a title: `12s`, `60s`, `10min`, `2h`.
pub fn window(ns: u64) -> String {
    match ns {
        _ if ns < S => span(ns),
        _ if ns < 120 * S => format!("{}s", ns / S),
        _ if ns < 7_200 * S => format!("{}min", ns / (60 * S)),
        _ => format!("{}h", ns / (3_600 * S)),
    }
}

/// Hours always there: how long an app has been up.
pub fn uptime(s: u64) -> String {
    if s < 86_400 {
        format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
    } else {
        clock(s)
    }
}

/// A count with its thousands apart: `1,284`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A count and its noun: `1 waker`, `2 wakers`.
pub fn many(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A share of 1 as a percentage with one decimal.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// A rate per second: `182/s`, `0.4/s`.
pub fn rate(per_s: f64) -> String {
    if per_s >= 10.0 || per_s == 0.0 {
        format!("{}/s", count(per_s.round() as u64))
    } else {
        format!("{per_s:.1}/s")
    }
}

/// Bytes: `812 B`, `18.2 KiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A place as people write it: no column, a dependency as `crate-1.2.3/src/x.rs:9`, the standard library as `std/…`.
///
/// `file:line:column` in; anything else comes back as it is.
pub fn place(place: &str) -> Cow<'_, str> {
    let line = without_column(place);
    for (mark, skip, head) in [
        ("/registry/src/", 1, ""),
        ("/git/checkouts/", 0, ""),
        ("/rustc/", 1, "std/"),
    ] {
        if let Some(at) = line.find(mark) {
            let mut rest = &line[at + mark.len()..];
            for _ in 0..skip {
                rest = rest.split_once('/').map_or(rest, |(_, tail)| tail);
            }
            let rest = if head.is_empty() {
                rest
            } else {
                rest.strip_prefix("library/").unwrap_or(rest)
            };
            return if head.is_empty() {
                Cow::Borrowed(rest)
            } else {
                Cow::Owned(format!("{head}{rest}"))
            };
        }
    }
    Cow::Borrowed(line)
}

fn without_column(place: &str) -> &str {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    match place.rsplit_once(':') {
        Some((head, column))
            if number(column) && head.rsplit_once(':').is_some_and(|(_, line)| number(line)) =>
        {
            head
        }
        _ => place,
    }
}

/// Columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Parts with dots between, as many as fit: the last ones are left out whole, so that no number is cut.
pub fn joined(parts: &[String], max: usize) -> String {
    let mut out = String::new();
    for part in parts {
        let gap = if out.is_empty() { "" } else { " · " };
        if !out.is_empty() && width(&out) + width(gap) + width(part) > max {
            break;
        }
        out.push_str(gap);
        out.push_str(part);
    }
    cut_end(&out, max).into_owned()
}

/// A text over several lines of at most so many columns, broken at spaces. All but the first begin under the first's text,
/// two columns further in; a word that is longer than a line is cut.
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    if width(text) <= max || max < 8 {
        return vec![cut_end(text, max).into_owned()];
    }
    let body = text.trim_start();
    let begin = " ".repeat((text.len() - body.len()).min(max / 2));
    let mut lines = Vec::new();
    let mut line = begin.clone();
    let mut empty = true;
    for word in body.split(' ') {
        if !empty && width(&line) + 1 + width(word) > max {
            lines.push(std::mem::replace(&mut line, format!("{begin}  ")));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        // What is longer than a line, a path for instance, goes on in the next one.
        let mut word = word;
        loop {
            let room = max.saturating_sub(width(&line)).max(1);
            let part = head(word, room);
            let fits = part.len() == word.len();
            line.push_str(part);
            if fits || part.is_empty() {
                break;
            }
            word = &word[part.len()..];
            lines.push(std::mem::replace(&mut line, format!("{begin}  ")));
        }
        empty = false;
    }
    lines.push(line);
    lines
}

/// Cuts the end off: `report::ren…`.
pub fn cut_end(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    if max == 0 {
        return Cow::Borrowed("");
    }
    let mut out = String::from(head(text, max - 1));
    out.push('…');
    Cow::Owned(out)
}

/// Cuts a place in the middle, so that the file's end and the line stay: `src/…/report.rs:88`.
pub fn cut_middle(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    if max == 0 {
        return Cow::Borrowed("");
    }
    // The tail is what tells places apart.
    let before = (max - 1) / 4;
    let mut out = String::from(head(text, before));
    out.push('…');
    out.push_str(tail(text, max - 1 - width(head(text, before))));
    Cow::Owned(out)
}

fn head(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > max {
            return &text[..at];
        }
    }
    text
}

fn tail(text: &str, max: usize) -> &str {
    let mut used = 0;
    let mut from = text.len();
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > max {
            break;
        }
        from = at;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_two_or_three_figures() {
        let shown: Vec<String> = [
            0,
            940,
            1_500,
            40_000,
            999_999,
            1_200_000,
            412_000_000,
            1_900_000_000,
            9_999_999_999,
            38 * 60 * S + 4 * S,
            7_272 * S,
        ]
        .map(span)
        .into();
        assert_eq!(
            shown,
            [
                "0", "940ns", "1.5µs", "40µs", "999µs", "1.2ms", "412ms", "1.9s", "9.9s", "38:04",
                "02:01:12"
            ]
        );
        assert!(
            [u64::MAX, S * 86_399, S * 86_400 * 9]
                .iter()
                .all(|ns| width(&span(*ns)) <= 12)
        );
    }

    #[test]
    fn a_place_loses_its_column_and_its_machine() {
        assert_eq!(place("src/ws.rs:41:9"), "src/ws.rs:41");
        let vendored =
            "/home/me/.cargo/registry/src/index-1949cf8c6b5b557f/hyper-1.12.0/src/x.rs:9:1";
        assert_eq!(place(vendored), "hyper-1.12.0/src/x.rs:9");
        assert_eq!(
            place("/rustc/abc123/library/core/src/task.rs:5:1"),
            "std/core/src/task.rs:5"
        );
        assert_eq!(place("nowhere"), "nowhere");
        assert_eq!(place(""), "");
    }

    #[test]
    fn cuts_fit_and_keep_the_line_number() {
        for max in 0..30 {
            assert!(width(&cut_end("report::render_the_pdf", max)) <= max);
            assert!(width(&cut_middle("crates/reporting/src/report.rs:88", max)) <= max);
        }
        assert_eq!(
            cut_middle("crates/reporting/src/report.rs:88", 16),
            "cra…report.rs:88"
        );
        assert_eq!(cut_end("日本語のタスク", 5), "日本…");
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let parts = ["armed 2", "late max 457ms", "cancelled 1.1%"].map(str::to_owned);
        assert_eq!(
            joined(&parts, 80),
            "armed 2 · late max 457ms · cancelled 1.1%"
        );
        assert_eq!(joined(&parts, 40), "armed 2 · late max 457ms");
        assert_eq!(joined(&parts, 5), "arme…");
    }

    #[test]
    fn a_wrapped_text_keeps_every_word_and_its_indent() {
        let text = "  Try: keep and await the handle, drop senders when done.";
        let lines = wrap(text, 24);
        assert!(lines.iter().all(|line| width(line) <= 24), "{lines:?}");
        assert!(lines[0].starts_with("  Try") && lines[1].starts_with("    "));
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&lines.join(" ")), words(text));
        assert_eq!(wrap("short", 24), ["short"]);
    }

    #[test]
    fn counts_part_their_thousands() {
        assert_eq!(
            [0, 999, 1_284, 1_000_000].map(count),
            ["0", "999", "1,284", "1,000,000"]
        );
    }
}
