//! The log-linear buckets in which durations are counted, and quantiles over them. The recorder
//! and the console share this arithmetic, so that a bucket means the same on both sides. Knows
//! neither clocks nor threads.
//!
//! Values are nanoseconds. Every octave (power of two) is cut into 64 buckets of equal width:
//!
//! ```text
//! value  0 .. 127     buckets 0 .. 127      width 1    exact
//! value  128 .. 255   buckets 128 .. 191    width 2
//! value  256 .. 511   buckets 192 .. 255    width 4
//! ...                 64 more an octave     width doubles
//! value  >= 2^42      bucket COUNT - 1      everything above 73 minutes
//! ```
//!
//! A bucket is at most 1/64 of its lower bound wide, so its middle is within 0.8 % of any value
//! in it. The longest value is kept apart and exact, hence the open last bucket costs nothing.

use crate::pb;

/// Buckets an octave, as a power of two.
const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;

/// The first value that no longer has a bucket of its own: all of 2^42 ns and more share the last.
pub const TOP_NS: u64 = 1 << 42;

/// How many buckets there are.
pub const COUNT: usize = bucket_of(TOP_NS) + 1;

/// The bucket that counts `ns`. Below [`COUNT`] for every value, and never falls as `ns` grows.
#[inline]
#[must_use]
pub const fn bucket_of(ns: u64) -> usize {
    let ns = if ns > TOP_NS { TOP_NS } else { ns };
    // Setting bit 6 makes the first octave that is cut the one that starts at 64; all below it
    // then falls into buckets of width 1 without a branch.
    let octave = 63 - (ns | SUB as u64).leading_zeros();
    let shift = octave - SUB_BITS;
    ((shift as usize) << SUB_BITS) + (ns >> shift) as usize
}

/// The least value that `bucket` counts.
///
/// Panics: never; a bucket beyond the last is taken for the last.
#[inline]
#[must_use]
pub const fn lower(bucket: usize) -> u64 {
    let bucket = if bucket >= COUNT { COUNT - 1 } else { bucket };
    if bucket < 2 * SUB {
        return bucket as u64;
    }
    let shift = bucket / SUB - 1;
    ((bucket - shift * SUB) as u64) << shift
}

/// The greatest value that `bucket` counts; of the last bucket `u64::MAX`.
#[inline]
#[must_use]
pub const fn upper(bucket: usize) -> u64 {
    if bucket >= COUNT - 1 {
        u64::MAX
    } else {
        lower(bucket + 1) - 1
    }
}

/// What is known of a quantile: it lies between `low` and `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// It is at least this many ns. A verdict that a limit was passed compares this end.
    pub low: u64,
    /// It is at most this many ns.
    pub high: u64,
}

impl Range {
    /// The value to show: the middle, within 0.8 % of the truth unless the range is of values
    /// below a floor or in the last bucket.
    #[must_use]
    pub const fn middle(self) -> u64 {
        self.low + (self.high - self.low) / 2
    }
}

/// The value below or at which the share `q` of all values lies: the nearest rank, so it is the
/// range of a value that did occur.
///
/// `buckets` are (bucket, count) pairs in ascending order. `below_floor` values are known only to
/// be less than `floor`. `max` is the exact longest value, which no answer exceeds. `None`: there
/// are no values.
///
/// The number of values is taken from the counts themselves and not from a total beside them:
/// a live histogram that is read in place may have moved between the two.
#[must_use]
pub fn quantile(
    q: f64,
    buckets: impl Iterator<Item = (usize, u64)> + Clone,
    below_floor: u64,
    floor: u64,
    max: u64,
) -> Option<Range> {
    let total = buckets
        .clone()
        .fold(below_floor, |sum, (_, count)| sum.saturating_add(count));
    if total == 0 {
        return None;
    }
    // NaN clamps to NaN and becomes rank 0, which the lower limit of 1 then mends.
    let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
    let cap = |range: Range| Range {
        low: range.low.min(max),
        high: range.high.min(max),
    };
    if rank <= below_floor {
        return Some(cap(Range {
            low: 0,
            high: floor.saturating_sub(1),
        }));
    }
    let mut seen = below_floor;
    let mut last = 0;
    for (bucket, count) in buckets {
        seen = seen.saturating_add(count);
        last = bucket;
        if seen >= rank {
            break;
        }
    }
    Some(cap(Range {
        low: lower(last),
        high: upper(last),
    }))
}

/// The upper ends, in ns, of the eight coarse buckets that every task has; the last is open.
pub const COARSE_NS: [u64; 7] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// The coarse bucket, 0 to 7, that counts `ns`: the first one whose end is not below it.
#[inline]
#[must_use]
pub const fn coarse_of(ns: u64) -> usize {
    let mut bucket = 0;
    while bucket < COARSE_NS.len() && ns > COARSE_NS[bucket] {
        bucket += 1;
    }
    bucket
}

impl pb::Histogram {
    /// The buckets that are not empty, as (bucket, count).
    pub fn pairs(&self) -> impl Iterator<Item = (usize, u64)> + Clone + '_ {
        self.buckets
            .iter()
            .zip(&self.counts)
            .map(|(bucket, count)| (*bucket as usize, *count))
    }

    /// The value below or at which the share `q` lies. `None`: there are no values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Range> {
        quantile(
            q,
            self.pairs(),
            self.below_floor,
            self.floor_ns,
            self.max_ns,
        )
    }

    /// The mean in ns. `None`: there are no values.
    #[must_use]
    pub fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.count)
    }

    /// Counts one value, as a recorder would: for tests, recordings and the console's own figures.
    pub fn record(&mut self, ns: u64) {
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
        if ns < self.floor_ns {
            self.below_floor += 1;
            return;
        }
        let bucket = bucket_of(ns) as u32;
        match self.buckets.binary_search(&bucket) {
            Ok(at) => self.counts[at] += 1,
            Err(at) => {
                self.buckets.insert(at, bucket);
                self.counts.insert(at, 1);
            }
        }
    }

    /// Adds the values of `other`. The window is then the longer of both, the floor the higher:
    /// what was below either is only known to be below that.
    pub fn merge(&mut self, other: &pb::Histogram) {
        let mut buckets = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let mut counts = Vec::with_capacity(buckets.capacity());
        let mut left = self.pairs().peekable();
        let mut right = other.pairs().peekable();
        while let Some(bucket) = left
            .peek()
            .map(|pair| pair.0)
            .into_iter()
            .chain(right.peek().map(|pair| pair.0))
            .min()
        {
            let mut count = 0u64;
            while let Some(pair) = left.next_if(|pair| pair.0 == bucket) {
                count = count.saturating_add(pair.1);
            }
            while let Some(pair) = right.next_if(|pair| pair.0 == bucket) {
                count = count.saturating_add(pair.1);
            }
            buckets.push(bucket as u32);
            counts.push(count);
        }
        drop((left, right));
        self.since_ns = match (self.count, other.count) {
            (0, _) => other.since_ns,
            (_, 0) => self.since_ns,
            _ => self.since_ns.min(other.since_ns),
        };
        self.buckets = buckets;
        self.counts = counts;
        self.count = self.count.saturating_add(other.count);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.below_floor = self.below_floor.saturating_add(other.below_floor);
        self.floor_ns = self.floor_ns.max(other.floor_ns);
    }

    /// How many values fell into each of the ranges that `ends` (ascending, in ns) cut: one more
    /// than there are ends, the last being open. A bucket that lies across an end is counted
    /// where its middle is, so a bar is off by at most what lies within 0.8 % of its ends.
    #[must_use]
    pub fn bars(&self, ends: &[u64]) -> Vec<u64> {
        let mut bars = vec![0; ends.len() + 1];
        let below = Range {
            low: 0,
            high: self.floor_ns.saturating_sub(1),
        };
        let pairs = self.pairs().map(|(bucket, count)| {
            let range = Range {
                low: lower(bucket),
                high: upper(bucket).min(self.max_ns),
            };
            (
                Range {
                    low: range.low.min(range.high),
                    ..range
                },
                count,
            )
        });
        for (range, count) in std::iter::once((below, self.below_floor)).chain(pairs) {
            let bar = ends.partition_point(|end| *end < range.middle());
            bars[bar] += count;
        }
        bars
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_what_its_table_says() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(127), 127);
        assert_eq!(
            (bucket_of(128), bucket_of(129), bucket_of(130)),
            (128, 128, 129)
        );
        assert_eq!(bucket_of(255), 191);
        assert_eq!(bucket_of(256), 192);
        assert_eq!(COUNT, 2369);
        assert_eq!(bucket_of(u64::MAX), COUNT - 1);
        assert_eq!((lower(COUNT - 1), upper(COUNT - 1)), (TOP_NS, u64::MAX));
    }

    #[test]
    fn buckets_touch_each_other_without_gap_or_overlap() {
        for bucket in 0..COUNT - 1 {
            assert_eq!(bucket_of(lower(bucket)), bucket);
            assert_eq!(bucket_of(upper(bucket)), bucket);
            assert_eq!(upper(bucket) + 1, lower(bucket + 1));
        }
    }

    #[test]
    fn the_middle_is_within_one_percent_of_every_value_of_its_bucket() {
        for bucket in 1..COUNT - 1 {
            let range = Range {
                low: lower(bucket),
                high: upper(bucket),
            };
            for value in [range.low, range.high] {
                let off = value.abs_diff(range.middle()) as f64 / value as f64;
                assert!(off < 0.008, "bucket {bucket}: {off}");
            }
        }
    }

    #[test]
    fn coarse_buckets_include_their_ends() {
        assert_eq!(
            (coarse_of(0), coarse_of(1_000), coarse_of(1_001)),
            (0, 0, 1)
        );
        assert_eq!((coarse_of(1_000_000_000), coarse_of(u64::MAX)), (6, 7));
    }

    #[test]
    fn values_below_the_floor_count_for_quantiles_and_are_shown_as_a_range() {
        let mut histogram = pb::Histogram {
            floor_ns: 400,
            ..Default::default()
        };
        for ns in [10, 20, 30, 5_000] {
            histogram.record(ns);
        }
        assert_eq!(histogram.quantile(0.5), Some(Range { low: 0, high: 399 }));
        let top = histogram.quantile(0.99).expect("there are values");
        assert!(top.low <= 5_000 && 5_000 <= top.high, "{top:?}");
        assert_eq!(histogram.bars(&[1_000, 10_000]), vec![3, 1, 0]);
    }

    #[test]
    fn an_empty_histogram_has_no_quantile_and_no_mean() {
        let empty = pb::Histogram::default();
        assert_eq!((empty.quantile(0.5), empty.mean_ns()), (None, None));
        assert_eq!(empty.bars(&[5]), vec![0, 0]);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value: u64) {
            let bucket = bucket_of(value);
            prop_assert!(lower(bucket) <= value && value <= upper(bucket));
        }

        #[test]
        fn a_quantile_brackets_the_value_of_that_rank(
            mut values in prop::collection::vec(0u64..1 << 44, 1..200),
            q in 0.0f64..=1.0,
        ) {
            let mut histogram = pb::Histogram::default();
            for value in &values {
                histogram.record(*value);
            }
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let range = histogram.quantile(q).expect("there are values");
            prop_assert!(range.low <= values[rank - 1] && values[rank - 1] <= range.high);
            prop_assert!(range.high <= histogram.max_ns);
        }

        #[test]
        fn merging_is_recording_both(
            a in prop::collection::vec(0u64..1 << 43, 0..60),
            b in prop::collection::vec(0u64..1 << 43, 0..60),
        ) {
            let of = |values: &[u64]| {
                let mut histogram = pb::Histogram::default();
                values.iter().for_each(|value| histogram.record(*value));
                histogram
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn hostile_histograms_do_not_panic(
            buckets in prop::collection::vec(any::<u32>(), 0..9),
            counts in prop::collection::vec(any::<u64>(), 0..9),
            below_floor: u64, floor_ns: u64, max_ns: u64, q: f64,
        ) {
            let histogram = pb::Histogram { buckets, counts, below_floor, floor_ns, max_ns, ..Default::default() };
            let mut twice = histogram.clone();
            twice.merge(&histogram);
            prop_assert!(twice.quantile(q).is_none_or(|range| range.low <= range.high));
        }
    }
}
