//! Histograms: decades from 1 µs to 10 s, bar and count, percentiles, window; the bucket past a budget is marked.

use ratatui::layout::Rect;

use super::paint::{Painter, below};
use super::theme::Role;
use super::{fmt, glyph, strip};
use crate::store::Histogram;

/// The upper ends of the bars, in ns: from 1 µs to 10 s.
const ENDS: [u64; 8] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// One bar: its name, what fell into it, and whether all of it is over the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    pub name: String,
    pub count: u64,
    pub over: bool,
}

/// The bars of a histogram from the first to the last that holds something.
pub fn bars(h: &Histogram, budget_ns: u64) -> Vec<Bar> {
    let mut counts = [0u64; ENDS.len() + 1];
    let of = |ns: u64| ENDS.iter().position(|end| ns <= *end).unwrap_or(ENDS.len());
    for (end, count) in &h.buckets {
        let bar = &mut counts[of(*end)];
        *bar = bar.saturating_add(*count);
    }
    // Values below the floor are only known to be below it.
    if h.below_floor > 0 {
        let bar = &mut counts[of(h.floor_ns.saturating_sub(1))];
        *bar = bar.saturating_add(h.below_floor);
    }
    let (Some(first), Some(last)) = (
        counts.iter().position(|c| *c > 0),
        counts.iter().rposition(|c| *c > 0),
    ) else {
        return Vec::new();
    };
    (first..=last)
        .map(|i| Bar {
            name: match ENDS.get(i) {
                Some(end) => format!(
                    "≤{}",
                    fmt::span(*end)
                        .replace("00:10", "10s")
                        .replace("1.0s", "1s")
                ),
                None => ">10s".to_owned(),
            },
            count: counts[i],
            over: budget_ns > 0 && i > 0 && ENDS[i - 1] >= budget_ns,
        })
        .collect()
}

/// A bar a line and the percentiles below.
pub(super) fn panel(p: &mut Painter<'_>, area: Rect, h: &Histogram, budget_ns: u64) {
    if h.count == 0 {
        p.text(area, 1, 0, "None yet.", Role::Plain);
        return;
    }
    let all = bars(h, budget_ns);
    let room = usize::from(area.height.saturating_sub(1));
    // When not all fit, the longest durations are the ones to see.
    let shown = &all[all.len().saturating_sub(room)..];
    let top = all.iter().map(|b| b.count).max().unwrap_or(1).max(1);
    let width = usize::from(area.width.saturating_sub(22));
    for (y, bar) in shown.iter().enumerate() {
        let (sign, role) = if bar.over {
            (" ▲", Role::Problem)
        } else {
            ("", Role::Plain)
        };
        let drawn = strip::bar(bar.count as f64 / top as f64, width);
        p.text(
            area,
            1,
            y as u16,
            &format!("{:>7} {drawn} {}{sign}", bar.name, fmt::count(bar.count)),
            role,
        );
    }
    p.text(
        below(area, shown.len() as u16),
        1,
        0,
        &percentiles(h),
        Role::Plain,
    );
}

/// The shares in a line and the percentiles below, for where there is little room.
pub(super) fn line(p: &mut Painter<'_>, area: Rect, h: &Histogram, budget_ns: u64) {
    if h.count == 0 {
        p.text(area, 1, 0, "No poll yet.", Role::Plain);
        return;
    }
    let mut x = 1;
    let mut y = 0;
    for bar in bars(h, budget_ns) {
        let share = bar.count as f64 / h.count as f64;
        let (sign, role) = if bar.over {
            (glyph::PROBLEM, Role::Problem)
        } else {
            ("", Role::Plain)
        };
        let amount = if bar.over {
            fmt::count(bar.count)
        } else {
            format!("{:.0}%", share * 100.0)
        };
        let text = format!("{} {}{sign} {amount}", bar.name, strip::bar(share, 8));
        let taken = fmt::width(&text) as u16 + 2;
        if x + taken > area.width && x > 1 {
            x = 1;
            y += 1;
        }
        if y > 1 {
            break;
        }
        p.text(area, x, y, &text, role);
        x += taken;
    }
    p.text(area, 1, y + 1, &percentiles(h), Role::Plain);
}

fn percentiles(h: &Histogram) -> String {
    let below = |ns: u64| {
        if ns < h.floor_ns {
            format!("<{}", fmt::span(h.floor_ns))
        } else {
            fmt::span(ns)
        }
    };
    format!(
        "p50 {} · p90 {} · p99 {} · max {} · n {}",
        below(h.p50_ns),
        below(h.p90_ns),
        below(h.p99_ns),
        fmt::span(h.max_ns),
        fmt::count(h.count)
    )
}
