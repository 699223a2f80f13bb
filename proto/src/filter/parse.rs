//! Reads a filter. Every fault has an offset and a sentence that says what is allowed. Knows no
//! rows.

use super::text::Needle;
use super::value::{Written, equal, nanos, noun, number, percent, present, usage};
use super::{Compare, Expr, MAX_LENGTH, Operand, ParseError, Pattern, Search, Test};
use crate::suggest::nearest;
use crate::table::{Column, Table, Type};

/// Parentheses and negations may be nested this deep: the parser calls itself for each.
const MAX_DEPTH: usize = 32;

pub(super) fn parse(table: Table, text: &str) -> Result<Option<Expr>, ParseError> {
    if text.len() > MAX_LENGTH {
        let mut offset = MAX_LENGTH;
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        return Err(fault(
            offset,
            text.len() - offset,
            format!("A filter has at most {MAX_LENGTH} bytes."),
        ));
    }
    let mut parser = Parser {
        table,
        text,
        at: 0,
        depth: 0,
    };
    parser.skip_blanks();
    if parser.rest().is_empty() {
        return Ok(None);
    }
    let expr = parser.or()?;
    if parser.rest().starts_with(')') {
        return Err(fault(parser.at, 1, "This `)` closes nothing.".to_owned()));
    }
    Ok(Some(expr))
}

pub(super) fn fault(offset: usize, length: usize, message: String) -> ParseError {
    ParseError {
        offset,
        length,
        message,
        suggestion: None,
    }
}

/// The column called `name`, or what is wrong with the name.
pub(crate) fn column(
    table: Table,
    name: &str,
    offset: usize,
) -> Result<&'static Column, ParseError> {
    table.column(name).ok_or_else(|| {
        let names = table.columns().iter().map(|column| column.name);
        let suggestion = nearest(name, names.clone()).map(str::to_owned);
        let all = names.collect::<Vec<_>>().join(", ");
        ParseError {
            offset,
            length: name.len(),
            message: format!(
                "{} have no field of that name; their fields are {all}.",
                capital(table.noun())
            ),
            suggestion,
        }
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// What joins or ends words. Shared with completion, which reads the same way.
pub(super) const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "<", ">", "~"];

pub(super) fn operator_at(text: &str) -> Option<&'static str> {
    OPERATORS
        .into_iter()
        .find(|operator| text.starts_with(operator))
}

/// How long the bare word at the start of `text` is: up to a blank, a parenthesis, a quote, an
/// operator, `&&` or `||`.
pub(super) fn word_length(text: &str) -> usize {
    text.char_indices()
        .find(|(at, c)| {
            c.is_whitespace()
                || matches!(c, '(' | ')' | '"')
                || operator_at(&text[*at..]).is_some()
                || joiner_at(&text[*at..])
        })
        .map_or(text.len(), |(at, _)| at)
}

fn joiner_at(text: &str) -> bool {
    text.starts_with("&&") || text.starts_with("||")
}

/// How long the bare value at the start of `text` is. A value may hold operators.
pub(super) fn value_length(text: &str, ends_at_comma: bool) -> usize {
    text.char_indices()
        .find(|(at, c)| {
            c.is_whitespace()
                || matches!(c, '(' | ')' | '"')
                || joiner_at(&text[*at..])
                || ends_at_comma && *c == ','
        })
        .map_or(text.len(), |(at, _)| at)
}

struct Parser<'a> {
    table: Table,
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
            self.skip_blanks();
        }
        found
    }

    /// A reserved word that stands alone, or its sign.
    fn take_joiner(&mut self, word: &str, sign: &str) -> bool {
        if self.take(sign) {
            return true;
        }
        let rest = self.rest();
        let length = word_length(rest);
        // `or=1` is no joiner but a field, be it an unknown one.
        let joins = rest[..length].eq_ignore_ascii_case(word)
            && operator_at(rest[length..].trim_start()).is_none();
        if joins {
            self.at += length;
            self.skip_blanks();
        }
        joins
    }

    fn or(&mut self) -> Result<Expr, ParseError> {
        let mut any = vec![self.and()?];
        while self.take_joiner("or", "||") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 {
            any.remove(0)
        } else {
            Expr::Or(flat(any, |expr| match expr {
                Expr::Or(inner) => Ok(inner),
                other => Err(other),
            }))
        })
    }

    fn and(&mut self) -> Result<Expr, ParseError> {
        let mut all = vec![self.not()?];
        loop {
            let joined = self.take_joiner("and", "&&");
            let rest = self.rest();
            let ended = rest.is_empty() || rest.starts_with(')') || self.is_or();
            if ended && !joined {
                break;
            }
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Expr::And(flat(all, |expr| match expr {
                Expr::And(inner) => Ok(inner),
                other => Err(other),
            }))
        })
    }

    fn is_or(&mut self) -> bool {
        let before = self.at;
        let is = self.take_joiner("or", "||");
        self.at = before;
        is
    }

    fn not(&mut self) -> Result<Expr, ParseError> {
        let offset = self.at;
        if self.take_joiner("not", "!") {
            self.deeper(offset)?;
            let inner = self.not()?;
            self.depth -= 1;
            return Ok(Expr::Not(Box::new(inner)));
        }
        self.primary()
    }

    fn deeper(&mut self, offset: usize) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fault(
                offset,
                1,
                format!("Filters may be nested {MAX_DEPTH} deep."),
            ));
        }
        Ok(())
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let offset = self.at;
        if self.take("(") {
            self.deeper(offset)?;
            let inner = self.or()?;
            self.depth -= 1;
            if !self.take(")") {
                return Err(fault(offset, 1, "This `(` is not closed.".to_owned()));
            }
            return Ok(inner);
        }
        let rest = self.rest();
        if rest.starts_with('"') {
            let text = self.quoted()?;
            self.skip_blanks();
            return Ok(self.search(&text));
        }
        let length = word_length(rest);
        if length == 0 {
            let message = match rest.chars().next() {
                None if self.at == 0 => "Nothing to look for.",
                None => {
                    "Something is missing here: a test such as state=wait, or a word to look for."
                }
                Some(')') => {
                    "Something is missing before this `)`: a test such as state=wait, or a word to look for."
                }
                Some(_) => {
                    "A field's name is missing before this; put text in double quotes to look for it."
                }
            };
            let length = rest.chars().next().map_or(0, char::len_utf8);
            return Err(fault(offset, length, message.to_owned()));
        }
        let word = &rest[..length];
        self.at += length;
        self.skip_blanks();
        match operator_at(self.rest()) {
            Some(operator) => self.test(word, offset, operator),
            None if ["and", "or"]
                .iter()
                .any(|joiner| joiner.eq_ignore_ascii_case(word)) =>
            {
                Err(fault(
                    offset,
                    length,
                    format!(
                        "`{word}` joins two tests, and one is missing; put it in double quotes to look for it."
                    ),
                ))
            }
            None => Ok(self.search(word)),
        }
    }

    fn search(&self, text: &str) -> Expr {
        let searched = self.table.columns().iter().filter(|column| column.searched);
        Expr::Search(Search {
            needle: Needle::new(text),
            fields: searched.map(|column| column.field).collect(),
            id: text.parse().ok(),
        })
    }

    /// The text between double quotes, where `\` makes the next character ordinary.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let from = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                _ => text.push(c),
            }
        }
        Err(fault(
            from,
            self.text.len() - from,
            "This quote is not closed.".to_owned(),
        ))
    }

    fn value(&mut self, ends_at_comma: bool) -> Result<Written, ParseError> {
        let offset = self.at;
        if self.rest().starts_with('"') {
            let text = self.quoted()?;
            return Ok(Written {
                offset,
                length: self.at - offset,
                text,
                quoted: true,
            });
        }
        let length = value_length(self.rest(), ends_at_comma);
        let text = self.rest()[..length].to_owned();
        self.at += length;
        Ok(Written {
            offset,
            length,
            text,
            quoted: false,
        })
    }

    fn test(&mut self, word: &str, offset: usize, operator: &str) -> Result<Expr, ParseError> {
        let column = column(self.table, word, offset).map_err(|mut error| {
            error
                .message
                .push_str(" Put text in double quotes to look for it.");
            error
        })?;
        let operator_offset = self.at;
        self.at += operator.len();
        self.skip_blanks();
        let refuse = |what: String| Err(fault(operator_offset, operator.len(), what));
        let negated = operator.starts_with('!');
        let operand = match operator {
            "~" | "!~" => {
                if !matches!(column.kind, Type::Text | Type::Place) {
                    return refuse(format!(
                        "`{}` is {}, not text: {}.",
                        column.name,
                        noun(column),
                        usage(column)
                    ));
                }
                let value = self.value(false)?;
                present(column, &value)?;
                Operand::Pattern(Pattern::new(&value.text).map_err(|at| {
                    // In quotes the offset within cannot be told from the text; mark all of it.
                    let (offset, length) = if value.quoted {
                        (value.offset, value.length)
                    } else {
                        (value.offset + at, 1)
                    };
                    fault(
                        offset,
                        length,
                        "A `\\` in a pattern needs a character after it.".to_owned(),
                    )
                })?)
            }
            "=" | "!=" => {
                let mut values = vec![self.value(true)?];
                while self.rest().starts_with(',') {
                    self.at += 1;
                    values.push(self.value(true)?);
                }
                self.skip_blanks();
                return equal(column, negated, &values).map(Expr::Test);
            }
            _ => {
                let compare = match operator {
                    "<" => Compare::Less,
                    "<=" => Compare::LessOrEqual,
                    ">" => Compare::More,
                    _ => Compare::MoreOrEqual,
                };
                let value = self.value(false)?;
                match column.kind {
                    Type::Number => Operand::Number(compare, number(column, &value)?),
                    Type::Nanos => Operand::Nanos(compare, nanos(column, &value)?),
                    Type::Ratio => Operand::Percent(compare, percent(column, &value)?),
                    _ => {
                        return refuse(format!(
                            "`{}` is {} and has no order: {}.",
                            column.name,
                            noun(column),
                            usage(column)
                        ));
                    }
                }
            }
        };
        self.skip_blanks();
        Ok(Expr::Test(Test {
            field: column.field,
            negated,
            operand,
        }))
    }
}

/// One list out of nested ones of the same kind: `(a b) c` is `a b c`.
fn flat(exprs: Vec<Expr>, open: impl Fn(Expr) -> Result<Vec<Expr>, Expr>) -> Vec<Expr> {
    exprs
        .into_iter()
        .flat_map(|expr| open(expr).unwrap_or_else(|other| vec![other]))
        .collect()
}
