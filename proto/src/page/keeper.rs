//! The first or last rows of an order, out of many that are offered one by one. Knows neither
//! filters nor pages.

use super::{Entry, Position};
use crate::sort::{Key, Sort};

/// Keeps the `limit` rows that come first (or last). Most rows of a big table are refused by one
/// comparison with the worst row kept; the others are collected and thinned out at intervals, so
/// that a row costs the same whatever order it comes in.
pub(super) struct Keeper {
    sort: Sort,
    limit: usize,
    /// Keep those that come last.
    from_end: bool,
    kept: Vec<Entry>,
    /// The worst of the rows that were kept at the last thinning: nothing worse is taken.
    bar: Option<Entry>,
}

impl Keeper {
    pub(super) fn first(limit: usize, sort: Sort) -> Self {
        Keeper {
            sort,
            limit,
            from_end: false,
            kept: Vec::new(),
            bar: None,
        }
    }

    pub(super) fn last(limit: usize, sort: Sort) -> Self {
        Keeper {
            from_end: true,
            ..Keeper::first(limit, sort)
        }
    }

    #[inline]
    pub(super) fn offer(&mut self, key: Key<'_>, locator: impl FnOnce() -> u64) {
        if let Some(bar) = &self.bar {
            let side = self.sort.compare(key, bar.position.key());
            if if self.from_end {
                side.is_le()
            } else {
                side.is_ge()
            } {
                return;
            }
        }
        self.kept.push(Entry {
            position: Position::of(key),
            locator: locator(),
        });
        if self.kept.len() >= 2 * self.limit + 64 {
            self.thin();
        }
    }

    /// Leaves the best `limit` rows, in no order, and remembers the worst of them.
    fn thin(&mut self) {
        let (sort, from_end) = (self.sort, self.from_end);
        let worst = self.limit - 1;
        self.kept.select_nth_unstable_by(worst, |left, right| {
            let order = sort.compare(left.position.key(), right.position.key());
            if from_end { order.reverse() } else { order }
        });
        self.kept.truncate(self.limit);
        self.bar = self.kept.last().cloned();
    }

    /// The rows, in order.
    pub(super) fn finish(mut self) -> Vec<Entry> {
        if self.kept.len() > self.limit {
            self.thin();
        }
        let sort = self.sort;
        self.kept.sort_unstable_by(|left, right| {
            sort.compare(left.position.key(), right.position.key())
        });
        self.kept
    }
}
