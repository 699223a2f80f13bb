//! The last hour of each loop as strips, the newest at the right.

use super::page::Page;
use crate::print::safe;
use crate::store::{Hour, LoopRow, SeriesRow, Strip};
use crate::view::{fmt, strip};

/// Loops whose last hour is drawn.
const LOOPS: usize = 16;

impl Page<'_> {
    pub(super) fn strips(&mut self, hour: &Hour) {
        let coarsest = |id: u64| {
            let of = hour.series.iter().filter(|row| row.loop_id == id);
            of.filter(|row| !row.lag_max.values.is_empty())
                .max_by_key(|row| row.lag_max.slot_ns * row.lag_max.values.len() as u64)
        };
        self.head("The last hour of each loop", "the newest at the right");
        let mut any = false;
        for row in self.facts.loops.iter().take(LOOPS) {
            let Some(series) = coarsest(row.id) else {
                continue;
            };
            any = true;
            self.strip_lines(row, series);
        }
        if !any {
            self.line("Not yet: the first second has not passed, or no loop is running.");
        }
    }

    pub(super) fn strip_lines(&mut self, row: &LoopRow, series: &SeriesRow) {
        let slots = series.lag_max.values.len() as u64;
        let name = safe(&row.name, self.ascii).into_owned();
        self.line(&format!(
            "loop {} {}: {}, {} a cell",
            row.id,
            fmt::cut_end(&name, 24),
            fmt::window(series.lag_max.slot_ns.saturating_mul(slots)),
            fmt::window(series.lag_max.slot_ns)
        ));
        let most = |of: &Strip| of.values.iter().copied().max().unwrap_or(0);
        let lines = [
            (
                "lag",
                strip::lag(&series.lag_max, 60),
                format!("to {}", fmt::span(most(&series.lag_max))),
            ),
            (
                "block",
                strip::lag(&series.block_max, 60),
                format!("to {}", fmt::span(most(&series.block_max))),
            ),
            (
                "busy",
                strip::busy(&series.busy, 60),
                format!(
                    "to {}",
                    fmt::percent(most(&series.busy) as f64 / series.busy.slot_ns.max(1) as f64)
                ),
            ),
            (
                "tasks",
                strip::counts(&series.tasks.values, 60),
                format!("to {}", fmt::count(most(&series.tasks))),
            ),
        ];
        for (what, drawn, top) in lines {
            self.line(&format!("  {what:<5} {drawn} {top}"));
        }
    }
}
