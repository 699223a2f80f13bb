//! Log-linear histogram of tick durations with one writer: 64 sub-buckets an octave.
//!
//! Short values (below `FLOOR`) are not counted here: whoever owns the histogram knows their
//! number as its total less what is counted. Knows neither time units nor what was measured.

use std::sync::atomic::{AtomicU32, Ordering};

/// Values below this share one bucket that is not stored: about 0.4 µs at 2.6 GHz.
pub(crate) const FLOOR: u64 = 1 << FLOOR_BITS;
const FLOOR_BITS: u32 = 10;
/// Sub-buckets per octave: a bucket is at most 1/64 of its value wide.
const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
/// Octaves above the floor; longer values go to the last bucket (more than an hour).
const OCTAVES: usize = 34;
/// Buckets of a histogram.
pub(crate) const BUCKETS: usize = OCTAVES * SUB;

/// Counts of values at least `FLOOR` ticks long.
pub(crate) struct Histogram {
    counts: Box<[AtomicU32; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts: Box<[AtomicU32]> = (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self {
            counts: counts
                .try_into()
                .unwrap_or_else(|_| unreachable!("BUCKETS were collected")),
        }
    }
}

/// The bucket of a value that is at least `FLOOR`.
#[inline]
pub(crate) fn bucket_of(ticks: u64) -> usize {
    let octave = 63 - (ticks | FLOOR).leading_zeros();
    let sub = (ticks >> (octave - SUB_BITS)) as usize & (SUB - 1);
    ((octave - FLOOR_BITS) as usize * SUB + sub).min(BUCKETS - 1)
}

/// The smallest value of a bucket.
pub(crate) fn lower(bucket: usize) -> u64 {
    let octave = FLOOR_BITS + (bucket / SUB) as u32;
    (1 << octave) + ((bucket % SUB) as u64) * (1 << (octave - SUB_BITS))
}

impl Histogram {
    /// Counts one value of at least `FLOOR`. The writer's thread only.
    #[inline]
    pub(crate) fn count(&self, ticks: u64) {
        let cell = &self.counts[bucket_of(ticks)];
        cell.store(
            cell.load(Ordering::Relaxed).saturating_add(1),
            Ordering::Relaxed,
        );
    }

    /// The buckets that are not empty, in order of their values.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts
            .iter()
            .enumerate()
            .filter_map(|(bucket, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then_some((bucket, count))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_64th_of_its_value_wide_and_holds_its_lower_end() {
        for bucket in 0..BUCKETS - 1 {
            let (low, next) = (lower(bucket), lower(bucket + 1));
            assert_eq!(bucket_of(low), bucket);
            assert_eq!(bucket_of(next - 1), bucket);
            assert!(next - low <= low / 64);
        }
    }

    #[test]
    fn a_value_beyond_the_last_bucket_is_counted_in_it() {
        let histogram = Histogram::default();
        histogram.count(u64::MAX);
        assert_eq!(histogram.filled().collect::<Vec<_>>(), [(BUCKETS - 1, 1)]);
    }
}
