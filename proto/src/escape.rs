//! Makes text that an app chose (names, paths, addresses, error messages) fit to be shown: no
//! character of it moves the cursor, hides, reorders or overlaps its neighbours. Knows neither
//! terminals nor colours; the result is for eyes, not for reading back.
//!
//! | what | becomes |
//! |---|---|
//! | C0 and C1 controls, ESC, DEL, line and paragraph separators | `\n`, `\t`, `\u{1b}` |
//! | bidi marks, overrides and isolates; zero-width characters; soft hyphen; fillers; tags | `\u{202e}` |
//! | variation selectors, blanks other than the space, private and unassigned characters | `\u{fe0f}` |
//! | combining marks, as the first character or after [`MARKS`] others on one base | `\u{301}` |
//! | more than the wanted number of characters | cut, with `…` as the last one |
//! | everything else, all scripts included | itself |

use std::borrow::Cow;

/// How many combining marks may follow one base character. Real scripts need no more than three;
/// a flood of hundreds would draw over the lines above.
pub const MARKS: usize = 3;

/// The length, in characters, to which a name or a path is cut when the caller has no better one.
pub const LINE: usize = 512;

/// `text`, safe to show, of at most `max` characters (not columns: wide characters take two).
///
/// Borrowed when nothing had to change, which costs no allocation. No more of `text` is read
/// than `max` characters need.
#[must_use]
pub fn escape(text: &str, max: usize) -> Cow<'_, str> {
    escape_with(text, max, false)
}

/// As [`escape`], and every character that is not ASCII becomes `\u{…}`: for terminals and logs
/// without Unicode.
#[must_use]
pub fn escape_ascii(text: &str, max: usize) -> Cow<'_, str> {
    escape_with(text, max, true)
}

fn escape_with(text: &str, max: usize, ascii: bool) -> Cow<'_, str> {
    if is_plain_ascii(text) && text.len() <= max {
        return Cow::Borrowed(text);
    }
    let cut = if ascii { "~" } else { "…" };
    let mut out = String::new();
    let mut length = 0;
    // Where to cut if it turns out to be too long: before whatever would take the last place.
    let mut cut_at = 0;
    let mut marks = MARKS;
    for c in text.chars() {
        let before = out.len();
        length += push(&mut out, c, &mut marks, ascii);
        if length < max {
            cut_at = out.len();
        } else if length > max {
            out.truncate(cut_at.min(before));
            if max > 0 {
                out.push_str(cut);
            }
            return Cow::Owned(out);
        }
    }
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// Appends `c` or its escape; how many characters that were. `marks` counts the combining marks
/// since the last base character.
fn push(out: &mut String, c: char, marks: &mut usize, ascii: bool) -> usize {
    match class(c) {
        Class::Base if !ascii || c.is_ascii() => {
            *marks = 0;
            out.push(c);
            return 1;
        }
        Class::Mark if !ascii && *marks < MARKS => {
            *marks += 1;
            out.push(c);
            return 1;
        }
        // What follows an escape has no base to combine with.
        _ => *marks = MARKS,
    }
    let before = out.len();
    match c {
        '\n' | '\r' | '\t' => out.extend(c.escape_default()),
        _ => out.extend(c.escape_unicode()),
    }
    // An escape is ASCII: its bytes are its characters.
    out.len() - before
}

/// True if [`escape`] would leave `text` as it is, whatever its length.
#[must_use]
pub fn is_harmless(text: &str) -> bool {
    let mut marks = MARKS;
    text.chars().all(|c| match class(c) {
        Class::Base => {
            marks = 0;
            true
        }
        Class::Mark => {
            marks += 1;
            marks <= MARKS
        }
        Class::Hostile => false,
    })
}

/// A finished JSON document, safe to show: hostile characters become `\uXXXX`, which a parser
/// reads as the same text. Line feeds between values stay.
///
/// Serializers escape C0 only and leave ESC's eight-bit form, bidi and zero-width characters be.
#[must_use]
pub fn escape_json(document: &str) -> Cow<'_, str> {
    let hostile = |c: char| !c.is_ascii() && !matches!(class(c), Class::Base) || c == '\u{7f}';
    if !document.chars().any(hostile) {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len() + 32);
    for c in document.chars() {
        if hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_plain_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

enum Class {
    /// Takes a place of its own and does nothing else.
    Base,
    /// Is drawn onto the character before it.
    Mark,
    /// Is not to be shown.
    Hostile,
}

fn class(c: char) -> Class {
    match c {
        ' '..='~' => Class::Base,
        // Invisible, though they count as letters or marks: the grapheme joiner, variation
        // selectors and the Hangul and Khmer fillers.
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}' => Class::Hostile,
        // Vowels and finals of Hangul that join the letter before them.
        '\u{1161}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7ff}' => Class::Mark,
        _ => by_tables_of_std(c),
    }
}

/// The standard library has the tables: a character's own `escape_debug` escapes what is not
/// printable (controls, formats, separators, private, unassigned) and what extends a grapheme;
/// within a string the latter only counts for the first character.
fn by_tables_of_std(c: char) -> Class {
    if c.escape_debug().count() == 1 {
        return Class::Base;
    }
    let mut buffer = [b'a'; 5];
    let end = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let pair = std::str::from_utf8(&buffer[..end]).expect("a letter and a character");
    if pair.escape_debug().count() == 2 {
        Class::Mark
    } else {
        Class::Hostile
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_of_any_script_is_left_alone_and_not_copied() {
        for text in [
            "report::render",
            "C:\\x",
            "naïve",
            "日本語",
            "한국어",
            "مرحبا",
            "हिन्दी",
            "🦀",
            "e\u{301}",
        ] {
            assert!(matches!(escape(text, LINE), Cow::Borrowed(_)), "{text}");
            assert!(is_harmless(text), "{text}");
        }
    }

    #[test]
    fn controls_become_words_that_can_be_seen() {
        assert_eq!(escape("a\x1b[31mb", LINE), "a\\u{1b}[31mb");
        assert_eq!(escape("a\nb\tc\r", LINE), "a\\nb\\tc\\r");
        assert_eq!(escape("\u{9b}2J\u{7f}\0", LINE), "\\u{9b}2J\\u{7f}\\u{0}");
        assert_eq!(escape("\u{2028}", LINE), "\\u{2028}");
    }

    #[test]
    fn nothing_can_reorder_hide_or_join_text() {
        for c in [
            '\u{200e}',
            '\u{200f}',
            '\u{61c}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{feff}',
            '\u{ad}',
            '\u{fe0f}',
            '\u{e0041}',
            '\u{3164}',
            '\u{115f}',
            '\u{fff9}',
            '\u{a0}',
            '\u{e000}',
            '\u{10ffff}',
            '\u{34f}',
        ] {
            assert_eq!(
                escape(&format!("x{c}y"), LINE),
                format!("x{}y", c.escape_unicode())
            );
        }
    }

    #[test]
    fn a_flood_of_combining_marks_is_dammed() {
        let flood = format!("Z{}!", "\u{335}".repeat(100));
        let shown = escape(&flood, 10_000);
        assert_eq!(shown.chars().filter(|c| *c == '\u{335}').count(), MARKS);
        assert!(shown.ends_with("\\u{335}!"));
        assert_eq!(escape("\u{301}x", LINE), "\\u{301}x");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(escape("abcdef", 6), "abcdef");
        assert_eq!(escape("abcdefg", 6), "abcde…");
        assert_eq!(escape_ascii("abcdefg", 6), "abcde~");
        // An escape is never cut in its middle.
        assert_eq!(escape("ab\x1bcd", 6), "ab…");
        assert_eq!(escape("abc", 0), "");
        assert_eq!(
            escape(&"\u{202e}".repeat(1 << 20), 20),
            "\\u{202e}\\u{202e}…"
        );
    }

    #[test]
    fn ascii_only_is_ascii_only() {
        assert_eq!(escape_ascii("né", LINE), "n\\u{e9}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        assert_eq!(
            escape_json("{\"a\":\"\u{202e}é\u{9b}\"}\n"),
            "{\"a\":\"\\u202eé\\u009b\"}\n"
        );
        assert_eq!(escape_json("\"\u{e0041}\""), "\"\\udb40\\udc41\"");
        assert!(matches!(escape_json("{\"a\": 1}\n"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_harmless_short_and_stays_so(text: String, max in 0usize..80) {
            let once = escape(&text, max).into_owned();
            prop_assert!(is_harmless(&once), "{:?}", once);
            prop_assert!(once.chars().count() <= max);
            prop_assert_eq!(&escape(&once, max), &once);
            prop_assert!(escape_ascii(&text, max).is_ascii());
        }

        #[test]
        fn no_single_character_gets_through_that_a_terminal_obeys(c: char) {
            let shown = escape(&format!("a{c}"), LINE).into_owned();
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
