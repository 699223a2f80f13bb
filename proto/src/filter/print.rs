//! Prints a filter in its normal form, which parses to the same filter. Knows no rows.

use std::fmt;

use super::{Compare, Expr, Operand, Test};
use crate::row::Field;
use crate::table::{Table, Type};

/// What an expression stands in, and so whether it needs parentheses.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Inside {
    Nothing,
    Or,
    And,
    Not,
}

pub(super) fn expr(
    f: &mut fmt::Formatter<'_>,
    table: Table,
    expr: &Expr,
    inside: Inside,
) -> fmt::Result {
    match expr {
        Expr::Or(exprs) => joined(
            f,
            table,
            exprs,
            " or ",
            Inside::Or,
            inside != Inside::Nothing,
        ),
        Expr::And(exprs) => joined(
            f,
            table,
            exprs,
            " ",
            Inside::And,
            matches!(inside, Inside::And | Inside::Not),
        ),
        Expr::Not(inner) => {
            f.write_str("!")?;
            self::expr(f, table, inner, Inside::Not)
        }
        Expr::Test(test) => self::test(f, table, test),
        Expr::Search(search) => word(f, search.needle.text()),
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    table: Table,
    exprs: &[Expr],
    between: &str,
    inside: Inside,
    parens: bool,
) -> fmt::Result {
    if parens {
        f.write_str("(")?;
    }
    for (at, inner) in exprs.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        expr(f, table, inner, inside)?;
    }
    if parens {
        f.write_str(")")?;
    }
    Ok(())
}

fn test(f: &mut fmt::Formatter<'_>, table: Table, test: &Test) -> fmt::Result {
    f.write_str(name(table, test.field))?;
    let sign = |compare: &Compare| match compare {
        Compare::Less => "<",
        Compare::LessOrEqual => "<=",
        Compare::More => ">",
        Compare::MoreOrEqual => ">=",
    };
    let equal = if test.negated { "!=" } else { "=" };
    match &test.operand {
        // "Has no value" is the negation of "has one".
        Operand::Any => f.write_str(if test.negated { "=none" } else { "=any" }),
        Operand::Number(compare, number) => write!(f, "{}{number}", sign(compare)),
        Operand::Nanos(compare, ns) => write!(f, "{}{}", sign(compare), Duration(*ns)),
        Operand::Percent(compare, percent) => write!(f, "{}{percent}%", sign(compare)),
        Operand::Numbers(any) => list(f, equal, any.iter(), |f, number| write!(f, "{number}")),
        Operand::NanosEqual(any) => {
            list(f, equal, any.iter(), |f, ns| write!(f, "{}", Duration(*ns)))
        }
        Operand::PercentEqual(any) => {
            list(f, equal, any.iter(), |f, percent| write!(f, "{percent}%"))
        }
        Operand::Words(bits) | Operand::Set(bits) => {
            let words: &[&str] = match table.column_of(test.field).map(|column| column.kind) {
                Some(Type::Word(words) | Type::Set(words)) => words,
                _ => &[],
            };
            let chosen = words
                .iter()
                .enumerate()
                .filter(|(index, _)| bits >> index & 1 == 1);
            list(f, equal, chosen, |f, (_, word)| f.write_str(word))
        }
        Operand::Flag(flag) => write!(f, "{equal}{}", if *flag { "yes" } else { "no" }),
        Operand::Texts(any) | Operand::Places(any) => {
            list(f, equal, any.iter(), |f, needle| word(f, needle.text()))
        }
        Operand::Pattern(pattern) => {
            f.write_str(if test.negated { "!~" } else { "~" })?;
            quoted(f, pattern.source())
        }
    }
}

fn name(table: Table, field: Field) -> &'static str {
    table.column_of(field).map_or("?", |column| column.name)
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    equal: &str,
    items: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(equal)?;
    for (at, each) in items.enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        item(f, each)?;
    }
    Ok(())
}

/// A word, in quotes unless it can only be read as a word.
fn word(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.' | '/' | '-');
    let reserved = ["and", "or", "not", "any", "none"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text));
    if !text.is_empty() && text.chars().all(plain) && !reserved {
        f.write_str(text)
    } else {
        quoted(f, text)
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

/// A duration in the largest unit that gives a whole number.
pub(crate) struct Duration(pub(crate) i64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        if ns == 0 {
            return f.write_str("0s");
        }
        let (unit, length) = super::value::UNITS
            .iter()
            .rev()
            .find(|(_, length)| ns.unsigned_abs().is_multiple_of(*length))
            .expect("every number of ns is a whole number of ns");
        let sign = if ns < 0 { "-" } else { "" };
        write!(f, "{sign}{}{unit}", ns.unsigned_abs() / length)
    }
}
