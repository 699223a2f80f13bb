//! Sort keys: `for`, `-busy`. A row's key is one number that keeps the order, computed once a
//! row; texts that begin alike are compared in full. The id breaks every tie, so an order is
//! total and a row keeps its place while its key does. Knows no pages.

use std::cmp::Ordering;
use std::fmt;

use crate::filter::ParseError;
use crate::row::{Composed, Row, Value};
use crate::table::{Column, Table, Type};

/// An order of the rows of one table.
///
/// Rows whose key is not known come last in both directions. Text is ordered without regard to
/// capitals (ASCII), numbers at the end of names and lines of places as numbers. Only the first
/// [`crate::row::COMPOSED`] bytes of a text count.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    column: &'static Column,
    descending: bool,
}

impl PartialEq for Sort {
    fn eq(&self, other: &Self) -> bool {
        self.column.field == other.column.field && self.descending == other.descending
    }
}

impl Sort {
    /// Reads a sort key for `table`: a field's name, `-` before it for descending. Blank text is
    /// the table's own order.
    ///
    /// Errors: no such field.
    pub fn parse(table: Table, text: &str) -> Result<Self, ParseError> {
        let trimmed = text.trim();
        let key = if trimmed.is_empty() {
            table.default_sort()
        } else {
            trimmed
        };
        let (descending, name) = match key.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, key.strip_prefix('+').unwrap_or(key)),
        };
        // The offset counts from the start of what the user typed.
        let blanks = text.len() - text.trim_start().len();
        let column = crate::filter::column(table, name, blanks + key.len() - name.len())?;
        Ok(Sort { column, descending })
    }

    /// The order by `column`.
    #[must_use]
    pub const fn by(column: &'static Column, descending: bool) -> Self {
        Sort { column, descending }
    }

    /// The column that is sorted by.
    #[must_use]
    pub const fn column(self) -> &'static Column {
        self.column
    }

    /// Greatest first.
    #[must_use]
    pub const fn is_descending(self) -> bool {
        self.descending
    }

    /// The other way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Sort {
            descending: !self.descending,
            ..self
        }
    }

    /// The row's key. `buffer` takes the text of texts, and is read until the next call only.
    #[inline]
    pub(crate) fn key<'b, R: Row + ?Sized>(self, row: &R, buffer: &'b mut Composed) -> Key<'b> {
        let value = row.value(self.column.field);
        let (number, text) = match value {
            Value::Absent => {
                return Key {
                    order: u64::MAX,
                    text: "",
                    id: row.id(),
                };
            }
            Value::Number(number) => (number, ""),
            Value::Nanos(ns) => (ns.cast_unsigned() ^ 1 << 63, ""),
            // Of positive floats the bits are in the order of the numbers.
            Value::Ratio(ratio) => (ratio.max(0.0).to_bits(), ""),
            Value::Word(word) => (word.into(), ""),
            Value::Set(bits) => (bits.count_ones().into(), ""),
            Value::Flag(flag) => (flag.into(), ""),
            Value::Text(_)
            | Value::Numbered(..)
            | Value::Place(..)
            | Value::Waiting(_)
            | Value::Lines(_) => {
                let text = compose(value, self.column, buffer);
                (prefix(text), text)
            }
        };
        let number = number.min(LAST_KNOWN);
        let order = if self.descending {
            LAST_KNOWN - number
        } else {
            number
        };
        Key {
            order,
            text,
            id: row.id(),
        }
    }

    /// Which of two keys comes first.
    #[inline]
    pub(crate) fn compare(self, left: Key<'_>, right: Key<'_>) -> Ordering {
        if left.order != right.order {
            return left.order.cmp(&right.order);
        }
        if self.is_by_text() {
            let by_text = left.text.cmp(right.text);
            if by_text.is_ne() {
                return if self.descending {
                    by_text.reverse()
                } else {
                    by_text
                };
            }
        }
        left.id.cmp(&right.id)
    }

    /// The places of `rows` in this order: the row that comes first, and so on.
    #[must_use]
    pub fn order<R: Row>(self, rows: impl IntoIterator<Item = R>) -> Vec<usize> {
        let mut buffer = Composed::new();
        let mut keys: Vec<(u64, String, u64)> = Vec::new();
        for row in rows {
            let key = self.key(&row, &mut buffer);
            keys.push((key.order, key.text.to_owned(), key.id));
        }
        let key = |at: usize| {
            let (order, text, id) = &keys[at];
            Key {
                order: *order,
                text,
                id: *id,
            }
        };
        let mut places: Vec<usize> = (0..keys.len()).collect();
        places.sort_by(|a, b| self.compare(key(*a), key(*b)));
        places
    }

    /// The keys of this order have a text.
    #[inline]
    pub(crate) const fn is_by_text(self) -> bool {
        matches!(self.column.kind, Type::Text | Type::Place)
    }
}

/// As it is typed: `-busy`.
impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.descending { "-" } else { "" };
        write!(f, "{sign}{}", self.column.name)
    }
}

/// The greatest order of a row whose key is known.
const LAST_KNOWN: u64 = u64::MAX - 1;

/// A row's place in an order: `order` first, then `text`, then `id`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    /// Smaller comes first, whatever the direction.
    pub(crate) order: u64,
    /// Empty unless the order is by text.
    pub(crate) text: &'a str,
    pub(crate) id: u64,
}

impl Key<'_> {
    /// Order and id as one number in their order; all there is unless the order is by text.
    #[inline]
    pub(crate) fn number(self) -> u128 {
        u128::from(self.order) << 64 | u128::from(self.id)
    }
}

/// The text in a form whose bytes sort as people expect.
fn compose<'b>(value: Value<'_>, column: &Column, buffer: &'b mut Composed) -> &'b str {
    buffer.clear();
    match value {
        Value::Text(text) if matches!(column.kind, Type::Place) => push_place(text, buffer),
        Value::Text(text) => push_numbered(text, buffer),
        Value::Numbered(stem, number) => {
            buffer.push(stem);
            buffer.push(crate::row::joint(stem));
            buffer.push_number(number, 20);
        }
        Value::Place(file, line, column) => {
            buffer.push(file);
            buffer.push(":");
            buffer.push_number(line.into(), 10);
            buffer.push(":");
            buffer.push_number(column.into(), 10);
        }
        Value::Waiting(waiting) => waiting
            .write(buffer)
            .expect("a composed text takes everything"),
        Value::Lines(lines) => buffer.push(lines.first().map_or("", String::as_str)),
        _ => {}
    }
    buffer.lowercase();
    buffer.as_str()
}

/// `stem-12` sorts as the numbered name it is.
fn push_numbered(text: &str, buffer: &mut Composed) {
    let number = text
        .rsplit_once('-')
        .and_then(|(stem, digits)| Some((stem, plain_number(digits)?)));
    match number {
        Some((stem, number)) => {
            buffer.push(stem);
            buffer.push("-");
            buffer.push_number(number, 20);
        }
        None => buffer.push(text),
    }
}

fn push_place(text: &str, buffer: &mut Composed) {
    let mut parts = text.rsplitn(3, ':');
    let mut number = || parts.next().and_then(plain_number);
    let (column, line) = (number(), number());
    match (parts.next(), line, column) {
        (Some(file), Some(line), Some(column)) => {
            buffer.push(file);
            buffer.push(":");
            buffer.push_number(line, 10);
            buffer.push(":");
            buffer.push_number(column, 10);
        }
        _ => buffer.push(text),
    }
}

fn plain_number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

/// The first eight bytes as a number in their order.
fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let taken = text.len().min(8);
    bytes[..taken].copy_from_slice(&text.as_bytes()[..taken]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Field;
    use proptest::prelude::*;

    struct One(Value<'static>, u64);

    impl Row for One {
        fn id(&self) -> u64 {
            self.1
        }

        fn value(&self, _: Field) -> Value<'_> {
            self.0
        }
    }

    fn order(sort: Sort, left: &One, right: &One) -> Ordering {
        let (mut a, mut b) = (Composed::new(), Composed::new());
        sort.compare(sort.key(left, &mut a), sort.key(right, &mut b))
    }

    /// Asserts that `values` are in ascending order, and that descending turns all but the
    /// unknown round.
    fn ascend(name: &str, values: &[Value<'static>]) {
        let up = Sort::parse(Table::Tasks, name).expect(name);
        for pair in values.windows(2) {
            // The ids are against the order, so that a tie would show.
            let (left, right) = (One(pair[0], 2), One(pair[1], 1));
            assert_eq!(order(up, &left, &right), Ordering::Less, "{pair:?}");
            assert_eq!(
                order(up.reversed(), &right, &left),
                Ordering::Less,
                "{pair:?} reversed"
            );
        }
        for value in values {
            for sort in [up, up.reversed()] {
                assert_eq!(
                    order(sort, &One(*value, 2), &One(Value::Absent, 1)),
                    Ordering::Less,
                    "{value:?}"
                );
            }
        }
    }

    #[test]
    fn each_kind_of_value_has_its_order() {
        ascend(
            "polls",
            &[
                Value::Number(0),
                Value::Number(1),
                Value::Number(u64::MAX - 1),
            ],
        );
        ascend(
            "for",
            &[
                Value::Nanos(i64::MIN),
                Value::Nanos(-1),
                Value::Nanos(0),
                Value::Nanos(i64::MAX),
            ],
        );
        ascend(
            "busy",
            &[
                Value::Ratio(0.0),
                Value::Ratio(0.001),
                Value::Ratio(1.0),
                Value::Ratio(4.0),
            ],
        );
        ascend("detached", &[Value::Flag(false), Value::Flag(true)]);
        ascend("state", &[Value::Word(1), Value::Word(3)]);
        ascend(
            "name",
            &[
                Value::Text("batch"),
                Value::Text("Conn"),
                Value::Numbered("conn", 2),
                Value::Text("conn-3"),
                Value::Numbered("Conn", 10),
                Value::Text("http::conn::reader"),
                Value::Text("http::conn::writer"),
            ],
        );
        ascend(
            "place",
            &[
                Value::Place("src/a.rs", 9, 1),
                Value::Text("src/a.rs:41:5"),
                Value::Place("src/a.rs", 41, 12),
                Value::Text("src/b.rs"),
            ],
        );
    }

    #[test]
    fn the_id_breaks_ties_the_same_way_in_both_directions() {
        let sort = Sort::parse(Table::Tasks, "-polls").expect("a key");
        assert_eq!(
            order(sort, &One(Value::Number(5), 1), &One(Value::Number(5), 2)),
            Ordering::Less
        );
        assert_eq!(
            order(
                sort.reversed(),
                &One(Value::Number(5), 1),
                &One(Value::Number(5), 2)
            ),
            Ordering::Less
        );
    }

    #[test]
    fn sort_keys_are_read_and_printed() {
        for (text, printed) in [
            ("busy", "busy"),
            ("-busy", "-busy"),
            ("+max", "max"),
            (" -FOR ", "-for"),
            ("", "-for"),
            ("-busy_ns", "-busy-time"),
        ] {
            assert_eq!(
                Sort::parse(Table::Tasks, text).expect(text).to_string(),
                printed
            );
        }
        let error = Sort::parse(Table::Tasks, " -bussy").expect_err("no such field");
        assert_eq!((error.offset, error.length), (2, 5));
        assert_eq!(error.suggestion.as_deref(), Some("busy"));
    }

    #[test]
    fn every_table_has_an_order_of_its_own() {
        for table in Table::ALL {
            assert!(Sort::parse(table, "").is_ok(), "{table:?}");
        }
    }

    proptest! {
        #[test]
        fn an_order_is_total_for_whatever_texts(texts in prop::collection::vec(any::<String>(), 3)) {
            let sort = Sort::parse(Table::Tasks, "name").expect("a key");
            let leak = |text: &String| Value::Text(Box::leak(text.clone().into_boxed_str()));
            let rows: Vec<One> = texts.iter().enumerate().map(|(id, text)| One(leak(text), id as u64)).collect();
            let (a, b, c) = (&rows[0], &rows[1], &rows[2]);
            prop_assert_eq!(order(sort, a, b), order(sort, b, a).reverse());
            if order(sort, a, b).is_lt() && order(sort, b, c).is_lt() {
                prop_assert!(order(sort, a, c).is_lt());
            }
            prop_assert!(order(sort, a, a).is_eq());
        }
    }
}
