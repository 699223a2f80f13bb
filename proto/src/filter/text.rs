//! Looking for text in text: smart-case words and small patterns. Allocates only when one is
//! made. Knows no rows.

use crate::row::Value;

/// A word to look for. Without capitals it matches capitals too (ASCII only: other letters
/// compare as they are).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Needle {
    text: String,
    folded: bool,
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        Needle {
            text: text.to_owned(),
            folded: !text.chars().any(char::is_uppercase),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn same(&self, bytes: &[u8]) -> bool {
        if self.folded {
            self.text.as_bytes().eq_ignore_ascii_case(bytes)
        } else {
            self.text.as_bytes() == bytes
        }
    }

    /// Where it is found in `text`, each time. Bytes suffice: a UTF-8 text within another always
    /// begins at a character.
    fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = text.as_bytes();
        let first = self
            .text
            .as_bytes()
            .first()
            .map_or(0, |byte| byte.to_ascii_lowercase());
        let room = (bytes.len() + 1).saturating_sub(self.text.len());
        (0..room).filter(move |at| {
            (self.text.is_empty() || bytes[*at].to_ascii_lowercase() == first)
                && self.same(&bytes[*at..*at + self.text.len()])
        })
    }

    pub(super) fn is_part_of(&self, text: &str) -> bool {
        self.places(text).next().is_some()
    }

    /// The whole text is this.
    pub(super) fn is(&self, text: &str) -> bool {
        self.same(text.as_bytes())
    }

    /// The place ends with this, beginning at a folder's border; line and column may be missing.
    pub(super) fn is_place(&self, place: &str) -> bool {
        let bytes = place.as_bytes();
        self.places(place).any(|at| {
            let end = at + self.text.len();
            (at == 0 || matches!(bytes[at - 1], b'/' | b'\\'))
                && (end == bytes.len() || bytes[end] == b':')
        })
    }

    /// Contained in the text that a value is. A word without digits and signs can only lie in the
    /// stem or the file, so the rest need not be put together.
    pub(super) fn is_in(&self, value: Value<'_>) -> bool {
        let head = match value {
            Value::Numbered(stem, _) => Some(stem),
            Value::Place(file, ..) => Some(file),
            _ => None,
        };
        if let Some(head) = head {
            if self.is_part_of(head) {
                return true;
            }
            if !self
                .text
                .bytes()
                .any(|byte| matches!(byte, b'0'..=b'9' | b'-' | b':'))
            {
                return false;
            }
        }
        super::on_text(value, |text| self.is_part_of(text))
    }
}

/// A small pattern, for `~`: no regular expression, and always linear in practice.
///
/// | in a pattern | matches |
/// |---|---|
/// | `^` first, `$` last | the text's beginning, its end; without them it may lie anywhere |
/// | `*` | any number of characters |
/// | `?` | one character |
/// | `a\|b` | `a` or `b`, each a pattern of its own |
/// | `\x` | the character `x`, whatever it means otherwise |
/// | the rest | itself; without capitals in the whole pattern, capitals too |
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    folded: bool,
    alternatives: Vec<Vec<Token>>,
}

/// Two patterns are the same when they were written the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Char(char),
    One,
    Run,
}

impl Pattern {
    /// Reads a pattern. Every text is one, but a `\` needs a character after it.
    ///
    /// Errors: the offset of a `\` at the end.
    pub fn new(source: &str) -> Result<Self, usize> {
        let folded = !source.chars().any(char::is_uppercase);
        let mut alternatives = Vec::new();
        let mut rest = source;
        loop {
            let (tokens, read) =
                alternative(rest, folded).map_err(|at| source.len() - rest.len() + at)?;
            alternatives.push(tokens);
            match rest[read..].strip_prefix('|') {
                Some(more) => rest = more,
                None => {
                    return Ok(Pattern {
                        source: source.to_owned(),
                        folded,
                        alternatives,
                    });
                }
            }
        }
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // Most names are ASCII, and their bytes need no decoding.
        if text.is_ascii() {
            self.any_matches(text.bytes().map(char::from))
        } else {
            self.any_matches(text.chars())
        }
    }

    fn any_matches(&self, text: impl Iterator<Item = char> + Clone) -> bool {
        self.alternatives
            .iter()
            .any(|tokens| self.matches_one(tokens, text.clone()))
    }

    /// Walks both; where they part, lets the last run take one character more. Earlier runs never
    /// need to be asked again: what they would take, the last one can.
    fn matches_one<I: Iterator<Item = char> + Clone>(&self, tokens: &[Token], mut rest: I) -> bool {
        let mut at = 0;
        let mut retry: Option<(usize, I)> = None;
        loop {
            if let Some(Token::Run) = tokens.get(at) {
                at += 1;
                // A run at the end takes all that is left.
                if at == tokens.len() {
                    return true;
                }
                retry = Some((at, rest.clone()));
                continue;
            }
            let next = rest.next();
            let fits = match (tokens.get(at), next) {
                (None, None) => return true,
                (Some(Token::One), Some(_)) => true,
                (Some(Token::Char(wanted)), Some(c)) => {
                    *wanted == c || self.folded && *wanted == c.to_ascii_lowercase()
                }
                _ => false,
            };
            if fits {
                at += 1;
            } else {
                let Some((after_run, from)) = &mut retry else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                at = *after_run;
                rest = from.clone();
            }
        }
    }
}

/// One alternative of a pattern, and how many bytes it takes: up to a `|` or the end.
///
/// Errors: the offset of a `\\` with nothing after it.
fn alternative(text: &str, folded: bool) -> Result<(Vec<Token>, usize), usize> {
    let mut tokens = Vec::new();
    let body = text.strip_prefix('^');
    if body.is_none() {
        tokens.push(Token::Run);
    }
    let skipped = usize::from(body.is_some());
    let mut chars = text[skipped..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let at = at + skipped;
        match c {
            '|' => {
                tokens.push(Token::Run);
                return Ok((tokens, at));
            }
            '$' if matches!(chars.peek(), None | Some((_, '|'))) => return Ok((tokens, at + 1)),
            '*' => tokens.push(Token::Run),
            '?' => tokens.push(Token::One),
            '\\' => tokens.push(Token::Char(chars.next().ok_or(at)?.1)),
            _ => tokens.push(Token::Char(if folded { c.to_ascii_lowercase() } else { c })),
        }
    }
    tokens.push(Token::Run);
    Ok((tokens, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).expect("a pattern").matches(text)
    }

    #[test]
    fn words_without_capitals_match_capitals_too() {
        assert!(Needle::new("conn").is_part_of("http::Conn"));
        assert!(!Needle::new("Conn").is_part_of("http::conn"));
        assert!(Needle::new("").is_part_of(""));
        assert!(!Needle::new("longer").is_part_of("long"));
        assert!(Needle::new("né").is_part_of("ciné"));
    }

    #[test]
    fn a_place_is_its_end_with_or_without_line_and_column() {
        let place = "/home/me/shop/src/ws.rs:41:5";
        for end in [
            place,
            "src/ws.rs:41:5",
            "src/ws.rs:41",
            "ws.rs",
            "shop/src/ws.rs",
        ] {
            assert!(Needle::new(end).is_place(place), "{end}");
        }
        for end in ["s.rs:41", "src/ws.rs:4", "ws", "41:5", "src/ws.rs:41:5:"] {
            assert!(!Needle::new(end).is_place(place), "{end}");
        }
    }

    #[test]
    fn patterns_do_what_their_table_says() {
        assert!(matches("^conn", "conn-7") && !matches("^conn", "http::conn"));
        assert!(matches("conn$", "http::conn") && !matches("conn$", "conn-7"));
        assert!(matches("^conn$", "Conn") && !matches("^Conn$", "conn"));
        assert!(matches("a*b?d", "xxaZZbcdyy") && !matches("^a*b$", "abc"));
        assert!(matches("^a|b$", "xb") && matches("^a|b$", "ax") && !matches("^a|b$", "xbx"));
        assert!(matches(r"a\*b", "a*b") && !matches(r"a\*b", "axb"));
        assert!(matches("?", "é") && !matches("^?$", "éé"));
        assert!(matches("", "") && matches("*", "x") && matches("a|", "zzz"));
        assert!(matches("a^b", "xa^b") && matches("a$b", "a$b"));
        assert!(matches("a$|^b", "za") && matches("a$|^b", "bz") && !matches("a$|^b", "ab z"));
        assert!(matches("^$", "") && !matches("^$", "x"));
        assert_eq!(Pattern::new("ab\\"), Err(2));
    }

    #[test]
    fn a_pattern_of_many_runs_is_not_exponential() {
        let pattern = format!("^{}b$", "a*".repeat(50));
        assert!(!matches(&pattern, &"a".repeat(5_000)));
    }
}
