//! What the gate lets pass: `block=100ms,leak=0,lag-p99=50ms`. Read and printed here, measured
//! elsewhere. Knows no app.

use std::fmt;

use crate::filter::{Duration, ParseError, duration};
use crate::pb::FindingName;
use crate::suggest::nearest;
use crate::table::FINDINGS;

/// A list of limits. What it does not name is not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The limits, each subject once.
    pub limits: Vec<Limit>,
}

/// One limit. What is measured may be as great, not greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// No poll may hold its loop for longer, in ns: the lower end of its bracket counts.
    Block(u64),
    /// So many leaks (stranded, deadlocked, left behind; of user tasks) may there be.
    Leak(u64),
    /// So many findings of this name.
    Finding(FindingName, u64),
    /// This figure of this distribution may be so long, in ns.
    Time(Measure, Figure, u64),
}

/// A distribution of durations, over all loops that are not internal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The lag of loops.
    Lag,
    /// The durations of polls.
    Poll,
    /// How late timers fired.
    Late,
    /// From being woken to being polled.
    Scheduled,
}

/// A figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The longest, exactly.
    Max,
}

const MEASURES: [(&str, Measure); 4] = [
    ("lag", Measure::Lag),
    ("poll", Measure::Poll),
    ("late", Measure::Late),
    ("scheduled", Measure::Scheduled),
];
const FIGURES: [(&str, Figure); 4] = [
    ("p50", Figure::P50),
    ("p90", Figure::P90),
    ("p99", Figure::P99),
    ("max", Figure::Max),
];

impl Figure {
    /// The share of all values that lie at or below it.
    #[must_use]
    pub const fn share(self) -> f64 {
        match self {
            Figure::P50 => 0.5,
            Figure::P90 => 0.9,
            Figure::P99 => 0.99,
            Figure::Max => 1.0,
        }
    }
}

/// `block=100ms,leak=0`.
impl Default for Budget {
    fn default() -> Self {
        Budget {
            limits: vec![Limit::Block(100_000_000), Limit::Leak(0)],
        }
    }
}

impl Budget {
    /// Reads a budget: `name=limit`, separated by commas; blanks around them do not matter.
    /// `block` and the times (`lag-p50`, `poll-p99`, `late-max`, `scheduled-p90`, …) take a
    /// duration, `leak` and the names of findings a count.
    ///
    /// Errors: [`ParseError`], with where and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut limits: Vec<Limit> = Vec::new();
        let mut offset = 0;
        for part in text.split(',') {
            let limit = item(part, offset)?;
            if limits.iter().any(|other| other.same_subject(limit)) {
                let (at, length) = trimmed(part, offset);
                return Err(fault(
                    at,
                    length,
                    format!("`{}` is named twice.", limit.name()),
                ));
            }
            limits.push(limit);
            offset += part.len() + 1;
        }
        Ok(Budget { limits })
    }

    /// The limit of blocks, in ns. `None`: blocks are not judged.
    #[must_use]
    pub fn block_ns(&self) -> Option<u64> {
        self.limits.iter().find_map(|limit| {
            if let Limit::Block(ns) = limit {
                Some(*ns)
            } else {
                None
            }
        })
    }
}

/// As [`Budget::parse`] reads it.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, limit) in self.limits.iter().enumerate() {
            write!(f, "{}{limit}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = |ns: u64| Duration(i64::try_from(ns).unwrap_or(i64::MAX));
        match self {
            Limit::Block(limit) | Limit::Time(_, _, limit) => {
                write!(f, "{}={}", self.name(), ns(*limit))
            }
            Limit::Leak(limit) | Limit::Finding(_, limit) => write!(f, "{}={limit}", self.name()),
        }
    }
}

impl Limit {
    /// What it limits: `lag-p99`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Limit::Block(_) => "block".to_owned(),
            Limit::Leak(_) => "leak".to_owned(),
            Limit::Finding(name, _) => name.word().to_owned(),
            Limit::Time(measure, figure, _) => {
                let measure = MEASURES
                    .iter()
                    .find(|(_, known)| *known == measure)
                    .map_or("", |(name, _)| name);
                let figure = FIGURES
                    .iter()
                    .find(|(_, known)| *known == figure)
                    .map_or("", |(name, _)| name);
                format!("{measure}-{figure}")
            }
        }
    }

    fn same_subject(self, other: Limit) -> bool {
        match (self, other) {
            (Limit::Finding(a, _), Limit::Finding(b, _)) => a == b,
            (Limit::Time(a, b, _), Limit::Time(c, d, _)) => (a, b) == (c, d),
            _ => std::mem::discriminant(&self) == std::mem::discriminant(&other),
        }
    }
}

fn fault(offset: usize, length: usize, message: String) -> ParseError {
    ParseError {
        offset,
        length,
        message,
        suggestion: None,
    }
}

fn trimmed(text: &str, offset: usize) -> (usize, usize) {
    (
        offset + text.len() - text.trim_start().len(),
        text.trim().len(),
    )
}

/// Every name that a budget may have.
fn names() -> impl Iterator<Item = String> {
    let times = MEASURES.iter().flat_map(|(measure, _)| {
        FIGURES
            .iter()
            .map(move |(figure, _)| format!("{measure}-{figure}"))
    });
    let findings = FINDINGS
        .iter()
        .filter(|name| !name.is_empty())
        .map(|name| (*name).to_owned());
    ["block", "leak"]
        .map(str::to_owned)
        .into_iter()
        .chain(times)
        .chain(findings)
}

fn item(part: &str, offset: usize) -> Result<Limit, ParseError> {
    let (at, length) = trimmed(part, offset);
    let Some((name, value)) = part.split_once('=') else {
        return Err(fault(
            at,
            length,
            "A budget is name=limit, separated by commas, such as block=100ms,leak=0.".to_owned(),
        ));
    };
    let (value_at, value_length) = trimmed(value, offset + name.len() + 1);
    let (name_at, name_length) = trimmed(name, offset);
    let (name, value) = (name.trim(), value.trim());
    let time = || match duration(value).map(u64::try_from) {
        Some(Ok(ns)) => Ok(ns),
        _ => Err(fault(
            value_at,
            value_length,
            format!(
                "`{name}` takes a duration: write {name}=100ms, with a unit of ns us ms s m h d."
            ),
        )),
    };
    let count = || {
        value.parse::<u64>().map_err(|_| {
            fault(
                value_at,
                value_length,
                format!("`{name}` takes a count: write {name}=0."),
            )
        })
    };
    match name {
        "block" => return time().map(Limit::Block),
        "leak" => return count().map(Limit::Leak),
        _ => {}
    }
    if let Some(finding) = FindingName::from_word(name) {
        return count().map(|count| Limit::Finding(finding, count));
    }
    let parts = name.split_once('-').and_then(|(measure, figure)| {
        let measure = MEASURES.iter().find(|(known, _)| *known == measure)?.1;
        let figure = FIGURES.iter().find(|(known, _)| *known == figure)?.1;
        Some((measure, figure))
    });
    if let Some((measure, figure)) = parts {
        return time().map(|ns| Limit::Time(measure, figure, ns));
    }
    let all: Vec<String> = names().collect();
    Err(ParseError {
        suggestion: nearest(name, all.iter().map(String::as_str)).map(str::to_owned),
        ..fault(
            name_at,
            name_length,
            format!("A budget has no such name; it has {}.", all.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_is_read() {
        let budget =
            Budget::parse("block=100ms, leak=0 ,lag-p99=50ms,unread-error=2").expect("a budget");
        assert_eq!(
            budget.limits,
            [
                Limit::Block(100_000_000),
                Limit::Leak(0),
                Limit::Time(Measure::Lag, Figure::P99, 50_000_000),
                Limit::Finding(FindingName::UnreadError, 2),
            ]
        );
        assert_eq!(budget.block_ns(), Some(100_000_000));
        assert_eq!(Budget::parse("leak=0").expect("a budget").block_ns(), None);
        assert_eq!(Budget::default().to_string(), "block=100ms,leak=0");
    }

    #[test]
    fn faults_are_located_and_explained() {
        for (text, offset, length, message) in [
            ("", 0, 0, "name=limit"),
            ("block", 0, 5, "name=limit"),
            ("leak=0,", 7, 0, "name=limit"),
            ("block=100", 6, 3, "a duration"),
            ("block=-1s", 6, 3, "a duration"),
            ("leak=0, lag-p99= 7", 17, 1, "a duration"),
            ("leak=x", 5, 1, "a count"),
            ("leek=0", 0, 4, "no such name"),
            ("leak=0,leak=1", 7, 6, "named twice"),
            ("lag-p99=1s,lag-p99=2s", 11, 10, "named twice"),
        ] {
            let error = Budget::parse(text).expect_err(text);
            assert_eq!(
                (error.offset, error.length),
                (offset, length),
                "{text}: {error}"
            );
            assert!(error.message.contains(message), "{text}: {error}");
        }
        assert_eq!(
            Budget::parse("leek=0")
                .expect_err("no name")
                .suggestion
                .as_deref(),
            Some("leak")
        );
        assert_eq!(
            Budget::parse("lag-p9=1s")
                .expect_err("no name")
                .suggestion
                .as_deref(),
            Some("lag-p90")
        );
    }

    #[test]
    fn every_name_is_accepted_with_a_limit_of_its_kind() {
        for name in names() {
            let limits = [format!("{name}=3"), format!("{name}=3ms")];
            assert_eq!(
                limits
                    .iter()
                    .filter(|text| Budget::parse(text).is_ok())
                    .count(),
                1,
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_to_what_parses_to_the_same(text in "[a-z0-9=,-]{0,24}|(block=[0-9]{1,5}(ms|s|us)|leak=[0-9]{1,3}|late-max=1m,poll-p50=2h)") {
            match Budget::parse(&text) {
                Ok(budget) => prop_assert_eq!(Budget::parse(&budget.to_string()), Ok(budget)),
                Err(error) => prop_assert!(error.offset + error.length <= text.len()),
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            if let Err(error) = Budget::parse(&text) {
                prop_assert!(text.is_char_boundary(error.offset) && text.is_char_boundary(error.offset + error.length));
            }
        }
    }
}
