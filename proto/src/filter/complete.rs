//! What could be typed at the cursor of a filter: names of fields, operators, words of a closed
//! list. Reads as the parser does, but forgives everything. Knows no rows.

use super::parse::{operator_at, value_length, word_length};
use super::value::{GROUPS, usage};
use crate::table::{Column, Table, Type};

/// What could stand in a part of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The part that would be replaced begins here, in bytes …
    pub from: usize,
    /// … and ends here, at the cursor.
    pub to: usize,
    /// What could stand there, in the order of the table.
    pub choices: Vec<Choice>,
    /// How to write what is asked for, when it is no word of a list. Empty: the choices say it.
    pub hint: String,
}

/// One thing that could stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to put there.
    pub insert: String,
    /// What it means. Empty: the word says it.
    pub doc: &'static str,
}

/// What could be typed at byte `cursor` of `text`. A cursor within a character or beyond the end
/// is moved back.
#[must_use]
pub fn complete(table: Table, text: &str, cursor: usize) -> Completion {
    let mut cursor = cursor.min(text.len());
    while !text.is_char_boundary(cursor) {
        cursor -= 1;
    }
    let text = &text[..cursor];
    let mut at = 0;
    let mut from = cursor;
    let mut column = None;
    while at < text.len() {
        let rest = &text[at..];
        let c = rest.chars().next().expect("not at the end");
        (from, column) = (cursor, None);
        if c == '"' {
            match quoted_length(rest) {
                Some(length) => at += length,
                // Within quotes nothing is offered: it is the user's own text.
                None => {
                    return Completion {
                        from: cursor,
                        to: cursor,
                        choices: Vec::new(),
                        hint: String::new(),
                    };
                }
            }
            continue;
        }
        let length = word_length(rest);
        if length == 0 {
            at += c.len_utf8();
            continue;
        }
        from = at;
        at += length;
        let after = text[at..].trim_start();
        let Some(operator) = operator_at(after) else {
            continue;
        };
        at = text.len() - after.len() + operator.len();
        at = text.len() - text[at..].trim_start().len();
        column = table.column(&rest[..length]);
        let lists = matches!(operator, "=" | "!=");
        loop {
            from = at;
            at += match text[at..].starts_with('"') {
                true => match quoted_length(&text[at..]) {
                    Some(length) => length,
                    None => {
                        return Completion {
                            from: cursor,
                            to: cursor,
                            choices: Vec::new(),
                            hint: String::new(),
                        };
                    }
                },
                false => value_length(&text[at..], lists),
            };
            if !(lists && text[at..].starts_with(',')) {
                break;
            }
            at += 1;
        }
    }
    match column {
        Some(column)
            if from < cursor
                || !text.ends_with(char::is_whitespace)
                || ends_with_operator(text) =>
        {
            of_value(column, text, from, cursor)
        }
        _ => of_field(
            table,
            text,
            if column.is_some() { cursor } else { from },
            cursor,
        ),
    }
}

fn ends_with_operator(text: &str) -> bool {
    text.trim_end().ends_with(['=', '<', '>', '~'])
}

fn quoted_length(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some(at + 1),
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    None
}

fn of_field(table: Table, text: &str, from: usize, to: usize) -> Completion {
    let typed = text[from..to].to_ascii_lowercase();
    let choices = table
        .columns()
        .iter()
        .filter(|column| column.name.starts_with(&typed))
        .map(|column| Choice {
            insert: format!("{}{}", column.name, natural_operator(column)),
            doc: column.doc,
        })
        .collect();
    Completion {
        from,
        to,
        choices,
        hint: String::new(),
    }
}

/// The operator that most tests of such a column begin with.
fn natural_operator(column: &Column) -> &'static str {
    match column.kind {
        Type::Nanos | Type::Ratio => ">",
        Type::Text | Type::Place => "~",
        Type::Number | Type::Word(_) | Type::Set(_) | Type::Flag => "=",
    }
}

fn of_value(column: &Column, text: &str, from: usize, to: usize) -> Completion {
    let typed = text[from..to].to_ascii_lowercase();
    let groups = GROUPS.iter().map(|(name, _)| *name).chain(["any", "none"]);
    let groups = groups.filter(|_| matches!(column.kind, Type::Set(_)));
    let words: Vec<Choice> = column
        .words()
        .chain(groups)
        .filter(|word| word.starts_with(&typed))
        .map(|word| Choice {
            insert: word.to_owned(),
            doc: "",
        })
        .collect();
    let hint = if column.words().next().is_none() {
        usage(column)
    } else {
        String::new()
    };
    Completion {
        from,
        to,
        choices: words,
        hint,
    }
}
