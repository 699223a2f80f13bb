//! The filter language: what a user types to see some rows of a table. Parsed once, then asked of
//! each row in place, without allocating. Knows no table in memory and no screen.
//!
//! ```text
//! state=wait for>30s busy>5% name~^conn !loop=2 finding=leak
//! (state=ready or state=run) and not kind=callback
//! ```
//!
//! | form | meaning |
//! |---|---|
//! | `a b`, `a and b`, `a && b` | both |
//! | `a or b`, `a \|\| b` | one of them; binds weaker than "both" |
//! | `not a`, `!a` | not; binds strongest |
//! | `( … )` | grouping, at most 32 deep |
//! | `field=value` `!=` `<` `<=` `>` `>=` | comparison; `=` and `!=` take `a,b,c` for any of them |
//! | `field=none`, `field=any` | the row has no, or some, value there |
//! | `field~pattern`, `!~` | a text matches a pattern: see [`Pattern`] |
//! | `word`, `"some words"` | a text of the row contains it, or the id is it |
//!
//! Durations need a unit (`ns us ms s m h d`, also `1h30m`), shares need `%`, counts may have
//! `K`, `M` or `G`. Words without capitals match capitals too. `=` on a text means the whole
//! text; on a place, its end: `place=ws.rs:41` is any column of that line of any `ws.rs`. What is
//! not known is neither greater nor less than anything, and `a!=b` is exactly `!a=b`.

mod complete;
mod parse;
mod print;
mod text;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

pub use complete::{Choice, Completion, complete};
pub(crate) use parse::column;
pub(crate) use print::Duration;
pub use text::Pattern;
pub(crate) use value::duration;

use crate::pb;
use crate::row::{Composed, Field, Row, Value};
use crate::table::Table;
use text::Needle;

/// A filter longer than this is refused.
pub const MAX_LENGTH: usize = 4096;

/// A filter for the rows of one table.
#[derive(Clone, Debug)]
pub struct Filter {
    table: Table,
    /// `None`: every row.
    root: Option<Expr>,
}

impl Filter {
    /// The filter that lets every row through.
    #[must_use]
    pub const fn all(table: Table) -> Self {
        Filter { table, root: None }
    }

    /// Reads a filter for `table`. Blank text lets every row through.
    ///
    /// Errors: [`ParseError`], with where and what is allowed there.
    pub fn parse(table: Table, text: &str) -> Result<Self, ParseError> {
        Ok(Filter {
            table,
            root: parse::parse(table, text)?,
        })
    }

    /// The table it is for.
    #[must_use]
    pub const fn table(&self) -> Table {
        self.table
    }

    /// True if it lets every row through.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.root.is_none()
    }

    /// True if the row passes.
    #[inline]
    pub fn matches<R: Row + ?Sized>(&self, row: &R) -> bool {
        self.root.as_ref().is_none_or(|root| root.matches(row))
    }

    /// True if it is the empty one, which every row passes unread.
    #[must_use]
    pub const fn takes_all(&self) -> bool {
        self.root.is_none()
    }

    /// True if it looks at `field`. Some fields are only kept while somebody does.
    #[must_use]
    pub fn uses(&self, field: Field) -> bool {
        self.root.as_ref().is_some_and(|root| root.uses(field))
    }
}

/// Prints it in a normal form that parses to the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Some(root) => print::expr(f, self.table, root, print::Inside::Nothing),
            None => Ok(()),
        }
    }
}

/// Why a text is not a filter or not a sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where the fault begins, in bytes; at most the text's length.
    pub offset: usize,
    /// How many bytes are meant, from there; 0 at the end of the text.
    pub length: usize,
    /// What is wrong and what is allowed, as a sentence.
    pub message: String,
    /// What may have been meant in place of these bytes.
    pub suggestion: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " Did you mean {suggestion}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    /// As it travels: `part` is the part of the query that was parsed.
    #[must_use]
    pub fn to_message(&self, part: &str) -> pb::QueryError {
        pb::QueryError {
            message: self.message.clone(),
            part: part.to_owned(),
            offset: u32::try_from(self.offset).unwrap_or(u32::MAX),
            length: u32::try_from(self.length).unwrap_or(u32::MAX),
            suggestion: self.suggestion.clone().unwrap_or_default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Expr {
    /// At least two.
    And(Vec<Expr>),
    /// At least two.
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Test(Test),
    Search(Search),
}

/// A bare word.
#[derive(Clone, Debug, PartialEq)]
struct Search {
    needle: Needle,
    fields: Vec<Field>,
    /// The id that the word may be.
    id: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Test {
    field: Field,
    /// The test holds when the operand does not.
    negated: bool,
    operand: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

impl Compare {
    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Compare::Less => left < right,
            Compare::LessOrEqual => left <= right,
            Compare::More => left > right,
            Compare::MoreOrEqual => left >= right,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// The row has some value.
    Any,
    Number(Compare, u64),
    Numbers(Vec<u64>),
    Nanos(Compare, i64),
    NanosEqual(Vec<i64>),
    Percent(Compare, f64),
    PercentEqual(Vec<f64>),
    /// A bit a word.
    Words(u64),
    Set(u64),
    Flag(bool),
    Texts(Vec<Needle>),
    Places(Vec<Needle>),
    Pattern(Pattern),
}

impl Expr {
    fn matches<R: Row + ?Sized>(&self, row: &R) -> bool {
        match self {
            Expr::And(all) => all.iter().all(|expr| expr.matches(row)),
            Expr::Or(any) => any.iter().any(|expr| expr.matches(row)),
            Expr::Not(expr) => !expr.matches(row),
            Expr::Test(test) => test.operand.holds(row.value(test.field)) != test.negated,
            Expr::Search(search) => {
                search.id == Some(row.id())
                    || search
                        .fields
                        .iter()
                        .any(|field| search.needle.is_in(row.value(*field)))
            }
        }
    }

    fn uses(&self, field: Field) -> bool {
        match self {
            Expr::And(exprs) | Expr::Or(exprs) => exprs.iter().any(|expr| expr.uses(field)),
            Expr::Not(expr) => expr.uses(field),
            Expr::Test(test) => test.field == field,
            Expr::Search(search) => search.fields.contains(&field),
        }
    }
}

impl Operand {
    fn holds(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Operand::Any, Value::Set(bits)) => bits != 0,
            (Operand::Any, value) => value != Value::Absent,
            (Operand::Number(compare, limit), Value::Number(number)) => {
                compare.holds(number, *limit)
            }
            (Operand::Numbers(any), Value::Number(number)) => any.contains(&number),
            (Operand::Nanos(compare, limit), Value::Nanos(ns)) => compare.holds(ns, *limit),
            (Operand::NanosEqual(any), Value::Nanos(ns)) => any.contains(&ns),
            (Operand::Percent(compare, limit), Value::Ratio(ratio)) => {
                compare.holds(ratio * 100.0, *limit)
            }
            (Operand::PercentEqual(any), Value::Ratio(ratio)) => any.contains(&(ratio * 100.0)),
            (Operand::Words(words), Value::Word(word)) => {
                words.checked_shr(word.into()).unwrap_or(0) & 1 == 1
            }
            (Operand::Set(set), Value::Set(bits)) => set & bits != 0,
            (Operand::Flag(flag), Value::Flag(is)) => *flag == is,
            (Operand::Texts(any), value) => {
                on_text(value, |text| any.iter().any(|needle| needle.is(text)))
            }
            (Operand::Places(any), value) => {
                on_text(value, |text| any.iter().any(|needle| needle.is_place(text)))
            }
            (Operand::Pattern(pattern), value) => on_text(value, |text| pattern.matches(text)),
            _ => false,
        }
    }
}

/// Asks `test` of the text that a value is, put together on the stack where it is composed.
fn on_text(value: Value<'_>, test: impl Fn(&str) -> bool) -> bool {
    let mut composed;
    match value {
        Value::Text(text) => return test(text),
        Value::Lines(lines) => return lines.iter().any(|line| test(line)),
        Value::Numbered(stem, number) => {
            composed = Composed::new();
            composed.push(stem);
            composed.push(crate::row::joint(stem));
            composed.push_number(number, 0);
        }
        Value::Place(file, line, column) => {
            composed = Composed::new();
            composed.push(file);
            composed.push(":");
            composed.push_number(line.into(), 0);
            composed.push(":");
            composed.push_number(column.into(), 0);
        }
        Value::Waiting(waiting) => {
            composed = Composed::new();
            waiting
                .write(&mut composed)
                .expect("a composed text takes everything");
        }
        _ => return false,
    }
    test(composed.as_str())
}
