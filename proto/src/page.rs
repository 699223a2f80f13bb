//! Which rows a page shows: filtered, sorted and counted while the table is walked in place, with
//! memory for a few pages and not for the table. Knows neither where rows live nor how they are
//! sent; the owner of the table walks, and looks up the rows that the page names.
//!
//! The first page, the last, and the one after or before a known row take one walk. A page in the
//! middle by its rank takes three (a sample of the keys, counts between them, the page), the page
//! that holds an id two.
//!
//! Rows of a live table change between and during walks. Every page is in itself what one walk
//! saw: no row twice, ranks counted in that same walk.

mod keeper;
mod request;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::pb;
use crate::row::{Composed, Row};
use crate::sort::Key;
use keeper::Keeper;
pub use request::{DEFAULT_LIMIT, MAX_LIMIT, Position, Request, Seek};

/// How many keys a walk samples, and so by how much one narrows the search for a rank.
const SAMPLE: usize = 1024;

/// A rank at most this far from a known row is reached by keeping all rows up to it.
const REACH: usize = 4096;

/// After so many walks a rank that keeps moving is no longer chased.
const MAX_WALKS: u32 = 8;

/// A table whose rows can be walked in place.
pub trait RowSource {
    /// What a row looks like while it is visited.
    type Row<'a>: Row
    where
        Self: 'a;

    /// Calls `each` for every row once, in any order.
    fn visit(&self, each: impl FnMut(&Self::Row<'_>));
}

/// One row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    position: Position,
    locator: u64,
}

impl Entry {
    /// The row's id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.position.id()
    }

    /// What [`Row::locator`] said of it.
    #[must_use]
    pub const fn locator(&self) -> u64 {
        self.locator
    }

    /// Its place in the order.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }
}

/// The rows of a page, and what the walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows, in order.
    pub rows: Vec<Entry>,
    /// How many rows pass the filter.
    pub matched: u64,
    /// How many rows there are.
    pub total: u64,
    /// The rank of the first row of the page among those that pass.
    pub first_rank: u64,
    /// The row that was sought does not pass or is gone; this is the first page.
    pub seek_missed: bool,
    /// Rows moved between the walks that this page took, so it does not begin where it was asked to.
    pub torn: bool,
}

impl Page {
    /// Writes what is not rows into an answer.
    pub fn fill(&self, view: &mut pb::View) {
        view.matched = self.matched;
        view.total = self.total;
        view.first_rank = self.first_rank;
        view.seek_missed = self.seek_missed;
        view.torn = self.torn;
        view.first = self.rows.first().map(|entry| entry.position.to_message());
        view.last = self.rows.last().map(|entry| entry.position.to_message());
    }
}

/// Walks `source` as often as `request` needs.
pub fn select<S: RowSource>(source: &S, request: Request) -> Page {
    let mut selector = Selector::new(request);
    loop {
        source.visit(|row| selector.offer(row));
        if let Some(page) = selector.end_walk() {
            return page;
        }
    }
}

/// Takes rows one by one and tells the page. For owners of tables that walk in pieces:
///
/// ```text
/// loop {
///     for each row, with pauses as you like { selector.offer(row) }
///     if let Some(page) = selector.end_walk() { break page }
/// }
/// ```
pub struct Selector {
    request: Request,
    walk: Walk,
    walks: u32,
    total: u64,
    matched: u64,
    /// The text of the row that is offered.
    buffer: Composed,
}

/// What a walk is for.
enum Walk {
    /// Keep rows on one side of `bound`, which is excluded; count those up to it.
    Keep {
        keeper: Keeper,
        bound: Option<Position>,
        below: u64,
        goal: Goal,
    },
    /// Look for a row by its id; meanwhile keep the first page, in case it is not there.
    Find {
        id: u64,
        found: Option<Position>,
        keeper: Keeper,
    },
    /// Keep a page before and a page from `pivot` on; count those before it.
    Around {
        pivot: Position,
        below: u64,
        before: Keeper,
        from: Keeper,
        seen: bool,
    },
    /// Draw a sample of the keys between `low` (excluded) and `high` (included).
    Sample {
        rank: u64,
        low: Option<Position>,
        high: Option<Position>,
        drawn: Vec<Position>,
        seen: u64,
        random: u64,
    },
    /// Count the rows between the keys of a sorted sample: `counts[i]` are those above
    /// `keys[i - 1]` and up to `keys[i]`. `numbers` are the keys once more unless they have texts:
    /// a search among plain numbers has no branches to guess.
    Split {
        rank: u64,
        keys: Vec<Position>,
        numbers: Vec<u128>,
        counts: Vec<u64>,
    },
}

/// What the kept rows are cut to.
enum Goal {
    /// All of them.
    First,
    /// All of them; their ranks end where `below` does, or at the end.
    Last,
    /// From the row of this rank on.
    Rank(u64),
}

impl Selector {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(mut request: Request) -> Self {
        request.limit = request.limit.clamp(1, MAX_LIMIT);
        let seek = std::mem::replace(&mut request.seek, Seek::Start);
        let mut selector = Selector {
            walk: first_page(&request),
            request,
            walks: 0,
            total: 0,
            matched: 0,
            buffer: Composed::new(),
        };
        let (limit, sort) = (selector.request.limit, selector.request.sort);
        let keep = |keeper, bound, goal| Walk::Keep {
            keeper,
            bound,
            below: 0,
            goal,
        };
        selector.walk = match seek {
            Seek::Start => return selector,
            Seek::After(position) => keep(Keeper::first(limit, sort), Some(position), Goal::First),
            Seek::Before(position) => keep(Keeper::last(limit, sort), Some(position), Goal::Last),
            Seek::End => keep(Keeper::last(limit, sort), None, Goal::Last),
            Seek::Holding(id) => Walk::Find {
                id,
                found: None,
                keeper: Keeper::first(limit, sort),
            },
            Seek::Rank(rank) if rank < REACH as u64 => keep(
                Keeper::first(rank as usize + limit, sort),
                None,
                Goal::Rank(rank),
            ),
            Seek::Rank(rank) => sample(rank, None, None),
        };
        selector
    }

    /// Takes one row.
    #[inline]
    pub fn offer<R: Row + ?Sized>(&mut self, row: &R) {
        self.total += 1;
        if !self.request.filter.matches(row) {
            return;
        }
        self.matched += 1;
        let sort = self.request.sort;
        let key = sort.key(row, &mut self.buffer);
        match &mut self.walk {
            Walk::Keep {
                keeper,
                bound,
                below,
                goal,
            } => {
                if let Some(bound) = bound {
                    let side = sort.compare(key, bound.key());
                    let (counts, wanted) = match goal {
                        Goal::Last => (side.is_lt(), side.is_lt()),
                        Goal::First | Goal::Rank(_) => (side.is_le(), side.is_gt()),
                    };
                    *below += u64::from(counts);
                    if !wanted {
                        return;
                    }
                }
                keeper.offer(key, || row.locator());
            }
            Walk::Find { id, found, keeper } => {
                if key.id == *id {
                    *found = Some(Position::of(key));
                }
                keeper.offer(key, || row.locator());
            }
            Walk::Around {
                pivot,
                below,
                before,
                from,
                seen,
            } => match sort.compare(key, pivot.key()) {
                Ordering::Less => {
                    *below += 1;
                    before.offer(key, || row.locator());
                }
                side => {
                    *seen |= side.is_eq() || key.id == pivot.id();
                    from.offer(key, || row.locator());
                }
            },
            Walk::Sample {
                low,
                high,
                drawn,
                seen,
                random,
                ..
            } => {
                let above = low
                    .as_ref()
                    .is_none_or(|low| sort.compare(key, low.key()).is_gt());
                let under = high
                    .as_ref()
                    .is_none_or(|high| sort.compare(key, high.key()).is_le());
                if above && under {
                    *seen += 1;
                    draw(drawn, *seen, random, key);
                }
            }
            Walk::Split {
                keys,
                numbers,
                counts,
                ..
            } => {
                let gap = if sort.is_by_text() {
                    keys.partition_point(|of_sample| sort.compare(of_sample.key(), key).is_lt())
                } else {
                    let number = key.number();
                    numbers.partition_point(|of_sample| *of_sample < number)
                };
                counts[gap] += 1;
            }
        }
    }

    /// Ends a walk. `None`: walk once more.
    pub fn end_walk(&mut self) -> Option<Page> {
        self.walks += 1;
        let (sort, limit) = (self.request.sort, self.request.limit);
        let next = first_page(&self.request);
        let mut page = Page {
            matched: self.matched,
            total: self.total,
            ..Page::default()
        };
        self.walk = match std::mem::replace(&mut self.walk, next) {
            Walk::Keep {
                keeper,
                bound,
                below,
                goal,
            } => {
                let mut rows = keeper.finish();
                match goal {
                    Goal::First => page.first_rank = below,
                    Goal::Last => {
                        let end = if bound.is_some() { below } else { page.matched };
                        page.first_rank = end.saturating_sub(rows.len() as u64);
                    }
                    Goal::Rank(rank) => {
                        let wanted =
                            usize::try_from(rank.saturating_sub(below)).unwrap_or(usize::MAX);
                        // A rank beyond the end is taken for the last page.
                        let skip = if wanted < rows.len() {
                            wanted
                        } else {
                            rows.len().saturating_sub(limit)
                        };
                        page.first_rank = below + skip as u64;
                        page.torn = rank < page.matched && page.first_rank != rank;
                        rows.drain(..skip);
                        rows.truncate(limit);
                    }
                }
                page.rows = rows;
                return Some(page);
            }
            Walk::Find {
                found: None,
                keeper,
                ..
            } => {
                page.seek_missed = true;
                page.rows = keeper.finish();
                return Some(page);
            }
            Walk::Find {
                found: Some(pivot), ..
            } => Walk::Around {
                pivot,
                below: 0,
                before: Keeper::last(limit, sort),
                from: Keeper::first(limit, sort),
                seen: false,
            },
            Walk::Around {
                below,
                before,
                from,
                seen,
                ..
            } => {
                let mut rows = before.finish();
                let offset = (below % limit as u64) as usize;
                rows.drain(..rows.len().saturating_sub(offset));
                rows.extend(from.finish());
                rows.truncate(limit);
                page.first_rank = below - offset as u64;
                page.torn = !seen;
                page.rows = rows;
                return Some(page);
            }
            Walk::Sample {
                rank, low: None, ..
            } if rank >= self.matched => Walk::Keep {
                keeper: Keeper::last(limit, sort),
                bound: None,
                below: 0,
                goal: Goal::Last,
            },
            Walk::Sample {
                rank, mut drawn, ..
            } => {
                drawn.sort_unstable_by(|left, right| sort.compare(left.key(), right.key()));
                let counts = vec![0; drawn.len() + 1];
                let numbers = drawn
                    .iter()
                    .map(|position| position.key().number())
                    .collect();
                Walk::Split {
                    rank,
                    keys: drawn,
                    numbers,
                    counts,
                }
            }
            Walk::Split {
                rank,
                mut keys,
                counts,
                ..
            } => {
                let mut below = 0;
                let mut gap = 0;
                while gap < keys.len() && below + counts[gap] <= rank {
                    below += counts[gap];
                    gap += 1;
                }
                let inside = counts[gap];
                let high = if gap < keys.len() {
                    Some(keys.swap_remove(gap))
                } else {
                    None
                };
                let low = if gap > 0 {
                    Some(keys.swap_remove(gap - 1))
                } else {
                    None
                };
                let reach = usize::try_from(rank.saturating_sub(below))
                    .unwrap_or(REACH)
                    .min(REACH);
                if inside <= REACH as u64 || self.walks >= MAX_WALKS {
                    Walk::Keep {
                        keeper: Keeper::first(reach + limit, sort),
                        bound: low,
                        below: 0,
                        goal: Goal::Rank(rank),
                    }
                } else {
                    sample(rank, low, high)
                }
            }
        };
        (self.total, self.matched) = (0, 0);
        None
    }
}

fn first_page(request: &Request) -> Walk {
    Walk::Keep {
        keeper: Keeper::first(request.limit, request.sort),
        bound: None,
        below: 0,
        goal: Goal::First,
    }
}

fn sample(rank: u64, low: Option<Position>, high: Option<Position>) -> Walk {
    // Any seed does; a fixed one makes a page the same each time.
    Walk::Sample {
        rank,
        low,
        high,
        drawn: Vec::with_capacity(SAMPLE),
        seen: 0,
        random: 0x9e37_79b9_7f4a_7c15,
    }
}

/// Reservoir sampling: of all keys seen, each is in the sample with the same chance.
fn draw(drawn: &mut Vec<Position>, seen: u64, random: &mut u64, key: Key<'_>) {
    if drawn.len() < SAMPLE {
        drawn.push(Position::of(key));
        return;
    }
    // xorshift64
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    // The high half of the product is an even choice below `seen`, without a division.
    let choice = ((u128::from(*random) * u128::from(seen)) >> 64) as usize;
    if choice < SAMPLE {
        drawn[choice] = Position::of(key);
    }
}
