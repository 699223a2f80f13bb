//! Reads what stands after an operator: numbers, durations, shares, words. Knows no rows.

use super::parse::fault;
use super::text::Needle;
use super::{Operand, ParseError, Test};
use crate::suggest::{list, nearest};
use crate::table::{Column, Type};

/// Units of time and their lengths in ns, ascending.
pub(crate) const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A word for several findings, and the names it stands for.
pub(super) const GROUPS: &[(&str, &[&str])] =
    &[("leak", &["stranded", "deadlocked", "left-behind"])];

/// A value as it was written.
pub(super) struct Written {
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// What stands after `=` or `!=`.
pub(super) fn equal(
    column: &Column,
    negated: bool,
    values: &[Written],
) -> Result<Test, ParseError> {
    let test = |negated, operand| {
        Ok(Test {
            field: column.field,
            negated,
            operand,
        })
    };
    if let [value] = values {
        if !value.quoted && value.text.eq_ignore_ascii_case("any") {
            return test(negated, Operand::Any);
        }
        if !value.quoted && value.text.eq_ignore_ascii_case("none") {
            return test(!negated, Operand::Any);
        }
    }
    let operand = match column.kind {
        Type::Number => Operand::Numbers(each(values, |value| number(column, value))?),
        Type::Nanos => Operand::NanosEqual(each(values, |value| nanos(column, value))?),
        Type::Ratio => Operand::PercentEqual(each(values, |value| percent(column, value))?),
        Type::Word(words) => Operand::Words(
            each(values, |value| bits(column, words, &[], value))?
                .into_iter()
                .fold(0, |all, bit| all | bit),
        ),
        Type::Set(words) => Operand::Set(
            each(values, |value| bits(column, words, GROUPS, value))?
                .into_iter()
                .fold(0, |all, bit| all | bit),
        ),
        Type::Flag => match values {
            [value] => Operand::Flag(flag(column, value)?),
            [_, second, ..] => return Err(wrong(column, second)),
            [] => unreachable!("a value was read, be it an empty one"),
        },
        Type::Text => Operand::Texts(each(values, |value| needle(column, value))?),
        Type::Place => Operand::Places(each(values, |value| needle(column, value))?),
    };
    test(negated, operand)
}

fn each<T>(
    values: &[Written],
    read: impl Fn(&Written) -> Result<T, ParseError>,
) -> Result<Vec<T>, ParseError> {
    values.iter().map(read).collect()
}

/// What kind of thing a column's values are.
pub(super) fn noun(column: &Column) -> &'static str {
    match column.kind {
        Type::Number => "a number",
        Type::Nanos => "a duration",
        Type::Ratio => "a share",
        Type::Word(_) => "one of a few words",
        Type::Set(_) => "a list of words",
        Type::Flag => "yes or no",
        Type::Text => "text",
        Type::Place => "a place",
    }
}

/// How to write a test of a column.
pub(super) fn usage(column: &Column) -> String {
    let name = column.name;
    match column.kind {
        Type::Number => format!("write {name}=3, {name}>100 or {name}<2K"),
        Type::Nanos => format!(
            "write {name}>30s, {name}<1.5ms or {name}>1h30m, with a unit of ns us ms s m h d"
        ),
        Type::Ratio => format!("write {name}>5%, with the %"),
        Type::Word(_) => format!("write {name}= and {}", list(column.words())),
        Type::Set(_) => format!(
            "write {name}= and {}, leak, any or none",
            column.words().collect::<Vec<_>>().join(", ")
        ),
        Type::Flag => format!("write {name}=yes or {name}=no"),
        Type::Text => format!("write {name}=whole-text or {name}~part"),
        Type::Place => format!("write {name}=file.rs:12 or {name}~part"),
    }
}

fn wrong(column: &Column, value: &Written) -> ParseError {
    let what = if value.text.is_empty() && !value.quoted {
        format!("`{}` needs a value: {}.", column.name, usage(column))
    } else {
        format!("`{}` is {}: {}.", column.name, noun(column), usage(column))
    };
    fault(value.offset, value.length, what)
}

pub(super) fn present(column: &Column, value: &Written) -> Result<(), ParseError> {
    if value.text.is_empty() && !value.quoted {
        Err(wrong(column, value))
    } else {
        Ok(())
    }
}

fn needle(column: &Column, value: &Written) -> Result<Needle, ParseError> {
    present(column, value)?;
    Ok(Needle::new(&value.text))
}

fn flag(column: &Column, value: &Written) -> Result<bool, ParseError> {
    match value.text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(wrong(column, value)),
    }
}

fn bits(
    column: &Column,
    words: &[&str],
    groups: &[(&'static str, &[&str])],
    value: &Written,
) -> Result<u64, ParseError> {
    let bit = |word: &str| {
        words
            .iter()
            .position(|known| !known.is_empty() && known.eq_ignore_ascii_case(word))
            .map(|index| 1 << index)
    };
    if let Some((_, members)) = groups
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&value.text))
    {
        return Ok(members
            .iter()
            .filter_map(|member| bit(member))
            .fold(0, |all, bit| all | bit));
    }
    bit(&value.text).ok_or_else(|| {
        let known = column.words().chain(groups.iter().map(|(name, _)| *name));
        let suggestion = nearest(&value.text, known).map(str::to_owned);
        ParseError {
            suggestion,
            ..wrong(column, value)
        }
    })
}

pub(super) fn number(column: &Column, value: &Written) -> Result<u64, ParseError> {
    let text = value.text.as_str();
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    decimal(digits, factor).ok_or_else(|| wrong(column, value))
}

/// `digits`, with or without a fraction, times `factor`; only if that is a whole number.
fn decimal(digits: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 18 {
        return None;
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let all = format!("{whole}{fraction}")
        .parse::<u128>()
        .ok()?
        .checked_mul(factor.into())?;
    if all % scale == 0 {
        u64::try_from(all / scale).ok()
    } else {
        None
    }
}

pub(super) fn nanos(column: &Column, value: &Written) -> Result<i64, ParseError> {
    duration(&value.text).ok_or_else(|| wrong(column, value))
}

/// `1h30m`, `1.5ms`, `-2s`, `0`, in ns.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, after) = rest.split_at(digits);
        let unit_length = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let unit = if matches!(unit, "µs" | "μs") {
            "us"
        } else {
            unit
        };
        let length = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(decimal(amount, length)?)?;
        rest = after;
    }
    let total = i64::try_from(total).ok()?;
    Some(if negative { -total } else { total })
}

pub(super) fn percent(column: &Column, value: &Written) -> Result<f64, ParseError> {
    let digits = value
        .text
        .strip_suffix('%')
        .ok_or_else(|| wrong(column, value))?;
    let plain = !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match digits.parse::<f64>() {
        Ok(percent) if plain && percent.is_finite() => Ok(percent),
        _ => Err(wrong(column, value)),
    }
}
